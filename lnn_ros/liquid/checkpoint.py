"""Files of policies, and of cells alone: what must be in them, and that it fits together.

A policy file holds the tensors that ``PolicySpec.parameters`` and ``PolicySpec.masks`` name, those
of ``novelty`` if it has been calibrated, no others, and a card (``CARD_KEYS``). A cell file is the
same for a ``Cell`` alone, with a linear read-out if it has one (``CELL_CARD_KEYS``). Loading runs
no code from the file.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid import container
from lnn_ros.liquid.bound import bound
from lnn_ros.liquid.cells import Cell, cell_from_json
from lnn_ros.liquid.cells.base import MAX_UNITS, integer, number
from lnn_ros.liquid.novelty import PREFIX, Novelty
from lnn_ros.liquid.spec import SUMMARY, PolicySpec

POLICY_FORMAT, CELL_FORMAT = "lnn_ros-policy", "lnn_ros-cell"
CARD_KEYS = ("name", "task", "spec", "streams", "camera", "training", "evaluation")
CELL_CARD_KEYS = ("name", "cell", "outputs", "presence", "first_interval", "source")


@dataclass(frozen=True)
class Checkpoint:
    """A policy's architecture, numbers and papers.

    Attributes
    ----------
    spec : PolicySpec
        Architecture.
    arrays : dict of str to ndarray
        Parameters (float32) and masks (uint8).
    card : dict
        ``CARD_KEYS``: plain data; ``spec`` in it is the architecture as stored, ``bound`` what
        ``liquid.bound`` proves, which ``save`` notes and ``load`` checks.
    novelty : Novelty, optional
        Tells how unlike training a frame is; None: this policy does not say.
    """

    spec: PolicySpec
    arrays: dict[str, NDArray[Any]]
    card: dict[str, Any]
    novelty: Novelty | None = None

    def weights_digest(self) -> str:
        """SHA-256 over parameters and masks: names the policy, whatever else its file tells."""
        return container.digest("", self.arrays)


@dataclass(frozen=True)
class CellCheckpoint:
    """A recurrent network's cell, numbers and papers: a ``LiquidRNN`` without a robot.

    Attributes
    ----------
    cell : Cell
        Architecture.
    arrays : dict of str to ndarray
        ``core.<parameter>`` (float32), the masks ``wiring.<layer>`` (uint8), and, with outputs,
        ``readout.weight`` (read, outputs) and ``readout.bias`` (outputs,).
    outputs : int
        Of the linear read-out of the last ``cell.read`` activities; 0: there is none.
    name : str
    source : dict
        Where the numbers come from: training data and seeds, or what was imported.
    presence : bool
        Whether the cell's inputs are features, their presence and their age (``LiquidRNN``).
    first_interval : float
        Seconds that the first observation speaks for, besides what ``predict`` is told has passed
        before it: the elapsed time of the initial state, and the features' first age.
    """

    cell: Cell
    arrays: dict[str, NDArray[Any]]
    outputs: int
    name: str
    source: dict[str, Any]
    presence: bool = False
    first_interval: float = 0.0

    def weights_digest(self) -> str:
        """SHA-256 over the tensors alone."""
        return container.digest("", self.arrays)

    def initial_state(self) -> NDArray[np.float64]:
        """Return the cell's state before anything was seen, shape (state_size,)."""
        return self.cell.initial_state(self.first_interval)

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all float32 tensors."""
        named = {f"core.{name}": shape for name, shape in self.cell.parameters().items()}
        if self.outputs:
            named["readout.weight"] = (self.cell.read, self.outputs)
            named["readout.bias"] = (self.outputs,)
        return named


def save(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a policy atomically: readers see the old file or the new one, whole.

    Raises
    ------
    LnnError
        When loading would refuse it, or the file cannot be written; nothing stays behind.
    """
    name, spec = str(path), checkpoint.spec
    _check_arrays(name, spec.parameters(), spec.masks(), checkpoint.arrays)
    proven = bound(spec, checkpoint.arrays).to_json()
    novelty, arrays = checkpoint.novelty, checkpoint.arrays
    card = {**checkpoint.card, "spec": spec.to_json(), "bound": proven}
    noted = card.pop("novelty", {})
    if novelty is not None:
        card["novelty"] = {**noted, **novelty.to_json()}
        arrays = {**arrays, **novelty.arrays()}
    card = _plain(name, card)
    _check_card(name, card, spec)
    container.write(path, POLICY_FORMAT, card, arrays)


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read and check a policy.

    Raises
    ------
    LnnError
        When the file is missing, too large, no policy, of another version, incomplete, damaged,
        or holds tensors of other names, shapes or types than its own card says, numbers that
        are not finite, a card that does not fit its own architecture, or no bound, or the claim
        of a smaller one than its weights give.
    """
    name = str(path)
    card, tensors = container.read(path, POLICY_FORMAT)
    _keys(name, card, CARD_KEYS, mappings=("spec", "streams", "camera", "training", "evaluation"))
    spec = PolicySpec.from_json(card["spec"], name)
    _check_card(name, card, spec)
    judging = {key: array for key, array in tensors.items() if key.startswith(PREFIX)}
    arrays = {key: array for key, array in tensors.items() if key not in judging}
    _check_arrays(name, spec.parameters(), spec.masks(), arrays)
    try:
        novelty = Novelty.from_file(card.get("novelty"), judging, spec.encoder)
    except LnnError as error:
        raise LnnError(f"{name}: {error}") from None
    if "bound" not in card:
        raise LnnError(f"{name}: the card lacks bound, expected what its weights prove")
    try:
        bound(spec, arrays).check(card["bound"])
    except LnnError as error:
        raise LnnError(f"{name}: {error}") from None
    return Checkpoint(spec, arrays, card, novelty)


def save_cell(path: str | os.PathLike[str], checkpoint: CellCheckpoint) -> None:
    """Write a cell, as ``save`` writes a policy."""
    name = str(path)
    card = {
        "name": checkpoint.name,
        "cell": checkpoint.cell.to_json(),
        "outputs": checkpoint.outputs,
        "presence": checkpoint.presence,
        "first_interval": checkpoint.first_interval,
        "source": checkpoint.source,
    }
    card = _plain(name, card)
    _check_cell(name, checkpoint)
    container.write(path, CELL_FORMAT, card, checkpoint.arrays)


def load_cell(path: str | os.PathLike[str]) -> CellCheckpoint:
    """Read and check a cell, as ``load`` does a policy.

    Raises
    ------
    LnnError
        As ``load``.
    """
    name = str(path)
    card, arrays = container.read(path, CELL_FORMAT)
    _keys(name, card, CELL_CARD_KEYS, mappings=("cell", "source"))
    try:
        cell = cell_from_json(card["cell"])
    except LnnError as error:
        raise LnnError(f"{name}: {error}") from None
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise LnnError(f"{name}: the architecture is malformed ({error})") from None
    checkpoint = CellCheckpoint(
        cell,
        arrays,
        card["outputs"],
        card["name"],
        card["source"],
        card["presence"],
        card["first_interval"],
    )
    _check_cell(name, checkpoint)
    return checkpoint


def _check_cell(name: str, checkpoint: CellCheckpoint) -> None:
    integer(f"{name}: outputs of the card", checkpoint.outputs, 0, MAX_UNITS)
    if type(checkpoint.presence) is not bool:
        raise LnnError(
            f"{name}: presence of the card is {checkpoint.presence!r}, expected true or false"
        )
    # Zero where there is none: a network of ncps begins with the time that it is first given.
    number(f"{name}: first_interval of the card", checkpoint.first_interval, 0.0, 10.0)
    if type(checkpoint.name) is not str:
        raise LnnError(f"{name}: name of the card is {checkpoint.name!r}, expected a text")
    _check_arrays(name, checkpoint.parameters(), checkpoint.cell.masks(), checkpoint.arrays)


def _plain(name: str, card: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card as JSON will give it back."""
    try:
        return dict(json.loads(json.dumps(card)))
    except (TypeError, ValueError, RecursionError) as error:
        raise LnnError(f"{name}: the card is no plain data ({error})") from None


