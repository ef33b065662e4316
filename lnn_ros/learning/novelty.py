"""Fit how unlike training a frame is: statistics on training flights, the level on others.

The level is set on validation flights, so that what ``Pilot.novelty`` says of flights like those
reaches 1 at most once in ``ALARM_S``. Both are recorded flights (``lnn_ros demonstrate``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.learning.flights import find_flights, read_flight
from lnn_ros.liquid.checkpoint import Checkpoint
from lnn_ros.liquid.engine import Engine
from lnn_ros.liquid.novelty import Novelty, describe, parts
from lnn_ros.simulation.seeds import REPORTED

ALARM_S = 1200.0
"""Flight time in which flights like those of the training reach 1 at most once. Twice as long as
what is asked for (10 minutes): the level is estimated from few alarms."""
MEMORY_S = 1.0
"""Of the filter: a second of frames that are unlike, not one of them."""
EVERY = 3
"""Of the frames of training flights, one in so many: neighbours tell the same."""
SHRINK = 0.05
"""How much the covariance is drawn to its diagonal, after Ledoit and Wolf's idea."""
FLOOR = 0.05
"""Least standard deviation, in typical ones of its kind: a feature that training never moved."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Described:
    """A flight: seed of its world, stamps (F,) in s, descriptions (F, D) of its frames."""

    seed: int
    stamps: Doubles
    frames: NDArray[np.float32]

    @property
    def seconds(self) -> float:
        """From the first to the last frame."""
        return float(self.stamps[-1] - self.stamps[0])


def described(checkpoint: Checkpoint, folder: Path, every: int = 1) -> Iterator[Described]:
    """Describe the frames of all flights below a folder, in the order of their names.

    Raises
    ------
    LnnError
        When there is none, one is damaged, its camera sees too little of what the policy's does, or
        it flew in a reported world.
    """
    bags = find_flights(folder, deep=True)
    camera = VirtualCamera.from_card(checkpoint.card)
    engine = Engine(checkpoint.spec, checkpoint.arrays)
    for bag in bags:
        flight = read_flight(bag, camera)
        if flight.seed in REPORTED:
            raise LnnError(
                f"{bag}: world {flight.seed} found, expected none from {REPORTED.start} to "
                f"{REPORTED.stop - 1}: those are for reports, nothing is fitted on them"
            )
        frames = flight.frames[::every]
        rows = np.stack([describe(frame, engine.encode(frame)) for frame in frames])
        stamps: Doubles = np.asarray(flight.frame_stamps[::every] * 1e-9, np.float64)
        yield Described(flight.seed, stamps, rows)


def moments(rows: NDArray[np.float32], features: int) -> tuple[Doubles, Doubles]:
    """Mean and covariance (D, D) of descriptions (N, D), the latter made safe to invert.

    The first ``features`` columns are of one kind, the others of another.
    """
    x = rows.astype(np.float64)
    mean = x.mean(0)
    x -= mean
    covariance = x.T @ x / len(x)
    variances = np.diag(covariance).copy()
    for kind in (slice(None, features), slice(features, None)):
        typical = float(np.median(variances[kind])) or 1.0
        variances[kind] += FLOOR**2 * typical
    covariance *= 1.0 - SHRINK
    np.fill_diagonal(covariance, variances)
    return mean, (covariance + covariance.T) / 2


def filtered(scores: Sequence[float], stamps: Doubles, memory: float, first_s: float) -> Doubles:
    """Filter a flight's scores as ``Timeline`` does; ``first_s`` is the first interval."""
    out, value, last = np.empty(len(scores)), 0.0, float(stamps[0]) - first_s
    for k, (score, stamp) in enumerate(zip(scores, stamps.tolist(), strict=True)):
        value += (score - value) * -math.expm1(-(stamp - last) / memory)
        out[k], last = value, stamp
    return out


def alarms(course: Sequence[float] | Doubles, level: float) -> int:
    """How often a course comes to lie above a level, from below or from the start."""
    above = np.asarray(course) > level
    return int(above[:1].sum() + (above[1:] & ~above[:-1]).sum())


def level_of(courses: Sequence[Doubles], most: int) -> float:
    """Return how far down a level may come until courses are above it more than ``most`` times."""
    hills = []
    for course in courses:
        before, after = np.r_[-np.inf, course[:-1]], np.r_[course[1:], -np.inf]
        hills += course[(course >= before) & (course >= after)].tolist()
    level = max(hills)
    for lower in sorted(hills, reverse=True):
        if sum(alarms(course, lower) for course in courses) > most:
            break
        level = lower
    return level


def fit(
    checkpoint: Checkpoint,
    training: Sequence[Described],
    validation: Sequence[Described],
    alarm_s: float = ALARM_S,
    memory: float = MEMORY_S,
) -> tuple[Novelty, dict[str, Any]]:
    """Fit statistics and level.

    Returns
    -------
    Novelty
    dict
        What was fitted on, and how the validation flights score, for the card.

    Raises
    ------
    LnnError
        When flights are in both, or the validation flights are too short to tell a level.
    """
    both = {flight.seed for flight in training} & {flight.seed for flight in validation}
    if both:
        raise LnnError(
            f"world {min(both)} is among the training flights and the validation flights, "
            "expected others in each"
        )
    seconds = sum(flight.seconds for flight in validation)
    most = int(seconds / alarm_s)
    if most < 1:
        raise LnnError(
            f"{seconds / 60:.1f} minutes of validation flights found, expected at least "
            f"{alarm_s / 60:g}: so long is the time in which one alarm is allowed"
        )
    names = parts(checkpoint.spec.encoder)
    rows = np.concatenate([flight.frames for flight in training])
    mean, covariance = moments(rows, checkpoint.spec.encoder.features)
    plain = Novelty(
        names, mean.astype(np.float32), covariance.astype(np.float32), 0.0, 1.0, memory
    )
    distances = [np.array([plain.of(row) for row in flight.frames]) for flight in validation]
    usual = float(np.mean(np.concatenate(distances)))
    first_s = checkpoint.spec.first_interval
    courses = [
        filtered((d - usual).tolist(), flight.stamps, memory, first_s)
        for d, flight in zip(distances, validation, strict=True)
    ]
    above = level_of(courses, most)
    novelty = Novelty(names, plain.mean, plain.covariance, usual, usual + above, memory)
    peaks = np.array([course.max() for course in courses]) / above
    return novelty, {
        "training": {"flights": len(training), "frames": len(rows)},
        "validation": {
            "flights": len(validation),
            "minutes": round(seconds / 60, 2),
            "alarms": sum(alarms(course, above) for course in courses),
            "alarm_s": alarm_s,
            "peaks": {
                f"{share:g}": round(float(np.quantile(peaks, share)), 3)
                for share in (0.05, 0.5, 0.95, 1.0)
            },
        },
    }
