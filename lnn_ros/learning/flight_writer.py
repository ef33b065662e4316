"""Write a flight as a rosbag2 with the topics of a recorded robot; see ``flights``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.typesys import Stores, get_typestore

from lnn_ros import messages
from lnn_ros.geometry import CameraModel, VirtualCamera
from lnn_ros.learning.hints import NAMES
from lnn_ros.recording import Recording

IMAGE, INFO, IMU = "/image", "/camera_info", "/imu"
COMMAND, LABEL, HINT, ODOM = "/cmd_vel", "/takeover", "/hints", "/odom"
_TWIST, _JOINTS = "geometry_msgs/msg/TwistStamped", "sensor_msgs/msg/JointState"
_KINDS = {IMAGE: "sensor_msgs/msg/Image", INFO: "sensor_msgs/msg/CameraInfo",
          IMU: "sensor_msgs/msg/Imu", COMMAND: _TWIST, LABEL: _TWIST, HINT: _JOINTS,
          ODOM: "nav_msgs/msg/Odometry"}  # fmt: skip
_NEVER = QosTime(0, 0)
_LATCHED = Qos(QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL,
               _NEVER, _NEVER, QosLiveliness.AUTOMATIC, _NEVER, False)  # fmt: skip


class Note(NamedTuple):
    """What is written of one message: when it arrived, its topic, its stamp (both ns), value."""

    arrival_ns: int
    topic: str
    stamp_ns: int
    value: NDArray[Any]


def write_flight(bag: Path, heard: Iterable[Note], camera: VirtualCamera,
                 about: Mapping[str, str]) -> None:
    """Write a bag, whole or not at all.

    Parameters
    ----------
    bag : Path
        Its folder. One that is there already stays.
    heard : iterable of Note
        In any order; of equal times of arrival, in this one.
    camera : VirtualCamera
        That the frames are said to be of.
    about : mapping of str to str
        The bag's ``custom_data``; see ``NOTES``.
    """
    bag.parent.mkdir(parents=True, exist_ok=True)
    half = bag.with_name(f".{bag.name}.{os.getpid()}.part")
    shutil.rmtree(half, ignore_errors=True)  # of a process of this number that was killed
    try:
        recording = Recording(half, bag.name, _types())
        parameters = json.dumps({"camera.pitch": camera.tilt})
        for key, text in {"parameters": parameters, **about}.items():
            recording.note(key, text)
        heard = list(heard)
        used = {note.topic for note in heard} | {INFO}
        for topic, kind in ((topic, kind) for topic, kind in _KINDS.items() if topic in used):
            recording.add_topic(topic, kind, [_LATCHED] if topic == INFO else [])
        scribe = _Scribe(camera)
        for note in _with_info(sorted(heard, key=lambda note: note.arrival_ns)):
            recording.write(note.topic, note.arrival_ns, scribe(note))
        recording.close()
        try:
            (half / bag.name).rename(bag)
        except OSError:
            if not (bag / "metadata.yaml").is_file():  # else another has written it meanwhile
                raise
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _with_info(heard: list[Note]) -> Iterator[Note]:
    """Tell the calibration once, before the first frame."""
    first = next((k for k, note in enumerate(heard) if note.topic == IMAGE), None)
    for k, note in enumerate(heard):
        if k == first:
            yield Note(note.arrival_ns, INFO, note.stamp_ns, np.zeros(0))
        yield note


class _Scribe:
    """Serialize messages; one of each kind is filled again and again."""

    def __init__(self, camera: VirtualCamera) -> None:
        self._store = _types()
        make = self._store.types
        header = make["std_msgs/msg/Header"](make["builtin_interfaces/msg/Time"](0, 0), "")
        vector, rotation = make["geometry_msgs/msg/Vector3"], make["geometry_msgs/msg/Quaternion"]
        zero, nothing = np.zeros(9), np.zeros(0)

        def still() -> Any:
            return vector(0.0, 0.0, 0.0)

        region = make["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        twist = make[_TWIST](header, make["geometry_msgs/msg/Twist"](still(), still()))
        self._blank: dict[str, Any] = {
            IMAGE: make[_KINDS[IMAGE]](header, 0, 0, "", 0, 0, np.zeros(0, np.uint8)),
            INFO: make[_KINDS[INFO]](header, 0, 0, "", nothing, zero.copy(), zero.copy(),
                                     np.zeros(12), 0, 0, region),
            IMU: make[_KINDS[IMU]](header, rotation(0.0, 0.0, 0.0, 1.0), zero.copy(), still(),
                                   zero, still(), zero),
            COMMAND: twist, LABEL: twist,
            HINT: make[_JOINTS](header, list(NAMES), nothing, nothing, nothing),
            ODOM: make[_KINDS[ODOM]](
                header, "", make["geometry_msgs/msg/PoseWithCovariance"](
                    make["geometry_msgs/msg/Pose"](
                        make["geometry_msgs/msg/Point"](0.0, 0.0, 0.0),
                        rotation(0.0, 0.0, 0.0, 1.0)), np.zeros(36)),
                make["geometry_msgs/msg/TwistWithCovariance"](
                    make["geometry_msgs/msg/Twist"](still(), still()), np.zeros(36))),
        }  # fmt: skip
        self._camera = camera
        self._fill: dict[str, Callable[[Any, Note], None]] = {
            IMAGE: self._image, INFO: self._info, IMU: self._imu, COMMAND: self._command,
            LABEL: self._command, HINT: self._hints, ODOM: self._odometry}  # fmt: skip

    def __call__(self, note: Note) -> bytes:
        """Return the message."""
        message = self._blank[note.topic]
        self._fill[note.topic](message, note)
        return bytes(self._store.serialize_cdr(message, _KINDS[note.topic]))

    def _image(self, message: Any, note: Note) -> None:
        messages.fill_image(message, note.value, note.stamp_ns, "camera")
        message.data = note.value.reshape(-1)  # as rosbags wants it

    def _info(self, message: Any, note: Note) -> None:
        camera = self._camera
        model = CameraModel.pinhole(camera.width, camera.height, camera.horizontal_fov)
        messages.fill_camera_info(message, camera.width, camera.height, model.k[0], note.stamp_ns,
                                  "camera")
        message.d = np.asarray(message.d)

    def _imu(self, message: Any, note: Note) -> None:
        messages.fill_imu(message, note.value, note.stamp_ns, "base_link")

    def _command(self, message: Any, note: Note) -> None:
        messages.fill_command(message, note.value, note.stamp_ns, "base_link")

    def _odometry(self, message: Any, note: Note) -> None:
        """Fill from position, rotation (row by row), velocity and angular rate: 18 numbers."""
        value = note.value
        messages.fill_odometry(message, value[:3], value[3:12].reshape(3, 3), value[12:15],
                               value[15:], note.stamp_ns, "odom", "base_link")

    def _hints(self, message: Any, note: Note) -> None:
        messages.set_time(message.header.stamp, note.stamp_ns)
        message.header.frame_id = ""
        message.position = note.value.astype(np.float64)


@lru_cache(maxsize=1)
def _types() -> Any:
    return get_typestore(Stores.LATEST)
