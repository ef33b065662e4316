"""Which topics of a bag are the streams, the calibration and the trace."""

from __future__ import annotations

from collections.abc import Mapping

from lnn_ros import trace
from lnn_ros.errors import LnnError
from lnn_ros.replay.bag import Bag, Topic

KINDS = {
    "camera": ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"),
    "imu": ("sensor_msgs/msg/Imu",),
}
"""Types of the messages of each stream."""
INFO = "sensor_msgs/msg/CameraInfo"
OPTIONS = {"camera": "--image", "imu": "--imu", "camera_info": "--camera-info", "trace": "--trace"}
"""With which option of the command a person names a topic."""


def choose(bag: Bag, wanted: Mapping[str, str | None]) -> dict[str, Topic]:
    """Find the topic of each stream.

    Parameters
    ----------
    bag : Bag
    wanted : mapping of str to str or None
        Stream to the topic that a person named, if any.

    Raises
    ------
    LnnError
        When there is no image topic, when there are several of a stream and none was named, or
        when the one named is not there.
    """
    found = {}
    for stream, kinds in KINDS.items():
        topic = _only(bag, bag.topics(kinds), wanted.get(stream), stream, " or ".join(kinds))
        if topic is not None:
            found[stream] = topic
    if "camera" not in found:
        raise LnnError(f"bag {bag.path} has no topic with images: expected one of type "
                       f"{' or '.join(KINDS['camera'])}")
    return found


def find_info(bag: Bag, camera: Topic, wanted: str | None) -> Topic | None:
    """Find the calibration of a camera: ``camera_info`` beside the images, as is usual in ROS.

    Elsewhere, only where the bag has no other camera that it could belong to.

    Raises
    ------
    LnnError
        When the topic that a person named is not there.
    """
    candidates = bag.topics((INFO,))
    beside = camera.name.removesuffix("/compressed").rpartition("/")[0] + "/camera_info"
    if wanted is None:
        alone = len(candidates) == len(bag.topics(KINDS["camera"])) == 1
        candidates = [topic for topic in candidates if alone or topic.name == beside]
    return _only(bag, candidates, wanted, "camera_info", INFO)


def find_trace(bag: Bag, wanted: str | None) -> Topic | None:
    """Find the controller's trace, if the bag has one.

    Raises
    ------
    LnnError
        When there are several and none was named, or the one named is not there.
    """
    candidates = bag.topics((trace.KIND,))
    if wanted is None:
        candidates = [topic for topic in candidates if topic.name.endswith("/trace")]
    return _only(bag, candidates, wanted, "trace", trace.KIND)


def _only(bag: Bag, candidates: list[Topic], wanted: str | None, what: str,
          kinds: str) -> Topic | None:
    if wanted is not None:
        named = [topic for topic in candidates if topic.name == wanted]
        if not named:
            there = ", ".join(repr(topic.name) for topic in candidates) or "none"
            raise LnnError(f"bag {bag.path} has no topic {wanted!r} of type {kinds}: of this type "
                           f"it has {there}")
        candidates = named
    if len(candidates) > 1:
        there = ", ".join(repr(topic.name) for topic in candidates)
        raise LnnError(f"bag {bag.path} has {len(candidates)} topics that could be the {what} "
                       f"({there}): name one with {OPTIONS[what]}")
    return candidates[0] if candidates else None
