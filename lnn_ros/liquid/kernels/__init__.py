"""Whole sequences in one go: fused forward and backward passes of the cells, for training.

Importing this package imports neither torch nor numba; ``find`` imports a kernel when it is used.
How they work and what they gain: docs/explanation/training-speed.md.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Kernel = Callable[..., "list[Tensor] | None"]
"""``rows(cell, w, inputs, dt, state, present, keep)``: the pieces of all states, in the order of
``cell.parts()``, each (size, T, B); None where it does not know the cell's options. Arguments as
of ``CellModule.states``, ``w`` as ``CellModule.weights`` gives it."""

KERNELS = {
    "cfc": ("cfc", "rows"),
    "cfc_mixed": ("cfc_mixed", "rows"),
    "flow": ("flow", "rows"),
    "gru": ("gated", "gru"),
    "gru_d": ("gru_d", "rows"),
    "lstm": ("gated", "lstm"),
    "ltc": ("ltc", "rows"),
}
"""Kinds of cells that have a kernel: its module and function."""
SHORTEST = 4
"""Steps from which a kernel is worth its start."""


@cache
def _kernel(kind: str) -> Kernel:
    module, name = KERNELS[kind]
    rows: Kernel = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return rows


@cache
def _numba() -> bool:
    return importlib.util.find_spec("numba") is not None


def find(kind: str, inputs: Tensor, dt: Tensor, state: Tensor) -> Kernel | None:
    """Return the kernel of a kind of cell for these sequences; None: run the loop."""
    import torch

    if kind not in KERNELS or len(inputs) < SHORTEST or not _numba():
        return None
    if inputs.dtype not in (torch.float32, torch.float64) or 0 in inputs.shape:
        return None
    if any(x.device.type != "cpu" or x.dtype != inputs.dtype for x in (inputs, dt, state)):
        return None
    return _kernel(kind)
