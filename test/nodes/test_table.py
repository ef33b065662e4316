"""The table of nodes: what launch and the demo start for given arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lnn_ros.errors import LnnError
from lnn_ros.nodes import table
from lnn_ros.nodes.settings import SETTINGS, rows
from lnn_ros.nodes.table import NodeOptions, nodes

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


def test_embedded_starts_the_simulator_and_flies_by_itself() -> None:
    specs = by_name(NodeOptions.parse({}))
    assert list(specs) == ["simulator", "vehicle_adapter", "controller", "companion"]
    assert specs["controller"].parameters["engage"] is True
    assert specs["controller"].parameters["use_sim_time"] is True
    assert specs["simulator"].parameters["use_sim_time"] is False
    assert [name for name, spec in specs.items() if spec.essential] == ["simulator"]
    assert [name for name, spec in specs.items() if spec.respawn] == ["vehicle_adapter"]
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
        with pytest.raises(LnnError, match="is no parameter file"):
            nodes(NodeOptions(params_file=str(file)))


def test_a_robot_has_no_simulator_real_time_and_a_person_who_engages() -> None:
    specs = by_name(NodeOptions.parse({"sim": "none"}))
    assert list(specs) == ["vehicle_adapter", "controller", "companion"]
    assert specs["controller"].parameters["engage"] is False
    assert "vehicle" not in specs["vehicle_adapter"].parameters
    assert not any(spec.parameters["use_sim_time"] for spec in specs.values())


@pytest.mark.parametrize("sim", table.SIMULATORS)
def test_every_parameter_of_the_table_is_one_of_the_node(sim: str, tmp_path: Path) -> None:
    simulated = {} if sim == "none" else {
        "task": "fly_to_target", "seed": 5, "lockstep": True, "real_time_factor": 2}
    options = NodeOptions(sim=sim, policy="fly_to_target", bag_folder=str(tmp_path), **simulated)
    for spec in nodes(options):
        known = {row.name: row for row in rows(SETTINGS[spec.executable])}
        for name, value in spec.parameters.items():
            if name != "use_sim_time":
                known[name].check(value)


@pytest.mark.parametrize(("texts", "sentence"), [
    ({"sim": "gazebo"}, "sim:=gazebo is unknown: expected one of embedded, none"),
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
    ({"polcy": "x"}, "polcy is no launch argument: expected one of sim, namespace"),
])
def test_bad_argument_gets_a_sentence(texts: dict[str, str], sentence: str) -> None:
    with pytest.raises(LnnError) as caught:
        NodeOptions.parse(texts)
    assert sentence in str(caught.value)


def test_what_belongs_to_a_simulator_is_refused_without_one() -> None:
    with pytest.raises(LnnError, match="seed is 3 with sim:=none"):
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
        assert topic == f"/drone1/{spec.remaps.get('cmd_vel', 'cmd_vel')}"
        assert parameters == dict(spec.parameters)
        for key, value in spec.parameters.items():
            assert type(parameters[key]) is type(value), key
