"""Topics: another name, namespace, type or quality is named, with the remap that mends it."""

from __future__ import annotations

import importlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seen_robots import (
    BEST,
    COMPRESSED,
    IMAGE,
    IMU,
    INFO,
    RELIABLE,
    STAMPED,
    STATUS,
    TWIST,
    having,
    well,
)
from verdicts import bad, only

from lnn_ros.nodes.doctor.checks import topics
from lnn_ros.nodes.doctor.findings import Verdict
from lnn_ros.nodes.doctor.snapshot import Endpoint, Quality
from lnn_ros.nodes.settings import ControllerSettings


def test_topic_under_another_name_is_named() -> None:
    seen = having(having(well(), "/image", ()), "/camera/image_raw",
                  (Endpoint("/camera", IMAGE, BEST),))
    seen = having(seen, "/camera/depth/image", (Endpoint("/camera", IMAGE, BEST),))
    finding = bad(seen)["image topic"]
    assert "/camera/image_raw" in finding.found
    assert finding.remedy.startswith("remap image:=/camera/image_raw (or ")


def test_topic_of_another_namespace_may_be_meant() -> None:
    seen = having(having(well(), "/imu", ()), "/drone1/imu", (Endpoint("/drone1/imu", IMU),))
    assert "--namespace drone1" in bad(seen)["imu topic"].remedy


def test_missing_topic_without_a_candidate_names_its_source() -> None:
    finding = bad(having(well(), "/imu", ()))["imu topic"]
    assert finding.verdict is Verdict.FAIL and "start the IMU's driver" in finding.remedy
    finding = bad(having(well(), "/vehicle_state", ()))["vehicle_state topic"]
    assert "autopilot's bridge" in finding.remedy and "modes.require_airborne" in finding.remedy


def test_our_own_status_is_no_candidate_for_vehicle_state() -> None:
    seen = having(having(well(), "/vehicle_state", ()), "/controller/status",
                  (Endpoint("/controller", STATUS),))
    seen = having(seen, "/motor/status", (Endpoint("/motor", STATUS),))
    assert "remap vehicle_state:=" not in bad(seen)["vehicle_state topic"].remedy


@pytest.mark.parametrize(("transport", "there", "kind", "remedy"), [
    ("raw", "/image", COMPRESSED,
     "set image_transport: compressed and remap image/compressed:=/image"),
    ("raw", "/cam/image/compressed", COMPRESSED,
     "set image_transport: compressed and remap image:=/cam/image"),
    ("compressed", "/image", IMAGE, "set image_transport: raw and remap image:=/image"),
    ("compressed", "/cam/image/compressed", COMPRESSED, "remap image:=/cam/image"),
])
def test_transport_of_images_and_its_remap(transport, there, kind, remedy) -> None:
    seen = well(ControllerSettings(image_transport=transport))
    seen = having(having(seen, "/image", ()), there, (Endpoint("/camera", kind, BEST),))
    name = "image" if transport == "raw" else "image/compressed"
    assert bad(seen)[f"{name} topic"].remedy.startswith(remedy)


def test_two_publishers_of_a_sensor() -> None:
    seen = having(well(), "/imu", (Endpoint("/a", IMU, BEST), Endpoint("/b", IMU, BEST)))
    only(seen, "imu topic", Verdict.FAIL, "/a and /b", "remap imu")


def test_another_type_beside_the_right_one() -> None:
    seen = having(well(), "/image", (Endpoint("/a", IMAGE, BEST), Endpoint("/b", INFO, BEST)))
    only(seen, "image topic", Verdict.WARN, "CameraInfo from /b", "stop /b")


def test_person_may_have_two_sticks_but_of_one_type() -> None:
    two = (Endpoint("/stick", STAMPED), Endpoint("/pad", STAMPED))
    assert bad(having(well(), "/takeover", two)) == {}
    seen = having(well(), "/takeover", (Endpoint("/stick", TWIST),))
    only(seen, "takeover topic", Verdict.FAIL, "set takeover.stamped: false")


def test_quality_that_does_not_fit_says_which_side_to_change() -> None:
    lockstep = well(ControllerSettings(lockstep=True))
    assert "lockstep" in bad(lockstep)["image quality"].remedy
    viewer = Endpoint("/viewer", IMAGE, RELIABLE)
    seen = having(well(), "/image", readers=(viewer,))
    finding = bad(seen)["image quality"]
    assert finding.verdict is Verdict.WARN and finding.remedy.endswith("that /viewer asks for")


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from((0.1, 1.0, math.inf)),
                          st.sampled_from((0.1, 1.0, math.inf)), st.booleans()),
                min_size=2, max_size=2))
def test_quality_fits_exactly_where_the_middleware_says_so(both) -> None:
    rclpy_qos = importlib.import_module("rclpy.qos")
    duration = importlib.import_module("rclpy.duration").Duration

    def profile(quality: Quality):
        found = rclpy_qos.QoSProfile(
            depth=1,
            reliability=rclpy_qos.ReliabilityPolicy(1 if quality.reliable else 2),
            durability=rclpy_qos.DurabilityPolicy(1 if quality.latched else 2),
            liveliness=rclpy_qos.LivelinessPolicy(3 if quality.manual else 1))
        if quality.deadline_s < math.inf:
            found.deadline = duration(seconds=quality.deadline_s)
        if quality.lease_s < math.inf:
            found.liveliness_lease_duration = duration(seconds=quality.lease_s)
        return found

    offer, ask = (Quality(*values) for values in both)
    verdict, _ = rclpy_qos.qos_check_compatible(profile(offer), profile(ask))
    assert (not topics.mismatch(offer, ask)) == (verdict == rclpy_qos.QoSCompatibility.OK)
