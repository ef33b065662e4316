"""Wirings of the ncps package as ours: the same synapses, in the order of update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.base import MAX_UNITS, integer
from lnn_ros.liquid.wiring import LAYERS, WiredLayer, Wiring

# What ``get_config()`` of those ncps wirings holds that can be drawn again from it. That of NCP
# cannot: it holds lists where numbers belong.
DRAWN = {
    "AutoNCP": {"units", "output_size", "sparsity_level", "seed"},
    "FullyConnected": {"units", "output_dim", "erev_init_seed", "self_connections"},
    "Random": {"units", "output_dim", "sparsity_level", "random_seed"},
}


@dataclass(frozen=True)
class NcpsWiring:
    """An ncps wiring, by its own numbers of neurons.

    Attributes
    ----------
    sensory : ndarray of int8, shape (inputs, units)
    neurons : ndarray of int8, shape (units, units)
    layers : tuple of tuple of int
        Neurons of each layer, in the order of update.
    outputs : int
        The first so many neurons are motor neurons.
    """

    sensory: NDArray[np.int8]
    neurons: NDArray[np.int8]
    layers: tuple[tuple[int, ...], ...]
    outputs: int

    @property
    def order(self) -> NDArray[np.intp]:
        """Number in ncps of each of our neurons."""
        return np.array([neuron for layer in self.layers for neuron in layer])

    def ours(self) -> Wiring:
        """Return our wiring of the same synapses.

        Raises
        ------
        LnnError
            When a synapse skips a layer: no ncps wiring that is drawn has such.
        """
        built: list[WiredLayer] = []
        before: tuple[int, ...] = ()
        for name, here in zip(layer_names(len(self.layers)), self.layers, strict=True):
            feed = self.neurons[np.ix_(before, here)] if built else self.sensory[:, list(here)]
            loop = self.neurons[np.ix_(here, here)]
            built.append(WiredLayer(name, feed, loop if loop.any() else None))
            before = here
        wiring = Wiring(tuple(built))
        if wiring.synapses != np.count_nonzero(self.sensory) + np.count_nonzero(self.neurons):
            raise LnnError(
                "ncps: a synapse that skips a layer found in the wiring, expected synapses into "
                "the same or the next layer"
            )
        return wiring


def layer_names(count: int) -> tuple[str, ...]:
    """Names of layers; three are those of an NCP."""
    if count == len(LAYERS):
        return LAYERS
    return ("hidden",) if count == 1 else tuple(f"layer_{i}" for i in range(count))


def numbered(sizes: list[int]) -> list[list[int]]:
    """Neurons of layers that are updated in this order: ncps numbers the last layer first."""
    ends = np.cumsum(sizes[::-1])[::-1]
    return [
        [int(n) for n in range(end - size, end)] for end, size in zip(ends, sizes, strict=True)
    ]


def from_wiring(wiring: Any, inputs: int, units: int, sizes: list[int] | None = None) -> NcpsWiring:
    """Read an ncps wiring, or its settings.

    Parameters
    ----------
    wiring : ncps wiring or mapping
        A mapping is what ``get_config()`` returns; to the matrices of the base class's, ``layers``
        may be added: lists of neurons in the order of update.
    inputs, units : int
        As the weights have them.
    sizes : list of int, optional
        Of the layers, as the weights have them.

    Raises
    ------
    LnnError
        When it is malformed or does not fit, or ncps is needed to draw it and not installed.
    """
    if isinstance(wiring, Mapping):
        if "adjacency_matrix" not in wiring:
            wiring = _draw(wiring)
        else:
            layers = wiring.get("layers") or numbered(sizes or [units])
            outputs = wiring.get("output_dim") or units
            sensory, neurons = wiring.get("sensory_adjacency_matrix"), wiring["adjacency_matrix"]
            return _checked(sensory, neurons, layers, outputs, (inputs, units))
    if wiring.units != units:
        raise LnnError(f"ncps: a wiring of {wiring.units} neurons found, expected {units}")
    if wiring.input_dim is None:
        wiring.build(inputs)
    layers = [wiring.get_neurons_of_layer(i) for i in range(wiring.num_layers)]
    sensory, neurons = wiring.sensory_adjacency_matrix, wiring.adjacency_matrix
    return _checked(sensory, neurons, layers, wiring.output_dim, (inputs, units))


def _draw(settings: Mapping[str, Any]) -> Any:
    kind = next((kind for kind, keys in DRAWN.items() if set(settings) == keys), None)
    if kind is None:
        raise LnnError(
            f"ncps: a wiring with {', '.join(sorted(map(str, settings))) or 'no entries'} found, "
            "expected adjacency_matrix and sensory_adjacency_matrix (as "
            "ncps.wirings.Wiring.get_config(wiring) returns them), or the settings of "
            f"{', '.join(DRAWN)}"
        )
    integer("ncps: units of the wiring", settings["units"], 1, MAX_UNITS)
    try:
        wirings = import_module("ncps.wirings")
    except ImportError:
        raise LnnError(
            f"ncps: settings of {kind} found, which only ncps can draw, and it is not installed: "
            "store ncps.wirings.Wiring.get_config(wiring) instead, which holds the matrices"
        ) from None
    try:
        return getattr(wirings, kind)(**settings)
    except (TypeError, ValueError) as error:
        raise LnnError(f"ncps: the wiring cannot be drawn ({error})") from None


def _checked(
    sensory: Any, neurons: Any, layers: Any, outputs: Any, shape: tuple[int, int]
) -> NcpsWiring:
    inputs, units = shape
    try:
        found = {
            "sensory_adjacency_matrix": (np.array(sensory), (inputs, units)),
            "adjacency_matrix": (np.array(neurons), (units, units)),
        }
        lists = tuple(tuple(int(neuron) for neuron in layer) for layer in layers)
    except (TypeError, ValueError, OverflowError):
        raise LnnError("ncps: the wiring is malformed, expected matrices of numbers") from None
    for name, (matrix, expected) in found.items():
        if matrix.shape != expected or not np.isin(matrix, (-1, 0, 1)).all():
            raise LnnError(
                f"ncps: {name} of the wiring has shape {matrix.shape}, expected {expected}, "
                "of -1, 0 and 1"
            )
    if sorted(neuron for layer in lists for neuron in layer) != list(range(units)):
        raise LnnError(f"ncps: layers of the wiring found that do not hold {units} neurons once")
    integer("ncps: output_dim of the wiring", outputs, 1, units)
    seen, among = (matrix.astype(np.int8) for matrix, _ in found.values())
    return NcpsWiring(seen, among, lists, outputs)
