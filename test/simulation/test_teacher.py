"""The teacher: it arrives by what its camera has shown it, and by nothing else."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lnn_ros.simulation.camera import CameraGeometry, Renderer
from lnn_ros.simulation.expert import Expert
from lnn_ros.simulation.interruption import Lost
from lnn_ros.simulation.shifts import Shift
from lnn_ros.simulation.simulator import (
    CONTROL_PERIOD_NS,
    Outcome,
    Simulator,
    SimulatorOptions,
    Truth,
)
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.teacher import (
    MEMORY_S,
    SEARCH_GOES_M,
    SEARCH_HEIGHT,
    SEARCH_TURN,
    SEARCH_YAW_RATE,
    Teacher,
)
from lnn_ros.simulation.world import Shape
from lnn_ros.simulation.worlds import make_world

TASK = Task.load("fly_to_target")
BLIND = SimulatorOptions(render=False)
CAMERA = CameraGeometry()


def fly(seed, shifts=()):
    """Fly a world by the teacher's word: the outcome, and when it searched."""
    world = make_world(seed, TASK, shifts)
    simulator = Simulator(world, BLIND, task=TASK)
    teacher = Teacher(world, simulator.geometry, task=TASK)
    searched = []
    while simulator.outcome is Outcome.FLYING:
        teacher.look(simulator.truth)
        simulator.command(teacher.command(simulator.truth))
        searched.append(teacher.searches)
        simulator.advance(simulator.time_ns + CONTROL_PERIOD_NS)
    return simulator.outcome, np.array(searched)


def standing(world, yaw, seconds=0.0, place=None):
    """A vehicle that stands at the start, or elsewhere, and looks somewhere."""
    c, s = math.cos(yaw), math.sin(yaw)
    rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return Truth(round(seconds * 1e9), np.array(place or world.start), rotation, np.zeros(3),
                 np.zeros(3), yaw)


def bearing(world):
    """Direction of the target from the start, rad."""
    x, y = (a - b for a, b in zip(world.target.position[:2], world.start[:2], strict=True))
    return math.atan2(y, x)


def test_it_arrives_wherever_the_target_is_at_the_start():
    ahead = [fly(seed) for seed in range(300_000, 300_015)]
    assert sum(outcome is Outcome.ARRIVED for outcome, _ in ahead) >= 14
    assert not any(outcome is Outcome.CONTACT for outcome, _ in ahead)
    behind = [fly(seed, [Shift("behind", 150.0)]) for seed in range(300_000, 300_008)]
    assert sum(outcome is Outcome.ARRIVED for outcome, _ in behind) >= 7
    assert all(searched[0] for _, searched in behind)


def test_it_finds_a_way_through_a_crowd_of_small_things():
    """Over those that are low: a teacher that timed out there taught just that."""
    flown = [fly(seed, [Shift("distractors", 150.0)])[0] for seed in range(300_000, 300_006)]
    assert sum(outcome is Outcome.ARRIVED for outcome in flown) >= 5


def test_what_its_camera_has_not_shown_changes_nothing():
    world = make_world(300_000, TASK)
    truth = standing(world, bearing(world))
    seen = set(np.unique(Renderer(world, CAMERA, samples=1).cast(
        truth.position, truth.rotation)[0]).tolist())
    shown = tuple(s for k, s in enumerate(world.solids) if k in seen or s is world.target)
    assert 5 < len(shown) < len(world.solids)
    wishes = []
    for solids in (world.solids, shown):
        teacher = Teacher(replace(world, solids=solids), CAMERA, task=TASK)
        teacher.look(truth)
        wishes.append(teacher.command(truth))
    np.testing.assert_array_equal(*wishes)


