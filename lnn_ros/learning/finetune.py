"""Fine-tune a policy on takeovers, such that it forgets little of what it could before.

The encoder stays as it is, so that the features of every frame are computed once and an epoch takes
seconds. Two things keep the old skills: rehearsal, a bounded memory of old flights, drawn evenly
from all strata (what they were flown under, and how they ended), which makes up half of what is
learned from; and a penalty on the way from the old weights. What comes of it is a candidate: it has
to be judged before it flies.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.learning.dataset import Recording
from lnn_ros.learning.flights import find_flights, notes
from lnn_ros.learning.jobs import provenance
from lnn_ros.learning.sequences import read_sequence
from lnn_ros.learning.trainer import Trainer, cosine
from lnn_ros.liquid.checkpoint import Checkpoint, load, save

LANES, WINDOW = 4, 32
"""Small batches: a minute of help is about 1,200 updates."""
Features = NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune.

    Attributes
    ----------
    epochs : int
        Through all that is new.
    rate : float
        Greatest learning rate.
    penalty : float
        See ``Trainer.hold``; 0: none.
    memory : int
        Most flights that are rehearsed; 0: none.
    seed : int
        Of the order, and of which flights are rehearsed.
    """

    epochs: int = 20
    rate: float = 1e-3
    penalty: float = 1.0
    memory: int = 64
    seed: int = 0


def stratified(bags: Sequence[Path], count: int, seed: int) -> list[Path]:
    """Choose flights for the memory, as evenly from all strata as there are flights in them.

    A stratum is what a flight was flown under, by the families of its shifts, and how it ended.
    """
    rng = np.random.default_rng((seed, 0x3E3))
    strata: dict[tuple[str, str], list[Path]] = {}
    for bag in bags:
        said = notes(bag)
        families = sorted(shift.partition(":")[0] for shift in json.loads(said.get("shifts", "[]")))
        strata.setdefault((",".join(families), said.get("outcome", "")), []).append(bag)
    queues = [[group[k] for k in rng.permutation(len(group))] for _, group in
              sorted(strata.items())]
    chosen: list[Path] = []
    while len(chosen) < min(count, len(bags)):
        for k in rng.permutation(len(queues)).tolist():
            if queues[k] and len(chosen) < count:
                chosen.append(queues[k].pop())
    return sorted(chosen)


def finetune(checkpoint: Checkpoint, new: Sequence[Recording], old: Sequence[Recording],
             recipe: Recipe) -> tuple[Checkpoint, list[dict[str, float]]]:
    """Return a candidate, with the card of the policy that it comes from, and its course.

    Parameters
    ----------
    checkpoint : Checkpoint
        The policy to begin with.
    new, old : sequence of Recording
        What is to be learned, and what is rehearsed.
    recipe : Recipe

    Raises
    ------
    LnnError
        When nobody says in ``new`` what to do.
    """
    if not any(one.weights.any() for one in new):
        raise LnnError(f"nothing to learn from in {len(new)} recordings: expected commands of a "
                       f"person on takeover")
    trainer = Trainer.of(checkpoint, recipe.seed)
    trainer.hold(recipe.penalty)
    features = {id(one): trainer.features(one) for one in (*new, *old)}
    rng = np.random.default_rng((recipe.seed, 0xF1E))
    course = []
    for epoch in range(recipe.epochs):
        sequences = [*new, *_share(old, sum(map(len, new)), rng)]
        rates = tuple(recipe.rate * cosine((epoch + end) / recipe.epochs) for end in (0, 1))
        loss = trainer.epoch(sequences, (epoch,), (rates[0], rates[1]), min(LANES, len(sequences)),
                             WINDOW, [features[id(one)] for one in sequences])
        course.append({"epoch": epoch, "loss": loss})
    after = {"new": new, "old": old}
    for name, group in after.items():
        if group:
            course[-1][name] = trainer.loss(group, min(LANES, len(group)), WINDOW,
                                            [features[id(one)] for one in group])
    arrays = {name: value for name, value in trainer.policy.arrays().items()
              if not name.startswith("encoder.")}
    return Checkpoint(checkpoint.spec, {**checkpoint.arrays, **arrays}, dict(checkpoint.card),
                      checkpoint.novelty), course


