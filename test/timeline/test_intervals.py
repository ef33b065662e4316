"""Where intervals begin and end, and what is told of them.

The first part follows the order of cases of fuse's timestamp manager: what is there, what is added,
and which intervals are made anew.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
from histories import FIRST_NS, FIRST_S, MS, SHAPE, START, Digesting, Sample, made, tracks
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.liquid import engine
from lnn_ros.liquid.spec import SUMMARY
from lnn_ros.timeline.intervals import LONGEST_S, MAX_HOLD_NS, TICK_NS, cut, onward
from lnn_ros.timeline.samples import MAX_FORCE, MAX_RATE, Track
from lnn_ros.timeline.timeline import Timeline

STEP = 10 * MS


def at(k):
    return START + round(k * STEP)


THERE = (10, 20, 30, 40)


@pytest.mark.parametrize(
    "there, added, expected",
    [
        pytest.param((), (10, 20), (10, 20), id="nothing there"),
        pytest.param((), (10,), (10,), id="nothing there, one stamp"),
        pytest.param(THERE, (20, 30), (), id="there already"),
        pytest.param(THERE, (5, 10), (5, 10, 20, 30, 40), id="before the beginning, aligned"),
        pytest.param(THERE, (5, 8), (5, 8, 10, 20, 30, 40), id="before the beginning, unaligned"),
        pytest.param(THERE, (5, 15), (5, 10, 15, 20, 30, 40), id="over the beginning"),
        pytest.param(THERE, (40, 45), (45,), id="after the end, aligned"),
        pytest.param(THERE, (43, 45), (43, 45), id="after the end, unaligned"),
        pytest.param(THERE, (35, 45), (35, 40, 45), id="over the end"),
        pytest.param(THERE, (10, 40), (), id="several segments"),
        pytest.param(THERE, (5, 40), (5, 10, 20, 30, 40), id="several, from before the beginning"),
        pytest.param(THERE, (10, 45), (45,), id="several, past the end"),
        pytest.param(THERE, (5, 45), (5, 10, 20, 30, 40, 45), id="several, past both ends"),
        pytest.param(THERE, (15, 30), (15, 20, 30, 40), id="split at the beginning"),
        pytest.param(THERE, (20, 35), (35, 40), id="split at the end"),
        pytest.param(THERE, (15, 35), (15, 20, 30, 35, 40), id="split at both ends"),
        pytest.param(THERE, (22, 28), (22, 28, 30, 40), id="split within one segment"),
        pytest.param(THERE, (22, 24, 26, 28), (22, 24, 26, 28, 30, 40), id="split into many"),
        pytest.param(THERE, (30, 30), (), id="the same stamp"),
        pytest.param(THERE, (25, 25), (25, 30, 40), id="the same new stamp"),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_frames_split_time(there, added, expected, backwards):
    """Only what lies at an added frame or after it is made anew, and nothing is left out."""
    network = Digesting()
    timeline = Timeline(network, SHAPE, FIRST_S)
    for k in there:
        timeline.observe("camera", at(k), Sample("camera", 0, k).value())
    assert [stamp for stamp, _ in made(timeline, network)] == [at(k) for k in there]
    for k in reversed(added) if backwards else added:
        timeline.observe("camera", at(k), Sample("camera", 0, k).value())
    assert made(timeline, network) == [(at(k), True) for k in expected]
    # The intervals adjoin: each is as long as the distance to the boundary before.
    everything = sorted({*there, *added})
    before = {k: b for b, k in pairwise(everything)}
    lengths = [round(dt * 1e9) for dt, _, _ in network.steps]
    first = FIRST_NS
    assert lengths == [at(k) - at(before[k]) if k in before else first for k in expected]


@pytest.mark.parametrize(
    "added, expected",
    [
        pytest.param(-9, [0, 10, 20, 30], id="before the beginning, in the first interval"),
        pytest.param(-19, [0, 10, 20, 30], id="before the beginning"),
        pytest.param(0, [10, 20, 30], id="at the beginning: it holds from there on"),
        pytest.param(5, [10, 20, 30], id="within a segment"),
        pytest.param(20, [30], id="at a boundary: it holds from there on"),
        pytest.param(29.999999, [30], id="a nanosecond before the end"),
        pytest.param(30, [], id="at the end"),
        pytest.param(35, [], id="after the end"),
    ],
)
def test_inertial_samples_split_no_time(added, expected):
    network = Digesting()
    timeline = Timeline(network, SHAPE, FIRST_S)
    for k in (0, 10, 20, 30):
        timeline.observe("camera", at(k), Sample("camera", 0, k).value())
    made(timeline, network)
    timeline.observe("imu", at(added), Sample("imu", 0, 1).value())
    assert [stamp for stamp, _ in made(timeline, network)] == [at(k) for k in expected]


def boundaries(frames, imu):
    """Boundaries by their definition, instant by instant."""
    found, newest = [], max([*frames, *imu])
    for k, frame in enumerate(frames):
        found.append((frame, True))
        end = frames[k + 1] if k + 1 < len(frames) else newest + 1
        for tick in range(frame + TICK_NS, min(end, newest + 1), TICK_NS):
            if any(tick - TICK_NS <= stamp < tick for stamp in imu):
                found.append((tick, False))
    return found


@settings(max_examples=300)
@given(
    st.sets(st.tuples(st.integers(-20, 60), st.integers(-1, 1)), min_size=1, max_size=8),
    st.sets(st.tuples(st.integers(-30, 80), st.integers(-1, 1)), max_size=25),
)
def test_boundaries_are_those_of_the_definition(frames, imu):
    """Stamps on a grid of 50 ms, give or take a nanosecond."""
    frames, imu = (sorted(START + 50 * MS * k + ns for k, ns in s) for s in (frames, imu))
    samples = [Sample("camera", s) for s in frames] + [Sample("imu", s) for s in imu]
    intervals = [interval for interval, _ in cut(*tracks(samples), TICK_NS)]
    assert [(i.stamp_ns, i.camera) for i in intervals] == boundaries(frames, imu)
    for before, after in pairwise(intervals):
        assert after.start_ns == before.stamp_ns < after.stamp_ns


def stamps_of(frames_ms, imu_ms):
    samples = [Sample("camera", START + ms * MS) for ms in frames_ms]
    samples += [Sample("imu", START + round(ms * MS)) for ms in imu_ms]
    found = [i for i, _ in cut(*tracks(samples), FIRST_NS)]
    return [((i.stamp_ns - START) / MS, i.camera) for i in found]


def test_ticks():
    # Nothing happens before the first frame, whatever the inertial sensor says.
    assert stamps_of([], range(0, 1000, 5)) == []
    assert stamps_of([500], range(0, 520, 5)) == [(500, True)]
    # The grid is counted from the last frame.
    assert stamps_of([0, 130], range(0, 360, 5)) == [
        (0, True), (100, False), (130, True), (230, False), (330, False),
    ]  # fmt: skip
    # A frame on a tick is a frame.
    assert stamps_of([0, 100], range(0, 120, 5)) == [(0, True), (100, True)]
    # A tick comes when a stamp has reached it, and not a nanosecond earlier.
    assert stamps_of([0], [0, 100 - 1e-6]) == [(0, True)]
    assert stamps_of([0], [0, 100]) == [(0, True), (100, False)]
    # Only where there was a sample in the 100 ms before; one of its own stamp is not before it.
    assert stamps_of([0], [20, 300, 450]) == [(0, True), (100, False), (400, False)]
    assert stamps_of([0, 1000], []) == [(0, True), (1000, True)]
    # A sample 100 ms before a tick was on the tick before.
    assert stamps_of([0], [100, 200]) == [(0, True), (200, False)]
    assert stamps_of([0], [100 - 1e-6, 200]) == [(0, True), (100, False)]
    # Several frames inside one tick.
    assert stamps_of([0, 20, 40, 60], [5, 170]) == [
        (0, True), (20, True), (40, True), (60, True),
    ]  # fmt: skip
    assert stamps_of([0, 20, 40, 60], [5, 65, 170])[4:] == [(160, False)]


# -- what is told ---------------------------------------------------------------------------------


def summaries(frames_ms, imu, first_ns=FIRST_NS):
    """Summaries by name, of frames at these times and (ms, rate about x) of inertial samples."""
    frames, track = Track(), Track()
    for ms in frames_ms:
        frames.put(START + round(ms * MS), None)
    for ms, rate in imu:
        track.put(START + round(ms * MS), ((rate, 0.0, 0.0), (0.0, 0.0, 9.81)))
    return [
        dict(zip(SUMMARY, i.summary.tolist(), strict=True)) for i, _ in cut(frames, track, first_ns)
    ]


def test_means_are_over_exactly_the_interval():
    stream = [(5 * k, 1.0 if k < 20 else 3.0) for k in range(40)]
    first, second, third = summaries([100, 150, 157.5], stream)[:3]
    assert first["dt"] == pytest.approx(0.1) and second["dt"] == pytest.approx(0.05)
    assert first["angular_rate_x"] == pytest.approx(1.0)
    assert first["imu_coverage"] == pytest.approx(1.0)
    assert second["angular_rate_x"] == pytest.approx(3.0)
    assert third["angular_rate_x"] == pytest.approx(3.0)  # half a sample's hold
    assert third["imu_age"] == pytest.approx(0.0025)
    assert third["dt"] == pytest.approx(0.0075)
    assert third["specific_force_y"] != 0  # by now it has rolled
    assert all(s["camera_present"] == 1 for s in (first, second, third))


def test_a_sample_counts_for_the_part_that_it_holds():
    (only,) = summaries([40], [(0, 2.0), (30, 6.0)], 40 * MS)
    assert only["angular_rate_x"] == pytest.approx((30 * 2 + 10 * 6) / 40)


def test_missing_inertial_data_is_seen_not_filled():
    (nothing,) = summaries([100], [])
    zero = [n for n in SUMMARY if n.startswith(("rotation", "angular", "specific", "imu_cov"))]
    assert all(nothing[name] == 0 for name in zero) and nothing["imu_age"] == 1.0
    assert (nothing["up_x"], nothing["up_y"], nothing["up_z"]) == (0, 0, 1)
    _, sparse, silent = summaries([10, 90, 1610], [(0, 1.0)])
    assert sparse["imu_coverage"] == pytest.approx((MAX_HOLD_NS / MS - 10) / 80)
    assert sparse["angular_rate_x"] == pytest.approx(1.0)
    assert sparse["imu_age"] == pytest.approx(0.09)
    assert silent["imu_coverage"] == 0.0 and silent["imu_age"] == 1.0
    assert silent["angular_rate_x"] == 0.0


def test_missing_frames_are_seen_as_age():
    found = summaries([0, 30], [(5 * k, 1.0) for k in range(320)])
    assert [s["camera_present"] for s in found] == [1, 1] + [0] * 15
    ages = [s["camera_age"] for s in found]
    assert ages[:2] == pytest.approx([1.0, 0.03])  # there was none before the first
    assert ages[2:] == pytest.approx([min(1.0, 0.1 * (k + 1)) for k in range(15)])


def test_the_rotation_is_that_since_the_last_frame():
    """It adds up over intervals without a frame; the interval of a frame still tells it."""
    found = summaries([0, 250], [(5 * k, 0.5) for k in range(-20, 80)])
    turned = [(s["camera_present"], s["rotation_x"]) for s in found[1:]]
    expected = [(0, 0.05), (0, 0.1), (1, 0.125), (0, 0.05)]
    assert turned == [(c, pytest.approx(x, abs=1e-6)) for c, x in expected]
    assert found[0]["rotation_x"] == pytest.approx(0.05)  # in the interval before the first frame


def test_up_is_carried_from_interval_to_interval():
    found = summaries([0, 1000], [(5 * k, math.pi / 4 if k >= 20 else 0.0) for k in range(240)])
    rolled = found[-2]
    # Rolled by 1.3 quarter turns of pi/4 while the (held) force says level: mostly the gyroscope.
    assert rolled["up_y"] > 0.4 and found[1]["up_y"] == pytest.approx(0.0, abs=1e-6)
    assert math.hypot(rolled["up_x"], rolled["up_y"], rolled["up_z"]) == pytest.approx(1.0)


@given(st.lists(st.integers(1, 399), max_size=6, unique=True))
def test_more_frames_split_the_summary_and_lose_nothing(cuts):
    """Rotation and covered time add up, however many frames cut the stream."""
    stream = [(5 * k, 0.2 * k - 4.0) for k in range(80)]
    first = (min(cuts) if cuts else 400) * MS
    parts = summaries([*sorted(cuts), 400], stream, first)
    turned = sum(p["angular_rate_x"] * p["dt"] for p in parts)
    assert turned == pytest.approx(sum(0.005 * rate for _, rate in stream), abs=1e-5)
    assert sum(p["imu_coverage"] * p["dt"] for p in parts) == pytest.approx(0.4, abs=1e-6)
    assert sum(p["rotation_x"] for p in parts if p["camera_present"]) == pytest.approx(
        turned, abs=1e-5
    )


@given(
    st.lists(
        st.tuples(
            st.tuples(*[st.floats(-MAX_RATE, MAX_RATE)] * 3),
            st.tuples(*[st.floats(-MAX_FORCE, MAX_FORCE)] * 3),
            st.integers(1, 10**9) | st.integers(1, 2**62),
        ),
        max_size=8,
    ),
    st.integers(1, 2**62),
)
def test_whatever_is_measured_the_summary_is_finite_and_possible(readings, stamp):
    frames, imu, last = Track(), Track(), 1
    frames.put(stamp, None)
    for rate, force, gap in readings:
        imu.put(last, (rate, force))
        last = min(last + gap, 2**63 - 1)
    for interval, _ in cut(frames, imu, 100 * MS):
        told = dict(zip(SUMMARY, interval.summary.tolist(), strict=True))
        assert np.isfinite(interval.summary).all() and 0 < interval.dt <= LONGEST_S
        for name, size in (("angular_rate", MAX_RATE), ("specific_force", MAX_FORCE)):
            assert math.hypot(*(told[f"{name}_{i}"] for i in "xyz")) <= 3**0.5 * size + 1e-3
        assert math.hypot(*(told[f"rotation_{i}"] for i in "xyz")) <= math.pi + 1e-6
        assert math.hypot(*(told[f"up_{i}"] for i in "xyz")) == pytest.approx(1.0, abs=1e-6)
        assert 0 <= told["imu_coverage"] <= 1 + 1e-6
        assert 0 < told["imu_age"] <= 1 and 0 < told["camera_age"] <= 1


def test_no_interval_is_longer_than_a_network_takes():
    """A clock that counts from the boot meets one of today: 1.7e9 s, which no engine accepts."""
    samples = [Sample("camera", START), Sample("imu", START + 1), Sample("imu", 17 * 10**17)]
    samples += [Sample("camera", 17 * 10**17 + 20 * MS), Sample("camera", 2**63 - 1)]
    intervals = [interval for interval, _ in cut(*tracks(samples), 1)]
    assert max(i.dt for i in intervals) == LONGEST_S <= engine.MAX_SECONDS


@given(st.integers(1, 700), st.sets(st.integers(-20, 120), max_size=30))
def test_onward_takes_the_steps_of_a_history_without_more_frames(ms, stamps):
    """What training reads with is what ``Timeline.read`` does."""
    frame, instant = Sample("camera", START), START + ms * MS
    samples = [s for k in stamps if (s := Sample("imu", START + 5 * MS * k)).stamp_ns <= instant]
    network = Digesting()
    timeline = Timeline(network, SHAPE, FIRST_S)
    for sample in sorted([frame, *samples], key=Sample.rank):
        timeline.observe(sample.stream, sample.stamp_ns, sample.value())
    if timeline.span()[1] < instant:
        return
    timeline.read(instant)
    frames, imu = tracks([frame, *samples])
    carry = next(cut(frames, imu, FIRST_NS))[1]
    steps = list(onward(carry, imu, instant))
    assert len(network.steps) == len(steps) + 1  # and the frame's
    for (dt, camera, summary), interval in zip(network.steps[1:], steps, strict=True):
        assert dt == interval.dt and not camera
        np.testing.assert_array_equal(summary, interval.summary)
