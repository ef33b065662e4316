"""What keeps a camera from seeing, once in a flight: frames that do not come, a target covered."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.simulation.task import Range

IN_VIEW_PIXELS = 3
"""The target counts as in view from this many pixels on."""


class Lost(str, Enum):
    """What the camera loses while an interruption lasts."""

    FRAMES = "frames"
    TARGET = "target"


@dataclass(frozen=True)
class Interruption:
    """One loss of sight in a flight.

    Attributes
    ----------
    lost : Lost
        FRAMES: none is delivered. TARGET: the frames show the world without the target; nothing
        else in them changes, its shadow included. It begins only when the target is in view.
    after_s : tuple of 2 float
        It begins at an instant drawn evenly from this range, s from the start, or at the first
        frame from then on for which the other conditions hold.
    duration_s : tuple of 2 float
        It lasts for a time drawn evenly from this range, s.
    yaw_rate : float
        It begins only when the vehicle turns faster than this, rad/s, to either side.
    """

    lost: Lost
    after_s: Range
    duration_s: Range
    yaw_rate: float = 0.0

    def validate(self) -> None:
        """Raise LnnError when a value is outside its domain."""
        for name, (low, high) in (("after_s", self.after_s), ("duration_s", self.duration_s)):
            if not 0.0 <= low <= high < math.inf:
                raise LnnError(f"interruption.{name} must be a range of seconds [low, high], "
                               f"found [{low}, {high}]")
        if not 0.0 <= self.yaw_rate < math.inf:
            raise LnnError(f"interruption.yaw_rate must be at least 0, found {self.yaw_rate}")


class Watch:
    """Say, frame by frame, whether the interruption lasts.

    Parameters
    ----------
    interruption : Interruption
        What is to happen.
    rng : numpy.random.Generator
        Draws the earliest instant and the duration, nothing else: both are the same whoever flies.
    start_ns : int
        Stamp of the flight's first instant, ns.

    Attributes
    ----------
    begun_ns : int or None
        When it began, ns; None before.
    """

    def __init__(self, interruption: Interruption, rng: np.random.Generator,
                 start_ns: int) -> None:
        self._interruption = interruption
        self._after_ns = start_ns + round(rng.uniform(*interruption.after_s) * 1e9)
        self._duration_ns = round(rng.uniform(*interruption.duration_s) * 1e9)
        self.begun_ns: int | None = None

    def lasts(self, at_ns: int) -> bool:
        """Whether it lasts at an instant that has passed, ns."""
        begun = self.begun_ns
        return begun is not None and begun <= at_ns < begun + self._duration_ns

    def loses(self, now_ns: int, yaw_rate: float, in_view: Callable[[], bool]) -> Lost | None:
        """What the frame of this instant loses.

        Parameters
        ----------
        now_ns : int
            Stamp of the frame, ns; must not go back.
        yaw_rate : float
            Of the vehicle, rad/s.
        in_view : callable
            Says whether the target is in view; asked only when that decides.
        """
        what = self._interruption
        if self.begun_ns is None:
            if now_ns < self._after_ns or (what.yaw_rate and abs(yaw_rate) <= what.yaw_rate):
                return None
            if what.lost is Lost.TARGET and not in_view():
                return None
            # Free of conditions, it began between two frames.
            bound = what.yaw_rate or what.lost is Lost.TARGET
            self.begun_ns = now_ns if bound else self._after_ns
        return what.lost if now_ns < self.begun_ns + self._duration_ns else None
