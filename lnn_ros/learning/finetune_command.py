"""Fine-tune a policy on takeovers, and judge what comes of it.

Of the recordings and of the rehearsal, every third is held out, and judges. A candidate that is
refused is kept, says so on its card, and does not fly. On a robot the companion runs this command,
with ``--store``, ``--cpu``, ``--memory-mb`` and ``--idle``, and sees to the trial in flight of what
is accepted.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.learning.allowance import Allowance, bound_memory, step_back
from lnn_ros.learning.consistency import consistent
from lnn_ros.learning.finetune import Recipe, finetune, stratified
from lnn_ros.learning.flights import Flight, find_flights, read_flight
from lnn_ros.learning.jobs import provenance
from lnn_ros.learning.judge import Rules, fly_both, held_out, judge
from lnn_ros.learning.sequences import as_sequence
from lnn_ros.learning.store import Store
from lnn_ros.learning.verdict import Finding, Verdict
from lnn_ros.liquid.checkpoint import Checkpoint, load, save
from lnn_ros.recovery import is_written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    usual, rules = Recipe(), Rules()
    add = parser.add_argument
    add("data", type=Path, nargs="+", help="recordings with takeovers, or folders of them, of one "
        "robot or of many")
    add("--policy", required=True, help="to begin with: one that ships, or a file")
    add("--out", type=Path, required=True, help="file of the candidate")
    add("--rehearsal", type=Path, help="run folder or folder of demonstrations that the policy "
        "learned from; without it only the penalty keeps what it could, and nothing is accepted")
    add("--epochs", type=int, default=usual.epochs, help="(default: %(default)s)")
    add("--rate", type=float, default=usual.rate, help="learning rate (default: %(default)s)")
    add("--penalty", type=float, default=usual.penalty,
        help="on the way from the old weights (default: %(default)s)")
    add("--memory", type=int, default=usual.memory,
        help="most flights that are rehearsed, and judge (default: %(default)s)")
    add("--encoder-epochs", type=int, default=usual.encoder_epochs, help="the first ones, in which "
        "a scale and a shift of every channel of the encoder learn, too (default: %(default)s)")
    add("--rehearsal-ratio", type=float, default=usual.rehearsal_ratio, help="how much is "
        "rehearsed per update of help (default: %(default)s)")
    add("--uncorrected", type=float, default=usual.uncorrected, help="how much of what nobody "
        "corrected goes beside the help, per update of it (default: %(default)s)")
    add("--seed", type=int, default=usual.seed, help="of order and memory (default: %(default)s)")
    add("--unjudged", action="store_true", help="learn from all recordings, and judge nothing")
    add("--margin", type=float, default=rules.margin, help="share by which the loss on rehearsal "
        "may grow (default: %(default)s)")
    add("--worlds", type=int, default=rules.worlds, help="to fly in before it is accepted, where "
        "the embedded simulator is installed (default: %(default)s)")
    add("--store", type=Path, metavar="DIR", help="policy store that keeps the candidate and the "
        "verdict")
    add("--cpu", type=float, default=1.0, help="share of one core that is used (default: "
        "%(default)s)")
    add("--memory-mb", type=float, default=0.0, help="the most memory, MB; 0: no bound (default: "
        "%(default)s)")
    add("--idle", action="store_true", help="run only while no other process wants to")
    add("--progress", action="store_true", help="tell the progress as lines of JSON, in place of "
        "words")
    add("--json", type=Path, metavar="FILE", help="write course and verdict")


def run(args: argparse.Namespace) -> int:
    """Fine-tune, judge, and write the candidate; the exit status is 1 if it is refused."""
    torch.set_num_threads(1)
    recipe = Recipe(args.epochs, args.rate, args.penalty, args.memory, args.seed,
                    args.encoder_epochs, args.rehearsal_ratio, args.uncorrected)
    if recipe.epochs < 1 or not 0.0 < recipe.rate < math.inf or not all(
            0.0 <= one < math.inf for one in (recipe.penalty, recipe.memory, recipe.encoder_epochs,
                                              recipe.rehearsal_ratio, recipe.uncorrected)):
        raise LnnError(f"--epochs {recipe.epochs}, --rate {recipe.rate}, --penalty "
                       f"{recipe.penalty}, --memory {recipe.memory}, --encoder-epochs "
                       f"{recipe.encoder_epochs}, --rehearsal-ratio {recipe.rehearsal_ratio}, "
                       f"--uncorrected {recipe.uncorrected} found, expected an epoch or more, a "
                       f"rate above 0, and none of the others below")
    rules = replace(Rules(), margin=args.margin, worlds=args.worlds)
    allowance = Allowance(args.cpu)
    if args.idle:
        step_back()
    if args.memory_mb:
        bound_memory(args.memory_mb)
    try:
        return _Work(args, recipe, rules, allowance).run()
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):  # torch's
            raise
        raise LnnError(f"memory: more than --memory-mb {args.memory_mb:g} needed, expected less: "
                       f"fewer recordings, or a smaller --memory") from None


class _Work:
    """One fine-tuning."""

    def __init__(self, args: argparse.Namespace, recipe: Recipe, rules: Rules,
                 allowance: Allowance) -> None:
        self._args, self._recipe, self._rules = args, recipe, rules
        self._allowance = allowance
        self._began = time.monotonic()
        self._left_out: list[str] = []
        self._file = policies.find(args.policy)
        self._parent = load(self._file)
        self._camera = VirtualCamera.from_card(self._parent.card)

    def run(self) -> int:
        args, recipe = self._args, self._recipe
        helped = [bag for folder in args.data for bag in _bags(folder)]
        known = _bags(args.rehearsal) if args.rehearsal else []
        old = stratified(known, recipe.memory, recipe.seed)
        new = [(bag, flight) for bag, flight in self._read(helped) if len(flight.labels)]
        fits: list[Finding] = []
        if new and not args.unjudged:
            fits = consistent([flight for _, flight in new])
            if not Verdict(tuple(fits)).accepted:  # whatever was learned of it could not fly
                return self._end(None, Verdict(tuple(fits)), [])
        learn, held = (new, []) if args.unjudged else held_out(new)
        rehearse, kept = (old, []) if args.unjudged else held_out(old)
        state = args.out.with_name(f".{args.out.name}.state")
        rehearsed = [as_sequence(flight) for _, flight in self._read(rehearse)]
        candidate, course = finetune(self._parent, [as_sequence(flight) for _, flight in learn],
                                     rehearsed, recipe, state, self._say, self._allowance.rest)
        candidate.card["training"] = {
            **provenance(" ".join(["lnn_ros", *sys.argv[1:]])),
            "parent": self._parent.weights_digest(), "of_parent": self._parent.card["training"],
            "recordings": [bag.name for bag, _ in learn], "left_out": self._left_out,
            "labels": sum(len(flight.labels) for _, flight in learn),
            "rehearsed": len(rehearse), **vars(recipe), "last": course[-1],
            "seconds": round(time.monotonic() - self._began)}
        candidate.card["evaluation"] = {}
        save(args.out, candidate)
        verdict = None
        if not args.unjudged:
            verdict = self._judge(candidate, fits, [flight for _, flight in held], kept)
            candidate.card["training"]["verdict"] = verdict.as_dict()
            save(args.out, candidate)
        state.unlink(missing_ok=True)
        return self._end(candidate, verdict, course)

    def _read(self, bags: list[Path]) -> list[tuple[Path, Flight]]:
        """Read what can be read; the rest is named."""
        found = []
        for k, bag in enumerate(bags, 1):
            try:
                if is_written(bag):
                    raise LnnError(f"bag {bag} is still being written")
                found.append((bag, read_flight(bag, self._camera, motion=True)))
            except LnnError as error:
                self._left_out.append(str(error))
                sys.stderr.write(f"lnn_ros: left out: {error}\n")
            self._say({"stage": "reading", "done": k, "of": len(bags)})
            self._allowance.rest()
        return found

    def _judge(self, candidate: Checkpoint, fits: list[Finding], held: list[Flight],
               kept: list[Path]) -> Verdict:
        """Judge the candidate by what was held out, as it was recorded, then by flights."""
        args, rest = self._args, self._allowance.rest
        remembered = [flight for _, flight in self._read(kept)]
        self._say({"stage": "judging", "done": 0, "of": 1})
        help_, rehearsal = ([as_sequence(flight, vary=False) for flight in flights]
                            for flights in (held, remembered))
        findings = fits + judge(self._parent, candidate, help_, rehearsal, self._rules, rest)
        if all(finding.passed for finding in findings):  # else flights would change nothing
            findings.append(fly_both(self._file, args.out, str(candidate.card["task"]),
                                     candidate.weights_digest(), self._rules, rest))
        self._say({"stage": "judging", "done": 1, "of": 1})
        return Verdict(tuple(findings))

    def _end(self, candidate: Checkpoint | None, verdict: Verdict | None,
             course: list[dict[str, float]]) -> int:
        """Keep what there is, let the candidate fly if it may, and say what came of it."""
        args = self._args
        waits = bool(args.store) and self._keep(candidate is not None, verdict)
        said = "not judged" if verdict is None else verdict.said
        accepted = verdict is not None and verdict.accepted
        card = {} if candidate is None else candidate.card["training"]
        seconds = time.monotonic() - self._began
        if args.progress:
            self._say({"stage": "done", "said": said, "accepted": accepted,
                       "waits": waits,
                       "digest": "" if candidate is None else candidate.weights_digest()})
        elif candidate is None:
            print(f"{said}; nothing was learned; {seconds:.0f} s")
        else:
            print(f"{args.out}: {card['labels']} labels of {len(card['recordings'])} recordings, "
                  f"{card['rehearsed']} flights rehearsed; loss {course[0]['loss']:.4f} in the "
                  f"first epoch, {course[-1]['loss']:.4f} in the last; {seconds:.0f} s\n{said}")
        if waits and not args.progress:
            print(f"{args.store}: it waits there for its trial in flight")
        if args.json:
            found = {**card, "verdict": None if verdict is None else verdict.as_dict(),
                     "course": course}
            args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return int(verdict is not None and not accepted)

    def _keep(self, made: bool, verdict: Verdict | None) -> bool:
        """Take both into the store with the verdict; return whether the candidate is to be tried.

        After one has been gone back from, a person decides (``lnn_ros store DIR promote``).
        """
        store = Store(self._args.store)
        parent = store.add(self._file)
        if store.live is None:
            store.promote(parent, "flew when fine-tuning began")
        about = {} if verdict is None else {"verdict": verdict.as_dict()}
        digest = store.add(self._args.out, parent, about) if made else None
        if verdict is None:
            return False
        store.decide(verdict.as_dict(), digest)
        return verdict.accepted and store.waiting() == digest

    def _say(self, progress: Mapping[str, Any]) -> None:
        if self._args.progress:
            print(json.dumps(dict(progress)), flush=True)


def _bags(folder: Path) -> list[Path]:
    """Return the bags of a folder, or the bag that it is."""
    if (folder / "metadata.yaml").is_file():
        return [folder]
    return find_flights(folder, deep=True)
