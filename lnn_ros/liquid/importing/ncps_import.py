"""Take over networks of the ncps package: weights and wirings, from its torch or keras code.

Accepted are modules of ``ncps.torch`` (CfC, LTC and their cells), and weights by name:

- torch: the names of ``state_dict()``;
- keras, keras-ncp, tensorflow: the names of ``rnn.weights``, each after its number, as
  ``{f"{i}/{v.path}": v for i, v in enumerate(rnn.weights)}`` gives them.

The wiring is an ncps wiring or what its ``get_config()`` returns. ncps draws AutoNCP,
FullyConnected and Random wirings from their settings, so these need ncps installed; what the base
class's ``ncps.wirings.Wiring.get_config(wiring)`` returns holds the matrices and needs nothing.

The result has ``compat="ncps"``, or "ncps_keras" for keras's CfC, which lacks a tanh: it computes
what ncps computes. ncps numbers the neurons of an NCP motor, command, inter, and its LTC holds its
state that way (its CfC does not); ours is inter, command, motor for all cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.base import Cell, Values
from lnn_ros.liquid.cells.cfc import CfC, CfCMixed
from lnn_ros.liquid.cells.ltc import LTC, NEURON, SYNAPSE
from lnn_ros.liquid.checkpoint import CellCheckpoint
from lnn_ros.liquid.importing.ncps_weights import Weights
from lnn_ros.liquid.importing.ncps_wiring import NcpsWiring, from_wiring, layer_names, numbered
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.wiring import WiredLayer, Wiring, dense

if TYPE_CHECKING:
    from lnn_ros.liquid.rnn import LiquidRNN

Array = NDArray[np.float64]

ACTIVATIONS = {
    "LeCun": "lecun_tanh",
    "Tanh": "tanh",
    "ReLU": "relu",
    "SiLU": "silu",
    "GELU": "gelu",
}
"""Classes of ncps and torch, and our names."""


@dataclass(frozen=True)
class Imported:
    """A network that was taken over.

    Attributes
    ----------
    cell : Cell
        With ``compat="ncps"``.
    wiring : Wiring
    values : dict of str to ndarray
        The cell's parameters, float64.
    order : ndarray of int, shape (neurons,)
        Which neuron of ncps's state each of ours is.
    readout : tuple of ndarray (read, outputs) and ndarray (outputs,)
        Of the last ``cell.read`` activities: ncps's ``proj_size`` layer, or ones and zeros that
        pick out the motor neurons.
    """

    cell: Cell
    wiring: Wiring
    values: Values
    order: NDArray[np.intp]
    readout: tuple[Array, Array]

    def rnn(self, dtype: Any = None) -> LiquidRNN:
        """Return the network as a torch module; ``dtype`` is by default torch.float32."""
        import torch

        from lnn_ros.liquid.rnn import LiquidRNN

        options = {
            field.name: getattr(self.cell, field.name)
            for field in fields(self.cell)
            if field.name not in ("inputs", "layers", "read")
        }
        weight, bias = self.readout
        rnn = LiquidRNN(
            self.cell.inputs,
            len(bias),
            cell=self.cell.kind,
            wiring=self.wiring,
            dtype=torch.float32 if dtype is None else dtype,
            first_interval=0.0,  # ncps knows none
            **options,
        )
        with torch.no_grad():
            for name, parameter in rnn.core.named_parameters():
                parameter.copy_(torch.from_numpy(self.values[name]))
            rnn.readout.weight.copy_(torch.from_numpy(weight.T))
            rnn.readout.bias.copy_(torch.from_numpy(bias))
        return rnn

    def run(self, inputs: Array, timespans: Array) -> Array:
        """Run over one sequence in numpy, from the state of zeros that ncps starts from.

        Parameters
        ----------
        inputs : ndarray, shape (T, inputs)
        timespans : ndarray, shape (T,)
            Seconds before each observation.

        Returns
        -------
        ndarray, shape (T, outputs)
        """
        cell, (weight, bias) = self.cell, self.readout
        state, outputs = cell.initial_state(), []
        for x, dt in zip(inputs, timespans, strict=True):
            state = cell.predict(NUMPY, self.values, state, np.array([dt]))
            state = cell.update(NUMPY, self.values, state, x)
            outputs.append(cell.activity(NUMPY, state)[-cell.read :] @ weight + bias)
        return np.array(outputs)

    def checkpoint(self, name: str, source: Mapping[str, Any]) -> CellCheckpoint:
        """Return the network as a cell file holds it, float32."""
        weight, bias = self.readout
        arrays = {f"core.{key}": value for key, value in self.values.items()}
        arrays |= {"readout.weight": weight, "readout.bias": bias}
        return CellCheckpoint(
            self.cell,
            {key: value.astype(np.float32) for key, value in arrays.items()} | self.wiring.masks(),
            len(bias),
            name,
            dict(source),
        )


def from_ncps(source: Any, wiring: Any = None, **options: Any) -> Imported:
    """Take over a network of ncps.

    Parameters
    ----------
    source : module of ncps.torch, or mapping of str to ndarray
        CfC, CfCCell, WiredCfCCell, LTC or LTCCell; or weights by name (see the module).
    wiring : ncps wiring or mapping, optional
        What ``get_config()`` returns. Modules know their own. Torch's weights hold the synapses
        too, without signs, and but for those inside the layers of a CfC, which it ignores.
    **options
        What weights do not tell; modules do. CfC: ``mode`` ("default" or "no_gate"),
        ``activation``; LTC: ``unfolds``, ``epsilon``, ``constrained`` (by default true for torch,
        as ``ncps.torch.LTC`` has it, and false for keras, which has no other).

    Returns
    -------
    Imported

    Raises
    ------
    LnnError
        When a weight is missing, unknown, of a wrong shape or not finite, when weights and wiring
        do not fit, or the network has no counterpart here.
    """
    if hasattr(source, "state_dict"):
        cell = getattr(source, "rnn_cell", source)
        options = {**_options_of(cell), **options}
        wiring = getattr(cell, "_wiring", None) if wiring is None else wiring
        source = {name: value.detach().cpu().numpy() for name, value in source.state_dict().items()}
    weights = Weights(source)
    if weights.has("gleak"):
        found = _ltc(weights, wiring, options)
    elif weights.has("layer_0.ff1.weight") or weights.has("ff1.weight"):
        found = _cfc(weights, wiring, options)
    else:
        raise LnnError("ncps: neither ff1 nor gleak found among the weights, expected a CfC or LTC")
    weights.refuse_rest()
    masks = found.cell.allowed(found.wiring.masks())
    for name, mask in masks.items():
        found.values[name] = found.values[name] * mask
    return found


def _options_of(cell: Any) -> dict[str, Any]:
    """What a module knows besides its weights."""
    if hasattr(cell, "_ode_unfolds"):
        return {
            "unfolds": cell._ode_unfolds,
            "epsilon": cell._epsilon,
            "constrained": cell._implicit_param_constraints,
        }
    cell = getattr(cell, "layer_0", cell)
    known = {"mode": cell.mode}
    if cell.backbone is not None:
        known["activation"] = ACTIVATIONS[type(cell.backbone[1]).__name__]
    return known


def _cfc(weights: Weights, wiring: Any, options: Mapping[str, Any]) -> Imported:
    count = 0
    while weights.has(f"layer_{count}.ff1.weight"):
        count += 1
    prefixes = [f"layer_{i}." for i in range(count)] or [""]
    pure = weights.has(f"{prefixes[0]}w_tau")
    gates = ("ff1",) if pure else ("ff1", "ff2", "time_a", "time_b")
    parts = [{g: weights.take(f"{p}{g}.weight", None, None).T for g in gates} for p in prefixes]
    sizes = [part["ff1"].shape[1] for part in parts]
    backbone = [
        # Linear layers among activations; where there is dropout, three follow each other.
        (weights.take(f"{name}.weight", None, None).T, weights.take(f"{name}.bias", None))
        for name in (f"backbone.{i}" for i in range(64))
        if weights.has(f"{name}.weight")
    ]
    inputs = (backbone[0][0] if backbone else parts[0]["ff1"]).shape[0] - sizes[0]
    if inputs < 1:
        raise LnnError(f"ncps: {inputs} inputs left beside {sizes[0]} neurons, expected at least 1")
    ours, outputs = _cfc_wiring(weights, wiring, inputs, prefixes, sizes)
    values: Values = {}
    sources = inputs
    for layer, prefix, part in zip(ours.layers, prefixes, parts, strict=True):
        rows = sources + layer.units
        for i, (matrix, bias) in enumerate(backbone):
            _expect(f"backbone {i}", matrix, (rows, bias.shape[0]))
            values[f"{layer.name}.backbone.{i}.weight"] = matrix
            values[f"{layer.name}.backbone.{i}.bias"] = bias
            rows = bias.shape[0]
        for gate, matrix in list(part.items()):
            _expect(f"{prefix}{gate}.weight", matrix, (rows, layer.units))
            if weights.keras and not backbone and gate in ("ff1", "ff2"):
                # Keras multiplies by the wiring's signs, where torch takes its mask.
                part[gate] = matrix * np.concatenate([layer.feed, np.ones((layer.units,) * 2)])
        values[f"{layer.name}.weight"] = np.concatenate(list(part.values()), 1)
        values[f"{layer.name}.bias"] = np.concatenate(
            [weights.take(f"{prefix}{gate}.bias", layer.units) for gate in gates]
        )
        for name in ("w_tau", "A") if pure else ():
            values[f"{layer.name}.{name}"] = weights.take(f"{prefix}{name}", 1, layer.units)[0]
        sources = layer.units
    kind: type[CfC] = CfC
    if weights.has("lstm.input_map.weight"):
        kind, units = CfCMixed, ours.units
        heard = weights.take("lstm.input_map.weight", 4 * units, inputs)
        itself = weights.take("lstm.recurrent_map.weight", 4 * units, units)
        values["memory.gates.weight"] = np.concatenate([heard.T, itself.T])
        values["memory.gates.bias"] = weights.take("lstm.input_map.bias", 4 * units)
    chosen: dict[str, Any] = {"mode": "default", "activation": "lecun_tanh", **options}
    if pure:
        chosen["mode"] = "pure"
    if backbone:
        chosen["backbone_layers"] = len(backbone)
        chosen["backbone_units"] = backbone[0][1].shape[0]
    chosen["compat"] = "ncps_keras" if weights.keras and not pure else "ncps"
    cell = kind.wired(inputs, ours, ours.layers[-1].units, **chosen)
    return Imported(
        cell, ours, values, np.arange(ours.units), _readout(weights, cell.read, slice(outputs))
    )


def _cfc_wiring(
    weights: Weights, wiring: Any, inputs: int, prefixes: list[str], sizes: list[int]
) -> tuple[Wiring, int]:
    """Wiring of a CfC, and the number of its outputs."""
    rows = [n + m for n, m in zip([inputs, *sizes], sizes, strict=False)]
    masks = [
        weights.mask(f"{p}sparsity_mask", n, r)
        for p, n, r in zip(prefixes, sizes, rows, strict=True)
    ]
    if wiring is not None:
        drawn = from_wiring(wiring, inputs, sum(sizes), sizes)
        ours = drawn.ours()
        if list(ours.sizes) != sizes:
            raise LnnError(f"ncps: layers of {sizes} found, but {ours.sizes} in the wiring")
        for layer, mask in zip(ours.layers, masks, strict=True):
            if mask is not None and not np.array_equal(mask.T[: len(layer.feed)], layer.feed != 0):
                raise LnnError(f"ncps: layer {layer.name} has other synapses than in the wiring")
        # Torch's cell gives out its whole last layer, keras's the motor neurons of it.
        return ours, min(drawn.outputs, sizes[-1]) if weights.keras else sizes[-1]
    if len(sizes) > 1 and any(mask is None for mask in masks):
        raise LnnError("ncps: layers without masks found, expected a wiring beside the weights")
    if masks[0] is None:
        return dense(inputs, sizes[0]), sizes[0]
    layers = []
    for name, mask, units in zip(layer_names(len(sizes)), masks, sizes, strict=True):
        assert mask is not None
        # Which synapses a layer has inside is not known, and ignored by ncps.
        layers.append(WiredLayer(name, mask.T[:-units], np.ones((units, units), np.int8)))
    return Wiring(tuple(layers)), sizes[-1]


def _ltc(weights: Weights, wiring: Any, options: Mapping[str, Any]) -> Imported:
    if weights.has("lstm.input_map.weight"):
        raise LnnError("ncps: an LTC with mixed memory found, expected one without")
    stored = {name: weights.take(name, None) for name in NEURON}
    units = stored["gleak"].shape[0]
    blocks = {"": {name: weights.take(name, units, units) for name in SYNAPSE}}
    blocks["sensory_"] = {name: weights.take(f"sensory_{name}", None, units) for name in SYNAPSE}
    inputs = blocks["sensory_"]["w"].shape[0]
    masks = [
        weights.mask("sensory_sparsity_mask", inputs, units),
        weights.mask("sparsity_mask", units, units),
    ]
    drawn = _ltc_wiring(weights, wiring, masks, inputs, units)
    ours, order, outputs = drawn.ours(), drawn.order, drawn.outputs
    constrained = options.get("constrained", not weights.keras)
    read = ours.layers[-1].units
    cell = LTC.wired(
        inputs, ours, read, compat="ncps", **{**options, "constrained": constrained}
    )
    if constrained:
        for block in blocks.values():
            # Masks multiply stored numbers: ours must be zero where nothing conducts.
            block["w"] = np.sqrt(np.logaddexp(block["w"], 0.0))
    values: Values = {name: stored[name][order] for name in NEURON}
    before: tuple[int, ...] = ()
    for layer, here in zip(ours.layers, drawn.layers, strict=True):
        heard = [*before, *(here if layer.loop is not None else ())]
        for name in SYNAPSE:
            if not before:
                values[f"sensory.{name}"] = blocks["sensory_"][name][:, here]
            if heard:
                values[f"{layer.name}.{name}"] = blocks[""][name][np.ix_(heard, here)]
        before = here
    for part, size, theirs in (("sensory", inputs, "input"), ("output", outputs, "output")):
        for name, short, neutral in (("scale", "w", 1.0), ("shift", "b", 0.0)):
            key = f"{theirs}_{short}"
            found = weights.take(key, size) if weights.has(key) else np.full(size, neutral)
            values[f"{part}.{name}"] = found
            if part == "output":
                # Motor neurons come first in ncps; in one layer the rest is read as it is.
                whole = np.full(read, neutral)
                whole[np.array(drawn.layers[-1]) < outputs] = found
                values[f"{part}.{name}"] = whole
    motor = np.flatnonzero(np.array(drawn.layers[-1]) < outputs)
    return Imported(cell, ours, values, order, _readout(weights, read, motor))


def _ltc_wiring(
    weights: Weights, wiring: Any, masks: list[NDArray[np.int8] | None], inputs: int, units: int
) -> NcpsWiring:
    if wiring is not None:
        drawn = from_wiring(wiring, inputs, units)
        for mask, matrix in zip(masks, (drawn.sensory, drawn.neurons), strict=True):
            if mask is not None and not np.array_equal(mask, matrix != 0):
                raise LnnError("ncps: the LTC has other synapses than the wiring")
        if not all(neuron in drawn.layers[-1] for neuron in range(drawn.outputs)):
            raise LnnError("ncps: motor neurons found outside the last layer of the wiring")
        return drawn
    sensory, neurons = masks
    if sensory is None or neurons is None:
        raise LnnError("ncps: an LTC without masks found, expected a wiring beside the weights")
    if not weights.has("output_w"):
        raise LnnError(
            "ncps: how many motor neurons the LTC has is not known, expected a wiring beside the "
            "weights"
        )
    outputs = weights.shape("output_w")[0]
    return NcpsWiring(sensory, neurons, tuple(map(tuple, numbered([units]))), outputs)


def _readout(weights: Weights, read: int, motor: Any) -> tuple[Array, Array]:
    """Return ncps's projection, or what picks out the motor neurons."""
    chosen = np.eye(read)[:, motor]
    if not weights.has("fc.weight"):
        return chosen, np.zeros(chosen.shape[1])
    matrix = weights.take("fc.weight", None, chosen.shape[1]).T
    return chosen @ matrix, weights.take("fc.bias", matrix.shape[1])


def _expect(name: str, matrix: Array, shape: tuple[int, int]) -> None:
    if matrix.shape != shape:
        found, wanted = matrix.shape[::-1], shape[::-1]
        raise LnnError(f"ncps: weight {name} has shape {found}, expected {wanted}")
