"""One training loop for all cells: Adam, clipped gradients, a budget of CPU time.

The budget counts ``time.process_time`` of a process with one thread, validation included and
compilation (a first, discarded pass) excluded, so that other work on the machine costs a cell
nothing. The learning rate is constant for the first half of the budget and then falls linearly to
``FLOOR`` of itself. Validation takes at most ``VALIDATING`` of what is spent, besides the first and
the last: one whose turn comes earlier waits, so that a slow cell's budget goes into training. The
weights that did best on the validation split are the ones that are tested.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

WARM_UP = 50
"""Updates over which the learning rate rises to its value."""
FLOOR = 0.02
VALIDATING = 0.2


@dataclass(frozen=True)
class Batch:
    """Sequences that are computed together.

    Attributes
    ----------
    x : Tensor, shape (B, T, inputs)
    dt : Tensor, shape (B, T)
        Time before each observation.
    target : Tensor
        What the task compares the outputs with.
    at : Tensor of int64 or None, shape (B, answers)
        Steps at which the task reads the outputs; None: all.
    """

    x: Tensor
    dt: Tensor
    target: Tensor
    at: Tensor | None = None


class Task(Protocol):
    """What is to be learned."""

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Training batches without end."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean loss of a batch."""

    def validate(self, model: nn.Module, spent: float) -> float:
        """Return a score on the validation split, the higher the better.

        ``spent`` is the part of the budget that is used up. A score may rise from one stage of a
        curriculum to the next.
        """

    def enough(self, scores: list[float]) -> bool:
        """Whether training may stop before its budget is spent."""


@dataclass(frozen=True)
class Training:
    """Settings of one training.

    Attributes
    ----------
    minutes : float
        CPU time.
    learning_rate : float
    clip : float
        Largest norm of the gradient.
    validations : int
        In a full budget: the points of the learning curve.
    """

    minutes: float
    learning_rate: float
    clip: float = 1.0
    validations: int = 60


def train(model: nn.Module, task: Task, settings: Training, seed: int) -> dict[str, Any]:
    """Train, restore the best weights, and return how it went.

    A loss or gradient that is not finite skips its update and is counted; so a cell that diverges
    ends with the best that it had.
    """
    budget = 60.0 * settings.minutes
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    batches = task.batches(np.random.default_rng([seed, 1]))
    task.loss(model, next(batches)).backward()  # compiles what there is to compile
    best, kept = -math.inf, copy.deepcopy(model.state_dict())
    curve: list[list[float]] = []
    scores: list[float] = []
    losses: list[float] = []
    updates = sequences = skipped = 0
    validating = 0.0
    start = time.process_time()
    for batch in batches:
        spent = (time.process_time() - start) / budget
        slope = 1.0 if spent < 0.5 else max(FLOOR, 1.0 - (spent - 0.5) * 2.0 * (1.0 - FLOOR))
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * slope * min(1.0, (updates + 1) / WARM_UP)
        optimiser.zero_grad(set_to_none=True)
        loss = task.loss(model, batch)
        loss.backward()
        value = float(loss.detach())
        norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        if math.isfinite(value) and math.isfinite(float(norm)):
            optimiser.step()
            losses.append(value)
        else:
            skipped += 1
        updates, sequences = updates + 1, sequences + len(batch.x)
        before = time.process_time() - start
        spent = before / budget
        due = (len(curve) + 1) / settings.validations
        if spent < 1.0 and (spent < due or validating > VALIDATING * before):
            continue
        model.eval()
        with torch.no_grad():
            score = task.validate(model, spent)
        model.train()
        scores.append(score)
        seconds = time.process_time() - start
        validating += seconds - before
        mean = float(np.mean(losses)) if losses else math.nan
        curve.append([round(seconds, 2), updates, sequences, score, mean])
        losses.clear()
        if score >= best:  # of equals the later one, which had the smaller steps behind it
            best, kept = score, copy.deepcopy(model.state_dict())
        if seconds >= budget or task.enough(scores):
            break
    model.load_state_dict(kept)
    model.eval()
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "learning_rate": settings.learning_rate,
        "cpu_seconds": curve[-1][0],
        "updates": updates,
        "sequences": sequences,
        "skipped_updates": skipped,
        "validation": best,
        "curve_columns": ["cpu_seconds", "updates", "sequences", "score", "training_loss"],
        "curve": curve,
    }
