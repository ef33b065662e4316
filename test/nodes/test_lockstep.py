"""Simulator and controller in lock-step: a flight over DDS is the library's flight, exactly."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.msg import Transition
from nav_msgs.msg import Odometry
from random_policy import random_policy
from ros import LATCHED, Bench, is_zero, pairs, vector

from lnn_ros import messages
from lnn_ros.learning.rollout import fly
from lnn_ros.pilot import Pilot
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.simulator import Simulator
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world
from lnn_ros.timeline.samples import digest

SEED = 300_007


class Recorder:
    """A policy as an agent whose commands are kept."""

    def __init__(self, policy) -> None:
        self.pilot = Pilot.load(policy)
        self.commands: dict[int, tuple[float, ...]] = {}
        self.digests: dict[str, dict[int, int]] = {"camera": {}, "imu": {}}

    def observe(self, stream, stamp_ns, value, now_ns=None):
        """Hand on, and keep what was taken."""
        assert self.pilot.observe(stream, stamp_ns, value, now_ns)
        self.digests[stream][stamp_ns] = digest(stamp_ns, value)

    def command(self, at_ns):
        """Answer and keep it."""
        command = self.pilot.command(at_ns)
        self.commands[at_ns] = tuple(command.tolist())
        return command


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """Return one that flies somewhere: of random weights."""
    return random_policy(tmp_path_factory.mktemp("policy") / "policy.safetensors")


@pytest.fixture(scope="module")
def expected(policy):
    """Outcome and commands of the flight in one process, without ROS.

    Over ROS there is one command more, at the first instant, before anything has been measured.
    """
    task = Task.load("fly_to_target")
    agent = Recorder(policy)
    flight = fly(Simulator(make_world(SEED, task), task=task), agent)
    return flight, {START_NS: (0.0, 0.0, 0.0, 0.0), **agent.commands}, agent.digests


class Pair:
    """A simulator and a controller in lock-step, watched."""

    def __init__(self, bench: Bench, policy, seed: int = SEED) -> None:
        self.bench = bench
        self.commands = bench.collect(TwistStamped, "cmd_vel")
        self.status = bench.collect(DiagnosticStatus, "simulator/status", LATCHED)
        self.controller = bench.start("controller", lockstep=True, engage=True, policy=policy)
        bench.introduce("controller")  # or its first commands would reach the simulator alone
        self.simulator = bench.start("simulator", lockstep=True, seed=seed, real_time_factor=0.0)

    def say(self):
        """Return the simulator's latest status."""
        return pairs(self.status[-1]) if self.status else {}

    def episode(self, number=1):
        """Return an episode's commands by stamp, the latest answer for each."""
        found, last = [{}], 0
        for command in self.commands:
            stamp = messages.stamp_ns(command)
            if stamp < last:
                found.append({})
            last = stamp
            found[-1][stamp] = vector(command)
        return found[number - 1] if number <= len(found) else {}

    def until(self, seconds, episode=1):
        """Await a simulated time of an episode; return the episode's commands."""
        wanted = START_NS + round(seconds * 1e9)
        self.bench.until(lambda: max(self.episode(episode), default=0) >= wanted,
                         f"{seconds} s of episode {episode}")
        return self.episode(episode)


def test_flight_over_dds_is_the_flight_of_the_library_bit_for_bit(bench, policy, expected):
    flight, commands, digests = expected
    truth = bench.collect(Odometry, "ground_truth")
    trace = bench.collect(DiagnosticArray, "controller/trace")
    states = bench.collect(DiagnosticStatus, "vehicle_state")
    pair = Pair(bench, policy)
    bench.until(lambda: pair.say().get("outcome", "flying") != "flying", "the end of the flight")
    said = pair.say()
    found = pair.until(flight.seconds)
    assert said["outcome"] == flight.outcome.value
    assert int(said["seed"]) == SEED

    # fly() ends with the outcome, the node goes on.
    assert {at: command for at, command in found.items() if at <= max(commands)} == commands
    assert any(any(command) for command in commands.values())

    assert float(said["distance_m"]) == pytest.approx(flight.distance, abs=1.0)
    place = truth[-1].pose.pose.position
    assert np.isfinite((place.x, place.y, place.z)).all()
    # It flies until it does not: how many of the first states were missed depends on discovery.
    airborne = [pairs(state)["airborne"] == "true" for state in states]
    assert airborne[0] and airborne == sorted(airborne, reverse=True)
    if said["outcome"] == "contact":
        bench.until(lambda: pairs(states[-1])["airborne"] == "false", "the contact")
    # The trace tells which samples were taken, and what was commanded, to the last bit.
    bench.until(lambda: messages.stamp_ns(trace[-1]) >= max(commands), "the last trace")
    told = {"camera": [], "imu": []}
    for message in trace:
        values, now = pairs(message.status[0]), messages.stamp_ns(message)
        if now <= max(commands):
            for stream, stamps in told.items():
                stamps += map(int, values[f"{stream}.new"].split())
                assert int(values[f"{stream}.taken"]) == len(stamps)
                assert int(values[f"{stream}.digest"], 16) == sum(
                    digests[stream][stamp] for stamp in stamps) % 2**64
            assert tuple(map(float.fromhex, values["command"].split())) == commands[now]
            # By the first command that it has samples for.
            assert values["mode"] == ("disengaged" if now == START_NS else "engaged")
            assert values["reset"] == "0"
    assert {stream: set(stamps) for stream, stamps in told.items()} == {
        stream: set(stamps) for stream, stamps in digests.items()}
    # No sample was lost or left behind: frame n has been taken when its arrival is past.
    for message in trace:
        values, now = pairs(message.status[0]), messages.stamp_ns(message)
        if now > START_NS:
            assert now - int(values["imu.stamp_ns"]) <= 5_000_000 + 2_500_000
            assert int(values["camera.taken"]) == (now - 10_000_000 - START_NS) // 50_000_000 + 1


def test_controller_may_be_restarted_in_flight(bench, policy):
    pair = Pair(bench, policy)
    pair.until(1.5)
    pair.controller.send(signal.SIGKILL)
    pair.controller.wait()
    stopped = messages.stamp_ns(pair.commands[-1])
    # Else the services of the dead one would be taken for those of the next.
    bench.until(lambda: not bench.node.count_publishers("cmd_vel"), "the dead to be forgotten")
    pair.controller = bench.start("controller", lockstep=True, engage=True, policy=policy,
                                  autostart=False)
    # These calls introduce the bench to it before it answers the simulator.
    assert bench.transition("controller", Transition.TRANSITION_CONFIGURE)
    assert bench.transition("controller", Transition.TRANSITION_ACTIVATE)
    stamps = sorted(pair.until((stopped - START_NS) / 1e9 + 1.5))
    assert any(not is_zero(command) for command in pair.commands
               if messages.stamp_ns(command) > stopped)
    # Time stood still meanwhile: no control instant is missing.
    assert max(np.diff(stamps)) <= 35_000_000


def test_reset_flies_the_same_again_and_another_seed_another_way(bench, policy, expected):
    _, commands, _ = expected
    pair = Pair(bench, policy)
    pair.until(1.0)
    assert bench.trigger("simulator/reset").success
    again = pair.until(1.5, episode=2)
    assert again == {at: commands[at] for at in again}
    assert min(again) == START_NS

    assert bench.set_parameters("simulator", seed=SEED + 1).successful
    assert bench.trigger("simulator/reset").success
    other = pair.until(0.5, episode=3)
    assert pair.say()["seed"] == str(SEED + 1)
    assert any(command != commands[at] for at, command in other.items())
