"""Which way is up, from the inertial sensor alone: a complementary filter.

The gyroscope carries the last answer along; the accelerometer pulls it slowly towards the mean
specific force, which points up whenever the vehicle does not accelerate for long. Mahony et al.,
"Nonlinear complementary filters on the special orthogonal group", IEEE Transactions on Automatic
Control 53 (2008), reduced to one direction and without an estimate of the gyroscope's bias.
"""

from __future__ import annotations

import math

from lnn_ros.timeline.preintegration import Summary, Vector, conjugate, rotate

TIME_CONSTANT_S = 5.0
"""Of the pull. A multicopter's accelerometer never shows its tilt (thrust goes along its own z
axis), so the gyroscope must carry it through a manoeuvre of some seconds."""
LEAST_FORCE = 1.0
"""m/s^2; less (free fall) has no direction worth following."""
LEVEL: Vector = (0.0, 0.0, 1.0)


def carried(up: Vector | None, measured: Summary) -> Vector | None:
    """Return the direction against gravity after a time.

    Parameters
    ----------
    up : Vector or None
        Unit vector, body frame at the beginning; None before there was any sample.
    measured : Summary
        What the sensor says of that time.

    Returns
    -------
    Vector or None
        Unit vector, body frame at the end.
    """
    _, force = measured.means()
    size = math.sqrt(force[0] ** 2 + force[1] ** 2 + force[2] ** 2)
    pull = None if size < LEAST_FORCE else (force[0] / size, force[1] / size, force[2] / size)
    if up is None:
        return pull
    x, y, z = rotate(conjugate(measured.rotation), up)
    if pull is not None:
        share = -math.expm1(-measured.time / TIME_CONSTANT_S)
        x, y, z = x + share * (pull[0] - x), y + share * (pull[1] - y), z + share * (pull[2] - z)
    norm = math.sqrt(x * x + y * y + z * z)
    # Pulled to its very opposite it has no direction for an instant.
    return (x / norm, y / norm, z / norm) if norm > 1e-6 else pull
