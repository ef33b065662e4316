"""Whether what was heard was safe: checks on commands and reports, without ROS.

What must hold at every moment, whatever is injected, is in ``always``: commands are finite,
stamped and framed, inside their ceilings, and change no faster than the limits let them; nothing
but zero is commanded in a stopped mode. Zero at once is right in a stopped mode, and with the stamp
of the command before: it is then no step of the control loop, but said because that or simulated
time stands still. What is expected of one fault is in ``Expectation`` and ``expected``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

Four = tuple[float, float, float, float]

STOPPED = ("disengaged", "fault")
STILL = 0.05
"""Below this, m/s and rad/s, a command is that of a vehicle which stands."""
RESTING = 0.3
"""Below this the vehicle itself counts as standing, m/s: wind and its own estimate move it."""
FLYING = 0.3
"""A command above this is one of flight, m/s."""
_EXACT = 1e-6
_TOLD_LATE = 0.1  # s: by how much a report may come after the commands that it is about
_LAST_WORD = 1.5  # s: so late at most comes what explains a zero
_SETTLING = 0.1
_FEW = 3


@dataclass(frozen=True)
class Command:
    """One command as it arrived.

    Attributes
    ----------
    at : float
        Steady time of arrival, s.
    stamp_ns : int
        Its stamp.
    values : tuple of 4 float
        vx, vy, vz (m/s), yaw rate (rad/s).
    frame : str
        Its frame.
    """

    at: float
    stamp_ns: int
    values: Four
    frame: str = "base_link"

    @property
    def still(self) -> bool:
        """Whether it lets the vehicle stand."""
        return all(abs(v) <= STILL for v in self.values)

    @property
    def speed(self) -> float:
        """Its speed, m/s."""
        return math.hypot(*self.values[:3])


@dataclass(frozen=True)
class Report:
    """The controller's word about itself: when it came, its mode, and why (status only)."""

    at: float
    mode: str
    reason: str
    source: str


@dataclass
class Heard:
    """All that a judge has heard, in order of arrival by topic.

    Attributes
    ----------
    commands, vehicle : list of Command
        What the controller and the vehicle adapter have published.
    reports : list of Report
        The controller's status and traces.
    traced : list of Command
        Commands by the controller's trace: see ``trace``.
    stops : int
        How often its limiter has been put to rest, by the last trace.
    speeds : list of (float, float)
        Steady time, s, and the vehicle's true speed, m/s.
    simulated : list of (float, float)
        Steady and simulated time, s.
    """

    commands: list[Command] = field(default_factory=list)
    vehicle: list[Command] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    traced: list[Command] = field(default_factory=list)
    stops: int = 0
    speeds: list[tuple[float, float]] = field(default_factory=list)
    simulated: list[tuple[float, float]] = field(default_factory=list)

    def pace(self, began: float, ended: float) -> float:
        """Simulated seconds per second between two instants, from 0.1 to 1; 1 if it stood."""
        during = [pair for pair in self.simulated if began <= pair[0] <= ended]
        if len(during) < _FEW or during[-1][0] - during[0][0] < (ended - began) / 2:
            return 1.0
        (first, first_s), (last, last_s) = during[0], during[-1]
        return min(max((last_s - first_s) / (last - first), 0.1), 1.0)

    def trace(self, command: Command, stops: int) -> None:
        """Take a command by its trace, which counts how often the limiter was put to rest at once.

        A zero that is said outside of the control loop has no trace of its own: it has the stamp of
        the command before, and is known by the next trace.
        """
        if self.traced and stops > self.stops:
            self.traced.append(replace(self.traced[-1], at=command.at, values=(0.0,) * 4))
        self.stops = stops
        self.traced.append(command)

    def by_trace(self) -> Heard:
        """Return it with the commands that the controller says it gave, in place of its topic's."""
        return replace(self, commands=self.traced)


@dataclass(frozen=True)
class Bounds:
    """What commands must stay inside of.

    Attributes
    ----------
    low, high : tuple of 4 float
        Ceilings, m/s and rad/s.
    change : tuple of 4 float
        Greatest acceleration, normal or braking, whichever is greater, m/s^2 and rad/s^2.
    pause : float
        A longer time between two commands buys no more change than this, s.
    """

    low: Four
    high: Four
    change: Four
    pause: float


