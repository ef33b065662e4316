"""Messages to arrays and back, on rclpy's and on rosbags' message objects alike."""

from __future__ import annotations

import copy

import geometry_msgs.msg
import nav_msgs.msg
import numpy as np
import pytest
import sensor_msgs.msg
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.typesys import Stores, get_typestore

from lnn_ros import messages
from lnn_ros.errors import LnnError

STORE = get_typestore(Stores.ROS2_JAZZY)


def rclpy_object(message):
    """Return the message as rclpy delivers it."""
    return deserialize_message(serialize_message(message), type(message))


def rosbags_object(message):
    """Return the message as rosbags reads it from a recording."""
    name = type(message).__module__.split(".")[0] + "/msg/" + type(message).__name__
    return STORE.deserialize_cdr(serialize_message(message), name)


LIBRARIES = pytest.mark.parametrize("received", [rclpy_object, rosbags_object])


def image_message(pixels, encoding, padding=0, bigendian=0):
    """Return an Image with rows of bytes from ``pixels`` (H, bytes), padded with 0xEE."""
    rows = np.full((pixels.shape[0], pixels.shape[1] + padding), 0xEE, np.uint8)
    rows[:, :pixels.shape[1]] = pixels
    message = sensor_msgs.msg.Image()
    message.header.stamp.sec = 1
    message.encoding, message.is_bigendian, message.step = encoding, bigendian, rows.shape[1]
    message.height = rows.shape[0]
    message.data.frombytes(rows.tobytes())
    return message


RGB = np.array([[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [100, 110, 120]]], np.uint8)
GREY = np.array([[10, 20], [30, 40]], np.uint8)
ALPHA = np.full((2, 2, 1), 99, np.uint8)
SIXTEEN = GREY.astype(np.uint16) * 256 + 7  # high byte is the picture, low byte noise
CASES = {
    "rgb8": (RGB, RGB),
    "bgr8": (RGB[:, :, ::-1], RGB),
    "8UC3": (RGB[:, :, ::-1], RGB),
    "rgba8": (np.concatenate((RGB, ALPHA), 2), RGB),
    "bgra8": (np.concatenate((RGB[:, :, ::-1], ALPHA), 2), RGB),
    "mono8": (GREY, np.repeat(GREY[:, :, None], 3, 2)),
    "8UC1": (GREY, np.repeat(GREY[:, :, None], 3, 2)),
    "mono16": (SIXTEEN.astype("<u2"), np.repeat(GREY[:, :, None], 3, 2)),
    "16UC1": (SIXTEEN.astype("<u2"), np.repeat(GREY[:, :, None], 3, 2)),
}


def test_every_encoding_has_a_case():
    assert set(CASES) == set(messages.ENCODINGS)


@LIBRARIES
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", messages.ENCODINGS)
def test_image_is_decoded_to_rgb_whatever_its_encoding_and_padding(encoding, padding, received):
    sent, expected = CASES[encoding]
    rows = np.frombuffer(np.ascontiguousarray(sent).tobytes(), np.uint8).reshape(2, -1)
    message = image_message(rows, encoding, padding)
    message.width = 2
    image = messages.image_array(received(message))
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.owndata
    np.testing.assert_array_equal(image, expected)


def test_big_endian_sixteen_bit_image_keeps_its_high_byte():
    rows = np.frombuffer(SIXTEEN.astype(">u2").tobytes(), np.uint8).reshape(2, -1)
    message = image_message(rows, "mono16", bigendian=1)
    message.width = 2
    np.testing.assert_array_equal(messages.image_array(message)[:, :, 0], GREY)


