"""The novelty benchmark: what it makes of flights, and a flight of each kind."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flyers import small_policy, small_task
from policies_for_tests import with_novelty

from lnn_ros.errors import LnnError
from lnn_ros.liquid.checkpoint import load, save
from lnn_ros.simulation.shifts import Shift

ROOT = Path(__file__).resolve().parents[1]
FIRST = 300_030


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmark")
    return importlib.import_module("novelty")


def packed(outcomes: str, mean: list[float], alarms: str = "", warned: str = "") -> dict[str, Any]:
    told = " ".join(map(str, mean))
    return {
        "outcomes": outcomes, "seconds": " ".join(["60"] * len(outcomes)), "mean": told,
        "peak": told, "early": told, "alarms": alarms or " ".join("0" * len(outcomes)),
        "warned": warned or "n" * len(outcomes), "cpu_seconds": 1.0}  # fmt: skip


def test_strengths_are_shifts(benchmark: ModuleType) -> None:
    for text in benchmark.SHIFTS:
        assert str(Shift.parse(text)) == text


def test_areas_alarms_and_warnings_are_counted(benchmark: ModuleType) -> None:
    rows = benchmark.summary({
        "nominal/5": packed("aaat", [0.1, 0.2, 0.3, 0.9], alarms="0 1 0 2"),
        "noise:0.12/5": packed("acct", [0.8, 1.2, 0.7, 1.5], warned="nyny"),
        "dusk:0.78/5": packed("aaaa", [0.1, 0.1, 0.1, 0.1])})  # fmt: skip
    noise = rows["noise:0.12"]
    assert noise["arrived"] == 1 and noise["failures_warned_of"] == 2
    assert noise["within"]["mean"]["auroc"] == pytest.approx(2 / 3)
    # Fail: 1.2 0.7 1.5 0.9, arrive: 0.8 0.1 0.2 0.3.
    assert noise["pooled"]["mean"]["auroc"] == pytest.approx(15 / 16)
    assert noise["pooled"]["mean"]["fail"] == 4
    # Three failures are known to be shifted, one to be not; one arrival is, three are not.
    assert noise["shift_known"]["auroc"] == pytest.approx((3 * 3 + 3 * 0.5 + 3 * 0.5) / 16)
    assert noise["minus_nominal"][0] == -0.5
    assert rows["dusk:0.78"]["within"]["mean"] is None
    assert rows["nominal"]["alarms"]["all"] == {
        "alarms": 3, "minutes": 4.0, "per_10_minutes": 7.5}  # fmt: skip
    assert rows["nominal"]["alarms"]["arrive"]["alarms"] == 1
    assert rows["all"]["flights"] == 12
    text = benchmark.show(rows)
    assert "| noise:0.12 | 1/4 | 0.94 (" in text and "| 2/3 | 0.0 |" in text


def test_it_flies_and_goes_on(benchmark: ModuleType, tmp_path: Path,
                              capsys: pytest.CaptureFixture[str]) -> None:
    plain, out = small_policy(tmp_path), tmp_path / "n.json"
    words = ["--task", small_task(tmp_path, 1.5), "--shifts", "noise:0.08", "fog:0.2", "--seeds",
             f"{FIRST}:{FIRST + 1}", "--json", str(out), "--policy"]  # fmt: skip
    with pytest.raises(LnnError, match="says nothing of novelty"):
        benchmark.main([*words, str(plain)])
    save(tmp_path / "judged", with_novelty(load(plain)))
    assert benchmark.main([*words, str(tmp_path / "judged")]) == 0
    runs = json.loads(out.read_text())["runs"]
    assert set(runs) == {f"{name}/{FIRST}" for name in ("nominal", "noise:0.08", "fog:0.2")}
    assert float(runs[f"noise:0.08/{FIRST}"]["mean"]) != float(runs[f"nominal/{FIRST}"]["mean"])
    assert "| nominal | " in capsys.readouterr().out
    assert benchmark.main([*words, str(tmp_path / "judged")]) == 0
    assert "3 of 3 runs are stored" in capsys.readouterr().err
