"""Live commands are reproduced bit for bit from bag and trace; the others are named, with why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bags import FOV_DEG, MS, START_NS, Live, Maker, changed, flight, small_policy, write_bag
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import StoragePlugin

from lnn_ros import messages
from lnn_ros.cli import main
from lnn_ros.guard.modes import Event

TRACE = "/controller/trace"


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return small_policy(tmp_path_factory.mktemp("policy") / "small.safetensors")


def decode(topic, message):
    """What the controller makes of a message whose image is as the policy's camera sees."""
    stamp = messages.stamp_ns(message)
    if topic == "/image":
        return "camera", stamp, messages.image_array(message)
    return "imu", stamp, messages.imu_vector(message)


def disturbed(seed: int, seconds: float = 1.5, late_ms: int = 120, start_ns: int = START_NS):
    """Deliveries (arrival, topic, message): late, doubled, dropped and out of order."""
    rng = np.random.default_rng(seed)
    found = []
    for log_ns, topic, message in flight(seed, seconds, start_ns):
        for _ in range(rng.choice([0, 1, 2], p=[0.05, 0.85, 0.1])):
            found.append((log_ns + int(rng.integers(0, late_ms * MS)), topic, message))
    return sorted(found, key=lambda entry: entry[0])


def fly(live: Live, deliveries, seed: int = 0, happens=lambda n, guard: None):
    """Let a controller live through deliveries; return all that a recorder hears, by log time.

    Before the command number n, ``happens(n, guard)``.
    """
    rng = np.random.default_rng(seed)
    logged = [(arrival + int(rng.integers(0, 40 * MS)), topic, message)
              for arrival, topic, message in deliveries]
    waiting = list(deliveries)
    now = deliveries[0][0]
    number = 0
    while waiting or number % 5:
        arrived = [d for d in waiting if d[0] <= now]
        waiting = waiting[len(arrived):]
        for _, topic, message in sorted(arrived, key=lambda d: d[1] == "/image"):
            live.receive(topic, message, now)
        at = now + int(rng.integers(0, 2 * MS))
        happens(number, live.guard)
        logged.append((at + int(rng.integers(0, 5 * MS)), TRACE, live.command(at)))
        now += 33 * MS
        number += 1
    return sorted(logged, key=lambda entry: entry[0])


@pytest.fixture
def live(policy):
    return Live(policy, decode)


class Replay:
    """Runs the command."""

    def __init__(self, policy: Path, folder: Path) -> None:
        self.policy, self.folder = policy, folder
        self._number = 0

    def __call__(self, logged, *options, plugin=StoragePlugin.MCAP):
        """Return the exit status and what it says of the trace."""
        self._number += 1
        bag = write_bag(self.folder / f"bag{self._number}", logged, plugin)
        result = self.folder / f"result{self._number}.json"
        status = main(["replay", str(bag), "--policy", str(self.policy), "--fov", str(FOV_DEG),
                       "--json", str(result), *options])
        found = json.loads(result.read_text()) if result.exists() else {"trace": None}
        return status, found["trace"]


@pytest.fixture
def replay(policy, tmp_path):
    return Replay(policy, tmp_path)


def traces(logged) -> list[int]:
    """Return where the traces are."""
    return [i for i, (_, topic, _) in enumerate(logged) if topic == TRACE]


def listed(message, stream: str) -> list[int]:
    """Return the stamps that a trace lists."""
    said = {p.key: p.value for p in message.status[0].values}
    return [int(word) for word in said[f"{stream}.new"].split()]


def everything(found, logged) -> bool:
    """Tell whether every command was reproduced."""
    return (found["commands"] == found["reproduced"] == len(traces(logged))
            and not found["unknown"] and not found["different"])


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), late_ms=st.sampled_from([1, 50, 300, 700]),
       plugin=st.sampled_from([StoragePlugin.MCAP, StoragePlugin.SQLITE3]))
