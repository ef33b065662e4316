"""Write serialized messages into a rosbag2 (MCAP, zstd chunks) that a kill cannot take away.

rosbags' writer closes a chunk when it is full and flushes when the bag is closed, which at a small
robot's rates leaves seconds of data in memory. :class:`Recording` closes and flushes at will, so
that after a kill everything up to the last :meth:`~Recording.flush` is in the file, as whole chunks
that any streaming MCAP reader reads. The index comes with the end of a file, ``metadata.yaml`` with
the end of each: ``recovery.py`` adds both to what was cut short.

The file that is being written is ``NAME.mcap``; those before it are ``NAME_0.mcap`` and so on. It
is locked (flock) while somebody writes, so that nobody takes it for one that was left behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
import zstandard
from rosbags.interfaces import Connection, Nodetype, Qos
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.metadata import dump_qos_v9
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from lnn_ros.errors import LnnError

METADATA, NOTES = "metadata.yaml", "notes.json"
_VERSION: Any = 9


@dataclass(frozen=True)
class Written:
    """A file of a bag.

    Attributes
    ----------
    name : str
    begin_ns, end_ns : int
        Log times of the first and the last message.
    counts : dict of str to int
        Messages by topic.
    """

    name: str
    begin_ns: int
    end_ns: int
    counts: Mapping[str, int]

    @property
    def messages(self) -> int:
        """All of them."""
        return sum(self.counts.values())


def information(files: Sequence[Written], connections: Sequence[Connection],
                notes: Mapping[str, str]) -> str:
    """Return what ``metadata.yaml`` says of a bag, as YAML without the key around it.

    Parameters
    ----------
    files : sequence of Written
        Of the bag, in order.
    connections : sequence of Connection
        Its topics.
    notes : mapping of str to str
        ``custom_data``.
    """
    told = [file for file in files if file.messages] or list(files)
    begin_ns = min((file.begin_ns for file in told), default=0)
    end_ns = max((file.end_ns for file in told), default=0)

    def span(begin_ns: int, end_ns: int) -> dict[str, Any]:
        return {"duration": {"nanoseconds": max(0, end_ns - begin_ns)},
                "starting_time": {"nanoseconds_since_epoch": begin_ns}}

    topics = [{
        "topic_metadata": {
            "name": c.topic, "type": c.msgtype,
            "serialization_format": c.ext.serialization_format,  # type: ignore[union-attr]
            "offered_qos_profiles": dump_qos_v9(
                list(c.ext.offered_qos_profiles)),  # type: ignore[union-attr]
            "type_description_hash": c.digest},
        "message_count": sum(file.counts.get(c.topic, 0) for file in files)} for c in connections]
    return yaml.safe_dump({
        "version": _VERSION, "storage_identifier": "mcap",
        "relative_file_paths": [file.name for file in files], **span(begin_ns, end_ns),
        "message_count": sum(file.messages for file in files),
        "topics_with_message_count": topics, "compression_format": "", "compression_mode": "",
        "files": [{"path": file.name, **span(file.begin_ns, file.end_ns),
                   "message_count": file.messages} for file in files],
        "custom_data": dict(notes) or None, "ros_distro": "rosbags"}, sort_keys=False)


def write_metadata(bag: Path, text: str) -> None:
    """Write ``metadata.yaml`` from what ``information`` returns, whole or not at all."""
    whole = yaml.safe_dump({"rosbag2_bagfile_information": yaml.safe_load(text)}, sort_keys=False)
    _replace(bag / METADATA, whole)


class _FlushingStorage(McapWriter):
    """rosbags' MCAP storage, whose open chunk can be closed early.

    Chunks have a checksum (zstd's own, which every reader checks): a memory card forgets bits.
    """

    def __init__(self, path: Path, compression: CompressionMode) -> None:
        super().__init__(path, compression)
        self.compressor = zstandard.ZstdCompressor(write_checksum=True).compress

    def flush(self) -> None:
        """Close the open chunk, if there is anything in it, and hand all to the system."""
        if self.chunk.bio.tell():
            self.close_chunk()
        self.bio.flush()


_PLUGINS = {**Writer.STORAGE_PLUGINS, StoragePlugin.MCAP: _FlushingStorage}


class _SplittingWriter(Writer):
    """rosbags' writer, with one file after the other."""

    STORAGE_PLUGINS = _PLUGINS

    def open(self) -> None:
        super().open()
        self.files: list[Written] = []
        self._lock()

    def split(self) -> None:
        """End the file, and go on in another one; the bag is complete up to here."""
        self._end(f"{self.path.name}_{len(self.files)}.mcap")
        self.storage = _FlushingStorage(self.path, self.compression_mode)
        self._lock()
        known: set[str] = set()
        for connection in self.connections:
            if connection.msgtype not in known:
                known.add(connection.msgtype)
                self.storage.add_msgtype(connection)
            self.storage.add_connection(connection, _dumped(connection))
        self._tell()

    def close(self) -> None:
        """End the file and the bag."""
        name = f"{self.path.name}_{len(self.files)}.mcap" if self.files else ""
        self._end(name or f"{self.path.name}.mcap")
        self.storage = None
        self._tell()

    def _lock(self) -> None:
        assert isinstance(self.storage, _FlushingStorage)
        fcntl.flock(self.storage.bio, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _end(self, name: str) -> None:
        storage = self.storage
        assert isinstance(storage, _FlushingStorage)
        topics = {connection.id: connection.topic for connection in self.connections}
        counts: Counter[str] = Counter()
        for number, count in storage.channel_stats.items():
            counts[topics[number]] += count
        written = Written(name, storage.message_start_time, storage.message_end_time, counts)
        storage.close(_VERSION, information([written], self.connections, self.custom_data))
        storage.path.rename(self.path / name)
        self.files.append(written)

    def _tell(self) -> None:
        write_metadata(self.path, information(self.files, self.connections, self.custom_data))


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
        self._writer = _SplittingWriter(self.path, version=_VERSION,
                                        storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        try:
            self._writer.open()
        except OSError as error:
            raise LnnError(f"folder {folder} cannot hold a recording ({error.strerror}): expected "
                           f"one that can be written to") from error
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

    def adopt_topic(self, topic: str, kind: str, definition: str, offered: Sequence[Qos]) -> None:
        """Announce a topic of another recording, by the definition that stands there, untouched."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, kind, msgdef=definition, rihs01="unknown",
                offered_qos_profiles=list(offered))

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
        """Keep a text about the recording, ``custom_data`` of its ``metadata.yaml``.

        Until that is written, it is in a file of its own, so that no kill takes it away.
        """
        self._writer.set_custom_data(key, text)
        _replace(self.path / NOTES, json.dumps(self._writer.custom_data, indent=1) + "\n")

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

    def split(self) -> None:
        """Go on in another file; what is before it is then as complete as a bag that was closed."""
        if self._synced is not None:
            self._synced.result()  # before the file is closed under its hands
            self._synced = None
        self._writer.split()

    @property
    def files(self) -> int:
        """How many files there are, the open one among them."""
        return len(self._writer.files) + 1

    @property
    def file_size(self) -> int:
        """Bytes in the file that is being written, as they are on the disk after a flush."""
        return int(self._storage.bio.tell())

    def close(self) -> None:
        """Complete the bag: index, ``metadata.yaml``."""
        self._syncer.shutdown(wait=True)  # before the file is closed under its hands
        self._writer.close()
        (self.path / NOTES).unlink(missing_ok=True)

    @property
    def _storage(self) -> _FlushingStorage:
        storage = self._writer.storage
        assert isinstance(storage, _FlushingStorage)
        return storage


def _dumped(connection: Connection) -> str:
    """Return the offered qualities as an MCAP channel states them."""
    offered = connection.ext.offered_qos_profiles  # type: ignore[union-attr]
    return yaml.safe_dump(dump_qos_v9(list(offered))).strip()


def _replace(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = file.with_name(f".{file.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)


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
