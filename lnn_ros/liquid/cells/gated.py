"""What the GRU and the LSTM share: gates over wired layers, the elapsed time as an input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.base import Cell, Layer, Mask, Values, Weights
from lnn_ros.liquid.ops import Array, Ops


@dataclass(frozen=True)
class Gated(Cell):
    """A cell of gates; every gate of a neuron hears exactly the sources that the neuron may hear.

    Attributes
    ----------
    dt_input : bool
        The time since the last observation, as log(1 + seconds), is one more input of the first
        layer. It is no neuron, so no wiring forbids it. False: the cell as published, which knows
        no time.
    """

    dt_input: bool = False

    split: ClassVar[bool] = False

    def check(self) -> None:
        super().check()
        if type(self.dt_input) is not bool:
            raise LnnError(f"{self.kind}: dt_input is {self.dt_input!r}, expected true or false")

    def _rows(self, index: int, sources: int) -> int:
        """Number of inputs of a layer, the elapsed time included, its own neurons not."""
        return sources + (self.dt_input and index == 0)

    def _mask(self, index: int, masks: Mapping[str, Mask]) -> Mask:
        """A layer's mask with a row for the elapsed time, between the inputs and the neurons."""
        layer = self.layers[index]
        mask = masks[f"wiring.{layer.name}"]
        if not (self.dt_input and index == 0):
            return mask
        cut = len(mask) - layer.units * layer.recurrent
        return np.concatenate([mask[:cut], np.ones((1, layer.units), np.uint8), mask[cut:]])

    def initialise(self, rng: np.random.Generator, masks: Mapping[str, Mask]) -> Values:
        values: Values = {}
        units = {layer.name: layer.units for layer in self.layers}
        allowed = self.allowed(masks)
        for name, shape in self.parameters().items():
            bound = 1.0 / math.sqrt(units[name.split(".")[0]])  # as torch draws them
            values[name] = rng.uniform(-bound, bound, shape) * allowed.get(name, 1)
        return values

    def predict(self, ops: Ops, w: Weights, state: Array, dt: Array) -> Array:
        return ops.concat([state[..., :-1], state[..., -1:] + dt])

    def _source(self, ops: Ops, state: Array, inputs: Array) -> Array:
        """What the first layer hears besides itself."""
        if not self.dt_input:
            return inputs
        return ops.concat([inputs, ops.log1p(state[..., -1:])])


def affine(w: Weights, layer: Layer, gate: str, z: Array) -> Array:
    """Return a gate before its nonlinearity."""
    return z @ w[f"{layer.name}.{gate}.weight"] + w[f"{layer.name}.{gate}.bias"]
