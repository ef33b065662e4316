"""A rover learns as a drone does: its hints, its policy's shape, its lessons and its rates."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from lnn_ros import policies
from lnn_ros.learning.architecture import camera_card, make_policy, virtual_camera
from lnn_ros.learning.demonstrate import Episode, record
from lnn_ros.learning.evaluate import evaluate, format_table
from lnn_ros.learning.executors import Processes
from lnn_ros.learning.flights import notes, read_flight
from lnn_ros.learning.hints import COLUMNS, Hinter, proximity
from lnn_ros.learning.rollout import fly
from lnn_ros.learning.sequences import read_sequence
from lnn_ros.learning.variety import random_options
from lnn_ros.liquid.checkpoint import load
from lnn_ros.pilot import Pilot
from lnn_ros.simulation.centreline import Centreline
from lnn_ros.simulation.interruption import Lost
from lnn_ros.simulation.seeds import REPORTED
from lnn_ros.simulation.simulator import Outcome, Simulator
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

LANE = Task.load("lane")
WORLD = make_world(300_000, LANE)
LINE = Centreline(WORLD.road.points)
HALF = LANE.scene.width / 2
LINE_OF_DEMO = Centreline(make_world(300_002, LANE).road.points).length
FOV = math.radians(90.0)


def hints(along: float, offset: float = 0.0, turned: float = 0.0) -> np.ndarray:
    (x, y), heading = LINE.at(along), LINE.heading(along)
    return Hinter(WORLD, FOV)(x - offset * math.sin(heading), y + offset * math.cos(heading), 0.08,
                              heading + turned)


def test_hints_tell_where_the_road_goes_and_how_near_its_edges_are() -> None:
    ahead = hints(3.0)
    assert ahead[COLUMNS] == 1.0 and ahead[COLUMNS + 1] > 0.9
    # To the left of its middle the road lies to the right, and the left edge is nearer.
    left, right = hints(3.0, 0.3), hints(3.0, -0.3)
    assert left[COLUMNS + 2] < ahead[COLUMNS + 2] < right[COLUMNS + 2]
    assert left[0] > ahead[0] > right[0] and left[COLUMNS - 1] < right[COLUMNS - 1]
    assert hints(3.0, turned=1.5)[COLUMNS] == 0.0
    # Straight to the edge: a ray a quarter turn off meets it half a width away.
    across = hints(3.0, turned=math.pi / 2)
    middle = (across[COLUMNS // 2 - 1] + across[COLUMNS // 2]) / 2
    assert middle == pytest.approx(proximity(np.array(HALF)), rel=0.15)


def test_room_is_what_is_left_to_the_edge_and_to_trees() -> None:
    hinter = Hinter(WORLD, FOV)
    (x, y), heading = LINE.at(5.0), LINE.heading(5.0)
    for offset in (0.0, 0.5, 0.8):
        place = x - offset * math.sin(heading), y + offset * math.cos(heading)
        assert hinter.room(*place, 0.08, 0.22) == pytest.approx(HALF - offset, abs=0.05)
    trunk = next(s for s in WORLD.solids if s.name.endswith("trunk"))
    at = trunk.position[0] + trunk.size[0] + 0.25, trunk.position[1]
    assert hinter.room(*at, 0.08, 0.22) <= 0.03 + 1e-6


@pytest.mark.parametrize("core", ["flow", "ltc", "cfc"])
def test_a_lane_policy_has_nineteen_neurons_and_commands_what_a_rover_can_do(core: str) -> None:
    spec, wiring = make_policy(core, LANE, 0)
    assert wiring.units == 19
    assert spec.head.low[1:3] == spec.head.high[1:3] == (0.0, 0.0)
    assert spec.head.high[0] < LANE.vehicle.max_speed
    assert spec.count() * 4 < 200_000
    card = camera_card(LANE)
    assert card["position"] == [0.08, 0.0, 0.22]
    assert card["tilt"] == pytest.approx(math.radians(15.0))


def test_the_lane_policy_that_ships_is_what_the_task_trains() -> None:
    file = policies.path("lane")
    checkpoint = load(file)
    assert file.stat().st_size < 200_000
    trained = make_policy("flow", LANE, checkpoint.card["training"]["seed"])[0]
    # It is older than the trapezoidal rule, and flies as it was trained.
    core = replace(trained.core, trapezoid=False)
    assert checkpoint.spec == replace(trained, core=core)
    assert checkpoint.card["camera"] == camera_card(LANE)
    assert "--task lane" in checkpoint.card["training"]["command"]
    evaluation = checkpoint.card["evaluation"]
    assert evaluation["weights_sha256"] == checkpoint.weights_digest()
    assert all(seed in REPORTED for seed in (evaluation["seeds"][0], evaluation["seeds"][1] - 1))
    assert evaluation["rows"]["policy"]["flights"] == 200


def test_the_lane_policy_that_ships_drives_a_lap() -> None:
    sim = Simulator(make_world(300_002, LANE), task=LANE)
    drive = fly(sim, Pilot.load(policies.path("lane")))
    assert drive.outcome is Outcome.ARRIVED and drive.clearance > 0.0
    assert drive.path == pytest.approx(LINE_OF_DEMO, rel=0.03)


def test_a_lap_loses_frames_at_times_and_no_target() -> None:
    drawn = [random_options(np.random.default_rng(seed), LANE).interruption for seed in range(60)]
    lost = {what.lost for what in drawn if what is not None}
    assert lost == {Lost.FRAMES}


def test_a_lap_is_recorded_and_read_as_a_lesson(tmp_path) -> None:
    bag, camera = tmp_path / "lap", virtual_camera(LANE)
    assert record(Episode(300_002, str(bag), task="lane")) == notes(bag)["outcome"] == "arrived"
    flight = read_flight(bag, camera)
    assert flight.frames.shape[1:] == (48, 64, 3)
    assert (flight.labels[:, 1:3] == 0.0).all() and flight.labels[:, 0].max() > 0.6
    lesson = read_sequence(bag, camera, vary=False)
    assert lesson.weights.any() and np.isfinite(lesson.hints).all()


def test_laps_are_counted_and_who_left_the_road_is_told() -> None:
    rows = {"expert": ("expert", ""), "straight_ahead": ("straight_ahead", "")}
    table = evaluate(rows, range(300_000, 300_002), Processes(1), "lane")
    assert table["expert"]["arrived"] == 2 and "off_road" not in table["expert"]
    assert table["straight_ahead"]["off_road"] == 2
    text = format_table(table)
    assert "| agent | arrived | 95 % | contact | off road | timeout | mean s |" in text
    assert "off road" not in format_table({"expert": table["expert"]})
