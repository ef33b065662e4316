"""A policy's flight with a helping hand: by a rule the privileged expert takes over, as a person.

What comes of it is a recording as a robot makes one: labels are there only while somebody helped,
and nobody knows the hints.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lnn_ros.learning.architecture import virtual_camera
from lnn_ros.learning.demonstrate import Recorder
from lnn_ros.learning.flight_writer import ODOM, Note, write_flight
from lnn_ros.learning.flights import notes
from lnn_ros.learning.hints import Hinter
from lnn_ros.pilot import Pilot
from lnn_ros.simulation.conditions import NOMINAL, shifted
from lnn_ros.simulation.experts import make_expert
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.simulator import (
    CONTROL_PERIOD_NS,
    Outcome,
    Simulator,
    SimulatorOptions,
    Truth,
)
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.world import World, distance_to
from lnn_ros.simulation.worlds import make_world

_AHEAD = (0.25, 0.5, 0.75, 1.0)
"""Shares of the time to contact at which it is looked where the vehicle will be."""


@dataclass(frozen=True)
class HelpRule:
    """When somebody takes over, and for how long.

    Attributes
    ----------
    near_m : float
        When so little room is left about the vehicle.
    contact_s : float
        When it would touch something within this time, going on as it does.
    stuck_s, progress_m : float
        When for so long it has not come nearer to the target by so much.
    least_s, stuck_help_s : float
        So long at least; and where it was stuck.
    """

    near_m: float = 0.25
    contact_s: float = 1.0
    stuck_s: float = 6.0
    progress_m: float = 0.5
    least_s: float = 1.5
    stuck_help_s: float = 4.0


@dataclass(frozen=True)
class Helped:
    """What to fly.

    Attributes
    ----------
    seed : int
        Of the world, and of everything random in the flight.
    bag : str
        Folder that becomes the bag.
    policy : str
        Checkpoint that flies.
    task : str
        Name of the task.
    shift : str
        As ``lnn_ros evaluate --shift`` takes it.
    rule : HelpRule
    """

    seed: int
    bag: str
    policy: str
    task: str = "fly_to_target"
    shift: str = NOMINAL
    rule: HelpRule = HelpRule()


class Hand:
    """Decides when somebody helps.

    Parameters
    ----------
    rule : HelpRule
    world : World
    horizontal_fov : float
        Of the camera, rad.
    radius : float
        Of the vehicle, m.
    """

    def __init__(self, rule: HelpRule, world: World, horizontal_fov: float, radius: float) -> None:
        self._rule, self._radius = rule, radius
        self._hinter, self._target = Hinter(world, horizontal_fov), world.target
        self._until_ns = 0
        self._nearest, self._nearest_ns = float("inf"), 0
        self.takeovers, self.helped_ns = 0, 0

    def helps(self, truth: Truth, distance: float) -> bool:
        """Decide, at every tick of the control.

        Parameters
        ----------
        truth : Truth
            Where the vehicle is.
        distance : float
            To the target, m.
        """
        rule, now = self._rule, truth.stamp_ns
        if distance < self._nearest - rule.progress_m or not self._nearest_ns:
            self._nearest, self._nearest_ns = distance, now
        stuck = now - self._nearest_ns > rule.stuck_s * 1e9 and distance > rule.progress_m
        danger = self._in_danger(truth)
        flying = now >= self._until_ns
        if danger or stuck:
            self.takeovers += flying
            self._until_ns = now + round((rule.stuck_help_s if stuck else rule.least_s) * 1e9)
            if stuck:
                self._nearest, self._nearest_ns = distance, now
        helps = now < self._until_ns
        self.helped_ns += helps * CONTROL_PERIOD_NS
        return helps

    def _in_danger(self, truth: Truth) -> bool:
        room = self._room(truth.position)
        if room < self._rule.near_m:
            return True
        return any(self._room(truth.position + truth.velocity * self._rule.contact_s * share) < 0.0
                   for share in _AHEAD)

    def _room(self, place: Any) -> float:
        x, y, z = place.tolist()
        room = self._hinter.room(x, y, z, self._radius)  # which knows no target
        return min(room, distance_to(self._target, (x, y, z)) - self._radius)


@lru_cache(maxsize=1)
def _pilot(path: str, changed_ns: int) -> Pilot:
    return Pilot.load(path)


def fly_helped(what: Helped) -> dict[str, Any]:
    """Fly and write one flight, unless its bag is there already; return what came of it.

    Returns
    -------
    dict
        ``seed``, ``outcome``, ``takeovers`` and ``helped_s``.
    """
    bag = Path(what.bag)
    if bag.exists():
        return dict(json.loads(notes(bag)["help"]))
    task = Task.load(what.task)
    options = shifted(what.shift, SimulatorOptions(), task)
    world = make_world(what.seed, task, options.shifts)
    sim = Simulator(world, options, task=task)
    pilot = _pilot(what.policy, Path(what.policy).stat().st_mtime_ns)
    pilot.reset()
    expert, recorder = make_expert(world, sim.task), Recorder()
    hand = Hand(what.rule, world, sim.geometry.horizontal_fov, task.vehicle.radius)
    tick = 0
    while sim.outcome is Outcome.FLYING:
        tick += 1
        for delivery in sim.advance(START_NS + tick * CONTROL_PERIOD_NS):
            recorder.observe(delivery)
            pilot.observe(delivery.stream, delivery.stamp_ns, delivery.value, sim.time_ns)
        now, truth = sim.time_ns, sim.truth
        wish, asked = expert.command(truth), pilot.command(now)
        recorder.heard.append(Note(now, ODOM, now, np.concatenate([
            truth.position, truth.rotation.ravel(), sim.estimate, truth.angular_velocity])))
        helps = hand.helps(truth, float(sim.distance))
        if helps:
            recorder.wish(now, wish)
        flown = wish if helps else asked
        recorder.fly(now, flown)
        sim.command(flown)
    found = {"seed": what.seed, "outcome": sim.outcome.value, "takeovers": int(hand.takeovers),
             "helped_s": round(hand.helped_ns * 1e-9, 2)}
    write_flight(bag, recorder.heard, virtual_camera(task), {
        "outcome": sim.outcome.value, "help": json.dumps(found),
        "shifts": json.dumps([str(shift) for shift in options.shifts]),
        "policy": str(pilot.card["weights_sha256"]), "rule": json.dumps(asdict(what.rule))})
    return found
