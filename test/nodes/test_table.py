"""The table of nodes: what launch and the demo start for given arguments."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lnn_ros import parameter_files, vehicles
from lnn_ros.errors import LnnError
from lnn_ros.nodes import robots, table
from lnn_ros.nodes.options import SIMULATORS, NodeOptions
from lnn_ros.nodes.parameter_rows import rows
from lnn_ros.nodes.settings import SETTINGS
from lnn_ros.nodes.table import nodes
from lnn_ros.resources import share_path
from lnn_ros.simulation.task import Task

# Prints, as JSON, what a node reads from its command line.
READ_BACK = """
import json, rclpy
rclpy.init()
node = rclpy.create_node("x", automatically_declare_parameters_from_overrides=True)
print(json.dumps([node.get_fully_qualified_name(), node.resolve_topic_name("cmd_vel"),
                  {n: node.get_parameter(n).value for n in ("use_sim_time", *PARAMETERS)}]))
"""


def by_name(options: NodeOptions) -> dict[str, table.NodeSpec]:
    return {spec.executable: spec for spec in nodes(options)}


def layered(spec: table.NodeSpec) -> dict[str, object]:
    """Return what a node gets on top of files."""
    found: dict[str, object] = {}
    for layer in (*spec.layers, spec.parameters):
        found.update({} if isinstance(layer, Path) else layer)
    return found


def test_embedded_starts_the_simulator_and_flies_by_itself() -> None:
    specs = by_name(NodeOptions.parse({}))
    assert list(specs) == ["simulator", "vehicle_adapter", "controller", "companion"]
    assert specs["controller"].parameters["engage"] is True
    assert specs["controller"].parameters["use_sim_time"] is True
    assert specs["simulator"].parameters["use_sim_time"] is False
    assert [name for name, spec in specs.items() if spec.essential] == ["simulator"]
    assert [name for name, spec in specs.items() if spec.respawn] == [
        "vehicle_adapter", "controller", "companion"]
    assert not any(spec.respawn for spec in nodes(NodeOptions(use_respawn=False)))
    assert specs["vehicle_adapter"].parameters["vehicle"] == "stamped"
    # Between controller and vehicle stands the adapter, and nothing else hears the controller.
    assert specs["simulator"].remaps == {"cmd_vel": "vehicle/cmd_vel"}
    assert not any(specs[name].remaps for name in ("vehicle_adapter", "controller", "companion"))


def test_in_lockstep_nothing_stands_between_question_and_answer(tmp_path: Path) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text("/**:\n  ros__parameters:\n    lockstep: true\n")
    for options in (NodeOptions(lockstep=True), NodeOptions(params_file=str(file))):
        specs = by_name(options)
        assert list(specs) == ["simulator", "controller", "companion"]
        assert not specs["simulator"].remaps
    for options in (NodeOptions(lockstep=False, params_file=str(file)),
                    NodeOptions(sim="none", params_file=str(file))):
        assert "vehicle_adapter" in by_name(options)
    for text in ("- 1", "a: [", "/**: 3"):
        file.write_text(text)
        with pytest.raises(LnnError, match=f"parameter file {file}"):
            nodes(NodeOptions(params_file=str(file)))


def test_a_robot_has_no_simulator_real_time_and_a_person_who_engages() -> None:
    specs = by_name(NodeOptions.parse({"sim": "none"}))
    assert list(specs) == ["vehicle_adapter", "controller", "companion"]
    assert specs["controller"].parameters["engage"] is False
    assert "vehicle" not in specs["vehicle_adapter"].parameters
    assert not any(spec.parameters["use_sim_time"] for spec in specs.values())


@pytest.mark.parametrize("drones", [2, 4])
def test_each_drone_has_a_controller_and_an_adapter_in_its_namespace(drones: int) -> None:
    specs = nodes(NodeOptions(drones=drones, namespace="fleet"))
    assert [(spec.namespace, spec.executable) for spec in specs] == [
        ("fleet", "simulator"),
        *((f"fleet/drone{k}", name) for k in range(1, drones + 1)
          for name in ("vehicle_adapter", "controller")),
        ("fleet", "companion")]
    assert specs[0].parameters["vehicles"] == drones
    assert specs[0].remaps == {f"drone{k}/cmd_vel": f"drone{k}/vehicle/cmd_vel"
                               for k in range(1, drones + 1)}


def test_world_of_the_embedded_simulator_is_a_seed() -> None:
    specs = by_name(NodeOptions.parse({"world": "300012"}))
    assert specs["simulator"].parameters["seed"] == 300_012


def test_gazebo_comes_with_its_bridge_and_a_person_who_engages() -> None:
    options = NodeOptions.parse({"sim": "gazebo", "headless": "true", "gazebo": "harmonic",
                                 "namespace": "drone1"})
    (server,) = table.programs(options)
    assert server.command[:2] == ("gz", "sim") and "-s" in server.command
    specs = by_name(options)
    assert list(specs) == ["parameter_bridge", "vehicle_adapter", "controller", "companion"]
    assert specs["parameter_bridge"].package == "ros_gz_bridge"
    assert specs["parameter_bridge"].essential
    assert layered(specs["vehicle_adapter"])["vehicle"] == "gazebo_multicopter"
    assert specs["controller"].parameters["engage"] is False
    assert specs["controller"].parameters["use_sim_time"] is True
    assert not table.programs(NodeOptions())


@pytest.mark.parametrize(("distribution", "command"), [
    ("humble", "ign"), ("jazzy", "gz"), ("kilted", "gz"), ("lyrical", "gz"), ("", "gz")])
def test_gazebo_is_the_release_that_goes_with_ros(distribution: str, command: str,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DISTRO", distribution)
    (server,) = table.programs(NodeOptions(sim="gazebo"))
    assert server.command[0] == command


def test_viewers_come_when_asked_for_and_stay_on_this_computer() -> None:
    specs = by_name(NodeOptions.parse({"rviz": "true", "foxglove": "true"}))
    assert specs["rviz2"].package == "rviz2"
    assert Path(specs["rviz2"].arguments[1]).is_file()
    assert specs["foxglove_bridge"].parameters["address"] == "127.0.0.1"
    assert not {"rviz2", "foxglove_bridge"} & set(by_name(NodeOptions()))


def test_rviz_looks_at_each_drone_under_the_names_of_its_topics() -> None:
    def opened(**options: object) -> list[str]:
        return [spec.resolved("image") for spec in nodes(NodeOptions(rviz=True, **options))
                if spec.name == "rviz"]

    assert opened(namespace="one") == ["/one/image"]
    assert opened(namespace="fleet", drones=2) == ["/fleet/drone1/image", "/fleet/drone2/image"]
    assert opened(sim="none", robot="mavros") == ["/camera/image_raw"]


def test_viewers_files_name_topics_of_the_nodes() -> None:
    """A panel that shows nothing is worse than none."""
    known = {"image", "camera_info", "odom", "scan", "cmd_vel", "controller/neurons",
             "controller/status", "diagnostics"}
    rviz = yaml.safe_load(share_path("config/viewers/drone.rviz").read_text())
    shown = {d["Topic"]["Value"] for d in rviz["Visualization Manager"]["Displays"]
             if "Topic" in d}
    text = share_path("config/viewers/foxglove.json").read_text()
    shown |= {name.strip("/") for name in re.findall(r'"(/[a-z_/]+)', text)}
    assert json.loads(text)["layout"]
    assert shown == known


@pytest.mark.parametrize("robot", robots.names())
def test_what_a_person_wrote_wins_over_the_robot_and_that_over_what_ships(
        robot: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("/**:\n  ros__parameters:\n    rate_hz: 25.0\n")
    profile = robots.load(robot)
    for spec in nodes(NodeOptions(sim="none", robot=robot, params_file=str(mine))):
        first, second, third = spec.layers
        assert first == share_path(parameter_files.SHIPPED) and third == mine
        assert dict(second) == dict(profile.parameters)
        assert spec.remaps == dict(profile.remaps)
    assert len(nodes(NodeOptions(sim="none", robot=robot))[0].layers) == 2


@pytest.mark.parametrize("robot", robots.names())
def test_robot_hears_its_adapter_and_not_the_controller(robot: str) -> None:
    """The last hop is always the adapter: no name leads past it."""
    specs = by_name(NodeOptions(sim="none", robot=robot))
    adapter, controller = specs["vehicle_adapter"], specs["controller"]
    kind = vehicles.make(str(layered(adapter).get("vehicle", "stamped")))
    told = {adapter.resolved(topic) for topic in kind.takes}
    said = {controller.resolved("cmd_vel")}
    assert not told & said
    assert adapter.resolved("cmd_vel") in said


def test_a_rover_has_the_same_nodes_and_parameters_of_its_own() -> None:
    specs = by_name(NodeOptions.parse({}, "rover"))
    assert list(specs) == ["simulator", "vehicle_adapter", "controller", "companion"]
    told = specs["controller"].resolved_parameters()
    assert told["policy"] == "lane" and told["limits.lateral"] == told["limits.up"] == 0.0
    task = Task.load(specs["simulator"].resolved_parameters()["task"])
    assert task.vehicle.kind == "rover"
    # The camera is mounted as the parameters say, or a policy would see through another one.
    assert told["camera.pitch"] == pytest.approx(math.radians(task.camera.tilt), abs=1e-6)
    robot = by_name(NodeOptions.parse({"sim": "none", "robot": "turtlebot4"}, "rover"))
    assert robot["controller"].resolved_parameters()["limits.forward"] == 0.3
    gazebo = by_name(NodeOptions.parse({"sim": "gazebo"}, "rover"))
    assert "rover" in gazebo["parameter_bridge"].parameters["config_file"]
    assert gazebo["vehicle_adapter"].resolved_parameters()["vehicle"] == "twist"


@pytest.mark.parametrize(("texts", "sentence"), [
    ({"drones": "2"}, "drones is no launch argument: expected one of sim, robot"),
    ({"sim": "none", "robot": "px4"},
     "robot:=px4 is a drone: expected a rover, or drone.launch.py"),
    ({"robot": "turtlebot4"}, "sim:=embedded, which has a rover of its own: use sim:=none"),
])
def test_what_a_rover_is_not_gets_a_sentence(texts: dict[str, str], sentence: str) -> None:
    with pytest.raises(LnnError) as caught:
        NodeOptions.parse(texts, "rover")
    assert sentence in str(caught.value)


def test_names_are_resolved_as_ros_does() -> None:
    spec = table.NodeSpec("controller", "controller", "one", remaps={
        "image": "/camera/raw", "cmd_vel": "controller/cmd_vel", "scan/other": "s"})
    assert {name: spec.resolved(name) for name in (
        "image", "image/compressed", "cmd_vel", "~/status", "/clock", "imu", "scan/other")} == {
        "image": "/camera/raw", "image/compressed": "/camera/raw/compressed",
        "cmd_vel": "/one/controller/cmd_vel", "~/status": "/one/controller/status",
        "/clock": "/clock", "imu": "/one/imu", "scan/other": "/one/s"}
    assert table.NodeSpec("controller", "controller", "").resolved("imu") == "/imu"


@pytest.mark.parametrize("sim", SIMULATORS)
def test_every_parameter_of_the_table_is_one_of_the_node(sim: str, tmp_path: Path) -> None:
    simulated = {} if sim != "embedded" else {
        "task": "fly_to_target", "seed": 5, "lockstep": True, "real_time_factor": 2}
    options = NodeOptions(sim=sim, policy="fly_to_target", bag_folder=str(tmp_path), **simulated)
    for spec in nodes(options):
        if spec.package != table.OURS:
            continue
        known = {row.name: row for row in rows(SETTINGS[spec.executable])}
        for name, value in spec.parameters.items():
            if name != "use_sim_time":
                known[name].check(value)


@pytest.mark.parametrize(("texts", "sentence"), [
    ({"sim": "webots"}, "sim:=webots is unknown: expected one of embedded, gazebo, none"),
    ({"world": "forest"}, "world:=forest is unknown: expected the seed of a world, a whole number"),
    ({"world": "7", "sim": "none"}, "world:=7 belongs to sim:=gazebo: found sim:=none"),
    ({"world": "/no/such.sdf", "sim": "gazebo"}, "world:=/no/such.sdf is no file"),
    ({"headless": "true"}, "headless:=True belongs to sim:=gazebo: found sim:=embedded"),
    ({"gazebo": "classic", "sim": "gazebo"}, "gazebo:=classic is unknown: expected one of auto"),
    ({"gazebo": "ionic"}, "gazebo:=ionic belongs to sim:=gazebo: found sim:=embedded"),
    ({"drones": "5"}, "drones:=5 is unknown: expected how many fly, a whole number up to 4"),
    ({"drones": "0"}, "drones:=0: expected a whole number from 1 to 4"),
    ({"drones": "2", "sim": "none"}, "drones:=2 belongs to sim:=embedded: found sim:=none"),
    ({"robot": "px4"}, "robot:=px4 does not go with sim:=embedded"),
    ({"robot": "nobody", "sim": "none"}, "nobody"),
    ({"rviz": "maybe"}, "rviz:=maybe is unknown: expected true or false"),
    ({"log_level": "loud"}, "log_level:=loud is unknown: expected one of debug, info, warn, "
                            "error, fatal"),
    ({"record": "maybe"}, "record:=maybe is unknown: expected true or false"),
    ({"use_sim_time": "perhaps"}, "use_sim_time:=perhaps is unknown: expected true, false or auto"),
    ({"use_sim_time": "false"}, "use_sim_time:=false does not go with sim:=embedded"),
    ({"namespace": "drone 1"}, "namespace:=drone 1 is not a ROS namespace"),
    ({"namespace": "a//b"}, "namespace:=a//b is not a ROS namespace"),
    ({"params_file": "/no/such.yaml"}, "params_file:=/no/such.yaml is no file"),
    ({"policy": "/no/such.safetensors"}, "policy:=/no/such.safetensors is no file"),
    ({"policy": "nobody"}, "policy 'nobody' does not ship"),
    ({"polcy": "x"}, "polcy is no launch argument: expected one of sim, robot"),
])
def test_bad_argument_gets_a_sentence(texts: dict[str, str], sentence: str) -> None:
    with pytest.raises(LnnError) as caught:
        NodeOptions.parse(texts)
    assert sentence in str(caught.value)


def test_what_belongs_to_a_simulator_is_refused_without_one() -> None:
    with pytest.raises(LnnError, match="seed:=3 belongs to sim:=embedded: found sim:=none"):
        NodeOptions(sim="none", seed=3)


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "1"])
def test_booleans_may_be_written_as_ros_users_write_them(text: str) -> None:
    assert NodeOptions.parse({"record": text, "use_sim_time": text}) == NodeOptions(
        record=True, use_sim_time=True)


def test_command_line_carries_names_and_types_to_the_node(tmp_path: Path) -> None:
    checkpoint = tmp_path / "1 it's: a \"policy\".safetensors"
    checkpoint.touch()
    options = NodeOptions(namespace="/drone1", policy=str(checkpoint), task="12", seed=7,
                          lockstep=False, real_time_factor=2)
    for spec in nodes(options):
        words = spec.command(sys.executable)
        assert words[1:3] == ["-m", spec.module]
        code = READ_BACK.replace("PARAMETERS", repr(tuple(spec.parameters)))
        done = subprocess.run([sys.executable, "-c", code, *words[3:]], text=True, check=False,
                              capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        name, topic, parameters = json.loads(done.stdout)
        assert name == f"/drone1/{spec.executable}"
        assert topic == spec.resolved("cmd_vel")
        assert parameters == dict(spec.parameters)
        for key, value in spec.parameters.items():
            assert type(parameters[key]) is type(value), key


def test_sros2_looks_for_each_node_in_the_enclave_that_the_table_names(tmp_path: Path) -> None:
    """As real nodes say that are told to use security, and find no keys."""
    told = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce",
            "ROS_SECURITY_KEYSTORE": str(tmp_path)}
    for spec in nodes(NodeOptions(drones=2, namespace="fleet")):
        assert spec.enclave == f"/lnn_ros/{spec.namespace}/{spec.name}"
        refused = subprocess.run(spec.command(), env={**os.environ, **told}, text=True, timeout=60,
                                 capture_output=True, check=False)
        assert refused.returncode == 2
        assert f"'{tmp_path}/enclaves{spec.enclave}' does not exist" in refused.stderr
