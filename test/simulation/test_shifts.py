"""Shifts: each changes what it says on a picture, to every policy the same, and nothing else."""

import math
from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest

from lnn_ros.errors import LnnError
from lnn_ros.resources import share_path
from lnn_ros.simulation.camera import CameraGeometry, Renderer
from lnn_ros.simulation.conditions import shifted as shifted_options
from lnn_ros.simulation.mujoco_camera import MujocoRenderer
from lnn_ros.simulation.physics import Wind
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.shifts import KINDS, Shift
from lnn_ros.simulation.simulator import Simulator, SimulatorOptions
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.world import Role, Shape, distance_to
from lnn_ros.simulation.worlds import make_world

TASK = Task.load("fly_to_target")
WORLD = make_world(300_000, TASK)
EYE = np.eye(3)
RENDERER = Renderer(WORLD, samples=1)
PICTURE = RENDERER.render(WORLD.start, EYE)
FRAMES = [name for name, kind in KINDS.items() if kind.frame is not None]
STRENGTHS = {"noise": "0.1", "blur": "3", "dusk": "0.5", "glare": "0.5", "fog": "0.3",
             "dirt": "0.3", "tilt": "15", "field_of_view": "120", "flicker": "0.4", "autumn": "0.8",
             "winter": "0.8", "wind": "2", "gusts": "1.5", "imu_bias": "0.1",
             "drift": "0.5", "distractors": "30", "clutter": "2", "stones": "1", "range": "2",
             "behind": "150", "renderer": "1"}  # fmt: skip
SEEN = [name for name, kind in KINDS.items() if kind.frame or kind.world or kind.geometry]


def shifted(text, seed=7, stamp_ns=10**9, picture=PICTURE):
    """The picture as the shifted camera delivers it, in 0 to 1."""
    shift = Shift.parse(text)
    if KINDS[shift.kind].frame is None:
        geometry = shift.geometry(CameraGeometry())
        picture = Renderer(shift.world(WORLD), geometry, samples=1).render(WORLD.start, EYE)
    return shift.frame(picture, seed, stamp_ns) / 255.0


def roughness(picture):
    return np.abs(np.diff(picture, axis=1)).mean()


def test_every_family_is_tested_here():
    assert set(STRENGTHS) == set(KINDS)


def test_noise_has_its_standard_deviation_and_is_new_in_every_frame():
    grey = np.full((48, 64, 3), 128, np.uint8)
    noisy = shifted("noise:0.1", picture=grey)
    assert noisy.std() == pytest.approx(0.1, rel=0.03)
    assert noisy.mean() == pytest.approx(128 / 255, abs=0.005)
    other = shifted("noise:0.1", picture=grey, stamp_ns=10**9 + 1)
    assert abs(np.corrcoef(noisy.ravel(), other.ravel())[0, 1]) < 0.05


def test_blur_keeps_the_light_and_takes_the_edges():
    plain = PICTURE / 255.0
    rough = [roughness(plain), *(roughness(shifted(f"blur:{s}")) for s in (1, 3, 6))]
    assert (np.diff(rough) < 0).all() and rough[-1] < 0.35 * rough[0]
    assert shifted("blur:3").mean() == pytest.approx(plain.mean(), abs=0.02)
    point = np.zeros((49, 65, 3), np.uint8)
    point[24, 32] = 255
    spot = shifted("blur:2", picture=point)[..., 0]
    assert spot[24, 34] / spot[24, 32] == pytest.approx(math.exp(-0.5), rel=0.15)


def test_dusk_takes_light_red_first():
    plain, dark = PICTURE / 255.0, shifted("dusk:0.5")
    left = dark.mean((0, 1)) / plain.mean((0, 1))
    assert left[1] == pytest.approx(0.5, abs=0.01) and left[0] < left[1] < left[2]


