"""Write serialized messages into a rosbag2 (MCAP, zstd chunks) that a kill cannot take away.

rosbags' writer closes a chunk when it is full and flushes when the bag is closed, which at a small
robot's rates leaves seconds of data in memory. :class:`Recording` closes and flushes at will, so
that after a kill everything up to the last :meth:`~Recording.flush` is in the file, as whole chunks
that any streaming MCAP reader reads. ``metadata.yaml`` and the index come with :meth:`close`.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection, Nodetype, Qos
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from lnn_ros.errors import LnnError


class _FlushingStorage(McapWriter):
    """rosbags' MCAP storage, whose open chunk can be closed early."""

    def flush(self) -> None:
        """Close the open chunk, if there is anything in it, and hand all to the system."""
        if self.chunk.bio.tell():
            self.close_chunk()
        self.bio.flush()


_PLUGINS = {**Writer.STORAGE_PLUGINS, StoragePlugin.MCAP: _FlushingStorage}


class _FlushingWriter(Writer):
    STORAGE_PLUGINS = _PLUGINS


class Recording:
    """One rosbag2 being written.

    Parameters
    ----------
    folder : Path
        Where to put it; made if need be. The bag is a folder in it.
    name : str
        Of the bag; by default local date and time.
    types : Typestore, optional
        Of rosbags, with the message types that need not be installed.

    Attributes
    ----------
    path : Path
        The bag's folder.
    counts : Counter of str
        Messages by topic.
    size : int
        Bytes of all messages, before compression.

    Raises
    ------
    LnnError
        When the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, name: str = "", types: Any = None) -> None:
        name = name or f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
        self.path = folder / name
        number = 1
        while self.path.exists():
            number += 1
            self.path = folder / f"{name}_{number}"
        self.counts: Counter[str] = Counter()
        self.size = 0
        self._connections: dict[str, Connection] = {}
        self._types = types or get_typestore(Stores.EMPTY)
        self._writer = _FlushingWriter(self.path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        try:
            self._writer.open()
        except OSError as error:
            raise LnnError(f"folder {folder} cannot hold a recording ({error.strerror}): expected "
                           f"one that can be written to") from error
        storage = self._writer.storage
        assert isinstance(storage, _FlushingStorage)
        self._storage = storage
        self._syncer = ThreadPoolExecutor(1, "recording")
        self._synced: Future[None] | None = None

    def add_topic(self, topic: str, kind: str, offered: Sequence[Qos]) -> None:
        """Announce a topic.

        Parameters
        ----------
        topic : str
            Full name.
        kind : str
            Message type, ``package/msg/Name``.
        offered : sequence of Qos
            Of its publishers.

        Raises
        ------
        LnnError
            When the definition of the message type is neither known nor installed.
        """
        if topic in self._connections:
            return
        _register(self._types, kind)
        self._connections[topic] = self._writer.add_connection(
            topic, kind, typestore=self._types, offered_qos_profiles=list(offered))

    def write(self, topic: str, log_ns: int, payload: bytes) -> None:
        """Append a serialized message (CDR) of an announced topic.

        Parameters
        ----------
        topic : str
            Full name.
        log_ns : int
            When it was received, ns, by the recorder's ROS clock.
        payload : bytes
            As it came over the wire.
        """
        self._writer.write(self._connections[topic], log_ns, payload)
        self.counts[topic] += 1
        self.size += len(payload)

    def note(self, key: str, text: str) -> None:
        """Keep a text about the recording, ``custom_data`` of its ``metadata.yaml``."""
        self._writer.set_custom_data(key, text)

    def flush(self) -> None:
        """Make everything so far survive a kill, and soon also a loss of power.

        The way to the disk is long on a memory card: it is left to a thread, one at a time.

        Raises
        ------
        OSError
            When this or an earlier flush did not reach the disk.
        """
        self._storage.flush()
        if self._synced is None or self._synced.done():
            if self._synced is not None:
                self._synced.result()  # raises what the disk said
            self._synced = self._syncer.submit(os.fdatasync, self._storage.bio.fileno())

    def close(self) -> None:
        """Complete the bag: index, ``metadata.yaml``."""
        self._syncer.shutdown(wait=True)  # before the file is closed under its hands
        self._writer.close()


def _register(types: Any, kind: str) -> None:
    """Make a message type and those inside it known to a typestore."""
    if kind in types.fielddefs:
        return
    package, _, name = kind.split("/")
    definitions = get_types_from_msg(_definition(package, name).read_text(encoding="utf-8"), kind)
    types.register(definitions)
    for _, fields in definitions.values():
        for _, field in fields:
            for inner in _names(field):
                _register(types, inner)


def _names(field: tuple[Any, Any]) -> Iterator[str]:
    """Yield the message types that a field's description speaks of."""
    node, value = field
    if node == Nodetype.NAME:
        yield value
    elif node in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        yield from _names(value[0])


def _definition(package: str, name: str) -> Path:
    """Return the installed definition of a message type."""
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    for prefix in [*prefixes, sys.prefix]:
        path = Path(prefix) / "share" / package / "msg" / f"{name}.msg"
        if path.is_file():
            return path
    raise LnnError(f"the definition of {package}/msg/{name} was not found below share/ of "
                   f"{', '.join([*prefixes, sys.prefix])}: is the package installed?")
