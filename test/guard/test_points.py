"""Measurements become points where they are; what says nothing is no free space."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.guard.points import from_cloud, from_depth, from_range, from_scan


def test_a_scan():
    ranges = [1.0, math.inf, 2.0, math.nan, -math.inf, 50.0, 0.01]
    points, share = from_scan(ranges, -math.pi / 2, math.pi / 4, 0.1, 30.0)
    np.testing.assert_allclose(
        points, [[0, -1, 0], [2, 0, 0], [0.1 * math.cos(math.pi / 2), 0.1, 0]], atol=1e-12)
    assert share == 4 / 7  # the free ray is as good as three hits; three readings say nothing


def test_a_range_may_be_anywhere_in_its_cone():
    # None of the cone is far from a point: between two of them nobody flies into what was seen.
    rng = np.random.default_rng(0)
    for field_of_view in (0.0, 0.05, math.radians(27), 1.5, math.pi):
        points, share = from_range(2.0, field_of_view, 0.2, 4.0)
        assert share == 1.0 and len(points) < 1000
        np.testing.assert_allclose(np.linalg.norm(points, axis=1), 2.0)
        assert np.arccos(points[:, 0] / 2.0).max() == pytest.approx(field_of_view / 2, abs=1e-7)
        aside, turn = field_of_view / 2 * rng.random(200) ** 0.5, rng.uniform(0.0, 7.0, 200)
        inside = np.stack([np.cos(aside), np.sin(aside) * np.cos(turn),
                           np.sin(aside) * np.sin(turn)])
        assert (points @ inside / 2.0).max(axis=0).min() > math.cos(math.radians(4.0))
    assert from_range(math.inf, 0.5, 0.2, 4.0)[1] == 1.0
    assert from_range(-math.inf, 0.0, 0.2, 4.0)[0][0, 0] == 0.2
    for nothing in (math.nan, 0.1, 5.0):
        points, share = from_range(nothing, 0.5, 0.2, 4.0)
        assert len(points) == 0 and share == 0.0


@settings(max_examples=50)
@given(st.integers(1, 130), st.integers(1, 130), st.integers(0, 10**6))
def test_the_nearest_pixel_of_a_depth_image_is_among_its_points(height, width, seed):
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.5, 8.0, (height, width))
    row, column = rng.integers(height), rng.integers(width)
    depth[row, column] = 0.4
    focal, centre = (60.0, 70.0), (width / 2, height / 2)
    points, share = from_depth(depth, focal, centre, 0.3, 10.0)
    wanted = [0.4, -(column - centre[0]) / 60.0 * 0.4, -(row - centre[1]) / 70.0 * 0.4]
    assert np.abs(points - wanted).max(axis=1).min() < 1e-12
    assert share == 1.0 and len(points) <= 48 * 48


def test_depth_in_millimetres_and_what_says_nothing():
    depth = np.array([[0, 1500], [65535, 900]], np.uint16)
    points, share = from_depth(depth, (1.0, 1.0), (0.5, 0.5), 0.3, 10.0)
    assert share == 0.5
    np.testing.assert_allclose(sorted(points[:, 0]), [0.9, 1.5])
    # Up and left of the middle is +z and +y.
    points, share = from_depth(np.array([[2.0, np.nan], [np.inf, -np.inf]]), (1.0, 1.0),
                               (0.5, 0.5), 0.3, 10.0)
    np.testing.assert_allclose(points, [[2.0, 1.0, 1.0], [0.3, -0.15, -0.15]])
    assert share == 0.75


def test_a_cloud():
    points, share = from_cloud([[1, 2, 3], [math.nan, 0, 0], [1, math.inf, 0], [4, 5, 6]])
    np.testing.assert_array_equal(points, [[1, 2, 3], [4, 5, 6]])
    assert share == 0.5
    assert from_cloud(np.empty((0, 3)))[1] == 0.0


@pytest.mark.parametrize("make", [
    lambda: from_scan([[1.0]], 0.0, 0.1, 0.1, 1.0),
    lambda: from_scan([1.0], math.nan, 0.1, 0.1, 1.0),
    lambda: from_range(1.0, 7.0, 0.1, 2.0),
    lambda: from_depth([1.0], (1.0, 1.0), (0.0, 0.0), 0.1, 1.0),
    lambda: from_depth(np.empty((0, 3)), (1.0, 1.0), (0.0, 0.0), 0.1, 1.0),
    lambda: from_depth([[1.0]], (0.0, 1.0), (0.0, 0.0), 0.1, 1.0),
    lambda: from_cloud([[1.0, 2.0]]),
])
def test_other_shapes_are_refused(make):
    with pytest.raises(LnnError, match="expected"):
        make()


@settings(max_examples=50)
@given(st.lists(st.floats(width=32), max_size=50))
def test_whatever_is_measured_the_points_are_finite(values):
    for points, share in (from_scan(values, -1.0, 0.1, 0.1, 30.0),
                          from_cloud(np.resize(values, (len(values), 3))),
                          from_depth(np.array(values or [0.0])[None], (5.0, 5.0), (2, 2), 0.1, 9)):
        assert np.isfinite(points).all() and 0.0 <= share <= 1.0
