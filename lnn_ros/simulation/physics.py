"""A quadrotor with its cascaded velocity controller in a world of solids, on MuJoCo.

The vehicle behaves like one behind an autopilot: it takes a velocity in its levelled body frame
and tracks an *estimated* velocity that lags, is noisy and drifts, so that a pilot has to see
where it really goes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numba
import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.noise import normal_rows
from lnn_ros.simulation.world import Shape, Vector, World

Pose = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Position (3,), metres, world frame, and world_from_body (3, 3)."""

STEP_NS = 2_500_000
"""Physics step, nanoseconds; every stamp of the simulator is a multiple of it."""
_DT = STEP_NS * 1e-9
GRAVITY = 9.81
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
KINDS = {Shape.BOX: mujoco.mjtGeom.mjGEOM_BOX, Shape.CYLINDER: mujoco.mjtGeom.mjGEOM_CYLINDER,
         Shape.ELLIPSOID: mujoco.mjtGeom.mjGEOM_ELLIPSOID}
"""MuJoCo's name of each shape."""
WALKER = "walker"
"""Name of the body of a target that walks."""
_ELSEWHERE = 1000.0  # metres up, where nothing is met

# State of the controller and of the estimator, one float64 array for the compiled step.
_THRUST, _INTEGRAL, _LAGGED, _DRIFT, _GUST, _SIZE = 0, 4, 7, 10, 13, 16


@dataclass(frozen=True)
class Estimator:
    """How the vehicle's own velocity estimate errs.

    Attributes
    ----------
    lag_s : float
        Time constant of its low-pass, s.
    noise : float
        Standard deviation per physics step, m/s.
    drift : float
        Standard deviation of the slow bias, m/s horizontally; a quarter of it vertically.
    drift_time_s : float
        Time in which the bias forgets itself (Ornstein-Uhlenbeck process), s.
    """

    lag_s: float
    noise: float
    drift: float
    drift_time_s: float = 15.0


@dataclass(frozen=True)
class Wind:
    """Wind at the vehicle.

    Attributes
    ----------
    mean : float
        Constant horizontal part, m/s; its direction comes from the seed.
    gust : float
        Standard deviation of the gusts per axis, m/s.
    gust_time_s : float
        Time in which a gust forgets itself, s.
    """

    mean: float
    gust: float
    gust_time_s: float = 1.5


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
    spec = mujoco.MjSpec()
    spec.option.timestep = _DT
    spec.option.gravity = [0.0, 0.0, -GRAVITY]
    spec.worldbody.add_geom(name="ground", type=mujoco.mjtGeom.mjGEOM_PLANE,
                            size=[0.0, 0.0, 1.0])
    for solid in world.solids:
        a, b, c = solid.size
        size = [a, c, 0.0] if solid.shape == Shape.CYLINDER else [a, b, c]
        half = solid.yaw / 2.0
        holds, place = spec.worldbody, list(solid.position)
        if world.walk is not None and solid is world.target:
            holds = spec.worldbody.add_body(name=WALKER, pos=place, mocap=True)
            place = [0.0, 0.0, 0.0]
        holds.add_geom(name=solid.name, type=KINDS[solid.shape], size=size, pos=place,
                       quat=[math.cos(half), 0.0, 0.0, math.sin(half)])
    body = spec.worldbody.add_body(
        name="vehicle", pos=list(world.start),
        quat=[math.cos(world.start_yaw / 2), 0.0, 0.0, math.sin(world.start_yaw / 2)],
        mass=MASS, inertia=list(INERTIA), ipos=[0.0, 0.0, 0.0], explicitinertial=True)
    body.add_freejoint(name="free")
    body.add_geom(name="vehicle", type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
                  size=[vehicle_radius, vehicle_radius, HALF_HEIGHT])
    for k in range(others):
        other = spec.worldbody.add_body(name=f"other_{k}", pos=[0.0, 0.0, _ELSEWHERE], mocap=True)
        other.add_geom(name=f"other_{k}", type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
                       size=[vehicle_radius, vehicle_radius, HALF_HEIGHT])
    body.add_site(name="imu")
    for index, (x, y, spin) in enumerate(ROTORS):
        body.add_site(name=f"rotor_{index}", pos=[x * ARM, y * ARM, 0.0])
        rotor = spec.add_actuator(name=f"rotor_{index}", target=f"rotor_{index}",
                                  trntype=mujoco.mjtTrn.mjTRN_SITE)
        rotor.gear = [0.0, 0.0, 1.0, 0.0, 0.0, spin * DRAG_TORQUE]
    spec.add_sensor(name="gyro", type=mujoco.mjtSensor.mjSENS_GYRO,
                    objtype=mujoco.mjtObj.mjOBJ_SITE, objname="imu")
    spec.add_sensor(name="accelerometer", type=mujoco.mjtSensor.mjSENS_ACCELEROMETER,
                    objtype=mujoco.mjtObj.mjOBJ_SITE, objname="imu")
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


