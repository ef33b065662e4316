"""A quadrotor with its cascaded velocity controller in a world of solids, on MuJoCo.

The vehicle behaves like one behind an autopilot: it takes a velocity in its levelled body frame
and tracks an *estimated* velocity that lags, is noisy and drifts, so that a pilot has to see
where it really goes.
"""

from __future__ import annotations

import math

import mujoco
import numba
import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.body import (
    GRAVITY,
    STEP_NS,
    Body,
    Estimator,
    Wind,
    add_others,
    begin_model,
)
from lnn_ros.simulation.noise import normal_rows
from lnn_ros.simulation.world import World

_DT = STEP_NS * 1e-9
MASS = 0.8  # kg
INERTIA = (0.006, 0.006, 0.011)  # kg m^2
HALF_HEIGHT = 0.08  # metres, of the body's ellipsoid
ARM = 0.15  # metres, of each rotor along x and y
ROTORS = ((1, 1, 1), (-1, 1, -1), (-1, -1, 1), (1, -1, -1))
"""Side of each rotor along x and y, and the sign of the torque about z that it leaves the body."""
DRAG_TORQUE = 0.02  # N m of yaw torque per N of thrust
MAX_THRUST = 0.6 * MASS * GRAVITY  # N per rotor
ROTOR_TIME = 0.03  # s
AIR = 0.25  # N s/m of linear drag
MAX_ACCELERATION = 3.0  # m/s^2, horizontal

# State of the controller and of the estimator, one float64 array for the compiled step.
_THRUST, _INTEGRAL, _LAGGED, _DRIFT, _GUST, _SIZE = 0, 4, 7, 10, 13, 16


def build_model(world: World, vehicle_radius: float, others: int = 0) -> mujoco.MjModel:
    """Compile the MuJoCo model of a world with one quadrotor.

    Parameters
    ----------
    world : World
        Where it flies.
    vehicle_radius : float
        Horizontal semi-axis of the body's ellipsoid, metres.
    others : int
        How many more vehicles it can run into; they are put where they are by whoever knows.

    Returns
    -------
    mujoco.MjModel
        Body ``vehicle`` on a free joint, sensors ``gyro`` and ``accelerometer`` in the body frame.
    """
    spec, body = begin_model(world, MASS, INERTIA)
    body.add_geom(name="vehicle", type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
                  size=[vehicle_radius, vehicle_radius, HALF_HEIGHT])
    add_others(spec, others, mujoco.mjtGeom.mjGEOM_ELLIPSOID,
               (vehicle_radius, vehicle_radius, HALF_HEIGHT))
    for index, (x, y, spin) in enumerate(ROTORS):
        body.add_site(name=f"rotor_{index}", pos=[x * ARM, y * ARM, 0.0])
        rotor = spec.add_actuator(name=f"rotor_{index}", target=f"rotor_{index}",
                                  trntype=mujoco.mjtTrn.mjTRN_SITE)
        rotor.gear = [0.0, 0.0, 1.0, 0.0, 0.0, spin * DRAG_TORQUE]
    return spec.compile()


