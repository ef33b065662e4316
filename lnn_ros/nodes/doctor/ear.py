"""One topic, listened to: everything that comes is noted, and hardly any of it decoded."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message

from lnn_ros import messages
from lnn_ros.errors import LnnError
from lnn_ros.nodes.cdr import imu_sample
from lnn_ros.nodes.doctor.snapshot import Heard
from lnn_ros.nodes.draining import Drain, DrainedGroup

_ENCODED = 4  # bytes before a message: how it is encoded
_STAMP = {1: struct.Struct("<iII"), 0: struct.Struct(">iII")}
_MOST_KEPT = 2000
_LONGEST = 1024  # of a frame's name


class Ear:
    """Listen to a topic.

    Parameters
    ----------
    node : Node
    kind : type
        Message type.
    topic : str
    quality : QoSProfile
        Its depth must hold what comes between two calls of :meth:`listen`.
    group : DrainedGroup
    keep : bool
        Whether every message is kept, not only the first and the last.
    """

    def __init__(self, node: Node, kind: type[Any], topic: str, quality: QoSProfile,
                 group: DrainedGroup, keep: bool = False) -> None:
        self.kind, self._keep = kind, keep
        self._drain = Drain(node, kind, topic, quality, group)
        self._stamped = "header" in kind.get_fields_and_field_types()
        self._is_clock = kind.__name__ == "Clock"
        self._is_imu = kind.__name__ == "Imu"
        self.begin()

    def begin(self) -> None:
        """Forget what came."""
        self._arrivals: list[int] = []
        self._stamps: list[int] = []
        self._sequence: list[int] = []
        self._frames: dict[str, None] = {}
        self._readings: list[NDArray[np.float64]] = []
        self._kept: list[bytes] = []
        self._first = self._last = b""
        self._size = self._undecodable = 0
        self._problem = ""

    def listen(self) -> None:
        """Take in what has come since the last call."""
        for payload, known in self._drain.informed():
            self._arrivals.append(int(known["received_timestamp"]))
            counted = known.get("publication_sequence_number")
            if counted:
                self._sequence.append(int(counted))
            self._size = max(self._size, len(payload))
            self._first = self._first or payload
            self._last = payload
            if self._keep and len(self._kept) < _MOST_KEPT:
                self._kept.append(payload)
            if self._stamped:
                self._note_header(payload)
            if self._is_imu:
                self._note_reading(payload)
            if self._is_clock:
                message = self._decoded(payload)
                self._stamps.append(0 if message is None else messages.time_ns(message.clock))

    def times(self) -> tuple[tuple[int, int], ...]:
        """Return arrival and stamp, or what a clock said, of everything that came."""
        return tuple(zip(self._arrivals, self._stamps, strict=True))

    def kept(self) -> list[Any]:
        """Return the messages that were kept, decoded; those that are none left out."""
        every = [self._decoded(payload) for payload in self._kept]
        return [message for message in every if message is not None]

    def heard(self, publishers: int) -> Heard:
        """Return what came; ``publishers`` is how many may have sent it."""
        first, last = self._decoded(self._first), self._decoded(self._last)
        readings = np.array(self._readings).reshape(-1, 6) if self._is_imu else None
        return Heard(
            tuple(self._arrivals), tuple(self._stamps),
            tuple(self._sequence) if publishers == 1 else (), tuple(self._frames), self._size,
            self._undecodable, readings, self._problem, first, last)

    def _decoded(self, payload: bytes) -> Any:
        if not payload:
            return None
        try:
            return deserialize_message(payload, self.kind)
        except Exception:  # rclpy's RMWError, or whatever a hostile payload provokes
            self._undecodable += 1
            return None

    def _note_header(self, payload: bytes) -> None:
        found = header(payload)
        if found is None:
            message = self._decoded(payload)
            if message is None:
                return
            found = messages.time_ns(message.header.stamp), str(message.header.frame_id)
        stamp, frame = found
        self._stamps.append(stamp)
        self._frames.setdefault(frame)

    def _note_reading(self, payload: bytes) -> None:
        found = imu_sample(payload)
        if found is not None:
            self._readings.append(found[1])
            return
        message = self._decoded(payload)
        if message is None:
            return
        try:
            self._readings.append(messages.imu_vector(message))
        except LnnError as error:
            self._problem = str(error)


def header(payload: bytes) -> tuple[int, str] | None:
    """Read stamp (ns) and frame from the front of a serialized message that begins with a header.

    Returns
    -------
    tuple or None
        None for what is no plain CDR, or too short: rclpy then says what it is.
    """
    if len(payload) < _ENCODED + 12 or payload[0] != 0 or payload[1] > 1:
        return None
    seconds, nanoseconds, length = _STAMP[payload[1]].unpack_from(payload, _ENCODED)
    start = _ENCODED + 12
    if not 1 <= length <= _LONGEST or len(payload) < start + length:
        return None
    name = payload[start:start + length - 1].decode("utf-8", errors="replace")
    return seconds * messages.NS_PER_S + nanoseconds, name
