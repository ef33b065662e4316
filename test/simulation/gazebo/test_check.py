"""The checks find what would keep Gazebo from reading a file, and say it in one sentence."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from lnn_ros.cli import main
from lnn_ros.simulation.gazebo.check import problems

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def worlds(tmp_path: Path) -> Path:
    """Return a copy of what ships."""
    shutil.copytree(ROOT / "worlds", tmp_path / "worlds")
    return tmp_path / "worlds"


@pytest.mark.parametrize(("file", "old", "new", "sentence"), [
    ("forest.sdf", "</world>", "", "cannot be read as XML"),
    ("forest.sdf", "<sdf ", '<!DOCTYPE sdf [<!ENTITY a "b">]><sdf ', "declares a document type"),
    ("forest.sdf", 'version="1.9"', 'version="1.11"', "version is '1.11', expected 1.9"),
    # What Gazebo's own check found in the first draft: a colour above 1.
    ("forest.sdf", "<diffuse>1 1 1 1<", "<diffuse>1.1 1.1 1.1 1<",
     "light sun/diffuse: is '1.1 1.1 1.1 1', expected 4 finite numbers in [0, 1]"),
    ("forest.sdf", "<gravity>0 0 -9.81<", "<gravity>0 0 nan<", "gravity: is '0 0 nan'"),
    ("forest.sdf", "<max_step_size>0.0025<", "<max_step_size>0<", "finite number above 0"),
    ("forest.sdf", "<gravity>0 0 -9.81</gravity>", "", "expected 1 to 1 elements gravity"),
    ("forest.sdf", "<static>true<", "<static>yes<", "is 'yes', expected true or false"),
    ("forest.sdf", '"target"', '"ground"', "2 elements model are named ground"),
    ("forest.sdf", '"target"', '"lnn_quadrotor"', "2 elements model are named lnn_quadrotor"),
    ("forest.sdf", "model://lnn_quadrotor", "model://lnn_boat", "include model://lnn_boat"),
    ("forest.sdf", "gz-sim-imu", "ignition-gazebo-imu", "are mixed: expected one kind"),
    ("forest.sdf", 'filename="gz-sim-imu-system" ', "", "attribute filename is missing"),
    ("models/lnn_quadrotor/model.sdf", "<child>rotor_2<", "<child>rotor_9<",
     "joint rotor_2_joint: child is 'rotor_9', expected a link of model lnn_quadrotor"),
    ("models/lnn_quadrotor/model.sdf", "<jointName>rotor_1_joint<", "<jointName>rotor_8_joint<",
     "jointName is 'rotor_8_joint', which model lnn_quadrotor does not have"),
    ("models/lnn_quadrotor/model.sdf", "<actuator_number>3<", "<actuator_number>2<",
     "motors have the numbers"),
    ("models/lnn_quadrotor/model.sdf", "<izz>0.00996775<", "<izz>0.02<",
     "which no body has"),
    ("models/lnn_quadrotor/model.sdf", "<mass>0.78<", "<mass>-0.78<", "mass: is '-0.78'"),
    ("models/lnn_quadrotor/model.sdf", "<topic>/lnn_quadrotor/depth/image<",
     "<topic>/lnn_quadrotor/camera/image<", "2 sensors publish on"),
    ("models/lnn_quadrotor/model.sdf", "<topic>/lnn_quadrotor/depth/image<",
     "<topic>/lnn_quadrotor/depth<", "ends in /image"),
    ("models/lnn_quadrotor/model.sdf", "<topic>/lnn_quadrotor/imu</topic>", "",
     "sensor imu: expected 1 to 1 elements topic"),
    ("models/lnn_quadrotor/model.sdf", "<far>20<", "<far>0.05<", "near is not nearer than far"),
    ("models/lnn_quadrotor/model.sdf", "<cylinder>", "<cone>", "cannot be read as XML"),
    ("models/lnn_quadrotor/model.sdf", "<update_rate>200</update_rate>", "<rate>200</rate>",
     "element rate does not belong there"),
])
def test_what_is_wrong_is_named(file: str, old: str, new: str, sentence: str,
                                worlds: Path) -> None:
    path = worlds / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert any(sentence in problem for problem in problems(path)), problems(path)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe<", "<sdf/>".encode("utf-16"), b"<sdf>" * 10**6,
                                  b"<sdf>" + b" " * 10**7 + b"</sdf>"])
def test_what_is_no_xml_is_one_sentence(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.sdf").write_bytes(data)
    assert len(problems(tmp_path / "bad.sdf")) == 1


def test_model_without_its_file_is_missed(worlds: Path) -> None:
    (worlds / "models/lnn_quadrotor/model.sdf").unlink()
    assert any("has no model.sdf" in problem for problem in problems(worlds / "forest.sdf"))


def tool(folder: Path, name: str, script: str) -> None:
    """Put a program on the search path."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def checked(worlds: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[dict]]:
    """Return status and report of the command, with only a folder to find tools in."""
    monkeypatch.setenv("PATH", str(path) + os.pathsep + "/usr/bin_of_nobody")
    report = path / "report.json"
    status = main(["worlds", "--check", str(worlds), "--json", str(report)])
    return status, json.loads(report.read_text())["files"]


