"""The timeline: the network's state as a function of when things were measured.

Samples may arrive in any order. Those inside the horizon find their place by their stamps, and the
state is taken back to just before the earliest of them and integrated again, once, when somebody
next asks. So the state is a function of the set of samples that were accepted, to the last bit,
whatever order they came in; and the work between two questions is at most one replay of the
horizon, however many samples were late.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.timeline.intervals import (
    NS,
    TICK_NS,
    Carry,
    Preintegration,
    close,
    first,
    following,
)
from lnn_ros.timeline.network import Floats, Judge, Network
from lnn_ros.timeline.samples import (
    STREAMS,
    Reading,
    Track,
    Verdict,
    digest,
    frame_fault,
    imu_fault,
    reading,
    stamp_fault,
)

HORIZON_S = 0.5
"""How late a sample may be, by the newest stamp, and still count."""
AHEAD_NS = 500_000_000
"""How far beyond the newest sample a state is told; and how far ahead of the clock a stamp may be:
one further in the future would move the horizon past all that is true."""
MAX_HORIZON_S = 2.0
FRAMES_PER_S, READINGS_PER_S, SLACK_S = 64, 2048, 0.5
"""The history holds at most what comes at these rates in the horizon and so long before it. More is
refused and counted: it bounds what a single replay may cost."""

_COUNTS = {(name, verdict): f"{name}.{verdict.value}" for name in STREAMS for verdict in Verdict}


class OutOfHistory(LnnError):
    """The state of an instant is asked for that lies before the history or too far after it."""


def capacity(horizon_s: float) -> dict[str, int]:
    """Return how many samples of each stream a history of this horizon holds at most."""
    seconds = horizon_s + SLACK_S
    return {"camera": round(FRAMES_PER_S * seconds), "imu": round(READINGS_PER_S * seconds)}


@dataclass
class _Frame:
    """A frame, and its features and score once somebody needed them."""

    pixels: NDArray[np.uint8]
    features: Floats | None = None
    score: float = 0.0


@dataclass(frozen=True)
class _Boundary:
    """The state just after an update, and how unlike training the frames up to it are."""

    carry: Carry
    state: Floats
    novelty: float


class Timeline:
    """Integrate a network over samples in the order of their stamps.

    Parameters
    ----------
    network : Network
        What is integrated.
    shape : tuple of 3 int
        Of a frame.
    first_interval : float
        Length in seconds of the interval before the first frame.
    horizon_s : float
        How late a sample may be and still count, by the newest stamp accepted.
    judge : Judge, optional
        Scores the frames, once each; the scores are filtered over the time between them.
    """

    def __init__(
        self,
        network: Network,
        shape: tuple[int, int, int],
        first_interval: float,
        horizon_s: float = HORIZON_S,
        judge: Judge | None = None,
    ) -> None:
        if not 0.0 <= horizon_s <= MAX_HORIZON_S:
            raise LnnError(f"horizon is {horizon_s!r} s, expected 0 to {MAX_HORIZON_S:g}")
        self._network, self._shape, self._judge = network, shape, judge
        self._first_ns = round(first_interval * 1e9)
        self._horizon_ns = round(horizon_s * 1e9)
        self._most = capacity(horizon_s)
        self._scratch = network.initial()
        self.counts: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forget all samples; the counts stay."""
        self._frames: Track[_Frame] = Track()
        self._imu: Track[Reading] = Track()
        self._preintegration = Preintegration()
        self._boundaries: list[_Boundary] = []
        self._newest: dict[str, int | None] = dict.fromkeys(STREAMS)
        self._newest_ns = 0
        self._trimmed_ns = 0  # the newest stamp when something was last forgotten
        self._undone_ns: int | None = None  # boundaries from here on are to be made again

    def heir(self, network: Network, judge: Judge | None = None, carry: bool = True) -> Timeline:
        """Return a timeline of another network over the same samples.

        It begins just after the oldest update that is remembered, and integrates all later samples
        anew: when somebody next asks, at the cost of one replay of the whole history. Samples that
        come later have to be given to both. Nothing is changed here.

        Parameters
        ----------
        network : Network
            Takes frames of the same shape.
        judge : Judge, optional
            As for a new timeline; what frames before the history were like is taken over.
        carry : bool
            Begin with this network's state of then, which must mean the same to the other one; else
            with that of a network that has seen nothing before the history.
        """
        self._settle()
        found = Timeline(network, self._shape, self._first_ns * NS, self._horizon_ns * NS, judge)
        found.counts = Counter(self.counts)
        found._imu.stamps, found._imu.values = list(self._imu.stamps), list(self._imu.values)
        found._frames.stamps = list(self._frames.stamps)
        found._frames.values = [_Frame(frame.pixels) for frame in self._frames.values]
        found._newest, found._newest_ns = dict(self._newest), self._newest_ns
        found._trimmed_ns, found._undone_ns = self._trimmed_ns, 0
        for oldest in self._boundaries[:1]:
            state = oldest.state.copy() if carry else network.initial()
            found._boundaries = [_Boundary(oldest.carry, state, oldest.novelty)]
            found._undone_ns = oldest.carry.end_ns + 1
        return found

    # -- samples --------------------------------------------------------------------------------

    def newest(self) -> dict[str, int | None]:
        """Stamp of the newest sample taken, per stream; None before the first."""
        return dict(self._newest)

    def observe(
        self, stream: str, stamp_ns: int, value: object, now_ns: int | None = None
    ) -> Verdict:
        """Take a sample, or drop and count it.

        Parameters
        ----------
        stream : str
            One of ``STREAMS``.
        stamp_ns : int
            When it was measured, nanoseconds.
        value : ndarray
            camera: uint8 (H, W, C); imu: float (6,), angular rate rad/s, specific force m/s^2,
            within ``samples.MAX_RATE`` and ``MAX_FORCE``. Copied.
        now_ns : int, optional
            The clock of whoever receives it: a stamp more than ``AHEAD_NS`` later is refused.
        """
        if stream not in STREAMS:
            self.counts["unknown.dropped_stream"] += 1
            return Verdict.STREAM
        fault = frame_fault(value, self._shape) if stream == "camera" else imu_fault(value)
        if fault is None:  # not "or": a verdict that drops is false
            fault = stamp_fault(stamp_ns)
        if fault is None:
            stamp_ns = int(stamp_ns)
            if now_ns is not None and stamp_ns > now_ns + AHEAD_NS:
                fault = Verdict.FUTURE
            elif stamp_ns < self._newest_ns - self._horizon_ns:
                fault = Verdict.LATE
        if fault is None:
            assert isinstance(value, np.ndarray)
            verdict = self._take(stream, stamp_ns, value)
        else:
            verdict = fault
        self.counts[_COUNTS[stream, verdict]] += 1
        return verdict

    def _take(self, stream: str, stamp_ns: int, value: NDArray[Any]) -> Verdict:
        verdict = Verdict.ACCEPTED
        present = self._value(stream, stamp_ns)
        if present is not None:
            ours, theirs = digest(stamp_ns, present), digest(stamp_ns, _canonical(value))
            if ours == theirs:
                return Verdict.DUPLICATE
            if ours > theirs:
                return Verdict.CONFLICT
            verdict = Verdict.REPLACED
        elif self._full(stream, stamp_ns):
            return Verdict.OVERFLOW
        if stream == "camera":
            # A copy: a view would keep the whole picture alive that it was cut from.
            self._frames.put(stamp_ns, _Frame(np.array(value)))
            undone = stamp_ns
        else:
            self._imu.put(stamp_ns, reading(value))
            self._preintegration.forget(stamp_ns)
            undone = stamp_ns + 1  # a boundary at its own stamp does not see it
        self._undo(undone)
        self._newest[stream] = max(self._newest[stream] or 0, stamp_ns)
        self._newest_ns = max(self._newest_ns, stamp_ns)
        return verdict

    def _undo(self, stamp_ns: int) -> None:
        """Let the boundaries from a stamp on be made again when somebody next asks."""
        if self._undone_ns is None or stamp_ns < self._undone_ns:
            self._undone_ns = stamp_ns

    def _value(self, stream: str, stamp_ns: int) -> NDArray[Any] | None:
        """Return the content that is there for a stamp."""
        if stream == "camera":
            frame = self._frames.find(stamp_ns)
            return None if frame is None else frame.pixels
        held = self._imu.find(stamp_ns)
        return None if held is None else np.array([*held[0], *held[1]])

    def _full(self, stream: str, stamp_ns: int) -> bool:
        """Whether there is no room for a sample, what lies behind the horizon forgotten."""
        track: Track[_Frame] | Track[Reading]
        track, most = self._frames if stream == "camera" else self._imu, self._most[stream]
        if len(track) < most:
            return False
        # Time goes on even where the sample finds no room: else what fills the history now would
        # stay in it, and keep all others out, for good.
        if stamp_ns > self._newest_ns:
            self._newest_ns = stamp_ns
            self._undo(stamp_ns)
        # To settle may mean a replay, so a flood of samples gets one for so much time, not each.
        if self._newest_ns >= self._trimmed_ns + TICK_NS:
            self._settle()
        return len(track) >= most

    # -- states ---------------------------------------------------------------------------------

    def span(self) -> tuple[int, int] | None:
        """First and last instant of which ``read`` tells, ns; None before the first frame."""
        self._settle()
        if not self._boundaries:
            return None
        return self._boundaries[0].carry.end_ns, self._newest_ns + AHEAD_NS

    def last(self) -> tuple[int, Floats]:
        """Stamp of the last update (0 before the first) and a copy of the state after it."""
        self._settle()
        if not self._boundaries:
            return 0, self._network.initial()
        return self._boundaries[-1].carry.end_ns, self._boundaries[-1].state.copy()

    def read(self, at_ns: int) -> Floats | None:
        """Return the state at an instant; changes nothing.

        It is that of the last update before, one step further: predicted to the instant, then
        updated with what the inertial sensor has measured since, without a camera.

        Parameters
        ----------
        at_ns : int
            Inside ``span()``.

        Returns
        -------
        ndarray or None
            Valid until the next call; None before the first frame.

        Raises
        ------
        OutOfHistory
            When the instant is outside of ``span()``.
        """
        boundary = self._before(at_ns)
        if boundary is None:
            return None
        scratch = self._scratch
        if at_ns == boundary.carry.end_ns:
            scratch[...] = boundary.state
            return scratch
        interval, _ = close(
            boundary.carry, self._imu, at_ns, camera=False, summarise=self._preintegration
        )
        self._network.predict(boundary.state, interval.dt, scratch)
        self._network.update(scratch, None, interval.summary)
        return scratch

    def novelty(self, at_ns: int) -> float | None:
        """Return how unlike training the frames up to an instant are; changes nothing.

        None where nobody judges, or before the first frame.

        Raises
        ------
        OutOfHistory
            When the instant is outside of ``span()``.
        """
        boundary = None if self._judge is None else self._before(at_ns)
        return None if boundary is None else boundary.novelty

    def _before(self, at_ns: int) -> _Boundary | None:
        """Return the last boundary up to an instant; None before the first frame."""
        span = self.span()
        if span is None:
            return None
        if not span[0] <= at_ns <= span[1]:
            raise OutOfHistory(
                f"state at {at_ns} ns asked for, expected an instant from {span[0]} to {span[1]} ns"
            )
        place = bisect_right(self._boundaries, at_ns, key=lambda b: b.carry.end_ns) - 1
        return self._boundaries[place]

    def _settle(self) -> None:
        """Undo what late samples have changed, then close all intervals that can be closed."""
        if self._undone_ns is None:
            return
        boundaries = self._boundaries
        keep = bisect_right(boundaries, self._undone_ns - 1, key=lambda b: b.carry.end_ns)
        if keep < len(boundaries):
            self.counts["rewinds"] += 1
            self.counts["replayed_updates"] += len(boundaries) - keep
            del boundaries[keep:]
        while True:
            carry = boundaries[-1].carry if boundaries else None
            found = following(carry, self._frames, self._imu, self._newest_ns)
            if found is None:
                break
            boundaries.append(self._step(*found))
            self.counts["updates"] += 1
        self._undone_ns = None
        self._trim()

    def _step(self, end_ns: int, camera: bool) -> _Boundary:
        """Make the next boundary."""
        if self._boundaries:
            carry, before = self._boundaries[-1].carry, self._boundaries[-1].state
            novelty = self._boundaries[-1].novelty
        else:
            carry, before = first(end_ns, self._first_ns), self._network.initial()
            novelty = 0.0
        interval, after = close(carry, self._imu, end_ns, camera, self._preintegration)
        features = None
        if camera:
            frame = self._frames.find(end_ns)
            assert frame is not None
            if frame.features is None:
                frame.features = self._network.encode(frame.pixels)
                if self._judge is not None:
                    frame.score = self._judge.score(frame.pixels, frame.features)
            features = frame.features
            if self._judge is not None:
                since = (end_ns - (carry.frame_ns or carry.end_ns)) * NS
                novelty += (frame.score - novelty) * -math.expm1(-since / self._judge.memory)
        state = np.empty_like(before)
        self._network.predict(before, interval.dt, state)
        self._network.update(state, features, interval.summary)
        return _Boundary(after, state, novelty)

    def _trim(self) -> None:
        """Forget what no sample inside the horizon can touch any more."""
        self._trimmed_ns = self._newest_ns
        boundaries, limit = self._boundaries, self._newest_ns - self._horizon_ns
        # One boundary before the horizon stays: from it everything later can be made again.
        drop = 0
        while drop + 1 < len(boundaries) and boundaries[drop + 1].carry.end_ns < limit:
            drop += 1
        del boundaries[:drop]
        if boundaries and boundaries[0].carry.end_ns < limit:
            base = boundaries[0].carry.end_ns
            self._frames.forget(self._frames.held(base) + 1)
        else:  # an earlier first frame may still come
            base = limit - self._first_ns
        self._imu.forget(self._imu.held(base))


def _canonical(value: NDArray[Any]) -> NDArray[Any]:
    """Inertial samples as float64, so that equal numbers are equal whatever their type was."""
    return value if value.dtype == np.uint8 else value.astype(np.float64, copy=False)
