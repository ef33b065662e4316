"""The teachers of what drives: they finish their tasks, and command only what a rover can do."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lnn_ros.errors import LnnError
from lnn_ros.simulation.centreline import Centreline
from lnn_ros.simulation.expert import DRIVING, Expert, Manner
from lnn_ros.simulation.experts import make_expert
from lnn_ros.simulation.pursuit import Pursuit
from lnn_ros.simulation.simulator import CONTROL_PERIOD_NS, Outcome, Simulator, SimulatorOptions
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.teachers import make_teacher
from lnn_ros.simulation.worlds import make_world

BLIND = SimulatorOptions(render=False)
LANE, FOREST = Task.load("lane"), Task.load("drive_to_target")


def drive(task, seed, disturbed=False):
    """Drive a world; return the simulator and all commands."""
    world = make_world(seed, task)
    simulator, teacher = Simulator(world, BLIND, task=task), make_expert(world, task)
    rng, commands, push = np.random.default_rng(seed), [], np.zeros(4)
    while simulator.outcome is Outcome.FLYING:
        command = teacher.command(simulator.truth)
        if len(commands) % 60 == 0:
            push = rng.uniform(-1, 1, 4) * (0.3, 0, 0, 0.8) if disturbed else np.zeros(4)
        simulator.command(command + push if len(commands) % 60 < 10 else command)
        simulator.advance(simulator.time_ns + CONTROL_PERIOD_NS)
        commands.append(command)
    return simulator, np.array(commands)


@pytest.mark.parametrize("task", [LANE, FOREST], ids=lambda task: task.name)
@pytest.mark.parametrize("disturbed", [False, True])
def test_they_finish_their_tasks_and_use_what_a_rover_has(task, disturbed):
    outcomes = []
    for seed in range(300_000, 300_008):
        simulator, commands = drive(task, seed, disturbed)
        outcomes.append(simulator.outcome)
        assert (commands[:, 1:3] == 0.0).all()
        assert np.abs(commands[:, 3]).max() <= task.vehicle.max_yaw_rate
        assert np.abs(commands[:, 0]).max() <= task.vehicle.max_speed
    assert outcomes.count(Outcome.ARRIVED) >= 7, outcomes


def test_each_task_has_its_teacher_and_a_rover_its_manner():
    for task, kind in ((LANE, Pursuit), (FOREST, Expert), (Task.load("fly_to_target"), Expert)):
        assert isinstance(make_expert(make_world(300_000, task), task), kind)
    fast = Manner(cruise=3.0)
    simulator = Simulator(make_world(300_000, LANE), BLIND, task=LANE)
    assert make_expert(simulator.world, LANE, fast).command(simulator.truth)[0] <= DRIVING.cruise
    with pytest.raises(LnnError, match="world 300000 of task drive_to_target has no road"):
        Pursuit(make_world(300_000, FOREST), task=FOREST)


def test_a_rover_turns_to_its_course_before_it_drives_there():
    world = make_world(300_000, FOREST)
    truth = Simulator(world, BLIND, task=FOREST).truth
    expert = Expert(world, task=FOREST)
    ahead = expert.command(truth)
    for side in (1.0, -1.0):
        turned = replace(truth, yaw=truth.yaw + side * 2.0)
        command = expert.command(turned)
        assert abs(command[0]) < 0.05 < ahead[0]
        assert command[3] * side < -0.5


def test_pursuit_comes_back_from_aside_and_is_slower_in_curves():
    world = make_world(300_000, LANE)
    line, truth = Centreline(world.road.points), Simulator(world, BLIND, task=LANE).truth
    speeds = []
    for along in np.arange(0.0, line.length, 1.0):
        (x, y), heading = line.at(along), line.heading(along)
        found = {}
        for offset in (-0.4, 0.0, 0.4):
            place = np.array([x - offset * math.sin(heading), y + offset * math.cos(heading), 0.08])
            found[offset] = Pursuit(world, task=LANE).command(
                replace(truth, position=place, yaw=heading))
        assert found[-0.4][3] > found[0.0][3] > found[0.4][3]
        speeds.append((abs(line.curvature(along + 0.9)), found[0.0][0]))
    tight, straight = max(speeds), min(speeds)
    assert tight[1] <= straight[1] == pytest.approx(DRIVING.cruise, abs=0.1)


def test_what_is_low_is_in_a_rovers_way_and_what_is_high_is_not():
    """A crate of half a metre stops a rover, and a drone flies over it."""
    world = make_world(300_000, FOREST)
    low = next(s for s in world.solids if s.name.startswith("distractor"))
    crate = replace(low, position=(2.0, 0.0, 0.25), size=(0.3, 0.3, 0.25))
    alone = replace(world, start=(0.0, 0.0, 0.08), start_yaw=0.0, bounds=(-1.0, 9.0, -5.0, 5.0),
                    target=replace(world.target, position=(8.0, 0.0, 1.0)))
    alone = replace(alone, solids=(alone.target, crate))
    truth = replace(Simulator(alone, BLIND, task=FOREST).truth, yaw=0.0)
    near = replace(truth, position=np.array([1.2, 0.0, 0.08]))
    assert abs(Expert(alone, task=FOREST).command(near)[3]) > 0.3
    flown = Expert(alone, task=Task.load("fly_to_target")).command(near)
    assert abs(flown[3]) < 0.05


@pytest.mark.parametrize("task", [LANE, FOREST], ids=lambda task: task.name)
def test_who_teaches_by_what_the_camera_shows_finishes_too(task):
    outcomes = []
    for seed in range(300_000, 300_006):
        simulator = Simulator(make_world(seed, task), BLIND, task=task)
        teacher = make_teacher(simulator.world, simulator.geometry, task)
        while simulator.outcome is Outcome.FLYING:
            teacher.look(simulator.truth)
            command = teacher.command(simulator.truth)
            assert command[1] == command[2] == 0.0
            simulator.command(command)
            simulator.advance(simulator.time_ns + CONTROL_PERIOD_NS)
        outcomes.append(simulator.outcome)
    assert outcomes.count(Outcome.ARRIVED) >= 5, outcomes
