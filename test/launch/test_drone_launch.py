"""``ros2 launch`` and ``ros2 run`` as users type them, on an installed copy of the package.

These are the only tests that may skip: launch is not on PyPI, so only a ROS 2 installation (or an
environment that has launch; see ``make test VENV=DIR``) can run them.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from installation import install
from nav_msgs.msg import Odometry
from ros import BEST_EFFORT, LATCHED, RELIABLE, ROOT, Bench, Process, is_zero, pairs
from rosbags.highlevel import AnyReader

from lnn_ros.nodes import options, robots
from lnn_ros.resources import share_path

pytest.importorskip("launch_ros", reason="launch is not installed here: it comes with ROS 2")
pytest.importorskip("ros2launch", reason="ros2 launch is not installed here: it comes with ROS 2")

LAUNCH = ("launch", "lnn_ros", "drone.launch.py")
DRIVE = ("launch", "lnn_ros", "rover.launch.py")

# The camera is compiled when a new installation first renders. That takes longer than a test waits.
COMPILE = """
from lnn_ros.simulation.worlds import make_world
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.simulator import Simulator
from lnn_ros.simulation.task import Task
task = Task.load("fly_to_target")
Simulator(make_world(300_007, task), task=task).advance(START_NS + 100_000_000)
"""


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    prefix, found = install(tmp_path_factory.mktemp("installed"))
    subprocess.run([sys.executable, "-c", COMPILE], check=True, env=found, cwd=prefix)
    return {**found, "ROS_LOG_DIR": str(tmp_path_factory.mktemp("log")), "PYTHONUNBUFFERED": "1",
            "RCUTILS_COLORIZED_OUTPUT": "0", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


class Ros2(Process):
    """A ``ros2`` command in a session of its own, so that nothing it starts can outlive a test."""

    def __init__(self, arguments: tuple[str, ...], env: dict[str, str], log: Path) -> None:
        self.name, self._log, self.words = "ros2", log, arguments
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, shutil.which("ros2", path=env["PATH"]), *arguments], env=env,
                cwd=log.parent, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True)

    def kill(self) -> None:
        for pid in self.pids():  # launch gives each of them a group of its own
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def pids(self) -> dict[int, str]:
        """Return process ids of its session, and their command lines."""
        listed = subprocess.run(["ps", "-ww", "-o", "pid=", "-o", "args=", "--sid", str(self.pid)],
                                text=True, capture_output=True, check=False).stdout
        return {int(line.split()[0]): line for line in listed.splitlines()}

    def group(self) -> list[str]:
        """Return what of its session still runs."""
        listed = subprocess.run(["ps", "-ww", "-o", "args=", "--sid", str(self.pid)], text=True,
                                capture_output=True, check=False).stdout
        return [line for line in listed.splitlines() if "<defunct>" not in line]


class LaunchBench(Bench):
    """A bench that starts ``ros2`` commands on its own domain."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        super().__init__(folder)
        self.env = {**env, "ROS_DOMAIN_ID": str(self._domain.number)}

    def ros2(self, *arguments: str) -> Ros2:
        process = Ros2(arguments, self.env, self.folder / f"ros2_{len(self.processes)}.log")
        self.processes.append(process)
        return process

    def answer(self, *arguments: str) -> str:
        """Return what a ``ros2`` command prints."""
        process = self.ros2(*arguments)
        assert process.wait() == 0, process.log
        return process.log

    def keep(self, folder: Path, test: str) -> None:
        """Keep what the ``ros2`` commands of a test printed: see ``scripts/transcripts.py``."""
        for process in self.processes:
            if isinstance(process, Ros2):
                file = folder / f"{len(list(folder.iterdir())):03d}.json"
                file.write_text(json.dumps({"test": test, "words": process.words,
                                            "log": process.log, "status": process.wait()}))

    def end(self, process: Ros2) -> None:
        """Interrupt as a terminal's Ctrl-C does, all at once, and see everything end well."""
        os.killpg(process.pid, signal.SIGINT)
        self.until(lambda: not process.alive, "the end of ros2")
        assert process.wait() == 0, process.log
        assert process.group() == [], process.log
        assert "Traceback" not in process.log
        assert "process has died" not in process.log


@pytest.fixture
def bench(tmp_path: Path, env: dict[str, str],
          request: pytest.FixtureRequest) -> Iterator[LaunchBench]:
    found = LaunchBench(tmp_path, env)
    yield found
    if os.environ.get("LNN_ROS_TRANSCRIPTS"):
        found.keep(Path(os.environ["LNN_ROS_TRANSCRIPTS"]), request.node.name)
    found.close()