def test_an_obstacle_counts_from_when_it_is_seen_until_the_end():
    world = make_world(300_000, TASK)
    x, y = world.target.position[:2]
    far, yaw = math.hypot(x, y), math.atan2(y, x)
    pillar = next(s for s in world.solids if s.shape is Shape.CYLINDER and s is not world.target)
    at = 2.0 / far
    aside = 0.3 / far  # a part of the target is in view beside it
    pillar = replace(pillar, position=(x * at - y * aside, y * at + x * aside, 1.5),
                     size=(0.3, 0.3, 1.5))
    bare, blocked = (replace(world, solids=s) for s in ((world.target,), (world.target, pillar)))
    free, warned, sideways = (Teacher(w, CAMERA, task=TASK) for w in (bare, blocked, blocked))
    for teacher in (free, warned):
        teacher.look(standing(world, yaw, 0.0))
    sideways.look(standing(world, yaw, 0.0), Lost.FRAMES)
    truth = standing(world, yaw, 0.1)
    straight, around = free.command(truth), warned.command(truth)
    assert abs(straight[1]) < 0.05 < abs(around[1])
    assert sideways.searches, "no frame, no map"
    warned.look(standing(world, yaw + 2.0, 0.5))
    np.testing.assert_allclose(warned.command(standing(world, yaw, 0.6))[1], around[1], atol=0.05)


def test_a_target_is_remembered_for_a_while_then_searched_by_the_rule():
    world = make_world(300_000, TASK)
    world = replace(world, solids=(world.target,))
    teacher, yaw = Teacher(world, CAMERA, task=TASK), bearing(world)
    teacher.look(standing(world, yaw))
    assert not teacher.searches
    away = yaw + math.pi / 2
    teacher.look(standing(world, away, MEMORY_S))
    assert not teacher.searches
    turn = teacher.command(standing(world, away, MEMORY_S))[3]
    assert turn < -0.5, "back to the right, where it was"
    teacher.look(standing(world, yaw, MEMORY_S), Lost.TARGET)
    assert not teacher.searches
    begun = MEMORY_S + 0.1
    teacher.look(standing(world, away, begun))
    assert teacher.searches and not teacher.turns
    ahead = teacher.command(standing(world, away, begun))
    assert ahead[0] > 0.5 and abs(ahead[3]) < 0.1
    # It was seen before: the way comes first, and the word stays until the vehicle has gone it,
    # however long that takes.
    teacher.look(standing(world, away, begun + 20.0))
    assert not teacher.turns
    # Who has looked away goes on where it looks now.
    astray = teacher.command(standing(world, away + 2.0, begun + 20.0))
    assert astray[0] > 0.5 and abs(astray[3]) < 0.1
    x, y, z = world.start
    there = (x + (SEARCH_GOES_M + 0.1) * math.cos(away),
             y + (SEARCH_GOES_M + 0.1) * math.sin(away), z)
    late = begun + 21.0
    teacher.look(standing(world, away, late, there))
    low = teacher.command(standing(world, away, late, there))
    assert teacher.turns and low[3] == SEARCH_YAW_RATE and low[2] > 0.3 and not low[:2].any()
    high = teacher.command(standing(world, away, late, (*there[:2], SEARCH_HEIGHT)))
    assert high[2] == pytest.approx(0.0)
    teacher.look(standing(world, away, late + 20.0, there))
    assert teacher.turns, "it has not turned yet"
    for turned in np.arange(1.0, SEARCH_TURN + 1.0):
        assert teacher.turns
        teacher.look(standing(world, away + turned, late + 20.0, there), Lost.TARGET)
    assert teacher.searches and not teacher.turns
    teacher.look(standing(world, yaw, late + 20.1))
    assert not teacher.searches


def test_who_has_seen_nothing_yet_turns_first_and_stands_until_there_is_a_frame():
    world = make_world(300_000, TASK)
    teacher, away = Teacher(world, CAMERA, task=TASK), bearing(world) + math.pi
    truth = standing(world, away)
    teacher.look(truth, Lost.FRAMES)
    assert not teacher.command(truth).any()
    teacher.look(truth)
    assert teacher.turns and teacher.command(truth)[3] == SEARCH_YAW_RATE
    slow = replace(TASK, vehicle=replace(TASK.vehicle, max_yaw_rate=0.7))
    other = Teacher(world, CAMERA, task=slow)
    other.look(truth)
    assert other.command(truth)[3] == 0.7, "no faster than the vehicle can"
    for turned in np.arange(1.0, SEARCH_TURN + 1.0):
        assert teacher.turns
        teacher.look(standing(world, away + turned), Lost.TARGET)
    assert teacher.searches and not teacher.turns


