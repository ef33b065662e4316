"""Numbers, pictures and a film of a recorded flight, made from its run folder alone.

``python -m lnn_ros.learning.report DIR`` makes them again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.learning.figures import draw_timeline, draw_trajectory
from lnn_ros.learning.run_folder import Run, Series, read_run
from lnn_ros.learning.video import draw_film, draw_still, shots

Progress = Callable[[str], None]


def make_report(folder: Path, about: Mapping[str, Any] | None = None, video: bool = True,
                progress: Progress = lambda text: None) -> dict[str, Any]:
    """Write ``summary.json``, the figures and the film of a run into its folder.

    Parameters
    ----------
    folder : Path
        A run folder: ``bag/`` is needed, everything else is written anew.
    about : mapping, optional
        How the run was made (command line, machine, versions), for the summary. Without it, what
        an earlier report of this folder said is kept.
    video : bool
        Whether to make the film and the still, which take most of the time.
    progress : callable
        Called with what is being done, for a person.

    Returns
    -------
    dict
        What was written to ``summary.json``.

    Raises
    ------
    LnnError
        When the folder's bag cannot be read or holds no flight.
    """
    progress("reading the bag")
    run = read_run(folder)
    summary = summarize(run)
    summary["run"] = dict(about) if about is not None else _earlier(folder / "summary.json")
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    progress("drawing the figures")
    draw_trajectory(run, folder / "trajectory.png")
    draw_timeline(run, folder / "timeline.png")
    if video:
        progress("planning the film")
        plan = shots(run)
        draw_still(run, plan, folder / "flight.png")
        draw_film(run, plan, folder / "flight.mp4",
                  lambda done, of: progress(f"rendering the film: {100 * done // of} %"))
    return summary


def summarize(run: Run) -> dict[str, Any]:
    """Return the numbers of a run: plain JSON values, in SI units but where the name says other.

    Parameters
    ----------
    run : Run
        What was recorded. Whatever comes after the outcome does not count as flown.
    """
    flown = run.seconds(run.stamp_ns) <= run.duration_s + 1e-9
    position, speed = run.position[flown], np.linalg.norm(run.velocity[flown], axis=1)
    length = float(np.linalg.norm(np.diff(position, axis=0), axis=1).sum())
    line = float(np.linalg.norm(position[-1] - position[0]))
    clearance = run.number("clearance_m")
    return {
        "outcome": run.outcome,
        "arrived": run.outcome == "arrived",
        "task": run.task.name,
        "seed": run.world.seed,
        "time_s": round(run.duration_s, 4),
        "distance_at_start_m": _round(run.distance[0]),
        "distance_at_end_m": _round(run.distance[flown][-1]),
        "min_clearance_m": _round(clearance) if clearance is not None else None,
        **({} if (share := run.number("followed")) is None else {"followed": _round(share)}),
        "path_length_m": _round(length),
        "straight_line_m": _round(line),
        "path_over_straight_line": _round(length / line) if line > 0.1 else None,
        "mean_speed_m_s": _round(float(speed.mean())),
        "max_speed_m_s": _round(float(speed.max())),
        "rates_hz": {"image": _rate(run.frames), "imu": _rate(run.imu),
                     "cmd_vel": _rate(run.command)},
        "messages": {"image": len(run.frames), "imu": len(run.imu), "cmd_vel": len(run.command)},
        "sample_age_ms": {stream: _ages(series) for stream, series in run.ages.items()},
        "real_time_factor": _round(factor) if (factor := run.number("real_time_factor")) else None,
        "policy": {"file": run.controller.get("policy_file"),
                   "digest": run.controller.get("policy")},
        "counters": run.counters,
    }


def _round(value: float) -> float:
    return round(float(value), 3)


def _rate(series: Series) -> float | None:
    """Mean rate in Hz of a stream's stamps."""
    if len(series) < 2:
        return None
    return _round((len(series) - 1) / (1e-9 * float(series.stamp_ns[-1] - series.stamp_ns[0])))


def _ages(series: Series) -> dict[str, float]:
    milliseconds = 1e3 * series.value
    return {"p50": _round(np.percentile(milliseconds, 50)),
            "p99": _round(np.percentile(milliseconds, 99)), "max": _round(milliseconds.max())}


def _earlier(path: Path) -> dict[str, Any]:
    """What an earlier report of the same run said about how it was made."""
    try:
        about = json.loads(path.read_text(encoding="utf-8")).get("run", {})
    except (OSError, ValueError, AttributeError):
        return {}
    return about if isinstance(about, dict) else {}


def main(argv: list[str] | None = None) -> int:
    """Make the report of a run folder again; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lnn_ros.learning.report",
                                     description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="a run folder, as lnn_ros demo leaves it")
    parser.add_argument("--no-video", action="store_true", help="leave out the film and the still")
    args = parser.parse_args(argv)
    try:
        summary = make_report(args.folder, video=not args.no_video,
                              progress=lambda text: print(text, file=sys.stderr))
    except LnnError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(summary, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