@pytest.mark.parametrize(("change", "sentence"), [
    ({"encoding": "bayer_rggb8"}, "image encoding 'bayer_rggb8' is unknown: expected one of rgb8"),
    ({"height": 0}, "image size is 2x0 pixels: expected at least 1x1"),
    ({"width": 0}, "image size is 0x2 pixels"),
    ({"step": 5}, "image step is 5 bytes: expected at least 6"),
    ({"height": 3}, "image data have 12 bytes: expected 18 for 3 rows of 6"),
    ({"width": 2**32 - 1}, "image step is 6 bytes: expected at least 12884901885"),
    ({"width": 2**31, "step": 2**32 - 1, "encoding": "mono8"}, "image data have 12 bytes"),
])
def test_image_that_cannot_be_read_is_a_named_error(change, sentence):
    message = image_message(RGB.reshape(2, -1), "rgb8")
    message.width = 2
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(LnnError) as error:
        messages.image_array(message)
    assert sentence in str(error.value)


@pytest.mark.parametrize("turned", [False, True])
def test_image_that_is_too_long_is_a_named_error(turned):
    pixels = np.zeros((1, messages.MAX_SIDE + 1), np.uint8)
    message = image_message(pixels.T if turned else pixels, "mono8")
    message.width = message.step
    with pytest.raises(LnnError, match="expected at most 4096 each way"):
        messages.image_array(message)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_image_message_is_decoded_or_refused_by_name(data):
    message = sensor_msgs.msg.Image()
    message.encoding = data.draw(st.sampled_from([*messages.ENCODINGS, "", "rgb16", "\ufffd"]))
    for name in ("height", "width", "step"):
        setattr(message, name, data.draw(st.integers(0, 12) | st.integers(0, 2**32 - 1)))
    message.is_bigendian = data.draw(st.integers(0, 255))
    message.data.frombytes(data.draw(st.binary(max_size=200)))
    try:
        image = messages.image_array(message)
    except LnnError:
        return
    assert image.shape == (message.height, message.width, 3)
    assert image.dtype == np.uint8


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9),
       st.integers(0, 2**32 - 1))
def test_resize_is_the_mean_over_the_area(rows, columns, height, width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), np.uint8)
    # Blow both sizes up to their common multiple, where an area is a whole number of cells.
    fine = image.repeat(height, 0).repeat(width, 1).astype(np.float64)
    mean = fine.reshape(height, rows, width, columns, 3).mean(axis=(1, 3))
    result = messages.resize(image, height, width)
    assert result.shape == (height, width, 3)
    assert result.dtype == np.uint8
    # Half-way cases may round to either side.
    assert np.abs(result - mean).max() <= 0.5 + 1e-4


def test_resize_leaves_an_image_of_the_right_size_alone():
    assert messages.resize(RGB, 2, 2) is RGB


def imu_message():
    """Return an Imu with six different numbers."""
    message = sensor_msgs.msg.Imu()
    rate, force = message.angular_velocity, message.linear_acceleration
    rate.x, rate.y, rate.z, force.x, force.y, force.z = 0.1, 0.2, 0.3, 1.0, 2.0, 9.8
    return message


@LIBRARIES
def test_imu_is_angular_rate_then_specific_force(received):
    vector = messages.imu_vector(received(imu_message()))
    assert vector.dtype == np.float64
    assert vector.tolist() == [0.1, 0.2, 0.3, 1.0, 2.0, 9.8]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_imu_that_is_not_finite_is_a_named_error(value):
    message = imu_message()
    message.linear_acceleration.y = value
    with pytest.raises(LnnError, match="expected finite numbers"):
        messages.imu_vector(message)


@pytest.mark.parametrize("name", ["angular_velocity", "linear_acceleration"])
def test_imu_that_lacks_a_measurement_is_a_named_error(name):
    message = imu_message()
    getattr(message, f"{name}_covariance")[0] = -1.0
    with pytest.raises(LnnError, match=f"has no {name}"):
        messages.imu_vector(message)


@LIBRARIES
@given(st.integers(1, 2**31 * 10**9 - 1))
@settings(max_examples=50, deadline=None)
def test_stamps_survive_the_way_through_a_message(received, nanoseconds):
    message = sensor_msgs.msg.Imu()
    messages.set_time(message.header.stamp, nanoseconds)
    assert messages.stamp_ns(received(message)) == nanoseconds


