"""GRU-D over whole sequences: what is missing filled in, then the GRUs of ``kernels.gated``.

Filling in is sequential feature by feature, since it needs the last observed value: one scan of its
own, without a product. Then a layer's decays are one matrix product over all steps, as what feeds
it is; its scan is a GRU's whose past fades. Arrays are (rows, T, B), or (rows, B) for one step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lnn_ros.liquid.cells.gru_d import GRUD, LONGEST
from lnn_ros.liquid.kernels.gated import gru_layer
from lnn_ros.liquid.kernels.maths import expm1, faded, jit
from lnn_ros.liquid.kernels.scans import Sequences, bypass, fetch, hold
from lnn_ros.liquid.kernels.steps import Steps, add, begin, differentiable_once, load


@jit
def _seconds(log_age: Any) -> Any:
    """Age that an input tells; NaN stays NaN."""
    zero, most = type(log_age)(0), type(log_age)(LONGEST)
    log_age = zero if log_age < zero else log_age
    return expm1(most if log_age > most else log_age)


@jit
def _forward(
    rows: Any, mean: Any, decay: Any, bias: Any, seen: Any, present: Any, kept: Any, keep: Any,
    last: Any, lasts: Any, filled: Any, ages: Any,
) -> None:  # fmt: skip
    """Fill ``lasts``, ``filled`` (values and presence) and ``ages``; ``last`` is scratch."""
    features, steps, batch = lasts.shape
    zero = rows.dtype.type(0)
    for t in range(steps):
        begin(t, kept, keep, zero, last)
        for j in range(features):
            for b in range(batch):
                value, there = rows[j, t, b], rows[features + j, t, b]
                age = _seconds(rows[2 * features + j, t, b])
                left = faded(age * decay[j] + bias[j])
                guess = mean[j] + left * (last[j, b] - mean[j])
                filled[j, t, b] = guess + there * (value - guess)
                filled[features + j, t, b] = there
                ages[j, t, b] = age
                lasts[j, t, b] = last[j, b] + there * (value - last[j, b])
        hold(t, seen, present, last, lasts)
        fetch(t, lasts, last)


@jit
def _backward(
    rows: Any, mean: Any, decay: Any, bias: Any, seen: Any, present: Any, kept: Any, keep: Any,
    start: Any, lasts: Any, dlasts: Any, dfilled: Any, dages: Any,
    drows: Any, dmean: Any, ddecay: Any, dbias: Any, dlast: Any,
) -> None:  # fmt: skip
    """Run the scan backwards; the parameters' gradients are one for each sequence."""
    features, steps, batch = lasts.shape
    zero, one = rows.dtype.type(0), rows.dtype.type(1)
    most = rows.dtype.type(LONGEST)
    last, past = np.empty((features, batch), rows.dtype), np.empty((features, batch), rows.dtype)
    for t in range(steps - 1, -1, -1):
        add(t, dlasts, dlast)
        load(t - 1, start, lasts, last)
        begin(t, kept, keep, zero, last)
        bypass(t, seen, present, dlast, past)
        for j in range(features):
            for b in range(batch):
                value, there = rows[j, t, b], rows[features + j, t, b]
                log_age = rows[2 * features + j, t, b]
                age = _seconds(log_age)
                fading = age * decay[j] + bias[j]
                left, old = faded(fading), last[j, b] - mean[j]
                guess = mean[j] + left * old
                d, held = dfilled[j, t, b], dlast[j, b]
                drows[j, t, b] = there * (d + held)
                drows[features + j, t, b] = (
                    dfilled[features + j, t, b] + d * (value - guess) + held * (value - last[j, b])
                )
                d *= one - there
                pull = -(d * old) * left if fading > zero else zero
                dmean[j, b] += d * (one - left)
                ddecay[j, b] += pull * age
                dbias[j, b] += pull
                inside = log_age >= zero and log_age <= most
                slope = (pull * decay[j] + dages[j, t, b]) * (age + one)
                drows[2 * features + j, t, b] = slope if inside else zero
                dlast[j, b] = held * (one - there) + d * left + past[j, b]
        begin(t, kept, keep, zero, dlast)


class _Fill(torch.autograd.Function):
    """Last observed values; values filled in, and presence; ages in seconds."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        mean: Tensor,
        decay: Tensor,
        bias: Tensor,
        start: Tensor,
        steps: Steps,
    ) -> tuple[Tensor, Tensor, Tensor]:
        features = len(start)
        lasts, ages = (rows.new_empty(features, *steps.shape) for _ in range(2))
        filled = rows.new_empty(2 * features, *steps.shape)
        given = [part.detach().numpy() for part in (rows, mean, decay, bias)]
        given[0] = given[0].reshape(-1, *steps.shape)
        _forward(
            *given, *steps.masks, start.detach().numpy().copy(),
            *(part.numpy() for part in (lasts, filled, ages)),
        )  # fmt: skip
        ctx.steps = steps
        ctx.save_for_backward(rows, mean, decay, bias, start, lasts)
        return lasts, filled, ages

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        rows, *parameters, start, lasts = ctx.saved_tensors
        drows = torch.empty_like(rows)
        dstarts = [torch.zeros_like(start) for _ in range(4)]
        shape = ctx.steps.shape
        _backward(
            rows.detach().numpy().reshape(-1, *shape),
            *(part.detach().numpy() for part in parameters), *ctx.steps.masks,
            start.detach().numpy(), lasts.detach().numpy(),
            *(part.contiguous().numpy() for part in grads), drows.numpy().reshape(-1, *shape),
            *(part.numpy() for part in dstarts),
        )  # fmt: skip
        *sums, dlast = dstarts
        return drows, *(part.sum(1) for part in sums), dlast, None


def rows(
    cell: GRUD,
    w: Mapping[str, Tensor],
    inputs: Tensor,
    dt: Tensor,
    state: Tensor,
    present: Tensor | None,
    keep: Tensor | None,
) -> list[Tensor] | None:
    """Run over sequences, as ``kernels.Kernel`` says."""
    given = Sequences.of(inputs, dt, state, present, keep)
    lasts, filled, ages = _Fill.apply(
        given.source.contiguous(),
        *(w[f"missing.{name}"] for name in ("mean", "decay", "bias")),
        given.start[cell.where("last")],
        given.steps,
    )
    source, ages, found, start = filled.flatten(1), ages.flatten(1), [], 0
    for layer in cell.layers:
        stop, fading = start + layer.units, f"{layer.name}.decay"
        decay = torch.addmm(w[f"{fading}.bias"][:, None], w[f"{fading}.weight"].t(), ages)
        x0 = [given.start[start:stop]]
        found += gru_layer(w, layer, source, x0, given.steps, decay)
        # Later layers hear no feature: their past fades with the time since the last observation.
        source, ages, start = found[-1].flatten(1), given.before.reshape(1, -1), stop
    return [*found, lasts, given.after[None]]
