"""A flight as a rosbag2: what ``demonstrate`` writes and training reads, as a robot records it.

The topics are those of a recorded robot, known by the last part of their names: ``image`` with its
``camera_info``, ``imu``, ``cmd_vel`` (what was flown), and on ``takeover`` the labels, each at its
own stamp: what the teacher wishes in a demonstration, what a person commands on a robot. What only
the simulator knows is on ``hints``; a robot's recording has none. The bag's ``custom_data`` says
what the flight was, see ``NOTES``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros import messages
from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.learning.hints import HINTS, NAMES
from lnn_ros.nodes.settings import ControllerSettings
from lnn_ros.remap import MIN_COVERAGE
from lnn_ros.replay.bag import Bag, Topic
from lnn_ros.replay.parameters import from_notes
from lnn_ros.replay.samples import Decoder
from lnn_ros.replay.topics import KINDS as SENSORS
from lnn_ros.replay.topics import choose, find_info, find_trace
from lnn_ros.replay.tracing import told_settings
from lnn_ros.timeline.samples import imu_fault

NOTES = {
    "episode": "what was to be flown, JSON: its world's seed, the task, who flew",
    "outcome": "how it ended",
    "shifts": "what was otherwise than usual, JSON",
    "sided": "true where left and right are not alike in it, as where a target was searched",
    "policy": "digest of the student's weights, where one flew",
    "parameters": "of the controller that flew or would fly, JSON; a trace in the bag knows better",
    "commit": "of the program",
}
"""What ``custom_data`` says of a demonstration."""
_TWIST, _STAMPED = "geometry_msgs/msg/Twist", "geometry_msgs/msg/TwistStamped"
_JOINTS, _ODOMETRY = "sensor_msgs/msg/JointState", "nav_msgs/msg/Odometry"
_SENSORS = {"camera": ("image", "compressed"), "imu": ("imu",)}
"""Last parts of the names of their topics; other names will do where they are alone."""

_Reader = Callable[[Any, int], tuple[int, NDArray[np.float64]]]
_Kinds = tuple[tuple[str, ...], _Reader]
"""Message types that are read, and by what."""
_MOTION = ("cmd_vel", "odom")

Samples = dict[int, NDArray[Any]]
"""Values by stamp, ns."""


@dataclass(frozen=True)
class Flight:
    """Samples and labels of one flight, each stream in the order of its stamps (ns).

    Attributes
    ----------
    frame_stamps, frames : ndarray (F,) int64, (F, H, W, 3) uint8
        As the policy's camera would have taken them.
    hints : ndarray (F, HINTS) float32
        Of each frame; NaN where nobody knows.
    imu_stamps, imu : ndarray (N,) int64, (N, 6) float32
        Angular rate, then specific force.
    label_stamps, labels : ndarray (M,) int64, (M, 4) float32
        What the teacher would have done, or a person did.
    flown_stamps, flown : ndarray (N,) int64, (N, 4) float32
        What was commanded; none where it was not recorded.
    motion_stamps, motion : ndarray (Q,) int64, (Q, 4) float32
        What odometry says of it: m/s and rad/s, body frame; none where it was not recorded.
    seed : int
        Of its world; of a robot's flight a number that is made of its frames.
    sided : bool
        Left and right are not alike in it, or nobody knows.
    """

    frame_stamps: NDArray[np.int64]
    frames: NDArray[np.uint8]
    hints: NDArray[np.float32]
    imu_stamps: NDArray[np.int64]
    imu: NDArray[np.float32]
    label_stamps: NDArray[np.int64]
    labels: NDArray[np.float32]
    flown_stamps: NDArray[np.int64]
    flown: NDArray[np.float32]
    motion_stamps: NDArray[np.int64]
    motion: NDArray[np.float32]
    seed: int
    sided: bool


def find_flights(folder: Path, deep: bool = False) -> list[Path]:
    """Return the bags in a folder (``deep``: or anywhere below it), in the order of their names.

    Raises
    ------
    LnnError
        When there is none.
    """
    found = [file.parent for file in folder.glob(f"{'**' if deep else '*'}/metadata.yaml")]
    # Hidden is what was being written when its process was killed.
    bags = sorted(bag for bag in found
                  if not any(part.startswith(".") for part in bag.relative_to(folder).parts))
    if not bags:
        raise LnnError(f"{folder}: no rosbag2 found in it, expected recorded flights")
    return bags


def notes(bag: Path) -> dict[str, str]:
    """Return what a bag says of its flight; see ``NOTES``.

    Raises
    ------
    LnnError
        When it cannot be read.
    """
    with Bag(bag) as opened:
        return opened.notes


def read_flight(path: Path, camera: VirtualCamera, motion: bool = False) -> Flight:
    """Read a demonstration, or a robot's recording.

    Messages that cannot be used are left out, as a controller leaves them out.

    Parameters
    ----------
    path : Path
        The bag.
    camera : VirtualCamera
        Of the policy: the frames are shown as it would have taken them.
    motion : bool
        Read what was flown and how the vehicle moved, too; no policy learns from that.

    Raises
    ------
    LnnError
        When it cannot be read, has no frames, or a camera that sees too little of what the
        policy's does.
    """
    with Bag(path) as bag:
        said = bag.notes
        decoder = _decoder(bag, camera)
        found = _read(bag, decoder, {name: reader for name, reader in _READERS.items()
                                     if motion or name not in _MOTION})
    frame_stamps, frames = _columns(found["camera"], (camera.height, camera.width, 3))
    if not len(frames):
        raise LnnError(f"bag {path} has no frame that can be used "
                       f"({'; '.join(decoder.reasons.values())})")
    if decoder.coverage is not None and decoder.coverage < MIN_COVERAGE:
        raise LnnError(f"bag {path}: its camera sees {decoder.coverage:.1%} of the policy's view, "
                       f"expected at least {MIN_COVERAGE:.0%}")
    unknown = np.full(HINTS, np.nan)
    hints = np.stack([found["hints"].get(stamp, unknown) for stamp in frame_stamps.tolist()])
    imu_stamps, imu = _columns(found["imu"], (6,))
    label_stamps, labels = _columns(found["takeover"], (4,))
    flown_stamps, flown = _columns(found.get("cmd_vel", {}), (4,))
    moved_stamps, moved = _columns(found.get("odom", {}), (4,))
    seed = _seed(path, said)
    if seed is None:
        content = frame_stamps.tobytes() + frames[0].tobytes()
        seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "big")
    return Flight(frame_stamps, frames, hints.astype(np.float32), imu_stamps,
                  imu.astype(np.float32), label_stamps, labels.astype(np.float32), flown_stamps,
                  flown.astype(np.float32), moved_stamps, moved.astype(np.float32), seed,
                  said.get("sided", "true").lower() == "true")  # fmt: skip


def _decoder(bag: Bag, camera: VirtualCamera) -> Decoder:
    """Return who makes samples of a bag's sensors, as its controller was set to make them."""
    wanted: dict[str, str | None] = {}
    for stream, kinds in SENSORS.items():
        topic = _named(bag, kinds, _SENSORS[stream])
        wanted[stream] = topic.name if topic is not None else None
    topics = choose(bag, wanted)
    trace = find_trace(bag, None)
    told = told_settings(bag, trace) if trace is not None else None
    settings = told or from_notes(bag.notes) or ControllerSettings()
    info = find_info(bag, topics["camera"], None) if settings.camera.info else None
    if info is not None:
        topics["camera_info"] = info
    elif not settings.camera.fov_deg:
        raise LnnError(f"bag {bag.path} has no calibration (sensor_msgs/msg/CameraInfo) of "
                       f"{topics['camera'].name!r}, and no parameter camera.fov_deg in its trace "
                       f"or custom_data: expected one of them")
    return Decoder(bag, topics, camera, settings)


