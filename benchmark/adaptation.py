"""A policy is helped in one new condition after the other: what it learns, and what it forgets.

    python benchmark/adaptation.py --rehearsal RUN --out FOLDER --json FILE [--policy FILE]

All by itself, as on board: the policy flies in a condition in which it loses, with the privileged
expert as the helping hand (``lnn_ros.learning.helping`` states by what rule it takes over), and
what is recorded is learned from as ``lnn_ros finetune`` does. What comes of it flies in the next
condition. After each step it flies the reported worlds, in this condition, in every one before it
and in none, and beside it flies what it began as, in the same worlds.

Methods: ``judged`` is what a robot does: rehearsal and penalty, and a candidate that the judge
refuses does not fly. The others show what each part does, and always fly what they made: ``both``,
``rehearsal``, ``penalty``, ``naive`` (neither), and ``joint``, which is not in turn: it learns from
the help in all conditions until now at once, and begins with the first policy each time.

A condition counts where the first policy arrives in at most 60 % of the worlds. Regained is the
share of what the condition cost, nominal minus before, that is there again after it was learned.
Forgetting is what a later step costs nominal flights or an earlier condition, with the interval
of the paired bootstrap over worlds.

Help is given in worlds of training, the rest is flown in reported ones (--seeds). Everything that
is done is kept in ``--json`` and ``--out``, and the same command goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.learning import executors
from lnn_ros.learning.consistency import consistent
from lnn_ros.learning.finetune import Recipe, finetune, stratified
from lnn_ros.learning.flights import find_flights, read_flight
from lnn_ros.learning.helping import Helped, HelpRule, fly_helped
from lnn_ros.learning.jobs import provenance, seed_range
from lnn_ros.learning.judge import Rules, fly_both, held_out, judge
from lnn_ros.learning.results import locked, stored, write
from lnn_ros.learning.sequences import read_sequence
from lnn_ros.learning.statistics import bootstrap_difference, wilson
from lnn_ros.learning.trials import Trial, try_once
from lnn_ros.learning.verdict import Verdict
from lnn_ros.liquid.checkpoint import Checkpoint, load, save
from lnn_ros.simulation.conditions import NOMINAL, shifted
from lnn_ros.simulation.seeds import REPORTED
from lnn_ros.simulation.simulator import Outcome
from lnn_ros.simulation.task import Task

METHODS = {"judged": (True, True, True), "all": (True, True, True), "both": (True, True, False),
           "rehearsal": (True, False, False), "penalty": (False, True, False),
           "uncorrected": (False, False, True), "naive": (False, False, False),
           "joint": (True, True, True)}
"""Whether each rehearses, is drawn to its old weights, and flies on as before where nobody
corrected it. What came of all of it is judged beside, and what is refused does not fly."""
FIRST_HELP = 90_000
"""First world of training in which there is help; each condition has a thousand of its own."""
LOSES = 0.6
SEEDS = range(REPORTED.stop - 500, REPORTED.stop)


@dataclass(frozen=True)
class Adaptation:
    """What is asked."""

    policy: str
    task: str
    conditions: tuple[str, ...]
    flights: int
    rehearsal: Path
    out: Path
    recipe: Recipe
    seeds: range

    def settings(self) -> dict[str, Any]:
        """What all runs of a file share."""
        return {"weights": load(self.policy).weights_digest(), "task": self.task,
                "conditions": list(self.conditions), "flights": self.flights,
                "recipe": vars(self.recipe), "seeds": [self.seeds.start, self.seeds.stop],
                "rule": vars(HelpRule())}


class Bench:
    """Does what is not done yet, and keeps it."""

    def __init__(self, asked: Adaptation, executor: executors.Executor, file: Path | None) -> None:
        self._asked, self._executor, self._file = asked, executor, file
        self._first = load(asked.policy)
        self._camera = VirtualCamera.from_card(self._first.card)
        self.runs = stored(file, asked.settings(), "an adaptation")

    def data(self) -> dict[str, Any]:
        """Everything, as it is kept."""
        return {**provenance(" ".join(["python", "benchmark/adaptation.py", *sys.argv[1:]])),
                "settings": self._asked.settings(), "runs": self.runs}

    def keep(self, key: str, found: Any) -> Any:
        """Write a result down."""
        self.runs[key] = found
        if self._file is not None:
            write(self._file, self.data())
        return found

    def arrived(self, policy: str, condition: str) -> str:
        """Fly the reported worlds; return 1 and 0 for each, whether it arrived."""
        weights = load(policy).weights_digest()
        key = f"worlds/{condition}/{weights[:16]}"
        if key not in self.runs:
            trials = [Trial(seed, policy, policy, self._asked.task, condition)
                      for seed in self._asked.seeds]
            flown = self._executor.run(try_once, trials)
            self.keep(key, "".join("01"[f["outcome"] == Outcome.ARRIVED.value] for f in flown))
            sys.stderr.write(f"{key}: {self.runs[key].count('1')} of {len(trials)}\n")
        return str(self.runs[key])

    def help(self, policy: str, number: int) -> Path:
        """Let a policy be helped in a condition; return the folder of the recordings."""
        condition, weights = self._asked.conditions[number], load(policy).weights_digest()
        folder = self._asked.out / f"help_{condition.replace(':', '_')}_{weights[:16]}"
        key = f"help/{condition}/{weights[:16]}"
        if key not in self.runs:
            first = FIRST_HELP + 1000 * number
            what = [Helped(seed, str(folder / f"{seed:06}"), policy, self._asked.task, condition)
                    for seed in range(first, first + self._asked.flights)]
            flown = list(self._executor.run(fly_helped, what))
            self.keep(key, {"takeovers": sum(f["takeovers"] for f in flown),
                            "helped_s": round(sum(f["helped_s"] for f in flown), 1),
                            "arrived": sum(f["outcome"] == Outcome.ARRIVED.value for f in flown)})
        return folder

    def step(self, method: str, number: int, before: str, helped: Sequence[Path]) -> str:
        """Learn from help; return the file of what flies afterwards."""
        weights = load(before).weights_digest()[:16]
        key = f"step/{method}/{number}/{weights}"
        file = self._asked.out / f"{method}_{number}_{weights}.safetensors"
        if key not in self.runs or not file.exists():
            began, cpu = time.monotonic(), time.process_time()
            candidate, verdict = self._learn(method, before, file, helped)
            self.keep(key, {"digest": candidate.weights_digest(), "verdict": verdict,
                            "seconds": round(time.monotonic() - began, 1),
                            "cpu_seconds": round(time.process_time() - cpu, 1)})
            sys.stderr.write(f"{key}: {verdict['said'] if verdict else 'not judged'}\n")
        verdict = self.runs[key]["verdict"]
        return before if verdict and not verdict["accepted"] else str(file)

    def _learn(self, method: str, before: str, file: Path,
               helped: Sequence[Path]) -> tuple[Checkpoint, dict[str, Any] | None]:
        rehearses, drawn, own = METHODS[method]
        parent, recipe = load(before), self._asked.recipe
        recipe = replace(recipe, penalty=recipe.penalty * drawn,
                         uncorrected=recipe.uncorrected * own)
        bags = [bag for folder in helped[-1:] if method != "joint" for bag in find_flights(folder)]
        if method == "joint":
            bags = [bag for folder in helped for bag in find_flights(folder)]
        known = [*find_flights(self._asked.rehearsal, deep=True),
                 # Help in earlier conditions is remembered as what was learned before.
                 *(bag for folder in helped[:-1] if method != "joint"
                   for bag in held_out(find_flights(folder))[0])]
        memory = stratified(known, recipe.memory, recipe.seed) if rehearses else []
        learn, held = held_out([bag for bag in bags if self._sequence(bag).weights.any()])
        rehearse, kept = held_out(memory)
        candidate, _ = finetune(parent, [self._sequence(bag) for bag in learn],
                                [self._sequence(bag) for bag in rehearse], recipe)
        save(file, candidate)
        if method != "judged":
            return candidate, None
        rules = Rules()
        findings = consistent([read_flight(bag, self._camera, motion=True) for bag in bags])
        findings += judge(parent, candidate, *([self._sequence(bag, False) for bag in part]
                                               for part in (held, kept)), rules)
        if all(finding.passed for finding in findings):
            findings.append(fly_both(Path(before), file, self._asked.task,
                                     candidate.weights_digest(), rules))
        return candidate, Verdict(tuple(findings)).as_dict()

    def _sequence(self, bag: Path, vary: bool = True) -> Any:
        return read_sequence(bag, self._camera, vary)

    def run(self, methods: Sequence[str]) -> list[dict[str, Any]]:
        """Do all; return the rows of the table."""
        asked, rows = self._asked, []
        first = asked.policy
        self.arrived(first, NOMINAL)
        for condition in asked.conditions:
            self.arrived(first, condition)
        for method in methods:
            now, helped = first, []
            for number, condition in enumerate(asked.conditions):
                helped.append(self.help(now, number))
                before = now
                now = self.step(method, number, first if method == "joint" else now, helped)
                rows.append(self._row(method, number, condition, before, now))
                for line in table(rows[-1:])[2:]:
                    sys.stderr.write(line + "\n")
        return rows

    def _row(self, method: str, number: int, condition: str, before: str,
             now: str) -> dict[str, Any]:
        first = self._asked.policy
        nominal, lost = self.arrived(first, NOMINAL), self.arrived(first, condition)
        gained = self.arrived(now, condition)
        rate = {name: one.count("1") / len(one)
                for name, one in (("nominal", nominal), ("before", lost), ("after", gained))}
        cost = rate["nominal"] - rate["before"]
        others = [NOMINAL, *self._asked.conditions[:number]]
        return {"method": method, "condition": condition, **rate,
                "counts": rate["before"] <= LOSES,
                "regained": (rate["after"] - rate["before"]) / cost if cost > 0 else None,
                "gain": _difference(gained, lost),
                "forgotten": {other: _difference(self.arrived(before, other),
                                                 self.arrived(now, other)) for other in others}}


def _difference(a: str, b: str) -> list[float]:
    """First minus second, with its 95 % interval."""
    return list(bootstrap_difference([int(c) for c in a], [int(c) for c in b]))


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = ["| method | condition | before, % | after, % | regained | forgotten by this step, "
             "points |", "|" + " --- |" * 6]
    for row in rows:
        forgotten = "; ".join("{} {:+.1f} ({:+.1f} to {:+.1f})".format(
            name, *(100 * x for x in one)) for name, one in row["forgotten"].items())
        regained = "-" if row["regained"] is None else f"{100 * row['regained']:.0f} %"
        counts = "" if row["counts"] else " (does not count)"
        lines.append(f"| {row['method']} | {row['condition']}{counts} | {100 * row['before']:.1f} "
                     f"| {100 * row['after']:.1f} | {regained} | {forgotten} |")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Do what is not done yet, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    usual = Recipe()
    add = parser.add_argument
    add("--policy", default="fly_to_target", help="one that ships, or a file: of whatever cell")
    add("--task", default="fly_to_target")
    add("--conditions", default="field_of_view,range,drift",
        help="three in turn, as lnn_ros evaluate --shift takes them (default: %(default)s)")
    add("--methods", default=",".join(METHODS), help="(default: %(default)s)")
    add("--flights", type=int, default=60, help="with help, in each condition")
    add("--rehearsal", type=Path, required=True, help="run folder that the policy learned from")
    add("--out", type=Path, required=True, help="folder for recordings and policies")
    add("--seeds", type=seed_range, default=SEEDS, metavar="A:B",
        help=f"worlds of the table (default: {SEEDS.start}:{SEEDS.stop})")
    asked_for = {name: value for name, value in vars(usual).items() if name != "seed"}
    for name, default in asked_for.items():
        add(f"--{name.replace('_', '-')}", type=type(default), default=default)
    executors.add_arguments(parser.add_argument)
    add("--json", type=Path, help="keeps everything; a rerun goes on from it")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    conditions, methods = (tuple(text.split(",")) for text in (args.conditions, args.methods))
    for condition in conditions:
        shifted(condition, task=Task.load(args.task))
    if unknown := sorted(set(methods) - set(METHODS)):
        raise LnnError(f"--methods {', '.join(unknown)} found, expected some of "
                       f"{', '.join(METHODS)}")
    recipe = Recipe(**{name: getattr(args, name) for name in asked_for})
    asked = Adaptation(str(policies.find(args.policy)), args.task, conditions, args.flights,
                       args.rehearsal, args.out, recipe, args.seeds)
    with locked(args.json):
        bench = Bench(asked, executors.of(args), args.json)
        rows = bench.run(methods)
        nominal = bench.arrived(asked.policy, NOMINAL)
        low, high = wilson(nominal.count("1"), len(nominal))
        if args.json:
            write(args.json, {**bench.data(), "rows": rows})
    print(f"nominal, before: {nominal.count('1')} of {len(nominal)} ({100 * low:.1f} to "
          f"{100 * high:.1f} %)\n")
    print("\n".join(table(rows)))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LnnError as error:
        sys.exit(f"adaptation.py: {error}")
