"""Fly a policy, and beside it the controls, through the same worlds, and count the outcomes."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.guard.chain import Guard
from lnn_ros.guard.limits import Limits
from lnn_ros.guard.parameters import OFFLINE, of_groups
from lnn_ros.learning.controls import ColorServo, Held, StraightAhead, Without
from lnn_ros.learning.jobs import Progress, provenance, run_jobs, seed_range
from lnn_ros.learning.rollout import Agent, ExpertAgent, fly
from lnn_ros.learning.statistics import paired_difference, wilson
from lnn_ros.liquid.checkpoint import load, save
from lnn_ros.pilot import Pilot, ceilings
from lnn_ros.resources import share_path
from lnn_ros.simulation.conditions import CONDITIONS, NOMINAL, shifted
from lnn_ros.simulation.shifts import KINDS
from lnn_ros.simulation.simulator import (
    CONTROL_PERIOD_NS,
    Outcome,
    Simulator,
    SimulatorOptions,
)
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world
from lnn_ros.timeline.intervals import NS

CONTROLS = ("expert", "black_image", "imu_zeroed", "straight_ahead", "color_servo", "guarded")
GUARDED = "config/nodes/drone.yaml"
"""What is set on the guard of the row ``guarded``: the limits that a drone is launched with. The
other rows fly without limits of change, as the policy wants."""


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


def _guarded(path: str) -> Pilot:
    """Return a pilot whose commands are limited as a drone's are."""
    blocks = yaml.safe_load(share_path(GUARDED).read_text(encoding="utf-8"))
    parameters = replace(of_groups(blocks["/**"]["ros__parameters"]), modes=OFFLINE.modes)
    checkpoint = load(path)
    guard = Guard(ceilings(checkpoint), parameters, CONTROL_PERIOD_NS * NS)
    guard.engage_when_ready("evaluated")
    return Pilot(checkpoint, guard=guard)


_task = lru_cache(maxsize=4)(Task.load)


def _agent(trial: Trial, sim: Simulator) -> Agent:
    if trial.agent == "expert":
        return ExpertAgent(sim)
    if trial.agent == "straight_ahead":
        return StraightAhead()
    if trial.agent == "color_servo":
        return ColorServo()
    if trial.agent == "guarded":
        return _guarded(trial.policy)
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
    # The expert looks at no picture; leaving them out changes nothing else.
    options = shifted(trial.shift, SimulatorOptions(render=trial.agent != "expert"), task)
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


def evaluate(
    rows: dict[str, tuple[str, str]],
    seeds: range,
    workers: int,
    task: str,
    shift: str = NOMINAL,
) -> dict[str, dict[str, Any]]:
    """Fly every row through every world.

    Parameters
    ----------
    rows : dict
        Name of the row to (agent, policy) as in ``Trial``; the first row is what the others are
        compared with.
    seeds : range
        Worlds, the same for all rows.
    shift : str
        What is otherwise than nominal for all: see ``conditions.shifted``.
    """
    trials = [Trial(seed, *row, task, shift) for row in rows.values() for seed in seeds]
    progress = Progress("flights", len(trials))
    table: dict[str, dict[str, Any]] = {}
    flights: list[dict[str, Any]] = []
    names = iter(rows)
    for done, flight in enumerate(run_jobs(try_once, trials, workers), 1):
        flights.append(flight)
        so_far = Counter(f["outcome"] for f in flights)
        progress.show(done, ", ".join(f"{k} {v}" for k, v in sorted(so_far.items())))
        if len(flights) == len(seeds):
            table[next(names)] = {**summarise(flights), "worlds": flights}
            flights = []
    first = next(iter(table.values()))
    for row in table.values():
        if row is not first and len(seeds) > 1:
            hits = [[w["outcome"] == "arrived" for w in r["worlds"]] for r in (first, row)]
            row["policy_minus_this"] = paired_difference(*hits)
    return table


def format_table(table: dict[str, dict[str, Any]]) -> str:
    """Render the result as Markdown."""
    road = any("off_road" in row for row in table.values())
    lines = [
        f"| agent | arrived | 95 % | contact |{' off road |' if road else ''} timeout | mean s |",
        f"| --- | --- | --- | --- |{' --- |' if road else ''} --- | --- |",
    ]
    for name, row in table.items():
        low, high = row["interval"]
        seconds = "-" if row["mean_seconds"] is None else f"{row['mean_seconds']:.1f}"
        off = f" {row.get('off_road', 0)} |" if road else ""
        lines.append(
            f"| {name} | {row['arrived']}/{row['flights']} = {100 * row['rate']:.1f} % "
            f"| {100 * low:.1f} to {100 * high:.1f} | {row['contact']} |{off} {row['timeout']} "
            f"| {seconds} |"
        )
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--policy", type=Path, help="checkpoint; by default the one that ships")
    parser.add_argument(
        "--seeds", type=seed_range, default=range(100_000, 100_050), metavar="FIRST:END",
        help="worlds to fly in, the last one excluded (default: 100000:100050)",
    )  # fmt: skip
    parser.add_argument("--task", default="fly_to_target",
                        help="name of a task, or path of a task file (default: %(default)s)")
    parser.add_argument(
        "--shift", default=NOMINAL, metavar="NAME[:STRENGTH][,NAME...]",
        help="what is otherwise for all, one on top of the other: "
        f"{', '.join(name for name in CONDITIONS if name != NOMINAL)}; and, with a strength or the "
        f"task's standard one, {', '.join(KINDS)} (default: {NOMINAL})",
    )  # fmt: skip
    parser.add_argument(
        "--controls", nargs="*", choices=CONTROLS, help="fly these controls, too; all if none named"
    )
    parser.add_argument("--feedforward", type=Path, help="checkpoint of the control without memory")
    parser.add_argument("--workers", type=int, default=1, help="processes that fly")
    parser.add_argument(
        "--card", action="store_true", help="note the result on the policy's card, in its file"
    )
    parser.add_argument("--json", type=Path, help="write table and single flights here")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    shifted(args.shift, task=_task(args.task))  # before anything is flown
    if args.card and args.shift != NOMINAL:
        raise LnnError(
            f"--card with --shift {args.shift} found, expected {NOMINAL}: the card "
            "states what the policy does under nominal conditions"
        )
    policy = str(args.policy or policies.path(args.task))
    checkpoint = load(policy)
    rows = {"policy": (policy, policy)}
    if args.feedforward:
        if load(args.feedforward).spec.core.kind != "feedforward":
            raise LnnError(f"{args.feedforward}: has a memory, expected a feed-forward policy")
        rows["feedforward"] = (str(args.feedforward), str(args.feedforward))
    if args.controls is not None:
        rows.update({name: (name, policy) for name in args.controls or CONTROLS})
    table = evaluate(rows, args.seeds, args.workers, args.task, args.shift)
    print(format_table(table))
    result = {
        **provenance(" ".join(["lnn_ros", *sys.argv[1:]])),
        "weights_sha256": checkpoint.weights_digest(),
        "seeds": [args.seeds.start, args.seeds.stop],
        "shift": args.shift,
        "rows": table,
    }
    if args.card:
        short = {
            name: {key: value for key, value in row.items() if key != "worlds"}
            for name, row in table.items()
        }
        card = {**checkpoint.card, "evaluation": {**result, "rows": short}}
        save(policy, replace(checkpoint, card=card))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0
