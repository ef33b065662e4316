"""A network whose state tells every bit that it has met, and histories to feed it."""

from __future__ import annotations

import struct
from collections import Counter
from hashlib import blake2b
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from lnn_ros.timeline.intervals import close, cut
from lnn_ros.timeline.samples import STREAMS, Track, digest, reading
from lnn_ros.timeline.timeline import Timeline

MS = 1_000_000
START = 10_000 * MS
SHAPE = (1, 2, 3)
FIRST_S = 0.1
FIRST_NS = round(FIRST_S * 1e9)


class Digesting:
    """A network whose state is a digest of all that it was given: one bit or one step more shows.

    It also keeps the steps it was asked for, and how often each frame was encoded.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[float, bool, np.ndarray]] = []
        self.encoded: Counter[bytes] = Counter()
        self._dt = 0.0

    def initial(self) -> np.ndarray:
        return np.zeros(8, np.float32)

    def encode(self, frame: np.ndarray) -> np.ndarray:
        self.encoded[frame.tobytes()] += 1
        return _numbers(frame.tobytes())

    def predict(self, state: np.ndarray, dt: float, out: np.ndarray) -> None:
        self._dt = dt
        out[...] = _numbers(state.tobytes() + struct.pack("<d", dt))

    def update(self, state: np.ndarray, features: np.ndarray | None, summary: np.ndarray) -> None:
        self.steps.append((self._dt, features is not None, summary))
        seen = b"none" if features is None else features.tobytes()
        state[...] = _numbers(state.tobytes() + seen + summary.tobytes())


def _numbers(content: bytes) -> np.ndarray:
    return np.frombuffer(blake2b(content, digest_size=8).digest(), np.uint8).astype(np.float32)


def made(timeline: Timeline, network: Digesting) -> list[tuple[int, bool]]:
    """Boundaries that were made since the last call: stamps, and whether a frame is there."""
    network.steps.clear()
    end, _ = timeline.last()
    lengths = [round(dt * 1e9) for dt, _, _ in network.steps]
    stamps = list(accumulate(reversed(lengths), lambda stamp, dt: stamp - dt, initial=end))
    return list(zip(reversed(stamps[:-1]), [camera for _, camera, _ in network.steps], strict=True))


class Sample(NamedTuple):
    """One sample, its content told by a small number."""

    stream: str
    stamp_ns: int
    content: int = 0

    def value(self) -> np.ndarray:
        if self.stream == "camera":
            return np.full(SHAPE, self.content, np.uint8)
        c = self.content
        return np.array([0.3 * c, -0.2, 0.1 * c, 0.5 * c, 0.4, 9.81 - 0.1 * c])

    def rank(self) -> tuple[int, int, int]:
        """Place in the total order."""
        return self.stamp_ns, STREAMS.index(self.stream), digest(self.stamp_ns, self.value())


def feed(timeline: Timeline, samples: list[Sample]) -> list[Any]:
    return [timeline.observe(s.stream, s.stamp_ns, s.value()) for s in samples]


def tracks(samples: list[Sample]) -> tuple[Track[np.ndarray], Track[Any]]:
    """Frames and readings; of two with the same stamp the larger digest stays."""
    frames: Track[np.ndarray] = Track()
    imu: Track[Any] = Track()
    for sample in sorted(samples, key=Sample.rank):
        if sample.stream == "camera":
            frames.put(sample.stamp_ns, sample.value())
        else:
            imu.put(sample.stamp_ns, reading(sample.value()))
    return frames, imu


class Recorded:
    """The same as ``Timeline``, by definition: all samples are there, and are cut in order."""

    def __init__(self, samples: list[Sample]) -> None:
        self.network = Digesting()
        frames, self.imu = tracks(samples)
        self.boundaries, state = [], self.network.initial()
        for interval, carry in cut(frames, self.imu, FIRST_NS):
            frame = frames.find(interval.stamp_ns) if interval.camera else None
            features = None if frame is None else self.network.encode(frame)
            state = self._step(state, interval, features)
            self.boundaries.append((carry, state))

    def _step(self, state: np.ndarray, interval: Any, features: np.ndarray | None) -> np.ndarray:
        out = np.empty_like(state)
        self.network.predict(state, interval.dt, out)
        self.network.update(out, features, interval.summary)
        return out

    def last(self) -> tuple[int, np.ndarray]:
        if not self.boundaries:
            return 0, self.network.initial()
        return self.boundaries[-1][0].end_ns, self.boundaries[-1][1]

    def read(self, at_ns: int) -> np.ndarray:
        carry, state = [b for b in self.boundaries if b[0].end_ns <= at_ns][-1]
        if carry.end_ns == at_ns:
            return state
        return self._step(state, close(carry, self.imu, at_ns, camera=False)[0], None)
