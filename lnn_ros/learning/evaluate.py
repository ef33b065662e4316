"""Fly a policy, and beside it the controls, through the same worlds, and count the outcomes."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.learning import executors
from lnn_ros.learning.executors import Executor
from lnn_ros.learning.jobs import Progress, provenance, seed_range
from lnn_ros.learning.statistics import bootstrap_difference
from lnn_ros.learning.suite import (
    FEEDFORWARD,
    POLICY,
    SUITES,
    columns,
    fly_suite,
    named_peers,
    rows_of,
)
from lnn_ros.learning.suite_report import plot, tables
from lnn_ros.learning.trials import CONTROLS, WITHOUT_POLICY, Trial, summarise, try_once
from lnn_ros.liquid.checkpoint import load, save
from lnn_ros.simulation.conditions import CONDITIONS, NOMINAL, shifted
from lnn_ros.simulation.seeds import final_worlds
from lnn_ros.simulation.shifts import KINDS
from lnn_ros.simulation.task import Task

DEFAULT = range(100_000, 100_050)
FINAL = 1000
"""Worlds of a suite."""


def evaluate(
    rows: dict[str, tuple[str, str]],
    seeds: range,
    executor: Executor,
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
    for done, flight in enumerate(executor.run(try_once, trials), 1):
        flights.append(flight)
        so_far = Counter(f["outcome"] for f in flights)
        progress.show(done, ", ".join(f"{k} {v}" for k, v in sorted(so_far.items())))
        if len(flights) == len(seeds):
            table[next(names)] = {**summarise(flights), "worlds": flights}
            flights = []
    name, first = next(iter(table.items()))
    for row in table.values():
        if row is not first and name == POLICY and len(seeds) > 1:
            ours, theirs = ([w["outcome"] == "arrived" for w in r["worlds"]] for r in (first, row))
            row["policy_minus_this"] = bootstrap_difference(ours, theirs)
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
    parser.add_argument("--policy", type=Path, help="checkpoint; by default the one that ships "
                        "for the task; without one, only controls can fly")
    parser.add_argument(
        "--seeds", type=seed_range, metavar="FIRST:END",
        help="worlds to fly in, the last one excluded (default: 100000:100050; of a suite: the "
        f"policy's own {FINAL}, of those that are reported, which follow from its weights)",
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
        "--suite", choices=SUITES,
        help="fly all of these shifts, in place of --shift; --json FILE keeps what is flown, and "
        "the same command goes on from it; tables and a plot are written beside it",
    )  # fmt: skip
    parser.add_argument(
        "--rows", metavar="NAME[:STRENGTH],...", help="of a suite: fly these rows of it, or others"
    )
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=FILE",
        help="of a suite: another checkpoint as a column",
    )  # fmt: skip
    parser.add_argument(
        "--show", action="store_true",
        help="of a suite: fly nothing, print and write tables and plot of what --json holds",
    )  # fmt: skip
    parser.add_argument(
        "--controls", nargs="*", choices=CONTROLS, help="fly these controls, too; all if none named"
    )
    parser.add_argument("--feedforward", type=Path, help="checkpoint of the control without memory")
    executors.add_arguments(parser.add_argument)
    parser.add_argument(
        "--card", action="store_true", help="note the result on the policy's card, in its file"
    )
    parser.add_argument("--json", type=Path, help="write table and single flights here")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    if args.suite:
        return _run_suite(args)
    if args.rows or args.peer or args.show:
        raise LnnError("--rows, --peer or --show found, expected them with --suite only")
    shifted(args.shift, task=Task.load(args.task))  # before anything is flown
    seeds = args.seeds or DEFAULT
    if args.card and args.shift != NOMINAL:
        raise LnnError(
            f"--card with --shift {args.shift} found, expected {NOMINAL}: the card "
            "states what the policy does under nominal conditions"
        )
    rows: dict[str, tuple[str, str]] = {}
    policy, checkpoint = "", None
    if args.policy or not _alone(args):
        policy = str(args.policy or policies.path(args.task))
        checkpoint = load(policy)
        rows[POLICY] = (policy, policy)
    if args.feedforward:
        file = _without_memory(args.feedforward)
        rows[FEEDFORWARD] = (file, file)
    if args.controls is not None:
        usual = CONTROLS if policy else WITHOUT_POLICY
        rows.update({name: (name, policy) for name in args.controls or usual})
    table = evaluate(rows, seeds, executors.of(args), args.task, args.shift)
    print(format_table(table))
    result = {
        **provenance(" ".join(["lnn_ros", *sys.argv[1:]])),
        **({"weights_sha256": checkpoint.weights_digest()} if checkpoint else {}),
        "seeds": [seeds.start, seeds.stop],
        "shift": args.shift,
        "rows": table,
    }
    if args.card and checkpoint:
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


def _alone(args: argparse.Namespace) -> bool:
    """Whether controls fly without a policy: none is named, none ships, and nothing needs one."""
    needs = args.controls is None or args.card or not set(args.controls) <= set(WITHOUT_POLICY)
    return not needs and not policies.ships(args.task)


def _without_memory(path: Path) -> str:
    """Return the path of a policy that has no memory, checked."""
    if load(path).spec.core.kind != "feedforward":
        raise LnnError(f"{path}: has a memory, expected a feed-forward policy")
    return str(path)


def _run_suite(args: argparse.Namespace) -> int:
    """Fly a suite, or what is left of it; write tables and plot; print the tables."""
    if args.shift != NOMINAL or args.card:
        raise LnnError("--shift or --card with --suite found, expected one or the other")
    if args.show:
        if not args.json or not args.json.is_file():
            raise LnnError(f"--show: --json {args.json} found, expected a file of a suite")
        return _tell(json.loads(args.json.read_text(encoding="utf-8")), args.json)
    policy = str(args.policy or policies.path(args.task))
    peers = named_peers(args.peer)
    if args.feedforward and FEEDFORWARD in peers:
        raise LnnError(f"--peer {FEEDFORWARD}= found beside --feedforward, expected one of them")
    if args.feedforward:
        peers = {FEEDFORWARD: _without_memory(args.feedforward), **peers}
    controls = CONTROLS if args.controls == [] else args.controls or ()
    agents = columns(policy, peers, controls)
    rows = tuple(args.rows.split(",")) if args.rows else rows_of(args.suite, Task.load(args.task))
    seeds = args.seeds or final_worlds(agents[POLICY].weights, FINAL)
    return _tell(fly_suite(rows, agents, seeds, args.task, executors.of(args), args.json),
                 args.json)


def _tell(result: dict[str, Any], file: Path | None) -> int:
    """Print the tables of a suite; beside its file, write them and the plot."""
    print(tables(result))
    if file:
        file.with_suffix(".md").write_text(tables(result) + "\n", encoding="utf-8")
        plot(result, file.with_suffix(".png"))
    return 0
