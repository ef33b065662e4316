"""The flow cell over whole sequences.

A layer's gates hear what feeds it and, in a recurrent layer, its own activities (the ``echo``). The
first part is one matrix product over all steps; only the second is sequential, and the scan below
does just that. A layer that does not hear itself has its gates at once: its scan is affine. The
backward pass recomputes the prediction instead of storing it; the gradients of the weights are
again one product over all steps.

Arrays are (rows, T, B), or (rows, B) for one step: the batch is the contiguous axis, which LLVM
vectorises, and (rows, T B) is a matrix for the products. The gates of a layer of n neurons, p of
them turning pairs: n targets, n - p rates, p frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lnn_ros.liquid.cells.flow import Flow
from lnn_ros.liquid.kernels.flow_steps import (
    clear,
    gates,
    gates_back,
    only,
    predict,
    pull,
    pull_back,
    rest_back,
)
from lnn_ros.liquid.kernels.flow_steps import rest as resting
from lnn_ros.liquid.kernels.maths import jit
from lnn_ros.liquid.kernels.products import matmul_add, wide
from lnn_ros.liquid.kernels.scans import (
    Sequences,
    bypass,
    fetch,
    heard,
    heard_back,
    hold,
    store,
)
from lnn_ros.liquid.kernels.steps import Steps, add, begin, differentiable_once, load


@jit
def _forward(
    pre: Any, loop: Any, dt: Any, before: Any, seen: Any, present: Any, kept: Any, keep: Any,
    x: Any, g: Any, r: Any, f: Any, xs: Any, gs: Any, rs: Any, fs: Any, slopes: Any,
    least: Any, span: Any, per_rate: Any, most: Any, event: Any,
) -> None:  # fmt: skip
    """Run the scan; ``x``, ``g``, ``r``, ``f`` are scratch and hold the state to begin with."""
    steps, batch = dt.shape
    units, rates, pairs = g.shape[0], r.shape[0], f.shape[0]
    zero, kind = pre.dtype.type(0), pre.dtype
    xp = np.zeros((units, wide(batch)), kind)
    echo = np.zeros((units, wide(batch)), kind)
    a = np.zeros((max(loop.shape[0], 2 * units), wide(batch)), kind)
    em, gain = np.empty((rates, batch), kind), np.empty((rates, batch), kind)
    s, c = np.empty((pairs, batch), kind), np.empty((pairs, batch), kind)
    rest, new_g = np.empty((units, batch), kind), np.empty((units, batch), kind)
    new_r, slope = np.empty((rates, batch), kind), np.empty((rates, batch), kind)
    new_f = np.empty((pairs, batch), kind)
    for t in range(steps):
        for part in (x, g, f):
            begin(t, kept, keep, zero, part)
        begin(t, kept, keep, least, r)
        resting(g, r, f, rest)
        predict(t, dt, x, rest, r, f, em, s, c, xp)
        echo[:] = xp
        if len(loop) and not event:
            pull(t, event, per_rate, before, r, f, xp, rest, gain, echo)
        fetch(t, pre, a)
        matmul_add(a, loop, echo)
        gates(a, new_g, new_r, new_f, slope, least, span, most)
        resting(new_g, new_r, new_f, rest)
        pull(t, event, per_rate, before, new_r, new_f, xp, rest, gain, echo)
        store(t, echo, xs)
        store(t, new_g, gs)
        store(t, new_r, rs)
        store(t, new_f, fs)
        store(t, slope, slopes)
        hold(t, seen, present, r, rs)
        hold(t, seen, present, f, fs)
        hold(t, seen, present, g, gs)
        hold(t, seen, present, xp, xs)
        fetch(t, xs, x)
        fetch(t, gs, g)
        fetch(t, rs, r)
        fetch(t, fs, f)


@jit
def _backward(
    loop: Any, dt: Any, before: Any, seen: Any, present: Any, kept: Any, keep: Any,
    x0: Any, g0: Any, r0: Any, f0: Any, xs: Any, gs: Any, rs: Any, fs: Any, slopes: Any,
    dxs: Any, dgs: Any, drs: Any, dfs: Any, per_rate: Any, least: Any, most: Any, event: Any,
    dpre: Any, echoes: Any, ddt: Any, dbefore: Any, dx: Any, dg: Any, dr: Any, df: Any,
) -> None:  # fmt: skip
    """Run the scan backwards.

    ``dxs`` to ``dfs`` are the gradients of the outputs (no rows: zero). Fills ``dpre``, the
    activities ``echoes`` that the layer heard of itself, ``ddt``, ``dbefore``, and ``dx`` to ``df``
    with the gradients of the start.
    """
    steps, batch = dt.shape
    units, rates, pairs = g0.shape[0], r0.shape[0], f0.shape[0]
    kind = dpre.dtype
    zero, one = kind.type(0), kind.type(1)
    cycle = kind.type(2.0 * math.pi)
    x, g = np.empty((units, batch), kind), np.empty((units, batch), kind)
    r, f = np.empty((rates, batch), kind), np.empty((pairs, batch), kind)
    em, s = np.empty((rates, batch), kind), np.empty((pairs, batch), kind)
    c = np.empty((pairs, batch), kind)
    gain, dgain = np.empty((rates, batch), kind), np.empty((rates, batch), kind)
    old_rest, rest = np.empty((units, batch), kind), np.empty((units, batch), kind)
    drest, echo = np.empty((units, batch), kind), np.empty((units, batch), kind)
    old_drest, old_gain = np.zeros((units, batch), kind), np.empty((rates, batch), kind)
    xp, now_g = np.empty((units, batch), kind), np.empty((units, batch), kind)
    now_r, slope = np.empty((rates, batch), kind), np.empty((rates, batch), kind)
    now_f, past = np.empty((pairs, batch), kind), np.empty((units, batch), kind)
    new_dg, new_dr = np.empty((units, batch), kind), np.empty((rates, batch), kind)
    new_df, turned = np.empty((pairs, batch), kind), np.empty((pairs, batch), kind)
    decho = np.zeros((max(loop.shape[0], units), wide(batch)), kind)
    da = np.zeros((2 * units, wide(batch)), kind)
    for t in range(steps - 1, -1, -1):
        add(t, dxs, dx)
        add(t, dgs, dg)
        add(t, drs, dr)
        add(t, dfs, df)
        load(t - 1, x0, xs, x)
        load(t - 1, g0, gs, g)
        load(t - 1, r0, rs, r)
        load(t - 1, f0, fs, f)
        for part in (x, g, f):
            begin(t, kept, keep, zero, part)
        begin(t, kept, keep, least, r)
        resting(g, r, f, old_rest)
        predict(t, dt, x, old_rest, r, f, em, s, c, xp)
        echo[:] = xp
        if len(loop) and not event:
            pull(t, event, per_rate, before, r, f, xp, old_rest, old_gain, echo)
        store(t, echo, echoes)
        # The update: ``dx`` becomes the gradient of the predicted activities.
        bypass(t, seen, present, dx, past)
        old_drest[:] = 0
        new_dg[:] = dg
        new_dr[:] = dr
        new_df[:] = df
        for part in (new_dg, new_dr, new_df):
            only(t, seen, present, part)
        for part in (dg, dr, df):
            clear(t, seen, present, part)
        fetch(t, gs, now_g)
        fetch(t, rs, now_r)
        fetch(t, fs, now_f)
        fetch(t, slopes, slope)
        resting(now_g, now_r, now_f, rest)
        pull(t, event, per_rate, before, now_r, now_f, xp, rest, gain, echo)
        pull_back(
            t, event, per_rate, before, now_r, now_f, xp, rest, gain, dx, dgain, drest, new_dr,
            dbefore,
        )  # fmt: skip
        rest_back(now_g, now_r, now_f, rest, drest, new_dg, new_dr, new_df)
        gates_back(new_dg, new_dr, new_df, now_g, now_f, slope, most, da)
        only(t, seen, present, da)  # what was not observed may be no number at all
        store(t, da, dpre)
        decho[:] = 0
        matmul_add(decho, loop, da)
        if len(loop) and not event:
            pull_back(
                t, event, per_rate, before, r, f, xp, old_rest, old_gain, decho, dgain, old_drest,
                dr, dbefore,
            )  # fmt: skip
        for j in range(units):
            for b in range(batch):
                dx[j, b] += decho[j, b]
        if not seen[t]:
            only(t, seen, present, dx)
            for b in range(batch):
                if not present[t, b]:
                    dbefore[t, b] = 0
            for j in range(units):
                for b in range(batch):
                    dx[j, b] += past[j, b]
        # The prediction.
        for j in range(pairs):
            k = pairs + j
            for b in range(batch):
                decay = one + em[j, b]
                real, imaginary = decay * c[j, b], decay * s[j, b]
                first, second = x[j, b] - old_rest[j, b], x[k, b] - old_rest[k, b]
                u, v = dx[j, b], dx[k, b]
                d_a = (real - one) * u + imaginary * v
                d_b = (real - one) * v - imaginary * u
                dx[j, b] = u + d_a
                dx[k, b] = v + d_b
                old_drest[j, b] -= d_a
                old_drest[k, b] -= d_b
                along = u * first + v * second
                across = v * first - u * second
                # With respect to r dt, and to the cycles f dt.
                dgain[j, b] = along * real + across * imaginary
                turned[j, b] = cycle * (across * real - along * imaginary)
            for b in range(batch):
                dr[j, b] -= dgain[j, b] * dt[t, b]
                df[j, b] += turned[j, b] * dt[t, b]
                ddt[t, b] += turned[j, b] * f[j, b] - dgain[j, b] * r[j, b]
        for j in range(2 * pairs, units):
            k = j - pairs
            for b in range(batch):
                u = dx[j, b]
                dx[j, b] = u * (one + em[k, b])
                old_drest[j, b] -= u * em[k, b]
                left = u * (g[j, b] - x[j, b]) * (one + em[k, b])
                dr[k, b] += left * dt[t, b]
                ddt[t, b] += left * r[k, b]
        rest_back(g, r, f, old_rest, old_drest, dg, dr, df)
        for part in (dx, dg, dr, df):
            begin(t, kept, keep, zero, part)


class _Layer(torch.autograd.Function):
    """The scan of one layer."""

    @staticmethod
    def forward(
        ctx: Any,
        pre: Tensor,
        loop: Tensor | None,
        dt: Tensor,
        before: Tensor,
        x0: Tensor,
        g0: Tensor,
        r0: Tensor,
        f0: Tensor,
        steps: Steps,
        cell: Flow,
    ) -> tuple[Tensor, ...]:
        shape = dt.shape
        units, pairs = len(g0), len(f0)
        xs = pre.new_empty(units, *shape)
        gates = [pre.new_empty(n, *shape) for n in (units, units - pairs, pairs, units - pairs)]
        number = pre.detach().numpy().dtype.type
        span = math.log(cell.rate_max / cell.rate_min)
        start = [part.detach().numpy().copy() for part in (x0, g0, r0, f0)]
        _forward(
            pre.detach().numpy().reshape(2 * units, *shape), heard(loop, pre),
            dt.detach().numpy(), before.detach().numpy(), *steps.masks, *start,
            *(part.numpy() for part in (xs, *gates)),
            number(cell.rate_min), number(span), number(1.0 / cell.rate_max),
            number(cell.frequency_max), cell.event,
        )  # fmt: skip
        ctx.steps, ctx.cell = steps, cell
        ctx.save_for_backward(loop, dt, before, x0, g0, r0, f0, xs, *gates)
        ctx.set_materialize_grads(False)
        gs, rs, fs, _ = gates
        return xs, gs, rs, fs

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        cell = ctx.cell
        loop, dt, before, x0, g0, r0, f0, xs, *gates = ctx.saved_tensors
        units, shape = len(g0), dt.shape
        kind = xs.numpy().dtype
        none = np.zeros((0, *shape), kind)
        outs = [none if d is None else d.contiguous().numpy() for d in grads]
        dpre, echoes = xs.new_empty(2 * units, *shape), torch.empty_like(xs)
        ddt, dbefore = torch.zeros_like(dt), torch.zeros_like(before)
        starts = [torch.zeros_like(part) for part in (x0, g0, r0, f0)]
        number = kind.type
        _backward(
            heard_back(loop, xs), dt.detach().numpy(), before.detach().numpy(), *ctx.steps.masks,
            *(part.detach().numpy() for part in (x0, g0, r0, f0, xs, *gates)), *outs,
            number(1.0 / cell.rate_max), number(cell.rate_min), number(cell.frequency_max),
            cell.event,
            *(part.numpy() for part in (dpre, echoes, ddt, dbefore, *starts)),
        )  # fmt: skip
        flat = dpre.reshape(2 * units, -1)
        dloop = echoes.reshape(units, -1) @ flat.T if ctx.needs_input_grad[1] else None
        return flat, dloop, ddt, dbefore, *starts, None, None


def rows(
    cell: Flow,
    w: Mapping[str, Tensor],
    inputs: Tensor,
    dt: Tensor,
    state: Tensor,
    present: Tensor | None,
    keep: Tensor | None,
) -> list[Tensor] | None:
    """Run over sequences, as ``kernels.Kernel`` says."""
    if not cell.trapezoid:
        return None
    given = Sequences.of(inputs, dt, state, present, keep)
    source = given.source
    where = {part: cell.where(part) for part in cell.parts()}
    x, target, rate, frequency = (
        given.start[where[part]] for part in ("x", "target", "rate", "frequency")
    )
    found: dict[str, list[Tensor]] = {part: [] for part in where}
    start, turned = 0, 0
    for i, (layer, sources) in enumerate(cell.sources()):
        pairs, stop = cell.pairs[i], start + layer.units
        gates = [f"{layer.name}.{gate}" for gate in cell.gates(i)]
        weight = torch.cat([w[f"{gate}.weight"] for gate in gates], 1)
        bias = torch.cat([w[f"{gate}.bias"] for gate in gates])
        pre = torch.addmm(bias[:, None], weight[:sources].t(), source)
        rates = rate[start:stop]
        if pairs:
            rates = torch.cat([rates[:pairs], rates[2 * pairs :]])
        xs, gs, rs, fs = _Layer.apply(
            pre,
            weight[sources:] if layer.recurrent else None,
            given.dt,
            given.before,
            x[start:stop],
            target[start:stop],
            rates,
            frequency[turned : turned + pairs],
            given.steps,
            cell,
        )
        found["x"].append(xs)
        found["target"].append(gs)
        found["rate"].extend([rs[:pairs], rs] if pairs else [rs])
        found["frequency"].append(fs)
        source = xs.reshape(layer.units, -1)
        start, turned = stop, turned + pairs
    found["elapsed"].append(given.after[None])
    return [part for parts in found.values() for part in parts]
