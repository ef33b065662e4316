"""Messages as the two libraries hand them out: rclpy from a topic, rosbags from a recording."""

from __future__ import annotations

import pytest
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)


def rclpy_object(message):
    """Return the message as rclpy delivers it."""
    return deserialize_message(serialize_message(message), type(message))


def rosbags_object(message):
    """Return the message as rosbags reads it from a recording."""
    name = type(message).__module__.split(".")[0] + "/msg/" + type(message).__name__
    return STORE.deserialize_cdr(serialize_message(message), name)


LIBRARIES = pytest.mark.parametrize("received", [rclpy_object, rosbags_object])