def _keys(
    name: str, card: Mapping[str, Any], keys: tuple[str, ...], mappings: tuple[str, ...]
) -> None:
    missing = [key for key in keys if key not in card]
    if missing:
        raise LnnError(f"{name}: the card lacks {', '.join(missing)}")
    for key in mappings:
        if not isinstance(card[key], dict):
            raise LnnError(f"{name}: {key} of the card is no mapping, expected one")


def _check_card(name: str, card: Mapping[str, Any], spec: PolicySpec) -> None:
    """Check that the card describes the inputs and the camera that the architecture takes."""
    _keys(name, card, CARD_KEYS, mappings=("spec", "streams", "camera", "training", "evaluation"))
    expected = streams(spec)
    for stream in sorted(card["streams"].keys() ^ expected.keys()):
        verb = "lacks" if stream in expected else "has the unknown stream"
        raise LnnError(f"{name}: the card {verb} {stream}, expected {', '.join(sorted(expected))}")
    for stream, entries in expected.items():
        for entry, value in entries.items():
            said = card["streams"][stream]
            found = said.get(entry) if isinstance(said, dict) else None
            if found != value:
                raise LnnError(
                    f"{name}: {entry} of stream {stream} on the card is {found!r}, but the "
                    f"architecture takes {value!r}"
                )
    camera = card["camera"]
    for entry, size in (("width", spec.encoder.width), ("height", spec.encoder.height)):
        if type(camera.get(entry)) is not int or camera[entry] != size:
            raise LnnError(
                f"{name}: {entry} of the camera on the card is {camera.get(entry)!r}, but the "
                f"architecture takes {size}"
            )
    number(f"{name}: horizontal_fov of the camera", camera.get("horizontal_fov"), 0.01, math.pi)
    number(f"{name}: tilt of the camera", camera.get("tilt"), -math.pi, math.pi)
    position = camera.get("position")
    if not isinstance(position, list) or len(position) != 3:
        raise LnnError(f"{name}: position of the camera is {position!r}, expected 3 numbers")
    for value in position:
        number(f"{name}: position of the camera", value, -100.0, 100.0)


