"""Cut the streams into intervals: pure functions of samples and stamps.

Every frame closes an interval at its stamp t_k. After it, while no frame comes, an update without
the camera closes one at ``t_k + j TICK_NS`` wherever there was an inertial sample in the
``TICK_NS`` before, so that the inertial sensor still counts. Boundaries depend on stamps alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lnn_ros.timeline import attitude
from lnn_ros.timeline.preintegration import (
    IDENTITY,
    Quaternion,
    Summary,
    Vector,
    hold,
    multiply,
    normalised,
    rotation_vector,
)
from lnn_ros.timeline.samples import Reading, Track

NS = 1e-9
TICK_NS = 100_000_000
"""Without frames an interval is closed this often."""
MAX_HOLD_NS = 50_000_000
"""An inertial sample speaks for at most this long; a longer gap is seen as missing coverage."""
OLDEST_S = 1.0
"""Ages are told up to this."""
LONGEST_S = 1e9
"""An interval counts as at most this long: no network takes more, and from a stamp in time since
boot to one of today it is half a century."""


class Carry(NamedTuple):
    """What a boundary hands on to the next interval.

    Attributes
    ----------
    end_ns : int
        The boundary.
    frame_ns : int or None
        Stamp of the newest frame up to it; None: there was none yet.
    turned : Quaternion
        From the body at the boundary to the body at that frame.
    up : Vector or None
        Against gravity, body frame at the boundary; None before the first inertial sample.
    """

    end_ns: int
    frame_ns: int | None = None
    turned: Quaternion = IDENTITY
    up: Vector | None = None


@dataclass(frozen=True)
class Interval:
    """What the network sees between two updates.

    Attributes
    ----------
    start_ns, stamp_ns : int
        Its ends; the first is not part of it.
    camera : bool
        Whether a frame closes it.
    summary : ndarray of float32, shape (17,)
        ``liquid.spec.SUMMARY``.
    """

    start_ns: int
    stamp_ns: int
    camera: bool
    summary: NDArray[np.float32]

    @property
    def dt(self) -> float:
        """Length, seconds."""
        return _length(self.start_ns, self.stamp_ns)


def _length(start_ns: int, end_ns: int) -> float:
    return min(LONGEST_S, (end_ns - start_ns) * NS)


class Preintegration:
    """The inertial samples after a boundary, summarised once however often they are asked for.

    It keeps the summary up to every sample of one track. What it answers depends on the samples
    alone, to the last bit, not on what was asked before.
    """

    def __init__(self) -> None:
        self._start_ns = 0
        # Up to these stamps of samples, exclusive, the readings are summarised.
        self._until: list[int] = []
        self._totals: list[Summary] = []

    def forget(self, stamp_ns: int) -> None:
        """Forget what a new sample of this stamp changes."""
        self._keep(bisect_right(self._until, stamp_ns))

    def _keep(self, count: int) -> None:
        del self._until[count:], self._totals[count:]

    def __call__(self, imu: Track[Reading], start_ns: int, end_ns: int) -> Summary:
        """Summarise the inertial samples over (start, end], each held to the next one."""
        if start_ns != self._start_ns:
            self._keep(0)
            self._start_ns = start_ns
        known = bisect_right(self._until, end_ns)
        total, at = Summary(), start_ns
        if known:
            total, at = self._totals[known - 1], self._until[known - 1]
        stamps, values = imu.stamps, imu.values
        # A sample stamped at the end holds from there on: it belongs to what follows.
        for i in range(max(imu.held(at), 0), len(stamps)):
            stamp = stamps[i]
            if stamp >= end_ns:
                break
            until = min(end_ns, stamp + MAX_HOLD_NS)
            whole = i + 1 < len(stamps) and stamps[i + 1] <= end_ns
            if whole:
                until = min(until, stamps[i + 1])
            begin = max(start_ns, stamp)
            if until > begin:
                rate, force = values[i]
                total = total.then(hold(rate, force, (until - begin) * NS))
            if whole:
                self._until.append(stamps[i + 1])
                self._totals.append(total)
        return total


def preintegrate(imu: Track[Reading], start_ns: int, end_ns: int) -> Summary:
    """Summarise the inertial samples over (start, end], each held to the next one."""
    return Preintegration()(imu, start_ns, end_ns)


def following(
    carry: Carry | None, frames: Track[Any], imu: Track[Reading], newest_ns: int
) -> tuple[int, bool] | None:
    """Find the boundary after another one.

    Parameters
    ----------
    carry : Carry or None
        Of the boundary before; None: there was none, so a frame comes first.
    frames, imu : Track
        The samples.
    newest_ns : int
        The newest stamp of all: up to it intervals are closed.

    Returns
    -------
    tuple of int and bool, or None
        Its instant (ns) and whether a frame is there; None: it is yet to come.
    """
    frame = frames.after(carry.end_ns if carry else 0)
    if carry is not None and carry.frame_ns is not None:
        reading = imu.since(carry.end_ns)
        if reading is not None:
            steps = (reading - carry.frame_ns) // TICK_NS + 1
            tick = carry.frame_ns + steps * TICK_NS
            if tick <= newest_ns and (frame is None or tick < frame):
                return tick, False
    return None if frame is None else (frame, True)


def close(
    carry: Carry,
    imu: Track[Reading],
    end_ns: int,
    camera: bool,
    summarise: Callable[[Track[Reading], int, int], Summary] = preintegrate,
) -> tuple[Interval, Carry]:
    """Close an interval.

    Parameters
    ----------
    carry : Carry
        Of the boundary at its beginning.
    imu : Track
        Inertial samples; what holds at the beginning, too.
    end_ns : int
        Where it ends, later than it begins.
    camera : bool
        Whether a frame closes it.
    summarise : callable
        ``preintegrate``, or a ``Preintegration`` that remembers.
    """
    start = carry.end_ns
    measured = summarise(imu, start, end_ns)
    up = attitude.carried(carry.up, measured)
    turned = normalised(multiply(carry.turned, measured.rotation))
    # The newest sample before the end: one of the end's own stamp says nothing of this time.
    held = imu.held(end_ns - 1)
    imu_age = OLDEST_S if held < 0 else min(OLDEST_S, (end_ns - imu.stamps[held]) * NS)
    frame_age = (
        OLDEST_S if carry.frame_ns is None else min(OLDEST_S, (end_ns - carry.frame_ns) * NS)
    )
    dt = _length(start, end_ns)
    rate, force = measured.means()
    summary = np.array(
        [
            *rotation_vector(turned),
            *(up or attitude.LEVEL),
            *rate,
            *force,
            measured.time / dt,
            imu_age,
            float(camera),
            frame_age,
            dt,
        ],
        np.float32,
    )
    after = (
        Carry(end_ns, end_ns, IDENTITY, up) if camera else Carry(end_ns, carry.frame_ns, turned, up)
    )
    return Interval(start, end_ns, camera, summary), after


def first(frame_ns: int, first_ns: int) -> Carry:
    """Return what the interval of the first frame begins with, ``first_ns`` before it."""
    return Carry(frame_ns - first_ns)


def onward(carry: Carry, imu: Track[Reading], at_ns: int) -> Iterator[Interval]:
    """Cut the time from a boundary to an instant at which the state is read, no frame coming.

    These are the steps that ``Timeline.read`` makes when ``imu`` is all that it knows.

    Parameters
    ----------
    carry : Carry
        Of the boundary.
    imu : Track
        Inertial samples; none later than the instant.
    at_ns : int
        The instant, later than the boundary.
    """
    none: Track[Any] = Track()
    newest = max([carry.end_ns, *imu.stamps[-1:]])
    while (found := following(carry, none, imu, newest)) is not None and found[0] < at_ns:
        interval, carry = close(carry, imu, found[0], camera=False)
        yield interval
    yield close(carry, imu, at_ns, camera=False)[0]


def cut(frames: Track[Any], imu: Track[Reading], first_ns: int) -> Iterator[tuple[Interval, Carry]]:
    """Cut whole recordings into intervals, each with what it hands on."""
    newest = max(frames.stamps[-1:] + imu.stamps[-1:], default=0)
    carry: Carry | None = None
    while (found := following(carry, frames, imu, newest)) is not None:
        end, camera = found
        interval, carry = close(carry or first(end, first_ns), imu, end, camera)
        yield interval, carry
