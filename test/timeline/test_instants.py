"""An answer at any instant: what ``read`` says, where, and that asking changes nothing."""

import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from histories import FIRST_S, MS, SHAPE, START, Digesting, Sample, feed
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.learning.architecture import CORES, make_policy
from lnn_ros.liquid.cells import cell_type
from lnn_ros.liquid.checkpoint import Checkpoint
from lnn_ros.liquid.torch_policy import TorchPolicy
from lnn_ros.pilot import Pilot
from lnn_ros.simulation.task import Task
from lnn_ros.timeline.timeline import AHEAD_NS, OutOfHistory, Timeline

sys.path.insert(0, str(Path(__file__).parents[1] / "liquid"))
from policies_for_tests import small_checkpoint

SEEN = [*(Sample("imu", START + 5 * MS * k, k % 7) for k in range(-20, 100)),
        *(Sample("camera", START + 60 * MS * k, k) for k in range(6))]  # fmt: skip
NEWEST = START + 495 * MS


def seen(samples=SEEN):
    network = Digesting()
    timeline = Timeline(network, SHAPE, FIRST_S)
    feed(timeline, sorted(samples, key=Sample.rank))
    return timeline, network


def test_before_the_first_frame_there_is_no_state():
    timeline, network = seen([s for s in SEEN if s.stream == "imu"])
    assert timeline.span() is None and timeline.last()[0] == 0
    for at in (0, START, NEWEST, 2**62):
        assert timeline.read(at) is None
    assert not network.steps


def test_outside_of_its_span_no_answer_is_invented():
    timeline, _ = seen()
    first, last = timeline.span()
    assert (first, last) == (START, NEWEST + AHEAD_NS)
    for at in (first, last, first + 1, last - 1):
        assert timeline.read(at).shape == (8,)
    for at in (first - 1, last + 1, 0, -1, 2**63):
        with pytest.raises(OutOfHistory, match=f"at {at} ns asked for, expected .* {first} to"):
            timeline.read(at)
    assert issubclass(OutOfHistory, LnnError)


@settings(max_examples=200)
@given(st.lists(st.integers(START, NEWEST + AHEAD_NS), min_size=1, max_size=12))
def test_reading_changes_nothing(instants):
    read, plain = seen()[0], seen()[0]
    before, counts = read.last(), dict(read.counts)
    answers = [read.read(at).copy() for at in instants]
    # In another order the same answers.
    for at, answer in zip(reversed(instants), reversed(answers), strict=True):
        np.testing.assert_array_equal(read.read(at), answer)
    assert dict(read.counts) == counts and read.last()[0] == before[0]
    np.testing.assert_array_equal(read.last()[1], before[1])
    later = [Sample("camera", NEWEST + 20 * MS, 3), Sample("imu", NEWEST - 200 * MS - 1, 3)]
    for timeline in (read, plain):
        assert all(feed(timeline, later))
    np.testing.assert_array_equal(read.last()[1], plain.last()[1])
    assert read.last()[0] == plain.last()[0] and read.span() == plain.span()


def test_the_answer_is_a_copy_of_the_history_not_a_part_of_it():
    timeline, _ = seen()
    kept = timeline.last()[1].copy()
    for state in (timeline.read(timeline.last()[0]), timeline.last()[1], timeline.read(NEWEST)):
        state[...] = np.nan
    np.testing.assert_array_equal(timeline.last()[1], kept)
    assert np.isfinite(timeline.read(NEWEST)).all()


@settings(max_examples=200)
@given(
    st.integers(START, NEWEST),
    st.lists(st.tuples(st.sampled_from(["imu", "camera"]), st.integers(1, 300 * MS)), max_size=6),
)
def test_the_future_does_not_change_the_past(at, later):
    """Below the newest stamp an answer is final but for late samples of an earlier stamp."""
    timeline, _ = seen()
    answer = timeline.read(at).copy()
    feed(timeline, [Sample(stream, at + ns, 5) for stream, ns in later])
    if timeline.span()[0] <= at:
        np.testing.assert_array_equal(timeline.read(at), answer)


@given(st.integers(START, NEWEST), st.sampled_from(["imu", "camera"]), st.integers(0, 300 * MS))
def test_a_late_sample_changes_what_lies_after_it_and_nothing_before(at, stream, ns):
    timeline, _ = seen()
    answer = timeline.read(at).copy()
    stamp = max(at - ns, NEWEST - 500 * MS)
    if any(s.stream == stream and s.stamp_ns == stamp for s in SEEN):
        return
    feed(timeline, [Sample(stream, stamp, 200)])
    # A frame is seen from its own instant on, an inertial sample from the time that follows it.
    same = at < stamp or (stream == "imu" and at == stamp)
    assert np.array_equal(timeline.read(at), answer) == same


