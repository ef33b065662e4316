"""Wirings: which neuron may listen to which.

``ncp`` and ``auto_ncp`` draw neural circuit policies: sensory inputs reach inter neurons, these
reach command neurons, which are recurrent among themselves and reach motor neurons, all sparsely.
Source: Lechner et al., "Neural circuit policies enabling auditable autonomy", Nature Machine
Intelligence 2 (2020). ``dense`` lets one layer hear everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError

LAYERS = ("inter", "command", "motor")
"""Layers of an NCP, in the order in which the state holds them."""

Mask = NDArray[np.uint8]
Signs = NDArray[np.int8]


def pairs_of(units: int) -> int:
    """Pairs in a layer that turns: half of its neurons, i and ``pairs + i``, at least one pair.

    Half, because what turns counts and what stays holds: see docs/explanation/flow.md.
    """
    return max(1, units // 4) if units > 1 else 0


@dataclass(frozen=True)
class WiredLayer:
    """Synapses that end in one layer; 1 excites, -1 inhibits, 0 forbids.

    Only cells with synapses of a fixed kind (LTC) start from the sign; for the others a synapse is
    allowed or not.

    Attributes
    ----------
    name : str
        "inter", "command", "motor", or another identifier.
    feed : ndarray of int8, shape (sources, units)
        From the layer before, or from the inputs.
    loop : ndarray of int8, shape (units, units), or None
        From the layer itself.
    """

    name: str
    feed: Signs
    loop: Signs | None = None

    def __post_init__(self) -> None:
        for matrix in (self.feed,) if self.loop is None else (self.feed, self.loop):
            if matrix.ndim != 2 or 0 in matrix.shape or not np.isin(matrix, (-1, 0, 1)).all():
                raise LnnError(
                    f"wiring: synapses of layer {self.name} are {matrix.dtype} {matrix.shape}, "
                    "expected a matrix of -1, 0 and 1"
                )
        if self.loop is not None and self.loop.shape != (self.units, self.units):
            raise LnnError(
                f"wiring: loop of layer {self.name} has shape {self.loop.shape}, expected "
                f"{(self.units, self.units)}"
            )

    @property
    def units(self) -> int:
        """Number of neurons."""
        return int(self.feed.shape[1])

    @property
    def signs(self) -> Signs:
        """All synapses, sources first, then the layer itself."""
        return self.feed if self.loop is None else np.concatenate([self.feed, self.loop])

    @property
    def mask(self) -> Mask:
        """``signs``, 0 or 1."""
        return (self.signs != 0).astype(np.uint8)

    @property
    def pairs(self) -> int:
        """Pairs that may turn: ``pairs_of(units)`` if mates have the same sources, else 0."""
        count, mask = pairs_of(self.units), self.mask
        same = (mask[:, :count] == mask[:, count : 2 * count]).all()
        return count if same else 0


@dataclass(frozen=True)
class Wiring:
    """Connections of one network.

    Attributes
    ----------
    layers : tuple of WiredLayer
        In the order in which an observation runs through them; the last one acts.
    """

    layers: tuple[WiredLayer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise LnnError("wiring: no layers found, expected at least one")
        for before, layer in zip(self.layers, self.layers[1:], strict=False):
            if layer.feed.shape[0] != before.units:
                raise LnnError(
                    f"wiring: layer {layer.name} hears {layer.feed.shape[0]} neurons, but layer "
                    f"{before.name} has {before.units}: expected the same number"
                )

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return int(self.layers[0].feed.shape[0])

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of neurons of each layer."""
        return tuple(layer.units for layer in self.layers)

    @property
    def units(self) -> int:
        """Number of neurons."""
        return sum(self.sizes)

    @property
    def synapses(self) -> int:
        """Number of connections."""
        return sum(int(layer.mask.sum()) for layer in self.layers)

    def masks(self) -> dict[str, Mask]:
        """Masks as checkpoints name them: ``wiring.<layer>``, (sources [+ units], units)."""
        return {f"wiring.{layer.name}": layer.mask for layer in self.layers}

    @staticmethod
    def from_masks(
        layers: tuple[tuple[str, bool], ...], masks: Mapping[str, NDArray[np.integer]]
    ) -> Wiring:
        """Build from names (and whether recurrent) of layers, and masks as ``masks`` gives them."""
        built = []
        for name, recurrent in layers:
            mask = np.asarray(masks[f"wiring.{name}"]).astype(np.int8)
            cut = mask.shape[0] - mask.shape[1] * recurrent
            built.append(WiredLayer(name, mask[:cut], mask[cut:] if recurrent else None))
        return Wiring(tuple(built))

    def adjacency(self) -> tuple[Signs, Signs]:
        """Synapses from inputs (inputs, units) and between neurons (units, units)."""
        sensory = np.zeros((self.inputs, self.units), np.int8)
        neurons = np.zeros((self.units, self.units), np.int8)
        start, before = 0, slice(0, 0)
        for i, layer in enumerate(self.layers):
            here = slice(start, start + layer.units)
            if i == 0:
                sensory[:, here] = layer.feed
            else:
                neurons[before, here] = layer.feed
            if layer.loop is not None:
                neurons[here, here] = layer.loop
            start, before = here.stop, here
        return sensory, neurons


