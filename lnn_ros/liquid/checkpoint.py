"""Policy files: safetensors with a JSON card in the header. Loading runs no code from the file.

A file holds the tensors that ``PolicySpec.parameters`` and ``PolicySpec.masks`` name, no others,
and in the header's metadata ``format``, ``version``, ``card`` (JSON) and ``sha256`` (of the card
and all tensors).
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as pack_tensors

from lnn_ros.errors import LnnError
from lnn_ros.liquid.spec import SUMMARY, PolicySpec

FORMAT, VERSION = "lnn_ros-policy", "2"
MAX_BYTES = 2_000_000
"""Larger files are refused unread; policies that ship stay below 200 kB."""
MAX_HEADER = 200_000
CARD_KEYS = ("name", "task", "spec", "streams", "camera", "training", "evaluation")


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
        ``CARD_KEYS``: plain data; ``spec`` in it is the architecture as stored.
    """

    spec: PolicySpec
    arrays: dict[str, NDArray[Any]]
    card: dict[str, Any]

    def weights_digest(self) -> str:
        """SHA-256 over the tensors alone: names the policy, whatever is noted on its card."""
        return _digest("", self.arrays)


def _digest(card: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    sha = hashlib.sha256(card.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(f"{name} {array.dtype.str} {array.shape};".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def save(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically: readers see the old file or the new one, whole."""
    _check_arrays(str(path), checkpoint.spec, checkpoint.arrays)
    card = json.dumps({**checkpoint.card, "spec": checkpoint.spec.to_json()}, sort_keys=True)
    arrays = {name: np.ascontiguousarray(a) for name, a in checkpoint.arrays.items()}
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "card": card,
        "sha256": _digest(card, arrays),
    }
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.write_bytes(pack_tensors(arrays, metadata=metadata))
    part.replace(target)


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read and check a checkpoint.

    Raises
    ------
    LnnError
        When the file is missing, too large, no policy, of another version, incomplete, damaged,
        or holds tensors of other names, shapes or types than its own card says, or numbers that
        are not finite.
    """
    name = str(path)
    try:
        with open(path, "rb") as file:
            blob = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LnnError(
            f"{name}: cannot be read ({error.strerror}), expected a policy file"
        ) from None
    if len(blob) > MAX_BYTES:
        raise LnnError(f"{name}: larger than {MAX_BYTES} bytes, expected a policy file below that")
    metadata = _metadata(name, blob)
    if metadata.get("format") != FORMAT:
        raise LnnError(f"{name}: format {metadata.get('format')!r} found, expected {FORMAT!r}")
    if metadata.get("version") != VERSION:
        raise LnnError(
            f"{name}: version {metadata.get('version')!r} found, expected {VERSION!r}: train the "
            "policy again with this lnn_ros, or load it with the one that wrote it"
        )
    text = metadata.get("card", "")
    card = _card(name, text)
    spec = PolicySpec.from_json(card["spec"], name)
    try:
        arrays = parse_tensors(blob)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise LnnError(f"{name}: the tensors are damaged ({error})") from None
    _check_arrays(name, spec, arrays)
    if _digest(text, arrays) != metadata.get("sha256"):
        raise LnnError(f"{name}: SHA-256 differs from the header's, the file has been changed")
    return Checkpoint(spec, arrays, card)


def _metadata(name: str, blob: bytes) -> dict[str, str]:
    if len(blob) < 8:
        raise LnnError(f"{name}: {len(blob)} bytes found, expected a policy file")
    (size,) = struct.unpack("<Q", blob[:8])
    if size > min(MAX_HEADER, len(blob) - 8):
        raise LnnError(f"{name}: header of {size} bytes announced, expected a whole policy file")
    try:
        metadata = json.loads(blob[8 : 8 + size])["__metadata__"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise LnnError(f"{name}: header is no policy's, expected JSON with metadata") from None
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise LnnError(f"{name}: metadata is malformed, expected names and texts")
    return metadata


def _card(name: str, text: str) -> dict[str, Any]:
    try:
        card = json.loads(text)
    except (ValueError, RecursionError):
        raise LnnError(f"{name}: the card is no JSON, expected a policy's card") from None
    if not isinstance(card, dict):
        raise LnnError(f"{name}: the card is no mapping, expected a policy's card")
    missing = [key for key in CARD_KEYS if key not in card]
    if missing:
        raise LnnError(f"{name}: the card lacks {', '.join(missing)}")
    for key in ("spec", "streams", "camera", "training"):
        if not isinstance(card[key], dict):
            raise LnnError(f"{name}: {key} of the card is no mapping, expected a policy's card")
    return card


def _check_arrays(name: str, spec: PolicySpec, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Names, shapes, types, finiteness and masks."""
    expected: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    expected.update(
        {key: (shape, np.dtype(np.float32)) for key, shape in spec.parameters().items()}
    )
    expected.update({key: (shape, np.dtype(np.uint8)) for key, shape in spec.masks().items()})
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
