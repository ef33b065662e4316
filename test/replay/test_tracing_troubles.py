"""What cannot be reproduced from bag and trace is named, with why; no trace crashes the replay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bags import Live, Maker, changed, small_policy
from hypothesis import given, settings
from hypothesis import strategies as st
from lives import TRACE, Replay, decode, disturbed, everything, fly, listed, traces

from lnn_ros import messages


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


def test_another_wish_or_another_command_is_told_apart(live, replay):
    logged = fly(live, disturbed(24))
    for number, what in ((20, "wish"), (25, "command")):
        index = traces(logged)[number]
        logged[index] = (*logged[index][:2], changed(
            logged[index][2], **{what: "0x1.8p-3 0x0p+0 0x0p+0 0x0p+0"}))
    status, found = replay(logged)
    assert status == 1
    assert [d["what"] for d in found["different"]] == ["wish", "command"]


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
