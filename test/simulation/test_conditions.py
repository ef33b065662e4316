"""Conditions of timing: each does what it says, to every policy the same, and nothing else."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.simulation.camera import CameraGeometry, Renderer
from lnn_ros.simulation.conditions import CONDITIONS, NOMINAL, condition
from lnn_ros.simulation.interruption import IN_VIEW_PIXELS, Interruption, Lost
from lnn_ros.simulation.physics import STEP_NS, Estimator, Wind
from lnn_ros.simulation.sensors import START_NS, Stream, StreamTiming
from lnn_ros.simulation.simulator import CONTROL_PERIOD_NS, Simulator, SimulatorOptions
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

TASK = Task.load("fly_to_target")
WORLD = make_world(300_000, TASK)
PLAIN = SimulatorOptions(samples=1)


def hover(truth):
    return [0.0, 0.0, 0.0, 0.0]


def turn(truth):
    return [0.0, 0.0, 0.0, 0.9]


def flown(name, seconds, pilot=hover, options=PLAIN, world=WORLD):
    """Deliveries of a flight, and the truth at the control instants."""
    simulator = Simulator(world, condition(name).change(options), task=TASK)
    deliveries, truths = [], []
    end_ns = START_NS + round(seconds * 1e9)
    while simulator.time_ns < end_ns:
        truths.append(simulator.truth)
        simulator.command(pilot(simulator.truth))
        deliveries += simulator.advance(min(simulator.time_ns + CONTROL_PERIOD_NS, end_ns))
    return simulator, deliveries, truths


def of(stream, deliveries):
    return [d for d in deliveries if d.stream == stream]


def seconds(stamps):
    return (np.array(stamps, np.int64) - START_NS) * 1e-9


# -- timing ---------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(rate=st.floats(2.0, 60.0), periods=st.floats(0.0, 20.0), seed=st.integers(0, 2**32))
def test_no_instant_moves_further_than_its_jitter_and_their_order_stays(rate, periods, seed):
    jitter = min(periods / rate, 1.0)
    stream = Stream(StreamTiming(rate, jitter), np.random.default_rng(seed))
    stamps = []
    for _ in range(80):
        stamps.append(stream.next_ns)
        assert stream.measure() is not None
    steps = np.diff(stamps)
    assert (steps >= STEP_NS).all()
    assert not ((np.array(stamps, np.int64) - START_NS) % STEP_NS).any()
    # The k-th of moved instants lies no further from the k-th of unmoved ones; then the grid, and
    # room for those that fall into one physics step.
    moved = seconds(stamps) - np.arange(80) / rate
    assert np.abs(moved).max() <= jitter + 10 * STEP_NS * 1e-9


def test_jitter_beyond_half_a_period_is_a_hundred_milliseconds_to_either_side():
    stream = Stream(StreamTiming(20.0, 0.1), np.random.default_rng(0))
    stamps = []
    for _ in range(4000):
        stamps.append(stream.next_ns)
        stream.measure()
    gaps = np.diff(stamps) * 1e-9
    assert gaps.mean() == pytest.approx(0.05, rel=0.01)
    assert gaps.max() > 0.15 and (gaps < 0.01).mean() > 0.1
    assert (gaps < 0.003).mean() < 0.1, "in order, not pushed to behind the one before"


@pytest.mark.parametrize("name, frames", [
    (NOMINAL, 100), ("camera_4hz", 20), ("camera_8hz", 40), ("camera_15hz", 75),
    ("camera_30hz", 150), ("camera_60hz", 300), ("drop_25", 75), ("drop_50", 50),
    ("jitter_100ms", 100),
])
def test_frames_come_at_their_rate(name, frames):
    small = replace(PLAIN, geometry=CameraGeometry(width=4, height=3))
    _, deliveries, _ = flown(name, 5.0, options=small)
    found = len(of("camera", deliveries))
    assert abs(found - frames) <= (12 if "drop" in name else 3)
    assert len(of("imu", deliveries)) == 1000


@pytest.mark.parametrize("name, least, most, overtaking", [
    (NOMINAL, 0.01, 0.01, ()),
    ("latency_100ms", 0.1, 0.1, ()),
    ("latency_0_200ms", 0.0025, 0.2, ("camera",)),
    ("reordered", 0.0025, 0.3, ("camera", "imu")),
])
def test_samples_arrive_as_late_as_said(name, least, most, overtaking):
    _, deliveries, _ = flown(name, 4.0)
    for stream in ("camera", "imu"):
        samples = of(stream, deliveries)
        stamps = [d.stamp_ns for d in samples]
        assert (stamps != sorted(stamps)) == (stream in overtaking)
        if stream == "camera" or name == "reordered":
            ages = np.array([d.arrival_ns - d.stamp_ns for d in samples]) * 1e-9
            assert least - 1e-9 <= ages.min() and ages.max() <= most + 1e-9
            assert np.ptp(ages) >= 0.8 * (most - least)


# -- interruptions --------------------------------------------------------------------------------


def outage(deliveries, end_s):
    """The longest gap between frames: its first missing instant and its length, s."""
    stamps = np.append(seconds([d.stamp_ns for d in of("camera", deliveries)]), end_s)
    longest = int(np.diff(stamps).argmax())
    return stamps[longest] + 0.05, float(np.diff(stamps)[longest])


def test_a_blackout_comes_once_and_to_every_pilot_at_the_same_time():
    starts = []
    for pilot in (hover, turn):
        simulator, deliveries, _ = flown("blackout", 8.0, pilot)
        start, length = outage(deliveries, 8.0)
        starts.append(simulator.interrupted_s)
        assert 1.0 <= starts[-1] <= 6.0
        assert start == pytest.approx(starts[-1], abs=0.051)
        assert length == pytest.approx(0.7, abs=0.051)
        assert len(of("camera", deliveries)) == 160 - 14
        assert len(of("imu", deliveries)) == 1600
    assert starts[0] == starts[1]
    others = {flown("blackout", 7.0, world=make_world(300_001 + k, TASK))[0].interrupted_s
              for k in range(3)}
    assert len(others) == 3, "another world, another time"


def test_a_blackout_in_a_turn_waits_for_one():
    simulator, deliveries, _ = flown("blackout_in_turn", 7.0)
    assert simulator.interrupted_s is None and len(of("camera", deliveries)) == 140

    def later(truth):
        return turn(truth) if truth.stamp_ns - START_NS > 6.5e9 else hover(truth)

    simulator, deliveries, truths = flown("blackout_in_turn", 8.5, later)
    began = simulator.interrupted_s
    assert 6.5 < began < 7.2
    rates = {round((t.stamp_ns - START_NS) * 1e-9, 2): abs(t.angular_velocity[2]) for t in truths}
    near = [rate for at, rate in rates.items() if abs(at - began) < 0.034]
    assert max(near) > 0.4 and all(r <= 0.45 for at, r in rates.items() if at < began - 0.05)
    start, length = outage(deliveries, 8.5)
    assert start == pytest.approx(began, abs=0.01) and length == pytest.approx(0.75, abs=0.051)


def test_an_occluded_target_is_out_of_the_picture_and_nothing_else_is():
    seen = flown(NOMINAL, 10.0)[1]
    simulator, deliveries, _ = flown("target_occluded", 10.0)
    began = simulator.interrupted_s
    assert 1.0 <= began <= 6.1
    eye = Renderer(WORLD, simulator.geometry, samples=1)
    there = Simulator(WORLD, PLAIN, task=TASK).truth
    assert eye.target_mask(there.position, there.rotation).sum() >= IN_VIEW_PIXELS
    hidden = []
    for plain, shown in zip(of("camera", seen), of("camera", deliveries), strict=True):
        assert plain.stamp_ns == shown.stamp_ns and plain.arrival_ns == shown.arrival_ns
        changed = (plain.value != shown.value).any(axis=2)
        if changed.any():
            hidden.append((plain.stamp_ns - START_NS) * 1e-9)
            assert changed.sum() < 60, "the column and nothing else"
    assert hidden[0] == pytest.approx(began) and 0.9 < hidden[-1] - hidden[0] < 3.0
    assert np.diff(hidden).max() < 0.06, "without a break"
    for plain, shown in zip(of("imu", seen), of("imu", deliveries), strict=True):
        np.testing.assert_array_equal(plain.value, shown.value)


def test_it_is_told_afterwards_which_frames_hide_the_target():
    """A hovering camera: the frames that lack it are those that differ from the first."""
    simulator, deliveries, _ = flown("target_occluded", 10.0)
    frames = of("camera", deliveries)
    hidden = [simulator.lost(frame.stamp_ns) is Lost.TARGET for frame in frames]
    begun = simulator.interrupted_s
    assert begun is not None and 0.9 < sum(hidden) / 20 < 3.1
    for frame, hides in zip(frames, hidden, strict=True):
        assert hides == (begun <= (frame.stamp_ns - START_NS) * 1e-9 < begun + sum(hidden) / 20)
    assert not any(flown(NOMINAL, 0.5)[0].lost(START_NS + k) for k in range(5))
    blackout, frames, _ = flown("blackout", 8.0)
    assert not any(blackout.lost(frame.stamp_ns) is Lost.TARGET for frame in of("camera", frames))


def test_without_the_target_every_pixel_shows_what_is_behind_it():
    truth = Simulator(WORLD, PLAIN, task=TASK).truth
    pose = truth.position, truth.rotation
    eye = Renderer(WORLD, samples=1)
    mask = eye.target_mask(*pose)
    there, gone = eye.render(*pose), eye.render(*pose, target=False)
    np.testing.assert_array_equal(there[~mask], gone[~mask])
    assert (there[mask] != gone[mask]).any(axis=1).all()
    np.testing.assert_array_equal(eye.render(*pose), there)  # and it comes back


def test_an_occlusion_waits_until_the_target_is_in_view():
    away = replace(WORLD, start_yaw=WORLD.start_yaw + math.pi)

    def look(truth):
        left = math.remainder(WORLD.start_yaw - truth.yaw, 2 * math.pi)
        waits = truth.stamp_ns - START_NS < 6.2e9
        return [0.0, 0.0, 0.0, 0.0 if waits else float(np.clip(2 * left, -1, 1))]

    assert flown("target_occluded", 6.5, world=away)[0].interrupted_s is None
    began = flown("target_occluded", 11.0, look, world=away)[0].interrupted_s
    assert began > 7.5


@pytest.mark.parametrize("wrong, said", [
    ({"after_s": (2.0, 1.0)}, r"interruption.after_s must be a range of seconds .*\[2.0, 1.0\]"),
    ({"duration_s": (0.0, math.inf)}, "interruption.duration_s must be a range"),
    ({"yaw_rate": -1.0}, "interruption.yaw_rate must be at least 0, found -1.0"),
])
def test_an_interruption_outside_its_domain_is_refused(wrong, said):
    good = Interruption(Lost.FRAMES, (1.0, 2.0), (0.5, 0.5))
    with pytest.raises(LnnError, match=said):
        Simulator(WORLD, replace(PLAIN, interruption=replace(good, **wrong)), task=TASK)


# -- pace, and all of them ------------------------------------------------------------------------


@pytest.mark.parametrize("name, pace", [("pace_1_5", 1.5), ("pace_2_5", 2.5)])
def test_at_a_higher_pace_a_command_moves_and_turns_the_vehicle_faster(name, pace):
    calm = replace(PLAIN, render=False, wind=Wind(0, 0), estimator=Estimator(0, 0, 0))
    free = replace(WORLD, solids=(WORLD.target,))
    for asked in (0.6, 50.0):  # the second meets the ceiling, which is as many times as high
        there = flown(name, 4.0, lambda _, v=asked: [-v, 0, 0, 0.2], calm, free)[2][-1]
        wanted = pace * min(asked, TASK.vehicle.max_speed)
        assert math.hypot(*there.velocity[:2]) == pytest.approx(wanted, rel=0.12)
        assert there.angular_velocity[2] == pytest.approx(pace * 0.2, abs=0.02)


@pytest.mark.parametrize("pace", [0.0, -1.0, math.nan, 11.0])
def test_a_pace_outside_its_domain_is_refused(pace):
    with pytest.raises(LnnError, match=r"pace must be in \(0, 10\], found"):
        Simulator(WORLD, replace(PLAIN, pace=pace), task=TASK)


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_changes_the_sensors_and_not_the_world(name):
    """With the same commands every condition but the pace's has the same flight."""
    blind = replace(PLAIN, render=False)
    ends = [flown(n, 1.5, turn, blind)[2][-1] for n in (NOMINAL, name)]
    same = np.array_equal(ends[0].position, ends[1].position)
    assert same == (not name.startswith("pace"))
    assert condition(name).about


def test_an_unknown_condition_is_an_error_that_names_the_known_ones():
    with pytest.raises(LnnError, match="'fog' found, expected one of nominal, camera_2hz"):
        condition("fog")
