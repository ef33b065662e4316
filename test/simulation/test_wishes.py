"""What every expert's wish ends in."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnn_ros.simulation.wishes import CLIMB, command, levelled

SPEEDS = st.floats(-5.0, 5.0)


def test_a_velocity_is_seen_from_where_one_looks():
    north = (0.0, 2.0)
    assert levelled(north, 0.0) == pytest.approx((0.0, 2.0)), "to the left"
    assert levelled(north, math.pi / 2) == pytest.approx((2.0, 0.0)), "ahead"
    assert levelled(np.array(north), math.pi) == pytest.approx((0.0, -2.0)), "to the right"


@given(SPEEDS, SPEEDS, st.floats(-7.0, 7.0))
def test_how_fast_it_goes_does_not_depend_on_where_it_looks(x, y, yaw):
    forward, left = levelled((x, y), yaw)
    assert math.hypot(forward, left) == pytest.approx(math.hypot(x, y), abs=1e-12)
    cos, sin = math.cos(yaw), math.sin(yaw)
    assert (cos * forward - sin * left, sin * forward + cos * left) == pytest.approx(
        (x, y), abs=1e-12)


@given(SPEEDS, SPEEDS, SPEEDS, SPEEDS, st.floats(0.1, 2.0))
def test_climbing_and_turning_are_limited_and_going_is_not(forward, left, up, turn, most):
    found = command(forward, left, up, turn, most)
    assert found.dtype == np.float64 and found.shape == (4,)
    assert found.tolist() == [forward, left, float(np.clip(up, -CLIMB, CLIMB)),
                              float(np.clip(turn, -most, most))]
