"""The summary composes wherever a time is cut, and is what integrating the motion gives."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.spatial.transform import Rotation

from lnn_ros.timeline.intervals import MAX_HOLD_NS, Preintegration, preintegrate
from lnn_ros.timeline.preintegration import (
    IDENTITY,
    Summary,
    conjugate,
    hold,
    multiply,
    rotate,
    rotation_vector,
)
from lnn_ros.timeline.samples import MAX_FORCE, MAX_RATE, Track

MS = 1_000_000
NONE = (0.0, 0.0, 0.0)
VECTOR = st.tuples(*[st.floats(-5, 5)] * 3)
SAMPLE = st.tuples(VECTOR, VECTOR, st.floats(1e-4, 0.05))


def total(samples):
    whole = Summary()
    for sample in samples:
        whole = whole.then(hold(*sample))
    return whole


def flat(summary):
    return np.array([summary.time, *summary.rotation, *summary.velocity, *summary.position])


def track(rng, count, longest_ms, rate=5.0, force=20.0):
    imu = Track()
    for stamp in np.cumsum(rng.integers(1, longest_ms * MS, count)).tolist():
        imu.put(stamp, (tuple(rng.normal(0, rate, 3)), tuple(rng.normal(0, force, 3))))
    return imu


@given(st.lists(SAMPLE, max_size=8), st.lists(SAMPLE, max_size=8))
def test_summaries_compose(first, second):
    joined = total(first).then(total(second))
    np.testing.assert_allclose(flat(joined), flat(total(first + second)), rtol=0, atol=1e-9)


@settings(max_examples=400)
@given(st.integers(0, 2**32), st.lists(st.floats(0, 1), min_size=1, max_size=12), st.booleans())
def test_a_time_may_be_cut_anywhere(seed, cuts, gaps):
    """Also inside held samples, inside gaps that no sample covers, at stamps, twice at a place."""
    rng = np.random.default_rng(seed)
    imu = track(rng, 40, 120 if gaps else 10)
    start, end = -10 * MS, imu.stamps[-1] + 80 * MS
    stamps = [imu.stamps[3], imu.stamps[-1], imu.stamps[3] + MAX_HOLD_NS]
    places = sorted([start, end, *stamps, *(start + round(c * (end - start)) for c in cuts)])
    pieces = Summary()
    for a, b in pairwise(places):
        pieces = pieces.then(preintegrate(imu, a, b))
    whole = preintegrate(imu, start, end)
    np.testing.assert_allclose(flat(pieces), flat(whole), rtol=0, atol=1e-9)


@given(
    st.tuples(*[st.floats(-MAX_RATE, MAX_RATE)] * 3),
    st.tuples(*[st.floats(-MAX_FORCE, MAX_FORCE)] * 3),
    st.floats(0.0, MAX_HOLD_NS * 1e-9),
    st.floats(0.0, 1.0),
)
def test_a_held_sample_may_be_cut_whatever_it_says(rate, force, dt, share):
    parts = hold(rate, force, share * dt).then(hold(rate, force, dt - share * dt))
    np.testing.assert_allclose(flat(parts), flat(hold(rate, force, dt)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_summary_is_the_motions_integral(seed):
    """Velocity and position against an ODE solver, R' = R [w]x, v' = R f, p' = v."""
    rng = np.random.default_rng(seed)
    imu = track(rng, 12, 40, rate=8.0)
    start, end = imu.stamps[0] + 3 * MS, imu.stamps[-1] + 20 * MS
    ends = [*imu.stamps[1:], end]
    y = np.concatenate([np.eye(3).reshape(-1), np.zeros(6)])
    for stamp, until, (rate, force) in zip(imu.stamps, ends, imu.values, strict=True):
        begin = max(stamp, start)
        x, yy, z = rate
        cross = np.array([[0, -z, yy], [z, 0, -x], [-yy, x, 0]])

        def motion(_, y, cross=cross, force=force):
            r = y[:9].reshape(3, 3)
            return np.concatenate([(r @ cross).reshape(-1), r @ np.array(force), y[9:12]])

        dt = (until - begin) * 1e-9
        y = solve_ivp(motion, (0, dt), y, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    summary = preintegrate(imu, start, end)
    assert summary.time == pytest.approx((end - start) * 1e-9, abs=1e-12)
    np.testing.assert_allclose(summary.velocity, y[9:12], rtol=0, atol=1e-9)
    np.testing.assert_allclose(summary.position, y[12:], rtol=0, atol=1e-9)
    w, *v = summary.rotation
    turned = Rotation.from_quat([*v, w]).as_matrix()
    np.testing.assert_allclose(turned, y[:9].reshape(3, 3), rtol=0, atol=1e-9)


def test_rotation_agrees_with_scipy():
    rng = np.random.default_rng(0)
    rates, q = rng.normal(0, 3, (50, 3)), Rotation.identity()
    summary = Summary()
    for rate in rates:
        q = q * Rotation.from_rotvec(rate * 0.005)
        summary = summary.then(hold(tuple(rate), NONE, 0.005))
    w, x, y, z = summary.rotation
    assert abs(np.dot(q.as_quat(), [x, y, z, w])) == pytest.approx(1.0, abs=1e-12)
    mean, _ = summary.means()
    np.testing.assert_allclose(np.array(mean) * 0.25, q.as_rotvec(), atol=1e-12)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [-1, 1])
