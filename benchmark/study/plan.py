"""Which jobs the study has, step by step: what each step needs, the steps before it have found."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lnn_ros.errors import LnnError
from lnn_ros.learning import suite
from lnn_ros.learning.demonstrate import Episode
from lnn_ros.learning.tune import FLIGHTS
from lnn_ros.liquid.checkpoint import load
from lnn_ros.simulation.conditions import NOMINAL
from lnn_ros.simulation.seeds import REPORTED, TRAIN, VALIDATION, final_worlds
from study.cells import CELLS, Choice, drawn, usual
from study.jobs import Fly, Given, Job, Learn, Look, Record

POOL_FIRST = TRAIN.start + 50_000
"""First world of the pooled flights: far from those that ``lnn_ros train`` flies by default."""
SEARCH_SEED = 1000
"""Of weights, wiring and order while something is chosen; tables report seeds below 100."""
FLIGHTS_PER_JOB = 5
MOST_REPEATS = 8.0
"""Fewer flights are gone through more often, so that labels are what they lack and not steps of
the optimiser; at most so many times as often as all of them."""
TEACHER = suite.TEACHER

Runs = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Study:
    """The settings: see ``benchmark/architectures.py --help``."""

    given: Given
    cells: tuple[str, ...]
    data: str
    out: str
    rows: tuple[str, ...]
    pool_rounds: int
    pool_flights: int
    validation: int
    trials: int
    trial_epochs: int
    epochs: int
    seeds: int
    labels: tuple[int, ...]
    worlds: int

    def check(self) -> None:
        """Refuse settings with which nothing can be compared.

        Raises
        ------
        LnnError
            Naming the option, what was found and what was expected.
        """
        for cell in self.cells:
            if cell not in CELLS or self.cells.count(cell) > 1:
                raise LnnError(f"--cells: {cell!r} found, expected some of {', '.join(CELLS)}, "
                               f"each once")
        for name in ("validation", "trials", "trial_epochs", "epochs", "seeds", "worlds"):
            if getattr(self, name) < 1:
                raise LnnError(f"--{name.replace('_', '-')} {getattr(self, name)} found, expected "
                               f"1 or more")
        pooled = self.pool_rounds * len(CELLS) * self.pool_flights
        if min(self.pool_rounds, self.pool_flights) < 0 or POOL_FIRST + pooled > TRAIN.stop:
            raise LnnError(f"--pool-rounds {self.pool_rounds} --pool-flights {self.pool_flights} "
                           f"found, expected 0 or more, and {TRAIN.stop - POOL_FIRST} flights at "
                           f"most, {len(CELLS)} cells together")
        if FLIGHTS.start + self.validation > VALIDATION.stop:
            raise LnnError(f"--validation {self.validation} found, expected {len(VALIDATION)} "
                           f"worlds at most")
        if any(size < 1 for size in self.labels):
            raise LnnError(f"--labels {self.labels} found, expected numbers of flights")

    def path(self, *parts: object) -> str:
        """Return the path of something that the study makes."""
        return str(Path(self.out, *map(str, parts)))

    @property
    def teacher(self) -> str:
        """Folder of the teacher's flights."""
        return str(Path(self.data, "round_0"))

    def folders(self, rounds: int) -> tuple[str, ...]:
        """Return the folders of the teacher's flights and of so many rounds of pooled ones."""
        pooled = (self.path(f"round_{number + 1}") for number in range(rounds))
        return (self.teacher, *pooled)


def _seen(study: Study, runs: Runs, rounds: int) -> int:
    """Flights of the data set after so many rounds; those not recorded yet as they are planned."""
    planned = len(study.cells) * study.pool_flights
    return sum(runs.get(f"see/-/{number}", {}).get("flights", planned if number else 0)
               for number in range(rounds + 1))  # fmt: skip


