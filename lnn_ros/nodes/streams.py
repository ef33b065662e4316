"""The controller's ear: drained sensor topics, decoded, dated, and handed to the pilot."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image, Imu

from lnn_ros import messages
from lnn_ros.errors import LnnError
from lnn_ros.geometry import Mounting, VirtualCamera
from lnn_ros.nodes import cdr, qos
from lnn_ros.nodes.clocks import Clocks, Offset, Source
from lnn_ros.nodes.diagnostics import Complaints
from lnn_ros.nodes.draining import Drain, DrainedGroup
from lnn_ros.nodes.eye import Eye
from lnn_ros.nodes.settings import ControllerSettings
from lnn_ros.timeline.samples import MAX_FORCE, MAX_RATE, Verdict, digest
from lnn_ros.timeline.timeline import AHEAD_NS, capacity
from lnn_ros.trace import MODULUS, Seen

_IMU_DEPTH = 1000  # what 1 kHz brings between two commands at the lowest rate
_MOST_TOLD = 2000  # stamps in a trace; more come only when something floods

Arrival = tuple[str, bytes, int]
"""Stream, payload, and the system's time of arrival (ns)."""
Sample = tuple[int, NDArray[Any]]
"""Stamp (ns), its offset added, and value."""


class Observer(Protocol):
    """What takes samples, as a pilot does."""

    def observe(self, stream: str, stamp_ns: int, value: object,
                now_ns: int | None = None) -> Verdict:
        """Take a sample, or drop it: as ``Pilot.observe``."""


