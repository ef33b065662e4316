"""The controller's ear: drained sensor topics, decoded, ordered by stamp, handed to the pilot."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image, Imu

from lnn_ros import messages
from lnn_ros.errors import LnnError
from lnn_ros.nodes import qos
from lnn_ros.nodes.diagnostics import Complaints
from lnn_ros.nodes.draining import Drain, DrainedGroup
from lnn_ros.pilot import Pilot

MAX_AHEAD_NS = 500_000_000
"""A sample stamped later than this after the node's time is refused before it moves anything."""

_IMU_DEPTH = 1000  # what 1 kHz brings between two commands at the lowest rate
_IMAGE_DEPTH = 10

Decoded = tuple[int, int, str, NDArray[Any]]


@dataclass
class Seen:
    """What has been taken from one stream.

    Attributes
    ----------
    taken : int
        Samples that the pilot took.
    stamp_ns : int
        Stamp of the newest of them; 0 before the first.
    digest : int
        CRC-32 over stamps and contents, in the order in which they were taken: two runs with equal
        digests gave the pilot the same samples.
    """

    taken: int = 0
    stamp_ns: int = 0
    digest: int = 0


class Streams:
    """Subscriptions of the streams that a policy sees.

    Parameters
    ----------
    node : Node
        Where to subscribe ``image`` and ``imu``.
    reliable : bool
        Whether no sample may be lost (lock-step).
    complaints : Complaints
        Where dropped samples are counted and said.
    """

    def __init__(self, node: Node, reliable: bool, complaints: Complaints) -> None:
        self._height = self._width = 1  # of the frames of the pilot that is fed
        self._complaints = complaints
        group = DrainedGroup()
        self._drains = {
            "imu": Drain(node, Imu, "imu", qos.sensor(_IMU_DEPTH, reliable), group),
            "camera": Drain(node, Image, "image", qos.sensor(_IMAGE_DEPTH, reliable), group),
        }
        self._decoders: dict[str, Callable[[Any], NDArray[Any]]] = {
            "imu": messages.imu_vector, "camera": self._frame}
        self.seen = {stream: Seen() for stream in self._drains}
        self.received: Counter[str] = Counter()

    @property
    def topics(self) -> dict[str, str]:
        """Resolved topic of each stream."""
        return {stream: drain.topic for stream, drain in self._drains.items()}

    def feed(self, pilot: Pilot, now_ns: int) -> None:
        """Give the pilot everything that has arrived, in order of stamp, IMU first on a tie.

        Parameters
        ----------
        pilot : Pilot
            Takes the samples.
        now_ns : int
            The node's time.
        """
        # Asked for each time: a reset may have brought a policy with other eyes.
        self._height, self._width, _ = pilot.frame_shape
        batch: list[Decoded] = []
        for rank, (stream, drain) in enumerate(self._drains.items()):
            for payload, _ in drain.take():
                self.received[stream] += 1
                decoded = self._decode(stream, drain, payload, now_ns)
                if decoded is not None:
                    batch.append((decoded[0], rank, stream, decoded[1]))
        batch.sort(key=lambda sample: sample[:2])
        for stamp, _, stream, value in batch:
            if pilot.observe(stream, stamp, value):
                seen = self.seen[stream]
                seen.taken += 1
                seen.stamp_ns = stamp
                seen.digest = crc32(value.tobytes(), crc32(stamp.to_bytes(8, "little"),
                                                           seen.digest))
                self._complaints.fine(stream)
            else:
                self._complaints.report(stream, "refused", f"the pilot refused the sample stamped "
                                        f"{stamp} ns: expected one later than the last, with "
                                        f"possible numbers ({stream}.dropped_* in /diagnostics "
                                        f"count why)")

    def discard(self) -> None:
        """Take everything that has arrived and forget it."""
        for drain in self._drains.values():
            for _ in drain.take():
                pass

    def close(self) -> None:
        """End the subscriptions."""
        for drain in self._drains.values():
            drain.close()

    def _decode(self, stream: str, drain: Drain, payload: bytes,
                now_ns: int) -> tuple[int, NDArray[Any]] | None:
        """Return stamp and value of a sample, or None if it was dropped."""
        try:
            message = deserialize_message(payload, drain.kind)
        except Exception as error:  # rclpy's RMWError, or whatever a hostile payload provokes
            reason = (str(error) or type(error).__name__).splitlines()[0]
            self._complaints.report(stream, "undecodable", f"{len(payload)} bytes are no "
                                    f"{drain.kind.__name__}: {reason}")
            return None
        try:
            stamp = messages.stamp_ns(message)
        except LnnError as error:
            self._complaints.report(stream, "stamp", str(error))
            return None
        if stamp > now_ns + MAX_AHEAD_NS:
            self._complaints.report(stream, "future", f"stamp is {(stamp - now_ns) / 1e9:.3f} s "
                                    f"ahead of this node's time: expected at most "
                                    f"{MAX_AHEAD_NS / 1e9:g} s")
            return None
        try:
            return stamp, self._decoders[stream](message)
        except LnnError as error:
            self._complaints.report(stream, "content", str(error))
            return None

    def _frame(self, message: Any) -> NDArray[np.uint8]:
        return messages.resize(messages.image_array(message), self._height, self._width)


class Rates:
    """Events per second since the last look."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._last: Counter[str] = Counter()

    def look(self, counts: Counter[str]) -> dict[str, float]:
        """Return the rate of every count, Hz, since the last call."""
        now = time.monotonic()
        elapsed = max(now - self._since, 1e-9)
        rates = {name: (count - self._last[name]) / elapsed for name, count in counts.items()}
        self._since, self._last = now, Counter(counts)
        return rates
