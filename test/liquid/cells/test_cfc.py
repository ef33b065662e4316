"""The closed-form cell: its published equations, its wiring, its memory; what compat changes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells import cell_from_json, cell_type
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.rnn import LiquidRNN
from lnn_ros.liquid.torch_cell import OPS, CellModule
from lnn_ros.liquid.wiring import WiredLayer, Wiring, auto_ncp, dense

NCP = auto_ncp(4, 14, 3, seed=5)
MODES = ("default", "no_gate", "pure")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def drawn(kind, wiring, seed=0, **options):
    """Return a cell and weights that are nowhere zero but where the wiring forbids."""
    cell = cell_type(kind).wired(wiring.inputs, wiring, wiring.layers[-1].units, **options)
    masks, rng = wiring.masks(), np.random.default_rng(seed)
    allowed = cell.allowed(masks)
    return cell, {
        name: rng.normal(scale=0.5, size=shape) * allowed.get(name, 1)
        for name, shape in cell.parameters().items()
    }


@pytest.mark.parametrize("mode", MODES)
def test_a_dense_update_is_the_published_equation(mode):
    cell, w = drawn("cfc", dense(3, 5), mode=mode)
    rng = np.random.default_rng(1)
    x, u, elapsed = rng.normal(size=5), rng.normal(size=3), 0.7
    parts = (np.concatenate([u, x]) @ w["hidden.weight"] + w["hidden.bias"]).reshape(-1, 5)
    if mode == "pure":
        rate = np.abs(w["hidden.w_tau"]) + np.abs(parts[0])
        expected = w["hidden.A"] - w["hidden.A"] * parts[0] * np.exp(-elapsed * rate)
    else:
        f1, f2, share = np.tanh(parts[0]), np.tanh(parts[1]), sigmoid(parts[2] * elapsed + parts[3])
        expected = f1 + share * f2 if mode == "no_gate" else (1 - share) * f1 + share * f2
    after = cell.update(NUMPY, w, np.concatenate([x, [elapsed]]), u)
    np.testing.assert_allclose(after, [*expected, 0.0], rtol=1e-12)


ACTIVATIONS = {
    "lecun_tanh": lambda x: 1.7159 * torch.tanh(0.666 * x),
    "relu": torch.relu,
    "tanh": torch.tanh,
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_backbone_is_a_perceptron_over_the_sources(name):
    cell, w = drawn(
        "cfc", dense(2, 3), backbone_layers=2, backbone_units=6, activation=name, mode="pure"
    )
    x, u = np.array([0.3, -0.2, 1.4]), np.array([5.0, -0.7])
    z = torch.tensor(np.concatenate([u, x]))
    for i in range(2):
        weight, bias = (torch.tensor(w[f"hidden.backbone.{i}.{p}"]) for p in ("weight", "bias"))
        z = ACTIVATIONS[name](z @ weight + bias)
    f1 = z.numpy() @ w["hidden.weight"] + w["hidden.bias"]
    rate = np.abs(w["hidden.w_tau"]) + np.abs(f1)
    expected = w["hidden.A"] * (1 - f1 * np.exp(-0.5 * rate))
    after = cell.update(NUMPY, w, np.concatenate([x, [0.5]]), u)
    np.testing.assert_allclose(after[:-1], expected, rtol=0, atol=1e-9)


def test_gelu_has_the_exact_one_s_slope():
    cell = cell_type("cfc").wired(
        1, dense(1, 1), 1, backbone_layers=1, backbone_units=1, activation="gelu", mode="pure"
    )
    module = CellModule(cell, dense(1, 1), dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.fill_(float(name.endswith(("A", "weight"))))
            parameter.neg_() if name.endswith("A") else None
    x = torch.linspace(-9, 9, 1801, dtype=torch.float64)[:, None].requires_grad_()
    state = torch.zeros(1801, 2, dtype=torch.float64)
    after = cell.update(OPS, module.weights(), state, x)[:, :1]  # A (1 - f1) = gelu(x) - 1
    np.testing.assert_allclose(
        after.detach(), torch.nn.functional.gelu(x.detach()) - 1.0, rtol=0, atol=1e-9
    )
    (ours,) = torch.autograd.grad(after.sum(), x)
    (exact,) = torch.autograd.grad(torch.nn.functional.gelu(x).sum(), x)
    np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-8)


def gate_jacobian(cell, w, wiring, which):
    """Which state numbers and inputs reach each activity, in one update."""
    rng = np.random.default_rng(3)
    weights = {name: torch.tensor(value) for name, value in w.items()}
    state = torch.tensor(rng.normal(size=cell.state_size))
    state[-1] = 0.4
    inputs = torch.tensor(rng.normal(size=wiring.inputs))
    jacobian = torch.autograd.functional.jacobian(
        lambda s, u: cell.update(OPS, weights, s, u)[: cell.units], (state, inputs)
    )
    return jacobian[which].numpy()


@pytest.mark.parametrize("mode", MODES)
def test_what_the_wiring_forbids_reaches_no_gate(mode):
    # One layer that hears some inputs and some of its neurons: nothing can go a longer way round.
    rng = np.random.default_rng(2)
    wiring = Wiring(
        (
            WiredLayer(
                "only",
                (rng.random((4, 6)) < 0.5).astype(np.int8),
                (rng.random((6, 6)) < 0.4).astype(np.int8),
            ),
        )
    )
    cell, w = drawn("cfc", wiring, mode=mode)
    heard = gate_jacobian(cell, w, wiring, 1).T != 0
    np.testing.assert_array_equal(heard, wiring.layers[0].feed != 0)
    itself = gate_jacobian(cell, w, wiring, 0)[:, :6].T != 0
    np.testing.assert_array_equal(itself, wiring.layers[0].loop != 0)


def test_compat_hears_its_whole_layer_whatever_the_wiring_says():
    cell, w = drawn("cfc", NCP, compat="ncps")
    inter = NCP.sizes[0]
    itself = gate_jacobian(cell, w, NCP, 0)[:inter, :inter]
    assert NCP.layers[0].loop is None
    assert (itself != 0).all()
    assert (gate_jacobian(cell, w, NCP, 1)[:inter] != 0).all()  # by way of the time gates


def reachable(wiring, memory):
    """What may reach what in one update: through layers, and twice through one with a memory."""
    sensory, neurons = (matrix != 0 for matrix in wiring.adjacency())
    starts = np.cumsum([0, *wiring.sizes])
    by_input = np.zeros((wiring.inputs, wiring.units), bool)
    by_state = np.zeros((wiring.units, wiring.units), bool)
    before_input, before_state = np.eye(wiring.inputs, dtype=bool), None
    for i, layer in enumerate(wiring.layers):
        here = slice(starts[i], starts[i + 1])
        feed = layer.feed != 0
        inputs = before_input.astype(int) @ feed > 0
        state = (
            np.zeros((wiring.units, layer.units), bool)
            if before_state is None
            else before_state.astype(int) @ feed > 0
        )
        if layer.loop is not None:
            loop = layer.loop != 0
            own = np.zeros_like(state)
            own[here] = loop
            if memory:  # sources of a neuron's memory reach those that hear it
                inputs |= (before_input.astype(int) @ feed @ loop) > 0
                state |= (state.astype(int) @ loop) > 0
                own[here] = loop.astype(int) @ loop > 0
            state |= own
        by_input[:, here], by_state[:, here] = inputs, state
        before_input, before_state = inputs, state
    assert sensory.shape == by_input.shape and neurons.shape == by_state.shape
    return by_input, by_state


@pytest.mark.parametrize("kind", ["cfc", "cfc_mixed"])
@pytest.mark.parametrize("wiring", [NCP, auto_ncp(3, 20, 2, sparsity=0.8)], ids=["half", "fifth"])
def test_every_path_runs_along_synapses(kind, wiring):
    cell, w = drawn(kind, wiring)
    by_input, by_state = reachable(wiring, memory=kind == "cfc_mixed")
    assert (gate_jacobian(cell, w, wiring, 1).T[~by_input] == 0).all()
    assert (gate_jacobian(cell, w, wiring, 0)[:, : cell.units].T[~by_state] == 0).all()


@settings(deadline=None, max_examples=25)
@given(
    kind=st.sampled_from(["cfc", "cfc_mixed"]),
    mode=st.sampled_from(MODES),
    compat=st.sampled_from(["", "ncps"]),
    elapsed=st.floats(0.0, 60.0),
    scale=st.floats(0.1, 20.0),
    single=st.booleans(),
)
def test_numbers_and_gradients_are_finite_from_no_time_to_a_minute(
    kind, mode, compat, elapsed, scale, single
):
    dtype = torch.float32 if single else torch.float64
    rnn = LiquidRNN(3, 2, cell=kind, units=5, mode=mode, compat=compat, dtype=dtype)
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.mul_(scale)
    x = torch.randn(2, 3, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    x.requires_grad_()
    y, _ = rnn(x, torch.full((2, 3), elapsed, dtype=dtype))
    y.sum().backward()
    assert torch.isfinite(y).all()
    assert all(torch.isfinite(p.grad).all() for p in (x, *rnn.parameters()))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), elapsed=st.floats(0.0, 60.0))
def test_the_memory_forgets_per_second(seed, elapsed):
    """Holding the gates, a memory that is never written keeps F^D of itself: F after a second."""
    cell, w = drawn("cfc_mixed", dense(2, 3), seed)
    w["hidden.memory.gates.weight"][:, :3] = w["hidden.memory.gates.bias"][:3] = 0.0
    rng = np.random.default_rng(seed)
    state, inputs = rng.normal(size=cell.state_size), rng.normal(size=2)
    part = cell.where("memory")

    def kept(seconds):
        state[-1] = seconds
        return cell.update(NUMPY, w, state, inputs)[part] / state[part]

    np.testing.assert_allclose(kept(elapsed), kept(1.0) ** elapsed, rtol=1e-9)
    assert (kept(0.0) == 1.0).all()


def test_the_memory_of_one_second_is_the_published_one():
    ours, w = drawn("cfc_mixed", dense(2, 4))
    theirs, _ = drawn("cfc_mixed", dense(2, 4), compat="ncps")
    same = {name.replace("hidden.memory", "memory"): value for name, value in w.items()}
    assert same.keys() == theirs.parameters().keys()
    state, inputs = np.random.default_rng(0).normal(size=ours.state_size), np.array([0.2, -1.0])
    for elapsed, equal in ((1.0, True), (0.1, False)):
        state[-1] = elapsed
        found = ours.update(NUMPY, w, state, inputs)
        assert np.allclose(found, theirs.update(NUMPY, same, state, inputs), atol=1e-12) == equal


@pytest.mark.parametrize(
    ("kind", "wiring", "options", "said"),
    [
        ("cfc", dense(1, 2), {"mode": "gated"}, "mode"),
        ("cfc", dense(1, 2), {"activation": "elu"}, "activation"),
        ("cfc", dense(1, 2), {"compat": "keras"}, "compat"),
        ("cfc_mixed", dense(1, 2), {"compat": "ncps_keras"}, "compat"),
        ("cfc", dense(1, 2), {"backbone_layers": -1}, "backbone_layers"),
        ("cfc", dense(1, 2), {"backbone_units": 0}, "backbone_units"),
        ("cfc", NCP, {"backbone_layers": 1}, "backbone"),
        ("cfc_mixed", Wiring((WiredLayer("a", np.ones((1, 2), np.int8)),)), {}, "recurrent"),
    ],
)
def test_what_cannot_run_is_refused_in_a_sentence(kind, wiring, options, said):
    with pytest.raises(LnnError, match=said):
        drawn(kind, wiring, **options)


def test_a_backbone_wants_a_dense_wiring():
    sparse = np.array([[1, 0]], np.int8)
    with pytest.raises(LnnError, match="sparse"):
        drawn("cfc", Wiring((WiredLayer("hidden", sparse),)), backbone_layers=1)


@pytest.mark.parametrize("kind", ["cfc", "cfc_mixed"])
def test_plain_data_and_back(kind):
    cell, _ = drawn(kind, dense(2, 3), mode="no_gate", compat="ncps", backbone_layers=1)
    assert cell_from_json(cell.to_json()) == cell
