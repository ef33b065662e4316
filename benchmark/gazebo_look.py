"""How the shipped policy flies in worlds that look as Gazebo is told: flat colours, no fog.

    python benchmark/gazebo_look.py [--seeds FIRST:END] [--json FILE]

Gazebo's worlds have the mean colour of each pattern instead of the pattern (the ground's, too). The
same worlds are flown as they are and with those colours, in the embedded simulator: what another
renderer does beside is not in it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lnn_ros import policies
from lnn_ros.learning.jobs import provenance, seed_range
from lnn_ros.learning.rollout import fly
from lnn_ros.learning.statistics import bootstrap_difference
from lnn_ros.learning.trials import summarise
from lnn_ros.pilot import Pilot
from lnn_ros.simulation.gazebo.elements import mean_color
from lnn_ros.simulation.simulator import Simulator
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.world import Material, Pattern, World
from lnn_ros.simulation.worlds import make_world

NO_FOG = 1e6  # metres


def flat(world: World) -> World:
    """Return a world in the colours that Gazebo is told."""
    def painted(material: Material) -> Material:
        color = mean_color(material)
        return Material(Pattern.PLAIN, color, color, material.scale)

    solids = tuple(replace(s, material=painted(s.material)) for s in world.solids)
    return replace(world, solids=solids, target=solids[0], ground=painted(world.ground),
                   light=replace(world.light, fog=NO_FOG))


def main() -> int:
    """Fly, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=seed_range, default=range(100_000, 100_020))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    task = Task.load("fly_to_target")
    pilot = Pilot.load(policies.path("fly_to_target"))
    rows: dict[str, list[dict[str, Any]]] = {"as_trained": [], "flat": []}
    for seed in args.seeds:
        world = make_world(seed, task)
        for name, seen in (("as_trained", world), ("flat", flat(world))):
            pilot.reset()
            flight = fly(Simulator(seen, task=task), pilot)
            rows[name].append({"seed": seed, "outcome": flight.outcome.value,
                               "seconds": round(flight.seconds, 3),
                               "distance": round(flight.distance, 3)})
            sys.stderr.write(f"{seed} {name}: {flight.outcome.value}\n")
    arrived = {name: [row["outcome"] == "arrived" for row in found] for name, found in rows.items()}
    result = {
        **provenance("python benchmark/gazebo_look.py "
                     f"--seeds {args.seeds.start}:{args.seeds.stop} --json {args.json}"),
        "rows": {name: summarise(found) for name, found in rows.items()},
        "flat_minus_as_trained": list(bootstrap_difference(arrived["flat"], arrived["as_trained"])),
        "flights": rows,
    }
    text = json.dumps(result, indent=1) + "\n"
    if args.json:
        args.json.write_text(text, encoding="utf-8")
    for name, row in result["rows"].items():
        low, high = row["interval"]
        sys.stdout.write(f"{name}: {row['arrived']} of {row['flights']} arrived "
                         f"({low:.0%} to {high:.0%}), {row['contact']} contacts\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
