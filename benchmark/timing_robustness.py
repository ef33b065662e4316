# ruff: noqa: E402 - threads must be limited before numpy is imported
"""Arrivals of a policy under every condition of timing, and of what stands beside it.

    python benchmark/timing_robustness.py [--policy FILE] [--peer NAME=FILE ...] [--json FILE]

The rows are the conditions of ``lnn_ros.simulation.conditions``, the columns agents: the policy;
``held``, the same weights whose command is held from one update of the state to the next; peers,
which are other checkpoints; on request the privileged expert, which bounds what can be flown. All
fly through the same worlds with the same noise and wind, so that differences are paired by world:
to the nominal row of the same column, and to the policy's column in the same row.

Worlds are flown in runs of a few, all rows and columns of these worlds before the next. So what
has been flown at any time is a whole table over fewer worlds. ``--json`` keeps it after every run,
and the same command goes on from there; ``--show`` prints its tables meanwhile. The file holds
every flight: of a run's worlds, in order, the outcomes (first letters), seconds, distances to the
target (m) and lengths of the way (m); for an interruption, the seconds at which it began, "-" where
it did not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sequences.campaign import Job, campaign, limit_threads, stored

limit_threads()

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.learning.evaluate import Trial, summarise, try_once
from lnn_ros.learning.jobs import seed_range
from lnn_ros.learning.statistics import paired_difference
from lnn_ros.liquid.checkpoint import load
from lnn_ros.simulation.conditions import CONDITIONS, NOMINAL, condition
from lnn_ros.simulation.seeds import REPORTED
from lnn_ros.simulation.simulator import Outcome

WORLDS_PER_RUN = 20
POLICY, CONTROLS = "policy", ("held", "expert")
GOAL = 0.03
"""How far below nominal a row may lie: the goal of the policy."""
MEMORY = 0.15
"""A row needs memory if a policy without one loses at least this there."""
_OUTCOMES = {outcome.value[0]: outcome.value for outcome in Outcome}


@dataclass(frozen=True)
class Column:
    """An agent: what ``Trial`` calls ``agent`` and ``policy``, and the digest of its weights."""

    agent: str
    policy: str
    weights: str


def columns(policy: Path, peers: list[str], controls: list[str]) -> dict[str, Column]:
    """Return the agents by name, the policy first.

    Raises
    ------
    LnnError
        When a peer is not NAME=FILE, a name comes twice, or a file is no policy.
    """
    digest = load(policy).weights_digest()
    found = {POLICY: Column(str(policy), str(policy), digest)}
    for name in controls:
        # The expert flies without weights.
        found[name] = Column(name, str(policy), digest if name == "held" else "none")
    for peer in peers:
        name, _, file = peer.partition("=")
        if not name or not file or "/" in name or name in (*found, *CONTROLS):
            raise LnnError(f"--peer {peer!r} found, expected NAME=FILE with a name of its own")
        found[name] = Column(file, file, load(file).weights_digest())
    return found


def work(agents: Mapping[str, Column], job: Job) -> dict[str, Any]:
    """Fly one agent under one condition through the worlds of one run."""
    timing, name = job.row.split("/")
    column = agents[name]
    stop = min(job.seed + job.settings["worlds_per_run"], job.settings["seeds"][1])
    started = time.process_time()
    flights = [
        try_once(Trial(seed, column.agent, column.policy, job.settings["task"], timing))
        for seed in range(job.seed, stop)
    ]
    run = {
        "weights": column.weights,
        "outcomes": "".join(f["outcome"][0] for f in flights),
        "seconds": " ".join(f"{f['seconds']:.2f}" for f in flights),
        "distances": " ".join(f"{f['distance']:.2f}" for f in flights),
        "paths": " ".join(f"{f['path']:.1f}" for f in flights),
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    if any("interrupted" in f for f in flights):
        begun = (f.get("interrupted") for f in flights)
        run["interrupted"] = " ".join("-" if b is None else f"{b:.2f}" for b in begun)
    return run


def unpack(runs: Mapping[str, Any]) -> dict[str, dict[str, dict[int, dict[str, Any]]]]:
    """Return the stored flights: condition, agent, world, as ``evaluate.try_once`` gives them."""
    table: dict[str, dict[str, dict[int, dict[str, Any]]]] = {}
    for key, run in runs.items():
        timing, name, first = key.split("/")
        flights = table.setdefault(timing, {}).setdefault(name, {})
        begun = run.get("interrupted", " ".join("-" for _ in run["outcomes"])).split()
        parts = (run["outcomes"], run["seconds"].split(), run["distances"].split(), begun)
        for seed, (letter, seconds, distance, start) in enumerate(
            zip(*parts, strict=True), int(first)
        ):
            flights[seed] = {
                "outcome": _OUTCOMES[letter],
                "seconds": float(seconds),
                "distance": float(distance),
                "interrupted": None if start == "-" else float(start),
            }
    return table


def _difference(
    a: Mapping[int, dict[str, Any]], b: Mapping[int, dict[str, Any]]
) -> tuple[float, float, float] | None:
    """Rate of a minus rate of b over the worlds that both flew, with its 95 % interval."""
    worlds = sorted(a.keys() & b.keys())
    if len(worlds) < 2:
        return None
    hits = ([f[w]["outcome"] == Outcome.ARRIVED.value for w in worlds] for f in (a, b))
    return paired_difference(*hits)


def summary(runs: Mapping[str, Any]) -> dict[str, Any]:
    """Return, for every condition and agent, its counts and its differences."""
    table = unpack(runs)
    rows: dict[str, Any] = {}
    for timing in (name for name in CONDITIONS if name in table):
        row = rows[timing] = {}
        for name, flights in table[timing].items():
            cell = row[name] = summarise(list(flights.values()))
            begun = sum(f["interrupted"] is not None for f in flights.values())
            if begun:
                cell["interrupted"] = begun
            if timing != NOMINAL:
                nominal = table.get(NOMINAL, {}).get(name, {})
                cell["minus_nominal"] = _difference(flights, nominal)
            if name != POLICY:
                own = table[timing].get(POLICY, {})
                cell["policy_minus_this"] = _difference(own, flights)
    return rows


def _points(difference: tuple[float, float, float] | None) -> str:
    if difference is None:
        return "-"
    mean, low, high = (100 * value for value in difference)
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def format_tables(rows: Mapping[str, Any]) -> str:
    """Render the rates with their differences to nominal, then what the policy gains on others."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    names.sort(key=lambda name: name != POLICY)
    heads = [f"{name}, % | minus nominal, points" for name in names]
    lines = [f"| condition | worlds | {' | '.join(heads)} |", f"|{' --- |' * (2 + 2 * len(names))}"]
    for timing, row in rows.items():
        cells = []
        for name in names:
            cell = row.get(name)
            if cell is None:
                cells.append("- | -")
                continue
            low, high = cell["interval"]
            cells.append(
                f"{100 * cell['rate']:.1f} ({100 * low:.1f} to {100 * high:.1f}) "
                f"| {_points(cell.get('minus_nominal'))}"
            )
        worlds = max(cell["flights"] for cell in row.values())
        lines.append(f"| {CONDITIONS[timing].about} | {worlds} | {' | '.join(cells)} |")
    others = [name for name in names if name != POLICY]
    if others:
        lines += ["", f"| policy minus, points | {' | '.join(others)} |"]
        lines.append(f"|{' --- |' * (1 + len(others))}")
        for timing, row in rows.items():
            gains = (_points(row.get(name, {}).get("policy_minus_this")) for name in others)
            lines.append(f"| {CONDITIONS[timing].about} | {' | '.join(gains)} |")
    lines += ["", *_verdicts(rows)]
    return "\n".join(lines)


