"""The guard in the running controller: vehicle, person and sensors of distance have their say."""

from __future__ import annotations

import math
import signal
import time
from itertools import pairwise

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from flight import ALONE, Flight
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from ros import BEST_EFFORT, LATCHED, is_zero, pairs, vector
from sensor_msgs.msg import LaserScan, Range
from std_msgs.msg import Bool

from lnn_ros import messages

SLEW = {f"normal__{axis}": 1.0 for axis in ("forward", "backward", "lateral", "up", "down")}
BRAKE = {f"braking__{axis}": 2.0 for axis in ("forward", "backward", "lateral", "up", "down")}
EPSILON = 1e-6


class Guarded(Flight):
    """A controller with a vehicle behind it and a person beside it."""

    def __init__(self, bench, **parameters):
        super().__init__(bench, **dict.fromkeys(ALONE, True), **parameters)
        self.state = bench.publisher(DiagnosticStatus, "vehicle_state")
        self.stick = bench.publisher(TwistStamped, "takeover", BEST_EFFORT)
        self.airborne, self.mode = "true", "true"
        self.push: tuple[float, float, float, float] | None = None
        self.beside: list = []
        self.streams, self._due = self.sensors, 0.0
        self.sensors = self.feed

    def feed(self):
        """Publish what is due of all that it is told."""
        self.streams()
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + 0.04
        self.state.publish(DiagnosticStatus(values=[
            KeyValue(key="airborne", value=self.airborne),
            KeyValue(key="velocity_mode", value=self.mode)]))
        if self.push is not None:
            message = TwistStamped()
            messages.fill_command(message, np.array(self.push), time.time_ns(), "base_link")
            self.stick.publish(message)
        for say in self.beside:
            say()

    def become(self, mode):
        """Await a mode."""
        self.until(lambda: self.say().get("mode") == mode, f"mode {mode}")

    def largest_step(self, since):
        """Return the largest change of vx, vy, vz between commands, over what 2 m/s^2 allow."""
        found = [(messages.stamp_ns(c) / 1e9, np.array(vector(c)[:3]))
                 for c in self.commands[since:]]
        return max(np.abs(b - a).max() - 2.0 * (t1 - t0)
                   for (t0, a), (t1, b) in pairwise(found))


def test_engaging_waits_for_the_vehicle_and_ends_when_it_lands(bench):
    flight = Guarded(bench)
    flight.airborne = "false"
    flight.until(lambda: "not airborne" in flight.say().get("troubles", ""), "the trouble")
    flight.until(lambda: int(flight.traced().get("camera.taken", 0)) > 0, "frames")
    refused = bench.trigger("controller/engage", flight.sensors)
    assert not refused.success
    assert "the vehicle says that it is not airborne (driving)" in refused.message
    flight.airborne, flight.mode = "true", ""
    flight.until(lambda: "velocity mode" in flight.say()["troubles"], "the other trouble")
    assert "does not say" in bench.trigger("controller/engage", flight.sensors).message
    flight.mode = "true"
    flight.until(lambda: flight.say()["troubles"] == "", "readiness")
    flight.engage()
    flight.fly()
    flight.airborne = "false"  # it has landed, or somebody else flies it
    flight.become("disengaged")
    assert "not airborne" in flight.say()["reason"]
    flight.more(12, is_zero)
    assert flight.stays_zero()
    flight.airborne = "perhaps"
    flight.until(lambda: "expected true, false or nothing" in flight.process.log, "the complaint")


def test_a_person_takes_over_at_once_and_hands_back_by_service(bench):
    flight = Guarded(bench, **SLEW, **BRAKE, takeover__timeout=2.0)
    flight.until(lambda: flight.say().get("troubles") == "", "readiness")
    flight.push = (0.0, 0.0, 0.2, 0.0)
    flight.until(lambda: "engage first" in flight.process.log, "the refusal")
    assert flight.say()["mode"] == "disengaged"
    flight.push = None
    flight.engage()
    flight.fly()
    flight.more(30)
    since = len(flight.commands) - 20
    flight.push = (-0.3, 0.2, 0.1, 0.4)
    flight.become("takeover")
    flight.until(lambda: np.allclose(vector(flight.commands[-1]), flight.push), "the command")
    assert flight.traced()["mode"] == "takeover"
    assert flight.traced()["wish"]  # the policy keeps observing
    refused = bench.trigger("controller/engage", flight.sensors)
    assert "a person has taken over" in refused.message
    flight.push = None  # the stick is let go
    flight.become("hold")
    assert flight.say()["reason"] == "no takeover command for 2 s"
    flight.until(lambda: is_zero(flight.commands[-1]), "a standstill")
    flight.push = (0.1, 0.0, 0.0, 0.0)
    flight.become("takeover")
    flight.push = None
    # Who still pushes takes over again: the last push must have been heard before the release.
    assert flight.stick.wait_for_all_acked()
    flight.more(2)
    assert bench.trigger("controller/release", flight.sensors).success
    flight.become("hold")
    assert flight.say()["reason"] == "released by service"
    assert bench.trigger("controller/engage", flight.sensors).success
    flight.fly()
    assert flight.largest_step(since) < EPSILON  # never faster than the limits, whoever commanded


