"""Every axis of every vehicle by hand: which number, which sign, in which frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from speaking import heard
from stand_ins import message

from lnn_ros import vehicles
from lnn_ros.geometry import Mounting

FORWARD, LEFT, UP, TURN = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (
    0.0, 0.0, 0.0, 1.0)
EAST, NORTH = 0.0, math.pi / 2  # headings, from east to the left
NAN = math.nan


def told(kind: str, command, **how) -> list:
    """Return the messages that a vehicle is told, one for each of its topics."""
    vehicle = vehicles.make(kind)
    messages = {topic: message(wanted) for topic, wanted in vehicle.takes.items()}
    vehicle.tell(messages, command, 5_000_000, "base_link", heard(vehicle, **how))
    return list(messages.values())


@pytest.mark.parametrize(("command", "velocity", "rate"), [
    (FORWARD, (1.0, 0.0, 0.0), 0.0), (LEFT, (0.0, 1.0, 0.0), 0.0), (UP, (0.0, 0.0, 1.0), 0.0),
    (TURN, (0.0, 0.0, 0.0), 1.0)])
def test_mavros_is_told_its_own_body(command, velocity, rate):
    (target,) = told("mavros", command)
    assert target.coordinate_frame == 8
    # Velocity and yaw rate alone count.
    assert target.type_mask == 0b0000_0101_1100_0111
    assert (target.velocity.x, target.velocity.y, target.velocity.z) == velocity
    assert target.yaw_rate == rate
    assert (target.position.x, target.acceleration_or_force.z, target.yaw) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("heading", "command", "linear", "rate"), [
    (EAST, FORWARD, (1, 0, 0), 0), (EAST, LEFT, (0, 1, 0), 0),
    (NORTH, FORWARD, (0, 1, 0), 0), (NORTH, LEFT, (-1, 0, 0), 0),
    (NORTH, UP, (0, 0, 1), 0), (NORTH, TURN, (0, 0, 0), 1)])
def test_ardupilot_is_told_east_north_up(heading, command, linear, rate):
    (twist,) = (stamped.twist for stamped in told("ardupilot", command, yaw=heading))
    assert (twist.linear.x, twist.linear.y, twist.linear.z) == pytest.approx(linear, abs=1e-12)
    assert (twist.angular.x, twist.angular.y, twist.angular.z) == (0, 0, rate)


@pytest.mark.parametrize(("heading", "command", "velocity", "rate"), [
    (NORTH, FORWARD, (1, 0, 0), 0), (NORTH, LEFT, (0, -1, 0), 0),
    (EAST, FORWARD, (0, 1, 0), 0), (EAST, LEFT, (1, 0, 0), 0),
    (EAST, UP, (0, 0, -1), 0), (EAST, TURN, (0, 0, 0), -1)])
def test_px4_is_told_north_east_down(heading, command, velocity, rate):
    mode, setpoint = told("px4", command, yaw=heading)
    assert setpoint.velocity == pytest.approx(velocity, abs=1e-6)
    assert setpoint.yawspeed == rate
    for ignored in (*setpoint.position, *setpoint.acceleration, *setpoint.jerk, setpoint.yaw):
        assert math.isnan(ignored)
    assert repr(mode) == repr(message("px4_msgs/msg/OffboardControlMode", timestamp=5000,
                                      velocity=True))


@pytest.mark.parametrize(("command", "numbers"), [
    (FORWARD, (1.0, 0.0, 0.0, 2.0)), (LEFT, (0.0, 1.0, 0.0, 2.0)),
    (UP, (0.0, 0.0, 0.0, 2.5)), (TURN, (0.0, 0.0, 1.0, 2.0))])
def test_crazyflie_is_told_a_height(command, numbers):
    (hover,) = told("crazyflie", command, height=2.0)
    assert (hover.vx, hover.vy, hover.yaw_rate, hover.z_distance) == numbers


@given(roll=st.floats(-1.0, 1.0), pitch=st.floats(-1.0, 1.0), yaw=st.floats(-3.0, 3.0),
       command=st.tuples(*[st.floats(-3.0, 3.0)] * 4))
def test_what_gazebo_makes_of_it_is_level(roll, pitch, yaw, command):
    (twist,) = told("gazebo_multicopter", command, roll=roll, pitch=pitch, yaw=yaw)
    # It turns what it is told by the whole attitude, into the world.
    linear = np.array([twist.linear.x, twist.linear.y, twist.linear.z])
    flown = Mounting(roll, pitch, yaw).rotation @ linear
    wanted = Mounting(yaw=yaw).rotation @ np.array(command[:3])
    assert flown == pytest.approx(wanted, abs=1e-9)
    assert (twist.angular.x, twist.angular.y, twist.angular.z) == (0.0, 0.0, command[3])


def test_gazebo_leaning_forward_is_told_to_climb():
    (twist,) = told("gazebo_multicopter", FORWARD, pitch=0.3)
    assert (twist.linear.x, twist.linear.z) == pytest.approx((math.cos(0.3), math.sin(0.3)))
    (twist,) = told("gazebo_multicopter", LEFT, roll=-0.3)
    assert (twist.linear.y, twist.linear.z) == pytest.approx((math.cos(0.3), math.sin(0.3)))
