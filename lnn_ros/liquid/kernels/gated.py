"""GRU and LSTM over whole sequences, with any wiring and masks; as in ``kernels.cfc``.

What feeds a layer enters by one matrix product over all steps, and only its own past is sequential.
A GRU's past may fade before the gates hear it, as that of GRU-D does (``kernels.gru_d``).
Arrays are (rows, T, B), or (rows, B) for one step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lnn_ros.liquid.cells.base import Layer
from lnn_ros.liquid.cells.gated import Gated
from lnn_ros.liquid.kernels.maths import faded, jit, sigmoid, tanh
from lnn_ros.liquid.kernels.products import matmul_add, wide
from lnn_ros.liquid.kernels.scans import (
    Sequences,
    bypass,
    fetch,
    hear_back,
    heard,
    heard_back,
    hold,
    scratch,
    store,
)
from lnn_ros.liquid.kernels.steps import Steps, add, begin, differentiable_once, load


@jit
def _fade(t: Any, decay: Any, x: Any, old: Any) -> None:
    """Fill ``old`` with what the gates hear of the activities ``x``; no rows of ``decay``: keep."""
    for j in range(decay.shape[0]):
        for b in range(decay.shape[2]):
            old[j, b] = x[j, b] * faded(decay[j, t, b])


@jit
def _fade_back(t: Any, decay: Any, x: Any, dlast: Any, past: Any, ddecay: Any, dx: Any) -> None:
    """Replace ``dx`` of the faded activities, as ``hear_back`` gives it, by that before."""
    zero = dx.dtype.type(0)
    for j in range(decay.shape[0]):
        for b in range(decay.shape[2]):
            dlast[j, b] *= faded(decay[j, t, b])
        for b in range(decay.shape[2]):
            dx[j, b] = dlast[j, b] + past[j, b]
            ddecay[j, t, b] = -(dlast[j, b] * x[j, b]) if decay[j, t, b] > zero else zero


@jit
def _gru_forward(
    pre: Any, loop: Any, bias: Any, decay: Any, seen: Any, present: Any, kept: Any, keep: Any,
    x: Any, xs: Any, h: Any,
) -> None:  # fmt: skip
    """Run the scan: ``pre`` is candidate, reset, update; ``h`` these and the recurrent product."""
    zero, (units, steps, batch) = pre.dtype.type(0), xs.shape
    a, gates = np.zeros((max(loop.shape[0], 3 * units), wide(batch)), pre.dtype), pre[units:]
    old = np.zeros_like(x) if decay.shape[0] else x
    for t in range(steps):
        begin(t, kept, keep, zero, x)
        _fade(t, decay, x, old)
        fetch(t, gates, a)
        for j in range(units):
            for b in range(batch):
                a[2 * units + j, b] = bias[j]
        matmul_add(a, loop, old)
        for j in range(units):
            for b in range(batch):
                reset, update = sigmoid(a[j, b]), sigmoid(a[units + j, b])
                h[units + j, t, b] = reset
                h[2 * units + j, t, b] = update
                h[3 * units + j, t, b] = a[2 * units + j, b]
            for b in range(batch):
                inner = h[units + j, t, b] * a[2 * units + j, b]
                new = tanh(pre[j, t, b] + inner)
                h[j, t, b] = new
                xs[j, t, b] = new + h[2 * units + j, t, b] * (old[j, b] - new)
        hold(t, seen, present, x, xs)
        fetch(t, xs, x)


@jit
def _gru_backward(
    loop: Any, decay: Any, seen: Any, present: Any, kept: Any, keep: Any,
    x0: Any, xs: Any, h: Any, dxs: Any, dh: Any, held: Any, ddecay: Any, dx: Any,
) -> None:  # fmt: skip
    """Run the scan backwards: ``dh`` is candidate, reset, update, recurrent product."""
    zero, one, (units, steps, batch) = dx.dtype.type(0), dx.dtype.type(1), xs.shape
    x, past = np.empty((units, batch), dx.dtype), np.empty((units, batch), dx.dtype)
    old = np.empty((units, batch), dx.dtype) if decay.shape[0] else x
    da = np.zeros((3 * units, wide(batch)), dx.dtype)
    dlast, dgates = np.zeros((max(loop.shape[0], units), wide(batch)), dx.dtype), dh[units:]
    for t in range(steps - 1, -1, -1):
        add(t, dxs, dx)
        load(t - 1, x0, xs, x)
        begin(t, kept, keep, zero, x)
        _fade(t, decay, x, old)
        bypass(t, seen, present, dx, past)
        for j in range(units):
            for b in range(batch):
                new, reset, update = h[j, t, b], h[units + j, t, b], h[2 * units + j, t, b]
                d = dx[j, b]
                inner = d * (one - update) * (one - new * new)
                dh[j, t, b] = inner
                da[j, b] = inner * h[3 * units + j, t, b] * reset * (one - reset)
                da[2 * units + j, b] = inner * reset
                da[units + j, b] = d * (old[j, b] - new) * update * (one - update)
            for b in range(batch):
                dlast[j, b] = dx[j, b] * h[2 * units + j, t, b]
        store(t, old, held)
        store(t, da, dgates)
        hear_back(loop, da, dlast, past, dx)
        _fade_back(t, decay, x, dlast, past, ddecay, dx)
        begin(t, kept, keep, zero, dx)


@jit
def _lstm_forward(
    h: Any, loop: Any, seen: Any, present: Any, kept: Any, keep: Any,
    x: Any, c: Any, xs: Any, cs: Any,
) -> None:  # fmt: skip
    """Run the scan: ``h`` holds input, forget, candidate, output; first what the sources give."""
    zero, (units, steps, batch) = h.dtype.type(0), xs.shape
    a = np.zeros((max(loop.shape[0], 4 * units), wide(batch)), h.dtype)
    for t in range(steps):
        begin(t, kept, keep, zero, x)
        begin(t, kept, keep, zero, c)
        fetch(t, h, a)
        matmul_add(a, loop, x)
        for j in range(units):
            for b in range(batch):
                h[j, t, b] = sigmoid(a[j, b])
                h[units + j, t, b] = sigmoid(a[units + j, b])
            for b in range(batch):
                h[2 * units + j, t, b] = tanh(a[2 * units + j, b])
                h[3 * units + j, t, b] = sigmoid(a[3 * units + j, b])
            for b in range(batch):
                new = h[units + j, t, b] * c[j, b] + h[j, t, b] * h[2 * units + j, t, b]
                cs[j, t, b] = new
                xs[j, t, b] = h[3 * units + j, t, b] * tanh(new)
        hold(t, seen, present, x, xs)
        hold(t, seen, present, c, cs)
        fetch(t, xs, x)
        fetch(t, cs, c)


@jit
def _lstm_backward(
    loop: Any, seen: Any, present: Any, kept: Any, keep: Any,
    x0: Any, c0: Any, xs: Any, cs: Any, h: Any, dxs: Any, dcs: Any,
    dh: Any, held: Any, dx: Any, dc: Any,
) -> None:  # fmt: skip
    """Run the scan backwards; ``dxs`` or ``dcs`` without rows: zero."""
    zero, one, (units, steps, batch) = dx.dtype.type(0), dx.dtype.type(1), xs.shape
    x, c = np.empty((units, batch), dx.dtype), np.empty((units, batch), dx.dtype)
    past, kept_c = np.empty((units, batch), dx.dtype), np.empty((units, batch), dx.dtype)
    da = np.zeros((4 * units, wide(batch)), dx.dtype)
    dlast = np.zeros((max(loop.shape[0], units), wide(batch)), dx.dtype)
    for t in range(steps - 1, -1, -1):
        add(t, dxs, dx)
        add(t, dcs, dc)
        load(t - 1, x0, xs, x)
        load(t - 1, c0, cs, c)
        begin(t, kept, keep, zero, x)
        begin(t, kept, keep, zero, c)
        bypass(t, seen, present, dx, past)
        bypass(t, seen, present, dc, kept_c)
        for j in range(units):
            for b in range(batch):
                out, shown = h[3 * units + j, t, b], tanh(cs[j, t, b])
                da[3 * units + j, b] = dx[j, b] * shown * out * (one - out)
                dc[j, b] += dx[j, b] * out * (one - shown * shown)
            for b in range(batch):
                enter, forget, new = h[j, t, b], h[units + j, t, b], h[2 * units + j, t, b]
                d = dc[j, b]
                da[j, b] = d * new * enter * (one - enter)
                da[units + j, b] = d * c[j, b] * forget * (one - forget)
                da[2 * units + j, b] = d * enter * (one - new * new)
                dc[j, b] = d * forget + kept_c[j, b]
        store(t, x, held)
        store(t, da, dh)
        dlast[:] = 0
        hear_back(loop, da, dlast, past, dx)
        begin(t, kept, keep, zero, dx)
        begin(t, kept, keep, zero, dc)


def _three(rows: Tensor | None, like: Tensor) -> Any:
    """Return rows as (rows, T, B); None: no rows."""
    if rows is None:
        return np.zeros((0, *like.shape[1:]), like.detach().numpy().dtype)
    return rows.detach().numpy().reshape(-1, *like.shape[1:])


class _GRU(torch.autograd.Function):
    """The scan of one layer."""

    @staticmethod
    def forward(
        ctx: Any,
        pre: Tensor,
        loop: Tensor | None,
        bias: Tensor,
        decay: Tensor | None,
        x0: Tensor,
        steps: Steps,
    ) -> Tensor:
        rows = pre.detach().numpy().reshape(-1, *steps.shape)
        xs = pre.new_empty(len(x0), *steps.shape)
        h = np.empty((4 * len(x0), *steps.shape), rows.dtype)
        _gru_forward(
            rows, heard(loop, pre), bias.detach().numpy(), _three(decay, xs), *steps.masks,
            scratch(x0), xs.numpy(), h,
        )  # fmt: skip
        ctx.steps, ctx.heads = steps, h
        ctx.save_for_backward(loop, decay, x0, xs)
        return xs

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, dxs: Tensor) -> tuple[Any, ...]:
        loop, decay, x0, xs = ctx.saved_tensors
        h, units = ctx.heads, len(x0)
        dh, held, dx = xs.new_empty(h.shape), torch.empty_like(xs), torch.zeros_like(x0)
        ddecay = None if decay is None else torch.empty_like(decay)
        _gru_backward(
            heard_back(loop, xs), _three(decay, xs), *ctx.steps.masks,
            x0.detach().numpy(), xs.detach().numpy(), h, dxs.contiguous().numpy(),
            dh.numpy(), held.numpy(), _three(ddecay, xs), dx.numpy(),
        )  # fmt: skip
        flat = dh.reshape(len(dh), -1)
        dloop = None if loop is None else held.reshape(units, -1) @ flat[units:].T
        return flat[: 3 * units], dloop, flat[3 * units :].sum(1), ddecay, dx, None


class _LSTM(torch.autograd.Function):
    """The scan of one layer."""

    @staticmethod
    def forward(
        ctx: Any, pre: Tensor, loop: Tensor | None, x0: Tensor, c0: Tensor, steps: Steps
    ) -> tuple[Tensor, Tensor]:
        # What the sources give is needed once: the gates take its place.
        h = pre.detach().numpy().reshape(-1, *steps.shape)
        xs, cs = (pre.new_empty(len(x0), *steps.shape) for _ in range(2))
        c = c0.detach().numpy().copy()
        _lstm_forward(
            h, heard(loop, pre), *steps.masks, scratch(x0), c, xs.numpy(), cs.numpy()
        )  # fmt: skip
        ctx.steps, ctx.heads = steps, h
        ctx.save_for_backward(loop, x0, c0, xs, cs)
        ctx.set_materialize_grads(False)
        return xs, cs

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        loop, x0, c0, xs, cs = ctx.saved_tensors
        h, units = ctx.heads, len(x0)
        none = np.zeros((0, *ctx.steps.shape), h.dtype)
        dh, held = xs.new_empty(h.shape), torch.empty_like(xs)
        dx, dc = torch.zeros_like(x0), torch.zeros_like(c0)
        _lstm_backward(
            heard_back(loop, xs), *ctx.steps.masks,
            *(part.detach().numpy() for part in (x0, c0, xs, cs)), h,
            *(none if d is None else d.contiguous().numpy() for d in grads),
            *(part.numpy() for part in (dh, held, dx, dc)),
        )  # fmt: skip
        flat = dh.reshape(len(dh), -1)
        dloop = None if loop is None else held.reshape(units, -1) @ flat.T
        return flat, dloop, dx, dc, None


Weights = Mapping[str, Tensor]
Scan = Callable[[Weights, Layer, Tensor, "list[Tensor]", Steps], "list[Tensor]"]
"""Of one layer: weights, layer, what feeds it, the start of each part of its state, steps."""


def gru_layer(
    w: Weights,
    layer: Layer,
    source: Tensor,
    start: list[Tensor],
    steps: Steps,
    decay: Tensor | None = None,
) -> list[Tensor]:
    """Run one layer, a ``Scan``; its past fades by exp(-max(0, ``decay``)), shape (units, T B)."""
    feed, gates = len(source), [f"{layer.name}.{g}" for g in ("candidate", "reset", "update")]
    new, reset, update = (w.get(f"{gate}.weight") for gate in gates)
    assert new is not None and update is not None
    loop, bias = None, new.new_zeros(layer.units)
    biases = [w.get(f"{gate}.bias", bias) for gate in gates]
    if reset is None:  # no loop to reset
        reset = torch.zeros_like(new)
    else:
        recurrent = f"{layer.name}.recurrent"
        loop = torch.cat([reset[feed:], update[feed:], w[f"{recurrent}.weight"]], 1)
        bias = w[f"{recurrent}.bias"]
    weight = torch.cat([new, reset[:feed], update[:feed]], 1)
    pre = torch.addmm(torch.cat(biases)[:, None], weight.t(), source)
    return [_GRU.apply(pre, loop, bias, decay, *start, steps)]


def _lstm(
    w: Weights, layer: Layer, source: Tensor, start: list[Tensor], steps: Steps
) -> list[Tensor]:
    feed = len(source)
    gates = [f"{layer.name}.{g}" for g in ("input", "forget", "candidate", "output")]
    weight = torch.cat([w[f"{gate}.weight"] for gate in gates], 1)
    bias = torch.cat([w[f"{gate}.bias"] for gate in gates])
    pre = torch.addmm(bias[:, None], weight[:feed].t(), source)
    loop = weight[feed:] if layer.recurrent else None
    return list(_LSTM.apply(pre, loop, *start, steps))


def _rows(
    scan: Scan,
    cell: Gated,
    w: Weights,
    inputs: Tensor,
    dt: Tensor,
    state: Tensor,
    present: Tensor | None,
    keep: Tensor | None,
) -> list[Tensor]:
    """Run over sequences, as ``kernels.Kernel`` says."""
    given = Sequences.of(inputs, dt, state, present, keep)
    source = given.source
    if cell.dt_input:
        source = torch.cat([source, torch.log1p(given.before).reshape(1, -1)])
    parts = [given.start[cell.where(part)] for part in cell.parts() if part != "elapsed"]
    found: list[list[Tensor]] = []
    first = 0
    for layer, _ in cell.sources():
        start = [part[first : first + layer.units] for part in parts]
        found.append(scan(w, layer, source, start, given.steps))
        source, first = found[-1][0].reshape(layer.units, -1), first + layer.units
    return [*(part for parts in zip(*found, strict=True) for part in parts), given.after[None]]


gru = partial(_rows, gru_layer)
lstm = partial(_rows, _lstm)
