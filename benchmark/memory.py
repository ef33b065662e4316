# ruff: noqa: E402 - threads must be limited before numpy and torch are imported
"""Long memory as a task: which cue was shown, asked 1, 5 and 30 s later, at 200 Hz.

    python benchmark/memory.py [--cells a,b] [--rates 200,20] [--seeds 0:3] [--minutes 5]
        [--json FILE] [--workers N]

One of four channels is raised by 1 for 0.1 s, somewhere in the first 0.5 s. All the time each
channel carries distractor noise, an Ornstein-Uhlenbeck process (standard deviation 0.3,
correlation time 20 ms): a function of time, so that it is the same noise at whatever rate it is
sampled. The network is told neither when the cue comes nor when it will be asked: its output 1, 5
and 30 s after the cue's end is taken for its answer; at 200 Hz the last is 6,000 observations
later. Chance is 25 %.

Rows: a cell's name with ``@200``, trained at 200 Hz; with ``@20``, trained at irregular times 5
to 95 ms apart (20 Hz on average), which costs a tenth. Both are tested at 200 Hz, where an
interval's meaning must be its seconds and not its number.

Training is the same for all cells: back-propagation through the whole sequence, a curriculum over
delays of 1, 5 and 30 s. A stage ends when validation accuracy reaches 97 % at its delay, or at
20 % and 45 % of the CPU budget. Test sequences are fresh.

Beside the accuracy stands how much of the gradient arrives: the norm of the gradient of the
answer's margin at 30 s with respect to the state, 0.1 to 30 s before, relative to that at 0.1 s
(median over sequences). The margin is the right logit less the log-sum-exp of the others: the
loss is a function of it, but shrinks where the answer is sure.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sequences.campaign import Job, arguments, campaign, limit_threads, table

limit_threads()

import numpy as np
import torch
from numpy.typing import NDArray
from sequences.rows import build, chosen_rows
from sequences.training import Batch, Training, train
from torch import Tensor, nn
from torch.nn import functional

from lnn_ros.errors import LnnError

CLASSES = 4
UNITS = 64
RATE = 200.0
"""Observations per second of the test."""
CUE_S, WINDOW_S = 0.1, 0.5
NOISE, NOISE_S = 0.3, 0.02
"""Standard deviation and correlation time of the distractor."""
DELAYS = (1.0, 5.0, 30.0)
ASKED = (0.1, 0.3, 1.0, 3.0, 5.0, 10.0, 30.0)
"""Delays at which training asks; a stage of the curriculum asks up to its own."""
LEARNED, LATEST = 0.97, (0.2, 0.45)
SURE = 0.995
"""Validation accuracy at the longest delay that, five times in a row, ends a training."""
BATCH = 32
CHUNK = 50
"""Sequences that are tested together."""
VALIDATIONS = 30
DISTANCES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
TRAIN_SEED, VALIDATION_SEED, TEST_SEED = 1, 2, 3
"""First word of the seeds of the three splits: no split can share a random stream."""

LEFT_OUT = ("ltc",)
"""No rows unless asked for: one update through 6,000 steps of its ODE takes a minute of CPU."""
OPTIONS: dict[str, dict[str, Any]] = {}
LEARNING_RATES: dict[str, float] = {}
LEARNING_RATE = 5e-3


@dataclass(frozen=True)
class Cues:
    """Sequences that start with a cue.

    Attributes
    ----------
    x : ndarray of float32, shape (N, T, 4)
    dt : ndarray of float32, shape (N, T)
        Seconds before each observation.
    time : ndarray, shape (N, T)
        Seconds of each observation.
    end : ndarray, shape (N,)
        When the cue ended.
    label : ndarray of int64, shape (N,)
    """

    x: NDArray[np.float32]
    dt: NDArray[np.float32]
    time: NDArray[np.float64]
    end: NDArray[np.float64]
    label: NDArray[np.int64]

    def batch(self, delays: tuple[float, ...], rows: slice = slice(None)) -> Batch:
        """Return sequences with the steps at which they answer."""
        asked = self.end[rows, None] + np.array(delays)
        # The first observation at or after the instant; the sum may round either way.
        at = (self.time[rows, None, :] < asked[..., None] - 1e-9).sum(-1)
        return Batch(
            torch.from_numpy(self.x[rows]),
            torch.from_numpy(self.dt[rows]),
            torch.from_numpy(self.label[rows]),
            torch.from_numpy(at),
        )


def generate(count: int, delay: float, rate: float, rng: np.random.Generator) -> Cues:
    """Draw sequences up to ``delay`` seconds after the latest cue; see the head of this file.

    At 200 Hz the times are regular; at another rate the intervals are uniform between 5 ms and
    what makes their mean ``1 / rate``.
    """
    longest = WINDOW_S + delay + 2.0 / rate
    steps = int(np.ceil(longest * rate))
    if rate == RATE:
        dt = np.full((count, steps), 1.0 / rate)
        time = np.broadcast_to(np.arange(1, steps + 1) / rate, dt.shape)
    else:
        # Enough for the slowest of many draws: six standard deviations above the mean.
        steps += int(np.ceil(6.0 * 0.6 * np.sqrt(steps))) + 6
        dt = rng.uniform(1.0 / RATE, 2.0 / rate - 1.0 / RATE, (count, steps))
        time = np.cumsum(dt, 1)
        steps = 1 + int((time < longest).sum(1).max())
        dt, time = dt[:, :steps], time[:, :steps]
    onset = rng.uniform(0.0, WINDOW_S - CUE_S, count)
    label = rng.integers(0, CLASSES, count)
    x = rng.normal(0.0, NOISE, (count, steps, CLASSES))
    keep = np.exp(-dt / NOISE_S)[..., None]
    fresh = np.sqrt(1.0 - keep**2)
    for k in range(1, steps):
        x[:, k] = keep[:, k] * x[:, k - 1] + fresh[:, k] * x[:, k]
    shown = (time >= onset[:, None]) & (time < onset[:, None] + CUE_S)
    x[np.arange(count), :, label] += shown
    return Cues(x.astype(np.float32), dt.astype(np.float32), time, onset + CUE_S, label)


def logits(model: nn.Module, batch: Batch) -> Tensor:
    """Return the answers, shape (B, answers, 4)."""
    assert batch.at is not None
    length = int(batch.at.max()) + 1
    y, _ = model(batch.x[:, :length], batch.dt[:, :length])
    return y.gather(1, batch.at[..., None].expand(-1, -1, CLASSES))


@torch.no_grad()
def accuracy(model: nn.Module, cues: Cues, delays: tuple[float, ...]) -> list[float]:
    """Part of the sequences with the right answer, for each delay."""
    right = np.zeros(len(delays))
    for start in range(0, len(cues.label), CHUNK):
        batch = cues.batch(delays, slice(start, start + CHUNK))
        right += (logits(model, batch).argmax(-1) == batch.target[:, None]).sum(0).numpy()
    return [float(r) / len(cues.label) for r in right]


class Recall:
    """The task, for ``sequences.training``."""

    def __init__(self, rate: float, delays: tuple[float, ...], count: int, seed: int) -> None:
        self._rate, self._delays, self._seed = rate, delays, seed
        self._count = count
        self._stage = 0
        self._cues: dict[int, Cues] = {}

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        # Training sequences are drawn as they are needed: none is seen twice.
        draw = np.random.default_rng([TRAIN_SEED, self._seed])
        while True:
            longest = self._delays[self._stage]
            asked = tuple(d for d in ASKED if d <= longest)
            yield generate(BATCH, longest, self._rate, draw).batch(asked)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        y = logits(model, batch)
        target = batch.target[:, None].expand(y.shape[:2])
        return functional.cross_entropy(y.flatten(0, 1), target.flatten())

    def validate(self, model: nn.Module, spent: float) -> float:
        """Stage plus the accuracy at its delay, at the rate of the training."""
        stage = self._stage
        if stage not in self._cues:
            rng = np.random.default_rng([VALIDATION_SEED, self._seed, stage])
            self._cues[stage] = generate(self._count, self._delays[stage], self._rate, rng)
        right = accuracy(model, self._cues[stage], self._delays[stage : stage + 1])[0]
        last = stage == len(self._delays) - 1
        if not last and (right >= LEARNED or spent >= LATEST[stage]):
            self._stage += 1
        return stage + right

    def enough(self, scores: list[float]) -> bool:
        sure = len(self._delays) - 1 + SURE
        return len(scores) >= 5 and all(score >= sure for score in scores[-5:])


def gradients(model: nn.Module, cues: Cues, delay: float) -> dict[str, float]:
    """Relative norm of the gradient at the state, by distance in seconds; see the head."""
    batch = cues.batch((delay,))
    assert batch.at is not None
    steps = [round(d * RATE) for d in DISTANCES if d <= delay]
    # Every sequence is moved such that its answer is the last step.
    rows = torch.arange(len(batch.x))[:, None]
    length = int(batch.at.min()) + 1
    window = batch.at - length + 1 + torch.arange(length)
    x, dt = batch.x[rows, window], batch.dt[rows, window]
    cuts = [0, *(length - 1 - s for s in reversed(steps)), length]
    state, kept = None, []
    for first, last in pairwise(cuts):
        if state is not None:
            state = state.detach().requires_grad_() if not kept else state
            state.retain_grad()
            kept.append(state)
        with torch.set_grad_enabled(state is not None):
            y, state = model(x[:, first:last], dt[:, first:last], state)
    answer = y[:, -1]
    right = functional.one_hot(batch.target, CLASSES).bool()
    margin = answer[right] - answer.masked_fill(right, -torch.inf).logsumexp(-1)
    margin.sum().backward()
    norms = [state.grad.norm(dim=-1) for state in reversed(kept)]
    return {
        f"{d:g}": float((norm / norms[0]).median())
        for d, norm in zip(DISTANCES, norms, strict=False)
    }


def work(job: Job) -> dict[str, Any]:
    """Train and test one cell with one seed."""
    torch.set_num_threads(1)
    settings = job.settings
    cell, rate = job.row.split("@")
    delays = tuple(settings["delays"])
    task = Recall(float(rate), delays, settings["validation"], job.seed)
    model = build(cell, CLASSES, CLASSES, settings["units"], job.seed, OPTIONS)
    learning_rate = LEARNING_RATES.get(cell, LEARNING_RATE)
    training = Training(settings["minutes"], learning_rate, validations=VALIDATIONS)
    result = train(model, task, training, job.seed)
    cues = generate(
        settings["test"], delays[-1], RATE, np.random.default_rng([TEST_SEED, job.seed])
    )
    right = accuracy(model, cues, delays)
    few = generate(16, delays[-1], RATE, np.random.default_rng([TEST_SEED, job.seed, 1]))
    return {
        "test_accuracy": {f"{d:g}": r for d, r in zip(delays, right, strict=True)},
        "relative_gradient": gradients(model, few, delays[-1]),
        **result,
    }


def numbers(run: dict[str, Any]) -> dict[str, float]:
    """Return what the table shows."""
    found = {f"accuracy_percent_{d}": 100 * r for d, r in run["test_accuracy"].items()}
    for d, r in run["relative_gradient"].items():
        found[f"relative_gradient_{d}"] = r
    return found | {name: run[name] for name in ("cpu_seconds", "updates", "parameters")}


def _rows(cells: str | None, rates: str) -> list[str]:
    for rate in rates.split(","):
        if rate not in ("200", "20"):
            raise LnnError(f"--rates: {rate!r} found, expected 200, 20 or 200,20")
    return [f"{cell}@{rate}" for cell in chosen_rows(cells, LEFT_OUT) for rate in rates.split(",")]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    argv = sys.argv[1:] if argv is None else argv
    parser = arguments(__doc__, minutes=5.0, seeds="0:3")
    parser.add_argument("--rates", default="200,20", help="of the training, Hz")
    parser.add_argument("--delays", type=float, nargs=3, default=DELAYS, metavar="S")
    parser.add_argument("--validation", type=int, default=200, help="sequences")
    parser.add_argument("--test", type=int, default=500, help="sequences")
    parser.add_argument("--units", type=int, default=UNITS)
    args = parser.parse_args(argv)
    settings = {
        "delays": list(args.delays),
        "validation": args.validation,
        "test": args.test,
        "units": args.units,
        "batch": BATCH,
    }
    result, status = campaign(
        "memory.py", argv, args, _rows(args.cells, args.rates), settings, work, {}, numbers
    )
    longest = f"{args.delays[-1]:g}"
    heads = {f"accuracy_percent_{d:g}": f"recall after {d:g} s, %" for d in args.delays}
    farthest = [d for d in DISTANCES if d <= args.delays[-1]][-1]
    heads[f"relative_gradient_{farthest:g}"] = f"gradient at {farthest:g} s of {longest}"
    print(table(result, heads))
    return status


if __name__ == "__main__":
    sys.exit(main())
