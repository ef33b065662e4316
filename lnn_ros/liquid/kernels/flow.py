"""The flow cell over whole sequences.

A layer's gates hear what feeds it and, in a recurrent layer, its own predicted activities. The
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
from lnn_ros.liquid.kernels.maths import exp, expm1, jit, sigmoid, tanh, turn
from lnn_ros.liquid.kernels.products import matmul_add, wide
from lnn_ros.liquid.kernels.scans import Sequences, fetch, heard, heard_back, hold, store
from lnn_ros.liquid.kernels.steps import Steps, add, begin, differentiable_once, load


@jit
def _predict(
    t: Any, dt: Any, x: Any, g: Any, r: Any, f: Any, em: Any, s: Any, c: Any, xp: Any
) -> None:
    """Fill ``em`` = exp(-r dt) - 1, sine ``s``, cosine ``c`` and the predicted ``xp``."""
    pairs, units, batch = f.shape[0], g.shape[0], g.shape[1]
    for j in range(r.shape[0]):
        for b in range(batch):
            em[j, b] = expm1(-r[j, b] * dt[t, b])
    for j in range(pairs):
        for b in range(batch):
            s[j, b], c[j, b] = turn(f[j, b] * dt[t, b])
        k = pairs + j
        for b in range(batch):
            one = g.dtype.type(1)
            decay = one + em[j, b]
            real, imaginary = decay * c[j, b] - one, decay * s[j, b]
            rate, speed = r[j, b], g.dtype.type(2.0 * math.pi) * f[j, b]
            share = rate / (rate * rate + speed * speed)
            first = x[j, b] - share * (rate * g[j, b] - speed * g[k, b])
            second = x[k, b] - share * (rate * g[k, b] + speed * g[j, b])
            xp[j, b] = x[j, b] + (real * first - imaginary * second)
            xp[k, b] = x[k, b] + (real * second + imaginary * first)
    for j in range(2 * pairs, units):
        k = j - pairs
        for b in range(batch):
            xp[j, b] = x[j, b] - em[k, b] * (g[j, b] - x[j, b])


@jit
def _gain(t: Any, event: Any, per_rate: Any, before: Any, r: Any, gain: Any) -> None:
    for j in range(r.shape[0]):
        if event:
            for b in range(r.shape[1]):
                gain[j, b] = r[j, b] * per_rate
        else:
            for b in range(r.shape[1]):
                gain[j, b] = -expm1(-r[j, b] * before[t, b])


@jit
def _forward(
    pre: Any, loop: Any, dt: Any, before: Any, seen: Any, present: Any, kept: Any, keep: Any,
    x: Any, g: Any, r: Any, f: Any, xs: Any, gs: Any, rs: Any, fs: Any, slopes: Any,
    least: Any, span: Any, per_rate: Any, most: Any, event: Any,
) -> None:  # fmt: skip
    """Run the scan; ``x``, ``g``, ``r``, ``f`` are scratch and hold the state to begin with."""
    steps, batch = dt.shape
    units, rates, pairs = g.shape[0], r.shape[0], f.shape[0]
    zero, one = pre.dtype.type(0), pre.dtype.type(1)
    xp = np.zeros((units, wide(batch)), pre.dtype)
    a = np.zeros((max(loop.shape[0], 2 * units), wide(batch)), pre.dtype)
    em, gain = np.empty((rates, batch), pre.dtype), np.empty((rates, batch), pre.dtype)
    s, c = np.empty((pairs, batch), pre.dtype), np.empty((pairs, batch), pre.dtype)
    for t in range(steps):
        for part in (x, g, f):
            begin(t, kept, keep, zero, part)
        begin(t, kept, keep, least, r)
        _predict(t, dt, x, g, r, f, em, s, c, xp)
        fetch(t, pre, a)
        matmul_add(a, loop, xp)
        for j in range(rates):
            for b in range(batch):
                share = sigmoid(a[units + j, b])
                rate = least * exp(span * share)
                rs[j, t, b] = rate
                slopes[j, t, b] = rate * span * share * (one - share)
        for j in range(pairs):
            for b in range(batch):
                fs[j, t, b] = most * tanh(a[units + rates + j, b])
        hold(t, seen, present, r, rs)
        hold(t, seen, present, f, fs)
        fetch(t, rs, r)
        fetch(t, fs, f)
        _gain(t, event, per_rate, before, r, gain)
        for j in range(units):
            k = j - pairs if j >= pairs else j
            for b in range(batch):
                target = tanh(a[j, b])
                gs[j, t, b] = target
                xs[j, t, b] = xp[j, b] + gain[k, b] * (target - xp[j, b])
        hold(t, seen, present, g, gs)
        hold(t, seen, present, xp, xs)
        fetch(t, xs, x)
        fetch(t, gs, g)


@jit
def _clear(t: Any, seen: Any, present: Any, out: Any) -> None:
    """Zero where something was observed: nothing older reaches behind an update."""
    if seen[t]:
        out[:] = 0
    else:
        for b in range(out.shape[1]):
            if present[t, b]:
                for j in range(out.shape[0]):
                    out[j, b] = 0


@jit
def _backward(
    loop: Any, dt: Any, before: Any, seen: Any, present: Any, kept: Any, keep: Any,
    x0: Any, g0: Any, r0: Any, f0: Any, xs: Any, gs: Any, rs: Any, fs: Any, slopes: Any,
    dxs: Any, dgs: Any, drs: Any, dfs: Any,
    least: Any, per_rate: Any, most: Any, event: Any,
    dpre: Any, xps: Any, ddt: Any, dbefore: Any, dx: Any, dg: Any, dr: Any, df: Any,
) -> None:  # fmt: skip
    """Run the scan backwards.

    ``dxs`` to ``dfs`` are the gradients of the outputs (no rows: zero). Fills ``dpre``, the
    predicted activities ``xps``, ``ddt``, ``dbefore``, and ``dx`` to ``df`` with the gradients of
    the start.
    """
    steps, batch = dt.shape
    units, rates, pairs = g0.shape[0], r0.shape[0], f0.shape[0]
    kind = dpre.dtype
    zero, one = kind.type(0), kind.type(1)
    cycle = kind.type(2.0 * math.pi)
    per_most = one / most if most > 0 else zero
    x, g = np.empty((units, batch), kind), np.empty((units, batch), kind)
    r, f = np.empty((rates, batch), kind), np.empty((pairs, batch), kind)
    em, s, c = np.empty((rates, batch), kind), np.empty((pairs, batch), kind), np.empty(
        (pairs, batch), kind
    )
    gain, dgain = np.empty((rates, batch), kind), np.empty((rates, batch), kind)
    xp, now = np.empty((units, batch), kind), np.empty((rates, batch), kind)
    dxp = np.zeros((max(loop.shape[0], units), wide(batch)), kind)
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
        _predict(t, dt, x, g, r, f, em, s, c, xp)
        fetch(t, rs, now)
        _gain(t, event, per_rate, before, now, gain)
        # The update.
        dgain[:] = 0
        for j in range(units):
            k = j - pairs if j >= pairs else j
            for b in range(batch):
                target = gs[j, t, b]
                da[j, b] = (dg[j, b] + dx[j, b] * gain[k, b]) * (one - target * target)
                dgain[k, b] += dx[j, b] * (target - xp[j, b])
                dxp[j, b] = dx[j, b] * (one - gain[k, b])
        for j in range(rates):
            if event:
                for b in range(batch):
                    da[units + j, b] = (dr[j, b] + dgain[j, b] * per_rate) * slopes[j, t, b]
            else:
                for b in range(batch):
                    left = dgain[j, b] * (one - gain[j, b])
                    da[units + j, b] = (dr[j, b] + left * before[t, b]) * slopes[j, t, b]
                    dgain[j, b] = left * now[j, b]
                for b in range(batch):
                    dbefore[t, b] += dgain[j, b]
        for j in range(pairs):
            for b in range(batch):
                share = fs[j, t, b] * per_most
                da[units + rates + j, b] = df[j, b] * most * (one - share * share)
        if not seen[t]:
            for b in range(batch):
                if not present[t, b]:
                    dbefore[t, b] = 0
                    for j in range(2 * units):
                        da[j, b] = 0
                    for j in range(units):
                        dxp[j, b] = dx[j, b]
        for part in (dg, dr, df):
            _clear(t, seen, present, part)
        store(t, xp, xps)
        store(t, da, dpre)
        matmul_add(dxp, loop, da)
        # The prediction.
        for j in range(pairs):
            k = pairs + j
            for b in range(batch):
                decay = one + em[j, b]
                real, imaginary = decay * c[j, b], decay * s[j, b]
                # The resting point c = r g h with h = 1 / (r - 2 pi i f), q = |h|^2.
                rate, speed = r[j, b], cycle * f[j, b]
                q = one / (rate * rate + speed * speed)
                g_a, g_b = g[j, b], g[k, b]
                c_a = rate * q * (rate * g_a - speed * g_b)
                c_b = rate * q * (rate * g_b + speed * g_a)
                first, second = x[j, b] - c_a, x[k, b] - c_b
                u, v = dxp[j, b], dxp[k, b]
                d_a = (real - one) * u + imaginary * v
                d_b = (real - one) * v - imaginary * u
                dx[j, b] = u + d_a
                dx[k, b] = v + d_b
                dg[j, b] -= rate * q * (rate * d_a + speed * d_b)
                dg[k, b] -= rate * q * (rate * d_b - speed * d_a)
                # dc/dr = h (g - c), dc/d(2 pi f) = i h c.
                off_a, off_b = g_a - c_a, g_b - c_b
                dr[j, b] -= q * (
                    d_a * (rate * off_a - speed * off_b) + d_b * (speed * off_a + rate * off_b)
                )
                df[j, b] -= cycle * q * (
                    d_b * (rate * c_a - speed * c_b) - d_a * (speed * c_a + rate * c_b)
                )
                along = u * first + v * second
                across = v * first - u * second
                # With respect to r dt, and to the cycles f dt.
                dgain[j, b] = along * real + across * imaginary
                now[j, b] = cycle * (across * real - along * imaginary)
            for b in range(batch):
                dr[j, b] -= dgain[j, b] * dt[t, b]
                df[j, b] += now[j, b] * dt[t, b]
                ddt[t, b] += now[j, b] * f[j, b] - dgain[j, b] * r[j, b]
        for j in range(2 * pairs, units):
            k = j - pairs
            for b in range(batch):
                u = dxp[j, b]
                dx[j, b] = u * (one + em[k, b])
                dg[j, b] -= u * em[k, b]
                left = u * (g[j, b] - x[j, b]) * (one + em[k, b])
                dr[k, b] += left * dt[t, b]
                ddt[t, b] += left * r[k, b]
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
        xs, gs = (pre.new_empty(units, *shape) for _ in range(2))
        rs, slopes = (pre.new_empty(units - pairs, *shape) for _ in range(2))
        fs = pre.new_empty(pairs, *shape)
        number = pre.detach().numpy().dtype.type
        span = math.log(cell.rate_max / cell.rate_min)
        start = [part.detach().numpy().copy() for part in (x0, g0, r0, f0)]
        outs = [part.numpy() for part in (xs, gs, rs, fs, slopes)]
        _forward(
            pre.detach().numpy().reshape(2 * units, *shape), heard(loop, pre),
            dt.detach().numpy(), before.detach().numpy(), *steps.masks, *start, *outs,
            number(cell.rate_min), number(span), number(1.0 / cell.rate_max),
            number(cell.frequency_max), cell.event,
        )  # fmt: skip
        ctx.steps, ctx.cell = steps, cell
        ctx.save_for_backward(loop, dt, before, x0, g0, r0, f0, xs, gs, rs, fs, slopes)
        ctx.set_materialize_grads(False)
        return xs, gs, rs, fs

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        cell = ctx.cell
        loop, dt, before, x0, g0, r0, f0, xs, gs, rs, fs, slopes = ctx.saved_tensors
        units, shape = len(g0), dt.shape
        kind = xs.numpy().dtype
        none = np.zeros((0, *shape), kind)
        outs = [none if d is None else d.contiguous().numpy() for d in grads]
        dpre, xps = xs.new_empty(2 * units, *shape), torch.empty_like(xs)
        ddt, dbefore = torch.zeros_like(dt), torch.zeros_like(before)
        starts = [torch.zeros_like(part) for part in (x0, g0, r0, f0)]
        number = kind.type
        _backward(
            heard_back(loop, xs), dt.detach().numpy(), before.detach().numpy(), *ctx.steps.masks,
            *(part.detach().numpy() for part in (x0, g0, r0, f0, xs, gs, rs, fs, slopes)), *outs,
            number(cell.rate_min), number(1.0 / cell.rate_max), number(cell.frequency_max),
            cell.event, *(part.numpy() for part in (dpre, xps, ddt, dbefore, *starts)),
        )  # fmt: skip
        flat = dpre.reshape(2 * units, -1)
        dloop = xps.reshape(units, -1) @ flat.T if ctx.needs_input_grad[1] else None
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