def test_takeover_commands_of_no_use_are_dropped_and_said(bench):
    flight = Guarded(bench, engage=True)
    flight.fly()
    old = TwistStamped()
    messages.fill_command(old, np.ones(4), time.time_ns() - 3_000_000_000, "base_link")
    flight.beside = [lambda: flight.stick.publish(old)]
    flight.until(lambda: "expected at most takeover.timeout" in flight.process.log, "the complaint")

    def counted():
        return int(flight.counted().get("takeover.content", 0))

    flight.beside = []
    flight.until(lambda: "takeover" not in pairs(flight.trace[-1].status[0])["mode"]
                 and counted() > 0, "the count")
    before = counted()
    flight.push = (math.nan, 0.0, 0.0, 0.0)
    flight.until(lambda: counted() > before + 3, "more of it")
    assert not any(pairs(m.status[0])["mode"] == "takeover" for m in flight.trace)


def test_deadman_is_held_or_the_policy_does_not_fly(bench):
    flight = Guarded(bench, modes__deadman=True, modes__deadman_max_age=0.5)
    button = bench.publisher(Bool, "deadman", BEST_EFFORT)
    held = True
    flight.until(lambda: flight.say().get("troubles") == "the deadman is not held", "the trouble")
    flight.beside = [lambda: button.publish(Bool(data=held))]
    flight.until(lambda: flight.say()["troubles"] == "", "readiness")
    flight.engage()
    flight.fly()
    flight.beside = []  # its battery is empty
    flight.become("hold")
    assert "has said nothing" in flight.say()["reason"]
    flight.beside = [lambda: button.publish(Bool(data=held))]
    flight.more(20)
    assert flight.say()["mode"] == "hold"  # only a person engages after that
    flight.engage()
    flight.fly()


def test_a_short_silence_brakes_within_the_limits_and_flies_on(bench):
    flight = Guarded(bench, engage=True, **SLEW, **BRAKE)
    flight.fly()
    flight.more(40)
    since = len(flight.commands)
    flight.streams.silent.add("camera")
    flight.until(lambda: flight.say()["reason"] == "camera is stale: nothing newer than 0.5 s",
                 "hold")
    flight.streams.silent.clear()
    flight.become("engaged")
    assert flight.say()["reason"].startswith("resumed")
    flight.fly()
    assert flight.largest_step(since) < EPSILON
    assert flight.process.log.count("hold: camera is stale") == 1


def test_a_process_that_was_stopped_begins_again_at_rest(bench):
    """The vehicle adapter has said zero meanwhile: what follows must not jump from there."""
    flight = Guarded(bench, engage=True, **SLEW, **BRAKE)
    flight.fly()
    flight.more(40)
    flight.process.send(signal.SIGSTOP)
    end = time.monotonic() + 0.8
    bench.until(lambda: time.monotonic() > end, "a while")
    before = len(flight.commands)
    flight.process.send(signal.SIGCONT)
    flight.until(lambda: any("stood still" in pairs(s)["reason"] for s in flight.status), "hold")
    flight.become("engaged")  # what was missing is back soon
    flight.fly()
    assert is_zero(flight.commands[before])


def test_an_obstacle_stops_it_and_lets_it_back_away(bench):
    flight = Guarded(
        bench, scan__enabled=True, scan__width=2 * math.pi, obstacles__planar=True,
        stopping__deceleration=1.0, **SLEW, **BRAKE)
    scanner = bench.publisher(LaserScan, "scan", BEST_EFFORT)
    wall = 3.0

    def scan():
        message = LaserScan(angle_min=-math.pi, angle_increment=math.pi / 90, range_min=0.05,
                            range_max=20.0)
        messages.set_time(message.header.stamp, time.time_ns())
        angles = np.arange(180) * (math.pi / 90) - math.pi
        with np.errstate(divide="ignore"):
            ahead = np.where(np.cos(angles) > 0.1, wall / np.cos(angles), np.inf)
        message.ranges = ahead.astype(np.float32).tolist()
        scanner.publish(message)

    flight.beside = [scan]
    flight.until(lambda: flight.say().get("troubles") == "", "readiness")
    flight.engage()
    flight.push = (0.4, 0.0, 0.0, 0.0)  # limits and obstacle stop hold for a person, too
    flight.until(lambda: vector(flight.commands[-1])[0] > 0.35, "motion")
    wall = 0.62
    flight.until(lambda: abs(vector(flight.commands[-1])[0]) < 1e-9
                 and flight.traced()["lowered"] == "true", "a stop")
    flight.push = (-0.2, 0.0, 0.0, 0.0)
    flight.until(lambda: vector(flight.commands[-1])[0] < -0.15, "the way back")
    flight.until(lambda: int(flight.counted().get("guard.obstacle", 0)) > 3, "the count")
    flight.beside = []  # the scanner has died: nothing is covered any more
    flight.push = (0.4, 0.0, 0.0, 0.0)
    flight.until(lambda: "sensor scan covers nothing" in flight.counted()["remarks"], "the remark")
    flight.until(lambda: 0.25 < vector(flight.commands[-1])[0] < 0.31, "the cap")


