"""Flights as bags: what was measured is what is read, of a demonstration and of a robot."""

import json
import math
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import yaml
from bags import Maker, small_policy, write_bag
from flights_for_tests import CAMERA, MS, arrays, heard, write
from mcap.reader import make_reader
from policies_for_tests import HEIGHT, WIDTH

from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.learning.demonstrate import Episode, record
from lnn_ros.learning.flight_writer import write_flight
from lnn_ros.learning.flights import find_flights, notes, read_flight
from lnn_ros.learning.hints import HINTS
from lnn_ros.learning.sequences import read_folder, read_sequence, recorded_shifts

HOUR = 1_700_000_000_000_000_000


@pytest.mark.parametrize("camera", [
    CAMERA, VirtualCamera(WIDTH, HEIGHT, math.pi / 2, math.radians(15)),
    VirtualCamera(WIDTH, HEIGHT, 2.1, -0.3)])  # fmt: skip
def test_what_was_heard_is_what_is_read_to_the_last_bit(tmp_path, camera):
    data = arrays(seed=3, seconds=1.5)
    data["hints"] = np.random.default_rng(1).normal(0, 1, data["hints"].shape).astype(np.float32)
    flight = read_flight(write(tmp_path / "7", data, seed=7, camera=camera, sided=True), camera)
    for name, value in data.items():
        found = getattr(flight, name)
        assert found.dtype == value.dtype and found.shape == value.shape, name
        assert found.tobytes() == value.tobytes(), name
    assert flight.seed == 7 and flight.sided is True


def test_samples_that_overtake_each_other_are_in_the_order_of_their_stamps(tmp_path):
    data = arrays(seconds=1.0)
    late = np.random.default_rng(0).integers(0, 300 * MS, 10_000)
    mixed = [note._replace(arrival_ns=note.stamp_ns + int(wait))
             for note, wait in zip(heard(data), late, strict=False)]  # fmt: skip
    write_flight(tmp_path / "0", mixed, CAMERA, {"episode": '{"seed": 0}'})
    flight = read_flight(tmp_path / "0", CAMERA)
    for name, value in data.items():
        assert getattr(flight, name).tobytes() == value.tobytes(), name
    with open(tmp_path / "0" / "0.mcap", "rb") as file:
        logged = [m.log_time for *_, m in make_reader(file).iter_messages(log_time_order=False)]
    assert logged == sorted(logged), "it lies there as it came"


def test_anyone_can_read_it(tmp_path):
    """Topics, types and times as on a robot, by another library; compressed, with its notes."""
    data = arrays(seconds=1.0)
    bag = write(tmp_path / "000003", data, seed=3, shifts='["fog:0.1"]')
    about = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert about["storage_identifier"] == "mcap"
    assert about["relative_file_paths"] == ["000003.mcap"]
    assert about["custom_data"]["outcome"] == "arrived"
    assert json.loads(about["custom_data"]["episode"]) == {"seed": 3}
    kinds, times, order = {}, {}, []
    with open(bag / "000003.mcap", "rb") as file:
        reader = make_reader(file)
        chunks = reader.get_summary().chunk_indexes
        assert {chunk.compression for chunk in chunks} == {"zstd"}
        for schema, channel, message in reader.iter_messages():
            kinds[channel.topic] = schema.name
            times.setdefault(channel.topic, []).append(message.log_time)
            order.append(channel.topic)
    assert kinds == {
        "/image": "sensor_msgs/msg/Image", "/camera_info": "sensor_msgs/msg/CameraInfo",
        "/imu": "sensor_msgs/msg/Imu", "/hints": "sensor_msgs/msg/JointState",
        "/cmd_vel": "geometry_msgs/msg/TwistStamped",
        "/takeover": "geometry_msgs/msg/TwistStamped"}  # fmt: skip
    assert times["/image"] == times["/hints"] == (data["frame_stamps"] + 10 * MS).tolist()
    assert times["/imu"] == (data["imu_stamps"] + 10 * MS).tolist()
    assert times["/takeover"] == times["/cmd_vel"] == data["label_stamps"].tolist()
    assert order.index("/camera_info") == order.index("/image") - 1
    assert len(times["/camera_info"]) == 1