def test_every_command_is_reproduced_whatever_arrived_when(tmp_path_factory, policy, seed, late_ms,
                                                           plugin):
    live = Live(policy, decode)
    logged = fly(live, disturbed(seed, 1.0, late_ms), seed)
    status, found = Replay(policy, tmp_path_factory.mktemp("bags"))(logged, plugin=plugin)
    assert status == 0
    assert everything(found, logged)


def test_what_is_disturbed_really_is(live):
    """Late, doubled and reordered samples occur in the flights of these tests."""
    fly(live, disturbed(0, 2.0, 700))
    counts = live.pilot.counts()
    for what in ("imu.dropped_late", "imu.dropped_duplicate", "rewinds", "replayed_updates"):
        assert counts[what] > 3


def test_flown_commands_are_not_all_zero(live, replay, capsys):
    logged = fly(live, disturbed(1))
    status, found = replay(logged)
    assert status == 0
    commanded = [{p.key: p.value for p in logged[i][2].status[0].values}["command"]
                 for i in traces(logged)]
    assert len(set(commanded)) > 30
    assert (f"reproduced {len(commanded)} of {len(commanded)} live commands bit for bit"
            in capsys.readouterr().out)
    assert found["messages_not_taken"]["imu"] > 0  # the duplicates


@pytest.mark.parametrize("bit", range(2))
def test_command_that_differs_in_one_bit_is_found(live, replay, capsys, bit):
    logged = fly(live, disturbed(2))
    index = traces(logged)[20]
    log_ns, topic, message = logged[index]
    words = {p.key: p.value for p in message.status[0].values}["command"].split()
    value = float.fromhex(words[bit])
    words[bit] = np.nextafter(value, 10.0).hex() if bit else (-value).hex()
    logged[index] = log_ns, topic, changed(message, command=" ".join(words))
    status, found = replay(logged)
    assert status == 1
    (different,) = found["different"]
    assert different["at_ns"] == messages.stamp_ns(message)
    assert different["traced"] == [float.fromhex(word) for word in words]
    assert different["replayed"][bit] == value
    assert found["reproduced"] == found["commands"] - 1
    assert f"DIFFERENT command at {different['at_ns']} ns" in capsys.readouterr().out


def test_missing_sample_is_named_and_what_follows_is_counted(live, replay, capsys):
    logged = fly(live, disturbed(3))
    where = traces(logged)
    gone = listed(logged[where[10]][2], "imu")[0]
    kept = [entry for entry in logged
            if not (entry[1] == "/imu" and messages.stamp_ns(entry[2]) == gone)]
    status, found = replay(kept)
    assert status == 0
    (unknown,) = found["unknown"]
    assert (unknown["reason"], unknown["stream"], unknown["stamp_ns"]) == (
        "sample not in the bag", "imu", gone)
    assert unknown["commands"] == len(where) - 10
    assert unknown["first_ns"] == messages.stamp_ns(logged[where[10]][2])
    assert unknown["last_ns"] == messages.stamp_ns(logged[where[-1]][2])
    assert found["reproduced"] == 10
    said = capsys.readouterr().out
    assert f"sample not in the bag: imu stamped {gone} ns" in said


def test_after_a_reset_commands_are_reproduced_again(live, replay):
    first = fly(live, disturbed(4))
    live.reset()
    second = fly(live, disturbed(5, start_ns=START_NS + 3_000 * MS))
    gone = listed(first[traces(first)[5]][2], "camera") or listed(
        first[traces(first)[6]][2], "camera")
    kept = [entry for entry in first
            if not (entry[1] == "/image" and messages.stamp_ns(entry[2]) == gone[0])]
    status, found = replay(sorted(kept + second, key=lambda e: e[0]))
    assert status == 0
    assert len(found["unknown"]) == 1
    assert found["unknown"][0]["last_ns"] < START_NS + 3_000 * MS
    assert found["reproduced"] >= len(traces(second)) + 5