@numba.njit(cache=True)
def _control(qpos: NDArray[np.float64], qvel: NDArray[np.float64], command: NDArray[np.float64],
             normal: NDArray[np.float64], options: NDArray[np.float64],
             state: NDArray[np.float64], ctrl: NDArray[np.float64],
             force: NDArray[np.float64]) -> None:
    """One step of estimator, wind, velocity -> attitude -> rate cascade and rotors.

    `normal` (9,) holds standard normal numbers (velocity noise, drift, gust); `options` (8,) the
    estimator's lag, noise, drift and its time, mean wind x and y, gust and its time; `state`
    (16,) is updated in place; `ctrl` (4,) gets rotor thrusts (N) and `force` (3,) the air's force
    on the body (N, world frame).
    """
    w, x, y, z = qpos[3], qpos[4], qpos[5], qpos[6]
    # Columns of world_from_body.
    r00, r01, r02 = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
    r10, r11, r12 = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    r20, r21, r22 = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)
    norm = math.sqrt(r00 * r00 + r10 * r10)
    cos, sin = r00 / norm, r10 / norm
    velocity = (cos * qvel[0] + sin * qvel[1], cos * qvel[1] - sin * qvel[0], qvel[2])

    error = np.empty(3)
    drift_step = math.sqrt(2.0 * _DT / options[3]) * options[2]
    gust_step = math.sqrt(2.0 * _DT / options[7]) * options[6]
    for i in range(3):
        state[_LAGGED + i] += (velocity[i] - state[_LAGGED + i]) * _DT / (options[0] + _DT)
        scale = 0.25 if i == 2 else 1.0  # a barometer holds the vertical better
        state[_DRIFT + i] += (-state[_DRIFT + i] * _DT / options[3]
                              + scale * drift_step * normal[3 + i])
        estimate = state[_LAGGED + i] + state[_DRIFT + i] + scale * options[1] * normal[i]
        error[i] = command[i] - estimate
        state[_GUST + i] += (-state[_GUST + i] * _DT / options[7]
                             + (0.3 if i == 2 else 1.0) * gust_step * normal[6 + i])
    force[0] = -AIR * (qvel[0] - options[4] - state[_GUST])
    force[1] = -AIR * (qvel[1] - options[5] - state[_GUST + 1])
    force[2] = -AIR * (qvel[2] - state[_GUST + 2])

    # Velocity -> acceleration, with anti-windup by the clamp on the integral.
    for i in range(3):
        state[_INTEGRAL + i] = min(max(state[_INTEGRAL + i] + 0.8 * error[i] * _DT, -1.5), 1.5)
    ax = 2.5 * error[0] + state[_INTEGRAL]
    ay = 2.5 * error[1] + state[_INTEGRAL + 1]
    size = math.sqrt(ax * ax + ay * ay)
    if size > MAX_ACCELERATION:
        ax, ay = ax * MAX_ACCELERATION / size, ay * MAX_ACCELERATION / size
    az = min(max(5.0 * error[2] + state[_INTEGRAL + 2], -4.0), 5.0) + GRAVITY
    fx, fy = cos * ax - sin * ay, sin * ax + cos * ay

    # Acceleration -> thrust along the body's z and the tilt that is missing.
    thrust = MASS * (fx * r02 + fy * r12 + az * r22)
    length = math.sqrt(fx * fx + fy * fy + az * az)
    bx = (fx * r00 + fy * r10 + az * r20) / length  # wanted z axis, seen in the body frame
    by = (fx * r01 + fy * r11 + az * r21) / length
    torque_x = INERTIA[0] * (120.0 * -by - 20.0 * qvel[3])
    torque_y = INERTIA[1] * (120.0 * bx - 20.0 * qvel[4])
    torque_z = min(max(INERTIA[2] * 12.0 * (command[3] - qvel[5]), -0.08), 0.08)

    # Mixer: rotors at (+,+), (-,+), (-,-), (+,-), spins +, -, +, -.
    for i in range(4):
        sx = 1.0 if i == 0 or i == 3 else -1.0
        sy = 1.0 if i < 2 else -1.0
        spin = 1.0 if i % 2 == 0 else -1.0
        wanted = 0.25 * (thrust + sy * torque_x / ARM - sx * torque_y / ARM
                         + spin * torque_z / DRAG_TORQUE)
        wanted = min(max(wanted, 0.0), MAX_THRUST)
        state[_THRUST + i] += (wanted - state[_THRUST + i]) * _DT / (ROTOR_TIME + _DT)
        ctrl[i] = state[_THRUST + i]


class Quadrotor(Body):
    """The vehicle in its world: one physics step at a time.

    Parameters
    ----------
    world : World
        Where it flies.
    vehicle_radius : float
        Its body's radius, metres.
    estimator : Estimator
        How its velocity estimate errs.
    wind : Wind
        What blows.
    others : int
        How many more vehicles it can run into.
    """

    def __init__(self, world: World, vehicle_radius: float, estimator: Estimator,
                 wind: Wind, others: int = 0) -> None:
        super().__init__(build_model(world, vehicle_radius, others))
        self._estimator = estimator
        self._wind = wind
        self._options = np.zeros(8)
        self._state = np.zeros(_SIZE)

    def reset(self, rng: np.random.Generator) -> None:
        """Hover at the start again; `rng` gives wind and estimation errors from here on."""
        mujoco.mj_resetData(self._model, self._data)
        estimator, wind = self._estimator, self._wind
        direction = rng.uniform(-math.pi, math.pi)
        self._options[:] = (estimator.lag_s, estimator.noise, estimator.drift,
                            estimator.drift_time_s, wind.mean * math.cos(direction),
                            wind.mean * math.sin(direction), wind.gust, wind.gust_time_s)
        self._state[:] = 0.0
        self._state[_THRUST:_THRUST + 4] = MASS * GRAVITY / 4.0
        self._state[_DRIFT:_DRIFT + 3] = estimator.drift * rng.standard_normal(3) * (1, 1, 0.25)
        self._ctrl[:] = MASS * GRAVITY / 4.0
        self._noise = normal_rows(rng, np.ones(9))
        mujoco.mj_forward(self._model, self._data)

    def step(self, command: NDArray[np.float64]) -> None:
        """Advance by one physics step.

        Afterwards :attr:`specific_force` and :attr:`angular_velocity` are those of the instant at
        the step's *beginning*, pose and velocity those of its end.

        Parameters
        ----------
        command : ndarray (4,)
            Velocity in the levelled body frame, m/s, and yaw rate, rad/s.
        """
        _control(self._qpos, self._qvel, command, next(self._noise), self._options, self._state,
                 self._ctrl, self._force)
        mujoco.mj_step(self._model, self._data)

    @property
    def estimated_velocity(self) -> NDArray[np.float64]:
        """Velocity as the vehicle believes it (3,), m/s, levelled body frame."""
        return self._state[_LAGGED:_LAGGED + 3] + self._state[_DRIFT:_DRIFT + 3]
