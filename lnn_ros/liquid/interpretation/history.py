"""Run a policy over recorded observations and keep every state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.base import Cell
from lnn_ros.liquid.cells.flow import Flow
from lnn_ros.liquid.encoders import Encoder
from lnn_ros.liquid.engine import effective
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.spec import SUMMARY, PolicySpec, part

Floats = NDArray[np.float64]
CHUNK = 64
"""Frames that are encoded at a time, so that the patches of a convolution stay small."""


@dataclass(frozen=True)
class Network:
    """A policy in float64: architecture, and weights with the wiring's masks applied.

    Attributes
    ----------
    spec : PolicySpec
    w : dict of str to ndarray
        Named as ``spec.parameters()``.
    """

    spec: PolicySpec
    w: dict[str, Floats]

    @staticmethod
    def of(spec: PolicySpec, arrays: Mapping[str, NDArray[Any]]) -> Network:
        """Build from a checkpoint's tensors."""
        values = effective(spec, arrays)
        return Network(spec, {name: value.astype(np.float64) for name, value in values.items()})

    def encode(self, frames: NDArray[Any]) -> Floats:
        """Features (K, F) of frames (K, H, W, C), pixels from 0 to 255."""
        check_frames(self.spec.encoder, frames)
        w = part(self.w, "encoder")
        chunks = [
            self.spec.encoder.encode(NUMPY, w, frames[k : k + CHUNK].astype(np.float64))
            for k in range(0, len(frames), CHUNK)
        ]
        return np.concatenate(chunks)

    def step(self, state: Floats, dt: Floats, features: Floats, summary: Floats) -> Floats:
        """States (..., S) after an interval dt (..., 1) and what was observed at its end."""
        state = self.spec.predict(NUMPY, self.w, state, dt)
        inputs = self.spec.inputs(NUMPY, features, summary)
        return self.spec.core.update(NUMPY, part(self.w, "core"), state, inputs)

    def command(self, state: Floats, after: float = 0.0, clip: bool = True) -> Floats:
        """Commands (..., 4) that states (..., S) ask for ``after`` seconds later."""
        if after:
            state = self.spec.predict(NUMPY, self.w, state, np.full((*state.shape[:-1], 1), after))
        return self.spec.command(NUMPY, self.w, state, clip)


def check_frames(encoder: Encoder, frames: NDArray[Any]) -> None:
    """Refuse what are no frames (K, H, W, C) of the encoder's size."""
    shape = encoder.frame_shape
    if frames.ndim != 4 or frames.shape[1:] != shape:
        expected = ", ".join(str(size) for size in shape)
        raise LnnError(f"frames have shape {frames.shape}, expected (K, {expected})")


@dataclass(frozen=True)
class History:
    """What went in and every state, for K observations.

    Attributes
    ----------
    stamps_ns : ndarray of int64, shape (K,)
        Of the observations.
    features : ndarray, shape (K, F)
        Of the encoder.
    summaries : ndarray, shape (K, 9)
        ``spec.SUMMARY``, physical units.
    dt : ndarray, shape (K,)
        Seconds before each observation.
    before : ndarray, shape (K, S)
        States after the observation before: what is remembered when an interval begins.
    after : ndarray, shape (K, S)
        States after each observation.
    cell : Cell
        Whose states they are.
    """

    stamps_ns: NDArray[np.int64]
    features: Floats
    summaries: Floats
    dt: Floats
    before: Floats
    after: Floats
    cell: Cell

    def take(self, which: NDArray[np.integer]) -> History:
        """Return the history of some observations only."""
        return History(
            self.stamps_ns[which],
            self.features[which],
            self.summaries[which],
            self.dt[which],
            self.before[which],
            self.after[which],
            self.cell,
        )

    @property
    def seconds(self) -> Floats:
        """Time of each observation since the first one."""
        return (self.stamps_ns - self.stamps_ns[0]) * 1e-9

    @property
    def names(self) -> list[str]:
        """Names of the neurons."""
        return self.cell.names()

    @property
    def activity(self) -> Floats:
        """Activities (K, neurons) after each observation."""
        activity: Floats = self.cell.activity(NUMPY, self.after)
        return activity

    def phases(self) -> tuple[list[str], Floats]:
        """Where turning pairs stand on their circle.

        Returns
        -------
        names : list of str
            "a+b" for each pair; empty for cells without any.
        phases : ndarray, shape (K, pairs)
            rad, from -pi to pi; 0 where the first neuron alone is active.
        """
        names, pairs = self.names, turning(self.cell)
        x = self.activity
        columns = [np.arctan2(x[:, b], x[:, a]) for a, b in pairs]
        phases = np.stack(columns, 1) if columns else np.zeros((len(x), 0))
        return [f"{names[a]}+{names[b]}" for a, b in pairs], phases


def turning(cell: Cell) -> list[tuple[int, int]]:
    """Indices of the neurons that turn together in a flow cell; none in other cells."""
    pairs, start = [], 0
    if type(cell) is Flow:  # in what derives from it, other things than neurons may turn
        for layer, count in zip(cell.layers, cell.pairs, strict=True):
            pairs += [(start + i, start + count + i) for i in range(count)]
            start += layer.units
    return pairs


def run(
    network: Network,
    stamps_ns: NDArray[np.int64],
    summaries: NDArray[Any],
    frames: NDArray[Any] | None = None,
    features: Floats | None = None,
) -> History:
    """Run a policy over a recorded stream, from its first observation on.

    Parameters
    ----------
    network : Network
    stamps_ns : ndarray of int64, shape (K,)
    summaries : ndarray, shape (K, 9)
        Of the intervals that the frames close; their last column is dt, which the state flows by.
    frames : ndarray of uint8, shape (K, H, W, C), optional
        The frames, or
    features : ndarray, shape (K, F), optional
        what the encoder makes of them.

    Raises
    ------
    LnnError
        When the arrays do not fit each other or the policy.
    """
    if (frames is None) == (features is None):
        raise LnnError("history: give either frames or features, exactly one of them")
    if features is None:
        assert frames is not None
        features = network.encode(frames)
    count = len(stamps_ns)
    if not count or features.shape != (count, network.spec.encoder.features):
        raise LnnError(
            f"history: features have shape {features.shape}, expected ({max(count, 1)}, "
            f"{network.spec.encoder.features})"
        )
    if summaries.shape != (count, len(SUMMARY)):
        raise LnnError(
            f"history: summaries have shape {summaries.shape}, expected ({count}, {len(SUMMARY)})"
        )
    summaries = summaries.astype(np.float64)
    dt = summaries[:, -1]
    state = network.spec.core.initial_state()
    states = [state]
    for k in range(count):
        state = network.step(state, dt[k : k + 1], features[k], summaries[k])
        states.append(state)
    kept = np.stack(states)
    return History(
        np.asarray(stamps_ns), features, summaries, dt, kept[:-1], kept[1:], network.spec.core
    )
