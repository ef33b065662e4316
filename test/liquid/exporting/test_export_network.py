"""A ``LiquidRNN`` and what its file becomes: numpy, ONNX and C answer as torch does, from the first
observation after a reset on.
"""

from __future__ import annotations

import ctypes
import json
from functools import cache

import numpy as np
import pytest
import torch
from exports import assert_close, compile_c, found, session

from lnn_ros.liquid.checkpoint import load_cell
from lnn_ros.liquid.engine import CellEngine
from lnn_ros.liquid.exporting.c_export import cell_source
from lnn_ros.liquid.exporting.onnx_export import cell_model
from lnn_ros.liquid.rnn import LiquidRNN
from lnn_ros.liquid.rnn_files import save_rnn

F, O, UNITS = 3, 2, 6  # noqa: E741
DT = (0.03, 0.0, 0.4, 70.0, 0.05)
"""No time, and more than the grid of an LTC as it comes, which is exported whole."""
NETWORKS = {
    "flow": {},
    "flow after 0.25 s": {"first_interval": 0.25},
    "flow after nothing": {"first_interval": 0.0},
    "cfc": {},
    "cfc of ncps": {"compat": "ncps"},
    "ltc": {},
    "lstm": {"dt_input": True},
    "gru_d": {"presence": True, "first_interval": 2.0},
}
COMPILER = next(iter(found().values()))
"""One of them: what a compiler makes of a cell is the matter of ``test_export.py``."""


@cache
def network(name, folder):
    """The network's inputs and outputs, in torch, and its file, read."""
    rnn = LiquidRNN(F, O, name.split()[0], units=UNITS, seed=1, **NETWORKS[name])
    rnn.core.fused = False  # the kernels have tests of their own
    rng = np.random.default_rng(4)
    with torch.no_grad():
        for parameter in rnn.parameters():  # away from where they start
            parameter += torch.from_numpy(rng.normal(0, 0.3, parameter.shape))
        x = torch.from_numpy(rng.normal(0, 1, (1, len(DT), F)).astype(np.float32))
        y, _ = rnn(x, torch.tensor([DT]))
    save_rnn(folder / "rnn", rnn, "a network", {})
    return x[0].numpy(), y[0].numpy(), load_cell(folder / "rnn")


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request, tmp_path_factory):
    x, y, checkpoint = network(request.param, tmp_path_factory.mktemp("network"))
    if not checkpoint.presence:
        return x, y, checkpoint
    # Keeping the ages is the caller's work; they begin with the first interval.
    ages = np.cumsum(DT) - np.cumsum([0.0, *DT[:-1]])
    ages[0] += checkpoint.first_interval
    told = np.repeat(np.log1p(ages)[:, None], F, 1)
    return np.concatenate([x, np.ones_like(x), told], 1, dtype=np.float32), y, checkpoint


def read_out(checkpoint, activity):
    read = activity[len(activity) - checkpoint.cell.read :]
    return read @ checkpoint.arrays["readout.weight"] + checkpoint.arrays["readout.bias"]


def test_numpy_is_the_network(exported):
    x, wanted, checkpoint = exported
    engine = CellEngine.from_checkpoint(checkpoint)
    state, made = engine.initial(), []
    for dt, seen in zip(DT, x, strict=True):
        engine.predict(state, dt, state)
        engine.update(state, seen)
        made.append(read_out(checkpoint, engine.activity(state)))
    assert_close(made, wanted)


def test_onnx_is_the_network(exported):
    x, wanted, checkpoint = exported
    run = session(cell_model(checkpoint))
    papers = run.get_modelmeta().custom_metadata_map
    assert json.loads(papers["first_interval"]) == checkpoint.first_interval
    state, made = np.array([json.loads(papers["initial_state"])], np.float32), []
    for dt, seen in zip(DT, x, strict=True):
        feed = {"state": state, "dt": np.array([[dt]], np.float32), "inputs": seen[None]}
        state, outputs = run.run(["next_state", "outputs"], feed)
        made.append(outputs[0])
    assert_close(made, wanted)


def test_c_is_the_network(exported, tmp_path):
    x, wanted, checkpoint = exported
    source = cell_source(checkpoint)
    elapsed = 0.0 if getattr(checkpoint.cell, "compat", "") else checkpoint.first_interval
    assert f"as if {elapsed:g} s had passed" in source.partition("*/")[0]
    (tmp_path / "cell.c").write_text(source)
    done = compile_c(COMPILER, tmp_path / "cell.so", [tmp_path / "cell.c"], "-shared", "-fPIC")
    assert done.returncode == 0, done.stderr
    library = ctypes.CDLL(str(tmp_path / "cell.so"))
    state = np.full(checkpoint.cell.state_size, 7, np.float32)
    outputs, made = np.zeros(O, np.float32), []

    def at(array):
        return array.ctypes.data_as(ctypes.c_void_p)

    library.lnn_cell_reset(at(state))
    for dt, seen in zip(DT, x, strict=True):
        assert library.lnn_cell_predict(at(state), ctypes.c_float(dt)) == 0
        assert library.lnn_cell_update(at(state), at(np.ascontiguousarray(seen))) == 0
        library.lnn_cell_outputs(at(state), at(outputs))
        made.append(outputs.copy())
    assert_close(made, wanted)
