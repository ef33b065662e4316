"""Another policy in flight: what it inherits, and when it must not take over."""

import sys
from pathlib import Path

import numpy as np
import pytest
from test_pilot import IMU, MS, START, flown

from lnn_ros.errors import LnnError
from lnn_ros.guard.chain import Guard
from lnn_ros.guard.limits import Limits
from lnn_ros.guard.modes import Mode, Refusal
from lnn_ros.liquid.checkpoint import save
from lnn_ros.pilot import Pilot, ceilings
from lnn_ros.succession import Candidate, Refused, Stage, Succession, rehearse

sys.path.insert(0, str(Path(__file__).parent / "liquid"))
from policies_for_tests import frame, small_checkpoint


def tuned(by=0.02, seed=0):
    """A policy of the same wiring with slightly other weights."""
    checkpoint, rng = small_checkpoint(seed=seed), np.random.default_rng(9)
    for values in checkpoint.arrays.values():
        if values.dtype == np.float32:
            values += by * rng.standard_normal(values.shape).astype(np.float32)
    return checkpoint


def heir(old, checkpoint):
    """A pilot of another policy that has inherited what one has seen."""
    new = Pilot(checkpoint)
    new.inherit(old)
    return new


def flying():
    """A pilot that has seen so much that the begin is forgotten, and the present instant."""
    pilot = Pilot(small_checkpoint())
    return pilot, flown(pilot, frames=40)


def test_the_same_policy_inherits_all_and_goes_on_as_if_nothing_was():
    old, now = flying()
    new = heir(old, small_checkpoint())
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
    found = rehearse(new, old, at, ceilings(small_checkpoint()), 0.25)
    assert found.instants > 15 and found.apart == found.now == (0.0,) * 4


def test_a_state_is_carried_to_the_same_wiring_only():
    old, now = flying()
    long_ago = Pilot(small_checkpoint())
    flown(long_ago, seed=5, frames=40)
    states = {}
    for name, checkpoint in (("tuned", tuned(0.0)), ("other", small_checkpoint(seed=1))):
        states[name] = [heir(pilot, checkpoint).read(now) for pilot in (old, long_ago)]
    # Carried: what was seen before the history shows. Another wiring begins there anew.
    same = Pilot(small_checkpoint())
    flown(same, frames=40)
    np.testing.assert_array_equal(states["tuned"][0], same.read(now))
    anew = heir(old, small_checkpoint(seed=1))
    begun = Pilot(small_checkpoint(seed=1))
    flown(begun, frames=40)
    assert not np.array_equal(anew.read(now), begun.read(now)), "it has not seen the beginning"


def test_a_policy_with_another_camera_has_to_come_by_a_reset():
    old, _ = flying()
    other = small_checkpoint()
    other.card["camera"]["tilt"] = 0.3
    with pytest.raises(LnnError, match=r"policy small: a camera of .* as of the policy that flies"):
        heir(old, other)


def test_a_policy_that_is_nearly_the_same_may_take_over():
    old, now = flying()
    found = rehearse(heir(old, tuned()), old, now, ceilings(small_checkpoint()), 0.25)
    assert 0.0 < max(found.apart) < 0.3 and any(found.now)


def test_one_that_wants_something_else_now_is_refused():
    old, now = flying()
    other = small_checkpoint()
    other.arrays["head.bias"][:] = 3.0
    with pytest.raises(Refused, match=r"it wants \(.*\) now, where the policy that flies wants"):
        rehearse(heir(old, other), old, now, ceilings(small_checkpoint()), 0.25)
    rehearse(heir(old, other), old, now, ceilings(small_checkpoint()), None)


def test_one_that_may_go_faster_is_refused_where_it_does():
    old, now = flying()
    limits = ceilings(small_checkpoint())
    low, high = (tuple(0.001 * v for v in side) for side in (limits.low, limits.high))
    with pytest.raises(Refused, match="expected at least"):
        rehearse(heir(old, tuned()), old, now, Limits(low, high), 0.25)


def test_there_must_be_something_to_rehearse_on():
    old = Pilot(small_checkpoint())
    with pytest.raises(Refused, match="nothing has been seen to rehearse on"):
        rehearse(heir(old, tuned()), old, START, ceilings(small_checkpoint()), 0.25)


def stored(path, checkpoint):
    save(path, checkpoint)
    return path


class Flight:
    """A succession in flight: samples every 5 ms, a step and a command every 50 ms."""

    def __init__(self, folder):
        checkpoint = small_checkpoint()
        self.folder = folder
        self.guard = Guard(ceilings(checkpoint))
        file = stored(folder / "first.safetensors", checkpoint)
        self.succession = Succession(Candidate.read(file, self.build), self.build)
        self.alone = Pilot(checkpoint)
        """It has the same policy and samples, and nothing ever happens to it."""
        self.rng, self.at = np.random.default_rng(4), START
        self.fly(20)

    def build(self, checkpoint):
        return Pilot(checkpoint, guard=self.guard)

    def propose(self, checkpoint, trial_s=1.0, tolerance=0.25):
        path = stored(self.folder / "next.safetensors", checkpoint)
        self.succession.propose(path, tolerance, trial_s)

    def fly(self, steps=1, mode=Mode.ENGAGED):
        """Go on; return how often another policy took over."""
        taken_over = 0
        for _ in range(steps):
            for k in range(10):
                reading = IMU + self.rng.normal(0, 0.1, 6)
                for takes in (self.succession, self.alone):
                    takes.observe("imu", self.at + 5 * k * MS, reading)
            picture = frame(self.rng)
            for takes in (self.succession, self.alone):
                takes.observe("camera", self.at, picture)
            self.at += 50 * MS
            taken_over += self.succession.step(self.at, mode)
        return taken_over

    def until(self, *stages):
        """Fly until the succession stands so; the other thread needs its time."""
        for _ in range(10_000):
            if self.succession.stage in stages:
                return
            self.fly()
        raise AssertionError(f"{self.succession.stage}: {self.succession.last}")

    def read(self):
        return self.succession.flying.pilot.read(self.at)


