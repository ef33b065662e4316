"""Whether a controller that flies for long grows, or becomes slow.

    python benchmark/soak.py [--minutes M] [--policy FILE] [--json FILE]

The processes are those of ``node_latency.py``: images at 20 Hz and IMU samples at 200 Hz over DDS,
the controller, engaged, and a bare rclpy echo beside it. Every minute the resident memory of both
is noted, and how old their commands were (see there). ``mb_per_hour`` is the slope of the
controller's memory by least squares, with its standard error, without the first two minutes, in
which queues and caches fill. Whatever else the machine does is in the ages, and in the echo's.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from node_latency import SIZES, Run

from lnn_ros.learning.jobs import provenance

_FILLING = 2  # minutes


def slope(minutes: list[float], values: list[float]) -> tuple[float, float]:
    """Return slope and standard error by least squares, per hour."""
    hours = np.array(minutes) / 60.0
    away = hours - hours.mean()
    found = float(away @ np.array(values) / (away @ away))
    rest = np.array(values) - np.mean(values) - found * away
    error = float(np.sqrt(rest @ rest / max(len(values) - 2, 1) / (away @ away)))
    return found, error


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--policy", default="fly_to_target")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
    args = parser.parse_args()
    if args.minutes < _FILLING + 3:
        parser.error(f"--minutes is {args.minutes}: expected {_FILLING + 3} or more")
    rows: list[dict[str, Any]] = []
    with Run(SIZES[0], args.policy) as run:
        for minute in range(1, args.minutes + 1):
            run.forget()
            rows.append(run.measure(56.0))
            mine, other = rows[-1]["controller"], rows[-1]["echo"]
            print(f"minute {minute}: {mine['rss_mb']:.1f} MB (echo {other['rss_mb']:.1f}), answers "
                  f"p50 {mine['answers_ms']['p50']:.2f} ms, p99 {mine['answers_ms']['p99']:.2f} ms "
                  f"(echo {other['answers_ms']['p50']:.2f}, {other['answers_ms']['p99']:.2f})",
                  flush=True)
    late = rows[_FILLING:]
    grows, error = slope([float(m) for m in range(len(late))],
                         [row["controller"]["rss_mb"] for row in late])
    print(f"memory: {grows:+.2f} MB per hour (standard error {error:.2f})")
    if args.json:
        about = provenance(" ".join(["python", "benchmark/soak.py", *sys.argv[1:]]))
        args.json.write_text(json.dumps(
            {**about, "mb_per_hour": grows, "standard_error": error, "minutes": rows},
            indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
