"""Fine-tune a policy on takeovers, such that it forgets little of what it could before.

Of the encoder a scale and a shift of every channel learn alone, as of a normalisation (Li et al.,
"Revisiting batch normalization for practical domain adaptation", arXiv:1603.04779, adapt to another
domain by that alone), and in the first epochs alone: then the features of every frame are computed
once, and an epoch takes seconds. Three things keep the old skills: rehearsal, a bounded memory of
old flights, drawn evenly from all strata (what they were flown under, and how they ended), of which
there is several times as much as of help; a penalty on the way from the old weights; and the
policy's own commands where nobody corrected them (``corrections.uncorrected``). What comes of it is
a candidate: it has to be judged before it flies.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from lnn_ros.errors import LnnError
from lnn_ros.learning.corrections import excerpts, uncorrected
from lnn_ros.learning.dataset import Recording
from lnn_ros.learning.flights import notes
from lnn_ros.learning.trainer import Trainer, cosine
from lnn_ros.liquid.checkpoint import Checkpoint

LANES, WINDOW = 4, 32
"""Small batches: a minute of help is about 1,200 updates."""
Say = Callable[[Mapping[str, Any]], None]
"""Takes what is to be told of the progress: its stage, how much is done of how much, and more."""


def silent(progress: Mapping[str, Any]) -> None:
    """Tell nobody."""


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
    encoder_epochs : int
        In so many, the first ones, a scale and a shift of every channel of the encoder are learned,
        too (``EncoderModule.freeze_but_channels``); then it stays as it is.
    rehearsal_ratio : float
        How much is rehearsed, of what there is, per update of help.
    uncorrected : float
        How much of what nobody corrected goes beside the help, as the policy flies it itself, per
        update of help; 0: none.
    """

    epochs: int = 20
    rate: float = 1e-3
    penalty: float = 1.0
    memory: int = 64
    seed: int = 0
    encoder_epochs: int = 4
    rehearsal_ratio: float = 4.0
    uncorrected: float = 1.0


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
             recipe: Recipe, state: Path | None = None, say: Say = silent,
             rest: Callable[[], None] = lambda: None,
             ) -> tuple[Checkpoint, list[dict[str, float]]]:
    """Return a candidate, with the card of the policy that it comes from, and its course.

    Parameters
    ----------
    checkpoint : Checkpoint
        The policy to begin with.
    new, old : sequence of Recording
        What is to be learned, and what is rehearsed.
    recipe : Recipe
    state : Path, optional
        Keeps what is done after every epoch. If it is there, of the same policy, recordings and
        recipe, it is gone on from there, and what comes of it is the same.
    say : callable
        Is told how far it is.
    rest : callable
        Called after every step of work.

    Raises
    ------
    LnnError
        When nobody says in ``new`` what to do.
    """
    if not any(one.weights.any() for one in new):
        raise LnnError(f"nothing to learn from in {len(new)} recordings: expected commands of a "
                       f"person on takeover")
    of = _fingerprint(checkpoint, [*new, *old], recipe)
    trainer = Trainer.of(checkpoint, recipe.seed)
    own: list[Recording] = []
    for one in new if recipe.uncorrected else ():
        own += excerpts(uncorrected(one, trainer.commands(one)))
        rest()
    new = [part for one in new for part in excerpts(one)]
    trainer.hold(recipe.penalty)
    trainer.adapt_channels(recipe.penalty)
    course: list[dict[str, float]] = []
    if state is not None and state.exists():
        course = _taken_up(trainer, state, of)
    features: dict[int, NDArray[np.float32]] = {}

    def look() -> None:
        trainer.policy.encoder.freeze()
        every = (*new, *old, *own)
        for k, one in enumerate(every, 1):
            features[id(one)] = trainer.features(one)
            say({"stage": "looking", "done": k, "of": len(every)})
            rest()

    for epoch in range(len(course), recipe.epochs):
        rng = np.random.default_rng((recipe.seed, 0xF1E, epoch))
        helped = sum(map(len, new))
        sequences = [*new, *_share(old, recipe.rehearsal_ratio * helped, rng),
                     *_share(own, recipe.uncorrected * helped, rng)]
        if epoch >= recipe.encoder_epochs and not features:
            look()
        rates = tuple(recipe.rate * cosine((epoch + end) / recipe.epochs) for end in (0, 1))
        loss = trainer.epoch(sequences, (epoch,), (rates[0], rates[1]), min(LANES, len(sequences)),
                             WINDOW, _cached(features, sequences), rest)
        course.append({"epoch": epoch, "loss": loss})
        if state is not None:
            trainer.save(state, {"of": of, "course": course})
        say({"stage": "learning", "done": epoch + 1, "of": recipe.epochs, "loss": loss})
    if not features:
        look()
    after = {"new": new, "old": old, "uncorrected": own}
    for name, group in after.items():
        if group:
            course[-1][name] = trainer.loss(group, min(LANES, len(group)), WINDOW,
                                            _cached(features, group))
    novelty, card = checkpoint.novelty, dict(checkpoint.card)
    if novelty is not None and recipe.encoder_epochs:
        known, parent = old or new, Trainer.of(checkpoint, recipe.seed)
        novelty = novelty.carried(np.concatenate([parent.features(one)[0] for one in known]),
                                  np.concatenate([features[id(one)][0] for one in known]))
        card["novelty"] = {"carried_from": checkpoint.weights_digest()}  # fitted there, not here
    return Checkpoint(checkpoint.spec, {**checkpoint.arrays, **trainer.policy.arrays()},
                      card, novelty), course


def _cached(features: Mapping[int, NDArray[np.float32]],
            recordings: Sequence[Recording]) -> list[NDArray[np.float32]] | None:
    """Features of recordings; None while the encoder still learns."""
    return [features[id(one)] for one in recordings] if features else None


def _fingerprint(checkpoint: Checkpoint, recordings: Sequence[Recording], recipe: Recipe) -> str:
    """Return a digest of everything that decides what comes of it."""
    found = hashlib.sha256(checkpoint.weights_digest().encode())
    found.update(json.dumps(asdict(recipe), sort_keys=True).encode())
    for one in recordings:
        for values in (one.frames, one.where, one.summaries, one.labels, one.weights):
            found.update(np.ascontiguousarray(values).data)
    return found.hexdigest()


def _taken_up(trainer: Trainer, state: Path, of: str) -> list[dict[str, float]]:
    """Go on from a state; return the course until there, none where it is of something else."""
    try:
        with safe_open(state, "pt") as saved:
            if json.loads(saved.metadata()["progress"])["of"] != of:
                return []
        return list(trainer.load(state)["course"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return []  # half a state is none: it is begun anew


def _share(old: Sequence[Recording], updates: float, rng: np.random.Generator) -> list[Recording]:
    """Draw so much of what there is, another part in every epoch."""
    chosen, have = [], 0
    for k in rng.permutation(len(old)).tolist():
        if have >= updates:
            break
        chosen.append(old[k])
        have += len(old[k])
    return chosen
