"""A rover with two driven wheels and a caster in a world of fixed solids, on MuJoCo.

It stands on the ground by friction alone: a wheel that is asked for more than its grip slips. The
vehicle behaves like one behind its own controller: it takes a forward speed and a yaw rate, and
tracks what its *wheels* say about both, so that whatever slips is driven wrong and not noticed.
"""

from __future__ import annotations

import math

import mujoco
import numba
import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.bodies import CASTER_RADIUS, CASTER_X, CHASSIS, MAST, TYRE
from lnn_ros.simulation.body import (
    STEP_S,
    Body,
    Estimator,
    Wind,
    add_others,
    begin_model,
)
from lnn_ros.simulation.noise import normal_rows
from lnn_ros.simulation.task import RoverVehicle
from lnn_ros.simulation.world import World

# The body's origin is the middle of the axle; kg, kg m^2, m.
MASS, INERTIA, CENTRE = 6.0, (0.05, 0.09, 0.11), (-0.045, 0.0, -0.01)
WHEEL_MASS = 0.3
CASTER_GRIP = 0.02  # friction coefficient: it rolls, and turns where it is pulled
BEARINGS = 0.02  # N m of friction in each wheel's bearing
ARMATURE = 0.005  # kg m^2 of each motor, behind its gears
MOTOR_TIME = 0.03  # s
FREE_SPEED = 2.0  # times the greatest commanded speed: where a motor has no torque left
AIR = 0.5  # N s/m of linear drag
TURN_ACCELERATION = 8.0  # rad/s^2 by which the wanted yaw rate changes
_SETTLE = 200  # physics steps on the spot before the first instant
_LEFT, _RIGHT = 0, 1

# State of the controller and of the estimator, one float64 array for the compiled step.
_TORQUE, _SPEED, _TURN, _INTEGRAL, _LAGGED, _DRIFT, _GUST, _SIZE = 0, 2, 3, 4, 6, 7, 8, 10


def build_model(world: World, rover: RoverVehicle, others: int = 0) -> mujoco.MjModel:
    """Compile the MuJoCo model of a world with one rover.

    Parameters
    ----------
    world : World
        Where it drives.
    rover : RoverVehicle
        Its sizes and grip.
    others : int
        How many more vehicles it can run into; they are put where they are by whoever knows.

    Returns
    -------
    mujoco.MjModel
        Body ``vehicle`` on a free joint, joints ``left`` and ``right`` of its wheels with a motor
        each, sensors ``gyro`` and ``accelerometer`` in the body frame.
    """
    spec, body = begin_model(world, MASS, INERTIA, CENTRE)
    # The cone of friction as it is, and stiff: what does not slip must not creep either.
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    for name, (middle, half) in (("chassis", CHASSIS), ("mast", MAST)):
        body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_BOX, pos=list(middle), size=list(half))
    # With a priority, friction is that of the wheel, whatever it touches.
    body.add_geom(name="caster", type=mujoco.mjtGeom.mjGEOM_SPHERE, priority=1,
                  size=[CASTER_RADIUS, 0.0, 0.0], friction=[CASTER_GRIP, 0.0, 0.0],
                  pos=[CASTER_X, 0.0, CASTER_RADIUS - rover.wheel_radius])
    for name, side in (("left", 0.5), ("right", -0.5)):
        wheel = body.add_body(name=name, pos=[0.0, side * rover.track, 0.0])
        wheel.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0.0, 1.0, 0.0],
                        frictionloss=BEARINGS, armature=ARMATURE)
        # Rounded, so that it meets the ground in one point and rolls without a ripple.
        wheel.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_ELLIPSOID, mass=WHEEL_MASS,
                       size=[rover.wheel_radius, TYRE, rover.wheel_radius], priority=1,
                       friction=[rover.grip, 0.0, 0.0])
        motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        motor.gear = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    add_others(spec, others, mujoco.mjtGeom.mjGEOM_CYLINDER, (rover.radius, 0.15, 0.0))
    return spec.compile()


