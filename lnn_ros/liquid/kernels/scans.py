"""What the scans of layers share: rows of a step, missing observations, a layer's own weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from lnn_ros.liquid.kernels.maths import jit
from lnn_ros.liquid.kernels.products import in_fours, matmul_add, wide
from lnn_ros.liquid.kernels.steps import Steps, elapsed


@jit
def fetch(t: Any, rows: Any, out: Any) -> None:
    """Copy the rows of step ``t``; ``out`` may have more rows and lanes."""
    for j in range(rows.shape[0]):
        for b in range(rows.shape[2]):
            out[j, b] = rows[j, t, b]


@jit
def store(t: Any, x: Any, rows: Any) -> None:
    """Make ``x`` the rows of step ``t``; it may have more rows and lanes."""
    for j in range(rows.shape[0]):
        for b in range(rows.shape[2]):
            rows[j, t, b] = x[j, b]


@jit
def hold(t: Any, seen: Any, present: Any, old: Any, rows: Any) -> None:
    """Keep what was there where nothing was observed."""
    if not seen[t]:
        for b in range(rows.shape[2]):
            if not present[t, b]:
                for j in range(rows.shape[0]):
                    rows[j, t, b] = old[j, b]


@jit
def bypass(t: Any, seen: Any, present: Any, d: Any, past: Any) -> None:
    """Move the gradients that pass by the update, where nothing was observed, to ``past``."""
    past[:] = 0
    if not seen[t]:
        for b in range(d.shape[1]):
            if not present[t, b]:
                for j in range(d.shape[0]):
                    past[j, b] = d[j, b]
                    d[j, b] = 0


@jit
def hear_back(loop: Any, da: Any, dlast: Any, past: Any, dx: Any) -> None:
    """Fill the gradient ``dx`` of the activities that a layer heard of itself.

    ``da`` is that of its gates, ``dlast`` what reaches the activities besides (it is overwritten),
    ``past`` as of ``bypass``.
    """
    matmul_add(dlast, loop, da)
    for j in range(dx.shape[0]):
        for b in range(dx.shape[1]):
            dx[j, b] = dlast[j, b] + past[j, b]


def heard(loop: Tensor | None, like: Tensor) -> Any:
    """Return a layer's own weights (neurons, gates) as a forward scan wants them: None, no rows."""
    return heard_back(None if loop is None else loop.t(), like)


def heard_back(loop: Tensor | None, like: Tensor) -> Any:
    """Return them as a backward scan wants them."""
    if loop is None:
        return np.zeros((0, 0), like.detach().numpy().dtype)
    return in_fours(loop.detach().numpy())


def scratch(start: Tensor) -> Any:
    """Return a copy with lanes as ``matmul_add`` wants them."""
    x = np.zeros((len(start), wide(start.shape[1])), start.detach().numpy().dtype)
    x[:, : start.shape[1]] = start.detach().numpy()
    return x


class Sequences(NamedTuple):
    """The arguments of a kernel, as the scans want them.

    Attributes
    ----------
    steps : Steps
    dt : Tensor, shape (T, B)
    start : Tensor, shape (state_size, B)
    before, after : Tensor, shape (T, B)
        Seconds since the last observation before and after each step.
    source : Tensor, shape (inputs, T B)
        What feeds the first layer.
    """

    steps: Steps
    dt: Tensor
    start: Tensor
    before: Tensor
    after: Tensor
    source: Tensor

    @staticmethod
    def of(
        inputs: Tensor, dt: Tensor, state: Tensor, present: Tensor | None, keep: Tensor | None
    ) -> Sequences:
        """Take over the arguments of ``CellModule.states``."""
        steps, dt, start = Steps.of(dt, present, keep), dt.contiguous(), state.t().contiguous()
        source = inputs.reshape(-1, inputs.shape[-1]).t()
        return Sequences(steps, dt, start, *elapsed(dt, start[-1], steps), source)
