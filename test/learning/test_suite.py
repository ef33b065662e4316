"""A suite of shifts: paired worlds, flights that are kept and gone on with, tables of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flyers import small_policy, small_task

from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.learning import suite
from lnn_ros.learning.suite import unpack
from lnn_ros.learning.suite_report import tables
from lnn_ros.learning.trials import Trial, try_once
from lnn_ros.liquid.checkpoint import load
from lnn_ros.simulation.seeds import REPORTED, final_worlds
from lnn_ros.simulation.task import ShiftsTask, Task

TASK = Task.load("fly_to_target")
FIRST = 300_030
ROWS = "nominal,camera_4hz,blackout,dusk:0.5"


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A suite of three worlds, of which the last makes a run of its own."""
    monkeypatch.setattr(suite, "WORLDS_PER_RUN", 2)
    policy, task = small_policy(tmp_path), small_task(tmp_path, 1.5)
    return ["evaluate", "--suite", "robustness", "--policy", str(policy), "--task", task,
            "--seeds", f"{FIRST}:{FIRST + 3}", "--rows", ROWS,
            "--json", str(tmp_path / "t.json")]  # fmt: skip


def packed(outcomes: str, **more: Any) -> dict[str, Any]:
    ones = " ".join("1.00" for _ in outcomes)
    return {"weights": "w", "outcomes": outcomes, "seconds": ones, "distances": ones,
            "clearances": ones, "paths": ones, **more}  # fmt: skip


