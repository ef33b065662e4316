"""The vehicle: who commands it, who listens, and what it says."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
from seen_robots import BEST, IMAGE, RELIABLE, STAMPED, TWIST, having, hearing, said, well, without
from verdicts import bad, only

from lnn_ros import vehicles
from lnn_ros.nodes.doctor.checks import judge
from lnn_ros.nodes.doctor.findings import Verdict
from lnn_ros.nodes.doctor.snapshot import Endpoint, Quality
from lnn_ros.nodes.settings import ControllerSettings, VehicleAdapterSettings


def test_two_who_command() -> None:
    seen = having(well(), "/cmd_vel", (*well().topic("/cmd_vel").publishers,
                                       Endpoint("/joystick", STAMPED)))
    only(seen, "cmd_vel", Verdict.FAIL, "/controller and /joystick", "takeover")


def test_twist_where_a_stamped_one_is_expected() -> None:
    publisher = having(well(), "/cmd_vel", (Endpoint("/teleop", TWIST),))
    assert "carries Twist from /teleop" in bad(publisher)["cmd_vel"].found
    reader = having(well(), "/cmd_vel", readers=(*well().topic("/cmd_vel").readers,
                                                 Endpoint("/base", TWIST)))
    only(reader, "cmd_vel", Verdict.FAIL, "/base listens for Twist", "/vehicle/cmd_vel")
    vehicle = having(well(), "/vehicle/cmd_vel", readers=(Endpoint("/base", TWIST),))
    assert "set the parameter vehicle to" in bad(vehicle)["vehicle/cmd_vel"].remedy
    assert "twist" in bad(vehicle)["vehicle/cmd_vel"].remedy


def test_command_in_another_frame() -> None:
    seen = hearing(well(), "cmd_vel", frames=("map",))
    only(seen, "cmd_vel", Verdict.FAIL, "'map'", "base_frame")


def test_best_effort_commands_are_not_heard() -> None:
    seen = having(well(), "/cmd_vel", (Endpoint("/planner", STAMPED, BEST),))
    finding = [f for f in judge(seen) if f.what == "cmd_vel" and f.verdict is Verdict.FAIL]
    assert "change the reliability of /planner" in finding[0].remedy


def test_adapter_that_listens_twice_hears_with_one_of_them() -> None:
    """It asks for a sign of life with a second subscription, which not everybody promises."""
    readers = (Endpoint("/vehicle_adapter", STAMPED, RELIABLE),
               Endpoint("/vehicle_adapter", STAMPED, Quality(lease_s=1.0, manual=True)))
    seen = having(well(), "/cmd_vel", (Endpoint("/planner", STAMPED, RELIABLE),), readers)
    only(seen, "cmd_vel", Verdict.WARN, "/planner, not by /controller")
    assert bad(having(well(), "/cmd_vel", readers=readers)) == {}


def test_vehicle_whose_types_are_not_installed() -> None:
    seen = dataclasses.replace(well(), absent=("px4_msgs/msg/VehicleStatus",))
    only(seen, "vehicle types", Verdict.FAIL, "px4_msgs/msg/VehicleStatus is not installed")


def test_vehicle_that_says_nothing_another_type_or_keeps_nothing() -> None:
    vehicle = vehicles.make("mavros")
    seen = well(adapter=VehicleAdapterSettings(vehicle="mavros"))
    for topic in vehicle.says:
        assert f"nobody publishes {topic}" in bad(seen)[topic].found
    topic, kind = next(iter(vehicle.says.items()))
    other = having(seen, "/mavros/other", (Endpoint("/mavros", kind),))
    assert bad(other)[topic].remedy == f"remap {topic}:=/mavros/other"
    wrong = having(seen, topic, (Endpoint("/mavros", IMAGE),))
    assert "expected" in bad(wrong)[topic].found
    right = having(seen, topic, (Endpoint("/mavros", kind),))
    assert (topic in bad(right)) == (topic in vehicle.latched)
    for name in vehicles.kinds():
        for kept in vehicles.make(name).latched:
            seen = having(well(adapter=VehicleAdapterSettings(vehicle=name)), kept,
                          (Endpoint("/bridge", vehicles.make(name).says[kept]),))
            assert "durability of /bridge" in bad(seen)[kept].remedy


def test_no_adapter() -> None:
    found = bad(without(well(), "/vehicle_adapter"))
    assert found["vehicle_adapter"].verdict is Verdict.FAIL
    assert "ros2 run lnn_ros vehicle_adapter" in found["vehicle_adapter"].remedy
    both = bad(without(well(), "/vehicle_adapter", "/controller"))
    assert both["vehicle_adapter"].verdict is both["controller"].verdict is Verdict.WARN
    assert not bad(without(well(ControllerSettings(lockstep=True)), "/vehicle_adapter")
                   ).get("vehicle_adapter")


@pytest.mark.parametrize(("state", "level", "verdict", "word"), [
    ("contested", 1, Verdict.FAIL, "stop all publishers"),
    ("timed out", 1, Verdict.FAIL, "3 cmd_vel.frame"),
    ("waiting", 2, Verdict.FAIL, "set the parameter vehicle")])
def test_what_the_adapter_says(state, level, verdict, word) -> None:
    status = said(level, f"{state}: so it is", state=state)
    status.values.append(SimpleNamespace(key="cmd_vel.frame", value="3"))
    seen = hearing(well(), "vehicle_adapter/status", last=status)
    only(seen, "vehicle_adapter", verdict, state, word)


def test_nobody_listens_and_who_may_be_meant() -> None:
    seen = having(well(), "/vehicle/cmd_vel", readers=())
    only(seen, "vehicle/cmd_vel", Verdict.FAIL, "nobody listens")
    there = having(seen, "/mavros/setpoint_velocity/cmd_vel", (), (Endpoint("/mavros", STAMPED),))
    only(there, "vehicle/cmd_vel", Verdict.FAIL,
         "remap vehicle/cmd_vel:=/mavros/setpoint_velocity/cmd_vel")


def test_recorder_is_no_vehicle() -> None:
    seen = having(well(), "/vehicle/cmd_vel", readers=(Endpoint("/companion", STAMPED, RELIABLE),))
    only(seen, "vehicle/cmd_vel", Verdict.FAIL, "nobody listens")


def test_somebody_else_tells_the_vehicle() -> None:
    seen = having(well(), "/vehicle/cmd_vel", (*well().topic("/vehicle/cmd_vel").publishers,
                                               Endpoint("/teleop", STAMPED)))
    only(seen, "vehicle/cmd_vel", Verdict.FAIL, "/teleop")


def test_vehicle_that_asks_for_more_than_the_adapter_offers() -> None:
    seen = having(well(), "/vehicle/cmd_vel",
                  readers=(Endpoint("/autopilot", STAMPED, Quality(latched=True)),))
    only(seen, "vehicle/cmd_vel", Verdict.FAIL, "durability that /autopilot asks for")


@pytest.mark.parametrize(("airborne", "verdict"), [
    ("true", Verdict.OK), ("false", Verdict.OK), ("", Verdict.FAIL), ("perhaps", Verdict.FAIL)])
def test_what_the_vehicle_says(airborne, verdict) -> None:
    seen = hearing(well(), "vehicle_state", last=said(airborne=airborne, velocity_mode="true"))
    (finding,) = [f for f in judge(seen) if f.what == "vehicle_state"]
    assert finding.verdict is verdict
