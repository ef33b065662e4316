"""Choose learning rate, weight decay, size and solver of a core, by its loss on validation worlds.

The choice of solver, size and regularisation is a known weakness of liquid networks: one setting
for all would decide which of them looks good. A trial trains the core alone, on features of an
encoder that stays as it is, and is judged by its command loss on the teacher's flights in
validation worlds. Optuna draws the trials (TPE: Bergstra et al., NeurIPS 2011) and keeps them in a
file: the same command goes on from it.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.learning import executors
from lnn_ros.learning.architecture import CORES, make_policy, virtual_camera
from lnn_ros.learning.dataset import Recording
from lnn_ros.learning.demonstrate import record_all
from lnn_ros.learning.flights import find_flights
from lnn_ros.learning.hyperparameters import Hyperparameters
from lnn_ros.learning.jobs import provenance
from lnn_ros.learning.results import write
from lnn_ros.learning.sequences import read_folder
from lnn_ros.learning.train import CORE_WINDOW, lanes, read_window
from lnn_ros.learning.trainer import Trainer, cosine
from lnn_ros.liquid.checkpoint import load
from lnn_ros.simulation.seeds import VALIDATION
from lnn_ros.simulation.task import Task

FLIGHTS = range(VALIDATION.start, VALIDATION.start + 40)
"""Validation worlds that judge by default."""

Flights = tuple[list[Recording], list[NDArray[np.float32]]]
"""Recordings without their frames, and in their place the frames' features."""


@dataclass(frozen=True)
class Attempt:
    """One training.

    ``data`` and ``judge`` are folders of recorded flights, ``encoder`` a policy's file.
    """

    task: str
    core: str
    data: str
    judge: str
    encoder: str
    epochs: int
    seed: int
    chosen: Hyperparameters
    window: int = CORE_WINDOW


def recordings(folder: Path, camera: VirtualCamera, trainer: Trainer, digest: str) -> Flights:
    """Return flights, without their frames, and their features, which are kept in the folder."""
    found = read_folder(folder, camera)
    # Flights that have been added or recorded anew are other pictures.
    files = [(bag.name, (bag / "metadata.yaml").stat().st_mtime_ns) for bag in find_flights(folder)]
    key = hashlib.sha256(repr((digest, files)).encode()).hexdigest()
    cache = folder / f"features_{key[:16]}.npz.cache"
    if cache.is_file():
        with np.load(cache, allow_pickle=False) as data:
            features = [data[str(k)] for k in range(len(found))]
    else:
        features = [trainer.features(recording) for recording in found]
        half = cache.with_name(f".{cache.name}.{os.getpid()}")
        with open(half, "wb") as file:
            arrays: dict[str, Any] = {str(k): f for k, f in enumerate(features)}
            np.savez(file, **arrays)
        half.replace(cache)
    return [replace(r, frames=r.frames[:, :1, :1]) for r in found], features


def attempt(job: Attempt) -> float:
    """Train a core, and return its loss on the flights that judge; NaN where there is no such core.

    More parameters than a policy may have make none.

    Raises
    ------
    LnnError
        When the encoder is of another architecture, or a folder holds no flights.
    """
    torch.set_num_threads(1)
    encoder = load(job.encoder)
    task = Task.load(job.task)
    try:
        spec, wiring = make_policy(job.core, task, job.seed, shape=job.chosen.shape)
    except LnnError as error:
        sys.stderr.write(f"no such {job.core}: {error}\n")
        return math.nan
    trainer = Trainer(spec, wiring, job.seed, decay=job.chosen.decay)
    trainer.take_encoder(encoder, job.encoder)
    digest, camera = encoder.weights_digest(), virtual_camera(task)
    learn(trainer, recordings(Path(job.data), camera, trainer, digest), job.epochs, job.chosen.rate,
          job.window)
    return judged(trainer, recordings(Path(job.judge), camera, trainer, digest), job.window)


def learn(trainer: Trainer, flights: Flights, epochs: int, rate: float,
          window: int = CORE_WINDOW) -> None:
    """Train the core alone, the learning rate annealed from ``rate`` over so many epochs."""
    for epoch in range(epochs):
        low, high = (rate * cosine(end / epochs) for end in (epoch, epoch + 1))
        low = 0.1 * rate if epoch == 0 else low
        trainer.epoch(flights[0], (epoch,), (low, high), lanes(window), window, flights[1])


