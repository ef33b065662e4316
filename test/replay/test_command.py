"""``lnn_ros replay`` of bags without a trace: what the pilot says of the log, and of odd bags."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bags import FOV_DEG, MS, START_NS, Maker, flight, join, write_bag
from PIL import Image as Picture
from policies_for_tests import HEIGHT, WIDTH
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from lnn_ros import messages
from lnn_ros.cli import main
from lnn_ros.pilot import Pilot

MAKER = Maker()


@pytest.fixture
def replay(policy, tmp_path, capsys):
    """Run the command; return its status, what it wrote as JSON and what it said."""
    def call(bag, *options, fov=FOV_DEG):
        result = tmp_path / "result.json"
        result.unlink(missing_ok=True)
        words = ["replay", str(bag), "--policy", str(policy), "--json", str(result), *options]
        status = main(words + ([] if fov is None else ["--fov", str(fov)]))
        said = capsys.readouterr()
        found = json.loads(result.read_text()) if result.exists() else None
        return status, found, said.out + said.err
    return call


def commands(bag) -> list[tuple[int, int, list[float]]]:
    """Return log time, stamp and numbers of the commands in a written bag."""
    with AnyReader([bag]) as reader:
        chosen = [c for c in reader.connections if c.topic == "/replay/cmd_vel"]
        return [(log_ns, messages.stamp_ns(m), messages.command_vector(m).tolist())
                for c, log_ns, payload in reader.messages(chosen)
                for m in (reader.deserialize(payload, c.msgtype),)]


def by_hand(policy, logged, rate_hz=30.0) -> list[tuple[int, list[float]]]:
    """Return what a pilot says that is given each message when it was logged."""
    pilot = Pilot.load(policy)
    instants = [logged[0][0] + round(n * 1e9 / rate_hz)
                for n in range(1 + int((logged[-1][0] - logged[0][0]) / 1e9 * rate_hz))]
    found, waiting = [], list(logged)
    for at in instants:
        while waiting and waiting[0][0] <= at:
            log_ns, _, message = waiting.pop(0)
            stamp = messages.stamp_ns(message)
            if hasattr(message, "encoding"):
                pilot.observe("camera", stamp, messages.image_array(message), log_ns)
            else:
                pilot.observe("imu", stamp, messages.imu_vector(message), log_ns)
        found.append((at, pilot.command(at).tolist()))
    return found


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("rate", [None, 7.5, 200.0])
def test_commands_are_those_of_a_pilot_that_lives_through_the_log(replay, policy, tmp_path, plugin,
                                                                  rate):
    logged = flight(3)
    bag = write_bag(tmp_path / "bag", logged, plugin)
    out = tmp_path / "out"
    options = [] if rate is None else ["--rate", str(rate)]
    status, found, said = replay(bag, "--out", str(out), *options)
    assert status == 0
    expected = by_hand(policy, logged, rate or 30.0)
    assert commands(out) == [(at, at, command) for at, command in expected]
    assert any(any(command) for _, command in expected)
    assert found["commands"] == len(expected)
    images = sum(topic == "/image" for _, topic, _ in logged)
    assert found["counts"]["camera.accepted"] == images
    assert found["counts"]["imu.accepted"] == len(logged) - images
    assert found["trace"] is None
    assert found["camera_coverage"] == 1.0
    assert found["latency"]["command"]["n"] == len(expected)
    assert found["bag"]["topics"]["camera"]["name"] == "/image"
    assert {"command", "commit", "machine"} <= set(found)
    assert found["policy"]["weights_sha256"] == Pilot.load(policy).card["weights_sha256"]
    assert f"commands: {len(expected)}\n" in said
    assert "real-time factor" in said


def test_neurons_are_written_with_their_names(replay, policy, tmp_path):
    bag, out = write_bag(tmp_path / "bag", flight(3)), tmp_path / "out"
    assert replay(bag, "--out", str(out))[0] == 0
    with AnyReader([out]) as reader:
        chosen = [c for c in reader.connections if c.topic == "/replay/neurons"]
        found = [reader.deserialize(payload, c.msgtype) for c, _, payload in
                 reader.messages(chosen)]
    assert len(found) == len(commands(out))
    assert found[-1].name == list(Pilot.load(policy).neurons())
    assert np.isfinite(found[-1].position).all()
    assert found[-1].position.any()


def test_sample_that_was_received_after_the_instant_does_not_count(replay, tmp_path):
    logged = flight(3)
    late = [(log_ns + (400 * MS if topic == "/image" else 0), topic, message)
            for log_ns, topic, message in logged]
    outs = []
    for name, entries in (("prompt", logged), ("late", late)):
        bag = write_bag(tmp_path / name, sorted(entries, key=lambda e: e[0]))
        outs.append(tmp_path / f"{name}_out")
        _, found, _ = replay(bag, "--out", str(outs[-1]))
    prompt, delayed = (commands(out) for out in outs)
    first = next(i for i, entry in enumerate(prompt) if any(entry[2]))
    assert not any(any(entry[2]) for entry in delayed[:first + 10])
    assert found["log_minus_stamp"]["camera"]["p50_s"] > 0.4
    assert found["counts"]["rewinds"] > 0


def test_stamps_ahead_of_the_log_are_refused(replay, tmp_path):
    logged = [(log_ns - 600 * MS, topic, message) for log_ns, topic, message in flight(3)]
    _, found, _ = replay(write_bag(tmp_path / "bag", logged))
    topics = found["bag"]["topics"]
    assert found["counts"] == {"camera.dropped_future": topics["camera"]["messages"],
                               "imu.dropped_future": topics["imu"]["messages"],
                               "guard.stale_camera": found["commands"],
                               "guard.stale_imu": found["commands"]}


def test_offsets_of_the_parameter_file_are_added_to_stamps(replay, policy, tmp_path):
    shifted = [(log_ns + round(3.6e12), topic, message) for log_ns, topic, message in flight(3)]
    bag, params = write_bag(tmp_path / "bag", shifted), tmp_path / "params.yaml"
    params.write_text("/**:\n  ros__parameters:\n    seed: 7\n    camera: {offset_s: 3600.0, "
                      "rate_hz: 5.0}\n    imu:\n      offset_s: 1.0\n"
                      "controller:\n  ros__parameters: {imu.offset_s: 3600.0}\n"
                      "simulator:\n  ros__parameters: {imu.offset_s: 5.0}\n")
    out = tmp_path / "out"
    status, found, _ = replay(bag, "--params", str(params), "--out", str(out))
    assert status == 0
    assert found["log_minus_stamp"]["imu"]["p50_s"] < 0.01
    plain = [(log_ns, topic, message) for log_ns, topic, message in flight(3)]
    assert [c for _, _, c in commands(out)] == [c for _, c in by_hand(policy, plain)]


@pytest.mark.parametrize(("text", "said"), [
    ("{", "no YAML"), ("[]", "holds no ros__parameters"), ("/**: 3", "holds no ros__parameters"),
    ("/**:\n  ros__parameters: {camera: {fov_deg: 500.0}}", "parameter camera.fov_deg is 500.0"),
    ("/**:\n  ros__parameters: {horizon_s: soon}", "parameter horizon_s is 'soon'")])
def test_parameter_file_that_is_none_is_said(replay, tmp_path, text, said):
    (tmp_path / "params.yaml").write_text(text)
    bag = write_bag(tmp_path / "bag", flight(3, seconds=0.1))
    status, _, told = replay(bag, "--params", str(tmp_path / "params.yaml"))
    assert status == 2
    assert said in told


def test_no_inertial_samples_is_said_and_commands_zeros(replay, tmp_path):
    logged = [entry for entry in flight(3) if entry[1] == "/image"]
    out = tmp_path / "out"
    status, _, said = replay(write_bag(tmp_path / "bag", logged), "--out", str(out))
    assert status == 0
    assert "no topic with inertial samples" in said
    assert not any(any(command) for _, _, command in commands(out))


def test_hole_in_the_log_asks_for_nothing(replay, tmp_path):
    year = 365 * 86_400 * 1_000_000_000
    logged = flight(3, seconds=0.5) + flight(4, seconds=0.5, start_ns=START_NS + year)
    status, found, said = replay(write_bag(tmp_path / "bag", logged))
    assert status == 0
    assert found["gaps"] == 1
    assert found["commands"] == pytest.approx(2 * 0.5 * 30, abs=3)
    assert "1 holes in the log" in said


@pytest.mark.parametrize(("start_ms", "episodes"), [(-2_000, 2), (1_490, 1), (1_700, 1)])
def test_bag_of_several_files(replay, tmp_path, start_ms, episodes):
    """At the seam of two files log time may go back a little; a lot is another episode."""
    logged = [flight(3), flight(4, start_ns=START_NS + start_ms * MS)]
    parts = [write_bag(tmp_path / f"part{i}", part) for i, part in enumerate(logged)]
    status, found, said = replay(join(tmp_path / "bag", parts))
    assert status == 0
    assert found["episodes"] == episodes
    assert found["bag"]["topics"]["imu"]["messages"] == sum(
        topic == "/imu" for part in logged for _, topic, _ in part)
    taken = sum(count for name, count in found["counts"].items() if name.startswith("imu."))
    assert taken == found["bag"]["topics"]["imu"]["messages"]
    assert ("in 2 episodes" in said) == (episodes == 2)


# Topics

def with_images(*names, seconds=0.2):
    """Return a flight whose images are on several topics."""
    return [(log_ns, name, message) for log_ns, topic, message in flight(3, seconds=seconds)
            for name in (names if topic == "/image" else (topic,))]


def test_several_cameras_are_asked_about(replay, tmp_path):
    bag = write_bag(tmp_path / "bag", with_images("/left/image_raw", "/right/image_raw"))
    status, _, said = replay(bag)
    assert status == 2
    assert "2 topics that could be the camera ('/left/image_raw', '/right/image_raw')" in said
    assert "--image" in said
    status, found, _ = replay(bag, "--image", "/right/image_raw")
    assert status == 0
    assert found["bag"]["topics"]["camera"]["name"] == "/right/image_raw"
    status, _, said = replay(bag, "--image", "/middle")
    assert status == 2
    assert "no topic '/middle' of type sensor_msgs/msg/Image" in said
    assert "'/left/image_raw', '/right/image_raw'" in said


def test_several_imus_are_asked_about(replay, tmp_path):
    logged = [(log_ns, name, message) for log_ns, topic, message in flight(3, seconds=0.2)
              for name in (("/imu/data", "/imu/raw") if topic == "/imu" else (topic,))]
    bag = write_bag(tmp_path / "bag", logged)
    status, _, said = replay(bag)
    assert status == 2
    assert "could be the imu ('/imu/data', '/imu/raw'): name one with --imu" in said
    assert replay(bag, "--imu", "/imu/raw")[0] == 0


def test_bag_without_images_is_refused(replay, tmp_path):
    logged = [entry for entry in flight(3, seconds=0.2) if entry[1] == "/imu"]
    status, _, said = replay(write_bag(tmp_path / "bag", logged))
    assert status == 2
    assert "has no topic with images" in said


def test_field_of_view_must_be_known(replay, tmp_path):
    bag = write_bag(tmp_path / "bag", flight(3, seconds=0.2))
    status, _, said = replay(bag, fov=None)
    assert status == 2
    assert said.count("\n") == 1
    assert "--fov" in said and "'/image'" in said
    assert replay(bag, fov=200.0)[0] == 2


@pytest.mark.parametrize(("topic", "info"), [
    ("/cam/image_raw", "/cam/camera_info"), ("/cam/image_raw", "/elsewhere"),
    ("/cam/image_raw/compressed", "/cam/camera_info")])
def test_calibration_beside_the_images_is_used(replay, tmp_path, topic, info):
    focal = WIDTH / 2 / math.tan(0.75)
    logged = with_images(topic, seconds=0.5)
    logged[3:3] = [(logged[3][0], info, MAKER.info(START_NS, WIDTH, HEIGHT, focal))]
    outs = []
    for name, options in (("by_info", {"fov": None}), ("by_fov", {})):
        bag = write_bag(tmp_path / name, [e for e in logged if name == "by_info" or e[1] != info])
        outs.append(tmp_path / f"{name}_out")
        status, result, said = replay(bag, "--out", str(outs[-1]), **options)
        assert status == 0, said
        assert ("camera_info" in result["bag"]["topics"]) == (name == "by_info")
    assert commands(outs[0]) == commands(outs[1])


def test_calibration_of_another_camera_is_not_taken(replay, tmp_path):
    focal = WIDTH / 2 / math.tan(0.75)
    logged = with_images("/left/image_raw", "/right/image_raw")
    logged += [(logged[-1][0], "/left/camera_info", MAKER.info(START_NS, WIDTH, HEIGHT, focal))]
    bag = write_bag(tmp_path / "bag", logged)
    assert replay(bag, "--image", "/left/image_raw", fov=None)[0] == 0
    assert replay(bag, "--image", "/right/image_raw", fov=None)[0] == 2
    assert replay(bag, "--image", "/right/image_raw", "--camera-info", "/left/camera_info",
                  fov=None)[0] == 0


def test_camera_that_sees_too_little_is_said(replay, tmp_path):
    bag = write_bag(tmp_path / "bag", flight(3, seconds=0.2))
    _, found, said = replay(bag, fov=30.0)
    assert found["camera_coverage"] < 0.5
    assert "the controller would refuse it (at least 80%)" in said


# Images

def encoded(form: str, encoding: str):
    """Return a file of an image of 60x48."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 60, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Picture.fromarray(pixels if encoding == "RGB" else pixels[:, :, 0]).save(stream, form)
    return stream.getvalue()


