"""Velocity, acceleration and jerk stay inside, for all targets, pauses and changes of limits."""

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from robots_for_tests import TOLERANCE, check_step

from lnn_ros.guard.limiter import PERIODS, Limiter
from lnn_ros.guard.limits import UNLIMITED, Limits, Slew

PERIOD = 0.05
CAP = PERIODS * PERIOD
LIMITS = Limits((-0.5, -1.0, -0.8, -1.5), (1.6, 1.0, 0.8, 1.5))
NORMAL = Slew((1.0, 1.0, 0.6, 3.0), (1.5, 1.0, 0.9, 3.0), (6.0, 5.0, 4.0, math.inf))
BRAKING = Slew((2.0, 2.0, 1.2, 6.0), (3.0, 2.0, 1.8, 6.0), (20.0, 15.0, 10.0, math.inf))
STEPS = st.one_of(st.floats(1e-9, 1e-3), st.floats(1e-3, 2 * CAP), st.sampled_from([0.0, 10.0]))
SPEED = st.floats(-3.0, 3.0) | st.sampled_from([0.0, 1e-9, -1e-12, 1e300, -1e300])
TARGETS = st.tuples(SPEED, SPEED, SPEED, SPEED)
BOOLS = st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans())


class AnyFlight(RuleBasedStateMachine):
    """Whatever is asked of a limiter, and whenever its limits are changed."""

    @initialize()
    def begin(self):
        self.limiter = Limiter(LIMITS, NORMAL, BRAKING, PERIOD)

    @rule(goal=TARGETS, dt=STEPS, braking=BOOLS)
    def step(self, goal, dt, braking):
        before = self.limiter.velocity, self.limiter.acceleration
        out = self.limiter.step(goal, dt, braking)
        assert tuple(out) == self.limiter.velocity
        check_step(before, self.limiter, min(dt, CAP))

    @rule(goal=TARGETS, dt=st.floats(0.01, CAP), braking=BOOLS, n=st.integers(2, 20))
    def go_on(self, goal, dt, braking, n):
        for _ in range(n):
            self.step(goal, dt, braking)

    @rule(size=st.floats(0.05, 3.0), speed=st.floats(0.0, 2.0), jerk=st.booleans())
    def change_limits(self, size, speed, jerk):
        normal, braking = (
            Slew(tuple(size * v for v in slew.rise), tuple(size * v for v in slew.fall),
                 tuple(size * v if jerk else math.inf for v in slew.jerk))
            for slew in (NORMAL, BRAKING))
        limits = Limits(tuple(speed * v for v in LIMITS.low), tuple(speed * v for v in LIMITS.high))
        before = self.limiter.velocity
        self.limiter.set(limits, normal, braking, PERIOD)
        assert self.limiter.velocity == before

    @rule()
    def lift_limits(self):
        self.limiter.set(LIMITS, UNLIMITED, UNLIMITED, PERIOD)

    @rule()
    def stop(self):
        self.limiter.stop()
        assert self.limiter.velocity == self.limiter.acceleration == (0.0,) * 4

    @invariant()
    def can_come_to_rest_inside(self):
        for v, a, bounds in zip(self.limiter.velocity, self.limiter.acceleration,
                                self.limiter.in_force, strict=True):
            assert bounds.admits(v, a)


TestAnyFlight = AnyFlight.TestCase
TestAnyFlight.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)


def flown(history):
    """Return a limiter after some steps by the normal set."""
    limiter = Limiter(LIMITS, NORMAL, BRAKING, PERIOD)
    for target, dt in history:
        limiter.step(target, dt, (False,) * 4)
    return limiter


HISTORY = st.lists(st.tuples(TARGETS, st.floats(1e-3, CAP)), max_size=25)


