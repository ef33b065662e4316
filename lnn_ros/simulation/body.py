"""What every vehicle on MuJoCo shares: its place among fixed solids, its errors, its state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.world import Shape, Solid, Vector, World

Pose = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Position (3,), metres, world frame, and world_from_body (3, 3)."""

STEP_NS = 2_500_000
"""Physics step, nanoseconds; every stamp of the simulator is a multiple of it."""
STEP_S = STEP_NS * 1e-9
GRAVITY = 9.81
_KINDS = {Shape.BOX: mujoco.mjtGeom.mjGEOM_BOX, Shape.CYLINDER: mujoco.mjtGeom.mjGEOM_CYLINDER,
          Shape.ELLIPSOID: mujoco.mjtGeom.mjGEOM_ELLIPSOID}
"""MuJoCo's name of each shape."""
WALKER = "walker"
"""Name of the body of a target that walks."""
_ELSEWHERE = 1000.0  # metres up, where nothing is met


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


class Vehicle(Protocol):
    """What the simulator moves, one physics step at a time; ``Body`` has all but the first two."""

    def reset(self, rng: np.random.Generator) -> None:
        """Be at the start again; `rng` gives what disturbs and what errs from here on."""

    def step(self, command: NDArray[np.float64]) -> None:
        """Advance by one physics step, commanded a velocity (4,) in the levelled body frame."""

    def meet(self, poses: Sequence[Pose]) -> None:
        """Put the other vehicles where they are."""

    def put_target(self, place: Vector) -> None:
        """Put a target that walks to where it is, metres, before the next step."""

    @property
    def in_contact(self) -> bool:
        """Whether it touches what it must not."""

    @property
    def position(self) -> NDArray[np.float64]:
        """Position (3,), metres, world frame; a copy."""

    @property
    def place(self) -> Vector:
        """The position as plain numbers."""

    @property
    def rotation(self) -> NDArray[np.float64]:
        """Attitude (3, 3), world_from_body; a copy."""

    @property
    def velocity(self) -> NDArray[np.float64]:
        """Velocity (3,), m/s, world frame; a copy."""

    @property
    def speed(self) -> float:
        """Length of the velocity, m/s."""

    @property
    def body_rates(self) -> NDArray[np.float64]:
        """Angular velocity (3,), rad/s, body frame, at the step's end; a copy."""

    @property
    def inertial(self) -> NDArray[np.float64]:
        """Both of an ideal IMU's readings (6,): angular velocity, then specific force."""

    @property
    def estimated_velocity(self) -> NDArray[np.float64]:
        """Velocity as the vehicle believes it (3,), m/s, levelled body frame."""


def add_solid(spec: mujoco.MjSpec, world: World, solid: Solid, **more: Any) -> None:
    """Add a solid of a world; a target that walks, as a body that is put where it is.

    ``more`` goes to the solid's geom.
    """
    a, b, c = solid.size
    size = [a, c, 0.0] if solid.shape == Shape.CYLINDER else [a, b, c]
    half = solid.yaw / 2.0
    holds, place = spec.worldbody, list(solid.position)
    if world.walk is not None and solid is world.target:
        holds = spec.worldbody.add_body(name=WALKER, pos=place, mocap=True)
        place = [0.0, 0.0, 0.0]
    holds.add_geom(name=solid.name, type=_KINDS[solid.shape], size=size, pos=place,
                   quat=[math.cos(half), 0.0, 0.0, math.sin(half)], **more)


def begin_model(world: World, mass: float, inertia: Vector,
                centre: Vector = (0.0, 0.0, 0.0)) -> tuple[mujoco.MjSpec, Any]:
    """Begin a MuJoCo model with ground (geom 0) and solids, and body ``vehicle`` at the start.

    Parameters
    ----------
    world : World
        Where the vehicle moves.
    mass : float
        Of its body, kg.
    inertia : tuple of 3 float
        Of its body, about axes that are the body's, through the centre of mass, kg m^2.
    centre : tuple of 3 float
        Of its body's mass, metres from the origin.

    Returns
    -------
    spec : mujoco.MjSpec
        To be compiled when the vehicle is complete.
    body
        The vehicle's, on a free joint, with the site ``imu`` and sensors ``gyro`` and
        ``accelerometer`` in its frame.
    """
    spec = mujoco.MjSpec()
    spec.option.timestep = STEP_S
    spec.option.gravity = [0.0, 0.0, -GRAVITY]
    spec.worldbody.add_geom(name="ground", type=mujoco.mjtGeom.mjGEOM_PLANE,
                            size=[0.0, 0.0, 1.0])
    for solid in world.solids:
        add_solid(spec, world, solid)
    body = spec.worldbody.add_body(
        name="vehicle", pos=list(world.start),
        quat=[math.cos(world.start_yaw / 2), 0.0, 0.0, math.sin(world.start_yaw / 2)])
    body.mass, body.inertia, body.ipos = mass, list(inertia), list(centre)
    body.explicitinertial = True
    body.add_freejoint(name="free")
    body.add_site(name="imu")
    for name, kind in (("gyro", mujoco.mjtSensor.mjSENS_GYRO),
                       ("accelerometer", mujoco.mjtSensor.mjSENS_ACCELEROMETER)):
        spec.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE, objname="imu")
    return spec, body


def add_others(spec: mujoco.MjSpec, count: int, kind: mujoco.mjtGeom, size: Vector) -> None:
    """Add bodies that stand for other vehicles; :meth:`Body.meet` puts them where they are."""
    for k in range(count):
        other = spec.worldbody.add_body(name=f"other_{k}", pos=[0.0, 0.0, _ELSEWHERE], mocap=True)
        other.add_geom(name=f"other_{k}", type=kind, size=list(size))


class Body:
    """The state of body ``vehicle`` of a model, and what it senses.

    Parameters
    ----------
    model : mujoco.MjModel
        Of :func:`begin_model`, complete.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._data = mujoco.MjData(model)
        data = self._data
        self._qpos, self._qvel, self._ctrl = data.qpos, data.qvel, data.ctrl
        self._sensors = data.sensordata
        self._force = data.xfrc_applied[model.body("vehicle").id, :3]
        others = sum(model.body(k).name.startswith("other_") for k in range(model.nbody))
        self._others = [int(model.body(f"other_{k}").mocapid[0]) for k in range(others)]
        walks = any(model.body(k).name == WALKER for k in range(model.nbody))
        self._walker = data.mocap_pos[int(model.body(WALKER).mocapid[0])] if walks else None

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
