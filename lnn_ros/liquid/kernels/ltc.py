"""The LTC cell over whole sequences: its ODE forwards, and the adjoint of the same steps backwards.

Only synapses that conduct are computed, one after the other, for all sequences of the batch. The
backward pass takes the sub-steps of a step again, keeps their stages and then goes back through
them, so that memory grows with the observations and not with the sub-steps.
Notation as in ``cells.ltc``: ``a`` and ``b`` are sums over conductances, ``h`` a sub-step's length.
Arrays are (rows, T, B), or (rows, B) for one step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lnn_ros.liquid.cells.ltc import CM_MIN, GLEAK_MIN, LTC
from lnn_ros.liquid.kernels.maths import expm1, jit, sigmoid
from lnn_ros.liquid.kernels.scans import Sequences, fetch, store
from lnn_ros.liquid.kernels.steps import Steps, add, begin, differentiable_once, load

# Sums over the batch may be taken in any order: only then LLVM vectorises them.
summing: Any = numba.njit(
    cache=True, error_model="numpy", nogil=True, fastmath={"contract", "reassoc", "nsz"}
)


@jit
def _conduct(synapses: Any, p: Any, v: Any, a: Any, b: Any) -> None:
    """Add what flows through synapses: ``p`` is conductance, this times reversal, slope, shift."""
    for k in range(synapses.shape[1]):
        i, j = synapses[0, k], synapses[1, k]
        g, e, slope, shift = p[0, k], p[1, k], p[2, k], p[3, k]
        for n in range(a.shape[1]):
            s = sigmoid(slope * v[i, n] - shift)
            a[j, n] += g * s
            b[j, n] += e * s


@summing
def _conduct_back(
    synapses: Any, p: Any, v: Any, da: Any, db: Any, dv: Any, dp: Any
) -> None:  # fmt: skip
    """Add to the gradients of potentials and of synapses."""
    for k in range(synapses.shape[1]):
        i, j = synapses[0, k], synapses[1, k]
        g, e, slope, shift = p[0, k], p[1, k], p[2, k], p[3, k]
        zero = v.dtype.type(0)
        dg, de, dslope, dshift = zero, zero, zero, zero
        for n in range(da.shape[1]):
            s = sigmoid(slope * v[i, n] - shift)
            flow = (g * da[j, n] + e * db[j, n]) * (s - s * s)
            dg += da[j, n] * s
            de += db[j, n] * s
            dslope += flow * v[i, n]
            dshift -= flow
            dv[i, n] += flow * slope
        dp[0, k] += dg
        dp[1, k] += de
        dp[2, k] += dslope
        dp[3, k] += dshift


@jit
def _steps(grid: Any, times: Any) -> Any:
    """Count the sub-steps that the longest of the times takes."""
    last = times[0]
    for n in range(times.size):
        last = max(last, times[n])
    count = 1
    while count < grid.size - 1 and grid[count] < last:
        count += 1
    return count + 1 if count == grid.size - 1 and not grid[count] >= last else count


@jit
def _length(grid: Any, k: Any, times: Any, h: Any, inside: Any) -> None:
    """Fill the lengths of sub-step ``k`` and whether they grow with the times."""
    start = grid[k]
    for n in range(times.size):
        longer = times[n] >= start if k < grid.size - 1 else times[n] > start
        stop = grid[k + 1] if k < grid.size - 1 else times[n]
        shorter = times[n] <= stop
        h[n] = (times[n] if shorter else stop) - start if longer else grid[0]
        inside[n] = 1 if longer and shorter else 0


@jit
def _sums(synapses: Any, p: Any, fixed_a: Any, fixed_b: Any, v: Any, a: Any, b: Any) -> None:
    for j in range(a.shape[0]):
        for n in range(a.shape[1]):
            a[j, n] = fixed_a[j, n]
            b[j, n] = fixed_b[j, n]
    _conduct(synapses, p, v, a, b)


@jit
def _towards(v: Any, a: Any, b: Any, h: Any, part: Any, out: Any) -> None:
    """Fill ``out`` with a stage: ``part`` of the sub-step, ``a`` and ``b`` frozen."""
    for j in range(v.shape[0]):
        for n in range(v.shape[1]):
            gain = -expm1(-a[j, n] * (h[n] * part))
            out[j, n] = v[j, n] + gain * (b[j, n] / a[j, n] - v[j, n])


@jit
def _stages(synapses: Any, p: Any, fixed: Any, v: Any, h: Any, work: Any) -> None:
    """Fill ``work``: a and b of the three stages, and the potentials of the last two."""
    third = v.dtype.type(1.0 / 3.0)
    _sums(synapses, p, fixed[0], fixed[1], v, work[0], work[1])
    _towards(v, work[0], work[1], h, third, work[6])
    _sums(synapses, p, fixed[0], fixed[1], work[6], work[2], work[3])
    _towards(v, work[2], work[3], h, third + third, work[7])
    _sums(synapses, p, fixed[0], fixed[1], work[7], work[4], work[5])


@jit
def _finish(v: Any, h: Any, work: Any, out: Any) -> None:
    """Fill ``out`` with the potentials a sub-step later, by its stages in ``work``."""
    a1, b1, a3, b3 = work[0], work[1], work[4], work[5]
    one = v.dtype.type(1)
    quarter = v.dtype.type(0.25)
    for j in range(v.shape[0]):
        for n in range(v.shape[1]):
            a = quarter * a1[j, n] + (one - quarter) * a3[j, n]
            gain = -expm1(-a * h[n])
            turn = a1[j, n] * b3[j, n] - a3[j, n] * b1[j, n]
            b = quarter * b1[j, n] + (one - quarter) * b3[j, n]
            b += quarter * v.dtype.type(0.5) * (gain / a) * turn
            out[j, n] = v[j, n] + gain * (b / a - v[j, n])


@jit
def _stage_back(
    part: Any, h: Any, v: Any, a: Any, b: Any, dout: Any, dv: Any, da: Any, db: Any, dh: Any
) -> None:
    """Add the gradients of ``_towards``."""
    one = v.dtype.type(1)
    for j in range(v.shape[0]):
        for n in range(v.shape[1]):
            left = one + expm1(-a[j, n] * (h[n] * part))
            target = b[j, n] / a[j, n]
            d = dout[j, n]
            dgain = d * (target - v[j, n]) * left
            dtarget = d * (one - left) / a[j, n]
            dv[j, n] += d * left
            db[j, n] += dtarget
            da[j, n] += dgain * h[n] * part - dtarget * target
            dh[n] += dgain * a[j, n] * part


@jit
def _step_back(
    synapses: Any, p: Any, v: Any, h: Any, work: Any,
    dout: Any, back: Any, dfixed: Any, dh: Any, dp: Any,
) -> None:  # fmt: skip
    """Turn the gradient ``dout`` of a sub-step's end into that of its start."""
    a1, b1, a3, b3 = work[0], work[1], work[4], work[5]
    back[:] = 0
    da1, db1, da2, db2, da3, db3 = back[0], back[1], back[2], back[3], back[4], back[5]
    dv, dlast, dmiddle = back[6], back[7], back[8]
    third, one = v.dtype.type(1.0 / 3.0), v.dtype.type(1)
    quarter, eighth = v.dtype.type(0.25), v.dtype.type(0.125)
    for j in range(v.shape[0]):
        for n in range(v.shape[1]):
            a = quarter * a1[j, n] + (one - quarter) * a3[j, n]
            gain = -expm1(-a * h[n])
            turn = a1[j, n] * b3[j, n] - a3[j, n] * b1[j, n]
            b = quarter * b1[j, n] + (one - quarter) * b3[j, n] + eighth * (gain / a) * turn
            d = dout[j, n]
            db = d * gain / a
            dshare = eighth * db * turn  # of gain / a
            dturn = eighth * db * gain / a
            dgain = d * (b / a - v[j, n]) + dshare / a
            da = -db * b / a - dshare * gain / (a * a) + dgain * h[n] * (one - gain)
            dh[n] += dgain * a * (one - gain)
            dv[j, n] = d * (one - gain)
            da1[j, n] = quarter * da + dturn * b3[j, n]
            db3[j, n] = (one - quarter) * db + dturn * a1[j, n]
            da3[j, n] = (one - quarter) * da - dturn * b1[j, n]
            db1[j, n] = quarter * db - dturn * a3[j, n]
    _conduct_back(synapses, p, work[7], da3, db3, dlast, dp)
    _stage_back(third + third, h, v, work[2], work[3], dlast, dv, da2, db2, dh)
    _conduct_back(synapses, p, work[6], da2, db2, dmiddle, dp)
    _stage_back(third, h, v, a1, b1, dmiddle, dv, da1, db1, dh)
    _conduct_back(synapses, p, v, da1, db1, dv, dp)
    for j in range(v.shape[0]):
        for n in range(v.shape[1]):
            dfixed[0, j, n] += da1[j, n] + da2[j, n] + da3[j, n]
            dfixed[1, j, n] += db1[j, n] + db2[j, n] + db3[j, n]
            dout[j, n] = dv[j, n]


