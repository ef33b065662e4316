"""``lnn_ros faults``: a short campaign, its file, and its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lnn_ros.cli import main
from lnn_ros.nodes.faults import command
from lnn_ros.nodes.faults.rows import ROWS, SHORT

ROW = {"injected": "images: none", "safe": True, "failed": [], "halts": "cmd_vel",
       "time_to_safe_s": 0.81, "commands": 40, "largest_command": [1.2, 0.4],
       "largest_step": [0.2, 0.3], "mode": "hold", "reason": "camera is stale",
       "recovery": "itself", "recovered": True, "recovered_by": "itself",
       "recovered_after_s": 0.4}


def test_short_campaign_is_safe_and_flies_again(tmp_path: Path, capsys) -> None:
    file = tmp_path / "faults.json"
    status = main(["faults", "--rows", ",".join(SHORT), "--json", str(file),
                   "--logs", str(tmp_path / "stage")])
    printed = capsys.readouterr()
    data = json.loads(file.read_text())
    found = {name: row["failed"] or row["recovered_by"] for name, row in data["rows"].items()
             if not command.good(row)}
    assert (status, found) == (0, {}), printed.err
    assert list(data["rows"]) == [name for name in ROWS if name in SHORT]
    assert {"command", "commit", "machine", "python", "seed"} <= data.keys()
    hold = data["rows"]["image.silent"]
    assert hold["time_to_safe_s"] > 0.4
    assert hold["mode"] == "hold" and "camera" in hold["reason"]
    assert 0.0 < hold["largest_step"][0] < 0.5
    assert data["rows"]["controller.stalled"]["time_to_safe_s"] < 0.8
    assert data["rows"]["hostile.imu"]["counted"]["imu.undecodable"] > 0

    # Everything is stored: the same command goes on from it, and does nothing.
    before = file.read_text()
    assert main(["faults", "--rows", ",".join(SHORT), "--json", str(file)]) == 0
    assert file.read_text() == before
    assert capsys.readouterr().out == printed.out


def test_unsafe_row_is_exit_1_and_stands_out(tmp_path: Path, capsys) -> None:
    bad = {**ROW, "safe": False, "failed": [{"check": "halts", "sentence": "it flies | on"}]}
    lost = {**ROW, "recovered": False, "recovered_by": "in hold"}
    file = tmp_path / "faults.json"
    for row, status in ((ROW, 0), (bad, 1), (lost, 1)):
        file.write_text(json.dumps({"rows": {"image.silent": row}}))
        assert main(["faults", "--rows", "image.silent", "--json", str(file)]) == status
    capsys.readouterr()
    file.write_text(json.dumps({"rows": {"a": ROW, "b": bad, "c": lost}}))
    assert main(["faults", "--show", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == ("| images: none | 0.81 s | 1.20 m/s, 0.40 rad/s | 0.20 m/s, 0.30 rad/s | "
                        "hold: camera is stale | by itself | yes |")
    assert lines[3].endswith("| NO: halts |")
    assert "| no |" in lines[4]
    assert lines[-1] == "2 of 3 safe; 2 fly again as they should."


def test_list_names_every_row(capsys) -> None:
    assert main(["faults", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(ROWS)


@pytest.mark.parametrize("content", ["", "{}", '{"rows": {"a": {}}}', "[1]", '{"rows": 3}'])
def test_file_that_is_not_ours_is_one_sentence(tmp_path: Path, capsys, content: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(content)
    for words in (["--json"], ["--rows", "image.silent", "--json"], ["--show"]):
        assert main(["faults", *words, str(file)]) == 2
        assert str(file) in capsys.readouterr().err
    assert file.read_text() == content


def test_unknown_row_is_one_sentence(capsys) -> None:
    assert main(["faults", "--rows", "image.silent,image.blue"]) == 2
    assert "image.blue" in capsys.readouterr().err


def test_table_in_the_docs_is_that_of_the_file() -> None:
    results = Path(__file__).resolve().parents[2] / "docs" / "results"
    data = command.stored(results / "faults.json")
    assert command.table(data) in (results / "faults.md").read_text()
    assert set(data["rows"]) == set(ROWS)
    broken = json.loads((results / "faults_broken.json").read_text())["breaks"]
    page = (results / "faults.md").read_text()
    assert all(f"| {one['what']} | `{one['row']}` | {one['check']} | yes |" in page
               for one in broken.values())
    assert all(one["red"] for one in broken.values())
