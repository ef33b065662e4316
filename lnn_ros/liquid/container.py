"""Files of named tensors with a JSON card: safetensors, checked, written whole or not at all.

The header's metadata holds ``format``, ``version``, ``card`` (JSON) and ``sha256`` (of the card and
all tensors). Loading runs no code from the file. What the card and the tensors must be is the
matter of ``checkpoint``.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as pack_tensors

from lnn_ros.errors import LnnError

VERSION = "3"
NEWER = {"lnn_ros-cell": "4"}
"""Formats of another version than ``VERSION``: their own files have changed, others have not."""
MAX_BYTES = 2_000_000
"""Larger files are refused unread; policies that ship stay below 200 kB."""
MAX_HEADER = 200_000

Arrays = Mapping[str, NDArray[Any]]


def version(file_format: str) -> str:
    """Return the version of a format's files that is written, and read."""
    return NEWER.get(file_format, VERSION)


def digest(card: str, arrays: Arrays) -> str:
    """SHA-256, as hexadecimal digits, over a card's text and all tensors."""
    sha = hashlib.sha256(card.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(f"{name} {array.dtype.str} {array.shape};".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def write(
    path: str | os.PathLike[str], file_format: str, card: Mapping[str, Any], arrays: Arrays
) -> None:
    """Write a file atomically: readers see the old one or the new one, whole and on the disk.

    Raises
    ------
    LnnError
        When it cannot be written; nothing stays behind.
    """
    text = json.dumps(card, sort_keys=True)
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata = {
        "format": file_format,
        "version": version(file_format),
        "card": text,
        "sha256": digest(text, tensors),
    }
    blob = pack_tensors(tensors, metadata=metadata)
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.write(blob)
            file.flush()
            # A rename may reach the disk before the content does: after a power cut the name
            # would stand for an empty file.
            os.fsync(file.fileno())
        part.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise LnnError(f"{path}: cannot be written ({error.strerror or error})") from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read(path: str | os.PathLike[str], file_format: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a file's card and tensors.

    Raises
    ------
    LnnError
        When it is missing, too large, of another format or version, incomplete, or changed since
        it was written.
    """
    name = str(path)
    try:
        with open(path, "rb") as file:
            blob = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LnnError(
            f"{name}: cannot be read ({error.strerror}), expected an {file_format} file"
        ) from None
    if len(blob) > MAX_BYTES:
        raise LnnError(
            f"{name}: larger than {MAX_BYTES} bytes, expected an {file_format} file below that"
        )
    metadata = _metadata(name, blob, file_format)
    if metadata.get("format") != file_format:
        raise LnnError(f"{name}: format {metadata.get('format')!r} found, expected {file_format!r}")
    expected = version(file_format)
    if metadata.get("version") != expected:
        raise LnnError(
            f"{name}: version {metadata.get('version')!r} found, expected {expected!r}: train or "
            "import it again with this lnn_ros, or load it with the one that wrote it"
        )
    text = metadata.get("card", "")
    try:
        card = json.loads(text)
    except (ValueError, RecursionError):
        raise LnnError(f"{name}: the card is no JSON, expected an {file_format} card") from None
    if not isinstance(card, dict):
        raise LnnError(f"{name}: the card is no mapping, expected an {file_format} card")
    try:
        arrays = parse_tensors(blob)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise LnnError(f"{name}: the tensors are damaged ({error})") from None
    if digest(text, arrays) != metadata.get("sha256"):
        raise LnnError(f"{name}: SHA-256 differs from the header's, the file has been changed")
    return card, arrays


def file_format(path: str | os.PathLike[str]) -> str:
    """Tell which format a file says it has, reading its header only; "" when it says none.

    Raises
    ------
    LnnError
        When it cannot be read or its header is damaged.
    """
    try:
        with open(path, "rb") as file:
            blob = file.read(8 + MAX_HEADER)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise LnnError(f"{path}: cannot be read ({error.strerror}), expected a policy") from None
    return _metadata(str(path), blob, "lnn_ros", size).get("format", "")


def _metadata(
    name: str, blob: bytes, file_format: str, file_size: int | None = None
) -> dict[str, str]:
    if len(blob) < 8:
        raise LnnError(f"{name}: {len(blob)} bytes found, expected an {file_format} file")
    (size,) = struct.unpack("<Q", blob[:8])
    if size > min(MAX_HEADER, (file_size or len(blob)) - 8):
        raise LnnError(
            f"{name}: header of {size} bytes announced, expected a whole {file_format} file"
        )
    try:
        metadata = json.loads(blob[8 : 8 + size])["__metadata__"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise LnnError(
            f"{name}: header is none of an {file_format} file, expected JSON with metadata"
        ) from None
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise LnnError(f"{name}: metadata is malformed, expected names and texts")
    return metadata
