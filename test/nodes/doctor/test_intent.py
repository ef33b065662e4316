"""What is looked at: what the controller is set to read."""

from __future__ import annotations

from seen_robots import VIRTUAL

from lnn_ros.nodes.doctor import intent
from lnn_ros.nodes.parameter_rows import build
from lnn_ros.nodes.settings import SENSORS, ControllerSettings, VehicleAdapterSettings


def test_virtual_camera_of_these_tests_is_the_shipped_policys() -> None:
    assert intent.policy("fly_to_target").camera == VIRTUAL
    assert "no such" in intent.policy("no such").problem


def test_every_sensor_of_distances_that_is_enabled_is_looked_for():
    wanted = build(ControllerSettings, {f"{name}.enabled": True for name in SENSORS})
    found = intent.inputs(wanted, VehicleAdapterSettings(), False, str)
    kinds = {item.name: item.kind for item in found}
    assert {*SENSORS, "depth_info"} <= set(kinds)
    assert kinds["range_left"] == kinds["range"] == "sensor_msgs/msg/Range"
