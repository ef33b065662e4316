"""The embedded simulator's step API: a world, a vehicle, and sensors with real-life timing."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lnn_ros.errors import LnnError
from lnn_ros.simulation.camera import CameraGeometry, Renderer
from lnn_ros.simulation.physics import STEP_NS, Estimator, Quadrotor, Wind
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.world import World, distance_to

START_NS = 1_000_000_000
"""Stamp of the first instant, ns: not zero, because a zero stamp means "none" in ROS."""
CONTROL_PERIOD_NS = 33_333_333
"""Control period of 30 Hz, ns."""
COMMAND_TIMEOUT_NS = 500_000_000
"""Age at which the vehicle stops listening to a command and brakes to a hover, ns."""
_CLEARANCE_STEPS = 10  # physics steps between two measurements of the clearance
_RANK = {"imu": 0, "camera": 1}


class Outcome(str, Enum):
    """How a flight stands; everything but FLYING is final."""

    FLYING = "flying"
    ARRIVED = "arrived"
    CONTACT = "contact"
    TIMEOUT = "timeout"


@dataclass(frozen=True)
class StreamTiming:
    """When a sensor measures and when its samples arrive.

    Attributes
    ----------
    rate_hz : float
        Nominal rate.
    jitter_s : float
        Each instant of measurement moves by up to this, evenly, to either side.
    latency_s, latency_jitter_s : float
        Time from stamp to arrival: the first, plus up to the second, evenly.
    drop : float
        Share of samples that never arrive.
    reorder : bool
        Whether a sample may overtake an earlier one of its stream.
    """

    rate_hz: float
    jitter_s: float = 0.0
    latency_s: float = 0.0
    latency_jitter_s: float = 0.0
    drop: float = 0.0
    reorder: bool = False

    def validate(self, name: str) -> None:
        """Raise LnnError naming the stream when a value is outside its domain."""
        rules = {
            "rate_hz": (0.0 < self.rate_hz <= 1e9 / STEP_NS, f"in (0, {1e9 / STEP_NS:g}]"),
            "jitter_s": (0.0 <= self.jitter_s < 0.5 / max(self.rate_hz, 1e-9) + 1e-12,
                         "at least 0 and below half a period"),
            "latency_s": (0.0 <= self.latency_s <= 10.0, "in [0, 10]"),
            "latency_jitter_s": (0.0 <= self.latency_jitter_s <= 10.0, "in [0, 10]"),
            "drop": (0.0 <= self.drop <= 1.0, "in [0, 1]"),
        }
        for key, (valid, domain) in rules.items():
            if not valid:
                raise LnnError(f"{name}.{key} must be {domain}, found {getattr(self, key)}")


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
    """

    camera: StreamTiming = StreamTiming(rate_hz=20.0, latency_s=0.01)
    imu: StreamTiming = StreamTiming(rate_hz=200.0)
    geometry: CameraGeometry | None = None
    samples: int = 4
    estimator: Estimator | None = None
    wind: Wind | None = None
    render: bool = True


@dataclass(frozen=True)
class Delivery:
    """A sample on its arrival.

    Attributes
    ----------
    stream : str
        "camera" or "imu".
    stamp_ns, arrival_ns : int
        When it was measured and when it arrived, ns.
    value : ndarray
        camera: uint8 (H, W, 3) RGB; imu: float64 (6,), angular rate (rad/s), then specific force
        (m/s^2), body frame.
    """

    stream: str
    stamp_ns: int
    arrival_ns: int
    value: NDArray[np.generic]


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