@dataclass(frozen=True)
class Expectation:
    """What must come of a fault.

    Attributes
    ----------
    halts : str
        What must stand still within ``within`` and stay so while the fault lasts: "cmd_vel",
        "vehicle/cmd_vel", "ahead" (``cmd_vel`` commands no motion forward), "ground_truth" (the
        vehicle itself, by its own timeout); empty: nothing must.
    within : float
        Seconds from the injection.
    flies : bool
        Whether the policy must go on flying.
    modes : tuple of str
        In which the controller must be at the fault's end; empty: any.
    slow : float
        Greatest speed at the fault's end, m/s; 0: any.
    """

    halts: str = ""
    within: float = 0.0
    flies: bool = False
    modes: tuple[str, ...] = ()
    slow: float = 0.0


@dataclass(frozen=True)
class Failed:
    """A check that failed: its name, and a sentence."""

    check: str
    sentence: str


def always(heard: Heard, bounds: Bounds) -> list[Failed]:
    """Check what must hold at every moment; the first failure of each check is told."""
    found: dict[str, Failed] = {}
    for failed in (*_finite(heard), *_ceilings(heard.commands, bounds),
                   *_steps(heard.commands, heard.reports, bounds), *_stopped(heard)):
        found.setdefault(failed.check, failed)
    return list(found.values())


def expected(heard: Heard, wanted: Expectation, began: float, ended: float,
             pace: float = 1.0) -> list[Failed]:
    """Check what is expected of a fault.

    Parameters
    ----------
    heard : Heard
        What came.
    wanted : Expectation
        What was to come.
    began, ended : float
        Of the fault, steady s.
    pace : float
        Simulated seconds per second meanwhile, at most 1: what is judged by simulated time takes
        as much longer on a computer that is too slow for it. The adapter has a clock of its own.
    """
    found = []
    if wanted.halts:
        time = halted_after(heard, wanted.halts, began, ended)
        within = wanted.within / (1.0 if wanted.halts == "vehicle/cmd_vel" else pace)
        if time is None or time > within:
            found.append(Failed("halts", f"{wanted.halts} stood still after {_seconds(time)}: "
                                f"expected at most {within:.2f} s"))
    if wanted.flies:
        during = [c for c in heard.commands if began + _SETTLING <= c.at <= ended]
        modes = {r.mode for r in heard.reports if began + _SETTLING <= r.at <= ended}
        gap = longest_gap([c.at for c in during], began, ended)
        if modes - {"engaged"} or gap > 0.5 or all(c.still for c in during):
            found.append(Failed("flies", f"{len(during)} commands, modes {sorted(modes)}, longest "
                                f"pause {gap:.2f} s: expected that it flies on, engaged"))
    mode = mode_at(heard.reports, ended)
    if wanted.modes and mode not in wanted.modes:
        found.append(Failed("mode", f"the controller is in {mode or 'no mode'} at the fault's end: "
                            f"expected {' or '.join(wanted.modes)}"))
    if wanted.slow:
        last = [c.speed for c in heard.commands if c.at <= ended][-1:]
        if not last or last[0] > wanted.slow:
            found.append(Failed("slow", f"commands are of {last} m/s at the fault's end: expected "
                                f"at most {wanted.slow:g}"))
    return found


def halted_after(heard: Heard, what: str, began: float, ended: float) -> float | None:
    """Seconds from the injection until something stands still and stays so; None if it does not.

    Zero if it has never moved since.
    """
    series = _motion(heard, what)
    moving = [at for at, moves in series if moves and at <= ended]
    if not series:
        return None
    if not moving:
        return 0.0
    # The last word must be that it stands: a topic that falls silent in motion has not halted.
    still = [at for at, _ in series if moving[-1] < at <= ended]
    return max(still[0] - began, 0.0) if still else None


def _motion(heard: Heard, what: str) -> list[tuple[float, bool]]:
    """When something was heard of, and whether it moved then."""
    if what == "ground_truth":
        return [(at, speed > RESTING) for at, speed in heard.speeds]
    if what == "ahead":
        return [(c.at, c.values[0] > STILL) for c in heard.commands]
    return [(c.at, not c.still) for c in (heard.commands if what == "cmd_vel" else heard.vehicle)]


