# ruff: noqa: E402 - threads must be limited before numpy and torch are imported
"""Which learning rate each cell of a benchmark trains with: short trainings on an unreported seed.

    python benchmark/rates.py xor|forecast [--cells a,b] [--rates 2e-3,8e-3] [--minutes 1.5]
        [--json FILE] [--workers N]

The best rate differs so much between cells that one rate for all would decide the table. So every
row of the table is tried with the same few rates, for the same CPU time, with a seed that no table
reports, and judged by the validation split; the winners are written into ``LEARNING_RATES`` of
``benchmark/xor.py`` and ``benchmark/forecast.py`` by hand. A test compares them with the results.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sequences.campaign import Job, arguments, campaign, limit_threads

limit_threads()

import forecast
import torch
import xor
from sequences.rows import build, chosen_rows
from sequences.training import Training, train

SEED = 1000
"""Of the weights, the batches and, for XOR, the data; the tables report seeds below 100."""
TASKS = ("xor", "forecast")


def work(job: Job) -> dict[str, Any]:
    """Train one cell at one rate; ``job.row`` is ``cell@rate``."""
    torch.set_num_threads(1)
    settings = job.settings
    row, rate = job.row.split("@")
    if settings["task"] == "xor":
        parity = xor.Parity(100_000, 10_000, job.seed)
        model = build(row, 1, 1, xor.UNITS, job.seed, xor.OPTIONS)
        return train(model, parity, Training(settings["minutes"], float(rate)), job.seed)
    size = forecast.walker.SIZE
    walk = forecast.Forecast(forecast.splits(settings["episodes"]))
    model = build(row, size, size, forecast.UNITS, job.seed, forecast.OPTIONS)
    return train(model, walk, Training(settings["minutes"], float(rate)), job.seed)


def best(runs: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the rate with the highest validation score of every row; of equals the lower."""
    found: dict[str, tuple[float, float]] = {}
    for key, run in runs.items():
        row, rate = key.rsplit("/", 1)[0].split("@")
        found[row] = max(found.get(row, (-float("inf"), 0.0)), (run["validation"], -float(rate)))
    return {row: -negative for row, (_, negative) in sorted(found.items())}


def main(argv: list[str] | None = None) -> int:
    """Run the trials."""
    argv = sys.argv[1:] if argv is None else argv
    parser = arguments(__doc__, minutes=1.5, seeds=f"{SEED}:{SEED + 1}")
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--rates", default="2e-3,8e-3", type=_rates, metavar="RATE,RATE")
    args = parser.parse_args(argv)
    settings: dict[str, Any] = {"task": args.task}
    if args.task == "forecast":
        settings["episodes"] = 400
        forecast.splits(settings["episodes"])  # simulated here, once; the workers read the cache
    rows = [f"{row}@{rate:g}" for row in chosen_rows(args.cells) for rate in args.rates]
    result, status = campaign(
        "rates.py", argv, args, rows, settings, work, {}, lambda run: {"score": run["validation"]}
    )
    for row, values in result["rows"].items():
        print(f"{row:24s}{values['score']['median']:12.5g}")
    print("best:", best(result["runs"]))
    return status


def _rates(text: str) -> list[float]:
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} found, expected numbers") from error
    if not all(0 < rate < 1 for rate in rates):
        raise argparse.ArgumentTypeError(f"{text!r} found, expected rates between 0 and 1")
    return rates


if __name__ == "__main__":
    sys.exit(main())
