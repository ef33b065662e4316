"""Judge a fine-tuned candidate: it may fly only if it is better, and nowhere worse.

Four questions, each answered in numbers, besides those that ``consistency`` asks of the
recordings. On help that was held out, by episode, is it better than the policy that flies? Where
nobody had to correct that one in the same episodes, does it fly about the same? On rehearsal
flights that were held out, is it no worse than by a stated margin? In the embedded simulator, where
it is installed, does it arrive in as many of the same worlds, but for a stated few? Any no, and
what cannot be answered for want of data, keeps it from flying.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.learning.corrections import uncorrected
from lnn_ros.learning.dataset import Recording
from lnn_ros.learning.statistics import bootstrap_difference
from lnn_ros.learning.trainer import Trainer
from lnn_ros.learning.verdict import Finding
from lnn_ros.liquid.checkpoint import Checkpoint
from lnn_ros.simulation.seeds import JUDGED

T = TypeVar("T")
EVERY = 3
"""Of so many episodes one is held out, in the order in which they were recorded: an episode that a
policy was once judged by is never learned from, however many follow."""
LEAST_MARGIN = 0.01
"""Loss may always grow by so little: a tenth of a typical error, ``dataset.SCALE``."""


@dataclass(frozen=True)
class Rules:
    """What a candidate must reach.

    Attributes
    ----------
    episodes : int
        Of help that is held out: of fewer, nobody can say that it is better.
    change : float
        Mean loss, as in training, of its commands against the parent's where nobody corrected
        those. A typical error, ``dataset.SCALE``, in every output is 1.5.
    margin : float
        Share by which the loss on rehearsal may grow, if it is more than ``LEAST_MARGIN``; the
        upper end of its interval counts.
    worlds : int
        To fly in; 0: none.
    worse : float
        Share of them in which it may arrive less often.
    """

    episodes: int = 4
    change: float = 0.5
    margin: float = 0.05
    worlds: int = 60
    worse: float = 0.05

    def __post_init__(self) -> None:
        if self.episodes < 2 or min(self.change, self.margin) < 0 or (
                not 0 <= self.worlds <= len(JUDGED)) or not 0 <= self.worse <= 1:
            raise LnnError(f"{self} found, expected two episodes or more, a change and a margin of "
                           f"0 or more, at most {len(JUDGED)} worlds and a share worse from 0 to 1")


def held_out(episodes: Sequence[T]) -> tuple[list[T], list[T]]:
    """Part episodes, in the order of their recording, into those to learn from and to judge by."""
    learn = [one for k, one in enumerate(episodes) if k % EVERY != EVERY - 1]
    return learn, list(episodes[EVERY - 1 :: EVERY])


def nothing() -> None:
    """Do not rest."""


def judge(parent: Checkpoint, candidate: Checkpoint, held: Sequence[Recording],
          rehearsed: Sequence[Recording], rules: Rules,
          rest: Callable[[], None] = nothing) -> list[Finding]:
    """Judge by recordings.

    Parameters
    ----------
    parent, candidate : Checkpoint
        The policy that flies, and what was made of it.
    held : sequence of Recording
        Episodes of help that it did not learn from.
    rehearsed : sequence of Recording
        Flights of what the parent can, which it did not learn from, either.
    rules : Rules
    rest : callable
        Called between recordings.
    """
    flies, own = Trainer.of(parent, 0), []
    for one in held:
        own.append(uncorrected(one, flies.commands(one)))
        rest()
    return [_better(*_losses(parent, candidate, held, rest), rules),
            _same(_losses(parent, candidate, own, rest)[1], rules),
            _kept(*_losses(parent, candidate, rehearsed, rest), rules)]


def _losses(parent: Checkpoint, candidate: Checkpoint, recordings: Sequence[Recording],
            rest: Callable[[], None]) -> tuple[list[float], list[float]]:
    """Mean command loss of both in each recording."""
    found: tuple[list[float], list[float]] = ([], [])
    trainers = [Trainer.of(policy, 0) for policy in (parent, candidate)]
    for one in recordings:
        if not one.weights.any():
            continue
        for column, trainer in zip(found, trainers, strict=True):
            column.append(trainer.loss([one], 1, len(one)))
        rest()
    return found


def _sane(name: str, before: list[float], after: list[float]) -> Finding | None:
    """Refuse what does not even answer with numbers."""
    if np.isfinite([*before, *after]).all():
        return None
    return Finding(name, False, f"its loss on {name} is no finite number", {})


def _better(before: list[float], after: list[float], rules: Rules) -> Finding:
    if (fault := _sane("help", before, after)) is not None:
        return fault
    numbers: dict[str, Any] = {"episodes": len(before), "before": before, "after": after}
    if len(before) < rules.episodes:
        return Finding("help", False, f"{len(before)} episodes of help are held out, expected "
                       f"{rules.episodes} or more", numbers)
    mean, low, high = bootstrap_difference(after, before)
    numbers["difference"] = [mean, low, high]
    said = (f"loss on help from {np.mean(before):.3f} to {np.mean(after):.3f} (difference "
            f"{mean:+.3f}, {low:+.3f} to {high:+.3f})")
    return Finding("help", high < 0.0, said, numbers)


def _same(change: list[float], rules: Rules) -> Finding:
    if (fault := _sane("uncorrected", [], change)) is not None:
        return fault
    numbers = {"episodes": len(change), "change": change, "most": rules.change}
    if not change:
        return Finding("uncorrected", True, "nobody flew uncorrected: nothing to compare", numbers)
    mean = float(np.mean(change))
    said = (f"where nobody corrected it changes by a loss of {mean:.3f} (at most "
            f"{rules.change:g})")
    return Finding("uncorrected", mean <= rules.change, said, numbers)


def _kept(before: list[float], after: list[float], rules: Rules) -> Finding:
    if (fault := _sane("rehearsal", before, after)) is not None:
        return fault
    numbers: dict[str, Any] = {"flights": len(before), "before": before, "after": after}
    if len(before) < 2:
        return Finding("rehearsal", False, f"{len(before)} flights of rehearsal are held out, "
                       f"expected two or more", numbers)
    mean, low, high = bootstrap_difference(after, before)
    most = max(LEAST_MARGIN, rules.margin * float(np.mean(before)))
    numbers |= {"difference": [mean, low, high], "most": most}
    said = (f"loss on rehearsal from {np.mean(before):.3f} to {np.mean(after):.3f} (difference "
            f"{mean:+.3f}, {low:+.3f} to {high:+.3f}, at most {most:+.3f})")
    return Finding("rehearsal", high <= most, said, numbers)


def fly_both(parent: Path, candidate: Path, task: str, digest: str, rules: Rules,
             rest: Callable[[], None] = nothing) -> Finding:
    """Judge by flights in the embedded simulator, both in the same worlds.

    Parameters
    ----------
    parent, candidate : Path
        Files of the two.
    task : str
        What they fly.
    digest : str
        Of the candidate's weights: decides which worlds.
    rules : Rules
    rest : callable
        Called between flights.
    """
    if not rules.worlds:
        return Finding("flights", True, "not flown: no worlds asked for", {})
    if any(importlib.util.find_spec(name) is None for name in ("mujoco", "numba")):
        return Finding("flights", True, "not flown: the embedded simulator is not installed", {})
    from lnn_ros.learning.trials import Trial, try_once
    from lnn_ros.simulation.simulator import Outcome

    first = JUDGED.start + int(digest[:16], 16) % (len(JUDGED) - rules.worlds + 1)
    arrived: tuple[list[bool], list[bool]] = ([], [])
    for seed in range(first, first + rules.worlds):
        for column, file in zip(arrived, (parent, candidate), strict=True):
            flight = try_once(Trial(seed, str(file), str(file), task))
            column.append(flight["outcome"] == Outcome.ARRIVED.value)
            rest()
    before, after = map(sum, arrived)
    most = int(rules.worse * rules.worlds)
    said = (f"arrived in {after} of {rules.worlds} worlds, {before} before (at most {most} fewer "
            f"are allowed)")
    return Finding("flights", before - after <= most, said, {
        "task": task, "seeds": [first, first + rules.worlds], "before": before, "after": after})
