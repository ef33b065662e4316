"""No command leaves that is not finite, fresh, inside its limits and in order, whatever happens."""

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from robots_for_tests import (
    ALONE,
    EVERYWHERE,
    MS,
    NORMAL,
    START,
    check_step,
    fenced,
    parameters,
)

from lnn_ros.errors import LnnError
from lnn_ros.guard.chain import Guard
from lnn_ros.guard.limiter import Limiter
from lnn_ros.guard.limits import Limits
from lnn_ros.guard.modes import STOPPED, Event, Mode, Refusal
from lnn_ros.guard.parameters import (
    GuardParameters,
    LimitParameters,
    ModeParameters,
    TakeoverParameters,
)

LIMITS = Limits((-0.5, -1.0, -0.8, -1.5), (1.6, 1.0, 0.8, 1.5), max_age=0.5)
FRESH = {"camera": 0.05, "imu": 0.005}
STALE = {"camera": 0.7, "imu": 0.005}
ANY = st.floats(allow_nan=True, allow_infinity=True)
WISH = np.array([0.5, 0.1, -0.1, 0.2])
PERIOD = 0.05


class Flight:
    """A guard that is asked every 50 ms, by both clocks."""

    def __init__(self, given=None, engage=True):
        self.guard = Guard(LIMITS, given or parameters(), PERIOD)
        self.at_ns, self.now = START, 7.0
        self.ask()
        if engage:
            self.guard.handle(Event.ENGAGE, "by service", self.now)

    def ask(self, wish=WISH, ages=FRESH, n=1, **more):
        for _ in range(n):
            self.at_ns += round(PERIOD * 1e9)
            self.now += PERIOD
            command = self.guard(self.at_ns, wish, ages, now=self.now, **more)
        return command

    @property
    def mode(self):
        return self.guard.mode


@given(st.tuples(ANY, ANY, ANY, ANY))
def test_whatever_is_wished_the_command_is_finite_and_inside(wish):
    guard = Guard(LIMITS)
    command = guard(1, np.array(wish), FRESH)
    assert np.isfinite(command).all()
    assert (command >= LIMITS.low).all() and (command <= LIMITS.high).all()
    if not np.isfinite(wish).all():
        assert (command == 0).all() and guard.counts["guard.not_finite"] == 1


def test_a_good_wish_passes_unchanged_and_uncounted():
    guard = Guard(LIMITS)
    wish = np.array([1.0, -0.5, 0.1, 1.5])
    np.testing.assert_array_equal(guard(1, wish, FRESH), wish)
    assert not guard.counts
    guard(2, wish * 10, FRESH)
    assert guard.counts["guard.clamped"] == 1


@pytest.mark.parametrize("stream", ["camera", "imu"])
@pytest.mark.parametrize("age", [None, 0.51, -0.51, float("nan")])
def test_a_missing_or_stale_stream_stops(stream, age):
    guard = Guard(LIMITS)
    assert (guard(1, np.ones(4), {**FRESH, stream: age}) == 0).all()
    assert guard.counts == {f"guard.stale_{stream}": 1} and guard.mode is Mode.HOLD
    assert (guard(2, np.ones(4) * 0.5, {**FRESH, stream: 0.5}) == 0.5).all()


def test_time_does_not_go_back():
    guard = Guard(LIMITS)
    guard(5, np.zeros(4), FRESH)
    guard(5, np.zeros(4), FRESH)
    with pytest.raises(LnnError, match="4 ns asked for, expected 5 ns or later"):
        guard(4, np.zeros(4), FRESH)
    guard.reset()
    guard(4, np.zeros(4), FRESH)


@pytest.mark.parametrize("limits", [
    ((0.1, 0, 0, 0), (1, 1, 1, 1), 0.5), ((0, 0, 0, 0), (1, 1, -1, 1), 0.5),
    ((0, 0, 0, 0), (1, 1, float("inf"), 1), 0.5), ((0, 0, 0), (1, 1, 1, 1), 0.5),
    ((0, 0, 0, 0, 0), (1, 1, 1), 0.5), ((0, 0, 0, 0), (1, 1, 1, 1), 0.0)])
def test_senseless_limits_are_refused(limits):
    with pytest.raises(LnnError, match="limits"):
        Limits(*limits)


def test_it_begins_disengaged_and_says_why_it_cannot_be_engaged():
    guard = Guard(LIMITS, parameters(), PERIOD)
    assert guard.mode is Mode.DISENGAGED
    with pytest.raises(Refusal, match="no command has been asked for yet"):
        guard.handle(Event.ENGAGE, "by service")
    assert (guard(START, WISH, STALE) == 0).all()
    with pytest.raises(Refusal, match=r"engage refused: camera is stale: nothing newer than 0.5 s"):
        guard.handle(Event.ENGAGE, "by service")
    assert (guard(START + MS, WISH, FRESH) == 0).all()
    assert guard.handle(Event.ENGAGE, "by service") and guard.reason == "by service"
    with pytest.raises(LnnError, match="period is 0"):
        guard.set(parameters(), 0.0)


