"""Bags for tests, written with rosbags in a plain process; and a pilot that leaves a trace."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from policies_for_tests import HEIGHT, WIDTH, small_checkpoint
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from lnn_ros import trace
from lnn_ros.guard.chain import Guard
from lnn_ros.guard.parameters import LimitParameters, ModeParameters, SlewParameters
from lnn_ros.liquid.checkpoint import load, save
from lnn_ros.messages import set_time
from lnn_ros.nodes.parameter_rows import rows
from lnn_ros.nodes.settings import ControllerSettings
from lnn_ros.pilot import Pilot, ceilings
from lnn_ros.timeline.samples import STREAMS, digest
from lnn_ros.trace import Seen

MS = 1_000_000
START_NS = 1_700_000_000_000_000_000
FOV_DEG = math.degrees(1.5)  # what the camera of the small policy sees
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
IMU, INFO = "sensor_msgs/msg/Imu", "sensor_msgs/msg/CameraInfo"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
NEWEST = [store for store in Stores if store.name.startswith("ROS2_")][-1]

Logged = tuple[int, str, Any]
"""Log time (ns), topic, message."""


class Maker:
    """Messages of one distribution of ROS."""

    def __init__(self, distribution: Stores = NEWEST) -> None:
        self.store: Any = get_typestore(distribution)
        self._make = self.store.types

    def header(self, stamp_ns: int) -> Any:
        header = self._make["std_msgs/msg/Header"](
            self._make["builtin_interfaces/msg/Time"](0, 0), "")
        set_time(header.stamp, stamp_ns)
        return header

    def image(self, stamp_ns: int, pixels: np.ndarray, encoding: str = "rgb8",
              big_endian: bool = False) -> Any:
        data = np.frombuffer(pixels.tobytes(), np.uint8)
        return self._make[IMAGE](self.header(stamp_ns), *pixels.shape[:2], encoding, big_endian,
                                 data.size // pixels.shape[0], data)

    def compressed(self, stamp_ns: int, data: bytes, form: str) -> Any:
        return self._make[COMPRESSED](self.header(stamp_ns), form, np.frombuffer(data, np.uint8))

    def imu(self, stamp_ns: int, values: np.ndarray) -> Any:
        vector = self._make["geometry_msgs/msg/Vector3"]
        turn = self._make["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
        rate, force = (vector(*(float(v) for v in part)) for part in (values[:3], values[3:]))
        unknown = np.zeros(9)
        return self._make[IMU](self.header(stamp_ns), turn, unknown, rate, unknown, force, unknown)

    def info(self, stamp_ns: int, width: int, height: int, focal: float) -> Any:
        k = np.array((focal, 0, (width - 1) / 2, 0, focal, (height - 1) / 2, 0, 0, 1.0))
        region = self._make["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        return self._make[INFO](self.header(stamp_ns), height, width, "plumb_bob", np.zeros(5), k,
                                np.eye(3).ravel(), np.zeros(12), 0, 0, region)

    def diagnostics(self, stamp_ns: int, values: dict[str, object]) -> Any:
        pair, status = (self._make[f"diagnostic_msgs/msg/{n}"] for n in
                        ("KeyValue", "DiagnosticStatus"))
        pairs = [pair(key, str(value)) for key, value in values.items()]
        return self._make[DIAGNOSTICS](self.header(stamp_ns),
                                       [status(0, "controller: trace", "", "", pairs)])


def write_bag(path: Path, logged: list[Logged], plugin: StoragePlugin = StoragePlugin.MCAP,
              maker: Maker | None = None, version: int = 9,
              compression: CompressionMode = CompressionMode.NONE) -> Path:
    """Write messages, in the order given; return the bag."""
    store = (maker or Maker()).store
    writer = Writer(path, version=version, storage_plugin=plugin)
    if compression is not CompressionMode.NONE:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for log_ns, topic, message in logged:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], log_ns, store.serialize_cdr(message, kind))
    return path


def join(path: Path, parts: list[Path]) -> Path:
    """Make one bag of several files of bags that have the same topics; return it."""
    path.mkdir()
    merged: dict[str, Any] = {}
    for number, part in enumerate(parts):
        about = yaml.safe_load((part / "metadata.yaml").read_text())
        found = about["rosbag2_bagfile_information"]
        (file,) = part.glob("*.mcap")
        (path / f"{number}.mcap").write_bytes(file.read_bytes())
        merged = merged or {**found, "relative_file_paths": [], "message_count": 0, "files": []}
        merged["relative_file_paths"].append(f"{number}.mcap")
        merged["message_count"] += found["message_count"]
        if number:
            more = {topic["topic_metadata"]["name"]: topic["message_count"]
                    for topic in found["topics_with_message_count"]}
            for topic in merged["topics_with_message_count"]:
                topic["message_count"] += more[topic["topic_metadata"]["name"]]
    (path / "metadata.yaml").write_text(
        yaml.safe_dump({"rosbag2_bagfile_information": merged}))
    return path


def small_policy(path: Path, seed: int = 0) -> Path:
    """Write a policy of random weights."""
    save(path, small_checkpoint(seed=seed))
    return path


def flight(seed: int, seconds: float = 1.5, start_ns: int = START_NS) -> list[Logged]:
    """Camera at about 20 Hz and IMU at about 100 Hz, logged a little later; by log time."""
    rng, maker = np.random.default_rng(seed), Maker()
    logged: list[Logged] = []
    stamp = start_ns
    while stamp < start_ns + seconds * 1e9:
        values = np.concatenate([rng.normal(0, 0.3, 3), rng.normal((0, 0, 9.81), 1)])
        logged.append((stamp + int(rng.integers(0, 2 * MS)), "/imu", maker.imu(stamp, values)))
        stamp += int(rng.integers(8 * MS, 12 * MS))
    stamp = start_ns + 3 * MS
    while stamp < start_ns + seconds * 1e9:
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        logged.append((stamp + int(rng.integers(2 * MS, 9 * MS)), "/image",
                       maker.image(stamp, pixels)))
        stamp += int(rng.integers(40 * MS, 60 * MS))
    return sorted(logged, key=lambda entry: entry[0])


BRAKING = ControllerSettings(
    limits=LimitParameters(forward=0.4, turn=0.5),
    normal=SlewParameters(forward=1.0, backward=2.0, lateral=1.5, turn=3.0, jerk_turn=40.0),
    braking=SlewParameters(forward=3.0, backward=3.0, lateral=3.0, turn=6.0, jerk_turn=80.0),
    modes=ModeParameters(require_airborne=False, require_velocity_mode=False, resume_within=1e6))
"""A controller whose limits are felt."""


class Live:
    """A controller's part that counts here: pilot and guard are fed, and say what they did.

    Parameters
    ----------
    policy : Path
    decode : callable
        From a topic's message to (stream, stamp, value).
    settings : ControllerSettings
    """

    def __init__(self, policy: Path, decode: Any, settings: ControllerSettings = BRAKING) -> None:
        checkpoint = load(policy)
        self.guard = Guard(ceilings(checkpoint), settings.guard, settings.period)
        self.guard.engage_when_ready("for the test")
        self.pilot = Pilot(checkpoint, guard=self.guard)
        told = {row.name: reduce(getattr, row.name.split("."), settings)
                for row in rows(ControllerSettings)}
        self._settings = json.dumps(told)
        self._decode, self._maker = decode, Maker()
        self._resets = self._commands = 0
        self._seen = {name: Seen() for name in STREAMS}

    def reset(self) -> None:
        self.pilot.reset()
        self._resets += 1
        self._seen = {name: Seen() for name in STREAMS}

    def receive(self, topic: str, message: Any, now_ns: int) -> None:
        stream, stamp, value = self._decode(topic, message)
        if self.pilot.observe(stream, stamp, value, now_ns):
            seen = self._seen[stream]
            seen.taken += 1
            seen.digest = (seen.digest + digest(stamp, value)) % 2**64
            seen.new.append(stamp)

    def command(self, at_ns: int) -> Any:
        """Return the trace of a command."""
        command = self.pilot.command(at_ns)
        head = {"policy": str(self.pilot.card["weights_sha256"])[:16], "reset": self._resets}
        if self._commands % 20 == 0:
            head["settings"] = self._settings
        self._commands += 1
        return self._maker.diagnostics(at_ns, trace.values(
            at_ns, head, self._seen, self.pilot.wish, self.guard, command))


def changed(message: Any, **values: object) -> Any:
    """Return a trace with other values; double underscores in names become dots; None: without."""
    (status,) = message.status
    pair = type(status.values[0])
    named = {key.replace("__", "."): value for key, value in values.items()}
    pairs = [pair(p.key, str(named.get(p.key, p.value))) for p in status.values
             if named.get(p.key, "") is not None]
    return replace(message, status=[replace(status, values=pairs)])
