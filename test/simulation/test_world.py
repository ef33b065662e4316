"""Worlds come from their seed and their task file, and are as hard as the file says."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.resources import share_path
from lnn_ros.simulation import seeds
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.world import Material, Pattern, Role, Shape, Solid, distance_to
from lnn_ros.simulation.worlds import make_world

TASK = Task.load("fly_to_target")
SEEDS = st.integers(300_000, 10_000_000)
PLAIN = Material(Pattern.PLAIN, (1, 1, 1), (1, 1, 1), 1.0)


def obstacles(world):
    """Names of the world's obstacles, each once whatever it is made of."""
    return {tuple(s.name.split("_")[:2]) for s in world.solids
            if s.role in (Role.TREE, Role.PILLAR, Role.WALL)}


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_a_world_keeps_every_promise_of_its_task(seed):
    world = make_world(seed, TASK)
    assert world == make_world(seed, TASK)
    low, high = TASK.scene.obstacles.count
    # A very full world may leave out the last few that find no room.
    assert low - 2 <= len(obstacles(world)) <= high

    dx, dy = (t - s for t, s in zip(world.target.position[:2], world.start[:2], strict=True))
    assert TASK.scene.target.distance[0] <= math.hypot(dx, dy) <= TASK.scene.target.distance[1]
    bearing = math.remainder(math.atan2(dy, dx) - world.start_yaw, 2 * math.pi)
    half_width = math.atan2(world.target.size[0], math.hypot(dx, dy))
    assert abs(bearing) + half_width < math.radians(TASK.camera.field_of_view / 2)
    assert world.target.size == (TASK.scene.target.width / 2, TASK.scene.target.width / 2,
                                 TASK.scene.target.height / 2)

    for solid in world.solids:
        assert distance_to(solid, world.start) > TASK.vehicle.radius + 0.5
        x_low, x_high, y_low, y_high = world.bounds
        assert x_low <= solid.position[0] <= x_high and y_low <= solid.position[1] <= y_high
    assert len({s.name for s in world.solids}) == len(world.solids)
    assert math.isclose(math.hypot(*world.light.direction), 1.0)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_obstacles_leave_gaps_that_the_vehicle_fits_through(seed):
    world = make_world(seed, TASK)
    standing = [s for s in world.solids if s.shape == Shape.CYLINDER and s.role is not Role.TARGET]
    for i, a in enumerate(standing):
        for b in standing[:i]:
            apart = math.dist(a.position[:2], b.position[:2]) - a.size[0] - b.size[0]
            assert apart >= TASK.scene.obstacles.gap - 1e-9


def test_the_straight_line_is_blocked_in_most_worlds():
    worlds = [make_world(seed, TASK) for seed in range(300_000, 300_120)]
    assert sum(w.blocked(TASK.vehicle.radius) for w in worlds) / len(worlds) >= 0.7


def test_worlds_of_different_seeds_differ_in_everything_that_is_drawn():
    a, b = make_world(300_000, TASK), make_world(300_001, TASK)
    assert a.light != b.light and a.ground != b.ground and a.start_yaw != b.start_yaw
    assert a.target.position != b.target.position and a.target.material != b.target.material


def test_seed_ranges_are_disjoint():
    assert seeds.TRAIN.stop == seeds.VALIDATION.start
    assert seeds.VALIDATION.stop == seeds.REPORTED.start


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([Shape.BOX, Shape.CYLINDER]), st.floats(-math.pi, math.pi),
       st.tuples(*[st.floats(-3, 3)] * 3), st.floats(-math.pi, math.pi), st.floats(0.05, 2.0))
def test_distance_is_what_one_walks_from_the_surface(shape, yaw, centre, direction, walked):
    """A point `walked` metres off a side, along its normal, is at that distance."""
    size = (0.4, 0.4, 0.7) if shape == Shape.CYLINDER else (0.4, 0.2, 0.7)
    solid = Solid("s", Role.PILLAR, shape, centre, size, yaw, PLAIN)
    heading = direction if shape == Shape.CYLINDER else yaw
    point = (centre[0] + math.cos(heading) * (0.4 + walked),
             centre[1] + math.sin(heading) * (0.4 + walked), centre[2])
    assert math.isclose(distance_to(solid, point), walked, abs_tol=1e-9)
    above = (centre[0], centre[1], centre[2] + 0.7 + walked)
    assert math.isclose(distance_to(solid, above), walked, abs_tol=1e-9)


def test_distance_to_an_ellipsoid_is_zero_on_it_and_exact_for_a_sphere():
    crown = Solid("c", Role.TREE, Shape.ELLIPSOID, (1.0, 2.0, 3.0), (0.5, 0.8, 1.2), 0.3, PLAIN)
    on_it = (1.0 + 0.5 * math.cos(0.3), 2.0 + 0.5 * math.sin(0.3), 3.0)
    assert abs(distance_to(crown, on_it)) < 1e-12
    assert distance_to(crown, crown.position) < 0.0
    ball = Solid("b", Role.DISTRACTOR, Shape.ELLIPSOID, (0.0, 0.0, 0.0), (0.5,) * 3, 0.0, PLAIN)
    assert math.isclose(distance_to(ball, (2.0, 0.0, 0.0)), 1.5)


@pytest.mark.parametrize("change, said", [
    (("  max_speed: 2.0", "  max_speed: fast"), "vehicle.max_speed must be a number"),
    (("  max_speed: 2.0", "  max_speed: -1.0"), "vehicle.max_speed must be a number >= 0"),
    (("  max_speed: 2.0", "  max_speed: .nan"), "vehicle.max_speed must be a number"),
    (("  distance: [8.0, 15.0]", "  distance: [15.0, 8.0]"), "target.distance must be a range"),
    (("  width: 64", "  width: 64.5"), "camera.width must be a positive integer"),
    (("  gap: 1.1", "  gaps: 1.1"), "missing keys ['gap'], unknown keys ['gaps']"),
    (("success:", "sucess:"), "must hold exactly the sections"),
    (("success:", "success: ["), "cannot be read"),
])
def test_a_wrong_task_file_is_named_with_its_fault(tmp_path, change, said):
    text = share_path("config/tasks/fly_to_target.yaml").read_text()
    assert change[0] in text
    path = tmp_path / "hard.yaml"
    path.write_text(text.replace(*change))
    with pytest.raises(LnnError) as error:
        Task.load(str(path))
    assert said in str(error.value) and str(path) in str(error.value)


def test_an_unknown_task_says_where_it_looked():
    with pytest.raises(LnnError, match=r"config/tasks/nowhere\.yaml was not found"):
        Task.load("nowhere")