def test_every_flight_is_stored_and_is_that_of_evaluate(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = small_policy(tmp_path, "feedforward")
    assert main([*given, "--feedforward", str(peer), "--controls", "held"]) == 0
    result = json.loads((tmp_path / "t.json").read_text())
    assert {"command", "commit", "machine", "python", "settings", "agents"} <= result.keys()
    policy, task = given[4], given[6]
    assert result["agents"]["held"] == result["agents"]["policy"] == load(policy).weights_digest()
    assert result["agents"]["feedforward"] == load(peer).weights_digest()
    assert len(result["runs"]) == 4 * 3 * 2
    flights = unpack(result["runs"])
    for row in ROWS.split(","):
        assert list(flights[row]["policy"]) == [FIRST, FIRST + 1, FIRST + 2]
        for name, agent, file in (("policy", policy, policy), ("held", "held", policy),
                                  ("feedforward", str(peer), str(peer))):  # fmt: skip
            for seed, flight in list(flights[row][name].items())[-1:]:  # each takes a second
                alone = try_once(Trial(seed, agent, file, task, row))
                assert flight["outcome"] == alone["outcome"]
                for key in ("seconds", "distance", "clearance"):
                    assert flight[key] == pytest.approx(alone[key], abs=0.0051)
                assert flight["path"] == pytest.approx(alone["path"], abs=0.051)
                begun = alone.get("interrupted")
                assert flight["interrupted"] == (None if begun is None else round(begun, 2))
    table = capsys.readouterr().out
    for word in ("| camera 4 Hz | seen | 3 |", "| dusk 0.5 | unseen family | 3 |",
                 "feedforward, %", "policy minus", "Need memory"):  # fmt: skip
        assert word in table
    assert (tmp_path / "t.md").read_text() == table
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main([*given, "--show"]) == 0
    assert capsys.readouterr().out == table


def test_a_suite_goes_on_where_it_was_stopped(
    given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "t.json"
    flown: list[Trial] = []
    taken_from = "lnn_ros.learning.suite.try_once"

    def limited(most: int) -> Any:
        def try_some(trial: Trial) -> dict[str, Any]:
            if len(flown) == most:
                raise KeyboardInterrupt
            flown.append(trial)
            return try_once(trial)

        return try_some

    monkeypatch.setattr(taken_from, limited(5))
    assert main(given) == 130
    stopped = json.loads(file.read_text())
    # Two worlds of two rows; the run that was cut off is not there.
    assert list(stopped["runs"]) == sorted(f"{row}/policy/{FIRST}" for row in ROWS.split(",")[:2])
    capsys.readouterr()
    assert main([*given, "--show"]) == 0
    table = capsys.readouterr().out
    assert "| camera 4 Hz | seen | 2 |" in table and "blackout" not in table
    assert len(flown) == 5
    monkeypatch.setattr(taken_from, limited(99))
    flown.clear()
    assert main(given) == 0
    assert len(flown) == 4 * 3 - 4, "what is stored is not flown again"
    whole = json.loads(file.read_text())
    for key, run in stopped["runs"].items():
        assert whole["runs"][key] == run
    flown.clear()
    assert main([*given, "--workers", "2"]) == 0
    assert not flown and json.loads(file.read_text())["rows"] == whole["rows"]


def test_two_suites_do_not_write_to_one_file(
    given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given, tried = [*given, "--rows", "nominal"], []
    taken_from = "lnn_ros.learning.suite.try_once"

    def beside(trial: Trial) -> dict[str, Any]:
        monkeypatch.setattr(taken_from, try_once)
        tried.append(main([*given, "--rows", "drop_25"]))
        return try_once(trial)

    monkeypatch.setattr(taken_from, beside)
    assert main(given) == 0
    assert tried == [2] and "t.json: process" in capsys.readouterr().err
    assert set(json.loads((tmp_path / "t.json").read_text())["rows"]) == {"nominal"}
    assert main([*given, "--rows", "drop_25"]) == 0, "the other is gone"
    assert not list(tmp_path.glob(".*.lock"))


def test_the_number_of_workers_changes_nothing(given: list[str], tmp_path: Path) -> None:
    rows = []
    for workers in ("1", "2"):
        file = tmp_path / f"{workers}.json"
        words = [*given[:-1], str(file), "--rows", "nominal,blackout"]
        assert main([*words, "--workers", workers, "--controls", "expert"]) == 0
        rows.append(json.loads(file.read_text())["rows"])
    assert rows[0] == rows[1]
    assert set(rows[0]["blackout"]["agents"]) == {"policy", "expert"}


def test_a_file_of_other_options_or_weights_is_refused(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*given, "--rows", "nominal"]
    assert main(given) == 0
    before = (tmp_path / "t.json").read_bytes()
    other, peer = small_policy(tmp_path, seed=1), small_policy(tmp_path)
    for words, said in (
        (["--seeds", f"{FIRST}:{FIRST + 2}"], f"made with seeds [{FIRST}, {FIRST + 3}], expected"),
        (["--task", "fly_to_target"], "made with"),
        (["--policy", str(other)], "flew with the weights"),
        (["--rows", "nominal,rain"], "shift 'rain' found, expected names of nominal"),
        (["--peer", f"policy={peer}"], "peer 'policy' found, expected a name of its own"),
        (["--peer", "gru"], "--peer 'gru' found, expected NAME=FILE"),
        (["--feedforward", str(peer)], "has a memory, expected a feed-forward policy"),
        (["--shift", "fog:0.1"], "--shift or --card with --suite found"),
        (["--show", "--json", str(tmp_path / "none.json")], "expected a file of a suite"),
    ):
        assert main([*given, *words]) == 2, words
        assert said in capsys.readouterr().err
    assert main(["evaluate", "--rows", "nominal"]) == 2
    assert "expected them with --suite only" in capsys.readouterr().err
    assert (tmp_path / "t.json").read_bytes() == before
    # Another column or row may join.
    assert main([*given, "--rows", "drop_25", "--peer", f"other={other}"]) == 0
    rows = json.loads((tmp_path / "t.json").read_text())["rows"]
    assert set(rows) == {"nominal", "drop_25"}
    assert set(rows["drop_25"]["agents"]) == {"other", "policy"}


def test_differences_are_paired_by_world() -> None:
    runs = {
        "nominal/policy/10": packed("aaaa"),
        "nominal/policy/14": packed("at"),
        "blackout/policy/10": packed("acca", interrupted="1.50 - 2.00 3.00"),
        "nominal/gru/10": packed("caaa"),
        "blackout/gru/10": packed("cccc"),
        "drop_50/gru/10": packed("a"),
        "blackout/teacher/10": packed("aaac", paths="2.0 1.0 1.0 1.0"),
    }
    rows = suite.summary(runs, TASK)
    assert list(rows) == ["nominal", "drop_50", "blackout"]
    assert rows["nominal"]["agents"]["policy"]["rate"] == pytest.approx(5 / 6)
    blackout = rows["blackout"]["agents"]["policy"]
    assert blackout["minus_nominal"][0] == pytest.approx(-0.5), "over the four that both flew"
    assert blackout["minus_nominal"][1:] == (-1.0, 0.0), "of four worlds everything may be"
    assert blackout["interrupted"] == 3 and blackout["clearance"] == 1.0
    assert blackout["path_over_teacher"] == 0.5, "where both arrived"
    gru = rows["blackout"]["agents"]["gru"]
    assert gru["policy_minus_this"][0] == pytest.approx(0.5) and gru["p"] == 0.5
    assert gru["p_holm"] == 1.0, "three rows are asked the same question"
    assert rows["nominal"]["agents"]["gru"]["policy_minus_this"][0] == pytest.approx(0.25)
    alone = rows["drop_50"]["agents"]["gru"]
    assert alone["minus_nominal"] is None, "one world says nothing of a spread"
    table = tables({"rows": rows, "settings": {"strengths": {}}})
    assert "| 50.0 (15.0 to 85.0) | -50.0 (-100.0 to +0.0) | 0.0 (0.0 to 49.0)" in table


def test_rows_are_judged_by_their_goals_and_by_who_loses_there() -> None:
    taught = {"fog": (0.007, 0.112), "dusk": (0.0, 0.3)}
    runs = {
        "nominal/policy/0": packed("a" * 200), "nominal/feedforward/0": packed("a" * 200),
        "fog/policy/0": packed("a" * 190 + "c" * 10),
        "fog/feedforward/0": packed("a" * 191 + "t" * 9),
        "dusk/policy/0": packed("a" * 182 + "c" * 18),
        "dusk/feedforward/0": packed("a" * 170 + "t" * 30),
        "stones/policy/0": packed("a" * 175 + "c" * 25),
        "glare/policy/0": packed("a" * 195 + "c" * 5),
        "drop_25/policy/0": packed("a" * 200), "drop_50/policy/0": packed("a" * 200),
    }  # fmt: skip
    rows = suite.summary(runs, TASK, {"shifts": taught, "timing": {"camera.drop": [0.0, 0.3]}})
    assert {key: row["exposure"] for key, row in rows.items()} == {
        "nominal": "seen", "fog": "seen", "dusk": "unseen strength",
        "glare": "unseen strength", "stones": "unseen family",
        "drop_25": "seen", "drop_50": "unseen strength"}  # fmt: skip
    table = tables({"rows": rows, "settings": {"strengths": TASK.shifts.stated}})
    assert "Goal missed: dusk." in table, "85.8 is below 88; 82.2 is above 80"
    assert "Need memory (feedforward loses 15 points or more): dusk." in table
    assert "Without effect (costs no baseline 5 points): fog." in table, "glare: nobody knows"
    assert "| fog 0.112 | seen | 200 |" in table and "88: reached |" in table


def test_a_suite_flies_the_families_that_the_task_has() -> None:
    rows = suite.rows_of("robustness", Task.load("lane"))
    assert {"nominal", "noise", "drop_25"} <= set(rows) and "clutter" not in rows
    assert suite.rows_of("robustness", TASK) == suite.SUITES["robustness"]
    bare = replace(TASK, shifts=ShiftsTask())
    assert suite.rows_of("timing", bare) == suite.SUITES["timing"]
    with pytest.raises(LnnError, match="states no standard strengths, expected a section shifts"):
        suite.rows_of("robustness", bare)


def test_the_final_worlds_follow_from_the_weights() -> None:
    worlds = final_worlds("ab" * 32, 1000)
    assert worlds == final_worlds("ab" * 32, 1000) and len(worlds) == 1000
    assert worlds != final_worlds("ac" * 32, 1000)
    for digest in ("00" * 32, "ff" * 32, "7f3b" * 16):
        found = final_worlds(digest, 1000)
        assert found.start in REPORTED and found.stop - 1 in REPORTED