def best(study: Study, runs: Runs, cell: str) -> Choice:
    """Return the choice with the least loss on the flights that judge; the usual one before.

    Raises
    ------
    LnnError
        When all trials are done, and none has a finite loss.
    """
    found = {number: runs[key] for number in range(study.trials)
             if (key := f"search/{cell}/{number}") in runs}
    losses = {run["loss"]: run for run in found.values() if run["loss"] is not None}
    if not losses:
        if len(found) == study.trials:
            raise LnnError(f"cell {cell}: {study.trials} trials found without a finite loss, "
                           f"expected one with it: is the data usable?")
        return usual(cell)
    return Choice(**losses[min(losses)]["choice"])


def worlds(study: Study, runs: Runs) -> range:
    """Return the worlds of the tables: they follow from the weights of all policies in them.

    So nobody can know them before all of these are trained. Until then: any.
    """
    digests = [run["weights"] for key, run in runs.items() if key.startswith("train/")]
    if len(digests) < len(study.cells) * study.seeds:
        return range(REPORTED.start, REPORTED.start + study.worlds)
    return final_worlds(hashlib.sha256("".join(sorted(digests)).encode()).hexdigest(), study.worlds)


def steps(study: Study, runs: Runs) -> dict[str, list[Job]]:
    """Return all jobs by their step, in order.

    Jobs of a step are as they will be done once the steps before it are; until then, as many and as
    large as they will be.
    """
    found: dict[str, list[Job]] = {}
    for number in range(study.pool_rounds + 1):
        if number:
            found[f"student {number}"] = _students(study, runs, number)
            found[f"pool {number}"] = _pool(study, number)
        folder = study.folders(number)[-1]
        found[f"see {number}"] = [Look(str(number), folder, study.given)]
    judge = study.path("validation")
    judging = range(FLIGHTS.start, FLIGHTS.start + study.validation)
    found["validation"] = _batches("validation", TEACHER, _episodes(judging, judge, study))
    found["see validation"] = [Look("validation", judge, study.given)]
    found["search"] = _search(study, runs, judge)
    found["train"] = _train(study, runs)
    found["fly"] = _fly(study, runs)
    found["labels"] = _labels(study, runs)
    found["fly labels"] = _fly_labels(study, runs)
    return found


def _students(study: Study, runs: Runs, number: int) -> list[Job]:
    """Train a student of each cell on what there is before a round."""
    return [Learn(f"student {number}", cell, "0", study.given, usual(cell), SEARCH_SEED,
                  study.trial_epochs, study.folders(number - 1), _seen(study, runs, number - 1),
                  file=study.path("students", f"{cell}_{number}.safetensors"))
            for cell in study.cells]  # fmt: skip


def _pool(study: Study, number: int) -> list[Job]:
    """Let each student fly, half of the time in the first round and all of it in the last."""
    share = min(1.0, 0.5 + 0.5 * (number - 1) / max(1, study.pool_rounds - 1))
    jobs: list[Job] = []
    for cell in study.cells:
        # Worlds are those of the cell, whichever others there are.
        place = (number - 1) * len(CELLS) + CELLS.index(cell)
        first = POOL_FIRST + place * study.pool_flights
        seeds = range(first, first + study.pool_flights)
        student = study.path("students", f"{cell}_{number}.safetensors")
        folder = study.folders(number)[-1]
        jobs += _batches(f"pool {number}", cell, _episodes(seeds, folder, study, student, share))
    return jobs


def _episodes(seeds: range, folder: str, study: Study, student: str | None = None,
              share: float = 0.0) -> list[Episode]:
    return [Episode(seed, str(Path(folder, f"{seed:06d}")), student, share, study.given.task)
            for seed in seeds]  # fmt: skip


def _batches(step: str, cell: str, episodes: list[Episode]) -> list[Job]:
    return [Record(step, cell, str(at), tuple(episodes[at : at + FLIGHTS_PER_JOB]))
            for at in range(0, len(episodes), FLIGHTS_PER_JOB)]  # fmt: skip