def test_glare_lightens_everything_and_takes_contrast():
    plain, bright = PICTURE / 255.0, shifted("glare:0.5")
    assert (bright >= plain - 0.003).all() and bright.mean() > plain.mean() + 0.1
    assert bright.std() < plain.std()
    assert (shifted("glare:0.5", stamp_ns=5) == bright).all(), "the sun stays where it is"
    assert (shifted("glare:0.5", seed=8) != bright).any()


def test_fog_hides_what_is_far():
    thick = shifted("fog:0.3")
    assert roughness(thick) < 0.6 * roughness(PICTURE / 255.0)
    assert (shifted("fog:0.001") == PICTURE / 255.0).all(), "there is as much already"


def test_dirt_covers_its_share_and_nothing_else():
    dirty = shifted("dirt:0.3")
    touched = (dirty != PICTURE / 255.0).any(-1)
    assert 0.28 < touched.mean() < 0.42 and dirty[touched].mean() < 0.06
    assert (shifted("dirt:0.3", stamp_ns=5) == dirty).all(), "it stays where it is"


def test_flicker_changes_all_pixels_alike_and_every_frame_otherwise():
    grey = np.full((48, 64, 3), 100, np.uint8)
    gains = np.array([shifted("flicker:0.3", stamp_ns=n, picture=grey) for n in range(300)]) * 2.55
    assert (np.ptp(gains, axis=(1, 2, 3)) == 0).all()
    logs = np.log(gains[:, 0, 0, 0])
    assert logs.std() == pytest.approx(0.3, rel=0.1) and abs(logs.mean()) < 0.06


def test_autumn_is_red_winter_white_and_the_target_what_it_was():
    plain, mask = PICTURE / 255.0, RENDERER.target_mask(WORLD.start, EYE)
    index, _ = RENDERER.cast(WORLD.start, EYE)
    ground = index == -1
    for text in ("autumn:0.8", "winter:0.8"):
        changed = shifted(text)
        np.testing.assert_array_equal(changed[mask], plain[mask])
        np.testing.assert_array_equal(changed[index == -2], plain[index == -2])  # the sky
    red, white = shifted("autumn:0.8")[ground], shifted("winter:0.8")[ground]
    assert red[:, 0].mean() > 1.5 * red[:, 2].mean()
    assert white.mean() > plain[ground].mean() + 0.15 and np.ptp(white.mean(0)) < 0.2
    winter = Shift.parse("winter:1").world(WORLD)
    for before, after in zip(WORLD.solids, winter.solids, strict=True):
        snow = after is not before
        assert snow is (before.role in (Role.TREE, Role.PILLAR, Role.WALL))
        if snow:
            half = (np.array(before.material.color) + np.array((0.95, 0.96, 0.98))) / 2
            np.testing.assert_allclose(after.material.color, half)


def test_a_tilted_camera_sees_lower():
    level, down = CameraGeometry(), Shift.parse("tilt:15").geometry(CameraGeometry())
    assert down.tilt == pytest.approx(math.radians(15)) and level.tilt == 0.0
    index, _ = Renderer(WORLD, down, samples=1).cast(WORLD.start, EYE)
    before, _ = RENDERER.cast(WORLD.start, EYE)
    assert (index == -2).mean() < (before == -2).mean(), "less sky"


def test_a_wider_lens_shows_the_target_smaller():
    from_start, usual = (WORLD.start, _facing(WORLD)), CameraGeometry()
    seen = [
        Renderer(WORLD, Shift.parse(f"field_of_view:{angle}").geometry(usual), samples=1)
        .target_mask(*from_start)
        .sum()
        for angle in (40, 80, 130)
    ]
    assert seen[0] > 2 * seen[1] and seen[1] > 2 * seen[2] > 0


