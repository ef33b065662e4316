"""The simulated camera's light: patterns, shadows, fog, vehicles, and the same bytes everywhere."""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scenes import AHEAD, CENTRED, FOREST, LEVEL, SUN, forest_digest, rotation, solid, world_of

from lnn_ros.simulation.camera import Renderer
from lnn_ros.simulation.world import Material, Pattern, Role, Shape


def test_same_bytes_again():
    """Neither the pose before nor another renderer leaves a trace."""
    renderer = Renderer(FOREST)
    first = renderer.render(AHEAD, LEVEL)
    renderer.render((3.0, 1.0, 1.0), rotation(2.0, 0.2, 0.3))
    out = np.full(first.shape, 77, np.uint8)
    assert renderer.render(AHEAD, LEVEL, out=out) is out
    np.testing.assert_array_equal(out, first)
    np.testing.assert_array_equal(Renderer(FOREST).render(AHEAD, LEVEL), first)


def test_same_bytes_when_compiled_for_another_cpu(tmp_path):
    """Neither vector units nor fused multiply-add may show in a picture."""
    here = Path(__file__)
    code = "import scenes; print(scenes.forest_digest())"
    environment = {**os.environ, "NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "",
                   "NUMBA_CACHE_DIR": str(tmp_path),
                   "PYTHONPATH": os.pathsep.join([str(here.parent), str(here.parents[2])])}
    plain = subprocess.run([sys.executable, "-c", code], env=environment, check=True, text=True,
                           capture_output=True).stdout
    assert plain.strip() == forest_digest()


def test_textures_come_from_the_seed():
    """Another seed changes the picture, but nothing of what is where."""
    other = dataclasses.replace(FOREST, seed=2)
    one, two = Renderer(FOREST), Renderer(other)
    assert (one.render(AHEAD, LEVEL) != two.render(AHEAD, LEVEL)).mean() > 0.3
    np.testing.assert_array_equal(one.cast(AHEAD, LEVEL)[0], two.cast(AHEAD, LEVEL)[0])


@pytest.mark.parametrize("shape", list(Shape))
@pytest.mark.parametrize("pattern", [Pattern.NOISE, Pattern.STRIPES, Pattern.CHECKER])
def test_patterns_mix_both_colours(shape, pattern):
    """From the side and from above, every pattern shows red and green on every shape."""
    material = Material(pattern, (0.8, 0.0, 0.0), (0.0, 0.8, 0.0), 0.3)
    world = world_of(solid("body", shape, (3.0, 0.0, 1.5), (1.0, 1.0, 1.0), 0.4, material,
                           Role.TARGET))
    renderer = Renderer(world, CENTRED)
    for pose in ((AHEAD, LEVEL), ((3.0, 0.1, 5.0), rotation(0.3, 1.5, 0.0))):
        seen = renderer.render(*pose)[renderer.target_mask(*pose)].astype(int)
        assert (seen[:, 0] > seen[:, 1] + 20).mean() > 0.1
        assert (seen[:, 1] > seen[:, 0] + 20).mean() > 0.1


def test_a_body_throws_a_shadow_away_from_the_sun():
    """The sun is at the left (+y) and above: the ground right of a wall is darker, left is not."""
    high = solid("slab", Shape.BOX, (6.0, 0.0, 3.0), (1.0, 1.0, 0.1))
    bare, shaded = Renderer(world_of(), CENTRED), Renderer(world_of(high), CENTRED)
    # Straight down from below the slab; its shadow's middle is 3 m * 0.6 / 0.8 to the right.
    down = rotation(0.0, math.pi / 2, 0.0)
    for y, darker in ((-3.0 * 0.75, True), (3.0 * 0.75, False), (-3.0 * 0.75 - 1.5, False)):
        without = bare.render((6.0, y, 2.0), down)[24, 32].astype(float)
        under = shaded.render((6.0, y, 2.0), down)[24, 32].astype(float)
        if darker:
            assert (under < 0.7 * without).all()
        else:
            np.testing.assert_allclose(under, without, rtol=0.03)  # less of the sky