@pytest.fixture
def flight(tmp_path):
    found = Flight(tmp_path)
    yield found
    found.succession.close()


def test_who_takes_over_has_missed_nothing(flight):
    flight.propose(small_checkpoint())
    first = flight.succession.flying
    flight.until(Stage.CATCHING_UP)
    assert flight.succession.flying is first
    flight.until(Stage.TRIAL)  # at least one step later: its samples came while it caught up
    assert flight.succession.flying is not first
    np.testing.assert_array_equal(flight.read(), flight.alone.read(flight.at))
    assert "flies in place of" in flight.succession.news[0]


@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.FAULT])
def test_the_policy_before_flies_on_when_the_guard_trips(flight, mode):
    flight.propose(tuned())
    first = flight.succession.flying
    flight.until(Stage.TRIAL)
    flight.fly(5)
    assert not np.array_equal(flight.read(), flight.alone.read(flight.at))
    assert flight.fly(1, mode) == 1
    assert flight.succession.flying is first
    np.testing.assert_array_equal(flight.read(), flight.alone.read(flight.at))
    assert f"the guard went to {mode.value}" in flight.succession.last
    with pytest.raises(Refusal, match="no policy flew before"):
        flight.succession.back()


def test_only_flight_counts_as_trial(flight):
    flight.propose(tuned(), trial_s=1.0)
    flight.until(Stage.TRIAL)
    flight.fly(100, Mode.TAKEOVER)
    assert flight.succession.stage is Stage.TRIAL
    flight.fly(19)
    assert flight.succession.stage is Stage.TRIAL
    flight.fly(2)
    assert flight.succession.stage is Stage.SETTLED
    assert "has stood its trial" in flight.succession.last
    assert flight.fly(1, Mode.HOLD) == 0, "it is nobody's fault any more"


def test_a_newcomer_that_comes_in_hold_is_not_blamed_for_it(flight):
    flight.propose(tuned())
    for _ in range(10_000):
        if flight.succession.stage is Stage.TRIAL:
            break
        flight.fly(1, Mode.HOLD)
    assert flight.fly(5, Mode.HOLD) == 0 and flight.succession.stage is Stage.TRIAL
    flight.fly(1)
    assert flight.fly(1, Mode.HOLD) == 1


def test_one_can_go_back_at_once_and_later(flight):
    first = flight.succession.flying
    flight.propose(tuned())
    flight.until(Stage.TRIAL)
    flight.succession.back()
    assert flight.succession.flying is first and flight.succession.stage is Stage.SETTLED

    far = small_checkpoint()
    far.arrays["head.bias"][:] = 3.0
    flight.propose(far, trial_s=0.1, tolerance=1.0)
    flight.until(Stage.TRIAL)
    flight.until(Stage.SETTLED)
    assert flight.succession.flying is not first
    flight.succession.back()  # however far apart the two are
    flight.until(Stage.SETTLED)
    assert flight.succession.flying.digest == first.digest
    with pytest.raises(Refusal, match="no policy flew before"):
        flight.succession.back()  # to what was gone back from


@pytest.mark.parametrize("what", ["damaged", "missing", "far", "camera"])
def test_who_must_not_take_over_does_not(flight, what):
    first, checkpoint = flight.succession.flying, tuned()
    if what == "far":
        checkpoint.arrays["head.bias"][:] = 3.0
    if what == "camera":
        checkpoint.card["camera"]["tilt"] = 0.3
    path = stored(flight.folder / "next.safetensors", checkpoint)
    if what == "damaged":
        path.write_bytes(path.read_bytes()[:1000])
    if what == "missing":
        path.unlink()
    flight.succession.propose(path, 0.25, 1.0)
    with pytest.raises(Refusal, match="swap refused: another policy is loading: ask again"):
        flight.succession.propose(path, 0.25, 1.0)
    flight.until(Stage.SETTLED)
    assert flight.succession.flying is first
    said = {"damaged": str(path), "missing": str(path), "far": "it wants", "camera": "a camera of"}
    assert said[what] in flight.succession.last
    np.testing.assert_array_equal(flight.read(), flight.alone.read(flight.at))


def test_time_that_begins_anew_ends_what_was_being_prepared(flight):
    flight.propose(tuned())
    flight.until(Stage.CATCHING_UP)
    flight.succession.reset()
    assert flight.succession.stage is Stage.SETTLED and "time began anew" in flight.succession.last
    flight.propose(tuned())
    flight.until(Stage.TRIAL)
    for takes in (flight.succession, flight.alone):
        takes.reset()
    flight.at = START
    flight.fly(5)
    flight.succession.back()
    np.testing.assert_array_equal(flight.read(), flight.alone.read(flight.at))


def test_a_file_is_known_by_where_it_is_not_by_a_link(flight):
    link = flight.folder / "live.safetensors"
    real = stored(flight.folder / "real.safetensors", tuned())
    link.symlink_to(real)
    flight.succession.propose(link, 0.25, 1.0)
    flight.until(Stage.TRIAL)
    link.unlink()
    assert flight.succession.flying.file == real.resolve()
