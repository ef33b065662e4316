"""What vehicles are told: there and back, and the right sign on every axis."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnn_ros import vehicles
from lnn_ros.errors import LnnError
from lnn_ros.vehicles.base import UNHEARD, Vehicle

NUMBER = st.floats(-1e3, 1e3)
COMMAND = st.tuples(NUMBER, NUMBER, NUMBER, NUMBER)
STAMPS = st.integers(1, 2**31 * 10**9 - 1)


def stand_in(kind: str) -> SimpleNamespace:
    """Return a message that holds what was said before."""
    def three():
        return SimpleNamespace(x=math.nan, y=math.nan, z=math.nan)

    twist = SimpleNamespace(linear=three(), angular=three())
    header = SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0), frame_id="")
    return {"geometry_msgs/msg/Twist": twist,
            "geometry_msgs/msg/TwistStamped": SimpleNamespace(header=header, twist=twist)}[kind]


def tell(vehicle: Vehicle, command, at_ns: int = 1) -> dict:
    messages = {topic: stand_in(kind) for topic, kind in vehicle.takes.items()}
    vehicle.tell(messages, command, at_ns, "base_link", vehicle.unheard)
    return messages


@pytest.fixture(params=vehicles.kinds())
def vehicle(request) -> Vehicle:
    return vehicles.make(request.param)


def test_every_file_is_a_vehicle_by_its_name():
    assert vehicles.kinds() == ("stamped", "twist")
    assert all(vehicles.make(kind).kind == kind for kind in vehicles.kinds())
    with pytest.raises(LnnError, match="vehicle 'boat' found, expected one of stamped, twist"):
        vehicles.make("boat")


@pytest.mark.parametrize("kind", vehicles.kinds())
@given(command=COMMAND, at_ns=STAMPS)
def test_command_goes_there_and_back(kind, command, at_ns):
    vehicle = vehicles.make(kind)
    assert vehicle.told(tell(vehicle, command, at_ns), vehicle.unheard) == command


def test_every_number_of_the_message_is_written(vehicle):
    (message,) = tell(vehicle, (1.0, 2.0, 3.0, 4.0)).values()
    twist = getattr(message, "twist", message)
    # Forward, left, up, and turning to the left: REP-103, and so each sign is ours.
    assert (twist.linear.x, twist.linear.y, twist.linear.z) == (1.0, 2.0, 3.0)
    assert (twist.angular.x, twist.angular.y, twist.angular.z) == (0.0, 0.0, 4.0)


@pytest.mark.parametrize("axis", range(4))
@given(speed=st.floats(0.01, 10.0), other=st.floats(-10.0, 10.0))
def test_each_axis_by_itself_and_its_sign(axis, speed, other):
    for kind in vehicles.kinds():
        vehicle = vehicles.make(kind)
        command = [other] * 4
        command[axis] = speed
        back = [-v for v in command]
        ahead = vehicle.told(tell(vehicle, tuple(command)), vehicle.unheard)
        astern = vehicle.told(tell(vehicle, tuple(back)), vehicle.unheard)
        assert ahead[axis] == speed and astern[axis] == -speed
        assert [-v for v in ahead] == list(astern)


@given(at_ns=STAMPS)
def test_stamp_and_frame_are_the_commands_own(at_ns):
    (message,) = tell(vehicles.make("stamped"), (0.0,) * 4, at_ns).values()
    stamp = message.header.stamp
    assert stamp.sec * 10**9 + stamp.nanosec == at_ns
    assert message.header.frame_id == "base_link"


def test_vehicle_that_says_nothing_is_unknown(vehicle):
    assert not vehicle.says
    assert vehicle.unheard == UNHEARD
    assert (UNHEARD.airborne, UNHEARD.velocity_mode) == (None, None)
    with pytest.raises(NotImplementedError):
        vehicle.hear(vehicle.unheard, "state", SimpleNamespace())
