"""Clocks that stop, jump and disagree: what the controller does then, seen from outside."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import rclpy
from flight import Flight
from hypothesis import given
from hypothesis import strategies as st
from lifecycle_msgs.msg import Transition
from rclpy.context import Context
from rclpy.node import Node
from ros import BEST_EFFORT, is_zero, pairs
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, Imu
from sensors import first_frame, image_message, imu_message, info_message
from std_msgs.msg import Bool

from lnn_ros import messages
from lnn_ros.nodes.clocks import FORWARD_NS, Clocks, Offset, Source

S = 1_000_000_000


class Simulated:
    """A clock, a camera and an IMU in simulated time, ``factor`` times as fast as real time.

    Call the object often: it publishes what is due, or falls behind. Time stands still while
    ``factor`` is 0.
    """

    def __init__(self, bench, at_s=100.0) -> None:
        self.at_ns, self.factor = round(at_s * S), 1.0
        self.clock = bench.publisher(Clock, "/clock", BEST_EFFORT)
        self.info = bench.publisher(CameraInfo, "camera_info", BEST_EFFORT)
        self.image = bench.publisher(Image, "image", BEST_EFFORT)
        self.imu = bench.publisher(Imu, "imu", BEST_EFFORT)
        self._frame = first_frame()
        self._steady, self._due_ns = time.monotonic(), 0.0

    def __call__(self) -> None:
        """Publish what is due."""
        now = time.monotonic()
        self._due_ns += min((now - self._steady) * self.factor, 0.05) * S
        self._steady = now
        while self._due_ns >= 5_000_000:
            self._due_ns -= 5_000_000
            self.at_ns += 5_000_000
            message = Clock()
            messages.set_time(message.clock, self.at_ns)
            self.clock.publish(message)
            self.imu.publish(imu_message(self.at_ns))
            if self.at_ns % 50_000_000 == 0:
                self.info.publish(info_message(self.at_ns))
                self.image.publish(image_message(self.at_ns, self._frame))

    def jump(self, seconds: float) -> None:
        """Go on at another time."""
        self.at_ns += round(seconds * S)


def simulated_flight(bench, **parameters):
    """Return an engaged controller in simulated time, not yet fed."""
    return Flight(bench, Simulated, use_sim_time=True, engage=True, **parameters)


class Held(Simulated):
    """The same, and a deadman that is always held."""

    def __init__(self, bench, at_s=100.0) -> None:
        super().__init__(bench, at_s)
        self.deadman = bench.publisher(Bool, "deadman")

    def __call__(self) -> None:
        """Publish what is due; the deadman before the time at which it is to be there."""
        self.deadman.publish(Bool(data=True))
        super().__call__()


@pytest.mark.parametrize("seconds", [-50.0, 3.0])
def test_jump_of_time_does_not_make_what_has_just_been_said_old(bench, seconds):
    # Longer than a busy machine needs, shorter than the jumps.
    flight = Flight(bench, Held, use_sim_time=True, engage=True, modes__deadman=True,
                    modes__deadman_max_age=2.0)
    flight.fly()
    flight.sensors.jump(seconds)
    flight.until(lambda: abs(flight.sensors.at_ns - messages.stamp_ns(flight.commands[-1])) < S,
                 "the new time")
    flight.fly()
    assert not [s.message for s in flight.status if "deadman has said nothing" in s.message
                and pairs(s)["mode"] == "hold"]


def test_payload_that_is_no_clock_is_dropped_and_counted(bench):
    """Zero at once, services and the watch all ask what time it is: that must not raise."""
    flight = simulated_flight(bench)
    flight.fly()
    for length in (1, 4, 6, 8):  # the wire fills them up to a multiple of four
        flight.sensors.clock.publish(bytes([0, 1, 0, 0] + [7] * 8)[:length])
    impossible = [Clock(), Clock()]
    impossible[0].clock.sec, impossible[0].clock.nanosec = 2**31 - 1, 2**32 - 1
    impossible[1].clock.sec = -1
    for message in impossible:
        flight.sensors.clock.publish(message)
        flight.more(2)  # rclpy's own clock, which reads the newest only, sees it too
    flight.more(20, lambda command: not is_zero(command))
    flight.until(lambda: (flight.counted().get("clock.undecodable"),
                          flight.counted().get("clock.content")) == ("4", "2"), "the counts")
    assert {pairs(status)["mode"] for status in flight.status} <= {"disengaged", "engaged"}


def ages(flight, since=0):
    """Return all ages of samples that have been traced."""
    said = [pairs(message.status[0]) for message in flight.trace[since:]]
    return [float(s[key]) for s in said for key in ("camera.age_s", "imu.age_s") if s[key]]


def test_simulated_time_at_any_speed_and_none(bench):
    flight = simulated_flight(bench)
    bench.until(lambda: flight.diagnosed() == "disengaged; nothing arrives on /clock",
                "the warning")
    assert not flight.commands
    flight.fly()
    flight.sensors.factor = 8.0  # the clock is behind the samples whenever this machine is busy
    flight.more(100)
    ahead = flight.sensors.at_ns + 300_000_000  # a sample that has overtaken the clock by far
    flight.sensors.imu.publish(imu_message(ahead))
    flight.until(lambda: int(flight.traced()["imu.stamp_ns"]) >= ahead, "the sample")
    flight.more(20)
    assert min(ages(flight)) >= 0.0
    stamps = [messages.stamp_ns(command) for command in flight.commands]
    assert stamps == sorted(stamps)
    assert flight.traced()["reset"] == "0"

    # Time stands still, and with it everything that ages are judged by.
    flight.sensors.factor = 0.0
    flight.until(lambda: "time stands still: no new /clock for 0.5 s" in flight.say()["troubles"],
                 "the reason")
    assert is_zero(flight.commands[-1])
    assert flight.say()["mode"] == "hold"
    assert "hold: time stands still" in flight.status[-1].message
    said = len(flight.commands)
    again = len(flight.diagnostics) + 2
    bench.until(lambda: len(flight.diagnostics) >= again, "two reports")
    assert len(flight.commands) == said  # no command without time passing
    assert flight.diagnosed() == "hold; time stands still: no new /clock for 0.5 s"
    refused = bench.trigger("controller/engage")
    assert "engage refused: time stands still" in refused.message

    flight.sensors.factor = 0.05  # slower than the timer's patience, but it passes
    flight.fly()
    flight.until(lambda: flight.say()["troubles"] == "", "the all-clear")
    said = flight.process.log.count("time stands still")
    flight.more(4)
    assert flight.process.log.count("time stands still") == said
    assert not bench.set_parameters("controller", use_sim_time=False).successful


@pytest.mark.parametrize(("seconds", "words"), [
    (-60.0, "time went back by"), (-0.3, "time went back by"), (7.0, "time went forward by")])
def test_jump_of_simulated_time_is_said_once_and_begins_anew(bench, seconds, words):
    flight = simulated_flight(bench)
    flight.fly()
    flight.sensors.jump(3.0)  # no more than a long gap
    flight.fly()
    assert flight.traced()["reset"] == "0"
    for step in range(20):  # some of these wait while time jumps
        flight.sensors.imu.publish(imu_message(flight.sensors.at_ns + step * 1_000_000))
    flight.sensors.jump(seconds)
    flight.until(lambda: flight.traced()["reset"] == "1", "a reset")
    first = next(m for m in flight.trace if pairs(m.status[0])["reset"] == "1")
    assert messages.stamp_ns(first) <= flight.sensors.at_ns
    since = len(flight.trace)
    flight.fly()
    flight.more(30)
    assert flight.traced()["reset"] == "1"
    assert min(ages(flight, since)) >= 0.0
    assert flight.process.log.count("the pilot begins anew") == 1
    assert words in flight.process.log
    # What is traced is of the new time only.
    traced = pairs(flight.trace[since].status[0])
    assert int(traced["imu.taken"]) < 100


def test_sensor_of_another_epoch_is_named_before_it_can_be_flown_by(bench):
    flight = Flight(bench)
    lag = 1_763_000_000 * S
    flight.sensors.lag_ns["camera"] = lag  # since boot, say
    flight.until(lambda: "camera.offset_s" in flight.diagnosed(), "the warning")
    answer = bench.trigger("controller/engage", flight.sensors)
    assert not answer.success
    assert "engage refused: camera stamps are 1,763,000,000.0 s behind this node's clock: " \
           "set camera.offset_s to 1763000000.0" in answer.message
    flight.sensors.lag_ns.update(camera=0, imu=-20 * S)
    flight.until(lambda: "imu stamps are 20.0 s ahead of this node's clock: set imu.offset_s to "
                         "-" in flight.diagnosed(), "the other one's")
    assert float(flight.counted()["imu.estimated_offset_s"]) == pytest.approx(-20.0, abs=0.5)
    assert "dropped_future" in str(flight.counted())

    # With the offsets set it flies, by stamps of this node's clock.
    assert bench.transition("controller", Transition.TRANSITION_DEACTIVATE)
    assert bench.transition("controller", Transition.TRANSITION_CLEANUP)
    flight.sensors.lag_ns["camera"] = lag
    assert bench.set_parameters("controller", camera__offset_s=1_763_000_000.0,
                                imu__offset_s=-20.0).successful
    assert bench.transition("controller", Transition.TRANSITION_CONFIGURE)
    assert bench.transition("controller", Transition.TRANSITION_ACTIVATE)
    flight.engage()
    flight.fly()
    traced = flight.traced()
    for stream in ("camera", "imu"):
        assert abs(time.time_ns() - int(traced[f"{stream}.stamp_ns"])) < 60 * S
        assert all(stamp > 1_700_000_000 * S for stamp in map(int, traced["imu.new"].split()))


def test_silence_is_judged_by_arrival_as_well_as_by_stamps(bench):
    flight = Flight(bench, engage=True)
    flight.sensors.lag_ns["camera"] = -400_000_000  # ahead: by its stamps it stays fresh for longer
    flight.fly()
    assert float(flight.traced()["camera.age_s"]) < 0
    flight.sensors.silent.add("camera")
    # Held while the stamps are still in order: 0.5 s after the last one came.
    flight.until(lambda: flight.traced()["mode"] == "hold", "hold")
    held = next(said for said in (pairs(m.status[0]) for m in flight.trace)
                if said["mode"] == "hold")
    assert float(held["camera.age_s"]) < 0.5
    assert held["command"] == "0x0.0p+0 0x0.0p+0 0x0.0p+0 0x0.0p+0"  # no limit of braking is set
    flight.until(lambda: "on /image" in flight.say()["troubles"], "the reason in the status")
    flight.more(3, is_zero)
    assert flight.say()["reason"] == "camera is stale: nothing newer than 0.5 s"
    flight.sensors.silent.clear()
    flight.sensors.lag_ns["camera"] = 0
    flight.until(lambda: flight.say()["troubles"] == "", "the all-clear")
    flight.fly()


def test_stamps_that_repeat(bench):
    flight = Flight(bench, engage=True)
    flight.fly()
    now, frame = time.time_ns(), first_frame()

    def twice():  # two publishers of the same camera, and one whose frames differ
        nonlocal now
        flight.sensors()
        if time.time_ns() > now + 50_000_000:
            now = time.time_ns()
            for content in (frame, frame, frame + 1):
                flight.sensors.image.publish(image_message(now, content))

    def counted(name):
        return int(flight.counted().get(f"camera.{name}", 0))

    bench.until(lambda: counted("dropped_duplicate") > 3
                and counted("dropped_conflict") + counted("replaced") > 3, "the counts", twice)
    assert "came twice: expected once" in flight.process.log
    assert "and differ: expected one" in flight.process.log
    flight.fly()
    # A camera whose stamp stands still is as old as its stamp, however fast its frames come.
    flight.sensors.silent.add("camera")

    def frozen():
        flight.sensors()
        flight.sensors.image.publish(image_message(now, frame))

    bench.until(lambda: flight.say()["troubles"], "zero", frozen)
    flight.until(lambda: is_zero(flight.commands[-1]), "a zero")


def test_late_samples_count_and_are_reported(bench):
    flight = Flight(bench, engage=True)
    flight.sensors.lag_ns["camera"] = 200_000_000  # always behind the IMU
    flight.fly()
    flight.until(lambda: int(flight.counted().get("rewinds", 0)) > 3, "rewinds")
    counted = flight.counted()
    assert int(counted["replayed_updates"]) > 3
    assert int(counted["updates"]) > int(counted["replayed_updates"])
    assert float(counted["camera.estimated_offset_s"]) == pytest.approx(0.2, abs=0.1)
    flight.sensors.lag_ns["camera"] = 700_000_000
    flight.until(lambda: int(flight.counted().get("camera.dropped_late", 0)) > 0, "a drop")
    assert "expected none later than horizon_s, 0.5 s" in flight.process.log


@pytest.fixture
def node():
    """Return a node that nobody sees."""
    context = Context()
    rclpy.init(context=context)
    found = Node("clocks", context=context, enable_rosout=False)
    yield found
    found.destroy_node()
    rclpy.shutdown(context=context)


def test_the_systems_clock_is_compared_with_steady_time(node):
    clocks, now = Clocks(node, Source.SYSTEM), time.time_ns()
    jumps = []
    for told in (now, now + 4 * S, now - 1, now - 1 + 2 * FORWARD_NS, now + 2 * FORWARD_NS):
        clocks.tell(told)
        jumps.append(clocks.jump())
    assert jumps == [0, 0, -4 * S - 1, 2 * FORWARD_NS, 0]
    assert clocks.jump() == 0


@given(lag=st.integers(-(10**18), 2 * 10**18),
       delays=st.lists(st.integers(0, S), min_size=1, max_size=40))
def test_estimated_offset_is_the_lag_and_the_shortest_delay_of_the_window(lag, delays):
    offset = Offset()
    assert offset.seconds is None
    for step, delay in enumerate(delays):
        arrival = 2 * 10**18 + step * S
        offset.note(arrival - delay - lag, arrival)
        assert offset.seconds <= (lag + delay) / 1e9
        least = min(delays[max(0, step - 4):step + 1])
        assert offset.seconds >= (lag + min(delays[max(0, step - 9):step + 1])) / 1e9
        assert offset.seconds <= (lag + least) / 1e9 or math.isclose(
            offset.seconds, (lag + least) / 1e9) or step % 5 != 4
    assert np.isfinite(offset.seconds)
