# ruff: noqa: E402 - threads must be limited before numpy and torch are imported
"""The laws of time, measured for every cell here and for those of ncps 1.0.1.

    python benchmark/cells.py [--cells a,b] [--seeds N] [--trained N] [--json FILE]

Each cell has 32 neurons and 8 inputs: wired as an NCP with 4 motor neurons where it takes a
wiring, else dense; of the flow cell's rows, without turning neurons, with a pair of them among the
command neurons ("pairs", and "flying" with the rates and frequencies of a flight's policy), and 64
neurons, half of them turning ("dense"). "random" are initial parameters, "trained" those after a
short training (delayed and filtered values of an irregularly sampled signal). Medians over the
seeds, and the largest. Everything runs in float64. What is measured:

split       predict(a) then predict(b) against predict(a + b), relative to max(1, |x|)
substeps    five observations of a held signal in 0.2 s against one, share of the movement
zero_flow   how far predict(0) moves a state
zero_seen   how far an observation moves it when no time has passed
rate        a held signal observed at 10, 30, 100 and 200 Hz for 2 s: largest difference from the
            state at 200 Hz, relative to max(1, |x|)
forget      time in which two states, shown the same signal, come to 1/e of their distance, at
            each rate; and (largest - smallest) / median of the four. Cells with a flow have just
            seen the new signal (no time passes), so that they flow by it from the beginning
dropped     a moving signal at 30 Hz for 4 s, of which 30 % is not seen: root mean square of the
            difference in activity, relative to how much the activity moves
batch       a batch of different dt: "equal" to one by one, "differs", or "raises"
nan         after one NaN observation in one of a batch: whether the others stay as they are, and
            whether a mask (or leaving the sample out, in ncps) is there to hide it
negative    a negative dt: "raises" or "accepted"
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy and torch read them
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from laws.laws import LAWS, RATES, forget
from laws.ours import INPUTS, ROWS, UNITS, Ours
from laws.peers import NCPS, Subject, Theirs
from laws.training import train

from lnn_ros.learning.jobs import provenance


def _number(x: float) -> float | str:
    """As JSON has it."""
    return float(x) if np.isfinite(x) else "inf"


def _summary(values: list[float | None]) -> dict[str, float | str | None]:
    """Median and extremes; a NaN state counts as infinitely wrong."""
    if None in values:
        return {"median": None, "min": None, "max": None}
    x = np.array(values, float)
    x = np.where(np.isnan(x), np.inf, x)
    return {"median": _number(np.median(x)), "min": _number(x.min()), "max": _number(x.max())}


def measure(row: str, seeds: int, rounds: int) -> dict[str, Any]:
    """All laws of one row, over seeds; ``rounds`` of training before."""
    found: dict[str, list[Any]] = {name: [] for name in (*LAWS, "forget", "loss")}
    for seed in range(seeds):
        subject: Subject = Theirs(row, seed) if row in NCPS else Ours(row, seed)
        if rounds:
            found["loss"].append(train(subject, seed, rounds))
        for name, law in LAWS.items():
            found[name].append(law(subject, np.random.default_rng((seed, 1))))
        found["forget"].append(forget(subject, np.random.default_rng((seed, 2))))
    times = np.array(found["forget"])
    spread = [
        0.0
        if not t.any()
        else (t.max() - t.min()) / np.median(t)
        if np.isfinite(t).all()
        else np.inf
        for t in times
    ]
    result: dict[str, Any] = {name: _summary(found[name]) for name in LAWS}
    result["forget_seconds"] = {
        str(r): _number(np.median(times[:, i])) for i, r in enumerate(RATES)
    }
    result["forget_spread"] = _summary(spread)
    if rounds:
        result["loss"] = _summary(found["loss"])
    else:
        result["batch"], result["negative"] = subject.batched_dt(), subject.negative()
        result["nan"] = list(subject.nan())
    return result


def _show(row: str, name: str, result: dict[str, Any]) -> None:
    def cell(entry: dict[str, Any]) -> str:
        if entry["median"] is None:
            return f"{'-':>17s}"
        return f"{float(entry['median']):8.1e}/{float(entry['max']):8.1e}"

    columns = [cell(result[law]) for law in (*LAWS, "forget_spread")]
    times = " ".join(f"{float(t):6.3f}" for t in result["forget_seconds"].values())
    words = []
    if "nan" in result:
        words = [result["batch"], *result["nan"], result["negative"]]
    elif "loss" in result:
        words = [f"loss {float(result['loss']['median']):.3f}"]
    print(f"{row:15s} {name:8s}" + " ".join([*columns, "|", times, "|", *words]), flush=True)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", help="comma-separated rows; all without it")
    parser.add_argument("--seeds", type=int, default=10, help="of random parameters")
    parser.add_argument("--trained", type=int, default=3, help="seeds that are trained; 0: none")
    parser.add_argument("--rounds", type=int, default=80, help="of training")
    parser.add_argument("--json", type=Path, help="rows that it holds already, and not asked, stay")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [*ROWS, *NCPS] if args.cells is None else args.cells.split(",")
    for row in rows:
        if row not in ROWS and row not in NCPS:
            parser.error(f"--cells: {row!r} found, expected some of {', '.join([*ROWS, *NCPS])}")
    origin = provenance(" ".join(["python", "benchmark/cells.py", *sys.argv[1:]]))
    result: dict[str, Any] = {"units": UNITS, "inputs": INPUTS, "rates_hz": list(RATES), "rows": {}}
    if args.json and args.json.exists():
        earlier = json.loads(args.json.read_text())
        if {**earlier, "rows": {}} == result:
            result = earlier
    print("median/max of " + ", ".join([*LAWS, "forget_spread"]) + " | forget at each rate, s | ")
    for row in rows:
        entry = {**origin, "seeds": args.seeds, "trained_seeds": args.trained}
        for name, seeds, rounds in (
            ("random", args.seeds, 0),
            ("trained", args.trained, args.rounds),
        ):
            if seeds:
                entry[name] = measure(row, seeds, rounds)
                _show(row, name, entry[name])
        result["rows"][row] = entry
        if args.json:  # after each row: some take minutes
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
