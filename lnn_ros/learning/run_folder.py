"""One recorded flight, read back from its run folder: arrays, not messages.

A run folder holds ``bag/`` (rosbag2), the task's file as it was flown (without it, it was the
shipped ``fly_to_target``) and whatever a report adds. Topics are known by the last part of their
name, so that a namespace does not matter.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.typesys import Stores, get_typestore

from lnn_ros.errors import LnnError
from lnn_ros.messages import command_vector, image_array, imu_vector, stamp_ns
from lnn_ros.simulation.centreline import Centreline
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.world import Road, World
from lnn_ros.simulation.worlds import make_world

Floats = NDArray[np.float64]
Stamps = NDArray[np.int64]

_TOPICS = ("ground_truth", "cmd_vel", "image", "imu", "neurons", "trace", "simulator/status",
           "controller/status", "diagnostics")


@dataclass(frozen=True)
class Series:
    """Stamped values of one stream, in the order of their stamps.

    Attributes
    ----------
    stamp_ns : ndarray (N,) int64
        Simulated time.
    value : ndarray (N, ...)
        One row for each stamp.
    """

    stamp_ns: Stamps
    value: NDArray[Any]

    def __len__(self) -> int:
        return len(self.stamp_ns)

    def latest(self, at_ns: int) -> int | None:
        """Index of the newest value whose stamp is not after `at_ns`; None before the first."""
        index = int(np.searchsorted(self.stamp_ns, at_ns, side="right")) - 1
        return index if index >= 0 else None


@dataclass(frozen=True)
class Run:
    """What a run folder says about its flight.

    Attributes
    ----------
    folder : Path
        Where it lies.
    task, world : Task, World
        What was to be done, and where.
    outcome : str
        The simulator's last word: ``arrived``, ``contact``, ``timeout``, ``off_road`` or
        ``flying``.
    stamp_ns : ndarray (N,) int64
        Instants of the ground truth.
    position, velocity : ndarray (N, 3)
        Metres and m/s, world frame.
    quaternion : ndarray (N, 4)
        x, y, z, w of world_from_body; neighbours lie in one half space.
    distance : ndarray (N,)
        Horizontally from the vehicle's centre to the target column's surface, or what is left of
        the lap, metres.
    command : Series
        (M, 4) as in the interface: [vx, vy, vz, yaw_rate].
    frames : Series
        (F, height, width, 3) uint8, as the policy saw them.
    imu : Series
        (I, 6) angular rate, then specific force.
    neurons : Series
        (K, units) activity.
    neuron_names : tuple of str
        What the columns are called.
    ages : dict of str to Series
        For each stream, the age in seconds of the newest sample behind each command.
    status : dict of str to str
        Key-values of the simulator's status: the one that told the outcome, else the last.
    controller : dict of str to str
        Last key-values of the controller's status.
    counters : dict of str to float
        Numbers of the controller's last diagnostics: samples taken and dropped, interventions.
    """

    folder: Path
    task: Task
    world: World
    outcome: str
    stamp_ns: Stamps
    position: Floats
    velocity: Floats
    quaternion: Floats
    distance: Floats
    command: Series
    frames: Series
    imu: Series
    neurons: Series
    neuron_names: tuple[str, ...]
    ages: dict[str, Series]
    status: dict[str, str]
    controller: dict[str, str]
    counters: dict[str, float]

    @property
    def start_ns(self) -> int:
        """Instant of the first ground truth."""
        return int(self.stamp_ns[0])

    @property
    def duration_s(self) -> float:
        """Simulated seconds until the outcome was decided, or until the record ends."""
        decided = self.number("time_s")
        if self.outcome != "flying" and decided is not None:
            return decided
        return 1e-9 * float(self.stamp_ns[-1] - self.stamp_ns[0])

    def number(self, key: str) -> float | None:
        """A number of the simulator's status; None where it says none."""
        text = self.status.get(key, "")
        return float(text) if _is_number(text) else None

    def seconds(self, stamp_ns: Stamps) -> Floats:
        """Simulated seconds since the start."""
        return 1e-9 * (stamp_ns - self.start_ns).astype(np.float64)

    def position_at(self, at_ns: int) -> Floats:
        """Interpolated position (3,) in metres; held at both ends."""
        return np.array([np.interp(at_ns, self.stamp_ns, column) for column in self.position.T])


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Parameters
    ----------
    folder : Path
        A folder that holds ``bag/``.

    Raises
    ------
    LnnError
        When there is no readable bag, or it does not hold a flight of the simulator.
    """
    bag = folder / "bag"
    if not (bag / "metadata.yaml").is_file():
        raise LnnError(f"{folder} is no run folder: expected a rosbag2 recording in {bag}")
    rows = _read_bag(bag)
    if not rows["simulator/status"] or len(rows["ground_truth"]) < 2:
        raise LnnError(f"bag {bag} holds {len(rows['simulator/status'])} messages of the "
                       f"simulator's status and {len(rows['ground_truth'])} of ground_truth: "
                       f"expected a flight in the embedded simulator")
    told = [_key_values(message) for message in rows["simulator/status"]]
    # The simulator goes on after the outcome; time and clearance are those of the decision.
    status = next((s for s in told if s.get("outcome", "flying") != "flying"), told[-1])
    truth = _series(rows["ground_truth"], _pose)
    tasks = sorted(folder.glob("*.yaml"))
    task = Task.load(str(tasks[0]) if tasks else "fly_to_target")
    world = make_world(int(status["seed"]), task)
    quaternion = truth.value[:, 3:7].copy()
    flips = np.cumprod(np.sign((quaternion[1:] * quaternion[:-1]).sum(axis=1)))
    quaternion[1:] *= flips[:, None]
    position = truth.value[:, :3]
    rotation = rotations(quaternion)
    return Run(
        folder=folder, task=task, world=world, outcome=status.get("outcome", "flying"),
        stamp_ns=truth.stamp_ns, position=position, quaternion=quaternion,
        velocity=np.einsum("nij,nj->ni", rotation, truth.value[:, 7:10]),
        distance=target_distance(world, position, truth.stamp_ns),
        command=_series(rows["cmd_vel"], command_vector, (4,)),
        frames=_series(rows["image"], image_array, (1, 1, 3)),
        imu=_series(rows["imu"], imu_vector, (6,)),
        neurons=_series(rows["neurons"], lambda m: np.asarray(m.position, dtype=float), (0,)),
        neuron_names=tuple(rows["neurons"][-1].name) if rows["neurons"] else (),
        ages=_ages(rows["trace"]), status=status,
        controller=_key_values(rows["controller/status"][-1])
        if rows["controller/status"] else {},
        counters=_counters(rows["diagnostics"]))


def rotations(quaternion: Floats) -> Floats:
    """Rotation matrices (N, 3, 3) of quaternions (N, 4) x, y, z, w, normalised first."""
    x, y, z, w = (quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)).T
    return np.stack([
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ], axis=-1).reshape(-1, 3, 3)


def target_distance(world: World, position: Floats, stamp_ns: Stamps) -> Floats:
    """Way (N,) that is left at positions (N, 3), metres: of a lap, else to the target's surface."""
    if world.road is not None:
        return _lap_left(world.road, position)
    offset = position[:, :2] - target_places(world, stamp_ns)[:, :2]
    return np.asarray(np.hypot(offset[:, 0], offset[:, 1]) - world.target.size[0])


