"""The helping hand: when it takes over, and what is recorded of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flyers import small_policy, small_task

from lnn_ros.learning.architecture import virtual_camera
from lnn_ros.learning.flights import notes, read_flight
from lnn_ros.learning.helping import Hand, Helped, HelpRule, fly_helped
from lnn_ros.learning.hints import Hinter
from lnn_ros.liquid.checkpoint import load
from lnn_ros.simulation.simulator import CONTROL_PERIOD_NS, Truth
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

RULE = HelpRule()
TASK = Task.load("fly_to_target")
WORLD = make_world(300_007, TASK)
RADIUS = TASK.vehicle.radius


def truth(at_s, position, velocity=(0.0, 0.0, 0.0)):
    return Truth(round(at_s * 1e9) + 1, np.array(position), np.eye(3), np.array(velocity),
                 np.zeros(3), 0.0)


@pytest.fixture
def hand():
    return Hand(RULE, WORLD, 1.5, RADIUS)


def beside(room):
    """A place with so much room, before a tree."""
    tree = next(s for s in WORLD.solids if s is not WORLD.target and s.size[0] < 0.4)
    x, y, _ = tree.position
    hinter = Hinter(WORLD, 1.5)
    for angle in np.linspace(0, 2 * np.pi, 64):
        place = np.array([x, y, 1.3]) + (tree.size[0] + RADIUS + room) * np.array(
            [np.cos(angle), np.sin(angle), 0.0])
        if hinter.room(*place.tolist(), RADIUS) == pytest.approx(room, abs=0.02):
            return place, (np.array([x, y, 1.3]) - place) / np.linalg.norm(place[:2] - [x, y])
    raise AssertionError("no free side")


def test_who_is_safe_and_gets_on_is_let_alone(hand):
    place, _ = beside(1.0)
    for k in range(100):
        assert not hand.helps(truth(k, place), 20.0 - 0.1 * k)
    assert hand.takeovers == 0 and hand.helped_ns == 0


def test_it_helps_near_an_obstacle_or_before_a_contact(hand):
    near, _ = beside(RULE.near_m - 0.05)
    assert hand.helps(truth(0.0, near), 9.0)
    far, towards = beside(0.8)
    assert not hand.helps(truth(10.0, far), 8.0), "no more"
    assert not hand.helps(truth(11.0, far, -1.5 * towards), 7.0)
    assert hand.helps(truth(12.0, far, 1.5 * towards), 6.0)
    assert hand.takeovers == 2


def test_it_helps_before_the_target_is_touched_and_lets_stand_beside_it(hand):
    x, y, _ = WORLD.target.position
    reach = WORLD.target.size[0] + RADIUS
    stands = np.array([x + reach + 0.6, y, 1.3])
    assert not hand.helps(truth(0.0, stands), 0.85)
    assert hand.helps(truth(1.0, stands, (-1.0, 0.0, 0.0)), 0.85)
    assert hand.helps(truth(9.0, (x + reach + 0.1, y, 1.3)), 0.35)


def test_it_helps_so_long_at_least_and_that_is_one_takeover(hand):
    near, _ = beside(RULE.near_m - 0.05)
    far, _ = beside(1.0)
    assert hand.helps(truth(0.0, near), 9.0) and hand.helps(truth(0.5, near), 9.0)
    assert hand.helps(truth(0.5 + RULE.least_s - 0.01, far), 9.0)
    assert not hand.helps(truth(0.5 + RULE.least_s + 0.01, far), 9.0)
    assert hand.takeovers == 1 and hand.helped_ns == 3 * CONTROL_PERIOD_NS


def test_who_comes_no_nearer_is_helped_on(hand):
    place, _ = beside(1.0)
    assert not any(hand.helps(truth(t, place), 9.0) for t in np.arange(0, RULE.stuck_s, 0.5))
    assert hand.helps(truth(RULE.stuck_s + 0.1, place), 9.0)
    assert hand.helps(truth(RULE.stuck_s + RULE.stuck_help_s, place), 7.0)
    assert not hand.helps(truth(RULE.stuck_s + RULE.stuck_help_s + 0.2, place), 6.0)
    # At the target nobody gets nearer.
    calm = Hand(RULE, WORLD, 1.5, RADIUS)
    assert not any(calm.helps(truth(t, place), 0.3) for t in range(60))


def test_the_recording_has_labels_where_it_helped_and_nowhere_else(tmp_path: Path):
    task, policy = small_task(tmp_path, 4.0), small_policy(tmp_path)
    # Whoever needs help from the first moment on gets it all the time.
    never = replace(RULE, near_m=-1.0, contact_s=0.0, stuck_s=100.0, least_s=0.1)
    for name, rule in (("all", replace(RULE, near_m=100.0)), ("hardly any", never)):
        what = Helped(300_007, str(tmp_path / name), str(policy), task, rule=rule)
        found = fly_helped(what)
        assert fly_helped(what) == found, "the bag is there already"
        bag = tmp_path / name
        flight = read_flight(bag, virtual_camera(Task.load(task)))
        assert len(flight.label_stamps) * CONTROL_PERIOD_NS * 1e-9 == pytest.approx(
            found["helped_s"], abs=0.05)
        if name == "all":
            assert found["helped_s"] > 3.5 and found["takeovers"] == 1
        else:
            assert found["helped_s"] < 0.5, "not before it touches something"
        assert np.isnan(flight.hints).all() and flight.sided, "as nobody knows on a robot"
        said = notes(bag)
        assert json.loads(said["help"])["seed"] == 300_007 and "episode" not in said
        assert said["policy"] == load(policy).weights_digest()