def _facing(world):
    x, y = world.target.position[:2]
    yaw = math.atan2(y - world.start[1], x - world.start[0])
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def test_more_distractors_and_clutter_leave_everything_else_where_it_was():
    for text, role in (("distractors:30", Role.DISTRACTOR), ("clutter:2", None)):
        shift = Shift.parse(text)
        world = make_world(WORLD.seed, TASK, [shift])
        assert world == make_world(WORLD.seed, TASK, [shift])
        before, more = world.solids[:len(WORLD.solids)], world.solids[len(WORLD.solids):]
        assert before == WORLD.solids and world.start_yaw == WORLD.start_yaw
        assert 25 <= len({s.name.split("_")[1] for s in more}) <= 60
        assert len({s.name for s in world.solids}) == len(world.solids)
        if role:
            assert {s.role for s in more} == {role}
        gap = 0.3 if role else TASK.scene.obstacles.gap
        for solid in more:
            if solid.role is Role.TREE and solid.shape is Shape.ELLIPSOID:
                continue  # a crown hangs over what is below
            place = (*solid.position[:2], 1.0)
            assert distance_to(world.target, place) > 1.0
            for other in before:
                if other.role is not Role.TREE or other.shape is not Shape.ELLIPSOID:
                    reach = min(solid.size[:2])
                    assert distance_to(other, (*place[:2], other.position[2])) > reach + gap - 0.3


def test_stones_stand_where_something_stood_and_nothing_else_changes():
    world = make_world(WORLD.seed, TASK, [Shift.parse("stones:1")])
    kept = [s for s in WORLD.solids if s.role in (Role.TARGET, Role.DISTRACTOR)]
    assert [s for s in world.solids if s.role is not Role.PILLAR] == kept
    stones = [s for s in world.solids if s.role is Role.PILLAR]
    assert {s.shape for s in stones} == {Shape.ELLIPSOID, Shape.BOX}
    for stone in stones:
        x, y, z = stone.position
        assert any(distance_to(s, (x, y, s.position[2])) < 1e-9 for s in WORLD.solids)
        assert z + stone.size[2] > 1.6, "as high as the vehicle flies"
    assert make_world(WORLD.seed, TASK, [Shift.parse("stones:0")]) == WORLD


def test_twice_the_range_is_twice_as_far_but_never_out_of_sight():
    far = []
    for seed in range(300_000, 300_040):
        before = make_world(seed, TASK)
        world = make_world(seed, TASK, [Shift.parse("range:2")])
        distance, usual = (math.hypot(*w.target.position[:2]) for w in (world, before))
        assert 16.0 <= distance <= 26.2 and distance <= 2 * usual + 1e-9
        far.append((distance, world))
    world = max(far, key=lambda one: one[0])[1]
    bare = replace(world, solids=(world.target,))
    mask = Renderer(bare, CameraGeometry(1024, 768)).target_mask(bare.start, _facing(bare))
    assert mask.sum() / 256 >= 2.9, "pixels of the camera of 64x48"
    sim = Simulator(world, shifted_options("range:2"), task=TASK)
    assert sim.task.success.time_limit == 2 * TASK.success.time_limit


@pytest.mark.parametrize("seed", range(300_000, 300_010))
def test_a_target_behind_is_not_in_the_first_frame(seed):
    usual, world = make_world(seed, TASK), make_world(seed, TASK, [Shift.parse("behind:150")])
    assert replace(world, start_yaw=usual.start_yaw) == usual
    x, y = world.target.position[:2]
    off = abs(math.remainder(math.atan2(y, x) - world.start_yaw, 2 * math.pi))
    assert math.radians(120) <= off <= math.pi


