"""What every vehicle is to the adapter: topics, and pure functions to and from their messages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from lnn_ros.messages import set_time

Command = tuple[float, float, float, float]
"""vx, vy, vz (m/s) and yaw rate (rad/s) in the body's frame, level with the ground (REP-103: x
forward, y left, z up, turning to the left)."""

LASTS_S = 3.0
"""How long what a vehicle says counts, s, where it does not say otherwise: three times as long as
the slowest of them take between two messages."""


@dataclass(frozen=True)
class Said:
    """What a vehicle has said of itself; None is unknown.

    A vehicle that needs to know more in order to be told (its heading, its height) extends this.

    Attributes
    ----------
    airborne : bool or None
        Whether it flies; of what drives, whether it may drive.
    velocity_mode : bool or None
        Whether it obeys velocities.
    """

    airborne: bool | None = None
    velocity_mode: bool | None = None


UNHEARD = Said()
"""A vehicle that has said nothing."""


class Vehicle(ABC):
    """How one kind of vehicle is told a command, and what it says.

    A subclass is a file of this package. It knows message *types* by name only, and is given the
    messages themselves: rclpy's, rosbags' or a test's.

    Attributes
    ----------
    kind : str
        Name in the registry and in parameters.
    takes : mapping of str to str
        Relative topics on which it is told, with their types ``package/msg/Name``, in the order
        in which they are published: every command is one message on each.
    says : mapping of str to str
        Likewise, the topics on which it speaks; empty where it says nothing.
    lasts : mapping of str to float
        How long what it says on a topic counts, s; ``LASTS_S`` for a topic that is not named here.
        Infinity for what it says only when it changes.
    latched : collection of str
        Topics of ``says`` whose last message is kept for those who come later.
    unheard : Said
        What is known before it has said anything.
    """

    kind: ClassVar[str]
    takes: ClassVar[Mapping[str, str]]
    says: ClassVar[Mapping[str, str]] = MappingProxyType({})
    lasts: ClassVar[Mapping[str, float]] = MappingProxyType({})
    latched: ClassVar[Collection[str]] = ()
    unheard: ClassVar[Said] = UNHEARD

    @abstractmethod
    def tell(
        self, messages: Mapping[str, Any], command: Command, at_ns: int, frame: str, said: Said
    ) -> None:
        """Write a command into one message for each topic of ``takes``.

        Parameters
        ----------
        messages : mapping of str to message
            By topic, to be filled; they may hold the command before.
        command : tuple of 4 float
            Finite.
        at_ns : int
            Its stamp, ns.
        frame : str
            Name of the frame that it is in.
        said : Said
            By ``hear`` and ``forget``, or ``unheard``.

        Raises
        ------
        LnnError
            When what the vehicle has said is not enough to tell it this. Zero can always be told.
        """

    @abstractmethod
    def told(self, messages: Mapping[str, Any], said: Said) -> Command:
        """Return the command that messages hold: the way back of ``tell``."""

    def hear(self, said: Said, topic: str, message: Any) -> Said:
        """Return what is known of the vehicle once it has said a message on a topic of ``says``.

        Raises
        ------
        LnnError
            When the message says nothing that could be used.
        """
        raise NotImplementedError(f"vehicle {self.kind} says nothing on {topic}")

    def forget(self, said: Said, topic: str) -> Said:
        """Return what is still known once what it said on a topic counts no more."""
        return self.unheard

    def told_on(self, said: Said) -> Collection[str]:
        """Return the topics of ``takes`` on which it may be told anything as things stand.

        All of them, but where a message would harm: one that a vehicle takes from its own
        controllers, too, or one that says where to be to a vehicle of which nobody knows where it
        is. What is not told, it does not do: it must come to rest by itself then.
        """
        return self.takes

    def name(self, topic: str, message_type: Any) -> str:
        """Return what a topic of ``takes`` or ``says`` is called, given the type that is installed.

        The topic itself, but where a vehicle's names tell the version of the message.
        """
        return topic


def write_stamp(header: Any, at_ns: int, frame: str) -> None:
    """Fill a std_msgs/Header."""
    set_time(header.stamp, at_ns)
    header.frame_id = frame


def write_vector(vector: Any, x: float, y: float, z: float) -> None:
    """Fill a geometry_msgs/Vector3 or Point."""
    vector.x, vector.y, vector.z = x, y, z


def write_twist(twist: Any, command: Command) -> None:
    """Fill a geometry_msgs/Twist in the body's frame, all six numbers of it."""
    write_vector(twist.linear, *command[:3])
    write_vector(twist.angular, 0.0, 0.0, command[3])


def read_twist(twist: Any) -> Command:
    """Return the command of a geometry_msgs/Twist in the body's frame."""
    linear, angular = twist.linear, twist.angular
    return float(linear.x), float(linear.y), float(linear.z), float(angular.z)
