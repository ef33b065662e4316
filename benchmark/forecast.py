# ruff: noqa: E402 - threads must be limited before numpy and torch are imported
"""Forecasting a planar walker's motion from frames at irregular times, all cells.

    python benchmark/forecast.py [--cells a,b] [--seeds 0:5] [--minutes 2] [--json FILE]
        [--workers N]

The task is that of Lechner and Hasani, "Learning long-term dependencies in irregularly-sampled
time series" (arXiv 2006.04418), section on Walker2d, which the CfC paper used too
(github.com/raminmh/CfC, train_walker.py and irregular_sampled_datasets.py): of a recording each
frame is removed with probability 0.1; the inputs are the 17 observations of a frame that is left
and the time since the one before it, in frames; the target is the frame that follows it in the
full recording; sequences are windows of 64 inputs, a quarter of their length apart; the error is
the squared error, averaged over the outputs, the steps and the sequences of the test split.

The data are our own (``sequences/walker.py``), each observation normalised by the mean and the
standard deviation of the training episodes. So the published column is another unit of another
recording, and stands beside as context only. Two references that need no training stand beside
too: holding the last frame, and least squares from the last two frames and the time between them.

A ``LiquidRNN`` adds its ``first_interval``, 1 s, to the time before a window's first frame, so the
cells see ``1 + dt`` there, in frames; the same for all cells, and only at that frame.

Train, validation and test come from disjoint episodes; the same for all cells and seeds. A seed
draws the initial weights and the order of the batches.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sequences.campaign import Job, arguments, campaign, limit_threads, table

limit_threads()

import numpy as np
import torch
from numpy.typing import NDArray
from sequences import walker
from sequences.rows import build, chosen_rows
from sequences.training import Batch, Training, train
from torch import Tensor, nn
from torch.nn import functional

LENGTH = 64
STRIDE = LENGTH // 4
REMOVED = 0.1
UNITS = 64
BATCH = 128
FIRST = {"train": 0, "validation": 100_000, "test": 200_000}
"""First episode of each split."""

PUBLISHED = {
    "lstm": 1.065,
    "transformer": 0.761,
    "ltc": 0.662,
    "cfc": 0.643,
    "cfc_mixed": 0.617,
}
"""Squared error on the authors' recordings, not normalised; Hasani et al., "Closed-form
continuous-time neural networks", 2022."""

OPTIONS: dict[str, dict[str, Any]] = {
    # Time is in frames here: about three sub-steps a frame, of an order above the published six.
    "ltc": {"first_step": 0.25, "growth": 1.5},
}
LEARNING_RATES: dict[str, float] = {}
LEARNING_RATE = 8e-3
"""The better of 2e-3 and 8e-3 for every row, by validation error within a minute of CPU on the
unreported seed 1000: ``benchmark/rates.py``, docs/results/rates_forecast.json."""


@dataclass(frozen=True)
class Windows:
    """Sequences of frames at irregular times.

    Attributes
    ----------
    x, y : ndarray of float32, shape (N, 64, 17)
        Normalised frames, and the frames that follow them.
    dt : ndarray of float32, shape (N, 64)
        Frames since the input before: 1 or more.
    """

    x: NDArray[np.float32]
    dt: NDArray[np.float32]
    y: NDArray[np.float32]

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """Return some sequences."""
        parts = (torch.from_numpy(part[rows]) for part in (self.x, self.dt, self.y))
        return Batch(*parts)

    def digest(self) -> str:
        """SHA-256 of the numbers."""
        joined = hashlib.sha256()
        for part in (self.x, self.dt, self.y):
            joined.update(np.ascontiguousarray(part).tobytes())
        return joined.hexdigest()


def windows(frames: NDArray[np.float64], first: int) -> Windows:
    """Remove frames and cut; ``first`` is the number of the first episode, and seeds."""
    xs, dts, ys = [], [], []
    for k, recording in enumerate(frames):
        rng = np.random.default_rng([first + k, 1])
        left = np.flatnonzero(rng.random(len(recording) - 1) >= REMOVED)
        dt = np.diff(left, prepend=-1)
        for start in range(0, len(left) - LENGTH + 1, STRIDE):
            rows = left[start : start + LENGTH]
            xs.append(recording[rows])
            ys.append(recording[rows + 1])
            dts.append(dt[start : start + LENGTH])
    return Windows(*(np.stack(part).astype(np.float32) for part in (xs, dts, ys)))