@settings(max_examples=100)
@given(HISTORY, st.floats(5e-3, CAP), st.floats(0.3, 1.0), st.integers(0, 99))
def test_braking_comes_to_zero_in_time_and_never_crosses_it(history, longest, share, seed):
    random = Random(seed)
    limiter = flown(history)
    begun = list(zip(limiter.velocity, limiter.acceleration, strict=True))
    limiter_bounds = zip(LIMITS.low, LIMITS.high, BRAKING.rise, BRAKING.fall, BRAKING.jerk,
                         strict=True)
    due = []
    for (v, a), (_, _, rise, fall, jerk) in zip(begun, limiter_bounds, strict=True):
        weakest, lag = min(rise, fall), abs(a) / jerk
        # Take back the acceleration, then brake: trapezoids, or triangles, which are shorter.
        due.append(lag + (abs(v) + a * a / (2 * jerk)) / weakest + weakest / jerk)
    elapsed, arrived = 0.0, [math.inf] * 4
    while elapsed < max(due) + 15 * longest:
        dt = longest * (share + (1 - share) * random.random())
        before = limiter.velocity, limiter.acceleration
        limiter.step((0.0,) * 4, dt, (True,) * 4)
        check_step(before, limiter, min(dt, CAP))
        elapsed += dt
        for i, ((v, a), new) in enumerate(zip(begun, limiter.velocity, strict=True)):
            # Only an acceleration that already leads across zero can cross it, no further than
            # taking it back needs.
            rest = v + a * abs(a) / (2 * BRAKING.jerk[i])
            assert min(0.0, v, rest) - TOLERANCE <= new <= max(0.0, v, rest) + TOLERANCE
            if new == 0.0 and limiter.acceleration[i] == 0.0:
                arrived[i] = min(arrived[i], elapsed)
            elif math.isfinite(BRAKING.jerk[i]):
                assert arrived[i] == math.inf, "it left zero again"
    assert limiter.velocity == (0.0,) * 4
    for i in range(4):
        assert min(arrived[i], elapsed) <= due[i] + 12 * longest, (i, due[i], arrived[i], longest)


@given(st.floats(-3, 3), st.floats(1e-4, CAP), st.booleans())
def test_a_constant_target_is_reached_exactly_and_not_passed(goal, dt, braking):
    limiter = Limiter(LIMITS, NORMAL, BRAKING, PERIOD)
    end = [min(max(goal, low), high) for low, high in zip(LIMITS.low, LIMITS.high, strict=True)]
    last = limiter.velocity
    for _ in range(int(6.0 / dt) if dt > 0.01 else 600):
        limiter.step((goal,) * 4, dt, (braking,) * 4)
        for v, new, e in zip(last, limiter.velocity, end, strict=True):
            assert min(v, e) <= new <= max(v, e)
        last = limiter.velocity
    if dt > 0.01:
        assert list(last) == end


def test_a_stall_buys_no_jump():
    limiter = Limiter(LIMITS, Slew((1.0,) * 4, (1.0,) * 4, (math.inf,) * 4), period=PERIOD)
    assert limiter.step((1.0,) * 4, 2.0, (False,) * 4)[0] == pytest.approx(CAP)


def test_without_limits_of_change_everything_passes_at_once():
    limiter = Limiter(LIMITS)
    assert limiter.step((1.0, -0.5, 0.1, 9.0), 0.0, (False,) * 4) == [1.0, -0.5, 0.1, 1.5]
    assert limiter.step((0.0,) * 4, 0.0, (True,) * 4) == [0.0] * 4


def test_up_and_down_may_differ():
    limiter = Limiter(LIMITS, NORMAL, BRAKING, PERIOD)
    limiter.set(LIMITS, Slew((1.0,) * 4, (0.5,) * 4, (math.inf,) * 4), BRAKING, PERIOD)
    assert limiter.step((1.0,) * 4, PERIOD, (False,) * 4)[0] == pytest.approx(0.05)
    assert limiter.step((-1.0,) * 4, PERIOD, (False,) * 4)[0] == pytest.approx(0.025)


def test_lower_ceilings_are_entered_by_braking_not_by_a_jump():
    limiter = Limiter(LIMITS, NORMAL, BRAKING, PERIOD)
    for _ in range(200):
        limiter.step((1.6, 0, 0, 0), PERIOD, (False,) * 4)
    assert limiter.velocity[0] == 1.6
    limiter.set(Limits((-0.1,) * 4, (0.4,) * 4), NORMAL, BRAKING, PERIOD)
    first = limiter.step((1.6, 0, 0, 0), PERIOD, (False,) * 4)[0]
    assert 1.6 - NORMAL.jerk[0] * PERIOD**2 - TOLERANCE <= first < 1.6
    for _ in range(200):
        limiter.step((1.6, 0, 0, 0), PERIOD, (False,) * 4)
    assert limiter.velocity[0] == 0.4
