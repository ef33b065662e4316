# ruff: noqa: E402 - threads must be limited before numpy and torch are imported
"""Time and memory of the running network, beside ncps, torch and ONNX Runtime, in one run.

    python benchmark/engine.py [--policy FILE] [--steps N] [--json FILE]

Three networks, each stepped by every way to run it, all with the same numbers (which is checked):

core      a CfC of ncps, AutoNCP(32, 4), 64 inputs: ncps itself (eager), this package in torch
          (eager), as an ONNX model in ONNX Runtime, and in numpy
policy    the shipped policy's encoder, 64 x 48, with that core behind it, and the command read
shipped   the shipped policy itself

One thread, batch 1, dt 50 ms. The ways take turns of a few steps each, so that other work on the
machine hits all alike. The ratios are what to quote: absolute times depend on the machine. Memory
is the peak of a process of its own that loads the policy and steps it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # before numpy and torch read them
    os.environ[variable] = "1"
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import ncps.torch
import ncps.wirings
import numpy as np
import onnxruntime
import torch

from lnn_ros import policies
from lnn_ros.learning.jobs import provenance
from lnn_ros.liquid.checkpoint import CellCheckpoint, Checkpoint, load, save, streams
from lnn_ros.liquid.engine import CellEngine, Engine, effective
from lnn_ros.liquid.exporting.onnx_export import cell_model, policy_model
from lnn_ros.liquid.importing.ncps_import import from_ncps
from lnn_ros.liquid.ops import TorchOps
from lnn_ros.liquid.spec import CAMERA_PRESENT, SUMMARY

Step = Callable[[], np.ndarray]

INPUTS, UNITS, MOTOR = 64, 32, 4
DT = 0.05
TURN = 50
"""Steps that one way makes in a row."""
WARM_UP = 5
"""Turns that are not counted."""
OPS = TorchOps()


def measure(steps: Mapping[str, Step], count: int) -> dict[str, np.ndarray]:
    """Microseconds of every step, taken in turns."""
    turns = max(1, count // TURN)
    times = {name: np.empty((turns, TURN)) for name in steps}
    for turn in range(-WARM_UP, turns):
        for name, step in steps.items():
            for i in range(TURN):
                start = time.perf_counter()
                step()
                if turn >= 0:
                    times[name][turn, i] = 1e6 * (time.perf_counter() - start)
    return {name: column.reshape(-1) for name, column in times.items()}


def session(model: Any) -> onnxruntime.InferenceSession:
    """Return an ONNX model in ONNX Runtime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def core_steps(seed: int = 0) -> tuple[CellCheckpoint, dict[str, Step]]:
    """Ways to step the CfC of ncps; each returns the activities of the motor neurons."""
    torch.manual_seed(seed)
    theirs = ncps.torch.CfC(INPUTS, ncps.wirings.AutoNCP(UNITS, MOTOR)).eval()
    taken = from_ncps(theirs)
    checkpoint = taken.checkpoint("cfc_ncp32", {"seed": seed})
    cell = taken.cell
    arrays = {name: array.astype(np.float32) for name, array in taken.values.items()}
    engine = CellEngine(cell, {**arrays, **taken.wiring.masks()})
    seen = np.random.default_rng(seed).normal(0, 1, INPUTS).astype(np.float32)
    state = engine.initial()

    def numpy() -> np.ndarray:
        engine.predict(state, DT, state)
        engine.update(state, seen)
        return engine.activity(state)[-MOTOR:]

    x, hidden, elapsed = torch.from_numpy(seen)[None], [torch.zeros(1, UNITS)], torch.tensor([[DT]])

    @torch.inference_mode()
    def ncps_eager() -> np.ndarray:
        motor, hidden[0] = theirs.rnn_cell(x, hidden[0], elapsed)
        return motor.numpy()[0]

    w = {name: torch.from_numpy(array) for name, array in arrays.items()}
    memory = [torch.from_numpy(engine.initial())[None]]

    @torch.inference_mode()
    def torch_eager() -> np.ndarray:
        memory[0] = cell.update(OPS, w, cell.predict(OPS, w, memory[0], elapsed), x)
        return cell.activity(OPS, memory[0]).numpy()[0, -MOTOR:]

    run = session(cell_model(checkpoint))
    held = {
        "state": engine.initial()[None],
        "dt": np.array([[DT]], np.float32),
        "inputs": seen[None],
    }

    def onnx_runtime() -> np.ndarray:
        held["state"], activity = run.run(["next_state", "activity"], held)
        return activity[0, -MOTOR:]

    return checkpoint, {
        "ncps_eager": ncps_eager,
        "torch_eager": torch_eager,
        "onnx_runtime": onnx_runtime,
        "numpy": numpy,
    }