def test_a_frame_is_seen_at_its_own_instant():
    network = Digesting()
    timeline = Timeline(network, SHAPE, FIRST_S)
    feed(timeline, [Sample("camera", START), Sample("camera", START + 50 * MS)])
    network.steps.clear()
    timeline.last()
    at_boundary = timeline.read(START + 50 * MS).copy()
    assert [camera for _, camera, _ in network.steps] == [True, True]  # no scratch step
    np.testing.assert_array_equal(at_boundary, timeline.last()[1])
    timeline.read(START + 50 * MS - 1)
    assert [camera for _, camera, _ in network.steps[2:]] == [False]


# -- with networks that fly ----------------------------------------------------------------------


def noise(pilot, rng):
    return rng.integers(0, 256, pilot.frame_shape, dtype=np.uint8)


def flown(pilot, rng):
    """0.5 s of both streams, the camera silent for the last 0.2 s, so that ticks are in it."""
    pilot.reset()
    rate = rng.normal(0, 0.5, 3)
    for k in range(-20, 100):
        value = np.array([*rate, *rng.normal((0, 0, 9.81), 1)])
        assert pilot.observe("imu", START + 5 * MS * k, value)
        if k % 10 == 0 and 0 <= k <= 60:
            assert pilot.observe("camera", START + 5 * MS * k, noise(pilot, rng))
    return pilot


@pytest.fixture(scope="module")
def flow():
    return Pilot(small_checkpoint("flow"))


@pytest.mark.parametrize("seed", range(5))
def test_the_flow_cells_answer_is_continuous(flow, seed):
    """After any boundary it goes on from there; one without a frame cannot be seen at all."""
    pilot = flown(flow, np.random.default_rng(seed))
    boundaries = [START + 50 * MS * k for k in range(7)] + [START + 400 * MS]
    for boundary in boundaries:
        there = pilot.read(boundary)
        for ns in (1, 1000, 100_000):
            gone = np.abs(pilot.read(boundary + ns) - there).max()
            assert gone < 1e-6 + 100 * ns * 1e-9
    tick = boundaries[-1]
    assert np.abs(pilot.read(tick - 1) - pilot.read(tick)).max() < 1e-6
    # A frame is news: there the answer may jump.
    assert np.abs(pilot.read(boundaries[3] - 1) - pilot.read(boundaries[3])).max() > 1e-4


def test_the_answer_moves_with_the_instant(flow):
    pilot = flown(flow, np.random.default_rng(0))
    span = pilot.span()
    answers = np.array([pilot.read(at) for at in range(*span, 7 * MS)])
    assert np.isfinite(answers).all() and answers.std(axis=0).min() > 1e-3


def usable():
    """Policies as ``lnn_ros train`` begins them, with every cell that can be the core of one."""
    for kind in CORES:
        with suppress(LnnError):  # too many parameters, or a head that must read the last layer
            spec, wiring = make_policy(kind, Task.load("fly_to_target"), 0)
            arrays = TorchPolicy(spec, wiring, 0).arrays()
            yield pytest.param(Checkpoint(spec, arrays, {}), id=kind)


@pytest.mark.parametrize("checkpoint", usable())
def test_every_core_answers_at_any_instant(checkpoint):
    """Cells without predict hold their activity; the scratch step answers for them all the same."""
    pilot = flown(Pilot(checkpoint), np.random.default_rng(1))
    before = pilot.state()
    low, high = checkpoint.spec.head.low, checkpoint.spec.head.high
    first, last = pilot.span()
    answers = np.array([pilot.read(at) for at in range(first, last + 1, 11 * MS)])
    assert np.isfinite(answers).all() and (answers >= low).all() and (answers <= high).all()
    assert pilot.state()[0] == before[0]
    np.testing.assert_array_equal(pilot.state()[1], before[1])
    # It sees what has passed since the last update; only what has no memory stands by its answer.
    held = np.array_equal(pilot.read(before[0] + 90 * MS), pilot.read(before[0]))
    assert held != checkpoint.spec.core.memory
    # What it costs to have no flow: the step that answers counts although no time has passed.
    core, boundaries = checkpoint.spec.core, [START + 50 * MS * k for k in range(1, 7)]
    jumps = [np.abs(pilot.read(b + 1) - pilot.read(b)).max() for b in boundaries]
    # An LTC has no such step either, as it solves its equation over no time.
    assert (max(jumps) < 1e-5) == (core.split or not core.memory or core.kind == "ltc")
    # Half a century of nothing, as between a clock that counts from the boot and one of today.
    for stamp in (17 * 10**17, 17 * 10**17 + 1):
        assert pilot.observe("camera", stamp, noise(pilot, np.random.default_rng(0)))
    assert np.isfinite(pilot.read(stamp + 300 * MS)).all()


def test_flow_is_the_cell_with_a_flow():
    assert {"cfc", "feedforward", "flow", "gru", "gru_d", "lstm"} <= {p.id for p in usable()}
    assert [kind for kind in CORES if cell_type(kind).split] == ["flow"]
