"""The closed-form cell over whole sequences.

Between observations the activity is held, so a step hears the last one. What feeds a layer enters
by one matrix product over all steps; a layer that does not hear itself needs no more than that.
Arrays are (rows, T, B), or (rows, B) for one step: the batch is the contiguous axis, which LLVM
vectorises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lnn_ros.liquid.cells.base import Layer
from lnn_ros.liquid.cells.cfc import CfC
from lnn_ros.liquid.kernels.maths import exp, jit, sigmoid, tanh
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

PURE, NO_GATE, DEFAULT = 0, 1, 2
MODES = {"pure": PURE, "no_gate": NO_GATE, "default": DEFAULT}


@jit
def heads(t: Any, mode: Any, before: Any, a: Any, tau: Any, size: Any, h: Any, x: Any) -> None:
    """Fill the activity ``x`` and, as the backward pass needs them, the heads ``h`` of a step.

    The heads: both targets, ``a`` of the time gate, and the gate; "pure": ``f1`` alone.
    """
    units, batch = x.shape[0], before.shape[1]
    for j in range(units):
        if mode == PURE:
            for b in range(batch):
                y = a[j, b]
                h[j, t, b] = y
                x[j, t, b] = size[j] - size[j] * (y * exp(-(tau[j] + abs(y)) * before[t, b]))
            continue
        for b in range(batch):
            h[j, t, b] = tanh(a[j, b])
            h[units + j, t, b] = tanh(a[units + j, b])
        for b in range(batch):
            slope = a[2 * units + j, b]
            h[2 * units + j, t, b] = slope
            h[3 * units + j, t, b] = sigmoid(slope * before[t, b] + a[3 * units + j, b])
        if mode == NO_GATE:
            for b in range(batch):
                x[j, t, b] = h[j, t, b] + h[3 * units + j, t, b] * h[units + j, t, b]
        else:
            for b in range(batch):
                first = h[j, t, b]
                x[j, t, b] = first + h[3 * units + j, t, b] * (h[units + j, t, b] - first)


@jit
def _forward(
    h: Any, loop: Any, before: Any, seen: Any, present: Any, kept: Any, keep: Any,
    x: Any, tau: Any, size: Any, mode: Any, xs: Any,
) -> None:  # fmt: skip
    """Run the scan. ``h`` holds what the sources give, and in the end the heads.

    ``x`` is scratch, with lanes as ``wide`` says, and holds the activity to begin with.
    """
    zero = h.dtype.type(0)
    rows, batch = h.shape[0], before.shape[1]
    a = np.zeros((max(loop.shape[0], rows), wide(batch)), h.dtype)
    for t in range(before.shape[0]):
        begin(t, kept, keep, zero, x)
        fetch(t, h, a)
        matmul_add(a, loop, x)
        heads(t, mode, before, a, tau, size, h, xs)
        hold(t, seen, present, x, xs)
        fetch(t, xs, x)


@jit
def gradients(
    t: Any, mode: Any, before: Any, h: Any, tau: Any, size: Any, dx: Any,
    da: Any, dbefore: Any, dtau: Any, dsize: Any,
) -> None:  # fmt: skip
    """Fill the gradients ``da`` of what the heads were made of."""
    units, batch = tau.shape[0], before.shape[1]
    one = dx.dtype.type(1)
    for j in range(units):
        if mode == PURE:
            for b in range(batch):
                y = h[j, t, b]
                rate = tau[j] + abs(y)
                decay = exp(-rate * before[t, b])
                pull = size[j] * dx[j, b] * decay
                sign = -one if y < 0 else one
                da[j, b] = -pull * (one - sign * y * before[t, b])
                dbefore[t, b] += pull * y * rate
                dsize[j, b] += dx[j, b] * (one - y * decay)
                dtau[j, b] += pull * y * before[t, b]
            continue
        for b in range(batch):
            first, second, share = h[j, t, b], h[units + j, t, b], h[3 * units + j, t, b]
            d = dx[j, b]
            if mode == NO_GATE:
                da[j, b] = d * (one - first * first)
                dshare = d * second
            else:
                da[j, b] = d * (one - share) * (one - first * first)
                dshare = d * (second - first)
            da[units + j, b] = d * share * (one - second * second)
            da[3 * units + j, b] = dshare * share * (one - share)
        for b in range(batch):
            d = da[3 * units + j, b]
            da[2 * units + j, b] = d * before[t, b]
            dbefore[t, b] += d * h[2 * units + j, t, b]


@jit
def _backward(
    loop: Any, before: Any, seen: Any, present: Any, kept: Any, keep: Any,
    x0: Any, xs: Any, h: Any, tau: Any, size: Any, mode: Any, dxs: Any,
    dh: Any, held: Any, dbefore: Any, dtau: Any, dsize: Any, dx: Any,
) -> None:  # fmt: skip
    """Run the scan backwards.

    Fills the gradients ``dh`` of what went into the heads, the activities ``held`` before each
    step, and ``dbefore``, ``dtau`` and ``dsize`` (one for each sequence), and ``dx`` of the start.
    """
    zero = h.dtype.type(0)
    batch, rows, units = before.shape[1], h.shape[0], xs.shape[0]
    x = np.empty((units, batch), h.dtype)
    da = np.zeros((rows, wide(batch)), h.dtype)
    dlast = np.zeros((max(loop.shape[0], units), wide(batch)), h.dtype)
    past = np.empty((units, batch), h.dtype)
    for t in range(before.shape[0] - 1, -1, -1):
        add(t, dxs, dx)
        load(t - 1, x0, xs, x)
        begin(t, kept, keep, zero, x)
        bypass(t, seen, present, dx, past)
        gradients(t, mode, before, h, tau, size, dx, da, dbefore, dtau, dsize)
        store(t, da, dh)
        store(t, x, held)
        dlast[:] = 0
        hear_back(loop, da, dlast, past, dx)
        begin(t, kept, keep, zero, dx)


class _Layer(torch.autograd.Function):
    """The scan of one layer."""

    @staticmethod
    def forward(
        ctx: Any,
        pre: Tensor,
        loop: Tensor | None,
        before: Tensor,
        x0: Tensor,
        tau: Tensor,
        size: Tensor,
        steps: Steps,
        mode: int,
    ) -> Tensor:
        xs = pre.new_empty(len(x0), *steps.shape)
        # What the sources give is needed once: the heads take its place.
        h = pre.detach().numpy().reshape(-1, *steps.shape)
        _forward(
            h, heard(loop, pre), before.detach().numpy(), *steps.masks, scratch(x0),
            tau.detach().numpy(), size.detach().numpy(), mode, xs.numpy(),
        )  # fmt: skip
        ctx.steps, ctx.mode, ctx.heads = steps, mode, h
        ctx.save_for_backward(loop, before, x0, tau, size, xs)
        return xs

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, dxs: Tensor) -> tuple[Any, ...]:
        loop, before, x0, tau, size, xs = ctx.saved_tensors
        h = ctx.heads
        dh, held = xs.new_empty(h.shape), torch.empty_like(xs)
        dbefore, dx = torch.zeros_like(before), torch.zeros_like(x0)
        dtau, dsize = torch.zeros_like(x0), torch.zeros_like(x0)
        _backward(
            heard_back(loop, xs), before.detach().numpy(), *ctx.steps.masks,
            *(part.detach().numpy() for part in (x0, xs)), h,
            tau.detach().numpy(), size.detach().numpy(), ctx.mode, dxs.contiguous().numpy(),
            *(part.numpy() for part in (dh, held, dbefore, dtau, dsize, dx)),
        )  # fmt: skip
        flat = dh.reshape(len(dh), -1)
        dloop = None if loop is None else held.reshape(len(x0), -1) @ flat.T
        return flat, dloop, dbefore, dx, dtau.sum(1), dsize.sum(1), None, None


def extent(cell: CfC, w: Mapping[str, Tensor], layer: Layer) -> tuple[Tensor, Tensor]:
    """Return the slowest rates and the amplitudes of a layer, which "pure" alone has."""
    if cell.mode == "pure":
        return w[f"{layer.name}.w_tau"].abs(), w[f"{layer.name}.A"]
    none = w[f"{layer.name}.bias"].new_zeros(layer.units)
    return none, none


def cfc_layer(
    cell: CfC,
    w: Mapping[str, Tensor],
    layer: Layer,
    source: Tensor,
    start: Tensor,
    given: Sequences,
) -> Tensor:
    """Run one layer; ``source`` is what feeds it, ``start`` its activity (units, B) before."""
    weight, feed = w[f"{layer.name}.weight"], len(source)
    pre = torch.addmm(w[f"{layer.name}.bias"][:, None], weight[:feed].t(), source)
    loop = weight[feed:] if cell.hears_itself(layer) else None
    xs: Tensor = _Layer.apply(
        pre, loop, given.before, start, *extent(cell, w, layer), given.steps, MODES[cell.mode]
    )
    return xs


def rows(
    cell: CfC,
    w: Mapping[str, Tensor],
    inputs: Tensor,
    dt: Tensor,
    state: Tensor,
    present: Tensor | None,
    keep: Tensor | None,
) -> list[Tensor] | None:
    """Run over sequences, as ``kernels.Kernel`` says.

    Backbones, and heads that are linear as those of keras, are left to the loop.
    """
    if cell.backbone_layers or cell.compat not in ("", "ncps"):
        return None
    given = Sequences.of(inputs, dt, state, present, keep)
    source, found, start = given.source, [], 0
    for layer, _ in cell.sources():
        stop = start + layer.units
        found.append(cfc_layer(cell, w, layer, source, given.start[start:stop], given))
        source, start = found[-1].reshape(layer.units, -1), stop
    return [*found, given.after[None]]
