"""Runs every (cell, seed) of a benchmark, and keeps each result as soon as there is one."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lnn_ros.errors import LnnError
from lnn_ros.learning.jobs import provenance, seed_range
from lnn_ros.learning.results import locked, stored, write

HOLDS = "results of this benchmark"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """One training: a row of the table, a seed, and the settings that all share."""

    row: str
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name in the JSON."""
        return f"{self.row}/{self.seed}"


def arguments(doc: str, minutes: float, seeds: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all sequence benchmarks have."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--cells", help="rows, comma-separated; default: all")
    parser.add_argument("--seeds", type=seed_range, default=seed_range(seeds), metavar="A:B")
    parser.add_argument("--minutes", type=float, default=minutes, help="CPU, per cell and seed")
    parser.add_argument("--json", type=Path, help="keeps the results; a rerun goes on from it")
    parser.add_argument("--workers", type=int, default=1)
    return parser


def limit_threads() -> None:
    """One thread in this process and its children; call before numpy and torch are imported."""
    for name in THREADS:
        os.environ[name] = "1"


def spread(values: list[float]) -> dict[str, float]:
    """Median and extremes."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def campaign(
    script: str,
    argv: list[str],
    args: argparse.Namespace,
    rows: list[str],
    settings: dict[str, Any],
    work: Callable[[Job], dict[str, Any]],
    extra: Mapping[str, Any],
    numbers: Callable[[dict[str, Any]], dict[str, float]],
    summary: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
) -> tuple[dict[str, Any], int]:
    """Run what is not stored yet; return the whole result and the exit status.

    ``work`` trains and tests one job, ``numbers`` takes from its result what is told of it,
    ``extra`` goes to the head of the file. ``summary`` makes the file's rows of all runs; by
    default, medians and extremes of the numbers over the seeds. A job that fails is reported, and
    the others go on.
    """
    if "minutes" in args:
        settings = {"minutes": args.minutes, **settings}
    runs = stored(args.json, settings, HOLDS)
    header = provenance(" ".join(["python", f"benchmark/{script}", *argv]))
    jobs = [Job(row, seed, settings) for seed in args.seeds for row in rows]
    wanted = {job.key for job in jobs}
    left = [job for job in jobs if job.key not in runs]
    _say(f"{len(jobs) - len(left)} of {len(jobs)} runs are stored, {len(left)} to do")
    result: dict[str, Any] = {}

    def gather() -> None:
        # Another campaign may add its own to the same file at the same time: one after the other.
        with locked(args.json, wait=True):
            others = stored(args.json, settings, HOLDS)
            runs.update({k: v for k, v in others.items() if k not in runs})
            result.update(
                {
                    **header,
                    "settings": settings,
                    **extra,
                    "rows": summary(runs) if summary else _spreads(runs, numbers),
                    "runs": dict(sorted(runs.items())),
                }
            )
            if args.json:
                write(args.json, result)

    failed = 0
    start = time.monotonic()
    for done, (job, outcome) in enumerate(_run(work, left, args.workers), 1):
        if isinstance(outcome, Exception):
            failed += 1
            _say(f"{job.key} failed: {type(outcome).__name__}: {outcome}")
            continue
        # Several commits may share a file when a campaign is continued: each run names its own.
        runs[job.key] = {"commit": header["commit"], **outcome}
        gather()
        shown = ", ".join(f"{k} {v:.5g}" for k, v in numbers(outcome).items())
        minutes = (time.monotonic() - start) / 60
        _say(f"{done}/{len(left)} {job.key}: {shown}; {minutes:.1f} min")
    if not left or not result:
        gather()
    missing = sorted(wanted - runs.keys())
    if missing:
        _say(f"without a result: {', '.join(missing)}")
    return result, 1 if failed or missing else 0


def _spreads(
    runs: Mapping[str, Any], numbers: Callable[[dict[str, Any]], dict[str, float]]
) -> dict[str, Any]:
    """Spread over the seeds of every row's numbers."""
    table: dict[str, Any] = {}
    for key in sorted(runs, key=lambda k: (k.rsplit("/", 1)[0], int(k.rsplit("/", 1)[1]))):
        for name, value in numbers(runs[key]).items():
            table.setdefault(key.rsplit("/", 1)[0], {}).setdefault(name, []).append(value)
    return {
        row: {name: spread(values) for name, values in columns.items()}
        | {"seeds": len(next(iter(columns.values())))}
        for row, columns in table.items()
    }


def _run(work: Callable[[Job], dict[str, Any]], jobs: list[Job], workers: int) -> Any:
    if workers < 1:
        raise LnnError(f"--workers is {workers}, expected at least 1")
    if workers == 1:
        for job in jobs:
            try:
                yield job, work(job)
            except Exception as error:  # one cell's failure must not end a night of others
                yield job, error
        return
    # spawn: a forked copy of a process that has run torch threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = {pool.submit(work, job): job for job in jobs}
        for future in as_completed(futures):
            error = future.exception()
            yield futures[future], error if isinstance(error, Exception) else future.result()


def table(
    result: Mapping[str, Any],
    heads: Mapping[str, str],
    beside: Mapping[str, Mapping[str, float]] | None = None,
) -> str:
    """Return the rows as text: median [least, most] over the seeds, then columns of one number."""
    beside = beside or {}
    width = 30
    lines = ["".join(f"{head:>{width}s}" for head in heads.values())]
    lines[0] = f"{'':18s}{lines[0]}  seeds" + "".join(f"{name:>12s}" for name in beside)
    for row, values in result["rows"].items():
        text = f"{row:18s}"
        for name in heads:
            c = values[name]
            text += f"{c['median']:.5g} [{c['least']:.5g}, {c['most']:.5g}]".rjust(width)
        text += f"{values['seeds']:7d}"
        for column in beside.values():
            text += f"{column[row]:12.5g}" if row in column else f"{'-':>12s}"
        lines.append(text)
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
