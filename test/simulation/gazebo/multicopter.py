"""Gazebo's multicopter without Gazebo: a rigid body with the numbers of a model.sdf.

What Gazebo's documentation and the papers that it names say of MulticopterMotorModel (first-order
motors, thrust and drag by the rotor's speed) and of MulticopterVelocityControl (Lee's geometric
controller with a desired velocity instead of a position; the command is turned by the full
attitude; no integral). Enough to find gains that do not fly; not a copy of Gazebo.
"""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

GRAVITY = np.array([0.0, 0.0, -9.81])


def vector(found: Element, name: str) -> np.ndarray:
    """Return the numbers of an element."""
    text = found.findtext(name)
    assert text is not None, name
    return np.array([float(word) for word in text.split()])


def number(found: Element, name: str) -> float:
    """Return the number of an element."""
    (value,) = vector(found, name)
    return float(value)


def skew(v: np.ndarray) -> np.ndarray:
    """Return the matrix that takes the cross product with a vector."""
    x, y, z = v
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


class Multicopter:
    """A model in flight: ``step`` with a body-frame velocity and a yaw rate."""

    def __init__(self, path: Path, wind: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        model = ElementTree.parse(path).getroot().find("model")
        assert model is not None
        links = {link.get("name"): link for link in model.iter("link")}
        arms: dict[str | None, np.ndarray] = {}
        self.mass, self.inertia = 0.0, np.zeros((3, 3))
        for name, link in links.items():
            at = (vector(link, "pose") if link.find("pose") is not None else np.zeros(6))[:3]
            arms[name] = at
            mass = number(link, "inertial/mass")
            own = np.diag([number(link, f"inertial/inertia/i{two}") for two in ("xx", "yy", "zz")])
            self.mass += mass
            self.inertia += own + mass * (at @ at * np.eye(3) - np.outer(at, at))
        plugins = list(model.iter("plugin"))
        motors = [p for p in plugins if p.get("name", "").endswith("MulticopterMotorModel")]
        index = "actuator_number" if motors[0].find("actuator_number") is not None \
            else "motorNumber"
        motors.sort(key=lambda motor: number(motor, index))
        self.arm = np.array([arms[motor.findtext("linkName")] for motor in motors])
        self.thrust, self.moment, self.drag, self.top, self.up_s, self.down_s = (
            np.array([number(motor, name) for motor in motors]) for name in (
                "motorConstant", "momentConstant", "rotorDragCoefficient", "maxRotVelocity",
                "timeConstantUp", "timeConstantDown"))
        self.turning = np.array([{"ccw": 1.0, "cw": -1.0}[motor.findtext("turningDirection") or ""]
                                 for motor in motors])
        (control,) = (p for p in plugins
                      if p.get("name", "").endswith("MulticopterVelocityControl"))
        self.fastest, self.fastest_turn, self.most, self.velocity_gain, self.attitude_gain, \
            self.rate_gain = (vector(control, name) for name in (
                "maximumLinearVelocity", "maximumAngularVelocity", "maximumLinearAcceleration",
                "velocityGain", "attitudeGain", "angularRateGain"))
        self.allocation = _allocation(control, arms)
        self.mobility = np.linalg.inv(self.inertia)
        self.wind = np.array(wind)
        self.position, self.velocity = np.zeros(3), np.zeros(3)
        self.rotation, self.rates = np.eye(3), np.zeros(3)
        self.speeds = np.zeros(len(motors))

    def wanted_speeds(self, command: np.ndarray) -> np.ndarray:
        """Return the rotor speeds that the controller asks for, rad/s."""
        wish = np.clip(command[:3], -self.fastest, self.fastest)
        error = self.velocity - self.rotation @ wish
        slow = self.velocity_gain * error / self.mass
        force = np.clip(slow, -self.most, self.most) + GRAVITY  # against what is wanted
        up = -force / np.linalg.norm(force)
        left = skew(up) @ self.rotation[:, 0]
        left /= np.linalg.norm(left)
        wanted = np.column_stack([skew(left) @ up, left, up])
        tilt = 0.5 * (wanted.T @ self.rotation - self.rotation.T @ wanted)
        lean = np.array([tilt[2, 1], tilt[0, 2], tilt[1, 0]])
        turn = float(np.clip(command[3], -self.fastest_turn[2], self.fastest_turn[2]))
        spin = self.rates - self.rotation.T @ wanted @ [0.0, 0.0, turn]
        torque = -self.attitude_gain * lean - self.rate_gain * spin
        thrust = -self.mass * float(force @ self.rotation[:, 2])
        return np.sqrt(np.maximum(self.allocation @ [*torque, thrust], 0.0))

    def step(self, command: np.ndarray, dt: float = 0.0025) -> None:
        """Advance by one physics step."""
        force = self.mass * GRAVITY
        air = self.velocity - self.wind
        across = air - air @ self.rotation[:, 2] * self.rotation[:, 2]
        thrust = self.thrust * self.speeds**2
        pushes = (thrust[:, None] * self.rotation[:, 2]
                  - (self.speeds * self.drag)[:, None] * across)
        force = force + pushes.sum(axis=0)
        lever = self.arm.T @ (pushes @ self.rotation)  # the torque is its antisymmetric part
        torque = np.array([lever[1, 2] - lever[2, 1], lever[2, 0] - lever[0, 2],
                           lever[0, 1] - lever[1, 0]])
        torque[2] -= (self.turning * thrust * self.moment).sum()
        goal = np.minimum(self.wanted_speeds(command), self.top)
        lag = np.where(goal > self.speeds, self.up_s, self.down_s)
        self.speeds = self.speeds + (goal - self.speeds) * (1.0 - np.exp(-dt / lag))
        self.velocity = self.velocity + force / self.mass * dt
        self.position = self.position + self.velocity * dt
        gyration = skew(self.rates) @ self.inertia @ self.rates
        self.rates = self.rates + self.mobility @ (torque - gyration) * dt
        angle = float(np.linalg.norm(self.rates)) * dt
        if angle > 0.0:
            cross = skew(self.rates * dt / angle)
            self.rotation = self.rotation @ (np.eye(3) + math.sin(angle) * cross
                                             + (1.0 - math.cos(angle)) * cross @ cross)

    @property
    def level(self) -> np.ndarray:
        """The levelled body's axes in the world, as columns."""
        yaw = math.atan2(self.rotation[1, 0], self.rotation[0, 0])
        c, s = math.cos(yaw), math.sin(yaw)
        return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _allocation(control: Element, arms: dict[str | None, np.ndarray]) -> np.ndarray:
    """Return the way from torques and thrust to squares of the rotors' speeds."""
    columns = []
    for rotor in control.iter("rotor"):
        x, y, _ = arms[(rotor.findtext("jointName") or "").removesuffix("_joint")]
        force, moment = number(rotor, "forceConstant"), number(rotor, "momentConstant")
        columns.append([y * force, -x * force, -number(rotor, "direction") * moment * force,
                        force])
    assert np.linalg.matrix_rank(np.array(columns), tol=1e-12) == 4
    return np.linalg.pinv(np.array(columns).T, rcond=1e-9)
