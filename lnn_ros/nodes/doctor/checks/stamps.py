"""Stamps: whether they are there, of this clock, and in order."""

from __future__ import annotations

from collections.abc import Iterator

from lnn_ros.nodes.doctor.findings import Finding, fail, ok, warn
from lnn_ros.nodes.doctor.snapshot import SENSED, Heard, Input, Snapshot
from lnn_ros.timeline.timeline import AHEAD_NS

NOTABLE_S = 0.1
"""A constant offset that no usual delay explains."""
_BOOT_S = 2.0  # how well a clock since boot is recognised
_BOTH_S = 5.0  # and /clock, or the system's clock, by stamps that should be of the other


def check(seen: Snapshot) -> Iterator[Finding]:
    """Judge the stamps of each stream."""
    if not seen.simulated and not seen.stated and len(seen.clock) > 1:
        yield warn("clock", "/clock passes, and nothing says whether the controller reads it",
                   "start the controller with use_sim_time:=true, or stop what publishes /clock")
    for stream, name in SENSED.items():
        heard = seen.listened(name)
        if len(heard) == 0 or not heard.stamps_ns:
            continue
        yield _stamps(seen, stream, name, heard)
    for wanted in seen.inputs:
        heard = seen.listened(wanted.name)
        if wanted.limit_s and wanted.needed and heard.stamps_ns:
            yield _plain(seen, wanted, heard)


def _plain(seen: Snapshot, wanted: Input, heard: Heard) -> Finding:
    """Judge the stamps of what the guard is told: no parameter puts an offset right there."""
    what, lags = f"{wanted.name} stamps", seen.lags(wanted.name)
    mend = ("let its publisher stamp with the time of measurement, by the clock of this computer "
            "(chrony, PTP)")
    zeros = sum(stamp == 0 for stamp in heard.stamps_ns)
    if zeros:
        return fail(what, f"{zeros} of {len(heard)} are zero, which is no time", mend)
    if lags and not -AHEAD_NS / 1e9 <= min(lags) <= wanted.limit_s:
        lag = min(lags)
        return fail(what, f"{abs(lag):,.1f} s {'behind' if lag > 0 else 'ahead of'} the "
                    f"controller's clock", f"{mend}: {wanted.limited_by} is {wanted.limit_s:g} s")
    return ok(what, f"{min(lags):.3f} s old at the least" if lags else
              "no /clock came to judge them by")


def _stamps(seen: Snapshot, stream: str, name: str, heard: Heard) -> Finding:
    what = f"{name} stamps"
    zeros = sum(stamp == 0 for stamp in heard.stamps_ns)
    if zeros:
        return fail(what, f"{zeros} of {len(heard)} are zero, which is no time",
                    "let the driver fill header.stamp with the time of measurement; no offset "
                    "replaces it")
    offset = getattr(seen.settings, stream).offset_s
    lags = seen.lags(name, offset)
    if not lags:
        return ok(what, "no /clock came to judge them by")
    lag = min(lags)
    limit, ahead = seen.settings.limits.max_age, AHEAD_NS / 1e9
    if not -ahead <= lag <= limit:
        return _other_clock(seen, stream, what, heard, lag, offset)
    back = _backward(heard)
    if back > seen.settings.horizon_s:
        return fail(what, f"one is {back:.3f} s earlier than one that came before",
                    f"let one publisher stamp them in order: what is later than horizon_s, "
                    f"{seen.settings.horizon_s:g} s, is dropped")
    side = "behind" if lag > 0 else "ahead of"
    text = f"{abs(lag):.3f} s {side} the controller's clock, with the delay"
    if abs(lag) > NOTABLE_S:
        return warn(what, text, f"if no delay explains it, set {stream}.offset_s to "
                    f"{offset + lag:.3f} less the delay that you know of, or mend the clocks "
                    f"(chrony, PTP)")
    if back > 0:
        return ok(what, f"{text}; up to {back:.3f} s out of order")
    return ok(what, text)


def _other_clock(seen: Snapshot, stream: str, what: str, heard: Heard, lag: float,
                 offset: float) -> Finding:
    """Name the clock that stamps are of, and what to do about it."""
    newest = heard.stamps_ns[-1]
    text = (f"{abs(lag):,.1f} s {'behind' if lag > 0 else 'ahead of'} the controller's clock"
            f"{f' with {stream}.offset_s of {offset:g} added' if offset else ''}")
    if seen.simulated and abs(newest - heard.arrivals_ns[-1]) < _BOTH_S * 1e9:
        return fail(what, f"{text}: they are of the system's clock",
                    "let the driver read /clock (use_sim_time), or set use_sim_time of the "
                    "controller to false")
    if not seen.simulated and seen.clock and abs(newest - seen.clock[-1][1]) < _BOTH_S * 1e9:
        return fail(what, f"{text}: they are of /clock", "set use_sim_time of the controller to "
                    "true")
    boot = seen.system.boot_ns - (seen.ended_ns - heard.arrivals_ns[-1])
    if seen.system.boot_ns and abs(newest - boot) < _BOOT_S * 1e9:
        text += ": they count from this computer's boot"
    # As nodes/streams.py has it, so that both say the same number.
    return fail(what, text, f"set {stream}.offset_s to {offset + lag:.3f}, or mend the clocks")


def _backward(heard: Heard) -> float:
    """Return the most by which a stamp is earlier than one that came before, s."""
    newest, most = 0, 0
    for stamp in heard.stamps_ns:
        most, newest = max(most, newest - stamp), max(newest, stamp)
    return most / 1e9
