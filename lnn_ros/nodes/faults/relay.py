"""A process between the simulator and the controller: hands streams on, and spoils one on command.

It takes and publishes serialized messages, every 2 ms, so that what it does not spoil is what the
simulator said, to the last byte. Its orders come through a pipe; times in its answers are those of
``time.monotonic``, which all processes of a machine share.
"""

from __future__ import annotations

import array
import contextlib
import io
import math
import multiprocessing
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import PIL.Image
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import (
    CameraInfo,
    CompressedImage,
    Image,
    Imu,
    LaserScan,
    PointCloud2,
    PointField,
    Range,
)
from std_msgs.msg import Bool

from lnn_ros import messages
from lnn_ros.errors import LnnError
from lnn_ros.nodes import environment
from lnn_ros.nodes.draining import Drain, DrainedGroup
from lnn_ros.nodes.faults import changes

PREFIX = "unspoiled"
"""Namespace in which the simulator of the campaign publishes what it measures."""

_PERIOD_S = 0.002
_DEPTH = 500
_PATIENCE_S = 60.0
_GENERATED_S = 0.1
_FAR = 30.0  # m: farther than a sensor of distances looks
_LOUD = 2.0  # a person's command, m/s: beyond every ceiling
_FEW = 8  # payloads of a burst between two looks at the streams

RELAYED: dict[str, tuple[type[Any], bool]] = {
    "/clock": (Clock, True), "imu": (Imu, False), "camera_info": (CameraInfo, False),
    "image": (Image, False), "odom": (Odometry, True), "vehicle_state": (DiagnosticStatus, True),
}
"""What comes from the simulator, in the order in which it goes on; whether it is reliable."""


def _deadman() -> Any:
    return Bool(data=True)


def _takeover() -> Any:
    found = TwistStamped()
    found.header.frame_id = "base_link"
    found.twist.linear.x = _LOUD
    return found


def _scan() -> Any:
    found = LaserScan(angle_min=-math.pi, angle_max=math.pi, angle_increment=2 * math.pi / 72,
                      range_min=0.05, range_max=_FAR + 1.0, ranges=[_FAR] * 72)
    found.header.frame_id = "base_link"
    return found


def _range() -> Any:
    found = Range(field_of_view=0.5, min_range=0.05, max_range=_FAR + 1.0, range=_FAR)
    found.header.frame_id = "base_link"
    return found


def _depth() -> Any:
    found = Image(height=12, width=16, encoding="32FC1", step=64)
    found.header.frame_id = "base_link"
    found.data = _floats([_FAR] * (12 * 16))
    return found


def _depth_info() -> Any:
    found = CameraInfo()
    messages.fill_camera_info(found, 16, 12, 8.0, 1, "base_link")
    return found


def _points() -> Any:
    fields = [PointField(name=n, offset=4 * i, datatype=PointField.FLOAT32, count=1)
              for i, n in enumerate("xyz")]
    found = PointCloud2(height=1, width=64, fields=fields, point_step=12, row_step=64 * 12,
                        is_dense=True)
    found.header.frame_id = "base_link"
    turns = [2 * math.pi * i / 64 for i in range(64)]
    found.data = _floats([v for a in turns for v in (_FAR * math.cos(a), _FAR * math.sin(a), 0.0)])
    return found


def _floats(values: list[float]) -> array.array[int]:
    return array.array("B", struct.pack(f"<{len(values)}f", *values))


GENERATED: dict[str, tuple[type[Any], Callable[[], Any]]] = {
    "deadman": (Bool, _deadman), "takeover": (TwistStamped, _takeover),
    "scan": (LaserScan, _scan), "range": (Range, _range), "depth": (Image, _depth),
    "depth_info": (CameraInfo, _depth_info), "points": (PointCloud2, _points),
}
"""What the simulator does not have: a button that is held, a person who commands more than is
allowed, and sensors of distances that see nothing near. Ten times a second, when switched on."""


def _compressed(payload: bytes) -> bytes:
    """Return an image's message compressed, without loss."""
    image: Any = deserialize_message(payload, Image)
    file = io.BytesIO()
    picture = PIL.Image.frombytes("RGB", (image.width, image.height), bytes(image.data))
    picture.save(file, "PNG", compress_level=1)
    return serialize_message(CompressedImage(header=image.header, format="png",
                                             data=array.array("B", file.getvalue())))


DERIVED: dict[str, tuple[type[Any], str, Callable[[bytes], bytes]]] = {
    "image/compressed": (CompressedImage, "image", _compressed)}
"""What is made of a message from the simulator, whose name follows, when switched on."""

TYPES = {kind.__name__: kind for kind in (
    Image, CompressedImage, CameraInfo, Imu, TwistStamped, Bool, Odometry, DiagnosticStatus,
    LaserScan, PointCloud2, Range, Clock)}
"""Types of which hostile messages can be had."""


@dataclass(frozen=True)
class Order:
    """What the relay is to do.

    Attributes
    ----------
    what : {"apply", "rival", "lift", "generate", "burst"}
        Spoil a stream; publish it a second time, spoiled, by another publisher; end both; have
        these generated and derived streams and no others; send payloads of a hostile publisher.
    stream : str
        Which; of a burst, the topic; of ``generate``, names with a space between.
    change : str
        One of ``changes.CHANGES``, or nothing; of a burst, "hostile" or "broken".
    value : float
        For the change; of a burst, messages per second.
    kind : str
        Message type of a burst, one of ``TYPES``.
    count : int
        Payloads of a burst.
    """

    what: str
    stream: str = ""
    change: str = ""
    value: float = 0.0
    kind: str = ""
    count: int = 0