def test_every_axis_has_the_sign_of_the_right_hand(axis, sign):
    """A quarter turn about each axis carries the next axis to the one after it."""
    rate, one, two = [0.0] * 3, [0.0] * 3, [0.0] * 3
    rate[axis], one[(axis + 1) % 3], two[(axis + 2) % 3] = sign * math.pi, 1.0, float(sign)
    quarter = hold(tuple(rate), NONE, 0.5)
    # What points along `one` in the turned body points along `two` in the body before it.
    np.testing.assert_allclose(rotate(quarter.rotation, tuple(one)), two, atol=1e-12)
    np.testing.assert_allclose(rotate(conjugate(quarter.rotation), tuple(two)), one, atol=1e-12)
    turn = [sign * math.pi / 2 * (i == axis) for i in range(3)]
    np.testing.assert_allclose(rotation_vector(quarter.rotation), turn, atol=1e-12)
    push = hold(NONE, tuple(float(sign * v) for v in one), 0.5)
    np.testing.assert_allclose(push.velocity, 0.5 * sign * np.array(one), atol=1e-12)
    np.testing.assert_allclose(push.position, 0.125 * sign * np.array(one), atol=1e-12)
    np.testing.assert_allclose(push.means()[1], sign * np.array(one), atol=1e-12)


def test_constant_force_falls_and_constant_turn_is_seen_from_the_end():
    summary = total([(NONE, (0.0, 0.0, 9.81), 0.005)] * 100)
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


@given(VECTOR, VECTOR)
def test_small_and_large_angles_meet(direction, force):
    """Series below 0.1 rad, closed form above: no step where one takes over from the other."""
    size = math.sqrt(sum(d * d for d in direction))
    if size < 1e-3:
        return
    dt = 0.05
    below, above = (
        tuple(d / size * angle / dt for d in direction) for angle in (0.1 - 1e-13, 0.1 + 1e-13)
    )
    a, b = hold(below, force, dt), hold(above, force, dt)
    np.testing.assert_allclose(flat(a), flat(b), rtol=0, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-300, 1e-12, 1e-5, 0.0999, 0.1001, 3.0, 7.0, 100.0])
def test_the_quotients_keep_their_digits(angle):
    """Against the same held sample in 4,096 pieces, each well inside the series."""
    rate, force, dt = (0.0, angle / 0.05, 0.0), (3.0, -2.0, 1.0), 0.05
    summary, piece = hold(rate, force, dt), hold(rate, force, dt / 4096)
    for _ in range(12):  # doubled twelve times
        piece = piece.then(piece)
    np.testing.assert_allclose(flat(piece), flat(summary), rtol=0, atol=2e-12)


@pytest.mark.parametrize("gap_ms", [10, 50, 51, 400])
def test_a_sample_speaks_for_at_most_50_ms(gap_ms):
    imu = Track()
    for stamp in (0, gap_ms * MS):
        imu.put(stamp, ((1.0, 0.0, 0.0), (0.0, 0.0, 9.81)))
    summary = preintegrate(imu, 0, gap_ms * MS)
    assert summary.time == pytest.approx(min(gap_ms, 50) * 1e-3)
    assert rotation_vector(summary.rotation)[0] == pytest.approx(min(gap_ms, 50) * 1e-3)
    assert preintegrate(imu, 50 * MS, gap_ms * MS).time == 0.0
    after = preintegrate(imu, gap_ms * MS, gap_ms * MS + MAX_HOLD_NS + 1)
    assert after.time == pytest.approx(MAX_HOLD_NS * 1e-9, abs=1e-12)  # to the nanosecond


def test_a_sample_of_the_ends_own_stamp_belongs_to_what_follows():
    imu = Track()
    imu.put(0, ((1.0, 0.0, 0.0), NONE))
    imu.put(10 * MS, ((5.0, 0.0, 0.0), NONE))
    assert preintegrate(imu, 0, 10 * MS).means()[0][0] == pytest.approx(1.0)
    assert preintegrate(imu, 10 * MS, 20 * MS).means()[0][0] == pytest.approx(5.0)


def test_nothing_measured_is_zero():
    assert Summary().means() == (NONE, NONE)
    assert preintegrate(Track(), 0, 100 * MS) == Summary()
    assert hold((1.0, 2.0, 3.0), (1.0, 2.0, 3.0), 0.0) == Summary()


@given(VECTOR, st.floats(0, 0.2))
def test_a_rotation_vector_tells_the_shorter_way(rate, dt):
    q = hold(rate, NONE, dt).rotation
    found, (w, *v) = rotation_vector(q), q
    np.testing.assert_allclose(found, Rotation.from_quat([*v, w]).as_rotvec(), atol=1e-9)
    assert rotation_vector(tuple(-c for c in q)) == pytest.approx(found, abs=1e-12)
    np.testing.assert_allclose(multiply(q, conjugate(q)), IDENTITY, atol=1e-12)


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.booleans(), st.integers(1, 60), st.integers(0, 60), st.tuples(VECTOR, VECTOR)
        ),
        max_size=40,
    )
)
def test_what_was_asked_before_changes_no_bit(happenings):
    """Samples come late or again, instants are asked for in any order, boundaries move."""
    imu, remembering = Track(), Preintegration()
    for comes, a, b, sample in happenings:
        if comes:
            imu.put(a * MS, sample)
            remembering.forget(a * MS)
        else:
            start, end = b // 20 * 20 * MS, (b // 20 * 20 + a) * MS
            assert remembering(imu, start, end) == preintegrate(imu, start, end)
