"""Break each check of the fault campaign once on purpose, and show that its row turns red.

    python benchmark/faults_broken.py --json docs/results/faults_broken.json

A break is a change of one process's code, made before that process starts; it acts only while the
fault of its row lasts (while a file is there), so that the flight before and after is a good one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

_NAME, _FLAG = "LNN_ROS_BROKEN", "LNN_ROS_BROKEN_WHILE"


def _broken() -> bool:
    """Whether the break acts now (in the process that is broken)."""
    return Path(os.environ[_FLAG]).exists()


def _answer(change: Callable[[Any, Any], Any]) -> None:
    """Change what the guard answers; the change is given guard and answer."""
    from lnn_ros.guard.chain import Guard

    original = Guard.__call__

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        answer = original(self, *args, **kwargs)
        return change(self, answer) if _broken() else answer

    Guard.__call__ = call  # type: ignore[method-assign]


def _finite() -> None:
    _answer(lambda _guard, answer: answer * float("nan"))


def _ceilings() -> None:
    _answer(lambda _guard, answer: answer * 5.0)


def _stopped() -> None:
    from lnn_ros.guard.modes import STOPPED

    _answer(lambda guard, answer: answer + 0.04 if guard.mode in STOPPED else answer)


def _framed() -> None:
    from lnn_ros.nodes import cdr

    original = cdr.twist_stamped

    def made(at_ns: int, frame: str, command: Any) -> bytes:
        return original(at_ns, "map" if _broken() else frame, command)

    cdr.twist_stamped = made


def _steps() -> None:
    from lnn_ros.guard.limiter import Limiter

    original = Limiter.step

    def step(self: Any, target: Any, dt: float, braking: Any) -> list[float]:
        return list(target) if _broken() else original(self, target, dt, braking)

    Limiter.step = step  # type: ignore[method-assign]


def _halts() -> None:
    from lnn_ros.guard.chain import Guard

    original = Guard._stale

    def stale(self: Any, ages: Any, silences: Any) -> list[str]:
        return [] if _broken() else original(self, ages, silences)

    Guard._stale = stale  # type: ignore[method-assign]


def _mode() -> None:
    from lnn_ros.guard.chain import Guard
    from lnn_ros.guard.modes import Event

    original = Guard.handle

    def handle(self: Any, event: Any, reason: str, now: float | None = None) -> bool:
        wrong = Event.DISENGAGE if _broken() and event is Event.STALE else event
        return original(self, wrong, reason, now)

    Guard.handle = handle  # type: ignore[method-assign]


def _recovers() -> None:
    from lnn_ros.guard.chain import Guard
    from lnn_ros.guard.modes import Event

    original = Guard.handle

    def handle(self: Any, event: Any, reason: str, now: float | None = None) -> bool:
        return event is not Event.RESUME and original(self, event, reason, now)

    Guard.handle = handle  # type: ignore[method-assign]


def _stays() -> None:
    from lnn_ros.guard.chain import Guard

    original = Guard._look

    def look(self: Any, now: float) -> None:
        self._held_at = now
        original(self, now)

    Guard._look = look  # type: ignore[method-assign]


def _flies() -> None:
    from lnn_ros.pilot import Pilot
    from lnn_ros.timeline.samples import Verdict

    original = Pilot.observe

    def observe(self: Any, *args: Any, **kwargs: Any) -> Verdict:
        verdict = original(self, *args, **kwargs)
        if _broken() and verdict is Verdict.DUPLICATE:
            raise RuntimeError("a sample came twice")
        return verdict

    Pilot.observe = observe  # type: ignore[method-assign]


def _slow() -> None:
    from lnn_ros.guard.surroundings import Surroundings

    original = Surroundings.lower

    def lower(self: Any, at_ns: int, target: Any, current: Any) -> Any:
        return (target, [False] * 4) if _broken() else original(self, at_ns, target, current)

    Surroundings.lower = lower  # type: ignore[method-assign]


def _complaint(act: Callable[[], object]) -> None:
    """Do something whenever a message could not be decoded."""
    from lnn_ros.nodes.diagnostics import Complaints

    original = Complaints.report

    def report(self: Any, subject: str, reason: str, sentence: str) -> None:
        original(self, subject, reason, sentence)
        if _broken() and reason == "undecodable":
            act()

    Complaints.report = report  # type: ignore[method-assign]


def _alive() -> None:
    _complaint(lambda: os._exit(3))


def _memory() -> None:
    kept: list[bytes] = []
    _complaint(lambda: kept.append(os.urandom(200_000)))


def _refused() -> None:
    from rcl_interfaces.msg import SetParametersResult

    from lnn_ros.nodes.parameters import Parameters

    original = Parameters._on_set

    def on_set(self: Any, changes: Any) -> Any:
        return SetParametersResult(successful=True) if _broken() else original(self, changes)

    Parameters._on_set = on_set  # type: ignore[method-assign]


def _watchdog() -> None:
    from lnn_ros.nodes.watchdog import Watchdog

    Watchdog._watch = lambda self: None  # type: ignore[method-assign]


def _adapter() -> None:
    from lnn_ros.nodes.vehicle_adapter import VehicleAdapter

    for name in ("_stop_vehicle", "_say_zero"):
        original = getattr(VehicleAdapter, name)

        def stop(self: Any, *args: Any, original: Any = original) -> None:
            if not _broken():
                original(self, *args)

        setattr(VehicleAdapter, name, stop)


@dataclass(frozen=True)
class Break:
    """What is broken, how, in which process, and what must turn red by it."""

    what: str
    apply: Callable[[], None]
    row: str
    check: str
    process: str = "controller"


BREAKS = {
    "finite": Break("the guard answers NaN", _finite, "image.twice", "finite"),
    "framed": Break("commands are in another frame", _framed, "image.twice", "framed"),
    "ceilings": Break("the guard answers five times as much", _ceilings, "image.twice", "ceilings"),
    "steps": Break("the limiter lets everything pass", _steps, "image.silent", "steps"),
    "stopped": Break(
        "motion is commanded when disengaged", _stopped, "vehicle_state.landed", "stopped"
    ),
    "halts": Break("nothing is ever stale", _halts, "image.silent", "halts"),
    "watchdog": Break("the watchdog sleeps", _watchdog, "controller.stalled", "halts"),
    "adapter": Break(
        "the adapter has no timeout", _adapter, "controller.killed", "halts", "vehicle_adapter"
    ),
    "mode": Break("what is stale disengages", _mode, "image.silent", "mode"),
    "flies": Break("a sample that comes twice is an error", _flies, "image.twice", "flies"),
    "slow": Break("nothing is slow where nothing is seen", _slow, "scan.silent", "slow"),
    "stays": Break("it always flies on by itself", _stays, "image.gone", "stays"),
    "recovers": Break("it never flies on by itself", _recovers, "image.silent", "recovers"),
    "alive": Break("a payload that is no message ends the process", _alive, "imu.truncated",
                   "alive"),
    "memory": Break("every broken payload is kept in memory", _memory, "hostile.imu", "memory"),
    "refused": Break("every parameter is taken", _refused, "parameters.nonsense", "refused"),
}  # fmt: skip


@dataclass(frozen=True)
class _Flagged:
    """The action of a row, with the break acting while it lasts."""

    action: Any
    flag: Path

    def begin(self, stage: Any) -> float:
        self.flag.touch()
        began: float = self.action.begin(stage)
        return began

    def end(self, stage: Any) -> None:
        self.flag.unlink()
        self.action.end(stage)


def _inject(name: str) -> dict[str, Any]:
    """Fly with a break; return what came of it."""
    from lnn_ros.nodes.faults.campaign import run
    from lnn_ros.nodes.faults.command import SEED
    from lnn_ros.nodes.faults.rows import ROWS
    from lnn_ros.nodes.faults.stage import Stage

    broken = BREAKS[name]
    row = ROWS[broken.row]
    with tempfile.TemporaryDirectory(prefix="lnn_ros_broken_") as folder:
        flag = Path(folder, "broken")
        os.environ.update({_NAME: name, _FLAG: str(flag)})
        with Stage(Path(folder), SEED, {broken.process: "faults_broken"}) as stage:
            found = run(stage, replace(row, action=_Flagged(row.action, flag)))
    checks = {failed["check"] for failed in found["failed"]}
    if "recovered" in found and not found["recovered"]:
        checks.add("recovers")
    return {"what": broken.what, "process": broken.process, "row": broken.row,
            "check": broken.check, "red": broken.check in checks, "all_red": sorted(checks),
            "failed": found["failed"]}  # fmt: skip


def table(breaks: dict[str, Any]) -> str:
    """Return results in Markdown."""
    lines = ["| Broken on purpose | Row | Check that turns red | Red |", "|---|---|---|---|"]
    for one in breaks.values():
        red = "yes" if one["red"] else "NO"
        lines.append(f"| {one['what']} | `{one['row']}` | {one['check']} | {red} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Break one after the other; the exit status is 0 if every break was found."""
    from lnn_ros.learning.jobs import provenance
    from lnn_ros.learning.results import write

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="keep the results here")
    parser.add_argument("--breaks", default=",".join(BREAKS), help="only these, comma-separated")
    parser.add_argument("--show", type=Path, help="print the results in a file, and do nothing")
    args = parser.parse_args()
    if args.show:
        print(table(json.loads(args.show.read_text(encoding="utf-8"))["breaks"]), end="")
        return 0
    here = str(Path(__file__).resolve().parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    head = provenance("python benchmark/faults_broken.py --json docs/results/faults_broken.json")
    found: dict[str, Any] = {}
    if args.json and args.json.exists():
        found = json.loads(args.json.read_text(encoding="utf-8"))["breaks"]
    for name in args.breaks.split(","):
        found[name] = _inject(name)
        sys.stderr.write(f"{name}: {found[name]['row']} is red by {found[name]['all_red']}, "
                         f"expected {found[name]['check']}\n")  # fmt: skip
        if args.json:
            write(args.json, {**head, "breaks": {n: found[n] for n in BREAKS if n in found}})
    missed = [name for name, one in found.items() if not one["red"]]
    print(f"{len(found) - len(missed)} of {len(found)} breaks found"
          + (f"; missed: {', '.join(missed)}" if missed else ""))  # fmt: skip
    return 1 if missed else 0


def run_broken() -> int:
    """Be the broken process."""
    broken = BREAKS[os.environ[_NAME]]
    if broken.process == "vehicle_adapter":
        from lnn_ros.nodes import vehicle_adapter

        broken.apply()
        return vehicle_adapter.main()
    from lnn_ros.nodes.faults import stallable

    broken.apply()
    return stallable.main()


if __name__ == "__main__":
    raise SystemExit(run_broken() if "--ros-args" in sys.argv else main())
