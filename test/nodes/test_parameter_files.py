"""Parameter files: the same file says the same to rclpy's own node and to us."""

from __future__ import annotations

import re

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from lnn_ros.errors import LnnError
from lnn_ros.parameter_files import flat, values

FILES = {
    "everybody": "/**: {ros__parameters: {rate_hz: 20.0, imu: {roll: 1.0}, imu.pitch: 2.0}}",
    "by name": "controller: {ros__parameters: {rate_hz: 21.0}}",
    "full": "/drone1/controller: {ros__parameters: {rate_hz: 22.0}}\n"
            "/drone2/controller: {ros__parameters: {rate_hz: 23.0}}",
    "nested": "drone1: {controller: {ros__parameters: {rate_hz: 24.0}}, "
              "other: {ros__parameters: {rate_hz: 1.0}}}",
    "over": "/**: {ros__parameters: {rate_hz: 25.0, policy: a}}\n"
            "/**/controller: {ros__parameters: {rate_hz: 26.0}}",
    "named first": "/**/controller: {ros__parameters: {rate_hz: 26.0, policy: b}}\n"
                   "/**: {ros__parameters: {rate_hz: 25.0}}",
    "types": "/**: {ros__parameters: {a: 1e3, b: 1.0e3, c: 5e-1, d: y, e: N, f: 'yes', g: 010, "
             "h: 0x1f, i: -3, j: 1_000, k: .5, l: 7., m: .inf, n: -.inf, o: 'x y', p: on, q: Off, "
             "r: yEs, s: 2026-11-22, u: +4, v: '1', w: \"2\", x: 0.0, y: off, 12: 3}}",
    "others": "/other: {ros__parameters: {1: 2}}\n/**: {ros__parameters: {on: 1.5}}",
    "one": "/*/controller: {ros__parameters: {rate_hz: 27.0}}",
}


@pytest.mark.parametrize("namespace", ["", "drone1"])
@pytest.mark.parametrize("file", FILES)
def test_parameter_files_are_read_as_ros_reads_them(tmp_path, file, namespace) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(FILES[file])
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO, domain_id=101)
    node = Node("controller", context=context, namespace=namespace, use_global_arguments=False,
                cli_args=["--ros-args", "--params-file", str(path)], enable_rosout=False,
                automatically_declare_parameters_from_overrides=True)
    wanted = {name: parameter.value for name, parameter in node.get_parameters_by_prefix("").items()
              if not name.startswith(("use_sim_time", "start_type"))}
    node_name = node.get_fully_qualified_name()
    node.destroy_node()
    rclpy.shutdown(context=context)
    found = values(path, node_name)
    assert found == wanted
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in wanted.items()}


@pytest.mark.parametrize("content", ["", "[1]", "a: 1", "a: [", "/**: 3",
                                     "/**: {ros__parameters: 3}",
                                     "/**: {ros__parameters: {[1]: 2}}"])
def test_file_that_is_none_is_a_sentence_that_names_it(tmp_path, content) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(LnnError, match=re.escape(f"parameter file {path}")) as raised:
        values(path, "/controller")
    assert "\n" not in str(raised.value)


def test_file_that_cannot_be_read(tmp_path) -> None:
    with pytest.raises(LnnError, match=re.escape(f"parameter file {tmp_path}")):
        values(tmp_path, "/controller")


def test_groups_are_joined_by_dots_and_bad_ones_named() -> None:
    assert flat({"a": {"b": {"c": 1}}, "a.d": 2}, "it") == {"a.b.c": 1, "a.d": 2}
    with pytest.raises(LnnError, match=r"it\.a is \{1: 2\}: expected a mapping"):
        flat({"a": {1: 2}}, "it")  # which no file holds: there, keys are texts
