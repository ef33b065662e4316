"""A perceptron behind a cell's interface: the control without memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.base import Cell, Mask, Values, Weights
from lnn_ros.liquid.ops import Array, Ops


@dataclass(frozen=True)
class Feedforward(Cell):
    """Hidden layers with tanh; the state only holds what the last observation made of them."""

    kind: ClassVar[str] = "feedforward"
    split: ClassVar[bool] = False
    memory: ClassVar[bool] = False

    def check(self) -> None:
        super().check()
        for layer in self.layers:
            if layer.recurrent:
                raise LnnError(
                    f"feedforward: layer {layer.name} is recurrent, expected one without a loop"
                )

    def parts(self) -> dict[str, int]:
        return {"x": self.units, "elapsed": 1}

    def parameters(self) -> dict[str, tuple[int, ...]]:
        named: dict[str, tuple[int, ...]] = {}
        for layer, sources in self.sources():
            named[f"{layer.name}.weight"] = (sources, layer.units)
            named[f"{layer.name}.bias"] = (layer.units,)
        return named

    def allowed(self, masks: Mapping[str, Mask]) -> dict[str, Mask]:
        return {f"{layer.name}.weight": masks[f"wiring.{layer.name}"] for layer in self.layers}

    def initialise(self, rng: np.random.Generator, masks: Mapping[str, Mask]) -> Values:
        values: Values = {}
        for layer, sources in self.sources():
            bound = math.sqrt(3.0 / sources)
            mask = masks[f"wiring.{layer.name}"]
            values[f"{layer.name}.weight"] = rng.uniform(-bound, bound, mask.shape) * mask
            values[f"{layer.name}.bias"] = np.zeros(layer.units)
        return values

    def predict(self, ops: Ops, w: Weights, state: Array, dt: Array) -> Array:
        return ops.concat([state[..., : self.units], state[..., self.units :] + dt])

    def update(self, ops: Ops, w: Weights, state: Array, inputs: Array) -> Array:
        x, xs = inputs, []
        for layer in self.layers:
            x = ops.tanh(x @ w[f"{layer.name}.weight"] + w[f"{layer.name}.bias"])
            xs.append(x)
        return ops.concat([*xs, 0.0 * state[..., -1:]])
