"""What differs from flight to flight while a policy is taught: timing, disturbances, shifts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.simulation.conditions import CONDITIONS
from lnn_ros.simulation.interruption import Interruption, Lost
from lnn_ros.simulation.physics import Estimator, Wind
from lnn_ros.simulation.sensors import StreamTiming
from lnn_ros.simulation.shifts import KINDS, Shift
from lnn_ros.simulation.simulator import SimulatorOptions
from lnn_ros.simulation.task import LapGoal, Task

OCCLUDED, BLACKED_OUT = 0.4, 0.15
"""Share of the flights in which the target is covered, and in which no frame comes, for a while."""
SHIFTED, MOST_SHIFTS = 0.6, 2
"""Share of the flights in which something is shifted, and the most that is, one on the other."""
_TOO_SMALL = {"range", "field_of_view"}
"""Both at once leave less than a pixel of the target."""
KEPT_BACK = ("stones", "renderer")
"""Families that no policy is ever taught with: whatever it does under them is news."""
SEEN, UNSEEN_STRENGTH, UNSEEN_FAMILY = "seen", "unseen strength", "unseen family"
_TIMING = {
    # Training's cameras have 4 Hz at least.
    "camera_2hz": UNSEEN_STRENGTH,
    "camera_3hz": UNSEEN_STRENGTH,
    # Training's frames come up to 50 ms early or late, and its inertial samples always in time.
    "jitter_100ms": UNSEEN_STRENGTH,
    "reordered": UNSEEN_STRENGTH,
    "pace_1_5": UNSEEN_FAMILY,
    "pace_2_5": UNSEEN_FAMILY,
}


def taught(task: Task, without: Collection[str] = ()) -> dict[str, tuple[float, float]]:
    """Return the families that a policy is taught with, and their strengths, weakest and strongest.

    Parameters
    ----------
    task : Task
        Its standard strengths are the strongest; one without any is taught without shifts.
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
    if task.shifts is None:
        return {}
    return {name: (kind.usual, getattr(task.shifts, name)) for name, kind in KINDS.items()
            if name not in KEPT_BACK and not {name, kind.group} & set(without)}


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

    Half of the flights have a camera as it should be: 12 to 30 Hz, some jitter, latency and drops.
    The others have one as it may be: 4 to 60 Hz, frames that come up to 0.2 s late and overtake
    each other, half of them lost. Whatever the camera, in some flights the target cannot be seen
    for a while, or no frame comes at all. What disturbs is as a shift says, where one is drawn that
    does.
    """
    good = rng.random() < 0.5
    rate = float(rng.uniform(12.0, 30.0) if good else 4.0 * 15.0 ** rng.random())
    usual, (wind, gust, drift) = task.disturbances, rng.uniform(0.0, 2.0, 3).tolist()
    options = SimulatorOptions(
        camera=StreamTiming(
            rate_hz=rate,
            jitter_s=float(min(rng.uniform(0.0, 0.015 if good else 0.05), 0.45 / rate)),
            latency_s=float(rng.uniform(0.0, 0.04 if good else 0.12)),
            latency_jitter_s=0.0 if good else float(rng.uniform(0.0, 0.1)),
            drop=float(rng.uniform(0.0, 0.1 if good else 0.5)),
            reorder=not good,
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
    """Draw what the camera loses once in the flight, if anything; a lap has no target to lose."""
    way = rng.random()
    if way < OCCLUDED:
        if isinstance(task.success, LapGoal):
            return None
        return Interruption(Lost.TARGET, (0.5, 8.0), (0.5, 3.0))
    if way < OCCLUDED + BLACKED_OUT:
        return Interruption(Lost.FRAMES, (0.5, 8.0), (0.3, 1.2))
    return None


def exposure(shift: str, task: Task, taught: Mapping[str, Sequence[float]]) -> str:
    """Say what a policy was taught of a shift: the least known of those that are named.

    Parameters
    ----------
    shift : str
        As ``lnn_ros evaluate --shift`` takes it.
    task : Task
        With the standard strengths.
    taught : mapping
        Families to strengths from and to, as the policy's card says.

    Returns
    -------
    str
        ``SEEN``; ``UNSEEN_STRENGTH``, of a family that it was taught with, or of another family of
        the same group; ``UNSEEN_FAMILY``.
    """
    order = (SEEN, UNSEEN_STRENGTH, UNSEEN_FAMILY)
    found = SEEN
    for name in shift.split(","):
        if name in CONDITIONS:
            said = _TIMING.get(name, SEEN)
        else:
            one = Shift.parse(name, task)
            groups = {KINDS[family].group for family in taught if family in KINDS}
            if one.kind in taught:
                low, high = taught[one.kind]
                within = min(low, high) <= one.strength <= max(low, high)
                said = SEEN if within else UNSEEN_STRENGTH
            else:
                said = UNSEEN_STRENGTH if KINDS[one.kind].group in groups else UNSEEN_FAMILY
        found = max(found, said, key=order.index)
    return found
