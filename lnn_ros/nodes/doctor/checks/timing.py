"""How messages come: rate, gaps, repeats and losses, of what the policy sees and of /clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lnn_ros.nodes.doctor.findings import Finding, fail, ok, warn
from lnn_ros.nodes.doctor.snapshot import SENSED, Heard, Input, Snapshot
from lnn_ros.timeline.timeline import FRAMES_PER_S, READINGS_PER_S


@dataclass(frozen=True)
class Rate:
    """What rates of a stream a policy is made for, Hz.

    Attributes
    ----------
    trained : float
        In training. The card does not say; it is what the embedded simulator has.
    low, high : float
        Between these it has been flown (`docs/results/timing_robustness.json`), or nothing of what
        the vehicle does is missed.
    most : float
        More is refused and counted.
    """

    trained: float
    low: float
    high: float
    most: float


RATES = {"camera": Rate(20.0, 8.0, 60.0, FRAMES_PER_S),
         "imu": Rate(200.0, 100.0, 1000.0, READINGS_PER_S)}
"""Rates of each stream that the policy sees."""
LOST_WARN, LOST_FAIL = 0.01, 0.25
"""Shares of messages: from the first on something is wrong; a quarter is as much as was flown."""
_FEW = 3  # messages, below which nothing can be said of their rhythm
_RHYTHM = 0.25  # of an interval: how far a gap may be from a multiple of it and still be one
_LARGE = 64_000  # bytes: such a message travels in many pieces, and is lost with each of them


def check(seen: Snapshot) -> Iterator[Finding]:
    """Judge the rhythm of each stream."""
    yield from _clock(seen)
    for stream, name in SENSED.items():
        wanted = next((i for i in seen.inputs if i.remap == name), None)
        heard = seen.listened(name)
        if wanted is None or not any(
                p.kind == wanted.kind for p in seen.topic(wanted.topic).publishers):
            continue  # said by topics
        if len(heard) == 0:
            yield fail(f"{name} rate", f"nothing came on {wanted.topic} in {seen.seconds:g} s, "
                       f"though it has a publisher",
                       f"see whether {wanted.source} gets data; over a network, see whether "
                       f"multicast and large packets pass")
            continue
        yield _rate(seen, stream, name, heard)
        yield from _gaps(seen, name, heard)
        yield from _repeats(name, heard)
        yield _losses(name, heard)
    for wanted in seen.inputs:
        if wanted.limit_s:
            yield from _silences(seen, wanted)


def rate(seen: Snapshot, heard: Heard) -> float | None:
    """Return messages per second by the controller's clock; None where too few came."""
    times = [at for at in seen.node_times(heard) if at]
    if len(times) < _FEW or times[-1] <= times[0]:
        return None
    return (len(times) - 1) * 1e9 / (times[-1] - times[0])


def lost(heard: Heard) -> tuple[float, bool] | None:
    """Estimate the share of messages that were published and did not come.

    Returns
    -------
    tuple or None
        The share, and whether it was counted: by the publisher's own count where the middleware
        tells it, else guessed from gaps between stamps that are whole multiples of the usual
        one. None where too few came.
    """
    if len(heard.sequence) >= _FEW:
        sent = max(heard.sequence) - min(heard.sequence) + 1
        return max(0.0, 1.0 - len(set(heard.sequence)) / sent), True
    stamps = np.unique([stamp for stamp in heard.stamps_ns if stamp])
    if len(stamps) < _FEW:
        return None
    gaps = np.diff(stamps)
    multiples = gaps / np.median(gaps)
    whole = np.round(multiples)
    missed = whole[(whole > 1) & (abs(multiples - whole) < _RHYTHM)] - 1
    return float(missed.sum() / (len(gaps) + missed.sum())), False


def _clock(seen: Snapshot) -> Iterator[Finding]:
    if not seen.simulated:
        return
    times = [time for _, time in seen.clock]
    if len(times) < 2:
        if seen.topic("/clock").publishers:
            yield fail("clock", f"{len(times)} messages came on /clock in {seen.seconds:g} s",
                       "let the simulator run (is it paused?), or set use_sim_time to false")
        return
    limit = seen.settings.limits.max_age
    back = sum(after < before for before, after in pairwise(times))
    stood = _standing(seen)
    if back:
        yield warn("clock", f"/clock went back {back} times", "expect the controller to begin "
                   "anew each time: a bag that loops does this, or two simulators on one domain")
    elif stood > limit:
        yield fail("clock", f"/clock stood still for {stood:.1f} s",
                   f"let the simulator run: after limits.max_age, {limit:g} s, the vehicle is "
                   f"stopped")
    else:
        speed = (times[-1] - times[0]) / max(seen.clock[-1][0] - seen.clock[0][0], 1)
        yield ok("clock", f"/clock passes, {speed:.2f} of real time")


