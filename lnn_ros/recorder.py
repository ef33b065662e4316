"""The recorder: when messages are written, into which recording, and what is removed for it.

While it is not asked to record it keeps the last seconds in memory, and begins with them as soon as
something happens that is worth keeping. It knows no ROS: it is given serialized messages, and time.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml
from rosbags.interfaces import Qos

from lnn_ros.episode import Episode
from lnn_ros.errors import LnnError
from lnn_ros.recording import METADATA, Recording
from lnn_ros.recovery import recover, unfinished

_FLUSH_S = 0.35  # with a drain and a flush's own time on top, half a second is never lost
_DISK_S = 2.0
_MB = 1_000_000
_REMOVED = ".removed-"


@dataclass(frozen=True)
class Rules:
    """How to record; 0 of what is optional is none.

    Attributes
    ----------
    preroll_s, preroll_mb : float
        So much is kept in memory while nothing is recorded, whichever is less.
    after_s : float
        So long it is recorded after the last event, where an event began it.
    split_mb, split_s : float
        A file's size and age at which another one is begun.
    quota_mb : float
        Of all recordings in the folder: above it, the oldest that are not marked are removed.
    reserve_mb : float
        So much of the disk stays free: before it is touched, recording ends.
    """

    preroll_s: float = 10.0
    preroll_mb: float = 100.0
    after_s: float = 10.0
    split_mb: float = 1000.0
    split_s: float = 600.0
    quota_mb: float = 0.0
    reserve_mb: float = 500.0


class Topic(NamedTuple):
    """A topic that is recorded: name, message type, what is offered, whether the last is kept."""

    name: str
    kind: str
    offered: Sequence[Qos]
    latched: bool


class _Kept(NamedTuple):
    """A message in memory; ``at`` is steady time."""

    at: float
    topic: str
    log_ns: int
    payload: bytes


class Recorder:
    """Record into a folder.

    Parameters
    ----------
    folder : Path
        Of recordings; made with the first.
    rules : Rules
    say : callable
        Takes a sentence for the log.
    robot : str
        For the notes.

    Attributes
    ----------
    recording : Recording or None
        The one that is being written.
    paused : bool
        Whether it is interrupted.
    episode : Episode
        What is noted of it.
    """

    def __init__(self, folder: Path, rules: Rules, say: Callable[[str], None],
                 robot: str = "") -> None:
        self.folder, self._rules, self._say = folder, rules, say
        self.recording: Recording | None = None
        self.paused = False
        self.episode = Episode(robot)
        self._topics: dict[str, Topic] = {}
        self._kept: deque[_Kept] = deque()
        self._kept_bytes = 0
        self._last: dict[str, _Kept] = {}  # of topics whose publishers keep their last message
        self._until: float | None = None  # where an event began it: when it is over
        self._began = self._flushed = self._looked = 0.0
        self._noted: dict[str, str] = {}

    # What comes

    def mend(self) -> None:
        """Complete what was cut short before; to be called once, before the first recording."""
        if not self.folder.is_dir():
            return
        for path in self.folder.glob(f"{_REMOVED}*"):
            shutil.rmtree(path, ignore_errors=True)
        for bag in unfinished(self.folder):
            try:
                found = recover(bag)
                self._say(f"{bag} had been cut short: {found.messages} messages are there again, "
                          f"{found.lost} bytes are lost")
            except LnnError as error:
                self._say(f"{bag} has been cut short, and stays so: {error}")

    def announce(self, topic: Topic) -> None:
        """Take note of a topic.

        Raises
        ------
        LnnError
            When a recording cannot hold it.
        """
        if self.recording is not None:
            self.recording.add_topic(topic.name, topic.kind, topic.offered)
        self._topics[topic.name] = topic

    def write(self, topic: str, log_ns: int, payload: bytes, now: float) -> None:
        """Take a message of an announced topic: write it, or keep it for a while.

        Parameters
        ----------
        topic : str
        log_ns : int
            When it came, by the recorder's ROS clock.
        payload : bytes
            Serialized.
        now : float
            Steady time, s.
        """
        message = _Kept(now, topic, log_ns, payload)
        if self._topics[topic].latched:
            self._last[topic] = message
        if self.recording is not None:
            if not self.paused:
                self.recording.write(topic, log_ns, payload)
        elif self._rules.preroll_s > 0:
            self._kept.append(message)
            self._kept_bytes += len(payload)
            while self._kept and (self._kept_bytes > self._rules.preroll_mb * _MB
                                  or now - self._kept[0].at > self._rules.preroll_s):
                self._kept_bytes -= len(self._kept.popleft().payload)

    # What is asked

    def begin(self, log_ns: int, now: float) -> Recording:
        """Record until told to end; go on, if it is paused. Times as of ``write``.

        Raises
        ------
        LnnError
            When there is no room, or no folder.
        """
        self._until = None
        self.paused = False
        return self.recording or self._open(log_ns, now, [])

    def end(self) -> None:
        """Complete the recording, if there is one."""
        recording, self.recording = self.recording, None
        if recording is None:
            return
        self.paused, self._until = False, None
        try:
            self._note(recording)
        finally:
            self.episode = self.episode.next()
            recording.close()
            self._say(f"recorded {sum(recording.counts.values())} messages of "
                      f"{len(recording.counts)} topics: {recording.path}")

    def pause(self, paused: bool) -> None:
        """Leave out what comes, or go on.

        Raises
        ------
        LnnError
            When nothing is being recorded.
        """
        self._need("pause")
        self.paused = paused

    def split(self, now: float) -> None:
        """Go on in another file.

        Raises
        ------
        LnnError
            When nothing is being recorded, or it has ended for want of another file.
        """
        recording = self._need("split")
        try:
            self._note(recording)
            recording.split()
        except OSError as error:
            self.recording, self.episode = None, self.episode.next()
            raise LnnError(f"recording ended: {recording.path}: {error.strerror}: expected that "
                           f"another file can be begun; lnn_ros recover completes it") from error
        self._began = now

    def mark(self, why: str, log_ns: int, now: float) -> Recording:
        """Keep what has just happened: this recording is not removed, or one begins with the past.

        Raises
        ------
        LnnError
            When there is no room, or no folder.
        """
        if self.recording is None:
            self._open(log_ns, now, list(self._kept))
            self._until = now
        if self._until is not None:
            self._until = now + self._rules.after_s
        assert self.recording is not None
        self.episode.event(log_ns, why)
        self._note(self.recording)
        self._say(f"{why}: kept in {self.recording.path}")
        return self.recording

    def begin_anew(self, log_ns: int, now: float) -> None:
        """Go on in another bag: time went back, or what there is of this one is to be read."""
        self._forget()
        if self.recording is not None:
            until = self._until
            self.end()
            self._open(log_ns, now, [])
            self._until = until

    def tick(self, now: float) -> None:
        """Do what is due: to be called many times a second.

        Raises
        ------
        OSError
            When what was written did not reach the disk.
        LnnError
            When the recording had to end for want of room.
        """
        recording = self.recording
        if recording is None:
            return
        if self._until is not None and now > self._until:
            self.end()
            return
        if now - self._flushed >= _FLUSH_S:
            recording.flush()
            self._flushed = now
        rules = self._rules
        if (rules.split_mb and recording.file_size > rules.split_mb * _MB) or (
                rules.split_s and now - self._began > rules.split_s):
            self.split(now)
        if now - self._looked >= _DISK_S:
            self._looked = now
            self._note(recording)
            self._make_room()
            trouble = self._no_room()
            if trouble:
                self.end()
                raise LnnError(f"recording ended: {trouble}")

    # Parts

    def _need(self, what: str) -> Recording:
        if self.recording is None:
            raise LnnError(f"{what} refused: nothing is being recorded, expected ~/record first")
        return self.recording

    def _open(self, log_ns: int, now: float, before: Sequence[_Kept]) -> Recording:
        """Begin a recording with messages from before, after the last of every latched topic.

        That came long ago, and counts as of the beginning: so it is for who subscribes then.
        """
        self._make_room()
        trouble = self._no_room()
        if trouble:
            raise LnnError(f"record refused: {trouble}")
        recording = Recording(self.folder)
        for topic in self._topics.values():
            recording.add_topic(topic.name, topic.kind, topic.offered)
        known = {id(message) for message in before}
        begin_ns = before[0].log_ns if before else log_ns
        for message in self._last.values():
            if id(message) not in known:
                recording.write(message.topic, begin_ns, message.payload)
        for message in before:
            recording.write(message.topic, message.log_ns, message.payload)
        self._forget()
        self.recording, self._noted = recording, {}
        self._began = self._flushed = self._looked = now
        self._say(f"recording {recording.path}")
        return recording

    def _forget(self) -> None:
        """Keep nothing in memory of what came until now."""
        self._kept.clear()
        self._kept_bytes = 0

    def _note(self, recording: Recording) -> None:
        """Write down what is new about the episode."""
        for key, text in self.episode.notes().items():
            if self._noted.get(key) != text:
                self._noted[key] = text
                recording.note(key, text)

    def _make_room(self) -> None:
        """Remove the oldest recordings that nobody has marked, as far as the quota asks for it."""
        if not self._rules.quota_mb or not self.folder.is_dir():
            return
        sizes = {bag: _size(bag) for bag in self.folder.iterdir() if bag.is_dir()}
        excess = sum(sizes.values()) - self._rules.quota_mb * _MB
        mine = None if self.recording is None else self.recording.path
        for bag in sorted(sizes, key=lambda bag: bag.stat().st_mtime_ns):
            if excess <= 0:
                return
            if bag != mine and _removable(bag):
                gone = bag.with_name(f"{_REMOVED}{bag.name}")
                bag.rename(gone)  # at once: half a recording must not be taken for a whole one
                shutil.rmtree(gone, ignore_errors=True)
                excess -= sizes[bag]
                self._say(f"removed {bag}: above the quota of {self._rules.quota_mb:g} MB")

    def _no_room(self) -> str:
        """Say why nothing more must be written; empty: there is room."""
        folder = self.folder
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        free = shutil.disk_usage(folder).free / _MB
        if free < self._rules.reserve_mb:
            return (f"{free:.0f} MB are free on the disk of {self.folder}: expected at least "
                    f"reserve_mb, {self._rules.reserve_mb:g}")
        quota = self._rules.quota_mb
        if quota and self.folder.is_dir():
            used = sum(_size(bag) for bag in self.folder.iterdir() if bag.is_dir()) / _MB
            if used > quota:
                return (f"the recordings in {self.folder} take {used:.0f} MB, and none is left "
                        f"that is not marked: expected at most quota_mb, {quota:g}")
        return ""


def _size(bag: Path) -> int:
    """Bytes of the files of a bag, while they are being written, too."""
    total = 0
    for file in bag.glob("*"):
        try:
            total += file.stat().st_size
        except OSError:  # gone meanwhile
            continue
    return total


def _removable(bag: Path) -> bool:
    """Whether it is a complete recording that is not marked; what cannot be read is left alone."""
    try:
        said = yaml.safe_load((bag / METADATA).read_text(encoding="utf-8"))
        notes = said["rosbag2_bagfile_information"]["custom_data"] or {}
        return notes.get("marked") != "true" and not unfinished(bag)
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return False
