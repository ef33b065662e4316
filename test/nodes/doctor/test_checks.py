"""What holds for all checks: whatever is seen is judged, and nothing but what is wrong is said."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from seen_robots import (
    COMPRESSED,
    IMAGE,
    IMU,
    INFO,
    STAMPED,
    STATUS,
    TWIST,
    calibration,
    hearing,
    picture,
    said,
    well,
)
from verdicts import bad, only

from lnn_ros.nodes.doctor.checks import judge
from lnn_ros.nodes.doctor.findings import Verdict, worst
from lnn_ros.nodes.doctor.snapshot import Endpoint, Heard, Quality, Topic
from lnn_ros.nodes.parameter_rows import build
from lnn_ros.nodes.settings import ControllerSettings, VehicleAdapterSettings


def test_robot_that_is_well_has_nothing_to_mend() -> None:
    assert bad(well()) == {}
    assert len(judge(well())) > 25
    assert worst(judge(well())) is Verdict.OK


def test_finding_is_one_line_however_others_speak() -> None:
    seen = hearing(well(), "controller/status", last=said(2, "fault: a\n  b", active="true"))
    line = str(only(seen, "controller", Verdict.FAIL))
    assert line.startswith(f"fail  {'controller':22s}  fault: a b  -> ")


def test_checks_need_no_ros() -> None:
    code = "import sys; import lnn_ros.nodes.doctor.checks; sys.exit('rclpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


ENDPOINTS = st.lists(st.builds(
    Endpoint, st.sampled_from(("/controller", "/vehicle_adapter", "/a", "/b")),
    st.sampled_from((IMAGE, INFO, IMU, STAMPED, TWIST, STATUS, COMPRESSED)),
    st.builds(Quality, st.booleans(), st.booleans(), st.sampled_from((0.1, math.inf)),
              st.sampled_from((0.1, math.inf)), st.booleans())), max_size=3).map(tuple)
TOPICS = st.dictionaries(st.sampled_from(
    ("/image", "/image/compressed", "/imu", "/imu/data", "/camera_info", "/cmd_vel", "/takeover",
     "/vehicle/cmd_vel", "/vehicle_state", "/clock")), st.builds(Topic, ENDPOINTS, ENDPOINTS))
TIMES = st.lists(st.integers(0, 2**40), max_size=6).map(tuple)
STATUSES = st.builds(said, st.integers(0, 3), st.sampled_from(("", " ", "a\nb")),
                     airborne=st.sampled_from(("true", "false", "", "perhaps")),
                     velocity_mode=st.sampled_from(("true", "")),
                     state=st.sampled_from(("passing", "contested", "timed out")),
                     troubles=st.sampled_from(("", "x")), active=st.sampled_from(("true", "false")))


@st.composite
def heards(draw: st.DrawFn, message: object) -> Heard:
    """Draw what came: as many stamps as arrivals, or none."""
    arrivals = tuple(sorted(draw(TIMES)))
    count = len(arrivals)
    row = st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=6)
    stamped = draw(st.booleans())
    return Heard(
        arrivals, tuple(draw(st.lists(st.integers(0, 2**40), min_size=count, max_size=count)))
        if stamped else (), (), draw(st.lists(st.sampled_from(("", "a", "base_link")), unique=True)
                                     .map(tuple)), draw(st.integers(0, 10**7)), draw(
            st.integers(0, 2)),
        np.array(draw(st.lists(row, max_size=25))).reshape(-1, 6), draw(st.sampled_from(
            ("", "bad"))), message, message)


@given(TOPICS, st.data())
@settings(max_examples=60)
def test_judges_whatever_is_seen(graph, data) -> None:
    wanted = build(ControllerSettings, {
        "lockstep": data.draw(st.booleans()),
        "image_transport": data.draw(st.sampled_from(("raw", "compressed"))),
        "camera.fov_deg": data.draw(st.sampled_from((0.0, 90.0)))})
    drawn = {name: data.draw(heards(message)) for name, message in (
        ("image", picture()), ("camera_info", calibration()), ("imu", None), ("cmd_vel", None))}
    drawn |= {name: data.draw(heards(data.draw(STATUSES))) for name in (
        "vehicle_state", "controller/status", "vehicle_adapter/status")}
    base = well(wanted, VehicleAdapterSettings(vehicle=data.draw(
        st.sampled_from(("stamped", "twist", "px4", "mavros")))))
    seen = dataclasses.replace(
        base, topics=graph, heard=drawn, simulated=data.draw(st.booleans()),
        stated=data.draw(st.booleans()),
        clock=tuple(zip(sorted(data.draw(TIMES)), data.draw(TIMES), strict=False)),
        nodes=data.draw(st.frozensets(st.sampled_from(("/controller", "/vehicle_adapter", "/a")))),
        lifecycle=data.draw(st.sampled_from(({}, {"/controller": "inactive"}))))
    for finding in judge(seen):
        assert bool(finding.remedy) == (finding.verdict is not Verdict.OK)
        assert finding.what and finding.found
        assert "\n" not in str(finding)
