"""GRU-D: a GRU in which hidden state and missing inputs decay with the time since they were seen.

Its inputs are three numbers for each of F features, in the order in which
``LiquidRNN(presence=True)`` gives them: F values ``v`` (0 where missing), F numbers ``m``, 1 where
the feature was observed and 0 where not, and F times log(1 + d), d being the seconds since the
feature was last observed before now. ``l`` are the last observed values, part of the state.

    k = exp(-max(0, w_k d + b_k))          l <- m v + (1 - m) l
    v^ = m v + (1 - m) (k l + (1 - k) mean)
    h <- exp(-max(0, W d + b)) h, then a GRU's update with the inputs [v^, m]

Source: Che et al., "Recurrent neural networks for multivariate time series with missing values",
Scientific Reports 8 (2018), doi 10.1038/s41598-018-24271-9. Ours differs in three points: the GRU
has its reset gate after the recurrent product (see ``gru``); the features' means are parameters
that start at 0 (inputs are taken as normalised) instead of the training set's; and in layers after
the first, which hear no feature, the state decays with the time since the last observation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.base import Cell, Mask, Values, Weights
from lnn_ros.liquid.cells.gru import gru_allowed, gru_layer, gru_parameters
from lnn_ros.liquid.ops import Array, Ops

LONGEST = 12.0
"""Bound of log(1 + age): two days, so that no age overflows."""


@dataclass(frozen=True)
class GRUD(Cell):
    """A GRU-D in every layer of the wiring; ``inputs`` is three times the number of features.

    A neuron hears a feature's value where the wiring allows all three inputs of that feature: a
    value that is filled in depends on them all.
    """

    kind: ClassVar[str] = "gru_d"
    split: ClassVar[bool] = False
    presence: ClassVar[bool] = True

    @property
    def features(self) -> int:
        """Number of features."""
        return self.inputs // 3

    def check(self) -> None:
        super().check()
        if self.inputs % 3:
            raise LnnError(
                f"gru_d: inputs is {self.inputs}, expected a multiple of 3: values, presence and "
                "log ages of the features, as LiquidRNN(presence=True) gives them"
            )

    def parts(self) -> dict[str, int]:
        return {"x": self.units, "last": self.features, "elapsed": 1}

    def parameters(self) -> dict[str, tuple[int, ...]]:
        named: dict[str, tuple[int, ...]] = {
            f"missing.{name}": (self.features,) for name in ("mean", "decay", "bias")
        }
        for i, (layer, sources) in enumerate(self.sources()):
            feed, ages = (2 * self.features, self.features) if i == 0 else (sources, 1)
            named |= gru_parameters(layer, feed)
            named[f"{layer.name}.decay.weight"] = (ages, layer.units)
            named[f"{layer.name}.decay.bias"] = (layer.units,)
        return named

    def allowed(self, masks: Mapping[str, Mask]) -> dict[str, Mask]:
        named: dict[str, Mask] = {}
        for i, layer in enumerate(self.layers):
            mask = masks[f"wiring.{layer.name}"]
            if i == 0:
                value, there, age = np.split(mask[: self.inputs], 3)
                named[f"{layer.name}.decay.weight"] = age
                mask = np.concatenate([value & there & age, there, mask[self.inputs :]])
            named |= gru_allowed(layer, mask)
        return named

    def initialise(self, rng: np.random.Generator, masks: Mapping[str, Mask]) -> Values:
        values: Values = {}
        allowed = self.allowed(masks)
        units = {layer.name: layer.units for layer in self.layers}
        for name, shape in self.parameters().items():
            layer, what = name.split(".")[:2]
            if layer == "missing" or what == "decay":
                # Slow, and above zero: below it, max(0, .) would have no gradient.
                slow = name.endswith(("missing.decay", "decay.weight"))
                values[name] = rng.uniform(0.0, 1.0 / shape[0], shape) * slow
            else:
                bound = 1.0 / math.sqrt(units[layer])
                values[name] = rng.uniform(-bound, bound, shape)
            values[name] *= allowed.get(name, 1)
        return values

    def predict(self, ops: Ops, w: Weights, state: Array, dt: Array) -> Array:
        return ops.concat([state[..., :-1], state[..., -1:] + dt])

    def update(self, ops: Ops, w: Weights, state: Array, inputs: Array) -> Array:
        f, start, xs = self.features, 0, []
        last, elapsed = state[..., self.where("last")], state[..., -1:]
        value, there, age = inputs[..., :f], inputs[..., f : 2 * f], inputs[..., 2 * f :]
        age = ops.exp(ops.clip(age, 0.0, LONGEST)) - 1.0
        kept = ops.exp(-ops.relu(age * w["missing.decay"] + w["missing.bias"]))
        filled = w["missing.mean"] + kept * (last - w["missing.mean"])
        source = ops.concat([filled + there * (value - filled), there])
        for i, layer in enumerate(self.layers):
            ages = age if i == 0 else elapsed
            decay = ages @ w[f"{layer.name}.decay.weight"] + w[f"{layer.name}.decay.bias"]
            h = ops.exp(-ops.relu(decay)) * state[..., start : start + layer.units]
            source = gru_layer(ops, w, layer, source, h)
            xs.append(source)
            start += layer.units
        return ops.concat([*xs, last + there * (value - last), 0.0 * elapsed])
