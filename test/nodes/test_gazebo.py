"""The nodes as they fly in Gazebo, with the embedded simulator behind Gazebo's topics.

Gazebo and its bridge are not installed here. The bridge's side is played by `gazebo_stand_in.py`,
which reads the bridge's own file.
"""

from __future__ import annotations

import math
import signal
from pathlib import Path
from xml.etree import ElementTree

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from ros import BEST_EFFORT, LATCHED, ROOT, pairs
from rosbags.highlevel import AnyReader
from sensors import first_frame

from lnn_ros.simulation.gazebo import running

STAND_IN = str(ROOT / "test/nodes/gazebo_stand_in.py")


def target_of(world: Path) -> tuple[float, float]:
    """Return where the column stands, by the world's file."""
    for model in ElementTree.parse(world).getroot().iter("model"):
        if model.get("name") == "target":
            x, y, *_ = map(float, (model.findtext("pose") or "").split())
            return x, y
    raise AssertionError(f"{world} has no target")


def test_drone_flies_towards_its_target_behind_gazebos_topics(bench, tmp_path):
    found = running.run()
    x, y = target_of(Path(found.server.command[-1]))
    odom = bench.collect(Odometry, "odom", BEST_EFFORT)
    told = bench.collect(Twist, "vehicle/cmd_vel")
    commands = bench.collect(TwistStamped, "cmd_vel")
    status = bench.collect(DiagnosticStatus, "controller/status", LATCHED)

    first_frame()  # compiles the camera, once, before anybody waits for it
    gazebo = bench.run("gazebo", STAND_IN, real_time_factor=0.5, **found.bridge.parameters)
    adapter = bench.start("vehicle_adapter", vehicle=found.vehicle)
    bench.start("controller", use_sim_time=True, policy="fly_to_target", depth__enabled=True,
                depth__x=0.29)
    companion = bench.start("companion", use_sim_time=True, record=True, folder=tmp_path / "bags")

    def distance() -> float:
        at = odom[-1].pose.pose.position
        return math.hypot(at.x - x, at.y - y)

    # It hovers until a person engages, once nothing that its sensors say keeps it from flying.
    bench.until(lambda: len(told) >= 10, "what the vehicle is told")
    bench.until(lambda: pairs(status[-1])["troubles"] == "", "a controller that is fed")
    bench.until(lambda: odom, "odometry")
    start = distance()
    assert not any(twist.linear.x or twist.angular.z for twist in told)
    assert bench.trigger("controller/engage").success
    bench.until(lambda: distance() < start - 3.0, "3 m towards the target")
    at = odom[-1].pose.pose.position
    assert 0.7 < at.z < 1.9
    assert max(twist.linear.x for twist in told) > 0.5
    assert max(command.twist.linear.x for command in commands) > 0.5

    # Gazebo would fly the last command for ever.
    adapter.send(signal.SIGINT)
    assert adapter.wait() == 0
    bench.until(lambda: not any((told[-1].linear.x, told[-1].linear.y, told[-1].angular.z)),
                "a last zero")
    companion.send(signal.SIGINT)
    assert companion.wait() == 0
    assert gazebo.alive, gazebo.log
    (bag,) = (tmp_path / "bags").iterdir()
    with AnyReader([bag]) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
    for topic in ("image", "camera_info", "imu", "depth", "depth_info", "odom", "vehicle/cmd_vel",
                  "clock"):
        assert counts[f"/{topic}"] > 0
