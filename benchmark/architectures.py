# ruff: noqa: E402 - threads must be limited before numpy and torch are imported
"""Which architecture flies best: one data set, one encoder, cores of one size, trained alike.

    python benchmark/architectures.py --data RUN --encoder FILE --out FOLDER --json FILE
        [--cells a,b] [--workers N | --ray ADDRESS] [--budget]

RUN is a folder of ``lnn_ros train --out``. Of it the study takes ``round_0``, the flights of the
noisy teacher alone: the later rounds were flown by one architecture, and would favour it. In their
place the pool: a student of each cell flies as many flights as any other, with the teacher's
labels (DAgger). Then, on all these flights and on features of an encoder that stays as it is:

- cores have the same number of learnable parameters, within 5 %; how wide they then are is found;
- six trials of random search each (learning rate, weight decay, the cell's options, and whether it
  is built as a sparse NCP or dense), judged by the loss on the teacher's flights in validation
  worlds;
- three trainings of the best, with other seeds;
- flights of all of them through the same worlds, under the rows below, beside the teacher;
- trainings on 25 to 400 flights, flown nominal.

Worlds are disjoint: the data set's are training worlds, trials are judged in validation worlds, and
those of the tables follow from the SHA-256 of all policies in them: nobody can tune on them.

Intervals of rates are Wilson's. Differences to ``flow`` are bootstrapped over seeds and worlds, and
their p-values are Holm's over the rows of a cell.

Every result is kept in FILE as it comes; after a kill the same command goes on. ``--budget`` does
nothing but print what there is so far, and what is left: jobs of each step, and the CPU hours that
they will take by those that are done.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sequences.campaign import limit_threads

limit_threads()

from study import report
from study.cells import CELLS
from study.jobs import Given, Job, do
from study.plan import Study, check_policies, steps

from lnn_ros.errors import LnnError
from lnn_ros.learning import executors
from lnn_ros.learning.jobs import provenance
from lnn_ros.learning.results import locked, stored, write
from lnn_ros.learning.suite_report import plot
from lnn_ros.liquid.checkpoint import load
from lnn_ros.simulation.conditions import NOMINAL
from lnn_ros.simulation.task import Task

SHIFTS = (
    # What asks for a memory: where the target is, how far it has turned, what was seen before.
    "behind",  # it must be searched: nothing in sight tells how far one has turned already
    "target_occluded",  # it must be kept in mind for 1 to 3 s, while the vehicle flies on
    "blackout_in_turn",  # 0.7 s without any frame, when the view changes most
    # What asks for time: fewer frames, and frames that come at odd times.
    "camera_4hz",  # the slowest camera that the data set has, all along
    "drop_50",  # intervals of 50, 100, 150, ... ms at random
    # What asks for neither, or for both.
    "dirt",  # a part of every picture is missing, always the same: memory can fill it in
    "clutter",  # more obstacles: quick and precise, with nothing to remember. Does memory cost?
)
"""The seven shifts, named before anything was trained; families at the task's standard
strengths."""
CAMERA = ("camera_2hz", "camera_3hz")
"""Rows of the curve from 2 to 4 Hz, besides ``camera_4hz``. At 2 Hz a frame is for a moment older
than the 0.5 s that a pilot's guard bears: it then commands zero, whoever flies."""


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} found, expected numbers") from None


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--data", type=Path, required=True, help="run folder: its round_0 is the teacher's flights")
    add("--encoder", type=Path, required=True, help="policy file whose encoder all share")
    add("--out", type=Path, required=True, help="folder of policies, and of the pooled flights")
    add("--json", type=Path, required=True, help="keeps the results; a rerun goes on from it")
    add("--task", default="fly_to_target", help="default: %(default)s")
    add("--cells", default=",".join(CELLS), help="comma-separated (default: %(default)s)")
    add("--parameters", type=int, default=6000, help="of a core (default: %(default)s)")
    add("--pool-rounds", type=int, default=2, help="of DAgger (default: %(default)s)")
    add("--pool-flights", type=int, default=20, help="of each cell in each (default: %(default)s)")
    add("--validation", type=int, default=40, help="worlds that judge (default: %(default)s)")
    add("--trials", type=int, default=6, help="of each cell (default: %(default)s)")
    add("--trial-epochs", type=int, default=8, help="of trials and of students "
        "(default: %(default)s)")
    add("--epochs", type=int, default=24, help="of what is flown (default: %(default)s)")
    add("--seeds", type=int, default=3, help="trainings of each cell (default: %(default)s)")
    add("--labels", type=_numbers, default=(25, 50, 100, 200, 400), metavar="N,N,...",
        help="sizes of smaller data sets (default: 25,50,100,200,400)")
    add("--worlds", type=int, default=100, help="default: %(default)s")
    add("--budget", action="store_true", help="do nothing; print what there is and what is left")
    executors.add_arguments(add)
    return parser.parse_args(argv)


