# ruff: noqa: E402 - threads must be limited before numpy and torch are imported
"""What exact time costs: work per sample, per command and per rewind, and memory.

    python benchmark/timeline.py [--policy FILE] [--seconds S] [--json FILE]

A pilot takes a camera and an inertial stream in order and is asked for a command 30 times a second
of stamps, as on board. Four kinds of control periods:

in_order   nothing is late: samples are taken, due intervals are closed, the command is read
command    nothing has come since: the command alone
rewind     one sample has come as late as can be: the whole horizon is replayed, then as above
flood      1,000 late samples a second, all over the horizon, beside the two streams, all the time

What counts is the share of a control period (1/30 s) that all this takes in the control thread, in
processor time: what other programs take is not in it. Rows differ in the horizon and in the rates.
Growth with the horizon is fitted by a straight line. "full" is the worst that can be sent: a
history full of frames and readings, all replayed for one command.

Without a policy it measures the architecture that ``lnn_ros train`` makes, with its first weights:
the work does not depend on what they are.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # before numpy and torch read them
    os.environ[variable] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from lnn_ros.learning.architecture import make_policy
from lnn_ros.learning.jobs import provenance
from lnn_ros.liquid.checkpoint import Checkpoint, load
from lnn_ros.liquid.torch_policy import TorchPolicy
from lnn_ros.pilot import Pilot
from lnn_ros.simulation.task import Task
from lnn_ros.timeline.timeline import HORIZON_S, capacity

SEED = 0
START = 10**12
PERIOD_NS = 33_333_333
HORIZONS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
RATES = tuple((camera, imu) for camera in (20, 30, 60) for imu in (200, 500, 1000))
USUAL = (0.5, 20, 200)
FLOOD = 1000.0
"""Late samples a second."""
WARM_UP_S = 1.5
RUNS = (("in_order", "command", "rewind"), ("flood",))
"""Kinds of periods that take turns in one run."""


def drawn() -> Checkpoint:
    """Return the policy that a training begins with."""
    spec, wiring = make_policy("flow", Task.load("fly_to_target"), SEED)
    return Checkpoint(spec, TorchPolicy(spec, wiring, SEED).arrays(), {"name": "first weights"})


class Streams:
    """Samples of both streams in the order of their stamps, drawn once and used again.

    Parameters
    ----------
    shape : tuple of 3 int
        Of a frame.
    camera, imu : float
        Hz.
    """

    def __init__(self, shape: tuple[int, int, int], camera: float, imu: float) -> None:
        rng = np.random.default_rng(SEED)
        self.frames = [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(16)]
        self.readings = [rng.normal((0, 0, 0, 0, 0, 9.81), 0.5) for _ in range(997)]
        self._steps = {"camera": round(1e9 / camera), "imu": round(1e9 / imu)}

    def value(self, stream: str, k: int) -> np.ndarray:
        """Return the content of a stream's k-th sample."""
        values = self.frames if stream == "camera" else self.readings
        return values[k % len(values)]

    def between(self, start_ns: int, end_ns: int) -> list[tuple[str, int, np.ndarray]]:
        """Return the samples of (start, end], by stamp."""
        found = [
            (stream, START + k * step, self.value(stream, k))
            for stream, step in self._steps.items()
            for k in range((start_ns - START) // step + 1, (end_ns - START) // step + 1)
        ]
        return sorted(found, key=lambda sample: sample[1])


def spent(function: Callable[[], Any]) -> float:
    """Seconds of processor time of this thread."""
    begin = time.thread_time_ns()
    function()
    return (time.thread_time_ns() - begin) * 1e-9


def periods(
    checkpoint: Checkpoint,
    kinds: tuple[str, ...],
    horizon: float,
    camera: float,
    imu: float,
    seconds: float,
) -> Iterator[tuple[str, float, int, int]]:
    """Run control periods; yield kind, seconds, samples taken and updates replayed of each."""
    pilot = Pilot(checkpoint, horizon_s=horizon)
    streams = Streams(pilot.frame_shape, camera, imu)
    rng = np.random.default_rng(SEED + 1)
    horizon_ns = round(horizon * 1e9)
    now = START - 1
    for turn in range(round((seconds + WARM_UP_S) * 1e9 / PERIOD_NS)):
        kind, then = kinds[turn % len(kinds)], now + PERIOD_NS
        samples = streams.between(now, then)
        newest = max((stamp for _, stamp, _ in samples), default=then)
        if kind == "command":
            for sample in samples:
                pilot.observe(*sample)
            pilot.command(then)
            samples = []
        elif kind == "rewind":
            samples.append(("imu", newest - horizon_ns + 1, streams.value("imu", turn)))
        elif kind == "flood":
            count = round(FLOOD * PERIOD_NS * 1e-9)
            late = newest - rng.integers(1, horizon_ns, count)
            samples += [("imu", int(s), streams.value("imu", i)) for i, s in enumerate(late)]
        now = then

        def period(samples: list[tuple[str, int, np.ndarray]] = samples, at: int = now) -> None:
            for sample in samples:
                pilot.observe(*sample)
            pilot.command(at)

        before = pilot.counts().get("replayed_updates", 0)
        seconds_spent = spent(period)
        replayed = pilot.counts().get("replayed_updates", 0) - before
        if (now - START) * 1e-9 > WARM_UP_S:
            yield kind, seconds_spent, len(samples), replayed


def row(
    checkpoint: Checkpoint, horizon: float, camera: float, imu: float, seconds: float
) -> dict[str, Any]:
    """Measure one horizon at one pair of rates."""
    times, samples, replayed = defaultdict(list), defaultdict(list), defaultdict(list)
    for kinds in RUNS:
        for kind, spent_s, taken, again in periods(
            checkpoint, kinds, horizon, camera, imu, seconds
        ):
            times[kind].append(spent_s)
            samples[kind].append(taken)
            replayed[kind].append(again)
    told: dict[str, Any] = {"horizon_s": horizon, "camera_hz": camera, "imu_hz": imu}
    for kind, column in times.items():
        told[kind] = {
            "periods": len(column),
            "samples": float(np.mean(samples[kind])),
            "replayed_updates": float(np.mean(replayed[kind])),
            "milliseconds_p50": 1e3 * float(np.median(column)),
            "milliseconds_p99": 1e3 * float(np.percentile(column, 99)),
            "share_p50": float(np.median(column)) * 1e9 / PERIOD_NS,
            "share_p99": float(np.percentile(column, 99)) * 1e9 / PERIOD_NS,
        }
    return told


def taking(checkpoint: Checkpoint, horizon: float, camera: float, imu: float) -> dict[str, float]:
    """Microseconds to take a sample: in order; late, one of many before the next command."""
    pilot = Pilot(checkpoint, horizon_s=horizon)
    streams, rng = Streams(pilot.frame_shape, camera, imu), np.random.default_rng(SEED)
    now = START + round(2e9)
    for sample in streams.between(START - 1, now):
        pilot.observe(*sample)
    pilot.command(now)
    found = {}
    for stream in ("imu", "camera"):
        column = []
        for turn in range(1, 60):
            fresh = [s for s in streams.between(now, now + 500_000_000) if s[0] == stream]
            now += 500_000_000
            column += [spent(lambda s=s: pilot.observe(*s)) for s in fresh]
            if turn % 2:
                pilot.command(now)
        found[f"{stream}_in_order"] = 1e6 * float(np.median(column))
    column = []
    for stamp in rng.integers(now - round(horizon * 1e9) + 1, now, 2000):
        value = streams.value("imu", int(stamp))
        column.append(spent(lambda s=int(stamp), v=value: pilot.observe("imu", s, v)))
    found["imu_late"] = 1e6 * float(np.median(column))
    return found


def memory(checkpoint: Checkpoint, horizon: float, camera: float, imu: float) -> list[int]:
    """Bytes that a history takes after 2 and after 30 s of both streams."""
    pilot = Pilot(checkpoint, horizon_s=horizon)
    streams, now, sizes = Streams(pilot.frame_shape, camera, imu), START - 1, []
    pilot.observe("camera", START, streams.frames[0])
    pilot.command(START)
    pilot.reset()
    gc.collect()
    tracemalloc.start()
    try:
        empty = tracemalloc.get_traced_memory()[0]
        for seconds in (2, 30):
            while now < START + seconds * 10**9:
                then = now + PERIOD_NS
                for stream, stamp, value in streams.between(now, then):
                    pilot.observe(stream, stamp, value.copy())  # as from a message
                now = then
                pilot.command(now)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0] - empty)
    finally:
        tracemalloc.stop()
    return sizes


