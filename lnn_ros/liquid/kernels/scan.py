"""Linear recurrences over whole sequences, in parallel. Needs torch.

``x[t] = a[t] x[t-1] + b[t]``: two steps of it are one step of the same form, so that halves of a
sequence can be put together (Blelloch, "Prefix sums and their applications", 1990; for recurrent
networks: Martin and Cundy, "Parallelizing linear recurrent neural nets over sequence length", ICLR
2018, arXiv 1709.04057). Neighbours are put together first, then the sequence of half the length is
solved, then the steps between are filled in: about 3 T products in 2 log2 T rounds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lnn_ros.liquid.ops import TorchOps

if TYPE_CHECKING:
    from lnn_ros.liquid.cells.base import Weights
    from lnn_ros.liquid.cells.flow_scan import FlowScan

OPS = TorchOps()

WIDE = 2048
"""Numbers a step from which a round of one step each costs less than fewer, larger rounds."""


def _one_by_one(a: Tensor, b: Tensor) -> Tensor:
    x = torch.empty_like(b)
    x[0] = b[0]
    for t in range(1, len(b)):
        torch.addcmul(b[t], a[t], x[t - 1], out=x[t])
    return x


def _solve(a: Tensor, b: Tensor) -> Tensor:
    """Return x for x[-1] = 0."""
    steps = len(b)
    if steps <= 4 or b[0].numel() >= WIDE:
        return _one_by_one(a, b)
    even = 2 * (steps // 2)
    later = slice(1, even, 2)
    x = torch.empty_like(b)
    x[later] = _solve(a[later] * a[0:even:2], torch.addcmul(b[later], a[later], b[0:even:2]))
    x[0] = b[0]
    x[2::2] = torch.addcmul(b[2::2], a[2::2], x[1 : steps - 1 : 2])
    return x


class _Scan(torch.autograd.Function):
    """The gradient of a recurrence is a recurrence of the same form, backwards in time."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        x = _solve(a, b)
        ctx.save_for_backward(a, x)
        return x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        a, x = ctx.saved_tensors
        # What reaches x[t] reaches x[t-1] through a[t].
        reversed_a = torch.zeros_like(a)
        reversed_a[1:] = a.flip(0)[:-1]
        of_b = _solve(reversed_a.conj().resolve_conj(), grad.flip(0)).flip(0)
        of_a = torch.zeros_like(a)
        of_a[1:] = of_b[1:] * x[:-1].conj()
        return of_a, of_b


def linear_scan(a: Tensor, b: Tensor, first: Tensor) -> Tensor:
    """Solve ``x[t] = a[t] x[t-1] + b[t]``.

    Parameters
    ----------
    a, b : Tensor, shape (T, ...), T >= 1
        Real or complex.
    first : Tensor, shape (...)
        ``x`` before the first step.

    Returns
    -------
    Tensor, shape (T, ...)
        Differentiable once in all three.
    """
    b = torch.cat([torch.addcmul(b[:1], a[:1], first[None]), b[1:]])
    x: Tensor = _Scan.apply(a, b)
    return x


def flow_scan_states(
    cell: FlowScan,
    w: Weights,
    inputs: Tensor,
    dt: Tensor,
    state: Tensor,
    present: Tensor | None,
    keep: Tensor | None,
) -> list[Tensor]:
    """Run a ``flow_scan`` cell over sequences.

    Arguments as of ``CellModule.states``. Returns the pieces of all states in order, each
    (size, T, B): put together, most of them would only be copied.
    """
    clock = _Clock(dt, state[:, -1:], present, keep)
    if present is not None:
        inputs = torch.where(present[..., None], inputs, 0.0)  # what is not there may be NaN
    initial = torch.as_tensor(cell.initial_state(), dtype=state.dtype, device=state.device)

    def held(part: str, where: slice, now: Tensor) -> tuple[Tensor, Tensor]:
        offset = cell.where(part).start
        where = slice(offset + where.start, offset + where.stop)
        return clock.held(now, state[:, where], initial[where])

    parts: dict[str, list[Tensor]] = {name: [] for name in cell.parts()}
    source, start, kept, turned = inputs, 0, 0, 0
    for i, layer in enumerate(cell.layers):
        z, here = source, slice(start, start + layer.units)
        if layer.recurrent:
            pairs, there = cell.pairs[i], slice(kept, kept + layer.units)
            g, r, f = cell.memory_gates(OPS, w, i, source)
            g_before, g_after = held("memory_target", there, g)
            r_before, r_after = held("memory_rate", there, r)
            pull = clock.pull(cell, r)
            first = state[:, cell.where("memory")][:, there]
            turning, alone = slice(0, 2 * pairs), slice(2 * pairs, layer.units)
            memory = []
            if pairs:
                f_before, f_after = held("frequency", slice(turned, turned + pairs), f[0])
                memory.append(
                    clock.turn(
                        first[:, turning],
                        g_before[..., turning],
                        r_before[..., :pairs],
                        f_before,
                        g[..., turning],
                        pull[..., :pairs],
                    )
                )
                parts["frequency"].append(f_after)
            if layer.units > 2 * pairs:
                memory.append(
                    clock.decay(
                        first[:, alone],
                        g_before[..., alone],
                        r_before[..., alone],
                        g[..., alone],
                        pull[..., alone],
                    )
                )
            m = torch.cat(memory, -1)
            for name, value in (("", m), ("_target", g_after), ("_rate", r_after)):
                parts["memory" + name].append(value)
            z = torch.cat([source, m], -1)
            kept, turned = kept + layer.units, turned + pairs
        h, q = cell.activity_gates(OPS, w, layer, z)
        h_before, h_after = held("target", here, h)
        q_before, q_after = held("rate", here, q)
        source = clock.decay(state[:, here], h_before, q_before, h, clock.pull(cell, q))
        for name, value in (("x", source), ("target", h_after), ("rate", q_after)):
            parts[name].append(value)
        start += layer.units
    parts["elapsed"].append(clock.after)
    return [piece.permute(2, 0, 1) for part in parts.values() for piece in part]


