"""Images of real cameras as the policy's own: geometry, averaging, coverage, bytes."""

from __future__ import annotations

import hashlib
import math
import tracemalloc

import numpy as np
import pytest
import sensor_msgs.msg
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros import images
from lnn_ros.errors import LnnError
from lnn_ros.geometry import LEVEL, CameraModel, Mounting, VirtualCamera
from lnn_ros.remap import MIN_COVERAGE, Rectifier, Remap, remap_for
from lnn_ros.simulation.camera import CameraGeometry, Renderer
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

POLICY = VirtualCamera(64, 48, math.pi / 2)
NARROW = VirtualCamera(64, 48, math.radians(55))
EUROC = CameraModel(752, 480, (458.654, 0, 367.215, 0, 457.296, 248.375, 0, 0, 1),
                    (-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05))
LENSES = {
    "plumb_bob": EUROC,
    "rational_polynomial": CameraModel(
        1280, 720, (605.0, 0, 637.0, 0, 605.0, 366.0, 0, 0, 1),
        (0.45, -2.6, 0.0006, -0.0003, 1.5, 0.33, -2.4, 1.42), "rational_polynomial"),
    "equidistant": CameraModel(512, 512, (190.98, 0, 254.93, 0, 190.97, 256.9, 0, 0, 1),
                               (0.0034, 0.0007, -0.002, 0.0002), "equidistant"),
}
SEEDS = st.integers(0, 2**32 - 1)


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def area_mean(image, height, width):
    """Exact mean over the area of each pixel of the smaller image, in float64."""
    def share(old, new):
        edges, cells = np.arange(new + 1) * (old / new), np.arange(old)
        overlap = np.minimum(edges[1:, None], cells + 1.0) - np.maximum(edges[:-1, None], cells)
        return np.clip(overlap, 0.0, None) * (new / old)
    rows, columns = share(image.shape[0], height), share(image.shape[1], width)
    return np.einsum("ia,abc,jb->ijc", rows, image.astype(np.float64), columns, optimize=True)


def rms(difference):
    return math.sqrt(float((np.asarray(difference, np.float64) ** 2).mean()))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.floats(0.05, 3.0), st.floats(-1.5, 1.5), SEEDS)
def test_the_policys_own_camera_is_passed_on_to_the_byte(width, height, fov, tilt, seed):
    image = noise(height, width, seed=seed)
    remap = Remap(VirtualCamera(width, height, fov, tilt), CameraModel.pinhole(width, height, fov),
                  Mounting(pitch=tilt))
    out = remap(image)
    assert remap.coverage == 1.0
    np.testing.assert_array_equal(out, image)
    assert out.flags.c_contiguous and out.flags.owndata and out.flags.writeable
    out[:] = 0
    assert image.any()


@pytest.mark.parametrize("across", range(1, 9))
@pytest.mark.parametrize("down", [1, 2, 3, 5, 7, 8])
def test_whole_ratios_up_to_eight_are_the_exact_mean_over_the_area(across, down):
    width, height = 20, 15
    virtual = VirtualCamera(width, height, 1.2)
    focal = width / 2 / math.tan(0.6)
    source = CameraModel(width * across, height * down, (
        focal * across, 0, (width * across - 1) / 2, 0, focal * down, (height * down - 1) / 2,
        0, 0, 1))
    image = noise(source.height, source.width, seed=across)
    cells = image.reshape(height, down, width, across, 3).astype(int).sum(axis=(1, 3))
    count = across * down
    np.testing.assert_array_equal(Remap(virtual, source)(image),
                                  (2 * cells + count) // (2 * count))


def test_enlarging_repeats_pixels():
    image = noise(12, 16)
    out = Remap(POLICY, CameraModel.pinhole(16, 12, math.pi / 2))(image)
    np.testing.assert_array_equal(out, image.repeat(4, 0).repeat(4, 1))


@pytest.fixture(scope="module")
def world():
    return make_world(310_001, Task.load("fly_to_target"))


def picture(world, width, height, fov, tilt=0.0, rotation=None):
    geometry = CameraGeometry(width, height, fov, position=(0.0, 0.0, 0.0), tilt=tilt)
    where = (world.start[0], world.start[1], 1.6)
    yaw = math.atan2(world.target.position[1] - where[1], world.target.position[0] - where[0])
    facing = Mounting(yaw=yaw).rotation
    turned = facing if rotation is None else facing @ rotation
    return Renderer(world, geometry).render(where, turned)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1440, 1080), (500, 375), (97, 73)])
