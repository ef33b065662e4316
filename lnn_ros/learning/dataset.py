"""Recorded sequences in memory, cut into lanes of windows for truncated backpropagation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.learning.hints import COLUMNS, HINTS
from lnn_ros.liquid.spec import SUMMARY

SCALE = (0.5, 0.3, 0.15, 0.4)
"""Size of a typical error per output, m/s and rad/s: what the loss weighs equally."""
_TURNED = (
    "rotation_x",
    "rotation_z",
    "up_y",
    "angular_rate_x",
    "angular_rate_z",
    "specific_force_y",
)
_MIRROR_SUMMARY = np.array([-1 if name in _TURNED else 1 for name in SUMMARY], np.float32)
"""Left and right exchanged: roll and yaw change their sign, and so does what points sideways."""
_MIRROR_HINTS = np.r_[np.arange(COLUMNS)[::-1], np.arange(COLUMNS, HINTS)]
_MIRROR_COMMAND = np.array([1, -1, 1, -1], np.float32)


@dataclass(frozen=True)
class Recording:
    """One flight as a sequence of K updates, of which those with a frame look at one of F frames.

    frames (F, H, W, 3) uint8; where (K,), the frame of each update, -1: there is none; summaries
    (K, S), S = len(SUMMARY); reads (K, P, J, S): summaries of the steps, without a camera, that
    lead from each update to each of P instants at which the policy is asked, taken (K, P, J): which
    of the J steps there are; labels (K, P, 4) and weights (K, P), 0 where there is no label; hints
    (K, HINTS), NaN where nobody knows; sided: left and right are not alike in it, as where a target
    was searched, or nobody knows.
    """

    frames: NDArray[np.uint8]
    where: NDArray[np.int32]
    summaries: NDArray[np.float32]
    reads: NDArray[np.float32]
    taken: NDArray[np.bool_]
    labels: NDArray[np.float32]
    weights: NDArray[np.float32]
    hints: NDArray[np.float32]
    sided: bool = False

    def __len__(self) -> int:
        return len(self.where)


@dataclass(frozen=True)
class Batch:
    """Windows of all lanes: T updates, B lanes, P instants at which the policy is asked.

    frames (B, T, H, W, 3) uint8 or features (B, T, F) (lanes first: quicker to join), whatever
    where the summary says that there is none; summaries (T, B, S); keep (T, B), 0 at an episode's
    first update; reads (T, B, P, J, S); taken (T, B, P, J); labels (T, B, P, 4); weights (T, B, P);
    hints (T, B, HINTS).
    """

    frames: NDArray[Any]
    summaries: NDArray[np.float32]
    keep: NDArray[np.float32]
    reads: NDArray[np.float32]
    taken: NDArray[np.bool_]
    labels: NDArray[np.float32]
    weights: NDArray[np.float32]
    hints: NDArray[np.float32]


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
    """Draw single frames evenly from all sequences; half of those not sided are mirrored."""

    def __init__(self, sequences: Sequence[Recording]) -> None:
        self._sequences = sequences
        seen = [np.flatnonzero(s.where >= 0) for s in sequences]
        self._owners = np.repeat(np.arange(len(sequences)), [len(places) for places in seen])
        self._places = np.concatenate(seen)

    def draw(self, rng: np.random.Generator, count: int) -> Glimpses:
        """Draw ``count`` frames."""
        frames, rest = [], []
        flips = rng.random(count) < 0.5
        picked = rng.integers(0, len(self._owners), count)
        for which, flip in zip(picked.tolist(), flips.tolist(), strict=True):
            sequence, k = self._sequences[self._owners[which]], self._places[which]
            frame, hints = sequence.frames[sequence.where[k]], sequence.hints[k]
            label = sequence.labels[k, 0]
            if flip and not sequence.sided:
                frame, hints, label = frame[:, ::-1], _mirrored(hints), label * _MIRROR_COMMAND
            frames.append(frame)
            rest.append((hints, label, sequence.weights[k, 0]))
        hints, labels, weights = (
            np.array(column, np.float32) for column in zip(*rest, strict=True)
        )
        return Glimpses(np.stack(frames), hints, labels, weights)


class Lanes:
    """Episodes shuffled and joined end to end in ``lanes`` lanes, read as consecutive windows.

    States run on from window to window of a lane, so gradients are cut but memories are not.
    Half of the episodes, drawn anew each time, are mirrored; those that are sided are not.

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
        Per sequence, of its frames, as they are and mirrored (2, frames, F): take their place.
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
        flips &= ~np.array([sequence.sided for sequence in sequences], bool)
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
            yield Batch(np.stack(pictures), *(np.stack(o, axis=1) for o in others))

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
        s, part = self._sequences[index], slice(first, end)
        summaries, reads, labels = s.summaries[part], s.reads[part], s.labels[part]
        where = np.maximum(s.where[part], 0)  # any frame: where there is none it counts nothing
        frames: NDArray[Any]
        if self._features is None:
            frames = s.frames[where]
        else:
            frames = self._features[index][int(flip)][where]
        hints = s.hints[part]
        keep = np.ones(end - first, np.float32)
        if begins:
            keep[0] = 0.0
        if flip:
            if self._features is None:
                frames = frames[:, :, ::-1]
            summaries, reads = summaries * _MIRROR_SUMMARY, reads * _MIRROR_SUMMARY
            labels, hints = labels * _MIRROR_COMMAND, _mirrored(hints)
        rest = reads, s.taken[part], labels, s.weights[part], hints
        return frames, summaries, keep, *rest
