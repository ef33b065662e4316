"""The simulated camera: where things are seen, whatever the pose, and what is refused."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import AHEAD, CENTRED, FOREST, GREY, LEVEL, RED, SUN, rotation, solid, world_of

from lnn_ros.errors import LnnError
from lnn_ros.simulation.camera import CameraGeometry, Renderer
from lnn_ros.simulation.world import Role, Shape, World


def reals(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


rotations = st.builds(rotation, reals(-math.pi, math.pi), reals(-1.5, 1.5),
                      reals(-math.pi, math.pi))
solids = st.builds(
    solid, st.just("some"), st.sampled_from(Shape),
    st.tuples(reals(-6, 6), reals(-6, 6), reals(0.0, 4.0)),
    st.tuples(reals(0.05, 3.0), reals(0.05, 3.0), reals(0.05, 3.0)), reals(-4.0, 4.0),
).map(lambda s: dataclasses.replace(s, size=(s.size[0], s.size[0], s.size[2]))
      if s.shape is Shape.CYLINDER else s)
GEOMETRY = CameraGeometry(23, 17, 1.4, position=(0.1, -0.05, 0.03), tilt=0.3)


def rays_of(geometry: CameraGeometry, position: np.ndarray, turned: np.ndarray,
            ) -> tuple[np.ndarray, np.ndarray]:
    """Optical centre and, per pixel centre, the ray with depth 1, from the definition."""
    focal = geometry.width / 2 / math.tan(geometry.horizontal_fov / 2)
    j, i = np.meshgrid(np.arange(geometry.width), np.arange(geometry.height))
    seen = np.stack([np.ones(j.shape), (geometry.width / 2 - (j + 0.5)) / focal,
                     (geometry.height / 2 - (i + 0.5)) / focal], axis=-1)
    tilted = seen @ rotation(0.0, geometry.tilt, 0.0).T
    return position + turned @ np.array(geometry.position), tilted @ turned.T


def first_hits(world: World, origin: np.ndarray, rays: np.ndarray, grow: float,
               ) -> tuple[np.ndarray, np.ndarray]:
    """Brute force: index of the first hit (-1 ground, -2 sky), and the two least depths."""
    with np.errstate(all="ignore"):
        below = (rays[..., 2] < 0.0) & (origin[2] > 0.0)
        depths = [np.where(below, -origin[2] / rays[..., 2], np.inf)]
        for s in world.solids:
            turned = rotation(s.yaw, 0.0, 0.0)
            size = np.array(s.size) * grow
            o, d = (origin - s.position) @ turned / size, rays @ turned / size
            spans = []
            flat = {Shape.BOX: (0, 1, 2), Shape.CYLINDER: (2,), Shape.ELLIPSOID: ()}[s.shape]
            for axis in flat:
                pair = (np.array([-1.0, 1.0])[:, None, None] - o[axis]) / d[..., axis]
                spans.append((pair.min(axis=0), pair.max(axis=0)))
            if s.shape is not Shape.BOX:
                n = 2 if s.shape is Shape.CYLINDER else 3
                a, b = (d[..., :n] ** 2).sum(-1), d[..., :n] @ o[:n]
                root = np.sqrt(b * b - a * (o[:n] @ o[:n] - 1.0))  # NaN: missed
                spans.append(((-b - root) / a, (root - b) / a))
            enter = np.max([one for one, _ in spans], axis=0)
            leave = np.min([two for _, two in spans], axis=0)
            depths.append(np.where((enter < leave) & (enter > 0.0), enter, np.inf))
    order = np.sort(depths, axis=0)
    index = np.where(np.isinf(order[0]), -2, np.argmin(depths, axis=0) - 1)
    return index, order[:2]


@settings(max_examples=150, deadline=None)
@given(st.lists(solids, min_size=1, max_size=8),
       st.tuples(reals(-6, 6), reals(-6, 6), reals(0.05, 5.0)), rotations)
def test_no_pixel_differs_from_brute_force(bodies, position, turned):
    """Culling by bounds and by depth order is exact for any pose, also around and behind."""
    world = world_of(*bodies)
    index, depth = Renderer(world, GEOMETRY).cast(position, turned)
    origin, rays = rays_of(GEOMETRY, np.array(position), turned)
    # Where a hair's change of size changes the answer, rounding may too; likewise for faces of
    # two bodies that lie in one plane.
    smaller, _ = first_hits(world, origin, rays, 1.0 - 1e-7)
    larger, _ = first_hits(world, origin, rays, 1.0 + 1e-7)
    expected, (nearest, second) = first_hits(world, origin, rays, 1.0)
    clear = (smaller == larger) & (expected == larger)
    single = clear & ~(second < nearest + 1e-6)
    np.testing.assert_array_equal(index[single], expected[single])
    np.testing.assert_allclose(1.0 / depth[clear], 1.0 / nearest[clear], rtol=1e-6, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(reals(0.0, 22.9), reals(0.0, 16.9), reals(2.0, 30.0), rotations)
def test_a_small_ball_is_seen_where_the_pinhole_model_says(column, row, distance, turned):
    """Columns count to the right, rows downwards, through mount and tilt."""
    i, j = int(row), int(column)
    origin, rays = rays_of(GEOMETRY, np.array([0.0, 0.0, 50.0]), turned)
    centre = origin + distance * rays[i, j]
    ball = solid("ball", Shape.ELLIPSOID, tuple(centre), (0.02, 0.02, 0.02), role=Role.TARGET)
    mask = Renderer(world_of(ball), GEOMETRY).target_mask((0.0, 0.0, 50.0), turned)
    assert np.argwhere(mask).tolist() == [[i, j]]


def test_left_is_left_and_up_is_up():
    """A body to the left and above is in the picture's first columns and rows."""
    ball = solid("ball", Shape.ELLIPSOID, (5.0, 3.0, 3.5), (0.5, 0.5, 0.5), role=Role.TARGET)
    mask = Renderer(world_of(ball), CENTRED).target_mask(AHEAD, LEVEL)
    rows, columns = np.nonzero(mask)
    assert mask.any()
    assert rows.max() < 24
    assert columns.max() < 32