def with_core(shipped: Checkpoint, core: CellCheckpoint, seed: int = 0) -> Checkpoint:
    """Return the shipped policy's encoder, drawn anew for the core's inputs, then the core."""
    rng = np.random.default_rng(seed)
    encoder = replace(shipped.spec.encoder, features=INPUTS - len(SUMMARY))
    spec = replace(shipped.spec, encoder=encoder, core=core.cell)
    arrays = {f"encoder.{name}": value for name, value in encoder.initialise(rng).items()}
    arrays |= {"head.weight": rng.normal(0, 0.5, (core.cell.read, 4)), "head.bias": np.zeros(4)}
    arrays = {name: value.astype(np.float32) for name, value in arrays.items()}
    arrays |= {name: a for name, a in core.arrays.items() if not name.startswith("readout")}
    card = {**shipped.card, "name": "cfc_ncp32", "spec": spec.to_json(), "streams": streams(spec)}
    return Checkpoint(spec, arrays, card)


def policy_steps(checkpoint: Checkpoint, seed: int = 0) -> dict[str, Step]:
    """Ways to step a whole policy; each returns the command."""
    spec = checkpoint.spec
    engine = Engine(spec, checkpoint.arrays)
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 256, spec.encoder.frame_shape, dtype=np.uint8)
    summary = rng.normal(0, 1, len(SUMMARY)).astype(np.float32)
    summary[CAMERA_PRESENT] = 1.0
    state = engine.initial()

    def numpy() -> np.ndarray:
        engine.predict(state, DT, state)
        engine.update(state, engine.encode(frame), summary)
        return engine.command(state)

    w = {name: torch.from_numpy(a) for name, a in effective(spec, checkpoint.arrays).items()}
    memory = [torch.from_numpy(engine.initial())[None]]
    elapsed, told, pixels = (
        torch.tensor([[DT]]),
        torch.from_numpy(summary)[None],
        torch.from_numpy(frame)[None],
    )

    @torch.inference_mode()
    def torch_eager() -> np.ndarray:
        before = spec.predict(OPS, w, memory[0], elapsed)
        memory[0] = spec.update(OPS, w, before, pixels.float(), told)
        return spec.command(OPS, w, memory[0]).numpy()[0]

    run = session(policy_model(checkpoint))
    held = {
        "state": engine.initial()[None],
        "dt": np.array([[DT]], np.float32),
        "frame": frame[None],
        "summary": summary[None],
    }

    def onnx_runtime() -> np.ndarray:
        held["state"], command = run.run(["next_state", "command"], held)
        return command[0]

    return {"torch_eager": torch_eager, "onnx_runtime": onnx_runtime, "numpy": numpy}


def compared(steps: Mapping[str, Step], count: int) -> dict[str, Any]:
    """Check that all ways agree, then time them."""
    worst = 0.0
    for _ in range(20):
        results = [np.asarray(step(), np.float64) for step in steps.values()]
        worst = max(worst, *(float(np.abs(r - results[-1]).max()) for r in results))
    if not worst < 1e-5:
        raise SystemExit(f"the ways differ by {worst:.1e}, expected less than 1e-5")
    times = measure(steps, count)
    median = {name: float(np.median(t)) for name, t in times.items()}
    return {
        "largest_difference": worst,
        "microseconds": {
            name: {f"p{q}": float(np.percentile(t, q)) for q in (25, 50, 75, 90, 99)}
            for name, t in times.items()
        },
        "times_numpy_p50": {
            name: value / median["numpy"] for name, value in median.items() if name != "numpy"
        },
    }