def test_bodies_shade_bodies_and_themselves():
    """A roof darkens a pillar's sunny side, which is brighter than the other without it."""
    pillar = solid("pillar", Shape.CYLINDER, (4.0, 0.0, 1.5), (0.7, 0.7, 1.5), role=Role.TARGET)
    roof = solid("roof", Shape.BOX, (4.0, 4.5, 7.0), (3.0, 3.0, 0.1))
    free, covered = (Renderer(world_of(*s), CENTRED) for s in ((pillar,), (pillar, roof)))
    mask = free.target_mask(AHEAD, LEVEL)
    bright = free.render(AHEAD, LEVEL)[..., 0].astype(float)
    dark = covered.render(AHEAD, LEVEL)[..., 0].astype(float)
    columns = np.flatnonzero(mask.any(axis=0))
    left, right = bright[24, columns[1]], bright[24, columns[-2]]
    assert left > 1.3 * right  # the sun stands at the left
    assert dark[24, columns[1]] < 0.75 * left
    assert abs(dark[24, columns[-2]] - right) < 2.0


def test_a_lit_flat_top_has_no_shadow_of_its_own():
    """The bias of the shadow map keeps a sunny surface evenly lit, and as bright as the ground."""
    table = solid("table", Shape.BOX, (3.0, 0.0, 0.5), (2.0, 2.0, 0.5), role=Role.TARGET)
    down = rotation(0.0, math.pi / 2, 0.0)
    seen = Renderer(world_of(table), CENTRED).render((3.0, 0.0, 2.0), down)
    ground = Renderer(world_of(), CENTRED).render((3.0, 0.0, 2.0), down)
    np.testing.assert_allclose(seen.astype(int), ground.astype(int), atol=1)


def test_own_body_is_hidden_and_a_chased_one_is_seen():
    """Only a renderer made for it draws a vehicle, where the vehicle is, with its shadow."""
    pose = (3.0, 0.0, 1.5), rotation(0.4, 0.2, -0.3)
    onboard, chase = Renderer(FOREST, CENTRED), Renderer(FOREST, CENTRED, vehicles=1)
    without = onboard.render(AHEAD, LEVEL)
    with_vehicle = chase.render(AHEAD, LEVEL, vehicles=[pose])
    np.testing.assert_array_equal(chase.render(AHEAD, LEVEL), without)
    rows, columns = np.nonzero((with_vehicle != without).any(axis=-1))
    near = (abs(rows - 24) < 8) & (abs(columns - 32) < 8)
    assert near.sum() > 10
    # What has changed elsewhere is the shadow: on the ground, darker.
    assert (with_vehicle[rows[~near], columns[~near]] <= without[rows[~near], columns[~near]]).all()


def test_two_vehicles_are_two_pictures_of_one():
    """Far apart, each is drawn as if it were alone."""
    poses = [((3.0, y, 1.5), rotation(0.4, 0.2, -0.3)) for y in (1.2, -1.2)]
    renderer = Renderer(world_of(), CENTRED, vehicles=2)
    none, left, right, both = (
        renderer.render(AHEAD, LEVEL, vehicles=drawn).astype(int)
        for drawn in ([], poses[:1], poses[1:], poses))
    assert (left != none).any() and (right != none).any()
    np.testing.assert_array_equal(both - none, (left - none) + (right - none))


def test_the_vehicle_throws_a_shadow():
    """Straight below it, displaced away from the sun."""
    chase = Renderer(world_of(), CENTRED, vehicles=1)
    down = rotation(0.0, math.pi / 2, 0.0)
    pose = (0.0, 0.75, 4.0), LEVEL
    without = chase.render((0.0, -2.25, 3.0), down).astype(int)
    shaded = chase.render((0.0, -2.25, 3.0), down, vehicles=[pose]).astype(int)
    assert (shaded[22:27, 30:35] < 0.8 * without[22:27, 30:35]).any()
    assert np.array_equal(shaded[:, :16], without[:, :16])


def test_fog_turns_what_is_far_into_the_horizon():
    """At the fog's distance half of the colour, in linear light, is the horizon's."""
    light = dataclasses.replace(SUN, sun=0.0, ambient=0.0, horizon=(0.6, 0.4, 0.2), fog=20.0)
    wall = solid("wall", Shape.BOX, (20.5, 0.0, 5.0), (0.5, 50.0, 50.0))
    picture = Renderer(world_of(wall, light=light), CENTRED, 1).render((0.0, 0.0, 1.5), LEVEL)
    expected = 255.0 * np.sqrt(0.5 * np.square((0.6, 0.4, 0.2)))
    np.testing.assert_allclose(picture[23, 32], expected, atol=1.5)