def target_places(world: World, stamp_ns: Stamps) -> Floats:
    """Places (N, 3) of the target's centre at instants (N,), metres."""
    return np.array([world.target_at((stamp - START_NS) * 1e-9) for stamp in stamp_ns.tolist()])


def _lap_left(road: Road, position: Floats) -> Floats:
    """Metres of the lap that are left (N,) along a way (N, 3)."""
    line, at, left = Centreline(road.points), 0.0, []
    driven = 0.0
    for x, y in position[:, :2].tolist():
        along, _ = line.find(x, y, near=at)
        driven += math.remainder(along - at, line.length)
        at = along
        left.append(max(line.length - driven, 0.0))
    return np.array(left)


def _read_bag(bag: Path) -> dict[str, list[Any]]:
    """Messages of the last episode by topic."""
    rows: dict[str, list[Any]] = defaultdict(list)
    try:
        for topic, message in _messages(bag):
            if topic == "ground_truth" and rows[topic] and (
                    stamp_ns(message) < stamp_ns(rows[topic][-1])):
                rows.clear()  # the simulator was reset: what came before is another flight
            rows[topic].append(message)
    except (AnyReaderError, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise LnnError(f"bag {bag} cannot be read: {reason}") from error
    return rows


def _messages(bag: Path) -> Iterator[tuple[str, Any]]:
    with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
        wanted = {}
        for connection in reader.connections:
            for topic in _TOPICS:
                # Not what the adapter says to the vehicle, with stamps of its own.
                to_vehicle = connection.topic.endswith("/vehicle/" + topic)
                if connection.topic.endswith("/" + topic) and not to_vehicle:
                    wanted[connection.id] = topic
        chosen = [c for c in reader.connections if c.id in wanted]
        for connection, _, raw in reader.messages(chosen) if chosen else ():
            yield wanted[connection.id], reader.deserialize(raw, connection.msgtype)


def _series(rows: list[Any], convert: Callable[[Any], NDArray[Any]],
            empty: tuple[int, ...] = ()) -> Series:
    """Sort messages by stamp; of equal stamps the last one counts.

    A message that cannot be decoded is left out, as the controller leaves it out.
    """
    unique = {}
    for message in rows:
        try:
            unique[stamp_ns(message)] = convert(message)
        except LnnError:
            continue
    stamps = np.array(sorted(unique), dtype=np.int64)
    if not len(stamps):
        return Series(stamps, np.zeros((0, *empty)))
    return Series(stamps, np.stack([unique[int(s)] for s in stamps]))


def _pose(message: Any) -> Floats:
    p, q = message.pose.pose.position, message.pose.pose.orientation
    v = message.twist.twist.linear
    return np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w, v.x, v.y, v.z])


def _key_values(status: Any) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def _counters(rows: list[Any]) -> dict[str, float]:
    """Numbers of the controller's last message on /diagnostics, but those that are momentary."""
    found = {}
    for message in rows:
        for status in message.status:
            if status.name.rpartition("/")[2].startswith("controller"):
                found = _key_values(status)
    return {key: float(text) for key, text in found.items() if _is_number(text)
            and not key.endswith((".rate_hz", ".age_s"))}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _ages(rows: list[Any]) -> dict[str, Series]:
    """Age of each stream's newest sample at each command, from the controller's trace."""
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for message in rows:
        for status in message.status:
            for key, text in _key_values(status).items():
                stream, _, unit = key.rpartition(".")
                if unit == "age_s" and _is_number(text):
                    found[stream].append((stamp_ns(message), float(text)))
    return {stream: Series(*(np.array(column) for column in zip(*sorted(rows), strict=True)))
            for stream, rows in sorted(found.items())}
