"""The command lines that start Gazebo and its bridge."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.simulation.gazebo import running

ROOT = Path(__file__).resolve().parents[3]


def test_default_is_the_world_that_ships_without_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GZ_SIM_RESOURCE_PATH", raising=False)
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    found = running.run()
    assert found.server.command == ("gz", "sim", "-r", "-s", "--headless-rendering",
                                    str(ROOT / "worlds/forest.sdf"))
    assert found.server.environment == {"GZ_SIM_RESOURCE_PATH": str(ROOT / "worlds/models")}
    config = ROOT / "config/gazebo/bridge.yaml"
    assert found.bridge.parameters == {"config_file": str(config)}
    assert found.bridge.command == (
        "ros2", "run", "ros_gz_bridge", "parameter_bridge", "--ros-args", "-r",
        "__node:=gazebo_bridge", "-p", f"config_file:={config}")
    assert found.vehicle == "gazebo_multicopter"


def test_fortress_has_its_own_words_and_what_was_there_stays(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IGN_GAZEBO_RESOURCE_PATH", "/my/models")
    found = running.run("forest", "fortress", headless=False, namespace="/drone1")
    folder = ROOT / "worlds/fortress"
    assert found.server.command == ("ign", "gazebo", "-r", str(folder / "forest.sdf"))
    assert found.server.environment == {
        "IGN_GAZEBO_RESOURCE_PATH": f"{folder / 'models'}:/my/models"}
    assert found.bridge.config_file == ROOT / "config/gazebo/bridge_fortress.yaml"
    assert "__ns:=/drone1" in found.bridge.command


@pytest.mark.parametrize(("distribution", "program"), [
    ("humble", "ign"), ("jazzy", "gz"), ("kilted", "gz"), ("lyrical", "gz"), ("rolling", "gz")])
def test_release_goes_with_the_ros_that_is_sourced(distribution: str, program: str,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DISTRO", distribution)
    assert running.run().server.command[0] == program


def test_a_written_world_is_run_with_the_bridge_beside_it(tmp_path: Path) -> None:
    assert main(["worlds", "--out", str(tmp_path), "--name", "wood"]) == 0
    found = running.run(str(tmp_path / "wood.sdf"))
    assert found.server.command[-1] == str(tmp_path / "wood.sdf")
    assert found.bridge.config_file == tmp_path / "bridge.yaml"
    assert found.server.environment["GZ_SIM_RESOURCE_PATH"].startswith(str(tmp_path / "models"))
    (tmp_path / "bridge.yaml").unlink()
    with pytest.raises(LnnError, match=r"bridge\.yaml is no file"):
        running.run(str(tmp_path / "wood.sdf"))


@pytest.mark.parametrize(("world", "gazebo", "sentence"), [
    ("/no/where.sdf", "harmonic", "is no file"), ("desert", "harmonic", "desert.sdf was not found"),
    ("forest", "citadel", "Gazebo release 'citadel' found"),
])
def test_what_is_not_there_is_said(world: str, gazebo: str, sentence: str) -> None:
    with pytest.raises(LnnError, match=sentence):
        running.run(world, gazebo)


def test_it_needs_no_simulator() -> None:
    # Launch reads it where only ROS and Gazebo are installed.
    code = ("import sys; sys.modules.update(mujoco=None, numba=None, launch=None, rclpy=None); "
            "from lnn_ros.simulation.gazebo import running; running.run()")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True,
                          check=False)
    assert done.returncode == 0, done.stderr
