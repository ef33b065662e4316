"""Fly the shipped policy in the embedded simulator, as real ROS 2 nodes, and film it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.nodes import distributions
from lnn_ros.nodes.options import VEHICLES, NodeOptions
from lnn_ros.nodes.supervision import Processes, environment, free_domain
from lnn_ros.nodes.table import NodeSpec, nodes
from lnn_ros.nodes.watcher import Watcher
from lnn_ros.pilot import Pilot
from lnn_ros.resources import share_path
from lnn_ros.simulation.bodies import parts
from lnn_ros.simulation.camera import CameraGeometry, Renderer
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.simulator import Simulator
from lnn_ros.simulation.task import LapGoal, Task
from lnn_ros.simulation.verdicts import said, stamped
from lnn_ros.simulation.worlds import make_world

# A demo seed, chosen by looking among the first seventy above 300000: the way leads around two
# trees and a wall, and an earlier policy arrived with each of eight seeds of noise and wind. It is
# no statistic; `lnn_ros evaluate` is.
_SEEDS = {"drone": 300_037, "rover": 300_002}
_TASKS = {"drone": "fly_to_target", "rover": "lane"}
# The recorder sees the last zero command of the controller and of the adapter behind it.
_STOP_ORDER = ("controller", "vehicle_adapter", "simulator", "companion")
# Hardly any simulated time passes until everybody listens: a flight is recorded from its start.
_CREEP = 1e-4
_AFTER_S = 1.0
_POLL_S = 0.05
_QUICK_S = 5.0
_DISCOVERY_S = 5.0
_STUCK_S = 60.0
_LONGEST_START_S = 120.0
_NUMBERS = re.compile(r"[-0-9. ]+")  # two lines that differ in these say the same, at another time
_PACKAGES = ("numpy", "numba", "mujoco", "rosbags", "ros-rclpy", "ros-rmw-fastrtps-cpp", "av")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``lnn_ros demo``."""
    parser.add_argument("--vehicle", choices=VEHICLES, default="drone",
                        help="what flies or drives (default: %(default)s)")
    parser.add_argument("--seed", type=int,
                        help=f"world to fly in (default: {_by_vehicle(_SEEDS)}; 300000 and above "
                             f"are in no training or evaluation set)")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR",
                        help="folder for the run folders (default: %(default)s)")
    parser.add_argument("--policy",
                        help="name of a policy that ships, or path of a .safetensors checkpoint "
                             "(default: the one that ships for the task)")
    parser.add_argument("--task", help=f"name of a task, or path of a task file (default: "
                                       f"{_by_vehicle(_TASKS)})")
    parser.add_argument("--real-time-factor", type=float, metavar="X",
                        help="simulated seconds per second; 0: as fast as possible (default: 1; "
                             "with --lockstep 0)")
    parser.add_argument("--lockstep", action="store_true",
                        help="let simulator and controller wait for each other, so that the flight "
                             "does not depend on this computer's speed")
    parser.add_argument("--no-video", action="store_true", help="leave out the film and the still")


def _by_vehicle(values: Mapping[str, object]) -> str:
    return ", ".join(f"{value} for a {vehicle}" for vehicle, value in values.items())


def run(args: argparse.Namespace) -> int:
    """Fly, watch and report.

    Returns
    -------
    int
        0 when it arrived, or drove its lap, and 1 when it did not.

    Raises
    ------
    LnnError
        When an argument or a file that it names is not usable.
    """
    name, seed = args.task or _TASKS[args.vehicle], args.seed
    seed = _SEEDS[args.vehicle] if seed is None else seed
    task = Task.load(name)
    if task.vehicle.kind != args.vehicle:
        raise LnnError(f"--task {name} is for a {task.vehicle.kind}, found --vehicle "
                       f"{args.vehicle}: expected --vehicle {task.vehicle.kind}")
    policy = _policy(args.policy or (name if policies.ships(name) else _TASKS[args.vehicle]))
    Pilot.load(policy)  # a damaged file is told here, in one sentence, before anything starts
    factor = args.real_time_factor
    if factor is None:
        factor = 0.0 if args.lockstep else 1.0
    if not 0 <= seed < 2**31:
        raise LnnError(f"--seed is {seed}: expected a whole number from 0 to 2147483647")
    if not 0.0 <= factor <= 1000.0:
        raise LnnError(f"--real-time-factor is {factor:g}: expected 0 to 1000")
    folder = _run_folder(args.out, seed)
    table = nodes(NodeOptions(
        vehicle=args.vehicle, record=True, policy=str(policy), task=name, seed=seed,
        lockstep=args.lockstep, real_time_factor=_CREEP, bag_folder=str(folder / "recording")))

    domain = _domain()
    _make(folder, name)
    line = ProgressLine()
    _compile(line, seed, task)
    began = time.monotonic()
    with _interrupts() as interrupted:
        end = _fly(table, factor, domain, folder, line, interrupted)
    about = {"command": shlex.join(["lnn_ros", *sys.argv[1:]]), "ended_by": end,
             "wall_s": round(time.monotonic() - began, 2), "lockstep": args.lockstep,
             "wanted_real_time_factor": factor, **_machine()}
    summary = _report(folder, about, not args.no_video and not interrupted, line)
    _print_verdict(task, end, summary, folder)
    return 0 if summary.get("arrived") else 1