def _search(study: Study, runs: Runs, judge: str) -> list[Job]:
    """Random search; all cells' first trials come first, so that costs are known early."""
    count = _seen(study, runs, study.pool_rounds)
    return [Learn("search", cell, str(number), study.given, drawn(cell, number), SEARCH_SEED,
                  study.trial_epochs, study.folders(study.pool_rounds), count, judge=judge)
            for number in range(study.trials) for cell in study.cells]  # fmt: skip


def _train(study: Study, runs: Runs) -> list[Job]:
    count = _seen(study, runs, study.pool_rounds)
    return [Learn("train", cell, str(seed), study.given, best(study, runs, cell), seed,
                  study.epochs, study.folders(study.pool_rounds), count,
                  judge=study.path("validation"),
                  file=study.path("policies", f"{cell}_{seed}.safetensors"))
            for seed in range(study.seeds) for cell in study.cells]  # fmt: skip


def _labels(study: Study, runs: Runs) -> list[Job]:
    """Train on fewer flights."""
    count, jobs = _seen(study, runs, study.pool_rounds), []
    for size in study.labels:
        if "see/-/0" in runs and size > count:
            raise LnnError(f"--labels {size} found, expected at most {count}, the flights of "
                           f"{study.teacher} and of the pool")
        repeats = min(MOST_REPEATS, max(1.0, count / size))
        jobs += [Learn("labels", cell, f"{size}/{seed}", study.given, best(study, runs, cell), seed,
                       math.ceil(repeats * study.epochs), study.folders(study.pool_rounds), count,
                       size, file=study.path("policies", f"{cell}_{seed}_of_{size}.safetensors"))
                 for seed in range(study.seeds) for cell in study.cells]  # fmt: skip
    return list(jobs)


def _fly(study: Study, runs: Runs) -> list[Job]:
    """Fly all rows in a few worlds, then in the next: a whole table, over more and more of them."""
    seeds, jobs, task = worlds(study, runs), [], study.given.task
    for part in _parts(seeds):
        for row in study.rows:
            teacher = suite.Run(row, TEACHER, suite.Column(TEACHER, "", "none"), part, task)
            jobs.append(Fly("fly", TEACHER, "0", teacher))
            for seed in range(study.seeds):
                jobs += [_flown(study, runs, "fly", cell, f"train/{cell}/{seed}", str(seed), row,
                                part) for cell in study.cells]
    return list(jobs)


def _fly_labels(study: Study, runs: Runs) -> list[Job]:
    """Fly what learned from fewer flights, nominal, in the same worlds."""
    return [_flown(study, runs, "fly labels", cell, f"labels/{cell}/{size}/{seed}",
                   f"{size}@{seed}", NOMINAL, part)
            for part in _parts(worlds(study, runs)) for size in study.labels
            for seed in range(study.seeds) for cell in study.cells]  # fmt: skip


def _parts(seeds: range) -> list[range]:
    most = suite.WORLDS_PER_RUN
    return [seeds[at : at + most] for at in range(0, len(seeds), most)]


def _flown(study: Study, runs: Runs, step: str, cell: str, trained: str, name: str, row: str,
           part: range) -> Fly:
    run = runs.get(trained, {})
    file = run.get("file", "")
    column = suite.Column(file, file, run.get("weights", ""))
    return Fly(step, cell, name, suite.Run(row, f"{cell}@{name}", column, part, study.given.task))


def check_policies(runs: Runs) -> None:
    """Refuse to fly policies that are not those that were trained.

    Raises
    ------
    LnnError
        Naming the file, and what is to be done.
    """
    for key, run in runs.items():
        if key.startswith(("train/", "labels/")):
            digest = load(run["file"]).weights_digest()
            if digest != run["weights"]:
                raise LnnError(f"{run['file']}: weights {digest[:16]} found, expected "
                               f"{run['weights'][:16]} of {key}: take that run out of the JSON, "
                               f"and it is trained again")
