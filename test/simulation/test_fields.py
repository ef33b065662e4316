"""Rasters: free distance as of the solids, arrival time as of the shortest way."""

import math

import numpy as np
import pytest
from scenes import solid

from lnn_ros.simulation.fields import CELL, arrival_time, free_distance
from lnn_ros.simulation.world import Shape, distance_to

PILLAR = solid("pillar", Shape.CYLINDER, (1.0, 2.0, 1.0), (0.5, 0.5, 1.0))
WALL = solid("wall", Shape.BOX, (0.0, -1.0, 1.0), (2.0, 0.2, 1.0), 0.4)
HIGH = solid("crown", Shape.ELLIPSOID, (-2.0, 0.0, 4.0), (1.0, 1.0, 1.0))
BOUNDS = (-4.0, 4.0, -4.0, 4.0)


def test_free_distance_is_that_of_what_stands_in_the_band():
    free = free_distance((PILLAR, WALL, HIGH), BOUNDS, 1.0, (0.5, 2.0))
    assert free.origin == (-5.0, -5.0)
    rng = np.random.default_rng(1)
    for x, y in rng.uniform(-4.0, 4.0, (200, 2)):
        exact = min(distance_to(s, (x, y, 1.0)) for s in (PILLAR, WALL))
        assert free.sample(x, y) == pytest.approx(exact, abs=0.06)
    assert free_distance((HIGH,), BOUNDS, 0.0, (0.5, 2.0)).values.min() == 1e3
    dx, dy = free.downhill(1.0, 3.2)
    assert (dx, dy) == pytest.approx((0.0, -1.0), abs=0.1), "towards the pillar"
    np.testing.assert_allclose(free.away(-5.0, -5.0)[3, 4], 5 * CELL)


def test_arrival_time_leads_the_shortest_way_round():
    free = free_distance((WALL,), BOUNDS, 0.0, (0.5, 2.0))
    slowness = np.full(free.values.shape, 0.5)
    begin = np.where(free.away(0.0, -3.0) < 0.15, 0.0, 1e9)
    field = arrival_time(free.origin, begin, slowness)
    assert field.sample(3.0, 1.0) == pytest.approx(0.5 * (5.0 - 0.15), rel=0.03)
    slowness[free.values < 0.0] = 1e4
    begin = np.where(free.away(0.0, -3.0) < 0.15, 0.0, 1e9)
    field = arrival_time(free.origin, begin, slowness)
    # Over the nearer end of the wall, as the wall is turned.
    ends = [(s * 2.0 * math.cos(0.4), -1.0 + s * 2.0 * math.sin(0.4)) for s in (-1, 1)]
    legs = [math.dist((0.0, 1.0), end) + math.dist(end, (0.0, -3.0)) for end in ends]
    assert field.sample(0.0, 1.0) == pytest.approx(0.5 * min(legs), rel=0.12)
    x, y = 0.0, 1.0
    for _ in range(60):
        x, y = field.descend(x, y, 0.2)
        assert free.sample(x, y) > -0.1
    assert math.dist((x, y), (0.0, -3.0)) < 0.3
