"""Two drones in one simulator, each flown by a controller of its own in its own namespace."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from random_policy import random_policy
from ros import LATCHED, pairs, vector

from lnn_ros import messages
from lnn_ros.nodes.foxglove import layout
from lnn_ros.nodes.options import NodeOptions
from lnn_ros.nodes.settings import SimulatorSettings
from lnn_ros.pilot import Pilot
from lnn_ros.simulation import fleet
from lnn_ros.simulation.fleet import Fleet
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.simulator import CONTROL_PERIOD_NS
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

SEED = 300_007
NAMES = ("drone1", "drone2")
STEPS = 60


def expected(policy):
    """Return each drone's commands and places by stamp, without ROS."""
    task = Task.load("fly_to_target")
    flown = Fleet(make_world(SEED, task), 2, task=task)
    pilots = [Pilot.load(policy) for _ in NAMES]
    commands = [{START_NS: (0.0,) * 4} for _ in NAMES]
    for step in range(1, STEPS + 1):
        now = START_NS + step * CONTROL_PERIOD_NS
        for k, arrived in enumerate(flown.advance(now)):
            for sample in arrived:
                pilots[k].observe(sample.stream, sample.stamp_ns, sample.value, now)
        for k, simulator in enumerate(flown.simulators):
            command = pilots[k].command(simulator.time_ns)
            simulator.command(command)
            commands[k][simulator.time_ns] = tuple(command.tolist())
    return commands


def test_two_flights_in_lock_step_are_those_of_the_library(bench, tmp_path):
    """Bit for bit: no drone gets the other's samples or commands."""
    policy = random_policy(tmp_path / "policy.safetensors")
    wanted = expected(policy)
    commands = [bench.collect(TwistStamped, f"{name}/cmd_vel") for name in NAMES]
    truths = [bench.collect(Odometry, f"{name}/ground_truth") for name in NAMES]
    statuses = [bench.collect(DiagnosticStatus, f"{name}/simulator/status", LATCHED)
                for name in NAMES]
    for name in NAMES:
        bench.run(name, "-m", "lnn_ros.nodes.controller", "--ros-args", "-r", f"__ns:=/{name}",
                  lockstep=True, engage=True, policy=policy)
        bench.introduce(f"{name}/controller")
    bench.start("simulator", lockstep=True, seed=SEED, real_time_factor=0.0, vehicles=2)
    last = START_NS + STEPS * CONTROL_PERIOD_NS
    bench.until(lambda: all(found and messages.stamp_ns(found[-1]) >= last for found in commands),
                "two seconds of flight")
    for found, those in zip(commands, wanted, strict=True):
        got = {messages.stamp_ns(m): vector(m) for m in found}
        assert {stamp: got[stamp] for stamp in those} == those
    assert wanted[0] != wanted[1]
    apart = [np.array([m.pose.pose.position.x, m.pose.pose.position.y])
             for m in (truths[0][0], truths[1][0])]
    assert np.linalg.norm(apart[0] - apart[1]) > 5.0
    topics = {name for name, _ in bench.node.get_topic_names_and_types()}
    for name in NAMES:  # a viewer that is told of one of them sees it
        seen = json.loads(layout(NodeOptions(namespace=name)))["configById"]
        assert seen["Image!camera"]["imageMode"]["imageTopic"] in topics
        assert seen["RawMessages!status"]["topicPath"] in topics
    for status in statuses:
        assert pairs(status[-1])["seed"] == str(SEED)


def test_the_parameter_allows_as_many_as_the_fleet_has_room_for():
    field = next(f for f in dataclasses.fields(SimulatorSettings) if f.name == "vehicles")
    assert field.metadata["high"] == fleet.MOST


def test_more_than_there_is_room_for_are_named(bench):
    status = bench.collect(DiagnosticStatus, "simulator/status", LATCHED)
    bench.start("simulator", vehicles=fleet.MOST + 1)
    bench.until(lambda: status, "a status")
    assert "parameter vehicles is 5: expected a whole number in [1, 4]" in status[-1].message
