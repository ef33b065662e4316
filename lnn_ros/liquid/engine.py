"""The running network: a policy, or a cell alone, in numpy, torch left out.

What it does is traced once (``liquid.programs.trace``) and then run in buffers made beforehand
(``liquid.programs.program``); of a cell that solves an ODE in steps (``ltc``) one step is traced,
and run as often as the elapsed time asks for. Nothing that is not finite enters a state: this is
the last door.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells import Cell
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.programs.program import Runner
from lnn_ros.liquid.programs.trace import trace
from lnn_ros.liquid.spec import SUMMARY, PolicySpec, part

if TYPE_CHECKING:
    from lnn_ros.liquid.checkpoint import CellCheckpoint

Array = NDArray[Any]
Float = NDArray[np.float32]
Function = Callable[..., Mapping[str, Array]]

MAX_SECONDS = 1e9
"""Longest time that may pass between two observations."""


class _Eager:
    """What ``Runner`` is, for a function that makes no program: it is called each time."""

    def __init__(self, function: Function, inputs: Mapping[str, Sequence[int]], dtype: Any) -> None:
        self._function = function
        self.inputs = {name: np.zeros(shape, dtype) for name, shape in inputs.items()}
        self.outputs: Mapping[str, Array] = {}

    def run(self) -> None:
        self.outputs = self._function(NUMPY, **self.inputs)


def _runner(
    function: Function,
    inputs: Mapping[str, Sequence[int]],
    dtype: DTypeLike = np.float32,
    uint8: Collection[str] = (),
) -> Runner | _Eager:
    try:
        program = trace(function, inputs)
    except LnnError:
        return _Eager(function, inputs, dtype)
    return Runner(program, dtype, uint8)


class _Staged:
    """What ``Runner`` is, for an update that is made stage by stage (``Cell.stages``).

    Its work grows with the elapsed time, its buffers do not.
    """

    def __init__(self, stage: Runner | _Eager, instants: Sequence[float]) -> None:
        self._stage, self.inputs = stage, stage.inputs
        self._spans = tuple(pairwise([*instants, math.inf]))

    @property
    def outputs(self) -> Mapping[str, Array]:
        return self._stage.outputs

    def run(self) -> None:
        state, stage = self.inputs["state"], self._stage
        elapsed = float(state[-1])
        for start, stop in self._spans:
            if start >= elapsed and start > 0.0:
                return
            if start > 0.0:
                state[...] = stage.outputs["state"]
            state[-1] = min(elapsed, stop) - start
            stage.run()


def _updater(
    cell: Cell, function: Callable[[Cell], Function], *how: Any
) -> Runner | _Eager | _Staged:
    """Return what makes an update; ``function`` makes the update of a cell."""
    if (staged := cell.stages()) is None:
        return _runner(function(cell), *how)
    stage, instants = staged
    return _Staged(_runner(function(stage), *how), instants)


class _Held:
    """What a cell alone and a policy have in common; the caller holds the state."""

    def __init__(self, cell: Cell, w: Mapping[str, Array], dtype: DTypeLike) -> None:
        size = (cell.state_size,)
        self._predict = _runner(
            lambda ops, state, dt: {"state": cell.predict(ops, w, state, dt)},
            {"state": size, "dt": (1,)},
            dtype,
        )
        self._activity = _runner(
            lambda ops, state: {"activity": cell.activity(ops, state)}, {"state": size}, dtype
        )

    def predict(self, state: Array, dt: float, out: Array) -> None:
        """Write into ``out`` (may be ``state``) the state ``dt`` seconds later.

        Raises
        ------
        LnnError
            When the time is negative or not finite, or the state would not stay finite; ``out``
            is not touched then.
        """
        if not 0.0 <= dt <= MAX_SECONDS:
            raise LnnError(f"elapsed time is {dt!r} s, expected zero to {MAX_SECONDS:g}")
        run = self._predict
        run.inputs["dt"][0] = dt
        run.inputs["state"][...] = state
        run.run()
        _give(run.outputs["state"], out)

    def activity(self, state: Array) -> Array:
        """All neurons' activities, in the order of the cell's ``names()``."""
        run = self._activity
        run.inputs["state"][...] = state
        run.run()
        return run.outputs["activity"].copy()


class CellEngine(_Held):
    """A cell that runs: predict and update on a state that the caller holds.

    Parameters
    ----------
    cell : Cell
        Architecture and maths.
    arrays : mapping of str to ndarray
        ``cell.parameters()`` and ``cell.masks()``, by name.
    dtype : dtype
        float32 or float64: of states and inputs, and what it computes in.
    first_interval : float
        Seconds that have elapsed in a new state.
    """

    def __init__(
        self,
        cell: Cell,
        arrays: Mapping[str, Array],
        dtype: DTypeLike = np.float32,
        first_interval: float = 0.0,
    ) -> None:
        self.cell, self.dtype, self.first_interval = cell, np.dtype(dtype), first_interval
        w = _derived(cell, effective(cell, arrays), dtype)
        super().__init__(cell, w, dtype)
        self._update = _updater(
            cell,
            lambda cell: lambda ops, state, inputs: {"state": cell.update(ops, w, state, inputs)},
            {"state": (cell.state_size,), "inputs": (cell.inputs,)},
            dtype,
        )

    @staticmethod
    def from_checkpoint(checkpoint: CellCheckpoint, dtype: DTypeLike = np.float32) -> CellEngine:
        """Build from what ``checkpoint.load_cell`` returns: its numbers and its first interval."""
        arrays = {name.removeprefix("core."): a for name, a in checkpoint.arrays.items()}
        return CellEngine(checkpoint.cell, arrays, dtype, checkpoint.first_interval)

    def initial(self, first_interval: float | None = None) -> Array:
        """A new state, shape (state_size,): nothing seen yet but an interval of so many seconds.

        None: of the engine's own.
        """
        seconds = self.first_interval if first_interval is None else first_interval
        return self.cell.initial_state(seconds).astype(self.dtype)

    def update(self, state: Array, inputs: Array) -> None:
        """Let ``state`` (changed in place, already predicted) meet an observation (inputs,).

        Raises
        ------
        LnnError
            When the observation has another shape or is not finite, or the state would not stay
            finite; the state is not touched then.
        """
        run = self._update
        run.inputs["state"][...] = state
        _take(run.inputs["inputs"], inputs, "the observation")
        run.run()
        _give(run.outputs["state"], state)


class Engine(_Held):
    """A policy that runs: encode, update, predict, read.

    Parameters
    ----------
    spec : PolicySpec
        Architecture.
    arrays : mapping of str to ndarray
        ``spec.parameters()`` as float32 and ``spec.masks()`` as uint8.
    """

    def __init__(self, spec: PolicySpec, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.spec = spec
        w = effective(spec, arrays)
        core = _derived(spec.core, part(w, "core"), np.float32)
        w |= {f"core.{name}": value for name, value in core.items()}
        super().__init__(spec.core, core, np.float32)
        size = (spec.core.state_size,)

        def observe(core: Cell) -> Function:
            within = replace(spec, core=core)
            return lambda ops, state, features, summary: {
                "state": within.observe(ops, w, state, features, summary)
            }

        encoder = part(w, "encoder")
        self._encode = _runner(
            lambda ops, pixels: {"features": spec.encoder.encode(ops, encoder, pixels)},
            {"pixels": spec.encoder.frame_shape},
            np.float32,
            ("pixels",),
        )
        features = (spec.encoder.features,)
        inputs = {"state": size, "features": features, "summary": (len(SUMMARY),)}
        self._update = _updater(spec.core, observe, inputs, np.float32)
        self._none = np.zeros(features, np.float32)
        self._command = _runner(
            lambda ops, state: {"command": spec.command(ops, w, state)}, {"state": size}
        )
        self._low, self._high = np.array(spec.head.low), np.array(spec.head.high)

    def initial(self) -> Float:
        """A new state: nothing seen, nothing moves."""
        return self.spec.core.initial_state().astype(np.float32)

    def predict(self, state: Array, dt: float, out: Array) -> None:
        super().predict(state, float(self.spec.elapsed(dt)), out)

    def encode(self, frame: NDArray[np.uint8]) -> Float:
        """Return the features of a frame (height, width, channels), shape (features,).

        Raises
        ------
        LnnError
            When the frame is not as described.
        """
        run = self._encode
        pixels = run.inputs["pixels"]
        if frame.shape != pixels.shape or frame.dtype != np.uint8:
            raise LnnError(
                f"encode: a frame of {frame.dtype} {frame.shape} found, expected uint8 "
                f"{pixels.shape}"
            )
        pixels[...] = frame
        run.run()
        return run.outputs["features"].copy()

    def update(self, state: Float, features: Float | None, summary: Float) -> None:
        """Let ``state`` (changed in place, already predicted) meet an interval's observation.

        Parameters
        ----------
        state : ndarray of float32, shape (state_size,)
        features : ndarray of float32, shape (features,), or None
            Of the frame that closes the interval; None: there is none.
        summary : ndarray of float32, shape (len(SUMMARY),)
            The interval in physical units.

        Raises
        ------
        LnnError
            When the features or the summary are not as described or not finite, or the state
            would not stay finite; the state is not touched then.
        """
        run = self._update
        run.inputs["state"][...] = state
        _take(run.inputs["features"], self._none if features is None else features, "the features")
        _take(run.inputs["summary"], summary, "the summary")
        run.run()
        _give(run.outputs["state"], state)

    def command(self, state: Float) -> NDArray[np.float64]:
        """Read the command, shape (4,), float64, inside the head's limits."""
        run = self._command
        run.inputs["state"][...] = state
        run.run()
        command = run.outputs["command"].astype(np.float64)
        np.maximum(command, self._low, out=command)
        return np.minimum(command, self._high, out=command)


