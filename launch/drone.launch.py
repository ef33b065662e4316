"""Start the nodes of a drone: `ros2 launch lnn_ros drone.launch.py --show-args` explains."""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from lnn_ros.nodes import table


def generate_launch_description() -> LaunchDescription:
    """Return the arguments of the table of nodes and, once they are known, its processes."""
    arguments = [
        DeclareLaunchArgument(a.name, default_value=a.default, description=a.description)
        for a in table.ARGUMENTS]
    return LaunchDescription([*arguments, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[Node]:
    texts = {a.name: LaunchConfiguration(a.name).perform(context) for a in table.ARGUMENTS}
    return [_action(spec) for spec in table.nodes(table.NodeOptions.parse(texts))]


def _action(spec: table.NodeSpec) -> Node:
    # launch_ros would read the string "1" as an integer, were its type not given.
    parameters = {name: ParameterValue(value, value_type=type(value))
                  for name, value in spec.parameters.items()}
    return Node(
        package="lnn_ros", executable=spec.executable, name=spec.name, namespace=spec.namespace,
        parameters=[str(spec.params_file), parameters], remappings=list(spec.remaps.items()),
        arguments=["--ros-args", "--log-level", spec.log_level],
        output="screen",
        # A busy computer needs this long for a last zero command and for closing a recording.
        sigterm_timeout="15",
        respawn=spec.respawn, respawn_delay=1.0,
        on_exit=Shutdown(reason=f"{spec.name} has ended") if spec.essential else None)