def _policy(text: str) -> Path:
    """Path of a policy's file, from a name that ships or a path."""
    if "/" in text or text.endswith(".safetensors"):
        return Path(text).expanduser().resolve()
    return policies.path(text)


def _run_folder(out: Path, seed: int) -> Path:
    """``<out>/<UTC time>-seed<N>``, numbered should it be there already."""
    name = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-seed{seed}"
    folder, number = out.expanduser().resolve() / name, 1
    while folder.exists():
        number += 1
        folder = folder.with_name(f"{name}-{number}")
    return folder


def _make(folder: Path, task: str) -> None:
    """Make the run folder, with a copy of the task's file in it."""
    source = Path(task) if task.endswith((".yaml", ".yml")) else share_path(
        f"config/tasks/{task}.yaml")
    try:
        folder.mkdir(parents=True)
        shutil.copy(source, folder)
    except OSError as error:
        raise LnnError(f"--out {folder.parent} cannot hold a run folder: {error}") from error


def _domain() -> int:
    """The ROS_DOMAIN_ID to fly in: the one that is set, if nobody flies there, else a free one."""
    distributions.stay_local(os.environ)
    text = os.environ.get("ROS_DOMAIN_ID", "")
    if not text:
        return free_domain()
    if not text.isdecimal() or int(text) > 232:
        raise LnnError(f"ROS_DOMAIN_ID is {text!r}: expected a number from 0 to 232, or nothing")
    with Watcher(int(text)) as watcher:
        others = watcher.others(_DISCOVERY_S)
    if others:
        # Not for the demo's sake alone: its commands could move a robot.
        raise LnnError(f"ROS_DOMAIN_ID {text} already has nodes on the demo's topics "
                       f"({', '.join(others)}): unset it, or set one that is free")
    return int(text)


def _fly(table: tuple[NodeSpec, ...], factor: float, domain: int, folder: Path, line: ProgressLine,
         interrupted: list[int]) -> str:
    """Start the processes, watch them until the flight is over, end them; say what ended it."""
    adapted = any(spec.executable == "vehicle_adapter" for spec in table)
    with (Processes(folder / "logs", environment(domain)) as processes,
          Watcher(domain, adapted) as watcher):
        for spec in table:
            processes.start(spec)
        end = (_gather(processes, watcher, line, interrupted)
               or _watch(processes, watcher, factor, line, interrupted))
        line.show("stopping the nodes")
        forced = processes.stop(_STOP_ORDER)
    if forced:
        line.say(f"These did not stop when asked and were ended by force: {', '.join(forced)}.")
    return end


def _gather(processes: Processes, watcher: Watcher, line: ProgressLine,
            interrupted: list[int]) -> str:
    """Wait until every node listens; say what came in between, if something did."""
    began = time.monotonic()
    while not interrupted:
        watcher.poll()
        trouble = _trouble(processes, watcher, line)
        if trouble:
            return trouble
        missing = watcher.missing()
        if not missing:
            return ""
        if time.monotonic() - began > _LONGEST_START_S:
            line.say(f"The {missing} was not ready within {_LONGEST_START_S:g} s.")
            return "no start"
        line.show(f"starting the nodes: waiting for the {missing}")
        time.sleep(_POLL_S)
    return "interrupted"


def _watch(processes: Processes, watcher: Watcher, factor: float, line: ProgressLine,
           interrupted: list[int]) -> str:
    """Let time pass and show the flight until it is over; say what ended it."""
    if not watcher.set_real_time_factor(factor):
        line.say("The simulator did not take the real-time factor.")
        return "no start"
    moved, clock_ns, decided_ns = time.monotonic(), 0, 0
    while not interrupted:
        watcher.poll()
        now = time.monotonic()
        trouble = _trouble(processes, watcher, line)
        if trouble:
            return trouble
        if watcher.clock_ns != clock_ns:
            clock_ns, moved = watcher.clock_ns, now
        if watcher.simulator.get("outcome", "flying") != "flying":
            decided_ns = decided_ns or clock_ns
            if clock_ns - decided_ns >= _AFTER_S * 1e9:
                return watcher.simulator["outcome"]
        if now - moved > _STUCK_S:
            line.say(f"Simulated time has stood still for {_STUCK_S:g} s.")
            return "stuck"
        line.show(_describe(watcher))
        time.sleep(_POLL_S)
    return "interrupted"


def _trouble(processes: Processes, watcher: Watcher, line: ProgressLine) -> str:
    """Say what is wrong with a process or a node, if it means that there is no flight."""
    dead = processes.ended()
    if dead is not None:
        name, status = dead
        line.say(f"The {name} ended by itself with status {status}. Its last words:")
        for text in processes.log_tail(name):
            line.say(f"    {text}")
        return f"{name} ended"
    for name, sentence in watcher.complaints.items():
        line.say(f"The {name} says: {sentence}")
        return f"{name} failed"
    return ""


