"""What is chosen about a core before it is trained, and the ranges that ``lnn_ros tune`` tries."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lnn_ros.errors import LnnError
from lnn_ros.learning.architecture import CoreShape

RATE = (1e-3, 2e-2)
"""Learning rate, from and to; drawn evenly by its logarithm."""
DECAY = (1e-5, 1e-1)
"""Weight decay, likewise."""
INTER, COMMAND = (16, 48), (12, 32)
"""Neurons by layer, in steps of 4."""
LEAST_NEURONS = 8
"""In each of the two."""
OPTIONS: dict[str, dict[str, tuple[float, float]]] = {
    "flow": {"rate_max": (10.0, 200.0), "frequency_max": (2.0, 20.0)},
    # The solver: its first sub-step, s, and how much longer each next one is.
    "ltc": {"first_step": (0.01, 0.1), "growth": (1.2, 2.0)},
}
"""Options of a cell, each evenly by its logarithm."""


class Suggests(Protocol):
    """What of an Optuna trial is used."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = ...) -> float:
        """Draw a number."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = ...) -> int:
        """Draw a whole number."""


@dataclass(frozen=True)
class Hyperparameters:
    """The choices.

    Attributes
    ----------
    rate : float
        Greatest learning rate while the core learns alone.
    decay : float
        Weight decay.
    inter, command : int
        Neurons by layer of the NCP wiring.
    options : mapping of str to float
        Of the cell.
    """

    rate: float = 4e-3
    decay: float = 0.0
    inter: int = 32
    command: int = 24
    options: Mapping[str, float] = field(default_factory=dict)

    @property
    def shape(self) -> CoreShape:
        """The core that they make."""
        return CoreShape(inter=self.inter, command=self.command, options=self.options)

    @staticmethod
    def suggested(trial: Suggests, core: str) -> Hyperparameters:
        """Draw choices for a core."""
        return Hyperparameters(
            rate=trial.suggest_float("rate", *RATE, log=True),
            decay=trial.suggest_float("decay", *DECAY, log=True),
            inter=trial.suggest_int("inter", *INTER, step=4),
            command=trial.suggest_int("command", *COMMAND, step=4),
            options={name: trial.suggest_float(name, *ends, log=True)
                     for name, ends in OPTIONS.get(core, {}).items()},
        )  # fmt: skip

    @staticmethod
    def load(path: Path, core: str) -> Hyperparameters:
        """Read choices that ``lnn_ros tune`` has written for a core.

        Raises
        ------
        LnnError
            When the file is none of them, is of another core, or holds what is no choice.
        """
        try:
            data: Any = json.loads(path.read_text(encoding="utf-8"))
            of, best = data["core"], dict(data["best"])
            chosen = Hyperparameters(**best)
            numbers = [chosen.rate, chosen.decay, chosen.inter, chosen.command,
                       *chosen.options.values()]  # fmt: skip
            usable = all(math.isfinite(number) and number >= 0 for number in numbers)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise LnnError(f"{path}: {error!r} found, expected choices of lnn_ros tune") from error
        if of != core:
            raise LnnError(f"{path}: choices for core {of} found, expected {core}")
        if not usable or not chosen.rate or min(chosen.inter, chosen.command) < LEAST_NEURONS:
            raise LnnError(f"{path}: {best} found, expected numbers above 0 and {LEAST_NEURONS} "
                           f"neurons or more in each layer")
        return chosen

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


USUAL = Hyperparameters()
"""What is taken where nothing is tuned."""
