"""``lnn_ros demo`` as a person starts it: a process of its own, which leaves a run folder."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import av
import pytest
import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.context import Context
from rclpy.node import Node
from rosbags.highlevel import AnyReader
from sockets import sockets

from lnn_ros import policies
from lnn_ros.learning.run_folder import read_run
from lnn_ros.nodes.supervision import free_domain
from lnn_ros.resources import share_path

LIMIT_S = 240


class Demo:
    """A running demo, whose processes are known by a mark in their environment."""

    def __init__(self, out: Path, *options: str, domain: str = "") -> None:
        self.out = out
        self.mark = f"LNN_ROS_TEST_MARK={uuid.uuid4().hex}"
        environ = {k: v for k, v in os.environ.items() if k != "ROS_DOMAIN_ID"}
        environ.update([self.mark.split("=")])
        if domain:
            environ["ROS_DOMAIN_ID"] = domain
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lnn_ros.cli", "demo", "--out", str(out), *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
        self.said: list[str] = []

    def progress(self) -> Iterator[str]:
        """Lines of progress as they come."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            yield line

    def flying(self) -> None:
        """Wait until commands are flowing."""
        for line in self.progress():
            if re.search(r"cmd_vel +[1-9]\d* Hz", line):
                return
        pytest.fail("the demo ended before it flew:\n" + "".join(self.said))

    def finish(self) -> tuple[int, str]:
        """Exit status, and everything that was printed."""
        for _ in self.progress():
            pass
        assert self.process.stdout is not None
        printed = self.process.stdout.read()
        return self.process.wait(LIMIT_S), printed + "".join(self.said)

    def left_running(self) -> dict[int, str]:
        """Pids and command lines of the demo's processes."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in folder.joinpath("environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = folder.joinpath("cmdline").read_bytes().replace(
                        b"\0", b" ").decode()
            except OSError:  # gone, or somebody else's
                continue
        return found

    def folder(self) -> Path:
        """The one run folder."""
        (folder,) = self.out.iterdir()
        return folder


@pytest.fixture
def start(tmp_path: Path) -> Iterator[object]:
    """Start demos that are ended with the test, whatever becomes of it."""
    demos = []

    def start_demo(*options: str, domain: str = "") -> Demo:
        demos.append(Demo(tmp_path / "runs", *options, domain=domain))
        return demos[-1]

    yield start_demo
    for demo in demos:
        for pid in demo.left_running():
            os.kill(pid, signal.SIGKILL)
        demo.process.wait(10)


def test_demo_arrives_and_leaves_a_complete_run_folder(start) -> None:
    demo = start("--lockstep")
    status, printed = demo.finish()
    assert status == 0, printed
    assert demo.left_running() == {}
    assert "The drone arrived" in printed
    folder = demo.folder()
    assert str(folder) in printed
    assert {p.name for p in folder.iterdir()} == {
        "bag", "logs", "summary.json", "trajectory.png", "timeline.png", "flight.mp4",
        "flight.png", "fly_to_target.yaml"}
    assert {p.stem for p in (folder / "logs").iterdir()} == {
        "simulator", "controller", "companion"}

    summary = json.loads((folder / "summary.json").read_text())
    assert summary["outcome"] == "arrived"
    assert summary["min_clearance_m"] > 0.0
    assert summary["rates_hz"]["cmd_vel"] == pytest.approx(30.0, abs=0.5)
    assert summary["rates_hz"]["image"] == pytest.approx(20.0, abs=0.5)
    assert summary["rates_hz"]["imu"] == pytest.approx(200.0, abs=1.0)
    assert 0.0 < summary["sample_age_ms"]["camera"]["p99"] < 100.0
    assert summary["distance_at_end_m"] <= 1.0
    assert summary["run"]["command"].startswith("lnn_ros demo")

    run = read_run(folder)
    assert len(run.neurons) > 0
    assert run.neurons.value.shape[1] == len(run.neuron_names) > 4
    with av.open(str(folder / "flight.mp4")) as film:
        assert film.streams.video[0].frames / 20 == pytest.approx(
            1e-9 * (run.stamp_ns[-1] - run.stamp_ns[0]), abs=0.1)
    with AnyReader([folder / "bag"]) as bag:
        topics = {connection.topic for connection in bag.connections}
    assert {"/image", "/imu", "/cmd_vel", "/ground_truth", "/clock", "/controller/trace",
            "/controller/neurons", "/controller/status", "/simulator/status"} <= topics


def test_drone_that_cannot_arrive_in_time_exits_with_1(start, tmp_path: Path) -> None:
    text = share_path("config/tasks/fly_to_target.yaml").read_text()
    hurried = text.replace("time_limit: 30.0", "time_limit: 1.0")
    assert hurried != text
    (tmp_path / "hurried.yaml").write_text(hurried)
    demo = start("--lockstep", "--no-video", "--task", str(tmp_path / "hurried.yaml"))
    status, printed = demo.finish()
    assert status == 1, printed
    assert "ran out of time after 1.0 s" in printed
    assert demo.left_running() == {}
    summary = json.loads((demo.folder() / "summary.json").read_text())
    assert (summary["outcome"], summary["task"]) == ("timeout", "hurried")
    assert not (demo.folder() / "flight.mp4").exists()


def test_damaged_policy_is_one_sentence_and_exit_2(start, tmp_path: Path) -> None:
    good = policies.path("fly_to_target").read_bytes()
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    demo = start("--policy", str(bad))
    status, printed = demo.finish()
    assert status == 2
    assert len(printed.strip().splitlines()) == 1, printed
    assert str(bad) in printed
    assert not demo.out.exists()


@pytest.mark.parametrize("domain", ["233", "-1", "seven"])
def test_impossible_domain_is_one_sentence_and_exit_2(start, domain: str) -> None:
    demo = start(domain=domain)
    status, printed = demo.finish()
    assert status == 2
    assert len(printed.strip().splitlines()) == 1, printed
    assert f"ROS_DOMAIN_ID is '{domain}'" in printed


def test_demo_does_not_command_a_robot_that_is_there(start, monkeypatch) -> None:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    domain = free_domain()
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    robot = Node("base", namespace="robot", context=context)
    robot.create_subscription(TwistStamped, "/cmd_vel", print, 10)
    try:
        demo = start(domain=str(domain))
        status, printed = demo.finish()
    finally:
        robot.destroy_node()
        rclpy.try_shutdown(context=context)
    assert status == 2
    assert "/robot/base" in printed
    assert not demo.out.exists()


def test_interrupt_ends_everything_and_keeps_the_record(start) -> None:
    demo = start("--no-video")
    demo.flying()
    demo.process.send_signal(signal.SIGINT)
    status, printed = demo.finish()
    assert status == 1, printed
    assert "not finished (interrupted)" in printed
    assert demo.left_running() == {}
    run = read_run(demo.folder())
    assert run.outcome == "flying"
    assert (run.command.value[-1] == 0.0).all()  # the controller's last word was recorded
    with AnyReader([demo.folder() / "bag"]) as bag:
        told = [bag.deserialize(payload, connection.msgtype) for connection, _, payload in
                bag.messages(c for c in bag.connections if c.topic == "/vehicle/cmd_vel")]
    assert any(command.twist.linear.x for command in told)
    assert not any((told[-1].twist.linear.x, told[-1].twist.linear.y, told[-1].twist.linear.z,
                    told[-1].twist.angular.z))  # and so was the adapter's


def test_death_of_a_process_is_told_and_ends_the_demo(start) -> None:
    demo = start("--no-video")
    demo.flying()
    (controller,) = (pid for pid, words in demo.left_running().items()
                     if "lnn_ros.nodes.controller" in words)
    # All that a demo opens to the network is DDS (test_security.py looks closer at each node).
    assert {s.protocol for pid in demo.left_running() for s in sockets(pid)} == {"udp"}
    os.kill(controller, signal.SIGKILL)
    status, printed = demo.finish()
    assert status == 1, printed
    assert "controller ended by itself" in printed
    assert demo.left_running() == {}


def test_free_domain_is_not_one_in_use() -> None:
    # Nor one whose first participant has ended, and whose second listens still.
    left = {5, 50, 95}
    with ExitStack() as stack:
        for domain in set(range(1, 102)) - left:
            listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with suppress(OSError):  # somebody has it
                listener.bind(("", 7400 + 250 * domain + 12))
        assert free_domain() in left
