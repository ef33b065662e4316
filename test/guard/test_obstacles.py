"""Nothing is approached faster than the vehicle can stop; it may always back away."""

import math

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from robots_for_tests import FRESH, MS, START, Robot, engaged, parameters, seeing

from lnn_ros.errors import LnnError
from lnn_ros.guard.modes import Event, Mode
from lnn_ros.guard.obstacles import ObstacleStop, thinned
from lnn_ros.guard.parameters import ObstacleParameters, SensorParameters, TakeoverParameters
from lnn_ros.guard.sensor import Sensor
from lnn_ros.guard.stopping import Stopping

RADIUS, MARGIN = 0.3, 0.3
DIRECTIONS = {"forward": (1, 0, 0), "backward": (-1, 0, 0), "left": (0, 1, 0), "right": (0, -1, 0),
              "up": (0, 0, 1), "down": (0, 0, -1), "askew": (0.6, -0.6, 0.5)}


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_it_stops_before_what_it_flies_at_and_backs_away(direction):
    direction = np.array(direction) / np.linalg.norm(direction)
    robot = Robot(engaged(seeing()), [direction * 3.0])
    wish, nearest, fastest = np.append(direction * 1.5, 0.0), math.inf, 0.0
    for _ in range(400):
        command = robot.fly(wish)
        nearest = min(nearest, robot.clearance())
        fastest = max(fastest, float(np.linalg.norm(command)))
    assert fastest > 0.4  # it did fly
    assert RADIUS + MARGIN - 0.02 <= nearest < RADIUS + MARGIN + 0.3
    assert np.linalg.norm(command) < 0.01
    assert robot.guard.counts["guard.obstacle"] > 0 and robot.guard.mode is Mode.ENGAGED
    for _ in range(60):
        command = robot.fly(-wish)
    assert robot.clearance() > nearest + 0.3


SPEED = st.floats(-2.0, 2.0)
WISHES = st.lists(st.tuples(SPEED, SPEED, SPEED, SPEED, st.integers(1, 40)), min_size=1,
                  max_size=8)
PLACES = st.lists(st.tuples(*[st.floats(-3, 3)] * 3).filter(
    lambda p: math.dist(p, (0, 0, 0)) > 0.8), min_size=1, max_size=12)


# Shrinking a flight takes minutes.
@settings(max_examples=60, phases=set(Phase) - {Phase.shrink, Phase.explain})
@given(WISHES, PLACES, st.sampled_from([0.0, 0.05, 0.2]))
def test_whatever_is_wished_among_points_it_touches_none(wishes, world, lag):
    robot = Robot(engaged(seeing()), world, lag)
    for *wish, n in wishes:
        for k in range(n):
            robot.fly(wish, measure=k % 2 == 0)
            assert robot.clearance() > RADIUS + 0.5 * MARGIN


def test_along_a_wall_it_flies_on():
    wall = [(x, 0.8, z) for x in np.arange(-2, 12, 0.1) for z in (-0.2, 0.0, 0.2)]
    robot = Robot(engaged(seeing()), wall)
    for _ in range(100):
        robot.fly((1.0, 0.0, 0.0, 0.0))
    assert robot.command[0] > 0.5 and robot.clearance() > RADIUS + MARGIN


def test_at_its_least_height_it_flies_on_though_told_to_sink_a_little():
    ground = [(x, y, -0.61) for x in np.arange(-2, 9, 0.2) for y in np.arange(-1, 1, 0.2)]
    robot = Robot(engaged(seeing()), ground)
    for _ in range(100):
        robot.fly((1.0, 0.0, -0.1, 0.0))
    assert robot.place[0] > 1.0 and robot.place[2] > -0.04


