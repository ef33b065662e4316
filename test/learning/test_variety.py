"""What differs from flight to flight while a policy is taught."""

import json
import math
from collections import Counter

import numpy as np
import pytest

from lnn_ros.errors import LnnError
from lnn_ros.learning.demonstrate import Episode, record
from lnn_ros.learning.flights import notes
from lnn_ros.learning.sequences import recorded_shifts
from lnn_ros.learning.variety import (
    KEPT_BACK,
    SEEN,
    SHIFTED,
    UNSEEN_FAMILY,
    UNSEEN_STRENGTH,
    exposure,
    random_options,
    random_shifts,
    taught,
)
from lnn_ros.simulation.camera import CameraGeometry
from lnn_ros.simulation.shifts import KINDS, Shift
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

TASK = Task.load("fly_to_target")


def drawn(count=400, without=()):
    return [random_shifts(np.random.default_rng(seed), TASK, without) for seed in range(count)]


def test_every_taught_family_is_drawn_within_its_strengths_and_no_other():
    families = taught(TASK)
    assert set(families) == set(KINDS) - set(KEPT_BACK)
    flights = drawn()
    assert sum(bool(f) for f in flights) / len(flights) == pytest.approx(SHIFTED, abs=0.08)
    found = Counter(shift.kind for flight in flights for shift in flight)
    assert set(found) == set(families)
    for flight in flights:
        assert len({shift.kind for shift in flight}) == len(flight) <= 2
        for shift in flight:
            low, high = families[shift.kind]
            assert low <= shift.strength <= high == getattr(TASK.shifts, shift.kind)
    assert flights == drawn()


def test_a_group_or_a_family_is_left_out():
    light = {name for name, kind in KINDS.items() if kind.group == "light"}
    assert len(light) > 1
    found = {shift.kind for flight in drawn(without=("light", "fog")) for shift in flight}
    assert found == set(taught(TASK)) - light - {"fog"}
    with pytest.raises(LnnError, match="--without 'rain' found, expected families or groups"):
        taught(TASK, ("rain",))
    everything = tuple({kind.group for kind in KINDS.values()})
    assert drawn(20, everything) == [()] * 20


def test_the_usual_strength_shifts_nothing():
    world, picture = make_world(300_000, TASK), np.full((12, 16, 3), 90, np.uint8)
    for name in set(KINDS) - {"behind"}:  # whose start heading is drawn anew in any case
        shift = Shift(name, KINDS[name].usual)
        np.testing.assert_array_equal(shift.frame(picture, 1, 2), picture)
        assert shift.scene(TASK) == TASK and shift.task(TASK).success == TASK.success
        assert shift.build(world, TASK) == world and shift.world(world) == world
        assert shift.geometry(CameraGeometry()).tilt == 0.0
        assert shift.geometry(CameraGeometry()).horizontal_fov == pytest.approx(math.pi / 2)
        for number in ("wind", "gust", "gyro_bias", "velocity_drift"):
            now, before = (getattr(t.disturbances, number) for t in (shift.task(TASK), TASK))
            assert now == pytest.approx(before), (name, number)


def test_options_of_a_flight_are_usable_and_differ():
    options = [random_options(np.random.default_rng(seed), TASK) for seed in range(60)]
    for one in options:
        one.validate()
    assert any(o.shifts and o.wind is None for o in options), "what disturbs is the shift's"
    assert len({o.camera.rate_hz for o in options}) == len(options)


def test_a_flight_of_other_arguments_is_not_taken_for_this_one(tmp_path):
    bag = tmp_path / "x"
    record(Episode(300_003, str(bag)))
    before = (bag / "x.mcap").read_bytes()
    for other in (Episode(300_004, str(bag)), Episode(300_003, str(bag), without=("fog",))):
        with pytest.raises(LnnError, match=r"a flight with .* found, expected"):
            record(other)
    assert (bag / "x.mcap").read_bytes() == before
    found = recorded_shifts([bag])
    said = json.loads(notes(bag)["shifts"])
    assert {f"{name}:{low:g}" for name, (low, _) in found.items()} == set(said)


def test_a_recorded_flight_says_what_was_shifted(tmp_path):
    seed = next(seed for seed in range(300_000, 300_100) if random_options(
        np.random.default_rng((seed, 0xDE)), TASK).shifts)
    record(Episode(seed, str(tmp_path / "x")))
    said = notes(tmp_path / "x")
    shifts = random_options(np.random.default_rng((seed, 0xDE)), TASK).shifts
    assert json.loads(said["shifts"]) == [str(shift) for shift in shifts]
    assert said["sided"] in ("true", "false") and len(said["commit"]) in (40, len("unknown"))


def test_what_a_policy_was_taught_of_a_shift():
    taught_with = {"fog": (0.007, 0.112), "dusk": (0.0, 0.633), "field_of_view": (90.0, 60.0)}
    for shift, said in (
        ("nominal", SEEN), ("fog:0.1", SEEN), ("fog", SEEN), ("fog:0.2", UNSEEN_STRENGTH),
        ("field_of_view:75", SEEN), ("field_of_view:120", UNSEEN_STRENGTH),
        ("glare", UNSEEN_STRENGTH), ("winter", UNSEEN_FAMILY), ("stones", UNSEEN_FAMILY),
        ("drop_50", SEEN), ("reordered", UNSEEN_STRENGTH), ("pace_1_5", UNSEEN_FAMILY),
        ("fog:0.1,glare:0.2", UNSEEN_STRENGTH), ("fog:0.1,winter:1,dusk:0.1", UNSEEN_FAMILY),
    ):  # fmt: skip
        assert exposure(shift, TASK, taught_with) == said, shift
    assert exposure("fog", TASK, {}) == UNSEEN_FAMILY, "an older policy's card names none"
