# ruff: noqa: E402 - threads must be limited before numpy is imported
"""How several drones fly in one world, each with the policy of its own, towards the same target.

    python benchmark/fleet.py [--drones 2] [--seeds 200000:200050] [--policy FILE] [--json FILE]
        [--picture FILE]

Each drone is flown by a pilot that has only its own camera and inertial data, as the nodes fly it:
the other one is a thing in its picture that no training has shown. They start as far from the
target as the task says, on sides of it that are 60 degrees apart or more (``simulation/fleet.py``).
Counted per drone: arrived, touched something, ran out of time; and how often the drones touched
each other. Beside it the same first drone in the same worlds alone (paired): what the company
costs. ``--picture`` draws the first world from above, and the nearest that each one has another one
in its picture.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sequences.campaign import limit_threads

limit_threads()

import numpy as np
from numpy.typing import NDArray

from lnn_ros import policies
from lnn_ros.learning.jobs import provenance, seed_range
from lnn_ros.learning.rollout import fly
from lnn_ros.learning.statistics import bootstrap_difference, wilson
from lnn_ros.liquid.checkpoint import load
from lnn_ros.pilot import Pilot
from lnn_ros.simulation.fleet import Fleet
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.simulator import CONTROL_PERIOD_NS, Outcome, Simulator
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

_VIEW = 0.7  # slope: half of what the camera sees is 1.0 across and 0.75 high

Flights = dict[str, Any]


def flights(seed: int, count: int, policy: Path, task: Task) -> Flights:
    """Fly all drones of one world to the end of each, and the first of them alone."""
    checkpoint, world = load(policy), make_world(seed, task)
    fleet = Fleet(world, count, task=task)
    pilots = [Pilot(checkpoint) for _ in range(count)]
    ways: list[list[NDArray[np.float64]]] = [[] for _ in range(count)]
    views: list[tuple[float, NDArray[np.uint8] | None]] = [(math.inf, None)] * count
    met, nearest = False, math.inf
    tick = 0
    while any(s.outcome is Outcome.FLYING for s in fleet.simulators):
        tick += 1
        flying = [s.outcome is Outcome.FLYING for s in fleet.simulators]
        for k, arrived in enumerate(fleet.advance(START_NS + tick * CONTROL_PERIOD_NS)):
            simulator = fleet.simulators[k]
            for sample in arrived:
                pilots[k].observe(sample.stream, sample.stamp_ns, sample.value, simulator.time_ns)
                if sample.stream == "camera":
                    ahead = min((_ahead(simulator, other) for other in fleet.simulators
                                 if other is not simulator), default=math.inf)
                    views[k] = min(views[k], (ahead, sample.value), key=lambda view: view[0])
            # Who has arrived, or hit something, hovers: it is still there to be hit.
            simulator.command(pilots[k].command(simulator.time_ns) if flying[k] else np.zeros(4))
            ways[k].append(simulator.position)
        gap = min((math.dist(ways[i][-1], ways[k][-1])
                   for i in range(count) for k in range(i)), default=math.inf)
        nearest = min(nearest, gap)
        ended = [f and s.outcome is Outcome.CONTACT
                 for f, s in zip(flying, fleet.simulators, strict=True)]
        met = met or (any(ended) and gap < 3.0 * task.vehicle.radius)
    alone = fly(Simulator(world, task=task), Pilot(checkpoint))
    return {"outcomes": [s.outcome.value for s in fleet.simulators], "alone": alone.outcome.value,
            "nearest_m": round(nearest, 3), "met": met,
            "picture": (world, [np.array(way) for way in ways], [view for _, view in views])}


def _ahead(simulator: Simulator, other: Simulator) -> float:
    """Return how far another drone is, m; infinite outside of the middle of the picture."""
    truth = simulator.truth
    x, y, z = truth.rotation.T @ (other.position - truth.position)
    return math.hypot(x, y, z) if x > 0.0 and max(abs(y), abs(z)) < _VIEW * x else math.inf


def draw(found: Flights, path: Path) -> None:
    """Draw one world's flights."""
    from lnn_ros.learning.figures import draw_fleet

    world, ways, seen = found["picture"]
    draw_fleet(world, ways, seen, path)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drones", type=int, default=2)
    parser.add_argument("--seeds", type=seed_range, default=range(200_000, 200_050), metavar="A:B")
    parser.add_argument("--policy", default="fly_to_target")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the first world here")
    args = parser.parse_args()
    task, policy = Task.load("fly_to_target"), policies.find(args.policy)
    rows: dict[int, Flights] = {}
    for seed in args.seeds:
        found = flights(seed, args.drones, policy, task)
        if args.picture and not rows:
            draw(found, args.picture)
        del found["picture"]
        rows[seed] = found
        print(f"{seed}: {', '.join(found['outcomes'])}; alone {found['alone']}; nearest "
              f"{found['nearest_m']:.2f} m", file=sys.stderr)
    outcomes = [o for row in rows.values() for o in row["outcomes"]]
    arrived = outcomes.count("arrived")
    low, high = wilson(arrived, len(outcomes))
    first = [row["outcomes"][0] == "arrived" for row in rows.values()]
    alone = [row["alone"] == "arrived" for row in rows.values()]
    cost = bootstrap_difference(alone, first) if len(rows) > 1 else None
    summary = {
        "arrived": arrived, "of": len(outcomes), "interval": [low, high],
        "contact": outcomes.count("contact"), "timeout": outcomes.count("timeout"),
        "met": sum(row["met"] for row in rows.values()),
        "nearest_m": min(row["nearest_m"] for row in rows.values()),
        "first_arrived": sum(first), "alone_arrived": sum(alone), "cost": cost and list(cost)}
    print(f"{args.drones} drones in each of {len(rows)} worlds: {arrived} of {len(outcomes)} "
          f"arrived ({100 * low:.1f} to {100 * high:.1f} %), {summary['contact']} touched "
          f"something, in {summary['met']} worlds each other; the first of them arrived in "
          f"{sum(first)} worlds, alone in {sum(alone)}")
    if args.json:
        args.json.write_text(json.dumps({
            **provenance(" ".join(["python", "benchmark/fleet.py", *sys.argv[1:]])),
            "summary": summary, "worlds": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
