"""What differs from flight to flight while a policy is taught: timing, disturbances, shifts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.simulation.conditions import CONDITIONS
from lnn_ros.simulation.interruption import Interruption, Lost
from lnn_ros.simulation.physics import Estimator, Wind
from lnn_ros.simulation.sensors import StreamTiming
from lnn_ros.simulation.shifts import KINDS, Shift
from lnn_ros.simulation.simulator import SimulatorOptions
from lnn_ros.simulation.task import LapGoal, Range, Task

OCCLUDED, BLACKED_OUT = 0.4, 0.15
"""Share of the flights in which the target is covered, and in which no frame comes, for a while."""
SHIFTED, MOST_SHIFTS = 0.6, 2
"""Share of the flights in which something is shifted, and the most that is, one on the other."""
_TOO_SMALL = {"range", "field_of_view"}
"""Both at once leave less than a pixel of the target."""
KEPT_BACK = ("stones", "renderer")
"""Families that no policy is ever taught with: whatever it does under them is news."""
SEEN, UNSEEN_STRENGTH, UNSEEN_FAMILY = "seen", "unseen strength", "unseen family"


@dataclass(frozen=True)
class Cameras:
    """Timing that a flight's camera is drawn from: as ``StreamTiming``, from and to.

    All is drawn evenly; the rate by its logarithm where frames overtake each other, whose cameras
    are slow as often as fast.
    """

    rate_hz: Range
    jitter_s: Range
    latency_s: Range
    latency_jitter_s: Range
    drop: Range
    reorder: bool


CAMERAS = (
    Cameras(rate_hz=(12.0, 30.0), jitter_s=(0.0, 0.015), latency_s=(0.0, 0.04),
            latency_jitter_s=(0.0, 0.0), drop=(0.0, 0.1), reorder=False),
    Cameras(rate_hz=(4.0, 60.0), jitter_s=(0.0, 0.05), latency_s=(0.0, 0.12),
            latency_jitter_s=(0.0, 0.1), drop=(0.0, 0.5), reorder=True),
)
"""A camera as it should be, and one as it may be: half of the flights have the one or the other."""
LOST_S = {Lost.TARGET: (0.5, 3.0), Lost.FRAMES: (0.3, 1.2)}
"""How long what is lost once in a flight is lost, s."""
LOST_AFTER_S = (0.5, 8.0)


def taught_timing(task: Task) -> dict[str, Range]:
    """Return the timing that a policy is taught with: names as in ``timing_of``, from and to.

    Of what a training has learned from afterwards still more frames are missing: see
    ``lnn_ros.learning.sequences``.
    """
    ranges = {
        f"camera.{name}": (min(getattr(c, name)[0] for c in CAMERAS),
                           max(getattr(c, name)[1] for c in CAMERAS))
        for name in ("rate_hz", "jitter_s", "latency_s", "latency_jitter_s", "drop")
    }
    return ranges | {f"{lost.value}_lost_s": LOST_S[lost] for lost in _losses(task)}


def _losses(task: Task) -> tuple[Lost, ...]:
    """Name what is lost in some flights; a lap has no target to lose."""
    return (Lost.FRAMES,) if isinstance(task.success, LapGoal) else (Lost.TARGET, Lost.FRAMES)


def taught(task: Task, without: Collection[str] = ()) -> dict[str, tuple[float, float]]:
    """Return the families that a policy is taught with, and their strengths, weakest and strongest.

    Parameters
    ----------
    task : Task
        Its standard strengths are the strongest; what has none is not taught.
    without : collection of str
        Families that are left out, and groups of them.

    Raises
    ------
    LnnError
        When there is no such family or group.
    """
    known = {*KINDS, *(kind.group for kind in KINDS.values())}
    for name in without:
        if name not in known:
            raise LnnError(f"--without {name!r} found, expected families or groups of shifts: "
                           f"{', '.join(sorted(known))}")
    return {name: (KINDS[name].usual, strength) for name, strength in task.shifts.stated.items()
            if name not in KEPT_BACK and not {name, KINDS[name].group} & set(without)}


def random_shifts(rng: np.random.Generator, task: Task,
                  without: Collection[str] = ()) -> tuple[Shift, ...]:
    """Draw the shifts of a flight: none, one or two families, each at a strength of its own."""
    families = taught(task, without)
    if not families or rng.random() >= SHIFTED:
        return ()
    count = min(int(rng.integers(1, MOST_SHIFTS + 1)), len(families))
    drawn: list[Shift] = []
    for name in rng.choice(list(families), count, replace=False).tolist():
        if {name, *(shift.kind for shift in drawn)} == _TOO_SMALL:
            continue
        low, high = families[name]
        strength = float(low + (high - low) * rng.random())
        kind = KINDS[name]
        drawn.append(Shift(name, min(max(strength, kind.low), kind.high)))
    return tuple(drawn)


def random_options(rng: np.random.Generator, task: Task,
                   without: Collection[str] = ()) -> SimulatorOptions:
    """Draw timing, disturbances and shifts of a flight; up to twice the task's wind and drift.

    Half of the flights have a camera as it should be, the others one as it may be (``CAMERAS``).
    Whatever the camera, in some flights the target cannot be seen for a while, or no frame comes at
    all. What disturbs is as a shift says, where one is drawn that does.
    """
    of = CAMERAS[0 if rng.random() < 0.5 else 1]
    low, high = of.rate_hz
    rate = float(low * (high / low) ** rng.random() if of.reorder else rng.uniform(low, high))
    usual, (wind, gust, drift) = task.disturbances, rng.uniform(0.0, 2.0, 3).tolist()
    options = SimulatorOptions(
        camera=StreamTiming(
            rate_hz=rate,
            jitter_s=float(min(rng.uniform(*of.jitter_s), 0.45 / rate)),
            latency_s=float(rng.uniform(*of.latency_s)),
            latency_jitter_s=float(rng.uniform(*of.latency_jitter_s)) if of.reorder else 0.0,
            drop=float(rng.uniform(*of.drop)),
            reorder=of.reorder,
        ),
        interruption=_interruption(rng, task),
        shifts=random_shifts(rng, task, without),
    )
    if any(shift.disturbs for shift in options.shifts):
        return options
    return replace(
        options,
        wind=Wind(wind * usual.wind, gust * usual.gust, usual.gust_time),
        estimator=Estimator(usual.velocity_lag, usual.velocity_noise, drift * usual.velocity_drift),
    )


def _interruption(rng: np.random.Generator, task: Task) -> Interruption | None:
    """Draw what the camera loses once in the flight, if anything."""
    way = rng.random()
    if way >= OCCLUDED + BLACKED_OUT:
        return None
    lost = Lost.TARGET if way < OCCLUDED else Lost.FRAMES
    return Interruption(lost, LOST_AFTER_S, LOST_S[lost]) if lost in _losses(task) else None


def timing_of(condition: str) -> dict[str, Range]:
    """Return what a condition changes, from and to.

    Names are ``camera.drop`` and the like, as of ``StreamTiming``; ``frames_lost_s`` and
    ``target_lost_s``, how long; ``pace``. Overtaking has none: it comes with latency that varies.
    """
    plain = SimulatorOptions()
    options = CONDITIONS[condition].change(plain)
    found: dict[str, Range] = {}
    for stream in ("camera", "imu"):
        now, before = (asdict(getattr(o, stream)) for o in (options, plain))
        found |= {f"{stream}.{key}": (float(value), float(value)) for key, value in now.items()
                  if key != "reorder" and value != before[key]}
    if options.interruption is not None:
        found[f"{options.interruption.lost.value}_lost_s"] = options.interruption.duration_s
    if options.pace != plain.pace:
        found["pace"] = (options.pace, options.pace)
    return found


def on_card(training: Mapping[str, Any], key: str) -> dict[str, Range] | None:
    """Return the ranges that a policy's card names under ``training``; None where it names none.

    Raises
    ------
    LnnError
        When these are no ranges.
    """
    if key not in training:
        return None
    try:
        return {str(name): (float(low), float(high))
                for name, (low, high) in dict(training[key]).items()}
    except (TypeError, ValueError):
        raise LnnError(f"training.{key} of the policy's card: {training[key]!r} found, expected "
                       f"names to ranges [from, to]") from None


def exposure(shift: str, task: Task, taught: Mapping[str, Sequence[float]],
             timing: Mapping[str, Sequence[float]] | None = None) -> str:
    """Say what a policy was taught of a shift: the least known of those that are named.

    Parameters
    ----------
    shift : str
        As ``lnn_ros evaluate --shift`` takes it.
    task : Task
        With the standard strengths.
    taught : mapping
        Families to strengths from and to, as the policy's card says. A card without them is of a
        training that had none.
    timing : mapping, optional
        What of timing to from and to, as the policy's card says. Cards of earlier trainings do
        not, although these drew timing too, never more of it than today's: of such a policy, what
        today's would have taught counts as taught. It may have seen less; but "unseen" is a claim,
        for which more is forgiven, and a card that is silent does not carry it.

    Returns
    -------
    str
        ``SEEN``; ``UNSEEN_STRENGTH``, of a family that it was taught with, or of another family of
        the same group; ``UNSEEN_FAMILY``. All timing is one group; a vehicle's pace is none.
    """
    order = (SEEN, UNSEEN_STRENGTH, UNSEEN_FAMILY)
    groups = {KINDS[family].group for family in taught if family in KINDS}
    found = SEEN
    for name in shift.split(","):
        if name in CONDITIONS:
            said = _exposure_to(timing_of(name), taught_timing(task) if timing is None else timing)
        else:
            one = Shift.parse(name, task)
            if one.kind in taught:
                within = _within((one.strength, one.strength), taught[one.kind])
                said = SEEN if within else UNSEEN_STRENGTH
            else:
                said = UNSEEN_STRENGTH if KINDS[one.kind].group in groups else UNSEEN_FAMILY
        found = max(found, said, key=order.index)
    return found


def _exposure_to(changed: Mapping[str, Range], timing: Mapping[str, Sequence[float]]) -> str:
    """Say what a policy was taught of a condition."""
    if all(name in timing and _within(range_, timing[name]) for name, range_ in changed.items()):
        return SEEN
    return UNSEEN_STRENGTH if timing and "pace" not in changed else UNSEEN_FAMILY


def _within(inner: Range, outer: Sequence[float]) -> bool:
    return min(outer) <= min(inner) and max(inner) <= max(outer)
