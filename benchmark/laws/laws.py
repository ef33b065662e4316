"""The laws: each takes a cell and a random generator, and tells how far the cell is from it.

What each of them measures is said in benchmark/cells.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from laws.ours import INPUTS, Array, Ours
from laws.peers import Subject, Theirs

RATES = (10, 30, 100, 200)
LOOKS, LONGEST = 10, 30
"""Forgetting: looks a second, and seconds after which nobody waits any longer."""


def _relative(a: Array, b: Array) -> float:
    return float(np.max(np.abs(a - b) / np.maximum(1.0, np.abs(b))))


def _held(subject: Subject, state: Array, u: Array, rate: float, seconds: float) -> Array:
    for _ in range(round(seconds * rate)):
        state = subject.observe(state, u, 1.0 / rate)
    return state


def split(subject: Subject, rng: np.random.Generator) -> float | None:
    """Two flows against one; None for a cell that holds its activity."""
    if isinstance(subject, Theirs) or not subject.cell.split:
        return None
    state = _held(subject, subject.start(), rng.normal(0, 1, INPUTS), 30, 1.0)
    worst = 0.0
    for a, b in rng.exponential(1.0, (20, 2)):
        twice = subject.flow(subject.flow(state, a), b)
        worst = max(worst, _relative(twice, subject.flow(state, a + b)))
    return worst


def substeps(subject: Subject, rng: np.random.Generator) -> float:
    """Five observations of a held signal against one, share of the movement."""
    state = _held(subject, subject.start(), rng.normal(0, 1, INPUTS), 30, 1.0)
    u = rng.normal(0, 1, INPUTS)
    before = subject.activity(state)
    once = subject.activity(subject.observe(state, u, 0.2))
    five = subject.activity(_held(subject, state, u, 25, 0.2))
    return float(np.linalg.norm(five - once) / np.linalg.norm(once - before))


def zero_flow(subject: Subject, rng: np.random.Generator) -> float | None:
    """Movement of the state where no time passes; None for ncps, which has no flow."""
    if isinstance(subject, Theirs):
        return None
    state = _held(subject, subject.start(), rng.normal(0, 1, INPUTS), 30, 1.0)
    return float(np.max(np.abs(subject.flow(state, 0.0) - state)))


def zero_seen(subject: Subject, rng: np.random.Generator) -> float:
    """Movement of the activity by an observation when no time has passed."""
    state = _held(subject, subject.start(), rng.normal(0, 1, INPUTS), 30, 1.0)
    after = subject.observe(state, rng.normal(0, 1, INPUTS), 0.0)
    return float(np.max(np.abs(subject.activity(after) - subject.activity(state))))


def rate(subject: Subject, rng: np.random.Generator) -> float:
    """Difference of states after two seconds of a held signal, seen at several rates."""
    u = rng.normal(0, 1, INPUTS)
    found = [subject.activity(_held(subject, subject.start(), u, r, 2.0)) for r in RATES]
    return max(_relative(x, found[-1]) for x in found)


def forget(subject: Subject, rng: np.random.Generator) -> list[float]:
    """Seconds at each rate; inf where it takes longer than half a minute."""
    history = rng.normal(0, 1, (2, INPUTS))
    u = rng.normal(0, 1, INPUTS)
    states = _held(subject, subject.start(2), history, 100, 2.0)
    if isinstance(subject, Ours) and subject.cell.split:
        # Both see the new signal from now on at any rate, not only at its first observation.
        states = subject.observe(states, u, 0.0)

    def distance(states: Array) -> float:
        x = subject.activity(states)
        return float(np.linalg.norm(x[0] - x[1]))

    first, times = distance(states), []
    if first == 0.0:  # nothing to forget
        return [0.0] * len(RATES)
    for r in RATES:
        now, last, found = states, 1.0, float("inf")
        # Looked at ten times a second at every rate, so that reading it off errs alike for all.
        for k in range(1, LOOKS * LONGEST):
            now = _held(subject, now, u, r, 1.0 / LOOKS)
            left = distance(now) / first
            if left <= 1.0 / np.e:
                # Exponential between two looks.
                share = (1.0 + np.log(last)) / np.log(last / max(left, 1e-300))
                found = (k - 1 + share) / LOOKS
                break
            last = left
        times.append(found)
    return times


def dropped(subject: Subject, rng: np.random.Generator) -> float:
    """Difference in activity when 30 % of the observations of a moving signal are missing."""
    steps, step = 120, 1.0 / 30
    t = step * np.arange(steps)[:, None]
    frequency, phase = rng.uniform(0.1, 0.6, INPUTS), rng.uniform(0, 6.28, INPUTS)
    signal = np.sin(2 * np.pi * frequency * t + phase)
    seen = rng.random(steps) >= 0.3
    whole = gaps = _held(subject, subject.start(), signal[0], 30, 1.0)
    found, wait = [], 0.0
    for k in range(steps):
        whole = subject.observe(whole, signal[k], step)
        wait += step
        if seen[k]:
            gaps, wait = subject.observe(gaps, signal[k], wait), 0.0
        now = subject.flow(gaps, wait) if isinstance(subject, Ours) else gaps
        found.append((subject.activity(whole), subject.activity(now)))
    a, b = (np.concatenate(x) for x in zip(*found, strict=True))
    return float(np.sqrt(np.mean((a - b) ** 2)) / np.std(a, 0).max())


LAWS: dict[str, Callable[[Subject, np.random.Generator], float | None]] = {
    "split": split,
    "substeps": substeps,
    "zero_flow": zero_flow,
    "zero_seen": zero_seen,
    "rate": rate,
    "dropped": dropped,
}