def _share(old: Sequence[Recording], updates: int, rng: np.random.Generator) -> list[Recording]:
    """Draw as much of the old as there is new, another part in every epoch."""
    chosen, have = [], 0
    for k in rng.permutation(len(old)).tolist():
        if have >= updates:
            break
        chosen.append(old[k])
        have += len(old[k])
    return chosen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    usual = Recipe()
    add = parser.add_argument
    add("data", type=Path, nargs="+", help="recordings with takeovers, or folders of them, of one "
        "robot or of many")
    add("--policy", required=True, help="to begin with: one that ships, or a file")
    add("--out", type=Path, required=True, help="file of the candidate")
    add("--rehearsal", type=Path, help="run folder or folder of demonstrations that the policy "
        "learned from; without it, only the penalty keeps what it could")
    add("--epochs", type=int, default=usual.epochs, help="(default: %(default)s)")
    add("--rate", type=float, default=usual.rate, help="learning rate (default: %(default)s)")
    add("--penalty", type=float, default=usual.penalty,
        help="on the way from the old weights (default: %(default)s)")
    add("--memory", type=int, default=usual.memory,
        help="most flights that are rehearsed (default: %(default)s)")
    add("--seed", type=int, default=usual.seed, help="of order and memory (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the course")


def run(args: argparse.Namespace) -> int:
    """Fine-tune, and write the candidate."""
    torch.set_num_threads(1)
    recipe = Recipe(args.epochs, args.rate, args.penalty, args.memory, args.seed)
    if recipe.epochs < 1 or not recipe.rate > 0.0 or recipe.penalty < 0.0 or recipe.memory < 0:
        raise LnnError(f"--epochs {recipe.epochs}, --rate {recipe.rate}, --penalty "
                       f"{recipe.penalty}, --memory {recipe.memory} found, expected an epoch or "
                       f"more, a rate above 0, and neither of the others below")
    began = time.monotonic()
    checkpoint = load(policies.find(args.policy))
    camera = VirtualCamera.from_card(checkpoint.card)
    bags = [bag for folder in args.data for bag in _bags(folder)]
    new = [one for one in (read_sequence(bag, camera) for bag in bags) if one.weights.any()]
    chosen = stratified(_bags(args.rehearsal), recipe.memory, recipe.seed) if args.rehearsal else []
    old = [read_sequence(bag, camera) for bag in chosen]
    candidate, course = finetune(checkpoint, new, old, recipe)
    card = candidate.card
    card["training"] = {
        **provenance(" ".join(["lnn_ros", *sys.argv[1:]])),
        "parent": checkpoint.weights_digest(), "of_parent": checkpoint.card["training"],
        "recordings": [bag.name for bag in bags], "rehearsed": len(old), **vars(recipe),
        "last": course[-1], "seconds": round(time.monotonic() - began)}
    card["evaluation"] = {}
    save(args.out, candidate)
    labels = sum(int((one.weights[:, 0] > 0).sum()) for one in new)
    print(f"{args.out}: {labels} labels of {len(new)} recordings, {len(old)} flights rehearsed; "
          f"loss {course[0]['loss']:.4f} in the first epoch, {course[-1]['loss']:.4f} in the last; "
          f"{time.monotonic() - began:.0f} s")
    if args.json:
        args.json.write_text(json.dumps({**card["training"], "course": course}, indent=1) + "\n",
                             encoding="utf-8")
    return 0


def _bags(folder: Path) -> list[Path]:
    """Return the bags of a folder, or the bag that it is."""
    if (folder / "metadata.yaml").is_file():
        return [folder]
    return find_flights(folder, deep=True)