@jit
def _hold(t: Any, u: Any, leak: Any, senses: Any, ps: Any, now: Any, fixed: Any) -> None:
    """Fill what an observation and the leak give during a step."""
    fetch(t, u, now)
    for j in range(leak.shape[1]):
        for n in range(now.shape[1]):
            fixed[0, j, n] = leak[0, j]
            fixed[1, j, n] = leak[1, j]
    _conduct(senses, ps, now, fixed[0], fixed[1])


@jit
def _forward(
    u: Any, before: Any, seen: Any, present: Any, kept: Any, keep: Any, grid: Any, leak: Any,
    senses: Any, ps: Any, synapses: Any, p: Any, v: Any, vs: Any,
) -> None:  # fmt: skip
    """Run the scan; ``v`` holds the potentials to begin with."""
    kind, (units, steps, batch) = vs.dtype, vs.shape
    zero = kind.type(0)
    now, fixed = np.empty((u.shape[0], batch), kind), np.empty((2, units, batch), kind)
    work, x = np.empty((8, units, batch), kind), np.empty((2, units, batch), kind)
    h, inside = np.empty(batch, kind), np.empty(batch, np.int64)
    for t in range(steps):
        begin(t, kept, keep, zero, v)
        _hold(t, u, leak, senses, ps, now, fixed)
        x[0] = v
        count = _steps(grid, before[t])
        for k in range(count):
            _length(grid, k, before[t], h, inside)
            _stages(synapses, p, fixed, x[k % 2], h, work)
            _finish(x[k % 2], h, work, x[1 - k % 2])
        last = x[count % 2]
        for j in range(units):
            for n in range(batch):
                there = seen[t] or present[t, n]
                v[j, n] = last[j, n] if there else v[j, n]
                vs[j, t, n] = v[j, n]


