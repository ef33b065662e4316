"""The jobs of the study: each can be done anywhere, and comes to plain data for the JSON.

A job's ``key`` names it in the file: its step, its cell ("-": none), and what else there is of it.
``nature`` and ``units`` say what its CPU time grows with: epochs times flights when a core learns,
flights when they are flown.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from lnn_ros.errors import LnnError
from lnn_ros.learning import suite
from lnn_ros.learning.architecture import camera_card, virtual_camera
from lnn_ros.learning.demonstrate import Episode, record
from lnn_ros.learning.flights import find_flights
from lnn_ros.learning.sequences import recorded_shifts
from lnn_ros.learning.trainer import Trainer
from lnn_ros.learning.tune import Flights, judged, learn, recordings
from lnn_ros.liquid.checkpoint import Checkpoint, load, save, streams
from lnn_ros.simulation.task import Task
from study.cells import Choice, make, usual

ORDER_SEED = 7
"""Of the order in which a smaller data set takes flights: a larger one holds all of a smaller."""


WINDOW = 192
"""Frames in a row over which a core learns: 10 s. A search turns for 4 s."""


class Job(Protocol):
    """Something to do."""

    @property
    def key(self) -> str:
        """Name in the file."""

    @property
    def nature(self) -> str:
        """``learn``, ``fly`` or ``see``."""

    @property
    def units(self) -> float:
        """How much of its nature there is to do."""

    def do(self) -> dict[str, Any]:
        """Do it."""


@dataclass(frozen=True)
class Given:
    """What all jobs share: task, encoder's file, learnable parameters of a core."""

    task: str
    encoder: str
    parameters: int


def do(job: Job) -> dict[str, Any]:
    """Do a job; what goes wrong in one must not end a night of others: it is said as ``failed``."""
    try:
        return job.do()
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def _trainer(given: Given, cell: str, choice: Choice, seed: int) -> Trainer:
    """Return an untrained policy of a cell with the encoder of all."""
    spec, wiring = make(cell, choice, given.parameters, given.task, seed)
    trainer = Trainer(spec, wiring, seed, decay=choice.decay)
    trainer.take_encoder(load(given.encoder), given.encoder)
    return trainer


@lru_cache(maxsize=2)
def _flights(folders: tuple[str, ...], given: Given) -> Flights:
    """Return the flights of folders, and what the encoder sees in them."""
    trainer, digest = _trainer(given, "flow", usual("flow"), 0), load(given.encoder)
    camera = virtual_camera(Task.load(given.task))
    found = [recordings(Path(f), camera, trainer, digest.weights_digest()) for f in folders]
    return [r for part, _ in found for r in part], [f for _, part in found for f in part]


@dataclass(frozen=True)
class Look:
    """Let the encoder look at all flights of a folder, once: the features are kept there."""

    name: str
    folder: str
    given: Given
    nature: ClassVar[str] = "see"
    units: float = 1.0

    @property
    def key(self) -> str:
        """Name in the file."""
        return f"see/-/{self.name}"

    def do(self) -> dict[str, Any]:
        """Look; return how many flights and updates there are, and the shifts in them."""
        torch.set_num_threads(1)
        start = time.process_time()
        flights, _ = _flights((self.folder,), self.given)
        return {"flights": len(flights), "updates": sum(len(flight) for flight in flights),
                "shifts": recorded_shifts(find_flights(Path(self.folder))),
                "cpu_seconds": round(time.process_time() - start, 1)}  # fmt: skip


