"""The judge's benchmark: what is spoiled is spoiled as it says, and nothing is judged twice."""

from __future__ import annotations

import importlib
import json
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from flights_for_tests import CAMERA, arrays, write
from flyers import small_policy, small_task

from lnn_ros.learning import helping
from lnn_ros.learning.flights import read_flight

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmark")
    monkeypatch.setattr(helping.Hand, "helps", lambda self, truth, distance: True)
    return importlib.import_module("judge")


@pytest.fixture(scope="module")
def flights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flights")
    return [read_flight(write(folder / str(k), arrays(k, 2.0)), CAMERA, motion=True)
            for k in range(5)]


def changed(before, after):
    """Which fields are others than before."""
    return {field.name for field in fields(before)
            if not np.array_equal(getattr(before, field.name), getattr(after, field.name))}


@pytest.mark.parametrize(("kind", "what"), [
    ("good", set()), ("flipped", {"labels"}), ("constant", {"labels"}), ("zero", {"labels"}),
    ("random", {"labels"}), ("corrupted", {"labels"}), ("shifted", {"label_stamps"}),
    ("mirrored", {"frames"})])
def test_one_thing_is_spoiled_and_the_rest_is_as_it_was(bench, flights, kind, what):
    found = bench.spoiled(flights, kind, 3, hidden=False)
    assert len(found) == len(flights)
    assert {name for pair in zip(flights, found, strict=True) for name in changed(*pair)} == what
    again = bench.spoiled(flights, kind, 3, hidden=False)
    assert not any(changed(*pair) for pair in zip(found, again, strict=True))
    hidden = bench.spoiled(flights, kind, 3, hidden=True)
    assert not any(len(one.flown) or len(one.motion) for one in hidden)


def test_it_is_spoiled_as_it_says(bench, flights):
    labels = flights[0].labels
    spoiled = {kind: bench.spoiled(flights, kind, 0, False)[0] for kind in bench.KINDS}
    np.testing.assert_array_equal(spoiled["flipped"].labels, labels * [1, -1, 1, 1])
    assert (spoiled["constant"].labels == [1, 0, 0, 0]).all() and not spoiled["zero"].labels.any()
    others = np.concatenate([(a.labels != b.labels).any(1) for a, b in zip(
        flights, bench.spoiled(flights, "corrupted", 0, False), strict=True)])
    assert others.mean() == pytest.approx(0.3, abs=0.1)
    assert (spoiled["shifted"].label_stamps - flights[0].label_stamps == 3e8).all()
    np.testing.assert_array_equal(spoiled["mirrored"].frames[:, :, ::-1], flights[0].frames)
    assert len(bench.spoiled(flights, "small", 0, False)) == 3


def test_all_of_it_is_kept_and_gone_on_with(bench, tmp_path, capsys):
    for k in range(4):
        write(tmp_path / "old" / f"{k:02}", arrays(50 + k, 1.0))
    file = tmp_path / "found.json"
    given = ["--policy", str(small_policy(tmp_path)), "--task", small_task(tmp_path, 1.0),
             "--shift", "dusk:0.3", "--rehearsal", str(tmp_path / "old"), "--flights", "4",
             "--out", str(tmp_path / "out"), "--json", str(file), "--worlds", "1"]
    assert bench.main([*given, "--sets", "1", "--kinds", "good", "zero", "small"]) == 0
    before = json.loads(file.read_text())["runs"]
    assert set(before) == {"good/0", "zero/0", "small/0"}
    assert not any(one["accepted"] for one in before.values())
    assert "episodes of help are held out, expected 4" in before["small/0"]["said"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[:2] for line in lines[2:]] == [
        ["| good", "1 of 1"], ["| zero", "1 of 1"], ["| small", "1 of 1"]]
    assert bench.main([*given, "--sets", "2", "--kinds", "good"]) == 0
    after = json.loads(file.read_text())["runs"]
    assert {key: after[key] for key in before} == before and set(after) - set(before) == {"good/1"}


def test_the_table_counts_who_refused_and_what_was_flown(bench):
    def one(accepted, *against, **more):
        return {"accepted": accepted, "findings": [{"name": n, "passed": n not in against}
                                                   for n in ("help", "rehearsal")], **more}
    runs = {"good/0": one(True, flown={"nominal": [9, 8], "fog": [3, 7]}),
            "good/1": one(False, "help"), "zero/0": one(False, "help", "rehearsal")}
    lines = bench.table(runs, 10)
    assert lines[2] == "| good | 1 of 2 | 1 | help 1 | 9/8, 3/7 of 10 |"
    assert lines[3] == "| zero | 1 of 1 | 0 | help 1, rehearsal 1 | - |"
