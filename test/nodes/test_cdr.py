"""The short way to read an IMU sample finds what the long way finds, or nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Imu

from lnn_ros import messages
from lnn_ros.errors import LnnError
from lnn_ros.nodes.cdr import imu_sample

numbers = st.one_of(st.floats(), st.sampled_from([-1.0, 0.0]))


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
    assert equal(imu_sample(payload), slowly(payload))


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
