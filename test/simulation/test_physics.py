"""The quadrotor flies as commanded, errs as stated, and senses what physics says."""

import math

import numpy as np
import pytest

from lnn_ros.simulation.physics import GRAVITY, STEP_NS, Estimator, Quadrotor, Wind
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

TASK = Task.load("fly_to_target")
WORLD = make_world(300_000, TASK)
CALM = Wind(mean=0.0, gust=0.0)
PERFECT = Estimator(lag_s=0.0, noise=0.0, drift=0.0)


def quadrotor(estimator=PERFECT, wind=CALM, seed=0):
    vehicle = Quadrotor(WORLD, TASK.vehicle.radius, estimator, wind)
    vehicle.reset(np.random.default_rng(seed))
    return vehicle


def fly(vehicle, command, seconds):
    for _ in range(round(seconds * 1e9 / STEP_NS)):
        vehicle.step(np.asarray(command, dtype=float))


def levelled(vehicle):
    """Velocity in the levelled body frame."""
    r, v = vehicle.rotation, vehicle.velocity
    norm = math.hypot(r[0, 0], r[1, 0])
    cos, sin = r[0, 0] / norm, r[1, 0] / norm
    return np.array([cos * v[0] + sin * v[1], cos * v[1] - sin * v[0], v[2]])


def test_it_starts_hovering_and_reads_gravity_from_the_first_step():
    vehicle = quadrotor()
    vehicle.step(np.zeros(4))
    assert vehicle.specific_force == pytest.approx([0.0, 0.0, GRAVITY], abs=1e-6)
    assert vehicle.angular_velocity == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)
    fly(vehicle, np.zeros(4), 3.0)
    assert vehicle.position == pytest.approx(WORLD.start, abs=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("sign", [-1, 1])
def test_each_axis_of_the_command_moves_the_vehicle_its_way(axis, sign):
    vehicle = quadrotor()
    command = np.zeros(4)
    command[axis] = 0.3 * sign
    fly(vehicle, command, 2.0)
    flown = np.array([*levelled(vehicle), vehicle.body_rates[2]])
    assert flown == pytest.approx(command, abs=0.03)


def test_the_imu_feels_the_tilt_and_the_acceleration():
    vehicle = quadrotor()
    fly(vehicle, [1.5, 0.0, 0.0, 0.0], 0.15)
    # Thrust acts along the body's z: whatever the tilt, the other axes feel only the air.
    assert abs(vehicle.specific_force[:2]).max() < 0.3
    fly(vehicle, [0.0, 0.0, 0.0, 0.7], 2.0)
    assert vehicle.angular_velocity[2] == pytest.approx(0.7, abs=0.02)


def test_the_vehicle_drifts_by_what_its_estimate_gets_wrong():
    vehicle = quadrotor(estimator=Estimator(lag_s=0.0, noise=0.0, drift=0.2, drift_time_s=1e6),
                        seed=4)
    fly(vehicle, np.zeros(4), 4.0)
    drift = vehicle.estimated_velocity - levelled(vehicle)
    assert np.abs(drift[:2]).max() > 0.05
    assert levelled(vehicle) == pytest.approx(-drift, abs=0.02)


def test_wind_pushes_until_the_controller_leans_against_it():
    vehicle = quadrotor(wind=Wind(mean=3.0, gust=0.0))
    fly(vehicle, np.zeros(4), 0.5)
    assert math.hypot(*vehicle.velocity[:2]) > 0.1
    fly(vehicle, np.zeros(4), 10.0)
    assert math.hypot(*vehicle.velocity[:2]) < 0.02
    tilt = math.acos(vehicle.rotation[2, 2])
    # Drag 0.25 N s/m * 3 m/s against the weight of 0.8 kg.
    assert tilt == pytest.approx(math.atan2(0.75, 0.8 * GRAVITY), rel=0.1)


def test_flying_into_the_ground_is_a_contact():
    vehicle = quadrotor()
    assert not vehicle.in_contact
    for _ in range(2000):
        vehicle.step(np.array([0.0, 0.0, -0.8, 0.0]))
        if vehicle.in_contact:
            break
    assert vehicle.in_contact and vehicle.position[2] < 0.15


def test_equal_seeds_give_equal_bytes_and_other_seeds_do_not():
    def track(seed):
        vehicle = quadrotor(Estimator(0.06, 0.02, 0.06), Wind(0.5, 0.3), seed)
        fly(vehicle, [0.5, 0.1, 0.0, 0.2], 2.0)
        return np.concatenate([vehicle.position, vehicle.velocity, vehicle.specific_force])

    assert track(1).tobytes() == track(1).tobytes()
    assert track(1).tobytes() != track(2).tobytes()
