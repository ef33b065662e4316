"""Train a policy by imitation with DAgger rounds, and write it as a checkpoint.

One command does all: the teacher flies and the encoder learns to see; then, round by round, the
core learns on the encoder's features, and the student flies with the teacher's labels; in the end
the whole policy is trained together, by short windows, and the core once more by long ones. Started
again with the same arguments after a kill, the command goes on where it was, and ends with the same
weights.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.learning import executors
from lnn_ros.learning.architecture import CORES, camera_card, make_policy, virtual_camera
from lnn_ros.learning.dataset import Recording
from lnn_ros.learning.demonstrate import record_all
from lnn_ros.learning.flights import find_flights
from lnn_ros.learning.hyperparameters import LEAST_NEURONS, USUAL, Hyperparameters
from lnn_ros.learning.jobs import provenance
from lnn_ros.learning.sequences import read_folder, recorded_shifts
from lnn_ros.learning.trainer import Trainer, cosine
from lnn_ros.learning.variety import taught, taught_timing
from lnn_ros.liquid.checkpoint import Checkpoint, load, save, streams
from lnn_ros.simulation.seeds import TRAIN
from lnn_ros.simulation.task import Task

LOOK_BATCH, LOOK_RATE = 64, 4e-3
CORE_BATCH, CORE_WINDOW = 2048, 64
"""The core alone: frames in a batch, and of one flight in a row. 64 are about 3 s; what takes
longer to remember, as how far a search has turned, wants more. Features make them cheap."""
WHOLE_LANES, WHOLE_WINDOW, WHOLE_RATE = 12, 32, 1e-3
_EPOCHS = {"core": 1, "whole": 2, "settle": 3}
"""Steps that go through all flights once, and what seeds their order."""


def lanes(window: int) -> int:
    """Sequences side by side in a batch of the core alone, for so many frames of each."""
    return max(1, CORE_BATCH // window)


@dataclass(frozen=True)
class Step:
    """One piece of work after which the state is saved.

    Attributes
    ----------
    kind : str
        "fly": record flights; "look": the encoder alone; "core": an epoch of the core on features;
        "whole": an epoch of everything; "settle": as "core", with the encoder that came of it.
    round : int
        DAgger round; 0 is the teacher alone.
    index, total : int
        Which epoch of how many of this kind in this round.
    seeds : range
        Worlds to fly in.
    share : float
        Of the flight time that the student flies.
    """

    kind: str
    round: int
    index: int = 0
    total: int = 1
    seeds: range = range(0)
    share: float = 0.0


def schedule(args: argparse.Namespace) -> list[Step]:
    """All steps of a training."""
    steps: list[Step] = []
    at = args.first_seed
    for number in range(args.rounds + 1):
        last = number == args.rounds
        flights = args.round_flights if number else args.flights
        # The student flies half of the time at first, and all of it in the end; one that can fly
        # already flies all of it from the beginning.
        share = min(1.0, 0.5 + 0.5 * (number - 1) / max(1, args.rounds - 2)) if number else 0.0
        share = 1.0 if args.start and number else share
        if not flights:
            continue
        steps.append(Step("fly", number, seeds=range(at, at + flights), share=share))
        at += flights
        # Again half-way: by then there are pictures of what goes wrong.
        if args.look and (number == 0 or (args.rounds > 1 and number == args.rounds // 2)):
            steps.append(Step("look", number))
        epochs = args.last_epochs if last else args.round_epochs if number else args.epochs
        steps += [Step("core", number, i, epochs) for i in range(epochs)]
    if not steps:
        raise LnnError("--flights 0 with no rounds found, expected flights to learn from")
    steps += [Step("whole", args.rounds, i, args.whole_epochs) for i in range(args.whole_epochs)]
    steps += [Step("settle", args.rounds, i, args.settle_epochs) for i in range(args.settle_epochs)]
    if not any(step.kind in _EPOCHS for step in steps):
        raise LnnError("--epochs, --round-epochs, --last-epochs, --whole-epochs and "
                       "--settle-epochs found that train nothing, expected one or more in some "
                       "round")
    if args.first_seed not in TRAIN or at - 1 not in TRAIN:
        raise LnnError(
            f"worlds {args.first_seed} to {at - 1} asked for, expected training worlds, "
            f"{TRAIN.start} to {TRAIN.stop - 1}"
        )
    return steps


class _Training:
    """The trainer, its data and its progress."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.task = Task.load(args.task)
        self.executor = executors.of(args)
        self.without = tuple(args.without.split(",")) if args.without else ()
        self.shifts = taught(self.task, self.without)
        if args.data:
            if self.without:
                raise LnnError(f"--without {args.without} with --data found, expected one of them: "
                               f"recorded flights have the shifts that they have")
            rounds = sorted(args.data.glob("round_*"))
            self.shifts = recorded_shifts(bag for one in rounds for bag in find_flights(one))
        self.steps = schedule(args)
        self.chosen = Hyperparameters.load(args.tuned, args.core) if args.tuned else USUAL
        shape = self.chosen.shape if args.tuned else None
        if args.neurons:
            if args.core == "feedforward":
                raise LnnError("--neurons with --core feedforward found, expected a core with a "
                               "memory: the layers of this one are fixed")
            inter, behind = args.neurons
            shape = replace(self.chosen, inter=inter, command=behind).shape
        spec, wiring = make_policy(args.core, self.task, args.seed, args.timeless, shape)
        if args.start:
            begun = load(args.start)
            if begun.spec != spec or not all(np.array_equal(begun.arrays[name], mask)
                                             for name, mask in wiring.masks().items()):
                raise LnnError(f"--start {args.start}: another architecture or wiring found, "
                               f"expected that of --task {args.task} --core {args.core} --seed "
                               f"{args.seed}")
            self.trainer = Trainer.of(begun, args.seed, True, args.bfloat16, self.chosen.decay)
        else:
            self.trainer = Trainer(spec, wiring, args.seed, args.bfloat16, self.chosen.decay)
        self.eyes: dict[str, Any] = {}
        if args.encoder:
            encoder = load(args.encoder)
            self.trainer.take_encoder(encoder, str(args.encoder))
            self.eyes = {"encoder": {"weights_sha256": encoder.weights_digest(),
                                     "training": encoder.card["training"]}}
        self.state_file = args.out / "state.safetensors"
        free = ("out", "threads", "workers", "ray", "json", "command")
        self.arguments = {k: str(v) for k, v in sorted(vars(args).items()) if k not in free}
        self.done: dict[str, Any] = {"steps": 0, "course": [], "seconds": 0.0}
        if self.state_file.exists():
            self.done = self.trainer.load(self.state_file)
            if self.done.pop("arguments") != self.arguments:
                raise LnnError(
                    f"{self.state_file}: of other arguments, expected the same or another --out"
                )
        self.data: list[Recording] = []
        self.features: list[NDArray[np.float32]] = []

    def run(self) -> None:
        """Do all steps that are not done."""
        began = time.monotonic() - self.done["seconds"]
        for number, step in enumerate(self.steps):
            before = number < self.done["steps"]
            if step.kind == "fly":
                outcomes = self._fly(step, before)
            if before:
                continue
            if step.kind == "fly":
                self._note(step, flights=outcomes)
            elif step.kind == "look":
                self.features = []  # the encoder is about to change
                loss = self.trainer.look(
                    self.data, (step.round, 0), self.args.look, LOOK_BATCH, LOOK_RATE
                )
                self._note(step, loss=loss)
            else:
                self._note(step, loss=self._epoch(step))
            self.done["steps"] = number + 1
            self.done["seconds"] = time.monotonic() - began
            self.trainer.save(self.state_file, {**self.done, "arguments": self.arguments})
            self._tell(step)

    def _fly(self, step: Step, before: bool) -> dict[str, int]:
        """Record a round's flights, or read them if they are there."""
        folder = (self.args.data or self.args.out) / f"round_{step.round}"
        outcomes: dict[str, int] = {}
        if self.args.data is None and not before:
            student = None
            if step.round:
                student = str(self.args.out / f"student_{step.round}.safetensors")
                if not Path(student).exists():
                    save(student, self.checkpoint())
            args = self.args
            flights = record_all(
                step.seeds, folder, self.executor, student, step.share, args.task, self.without
            )
            outcomes = dict(flights)
        self.data += read_folder(folder, virtual_camera(self.task))
        return outcomes

    def _epoch(self, step: Step) -> float:
        key = (step.round, _EPOCHS[step.kind], step.index)
        ends = [(step.index + i) / step.total for i in (0, 1)]
        if step.kind == "whole":
            self.features = []  # the encoder is about to change
            low, high = (WHOLE_RATE * cosine(end) for end in ends)
            return self.trainer.epoch(self.data, key, (low, high), WHOLE_LANES, WHOLE_WINDOW)
        self.features += [self.trainer.features(r) for r in self.data[len(self.features) :]]
        # Each round anneals a little, the last one to the end.
        floor = 0.02 if step.round == self.args.rounds else 0.2
        low, high = (self.chosen.rate * cosine(end, floor) for end in ends)
        if step.round == 0 and step.index == 0:
            low = 0.1 * self.chosen.rate
        return self.trainer.epoch(
            self.data, key, (low, high), lanes(self.args.window), self.args.window, self.features
        )

    def _note(self, step: Step, **found: Any) -> None:
        frames = sum(len(r) for r in self.data)
        entry = {"kind": step.kind, "round": step.round, "epoch": step.index, "frames": frames}
        self.done["course"].append({**entry, **found})

    def _tell(self, step: Step) -> None:
        """One line of progress."""
        note = self.done["course"][-1]
        found = f"loss {note['loss']:.4f}" if "loss" in note else str(note["flights"])
        left = len(self.steps) - self.done["steps"]
        sys.stderr.write(
            f"step {self.done['steps']}/{len(self.steps)}: round {step.round}/{self.args.rounds}, "
            f"{step.kind} {step.index + 1}/{step.total}: {found}, {note['frames']} frames, "
            f"{self.done['seconds']:.0f} s, about "
            f"{left * self.done['seconds'] / self.done['steps']:.0f} s left\n"
        )
        sys.stderr.flush()

    def checkpoint(self) -> Checkpoint:
        """The policy as it is now."""
        spec = self.trainer.policy.spec
        flown = [s for s in self.steps if s.kind == "fly"]
        losses = [c for c in self.done["course"] if "loss" in c]
        card = {
            "name": self.task.name,
            "task": self.task.name,
            "streams": streams(spec),
            "camera": camera_card(self.task),
            "training": {
                **provenance(command()),
                **self.eyes,
                "seed": self.args.seed,
                "worlds": [flown[0].seeds.start, flown[-1].seeds.stop],
                "rounds": [{"flights": len(s.seeds), "share": round(s.share, 3)} for s in flown],
                "shifts": self.shifts,
                "timing": taught_timing(self.task),
                "steps_done": self.done["steps"],
                "last": losses[-1] if losses else None,
                "seconds": round(self.done["seconds"]),
            },
            "evaluation": {},
        }
        return Checkpoint(spec, self.trainer.policy.arrays(), card)


