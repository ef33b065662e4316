"""What a judge says: findings, each for or against, and the decision that follows of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One answer: of what, whether it speaks for the candidate, in a sentence and in numbers."""

    name: str
    passed: bool
    said: str
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """All answers."""

    findings: tuple[Finding, ...]

    @property
    def accepted(self) -> bool:
        """Whether the candidate may fly."""
        return all(finding.passed for finding in self.findings)

    @property
    def said(self) -> str:
        """The decision in one sentence."""
        against = [f.said for f in self.findings if not f.passed]
        if against:
            return f"refused: {'; '.join(against)}"
        return f"accepted: {'; '.join(f.said for f in self.findings)}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"accepted": self.accepted, "said": self.said,
                "findings": [asdict(finding) for finding in self.findings]}
