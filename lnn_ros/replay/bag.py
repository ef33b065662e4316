"""Read a rosbag2: topics, messages in the order of their log time, decoded by the bag's own types.

MCAP or sqlite3, one file or several, compressed or not. The messages that this package reads have
had the same definitions from Humble to Lyrical, so where a bag holds none (sqlite3 before Iron) the
newest that rosbags knows are right.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

from lnn_ros.errors import LnnError
from lnn_ros.messages import NS_PER_S

_IDL_FILE = "=" * 80 + "\nIDL: "  # stands before each type in a definition of several
_STAMP_END = 12  # bytes: CDR's own header, then seconds and nanoseconds


@dataclass(frozen=True)
class Topic:
    """A topic in a bag.

    Attributes
    ----------
    name : str
    kind : str
        Type of its messages, ``package/msg/Name``.
    count : int
        Messages.
    """

    name: str
    kind: str
    count: int


class Bag:
    """A rosbag2, to be used as a context.

    Parameters
    ----------
    path : Path
        Folder with ``metadata.yaml``, or a single ``.mcap`` or ``.db3`` file.

    Raises
    ------
    LnnError
        On entering, when there is none, or when it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stores: dict[str, Any] = {}

    def __enter__(self) -> Bag:
        if not self.path.exists():
            raise LnnError(f"bag {self.path} does not exist: expected the folder of a rosbag2")
        if self.path.is_dir() and not (self.path / "metadata.yaml").is_file():
            raise LnnError(f"bag {self.path} has no metadata.yaml: expected the folder of a "
                           f"rosbag2, completed by whoever recorded it")
        try:
            self._reader = Reader(self.path)
            self._reader.open()
        except Exception as error:  # whatever a damaged file provokes in its readers
            raise self._unreadable(error) from error
        self._connections = [c for c in self._reader.connections if c.msgcount]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._reader.close()

    @property
    def span_ns(self) -> tuple[int, int]:
        """Log times of the first and the last message, ns; (0, 0) without messages."""
        if not self._reader.message_count:
            return 0, 0
        return self._reader.start_time, self._reader.end_time - 1

    @property
    def notes(self) -> dict[str, str]:
        """What the recorder wrote about the recording: ``custom_data`` of ``metadata.yaml``."""
        found = self._reader.storage.metadata.custom
        if not isinstance(found, Mapping):  # none, or whatever a damaged file holds
            return {}
        return {str(key): str(value) for key, value in found.items()}

    @property
    def message_count(self) -> int:
        """Messages of all topics."""
        return int(self._reader.message_count)

    def topics(self, kinds: Collection[str] | None = None) -> list[Topic]:
        """Topics that have messages, of some types or of all, by name."""
        counts: dict[tuple[str, str], int] = {}
        for c in self._connections:  # a topic has one for each file, and for each QoS
            if kinds is None or c.msgtype in kinds:
                key = (c.topic, c.msgtype)
                counts[key] = counts.get(key, 0) + c.msgcount
        return [Topic(name, kind, count) for (name, kind), count in sorted(counts.items())]

    def messages(self, topics: Collection[Topic]) -> Iterator[tuple[int, Topic, bytes]]:
        """Yield log time (ns), topic and serialized message, in the order of log times.

        Raises
        ------
        LnnError
            When the bag is damaged; all before that have been yielded.
        """
        wanted = {(topic.name, topic.kind): topic for topic in topics}
        chosen = [c for c in self._connections if (c.topic, c.msgtype) in wanted]
        if not chosen:  # which the reader would take for all
            return
        messages = iter(self._reader.messages(chosen))
        while True:
            try:
                connection, log_ns, payload = next(messages)
                # A cell of a damaged table may hold anything.
                found = int(log_ns), bytes(memoryview(payload))
                topic = wanted[connection.topic, connection.msgtype]
            except StopIteration:
                return
            except Exception as error:
                raise self._unreadable(error) from error
            yield found[0], topic, found[1]

    def decode(self, topic: Topic, payload: bytes) -> Any:
        """Return a message as an object.

        Raises
        ------
        LnnError
            When the bytes are no such message.
        """
        store = self._stores.get(topic.kind)
        if store is None:
            store = self._stores[topic.kind] = self._store(topic)
        try:
            return store.deserialize_cdr(payload, topic.kind)
        except Exception as error:  # whatever hostile bytes provoke
            raise LnnError(f"topic {topic.name}: {len(payload)} bytes are no {topic.kind} "
                           f"({_first_line(error)})") from error

    def _store(self, topic: Topic) -> Any:
        """Return a store that knows a topic's type.

        Only types that somebody asks for by their well-known names are read from the bag: rosbags
        makes Python code of definitions, and other names are the bag's to choose.
        """
        found = next((c for c in self._connections if c.msgtype == topic.kind
                      and c.msgdef.format != MessageDefinitionFormat.NONE), None)
        if found is None:
            return get_typestore(Stores.LATEST)
        try:
            return _made(topic.kind, found.msgdef)
        except Exception as error:
            raise LnnError(f"bag {self.path}: its definition of {topic.kind} cannot be read "
                           f"({_first_line(error)})") from error

    def _unreadable(self, error: Exception) -> LnnError:
        return LnnError(f"bag {self.path} cannot be read as a rosbag2 ({_first_line(error)}): "
                        f"expected an undamaged MCAP or sqlite3 recording of ROS 2")


def peek_stamp_ns(payload: bytes) -> int | None:
    """Return the stamp (ns) of a serialized message that begins with a header; None if too short.

    It costs nothing beside decoding an image.
    """
    if len(payload) < _STAMP_END:
        return None
    order = "little" if payload[1] & 1 else "big"
    seconds = int.from_bytes(payload[4:8], order, signed=True)  # type: ignore[arg-type]
    nanoseconds = int.from_bytes(payload[8:_STAMP_END], order)  # type: ignore[arg-type]
    return seconds * NS_PER_S + nanoseconds


@lru_cache(maxsize=32)
def _made(kind: str, definition: MessageDefinition) -> Any:
    """Return a store that knows a type; the next bag of the same recorder has the same ones."""
    store = get_typestore(Stores.EMPTY)
    store.register(_types(kind, definition))
    return store


def _types(kind: str, definition: MessageDefinition) -> dict[str, Any]:
    """Parse a message's definition and those inside it."""
    found: dict[str, Any] = {}
    if definition.format == MessageDefinitionFormat.MSG:
        found.update(get_types_from_msg(definition.data, kind))
    elif definition.data.startswith(_IDL_FILE):
        for part in definition.data.split(_IDL_FILE)[1:]:
            found.update(get_types_from_idl(part.partition("\n")[2]))
    else:
        found.update(get_types_from_idl(definition.data))
    return found


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
