"""The study's results as numbers, as tables in markdown, and what it has cost and will cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lnn_ros.learning.statistics import holm, trained_difference, wilson
from lnn_ros.learning.suite import measures, unpack
from lnn_ros.learning.suite_report import MEMORY, about
from lnn_ros.learning.trials import summarise
from lnn_ros.learning.variety import exposure
from lnn_ros.simulation.conditions import NOMINAL
from lnn_ros.simulation.simulator import Outcome
from lnn_ros.simulation.task import Task
from study.jobs import Job
from study.plan import TEACHER, Runs, Study, steps

BASE, FEEDFORWARD = "flow", "feedforward"
RATES = {"camera_2hz": "2", "camera_3hz": "3", "camera_4hz": "4", NOMINAL: "20"}
SHOWN = ("search", "train", "fly", "all")
"""Steps whose CPU hours have a column; ``all`` holds the others, too."""
Flights = Mapping[int, dict[str, Any]]
Table = Mapping[str, Mapping[str, Flights]]


def _flown(runs: Runs, step: str) -> Table:
    """Return the flights of a step: row, cell@policy, world."""
    found = {}
    for key, run in runs.items():
        if key.startswith(f"{step}/"):
            _, cell, name, row, first = key.split("/")
            found[f"{row}/{cell}@{name}/{first}"] = run
    return unpack(found)


def _hits(table: Table, row: str, cell: str, names: Sequence[str],
          worlds: Sequence[int]) -> np.ndarray:
    """Return which policies arrived in which worlds, (policies, worlds)."""
    flights = [table[row][f"{cell}@{name}"] for name in names]
    return np.array([[f[w]["outcome"] == Outcome.ARRIVED.value for w in worlds] for f in flights])


def _common(table: Table, wanted: Sequence[tuple[str, str]]) -> list[int]:
    """Return the worlds in which everything that is wanted was flown: row, and cell@policy."""
    flown = [table.get(row, {}).get(name, {}).keys() for row, name in wanted]
    return sorted(set.intersection(*map(set, flown))) if flown else []


def rows(study: Study, runs: Runs) -> dict[str, Any]:
    """Return every row: what was taught of it, and every cell's flights over seeds and worlds.

    In the worlds in which all cells were flown with all seeds under all rows; empty before there
    is one.
    """
    table, seeds = _flown(runs, "fly"), [str(seed) for seed in range(study.seeds)]
    names = [f"{TEACHER}@0", *(f"{cell}@{seed}" for cell in study.cells for seed in seeds)]
    worlds = _common(table, [(row, name) for row in study.rows for name in names])
    if not worlds:
        return {}
    task, found = Task.load(study.given.task), {}
    for row in study.rows:
        here = {name: {w: table[row][name][w] for w in worlds} for name in names}
        agents = {}
        for cell in (TEACHER, *study.cells):
            mine = ["0"] if cell == TEACHER else seeds
            flights = [here[f"{cell}@{seed}"] for seed in mine]
            agents[cell] = {**summarise([f for each in flights for f in each.values()]),
                            **_means([measures(each, here[f"{TEACHER}@0"]) for each in flights])}
            if cell not in (TEACHER, BASE) and BASE in study.cells:
                mean, low, high, p = trained_difference(
                    *(_hits(table, row, one, seeds, worlds) for one in (cell, BASE)))
                agents[cell] |= {"minus_flow": [mean, low, high], "p": p}
        found[row] = {"exposure": exposure(row, task, _taught(runs)), "agents": agents}
    for cell in study.cells:
        asked = [row["agents"][cell] for row in found.values() if "p" in row["agents"][cell]]
        for one, p in zip(asked, holm([one["p"] for one in asked]), strict=True):
            one["p_holm"] = p
    return found


def _means(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the means over seeds of what was measured of each."""
    names = sorted({name for one in measured for name in one})
    return {name: float(np.mean([one[name] for one in measured if name in one])) for name in names}


def _taught(runs: Runs) -> dict[str, tuple[float, float]]:
    """Return the families of shifts in the flights that were learned from, from and to."""
    found: dict[str, list[float]] = defaultdict(list)
    for key, run in runs.items():
        if key.startswith("see/") and not key.endswith("/validation"):
            for name, ends in run["shifts"].items():
                found[name] += ends
    return {name: (min(ends), max(ends)) for name, ends in found.items()}


