"""The pieces of the flow cell's scans, forwards and backwards, for one step of one layer.

Arrays are (rows, B): the batch is the contiguous axis, which LLVM vectorises. Of n neurons, p of
them turning pairs, there are n activities and targets, n - p rates, p frequencies.
"""

from __future__ import annotations

import math
from typing import Any

from lnn_ros.liquid.kernels.maths import exp, expm1, inline, sigmoid, tanh, turn


@inline
def rest(g: Any, r: Any, f: Any, c: Any) -> None:
    """Fill ``c``, where the neurons come to rest: a neuron alone at its target."""
    pairs = f.shape[0]
    for j in range(pairs):
        k = pairs + j
        for b in range(g.shape[1]):
            rate, speed = r[j, b], g.dtype.type(2.0 * math.pi) * f[j, b]
            share = rate / (rate * rate + speed * speed)
            c[j, b] = share * (rate * g[j, b] - speed * g[k, b])
            c[k, b] = share * (rate * g[k, b] + speed * g[j, b])
    for j in range(2 * pairs, g.shape[0]):
        for b in range(g.shape[1]):
            c[j, b] = g[j, b]


@inline
def rest_back(
    g: Any, r: Any, f: Any, c: Any, dc: Any, dg: Any, dr: Any, df: Any
) -> None:  # fmt: skip
    """Add to ``dg``, ``dr``, ``df`` what the gradient ``dc`` of the resting points makes of them.

    c = r g h with h = 1 / (r - 2 pi i f): dc/dg = r h, dc/dr = h (g - c), dc/d(2 pi f) = i h c.
    """
    pairs = f.shape[0]
    one, cycle = g.dtype.type(1), g.dtype.type(2.0 * math.pi)
    for j in range(pairs):
        k = pairs + j
        for b in range(g.shape[1]):
            rate, speed = r[j, b], cycle * f[j, b]
            q = one / (rate * rate + speed * speed)
            u, v = dc[j, b], dc[k, b]
            dg[j, b] += rate * q * (rate * u + speed * v)
            dg[k, b] += rate * q * (rate * v - speed * u)
            off_a, off_b = g[j, b] - c[j, b], g[k, b] - c[k, b]
            dr[j, b] += q * (
                u * (rate * off_a - speed * off_b) + v * (speed * off_a + rate * off_b)
            )
            df[j, b] += cycle * q * (
                v * (rate * c[j, b] - speed * c[k, b]) - u * (speed * c[j, b] + rate * c[k, b])
            )
    for j in range(2 * pairs, g.shape[0]):
        for b in range(g.shape[1]):
            dg[j, b] += dc[j, b]


@inline
def predict(
    t: Any, dt: Any, x: Any, rest: Any, r: Any, f: Any, em: Any, s: Any, c: Any, xp: Any
) -> None:
    """Fill ``em`` = exp(-r dt) - 1, sine ``s``, cosine ``c`` and the predicted ``xp``."""
    pairs, units, batch = f.shape[0], x.shape[0], x.shape[1]
    for j in range(r.shape[0]):
        for b in range(batch):
            em[j, b] = expm1(-r[j, b] * dt[t, b])
    for j in range(pairs):
        for b in range(batch):
            s[j, b], c[j, b] = turn(f[j, b] * dt[t, b])
        k = pairs + j
        for b in range(batch):
            one = x.dtype.type(1)
            decay = one + em[j, b]
            real, imaginary = decay * c[j, b] - one, decay * s[j, b]
            first, second = x[j, b] - rest[j, b], x[k, b] - rest[k, b]
            xp[j, b] = x[j, b] + (real * first - imaginary * second)
            xp[k, b] = x[k, b] + (real * second + imaginary * first)
    for j in range(2 * pairs, units):
        k = j - pairs
        for b in range(batch):
            xp[j, b] = x[j, b] - em[k, b] * (rest[j, b] - x[j, b])