def raw(encoding: str, height: int, width: int, stamp: int):
    depth = 2 if "16" in encoding else 1
    channels = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "8UC3": 3}.get(encoding, 1)
    pixels = np.random.default_rng(stamp % 1000).integers(0, 256, (height, width, channels * depth),
                                                          dtype=np.uint8)
    message = MAKER.image(stamp, pixels, encoding)
    message.step = width * channels * depth
    return message


@pytest.mark.parametrize("encoding", ["mono8", "rgb8", "bgr8", "rgba8", "bgra8", "8UC1", "8UC3",
                                      "mono16", "16UC1"])
@pytest.mark.parametrize(("height", "width"), [(HEIGHT, WIDTH), (480, 752), (5, 3)])
def test_every_encoding_and_size_runs(replay, tmp_path, encoding, height, width):
    logged = [(log_ns, topic, raw(encoding, height, width, messages.stamp_ns(message))
               if topic == "/image" else message)
              for log_ns, topic, message in flight(3, seconds=0.2)]
    status, found, said = replay(write_bag(tmp_path / "bag", logged))
    assert status == 0, said
    assert found["counts"]["camera.accepted"] == found["bag"]["topics"]["camera"]["messages"]


@pytest.mark.parametrize(("form", "said"), [("JPEG", "jpeg"), ("PNG", "rgb8; png compressed bgr8")])
@pytest.mark.parametrize("encoding", ["RGB", "L"])
def test_compressed_images_run(replay, tmp_path, form, said, encoding):
    data = encoded(form, encoding)
    logged = [(log_ns, topic, MAKER.compressed(messages.stamp_ns(message), data, said)
               if topic == "/image" else message)
              for log_ns, topic, message in flight(3, seconds=0.2)]
    status, found, told = replay(write_bag(tmp_path / "bag", logged))
    assert status == 0, told
    assert found["counts"]["camera.accepted"] == found["bag"]["topics"]["camera"]["messages"]


