"""Several vehicles in one world: alone as before, together seen, met and heading for one target."""

import math
from itertools import combinations

import numpy as np
import pytest

from lnn_ros.errors import LnnError
from lnn_ros.simulation.expert import Expert
from lnn_ros.simulation.fleet import MOST, Fleet, starts
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.simulator import (
    CONTROL_PERIOD_NS,
    Outcome,
    Simulator,
    SimulatorOptions,
)
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.world import distance_to
from lnn_ros.simulation.worlds import make_world

TASK = Task.load("fly_to_target")
WORLD = make_world(300_000, TASK)
BLIND = SimulatorOptions(render=False)
HALF_A_SECOND = START_NS + 500_000_000


def as_bytes(deliveries):
    return [(d.stream, d.stamp_ns, d.arrival_ns, d.value.tobytes()) for d in deliveries]


def test_one_vehicle_is_a_simulator():
    """Byte for byte, whatever else the fleet can do."""
    fleet, alone = Fleet(WORLD, 1, task=TASK), Simulator(WORLD, task=TASK)
    for one in (fleet.simulators[0], alone):
        one.command([1.0, 0.0, 0.1, 0.2])
    assert as_bytes(fleet.advance(HALF_A_SECOND)[0]) == as_bytes(alone.advance(HALF_A_SECOND))


def test_two_fly_as_often_as_one_likes_with_the_same_bytes():
    """For any stride; and each has its own wind and errors."""
    def flight(stride_ns):
        fleet, found = Fleet(WORLD, 2, task=TASK), [[], []]
        for simulator in fleet.simulators:
            simulator.command([1.0, 0.0, 0.0, 0.1])
        while fleet.time_ns < HALF_A_SECOND:
            for all_of_it, new in zip(found, fleet.advance(fleet.time_ns + stride_ns), strict=True):
                all_of_it += as_bytes(new)
        return found

    first = flight(50_000_000)
    assert flight(2_500_000) == first
    assert [row[:3] for row in first[0]] == [row[:3] for row in first[1]]
    assert first[0] != first[1]


@pytest.mark.parametrize("seed", range(300_000, 300_010))
def test_starts_are_free_and_apart(seed):
    world = make_world(seed, TASK)
    found = starts(world, TASK, MOST)
    assert found[0] == (world.start, world.start_yaw)
    target = world.target.position
    distances = [math.dist(place[:2], target[:2]) for place, _ in found]
    np.testing.assert_allclose(distances, distances[0])
    bearings = [yaw - math.atan2(target[1] - y, target[0] - x) for (x, y, _), yaw in found]
    assert all(abs(math.remainder(b - bearings[0], 2 * math.pi)) < 1e-9 for b in bearings)
    for (place, _), (other, _) in combinations(found, 2):
        assert math.dist(place, other) > 0.99 * distances[0]  # 60 degrees: an even triangle
    for place, _ in found[1:]:
        assert min(distance_to(s, place) for s in world.solids) >= TASK.scene.area.free_at_start


def test_they_see_each_other():
    """What hovers ahead of the first is in its picture."""
    one, two = Fleet(WORLD, 2, task=TASK).simulators
    ahead = one.position + one.truth.rotation @ np.array([1.5, 0.2, 0.0])
    frames = []
    for others in ((), ((ahead, two.truth.rotation),)):
        simulator = Simulator(WORLD, task=TASK, others=1)
        simulator.meet(others)
        frames.append(next(d.value for d in simulator.advance(START_NS + 100_000_000)
                           if d.stream == "camera"))
    assert (frames[0] != frames[1]).any(axis=-1).sum() > 20


def test_a_collision_ends_the_flight_of_both():
    """They fly at each other, past all trees, high above the ground."""
    fleet = Fleet(WORLD, 2, BLIND, TASK)
    one, two = fleet.simulators
    while all(s.outcome is Outcome.FLYING for s in fleet.simulators) and one.truth.position[2] < 12:
        for simulator in fleet.simulators:
            simulator.command([0.0, 0.0, 1.0, 0.0])
        fleet.advance(fleet.time_ns + CONTROL_PERIOD_NS)
    while all(s.outcome is Outcome.FLYING for s in fleet.simulators):
        for me, you in ((one, two), (two, one)):
            way = me.truth.rotation.T @ (you.position - me.position)
            way /= np.linalg.norm(way)
            me.command([*way, 0.0])
        fleet.advance(fleet.time_ns + CONTROL_PERIOD_NS)
    fleet.advance(fleet.time_ns + CONTROL_PERIOD_NS)
    assert one.outcome is two.outcome is Outcome.CONTACT
    assert math.dist(one.position, two.position) < 2.5 * TASK.vehicle.radius
    assert one.clearance < 0.05 and two.clearance < 0.05


def test_both_arrive_when_the_expert_flies_both():
    fleet = Fleet(WORLD, 2, BLIND, TASK)
    experts = [Expert(s.world, task=TASK) for s in fleet.simulators]
    while any(s.outcome is Outcome.FLYING for s in fleet.simulators):
        for simulator, expert in zip(fleet.simulators, experts, strict=True):
            simulator.command(expert.command(simulator.truth))
        fleet.advance(fleet.time_ns + CONTROL_PERIOD_NS)
    assert [s.outcome for s in fleet.simulators] == [Outcome.ARRIVED] * 2


@pytest.mark.parametrize("count", [0, MOST + 1])
def test_too_many_or_none_are_named(count):
    with pytest.raises(LnnError, match=f"{count} vehicles are to fly, expected 1 to {MOST}"):
        Fleet(WORLD, count, BLIND, TASK)