class Relay:
    """The relay, seen from the campaign; ends with the ``with`` block.

    Parameters
    ----------
    domain : int
        The ROS_DOMAIN_ID to relay in.
    """

    def __init__(self, domain: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, domain), daemon=True)
        self._process.start()
        other.close()
        self._answer()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._pipe.close()
        self._process.join(5.0)
        if self._process.is_alive():
            self._process.terminate()

    def order(self, order: Order) -> float:
        """Have something done; return since when it is, steady s."""
        self._pipe.send(order)
        return self._answer()

    def _answer(self) -> float:
        if not self._pipe.poll(_PATIENCE_S):
            raise LnnError(f"the relay of the faults has not answered for {_PATIENCE_S:g} s")
        try:
            found = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise LnnError("the relay of the faults has ended") from error
        if isinstance(found, str):
            raise LnnError(f"the relay of the faults says: {found}")
        return float(found)


@dataclass
class _Stream:
    kind: type[Any]
    publisher: Publisher
    drain: Drain | None = None
    rival: Publisher | None = None
    change: changes.Change | None = None
    rivals: changes.Change | None = None

    def send(self, payload: bytes) -> None:
        """Hand a message on, as it is to be spoiled."""
        for found in [payload] if self.change is None else self.change(payload):
            self.publisher.publish(found)
        if self.rivals is not None and self.rival is not None:
            for found in self.rivals(payload):
                self.rival.publish(found)


@dataclass
class _Burst:
    publisher: Publisher
    payloads: Iterator[bytes]
    period_s: float
    due: float = field(default_factory=time.monotonic)


class _Server:
    """The relay, in its own process."""

    def __init__(self, node: Node) -> None:
        self._node = node
        group = DrainedGroup()
        self._streams: dict[str, _Stream] = {}
        for name, (kind, reliable) in RELAYED.items():
            quality = _quality(reliable)
            source = f"{PREFIX}/{name.lstrip('/')}"
            self._streams[name] = _Stream(kind, node.create_publisher(kind, name, quality),
                                          Drain(node, kind, source, quality, group))
        for name, (kind, _) in GENERATED.items():
            reliable = name in ("deadman", "takeover")
            self._streams[name] = _Stream(
                kind, node.create_publisher(kind, name, _quality(reliable)))
        for name, (kind, _, _) in DERIVED.items():
            self._streams[name] = _Stream(kind, node.create_publisher(kind, name, _quality(False)))
        self._on: list[str] = []
        self._next = 0.0
        self._clock_ns = 1
        self._burst: _Burst | None = None

    def work(self) -> None:
        """Hand on what has come."""
        for name, stream in self._streams.items():
            if stream.drain is None:
                continue
            for payload, _ in stream.drain.take():
                if name == "/clock":
                    self._clock_ns = changes.stamp_ns(payload)
                stream.send(payload)
                for derived in self._on:
                    if derived in DERIVED and DERIVED[derived][1] == name:
                        self._streams[derived].send(DERIVED[derived][2](payload))
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _GENERATED_S
            for name in self._on:
                if name in GENERATED:
                    self._streams[name].send(self._made(name))
        self._go_on(now)

    def obey(self, order: Order) -> float | str:
        """Carry an order out; return since when it is, or what is wrong with it."""
        if order.what == "lift":
            for stream in self._streams.values():
                stream.change = stream.rivals = None
            self._burst = None
        elif order.what == "generate":
            self._on = order.stream.split()
        elif order.what == "burst":
            self._begin(order)
        elif order.what == "bursting":
            return 0.0 if self._burst is None else 1.0
        else:
            stream = self._streams[order.stream]
            change = changes.make(order.change, stream.kind, order.value)
            if order.what == "apply":
                stream.change = change
            else:
                stream.rival = stream.rival or self._node.create_publisher(
                    stream.kind, order.stream, _quality(RELAYED[order.stream][1]))
                stream.rivals = change
        return time.monotonic()

    def _made(self, name: str) -> bytes:
        message = GENERATED[name][1]()
        payload = serialize_message(message)
        return (changes.restamped(payload, self._clock_ns) if hasattr(message, "header")
                else payload)

    def _begin(self, order: Order) -> None:
        kind = TYPES[order.kind]
        publisher = self._node.create_publisher(kind, order.stream, _quality(False))
        payloads = (changes.hostile(kind, order.count, self._clock_ns)
                    if order.change == "hostile"
                    else changes.broken(serialize_message(kind()), order.count))
        self._burst = _Burst(publisher, payloads, 1.0 / order.value)

    def _go_on(self, now: float) -> None:
        """Send what is due of a burst."""
        burst = self._burst
        if burst is None:
            return
        for _ in range(_FEW):
            if burst.due > now:
                return
            payload = next(burst.payloads, None)
            if payload is None:
                self._node.destroy_publisher(burst.publisher)
                self._burst = None
                return
            # The middleware itself refuses what is longer than any message of its type.
            with contextlib.suppress(RuntimeError):
                burst.publisher.publish(payload)
            burst.due += burst.period_s


def _quality(reliable: bool) -> QoSProfile:
    return QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.RELIABLE if reliable
                      else ReliabilityPolicy.BEST_EFFORT)


def _serve(pipe: Connection, domain: int) -> None:
    """Be the relay until the other end of the pipe is closed."""
    environment.use_dds_profile("simulator.xml")
    context = Context()
    rclpy.init(context=context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("relay", context=context, start_parameter_services=False, enable_rosout=False)
    server = _Server(node)
    try:
        pipe.send(time.monotonic())
        while True:
            while pipe.poll():
                order = pipe.recv()
                try:
                    pipe.send(server.obey(order))
                except (KeyError, ValueError) as error:
                    pipe.send(f"{order} cannot be obeyed: {error!r}")
            server.work()
            time.sleep(_PERIOD_S)
    except (EOFError, OSError, KeyboardInterrupt):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)