def _check_arrays(
    name: str,
    parameters: Mapping[str, tuple[int, ...]],
    masks: Mapping[str, tuple[int, ...]],
    arrays: container.Arrays,
) -> None:
    """Names, shapes, types, finiteness and masks."""
    expected = {key: (shape, np.dtype(np.float32)) for key, shape in parameters.items()} | {
        key: (shape, np.dtype(np.uint8)) for key, shape in masks.items()
    }
    for key in sorted(expected.keys() - arrays.keys()):
        raise LnnError(f"{name}: tensor {key} is missing")
    for key in sorted(arrays.keys() - expected.keys()):
        raise LnnError(f"{name}: tensor {key} is not part of this architecture")
    for key, (shape, dtype) in expected.items():
        array = arrays[key]
        if array.shape != shape or array.dtype != dtype:
            raise LnnError(
                f"{name}: tensor {key} is {array.dtype} {array.shape}, expected {dtype} {shape}"
            )
        if dtype == np.uint8 and array.size and array.max() > 1:
            raise LnnError(f"{name}: mask {key} holds {array.max()}, expected zeros and ones")
        if dtype == np.float32 and not np.isfinite(array).all():
            raise LnnError(f"{name}: tensor {key} holds numbers that are not finite")


def streams(spec: PolicySpec) -> dict[str, dict[str, Any]]:
    """Describe the input streams for the card."""
    encoder = spec.encoder
    return {
        "camera": {
            "dtype": "uint8",
            "shape": [encoder.height, encoder.width, encoder.channels],
            "encoding": "rgb8" if encoder.channels == 3 else "mono8",
        },
        "imu": {
            "dtype": "float64",
            "shape": [6],
            "unit": ["rad/s"] * 3 + ["m/s^2"] * 3,
            "frame": "base_link",
            "summary": list(SUMMARY),
        },
    }
