"""A run folder becomes numbers, pictures and a film; the constructed flight says which numbers."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from synthetic_run import CAMERA_AGE_S, CLEARANCE, REAL_TIME_FACTOR, SECONDS, SEED, SPEED, write_run

from lnn_ros.errors import LnnError
from lnn_ros.learning import figures
from lnn_ros.learning.chase import chase, gaps
from lnn_ros.learning.report import main, make_report, summarize
from lnn_ros.learning.run_folder import read_run
from lnn_ros.learning.video import FRAME_RATE, SIZE, draw_film, draw_still, film_size, shots
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.world import Role, Shape, Solid, distance_to
from lnn_ros.simulation.worlds import make_world

POST_S = 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with its full report."""
    folder = tmp_path_factory.mktemp("run")
    write_run(folder, post_s=POST_S)
    make_report(folder, about={"command": "lnn_ros demo"})
    return folder


def test_a_report_follows_a_target_that_walks(tmp_path: Path) -> None:
    seconds = 9.0
    write_run(tmp_path, outcome="timeout", seconds=seconds, post_s=0.0, task="follow_target")
    run = read_run(tmp_path)
    world = run.world
    assert world.walk is not None
    x, y, _ = world.target_at(seconds)
    assert math.dist((x, y), world.target.position[:2]) > 1.0
    assert run.distance[-1] == pytest.approx(
        math.dist((x, y), run.position[-1, :2]) - world.target.size[0], abs=1e-6)
    figures.draw_trajectory(run, tmp_path / "way.png")
    assert "lost the target for too long" in figures.headline(run)
    plan = shots(run)
    assert plan[0].at_s == 0.0 and plan[-1].at_s == pytest.approx(seconds, abs=0.1)
    draw_still(run, plan, tmp_path / "still.png")
    assert max(np.asarray(Image.open(tmp_path / "still.png")).std((0, 1))) > 5.0


