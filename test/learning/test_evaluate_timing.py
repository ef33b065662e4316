"""Flights under a condition of timing, and a policy whose command is held between updates."""

import json

import numpy as np
from flyers import small_policy, small_task
from policies_for_tests import HEIGHT, WIDTH, frame, small_checkpoint

from lnn_ros.cli import main
from lnn_ros.guard.limits import Limits
from lnn_ros.learning.controls import Held
from lnn_ros.learning.rollout import ExpertAgent, fly
from lnn_ros.learning.trials import Trial, try_once
from lnn_ros.pilot import Pilot
from lnn_ros.simulation.camera import CameraGeometry
from lnn_ros.simulation.conditions import NOMINAL, condition
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.simulator import CONTROL_PERIOD_NS, Simulator, SimulatorOptions
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

MS = 1_000_000
WORLD = 300_020
CHECKPOINT = small_checkpoint()
LIMITS = Limits(CHECKPOINT.spec.head.low, CHECKPOINT.spec.head.high)


def fed(until_ms, agent, first_ms=0):
    """Hand over IMU at 200 Hz and frames at 20 Hz, as of a drifting camera."""
    rng = np.random.default_rng(first_ms)
    for ms in range(first_ms, until_ms, 5):
        agent.observe("imu", START_NS + ms * MS, np.array([0, 0, 0.3, 0.1, 0, 9.8]), None)
        if ms % 50 == 0:
            agent.observe("camera", START_NS + ms * MS, frame(rng), None)
    return agent


def test_a_held_command_is_that_of_the_newest_update_until_the_next():
    held, pilot = Held(Pilot(CHECKPOINT), LIMITS), Pilot(CHECKPOINT)
    assert (held.command(START_NS) == 0).all(), "nothing has been seen yet"
    fed(245, held)
    fed(245, pilot)
    assert pilot.state()[0] == START_NS + 200 * MS
    at_update = pilot.read(START_NS + 200 * MS)
    assert np.abs(at_update).max() > 0.01
    for ms in (240, 260, 290):
        np.testing.assert_array_equal(held.command(START_NS + ms * MS), at_update)
        assert not np.array_equal(pilot.command(START_NS + ms * MS), at_update)
    for agent in (held, pilot):
        fed(300, agent, 245)
    # Now the newest update is that of the frame at 250 ms.
    np.testing.assert_array_equal(
        held.command(START_NS + 299 * MS), pilot.read(START_NS + 250 * MS)
    )


def test_a_held_command_goes_through_the_guard():
    held = fed(245, Held(Pilot(CHECKPOINT), LIMITS))
    assert (held.command(START_NS + 700 * MS) != 0).any()
    assert (held.command(START_NS + 760 * MS) == 0).all(), "the camera is stale"


class Spy:
    """An agent that notes what the clock says at each sample."""

    def __init__(self):
        self.seen = []

    def observe(self, stream, stamp_ns, value, now_ns=None):
        self.seen.append((stream, stamp_ns, now_ns))

    def command(self, at_ns):
        return np.zeros(4)


def test_samples_come_with_the_time_of_the_tick_that_hands_them_over(tmp_path):
    task = Task.load(small_task(tmp_path, 1.0))
    options = condition("reordered").change(SimulatorOptions(samples=1))
    spy = Spy()
    fly(Simulator(make_world(WORLD, task), options, task=task), spy)
    ages = np.array([now - stamp for _, stamp, now in spy.seen])
    assert (ages >= 0).all() and ages.max() <= 300 * MS + CONTROL_PERIOD_NS
    stamps = [stamp for stream, stamp, _ in spy.seen if stream == "imu"]
    assert stamps != sorted(stamps)


def test_flights_under_a_condition_are_other_flights_of_the_same_worlds(tmp_path):
    task, policy = small_task(tmp_path, 1.5), str(small_policy(tmp_path))
    flights = {
        timing: try_once(Trial(WORLD, policy, policy, task, timing))
        for timing in (NOMINAL, "camera_4hz", "blackout")
    }
    assert flights[NOMINAL] == try_once(Trial(WORLD, policy, policy, task))
    assert len({f["path"] + f["distance"] for f in flights.values()}) >= 2
    assert "interrupted" not in flights[NOMINAL]
    begun = flights["blackout"].get("interrupted")
    assert begun is None or 1.0 <= begun <= 1.6
    other = try_once(Trial(WORLD, "held", policy, task, "camera_4hz"))
    assert other != flights["camera_4hz"]


def test_the_expert_flies_the_same_without_pictures(tmp_path):
    task = Task.load(small_task(tmp_path, 3.0))
    geometry = CameraGeometry(WIDTH, HEIGHT)
    for timing in (NOMINAL, "blackout", "pace_1_5"):
        found = try_once(Trial(WORLD, "expert", "", str(tmp_path / "small.yaml"), timing))
        options = condition(timing).change(SimulatorOptions(geometry=geometry))
        sim = Simulator(make_world(WORLD, task), options, task=task)
        flight = fly(sim, ExpertAgent(sim))
        assert (flight.outcome.value, round(flight.distance, 3)) == (
            found["outcome"],
            found["distance"],
        )


def test_the_command_line_flies_under_a_condition_and_says_so(tmp_path, capsys):
    task, policy = small_task(tmp_path, 1.0), str(small_policy(tmp_path))
    file = tmp_path / "e.json"
    words = ["evaluate", "--policy", policy, "--task", task, "--seeds", f"{WORLD}:{WORLD + 2}"]
    assert main([*words, "--shift", "drop_50", "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    assert result["shift"] == "drop_50" and result["rows"]["policy"]["flights"] == 2
    assert "| policy |" in capsys.readouterr().out
    assert main([*words, "--shift", "drop_50", "--card"]) == 2
    assert "--card with --shift drop_50 found, expected nominal" in capsys.readouterr().err
    assert main([*words, "--shift", "drop_50,rain"]) == 2
    assert "shift 'rain' found, expected names of nominal, camera_2hz" in capsys.readouterr().err
