"""What vehicles say of themselves, and what that lets them be told."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from speaking import heard, says
from stand_ins import message

from lnn_ros import vehicles
from lnn_ros.errors import LnnError


def hear(vehicle, topic: str, said=None, **values):
    """Return what is known after one message with these fields."""
    found = message(vehicle.says[topic], **values)
    return vehicle.hear(vehicle.unheard if said is None else said, topic, found)


@pytest.mark.parametrize(("values", "obeys"), [
    ({"connected": True, "armed": True, "mode": "GUIDED"}, True),
    ({"connected": True, "armed": True, "mode": "OFFBOARD"}, True),
    ({"connected": True, "armed": True, "mode": "GUIDED_NOGPS"}, False),
    ({"connected": True, "armed": True, "mode": "AUTO.LOITER"}, False),
    ({"connected": True, "armed": False, "mode": "OFFBOARD"}, False),
    ({"connected": False, "armed": True, "mode": "GUIDED"}, False)])
def test_mavros_obeys_in_two_modes(values, obeys):
    said = hear(vehicles.make("mavros"), "vehicle/state", **values)
    assert (said.airborne, said.velocity_mode) == (None, obeys)


@pytest.mark.parametrize(("landed", "airborne"), [
    (0, None), (1, False), (2, True), (3, False), (4, False)])
def test_mavros_says_where_it_stands_and_is_left_alone_there(landed, airborne):
    vehicle = vehicles.make("mavros")
    said = hear(vehicle, "vehicle/extended_state", landed_state=landed)
    assert (said.airborne, said.velocity_mode) == (airborne, None)
    # Where it does not say, a person does: then it is told.
    assert set(vehicle.told_on(said)) == (set() if airborne is False else set(vehicle.takes))


@pytest.mark.parametrize(("kind", "mode", "armed", "obeys"), [
    (2, 4, True, True), (2, 5, True, False), (2, 4, False, False), (1, 15, True, True),
    (1, 4, True, False), (13, 4, True, True), (7, 4, True, False)])
def test_ardupilot_is_guided_by_its_type_of_vehicle(kind, mode, armed, obeys):
    vehicle = vehicles.make("ardupilot")
    said = hear(vehicle, "vehicle/status", heard(vehicle), vehicle_type=kind, mode=mode,
                armed=armed, flying=True)
    assert (said.airborne, said.velocity_mode) == (True, obeys)


def test_ardupilots_status_counts_while_it_says_where_it_is():
    vehicle = vehicles.make("ardupilot")
    # The status comes once: it must outlast a pose that came late, or was away.
    said = vehicle.hear(vehicle.unheard, "vehicle/status", says("ardupilot_msgs/msg/Status"))
    assert (said.airborne, said.velocity_mode) == (None, None)
    pose = says("geometry_msgs/msg/PoseStamped", yaw=1.0)
    said = vehicle.hear(said, "vehicle/pose", pose)
    assert (said.airborne, said.velocity_mode) == (True, True)
    assert said.heading == pytest.approx(1.0)
    said = vehicle.forget(said, "vehicle/pose")
    assert (said.airborne, said.velocity_mode, said.heading) == (None, None, None)
    said = vehicle.hear(said, "vehicle/pose", pose)
    assert (said.airborne, said.velocity_mode) == (True, True)
    assert vehicle.lasts["vehicle/status"] == math.inf


@pytest.mark.parametrize(("arming", "nav", "obeys"), [
    (2, 14, True), (1, 14, False), (2, 4, False), (2, 15, False)])
def test_px4_obeys_in_offboard(arming, nav, obeys):
    vehicle = vehicles.make("px4")
    said = hear(vehicle, "fmu/out/vehicle_status", arming_state=arming, nav_state=nav)
    assert (said.airborne, said.velocity_mode) == (None, obeys)
    said = hear(vehicle, "fmu/out/vehicle_land_detected", said, landed=False)
    assert said.airborne is (arming == 2)
    said = hear(vehicle, "fmu/out/vehicle_land_detected", said, landed=True)
    assert said.airborne is False


def test_px4_gets_a_setpoint_in_offboard_only():
    vehicle = vehicles.make("px4")
    mode, setpoint = vehicle.takes
    assert vehicle.told_on(vehicle.unheard) == ()
    said = heard(vehicle, obeys=False)
    assert vehicle.told_on(said) == (mode,)
    said = heard(vehicle, obeys=True)
    assert vehicle.told_on(said) == (mode, setpoint)
    # That we are alive is worth less than nothing where nobody knows what it does.
    assert vehicle.told_on(vehicle.forget(said, "fmu/out/vehicle_status")) == ()
    assert vehicle.told_on(vehicle.forget(said, "fmu/out/vehicle_attitude")) == (mode, setpoint)


@pytest.mark.parametrize(("version", "name"), [
    (None, "fmu/out/vehicle_status"), (0, "fmu/out/vehicle_status"),
    (1, "fmu/out/vehicle_status_v1"), (4, "fmu/out/vehicle_status_v4")])
def test_px4_calls_topics_by_the_version_of_their_message(version, name):
    kind = SimpleNamespace() if version is None else SimpleNamespace(MESSAGE_VERSION=version)
    assert vehicles.make("px4").name("fmu/out/vehicle_status", kind) == name
    assert vehicles.make("mavros").name("vehicle/state", kind) == "vehicle/state"


@pytest.mark.parametrize(("info", "airborne", "obeys"), [
    (0, False, True), (16, True, True), (16 | 32, True, False), (16 | 64, True, False),
    (1 | 2 | 4 | 8, False, True)])
def test_crazyflie_says_it_by_bits(info, airborne, obeys):
    said = hear(vehicles.make("crazyflie"), "vehicle/status", supervisor_info=info)
    assert (said.airborne, said.velocity_mode) == (airborne, obeys)


def test_crazyflie_is_told_nothing_unless_it_flies_at_a_known_height():
    vehicle = vehicles.make("crazyflie")
    flying = hear(vehicle, "vehicle/status", supervisor_info=16)
    assert vehicle.told_on(vehicle.unheard) == ()
    assert vehicle.told_on(flying) == ()
    assert vehicle.told_on(heard(vehicle, flies=False, height=0.0)) == ()
    said = heard(vehicle, height=1.5)
    assert vehicle.told_on(said) == ("vehicle/cmd_hover",)
    # When its pose stays away it is still told to stand, where it was last seen.
    said = vehicle.forget(said, "vehicle/pose")
    assert vehicle.told_on(said) == ("vehicle/cmd_hover",)
    hover = message("crazyflie_interfaces/msg/Hover")
    vehicle.tell({"vehicle/cmd_hover": hover}, (0.0,) * 4, 1, "base_link", said)
    assert hover.z_distance == 1.5


def test_what_tells_no_direction_is_refused():
    odd = [("ardupilot", "vehicle/pose", "geometry_msgs/msg/PoseStamped"),
           ("gazebo_multicopter", "odom", "nav_msgs/msg/Odometry")]
    for kind, topic, wanted in odd:
        vehicle, found = vehicles.make(kind), says(wanted)
        (found.pose if kind == "ardupilot" else found.pose.pose).orientation.w = math.nan
        with pytest.raises(LnnError, match="expected one of length 1"):
            vehicle.hear(vehicle.unheard, topic, found)
    px4, crazyflie = vehicles.make("px4"), vehicles.make("crazyflie")
    with pytest.raises(LnnError, match="expected one of length 1"):
        px4.hear(px4.unheard, "fmu/out/vehicle_attitude", message("px4_msgs/msg/VehicleAttitude"))
    with pytest.raises(LnnError, match="height is nan: expected a finite number"):
        crazyflie.hear(crazyflie.unheard, "vehicle/pose",
                       says("geometry_msgs/msg/PoseStamped", height=math.nan))
