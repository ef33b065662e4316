"""How a command of the guard came about: enough to make it again."""

from __future__ import annotations

from typing import NamedTuple

from lnn_ros.guard.limits import Four

Axes = tuple[bool, bool, bool, bool]
"""What holds on each axis of a command."""

NO_BRAKING: Axes = (False, False, False, False)
ALL_BRAKING: Axes = (True, True, True, True)


class Decision(NamedTuple):
    """What the limiter was told.

    Attributes
    ----------
    target : tuple of 4 float
        What the limiter was to come to.
    braking : tuple of 4 bool
        Axes on which it does so by the braking set.
    lowered : bool
        Whether novelty, fence or obstacles changed what the mode had chosen.
    dt : float
        Seconds since the command before; 0 for the first.
    """

    target: Four
    braking: Axes
    lowered: bool
    dt: float


REST = Decision((0.0, 0.0, 0.0, 0.0), NO_BRAKING, False, 0.0)
"""Of a mode in which zero is commanded at once, and before the first command."""
