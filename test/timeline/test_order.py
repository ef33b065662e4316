"""The state is a function of the samples that were taken: their order of arrival leaves no trace.

The network here is ``Digesting``: its state changes with any bit of any step. What it must be comes
from ``Recorded``: all samples laid side by side, cut and run through once.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
from histories import FIRST_S, MS, SHAPE, START, Digesting, Recorded, Sample
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.pilot import Pilot
from lnn_ros.timeline.samples import Verdict
from lnn_ros.timeline.timeline import AHEAD_NS, OutOfHistory, Timeline

sys.path.insert(0, str(Path(__file__).parents[1] / "liquid"))
from policies_for_tests import frame, small_checkpoint, with_novelty

GAPS = (
    0,
    0,
    0,
    1,
    5 * MS,
    5 * MS,
    5 * MS - 1,
    20 * MS,
    50 * MS,
    95 * MS,
    100 * MS,
    250 * MS,
    730 * MS,
)
HORIZONS = (0, 1, 100 * MS, 500 * MS, 2000 * MS)
OF_NOTE = {Verdict.ACCEPTED, Verdict.REPLACED, Verdict.DUPLICATE, Verdict.CONFLICT}


def history(rng, count):
    """Samples in the order of their stamps: many share a stamp, some lie on ticks of a frame."""
    stamps = START + np.cumsum(rng.choice(GAPS, count))
    # Within a history frames are rare, common, or the only ones.
    share = rng.choice([0.1, 0.4, 1.0])
    return [
        Sample("camera" if rng.random() < share else "imu", int(stamp), int(rng.integers(3)))
        for stamp in stamps
    ]


def arrivals(rng, samples, longest_ns):
    """Samples in the order in which they arrive, each up to so much late; some arrive twice."""
    copies = [s for s in samples for _ in range(1 + (rng.random() < 0.15))]
    delays = [int(rng.choice([0, longest_ns, rng.integers(0, longest_ns + 1)])) for _ in copies]
    order = sorted(range(len(copies)), key=lambda i: (copies[i].stamp_ns + delays[i], rng.random()))
    return [copies[i] for i in order]


def ask(rng, timeline):
    """Ask something, as a control loop, a diagnostic or a curious tester would."""
    span = timeline.span()
    if span is None or rng.random() < 0.2:
        timeline.last()
        return
    for at in rng.integers(span[0] - 50 * MS, span[1] + 50 * MS, 1 + int(rng.integers(2))):
        try:
            timeline.read(int(at))
        except OutOfHistory:
            assert not span[0] <= at <= span[1]


def check(rng, timeline, taken, horizon=500 * MS):
    """Compare with what it must be, at the end and at instants of all kinds."""
    recorded = Recorded(taken)
    for found, expected in zip(timeline.last(), recorded.last(), strict=True):
        np.testing.assert_array_equal(found, expected)
    span = timeline.span()
    newest = max((s.stamp_ns for s in taken), default=0)
    if not recorded.boundaries:
        assert span is None and timeline.read(START) is None
        return
    ends = [carry.end_ns for carry, _ in recorded.boundaries]
    # The history begins with the last boundary that no sample inside the horizon can touch.
    first = max((end for end in ends if end < newest - horizon), default=ends[0])
    assert span == (first, newest + AHEAD_NS)
    instants = {*span, newest, newest - 1, *rng.integers(*span, 3).tolist()}
    instants |= {end + d for end in ends[-3:] for d in (-1, 0, 1)}
    for at in instants:
        if span[0] <= at <= span[1]:
            np.testing.assert_array_equal(timeline.read(int(at)), recorded.read(int(at)))


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_any_order_inside_the_horizon_is_the_same_as_in_order(seed):
    """1,800 histories: delays up to the horizon and at it, copies, conflicts, reads in between."""
    for rng in np.random.default_rng(seed).spawn(30):
        samples = history(rng, int(rng.integers(1, 40)))
        horizon = int(rng.choice(HORIZONS))
        timeline = Timeline(Digesting(), SHAPE, FIRST_S, horizon * 1e-9)
        asked = rng.choice([0.0, 0.1, 0.7])
        for sample in arrivals(rng, samples, horizon):
            verdict = timeline.observe(sample.stream, sample.stamp_ns, sample.value())
            assert verdict in OF_NOTE
            if rng.random() < asked:
                ask(rng, timeline)
        check(rng, timeline, samples, horizon)
        for stream in ("camera", "imu"):
            stamps = [s.stamp_ns for s in samples if s.stream == stream]
            assert timeline.newest()[stream] == max(stamps, default=None)


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_what_was_taken_decides_whatever_else_came(seed):
    """1,000 histories with samples far too late, stamps and values of all evil, and resets."""
    for rng in np.random.default_rng(seed).spawn(20):
        samples = history(rng, int(rng.integers(1, 40)))
        horizon = int(rng.choice(HORIZONS))
        timeline = Timeline(Digesting(), SHAPE, FIRST_S, horizon * 1e-9)
        taken, late = [], 0
        for sample in arrivals(rng, samples, 3 * horizon + 300 * MS):
            if rng.random() < 0.3:
                evil(rng, timeline, sample.stamp_ns)
            newest = max((s.stamp_ns for s in taken), default=0)
            verdict = timeline.observe(sample.stream, sample.stamp_ns, sample.value())
            assert (verdict is Verdict.LATE) == (sample.stamp_ns < newest - horizon)
            if verdict in OF_NOTE:
                taken.append(sample)
            late += verdict is Verdict.LATE
            if rng.random() < 0.2:
                ask(rng, timeline)
            if rng.random() < 0.01:
                timeline.reset()
                taken = []
        check(rng, timeline, taken, horizon)
        counts = timeline.counts
        assert counts["imu.dropped_late"] + counts["camera.dropped_late"] == late


def evil(rng, timeline, stamp):
    """Send what must not be taken, and must not move anything."""
    stream, good = Sample("imu", 0).stream, Sample("imu", 0).value()
    if rng.random() < 0.5:
        stream, good = "camera", Sample("camera", 0).value()
    now = stamp
    stamps = (0, -1, -(2**70), 2**63, 2**64, True, 1e18, float(stamp), None, np.uint64(2**63))
    future = (now + AHEAD_NS + 1, 2**63 - 1)
    poison = good.astype(float) * np.nan
    which = rng.integers(4)
    if which == 0:
        bad = stamps[rng.integers(len(stamps))]
        assert timeline.observe(stream, bad, good, now) is Verdict.STAMP
    elif which == 1:
        ahead = future[rng.integers(2)]
        assert timeline.observe(stream, ahead, good, now) is Verdict.FUTURE
    elif which == 2:
        assert not timeline.observe(stream, stamp, poison, now)
    else:
        assert timeline.observe("lidar", stamp, good, now) is Verdict.STREAM


SHARED = st.tuples(
    st.sampled_from(["imu", "imu", "imu", "camera"]),
    st.sampled_from(GAPS),
    st.integers(0, 2),
    st.integers(0, 500 * MS),
)


@settings(max_examples=200)
@given(st.lists(SHARED, max_size=14), st.lists(st.integers(0, 900 * MS), max_size=4))
def test_small_histories_that_shrink_well(events, reads):
    """The same law in a form whose counterexamples are easy to read."""
    stamp, samples = START, []
    for stream, gap, content, delay in events:
        stamp += gap
        samples.append((stamp + delay, Sample(stream, stamp, content)))
    timeline = Timeline(Digesting(), SHAPE, FIRST_S)
    for _, sample in sorted(samples, key=lambda pair: pair[0]):
        timeline.observe(sample.stream, sample.stamp_ns, sample.value())
        for read in reads:
            span = timeline.span()
            if span and span[0] <= stamp + read <= span[1]:
                timeline.read(stamp + read)
    check(np.random.default_rng(0), timeline, [s for _, s in samples])


@pytest.mark.parametrize("stream", ["imu", "camera"])
def test_of_many_contents_of_one_stamp_the_winner_is_free_of_order(stream):
    contents = [Sample(stream, START + 50 * MS, c) for c in range(6)]
    rest = [Sample("camera", START, 9), *(Sample("imu", START + 5 * MS * k, 9) for k in (1, 2, 30))]
    for seed in range(40):
        rng = np.random.default_rng(seed)
        timeline = Timeline(Digesting(), SHAPE, FIRST_S)
        for sample in rng.permutation(np.array([*contents, *rest], object)).tolist():
            sample = Sample(*sample)
            timeline.observe(sample.stream, sample.stamp_ns, sample.value())
            ask(rng, timeline)
        check(rng, timeline, [*contents, *rest])


# -- the pilot, with a network that flies ----------------------------------------------------------

PILOTS: dict[str, list[Pilot]] = {}


def pilots(kind):
    """Two pilots of one policy, made once: tracing its programs takes most of the time."""
    if kind not in PILOTS:
        PILOTS[kind] = [Pilot(with_novelty(small_checkpoint(kind))) for _ in range(2)]
    for pilot in PILOTS[kind]:
        pilot.reset()
    return PILOTS[kind]


@pytest.mark.parametrize("kind", ["flow", "gru", "cfc", "feedforward"])
@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_a_pilots_state_commands_and_neurons_are_bit_identical(kind, seed):
    rng = np.random.default_rng(seed)
    shuffled, plain = pilots(kind)
    stream = [("imu", START + 5 * MS * k, rng.normal(0, 1, 6)) for k in range(100)]
    stamps = START + MS * rng.choice(np.arange(20, 480), 8, replace=False)
    stream += [("camera", int(s), frame(rng)) for s in stamps]
    stream = [s for s in stream if rng.random() > 0.1]  # some are lost
    for sample in sorted(stream, key=lambda s: s[1]):
        assert plain.observe(*sample)
    for i in np.argsort([s[1] + rng.integers(0, 500 * MS) for s in stream]):
        assert shuffled.observe(*stream[i])
        if rng.random() < 0.2 and (span := shuffled.span()) is not None:
            shuffled.read(int(rng.integers(*span)))
            shuffled.neurons()
    assert shuffled.span() == plain.span() and shuffled.neurons() == plain.neurons()
    for a, b in zip(shuffled.state(), plain.state(), strict=True):
        np.testing.assert_array_equal(a, b)
    for at in rng.integers(*plain.span(), 6):
        np.testing.assert_array_equal(shuffled.read(int(at)), plain.read(int(at)))
        assert shuffled.novelty(int(at)) == plain.novelty(int(at))
    at = max(s[1] for s in stream) + 10 * MS
    np.testing.assert_array_equal(shuffled.command(at), plain.command(at))
    assert shuffled.age(at) == plain.age(at)
