"""Train a policy by imitation with DAgger rounds, and write it as a checkpoint.

One command records flights, trains, lets the student fly with the expert's labels, and repeats.
Started again with the same arguments after a kill, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lnn_ros.errors import LnnError
from lnn_ros.learning.architecture import camera_card, make_policy
from lnn_ros.learning.dataset import Recording, read_folder
from lnn_ros.learning.demonstrate import record_all
from lnn_ros.learning.jobs import provenance
from lnn_ros.learning.trainer import Trainer, cosine
from lnn_ros.liquid.checkpoint import Checkpoint, save, streams
from lnn_ros.simulation.seeds import TRAIN
from lnn_ros.simulation.task import Task

LOOK_BATCH, LOOK_RATE = 64, 4e-3


@dataclass(frozen=True)
class Round:
    """Flights to record, the student's share of them, and epochs over all data so far."""

    seeds: range
    share: float
    epochs: int


def schedule(args: argparse.Namespace) -> list[Round]:
    """All rounds: the expert alone, then the student more and more; the last one anneals."""
    first = args.first_seed
    rounds = [Round(range(first, first + args.flights), 0.0, args.epochs)]
    for i in range(args.rounds):
        at = rounds[-1].seeds.stop
        # The student flies half of the time at first, and all of it in the end.
        share = min(1.0, 0.5 + 0.5 * i / max(1, args.rounds - 2))
        last = i == args.rounds - 1
        epochs = args.last_epochs if last else args.round_epochs
        rounds.append(Round(range(at, at + args.round_flights), share, epochs))
    if rounds[-1].seeds.stop - 1 not in TRAIN or first not in TRAIN:
        raise LnnError(
            f"worlds {first} to {rounds[-1].seeds.stop - 1} asked for, expected training worlds, "
            f"{TRAIN.start} to {TRAIN.stop - 1}"
        )
    return rounds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--task", default="fly_to_target")
    parser.add_argument("--core", choices=("flow", "feedforward"), default="flow")
    parser.add_argument("--seed", type=int, default=0, help="of weights, wiring and order")
    parser.add_argument("--first-seed", type=int, default=0, help="first training world")
    parser.add_argument("--flights", type=int, default=300, help="of the expert alone")
    parser.add_argument("--epochs", type=int, default=8, help="over the expert's flights")
    parser.add_argument(
        "--look", type=int, default=600_000, help="frames from which the encoder learns alone first"
    )
    parser.add_argument("--rounds", type=int, default=6, help="of DAgger")
    parser.add_argument("--round-flights", type=int, default=150)
    parser.add_argument("--round-epochs", type=int, default=3)
    parser.add_argument("--last-epochs", type=int, default=12)
    parser.add_argument(
        "--data", type=Path, help="run folder whose flights to train on, in place of own ones"
    )
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--window", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1, help="of torch, while training")
    parser.add_argument(
        "--bfloat16", action="store_true", help="compute the encoder in bfloat16 while training"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that fly")
    parser.add_argument("--json", type=Path, help="write the course of the training here")


def run(args: argparse.Namespace) -> int:
    """Train, or go on training."""
    torch.set_num_threads(args.threads)
    task = Task.load(args.task)
    spec, wiring = make_policy(args.core, task, args.seed)
    rounds = schedule(args)
    args.out.mkdir(parents=True, exist_ok=True)
    state_file, policy_file = args.out / "state.safetensors", args.out / "policy.safetensors"
    trainer = Trainer(
        spec,
        wiring,
        args.seed,
        args.rate,
        args.lanes,
        args.window,
        args.bfloat16,
    )
    free = ("out", "threads", "workers", "json", "command")
    arguments = {k: str(v) for k, v in sorted(vars(args).items()) if k not in free}
    done: dict[str, Any] = {"round": 0, "epoch": 0, "course": [], "seconds": 0.0}
    if state_file.exists():
        done = trainer.load(state_file)
        if done.pop("arguments") != arguments:
            raise LnnError(f"{state_file}: of other arguments, expected the same or another --out")
    data: list[Recording] = []
    began = time.monotonic() - done["seconds"]
    for number, plan in enumerate(rounds):
        folder = (args.data or args.out) / f"round_{number}"
        if args.data is None:
            student = None
            if number:
                student = str(args.out / f"student_{number}.safetensors")
                if number >= done["round"] and not Path(student).exists():
                    save(student, _checkpoint(trainer, args, task, rounds, done))
            outcomes = record_all(plan.seeds, folder, args.workers, student, plan.share, args.task)
            if number >= done["round"] and done["epoch"] == 0:
                done["course"].append({"round": number, "flights": dict(outcomes)})
        data += read_folder(folder)
        if (done["round"], done["epoch"]) == (0, 0) and number == 0 and args.look:
            sys.stderr.write(f"round 0: the encoder looks at {args.look} frames\n")
            loss = trainer.look(data, args.look, LOOK_BATCH, LOOK_RATE)
            done["course"].append({"look": args.look, "hint_loss": loss})
        for epoch in range(plan.epochs):
            if (number, epoch) < (done["round"], done["epoch"]):
                continue
            last = number == len(rounds) - 1
            ends = [cosine((epoch + i) / plan.epochs) if last else 1.0 for i in (0, 1)]
            if number == 0 and epoch == 0:
                ends[0] = 0.05
            loss = trainer.epoch(data, (number, epoch), (ends[0], ends[1]))
            seconds = time.monotonic() - began
            frames = sum(len(r) for r in data)
            done["course"].append(
                {
                    "round": number,
                    "epoch": epoch,
                    "loss": loss,
                    "frames": frames,
                    "seconds": seconds,
                }
            )
            following = (number, epoch + 1) if epoch + 1 < plan.epochs else (number + 1, 0)
            done["round"], done["epoch"] = following
            done["seconds"] = seconds
            trainer.save(state_file, {**done, "arguments": arguments})
            sys.stderr.write(
                f"round {number}/{len(rounds) - 1}, epoch {epoch + 1}/{plan.epochs}: loss "
                f"{loss:.4f}, {frames} frames, {seconds:.0f} s, about "
                f"{_left(rounds, done):.0f} s left\n"
            )
            sys.stderr.flush()
    save(policy_file, _checkpoint(trainer, args, task, rounds, done))
    print(f"{policy_file}: {spec.count()} parameters, loss {done['course'][-1]['loss']:.4f}")
    if args.json:
        result = {**provenance(_command()), "course": done["course"], "seconds": done["seconds"]}
        args.json.write_text(json.dumps(result, indent=1))
    return 0


def _left(rounds: list[Round], done: dict[str, Any]) -> float:
    """Guess the seconds left: work is flights times epochs, as it was so far."""
    past = future = 0.0
    flights = 0
    for number, plan in enumerate(rounds):
        flights += len(plan.seeds)
        for epoch in range(plan.epochs):
            if (number, epoch) < (done["round"], done["epoch"]):
                past += flights
            else:
                future += flights
    return float(done["seconds"]) * future / max(past, 1.0)


def _command() -> str:
    return " ".join(["lnn_ros", *sys.argv[1:]])


def _checkpoint(
    trainer: Trainer,
    args: argparse.Namespace,
    task: Task,
    rounds: list[Round],
    done: dict[str, Any],
) -> Checkpoint:
    spec = trainer.policy.spec
    card = {
        "name": task.name,
        "task": task.name,
        "streams": streams(spec),
        "camera": camera_card(task),
        "training": {
            **provenance(_command()),
            "seed": args.seed,
            "worlds": [rounds[0].seeds.start, rounds[-1].seeds.stop],
            "rounds": [
                {"flights": len(r.seeds), "share": r.share, "epochs": r.epochs} for r in rounds
            ],
            "course": [c for c in done["course"] if "loss" in c][-1:],
            "seconds": done["seconds"],
        },
        "evaluation": {},
    }
    return Checkpoint(spec, trainer.policy.arrays(), card)
