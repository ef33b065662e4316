"""How often the judge lets harmful learning through, and how often it stops good learning.

    python benchmark/judge.py --rehearsal RUN --out FOLDER --json FILE [--policy FILE]

Twenty sets of help in a condition in which the policy loses, each of other worlds, flown with the
privileged expert as the helping hand (``lnn_ros.learning.helping``). Each is learned from and
judged as it is, and spoiled in eight ways:

- flipped: sideways commands have the other sign;
- constant: straight ahead, always;
- zero: nothing is commanded;
- random: any command;
- corrupted: 30 % of the commands are random;
- shifted: commands are stamped 0.3 s late;
- mirrored: left and right of the pictures are exchanged;
- small: three flights alone.

Spoiled are commands and pictures as they are recorded; what was flown, felt and how the vehicle
moved stays true, as it does when a stick, a clock or a driver is wrong. With ``--hidden`` what was
flown and how it moved was not recorded, and the judge has to tell by the policy alone. What is
accepted of spoiled sets is flown in --worlds reported worlds, in the
condition and without it, beside the policy it began with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.learning import executors
from lnn_ros.learning.consistency import consistent
from lnn_ros.learning.finetune import Recipe, finetune, stratified
from lnn_ros.learning.flights import Flight, find_flights, read_flight
from lnn_ros.learning.helping import Helped, HelpRule, fly_helped
from lnn_ros.learning.jobs import provenance
from lnn_ros.learning.judge import Rules, fly_both, held_out, judge
from lnn_ros.learning.results import locked, stored, write
from lnn_ros.learning.sequences import as_sequence
from lnn_ros.learning.trials import Trial, try_once
from lnn_ros.learning.verdict import Verdict
from lnn_ros.liquid.checkpoint import load, save
from lnn_ros.simulation.conditions import NOMINAL
from lnn_ros.simulation.seeds import REPORTED
from lnn_ros.simulation.simulator import Outcome

FIRST_HELP = 95_000
"""First world of training in which there is help; each set has a hundred of its own."""
SPREAD = (0.8, 0.5, 0.3, 0.8)
"""Standard deviation of random commands, m/s and rad/s."""
SMALL = 3
Labels = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _flipped(labels: np.ndarray, _rng: np.random.Generator) -> np.ndarray:
    return labels * np.array([1.0, -1.0, 1.0, 1.0])


def _random(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0.0, SPREAD, labels.shape)


def _corrupted(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random((len(labels), 1)) < 0.3, _random(labels, rng), labels)


COMMANDS: dict[str, Labels] = {
    "flipped": _flipped, "constant": lambda labels, _: 0.0 * labels + (1.0, 0.0, 0.0, 0.0),
    "zero": lambda labels, _: 0.0 * labels, "random": _random, "corrupted": _corrupted}
KINDS = ("good", *COMMANDS, "shifted", "mirrored", "small")


def spoiled(flights: Sequence[Flight], kind: str, seed: int, hidden: bool) -> list[Flight]:
    """Return a set as it is recorded when something is wrong."""
    rng = np.random.default_rng((seed, KINDS.index(kind)))
    if kind == "small":
        return list(flights[:SMALL])
    if kind == "shifted":
        flights = [replace(f, label_stamps=f.label_stamps + 300_000_000) for f in flights]
    elif kind == "mirrored":
        flights = [replace(f, frames=np.ascontiguousarray(f.frames[:, :, ::-1])) for f in flights]
    elif kind in COMMANDS:
        flights = [replace(f, labels=COMMANDS[kind](f.labels.astype(float), rng)
                           .astype(np.float32)) for f in flights]
    if hidden:
        flights = [replace(f, flown_stamps=f.flown_stamps[:0], flown=f.flown[:0],
                           motion_stamps=f.motion_stamps[:0], motion=f.motion[:0],
                           ) for f in flights]
    return list(flights)


class Bench:
    """Judges what is not judged yet."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._policy = str(policies.find(args.policy))
        self._parent = load(self._policy)
        self._camera = VirtualCamera.from_card(self._parent.card)
        self._executor = executors.of(args)
        self.settings = {
            "weights": self._parent.weights_digest(), "task": args.task, "shift": args.shift,
            "flights": args.flights, "hidden": args.hidden, "rule": vars(HelpRule()),
            "recipe": vars(Recipe()), "rules": vars(Rules()), "worlds": args.worlds}
        self.runs = stored(args.json, self.settings, "verdicts")
        bags = stratified(find_flights(args.rehearsal, deep=True), Recipe().memory, 0)
        rehearse, kept = held_out([read_flight(bag, self._camera) for bag in bags])
        self._rehearse = [as_sequence(flight) for flight in rehearse]
        self._kept = [as_sequence(flight, False) for flight in kept]

    def data(self) -> dict[str, Any]:
        """Everything, as it is kept."""
        return {**provenance(" ".join(["python", "benchmark/judge.py", *sys.argv[1:]])),
                "settings": self.settings, "runs": self.runs}

    def help(self, number: int) -> list[Flight]:
        """Fly a set, if it is not there, and read it."""
        args, first = self._args, FIRST_HELP + 100 * number
        what = [Helped(seed, str(args.out / f"{args.shift}_{seed}".replace(":", "_")),
                       self._policy, args.task, args.shift)
                for seed in range(first, first + args.flights)]
        list(self._executor.run(fly_helped, what))
        flights = [read_flight(Path(one.bag), self._camera, motion=True) for one in what]
        return [flight for flight in flights if len(flight.labels)]

    def judge(self, number: int, kind: str, flights: Sequence[Flight]) -> dict[str, Any]:
        """Learn from a set, judge, and fly what was accepted and should not have been."""
        args = self._args
        flights = spoiled(flights, kind, number, args.hidden)
        findings = consistent(flights)
        if not all(finding.passed for finding in findings):
            return Verdict(tuple(findings)).as_dict()
        learn, held = held_out(flights)
        candidate, _ = finetune(self._parent, [as_sequence(f) for f in learn], self._rehearse,
                                Recipe())
        file = args.out / f"{kind}_{number}.safetensors"
        save(file, candidate)
        findings += judge(self._parent, candidate, [as_sequence(f, False) for f in held],
                          self._kept, Rules())
        if all(finding.passed for finding in findings):
            findings.append(fly_both(Path(self._policy), file, args.task,
                                     candidate.weights_digest(), Rules()))
        verdict = Verdict(tuple(findings)).as_dict()
        if verdict["accepted"]:
            verdict["flown"] = {shift: [self._arrived(policy, shift)
                                        for policy in (self._policy, str(file))]
                                for shift in (NOMINAL, args.shift)}
        return verdict

    def _arrived(self, policy: str, shift: str) -> int:
        seeds = range(REPORTED.stop - self._args.worlds, REPORTED.stop)
        trials = [Trial(seed, policy, policy, self._args.task, shift) for seed in seeds]
        return sum(flight["outcome"] == Outcome.ARRIVED.value
                   for flight in self._executor.run(try_once, trials))

    def run(self) -> None:
        """Judge all sets of all kinds, set by set."""
        for number in range(self._args.sets):
            left = [kind for kind in self._args.kinds if f"{kind}/{number}" not in self.runs]
            flights = self.help(number) if left else []
            for kind in left:
                verdict = self.judge(number, kind, flights)
                self.runs[f"{kind}/{number}"] = verdict
                sys.stderr.write(f"{kind}/{number}: {verdict['said']}\n")
                if self._args.json:
                    write(self._args.json, self.data())


