"""Recordings that were cut short: what was flushed is there again, whatever the byte."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import Reader

from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.recording import Recording
from lnn_ros.recovery import recover, unfinished

TOPICS = {"/numbers": "std_msgs/msg/Int64", "/pictures": "sensor_msgs/msg/Image"}
LATCHED = Qos(QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL,
              QosTime(1, 0), QosTime(1, 0), QosLiveliness.AUTOMATIC, QosTime(1, 0), False)


def message(number: int) -> bytes:
    return b"\x00\x01\x00\x00" + number.to_bytes(8, "little") * (1 + number % 40)


def recorded(folder: Path, flushes: int = 6, each: int = 20, splits: tuple[int, ...] = (),
             name: str = "bag") -> tuple[Recording, list[int]]:
    """Write messages, numbered; return the recording, and the file's size after each flush."""
    recording = Recording(folder, name)
    recording.note("robot", "crazyflie")
    for topic, kind in TOPICS.items():
        recording.add_topic(topic, kind, [LATCHED])
    sizes = []
    for k in range(flushes * each):
        recording.write(list(TOPICS)[k % 2], 10**9 + k, message(k))
        if k % each == each - 1:
            recording.flush()
            sizes.append(recording.file_size)
            if k // each in splits:
                recording.split()
    return recording, sizes


def read(bag: Path) -> list[int]:
    """Return the numbers of all messages, in order, each checked."""
    found = []
    with Reader(bag) as reader:
        for connection, log_ns, payload in reader.messages():
            number = log_ns - 10**9
            assert bytes(payload) == message(number)
            assert connection.topic == list(TOPICS)[number % 2]
            found.append(number)
    return found


def left_behind(recording: Recording, to: Path) -> Path:
    """Copy a recording as it is on the disk now, as after a kill: with no lock on it."""
    bag = to / recording.path.name
    shutil.copytree(recording.path, bag)
    return bag


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """A recording without an end, and the size of its file after each flush."""
    folder = tmp_path_factory.mktemp("cut")
    recording, sizes = recorded(folder / "whole")
    bag = left_behind(recording, folder)
    recording.close()
    return bag, sizes


@settings(max_examples=40)
@given(share=st.floats(0.0, 1.0))
def test_cut_at_any_byte_all_whole_chunks_are_there_again(cut, tmp_path_factory, share):
    source, sizes = cut
    folder = tmp_path_factory.mktemp("at_any_byte")
    bag = folder / "bag"
    shutil.copytree(source, bag)
    file = bag / "bag.mcap"
    size = round(share * file.stat().st_size)
    with file.open("rb+") as stream:
        stream.truncate(size)
    assert unfinished(folder) == [bag]
    found = recover(bag)
    numbers = read(bag)
    assert numbers == list(range(len(numbers))) and found.messages == len(numbers)
    assert len(numbers) >= 20 * sum(size >= end for end in sizes)
    assert unfinished(folder) == [] and sorted(p.name for p in bag.iterdir()) == [
        "bag.mcap", "metadata.yaml"]


@settings(max_examples=30)
@given(share=st.floats(0.0, 1.0), byte=st.integers(1, 255))
def test_a_byte_that_is_wrong_never_makes_a_wrong_message(cut, tmp_path_factory, share, byte):
    source, _ = cut
    bag = tmp_path_factory.mktemp("wrong_byte") / "bag"
    shutil.copytree(source, bag)
    data = bytearray((bag / "bag.mcap").read_bytes())
    data[min(round(share * len(data)), len(data) - 1)] ^= byte
    (bag / "bag.mcap").write_bytes(data)
    recover(bag)
    with Reader(bag) as reader:
        assert all(bytes(payload) == message(log_ns - 10**9)
                   for _, log_ns, payload in reader.messages())


def test_what_was_said_of_the_recording_and_its_topics_is_kept(cut, tmp_path):
    bag = tmp_path / "bag"
    shutil.copytree(cut[0], bag)
    recover(bag)
    said = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert said["custom_data"] == {"robot": "crazyflie"}
    with Reader(bag) as reader:
        for connection in reader.connections:
            assert connection.msgtype == TOPICS[connection.topic]
            assert connection.ext.offered_qos_profiles == [LATCHED]


def test_of_several_files_only_the_last_can_be_cut_short(tmp_path):
    recording, _ = recorded(tmp_path / "whole", splits=(1, 3))
    bag = left_behind(recording, tmp_path)
    assert read(bag) == list(range(80)), "what was split off is complete without recovery"
    first = (bag / "bag_0.mcap").read_bytes()
    found = recover(bag)
    assert (found.files, found.messages) == (1, 120) and read(bag) == list(range(120))
    assert (bag / "bag_0.mcap").read_bytes() == first
    recording.close()
    assert read(recording.path) == list(range(120)) and recording.files == 4


def test_a_recording_in_progress_is_left_alone(tmp_path):
    recording, _ = recorded(tmp_path)
    assert unfinished(tmp_path) == []
    with pytest.raises(LnnError, match="somebody is writing it"):
        recover(recording.path)
    recording.split()
    recording.write("/numbers", 10**9 + 120, message(120))
    assert unfinished(tmp_path) == []
    recording.close()
    assert unfinished(tmp_path) == [] and read(recording.path) == list(range(121))


def test_a_recovery_that_is_killed_is_begun_anew(cut, tmp_path):
    for folder in ("once", "again"):
        shutil.copytree(cut[0], tmp_path / folder / "bag")
    script = ("import os, signal, sys\n"
              "from pathlib import Path\n"
              "import lnn_ros.recovery as r\n"
              "def dies(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
              "setattr(r, sys.argv[2], dies)\n"
              "r.recover(Path(sys.argv[1]))\n")
    for name, folder in (("write_metadata", "once"), ("_whole", "again")):
        bag = tmp_path / folder / "bag"
        done = subprocess.run([sys.executable, "-c", script, str(bag), name], check=False)
        assert done.returncode == -signal.SIGKILL
        assert unfinished(tmp_path / folder) == [bag]
        recover(bag)
        assert read(bag) == list(range(120))


def test_command_tells_what_became_of_each(cut, tmp_path, capsys):
    shutil.copytree(cut[0], tmp_path / "bag")
    whole, _ = recorded(tmp_path, name="whole")
    whole.close()
    assert main(["recover", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"{tmp_path / 'bag'}: 120 messages; 1 files were damaged, 0 bytes" in said
    assert "1 recordings completed" in said
    assert main(["recover", str(tmp_path / "nowhere")]) == 2
    assert "no folder found" in capsys.readouterr().err


def test_notes_survive_a_kill(tmp_path):
    recording, _ = recorded(tmp_path / "whole")
    recording.note("outcome", "arrived")
    bag = left_behind(recording, tmp_path)
    assert json.loads((bag / "notes.json").read_text())["outcome"] == "arrived"
    recording.close()
    assert not (recording.path / "notes.json").exists()
