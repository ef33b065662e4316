"""The architecture study at a tiny scale: it runs to its end, goes on after a kill, adds up."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lnn_ros.errors import LnnError
from lnn_ros.learning.architecture import camera_card, make_policy
from lnn_ros.learning.flights import find_flights
from lnn_ros.learning.statistics import holm, trained_difference, wilson
from lnn_ros.liquid.checkpoint import Checkpoint, load, save, streams
from lnn_ros.liquid.torch_policy import TorchPolicy
from lnn_ros.simulation.conditions import CONDITIONS
from lnn_ros.simulation.seeds import REPORTED, TRAIN, VALIDATION
from lnn_ros.simulation.shifts import KINDS
from lnn_ros.simulation.task import Task

ROOT = Path(__file__).resolve().parents[1]
ROWS = ("drop_50", "dirt")
NAMED = ["--data", "d", "--encoder", "e", "--out", "o", "--json", "j"]


def module(name: str) -> ModuleType:
    sys.path.insert(0, str(ROOT / "benchmark"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "benchmark"))


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmark")
    monkeypatch.syspath_prepend(ROOT / "test" / "learning")
    return module("architectures")


@pytest.fixture
def given(study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two cells, four made-up flights of a teacher, two worlds of a second each."""
    from flights_for_tests import arrays, write
    from flyers import small_task

    monkeypatch.setattr(study, "SHIFTS", ROWS)
    monkeypatch.setattr(study, "CAMERA", ())
    task = small_task(tmp_path, 1.0)
    spec, wiring = make_policy("flow", Task.load(task), 3)
    card = {"name": "small", "streams": streams(spec), "camera": camera_card(Task.load(task)),
            "task": "small", "training": {}, "evaluation": {}}  # fmt: skip
    encoder = tmp_path / "encoder.safetensors"
    save(encoder, Checkpoint(spec, TorchPolicy(spec, wiring, 3).arrays(), card))
    (tmp_path / "data" / "round_0").mkdir(parents=True)
    for seed in range(4):
        write(tmp_path / "data" / "round_0" / f"{seed:06d}", arrays(seed=seed, seconds=2.0), seed)
    return ["--data", str(tmp_path / "data"), "--encoder", str(encoder), "--out",
            str(tmp_path / "out"), "--json", str(tmp_path / "found" / "study.json"), "--task", task,
            "--cells", "flow,gru", "--pool-rounds", "1", "--pool-flights", "1", "--validation",
            "2", "--trials", "2", "--trial-epochs", "1", "--epochs", "1", "--seeds", "2",
            "--labels", "2,5", "--worlds", "2"]  # fmt: skip


def result(given: list[str]) -> dict[str, Any]:
    return dict(json.loads(Path(given[given.index("--json") + 1]).read_text()))


class Killed(BaseException):
    """What no job catches."""