def longest_gap(times: Sequence[float], began: float, ended: float) -> float:
    """Longest time without an event between two instants, s."""
    instants = [began, *(t for t in times if began <= t <= ended), ended]
    return max(b - a for a, b in itertools.pairwise(instants))


def mode_at(reports: Sequence[Report], at: float) -> str:
    """Mode by the last report up to an instant."""
    return next((r.mode for r in reversed(reports) if r.at <= at), "")


def flies(heard: Heard, since: float) -> bool:
    """Whether it is engaged and the vehicle is told to move, by the last that came."""
    reports = [r for r in heard.reports[-1:] if r.at > since]
    return bool(reports) and reports[0].mode == "engaged" and all(
        len(series) == _FEW and all(c.speed > FLYING for c in series) for series in (
            [c for c in commands[-_FEW:] if c.at > since]
            for commands in (heard.commands, heard.vehicle)))


def _finite(heard: Heard) -> Iterable[Failed]:
    for topic, series in (("cmd_vel", heard.commands), ("vehicle/cmd_vel", heard.vehicle)):
        for c in series:
            if not all(map(math.isfinite, c.values)):
                yield Failed("finite", f"{topic} is {list(c.values)}: expected finite numbers")
            elif topic == "cmd_vel" and (c.stamp_ns <= 0 or c.frame != "base_link"):
                yield Failed("framed", f"{topic} is stamped {c.stamp_ns} ns in frame {c.frame!r}: "
                             f"expected a time in base_link")


def _ceilings(commands: Sequence[Command], bounds: Bounds) -> Iterable[Failed]:
    for c in commands:
        for v, low, high in zip(c.values, bounds.low, bounds.high, strict=True):
            if not low - _EXACT <= v <= high + _EXACT:
                yield Failed("ceilings", f"a command is {_rounded(c.values)}: expected "
                             f"{list(bounds.low)} to {list(bounds.high)}")


def _steps(commands: Sequence[Command], reports: Sequence[Report],
           bounds: Bounds) -> Iterable[Failed]:
    for before, after in itertools.pairwise(commands):
        dt = min(max((after.stamp_ns - before.stamp_ns) / 1e9, 0.0), bounds.pause)
        for i in range(4):
            step, allowed = abs(after.values[i] - before.values[i]), bounds.change[i] * dt
            if step <= allowed + _EXACT or not step < math.inf:
                continue
            if not any(after.values) and (after.stamp_ns == before.stamp_ns
                                          or _is_stopped(reports, after.at)):
                continue  # zero at once
            yield Failed("steps", f"a command goes from {_rounded(before.values)} to "
                         f"{_rounded(after.values)} within {dt:.3f} s: expected at most "
                         f"{allowed:.3f} along axis {i}")
            break


def _is_stopped(reports: Sequence[Report], at: float) -> bool:
    """Whether the mode was one in which zero is commanded at once, as told before or soon after.

    A controller that ends tells of it when zero has been acknowledged, or does not come to it: then
    nothing of any mode is told after the zero, either.
    """
    later = [r for r in reports if r.at > at]
    soon = {r.mode for r in later if r.at < at + _LAST_WORD}
    silent = all(r.at < at + _TOLD_LATE for r in later)
    return silent or mode_at(reports, at) in STOPPED or bool(soon & set(STOPPED))


def _stopped(heard: Heard) -> Iterable[Failed]:
    """In a stopped mode nothing but zero is commanded."""
    for stopped, group in itertools.groupby(heard.reports, lambda r: r.mode in STOPPED):
        told = list(group)
        if not stopped:
            continue
        following = next((r for r in heard.reports if r.at > told[-1].at), None)
        until = math.inf if following is None else following.at - _TOLD_LATE
        for c in heard.commands:
            if told[0].at + _TOLD_LATE < c.at < until and any(c.values):
                yield Failed("stopped", f"{_rounded(c.values)} is commanded in {told[0].mode}: "
                             f"expected zeros")
                return


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(v, 3) for v in values]


def _seconds(time: float | None) -> str:
    return "never" if time is None else f"{time:.2f} s"