def splits(episodes: int) -> dict[str, Windows]:
    """Return the three splits; ``episodes`` of training, an eighth and a quarter as many others."""
    counts = {"train": episodes, "validation": -(-episodes // 8), "test": -(-episodes // 4)}
    frames = {name: walker.recordings(FIRST[name], count) for name, count in counts.items()}
    flat = frames["train"].reshape(-1, walker.SIZE)
    mean, deviation = flat.mean(0), flat.std(0)
    return {name: windows((f - mean) / deviation, FIRST[name]) for name, f in frames.items()}


def references(data: dict[str, Windows]) -> dict[str, float]:
    """Return the test errors of holding the last frame, and of least squares."""

    def features(part: Windows) -> NDArray[np.float64]:
        x, dt = part.x.astype(float), part.dt[:, 1:, None]
        now, slope = x[:, 1:], (x[:, 1:] - x[:, :-1]) / dt
        return np.concatenate([now, slope, np.ones_like(dt)], -1).reshape(-1, 2 * walker.SIZE + 1)

    def targets(part: Windows) -> NDArray[np.float64]:
        return part.y[:, 1:].astype(float).reshape(-1, walker.SIZE)

    test = data["test"]
    weights = np.linalg.lstsq(features(data["train"]), targets(data["train"]), rcond=None)[0]
    return {
        "hold_last_frame": float(np.mean((test.x - test.y) ** 2)),
        "least_squares": float(np.mean((features(test) @ weights - targets(test)) ** 2)),
    }


@torch.no_grad()
def error(model: nn.Module, data: Windows) -> float:
    """Mean squared error per step and output."""
    total = 0.0
    for rows in np.array_split(np.arange(len(data.x)), max(1, len(data.x) // 500)):
        batch = data.batch(rows)
        y, _ = model(batch.x, batch.dt)
        total += float(functional.mse_loss(y, batch.target)) * len(rows)
    return total / len(data.x)


class Forecast:
    """The task, for ``sequences.training``."""

    def __init__(self, data: dict[str, Windows]) -> None:
        self._data = data

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        data = self._data["train"]
        while True:
            order = rng.permutation(len(data.x))
            for start in range(0, len(order), BATCH):
                yield data.batch(order[start : start + BATCH])

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        y, _ = model(batch.x, batch.dt)
        return functional.mse_loss(y, batch.target)

    def validate(self, model: nn.Module, spent: float) -> float:
        return -error(model, self._data["validation"])

    def enough(self, scores: list[float]) -> bool:
        return False


def work(job: Job) -> dict[str, Any]:
    """Train and test one cell with one seed."""
    torch.set_num_threads(1)
    settings = job.settings
    data = splits(settings["episodes"])
    size = walker.SIZE
    model = build(job.row, size, size, settings["units"], job.seed, OPTIONS)
    rate = LEARNING_RATES.get(job.row, LEARNING_RATE)
    result = train(
        model,
        Forecast(data),
        Training(settings["minutes"], rate),
        job.seed,
    )
    epochs = result["sequences"] / len(data["train"].x)
    return {"test_error": error(model, data["test"]), "epochs": round(epochs, 2), **result}


def numbers(run: dict[str, Any]) -> dict[str, float]:
    """Return what the table shows."""
    return {
        "squared_error": run["test_error"],
        "cpu_seconds": run["cpu_seconds"],
        "epochs": run["epochs"],
        "parameters": run["parameters"],
    }


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    argv = sys.argv[1:] if argv is None else argv
    parser = arguments(__doc__, minutes=2.0, seeds="0:5")
    parser.add_argument("--episodes", type=int, default=400, help="of training")
    parser.add_argument("--units", type=int, default=UNITS)
    args = parser.parse_args(argv)
    data = splits(args.episodes)  # simulated here, once; the workers read the cache
    settings = {
        "episodes": args.episodes,
        "units": args.units,
        "batch": BATCH,
        "data_sha256": {name: part.digest() for name, part in data.items()},
    }
    beside = {
        "sequences": {name: len(part.x) for name, part in data.items()},
        "references": references(data),
        "published_on_other_data": PUBLISHED,
    }
    result, status = campaign(
        "forecast.py", argv, args, chosen_rows(args.cells), settings, work, beside, numbers
    )
    heads = {"squared_error": "squared error", "cpu_seconds": "CPU, s", "epochs": "epochs"}
    print(table(result, heads, {"(published)": PUBLISHED}))
    for name, value in beside["references"].items():
        print(f"{name:18s}{value:30.5g}")
    return status


if __name__ == "__main__":
    sys.exit(main())
