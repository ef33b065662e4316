"""When sensors measure, and when what they measured arrives."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.simulation.physics import STEP_NS

START_NS = 1_000_000_000
"""Stamp of the first instant, ns: not zero, because a zero stamp means "none" in ROS."""
_RANK = {"imu": 0, "camera": 1}


@dataclass(frozen=True)
class StreamTiming:
    """When a sensor measures and when its samples arrive.

    Attributes
    ----------
    rate_hz : float
        Nominal rate.
    jitter_s : float
        Each instant of measurement moves by up to this, evenly, to either side. From half a period
        on, instants would cross: the sensor then measures at the same instants in their order.
    latency_s, latency_jitter_s : float
        Time from stamp to arrival: the first, plus up to the second, evenly.
    drop : float
        Share of samples that never arrive.
    reorder : bool
        Whether a sample may overtake an earlier one of its stream.
    """

    rate_hz: float
    jitter_s: float = 0.0
    latency_s: float = 0.0
    latency_jitter_s: float = 0.0
    drop: float = 0.0
    reorder: bool = False

    def validate(self, name: str) -> None:
        """Raise LnnError naming the stream when a value is outside its domain."""
        rules = {
            "rate_hz": (0.0 < self.rate_hz <= 1e9 / STEP_NS, f"in (0, {1e9 / STEP_NS:g}]"),
            "jitter_s": (0.0 <= self.jitter_s <= 10.0, "in [0, 10]"),
            "latency_s": (0.0 <= self.latency_s <= 10.0, "in [0, 10]"),
            "latency_jitter_s": (0.0 <= self.latency_jitter_s <= 10.0, "in [0, 10]"),
            "drop": (0.0 <= self.drop <= 1.0, "in [0, 1]"),
        }
        for key, (valid, domain) in rules.items():
            if not valid:
                raise LnnError(f"{name}.{key} must be {domain}, found {getattr(self, key)}")


CAMERA = StreamTiming(rate_hz=20.0, latency_s=0.01)
IMU = StreamTiming(rate_hz=200.0)
"""The sensors of the embedded simulator as they are when nothing else is said."""


@dataclass(frozen=True)
class Delivery:
    """A sample on its arrival.

    Attributes
    ----------
    stream : str
        "camera" or "imu".
    stamp_ns, arrival_ns : int
        When it was measured and when it arrived, ns.
    value : ndarray
        camera: uint8 (H, W, 3) RGB; imu: float64 (6,), angular rate (rad/s), then specific force
        (m/s^2), body frame.
    """

    stream: str
    stamp_ns: int
    arrival_ns: int
    value: NDArray[np.generic]


class Stream:
    """The instants at which one sensor measures, and what becomes of its samples.

    Parameters
    ----------
    timing : StreamTiming
        Rate, jitter, latency and drops.
    rng : numpy.random.Generator
        Source of all that is random in it.

    Attributes
    ----------
    next_ns : int
        The next instant of measurement, on the physics grid and after the last one.
    """

    def __init__(self, timing: StreamTiming, rng: np.random.Generator) -> None:
        self._timing, self._rng = timing, rng
        self._tick = 0
        self._wanted: list[float] = []  # a heap of instants drawn ahead, ns
        self._last_stamp = 0
        self._last_arrival = 0
        self.next_ns = 0
        self._schedule()

    def _schedule(self) -> None:
        """Draw the next instant of measurement."""
        jitter = self._timing.jitter_s * 1e9
        while True:
            nominal = START_NS + self._tick * 1e9 / self._timing.rate_hz
            # What is still to be drawn cannot come before this.
            if self._wanted and nominal - jitter >= self._wanted[0]:
                break
            moved = self._rng.uniform(-jitter, jitter) if jitter else 0.0
            heapq.heappush(self._wanted, nominal + moved)
            self._tick += 1
        wanted = heapq.heappop(self._wanted)
        grid = START_NS + math.ceil(round(wanted - START_NS, 3) / STEP_NS) * STEP_NS
        self.next_ns = max(grid, START_NS, self._last_stamp + STEP_NS)

    def measure(self) -> int | None:
        """Take the instant that is due; return when the sample arrives, or None if it is lost."""
        stamp, timing = self.next_ns, self._timing
        self._last_stamp = stamp
        self._schedule()
        lost = timing.drop > 0.0 and self._rng.random() < timing.drop
        latency = timing.latency_s
        if timing.latency_jitter_s:
            latency += self._rng.uniform(0.0, timing.latency_jitter_s)
        # An accelerometer's reading of a step is known at the step's end.
        arrival = stamp + max(round(latency * 1e9), STEP_NS)
        if lost:
            return None
        if not timing.reorder:
            arrival = max(arrival, self._last_arrival)
        self._last_arrival = arrival
        return arrival


class Transit:
    """Samples on their way from the sensors to whoever listens."""

    def __init__(self) -> None:
        self._under_way: list[tuple[int, int, int, Delivery]] = []
        self._serial = 0

    def send(self, delivery: Delivery) -> None:
        """Put a sample on its way; ties arrive IMU first, then in order of measurement."""
        self._serial += 1
        rank = _RANK[delivery.stream]
        heapq.heappush(self._under_way, (delivery.arrival_ns, rank, self._serial, delivery))

    def arrived(self, now_ns: int) -> list[Delivery]:
        """Take what has arrived by now (ns), in order of arrival."""
        arrived = []
        while self._under_way and self._under_way[0][0] <= now_ns:
            arrived.append(heapq.heappop(self._under_way)[-1])
        return arrived