def test_reset_after_a_few_samples(live, replay):
    """What is taken after it is more than before, as if nothing had been forgotten."""
    logged = []
    for part in (slice(0, 3), slice(3, 40)):
        for log_ns, topic, message in flight(23)[part]:
            live.receive(topic, message, log_ns)
            logged.append((log_ns, topic, message))
        logged.append((log_ns, TRACE, live.command(log_ns)))
        live.reset()
    status, found = replay(logged)
    assert status == 0
    assert everything(found, logged)


@pytest.mark.parametrize("same_content", [True, False])
def test_two_flights_in_one_simulated_time(live, replay, same_content):
    """Same stamps, and log times as if the recorder's clock had gone on."""
    first = fly(live, disturbed(6))
    live.reset()
    second = fly(live, disturbed(6 if same_content else 7))
    second = [(log_ns + 4_000 * MS, topic, message) for log_ns, topic, message in second]
    status, found = replay(first + second)
    assert status == 0
    assert everything(found, first + second)


def test_controller_that_was_restarted_begins_anew(policy, replay):
    first = fly(Live(policy, decode), disturbed(8))
    second = fly(Live(policy, decode), disturbed(9, start_ns=START_NS + 3_000 * MS))
    status, found = replay(first + second)
    assert status == 0
    assert everything(found, first + second)


def test_of_messages_with_one_stamp_the_digest_tells_which_was_taken(live, replay):
    """A driver sends two different messages for each stamp; one of them reaches the controller."""
    rng = np.random.default_rng(0)
    deliveries = disturbed(10, late_ms=20)
    logged = fly(live, deliveries)
    twins = []
    for log_ns, topic, message in logged:
        if topic == "/imu":
            other = Maker().imu(messages.stamp_ns(message), rng.normal(0, 1, 6))
            twins.append((log_ns + int(rng.integers(-3, 3)) * MS, topic, other))
    status, found = replay(sorted(logged + twins, key=lambda e: e[0]))
    assert status == 0
    assert everything(found, logged)


def test_conflicting_messages_that_both_arrive(live, replay):
    deliveries = disturbed(11, late_ms=60)
    rng = np.random.default_rng(1)
    others = [(arrival + int(rng.integers(0, 60 * MS)), topic,
               Maker().imu(messages.stamp_ns(message), rng.normal(0, 1, 6)))
              for arrival, topic, message in deliveries if topic == "/imu"]
    logged = fly(live, sorted(deliveries + others, key=lambda d: d[0]))
    assert live.pilot.counts()["imu.replaced"] > 5
    assert live.pilot.counts()["imu.dropped_conflict"] > 5
    status, found = replay(logged)
    assert status == 0
    assert everything(found, logged)


def test_other_content_than_the_controller_saw_is_no_reproduction(live, replay):
    """As with another field of view, or a bag that somebody has changed."""
    logged = fly(live, disturbed(12))
    where = traces(logged)
    stamp = listed(logged[where[15]][2], "imu")[0]
    logged = [(log_ns, topic, Maker().imu(stamp, np.ones(6)))
              if topic == "/imu" and messages.stamp_ns(message) == stamp else
              (log_ns, topic, message) for log_ns, topic, message in logged]
    status, found = replay(logged)
    assert status == 0
    (unknown,) = found["unknown"]
    assert (unknown["reason"], unknown["stream"]) == ("digest differs", "imu")
    assert unknown["commands"] == len(where) - 15
    assert found["reproduced"] == 15


def test_another_field_of_view_is_noticed(live, replay):
    logged = fly(live, disturbed(12))
    status, found = replay(logged, "--fov", "60")
    assert status == 0
    (unknown,) = found["unknown"]
    assert (unknown["reason"], unknown["stream"]) == ("digest differs", "camera")