def test_images_that_cannot_be_used_are_counted_with_a_reason(replay, tmp_path):
    logged = flight(3, seconds=0.3)
    images = [i for i, (_, topic, _) in enumerate(logged) if topic == "/image"]
    logged[images[0]][2].encoding = "nonsense"
    logged[images[1]][2].header.stamp.sec = -5
    logged[images[2]][2].height = 10**6
    status, found, said = replay(write_bag(tmp_path / "bag", logged))
    assert status == 0
    assert found["counts"]["camera.content"] == 2
    assert found["counts"]["camera.stamp"] == 1
    assert "camera.content: 2 (image encoding 'nonsense' is unknown" in said


# The command

def test_options_are_checked(replay, tmp_path):
    bag = write_bag(tmp_path / "bag", flight(3, seconds=0.2))
    for options, said in ((("--rate", "0"), "--rate is 0.0"), (("--rate", "nan"), "--rate is nan"),
                          (("--out", str(bag)), "cannot be made"),
                          (("--out", "/proc/no/bag"), "cannot be made"),
                          (("--trace", "/nothing"), "no topic '/nothing'")):
        status, _, told = replay(bag, *options)
        assert status == 2
        assert said in told
        assert told.count("\n") == 1
    assert main(["replay", str(tmp_path / "none"), "--policy", "fly_to_nowhere"]) == 2


