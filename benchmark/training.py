# ruff: noqa: E402 - threads must be limited before numpy and torch are imported
"""Time of training on sequences, forward and backward, beside ncps and torch, in one run.

    python benchmark/training.py [--rounds N] [--steps T] [--batch B] [--rows A,B] [--cpu]
        [--json FILE]

One thread, float32, 64 inputs; by default 64 steps x 32 sequences, an elapsed time of 50 ms a step,
the loss a mean square of the last layer. Rows: ours, by the kernel or the scan (and, marked
"loop", by the plain torch reference), over the same number of neurons as the peers. "NCP 32" is
AutoNCP(32 units, 4 motor neurons, sparsity 0.5), theirs drawn by ncps, ours by ``auto_ncp``, with
turning pairs for flow; "64" is one dense layer. ncps runs as published, eager, one second a step.
GRU-D, which ncps does not have, is told of each of the 64 features that it is there, and its age.
All take turns, so that other work on the machine hits them alike; the ratios are what to quote.
On a busy machine a long step waits more often than a short one: ``--cpu`` counts the time that this
process computes, and no waiting.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from ncps import wirings
from ncps.torch import LTC, CfC
from torch import Tensor, nn

from lnn_ros.learning.jobs import provenance
from lnn_ros.liquid.cells import cell_type
from lnn_ros.liquid.torch_cell import CellModule
from lnn_ros.liquid.wiring import Wiring, auto_ncp, dense

INPUTS, UNITS, OUTPUTS, DENSE = 64, 32, 4, 64
REFERENCE = "ncps CfC NCP 32"
WARM_UP = 2
SLOW = 20
"""A row that takes so many times the fastest is measured in every fifth round only."""

Step = Callable[[], object]


def ours(kind: str, wiring: Wiring, x: Tensor, dt: Tensor, fused: bool = True) -> Step:
    """One forward and backward pass of a cell of ours."""
    cell = cell_type(kind).wired(wiring.inputs, wiring, wiring.layers[-1].units)
    if cell.presence:
        age = torch.log1p(dt)[..., None].expand_as(x)
        x = torch.cat([x, torch.ones_like(x), age], -1)
    module = CellModule(cell, wiring, seed=0)
    module.fused = fused

    def step() -> None:
        module.zero_grad()
        activity, _ = module(x, dt, module.initial(x.shape[1]))
        activity[..., -cell.read :].square().mean().backward()

    return step


def theirs(module: nn.Module, x: Tensor, last: int) -> Step:
    """One of a sequence module that returns its outputs first."""

    def step() -> None:
        module.zero_grad()
        outputs, _ = module(x)
        outputs[..., -last:].square().mean().backward()

    return step


def rows(x: Tensor, dt: Tensor) -> dict[str, Step]:
    """What is compared."""
    torch.manual_seed(0)
    plain = auto_ncp(INPUTS, UNITS, OUTPUTS)
    paired = auto_ncp(INPUTS, UNITS, OUTPUTS, paired=True)
    full = dense(INPUTS, DENSE)
    found: dict[str, Step] = {
        REFERENCE: theirs(
            CfC(INPUTS, wirings.AutoNCP(UNITS, OUTPUTS), batch_first=False), x, OUTPUTS
        ),
        "ncps CfC 64": theirs(CfC(INPUTS, DENSE, batch_first=False), x, DENSE),
        "ncps CfC mixed NCP 32": theirs(
            CfC(INPUTS, wirings.AutoNCP(UNITS, OUTPUTS), batch_first=False, mixed_memory=True),
            x,
            OUTPUTS,
        ),
        "ncps CfC mixed 64": theirs(
            CfC(INPUTS, DENSE, batch_first=False, mixed_memory=True), x, DENSE
        ),
        "ncps LTC NCP 32": theirs(
            LTC(INPUTS, wirings.AutoNCP(UNITS, OUTPUTS), batch_first=False), x, OUTPUTS
        ),
        "torch GRU 32": theirs(nn.GRU(INPUTS, UNITS), x, OUTPUTS),
        "torch GRU 64": theirs(nn.GRU(INPUTS, DENSE), x, DENSE),
        "torch LSTM 64": theirs(nn.LSTM(INPUTS, DENSE), x, DENSE),
    }
    for kind, wiring in (("flow", paired), ("cfc", plain), ("cfc_mixed", plain)):
        found[f"{kind} NCP 32"] = ours(kind, wiring, x, dt)
        found[f"{kind} NCP 32, loop"] = ours(kind, wiring, x, dt, fused=False)
        found[f"{kind} 64"] = ours(kind, full, x, dt)
        found[f"{kind} 64, loop"] = ours(kind, full, x, dt, fused=False)
    found["ltc NCP 32"] = ours("ltc", plain, x, dt)
    found["ltc NCP 32, loop"] = ours("ltc", plain, x, dt, fused=False)
    for kind in ("gru", "lstm", "gru_d"):
        wiring = dense(3 * INPUTS, DENSE) if kind == "gru_d" else full
        found[f"{kind} 64"] = ours(kind, wiring, x, dt)
        found[f"{kind} 64, loop"] = ours(kind, wiring, x, dt, fused=False)
    return found


def chosen(steps: dict[str, Step], text: str | None) -> dict[str, Step]:
    """Return the rows that ``--rows`` asks for, and the reference; None: all."""
    if text is None:
        return steps
    names = text.split(",")
    for name in names:
        if not any(row.startswith(f"{name} ") for row in steps):
            raise SystemExit(f"--rows: {name!r} found, expected the beginnings of rows' names")
    return {
        row: step
        for row, step in steps.items()
        if row == REFERENCE or any(row.startswith(f"{name} ") for name in names)
    }


def measure(
    steps: dict[str, Step], rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds of each, in turns."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for k in range(-WARM_UP, rounds):
        fastest = min((np.median(t) for t in times.values() if t), default=0.0)
        for name, step in steps.items():
            if times[name] and k % 5 and np.median(times[name]) > SLOW * fastest:
                continue
            start = clock()
            step()
            if k >= 0:
                times[name].append(clock() - start)
    return times


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rows", metavar="A,B", help="only those whose names begin so")
    parser.add_argument("--cpu", action="store_true", help="count CPU time")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(args.steps, args.batch, INPUTS, generator=generator)
    dt = torch.full((args.steps, args.batch), 0.05)
    clock = time.process_time if args.cpu else time.perf_counter
    times = measure(chosen(rows(x, dt), args.rows), args.rounds, clock)
    reference = float(np.median(times[REFERENCE]))
    result = {
        **provenance(" ".join(["python", "benchmark/training.py", *sys.argv[1:]])),
        "ncps": version("ncps"),
        "steps": args.steps,
        "batch": args.batch,
        "inputs": INPUTS,
        "rounds": args.rounds,
        "time": "CPU" if args.cpu else "wall",
        "reference": REFERENCE,
        "rows": {
            name: {
                "milliseconds": {
                    f"p{q}": float(1e3 * np.percentile(t, q)) for q in (10, 25, 50, 75, 90)
                },
                "sequences_per_second": float(args.batch / np.median(t)),
                "times_as_fast": float(reference / np.median(t)),
            }
            for name, t in times.items()
        },
    }
    print(f"{'':24s}      ms   quarter to three quarters   sequences/s   x {REFERENCE}")
    for name, row in sorted(
        result["rows"].items(), key=lambda item: -item[1]["sequences_per_second"]
    ):
        spread = row["milliseconds"]
        print(
            f"{name:24s} {spread['p50']:7.2f}   {spread['p25']:9.2f} to {spread['p75']:7.2f}"
            f"        {row['sequences_per_second']:9.0f}   {row['times_as_fast']:6.2f}"
        )
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