def _fan_in(rng: np.random.Generator, sources: int, neurons: int, fan: int) -> Signs:
    """Give every neuron ``fan`` distinct sources, and every source at least one neuron."""
    fan = min(fan, sources)
    mask = np.zeros((sources, neurons), np.int8)
    # Balanced draws: sources are taken from shuffled decks, so that none is left out by chance.
    deck: list[int] = []
    for neuron in range(neurons):
        chosen: set[int] = set()
        while len(chosen) < fan:
            if not deck:
                deck = [int(i) for i in rng.permutation(sources)]
            candidates = [i for i in deck if i not in chosen]
            if not candidates:
                deck = [int(i) for i in rng.permutation(sources)]
                continue
            deck.remove(candidates[-1])
            chosen.add(candidates[-1])
        mask[sorted(chosen), neuron] = 1
    for source in np.flatnonzero(mask.sum(axis=1) == 0):
        mask[source, rng.integers(neurons)] = 1
    return mask


def _signed(rng: np.random.Generator, mask: Signs, inhibiting: float) -> Signs:
    signs = np.where(rng.random(mask.shape) < inhibiting, -1, 1)
    return (mask * signs).astype(np.int8)


def ncp(
    inputs: int,
    inter: int,
    command: int,
    motor: int,
    *,
    inter_fan_in: int,
    command_fan_in: int,
    recurrent_fan_in: int,
    motor_fan_in: int,
    seed: int,
    paired: bool = False,
) -> Wiring:
    """Draw an NCP wiring; equal arguments give equal wirings.

    A recurrent command neuron always hears itself, besides its fan-in: without that it could not
    hold or integrate anything alone.

    Parameters
    ----------
    inputs, inter, command, motor : int
        Layer sizes, at least 1.
    inter_fan_in, command_fan_in, recurrent_fan_in, motor_fan_in : int
        Sources per inter neuron (inputs), per command neuron (inter; command), per motor neuron;
        at most all there are.
    seed : int
        Of the draw.
    paired : bool
        Give the command neurons of a pair (``pairs_of``) the same sources, so that a flow cell
        can let them turn.

    Raises
    ------
    LnnError
        If a size or fan-in is below 1, or pairs are asked of an odd number of neurons.
    """
    numbers = (inputs, inter, command, motor, inter_fan_in, command_fan_in, motor_fan_in)
    if min(numbers) < 1 or recurrent_fan_in < 0:
        raise LnnError(f"wiring: layer sizes and fan-ins {numbers} found, expected at least 1 each")
    if paired and command < 2:
        raise LnnError(f"wiring: {command} command neurons found, expected at least 2 to pair")
    rng = np.random.default_rng(seed)
    pairs = pairs_of(command) if paired else 0
    drawn = command - pairs
    first = _fan_in(rng, inputs, inter, inter_fan_in)
    feed = _fan_in(rng, inter, drawn, command_fan_in)
    loop = np.zeros((command, drawn), np.int8)
    if recurrent_fan_in:
        loop = _fan_in(rng, command, drawn, recurrent_fan_in)
        one, alone = np.arange(pairs), np.arange(pairs, drawn)
        # One of a pair hears the other too: they turn into each other.
        loop[one, one] = loop[one + pairs, one] = loop[alone + pairs, alone] = 1
    feed, loop = (np.concatenate([m[:, :pairs], m], 1) for m in (feed, loop))
    last = _fan_in(rng, command, motor, motor_fan_in)
    # Signs are drawn after all synapses: they change no mask.
    return Wiring(
        (
            WiredLayer("inter", _signed(rng, first, 0.5)),
            WiredLayer("command", _signed(rng, feed, 0.5), _signed(rng, loop, 0.5)),
            WiredLayer("motor", _signed(rng, last, 0.5)),
        )
    )


def auto_ncp(
    inputs: int,
    units: int,
    outputs: int,
    *,
    sparsity: float = 0.5,
    seed: int = 22222,
    paired: bool = False,
) -> Wiring:
    """Draw an NCP wiring from a number of neurons, of which ``outputs`` are motor neurons.

    60 % of the other neurons are inter neurons, the rest command neurons; fan-ins are a share
    ``1 - sparsity`` of the sources. The same proportions as in the ``ncps`` package's AutoNCP, but
    not the same draw (``ncps_import`` takes over a wiring as it is).

    Parameters
    ----------
    inputs, units, outputs : int
        Numbers of inputs, of all neurons, of motor neurons; ``units >= outputs + 3``.
    sparsity : float
        0.1 to 0.9.
    seed : int
        Of the draw.
    paired : bool
        As in ``ncp``.

    Raises
    ------
    LnnError
        If the numbers leave no inter or no command neuron, or the sparsity is out of range.
    """
    if not 0.1 <= sparsity <= 0.9:
        raise LnnError(f"wiring: sparsity {sparsity!r} found, expected 0.1 to 0.9")
    if outputs < 1 or units < outputs + 3:
        raise LnnError(
            f"wiring: {units} neurons for {outputs} outputs found, expected at least 1 output and "
            "3 neurons more than outputs"
        )
    density = 1.0 - sparsity
    command = max(2, int(0.4 * (units - outputs)))
    inter = units - outputs - command

    def fan(sources: int) -> int:
        return max(1, round(density * sources))

    return ncp(
        inputs,
        inter,
        command,
        outputs,
        inter_fan_in=fan(inputs),
        command_fan_in=fan(inter),
        recurrent_fan_in=fan(command),
        motor_fan_in=fan(command),
        seed=seed,
        paired=paired,
    )


def dense(inputs: int, units: int) -> Wiring:
    """One layer in which every neuron hears all inputs and all neurons."""
    if inputs < 1 or units < 1:
        raise LnnError(f"wiring: {inputs} inputs and {units} units found, expected at least 1 each")
    return Wiring(
        (WiredLayer("hidden", np.ones((inputs, units), np.int8), np.ones((units, units), np.int8)),)
    )
