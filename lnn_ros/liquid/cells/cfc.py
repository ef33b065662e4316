"""Closed-form continuous-time networks (CfC), alone and behind a mixed memory.

An observation, made ``D`` seconds after the last one, sets the activity of a layer to

    default   x = (1 - s) tanh(f1) + s tanh(f2),   s = sigmoid(a D + b)
    no_gate   x = tanh(f1) + s tanh(f2)
    pure      x = A - A f1 exp(-D (|w_tau| + |f1|))

in which ``f1``, ``f2``, ``a`` and ``b`` are affine in the sources: the observation or the layer
before, and in a recurrent layer its own last activity. Of a dense network they may be affine in a
backbone, a perceptron over those sources. Source: Hasani et al., "Closed-form continuous-time
neural networks", Nature Machine Intelligence 4 (2022) (arXiv 2106.13898); the forms, and the sign
of ``a``, are those of the ``ncps`` package's torch code.

Mixed memory puts an LSTM ahead of it, whose output takes the place of the layer's last activity.
Source: Lechner and Hasani, "Learning long-term dependencies in irregularly-sampled time series",
2020 (arXiv 2006.04418). There, and in ``ncps``, a memory forgets per observation. Ours forgets per
second, and equals theirs for D = 1 s:

    c <- F^D c + sigmoid(i) tanh(v),   F = sigmoid(g + 1),   F^D = exp(-D softplus(-(g + 1)))

What the published cell does with time stays: the activity is held between observations
(``split`` is False), and an observation moves it even if no time has passed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.base import (
    MAX_LAYERS,
    MAX_UNITS,
    Cell,
    Layer,
    Mask,
    Values,
    Weights,
    choice,
    integer,
)
from lnn_ros.liquid.ops import Array, Ops

MODES = ("default", "no_gate", "pure")
ACTIVATIONS = ("lecun_tanh", "relu", "tanh", "silu", "gelu")


@dataclass(frozen=True)
class CfC(Cell):
    """A closed-form continuous-time network.

    Attributes
    ----------
    mode : str
        "default", "no_gate" or "pure".
    backbone_layers : int
        Hidden layers of the backbone; 0: none. Only for one layer that is wired densely.
    backbone_units : int
        Width of each of them.
    activation : str
        Of the backbone: "lecun_tanh" (1.7159 tanh(0.666 x)), "relu", "tanh", "silu" or "gelu".
    compat : str
        "ncps": what ncps 1.0.1 computes in torch. Every neuron then hears its whole layer, and the
        time gates hear all sources, whatever the wiring says. "ncps_keras": what it computes in
        keras and tensorflow, where there is no tanh around f1 and f2 besides. "" (ours): the wiring
        holds everywhere.
    """

    mode: str = "default"
    backbone_layers: int = 0
    backbone_units: int = 128
    activation: str = "lecun_tanh"
    compat: str = ""

    kind: ClassVar[str] = "cfc"
    split: ClassVar[bool] = False
    _linear: ClassVar[tuple[str, ...]] = ("ncps_keras",)

    def check(self) -> None:
        super().check()
        choice(f"{self.kind}: mode", self.mode, MODES)
        choice(f"{self.kind}: activation", self.activation, ACTIVATIONS)
        choice(f"{self.kind}: compat", self.compat, ("", "ncps", *self._linear))
        integer(f"{self.kind}: backbone_layers", self.backbone_layers, 0, MAX_LAYERS)
        integer(f"{self.kind}: backbone_units", self.backbone_units, 1, MAX_UNITS)
        if self.backbone_layers and len(self.layers) > 1:
            raise LnnError(
                f"{self.kind}: a backbone found with {len(self.layers)} layers, expected one dense "
                "layer: a backbone mixes all its sources"
            )

    def parts(self) -> dict[str, int]:
        return {"x": self.units, "elapsed": 1}

    def hears_itself(self, layer: Layer) -> bool:
        """Whether a layer's own activity is among its sources."""
        return layer.recurrent or self.compat != ""

    @property
    def _gates(self) -> int:
        """Affine maps of a layer; they lie side by side in one matrix, f1 (f2, a, b)."""
        return 1 if self.mode == "pure" else 4

    def parameters(self) -> dict[str, tuple[int, ...]]:
        named: dict[str, tuple[int, ...]] = {}
        for layer, sources in self.sources():
            rows = sources + layer.units * self.hears_itself(layer)
            for i in range(self.backbone_layers):
                named[f"{layer.name}.backbone.{i}.weight"] = (rows, self.backbone_units)
                named[f"{layer.name}.backbone.{i}.bias"] = (self.backbone_units,)
                rows = self.backbone_units
            named[f"{layer.name}.weight"] = (rows, self._gates * layer.units)
            named[f"{layer.name}.bias"] = (self._gates * layer.units,)
            if self.mode == "pure":
                named[f"{layer.name}.w_tau"] = (layer.units,)
                named[f"{layer.name}.A"] = (layer.units,)
        return named

    def allowed(self, masks: Mapping[str, Mask]) -> dict[str, Mask]:
        named: dict[str, Mask] = {}
        for layer, sources in self.sources():
            mask = masks[f"wiring.{layer.name}"]
            if self.compat != "":
                mask = np.concatenate([mask[:sources], np.ones((layer.units,) * 2, np.uint8)])
            if self.backbone_layers:
                if not mask.all():
                    raise LnnError(
                        f"{self.kind}: a backbone found with a sparse wiring, expected a dense "
                        "one: a backbone mixes all its sources"
                    )
                continue
            time = np.ones_like(mask) if self.compat != "" else mask
            gates = [mask, mask, time, time][: self._gates]
            named[f"{layer.name}.weight"] = np.concatenate(gates, 1)
        return named

    def initialise(self, rng: np.random.Generator, masks: Mapping[str, Mask]) -> Values:
        allowed = self.allowed(masks)
        values: Values = {}
        for name, shape in self.parameters().items():
            if name.endswith(".weight"):
                mask = allowed.get(name, np.ones(shape, np.uint8))
                # Gates that lie side by side are matrices of their own.
                gates = 1 if ".backbone." in name else 4 if ".gates." in name else self._gates
                values[name] = np.concatenate(
                    [_glorot(rng, part) for part in np.split(mask, gates, axis=1)], 1
                )
            else:
                values[name] = np.ones(shape) if name.endswith(".A") else np.zeros(shape)
        return values

    def initial_state(self, first_interval: float = 0.0) -> NDArray[np.float64]:
        # ncps knows no time before the first observation but the one it is given with it.
        return super().initial_state(0.0 if self.compat != "" else first_interval)

    def predict(self, ops: Ops, w: Weights, state: Array, dt: Array) -> Array:
        return ops.concat([state[..., :-1], state[..., -1:] + dt])

    def update(self, ops: Ops, w: Weights, state: Array, inputs: Array) -> Array:
        source, elapsed, xs, start = inputs, state[..., -1:], [], 0
        for layer in self.layers:
            before = state[..., start : start + layer.units]
            source = self._closed_form(ops, w, layer, source, before, elapsed)
            xs.append(source)
            start += layer.units
        return ops.concat([*xs, 0.0 * elapsed])

    def _closed_form(
        self, ops: Ops, w: Weights, layer: Layer, source: Array, before: Array, elapsed: Array
    ) -> Array:
        """Activity of one layer after an observation."""
        z = ops.concat([source, before]) if self.hears_itself(layer) else source
        for i in range(self.backbone_layers):
            name = f"{layer.name}.backbone.{i}"
            z = _activate(ops, self.activation, z @ w[f"{name}.weight"] + w[f"{name}.bias"])
        y, n = z @ w[f"{layer.name}.weight"] + w[f"{layer.name}.bias"], layer.units
        if self.mode == "pure":
            amplitude = w[f"{layer.name}.A"]
            rate = ops.abs(w[f"{layer.name}.w_tau"]) + ops.abs(y)
            return amplitude - amplitude * (y * ops.exp(-(rate * elapsed)))
        heads = y[..., : 2 * n]
        if self.compat not in self._linear:
            heads = ops.tanh(heads)
        first, second = heads[..., :n], heads[..., n:]
        share = ops.sigmoid(y[..., 2 * n : 3 * n] * elapsed + y[..., 3 * n :])
        return first + share * (second if self.mode == "no_gate" else second - first)


