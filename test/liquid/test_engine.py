"""Laws of the running network, and its equality with the one that is trained."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from policies_for_tests import frame, small_checkpoint

from lnn_ros.errors import LnnError
from lnn_ros.liquid.engine import Engine
from lnn_ros.liquid.spec import SUMMARY
from lnn_ros.liquid.torch_policy import TorchPolicy

DT = st.floats(0.0, 5.0)


def summary(rng):
    return rng.normal(0, 1, len(SUMMARY)).astype(np.float32)


def seen_state(engine, seed, updates=3):
    rng = np.random.default_rng(seed)
    state = engine.initial()
    for _ in range(updates):
        dt = float(rng.uniform(0.0, 0.3))
        engine.predict(state, dt, state)
        engine.update(state, frame(rng), summary(rng), dt)
    return state


@given(a=DT, b=DT, seed=st.integers(0, 50))
def test_predict_is_a_semigroup(a, b, seed):
    engine = Engine(small_checkpoint().spec, small_checkpoint().arrays)
    state = seen_state(engine, seed)
    once, first, second = engine.initial(), engine.initial(), engine.initial()
    engine.predict(state, a + b, once)
    engine.predict(state, a, first)
    engine.predict(first, b, second)
    np.testing.assert_allclose(second, once, rtol=1e-5, atol=1e-6)


@given(seed=st.integers(0, 50))
def test_no_time_changes_nothing(seed):
    checkpoint = small_checkpoint()
    engine = Engine(checkpoint.spec, checkpoint.arrays)
    state = seen_state(engine, seed)
    out, before = engine.initial(), state.copy()
    engine.predict(state, 0.0, out)
    np.testing.assert_array_equal(out, before)
    # An observation in no time since the last one: gates are set, activities stay.
    rng = np.random.default_rng(seed)
    engine.update(state, frame(rng), summary(rng), 0.0)
    np.testing.assert_allclose(state[0], before[0], atol=1e-6)


def test_forgetting_is_per_second_not_per_observation():
    """The same held signal seen at 10 and at 200 Hz leads to the same state after 2 s."""
    checkpoint = small_checkpoint()
    engine = Engine(checkpoint.spec, checkpoint.arrays)
    rng = np.random.default_rng(0)
    image, told = frame(rng), summary(rng)
    ends = []
    for rate in (10, 200):
        state = engine.initial()
        for _ in range(2 * rate):
            engine.predict(state, 1 / rate, state)
            engine.update(state, image, told, 1 / rate)
        ends.append(state[0].copy())
    np.testing.assert_allclose(ends[0], ends[1], atol=0.02)


@pytest.mark.parametrize("kind", ["flow", "feedforward"])
def test_negative_or_undefined_time_is_an_error(kind):
    checkpoint = small_checkpoint(kind)
    engine = Engine(checkpoint.spec, checkpoint.arrays)
    state = engine.initial()
    for dt in (-1e-9, float("nan")):
        with pytest.raises(LnnError, match="elapsed time"):
            engine.predict(state, dt, state)
        with pytest.raises(LnnError, match="elapsed time"):
            engine.core.update(state, np.zeros(checkpoint.spec.sensory, np.float32), dt)


@settings(max_examples=20)
@given(kind=st.sampled_from(["flow", "feedforward"]), seed=st.integers(0, 1000))
def test_numpy_equals_torch_on_irregular_streams(kind, seed):
    checkpoint = small_checkpoint(kind, seed % 7)
    spec = checkpoint.spec
    policy = TorchPolicy.from_arrays(spec, checkpoint.arrays)
    rng = np.random.default_rng(seed)
    steps = 12
    frames = np.stack([frame(rng) for _ in range(steps)])
    told = np.stack([summary(rng) for _ in range(steps)])
    dt = rng.choice([0.0, 0.005, 0.05, 0.7, 30.0], steps).astype(np.float32)
    offsets = rng.choice([0.0, 0.01, 0.2, 5.0], steps).astype(np.float32)
    keep = torch.ones(steps, 1)
    keep[0] = 0
    keep[7] = 0  # a new episode
    with torch.no_grad():
        inputs = policy.inputs(torch.from_numpy(frames)[None], torch.from_numpy(told)[:, None])
        states = policy.core(inputs, torch.from_numpy(dt)[:, None], keep, policy.core.initial(1))
        activity = policy.core.predict(states, torch.from_numpy(offsets)[:, None])
        wanted = policy.read(activity).numpy()[:, 0]
    engine = Engine(spec, checkpoint.arrays)
    state, scratch = engine.initial(), engine.initial()
    for k in range(steps):
        if k == 7:
            state[:] = 0.0
        engine.predict(state, float(dt[k]), state)
        engine.update(state, frames[k], told[k], float(dt[k]))
        engine.predict(state, float(offsets[k]), scratch)
        np.testing.assert_allclose(engine.command(scratch), wanted[k], atol=1e-5)
        np.testing.assert_allclose(state, states[:, k, 0].numpy(), rtol=1e-5, atol=1e-5)


def test_windows_give_the_same_states_as_one_sequence():
    checkpoint = small_checkpoint()
    policy = TorchPolicy.from_arrays(checkpoint.spec, checkpoint.arrays)
    torch.manual_seed(0)
    inputs = torch.randn(10, 3, checkpoint.spec.sensory)
    dt, keep = torch.rand(10, 3), torch.ones(10, 3)
    with torch.no_grad():
        whole = policy.core(inputs, dt, keep, policy.core.initial(3))
        first = policy.core(inputs[:4], dt[:4], keep[:4], policy.core.initial(3))
        rest = policy.core(inputs[4:], dt[4:], keep[4:], first[:, -1])
    torch.testing.assert_close(torch.cat([first, rest], 1), whole)


@pytest.mark.parametrize("row", [0, 1, 2], ids=["activity", "target", "rate"])
def test_forbidden_connections_have_zero_jacobian_in_every_gate(row):
    """One update from a state in motion: no gate may listen where the wiring forbids."""
    checkpoint = small_checkpoint(seed=3)
    spec = checkpoint.spec
    arrays = dict(checkpoint.arrays)
    rng = np.random.default_rng(1)
    for name in ("inter", "command", "motor"):  # weights where none may act
        for gate in ("target", "rate"):
            key = f"core.{name}.{gate}.weight"
            arrays[key] = rng.normal(0, 1, arrays[key].shape).astype(np.float32)
    policy = TorchPolicy.from_arrays(spec, arrays)
    n_inter, n_command, n_motor = spec.core.layers
    state = torch.from_numpy(
        np.stack(
            [rng.normal(0, 1, (1, 20)), rng.normal(0, 1, (1, 20)), rng.uniform(1, 9, (1, 20))]
        ).astype(np.float32)
    )

    def step(inputs, x):
        before = torch.stack([x[None], state[1], state[2]])
        after = policy.core(inputs[None, None], torch.tensor([[0.1]]), torch.ones(1, 1), before)
        return after[row, 0, 0]

    inputs = torch.from_numpy(rng.normal(0, 1, spec.sensory).astype(np.float32))
    by_input, by_state = torch.autograd.functional.jacobian(step, (inputs, state[0, 0]))
    inter = arrays["wiring.inter"].T.astype(bool)
    command = arrays["wiring.command"].T.astype(bool)
    motor = arrays["wiring.motor"].T.astype(bool)
    # What may reach what within one update: inter hears inputs; command hears the new inter
    # activities and the old command ones; motor hears the new command activities.
    reach_command_in = (command[:, :n_inter].astype(int) @ inter.astype(int)) > 0
    allowed_input = np.concatenate(
        [inter, reach_command_in, (motor.astype(int) @ reach_command_in.astype(int)) > 0]
    )
    own = row == 0  # an activity also depends on itself; its target and its rate do not
    ii = np.eye(n_inter, dtype=bool) & own
    cc = command[:, n_inter:] | (np.eye(n_command, dtype=bool) & own)
    ci = command[:, :n_inter]
    # A new command activity (what motor hears) depends on itself whatever row we look at.
    cc_new = command[:, n_inter:] | np.eye(n_command, dtype=bool)
    mm = np.eye(n_motor, dtype=bool) & own
    mc = (motor.astype(int) @ cc_new.astype(int)) > 0
    mi = (motor.astype(int) @ ci.astype(int)) > 0
    none = np.zeros
    allowed_state = np.block(
        [
            [ii, none((n_inter, n_command), bool), none((n_inter, n_motor), bool)],
            [ci, cc, none((n_command, n_motor), bool)],
            [mi, mc, mm],
        ]
    )
    assert (by_input.numpy()[~allowed_input] == 0).all()
    assert (by_state.numpy()[~allowed_state] == 0).all()
    assert np.abs(by_input.numpy()[:n_inter][inter]).min() > 0
    # The engine applies the same masks.
    engine = Engine(spec, arrays)
    started = state[:, 0].numpy().copy()
    engine.core.predict(started, 0.1, started)
    engine.core.update(started, inputs.numpy(), 0.1)
    wanted = step(inputs, state[0, 0]).detach().numpy()
    np.testing.assert_allclose(started[row], wanted, rtol=1e-4, atol=1e-5)


def test_masks_are_no_parameters():
    checkpoint = small_checkpoint()
    policy = TorchPolicy.from_arrays(checkpoint.spec, checkpoint.arrays)
    assert not any("mask" in name for name, _ in policy.named_parameters())
    assert sum(p.numel() for p in policy.parameters()) == checkpoint.spec.count()


def test_command_stays_inside_the_heads_limits():
    checkpoint = small_checkpoint()
    arrays = {**checkpoint.arrays, "head.bias": np.array([99, -99, 99, -99], np.float32)}
    engine = Engine(checkpoint.spec, arrays)
    np.testing.assert_array_equal(engine.command(engine.initial()), [1.6, -1.0, 0.8, -1.5])
