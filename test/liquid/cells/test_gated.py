"""The GRU and the LSTM are torch's, with the elapsed time as one more input where it is wanted."""

import numpy as np
import pytest
import torch

from lnn_ros.liquid.cells.gru import GRU
from lnn_ros.liquid.cells.lstm import GATES, LSTM
from lnn_ros.liquid.torch_cell import CellModule
from lnn_ros.liquid.wiring import dense

F, N, T, B = 5, 7, 11, 3


def module(kind, inputs=F, **options):
    wiring = dense(inputs, N)
    return CellModule(kind.wired(inputs, wiring, N, **options), wiring, 3, torch.float64)


def stream(inputs=F, seed=0):
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.normal(0, 1, (T, B, inputs)))
    return x, torch.tensor(rng.exponential(0.3, (T, B)))


def copy_gate(theirs, row, ours, feed, loop):
    """Torch stacks the gates and keeps feed and loop, with a bias each, apart."""
    rows = slice(row * N, (row + 1) * N)
    with torch.no_grad():
        theirs.weight_ih_l0[rows] = feed.T
        theirs.weight_hh_l0[rows] = loop.T
        theirs.bias_ih_l0[rows] = 0.25 * ours.bias
        theirs.bias_hh_l0[rows] = 0.75 * ours.bias


def torch_twin(core, inputs=F):
    hidden = core.hidden
    if isinstance(core.cell, LSTM):
        theirs = torch.nn.LSTM(inputs, N, dtype=torch.float64)
        assert GATES == ("input", "forget", "candidate", "output")  # torch's order
        for row, gate in enumerate(GATES):
            weight = getattr(hidden, gate).weight
            copy_gate(theirs, row, getattr(hidden, gate), weight[:inputs], weight[inputs:])
        return theirs
    theirs = torch.nn.GRU(inputs, N, dtype=torch.float64)
    for row, gate in enumerate(("reset", "update")):
        weight = getattr(hidden, gate).weight
        copy_gate(theirs, row, getattr(hidden, gate), weight[:inputs], weight[inputs:])
    copy_gate(theirs, 2, hidden.candidate, hidden.candidate.weight, hidden.recurrent.weight)
    with torch.no_grad():
        theirs.bias_ih_l0[2 * N :] = hidden.candidate.bias
        theirs.bias_hh_l0[2 * N :] = hidden.recurrent.bias
    return theirs


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_dense_equals_torch(kind):
    core = module(kind)
    with torch.no_grad():
        for name, parameter in core.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    x, dt = stream()
    theirs, _ = torch_twin(core)(x)
    ours, _ = core(x, dt, core.initial(B))
    np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_elapsed_time_is_one_more_input(kind):
    core = module(kind, dt_input=True)
    x, dt = stream()
    theirs, _ = torch_twin(core, F + 1)(torch.cat([x, torch.log1p(dt)[..., None]], -1))
    ours, _ = core(x, dt, core.initial(B))
    np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_elapsed_time_counts_from_the_last_observation(kind):
    core = module(kind, dt_input=True)
    x, dt = stream()
    present = torch.ones(T, B, dtype=torch.bool)
    present[4:6, 1] = False
    ours = core.states(x, dt, core.initial(B), present)[-1, 1]
    seen = torch.cat([x[:4, 1:2], x[6:, 1:2]])
    gaps = torch.cat([dt[:4, 1:2], dt[4:7, 1:2].sum(0, keepdim=True), dt[7:, 1:2]])
    without = core.states(seen, gaps, core.initial(1))[-1, 0]
    np.testing.assert_allclose(ours.detach(), without.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_without_it_the_time_means_nothing(kind):
    core = module(kind)
    x, dt = stream()
    a, b = core(x, dt, core.initial(B))[0], core(x, 10 * dt, core.initial(B))[0]
    assert torch.equal(a, b)
