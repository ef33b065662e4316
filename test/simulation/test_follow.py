"""A target that walks is where it is for body, camera, referee, hints and expert alike."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import AHEAD, CENTRED, LEVEL, RED, solid, world_of

from lnn_ros.cli import main
from lnn_ros.learning.architecture import virtual_camera
from lnn_ros.learning.flights import notes, read_flight
from lnn_ros.learning.hints import COLUMNS, Hinter
from lnn_ros.learning.rollout import ExpertAgent, fly
from lnn_ros.simulation.camera import Renderer
from lnn_ros.simulation.conditions import shifted
from lnn_ros.simulation.experts import make_expert
from lnn_ros.simulation.fleet import Fleet
from lnn_ros.simulation.follower import Follower
from lnn_ros.simulation.interruption import IN_VIEW_PIXELS
from lnn_ros.simulation.mujoco_camera import MujocoRenderer
from lnn_ros.simulation.simulator import CONTROL_PERIOD_NS, Outcome, Simulator, SimulatorOptions
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.walks import SETTLES_S, Guess, Walk
from lnn_ros.simulation.world import Role, Shape, distance_to
from lnn_ros.simulation.worlds import make_world

TASK = Task.load("follow_target")
GOAL, WALK = TASK.success, TASK.scene.walk
BLIND = SimulatorOptions(render=False)
SEEDS = st.integers(300_000, 10_000_000)
WORLD = make_world(300_000, TASK)


def test_a_walk_goes_there_and_back_smoothly():
    walk = Walk(0.5, ((0.0, 0.0), (0.0, 0.0), (0.5, 0.0), (1.0, 0.5), (1.0, 0.5)))
    assert walk.time_s == 2.0
    for k, place in enumerate(walk.places):
        for at in (0.5 * k, 4.0 - 0.5 * k, 4.0 + 0.5 * k):
            assert walk.at(at) == pytest.approx(place, abs=1e-12)
    assert walk.at(-1.0) == (0.0, 0.0) == walk.at(0.0)
    for at in np.linspace(0.01, 8.0, 400):
        before, after = (np.array(walk.at(at + d)) for d in (-1e-6, 1e-6))
        np.testing.assert_allclose(walk.velocity(at), (after - before) / 2e-6, atol=1e-4)
    assert Walk(1.0, ((2.0, 3.0),)).at(7.0) == (2.0, 3.0)
    assert Walk(1.0, ((2.0, 3.0),)).velocity(7.0) == (0.0, 0.0)


def test_a_guess_goes_on_as_seen_and_settles():
    guess = Guess(2.0, (1.0, -1.0), (0.8, 0.4))
    assert guess.at(1.0) == guess.at(2.0) == (1.0, -1.0) and guess.velocity(2.0) == (0.8, 0.4)
    for at in np.linspace(2.01, 9.0, 50):
        before, after = (np.array(guess.at(at + d)) for d in (-1e-6, 1e-6))
        np.testing.assert_allclose(guess.velocity(at), (after - before) / 2e-6, atol=1e-6)
    assert guess.at(1e3) == pytest.approx((1.0 + 0.8 * SETTLES_S, -1.0 + 0.4 * SETTLES_S))


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_the_way_keeps_every_promise_of_its_task(seed):
    world = make_world(seed, TASK)
    assert world == make_world(seed, TASK)
    assert world.walk is not None and world.walk.time_s == pytest.approx(WALK.time)
    assert world.solids[-1] is world.target and world.target.role is Role.TARGET
    away = math.dist(world.target.position[:2], world.start[:2])
    low, high = TASK.scene.target.distance
    assert low - 0.25 <= away <= high + 0.25, "where it stands is smoothed with its first steps"
    at = np.arange(0.0, WALK.time, 0.1)
    places = np.array([world.walk.at(t) for t in at])
    velocity = np.array([world.walk.velocity(t) for t in at])
    speed = np.hypot(*velocity.T)
    assert speed.max() <= WALK.speed[1] + 0.02
    assert speed[0] == pytest.approx(0.0, abs=0.05) and (speed < 0.05).any()
    assert np.hypot(*np.diff(velocity, axis=0).T).max() / 0.1 < 3.5, "no jerks"
    radius, height = world.target.size[0], 2 * world.target.size[2]
    for x, y in places[::3]:
        for other in world.solids[:-1]:
            if other.position[2] - other.size[2] < height:
                z = min(other.position[2], height)
                assert distance_to(other, (x, y, z)) - radius > 0.4 * WALK.room


def test_it_walks_far_enough_to_be_followed():
    lengths = []
    for seed in range(300_000, 300_020):
        walk = make_world(seed, TASK).walk
        places = np.array([walk.at(t) for t in np.arange(0.0, GOAL.time_limit, 0.1)])
        lengths.append(np.hypot(*np.diff(places, axis=0).T).sum())
    assert min(lengths) > 5.0 and np.mean(lengths) > 12.0


def ahead(*others, places=((4.0, 0.0), (4.0, 1.5))):
    """A world whose target walks from straight ahead to the left, in one second."""
    target = solid("target", Shape.CYLINDER, (4.0, 0.0, 1.0), (0.3, 0.3, 1.0), material=RED,
                   role=Role.TARGET)
    return replace(world_of(*others, target), walk=Walk(1.0, places))


def test_the_camera_sees_it_where_it_is_and_its_shadow_with_it():
    world = ahead()
    renderer = Renderer(world, CENTRED)
    for at in (0.0, 0.5, 1.0, 0.0):
        mask = renderer.target_mask(AHEAD, LEVEL, at)
        bearing = math.atan2(world.target_at(at)[1], 4.0)
        column = 32 - 32 * math.tan(bearing)
        assert mask.any(0).nonzero()[0].mean() + 0.5 == pytest.approx(column, abs=1.0)
        # As if it had always stood there, but for the darker ground near it.
        stands = replace(world.target, position=world.target_at(at))
        fixed = Renderer(replace(world, target=stands, solids=(stands,), walk=None), CENTRED)
        picture = renderer.render(AHEAD, LEVEL, at_s=at).astype(int)
        other = fixed.render(AHEAD, LEVEL).astype(int)
        assert (np.abs(picture - other).max(-1) > 40).mean() < 0.02
        hidden = renderer.render(AHEAD, LEVEL, at_s=at, target=False).astype(int)
        assert (np.abs(picture - hidden).max(-1) > 10)[mask].mean() > 0.9
    below = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # looks down
    left, dark = [], []
    for at in (0.0, 1.0):
        ground = renderer.render((4.0, 0.5, 6.0), below, at_s=at, target=False).astype(int)
        shadow = ground.sum(-1) < 0.7 * np.median(ground.sum(-1))
        dark.append(shadow.sum())
        left.append(shadow.any(0).nonzero()[0].mean())
    assert min(dark) > 20 and abs(left[0] - left[1]) > 4.0, "the shadow walks"


def test_mujocos_renderer_draws_it_where_it_is():
    world = ahead()
    ours, theirs = Renderer(world, CENTRED), MujocoRenderer(world, CENTRED)
    for at in (0.0, 1.0, 0.5):
        mask = ours.target_mask(AHEAD, LEVEL, at)
        picture = theirs.render(AHEAD, LEVEL, at_s=at).astype(int)
        red = picture[..., 0] > 2 * picture[..., 1:].max(-1)
        assert (red != mask).sum() < 0.25 * mask.sum()


def test_it_touches_the_vehicle_and_clearance_follows_it():
    world = ahead(places=((4.0, 0.0), (4.0, 0.0), (2.0, 0.0), (0.0, 0.0), (0.0, 0.0)))
    task = replace(TASK, success=replace(GOAL, time_limit=10.0))
    sim = Simulator(world, BLIND, seed=1, task=task)
    least = []
    while sim.outcome is Outcome.FLYING:
        sim.advance(sim.time_ns + CONTROL_PERIOD_NS)
        sim.command((0.0, 0.0, 0.0, 0.0))
        least.append((sim.time_s, sim.clearance))
    assert sim.outcome is Outcome.CONTACT
    assert 2.0 < sim.time_s < 3.5
    assert least[0][1] > 1.0 and abs(least[-1][1]) < 0.15
    sim.reset()
    assert sim.distance == pytest.approx(3.7, abs=1e-6)


@pytest.mark.parametrize("yaw, far, outcome", [
    (0.0, 2.0, Outcome.ARRIVED), (math.pi, 2.0, Outcome.TIMEOUT), (0.0, 6.0, Outcome.TIMEOUT)])
def test_followed_means_near_and_in_view(yaw, far, outcome):
    world = replace(ahead(places=((far, 0.0),)), start_yaw=yaw)
    task = replace(TASK, success=replace(GOAL, time_limit=4.0, grace=1.0))
    sim = Simulator(world, BLIND, seed=1, task=task)
    while sim.outcome is Outcome.FLYING:
        sim.advance(sim.time_ns + CONTROL_PERIOD_NS)
        sim.command((0.0, 0.0, 0.0, 0.0))
    assert sim.outcome is outcome and sim.time_s == pytest.approx(4.0, abs=0.05)
    assert sim.followed == (1.0 if outcome is Outcome.ARRIVED else 0.0)


def test_a_share_of_the_time_is_enough_and_the_grace_does_not_count():
    world = ahead()
    task = replace(TASK, success=replace(GOAL, time_limit=6.0, grace=2.0, share=0.5))

    def flown(turn_s):
        """Look away for so long from the start on, and back."""
        sim = Simulator(replace(world, start_yaw=math.pi), BLIND, seed=1, task=task)
        while sim.outcome is Outcome.FLYING:
            sim.advance(sim.time_ns + CONTROL_PERIOD_NS)
            off = math.remainder(sim.truth.yaw, 2 * math.pi)
            sim.command((0, 0, 0, max(-1.5, min(1.5, -2 * off)) if sim.time_s > turn_s else 0))
        return sim

    soon, late = flown(0.5), flown(4.0)
    assert soon.outcome is Outcome.ARRIVED and soon.followed > 0.7
    assert late.outcome is Outcome.TIMEOUT and late.followed < 0.5


def test_hints_tell_where_it_is():
    hinter = Hinter(WORLD, math.radians(TASK.camera.field_of_view))
    x, y, z = WORLD.start
    for at in (0.0, 10.0, 0.0):
        px, py, _ = WORLD.target_at(at)
        told = hinter(x, y, z, 0.3, at)
        bearing = math.atan2(py - y, px - x) - 0.3
        assert told[COLUMNS + 1:COLUMNS + 3] == pytest.approx(
            (math.cos(bearing), math.sin(bearing)), abs=1e-6)


def test_the_expert_follows():
    ends = []
    for seed in range(300_000, 300_006):
        sim = Simulator(make_world(seed, TASK), BLIND, task=TASK)
        assert isinstance(make_expert(sim.world, TASK), Follower)
        flight = fly(sim, ExpertAgent(sim))
        assert flight.seconds == pytest.approx(GOAL.time_limit, abs=0.05)
        ends.append((flight.outcome, flight.distance))
    assert [o for o, _ in ends].count(Outcome.ARRIVED) >= 5
    assert np.median([d for _, d in ends]) == pytest.approx(2.0, abs=0.5)


def test_the_expert_gives_way():
    world = ahead(places=((2.5, 0.0), (2.5, 0.0), (1.5, 0.0), (0.5, 0.0), (-0.5, 0.0)))
    sim = Simulator(world, BLIND, seed=1, task=replace(TASK, success=replace(GOAL, time_limit=4)))
    assert fly(sim, ExpertAgent(sim)).outcome is Outcome.ARRIVED
    assert sim.clearance > 0.4


def test_commands_fly_it(tmp_path, capsys):
    file = tmp_path / "e.json"
    words = ["--task", "follow_target", "--seeds", "300001:300002"]
    assert main(["evaluate", *words, "--controls", "expert", "--json", str(file)]) == 0
    assert "| expert | 1/1 " in capsys.readouterr().out
    (flight,) = json.loads(file.read_text())["rows"]["expert"]["worlds"]
    assert flight["followed"] >= GOAL.share and flight["seconds"] == pytest.approx(30.0, abs=0.1)
    assert main(["demonstrate", *words, "--out", str(tmp_path)]) == 0
    assert json.loads(notes(tmp_path / "300001")["episode"])["task"] == "follow_target"
    flight = read_flight(tmp_path / "300001", virtual_camera(TASK))
    # It is in view most of the time, and so the hints say.
    assert flight.hints[:, COLUMNS].mean() > 0.4


@pytest.mark.parametrize("text", ["autumn:0.7,fog:0.2", "clutter:1.5", "stones:1", "distractors:9",
                                  "range:2", "behind:150", "wind:1", "camera_8hz"])
def test_shifts_of_a_forest_work(text):
    shifts = shifted(text, task=TASK).shifts
    world = make_world(300_001, TASK, shifts)
    assert world.walk is not None and world.solids[-1] is world.target
    sim = Simulator(world, shifted(text, task=TASK), task=TASK)
    sim.advance(sim.time_ns + 200_000_000)
    scale = 2.0 if text.startswith("range") else 1.0
    assert sim.task.success.time_limit == scale * GOAL.time_limit
    assert sim.task.success.grace == scale * GOAL.grace
    for t in np.arange(0.0, WALK.time, 1.0):
        x, y, z = world.target_at(t)
        near = min(distance_to(s, (x, y, min(z, s.position[2]))) for s in world.solids[:-1]
                   if s.position[2] - s.size[2] < 2 * world.target.size[2])
        assert near > world.target.size[0]


def test_the_same_flight_twice_and_in_a_fleet():
    bytes_of = []
    for _ in range(2):
        sim = Simulator(WORLD, task=TASK)
        bytes_of.append([d.value.tobytes() for d in sim.advance(sim.time_ns + 500_000_000)])
    assert bytes_of[0] == bytes_of[1]
    fleet = Fleet(WORLD, 2, BLIND, TASK)
    fleet.advance(fleet.time_ns + 100_000_000)
    assert all(s.outcome is Outcome.FLYING for s in fleet.simulators)


def test_three_pixels_are_in_view():
    world = ahead(places=((4.0, 0.0),))
    sim = Simulator(world, BLIND, seed=1, task=TASK)
    mask = Renderer(world, sim.geometry).target_mask(sim.position, sim.truth.rotation)
    assert mask.sum() >= IN_VIEW_PIXELS
