"""The pilot's face: samples in, a command for any instant out."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.guard.chain import Guard
from lnn_ros.guard.limits import Limits
from lnn_ros.guard.modes import Mode
from lnn_ros.guard.parameters import GuardParameters, ModeParameters, NoveltyParameters
from lnn_ros.pilot import Pilot
from lnn_ros.timeline.samples import Verdict
from lnn_ros.timeline.timeline import AHEAD_NS, OutOfHistory

sys.path.insert(0, str(Path(__file__).parent / "liquid"))
from policies_for_tests import frame, small_checkpoint, with_novelty

MS = 1_000_000
START = 1_000 * MS
IMU = np.array([0.1, -0.2, 0.3, 0.5, 0.0, 9.81])
FLOWN = (Pilot(small_checkpoint()), Pilot(small_checkpoint()))
"""Made once: their programs are traced when they are made."""


def flown(pilot, seed=0, frames=5):
    """Let a pilot see 5 frames 50 ms apart and IMU every 5 ms."""
    rng = np.random.default_rng(seed)
    for k in range(10 * frames):
        assert pilot.observe("imu", START + 5 * k * MS, IMU + rng.normal(0, 0.1, 6))
        if k % 10 == 0:
            assert pilot.observe("camera", START + 5 * k * MS, frame(rng))
    return START + 5 * (10 * frames - 1) * MS


def test_nothing_seen_nothing_commanded():
    pilot = Pilot(small_checkpoint())
    assert pilot.state()[0] == 0 and pilot.span() is None and pilot.counts() == {}
    assert (pilot.read(START) == 0).all() and (pilot.command(START) == 0).all()
    assert pilot.age(START) == {"camera": None, "imu": None}
    # Inertial samples alone are no reason to fly.
    pilot.observe("imu", START, IMU)
    assert pilot.span() is None and (pilot.read(START + 2**40) == 0).all()
    assert pilot.counts()["guard.stale_camera"] == 1


def test_the_guard_is_told_how_unlike_training_the_input_is():
    policy = with_novelty(small_checkpoint())
    plain = Pilot(policy)
    now = flown(plain)
    score = plain.novelty(now)
    for threshold, flies in ((score + 0.01, True), (score - 0.01, False)):
        guard = Guard(
            Limits(policy.spec.head.low, policy.spec.head.high),
            GuardParameters(
                modes=ModeParameters(require_airborne=False, require_velocity_mode=False),
                novelty=NoveltyParameters(hold_above=threshold),
            ),
        )
        pilot = Pilot(policy, guard=guard)
        pilot.command(START)
        assert "the policy does not say how unlike training its input is" in guard.troubles()
        assert flown(pilot) == now
        guard.engage_when_ready("for the test")
        pilot.command(now)
        assert (guard.mode is Mode.ENGAGED) == flies and bool(guard.troubles()) != flies


@settings(max_examples=40)
@given(st.lists(st.integers(-245, 500), max_size=10), st.integers(0, 100))
def test_reading_changes_nothing(offsets, seed):
    read, other = FLOWN
    for pilot in FLOWN:
        pilot.reset()
        now = flown(pilot, seed)
    for offset in offsets:
        read.read(now + offset * MS)
        read.neurons(), read.state(), read.span(), read.counts(), read.age(now)
    for pilot in FLOWN:
        pilot.observe("camera", now + 20 * MS, frame(np.random.default_rng(1)))
    np.testing.assert_array_equal(read.state()[1], other.state()[1])
    assert read.state()[0] == other.state()[0] == now + 20 * MS
    np.testing.assert_array_equal(read.read(now + 90 * MS), other.read(now + 90 * MS))
    assert read.neurons() == other.neurons() and read.span() == other.span()


def test_the_answer_moves_with_the_instant():
    pilot = Pilot(small_checkpoint())
    now = flown(pilot)
    early, late = pilot.read(now), pilot.read(now + 200 * MS)
    assert early.shape == (4,) and early.dtype == np.float64
    assert not np.array_equal(early, late)
    np.testing.assert_array_equal(pilot.read(now), early)
    # Instants that have passed have their own answer, of the frames up to then.
    past = pilot.read(now - 150 * MS)
    assert not np.array_equal(past, early)
    np.testing.assert_array_equal(pilot.read(now), early)


def test_the_past_is_told_as_it_was_and_late_samples_correct_it():
    prompt, late = Pilot(small_checkpoint()), Pilot(small_checkpoint())
    image = frame(np.random.default_rng(7))
    now = flown(prompt)
    assert prompt.observe("camera", now - 70 * MS, image)
    flown(late)
    then = late.read(now - 20 * MS)
    assert late.observe("camera", now - 70 * MS, image)
    assert not np.array_equal(late.read(now - 20 * MS), then)
    for at in (now - 100 * MS, now - 70 * MS, now - 20 * MS, now, now + 300 * MS):
        np.testing.assert_array_equal(late.read(at), prompt.read(at))
    assert late.counts()["rewinds"] == 1 and late.counts()["replayed_updates"] == 1


def test_the_guard_stands_before_the_command():
    pilot = Pilot(small_checkpoint())
    now = flown(pilot)
    np.testing.assert_array_equal(pilot.command(now), pilot.read(now))
    with pytest.raises(LnnError, match="or later"):
        pilot.command(now - 1)
    assert (
        pilot.command(now + 490 * MS) == 0
    ).all()  # the last frame is older than the camera may be
    assert (pilot.read(now + 490 * MS) != 0).any()
    assert pilot.counts()["guard.stale_camera"] == 1
    assert "read.out_of_history" not in pilot.counts()


def test_outside_of_the_history_there_is_no_wish_and_the_command_is_zero():
    pilot = Pilot(small_checkpoint())
    now = flown(pilot)
    assert pilot.span() == (START, now + AHEAD_NS)
    for at in (START - 1, now + AHEAD_NS + 1):
        with pytest.raises(OutOfHistory, match="expected an instant from"):
            pilot.read(at)
    patient = Pilot(small_checkpoint(), Limits((-1.0,) * 4, (1.0,) * 4, max_age=60.0))
    now = flown(patient)
    assert (patient.command(START - 1) == 0).all()
    assert (patient.command(now) != 0).any()
    for k in range(3):
        assert (patient.command(now + AHEAD_NS + 1 + k) == 0).all()
    assert patient.counts()["read.out_of_history"] == 4


def test_limits_may_be_narrower_than_the_policys():
    slow = Limits((-0.01,) * 4, (0.01,) * 4)
    pilot = Pilot(small_checkpoint(), slow)
    now = flown(pilot)
    assert np.abs(pilot.command(now)).max() <= 0.01
    assert pilot.counts()["guard.clamped"] == 1


@pytest.mark.parametrize("delay_ms", [10, 45, 100, 145])
def test_a_frame_that_arrives_after_later_inertial_samples_is_as_good_as_a_prompt_one(delay_ms):
    states = []
    for pilot, delay in zip(FLOWN, (0, delay_ms * MS), strict=True):
        pilot.reset()
        rng = np.random.default_rng(0)
        image, due = frame(rng), START + 100 * MS
        for k in range(50):
            if due is not None and START + 5 * k * MS >= due + delay:
                assert pilot.observe("camera", due, image)
                due = None
            pilot.observe("imu", START + 5 * k * MS, IMU * rng.normal(0, 1, 6))
            if pilot.span() is not None:
                pilot.command(START + 5 * k * MS)
        states.append((pilot.state()[1], pilot.read(START + 333 * MS)))
    for a, b in zip(*states, strict=True):
        np.testing.assert_array_equal(a, b)


def test_bad_samples_are_counted_and_leave_no_trace():
    good, bad = FLOWN
    for pilot in FLOWN:
        pilot.reset()
        now = flown(pilot)
    before = bad.counts()
    poison = IMU.copy()
    poison[2] = np.nan
    assert bad.observe("imu", now + MS, poison) is Verdict.NAN
    assert bad.observe("imu", now + MS, np.full(6, 1e9)) is Verdict.RANGE
    assert bad.observe("camera", now + MS, np.zeros((1, 1, 3), np.uint8)) is Verdict.SHAPE
    assert bad.observe("camera", 0, frame(np.random.default_rng(0))) is Verdict.STAMP
    assert bad.observe("imu", START - 501 * MS, IMU) is Verdict.LATE
    assert bad.observe("imu", now + 501 * MS, IMU, now_ns=now) is Verdict.FUTURE
    assert bad.observe("radar", now, IMU) is Verdict.STREAM
    grown = {name: n - before.get(name, 0) for name, n in bad.counts().items()}
    assert {name for name, n in grown.items() if n == 1} == {
        *(f"imu.{v.value}" for v in (Verdict.NAN, Verdict.RANGE, Verdict.LATE, Verdict.FUTURE)),
        *(f"camera.{v.value}" for v in (Verdict.SHAPE, Verdict.STAMP)),
        "unknown.dropped_stream",
    }
    np.testing.assert_array_equal(good.state()[1], bad.state()[1])
    np.testing.assert_array_equal(good.command(now), bad.command(now))


def test_ages_are_those_of_the_newest_stamps():
    pilot = Pilot(small_checkpoint())
    now = flown(pilot)
    assert pilot.age(now + 10 * MS) == pytest.approx({"camera": 0.055, "imu": 0.01})
    pilot.observe("camera", now - 3 * MS, frame(np.random.default_rng(0)))
    pilot.observe("imu", now - 3 * MS, IMU)  # late: it makes nothing younger
    assert pilot.age(now) == pytest.approx({"camera": 0.003, "imu": 0.0})


def test_reset_starts_over():
    pilot = Pilot(small_checkpoint())
    first = pilot.read(flown(pilot))
    pilot.command(START + 900 * MS)
    counts = pilot.counts()
    pilot.reset()
    assert pilot.counts() == counts and pilot.span() is None
    assert (pilot.read(START) == 0).all()
    np.testing.assert_array_equal(pilot.read(flown(pilot)), first)
    pilot.command(START + 300 * MS)
    pilot.reset()
    # Time may have begun anew: a simulator's starts near zero.
    assert pilot.observe("camera", 1, frame(np.random.default_rng(0)))
    assert (pilot.read(1) != 0).any() and pilot.state()[0] == 1


def test_neurons_are_named_and_finite():
    pilot = Pilot(small_checkpoint())
    flown(pilot)
    neurons = pilot.neurons()
    assert list(neurons)[:2] == ["inter_00", "inter_01"] and "motor_04" in neurons
    activities = pilot.state()[1][: len(neurons)]  # the state's first part is the activity
    np.testing.assert_array_equal(list(neurons.values()), activities)


def test_the_state_is_given_as_a_copy():
    pilot = Pilot(small_checkpoint())
    now = flown(pilot)
    kept = pilot.read(now)
    pilot.state()[1][...] = np.nan
    pilot.read(now)[...] = np.nan
    np.testing.assert_array_equal(pilot.read(now), kept)


def test_the_policy_that_ships():
    path = policies.path("fly_to_target")
    assert path.stat().st_size < 200_000
    pilot = Pilot.load(path)
    assert pilot.card["task"] == "fly_to_target"
    assert pilot.card["camera"]["width"] == 64 and len(pilot.card["weights_sha256"]) == 64
    shape = tuple(pilot.card["streams"]["camera"]["shape"])
    assert pilot.observe("imu", START, IMU) and pilot.frame_shape == shape
    assert pilot.observe("camera", START, np.full(shape, 90, np.uint8))
    assert np.isfinite(pilot.command(START)).all() and (pilot.command(START) != 0).any()


def test_an_unknown_policy_is_named():
    with pytest.raises(LnnError, match="'nowhere' does not ship"):
        policies.path("nowhere")