def study_of(args: argparse.Namespace) -> Study:
    """Return the settings.

    Raises
    ------
    LnnError
        When they make no study.
    """
    given = Given(args.task, str(args.encoder), args.parameters)
    found = Study(given, tuple(args.cells.split(",")), str(args.data), str(args.out),
                  (NOMINAL, *SHIFTS, *CAMERA), args.pool_rounds, args.pool_flights,
                  args.validation, args.trials, args.trial_epochs, args.epochs, args.seeds,
                  args.labels, args.worlds)  # fmt: skip
    found.check()
    return found


def settings_of(study: Study) -> dict[str, Any]:
    """Return what a file's results must have in common, as JSON gives it back."""
    shifts = Task.load(study.given.task).shifts
    encoder = load(study.given.encoder).weights_digest()
    named = {"task": study.given.task, "parameters": study.given.parameters,
             "encoder_weights": encoder, "strengths": shifts.stated,
             **{name: value for name, value in vars(study).items() if name != "given"}}
    return dict(json.loads(json.dumps(named)))


Keep = Callable[[str, dict[str, Any]], None]
"""Takes the key of a job that is done, and its result, and writes both down."""


def run(study: Study, runs: Mapping[str, Any], executor: executors.Executor, keep: Keep) -> bool:
    """Do what is not done yet, step by step; return whether all is.

    A job that fails is told and the others of its step go on, but no step after it begins.
    """
    for name in list(steps(study, runs)):
        if name.startswith("fly"):
            check_policies(runs)
        jobs = steps(study, runs)[name]
        left = [job for job in jobs if job.key not in runs]
        if left and not _do(name, left, executor, keep):
            return False
    return True


def _do(name: str, left: list[Job], executor: executors.Executor, keep: Keep) -> bool:
    started, failed = time.monotonic(), 0
    for done, (number, result) in enumerate(executor.as_done(do, left), 1):
        job = left[number]
        if "failed" in result:
            failed += 1
            sys.stderr.write(f"{job.key} failed: {result['failed']}\n")
            continue
        keep(job.key, result)
        passed = time.monotonic() - started
        sys.stderr.write(f"{name} {done}/{len(left)} {job.key}: {result['cpu_seconds']:.0f} s of "
                         f"CPU, {passed / 60:.1f} min, about "
                         f"{(len(left) - done) * passed / done / 60:.0f} left of this step\n")
        sys.stderr.flush()
    return not failed


def main(argv: list[str] | None = None) -> int:
    """Run the study, or what is left of it, and print its tables."""
    argv = sys.argv[1:] if argv is None else argv
    args = parse(argv)
    header = provenance(" ".join(["python", "benchmark/architectures.py", *argv]))
    try:
        study = study_of(args)
        with locked(None if args.budget else args.json):
            return conduct(args, study, header)
    except LnnError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def conduct(args: argparse.Namespace, study: Study, header: Mapping[str, Any]) -> int:
    """Run what is left, and print the tables; nobody else writes the file meanwhile."""
    settings = settings_of(study)
    runs = stored(args.json, settings, "runs of the study")

    def keep(key: str, result: dict[str, Any]) -> None:
        # Several commits may share a file: each run names its own.
        runs[key] = {"commit": header["commit"], **result}
        write(args.json, {**header, "settings": settings, "runs": dict(sorted(runs.items()))})

    whole = args.budget or run(study, runs, executors.of(args), keep)
    result = {**header, "settings": settings, **report.summary(study, runs),
              "runs": dict(sorted(runs.items()))}  # fmt: skip
    text = report.tables(result)
    print(text)
    if not args.budget:
        write(args.json, result)
        args.json.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
        if result["rows"]:
            plot(result, args.json.with_suffix(".png"), goals=False)
    return 0 if whole else 1


if __name__ == "__main__":
    raise SystemExit(main())
