"""What every model for Gazebo carries: its drawn parts, a camera, an inertial sensor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from lnn_ros.simulation.bodies import Part
from lnn_ros.simulation.gazebo.elements import Element, element, geometry, paint, pose
from lnn_ros.simulation.gazebo.models.base import Model
from lnn_ros.simulation.sensors import CAMERA, IMU
from lnn_ros.simulation.task import Task

UNSEEN = 2
"""Visibility flag of what the own camera does not see: its own vehicle, as in training."""
EVERYTHING = 0xFFFFFFFF


def visuals(parts: Sequence[Part]) -> Iterator[Element]:
    """Yield the drawn parts; what turns among them looks the same as it does."""
    for index, (shape, centre, half, yaw, color) in enumerate(parts):
        yield element("visual", pose(centre, yaw), element("cast_shadows", False),
                      element("visibility_flags", str(UNSEEN)), geometry(shape, half),
                      paint(color), name=f"part_{index}")


def inertial(mass: float, around: list[float] | tuple[float, float, float]) -> Element:
    """Return the inertia of a link whose axes are the body's, kg and kg m^2."""
    return element("inertial", element("mass", mass), element("inertia", *(
        element(f"i{first}{second}", around["xyz".index(first)] if first == second else 0.0)
        for first, second in ("xx", "xy", "xz", "yy", "yz", "zz"))))


def sensor(name: str, kind: str, topic: str, rate_hz: float, *content: Element) -> Element:
    """Return a sensor on a topic."""
    return element("sensor", *content, element("topic", topic),
                   element("update_rate", rate_hz), element("always_on", True), name=name,
                   type=kind)


def camera(model: Model, task: Task) -> Element:
    """Return the camera that the policy sees by, where the task mounts it."""
    mount = task.camera
    return sensor(
        "camera", "camera", model.topic("camera/image"), CAMERA.rate_hz,
        pose(mount.position, pitch=math.radians(mount.tilt)),
        element("camera", element("horizontal_fov", math.radians(task.camera.field_of_view)),
                element("image", element("width", task.camera.width),
                        element("height", task.camera.height), element("format", "R8G8B8"),
                        element("anti_aliasing", 4)),
                element("clip", element("near", 0.05), element("far", 300.0)),
                element("visibility_mask", str(EVERYTHING & ~UNSEEN))))


def imu(model: Model, task: Task) -> Element:
    """Return the inertial sensor, with the errors that the task states."""
    d = task.disturbances

    def axes(noise: float, bias: float) -> Iterator[Element]:
        for axis in "xyz":
            yield element(axis, element("noise", element("mean", 0.0), element("stddev", noise),
                                        element("bias_mean", 0.0), element("bias_stddev", bias),
                                        type="gaussian"))

    return sensor(
        "imu", "imu", model.topic("imu"), IMU.rate_hz,
        element("imu", element("angular_velocity", *axes(d.gyro_noise, d.gyro_bias)),
                element("linear_acceleration",
                        *axes(d.accelerometer_noise, d.accelerometer_bias))))


def base_link(model: Model, task: Task, inertia: Element, touched: Sequence[Element],
              parts: Sequence[Part], *sensors: Element) -> Element:
    """Return the body of a model: what it weighs, what one touches and sees of it, its sensors.

    Camera and inertial sensor, which all have, come before the ``sensors`` of its own.
    """
    return element("link", inertia, *touched, *visuals(parts), camera(model, task),
                   imu(model, task), *sensors, name="base_link")
