"""A policy, and what stands beside it, under every shift of a suite: flown once, kept, summed up.

The rows of a suite are shifts as ``lnn_ros evaluate --shift`` takes them, the columns agents: the
policy, its controls, and peers, which are other checkpoints. All fly through the same worlds with
the same noise and wind, so that differences are paired by world (bootstrap over the worlds): to the
nominal row of the same column, and to the policy's column in the same row.

Worlds are flown in runs of a few, all rows and columns of these worlds before the next. So what has
been flown at any time is a whole table over fewer worlds. A file keeps it after every run, and the
same command goes on from there. It holds every flight: of a run's worlds, in order, the outcomes
(first letters), seconds, distances to the target (m), clearances (m) and lengths of the way (m);
for an interruption, the seconds at which it began, "-" where it did not.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lnn_ros.errors import LnnError
from lnn_ros.learning.executors import Executor
from lnn_ros.learning.jobs import provenance
from lnn_ros.learning.results import locked, stored, write
from lnn_ros.learning.statistics import bootstrap_difference, holm, mcnemar
from lnn_ros.learning.trials import Trial, summarise, try_once
from lnn_ros.learning.variety import exposure, on_card
from lnn_ros.liquid.checkpoint import load
from lnn_ros.simulation.conditions import CONDITIONS, NOMINAL, shifted
from lnn_ros.simulation.shifts import KINDS
from lnn_ros.simulation.simulator import Outcome
from lnn_ros.simulation.task import Task

POLICY, FEEDFORWARD, TEACHER = "policy", "feedforward", "teacher"
_SLOW = ("camera_2hz", "camera_3hz")
"""Slower than any policy is taught: rows of benchmark/architectures.py, not of the suites."""
_TIMING = tuple(name for name in CONDITIONS if name not in _SLOW)
SUITES: dict[str, tuple[str, ...]] = {
    "timing": _TIMING,
    "robustness": (NOMINAL, *KINDS, *(name for name in _TIMING if name != NOMINAL)),
}
"""Rows by the suite's name. Families of shifts are at their task's standard strengths; ``rows_of``
leaves out those that have none there."""
WORLDS_PER_RUN = 20
_OUTCOMES = {outcome.value[0]: outcome.value for outcome in Outcome}


@dataclass(frozen=True)
class Column:
    """An agent: what ``Trial`` calls ``agent`` and ``policy``, and the digest of its weights."""

    agent: str
    policy: str
    weights: str


@dataclass(frozen=True)
class Run:
    """One agent under one shift through a few worlds."""

    row: str
    name: str
    column: Column
    seeds: range
    task: str

    @property
    def key(self) -> str:
        """Name in the file."""
        return f"{self.row}/{self.name}/{self.seeds.start}"


def rows_of(suite: str, task: Task) -> tuple[str, ...]:
    """Return the rows of a suite for a task: of the families, those that mean something to it.

    Raises
    ------
    LnnError
        When a suite of shifts is asked for and the task states no strength of any.
    """
    rows, stated = SUITES[suite], task.shifts.stated
    if not stated and set(rows) & set(KINDS):
        raise LnnError(f"--suite {suite}: task {task.name} states no standard strengths, "
                       f"expected a section shifts in its file")
    return tuple(row for row in rows if row not in KINDS or row in stated)


def named_peers(texts: Sequence[str]) -> dict[str, str]:
    """Return peers by name, of ``NAME=FILE``.

    Raises
    ------
    LnnError
        When a text is none, or two have the same name.
    """
    peers: dict[str, str] = {}
    for text in texts:
        name, _, file = text.partition("=")
        if not name or not file or name in peers:
            raise LnnError(f"--peer {text!r} found, expected NAME=FILE with a name of its own")
        peers[name] = file
    return peers


def columns(policy: str, peers: Mapping[str, str], controls: Sequence[str]) -> dict[str, Column]:
    """Return the agents by name, the policy first.

    Raises
    ------
    LnnError
        When a file is no policy, or a peer has the name of another column.
    """
    digest = load(policy).weights_digest()
    found = {POLICY: Column(policy, policy, digest)}
    for name in controls:
        # Neither of them flies with weights.
        found[name] = Column(name, policy, "none" if name in ("expert", TEACHER) else digest)
    for name, file in peers.items():
        if name in found or "/" in name:
            raise LnnError(f"peer {name!r} found, expected a name of its own without a slash")
        found[name] = Column(file, file, load(file).weights_digest())
    return found


def fly_run(run: Run) -> dict[str, Any]:
    """Fly one run, and pack its flights."""
    started = time.process_time()
    flights = [try_once(Trial(seed, run.column.agent, run.column.policy, run.task, run.row))
               for seed in run.seeds]
    packed = {
        "weights": run.column.weights,
        "outcomes": "".join(f["outcome"][0] for f in flights),
        "seconds": " ".join(f"{f['seconds']:.2f}" for f in flights),
        "distances": " ".join(f"{f['distance']:.2f}" for f in flights),
        "clearances": " ".join(f"{f['clearance']:.2f}" for f in flights),
        "paths": " ".join(f"{f['path']:.1f}" for f in flights),
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    if any("interrupted" in f for f in flights):
        begun = (f.get("interrupted") for f in flights)
        packed["interrupted"] = " ".join("-" if b is None else f"{b:.2f}" for b in begun)
    return packed


def unpack(runs: Mapping[str, Any]) -> dict[str, dict[str, dict[int, dict[str, Any]]]]:
    """Return the stored flights: row, agent, world, as ``evaluate.try_once`` gives them."""
    table: dict[str, dict[str, dict[int, dict[str, Any]]]] = {}
    for key, run in runs.items():
        row, name, first = key.split("/")
        flights = table.setdefault(row, {}).setdefault(name, {})
        begun = run.get("interrupted", " ".join("-" for _ in run["outcomes"])).split()
        numbers = (run[k].split() for k in ("seconds", "distances", "clearances", "paths"))
        for seed, (letter, start, *values) in enumerate(
            zip(run["outcomes"], begun, *numbers, strict=True), int(first)
        ):
            seconds, distance, clearance, path = map(float, values)
            flights[seed] = {
                "outcome": _OUTCOMES[letter],
                "seconds": seconds,
                "distance": distance,
                "clearance": clearance,
                "path": path,
                "interrupted": None if start == "-" else float(start),
            }
    return table


Flights = Mapping[int, dict[str, Any]]


def _hits(a: Flights, b: Flights) -> tuple[list[bool], list[bool]]:
    """Whether each arrived, in the worlds that both flew."""
    worlds = sorted(a.keys() & b.keys())
    first, second = ([f[w]["outcome"] == Outcome.ARRIVED.value for w in worlds] for f in (a, b))
    return first, second


def _difference(a: Flights, b: Flights) -> tuple[float, float, float] | None:
    """Rate of a minus rate of b over the worlds that both flew, with its 95 % interval."""
    hits = _hits(a, b)
    return None if len(hits[0]) < 2 else bootstrap_difference(*hits)


def measures(flights: Flights, teacher: Flights) -> dict[str, float]:
    """Return means over arrivals: clearance, and the way's length over the teacher's own."""
    arrived = {w: f for w, f in flights.items() if f["outcome"] == Outcome.ARRIVED.value}
    found = {}
    if arrived:
        found["clearance"] = sum(f["clearance"] for f in arrived.values()) / len(arrived)
    both = [w for w in arrived if teacher.get(w, {}).get("outcome") == Outcome.ARRIVED.value]
    if both:
        ratios = [arrived[w]["path"] / max(teacher[w]["path"], 1e-9) for w in both]
        found["path_over_teacher"] = sum(ratios) / len(ratios)
    return found


def summary(runs: Mapping[str, Any], task: Task,
            training: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return, for every row, what its policy was taught of it, and every agent's counts.

    Parameters
    ----------
    runs : mapping
        As stored.
    task : Task
        Whose standard strengths were flown.
    training : mapping, optional
        What the policy's card says of its training: ``shifts`` and ``timing``, from and to.
    """
    families, timing = (on_card(training or {}, key) for key in ("shifts", "timing"))
    table = unpack(runs)
    rows: dict[str, Any] = {}
    order = [row for row in SUITES["robustness"] if row in table]
    for row in (*order, *(row for row in table if row not in order)):
        agents: dict[str, Any] = {}
        for name, flights in table[row].items():
            cell = agents[name] = summarise(list(flights.values()))
            cell.update(measures(flights, table[row].get(TEACHER, {})))
            begun = sum(f["interrupted"] is not None for f in flights.values())
            if begun:
                cell["interrupted"] = begun
            if row != NOMINAL:
                nominal = table.get(NOMINAL, {}).get(name, {})
                cell["minus_nominal"] = _difference(flights, nominal)
            if name != POLICY:
                own = table[row].get(POLICY, {})
                cell["policy_minus_this"] = _difference(own, flights)
                cell["p"] = mcnemar(*_hits(own, flights))
        rows[row] = {"exposure": exposure(row, task, families or {}, timing), "agents": agents}
    # As many questions as rows are asked of each pair of columns.
    for name in {name for row in rows.values() for name in row["agents"]} - {POLICY}:
        cells = [row["agents"][name] for row in rows.values() if name in row["agents"]]
        for cell, p in zip(cells, holm([cell["p"] for cell in cells]), strict=True):
            cell["p_holm"] = p
    return rows


