"""What every export begins with: the maths of a cell or policy as a program, weights, limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.checkpoint import CellCheckpoint
from lnn_ros.liquid.programs.trace import Program, trace


def traced(
    kind: str,
    function: Callable[..., Mapping[str, Any]],
    inputs: Mapping[str, Sequence[int]],
) -> Program:
    """Return what a function of a cell's or policy's maths does (``liquid.programs.trace.trace``).

    Raises
    ------
    LnnError
        When it does what no program can, such as a number of steps that depends on its data;
        ``kind`` names the cell.
    """
    try:
        return trace(function, inputs)
    except LnnError as error:
        raise LnnError(f"cell {kind} cannot be exported: {error}") from error


def cell_weights(checkpoint: CellCheckpoint) -> dict[str, NDArray[Any]]:
    """Parameters of a cell by name, with the wiring's masks applied: what its maths takes."""
    arrays, cell = checkpoint.arrays, checkpoint.cell
    allowed = cell.allowed({name: arrays[name] for name in cell.masks()})
    return {
        name: arrays[f"core.{name}"] * allowed[name] if name in allowed else arrays[f"core.{name}"]
        for name in cell.parameters()
    }


def inside(limits: Sequence[float]) -> NDArray[np.float32]:
    """Return limits as float32, rounded towards zero: never beyond what was asked."""
    rounded = np.array(limits, np.float32)
    beyond = np.abs(rounded.astype(np.float64)) > np.abs(np.array(limits, np.float64))
    return np.where(beyond, np.nextafter(rounded, np.float32(0)), rounded)
