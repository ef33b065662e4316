"""What is due every so often is done as often, late at worst, and never in bursts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnn_ros.nodes.beat import Beat


class Clock:
    """Steady time by hand, s; quarters of a second are exact."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def beating(clock, takes=0.0):
    """Return a beat of one second, and the times at which it acted; each time takes a while."""
    acted = []

    def act():
        acted.append(clock.now)
        clock.now += takes

    return Beat(1.0, act, clock), acted


def test_grid_is_kept_by_whoever_comes_late():
    clock = Clock()
    beat, acted = beating(clock)
    for at, left in ((0.0, 1.0), (0.5, 0.5), (1.25, 0.75), (1.5, 0.5), (2.0, 1.0), (3.75, 0.25)):
        clock.now = 100.0 + at
        assert beat.work() == left
    assert acted == [101.25, 102.0, 103.75]


def test_what_was_missed_is_not_made_up_for():
    clock = Clock()
    beat, acted = beating(clock)
    clock.now += 7.5
    assert beat.work() == 1.0
    clock.now += 0.75
    assert beat.work() == 0.25
    assert acted == [107.5]


def test_postponed_it_is_due_in_a_period():
    clock = Clock()
    beat, acted = beating(clock)
    clock.now += 0.75
    beat.postpone()
    clock.now += 0.75
    assert beat.work() == 0.25
    assert not acted


def test_time_that_it_takes_is_not_waited_for():
    clock = Clock()
    beat, acted = beating(clock, takes=0.25)
    clock.now += 1.0
    assert beat.work() == 0.75
    beat, acted = beating(clock, takes=5.0)
    clock.now += 1.0
    assert beat.work() == 0.0
    assert len(acted) == 1


def test_failure_is_told_and_no_reason_to_try_again_at_once():
    clock = Clock()

    def act():
        raise RuntimeError("no")

    beat = Beat(1.0, act, clock)
    clock.now += 1.25
    with pytest.raises(RuntimeError):
        beat.work()
    assert beat.work() == 0.75


@given(st.lists(st.integers(0, 20), max_size=50))
def test_never_more_often_than_there_are_periods(steps):
    clock = Clock()
    beat, acted = beating(clock)
    for step in steps:
        clock.now += step / 4
        left = beat.work()
        assert 0.0 < left <= 1.0
    assert len(acted) <= clock.now - 100.0