@jit
def _backward(
    u: Any, before: Any, seen: Any, present: Any, kept: Any, keep: Any, grid: Any, leak: Any,
    senses: Any, ps: Any, synapses: Any, p: Any, v0: Any, vs: Any, dvs: Any,
    du: Any, dbefore: Any, dleak: Any, dps: Any, dp: Any, dv: Any,
) -> None:  # fmt: skip
    """Run the scan backwards; ``dv`` ends as the gradient of the start."""
    kind, (units, steps, batch) = vs.dtype, vs.shape
    zero = kind.type(0)
    now, fixed = np.empty((u.shape[0], batch), kind), np.empty((2, units, batch), kind)
    dnow, dfixed = np.empty((u.shape[0], batch), kind), np.empty((2, units, batch), kind)
    most = _steps(grid, before.ravel())
    works, back = np.empty((most, 8, units, batch), kind), np.empty((9, units, batch), kind)
    h, dh, inside = np.empty(batch, kind), np.empty(batch, kind), np.empty(batch, np.int64)
    d, xs = np.empty((units, batch), kind), np.empty((most, units, batch), kind)
    for t in range(steps - 1, -1, -1):
        add(t, dvs, dv)
        load(t - 1, v0, vs, xs[0])
        begin(t, kept, keep, zero, xs[0])
        _hold(t, u, leak, senses, ps, now, fixed)
        count = _steps(grid, before[t])
        for k in range(count):
            _length(grid, k, before[t], h, inside)
            _stages(synapses, p, fixed, xs[k], h, works[k])
            if k < count - 1:
                _finish(xs[k], h, works[k], xs[k + 1])
        for j in range(units):
            for n in range(batch):
                there = seen[t] or present[t, n]
                d[j, n] = dv[j, n] if there else zero
                dv[j, n] = zero if there else dv[j, n]
        dfixed[:] = 0
        for k in range(count - 1, -1, -1):
            _length(grid, k, before[t], h, inside)
            dh[:] = 0
            _step_back(synapses, p, xs[k], h, works[k], d, back, dfixed, dh, dp)
            for n in range(batch):
                dbefore[t, n] += dh[n] * inside[n]
        dnow[:] = 0
        _conduct_back(senses, ps, now, dfixed[0], dfixed[1], dnow, dps)
        store(t, dnow, du)
        for j in range(units):
            for n in range(batch):
                dv[j, n] += d[j, n]
                dleak[0, j] += dfixed[0, j, n]
                dleak[1, j] += dfixed[1, j, n]
        begin(t, kept, keep, zero, dv)


class _Net(NamedTuple):
    """What does not change: steps, the grid, and sources and targets of synapses."""

    steps: Steps
    grid: NDArray[Any]
    senses: NDArray[np.int64]
    synapses: NDArray[np.int64]