def test_the_study_runs_to_its_end_after_kills_and_then_does_nothing_again(
    study: ModuleType, given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole, done = study.do, []

    def until(key: str) -> None:
        def do(job: Any) -> Any:
            if job.key == key:
                raise Killed
            done.append(job.key)
            return whole(job)

        monkeypatch.setattr(study, "do", do)

    for key in ("pool 1/gru/0", "search/gru/1", "train/flow/1", "labels/gru/5/0"):
        until(key)
        with pytest.raises(Killed):
            study.main(given)
        assert set(result(given)["runs"]) == set(done), "what was done is in the file"
    until("")
    assert study.main(given) == 0
    assert len(set(done)) == len(done), "nothing is done twice"
    found = result(given)
    assert set(found["runs"]) == set(done)
    assert {"command", "commit", "machine", "python", "settings"} <= found.keys()
    assert all(run["commit"] for run in found["runs"].values())

    check_data(found, tmp_path)
    check_choices(found)
    check_tables(found, capsys.readouterr().out)
    assert Path(given[7]).with_suffix(".md").read_text() == f"{study.report.tables(found)}\n"
    assert Path(given[7]).with_suffix(".png").read_bytes().startswith(b"\x89PNG")

    until("nothing")
    done.clear()
    assert study.main(given) == 0
    assert not done and result(given)["rows"] == found["rows"]
    check_guards(study, given, tmp_path, capsys)


def check_data(found: dict[str, Any], tmp_path: Path) -> None:
    """All learn from the teacher's flights and from one of each student."""
    runs = found["runs"]
    pooled = sorted(bag.name for bag in find_flights(tmp_path / "out" / "round_1"))
    assert len(pooled) == 2 and runs["see/-/0"]["flights"] == 4 and runs["see/-/1"]["flights"] == 2
    flown = [seed for key, run in runs.items() if key.startswith("pool") for seed in run["seeds"]]
    assert pooled == sorted(f"{seed:06d}" for seed in flown)
    assert all(seed in TRAIN for seed in flown)
    assert all(seed in VALIDATION for seed in runs["validation/teacher/0"]["seeds"])
    learned = {key: run["flights"] for key, run in runs.items()
               if key.startswith(("student", "search", "train", "labels"))}  # fmt: skip
    expected = {"student 1": 4, "search": 6, "train": 6}
    for key, count in learned.items():
        step, _, name, *_ = key.split("/")
        assert count == (int(name) if step == "labels" else expected[step])


def check_choices(found: dict[str, Any]) -> None:
    """What is trained is the best of the trials, with cores of one size and the same encoder."""
    runs = found["runs"]
    for cell in ("flow", "gru"):
        trials = [runs[f"search/{cell}/{k}"] for k in range(2)]
        best = min(trials, key=lambda run: run["loss"])["choice"]
        assert {trial["choice"]["build"] for trial in trials} == {"ncp", "dense"}
        trained = [run for key, run in runs.items() if key.startswith((f"train/{cell}",
                                                                       f"labels/{cell}"))]
        assert len(trained) == 6 and all(run["choice"] == best for run in trained)
        assert all(abs(run["core_parameters"] / 6000 - 1) <= 0.05 for run in trained)
        assert len({run["weights"] for run in trained}) == 6
        for run in trained:
            policy = load(run["file"])
            assert policy.weights_digest() == run["weights"]
        assert found["cells"][cell]["choice"] == best
    one, other = (load(runs[f"train/{cell}/0"]["file"]) for cell in ("flow", "gru"))
    for name, array in one.arrays.items():
        if name.startswith("encoder."):
            assert np.array_equal(array, other.arrays[name]), "it stayed as it was"
    # Six flights of which five are used are gone through 6 / 5 times as often, two three times.
    epochs = {key.split("/")[2]: run["epochs"] for key, run in runs.items()
              if key.startswith("labels/")}  # fmt: skip
    assert {"2": 3, "5": 2}.items() <= epochs.items()


def check_tables(found: dict[str, Any], said: str) -> None:
    """All was flown, by all, in the same reported worlds, and counted."""
    flown = {tuple(key.split("/")[1:4]) for key in found["runs"] if key.startswith("fly/")}
    rows = ("nominal", *ROWS)
    policies = [("teacher", "0"), *((cell, s) for cell in ("flow", "gru") for s in ("0", "1"))]
    assert flown == {(*policy, row) for policy in policies for row in rows}
    firsts = {int(key.split("/")[-1]) for key in found["runs"] if key.startswith("fly")}
    assert len(firsts) == 1 and firsts <= {*REPORTED}
    assert list(found["rows"]) == list(rows) and list(found["labels"]) == ["2", "5"]
    for words in ("| drop_50 |", "| minus flow, points", "| flights to learn from | flow | gru |",
                  "| cell | core parameters |", "| step | jobs | done |", "CPU hours"):
        assert words.replace("drop_50", "50 % of frames dropped") in said
    spent = sum(run["cpu_seconds"] for key, run in found["runs"].items()
                if key.split("/")[1] == "flow") / 3600
    assert found["cells"]["flow"]["cpu_hours"]["all"] == pytest.approx(spent)
    assert all(step["done"] == step["jobs"] and step["left"] == 0 for step in found["budget"])


def check_guards(study: ModuleType, given: list[str], tmp_path: Path,
                 capsys: pytest.CaptureFixture[str]) -> None:
    """Other settings do not mix; policies that were changed are not flown."""
    assert study.main([*given, "--epochs", "2"]) == 2
    assert "made with epochs 1, expected 2" in capsys.readouterr().err
    save(tmp_path / "out" / "policies" / "flow_0.safetensors",
         load(tmp_path / "out" / "policies" / "flow_1.safetensors"))
    assert study.main(given) == 2
    assert "of train/flow/0: take that run out of the JSON" in capsys.readouterr().err


def test_a_job_that_fails_is_told_and_ends_the_study_behind_its_step(
    study: ModuleType, given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    jobs, learn = module("study.jobs"), module("study.jobs").learn

    def break_gru(trainer: Any, *rest: Any) -> None:
        if trainer.policy.spec.core.kind == "gru":
            raise RuntimeError("no room")
        learn(trainer, *rest)

    monkeypatch.setattr(jobs, "learn", break_gru)
    assert study.main(given) == 1
    assert set(result(given)["runs"]) == {"see/-/0", "student 1/flow/0"}
    out = capsys.readouterr()
    assert "student 1/gru/0 failed: RuntimeError: no room" in out.err
    assert "| student 1 | 2 | 1 |" in out.out
    assert study.main([*given, "--budget"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "| search | 4 | 0 | 0.00 | 0.0" in "\n".join(lines), "estimated by what is done"
    assert lines[-1].startswith("| all | ") and lines[-1].endswith("| unknown |")
    assert study.main([*given, "--labels", "2,7", "--json", str(tmp_path / "other.json")]) == 2
    assert "--labels 7 found, expected at most 6" in capsys.readouterr().err
    assert study.main([*given, "--cells", "flow,brain"]) == 2
    assert "--cells: 'brain' found, expected some of flow" in capsys.readouterr().err


def test_tables_are_of_the_flights_that_all_have_flown(study: ModuleType) -> None:
    """Made-up flights: of the second part of the worlds, one cell's lack."""
    plan, report = module("study.plan"), module("study.report")
    whole = study.study_of(study.parse([*NAMED, "--cells", "flow,gru,feedforward", "--labels",
                                        "25"]))  # fmt: skip
    rng, runs, hits = np.random.default_rng(0), {}, {}
    runs["see/-/0"] = {"flights": 400, "shifts": {"dirt": (0.1, 0.2)}, "cpu_seconds": 1.0}
    steps = plan.steps(whole, runs)
    chances = {"flow": 0.9, "gru": 0.8, "feedforward": 0.6, "teacher": 0.95}
    for job in [*steps["fly"], *steps["fly labels"]]:
        drawn = rng.random(len(job.run.seeds)) < chances[job.cell]
        hits[job.key] = drawn.tolist()
        ones = " ".join(["1.0"] * len(drawn))
        runs[job.key] = {"outcomes": "".join("a" if hit else "c" for hit in drawn),
                         "seconds": ones, "distances": ones, "clearances": ones, "paths": ones,
                         "weights": "w", "cpu_seconds": 36.0}  # fmt: skip
    first = REPORTED.start
    missing = f"fly/gru/1/dirt/{first + 20}"
    for key in [missing, *(f"fly/flow/0/nominal/{first + at}" for at in (40, 60, 80))]:
        del runs[key]
    found = report.rows(whole, runs)

    def matrix(cell: str, row: str) -> list[list[bool]]:
        return [hits[f"fly/{cell}/{seed}/{row}/{first}"] for seed in range(3)]

    assert list(found) == ["nominal", *study.SHIFTS, *study.CAMERA]
    for row, entry in found.items():
        for cell in whole.cells:
            shown, count = entry["agents"][cell], int(np.sum(matrix(cell, row)))
            assert (shown["arrived"], shown["flights"]) == (count, 60), "20 worlds, 3 seeds"
            assert shown["interval"] == list(wilson(count, 60)) and shown["clearance"] == 1.0
            if cell != "flow":
                expected = trained_difference(matrix(cell, row), matrix("flow", row))
                assert [*shown["minus_flow"], shown["p"]] == list(expected)
        assert entry["agents"]["teacher"]["flights"] == 20
    for cell in ("gru", "feedforward"):
        cells = [entry["agents"][cell] for entry in found.values()]
        assert [one["p_holm"] for one in cells] == holm([one["p"] for one in cells])
    said = {row: entry["exposure"] for row, entry in found.items()}
    assert said["dirt"] == "unseen strength" and said["camera_2hz"] == "unseen strength"
    assert said["drop_50"] == "seen" and said["behind"] == "unseen family"
    of_labels = report.labels(whole, runs)["25"]
    assert of_labels["gru"]["flights"] == 300 and of_labels["gru"]["rate"] == pytest.approx(
        np.mean([hit for key, h in hits.items() if key.startswith("fly labels/gru") for hit in h]))
    hours = report.cells(whole, runs)["feedforward"]["cpu_hours"]
    assert hours["fly"] == pytest.approx(150 * 0.01) and hours["all"] > hours["fly"]
    steps = {step["step"]: step for step in report.budget(plan.steps(whole, runs), runs)}
    assert steps["fly"]["jobs"] - steps["fly"]["done"] == 4 and steps["train"]["left"] is None
    assert steps["fly"]["left"] == pytest.approx(0.04), "as long as those that are done"
    result = {"settings": {"cells": whole.cells, "seeds": 3,
                           "strengths": Task.load("fly_to_target").shifts.stated},
              "rows": found, "labels": {"25": of_labels}, "cells": report.cells(whole, runs),
              "budget": list(steps.values())}
    loses = {row for row in found if found["nominal"]["agents"]["feedforward"]["rate"]
             - found[row]["agents"]["feedforward"]["rate"] >= 0.15 - 1e-9}
    lines = report.tables(result).splitlines()
    assert sum("(memory)" in line and line.startswith("|") for line in lines) == len(loses)
    assert "Worlds: 20; seeds of training of each cell: 3." in report.tables(result)


@pytest.mark.parametrize("seed", [0, 2])
def test_all_cores_have_as_many_parameters_however_they_are_built(seed: int) -> None:
    cells = module("study.cells")
    for cell in cells.CELLS:
        for build in cells.builds(cell):
            spec, wiring = cells.make(cell, cells.Choice(build), 6000, "fly_to_target", seed)
            here = spec.core.learnable(wiring.masks())
            assert abs(here / 6000 - 1) <= cells.TOLERANCE, (cell, build)
            assert spec.count() <= 30_000
    with pytest.raises(LnnError, match="cell transformer built as one_block: 2816 parameters"):
        cells.make("transformer", cells.Choice("one_block"), 3000, "fly_to_target", 0)


def test_only_cells_that_are_told_it_know_the_time() -> None:
    cells = module("study.cells")
    told = {cell: cells.make(cell, cells.usual(cell), 6000, "fly_to_target", 0)[0].step is None
            for cell in cells.CELLS}  # fmt: skip
    assert [cell for cell, knows in told.items() if not knows] == ["gru"]


def test_trials_are_drawn_alike_again_and_differ() -> None:
    cells = module("study.cells")
    for cell in cells.CELLS:
        drawn = [cells.drawn(cell, number) for number in range(6)]
        assert drawn == [cells.drawn(cell, number) for number in range(6)]
        assert len({choice.rate for choice in drawn}) == 6
        assert [choice.build for choice in drawn] == [*cells.builds(cell)] * 3


def test_seven_shifts_are_named_and_seeds_are_disjoint(study: ModuleType) -> None:
    plan = module("study.plan")
    assert len(set(study.SHIFTS)) == 7 and {*study.SHIFTS} <= {*KINDS, *CONDITIONS}
    assert set(study.CAMERA) <= set(CONDITIONS)
    whole = study.study_of(study.parse(NAMED))
    jobs = plan.steps(whole, {})
    pool = [e.seed for name in ("pool 1", "pool 2") for job in jobs[name] for e in job.episodes]
    assert len(pool) == len(set(pool)) == 400 and all(seed in TRAIN for seed in pool)
    judging = [e.seed for job in jobs["validation"] for e in job.episodes]
    assert len(judging) == 40 and all(seed in VALIDATION for seed in judging)
    assert len(jobs["search"]) == 60 and len(jobs["train"]) == 30 and len(jobs["labels"]) == 150
    flown = jobs["fly"]
    assert sum(job.units for job in flown) == 10 * 100 * (10 * 3 + 1)
    assert all(seed in REPORTED for job in flown for seed in job.run.seeds)
    keys = [job.key for step in jobs.values() for job in step]
    assert len(keys) == len(set(keys))


def test_worlds_follow_from_all_policies(study: ModuleType) -> None:
    plan = module("study.plan")
    whole = study.study_of(study.parse([*NAMED, "--cells", "flow", "--seeds", "2"]))
    runs = {f"train/flow/{seed}": {"weights": f"{seed}"} for seed in (0, 1)}
    seen = plan.worlds(whole, runs)
    assert len(seen) == 100 and seen[0] in REPORTED and seen[-1] in REPORTED
    assert seen == plan.worlds(whole, dict(reversed(runs.items())))
    assert seen != plan.worlds(whole, {**runs, "train/flow/1": {"weights": "2"}})
