"""Probes: what is there is found, what is not is not, and frames of a flight never help."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.liquid.interpretation.probes import probe

FLIGHTS, FRAMES, N = 20, 25, 6
GROUPS = np.repeat(np.arange(FLIGHTS) + 100, FRAMES)


def numbers(seed=0):
    return np.random.default_rng(seed).normal(0, 1, (FLIGHTS * FRAMES, N))


@given(seed=st.integers(0, 1000), noise=st.floats(0.0, 2.0))
def test_a_linear_quantity_is_read_up_to_its_noise(seed, noise):
    x = numbers(seed)
    rng = np.random.default_rng((seed, 1))
    weights = rng.normal(0, 1, N)
    weights /= np.linalg.norm(weights)
    y = 3.0 + x @ weights + noise * rng.normal(0, 1, len(x))
    found = probe(x, y, GROUPS, draws=200)
    assert found.r2 == pytest.approx(1.0 / (1.0 + noise**2), abs=0.12)
    assert found.interval[0] <= found.r2 + 0.02 and found.interval[1] >= found.r2 - 0.02
    assert set(found.flights) == set(GROUPS.tolist())


@given(seed=st.integers(0, 1000))
def test_nothing_is_read_from_noise(seed):
    y = np.random.default_rng((seed, 2)).normal(0, 1, FLIGHTS * FRAMES)
    assert -0.2 < probe(numbers(seed), y, GROUPS, draws=200).r2 < 0.05


def test_knowing_the_flight_is_no_help():
    """A fingerprint of the flight tells everything if frames are held out, nothing if flights."""
    rng = np.random.default_rng(3)
    mark = rng.normal(0, 1, (FLIGHTS, 40))[GROUPS - 100]
    y = rng.normal(0, 1, FLIGHTS)[GROUPS - 100]
    assert probe(mark, y, GROUPS).r2 < 0.3
    each_frame_its_own = np.arange(len(y))
    assert probe(mark, y, each_frame_its_own).r2 > 0.95


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3), offset=st.floats(-10, 10))
def test_units_and_the_order_of_frames_do_not_matter(seed, scale, offset):
    x = numbers(seed)
    y = np.sin(x[:, 0]) + x[:, 1]
    found = probe(x, y, GROUPS, draws=50)
    units = np.linspace(1.0, scale, N)
    order = np.random.default_rng(seed).permutation(len(y))
    other = probe((units * x + offset)[order], y[order], GROUPS[order], draws=50)
    np.testing.assert_allclose(other.predictions, found.predictions[order], atol=1e-6)
    assert other.r2 == pytest.approx(found.r2, abs=1e-6)


def test_a_number_that_never_changes_is_ignored():
    x = np.concatenate([numbers(), np.full((FLIGHTS * FRAMES, 1), 0.3)], 1)
    y = x[:, 0]
    assert probe(x, y, GROUPS).r2 == pytest.approx(probe(x[:, :-1], y, GROUPS).r2)


def test_too_few_flights_are_refused():
    x, y = numbers(), numbers()[:, 0]
    with pytest.raises(LnnError, match="5 folds of 4 flights"):
        probe(x[:100], y[:100], GROUPS[:100])
    with pytest.raises(LnnError, match=r"expected \(M, N\)"):
        probe(x, y[:-1], GROUPS)
