"""``lnn_ros doctor`` with real processes over DDS: a robot that is well, and wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from ros import LATCHED, Bench, is_zero, pairs
from sensor_msgs.msg import Image, Imu
from sensors import first_frame

from lnn_ros import messages
from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.nodes import qos
from lnn_ros.nodes.doctor.ear import header
from lnn_ros.nodes.doctor.graph import quality
from lnn_ros.nodes.doctor.intent import Intent, offered
from lnn_ros.nodes.table import NodeOptions, nodes

WRONG = str(Path(__file__).with_name("wrong_robot.py"))


def examine(bench: Bench, *words: str) -> tuple[int, dict[str, dict[str, str]], str]:
    """Run the doctor; return its status, what is not ok by what it is about, and the lines."""
    file = bench.folder / "doctor.json"
    done = bench.tool("doctor", "--seconds", "3", "--json", str(file), *words)
    assert file.exists(), done.stderr
    findings = json.loads(file.read_text())["findings"]
    # One line each, in the same order.
    lines = done.stdout.splitlines()
    assert len(lines) == len(findings) + 2
    assert all(line.startswith(f["verdict"]) and f["found"] in line and f["remedy"] in line
               for line, f in zip(lines, findings, strict=False))
    return done.returncode, {f["what"]: f for f in findings if f["remedy"]}, done.stdout


def launch(bench: Bench) -> None:
    """Start the processes of the table, without the companion, at half of real time."""
    first_frame()  # compiled here: the simulator would stand still for it
    for spec in nodes(NodeOptions(real_time_factor=0.5)):
        if spec.executable != "companion":
            remaps = [word for ours, theirs in spec.remaps.items()
                      for word in ("--ros-args", "-r", f"{ours}:={theirs}")]
            bench.run(spec.executable, "-m", spec.module, *remaps, **spec.parameters)


def test_flight_in_the_simulator_is_well(bench) -> None:
    commands = bench.collect(TwistStamped, "cmd_vel")
    launch(bench)
    bench.until(lambda: not all(map(is_zero, commands)), "a flight")
    for _ in range(3):  # looks: a busy computer makes gaps that the doctor is right about
        status, wrong, text = examine(bench)
        if not wrong:
            break
    assert wrong == {}, text
    assert status == 0 and text.rstrip().endswith("0 warn, 0 fail")
    for what in ("clock", "image rate", "imu losses", "image stamps", "camera geometry",
                 "imu gravity", "vehicle_adapter", "vehicle/cmd_vel", "controller"):
        assert f"ok    {what} " in text


def test_sensors_clocks_and_commands_that_are_wrong(bench) -> None:
    said = bench.collect(DiagnosticStatus, "controller/status", LATCHED)
    bench.run("wrong", WRONG, "sensors")
    bench.start("controller")
    bench.until(lambda: said and pairs(said[-1])["active"] == "true", "the controller")
    bench.until(lambda: "camera.offset_s" in pairs(said[-1])["troubles"], "images")
    status, wrong, text = examine(bench)
    assert status == 1, text
    expected = {
        "image stamps": ("count from this computer's boot", "camera.offset_s"),
        "imu stamps": ("count from this computer's boot", "imu.offset_s"),
        "camera_info size": ("640x480", "64x48"),
        "imu mounting": ("180 degrees", "imu.roll to 3.1416"),
        "cmd_vel": ("/controller and /joystick", "takeover"),
        "vehicle_adapter": ("does not run", "ros2 run lnn_ros vehicle_adapter"),
        "vehicle/cmd_vel": ("nobody listens", "autopilot's bridge"),
        "vehicle_state topic": ("nobody publishes /vehicle_state", "modes.require_airborne"),
        "controller samples": ("camera.content",),
        "controller": ("set imu.offset_s", "the lines above"),
    }
    assert sorted(wrong) == sorted(expected), text
    for what, words in expected.items():
        assert wrong[what]["verdict"] == ("warn" if what == "controller samples" else "fail")
        assert all(word in str(wrong[what]) for word in words), wrong[what]
    # Both name the same number.
    number = wrong["imu stamps"]["remedy"].split("offset_s to ")[1].split(",")[0]
    told = pairs(said[-1])["troubles"].split("imu.offset_s to ")[1].split(",")[0]
    assert float(number) == pytest.approx(float(told), abs=0.05)


def test_names_types_and_qualities_that_are_wrong(bench) -> None:
    said = bench.collect(DiagnosticStatus, "vehicle_adapter/status", LATCHED)
    state = bench.collect(DiagnosticStatus, "vehicle_state")
    bench.run("wrong", WRONG, "names")
    bench.start("vehicle_adapter")
    bench.until(lambda: said and state, "both")
    status, wrong, text = examine(bench)
    assert status == 1, text
    expected = {
        "image topic": ("CompressedImage from /camera_driver",
                        "image_transport: compressed and remap image/compressed:=/image"),
        "imu topic": ("/imu/data carries Imu", "remap imu:=/imu/data"),
        "cmd_vel": ("/vehicle_adapter hears nothing of /planner", "reliability of /planner"),
        "vehicle/cmd_vel": ("/autopilot listens for Twist", "set the parameter vehicle to"),
        "vehicle_state": ("airborne unknown", "unknown is as bad as no"),
        "controller": ("does not run", "ros2 launch"),
    }
    assert sorted(wrong) == sorted(expected), text
    for what, words in expected.items():
        assert wrong[what]["verdict"] == ("warn" if what == "controller" else "fail")
        assert all(word in str(wrong[what]) for word in words), wrong[what]


PROFILE = """
about: A robot that calls everything otherwise.
tested: stand-in types
kind: drone
remaps:
  image: /camera/image_raw
  camera_info: /camera/info
  imu: /imu/data
  vehicle_state: /autopilot/state
  vehicle/cmd_vel: /autopilot/velocity
