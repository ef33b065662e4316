"""The embedded simulator's quadrotor, for Gazebo: the same body, rotors, camera and IMU.

Gazebo's MulticopterVelocityControl flies it. That system knows no wind, so it is a little slower
than it is told, and its estimate of the velocity is noisy but does not lag or drift.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from lnn_ros.simulation.bodies import DRONE
from lnn_ros.simulation.gazebo.bridge import Bridged
from lnn_ros.simulation.gazebo.elements import (
    Element,
    element,
    geometry,
    pose,
    system,
)
from lnn_ros.simulation.gazebo.furniture import base_link, inertial, sensor
from lnn_ros.simulation.gazebo.models.base import Model
from lnn_ros.simulation.gazebo.releases import Release
from lnn_ros.simulation.physics import (
    AIR,
    ARM,
    DRAG_TORQUE,
    GRAVITY,
    HALF_HEIGHT,
    INERTIA,
    MASS,
    MAX_ACCELERATION,
    MAX_THRUST,
    ROTOR_TIME,
    ROTORS,
)
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.world import Shape

ROTOR_MASS, ROTOR_RADIUS = 0.005, 0.115  # kg, metres; a part of MASS
TOP_SPEED = 800.0  # rad/s; the thrust is MAX_THRUST there, and grows with the square of the speed
THRUST_CONSTANT = MAX_THRUST / TOP_SPEED**2
HOVER_SPEED = math.sqrt(MASS * GRAVITY / 4.0 / THRUST_CONSTANT)
SLOWDOWN = 10.0  # of the joints, for the physics engine; the thrust is that of the real speed
VELOCITY_GAIN = (3.0, 3.0, 6.0)  # N s/m; there is no integral: in flight AIR costs 8 % of the speed
ATTITUDE_GAIN, RATE_GAIN = 120.0, (20.0, 20.0, 12.0)  # 1/s^2, 1/s: the embedded vehicle's
MAX_CLIMB_ACCELERATION = 4.0  # m/s^2
DEPTH_HZ, DEPTH_RANGE = 15.0, (0.1, 20.0)  # metres: what the guard's parameters expect
DEPTH_FORWARD = 0.29
"""Where the depth camera sits, metres: ahead of the rotors, which it would see otherwise."""
ODOM_HZ = 50.0


class Quadrotor(Model):
    """The quadrotor with camera, IMU and depth camera."""

    kind: ClassVar[str] = "lnn_quadrotor"
    about: ClassVar[str] = ("Quadrotor with a camera, an IMU and a depth camera, told a velocity: "
                            "that of lnn_ros's embedded simulator.")
    half_height: ClassVar[float] = HALF_HEIGHT
    ground: ClassVar[bool] = False

    def sdf(self, task: Task, release: Release) -> Element:
        return element(
            "model", _body(self, task), *_rotors(),
            *(_motor(self, release, index) for index in range(len(ROTORS))),
            _control(self, task, release),
            system(release, "odometry-publisher", "OdometryPublisher",
                   element("odom_topic", self.topic("odom")), element("odom_frame", "odom"),
                   element("robot_base_frame", "base_link"), element("dimensions", 3),
                   element("odom_publish_frequency", ODOM_HZ)),
            name=self.name)

    def more_topics(self) -> tuple[Bridged, ...]:
        return (
            Bridged("depth", "sensor_msgs/msg/Image", self.topic("depth/image"), "Image"),
            Bridged("depth_info", "sensor_msgs/msg/CameraInfo", self.topic("depth/camera_info"),
                    "CameraInfo"),
        )


def _body(model: Quadrotor, task: Task) -> Element:
    """Return the body with what one sees and touches, and with its sensors."""
    disc = _disc()
    mass = MASS - len(ROTORS) * ROTOR_MASS
    # With the rotors (thin discs ARM away along x and y) it is the embedded vehicle's inertia.
    around = [
        INERTIA[0] - len(ROTORS) * (disc[0] + ROTOR_MASS * ARM**2),
        INERTIA[1] - len(ROTORS) * (disc[1] + ROTOR_MASS * ARM**2),
        INERTIA[2] - len(ROTORS) * (disc[2] + 2.0 * ROTOR_MASS * ARM**2)]
    # A cylinder around the embedded ellipsoid: Gazebo's physics knows no ellipsoids but as meshes.
    touched = geometry(Shape.CYLINDER, (task.vehicle.radius, task.vehicle.radius, HALF_HEIGHT))
    return base_link(model, task, inertial(mass, around),
                     [element("collision", touched, name="collision")], DRONE, _depth(model, task))


def _rotors() -> Iterator[Element]:
    """Yield the rotors' links and joints, on which the motors act."""
    for index, (x, y, _) in enumerate(ROTORS):
        yield element("link", pose((x * ARM, y * ARM, 0.0)), inertial(ROTOR_MASS, _disc()),
                      name=f"rotor_{index}")
        axis = element("axis", element("xyz", (0.0, 0.0, 1.0)),
                       element("limit", element("lower", -1e16), element("upper", 1e16)))
        yield element("joint", element("parent", "base_link"), element("child", f"rotor_{index}"),
                      axis, name=f"rotor_{index}_joint", type="revolute")