class _Scan(torch.autograd.Function):
    """Potentials after each step."""

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, before: Tensor, leak: Tensor, ps: Tensor, p: Tensor, v0: Tensor,
        net: _Net,
    ) -> Tensor:  # fmt: skip
        vs = u.new_empty(len(v0), *net.steps.shape)
        arrays = [x.detach().numpy() for x in (u, before, leak, ps, p, v0)]
        _forward(
            arrays[0], arrays[1], *net.steps.masks, net.grid, arrays[2], net.senses, arrays[3],
            net.synapses, arrays[4], arrays[5].copy(), vs.numpy(),
        )  # fmt: skip
        ctx.net = net
        ctx.save_for_backward(u, before, leak, ps, p, v0, vs)
        return vs

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, dvs: Tensor) -> tuple[Any, ...]:
        net: _Net = ctx.net
        u, before, leak, ps, p, v0, vs = ctx.saved_tensors
        grads = [torch.zeros_like(x) for x in (u, before, leak, ps, p, v0)]
        arrays = [x.detach().numpy() for x in (u, before, leak, ps, p, v0, vs)]
        _backward(
            arrays[0], arrays[1], *net.steps.masks, net.grid, arrays[2], net.senses, arrays[3],
            net.synapses, *arrays[4:], dvs.contiguous().numpy(), *(d.numpy() for d in grads),
        )  # fmt: skip
        return (*grads, None)


def _synapses(
    w: Mapping[str, Tensor], name: str, sources: NDArray[np.int64], target: int, inverse: Tensor
) -> tuple[NDArray[np.int64], Tensor]:
    """Ends (2, K) and numbers (4, K) of a block's synapses.

    A conductance of zero (a square) lets no gradient through either, so that synapse is left out.
    """
    conductance = w[f"{name}.w"].square() * inverse[target : target + w[f"{name}.w"].shape[1]]
    rows, columns = np.nonzero(conductance.detach().numpy())
    chosen = torch.from_numpy(rows), torch.from_numpy(columns)
    erev, slope, mu = (w[f"{name}.{part}"][chosen] for part in ("erev", "sigma", "mu"))
    g = conductance[chosen]
    values = torch.stack([g, g * erev, slope, slope * mu])
    return np.stack([sources[rows], columns + target]), values


def rows(
    cell: LTC,
    w: Mapping[str, Tensor],
    inputs: Tensor,
    dt: Tensor,
    state: Tensor,
    present: Tensor | None,
    keep: Tensor | None,
) -> list[Tensor] | None:
    """Run over sequences, as ``kernels.Kernel`` says; what ncps does is left to the loop."""
    if cell.compat:
        return None
    given = Sequences.of(inputs, dt, state, present, keep)
    softplus = torch.nn.functional.softplus
    inverse = 1.0 / (softplus(w["cm"]) + CM_MIN)
    gleak = (softplus(w["gleak"]) + GLEAK_MIN) * inverse
    leak = torch.stack([gleak, gleak * w["vleak"]])
    bounds = np.cumsum([0, *(layer.units for layer in cell.layers)])
    senses, ps = _synapses(w, "sensory", np.arange(cell.inputs), 0, inverse)
    ends, numbers = [np.zeros((2, 0), np.int64)], [ps.new_zeros(4, 0)]
    for i, layer in enumerate(cell.layers):
        # The layer before, whose neurons come just before, and its own.
        heard = np.arange(bounds[max(i - 1, 0)], bounds[i + layer.recurrent])
        if len(heard):
            found, values = _synapses(w, layer.name, heard, int(bounds[i]), inverse)
            ends.append(found)
            numbers.append(values)
    net = _Net(
        given.steps,
        np.array(cell.grid(), state.detach().numpy().dtype),
        senses,
        np.ascontiguousarray(np.concatenate(ends, 1)),
    )
    u = (inputs * w["sensory.scale"] + w["sensory.shift"]).permute(2, 0, 1).contiguous()
    v0 = given.start[cell.where("potential")]
    vs = _Scan.apply(u, given.before, leak, ps, torch.cat(numbers, 1), v0, net)
    silent = cell.units - cell.read
    scale, shift = w["output.scale"][:, None, None], w["output.shift"][:, None, None]
    shown = torch.cat([vs[:silent], vs[silent:] * scale + shift])
    if present is not None:
        shown = _until_seen(shown, given.start[: cell.units], present, keep)
    return [shown, vs, given.after[None]]


def _until_seen(shown: Tensor, start: Tensor, present: Tensor, keep: Tensor | None) -> Tensor:
    """Hold the activities of the start, or zero, until the first observation."""
    begun = torch.zeros_like(present) if keep is None else ~keep
    # Observations, and beginnings, so far: an observation must be newer than the last beginning.
    count = torch.arange(1, len(present) + 1)[:, None]
    last_seen = torch.where(present, count, 0).cummax(0).values
    last_begun = torch.where(begun, count, 0).cummax(0).values
    held = torch.where(last_begun > 0, 0.0, start[:, None])
    return torch.where((last_seen > 0) & (last_seen >= last_begun), shown, held)