@dataclass(frozen=True)
class CfCMixed(CfC):
    """A CfC behind an LSTM, whose output takes the place of the layer's last activity.

    Ours has a memory in each recurrent layer, which hears what that layer may hear, so that every
    path runs along synapses; it forgets per second. With ``compat="ncps"`` one memory as wide as
    the network hears the observation and every neuron, and forgets per observation.
    """

    kind: ClassVar[str] = "cfc_mixed"
    _linear: ClassVar[tuple[str, ...]] = ()

    def check(self) -> None:
        super().check()
        if not any(self.hears_itself(layer) for layer in self.layers):
            raise LnnError("cfc_mixed: no recurrent layer found, expected one to hold the memory")

    def _holding(self) -> dict[str, tuple[int, int, str]]:
        """Memories by the name of their parameters: sources, units and the layer (or "")."""
        if self.compat != "":
            return {"memory": (self.inputs, self.units, "")}
        return {
            f"{layer.name}.memory": (sources, layer.units, layer.name)
            for layer, sources in self.sources()
            if layer.recurrent
        }

    def parts(self) -> dict[str, int]:
        cells = sum(units for _, units, _ in self._holding().values())
        return {"x": self.units, "memory": cells, "elapsed": 1}

    def parameters(self) -> dict[str, tuple[int, ...]]:
        named = super().parameters()
        for name, (sources, units, _) in self._holding().items():
            # Side by side: value, input gate, forget gate, output gate.
            named[f"{name}.gates.weight"] = (sources + units, 4 * units)
            named[f"{name}.gates.bias"] = (4 * units,)
        return named

    def allowed(self, masks: Mapping[str, Mask]) -> dict[str, Mask]:
        named = super().allowed(masks)
        for name, (_, _, layer) in self._holding().items():
            if layer:
                named[f"{name}.gates.weight"] = np.tile(masks[f"wiring.{layer}"], (1, 4))
        return named

    def update(self, ops: Ops, w: Weights, state: Array, inputs: Array) -> Array:
        source, elapsed = inputs, state[..., -1:]
        x, memory = state[..., : self.units], state[..., self.where("memory")]
        whole = self.compat != ""
        xs, cells, start, held = [], [], 0, 0
        if whole:
            x, cell = self._remember(ops, w, "memory", inputs, x, memory, None)
            cells.append(cell)
        for layer in self.layers:
            before = x[..., start : start + layer.units]
            if layer.recurrent and not whole:
                cell = memory[..., held : held + layer.units]
                name = f"{layer.name}.memory"
                before, cell = self._remember(ops, w, name, source, before, cell, elapsed)
                cells.append(cell)
                held += layer.units
            source = self._closed_form(ops, w, layer, source, before, elapsed)
            xs.append(source)
            start += layer.units
        return ops.concat([*xs, *cells, 0.0 * elapsed])

    @staticmethod
    def _remember(
        ops: Ops,
        w: Weights,
        name: str,
        source: Array,
        before: Array,
        cell: Array,
        elapsed: Array | None,
    ) -> tuple[Array, Array]:
        """Output and cell of an LSTM; without ``elapsed`` it forgets per observation."""
        y = ops.concat([source, before]) @ w[f"{name}.gates.weight"] + w[f"{name}.gates.bias"]
        n = y.shape[-1] // 4
        forget = y[..., 2 * n : 3 * n] + 1.0
        if elapsed is None:
            kept = ops.sigmoid(forget)
        else:
            kept = ops.exp(-(ops.softplus(-forget) * elapsed))
        cell = cell * kept + ops.tanh(y[..., :n]) * ops.sigmoid(y[..., n : 2 * n])
        return ops.tanh(cell) * ops.sigmoid(y[..., 3 * n :]), cell