class _Stream:
    """The instants at which one sensor measures, and its samples on their way."""

    def __init__(self, name: str, timing: StreamTiming, rng: np.random.Generator) -> None:
        self.name, self.timing, self.rng = name, timing, rng
        self._tick = 0
        self._last_stamp = 0
        self._last_arrival = 0
        self.next_ns = 0
        self._schedule()

    def _schedule(self) -> None:
        """Draw the next instant of measurement, on the physics grid and after the last one."""
        nominal = START_NS + self._tick * 1e9 / self.timing.rate_hz
        jitter = self.timing.jitter_s * 1e9
        wanted = nominal + (self.rng.uniform(-jitter, jitter) if jitter else 0.0)
        grid = START_NS + math.ceil(round(wanted - START_NS, 3) / STEP_NS) * STEP_NS
        self.next_ns = max(grid, START_NS, self._last_stamp + STEP_NS)
        self._tick += 1

    def measure(self) -> int | None:
        """Take the instant that is due; return when the sample arrives, or None if it is lost."""
        stamp, timing = self.next_ns, self.timing
        self._last_stamp = stamp
        self._schedule()
        lost = timing.drop > 0.0 and self.rng.random() < timing.drop
        latency = timing.latency_s
        if timing.latency_jitter_s:
            latency += self.rng.uniform(0.0, timing.latency_jitter_s)
        # An accelerometer's reading of a step is known at the step's end.
        arrival = stamp + max(round(latency * 1e9), STEP_NS)
        if lost:
            return None
        if not timing.reorder:
            arrival = max(arrival, self._last_arrival)
        self._last_arrival = arrival
        return arrival


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

    Attributes
    ----------
    world, options, task
        As given.
    geometry : CameraGeometry
        The camera that it carries.

    Raises
    ------
    LnnError
        When an option is outside its domain.
    """

    def __init__(self, world: World, options: SimulatorOptions | None = None,
                 seed: int | None = None, task: Task | None = None) -> None:
        self.world = world
        self.options = options or SimulatorOptions()
        self.task = task or Task.load(world.task)
        self._seed = world.seed if seed is None else seed
        self.options.camera.validate("camera")
        self.options.imu.validate("imu")
        d = self.task.disturbances
        self._vehicle = Quadrotor(
            world, self.task.vehicle.radius,
            self.options.estimator or Estimator(d.velocity_lag, d.velocity_noise,
                                                d.velocity_drift, d.velocity_drift_time),
            self.options.wind or Wind(d.wind, d.gust, d.gust_time))
        camera = self.task.camera
        self.geometry = self.options.geometry or CameraGeometry(
            camera.width, camera.height, math.radians(camera.field_of_view))
        self._renderer = (Renderer(world, self.geometry, self.options.samples)
                          if self.options.render else None)
        self._command = np.zeros(4)
        self._centres = np.array([s.position for s in world.solids])
        self._reaches = np.array([math.hypot(*s.size) for s in world.solids])
        self.reset()

    def reset(self) -> None:
        """Go back to the first instant; what follows has the same bytes again."""
        vehicle, imu, camera, noise = (np.random.Generator(np.random.Philox(s)) for s in
                                       np.random.SeedSequence((self._seed, 0x51A)).spawn(4))
        self._vehicle.reset(vehicle)
        self._noise = noise
        d = self.task.disturbances
        self._imu_bias = noise.standard_normal(6) * np.repeat(
            (d.gyro_bias, d.accelerometer_bias), 3)
        self._imu_noise = np.repeat((d.gyro_noise, d.accelerometer_noise), 3)
        self._imu = _Stream("imu", self.options.imu, imu)
        self._camera = _Stream("camera", self.options.camera, camera)
        self._under_way: list[tuple[int, int, int, Delivery]] = []
        self._serial = 0
        self._steps = 0
        self._command[:] = 0.0
        self._command_ns = START_NS
        self._outcome = Outcome.FLYING
        self._slow_since_ns: int | None = None
        self._clearance = math.inf
        self._measure_clearance()

    @property
    def time_ns(self) -> int:
        """Present instant, ns."""
        return START_NS + self._steps * STEP_NS

    @property
    def outcome(self) -> Outcome:
        """How the flight stands."""
        return self._outcome

    @property
    def distance(self) -> float:
        """Horizontal distance from the vehicle's centre to the target column's surface, metres."""
        x, y, _ = self._vehicle.position
        target = self.world.target
        return math.hypot(target.position[0] - x, target.position[1] - y) - target.size[0]

    @property
    def clearance(self) -> float:
        """Smallest distance so far from the vehicle's surface (as a sphere) to any solid, metres.

        Measured every 25 ms; the outcome, not this, says whether there was a contact.
        """
        return self._clearance

    @property
    def truth(self) -> Truth:
        """Where the vehicle really is."""
        vehicle = self._vehicle
        rotation = vehicle.rotation
        return Truth(self.time_ns, vehicle.position, rotation, vehicle.velocity,
                     vehicle.body_rates, math.atan2(rotation[1, 0], rotation[0, 0]))

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
        limits = self.task.vehicle
        self._command[:] = wanted
        speed = math.hypot(wanted[0], wanted[1])
        if speed > limits.max_speed:
            self._command[:2] *= limits.max_speed / speed
        self._command[2] = np.clip(wanted[2], -limits.max_climb, limits.max_climb)
        self._command[3] = np.clip(wanted[3], -limits.max_yaw_rate, limits.max_yaw_rate)
        self._command_ns = self.time_ns

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
        while self.time_ns + STEP_NS <= until_ns:
            self._step()
        arrived = []
        while self._under_way and self._under_way[0][0] <= self.time_ns:
            arrived.append(heapq.heappop(self._under_way)[-1])
        return arrived

    def _step(self) -> None:
        now = self.time_ns
        if self._camera.next_ns == now:
            arrival = self._camera.measure()
            if arrival is not None and self._renderer is not None:
                image = self._renderer.render(self._vehicle.position, self._vehicle.rotation)
                self._send("camera", now, arrival, image)
        if now - self._command_ns >= COMMAND_TIMEOUT_NS:
            self._command[:] = 0.0
        self._vehicle.step(self._command)
        self._steps += 1
        if self._imu.next_ns == now:
            arrival = self._imu.measure()
            noise = self._noise.standard_normal(6) * self._imu_noise
            if arrival is not None:
                reading = np.concatenate((self._vehicle.angular_velocity,
                                          self._vehicle.specific_force))
                self._send("imu", now, arrival, reading + self._imu_bias + noise)
        if self._steps % _CLEARANCE_STEPS == 0:
            self._measure_clearance()
        self._judge()

    def _send(self, stream: str, stamp: int, arrival: int, value: NDArray[np.generic]) -> None:
        """Put a sample on its way; ties arrive IMU first, then in order of measurement."""
        self._serial += 1
        heapq.heappush(self._under_way, (arrival, _RANK[stream], self._serial,
                                         Delivery(stream, stamp, arrival, value)))

    def _measure_clearance(self) -> None:
        position = self._vehicle.position
        x, y, z = (float(v) for v in position)
        radius = self.task.vehicle.radius
        # Only a solid whose bounding sphere is nearer than the record can break it.
        bound = np.linalg.norm(self._centres - position, axis=1) - self._reaches
        for index in np.flatnonzero(bound < self._clearance + radius):
            distance = distance_to(self.world.solids[index], (x, y, z)) - radius
            self._clearance = min(self._clearance, distance)

    def _judge(self) -> None:
        """Update the outcome: contact, arrival (held), timeout, in this order."""
        if self._outcome is not Outcome.FLYING:
            return
        rules, now = self.task.success, self.time_ns
        if self._vehicle.in_contact:
            self._outcome = Outcome.CONTACT
            return
        vx, vy, vz = self._vehicle.velocity
        if self.distance <= rules.distance and math.hypot(vx, vy, vz) < rules.speed:
            if self._slow_since_ns is None:
                self._slow_since_ns = now
            if now - self._slow_since_ns >= rules.hold * 1e9:
                self._outcome = Outcome.ARRIVED
                return
        else:
            self._slow_since_ns = None
        if now - START_NS >= rules.time_limit * 1e9:
            self._outcome = Outcome.TIMEOUT
