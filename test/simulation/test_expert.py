"""The expert arrives, recovers from disturbed states, and looks where it flies."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lnn_ros.simulation.expert import Expert
from lnn_ros.simulation.simulator import CONTROL_PERIOD_NS, Outcome, Simulator, SimulatorOptions
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

TASK = Task.load("fly_to_target")
BLIND = SimulatorOptions(render=False)


def fly(seed, disturbed=False):
    """Fly a world; return the simulator and (speed, drift angle) at every control instant."""
    world = make_world(seed, TASK)
    simulator, expert = Simulator(world, BLIND, task=TASK), Expert(world, task=TASK)
    rng, track, push = np.random.default_rng(seed), [], np.zeros(4)
    while simulator.outcome is Outcome.FLYING:
        truth = simulator.truth
        command = expert.command(truth)
        if len(track) % 30 == 0:  # for half a second in four the command is not the expert's
            wild = disturbed and rng.random() < 0.5
            push = rng.uniform(-1, 1, 4) * (0.8, 0.8, 0.3, 1.2) if wild else np.zeros(4)
        disturbing = len(track) % 30 < 8
        simulator.command(command + push if disturbing else command)
        simulator.advance(simulator.time_ns + CONTROL_PERIOD_NS)
        speed = math.hypot(*truth.velocity[:2])
        course = math.atan2(truth.velocity[1], truth.velocity[0])
        track.append((speed, abs(math.remainder(course - truth.yaw, 2 * math.pi))))
    return simulator, np.array(track)


@pytest.mark.parametrize("disturbed", [False, True])
def test_it_arrives_everywhere(disturbed):
    outcomes = [fly(seed, disturbed)[0].outcome for seed in range(300_000, 300_025)]
    assert outcomes.count(Outcome.ARRIVED) >= 24, outcomes


def test_it_looks_where_it_flies():
    tracks = np.concatenate([fly(seed)[1] for seed in range(300_100, 300_110)])
    fast = tracks[tracks[:, 0] > 0.8]
    assert len(fast) > 500
    inside_view = fast[:, 1] < math.radians(TASK.camera.field_of_view / 2)
    assert inside_view.mean() > 0.97


def test_it_backs_away_from_what_is_too_near():
    world = make_world(300_000, TASK)
    expert = Expert(world, task=TASK)
    trunk = next(s for s in world.solids if s.name.endswith("trunk"))
    truth = Simulator(world, BLIND, task=TASK).truth
    for angle in np.linspace(0, 2 * math.pi, 8, endpoint=False):
        away = np.array([math.cos(angle), math.sin(angle)])
        place = np.array([*trunk.position[:2], 1.3])
        place[:2] += away * (trunk.size[0] + TASK.vehicle.radius + 0.02)
        command = expert.command(replace(truth, position=place))
        cos, sin = math.cos(truth.yaw), math.sin(truth.yaw)
        velocity = np.array([cos * command[0] - sin * command[1],
                             sin * command[0] + cos * command[1]])
        assert velocity @ away > 0.0


def test_it_holds_its_height_and_stands_still_at_the_target():
    simulator, _ = fly(300_003)
    assert simulator.truth.position[2] == pytest.approx(1.3, abs=0.15)
    assert simulator.distance == pytest.approx(0.6, abs=0.2)
