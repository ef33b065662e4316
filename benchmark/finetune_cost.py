# ruff: noqa: E402 - threads must be limited before numpy is imported
"""What a fine-tuning on board costs, and whether the controller that flies meanwhile notices.

    python benchmark/finetune_cost.py --rehearsal RUN [--flights N] [--rounds N] [--json FILE]

The processes of ``benchmark/node_latency.py`` at 64 x 48: sensors, controller, echo. In turns,
--rounds times, the age of the commands that answer an image is measured while nothing else runs,
and while ``lnn_ros finetune`` runs as the companion starts it: at most half of one core, only while
no other process wants to run, 2,000 MB. It learns from --flights flights of the policy with a
helping hand (``lnn_ros.learning.helping``) under --shift, and judges, with flights in --worlds
worlds.

Told are wall time, CPU time and the greatest resident memory of the fine-tuning, and the 99th
percentile of the controller's age with it over that without it. Goal: at most 1.2.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmark")]

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
from node_latency import SIZES, Run

from lnn_ros import policies
from lnn_ros.learner import Plan
from lnn_ros.learning.helping import Helped, fly_helped
from lnn_ros.learning.jobs import provenance
from lnn_ros.nodes.settings import FinetuneSettings

FIRST_HELP = 98_000
"""First world of training in which there is help."""
SLICE_S = 20.0
"""The age is measured in pieces of so long, until the fine-tuning is over."""
GOAL = 1.2


def helped(policy: str, folder: Path, flights: int, shift: str) -> dict[str, Any]:
    """Fly with help; return how much there was."""
    found = [fly_helped(Helped(seed, str(folder / f"{seed:06}"), policy, shift=shift))
             for seed in range(FIRST_HELP, FIRST_HELP + flights)]
    return {"flights": flights, "takeovers": sum(one["takeovers"] for one in found),
            "seconds": round(sum(one["helped_s"] for one in found), 1)}


def together(run: Run, command: list[str], log: Path) -> dict[str, Any]:
    """Measure the controller while a fine-tuning runs from its beginning to its end."""
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(  # nosec B603  # our own program
            command, stdout=out, stderr=out, cwd=ROOT)
    ages = []
    while True:
        ages.append(run.measure(SLICE_S)["controller"]["answers_ms"]["p99"])
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"the fine-tuning ended with status {process.returncode}: "
                         f"{log.read_text()[-2000:]}")
    said = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return {"p99_ms": ages, "seconds": round(time.monotonic() - began, 1),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
            "rss_mb": round(usage.ru_maxrss / 1024, 1), "said": said[-1].get("said")}


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--policy", default="fly_to_target")
    add("--rehearsal", type=Path, required=True, help="run folder that the policy learned from")
    add("--flights", type=int, default=30)
    add("--shift", default="field_of_view")
    add("--worlds", type=int, default=60)
    add("--rounds", type=int, default=3)
    add("--json", type=Path, metavar="FILE", help="write the results here")
    args = parser.parse_args()
    usual = FinetuneSettings()
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        folder, policy = Path(name), str(policies.find(args.policy))
        help_ = helped(policy, folder / "help", args.flights, args.shift)
        for number in range(args.rounds):
            plan = Plan(folder / "help", args.rehearsal.absolute(), folder / f"store{number}",
                        policy, usual.cpu, usual.memory_mb, usual.idle, args.worlds)
            with Run(SIZES[0], args.policy) as run:
                alone = [run.measure(SLICE_S)["controller"]["answers_ms"]["p99"]
                         for _ in range(3)]
                found = together(run, plan.command(), folder / f"{number}.log")
            found["alone_p99_ms"] = alone
            found["ratio_p99"] = round(float(np.median(found["p99_ms"]) / np.median(alone)), 3)
            rounds.append(found)
            print(f"{found['seconds']} s, {found['cpu_seconds']} s of CPU, {found['rss_mb']} MB; "
                  f"p99 {np.median(alone):.2f} ms alone, {np.median(found['p99_ms']):.2f} ms "
                  f"beside it ({found['ratio_p99']:.2f}); {found['said']}", flush=True)
    if args.json:
        command = " ".join(["python", "benchmark/finetune_cost.py", *sys.argv[1:]])
        args.json.write_text(json.dumps({
            **provenance(command), "help": help_, "cpu_share": usual.cpu, "goal": GOAL,
            "memory_mb": usual.memory_mb, "rounds": rounds}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