def _verdicts(rows: Mapping[str, Any]) -> list[str]:
    """Say which rows miss the goal, and which need memory."""

    def lost(name: str) -> dict[str, float]:
        """Share of arrivals that an agent loses in each row, free of rounding's last digits."""
        cells = {timing: row.get(name, {}).get("minus_nominal") for timing, row in rows.items()}
        return {timing: round(-d[0], 9) for timing, d in cells.items() if d is not None}

    said = [timing for timing, share in lost(POLICY).items() if share > GOAL]
    lines = [f"More than {100 * GOAL:.0f} points below nominal: {', '.join(said) or 'none'}."]
    if any("feedforward" in row for row in rows.values()):
        said = [timing for timing, share in lost("feedforward").items() if share >= MEMORY]
        lines.append(
            f"Need memory (feedforward loses {100 * MEMORY:.0f} points or more): "
            f"{', '.join(said) or 'none'}."
        )
    return lines


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=Path, help="checkpoint; by default the one that ships")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="another column; one that is named feedforward tells which rows need memory",
    )
    parser.add_argument(
        "--controls", nargs="*", choices=CONTROLS, default=["held"], help="columns; default: held"
    )
    parser.add_argument(
        "--conditions", default=",".join(CONDITIONS), help="rows, comma-separated; default: all"
    )
    parser.add_argument(
        "--seeds",
        type=seed_range,
        metavar="FIRST:END",
        default=range(REPORTED.start, REPORTED.start + 1000),
        help="worlds; default: %(default)s",
    )
    parser.add_argument("--task", default="fly_to_target")
    parser.add_argument("--json", type=Path, help="keeps the flights; a rerun goes on from it")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--show", action="store_true", help="fly nothing: print the tables of what --json holds"
    )
    args = parser.parse_args(argv)
    try:
        return run(args, argv)
    except LnnError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def run(args: argparse.Namespace, argv: list[str]) -> int:
    """Fly what is not stored yet and print the tables."""
    settings = {
        "task": args.task,
        "seeds": [args.seeds.start, args.seeds.stop],
        "worlds_per_run": WORLDS_PER_RUN,
    }
    runs = stored(args.json, settings)
    if args.show:
        print(format_tables(summary(runs)))
        return 0
    wanted = args.conditions.split(",")
    for name in wanted:
        condition(name)
    agents = columns(args.policy or policies.path(args.task), args.peer, args.controls)
    for key, before in runs.items():
        name = key.split("/")[1]
        if name in agents and before["weights"] != agents[name].weights:
            raise LnnError(
                f"{args.json}: {name} flew with the weights {before['weights'][:16]}, expected "
                f"{agents[name].weights[:16]}: name another file"
            )
    extra = {
        "conditions": {name: c.about for name, c in CONDITIONS.items()},
        "agents": {name: column.weights for name, column in agents.items()},
    }
    args.seeds = args.seeds[::WORLDS_PER_RUN]
    result, status = campaign(
        "timing_robustness.py",
        argv,
        args,
        [f"{timing}/{name}" for timing in wanted for name in agents],
        settings,
        partial(work, agents),
        extra,
        lambda run: {"arrived": run["outcomes"].count("a"), "cpu_seconds": run["cpu_seconds"]},
        summary,
    )
    print(format_tables(result["rows"]))
    return status


if __name__ == "__main__":
    sys.exit(main())
