"""A time constant is the time in which a network really forgets."""

import numpy as np
import pytest
from cell_cases import INPUTS, WIRINGS
from hypothesis import given
from hypothesis import strategies as st
from policies_for_tests import FEATURES, small_checkpoint, summaries

from lnn_ros.liquid.cells import cell_type, kinds
from lnn_ros.liquid.interpretation.history import Network, run, turning
from lnn_ros.liquid.interpretation.time_constants import jacobian, of_history, time_constants
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.wiring import WiredLayer, Wiring, ncp

FEEDS_FORWARD = Wiring(
    (
        WiredLayer("lower", np.ones((INPUTS, 4), np.int8)),
        WiredLayer("upper", np.ones((4, 3), np.int8)),
    )
)


def drawn(kind, wiring, seed=0, **options):
    """A cell with random weights, biases too."""
    cell = cell_type(kind).wired(INPUTS, wiring, wiring.layers[-1].units, **options)
    rng = np.random.default_rng(seed)
    masks = wiring.masks()
    allowed = cell.allowed(masks)
    w = {
        name: (value + rng.normal(0, 0.3, value.shape)) * allowed.get(name, 1)
        for name, value in cell.initialise(rng, masks).items()
    }
    return cell, w, rng


def observed(cell, w, rng, count=6, dt=0.05):
    """States before and after random observations, as ``time_constants`` takes them."""
    inputs, spans = rng.normal(0, 1, (count, INPUTS)), np.full(count, dt)
    states = [cell.initial_state(0.1)]
    for u in inputs:
        state = cell.predict(NUMPY, w, states[-1], np.array([dt]))
        states.append(cell.update(NUMPY, w, state, u))
    kept = np.stack(states)
    return kept[:-1], kept[1:], inputs, spans


@given(seed=st.integers(0, 2**32 - 1), paired=st.booleans())
def test_a_flow_comes_near_its_target_by_e_in_one_time_constant(seed, paired):
    wiring = WIRINGS["paired" if paired else "ncp"]
    cell, w, rng = drawn("flow", wiring, seed)
    states = observed(cell, w, rng)
    constants = time_constants(cell, w, *states)
    assert constants.method == "rate" and constants.names == cell.names()
    k, pairs = len(constants.seconds) - 1, turning(cell)
    state = states[1][k]
    alone = sorted(set(range(cell.units)) - {i for pair in pairs for i in pair})
    for i in alone:
        later = cell.predict(NUMPY, w, state, constants.seconds[k, i : i + 1])
        target = state[cell.where("target")][i]
        assert later[i] - target == pytest.approx((state[i] - target) / np.e, abs=1e-9)
    for p, (a, b) in enumerate(pairs):
        # After a period a pair points as before from where it comes to rest; only nearer.
        rest = cell.predict(NUMPY, w, state, np.array([60.0 / cell.rate_min]))
        period = constants.periods[k, p]
        assert period >= 1.0 / cell.frequency_max
        if not period < 1e5:
            continue
        later = cell.predict(NUMPY, w, state, np.array([period]))
        fade = np.exp(-period / constants.seconds[k, a])
        for i in (a, b):
            assert later[i] - rest[i] == pytest.approx(fade * (state[i] - rest[i]), abs=1e-6)
    assert len(constants.turning) == len(pairs) == constants.periods.shape[1]


def test_what_was_before_fades_by_the_flow_and_by_the_observation():
    cell, w, rng = drawn("flow", FEEDS_FORWARD)
    before, after, inputs, dt = observed(cell, w, rng)
    before[0, cell.where("rate")] = 0.5
    constants = time_constants(cell, w, before, after, inputs, dt)
    x = slice(0, cell.units)
    for k in range(1, len(dt)):
        kept = np.diag(jacobian(cell, w, before[k], inputs[k], dt[k])[x, x])[: cell.layers[0].units]
        flow, update = (constants.seconds[j, : len(kept)] for j in (k - 1, k))
        np.testing.assert_allclose(kept, np.exp(-dt[k] / flow - dt[k] / update), rtol=1e-6)


