"""Stamps: none, out of order, or of another clock, whose offset is named."""

from __future__ import annotations

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st
from seen_robots import clock, guarded, heard, hearing, simulated, well
from verdicts import bad, only

from lnn_ros.nodes.doctor.checks import stamps
from lnn_ros.nodes.doctor.findings import Verdict
from lnn_ros.nodes.doctor.snapshot import Snapshot
from lnn_ros.nodes.settings import CameraSettings, ControllerSettings

BOOT_S = 40_000.0


def test_simulated_sensors_are_judged_by_the_clock() -> None:
    times = clock([1.0 + 0.05 * k for k in range(101)])
    seen = simulated(well(), times)
    for name, rate_hz in (("image", 20.0), ("imu", 20.0)):
        now = heard(rate_hz)
        seen = hearing(seen, name, arrivals_ns=now.arrivals_ns, stamps_ns=tuple(
            round((1.0 + k / rate_hz - 0.01) * 1e9) for k in range(len(now))), readings=None)
    found = bad(seen)
    assert "image stamps" not in found and "image rate" not in found


def test_sensors_and_controller_of_different_clocks() -> None:
    times = clock([1.0 + 0.05 * k for k in range(101)])
    system_stamps = simulated(well(), times)
    assert "system's clock" in bad(system_stamps)["image stamps"].found
    now = heard(20.0)
    sim_stamps = hearing(dataclasses.replace(well(), clock=times), "image", stamps_ns=tuple(
        round((1.0 + k / 20) * 1e9) for k in range(len(now))))
    finding = bad(sim_stamps)["image stamps"]
    assert "/clock" in finding.found and "use_sim_time" in finding.remedy


def lagging(lag_s: float, offset_s: float = 0.0) -> Snapshot:
    """Return a robot whose camera stamps by another clock."""
    settings = ControllerSettings(camera=CameraSettings(offset_s=offset_s))
    return hearing(well(settings), "image", stamps_ns=heard(20.0, lag_s=lag_s).stamps_ns)


@given(st.one_of(st.floats(0.6, 1.7e9), st.floats(-1e6, -0.6)))
@settings(max_examples=40)
def test_offset_that_is_named_mends_it(lag_s) -> None:
    for given_s in (0.0, lag_s + 3.0):
        finding = only(lagging(lag_s, given_s), "image stamps", Verdict.FAIL, "camera.offset_s")
        number = float(finding.remedy.split("camera.offset_s to ")[1].split(",")[0])
        assert bad(lagging(lag_s, number)) == {}


def test_clock_since_boot_is_recognised() -> None:
    end = well().ended_ns
    seen = hearing(well(), "imu", stamps_ns=tuple(
        arrival - end + round(BOOT_S * 1e9) for arrival in well().listened("imu").arrivals_ns))
    only(seen, "imu stamps", Verdict.FAIL, "boot", "imu.offset_s")


def test_notable_offset_is_a_warning_and_a_small_one_is_none() -> None:
    only(lagging(0.2), "image stamps", Verdict.WARN, "0.200 s behind", "camera.offset_s to 0.200")
    assert bad(lagging(0.05)) == {}
    only(lagging(-0.2), "image stamps", Verdict.WARN, "ahead of")


def test_zero_stamps() -> None:
    seen = hearing(well(), "imu", stamps_ns=(0,) * 1000)
    only(seen, "imu stamps", Verdict.FAIL, "1000 of 1000", "header.stamp")


def test_stamps_that_go_back() -> None:
    known = list(well().listened("imu").stamps_ns)
    little = known[:500] + known[480:480 + 1] + known[501:]
    assert [f for f in stamps.check(hearing(well(), "imu", stamps_ns=tuple(little)))
            if "out of order" in f.found]
    far = (*known[:500], known[300], *known[501:])
    assert "imu stamps" in bad(hearing(well(), "imu", stamps_ns=far))


def test_clock_that_nobody_is_said_to_read() -> None:
    seen = dataclasses.replace(well(), stated=False, clock=clock([1.0, 1.05]))
    only(seen, "clock", Verdict.WARN, "use_sim_time")


def test_stamps_of_what_the_guard_is_told() -> None:
    for name in ("odom", "scan"):
        stamped = guarded().listened(name).stamps_ns
        zero = hearing(guarded(), name, stamps_ns=(0,) * len(stamped))
        only(zero, f"{name} stamps", Verdict.FAIL, "are zero")
        for off in (1, -1):
            other = hearing(guarded(), name, stamps_ns=tuple(
                stamp - off * 3_000_000_000 for stamp in stamped))
            only(other, f"{name} stamps", Verdict.FAIL, "3.0 s", "chrony")