@pytest.mark.parametrize(("launch", "vehicle"), [(LAUNCH, "drone"), (DRIVE, "rover")])
def test_arguments_are_explained(launch: tuple[str, ...], vehicle: str,
                                 bench: LaunchBench) -> None:
    text = bench.answer(*launch, "--show-args")
    for argument in options.arguments(vehicle):
        assert f"'{argument.name}':" in text
        assert argument.description in text
        assert f"(default: '{argument.default}')" in text


@pytest.mark.parametrize(("argument", "sentence"), [
    ("sim:=webots", "sim:=webots is unknown: expected one of embedded, gazebo, none"),
    ("drones:=9", "drones:=9 is unknown: expected how many fly, a whole number up to 4"),
    ("world:=forest", "world:=forest is unknown: expected the seed of a world, a whole number"),
    ("record:=perhaps", "record:=perhaps is unknown: expected true or false"),
    ("namespace:=a-b", "namespace:=a-b is not a ROS namespace"),
    ("policy:=nobody", "policy 'nobody' does not ship"),
])
def test_bad_argument_starts_nothing(argument: str, sentence: str, bench: LaunchBench) -> None:
    process = bench.ros2(*LAUNCH, argument)
    assert process.wait() == 1
    assert sentence in process.log
    assert "process started" not in process.log


def test_embedded_flight_in_a_namespace_is_flown_and_recorded(bench: LaunchBench,
                                                              tmp_path: Path) -> None:
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text(
        "/**:\n  ros__parameters:\n    lockstep: true\n    real_time_factor: 0.0\n"
        f"    seed: 300007\n    folder: {tmp_path / 'bags'}\n")
    statuses = bench.collect(DiagnosticStatus, "/drone1/simulator/status", LATCHED)
    commands = bench.collect(TwistStamped, "/drone1/cmd_vel", RELIABLE)
    process = bench.ros2(*LAUNCH, "namespace:=drone1", "record:=true",
                         f"params_file:={parameters}")
    bench.until(lambda: any(not is_zero(c) for c in commands), "a command that moves")
    bench.until(lambda: statuses and pairs(statuses[-1])["outcome"] not in ("", "flying"),
                "the end of the flight")
    assert bench.state("/drone1/controller") == "active"

    # As a person looks at it, with the tools of ROS.
    nodes = bench.answer("node", "list", "--no-daemon", "--spin-time", "2").split()
    assert {"/drone1/simulator", "/drone1/controller", "/drone1/companion"} <= set(nodes)
    assert bench.answer("lifecycle", "get", "/drone1/companion", "--spin-time", "2").startswith(
        "active")

    bench.end(process)
    # As fast as possible, thousands of commands may still wait in the bench's queue: the zero that
    # was sent last is the last of them.
    bench.until(lambda: is_zero(commands[-1]), "the zero that is sent last")
    (bag,) = (tmp_path / "bags").iterdir()
    with AnyReader([bag]) as reader:
        counts = {c.topic: c.msgcount for c in reader.connections}
    for topic in ("image", "imu", "cmd_vel", "controller/neurons", "simulator/status"):
        assert counts[f"/drone1/{topic}"] > 0


def test_rover_drives_along_its_road(bench: LaunchBench, tmp_path: Path) -> None:
    text = share_path("config/nodes/rover.yaml").read_text().replace(
        "lockstep: false", "lockstep: true").replace("factor: 1.0", "factor: 0.0")
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text(text)
    statuses = bench.collect(DiagnosticStatus, "/simulator/status", LATCHED)
    commands = bench.collect(TwistStamped, "/cmd_vel", RELIABLE)
    truths = bench.collect(Odometry, "/ground_truth", RELIABLE)
    process = bench.ros2(*DRIVE, f"params_file:={parameters}")
    bench.until(lambda: truths and math.hypot(
        truths[-1].pose.pose.position.x, truths[-1].pose.pose.position.y) > 2.0, "two metres")
    said = pairs(statuses[-1])
    assert (said["task"], said["outcome"]) == ("lane", "flying")
    assert not any(c.twist.linear.y or c.twist.linear.z for c in commands)
    assert abs(truths[-1].pose.pose.position.z - 0.08) < 0.01
    assert bench.state("/controller") == "active"
    bench.end(process)
    bench.until(lambda: is_zero(commands[-1]), "the zero that is sent last")


