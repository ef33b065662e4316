"""Print a layout for Foxglove with the topics of a run.

A layout names its topics in full, and can neither be started in a namespace nor be remapped; its
variables stand for values in messages, not for parts of a topic's name. So it is written anew.
"""

from __future__ import annotations

import argparse
import re
import sys

from lnn_ros.nodes.options import NodeOptions
from lnn_ros.nodes.table import nodes
from lnn_ros.resources import share_path

LAYOUT = "config/viewers/foxglove.json"
"""The layout of one drone in no namespace."""
_TOPIC = re.compile(r'(?<=")/[A-Za-z0-9_/]+')
_EVERYBODYS = ("/diagnostics",)


def layout(options: NodeOptions) -> str:
    """Return the layout for a run's drone.

    Parameters
    ----------
    options : NodeOptions
        What is launched.

    Raises
    ------
    LnnError
        When a file that is needed is not there or not usable.
    """
    controller = next(spec for spec in nodes(options) if spec.name == "controller")
    packed = controller.layered().get("image_transport") == "compressed"

    def named(found: re.Match[str]) -> str:
        topic = found[0]
        if topic in _EVERYBODYS:
            return topic
        name = topic.lstrip("/")
        return controller.resolved("image/compressed" if packed and name == "image" else name)

    return _TOPIC.sub(named, share_path(LAYOUT).read_text())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``lnn_ros foxglove``."""
    parser.add_argument("--robot", default="", metavar="PROFILE",
                        help="name of a robot's profile, or path of one: its remaps count")
    parser.add_argument("--namespace", default="", metavar="NS",
                        help="namespace of the drone's nodes; of several drones drone1, drone2 "
                             "and so on (default: none)")
    parser.add_argument("--params-file", default="", metavar="FILE",
                        help="parameter file of the nodes (default: the package's): it says "
                             "whether images come compressed")


def run(args: argparse.Namespace) -> int:
    """Print the layout; return the exit status."""
    sys.stdout.write(layout(NodeOptions(sim="none", robot=args.robot, namespace=args.namespace,
                                        params_file=args.params_file)))
    return 0
