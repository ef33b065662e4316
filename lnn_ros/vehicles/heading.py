"""Between the body's frame and the map's, for vehicles that are told where to fly over ground.

The map is that of REP-103: x east, y north, z up. The body's frame is level with it and turned by
the heading. What is turned is the horizontal part; climb and yaw rate are the same in both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lnn_ros.errors import LnnError
from lnn_ros.vehicles.base import Command, Said

LASTS_S = 0.3
"""How long a heading counts, s: a vehicle that turns by 1 rad/s is off by 17 degrees then."""


@dataclass(frozen=True)
class Headed(Said):
    """What a vehicle has said, and where it heads.

    Attributes
    ----------
    heading : float or None
        Angle from east to where its nose points, to the left, rad; None is unknown.
    """

    heading: float | None = None


def heading_for(said: Said, command: Command, source: str) -> float:
    """Return the heading to tell a command by; any will do where nothing is horizontal.

    Parameters
    ----------
    said : Headed
        What the vehicle has said.
    command : tuple of 4 float
        In the body's frame.
    source : str
        What says the heading, for the sentence.

    Raises
    ------
    LnnError
        When it is unknown and needed. Where nobody knows the heading, zero alone can be told.
    """
    assert isinstance(said, Headed)
    if said.heading is None and any(command):
        raise LnnError(f"the vehicle's heading is unknown: expected {source}, at least every "
                       f"{LASTS_S:g} s")
    return said.heading or 0.0


def to_map(command: Command, heading: float) -> Command:
    """Turn a command from the body's frame into the map's."""
    x, y, z, rate = command
    cos, sin = math.cos(heading), math.sin(heading)
    return cos * x - sin * y, sin * x + cos * y, z, rate


def from_map(command: Command, heading: float) -> Command:
    """Turn a command from the map's frame into the body's."""
    return to_map(command, -heading)