def test_each_of_several_beams_stops_it_where_it_looks(bench):
    beams = ("range", "range_left", "range_back", "range_right", "range_up", "range_down")
    flight = Guarded(
        bench, stopping__deceleration=1.0, obstacles__uncovered=0.05, **SLEW, **BRAKE,
        **{f"{beam}__enabled": True for beam in beams})
    publishers = {beam: bench.publisher(Range, beam, BEST_EFFORT) for beam in beams}
    distances = dict.fromkeys(beams, math.inf)

    def measure():
        for beam, distance in distances.items():
            message = Range(field_of_view=0.47, min_range=0.05, max_range=4.0, range=distance)
            messages.set_time(message.header.stamp, time.time_ns())
            publishers[beam].publish(message)

    def goes(way, what):
        flight.push = (*(0.3 * v for v in way), 0.0)
        flight.until(lambda: np.dot(way, vector(flight.commands[-1])[:3]) > 0.27, what)

    flight.beside = [measure]
    flight.until(lambda: flight.say().get("troubles") == "", "readiness")
    flight.engage()
    ways = ((1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
    for beam, way in zip(beams, ways, strict=True):
        goes(way, f"motion along {beam}, which sees nothing, by walls that others see")
        distances[beam] = 0.62
        flight.until(lambda: np.abs(vector(flight.commands[-1])).max() < 1e-9
                     and flight.traced()["lowered"] == "true", f"a stop by {beam}")
    distances["range_right"] = math.inf
    del distances["range_left"]
    flight.until(lambda: "sensor range_left covers nothing" in flight.counted()["remarks"],
                 "the remark")
    flight.push = (0.0, 0.3, 0.0, 0.0)
    flight.until(lambda: 0.04 < vector(flight.commands[-1])[1] < 0.051, "the cap to the left")
    goes((0, -1, 0), "motion to the right, where a beam still looks")


def test_the_fence_needs_odometry_and_brakes_before_the_border(bench):
    flight = Guarded(bench, fence__enabled=True, fence__x_high=5.0, stopping__deceleration=1.0,
                     **SLEW, **BRAKE)
    odometry = bench.publisher(Odometry, "odom", BEST_EFFORT)
    place = [0.0, 0.0, 1.0]

    def locate():
        message = Odometry()
        messages.fill_odometry(message, np.array(place), np.eye(3), np.zeros(3), np.zeros(3),
                               time.time_ns(), "odom", "base_link")
        odometry.publish(message)

    flight.until(lambda: "fence" in flight.say().get("troubles", ""), "the trouble")
    assert not bench.trigger("controller/engage", flight.sensors).success
    flight.beside = [locate]
    flight.until(lambda: flight.say()["troubles"] == "", "readiness")
    flight.engage()
    flight.push = (0.4, 0.0, 0.0, 0.0)
    flight.until(lambda: vector(flight.commands[-1])[0] > 0.35, "motion")
    place[0] = 4.99
    flight.until(lambda: abs(vector(flight.commands[-1])[0]) < 0.05, "a stop")
    flight.until(lambda: int(flight.counted().get("guard.fence", 0)) > 3, "the count")


def test_guard_parameters_count_at_once_and_only_together(bench):
    flight = Guarded(bench, engage=True)
    flight.fly()
    refused = bench.set_parameters("controller", normal__forward=3.0, braking__forward=1.0)
    assert not refused.successful
    assert "expected braking to be at least as strong" in refused.reason
    assert bench.get_parameter("controller", "normal.forward").double_value == 0.0
    assert bench.set_parameters("controller", limits__forward=0.1, limits__lateral=0.1,
                                limits__backward=0.1).successful
    flight.until(lambda: all(np.abs(vector(c)[:2]).max() <= 0.1 for c in flight.commands[-5:]),
                 "slow commands")
    flight.until(lambda: '"limits.forward": 0.1' in flight.traced().get("settings", ""),
                 "the trace")


@pytest.mark.parametrize("parameter, sentence", [
    ({"scan__near": 5.0, "scan__far": 1.0, "scan__enabled": True}, "sensor.near is 5"),
    ({"normal__jerk_turn": 4.0}, "expected an acceleration wherever there is a jerk")])
def test_impossible_guards_are_named_at_configure(bench, parameter, sentence):
    status = bench.collect(DiagnosticStatus, "controller/status", LATCHED)
    bench.start("controller", **parameter)
    bench.until(lambda: status and sentence in pairs(status[-1])["reason"], "the sentence")
    assert pairs(status[-1])["active"] == "false"