def test_points_stay_where_they_are_while_the_vehicle_turns_and_nothing_is_measured():
    robot = Robot(engaged(seeing(memory=2.0)), [(2.0, 0.0, 0.0)], lag_s=0.0)
    robot.fly((0, 0, 0, 0))
    for _ in range(8):
        robot.fly((0, 0, 0, -1.5), measure=False)
    bearing = robot.body()[0] / 2.0
    assert math.atan2(bearing[1], bearing[0]) > 0.2
    robot.guard(robot.at_ns, np.zeros(4), {})
    stop = ObstacleStop(ObstacleParameters(uncovered=9.0, memory=2.0), {"all": SensorParameters()})
    stop.move(START, (0, 0, 0, 0))
    stop.see("all", START, np.array([[2.0, 0.0, 0.0]]))
    stop.move(START + 500 * MS, (1.0, 0.0, 0.0, math.pi))  # half a second on an arc, to the left
    assert stop.limit((0.0, -2.0, 0.0), START + 500 * MS, Stopping(1.0, 0.3))[1] > -1.5
    assert stop.limit((0.0, 1.0, 0.0), START + 500 * MS, Stopping(1.0, 0.3))[1] == 1.0
    chord = 0.5 * math.cos(math.pi / 4), 0.5 * math.sin(math.pi / 4)
    assert stop.nearest == pytest.approx(math.dist((2.0, 0.0), chord) - RADIUS)


def test_a_late_measurement_is_placed_where_it_was_made():
    stop = ObstacleStop(ObstacleParameters(), {"all": SensorParameters()})
    stop.move(START, (0, 0, 0, 0))
    for k in range(1, 5):
        stop.move(START + 100 * k * MS, (1.0, 0.0, 0.0, 0.0))
    assert stop.see("all", START + 150 * MS, np.array([[2.0, 0.0, 0.0]]))
    stop.limit((1.0, 0.0, 0.0), START + 400 * MS, Stopping(1.0, 0.3))
    assert stop.nearest == pytest.approx(2.0 - 0.25 - RADIUS)
    for stamp in (START - 200 * MS, START - 10**12, START + 10**12):
        assert not stop.see("all", stamp, np.array([[0.1, 0.0, 0.0]]))
    assert stop.counts == {"guard.all_dropped": 3}
    with pytest.raises(LnnError, match=r"'none'.*expected one of all"):
        stop.see("none", START, np.empty((0, 3)))


def test_points_are_forgotten_in_time_and_on_reset():
    stop = ObstacleStop(ObstacleParameters(memory=0.5), {"all": SensorParameters()})
    for forget in (lambda: stop.move(START + 501 * MS, (0, 0, 0, 0)), stop.reset):
        stop.reset()
        stop.move(START, (0, 0, 0, 0))
        stop.see("all", START, np.array([[1.0, 0.0, 0.0]]))
        stop.move(START + 499 * MS, (0, 0, 0, 0))
        assert stop.limit((1.0, 0, 0), START, Stopping(1.0, 0.3))[0] < 1.0
        forget()
        stop.limit((1.0, 0, 0), START, Stopping(1.0, 0.3))
        assert stop.nearest == math.inf
    assert stop.uncovering(START) == ["all"]  # after the reset


def front(**changes):
    return parameters(sensors={"front": SensorParameters(width=math.pi / 2, height=math.pi / 3,
                                                         **changes)},
                      obstacles=ObstacleParameters(uncovered=0.2))


@pytest.mark.parametrize("direction, covered", [
    ((1, 0, 0), True), ((1, 0.9, 0), True), ((1, 1.1, 0), False), ((0, 1, 0), False),
    ((-1, 0, 0), False), ((0, 0, 1), False), ((0, 0, -1), False), ((1, 0, 0.5), True),
    ((1, 0, 0.7), False)])
def test_a_direction_that_no_sensor_covers_is_flown_slowly(direction, covered):
    direction = np.array(direction) / np.linalg.norm(direction)
    robot = Robot(engaged(front()), np.empty((0, 3)))
    for _ in range(80):
        robot.fly(np.append(direction * 0.4, 0.0))
    assert np.linalg.norm(robot.command) == pytest.approx(0.4 if covered else 0.2)
    assert (robot.guard.counts["guard.uncovered"] > 0) is not covered


