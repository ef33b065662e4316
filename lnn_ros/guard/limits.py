"""What a command may be, and how fast it may change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError

Command = NDArray[np.float64]
"""vx, vy, vz (m/s), yaw rate (rad/s), levelled body frame."""
Four = tuple[float, float, float, float]


@dataclass(frozen=True)
class Limits:
    """What a command may be.

    Attributes
    ----------
    low, high : tuple of 4 float
        Ceilings, m/s and rad/s, around zero.
    max_age : float
        Seconds after which a stream counts as stale, by its newest sample's stamp. A stamp that
        lies further than this in the future says nothing about freshness and counts so, too.
    """

    low: Four
    high: Four
    max_age: float = 0.5

    def __post_init__(self) -> None:
        values = (*self.low, *self.high, self.max_age)
        good = len(self.low) == len(self.high) == 4 and all(math.isfinite(v) for v in values)
        if not good or self.max_age <= 0:
            raise LnnError(f"limits: {values} found, expected four lows, four highs and an age > 0")
        if any(low > 0 or high < 0 for low, high in zip(self.low, self.high, strict=True)):
            raise LnnError(f"limits: {self.low} to {self.high} found, expected zero to lie inside")

    def within(self, other: Limits) -> Limits:
        """Return the narrower of two on every side; the ceilings of this one cannot be widened."""
        low = tuple(max(a, b) for a, b in zip(self.low, other.low, strict=True))
        high = tuple(min(a, b) for a, b in zip(self.high, other.high, strict=True))
        return Limits(low, high, min(self.max_age, other.max_age))  # type: ignore[arg-type]

    def clamp(self, wish: Sequence[float]) -> Sequence[float]:
        """Return four finite numbers as they are inside the ceilings: themselves if they are."""
        low, high = self.low, self.high
        found: list[float] | None = None
        for i, v in enumerate(wish):
            if not low[i] <= v <= high[i]:
                found = found or [*wish]
                found[i] = low[i] if v < low[i] else high[i]
        return wish if found is None else found


@dataclass(frozen=True)
class Slew:
    """How fast a command may change; infinity is no limit.

    Attributes
    ----------
    rise, fall : tuple of 4 float
        Greatest acceleration towards plus and towards minus, m/s^2 and rad/s^2, both > 0.
    jerk : tuple of 4 float
        Greatest change of acceleration, m/s^3 and rad/s^3, > 0.
    """

    rise: Four
    fall: Four
    jerk: Four

    def __post_init__(self) -> None:
        for name in ("rise", "fall", "jerk"):
            values = getattr(self, name)
            if len(values) != 4 or not all(v > 0 for v in values):
                raise LnnError(f"slew: {name} is {values}: expected four numbers > 0")

    def covers(self, other: Slew) -> bool:
        """Return whether whatever is allowed by the other is allowed by this one."""
        return all(
            mine >= its
            for name in ("rise", "fall", "jerk")
            for mine, its in zip(getattr(self, name), getattr(other, name), strict=True)
        )


_NEVER = (math.inf,) * 4
UNLIMITED = Slew(_NEVER, _NEVER, _NEVER)
"""A command may be anything inside its ceilings at once."""
