"""Help in one condition after the other: what is kept, what is counted, and all of it, tiny."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
from flights_for_tests import arrays, write
from flyers import small_policy, small_task

from lnn_ros.errors import LnnError
from lnn_ros.learning import helping
from lnn_ros.liquid.checkpoint import load

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def adaptation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmark")
    # Whatever an untrained policy does is worth help.
    monkeypatch.setattr(helping.Hand, "helps", lambda self, truth, distance: True)
    return importlib.import_module("adaptation")


def words(folder: Path) -> list[str]:
    policy, task = small_policy(folder), small_task(folder, 1.0)
    for k in range(4):
        write(folder / "old" / f"{k:02}", arrays(50 + k, 1.0))
    return ["--policy", str(policy), "--task", task, "--rehearsal", str(folder / "old"),
            "--out", str(folder / "out"), "--json", str(folder / "found.json"), "--flights", "3",
            "--seeds", "299998:300000", "--epochs", "1", "--conditions", "dusk:0.5,fog:0.2"]


def test_all_of_it_is_kept_and_gone_on_with(adaptation, tmp_path, capsys) -> None:
    given = words(tmp_path)
    assert adaptation.main([*given, "--methods", "naive,joint"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("nominal, before: 0 of 2 (0.0 to ")
    assert [line.split(" | ")[:2] for line in lines[4:]] == [
        [f"| {method}", shift] for method in ("naive", "joint")
        for shift in ("dusk:0.5", "fog:0.2")]
    found = json.loads((tmp_path / "found.json").read_text())
    assert {key.partition("/")[0] for key in found["runs"]} == {"worlds", "help", "step"}
    joint = [row for row in found["rows"] if row["method"] == "joint"]
    assert [sorted(row["forgotten"]) for row in joint] == [["nominal"], ["dusk:0.5", "nominal"]]
    digest = found["runs"][next(k for k in found["runs"] if k.startswith("step/naive/0"))]["digest"]
    assert load(next((tmp_path / "out").glob("naive_0_*"))).weights_digest() == digest
    # Nothing is done twice, and what is new is added.
    assert adaptation.main([*given, "--methods", "naive,joint,judged"]) == 0
    again = json.loads((tmp_path / "found.json").read_text())
    assert {k: again["runs"][k] for k in found["runs"]} == found["runs"]
    judged = [one for key, one in again["runs"].items() if key.startswith("step/judged")]
    assert judged and all(one["verdict"]["said"].startswith("refused: ") for one in judged)
    assert len({row["after"] for row in again["rows"] if row["method"] == "judged"}) == 1


def test_a_file_of_other_settings_and_unknown_words_are_refused(adaptation, tmp_path) -> None:
    given = words(tmp_path)
    with pytest.raises(LnnError, match="--methods some found, expected some of judged, all"):
        adaptation.main([*given, "--methods", "some"])
    with pytest.raises(LnnError, match="shift 'rain' found"):
        adaptation.main([*given, "--conditions", "rain"])
    (tmp_path / "found.json").write_text('{"runs": {}, "settings": {"flights": 7}}')
    with pytest.raises(LnnError, match="made with"):
        adaptation.main([*given, "--methods", "naive"])


def test_the_table_says_what_was_regained_and_forgotten(adaptation) -> None:
    row = {"method": "both", "condition": "fog", "before": 0.4, "after": 0.7, "counts": True,
           "regained": 0.6, "forgotten": {"nominal": [0.02, -0.01, 0.05]}}
    lines = adaptation.table([row, {**row, "counts": False, "regained": None}])
    assert lines[2] == ("| both | fog | 40.0 | 70.0 | 60 % | nominal +2.0 (-1.0 to +5.0) |")
    assert "fog (does not count)" in lines[3] and "| - |" in lines[3]
