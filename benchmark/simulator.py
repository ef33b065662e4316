"""How much faster than real time the whole simulator flies, with and without its camera.

    python benchmark/simulator.py [--worlds N] [--seconds S] [--repeats N] [--json FILE]

The expert flies every world with the camera at 20 Hz (four samples per pixel) and the IMU at
200 Hz, then the same without the camera, in turns, in one thread. The clock runs over everything:
physics, sensors, judging and the expert's commands. The required factor is per core, so that it
is judged by the processor time that the flight takes; the wall time beside it is the same on an
idle machine, and also counts what other programs take on a busy one.

Then the shipped policy flies every world to its end, as in a table of flights: processor seconds
of a flight, by part.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # before numpy reads them
    os.environ[variable] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402

from lnn_ros import policies  # noqa: E402
from lnn_ros.learning import rollout  # noqa: E402
from lnn_ros.learning.jobs import provenance  # noqa: E402
from lnn_ros.pilot import Pilot  # noqa: E402
from lnn_ros.simulation.camera import Renderer  # noqa: E402
from lnn_ros.simulation.expert import Expert  # noqa: E402
from lnn_ros.simulation.sensors import START_NS  # noqa: E402
from lnn_ros.simulation.simulator import Simulator, SimulatorOptions  # noqa: E402
from lnn_ros.simulation.task import Task  # noqa: E402
from lnn_ros.simulation.world import World  # noqa: E402
from lnn_ros.simulation.worlds import make_world  # noqa: E402

FIRST_SEED = 300_000  # nobody's: see lnn_ros.simulation.seeds
LIMIT = 12.0
PERIOD_NS = 33_333_333

Pose = tuple[np.ndarray, np.ndarray]


def fly(world: World, task: Task, expert: Expert, camera: bool, seconds: float,
        ) -> tuple[float, float, str, list[Pose]]:
    """Fly once; return wall and processor seconds, the outcome and the poses on the way."""
    simulator = Simulator(world, SimulatorOptions(render=camera), task=task)
    poses = []
    now = START_NS
    wall, processor = time.perf_counter(), time.process_time()
    while now < START_NS + round(seconds * 1e9):
        truth = simulator.truth
        simulator.command(expert.command(truth))
        now += PERIOD_NS
        simulator.advance(now)
        poses.append((truth.position.copy(), truth.rotation.copy()))
    return (time.perf_counter() - wall, time.process_time() - processor,
            simulator.outcome.value, poses)


def picture_times(world: World, poses: list[Pose]) -> np.ndarray:
    """Milliseconds of processor time per picture along a flight."""
    renderer = Renderer(world)
    times = np.empty(len(poses))
    for k, pose in enumerate(poses):
        start = time.process_time()
        renderer.render(*pose)
        times[k] = 1e3 * (time.process_time() - start)
    return times


class Timed:
    """A pilot, and the processor seconds that each kind of question to it took."""

    def __init__(self, pilot: Pilot, spent: dict[str, float]) -> None:
        self._pilot, self._spent = pilot, spent

    def observe(self, stream: str, stamp_ns: int, value: np.ndarray, now_ns: int | None = None,
                ) -> object:
        """Hand the sample on."""
        start = time.process_time()
        verdict = self._pilot.observe(stream, stamp_ns, value, now_ns)
        self._spent[f"observe {stream}"] += time.process_time() - start
        return verdict

    def command(self, at_ns: int) -> np.ndarray:
        """The pilot's command."""
        start = time.process_time()
        command = self._pilot.command(at_ns)
        self._spent["command"] += time.process_time() - start
        return command


def parts_of_flight(seed: int, task: Task, pilot: Pilot) -> dict[str, float]:
    """Fly the policy to its end; return processor seconds by part, and the simulated ones."""
    spent = dict.fromkeys(("observe imu", "observe camera", "command"), 0.0)
    pilot.reset()
    start = time.process_time()
    world = make_world(seed, task)
    made = time.process_time()
    simulator = Simulator(world, task=task)
    begun = time.process_time()
    flight = rollout.fly(simulator, Timed(pilot, spent))
    end = time.process_time()
    return {"world": made - start, "simulator": begun - made,
            "simulation": end - begun - sum(spent.values()), **spent, "all": end - start,
            "simulated": flight.seconds}


def spread(values: list[float] | np.ndarray) -> dict[str, float]:
    """Median, extremes and 95th percentile."""
    return {"median": float(np.median(values)), "min": float(np.min(values)),
            "max": float(np.max(values)), "p95": float(np.percentile(values, 95))}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=20.0, help="simulated, per flight")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    task = Task.load("fly_to_target")
    worlds = [make_world(FIRST_SEED + k, task) for k in range(args.worlds)]
    fly(worlds[0], task, Expert(worlds[0]), True, 0.5)  # compile

    rows, pictures = [], []
    for world in worlds:
        expert = Expert(world)
        row: dict[str, object] = {"seed": world.seed, "solids": len(world.solids)}
        for name in ("with_camera", "without_camera"):
            row[name] = {"wall": [], "processor": []}
        for _ in range(args.repeats):
            for name in ("with_camera", "without_camera"):
                wall, processor, row["outcome"], poses = fly(
                    world, task, expert, name == "with_camera", args.seconds)
                row[name]["wall"].append(args.seconds / wall)
                row[name]["processor"].append(args.seconds / processor)
        pictures.append(picture_times(world, poses))
        row["ms_per_picture"] = spread(pictures[-1])
        rows.append(row)
        print(f"world {world.seed}, {len(world.solids):3d} solids: "
              f"{np.median(row['with_camera']['processor']):5.1f} times real time, "
              f"{np.median(row['without_camera']['processor']):5.1f} without camera; "
              f"{np.median(pictures[-1]):.2f} ms per picture; {row['outcome']}")

    pilot = Pilot.load(policies.path(task.name))
    flights = [parts_of_flight(world.seed, task, pilot)
               for world in worlds for _ in range(args.repeats)]
    parts = {name: spread([flight[name] for flight in flights]) for name in flights[0]}
    for name, seconds in parts.items():
        print(f"flight, {name:15s} {1e3 * seconds['median']:8.1f} ms")

    factors = {name: {clock: spread([f for row in rows for f in row[name][clock]])
                      for clock in ("wall", "processor")}
               for name in ("with_camera", "without_camera")}
    median = factors["with_camera"]["processor"]["median"]
    result = {
        **provenance(" ".join(["python", "benchmark/simulator.py", *sys.argv[1:]])),
        "seconds": args.seconds, "repeats": args.repeats, "camera_hz": 20, "imu_hz": 200,
        "samples": 4, "limit": LIMIT, "met": median >= LIMIT, "real_time_factor": factors,
        "ms_per_picture": spread(np.concatenate(pictures)), "flight_seconds": parts,
        "worlds": rows,
    }
    for name, clocks in factors.items():
        for clock, f in clocks.items():
            print(f"{name:15s} {clock:9s} time: {f['median']:5.1f} times real time "
                  f"({f['min']:.1f} to {f['max']:.1f})")
    p = result["ms_per_picture"]
    print(f"camera: {p['median']:.2f} ms per picture, 95th percentile {p['p95']:.2f} ms")
    print(f"required: {LIMIT:.0f} times real time on one core; "
          f"{'met' if result['met'] else 'NOT met'}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if result["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
