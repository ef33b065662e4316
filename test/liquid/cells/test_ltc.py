"""The LTC cell against its own ODE, solved by scipy; its domain, its gradients, its wiring."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.ltc import CM_MIN, GLEAK_MIN, LTC
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.rnn import LiquidRNN
from lnn_ros.liquid.torch_cell import OPS, CellModule
from lnn_ros.liquid.wiring import Wiring, auto_ncp, dense

TIMES = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
# What docs/explanation/published-cells.md states: potentials are of the order of 1.
TOLERANCE = 5e-3
MEDIAN = 2e-4


def softplus(x):
    return np.log1p(np.exp(x))


def cell_and_weights(wiring: Wiring, seed: int, **options):
    cell = LTC.wired(wiring.inputs, wiring, wiring.layers[-1].units, **options)
    return cell, cell.initialise(np.random.default_rng(seed), wiring.masks())


def right_hand_side(wiring: Wiring, w, inputs):
    """The ODE as the docstring of the cell has it, over whole adjacency matrices."""
    n, layers = wiring.units, [layer.name for layer in wiring.layers]
    starts = dict(zip(layers, np.cumsum([0, *wiring.sizes])[:-1], strict=True))
    full = {k: np.zeros((n, n)) for k in ("w", "sigma", "mu", "erev")}
    for i, layer in enumerate(wiring.layers):
        here = slice(starts[layer.name], starts[layer.name] + layer.units)
        sources = list(range(starts[layers[i - 1]], starts[layer.name])) if i else []
        sources += list(range(here.start, here.stop)) if layer.loop is not None else []
        for k, matrix in full.items():
            if sources:
                matrix[sources, here] = w[f"{layer.name}.{k}"]
    cm, gleak = softplus(w["cm"]) + CM_MIN, softplus(w["gleak"]) + GLEAK_MIN
    first = wiring.layers[0].units

    def synapses(v, w, sigma, mu, erev, to):
        open_ = w**2 / (1 + np.exp(-sigma * (v[:, None] - mu)))
        return (open_ * (erev - to[None, :])).sum(0)

    def f(_, v):
        current = gleak * (w["vleak"] - v)
        current += synapses(v, full["w"], full["sigma"], full["mu"], full["erev"], v)
        seen = inputs * w["sensory.scale"] + w["sensory.shift"]
        names = ("w", "sigma", "mu", "erev")
        current[:first] += synapses(seen, *(w[f"sensory.{k}"] for k in names), v[:first])
        return current / cm

    return f


def random_wiring(rng: np.random.Generator) -> Wiring:
    if rng.random() < 0.5:
        return dense(int(rng.integers(1, 9)), int(rng.integers(4, 25)))
    return auto_ncp(
        int(rng.integers(1, 9)), int(rng.integers(8, 33)), 3, seed=int(rng.integers(1 << 20))
    )


def test_stays_within_its_tolerance_of_the_exact_solution():
    errors = []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        wiring = random_wiring(rng)
        cell, w = cell_and_weights(wiring, seed)
        inputs, v = rng.normal(size=wiring.inputs), rng.uniform(-1, 1, wiring.units)
        exact = solve_ivp(
            right_hand_side(wiring, w, inputs), (0, 60), v, "LSODA", TIMES, rtol=1e-8, atol=1e-10
        ).y.T
        state = np.concatenate([v, v, [0.0]])
        state = cell.predict(NUMPY, w, np.tile(state, (len(TIMES), 1)), np.array(TIMES)[:, None])
        after = cell.update(NUMPY, w, state, np.tile(inputs, (len(TIMES), 1)))
        errors.append(np.abs(after[:, cell.where("potential")] - exact))
    worst = np.array([error.max() for error in errors])
    assert worst.max() < TOLERANCE
    assert np.median(worst) < 4 * MEDIAN


def test_the_grid_has_at_most_64_steps():
    cell, _ = cell_and_weights(dense(1, 2), 0)
    assert len(cell.grid()) <= 64
    assert cell.grid()[-1] == 60.0
    assert (np.diff(cell.grid()) > 0).all()


def test_a_finer_grid_errs_less_with_the_third_power():
    wiring = dense(3, 12)
    rng = np.random.default_rng(1)
    inputs, v = rng.normal(size=3), rng.uniform(-1, 1, 12)
    errors = []
    for step in (0.04, 0.02, 0.01):
        cell, w = cell_and_weights(wiring, 5, first_step=step, growth=1.0, longest=0.5)
        exact = solve_ivp(
            right_hand_side(wiring, w, inputs), (0, 0.48), v, "LSODA", (0.48,), rtol=1e-10,
            atol=1e-12,
        ).y[:, -1]  # fmt: skip
        after = cell.update(NUMPY, w, np.concatenate([v, v, [0.48]]), inputs)
        errors.append(np.abs(after[cell.where("potential")] - exact).max())
    assert errors[0] / errors[1] > 6
    assert errors[1] / errors[2] > 6


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 30.0))
def test_no_time_is_the_identity_whatever_the_numbers_are(seed, scale):
    rng = np.random.default_rng(seed)
    wiring = random_wiring(rng)
    cell, w = cell_and_weights(wiring, seed)
    w = {name: value * scale for name, value in w.items()}
    state = np.concatenate([rng.normal(size=2 * wiring.units), [0.0]])
    after = cell.update(NUMPY, w, state, rng.normal(size=wiring.inputs))
    part = cell.where("potential")
    assert np.array_equal(after[part], state[part])


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    scale=st.floats(0.1, 30.0),
    elapsed=st.floats(0.0, 1000.0),
    single=st.booleans(),
)
def test_numbers_and_gradients_are_finite_whatever_the_time(seed, scale, elapsed, single):
    rng = np.random.default_rng(seed)
    dtype = torch.float32 if single else torch.float64
    wiring = dense(2, 6) if seed % 2 else auto_ncp(2, 9, 2, seed=seed)
    cell = LTC.wired(2, wiring, wiring.layers[-1].units, growth=1.5)
    module = CellModule(cell, wiring, seed, dtype)
    with torch.no_grad():
        for parameter in module.parameters():  # also to where no drawn number is
            parameter.mul_(scale * float(rng.choice([-1, 1])))
    inputs = torch.tensor(rng.normal(size=(1, 1, 2)), dtype=dtype, requires_grad=True)
    dt = torch.tensor([[elapsed]], dtype=dtype, requires_grad=True)
    states = module.states(inputs, dt, module.initial(1))
    states.sum().backward()
    assert torch.isfinite(states).all()
    assert torch.isfinite(inputs.grad).all()
    assert torch.isfinite(dt.grad).all()
    for name, parameter in module.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name


def test_potentials_stay_near_what_the_synapses_pull_to():
    cell, w = cell_and_weights(dense(2, 8), 3)
    state = np.zeros((200, cell.state_size))
    state[:, -1] = np.geomspace(1e-3, 1e4, 200)
    after = cell.update(NUMPY, w, state, np.random.default_rng(0).normal(size=(200, 2)))
    # Reversal potentials are -1 and 1; a step may overshoot by a sixth of their distance.
    assert np.abs(after[:, cell.where("potential")]).max() < 1 + 2 / 6


def test_the_other_samples_of_a_batch_do_not_matter():
    cell, w = cell_and_weights(auto_ncp(3, 12, 2), 1)
    rng = np.random.default_rng(0)
    state, inputs = rng.normal(size=(4, cell.state_size)), rng.normal(size=(4, 3))
    state[:, -1] = 0.004, 0.0, 0.7, 60.0
    together = cell.update(NUMPY, w, state, inputs)
    for i in range(4):
        others = np.full_like(state, np.nan)
        others[i] = state[i]
        assert np.array_equal(cell.update(NUMPY, w, others, inputs)[i], together[i])
        others[:, :-1], others[:, -1] = 1.0, 0.01
        others[i] = state[i]
        assert np.array_equal(cell.update(NUMPY, w, others, inputs * 1.0)[i], together[i])


def test_the_gradient_by_the_time_is_the_right_hand_side():
    wiring = dense(2, 5)
    cell, _ = cell_and_weights(wiring, 2)
    module = CellModule(cell, wiring, 2, torch.float64)
    rng = np.random.default_rng(0)
    v, inputs = rng.uniform(-1, 1, 5), rng.normal(size=2)
    w = {name: value.detach().numpy() for name, value in module.weights().items()}
    f = right_hand_side(wiring, w, inputs)
    for elapsed in (0.0, 0.013, 0.3):
        state = torch.tensor(np.concatenate([v, v, [elapsed]]), requires_grad=True)
        part = cell.where("potential")
        after = cell.update(OPS, module.weights(), state, torch.tensor(inputs))[part]
        by_time = np.array(
            [torch.autograd.grad(x, state, retain_graph=True)[0][-1] for x in after]
        )
        np.testing.assert_allclose(by_time, f(0, after.detach().numpy()), atol=2e-3)


def test_a_neuron_depends_on_another_only_along_synapses():
    wiring = auto_ncp(4, 14, 3, seed=7)
    cell = LTC.wired(4, wiring, 3)
    module = CellModule(cell, wiring, 0, torch.float64)
    sensory, neurons = (matrix != 0 for matrix in wiring.adjacency())
    reach = neurons | np.eye(wiring.units, dtype=bool)
    for _ in range(wiring.units):
        reach = reach | (reach.astype(int) @ reach.astype(int) > 0)
    part = cell.where("potential")

    def after(v, inputs):
        state = torch.cat([v, v, torch.tensor([0.5], dtype=torch.float64)])
        return cell.update(OPS, module.weights(), state, inputs)[part]

    rng = torch.Generator().manual_seed(0)
    v = torch.rand(wiring.units, dtype=torch.float64, generator=rng)
    seen = torch.rand(4, dtype=torch.float64, generator=rng)
    by_v, by_input = torch.autograd.functional.jacobian(after, (v, seen))
    assert (by_v.numpy().T[~reach] == 0).all()
    assert (by_input.numpy().T[(sensory.astype(int) @ reach.astype(int)) == 0] == 0).all()
    assert (by_v.numpy().T[neurons] != 0).all()


def test_synapses_start_with_the_sign_that_the_wiring_gives_them():
    wiring = auto_ncp(4, 14, 3, seed=7)
    module = LiquidRNN(4, 3, cell="ltc", wiring=wiring).core
    weights = module.weights()
    motor, command = wiring.layers[2], wiring.layers[1]
    np.testing.assert_array_equal(weights["sensory.erev"].detach(), wiring.layers[0].feed)
    np.testing.assert_array_equal(weights["motor.erev"].detach(), motor.feed)
    np.testing.assert_array_equal(weights["command.erev"].detach(), command.signs)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"first_step": 0.0}, "first_step"),
        ({"growth": 0.5}, "growth"),
        ({"longest": 0.001}, "longest"),
        ({"growth": 1.0, "first_step": 0.01}, "steps"),
        ({"compat": "keras"}, "compat"),
        ({"constrained": False}, "constrained"),
        ({"unfolds": 0}, "unfolds"),
        ({"epsilon": -1.0}, "epsilon"),
    ],
)
def test_what_cannot_run_is_refused_in_a_sentence(options, said):
    with pytest.raises(LnnError, match=said):
        cell_and_weights(dense(1, 2), 0, **options)


def test_the_read_out_maps_the_motor_neurons_alone():
    wiring = auto_ncp(3, 10, 2)
    cell, w = cell_and_weights(wiring, 0)
    w["output.scale"], w["output.shift"] = np.array([2.0, 3.0]), np.array([0.5, -0.5])
    state = np.zeros(cell.state_size)
    state[-1] = 0.3
    after = cell.update(NUMPY, w, state, np.ones(3))
    v, x = after[cell.where("potential")], cell.activity(NUMPY, after)
    np.testing.assert_array_equal(x[:-2], v[:-2])
    np.testing.assert_allclose(x[-2:], v[-2:] * [2.0, 3.0] + [0.5, -0.5])


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), elapsed=st.floats(0.0, 99.0))
def test_one_step_repeated_is_the_cell(seed, elapsed):
    """``stages``: over the intervals of the grid, then over what is left, to the last bit."""
    rng = np.random.default_rng(seed)
    wiring = random_wiring(rng)
    cell, w = cell_and_weights(wiring, seed)
    one, instants = cell.stages()
    assert instants[0] == 0.0 and one.kind == cell.kind
    state, inputs = rng.normal(size=cell.state_size), rng.normal(size=wiring.inputs)
    state[-1] = elapsed
    wanted = cell.update(NUMPY, w, state, inputs)
    ends = [instant for instant in instants[1:] if instant < elapsed] + [elapsed]
    for start, end in pairwise([0.0, *ends]):
        state[-1] = end - start
        state = one.update(NUMPY, w, state, inputs)
    np.testing.assert_array_equal(state, wanted)


def test_what_ncps_does_is_all_of_a_piece():
    assert cell_and_weights(dense(1, 2), 0, compat="ncps")[0].stages() is None


def test_what_depends_on_weights_alone_can_be_computed_once():
    wiring = auto_ncp(3, 12, 2)
    for options in ({}, {"compat": "ncps"}, {"compat": "ncps", "constrained": False}):
        cell, w = cell_and_weights(wiring, 0, **options)
        state = np.random.default_rng(0).normal(size=cell.state_size)
        state[-1] = 0.3
        once = cell.update(NUMPY, cell.derived(NUMPY, w), state, np.ones(3))
        np.testing.assert_array_equal(once, cell.update(NUMPY, w, state, np.ones(3)))
