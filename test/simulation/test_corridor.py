"""Corridors wind as their task says, the expert finds the way, and commands fly them."""

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.learning.architecture import virtual_camera
from lnn_ros.learning.flights import notes, read_flight
from lnn_ros.learning.rollout import ExpertAgent, fly
from lnn_ros.simulation.conditions import shifted
from lnn_ros.simulation.fleet import Fleet
from lnn_ros.simulation.scenes.drawing import turned
from lnn_ros.simulation.simulator import Outcome, Simulator, SimulatorOptions
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.world import Role, distance_to
from lnn_ros.simulation.worlds import make_world

TASK = Task.load("corridor")
SCENE = TASK.scene
SEEDS = st.integers(300_000, 10_000_000)


def straightened(world):
    """The corridor's solids along the x axis, and half of its width."""
    left = next(s for s in world.solids if s.name == "wall_left")
    solids = [turned(s, -left.yaw) for s in world.solids]
    left, right = (next(s for s in solids if s.name == f"wall_{side}") for side in
                   ("left", "right"))
    middle = (left.position[1] + right.position[1]) / 2
    half = left.position[1] - left.size[1] - middle
    return solids, middle, half


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_a_corridor_keeps_every_promise_of_its_task(seed):
    world = make_world(seed, TASK)
    assert world == make_world(seed, TASK)
    solids, middle, half = straightened(world)
    assert SCENE.width[0] <= 2 * half <= SCENE.width[1]
    target = next(s for s in solids if s.role is Role.TARGET)
    assert target.position[1] == pytest.approx(middle, abs=1e-9)
    assert SCENE.length[0] <= target.position[0] <= SCENE.length[1]
    assert abs(middle) <= SCENE.offset[1] + 1e-9

    rows: dict[str, list] = {}
    for s in solids:
        if s.role is Role.PILLAR:
            rows.setdefault(s.name.split("_")[1], []).append(s)
    assert len(rows) >= 3
    sides, places = [], []
    for pillars in rows.values():
        edges = sorted((s.position[1] - s.size[1] - middle, s.position[1] + s.size[1] - middle)
                       for s in pillars)
        free = [edges[0][0] + half, *(b[0] - a[1] for a, b in pairwise(edges)),
                half - edges[-1][1]]
        side = 1.0 if free[0] > free[-1] else -1.0
        gap, slits = (free[0], free[1:]) if side > 0 else (free[-1], free[:-1])
        assert SCENE.gap[0] - 1e-9 <= gap <= SCENE.gap[1] + 1e-9
        assert max(slits) <= SCENE.slit + 1e-9 < 2 * TASK.vehicle.radius
        assert gap < half, "it reaches past the middle"
        sides.append(side)
        places.append(pillars[0].position[0])
    assert all(a == -b for a, b in pairwise(sides)), "by turns"
    apart = [b - a for a, b in pairwise(places)]
    assert SCENE.spacing[0] - 1e-9 <= min(apart) <= max(apart) <= SCENE.spacing[1] + 1e-9
    assert min(places) >= SCENE.free_at_ends - 1e-9
    assert target.position[0] - max(places) >= SCENE.free_at_ends - 1e-9
    assert min(distance_to(s, world.start) for s in world.solids) > TASK.vehicle.radius + 0.5
    assert world.blocked(TASK.vehicle.radius)
    assert len({s.name for s in world.solids}) == len(world.solids)


def test_the_expert_winds_through():
    for seed in (300_001, 300_002, 300_003):
        world = make_world(seed, TASK)
        sim = Simulator(world, SimulatorOptions(render=False), task=TASK)
        flight = fly(sim, ExpertAgent(sim))
        assert flight.outcome is Outcome.ARRIVED
        assert flight.clearance > 0.0
        assert flight.path > 1.02 * (math.dist(world.start[:2], world.target.position[:2]) - 1.5)


def test_commands_fly_it(tmp_path, capsys):
    file = tmp_path / "e.json"
    words = ["evaluate", "--task", "corridor", "--seeds", "300004:300005", "--json", str(file)]
    assert main([*words, "--controls", "expert"]) == 0
    assert "| expert | 1/1 " in capsys.readouterr().out
    assert set(json.loads(file.read_text())["rows"]) == {"expert"}
    for needs in (["--controls", "guarded"], []):
        assert main([*words, *needs]) == 2
        assert "policy 'corridor' does not ship" in capsys.readouterr().err
    assert main(["demonstrate", "--task", "corridor", "--seeds", "300004:300005", "--out",
                 str(tmp_path)]) == 0
    assert json.loads(notes(tmp_path / "300004")["episode"])["task"] == "corridor"
    flight = read_flight(tmp_path / "300004", virtual_camera(TASK))
    assert flight.frames.shape[1:] == (48, 64, 3) and len(flight.frames) > 20


def test_what_is_a_forests_is_refused_in_one_sentence():
    for name in ("clutter:2", "distractors:9", "stones:1", "range:2", "behind:150"):
        shifts = shifted(name, task=TASK).shifts
        with pytest.raises(LnnError, match="expected a task whose scene is a forest"):
            make_world(300_001, TASK, shifts)
    with pytest.raises(LnnError, match="only in a forest is there room for more"):
        Fleet(make_world(300_001, TASK), 2, SimulatorOptions(render=False), TASK)


@pytest.mark.parametrize("text", ["winter:0.5,fog:0.2,noise:0.05", "wind:2,tilt:10"])
def test_what_is_seen_or_disturbs_changes(text):
    world = make_world(300_001, TASK)
    frames = []
    for options in (SimulatorOptions(), shifted(text, task=TASK)):
        sim = Simulator(world, options, task=TASK)
        deliveries = sim.advance(sim.time_ns + 300_000_000)
        frames.append(next(d.value for d in deliveries if d.stream == "camera"))
    assert (frames[0] != frames[1]).mean() > 0.05