class Streams:
    """Subscriptions of the streams that a policy sees.

    Parameters
    ----------
    node : Node
        Where to subscribe ``image``, ``camera_info`` and ``imu``.
    settings : ControllerSettings
        What the sensors are like.
    virtual : VirtualCamera
        The camera that the policy was trained with.
    clocks : Clocks
        The node's time.
    complaints : Complaints
        Where dropped samples are counted and said.
    wake : callable, optional
        Called when an image has come.

    Attributes
    ----------
    max_age : float
        After this long without a usable sample a stream is missing, s: by its stamps and by the
        time of arrival, both of which the guard judges as well.
    """

    def __init__(self, node: Node, settings: ControllerSettings, virtual: VirtualCamera,
                 clocks: Clocks, complaints: Complaints,
                 wake: Callable[[], None] | None = None) -> None:
        self._settings, self._clocks, self._complaints = settings, clocks, complaints
        group = DrainedGroup()
        self._eye = Eye(node, settings, virtual, complaints, group, wake)
        self._mounting = Mounting(settings.imu.roll, settings.imu.pitch, settings.imu.yaw)
        self._drains = {
            "imu": Drain(node, Imu, "imu", qos.sensor(_IMU_DEPTH, settings.lockstep), group),
            "camera": self._eye.drain,
        }
        self._decoders: dict[str, Callable[[Any], NDArray[Any]]] = {
            "imu": self._reading, "camera": self._eye.frame}
        self.offset_ns = {stream: round(getattr(settings, stream).offset_s * 1e9)
                          for stream in self._drains}
        self.received: Counter[str] = Counter()
        self.rates: dict[str, float] = {}
        self._rates = Rates()
        self.max_age = settings.limits.max_age
        self.forget()

    @property
    def topics(self) -> dict[str, str]:
        """Resolved topic of each stream."""
        return {stream: drain.topic for stream, drain in self._drains.items()}

    def forget(self) -> None:
        """Begin anew, as the pilot does; what has been received stays counted."""
        self.seen = {stream: Seen() for stream in self._drains}
        self.offsets = {stream: Offset() for stream in self._drains}

    def aim(self, virtual: VirtualCamera) -> None:
        """Turn the camera into another policy's."""
        self._eye.aim(virtual)

    def discover(self) -> None:
        """Look for what has to be read in another way; to be called once a second."""
        self._eye.discover()
        self.rates = self._rates.look(self.received)

    def take(self) -> list[Arrival]:
        """Return what has arrived, in the order of arrival, but the IMU's first."""
        self._eye.look()
        found = [(stream, payload, arrival_ns) for stream, drain in self._drains.items()
                 for payload, arrival_ns in drain.take()]
        self.received.update(stream for stream, _, _ in found)
        return found

    def feed(self, pilot: Observer, arrivals: list[Arrival], now_ns: int,
             jumped: bool = False) -> None:
        """Give the pilot what has arrived; the order does not matter to it.

        Parameters
        ----------
        pilot : Observer
            Takes the samples.
        arrivals : list
            What ``take`` has returned.
        now_ns : int
            The node's time, read after that: what was taken is not from the future.
        jumped : bool
            Whether time has just jumped: what was waiting from before is dropped, which is what is
            stamped later than now or more than ``max_age`` earlier.
        """
        for stream, payload, arrival_ns in arrivals:
            if self._clocks.source is not Source.SYSTEM or not arrival_ns:
                arrival_ns = now_ns  # the middleware tells it by the system's clock, if at all
            found = self._decode(stream, payload, arrival_ns)
            if found is None:
                continue
            stamp, value = found
            if jumped and not 0 <= now_ns - stamp <= self.max_age * 1e9:
                self._complaints.report(stream, "from_before", "samples from before time jumped "
                                        "were waiting: dropped")
            else:
                verdict = pilot.observe(stream, stamp, value, now_ns)
                self._judge(stream, stamp, value, now_ns, verdict)

    def discard(self) -> None:
        """Take everything that has arrived and forget it."""
        self.take()

    def newest_ns(self) -> int:
        """Newest stamp taken from any stream since the pilot began anew; 0 before the first."""
        return max(seen.stamp_ns for seen in self.seen.values())

    def silent_s(self, stream: str) -> float | None:
        """Seconds since the last usable sample came; None before the first."""
        arrived = self.seen[stream].arrived_ns
        return None if arrived is None else (self._clocks.elapsed_ns() - arrived) / 1e9

    def silences(self) -> dict[str, float | None]:
        """Seconds since the last usable sample of each stream came; None before the first."""
        return {stream: self.silent_s(stream) for stream in self._drains}

    def troubles(self, now_ns: int) -> list[str]:
        """Say for each stream why the policy cannot be flown by it, if it cannot."""
        found = []
        silent = [stream for stream, age in self.silences().items()
                  if age is None or age > self.max_age]
        for stream, topic in self.topics.items():
            old = now_ns - self.seen[stream].stamp_ns > self.max_age * 1e9
            if stream not in silent and not old:
                continue
            lag = self.offsets[stream].seconds
            if lag is not None and abs(lag) > self.max_age:
                wanted = self.offset_ns[stream] / 1e9 + lag
                found.append(f"{stream} stamps are {abs(lag):,.1f} s "
                             f"{'behind' if lag > 0 else 'ahead of'} this node's clock: set "
                             f"{stream}.offset_s to {wanted:.3f}, or mend the clocks")
            elif stream == "camera" and self._eye.trouble:
                found.append(self._eye.trouble)
            elif stream in silent:
                usable = "usable " if self.rates.get(stream) else ""
                found.append(f"nothing {usable}arrives on {topic}")
            else:
                found.append(f"the newest sample of {topic} is older than {self.max_age:g} s by "
                             f"its stamp")
        return found

    def close(self) -> None:
        """End the subscriptions."""
        self._eye.close()
        self._drains["imu"].close()

    def _decode(self, stream: str, payload: bytes, arrival_ns: int) -> Sample | None:
        """Return stamp and value of a sample, or None if it was dropped."""
        if stream == "imu" and (reading := cdr.imu_sample(payload)) is not None:
            stamp = reading[0] + self.offset_ns[stream]
            self.offsets[stream].note(stamp, arrival_ns)
            return stamp, self._mounting.rotate_imu(reading[1])
        kind = self._drains[stream].kind
        try:
            message = cdr.raw_image(payload) if kind is Image else None
            if message is None:
                message = deserialize_message(payload, kind)
        except Exception as error:  # rclpy's RMWError, or whatever a hostile payload provokes
            reason = (str(error) or type(error).__name__).splitlines()[0]
            self._complaints.report(stream, "undecodable", f"{len(payload)} bytes are no "
                                    f"{kind.__name__}: {reason}")
            return None
        try:
            stamp = messages.stamp_ns(message) + self.offset_ns[stream]
        except LnnError as error:
            self._complaints.report(stream, "stamp", str(error))
            return None
        self.offsets[stream].note(stamp, arrival_ns)
        try:
            return stamp, self._decoders[stream](message)
        except LnnError as error:
            self._complaints.report(stream, "content", str(error))
            return None

    def _reading(self, message: Any) -> NDArray[np.float64]:
        return self._mounting.rotate_imu(messages.imu_vector(message))

    def _judge(self, stream: str, stamp_ns: int, value: NDArray[Any], now_ns: int,
               verdict: Verdict) -> None:
        """Note what the pilot took, and say what it did not."""
        if verdict:
            seen = self.seen[stream]
            seen.taken += 1
            seen.stamp_ns = max(seen.stamp_ns, stamp_ns)
            seen.digest = (seen.digest + digest(stamp_ns, value)) % MODULUS
            seen.new.append(stamp_ns)
            if len(seen.new) > _MOST_TOLD:
                del seen.new[0]
            seen.arrived_ns = self._clocks.elapsed_ns()
        if verdict is Verdict.ACCEPTED:
            self._complaints.fine(stream)
        else:
            self._complaints.report(stream, verdict.value,
                                    self._sentence(stream, stamp_ns, value, now_ns, verdict))

    def _sentence(self, stream: str, stamp_ns: int, value: NDArray[Any], now_ns: int,
                  verdict: Verdict) -> str:
        """Say what was found and what was expected."""
        late_s = (self.newest_ns() - stamp_ns) / 1e9
        horizon_s = self._settings.horizon_s
        if verdict in (Verdict.DTYPE, Verdict.SHAPE, Verdict.STREAM):
            return f"a sample is {value.dtype} {value.shape}: expected what the policy takes"
        return {
            Verdict.REPLACED: f"two samples are stamped {stamp_ns} ns and differ: expected one, "
                              f"took the one of the larger digest, which came second",
            Verdict.CONFLICT: f"two samples are stamped {stamp_ns} ns and differ: expected one, "
                              f"kept the one of the larger digest, which came first",
            Verdict.DUPLICATE: f"the sample stamped {stamp_ns} ns came twice: expected once (do "
                               f"two publishers send it?)",
            Verdict.LATE: f"a sample is stamped {late_s:.3f} s before the newest one: expected "
                          f"none later than horizon_s, {horizon_s:g} s",
            Verdict.FUTURE: f"stamp is {(stamp_ns - now_ns) / 1e9:.3f} s ahead of this node's "
                            f"time: expected at most {AHEAD_NS / 1e9:g} s",
            Verdict.STAMP: f"stamp is {stamp_ns} ns with {stream}.offset_s added: expected the "
                           f"time of measurement, later than zero and in 64 bits",
            Verdict.NAN: f"reading is {value.ravel()[:6].tolist()}: expected finite numbers",
            Verdict.RANGE: f"reading is {value.ravel()[:6].tolist()}: expected at most "
                           f"{MAX_RATE:g} rad/s and {MAX_FORCE:g} m/s^2 along each axis",
            Verdict.OVERFLOW: f"more than {capacity(horizon_s).get(stream)} samples have come that "
                              f"still count: expected a lower rate",
        }[verdict]


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