def test_the_other_renderer_shows_the_same_things_in_the_same_places():
    shift, pose = Shift.parse("renderer:1"), (WORLD.start, _facing(WORLD))
    assert shift.renderer and not Shift.parse("fog:0.1").renderer
    geometry = CameraGeometry(320, 240)
    other = without = None
    try:
        other = MujocoRenderer(WORLD, geometry)
    except LnnError as error:
        without = str(error)
    if other is None:  # a machine without OpenGL is told what it lacks
        assert "needs OpenGL through EGL" in without and "libegl1" in without
        return
    ours = Renderer(WORLD, geometry)
    picture, index = other.render(*pose) / 255.0, ours.cast(*pose)[0]
    red = (picture[..., 0] > 2.0 * picture[..., 1]) & (picture[..., 0] > 2.0 * picture[..., 2])
    mask = ours.target_mask(*pose)
    assert (red & mask).sum() > 0.9 * mask.sum() and (red & ~mask).sum() < 0.05 * mask.sum()
    assert not (other.render(*pose, target=False) / 255.0 == picture).all()
    np.testing.assert_array_equal(other.render(*pose) / 255.0, picture)
    sky, ground = picture[index == -2], picture[index == -1]
    assert sky[:, 2].mean() > ground[:, 2].mean() + 0.1
    images = flown("renderer:1", seconds=0.3)[1]
    assert len(images) and (images[0] != flown("nominal", seconds=0.3)[1][0]).any()


def test_shifts_of_a_forest_need_one():
    task = replace(TASK, scene=None)
    for text in ("clutter:2", "distractors:3", "stones:1", "range:2", "behind:150"):
        shift = Shift.parse(text)
        change = shift.scene if text == "range:2" else partial(shift.build, WORLD)
        with pytest.raises(LnnError, match="expected a task whose scene is a forest"):
            change(task)


@pytest.mark.parametrize("name", SEEN)
def test_a_shift_gives_the_same_to_everyone_and_leaves_its_input_alone(name):
    before = PICTURE.copy()
    text = f"{name}:{STRENGTHS[name]}"
    first, second = shifted(text), shifted(text)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(PICTURE, before)
    assert (first != PICTURE / 255.0).any()
    assert str(Shift.parse(text)) == text
    if name in FRAMES:
        shift = Shift.parse(text)
        assert shift.world(WORLD) is WORLD
        assert shift.geometry(CameraGeometry()) == CameraGeometry() and shift.task(TASK) is TASK


@pytest.mark.parametrize("text, words", [
    ("rain:1", "shift 'rain' found, expected one of noise, blur"),
    ("noise", "strength of shift noise is '', expected a number from 0 to 2"),
    ("noise:x", "strength of shift noise is 'x'"), ("noise:nan", "'nan'"),
    ("dirt:0.96", "expected a number from 0 to 0.95"), ("fog:0", "from 0.001 to 10")])
def test_nonsense_is_refused(text, words):
    with pytest.raises(LnnError, match=words):
        Shift.parse(text)


def flown(text, seconds=4.0, **options):
    """A hover under shifts: the simulator, its pictures, its inertial readings, where it was."""
    sim = Simulator(WORLD, shifted_options(text, SimulatorOptions(samples=1, **options)), task=TASK)
    images, readings, places = [], [], []
    for tick in range(1, int(seconds * 10)):
        for sample in sim.advance(START_NS + tick * 100_000_000):
            (images if sample.stream == "camera" else readings).append(sample.value)
        sim.command(np.zeros(4))
        places.append(sim.position)
    return sim, np.array(images), np.array(readings), np.array(places)


def test_who_flies_sees_what_the_shifted_camera_delivers():
    sim, plain, *_ = flown("nominal", seconds=1.0)
    _, dusky, *_ = flown("dusk:0.5,noise:0.1", seconds=1.0)
    for number, (before, after) in enumerate(zip(plain, dusky, strict=True)):
        stamp = START_NS + number * 50_000_000
        expected = Shift.parse("dusk:0.5").frame(before, WORLD.seed, stamp)
        expected = Shift.parse("noise:0.1").frame(expected, WORLD.seed, stamp)
        np.testing.assert_array_equal(after, expected)
    assert len(plain) > 15 and sim.task == TASK
    tilted, *_ = flown("tilt:15,field_of_view:120", seconds=0.2)
    assert math.degrees(tilted.geometry.tilt) == pytest.approx(15)
    assert math.degrees(tilted.geometry.horizontal_fov) == pytest.approx(120)


