# ruff: noqa: E402 - threads must be limited before numpy is imported
"""Whether the novelty score tells flights that will fail from those that will not.

    python benchmark/novelty.py [--policy FILE] [--seeds 200000:200040] [--json FILE]

A policy whose file has statistics of novelty (``lnn_ros calibrate --fit novelty``) flies through
the same worlds as they are, and under shifts of its camera at strengths at which success falls
(``SHIFTS``, set on validation worlds and committed before the reported ones were flown). Of each
flight the score is summed up by numbers that know nothing of its end: the last ``BEFORE_END_S``
are left out. A flight that does not arrive has failed.

Per shift, the area under the ROC curve (AUROC) between flights that fail and that do not: over
nominal and shifted flights together, and within the shift. ``shift_known`` is what telling the
shift alone, without the score, would reach over both: more than that tells worlds apart. Alarms
are upward crossings of 1 by ``Pilot.novelty``, counted over whole flights.

``--json`` keeps runs of a few worlds each, and the same command goes on from there; it holds every
flight: outcomes (first letters), seconds, and the scores' means, greatest, and early means.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sequences.campaign import Job, campaign, limit_threads

limit_threads()

import numpy as np
from numpy.typing import NDArray

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.learning.jobs import seed_range
from lnn_ros.learning.rollout import fly
from lnn_ros.learning.statistics import auroc, auroc_interval, bootstrap_difference
from lnn_ros.learning.trials import summarise
from lnn_ros.liquid import container
from lnn_ros.liquid.checkpoint import load
from lnn_ros.pilot import Pilot
from lnn_ros.simulation.conditions import NOMINAL, shifted
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.simulator import Outcome, Simulator
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

SHIFTS = (
    "noise:0.08",
    "noise:0.12",
    "blur:4",
    "blur:7",
    "dusk:0.65",
    "dusk:0.78",
    "glare:0.7",
    "fog:0.2",
    "fog:0.3",
    "dirt:0.4",
    "tilt:25",
    "field_of_view:130",
)
"""Shifts with their strengths: ``lnn_ros.simulation.shifts``. At the greater ones the policy that
they were chosen with lost about half of its flights or more; where the next policy then lost all,
there is a weaker one, too."""
WORLDS_PER_RUN = 5
BEFORE_END_S = 2.0
EARLY_S = 4.0
"""The shortest flights last about 7 s."""
SUMS = ("mean", "peak", "early")
"""Means up to ``BEFORE_END_S`` before the end, greatest score up to there, mean of ``EARLY_S``."""
_OUTCOMES = {outcome.value[0]: outcome.value for outcome in Outcome}


class Watched:
    """A pilot, and the course of its score."""

    def __init__(self, pilot: Pilot) -> None:
        self._pilot = pilot
        self.course: list[tuple[int, float]] = []

    def observe(
        self, stream: str, stamp_ns: int, value: NDArray[Any], now_ns: int | None = None
    ) -> object:
        """Let the pilot see it."""
        return self._pilot.observe(stream, stamp_ns, value, now_ns)

    def command(self, at_ns: int) -> NDArray[np.float64]:
        """Ask the pilot, and note its score."""
        command = self._pilot.command(at_ns)
        score = self._pilot.novelty(at_ns)
        if score is not None:
            self.course.append((at_ns, score))
        return command


@lru_cache(maxsize=2)
def _pilot(path: str) -> Pilot:
    return Pilot.load(path)


_task = lru_cache(maxsize=2)(Task.load)


def try_once(policy: str, task_name: str, text: str, seed: int) -> dict[str, Any]:
    """Fly once; ``text`` is a shift with its strength, or nominal."""
    task, pilot = _task(task_name), _pilot(policy)
    pilot.reset()
    agent = Watched(pilot)
    options = shifted(text, task=task)
    world = make_world(seed, task, options.shifts)
    flight = fly(Simulator(world, options, task=task), agent)
    stamps = (np.array([at for at, _ in agent.course]) - START_NS) * 1e-9
    scores = np.array([score for _, score in agent.course])
    told = scores[stamps <= max(flight.seconds - BEFORE_END_S, stamps[0])]
    above = np.r_[False, scores > 1.0]
    return {
        "outcome": flight.outcome.value,
        "seconds": flight.seconds,
        "mean": float(told.mean()),
        "peak": float(told.max()),
        "early": float(scores[stamps <= EARLY_S].mean()),
        "alarms": sum(b and not a for a, b in pairwise(above.tolist())),
        "warned": bool((told > 1.0).any()),
    }


def work(policy: str, job: Job) -> dict[str, Any]:
    """Fly the worlds of one run under one shift."""
    stop = min(job.seed + job.settings["worlds_per_run"], job.settings["seeds"][1])
    started = time.process_time()
    task = job.settings["task"]
    flights = [try_once(policy, task, job.row, seed) for seed in range(job.seed, stop)]
    return {
        "outcomes": "".join(f["outcome"][0] for f in flights),
        "seconds": " ".join(f"{f['seconds']:.2f}" for f in flights),
        **{name: " ".join(f"{f[name]:.3f}" for f in flights) for name in SUMS},
        "alarms": " ".join(str(f["alarms"]) for f in flights),
        "warned": "".join("ny"[f["warned"]] for f in flights),
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def unpack(runs: Mapping[str, Any]) -> dict[str, dict[int, dict[str, Any]]]:
    """Return the stored flights: shift, world, as ``try_once`` gives them."""
    table: dict[str, dict[int, dict[str, Any]]] = {}
    for key, run in runs.items():
        name, first = key.split("/")
        columns = {s: [float(v) for v in run[s].split()] for s in ("seconds", *SUMS)}
        alarms = [int(v) for v in run["alarms"].split()]
        for i, letter in enumerate(run["outcomes"]):
            table.setdefault(name, {})[int(first) + i] = {
                "outcome": _OUTCOMES[letter],
                "distance": 0.0,
                **{s: column[i] for s, column in columns.items()},
                "alarms": alarms[i],
                "warned": run["warned"][i] == "y",
            }
    return table


def failed(flight: Mapping[str, Any]) -> bool:
    """Whether a flight did not arrive."""
    return bool(flight["outcome"] != Outcome.ARRIVED.value)


def separation(flights: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any] | None:
    """AUROC of one number between flights that fail and that do not; None if all do the same."""
    bad = [f[name] for f in flights if failed(f)]
    good = [f[name] for f in flights if not failed(f)]
    if not bad or not good:
        return None
    area = auroc(bad, good)
    return {
        "auroc": area,
        "interval": auroc_interval(area, len(bad), len(good)),
        "fail": len(bad),
        "arrive": len(good),
    }


def summary(runs: Mapping[str, Any]) -> dict[str, Any]:
    """Return, for every shift, its success and how well the score separates."""
    table = unpack(runs)
    nominal = table.get(NOMINAL, {})
    rows: dict[str, Any] = {}
    shifted: list[dict[str, Any]] = []
    for name in (n for n in (NOMINAL, *SHIFTS) if n in table):
        flights = table[name]
        row = rows[name] = summarise(list(flights.values()))
        row["alarms"] = alarms(list(flights.values()))
        if name == NOMINAL:
            continue
        here, there = list(flights.values()), list(nominal.values())
        shifted += here
        worlds = sorted(flights.keys() & nominal.keys())
        if len(worlds) > 1:
            hits = [[not failed(column[w]) for w in worlds] for column in (flights, nominal)]
            row["minus_nominal"] = bootstrap_difference(*hits)
        known = [{**f, "known": 1.0} for f in here] + [{**f, "known": 0.0} for f in there]
        row["pooled"] = {s: separation(here + there, s) for s in SUMS}
        row["within"] = {s: separation(here, s) for s in SUMS}
        row["shift_known"] = separation(known, "known")
        row["failures_warned_of"] = sum(f["warned"] for f in here if failed(f))
    if shifted:
        everything = shifted + list(nominal.values())
        rows["all"] = {
            "flights": len(everything),
            "pooled": {s: separation(everything, s) for s in SUMS},
        }
    return rows


def alarms(flights: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Alarms of all flights, and of those that arrive, with their minutes."""
    out = {}
    for name, some in (("all", flights), ("arrive", [f for f in flights if not failed(f)])):
        minutes = sum(f["seconds"] for f in some) / 60
        count = sum(f["alarms"] for f in some)
        out[name] = {
            "alarms": count,
            "minutes": round(minutes, 2),
            "per_10_minutes": round(10 * count / minutes, 2) if minutes else None,
        }
    return out


