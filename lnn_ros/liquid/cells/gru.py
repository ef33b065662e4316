"""The gated recurrent unit: a baseline that does not know the time.

    r = sigmoid(W_r [u, h] + b_r)    z = sigmoid(W_z [u, h] + b_z)
    n = tanh(W_n u + b_n + r * (W_h h + b_h))
    h <- (1 - z) n + z h

Source: Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
machine translation", EMNLP 2014 (arXiv 1406.1078), with the reset gate after the recurrent product
as in cuDNN and torch: a neuron then hears the sources of its own wiring only, whereas a reset gate
before the product would let it hear those of its neighbours in the same update.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from lnn_ros.liquid.cells.base import Layer, Mask, Weights
from lnn_ros.liquid.cells.gated import Gated, affine
from lnn_ros.liquid.ops import Array, Ops


@dataclass(frozen=True)
class GRU(Gated):
    """A GRU in every layer of the wiring; a layer without a loop has no recurrent product."""

    kind: ClassVar[str] = "gru"

    def parts(self) -> dict[str, int]:
        return {"x": self.units, "elapsed": 1}

    def parameters(self) -> dict[str, tuple[int, ...]]:
        named: dict[str, tuple[int, ...]] = {}
        for i, (layer, sources) in enumerate(self.sources()):
            named |= gru_parameters(layer, self._rows(i, sources))
        return named

    def allowed(self, masks: Mapping[str, Mask]) -> dict[str, Mask]:
        named: dict[str, Mask] = {}
        for i, layer in enumerate(self.layers):
            named |= gru_allowed(layer, self._mask(i, masks))
        return named

    def update(self, ops: Ops, w: Weights, state: Array, inputs: Array) -> Array:
        source, start, xs = self._source(ops, state, inputs), 0, []
        for layer in self.layers:
            source = gru_layer(ops, w, layer, source, state[..., start : start + layer.units])
            xs.append(source)
            start += layer.units
        return ops.concat([*xs, 0.0 * state[..., -1:]])


def gru_parameters(layer: Layer, feed: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a layer's parameters; ``feed`` sources besides itself."""
    rows = {"update": feed + layer.units * layer.recurrent, "candidate": feed}
    if layer.recurrent:
        rows |= {"reset": feed + layer.units, "recurrent": layer.units}
    named: dict[str, tuple[int, ...]] = {}
    for gate, count in rows.items():
        named[f"{layer.name}.{gate}.weight"] = (count, layer.units)
        named[f"{layer.name}.{gate}.bias"] = (layer.units,)
    return named


def gru_allowed(layer: Layer, mask: Mask) -> dict[str, Mask]:
    """What the wiring allows of a layer's weights: ``mask`` has its sources, then itself."""
    feed = len(mask) - layer.units * layer.recurrent
    named = {f"{layer.name}.update.weight": mask, f"{layer.name}.candidate.weight": mask[:feed]}
    if layer.recurrent:
        named |= {f"{layer.name}.reset.weight": mask, f"{layer.name}.recurrent.weight": mask[feed:]}
    return named


def gru_layer(ops: Ops, w: Weights, layer: Layer, source: Array, h: Array) -> Array:
    """Activities of a layer after an observation; ``h`` are those before."""
    n, z = affine(w, layer, "candidate", source), source
    if layer.recurrent:
        z = ops.concat([source, h])
        n = n + ops.sigmoid(affine(w, layer, "reset", z)) * affine(w, layer, "recurrent", h)
    n = ops.tanh(n)
    return n + ops.sigmoid(affine(w, layer, "update", z)) * (h - n)