def _read(bag: Bag, decoder: Decoder, readers: Mapping[str, _Kinds]) -> dict[str, Samples]:
    """Read the samples of the sensors, labels and hints, each by its stamp."""
    found: dict[str, Samples] = {name: {} for name in ("camera", "imu", *_READERS)}
    others = {topic: name for name, (kinds, _) in readers.items()
              if (topic := _named(bag, kinds, (name,))) is not None}  # fmt: skip
    for log_ns, topic, payload in bag.messages([*decoder.topics, *others]):
        name = others.get(topic)
        if name is None:
            sample = decoder(topic, payload)
            # An inertial sample far out of range would spoil all that is computed after it.
            if sample is None or (sample.stream == "imu" and imu_fault(sample.value) is not None):
                continue
            found[sample.stream][sample.stamp_ns] = sample.value
            continue
        try:
            stamp_ns, value = _READERS[name][1](bag.decode(topic, payload), log_ns)
        except LnnError as error:
            if name != "hints":  # of the simulator, which makes no mistakes
                continue
            raise LnnError(f"bag {bag.path}: topic {topic.name!r}: {error}") from error
        found[name][stamp_ns] = value
    return found


def _named(bag: Bag, kinds: Iterable[str], names: Iterable[str]) -> Topic | None:
    """Find the topic of some types whose name ends so, in whatever namespace; the first name wins.

    Raises
    ------
    LnnError
        When there are several, as of several robots.
    """
    topics = bag.topics(tuple(kinds))
    for name in names:
        found = [topic for topic in topics if topic.name.rpartition("/")[2] == name]
        if len(found) > 1:
            raise LnnError(f"bag {bag.path} has the topics {', '.join(t.name for t in found)}: "
                           f"expected one of them, of one robot")
        if found:
            return found[0]
    return None


def _label(message: Any, log_ns: int) -> tuple[int, NDArray[np.float64]]:
    """Stamp and command; one without a stamp counts as of when it came."""
    if hasattr(message, "header"):
        return messages.stamp_ns(message), messages.command_vector(message)
    return log_ns, messages.twist_vector(message)


def _moved(message: Any, log_ns: int) -> tuple[int, NDArray[np.float64]]:
    return messages.stamp_ns(message), messages.odometry_motion(message)


def _hint(message: Any, log_ns: int) -> tuple[int, NDArray[np.float64]]:
    values = np.asarray(message.position, np.float64)
    if tuple(message.name) != NAMES or values.shape != (HINTS,) or not np.isfinite(values).all():
        raise LnnError(f"{len(message.name)} names and {len(values)} values found, expected "
                       f"{HINTS} finite ones, {NAMES[0]} to {NAMES[-1]}")
    return messages.stamp_ns(message), values


_READERS: dict[str, _Kinds] = {
    "takeover": ((_STAMPED, _TWIST), _label),
    "hints": ((_JOINTS,), _hint),
    "cmd_vel": ((_STAMPED, _TWIST), _label),
    "odom": ((_ODOMETRY,), _moved),
}


def _columns(samples: Samples, shape: tuple[int, ...],
             ) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Stamps and values, in order."""
    stamps = sorted(samples)
    if not stamps:
        return np.zeros(0, np.int64), np.zeros((0, *shape))
    return np.array(stamps, np.int64), np.stack([samples[stamp] for stamp in stamps])


def _seed(path: Path, said: dict[str, str]) -> int | None:
    """Return the seed of a demonstration's world."""
    if "episode" not in said:
        return None
    try:
        return int(json.loads(said["episode"])["seed"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LnnError(f"bag {path}: no recorded flight: its custom_data says of the episode "
                       f"{said['episode'][:60]!r}, expected JSON with a seed") from error
