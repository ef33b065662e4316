"""Live commands are reproduced bit for bit from bag and trace, whatever arrived when."""

from __future__ import annotations

import numpy as np
import pytest
from bags import MS, START_NS, Live, Maker, changed, flight
from hypothesis import given, settings
from hypothesis import strategies as st
from lives import TRACE, Replay, decode, disturbed, everything, fly, listed, traces
from rosbags.rosbag2 import StoragePlugin

from lnn_ros import messages
from lnn_ros.guard.modes import Event


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


def test_hold_is_reproduced_even_after_a_missing_sample(live, replay):
    logged = fly(live, disturbed(15), happens=lambda n, guard: n or guard.handle(
        Event.RESET, "by the test"))
    kept = [entry for i, entry in enumerate(logged) if entry[1] != "/imu" or i % 9]
    status, found = replay(kept)
    assert status == 0
    assert everything(found, logged)


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


def test_parameter_file_is_read_for_the_node_of_the_trace(live, replay, capsys, tmp_path):
    logged = [(log_ns, "/drone1/controller/trace" if topic == TRACE else topic, message)
              for log_ns, topic, message in fly(live, disturbed(20))]
    params = tmp_path / "params.yaml"
    for drone in ("drone2", "drone1"):
        params.write_text(f"/{drone}/controller: {{ros__parameters: {{horizon_s: soon}}}}")
        status, _ = replay(logged, "--params", str(params))
        assert status == 2
        said = "says nothing to /drone1/controller" if drone == "drone2" else "horizon_s is 'soon'"
        assert said in capsys.readouterr().err
