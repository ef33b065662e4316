"""The IMU: units, gravity and mounting, by what it reads."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seen_robots import HOVER, hearing, resting, said, well
from verdicts import bad, only

from lnn_ros.geometry import Mounting
from lnn_ros.nodes.doctor.checks import imu, judge
from lnn_ros.nodes.doctor.findings import Verdict
from lnn_ros.nodes.doctor.snapshot import Snapshot
from lnn_ros.nodes.settings import ControllerSettings, ImuSettings


def turned_imu(mounting: Mounting, settings: ImuSettings | None = None) -> Snapshot:
    """Return a robot at rest whose IMU is mounted like this."""
    gravity = mounting.rotation.T @ HOVER[3:]
    readings = resting(np.concatenate([np.zeros(3), gravity]))
    return hearing(well(ControllerSettings(imu=settings or ImuSettings())), "imu",
                   readings=readings)


@given(st.floats(-math.pi, math.pi), st.floats(-1.3, 1.3))
@settings(max_examples=40)
def test_mounting_of_the_imu_is_named_and_mends_it(roll, pitch) -> None:
    seen = turned_imu(Mounting(roll, pitch))
    found = bad(seen)
    if not found:
        assert math.cos(roll) * math.cos(pitch) > math.cos(math.radians(11.0))
        return
    assert list(found) == ["imu mounting"]
    words = found["imu mounting"].remedy.replace(",", " ").split()
    values = {axis: float(words[words.index(f"imu.{axis}") + 2]) for axis in ("roll", "pitch")}
    assert bad(turned_imu(Mounting(roll, pitch), ImuSettings(**values))) == {}


def test_driver_that_speaks_ned() -> None:
    finding = only(turned_imu(Mounting(math.pi)), "imu mounting", Verdict.FAIL, "180 degrees",
                   "forward, right, down")
    assert "imu.roll to 3.1416 and imu.pitch to 0.0000" in finding.remedy


@pytest.mark.parametrize(("force", "word", "verdict"), [
    ((0.0, 0.0, 1.0), "these look like g", Verdict.FAIL),
    ((0.0, 0.0, 0.02), "gravity has been taken out", Verdict.FAIL),
    ((0.0, 0.0, 1003.0), "thousandths", Verdict.FAIL),
    ((0.0, 0.0, 11.5), "expected about 9.81", Verdict.WARN)])
def test_units_of_forces(force, word, verdict) -> None:
    seen = hearing(well(), "imu", readings=resting(np.array([0.0, 0.0, 0.0, *force])))
    only(seen, "imu gravity", verdict, word)


def swinging(scale: float) -> np.ndarray:
    """Return readings of a body that is rocked about x, by hand: rates times ``scale``."""
    t = np.arange(1000) / 200.0
    angle, rate = 0.5 * np.sin(2.0 * t), 1.0 * np.cos(2.0 * t)
    readings = np.zeros((1000, 6))
    readings[:, 0] = scale * rate
    readings[:, 4], readings[:, 5] = 9.81 * np.sin(angle), 9.81 * np.cos(angle)
    return readings + np.random.default_rng(1).normal(0.0, 0.05, (1000, 6))


def test_rates_in_degrees_show_in_motion_and_by_the_bias_at_rest() -> None:
    for readings in (swinging(180.0 / math.pi),
                     resting(np.array([1.2, 0.0, 0.0, 0.0, 0.0, 9.81]))):
        seen = hearing(well(), "imu", readings=readings)
        only(seen, "imu rates", Verdict.FAIL, "degrees a second", "0.0174533")
    assert "imu rates" not in bad(hearing(well(), "imu", readings=swinging(1.0)))


def test_turn_about_the_vertical_does_not_show_and_is_not_asked_to() -> None:
    readings = resting()
    readings[:, 2] += 1.5
    assert bad(hearing(well(), "imu", readings=readings)) == {}


def test_flight_is_not_judged_as_rest() -> None:
    t = np.arange(1000) / 200.0
    readings = resting()
    readings[:, 3] += 3.0 * np.sin(3.0 * t)
    readings[:, 5] += 2.0 * np.cos(2.0 * t)
    seen = hearing(well(), "imu", readings=readings)
    assert not imu.at_rest(readings) and bad(seen) == {}
    turns = resting()
    turns[:, 2] += np.sin(3.0 * t)
    assert not imu.at_rest(turns) and imu.at_rest(resting())
    hovers = hearing(well(), "vehicle_state", last=said(airborne="true", velocity_mode="true"))
    assert all("in motion" in f.found for f in judge(hovers) if f.what == "imu rates")


def test_imu_without_one_of_its_halves() -> None:
    seen = hearing(well(), "imu", readings=np.zeros((0, 6)),
                   problem="IMU says that it has no angular_velocity")
    only(seen, "imu content", Verdict.FAIL, "no angular_velocity")
