"""A flight with everything that interpretation needs: what the network saw, and what was true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnn_ros.learning.hints import COLUMNS, HINTS, Hinter
from lnn_ros.liquid.checkpoint import Checkpoint
from lnn_ros.pilot import Pilot
from lnn_ros.simulation.camera import Renderer
from lnn_ros.simulation.physics import STEP_NS
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.simulator import CONTROL_PERIOD_NS, Outcome, Simulator, SimulatorOptions
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world
from lnn_ros.timeline.intervals import cut
from lnn_ros.timeline.samples import Reading, Track, reading


@dataclass(frozen=True)
class RecordedFlight:
    """K intervals of a flight, M of them closed by a frame, in their order.

    Attributes
    ----------
    seed : int
        Of the world.
    outcome : str
        How it ended.
    stamps_ns : ndarray of int64, shape (K,)
        Of the intervals' ends.
    camera : ndarray of bool, shape (K,)
        Where a frame closes the interval.
    summaries : ndarray of float32, shape (K, len(SUMMARY))
        ``liquid.spec.SUMMARY`` of each interval.
    commands : ndarray of float64, shape (K, 4)
        What the policy commanded last before the next interval's end, m/s and rad/s.
    hints : ndarray of float32, shape (K, HINTS)
        What the truth says about the view at each interval's end (``learning.hints``).
    distance : ndarray of float64, shape (K,)
        Horizontal, to the target's surface, metres.
    bearing : ndarray of float64, shape (K,)
        Of the target, to the left of the heading, rad.
    frames : ndarray of uint8, shape (M, H, W, 3)
    masks : ndarray of bool, shape (M, H, W)
        Where the target is in each frame, by the simulator.
    """

    seed: int
    outcome: str
    stamps_ns: NDArray[np.int64]
    camera: NDArray[np.bool_]
    summaries: NDArray[np.float32]
    commands: NDArray[np.float64]
    hints: NDArray[np.float32]
    distance: NDArray[np.float64]
    bearing: NDArray[np.float64]
    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]

    @property
    def seconds(self) -> NDArray[np.float64]:
        """Time of each interval's end since the start of the flight, s."""
        return np.asarray((self.stamps_ns - START_NS) * 1e-9, np.float64)

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Whether any part of the target is in view, shape (K,)."""
        return self.hints[:, COLUMNS] > 0.5

    @property
    def hidden_s(self) -> NDArray[np.float64]:
        """Seconds since the target was last in view: 0 while it is, infinite before it ever was."""
        seconds, out = self.seconds, np.zeros(len(self.stamps_ns))
        if not self.visible[0]:
            out[0] = np.inf
        for k in range(1, len(out)):
            if not self.visible[k]:
                out[k] = out[k - 1] + seconds[k] - seconds[k - 1]
        return out

    @property
    def nearness(self) -> NDArray[np.float64]:
        """Nearness of the nearest obstacle in view (``hints.proximity``), shape (K,)."""
        return self.hints[:, :COLUMNS].max(1).astype(np.float64)


def record_flight(
    checkpoint: Checkpoint, seed: int, task_name: str, options: SimulatorOptions | None = None
) -> RecordedFlight:
    """Fly a world with a policy, as ``lnn_ros evaluate`` does, and keep what happened.

    Parameters
    ----------
    checkpoint : Checkpoint
        The policy.
    seed : int
        Of the world.
    task_name : str
        As in ``config/tasks``.
    options : SimulatorOptions, optional
        Of the sensors; by default as nothing is said.
    """
    task = Task.load(task_name)
    world = make_world(seed, task)
    sim = Simulator(world, options, task=task)
    pilot = Pilot(checkpoint)
    frames: Track[NDArray[np.uint8]] = Track()
    imu: Track[Reading] = Track()
    poses: dict[int, tuple[NDArray[np.float64], NDArray[np.float64], float]] = {}
    sent: list[tuple[int, NDArray[np.float64]]] = []
    tick = 0
    while sim.outcome is Outcome.FLYING:
        tick += 1
        arrived = []
        # One physics step at a time: a frame is taken from a pose at the start of a step.
        while sim.time_ns + STEP_NS <= START_NS + tick * CONTROL_PERIOD_NS:
            truth = sim.truth
            poses[truth.stamp_ns] = (truth.position.copy(), truth.rotation.copy(), truth.yaw)
            arrived += sim.advance(sim.time_ns + STEP_NS)
        for delivery in arrived:
            stream, stamp, value = delivery.stream, delivery.stamp_ns, delivery.value
            if not pilot.observe(stream, stamp, value, sim.time_ns):
                continue
            if stream == "camera":
                frames.put(stamp, np.asarray(value, np.uint8))
            else:
                imu.put(stamp, reading(np.asarray(value, np.float64)))
        sent.append((sim.time_ns, pilot.command(sim.time_ns)))
        sim.command(sent[-1][1])
    found = [i for i, _ in cut(frames, imu, round(checkpoint.spec.first_interval * 1e9))]
    ends = [interval.stamp_ns for interval in found]
    eye = Renderer(world, sim.geometry, samples=1)
    hinter = Hinter(world, sim.geometry.horizontal_fov)
    masks, hints, distance, bearings = [], [], [], []
    for interval in found:
        at, turned, yaw = poses[interval.stamp_ns]
        at_s = (interval.stamp_ns - START_NS) * 1e-9
        dx, dy = np.array(world.target_at(at_s)[:2]) - at[:2]
        bearings.append(float(np.remainder(np.arctan2(dy, dx) - yaw + np.pi, 2 * np.pi) - np.pi))
        distance.append(float(np.hypot(dx, dy)) - world.target.size[0])
        hints.append(hinter(at[0], at[1], at[2], yaw, at_s))
        if interval.camera:
            masks.append(eye.target_mask(at, turned, at_s))
    instants = np.array([at for at, _ in sent])
    # Before an interval without any command, of which there may be one at the start: zero.
    last = np.searchsorted(instants, [*ends[1:], sim.time_ns + 1])
    commands = np.stack([np.zeros(4), *(command for _, command in sent)])[last]
    return RecordedFlight(
        seed,
        sim.outcome.value,
        np.array(ends, np.int64),
        np.array([interval.camera for interval in found]),
        np.stack([interval.summary for interval in found]),
        commands,
        np.stack(hints).reshape(-1, HINTS),
        np.array(distance),
        np.array(bearings),
        np.stack(frames.values),
        np.stack(masks),
    )