def show(rows: Mapping[str, Any]) -> str:
    """Return the table as Markdown."""
    lines = [
        "| Shift | arrived | AUROC with nominal | of the shift alone | within the shift "
        "| failures warned of | alarms per 10 min |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        if name == "all":
            area = row["pooled"]["mean"]
            lines.append(f"| all together | | {_area(area)} | | | | |")
            continue
        rate = row["alarms"]["all"]["per_10_minutes"]
        told = [f"{row['arrived']}/{row['flights']}", "", "", "", "", f"{rate:.1f}"]
        if name != NOMINAL:
            fail = row["flights"] - row["arrived"]
            told[1:5] = [
                _area(row["pooled"]["mean"]),
                _area(row["shift_known"]),
                _area(row["within"]["mean"]),
                f"{row['failures_warned_of']}/{fail}",
            ]
        lines.append(f"| {name} | " + " | ".join(told) + " |")
    return "\n".join(lines)


def _area(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    low, high = found["interval"]
    return f"{found['auroc']:.2f} ({low:.2f} to {high:.2f})"


def main(argv: list[str]) -> int:
    """Fly what is not stored yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=Path, help="checkpoint; by default the one that ships")
    parser.add_argument("--task", default="fly_to_target")
    parser.add_argument(
        "--seeds", type=seed_range, default=seed_range("200000:200040"), metavar="FIRST:END"
    )
    parser.add_argument("--shifts", nargs="*", choices=SHIFTS, help="default: all")
    parser.add_argument("--json", type=Path, help="keeps the results; a rerun goes on from it")
    args = parser.parse_args(argv)
    policy = str(args.policy or policies.path(args.task))
    checkpoint = load(policy)
    if checkpoint.novelty is None:
        raise LnnError(
            f"{policy}: says nothing of novelty, expected a policy that went through lnn_ros "
            "calibrate --fit novelty"
        )
    ends = args.seeds
    runs = argparse.Namespace(
        json=args.json, workers=1, seeds=range(ends.start, ends.stop, WORLDS_PER_RUN)
    )
    settings = {
        "weights": checkpoint.weights_digest(),
        "novelty": container.digest("", checkpoint.novelty.arrays()),
        "level": [checkpoint.novelty.usual, checkpoint.novelty.level, checkpoint.novelty.memory],
        "task": args.task,
        "seeds": [ends.start, ends.stop],
        "worlds_per_run": WORLDS_PER_RUN,
    }
    names = [NOMINAL, *(args.shifts if args.shifts is not None else SHIFTS)]
    fly_run = partial(work, policy)
    result, status = campaign(
        "novelty.py", argv, runs, names, settings, fly_run, {}, _told, summary
    )
    if result:
        print(show(result["rows"]))
    return status


def _told(run: Mapping[str, Any]) -> dict[str, float]:
    flights = len(run["outcomes"])
    return {"arrived": run["outcomes"].count("a") / flights, "cpu": run["cpu_seconds"]}


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LnnError as error:
        sys.exit(f"novelty.py: {error}")
