"""The timing benchmark: paired worlds, a campaign that goes on, a table of what was flown."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flyers import small_policy, small_task

from lnn_ros.learning.evaluate import Trial, try_once
from lnn_ros.liquid.checkpoint import load

ROOT = Path(__file__).resolve().parents[1]
FIRST = 300_030
ROWS = "nominal,camera_4hz,blackout"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmark")
    module = importlib.import_module("timing_robustness")
    monkeypatch.setattr(module, "WORLDS_PER_RUN", 2)
    return module


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """Options of a campaign of three worlds, of which the last makes a run of its own."""
    policy, task = small_policy(tmp_path), small_task(tmp_path, 1.5)
    return ["--policy", str(policy), "--task", task, "--seeds", f"{FIRST}:{FIRST + 3}",
            "--conditions", ROWS, "--json", str(tmp_path / "t.json")]  # fmt: skip


def packed(outcomes: str, **more: Any) -> dict[str, Any]:
    ones = " ".join("1.00" for _ in outcomes)
    return {"weights": "w", "outcomes": outcomes, "seconds": ones, "distances": ones, **more}


def test_every_flight_is_stored_and_is_that_of_evaluate(
    benchmark: ModuleType, given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = small_policy(tmp_path, "feedforward")
    assert benchmark.main([*given, "--peer", f"feedforward={peer}"]) == 0
    result = json.loads((tmp_path / "t.json").read_text())
    assert {"command", "commit", "machine", "python", "settings", "agents"} <= result.keys()
    assert result["agents"]["held"] == result["agents"]["policy"] == load(given[1]).weights_digest()
    assert result["agents"]["feedforward"] == load(peer).weights_digest()
    assert len(result["runs"]) == 3 * 3 * 2
    flights = benchmark.unpack(result["runs"])
    for timing in ROWS.split(","):
        assert list(flights[timing]["policy"]) == [FIRST, FIRST + 1, FIRST + 2]
        for name, agent, policy in (
            ("policy", given[1], given[1]),
            ("held", "held", given[1]),
            ("feedforward", str(peer), str(peer)),
        ):
            for seed, flight in flights[timing][name].items():
                alone = try_once(Trial(seed, agent, policy, given[3], timing))
                assert flight["outcome"] == alone["outcome"]
                assert flight["seconds"] == pytest.approx(alone["seconds"], abs=0.0051)
                assert flight["distance"] == pytest.approx(alone["distance"], abs=0.0051)
                begun = alone.get("interrupted")
                assert flight["interrupted"] == (None if begun is None else round(begun, 2))
    table = capsys.readouterr().out
    for word in ("| camera 4 Hz | 3 |", "feedforward, %", "policy minus", "Need memory"):
        assert word in table


def test_a_campaign_goes_on_where_it_was_stopped(
    benchmark: ModuleType,
    given: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "t.json"
    flown: list[Trial] = []

    def limited(most: int) -> Any:
        def try_some(trial: Trial) -> dict[str, Any]:
            if len(flown) == most:
                raise KeyboardInterrupt
            flown.append(trial)
            return try_once(trial)

        return try_some

    monkeypatch.setattr(benchmark, "try_once", limited(7))
    with pytest.raises(KeyboardInterrupt):
        benchmark.main(given)
    stopped = json.loads(file.read_text())
    # Two worlds of three agents' rows; the run that was cut off is not there.
    assert list(stopped["runs"]) == sorted(
        f"{row}/{FIRST}" for row in ("nominal/policy", "nominal/held", "camera_4hz/policy")
    )
    capsys.readouterr()
    assert benchmark.main([*given, "--show"]) == 0
    table = capsys.readouterr().out
    assert "| camera 4 Hz | 2 |" in table and "blackout" not in table
    assert len(flown) == 7
    monkeypatch.setattr(benchmark, "try_once", limited(99))
    flown.clear()
    assert benchmark.main(given) == 0
    assert len(flown) == 3 * 3 * 2 - 6, "what is stored is not flown again"
    whole = json.loads(file.read_text())
    for key, run in stopped["runs"].items():
        assert whole["runs"][key] == run
    flown.clear()
    assert benchmark.main([*given, "--workers", "2"]) == 0
    assert not flown and json.loads(file.read_text())["rows"] == whole["rows"]


def test_the_number_of_workers_changes_nothing(
    benchmark: ModuleType, given: list[str], tmp_path: Path
) -> None:
    rows = []
    for workers in ("1", "2"):
        file = tmp_path / f"{workers}.json"
        # Spawned workers import the module anew, and take the size of a run from the settings.
        words = [*given[:-1], str(file), "--conditions", "nominal,blackout"]
        assert benchmark.main([*words, "--workers", workers, "--controls", "expert"]) == 0
        rows.append(json.loads(file.read_text())["rows"])
    assert rows[0] == rows[1]
    assert set(rows[0]["blackout"]) == {"policy", "expert"}


def test_a_file_of_other_options_or_weights_is_refused(
    benchmark: ModuleType, given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*given, "--conditions", "nominal"]
    assert benchmark.main(given) == 0
    before = (tmp_path / "t.json").read_bytes()
    other = small_policy(tmp_path, seed=1)
    for words, said in (
        (["--seeds", f"{FIRST}:{FIRST + 2}"], f"made with seeds [{FIRST}, {FIRST + 3}], expected"),
        (["--task", "fly_to_target"], "made with task"),
        (["--policy", str(other)], "flew with the weights"),
        (["--conditions", "nominal,fog"], "condition 'fog' found, expected one of nominal"),
        (["--peer", "held=x"], "--peer 'held=x' found, expected NAME=FILE"),
        (["--peer", "gru"], "--peer 'gru' found, expected NAME=FILE"),
    ):
        assert benchmark.main([*given, *words]) == 2
        assert said in capsys.readouterr().err
    assert (tmp_path / "t.json").read_bytes() == before
    # Another column or row may join.
    assert benchmark.main([*given, "--conditions", "drop_25", "--peer", f"other={other}"]) == 0
    rows = json.loads((tmp_path / "t.json").read_text())["rows"]
    assert set(rows) == {"nominal", "drop_25"} and set(rows["drop_25"]) > {"other", "policy"}


def test_differences_are_paired_by_world(benchmark: ModuleType) -> None:
    runs = {
        "nominal/policy/10": packed("aaaa"),
        "nominal/policy/14": packed("at"),
        "blackout/policy/10": packed("acca", interrupted="1.50 - 2.00 3.00"),
        "nominal/gru/10": packed("caaa"),
        "blackout/gru/10": packed("cccc"),
        "drop_50/gru/10": packed("a"),
    }
    rows = benchmark.summary(runs)
    assert list(rows) == ["nominal", "drop_50", "blackout"]
    assert rows["nominal"]["policy"]["rate"] == pytest.approx(5 / 6)
    blackout = rows["blackout"]["policy"]
    assert blackout["minus_nominal"][0] == pytest.approx(-0.5), "over the four that both flew"
    assert blackout["minus_nominal"][1] == pytest.approx(-0.5 - 1.96 * (1 / 3 / 4) ** 0.5, abs=1e-4)
    assert blackout["interrupted"] == 3
    assert rows["blackout"]["gru"]["policy_minus_this"][0] == pytest.approx(0.5)
    assert rows["nominal"]["gru"]["policy_minus_this"][0] == pytest.approx(0.25)
    assert rows["drop_50"]["gru"]["minus_nominal"] is None, "one world says nothing of a spread"
    table = benchmark.format_tables(rows)
    assert "| 50.0 (15.0 to 85.0) | -50.0 (-106.6 to +6.6) | 0.0 (0.0 to 49.0)" in table
    assert "More than 3 points below nominal: blackout." in table


def test_rows_that_need_memory_are_those_where_the_feedforward_loses_15_points(
    benchmark: ModuleType,
) -> None:
    runs = {
        "nominal/policy/0": packed("a" * 20),
        "nominal/feedforward/0": packed("a" * 20),
        "drop_25/feedforward/0": packed("a" * 17 + "ccc"),
        "drop_50/feedforward/0": packed("a" * 16 + "cccc"),
        "drop_50/policy/0": packed("a" * 20),
    }
    table = benchmark.format_tables(benchmark.summary(runs))
    assert "Need memory (feedforward loses 15 points or more): drop_25, drop_50." in table
    assert "More than 3 points below nominal: none." in table


def test_it_runs_as_the_documentation_says() -> None:
    done = subprocess.run(
        [sys.executable, "benchmark/timing_robustness.py", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "--peer NAME=FILE" in done.stdout and "--conditions" in done.stdout
