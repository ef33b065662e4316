"""What is unlike training is flown slowly, or not at all, if parameters say so."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from robots_for_tests import ALONE, FRESH, MS, NORMAL, POLICY, START, parameters

from lnn_ros.errors import LnnError
from lnn_ros.guard.chain import Guard
from lnn_ros.guard.modes import Event, Mode, Refusal
from lnn_ros.guard.novelty import ENOUGH, Novelty
from lnn_ros.guard.parameters import GuardParameters, NoveltyParameters

WISH = np.array([1.2, -0.4, 0.2, 0.6])
SLOW = NoveltyParameters(slow_above=1.0, slow_to=0.4)
HOLD = NoveltyParameters(slow_above=0.5, slow_to=0.4, hold_above=1.5)
SCORES = st.none() | st.floats(-5, 5) | st.sampled_from([math.nan, math.inf])


def ask(guard, score, n=1, wish=WISH):
    """Ask for commands; return the last, and each speed forward."""
    speeds = []
    for _ in range(n):
        guard.novelty(score)
        at = ask.at_ns = getattr(ask, "at_ns", START) + 50 * MS
        speeds.append(guard(at, wish, FRESH))
    return speeds[-1], [command[0] for command in speeds]


def flying(novelty):
    """Return a guard that is engaged, of a policy whose input is as usual."""
    guard, ask.at_ns = Guard(POLICY, parameters(novelty=novelty), period=0.05), START
    ask(guard, 0.0)
    guard.handle(Event.ENGAGE, "for the test")
    return guard


@given(st.lists(SCORES, min_size=1, max_size=5))
def test_off_it_changes_nothing_and_counts_nothing(scores):
    ask.at_ns = START
    plain, told = Guard(POLICY), Guard(POLICY)
    for k, score in enumerate(scores):
        told.novelty(score)
        np.testing.assert_array_equal(plain(START + k, WISH, FRESH), told(START + k, WISH, FRESH))
    assert told.mode is Mode.ENGAGED and not told.counts


def test_above_the_first_threshold_the_ceilings_come_down_and_the_way_stays():
    guard = flying(SLOW)
    assert ask(guard, 0.9, 60)[0] == pytest.approx(WISH)
    assert not guard.counts
    command, speeds = ask(guard, 3.0, 80)
    assert command[0] == pytest.approx(0.4 * POLICY.high[0])
    assert command / command[0] == pytest.approx(WISH / WISH[0])
    # By the normal set of limits: no jump.
    assert min(np.diff([1.2, *speeds])) >= -1.5 * 0.05 - 1e-9
    assert guard.counts["guard.novelty_slowed"] == 80 and guard.mode is Mode.ENGAGED
    assert ask(guard, 0.0, 80)[0] == pytest.approx(WISH)


@given(st.floats(-3, 3), st.floats(0, 0.2))
def test_the_share_falls_evenly_from_one_threshold_to_the_other(score, step):
    watch = Novelty(HOLD)
    watch.say(score)
    here = watch.share()
    watch.say(score + step)
    assert 0.0 <= here - watch.share() <= step * 0.6 + 1e-12  # 0.6 lost in 1.0
    for said, share in ((0.5, 1.0), (1.0, 0.7), (1.5, 0.4), (9.0, 0.4)):
        watch.say(said)
        assert watch.share() == pytest.approx(share)
    only_slow = Novelty(SLOW)
    only_slow.say(1.5)
    assert only_slow.share() == pytest.approx(0.7)


@given(st.lists(st.tuples(*(st.floats(a, b) for a, b in zip(POLICY.low, POLICY.high, strict=True)))
                | st.just((0.0,) * 4), min_size=1, max_size=4), SCORES)
def test_what_is_lowered_is_inside_and_no_larger(targets, score):
    watch = Novelty(HOLD)
    watch.say(score)
    for target in targets:
        lowered = watch.lower(list(target), POLICY)
        share = watch.share()
        for now, wished, low, high in zip(lowered, target, POLICY.low, POLICY.high, strict=True):
            assert share * low - 1e-9 <= now <= share * high + 1e-9
            assert abs(now) <= abs(wished) and now * wished >= 0.0


def test_above_the_second_it_holds_and_flies_on_well_below():
    guard = flying(HOLD)
    ask(guard, 0.0, 60)
    _, speeds = ask(guard, 1.6, 30)
    assert guard.mode is Mode.HOLD and speeds[-1] == 0.0 and (np.diff(speeds) <= 0).all()
    assert guard.reason == "the input is unlike training: novelty above 1.5"
    assert guard.troubles(ask.at_ns * 1e-9) == [guard.reason]
    with pytest.raises(Refusal, match="unlike training"):
        guard.handle(Event.ENGAGE, "by service")
    ask(guard, (ENOUGH + 0.01) * 1.5, 3)
    assert guard.mode is Mode.HOLD, "a little below is not enough"
    ask(guard, (ENOUGH - 0.01) * 1.5)
    assert guard.mode is Mode.ENGAGED
    assert guard.counts["guard.novelty_held"] == 33
    ask(guard, 1.4)
    assert guard.mode is Mode.ENGAGED, "below the threshold it did not hold before either"


@pytest.mark.parametrize("score", [None, math.nan])
def test_a_policy_that_does_not_say_is_not_trusted(score):
    guard = flying(HOLD)
    ask(guard, score)
    assert guard.mode is Mode.HOLD and "does not say" in guard.reason
    assert guard.counts["guard.novelty_unknown"] == 1
    slowed = flying(SLOW)
    assert ask(slowed, score, 80)[0][0] == pytest.approx(0.4 * POLICY.high[0])


def test_a_person_flies_at_any_novelty():
    guard = flying(HOLD)
    guard.take_over((1.0, 0.0, 0.0, 0.0))
    for _ in range(60):
        command, _ = ask(guard, 9.0)
        guard.take_over((1.0, 0.0, 0.0, 0.0))
    assert guard.mode is Mode.TAKEOVER and command[0] == pytest.approx(1.0)


def test_parameters_change_in_flight_and_a_reset_forgets():
    guard = flying(HOLD)
    ask(guard, 0.0, 10)
    guard.set(GuardParameters(normal=NORMAL, modes=ALONE), 0.05)
    ask(guard, 9.0)
    assert guard.mode is Mode.ENGAGED and "guard.novelty_held" not in guard.counts
    guard.set(parameters(novelty=HOLD), 0.05)
    guard.reset()
    guard(1, WISH, FRESH)
    assert "does not say" in guard.reason


def test_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(LnnError, match=r"slow_above is 2 and novelty\.hold_above 2"):
        NoveltyParameters(slow_above=2.0, hold_above=2.0)
