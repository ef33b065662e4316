"""Preintegration of an inertial sensor: many samples of an interval become one summary.

Source: Forster et al., "On-Manifold Preintegration for Real-Time Visual-Inertial Odometry", IEEE
Transactions on Robotics 33 (2017), without noise propagation. Samples hold from their stamp to the
next (zero-order hold). Plain floats instead of arrays: at these sizes several times faster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
"""w, x, y, z; rotates from the frame at the end of the time to the frame at its beginning."""


def multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """Quaternion product."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


def rotate(q: Quaternion, v: Vector) -> Vector:
    """Rotate a vector by a unit quaternion."""
    w, x, y, z = q
    tx, ty, tz = 2 * (y * v[2] - z * v[1]), 2 * (z * v[0] - x * v[2]), 2 * (x * v[1] - y * v[0])
    return (
        v[0] + w * tx + y * tz - z * ty,
        v[1] + w * ty + z * tx - x * tz,
        v[2] + w * tz + x * ty - y * tx,
    )


def _rotation(rate: Vector, dt: float) -> Quaternion:
    """Rotation of a constant angular rate."""
    angle = math.sqrt(rate[0] ** 2 + rate[1] ** 2 + rate[2] ** 2) * dt
    half = angle / 2
    # sin(half) / angle, by its series where the quotient would lose all digits
    factor = dt * (math.sin(half) / angle if angle > 1e-8 else 0.5 - angle * angle / 48)
    return (math.cos(half), rate[0] * factor, rate[1] * factor, rate[2] * factor)


@dataclass(frozen=True)
class Summary:
    """What the sensor measured over a time; summaries of adjoining times compose.

    Attributes
    ----------
    time : float
        Seconds covered by samples.
    rotation : Quaternion
        From the body at the end to the body at the beginning.
    velocity, position : Vector
        Increments from specific force (gravity included), in the frame at the beginning; m/s, m.
    """

    time: float = 0.0
    rotation: Quaternion = (1.0, 0.0, 0.0, 0.0)
    velocity: Vector = (0.0, 0.0, 0.0)
    position: Vector = (0.0, 0.0, 0.0)

    def then(self, later: Summary) -> Summary:
        """Summary of this time followed by ``later``."""
        dv, dp = rotate(self.rotation, later.velocity), rotate(self.rotation, later.position)
        v, p, t = self.velocity, self.position, later.time
        return Summary(
            self.time + t,
            multiply(self.rotation, later.rotation),
            (v[0] + dv[0], v[1] + dv[1], v[2] + dv[2]),
            (p[0] + v[0] * t + dp[0], p[1] + v[1] * t + dp[1], p[2] + v[2] * t + dp[2]),
        )

    def means(self) -> tuple[Vector, Vector]:
        """Mean angular rate (rad/s) and mean specific force (m/s^2), in the frame at the end.

        Zeros when no time is covered; the age and the coverage say so to the network.
        """
        if self.time <= 0.0:
            return (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
        w, x, y, z = self.rotation
        if w < 0:
            w, x, y, z = -w, -x, -y, -z
        sine = math.sqrt(x * x + y * y + z * z)
        scale = (2 * math.atan2(sine, w) / sine if sine > 1e-12 else 2.0) / self.time
        force = rotate((w, -x, -y, -z), self.velocity)
        return (
            (x * scale, y * scale, z * scale),
            (force[0] / self.time, force[1] / self.time, force[2] / self.time),
        )


def hold(rate: Vector, force: Vector, dt: float) -> Summary:
    """Summary of one sample held for ``dt`` seconds.

    The velocity uses the rotation at the middle, the position the start's: second order in ``dt``.
    """
    half = _rotation(rate, dt / 2)
    fx, fy, fz = rotate(half, force)
    square = dt * dt / 2
    return Summary(
        dt,
        multiply(half, half),
        (fx * dt, fy * dt, fz * dt),
        (fx * square, fy * square, fz * square),
    )
