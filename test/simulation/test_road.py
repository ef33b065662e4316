"""A road is as its task says, is to be seen, and a lap of it is judged as it was driven."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import solid, world_of

from lnn_ros.errors import LnnError
from lnn_ros.simulation.camera import CameraGeometry, Renderer
from lnn_ros.simulation.centreline import Centreline, slabs
from lnn_ros.simulation.referee import Outcome, make_referee
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.shifts import Shift
from lnn_ros.simulation.simulator import Simulator, SimulatorOptions
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.world import Role, Shape, distance_to
from lnn_ros.simulation.worlds import make_world

TASK = Task.load("lane")
WORLD = make_world(300_000, TASK)
LINE = Centreline(WORLD.road.points)
HALF = WORLD.road.width / 2
CIRCLE = Centreline([(5.0 * math.cos(a), 5.0 * math.sin(a))
                     for a in np.linspace(0.0, 2.0 * math.pi, 200, endpoint=False)])


def beside(along, offset, line=LINE):
    """Place to the left of the centreline."""
    (x, y), heading = line.at(along), line.heading(along)
    return x - offset * math.sin(heading), y + offset * math.cos(heading)


@settings(max_examples=15, deadline=None)
@given(st.integers(300_000, 10_000_000))
def test_a_road_keeps_every_promise_of_its_task(seed):
    world, scene = make_world(seed, TASK), TASK.scene
    assert world == make_world(seed, TASK)
    line = Centreline(world.road.points)
    # Evenly spaced points cut a curve's corners a little.
    assert scene.length[0] - 0.2 < line.length < scene.length[1] + 0.2
    assert world.road.width == scene.width
    for along in np.arange(0.0, line.length, 0.2):
        assert abs(line.curvature(along, 0.8)) <= 1.05 / scene.least_radius
    assert world.start == (0.0, 0.0, TASK.vehicle.wheel_radius)
    aside = math.remainder(line.heading(0.0) - world.start_yaw, 2 * math.pi)
    assert aside == pytest.approx(0.0, abs=1e-6)
    x_low, x_high, y_low, y_high = world.bounds
    for x, y in world.road.points:
        assert x_low < x < x_high and y_low < y < y_high
    for trunk in (s for s in world.solids if s.name.endswith("trunk")):
        free = abs(line.find(*trunk.position[:2])[1]) - trunk.size[0] - scene.width / 2
        assert scene.trees.beside[0] - 1e-6 <= free <= scene.trees.beside[1] + 1e-6
    assert world.target.role is Role.TARGET
    assert distance_to(world.target, world.start) > TASK.vehicle.radius


def test_a_road_that_cannot_be_is_refused():
    with pytest.raises(LnnError, match=r"no road of .* m with curves of 50"):
        make_world(300_000, replace(TASK, scene=replace(TASK.scene, least_radius=50.0)))


def test_a_centreline_knows_where_a_place_is_along_it_and_how_far_aside():
    assert CIRCLE.length == pytest.approx(2 * math.pi * 5.0, rel=1e-3)
    for along in (0.0, 3.0, 20.0, CIRCLE.length - 0.01):
        for offset in (-0.4, 0.0, 0.4):
            found, aside = CIRCLE.find(*beside(along, offset, CIRCLE))
            assert math.remainder(found - along, CIRCLE.length) == pytest.approx(0.0, abs=0.05)
            assert aside == pytest.approx(offset, abs=0.01)
    assert CIRCLE.curvature(7.0) == pytest.approx(0.2, rel=0.05)
    # Near a place on it, another part is not found, be it as near as it may.
    far, _ = CIRCLE.find(-5.0, 0.0, near=0.0, within=2.0)
    assert abs(math.remainder(far, CIRCLE.length)) <= 2.0
    grid = CIRCLE.distances(np.array([0.0, 5.5]), np.array([0.0]))
    assert grid[0] == pytest.approx([5.0, 0.5], abs=0.01)


def test_the_camera_sees_surface_lines_and_grass_where_they_are():
    geometry = CameraGeometry(9, 9, math.radians(2.0), position=(0.0, 0.0, 0.0))
    down = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    plain = world_of(road=replace(WORLD.road, surface=replace(
        WORLD.road.surface, color=(0.1, 0.1, 0.1), accent=(0.1, 0.1, 0.1)),
        lines=replace(WORLD.road.lines, color=(1.0, 1.0, 1.0), accent=(1.0, 1.0, 1.0))),
        bounds=WORLD.bounds)
    renderer = Renderer(plain, geometry)

    def seen(offset):
        return renderer.render((*beside(6.0, offset), 1.0), down).mean()

    line = HALF - WORLD.road.line_width / 2
    grass = seen(HALF + 0.2)
    for side in (-1, 1):
        assert seen(side * 0.2) < 0.6 * grass
        assert seen(side * line) > 1.2 * grass
        assert seen(side * (HALF + 0.1)) == pytest.approx(grass, rel=0.05)


def test_flat_boxes_cover_the_road_and_end_at_its_edges():
    boxes = list(slabs(WORLD.road))
    assert len({name for name, *_ in boxes}) == len(boxes)
    surface = [solid(name, Shape.BOX, centre, half, yaw) for name, centre, half, yaw, material
               in boxes if material is WORLD.road.surface]
    for along in np.arange(0.0, LINE.length, 0.37):
        for offset in (-HALF + 0.08, 0.0, HALF - 0.08):
            place = (*beside(along, offset), 0.002)
            assert min(distance_to(box, place) for box in surface) < 0.0
        for offset in (-HALF - 0.06, HALF + 0.06):
            assert min(distance_to(box, (*beside(along, offset), 0.002)) for box in surface) > 0.0


class Driven:
    """What a referee sees of a vehicle."""

    speed, in_contact = 0.8, False

    def __init__(self, along, offset=0.0):
        self.place = (*beside(along, offset), 0.08)


def judged(places, task=TASK):
    """Outcome and distance after each place, a tenth of a second apart."""
    referee, found = make_referee(WORLD, task, lambda: True), []
    for k, vehicle in enumerate(places):
        now = START_NS + k * 100_000_000
        outcome = referee.look(now, vehicle)
        found.append((outcome, referee.distance(vehicle.place, now)))
        if outcome is not Outcome.FLYING:
            break
    return found


def test_a_full_lap_is_an_arrival_and_no_part_of_it_is():
    found = judged([Driven(along) for along in np.arange(0.0, LINE.length + 0.2, 0.1)])
    assert [outcome for outcome, _ in found[:-1]] == [Outcome.FLYING] * (len(found) - 1)
    assert found[-1][0] is Outcome.ARRIVED and abs(found[-1][1]) < 0.15
    left = [distance for _, distance in found]
    assert left[0] == pytest.approx(LINE.length) and (np.diff(left) < 0).all()


def test_driving_backwards_over_the_line_is_no_lap():
    there = np.r_[np.arange(0.0, 3.0, 0.1), np.arange(3.0, -3.0, -0.1), np.arange(-3.0, 0.5, 0.1)]
    outcomes = {outcome for outcome, _ in judged([Driven(along) for along in there])}
    assert outcomes == {Outcome.FLYING}


@pytest.mark.parametrize("offset", [-0.01, 0.01])
def test_beyond_an_edge_it_is_off_the_road(offset):
    inside, outside = (math.copysign(HALF + by, offset) for by in (-0.01, 0.01))
    found = judged([Driven(1.0), Driven(1.1, inside), Driven(1.2, outside)])
    assert [outcome for outcome, _ in found] == [Outcome.FLYING, Outcome.FLYING, Outcome.OFF_ROAD]


def test_a_contact_and_the_end_of_time_end_a_lap():
    touched = Driven(1.0)
    touched.in_contact = True
    assert judged([Driven(0.9), touched])[-1][0] is Outcome.CONTACT
    hasty = replace(TASK, success=replace(TASK.success, time_limit=0.5))
    assert judged([Driven(0.0)] * 10, hasty)[-1][0] is Outcome.TIMEOUT


def test_a_lap_wants_a_road():
    forest = Task.load("drive_to_target")
    world = make_world(300_000, forest)
    with pytest.raises(LnnError, match=r"task drive_to_target: success.kind lap found"):
        make_referee(world, replace(forest, success=TASK.success), lambda: True)


def test_the_simulator_says_that_the_road_was_left():
    simulator = Simulator(WORLD, SimulatorOptions(render=False), task=TASK)
    while simulator.outcome is Outcome.FLYING:
        simulator.command([0.8, 0.0, 0.0, 0.0])
        simulator.advance(simulator.time_ns + 50_000_000)
    assert simulator.outcome is Outcome.OFF_ROAD
    assert LINE.find(*simulator.position[:2])[1] == pytest.approx(
        math.copysign(HALF, LINE.find(*simulator.position[:2])[1]), abs=0.06)


def test_shifts_of_the_forest_refuse_a_road_and_those_of_the_eye_do_not():
    for name in ("clutter:2", "stones:1", "behind:150", "range:2", "distractors:4"):
        with pytest.raises(LnnError, match=r"task lane, expected a task whose scene is a forest"):
            make_world(300_000, TASK, [Shift.parse(name)])
    snow = Shift.parse("winter:1").world(WORLD)
    assert snow.road.surface != WORLD.road.surface and snow.road.points == WORLD.road.points
    fog = SimulatorOptions(shifts=(Shift.parse("fog:1"), Shift.parse("tilt:5")))
    simulator = Simulator(WORLD, fog, task=TASK)
    assert simulator.geometry.tilt == pytest.approx(math.radians(TASK.camera.tilt + 5.0))
    assert any(d.stream == "camera" for d in simulator.advance(START_NS + 100_000_000))
