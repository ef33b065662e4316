"""The rover drives as commanded as far as its wheels grip, and touches what it runs into."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scenes import solid, world_of

from lnn_ros.simulation.body import GRAVITY, STEP_NS, Estimator, Wind
from lnn_ros.simulation.rover import Rover
from lnn_ros.simulation.task import RoverVehicle
from lnn_ros.simulation.world import Shape

ROVER = RoverVehicle(radius=0.22, max_speed=1.2, max_yaw_rate=1.5, wheel_radius=0.08, track=0.32,
                     grip=0.7, acceleration=2.0, motor_torque=1.5)
CALM = Wind(mean=0.0, gust=0.0)
PERFECT = Estimator(lag_s=0.02, noise=0.0, drift=0.0)
PLAIN = replace(world_of(), start=(0.0, 0.0, ROVER.wheel_radius))


def rover(kind=ROVER, world=PLAIN, estimator=PERFECT, wind=CALM, seed=0):
    vehicle = Rover(world, kind, estimator, wind)
    vehicle.reset(np.random.default_rng(seed))
    return vehicle


def drive(vehicle, command, seconds):
    """Drive, and return the greatest slip on the way, m/s."""
    slip = 0.0
    for _ in range(round(seconds * 1e9 / STEP_NS)):
        vehicle.step(np.asarray(command, dtype=float))
        slip = max(slip, vehicle.slip)
    return slip


def heading(vehicle):
    return math.atan2(vehicle.rotation[1, 0], vehicle.rotation[0, 0])


def test_it_stands_still_on_the_ground_which_is_no_contact():
    vehicle = rover()
    drive(vehicle, np.zeros(4), 1.0)
    assert vehicle.position == pytest.approx(PLAIN.start, abs=2e-3)
    assert vehicle.inertial == pytest.approx([0, 0, 0, 0, 0, GRAVITY], abs=0.03)
    assert not vehicle.in_contact


def test_it_drives_straight_at_the_speed_it_is_told_and_says_so():
    vehicle = rover()
    drive(vehicle, [1.0, 0.0, 0.0, 0.0], 4.0)
    assert vehicle.velocity == pytest.approx([1.0, 0.0, 0.0], abs=0.03)
    assert abs(vehicle.position[1]) < 1e-3 and abs(heading(vehicle)) < 1e-3
    assert vehicle.estimated_velocity == pytest.approx([1.0, 0.0, 0.0], abs=0.03)


def test_sideways_and_up_are_no_commands_for_it():
    vehicle = rover()
    drive(vehicle, [0.0, 0.8, 0.8, 0.0], 1.0)
    assert vehicle.position == pytest.approx(PLAIN.start, abs=2e-3)


@pytest.mark.parametrize("turn", [-1.2, 0.6])
def test_it_turns_at_the_rate_it_is_told_on_the_spot_and_in_a_curve(turn):
    vehicle = rover()
    drive(vehicle, [0.0, 0.0, 0.0, turn], 2.0)
    assert vehicle.body_rates[2] == pytest.approx(turn, abs=0.03)
    assert math.hypot(*vehicle.position[:2]) < 0.03
    drive(vehicle, [0.8, 0.0, 0.0, turn], 2.0)
    assert vehicle.body_rates[2] == pytest.approx(turn, abs=0.05)
    assert vehicle.speed == pytest.approx(0.8, abs=0.05)


def test_it_brakes_to_a_stand_within_what_its_acceleration_allows():
    vehicle = rover()
    drive(vehicle, [1.0, 0.0, 0.0, 0.0], 3.0)
    before = vehicle.position[0]
    drive(vehicle, np.zeros(4), 1.5)
    # v^2 / 2 a, and what the lag of odometry and motors adds.
    assert 0.25 < vehicle.position[0] - before < 0.4
    assert vehicle.speed < 0.03


def test_pushing_against_a_wall_is_a_contact_and_does_not_go_through():
    wall = solid("wall", Shape.BOX, (1.0, 0.0, 0.5), (0.02, 2.0, 0.5))
    vehicle = rover(world=replace(PLAIN, solids=(wall,)))
    drive(vehicle, [1.2, 0.0, 0.0, 0.0], 0.5)
    assert not vehicle.in_contact
    drive(vehicle, [1.2, 0.0, 0.0, 0.0], 5.0)
    assert vehicle.in_contact
    # The chassis reaches 0.12 m ahead of the axle; the contact gives way by millimetres.
    assert vehicle.position[0] == pytest.approx(0.98 - 0.12, abs=0.01)
    assert vehicle.position[2] == pytest.approx(ROVER.wheel_radius, abs=0.01)


def test_a_wheel_slips_when_it_is_asked_for_more_than_its_grip():
    ice = replace(ROVER, acceleration=8.0, grip=0.15)
    gentle, hard = rover(), rover(ice)
    assert drive(gentle, [1.2, 0.0, 0.0, 0.0], 0.5) < 0.05
    assert drive(hard, [1.2, 0.0, 0.0, 0.0], 0.5) > 0.3
    # Its odometry tells the wheels' speed: more than the truth, and friction bounds that.
    assert hard.estimated_velocity[0] > hard.velocity[0] + 0.3
    assert hard.velocity[0] < 0.15 * GRAVITY * 0.5


def test_its_odometry_errs_in_proportion_to_its_speed_as_stated():
    drifting = Estimator(lag_s=0.02, noise=0.0, drift=0.2, drift_time_s=1e6)
    vehicle = rover(estimator=drifting, seed=5)
    drive(vehicle, [1.0, 0.0, 0.0, 0.0], 3.0)
    off = vehicle.estimated_velocity[0] / vehicle.velocity[0] - 1.0
    assert abs(off) > 0.05 and vehicle.estimated_velocity[0] == pytest.approx(1.0, abs=0.03)
    drive(vehicle, np.zeros(4), 3.0)
    assert vehicle.speed < 0.02


def test_equal_seeds_give_equal_bytes_and_other_seeds_do_not():
    def track(seed):
        vehicle = rover(estimator=Estimator(0.06, 0.02, 0.06), wind=Wind(0.5, 0.3), seed=seed)
        drive(vehicle, [0.9, 0.0, 0.0, 0.4], 2.0)
        return np.concatenate([vehicle.position, vehicle.velocity, vehicle.inertial])

    assert track(1).tobytes() == track(1).tobytes()
    assert track(1).tobytes() != track(2).tobytes()
    vehicle = rover(seed=1)
    drive(vehicle, [0.9, 0.0, 0.0, 0.4], 1.0)
    first = vehicle.position
    vehicle.reset(np.random.default_rng(1))
    drive(vehicle, [0.9, 0.0, 0.0, 0.4], 1.0)
    assert vehicle.position.tobytes() == first.tobytes()
