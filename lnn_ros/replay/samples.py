"""Messages of a bag as samples, made as the controller makes them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros import messages
from lnn_ros.errors import LnnError
from lnn_ros.geometry import CameraModel, Mounting, VirtualCamera
from lnn_ros.nodes.cdr import imu_sample
from lnn_ros.nodes.settings import ControllerSettings
from lnn_ros.remap import Rectifier
from lnn_ros.replay.bag import Bag, Topic, peek_stamp_ns
from lnn_ros.timeline.samples import digest

Key = tuple[str, int]
"""Stream and stamp (ns)."""


@dataclass(frozen=True)
class Sample:
    """One stamped value.

    Attributes
    ----------
    stream : str
    stamp_ns : int
        The message's, plus the parameter ``<stream>.offset_s``.
    value : ndarray
        As the pilot takes it.
    """

    stream: str
    stamp_ns: int
    value: NDArray[Any]

    @property
    def key(self) -> Key:
        """Stream and stamp."""
        return self.stream, self.stamp_ns

    @cached_property
    def digest(self) -> int:
        """What tells its content from another's, as the controller computes it."""
        return digest(self.stamp_ns, self.value)


class Decoder:
    """Messages to samples.

    The camera's calibration is the newest in the bag so far, as live; images before the first one
    are seen by that. What the camera sees of the policy's view is noted and not judged.

    Parameters
    ----------
    bag : Bag
    topics : mapping of str to Topic
        Of each stream, and ``camera_info`` if there is one.
    virtual : VirtualCamera
        The camera that the policy was trained with.
    settings : ControllerSettings
        What the sensors are like.

    Attributes
    ----------
    counts : Counter of str
        Messages that could not be used, ``subject.reason``.
    reasons : dict of str to str
        One sentence for each of them.
    topics : list of Topic
        All that it decodes.

    Raises
    ------
    LnnError
        When neither a calibration nor the field of view is known.
    """

    def __init__(self, bag: Bag, topics: Mapping[str, Topic], virtual: VirtualCamera,
                 settings: ControllerSettings) -> None:
        camera, imu = settings.camera, settings.imu
        self._bag, self._virtual = bag, virtual
        self._streams = {topic.name: stream for stream, topic in topics.items()}
        self._offset_ns = {"camera": round(camera.offset_s * 1e9), "imu": round(imu.offset_s * 1e9)}
        self._mounting = Mounting(imu.roll, imu.pitch, imu.yaw)
        self._camera_mounting = Mounting(camera.roll, camera.pitch, camera.yaw)
        self._rectifier: Rectifier | None = None
        self._camera: CameraModel | float | None = None
        self.topics = list(topics.values())
        self.counts: Counter[str] = Counter()
        self.reasons: dict[str, str] = {}
        if camera.fov_deg:
            self._aim(math.radians(camera.fov_deg))
        elif "camera_info" in topics:
            _, topic, payload = next(bag.messages([topics["camera_info"]]))
            self._calibrate(topic, payload)
        if self._rectifier is None:
            raise LnnError(f"bag {bag.path} has no calibration (sensor_msgs/msg/CameraInfo) for "
                           f"topic {topics['camera'].name!r}: give the camera's field of view "
                           f"across the image's width with --fov DEGREES, or the calibration's "
                           f"topic with --camera-info")

    @property
    def coverage(self) -> float | None:
        """Share of the policy's view that the camera sees; None before the first image."""
        return None if self._rectifier is None else self._rectifier.coverage

    def key(self, topic: Topic, payload: bytes) -> Key | None:
        """Return stream and stamp of a message without decoding it; None if it is no sample."""
        stream, stamp_ns = self._streams[topic.name], peek_stamp_ns(payload)
        if stream == "camera_info" or stamp_ns is None:
            return None
        return stream, stamp_ns + self._offset_ns[stream]

    def __call__(self, topic: Topic, payload: bytes) -> Sample | None:
        """Return a message's sample; None when it cannot be used, or is a calibration."""
        stream = self._streams[topic.name]
        reason = "undecodable"
        try:
            if stream == "camera_info":
                self._calibrate(topic, payload)
                return None
            if stream == "imu" and (read := imu_sample(payload)) is not None:
                return Sample(stream, read[0] + self._offset_ns[stream],
                              self._mounting.rotate_imu(read[1]))
            message = self._bag.decode(topic, payload)
            reason = "stamp"
            stamp_ns = messages.stamp_ns(message) + self._offset_ns[stream]
            reason = "content"
            value = self._frame(message) if stream == "camera" else self._reading(message)
        except LnnError as error:
            self.counts[f"{stream}.{reason}"] += 1
            self.reasons.setdefault(f"{stream}.{reason}", str(error))
            return None
        return Sample(stream, stamp_ns, value)

    def _frame(self, message: Any) -> NDArray[np.uint8]:
        assert self._rectifier is not None
        return self._rectifier(messages.image_view(message))

    def _reading(self, message: Any) -> NDArray[np.float64]:
        return self._mounting.rotate_imu(messages.imu_vector(message))

    def _calibrate(self, topic: Topic, payload: bytes) -> None:
        """Take a calibration; the same again, with another stamp, changes nothing."""
        self._aim(messages.camera_model(self._bag.decode(topic, payload)))

    def _aim(self, camera: CameraModel | float) -> None:
        if camera != self._camera:
            self._rectifier = Rectifier(self._virtual, camera, self._camera_mounting, 0.0)
            self._camera = camera
