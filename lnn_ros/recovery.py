"""Complete recordings that were cut short: a kill, a loss of power, a full disk.

What can be read is kept: every whole chunk up to the first damage, which is all that was flushed
before it. Nothing of a bag is replaced before what takes its place is complete, and a recovery that
is killed itself is begun anew by the next one. Recordings that somebody still writes are left
alone: their files are locked.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from mcap.reader import make_reader
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
    Qos,
)
from rosbags.rosbag2.metadata import parse_qos

from lnn_ros.errors import LnnError
from lnn_ros.recording import METADATA, NOTES, Recording, Written, information, write_metadata

_HALF = ".recovering"
_LONGEST = 2**32  # bytes; what a damaged length says must not be taken from memory


@dataclass(frozen=True)
class Recovered:
    """What became of a bag.

    Attributes
    ----------
    bag : Path
    messages : int
        In it now.
    files : int
        Files of it that were damaged, and were written anew.
    lost : int
        Bytes at their ends that could not be read.
    """

    bag: Path
    messages: int
    files: int
    lost: int


def unfinished(folder: Path) -> list[Path]:
    """Return the bags below a folder, or the folder itself, that were cut short and are at rest.

    Raises
    ------
    LnnError
        When there is no such folder.
    """
    if not folder.is_dir():
        raise LnnError(f"{folder}: no folder found, expected a recording, or one with recordings")
    bags = sorted({file.parent for pattern in ("*.mcap", "*/*.mcap") for file in
                   folder.glob(pattern) if not file.parent.name.startswith(".")})
    return [bag for bag in bags if not _is_complete(bag) and not is_written(bag)]


def recover(bag: Path) -> Recovered:
    """Complete a bag.

    Raises
    ------
    LnnError
        When somebody writes it, or it cannot be written.
    """
    if is_written(bag):
        raise LnnError(f"{bag}: somebody is writing it, expected a recording that is over")
    try:
        return _recover(bag)
    except OSError as error:
        raise LnnError(f"{bag}: {error.strerror}: expected a folder that can be written to"
                       ) from error


def _recover(bag: Path) -> Recovered:
    shutil.rmtree(bag / _HALF, ignore_errors=True)
    files: list[Written] = []
    connections: dict[tuple[str, str], Connection] = {}
    damaged = lost = 0
    for file in _files(bag):
        found = _whole(file)
        if found is None:
            damaged += 1
            lost += _rewrite(file, bag / _HALF)
            found = _whole(file)
            if found is None:
                raise LnnError(f"{file}: cannot be read after it was written anew: expected an "
                               f"MCAP file")
        written, channels = found
        files.append(written)
        for topic, schema, offered in channels:
            connections.setdefault((topic, schema.name),
                                   _connection(topic, schema.name, offered))
    write_metadata(bag, information(files, list(connections.values()), _notes(bag)))
    (bag / NOTES).unlink(missing_ok=True)
    return Recovered(bag, sum(file.messages for file in files), damaged, lost)


def _files(bag: Path) -> list[Path]:
    """Return a bag's files in the order in which they were written: the one without number last."""
    def place(file: Path) -> tuple[bool, int, str]:
        number = re.fullmatch(re.escape(bag.name) + r"_(\d+)", file.stem)
        return number is None, int(number[1]) if number else 0, file.name

    return sorted(bag.glob("*.mcap"), key=place)


def _is_complete(bag: Path) -> bool:
    """Whether ``metadata.yaml`` knows all files."""
    try:
        said = yaml.safe_load((bag / METADATA).read_text(encoding="utf-8"))
        named = said["rosbag2_bagfile_information"]["relative_file_paths"]
        return {file.name for file in bag.glob("*.mcap")} <= {Path(name).name for name in named}
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return False


def is_written(bag: Path) -> bool:
    """Whether a process holds one of its files."""
    for file in bag.glob("*.mcap"):
        with file.open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
    return False


_Channels = list[tuple[str, Schema, list[Qos]]]


def _whole(file: Path) -> tuple[Written, _Channels] | None:
    """Return what a complete file says of itself; None of one that was cut short."""
    with file.open("rb") as stream:
        try:
            summary = make_reader(stream).get_summary()
        except Exception:  # whatever a damaged file provokes in its reader
            return None
    if summary is None or summary.statistics is None:
        return None
    said = summary.statistics
    counts: Counter[str] = Counter()
    for number, count in said.channel_message_counts.items():
        counts[summary.channels[number].topic] += count
    channels = [(channel.topic, summary.schemas[channel.schema_id], _offered(channel))
                for channel in summary.channels.values()]
    return Written(file.name, said.message_start_time, said.message_end_time, counts), channels


def _rewrite(file: Path, half: Path) -> int:
    """Put a complete file with all that can be read in a damaged one's place; return what is lost.

    That is the number of bytes from the first that cannot be read on.
    """
    recording = Recording(half, file.stem)
    read = 0
    try:
        for end, record, schema, channel in _records(file):
            read = end
            if isinstance(record, Channel):
                assert schema is not None
                recording.adopt_topic(record.topic, schema.name, schema.data.decode(),
                                      _offered(record))
            elif channel is not None:
                recording.write(channel.topic, record.log_time, record.data)
    finally:
        recording.close()
    lost = max(0, file.stat().st_size - read)
    (recording.path / f"{file.stem}.mcap").replace(file)
    shutil.rmtree(half)
    return lost


def _records(file: Path) -> Iterator[tuple[int, Any, Schema | None, Channel | None]]:
    """Yield channels and messages up to the first damage.

    With each: how many bytes have been read, its schema, and, of a message, its channel.
    """
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    with file.open("rb") as stream:
        try:
            for record in StreamReader(stream, record_size_limit=_LONGEST,
                                       validate_crcs=True).records:
                if isinstance(record, Schema):
                    schemas[record.id] = record
                elif isinstance(record, Channel) and record.schema_id in schemas:
                    channels[record.id] = record
                    yield stream.tell(), record, schemas[record.schema_id], None
                elif isinstance(record, Message) and record.channel_id in channels:
                    yield stream.tell(), record, None, channels[record.channel_id]
                else:  # an index, of which one needs to know that it could be read
                    yield stream.tell(), None, None, None
        except Exception:  # whatever damaged bytes provoke in their reader
            return


def _offered(channel: Channel) -> list[Qos]:
    """Return the qualities that were offered, as far as they can be read."""
    try:
        return parse_qos(channel.metadata["offered_qos_profiles"])
    except Exception:
        return []


def _connection(topic: str, kind: str, offered: list[Qos]) -> Connection:
    """Describe a topic. Its type's hash stays unsaid: it would take trusting the definition."""
    return Connection(id=0, topic=topic, msgtype=kind, digest="", msgcount=0, owner=None,
                      msgdef=MessageDefinition(MessageDefinitionFormat.NONE, ""),
                      ext=ConnectionExtRosbag2("cdr", offered))


def _notes(bag: Path) -> dict[str, str]:
    """Return what had been noted of a recording, in whichever file."""
    found: dict[str, str] = {}
    for name, read in ((METADATA, _custom), (NOTES, json.loads)):
        try:
            said = read((bag / name).read_text(encoding="utf-8"))
            found.update({str(key): str(value) for key, value in (said or {}).items()})
        except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError):
            continue
    return found


def _custom(text: str) -> Any:
    return yaml.safe_load(text)["rosbag2_bagfile_information"]["custom_data"]
