"""What a command may be, and how fast it may change."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
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


class Guard:
    """Apply the limits; every intervention is counted.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.counts: Counter[str] = Counter()
        self._low, self._high = np.array(limits.low), np.array(limits.high)
        self._last_ns: int | None = None

    def reset(self) -> None:
        """Forget the last instant; the counts stay."""
        self._last_ns = None

    def __call__(self, at_ns: int, wish: Command, ages: Mapping[str, float | None]) -> Command:
        """Make a command of the network's wish.

        Parameters
        ----------
        at_ns : int
            Instant of the command; must not go back.
        wish : ndarray, shape (4,)
            What the network wants.
        ages : mapping of str to float or None
            Age in seconds of every stream's newest sample; None if there is none.

        Returns
        -------
        ndarray of float64, shape (4,)
            Zero when a number is not finite or a stream is missing or stale.

        Raises
        ------
        LnnError
            When ``at_ns`` is earlier than before.
        """
        if self._last_ns is not None and at_ns < self._last_ns:
            raise LnnError(f"command at {at_ns} ns asked for, expected {self._last_ns} ns or later")
        self._last_ns = at_ns
        limit = self.limits.max_age
        stale = [name for name, age in ages.items() if age is None or not -limit <= age <= limit]
        for name in stale:
            self.counts[f"guard.stale_{name}"] += 1
        if stale:
            return np.zeros(4)
        if wish.shape != (4,) or not np.isfinite(wish).all():
            self.counts["guard.not_finite"] += 1
            return np.zeros(4)
        command: Command = np.clip(wish, self._low, self._high)
        if not np.array_equal(command, wish):
            self.counts["guard.clamped"] += 1
        return command
