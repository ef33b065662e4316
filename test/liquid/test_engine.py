"""Laws of the running network, and its equality with the one that is trained."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from policies_for_tests import frame, observe, small_checkpoint, summaries

from lnn_ros.errors import LnnError
from lnn_ros.liquid.engine import Engine
from lnn_ros.liquid.spec import SUMMARY
from lnn_ros.liquid.torch_cell import OPS
from lnn_ros.liquid.torch_policy import TorchPolicy

DT = st.floats(0.0, 5.0)
FLOW = small_checkpoint()
"""A small policy whose command neurons turn in pairs."""


def summary(rng, camera=True):
    return summaries(rng, rng.uniform(0, 0.2), camera)


@cache
def engine_of_flow():
    """Made once: it holds no state."""
    return engine_of(FLOW)


def engine_of(checkpoint):
    return Engine(checkpoint.spec, checkpoint.arrays)


def seen_state(engine, seed, updates=3):
    rng = np.random.default_rng(seed)
    state = engine.initial()
    for _ in range(updates):
        engine.predict(state, float(rng.uniform(0.0, 0.3)), state)
        observe(engine, state, frame(rng), summary(rng))
    return state


@given(a=DT, b=DT, seed=st.integers(0, 50))
def test_predict_is_a_semigroup(a, b, seed):
    engine = engine_of_flow()
    state = seen_state(engine, seed)
    once, first, second = engine.initial(), engine.initial(), engine.initial()
    engine.predict(state, a + b, once)
    engine.predict(state, a, first)
    engine.predict(first, b, second)
    np.testing.assert_allclose(second, once, rtol=1e-5, atol=1e-5)


@given(seed=st.integers(0, 50))
def test_no_time_changes_nothing(seed):
    engine = engine_of_flow()
    state = seen_state(engine, seed)
    out, before = engine.initial(), state.copy()
    engine.predict(state, 0.0, out)
    np.testing.assert_array_equal(out, before)
    # An observation in no time since the last one: gates are set, activities stay.
    rng = np.random.default_rng(seed)
    moved = engine.activity(before).copy()
    observe(engine, state, frame(rng), summary(rng))
    np.testing.assert_allclose(engine.activity(state), moved, atol=1e-6)
    assert not np.array_equal(state, before)


def test_forgetting_is_per_second_not_per_observation():
    """The same held signal seen at 10 and at 200 Hz leads to the same state after 2 s."""
    engine = engine_of(small_checkpoint(rotating=()))
    rng = np.random.default_rng(0)
    image, told = frame(rng), summary(rng)
    ends = []
    for rate in (10, 200):
        state = engine.initial()
        for _ in range(2 * rate):
            engine.predict(state, 1 / rate, state)
            observe(engine, state, image, told)
        ends.append(engine.activity(state).copy())
    np.testing.assert_allclose(ends[0], ends[1], atol=0.02)


@pytest.mark.parametrize("kind", ["flow", "feedforward"])
def test_negative_or_undefined_time_is_an_error(kind):
    engine = engine_of(small_checkpoint(kind))
    state = engine.initial()
    for dt in (-1e-9, float("nan")):
        with pytest.raises(LnnError, match="elapsed time"):
            engine.predict(state, dt, state)


def asked(policy, states, reads):
    """Commands (N, 4) that training reads from states (N, S), a step without a frame later."""
    taken = torch.ones(len(reads), 1, dtype=torch.bool)
    with torch.no_grad():
        activity = policy.onward(states, torch.from_numpy(reads)[:, None], taken)
        return policy.read(activity).numpy()


@settings(max_examples=20)
@given(kind=st.sampled_from(["flow", "feedforward", "ltc"]), seed=st.integers(0, 1000))
def test_numpy_equals_torch_on_irregular_streams(kind, seed):
    checkpoint = small_checkpoint(kind, seed % 7)
    spec = checkpoint.spec
    policy = TorchPolicy.from_arrays(spec, checkpoint.arrays)
    rng = np.random.default_rng(seed)
    steps = 12
    frames = np.stack([frame(rng) for _ in range(steps)])
    camera = rng.random(steps) < 0.7
    told = summaries(rng, rng.choice([0.0, 0.005, 0.05, 0.7, 30.0], steps), camera)
    reads = summaries(rng, rng.choice([0.0, 0.01, 0.2, 5.0], steps), False)
    dt, offsets = told[:, -1], reads[:, -1]
    keep = torch.ones(steps, 1, dtype=torch.bool)
    keep[0] = keep[7] = False  # a new episode
    with torch.no_grad():
        seen = torch.from_numpy(told)[:, None]
        inputs = policy.inputs(torch.from_numpy(frames)[None], seen)
        states = policy.states(inputs, seen, policy.core.initial(1), keep)
        wanted = asked(policy, states[:, 0], reads)
    engine = engine_of(checkpoint)
    state, scratch = engine.initial(), engine.initial()
    for k in range(steps):
        if k == 7:
            state[:] = engine.initial()
        engine.predict(state, float(dt[k]), state)
        # Where no frame came, the one that is there for the batch's sake changes nothing.
        engine.update(state, engine.encode(frames[k]) if camera[k] else None, told[k])
        engine.predict(state, float(offsets[k]), scratch)
        engine.update(scratch, None, reads[k])
        np.testing.assert_allclose(engine.command(scratch), wanted[k], atol=1e-5)
        np.testing.assert_allclose(state, states[k, 0].numpy(), rtol=1e-5, atol=1e-5)


@settings(max_examples=20)
@given(kind=st.sampled_from(["flow", "feedforward"]), seed=st.integers(0, 1000))
def test_without_a_frame_none_is_looked_at(kind, seed):
    """No features are as good as any, and the network is told that there are none."""
    checkpoint = small_checkpoint(kind, seed % 7)
    engine, rng = engine_of(checkpoint), np.random.default_rng(seed)
    start, told = seen_state(engine, seed), summary(rng, camera=False)
    ends = [start.copy() for _ in range(3)]
    engine.update(ends[0], None, told)
    observe(engine, ends[1], frame(rng), told)
    np.testing.assert_array_equal(ends[1], ends[0])
    told[SUMMARY.index("camera_present")] = 1.0
    engine.update(ends[2], None, told)
    assert not np.array_equal(ends[2], ends[0])


def test_windows_give_the_same_states_as_one_sequence():
    policy = TorchPolicy.from_arrays(FLOW.spec, FLOW.arrays)
    torch.manual_seed(0)
    inputs, dt = torch.randn(10, 3, FLOW.spec.core.inputs), torch.rand(10, 3)
    with torch.no_grad():
        whole = policy.core.states(inputs, dt, policy.core.initial(3))
        first = policy.core.states(inputs[:4], dt[:4], policy.core.initial(3))
        rest = policy.core.states(inputs[4:], dt[4:], first[-1])
    torch.testing.assert_close(torch.cat([first, rest]), whole)


@given(seed=st.integers(0, 1000), first=DT, second=DT)
def test_a_command_read_later_is_that_of_the_predicted_state(seed, first, second):
    """Time-dependent read-out: what is read does not depend on how the time was cut."""
    engine = engine_of_flow()
    state = seen_state(engine, seed)
    once, cut = engine.initial(), engine.initial()
    engine.predict(state, first + second, once)
    engine.predict(state, first, cut)
    engine.predict(cut, second, cut)
    np.testing.assert_allclose(engine.command(once), engine.command(cut), atol=1e-4)


def test_the_command_moves_between_observations_as_it_does_in_training():
    engine, policy = engine_of_flow(), TorchPolicy.from_arrays(FLOW.spec, FLOW.arrays)
    state, out = seen_state(engine, 1), engine.initial()
    offsets = np.linspace(0.0, 1.0, 9, dtype=np.float32)
    reads = summaries(np.random.default_rng(1), offsets, False, spread=0.0)
    wanted = asked(policy, torch.from_numpy(np.tile(state, (9, 1))), reads)
    found = []
    for dt, told in zip(offsets, reads, strict=True):
        engine.predict(state, float(dt), out)
        engine.update(out, None, told)
        found.append(engine.command(out))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.ptp(found, axis=0).min() > 1e-3, "every output moves"


def reachable(wiring):
    """What a neuron may hear of the inputs and of old activities in one update, (units, sources).

    By paths along the wiring: inputs and old recurrent activities first, then layer by layer.
    """
    sensed, between = (a.T != 0 for a in wiring.adjacency())
    layer_of = np.repeat(np.arange(len(wiring.sizes)), wiring.sizes)
    recurrent = between & (layer_of[:, None] == layer_of)
    forward = between & (layer_of[:, None] != layer_of)
    direct = np.hstack([sensed, recurrent])
    own = np.hstack([np.zeros_like(sensed), np.eye(wiring.units, dtype=bool)])
    gates = direct.copy()
    for i in range(1, len(wiring.sizes)):
        new = gates | own  # a new activity: its gates' sources, and its old self
        rows = layer_of == i
        gates[rows] |= (forward[rows].astype(int) @ new.astype(int)) > 0
    return gates, gates | own


@pytest.mark.parametrize("part", ["x", "target", "rate", "frequency"])
def test_forbidden_connections_have_zero_jacobian_in_every_gate(part):
    """One update from a state in motion: no gate may listen where the wiring forbids."""
    arrays = dict(FLOW.arrays)
    spec, rng = FLOW.spec, np.random.default_rng(1)
    for name in spec.core.allowed(arrays):  # weights where none may act
        shape = arrays[f"core.{name}"].shape
        arrays[f"core.{name}"] = rng.normal(0, 1, shape).astype(np.float32)
    policy = TorchPolicy.from_arrays(spec, arrays)
    core, units = spec.core, spec.core.units
    state = torch.from_numpy(rng.normal(0, 1, core.state_size).astype(np.float32))
    state[-1] = 0.1

    def step(inputs, x):
        before = torch.cat([x, state[units:]])
        return core.update(OPS, policy.core.weights(), before, inputs)[..., core.where(part)]

    inputs = torch.from_numpy(rng.normal(0, 1, core.inputs).astype(np.float32))
    jacobian = torch.cat(
        torch.autograd.functional.jacobian(step, (inputs, state[:units])), -1
    ).numpy()
    gates, activities = reachable(policy.core.wiring)
    allowed = activities if part == "x" else gates
    start = core.layers[0].units  # the command layer's pairs: one frequency for both
    if part == "frequency":
        allowed = allowed[start : start + core.pairs[1]]
    elif part == "rate":
        assert core.parts()["rate"] == units
    assert jacobian.shape == allowed.shape
    assert (jacobian[~allowed] == 0).all()
    assert (jacobian[:, : core.inputs] != 0).any(), "and something is heard"
    # The running network applies the same masks.
    engine = engine_of(type(FLOW)(spec, arrays, FLOW.card))
    after = {}
    for name, network in (("numpy", engine), ("masked", engine_of(closed(spec, policy)))):
        after[name] = network.initial()
        after[name][:units] = state[:units].numpy()
        told = np.zeros(len(SUMMARY), np.float32)
        observe(network, after[name], frame(np.random.default_rng(0)), told)
    np.testing.assert_allclose(after["numpy"], after["masked"], rtol=1e-5, atol=1e-6)


def closed(spec, policy):
    """The same policy with its forbidden weights stored as zeros."""
    return type(FLOW)(spec, policy.arrays(), FLOW.card)


def test_masks_are_no_parameters():
    policy = TorchPolicy.from_arrays(FLOW.spec, FLOW.arrays)
    assert not any("mask" in name for name, _ in policy.named_parameters())
    assert sum(p.numel() for p in policy.parameters()) == FLOW.spec.count()


def test_command_stays_inside_the_heads_limits():
    arrays = {**FLOW.arrays, "head.bias": np.array([99, -99, 99, -99], np.float32)}
    engine = Engine(FLOW.spec, arrays)
    command = engine.command(engine.initial())
    np.testing.assert_allclose(command, [1.6, -1.0, 0.8, -1.5], rtol=1e-6)
    assert (command >= FLOW.spec.head.low).all() and (command <= FLOW.spec.head.high).all()