def test_a_demonstration_is_replayed_as_any_bag(tmp_path, capsys):
    policy = small_policy(tmp_path / "policy")
    bag = write(tmp_path / "0", arrays(seconds=1.0))
    words = ["--policy", str(policy), "--json", str(tmp_path / "found.json")]
    assert main(["replay", str(bag), *words]) == 0
    assert "/image" in capsys.readouterr().out
    assert json.loads((tmp_path / "found.json").read_text())["camera_coverage"] == 1.0
    # Of a camera that looks down, as the bag says, it sees less than the policy wants.
    down = write(tmp_path / "1", arrays(seconds=1.0), camera=replace(CAMERA, tilt=0.3))
    assert main(["replay", str(down), *words]) == 0
    assert json.loads((tmp_path / "found.json").read_text())["camera_coverage"] < 0.9


KILLED = """
import os, signal, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from flights_for_tests import arrays, write
from lnn_ros import recording
done = recording.Recording.close
def close(self):
    done(self)
    os.kill(os.getpid(), signal.SIGKILL)
recording.Recording.close = close
write(Path({bag!r}), arrays(seconds=1.0))
"""


def test_a_kill_leaves_no_flight_and_the_next_one_goes_on(tmp_path):
    """Killed at the last moment: all is written, and has not yet its name."""
    bag = tmp_path / "000000"
    code = KILLED.format(paths=[p for p in sys.path if p], bag=str(bag))
    killed = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = [path.name for path in tmp_path.iterdir()]
    assert len(left) == 1 and left[0].startswith(".000000.")
    for deep in (False, True):
        with pytest.raises(LnnError, match="no rosbag2 found in it"):
            find_flights(tmp_path, deep)
    write(bag, arrays(seconds=1.0))
    assert find_flights(tmp_path) == find_flights(tmp_path, deep=True) == [bag]


def test_what_fails_while_it_is_written_leaves_nothing(tmp_path):
    data = arrays(seconds=1.0)
    data["imu"] = data["imu"].astype(object)
    data["imu"][7] = None
    with pytest.raises(TypeError):
        write(tmp_path / "0", data)
    assert list(tmp_path.iterdir()) == []


def test_who_comes_second_leaves_what_is_there(tmp_path):
    bag = write(tmp_path / "0", arrays(seed=1, seconds=1.0), seed=1)
    write(bag, arrays(seed=2, seconds=1.0), seed=2)
    assert read_flight(bag, CAMERA).seed == 1 and list(tmp_path.iterdir()) == [bag]


def twist(maker, at_ns, command, stamped):
    """A person's command."""
    make = maker.store.types
    x, y, z, turn = (float(v) for v in command)
    vector = make["geometry_msgs/msg/Vector3"]
    plain = make["geometry_msgs/msg/Twist"](vector(x, y, z), vector(0.0, 0.0, turn))
    if not stamped:
        return plain
    return make["geometry_msgs/msg/TwistStamped"](maker.header(at_ns), plain)