class _Clock:
    """Times of sequences: what has passed, what was observed, what the observations have set.

    Attributes
    ----------
    elapsed, after : Tensor, shape (T, B, 1)
        Seconds since the last observation, just before and just after each step.
    """

    def __init__(
        self, dt: Tensor, elapsed: Tensor, present: Tensor | None, keep: Tensor | None
    ) -> None:
        self.dt = dt[..., None]
        self.present = None if present is None else present[..., None]
        self.keep = None if keep is None else keep[..., None]
        # Elapsed time goes on where the step before observed nothing and no episode begins.
        on = torch.zeros_like(self.dt)
        on[0] = 1.0
        if self.present is not None:
            on[1:] = (~self.present[:-1]).to(dt.dtype)
        if self.keep is not None:
            on = on * self.keep
        self.elapsed = linear_scan(on, self.dt, elapsed)
        self.after = torch.zeros_like(self.elapsed)
        if self.present is not None:
            self.after = torch.where(self.present, self.after, self.elapsed)
        if self.present is not None or self.keep is not None:
            self._rows()

    def _rows(self) -> None:
        """Row of [before, each step, initial] that holds before and after each step."""
        steps = len(self.dt)
        here = torch.arange(1, steps + 1, device=self.dt.device)[:, None, None].expand_as(self.dt)
        start = torch.zeros_like(here) if self.keep is None else here * ~self.keep
        seen = here if self.present is None else here * self.present
        # The later of the last observation and the last start counts; an observation wins a tie.
        last = torch.maximum(seen, start).cummax(0).values
        observed = seen.cummax(0).values
        self._after = torch.where(observed == last, last, steps + 1)
        before = torch.cat([torch.zeros_like(last[:1]), self._after[:-1]])
        self._before = torch.where(start > 0, steps + 1, before)

    def held(self, now: Tensor, state: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
        """Return what holds before and after each step, of what each observation would set."""
        rows = torch.cat([state[None], now, initial.expand_as(state)[None]])
        if self.present is None and self.keep is None:
            return rows[:-2], now
        shape = now.shape
        return (
            rows.gather(0, self._before.expand(shape)),
            rows.gather(0, self._after.expand(shape)),
        )

    def pull(self, cell: FlowScan, rate: Tensor) -> Tensor:
        """Share of the way to its target that each observation moves; none, none."""
        pull = rate / cell.rate_max if cell.event else -torch.expm1(-rate * self.elapsed)
        return pull if self.present is None else pull * self.present

    def decay(
        self, first: Tensor, before: Tensor, rate: Tensor, target: Tensor, pull: Tensor
    ) -> Tensor:
        """Solve ``x <- k + (1 - pull) (x - k) ...``: towards ``before`` until the observation."""
        flown = -torch.expm1(-rate * self.dt)
        a = (1.0 - flown) * (1.0 - pull)
        if self.keep is not None:
            a = a * self.keep
        return linear_scan(a, (1.0 - pull) * flown * before + pull * target, first)

    def turn(
        self,
        first: Tensor,
        before: Tensor,
        rate: Tensor,
        frequency: Tensor,
        target: Tensor,
        pull: Tensor,
    ) -> Tensor:
        """Solve the same for pairs, which turn until the observation."""
        cycles = frequency * self.dt
        angle = 2.0 * math.pi * (cycles - torch.round(cycles))
        real = torch.expm1(-rate * self.dt)
        decay = 1.0 + real
        # exp(z) - 1, exact near zero.
        sine = torch.sin(0.5 * angle)
        moved = torch.complex(real - 2.0 * decay * sine * sine, decay * torch.sin(angle))
        speed = 2.0 * math.pi * frequency
        rest = _paired(before) * (rate / torch.complex(rate, -speed))
        kept = 1.0 - pull
        a = kept * (1.0 + moved)
        if self.keep is not None:
            a = a * self.keep
        x = linear_scan(a, -kept * moved * rest + pull * _paired(target), _paired(first))
        return torch.cat([x.real, x.imag], -1)


def _paired(x: Tensor) -> Tensor:
    """Of 2m numbers, number i with number m + i."""
    half = x.shape[-1] // 2
    return torch.complex(x[..., :half].contiguous(), x[..., half:].contiguous())
