"""Preintegration of an inertial sensor: many samples of an interval become one summary.

Source: Forster et al., "On-Manifold Preintegration for Real-Time Visual-Inertial Odometry", IEEE
Transactions on Robotics 33 (2017), without noise propagation. Samples hold from their stamp to the
next (zero-order hold), and the motion under a held sample is integrated exactly, so that a time may
be cut anywhere: the summaries of its pieces compose to that of the whole. Plain floats instead of
arrays: at these sizes several times faster.
"""

from __future__ import annotations

import math
from typing import NamedTuple

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
"""w, x, y, z; rotates from the frame at the end of the time to the frame at its beginning."""
IDENTITY: Quaternion = (1.0, 0.0, 0.0, 0.0)

_SMALL = 0.1
"""Radians below which series take the place of quotients that would lose their digits."""


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


def conjugate(q: Quaternion) -> Quaternion:
    """Return the inverse of a unit quaternion."""
    w, x, y, z = q
    return (w, -x, -y, -z)


def normalised(q: Quaternion) -> Quaternion:
    """Return the unit quaternion of the same direction."""
    w, x, y, z = q
    scale = 1.0 / math.sqrt(w * w + x * x + y * y + z * z)
    return (w * scale, x * scale, y * scale, z * scale)


def rotate(q: Quaternion, v: Vector) -> Vector:
    """Rotate a vector by a unit quaternion."""
    w, x, y, z = q
    tx, ty, tz = 2 * (y * v[2] - z * v[1]), 2 * (z * v[0] - x * v[2]), 2 * (x * v[1] - y * v[0])
    return (
        v[0] + w * tx + y * tz - z * ty,
        v[1] + w * ty + z * tx - x * tz,
        v[2] + w * tz + x * ty - y * tx,
    )


def rotation_vector(q: Quaternion) -> Vector:
    """Axis times angle (rad, at most pi) of a unit quaternion; the same in both of its frames."""
    w, x, y, z = q
    if w < 0:
        w, x, y, z = -w, -x, -y, -z
    sine = math.sqrt(x * x + y * y + z * z)
    scale = 2 * math.atan2(sine, w) / sine if sine > 1e-12 else 2.0
    return (x * scale, y * scale, z * scale)


class Summary(NamedTuple):
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
    rotation: Quaternion = IDENTITY
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
        x, y, z = rotation_vector(self.rotation)
        force = rotate(conjugate(self.rotation), self.velocity)
        return (
            (x / self.time, y / self.time, z / self.time),
            (force[0] / self.time, force[1] / self.time, force[2] / self.time),
        )


def hold(rate: Vector, force: Vector, dt: float) -> Summary:
    """Summary of one sample held for ``dt`` seconds, exactly.

    With R(s) = exp([w]x s), angle = |w| dt, and a, b, c the quotients below,

        int R(s) f ds        = dt f + dt^2 a (w x f) + dt^3 b w x (w x f)
        int int R(u) f du ds = dt^2 / 2 f + dt^3 b (w x f) + dt^4 c w x (w x f)

    which is Rodrigues' formula, integrated once and twice.
    """
    wx, wy, wz = rate
    angle = math.sqrt(wx * wx + wy * wy + wz * wz) * dt
    square = angle * angle
    if angle < _SMALL:
        half = 0.5 - square / 48 * (1 - square / 80 * (1 - square / 168))
        a = 0.5 - square / 24 * (1 - square / 30 * (1 - square / 56))
        b = (1 - square / 20 * (1 - square / 42 * (1 - square / 72))) / 6
        c = (1 - square / 30 * (1 - square / 56 * (1 - square / 90))) / 24
        cosine = math.cos(angle / 2)
    else:
        sine, cosine = math.sin(angle / 2), math.cos(angle / 2)
        half = sine / angle
        a = 2 * sine * sine / square
        b = (angle - math.sin(angle)) / (square * angle)
        c = (0.5 - a) / square
    half *= dt
    fx, fy, fz = force
    gx, gy, gz = wy * fz - wz * fy, wz * fx - wx * fz, wx * fy - wy * fx
    hx, hy, hz = wy * gz - wz * gy, wz * gx - wx * gz, wx * gy - wy * gx
    t2 = dt * dt
    once, a, b, c = t2 / 2, t2 * a, t2 * dt * b, t2 * t2 * c
    return Summary(
        dt,
        (cosine, wx * half, wy * half, wz * half),
        (
            fx * dt + gx * a + hx * b,
            fy * dt + gy * a + hy * b,
            fz * dt + gz * a + hz * b,
        ),
        (
            fx * once + gx * b + hx * c,
            fy * once + gy * b + hy * c,
            fz * once + gz * b + hz * c,
        ),
    )
