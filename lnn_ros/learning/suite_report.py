"""A suite's results as tables in markdown and as a plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lnn_ros.learning.suite import FEEDFORWARD, POLICY
from lnn_ros.learning.trials import CONTROLS
from lnn_ros.learning.variety import SEEN, UNSEEN_FAMILY, UNSEEN_STRENGTH
from lnn_ros.simulation.conditions import CONDITIONS, NOMINAL
from lnn_ros.simulation.shifts import KINDS

MEMORY = 0.15
"""A row needs memory if a policy without one loses at least this there."""
EFFECT = 0.05
"""A row without effect costs no baseline this much."""
GOALS = {SEEN: 0.88, UNSEEN_STRENGTH: 0.88, UNSEEN_FAMILY: 0.80}
"""Least lower bound of the policy's rate, by what it was taught of the row."""
ROW_GOALS = {NOMINAL: 0.95, "behind": 0.75}
_NO_BASELINES = (POLICY, *CONTROLS)


def _points(difference: tuple[float, float, float] | None) -> str:
    if difference is None:
        return "-"
    mean, low, high = (100 * value for value in difference)
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def goal(row: str, exposure: str) -> float:
    """Lower bound that the policy is to reach in a row."""
    return ROW_GOALS.get(row, GOALS.get(exposure, GOALS[UNSEEN_FAMILY]))


def about(row: str, strengths: Mapping[str, float]) -> str:
    """What a row is, in a few words."""
    if row in CONDITIONS:
        return CONDITIONS[row].about
    name, _, strength = row.partition(":")
    if name not in KINDS:
        return row
    return f"{name} {strength or format(strengths[name], 'g')}"


def tables(result: Mapping[str, Any]) -> str:
    """Render the rates with their differences to nominal, then what the policy gains on others."""
    rows, strengths = result["rows"], result["settings"]["strengths"]
    names = list(dict.fromkeys(name for row in rows.values() for name in row["agents"]))
    names.sort(key=lambda name: name != POLICY)
    heads = [f"{name}, % | minus nominal" for name in names]
    lines = [f"| shift | taught | worlds | {' | '.join(heads)} | goal |",
             f"|{' --- |' * (4 + 2 * len(names))}"]
    for key, row in rows.items():
        cells = []
        for name in names:
            cell = row["agents"].get(name)
            if cell is None:
                cells.append("- | -")
                continue
            low, high = cell["interval"]
            cells.append(f"{100 * cell['rate']:.1f} ({100 * low:.1f} to {100 * high:.1f}) "
                         f"| {_points(cell.get('minus_nominal'))}")
        worlds = max(cell["flights"] for cell in row["agents"].values())
        lines.append(f"| {about(key, strengths)} | {row['exposure']} | {worlds} | "
                     f"{' | '.join(cells)} | {_reached(key, row)} |")
    others = [name for name in names if name != POLICY]
    if others:
        lines += ["", f"| policy minus, points (p after Holm) | {' | '.join(others)} |"]
        lines.append(f"|{' --- |' * (1 + len(others))}")
        for key, row in rows.items():
            gains = (_gain(row["agents"].get(name, {})) for name in others)
            lines.append(f"| {about(key, strengths)} | {' | '.join(gains)} |")
    lines += ["", *_measures(rows, strengths), "", *_verdicts(rows)]
    return "\n".join(lines)


def _reached(key: str, row: Mapping[str, Any]) -> str:
    least = goal(key, row["exposure"])
    cell = row["agents"].get(POLICY)
    if cell is None:
        return "-"
    return f"{100 * least:.0f}: {'reached' if cell['interval'][0] >= least else 'missed'}"


def _gain(cell: Mapping[str, Any]) -> str:
    said = _points(cell.get("policy_minus_this"))
    return said if "p_holm" not in cell else f"{said}, p {cell['p_holm']:.2g}"


