"""How a standard strength is sought: where about half of the flights of a policy are lost."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from lnn_ros.simulation.shifts import KINDS

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmark")
    return importlib.import_module("strengths")


class Flown:
    """A policy whose rate falls evenly from 1 at one strength to 0 at another."""

    def __init__(self, best: float, worst: float) -> None:
        self.best, self.worst, self.asked = best, worst, 0

    def __call__(self, shift: str) -> dict[str, float]:
        self.asked += 1
        strength = float(shift.partition(":")[2])
        share = (strength - self.best) / (self.worst - self.best)
        return {"rate": min(max(1.0 - share, 0.0), 1.0)}


def test_every_family_has_bounds(benchmark: ModuleType) -> None:
    assert set(benchmark.BOUNDS) == set(KINDS)
    for name, (low, high) in benchmark.BOUNDS.items():
        assert KINDS[name].low <= low <= high <= KINDS[name].high, name


def test_the_strength_is_found_where_half_is_lost(benchmark: ModuleType) -> None:
    for best, worst in ((0.03, 0.2), (0.2, 0.9)):
        fly = Flown(best, worst)
        found = benchmark.search("fog", 1.0, fly)
        assert found["in_range"] and 0.4 <= found["rate"] <= 0.7 and not found["without_effect"]
        assert fly(f"fog:{found['strength']}")["rate"] == found["rate"]
        assert len(found["tried"]) <= benchmark.STEPS + 1


def test_what_costs_little_at_most_is_told(benchmark: ModuleType) -> None:
    found = benchmark.search("fog", 0.95, Flown(1.0, 50.0))
    assert found["without_effect"] and not found["in_range"] and found["strength"] == 1.0
    mild = benchmark.search("wind", 1.0, Flown(0.0, 22.0))
    assert mild["strength"] == 6.0 and not mild["without_effect"] and not mild["in_range"]


def test_a_family_of_one_strength_is_flown_once(benchmark: ModuleType) -> None:
    fly = Flown(0.0, 200.0)
    found = benchmark.search("behind", 1.0, fly)
    assert fly.asked == 1 and found["strength"] == 150.0 and not found["in_range"]
