"""Which samples are taken, and what is said of those that are not."""

import numpy as np
import pytest
from histories import FIRST_S, MS, SHAPE, START, Digesting, Sample
from hypothesis import given
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.timeline.samples import (
    MAX_FORCE,
    MAX_RATE,
    STREAMS,
    Track,
    Verdict,
    digest,
    stamp_fault,
)
from lnn_ros.timeline.timeline import AHEAD_NS, Timeline

FRAME = np.zeros(SHAPE, np.uint8)


def imu(x):
    return np.array([x, 0.0, 0.0, 0.0, 0.0, 9.81])


def begun(horizon_s=0.5):
    timeline = Timeline(Digesting(), SHAPE, FIRST_S, horizon_s)
    assert timeline.observe("imu", START, imu(1.0)) is Verdict.ACCEPTED
    assert timeline.observe("camera", START, FRAME) is Verdict.ACCEPTED
    return timeline


@pytest.mark.parametrize(
    "stream, stamp, value, reason",
    [
        ("camera", START, FRAME, "camera.dropped_duplicate"),
        ("camera", START - 501 * MS, FRAME, "camera.dropped_late"),
        ("camera", 0, FRAME, "camera.dropped_stamp"),
        ("camera", -5, FRAME, "camera.dropped_stamp"),
        ("camera", 1.5e9, FRAME, "camera.dropped_stamp"),
        ("camera", np.float64(START), FRAME, "camera.dropped_stamp"),
        ("camera", True, FRAME, "camera.dropped_stamp"),
        ("camera", np.bool_(True), FRAME, "camera.dropped_stamp"),
        ("camera", None, FRAME, "camera.dropped_stamp"),
        ("camera", str(START), FRAME, "camera.dropped_stamp"),
        ("camera", float("nan"), FRAME, "camera.dropped_stamp"),
        ("camera", 10**400, FRAME, "camera.dropped_stamp"),
        ("camera", -(10**400), FRAME, "camera.dropped_stamp"),
        ("imu", 0, imu(1), "imu.dropped_stamp"),
        ("imu", 2**63, imu(1), "imu.dropped_stamp"),
        ("imu", np.uint64(2**63), imu(1), "imu.dropped_stamp"),
        ("imu", np.uint64(2**64 - 1), imu(1), "imu.dropped_stamp"),
        ("imu", np.int64(-1), imu(1), "imu.dropped_stamp"),
        ("camera", START + MS, FRAME[:, :1], "camera.dropped_shape"),
        ("camera", START + MS, FRAME[:0], "camera.dropped_shape"),
        ("camera", START + MS, FRAME.astype(float), "camera.dropped_dtype"),
        ("camera", START + MS, FRAME.astype(np.int8), "camera.dropped_dtype"),
        ("camera", START + MS, None, "camera.dropped_dtype"),
        ("imu", START, imu(1), "imu.dropped_duplicate"),
        ("imu", START - 501 * MS, imu(1), "imu.dropped_late"),
        ("imu", START + MS, imu(np.nan), "imu.dropped_nan"),
        ("imu", START + MS, imu(-np.inf), "imu.dropped_nan"),
        ("imu", START + MS, imu(1e200), "imu.dropped_range"),
        ("imu", START + MS, imu(-1e154), "imu.dropped_range"),
        ("imu", START + MS, imu(1.01 * MAX_RATE), "imu.dropped_range"),
        ("imu", START + MS, np.array([0.0] * 5 + [-1.01 * MAX_FORCE]), "imu.dropped_range"),
        ("imu", START + MS, np.full(6, np.float16(-6e4)), "imu.dropped_range"),
        ("imu", START + MS, imu(1)[:5], "imu.dropped_shape"),
        ("imu", START + MS, imu(1)[None], "imu.dropped_shape"),
        ("imu", START + MS, imu(1).astype(int), "imu.dropped_dtype"),
        ("imu", START + MS, imu(1).astype(complex), "imu.dropped_dtype"),
        ("imu", START + MS, imu(1).astype(object), "imu.dropped_dtype"),
        ("imu", START + MS, [0.0] * 6, "imu.dropped_dtype"),
        ("sonar", START + MS, imu(1), "unknown.dropped_stream"),
        ("", START + MS, imu(1), "unknown.dropped_stream"),
        (None, START + MS, imu(1), "unknown.dropped_stream"),
    ],
)
def test_bad_samples_are_dropped_counted_and_change_nothing(stream, stamp, value, reason):
    clean, dirty = begun(), begun()
    verdict = dirty.observe(stream, stamp, value)
    assert not verdict and reason.endswith(verdict.value)
    assert dirty.counts[reason] == 1
    assert dirty.newest() == clean.newest() and dirty.span() == clean.span()
    for timeline in (clean, dirty):
        assert timeline.observe("imu", START + 5 * MS, imu(2.0))
        assert timeline.observe("camera", START + 20 * MS, FRAME)
    np.testing.assert_array_equal(clean.last()[1], dirty.last()[1])
    assert clean.last()[0] == dirty.last()[0]


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.uint32, np.int64, np.uint64])
def test_integers_of_any_kind_are_stamps(kind):
    """And do not overflow in what is computed of them."""
    found, plain = (Timeline(Digesting(), SHAPE, FIRST_S) for _ in range(2))
    last = min(np.iinfo(kind).max, 2**63 - 1)
    for stamp in (last - 20, last):
        assert found.observe("imu", kind(stamp), imu(1.0), now_ns=last)
        assert found.observe("camera", kind(stamp), FRAME)
        assert plain.observe("imu", stamp, imu(1.0)) and plain.observe("camera", stamp, FRAME)
    assert found.span() == plain.span() and type(found.newest()["imu"]) is int
    at = last + 300 * MS
    np.testing.assert_array_equal(found.read(at), plain.read(at))


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=3), st.none()))
def test_a_stamp_is_a_positive_integer_of_63_bits(stamp):
    good = isinstance(stamp, int) and not isinstance(stamp, bool) and 0 < stamp < 2**63
    assert (stamp_fault(stamp) is None) == good


