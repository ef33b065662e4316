"""Whether help can be trusted: what was commanded, flown, felt and seen must fit each other.

A policy that learns from labels that are not what was done, or from pictures that are not what was
flown through, may look better on more of the same. So it is asked of the recordings themselves:
was what the person commanded commanded at that instant, did the vehicle move so, and did the
pictures turn as the gyroscope says?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.learning.dataset import SCALE
from lnn_ros.learning.flights import Flight
from lnn_ros.learning.verdict import Finding

LAGS_S = np.arange(-0.6, 0.61, 0.05)
"""At which it is looked whether one follows the other."""
LATE_S = 0.12
"""A command is flown at once: apart by more than this, two clocks differ."""
OFF, OFF_SHARE = 1.5, 0.15
"""Further apart than so many typical errors in one output is another command; most that may be."""
MOVED = 0.5
"""Least correlation of a command with the motion that follows, where it varies."""
VARIES = 0.25
"""A command varies if its standard deviation is so many typical errors."""
LEAST = 150
"""Commands, or pairs of pictures, of which something can be said: about 5 s."""
TURNED = 0.3
"""Least correlation of the pictures' shift with the gyroscope."""
_PAIR_S = 0.15
_OUTPUTS = ("forwards", "sideways", "up", "turning")
Floats = NDArray[np.float64]


def consistent(flights: Sequence[Flight]) -> list[Finding]:
    """Ask whether recordings fit themselves; of flights read with ``motion=True``."""
    return [_flown(flights), _moved(flights), _turned(flights)]


def _at(stamps: NDArray[np.int64], values: NDArray[np.float32], wanted: Floats,
        held: bool) -> tuple[Floats, NDArray[np.bool_]]:
    """Values at instants (ns), held or interpolated, and where there are any nearby."""
    after = np.searchsorted(stamps, wanted)
    before = np.clip(after - 1, 0, len(stamps) - 1)
    near = (np.abs(wanted - stamps[before]) < 0.2e9) & (wanted >= stamps[0]) & (
        wanted <= stamps[-1] + 0.1e9)
    if held:
        return values[np.clip(np.searchsorted(stamps, wanted, "right") - 1, 0, len(stamps) - 1)
                      ].astype(float), near
    return np.stack([np.interp(wanted, stamps, column) for column in values.T], 1), near


def _apart(flights: Sequence[Flight], lag_s: float, of: str,
           held: bool) -> tuple[Floats, Floats]:
    """Labels and, so much later, what was flown or how it moved: (N, 4) each.

    Only where the person goes on commanding until then.
    """
    labels, others = [np.zeros((0, 4))], [np.zeros((0, 4))]
    for flight in flights:
        stamps, values = getattr(flight, f"{of}_stamps"), getattr(flight, of)
        if not len(stamps) or not len(flight.label_stamps):
            continue
        wanted = (flight.label_stamps + lag_s * 1e9).astype(np.float64)
        found, near = _at(stamps, values, wanted, held)
        _, helped = _at(flight.label_stamps, flight.labels, wanted, True)
        kept = near & helped
        labels.append(flight.labels[kept].astype(float))
        others.append(found[kept])
    return np.concatenate(labels), np.concatenate(others)


def _flown(flights: Sequence[Flight]) -> Finding:
    """Answer whether it was commanded at that instant."""
    best: tuple[float, float, float, int] | None = None
    for lag in sorted(LAGS_S.tolist(), key=abs):  # of what never changes none is better
        labels, flown = _apart(flights, lag, "flown", True)
        if len(labels) < LEAST:
            continue
        apart = np.abs(labels - flown) / SCALE
        found = (float(np.minimum(apart, 2.0).mean()), lag, float((apart > OFF).any(1).mean()),
                 len(labels))
        best = found if best is None or found[0] < best[0] - 0.01 else best
    if best is None:
        return Finding("flown", True, "too little was recorded of what was flown on help", {})
    error, lag, share, count = best
    numbers = {"commands": count, "lag_s": lag, "off_share": share, "error": error}
    if share <= OFF_SHARE and abs(lag) > LATE_S:
        return Finding("flown", False, f"help was flown {abs(lag):.2f} s "
                       f"{'after' if lag > 0 else 'before'} its stamps, expected within {LATE_S:g} "
                       f"s: two clocks", numbers)
    said = f"{100 * share:.0f} % of the commands of help were not what was flown"
    return Finding("flown", share <= OFF_SHARE, f"{said} (at most {100 * OFF_SHARE:.0f} %)",
                   numbers)