def test_two_drones_fly_in_one_world(bench: LaunchBench) -> None:
    names = ("drone1", "drone2")
    commands = {name: bench.collect(TwistStamped, f"/{name}/cmd_vel", RELIABLE) for name in names}
    truths = {name: bench.collect(Odometry, f"/{name}/ground_truth", RELIABLE) for name in names}
    process = bench.ros2(*LAUNCH, "drones:=2", "world:=300012")
    bench.until(lambda: all(truths.values()), "two drones")
    start = {name: truths[name][0].pose.pose.position for name in names}

    def way(name: str) -> float:
        now = truths[name][-1].pose.pose.position
        return math.dist((now.x, now.y), (start[name].x, start[name].y))

    bench.until(lambda: all(way(name) > 1.0 for name in names), "a metre of each one's way")
    assert all(any(not is_zero(c) for c in found) for found in commands.values())
    enclaves = {enclave for *_, enclave in bench.node.get_node_names_and_namespaces_with_enclaves()}
    assert {f"/lnn_ros/{name}/controller" for name in names} <= enclaves
    # A controller that dies leaves the other one flying, and comes back.
    (pid,) = (pid for pid, words in process.pids().items()
              if "/controller" in words and "__ns:=/drone1" in words)
    os.kill(pid, signal.SIGKILL)
    bench.until(lambda: "process has died" in process.log, "its end to be noticed")
    before = way("drone2")
    bench.until(lambda: way("drone2") > before + 0.5, "the other one's flight")
    bench.until(lambda: bench.state("/drone1/controller") == "active", "the controller's return")
    moved = way("drone1")
    bench.until(lambda: abs(way("drone1") - moved) > 0.5, "its flight")
    assert process.log.count("process has died") == 1
    os.killpg(process.pid, signal.SIGINT)
    bench.until(lambda: not process.alive, "the end of ros2")
    assert process.group() == [], process.log


@pytest.mark.parametrize("robot", robots.names())
def test_every_robot_comes_up_disengaged_under_its_own_names(robot: str, bench: LaunchBench,
                                                             ) -> None:
    statuses = bench.collect(DiagnosticStatus, "/controller/status", LATCHED)
    process = bench.ros2(*LAUNCH, "sim:=none", f"robot:={robot}")
    bench.until(lambda: statuses and pairs(statuses[-1])["active"] == "true", "an active node")
    assert pairs(statuses[-1])["mode"] == "disengaged"
    profile = robots.load(robot)
    topics = {name for name, _ in bench.node.get_topic_names_and_types()}
    assert profile.remaps.get("image", "/image") in topics
    assert "simulator" not in process.log
    os.killpg(process.pid, signal.SIGINT)
    bench.until(lambda: not process.alive, "the end of ros2")
    assert process.group() == [], process.log


def test_what_a_person_wrote_wins_over_the_robots_profile(bench: LaunchBench,
                                                          tmp_path: Path) -> None:
    turn = robots.load("turtlebot4").parameters["limits.turn"]
    mine = tmp_path / "mine.yaml"
    mine.write_text("/**:\n  ros__parameters: {limits: {turn: 2.5e-1}}\n"
                    "/controller:\n  ros__parameters: {rate_hz: 25.0, engage: true}\n")
    process = bench.ros2(*LAUNCH, "sim:=none", "robot:=turtlebot4", f"params_file:={mine}")
    assert bench.state("/controller") in ("inactive", "active")
    assert turn != 0.25
    for name, value in (("limits.turn", "Double value is: 0.25"),
                        ("rate_hz", "Double value is: 25.0"),
                        ("engage", "Boolean value is: False")):  # launch decides that
        said = bench.answer("param", "get", "/controller", name, "--spin-time", "2")
        assert said.strip() == value
    os.killpg(process.pid, signal.SIGINT)
    bench.until(lambda: not process.alive, "the end of ros2")
    assert process.group() == [], process.log


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("sim:=gazebo",), "gazebo needs the program"),
    (("rviz:=true",), "package 'rviz2' is not installed here: sudo apt install ros-"),
    (("foxglove:=true",), "package 'foxglove_bridge' is not installed here: sudo apt install"),
])
def test_what_is_not_installed_is_named_before_anything_starts(
        arguments: tuple[str, ...], sentence: str, bench: LaunchBench) -> None:
    process = bench.ros2(*LAUNCH, *arguments)
    assert process.wait() == 1
    assert sentence in process.log
    assert "process started" not in process.log


