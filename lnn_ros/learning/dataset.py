"""Recorded sequences in memory, cut into lanes of windows for truncated backpropagation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.learning.hints import COLUMNS, HINTS
from lnn_ros.liquid.spec import SUMMARY

KEYS = ("frames", "summaries", "offsets", "labels", "hints")
_MIRROR_SUMMARY = np.array([-1, 1, -1, 1, -1, 1, 1, 1, 1], np.float32)
"""Left and right exchanged: roll and yaw rates and the sideways force change their sign."""
_MIRROR_HINTS = np.r_[np.arange(COLUMNS)[::-1], np.arange(COLUMNS, HINTS)]
_MIRROR_COMMAND = np.array([1, -1, 1, -1], np.float32)


@dataclass(frozen=True)
class Recording:
    """One episode of K frames with P labels each.

    frames (K, H, W, 3) uint8, summaries (K, 9), offsets (K, P) s, labels (K, P, 4), hints
    (K, HINTS), unseen (K,): seconds for which the target has been out of sight.
    """

    frames: NDArray[np.uint8]
    summaries: NDArray[np.float32]
    offsets: NDArray[np.float32]
    labels: NDArray[np.float32]
    hints: NDArray[np.float32]
    unseen: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.frames)


def read_sequence(file: Path) -> Recording:
    """Read and check one episode's file.

    Raises
    ------
    LnnError
        When it is damaged or no sequence.
    """
    try:
        with np.load(file, allow_pickle=False) as data:
            arrays = [data[key] for key in KEYS]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise LnnError(f"{file}: no recorded sequence ({error})") from None
    frames, summaries, offsets, labels, hints = arrays
    count = len(frames)
    fits = (
        frames.dtype == np.uint8
        and frames.ndim == 4
        and summaries.shape == (count, len(SUMMARY))
        and offsets.ndim == 2
        and labels.shape == (*offsets.shape, 4)
        and len(offsets) == count
        and hints.shape == (count, HINTS)
        and np.isfinite(hints).all()
        and np.isfinite(summaries).all()
        and np.isfinite(labels).all()
    )
    if not fits:
        raise LnnError(f"{file}: arrays of a recorded sequence expected, others found")
    unseen = np.zeros(count, np.float32)
    for k in range(1, count):
        unseen[k] = 0.0 if hints[k, COLUMNS] else unseen[k - 1] + summaries[k, -1]
    return Recording(frames, summaries, offsets, labels, hints, unseen)


def read_folder(folder: Path) -> list[Recording]:
    """Read all sequences of a folder, in the order of their names."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise LnnError(f"{folder}: no *.npz found, expected recorded sequences")
    return [read_sequence(file) for file in files]


@dataclass(frozen=True)
class Batch:
    """Windows of all lanes: T frames, B lanes, P labels.

    frames (B, T, H, W, 3) uint8 (lanes first: quicker to join); summaries (T, B, 9); keep (T, B),
    0 at an episode's first frame; offsets (T, B, P); labels (T, B, P, 4); weights (T, B, P), 0
    where there is no label; hints (T, B, HINTS); unseen (T, B).
    """

    frames: NDArray[np.uint8]
    summaries: NDArray[np.float32]
    keep: NDArray[np.float32]
    offsets: NDArray[np.float32]
    labels: NDArray[np.float32]
    weights: NDArray[np.float32]
    hints: NDArray[np.float32]
    unseen: NDArray[np.float32]


def _mirrored(hints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Hints (..., HINTS) with left and right exchanged."""
    out = hints[..., _MIRROR_HINTS].copy()
    out[..., COLUMNS + 2] *= -1  # the target's direction to the left
    return out


def glimpse(
    sequence: Recording, k: int, mirror: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """One frame (H, W, 3) and its hints (HINTS,)."""
    frame, hints = sequence.frames[k], sequence.hints[k]
    return (frame[:, ::-1], _mirrored(hints)) if mirror else (frame, hints)


class Lanes:
    """Episodes shuffled and joined end to end in ``lanes`` lanes, read as consecutive windows.

    States run on from window to window of a lane, so gradients are cut but memories are not.
    Half of the episodes, drawn anew each time, are mirrored.

    Parameters
    ----------
    sequences : sequence of Recording
    lanes, window : int
        B and T.
    rng : Generator
        Of the order and the mirroring.
    mirror : bool
        False for validation.
    """

    def __init__(
        self,
        sequences: Sequence[Recording],
        lanes: int,
        window: int,
        rng: np.random.Generator,
        mirror: bool = True,
    ) -> None:
        self._sequences, self._window = sequences, window
        total = sum(len(s) for s in sequences)
        order = rng.permutation(len(sequences))
        flips = rng.random(len(sequences)) < 0.5 if mirror else np.zeros(len(sequences), bool)
        # A lane is a list of (sequence, first, end, mirrored), all lanes equally long.
        self.steps = max(1, total // (lanes * window))
        length = self.steps * window
        self._lanes: list[list[tuple[int, int, int, bool]]] = []
        at = first = 0  # the next lane goes on where this one ends
        for _ in range(lanes):
            lane, need = [], length
            while need:
                index = int(order[at % len(order)])
                end = min(len(sequences[index]), first + need)
                lane.append((index, first, end, bool(flips[index])))
                need -= end - first
                first = end
                if end == len(sequences[index]):
                    at, first = at + 1, 0
            self._lanes.append(lane)

    def __iter__(self) -> Iterator[Batch]:
        cursors = [self._run(lane) for lane in self._lanes]
        for _ in range(self.steps):
            columns = [next(cursor) for cursor in cursors]
            pictures, *others = zip(*columns, strict=True)
            frames = np.stack(pictures)
            summaries, keep, offsets, labels, hints, unseen = (np.stack(o, axis=1) for o in others)
            weights = np.isfinite(offsets).astype(np.float32)
            yield Batch(
                frames, summaries, keep, np.nan_to_num(offsets), labels, weights, hints, unseen
            )

    def _run(self, lane: list[tuple[int, int, int, bool]]) -> Iterator[tuple[np.ndarray, ...]]:
        """Windows of one lane."""
        parts: list[tuple[np.ndarray, ...]] = []
        have = 0
        for index, first, end, flip in lane:
            at = first
            while at < end:
                take = min(end - at, self._window - have)
                parts.append(self._cut(index, at, at + take, flip, begins=at == first))
                at, have = at + take, have + take
                if have == self._window:
                    columns = zip(*parts, strict=True)
                    yield tuple(c[0] if len(c) == 1 else np.concatenate(c) for c in columns)
                    parts, have = [], 0

    def _cut(
        self, index: int, first: int, end: int, flip: bool, begins: bool
    ) -> tuple[np.ndarray, ...]:
        s = self._sequences[index]
        frames, summaries, labels = s.frames[first:end], s.summaries[first:end], s.labels[first:end]
        hints = s.hints[first:end]
        keep = np.ones(end - first, np.float32)
        if begins:
            keep[0] = 0.0
        if flip:
            frames = frames[:, :, ::-1]
            summaries, labels = summaries * _MIRROR_SUMMARY, labels * _MIRROR_COMMAND
            hints = _mirrored(hints)
        return frames, summaries, keep, s.offsets[first:end], labels, hints, s.unseen[first:end]