def recorded(path, stamped=True, space="/drone1", fov=1.5, taken_over=True, more=()):
    """A robot's recording, as the companion makes it: larger pictures, and help for a second."""
    rng, maker, logged = np.random.default_rng(5), Maker(), list(more)
    imu = np.array([0.1, 0, 0, 0, 0, 9.81])
    size = 4 * HEIGHT, 4 * WIDTH
    focal = size[1] / 2 / math.tan(fov / 2)
    for k in range(600):
        logged.append((HOUR + k * 5 * MS + MS, f"{space}/imu", maker.imu(HOUR + k * 5 * MS, imu)))
    for k in range(60):
        at = HOUR + k * 50 * MS
        pixels = np.kron(rng.integers(0, 256, (HEIGHT, WIDTH, 1), dtype=np.uint8),
                         np.ones((4, 4, 3), np.uint8))  # fmt: skip
        info = maker.info(at, size[1], size[0], focal)
        logged.append((at + 20 * MS, f"{space}/camera_info", info))
        logged.append((at + 20 * MS, f"{space}/image", maker.image(at, pixels)))
    for k in range(20 if taken_over else 0):
        at = HOUR + 1_000 * MS + k * 50 * MS
        logged.append((at + 3 * MS, f"{space}/takeover", twist(maker, at, (k, 0, 0, 0.5), stamped)))
        logged.append((at + 4 * MS, f"{space}/cmd_vel", twist(maker, at, (9, 9, 9, 9), True)))
    return write_bag(path, sorted(logged, key=lambda row: row[0]), maker=maker)


@pytest.mark.parametrize("stamped", [True, False])
def test_a_robots_takeover_is_the_label_at_its_own_stamp(tmp_path, stamped):
    flight = read_flight(recorded(tmp_path / "real", stamped), CAMERA)
    assert flight.frames.shape == (60, HEIGHT, WIDTH, 3), "as the policy's camera sees them"
    assert len(flight.imu) == 600 and flight.sided is True and flight.seed > 2**32
    begin = HOUR + 1_000 * MS + (0 if stamped else 3 * MS)  # without a stamp: as of when it came
    assert flight.label_stamps.tolist() == [begin + k * 50 * MS for k in range(20)]
    np.testing.assert_array_equal(flight.labels[:, 0], range(20))
    assert np.isnan(flight.hints).all() and flight.hints.shape == (60, HINTS)
    lesson = read_sequence(tmp_path / "real", CAMERA, vary=False)
    asked, ends = lesson.weights.any(1), 0.05 * np.arange(60)
    assert asked.sum() > 15 and not asked[(ends < 0.75) | (ends > 2.0)].any()


def test_other_sensors_of_the_robot_are_passed_over(tmp_path):
    maker, far = Maker(), np.zeros((4, 4), np.uint16)
    more = [(HOUR, "/drone1/depth", maker.image(HOUR, far, "16UC1")),
            (HOUR, "/drone1/second/imu_raw", maker.imu(HOUR, np.ones(6))),
            (HOUR, "/drone1/image/compressed", maker.compressed(HOUR, b"", "jpeg"))]  # fmt: skip
    flight = read_flight(recorded(tmp_path / "real", more=more), CAMERA)
    assert len(flight.frames) == 60 and len(flight.imu) == 600


def test_what_a_controller_drops_is_left_out(tmp_path):
    """Glitches, nothing finite, no stamp; the rest counts."""
    maker, odd = Maker(), [np.full(6, 1e6), np.full(6, np.nan)]
    more = [(HOUR + k, "/drone1/imu", maker.imu(HOUR + k, value)) for k, value in enumerate(odd, 1)]
    more += [(HOUR, "/drone1/takeover", twist(maker, 0, (1, 1, 1, 1), True)),
             (HOUR, "/drone1/takeover", twist(maker, HOUR, (math.inf, 1, 1, 1), True)),
             (HOUR, "/drone1/image", maker.image(HOUR + 1, np.zeros((4, 4, 3), np.uint8)))]
    flight = read_flight(recorded(tmp_path / "real", more=more), CAMERA)
    assert len(flight.imu) == 600 and len(flight.labels) == 20 and len(flight.frames) == 60


def test_sensors_are_as_the_recording_says_that_they_are_mounted(tmp_path):
    data = arrays(seconds=0.5)
    turned = json.dumps({"imu.yaw": math.pi / 2, "imu.offset_s": 0.25, "camera.offset_s": -0.5})
    flight = read_flight(write(tmp_path / "0", data, parameters=turned), CAMERA)
    x, y, z, a, b, c = data["imu"].T
    np.testing.assert_array_equal(flight.imu, np.stack([-y, x, z, -b, a, c], 1))
    np.testing.assert_array_equal(flight.imu_stamps, data["imu_stamps"] + 250 * MS)
    np.testing.assert_array_equal(flight.frame_stamps, data["frame_stamps"] - 500 * MS)