parameters:
  vehicle: twist
  base_frame: base_link
  imu: {roll: 3.1415926}
"""


def test_profile_of_a_robot_counts(bench) -> None:
    file = bench.folder / "mine.yaml"
    file.write_text(PROFILE)
    state = bench.collect(DiagnosticStatus, "autopilot/state")
    bench.run("wrong", WRONG, "renamed")
    bench.until(lambda: state, "the autopilot")
    status, wrong, text = examine(bench, "--robot", str(file))
    # Nothing of ours runs yet.
    assert status == 0 and sorted(wrong) == ["controller", "vehicle_adapter"], text
    assert "/autopilot/velocity: Twist for /autopilot" in text


def test_it_is_no_publisher_and_no_reliable_reader(bench) -> None:
    """A simulator in lock-step waits for reliable readers, an adapter counts publishers."""
    seen: set[tuple[str, bool]] = set()
    bench.run("wrong", WRONG, "sensors")
    done = bench.run("doctor", "-c", "from lnn_ros.cli import main; import sys; "
                     "sys.exit(main(['doctor', '--seconds', '4']))")

    def look() -> None:
        for topic, _ in bench.node.get_topic_names_and_types():
            for info in bench.node.get_subscriptions_info_by_topic(topic):
                if info.node_name == "lnn_ros_doctor":
                    seen.add((topic, info.qos_profile.reliability.name == "RELIABLE"))
            assert not [info for info in bench.node.get_publishers_info_by_topic(topic)
                        if info.node_name == "lnn_ros_doctor"
                        and topic not in ("/parameter_events", "/rosout")]

    bench.until(lambda: not done.alive, "the doctor's end", look)
    assert ("/imu", False) in seen
    assert not [topic for topic, reliable in seen if reliable and topic in ("/imu", "/image")]


# Parts that know rclpy

@given(st.integers(-2**31, 2**31 - 1), st.integers(0, 2**32 - 1),
       st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_header_is_read_as_rclpy_reads_it(seconds, nanoseconds, frame) -> None:
    for message in (Image(), Imu()):
        message.header.stamp.sec, message.header.stamp.nanosec = seconds, nanoseconds
        message.header.frame_id = frame
        assert header(serialize_message(message)) == (
            messages.time_ns(message.header.stamp), frame)


@given(st.binary(max_size=40))
def test_header_of_anything_is_none_or_something(payload) -> None:
    found = header(payload)
    assert found is None or isinstance(found[1], str)


def test_commands_are_offered_as_the_doctor_thinks() -> None:
    for period in (None, 1 / 30):
        made, thought = quality(qos.command(period)), offered(period)
        assert (made.reliable, made.latched, made.manual) == (
            thought.reliable, thought.latched, thought.manual)
        assert np.isclose(made.deadline_s, thought.deadline_s)
        assert np.isclose(made.lease_s, thought.lease_s)


@pytest.mark.parametrize("content", ["", "[1]", "a: 1", "\tx", "/**: {ros__parameters: 3}"])
def test_file_that_holds_no_parameters_is_one_sentence(tmp_path, capsys, content) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(content)
    assert main(["doctor", "--params-file", str(path)]) == 2
    assert str(path) in capsys.readouterr().err
    with pytest.raises(LnnError, match="is no file"):
        Intent.read(params_file=str(tmp_path / "none.yaml"))


def test_options_that_are_not_possible(capsys) -> None:
    assert main(["doctor", "--seconds", "0"]) == 2
    assert "--seconds is 0" in capsys.readouterr().err