def command() -> str:
    """The command line that runs this."""
    return " ".join(["lnn_ros", *sys.argv[1:]])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the run")
    add("--task", default="fly_to_target",
        help="name of a task, or path of a task file (default: %(default)s)")
    add("--core", choices=CORES, default="flow", help="cell that remembers (default: %(default)s)")
    add("--timeless", action="store_true", help="a policy that knows no time, to compare with")
    add("--seed", type=int, default=0, help="of weights, wiring and order")
    add("--first-seed", type=int, default=0, help="first training world")
    add("--flights", type=int, default=300, help="of the teacher alone")
    add("--encoder", type=Path, help="policy file whose encoder to start from (then --look 0)")
    add("--start", type=Path, help="policy file to go on from, whole: its student flies from the "
        "first round on (then --look 0, and --flights 0 for no flights of the teacher alone)")
    add("--look", type=int, default=600_000, help="frames from which the encoder learns alone")
    add("--epochs", type=int, default=15, help="of the core, over the teacher's flights")
    add("--rounds", type=int, default=8, help="of DAgger")
    add("--round-flights", type=int, default=100, help="of student and teacher in turns, in each")
    add("--round-epochs", type=int, default=8, help="of the core, in each round")
    add("--last-epochs", type=int, default=15, help="of the core, in the last round")
    add("--window", type=read_window, default=CORE_WINDOW,
        help="frames in a row over which the core alone learns to remember (default: %(default)s)")
    add("--whole-epochs", type=int, default=5, help="of the whole policy, in the end")
    add("--settle-epochs", type=int, default=0, help="of the core again, after those of the whole, "
        f"which learns to remember over {WHOLE_WINDOW} frames only")
    add("--without", default="", metavar="NAME[,NAME...]",
        help="families of shifts, or groups of them, that it is not taught with")
    add("--tuned", type=Path, help="choices of `lnn_ros tune`, its best.json, for this core")
    add("--neurons", type=_neurons, metavar="INTER,COMMAND",
        help="of the core's first two layers, in place of the usual or the tuned ones")
    add("--data", type=Path, help="run folder whose flights to learn from, in place of own ones")
    add("--bfloat16", action="store_true", help="compute the encoder in bfloat16 while training")
    add("--threads", type=int, default=1, help="of torch, while training")
    executors.add_arguments(parser.add_argument)
    add("--json", type=Path, help="write the course of the training here")


def read_window(text: str) -> int:
    """Read a length of windows of the core alone, frames."""
    found = int(text) if text.isascii() and text.isdigit() else 0
    if not 2 <= found <= CORE_BATCH:
        raise argparse.ArgumentTypeError(f"{text!r} found, expected 2 to {CORE_BATCH} frames")
    return found


def _neurons(text: str) -> tuple[int, int]:
    """Read INTER,COMMAND."""
    try:
        inter, command = (int(number) for number in text.split(","))
    except ValueError:
        inter = command = 0
    if min(inter, command) < LEAST_NEURONS:
        raise argparse.ArgumentTypeError(
            f"{text!r} found, expected two numbers of {LEAST_NEURONS} or more, as 28,24")
    return inter, command


def run(args: argparse.Namespace) -> int:
    """Train, or go on training."""
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    training = _Training(args)
    training.run()
    file, spec, done = args.out / "policy.safetensors", training.trainer.policy.spec, training.done
    save(file, training.checkpoint())
    last = next(c["loss"] for c in reversed(done["course"]) if "loss" in c)
    print(f"{file}: {spec.count()} parameters, loss {last:.4f}")
    if args.json:
        result = {**provenance(command()), "course": done["course"], "seconds": done["seconds"]}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0