def test_its_search_leads_on_and_not_round_in_a_square():
    world = make_world(300_000, TASK)
    world = replace(world, solids=(world.target,))
    simulator, teacher = Simulator(world, BLIND, task=TASK), Teacher(world, CAMERA, task=TASK)
    start, gone = simulator.position, []
    while simulator.outcome is Outcome.FLYING:
        teacher.look(simulator.truth, Lost.TARGET)
        simulator.command(teacher.command(simulator.truth))
        simulator.advance(simulator.time_ns + CONTROL_PERIOD_NS)
        gone.append(float(np.linalg.norm(simulator.position[:2] - start[:2])))
    assert gone[-1] > 0.95 * max(gone) > 10.0


def test_a_target_hidden_by_the_camera_is_not_seen():
    world = make_world(300_000, TASK)
    world = replace(world, solids=(world.target,))
    teacher, yaw = Teacher(world, CAMERA, task=TASK), bearing(world)
    teacher.look(standing(world, yaw), Lost.TARGET)
    assert teacher.searches
    teacher.look(standing(world, yaw, 0.1))
    assert not teacher.searches


def test_what_dirt_covers_is_not_on_its_map():
    world = make_world(300_000, TASK)
    truth, dirt = standing(world, bearing(world)), [Shift("dirt", 0.95)]
    clear, covered = (Teacher(world, CAMERA, task=TASK, shifts=s) for s in ([], dirt))
    for teacher in (clear, covered):
        teacher.look(truth)
    assert covered.searches and not clear.searches


def test_it_does_not_know_how_a_target_walks_on_while_it_is_hidden():
    task = Task.load("follow_target")
    world = make_world(300_000, task)
    walk, shown, knots = world.walk, 3.0, math.ceil(3.0 / world.walk.step_s) + 3
    x, y = walk.places[knots]
    turned = tuple((2 * x - px, 2 * y - py) for px, py in walk.places[knots:])
    other = replace(world, walk=replace(walk, places=(*walk.places[:knots], *turned)))
    wishes = []
    for one in (world, other):
        simulator = Simulator(one, BLIND, task=task)
        teacher, said = Teacher(one, simulator.geometry, task=task), []
        while simulator.time_s < shown + 3.0:
            lost = Lost.TARGET if simulator.time_s > shown else None
            teacher.look(simulator.truth, lost)
            said.append(teacher.command(simulator.truth))
            simulator.command(said[-1])
            simulator.advance(simulator.time_ns + CONTROL_PERIOD_NS)
        wishes.append(said)
    assert math.dist(walk.at(shown + 3.0), other.walk.at(shown + 3.0)) > 0.5
    np.testing.assert_array_equal(*wishes)


def test_it_keeps_to_its_way_where_another_is_hardly_better():
    world = make_world(300_000, TASK)
    x, y = world.target.position[:2]
    yaw, side = math.atan2(y, x), np.array([-y, x]) / math.hypot(x, y)
    pillar = next(s for s in world.solids if s.shape is Shape.CYLINDER and s is not world.target)

    def beside(ahead, left):
        px, py = np.array([x, y]) * ahead / math.hypot(x, y) + left * side
        return replace(pillar, name=f"at_{left}", position=(px, py, 1.5), size=(0.3, 0.3, 1.5))

    def passes(solids, keep=()):
        """On which side it passes, and its way."""
        expert = Expert(replace(world, solids=(world.target, *solids)), task=TASK, keep=keep)
        way = expert.way(standing(world, yaw), 6.0)
        off = np.array(way) @ side
        return np.sign(off[np.abs(off).argmax()]), way

    first = beside(3.0, 0.1)
    right, way = passes([first])
    assert right == -1
    both = [first, beside(4.5, -0.4)]
    assert passes(both)[0] == 1 and passes(both, way)[0] == right
    fence = [first, *(beside(4.5, -0.4 - 0.8 * k) for k in range(5))]
    assert passes(fence, way)[0] == 1, "much better: it turns back"
