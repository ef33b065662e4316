"""Named conditions of timing, under which the same worlds are flown with the same noise and wind.

Every one changes the simulator's default options in one respect. What is random in it is drawn
from the world's seed alone, so that every policy meets the same: the same frames are lost or late,
and an interruption has the same earliest instant and duration (where it waits for a turn or for
the target to be in view, it waits for what this policy's flight shows).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from lnn_ros.errors import LnnError
from lnn_ros.simulation.interruption import Interruption, Lost
from lnn_ros.simulation.shifts import KINDS, Shift
from lnn_ros.simulation.simulator import SimulatorOptions
from lnn_ros.simulation.task import Task

_PLAIN = SimulatorOptions()
NOMINAL = "nominal"
"""The condition without a change, with which the others are compared."""
_AFTER_S = (1.0, 6.0)
"""When an interruption may begin, s from the start: the shortest flights last about 7 s."""
_TURN = 0.4
"""Yaw rate, rad/s, from which the vehicle counts as turning: the shipped policy of the first issue
turned faster in a tenth of its time."""


@dataclass(frozen=True)
class Condition:
    """A condition.

    Attributes
    ----------
    about : str
        What it is, in a few words, for tables.
    change : callable
        Gives options of the simulator under this condition from those without it.
    """

    about: str
    change: Callable[[SimulatorOptions], SimulatorOptions]


def _camera(about: str, **changes: Any) -> Condition:
    return Condition(about, lambda o: replace(o, camera=replace(o.camera, **changes)))


def _late(options: SimulatorOptions) -> SimulatorOptions:
    """Every sample of both streams takes up to 0.3 s."""
    camera, imu = (replace(stream, latency_s=0.0, latency_jitter_s=0.3, reorder=True)
                   for stream in (options.camera, options.imu))
    return replace(options, camera=camera, imu=imu)


def _once(about: str, lost: Lost, duration_s: tuple[float, float],
          yaw_rate: float = 0.0) -> Condition:
    interruption = Interruption(lost, _AFTER_S, duration_s, yaw_rate)
    return Condition(about, lambda o: replace(o, interruption=interruption))


def _pace(about: str, pace: float) -> Condition:
    return Condition(about, lambda o: replace(o, pace=pace))


CONDITIONS: dict[str, Condition] = {
    NOMINAL: Condition("camera 20 Hz, 10 ms latency; IMU 200 Hz", lambda o: o),
    "camera_2hz": _camera("camera 2 Hz", rate_hz=2.0),
    "camera_3hz": _camera("camera 3 Hz", rate_hz=3.0),
    "camera_4hz": _camera("camera 4 Hz", rate_hz=4.0),
    "camera_8hz": _camera("camera 8 Hz", rate_hz=8.0),
    "camera_15hz": _camera("camera 15 Hz", rate_hz=15.0),
    "camera_30hz": _camera("camera 30 Hz", rate_hz=30.0),
    "camera_60hz": _camera("camera 60 Hz", rate_hz=60.0),
    "drop_25": _camera("25 % of frames dropped", drop=0.25),
    "drop_50": _camera("50 % of frames dropped", drop=0.5),
    # Stamps really move: frames come 0 to 250 ms apart. Late arrivals have rows of their own.
    "jitter_100ms": _camera("each frame taken up to 100 ms early or late", jitter_s=0.1),
    "latency_100ms": _camera("frames arrive 100 ms late", latency_s=0.1),
    "latency_0_200ms": _camera("frames arrive 0 to 200 ms late, and overtake each other",
                               latency_s=0.0, latency_jitter_s=0.2, reorder=True),
    "reordered": Condition("frames and IMU arrive 0 to 300 ms late, and overtake each other",
                           _late),
    "blackout": _once("no frame for 0.7 s, once", Lost.FRAMES, (0.7, 0.7)),
    "blackout_in_turn": _once(f"no frame for 0.7 s, once, from a turn faster than {_TURN} rad/s on",
                              Lost.FRAMES, (0.7, 0.7), _TURN),
    "target_occluded": _once("target not to be seen for 1 to 3 s, once, from when it is in view",
                             Lost.TARGET, (1.0, 3.0)),
    # A policy's own ceiling stays; the vehicle does more than it is told (ceiling 2 m/s at pace 1).
    "pace_1_5": _pace("1.5 times as fast as commanded: ceiling 3 m/s", 1.5),
    # At this pace the policies of fly_to_target, taught at 1.2 m/s, cruise at 3 m/s. Obstacles 1.1
    # m apart at 3 m/s^2 of acceleration are too narrow for that: the privileged expert at the same
    # pace tells how many worlds can be flown at all.
    "pace_2_5": _pace("2.5 times as fast as commanded: cruise 3 m/s", 2.5),
}
"""Name to condition, the nominal one first."""


def condition(name: str) -> Condition:
    """Return a condition by its name.

    Raises
    ------
    LnnError
        When there is none of this name.
    """
    if name not in CONDITIONS:
        raise LnnError(f"condition {name!r} found, expected one of {', '.join(CONDITIONS)}")
    return CONDITIONS[name]


def shifted(text: str, options: SimulatorOptions | None = None,
            task: Task | None = None) -> SimulatorOptions:
    """Return options changed as a text says.

    Parameters
    ----------
    text : str
        Names with commas between: conditions of timing, and shifts with their strengths as in
        ``fog:0.2``, one on top of the other.
    options : SimulatorOptions, optional
        Without the changes.
    task : Task, optional
        Whose standard strengths count for shifts that are named without one.

    Raises
    ------
    LnnError
        When there is nothing of a name, or not of that strength.
    """
    options = options or SimulatorOptions()
    taken: dict[str, str] = {}
    for name in text.split(","):
        for field in _changes(name):
            if field in taken:
                raise LnnError(f"shifts {taken[field]!r} and {name!r} found, which change the "
                               f"same: expected one of them")
            taken[field] = name
        if name in CONDITIONS:
            options = CONDITIONS[name].change(options)
        elif name.partition(":")[0] in KINDS:
            options = replace(options, shifts=(*options.shifts, Shift.parse(name, task)))
        else:
            raise LnnError(f"shift {name!r} found, expected names of {', '.join(CONDITIONS)}, or "
                           f"NAME[:STRENGTH] of {', '.join(KINDS)}")
    return options


def _changes(name: str) -> set[str]:
    """Name what a shift or a condition changes."""
    if name not in CONDITIONS:
        return {name.partition(":")[0]}
    before, after = (asdict(o) for o in (_PLAIN, CONDITIONS[name].change(_PLAIN)))
    found = {name} | {key for key in after if after[key] != before[key]}
    for stream in {"camera", "imu"} & found:
        found.remove(stream)
        found |= {f"{stream}.{key}" for key, value in after[stream].items()
                  if value != before[stream][key]}
    return found
