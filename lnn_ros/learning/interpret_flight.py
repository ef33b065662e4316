"""A flight with everything that interpretation needs: what the network saw, and what was true."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnn_ros.learning.hints import COLUMNS, HINTS, Hinter
from lnn_ros.liquid.checkpoint import Checkpoint
from lnn_ros.pilot import Pilot
from lnn_ros.simulation.camera import Renderer
from lnn_ros.simulation.forest import make_world
from lnn_ros.simulation.physics import STEP_NS
from lnn_ros.simulation.simulator import CONTROL_PERIOD_NS, START_NS, Outcome, Simulator
from lnn_ros.simulation.task import Task
from lnn_ros.timeline.intervals import Intervals

_KEPT = 400  # physics steps back in which a frame's pose is looked up: one second


@dataclass(frozen=True)
class RecordedFlight:
    """K frames of a flight, in their order.

    Attributes
    ----------
    seed : int
        Of the world.
    outcome : str
        How it ended.
    stamps_ns : ndarray of int64, shape (K,)
    frames : ndarray of uint8, shape (K, H, W, 3)
    summaries : ndarray of float32, shape (K, 9)
        ``liquid.spec.SUMMARY`` of the interval that each frame closes.
    commands : ndarray of float64, shape (K, 4)
        What the policy had commanded last when the next frame arrived, m/s and rad/s.
    masks : ndarray of bool, shape (K, H, W)
        Where the target is in the frame, by the simulator.
    hints : ndarray of float32, shape (K, HINTS)
        What the truth says about the frame (``learning.hints``).
    distance : ndarray of float64, shape (K,)
        Horizontal, to the target's surface, metres.
    bearing : ndarray of float64, shape (K,)
        Of the target, to the left of the heading, rad.
    """

    seed: int
    outcome: str
    stamps_ns: NDArray[np.int64]
    frames: NDArray[np.uint8]
    summaries: NDArray[np.float32]
    commands: NDArray[np.float64]
    masks: NDArray[np.bool_]
    hints: NDArray[np.float32]
    distance: NDArray[np.float64]
    bearing: NDArray[np.float64]

    @property
    def seconds(self) -> NDArray[np.float64]:
        """Time of each frame since the start of the flight, s."""
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


def record_flight(checkpoint: Checkpoint, seed: int, task_name: str) -> RecordedFlight:
    """Fly a world with a policy, as ``lnn_ros evaluate`` does, and keep what happened.

    Parameters
    ----------
    checkpoint : Checkpoint
        The policy.
    seed : int
        Of the world.
    task_name : str
        As in ``config/tasks``.
    """
    task = Task.load(task_name)
    world = make_world(seed, task)
    sim = Simulator(world, task=task)
    pilot = Pilot(checkpoint)
    intervals = Intervals(pilot.frame_shape, checkpoint.spec.first_interval)
    eye = Renderer(world, sim.geometry, samples=1)
    hinter = Hinter(world, sim.geometry.horizontal_fov)
    target = np.array(world.target.position[:2])
    poses: deque[tuple[int, NDArray[np.float64], NDArray[np.float64], float]] = deque(maxlen=_KEPT)
    rows: list[tuple[int, NDArray[np.uint8], NDArray[np.float32]]] = []
    truths: list[tuple[NDArray[np.bool_], NDArray[np.float32], float, float]] = []
    commands: list[NDArray[np.float64]] = []
    tick, command = 0, np.zeros(4)
    while sim.outcome is Outcome.FLYING:
        tick += 1
        arrived = []
        # One physics step at a time: a frame is taken from a pose at the start of a step.
        while sim.time_ns + STEP_NS <= START_NS + tick * CONTROL_PERIOD_NS:
            truth = sim.truth
            poses.append((truth.stamp_ns, truth.position.copy(), truth.rotation.copy(), truth.yaw))
            arrived += sim.advance(sim.time_ns + STEP_NS)
        for delivery in arrived:
            pilot.observe(delivery.stream, delivery.stamp_ns, delivery.value)
            _, interval = intervals.observe(delivery.stream, delivery.stamp_ns, delivery.value)
            if interval is None:
                continue
            if rows:
                commands.append(command)
            rows.append((interval.stamp_ns, interval.frame, interval.summary))
            _, at, turned, yaw = next(p for p in poses if p[0] == interval.stamp_ns)
            dx, dy = target - at[:2]
            bearing = float(np.remainder(np.arctan2(dy, dx) - yaw + np.pi, 2 * np.pi) - np.pi)
            away = float(np.hypot(dx, dy)) - world.target.size[0]
            truths.append(
                (eye.target_mask(at, turned), hinter(at[0], at[1], at[2], yaw), away, bearing)
            )
        command = pilot.command(sim.time_ns)
        sim.command(command)
    commands.append(command)
    stamps, frames, summaries = zip(*rows, strict=True)
    masks, hints, distance, bearings = zip(*truths, strict=True)
    return RecordedFlight(
        seed,
        sim.outcome.value,
        np.array(stamps, np.int64),
        np.stack(frames),
        np.stack(summaries),
        np.stack(commands),
        np.stack(masks),
        np.stack(hints).reshape(-1, HINTS),
        np.array(distance),
        np.array(bearings),
    )
