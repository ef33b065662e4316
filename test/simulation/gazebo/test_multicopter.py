"""The numbers of the model fly: hover, speeds, turns and stops, by a rigid body with them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import Twist
from multicopter import Multicopter
from nav_msgs.msg import Odometry

from lnn_ros import vehicles
from lnn_ros.messages import fill_odometry
from lnn_ros.simulation import physics
from lnn_ros.simulation.task import Task
from lnn_ros.vehicles import Command
from lnn_ros.vehicles.base import read_twist

STEP_S = 0.0025
ROOT = Path(__file__).resolve().parents[3]
MODELS = [ROOT / folder / "models/lnn_quadrotor/model.sdf"
          for folder in ("worlds", "worlds/fortress")]


def fly(drone: Multicopter, seconds: float, command: Command,
        adapted: bool = False) -> np.ndarray:
    """Fly; return the levelled velocity after each step.

    As the vehicle adapter tells the vehicle: at 30 Hz, by odometry at 50 Hz. Or as it stands.
    """
    adapter, said, message = vehicles.make("gazebo_multicopter"), vehicles.UNHEARD, Twist()
    found, told = [], np.array(command)
    for step in range(round(seconds / STEP_S)):
        if adapted and step % 8 == 0:
            odom = Odometry()
            fill_odometry(odom, drone.position, drone.rotation, drone.velocity, drone.rates,
                          1 + step, "odom", "base_link")
            said = adapter.hear(said, "odom", odom)
        if adapted and step % 13 == 0:
            adapter.tell({"vehicle/cmd_vel": message}, command, 1 + step, "base_link", said)
            told = np.array(read_twist(message))
        drone.step(told, STEP_S)
        found.append(drone.level.T @ drone.velocity)
    return np.array(found)


@pytest.mark.parametrize("path", MODELS, ids=["later", "fortress"])
def test_body_weighs_and_turns_as_the_embedded_one(path: Path) -> None:
    drone = Multicopter(path)
    assert drone.mass == pytest.approx(physics.MASS)
    np.testing.assert_allclose(drone.inertia, np.diag(physics.INERTIA), atol=1e-9)


def test_it_hovers_flies_turns_and_stops() -> None:
    drone = Multicopter(MODELS[0])
    fly(drone, 3.0, (0.0, 0.0, 0.0, 0.0))  # from rotors that stand still
    height = drone.position[2]
    assert -0.3 < height < 0.0
    assert abs(fly(drone, 2.0, (0.0, 0.0, 0.0, 0.0))[-1]).max() < 1e-3
    assert drone.position[2] == pytest.approx(height, abs=0.01)
    for command in ((1.6, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (-0.5, -1.0, 0.0, 0.0),
                    (0.0, 0.0, 0.3, 0.0), (0.0, 0.0, -0.3, 0.0), (0.0, 0.0, 0.0, -1.5)):
        flown = fly(drone, 3.0, command, adapted=True)
        wanted = np.array(command[:3])
        np.testing.assert_allclose(flown[-1], wanted, atol=0.02 + 0.09 * np.abs(wanted).max())
        # The way is the wanted one, hardly more than the wanted speed.
        assert np.linalg.norm(flown, axis=1).max() < 1.05 * np.linalg.norm(wanted) + 0.1
        assert drone.rates[2] == pytest.approx(command[3], abs=0.02)
        assert abs(fly(drone, 2.0, (0.0, 0.0, 0.0, 0.0))[-1]).max() < 0.02


def test_it_leans_as_far_as_the_embedded_one_and_gets_as_fast() -> None:
    drone = Multicopter(MODELS[0])
    fly(drone, 2.0, (0.0, 0.0, 0.0, 0.0))
    flown = fly(drone, 0.5, (1.6, 0.0, 0.0, 0.0), adapted=True)
    assert flown[-1][0] == pytest.approx(0.94, abs=0.1)  # the embedded one without wind: 0.938
    lean = math.degrees(math.acos(drone.rotation[2, 2]))
    assert lean < math.degrees(math.atan(physics.MAX_ACCELERATION / physics.GRAVITY)) + 5.0


def test_a_forward_command_that_is_not_turned_by_the_tilt_makes_it_sink() -> None:
    # Why it has a vehicle of its own in lnn_ros/vehicles.
    drone = Multicopter(MODELS[0])
    fly(drone, 2.0, (0.0, 0.0, 0.0, 0.0))
    assert fly(drone, 1.0, (1.6, 0.0, 0.0, 0.0))[:, 2].min() < -0.3
    drone = Multicopter(MODELS[0])
    fly(drone, 2.0, (0.0, 0.0, 0.0, 0.0))
    assert abs(fly(drone, 1.0, (1.6, 0.0, 0.0, 0.0), adapted=True)[:, 2]).max() < 0.05


def test_wind_takes_it_along_a_little() -> None:
    wind = Task.load("fly_to_target").disturbances.wind
    drone = Multicopter(MODELS[0], wind=(wind, 0.0, 0.0))
    drift = fly(drone, 5.0, (0.0, 0.0, 0.0, 0.0))[-1]
    assert drift[0] == pytest.approx(0.077 * wind, abs=0.01)  # AIR / (AIR + velocityGain)
    assert abs(drift[1:]).max() < 0.01
