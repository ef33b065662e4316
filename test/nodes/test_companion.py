"""The companion: what is recorded is what was sent, and a kill takes no more than half a second."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
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


def read_notes(bag: Path) -> dict[str, str]:
    """Return what a complete recording says of itself."""
    said = yaml.safe_load((bag / "metadata.yaml").read_text())
    return said["rosbag2_bagfile_information"]["custom_data"]


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


def test_folder_that_cannot_hold_a_recording_is_named(bench):
    process = bench.start("companion", folder="/proc/nowhere")
    answer = bench.set_bool("companion/record", True)
    assert not answer.success
    assert "/proc/nowhere" in answer.message
    assert process.alive


def test_folder_of_nobody_is_named_at_configure(bench):
    status = bench.collect(DiagnosticStatus, "companion/status", LATCHED)
    process = bench.start("companion", folder="~nobody_of_this_name/bags")
    bench.until(lambda: status and "~nobody_of_this_name/bags" in status[-1].message, "its status")
    assert status[-1].level == DiagnosticStatus.ERROR and process.alive


def test_nobody_on_the_network_chooses_where_is_written(bench, tmp_path):
    bench.start("companion", folder=tmp_path / "fine")
    changed = bench.set_parameters("companion", folder=str(tmp_path / "elsewhere"))
    assert not changed.successful
    assert "it counts when the node is started" in changed.reason
    assert bench.set_bool("companion/record", True).success
    assert (tmp_path / "fine").exists()
    assert not (tmp_path / "elsewhere").exists()


class Keeper:
    """A companion, a counter that it records, and a controller's word that the test says."""

    def __init__(self, bench, folder, readers=1, **parameters):
        self.bench, self.folder = bench, folder
        self.process = bench.start("companion", folder=folder, **parameters)
        self.status = bench.collect(DiagnosticStatus, "companion/status", LATCHED)
        self.counter = bench.publisher(Int64, "counter", RELIABLE, readers)
        self.controller = bench.publisher(DiagnosticStatus, "controller/status", LATCHED, readers)
        self.sent = []

    def count(self, numbers=20):
        for _ in range(numbers):
            self.sent.append(len(self.sent))
            self.counter.publish(Int64(data=self.sent[-1]))
            self.bench.spin(0.002)
        assert self.counter.wait_for_all_acked()

    def say(self, mode, reason="a reason"):
        values = {"mode": mode, "reason": reason, "policy": "0123456789abcdef"}
        self.controller.publish(DiagnosticStatus(
            name="controller: status",
            values=[KeyValue(key=key, value=value) for key, value in values.items()]))
        assert self.controller.wait_for_all_acked()

    def told(self):
        return pairs(self.status[-1]) if self.status else {}

    def until(self, **wanted):
        self.bench.until(lambda: all(self.told().get(key) == value
                                     for key, value in wanted.items()), f"status {wanted}")

    def counted(self, bag):
        return [deserialize_message(p, Int64).data for _, p in read(bag)["/counter"]]


def test_what_came_before_a_takeover_is_kept(bench, tmp_path):
    keeper = Keeper(bench, tmp_path / "recordings", after_s=3.0, robot="crazyflie")
    keeper.say("engaged")
    keeper.count()
    assert not (tmp_path / "recordings").exists()
    keeper.say("takeover", "a person commands")
    keeper.until(recording="true", marked="true")
    keeper.count()
    keeper.say("hold", "released")
    keeper.until(recording="false")  # it ends by itself
    (bag,) = bags(tmp_path / "recordings")
    assert keeper.counted(bag) == keeper.sent
    said = read_notes(bag)
    assert said["policy"] == "0123456789abcdef" and said["robot"] == "crazyflie"
    assert said["marked"] == "true" and said["outcome"] == "hold: released"
    (takeover,) = json.loads(said["takeovers"])
    assert takeover["controller"] == "/controller" and takeover["from_ns"] < takeover["to_ns"]
    (event,) = json.loads(said["events"])
    assert event["why"] == "takeover: a person commands"
    assert len(read(bag)["/controller/status"]) == 3, "what was said before is there, once"