@numba.njit(cache=True)
def _control(qvel: NDArray[np.float64], wheels: NDArray[np.int64], command: NDArray[np.float64],
             normal: NDArray[np.float64], options: NDArray[np.float64],
             state: NDArray[np.float64], ctrl: NDArray[np.float64],
             force: NDArray[np.float64]) -> None:
    """One step of odometry, wind, speed control and motors.

    `wheels` (2,) says where their rates are in `qvel`; `normal` (4,) holds standard normal numbers
    (speed noise, drift, gusts); `options` (13,) the estimator's lag, noise, drift and its time,
    mean wind x and y, gust and its time, wheel radius, track, greatest acceleration, motor torque
    and the wheel rate at which there is none left; `state` (10,) is updated in place; `ctrl` (2,)
    gets the motors' torques (N m) and `force` (3,) the air's force on the body (N, world frame).
    """
    radius, track, most = options[8], options[9], options[10]
    torque, free = options[11], options[12]
    left, right = qvel[wheels[_LEFT]], qvel[wheels[_RIGHT]]
    rolled = 0.5 * radius * (left + right)
    turned = radius * (right - left) / track

    state[_LAGGED] += (rolled - state[_LAGGED]) * STEP_S / (options[0] + STEP_S)
    state[_DRIFT] += (-state[_DRIFT] * STEP_S / options[3]
                      + math.sqrt(2.0 * STEP_S / options[3]) * options[2] * normal[1])
    for i in range(2):
        state[_GUST + i] += (-state[_GUST + i] * STEP_S / options[7]
                             + math.sqrt(2.0 * STEP_S / options[7]) * options[6] * normal[2 + i])
        force[i] = -AIR * (qvel[i] - options[4 + i] - state[_GUST + i])
    force[2] = -AIR * qvel[2]

    # A base does not jump to what it is told: the wanted speeds follow the command.
    state[_SPEED] += min(max(command[0] - state[_SPEED], -most * STEP_S), most * STEP_S)
    step = TURN_ACCELERATION * STEP_S
    state[_TURN] += min(max(command[3] - state[_TURN], -step), step)
    error = state[_SPEED] - state[_LAGGED] * (1.0 + state[_DRIFT]) - options[1] * normal[0]
    off = state[_TURN] - turned
    state[_INTEGRAL] = min(max(state[_INTEGRAL] + 6.0 * error * STEP_S, -1.0), 1.0)
    state[_INTEGRAL + 1] = min(max(state[_INTEGRAL + 1] + 20.0 * off * STEP_S, -10.0), 10.0)
    push = (MASS + 2.0 * WHEEL_MASS) * (10.0 * error + state[_INTEGRAL])
    twist = 2.0 * INERTIA[2] * (15.0 * off + state[_INTEGRAL + 1])
    for i in range(2):
        side = -1.0 if i == _LEFT else 1.0
        rate = left if i == _LEFT else right
        wanted = radius * (0.5 * push + side * twist / track)
        # A direct-current motor has the less torque, the faster it turns that way.
        high = torque * min(max(1.0 - rate / free, 0.0), 1.0)
        low = -torque * min(max(1.0 + rate / free, 0.0), 1.0)
        wanted = min(max(wanted, low), high)
        state[_TORQUE + i] += (wanted - state[_TORQUE + i]) * STEP_S / (MOTOR_TIME + STEP_S)
        ctrl[i] = state[_TORQUE + i]


class Rover(Body):
    """The vehicle in its world: one physics step at a time.

    Parameters
    ----------
    world : World
        Where it drives.
    rover : RoverVehicle
        Its sizes, grip and motors.
    estimator : Estimator
        How its velocity estimate errs, beside what slips: the drift is that of a wheel whose radius
        is taken for another, m/s at 1 m/s.
    wind : Wind
        What blows.
    others : int
        How many more vehicles it can run into.
    """

    def __init__(self, world: World, rover: RoverVehicle, estimator: Estimator, wind: Wind,
                 others: int = 0) -> None:
        super().__init__(build_model(world, rover, others))
        self._rover, self._estimator, self._wind = rover, estimator, wind
        self._options = np.zeros(13)
        self._state = np.zeros(_SIZE)
        self._ground = self._model.geom("ground").id
        self._wheels = np.array([self._model.joint(name).dofadr[0] for name in ("left", "right")])

    def reset(self, rng: np.random.Generator) -> None:
        """Stand at the start again; `rng` gives wind and estimation errors from here on."""
        mujoco.mj_resetData(self._model, self._data)
        estimator, wind, rover = self._estimator, self._wind, self._rover
        direction = rng.uniform(-math.pi, math.pi)
        self._options[:] = (estimator.lag_s, estimator.noise, estimator.drift,
                            estimator.drift_time_s, wind.mean * math.cos(direction),
                            wind.mean * math.sin(direction), wind.gust, wind.gust_time_s,
                            rover.wheel_radius, rover.track, rover.acceleration,
                            rover.motor_torque,
                            FREE_SPEED * rover.max_speed / rover.wheel_radius)
        self._state[:] = 0.0
        self._state[_DRIFT] = estimator.drift * rng.standard_normal()
        self._noise = normal_rows(rng, np.ones(4))
        self._force[:] = 0.0
        for _ in range(_SETTLE):
            mujoco.mj_step(self._model, self._data)
        mujoco.mj_forward(self._model, self._data)

    def step(self, command: NDArray[np.float64]) -> None:
        """Advance by one physics step.

        Afterwards :attr:`specific_force` and :attr:`angular_velocity` are those of the instant at
        the step's *beginning*, pose and velocity those of its end.

        Parameters
        ----------
        command : ndarray (4,)
            Forward speed, m/s, two numbers that a rover has no use for, and yaw rate, rad/s.
        """
        _control(self._qvel, self._wheels, command, next(self._noise), self._options, self._state,
                 self._ctrl, self._force)
        mujoco.mj_step(self._model, self._data)

    @property
    def in_contact(self) -> bool:
        """Whether the vehicle touches anything but the ground."""
        return bool((self._data.contact.geom != self._ground).all(axis=1).any())

    @property
    def estimated_velocity(self) -> NDArray[np.float64]:
        """Velocity as its wheels tell it (3,), m/s, levelled body frame."""
        return np.array([self._state[_LAGGED] * (1.0 + self._state[_DRIFT]), 0.0, 0.0])

    @property
    def slip(self) -> float:
        """How much faster the wheels roll than the body moves forward, m/s."""
        rolled = 0.5 * self._rover.wheel_radius * float(self._qvel[self._wheels].sum())
        return rolled - float(self.rotation[:, 0] @ self.velocity)
