"""What recordings hold, and whether a policy can learn from them.

A takeover command at its own stamp is the label. So what can be learned from is the time in which a
person commanded, with frames shortly before and inertial samples meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.learning.consistency import consistent
from lnn_ros.learning.flights import Flight, read_flight
from lnn_ros.recovery import unfinished
from lnn_ros.replay.bag import Bag

APART_S = 0.5
"""Labels that are farther apart are of two takeovers; a frame that is older is of no use to one."""
SEEN = 0.9
"""Share of the labels that must have such a frame."""
IMU_HZ = 20.0
"""A slower inertial sensor tells nothing of how the vehicle moves."""


@dataclass(frozen=True)
class Line:
    """One topic: name, message type, messages, rate (Hz), longest time without one (s)."""

    name: str
    kind: str
    messages: int
    rate_hz: float
    gap_s: float


@dataclass(frozen=True)
class Outline:
    """What a recording says of itself, read from its ``metadata.yaml`` alone.

    Attributes
    ----------
    bag : Path
    seconds : float
        From its first message to its last.
    megabytes : float
    messages : int
    notes : dict of str to str
        ``custom_data``.
    trouble : str
        Why it cannot be read; empty: it can.
    """

    bag: Path
    seconds: float
    megabytes: float
    messages: int
    notes: dict[str, str]
    trouble: str

    @property
    def takeovers(self) -> int | None:
        """How many it says there were; None where it says nothing of them."""
        try:
            return len(json.loads(self.notes["takeovers"]))
        except (KeyError, ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Survey:
    """What is in a recording.

    Attributes
    ----------
    outline : Outline
    topics : tuple of Line
    takeovers : tuple of (float, float)
        When a person commanded, s from the first message, by the commands' stamps.
    frames : int
        That a policy can use.
    troubles : tuple of str
        Why nothing can be learned from it; empty: it can be.
    remarks : tuple of str
        What is less than it should be.
    """

    outline: Outline
    topics: tuple[Line, ...]
    takeovers: tuple[tuple[float, float], ...]
    frames: int
    troubles: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def labelled_s(self) -> float:
        """Seconds in which a person commanded."""
        return sum(end - begin for begin, end in self.takeovers)


def recordings(folder: Path) -> list[Path]:
    """Return the recordings in a folder, or the folder itself, complete or not, by name.

    Raises
    ------
    LnnError
        When there is none.
    """
    if not folder.is_dir():
        raise LnnError(f"{folder}: no folder found, expected a recording, or one with recordings")
    found = {file.parent for pattern in ("*.mcap", "*.db3", "*/*.mcap", "*/*.db3")
             for file in folder.glob(pattern) if not file.parent.name.startswith(".")}
    if not found:
        raise LnnError(f"{folder}: no recording found in it, expected a rosbag2 or folders of them")
    return sorted(found)


def outline(bag: Path) -> Outline:
    """Look at a recording's ``metadata.yaml``."""
    megabytes = sum(file.stat().st_size for file in bag.glob("*") if file.is_file()) / 1e6
    if unfinished(bag):
        return Outline(bag, 0.0, megabytes, 0, {}, f"was cut short: lnn_ros recover {bag} "
                       f"completes it")
    try:
        with Bag(bag) as opened:
            begin, end = opened.span_ns
            return Outline(bag, (end - begin) / 1e9, megabytes, opened.message_count, opened.notes,
                           "")
    except LnnError as error:
        return Outline(bag, 0.0, megabytes, 0, {}, str(error))


def survey(bag: Path, camera: VirtualCamera) -> Survey:
    """Read a recording whole.

    Parameters
    ----------
    bag : Path
    camera : VirtualCamera
        Of the policy that is to learn from it.
    """
    about = outline(bag)
    if about.trouble:
        return Survey(about, (), (), 0, (about.trouble,), ())
    topics: list[Line] = []
    try:
        topics = _topics(bag)
        flight = read_flight(bag, camera, motion=True)
    except LnnError as error:
        return Survey(about, tuple(topics), (), 0, (str(error),), ())
    with Bag(bag) as opened:
        begin_ns = opened.span_ns[0]
    takeovers = _takeovers(flight.label_stamps)
    troubles, remarks = _judged(flight, takeovers)
    return Survey(about, tuple(topics), tuple(
        ((first - begin_ns) / 1e9, (last - begin_ns) / 1e9) for first, last in takeovers),
        len(flight.frames), tuple(troubles), tuple(remarks))


def as_json(found: Survey) -> dict[str, Any]:
    """Return it as plain data."""
    about = found.outline
    return {"bag": str(about.bag), "seconds": about.seconds, "megabytes": about.megabytes,
            "messages": about.messages, "notes": about.notes,
            "topics": [vars(line) for line in found.topics],
            "takeovers_s": [list(one) for one in found.takeovers], "frames": found.frames,
            "troubles": list(found.troubles), "remarks": list(found.remarks)}


def _topics(bag: Path) -> list[Line]:
    """Go through all messages, undecoded."""
    times: dict[tuple[str, str], list[int]] = {}
    with Bag(bag) as opened:
        for log_ns, topic, _ in opened.messages(opened.topics()):
            times.setdefault((topic.name, topic.kind), []).append(log_ns)
    lines = []
    for (name, kind), stamps in sorted(times.items()):
        between = np.diff(np.array(stamps)) / 1e9
        seconds = float(between.sum())
        lines.append(Line(name, kind, len(stamps), len(between) / seconds if seconds else 0.0,
                          float(between.max(initial=0.0))))
    return lines


def _takeovers(stamps: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return first and last stamp of each takeover."""
    if not len(stamps):
        return []
    breaks = np.flatnonzero(np.diff(stamps) > APART_S * 1e9)
    return list(zip(stamps[[0, *(breaks + 1)]].tolist(), stamps[[*breaks, -1]].tolist(),
                    strict=True))


def _judged(flight: Flight,
            takeovers: Sequence[tuple[int, int]]) -> tuple[list[str], list[str]]:
    """Say what stands against learning from it, and what is less than it should be."""
    troubles, remarks = [], []
    if not takeovers:
        return ["no command of a person in it: expected messages on takeover"], []
    frames, labels = flight.frame_stamps, flight.label_stamps
    before = np.searchsorted(frames, labels, "right") - 1
    age = np.where(before >= 0, labels - frames[np.maximum(before, 0)], np.iinfo(np.int64).max)
    seen = float(np.mean(age <= APART_S * 1e9))
    if seen == 0.0:
        troubles.append(f"no command of a person has a frame in the {APART_S:g} s before it: "
                        f"expected camera and takeover by the same clock")
    elif seen < SEEN:
        remarks.append(f"{100 * seen:.0f} % of the person's commands have a frame in the "
                       f"{APART_S:g} s before them: expected {100 * SEEN:.0f} %")
    gap = float(np.diff(frames).max(initial=0)) / 1e9
    if gap > APART_S:
        remarks.append(f"no frame for {gap:.1f} s: expected at most {APART_S:g}")
    span = (flight.imu_stamps[-1] - flight.imu_stamps[0]) / 1e9 if len(flight.imu_stamps) else 0.0
    rate = len(flight.imu_stamps) / span if span else 0.0
    if rate < IMU_HZ:
        remarks.append(f"{rate:.1f} inertial samples a second: expected at least {IMU_HZ:g}")
    remarks += [finding.said for finding in consistent([flight]) if not finding.passed]
    return troubles, remarks
