"""Neural circuit policy wirings: which neuron may listen to which.

Source: Lechner et al., "Neural circuit policies enabling auditable autonomy", Nature Machine
Intelligence 2 (2020): sensory -> inter -> command (recurrent among themselves) -> motor, sparse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError

LAYERS = ("inter", "command", "motor")
"""Layers with a state, in the order in which the state vector holds them."""

Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Wiring:
    """Connections of one network; ``mask[i, j] == 1`` lets input ``i`` reach neuron ``j``.

    Attributes
    ----------
    inter : ndarray of uint8, shape (sensory, n_inter)
        From the sensory inputs.
    command : ndarray of uint8, shape (n_inter + n_command, n_command)
        From the inter neurons, then from the command neurons themselves.
    motor : ndarray of uint8, shape (n_command, n_motor)
        From the command neurons.
    """

    inter: Mask
    command: Mask
    motor: Mask

    def __post_init__(self) -> None:
        n_inter, n_command = self.inter.shape[1], self.command.shape[1]
        if self.command.shape[0] != n_inter + n_command or self.motor.shape[0] != n_command:
            raise LnnError(
                f"wiring: layers of shapes {self.inter.shape}, {self.command.shape}, "
                f"{self.motor.shape} do not join, expected (sensory, inter), "
                "(inter + command, command), (command, motor)"
            )

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Number of inter, command and motor neurons."""
        return self.inter.shape[1], self.command.shape[1], self.motor.shape[1]

    @property
    def synapses(self) -> int:
        """Number of connections."""
        return int(self.inter.sum() + self.command.sum() + self.motor.sum())

    def masks(self) -> dict[str, Mask]:
        """Masks by layer name."""
        return {"inter": self.inter, "command": self.command, "motor": self.motor}


def _fan_in(rng: np.random.Generator, sources: int, neurons: int, fan: int) -> Mask:
    """Give every neuron ``fan`` distinct sources, and every source at least one neuron."""
    fan = min(fan, sources)
    mask = np.zeros((sources, neurons), np.uint8)
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


def ncp(
    sensory: int,
    inter: int,
    command: int,
    motor: int,
    *,
    inter_fan_in: int,
    command_fan_in: int,
    recurrent_fan_in: int,
    motor_fan_in: int,
    seed: int,
) -> Wiring:
    """Draw an NCP wiring; equal arguments give equal wirings.

    Parameters
    ----------
    sensory, inter, command, motor : int
        Layer sizes, at least 1.
    inter_fan_in, command_fan_in, recurrent_fan_in, motor_fan_in : int
        Sources per inter neuron (sensory), per command neuron (inter; command), per motor neuron.
    seed : int
        Of the draw.

    Raises
    ------
    LnnError
        If a size or fan-in is below 1.
    """
    numbers = (sensory, inter, command, motor, inter_fan_in, command_fan_in, motor_fan_in)
    if min(numbers) < 1 or recurrent_fan_in < 0:
        raise LnnError(f"wiring: layer sizes and fan-ins {numbers} found, expected at least 1 each")
    rng = np.random.default_rng(seed)
    return Wiring(
        inter=_fan_in(rng, sensory, inter, inter_fan_in),
        command=np.concatenate(
            [
                _fan_in(rng, inter, command, command_fan_in),
                _fan_in(rng, command, command, recurrent_fan_in)
                if recurrent_fan_in
                else np.zeros((command, command), np.uint8),
            ]
        ),
        motor=_fan_in(rng, command, motor, motor_fan_in),
    )
