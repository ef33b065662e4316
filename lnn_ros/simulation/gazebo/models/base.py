"""What every model is to the generator."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import ClassVar

from lnn_ros.errors import LnnError
from lnn_ros.simulation.gazebo.bridge import Bridged, Direction
from lnn_ros.simulation.gazebo.elements import Element
from lnn_ros.simulation.gazebo.releases import Release
from lnn_ros.simulation.task import Task

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Model(ABC):
    """A vehicle for Gazebo: an SDF model, and its topics. A subclass is a file of this package.

    Attributes
    ----------
    kind : str
        Name in the registry.
    about : str
        One sentence for a person.
    name : str
        Of the model, of its folder below ``models/``, and what its topics in Gazebo begin with;
        ``kind`` unless another is given.
    half_height : float
        From its origin down to its lowest point, metres.
    ground : bool
        Whether it starts on the ground instead of at the height that the world states.
    """

    kind: ClassVar[str]
    about: ClassVar[str]
    half_height: ClassVar[float]
    ground: ClassVar[bool]

    def __init__(self, name: str = "") -> None:
        self.name = name or self.kind
        if not _NAME.fullmatch(self.name):
            raise LnnError(f"model name {self.name!r} found, expected small letters, digits and "
                           f"underscores, a letter first")

    def topic(self, name: str) -> str:
        """Return the name of one of its topics in Gazebo."""
        return f"/{self.name}/{name}"

    @abstractmethod
    def sdf(self, task: Task, release: Release) -> Element:
        """Return the ``model`` element; its frame is the body's: x forward, y left, z up."""

    def topics(self) -> tuple[Bridged, ...]:
        """Return what the bridge must carry for it."""
        return (
            Bridged("image", "sensor_msgs/msg/Image", self.topic("camera/image"), "Image"),
            Bridged("camera_info", "sensor_msgs/msg/CameraInfo", self.topic("camera/camera_info"),
                    "CameraInfo"),
            Bridged("imu", "sensor_msgs/msg/Imu", self.topic("imu"), "IMU"),
            *self.more_topics(),
            Bridged("odom", "nav_msgs/msg/Odometry", self.topic("odom"), "Odometry"),
            Bridged("vehicle/cmd_vel", "geometry_msgs/msg/Twist", self.topic("cmd_vel"), "Twist",
                    Direction.TO_GAZEBO),
        )

    def more_topics(self) -> tuple[Bridged, ...]:
        """Return those that other models have not."""
        return ()