def full(checkpoint: Checkpoint, repeats: int) -> dict[str, float]:
    """Milliseconds of a command for which a full history is replayed."""
    pilot = Pilot(checkpoint)
    streams, column = Streams(pilot.frame_shape, 20, 200), []
    room = capacity(HORIZON_S)
    now, since = START + 500_000_000, START + 1_000_000
    for k in range(room["camera"]):
        stamp = since + k * 498_000_000 // room["camera"]
        pilot.observe("camera", stamp, streams.value("camera", k))
    for k in range(room["imu"] - repeats):
        stamp = since + 1000 + k * 498_000_000 // room["imu"]
        pilot.observe("imu", stamp, streams.value("imu", k))
    pilot.command(now)
    for k in range(repeats):
        late = ("imu", since - 1000 * k, streams.value("imu", k))
        column.append(spent(lambda s=late: (pilot.observe(*s), pilot.command(now))))
    counts = pilot.counts()
    return {
        "updates": counts["replayed_updates"] / repeats,
        "milliseconds_p50": 1e3 * float(np.median(column)),
        "share_p50": float(np.median(column)) * 1e9 / PERIOD_NS,
    }


def line(x: list[float], y: list[float]) -> dict[str, float]:
    """Least-squares line, and the share of the variance that it explains."""
    slope, offset = np.polyfit(x, y, 1)
    rest = np.asarray(y) - (slope * np.asarray(x) + offset)
    return {
        "slope_per_s": float(slope),
        "offset": float(offset),
        "r_squared": 1.0 - float(rest.var() / np.var(y)),
    }


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=Path, default=None)
    parser.add_argument("--seconds", type=float, default=30.0, help="of stamps, per row")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    checkpoint = load(args.policy) if args.policy else drawn()
    keys = [(h, *USUAL[1:]) for h in HORIZONS] + [(USUAL[0], *rates) for rates in RATES]
    rows = [row(checkpoint, *key, args.seconds) for key in dict.fromkeys(keys)]
    by_horizon = [r for r in rows if (r["camera_hz"], r["imu_hz"]) == USUAL[1:]]
    by_horizon.sort(key=lambda r: r["horizon_s"])
    sizes = {
        f"{h} s, {camera} Hz, {imu} Hz": memory(checkpoint, h, camera, imu)
        for h, camera, imu in dict.fromkeys([*((h, *USUAL[1:]) for h in HORIZONS), (1.0, 60, 1000)])
    }
    horizons = [r["horizon_s"] for r in by_horizon]
    worst = full(checkpoint, 40)
    usual = next(r for r in by_horizon if r["horizon_s"] == USUAL[0])
    result = {
        **provenance(" ".join(["python", "benchmark/timeline.py", *sys.argv[1:]])),
        "policy": checkpoint.weights_digest() if args.policy else f"first weights, seed {SEED}",
        "seconds": args.seconds,
        "period_ms": PERIOD_NS * 1e-6,
        "rows": rows,
        "taking_a_sample_us": {
            f"{h} s": taking(checkpoint, h, *USUAL[1:]) for h in (HORIZONS[0], USUAL[0], 1.0)
        },
        "full_history": worst,
        "history_bytes_after_2_and_30_s": sizes,
        "lines_over_horizon": {
            "rewind_ms": line(horizons, [r["rewind"]["milliseconds_p50"] for r in by_horizon]),
            "flood_ms": line(horizons, [r["flood"]["milliseconds_p50"] for r in by_horizon]),
            "history_bytes": line(horizons, [float(s[-1]) for s in list(sizes.values())[:-1]]),
        },
        "aims": {
            "in_order, 20 and 200 Hz, median share of a control period, at most 0.1": usual[
                "in_order"
            ]["share_p50"],
            "rewind of the whole horizon, p99 share in any row, at most 0.5": max(
                r["rewind"]["share_p99"] for r in rows
            ),
            "flood of 1,000 late samples a second, p99 share in any row, at most 0.5": max(
                r["flood"]["share_p99"] for r in rows
            ),
            "full history, median share, at most 0.5": worst["share_p50"],
        },
    }
    print("share of a control period, %: median (p99); ms")
    for r in rows:
        cells = (
            f"{kind} {100 * r[kind]['share_p50']:5.2f} ({100 * r[kind]['share_p99']:5.2f}) "
            f"{r[kind]['milliseconds_p50']:5.2f}"
            for kinds in RUNS
            for kind in kinds
        )
        print(f"{r['horizon_s']} s, {r['camera_hz']} and {r['imu_hz']} Hz:", "  ".join(cells))
    for name in ("taking_a_sample_us", "full_history", "history_bytes_after_2_and_30_s"):
        print(f"{name}: {result[name]}")
    for name, fit in result["lines_over_horizon"].items():
        print(
            f"{name}: {fit['offset']:.3g} + {fit['slope_per_s']:.3g} per s of horizon, "
            f"R^2 {fit['r_squared']:.4f}"
        )
    for aim, value in result["aims"].items():
        print(f"{aim}: {value:.3f}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
