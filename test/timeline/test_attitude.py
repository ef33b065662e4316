"""Which way is up: a unit vector that the gyroscope carries and gravity pulls."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnn_ros.timeline.attitude import LEVEL, TIME_CONSTANT_S, carried
from lnn_ros.timeline.preintegration import Summary, conjugate, hold, rotate
from lnn_ros.timeline.samples import MAX_FORCE, MAX_RATE

G = 9.81
STILL = (0.0, 0.0, 0.0)


def angle(a, b):
    return math.acos(max(-1.0, min(1.0, float(np.dot(a, b)))))


@given(
    st.lists(
        st.tuples(
            st.tuples(*[st.floats(-MAX_RATE, MAX_RATE)] * 3),
            st.tuples(*[st.floats(-MAX_FORCE, MAX_FORCE)] * 3),
            st.floats(1e-9, 0.05),
        ),
        max_size=20,
    )
)
def test_it_stays_a_unit_vector(samples):
    up = None
    for sample in samples:
        up = carried(up, hold(*sample))
        assert up is None or math.hypot(*up) == pytest.approx(1.0, abs=1e-12)


def test_before_any_sample_nothing_is_known():
    assert carried(None, Summary()) is None
    assert carried(None, hold(STILL, STILL, 0.05)) is None  # free fall has no direction
    assert carried(LEVEL, Summary()) == LEVEL
    assert carried(LEVEL, hold(STILL, STILL, 0.05)) == LEVEL


def test_the_first_samples_are_believed():
    up = carried(None, hold(STILL, (0.0, 3.0, 4.0), 0.05))
    assert up == pytest.approx((0.0, 0.6, 0.8))


def test_it_converges_to_gravity_with_the_stated_time_constant():
    tilted = (math.sin(0.1), 0.0, math.cos(0.1))
    up, truth = tilted, LEVEL
    for _ in range(round(TIME_CONSTANT_S / 0.1)):
        up = carried(up, hold(STILL, (0.0, 0.0, G), 0.1))
    assert angle(up, truth) == pytest.approx(0.1 / math.e, rel=0.01)
    for _ in range(1000):
        up = carried(up, hold(STILL, (0.0, 0.0, G), 0.1))
    assert angle(up, truth) < 1e-6


def test_it_converges_from_upside_down():
    up = (0.0, 0.0, -1.0)
    for _ in range(2000):
        up = carried(up, hold(STILL, (1e-3, 0.0, G), 0.1))
    assert angle(up, LEVEL) < 1e-3


@given(st.tuples(*[st.floats(-3, 3)] * 3), st.integers(1, 40))
def test_the_gyroscope_carries_it_through_a_turn(rate, count):
    """A vehicle at rest but for its turning: up is where the world's up is, to the last digits."""
    whole, up = Summary(), LEVEL
    for _ in range(count):
        # Specific force in the body: the world's up, turned into it. Held over short steps.
        steps = Summary()
        for _ in range(20):
            force = rotate(conjugate(whole.then(steps).rotation), (0.0, 0.0, G))
            steps = steps.then(hold(rate, force, 0.005))
        up, whole = carried(up, steps), whole.then(steps)
    truth = rotate(conjugate(whole.rotation), LEVEL)
    assert angle(up, truth) < 0.02  # half a step of 0.005 s at 5 rad/s


def test_acceleration_pulls_it_only_slowly():
    """0.6 s of 1 g sideways, a hard manoeuvre: gravity alone would say 45 degrees."""
    up = LEVEL
    for _ in range(6):
        up = carried(up, hold(STILL, (G, 0.0, G), 0.1))
    assert math.degrees(angle(up, LEVEL)) < 6.0


def test_it_turns_against_the_body():
    """Rolled to its right side (about +x), up is to its left: +y."""
    up = carried(LEVEL, hold((math.pi, 0.0, 0.0), STILL, 0.5))
    assert up == pytest.approx((0.0, 1.0, 0.0), abs=1e-12)
