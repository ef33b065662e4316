"""A recorded flight as the network will meet it: cut into intervals, with instants to answer at.

A flight's bag holds the samples as they were measured. What the network sees of them is decided
here: in half of the flights frames are taken away (some at random, most of them, or all for a
while), in some the inertial sensor falls silent, so that the policy knows streams that are missing.
After every boundary it is asked for the teacher's command at two instants: the next tick of the
controller, and one drawn from the 0.2 s that follow, no frame having come since.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.learning.architecture import FIRST_INTERVAL
from lnn_ros.learning.dataset import Recording
from lnn_ros.learning.flights import Flight, find_flights, notes, read_flight
from lnn_ros.liquid.spec import SUMMARY
from lnn_ros.timeline.intervals import Carry, cut, onward
from lnn_ros.timeline.samples import Reading, Track, reading

READS, STEPS = 2, 2
"""Instants at which the policy is asked after a boundary, and the most steps to get there."""
READ_NS = 200_000_000
THINNED, SILENCED = 0.5, 0.15
"""Share of the flights in which frames, and inertial samples, are taken away."""
UNKNOWN = 0.15
"""Share of the instants before which the last inertial samples have not arrived either."""
Bools = NDArray[np.bool_]


def read_sequence(bag: Path, camera: VirtualCamera, vary: bool = True) -> Recording:
    """Read one flight as a sequence; what is taken away is drawn by its seed.

    Parameters
    ----------
    bag : Path
    camera : VirtualCamera
        Of the policy that is to learn from it.
    vary : bool
        False: nothing is taken away.

    Raises
    ------
    LnnError
        When the bag is damaged or holds no flight.
    """
    return as_sequence(read_flight(bag, camera), vary)


def as_sequence(flight: Flight, vary: bool = True) -> Recording:
    """Return a flight as a sequence; see ``read_sequence``."""
    rng = np.random.default_rng((flight.seed, 0x5E0))
    stamps, imu_stamps = flight.frame_stamps, flight.imu_stamps
    kept = np.ones(len(stamps), bool)
    heard = np.ones(len(imu_stamps), bool)
    if vary:
        kept, heard = _kept(stamps, rng), _heard(imu_stamps, rng)
    frames: Track[int] = Track()
    frames.values = np.flatnonzero(kept).tolist()
    frames.stamps = stamps[kept].tolist()
    imu: Track[Reading] = Track()
    imu.stamps = imu_stamps[heard].tolist()
    imu.values = [reading(v) for v in flight.imu[heard].astype(np.float64)]
    first_ns = round(FIRST_INTERVAL * 1e9)
    found = list(cut(frames, imu, first_ns))
    where = np.array([frames.find(i.stamp_ns) if i.camera else -1 for i, _ in found], np.int32)
    reads, taken, labels, weights = _reads(
        [carry for _, carry in found], imu, flight.label_stamps, flight.labels, rng, vary
    )
    ends = np.array([i.stamp_ns for i, _ in found])
    hints = flight.hints[_nearest(stamps, ends)]
    summaries = np.stack([i.summary for i, _ in found])
    return Recording(flight.frames, where, summaries, reads, taken, labels, weights, hints,
                     flight.sided)  # fmt: skip


def _kept(stamps: NDArray[Any], rng: np.random.Generator) -> Bools:
    """Draw which frames the network sees; always the first."""
    kept = np.ones(len(stamps), bool)
    way = rng.random() / THINNED
    if way < 1 / 3:
        kept = rng.random(len(stamps)) > rng.uniform(0.1, 0.7)
    elif way < 2 / 3:
        kept = np.arange(len(stamps)) % rng.integers(2, 6) == 0
    elif way < 1:
        kept = ~_windows(stamps, rng, 0.5, 2.0)
    kept[0] = True
    return kept


def _heard(stamps: NDArray[Any], rng: np.random.Generator) -> Bools:
    """Draw which inertial samples the network hears."""
    if rng.random() > SILENCED or not len(stamps):
        return np.ones(len(stamps), bool)
    return ~_windows(stamps, rng, 0.1, 3.0)


def _windows(
    stamps: NDArray[Any], rng: np.random.Generator, least_s: float, most_s: float
) -> Bools:
    """Draw one to three times of some length; tell which stamps lie in them."""
    inside = np.zeros(len(stamps), bool)
    for _ in range(rng.integers(1, 4)):
        begin = rng.uniform(float(stamps[0]), float(stamps[-1]))
        inside |= (stamps >= begin) & (stamps < begin + 1e9 * rng.uniform(least_s, most_s))
    return inside


def _nearest(stamps: NDArray[Any], instants: NDArray[np.int64]) -> NDArray[np.intp]:
    """Index of the stamp that is nearest to each instant."""
    after = np.clip(np.searchsorted(stamps, instants), 1, len(stamps) - 1)
    if len(stamps) == 1:
        return np.zeros(len(instants), np.intp)
    late = stamps[after].astype(np.int64) - instants
    early = instants - stamps[after - 1].astype(np.int64)
    return np.where(early <= late, after - 1, after)


def _reads(
    carries: list[Carry],
    imu: Track[Reading],
    label_stamps: NDArray[Any],
    labels: NDArray[Any],
    rng: np.random.Generator,
    vary: bool,
) -> tuple[NDArray[np.float32], Bools, NDArray[np.float32], NDArray[np.float32]]:
    """Draw instants to answer at, and the steps that lead there from each boundary."""
    count = len(carries)
    reads = np.zeros((count, READS, STEPS, len(SUMMARY)), np.float32)
    taken = np.zeros((count, READS, STEPS), bool)
    asked = np.zeros((count, READS, 4), np.float32)
    weights = np.zeros((count, READS), np.float32)
    ends = np.array([c.end_ns for c in carries])
    # Of a boundary's own instant the state needs no step: what follows is asked for.
    begins = np.searchsorted(label_stamps, ends, side="right")
    stops = np.searchsorted(label_stamps, ends + READ_NS, side="left")
    for k, carry in enumerate(carries):
        if begins[k] >= stops[k]:
            continue
        drawn = (int(begins[k]), int(rng.integers(begins[k], stops[k])))
        for p, which in enumerate(drawn):
            at = int(label_stamps[which])
            known = at
            if vary and rng.random() < UNKNOWN:
                known = int(rng.integers(carry.end_ns, at + 1))
            part = imu.part(carry.end_ns, known)
            if carry.frame_ns != carry.end_ns and part.since(carry.end_ns) is None:
                continue  # nothing has come yet that says that this interval is over
            steps = onward(carry, part, at)
            for j, interval in enumerate(steps):
                reads[k, p, j], taken[k, p, j] = interval.summary, True
            asked[k, p], weights[k, p] = labels[which], 1.0
    return reads, taken, asked, weights


def read_folder(folder: Path, camera: VirtualCamera, vary: bool = True) -> list[Recording]:
    """Read all flights of a folder as sequences, in the order of their names.

    Raises
    ------
    LnnError
        When there is none, one is damaged, or nobody says in any of them what to do.
    """
    found = [read_sequence(bag, camera, vary) for bag in find_flights(folder)]
    if not any(recording.weights.any() for recording in found):
        raise LnnError(f"{folder}: nothing to learn from found in {len(found)} bags, expected "
                       f"commands on a topic takeover, of a teacher or of a person")
    return found


def recorded_shifts(bags: Iterable[Path]) -> dict[str, tuple[float, float]]:
    """Return the families of shifts that flights were recorded with, and strengths from and to.

    Raises
    ------
    LnnError
        When a bag is damaged.
    """
    found: dict[str, list[float]] = {}
    for bag in bags:
        said = notes(bag).get("shifts", "[]")
        try:
            for name, _, strength in (shift.partition(":") for shift in json.loads(said)):
                found.setdefault(name, []).append(float(strength))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise LnnError(f"bag {bag}: its custom_data says of the shifts {said[:60]!r}, expected "
                           f"a JSON list of names and strengths") from error
    return {name: (min(values), max(values)) for name, values in found.items()}