def test_a_sensor_that_is_silent_or_blind_covers_nothing():
    for stop_measuring in (True, False):
        robot = Robot(engaged(front()), [(50.0, 0.0, 0.0)])
        for _ in range(60):
            robot.fly((0.5, 0, 0, 0))
        assert robot.command[0] == 0.5 and not robot.guard.remarks()
        for _ in range(40):
            robot.fly((0.5, 0, 0, 0), measure=False)
            if not stop_measuring:
                assert not robot.guard.see("front", robot.at_ns, np.empty((0, 3)), share=0.05)
        assert robot.command[0] == pytest.approx(0.2)
        assert robot.guard.remarks() == ["sensor front covers nothing"]


def test_turned_and_shifted_sensors_see_where_they_look():
    sensor = Sensor(SensorParameters(yaw=math.pi / 2, x=0.1, width=1.0, height=0.5))
    assert sensor.covers((0.0, 1.0, 0.0), False) and not sensor.covers((1.0, 0.0, 0.0), False)
    down = Sensor(SensorParameters(pitch=math.pi / 2, width=0.6, height=0.6))
    assert down.covers((0.0, 0.0, -1.0), False) and not down.covers((0.0, 0.0, 1.0), False)
    stop = ObstacleStop(ObstacleParameters(), {"left": sensor.parameters})
    stop.move(START, (0, 0, 0, 0))
    stop.see("left", START, np.array([[1.0, 0.0, 0.0]]))
    stop.limit((0.1, 0.0, 0.0), START, Stopping(1.0, 0.3))
    assert stop.nearest == pytest.approx(math.hypot(0.1, 1.0) - RADIUS)
    # A body that is pitched nose down by 30 degrees looks ahead into the ground below.
    stop = ObstacleStop(ObstacleParameters(lowest=-0.6), {"front": SensorParameters()})
    ahead = np.array([[1.0, 0.0, 0.0]])
    stop.see("front", START, ahead, tilt=(0.0, math.pi / 6))
    stop.move(START, (0, 0, 0, 0))
    assert stop.limit((0.0, 0.0, -1.0), START, Stopping(1.0, 0.3))[2] > -1.0


def test_a_tilted_body_looks_elsewhere():
    ahead, down, stopping = (0.4, 0.0, 0.0), (0.3, 0.0, -0.3), Stopping(1.0, 0.3)

    def speeds(planar=False):
        stop = ObstacleStop(ObstacleParameters(uncovered=0.1, planar=planar),
                            {"front": SensorParameters(width=1.0, height=1.0)})
        for at_ns, stamp, pitch in ((0, 0, 0.0), (100, 100, 0.6), (200, 50, 0.0), (300, 300, 0.0)):
            stop.move(START + at_ns * MS, (0, 0, 0, 0))
            assert stop.see("front", START + stamp * MS, np.empty((0, 3)), tilt=(0.0, pitch))
            found = [stop.limit(v, START + at_ns * MS, stopping) for v in (ahead, down)]
            yield [round(float(np.linalg.norm(v)), 2) for v in found]

    # The second is pitched nose down, the third is a level one that comes late.
    assert list(speeds()) == [[0.4, 0.1], [0.1, 0.42], [0.1, 0.42], [0.4, 0.1]]
    assert [first for first, _ in speeds(planar=True)] == [0.4] * 4


def test_a_stamp_that_is_ahead_makes_nothing_fresh_for_longer():
    stop = ObstacleStop(ObstacleParameters(uncovered=0.1), {"all": SensorParameters(max_age=0.2)})
    stop.move(START, (0, 0, 0, 0))
    assert stop.see("all", START + 190 * MS, np.empty((0, 3)))
    assert not stop.uncovering(START + 200 * MS)
    assert stop.uncovering(START + 210 * MS) == ["all"]


@pytest.mark.parametrize("ahead_ms", [50, 1500])
def test_what_was_measured_before_time_jumped_counts_at_no_time_after_it(ahead_ms):
    # It was still waiting: it would keep out what is measured now, and cover when its time comes.
    guard = engaged(seeing())
    guard.reset()
    assert not guard.see("all", START + ahead_ms * MS, np.empty((0, 3)))
    assert not guard.locate(START + ahead_ms * MS, (0.0, 0.0, 2.0), 0.0)
    for n in range(40):
        guard(START + 50 * n * MS, np.zeros(4), FRESH)
        assert guard.remarks() == ["sensor all covers nothing"]
    assert guard.see("all", START + 1950 * MS, np.empty((0, 3)))
    assert guard.remarks() == []