def _glorot(rng: np.random.Generator, mask: Mask) -> NDArray[np.float64]:
    """Uniform weights of a variance that keeps that of signals, for the connections there are."""
    ends = max(1.0, float(mask.sum(0).mean())) + max(1.0, float(mask.sum(1).mean()))
    bound = math.sqrt(6.0 / ends)
    return rng.uniform(-bound, bound, mask.shape) * mask


def _activate(ops: Ops, name: str, x: Array) -> Array:
    if name == "lecun_tanh":
        return 1.7159 * ops.tanh(0.666 * x)
    if name == "relu":
        return ops.relu(x)
    if name == "tanh":
        return ops.tanh(x)
    if name == "silu":
        return x * ops.sigmoid(x)
    return _gelu(ops, x)


# Of (1 + 2 y) exp(y^2) erfc(y) in powers of (y - 3.75) / (y + 3.75): a Chebyshev fit of degree 14,
# to 1e-10. The form is that of Shepherd and Laframboise, "Chebyshev approximation of
# (1 + 2x) exp(x^2) erfc x", Mathematics of Computation 36 (1981).
_ERFC = (
    1.23751263081,
    -0.140240599536,
    0.00358541932096,
    0.0822767739901,
    -0.10880401166,
    0.0923039375382,
    -0.0586927358322,
    0.0283641051178,
    -0.00974924335905,
    0.00175115762855,
    0.000299596514095,
    -0.000284313075221,
    4.42801312501e-05,
    1.85219472325e-05,
    -6.35240347979e-06,
)  # fmt: skip


def _gelu(ops: Ops, x: Array) -> Array:
    """``x`` times the normal distribution function of ``x``; the set of operations has no erf."""
    y = math.sqrt(0.5) * ops.abs(x)
    u = (y - 3.75) / (y + 3.75)
    polynomial: Array = _ERFC[-1]
    for coefficient in _ERFC[-2::-1]:
        polynomial = polynomial * u + coefficient
    erf = 1.0 - polynomial / (1.0 + 2.0 * y) * ops.exp(-(y * y))
    return 0.5 * x + 0.5 * ops.abs(x) * erf
