"""The launch files' common part: the table of nodes as launch actions."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import Action, LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from lnn_ros.errors import LnnError
from lnn_ros.nodes import options, table


def describe(vehicle: str) -> LaunchDescription:
    """Return the arguments of the table of nodes and, once they are known, its processes.

    Parameters
    ----------
    vehicle : str
        One of ``options.VEHICLES``.
    """
    arguments = options.arguments(vehicle)

    def start(context: LaunchContext) -> list[Action]:
        return _start({a.name: LaunchConfiguration(a.name).perform(context) for a in arguments},
                      vehicle)

    declared = [DeclareLaunchArgument(a.name, default_value=a.default, description=a.description)
                for a in arguments]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def _start(texts: Mapping[str, str], vehicle: str) -> list[Action]:
    wanted = options.NodeOptions.parse(texts, vehicle)
    programs, nodes = table.programs(wanted), table.nodes(wanted)
    # Before anything is started: half of a run is worse than none.
    for program in programs:
        if shutil.which(program.command[0]) is None:
            raise LnnError(f"{program.name} needs the program {program.command[0]!r}, which is not "
                           f"installed here: see docs/how-to/fly-in-gazebo.md")
    for package in {spec.package for spec in nodes}:
        _require(package)
    return [*map(_process, programs), *map(_node, nodes)]


def _require(package: str) -> None:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        raise LnnError(f"package {package!r} is not installed here: sudo apt install "
                       f"ros-$ROS_DISTRO-{package.replace('_', '-')}") from None


def _process(spec: table.ProgramSpec) -> ExecuteProcess:
    return ExecuteProcess(cmd=list(spec.command), name=spec.name, output="screen",
                          additional_env=dict(spec.environment),
                          on_exit=Shutdown(reason=f"{spec.name} has ended"))


def _node(spec: table.NodeSpec) -> Node:
    return Node(
        package=spec.package, executable=spec.executable, name=spec.name,
        namespace=spec.namespace,
        parameters=[_typed(spec.resolved_parameters())],
        remappings=list(spec.remaps.items()),
        arguments=[*spec.arguments, "--ros-args", "--log-level", spec.log_level,
                   "--enclave", spec.enclave],
        output="screen",
        # A busy computer needs this long for a last zero command and for closing a recording.
        sigterm_timeout="15",
        respawn=spec.respawn, respawn_delay=1.0,
        on_exit=Shutdown(reason=f"{spec.name} has ended") if spec.essential else None)


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    # launch_ros would read the string "1" as an integer, were its type not given.
    return {name: value if isinstance(value, list)
            else ParameterValue(value, value_type=type(value)) for name, value in values.items()}
