"""The IMU: units, gravity and mounting, by what it reads at rest; in motion what is certain."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lnn_ros.geometry import Mounting
from lnn_ros.nodes.doctor.findings import Finding, fail, ok, warn
from lnn_ros.nodes.doctor.snapshot import Heard, Snapshot
from lnn_ros.nodes.doctor.status import said
from lnn_ros.timeline.samples import MAX_FORCE, MAX_RATE

GRAVITY = 9.80665
_FEW = 20  # readings
_STEADY = 0.3  # rad/s: more than a gyroscope's noise, even if it is in degrees
_QUIET = 0.6  # m/s^2: how much force varies at rest, motors off
_WINDOW_S = 1.0  # over which turning must show in the direction of gravity
_TURNED = 0.5  # rad: a predicted turn that could not be overlooked
_MUCH = 8.0  # times as much as is seen: between 1 and 57, and far from both
_UP_REST, _UP_MOVING = math.radians(10.0), math.radians(45.0)
_DEGREES = math.pi / 180.0

Floats = NDArray[np.float64]


def check(seen: Snapshot) -> Iterator[Finding]:
    """Judge the readings."""
    heard = seen.listened("imu")
    if heard.undecodable:
        yield fail("imu content", f"{heard.undecodable} messages could not be decoded",
                   "build publisher and controller against the same version of sensor_msgs")
    if heard.problem:
        yield fail("imu content", heard.problem, "let the driver publish both rates and forces "
                   "(MAVROS: imu/data, not imu/data_raw of a magnetometer)")
    readings = heard.readings
    if readings is None or len(readings) < _FEW:
        return
    force = readings[:, 3:].mean(axis=0)
    rest = at_rest(readings) and not _flies(seen)
    yield _unit_of_rates(readings, heard, rest)
    unit = _unit_of_forces(readings, force, rest)
    yield unit
    if not unit.remedy:
        yield _mounting(seen, force, rest)


def at_rest(readings: Floats) -> bool:
    """Tell whether the vehicle stands."""
    if (readings[:, :3].std(axis=0) > _STEADY).any():
        return False
    spread = readings[:, 3:].std(axis=0)
    # In g, a vehicle in flight would seem to stand: what varies is judged by what there is.
    scale = min(1.0, float(np.linalg.norm(readings[:, 3:].mean(axis=0))) / GRAVITY)
    return bool((spread < _QUIET * max(scale, 1e-3)).all())


def _flies(seen: Snapshot) -> bool:
    """Tell whether the vehicle says that it flies: hovering looks like rest."""
    state = seen.listened("vehicle_state").last
    return said(state).get("airborne") == "true"


def level(force: Floats) -> tuple[float, float]:
    """Return the roll and pitch, rad, with which a mounting turns a force upwards.

    A turn about the vertical cannot be seen in it.
    """
    x, y, z = force / np.linalg.norm(force)
    return math.atan2(y, z), math.asin(min(max(-x, -1.0), 1.0))


def turning(readings: Floats, times_s: Floats) -> tuple[float, float]:
    """Compare how far the body turned by its rates with how far gravity moved in its frame.

    Returns
    -------
    predicted, seen : float
        rad, the mean over windows of a second, of turns that move gravity: turning about the
        vertical is left out, as nothing shows it.
    """
    predicted, found = [], []
    starts = np.arange(times_s[0], times_s[-1] - _WINDOW_S, _WINDOW_S)
    for start in starts:
        part = (times_s >= start) & (times_s < start + _WINDOW_S)
        if part.sum() < _FEW:
            continue
        rates, forces = readings[part, :3], readings[part, 3:]
        third = max(1, len(forces) // 3)
        before, after = _unit(forces[:third].mean(axis=0)), _unit(forces[-third:].mean(axis=0))
        across = rates.mean(axis=0) - rates.mean(axis=0) @ before * before
        predicted.append(float(np.linalg.norm(across)) * _WINDOW_S * 2 / 3)
        found.append(math.acos(min(max(float(before @ after), -1.0), 1.0)))
    if not predicted:
        return 0.0, 0.0
    return float(np.mean(predicted)), float(np.mean(found))


def _unit(vector: Floats) -> Floats:
    unit: Floats = vector / max(float(np.linalg.norm(vector)), 1e-9)
    return unit


def _unit_of_rates(readings: Floats, heard: Heard, rest: bool) -> Finding:
    what, remedy = "imu rates", "let the driver publish rad/s (times 0.0174533)"
    largest = float(abs(readings[:, :3]).max())
    if largest > MAX_RATE:
        return fail(what, f"up to {largest:.0f} rad/s, more than {MAX_RATE:g} is refused: these "
                    f"look like degrees a second", remedy)
    arrivals = heard.arrivals_ns
    if len(arrivals) == len(readings):
        times = (np.array(heard.stamps_ns or arrivals) - min(heard.stamps_ns or arrivals)) / 1e9
        predicted, seen = turning(readings, times)
        if predicted > _TURNED and predicted > _MUCH * max(seen, 0.01):
            return fail(what, f"a turn of {predicted / _DEGREES:.0f} degrees a second shows as "
                        f"{seen / _DEGREES:.1f} in the direction of gravity: these look like "
                        f"degrees a second", remedy)
    mean = float(np.linalg.norm(readings[:, :3].mean(axis=0)))
    how = "at rest" if rest else "in motion"
    return ok(what, f"{mean:.3f} rad/s at the mean, up to {largest:.2f}, {how}")


def _unit_of_forces(readings: Floats, force: Floats, rest: bool) -> Finding:
    what, size = "imu gravity", float(np.linalg.norm(force))
    largest = float(abs(readings[:, 3:]).max())
    text = f"{size:.2f} m/s^2 at the mean{'' if rest else ', in motion'}"
    if largest > MAX_FORCE:
        return fail(what, f"up to {largest:.0f} m/s^2, more than {MAX_FORCE:g} is refused: these "
                    f"look like thousandths of g", "let the driver publish m/s^2")
    if 0.7 < size < 1.4:
        return fail(what, f"{text}: these look like g", "let the driver publish m/s^2 (times "
                    "9.80665)")
    if size < 3.0:
        return fail(what, f"{text}: gravity has been taken out", "publish what the accelerometer "
                    "measures, with gravity (9.81 upwards at rest)")
    if not abs(size - GRAVITY) < (0.5 if rest else 3.0):
        return warn(what, f"{text}: expected about {GRAVITY:.2f}", "calibrate the accelerometer, "
                    "and look at vibration")
    return ok(what, text)


def _mounting(seen: Snapshot, force: Floats, rest: bool) -> Finding:
    """Judge where up is, with the mounting that the parameters say."""
    what, settings = "imu mounting", seen.settings.imu
    mounting = Mounting(settings.roll, settings.pitch, settings.yaw)
    up = _unit(mounting.rotation @ force)
    off = math.acos(min(max(float(up[2]), -1.0), 1.0))
    text = f"up is {off / _DEGREES:.0f} degrees from z of {seen.settings.base_frame}"
    if off < (_UP_REST if rest else _UP_MOVING):
        return ok(what, text if rest else f"{text}, in motion: at rest it is seen exactly")
    roll, pitch = (_snapped(angle) for angle in level(force))
    flipped = " (a driver that speaks forward, right, down looks so)" if up[2] < -0.9 else ""
    tell = fail if off > _UP_MOVING else warn
    return tell(what, f"{text}{flipped}",
                f"set imu.roll to {roll:.4f} and imu.pitch to {pitch:.4f} if the vehicle stands "
                f"on level ground, and imu.yaw by how it is mounted (gravity does not show it)")


def _snapped(angle: float) -> float:
    """Round to a quarter turn, if it is within 5 degrees of one: nobody mounts at 89."""
    quarter = round(angle / (math.pi / 2)) * math.pi / 2
    if abs(angle - quarter) >= _UP_REST / 2:
        return angle
    return abs(quarter) if abs(quarter) > 3.0 or quarter == 0.0 else quarter  # half a turn is one
