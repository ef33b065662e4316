# ruff: noqa: E402 - threads must be limited before numpy and torch are imported
"""Time of one encoder + core step in the running network, beside the torch twin, in one run.

    python benchmark/engine.py [--policy FILE] [--steps N] [--json FILE]

One thread. The ratio is what to quote: absolute times depend on the machine and its other work.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # before numpy and torch read them
    os.environ[variable] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from lnn_ros import policies
from lnn_ros.learning.jobs import provenance
from lnn_ros.liquid.checkpoint import load
from lnn_ros.liquid.engine import Engine
from lnn_ros.liquid.spec import SUMMARY
from lnn_ros.liquid.torch_policy import TorchPolicy

WARM_UP = 50


def measure(steps: list[Callable[[], object]], rounds: int) -> list[np.ndarray]:
    """Time several functions in turns, so that other work on the machine hits all alike; ms."""
    times = [np.empty(rounds) for _ in steps]
    for k in range(-WARM_UP, rounds):
        for step, column in zip(steps, times, strict=True):
            start = time.perf_counter()
            step()
            if k >= 0:
                column[k] = 1e3 * (time.perf_counter() - start)
    return times


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=Path, default=None)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    path = args.policy or policies.path("fly_to_target")
    checkpoint = load(path)
    spec = checkpoint.spec
    engine = Engine(spec, checkpoint.arrays)
    policy = TorchPolicy.from_arrays(spec, checkpoint.arrays)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, spec.encoder.frame_shape, dtype=np.uint8)
    summary = rng.normal(0, 1, len(SUMMARY)).astype(np.float32)
    state = engine.initial()
    dt = torch.full((1, 1), 0.05)
    memory = [policy.core.initial(1)]

    def in_numpy() -> None:
        engine.predict(state, 0.05, state)
        engine.update(state, frame, summary)
        engine.command(state)

    @torch.no_grad()
    def in_torch() -> None:
        inputs = policy.inputs(
            torch.from_numpy(frame)[None, None], torch.from_numpy(summary)[None, None]
        )
        activity, memory[0] = policy.core(inputs, dt, memory[0])
        policy.read(activity)

    names = ("numpy", "torch_eager")
    times = dict(zip(names, measure([in_numpy, in_torch], args.steps), strict=True))
    result = {
        **provenance(" ".join(["python", "benchmark/engine.py", *sys.argv[1:]])),
        "policy": checkpoint.weights_digest(),
        "parameters": spec.count(),
        "steps": args.steps,
        "milliseconds": {
            name: {f"p{q}": float(np.percentile(t, q)) for q in (50, 90, 99)}
            for name, t in times.items()
        },
        "torch_over_numpy_p50": float(np.median(times["torch_eager"]) / np.median(times["numpy"])),
    }
    for name, row in result["milliseconds"].items():
        print(f"{name:12s}" + "".join(f"  {q} {value:.3f} ms" for q, value in row.items()))
    print(f"numpy is {result['torch_over_numpy_p50']:.1f} times as fast (medians)")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