def test_summary_has_the_numbers_of_the_constructed_flight(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    world = make_world(SEED, Task.load("fly_to_target"))
    away = math.dist(world.start[:2], world.target.position[:2]) - world.target.size[0]

    assert summary["outcome"] == "arrived"
    assert summary["arrived"] is True
    assert summary["seed"] == SEED
    assert summary["time_s"] == SECONDS
    assert summary["path_length_m"] == pytest.approx(SPEED * SECONDS, abs=1e-3)
    assert summary["path_over_straight_line"] == pytest.approx(1.0, abs=1e-3)
    assert summary["distance_at_start_m"] == pytest.approx(away, abs=2e-3)
    assert summary["distance_at_end_m"] == pytest.approx(away - SPEED * SECONDS, abs=2e-3)
    assert summary["min_clearance_m"] == pytest.approx(CLEARANCE, abs=1e-3)
    assert summary["max_speed_m_s"] == pytest.approx(SPEED)
    assert summary["rates_hz"] == {"image": 20.0, "imu": 200.0, "cmd_vel": 25.0}
    # As often as the rates say: what the vehicle is told is not counted with it.
    assert summary["messages"]["cmd_vel"] == pytest.approx(
        summary["messages"]["imu"] * 25.0 / 200.0, abs=1.0)
    assert summary["messages"]["imu"] == round((SECONDS + POST_S) * 200) + 1
    assert summary["sample_age_ms"]["camera"]["p99"] == pytest.approx(1e3 * CAMERA_AGE_S)
    assert summary["real_time_factor"] == pytest.approx(REAL_TIME_FACTOR, rel=1e-3)
    assert summary["counters"] == {"camera.late": 2.0}
    assert summary["policy"] == {"file": "fly_to_target", "digest": "abc123"}
    assert summary["run"] == {"command": "lnn_ros demo"}


def test_film_plays_in_real_time_and_shows_the_onboard_frames(folder: Path) -> None:
    with av.open(str(folder / "flight.mp4")) as film:
        stream = film.streams.video[0]
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        codec, pixels = stream.codec_context.name, stream.codec_context.pix_fmt
        seconds = float(stream.duration * stream.time_base)
    assert codec == "h264"
    assert pixels == "yuv420p"
    assert len(pictures) == round((SECONDS + POST_S) * FRAME_RATE) + 1
    assert seconds == pytest.approx(SECONDS + POST_S, abs=1.5 / FRAME_RATE)
    assert pictures[0].shape == (SIZE[1], SIZE[0], 3)

    run = read_run(folder)
    for number in (0, len(pictures) // 2):  # the frames change, the inset must keep up
        at = run.start_ns + number * 1_000_000_000 // FRAME_RATE
        index = run.frames.latest(at)
        assert index is not None
        shown = pictures[number][-60, -60].astype(float)
        np.testing.assert_allclose(shown, run.frames.value[index][20, 40], atol=25)
    assert np.abs(pictures[0].astype(float) - pictures[-1]).mean() > 5.0


def test_interrupted_film_leaves_no_file(folder: Path, tmp_path: Path) -> None:
    def interrupt(done: int, of: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    run = read_run(folder)
    with pytest.raises(KeyboardInterrupt):
        draw_film(run, shots(run), tmp_path / "film.mp4", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_pictures_are_drawn(folder: Path) -> None:
    for name in ("trajectory.png", "timeline.png", "flight.png"):
        with Image.open(folder / name) as picture:
            assert picture.width >= 600
            assert np.asarray(picture.convert("L")).std() > 10.0, f"{name} is blank"


def test_report_is_made_again_from_the_bag_alone(folder: Path, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(folder / "bag", tmp_path / "bag")
    shutil.copy(folder / "summary.json", tmp_path)
    assert main([str(tmp_path), "--no-video"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((folder / "summary.json").read_text())
    assert (tmp_path / "trajectory.png").is_file()
    assert not (tmp_path / "flight.mp4").exists()


def test_namespace_does_not_matter(tmp_path: Path) -> None:
    write_run(tmp_path, namespace="/robots/drone1", seconds=0.5)
    run = read_run(tmp_path)
    assert len(run.frames) == 21
    assert run.status["seed"] == str(SEED)


@pytest.mark.parametrize("outcome", ["contact", "timeout", "flying"])
def test_other_outcomes_are_told(tmp_path: Path, outcome: str) -> None:
    write_run(tmp_path, outcome=outcome, seconds=0.5)
    summary = summarize(read_run(tmp_path))
    assert summary["outcome"] == outcome
    assert summary["arrived"] is False


def test_folder_without_a_bag_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_bag_without_its_end_is_named(tmp_path: Path) -> None:
    write_run(tmp_path, seconds=0.5)
    bag = next((tmp_path / "bag").glob("*.mcap"))
    bag.write_bytes(bag.read_bytes()[: bag.stat().st_size // 2])
    with pytest.raises(LnnError, match="cannot be read"):
        read_run(tmp_path)


def test_film_camera_avoids_what_stands_where_it_would_be() -> None:
    world = make_world(SEED, Task.load("fly_to_target"))
    way = np.stack([np.linspace(0.0, 6.0, 60), np.zeros(60), np.full(60, 1.3)], axis=-1)
    wood = world.solids[0].material
    trees = tuple(Solid(f"tree_{k}", Role.TREE, Shape.CYLINDER, (x, 0.1, 2.0), (0.4, 0.4, 2.0),
                        0.0, wood) for k, x in enumerate((-2.1, 1.5, 4.0)))
    free, _ = chase(way, np.zeros(60), 10.0, ())
    assert gaps(free, trees).min() < 0.0  # right behind the vehicle is inside a tree

    eye, view = chase(way, np.zeros(60), 10.0, trees)
    assert gaps(eye, trees).min() > 0.1
    away = np.linalg.norm(eye - way, axis=1)
    assert away.max() < 3.5
    ahead = np.einsum("ni,ni->n", view[:, :, 0], (way - eye) / away[:, None])
    assert np.degrees(np.arccos(ahead)).max() < 35.0  # inside a field of view of 75 degrees
    assert np.abs(np.diff(eye, axis=0)).max() < 0.5  # no jumps
    np.testing.assert_allclose(np.linalg.det(view), 1.0)


def test_gaps_are_the_worlds_distances() -> None:
    world = make_world(SEED, Task.load("fly_to_target"))
    points = np.random.default_rng(0).uniform((-5, -10, 0), (10, 5, 5), (50, 3))
    expected = [min(distance_to(s, tuple(p)) for s in world.solids) for p in points]
    np.testing.assert_allclose(gaps(points, world.solids), expected, atol=1e-9)


@given(st.integers(1, 2000))
def test_film_keeps_its_shape_and_its_work_within_bounds(pictures: int) -> None:
    width, height = film_size(pictures)
    assert width * 9 == height * 16
    assert width % 2 == height % 2 == 0  # yuv420p
    assert pictures * width * height <= 20 * FRAME_RATE * SIZE[0] * SIZE[1]
    if pictures <= 20 * FRAME_RATE:
        assert (width, height) == SIZE
