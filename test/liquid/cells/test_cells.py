"""The laws that every cell of the registry keeps, whatever its wiring, options and parameters."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from cell_cases import CASES, INPUTS, build, random_run, random_weights, reach
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells import cell_from_json, cell_type, kinds
from lnn_ros.liquid.ops import NUMPY, TorchOps
from lnn_ros.liquid.programs.trace import trace
from lnn_ros.liquid.torch_cell import CellModule
from lnn_ros.liquid.wiring import dense

TORCH = TorchOps()
cases = pytest.mark.parametrize("case", CASES, ids=str)
few = settings(max_examples=3)
seeds = st.integers(0, 2**32 - 1)
seconds = st.floats(0.0, 60.0)


@cache
def module(case, seed=0, dtype=torch.float64):
    cell, wiring = build(case)
    core = CellModule(cell, wiring, 0, dtype)
    with torch.no_grad():
        for name, value in random_weights(case, seed).items():
            core.get_parameter(name).copy_(torch.tensor(value))
    return core


def stream(case, seed, steps=7, batch=4, dtype=torch.float64):
    """Return inputs, irregular dt (zeros too), presence and episode starts; time first."""
    rng = np.random.default_rng(seed)
    inputs = torch.tensor(random_run(case, rng, (steps, batch)), dtype=dtype)
    dt = rng.exponential(0.3, (steps, batch)) * rng.integers(0, 2, (steps, batch))
    present = torch.tensor(rng.random((steps, batch)) < 0.7)
    keep = torch.tensor(rng.random((steps, batch)) < 0.9)
    return inputs, torch.tensor(dt, dtype=dtype), present, keep


def some_state(case, w, rng, shape=()):
    """Return a state that the cell has come to by itself."""
    cell, _ = build(case)
    state = np.broadcast_to(cell.initial_state(0.5), (*shape, cell.state_size))
    for _ in range(3):
        state = cell.predict(NUMPY, w, state, rng.exponential(0.3, (*shape, 1)))
        state = cell.update(NUMPY, w, state, random_run(case, rng, shape))
    return state


def test_every_cell_is_put_to_the_test():
    assert {case.kind for case in CASES} == set(kinds())


# -- time ---------------------------------------------------------------------------------------


@cases
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@few
@given(seed=seeds)
def test_no_time_changes_nothing(case, dtype, seed):
    cell, _ = build(case)
    rng = np.random.default_rng(seed)
    w = {n: v.astype(dtype) for n, v in random_weights(case, seed % 3).items()}
    state = some_state(case, w, rng, (3,)).astype(dtype)
    state = cell.predict(NUMPY, w, state, rng.exponential(1.0, (3, 1)).astype(dtype))
    after = cell.predict(NUMPY, w, state, np.zeros((3, 1), dtype))
    assert after.dtype == dtype
    np.testing.assert_array_equal(after, state)


@cases
@pytest.mark.parametrize("dtype, limit", [(np.float32, 1e-5), (np.float64, 1e-12)])
@few
@given(seed=seeds, a=st.floats(0.0, 5.0), b=st.floats(0.0, 5.0))
def test_two_flows_are_one(case, dtype, limit, seed, a, b):
    cell, _ = build(case)
    w = {n: v.astype(dtype) for n, v in random_weights(case, seed % 3).items()}
    state = some_state(case, w, np.random.default_rng(seed)).astype(dtype)

    def flow(state, dt):
        return cell.predict(NUMPY, w, state, np.array([dt], dtype))

    twice, once = flow(flow(state, a), b), flow(state, a + b)
    assert np.max(np.abs(twice - once) / np.maximum(1.0, np.abs(once))) <= limit


@cases
def test_only_cells_with_a_split_flow(case):
    cell, _ = build(case)
    w = random_weights(case, 0)
    state = some_state(case, w, np.random.default_rng(0))
    later = cell.predict(NUMPY, w, state, np.array([0.5]))
    moved = not np.array_equal(cell.activity(NUMPY, state), cell.activity(NUMPY, later))
    assert moved == cell.split
    assert later[-1] == state[-1] + 0.5


@cases
@few
@given(seed=seeds)
def test_a_batch_of_times_equals_one_by_one(case, seed):
    core = module(case, seed % 3)
    inputs, dt, present, keep = stream(case, seed)
    states = core.states(inputs, dt, core.initial(4), present, keep)
    for i in range(4):
        one = slice(i, i + 1)
        alone = core.states(
            inputs[:, one], dt[:, one], core.initial(1), present[:, one], keep[:, one]
        )
        np.testing.assert_allclose(states[:, one].detach(), alone.detach(), rtol=1e-9, atol=1e-11)


@cases
@pytest.mark.parametrize("masked", [False, True])
@few
@given(seed=seeds)
def test_sequences_equal_steps(case, masked, seed):
    """Torch over a sequence, by whatever kernel, is numpy step by step."""
    cell, _ = build(case)
    core, w = module(case, seed % 3), random_weights(case, seed % 3)
    inputs, dt, present, keep = stream(case, seed)
    masks = (present, keep) if masked else (None, None)
    states = core.states(inputs, dt, core.initial(4, 0.2), *masks).detach().numpy()
    fresh = np.broadcast_to(cell.initial_state(), (4, cell.state_size))
    state = np.broadcast_to(cell.initial_state(0.2), fresh.shape)
    for t in range(len(inputs)):
        if masked:
            state = np.where(keep[t, :, None].numpy(), state, fresh)
        flown = cell.predict(NUMPY, w, state, dt[t, :, None].numpy())
        state = cell.update(NUMPY, w, flown, inputs[t].numpy())
        if masked:
            state = np.where(present[t, :, None].numpy(), state, flown)
        np.testing.assert_allclose(states[t], state, rtol=1e-9, atol=1e-11)


@cases
def test_float32_follows_float64(case):
    inputs, dt, present, keep = stream(case, 1)
    exact, rough = module(case), module(case, dtype=torch.float32)
    a = exact.states(inputs, dt, exact.initial(4), present, keep)
    b = rough.states(inputs.float(), dt.float(), rough.initial(4), present, keep)
    assert a.dtype == torch.float64 and b.dtype == torch.float32
    np.testing.assert_allclose(a.detach(), b.detach(), rtol=1e-3, atol=1e-4)


@cases
def test_nothing_observed_is_predict_alone(case):
    cell, _ = build(case)
    core, w = module(case), random_weights(case, 0)
    inputs, dt, _, _ = stream(case, 3)
    state = some_state(case, w, np.random.default_rng(3), (4,))
    nothing = torch.zeros(len(inputs), 4, dtype=torch.bool)
    states = core.states(inputs, dt, torch.tensor(state), nothing)
    for t in range(len(inputs)):
        state = cell.predict(NUMPY, w, state, dt[t, :, None].numpy())
        np.testing.assert_allclose(states[t].detach(), state, rtol=1e-9, atol=1e-11)


@cases
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@few
@given(seed=seeds, dt=seconds)
def test_everything_stays_finite(case, dtype, seed, dt):
    core = module(case, seed % 3, dtype)
    core.zero_grad()
    inputs, _, present, _ = stream(case, seed, steps=4, dtype=dtype)
    inputs.requires_grad_()
    times = torch.full(present.shape, dt, dtype=dtype, requires_grad=True)
    states = core.states(inputs, times, core.initial(4), present)
    states.square().mean().backward()
    assert torch.isfinite(states).all()
    for tensor in (inputs, times, *core.parameters()):
        assert tensor.grad is None or torch.isfinite(tensor.grad).all()


# -- isolation ----------------------------------------------------------------------------------


@cases
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_a_sample_never_reaches_another(case, poison):
    core = module(case)
    inputs, dt, present, keep = stream(case, 5)
    others = [0, 2, 3]

    def run(inputs):
        inputs = inputs.clone().requires_grad_()
        states = core.states(inputs, dt, core.initial(4), present, keep)[:, others]
        (grad,) = torch.autograd.grad(states.square().sum(), inputs)
        return states.detach(), grad[:, others]

    poisoned = inputs.clone()
    poisoned[2:4, 1] = poison
    for clean, dirty in zip(run(inputs), run(poisoned), strict=True):
        assert torch.isfinite(clean).all()
        assert torch.equal(clean, dirty)


@cases
@few
@given(seed=seeds)
def test_what_the_wiring_forbids_has_no_influence(case, seed):
    """Jacobians of an update: what no synapse carries is exactly zero, in every part."""
    cell, wiring = build(case)
    w = {n: torch.tensor(v) for n, v in random_weights(case, seed % 3).items()}
    rng = np.random.default_rng(seed)
    state = some_state(case, random_weights(case, seed % 3), rng)
    state[-1] = 0.4  # since the last observation
    inputs = random_run(case, rng, ())
    of_state, of_inputs = torch.autograd.functional.jacobian(
        lambda s, u: cell.update(TORCH, w, s, u), (torch.tensor(state), torch.tensor(inputs))
    )
    may_state, may_inputs = reach(cell, wiring)
    assert not of_inputs.numpy()[~may_inputs].any()
    assert not of_state.numpy()[~may_state].any()
    # The test means something: a good part of what is allowed is there.
    if may_inputs.any():
        assert (of_inputs.numpy() != 0).sum() >= 0.1 * may_inputs.sum()


@cases
def test_forbidden_weights_mean_nothing_and_learn_nothing(case):
    cell, wiring = build(case)
    core = CellModule(cell, wiring, 0, torch.float64)
    inputs, dt, present, keep = stream(case, 7)
    allowed = cell.allowed(wiring.masks())

    def run():
        core.zero_grad()
        states = core.states(inputs, dt, core.initial(4), present, keep)
        states.square().sum().backward()
        return states.detach()

    before = run()
    for name, mask in allowed.items():
        parameter = core.get_parameter(name)
        assert parameter.shape == mask.shape
        assert not parameter.detach().numpy()[mask == 0].any()
        assert not parameter.grad.numpy()[mask == 0].any()
        with torch.no_grad():
            parameter[torch.tensor(mask == 0)] = 1e3
    assert torch.equal(before, run())


# -- data ---------------------------------------------------------------------------------------


@cases
def test_the_seed_decides_the_initial_parameters(case):
    cell, wiring = build(case)

    def draw(seed):
        return cell.initialise(np.random.default_rng(seed), wiring.masks())

    first, again, other = draw(4), draw(4), draw(5)
    assert {n: v.shape for n, v in first.items()} == cell.parameters()
    assert all(np.isfinite(v).all() for v in first.values())
    assert all(np.array_equal(first[n], again[n]) for n in first)
    assert any(not np.array_equal(first[n], other[n]) for n in first)


@cases
def test_data_and_back(case):
    cell, _ = build(case)
    assert cell_from_json(json.loads(json.dumps(cell.to_json()))) == cell


@cases
def test_names_and_parts_agree(case):
    cell, wiring = build(case)
    parts = cell.parts()
    assert list(parts)[-1] == "elapsed" and parts["elapsed"] == 1
    assert cell.state_size == sum(parts.values()) == len(cell.initial_state())
    covered = [i for part in parts for i in range(*cell.where(part).indices(cell.state_size))]
    assert covered == list(range(cell.state_size))
    names = cell.names()
    assert len(set(names)) == len(names) == cell.units == wiring.units
    assert cell.activity(NUMPY, cell.initial_state()).shape == (len(names),)
    assert cell.initial_state(0.25)[-1] in (0.25, 0.0)
    assert cell.masks() == {n: m.shape for n, m in wiring.masks().items()}
    assert 1 <= cell.read <= len(names)


@cases
def test_it_is_written_with_the_operations_alone(case):
    cell, _ = build(case)
    w = random_weights(case, 0)
    shapes = {"state": (cell.state_size,), "dt": (1,), "inputs": (INPUTS,)}

    def step(ops, state, dt, inputs):
        return {"state": cell.update(ops, w, cell.predict(ops, w, state, dt), inputs)}

    program = trace(step, shapes)
    assert program.shapes[program.outputs["state"]] == (cell.state_size,)


WRONG = {
    "inputs": [0, -1, 1.5, "6", True, 10**6],
    "layers": [
        [],
        "hidden",
        [{"name": "hidden"}],
        [{"name": "a b", "units": 2, "recurrent": True}],
    ],
    "read": [0, 10**6, None],
}


@pytest.mark.parametrize("kind", kinds())
def test_wrong_data_is_refused(kind):
    cell = next(build(case)[0] for case in CASES if case.kind == kind)
    data = json.loads(json.dumps(cell.to_json()))
    layer = data["layers"][0]
    wrong = [{**data, name: value} for name, values in WRONG.items() for value in values]
    wrong += [
        {name: value for name, value in data.items() if name != "read"},
        {**data, "colour": "red"},
        {**data, "kind": "flaw"},
        {**data, "layers": [layer, layer]},
        {**data, "layers": [{**layer, "units": 0}]},
        {**data, "layers": [{**layer, "units": "many"}]},
        {**data, "layers": [{**layer, "recurrent": 1}]},
    ]
    for entry in data.keys() - {"kind", "inputs", "layers", "read"}:
        wrong.append({**data, entry: "something else"})
        wrong.append({**data, entry: None})
        if type(data[entry]) in (int, float):
            wrong += [{**data, entry: value} for value in (-1, float("nan"), float("inf"))]
        if type(data[entry]) is bool:
            wrong += [{**data, entry: 1}]
    for each in wrong:
        with pytest.raises(LnnError, match=r"\S"):
            cell_from_json(each)


@pytest.mark.parametrize("kind", kinds())
def test_unknown_options_are_refused(kind):
    wiring = next(build(case)[1] for case in CASES if case.kind == kind)
    with pytest.raises(LnnError, match="colour"):
        cell_type(kind).wired(INPUTS, wiring, 1, colour="red")


def test_unknown_cells_are_refused():
    with pytest.raises(LnnError, match="flaw"):
        cell_type("flaw")
    with pytest.raises(LnnError, match="kind"):
        cell_from_json({"inputs": 1})
    with pytest.raises(LnnError, match="mask"):
        CellModule(cell_type("flow").wired(3, dense(3, 4), 4), dense(3, 5))