def _derived(cell: Cell, w: Mapping[str, Array], dtype: DTypeLike) -> dict[str, Array]:
    """Weights, and what the cell makes of them alone, as one type; made in float64."""
    derived = cell.derived(NUMPY, {name: a.astype(np.float64) for name, a in w.items()})
    return {name: np.asarray(a, dtype) for name, a in derived.items()}


def _finite(vector: Array) -> bool:
    """Whether all numbers are finite (and none as large as 1e19, in float32).

    The sum of squares is one call; isfinite and all take longer, and a buffer.
    """
    return math.isfinite(vector.dot(vector))


def _take(buffer: Array, values: Array, name: str) -> None:
    """Copy an observation to where it is computed with, if it is finite."""
    if values.shape != buffer.shape:
        raise LnnError(f"update: {name} of shape {values.shape} found, expected {buffer.shape}")
    buffer[...] = values
    if not _finite(buffer):
        raise LnnError(f"update: a number of {name} is not finite; nothing was used")


def _give(result: Array, state: Array) -> None:
    """Copy a result into the caller's state, if it is finite: a NaN would stay there for ever."""
    if not _finite(result):
        raise LnnError("the state would hold a number that is not finite; it was left as it was")
    state[...] = result


def effective(
    network: PolicySpec | Cell, arrays: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Parameters by name, with the wiring's masks applied: what the maths of a network takes."""
    masks = {name: arrays[name] for name in network.masks()}
    if isinstance(network, Cell):
        allowed = network.allowed(masks)
    else:
        allowed = {f"core.{name}": mask for name, mask in network.core.allowed(masks).items()}
    return {
        name: arrays[name] * allowed[name] if name in allowed else arrays[name]
        for name in network.parameters()
    }
