"""`lnn_ros calibrate --fit novelty`: statistics of training frames, a level on other flights."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from flights_for_tests import START, arrays, write
from hypothesis import given
from hypothesis import strategies as st
from policies_for_tests import small_checkpoint

from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.learning.novelty import Described, alarms, described, filtered, fit, level_of, moments
from lnn_ros.liquid.checkpoint import load, save
from lnn_ros.liquid.novelty import Novelty, parts
from lnn_ros.pilot import Pilot
from lnn_ros.simulation.seeds import REPORTED

POLICY = small_checkpoint()
SIZE = len(parts(POLICY.spec.encoder))
FEATURES = POLICY.spec.encoder.features


def flights(seeds, count=400, loc=0.0, dt=0.1):
    """Flights of frames that are normally distributed and tell nothing of each other."""
    out = []
    for seed in seeds:
        rows = np.random.default_rng(seed).normal(loc, 1, (count, SIZE)).astype(np.float32)
        out.append(Described(seed, np.arange(count) * dt, rows))
    return out


def test_moments_are_mean_and_covariance_drawn_to_the_diagonal():
    rng = np.random.default_rng(0)
    mix = rng.normal(0, 1, (SIZE, SIZE))
    rows = (rng.normal(0, 1, (4000, SIZE)) @ mix + 3.0).astype(np.float32)
    rows[:, 0] = 1.5  # never moves
    mean, covariance = moments(rows, FEATURES)
    np.testing.assert_allclose(mean[1:], 3.0, atol=0.6)
    plain = np.cov(rows.T)
    off = ~np.eye(SIZE, dtype=bool)
    np.testing.assert_allclose(covariance[off], 0.95 * plain[off], rtol=0.01, atol=1e-6)
    diagonal = np.diag(covariance)
    assert (diagonal >= np.diag(plain) * 0.999).all() and diagonal[0] > 0
    # What never moved gets a small width of its own kind, not of the others.
    assert diagonal[0] == pytest.approx(0.05**2 * np.median(np.diag(plain)[:FEATURES]), rel=0.01)
    Novelty(parts(POLICY.spec.encoder), mean.astype(np.float32), covariance.astype(np.float32),
            0.0, 1.0, 1.0)  # fmt: skip


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=30), min_size=1, max_size=5),
       st.integers(0, 5))
def test_the_level_allows_so_many_alarms_and_not_one_further_down(values, most):
    courses = [np.array(v, float) for v in values]
    level = level_of(courses, most)
    assert sum(alarms(c, level) for c in courses) <= most
    # Where a course is no lower than before and after: a level between two hills says no more.
    hills = {v[k] for v in values for k in range(len(v))
             if v[k] >= max(v[max(k - 1, 0):k + 2])}  # fmt: skip
    lower = [hill for hill in hills if hill < level]
    assert level in hills
    assert not lower or sum(alarms(c, max(lower)) for c in courses) > most


def test_alarms_are_upward_crossings():
    assert alarms([0, 2, 2, 0, 2], 1) == 2 and alarms([2, 2], 1) == 1 and alarms([1, 0], 1) == 0


def test_it_is_filtered_as_in_flight():
    rng = np.random.default_rng(0)
    judge = fit(POLICY, flights([1]), flights([100], count=20_000))[0]
    pilot = Pilot(small_checkpoint_with(judge))
    shape = pilot.frame_shape
    frames = rng.integers(0, 256, (12, *shape), dtype=np.uint8)
    stamps = 10**9 + np.cumsum(rng.integers(20, 40, 12)) * 10**6
    scores = []
    for stamp, frame in zip(stamps.tolist(), frames, strict=True):
        pilot.observe("camera", stamp, frame)
        plain = Pilot(small_checkpoint_with(judge, memory=1e-3))
        plain.observe("camera", stamp, frame)
        scores.append(plain.novelty(stamp))
    course = filtered(scores, stamps * 1e-9, judge.memory, POLICY.spec.first_interval)
    assert pilot.novelty(int(stamps[-1])) == pytest.approx(course[-1], rel=1e-6)


def small_checkpoint_with(judge, memory=None):
    return replace(POLICY, novelty=judge if memory is None else replace(judge, memory=memory))


def test_what_is_fitted_means_what_it_says():
    training, validation = flights(range(20)), flights(range(100, 130), count=2000)
    judge, found = fit(POLICY, training, validation, alarm_s=1000.0, memory=0.5)
    # Frames like those of the training are as usual, ...
    scores = [judge.of(row) for row in flights([200])[0].frames]
    assert np.mean(scores) == pytest.approx(0.0, abs=0.1)
    # ... and reach 1 as often as was allowed: 5 alarms in 5,997 s.
    assert found["validation"]["alarms"] == 5 and found["validation"]["minutes"] == 99.95
    others = flights(range(300, 330), count=2000)
    courses = [filtered([judge.of(r) for r in f.frames], f.stamps, 0.5, 0.1) for f in others]
    assert 1 <= sum(alarms(course, 1.0) for course in courses) <= 20
    # Others do so at once and stay there.
    far = flights([400], loc=2.0)[0]
    course = filtered([judge.of(row) for row in far.frames], far.stamps, 0.5, 0.1)
    assert (course[5:] > 1.0).all()


@pytest.mark.parametrize("training, validation, words", [
    ([1], [1], "world 1 is among the training flights and the validation flights"),
    ([1], [2], "0.7 minutes of validation flights found, expected at least 20")])
def test_flights_that_tell_nothing_are_refused(training, validation, words):
    with pytest.raises(LnnError, match=words):
        fit(POLICY, flights(training), flights(validation))


def test_reported_worlds_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(LnnError, match="no rosbag2 found"):
        list(described(POLICY, tmp_path))
    write(tmp_path / "0", arrays(1), seed=REPORTED.start)
    with pytest.raises(LnnError, match="world 200000 found, expected none from 200000 to 299999"):
        list(described(POLICY, tmp_path))


def test_the_command_writes_statistics_and_leaves_the_policy(tmp_path, capsys):
    save(tmp_path / "policy", POLICY)
    for folder, seed in (("data/round_0", 1), ("data/round_1", 2), ("other", 3), ("other", 4)):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        write(tmp_path / folder / f"{seed}", arrays(seed, seconds=4.0), seed=seed)
    words = ["calibrate", "--fit", "novelty", "--policy", str(tmp_path / "policy"), "--data",
             str(tmp_path / "data"), "--held-out", str(tmp_path / "other"), "--out",
             str(tmp_path / "judged"), "--alarm-minutes", "0.1", "--json",
             str(tmp_path / "result.json")]  # fmt: skip
    assert main(words) == 0
    assert "1 is reached 1 times in" in capsys.readouterr().out
    judged, result = load(tmp_path / "judged"), json.loads((tmp_path / "result.json").read_text())
    assert judged.weights_digest() == POLICY.weights_digest() == result["policy"]
    assert judged.spec == POLICY.spec and judged.card["novelty"]["training"]["flights"] == 2
    assert result["level"] == judged.novelty.level and result["validation"]["flights"] == 2
    pilot, flight = Pilot.load(tmp_path / "judged"), arrays(3, seconds=4.0)
    for stamp, frame in zip(flight["frame_stamps"].tolist(), flight["frames"], strict=True):
        assert pilot.observe("camera", stamp, frame)
        assert math.isfinite(pilot.novelty(stamp)) and stamp > START
    # To fit the spread afterwards keeps it.
    words[2:7] = ["spread", "--policy", str(tmp_path / "judged"), "--data", str(tmp_path / "other")]
    assert main(words) == 0
    assert load(tmp_path / "judged").novelty.level == judged.novelty.level
    words[2], words[6] = "novelty", str(tmp_path / "data")
    with pytest.raises(SystemExit):
        main([*words, "--alarm-minutes", "x"])
    assert main([*words, "--alarm-minutes", "0"]) == 2