def test_what_disturbs_a_flight_is_as_strong_as_said():
    calm = flown("wind:0,gusts:0,drift:0", render=False)
    windy, gusty = (flown(f"{text},drift:0", render=False)
                    for text in ("wind:3,gusts:0", "wind:0,gusts:3"))

    def way(flight):
        return np.linalg.norm(np.diff(flight[3], axis=0), axis=1).sum()

    assert way(windy) > 1.5 * way(calm) and way(gusty) > 1.5 * way(calm)
    drifting = flown("wind:0,gusts:0,drift:1", render=False)
    assert way(drifting) > 1.5 * way(calm)
    biased = flown("imu_bias:0.2,wind:0,gusts:0,drift:0", render=False)
    errors = (biased[2] - calm[2]).mean(0)
    assert 0.02 < np.abs(errors[:3]).max() < 0.8 and 0.2 < np.abs(errors[3:]).max() < 8.0
    assert np.ptp(biased[2] - calm[2], axis=0).max() < 1e-9, "it stays"


def test_shifts_and_conditions_are_named_together():
    options = shifted_options("camera_8hz,fog:0.2,tilt:10")
    assert shifted_options("camera_8hz,drop_25").camera.drop == 0.25
    with pytest.raises(LnnError, match="shifts gusts:1 found beside wind or estimator"):
        replace(shifted_options("gusts:1"), wind=Wind(1.0, 0.0)).validate()
    assert options.camera.rate_hz == 8.0 and [str(s) for s in options.shifts] == ["fog:0.2",
                                                                                  "tilt:10"]
    for text, words in (("fog", "strength of shift fog is ''"), ("", "shift '' found, expected"),
                        ("fog:0.2,", "shift '' found"), ("camera_8hz:2", "shift 'camera_8hz:2'"),
                        ("wind:3,fog:0.2,wind:1", "shifts 'wind:3' and 'wind:1' found, which"),
                        ("nominal,nominal", "shifts 'nominal' and 'nominal' found"),
                        ("blackout,target_occluded", "'blackout' and 'target_occluded' found"),
                        ("latency_100ms,reordered", "change the same: expected one")):
        with pytest.raises(LnnError, match=words):
            shifted_options(text)


def test_standard_strengths_are_the_tasks(tmp_path):
    assert {f.name for f in fields(TASK.shifts)} == set(KINDS)
    for name in KINDS:
        assert Shift.parse(name, TASK) == Shift(name, getattr(TASK.shifts, name))
        assert Shift.parse(f"{name}:{STRENGTHS[name]}", TASK).strength == float(STRENGTHS[name])
    assert shifted_options("fog", task=TASK).shifts == (Shift.parse("fog", TASK),)
    # Who writes a task of his own need not know them; a shift then needs its strength.
    text = share_path("config/tasks/fly_to_target.yaml").read_text(encoding="utf-8")
    own = tmp_path / "own.yaml"
    own.write_text(text[:text.index("\nshifts:")], encoding="utf-8")
    task = Task.load(str(own))
    assert task.shifts.stated == {} and task.disturbances == TASK.disturbances
    with pytest.raises(LnnError, match="strength of shift fog is ''"):
        shifted_options("fog", task=task)
    own.write_text(text.replace("  drift:", "  rain:"), encoding="utf-8")
    with pytest.raises(LnnError, match=r"shifts: missing keys \[\], unknown keys \['rain'\]"):
        Task.load(str(own))


def test_a_task_states_strengths_of_what_means_something_to_it():
    lane = Task.load("lane")
    assert "noise" in lane.shifts.stated and "clutter" not in lane.shifts.stated
    assert Shift.parse("noise", lane).strength == pytest.approx(math.sqrt(0.3), abs=1e-3)
    with pytest.raises(LnnError, match="strength of shift clutter is ''"):
        Shift.parse("clutter", lane)
