"""What is unlike training is flown slowly, or not at all.

A policy says how unlike its training flights the input is (``liquid.novelty``): about 0 is as
usual, 1 is what flights like those do not reach in many minutes. What that means for the flight is
decided here, by parameters; without them it means nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from lnn_ros.guard.limits import Limits
from lnn_ros.guard.parameters import NoveltyParameters

ENOUGH = 0.8
"""What was held for novelty is free again below this share of ``hold_above``: at the threshold
itself it would come and go with every frame."""


class Novelty:
    """Lower the ceilings, or hold, by how unlike training the input is.

    Attributes
    ----------
    parameters : NoveltyParameters
        May be replaced at any time.
    counts : Counter of str
        guard.novelty_slowed, guard.novelty_held, guard.novelty_unknown.
    """

    def __init__(self, parameters: NoveltyParameters) -> None:
        self.parameters = parameters
        self.counts: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forget what was said."""
        self._score: float | None = None
        self._held = False

    def say(self, score: float | None) -> None:
        """Take the score that goes with the next wish; None: there is none."""
        self._score = score if score is not None and math.isfinite(score) else None

    def trouble(self) -> str:
        """Say why the policy may not fly, if it may not; to be asked once a command."""
        limit = self.parameters.hold_above
        if not limit:
            self._held = False
            return ""
        if self._score is None:
            # Unknown is as bad as no, and says nothing of whether it has become better.
            self.counts["guard.novelty_unknown"] += 1
            return "the policy does not say how unlike training its input is"
        self._held = self._score > (ENOUGH * limit if self._held else limit)
        if not self._held:
            return ""
        self.counts["guard.novelty_held"] += 1
        return f"the input is unlike training: novelty above {limit:g}"

    def share(self) -> float:
        """Return the share of the ceilings that is left: 1 up to ``slow_above``.

        From there it falls evenly to ``slow_to``, which it reaches at ``hold_above``, or at twice
        ``slow_above`` where nothing is held.
        """
        begin, end = self.parameters.slow_above, self.parameters.hold_above
        if not begin:
            return 1.0
        if self._score is None:
            return self.parameters.slow_to
        end = end or 2.0 * begin
        way = min(max((self._score - begin) / (end - begin), 0.0), 1.0)
        return 1.0 - way * (1.0 - self.parameters.slow_to)

    def lower(self, target: Sequence[float], limits: Limits) -> Sequence[float]:
        """Lower a target inside the ceilings; all axes alike, so that it is the same way.

        Parameters
        ----------
        target : sequence of 4 float
            What is wished.
        limits : Limits
            The ceilings, of which a share is left.
        """
        left = self.share()
        if left >= 1.0:
            return target
        factor = 1.0
        for value, low, high in zip(target, limits.low, limits.high, strict=True):
            ceiling = left * (high if value > 0.0 else -low)
            if abs(value) > ceiling:
                factor = min(factor, ceiling / abs(value))
        if factor >= 1.0:
            return target
        self.counts["guard.novelty_slowed"] += 1
        return [value * factor for value in target]