def test_a_stale_stream_brakes_and_what_comes_back_soon_flies_on():
    flight = Flight()
    assert flight.ask(n=60) == pytest.approx(WISH)
    speeds = [flight.ask(ages=STALE)[0] for _ in range(30)]
    # By the braking set: the normal one allows 0.485.
    assert 0.3 < speeds[0] < 0.46 and speeds[-1] == 0.0 and (np.diff(speeds) <= 0).all()
    assert flight.mode is Mode.HOLD and "camera is stale" in flight.guard.reason
    assert flight.ask(n=60) == pytest.approx(WISH) and flight.mode is Mode.ENGAGED
    # Later than resume_within a person must engage.
    flight.ask(ages=STALE, n=50)
    assert (flight.ask(n=20) == 0.0).all() and flight.mode is Mode.HOLD
    assert flight.guard.handle(Event.ENGAGE, "by service", flight.now)


@pytest.mark.parametrize("cause", [
    {"silences": {"camera": 0.6, "imu": 0.0}}, {"silences": {"camera": None}}, {"wish": None},
    {"wish": np.full(4, math.nan)}, {"wish": np.zeros(3)}, {"ages": {**FRESH, "policy": 0.6}}])
def test_silence_by_steady_time_and_a_policy_without_answer_hold(cause):
    flight = Flight()
    flight.ask(n=20)
    flight.ask(silences={"camera": 0.1, "imu": 0.1})
    assert flight.mode is Mode.ENGAGED
    flight.ask(**cause)
    assert flight.mode is Mode.HOLD


def test_a_takeover_wins_at_once_and_ends_in_hold():
    flight = Flight()
    flight.ask(n=60)
    for _ in range(60):
        assert flight.guard.take_over((-0.4, 0.0, 9.0, 0.0), flight.now)
        command = flight.ask(ages=STALE)
    assert flight.mode is Mode.TAKEOVER and flight.guard.reason == "a person commands"
    assert command == pytest.approx([-0.4, 0.0, 0.8, 0.0])  # limits hold for a person too
    with pytest.raises(Refusal, match="release first"):
        flight.guard.handle(Event.ENGAGE, "by service", flight.now)
    assert not flight.guard.take_over((math.nan, 0, 0, 0), flight.now)
    flight.ask(n=8)
    assert flight.mode is Mode.TAKEOVER
    flight.ask(n=2)
    assert flight.mode is Mode.HOLD and "no takeover command for 0.5 s" in flight.guard.reason
    flight.ask(n=200)
    assert flight.mode is Mode.HOLD
    with pytest.raises(Refusal, match="nobody has taken over"):
        flight.guard.handle(Event.RELEASE, "by topic", flight.now)
    flight.guard.handle(Event.ENGAGE, "by service", flight.now)
    assert flight.guard.transitions == {"engaged": 2, "takeover": 1, "hold": 1}


def test_by_parameter_the_policy_flies_on_after_a_takeover():
    flight = Flight(parameters(takeover=TakeoverParameters(auto_resume=True)))
    flight.guard.take_over((0.1, 0, 0, 0), flight.now)
    flight.ask(n=5)
    flight.guard.handle(Event.RELEASE, "by topic", flight.now)
    assert flight.mode is Mode.HOLD
    flight.ask()
    assert flight.mode is Mode.ENGAGED and "resumed" in flight.guard.reason


def test_a_stall_begins_again_at_rest_and_resumes():
    flight = Flight()
    flying = flight.ask(n=30)
    assert flying[0] == 0.5
    assert flight.guard.handle(Event.STALL, "the clock stood still", flight.now)
    assert flight.mode is Mode.HOLD and flight.guard.limiter.velocity == (0.0,) * 4
    assert flight.guard.stops == 1
    first = flight.ask()
    assert flight.mode is Mode.ENGAGED and 0.0 < first[0] < flying[0]


def test_who_wants_to_engage_does_so_with_the_first_command_that_can_be_given():
    guard = Guard(LIMITS, parameters())
    guard.engage_when_ready("by parameter")
    assert (guard(START, WISH, STALE) == 0).all() and guard.mode is Mode.DISENGAGED
    guard(START + 1, WISH, FRESH)
    assert (guard.mode, guard.reason) == (Mode.ENGAGED, "by parameter")
    guard.handle(Event.DISENGAGE, "by service")
    guard(START + 2, WISH, FRESH)
    assert guard.mode is Mode.DISENGAGED


