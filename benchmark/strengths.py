"""Which strength of each shift costs a policy without memory about half of its flights.

    python benchmark/strengths.py --policy FILE [--seeds A:B] [--json FILE] [--shifts NAME ...]

For every family of ``lnn_ros.simulation.shifts`` the strength is sought, by bisection of its
logarithm between two that are hardly felt and hopeless, at which a policy arrives in 40 to 70 % of
worlds. What was found stands as the standard strength in ``config/tasks``, before policies are
trained that are measured by it. The worlds are validation worlds: reported ones must not choose
anything.

A rerun goes on from ``--json``. ``strength`` is that of the search whose rate is the nearest to the
middle of the range; ``without_effect`` says that even the greatest cost less than 5 points.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lnn_ros.learning.executors import Processes
from lnn_ros.learning.jobs import provenance, seed_range
from lnn_ros.learning.results import write
from lnn_ros.learning.trials import Trial, summarise, try_once
from lnn_ros.simulation.conditions import NOMINAL
from lnn_ros.simulation.shifts import KINDS

RANGE = (0.4, 0.7)
COSTS = 0.05
STEPS = 5
BOUNDS = {
    "noise": (0.02, 1.0), "blur": (0.4, 10.0), "dusk": (0.3, 0.99), "flicker": (0.1, 2.0),
    "glare": (0.2, 1.0), "autumn": (0.1, 1.0), "winter": (0.1, 1.0), "fog": (0.03, 1.0),
    "dirt": (0.05, 0.8), "tilt": (3.0, 50.0), "field_of_view": (95.0, 160.0),
    "wind": (0.7, 6.0), "gusts": (0.4, 5.0), "imu_bias": (0.005, 2.0), "drift": (0.1, 4.0),
    "distractors": (5.0, 150.0), "clutter": (1.1, 4.0), "stones": (1.0, 1.0), "range": (2.0, 2.0),
    "behind": (150.0, 150.0), "renderer": (1.0, 1.0),
}  # fmt: skip
"""Strengths that are hardly felt, and hopeless, or the greatest that the family means. Where both
are the same, nothing is sought: what such a family costs is told."""


def flown(policy: str, task: str, shift: str, seeds: range, workers: int) -> dict[str, Any]:
    """Return outcomes under a shift."""
    trials = [Trial(seed, policy, policy, task, shift) for seed in seeds]
    found = summarise(list(Processes(workers).run(try_once, trials)))
    return {key: found[key] for key in ("flights", "arrived", "contact", "timeout", "rate")}


def search(name: str, nominal: float, fly: Any) -> dict[str, Any]:
    """Return what was flown of a family, by strength, and the strength that is chosen."""
    low, high = BOUNDS[name]
    middle = sum(RANGE) / 2
    tried: dict[str, dict[str, Any]] = {}

    def rate(strength: float) -> float:
        text = f"{strength:.3g}"
        tried[text] = fly(f"{name}:{text}")
        sys.stderr.write(f"{name}:{text}: {tried[text]['rate']:.2f}\n")
        return float(tried[text]["rate"])

    most = rate(high)
    if most < RANGE[0] and low < high:
        for _ in range(STEPS):
            at = math.sqrt(low * high)
            here = rate(at)
            if RANGE[0] <= here <= RANGE[1] and abs(here - middle) < 0.1:
                break
            low, high = (at, high) if here > middle else (low, at)
    best = min(tried, key=lambda text: abs(tried[text]["rate"] - middle))
    return {
        "strength": float(best), "rate": tried[best]["rate"],
        "in_range": RANGE[0] <= tried[best]["rate"] <= RANGE[1],
        "without_effect": nominal - min(one["rate"] for one in tried.values()) < COSTS,
        "tried": tried,
    }  # fmt: skip


def table(data: dict[str, Any]) -> str:
    """Return the strengths in Markdown."""
    lines = [f"nominal: {data['nominal']['arrived']} of {data['nominal']['flights']}", "",
             "| Shift | Arrived | In 40 to 70 % |", "|---|---|---|"]  # fmt: skip
    for name, one in data["shifts"].items():
        said = "no effect" if one["without_effect"] else "yes" if one["in_range"] else "no"
        lines.append(f"| {name}:{one['strength']:g} | {100 * one['rate']:.0f} % | {said} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Search and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policy", required=True, help="checkpoint of a policy without memory")
    parser.add_argument("--task", default="fly_to_target")
    parser.add_argument("--seeds", type=seed_range, default=range(100_000, 100_040), metavar="A:B")
    parser.add_argument("--shifts", nargs="*", choices=list(KINDS), help="default: all")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, help="keeps the results; a rerun goes on from it")
    args = parser.parse_args()

    def fly(shift: str) -> dict[str, Any]:
        return flown(args.policy, args.task, shift, args.seeds, args.workers)

    data: dict[str, Any] = {"shifts": {}}
    if args.json and args.json.exists():
        data = json.loads(args.json.read_text(encoding="utf-8"))
    settings = {"policy": args.policy, "task": args.task,
                "seeds": [args.seeds.start, args.seeds.stop]}  # fmt: skip
    if data.get("settings", settings) != settings:
        sys.stderr.write(f"{args.json} holds results of {data['settings']}, expected {settings}\n")
        return 2
    data = {**provenance(" ".join(["python", "benchmark/strengths.py", *sys.argv[1:]])),
            "settings": settings, "nominal": data.get("nominal") or fly(NOMINAL),
            "shifts": data["shifts"]}  # fmt: skip
    for name in args.shifts or KINDS:
        if name not in data["shifts"]:
            data["shifts"][name] = search(name, data["nominal"]["rate"], fly)
            if args.json:
                write(args.json, data)
    print(table(data), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
