"""The pilot's face: samples in, a command for any instant out."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.guard.limits import Limits
from lnn_ros.pilot import Pilot

sys.path.insert(0, str(Path(__file__).parent / "liquid"))
from policies_for_tests import frame, small_checkpoint

MS = 1_000_000
START = 1_000 * MS
IMU = np.array([0.1, -0.2, 0.3, 0.5, 0.0, 9.81])


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
    assert pilot.state()[0] == 0
    assert (pilot.read(START) == 0).all() and (pilot.command(START) == 0).all()
    assert pilot.age(START) == {"camera": None, "imu": None}


@settings(max_examples=15)
@given(st.lists(st.integers(-300, 800), max_size=10), st.integers(0, 100))
def test_reading_changes_nothing(offsets, seed):
    read, other = Pilot(small_checkpoint()), Pilot(small_checkpoint())
    now = flown(read, seed)
    flown(other, seed)
    for offset in offsets:
        read.read(now + offset * MS)
    for pilot in (read, other):
        pilot.observe("camera", now + 20 * MS, frame(np.random.default_rng(1)))
    np.testing.assert_array_equal(read.state()[1], other.state()[1])
    assert read.state()[0] == other.state()[0] == now + 20 * MS
    assert read.counts() == other.counts()
    np.testing.assert_array_equal(read.read(now + 90 * MS), other.read(now + 90 * MS))


def test_the_answer_moves_with_the_instant():
    pilot = Pilot(small_checkpoint())
    now = flown(pilot)
    early, late = pilot.read(now), pilot.read(now + 200 * MS)
    assert early.shape == (4,) and early.dtype == np.float64
    assert not np.array_equal(early, late)
    np.testing.assert_array_equal(pilot.read(now), early)
    stamp = pilot.state()[0]
    np.testing.assert_array_equal(pilot.read(stamp - 1), pilot.read(stamp))


def test_the_guard_stands_before_the_command():
    pilot = Pilot(small_checkpoint())
    now = flown(pilot)
    np.testing.assert_array_equal(pilot.command(now), pilot.read(now))
    with pytest.raises(LnnError, match="or later"):
        pilot.command(now - 1)
    assert (pilot.command(now + 600 * MS) == 0).all()
    counts = pilot.counts()
    assert counts["guard.stale_camera"] == 1 and counts["guard.stale_imu"] == 1
    assert (pilot.read(now + 600 * MS) != 0).any()


def test_limits_may_be_narrower_than_the_policys():
    slow = Limits((-0.01,) * 4, (0.01,) * 4)
    pilot = Pilot(small_checkpoint(), slow)
    now = flown(pilot)
    assert np.abs(pilot.command(now)).max() <= 0.01
    assert pilot.counts()["guard.clamped"] == 1


def test_inertial_samples_after_the_frame_wait_for_their_interval():
    """A frame that arrives after later inertial samples gives the same state as a prompt one."""
    states = []
    for late in (False, True):
        pilot, rng = Pilot(small_checkpoint()), np.random.default_rng(0)
        image = frame(rng)
        for k in range(30):
            if not late and k == 20:
                pilot.observe("camera", START + 100 * MS, image)
            pilot.observe("imu", START + 5 * k * MS, IMU * k)
        if late:
            pilot.observe("camera", START + 100 * MS, image)
        states.append(pilot.state()[1])
    np.testing.assert_array_equal(*states)


def test_bad_samples_are_counted_and_leave_no_trace():
    good, bad = Pilot(small_checkpoint()), Pilot(small_checkpoint())
    now = flown(good)
    flown(bad)
    poison = IMU.copy()
    poison[2] = np.nan
    assert not bad.observe("imu", now + MS, poison)
    assert not bad.observe("camera", now + MS, np.zeros((1, 1, 3), np.uint8))
    assert not bad.observe("camera", 0, frame(np.random.default_rng(0)))
    counts = bad.counts()
    assert counts["imu.dropped_nan"] == 1
    assert counts["camera.dropped_shape"] == 1
    assert counts["camera.dropped_stamp"] == 1
    assert counts["camera.accepted"] == 5 and counts["imu.accepted"] == 50
    np.testing.assert_array_equal(good.state()[1], bad.state()[1])
    np.testing.assert_array_equal(good.command(now), bad.command(now))


def test_reset_starts_over():
    pilot = Pilot(small_checkpoint())
    first = pilot.read(flown(pilot))
    pilot.command(START + 900 * MS)
    pilot.reset()
    assert (pilot.read(START) == 0).all()
    np.testing.assert_array_equal(pilot.read(flown(pilot)), first)
    pilot.command(START + 300 * MS)


def test_neurons_are_named_and_finite():
    pilot = Pilot(small_checkpoint())
    flown(pilot)
    neurons = pilot.neurons()
    assert list(neurons)[:2] == ["inter_00", "inter_01"] and "motor_04" in neurons
    activities = pilot.state()[1][: len(neurons)]  # the state's first part is the activity
    np.testing.assert_array_equal(list(neurons.values()), activities)


def test_the_policy_that_ships():
    path = policies.path("fly_to_target")
    assert path.stat().st_size < 200_000
    pilot = Pilot.load(path)
    assert pilot.card["task"] == "fly_to_target"
    assert pilot.card["camera"]["width"] == 64 and len(pilot.card["weights_sha256"]) == 64
    shape = tuple(pilot.card["streams"]["camera"]["shape"])
    assert pilot.observe("imu", START, IMU)
    assert pilot.observe("camera", START, np.full(shape, 90, np.uint8))
    assert np.isfinite(pilot.command(START)).all() and (pilot.command(START) != 0).any()


def test_an_unknown_policy_is_named():
    with pytest.raises(LnnError, match="'nowhere' does not ship"):
        policies.path("nowhere")
