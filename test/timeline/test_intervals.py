"""Frames close intervals; inertial samples count where their stamps lie, whenever they arrive."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnn_ros.timeline.intervals import MAX_FORCE, MAX_HOLD_NS, MAX_RATE, MAX_WAITING, Intervals

MS = 1_000_000
START = 1_000 * MS
FRAME = np.zeros((2, 3, 3), np.uint8)


def imu(x):
    return np.array([x, 0.0, 0.0, 0.0, 0.0, 9.81])


def feed(events, first=0.1):
    """Closed intervals of (stream, ms after START, rate) events."""
    intervals, closed = Intervals(FRAME.shape, first), []
    for stream, ms, rate in events:
        value = FRAME if stream == "camera" else imu(rate)
        _, interval = intervals.observe(stream, START + round(ms * MS), value)
        if interval is not None:
            closed.append(interval)
    return closed


def test_means_are_over_exactly_the_interval():
    events = [("imu", 5 * k, 1.0 if k < 20 else 3.0) for k in range(40)]
    events[25:25] = [("camera", 100, None)]  # arrives when stamps up to 120 ms are in already
    events += [("camera", 150, None), ("camera", 157.5, None)]
    first, second, third = feed(events)
    assert first.dt == pytest.approx(0.1) and second.dt == pytest.approx(0.05)
    assert first.summary[0] == pytest.approx(1.0)
    assert first.summary[6] == pytest.approx(1.0)  # covered
    assert second.summary[0] == pytest.approx(3.0)
    assert third.summary[0] == pytest.approx(3.0)  # half a sample's hold, split by the frame
    assert third.summary[7] == pytest.approx(0.0025)  # age of the newest sample before it
    assert third.summary[8] == pytest.approx(0.0075)


def test_a_sample_counts_for_the_part_that_it_holds():
    events = [("imu", 0, 2.0), ("imu", 30, 6.0), ("camera", 40, None)]
    (only,) = feed(events, first=0.04)
    assert only.summary[0] == pytest.approx((30 * 2 + 10 * 6) / 40)


def test_missing_inertial_data_is_seen_not_filled():
    (nothing,) = feed([("camera", 100, None)])
    assert (nothing.summary[:7] == 0).all() and nothing.summary[7] == 1.0
    events = [("imu", 0, 1.0), ("camera", 10, None), ("camera", 510, None), ("camera", 1610, None)]
    _, sparse, silent = feed(events)
    assert sparse.summary[6] == pytest.approx((MAX_HOLD_NS / MS - 10) / 500)
    assert sparse.summary[0] == pytest.approx(1.0)
    assert silent.summary[6] == 0.0 and silent.summary[7] == 1.0 and silent.summary[0] == 0.0


@given(st.lists(st.integers(1, 399), max_size=6, unique=True))
def test_more_frames_split_the_summary_and_lose_nothing(cuts):
    """Rotation and covered time add up, however many frames cut the stream."""
    stream = [("imu", 5 * k, 0.2 * k - 4.0) for k in range(80)]
    whole = feed([*stream, ("camera", 400, None)], first=0.4)
    events = [*stream, *(("camera", c, None) for c in sorted(cuts)), ("camera", 400, None)]
    events.sort(key=lambda e: (e[1], e[0] == "imu"))
    parts = feed(events, first=(min(cuts) if cuts else 400) / 1e3)
    assert len(parts) == len(cuts) + 1
    turned = sum(float(p.summary[0]) * p.dt for p in parts)
    assert turned == pytest.approx(float(whole[0].summary[0]) * 0.4, abs=1e-5)
    assert sum(float(p.summary[6]) * p.dt for p in parts) == pytest.approx(0.4, abs=1e-6)


@given(st.integers(0, 30))
def test_intervals_depend_on_stamps_not_on_arrival(delay):
    """Frames that arrive up to 150 ms late close the same intervals."""
    stream = [("imu", 5 * k, np.sin(k)) for k in range(100)]
    frames = [("camera", 50 * k, None) for k in range(1, 9)]
    prompt = sorted(stream + frames, key=lambda e: (e[1], e[0] == "camera"))
    late = sorted(
        stream + frames, key=lambda e: (e[1] + 5 * delay * (e[0] == "camera"), e[0] == "camera")
    )
    for a, b in zip(feed(prompt), feed(late), strict=True):
        np.testing.assert_array_equal(a.summary, b.summary)


@pytest.mark.parametrize(
    "stream, stamp, value, reason",
    [
        ("camera", START, FRAME, "camera.dropped_duplicate"),
        ("camera", START - MS, FRAME, "camera.dropped_late"),
        ("camera", 0, FRAME, "camera.dropped_stamp"),
        ("camera", -5, FRAME, "camera.dropped_stamp"),
        ("camera", 1.5e9, FRAME, "camera.dropped_stamp"),
        ("camera", START + MS, FRAME[:1], "camera.dropped_shape"),
        ("camera", START + MS, FRAME[:0], "camera.dropped_shape"),
        ("camera", START + MS, FRAME.astype(float), "camera.dropped_dtype"),
        ("camera", START + MS, None, "camera.dropped_dtype"),
        ("imu", START, imu(1), "imu.dropped_duplicate"),
        ("imu", START - MS, imu(1), "imu.dropped_late"),
        ("imu", 0, imu(1), "imu.dropped_stamp"),
        ("imu", START + MS, imu(np.nan), "imu.dropped_nan"),
        ("imu", START + MS, imu(-np.inf), "imu.dropped_nan"),
        ("imu", START + MS, imu(1e200), "imu.dropped_range"),
        ("imu", START + MS, imu(-1e154), "imu.dropped_range"),
        ("imu", START + MS, imu(1.01 * MAX_RATE), "imu.dropped_range"),
        ("imu", START + MS, np.array([0.0] * 5 + [1e308]), "imu.dropped_range"),
        ("imu", START + MS, np.full(6, np.float16(-6e4)), "imu.dropped_range"),
        ("imu", 2**63, imu(1), "imu.dropped_stamp"),
        ("camera", 10**400, FRAME, "camera.dropped_stamp"),
        ("imu", START + MS, imu(1)[:5], "imu.dropped_shape"),
        ("imu", START + MS, imu(1).astype(int), "imu.dropped_dtype"),
        ("imu", START + MS, [0.0] * 6, "imu.dropped_dtype"),
        ("sonar", START + MS, imu(1), "unknown.dropped_stream"),
    ],
)
def test_bad_samples_are_dropped_counted_and_change_nothing(stream, stamp, value, reason):
    def start():
        intervals = Intervals(FRAME.shape, 0.1)
        intervals.observe("imu", START, imu(1.0))
        intervals.observe("camera", START, FRAME)
        return intervals

    clean, dirty = start(), start()
    assert dirty.observe(stream, stamp, value) == (False, None)
    assert dirty.counts[reason] == 1
    assert dirty.newest() == clean.newest()
    later = START + 20 * MS
    (_, wanted), (_, found) = (i.observe("camera", later, FRAME) for i in (clean, dirty))
    np.testing.assert_array_equal(found.summary, wanted.summary)


def test_an_inertial_sample_of_a_closed_interval_is_late():
    intervals = Intervals(FRAME.shape, 0.1)
    intervals.observe("camera", START, FRAME)
    assert intervals.observe("imu", START - MS, imu(1)) == (False, None)
    assert intervals.counts["imu.dropped_late"] == 1
    assert intervals.observe("imu", START, imu(1)) == (True, None)


@given(st.lists(st.tuples(*[st.floats(allow_nan=True, allow_infinity=True)] * 6), max_size=8))
def test_whatever_an_inertial_sensor_says_the_summary_is_finite_and_possible(readings):
    intervals = Intervals(FRAME.shape, 0.1)
    for k, reading in enumerate(readings):
        intervals.observe("imu", START + 5 * k * MS, np.array(reading))
    _, interval = intervals.observe("camera", START + 50 * MS, FRAME)
    assert np.isfinite(interval.summary).all()
    length = 3**0.5 + 1e-3
    assert np.linalg.norm(interval.summary[:3]) <= length * MAX_RATE
    assert np.linalg.norm(interval.summary[3:6]) <= length * MAX_FORCE


def test_samples_waiting_for_a_frame_are_bounded():
    intervals = Intervals(FRAME.shape, 0.1)
    for k in range(MAX_WAITING + 10):
        intervals.observe("imu", START + k * MS, imu(1))
    assert intervals.counts["imu.dropped_overflow"] == 10


def test_reset_forgets_samples_and_keeps_counts():
    intervals = Intervals(FRAME.shape, 0.1)
    intervals.observe("camera", START, FRAME)
    intervals.reset()
    assert intervals.newest() == {"camera": None, "imu": None}
    assert intervals.observe("camera", START - MS, FRAME)[0]
    assert intervals.counts["camera.accepted"] == 2
