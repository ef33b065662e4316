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


class Multicopter:
    """A model in flight: ``step`` with a body-frame velocity and a yaw rate."""

    def __init__(self, path: Path, wind: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        model = ElementTree.parse(path).getroot().find("model")
        assert model is not None
        links = {link.get("name"): link for link in model.iter("link")}
        self.arms, self.mass, self.inertia = {}, 0.0, np.zeros((3, 3))
        for name, link in links.items():
            at = (vector(link, "pose") if link.find("pose") is not None else np.zeros(6))[:3]
            self.arms[name] = at
            mass = number(link, "inertial/mass")
            own = np.diag([number(link, f"inertial/inertia/i{two}") for two in ("xx", "yy", "zz")])
            self.mass += mass
            self.inertia += own + mass * (at @ at * np.eye(3) - np.outer(at, at))
        plugins = list(model.iter("plugin"))
        motors = [p for p in plugins if p.get("name", "").endswith("MulticopterMotorModel")]
        index = "actuator_number" if motors[0].find("actuator_number") is not None \
            else "motorNumber"
        self.motors = sorted(motors, key=lambda motor: number(motor, index))
        (self.control,) = (p for p in plugins
                           if p.get("name", "").endswith("MulticopterVelocityControl"))
        self._allocate()
        self.wind = np.array(wind)
        self.position, self.velocity = np.zeros(3), np.zeros(3)
        self.rotation, self.rates = np.eye(3), np.zeros(3)
        self.speeds = np.zeros(len(self.motors))

    def _allocate(self) -> None:
        """Prepare the way from torques and thrust to squares of the rotors' speeds."""
        columns = []
        for rotor in self.control.iter("rotor"):
            joint = rotor.findtext("jointName") or ""
            x, y, _ = self.arms[joint.removesuffix("_joint")]
            force, moment = number(rotor, "forceConstant"), number(rotor, "momentConstant")
            columns.append([y * force, -x * force, -number(rotor, "direction") * moment * force,
                            force])
        self.allocation = np.linalg.pinv(np.array(columns).T)
        assert np.linalg.matrix_rank(np.array(columns)) == 4

    def wanted_speeds(self, command: np.ndarray) -> np.ndarray:
        """Return the rotor speeds that the controller asks for, rad/s."""
        top, turn = (vector(self.control, f"maximum{kind}Velocity")
                     for kind in ("Linear", "Angular"))
        wish = np.clip(command[:3], -top, top)
        error = self.velocity - self.rotation @ wish
        slow = vector(self.control, "velocityGain") * error / self.mass
        most = vector(self.control, "maximumLinearAcceleration")
        force = np.clip(slow, -most, most) + GRAVITY  # against the acceleration that is wanted
        up = -force / np.linalg.norm(force)
        left = np.cross(up, self.rotation[:, 0])
        left /= np.linalg.norm(left)
        wanted = np.column_stack([np.cross(left, up), left, up])
        tilt = 0.5 * (wanted.T @ self.rotation - self.rotation.T @ wanted)
        lean = np.array([tilt[2, 1], tilt[0, 2], tilt[1, 0]])
        spin = self.rates - self.rotation.T @ wanted @ [
            0.0, 0.0, float(np.clip(command[3], -turn[2], turn[2]))]
        torque = (-vector(self.control, "attitudeGain") * lean
                  - vector(self.control, "angularRateGain") * spin)
        thrust = -self.mass * float(force @ self.rotation[:, 2])
        return np.sqrt(np.maximum(self.allocation @ [*torque, thrust], 0.0))

    def step(self, command: np.ndarray, dt: float = 0.0025) -> None:
        """Advance by one physics step."""
        wanted = self.wanted_speeds(command)
        force, torque = self.mass * GRAVITY, np.zeros(3)
        air = self.velocity - self.wind
        across = air - air @ self.rotation[:, 2] * self.rotation[:, 2]
        for i, motor in enumerate(self.motors):
            speed = self.speeds[i]
            thrust = number(motor, "motorConstant") * speed**2
            arm = self.arms[motor.findtext("linkName")]
            drag = -speed * number(motor, "rotorDragCoefficient") * across
            push = self.rotation @ [0.0, 0.0, thrust] + drag
            force = force + push
            turning = {"ccw": 1.0, "cw": -1.0}[motor.findtext("turningDirection") or ""]
            torque += np.cross(arm, self.rotation.T @ push)
            torque[2] -= turning * thrust * number(motor, "momentConstant")
            goal = min(wanted[i], number(motor, "maxRotVelocity"))
            name = "timeConstantUp" if goal > speed else "timeConstantDown"
            self.speeds[i] += (goal - speed) * (1.0 - math.exp(-dt / number(motor, name)))
        self.velocity = self.velocity + force / self.mass * dt
        self.position = self.position + self.velocity * dt
        gyration = np.cross(self.rates, self.inertia @ self.rates)
        self.rates = self.rates + np.linalg.solve(self.inertia, torque - gyration) * dt
        angle = float(np.linalg.norm(self.rates)) * dt
        if angle > 0.0:
            axis = self.rates * dt / angle
            cross = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]],
                              [-axis[1], axis[0], 0.0]])
            self.rotation = self.rotation @ (np.eye(3) + math.sin(angle) * cross
                                             + (1.0 - math.cos(angle)) * cross @ cross)

    def levelled(self, velocity: np.ndarray) -> np.ndarray:
        """Return a velocity of the world in the levelled body frame."""
        yaw = math.atan2(self.rotation[1, 0], self.rotation[0, 0])
        c, s = math.cos(yaw), math.sin(yaw)
        return np.array([c * velocity[0] + s * velocity[1],
                         c * velocity[1] - s * velocity[0], velocity[2]])
