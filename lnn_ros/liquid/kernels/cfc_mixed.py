"""The closed-form cell behind a memory, over whole sequences: ``kernels.cfc`` and an LSTM's scan.

A layer without a memory is a CfC's. One with a memory is one scan: the gates of the memory hear the
layer's last activity, the heads of the closed form the memory's output. Both hear what feeds the
layer, by one matrix product over all steps. Arrays are (rows, T, B), or (rows, B) for one step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lnn_ros.liquid.cells.cfc import CfCMixed
from lnn_ros.liquid.kernels.cfc import MODES, cfc_layer, extent, gradients, heads
from lnn_ros.liquid.kernels.maths import exp, expm1, jit, sigmoid, softplus, tanh
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
def _remember(t: Any, ages: Any, a: Any, c: Any, h: Any, cs: Any, m: Any) -> None:
    """Fill the memory ``cs``, its output ``m`` and, as the backward pass needs them, its gates.

    The gates ``h``: value, input gate, rate of forgetting, output gate.
    """
    units, batch = c.shape
    one = h.dtype.type(1)
    for j in range(units):
        for b in range(batch):
            h[j, t, b] = tanh(a[j, b])
            h[units + j, t, b] = sigmoid(a[units + j, b])
        for b in range(batch):
            h[2 * units + j, t, b] = softplus(-(a[2 * units + j, b] + one))
            h[3 * units + j, t, b] = sigmoid(a[3 * units + j, b])
        for b in range(batch):
            kept = exp(-(h[2 * units + j, t, b] * ages[t, b]))
            new = c[j, b] * kept + h[j, t, b] * h[units + j, t, b]
            cs[j, t, b] = new
            m[j, b] = tanh(new) * h[3 * units + j, t, b]


@jit
def _forward(
    h: Any, loop: Any, hears: Any, before: Any, ages: Any,
    seen: Any, present: Any, kept: Any, keep: Any,
    x: Any, c: Any, tau: Any, size: Any, mode: Any, xs: Any, cs: Any,
) -> None:  # fmt: skip
    """Run the scan. ``h`` holds what the sources give, and in the end gates and heads.

    ``loop`` is what the memory's gates hear of the activity, ``hears`` what the heads hear of the
    memory. ``x`` and ``c`` are scratch and hold the state to begin with, ``x`` with wide lanes.
    """
    zero, (units, steps, batch) = h.dtype.type(0), xs.shape
    gates, shown = h[: 4 * units], h[4 * units :]
    a = np.zeros((max(loop.shape[0], 4 * units), wide(batch)), h.dtype)
    y = np.zeros((max(hears.shape[0], len(shown)), wide(batch)), h.dtype)
    m = np.zeros_like(x)
    for t in range(steps):
        begin(t, kept, keep, zero, x)
        begin(t, kept, keep, zero, c)
        fetch(t, gates, a)
        matmul_add(a, loop, x)
        _remember(t, ages, a, c, gates, cs, m)
        fetch(t, shown, y)
        matmul_add(y, hears, m)
        heads(t, mode, before, y, tau, size, shown, xs)
        hold(t, seen, present, x, xs)
        hold(t, seen, present, c, cs)
        fetch(t, xs, x)
        fetch(t, cs, c)


@jit
def _forget(
    t: Any, ages: Any, h: Any, c: Any, cs: Any, dm: Any,
    da: Any, dages: Any, dc: Any, ms: Any,
) -> None:  # fmt: skip
    """Fill the gradients ``da`` of the gates, ``dc`` of the memory before, and its output."""
    units, batch = c.shape
    one = h.dtype.type(1)
    for j in range(units):
        for b in range(batch):
            out, shown = h[3 * units + j, t, b], tanh(cs[j, t, b])
            ms[j, t, b] = shown * out
            da[3 * units + j, b] = dm[j, b] * shown * out * (one - out)
            dc[j, b] += dm[j, b] * out * (one - shown * shown)
        for b in range(batch):
            value, enter, rate = h[j, t, b], h[units + j, t, b], h[2 * units + j, t, b]
            d = dc[j, b]
            da[j, b] = d * enter * (one - value * value)
            da[units + j, b] = d * value * enter * (one - enter)
            dc[j, b] = d * exp(-(rate * ages[t, b]))
            # d softplus(-f) / df = -sigmoid(-f) = expm1(-softplus(-f)).
            left = dc[j, b] * c[j, b]
            da[2 * units + j, b] = -(left * ages[t, b]) * expm1(-rate)
            dages[t, b] -= left * rate


@jit
def _backward(
    loop: Any, hears: Any, before: Any, ages: Any, seen: Any, present: Any, kept: Any, keep: Any,
    x0: Any, c0: Any, xs: Any, cs: Any, h: Any, tau: Any, size: Any, mode: Any,
    dxs: Any, dcs: Any, dh: Any, held: Any, ms: Any, dbefore: Any, dages: Any,
    dtau: Any, dsize: Any, dx: Any, dc: Any,
) -> None:  # fmt: skip
    """Run the scan backwards; ``dxs`` or ``dcs`` without rows: zero.

    Fills ``dh``, the activities ``held`` before each step and the outputs ``ms`` of the memory,
    and the rest as ``kernels.cfc`` does.
    """
    zero, (units, steps, batch) = h.dtype.type(0), xs.shape
    gates, shown, dgates, dshown = h[: 4 * units], h[4 * units :], dh[: 4 * units], dh[4 * units :]
    x, c = np.empty((units, batch), h.dtype), np.empty((units, batch), h.dtype)
    past, past_c = np.empty((units, batch), h.dtype), np.empty((units, batch), h.dtype)
    da = np.zeros((4 * units, wide(batch)), h.dtype)
    dy = np.zeros((len(shown), wide(batch)), h.dtype)
    dm = np.zeros((max(hears.shape[0], units), wide(batch)), h.dtype)
    dlast = np.zeros((max(loop.shape[0], units), wide(batch)), h.dtype)
    for t in range(steps - 1, -1, -1):
        add(t, dxs, dx)
        add(t, dcs, dc)
        load(t - 1, x0, xs, x)
        load(t - 1, c0, cs, c)
        begin(t, kept, keep, zero, x)
        begin(t, kept, keep, zero, c)
        bypass(t, seen, present, dx, past)
        bypass(t, seen, present, dc, past_c)
        gradients(t, mode, before, shown, tau, size, dx, dy, dbefore, dtau, dsize)
        dm[:] = 0
        matmul_add(dm, hears, dy)
        _forget(t, ages, gates, c, cs, dm, da, dages, dc, ms)
        for j in range(units):
            for b in range(batch):
                dc[j, b] += past_c[j, b]
        store(t, x, held)
        store(t, da, dgates)
        store(t, dy, dshown)
        dlast[:] = 0
        hear_back(loop, da, dlast, past, dx)
        begin(t, kept, keep, zero, dx)
        begin(t, kept, keep, zero, dc)


class _Layer(torch.autograd.Function):
    """The scan of one layer with a memory."""

    @staticmethod
    def forward(
        ctx: Any,
        pre: Tensor,
        loop: Tensor,
        hears: Tensor,
        before: Tensor,
        ages: Tensor,
        x0: Tensor,
        c0: Tensor,
        tau: Tensor,
        size: Tensor,
        steps: Steps,
        mode: int,
    ) -> tuple[Tensor, Tensor]:
        xs, cs = (pre.new_empty(len(x0), *steps.shape) for _ in range(2))
        # What the sources give is needed once: gates and heads take its place.
        h = pre.detach().numpy().reshape(-1, *steps.shape)
        _forward(
            h, heard(loop, pre), heard(hears, pre), before.detach().numpy(), ages.detach().numpy(),
            *steps.masks, scratch(x0), c0.detach().numpy().copy(), tau.detach().numpy(),
            size.detach().numpy(), mode, xs.numpy(), cs.numpy(),
        )  # fmt: skip
        ctx.steps, ctx.mode, ctx.heads = steps, mode, h
        ctx.save_for_backward(loop, hears, before, ages, x0, c0, tau, size, xs, cs)
        ctx.set_materialize_grads(False)
        return xs, cs

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        loop, hears, before, ages, x0, c0, tau, size, xs, cs = ctx.saved_tensors
        h, units = ctx.heads, len(x0)
        none = np.zeros((0, *ctx.steps.shape), h.dtype)
        dh, held, ms = xs.new_empty(h.shape), torch.empty_like(xs), torch.empty_like(xs)
        dbefore, dages = torch.zeros_like(before), torch.zeros_like(ages)
        dtau, dsize, dx, dc = (torch.zeros_like(x0) for _ in range(4))
        _backward(
            heard_back(loop, xs), heard_back(hears, xs),
            before.detach().numpy(), ages.detach().numpy(), *ctx.steps.masks,
            *(part.detach().numpy() for part in (x0, c0, xs, cs)), h,
            tau.detach().numpy(), size.detach().numpy(), ctx.mode,
            *(none if d is None else d.contiguous().numpy() for d in grads),
            *(part.numpy() for part in (dh, held, ms, dbefore, dages, dtau, dsize, dx, dc)),
        )  # fmt: skip
        flat = dh.reshape(len(dh), -1)
        dloop = held.reshape(units, -1) @ flat[: 4 * units].T
        dhears = ms.reshape(units, -1) @ flat[4 * units :].T
        return flat, dloop, dhears, dbefore, dages, dx, dc, dtau.sum(1), dsize.sum(1), None, None


def rows(
    cell: CfCMixed,
    w: Mapping[str, Tensor],
    inputs: Tensor,
    dt: Tensor,
    state: Tensor,
    present: Tensor | None,
    keep: Tensor | None,
) -> list[Tensor] | None:
    """Run over sequences, as ``kernels.Kernel`` says.

    Backbones are left to the loop, and a memory of all layers at once, which ncps has: there no
    layer can be run before the next.
    """
    if cell.backbone_layers or (cell.compat != "" and len(cell.layers) > 1):
        return None
    given = Sequences.of(inputs, dt, state, present, keep)
    memory = given.start[cell.where("memory")]
    # A memory of ncps forgets per observation: as ours in a second.
    ages = torch.ones_like(given.before) if cell.compat != "" else given.before
    source, start, held = given.source, 0, 0
    found, cells = list[Tensor](), list[Tensor]()
    for layer, feed in cell.sources():
        stop, name = start + layer.units, layer.name
        x0 = given.start[start:stop]
        if cell.hears_itself(layer):
            gates = "memory.gates" if cell.compat != "" else f"{name}.memory.gates"
            weight, closed = w[f"{gates}.weight"], w[f"{name}.weight"]
            bias = torch.cat([w[f"{gates}.bias"], w[f"{name}.bias"]])
            both = torch.cat([weight[:feed], closed[:feed]], 1)
            xs, cs = _Layer.apply(
                torch.addmm(bias[:, None], both.t(), source), weight[feed:], closed[feed:],
                given.before, ages, x0, memory[held : held + layer.units],
                *extent(cell, w, layer), given.steps, MODES[cell.mode],
            )  # fmt: skip
            cells.append(cs)
            held += layer.units
        else:
            xs = cfc_layer(cell, w, layer, source, x0, given)
        found.append(xs)
        source, start = xs.reshape(layer.units, -1), stop
    return [*found, *cells, given.after[None]]
