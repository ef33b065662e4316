"""The simulator node as the other nodes see it."""

from __future__ import annotations

import math
import signal
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from ros import BEST_EFFORT, LATCHED, pairs
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, Imu

from lnn_ros import messages
from lnn_ros.simulation.sensors import StreamTiming
from lnn_ros.simulation.simulator import Simulator, SimulatorOptions
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

SEED = 300_020


def test_live_topics_are_what_the_library_simulates(bench):
    status = bench.collect(DiagnosticStatus, "simulator/status", LATCHED)
    seen = {name: bench.collect(kind, name, BEST_EFFORT) for name, kind in (
        ("image", Image), ("camera_info", CameraInfo), ("imu", Imu), ("odom", Odometry),
        ("ground_truth", Odometry), ("/clock", Clock), ("vehicle_state", DiagnosticStatus))}
    process = bench.start("simulator", seed=SEED, camera__latency_s=0.0)
    bench.until(lambda: len(seen["image"]) >= 20 and len(seen["imu"]) >= 200, "samples")
    process.send(signal.SIGINT)
    assert process.wait() == 0

    # Nobody commanded: a hover, byte for byte what the library gives.
    task = Task.load("fly_to_target")
    options = SimulatorOptions(camera=StreamTiming(20.0), imu=StreamTiming(200.0))
    sim = Simulator(make_world(SEED, task), options, task=task)
    expected = {(d.stream, d.stamp_ns): d.value for d in sim.advance(
        max(messages.stamp_ns(m) for m in (*seen["image"], *seen["imu"])) + 20_000_000)}
    for message in seen["image"]:
        np.testing.assert_array_equal(messages.image_array(message),
                                      expected["camera", messages.stamp_ns(message)])
    for message in seen["imu"]:
        np.testing.assert_array_equal(messages.imu_vector(message),
                                      expected["imu", messages.stamp_ns(message)])
    assert {m.header.frame_id for m in seen["imu"]} == {"base_link"}

    info = seen["camera_info"][-1]
    assert (info.width, info.height) == (64, 48)
    assert math.degrees(2 * math.atan(info.width / 2 / info.k[0])) == pytest.approx(90.0)
    truth, odom = seen["ground_truth"][-1], seen["odom"][-1]
    assert (truth.header.frame_id, truth.child_frame_id) == ("map", "base_link")
    assert (odom.header.frame_id, odom.child_frame_id) == ("odom", "base_link")
    height = truth.pose.pose.position.z
    assert task.vehicle.start_height[0] - 0.3 < height < task.vehicle.start_height[1] + 0.3
    said = pairs(status[-1])
    assert (said["seed"], said["outcome"], said["episode"]) == (str(SEED), "flying", "1")
    # What the adapter would say of a robot, at 5 Hz or more (here by simulated time).
    seconds = 1e-9 * max(messages.time_ns(c.clock) for c in seen["/clock"]) - 1.0
    assert len(seen["vehicle_state"]) >= 5 * seconds
    assert all(pairs(state) == {"airborne": "true", "velocity_mode": "true"}
               for state in seen["vehicle_state"])
    assert float(said["distance_m"]) > 5.0


def test_pause_stops_time_and_reset_takes_it_back(bench):
    clock = bench.collect(Clock, "/clock")
    status = bench.collect(DiagnosticStatus, "simulator/status", LATCHED)
    states = bench.collect(DiagnosticStatus, "vehicle_state")
    bench.start("simulator", seed=SEED, real_time_factor=0.0)
    bench.until(lambda: clock and messages.time_ns(clock[-1].clock) > 2 * 10**9, "time to pass")
    assert bench.set_bool("simulator/pause", True).success
    # Its status goes on. With the first of those, what was on its way has come; after three more,
    # no more time has passed.
    said = len(status)
    bench.until(lambda: len(status) >= said + 1, "a status message")
    stopped = max(messages.time_ns(c.clock) for c in clock)
    stated = len(states)
    bench.until(lambda: len(status) >= said + 4, "three more status messages")
    assert len(states) > stated  # a vehicle that waits has not fallen silent
    assert pairs(status[-1])["paused"] == "true"
    assert max(messages.time_ns(c.clock) for c in clock) == stopped

    assert bench.trigger("simulator/reset").success
    bench.until(lambda: messages.time_ns(clock[-1].clock) == 10**9, "time at the start")
    assert bench.set_bool("simulator/pause", False).success
    bench.until(lambda: messages.time_ns(clock[-1].clock) > 10**9, "time to pass again")


def test_vehicle_obeys_and_bad_commands_are_dropped(bench):
    truth = bench.collect(Odometry, "ground_truth")
    process = bench.start("simulator", seed=SEED)
    commands = bench.publisher(TwistStamped, "cmd_vel")

    def command(climb, frame="base_link", stamp=None):
        message = TwistStamped()
        messages.fill_command(message, np.array([0.0, 0.0, climb, 0.0]),
                              time.time_ns() if stamp is None else stamp, frame)
        commands.publish(message)

    def climb(**changes):
        return lambda: command(0.5, **changes)

    bench.until(lambda: truth, "ground truth")
    for bad, sentence in ((climb(frame="map"), "command is in frame 'map': expected base_link"),
                          (climb(stamp=0), "stamp is 0 s 0 ns"),
                          (lambda: command(float("nan")), "expected finite numbers")):
        said = process.log.count("cmd_vel: ")
        bad()
        bench.until(lambda n=said: process.log.count("cmd_vel: ") > n, sentence)
        assert sentence in process.log
        # A good command, and a second without trouble, and the next trouble will be said again.
        healed = process.log.count("well again")
        bench.until(lambda n=healed: process.log.count("well again") > n, "the all-clear",
                    lambda: command(0.0))
    start = truth[-1].pose.pose.position.z
    bench.until(lambda: truth[-1].pose.pose.position.z > start + 0.3, "a climb", climb())


def test_impossible_parameters_are_named_and_can_be_mended(bench):
    process = bench.start("simulator", task="no_such_task", camera__rate_hz=-5.0)
    status = bench.collect(DiagnosticStatus, "simulator/status", LATCHED)
    clock = bench.collect(Clock, "/clock")
    sentence = "parameter camera.rate_hz is -5.0: expected a number in [0.1, 400]"
    bench.until(lambda: any(sentence in s.message for s in status), "the sentence")
    refused = bench.set_parameters("simulator", drop=1.0, imu__drop=2.0)
    assert not refused.successful
    assert bench.set_parameters("simulator", camera__rate_hz=20.0).successful
    refused = bench.trigger("simulator/reset")
    assert not refused.success
    assert "no_such_task" in refused.message
    for task in ("corridor", "follow_target", "fly_to_target"):
        assert bench.set_parameters("simulator", task=task).successful
        assert bench.trigger("simulator/reset").success
        bench.until(lambda t=task: ("task", t) in {(v.key, v.value) for v in status[-1].values},
                    "the task")
        assert ("followed" in {v.key for v in status[-1].values}) == (task == "follow_target")
    bench.until(lambda: clock, "time to pass")
    assert process.alive
    assert "parameter lockstep stays False" in bench.set_parameters(
        "simulator", lockstep=True).reason