def test_another_policy_is_said(live, replay, tmp_path):
    logged = fly(live, disturbed(13))
    flew = str(live.pilot.card["weights_sha256"])[:16]
    replay.policy = small_policy(tmp_path / "other.safetensors", seed=1)
    status, found = replay(logged)
    assert status == 0
    assert found["reproduced"] == found["without_policy"] < 5
    (unknown,) = found["unknown"]
    assert unknown["reason"] == f"policy '{flew}' flew"
    assert unknown["commands"] == len(traces(logged)) - found["reproduced"]


def disengaged_at_first(number, guard):
    """Let a person engage and disengage; the eleventh command finds it braking."""
    if number == 0:
        guard.handle(Event.RESET, "by the test")
    elif number in (7, 33):
        guard.handle(Event.ENGAGE, "by the test")
    elif number == 27:
        guard.handle(Event.DISENGAGE, "by the test")


def test_commands_that_the_policy_did_not_decide(live, replay, capsys):
    logged = fly(live, disturbed(14, seconds=2.0), happens=disengaged_at_first)
    status, found = replay(logged)
    assert status == 0
    assert everything(found, logged)
    assert found["without_policy"] == 7 + 6
    assert "13 of them not decided by the policy" in capsys.readouterr().out
    index = traces(logged)[3]
    logged[index] = (*logged[index][:2], changed(logged[index][2],
                                                 command="0x0.0p+0 0x1.0p+0 0x0.0p+0 0x0.0p+0"))
    status, found = replay(logged)
    assert status == 1
    (different,) = found["different"]
    assert (different["what"], different["replayed"]) == ("command", [0.0] * 4)


def test_a_person_takes_over_and_time_stands_still(live, replay):
    def happens(number, guard):
        if 15 <= number < 25:
            guard.take_over((0.3, -0.2, 0.1, 0.4))
        elif number == 25:
            guard.handle(Event.RELEASE, "by the test")
        elif number == 30:
            guard.handle(Event.ENGAGE, "by the test")
        elif number == 38:
            guard.handle(Event.STALL, "by the test")

    logged = fly(live, disturbed(23, seconds=2.0), happens=happens)
    status, found = replay(logged)
    assert status == 0
    assert everything(found, logged)
    assert found["without_policy"] >= 15


def test_another_wish_or_another_command_is_told_apart(live, replay):
    logged = fly(live, disturbed(24))
    for number, what in ((20, "wish"), (25, "command")):
        index = traces(logged)[number]
        logged[index] = (*logged[index][:2], changed(
            logged[index][2], **{what: "0x1.8p-3 0x0p+0 0x0p+0 0x0p+0"}))
    status, found = replay(logged)
    assert status == 1
    assert [d["what"] for d in found["different"]] == ["wish", "command"]


def test_hold_is_reproduced_even_after_a_missing_sample(live, replay):
    logged = fly(live, disturbed(15), happens=lambda n, guard: n or guard.handle(
        Event.RESET, "by the test"))
    kept = [entry for i, entry in enumerate(logged) if entry[1] != "/imu" or i % 9]
    status, found = replay(kept)
    assert status == 0
    assert everything(found, logged)


def test_bag_that_begins_in_flight(live, replay):
    logged = fly(live, disturbed(16))
    start = traces(logged)[12] + 1
    status, found = replay(logged[start:])
    assert status == 0
    (unknown,) = found["unknown"]
    assert unknown["reason"] == "no trace in the bag lists all that was taken"
    assert unknown["commands"] == found["commands"] == len(traces(logged)) - 13


def test_trace_that_was_lost(live, replay):
    logged = fly(live, disturbed(17))
    where = traces(logged)
    lost = next(i for i in where[8:] if listed(logged[i][2], "imu"))
    status, found = replay([entry for i, entry in enumerate(logged) if i != lost])
    assert status == 0
    (unknown,) = found["unknown"]
    assert unknown["reason"] == "no trace in the bag lists all that was taken"
    assert found["reproduced"] == where.index(lost)


