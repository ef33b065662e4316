"""The embedded simulator's rover, for Gazebo: the same body, wheels, camera and IMU.

Gazebo's DiffDrive drives its wheels at the speeds that a command asks of them, without motors in
between; they slip where the physics engine lets them, and its odometry is theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from lnn_ros.errors import LnnError
from lnn_ros.simulation.bodies import (
    CASTER_RADIUS,
    CASTER_X,
    CHASSIS,
    MAST,
    TYRE,
    parts,
)
from lnn_ros.simulation.gazebo.elements import Element, element, geometry, pose, system
from lnn_ros.simulation.gazebo.furniture import base_link, inertial
from lnn_ros.simulation.gazebo.models.base import Model
from lnn_ros.simulation.gazebo.releases import Release
from lnn_ros.simulation.rover import (
    CASTER_GRIP,
    CENTRE,
    INERTIA,
    MASS,
    TURN_ACCELERATION,
    WHEEL_MASS,
)
from lnn_ros.simulation.task import RoverVehicle, Task
from lnn_ros.simulation.world import Shape

ODOM_HZ = 50.0
WHEEL_RADIUS = 0.08
"""Metres, of every task's rover: the model's origin is as high above the ground."""


class Rover(Model):
    """The rover with camera and IMU."""

    kind: ClassVar[str] = "lnn_rover"
    about: ClassVar[str] = ("Rover with two driven wheels, a caster, a camera and an IMU, told a "
                            "velocity: that of lnn_ros's embedded simulator.")
    half_height: ClassVar[float] = WHEEL_RADIUS
    ground: ClassVar[bool] = True

    def sdf(self, task: Task, release: Release) -> Element:
        rover = task.vehicle
        if not isinstance(rover, RoverVehicle) or rover.wheel_radius != WHEEL_RADIUS:
            raise LnnError(f"model {self.kind} found for task {task.name}, expected a task whose "
                           f"vehicle is a rover with wheels of {WHEEL_RADIUS} m")
        return element(
            "model", _body(self, task, rover), *_wheels(rover),
            system(release, "diff-drive", "DiffDrive",
                   element("left_joint", "left_joint"), element("right_joint", "right_joint"),
                   element("wheel_separation", rover.track),
                   element("wheel_radius", rover.wheel_radius),
                   element("max_linear_velocity", rover.max_speed),
                   element("min_linear_velocity", -rover.max_speed),
                   element("max_angular_velocity", rover.max_yaw_rate),
                   element("min_angular_velocity", -rover.max_yaw_rate),
                   element("max_linear_acceleration", rover.acceleration),
                   element("min_linear_acceleration", -rover.acceleration),
                   element("max_angular_acceleration", TURN_ACCELERATION),
                   element("min_angular_acceleration", -TURN_ACCELERATION),
                   element("topic", self.topic("cmd_vel")),
                   element("odom_topic", self.topic("odom")), element("frame_id", "odom"),
                   element("child_frame_id", "base_link"),
                   element("odom_publish_frequency", ODOM_HZ)),
            name=self.name)


def _body(model: Rover, task: Task, rover: RoverVehicle) -> Element:
    """Return the body with what one sees and touches, and with its sensors."""
    mass = inertial(MASS, INERTIA)
    mass.insert(0, pose(CENTRE))
    touched = [element("collision", pose(centre), geometry(Shape.BOX, half), name=name)
               for name, (centre, half) in (("chassis", CHASSIS), ("mast", MAST))]
    caster = element(
        "collision", pose((CASTER_X, 0.0, CASTER_RADIUS - rover.wheel_radius)),
        element("geometry", element("sphere", element("radius", CASTER_RADIUS))),
        _friction(CASTER_GRIP), name="caster")
    return base_link(model, task, mass, [*touched, caster], parts(rover))


def _wheels(rover: RoverVehicle) -> Iterator[Element]:
    """Yield the wheels' links and joints; they lie on their sides, as cylinders stand upright."""
    radius, wide = rover.wheel_radius, 2.0 * TYRE
    across = WHEEL_MASS * (3.0 * radius**2 + wide**2) / 12.0
    for name, side in (("left", 0.5), ("right", -0.5)):
        yield element(
            "link", pose((0.0, side * rover.track, 0.0)),
            inertial(WHEEL_MASS, (across, WHEEL_MASS * radius**2 / 2.0, across)),
            element("collision", element("pose", (0.0, 0.0, 0.0, math.pi / 2.0, 0.0, 0.0)),
                    geometry(Shape.CYLINDER, (radius, radius, TYRE)), _friction(rover.grip),
                    name="tyre"),
            name=name)
        axis = element("axis", element("xyz", (0.0, 1.0, 0.0)),
                       element("limit", element("lower", -1e16), element("upper", 1e16)))
        yield element("joint", element("parent", "base_link"), element("child", name), axis,
                      name=f"{name}_joint", type="revolute")


def _friction(grip: float) -> Element:
    return element("surface", element("friction", element("ode", element("mu", grip),
                                                          element("mu2", grip))))