def labels(study: Study, runs: Runs) -> dict[str, Any]:
    """Return every cell's arrivals, nominal, by the number of flights that it learned from."""
    table, found = _flown(runs, "fly labels"), {}
    seeds = range(study.seeds)
    wanted = [(NOMINAL, f"{cell}@{size}@{seed}")
              for cell in study.cells for size in study.labels for seed in seeds]
    worlds = _common(table, wanted)
    for size in study.labels if worlds else ():
        names = [f"{size}@{seed}" for seed in seeds]
        hits = {cell: _hits(table, NOMINAL, cell, names, worlds) for cell in study.cells}
        found[str(size)] = {cell: {
            "arrived": int(h.sum()), "flights": int(h.size), "rate": float(h.mean()),
            "interval": list(wilson(int(h.sum()), int(h.size))),
            **({"minus_flow": list(trained_difference(h, hits[BASE])[:3])}
               if cell != BASE and BASE in hits else {}),
        } for cell, h in hits.items()}  # fmt: skip
    return found


def cells(study: Study, runs: Runs) -> dict[str, Any]:
    """Return what each cell is, what was chosen for it, and the CPU hours that it took."""
    found = {}
    for cell in study.cells:
        trained = [run for key, run in runs.items() if key.startswith(f"train/{cell}/")]
        found[cell] = {
            "choice": trained[0]["choice"] if trained else None,
            "core_parameters": [run["core_parameters"] for run in trained],
            "parameters": [run["parameters"] for run in trained],
            "validation_loss": [run["loss"] for run in trained],
            "cpu_hours": _hours(runs, cell),
        }
    return found


def _hours(runs: Runs, cell: str) -> dict[str, float]:
    """CPU hours of a cell by step, and in all."""
    spent: dict[str, float] = defaultdict(float)
    for key, run in runs.items():
        step, whose, *_ = key.split("/")
        if whose == cell:
            spent[step.split(" ")[0] if step[-1].isdigit() else step] += run["cpu_seconds"] / 3600
    return {**spent, "all": sum(spent.values())}


def budget(planned: Mapping[str, Sequence[Job]], runs: Runs) -> list[dict[str, Any]]:
    """Return for each step its jobs, those done, and CPU hours: spent, and left by those done.

    A job is estimated by those that are done of its nature, of its own cell where there are any,
    by their CPU time a unit; None: there are none yet.
    """
    spent: dict[tuple[str, str], float] = defaultdict(float)
    units: dict[tuple[str, str], float] = defaultdict(float)
    for jobs in planned.values():
        for job in jobs:
            if job.key in runs:
                for cell in (_cell(job), ""):
                    spent[job.nature, cell] += runs[job.key]["cpu_seconds"]
                    units[job.nature, cell] += job.units

    def hours(job: Job) -> float | None:
        at = (job.nature, _cell(job))
        at = at if units[at] else (job.nature, "")
        return spent[at] / units[at] * job.units / 3600 if units[at] else None

    found = []
    for step, jobs in planned.items():
        left = [hours(job) for job in jobs if job.key not in runs]
        known = [h for h in left if h is not None]
        done = sum(runs[job.key]["cpu_seconds"] for job in jobs if job.key in runs) / 3600
        found.append({"step": step, "jobs": len(jobs), "done": len(jobs) - len(left),
                      "cpu_hours": done,
                      "left": sum(known) if len(known) == len(left) else None})
    return found


def summary(study: Study, runs: Runs) -> dict[str, Any]:
    """Return all that is made of the runs: what ``tables`` shows."""
    return {"rows": rows(study, runs), "labels": labels(study, runs), "cells": cells(study, runs),
            "budget": budget(steps(study, runs), runs)}


def _cell(job: Job) -> str:
    return job.key.split("/")[1]


def _budget_table(budgets: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| step | jobs | done | CPU hours | left, estimated |", "|---|---|---|---|---|"]
    names = ("jobs", "done", "cpu_hours", "left")
    whole = {"step": "all", **{name: _sum(one[name] for one in budgets) for name in names}}
    for row in [*budgets, whole]:
        left = "unknown" if row["left"] is None else f"{row['left']:.2f}"
        lines.append(f"| {row['step']} | {row['jobs']} | {row['done']} | {row['cpu_hours']:.2f} | "
                     f"{left} |")
    return "\n".join(lines)


def _sum(values: Any) -> Any:
    found = list(values)
    return None if None in found else sum(found)


def _rate(cell: Mapping[str, Any]) -> str:
    low, high = cell["interval"]
    return f"{100 * cell['rate']:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _difference(cell: Mapping[str, Any]) -> str:
    if "minus_flow" not in cell:
        return "-"
    mean, low, high = (100 * value for value in cell["minus_flow"])
    p = f", p {cell['p_holm']:.2g}" if "p_holm" in cell else ""
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f}){p}"