def test_command_checks_and_asks_gazebos_tool_if_there_is_one(
        worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    status, rows = checked(worlds, tmp_path, monkeypatch)
    assert status == 0
    assert len(rows) == len(list(worlds.rglob("*.sdf"))) >= 4
    assert not any(row["tool"] or row["problems"] for row in rows)
    assert "neither gz nor ign sdf is installed" in capsys.readouterr().out

    said = f'echo "$@ $SDF_PATH" >> {tmp_path}/asked; echo Valid.'
    tool(tmp_path, "ign", said + "; echo libignition-tools-backward.so is not there >&2")
    status, rows = checked(worlds, tmp_path, monkeypatch)
    assert status == 0
    assert {(row["tool"], row["verdict"]) for row in rows} == {("ign sdf -k", "Valid.")}
    asked = (tmp_path / "asked").read_text()
    assert f"sdf -k {worlds / 'forest.sdf'} {worlds / 'models'}" in asked

    tool(tmp_path, "gz", "echo Error Code 9: no; exit 255")
    status, rows = checked(worlds, tmp_path, monkeypatch)
    assert status == 1
    assert {row["verdict"] for row in rows} == {"Error Code 9: no"}


def test_command_fails_by_our_own_rules_alone(worlds: Path, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    path = worlds / "fortress/forest.sdf"
    path.write_text(path.read_text().replace("<gravity>", "<graveness>").replace(
        "</gravity>", "</graveness>"))
    status, rows = checked(worlds, tmp_path, monkeypatch)
    assert status == 1
    assert [row["path"] for row in rows if row["problems"]] == [str(path)]


def test_command_writes_a_world_that_passes(tmp_path: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["worlds", "--out", str(out), "--seed", "200001", "--gazebo", "fortress", "--name",
                 "wood", "--model", "lnn_quadrotor", "--model", "lnn_quadrotor:drone2", "--wind",
                 "0.5", "-0.5"]) == 0
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert written == {"wood.sdf", "bridge.yaml", "bridge_drone2.yaml",
                       *(f"models/{name}/model.{end}" for name in ("lnn_quadrotor", "drone2")
                         for end in ("sdf", "config"))}
    assert capsys.readouterr().out.count("\n") == len(written)
    for path in out.rglob("*.sdf"):
        assert problems(path) == []
    assert "0.5 -0.5 0" in (out / "wood.sdf").read_text()
    assert "/clock" not in (out / "bridge_drone2.yaml").read_text()  # one clock, once
    assert "/drone2/camera/image" in (out / "bridge_drone2.yaml").read_text()


@pytest.mark.parametrize(("words", "sentence"), [
    (["--out", "{}", "--seed", "-1"], "--seed is -1: expected 0 or more"),
    (["--out", "{}", "--name", "a/b"], "--name is 'a/b'"),
    (["--out", "{}", "--model", "lnn_boat"], "model 'lnn_boat' found"),
    (["--out", "{}", "--model", "lnn_quadrotor", "--model", "lnn_quadrotor"], "two vehicles alike"),
    (["--out", "{}/file/x"], "cannot be written"),
    (["--check", "{}"], "holds no .sdf file"),
])
def test_bad_words_are_one_sentence(words: list[str], sentence: str, tmp_path: Path,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["worlds", *(word.format(tmp_path) for word in words)]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