def test_sizes_in_pixels_are_those_of_a_pinhole():
    """A wall 2 m wide and 1 m high, 4 m ahead, covers 16 by 8 pixels at a focal length of 32."""
    wall = solid("wall", Shape.BOX, (4.5, 0.0, 1.5), (0.5, 1.0, 0.5), role=Role.TARGET)
    mask = Renderer(world_of(wall), CENTRED).target_mask(AHEAD, LEVEL)
    assert CENTRED.focal_length == 32.0
    assert mask.any(axis=0).sum() == 16
    assert mask.any(axis=1).sum() == 8
    assert mask.sum() == 16 * 8


@settings(max_examples=40, deadline=None)
@given(st.lists(solids, min_size=1, max_size=6), rotations)
def test_four_samples_are_the_four_rays_of_a_rotated_grid(bodies, turned):
    """Unlit, the picture holds the share of fog in front of what each of the rays meets."""
    horizon = (0.7, 0.7, 0.7)
    light = dataclasses.replace(SUN, sun=0.0, ambient=0.0, horizon=horizon, fog=5.0)
    world = world_of(*bodies, light=light)
    picture = Renderer(world, GEOMETRY, samples=4).render(AHEAD, turned)
    fine = dataclasses.replace(GEOMETRY, width=4 * GEOMETRY.width, height=4 * GEOMETRY.height)
    index, depth = Renderer(world, fine).cast(AHEAD, turned)
    origin, rays = rays_of(fine, np.array(AHEAD), turned)
    faces = np.array([face_of(world, k, origin + t * ray) for k, t, ray in
                      zip(index.flat, depth.flat, rays.reshape(-1, 3), strict=True)])
    parts = [(0, 1), (1, 3), (3, 2), (2, 0)]  # row and column of the samples in 4 x 4
    faces = np.array([faces.reshape(17, 4, 23, 4)[:, i, :, j] for i, j in parts])
    points = (depth[..., None] * rays).reshape(17, 4, 23, 4, 3)
    points = np.array([points[:, i, :, j] for i, j in parts])
    expected = np.zeros((17, 23))
    for i, j in np.ndindex(17, 23):
        if (faces[:, i, j] == -2).any():
            expected[i, j] = np.nan  # what the sky looks like is not the matter here
            continue
        for face in faces[:, i, j]:  # those that meet one face are one sample at their middle
            middle = points[faces[:, i, j] == face, i, j].mean(axis=0)
            distance = np.linalg.norm(middle)
            expected[i, j] += 0.25 * 0.49 * distance / (distance + 5.0)
    seen = ~np.isnan(expected)
    np.testing.assert_allclose(picture[seen][:, 0], 255.0 * np.sqrt(expected[seen]), atol=1.0)


def face_of(world: World, index: int, point: np.ndarray) -> int:
    """Number of the face of a solid that a point lies on."""
    if index < 0:
        return int(index)
    s = world.solids[index]
    x, y, z = np.abs((point - s.position) @ rotation(s.yaw, 0.0, 0.0) / s.size)
    if s.shape is Shape.BOX:
        return 4 * index + int(np.argmax([x, y, z]))
    return 4 * index + (2 if s.shape is Shape.CYLINDER and z > 1.0 - 1e-9 else 0)