def test_at_the_horizon_a_sample_counts_and_a_nanosecond_before_it_is_late():
    for stream, value in (("camera", FRAME), ("imu", imu(1.0))):
        timeline = begun()
        assert timeline.observe(stream, START - 500 * MS, value) is Verdict.ACCEPTED
        assert timeline.observe(stream, START - 500 * MS - 1, value) is Verdict.LATE


def test_without_a_horizon_only_the_newest_instant_is_open():
    timeline = begun(0.0)
    assert timeline.observe("camera", START - 1, FRAME) is Verdict.LATE
    assert timeline.observe("imu", START, imu(5.0)) in (Verdict.REPLACED, Verdict.CONFLICT)
    assert timeline.observe("imu", START + 1, imu(5.0)) is Verdict.ACCEPTED


@pytest.mark.parametrize("horizon", [-0.1, 2.1, float("nan"), float("inf")])
def test_a_horizon_that_no_history_holds_is_refused(horizon):
    with pytest.raises(LnnError, match="expected 0 to 2"):
        Timeline(Digesting(), SHAPE, FIRST_S, horizon)


def test_a_stamp_in_the_future_cannot_move_the_horizon():
    timeline = begun()
    now = START + 30 * MS
    for stamp in (now + AHEAD_NS + 1, 2**62, 2**63 - 1):
        assert timeline.observe("imu", stamp, imu(1.0), now) is Verdict.FUTURE
        assert timeline.observe("camera", stamp, FRAME, now_ns=now) is Verdict.FUTURE
    assert timeline.counts["imu.dropped_future"] == timeline.counts["camera.dropped_future"] == 3
    assert timeline.newest() == {"imu": START, "camera": START}
    assert timeline.observe("camera", START - 500 * MS, FRAME, now) is Verdict.ACCEPTED
    assert timeline.observe("imu", now + AHEAD_NS, imu(1.0), now) is Verdict.ACCEPTED


def test_of_two_samples_of_one_stamp_the_larger_digest_stays():
    for stream in STREAMS:
        one, two = sorted(
            (Sample(stream, START, content) for content in (1, 2)), key=lambda s: s.rank()
        )
        for first, second, verdict in (
            (one, two, Verdict.REPLACED),
            (two, one, Verdict.CONFLICT),
            (one, one, Verdict.DUPLICATE),
        ):
            timeline = Timeline(Digesting(), SHAPE, FIRST_S)
            assert timeline.observe(stream, START, first.value()) is Verdict.ACCEPTED
            assert timeline.observe(stream, START, second.value()) is verdict
            assert timeline.counts[f"{stream}.{verdict.value}"] == 1


def test_equal_numbers_are_equal_whatever_their_type():
    timeline = Timeline(Digesting(), SHAPE, FIRST_S)
    value = np.array([0.5, -0.25, 0.0, 1.0, 2.0, 8.0])
    assert timeline.observe("imu", START, value)
    for dtype in ("f2", "f4", ">f4", ">f8", "g"):
        assert timeline.observe("imu", START, value.astype(dtype)) is Verdict.DUPLICATE
    assert timeline.observe("imu", START, np.repeat(value, 2)[::2]) is Verdict.DUPLICATE


def test_a_digest_tells_stamps_and_contents_apart():
    values = [imu(x) for x in (0.0, 1.0, 1.0 + 1e-15)]
    found = {digest(stamp, value) for stamp in (START, START + 1) for value in values}
    assert len(found) == 6 and all(0 <= d < 2**64 for d in found)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers())), st.integers(-1, 13))
def test_a_track_keeps_its_samples_in_order(puts, at):
    track, plain = Track(), {}
    for stamp, value in puts:
        track.put(stamp, value)
        plain[stamp] = value
    assert list(zip(track.stamps, track.values, strict=True)) == sorted(plain.items())
    assert len(track) == len(plain) and track.find(at) == plain.get(at)
    before = [s for s in sorted(plain) if s <= at]
    assert track.held(at) == len(before) - 1
    assert track.after(at) == min((s for s in plain if s > at), default=None)
    assert track.since(at) == min((s for s in plain if s >= at), default=None)
    part = track.part(at, at + 4)
    assert part.stamps == before[-1:] + [s for s in sorted(plain) if at < s <= at + 4]
    assert part.values == [plain[s] for s in part.stamps]
    track.forget(at)
    assert track.stamps == sorted(plain)[max(at, 0) :]
