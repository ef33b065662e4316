"""What every expert's wish ends in: a velocity in the levelled body frame, within its limits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CLIMB = 0.5
"""Greatest speed up and down that an expert asks for, m/s."""


def levelled(velocity: Sequence[float] | NDArray[np.float64], yaw: float) -> tuple[float, float]:
    """Return how fast forward and to the left a horizontal velocity is, seen at a yaw."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    return cos * velocity[0] + sin * velocity[1], cos * velocity[1] - sin * velocity[0]


def command(forward: float, left: float, up: float, turn: float,
            most: float) -> NDArray[np.float64]:
    """Return a command (4,), m/s and rad/s: up at most ``CLIMB``, turning at most as fast as told.

    How fast it goes is limited where it is decided, by what is around.
    """
    return np.array([forward, left, min(max(up, -CLIMB), CLIMB), min(max(turn, -most), most)])
