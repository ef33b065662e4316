"""The short way between payloads and values: what the long way finds, and what it writes."""

from __future__ import annotations

import array

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from hypothesis import example, given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Image, Imu

from lnn_ros import messages
from lnn_ros.errors import LnnError
from lnn_ros.nodes.cdr import diagnostic_array, imu_sample, raw_image, twist_stamped
from lnn_ros.nodes.diagnostics import OK, status

numbers = st.one_of(st.floats(), st.sampled_from([-1.0, 0.0]))
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
bags = get_typestore(Stores.ROS2_HUMBLE)


def slowly(payload):
    """Read a payload by rclpy; None if it is no good sample."""
    message = deserialize_message(payload, Imu)
    try:
        return messages.stamp_ns(message), messages.imu_vector(message)
    except LnnError:
        return None


def equal(a, b):
    """Tell whether two samples are the same to the last bit."""
    if a is None or b is None:
        return a is b
    return a[0] == b[0] and a[1].tobytes() == b[1].tobytes()


@example(0, 1, "", [0.0, 0.0, 0.0, 0.0, 8.9e307, 9.1e307], [0.0, 0.0])
@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1),
       st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
       st.lists(numbers, min_size=6, max_size=6), st.lists(numbers, min_size=2, max_size=2))
def test_what_is_read_is_what_rclpy_reads(seconds, nanoseconds, frame, vector, covariance):
    message = Imu()
    message.header.stamp.sec, message.header.stamp.nanosec = seconds, nanoseconds
    message.header.frame_id = frame
    message.orientation.x, message.orientation_covariance[3] = 5.0, 7.0
    rate, force = message.angular_velocity, message.linear_acceleration
    rate.x, rate.y, rate.z, force.x, force.y, force.z = vector
    message.angular_velocity_covariance[0], message.linear_acceleration_covariance[0] = covariance
    payload = serialize_message(message)
    found = imu_sample(payload)
    if found is None and not np.isfinite(sum(vector)):
        return  # of numbers whose sum is infinite the long way tells
    assert equal(found, slowly(payload))


@given(st.integers(0, 400), st.integers(0, 400), st.binary(max_size=8))
def test_other_payloads_are_left_to_rclpy(cut, place, junk):
    message = Imu()
    messages.fill_imu(message, np.arange(6.0), 10**18, "imu")
    good = serialize_message(message)
    assert imu_sample(good) is not None
    bad = bytearray(good[:cut])
    bad[place:place + len(junk)] = junk
    found = imu_sample(bytes(bad))  # must not raise
    assert found is None or len(bad) == len(good)


def pixels(payload, kind=Image):
    """Read an image: stamp and pixels, or the sentence of what is wrong with it."""
    message = raw_image(payload) if kind is Image else deserialize_message(payload, Image)
    try:
        return messages.stamp_ns(message), messages.image_view(message).tolist()
    except LnnError as error:
        return str(error)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1), words,
       st.sampled_from([*messages.ENCODINGS, "bayer_rggb8", "", "rgb8 "]), st.integers(0, 4),
       st.integers(0, 4), st.integers(0, 17), st.integers(0, 100), st.booleans(), st.booleans())
def test_image_is_what_rclpy_reads(seconds, nanoseconds, frame, encoding, height, width, step,
                                   count, bigendian, swapped):
    kinds = bags.types
    stamp = kinds["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds)
    message = kinds["sensor_msgs/msg/Image"](
        header=kinds["std_msgs/msg/Header"](stamp=stamp, frame_id=frame), height=height,
        width=width, encoding=encoding, is_bigendian=int(bigendian), step=step,
        data=np.arange(count, dtype=np.uint8))
    payload = bytes(bags.serialize_cdr(message, "sensor_msgs/msg/Image",
                                       little_endian=not swapped))
    assert raw_image(payload) is not None
    assert pixels(payload) == pixels(payload, None)


def image():
    """Return a good image of 5 x 4 pixels, its last number 59."""
    message = Image(height=4, width=5, encoding="rgb8", step=15)
    message.data = array.array("B", range(60))
    messages.set_time(message.header.stamp, 10**18)
    return message


@given(st.integers(0, 150), st.integers(0, 150), st.binary(max_size=8))
def test_image_of_another_layout_is_left_to_rclpy(cut, place, junk):
    good = serialize_message(image())
    bad = bytearray(good[:cut])
    bad[place:place + len(junk)] = junk
    found = raw_image(bytes(bad))  # must not raise
    assert found is None or len(found.data) < len(bad)
    assert raw_image(good + bytes(3)) == raw_image(good)  # payloads may be padded to four bytes
    assert raw_image(good + bytes(4)) is raw_image(good[:-1]) is None


@pytest.mark.parametrize("encoding", [b"rg\0" b"8\0", b"rg\xb38\0", b"rgb88"])
def test_image_whose_encoding_is_no_name_is_left_to_rclpy(encoding):
    payload = serialize_message(image())
    assert raw_image(payload) is not None
    assert raw_image(payload.replace(b"rgb8\0", encoding)) is None


@given(st.integers(0, 2**31 * 10**9 - 1), words,
       st.lists(st.floats(allow_nan=False), min_size=4, max_size=4))
def test_command_is_what_rclpy_would_write(at_ns, frame, command):
    found = deserialize_message(twist_stamped(at_ns, frame, command), TwistStamped)
    expected = TwistStamped()
    messages.fill_command(expected, np.array(command), at_ns, frame)
    assert found == expected
    assert len(twist_stamped(at_ns, frame, command)) == len(serialize_message(expected))


@given(st.integers(0, 2**31 * 10**9 - 1), words,
       st.dictionaries(words, st.one_of(words, st.none(), st.floats(), st.integers())))
def test_diagnostics_are_what_rclpy_would_write(at_ns, name, values):
    found = deserialize_message(diagnostic_array(at_ns, name, values), DiagnosticArray)
    expected = DiagnosticArray(status=[status(name, OK, "", values)])
    messages.set_time(expected.header.stamp, at_ns)
    assert found == expected