def test_the_time_constant_of_an_ltc_is_that_of_its_ode():
    wiring = ncp(INPUTS, 5, 4, 3, inter_fan_in=3, command_fan_in=3, recurrent_fan_in=3,
                 motor_fan_in=2, seed=3)  # fmt: skip
    cell, w, rng = drawn("ltc", wiring)
    short = 1e-4
    before, _, inputs, _ = observed(cell, w, rng)
    before[:, -1] = 0.0
    spans = np.full(len(before), short)
    after = cell.update(NUMPY, w, cell.predict(NUMPY, w, before, spans[:, None]), inputs)
    constants = time_constants(cell, w, before, after, inputs, spans)
    assert constants.method == "liquid"
    potential = cell.where("potential")
    for k in range(len(before)):
        kept = np.diag(jacobian(cell, w, before[k], inputs[k], short)[potential, potential])
        for layer in ("inter", "motor"):  # whose neurons do not hear themselves
            here = [i for i, name in enumerate(constants.names) if name.startswith(layer)]
            np.testing.assert_allclose(-short / np.log(kept[here]), constants.seconds[k, here],
                                       rtol=2e-3)  # fmt: skip


def test_an_ltc_grows_slower_when_its_synapses_close():
    cell, w, rng = drawn("ltc", WIRINGS["dense"])
    states = observed(cell, w, rng)
    liquid = time_constants(cell, w, *states).seconds
    shut = {name: value * (not name.endswith(".w")) for name, value in w.items()}
    leak = time_constants(cell, shut, *states).seconds
    assert (leak > liquid).all()
    np.testing.assert_allclose(leak, np.broadcast_to(leak[:1], leak.shape))  # nothing is liquid


@given(bias=st.floats(-3, 6), dt=st.floats(0.001, 10.0))
def test_a_gru_with_a_constant_gate_forgets_as_the_gate_says(bias, dt):
    cell, w, rng = drawn("gru", WIRINGS["stack"])
    w = {name: np.zeros_like(value) for name, value in w.items()}
    for name in w:
        if name.endswith("update.bias"):
            w[name] += bias
    constants = time_constants(cell, w, *observed(cell, w, rng, 2, dt))
    assert constants.method == "linearised"
    keep = 1.0 / (1.0 + np.exp(-bias))
    np.testing.assert_allclose(constants.seconds, -dt / np.log(keep), rtol=1e-4)
    assert np.isinf(constants.periods).all()


def test_a_mode_that_turns_has_its_period():
    """Two GRU neurons, barely gated, whose weights are a small rotation."""
    wiring = Wiring(
        (WiredLayer("hidden", np.zeros((INPUTS, 2), np.int8), np.ones((2, 2), np.int8)),)
    )
    cell, w, _ = drawn("gru", wiring)
    w = {name: np.zeros_like(value) for name, value in w.items()}
    angle = 0.4
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    w["hidden.recurrent.weight"] = 0.9 * turn
    w["hidden.reset.bias"] += 50.0
    w["hidden.update.bias"] -= 50.0
    before = np.zeros((1, 3))
    constants = time_constants(cell, w, before, before, np.zeros((1, INPUTS)), np.array([0.1]))
    np.testing.assert_allclose(constants.periods, 2 * np.pi * 0.1 / angle, rtol=1e-5)
    np.testing.assert_allclose(constants.seconds, -0.1 / np.log(0.9), rtol=1e-5)


@pytest.mark.parametrize("kind", kinds())
def test_all_cells_have_time_constants(kind):
    cell, w, rng = drawn(kind, WIRINGS["perceptron" if kind == "feedforward" else "dense"])
    before, after, inputs, dt = observed(cell, w, rng)
    constants = time_constants(cell, w, before, after, inputs, dt)
    assert constants.seconds.shape == (len(dt), len(constants.names))
    assert constants.periods.shape == (len(dt), len(constants.turning))
    assert (constants.seconds >= 0).all() and (constants.periods > 0).all()
    assert (constants.method == "none") == (not constants.names) == (kind == "transformer")
    if kind == "feedforward":
        assert (constants.seconds == 0).all()
    elif constants.method == "linearised":
        slower, faster = constants.seconds[:, :-1], constants.seconds[:, 1:]
        assert (slower >= faster).all()
        still = time_constants(cell, w, before[:1], after[:1], inputs[:1], np.zeros(1))
        assert np.isnan(still.seconds).all()


def test_a_policy_has_those_of_its_core():
    checkpoint = small_checkpoint("flow")
    network = Network.of(checkpoint.spec, checkpoint.arrays)
    rng = np.random.default_rng(0)
    told = summaries(rng, np.full(5, 0.05), spread=0.1)
    history = run(network, np.arange(5) + 1, told, features=rng.normal(0, 1, (5, FEATURES)))
    constants = of_history(network, history)
    assert constants.names == history.names
    rates = history.after[:, history.cell.where("rate")]
    np.testing.assert_allclose(constants.seconds * rates, 1.0)
    assert 1 / 60.0 - 1e-9 <= constants.seconds.min() <= constants.seconds.max() <= 10.0 + 1e-9