def _standing(seen: Snapshot) -> float:
    """Longest time, s, for which /clock said nothing new, to the end of listening."""
    longest, since, before = 0, seen.clock[0][0], seen.clock[0][1]
    for arrival, time in (*seen.clock[1:], (seen.ended_ns, None)):
        if time != before:
            longest, since, before = max(longest, arrival - since), arrival, time or 0
    return longest / 1e9


def _silences(seen: Snapshot, wanted: Input) -> Iterator[Finding]:
    """Judge what the guard is told, which only has to come often enough."""
    if not wanted.needed or not seen.topic(wanted.topic).publishers:
        return  # said by topics, if it matters
    what, heard = f"{wanted.name} gaps", seen.listened(wanted.name)
    by = f"{wanted.limited_by}, {wanted.limit_s:g} s"
    if len(heard) == 0:
        yield fail(what, f"nothing came on {wanted.topic} in {seen.seconds:g} s, though it has a "
                   f"publisher", f"see whether {wanted.source} gets data: after {by}, it is "
                   f"missing")
        return
    times = [at for at in seen.node_times(heard) if at]
    if len(times) < 2:
        return
    longest = float(np.diff(times).max()) / 1e9
    if longest > wanted.limit_s:
        yield fail(what, f"up to {longest:.2f} s apart", f"publish it more often: after {by}, it "
                   f"is missing")
    else:
        yield ok(what, f"at most {longest:.2f} s apart")


def _rate(seen: Snapshot, stream: str, name: str, heard: Heard) -> Finding:
    found, wanted, limit = rate(seen, heard), RATES[stream], seen.settings.limits.max_age
    what = f"{name} rate"
    if found is None:
        return fail(what, f"{len(heard)} messages came in {seen.seconds:g} s",
                    f"let it come {wanted.low:g} to {wanted.high:g} times a second")
    text = f"{found:.1f} Hz; the policy was trained with {wanted.trained:g} Hz"
    if found > wanted.most:
        return fail(what, text, f"lower it to {wanted.high:g} Hz or less: more than "
                    f"{wanted.most:g} a second are refused")
    if found * limit < 1.0:
        return fail(what, text, f"raise it to {wanted.low:g} Hz or more: samples older than "
                    f"limits.max_age, {limit:g} s, are stale")
    if not wanted.low * 0.95 <= found <= wanted.high * 1.05:
        return warn(what, text, f"bring it between {wanted.low:g} and {wanted.high:g} Hz")
    return ok(what, text)


def _gaps(seen: Snapshot, name: str, heard: Heard) -> Iterator[Finding]:
    times = [at for at in seen.node_times(heard) if at]
    if len(times) < _FEW:
        return
    gaps = np.diff(times) / 1e9
    usual, late, longest = (float(v) for v in np.percentile(gaps, (50, 99, 100)))
    limit = seen.settings.limits.max_age
    text = (f"usually {1e3 * usual:.1f} ms apart, p99 {1e3 * late:.0f} ms, at most "
            f"{1e3 * longest:.0f} ms")
    what = f"{name} gaps"
    if longest > limit:
        yield fail(what, text, f"find what holds them up (network, driver, "
                   f"exposure): after limits.max_age, {limit:g} s, the vehicle is stopped")
    elif late > limit / 2:
        yield warn(what, text, f"find what holds them up: it comes near "
                   f"limits.max_age, {limit:g} s")
    else:
        yield ok(what, text)


def _repeats(name: str, heard: Heard) -> Iterator[Finding]:
    stamps = [stamp for stamp in heard.stamps_ns if stamp]
    twice = sum(count - 1 for count in Counter(stamps).values())
    if twice == 0 or not stamps:
        return
    share = twice / len(stamps)
    tell = fail if share > 0.5 else warn
    yield tell(f"{name} repeats", f"{share:.0%} of the stamps came before: such a sample is "
               f"dropped", "stamp every sample with its own time of measurement; two publishers, "
               "or a republisher beside its source, look like this, too")


def _losses(name: str, heard: Heard) -> Finding:
    what, share = f"{name} losses", lost(heard)
    if share is None:
        return ok(what, "too few came to tell")
    text = (f"{share[0]:.1%} of the messages ({heard.size:,} bytes) were lost"
            f"{'' if share[1] else ', by the gaps between stamps'}")
    if share[0] < LOST_WARN:
        return ok(what, text)
    remedy = ("run the driver on this computer, publish smaller or compressed images "
              "(image_transport: compressed), or sudo sysctl -w net.core.rmem_max=4194304 "
              "net.core.rmem_default=4194304" if heard.size > _LARGE else
              "give the computer less to do, or bring publisher and controller onto one computer")
    return (fail if share[0] > LOST_FAIL else warn)(what, text, remedy)