def test_a_fault_before_it_could_engage_is_no_longer_wanted_away():
    guard = Guard(LIMITS, parameters())
    guard.engage_when_ready("by parameter")
    guard.handle(Event.FAIL, "an error")
    guard.handle(Event.RESET, "by service")
    guard(START, WISH, FRESH)
    assert guard.mode is Mode.DISENGAGED


@given(st.lists(st.tuples(st.sampled_from(["fly", "stale", "wild", "stall"]),
                          st.integers(1, 200 * MS)), min_size=1, max_size=30))
def test_a_decision_makes_the_command_again(course):
    flight = Flight()
    given = flight.guard.parameters
    twin = Limiter(LIMITS, given.normal.slew(), given.braking.slew(), PERIOD)
    for what, dt_ns in course:
        if what == "stall":
            flight.guard.handle(Event.STALL, "drawn", flight.now)
            twin.stop()
        flight.at_ns += dt_ns
        flight.now += dt_ns * 1e-9
        command = flight.guard(flight.at_ns, WISH * (9.0 if what == "wild" else 1.0),
                               STALE if what == "stale" else FRESH, now=flight.now)
        decision = flight.guard.decision
        assert decision.dt == pytest.approx(dt_ns * 1e-9) and not decision.lowered
        again = twin.step(decision.target, decision.dt, decision.braking)
        assert tuple(again) == tuple(command)


@pytest.mark.parametrize("event", [Event.DISENGAGE, Event.FAIL, Event.SHUTDOWN, Event.RESET])
def test_only_ends_go_to_zero_at_once(event):
    flight = Flight()
    flight.ask(n=60)
    flight.guard.handle(event, "enough", flight.now)
    assert flight.mode in STOPPED and flight.guard.limiter.velocity == (0.0,) * 4
    assert (flight.ask() == 0).all()
    if event is Event.FAIL:
        for refused in (Event.ENGAGE, Event.DISENGAGE):
            with pytest.raises(Refusal, match=r"reset first \(enough\)"):
                flight.guard.handle(refused, "by service", flight.now)
        with pytest.raises(Refusal, match="reset first"):
            flight.guard.take_over((0.1, 0, 0, 0), flight.now)
        flight.guard.handle(Event.RESET, "by service", flight.now)
    with pytest.raises(Refusal, match="engage first"):
        flight.guard.take_over((0.1, 0, 0, 0), flight.now)
    flight.guard.handle(Event.ENGAGE, "by service", flight.now)
    assert 0.0 < flight.ask()[0] < 0.05  # from rest


def test_the_vehicle_must_say_that_it_flies_and_obeys():
    flight = Flight(parameters(modes=ModeParameters()), engage=False)
    for airborne, mode, words in ((None, True, "does not say whether it is airborne"),
                                  (True, None, "does not say whether it is in its velocity mode"),
                                  (False, True, "says that it is not airborne"),
                                  (None, False, "says that it is not in its velocity mode")):
        flight.guard.vehicle(airborne, mode, flight.now)
        with pytest.raises(Refusal, match=words):
            flight.guard.handle(Event.ENGAGE, "by service", flight.now)
    flight.guard.vehicle(True, True, flight.now)
    flight.guard.handle(Event.ENGAGE, "by service", flight.now)
    flight.ask(n=39)
    assert flight.mode is Mode.ENGAGED
    flight.ask(n=2)  # it has said nothing for two seconds
    assert flight.mode is Mode.HOLD and "does not say" in flight.guard.reason
    flight.guard.vehicle(True, True, flight.now)
    flight.ask()
    assert flight.mode is Mode.ENGAGED
    flight.guard.vehicle(True, False, flight.now)  # somebody has flipped the switch
    assert (flight.ask() == 0).all() and flight.mode is Mode.DISENGAGED
    assert flight.guard.reason == "the vehicle says that it is not in its velocity mode"


def test_the_deadman():
    flight = Flight(parameters(modes=ModeParameters(
        require_airborne=False, require_velocity_mode=False, deadman=True)), engage=False)
    with pytest.raises(Refusal, match="the deadman is not held"):
        flight.guard.handle(Event.ENGAGE, "by service", flight.now)
    for let_go in (True, False):
        flight.guard.deadman(True, flight.now)
        flight.guard.handle(Event.ENGAGE, "by service", flight.now)
        flight.ask(n=8)
        assert flight.mode is Mode.ENGAGED
        if let_go:
            flight.guard.deadman(False, flight.now)
        flight.ask(n=1 if let_go else 4)
        assert flight.mode is Mode.HOLD and "deadman" in flight.guard.reason
        flight.guard.deadman(True, flight.now)
        flight.ask(n=20)
        assert flight.mode is Mode.HOLD  # holding it again is not engaging
    # Let go while a stream is stale: its return is no reason to fly on either.
    flight.guard.deadman(True, flight.now)
    flight.guard.handle(Event.ENGAGE, "by service", flight.now)
    flight.ask(ages=STALE)
    flight.guard.deadman(False, flight.now)
    flight.ask(ages=STALE)
    flight.guard.deadman(True, flight.now)
    flight.ask(n=3)
    assert flight.mode is Mode.HOLD