def fly_suite(suite: Sequence[str], agents: Mapping[str, Column], seeds: range, task: str,
              executor: Executor, file: Path | None, command: str = "") -> dict[str, Any]:
    """Fly what is not stored yet.

    Parameters
    ----------
    suite : sequence of str
        Rows.
    agents : mapping
        Columns, by name.
    seeds : range
        Worlds.
    task : str
        Name of the task, or path of its file.
    executor : Executor
        Who flies.
    file : Path, optional
        What is flown is kept here after every run, and what it holds is not flown again.
    command : str
        What is said to have made it; by default this process's ``lnn_ros``.

    Returns
    -------
    dict
        As in the file: ``rows`` sums up ``runs``.

    Raises
    ------
    LnnError
        When a row is no shift, or the file holds flights of other settings or weights, or another
        suite writes to it.
    """
    made = Task.load(task)
    for row in suite:
        shifted(row, task=made)
    settings = {"task": task, "seeds": [seeds.start, seeds.stop], "worlds_per_run": WORLDS_PER_RUN,
                "strengths": made.shifts.stated}
    header = provenance(command or " ".join(["lnn_ros", *sys.argv[1:]]))
    training = load(agents[POLICY].policy).card["training"]
    jobs = [Run(row, name, column, range(at, min(at + WORLDS_PER_RUN, seeds.stop)), task)
            for at in seeds[::WORLDS_PER_RUN] for row in suite for name, column in agents.items()]

    def result(runs: Mapping[str, Any]) -> dict[str, Any]:
        return {**header, "settings": settings,
                "agents": {name: column.weights for name, column in agents.items()},
                "rows": summary(runs, made, training), "runs": dict(sorted(runs.items()))}

    with locked(file):
        runs = stored(file, settings, "flights of a suite")
        for key, before in runs.items():
            name = key.split("/")[1]
            if name in agents and before["weights"] != agents[name].weights:
                raise LnnError(f"{file}: {name} flew with the weights {before['weights'][:16]}, "
                               f"expected {agents[name].weights[:16]}: name another file")
        left = [job for job in jobs if job.key not in runs]
        started = time.monotonic()
        for done, (job, flown) in enumerate(zip(left, executor.run(fly_run, left), strict=True), 1):
            # A file may be gone on with from another commit: each run names its own.
            runs[job.key] = {"commit": header["commit"], **flown}
            if file:
                write(file, result(runs))
            passed = time.monotonic() - started
            sys.stderr.write(f"{done}/{len(left)} {job.key}: {flown['outcomes'].count('a')} of "
                             f"{len(job.seeds)} arrived, {passed / 60:.0f} min, about "
                             f"{(len(left) - done) * passed / done / 60:.0f} left\n")
    return result(runs)
