"""The flow cell's sibling whose sequences train in parallel: its memory is linear in the state.

A recurrent layer of the wiring holds two numbers a neuron: a memory ``m``, which nothing but the
layer's sources and its own past moves, and an activity ``x``, which hears the memories along the
layer's loop. Between observations both follow the flow that the last update has set, memories in
turning pairs as in ``flow``, activities alone:

    m' = r (g - m) + 2 pi i f m,  m and g complex            x' = q (h - x)

An observation, made ``D`` seconds after the last one, sets all of it anew; ``u`` are the sources of
the layer: the observation, or the updated activities of the layer before.

    g = tanh(W_g u + b_g)          f = f_max tanh(W_f u + b_f)
    r = r_min (r_max / r_min)^sigmoid(W_r u + b_r)
    m <- m + (1 - exp(-r D)) (g - m)
    h = tanh(W_h [u, m] + b_h)     q = r_min (r_max / r_min)^sigmoid(W_q [u, m] + b_q)
    x <- x + (1 - exp(-q D)) (h - x)

No gate hears what it moves. So flow and update together are ``m <- a m + b`` with ``a`` and ``b``
known for the whole sequence at once, then the same for ``x`` once all ``m`` are known, then the
next layer: recurrences that are solved in parallel over time (``liquid.scan``). What is given up is
that an activity gates itself: a nonlinearity stands between memory, activity and layers, but in no
loop. A layer without a loop is as in ``flow``, where it has no nonlinear loop either.

Sources: linear recurrences with turning eigenvalues, Orvieto et al., "Resurrecting recurrent neural
networks for long sequences", ICML 2023 (arXiv 2303.06349); solved by scans, with nonlinearities
between layers only, Smith et al., "Simplified state space layers for sequence modeling" (S5), ICLR
2023 (arXiv 2208.04933); gated by the input, Gu and Dao, "Mamba", 2023 (arXiv 2312.00752). There the
gate is a learned step size; here the step is the true elapsed time and the gate a rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.base import Layer, Mask, Values, Weights, fan_in
from lnn_ros.liquid.cells.flow import Flow, _gain
from lnn_ros.liquid.cells.gated import affine
from lnn_ros.liquid.ops import Array, Ops

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FlowScan(Flow):
    """The flow cell with a memory that is linear in the state; options as of ``Flow``.

    ``rotating`` counts the memories of each layer that turn in pairs; a layer without a loop has
    no memories.
    """

    kind: ClassVar[str] = "flow_scan"

    def check(self) -> None:
        super().check()
        for layer, pairs in zip(self.layers, self.pairs, strict=True):
            if pairs and not layer.recurrent:
                raise LnnError(
                    f"flow_scan: layer {layer.name} has no loop, so no memories: expected 0 of "
                    f"them rotating, found {2 * pairs}"
                )

    @cached_property
    def memory(self) -> Flow:
        """The memories between observations: a flow cell of the layers that have them."""
        kept = [i for i, layer in enumerate(self.layers) if layer.recurrent]
        return Flow(
            self.inputs,
            tuple(self.layers[i] for i in kept),
            self.read,
            tuple(2 * self.pairs[i] for i in kept),
        )

    def parts(self) -> dict[str, int]:
        n, m = self.units, self.memory.units
        return {
            "x": n,
            "target": n,
            "rate": n,
            "memory": m,
            "memory_target": m,
            "memory_rate": m,
            "frequency": sum(self.pairs),
            "elapsed": 1,
        }

    def parameters(self) -> dict[str, tuple[int, ...]]:
        named: dict[str, tuple[int, ...]] = {}
        for i, (layer, sources) in enumerate(self.sources()):
            rows = sources + layer.units * layer.recurrent
            sizes = {"target": (rows, layer.units), "rate": (rows, layer.units)}
            if layer.recurrent:
                # A pair of memories shares its rate and frequency.
                sizes["memory_target"] = (sources, layer.units)
                sizes["memory_rate"] = (sources, layer.units - self.pairs[i])
            if self.pairs[i]:
                sizes["frequency"] = (sources, self.pairs[i])
            for gate, shape in sizes.items():
                named[f"{layer.name}.{gate}.weight"] = shape
                named[f"{layer.name}.{gate}.bias"] = shape[1:]
        return named

    def allowed(self, masks: Mapping[str, Mask]) -> dict[str, Mask]:
        named: dict[str, Mask] = {}
        for (layer, sources), pairs in zip(self.sources(), self.pairs, strict=True):
            mask = masks[f"wiring.{layer.name}"]
            named[f"{layer.name}.target.weight"] = named[f"{layer.name}.rate.weight"] = mask
            if not layer.recurrent:
                continue
            feed = mask[:sources]
            # What one of a pair hears reaches the other by turning: only common sources are safe.
            common, alone = feed[:, :pairs] & feed[:, pairs : 2 * pairs], feed[:, 2 * pairs :]
            named[f"{layer.name}.memory_target.weight"] = np.concatenate([common, common, alone], 1)
            named[f"{layer.name}.memory_rate.weight"] = np.concatenate([common, alone], 1)
            if pairs:
                named[f"{layer.name}.frequency.weight"] = common
        return named

    def initialise(self, rng: np.random.Generator, masks: Mapping[str, Mask]) -> Values:
        values: Values = {}
        allowed = self.allowed(masks)
        for name, shape in self.parameters().items():
            if name.endswith(".bias"):
                values[name] = np.zeros(shape)
            else:
                bound = math.sqrt(3.0 / fan_in(allowed[name]))
                bound *= 1.0 if "target" in name else 0.3
                values[name] = rng.uniform(-bound, bound, shape) * allowed[name]
        for layer, pairs in zip(self.layers, self.pairs, strict=True):
            # Time constants: activities fast, memories spread over the range.
            values[f"{layer.name}.rate.bias"] += 2.0
            if layer.recurrent:
                rate = values[f"{layer.name}.memory_rate.bias"]
                rate += np.linspace(-1.0, 2.0, rate.size)
            if pairs:
                spread = np.linspace(0.0, 1.0, pairs)
                values[f"{layer.name}.frequency.bias"] += rng.permutation(spread)
        return values

    def initial_state(self, first_interval: float = 0.0) -> NDArray[np.float64]:
        state = super().initial_state(first_interval)
        state[self.where("memory_rate")] = self.rate_min
        return state

    def predict(self, ops: Ops, w: Weights, state: Array, dt: Array) -> Array:
        n, m = self.units, self.memory.units
        x, g, r = state[..., :n], state[..., n : 2 * n], state[..., 2 * n : 3 * n]
        memory = state[..., 3 * n :]  # with what moves it, laid out as a flow cell's state
        memory = self.memory.predict(ops, w, memory, dt) if m else memory + dt
        return ops.concat([x + _gain(ops, r * dt) * (g - x), state[..., n : 3 * n], memory])

    def update(self, ops: Ops, w: Weights, state: Array, inputs: Array) -> Array:
        elapsed, memory = state[..., -1:], state[..., self.where("memory")]
        source, start, kept = inputs, 0, 0
        parts: dict[str, list[Array]] = {name: [] for name in self.parts()}
        for i, layer in enumerate(self.layers):
            z = source
            if layer.recurrent:
                g, r, f = self.memory_gates(ops, w, i, source)
                m = memory[..., kept : kept + layer.units]
                m = m + self._pull(ops, r, elapsed) * (g - m)
                parts["memory"].append(m)
                parts["memory_target"].append(g)
                parts["memory_rate"].append(r)
                parts["frequency"] += f
                z = ops.concat([source, m])
                kept += layer.units
            h, q = self.activity_gates(ops, w, layer, z)
            source = state[..., start : start + layer.units]
            source = source + self._pull(ops, q, elapsed) * (h - source)
            parts["x"].append(source)
            parts["target"].append(h)
            parts["rate"].append(q)
            start += layer.units
        return ops.concat([*(a for part in parts.values() for a in part), 0.0 * elapsed])

    def _rate(self, ops: Ops, w: Weights, layer: Layer, gate: str, z: Array) -> Array:
        share = ops.sigmoid(affine(w, layer, gate, z))
        return self.rate_min * ops.exp(math.log(self.rate_max / self.rate_min) * share)

    def memory_gates(
        self, ops: Ops, w: Weights, index: int, source: Array
    ) -> tuple[Array, Array, list[Array]]:
        """Targets and rates of a layer's memories, and the frequencies of its pairs, if any."""
        layer, pairs = self.layers[index], self.pairs[index]
        g = ops.tanh(affine(w, layer, "memory_target", source))
        r = self._rate(ops, w, layer, "memory_rate", source)
        if not pairs:
            return g, r, []
        f = self.frequency_max * ops.tanh(affine(w, layer, "frequency", source))
        return g, ops.concat([r[..., :pairs], r]), [f]

    def activity_gates(self, ops: Ops, w: Weights, layer: Layer, z: Array) -> tuple[Array, Array]:
        """Targets and rates of a layer's activities."""
        return ops.tanh(affine(w, layer, "target", z)), self._rate(ops, w, layer, "rate", z)

    def _pull(self, ops: Ops, r: Array, elapsed: Array) -> Array:
        """Share of the way to the target that an observation moves."""
        return r / self.rate_max if self.event else _gain(ops, r * elapsed)

    def sequence(
        self,
        w: Weights,
        inputs: Tensor,
        dt: Tensor,
        state: Tensor,
        present: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> list[Tensor]:
        """All states of sequences, in parallel over time: see ``liquid.scan``."""
        from lnn_ros.liquid.kernels.scan import flow_scan_states

        return flow_scan_states(self, w, inputs, dt, state, present, keep)
