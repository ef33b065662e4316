"""What all vehicles have in common: what is told comes back, and says what was meant."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speaking import heard
from stand_ins import message

from lnn_ros import vehicles
from lnn_ros.errors import LnnError
from lnn_ros.nodes.message_types import message_type
from lnn_ros.vehicles.base import UNHEARD, Said, Vehicle

KINDS = ("ardupilot", "crazyflie", "gazebo_multicopter", "mavros", "px4", "stamped", "twist")
SILENT = ("stamped", "twist")
# Those that have to know something of themselves before they can be told to move.
BLIND = {"ardupilot": "heading", "px4": "heading", "gazebo_multicopter": "tilt",
         "crazyflie": "height"}
NUMBER = st.floats(-100.0, 100.0)
COMMAND = st.tuples(NUMBER, NUMBER, NUMBER, NUMBER)
STAMPS = st.integers(1, 2**31 * 10**9 - 1)
ANGLE = st.floats(-math.pi, math.pi)
TILT = st.floats(-1.0, 1.0)
ZERO = (0.0, 0.0, 0.0, 0.0)


def tell(vehicle: Vehicle, command, said: Said, at_ns: int = 1, messages=None) -> dict:
    messages = messages or {topic: message(kind) for topic, kind in vehicle.takes.items()}
    vehicle.tell(messages, command, at_ns, "base_link", said)
    return messages


@pytest.fixture(params=KINDS)
def vehicle(request) -> Vehicle:
    return vehicles.make(request.param)


def test_every_file_is_a_vehicle_by_its_name():
    assert vehicles.kinds() == KINDS
    assert all(vehicles.make(kind).kind == kind for kind in KINDS)
    with pytest.raises(LnnError, match="vehicle 'boat' found, expected one of ardupilot, "):
        vehicles.make("boat")


def test_what_pypi_has_is_tested_with_the_real_types(vehicle):
    for kind in (*vehicle.takes.values(), *vehicle.says.values()):
        if kind.startswith(("geometry_msgs/", "nav_msgs/")):
            assert type(message(kind)) is message_type(kind)


@pytest.mark.parametrize("kind", KINDS)
@given(command=COMMAND, at_ns=STAMPS, yaw=ANGLE, roll=TILT, pitch=TILT, height=NUMBER)
def test_command_goes_there_and_back(kind, command, at_ns, yaw, roll, pitch, height):
    vehicle = vehicles.make(kind)
    said = heard(vehicle, yaw=yaw, roll=roll, pitch=pitch, height=height)
    back = vehicle.told(tell(vehicle, command, said, at_ns), said)
    # A float32 has seven digits, of heights and of velocities.
    assert back == pytest.approx(command, rel=1e-5, abs=2e-5)
    if kind in SILENT:
        assert back == command


@pytest.mark.parametrize("kind", KINDS)
@given(command=COMMAND, before=COMMAND, yaw=ANGLE)
def test_nothing_is_left_of_the_command_before(kind, command, before, yaw):
    vehicle = vehicles.make(kind)
    said = heard(vehicle, yaw=yaw)
    used = tell(vehicle, command, said, messages=tell(vehicle, before, said))
    assert repr(used) == repr(tell(vehicle, command, said))


@pytest.mark.parametrize("kind", KINDS)
@given(command=COMMAND, yaw=ANGLE, roll=TILT, pitch=TILT)
def test_opposite_command_is_told_the_opposite_way(kind, command, yaw, roll, pitch):
    vehicle = vehicles.make(kind)
    said = heard(vehicle, yaw=yaw, roll=roll, pitch=pitch)
    opposite = tuple(-number for number in command)
    back = vehicle.told(tell(vehicle, opposite, said), said)
    assert [-number for number in back] == pytest.approx(
        vehicle.told(tell(vehicle, command, said), said), abs=2e-5)


def test_zero_can_always_be_told(vehicle):
    for said in (vehicle.unheard, heard(vehicle, yaw=1.0, roll=0.3, pitch=-0.2, height=2.0)):
        assert vehicle.told(tell(vehicle, ZERO, said), said) == pytest.approx(ZERO, abs=1e-6)


@pytest.mark.parametrize("axis", range(4))
def test_who_does_not_know_enough_is_told_zero_only(vehicle, axis):
    command = [0.0] * 4
    command[axis] = 0.1
    if vehicle.kind not in BLIND:
        tell(vehicle, tuple(command), vehicle.unheard)
        return
    with pytest.raises(LnnError, match=rf"vehicle's {BLIND[vehicle.kind]} is unknown: expected "
                                       r"\w+/msg/\w+ on [\w/]+, at least every 0\.[35] s"):
        tell(vehicle, tuple(command), vehicle.unheard)


def test_it_says_what_it_says_it_says(vehicle):
    assert set(vehicle.lasts) <= set(vehicle.says)
    assert set(vehicle.latched) <= set(vehicle.says)
    assert (vehicle.unheard.airborne, vehicle.unheard.velocity_mode) == (None, None)
    assert set(vehicle.told_on(heard(vehicle))) == set(vehicle.takes)
    if vehicle.kind not in SILENT:
        said = heard(vehicle)
        assert (said.airborne, said.velocity_mode) == (True, True)
        for topic in vehicle.says:
            assert None in (*vars(vehicle.forget(said, topic)).values(),) or topic.endswith("pose")
        return
    assert not vehicle.says
    assert vehicle.unheard == UNHEARD
    with pytest.raises(NotImplementedError):
        vehicle.hear(vehicle.unheard, "state", message("geometry_msgs/msg/Twist"))


@given(at_ns=STAMPS)
def test_stamp_and_frame_are_the_commands_own(at_ns):
    for kind, frame in {"stamped": "base_link", "mavros": "base_link", "crazyflie": "base_link",
                        "ardupilot": "map"}.items():
        vehicle = vehicles.make(kind)
        (told,) = tell(vehicle, ZERO, vehicle.unheard, at_ns).values()
        stamp = told.header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == at_ns
        assert told.header.frame_id == frame
    px4 = vehicles.make("px4")
    for told in tell(px4, ZERO, px4.unheard, at_ns).values():
        assert told.timestamp == at_ns // 1000


@pytest.mark.parametrize("kind", [*SILENT, "ardupilot", "gazebo_multicopter"])
def test_every_number_of_a_twist_is_written(kind):
    vehicle = vehicles.make(kind)
    ((topic, wanted),) = vehicle.takes.items()
    found = message(wanted)
    twist = getattr(found, "twist", found)
    for vector in (twist.linear, twist.angular):
        vector.x = vector.y = vector.z = 9.0  # somebody else's
    tell(vehicle, (1.0, 2.0, 3.0, 4.0), heard(vehicle), messages={topic: found})
    # Forward, left, up, and turning to the left: REP-103, and so each sign is ours.
    assert (twist.linear.x, twist.linear.y, twist.linear.z) == (1.0, 2.0, 3.0)
    assert (twist.angular.x, twist.angular.y, twist.angular.z) == (0.0, 0.0, 4.0)
