"""Messages to arrays and back, on rclpy's and on rosbags' message objects alike."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import geometry_msgs.msg
import nav_msgs.msg
import numpy as np
import pytest
import sensor_msgs.msg
from hypothesis import given, settings
from hypothesis import strategies as st
from received import LIBRARIES, rosbags_object

from lnn_ros import messages
from lnn_ros.errors import LnnError
from lnn_ros.geometry import CameraModel, VirtualCamera
from lnn_ros.remap import Remap


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


def camera_info():
    """Return the calibration of a real camera (EuRoC, cam0)."""
    message = sensor_msgs.msg.CameraInfo(width=752, height=480, distortion_model="plumb_bob")
    message.k = [458.654, 0.0, 367.215, 0.0, 457.296, 248.375, 0.0, 0.0, 1.0]
    message.d = [-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05, 0.0]
    message.r = [0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    return message


@LIBRARIES
def test_camera_info_becomes_a_camera_of_plain_numbers(received):
    message = camera_info()
    model = messages.camera_model(received(message))
    assert model == CameraModel(752, 480, tuple(message.k), tuple(message.d), "plumb_bob")
    assert hash(model) == hash(messages.camera_model(rosbags_object(message)))
    message.roi.width, message.roi.height = 752, 480  # the whole image is no region of interest
    message.binning_x = message.binning_y = 1
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]  # of the rectified image: ignored
    assert messages.camera_model(received(message)) == model


def test_camera_info_of_the_simulator_is_the_policys_camera():
    message = sensor_msgs.msg.CameraInfo()
    messages.fill_camera_info(message, 64, 48, 32.0, 5, "camera")
    image = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    remap = Remap(VirtualCamera(64, 48, np.pi / 2), messages.camera_model(rosbags_object(message)))
    np.testing.assert_array_equal(remap(image), image)


@pytest.mark.parametrize(("change", "says"), [
    ({"k": [0.0] * 9}, "camera is not calibrated: expected a calibration"),
    ({"binning_x": 2, "binning_y": 2}, "binning 2x2: expected none"),
    ({"roi": sensor_msgs.msg.RegionOfInterest(x_offset=8, y_offset=4, width=320, height=240)},
     "region of interest x 8, y 4, 320x240 pixels: expected none"),
    ({"roi": sensor_msgs.msg.RegionOfInterest(x_offset=8)}, "region of interest"),
    ({"width": 0}, "width of the camera info is 0"),
    ({"distortion_model": "thin_prism"}, "distortion 'thin_prism'"),
    ({"d": [float("nan")] * 5}, "expected nine numbers"),
    ({"d": [0.1] * 1000}, "at most fourteen"),
])
def test_camera_info_that_cannot_be_used_is_a_named_error(change, says):
    message = camera_info()
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(LnnError, match="camera info") as error:
        messages.camera_model(message)
    assert says in str(error.value)
    assert len(str(error.value)) < 600


def odometry(position=(1.0, 2.0, 3.0), quaternion=(1.0, 0.0, 0.0, 0.0)):
    """Return an odometry message's pose."""
    place = SimpleNamespace(**dict(zip("xyz", position, strict=True)))
    turn = SimpleNamespace(**dict(zip("wxyz", quaternion, strict=True)))
    return SimpleNamespace(pose=SimpleNamespace(pose=SimpleNamespace(position=place,
                                                                     orientation=turn)))


@given(st.floats(-3.1, 3.1), st.floats(-1.5, 1.5), st.floats(-3.1, 3.1))
def test_a_pose_is_turned_by_yaw_then_pitch_then_roll(roll, pitch, yaw):
    def about(axis, angle):
        c, s = np.cos(angle), np.sin(angle)
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = c
        turn[i, j], turn[j, i] = -s, s
        return turn

    rotation = about(2, yaw) @ about(1, pitch) @ about(0, roll)
    pose = messages.odometry_pose(odometry(quaternion=messages.quaternion(rotation)))
    assert pose.position == (1.0, 2.0, 3.0)
    again = about(2, pose.yaw) @ about(1, pose.pitch) @ about(0, pose.roll)
    assert np.allclose(again, rotation, atol=1e-7)


@pytest.mark.parametrize("message, sentence", [
    (odometry(position=(np.nan, 0.0, 0.0)), "expected finite numbers"),
    (odometry(quaternion=(0.0, 0.0, 0.0, 0.0)), "length 1"),
    (odometry(quaternion=(2.0, 0.0, 0.0, 0.0)), "length 1")])
def test_a_pose_of_no_use_is_one_sentence(message, sentence):
    with pytest.raises(LnnError, match=sentence):
        messages.odometry_pose(message)


def said(**values):
    """Return a vehicle's state."""
    return SimpleNamespace(values=[SimpleNamespace(key=k, value=v) for k, v in values.items()])


def test_a_vehicle_says_yes_no_or_nothing():
    assert messages.vehicle_state(said(airborne="true", velocity_mode="False")) == (True, False)
    assert messages.vehicle_state(said(velocity_mode="")) == (None, None)
    with pytest.raises(LnnError, match="expected true, false or nothing"):
        messages.vehicle_state(said(airborne="yes"))
