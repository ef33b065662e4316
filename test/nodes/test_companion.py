"""The companion: what is recorded is what was sent, and a kill takes no more than half a second."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from mcap.reader import make_reader
from rclpy.serialization import deserialize_message, serialize_message
from ros import BEST_EFFORT, LATCHED, RELIABLE, pairs, read_cut
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import Int64, String

from lnn_ros import messages


def bags(folder: Path) -> list[Path]:
    """Return the recordings in a folder, oldest first."""
    return sorted((path for path in folder.iterdir()), key=lambda p: (len(p.name), p.name))


def read(bag: Path) -> dict[str, list[tuple[int, bytes]]]:
    """Return log time and payload of a complete recording's messages, by topic."""
    found: dict[str, list[tuple[int, bytes]]] = {}
    with AnyReader([bag]) as reader:
        for connection, log_ns, payload in reader.messages():
            found.setdefault(connection.topic, []).append((log_ns, bytes(payload)))
    return found


def test_recording_is_what_was_sent(bench, tmp_path):
    folder = tmp_path / "recordings"
    status = bench.collect(DiagnosticStatus, "companion/status", LATCHED)
    latched = bench.node.create_publisher(String, "latched", LATCHED)
    latched.publish(String(data="said before anybody recorded"))
    process = bench.start("companion", folder=folder)
    bench.until(lambda: status and pairs(status[-1]).get("recording") == "false", "its status")
    assert not folder.exists()

    answer = bench.set_bool("companion/record", True)
    assert answer.success
    assert str(folder) in answer.message
    reliable = bench.publisher(Int64, "reliable", RELIABLE)
    image = bench.publisher(Image, "image", BEST_EFFORT)
    sent, pictures = [], []
    for number in range(500):
        reliable.publish(Int64(data=number))
        sent.append(number)
        if number % 25 == 0:
            picture = Image(height=2, width=2, step=6, encoding="rgb8")
            picture.data.frombytes(bytes(range(number % 200, number % 200 + 12)))
            messages.set_time(picture.header.stamp, 1 + number)
            image.publish(picture)
            pictures.append(picture)
            bench.spin(0.001)
    late = bench.publisher(String, "late")  # a topic that joins while it records
    late.publish(String(data="joined"))
    bench.until(lambda: int(pairs(status[-1]).get("messages", 0)) >= 500, "messages counted")
    assert reliable.wait_for_all_acked()
    assert late.wait_for_all_acked()
    assert bench.set_bool("companion/record", False).success

    (bag,) = bags(folder)
    found = read(bag)
    assert [deserialize_message(p, Int64).data for _, p in found["/reliable"]] == sent
    assert [p for _, p in found["/image"]] == [serialize_message(p) for p in pictures]
    assert [deserialize_message(p, String).data for _, p in found["/late"]] == ["joined"]
    (kept,) = found["/latched"]
    assert deserialize_message(kept[1], String).data == "said before anybody recorded"
    assert "/companion/status" in found
    times = [log_ns for log_ns, _ in found["/reliable"]]
    assert times == sorted(times)
    assert abs(times[-1] - time.time_ns()) < 60e9

    with AnyReader([bag]) as reader:  # what it says about the topics
        offered = {c.topic: c.ext.offered_qos_profiles[0] for c in reader.connections}
        assert offered["/image"].reliability is QosReliability.BEST_EFFORT
        assert offered["/reliable"].reliability is QosReliability.RELIABLE
        assert offered["/latched"].durability is QosDurability.TRANSIENT_LOCAL
    (file,) = bag.glob("*.mcap")
    with file.open("rb") as stream:  # another library agrees
        reader = make_reader(stream)
        assert reader.get_summary().statistics.message_count == sum(map(len, found.values()))
        assert {c.topic for c in reader.get_summary().channels.values()} >= set(found)

    # It can start again, and ends its recording when it is stopped itself.
    assert bench.set_bool("companion/record", True).success
    process.send(signal.SIGTERM)
    assert process.wait() == 0
    assert all((path / "metadata.yaml").is_file() for path in bags(folder))
    assert len(bags(folder)) == 2


def test_a_kill_takes_no_more_than_half_a_second(bench, tmp_path):
    process = bench.start("companion", folder=tmp_path / "recordings", record=True)
    counter = bench.publisher(Int64, "counter")
    sent: list[int] = []
    end = time.monotonic() + 1.7
    while time.monotonic() < end:
        sent.append(time.monotonic_ns())
        counter.publish(Int64(data=sent[-1]))
        bench.spin(0.002)
    killed = time.monotonic_ns()
    process.send(signal.SIGKILL)
    process.wait()
    (bag,) = bags(tmp_path / "recordings")
    assert not (bag / "metadata.yaml").exists()  # it really was killed
    found = [deserialize_message(p, Int64).data for p in read_cut(bag)["/counter"]]
    assert found == sent[:len(found)]  # all up to some moment, then nothing
    assert killed - found[-1] <= 500_000_000


def test_time_that_goes_back_begins_another_bag(bench, tmp_path):
    bench.start("companion", folder=tmp_path / "recordings", record=True, use_sim_time=True)
    clock, number = bench.publisher(Clock, "/clock"), bench.publisher(Int64, "number")
    # Two readers of /clock: the recording, and the node's own time.
    bench.until(lambda: clock.get_subscription_count() == 2, "two readers of /clock")
    for second in (5, 6, 1, 2):
        message = Clock()
        messages.set_time(message.clock, second * 10**9)
        clock.publish(message)
        assert clock.wait_for_all_acked()
        number.publish(Int64(data=second))
        assert number.wait_for_all_acked()
    bench.until(lambda: len(bags(tmp_path / "recordings")) == 2, "a second recording")
    assert bench.set_bool("companion/record", False).success
    first, second = (read(bag) for bag in bags(tmp_path / "recordings"))
    for found, seconds in ((first, (5, 6)), (second, (1, 2))):
        assert [(t, deserialize_message(p, Int64).data) for t, p in found["/number"]] == [
            (s * 10**9, s) for s in seconds]


@pytest.mark.parametrize("folder", ["/proc/nowhere", "~nobody_of_this_name/bags"])
def test_folder_that_cannot_hold_a_recording_is_named(bench, folder, tmp_path):
    process = bench.start("companion", folder=folder)
    answer = bench.set_bool("companion/record", True)
    assert not answer.success
    assert folder in answer.message
    assert process.alive


def test_nobody_on_the_network_chooses_where_is_written(bench, tmp_path):
    bench.start("companion", folder=tmp_path / "fine")
    changed = bench.set_parameters("companion", folder=str(tmp_path / "elsewhere"))
    assert not changed.successful
    assert "it counts when the node is started" in changed.reason
    assert bench.set_bool("companion/record", True).success
    assert (tmp_path / "fine").exists()
    assert not (tmp_path / "elsewhere").exists()