def _moved(flights: Sequence[Flight]) -> Finding:
    """Answer whether the vehicle moved so."""
    pairs = [_apart(flights, lag, "motion", False) for lag in LAGS_S[LAGS_S >= 0.0].tolist()]
    pairs = [(labels, moved) for labels, moved in pairs if len(labels) >= LEAST]
    if not pairs:
        return Finding("moved", True, "too little was recorded of how the vehicle moved", {})
    numbers: dict[str, Any] = {}
    against = []
    for k, name in enumerate(_OUTPUTS):
        # What is commanded, or what is done, varies: then the one has to follow the other.
        varied = [(labels[:, k], moved[:, k]) for labels, moved in pairs
                  if max(labels[:, k].std(), moved[:, k].std()) > VARIES * SCALE[k]]
        if not varied:
            continue
        numbers[name] = max(_correlation(*both) for both in varied)
        if numbers[name] < MOVED:
            against.append(f"{name} {numbers[name]:+.2f}")
    if against:
        return Finding("moved", False, f"the vehicle did not do what help commanded (correlation "
                       f"{', '.join(against)}, expected {MOVED:g})", numbers)
    return Finding("moved", True, "the vehicle did what help commanded", numbers)


def _correlation(a: Floats, b: Floats) -> float:
    """Of two series; 0 where one of them stays the same."""
    return float(np.corrcoef(a, b)[0, 1]) if min(a.std(), b.std()) > 1e-6 else 0.0


def _turned(flights: Sequence[Flight]) -> Finding:
    """Answer whether the pictures turned as the gyroscope says."""
    angles, shifts = [], []
    for flight in flights:
        if len(flight.imu_stamps) < 2:
            continue
        turned = np.concatenate([[0.0], np.cumsum(
            flight.imu[:-1, 2] * np.diff(flight.imu_stamps) / 1e9)])
        at = np.interp(flight.frame_stamps, flight.imu_stamps, turned)
        profiles = flight.frames.mean((1, 3), dtype=np.float64)
        for k in range(len(at) - 1):
            if flight.frame_stamps[k + 1] - flight.frame_stamps[k] < _PAIR_S * 1e9:
                angles.append(at[k + 1] - at[k])
                shifts.append(_shift(profiles[k], profiles[k + 1]))
    if len(angles) < LEAST or np.std(angles) < 0.005:
        return Finding("turned", True, "too little was turned to say how the camera looks", {})
    found = _correlation(np.array(angles), np.array(shifts))
    said = f"pictures turn with the gyroscope by a correlation of {found:+.2f}"
    return Finding("turned", found >= TURNED, f"{said} (expected {TURNED:g})",
                   {"pairs": len(angles), "correlation": found})


def _shift(first: Floats, second: Floats) -> float:
    """By how many columns a picture has moved to the right: a turn to the left.

    Between columns, where a parabola through the best and its neighbours is least.
    """
    most = len(first) // 6
    one, other = np.diff(first), np.diff(second)
    scores = []
    for by in range(-most, most + 1):
        a = one[max(0, -by) : len(one) - max(0, by)]
        b = other[max(0, by) : len(other) - max(0, -by)]
        scores.append(float(np.abs(a - b).mean()))
    at = int(np.argmin(scores))
    if not 0 < at < 2 * most:
        return float(at - most)
    before, least, after = scores[at - 1 : at + 2]
    bend = before - 2.0 * least + after
    return at - most + (0.5 * (before - after) / bend if bend > 0.0 else 0.0)
