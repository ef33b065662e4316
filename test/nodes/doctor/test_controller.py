"""The controller: its state, its troubles, what it listens to and what it drops."""

from __future__ import annotations

import dataclasses

from seen_robots import BEST, IMU, having, hearing, said, well, without
from verdicts import bad, only

from lnn_ros.nodes.doctor.findings import Verdict
from lnn_ros.nodes.doctor.snapshot import Endpoint


def test_controller_in_trouble_fault_or_another_state() -> None:
    troubles = said(1, "hold: imu is stale; nothing arrives", troubles="nothing arrives",
                    active="true")
    only(hearing(well(), "controller/status", last=troubles), "controller", Verdict.FAIL,
         "nothing arrives")
    hold = said(1, "hold: the control loop stood still", active="true", troubles="")
    only(hearing(well(), "controller/status", last=hold), "controller", Verdict.WARN,
         "/controller/engage")
    fault = said(2, "fault: it broke", active="true", troubles="")
    only(hearing(well(), "controller/status", last=fault), "controller", Verdict.FAIL,
         "/controller/reset")
    seen = dataclasses.replace(well(), lifecycle={"/controller": "inactive"})
    only(seen, "controller lifecycle", Verdict.FAIL, "ros2 lifecycle set /controller activate")


def test_controller_of_another_namespace() -> None:
    seen = without(well(), "/controller", "/vehicle_adapter")
    seen = dataclasses.replace(seen, nodes=seen.nodes | {"/drone2/controller"})
    assert "--namespace drone2" in bad(seen)["controller"].remedy


def test_controller_that_listens_elsewhere() -> None:
    seen = having(well(), "/imu", readers=())
    seen = having(seen, "/mavros/imu/data", (), (Endpoint("/controller", IMU, BEST),))
    only(seen, "controller topics", Verdict.FAIL, "but to /mavros/imu/data", "imu:=/imu")


def test_samples_that_the_controller_drops() -> None:
    seen = dataclasses.replace(well(), dropped={"camera.dropped_late": 12})
    only(seen, "controller samples", Verdict.WARN, "12 of 100 camera.dropped_late")
    few = dataclasses.replace(well(), dropped={"camera.dropped_late": 2})
    assert bad(few) == {}
