"""Another policy in flight: what it inherits, and when it must not take over."""

import sys
from pathlib import Path

import numpy as np
import pytest
from test_pilot import IMU, MS, START, flown

from lnn_ros.errors import LnnError
from lnn_ros.guard.limits import Limits
from lnn_ros.pilot import Pilot, ceilings
from lnn_ros.succession import Refused, rehearse

sys.path.insert(0, str(Path(__file__).parent / "liquid"))
from policies_for_tests import frame, small_checkpoint


def tuned(by=0.02, seed=0):
    """A policy of the same wiring with slightly other weights."""
    checkpoint, rng = small_checkpoint(seed=seed), np.random.default_rng(9)
    for values in checkpoint.arrays.values():
        if values.dtype == np.float32:
            values += by * rng.standard_normal(values.shape).astype(np.float32)
    return checkpoint


def flying():
    """A pilot that has seen so much that the begin is forgotten, and the present instant."""
    pilot = Pilot(small_checkpoint())
    return pilot, flown(pilot, frames=40)


def test_the_same_policy_inherits_all_and_goes_on_as_if_nothing_was():
    old, now = flying()
    new = old.heir(small_checkpoint())
    rng = np.random.default_rng(1)
    for k in range(1, 30):
        for pilot in (old, new):
            pilot.observe("imu", now + 5 * k * MS, IMU)
        if k % 10 == 0:
            picture = frame(rng)
            for pilot in (old, new):
                pilot.observe("camera", now + 5 * k * MS, picture)
    at = now + 150 * MS
    np.testing.assert_array_equal(new.read(at), old.read(at))
    assert new.span() == old.span() and new.age(at) == old.age(at)
    assert new.counts()["imu.accepted"] == old.counts()["imu.accepted"]
    found = rehearse(new, old, at, ceilings(small_checkpoint()))
    assert found.instants > 15 and found.apart == found.now == (0.0,) * 4


def test_a_state_is_carried_to_the_same_wiring_only():
    old, now = flying()
    long_ago = Pilot(small_checkpoint())
    flown(long_ago, seed=5, frames=40)
    states = {}
    for name, checkpoint in (("tuned", tuned(0.0)), ("other", small_checkpoint(seed=1))):
        states[name] = [pilot.heir(checkpoint).read(now) for pilot in (old, long_ago)]
    # Carried: what was seen before the history shows. Another wiring begins there anew.
    same = Pilot(small_checkpoint())
    flown(same, frames=40)
    np.testing.assert_array_equal(states["tuned"][0], same.read(now))
    anew = old.heir(small_checkpoint(seed=1))
    begun = Pilot(small_checkpoint(seed=1))
    flown(begun, frames=40)
    assert not np.array_equal(anew.read(now), begun.read(now)), "it has not seen the beginning"


def test_a_policy_with_another_camera_has_to_come_by_a_reset():
    old, _ = flying()
    other = small_checkpoint()
    other.card["camera"]["tilt"] = 0.3
    with pytest.raises(LnnError, match=r"policy small: a camera of .* as of the policy that flies"):
        old.heir(other)


def test_a_policy_that_is_nearly_the_same_may_take_over():
    old, now = flying()
    found = rehearse(old.heir(tuned()), old, now, ceilings(small_checkpoint()))
    assert 0.0 < max(found.apart) < 0.3 and any(found.now)


def test_one_that_wants_something_else_now_is_refused():
    old, now = flying()
    other = small_checkpoint()
    other.arrays["head.bias"][:] = 3.0
    with pytest.raises(Refused, match=r"it wants \(.*\) now, where the policy that flies wants"):
        rehearse(old.heir(other), old, now, ceilings(small_checkpoint()))
    rehearse(old.heir(other), old, now, ceilings(small_checkpoint()), tolerance=1.0)


def test_one_that_may_go_faster_is_refused_where_it_does():
    old, now = flying()
    limits = ceilings(small_checkpoint())
    low, high = (tuple(0.001 * v for v in side) for side in (limits.low, limits.high))
    with pytest.raises(Refused, match="expected at least"):
        rehearse(old.heir(tuned()), old, now, Limits(low, high))


def test_there_must_be_something_to_rehearse_on():
    old = Pilot(small_checkpoint())
    with pytest.raises(Refused, match="nothing has been seen to rehearse on"):
        rehearse(old.heir(tuned()), old, START, ceilings(small_checkpoint()))