def test_mark_keeps_the_past_and_no_memory_keeps_none(bench, tmp_path):
    keeper = Keeper(bench, tmp_path / "recordings", readers=0, preroll_s=0.0)
    assert bench.trigger("companion/mark").success
    keeper.until(recording="true")
    bench.until(lambda: keeper.counter.get_subscription_count() == 1, "a reader of the counter")
    keeper.count()
    assert bench.set_bool("companion/record", False).success
    (bag,) = bags(tmp_path / "recordings")
    assert keeper.counted(bag) == keeper.sent
    assert read_notes(bag)["marked"] == "true"


def test_pause_leaves_out_and_split_goes_on(bench, tmp_path):
    keeper = Keeper(bench, tmp_path / "recordings")
    for service in ("pause", "split"):
        call = bench.set_bool if service == "pause" else lambda name, _: bench.trigger(name)
        refused = call(f"companion/{service}", True)
        assert not refused.success and "nothing is being recorded" in refused.message
    assert bench.set_bool("companion/record", True).success
    keeper.until(recording="true")
    keeper.count(10)
    assert bench.set_bool("companion/pause", True).success
    keeper.count(10)
    assert bench.set_bool("companion/pause", False).success
    keeper.count(10)
    answer = bench.trigger("companion/split")
    assert answer.success and "file 2" in answer.message
    keeper.count(10)
    (bag,) = bags(tmp_path / "recordings")
    assert bench.set_bool("companion/record", False).success
    assert keeper.counted(bag) == [*range(10), *range(20, 40)]
    assert len(list(bag.glob("*.mcap"))) == 2


def test_a_start_completes_what_a_kill_has_left(bench, tmp_path):
    keeper = Keeper(bench, tmp_path / "recordings", record=True)
    keeper.until(recording="true")
    keeper.count(100)
    keeper.bench.until(lambda: int(keeper.told().get("messages", 0)) >= 100, "messages")
    keeper.process.send(signal.SIGKILL)
    keeper.process.wait()
    (bag,) = bags(tmp_path / "recordings")
    assert not (bag / "metadata.yaml").exists()
    bench.start("companion", folder=tmp_path / "recordings")
    bench.until(lambda: (bag / "metadata.yaml").exists(), "metadata")
    found = keeper.counted(bag)
    assert found == keeper.sent[:len(found)]


def test_topics_can_be_chosen_and_what_the_controller_says_is_always_among_them(bench, tmp_path):
    keeper = Keeper(bench, tmp_path / "recordings", readers=0, topics="/count* /nothing")
    other = bench.node.create_publisher(Int64, "other", RELIABLE)
    trace = bench.node.create_publisher(DiagnosticArray, "someone/trace", RELIABLE)
    assert bench.set_bool("companion/record", True).success
    bench.until(lambda: keeper.counter.get_subscription_count() == 1, "a reader of the counter")
    keeper.count()
    bench.until(lambda: trace.get_subscription_count() == 1, "a reader of the trace")
    # Who publishes a trace is a controller: here the bench, with all that it hears and says.
    bench.until(lambda: other.get_subscription_count() == 1, "a reader of the bench's topics")
    assert bench.set_bool("companion/record", False).success
    assert keeper.counted(bags(tmp_path / "recordings")[0]) == keeper.sent


def test_best_effort_that_is_lost_is_counted_and_said(bench, tmp_path):
    keeper = Keeper(bench, tmp_path / "recordings", record=True)
    keeper.until(recording="true")
    flood = bench.publisher(Image, "flood", BEST_EFFORT)
    picture = Image(height=400, width=400, step=1200, encoding="rgb8")
    picture.data.frombytes(bytes(480_000))
    process = keeper.process
    process.send(signal.SIGSTOP)
    for _ in range(1200):  # more than a reader's queue holds
        flood.publish(picture)
    process.send(signal.SIGCONT)

    def more():
        flood.publish(picture)
    bench.until(lambda: int(keeper.told().get("lost./flood", 0)) > 0, "losses counted", more)
    assert "/flood: " in process.log and "did not arrive here" in process.log
