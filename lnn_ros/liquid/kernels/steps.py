"""What all kernels share: masks, the time since the last observation, rows of a step."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lnn_ros.errors import LnnError
from lnn_ros.liquid.kernels.maths import jit

Flags = NDArray[np.bool_]
Backward = Callable[..., "tuple[Any, ...]"]


class _Refuse(torch.autograd.Function):
    """Pass on a gradient whose own derivative nobody knows."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *reasons: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise LnnError(
            "a second derivative of a fused sequence asked for, expected the first alone: set "
            "CellModule.fused = False to run the plain loop"
        )


def differentiable_once(backward: Backward) -> Backward:
    """Wrap the ``backward`` of a Function: a second derivative is an error, not a wrong number.

    torch's own ``once_differentiable`` takes a gradient for a constant where the gradient from
    above is one, although it depends on what was saved.
    """

    @wraps(backward)
    def wrapper(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        with torch.no_grad():
            found = backward(ctx, *grads)
        reasons = [t for t in (*ctx.saved_tensors, *grads) if t is not None and t.requires_grad]
        if not (torch.is_grad_enabled() and reasons):
            return found
        return tuple(d if d is None else _Refuse.apply(d, *reasons) for d in found)

    return wrapper


class Steps(NamedTuple):
    """Where something was observed, and where an episode goes on.

    Attributes
    ----------
    shape : tuple of int
        Steps and sequences, (T, B).
    masks : tuple of ndarray of bool
        Four, as the scans take them: ``seen`` and ``present``, ``kept`` and ``keep``. The second
        and last are (T, B), or (0, 0) where all are true; the others (T,) tell whether all
        sequences of a step have an observation, go on: the common case is fast.
    """

    shape: tuple[int, ...]
    masks: tuple[Flags, ...]

    @staticmethod
    def of(dt: Tensor, present: Tensor | None, keep: Tensor | None) -> Steps:
        """Take over masks as ``CellModule.states`` has them."""
        found: list[Flags] = []
        for mask in (present, keep):
            if mask is None:
                found += [np.ones(len(dt), np.bool_), np.zeros((0, 0), np.bool_)]
            else:
                flags = np.ascontiguousarray(mask.expand(dt.shape).numpy())
                found += [np.asarray(flags.all(1)), flags]
        return Steps(tuple(dt.shape), tuple(found))


@jit
def _forward(
    dt: Any, first: Any, seen: Any, present: Any, kept: Any, keep: Any, before: Any, after: Any
) -> None:
    now = first.copy()
    for t in range(dt.shape[0]):
        for b in range(dt.shape[1]):
            if not kept[t] and not keep[t, b]:
                now[b] = 0
            now[b] += dt[t, b]
            before[t, b] = now[b]
            if seen[t] or present[t, b]:
                now[b] = 0
            after[t, b] = now[b]


@jit
def _backward(
    dbefore: Any, dafter: Any, seen: Any, present: Any, kept: Any, keep: Any, ddt: Any, dfirst: Any
) -> None:
    zero = ddt.dtype.type(0)
    for t in range(ddt.shape[0] - 1, -1, -1):
        for b in range(ddt.shape[1]):
            d = dfirst[b] + dafter[t, b]
            if seen[t] or present[t, b]:
                d = zero
            d += dbefore[t, b]
            ddt[t, b] = d
            if not kept[t] and not keep[t, b]:
                d = zero
            dfirst[b] = d


class _Elapsed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dt: Tensor, first: Tensor, steps: Steps) -> tuple[Tensor, Tensor]:
        before, after = torch.empty_like(dt), torch.empty_like(dt)
        start = first.detach().numpy()
        _forward(dt.detach().numpy(), start, *steps.masks, before.numpy(), after.numpy())
        ctx.steps = steps
        return before, after

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, dbefore: Tensor, dafter: Tensor) -> tuple[Tensor, Tensor, None]:
        ddt, dfirst = torch.empty_like(dbefore), torch.zeros_like(dbefore[0])
        _backward(
            dbefore.contiguous().numpy(), dafter.contiguous().numpy(), *ctx.steps.masks,
            ddt.numpy(), dfirst.numpy(),
        )  # fmt: skip
        return ddt, dfirst, None


def elapsed(dt: Tensor, first: Tensor, steps: Steps) -> tuple[Tensor, Tensor]:
    """Return the seconds since the last observation before and after each step, both (T, B)."""
    before, after = _Elapsed.apply(dt, first.contiguous(), steps)
    return before, after


@jit
def begin(t: Any, all_kept: Any, keep: Any, value: Any, x: Any) -> None:
    """Set to ``value`` what an episode's begin drops."""
    if not all_kept[t]:
        for b in range(keep.shape[1]):
            if not keep[t, b]:
                for j in range(x.shape[0]):
                    x[j, b] = value


@jit
def load(t: Any, start: Any, rows: Any, out: Any) -> None:
    """Copy the rows after step ``t``; before the first step, those of the start."""
    for j in range(out.shape[0]):
        if t < 0:
            for b in range(out.shape[1]):
                out[j, b] = start[j, b]
        else:
            for b in range(out.shape[1]):
                out[j, b] = rows[j, t, b]


@jit
def add(t: Any, rows: Any, out: Any) -> None:
    """Add the rows of step ``t``; no rows: zero."""
    for j in range(rows.shape[0]):
        for b in range(rows.shape[2]):
            out[j, b] += rows[j, t, b]
