"""Where sensors look: mountings, virtual cameras and lenses, each against its definition."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from policies_for_tests import small_checkpoint

from lnn_ros.errors import LnnError
from lnn_ros.geometry import LEVEL, CameraModel, Mounting, VirtualCamera
from lnn_ros.learning.architecture import camera_card
from lnn_ros.simulation.camera import CameraGeometry
from lnn_ros.simulation.task import Task

ANGLE = st.floats(-math.pi, math.pi)
MOUNTINGS = st.builds(Mounting, ANGLE, ANGLE, ANGLE)
VECTORS = st.lists(st.floats(-100, 100), min_size=6, max_size=6).map(np.array)
CARD = {"camera": {"width": 64, "height": 48, "horizontal_fov": 1.5, "tilt": 0.1,
                   "position": [0.0, 0.0, 0.0], "model": "pinhole"},
        "streams": {"camera": {"shape": [48, 64, 3]}}}


def about(axis, angle):
    """Turn about x, y or z by Rodrigues' formula."""
    x, y, z = np.eye(3)["xyz".index(axis)]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def test_signs_of_a_mounting_are_those_of_rep_103():
    """Nose down, nose left, left side up: each is positive."""
    ahead, left, up = np.eye(3)
    assert (Mounting(pitch=0.3).rotation @ ahead)[2] < 0
    assert (Mounting(yaw=0.3).rotation @ ahead)[1] > 0
    assert (Mounting(roll=0.3).rotation @ left)[2] > 0
    assert (Mounting(roll=0.3).rotation @ up)[1] < 0


@settings(max_examples=200, deadline=None)
@given(ANGLE, ANGLE, ANGLE)
def test_mounting_turns_about_fixed_axes_roll_first(roll, pitch, yaw):
    expected = about("z", yaw) @ about("y", pitch) @ about("x", roll)
    found = Mounting(roll, pitch, yaw).rotation
    np.testing.assert_allclose(found, expected, atol=1e-11)
    np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-11)


@settings(max_examples=200, deadline=None)
@given(MOUNTINGS, VECTORS)
def test_imu_is_turned_into_base_link_and_back(mounting, vector):
    turned = mounting.rotate_imu(vector)
    assert turned.shape == (6,) and turned.dtype == np.float64
    for part in (slice(0, 3), slice(3, 6)):
        np.testing.assert_allclose(turned[part], mounting.rotation @ vector[part], atol=1e-9)
        np.testing.assert_allclose(mounting.rotation.T @ turned[part], vector[part], atol=1e-8)


@given(st.lists(st.floats(allow_nan=False), min_size=6, max_size=6))
def test_imu_that_is_not_turned_keeps_every_bit(numbers):
    assert LEVEL.rotate_imu(np.array(numbers)).tobytes() == np.array(numbers).tobytes()


@pytest.mark.parametrize(("mounting", "reading", "expected"), [
    (Mounting(roll=math.pi), (1, 2, 3, 0, 0, -9.81), (1, -2, -3, 0, 0, 9.81)),  # upside down
    (Mounting(yaw=math.pi / 2), (1, 2, 3, 4, 5, 6), (-2, 1, 3, -5, 4, 6)),  # x to the left
    (Mounting(pitch=math.pi / 2), (1, 2, 3, 4, 5, 6), (3, 2, -1, 6, 5, -4)),  # x down
])
def test_imu_at_quarter_turns_is_exact(mounting, reading, expected):
    assert mounting.rotate_imu(np.array(reading, float)).tolist() == list(expected)


@pytest.mark.parametrize("name", ["roll", "pitch", "yaw"])
@pytest.mark.parametrize("value", [math.nan, math.inf, 7.0, "0.1", None, True])
def test_impossible_mounting_is_a_named_error(name, value):
    with pytest.raises(LnnError, match=rf"mounting {name} is .*expected a number"):
        Mounting(**{name: value})


def test_virtual_camera_is_that_of_the_card():
    assert VirtualCamera.from_card(CARD) == VirtualCamera(64, 48, 1.5, 0.1, 3)
    card = {**CARD, "camera": camera_card(Task.load("fly_to_target"))}
    assert VirtualCamera.from_card(card) == VirtualCamera(64, 48, math.pi / 2)
    assert VirtualCamera.from_card(small_checkpoint().card) == VirtualCamera(16, 12, 1.5)


@pytest.mark.parametrize(("change", "says"), [
    ({"model": "fisheye"}, "model"), ({"model": None}, "model"), ({"width": 0}, "width"),
    ({"height": 10**6}, "height"), ({"width": 64.0}, "width"), ({"tilt": None}, "tilt"),
    ({"horizontal_fov": math.pi}, "horizontal_fov"), ({"horizontal_fov": math.nan}, "fov")])
