"""The bridge between Gazebo's topics and ours: a configuration file of ``ros_gz_bridge``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import yaml

from lnn_ros.simulation.gazebo.elements import MADE_BY
from lnn_ros.simulation.gazebo.releases import Release


class Direction(str, Enum):
    """Which way messages go, in the bridge's words."""

    TO_ROS = "GZ_TO_ROS"
    TO_GAZEBO = "ROS_TO_GZ"


@dataclass(frozen=True)
class Bridged:
    """A topic on both sides.

    Attributes
    ----------
    ros, ros_type : str
        Our name, relative but for ``/clock``, and the type ``package/msg/Name``.
    gazebo, gazebo_type : str
        Gazebo's name, and the type without what releases put before it.
    direction : Direction
        Which way messages go.
    """

    ros: str
    ros_type: str
    gazebo: str
    gazebo_type: str
    direction: Direction = Direction.TO_ROS


CLOCK = Bridged("/clock", "rosgraph_msgs/msg/Clock", "/clock", "Clock")
"""Of the world, whatever is in it."""


def bridge_file(topics: Iterable[Bridged], release: Release, clock: bool = True) -> str:
    """Return the configuration file for the topics of a vehicle and, once, the world's clock.

    Stamps are never overridden: they are Gazebo's, from the time of measurement.
    """
    rows = [{
        "ros_topic_name": topic.ros, "gz_topic_name": topic.gazebo,
        "ros_type_name": topic.ros_type,
        "gz_type_name": f"{release.messages}.{topic.gazebo_type}",
        "direction": topic.direction.value, "lazy": False,
    } for topic in (*([CLOCK] if clock else []), *topics)]
    return f"# {MADE_BY}\n" + yaml.safe_dump(rows, sort_keys=False)
