"""The summary composes exactly and agrees with known motions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lnn_ros.timeline.preintegration import Summary, hold, rotate

VECTOR = st.tuples(*[st.floats(-5, 5)] * 3)
SAMPLE = st.tuples(VECTOR, VECTOR, st.floats(1e-4, 0.05))


def total(samples):
    whole = Summary()
    for sample in samples:
        whole = whole.then(hold(*sample))
    return whole


def flat(summary):
    return np.array([summary.time, *summary.rotation, *summary.velocity, *summary.position])


@given(st.lists(SAMPLE, max_size=8), st.lists(SAMPLE, max_size=8))
def test_summaries_compose(first, second):
    joined = total(first).then(total(second))
    np.testing.assert_allclose(flat(joined), flat(total(first + second)), atol=1e-9)


@given(VECTOR, st.floats(1e-4, 0.05), st.floats(0.0, 1.0))
def test_rotation_of_a_held_sample_does_not_depend_on_splits(rate, dt, share):
    parts = hold(rate, (0.0, 0.0, 0.0), share * dt).then(
        hold(rate, (0.0, 0.0, 0.0), (1 - share) * dt)
    )
    whole = hold(rate, (0.0, 0.0, 0.0), dt)
    np.testing.assert_allclose(parts.rotation, whole.rotation, atol=1e-12)


def test_rotation_agrees_with_scipy():
    rng = np.random.default_rng(0)
    rates, q = rng.normal(0, 3, (50, 3)), Rotation.identity()
    summary = Summary()
    for rate in rates:
        q = q * Rotation.from_rotvec(rate * 0.005)
        summary = summary.then(hold(tuple(rate), (0.0, 0.0, 0.0), 0.005))
    w, x, y, z = summary.rotation
    assert abs(np.dot(q.as_quat(), [x, y, z, w])) == pytest.approx(1.0, abs=1e-12)
    mean, _ = summary.means()
    np.testing.assert_allclose(np.array(mean) * 0.25, q.as_rotvec(), atol=1e-12)


def test_constant_force_falls_and_constant_turn_is_seen_from_the_end():
    summary = total([((0.0, 0.0, 0.0), (0.0, 0.0, 9.81), 0.005)] * 100)
    assert summary.velocity[2] == pytest.approx(9.81 * 0.5)
    assert summary.position[2] == pytest.approx(9.81 * 0.5**2 / 2)
    # A quarter turn about z while a force points to the world's x: in the end the body's -y.
    steps = 2000
    summary = Summary()
    for k in range(steps):
        angle = math.pi / 2 * (k + 0.5) / steps
        force = (math.cos(angle), -math.sin(angle), 0.0)
        summary = summary.then(hold((0.0, 0.0, math.pi / 2), force, 1 / steps))
    rate, force = summary.means()
    np.testing.assert_allclose(rate, (0, 0, math.pi / 2), atol=1e-9)
    np.testing.assert_allclose(force, (0, -1, 0), atol=1e-3)
    np.testing.assert_allclose(rotate(summary.rotation, (0.0, -1.0, 0.0)), (1, 0, 0), atol=1e-9)


def test_nothing_measured_is_zero():
    assert Summary().means() == ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