def test_impossible_virtual_camera_is_a_named_error(change, says):
    with pytest.raises(LnnError, match=rf"{says} of the policy's camera is .*expected"):
        VirtualCamera.from_card({**CARD, "camera": {**CARD["camera"], **change}})


CAMERAS = st.builds(VirtualCamera, st.integers(1, 90), st.integers(1, 90), st.floats(0.1, 2.8),
                    st.floats(-1.5, 1.5))


@settings(max_examples=100, deadline=None)
@given(CAMERAS, st.data())
def test_a_camera_sees_its_own_rays_where_they_come_from(camera, data):
    row = data.draw(st.floats(0, camera.height))
    column = data.draw(st.floats(0, camera.width))
    ray = camera.rays(np.float64(row), np.float64(column)) @ Mounting(pitch=camera.tilt).rotation
    model = CameraModel.pinhole(camera.width, camera.height, camera.horizontal_fov)
    # The corner of the first pixel is at 0 for the one, its centre for the other.
    there = model.project(ray)
    assert there[2]
    np.testing.assert_allclose((there[0] + 0.5, there[1] + 0.5), (row, column), atol=1e-6)


def test_rays_point_left_up_and_down_as_the_simulators():
    camera = VirtualCamera(64, 48, math.pi / 2)
    middle = camera.rays(np.float64(24), np.float64(32))
    assert middle.tolist() == [1.0, 0.0, 0.0]
    assert camera.rays(np.float64(24), np.float64(0))[1] > 0  # left edge: y to the left
    assert camera.rays(np.float64(0), np.float64(32))[2] > 0  # upper edge: z up
    assert VirtualCamera(64, 48, 1.5, 0.2).rays(np.float64(24), np.float64(32))[2] < 0
    geometry = CameraGeometry(64, 48, math.pi / 2)
    assert camera.rays(np.float64(24), np.float64(31))[1] == 1 / geometry.focal_length


MODELS = {
    "euroc": CameraModel(752, 480, (458.654, 0, 367.215, 0, 457.296, 248.375, 0, 0, 1),
                         (-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05)),
    "five": CameraModel(640, 480, (610.0, 0, 322.0, 0, 612.0, 238.0, 0, 0, 1),
                        (0.12, -0.25, 0.001, -0.0008, 0.14)),
    "skewed": CameraModel(640, 480, (420.0, 1.5, 310.0, 0, 415.0, 246.0, 0, 0, 1),
                          (-0.05, 0.01, 0.004, -0.003)),
    "rational": CameraModel(1280, 720, (605.0, 0, 637.0, 0, 605.0, 366.0, 0, 0, 1),
                            (0.45, -2.6, 0.0006, -0.0003, 1.5, 0.33, -2.4, 1.42),
                            "rational_polynomial"),
    "fisheye": CameraModel(512, 512, (190.98, 0, 254.93, 0, 190.97, 256.9, 0, 0, 1),
                           (0.0034, 0.0007, -0.002, 0.0002), "equidistant"),
}


def textbook(model, ahead, left, up):
    """Column and row of a point, one number at a time, as the models are written in papers."""
    x, y, z = -left, -up, ahead
    fx, s, cx, _, fy, cy = model.k[:6]
    d = model.d
    if model.distortion == "equidistant":
        r = math.sqrt(x * x + y * y)
        t = math.acos(z / math.sqrt(r * r + z * z))
        bent = t + d[0] * t**3 + d[1] * t**5 + d[2] * t**7 + d[3] * t**9
        a, b = (bent * x / r, bent * y / r) if r > 0 else (0.0, 0.0)
    else:
        x, y = x / z, y / z
        r2 = x**2 + y**2
        k3 = d[4] if len(d) > 4 else 0.0
        ratio = 1 + d[0] * r2 + d[1] * r2**2 + k3 * r2**3
        if len(d) == 8:
            ratio /= 1 + d[5] * r2 + d[6] * r2**2 + d[7] * r2**3
        a = x * ratio + 2 * d[2] * x * y + d[3] * (r2 + 2 * x**2)
        b = y * ratio + d[2] * (r2 + 2 * y**2) + 2 * d[3] * x * y
    return fx * a + s * b + cx, fy * b + cy


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=100, deadline=None)
@given(st.floats(0.2, 50), st.floats(-0.5, 0.5), st.floats(-0.35, 0.35))
def test_a_lens_bends_rays_as_its_formula_says(name, far, left, up):
    model = MODELS[name]
    row, column, covered = model.project(np.array([far, far * left, far * up]))
    assert covered
    np.testing.assert_allclose((column, row), textbook(model, far, far * left, far * up),
                               atol=1e-6)


