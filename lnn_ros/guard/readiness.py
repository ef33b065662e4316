"""What must be there while a policy flies: fresh streams, a willing vehicle, a hand on a button."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lnn_ros.guard.parameters import ModeParameters

Ages = Mapping[str, float | None]


def stale(ages: Ages, max_age: float, ahead: bool = True) -> list[str]:
    """Return the names of what has not come, or is older than it may be.

    Parameters
    ----------
    ages : mapping of str to float or None
        Seconds; None: never seen.
    max_age : float
        Seconds.
    ahead : bool
        Whether an age below ``-max_age`` is tolerated no more than one above.
    """
    least = -max_age if ahead else -math.inf
    return [name for name, age in ages.items() if age is None or not least <= age <= max_age]


class Vehicle:
    """What the vehicle says of itself; None is unknown."""

    def __init__(self) -> None:
        self._airborne: bool | None = None
        self._velocity_mode: bool | None = None
        self._said_at = -math.inf

    def say(self, airborne: bool | None, velocity_mode: bool | None, now: float) -> None:
        """Take both, and when they were said, s."""
        self._airborne, self._velocity_mode, self._said_at = airborne, velocity_mode, now

    def judge(self, parameters: ModeParameters, now: float) -> tuple[str, bool]:
        """Return why it may not be commanded ("" if it may), and whether it says so itself.

        Without the latter it has only not said otherwise: it is unknown.
        """
        if not (parameters.require_airborne or parameters.require_velocity_mode):
            return "", False
        old = abs(now - self._said_at) > parameters.vehicle_max_age
        if self._airborne and self._velocity_mode and not old:
            return "", False
        unknown = ""
        for needed, said, words in (
            (parameters.require_airborne, self._airborne, "airborne (driving)"),
            (parameters.require_velocity_mode, self._velocity_mode, "in its velocity mode"),
        ):
            if not needed:
                continue
            if said is None or old:
                unknown = unknown or f"the vehicle does not say whether it is {words}"
            elif not said:
                return f"the vehicle says that it is not {words}", True
        return unknown, False


class Deadman:
    """A button that somebody holds."""

    def __init__(self) -> None:
        self._held, self._said_at = False, -math.inf

    def say(self, held: bool, now: float) -> None:
        """Take whether it is held, and when that was said, s."""
        self._held, self._said_at = held, now

    def trouble(self, parameters: ModeParameters, now: float) -> str:
        """Say why the policy may not fly, if it may not."""
        if not parameters.deadman:
            return ""
        if not self._held:
            return "the deadman is not held"
        if abs(now - self._said_at) > parameters.deadman_max_age:
            return f"the deadman has said nothing for {parameters.deadman_max_age:g} s"
        return ""
