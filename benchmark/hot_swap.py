"""Another policy in flight, again and again: what the commands do meanwhile.

    python benchmark/hot_swap.py [--swaps N] [--seed W] [--json FILE]

A drone flies in the embedded simulator in real time, as nodes over DDS: the stage of the fault
campaign, whose judge hears every command. Two policies take turns: the one that ships, and one of
the same architecture whose weights are each up to some per cent others (``--apart``), as after
fine-tuning. A swap is: set the parameter ``policy``, call ``~/swap``, await the first command by
the newcomer, and the end of its trial. ``took_s`` is the time from the call to that command.

Beside every swap the same flight is listened to for as long without one, so that what the machine
does by itself is known. ``gap_s`` is the longest time between the arrivals of two commands, from
the call of the service to half a second after the newcomer's first command; ``quiet_gap_s`` that of
the time without a swap. Commands are judged as in the fault campaign: finite, inside their
ceilings, and no step greater than acceleration and time allow. Where a flight ends another one
begins, and what was going on then does not count.

Goals: 100 swaps; no gap longer than two periods, 2 / 30 s; no step beyond the limits.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from lnn_ros.learning.jobs import provenance
from lnn_ros.learning.results import write
from lnn_ros.liquid.checkpoint import load, save
from lnn_ros.nodes.faults.stage import Stage, temporary
from lnn_ros.nodes.faults.verdict import always, longest_gap

PERIOD_S = 1.0 / 30.0
GOALS = {"swaps": 100, "longest_gap_s": 2 * PERIOD_S, "steps_beyond_the_limits": 0}
SEED = 300_007
TRIAL_S = 0.3
_PATIENCE_S = 10.0
_AFTER_S = 0.5


def another(file: Path, apart: float, out: Path) -> Path:
    """Write a policy whose weights differ by a normal share of themselves, ``apart``."""
    checkpoint, rng = load(file), np.random.default_rng(0)
    for name, values in checkpoint.arrays.items():
        if values.dtype == np.float32 and not name.startswith("novelty"):
            values *= 1.0 + apart * rng.standard_normal(values.shape).astype(np.float32)
    save(out, checkpoint)
    return out


def swap(stage: Stage, file: Path) -> dict[str, Any] | None:
    """Swap once in flight; None where the flight ended meanwhile."""
    judge, digest = stage.judge, load(file).weights_digest()[:16]
    judge.forget()
    listened = time.monotonic()
    stage.listen(2 * _AFTER_S)
    quiet = longest_gap([c.at for c in judge.heard.commands], listened, time.monotonic())
    called = time.monotonic()
    taken, why = stage.operator.set("controller", {"policy": str(file), "swap.trial_s": TRIAL_S})
    granted, said = stage.operator.trigger("controller/swap")
    if not (taken and granted):
        return {"refused": why or said}
    over = stage.until(lambda: judge.policy == digest or "must not take over" in judge.swap
                       or judge.mode != "engaged", _PATIENCE_S)
    changed = time.monotonic()
    stage.listen(_AFTER_S)
    ended = time.monotonic()
    if judge.mode != "engaged":
        return None
    if not over or judge.policy != digest:
        return {"refused": judge.swap}
    heard = judge.heard
    stood = stage.until(lambda: "has stood its trial" in judge.swap or judge.mode != "engaged",
                        _PATIENCE_S)
    return {"took_s": round(changed - called, 3), "quiet_gap_s": round(quiet, 4),
            "gap_s": round(longest_gap([c.at for c in heard.commands], called, ended), 4),
            "commands": len(heard.commands), "stood_its_trial": stood,
            "failed": [{"check": f.check, "sentence": f.sentence}
                       for f in always(heard, stage.bounds)]}


def campaign(stage: Stage, swaps: int, files: tuple[Path, Path]) -> list[dict[str, Any]]:
    """Swap so often."""
    rows: list[dict[str, Any]] = []
    while len(rows) < swaps:
        if stage.judge.mode != "engaged":
            trouble = stage.fly()
            if trouble:
                raise SystemExit(f"hot_swap.py: {trouble}")
        flying = load(files[0]).weights_digest()[:16] == stage.judge.policy
        found = swap(stage, files[1] if flying else files[0])
        if found is None:
            continue
        rows.append(found)
        sys.stderr.write(f"{len(rows)}/{swaps}: {found}\n")
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what came of all."""
    done = [row for row in rows if "refused" not in row]
    gaps, quiet = ([row[key] for row in done] for key in ("gap_s", "quiet_gap_s"))
    took = [row["took_s"] for row in done]
    return {
        "swaps": len(done), "refused": len(rows) - len(done),
        "longest_gap_s": max(gaps, default=None),
        "gaps_beyond_two_periods": sum(gap > GOALS["longest_gap_s"] for gap in gaps),
        "longest_quiet_gap_s": max(quiet, default=None),
        "quiet_gaps_beyond_two_periods": sum(gap > GOALS["longest_gap_s"] for gap in quiet),
        "median_gap_s": float(np.median(gaps)) if gaps else None,
        "median_quiet_gap_s": float(np.median(quiet)) if quiet else None,
        "median_took_s": float(np.median(took)) if took else None,
        "longest_took_s": max(took, default=None),
        "steps_beyond_the_limits": sum(f["check"] == "steps" for row in done
                                       for f in row["failed"]),
        "other_failures": sum(f["check"] != "steps" for row in done for f in row["failed"]),
    }


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--swaps", type=int, default=GOALS["swaps"])
    parser.add_argument("--apart", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=SEED, help="of the world")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
    args = parser.parse_args()
    with temporary() as folder, Stage(Path(folder), args.seed) as stage:
        files = stage.policy, another(stage.policy, args.apart, Path(folder) / "other.safetensors")
        rows = campaign(stage, args.swaps, files)
    found = summary(rows)
    for key, value in found.items():
        print(f"{key}: {value if not isinstance(value, float) else round(value, 4)}")
    if args.json:
        about = provenance(" ".join(["python", "benchmark/hot_swap.py", *sys.argv[1:]]))
        write(args.json, {**about, "goals": GOALS, **found, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
