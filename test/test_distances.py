"""Messages of sensors of distance become points, or one sentence."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lnn_ros import distances
from lnn_ros.errors import LnnError

K = (100.0, 0.0, 1.5, 0.0, 100.0, 1.0, 0.0, 0.0, 1.0)
NUMBERS = st.floats(width=32, allow_nan=True, allow_infinity=True)


def scan(ranges, **values):
    return SimpleNamespace(**{"angle_min": -0.1, "angle_increment": 0.1, "range_min": 0.1,
                              "range_max": 10.0, "ranges": ranges, **values})


def depth(pixels, encoding="32FC1", big=False, **values):
    kind = np.dtype("f4" if encoding == "32FC1" else "u2").newbyteorder(">" if big else "<")
    data = np.asarray(pixels, kind)
    return SimpleNamespace(**{
        "height": data.shape[0], "width": data.shape[1], "step": data.shape[1] * kind.itemsize,
        "encoding": encoding, "is_bigendian": big, "data": data.tobytes(), **values})


def cloud(points, kind="<f4", rows=1, padding=0, **values):
    """Return a cloud with an intensity between y and z, as drivers have it."""
    found = np.dtype(kind)
    width = len(points) // rows
    layout = np.dtype({"names": ["x", "y", "intensity", "z"], "formats": [kind, kind, "u1", kind],
                       "offsets": [0, found.itemsize, 2 * found.itemsize, 3 * found.itemsize],
                       "itemsize": 5 * found.itemsize})
    filled = np.zeros(len(points), layout)
    for name, column in zip("xyz", np.asarray(points, float).reshape(-1, 3).T, strict=True):
        filled[name] = column
    code = 7 if found.itemsize == 4 else 8
    fields = [SimpleNamespace(name=name, offset=layout.fields[name][1],
                              datatype=2 if name == "intensity" else code)
              for name in layout.names]
    data = b"".join(filled[r * width:(r + 1) * width].tobytes() + bytes(padding)
                    for r in range(rows))
    return SimpleNamespace(**{
        "height": rows, "width": width, "point_step": layout.itemsize,
        "row_step": width * layout.itemsize + padding, "fields": fields,
        "is_bigendian": kind[0] == ">", "data": data, **values})


def test_a_scan_says_what_stands_where():
    points, share = distances.scan_points(scan([1.0, 2.0, math.inf, math.nan]))
    assert np.allclose(points, [[math.cos(0.1), -math.sin(0.1), 0.0], [2.0, 0.0, 0.0]])
    assert share == 0.75


def test_a_range_is_a_cone():
    message = SimpleNamespace(range=2.0, field_of_view=0.4, min_range=0.1, max_range=5.0)
    points, share = distances.range_points(message)
    assert share == 1.0
    assert np.allclose(np.linalg.norm(points, axis=1), 2.0)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding, unit", [("32FC1", 1.0), ("16UC1", 1000.0), ("mono16", 1000.0)])
def test_depth_is_in_front_of_its_pixel(encoding, unit, big):
    pixels = np.full((3, 4), 2.0) * unit
    points, share = distances.depth_points(depth(pixels, encoding, big), K, 0.1, 10.0)
    assert share == 1.0
    assert np.allclose(points[:, 0], 2.0)
    assert np.isclose(points[:, 1].max(), 1.5 / 100.0 * 2.0)  # the leftmost column
    assert np.isclose(points[:, 2].max(), 1.0 / 100.0 * 2.0)  # the uppermost row


def test_rows_of_a_depth_image_may_be_padded():
    message = depth(np.full((2, 3), 1.0))
    rows = [message.data[:12] + bytes(4), message.data[12:] + bytes(4)]
    message.step, message.data = 16, b"".join(rows)
    assert len(distances.depth_points(message, K, 0.1, 10.0)[0]) == 6


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("rows, padding", [(1, 0), (2, 0), (2, 7)])
def test_a_cloud_of_any_layout(kind, rows, padding):
    wanted = np.arange(12.0).reshape(4, 3)
    wanted[2, 1] = np.nan
    points, share = distances.cloud_points(cloud(wanted, kind, rows, padding))
    assert np.allclose(points, wanted[[0, 1, 3]])
    assert share == 0.75
    assert len(distances.cloud_points(cloud(np.empty((0, 3))))[0]) == 0


@pytest.mark.parametrize("read, message, sentence", [
    (distances.scan_points, scan([1.0], range_min=-1.0), "range_min is -1"),
    (distances.scan_points, scan([1.0], range_max=math.nan), "range_max is nan"),
    (distances.scan_points, scan([1.0], angle_min=math.inf), "expected one row of ranges"),
    (distances.range_points, SimpleNamespace(range=1.0, field_of_view=9.0, min_range=0.0,
                                             max_range=1.0), "expected an angle from 0 to pi"),
    (distances.cloud_points, cloud([[1, 2, 3]], fields=[]), "fields none"),
    (distances.cloud_points, cloud([[1, 2, 3]], point_step=4), "points of 4 bytes"),
    (distances.cloud_points, cloud([[1, 2, 3]], width=2**31, height=2**31), "height times row"),
    (distances.cloud_points, cloud([[1, 2, 3]], data=b"xx"), "has 2 bytes"),
    (distances.sensor_k, SimpleNamespace(k=[0.0] * 9), "expected focal lengths > 0"),
    (distances.sensor_k, SimpleNamespace(k=[math.nan] * 9), "expected focal lengths > 0"),
])
def test_what_cannot_be_read_is_one_sentence(read, message, sentence):
    with pytest.raises(LnnError, match=sentence):
        read(message)


@pytest.mark.parametrize("change, k, sentence", [
    ({}, None, "no camera info of the depth camera"),
    ({"encoding": "rgb8"}, K, "encoding 'rgb8': expected one of 32FC1"),
    ({"height": 3}, K, "expected height times step"),
    ({"step": 4}, K, "rows of 4 bytes a pixel"),
    ({"width": 10**9}, K, "expected height times step")])
def test_a_depth_image_of_no_use_is_one_sentence(change, k, sentence):
    message = depth(np.ones((2, 3)))
    with pytest.raises(LnnError, match=sentence):
        distances.depth_points(SimpleNamespace(**{**vars(message), **change}), k, 0.1, 10.0)


@given(st.lists(NUMBERS, max_size=9), NUMBERS, NUMBERS, NUMBERS)
@example([np.inf], 0.0, 0.0, np.inf)  # of a driver that knows no greatest range
def test_whatever_a_scan_says_its_points_are_finite(ranges, angle, near, far):
    try:
        points, share = distances.scan_points(
            scan(ranges, angle_min=angle, range_min=near, range_max=far))
    except LnnError:
        return
    assert np.isfinite(points).all() and 0.0 <= share <= 1.0


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=9))
def test_whatever_a_cloud_says_its_points_are_finite(points):
    found, share = distances.cloud_points(cloud(np.array(points, float).reshape(-1, 3)))
    assert np.isfinite(found).all() and 0.0 <= share <= 1.0
