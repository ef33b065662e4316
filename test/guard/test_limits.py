"""No command leaves that is not finite, fresh, inside its ceilings and in order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.guard.chain import Guard
from lnn_ros.guard.limits import Limits

LIMITS = Limits((-0.5, -1.0, -0.8, -1.5), (1.6, 1.0, 0.8, 1.5), max_age=0.5)
FRESH = {"camera": 0.05, "imu": 0.005}
ANY = st.floats(allow_nan=True, allow_infinity=True)


@given(st.tuples(ANY, ANY, ANY, ANY))
def test_whatever_is_wished_the_command_is_finite_and_inside(wish):
    guard = Guard(LIMITS)
    command = guard(1, np.array(wish), FRESH)
    assert np.isfinite(command).all()
    assert (command >= LIMITS.low).all() and (command <= LIMITS.high).all()
    if not np.isfinite(wish).all():
        assert (command == 0).all() and guard.counts["guard.not_finite"] == 1


def test_a_good_wish_passes_unchanged_and_uncounted():
    guard = Guard(LIMITS)
    wish = np.array([1.0, -0.5, 0.1, 1.5])
    np.testing.assert_array_equal(guard(1, wish, FRESH), wish)
    assert not guard.counts
    guard(2, wish * 10, FRESH)
    assert guard.counts["guard.clamped"] == 1


@pytest.mark.parametrize("stream", ["camera", "imu"])
@pytest.mark.parametrize("age", [None, 0.51, -0.51, float("nan")])
def test_a_missing_or_stale_stream_stops(stream, age):
    guard = Guard(LIMITS)
    assert (guard(1, np.ones(4), {**FRESH, stream: age}) == 0).all()
    assert guard.counts == {f"guard.stale_{stream}": 1}
    assert (guard(2, np.ones(4) * 0.5, {**FRESH, stream: 0.5}) == 0.5).all()


def test_time_does_not_go_back():
    guard = Guard(LIMITS)
    guard(5, np.zeros(4), FRESH)
    guard(5, np.zeros(4), FRESH)
    with pytest.raises(LnnError, match="4 ns asked for, expected 5 ns or later"):
        guard(4, np.zeros(4), FRESH)
    guard.reset()
    guard(4, np.zeros(4), FRESH)


@pytest.mark.parametrize(
    "limits",
    [
        ((0.1, 0, 0, 0), (1, 1, 1, 1), 0.5),
        ((0, 0, 0, 0), (1, 1, -1, 1), 0.5),
        ((0, 0, 0, 0), (1, 1, float("inf"), 1), 0.5),
        ((0, 0, 0), (1, 1, 1, 1), 0.5),
        ((0, 0, 0, 0, 0), (1, 1, 1), 0.5),
        ((0, 0, 0, 0), (1, 1, 1, 1), 0.0),
    ],
)
def test_senseless_limits_are_refused(limits):
    with pytest.raises(LnnError, match="limits"):
        Limits(*limits)