class Quadrotor:
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
        self._model = build_model(world, vehicle_radius, others)
        self._data = mujoco.MjData(self._model)
        self._estimator = estimator
        self._wind = wind
        self._options = np.zeros(8)
        self._state = np.zeros(_SIZE)
        data = self._data
        self._qpos, self._qvel, self._ctrl = data.qpos, data.qvel, data.ctrl
        self._sensors = data.sensordata
        self._others = [int(self._model.body(f"other_{k}").mocapid[0]) for k in range(others)]
        self._walker = (None if world.walk is None else
                        data.mocap_pos[int(self._model.body(WALKER).mocapid[0])])
        self._force = data.xfrc_applied[self._model.body("vehicle").id, :3]

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

    def meet(self, poses: Sequence[Pose]) -> None:
        """Put the other vehicles where they are."""
        for k, (position, rotation) in zip(self._others, poses, strict=False):
            self._data.mocap_pos[k] = position
            mujoco.mju_mat2Quat(self._data.mocap_quat[k], rotation.ravel())

    def put_target(self, place: Vector) -> None:
        """Put a target that walks to where it is, metres, before the next step."""
        if self._walker is not None:
            self._walker[:] = place

    @property
    def in_contact(self) -> bool:
        """Whether the vehicle touches anything."""
        return bool(self._data.ncon)

    @property
    def position(self) -> NDArray[np.float64]:
        """Position (3,), metres, world frame; a copy."""
        return self._qpos[:3].copy()

    @property
    def place(self) -> Vector:
        """The position as plain numbers."""
        x, y, z = self._qpos[:3].tolist()
        return x, y, z

    @property
    def rotation(self) -> NDArray[np.float64]:
        """Attitude (3, 3), world_from_body; a copy."""
        matrix = np.empty(9)
        mujoco.mju_quat2Mat(matrix, self._qpos[3:7])
        return matrix.reshape(3, 3)

    @property
    def velocity(self) -> NDArray[np.float64]:
        """Velocity (3,), m/s, world frame; a copy."""
        return self._qvel[:3].copy()

    @property
    def speed(self) -> float:
        """Length of the velocity, m/s."""
        return math.hypot(*self._qvel[:3].tolist())

    @property
    def body_rates(self) -> NDArray[np.float64]:
        """Angular velocity (3,), rad/s, body frame, at the step's end; a copy."""
        return self._qvel[3:6].copy()

    @property
    def specific_force(self) -> NDArray[np.float64]:
        """What an ideal accelerometer reads (3,), m/s^2, body frame, at the step's beginning."""
        return self._sensors[3:].copy()

    @property
    def angular_velocity(self) -> NDArray[np.float64]:
        """What an ideal gyroscope reads (3,), rad/s, body frame, at the step's beginning."""
        return self._sensors[:3].copy()

    @property
    def inertial(self) -> NDArray[np.float64]:
        """Both of an ideal IMU's readings (6,): angular velocity, then specific force."""
        return self._sensors.copy()

    @property
    def estimated_velocity(self) -> NDArray[np.float64]:
        """Velocity as the vehicle believes it (3,), m/s, levelled body frame."""
        return self._state[_LAGGED:_LAGGED + 3] + self._state[_DRIFT:_DRIFT + 3]