LOADS = {
    "python": "pass",
    "python_numpy": "import numpy",
    "numpy": """
import numpy
from lnn_ros.liquid.checkpoint import load
from lnn_ros.liquid.engine import Engine
from lnn_ros.liquid.spec import SUMMARY
checkpoint = load(POLICY)
engine = Engine(checkpoint.spec, checkpoint.arrays)
state, frame = engine.initial(), numpy.zeros(checkpoint.spec.encoder.frame_shape, numpy.uint8)
for _ in range(200):
    engine.predict(state, 0.05, state)
    engine.update(state, engine.encode(frame), numpy.ones(len(SUMMARY), numpy.float32))
    engine.command(state)
""",
    "onnx_runtime": """
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
run = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
shapes = {x.name: [1, *x.shape[1:]] for x in run.get_inputs()}
held = {n: numpy.zeros(s, numpy.uint8 if n == "frame" else numpy.float32)
        for n, s in shapes.items()}
for _ in range(200):
    held["state"], command = run.run(["next_state", "command"], held)
""",
    "torch_eager": """
import numpy, torch
from lnn_ros.liquid.checkpoint import load
from lnn_ros.liquid.engine import effective
from lnn_ros.liquid.ops import TorchOps
from lnn_ros.liquid.spec import SUMMARY
checkpoint, ops = load(POLICY), TorchOps()
spec = checkpoint.spec
w = {n: torch.from_numpy(a) for n, a in effective(spec, checkpoint.arrays).items()}
state = torch.zeros(1, spec.core.state_size)
frame, dt = torch.zeros(1, *spec.encoder.frame_shape), torch.zeros(1, 1)
told = torch.ones(1, len(SUMMARY))
with torch.inference_mode():
    for _ in range(200):
        state = spec.update(ops, w, spec.predict(ops, w, state, dt), frame, told)
        spec.command(ops, w, state)
""",
}
PEAK = """
import re, sys
sys.stdout.write(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
"""


def memory(checkpoint: Checkpoint) -> dict[str, float]:
    """Peak resident memory, MB, of processes that run a policy and of those that do nothing."""
    with tempfile.TemporaryDirectory() as folder:
        policy, model = Path(folder, "policy.safetensors"), Path(folder, "policy.onnx")
        save(policy, checkpoint)
        model.write_bytes(policy_model(checkpoint).SerializeToString())
        names = f"POLICY, MODEL = {str(policy)!r}, {str(model)!r}\n"
        found = {}
        for name, load_ in LOADS.items():
            done = subprocess.run(  # nosec B603  # all of it is written here
                [sys.executable, "-c", names + load_ + PEAK],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
            )
            found[name] = int(done.stdout) / 1024
    return found


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=Path, default=None)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    shipped = load(args.policy or policies.path("fly_to_target"))
    core, steps = core_steps()
    policy = with_core(shipped, core)
    networks = {
        "core": compared(steps, args.steps),
        "policy": compared(policy_steps(policy), args.steps),
        "shipped": compared(policy_steps(shipped), args.steps),
    }
    over = {name: row["times_numpy_p50"] for name, row in networks.items()}
    p99 = max(row["microseconds"]["numpy"]["p99"] for row in networks.values())
    megabytes = memory(policy)
    result = {
        **provenance(" ".join(["python", "benchmark/engine.py", *sys.argv[1:]])),
        "versions": {module.__name__: module.__version__ for module in (np, torch, onnxruntime)}
        | {"ncps": "1.0.1"},
        "shipped_policy": shipped.weights_digest(),
        "steps": args.steps,
        "networks": networks,
        "peak_megabytes": megabytes,
        "aims": {
            "core: ncps eager over numpy, at least 8": over["core"]["ncps_eager"],
            "policy: ONNX Runtime over numpy, at least 1": over["policy"]["onnx_runtime"],
            "numpy p99, milliseconds, at most 1": p99 / 1e3,
        },
    }
    for network, row in networks.items():
        print(f"{network} (results differ by at most {row['largest_difference']:.0e})")
        for name, quantiles in row["microseconds"].items():
            line = "".join(f"  {q} {value:7.1f}" for q, value in quantiles.items())
            ratio = row["times_numpy_p50"].get(name)
            print(f"  {name:13s}{line} us" + (f"  {ratio:5.1f} x numpy" if ratio else ""))
    print("peak memory, MB:", ", ".join(f"{name} {mb:.0f}" for name, mb in megabytes.items()))
    for aim, value in result["aims"].items():
        print(f"{aim}: {value:.2f}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
