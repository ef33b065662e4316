"""A recorded flight as the network will meet it: cut into intervals, with instants to answer at.

A flight's file holds the samples as they were measured. What the network sees of them is decided
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
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.learning.architecture import FIRST_INTERVAL
from lnn_ros.learning.dataset import Recording
from lnn_ros.learning.hints import HINTS
from lnn_ros.liquid.spec import SUMMARY
from lnn_ros.timeline.intervals import Carry, cut, onward
from lnn_ros.timeline.samples import Reading, Track, reading

KEYS = ("frame_stamps", "frames", "hints", "imu_stamps", "imu", "label_stamps", "labels")
"""frames (F, H, W, 3) uint8 and their hints (F, HINTS), imu (N, 6), labels (M, 4): what the teacher
would have done at each tick of the controller; with their stamps, ns."""
READS, STEPS = 2, 2
"""Instants at which the policy is asked after a boundary, and the most steps to get there."""
READ_NS = 200_000_000
THINNED, SILENCED = 0.5, 0.15
"""Share of the flights in which frames, and inertial samples, are taken away."""
UNKNOWN = 0.15
"""Share of the instants before which the last inertial samples have not arrived either."""
Arrays = dict[str, NDArray[Any]]
Bools = NDArray[np.bool_]


def read_flight(file: Path) -> tuple[Arrays, int, bool]:
    """Read and check one flight's file; return its arrays, its world's seed, and if it is sided.

    Raises
    ------
    LnnError
        When it is damaged or no flight.
    """
    try:
        with np.load(file, allow_pickle=False) as data:
            arrays = {key: data[key] for key in KEYS}
            meta = json.loads(str(data["meta"]))
            if "sided" not in meta:
                raise LnnError(f"{file}: recorded before flights said whether left and right are "
                               f"alike in them: record it again")
            seed, sided = int(meta["episode"]["seed"]), bool(meta["sided"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise LnnError(f"{file}: no recorded flight ({error})") from None
    counts = {name: len(arrays[f"{name}_stamps"]) for name in ("frame", "imu", "label")}
    fits = (
        arrays["frames"].dtype == np.uint8
        and arrays["frames"].ndim == 4
        and len(arrays["frames"]) == counts["frame"] > 0
        and arrays["hints"].shape == (counts["frame"], HINTS)
        and arrays["imu"].shape == (counts["imu"], 6)
        and arrays["labels"].shape == (counts["label"], 4)
        and all(np.isfinite(arrays[name]).all() for name in ("hints", "imu", "labels"))
        and all((np.diff(arrays[f"{name}_stamps"]) > 0).all() for name in counts)
    )
    if not fits:
        raise LnnError(f"{file}: arrays of a recorded flight expected, others found")
    return arrays, seed, sided


def read_sequence(file: Path, vary: bool = True) -> Recording:
    """Read one flight as a sequence; what is taken away is drawn by its seed.

    Parameters
    ----------
    file : Path
    vary : bool
        False: nothing is taken away.

    Raises
    ------
    LnnError
        When the file is damaged or no flight.
    """
    arrays, seed, sided = read_flight(file)
    rng = np.random.default_rng((seed, 0x5E0))
    stamps, imu_stamps = arrays["frame_stamps"], arrays["imu_stamps"]
    kept = np.ones(len(stamps), bool)
    heard = np.ones(len(imu_stamps), bool)
    if vary:
        kept, heard = _kept(stamps, rng), _heard(imu_stamps, rng)
    frames: Track[int] = Track()
    frames.values = np.flatnonzero(kept).tolist()
    frames.stamps = stamps[kept].tolist()
    imu: Track[Reading] = Track()
    imu.stamps = imu_stamps[heard].tolist()
    imu.values = [reading(v) for v in arrays["imu"][heard].astype(np.float64)]
    first_ns = round(FIRST_INTERVAL * 1e9)
    found = list(cut(frames, imu, first_ns))
    where = np.array([frames.find(i.stamp_ns) if i.camera else -1 for i, _ in found], np.int32)
    reads, taken, labels, weights = _reads(
        [carry for _, carry in found], imu, arrays["label_stamps"], arrays["labels"], rng, vary
    )
    ends = np.array([i.stamp_ns for i, _ in found])
    hints = arrays["hints"][_nearest(stamps, ends)].astype(np.float32)
    summaries = np.stack([i.summary for i, _ in found])
    pixels: NDArray[np.uint8] = arrays["frames"].astype(np.uint8, copy=False)
    return Recording(pixels, where, summaries, reads, taken, labels, weights, hints, sided)


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
    if rng.random() > SILENCED:
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


def read_folder(folder: Path, vary: bool = True) -> list[Recording]:
    """Read all flights of a folder as sequences, in the order of their names."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise LnnError(f"{folder}: no *.npz found, expected recorded flights")
    return [read_sequence(file, vary) for file in files]


def recorded_shifts(files: Iterable[Path]) -> dict[str, tuple[float, float]]:
    """Return the families of shifts that flights were recorded with, and strengths from and to.

    Raises
    ------
    LnnError
        When a file is damaged or no flight.
    """
    found: dict[str, list[float]] = {}
    for file in files:
        try:
            with np.load(file, allow_pickle=False) as data:
                shifts = json.loads(str(data["meta"])).get("shifts", [])
            for name, _, strength in (shift.partition(":") for shift in shifts):
                found.setdefault(name, []).append(float(strength))
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            raise LnnError(f"{file}: no recorded flight ({error})") from error
    return {name: (min(values), max(values)) for name, values in found.items()}