def test_a_parameter_set_in_flight_forgets_what_was_seen_and_not_where_it_was():
    guard = engaged(seeing())
    for n in range(10):
        guard(START + 50 * n * MS, np.zeros(4), FRESH)
    guard.set(seeing(margin=0.31), 0.05)
    assert guard.remarks() == ["sensor all covers nothing"]
    assert guard.see("all", START + 350 * MS, np.empty((0, 3)))  # as late as cameras are
    assert guard.remarks() == []


def test_who_tells_the_time_is_heard_before_the_first_command():
    guard = engaged(seeing())
    guard.reset()
    guard.begin(START)
    guard.begin(START + 9000 * MS)  # once
    assert not guard.see("all", START + 1500 * MS, np.empty((0, 3)))
    assert not guard.locate(START + 1500 * MS, (0.0, 0.0, 2.0), 0.0)
    assert guard.see("all", START, np.empty((0, 3)))
    assert guard.locate(START, (0.0, 0.0, 2.0), 0.0)
    guard(START + 50 * MS, np.zeros(4), FRESH)
    assert guard.remarks() == []


def test_for_what_drives_height_does_not_count():
    stop = ObstacleStop(ObstacleParameters(planar=True, lowest=-0.2, highest=1.0),
                        {"all": SensorParameters(width=2 * math.pi, height=0.0)})
    stop.move(START, (0, 0, 0, 0))
    stop.see("all", START, np.array([[1.0, 0.0, 0.7], [0.5, 0, -0.3], [0.4, 0.0, 1.5]]))
    vx, _, vz = stop.limit((2.0, 0.0, 0.5), START, Stopping(1.0, 0.3))
    assert vx == pytest.approx(Stopping(1.0, 0.3).ceiling(0.4)) and vz == 0.5


def test_a_person_is_stopped_too_unless_a_parameter_says_otherwise():
    for guarded in (True, False):
        given = seeing()
        given = parameters(sensors=given.sensors,
                           takeover=TakeoverParameters(obstacle_stop=guarded))
        robot = Robot(engaged(given), [(2.0, 0.0, 0.0)])
        for _ in range(80):
            robot.guard.take_over((1.0, 0.0, 0.0, 0.0))
            robot.fly((0, 0, 0, 0))
        assert robot.guard.mode is Mode.TAKEOVER
        assert bool(robot.place[0] < 1.42) is guarded


def test_slowing_for_an_obstacle_is_braking():
    robot = Robot(engaged(seeing()), [(50.0, 0.0, 0.0)])
    for _ in range(60):
        robot.fly((1.5, 0, 0, 0))
    robot.world = robot.place + np.array([[1.0, 0.0, 0.0]])  # somebody steps in the way
    speeds = [robot.fly((1.5, 0, 0, 0))[0] for _ in range(40)]
    assert np.diff(speeds).min() < -1.6 * 0.05  # the normal set allows 1.5 m/s^2
    assert robot.guard.handle(Event.DISENGAGE, "enough")


@given(st.floats(0.0, 100.0), st.floats(0.1, 10.0), st.floats(0.0, 2.0), st.floats(0.0, 1.0))
def test_the_ceiling_is_the_speed_that_stops_in_time(distance, deceleration, delay, age):
    stopping = Stopping(deceleration, delay)
    v = stopping.ceiling(distance, age)
    assert v * (delay + age) + v * v / (2 * deceleration) == pytest.approx(distance, abs=1e-9)
    assert stopping.ceiling(-0.1) == 0.0 and stopping.ceiling(math.inf) == math.inf


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 3000))
def test_thinning_keeps_the_nearest_of_every_direction(seed, n):
    points = np.random.default_rng(seed).normal(0, 3, (n, 3))
    kept = thinned(points.T).T
    assert len(kept) <= min(n, 120 * 61)
    distance = np.linalg.norm(kept, axis=1)
    units = kept / distance[:, None]
    for point in points[:50]:
        d = np.linalg.norm(point)
        near = units @ point / d > math.cos(math.radians(4.3))
        assert distance[near].min() <= d + 1e-12
