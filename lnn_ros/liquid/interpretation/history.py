"""Run a policy over recorded intervals, with and without frames, and keep every state."""

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
from lnn_ros.liquid.spec import CAMERA_PRESENT, SUMMARY, PolicySpec, part

Floats = NDArray[np.float64]
CHUNK = 64
"""Frames that are encoded at a time, so that the patches of a convolution stay small."""


def _axes(name: str) -> list[int]:
    return [SUMMARY.index(f"{name}_{axis}") for axis in "xyz"]


_ROTATION, _UP, _RATE = _axes("rotation"), _axes("up"), _axes("angular_rate")


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
        return self.spec.observe(NUMPY, self.w, state, features, summary)

    def command(self, state: Floats) -> Floats:
        """Commands (..., 4) that states (..., S) ask for at their own instants."""
        return self.spec.command(NUMPY, self.w, state)

    def read(self, state: Floats, summary: Floats, after: float) -> Floats:
        """Commands (..., 4) ``after`` seconds after intervals, as the pilot reads them then.

        That is one more step, without a frame. What the inertial sensor measures meanwhile is taken
        to be what it measured before (``going_on``).

        Parameters
        ----------
        state : ndarray, shape (..., S)
            After the intervals.
        summary : ndarray, shape (..., len(SUMMARY))
            Theirs.
        after : float
            Zero asks at their ends.
        """
        if after:
            dt = np.full((*state.shape[:-1], 1), after)
            nothing = np.zeros((*state.shape[:-1], self.spec.encoder.features))
            state = self.step(state, dt, nothing, going_on(summary, after))
        return self.command(state)


def going_on(summary: Floats, after: float) -> Floats:
    """Summaries of the time after intervals, in which the vehicle moves on as it did.

    Parameters
    ----------
    summary : ndarray, shape (..., len(SUMMARY))
        Of the intervals.
    after : float
        How long it moves on, seconds; its turn in that time is taken to be small.

    Returns
    -------
    ndarray, shape (..., len(SUMMARY))
        No frame, the same mean rate and force.
    """
    out = summary.copy()
    frameless = 1.0 - summary[..., CAMERA_PRESENT]
    rate, up = summary[..., _RATE], summary[..., _UP]
    out[..., _ROTATION] = summary[..., _ROTATION] * frameless[..., None] + rate * after
    turned = up + after * np.cross(up, rate)  # a fixed direction, seen from a body that turns
    length = np.linalg.norm(turned, axis=-1, keepdims=True)
    out[..., _UP] = np.divide(turned, length, out=up.copy(), where=length > 0.0)
    age = SUMMARY.index("camera_age")
    out[..., age] = np.minimum(summary[..., age] * frameless + after, 1.0)
    out[..., CAMERA_PRESENT], out[..., SUMMARY.index("dt")] = 0.0, after
    return out


def check_frames(encoder: Encoder, frames: NDArray[Any]) -> None:
    """Refuse what are no frames (K, H, W, C) of the encoder's size."""
    shape = encoder.frame_shape
    if frames.ndim != 4 or frames.shape[1:] != shape:
        expected = ", ".join(str(size) for size in shape)
        raise LnnError(f"frames have shape {frames.shape}, expected (K, {expected})")


@dataclass(frozen=True)
class History:
    """What went in and every state, for K intervals.

    Attributes
    ----------
    stamps_ns : ndarray of int64, shape (K,)
        Of the intervals' ends.
    features : ndarray, shape (K, F)
        Of the encoder; zeros where no frame closes the interval.
    summaries : ndarray, shape (K, len(SUMMARY))
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

    @property
    def camera(self) -> NDArray[np.bool_]:
        """Where a frame closes the interval, shape (K,)."""
        return self.summaries[:, CAMERA_PRESENT] > 0.5

    def take(self, which: NDArray[np.integer]) -> History:
        """Return the history of some intervals only."""
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
    """Run a policy over recorded intervals (``timeline.intervals.cut``), from the first one on.

    Parameters
    ----------
    network : Network
    stamps_ns : ndarray of int64, shape (K,)
    summaries : ndarray, shape (K, len(SUMMARY))
        Of the intervals. ``dt`` is what the state flows by, ``camera_present`` is 1 where a frame
        closes the interval, else 0.
    frames : ndarray of uint8, shape (M, H, W, C), optional
        The frames of the M intervals that have one, in their order; or
    features : ndarray, shape (M, F), optional
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
    count, width = len(stamps_ns), network.spec.encoder.features
    if not count or summaries.shape != (count, len(SUMMARY)):
        raise LnnError(
            f"history: summaries have shape {summaries.shape}, expected ({max(count, 1)}, "
            f"{len(SUMMARY)})"
        )
    summaries = summaries.astype(np.float64)
    present = summaries[:, CAMERA_PRESENT]
    if not np.isin(present, (0.0, 1.0)).all():
        raise LnnError("history: camera_present is neither 0 nor 1 in some summary")
    camera = present == 1.0
    if features.shape != (camera.sum(), width):
        raise LnnError(
            f"history: features have shape {features.shape}, expected ({camera.sum()}, {width}): "
            "one row for each interval with a frame"
        )
    spread = np.zeros((count, width))
    spread[camera] = features
    dt = summaries[:, SUMMARY.index("dt")]
    state = network.spec.core.initial_state()
    states = [state]
    for k in range(count):
        state = network.step(state, dt[k : k + 1], spread[k], summaries[k])
        states.append(state)
    kept = np.stack(states)
    return History(
        np.asarray(stamps_ns), spread, summaries, dt, kept[:-1], kept[1:], network.spec.core
    )
