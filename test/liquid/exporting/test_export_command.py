"""``lnn_ros export``: what it writes, and what it says when it cannot."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnxruntime
import pytest
from exports import CELLS, cell_checkpoint
from policies_for_tests import small_checkpoint

from lnn_ros import policies
from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells import kinds
from lnn_ros.liquid.cells.feedforward import Feedforward
from lnn_ros.liquid.checkpoint import CellCheckpoint, load, save, save_cell
from lnn_ros.liquid.exporting.c_export import cell_source, policy_source
from lnn_ros.liquid.exporting.onnx_export import cell_model
from lnn_ros.liquid.wiring import WiredLayer, Wiring


def test_command_writes_a_policy(tmp_path, capsys):
    policy = policies.path("fly_to_target")
    files = {option: tmp_path / "new" / f"x.{option}" for option in ("onnx", "onnx-read", "c")}
    words = [word for option, file in files.items() for word in (f"--{option}", str(file))]
    assert main(["export", str(policy), *words]) == 0
    shown = capsys.readouterr().out
    for file in files.values():
        assert f"{file}: {file.stat().st_size} bytes" in shown
    assert files["c"].read_text() == policy_source(load(policy))
    run = onnxruntime.InferenceSession(files["onnx"], providers=["CPUExecutionProvider"])
    assert [each.name for each in run.get_outputs()] == ["next_state", "command"]
    run = onnxruntime.InferenceSession(files["onnx-read"], providers=["CPUExecutionProvider"])
    assert [each.name for each in run.get_inputs()] == ["state", "dt"]
    assert len(list((tmp_path / "new").iterdir())) == 3


def test_command_writes_a_cell(tmp_path):
    file, case = tmp_path / "cell.safetensors", CELLS[0]
    save_cell(file, cell_checkpoint(case))
    words = ["--onnx", str(tmp_path / "cell.onnx"), "--c", str(tmp_path / "cell.c")]
    assert main(["export", str(file), *words]) == 0
    assert "lnn_cell_outputs" in (tmp_path / "cell.c").read_text()
    run = onnxruntime.InferenceSession(tmp_path / "cell.onnx", providers=["CPUExecutionProvider"])
    assert [each.name for each in run.get_outputs()] == ["next_state", "activity", "outputs"]


def refused(capsys, *words):
    assert main(["export", *map(str, words)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("lnn_ros: ") and said.count("\n") == 1
    return said


def test_command_says_what_is_missing(tmp_path, capsys, monkeypatch):
    policy, cell = tmp_path / "policy.safetensors", tmp_path / "cell.safetensors"
    save(policy, small_checkpoint())
    save_cell(cell, cell_checkpoint(CELLS[0]))
    assert "expected --onnx, --onnx-read or --c" in refused(capsys, policy)
    assert "cell alone" in refused(capsys, cell, "--onnx-read", tmp_path / "x")
    assert "none.safetensors" in refused(capsys, tmp_path / "none.safetensors", "--c", "x")
    (tmp_path / "file").touch()
    said = refused(capsys, policy, "--c", tmp_path / "file" / "x.c")
    assert "x.c: cannot be written" in said
    monkeypatch.setitem(sys.modules, "onnx", None)
    said = refused(capsys, policy, "--onnx", tmp_path / "x.onnx", "--c", tmp_path / "x.c")
    assert "needs the Python module onnx" in said and "pip install 'lnn_ros[export]'" in said
    assert not (tmp_path / "x.c").exists()  # all or nothing


@dataclass(frozen=True)
class Impatient(Feedforward):
    """Does as many steps as there are seconds."""

    kind: ClassVar[str] = "impatient"

    def predict(self, ops, w, state, dt):
        for _ in range(int(dt)):
            state = state + 1.0
        return state


def test_a_cell_whose_steps_depend_on_data_is_refused_in_one_sentence():
    wiring = Wiring((WiredLayer("only", np.ones((2, 3), np.int8)),))
    cell = Impatient.wired(2, wiring, 3)
    values = cell.initialise(np.random.default_rng(0), wiring.masks())
    arrays = {f"core.{name}": value.astype(np.float32) for name, value in values.items()}
    checkpoint = CellCheckpoint(cell, {**arrays, **wiring.masks()}, 0, "impatient", {})
    for export in (cell_source, cell_model):
        with pytest.raises(LnnError, match="cell impatient cannot be exported: trace"):
            export(checkpoint)


def test_every_cell_is_exported():
    assert {case.kind for case in CELLS} == set(kinds())