def test_neither_ros_nor_training_nor_simulation_is_needed(policy, tmp_path):
    bag = write_bag(tmp_path / "bag", flight(3, seconds=0.2))
    code = ("import sys\nfor name in ('rclpy', 'torch', 'mujoco', 'numba', 'sensor_msgs'):\n"
            "    sys.modules[name] = None\n"
            "from lnn_ros.cli import main\nsys.exit(main(sys.argv[1:]))")
    done = subprocess.run([sys.executable, "-c", code, "replay", bag, "--policy", policy,
                           "--fov", str(FOV_DEG)], cwd=Path(__file__).resolve().parents[2],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_error_leaves_no_half_a_bag(replay, tmp_path):
    out = tmp_path / "out"
    bag = write_bag(tmp_path / "bag", flight(3), compression=CompressionMode.STORAGE)
    (file,) = bag.glob("*.mcap")
    data, start = file.read_bytes(), b"\x28\xb5\x2f\xfd"  # of a zstd frame
    assert start in data
    file.write_bytes(data.replace(start, bytes(4)))
    status, _, said = replay(bag, "--out", str(out))
    assert status == 2, said
    assert not out.exists()


def test_names_from_a_bag_do_not_steer_the_terminal(replay, tmp_path):
    bag = write_bag(tmp_path / "bag", with_images("/image\x1b[2J"))
    status, _, said = replay(bag)
    assert status == 0
    assert "\x1b" not in said
