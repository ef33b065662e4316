"""Bags for tests, written with rosbags in a plain process; and a pilot that leaves a trace."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from policies_for_tests import HEIGHT, WIDTH, small_checkpoint
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from lnn_ros.liquid.checkpoint import save
from lnn_ros.messages import set_time
from lnn_ros.pilot import Pilot
from lnn_ros.timeline.samples import STREAMS, digest

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


class Live:
    """A controller's part that counts here: it feeds a pilot and says what it did.

    Parameters
    ----------
    policy : Path
    decode : callable
        From a topic's message to (stream, stamp, value).
    """

    def __init__(self, pilot: Pilot, decode: Any) -> None:
        self.pilot, self._decode = pilot, decode
        self._maker = Maker()
        self._resets = 0
        self._forget()

    def _forget(self) -> None:
        self._taken = dict.fromkeys(STREAMS, 0)
        self._digest = dict.fromkeys(STREAMS, 0)
        self._new: dict[str, list[int]] = {name: [] for name in STREAMS}

    def reset(self) -> None:
        self.pilot.reset()
        self._resets += 1
        self._forget()

    def receive(self, topic: str, message: Any, now_ns: int) -> None:
        stream, stamp, value = self._decode(topic, message)
        if self.pilot.observe(stream, stamp, value, now_ns):
            self._taken[stream] += 1
            self._digest[stream] = (self._digest[stream] + digest(stamp, value)) % 2**64
            self._new[stream].append(stamp)

    def command(self, at_ns: int, mode: str = "engaged", withheld: str = "") -> Any:
        """Return the trace of a command."""
        command = np.zeros(4)
        if mode == "engaged":
            wish = self.pilot.command(at_ns)
            command = command if withheld else wish
        values: dict[str, object] = {
            "mode": mode, "policy": str(self.pilot.card["weights_sha256"])[:16],
            "reset": self._resets, "withheld": withheld}
        for name in STREAMS:
            values.update({f"{name}.taken": self._taken[name],
                           f"{name}.new": " ".join(map(str, self._new[name])),
                           f"{name}.digest": f"{self._digest[name]:016x}"})
            self._new[name] = []
        values["command"] = " ".join(float(value).hex() for value in command)
        return self._maker.diagnostics(at_ns, values)


def changed(message: Any, **values: object) -> Any:
    """Return a trace with other values; double underscores in names become dots; None: without."""
    (status,) = message.status
    pair = type(status.values[0])
    named = {key.replace("__", "."): value for key, value in values.items()}
    pairs = [pair(p.key, str(named.get(p.key, p.value))) for p in status.values
             if named.get(p.key, "") is not None]
    return replace(message, status=[replace(status, values=pairs)])
