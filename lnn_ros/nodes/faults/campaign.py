"""Runs one row after the other: fly, inject, listen, undo, see it fly again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lnn_ros.nodes.faults.rows import Row
from lnn_ros.nodes.faults.stage import Stage
from lnn_ros.nodes.faults.verdict import (
    Command,
    Failed,
    Heard,
    always,
    expected,
    halted_after,
    mode_at,
)

_BEFORE_S = 0.3  # of flight that is listened to before a fault
_AGAIN_S = 6.0
_MEMORY_MB = 40.0
_STAYS_S = 1.2
# Not "slow" or "stays": who flies faster than he may, or without a person, does not do so by load.
_BUSY = {"halts", "flies", "mode"}


def run(stage: Stage, row: Row) -> dict[str, Any]:
    """Inject one fault, and return what came of it; see ``docs/results``."""
    stage.choose(row.profile)
    trouble = stage.fly()
    if trouble:
        return _told(row, [Failed("flies", trouble)], recovered=False, recovered_by="", again=True)
    stage.remarks.clear()
    stage.judge.forget()
    stage.listen(_BEFORE_S)
    memory = stage.memory("controller")
    counts = dict(stage.judge.counts)
    began = row.action.begin(stage)
    if row.steady:
        stage.listen(max(began + row.lasts - time.monotonic(), 0.0))
    else:
        stage.let_pass(row.lasts, began)
    ended = time.monotonic()
    heard = _heard(stage, row)
    mode, reason = mode_at(heard.reports, ended), stage.judge.reason
    pace = heard.pace(began, ended)
    failed = always(heard, stage.bounds) + expected(heard, row.wanted, began, ended, pace)
    failed += [Failed(check, sentence) for check, sentence in stage.remarks]
    failed += [Failed("alive", f"the {name} ended: expected that it lives on")
               for name in stage.names if name not in row.ends and not stage.alive(name)]
    grown = stage.memory("controller") - memory
    alive = bool(memory) and grown > -memory / 2
    if alive and grown > _MEMORY_MB:
        failed.append(Failed("memory", f"the controller grew by {grown:.0f} MB: expected at most "
                             f"{_MEMORY_MB:.0f}"))
    moved = _largest([c for c in heard.commands if c.at >= began])
    speed = heard.speeds[-1][1] if heard.speeds else None
    what = row.wanted.halts or "cmd_vel"
    halted = halted_after(heard, what, began, ended) if row.wanted.halts else None
    row.action.end(stage)
    recovered, how, after = _recover(stage, row, failed)
    # Whatever came after the fault must be inside the limits, too.
    known = {f.check for f in failed}
    failed += [f for f in always(_heard(stage, row), stage.bounds) if f.check not in known]
    return _told(row, failed, again=_again(failed), halts=row.wanted.halts,
                 time_to_safe_s=None if halted is None else round(halted, 3), **moved,
                 mode=mode, reason=reason, recovery=row.recovers, recovered=recovered,
                 recovered_by=how, recovered_after_s=None if after is None else round(after, 2),
                 vehicle_speed_at_end=None if speed is None else round(speed, 3),
                 simulated_pace=round(pace, 2), grown_mb=round(grown, 1) if alive else None,
                 counted=_counted(counts, stage.judge.counts))


def _recover(stage: Stage, row: Row, failed: list[Failed]) -> tuple[bool, str, float | None]:
    """Let it fly again; return whether it did as it should, how, and after how many seconds."""
    since = time.monotonic()
    if row.recovers in ("itself", "any") and stage.flies_again(
            _AGAIN_S if row.recovers == "itself" else 2.5) is not None:
        return True, "itself", time.monotonic() - since
    if row.recovers == "itself":
        return False, f"in {stage.judge.mode}: {stage.judge.reason}; {stage.judge.troubles}", None
    if row.recovers in ("engage", "reset") and stage.flies_again(_STAYS_S) is not None:
        failed.append(Failed("stays", "it flies again by itself: expected that a person has to "
                             "engage"))
        return False, "itself", time.monotonic() - since
    if row.recovers == "reset":
        granted, _ = stage.operator.trigger("controller/engage")
        if granted:
            failed.append(Failed("stays", f"~/engage is granted in {stage.judge.mode}: expected "
                                 f"that ~/reset comes first"))
    if row.recovers == "restart":
        stage.until(lambda: stage.judge.mode == "disengaged", _AGAIN_S)
        if stage.flies_again(_STAYS_S) is not None:
            failed.append(Failed("stays", "a controller that was started anew flies by itself: "
                                 "expected that it comes up disengaged"))
    if row.recovers == "reset" or (row.recovers == "any" and stage.judge.mode == "fault"):
        stage.operator.trigger("controller/reset")
    if not stage.engage(30.0):
        return False, f"not: {stage.said}", None
    how = "reset and engage" if row.recovers == "reset" else "engage"
    if stage.flies_again(_AGAIN_S) is None:
        return False, f"not by {how}: {stage.judge.mode}, {stage.judge.reason}", None
    return True, how, time.monotonic() - since


def _again(failed: list[Failed]) -> bool:
    """Whether nothing failed but what a computer that is too busy fails as well.

    What must always hold must hold then, too.
    """
    return {f.check for f in failed} <= _BUSY


def _heard(stage: Stage, row: Row) -> Heard:
    """What is judged of a row: of one that has others command, too, what the trace says."""
    stage.judge.poll()
    heard = stage.judge.heard
    return heard.by_trace() if row.by_trace else replace(heard)


def _largest(commands: Sequence[Command]) -> dict[str, Any]:
    """Largest command and step: greatest linear axis (m/s), and yaw rate (rad/s)."""
    values = [c.values for c in commands]
    steps = [[abs(a - b) for a, b in zip(one, other, strict=True)]
             for one, other in itertools.pairwise(values)]

    def most(rows: Sequence[Sequence[float]], axes: slice) -> float:
        return round(max((abs(v) for row in rows for v in row[axes]), default=0.0), 3)

    linear, turn = slice(0, 3), slice(3, 4)
    return {"commands": len(values),
            "largest_command": [most(values, linear), most(values, turn)],
            "largest_step": [most(steps, linear), most(steps, turn)]}


def _counted(before: dict[str, str], after: dict[str, str]) -> dict[str, int]:
    """What the controller has counted more of, as /diagnostics had told by the end."""
    found = {}
    for name, text in after.items():
        try:
            grown = int(text) - int(before.get(name, "0"))
        except ValueError:
            continue
        if grown > 0 and "." in name and not name.endswith(".accepted"):
            found[name] = grown
    return found


def _told(row: Row, failed: list[Failed], **more: Any) -> dict[str, Any]:
    return {"injected": row.injected, "safe": not failed,
            "failed": [{"check": f.check, "sentence": f.sentence} for f in failed], **more}