def _describe(watcher: Watcher) -> str:
    """One line about the flight as it stands."""
    seconds = max(0.0, 1e-9 * watcher.clock_ns - 1.0)
    distance = float(watcher.simulator.get("distance_m", "nan"))
    rates = "  ".join(f"{topic} {'-' if rate is None else format(rate, '.0f')} Hz"
                      for topic, rate in watcher.rates().items())
    ages = "  ".join(f"{stream} {1e3 * age:.0f} ms" for stream, age in watcher.ages.items())
    return (f"{seconds:5.1f} s | {distance:5.1f} m to go | {rates} | age {ages or '-'} | "
            f"{watcher.controller.get('mode', '-')}")


def _compile(line: ProgressLine, seed: int, task: Task) -> None:
    """Have the simulator's and the film's code compiled, which takes time only once.

    Otherwise the simulator would stand still for it in the middle of its first instant.
    """
    failed: list[BaseException] = []

    def compile_all() -> None:
        try:
            simulator = Simulator(make_world(seed, task), task=task)
            simulator.advance(START_NS + 100_000_000)
            pose = simulator.truth.position, simulator.truth.rotation
            Renderer(simulator.world, CameraGeometry(width=8, height=6), vehicles=1,
                     body=parts(task.vehicle)).render(
                *pose, vehicles=[pose])
        except BaseException as error:
            failed.append(error)

    began = time.monotonic()
    worker = threading.Thread(target=compile_all, daemon=True)
    worker.start()
    while worker.is_alive():
        worker.join(0.2)
        waited = time.monotonic() - began
        line.show("preparing the simulator" if waited < _QUICK_S else
                  f"compiling the camera (first time only): {waited:.0f} s")
    if failed:
        raise failed[0]


def _report(folder: Path, about: dict[str, Any], video: bool,
            line: ProgressLine) -> dict[str, Any]:
    """Make the report as far as it can be made; return its summary, empty if there is none."""
    try:
        _take_bag(folder)
        from lnn_ros.learning.report import make_report  # matplotlib costs half a second
        return make_report(folder, about, video, progress=line.show)
    except LnnError as error:
        line.say(f"There is no report of this run: {error}")
    except KeyboardInterrupt:
        line.say(f"The report is not complete; python -m lnn_ros.learning.report {folder} makes "
                 f"it again.")
        if (folder / "summary.json").is_file():
            summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
            return summary
    finally:
        line.clear()
    return {}


def _take_bag(folder: Path) -> None:
    """Give the companion's recording its place in the run folder."""
    found = sorted((folder / "recording").glob("*/metadata.yaml"))
    if not found:
        raise LnnError(f"the companion recorded nothing in {folder / 'recording'}: "
                       f"see {folder / 'logs' / 'companion.log'}")
    found[-1].parent.rename(folder / "bag")
    if not any((folder / "recording").iterdir()):
        (folder / "recording").rmdir()


def _print_verdict(task: Task, end: str, summary: dict[str, Any], folder: Path) -> None:
    outcome = summary.get("outcome", "")
    vehicle, lap = task.vehicle.kind, isinstance(task.success, LapGoal)
    verdict = f"The flight was not finished ({end})"
    if stamped(task.success, outcome):
        verdict = (f"The {vehicle} {said(task.success, outcome)} after {summary['time_s']:.1f} s "
                   f"and {summary['path_length_m']:.1f} m, {summary['distance_at_end_m']:.2f} m "
                   f"from the {'end of the lap' if lap else 'target'}")
        if summary["min_clearance_m"] is not None:
            verdict += f"; nearest to an obstacle: {summary['min_clearance_m']:.2f} m"
    print(f"{verdict}.")
    names = ", ".join(sorted(p.name for p in folder.iterdir()))
    print(f"Run folder: {folder}\n  {names}")


def _machine() -> dict[str, Any]:
    """What the run was made with."""
    versions = {"python": platform.python_version()}
    for package in ("lnn_ros", *_PACKAGES):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {"machine": {"system": platform.platform(), "processor": platform.machine(),
                        "cores": os.cpu_count()}, "versions": versions}


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Collect SIGINT, SIGTERM and SIGHUP in a list instead of being ended by them."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, note) for number in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class ProgressLine:
    """One line of progress: rewritten in place in a terminal, else a line per second."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown_at = 0.0
        self._shown = ""

    def show(self, text: str) -> None:
        """Show what is going on."""
        now = time.monotonic()
        kind = _NUMBERS.sub("", text)
        if now - self._shown_at < (0.1 if self._terminal else 1.0) and self._shown == kind:
            return
        if not self._terminal:
            print(text, file=sys.stderr, flush=True)
        else:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{text[:width]}", end="", file=sys.stderr, flush=True)
        self._shown_at, self._shown = now, kind

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.clear()
        print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line of progress from a terminal."""
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