def test_aliasing_is_small_against_the_exact_mean(world, width, height):
    """Odd ratios, where the lattice of samples cannot be exact, on a picture full of edges."""
    image = picture(world, width, height, math.pi / 2)
    exact = area_mean(image, 48, 64)
    ours = rms(Remap(POLICY, CameraModel.pinhole(width, height, math.pi / 2))(image) - exact)
    rows = ((np.arange(48) + 0.5) * height / 48).astype(int)
    columns = ((np.arange(64) + 0.5) * width / 64).astype(int)
    nearest = rms(image[rows][:, columns] - exact)
    assert ours < 1.5
    assert ours < nearest / 4 or width < 100


@pytest.mark.parametrize("period", [2, 3, 5, 10])
@pytest.mark.parametrize("turned", [False, True])
def test_stripes_do_not_beat_with_the_samples(period, turned):
    """At 16 source pixels each way; a plain grid of 8 by 8 samples is wrong by up to 32 levels."""
    shape = (960, 640) if turned else (640, 960)
    stripes = np.broadcast_to(np.where(np.arange(960) // period % 2, 255, 0), (640, 960))
    image = np.ascontiguousarray((stripes.T if turned else stripes).astype(np.uint8)[:, :, None])
    virtual = VirtualCamera(shape[1] // 16, shape[0] // 16, 1.3)
    remap = Remap(virtual, CameraModel.pinhole(shape[1], shape[0], 1.3))
    worst = np.abs(remap(image) - area_mean(image, virtual.height, virtual.width)).max()
    assert worst <= 8.0


@pytest.mark.parametrize("mounting", [
    LEVEL, Mounting(pitch=0.25), Mounting(pitch=-0.2), Mounting(yaw=0.2), Mounting(yaw=-0.25),
    Mounting(roll=0.3), Mounting(roll=math.pi), Mounting(0.2, 0.15, -0.1)])
@pytest.mark.parametrize("tilt", [0.0, 0.2])
def test_another_camera_in_the_simulator_gives_the_policys_picture(world, mounting, tilt):
    """A wider and larger camera, turned any way, against the camera that the policy knows."""
    wanted = picture(world, 64, 48, math.pi / 2, tilt)
    taken = picture(world, 752, 480, 2.3, rotation=mounting.rotation)
    virtual = VirtualCamera(64, 48, math.pi / 2, tilt)
    source = CameraModel.pinhole(752, 480, 2.3)
    found = np.abs(remap_for(virtual, source, mounting, 0.5)(taken).astype(int) - wanted).mean()
    untouched = np.abs(taken[5::10, 6::12][:, :62].astype(int) - wanted[:, 1:63]).mean()
    assert found < 5.0
    assert found < untouched / 3


def painted(model, mounting, colour):
    """Picture that an ideal camera takes of a world whose colour depends on the direction."""
    fx, _, cx, _, fy, cy = model.k[:6]
    rows, columns = np.indices((model.height, model.width))
    rays = np.stack([np.ones(rows.shape), (cx - columns) / fx, (cy - rows) / fy], axis=-1)
    rays = rays @ mounting.rotation.T
    return colour(rays / np.linalg.norm(rays, axis=-1, keepdims=True))


def waves(directions):
    phases = directions @ np.array([[9.0, 2.0, 5.0], [-7.0, 8.0, 3.0], [4.0, -6.0, 10.0]])
    return (127.5 + 120 * np.sin(phases)).round().astype(np.uint8)


@settings(max_examples=20, deadline=None)
@given(st.floats(-math.pi, math.pi), st.floats(-0.15, 0.15), st.floats(-0.15, 0.15),
       st.floats(-0.15, 0.15))
def test_any_mounting_is_undone(roll, pitch, yaw, tilt):
    mounting = Mounting(roll, pitch, yaw)
    source = CameraModel.pinhole(400, 400, 2.2)
    virtual = VirtualCamera(40, 30, 1.2, tilt)
    remap = Remap(virtual, source, mounting)
    assert remap.coverage == 1.0
    out = remap(painted(source, mounting, waves))
    ideal = painted(CameraModel.pinhole(40, 30, 1.2), Mounting(pitch=tilt), waves)
    assert np.abs(out.astype(int) - ideal).mean() < 4.0


def spot(row, column, height=120, width=160):
    image = np.zeros((height, width, 1), np.uint8)
    image[row - 3:row + 4, column - 3:column + 4] = 255
    return image


def centre(image):
    """Row and column of the middle of what is bright; the first pixel's centre is at 0."""
    weights = image[:, :, 0].astype(np.float64)
    rows, columns = np.indices(weights.shape)
    return (weights * rows).sum() / weights.sum(), (weights * columns).sum() / weights.sum()


def test_what_is_left_stays_left_and_up_stays_up():
    remap = Remap(POLICY, CameraModel.pinhole(160, 120, math.pi / 2))
    assert centre(remap(spot(20, 30))) == pytest.approx((7.7, 11.7), abs=0.1)
    assert centre(remap(spot(100, 140)))[0] > 30 and centre(remap(spot(100, 140)))[1] > 45


@pytest.mark.parametrize(("mounting", "there"), [
    (Mounting(pitch=0.3), (-1, 0)), (Mounting(pitch=-0.3), (1, 0)),
    (Mounting(yaw=0.3), (0, 1)), (Mounting(yaw=-0.3), (0, -1))])
def test_what_is_straight_ahead_is_off_the_middle_of_a_turned_camera(mounting, there):
    """A camera that is pitched down has it higher up; one that is turned left, to the right."""
    shift = round(80 * math.tan(0.3))
    image = spot(60 + shift * there[0], 80 + shift * there[1])
    remap = Remap(POLICY, CameraModel.pinhole(160, 120, math.pi / 2), mounting)
    assert centre(remap(image)) == pytest.approx((23.5, 31.5), abs=0.5)


def test_camera_on_its_side_is_turned_upright():
    """Rolled to the right by a quarter turn, it has what is above on its left."""
    remap = Remap(VirtualCamera(40, 40, 1.2), CameraModel.pinhole(160, 160, 1.2),
                  Mounting(roll=math.pi / 2))
    assert centre(remap(spot(80, 20, 160, 160))) == pytest.approx((4.625, 19.375), abs=0.1)


def bent(model, ray):
    """Pixel of a direction (forward, left, up), as the lens' model is written in its paper."""
    x, y = -ray[1] / ray[0], -ray[2] / ray[0]
    d, r = model.d, math.hypot(x, y)
    if model.distortion == "equidistant":
        angle = math.atan(r)
        ratio = (angle + sum(k * angle**(2 * i + 3) for i, k in enumerate(d))) / r if r else 1.0
        return (model.k[5] + model.k[4] * y * ratio, model.k[2] + model.k[0] * x * ratio)
    above = 1 + d[0] * r**2 + d[1] * r**4 + (d[4] * r**6 if len(d) > 4 else 0.0)
    below = 1 + d[5] * r**2 + d[6] * r**4 + d[7] * r**6 if len(d) == 8 else 1.0
    x, y = (x * above / below + 2 * d[2] * x * y + d[3] * (r**2 + 2 * x**2),
            y * above / below + d[2] * (r**2 + 2 * y**2) + 2 * d[3] * x * y)
    return model.k[5] + model.k[4] * y, model.k[2] + model.k[0] * x


@pytest.mark.parametrize("name", LENSES)
def test_points_in_space_land_where_an_ideal_camera_has_them(name):
    """Half a pixel of the policy's camera, up to its edges."""
    lens, remap = LENSES[name], Remap(NARROW, LENSES[name])
    assert remap.coverage > 0.99
    half = math.tan(NARROW.horizontal_fov / 2)
    worst = plain = 0.0
    for left in np.linspace(-0.9, 0.9, 7) * half:
        for up in np.linspace(-0.85, 0.85, 5) * half * 0.75:
            row, column = bent(lens, (3.0, 3.0 * left, 3.0 * up))
            rows, columns = np.ogrid[:lens.height, :lens.width]
            disc = (rows - row) ** 2 + (columns - column) ** 2 < 81.0
            found = centre(remap(disc[:, :, None] * np.uint8(255)))
            ideal = 23.5 - up * 32 / half, 31.5 - left * 32 / half
            worst = max(worst, math.dist(found, ideal))
            focal = lens.k[0]
            plain = max(plain, math.dist(ideal, (
                23.5 + (row - lens.k[5]) / focal * 32 / half,
                31.5 + (column - lens.k[2]) / focal * 32 / half)))
    assert worst < 0.5
    assert plain > 0.5  # so much would be wrong without the lens


def test_coverage_is_the_share_by_area():
    half = 2 * math.atan(math.tan(math.pi / 4) / 2)
    assert Remap(POLICY, CameraModel.pinhole(160, 120, half)).coverage == 0.25
    assert Remap(POLICY, CameraModel.pinhole(160, 120, 1.7)).coverage == 1.0
    wide = Remap(POLICY, CameraModel.pinhole(160, 60, math.pi / 2))
    assert wide.coverage == 0.5
    assert Remap(POLICY, CameraModel.pinhole(160, 120, 1.5), Mounting(yaw=math.pi)).coverage == 0.0


def test_what_lies_beyond_the_fold_of_a_lens_is_not_seen():
    """1 - 0.5 r^2 turns at r = sqrt(2 / 3), here well inside the image."""
    lens = CameraModel(640, 480, (300.0, 0, 319.5, 0, 300.0, 239.5, 0, 0, 1), (-0.5, 0, 0, 0))
    y, x = np.meshgrid(np.linspace(-0.75, 0.75, 600), np.linspace(-1.0, 1.0, 800))
    share = (x**2 + y**2 < 2 / 3).mean()
    assert Remap(POLICY, lens).coverage == pytest.approx(share, abs=0.01)


def test_camera_that_sees_too_little_is_a_named_error():
    source = CameraModel.pinhole(160, 120, 1.0)
    with pytest.raises(LnnError, match=r"sees 29.\d% of the view .*expected at least 80%"):
        remap_for(POLICY, source)
    assert remap_for(POLICY, source, LEVEL, 0.25).coverage < MIN_COVERAGE
    assert remap_for(POLICY, source, LEVEL, 0.25) is remap_for(POLICY, source, LEVEL, 0.2)


def test_what_is_not_seen_repeats_the_edge():
    half = 2 * math.atan(math.tan(math.pi / 4) / 2)
    image = noise(24, 32)
    out = Remap(POLICY, CameraModel.pinhole(32, 24, half))(image)
    np.testing.assert_array_equal(out[12:36, 16:48], image)
    np.testing.assert_array_equal(out[12:36, :16], image[:, :1].repeat(16, 1))
    np.testing.assert_array_equal(out[12:36, 48:], image[:, -1:].repeat(16, 1))
    np.testing.assert_array_equal(out[:12], out[12:13].repeat(12, 0))
    np.testing.assert_array_equal(out[36:], out[35:36].repeat(12, 0))


def test_grey_and_colour_meet():
    source, grey = CameraModel.pinhole(160, 120, 1.6), noise(120, 160, 1)
    one = Remap(VirtualCamera(64, 48, 1.5, channels=1), source)
    three = Remap(VirtualCamera(64, 48, 1.5), source)
    expected = one(grey)
    assert expected.shape == (48, 64, 1)
    np.testing.assert_array_equal(one(grey[:, :, 0]), expected)
    np.testing.assert_array_equal(one(grey.repeat(3, 2)), expected)
    for same in (grey, grey[:, :, 0], grey.repeat(3, 2), np.broadcast_to(grey, (120, 160, 3))):
        np.testing.assert_array_equal(three(same), expected.repeat(3, 2))
    colour = noise(120, 160)
    luma = three(colour) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(one(colour)[:, :, 0] - luma).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("encoding", images.ENCODINGS)
@pytest.mark.parametrize("padding", [0, 5])
def test_every_layout_of_a_message_gives_the_same_frame(encoding, padding):
    message = sensor_msgs.msg.Image(encoding=encoding, height=96, width=128)
    size = {"rgb8": 3, "bgr8": 3, "8UC3": 3, "mono8": 1, "8UC1": 1, "mono16": 2, "16UC1": 2}
    message.step = 128 * size.get(encoding, 4) + padding
    message.data.frombytes(noise(96, message.step, 1).tobytes())
    remap = Remap(POLICY, CameraModel.pinhole(128, 96, 1.6), Mounting(0.1, 0.1, 0.1))
    np.testing.assert_array_equal(remap(images.image_view(message)),
                                  remap(images.image_array(message)))


def test_no_copy_of_the_whole_image_is_made():
    message = sensor_msgs.msg.Image(encoding="bgr8", height=1080, width=1920, step=5760)
    message.data.frombytes(bytes(5760 * 1080))
    remap = Remap(POLICY, CameraModel.pinhole(1920, 1080, 2.0))
    remap(images.image_view(message))
    tracemalloc.start()
    try:
        remap(images.image_view(message))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_bytes_are_the_same_everywhere():
    """Pinned: a replay on another computer has to see what the robot saw."""
    remap = Remap(POLICY, EUROC, Mounting(0.02, 0.1, -0.03))
    assert hashlib.sha256(remap(noise(480, 752)).tobytes()).hexdigest()[:16] == "4dd46815ffaa873f"


def test_large_policy_cameras_have_bounded_tables():
    remap = Remap(VirtualCamera(1024, 1024, 1.5), CameraModel.pinhole(2048, 2048, 1.5))
    assert remap.coverage == 1.0
    flat = np.full((2048, 2048, 1), 77, np.uint8)
    tracemalloc.start()
    try:
        assert (remap(flat) == 77).all()
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("image", "says"), [
    (np.zeros((120, 161, 3), np.uint8), "size is 161x120 pixels: expected 160x120"),
    (np.zeros((120, 160, 3), np.uint16), "expected uint8"),
    (np.zeros((120, 160, 4), np.uint8), "1 or 3 channels"),
    (np.zeros(160, np.uint8), "1 or 3 channels")])
def test_image_of_another_camera_is_a_named_error(image, says):
    with pytest.raises(LnnError, match=says):
        Remap(POLICY, CameraModel.pinhole(160, 120, 1.6))(image)


def test_rectifier_takes_a_field_of_view_and_the_first_image():
    rectifier = Rectifier(POLICY, 1.6)
    assert rectifier.coverage is None
    image = noise(120, 160)
    np.testing.assert_array_equal(rectifier(image),
                                  Remap(POLICY, CameraModel.pinhole(160, 120, 1.6))(image))
    assert rectifier.coverage == 1.0
    with pytest.raises(LnnError, match="size is 80x60 pixels: expected 160x120"):
        rectifier(noise(60, 80))


def test_rectifier_takes_a_calibrated_camera():
    rectifier = Rectifier(POLICY, EUROC)
    assert rectifier.coverage == Remap(POLICY, EUROC).coverage
    image = noise(480, 752, 1)
    np.testing.assert_array_equal(rectifier(image), Remap(POLICY, EUROC)(image))


def test_rectifier_refuses_what_cannot_work():
    for impossible in (0.0, math.nan, 4.0):
        with pytest.raises(LnnError, match=r"horizontal field of view is .*expected a number"):
            Rectifier(POLICY, impossible)
    with pytest.raises(LnnError, match=r"sees .*of the view"):
        Rectifier(POLICY, EUROC, Mounting(yaw=1.0))
    narrow = Rectifier(POLICY, 0.5)
    for _ in range(2):
        with pytest.raises(LnnError, match=r"sees .*of the view"):
            narrow(noise(120, 160))
    assert Rectifier(POLICY, 0.5, min_coverage=0.0)(noise(120, 160)).shape == (48, 64, 3)
