"""What vehicles look like: the parts of their bodies, as cameras draw them."""

from __future__ import annotations

import math

from lnn_ros.simulation.task import RoverVehicle, Vehicle
from lnn_ros.simulation.world import Shape, Vector

Part = tuple[Shape, Vector, Vector, float, Vector]
"""Shape, centre and half extents in the body frame (m), yaw (rad), colour."""

CHASSIS: tuple[Vector, Vector] = ((-0.03, 0.0, 0.01), (0.15, 0.11, 0.035))
"""Centre and half extents of a rover's box; its origin is the middle of the axle."""
MAST: tuple[Vector, Vector] = ((0.05, 0.0, 0.13), (0.015, 0.015, 0.085))
"""Centre and half extents of what carries its camera."""
CASTER_X, CASTER_RADIUS = -0.15, 0.03  # m
TYRE = 0.02
"""Half width of its wheels, m."""

_DARK, _RED = (0.08, 0.08, 0.09), (0.85, 0.12, 0.08)
_GREY, _WHITE = (0.45, 0.47, 0.5), (0.9, 0.9, 0.9)
DRONE: list[Part] = [
    (Shape.ELLIPSOID, (0.0, 0.0, 0.01), (0.13, 0.08, 0.045), 0.0, _WHITE),
    (Shape.BOX, (0.0, 0.0, -0.02), (0.08, 0.05, 0.025), 0.0, _DARK),
    (Shape.ELLIPSOID, (0.11, 0.0, 0.0), (0.03, 0.03, 0.03), 0.0, _DARK),
    (Shape.BOX, (0.0, 0.0, 0.0), (0.24, 0.012, 0.01), math.pi / 4, _GREY),
    (Shape.BOX, (0.0, 0.0, 0.0), (0.24, 0.012, 0.01), -math.pi / 4, _GREY),
]
for _x, _y in ((0.17, 0.17), (0.17, -0.17), (-0.17, 0.17), (-0.17, -0.17)):
    DRONE += [
        (Shape.CYLINDER, (_x, _y, 0.015), (0.02, 0.02, 0.025), 0.0, _DARK),
        (Shape.CYLINDER, (_x, _y, 0.045), (0.115, 0.115, 0.003), 0.0, _RED if _x > 0 else _DARK),
    ]
for _y in (0.07, -0.07):
    DRONE.append((Shape.BOX, (0.0, _y, -0.075), (0.1, 0.008, 0.008), 0.0, _GREY))
    for _x in (0.06, -0.06):
        DRONE.append((Shape.BOX, (_x, _y, -0.045), (0.007, 0.007, 0.03), 0.0, _GREY))


def parts(vehicle: Vehicle) -> list[Part]:
    """Return the parts of a task's vehicle."""
    return _rover(vehicle) if isinstance(vehicle, RoverVehicle) else DRONE


def _rover(rover: RoverVehicle) -> list[Part]:
    found: list[Part] = [
        (Shape.BOX, *CHASSIS, 0.0, _WHITE),
        (Shape.BOX, (-0.03, 0.0, 0.05), (0.13, 0.09, 0.006), 0.0, _RED),
        (Shape.BOX, *MAST, 0.0, _GREY),
        (Shape.BOX, (0.06, 0.0, 0.22), (0.02, 0.035, 0.02), 0.0, _DARK),
        (Shape.ELLIPSOID, (CASTER_X, 0.0, CASTER_RADIUS - rover.wheel_radius),
         (CASTER_RADIUS, CASTER_RADIUS, CASTER_RADIUS), 0.0, _DARK),
    ]
    for side in (0.5, -0.5):
        at = (0.0, side * rover.track, 0.0)
        size = (rover.wheel_radius, TYRE, rover.wheel_radius)
        hub = (0.5 * rover.wheel_radius, TYRE + 0.004, 0.5 * rover.wheel_radius)
        found += [(Shape.ELLIPSOID, at, size, 0.0, _DARK), (Shape.ELLIPSOID, at, hub, 0.0, _GREY)]
    return found