def test_on_a_robot_nobody_flies_until_a_person_says_so(bench: LaunchBench) -> None:
    told = bench.collect(TwistStamped, "/vehicle/cmd_vel", RELIABLE)
    statuses = bench.collect(DiagnosticStatus, "/controller/status", LATCHED)
    commands = bench.collect(TwistStamped, "/cmd_vel", RELIABLE)
    process = bench.ros2(*LAUNCH, "sim:=none")
    bench.until(lambda: len(commands) >= 30, "a second of commands")
    assert all(is_zero(command) for command in commands)
    assert pairs(statuses[-1])["mode"] == "disengaged"
    assert "simulator" not in process.log
    bench.until(lambda: len(told) >= 30, "a second of what the vehicle is told")
    assert all(is_zero(command) for command in told)

    # The last hop comes back by itself.
    (adapter,) = (pid for pid, words in process.pids().items() if "/vehicle_adapter" in words)
    os.kill(adapter, signal.SIGKILL)
    bench.until(lambda: "process has died" in process.log, "its end to be noticed")
    before = len(told)
    bench.until(lambda: len(told) >= before + 30, "another second of what the vehicle is told")
    assert process.log.count("process has died") == 1
    os.killpg(process.pid, signal.SIGINT)
    bench.until(lambda: not process.alive, "the end of ros2")
    assert process.group() == [], process.log


@pytest.mark.parametrize("executable", ["controller", "companion"])
def test_ros2_run_brings_a_node_up(executable: str, bench: LaunchBench) -> None:
    process = bench.ros2("run", "lnn_ros", executable)
    assert bench.state(f"/{executable}") in ("inactive", "active")
    bench.until(lambda: bench.state(f"/{executable}") == "active", "an active node")
    bench.end(process)


def installed(folder: Path, package: str, **programs: str) -> Path:
    """Return the prefix of a package that has nothing but programs."""
    index = folder / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True)
    (index / package).touch()
    for name, text in programs.items():
        program = folder / "lib" / package / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    return folder


def test_gazebo_flies_with_the_embedded_simulator_behind_its_topics(
        bench: LaunchBench, tmp_path: Path) -> None:
    """Gazebo is not installed here: a program in its place, and the stand-in for its bridge."""
    told = tmp_path / "told"
    gz = tmp_path / "bin" / "gz"
    gz.parent.mkdir()
    gz.write_text(f'#!/bin/sh\necho "$@" "$GZ_SIM_RESOURCE_PATH" > {told}\nexec sleep 600\n')
    gz.chmod(0o755)
    stand_in = ROOT / "test/nodes/gazebo_stand_in.py"
    prefix = installed(tmp_path / "ros_gz", "ros_gz_bridge", parameter_bridge=(
        f'#!/bin/sh\nexec {sys.executable} {stand_in} "$@"\n'))
    bench.env["PATH"] = f"{gz.parent}{os.pathsep}{bench.env['PATH']}"
    bench.env["AMENT_PREFIX_PATH"] = f"{prefix}{os.pathsep}{bench.env['AMENT_PREFIX_PATH']}"
    odom = bench.collect(Odometry, "/odom", BEST_EFFORT)
    statuses = bench.collect(DiagnosticStatus, "/controller/status", LATCHED)
    process = bench.ros2(*LAUNCH, "sim:=gazebo", "headless:=true", "gazebo:=harmonic")
    bench.until(lambda: statuses and pairs(statuses[-1])["troubles"] == ""
                and pairs(statuses[-1])["active"] == "true", "a controller that is fed")
    assert pairs(statuses[-1])["mode"] == "disengaged"
    start = odom[-1].pose.pose.position
    assert bench.trigger("controller/engage").success

    def way() -> float:
        now = odom[-1].pose.pose.position
        return math.dist((now.x, now.y), (start.x, start.y))

    bench.until(lambda: way() > 2.0, "two metres of flight")
    words = told.read_text().split()
    assert words[:4] == ["sim", "-r", "-s", "--headless-rendering"]
    assert Path(words[4]).is_file() and (Path(words[5]) / "lnn_quadrotor/model.sdf").is_file()
    os.killpg(process.pid, signal.SIGINT)
    bench.until(lambda: not process.alive, "the end of ros2")
    assert process.group() == [], process.log
