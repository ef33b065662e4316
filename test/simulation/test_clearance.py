"""The least distance of a flight is that of `distance_to` to the last bit; no solid is left out."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.simulation.clearance import Clearance
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.world import distance_to
from lnn_ros.simulation.worlds import make_world

TASK = Task.load("fly_to_target")
WORLD = make_world(300_000, TASK)
RADIUS = 0.25


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_it_is_the_least_of_all_distances(seed):
    """Positions near solids, inside of them too, and anywhere."""
    rng = np.random.default_rng(seed)
    clearance, least = Clearance(WORLD, RADIUS), math.inf
    for _ in range(12):
        solid = WORLD.solids[rng.integers(len(WORLD.solids))]
        away = rng.normal(0.0, rng.choice([0.1, 1.0, 5.0]), 3)
        x, y, z = (np.array(solid.position) + away).tolist()
        clearance.measure((x, y, z))
        least = min(least, *(distance_to(s, (x, y, z)) - RADIUS for s in WORLD.solids))
        assert clearance.least == least
    clearance.reset()
    assert clearance.least == math.inf