def tables(result: Mapping[str, Any]) -> str:
    """Render everything that there is."""
    settings, found = result["settings"], result["rows"]
    columns = settings["cells"]
    strengths = settings["strengths"]
    lines: list[str] = []
    if found:
        lines += _heading("arrived, %", ["taught", TEACHER, *columns])
        for key, row in found.items():
            said = about(key, strengths) + (" (memory)" if _needs_memory(found, key) else "")
            said_cells = (_rate(row["agents"][name]) for name in (TEACHER, *columns))
            lines.append(f"| {said} | {row['exposure']} | {' | '.join(said_cells)} |")
        worlds = found[NOMINAL]["agents"][TEACHER]["flights"]
        lines += ["", f"Worlds: {worlds}; seeds of training of each cell: {settings['seeds']}. "
                  f"(memory): feedforward loses {100 * MEMORY:.0f} points or more.", ""]
        others = [name for name in columns if name != BASE]
        if BASE in columns and others:
            lines += _heading(f"minus {BASE}, points (p after Holm)", others)
            for key, row in found.items():
                differences = " | ".join(_difference(row["agents"][name]) for name in others)
                lines.append(f"| {about(key, strengths)} | {differences} |")
            lines.append("")
        lines += _heading("camera, Hz", columns)
        for key, hertz in RATES.items():
            if key in found:
                rates = " | ".join(_rate(found[key]["agents"][name]) for name in columns)
                lines.append(f"| {hertz} | {rates} |")
        lines += ["", *_heading("nominal, arrivals", ["seconds", "clearance, m",
                                                      "way over the teacher's"])]
        for name in columns:
            cell = found[NOMINAL]["agents"][name]
            shown = (format(cell[m], ".2f") if cell.get(m) is not None else "-"
                     for m in ("mean_seconds", "clearance", "path_over_teacher"))
            lines.append(f"| {name} | {' | '.join(shown)} |")
        lines.append("")
    if result["labels"]:
        lines += _heading("flights to learn from", columns)
        for size, row in result["labels"].items():
            lines.append(f"| {size} | {' | '.join(_rate(row[name]) for name in columns)} |")
        lines.append("")
    return "\n".join([*lines, *_costs(result["cells"]), "", _budget_table(result["budget"])])


def _heading(first: str, columns: Sequence[str]) -> list[str]:
    return [f"| {first} | {' | '.join(columns)} |", f"|{' --- |' * (1 + len(columns))}"]


def _needs_memory(found: Mapping[str, Any], key: str) -> bool:
    rates = [found[row]["agents"].get(FEEDFORWARD, {}).get("rate") for row in (NOMINAL, key)]
    return None not in rates and rates[0] - rates[1] >= MEMORY - 1e-9


def _costs(cells: Mapping[str, Any]) -> list[str]:
    lines = _heading("cell", ["core parameters", "parameters", "built", "rate", "decay", "options",
                              "validation loss", *(f"{step}, CPU hours" for step in SHOWN)])
    for name, cell in cells.items():
        choice, hours = cell["choice"], cell["cpu_hours"]
        spent = " | ".join(f"{hours.get(step, 0.0):.2f}" for step in SHOWN)
        if choice is None:
            lines.append(f"| {name} | - | - | - | - | - | - | - | {spent} |")
            continue
        options = ", ".join(f"{key} {value:.3g}" for key, value in choice["options"].items())
        losses = ["-" if loss is None else f"{loss:.3f}" for loss in cell["validation_loss"]]
        lines.append(f"| {name} | {_ends(cell['core_parameters'])} | {_ends(cell['parameters'])} | "
                     f"{choice['build']} | {choice['rate']:.2g} | {choice['decay']:.2g} | "
                     f"{options or '-'} | {', '.join(losses)} | {spent} |")
    return lines


def _ends(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
