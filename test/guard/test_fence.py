"""The fence is not left, and it says when it cannot hold."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from robots_for_tests import FRESH, START, Robot, engaged, fenced

from lnn_ros.guard.chain import Guard
from lnn_ros.guard.fence import Fence
from lnn_ros.guard.limits import Limits
from lnn_ros.guard.modes import Event, Mode, Refusal
from lnn_ros.guard.parameters import FenceParameters
from lnn_ros.guard.stopping import Stopping

SPEED = st.floats(-2.0, 2.0)
WISHES = st.lists(st.tuples(SPEED, SPEED, SPEED, SPEED, st.integers(1, 60)), min_size=1,
                  max_size=8)
POLICY = Limits((-1.0,) * 4, (1.0,) * 4)


def ready(given):
    guard = Guard(POLICY, given, period=0.05)
    guard(START, np.zeros(4), FRESH)
    guard.locate(START, (0.0, 0.0, 0.0), 0.0)
    guard.handle(Event.ENGAGE, "for the test")
    return guard


# Shrinking a flight takes minutes.
@settings(max_examples=60, phases=set(Phase) - {Phase.shrink, Phase.explain})
@given(WISHES, st.sampled_from([0.0, 0.05, 0.2]))
def test_whatever_is_wished_it_stays_inside(wishes, lag):
    robot = Robot(ready(fenced()), np.empty((0, 3)), lag)
    for *wish, n in wishes:
        for k in range(n):
            robot.fly(wish, locate=k % 3 == 0)
            assert (np.abs(robot.place) <= [2.1, 2.1, 1.1]).all()


@pytest.mark.parametrize("seed", [13, 39, 45, 56])
def test_where_the_body_turns_the_way_turns_with_it(seed):
    # Flights that cross the border by 6 to 9 cm when only the present direction is looked at.
    random, robot = Random(seed), Robot(ready(fenced()), np.empty((0, 3)), 0.0)
    for _ in range(8):
        wish = [random.choice([random.uniform(-2, 2), 0, 2, -2]) for _ in range(4)]
        for k in range(random.randint(10, 60)):
            robot.fly(wish, locate=k % 3 == 0)
            assert (np.abs(robot.place) <= [2.02, 2.02, 1.02]).all()


def test_it_brakes_before_the_border_gets_there_and_flies_along_it():
    robot = Robot(ready(fenced()), np.empty((0, 3)))
    robot.yaw = 0.5
    for _ in range(300):
        robot.fly((1.0, 0.0, 0.3, 0.0), locate=True)
    assert 1.9 <= robot.place[0] <= 2.0 and robot.place[2] == pytest.approx(1.0, abs=0.1)
    assert robot.guard.counts["guard.fence"] > 0 and robot.guard.mode is Mode.ENGAGED
    height = robot.place[2]
    # It still turns away and flies below the greatest altitude though told to climb.
    robot.yaw = math.pi
    for _ in range(40):
        robot.fly((1.0, 0.0, 0.3, 0.0), locate=True)
    assert robot.place[0] < 1.3 and robot.place[2] <= max(height, 1.0)


def test_outside_it_may_only_come_back():
    fence, stopping = Fence(fenced().fence), Stopping(1.0, 0.3)
    assert fence.locate((3.0, -2.5, 1.5), 0.0, 1.0)
    assert fence.limit((1.0, -1.0, 1.0), 1.0, stopping) == (0.0, 0.0, 0.0)
    assert fence.limit((-1.0, 1.0, -1.0), 1.0, stopping) == (-1.0, 1.0, -1.0)
    fence.locate((3.0, 0.0, 0.0), math.pi / 2, 1.1)
    found = fence.limit((1.0, -1.0, 0.0), 1.1, stopping)  # forward is +y, right is +x
    assert found[0] > 0.5 and found[1] == pytest.approx(0.0, abs=1e-12)


def test_without_odometry_it_refuses_to_engage_and_holds():
    guard = Guard(POLICY, fenced(), period=0.05)
    guard(START, np.zeros(4), FRESH)
    with pytest.raises(Refusal, match="engage refused: the fence has no odometry"):
        guard.handle(Event.ENGAGE, "by service")
    robot = Robot(ready(fenced()), np.empty((0, 3)))
    for _ in range(9):
        robot.fly((1, 0, 0, 0))
    assert robot.guard.mode is Mode.ENGAGED
    for _ in range(4):
        robot.fly((1, 0, 0, 0))
    assert robot.guard.mode is Mode.HOLD and "odometry is older than 0.5 s" in robot.guard.reason
    robot.fly((1, 0, 0, 0), locate=True)
    assert robot.guard.mode is Mode.ENGAGED


def test_by_parameter_it_flies_on_without_odometry_and_says_so():
    robot = Robot(engaged(fenced(required=False)), np.empty((0, 3)))
    for _ in range(60):
        robot.fly((0.5, 0, 0, 0))
    assert robot.command[0] == 0.5 and robot.guard.counts["guard.fence_blind"] > 50
    assert robot.guard.remarks() == ["the fence has no odometry"]


def test_odometry_that_cannot_be_is_dropped():
    fence = Fence(FenceParameters(enabled=True))
    for position, yaw, at in (((math.nan, 0, 0), 0, 1.0), ((0, 0, 0), math.inf, 1.0),
                              ((0, -1e9, 0), 0, 1.0), ((0, 0, 0), 0.0, 1.6)):
        assert not fence.locate(position, yaw, at, now=1.0)
    assert fence.age(1.0) is None and fence.counts["guard.odometry_dropped"] == 4
    assert fence.locate((1.0, 0.0, 0.0), 0.0, 1.2, now=1.0) and fence.age(1.5) == pytest.approx(0.3)
    assert fence.locate((5.0, 0.0, 0.0), 0.0, 1.1) and fence.age(1.5) == pytest.approx(0.3)


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1))
def test_its_shortcuts_are_as_strict_as_a_look_at_every_side(seed):
    rng = np.random.default_rng(seed)
    fence, stopping = Fence(fenced(x_low=-5.0).fence), Stopping(1.0, 0.3)
    where, yaw, angle = rng.uniform(-2.2, 2.2, 3), rng.uniform(-4.0, 4.0), rng.uniform(-2.0, 2.0)
    fence.locate(tuple(where.tolist()), yaw, 1.0)
    fence.set(fenced().fence)
    age = rng.choice([0.0, 0.2])
    velocity = tuple((rng.choice([0.1, 0.3, 1.0]) * rng.uniform(-1.5, 1.5, 3)).tolist())
    c, s = math.cos(yaw + angle), math.sin(yaw + angle)
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    box = np.array([2.0, 2.0, 1.0])
    high = [stopping.ceiling(far, age) for far in box - where]
    low = [-stopping.ceiling(far, age) for far in box + where]
    expected = turned.T @ np.clip(turned @ velocity, low, high)
    found = fence.limit(velocity, 1.0 + age, stopping, (angle,))
    assert found == pytest.approx(expected, abs=1e-9)
    if fence.clear(math.hypot(*velocity), 1.0 + age, stopping):
        assert found == pytest.approx(velocity, abs=1e-9)


def test_odometry_that_was_stamped_ahead_of_time_does_not_freeze_it():
    fence = Fence(FenceParameters(enabled=True))
    assert fence.locate((0.0, 0.0, 2.0), 0.0, 1.4, now=1.0)
    assert fence.locate((9.9, 0.0, 2.0), 0.0, 1.05, now=1.03)
    assert fence.limit((1.0, 0.0, 0.0), 1.06, Stopping(1.0, 0.3))[0] < 0.3
    fence.locate((0.0, 0.0, 2.0), 0.0, 1.02, now=1.06)  # merely late
    assert fence.limit((1.0, 0.0, 0.0), 1.06, Stopping(1.0, 0.3))[0] < 0.3
