"""What the doctor has observed, as plain data: what the checks judge."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.geometry import VirtualCamera
from lnn_ros.nodes.settings import ControllerSettings, VehicleAdapterSettings

SENSED = {"camera": "image", "imu": "imu"}
"""Stream that the policy sees, and the name of its topic."""


Quaternion = tuple[float, float, float, float]
"""w, x, y, z."""


@dataclass(frozen=True)
class Quality:
    """Of service, as far as it decides whether a publisher and a reader find together.

    Attributes
    ----------
    reliable, latched : bool
        Offered, or asked for.
    deadline_s, lease_s : float
        Longest time between two messages, and between two signs of life; infinite where nothing
        is promised or asked.
    manual : bool
        Whether only what is published counts as a sign of life.
    """

    reliable: bool = True
    latched: bool = False
    deadline_s: float = math.inf
    lease_s: float = math.inf
    manual: bool = False


@dataclass(frozen=True)
class Endpoint:
    """A publisher or a reader of a topic: its node, message type and quality."""

    node: str
    kind: str
    quality: Quality = Quality()


@dataclass(frozen=True)
class Topic:
    """A topic as it is on the graph."""

    publishers: tuple[Endpoint, ...] = ()
    readers: tuple[Endpoint, ...] = ()


NOTHING = Topic()


@dataclass(frozen=True)
class Heard:
    """What came on one topic while the doctor listened, in order of arrival.

    Attributes
    ----------
    arrivals_ns : tuple of int
        By the system's clock.
    stamps_ns : tuple of int
        Empty for a type without a header; 0 where there is no stamp.
    sequence : tuple of int
        The publisher's count; empty where the middleware does not tell, or several publish.
    frames : tuple of str
        Different ``frame_id``, in the order in which they came first.
    size : int
        Bytes of the largest message.
    undecodable : int
        Messages that are none of the type.
    readings : ndarray (n, 6) or None
        Of an IMU, in its own frame: rad/s and m/s^2, as they came.
    problem : str
        Why the last message that could not be used could not.
    first, last : message or None
        Decoded.
    """

    arrivals_ns: tuple[int, ...] = ()
    stamps_ns: tuple[int, ...] = ()
    sequence: tuple[int, ...] = ()
    frames: tuple[str, ...] = ()
    size: int = 0
    undecodable: int = 0
    readings: NDArray[np.float64] | None = None
    problem: str = ""
    first: Any = None
    last: Any = None

    def __len__(self) -> int:
        return len(self.arrivals_ns)


SILENCE = Heard()


@dataclass(frozen=True)
class Input:
    """A topic that the controller reads.

    Attributes
    ----------
    name, remapped : str
        Ours, and what has to be remapped to move it: ``image`` for ``image/compressed``.
    topic, kind : str
        Resolved name, message type.
    asks : Quality
        What the controller asks for.
    needed : str
        Why flying needs it; empty where it does not.
    source : str
        Who should publish it.
    single : bool
        Whether there must not be two publishers.
    limit_s, limited_by : float, str
        After so long without a message it counts as missing, by which parameter; 0 where nothing
        is judged by that.
    """

    name: str
    topic: str
    kind: str
    asks: Quality
    needed: str = ""
    source: str = "its driver"
    single: bool = True
    remapped: str = ""
    limit_s: float = 0.0
    limited_by: str = ""

    @property
    def remap(self) -> str:
        """Name to remap."""
        return self.remapped or self.name


@dataclass(frozen=True)
class Names:
    """Resolved names of nodes and of the way of a command.

    Attributes
    ----------
    controller, adapter : str
        Full names of the nodes.
    command : str
        Topic of the controller's commands.
    told, said : mapping of str to str
        Topics on which the vehicle is told and speaks: resolved names by ours.
    """

    controller: str = "/controller"
    adapter: str = "/vehicle_adapter"
    command: str = "/cmd_vel"
    told: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class System:
    """What ROS runs with here.

    Attributes
    ----------
    distribution, middleware, numpy : str
        For example jazzy, rmw_fastrtps_cpp and 2.1.0; an unknown distribution is empty.
    domain, discovery : str
        ROS_DOMAIN_ID, and how far nodes look for each other.
    problem : str
        Why messages cannot be used in this Python at all.
    boot_ns : int
        Time since boot, ns, when the listening ended.
    """

    distribution: str = ""
    middleware: str = ""
    domain: str = "0"
    discovery: str = ""
    numpy: str = ""
    problem: str = ""
    boot_ns: int = 0


@dataclass(frozen=True)
class Policy:
    """The policy that is to fly: where it comes from and the camera that it knows."""

    name: str = ""
    digest: str = ""
    camera: VirtualCamera | None = None
    problem: str = ""


@dataclass(frozen=True)
class Snapshot:
    """Everything that was observed.

    Attributes
    ----------
    system, policy
        See there.
    settings, adapter
        Parameters of controller and vehicle adapter: those of the running node, where it answers.
    absent : tuple of str
        Message types of the vehicle that are not installed for Python.
    differs : tuple of str
        Parameters that a running node has otherwise than the files say, one sentence each.
    simulated : bool
        Whether the controller takes its time from ``/clock``.
    stated : bool
        Whether that was said by a parameter, and not only guessed.
    clock : tuple of (int, int)
        What came on ``/clock``: arrival by the system's clock, and its time, ns.
    ended_ns : int
        When the listening ended, by the system's clock.
    inputs, names, topics, heard
        See there; topics by resolved name, heard by our name.
    nodes : frozenset of str
        Full names of all nodes but the doctor.
    lifecycle : mapping of str to str
        State of managed nodes that answered.
    transforms : mapping of str to (str, tuple)
        What /tf_static says: of each frame its parent, and how it is turned there, a quaternion
        (w, x, y, z).
    dropped : mapping of str to int
        What the controller counted while the doctor listened: ``camera.dropped_late`` and so on.
    """

    system: System = System()
    policy: Policy = Policy()
    settings: ControllerSettings = field(default_factory=ControllerSettings)
    adapter: VehicleAdapterSettings = field(default_factory=VehicleAdapterSettings)
    absent: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    simulated: bool = False
    stated: bool = True
    seconds: float = 5.0
    clock: tuple[tuple[int, int], ...] = ()
    ended_ns: int = 0
    inputs: tuple[Input, ...] = ()
    names: Names = Names()
    topics: Mapping[str, Topic] = field(default_factory=dict)
    heard: Mapping[str, Heard] = field(default_factory=dict)
    nodes: frozenset[str] = frozenset()
    lifecycle: Mapping[str, str] = field(default_factory=dict)
    transforms: Mapping[str, tuple[str, Quaternion]] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)

    def topic(self, name: str) -> Topic:
        """Return a topic by its resolved name; one without anybody where there is none."""
        return self.topics.get(name, NOTHING)

    def listened(self, name: str) -> Heard:
        """Return what came on a topic, by our name."""
        return self.heard.get(name, SILENCE)

    def runs(self, node: str) -> bool:
        """Tell whether there is a node of a full name."""
        return node in self.nodes

    def node_times(self, heard: Heard) -> list[int]:
        """Return when messages arrived by the controller's clock, ns; without those before it.

        With simulated time that is the last ``/clock`` that had come by then.
        """
        if not self.simulated:
            return list(heard.arrivals_ns)
        arrived = [arrival for arrival, _ in self.clock]
        places = [bisect_right(arrived, arrival) - 1 for arrival in heard.arrivals_ns]
        return [self.clock[place][1] if place >= 0 else 0 for place in places]

    def lags(self, name: str, offset_s: float = 0.0) -> list[float]:
        """Return arrival less stamp of every stamped message, s, by the controller's clock."""
        heard, offset = self.listened(name), round(offset_s * 1e9)
        pairs = zip(heard.stamps_ns, self.node_times(heard), strict=False)
        return [(at - stamp - offset) / 1e9 for stamp, at in pairs if stamp and at]