def test_limits_change_in_flight_without_a_jump_and_never_widen_the_policys():
    flight = Flight()
    before = flight.ask(np.full(4, 9.0), n=100)
    np.testing.assert_allclose(before, LIMITS.high)
    flight.guard.set(parameters(limits=LimitParameters(forward=0.3, max_age=0.2)), PERIOD)
    after = flight.ask(np.full(4, 9.0))
    assert 1.5 < after[0] < 1.6 and flight.guard.limits.max_age == 0.2
    np.testing.assert_allclose(flight.ask(np.full(4, 9.0), n=60), [0.3, 1.0, 0.8, 1.5])
    flight.ask(ages={"camera": 0.3, "imu": 0.0})
    assert flight.mode is Mode.HOLD


def test_a_jump_of_the_clock_buys_no_jump_of_the_command():
    flight = Flight()
    flight.ask(n=60)
    flight.guard.reset()
    assert flight.guard.troubles(flight.now) == ["no command has been asked for yet"]
    flight.at_ns = 0
    assert flight.ask(-WISH)[0] == pytest.approx(0.5)


class AnyInput(RuleBasedStateMachine):
    """Whatever comes in, in any order."""

    @initialize(sensor=st.booleans(), fence=st.booleans())
    def begin(self, sensor, fence):
        self.given = parameters(
            sensors={"all": EVERYWHERE} if sensor else {}, modes=ALONE,
            fence=fenced(required=False).fence if fence else fenced().fence.__class__())
        self.flight = Flight(self.given, engage=False)
        self.known = True  # the instant before

    @rule(wish=st.tuples(ANY, ANY, ANY, ANY) | st.just((0.5, 0.5, -0.5, 1.0)),
          age=st.sampled_from([None, 0.1, 0.1, 0.1, 0.9, math.nan]),
          dt_ns=st.sampled_from([0, 1, 10 * MS, 50 * MS, 50 * MS, 10**10]), n=st.integers(1, 10))
    def command(self, wish, age, dt_ns, n):
        guard, flight = self.flight.guard, self.flight
        for _ in range(n):
            limiter = guard.limiter
            before = limiter.velocity, limiter.acceleration
            flight.at_ns += dt_ns
            flight.now += dt_ns * 1e-9
            command = guard(flight.at_ns, np.array(wish), {"camera": age}, now=flight.now)
            assert command.shape == (4,) and np.isfinite(command).all()
            assert tuple(command) == limiter.velocity
            if guard.mode in STOPPED:
                assert (command == 0).all()
            else:
                check_step(before, limiter, min(dt_ns * 1e-9, 2 * PERIOD) * self.known)
            self.known = True

    @rule(event=st.sampled_from(Event))
    def happen(self, event):
        before = self.flight.guard.limiter.velocity
        with contextlib.suppress(Refusal):
            self.flight.guard.handle(event, "drawn", self.flight.now)
        if event is Event.STALL:
            assert self.flight.guard.limiter.velocity == (0.0,) * 4
        elif self.flight.mode not in STOPPED:
            assert self.flight.guard.limiter.velocity == before

    @precondition(lambda self: self.flight.mode not in STOPPED)
    @rule(wish=st.tuples(ANY, ANY, ANY, ANY) | st.just((-0.5, 0.2, 0.3, 0.0)))
    def take_over(self, wish):
        self.flight.guard.take_over(wish, self.flight.now)

    @rule(points=st.lists(st.tuples(ANY, ANY, ANY) | st.just((1.0, 0.2, 0.0)), max_size=4),
          late=st.sampled_from([0, 100 * MS, -100 * MS, 10**12]))
    def measure(self, points, late):
        if self.given.sensors:
            self.flight.guard.see("all", self.flight.at_ns - late,
                                  np.array(points, float).reshape(-1, 3))

    @rule(place=st.tuples(ANY, ANY, ANY) | st.just((1.9, 0.0, 0.0)), yaw=ANY)
    def locate(self, place, yaw):
        self.flight.guard.locate(self.flight.at_ns, place, yaw)

    @rule(slow=st.booleans())
    def change(self, slow):
        self.flight.guard.set(GuardParameters(
            normal=NORMAL, braking=self.given.braking, modes=ALONE, sensors=self.given.sensors,
            fence=self.given.fence, limits=LimitParameters(forward=0.3 if slow else 1.0)), PERIOD)

    @rule()
    def jump(self):
        self.flight.guard.reset()
        self.flight.at_ns, self.known = START, False


TestAnyInput = AnyInput.TestCase
TestAnyInput.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