def _measures(rows: Mapping[str, Any], strengths: Mapping[str, float]) -> list[str]:
    """Return the continuous measures of the policy's arrivals, as a table."""
    lines = ["| policy, arrivals | seconds | clearance, m | way over the teacher's |",
             "| --- | --- | --- | --- |"]
    for key, row in rows.items():
        cell = row["agents"].get(POLICY, {})
        cells = (format(cell[name], ".2f") if cell.get(name) is not None else "-"
                 for name in ("mean_seconds", "clearance", "path_over_teacher"))
        lines.append(f"| {about(key, strengths)} | {' | '.join(cells)} |")
    return lines


def lost(rows: Mapping[str, Any], name: str) -> dict[str, float]:
    """Share of arrivals that an agent loses in each row, free of rounding's last digits."""
    cells = {key: row["agents"].get(name, {}).get("minus_nominal") for key, row in rows.items()}
    return {key: round(-d[0], 9) for key, d in cells.items() if d is not None}


def _verdicts(rows: Mapping[str, Any]) -> list[str]:
    """Say which rows miss their goal, which need memory, and which have no effect."""
    missed = [key for key, row in rows.items() if _reached(key, row).endswith("missed")]
    lines = [f"Goal missed: {', '.join(missed) or 'none'}."]
    names = {name for row in rows.values() for name in row["agents"]} - set(_NO_BASELINES)
    if FEEDFORWARD in names:
        said = [key for key, share in lost(rows, FEEDFORWARD).items() if share >= MEMORY]
        lines.append(f"Need memory (feedforward loses {100 * MEMORY:.0f} points or more): "
                     f"{', '.join(said) or 'none'}.")
    losses = [lost(rows, name) for name in sorted(names)]
    still = [key for key in rows if any(key in loss for loss in losses)
             and all(loss.get(key, 0.0) < EFFECT for loss in losses)]
    if losses:
        lines.append(f"Without effect (costs no baseline {100 * EFFECT:.0f} points): "
                     f"{', '.join(still) or 'none'}.")
    return lines


def plot(result: Mapping[str, Any], file: Path, goals: bool = True) -> None:
    """Draw the rates of all agents by row, with their intervals, and the policy's goals."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows, strengths = result["rows"], result["settings"]["strengths"]
    names = list(dict.fromkeys(name for row in rows.values() for name in row["agents"]))
    names.sort(key=lambda name: name != POLICY)
    figure, axes = plt.subplots(figsize=(8.0, 1.2 + max(0.3, 0.09 * len(names)) * len(rows)))
    for k, name in enumerate(names):
        places, rates, low, high = [], [], [], []
        for at, row in enumerate(rows.values()):
            cell = row["agents"].get(name)
            if cell is not None:
                places.append(at + 0.7 * ((k + 0.5) / len(names) - 0.5))
                rates.append(100 * cell["rate"])
                low.append(100 * (cell["rate"] - cell["interval"][0]))
                high.append(100 * (cell["interval"][1] - cell["rate"]))
        axes.errorbar(rates, places, xerr=(low, high), fmt="o", markersize=4 if k else 6,
                      linewidth=1.0, color=f"C{k}" if k < 10 else "black", label=name)
    for at, (key, row) in enumerate(rows.items()):
        if goals:
            least = 100 * goal(key, row["exposure"])
            axes.plot([least, least], [at - 0.4, at + 0.4], color="0.6", linewidth=1.0, zorder=0)
        if at % 2:
            axes.axhspan(at - 0.5, at + 0.5, color="0.95", zorder=-1)
    axes.set_yticks(range(len(rows)), [about(key, strengths) for key in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0.0, 102.0)
    grey = "\ngrey: the policy's goal for the lower end" if goals else ""
    axes.set_xlabel(f"arrived, %, with 95 % intervals{grey}")
    # Above: inside it would cover what it explains.
    axes.legend(loc="lower center", bbox_to_anchor=(0.3, 1.0), ncols=4, fontsize=8)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    plt.close(figure)
