"""Whether learning helps: takeovers, novelty and the error against takeovers, flight by flight.

All of it is in the recordings of the companion: the controller's trace says with every command who
decided, what the network wanted, what a person commanded instead, and how unlike its training the
input was. No policy is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.guard.modes import Mode
from lnn_ros.learning.dataset import SCALE
from lnn_ros.replay.bag import Bag
from lnn_ros.replay.topics import find_trace
from lnn_ros.trace import Trace, parse

LONGEST_S = 0.5
"""Between two commands that count as one flight; a longer time was no flight."""


@dataclass
class Leg:
    """What one policy did in one recording.

    Attributes
    ----------
    bag : Path
    policy : str
        The first digits of the digest of its weights.
    begin_ns : int
        Log time of its first command there.
    engaged_s, helped_s : float
        In which the policy decided, and a person.
    takeovers : int
    """

    bag: Path
    policy: str
    begin_ns: int
    engaged_s: float = 0.0
    helped_s: float = 0.0
    takeovers: int = 0
    _novelty: list[float] = field(default_factory=list)
    _errors: list[float] = field(default_factory=list)

    @property
    def takeovers_per_minute(self) -> float | None:
        """Of flight, whoever flew; None where there was none."""
        return _ratio(60.0 * self.takeovers, self.engaged_s + self.helped_s)

    @property
    def novelty(self) -> float | None:
        """Mean while the policy flew; None of a policy that does not say."""
        return _ratio(sum(self._novelty), len(self._novelty))

    @property
    def error(self) -> float | None:
        """How far what it wanted was from what a person commanded instead.

        Root mean square over the commands of takeovers and the four outputs, each by its typical
        error; None without takeovers.
        """
        mean = _ratio(sum(self._errors), len(self._errors))
        return None if mean is None else float(np.sqrt(mean))

    def add(self, before: Trace | None, trace: Trace) -> None:
        """Count a command."""
        since = 0.0 if before is None else (trace.at_ns - before.at_ns) / 1e9
        seconds = since if 0.0 < since <= LONGEST_S else 0.0
        if trace.mode is Mode.ENGAGED:
            self.engaged_s += seconds
            if trace.novelty is not None:
                self._novelty.append(trace.novelty)
        elif trace.mode is Mode.TAKEOVER:
            self.helped_s += seconds
            self.takeovers += before is None or before.mode is not Mode.TAKEOVER
            if trace.wish is not None:
                apart = (np.array(trace.wish) - trace.decision.target) / SCALE
                self._errors.append(float(np.mean(apart**2)))

    def __add__(self, other: Leg) -> Leg:
        return Leg(self.bag, self.policy, min(self.begin_ns, other.begin_ns),
                   self.engaged_s + other.engaged_s, self.helped_s + other.helped_s,
                   self.takeovers + other.takeovers, self._novelty + other._novelty,
                   self._errors + other._errors)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"recording": self.bag.name, "policy": self.policy, "begin_ns": self.begin_ns,
                "engaged_s": self.engaged_s, "helped_s": self.helped_s,
                "takeovers": self.takeovers, "takeovers_per_minute": self.takeovers_per_minute,
                "novelty": self.novelty, "error": self.error}


def legs(path: Path) -> list[Leg]:
    """Read what the policies did in a recording, in the order in which they flew.

    Raises
    ------
    LnnError
        When it cannot be read, or has no trace.
    """
    found: list[Leg] = []
    before: Trace | None = None
    with Bag(path) as bag:
        topic = find_trace(bag, None)
        if topic is None:
            raise LnnError(f"bag {path} has no trace of a controller")
        for log_ns, _, payload in bag.messages([topic]):
            trace = parse(bag.decode(topic, payload), log_ns)
            if not found or found[-1].policy != trace.policy:
                found.append(Leg(path, trace.policy, log_ns))
            found[-1].add(before, trace)
            before = trace
    return found


def by_policy(found: Iterable[Leg]) -> list[Leg]:
    """Sum up by policy, in the order in which they first flew."""
    sums: dict[str, Leg] = {}
    for leg in found:
        sums[leg.policy] = sums[leg.policy] + leg if leg.policy in sums else leg
    return sorted(sums.values(), key=lambda leg: leg.begin_ns)


def lines(found: Sequence[Leg], name: str) -> list[str]:
    """Return a table: ``name`` is the heading of what its rows are."""
    rows = [[name, "policy", "flown", "helped", "takeovers", "per minute", "novelty", "error"]]
    for leg in found:
        rows.append([leg.bag.name if name == "recording" else "all", leg.policy,
                     f"{leg.engaged_s:.0f} s", f"{leg.helped_s:.0f} s", str(leg.takeovers),
                     _number(leg.takeovers_per_minute), _number(leg.novelty), _number(leg.error)])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip()
            for row in rows]


def draw(found: Sequence[Leg], file: Path) -> None:
    """Draw takeovers per minute, novelty and error over recordings, a colour for each policy."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 1, sharex=True, figsize=(7.0, 6.0))
    policies = list(dict.fromkeys(leg.policy for leg in found))
    for policy in policies:
        for axis, key in zip(axes, ("takeovers_per_minute", "novelty", "error"), strict=True):
            at = [(k, getattr(leg, key)) for k, leg in enumerate(found) if leg.policy == policy]
            shown = [(k, value) for k, value in at if value is not None]
            axis.plot([k for k, _ in shown], [value for _, value in shown], "o-", label=policy[:8])
    for axis, label in zip(axes, ("takeovers per minute", "novelty", "error against takeovers"),
                           strict=True):
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0.0)
    axes[0].legend(title="policy", fontsize=8)
    axes[-1].set_xlabel("recordings, in order")
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _ratio(sum_: float, count: float) -> float | None:
    return sum_ / count if count else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
