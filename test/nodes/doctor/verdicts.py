"""What the doctor's checks say of a snapshot, as tests ask for it."""

from __future__ import annotations

from lnn_ros.nodes.doctor.checks import judge
from lnn_ros.nodes.doctor.findings import Finding, Verdict
from lnn_ros.nodes.doctor.snapshot import Snapshot


def bad(seen: Snapshot) -> dict[str, Finding]:
    """Return what is not ok, by what it is about."""
    return {finding.what: finding for finding in judge(seen) if finding.remedy}


def only(seen: Snapshot, what: str, verdict: Verdict, *words: str) -> Finding:
    """Return the one thing that is not ok; assert that it is the one expected, and says words."""
    found = bad(seen)
    assert list(found) == [what]
    assert found[what].verdict is verdict
    text = f"{found[what].found} {found[what].remedy}"
    assert all(word in text for word in words), text
    return found[what]