def test_fisheye_sees_sideways_and_a_pinhole_does_not():
    sideways = np.array([[-0.1, 1.0, 0.0], [0.0, 1.0, 0.0], [0.1, 0.0, -1.0]])
    assert MODELS["fisheye"].project(sideways)[2].all()
    assert not CameraModel.pinhole(64, 48, 3.0).project(sideways[:2])[2].any()
    assert not CameraModel.pinhole(64, 48, 1.0).project(-np.eye(3)[:1])[2].any()  # from behind


@settings(max_examples=200, deadline=None)
@given(st.floats(-0.6, 0.0), st.floats(-0.2, 0.2), st.floats(0.01, 1.55), ANGLE)
def test_distortion_does_not_fold_back(k1, k2, angle, around):
    """What lies outside is never shown inside: farther from the axis is farther in the image."""
    model = CameraModel(640, 480, (400.0, 0, 319.5, 0, 400.0, 239.5, 0, 0, 1), (k1, k2, 0.0, 0.0))
    rays = np.array([[math.cos(a), math.sin(a) * math.cos(around), math.sin(a) * math.sin(around)]
                     for a in (angle, 0.97 * angle)])
    row, column, covered = model.project(rays)
    assume(covered[0])
    assert covered[1]
    far, near = np.hypot(row - 239.5, column - 319.5)
    assert far > near


def test_strong_distortion_is_cut_where_it_turns():
    """1 - 0.5 r^2 turns at r = sqrt(2 / 3), 39.2 degrees off the axis."""
    model = CameraModel(640, 480, (900.0, 0, 319.5, 0, 900.0, 239.5, 0, 0, 1), (-0.5, 0, 0, 0))
    angles = np.radians([30.0, 39.0, 40.0, 54.0, 80.0, 120.0, 180.0])
    rays = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=-1)
    row, column, covered = model.project(rays)
    assert covered.tolist() == [True, True, False, False, False, False, False]
    # Beyond, the pixel is the last one in that direction, not the folded one near the middle.
    np.testing.assert_allclose(column[2:6], column[2], atol=1e-6)
    assert np.isfinite(row).all() and (column[1:6] < 0).all()


GOOD = {"width": 640, "height": 480, "k": (400.0, 0, 320.0, 0, 400.0, 240.0, 0, 0, 1),
        "d": (0.1, 0, 0, 0, 0), "distortion": "plumb_bob"}


@pytest.mark.parametrize(("change", "says"), [
    ({"width": 0}, "width of the camera info is 0"), ({"height": -1}, "height"),
    ({"k": (400.0,) * 8}, "expected nine numbers"),
    ({"k": (math.nan, *GOOD["k"][1:])}, "expected nine numbers"),
    ({"k": (1e9, *GOOD["k"][1:])}, "expected nine numbers"),
    ({"k": (-400.0, *GOOD["k"][1:])}, "positive focal lengths"),
    ({"k": (*GOOD["k"][:8], 2.0)}, "fx, s, cx"),
    ({"d": (math.inf, 0, 0, 0)}, "each up to"), ({"d": (0.1,)}, "with 1 coefficients"),
    ({"d": (0.1,) * 4, "distortion": "rational_polynomial"}, "with 4 coefficients"),
    ({"distortion": "fisheye"}, "distortion 'fisheye' with 5 coefficients: expected plumb_bob"),
    ({"distortion": "equidistant"}, "'equidistant' with 5 coefficients"),
    ({"d": (0.1,) * 14, "distortion": "rational_polynomial"}, "with 14 coefficients"),
])
def test_impossible_camera_is_a_named_error(change, says):
    with pytest.raises(LnnError, match="camera info") as error:
        CameraModel(**{**GOOD, **change})
    assert says in str(error.value)


@pytest.mark.parametrize("distortion", ["", "none", "plumb_bob", "rational_polynomial"])
@pytest.mark.parametrize("d", [(), (0.0,) * 5])
def test_no_coefficients_are_no_distortion_whatever_it_is_called(distortion, d):
    rays = np.array([1.0, 0.2, 0.3])
    np.testing.assert_allclose(
        CameraModel(**{**GOOD, "d": d, "distortion": distortion}).project(rays)[:2],
        (240 - 0.3 * 400, 320 - 0.2 * 400), atol=1e-9)


ANY = st.floats() | st.floats(-1e6, 1e6) | st.floats(-2, 2)


@settings(max_examples=300, deadline=None)
@given(st.lists(ANY, min_size=4, max_size=4), st.lists(ANY, max_size=9),
       st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant", "x"]))
def test_any_camera_info_is_a_camera_or_refused_by_name(k, d, distortion):
    fx, fy, cx, cy = k
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            model = CameraModel(640, 480, (fx, 0, cx, 0, fy, cy, 0, 0, 1), tuple(d), distortion)
        except LnnError:
            return
        directions = np.random.default_rng(1).normal(size=(50, 3))
        row, column, covered = model.project(directions)
    assert np.isfinite(row).all() and np.isfinite(column).all()
    assert covered.dtype == bool