def _disc() -> tuple[float, float, float]:
    """Return the moments of inertia of one rotor, kg m^2."""
    flat = ROTOR_MASS * ROTOR_RADIUS**2 / 4.0
    return flat, flat, 2.0 * flat


def _depth(model: Quadrotor, task: Task) -> Element:
    near, far = DEPTH_RANGE
    return sensor(
        "depth", "depth_camera", model.topic("depth/image"), DEPTH_HZ,
        pose((DEPTH_FORWARD, 0.0, 0.0)),
        element("camera", element("horizontal_fov", math.radians(task.camera.field_of_view)),
                element("image", element("width", task.camera.width),
                        element("height", task.camera.height), element("format", "R_FLOAT32")),
                element("clip", element("near", near), element("far", far))))


def _motor(model: Quadrotor, release: Release, index: int) -> Element:
    """Return what turns one rotor. A rotor that leaves a positive torque turns clockwise."""
    clockwise = ROTORS[index][2] > 0
    return system(
        release, "multicopter-motor-model", "MulticopterMotorModel",
        element("robotNamespace", model.name), element("jointName", f"rotor_{index}_joint"),
        element("linkName", f"rotor_{index}"),
        element("turningDirection", "cw" if clockwise else "ccw"),
        element("timeConstantUp", ROTOR_TIME), element("timeConstantDown", ROTOR_TIME),
        element("maxRotVelocity", TOP_SPEED), element("motorConstant", THRUST_CONSTANT),
        element("momentConstant", DRAG_TORQUE),
        element("commandSubTopic", "motor_speed"), element(release.motor_index, index),
        # Gazebo's drag grows with the rotor's speed: in a hover the four make AIR.
        element("rotorDragCoefficient", AIR / (len(ROTORS) * HOVER_SPEED)),
        element("rollingMomentCoefficient", 0.0), element("rotorVelocitySlowdownSim", SLOWDOWN),
        element("motorType", "velocity"))


def _control(model: Quadrotor, task: Task, release: Release) -> Element:
    """Return the controller of velocity; its gains are torques and forces, not accelerations."""
    limits, noise = task.vehicle, task.disturbances.velocity_noise
    rotors = (element("rotor", element("jointName", f"rotor_{index}_joint"),
                      element("forceConstant", THRUST_CONSTANT),
                      element("momentConstant", DRAG_TORQUE), element("direction", -spin))
              for index, (_, _, spin) in enumerate(ROTORS))
    return system(
        release, "multicopter-control", "MulticopterVelocityControl",
        element("robotNamespace", model.name), element("commandSubTopic", "cmd_vel"),
        element("enableSubTopic", "enable"), element("comLinkName", "base_link"),
        element("velocityGain", VELOCITY_GAIN),
        element("attitudeGain", tuple(ATTITUDE_GAIN * i for i in INERTIA)),
        element("angularRateGain", tuple(k * i for k, i in zip(RATE_GAIN, INERTIA, strict=True))),
        element("maximumLinearAcceleration",
                (MAX_ACCELERATION, MAX_ACCELERATION, MAX_CLIMB_ACCELERATION)),
        # A command turned by the tilt may have more upwards than the ceiling of the climb.
        element("maximumLinearVelocity", (limits.max_speed,) * 3),
        element("maximumAngularVelocity", (limits.max_yaw_rate,) * 3),
        element("linearVelocityNoiseMean", (0.0, 0.0, 0.0)),
        element("linearVelocityNoiseStdDev", (noise, noise, noise / 4.0)),
        element("angularVelocityNoiseMean", (0.0, 0.0, 0.0)),
        element("angularVelocityNoiseStdDev", (0.0, 0.0, 0.0)),
        element("rotorConfiguration", *rotors))