def table(runs: dict[str, Any], worlds: int) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = ["| sets | refused | accepted | refused by | accepted, flown without the condition and "
             "in it, before and after |", "|" + " --- |" * 5]
    for kind in KINDS:
        found = [one for key, one in runs.items() if key.startswith(f"{kind}/")]
        if not found:
            continue
        reasons: dict[str, int] = {}
        for one in found:
            for finding in one["findings"]:
                reasons[finding["name"]] = reasons.get(finding["name"], 0) + (
                    not finding["passed"])
        by = ", ".join(f"{name} {count}" for name, count in reasons.items() if count)
        flown = [one["flown"] for one in found if "flown" in one]
        sums = ["/".join(str(sum(one[shift][k] for one in flown)) for k in (0, 1))
                for shift in (flown[0] if flown else ())]
        accepted = sum(one["accepted"] for one in found)
        lines.append(f"| {kind} | {len(found) - accepted} of {len(found)} | {accepted} | "
                     f"{by or '-'} | {', '.join(sums) or '-'}"
                     f"{f' of {worlds * len(flown)}' if flown else ''} |")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Judge what is not judged yet, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--policy", default="fly_to_target", help="one that ships, or a file")
    add("--task", default="fly_to_target")
    add("--shift", default="field_of_view", help="condition in which there is help")
    add("--flights", type=int, default=30, help="in a set")
    add("--sets", type=int, default=20)
    add("--kinds", nargs="+", choices=KINDS, default=KINDS)
    add("--hidden", action="store_true", help="what was flown, and how it moved, is not recorded")
    add("--worlds", type=int, default=100, help="in which what was accepted is flown")
    add("--rehearsal", type=Path, required=True, help="run folder that the policy learned from")
    add("--out", type=Path, required=True, help="folder for recordings and policies")
    executors.add_arguments(parser.add_argument)
    add("--json", type=Path, help="keeps the verdicts; a rerun goes on from it")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    with locked(args.json):
        bench = Bench(args)
        bench.run()
    print("\n".join(table(bench.runs, args.worlds)))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LnnError as error:
        sys.exit(f"judge.py: {error}")
