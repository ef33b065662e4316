"""What differs between distributions stands in one file, and each difference is answered there."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

import lnn_ros
from lnn_ros.nodes import distributions, environment
from lnn_ros.resources import share_path

PACKAGE = Path(lnn_ros.__file__).parent
# distributions.py itself, and the table that it names.
TABLES = {"nodes/distributions.py", "simulation/gazebo/releases.py"}


def test_name_is_what_is_sourced(monkeypatch) -> None:
    monkeypatch.setenv("ROS_DISTRO", "lyrical")
    assert distributions.name() == "lyrical"


@pytest.mark.parametrize(("version", "name"), [
    ("7.1.6", "jazzy"), ("9.1.2", "kilted"), ("99.0.0", ""), (None, "")])
def test_name_of_wheels_follows_from_rclpy(version, name, monkeypatch) -> None:
    def of(package: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(package)
        return version

    monkeypatch.delenv("ROS_DISTRO", raising=False)
    monkeypatch.setattr(importlib.metadata, "version", of)
    assert distributions.name() == name


def test_these_tests_run_on_a_distribution_that_is_said_to_be_tested() -> None:
    assert distributions.name() in distributions.TESTED


@pytest.mark.parametrize("name", distributions.SUPPORTED)
def test_nodes_stay_local_where_the_user_has_said_nothing(name, monkeypatch) -> None:
    monkeypatch.setenv("ROS_DISTRO", name)
    environ: dict[str, str] = {}
    distributions.stay_local(environ)
    assert environ.pop("ROS_AUTOMATIC_DISCOVERY_RANGE") == "LOCALHOST"
    assert environ == ({"ROS_LOCALHOST_ONLY": "1"} if name == "humble" else {})
    said = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "ROS_LOCALHOST_ONLY": "0"}
    distributions.stay_local(said)
    assert said == {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "ROS_LOCALHOST_ONLY": "0"}


@pytest.mark.parametrize(("name", "variable", "folder"), [
    ("humble", "FASTRTPS_DEFAULT_PROFILES_FILE", "dds"),
    ("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE", "dds"),
    ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE", "fast_dds_3"),
    ("lyrical", "FASTDDS_DEFAULT_PROFILES_FILE", "fast_dds_3"),
])
def test_fast_dds_is_given_the_profile_that_it_can_read(name, variable, folder,
                                                        monkeypatch) -> None:
    monkeypatch.setenv("ROS_DISTRO", name)
    for each in distributions.DDS_PROFILES:
        monkeypatch.setenv(each, "")  # so that it is put back as it was
        monkeypatch.delenv(each)
    environment.use_dds_profile("robot.xml")
    found = {each: os.environ.get(each) for each in distributions.DDS_PROFILES}
    assert Path(found.pop(variable)).parent.name == folder
    assert list(found.values()) == [None]


@pytest.mark.parametrize("file", ["robot.xml", "simulator.xml"])
def test_both_versions_of_fast_dds_are_told_the_same(file) -> None:
    old, new = (share_path(f"config/dds/{folder}{file}").read_text()
                for folder in ("", "fast_dds_3/"))
    assert new == old.replace("heartbeatPeriod", "heartbeat_period").replace(
        "heartbeatResponseDelay", "heartbeat_response_delay")


@pytest.mark.parametrize("file", ["robot.xml", "simulator.xml"])
def test_the_middleware_here_finds_nothing_wrong_with_its_profile(file) -> None:
    # It says so on its output, and goes on with none of the profile.
    environ = {k: v for k, v in os.environ.items() if k not in distributions.DDS_PROFILES}
    code = (f"from lnn_ros.nodes import environment; environment.use_dds_profile({file!r})\n"
            "import rclpy; rclpy.init(); rclpy.create_node('alone')")
    done = subprocess.run([sys.executable, "-c", code], env=environ, text=True, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.stdout == ""


@pytest.mark.parametrize("reach", ["LOCALHOST", "SUBNET"])
def test_nodes_listen_in_no_shared_memory(reach) -> None:
    # A process that is killed there takes others along.
    mapped = ("import re, rclpy, sys\n"
              "rclpy.init(); node = rclpy.create_node('alone')\n"
              "print(len(re.findall('/dev/shm/fast.*_port', open('/proc/self/maps').read())))")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FAST")}
    for first, expected in (("", False), ("from lnn_ros.nodes import environment\n"
                                          "environment.use_dds_profile('robot.xml')\n", True)):
        done = subprocess.run([sys.executable, "-c", first + mapped], text=True, check=True,
                              env={**kept, "ROS_AUTOMATIC_DISCOVERY_RANGE": reach},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert (int(done.stdout.splitlines()[-1]) == 0) is expected


def test_without_an_executor_for_events_the_other_one_serves(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "rclpy.experimental", None)  # as on Humble
    rclpy.init(domain_id=0)
    try:
        executor = distributions.executor()
        assert isinstance(executor, SingleThreadedExecutor)
        executor.shutdown()
    finally:
        rclpy.shutdown()


def test_no_other_file_asks_which_distribution_it_is() -> None:
    asked = re.compile(rf"""["']({'|'.join(distributions.SUPPORTED)})["']""", re.IGNORECASE)
    asking = {name for file in PACKAGE.rglob("*.py")
              if (name := str(file.relative_to(PACKAGE))) not in TABLES
              and asked.search(file.read_text())}
    assert asking == set()
