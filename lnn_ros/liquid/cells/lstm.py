"""Long short-term memory: a baseline that does not know the time.

    i, f, o = sigmoid(W [u, h] + b)    g = tanh(W_g [u, h] + b_g)
    c <- f c + i g                     h <- o tanh(c)

Source: Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9 (1997), with the
forget gate of Gers et al., "Learning to forget", Neural Computation 12 (2000); its bias starts at
1, as in Jozefowicz et al., "An empirical exploration of recurrent network architectures", ICML
2015.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lnn_ros.liquid.cells.base import Mask, Values, Weights
from lnn_ros.liquid.cells.gated import Gated, affine
from lnn_ros.liquid.ops import Array, Ops

GATES = ("input", "forget", "candidate", "output")


@dataclass(frozen=True)
class LSTM(Gated):
    """An LSTM in every layer of the wiring; in a layer without a loop the gates hear no neuron."""

    kind: ClassVar[str] = "lstm"

    def parts(self) -> dict[str, int]:
        return {"x": self.units, "memory": self.units, "elapsed": 1}

    def parameters(self) -> dict[str, tuple[int, ...]]:
        named: dict[str, tuple[int, ...]] = {}
        for i, (layer, sources) in enumerate(self.sources()):
            for gate in GATES:
                rows = self._rows(i, sources) + layer.units * layer.recurrent
                named[f"{layer.name}.{gate}.weight"] = (rows, layer.units)
                named[f"{layer.name}.{gate}.bias"] = (layer.units,)
        return named

    def allowed(self, masks: Mapping[str, Mask]) -> dict[str, Mask]:
        return {
            f"{layer.name}.{gate}.weight": self._mask(i, masks)
            for i, layer in enumerate(self.layers)
            for gate in GATES
        }

    def initialise(self, rng: np.random.Generator, masks: Mapping[str, Mask]) -> Values:
        values = super().initialise(rng, masks)
        for layer in self.layers:
            values[f"{layer.name}.forget.bias"] += 1.0
        return values

    def update(self, ops: Ops, w: Weights, state: Array, inputs: Array) -> Array:
        source, start, xs, cs = self._source(ops, state, inputs), 0, [], []
        for layer in self.layers:
            h = state[..., start : start + layer.units]
            c = state[..., self.units + start : self.units + start + layer.units]
            z = ops.concat([source, h]) if layer.recurrent else source
            c = ops.sigmoid(affine(w, layer, "forget", z)) * c + ops.sigmoid(
                affine(w, layer, "input", z)
            ) * ops.tanh(affine(w, layer, "candidate", z))
            source = ops.sigmoid(affine(w, layer, "output", z)) * ops.tanh(c)
            xs.append(source)
            cs.append(c)
            start += layer.units
        return ops.concat([*xs, *cs, 0.0 * state[..., -1:]])