def test_a_flight_without_imu_is_read(tmp_path):
    data = {**arrays(seconds=1.0), "imu_stamps": np.zeros(0, np.int64), "imu": np.zeros((0, 6))}
    for seed in range(40):  # in some of them it would be silenced besides
        bag = write(tmp_path / f"{seed}", data, seed=seed)
        assert read_flight(bag, CAMERA).imu.shape == (0, 6)
        assert read_sequence(bag, CAMERA).weights.any()


def test_what_cannot_be_learned_from_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(LnnError, match="no rosbag2 found in it, expected recorded flights"):
        find_flights(tmp_path / "nowhere")
    for name, words, what in (
        ("narrow", r"sees \d+.\d% of the policy's view, expected at least 80%", {"fov": 0.9}),
        ("two", "has the topics /drone1/image, /drone2/image: expected one of them, of one robot",
         {"more": [(HOUR, "/drone2/image", Maker().image(HOUR, np.zeros((4, 4, 3), np.uint8)))]}),
    ):  # fmt: skip
        with pytest.raises(LnnError, match=words):
            read_flight(recorded(tmp_path / name, **what), CAMERA)
    picture = Maker().image(HOUR, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    with pytest.raises(LnnError, match=r"no calibration .* of '/image', and no parameter"):
        read_flight(write_bag(tmp_path / "unknown", [(HOUR, "/image", picture)]), CAMERA)
    recorded(tmp_path / "alone" / "0", taken_over=False)
    assert len(read_flight(tmp_path / "alone" / "0", CAMERA).frames) == 60
    with pytest.raises(LnnError, match="nothing to learn from found in 1 bags, expected commands"):
        read_folder(tmp_path / "alone", CAMERA)
    for key, text, words in (("episode", "{", "says of the episode '{', expected JSON"),
                             ("parameters", "[]", "expected parameters as JSON")):
        bag = write(tmp_path / key, arrays(seconds=0.5), **{key: text})
        with pytest.raises(LnnError, match=words):
            read_flight(bag, CAMERA)
    bag = write(tmp_path / "shifts", arrays(seconds=0.5), shifts="[1]")
    with pytest.raises(LnnError, match="expected a JSON list of names and strengths"):
        recorded_shifts([bag])
    data = arrays(seconds=0.5)
    data["hints"][3, 2] = np.nan
    with pytest.raises(LnnError, match="topic '/hints': 12 names and 12 values found, expected"):
        read_flight(write(tmp_path / "hints", data), CAMERA)
    data = {**arrays(seconds=0.5), "frames": ()}
    with pytest.raises(LnnError, match="has no topic with images"):
        read_flight(write(tmp_path / "blind", data), CAMERA)


def test_damaged_bags_are_refused(tmp_path):
    bag = write(tmp_path / "0", arrays(seconds=1.0))
    file, blob = bag / "0.mcap", (bag / "0.mcap").read_bytes()
    for size in (0, 100, len(blob) // 2, len(blob) - 9):
        file.write_bytes(blob[:size])
        with pytest.raises(LnnError, match="cannot be read as a rosbag2"):
            read_folder(tmp_path, CAMERA)
    file.write_bytes(blob)
    (bag / "metadata.yaml").write_text("nothing")
    with pytest.raises(LnnError, match="cannot be read as a rosbag2"):
        notes(bag)


def test_a_demonstration_does_not_take_a_recording_for_its_own(tmp_path):
    recorded(tmp_path / "0", taken_over=False)
    with pytest.raises(LnnError, match=r"no flight of lnn_ros demonstrate \('episode'\)"):
        record(Episode(0, str(tmp_path / "0")))
