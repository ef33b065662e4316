"""Recorded sequences in memory, cut into lanes of windows for truncated backpropagation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
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
_IN_VIEW = 0.7
"""Cosine of the target's direction above which it may be in the picture."""
_SEARCH_S, _SEARCH_RATE = 0.7, 0.8
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
    return Recording(frames, summaries, offsets, _searching(labels, hints, unseen), hints, unseen)


def _searching(
    labels: NDArray[np.float32], hints: NDArray[np.float32], unseen: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Turn the labels' yaw rates, while the target is out of view, to the side where it left it.

    The expert knows the shorter way round; a pupil cannot, and would learn the mean of left and
    right, which is not to turn at all.
    """
    labels = labels.copy()
    side = 0.0
    for k, (cosine, sine) in enumerate(hints[:, COLUMNS + 1 : COLUMNS + 3].tolist()):
        if cosine > _IN_VIEW:
            side = 0.0
        else:
            side = side or (1.0 if sine > 0 else -1.0)
            if unseen[k] > _SEARCH_S:
                labels[k, :, 3] = side * np.maximum(np.abs(labels[k, :, 3]), _SEARCH_RATE)
    return labels


def read_folder(folder: Path) -> list[Recording]:
    """Read all sequences of a folder, in the order of their names."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise LnnError(f"{folder}: no *.npz found, expected recorded sequences")
    return [read_sequence(file) for file in files]


@dataclass(frozen=True)
class Batch:
    """Windows of all lanes: T frames, B lanes, P labels.

    frames (B, T, H, W, 3) uint8 or features (B, T, F) (lanes first: quicker to join); summaries
    (T, B, 9); keep (T, B), 0 at an episode's first frame; offsets (T, B, P); labels (T, B, P, 4);
    weights (T, B, P), 0 where there is no label; hints (T, B, HINTS); unseen (T, B).
    """

    frames: NDArray[Any]
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


@dataclass(frozen=True)
class Glimpses:
    """Single frames: frames (N, H, W, 3), hints (N, HINTS), labels (N, 4), weights (N,)."""

    frames: NDArray[np.uint8]
    hints: NDArray[np.float32]
    labels: NDArray[np.float32]
    weights: NDArray[np.float32]


class Glimpser:
    """Draw single frames evenly from all sequences, half of them mirrored."""

    def __init__(self, sequences: Sequence[Recording]) -> None:
        self._sequences = sequences
        self._owners = np.repeat(np.arange(len(sequences)), [len(s) for s in sequences])
        self._places = np.concatenate([np.arange(len(s)) for s in sequences])

    def draw(self, rng: np.random.Generator, count: int) -> Glimpses:
        """Draw ``count`` frames."""
        frames, rest = [], []
        flips = rng.random(count) < 0.5
        picked = rng.integers(0, len(self._owners), count)
        for which, flip in zip(picked.tolist(), flips.tolist(), strict=True):
            sequence, k = self._sequences[self._owners[which]], self._places[which]
            frame, hints, label = sequence.frames[k], sequence.hints[k], sequence.labels[k, 0]
            if flip:
                frame, hints, label = frame[:, ::-1], _mirrored(hints), label * _MIRROR_COMMAND
            frames.append(frame)
            rest.append((hints, label, np.isfinite(sequence.offsets[k, 0])))
        hints, labels, weights = (
            np.array(column, np.float32) for column in zip(*rest, strict=True)
        )
        return Glimpses(np.stack(frames), hints, labels, weights)


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
    features : sequence of ndarray, optional
        Per sequence (2, K, F), as it is and mirrored: takes the place of the frames.
    """

    def __init__(
        self,
        sequences: Sequence[Recording],
        lanes: int,
        window: int,
        rng: np.random.Generator,
        mirror: bool = True,
        features: Sequence[NDArray[np.float32]] | None = None,
    ) -> None:
        self._sequences, self._window, self._features = sequences, window, features
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
        summaries, labels = s.summaries[first:end], s.labels[first:end]
        frames: NDArray[Any] = s.frames[first:end]
        if self._features is not None:
            frames = self._features[index][int(flip), first:end]
        hints = s.hints[first:end]
        keep = np.ones(end - first, np.float32)
        if begins:
            keep[0] = 0.0
        if flip:
            if self._features is None:
                frames = frames[:, :, ::-1]
            summaries, labels = summaries * _MIRROR_SUMMARY, labels * _MIRROR_COMMAND
            hints = _mirrored(hints)
        return frames, summaries, keep, s.offsets[first:end], labels, hints, s.unseen[first:end]
