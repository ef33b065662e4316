"""One flight of one agent in one world, of its own making, and what many of them come to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from lnn_ros import parameter_files
from lnn_ros.guard.chain import Guard
from lnn_ros.guard.limits import Limits
from lnn_ros.guard.parameters import OFFLINE, of_groups
from lnn_ros.learning.controls import ColorServo, Held, StraightAhead, Without
from lnn_ros.learning.rollout import Agent, ExpertAgent, TeacherAgent, fly
from lnn_ros.learning.statistics import wilson
from lnn_ros.liquid.checkpoint import load
from lnn_ros.pilot import Pilot, ceilings
from lnn_ros.resources import share_path
from lnn_ros.simulation.conditions import NOMINAL, shifted
from lnn_ros.simulation.simulator import (
    CONTROL_PERIOD_NS,
    Outcome,
    Simulator,
    SimulatorOptions,
)
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world
from lnn_ros.timeline.intervals import NS

CONTROLS = ("expert", "teacher", "black_image", "imu_zeroed", "straight_ahead", "color_servo",
            "guarded", "held")  # fmt: skip
WITHOUT_POLICY = ("expert", "teacher", "straight_ahead", "color_servo")
"""Those that need none, and can fly a task for which none ships."""


@dataclass(frozen=True)
class Trial:
    """One flight.

    ``agent`` is a checkpoint's path or, for a control, its name; ``policy`` is the checkpoint
    that a control flies with; ``shift`` is a text as ``conditions.shifted`` reads it.
    """

    seed: int
    agent: str
    policy: str
    task: str
    shift: str = NOMINAL


@lru_cache(maxsize=4)
def _policy(path: str) -> tuple[Pilot, Limits]:
    head = load(path).spec.head
    return Pilot.load(path), Limits(head.low, head.high)


def _guarded(path: str, vehicle: str) -> Pilot:
    """Return a pilot whose commands are limited as those of a vehicle that is launched.

    All others fly without limits of change, as the policy wants.
    """
    blocks = parameter_files.load(share_path(parameter_files.shipped(vehicle)))
    parameters = replace(of_groups(blocks["/**"]["ros__parameters"]), modes=OFFLINE.modes)
    checkpoint = load(path)
    guard = Guard(ceilings(checkpoint), parameters, CONTROL_PERIOD_NS * NS)
    guard.engage_when_ready("evaluated")
    return Pilot(checkpoint, guard=guard)


_task = lru_cache(maxsize=4)(Task.load)


def _agent(trial: Trial, sim: Simulator) -> Agent:
    if trial.agent == "expert":
        return ExpertAgent(sim)
    if trial.agent == "teacher":
        return TeacherAgent(sim)
    if trial.agent == "straight_ahead":
        return StraightAhead()
    if trial.agent == "color_servo":
        return ColorServo()
    if trial.agent == "guarded":
        return _guarded(trial.policy, sim.task.vehicle.kind)
    pilot, limits = _policy(trial.policy)
    pilot.reset()
    if trial.agent == "held":
        return Held(pilot, limits)
    if trial.agent == "black_image":
        return Without(pilot, "camera")
    return Without(pilot, "imu") if trial.agent == "imu_zeroed" else pilot


def try_once(trial: Trial) -> dict[str, Any]:
    """Fly one trial."""
    task = _task(trial.task)
    options = shifted(trial.shift, SimulatorOptions(), task)
    # The expert looks at no picture; leaving them out changes nothing else.
    if trial.agent == "expert":
        options = replace(options, render=False)
    sim = Simulator(make_world(trial.seed, task, options.shifts), options, task=task)
    flight = fly(sim, _agent(trial, sim))
    begun = sim.interrupted_s
    return {
        "seed": trial.seed,
        "outcome": flight.outcome.value,
        "seconds": round(flight.seconds, 3),
        "distance": round(flight.distance, 3),
        "clearance": round(flight.clearance, 3),
        "path": round(flight.path, 2),
        **({} if sim.followed is None else {"followed": round(sim.followed, 3)}),
        **({} if begun is None else {"interrupted": round(begun, 3)}),
    }


def summarise(flights: list[dict[str, Any]]) -> dict[str, Any]:
    """Count outcomes; rate with its 95 % Wilson interval; mean time of arrivals."""
    counts = Counter(f["outcome"] for f in flights)
    arrived = counts[Outcome.ARRIVED.value]
    low, high = wilson(arrived, len(flights))
    times = [f["seconds"] for f in flights if f["outcome"] == Outcome.ARRIVED.value]
    return {
        "flights": len(flights),
        **{o.value: counts[o.value] for o in (Outcome.ARRIVED, Outcome.CONTACT, Outcome.TIMEOUT)},
        **({"off_road": off} if (off := counts[Outcome.OFF_ROAD.value]) else {}),
        "rate": arrived / len(flights),
        "interval": [low, high],
        "mean_seconds": sum(times) / len(times) if times else None,
    }
