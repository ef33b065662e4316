"""Closed loop: demonstrations, training from the command line through a kill, and judging."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from lnn_ros import policies
from lnn_ros.cli import main
from lnn_ros.learning.architecture import virtual_camera
from lnn_ros.learning.controls import ColorServo, StraightAhead, Without
from lnn_ros.learning.demonstrate import Episode, record
from lnn_ros.learning.evaluate import evaluate
from lnn_ros.learning.executors import Processes
from lnn_ros.learning.flights import notes, read_flight
from lnn_ros.learning.hints import COLUMNS, Hinter, proximity
from lnn_ros.learning.rollout import ExpertAgent, fly
from lnn_ros.learning.sequences import read_sequence
from lnn_ros.learning.variety import on_card, taught_timing
from lnn_ros.liquid.checkpoint import load
from lnn_ros.liquid.spec import SUMMARY
from lnn_ros.messages import command_vector, stamp_ns
from lnn_ros.pilot import Pilot
from lnn_ros.replay.bag import Bag
from lnn_ros.simulation.camera import Renderer
from lnn_ros.simulation.simulator import Outcome, Simulator, SimulatorOptions
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.world import distance_to
from lnn_ros.simulation.worlds import make_world

SHIPPED = str(policies.path("fly_to_target"))
TASK = Task.load("fly_to_target")


def test_the_expert_arrives_as_an_agent():
    sim = Simulator(make_world(300_001, TASK), SimulatorOptions(render=False), task=TASK)
    flight = fly(sim, ExpertAgent(sim))
    assert flight.outcome is Outcome.ARRIVED
    assert flight.distance <= TASK.success.distance and flight.clearance > 0
    assert flight.path > 5.0 and 4.0 < flight.seconds < 30.0


def test_the_same_flight_twice():
    """The policy in the loop: same world, same flight, to the last bit; and it moves."""
    ends = []
    for _ in range(2):
        sim = Simulator(make_world(300_002, TASK), task=TASK)
        pilot = Pilot.load(SHIPPED)
        flight = fly(sim, pilot)
        ends.append((flight, pilot.state()[1].tobytes(), pilot.counts()))
    assert ends[0] == ends[1]
    assert ends[0][0].path > 1.0
    assert not [name for name in ends[0][2] if "dropped" in name]


def decoded(bag, name):
    """Messages of a topic."""
    with Bag(bag) as opened:
        (topic,) = (t for t in opened.topics(("geometry_msgs/msg/TwistStamped",)) if t.name == name)
        return [opened.decode(topic, payload) for *_, payload in opened.messages([topic])]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_an_episode_is_recorded_once_and_is_reproducible(tmp_path, share):
    bags = [tmp_path / name / "x" for name in "ab"]
    policy = SHIPPED if share else None
    outcomes = [record(Episode(300_003, str(bag), policy, share)) for bag in bags]
    assert outcomes[0] == outcomes[1]
    assert (bags[0] / "x.mcap").read_bytes() == (bags[1] / "x.mcap").read_bytes()
    camera = virtual_camera(TASK)
    one = read_flight(bags[0], camera)
    assert one.seed == 300_003
    assert (np.diff(one.imu_stamps) == 5_000_000).all(), "every inertial sample at 200 Hz"
    assert np.median(np.diff(one.label_stamps)) == pytest.approx(1e9 / 30, rel=0.1)
    rate = 1e9 / np.median(np.diff(one.frame_stamps))
    assert 1.5 < rate < 61.0
    flown, wished = ({stamp_ns(m): command_vector(m) for m in decoded(bags[0], topic)}
                     for topic in ("/cmd_vel", "/takeover"))  # fmt: skip
    assert list(flown) == list(wished) == one.label_stamps.tolist()
    # Until the first frame has come, which takes less than 0.5 s, both stand still.
    obeyed = [np.array_equal(flown[stamp], wished[stamp]) for stamp in flown
              if stamp > one.frame_stamps[0] + 500_000_000]
    # Shoved at times, and at times flown by the student.
    assert not any(obeyed) if share else 0.5 < np.mean(obeyed) < 1.0
    said = notes(bags[0])
    assert said.get("policy") == (load(SHIPPED).weights_digest() if share else None)
    sequence = read_sequence(bags[0], camera, vary=False)
    assert (sequence.where >= 0).sum() == len(one.frames)
    assert (sequence.weights > 0).mean() > 0.8
    coverage = sequence.summaries[1:, SUMMARY.index("imu_coverage")]
    assert coverage.min() > 0.9, "the IMU covers the intervals"
    before = (bags[0] / "x.mcap").stat().st_mtime_ns
    record(Episode(300_003, str(bags[0]), policy, share))
    assert (bags[0] / "x.mcap").stat().st_mtime_ns == before, "what is there is kept"


def test_hints_agree_with_the_picture_and_the_world():
    world = make_world(300_004, TASK)
    hinter = Hinter(world, np.pi / 2)
    x, y, z = world.start
    sees = hinter(x, y, z, world.start_yaw)
    # By steps along the ray through each column's middle: the first point inside a solid.
    bearings = [world.start_yaw + np.arctan(1 - 2 * (c + 0.5) / COLUMNS) for c in range(COLUMNS)]
    for column, bearing in enumerate(bearings):
        reach = 20.0
        for distance in np.arange(0.0, 20.0, 0.02):
            at = (x + distance * np.cos(bearing), y + distance * np.sin(bearing), z)
            near = [s for s in world.solids if distance_to(s, at) <= 0 and s is not world.target]
            if near:
                reach = distance
                break
        # The column's nearest is at least as near as its middle's.
        assert sees[column] >= proximity(np.array(reach + 0.1))
    clear = hinter.clearance(x, y, z)
    others = [s for s in world.solids if s is not world.target]
    assert clear == pytest.approx(min(distance_to(s, (x, y, z)) for s in others))
    agree = 0
    for seed in range(300_010, 300_030):
        world = make_world(seed, TASK)
        cos, sin = np.cos(world.start_yaw), np.sin(world.start_yaw)
        rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
        mask = Renderer(world).target_mask(np.array(world.start), rotation)
        told = Hinter(world, np.pi / 2)(*world.start, world.start_yaw)
        agree += bool(told[COLUMNS]) == bool(mask.sum() > 2)
    assert agree >= 16, "only an edge may be seen by one and not by the other"


def picture(red_columns):
    image = np.full((48, 64, 3), 100, np.uint8)
    image[20:40, red_columns] = (200, 20, 20)
    return image


def test_controls_do_what_their_names_say():
    servo = ColorServo()
    assert (servo.command(10**9) == 0).all()
    servo.observe("camera", 10**9, picture(slice(2, 6)))
    left = servo.command(10**9)
    assert left[3] > 0.5 and left[0] > 0
    servo.observe("camera", 2 * 10**9, picture(slice(58, 62)))
    assert servo.command(2 * 10**9)[3] < -0.5
    assert (servo.command(3 * 10**9) == 0).all(), "stale"
    servo.observe("camera", 3 * 10**9, picture(slice(5, 60)))
    assert servo.command(3 * 10**9)[0] < 0.1, "near enough"
    np.testing.assert_array_equal(StraightAhead(1.2).command(1), [1.2, 0, 0, 0])
    states = []
    for lacking in ("nothing", "camera", "imu"):
        pilot = Pilot.load(SHIPPED)
        agent = Without(pilot, lacking)
        agent.observe("imu", 10**9, np.array([0.5, 0.5, 0.5, 3.0, 0, 9.0]))
        agent.observe("camera", 10**9 + 10**7, picture(slice(2, 9)))
        states.append(pilot.state()[1])
    black, still = Pilot.load(SHIPPED), Pilot.load(SHIPPED)
    black.observe("imu", 10**9, np.array([0.5, 0.5, 0.5, 3.0, 0, 9.0]))
    black.observe("camera", 10**9 + 10**7, np.zeros((48, 64, 3), np.uint8))
    still.observe("imu", 10**9, np.zeros(6))
    still.observe("camera", 10**9 + 10**7, picture(slice(2, 9)))
    np.testing.assert_array_equal(states[1], black.state()[1])
    np.testing.assert_array_equal(states[2], still.state()[1])
    assert not np.array_equal(states[0], states[1]) and not np.array_equal(states[0], states[2])


def test_evaluation_flies_the_same_worlds_whatever_the_workers(tmp_path, capsys):
    rows = {"straight_ahead": ("straight_ahead", SHIPPED), "policy": (SHIPPED, SHIPPED)}
    seeds = range(300_005, 300_007)
    alone = evaluate(rows, seeds, Processes(), TASK.name)
    assert alone == evaluate(rows, seeds, Processes(2), TASK.name)
    for row in alone.values():
        assert [w["seed"] for w in row["worlds"]] == list(seeds)
        assert row["arrived"] + row["contact"] + row["timeout"] == 2
    file, copy = tmp_path / "e.json", tmp_path / "policy.safetensors"
    shutil.copy(SHIPPED, copy)
    words = ["evaluate", "--policy", str(copy), "--seeds", "300005:300006", "--card"]
    assert main([*words, "--json", str(file)]) == 0
    assert "| policy |" in capsys.readouterr().out
    result = json.loads(file.read_text())
    assert result["weights_sha256"] == load(SHIPPED).weights_digest()
    assert result["rows"]["policy"]["flights"] == 1
    noted = load(copy)
    assert noted.weights_digest() == result["weights_sha256"]
    assert noted.card["evaluation"]["rows"]["policy"]["flights"] == 1


def tiny_train(out, *more):
    words = (
        f"-m lnn_ros.cli train --out {out} --flights 2 --look 256 --epochs 2 --rounds 1 "
        f"--round-flights 1 --last-epochs 1 --whole-epochs 2 "
        f"--settle-epochs 1 --json {out / 'course.json'}"
    )
    return [sys.executable, *words.split(), *more]


def test_training_goes_on_after_a_kill_as_if_nothing_had_happened(tmp_path):
    """Early, and after the encoder has changed for the last time."""
    whole = tmp_path / "whole"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(tiny_train(whole), check=True, env=environment, capture_output=True)
    one = load(whole / "policy.safetensors")
    for step in (3, 8):
        killed = tmp_path / f"killed_{step}"
        words = tiny_train(killed, "--data", str(whole))
        process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, text=True)
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(f"step {step}/"):
                process.send_signal(signal.SIGKILL)
                break
        process.wait()
        process.stderr.close()
        assert not (killed / "policy.safetensors").exists()
        subprocess.run(words, check=True, env=environment, capture_output=True)
        assert load(killed / "policy.safetensors").weights_digest() == one.weights_digest()
    assert one.card["training"]["worlds"] == [0, 3]
    assert on_card(one.card["training"], "timing") == taught_timing(Task.load("fly_to_target"))
    assert "lnn_ros train" in one.card["training"]["command"]
    course = json.loads((killed / "course.json").read_text())["course"]
    kinds = [entry["kind"] for entry in course]
    assert kinds == ["fly", "look", "core", "core", "fly", "core", "whole", "whole", "settle"]
    assert all(np.isfinite(entry["loss"]) for entry in course if "loss" in entry)
    # Other arguments in the same folder are refused, in one line.
    wrong = subprocess.run(
        [*tiny_train(killed, "--data", str(whole)), "--seed", "5"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 2 and "other arguments" in wrong.stderr