@inline
def gates(
    a: Any, g: Any, r: Any, f: Any, slope: Any, least: Any, span: Any, most: Any
) -> None:  # fmt: skip
    """Fill the gates, and the rates' slopes, of what the layer hears."""
    units, rates, pairs = g.shape[0], r.shape[0], f.shape[0]
    one = a.dtype.type(1)
    for j in range(units):
        for b in range(g.shape[1]):
            g[j, b] = tanh(a[j, b])
    for j in range(rates):
        for b in range(g.shape[1]):
            share = sigmoid(a[units + j, b])
            rate = least * exp(span * share)
            r[j, b] = rate
            slope[j, b] = rate * span * share * (one - share)
    for j in range(pairs):
        for b in range(g.shape[1]):
            f[j, b] = most * tanh(a[units + rates + j, b])


@inline
def gates_back(
    dg: Any, dr: Any, df: Any, g: Any, f: Any, slope: Any, most: Any, da: Any
) -> None:  # fmt: skip
    """Fill ``da``, the gradient of what the layer hears."""
    units, rates, pairs = g.shape[0], slope.shape[0], f.shape[0]
    zero, one = da.dtype.type(0), da.dtype.type(1)
    per_most = one / most if most > 0 else zero
    for j in range(units):
        for b in range(g.shape[1]):
            da[j, b] = dg[j, b] * (one - g[j, b] * g[j, b])
    for j in range(rates):
        for b in range(g.shape[1]):
            da[units + j, b] = dr[j, b] * slope[j, b]
    for j in range(pairs):
        for b in range(g.shape[1]):
            share = f[j, b] * per_most
            da[units + rates + j, b] = df[j, b] * most * (one - share * share)


@inline
def pull(
    t: Any, event: Any, per_rate: Any, before: Any, r: Any, f: Any, xp: Any, rest: Any,
    gain: Any, x: Any,
) -> None:  # fmt: skip
    """Fill the ``gain``, and ``x``, which an observation pulls from ``xp`` towards ``rest``."""
    pairs = f.shape[0]
    for j in range(r.shape[0]):
        if event:
            for b in range(r.shape[1]):
                gain[j, b] = r[j, b] * per_rate
        else:
            for b in range(r.shape[1]):
                gain[j, b] = -expm1(-r[j, b] * before[t, b])
    for j in range(rest.shape[0]):
        k = j - pairs if j >= pairs else j
        for b in range(rest.shape[1]):
            x[j, b] = xp[j, b] + gain[k, b] * (rest[j, b] - xp[j, b])


@inline
def pull_back(
    t: Any, event: Any, per_rate: Any, before: Any, r: Any, f: Any, xp: Any, rest: Any, gain: Any,
    dx: Any, dgain: Any, drest: Any, dr: Any, dbefore: Any,
) -> None:  # fmt: skip
    """Turn ``dx`` into the gradient of ``xp``; fill ``drest``, add to ``dr`` and ``dbefore``."""
    pairs, one = f.shape[0], r.dtype.type(1)
    dgain[:] = 0
    for j in range(rest.shape[0]):
        k = j - pairs if j >= pairs else j
        for b in range(rest.shape[1]):
            dgain[k, b] += dx[j, b] * (rest[j, b] - xp[j, b])
            drest[j, b] = dx[j, b] * gain[k, b]
            dx[j, b] *= one - gain[k, b]
    for j in range(r.shape[0]):
        for b in range(r.shape[1]):
            if event:
                dr[j, b] += dgain[j, b] * per_rate
            else:
                left = dgain[j, b] * (one - gain[j, b])
                dr[j, b] += left * before[t, b]
                dbefore[t, b] += left * r[j, b]


@inline
def clear(t: Any, seen: Any, present: Any, out: Any) -> None:
    """Zero where something was observed: nothing older reaches behind an update."""
    if seen[t]:
        out[:] = 0
    else:
        for b in range(out.shape[1]):
            if present[t, b]:
                for j in range(out.shape[0]):
                    out[j, b] = 0


@inline
def only(t: Any, seen: Any, present: Any, out: Any) -> None:
    """Zero where nothing was observed."""
    if not seen[t]:
        for b in range(present.shape[1]):
            if not present[t, b]:
                for j in range(out.shape[0]):
                    out[j, b] = 0
