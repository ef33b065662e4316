"""The step API: same seed same bytes, streams on their stated times, outcomes by the rules."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.simulation.expert import Expert
from lnn_ros.simulation.physics import STEP_NS, Estimator, Wind
from lnn_ros.simulation.sensors import START_NS, StreamTiming
from lnn_ros.simulation.simulator import (
    CONTROL_PERIOD_NS,
    Outcome,
    Simulator,
    SimulatorOptions,
)
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

TASK = Task.load("fly_to_target")
WORLD = make_world(300_000, TASK)
SECOND = 1_000_000_000
BLIND = SimulatorOptions(render=False, imu=StreamTiming(200.0))


def received(options, seconds=1.0, seed=None):
    """Deliveries of a hover."""
    simulator = Simulator(WORLD, options, seed=seed)
    return simulator.advance(START_NS + round(seconds * 1e9))


def flown(options=BLIND, world=WORLD, task=TASK, pilot=None):
    """Fly to the end and return the simulator."""
    simulator = Simulator(world, options, task=task)
    pilot = pilot or Expert(world, task=task).command
    while simulator.outcome is Outcome.FLYING:
        simulator.command(pilot(simulator.truth))
        simulator.advance(simulator.time_ns + CONTROL_PERIOD_NS)
    return simulator


def test_same_seed_same_bytes_also_after_reset_and_for_any_stride():
    options = SimulatorOptions(
        camera=StreamTiming(20.0, jitter_s=0.01, latency_s=0.02, latency_jitter_s=0.05, drop=0.2,
                            reorder=True), samples=1)

    def bytes_of(simulator, stride_ns):
        simulator.command([0.5, 0.0, 0.0, 0.3])
        out = []
        while simulator.time_ns < START_NS + SECOND // 2:
            for d in simulator.advance(simulator.time_ns + stride_ns):
                out.append((d.stream, d.stamp_ns, d.arrival_ns, d.value.tobytes()))
        return out

    simulator = Simulator(WORLD, options)
    first = bytes_of(simulator, STEP_NS)
    simulator.reset()
    assert bytes_of(simulator, STEP_NS) == first
    assert bytes_of(Simulator(WORLD, options), 4 * STEP_NS) == first
    assert bytes_of(Simulator(WORLD, options, seed=1), STEP_NS) != first


def test_streams_come_at_their_rates_with_the_values_they_promise():
    deliveries = received(SimulatorOptions(samples=1))
    imu = [d for d in deliveries if d.stream == "imu"]
    camera = [d for d in deliveries if d.stream == "camera"]
    assert [d.stamp_ns for d in imu] == [START_NS + k * 5_000_000 for k in range(200)]
    assert [d.stamp_ns for d in camera] == [START_NS + k * 50_000_000 for k in range(20)]
    assert all(d.arrival_ns - d.stamp_ns == 10_000_000 for d in camera)
    assert all(d.value.shape == (48, 64, 3) and d.value.dtype == np.uint8 for d in camera)
    mean = np.mean([d.value for d in imu], axis=0)
    assert mean == pytest.approx([0, 0, 0, 0, 0, 9.81], abs=0.4)
    assert [d.arrival_ns for d in deliveries] == sorted(d.arrival_ns for d in deliveries)


@settings(max_examples=40, deadline=None)
@given(rate=st.floats(5.0, 200.0), jitter=st.floats(0.0, 3.0), latency=st.floats(0.0, 0.1),
       spread=st.floats(0.0, 0.1), drop=st.floats(0.0, 1.0), reorder=st.booleans(),
       seed=st.integers(0, 1000))
def test_any_timing_keeps_its_bounds(rate, jitter, latency, spread, drop, reorder, seed):
    timing = StreamTiming(rate, jitter / rate, latency, spread, drop, reorder)
    got = received(replace(BLIND, imu=timing), 1.5, seed)
    assert len({d.stamp_ns for d in got}) == len(got) <= 1.5 * rate + jitter + 2
    step = STEP_NS * 1e-9
    for d in got:
        assert (d.stamp_ns - START_NS) % STEP_NS == 0
        age = (d.arrival_ns - d.stamp_ns) * 1e-9
        assert age >= latency - 1e-9
        if reorder:
            assert age <= max(latency + spread, step) + 1e-9
    if not reorder:
        assert [d.stamp_ns for d in got] == sorted(d.stamp_ns for d in got)


def test_drop_and_reorder_do_what_they_say():
    whole = len(received(BLIND, 5.0))
    dropped = len(received(replace(BLIND, imu=StreamTiming(200.0, drop=0.5)), 5.0))
    assert 0.4 * whole < dropped < 0.6 * whole
    timing = StreamTiming(200.0, latency_jitter_s=0.05, reorder=True)
    stamps = [d.stamp_ns for d in received(replace(BLIND, imu=timing))]
    assert stamps != sorted(stamps)


@pytest.mark.parametrize("timing, said", [
    (StreamTiming(0.0), "camera.rate_hz must be in (0, 400], found 0.0"),
    (StreamTiming(float("nan")), "camera.rate_hz"),
    (StreamTiming(20.0, jitter_s=-0.01), "camera.jitter_s must be in [0, 10], found -0.01"),
    (StreamTiming(20.0, drop=1.5), "camera.drop must be in [0, 1], found 1.5"),
    (StreamTiming(20.0, latency_s=-1.0), "camera.latency_s must be in [0, 10], found -1.0"),
])
def test_timing_outside_its_domain_is_refused(timing, said):
    with pytest.raises(LnnError) as error:
        Simulator(WORLD, SimulatorOptions(camera=timing, render=False))
    assert said in str(error.value)


def test_a_command_older_than_half_a_second_is_dropped():
    calm = replace(BLIND, wind=Wind(0.0, 0.0), estimator=Estimator(0.0, 0.0, 0.0))
    simulator = Simulator(WORLD, calm)
    simulator.command([0.0, 0.0, 0.4, 0.0])
    simulator.advance(START_NS + 450_000_000)
    assert simulator.truth.velocity[2] > 0.2
    simulator.advance(START_NS + 3 * SECOND)
    assert abs(simulator.truth.velocity[2]) < 0.02


@pytest.mark.parametrize("vector", [[0, 0, 0], [float("nan"), 0, 0, 0], [float("inf")] * 4])
def test_a_command_that_is_none_is_refused_and_changes_nothing(vector):
    simulator = Simulator(WORLD, BLIND)
    with pytest.raises(ValueError, match="four finite numbers"):
        simulator.command(vector)
    simulator.advance(START_NS + SECOND // 10)
    assert np.abs(simulator.truth.velocity).max() < 0.2


def test_an_excessive_command_is_cut_to_the_vehicles_ceilings():
    free = replace(WORLD, solids=(WORLD.target,))
    simulator = Simulator(free, replace(BLIND, wind=Wind(0, 0), estimator=Estimator(0, 0, 0)))
    fastest = 0.0
    for _ in range(60):
        simulator.command([-50.0, 0.0, 0.0, 50.0])
        simulator.advance(simulator.time_ns + CONTROL_PERIOD_NS)
        fastest = max(fastest, math.hypot(*simulator.truth.velocity[:2]))
    assert fastest < 1.35 * TASK.vehicle.max_speed
    assert simulator.truth.angular_velocity[2] == pytest.approx(TASK.vehicle.max_yaw_rate, abs=0.1)


def test_the_expert_arrives_and_the_clock_shows_when():
    simulator = flown()
    assert simulator.outcome is Outcome.ARRIVED
    assert simulator.distance <= TASK.success.distance
    assert math.hypot(*simulator.truth.velocity) < TASK.success.speed
    assert simulator.clearance > 0.0
    assert simulator.time_ns > START_NS + 5 * SECOND


def test_hovering_near_the_column_for_less_than_a_second_is_no_arrival():
    simulator = flown()
    strict = replace(TASK, success=replace(TASK.success, hold=3.0))
    longer = flown(task=strict)
    assert longer.outcome is Outcome.ARRIVED
    assert longer.time_ns - simulator.time_ns == pytest.approx(2 * SECOND, abs=0.1 * SECOND)


def test_touching_something_is_a_contact_and_stays_one():
    simulator = flown(pilot=lambda truth: [0.0, 0.0, -0.8, 0.0])
    assert simulator.outcome is Outcome.CONTACT
    simulator.advance(simulator.time_ns + SECOND)
    assert simulator.outcome is Outcome.CONTACT


def test_contact_and_clearance_agree_on_a_flight_into_a_trunk():
    """Fly at an obstacle head on: the clearance falls to nothing as the contact comes."""
    trunk = min((s for s in WORLD.solids if s.name.endswith("trunk")),
                key=lambda s: math.hypot(*s.position[:2]))

    def ram(truth):
        dx, dy = (a - b for a, b in zip(trunk.position[:2], truth.position[:2], strict=True))
        heading = math.atan2(dy, dx) - truth.yaw
        return [math.cos(heading), math.sin(heading), 0.0, 0.0]

    alone = replace(WORLD, solids=(WORLD.target, trunk))
    simulator = flown(world=alone, pilot=ram)
    assert simulator.outcome is Outcome.CONTACT
    assert -0.05 < simulator.clearance < 0.06


def test_doing_nothing_ends_at_the_time_limit():
    simulator = flown(pilot=lambda truth: np.zeros(4))
    assert simulator.outcome is Outcome.TIMEOUT
    assert simulator.time_ns - START_NS >= TASK.success.time_limit * SECOND
