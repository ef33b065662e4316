"""Record flights of the teacher, alone or in turns with a student, from which a policy learns.

Every control instant is labelled with what the teacher would do, whoever flies. Flights
in turns with the student are DAgger (Ross et al., AISTATS 2011): the student meets its mistakes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.learning import executors
from lnn_ros.learning.architecture import virtual_camera
from lnn_ros.learning.executors import Executor
from lnn_ros.learning.flight_writer import (
    COMMAND,
    HINT,
    IMAGE,
    IMU,
    LABEL,
    Note,
    write_flight,
)
from lnn_ros.learning.flights import notes
from lnn_ros.learning.hints import COLUMNS, Hinter
from lnn_ros.learning.jobs import Progress, provenance, seed_range
from lnn_ros.learning.variety import random_options, taught
from lnn_ros.pilot import Pilot
from lnn_ros.simulation.interruption import Lost
from lnn_ros.simulation.referee import FAILED
from lnn_ros.simulation.sensors import START_NS, Delivery
from lnn_ros.simulation.simulator import (
    CONTROL_PERIOD_NS,
    Outcome,
    Simulator,
    Truth,
)
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.teachers import make_teacher
from lnn_ros.simulation.worlds import make_world

AFTER_ARRIVAL_S = 2.5
"""Flight time recorded after success: the policy must learn to stay."""
SEGMENT_S = 2.5
"""Mean time for which one of teacher and student flies."""
RESCUE_M, RESCUE_S = 0.1, 1.0
"""In half of the student's flights the teacher takes over for so long when an obstacle is so near:
what follows shows how to get away, where a contact would have ended the lesson."""
OFF_ROAD_S = 12.0
"""Time recorded after a student has left the road: the teacher drives back, and it goes on."""


@dataclass(frozen=True)
class Episode:
    """What to record.

    Attributes
    ----------
    seed : int
        Of the world, and of everything random in the flight.
    bag : str
        Folder that becomes the bag.
    policy : str or None
        Checkpoint of the student.
    share : float
        Of the time that the student flies.
    task : str
        Name of the task.
    without : tuple of str
        Families and groups of shifts that it is not to be taught with.
    """

    seed: int
    bag: str
    policy: str | None = None
    share: float = 0.0
    task: str = "fly_to_target"
    without: tuple[str, ...] = ()


class Recorder:
    """Note what comes in a flight, as it was measured, and at every tick the teacher's wish.

    Attributes
    ----------
    heard : list of Note
        All but the hints.
    """

    def __init__(self) -> None:
        self.heard: list[Note] = []
        self._track: list[tuple[float, ...]] = []

    def observe(self, delivery: Delivery) -> None:
        """Take a sample, in whatever order."""
        topic = IMAGE if delivery.stream == "camera" else IMU
        self.heard.append(Note(delivery.arrival_ns, topic, delivery.stamp_ns, delivery.value))

    def label(self, truth: Truth, wish: NDArray[np.float64]) -> None:
        """Note where the vehicle is and what the teacher would do there."""
        self._track.append((truth.stamp_ns, *truth.position.tolist(), truth.yaw))
        self.wish(truth.stamp_ns, wish)

    def wish(self, at_ns: int, wish: NDArray[np.float64]) -> None:
        """Note what the teacher would do, or a person does."""
        self.heard.append(Note(at_ns, LABEL, at_ns, wish))

    def fly(self, at_ns: int, command: NDArray[np.float64]) -> None:
        """Note what is flown from now on."""
        self.heard.append(Note(at_ns, COMMAND, at_ns, command.copy()))

    def notes(self, hinter: Hinter, lost: Callable[[int], Lost | None]) -> list[Note]:
        """Everything noted, and the hints of every frame.

        ``lost`` tells of a stamp what its frame does not show.
        """
        track = np.array(self._track)
        track[:, 4] = np.unwrap(track[:, 4])
        frames = sorted((note for note in self.heard if note.topic == IMAGE),
                        key=lambda note: note.stamp_ns)  # fmt: skip
        stamps = np.array([note.stamp_ns for note in frames], np.int64)
        poses = np.stack([np.interp(stamps, track[:, 0], c) for c in track[:, 1:].T], 1)
        at_s = (stamps - START_NS) * 1e-9
        hints = np.stack([hinter(*row) for row in np.column_stack([poses, at_s])])
        hints[[lost(stamp) is Lost.TARGET for stamp in stamps.tolist()], COLUMNS] = 0.0
        return self.heard + [Note(frame.arrival_ns, HINT, frame.stamp_ns, row)
                             for frame, row in zip(frames, hints, strict=True)]  # fmt: skip


@lru_cache(maxsize=1)
def _student(path: str, changed_ns: int) -> Pilot:
    return Pilot.load(path)


def record(episode: Episode) -> str:
    """Fly and write one episode, unless its bag is there already; return the outcome.

    Raises
    ------
    LnnError
        When the bag holds another episode.
    """
    bag = Path(episode.bag)
    what = json.loads(json.dumps({**asdict(episode), "bag": bag.name}))
    if bag.exists():
        return _outcome(bag, what)
    rng = np.random.default_rng((episode.seed, 0xDE))
    task = Task.load(episode.task)
    options = random_options(rng, task, episode.without)
    world = make_world(episode.seed, task, options.shifts)
    sim = Simulator(world, options, task=task)
    teacher = make_teacher(world, sim.geometry, sim.task, shifts=options.shifts)
    student = None
    if episode.policy is not None:
        student = _student(episode.policy, Path(episode.policy).stat().st_mtime_ns)
        student.reset()
    radius = task.vehicle.radius
    recorder = Recorder()
    rescued, sided = rng.random() < 0.5, False
    hinter = Hinter(world, sim.geometry.horizontal_fov)
    tick, flies, shove, stop_ns = 0, False, np.zeros(4), None
    turn_ns = shove_end_ns = START_NS
    while sim.outcome is Outcome.OFF_ROAD or sim.outcome not in FAILED:
        tick += 1
        lost: Lost | None = Lost.FRAMES
        for delivery in sim.advance(START_NS + tick * CONTROL_PERIOD_NS):
            if delivery.stream == "camera":
                lost = sim.lost(delivery.stamp_ns)
            recorder.observe(delivery)
            if student is not None:
                student.observe(delivery.stream, delivery.stamp_ns, delivery.value, sim.time_ns)
        now = sim.time_ns
        teacher.look(sim.truth, lost)
        wish = teacher.command(sim.truth)
        sided |= teacher.turns
        recorder.label(sim.truth, wish)
        if now >= turn_ns:
            turn_ns = now + int(rng.exponential(SEGMENT_S) * 1e9)
            flies = student is not None and rng.random() < episode.share
            if rng.random() < (0.15 if flies else 0.5):  # a shove, from which to recover
                shove = rng.normal(0.0, (0.5, 0.5, 0.25, 0.7))
                shove_end_ns = now + int(rng.uniform(0.2, 0.9) * 1e9)
        x, y, z = sim.truth.position.tolist()
        left = sim.outcome is Outcome.OFF_ROAD
        if (rescued or left) and flies and hinter.room(x, y, z, radius) < RESCUE_M:
            flies, turn_ns = False, now + int(RESCUE_S * 1e9)
        if student is not None:
            asked = student.command(now)
            wish = asked if flies else wish
        flown = wish + shove if now < shove_end_ns else wish
        recorder.fly(now, flown)
        sim.command(flown)
        if sim.outcome is not Outcome.FLYING:
            stop_ns = stop_ns or now + int((OFF_ROAD_S if left else AFTER_ARRIVAL_S) * 1e9)
            if now >= stop_ns:
                break
    about = {"episode": json.dumps(what), "outcome": sim.outcome.value,
             "shifts": json.dumps([str(shift) for shift in options.shifts]),
             "sided": json.dumps(bool(sided)), "commit": _commit()}  # fmt: skip
    if student is not None:
        about["policy"] = str(student.card["weights_sha256"])
    write_flight(bag, recorder.notes(hinter, sim.lost), virtual_camera(task), about)
    return str(sim.outcome.value)


def _outcome(bag: Path, what: dict[str, Any]) -> str:
    """Return how a flight ended that is there already, if it is that flight."""
    said = notes(bag)
    try:
        found = {key: json.loads(said["episode"]).get(key) for key in what}
        outcome = said["outcome"]
    except (ValueError, KeyError, AttributeError) as error:
        raise LnnError(f"bag {bag}: no flight of lnn_ros demonstrate ({error}): name another "
                       f"folder") from error  # fmt: skip
    other = [f"{key} {found[key]!r}" for key in what if found[key] != what[key]]
    if other:
        raise LnnError(f"{bag}: a flight with {', '.join(other)} found, expected "
                       f"{', '.join(f'{key} {what[key]!r}' for key in what)}: name another "
                       f"folder")  # fmt: skip
    return outcome


@lru_cache(maxsize=1)
def _commit() -> str:
    return str(provenance("")["commit"])


def record_all(
    seeds: range,
    out: Path,
    executor: Executor,
    policy: str | None = None,
    share: float = 0.0,
    task: str = "fly_to_target",
    without: tuple[str, ...] = (),
) -> Counter[str]:
    """Record an episode per seed into ``out``; return how often each outcome came."""
    jobs = [Episode(s, str(out / f"{s:06d}"), policy, share, task, without) for s in seeds]
    outcomes: Counter[str] = Counter()
    progress = Progress("demonstrations", len(jobs))
    for done, outcome in enumerate(executor.run(record, jobs), 1):
        outcomes[outcome] += 1
        progress.show(done, ", ".join(f"{k} {v}" for k, v in sorted(outcomes.items())))
    return outcomes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--seeds", type=seed_range, default=range(100), metavar="FIRST:END",
                        help="worlds to fly in, the last one excluded (default: 0:100)")
    parser.add_argument("--out", type=Path, required=True,
                        help="folder for the flights, each of which is a rosbag2")
    parser.add_argument("--task", default="fly_to_target",
                        help="name of a task, or path of a task file (default: %(default)s)")
    parser.add_argument("--policy", help="checkpoint of a student that flies in turns")
    parser.add_argument(
        "--share", type=float, default=0.5, help="of the time that the student flies, 0 to 1"
    )
    parser.add_argument(
        "--without", default="", metavar="NAME[,NAME...]",
        help="families of shifts, or groups of them, that are left out",
    )  # fmt: skip
    executors.add_arguments(parser.add_argument)
    parser.add_argument("--json", type=Path, help="write the outcomes here")


def run(args: argparse.Namespace) -> int:
    """Record; episodes that are there already are kept."""
    if not 0.0 <= args.share <= 1.0:
        raise LnnError(f"--share is {args.share}, expected 0 to 1")
    share = args.share if args.policy else 0.0
    without = tuple(args.without.split(",")) if args.without else ()
    taught(Task.load(args.task), without)  # before anything is flown
    outcomes = record_all(
        args.seeds, args.out, executors.of(args), args.policy, share, args.task, without
    )
    print(", ".join(f"{name} {count}" for name, count in sorted(outcomes.items())))
    if args.json:
        words = provenance(" ".join(["lnn_ros", *sys.argv[1:]]))
        seeds = [args.seeds.start, args.seeds.stop]
        args.json.write_text(json.dumps({**words, "seeds": seeds, "outcomes": outcomes}, indent=1))
    return 0