@dataclass(frozen=True)
class Learn:
    """Train a core.

    Attributes
    ----------
    step, cell, name : str
        Make the key.
    choice : Choice
    seed, epochs : int
    folders : tuple of str
        Whose flights there are to learn from.
    flights : int
        How many there are.
    count : int, optional
        Learn from so many of them only.
    judge : str, optional
        Folder of flights that judge.
    file : str, optional
        The policy is written there.
    """

    step: str
    cell: str
    name: str
    given: Given
    choice: Choice
    seed: int
    epochs: int
    folders: tuple[str, ...]
    flights: int
    count: int | None = None
    judge: str | None = None
    file: str | None = None
    nature: ClassVar[str] = "learn"

    @property
    def key(self) -> str:
        """Name in the file."""
        return f"{self.step}/{self.cell}/{self.name}"

    @property
    def units(self) -> float:
        """Epochs times flights."""
        return float(self.epochs * (self.count or self.flights))

    def do(self) -> dict[str, Any]:
        """Train; return what was trained, on how much, and its losses."""
        torch.set_num_threads(1)
        flights, features = _flights(self.folders, self.given)
        if self.count is not None:
            if self.count > len(flights):
                raise LnnError(f"{len(flights)} flights found, expected at least {self.count}")
            order = np.random.default_rng(ORDER_SEED).permutation(len(flights))[: self.count]
            flights, features = [flights[k] for k in order], [features[k] for k in order]
        trainer = _trainer(self.given, self.cell, self.choice, self.seed)
        core = trainer.policy.core
        found: dict[str, Any] = {
            "choice": self.choice.as_dict(), "seed": self.seed, "epochs": self.epochs,
            "flights": len(flights), "core_parameters": core.cell.learnable(core.wiring.masks()),
            "parameters": trainer.policy.spec.count(),
        }  # fmt: skip
        start = time.process_time()
        learn(trainer, (flights, features), self.epochs, self.choice.rate, WINDOW)
        found["cpu_seconds"] = round(time.process_time() - start, 1)
        if self.judge is not None:
            loss = judged(trainer, _flights((self.judge,), self.given), WINDOW)
            found["loss"] = loss if math.isfinite(loss) else None
        if self.file is not None:
            checkpoint = self._checkpoint(trainer, found)
            Path(self.file).parent.mkdir(parents=True, exist_ok=True)
            save(self.file, checkpoint)
            found |= {"file": self.file, "weights": checkpoint.weights_digest()}
        return found

    def _checkpoint(self, trainer: Trainer, training: dict[str, Any]) -> Checkpoint:
        task, spec = Task.load(self.given.task), trainer.policy.spec
        card = {"name": task.name, "task": task.name, "streams": streams(spec),
                "camera": camera_card(task),
                "training": {"study": self.key, **training}, "evaluation": {}}  # fmt: skip
        return Checkpoint(spec, trainer.policy.arrays(), card)


@dataclass(frozen=True)
class Record:
    """Record flights, by the teacher alone or in turns with a student; those there are kept."""

    step: str
    cell: str
    name: str
    episodes: tuple[Episode, ...]
    nature: ClassVar[str] = "fly"

    @property
    def key(self) -> str:
        """Name in the file."""
        return f"{self.step}/{self.cell}/{self.name}"

    @property
    def units(self) -> float:
        """Flights."""
        return float(len(self.episodes))

    def do(self) -> dict[str, Any]:
        """Record; return how the flights ended."""
        start = time.process_time()
        outcomes = Counter(record(episode) for episode in self.episodes)
        seeds = [episode.seed for episode in self.episodes]
        return {"seeds": seeds, "outcomes": dict(sorted(outcomes.items())),
                "cpu_seconds": round(time.process_time() - start, 1)}  # fmt: skip


@dataclass(frozen=True)
class Fly:
    """Fly a policy through some worlds under a shift."""

    step: str
    cell: str
    name: str
    run: suite.Run
    nature: ClassVar[str] = "fly"

    @property
    def key(self) -> str:
        """Name in the file: after step, cell and policy, the run's row and first world."""
        return f"{self.step}/{self.cell}/{self.name}/{self.run.row}/{self.run.seeds.start}"

    @property
    def units(self) -> float:
        """Flights."""
        return float(len(self.run.seeds))

    def do(self) -> dict[str, Any]:
        """Fly; return the flights as a suite packs them."""
        return suite.fly_run(self.run)
