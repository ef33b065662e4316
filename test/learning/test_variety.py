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
    on_card,
    random_options,
    random_shifts,
    taught,
    taught_timing,
)
from lnn_ros.simulation.camera import CameraGeometry
from lnn_ros.simulation.interruption import Lost
from lnn_ros.simulation.sensors import StreamTiming
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


@pytest.mark.parametrize("seed, camera, lost, shifts", [
    (0, StreamTiming(15.080465537402173, 0.014919740084928482, 0.0022299811649528945, 0.0,
                     0.006548015912614991, False), (Lost.TARGET, (0.5, 3.0)), []),
    (5, StreamTiming(16.40098493361051, 0.007665527444589046, 0.03505969886046936, 0.0,
                     0.05642470441545771, False), (Lost.FRAMES, (0.3, 1.2)), []),
    (6, StreamTiming(47.68836994777165, 0.009436262981788651, 0.08347968005283271,
                     0.0015660937208170523, 0.46253283995235095, True), None, ["glare"]),
    (8, StreamTiming(11.281155069522411, 0.018615654282070005, 0.028765532929798752,
                     0.01624029536680983, 0.12570226483180386, True), (Lost.TARGET, (0.5, 3.0)),
     ["gusts"]),
])  # fmt: skip
def test_flights_of_a_seed_stay_what_they_were(seed, camera, lost, shifts):
    # Or a training that goes on, and a command on a card, would come to something else.
    options = random_options(np.random.default_rng((seed, 0xDE)), TASK)
    assert options.camera == camera
    what = options.interruption
    assert (what and (what.lost, what.duration_s)) == lost
    assert what is None or what.after_s == (0.5, 8.0)
    assert [shift.kind for shift in options.shifts] == shifts


@pytest.mark.parametrize("name", ["fly_to_target", "lane"])
def test_the_timing_that_is_taught_is_the_timing_that_is_drawn(name):
    task, found = Task.load(name), {}
    for seed in range(2000):
        options = random_options(np.random.default_rng(seed), task)
        for key in ("rate_hz", "jitter_s", "latency_s", "latency_jitter_s", "drop"):
            found.setdefault(f"camera.{key}", []).append(getattr(options.camera, key))
        if options.interruption:
            key = f"{options.interruption.lost.value}_lost_s"
            found.setdefault(key, []).extend(options.interruption.duration_s)
    ranges = taught_timing(task)
    assert set(ranges) == set(found)
    assert ("target_lost_s" in ranges) == (name != "lane"), "a lap has no target to lose"
    for key, (low, high) in ranges.items():
        assert low <= min(found[key]) <= low + 0.05 * (high - low), key
        assert high >= max(found[key]) >= high - 0.05 * (high - low), key


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


def test_what_a_policy_was_taught_of_timing():
    def said(shift, timing):
        return exposure(shift, TASK, {}, timing)

    slow = {"camera.rate_hz": [4.0, 20.0], "camera.latency_s": [0.0, 0.1]}
    for shift, seen in (
        ("nominal", SEEN), ("camera_4hz", SEEN), ("camera_30hz", UNSEEN_STRENGTH),
        ("latency_100ms", SEEN), ("drop_25", UNSEEN_STRENGTH), ("blackout", UNSEEN_STRENGTH),
        ("target_occluded", UNSEEN_STRENGTH), ("pace_1_5", UNSEEN_FAMILY),
        ("camera_4hz,pace_1_5", UNSEEN_FAMILY),
    ):  # fmt: skip
        assert said(shift, slow) == seen, shift
    assert said("camera_4hz", {}) == UNSEEN_FAMILY, "of no timing at all"
    assert said("nominal", {}) == SEEN
    # Part of what may be lost for 1 to 3 s was not taught.
    assert said("target_occluded", {"target_lost_s": (0.5, 3.0)}) == SEEN
    assert said("target_occluded", {"target_lost_s": (0.5, 2.0)}) == UNSEEN_STRENGTH
    for shift, seen in (
        ("camera_60hz", SEEN), ("drop_50", SEEN), ("blackout_in_turn", SEEN),
        ("jitter_100ms", UNSEEN_STRENGTH), ("latency_0_200ms", UNSEEN_STRENGTH),
        ("reordered", UNSEEN_STRENGTH), ("pace_2_5", UNSEEN_FAMILY),
    ):  # fmt: skip
        assert said(shift, taught_timing(TASK)) == seen, shift
        assert said(shift, None) == seen, "a card that is silent is no boast"


def test_what_a_card_says_is_checked():
    assert on_card({"timing": {"camera.drop": [0, 0.5]}}, "timing") == {"camera.drop": (0.0, 0.5)}
    assert on_card({}, "timing") is None
    for wrong in ([1], {"camera.drop": 0.5}, {"camera.drop": [0, 1, 2]}, {"camera.drop": "ab"}):
        with pytest.raises(LnnError, match=r"training\.timing of the policy's card: .* found"):
            on_card({"timing": wrong}, "timing")