def judged(trainer: Trainer, flights: Flights, window: int = CORE_WINDOW) -> float:
    """Return the command loss on flights that judge."""
    return trainer.loss(flights[0], min(lanes(window), len(flights[0])), window, flights[1])


def tune(study: optuna.Study, usual: Attempt, trials: int,
         executor: executors.Executor, at_once: int) -> None:
    """Do trials until a study holds so many that are complete.

    Trials that were running when an earlier command was stopped count as failed, and are drawn
    anew.
    """
    for stale in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(stale.number, state=TrialState.FAIL)
    started = time.monotonic()
    while (done := len(study.get_trials(states=(TrialState.COMPLETE,)))) < trials:
        drawn = [study.ask() for _ in range(min(at_once, trials - done))]
        jobs = [replace(usual, chosen=Hyperparameters.suggested(trial, usual.core))
                for trial in drawn]
        for trial, job, loss in zip(drawn, jobs, executor.run(attempt, jobs), strict=True):
            finite = bool(np.isfinite(loss))
            study.tell(trial, loss if finite else None,
                       TrialState.COMPLETE if finite else TrialState.FAIL)
            sys.stderr.write(f"trial {trial.number}: loss {loss:.4f}, {job.chosen.as_dict()}, "
                             f"{time.monotonic() - started:.0f} s\n")
        if len(study.trials) > 3 * trials + at_once:
            raise LnnError(f"{len(study.trials)} trials found of which {done} have a finite loss, "
                           f"expected {trials}: is the data usable?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("--data", type=Path, required=True,
        help="folder of recorded flights to learn from, as a round_N of lnn_ros train")
    add("--encoder", type=Path, required=True, help="policy file whose encoder looks")
    add("--out", type=Path, required=True, help="folder of the study; best.json is written there")
    add("--core", choices=[c for c in CORES if c != "feedforward"], default="flow",
        help="cell that remembers (default: %(default)s)")
    add("--task", default="fly_to_target",
        help="name of a task, or path of a task file (default: %(default)s)")
    add("--trials", type=int, default=20, help="trainings, those of earlier commands included")
    add("--epochs", type=int, default=8, help="over the flights, in each")
    add("--window", type=read_window, default=CORE_WINDOW,
        help="frames in a row over which the core learns to remember (default: %(default)s)")
    add("--validation", type=Path,
        help="folder of recorded flights that judge; by default the teacher flies "
        f"{len(FLIGHTS)} validation worlds, once, into --out")
    add("--seed", type=int, default=0, help="of weights, wiring, order and trials")
    executors.add_arguments(add)


def run(args: argparse.Namespace) -> int:
    """Tune, or go on tuning."""
    if args.trials < 1 or args.epochs < 1:
        raise LnnError(f"--trials {args.trials} --epochs {args.epochs} found, expected 1 or more")
    args.out.mkdir(parents=True, exist_ok=True)
    executor = executors.of(args)
    judge = args.validation or args.out / "validation"
    if not args.validation:
        record_all(FLIGHTS, judge, executor, task=args.task)
    usual = Attempt(args.task, args.core, str(args.data), str(judge), str(args.encoder),
                    args.epochs, args.seed, Hyperparameters(), args.window)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Trials of other data, epochs or encoder are of another study: losses would not compare.
    name = f"{args.core} {args.task} {args.data} {judge} {args.encoder} {args.epochs} {args.seed}"
    name += f" {args.window}" if args.window != CORE_WINDOW else ""
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(args.out / "study.log"))),
        study_name=name, load_if_exists=True)
    known = [t.number for t in study.trials]
    # Seeded alike, a sampler that goes on would draw again what it drew at first.
    study.sampler = optuna.samplers.TPESampler(seed=args.seed + len(known), constant_liar=True)
    attempt(replace(usual, epochs=0))  # the features are made once, here, and errors are said
    tune(study, usual, args.trials, executor, executor.width)
    best = Hyperparameters.suggested(optuna.trial.FixedTrial(study.best_params), args.core)
    losses = sorted(t.value for t in study.get_trials(states=(TrialState.COMPLETE,))
                    if t.value is not None)
    result = {**provenance(" ".join(["lnn_ros", *sys.argv[1:]])), "core": args.core,
              "best": best.as_dict(), "loss": study.best_value, "losses": losses,
              "trials": len(losses), "went_on_from": len(known)}
    write(args.out / "best.json", result)
    print(f"{args.out / 'best.json'}: loss {study.best_value:.4f} of {len(losses)} trials, median "
          f"{losses[len(losses) // 2]:.4f}: {best.as_dict()}")
    return 0
