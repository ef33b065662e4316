"""What is left of a frame, by every effect that hides: solids count as much as they can be told."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lnn_ros.simulation.camera import CameraGeometry, Renderer
from lnn_ros.simulation.shifts import Shift
from lnn_ros.simulation.sight import Sight
from lnn_ros.simulation.simulator import Simulator, SimulatorOptions, Truth
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

TASK = Task.load("fly_to_target")
CAMERA = CameraGeometry()
WORLD = make_world(300_000, TASK)
TARGET = next(k for k, s in enumerate(WORLD.solids) if s is WORLD.target)
ALONE = replace(WORLD, solids=(WORLD.target,))


def before(distance, stamp_ns=0):
    """A vehicle that looks at the target from so far away, metres."""
    x, y, _ = WORLD.target.position
    return Truth(stamp_ns, np.array([x - distance, y, 1.2]), np.eye(3), np.zeros(3), np.zeros(3),
                 0.0)


def told(distance, *shifts, stamp_ns=0):
    """How much a frame from there tells of the target, when nothing else is there."""
    return Sight(ALONE, CAMERA, shifts).told(before(distance, stamp_ns))[0]


def test_a_clear_frame_tells_of_every_pixel():
    truth = Simulator(WORLD, SimulatorOptions(render=False), task=TASK).truth
    index, _ = Renderer(WORLD, CAMERA, samples=1).cast(truth.position, truth.rotation)
    pixels = np.bincount(index[index >= 0], minlength=len(WORLD.solids))
    np.testing.assert_array_equal(Sight(WORLD, CAMERA).told(truth), pixels)
    other = Sight(WORLD, CAMERA, [Shift("wind", 6.0), Shift("autumn", 1.0), Shift("behind", 90.0)])
    np.testing.assert_array_equal(other.told(truth), pixels)
    assert np.count_nonzero(pixels) > 5


@pytest.mark.parametrize(("kind", "weak", "strong"), [
    ("noise", 0.02, 0.4), ("blur", 0.3, 15.0), ("dusk", 0.3, 0.99),
    ("fog", 0.05, 10.0), ("dirt", 0.001, 0.95)])
def test_the_stronger_an_effect_the_less_is_told(kind, weak, strong):
    clear = told(12.0)
    assert clear > 5
    some, little = told(12.0, Shift(kind, weak)), told(12.0, Shift(kind, strong))
    assert little < 0.2 * clear < 0.6 * clear < some <= clear


def test_noise_leaves_what_is_near():
    noise = Shift("noise", 0.15)
    assert told(14.0, noise) < 3.0 < told(4.0, noise)


def test_what_dirt_covers_is_not_told_and_the_rest_is():
    dirt = Shift("dirt", 0.3)
    frame = dirt.frame(np.full((48, 64, 3), 200, np.uint8), WORLD.seed, 0)
    free = (frame == 200).all(-1)
    truth = Simulator(WORLD, SimulatorOptions(render=False), task=TASK).truth
    index, _ = Renderer(WORLD, CAMERA, samples=1).cast(truth.position, truth.rotation)
    clean = np.bincount(index[(index >= 0) & free], minlength=len(WORLD.solids))
    np.testing.assert_array_equal(Sight(WORLD, CAMERA, [dirt]).told(truth), clean)
    whole = np.bincount(index[index >= 0], minlength=len(WORLD.solids))
    assert (clean < whole).sum() > 3 and clean.sum() > 0.5 * whole.sum()


def test_glare_hides_what_is_near_the_sun():
    truth = before(1.0)  # it fills much of the picture
    clear, veiled = (Sight(ALONE, CAMERA, s).told(truth)[0] for s in ([], [Shift("glare", 0.99)]))
    assert 0.5 * clear < veiled < 0.99 * clear


def test_exposure_that_errs_hides_only_what_is_outshone():
    """Frame by frame: where nothing is saturated, all is told."""
    flicker = Shift("flicker", 1.5)
    found = [told(6.0, flicker, stamp_ns=k) for k in range(40)]
    assert max(found) == told(6.0) and min(found) < 0.2 * told(6.0)


def test_dirt_with_flicker_is_not_taken_for_noise():
    dirt, flicker = Shift("dirt", 0.2), Shift("flicker", 0.1)
    truth = before(3.0)
    alone, both = (Sight(ALONE, CAMERA, s).told(truth)[0] for s in ([dirt], [dirt, flicker]))
    assert both == pytest.approx(alone) and math.isfinite(both)
