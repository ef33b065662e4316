"""Let a policy state how sure it is, or how unlike training its input is.

``--fit spread`` fits the spread's read-out on recorded flights, the rest of the policy being
frozen, and measures coverage and reliability on held-out ones. ``--fit novelty`` takes the
statistics of their frames, and sets on held-out ones what counts as unlike them. The command stays
what it was.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.learning import novelty
from lnn_ros.learning.dataset import Recording
from lnn_ros.learning.jobs import provenance
from lnn_ros.learning.sequences import read_folder
from lnn_ros.liquid.calibration import by_output
from lnn_ros.liquid.checkpoint import Checkpoint, load, save
from lnn_ros.liquid.spec import PolicySpec
from lnn_ros.liquid.torch_policy import TorchPolicy

SPREAD = (0.01, 1.5)
"""Range of the standard deviations, m/s or rad/s."""
RATE, STEPS = 0.05, 400
"""Of Adam, over all labels at once: the read-out is linear."""


def with_spread(checkpoint: Checkpoint, spread: tuple[float, float] = SPREAD) -> TorchPolicy:
    """Return the policy with a spread's read-out that knows nothing yet."""
    head = replace(checkpoint.spec.head, spread=spread)
    spec: PolicySpec = replace(checkpoint.spec, head=head)
    blank = {
        name: np.zeros(shape, np.float32)
        for name, shape in spec.parameters().items()
        if name.startswith("head.spread.")
    }
    return TorchPolicy.from_arrays(spec, {**checkpoint.arrays, **blank})


@torch.no_grad()
def look_through(policy: TorchPolicy, recordings: Sequence[Recording]) -> tuple[Tensor, Tensor]:
    """Activities (N, neurons) and labels (N, 4) at all labelled instants of the recordings."""
    activities, labels = [], []
    for recording in recordings:
        frames = torch.from_numpy(recording.frames[np.maximum(recording.where, 0)])[None]
        summaries = torch.from_numpy(recording.summaries)[:, None]
        states = policy.states(policy.inputs(frames, summaries), summaries, policy.core.initial(1))
        there = torch.from_numpy(recording.weights) > 0
        reads, taken = torch.from_numpy(recording.reads), torch.from_numpy(recording.taken)
        activities.append(policy.onward(states, reads, taken)[there])
        labels.append(torch.from_numpy(recording.labels)[there])
    return torch.cat(activities), torch.cat(labels)


def fit(policy: TorchPolicy, activity: Tensor, labels: Tensor) -> float:
    """Fit the spread's read-out; return the final loss. Nothing else of the policy moves."""
    assert policy.head.spread is not None
    optimiser = torch.optim.Adam(policy.head.spread.parameters(), lr=RATE)
    weights = torch.ones(labels.shape[:-1])
    loss = torch.zeros(())
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1.0 - step / STEPS)
        loss = policy.spread_loss(activity, labels, weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return float(loss.detach())


@torch.no_grad()
def measure(policy: TorchPolicy, activity: Tensor, labels: Tensor) -> dict[str, dict[str, Any]]:
    """Calibration of each output, and of all, as plain data (``liquid.calibration``)."""
    errors = (labels - policy.read(activity)).numpy()
    found = by_output(errors, policy.spread(activity).numpy())
    return {name: calibration.to_json() for name, calibration in found.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--fit",
        choices=("spread", "novelty"),
        default="spread",
        help="what the policy is to state: how sure it is, or how unlike training its input is",
    )
    parser.add_argument("--policy", type=Path, required=True, help="checkpoint to start from")
    parser.add_argument("--data", type=Path, required=True, help="folder of flights to fit on")
    parser.add_argument(
        "--held-out", type=Path, required=True, help="folder of other flights, to measure on"
    )
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument(
        "--alarm-minutes",
        type=float,
        default=novelty.ALARM_S / 60,
        help="of held-out flight in which a novelty of 1 is reached at most once",
    )
    parser.add_argument("--json", type=Path, help="write the result here")


def run(args: argparse.Namespace) -> int:
    """Fit, measure, and write the policy with the result on its card."""
    torch.set_num_threads(1)
    checkpoint = load(args.policy)
    return (_run_novelty if args.fit == "novelty" else _run_spread)(args, checkpoint)


def _run_novelty(args: argparse.Namespace, checkpoint: Checkpoint) -> int:
    if not 0.0 < args.alarm_minutes < math.inf:
        raise LnnError(f"--alarm-minutes is {args.alarm_minutes}, expected more than 0")
    training = list(novelty.described(checkpoint, args.data, novelty.EVERY))
    validation = list(novelty.described(checkpoint, args.held_out))
    judge, found = novelty.fit(checkpoint, training, validation, 60 * args.alarm_minutes)
    result = {
        **provenance(" ".join(["lnn_ros", *sys.argv[1:]])),
        "policy": checkpoint.weights_digest(),
        **found,
    }
    card = {**checkpoint.card, "novelty": result}
    save(args.out, replace(checkpoint, card=card, novelty=judge))
    held = found["validation"]
    print(
        f"novelty: {len(judge.parts)} parts, of {found['training']['frames']} frames of "
        f"{found['training']['flights']} flights; 1 is reached {held['alarms']} times in "
        f"{held['minutes']} minutes of {held['flights']} held-out flights, whose peaks are "
        f"{held['peaks']['0.5']:.2f} (median), {held['peaks']['0.95']:.2f} (95 %)"
    )
    _write(args.json, {**result, **{k: v for k, v in judge.to_json().items() if k != "parts"}})
    return 0


def _run_spread(args: argparse.Namespace, checkpoint: Checkpoint) -> int:
    policy = with_spread(checkpoint)
    camera = VirtualCamera.from_card(checkpoint.card)
    activity, labels = look_through(policy, read_folder(args.data, camera))
    loss = fit(policy, activity, labels)
    found = measure(policy, *look_through(policy, read_folder(args.held_out, camera)))
    result = {
        **provenance(" ".join(["lnn_ros", *sys.argv[1:]])),
        "policy": checkpoint.weights_digest(),
        "fitted_on": len(labels),
        "loss": loss,
        "outputs": found,
    }
    card = {**checkpoint.card, "calibration": result}
    save(args.out, Checkpoint(policy.spec, policy.arrays(), card, checkpoint.novelty))
    for name, row in found.items():
        shares = ", ".join(
            f"{100 * float(k):.0f} %: {100 * v:.1f}" for k, v in row["coverage"].items()
        )
        print(
            f"{name:8s} inside the interval of {shares} %; expected calibration error "
            f"{row['expected_calibration_error']:.3f}; spread {row['spread']:.3f}, errors "
            f"{row['deviation']:.3f}"
        )
    _write(args.json, result)
    return 0


def _write(path: Path | None, result: dict[str, Any]) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
