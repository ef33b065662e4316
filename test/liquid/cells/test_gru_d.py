"""GRU-D fills in what is missing, lets it fade with its age, and forgets with time."""

import numpy as np
import pytest

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.gru_d import GRUD
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.wiring import dense

F, N = 2, 5
VALUE, OTHER = np.array([0.7, -0.4]), np.array([3.0, 3.0])


def cell_and_weights(seed=0):
    wiring = dense(3 * F, N)
    cell = GRUD.wired(3 * F, wiring, N)
    return cell, cell.initialise(np.random.default_rng(seed), wiring.masks())


def observe(cell, w, state, value, there, age):
    inputs = np.concatenate([value, there, np.log1p(np.broadcast_to(age, F))])
    return cell.update(NUMPY, w, state, inputs)


def x(cell, state):
    return state[cell.where("x")]


def test_a_value_that_is_missing_is_not_looked_at():
    cell, w = cell_and_weights()
    state = observe(cell, w, cell.initial_state(), VALUE, np.ones(F), 0.1)
    there = np.array([1.0, 0.0])
    a = observe(cell, w, state, VALUE, there, 0.1)
    b = observe(cell, w, state, np.array([VALUE[0], 9.0]), there, 0.1)
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-15)


def test_last_values_are_held_feature_by_feature():
    cell, w = cell_and_weights()
    state = observe(cell, w, cell.initial_state(), VALUE, np.ones(F), 0.1)
    np.testing.assert_allclose(state[cell.where("last")], VALUE)
    state = observe(cell, w, state, OTHER, np.array([0.0, 1.0]), 0.1)
    np.testing.assert_allclose(state[cell.where("last")], [VALUE[0], OTHER[1]])


@pytest.mark.parametrize("age, stands_for", [(0.0, "last"), (1e4, "mean")])
def test_a_missing_value_fades_from_the_last_to_the_mean(age, stands_for):
    """The GRU hears what is filled in, not that it is: its weights of presence are zero here."""
    cell, w = cell_and_weights()
    w["missing.mean"], w["missing.decay"] = np.array([0.2, 0.3]), np.ones(F)
    w["hidden.decay.weight"][:] = 0.0
    for gate in ("update", "reset", "candidate"):
        w[f"hidden.{gate}.weight"][F : 2 * F] = 0.0
    state = observe(cell, w, cell.initial_state(), VALUE, np.ones(F), 0.1)
    filled = {"last": VALUE, "mean": w["missing.mean"]}[stands_for]
    missing = observe(cell, w, state, OTHER, np.zeros(F), age)
    shown = observe(cell, w, state, filled, np.ones(F), age)
    np.testing.assert_allclose(x(cell, missing), x(cell, shown), rtol=0, atol=1e-12)


def test_the_state_fades_with_age():
    """With a gate that keeps all, only the decay is left: exp(-W d - b)."""
    cell, w = cell_and_weights()
    w["hidden.update.bias"][:] = 50.0
    w["hidden.decay.bias"][:] = 0.2
    state = cell.initial_state()
    state[cell.where("x")] = h = np.linspace(-0.5, 0.5, N)
    ages = np.array([0.3, 2.0])
    after = observe(cell, w, state, VALUE, np.ones(F), ages)
    expected = h * np.exp(-(ages @ w["hidden.decay.weight"] + 0.2))
    np.testing.assert_allclose(x(cell, after), expected, rtol=1e-9)


def test_inputs_in_threes():
    with pytest.raises(LnnError, match=r"multiple of 3.*presence=True"):
        GRUD.wired(4, dense(4, N), N)