def test_mask_agrees_with_picture():
    """With one ray per pixel, what is red is the target, also where it is partly hidden."""
    target = solid("target", Shape.CYLINDER, (6.0, 0.5, 1.0), (0.5, 0.5, 1.0), 0.0, RED,
                   Role.TARGET)
    tree = solid("tree", Shape.CYLINDER, (3.0, 0.0, 1.5), (0.2, 0.2, 1.5))
    renderer = Renderer(world_of(tree, target), samples=1)
    for k in range(6):
        pose = (0.3 * k, 0.0, 1.2), rotation(0.05 * k, 0.03 * k, 0.1 * k)
        seen = renderer.render(*pose).astype(int)
        mask = renderer.target_mask(*pose)
        assert mask.dtype == bool
        assert mask.any()
        np.testing.assert_array_equal(mask, seen[..., 0] > seen[..., 1] + 50)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (65, 3), (2, 33)])
@pytest.mark.parametrize("samples", [1, 4])
def test_odd_sizes(size, samples):
    """Any size is a picture of that shape, and its middle is that of a larger one."""
    width, height = size
    picture = Renderer(FOREST, CameraGeometry(width, height), samples).render(AHEAD, LEVEL)
    assert picture.shape == (height, width, 3)
    assert picture.any()


@pytest.mark.parametrize("position", [(3.0, 1.5, 3.5), (6.0, -3.0, 1.0), (2.0, 1.5, 1.0),
                                      (0.0, 0.0, 0.0), (0.0, 0.0, -2.0), (1e6, -1e6, 1e3)])
@pytest.mark.parametrize("pitch", [0.0, math.pi / 2, -math.pi / 2])
def test_strange_places_are_harmless(position, pitch):
    """Inside of bodies, on and below the ground, far away, straight up and down."""
    renderer = Renderer(FOREST, CENTRED)
    turned = rotation(0.3, pitch, 0.0)
    index, depth = renderer.cast(position, turned)
    assert not np.isnan(depth).any()
    assert (depth > 0.0).all()
    np.testing.assert_array_equal(renderer.render(position, turned),
                                  renderer.render(position, turned))
    if position[2] <= 0.0:
        assert (index != -1).all()


def test_bodies_are_seen_from_outside_only():
    """A camera inside of a crown looks through it."""
    crown = solid("crown", Shape.ELLIPSOID, (0.0, 0.0, 1.5), (1.0, 1.0, 1.0))
    target = solid("target", Shape.BOX, (4.0, 0.0, 1.5), (0.5, 0.5, 0.5), role=Role.TARGET)
    assert Renderer(world_of(crown, target), CENTRED).target_mask(AHEAD, LEVEL)[24, 32]


@pytest.mark.parametrize(("arguments", "says"), [
    ({"width": 0}, "width"), ({"height": -3}, "height"), ({"width": 64.5}, "width"),
    ({"height": 100_000}, "height"), ({"horizontal_fov": math.pi}, "horizontal_fov"),
    ({"horizontal_fov": math.nan}, "horizontal_fov"), ({"tilt": 2.0}, "tilt"),
    ({"position": (0.0, math.inf, 0.0)}, "position"), ({"position": (0.0, 0.0)}, "position")])
def test_bad_geometry_is_named(arguments, says):
    """One sentence with the parameter, what was found and what was expected."""
    with pytest.raises(LnnError, match=rf"camera {says} is .*expected"):
        CameraGeometry(**arguments)


@pytest.mark.parametrize(("change", "says"), [
    ({"solids": (solid("flat", Shape.BOX, (0, 0, 1), (1.0, 0.0, 1.0)),)}, "solid 'flat' has size"),
    ({"ground": dataclasses.replace(GREY, scale=0.0)}, "scale"),
    ({"light": dataclasses.replace(SUN, direction=(1.0, 0.0, -0.1))}, "light direction"),
    ({"light": dataclasses.replace(SUN, fog=0.0)}, "light fog")])
def test_bad_worlds_are_named(change, says):
    """A world that cannot be drawn is refused when the renderer is made."""
    with pytest.raises(LnnError, match=rf"{says}.*expected"):
        Renderer(dataclasses.replace(FOREST, **change))


def test_bad_calls_are_named():
    """Samples, poses and buffers that cannot be used."""
    with pytest.raises(LnnError, match="samples is 3, expected 1 or 4"):
        Renderer(FOREST, samples=3)
    renderer = Renderer(FOREST, vehicles=1)
    with pytest.raises(LnnError, match="position"):
        renderer.render((0.0, math.nan, 1.0), LEVEL)
    with pytest.raises(LnnError, match="rotation"):
        renderer.render(AHEAD, np.eye(2))
    with pytest.raises(LnnError, match="vehicle rotation"):
        renderer.render(AHEAD, LEVEL, vehicles=[(AHEAD, np.full((3, 3), np.inf))])
    with pytest.raises(LnnError, match="2 vehicles are to be drawn, expected at most 1"):
        renderer.render(AHEAD, LEVEL, vehicles=[(AHEAD, LEVEL)] * 2)
    for out in (np.empty((48, 64), np.uint8), np.empty((48, 64, 3))):
        with pytest.raises(LnnError, match="out is"):
            renderer.render(AHEAD, LEVEL, out=out)