def test_command_whose_beginning_was_lost_is_not_called_reproduced(live, replay):
    """A trace that lists no sample is lost: the wishes are known, but not what the limiter did."""
    logged = fly(live, disturbed(17))
    where = traces(logged)
    lost = next(i for i in where[8:-1]
                if not any(listed(logged[i][2], stream) for stream in ("imu", "camera")))
    status, found = replay([entry for i, entry in enumerate(logged) if i != lost])
    assert status == 0
    (unknown,) = found["unknown"]
    assert unknown["reason"] == "no trace in the bag tells the command before it"
    assert unknown["commands"] == 1
    assert found["reproduced"] == len(where) - 2


def test_samples_may_lie_in_the_bag_long_after_their_trace(live, replay):
    """As a recorder leaves them that writes topic by topic."""
    logged = fly(live, disturbed(18))
    moved = [(log_ns + (900 * MS if topic == "/image" else 0), topic, message)
             for log_ns, topic, message in logged]
    status, found = replay(sorted(moved, key=lambda e: e[0]))
    assert status == 0
    assert everything(found, logged)


def test_rate_leaves_the_trace_aside(live, replay):
    logged = fly(live, disturbed(19))
    status, found = replay(logged, "--rate", "20")
    assert status == 0
    assert found is None


def test_several_controllers_are_asked_about(live, replay, capsys):
    logged = fly(live, disturbed(20, seconds=0.3))
    more = [(log_ns, "/second/trace", message) for log_ns, topic, message in logged
            if topic == TRACE]
    both = sorted(logged + more, key=lambda e: e[0])
    assert replay(both)[0] == 2
    assert "could be the trace ('/controller/trace', '/second/trace')" in capsys.readouterr().err
    status, found = replay(both, "--trace", TRACE)
    assert status == 0
    assert everything(found, logged)


BAD = [{"command": None}, {"command": "0x1p0"}, {"command": "x y z w"}, {"imu__new": "1 x"},
       {"camera__digest": "xyz"}, {"imu__taken": ""}, {"reset": "one"}, {"camera__new": None},
       {"command": "0x1p99999 0 0 0"}]


@pytest.mark.parametrize("values", BAD, ids=str)
def test_trace_that_cannot_be_read_is_one_sentence(live, replay, capsys, values):
    logged = fly(live, disturbed(21, seconds=0.3))
    index = traces(logged)[2]
    logged[index] = (*logged[index][:2], changed(logged[index][2], **values))
    assert replay(logged)[0] == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "topic '/controller/trace'" in said
    assert "--rate replays the bag without its trace" in said


@settings(max_examples=25)
@given(data=st.data())
def test_hostile_traces_never_crash(tmp_path_factory, policy, data):
    """Anything in a trace ends in a report or in one sentence."""
    live = Live(policy, decode)
    logged = fly(live, disturbed(22, seconds=0.4))
    stamps = [messages.stamp_ns(m) for _, topic, m in logged if topic == "/imu"]
    numbers = st.one_of(st.integers(-2**70, 2**70), st.sampled_from(stamps))
    for index in data.draw(st.lists(st.sampled_from(traces(logged)), max_size=4)):
        message = logged[index][2]
        values = data.draw(st.fixed_dictionaries({}, optional={
            "imu__new": st.lists(numbers, max_size=6).map(lambda n: " ".join(map(str, n))),
            "camera__taken": numbers, "imu__digest": st.integers(0, 2**64).map("{:x}".format),
            "reset": st.integers(0, 3), "mode": st.text(max_size=5),
            "policy": st.text(max_size=20)}))
        message = changed(message, **values)
        if data.draw(st.booleans()):
            header = replace(message.header)
            messages.set_time(header.stamp, data.draw(st.integers(1, 2**40)))
            message = replace(message, header=header)
        logged[index] = (*logged[index][:2], message)
    status, found = Replay(policy, tmp_path_factory.mktemp("bags"))(logged)
    assert status in (0, 1, 2)
    if found is not None:
        assert found["commands"] == len(traces(logged))
