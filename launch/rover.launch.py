"""Start the nodes of a rover: `ros2 launch lnn_ros rover.launch.py --show-args` explains."""

from launch import LaunchDescription

from lnn_ros.nodes import launching


def generate_launch_description() -> LaunchDescription:
    """Return the arguments of the table of nodes and, once they are known, its processes."""
    return launching.describe("rover")
