"""No shortcut through the points lets the vehicle go further than a look at every one of them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robots_for_tests import MS, POLICY, START, seeing

from lnn_ros.guard.cloud import Cloud
from lnn_ros.guard.nearby import ACROSS, Nearby
from lnn_ros.guard.obstacles import ObstacleStop
from lnn_ros.guard.parameters import ObstacleParameters, SensorParameters
from lnn_ros.guard.reckoning import Reckoning
from lnn_ros.guard.stopping import Stopping
from lnn_ros.guard.surroundings import Surroundings

SEEDS = st.integers(0, 2**32 - 1)


def straightforward(points, reach, level, rise, azimuths, within):
    """Return the way in the worst direction, m, by every one of some points (3, n)."""
    distance = np.linalg.norm(points, axis=0)
    for azimuth in azimuths:
        ahead = np.array([level * math.cos(azimuth), level * math.sin(azimuth), rise]) @ points
        aside = distance**2 - ahead**2
        met = (ahead > ACROSS * distance) & (aside < reach**2)
        ways = ahead[met] - np.sqrt(reach**2 - aside[met])
        within = min([within, *np.maximum(ways, 0.0)])
    return float(within)


def scattered(rng, n):
    """Return points (3, n) all round, now and then very near, in a plane or on a line."""
    found = rng.normal(0.0, rng.choice([0.3, 1.0, 3.0]), (3, n))
    found *= rng.choice([0.0, 1.0], (3, 1), p=[0.2, 0.8])
    found = found + rng.choice([0.0, 1.0]) * rng.normal(0.0, 1.0, (3, 1))
    # In which direction a point is where the vehicle itself is, rounding alone decides.
    found[0] += 1e-3 * (np.linalg.norm(found, axis=0) < 1e-6)
    return found


def question(rng):
    """Return level, rise, azimuths and the way that is wanted."""
    up = rng.choice([0.0, math.pi / 2, -math.pi / 2, rng.uniform(-1.5, 1.5)])
    azimuths = rng.uniform(-7.0, 7.0, rng.integers(1, 6)).tolist()
    return math.cos(up), math.sin(up), azimuths, float(rng.choice([0.0, 0.3, 1.0, 3.0]))


@settings(max_examples=300, deadline=None)
@given(SEEDS, st.sampled_from([0, 1, 5, 30, 300]))
def test_what_is_listed_tells_the_same_as_all_points_or_nothing(seed, n):
    rng = np.random.default_rng(seed)
    reach, room, place = rng.uniform(0.0, 1.0), rng.choice([0.0, 0.1, 0.5]), rng.normal(0, 1, 3)
    points, when = scattered(rng, n) + place[:, None], rng.integers(0, 3, n).astype(float)
    radius = float(rng.uniform(reach, 5.0))
    rows = np.concatenate([points, [(points * points).sum(axis=0)], [when]])
    nearby = Nearby(rows, tuple(place.tolist()), radius, room, reach)
    for _ in range(5):
        step, since = rng.normal(0.0, rng.choice([0.0, 0.1, 0.6]), 3), float(rng.integers(0, 3))
        level, rise, azimuths, within = question(rng)
        moved = float(np.linalg.norm(step))
        way = nearby.way((*step.tolist(), moved), level, rise, azimuths, within, since)
        seen = (points - (place + step)[:, None])[:, when >= since]
        expected = straightforward(seen, reach, level, rise, azimuths, within)
        assert way is None or way == pytest.approx(expected, abs=1e-7)
        if within <= nearby.free - moved:
            assert expected == within


def test_what_is_listed_is_enough_amid_scenery():
    rng = np.random.default_rng(0)
    azimuth, distance = rng.uniform(-math.pi, math.pi, 2000), rng.uniform(1.5, 6.0, 2000)
    x, y, z = distance * np.cos(azimuth), distance * np.sin(azimuth), np.zeros(2000)
    rows = np.stack([x, y, z, distance**2, z])
    nearby = Nearby(rows, (0.0, 0.0, 0.0), 3.0, 0.1, 0.6)
    answers = [nearby.way((0.02, 0.0, 0.0, 0.02), 1.0, 0.0, [a], 1.5, 0.0)
               for a in np.linspace(-4.0, 4.0, 200)]
    assert sum(way is not None for way in answers) > 150


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.floats(0.0, 1.0), st.sampled_from([0.0, 0.1, 0.5]), st.booleans())
def test_in_flight_the_way_is_that_among_all_points_which_are_remembered(
        seed, reach, memory, planar):
    rng = np.random.default_rng(seed)
    way = Reckoning(planar)
    cloud = Cloud(reach, memory, way)
    at_ns, seen, command = START, [], np.zeros(4)
    way.move(at_ns, command)
    cloud.move(at_ns)
    for _ in range(int(rng.integers(5, 40))):
        if rng.random() < 0.5:
            stamp = at_ns - int(rng.choice([0, rng.integers(0, 100)])) * MS
            points = np.array(way.here[1:4])[:, None] + scattered(rng, int(rng.integers(0, 120)))
            points[2] *= not planar
            seen.append((stamp, points))
            cloud.add(stamp, points)
        at_ns += int(rng.choice([0, 33, 33, 33, 300])) * MS
        way.move(at_ns, command)
        cloud.move(at_ns)
        command = rng.normal(0.0, 1.5, 4)
        counted = [p for stamp, p in seen if (at_ns - stamp) * 1e-9 <= memory]
        away = np.concatenate([np.empty((3, 0)), *counted], axis=1)
        away -= np.array(way.here[1:4])[:, None]
        for _ in range(2):
            level, rise, azimuths, within = question(rng)
            expected = straightforward(away, reach, level, rise, azimuths, within)
            found = cloud.way(level, rise, azimuths, within)
            assert found == pytest.approx(expected, abs=1e-7)
            if within <= cloud.free:
                assert expected == within
        assert not planar or way.here[3] == 0.0
        if away.size:
            assert cloud.nearest == pytest.approx(np.linalg.norm(away, axis=0).min())


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.floats(0.0, 3.0), st.booleans())
def test_what_is_clear_is_not_lowered_whatever_its_direction(seed, speed, everywhere):
    rng = np.random.default_rng(seed)
    width = 2 * math.pi if everywhere else 1.5
    stop = ObstacleStop(ObstacleParameters(uncovered=0.5),
                        {"eye": SensorParameters(width=width, height=math.pi)})
    stopping = Stopping(1.0, 0.3)
    stop.move(START, (0, 0, 0, 0))
    for k in range(4):
        stop.see("eye", START + 50 * k * MS, scattered(rng, 20).T + np.array([3.0, 0.0, 0.0]))
        stop.move(START + 50 * (k + 1) * MS, rng.normal(0.0, 0.5, 4))
    at_ns = START + 200 * MS
    for _ in range(10):
        direction = rng.normal(0.0, 1.0, 3)
        velocity = tuple((speed * direction / np.linalg.norm(direction)).tolist())
        angles = (0.0, *rng.uniform(-3.0, 3.0, 3))
        if stop.clear(speed, at_ns, stopping):
            assert stop.limit(velocity, at_ns, stopping, angles) == pytest.approx(velocity)


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.sampled_from([1, 10, 100]))
def test_what_is_left_of_a_velocity_can_be_stopped_before_every_point(seed, n):
    rng = np.random.default_rng(seed)
    points, stopping = scattered(rng, n), Stopping(1.0, 0.3)
    # Each by a sensor of its own, so that none is thinned out.
    stop = ObstacleStop(ObstacleParameters(radius=0.2, margin=0.1),
                        {str(k): SensorParameters(width=2 * math.pi, height=math.pi, near=0.0)
                         for k in range(n)})
    stop.move(START, (0, 0, 0, 0))
    for k in range(n):
        stop.see(str(k), START, points[:, k : k + 1].T)
    angles = (0.5, 1.0, 0.0)
    for _ in range(5):
        vx, vy, vz = stop.limit(tuple(rng.normal(0.0, 1.0, 3).tolist()), START, stopping, angles)
        speed = math.hypot(vx, vy, vz)
        if speed > 0.0:
            level, rise = math.hypot(vx, vy) / speed, vz / speed
            azimuths = [math.atan2(vy, vx) + angle for angle in angles]
            way = straightforward(points, 0.3, level, rise, azimuths, 99.0)
            assert stopping.distance(speed) <= way + 1e-7


def test_what_is_unsafe_is_given_up_before_anything_new_is_begun():
    around = Surroundings(given := seeing())
    around.set(given, POLICY, stopping := Stopping(1.0, 0.3))
    around.move(START, (0.0,) * 4)
    around.obstacles.see("all", START, np.array([[1.0, 0.0, 0.0]]))
    halted = around.obstacles.limit((1.0, 0.0, 0.0), START, stopping)
    target, braking = around.lower(START, [0.0, 1.0, 0.0, 0.0], (1.0, 0.0, 0.0, 0.0))
    assert math.hypot(*target[:3]) == pytest.approx(math.hypot(*halted)) and halted[0] < 0.7
    assert braking == (True, False, False, False)


def test_a_turned_body_is_looked_at_where_it_will_point_to():
    for sensor in (SensorParameters(width=1.0, height=1.0, yaw=0.5),
                   SensorParameters(width=1.0, height=1.0, yaw=0.5, roll=6.28318)):
        stop = ObstacleStop(ObstacleParameters(uncovered=0.1), {"eye": sensor})
        stop.move(START, (0, 0, 0, 0))
        stop.see("eye", START, np.empty((0, 3)))
        for angle, speed in ((0.0, 1.0), (0.99, 1.0), (1.01, 0.1), (-0.1, 0.1), (6.0, 0.1),
                             (-5.5, 1.0)):
            vx, vy, vz = stop.limit((1.0, 0.0, 0.0), START, Stopping(1.0, 0.3), (angle,))
            assert (vx, vy, vz) == (pytest.approx(speed), 0.0, 0.0)
        assert stop.uncovered
