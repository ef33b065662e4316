# ruff: noqa: E402 - threads must be limited before numpy is imported
"""What the guard costs: microseconds per command, by what it has to look at.

    python benchmark/guard.py [--commands N] [--json FILE]

Four guards answer wishes that change at random, 30 times a second of stamps:

offline    the policy's ceilings alone, as in evaluation and replay
slew       acceleration and jerk limited, nothing around it
drone      that, a fence with odometry at every command, and a depth camera that sees 500 points
           of scenery between 1.5 and 6 m, at every second command
rover      planar: limits for its two axes, and a scanner that sees 360 points all round, at every
           second command

Timed is the command alone, from wish to command (``Guard.__call__``): what comes between an answer
of the network and what is sent. What sensors and odometry cost when they come (``Guard.see``,
``Guard.locate``) is another row, and what ``see`` does, which prepares for the commands, one more.
The guards take turns, a command each, so that other work on the machine hits all alike; ``cpu`` is
the processor time of this thread, which such work stretches less. No flight stops for good: when
the wish leads nowhere it changes.

Before that the benchmark checks that the guards do something: each has limited, fenced and slowed.
The goal is 50 microseconds for each command.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[variable] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from lnn_ros.guard.chain import Guard
from lnn_ros.guard.limits import Limits
from lnn_ros.guard.modes import Event
from lnn_ros.guard.parameters import (
    OFFLINE,
    FenceParameters,
    GuardParameters,
    ModeParameters,
    ObstacleParameters,
    SensorParameters,
    SlewParameters,
    StoppingParameters,
)
from lnn_ros.learning.jobs import provenance

SEED = 0
PERIOD_NS = 33_333_333
START = 10**12
GOAL_US = 50.0
WARM_UP = 200
HELD = 15
"""Commands for which a wish stays as it is."""
FRESH = {"camera": 0.02, "imu": 0.004}
POLICY = Limits((-0.5, -1.0, -0.8, -1.5), (1.6, 1.0, 0.8, 1.5))
NORMAL = SlewParameters(
    forward=1.5, backward=1.5, lateral=1.5, up=1.0, down=1.0, turn=3.0,
    jerk_forward=8.0, jerk_lateral=8.0, jerk_vertical=6.0, jerk_turn=30.0,
)  # fmt: skip
BRAKING = SlewParameters(
    forward=2.5, backward=2.5, lateral=2.5, up=2.0, down=2.0, turn=6.0,
    jerk_forward=20.0, jerk_lateral=20.0, jerk_vertical=15.0, jerk_turn=90.0,
)  # fmt: skip
ALONE = ModeParameters(require_airborne=False, require_velocity_mode=False)
DEPTH = SensorParameters(width=math.radians(87), height=math.radians(58), near=0.2, far=10.0)
SCANNER = SensorParameters(width=2 * math.pi, height=0.1, near=0.1, far=12.0)
GUARDS = {
    "offline": OFFLINE,
    "slew": GuardParameters(normal=NORMAL, braking=BRAKING, modes=ALONE),
    "drone": GuardParameters(
        normal=NORMAL,
        braking=BRAKING,
        modes=ALONE,
        stopping=StoppingParameters(deceleration=1.5),
        fence=FenceParameters(enabled=True, x_low=-3.0, x_high=3.0, y_low=-3.0, y_high=3.0),
        sensors={"depth": DEPTH},
    ),
    "rover": GuardParameters(
        normal=NORMAL,
        braking=BRAKING,
        modes=ALONE,
        stopping=StoppingParameters(deceleration=1.5),
        obstacles=ObstacleParameters(planar=True),
        sensors={"scan": SCANNER},
    ),
}
POINTS = {"depth": 500, "scan": 360}


def scenery(sensor: str, rng: np.random.Generator) -> np.ndarray:
    """Return points, one in each direction of a grid, so that none is thinned out."""
    if sensor == "scan":
        azimuth = np.linspace(-math.pi, math.pi, POINTS[sensor], endpoint=False)
        elevation = np.zeros_like(azimuth)
    else:
        across, down = np.meshgrid(
            np.linspace(-0.74, 0.74, 25), np.linspace(-0.48, 0.48, POINTS[sensor] // 25)
        )
        azimuth, elevation = across.ravel(), down.ravel()
    distance = rng.uniform(1.5, 6.0, len(azimuth))
    return distance[:, None] * np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth),
         np.sin(elevation)], axis=-1
    )  # fmt: skip


class Flight:
    """A guard that is asked again and again, and a vehicle that does what it says."""

    def __init__(self, name: str) -> None:
        self.name, self.parameters = name, GUARDS[name]
        self.guard = Guard(POLICY, self.parameters)
        self.rng = np.random.default_rng(SEED)
        self.at_ns, self.turn = START, 0
        self.place, self.yaw = [0.0, 0.0, 2.5], 0.0
        self.pictures = {s: [scenery(s, self.rng) for _ in range(8)]
                         for s in self.parameters.sensors}
        self.guard.begin(self.at_ns)
        self.measure()
        self.guard(self.at_ns, np.zeros(4), FRESH, now=0.0)
        if self.parameters is not OFFLINE:
            self.guard.handle(Event.ENGAGE, "benchmark", 0.0)

    def measure(self) -> float:
        """Take what sensors say; return seconds for it."""
        began = time.perf_counter()
        if self.turn % 2 == 0:
            for sensor, pictures in self.pictures.items():
                points = pictures[self.turn // 2 % len(pictures)]
                self.guard.see(sensor, self.at_ns, points)
        self.guard.locate(self.at_ns, tuple(self.place), self.yaw)
        return time.perf_counter() - began

    def command(self) -> tuple[float, float, float]:
        """Go on by one period; return seconds for measurements, the command, and its CPU time."""
        if self.turn % HELD == 0:
            # Somewhat more than the ceilings allow; the second half of it is flown into scenery.
            self.wish = self.rng.uniform(POLICY.low, POLICY.high) * 1.2
            self.wish[0] = abs(self.wish[0])
        measured = self.measure()
        self.turn += 1
        self.at_ns += PERIOD_NS
        now = (self.at_ns - START) * 1e-9
        cpu = time.thread_time()
        began = time.perf_counter()
        command = self.guard(self.at_ns, self.wish, FRESH, FRESH, now)
        took = time.perf_counter() - began
        cpu = time.thread_time() - cpu
        vx, vy, vz, rate = command.tolist()
        c, s, dt = math.cos(self.yaw), math.sin(self.yaw), PERIOD_NS * 1e-9
        for axis, v in enumerate((c * vx - s * vy, s * vx + c * vy, vz)):
            self.place[axis] += v * dt
        self.yaw += rate * dt
        return measured, took, cpu


def runs(commands: int) -> Iterator[tuple[str, tuple[float, float, float]]]:
    """Let all guards take turns; yield what each turn took, and check what they did."""
    flights = [Flight(name) for name in GUARDS]
    for turn in range(-WARM_UP, commands):
        for flight in flights:
            found = flight.command()
            if turn >= 0:
                yield flight.name, found
    for flight in flights:
        done = flight.guard.counts
        expected = ["guard.clamped"]
        expected += ["guard.fence"] if flight.parameters.fence.enabled else []
        expected += ["guard.obstacle"] if flight.parameters.sensors else []
        missing = [name for name in expected if done[name] < commands / 100]
        if missing or flight.guard.mode.value != "engaged":
            raise SystemExit(f"{flight.name}: {flight.guard.mode.value}, counts {dict(done)}: "
                             f"expected it to fly, and {', '.join(missing)} to happen")


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Return microseconds."""
    return {f"p{q}": round(1e6 * float(np.percentile(seconds, q)), 2) for q in (5, 50, 90, 99)}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commands", type=int, default=20_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
    args = parser.parse_args()
    columns: dict[str, list[tuple[float, float, float]]] = {name: [] for name in GUARDS}
    gc.collect()
    gc.freeze()
    for name, found in runs(args.commands):
        columns[name].append(found)
    rows: dict[str, Any] = {}
    for name, column in columns.items():
        measured, took, cpu = (list(values) for values in zip(*column, strict=True))
        rows[name] = {"command_us": quantiles(took), "command_cpu_us": quantiles(cpu),
                      "measurements_us": quantiles(measured)}
        if GUARDS[name].sensors:  # at every second command only
            rows[name]["see_us"] = quantiles(measured[::2])
        print(f"{name:8s}" + "".join(
            f"  {key}: " + ", ".join(f"{q} {value:.1f}" for q, value in values.items())
            for key, values in rows[name].items()))
    met = {name: row["command_us"]["p50"] <= GOAL_US for name, row in rows.items()}
    result = {
        **provenance(" ".join(["python", "benchmark/guard.py", *sys.argv[1:]])),
        "numpy": np.__version__, "commands": args.commands, "goal_us": GOAL_US,
        "points": POINTS, "guards": rows, "median_within_goal": met,
    }
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
