"""Laps against noise in the pictures: what noise it is, what is counted, and all of it, tiny."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from flyers import small_policy, small_task

from lnn_ros.errors import LnnError
from lnn_ros.learning import suite
from lnn_ros.learning.statistics import wilson
from lnn_ros.simulation.shifts import Shift
from lnn_ros.simulation.task import Task

ROOT = Path(__file__).resolve().parents[1]
FIRST = 300_050


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmark")
    monkeypatch.setattr(suite, "WORLDS_PER_RUN", 2)
    return importlib.import_module("lane")


def packed(outcomes: str) -> dict[str, Any]:
    ones = " ".join("1.00" for _ in outcomes)
    return {"weights": "w", "outcomes": outcomes, "seconds": ones, "distances": ones,
            "clearances": ones, "paths": ones}  # fmt: skip


def test_noise_has_the_variance_on_pixels_from_0_to_1_and_is_clipped(lane: ModuleType) -> None:
    grey = np.full((96, 128, 3), 128, np.uint8)
    for variance in lane.VARIANCES[1:]:
        shift = Shift.parse(lane.row_of(variance), Task.load("lane"))
        assert shift.strength**2 == pytest.approx(variance, rel=1e-5)
        pixels = shift.frame(grey, 1, 2) / 255.0
        # Clipped, half of the greatest noise is left; as many ones as zeros.
        drawn = np.random.default_rng(0).normal(0.5, variance**0.5, 100_000).clip(0.0, 1.0)
        assert pixels.std() == pytest.approx(drawn.std(), rel=0.02)
        assert (pixels == 1.0).mean() == pytest.approx((pixels == 0.0).mean(), abs=0.02)
        assert (pixels == 1.0).mean() == pytest.approx((drawn == 1.0).mean(), abs=0.02)
    assert lane.row_of(0.0) == "nominal"
    with pytest.raises(LnnError, match="--variances -1 found, expected"):
        lane.row_of(-1.0)


def test_laps_are_counted_by_variance(lane: ModuleType) -> None:
    noisy = lane.row_of(0.1)
    rows = suite.summary({
        "nominal/lstm/0": packed("aaaaaaaaaa"), "nominal/policy/0": packed("aaaaaaaaaa"),
        f"{noisy}/policy/0": packed("aaaaaaaaao"), f"{noisy}/lstm/0": packed("aaaaaoooot"),
    }, Task.load("lane"))  # fmt: skip
    found = lane.curve(rows, [0.0, 0.1, 0.2])
    assert list(found) == ["policy", "lstm"] and found["policy"][2] is None
    assert [cell["rate"] for cell in found["lstm"][:2]] == [1.0, 0.5]
    assert found["lstm"][1]["interval"] == list(wilson(5, 10))
    head, _, quiet, loud, none = lane.table(found, [0.0, 0.1, 0.2]).splitlines()
    assert head == "| variance | policy, % of laps | lstm, % of laps | policy minus lstm |"
    assert quiet.startswith("| 0 | 10/10 = 100.0 (72.2 to 100.0) | 10/10 = 100.0")
    assert "| 0.1 | 9/10 = 90.0 (59.6 to 98.2) | 5/10 = 50.0 (23.7 to 76.3) | +40.0 (" in loud
    assert none == "| 0.2 | - | - | - |"


def test_all_of_it_with_two_checkpoints(
    lane: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    policy, peer = small_policy(tmp_path), small_policy(tmp_path, "lstm")
    file = tmp_path / "out" / "lane.json"
    given = ["--policy", str(policy), "--peer", f"lstm={peer}", "--task",
             small_task(tmp_path, 1.0, "lane"), "--seeds", f"{FIRST}:{FIRST + 3}",
             "--variances", "0", "0.1", "0.3", "--json", str(file)]  # fmt: skip
    assert lane.main(given) == 0
    table = capsys.readouterr().out
    result = json.loads(file.read_text())
    assert result["command"].startswith("python benchmark/lane.py --policy")
    assert list(result["rows"]) == ["nominal", "noise:0.316228", "noise:0.547723"]
    for row in result["rows"].values():
        assert {name: cell["flights"] for name, cell in row["agents"].items()} == {
            "policy": 3, "lstm": 3}  # fmt: skip
    assert table.count("0/3 = 0.0 (0.0 to 56.1)") == 6, "nobody drives a lap in a second"
    assert file.with_suffix(".svg").read_text().lstrip().startswith("<?xml")
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")

    def none(trial: Any) -> Any:
        raise AssertionError(trial)

    monkeypatch.setattr("lnn_ros.learning.suite.try_once", none)
    assert lane.main(given) == 0
    assert capsys.readouterr().out == table, "what is stored is not driven again"
    with pytest.raises(LnnError, match="--peer 'gru' found, expected NAME=FILE"):
        lane.main([*given, "--peer", "gru"])
    with pytest.raises(LnnError, match="made with seeds"):
        lane.main([*given, "--seeds", f"{FIRST}:{FIRST + 2}"])
