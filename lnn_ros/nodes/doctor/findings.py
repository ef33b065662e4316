"""What the doctor finds: a verdict, what it is about, what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Verdict(str, Enum):
    """How grave a finding is."""

    OK = "ok"
    WARN = "warn"  # it can fly, and something is not as it should be
    FAIL = "fail"  # it cannot fly, or not safely


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's.

    Attributes
    ----------
    verdict : Verdict
    what : str
        What was looked at, in a few words: ``image stamps``.
    found : str
        What was found.
    remedy : str
        What to do; empty exactly where nothing has to be done.
    """

    verdict: Verdict
    what: str
    found: str
    remedy: str = ""

    def __post_init__(self) -> None:
        """Make one line of each: they hold what others say."""
        for name in ("found", "remedy"):
            object.__setattr__(self, name, " ".join(getattr(self, name).split()))

    def __str__(self) -> str:
        found = f"{self.found}  -> {self.remedy}" if self.remedy else self.found
        return f"{self.verdict.value:4s}  {self.what:{WIDTH}s}  {found}"


WIDTH = 22
"""Characters that what a finding is about takes in a line."""


def ok(what: str, found: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(Verdict.OK, what, found)


def warn(what: str, found: str, remedy: str) -> Finding:
    """Return a finding that does not stand against flying."""
    return Finding(Verdict.WARN, what, found, remedy)


def fail(what: str, found: str, remedy: str) -> Finding:
    """Return a finding that stands against flying."""
    return Finding(Verdict.FAIL, what, found, remedy)


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the gravest verdict; ok where there is none."""
    order = list(Verdict)
    return max((finding.verdict for finding in findings), key=order.index, default=Verdict.OK)
