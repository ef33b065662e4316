# ruff: noqa: E402 - threads must be limited before numpy and torch are imported
"""How tight the proven bound on a policy's command is: gradient ascent against it.

    python benchmark/bound.py [--policy FILE] [--starts N] [--steps N] [--json FILE]

An adversary chooses the pixels, the summaries and the times of a few observations, to push a
command to its bound, and to make it change as fast as it can after them: by the flow alone
("rate"), and as the pilot reads it, in one more step without a frame ("reading"). What it reaches
is a lower bound on the truth, the proven bound an upper one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # before numpy and torch read them
    os.environ[variable] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import Tensor

from lnn_ros import policies
from lnn_ros.learning.jobs import provenance
from lnn_ros.liquid.bound import bound
from lnn_ros.liquid.checkpoint import Checkpoint, load
from lnn_ros.liquid.engine import effective
from lnn_ros.liquid.spec import COMMAND, part
from lnn_ros.liquid.torch_cell import OPS

UPDATES = 4
"""Observations that the adversary makes."""
INSTANT = 1e-6
"""Seconds over which a rate is measured, in float64."""
SOON = 0.005
"""Seconds after the last update up to which the adversary reads."""
RATE, LONGEST = 0.05, 10.0
"""Of the ascent; seconds between observations."""


class Adversary:
    """Observations and their times, found by gradient ascent.

    Parameters
    ----------
    checkpoint : Checkpoint
    least_interval : float
        Seconds between two observations at least.
    """

    def __init__(self, checkpoint: Checkpoint, least_interval: float = 0.0) -> None:
        self._spec, self._least = checkpoint.spec, least_interval
        arrays = effective(checkpoint.spec, checkpoint.arrays)
        self._w = {name: torch.tensor(a, dtype=torch.float64) for name, a in arrays.items()}

    def attack(self, goal: str, output: int, starts: int, steps: int, seed: int = 0) -> float:
        """Return the largest value found.

        Parameters
        ----------
        goal : str
            "low", "high", "rate" or "reading".
        output : int
            Of the command.
        starts : int
            Random starts, side by side.
        steps : int
            Of gradient ascent.
        seed : int
            Of the starts.
        """
        generator = torch.Generator().manual_seed(seed)

        def drawn(*shape: int) -> Tensor:
            values = 2.0 * torch.randn(UPDATES, starts, *shape, generator=generator).double()
            return values.requires_grad_()

        frames = drawn(*self._spec.encoder.frame_shape)
        summaries, times = drawn(len(self._spec.summary_scale)), drawn(1)
        last = drawn(len(self._spec.summary_scale) + 1)[0].detach().requires_grad_()
        optimiser = torch.optim.Adam([frames, summaries, times, last], lr=RATE)
        best = -np.inf
        for step in range(steps):
            for group in optimiser.param_groups:  # ends in the box's corners
                group["lr"] = RATE * (1.0 + 9.0 * step / steps)
            reached = self._reached(goal, output, frames, summaries, times, last)
            best = max(best, float(reached.detach().max()))
            optimiser.zero_grad()
            (-reached.sum()).backward()
            optimiser.step()
        return best

    def _reached(
        self,
        goal: str,
        output: int,
        frames: Tensor,
        summaries: Tensor,
        times: Tensor,
        last: Tensor,
    ) -> Tensor:
        spec, w = self._spec, self._w
        core, encoder = part(w, "core"), part(w, "encoder")
        state = torch.from_numpy(spec.core.initial_state()).expand(times.shape[1], -1)
        for k in range(UPDATES):
            dt = self._least + (LONGEST - self._least) * torch.sigmoid(times[k] - 3.0) ** 3
            state = spec.core.predict(OPS, core, state, dt)
            features = spec.encoder.encode(OPS, encoder, 255.0 * torch.sigmoid(frames[k]))
            state = spec.core.update(OPS, core, state, self._inputs(features, summaries[k]))
        now = spec.command(OPS, w, state)[:, output]
        if goal in ("low", "high"):
            return now if goal == "high" else -now
        after = torch.full_like(times[0], INSTANT)
        if goal == "reading":  # soon after the update it is fastest, but not always
            after = INSTANT + SOON * torch.sigmoid(last[:, :1])
        soon = spec.predict(OPS, w, state, after)
        if goal == "reading":
            none = torch.zeros_like(features)
            soon = spec.core.update(OPS, core, soon, self._inputs(none, last[:, 1:]))
        return (spec.command(OPS, w, soon)[:, output] - now).abs() / after[:, 0]

    def _inputs(self, features: Tensor, summary: Tensor) -> Tensor:
        """Inputs of the core: any summary inside its limits."""
        told = self._spec.summary_limit * (2.0 * torch.sigmoid(summary) - 1.0)
        return torch.cat([features, told], -1)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=Path, default=None)
    parser.add_argument("--starts", type=int, default=8)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint = load(args.policy or policies.path("fly_to_target"))
    rows: list[dict[str, Any]] = []
    for least in (0.0, 1 / 30):
        proven = bound(checkpoint.spec, checkpoint.arrays, least).to_json()
        goals = ("low", "high", "rate", "reading") if least == 0.0 else ("rate", "reading")
        for goal in goals:
            if proven[goal] is None:
                continue
            for i, output in enumerate(COMMAND):
                limit = -proven[goal][i] if goal == "low" else proven[goal][i]
                reached = Adversary(checkpoint, least).attack(goal, i, args.starts, args.steps)
                rows.append({"goal": goal, "output": output, "least_interval": least,
                             "proven": limit, "reached": reached})  # fmt: skip
                print(
                    f"{goal:7s} {output:8s} updates at least {least:5.3f} s apart: proven "
                    f"{limit:8.3f}, reached {reached:8.3f} ({100 * reached / limit:3.0f} %)",
                    flush=True,
                )
    if args.json:
        result = {
            **provenance(" ".join(["python", "benchmark/bound.py", *sys.argv[1:]])),
            "policy": checkpoint.weights_digest(),
            "rows": rows,
        }
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