@pytest.mark.parametrize(("sec", "nanosec"),
                         [(0, 0), (-1, 5), (3, 1_000_000_000), (-(2**31), 0)])
def test_stamp_that_is_no_time_of_measurement_is_a_named_error(sec, nanosec):
    message = sensor_msgs.msg.Imu()
    message.header.stamp.sec, message.header.stamp.nanosec = sec, nanosec
    with pytest.raises(LnnError, match=f"stamp is {sec} s {nanosec} ns: expected"):
        messages.stamp_ns(message)


@LIBRARIES
def test_command_survives_the_way_through_a_message(received):
    message = geometry_msgs.msg.TwistStamped()
    command = np.array([1.5, -0.25, 0.1, 0.7])
    messages.fill_command(message, command, 12_345_678_901, "base_link")
    there = received(message)
    assert messages.command_vector(there).tolist() == command.tolist()
    assert messages.stamp_ns(there) == 12_345_678_901
    assert there.header.frame_id == "base_link"


def test_command_that_is_not_finite_is_a_named_error():
    message = geometry_msgs.msg.TwistStamped()
    message.twist.angular.z = float("nan")
    with pytest.raises(LnnError, match="expected finite numbers"):
        messages.command_vector(message)


@LIBRARIES
def test_image_and_imu_survive_the_way_through_a_message(received):
    image = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    message = sensor_msgs.msg.Image()
    messages.fill_image(message, image, 5, "camera")
    np.testing.assert_array_equal(messages.image_array(received(message)), image)
    reading = np.arange(6.0)
    imu = sensor_msgs.msg.Imu()
    messages.fill_imu(imu, reading, 5, "base_link")
    np.testing.assert_array_equal(messages.imu_vector(received(imu)), reading)


@settings(max_examples=100, deadline=None)
@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: sum(v * v for v in q) > 1e-3))
def test_quaternion_of_a_rotation_turns_as_the_matrix_does(components):
    expected = np.array(components) / np.linalg.norm(components)
    w, x, y, z = expected
    rotation = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]])
    found = np.array(messages.quaternion(rotation))
    # A rotation has two quaternions, q and -q.
    assert min(np.abs(found - expected).max(), np.abs(found + expected).max()) < 1e-7


def test_odometry_carries_pose_and_body_velocity():
    message = nav_msgs.msg.Odometry()
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # yaw of 90 degrees
    messages.fill_odometry(message, np.array([1.0, 2.0, 3.0]), quarter, np.array([4.0, 5.0, 6.0]),
                           np.array([7.0, 8.0, 9.0]), 5, "map", "base_link")
    there = rosbags_object(copy.deepcopy(message))
    q, p, v = there.pose.pose.orientation, there.pose.pose.position, there.twist.twist.linear
    assert (there.header.frame_id, there.child_frame_id) == ("map", "base_link")
    assert np.allclose((q.w, q.x, q.y, q.z), (0.5**0.5, 0, 0, 0.5**0.5))
    assert (p.x, p.y, p.z, v.x, v.y, v.z) == (1, 2, 3, 4, 5, 6)
    assert there.twist.twist.angular.z == 9.0


def test_camera_info_projects_the_optical_axis_to_the_middle():
    message = sensor_msgs.msg.CameraInfo()
    messages.fill_camera_info(message, 64, 48, 32.0, 5, "camera")
    there = rosbags_object(message)
    matrix = there.k.reshape(3, 3)
    assert (matrix @ (0.0, 0.0, 1.0)).tolist() == [31.5, 23.5, 1.0]
    # 45 degrees to the side is the edge of a picture 90 degrees wide: half a pixel past its centre.
    assert (matrix @ (1.0, 0.0, 1.0))[0] == 63.5
    np.testing.assert_array_equal(there.p.reshape(3, 4)[:, :3], matrix)
