"""The embedded simulator's step API: a world, a vehicle, and sensors with real-life timing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lnn_ros.errors import LnnError
from lnn_ros.simulation import sensors
from lnn_ros.simulation.bodies import parts
from lnn_ros.simulation.body import STEP_NS, Estimator, Pose, Vehicle, Wind
from lnn_ros.simulation.camera import CameraGeometry, Renderer
from lnn_ros.simulation.clearance import Clearance
from lnn_ros.simulation.interruption import IN_VIEW_PIXELS, Interruption, Lost, Watch
from lnn_ros.simulation.mujoco_camera import MujocoRenderer
from lnn_ros.simulation.noise import normal_rows
from lnn_ros.simulation.physics import Quadrotor
from lnn_ros.simulation.referee import Following, make_referee
from lnn_ros.simulation.referee import Outcome as Outcome
from lnn_ros.simulation.rover import Rover
from lnn_ros.simulation.sensors import START_NS, Delivery, Stream, StreamTiming, Transit
from lnn_ros.simulation.shifts import Shift
from lnn_ros.simulation.task import FollowGoal, RoverVehicle, Task
from lnn_ros.simulation.world import World

CONTROL_PERIOD_NS = 33_333_333
"""Control period of 30 Hz, ns."""
COMMAND_TIMEOUT_NS = 500_000_000
"""Age at which the vehicle stops listening to a command and brakes to a hover, ns."""
_CLEARANCE_STEPS = 10  # physics steps between two measurements of the clearance


@dataclass(frozen=True)
class SimulatorOptions:
    """Sensors and disturbances of a simulation.

    Attributes
    ----------
    camera, imu : StreamTiming
        Timing of the streams.
    geometry : CameraGeometry, optional
        The camera and its mount; by default of the size and field of view that the task states.
    samples : int
        Rays per pixel, 1 or 4.
    estimator : Estimator, optional
        How the vehicle's velocity estimate errs; by default as the task states.
    wind : Wind, optional
        What blows; by default as the task states.
    render : bool
        False leaves the camera out, for what needs only the physics.
    interruption : Interruption, optional
        What the camera loses once in the flight.
    pace : float
        The vehicle flies and turns this many times as fast as it is told; its ceilings are as many
        times as high, its acceleration is what it was.
    shifts : tuple of Shift
        What is otherwise than in training, one on top of the other.
    """

    camera: StreamTiming = sensors.CAMERA
    imu: StreamTiming = sensors.IMU
    geometry: CameraGeometry | None = None
    samples: int = 4
    estimator: Estimator | None = None
    wind: Wind | None = None
    render: bool = True
    interruption: Interruption | None = None
    pace: float = 1.0
    shifts: tuple[Shift, ...] = ()

    def validate(self) -> None:
        """Raise LnnError naming the option that is outside its domain."""
        self.camera.validate("camera")
        self.imu.validate("imu")
        if self.interruption is not None:
            self.interruption.validate()
        disturbing = [str(s) for s in self.shifts if s.disturbs]
        if disturbing and (self.estimator or self.wind):
            raise LnnError(f"shifts {', '.join(disturbing)} found beside wind or estimator, which "
                           f"take their place: expected one or the other")
        if not 0.0 < self.pace <= 10.0:
            raise LnnError(f"pace must be in (0, 10], found {self.pace}")


@dataclass(frozen=True)
class Truth:
    """Where the vehicle really is.

    Attributes
    ----------
    stamp_ns : int
        Instant, ns.
    position, velocity : ndarray (3,)
        Metres and m/s, world frame.
    rotation : ndarray (3, 3)
        world_from_body.
    angular_velocity : ndarray (3,)
        rad/s, body frame.
    yaw : float
        Heading, rad.
    """

    stamp_ns: int
    position: NDArray[np.float64]
    rotation: NDArray[np.float64]
    velocity: NDArray[np.float64]
    angular_velocity: NDArray[np.float64]
    yaw: float


def _make_vehicle(world: World, task: Task, estimator: Estimator, wind: Wind,
                  others: int) -> Vehicle:
    """Return the vehicle that the task names."""
    if isinstance(task.vehicle, RoverVehicle):
        return Rover(world, task.vehicle, estimator, wind, others)
    return Quadrotor(world, task.vehicle.radius, estimator, wind, others)


class Simulator:
    """A flight in the embedded simulator. Same world, options and seed give the same bytes.

    Parameters
    ----------
    world : World
        Where to fly.
    options : SimulatorOptions, optional
        Sensors and disturbances.
    seed : int, optional
        Seed of noise, wind and timing; the world's by default.
    task : Task, optional
        The task that the world was made for; read by its name by default.
    others : int
        How many more vehicles are in the world: see ``fleet``.

    Attributes
    ----------
    world, options
        As given.
    task : Task
        As given, with the disturbances that ``options.shifts`` change.
    geometry : CameraGeometry
        The camera that it carries.

    Raises
    ------
    LnnError
        When an option is outside its domain.
    """

    def __init__(self, world: World, options: SimulatorOptions | None = None,
                 seed: int | None = None, task: Task | None = None, others: int = 0) -> None:
        self.world = world
        self.options = options or SimulatorOptions()
        self.task, seen = task or Task.load(world.task), world
        camera = self.task.camera
        self.geometry = self.options.geometry or CameraGeometry(
            camera.width, camera.height, math.radians(camera.field_of_view), camera.position,
            math.radians(camera.tilt))
        for shift in self.options.shifts:
            self.task, seen = shift.task(self.task), shift.world(seen)
            self.geometry = shift.geometry(self.geometry)
        self._seed = world.seed if seed is None else seed
        self.options.validate()
        d = self.task.disturbances
        self._vehicle = _make_vehicle(
            world, self.task,
            self.options.estimator or Estimator(d.velocity_lag, d.velocity_noise,
                                                d.velocity_drift, d.velocity_drift_time),
            self.options.wind or Wind(d.wind, d.gust, d.gust_time), others)
        self._renderer = (Renderer(seen, self.geometry, self.options.samples, others,
                                   body=parts(self.task.vehicle))
                          if self.options.render else None)
        self._others: Sequence[Pose] = ()
        # Who judges sees with the same camera, also where no pictures are taken.
        self._sight = self._renderer or (Renderer(seen, self.geometry, 1, shadows=False)
                                         if isinstance(self.task.success, FollowGoal) else None)
        self._pictures = None
        if self._renderer and any(shift.renderer for shift in self.options.shifts):
            self._pictures = MujocoRenderer(seen, self.geometry)
        self._command = np.zeros(4)
        self._clearance = Clearance(world, self.task.vehicle.radius)
        self._referee = make_referee(world, self.task, self._target_in_view)
        self.reset()

    def reset(self) -> None:
        """Go back to the first instant; what follows has the same bytes again."""
        vehicle, imu, camera, noise, watch = (
            np.random.Generator(np.random.Philox(s))
            for s in np.random.SeedSequence((self._seed, 0x51A)).spawn(5))
        self._vehicle.reset(vehicle)
        d = self.task.disturbances
        self._imu_bias = noise.standard_normal(6) * np.repeat(
            (d.gyro_bias, d.accelerometer_bias), 3)
        self._imu_noise = normal_rows(
            noise, np.repeat((d.gyro_noise, d.accelerometer_noise), 3))
        self._imu = Stream(self.options.imu, imu)
        self._camera = Stream(self.options.camera, camera)
        self._transit = Transit()
        interruption = self.options.interruption
        self._watch = Watch(interruption, watch, START_NS) if interruption else None
        self._steps, self._now_ns = 0, START_NS
        self._command[:] = 0.0
        self._command_ns = START_NS
        self._outcome = Outcome.FLYING
        self._referee.reset()
        self._clearance.reset()
        self._clearance.measure(self._vehicle.place)
        self._vehicle.put_target(self.world.target_at(0.0))

    @property
    def time_ns(self) -> int:
        """Present instant, ns."""
        return self._now_ns

    @property
    def outcome(self) -> Outcome:
        """How the flight stands."""
        return self._outcome

    @property
    def distance(self) -> float:
        """Metres that are left to where the task ends; to a column, from its surface."""
        return self._referee.distance(self._vehicle.place, self._now_ns)

    @property
    def time_s(self) -> float:
        """Present instant, s from the start."""
        return (self._now_ns - START_NS) * 1e-9

    @property
    def followed(self) -> float | None:
        """Share of the time in which the target was followed so far; None where that is no goal."""
        return self._referee.share if isinstance(self._referee, Following) else None

    @property
    def clearance(self) -> float:
        """Smallest distance so far from the vehicle's surface (as a sphere) to any solid, metres.

        Measured every 25 ms; the outcome, not this, says whether there was a contact.
        """
        return self._clearance.least

    def lost(self, stamp_ns: int) -> Lost | None:
        """What the camera has lost at an instant that is not to come."""
        what = self.options.interruption
        if self._watch is None or what is None or not self._watch.lasts(stamp_ns):
            return None
        return what.lost

    @property
    def interrupted_s(self) -> float | None:
        """When the interruption began, s from the start; None if it has not."""
        begun = self._watch.begun_ns if self._watch else None
        return None if begun is None else (begun - START_NS) * 1e-9

    @property
    def truth(self) -> Truth:
        """Where the vehicle really is."""
        vehicle = self._vehicle
        rotation = vehicle.rotation
        return Truth(self.time_ns, vehicle.position, rotation, vehicle.velocity,
                     vehicle.body_rates, math.atan2(rotation[1, 0], rotation[0, 0]))

    @property
    def position(self) -> NDArray[np.float64]:
        """The truth's position alone (3,), metres, world frame; a copy."""
        return self._vehicle.position

    @property
    def estimate(self) -> NDArray[np.float64]:
        """The vehicle's own velocity estimate (3,), m/s, levelled body frame."""
        return self._vehicle.estimated_velocity

    def command(self, vector: ArrayLike) -> None:
        """Set the velocity command, valid from the next physics step for 0.5 s.

        Parameters
        ----------
        vector : array_like (4,)
            vx, vy, vz (m/s, levelled body frame) and yaw rate (rad/s); clipped to the vehicle's
            ceilings.

        Raises
        ------
        ValueError
            When it is not four finite numbers.
        """
        wanted = np.asarray(vector, dtype=np.float64)
        if wanted.shape != (4,) or not np.isfinite(wanted).all():
            raise ValueError(f"command must be four finite numbers, found {vector!r}")
        limits, pace = self.task.vehicle, self.options.pace
        x, y, z, turn = wanted.tolist()
        speed = math.hypot(x, y)
        if speed > limits.max_speed:
            x, y = x * (limits.max_speed / speed), y * (limits.max_speed / speed)
        z = min(max(z, -limits.max_climb), limits.max_climb)
        turn = min(max(turn, -limits.max_yaw_rate), limits.max_yaw_rate)
        self._command[:] = x * pace, y * pace, z * pace, turn * pace
        self._command_ns = self.time_ns

    def meet(self, others: Sequence[Pose]) -> None:
        """Say where the other vehicles are now, and until this is called again."""
        self._others = tuple(others)
        self._vehicle.meet(self._others)
        radius = self.task.vehicle.radius
        for position, _ in self._others:
            self._clearance.note(math.dist(position, self._vehicle.place) - 2.0 * radius)

    def advance(self, until_ns: int) -> list[Delivery]:
        """Simulate up to an instant, as far as whole physics steps go.

        Parameters
        ----------
        until_ns : int
            Stamp up to which to simulate, ns.

        Returns
        -------
        list of Delivery
            The samples that arrived, in order of arrival.
        """
        for _ in range((until_ns - self.time_ns) // STEP_NS):
            self._step()
        return self._transit.arrived(self.time_ns)

    def _step(self) -> None:
        now = self._now_ns
        if self._camera.next_ns == now:
            self._take_picture(now, self._camera.measure())
        if now - self._command_ns >= COMMAND_TIMEOUT_NS:
            self._command[:] = 0.0
        if self.world.walk is not None:
            self._vehicle.put_target(self.world.target_at(self.time_s))
        self._vehicle.step(self._command)
        self._steps += 1
        self._now_ns += STEP_NS
        if self._imu.next_ns == now:
            arrival = self._imu.measure()
            noise = next(self._imu_noise)
            if arrival is not None:
                reading = self._vehicle.inertial + self._imu_bias
                self._transit.send(Delivery("imu", now, arrival, reading + noise))
        if self._steps % _CLEARANCE_STEPS == 0:
            self._clearance.measure(self._vehicle.place, self.time_s)
        if self._outcome is Outcome.FLYING:
            self._outcome = self._referee.look(self._now_ns, self._vehicle)

    def _target_in_view(self) -> bool:
        """Whether the camera sees enough of the target now."""
        assert self._sight is not None
        mask = self._sight.target_mask(self._vehicle.position, self._vehicle.rotation, self.time_s)
        return int(mask.sum()) >= IN_VIEW_PIXELS

    def _take_picture(self, now: int, arrival: int | None) -> None:
        """Send the frame of this instant, unless it is lost."""
        if self._renderer is None:
            return
        pose = self._vehicle.position, self._vehicle.rotation
        renderer, lost = self._renderer, None
        if self._watch is not None:
            # Asked for every frame: that one of them is dropped must not change when it begins.
            lost = self._watch.loses(now, float(self._vehicle.body_rates[2]), self._target_in_view)
        if arrival is not None and lost is not Lost.FRAMES:
            shown = lost is not Lost.TARGET
            at_s = self.time_s
            image = (self._pictures.render(*pose, target=shown, at_s=at_s) if self._pictures else
                     renderer.render(*pose, target=shown, at_s=at_s, vehicles=self._others))
            for shift in self.options.shifts:
                image = shift.frame(image, self._seed, now)
            self._transit.send(Delivery("camera", now, arrival, image))
