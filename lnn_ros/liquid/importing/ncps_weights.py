"""Weights of the ncps package by name, from files and from keras, in the layout of its torch code.

Nothing that runs code is read: safetensors and npz without objects, never pickle.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors

from lnn_ros.errors import LnnError

MAX_BYTES = 64_000_000
"""Larger files are refused unread."""
TORCH = ("ff1.weight", "sparsity_mask")
"""Endings of names that only torch's weights have."""
SAMPLE = ("sample.inputs", "sample.timespans", "sample.outputs")
"""What a file may hold besides weights: one sequence (T, F), seconds (T,), outputs (T, O)."""

Arrays = dict[str, NDArray[Any]]

_CONVERT = {
    ".pt": 'safetensors.torch.save_file(module.state_dict(), "weights.safetensors")',
    ".h5": 'numpy.savez("weights.npz", **{f"{i}/{v.path}": v for i, v in enumerate(rnn.weights)})',
}
_CONVERT[".pth"] = _CONVERT[".pkl"] = _CONVERT[".ckpt"] = _CONVERT[".bin"] = _CONVERT[".pt"]
_CONVERT[".hdf5"] = _CONVERT[".keras"] = _CONVERT[".h5"]


def read_weights(path: str | os.PathLike[str]) -> Arrays:
    """Read named arrays from a ``.safetensors`` or ``.npz`` file.

    Raises
    ------
    LnnError
        When the file is of another kind (with the line that converts it), missing, too large or
        damaged.
    """
    suffix = Path(path).suffix.lower()
    if suffix in _CONVERT:
        raise LnnError(
            f"{path}: {suffix} found, which is not read here, expected .safetensors or .npz: "
            f"convert it with {_CONVERT[suffix]}"
        )
    if suffix not in (".safetensors", ".npz"):
        raise LnnError(f"{path}: {suffix or 'no suffix'} found, expected .safetensors or .npz")
    try:
        with open(path, "rb") as file:
            blob = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LnnError(f"{path}: cannot be read ({error.strerror}), expected weights") from None
    if len(blob) > MAX_BYTES:
        raise LnnError(f"{path}: larger than {MAX_BYTES} bytes, expected weights below that")
    try:
        if suffix == ".safetensors":
            return dict(parse_tensors(blob))
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            # A small archive may unpack to anything.
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise LnnError(f"{path}: unpacks to more than {MAX_BYTES} bytes, expected less")
        with np.load(io.BytesIO(blob), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (SafetensorError, zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError,
            OSError) as error:  # fmt: skip
        raise LnnError(f"{path}: the weights are damaged ({error})") from None


class Weights:
    """Weights in the layout of ncps.torch, each to be taken once."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        found = {str(name): np.asarray(array) for name, array in arrays.items()}
        for name, array in found.items():
            if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
                raise LnnError(f"ncps: weight {name} holds what is no finite number")
        self.keras = not any(name.endswith(TORCH) for name in found)
        """Whether they came from keras."""
        if self.keras:
            found = _from_keras(found)
        # A network holds its cell as rnn_cell; a cell alone has no prefix.
        self.arrays = {name.removeprefix("rnn_cell."): array for name, array in found.items()}
        """All of them by the names that ncps.torch gives them in a cell."""
        self._left = dict(self.arrays)

    def has(self, name: str) -> bool:
        """Whether a weight is there, and not taken yet."""
        return name in self._left

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a weight that is there."""
        return self._left[name].shape

    def take(self, name: str, *shape: int | None) -> NDArray[np.float64]:
        """Return a weight of this shape; a dimension None may be anything.

        Raises
        ------
        LnnError
            When it is missing or of another shape.
        """
        if name not in self._left:
            raise LnnError(f"ncps: weight {name} is missing")
        array = self._left.pop(name)
        if len(array.shape) != len(shape) or any(
            want not in (None, found) for want, found in zip(shape, array.shape, strict=True)
        ):
            wanted = tuple("any" if n is None else n for n in shape)
            raise LnnError(f"ncps: weight {name} has shape {array.shape}, expected {wanted}")
        return array.astype(np.float64)

    def mask(self, name: str, *shape: int) -> NDArray[np.int8] | None:
        """Return a sparsity mask; None: there is none.

        Raises
        ------
        LnnError
            When it holds anything but 0 and 1: ncps stores it as a parameter, so training could
            have changed it.
        """
        if not self.has(name):
            return None
        array = self.take(name, *shape)
        if not np.isin(array, (0.0, 1.0)).all():
            raise LnnError(f"ncps: {name} holds other numbers than 0 and 1, expected a mask")
        return array.astype(np.int8)

    def refuse_rest(self) -> None:
        """Refuse weights that nobody took."""
        for name in self._left:
            raise LnnError(f"ncps: weight {name} found, expected those of one CfC or LTC only")


def _from_keras(arrays: Arrays) -> Arrays:
    """Return keras's weights as torch has them: names, transposed kernels, the time gate's sign."""

    def number(name: str) -> int:
        first = name.partition("/")[0]
        return int(first) if first.isdigit() else 0

    def ending(name: str) -> tuple[str, str]:
        words = ["", *name.partition(":")[0].split("/")]
        return words[-2], words[-1]

    if any(ending(name)[1] == "recurrent_kernel" for name in arrays):
        raise LnnError(
            "ncps: keras's mixed memory found, whose LSTM is the input of the CfC, expected a "
            "network without it, or one of ncps.torch"
        )
    layers = sum(ending(name)[1] == "ff1_weight" for name in arrays)
    named: Arrays = {}
    layer = -1
    # In keras's own order, in which the weights of a layer follow each other.
    for name in sorted(arrays, key=number):
        (holder, last), array = ending(name), arrays[name]
        layer += last == "ff1_weight"
        prefix = f"layer_{layer}." if layers > 1 else ""
        backbone = re.fullmatch(r"backbone(\d+)", holder)
        if last == "kernel":
            last, array = "weight", array.T
        if holder in ("time_a", "time_b"):
            # There the gate is sigmoid(-a t + b).
            key, array = f"{prefix}{holder}.{last}", -array if holder == "time_a" else array
        elif backbone:
            key = f"backbone.{2 * int(backbone[1])}.{last}"
        elif last in ("ff1_weight", "ff2_weight"):
            key, array = f"{prefix}{last[:3]}.weight", array.T
        elif last in ("ff1_bias", "ff2_bias"):
            key = f"{prefix}{last[:3]}.bias"
        else:
            key = f"{prefix}{last}" if last in ("w_tau", "A") else last
        if key in named:
            raise LnnError(
                f"ncps: two weights {name} found, expected names after their numbers, as in "
                '{f"{i}/{v.path}": v for i, v in enumerate(rnn.weights)}'
            )
        named[key] = array
    return named
