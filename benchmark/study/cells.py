"""The architectures of the study, each at the width at which its core has the asked parameters."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from sequences.rows import VARIANTS

from lnn_ros.errors import LnnError
from lnn_ros.learning.architecture import CoreShape, make_policy
from lnn_ros.learning.hyperparameters import USUAL, Hyperparameters
from lnn_ros.liquid.spec import PolicySpec
from lnn_ros.liquid.wiring import Wiring
from lnn_ros.simulation.task import Task

CELLS = ("flow", "ltc", "cfc", "cfc_mixed", "gru", "gru_dt", "gru_d", "lstm_dt", "transformer",
         "feedforward")  # fmt: skip
TIMELESS = ("gru",)
"""Cells that are told no time: neither elapsed time nor ages are among their inputs. All others
are told both, by the summary of the interval; ``gru_dt`` and ``lstm_dt`` by an input more."""
NCP, DENSE = "ncp", "dense"
BUILDS = {"transformer": ("one_block", "two_blocks"), "feedforward": ("two_layers", "one_layer")}
USUAL_BUILDS = (NCP, DENSE)
"""How a core may be built. Trials take turns, so that no cell has to do with a build that does not
suit it: a sparse NCP is how liquid cells are published, dense layers how the others are."""
TOLERANCE = 0.05
"""Greatest share by which a core's parameters may differ from what is asked."""
WIDEST = 400


@dataclass(frozen=True)
class Choice:
    """What is chosen for a cell by trials: how it is built, and how it is trained."""

    build: str
    rate: float = USUAL.rate
    decay: float = USUAL.decay
    options: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def builds(cell: str) -> tuple[str, ...]:
    """How a cell may be built."""
    return BUILDS.get(cell, USUAL_BUILDS)


def usual(cell: str) -> Choice:
    """Return what is taken before anything is chosen."""
    return Choice(builds(cell)[0])


class _Drawn:
    """Numbers drawn evenly, where Optuna's trials would suggest them."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        if not log:
            return float(self._rng.uniform(low, high))
        return float(math.exp(self._rng.uniform(math.log(low), math.log(high))))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        return int(self._rng.integers(low, high + 1, dtype=int)) // step * step


def drawn(cell: str, number: int) -> Choice:
    """Return a trial of the random search: the same cell and number, the same choice.

    Rate, weight decay and the cell's options are drawn as ``lnn_ros tune`` has their ranges; sizes
    are not, as they follow from the number of parameters.
    """
    rng = np.random.default_rng((zlib.crc32(cell.encode()), number))
    found = Hyperparameters.suggested(_Drawn(rng), cell)
    ways = builds(cell)
    return Choice(ways[number % len(ways)], found.rate, found.decay, found.options)


def shapes(cell: str, build: str) -> Iterator[CoreShape]:
    """Yield the shapes that a core may have, the smallest first."""
    for n in range(2, WIDEST):
        if build == NCP:  # the shape of what ships, larger or smaller: n is 24 there
            inter = round(4 * n / 3)
            yield CoreShape(inter, n, max(2, round(n / 3)), 20, max(1, inter // 2), max(1, n // 2),
                            max(1, n // 2))  # fmt: skip
        elif build == "two_layers":
            yield CoreShape(hidden=(n, max(2, round(5 * n / 7))))
        elif cell != "transformer":
            yield CoreShape(hidden=(n,))
        elif n % 2 == 0:
            blocks = {"one_block": 1, "two_blocks": 2}[build]
            heads = 1 if n % 4 else 2
            yield CoreShape(hidden=(n,), options={"blocks": blocks, "heads": heads})


def _make(
    cell: str, shape: CoreShape, task: Task, seed: int, options: Mapping[str, Any]
) -> tuple[PolicySpec, Wiring]:
    kind, own = VARIANTS.get(cell, (cell, {}))
    shape = replace(shape, options={**shape.options, **own, **options})
    return make_policy(kind, task, seed, cell in TIMELESS, shape)


@lru_cache(maxsize=64)
def matched(cell: str, build: str, parameters: int, task: str) -> CoreShape:
    """Return the shape at which a core has the nearest number of learnable parameters.

    Forbidden connections are none; encoder and head are not counted.

    Raises
    ------
    LnnError
        When no width comes within ``TOLERANCE``.
    """
    made = Task.load(task)
    best, error, count = CoreShape(), math.inf, 0
    for shape in shapes(cell, build):
        try:
            spec, wiring = _make(cell, shape, made, 0, {})
        except LnnError:
            break  # more than a policy may have
        here = spec.core.learnable(wiring.masks())
        if abs(here / parameters - 1.0) < error:
            best, error, count = shape, abs(here / parameters - 1.0), here
        if here > parameters:
            break
    if error > TOLERANCE:
        raise LnnError(f"cell {cell} built as {build}: {count} parameters found at the nearest "
                       f"width, expected {parameters}, {100 * TOLERANCE:g} % more or less")
    return best


def make(
    cell: str, choice: Choice, parameters: int, task: str, seed: int
) -> tuple[PolicySpec, Wiring]:
    """Return architecture and wiring of a cell of the study.

    Raises
    ------
    LnnError
        When it cannot have as many parameters as asked.
    """
    shape = matched(cell, choice.build, parameters, task)
    return _make(cell, shape, Task.load(task), seed, choice.options)
