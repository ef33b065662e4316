"""Descriptions of frames, distances, and statistics in files that are hostile."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from policies_for_tests import FEATURES, frame, small_checkpoint, with_novelty

from lnn_ros.errors import LnnError
from lnn_ros.liquid.bound import bound
from lnn_ros.liquid.checkpoint import POLICY_FORMAT, Checkpoint, container, load, save
from lnn_ros.liquid.engine import Engine
from lnn_ros.liquid.inspection import describe as inspect
from lnn_ros.liquid.inspection import lines
from lnn_ros.liquid.novelty import COVARIANCE, MEAN, MOST, describe, parts, statistics
from lnn_ros.pilot import Pilot

ENCODER = small_checkpoint().spec.encoder
NAMES = parts(ENCODER)[FEATURES:]


def numbers(picture):
    return dict(zip(NAMES, statistics(picture), strict=True))


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, min_side=3, max_side=9)))
def test_every_frame_has_finite_statistics(picture):
    told = statistics(picture)
    assert all(math.isfinite(value) for value in told)
    channels = picture.shape[2]
    assert len(told) == 2 * channels + 10 + (channels > 1)


def test_they_are_what_their_names_say():
    picture = frame(np.random.default_rng(3))
    x = picture / 255.0
    told, g = numbers(picture), x[:, :, 1]
    steps = {"across": np.diff(g, axis=1), "down": np.diff(g, axis=0)}
    bends = {"across": np.diff(g, 2, axis=1), "down": np.diff(g, 2, axis=0)}
    assert told["brightness_2"] == pytest.approx(x[:, :, 2].mean(), abs=1e-5)
    assert told["contrast_0"] == pytest.approx(np.log(x[:, :, 0].std()), abs=1e-4)
    # Where one row ends and the next begins a difference counts as none.
    whole, inner = picture.shape[0] * picture.shape[1] - 1, steps["across"].size
    assert told["edges_down"] == pytest.approx(np.log((steps["down"] ** 2).mean()), abs=1e-4)
    assert told["edges_across"] == pytest.approx(
        np.log((steps["across"] ** 2).mean() * inner / whole), abs=1e-4)
    assert told["grain_down"] == pytest.approx(np.log((bends["down"] ** 2).mean()), abs=1e-4)
    for name, changes in (("slope_down", steps["down"]), ("bend_down", bends["down"])):
        assert told[name] == pytest.approx(np.log(np.abs(changes).mean() + 1e-3), abs=1e-4)
    assert told["black"] == (picture < 8).mean() and told["white"] == (picture > 247).mean()


def test_noise_is_grain_and_blur_takes_edges_away():
    x, y = np.meshgrid(np.arange(16), np.arange(12))
    soft = np.repeat((100 + 60 * np.sin(x / 3) * np.cos(y / 3))[..., None], 3, 2)
    grainy = soft + np.random.default_rng(0).normal(0, 12, soft.shape)
    flat = 100 + (soft - 100) / 4
    plain, noisy, dull = (numbers(p.astype(np.uint8)) for p in (soft, grainy, flat))
    assert noisy["grain_across"] > plain["grain_across"] + 1
    assert noisy["colour_edges"] > plain["colour_edges"] + 1
    assert dull["edges_down"] < plain["edges_down"] - 1
    assert dull["contrast_1"] < plain["contrast_1"] - 1


def test_a_score_is_the_logarithm_of_mahalanobis_distance():
    judge = with_novelty(small_checkpoint()).novelty
    x = np.random.default_rng(1).normal(0, 3, len(judge.parts)).astype(np.float32)
    away = x - judge.mean
    square = away @ np.linalg.inv(judge.covariance.astype(float)) @ away / len(x)
    assert judge.of(x) == pytest.approx((0.5 * math.log(square) - judge.usual) / 1.0, abs=1e-4)
    assert judge.of(judge.mean) == -MOST and judge.of(x * np.float32(1e9)) == MOST
    picture, features = frame(np.random.default_rng(2)), np.ones(FEATURES, np.float32)
    assert judge.score(picture, features) == judge.of(describe(picture, features))


@given(st.integers(0, 1000))
def test_features_that_are_scaled_and_shifted_say_the_same_of_every_frame(seed):
    judge, rng = with_novelty(small_checkpoint()).novelty, np.random.default_rng(seed)
    by = rng.uniform(0.3, 3.0, FEATURES).astype(np.float32)
    shift = rng.normal(0.0, 2.0, FEATURES).astype(np.float32)
    before = rng.normal(1.0, 2.0, (50, FEATURES)).astype(np.float32)
    moved = judge.carried(before, by * before + shift)
    x = rng.normal(0, 3, len(judge.parts)).astype(np.float32)
    y = x.copy()
    y[:FEATURES] = by * x[:FEATURES] + shift
    assert moved.of(y) == pytest.approx(judge.of(x), abs=1e-3)
    # A feature that never moves in these frames, before or after, stays as it was.
    still = np.zeros_like(before)
    np.testing.assert_array_equal(judge.carried(still, still).covariance, judge.covariance)
    # One that moves only now is as usual as it moves.
    spread = np.sqrt(np.diag(judge.carried(still, 50.0 * before).covariance))[:FEATURES]
    np.testing.assert_allclose(spread, 50.0 * before.std(0), rtol=1e-3)


def test_it_goes_with_the_policy_and_does_not_rename_it(tmp_path):
    plain, judged = small_checkpoint(), with_novelty(small_checkpoint())
    save(tmp_path / "plain", plain)
    save(tmp_path / "judged", judged)
    back = load(tmp_path / "judged")
    without = load(tmp_path / "plain")
    assert back.weights_digest() == plain.weights_digest() == without.weights_digest()
    assert without.novelty is None and set(back.arrays) == set(plain.arrays)
    picture, features = frame(np.random.default_rng(2)), np.ones(FEATURES, np.float32)
    assert back.novelty.score(picture, features) == judged.novelty.score(picture, features)
    assert back.novelty.memory == judged.novelty.memory
    assert "novelty:" in "\n".join(lines(inspect(back)))
    # Saved again without it, the card does not claim it either.
    save(tmp_path / "again", replace(back, novelty=None))
    assert "novelty" not in load(tmp_path / "again").card


def test_the_pilot_says_it_or_says_that_it_cannot():
    picture, checkpoint = frame(np.random.default_rng(2)), with_novelty(small_checkpoint(), 1e-3)
    silent, pilot = Pilot(small_checkpoint()), Pilot(checkpoint)
    assert pilot.says_novelty and not silent.says_novelty
    assert pilot.novelty(10**9) is None
    for each in (silent, pilot):
        each.observe("camera", 10**9, picture)
    assert silent.novelty(10**9) is None
    # With so short a memory the filter is the last frame's score.
    features = Engine(checkpoint.spec, checkpoint.arrays).encode(picture)
    assert pilot.novelty(10**9) == pytest.approx(checkpoint.novelty.score(picture, features))


def stored(path, change_card=None, change=None):
    """Write a file whose digest is right, whatever else is wrong."""
    good = with_novelty(small_checkpoint())
    proven = bound(good.spec, good.arrays).to_json()
    card = {**good.card, "bound": proven, "novelty": good.novelty.to_json()}
    card = json.loads(json.dumps(card))
    arrays = {**good.arrays, **good.novelty.arrays()}
    arrays.update(change or {})
    (change_card or (lambda card: None))(card)
    container.write(path, POLICY_FORMAT, card, {k: a for k, a in arrays.items() if a is not None})


def entry(name, value):
    return lambda card: card["novelty"].update({name: value})


GOOD = with_novelty(small_checkpoint()).novelty
SIZE = len(GOOD.parts)
SKEW = GOOD.covariance.copy()
SKEW[0, 1] += 0.1
FLAT = GOOD.covariance.copy()
FLAT[0, :] = FLAT[1, :]
FLAT[:, 0] = FLAT[:, 1]
EYE = np.eye(SIZE, dtype=np.float32)


@pytest.mark.parametrize("card, arrays, words", [
    (None, {MEAN: np.zeros(SIZE, np.float64)}, "novelty.mean is float64"),
    (None, {MEAN: np.zeros(SIZE + 1, np.float32)}, "novelty.mean is float32"),
    (None, {MEAN: np.full(SIZE, np.nan, np.float32)}, "novelty.mean holds numbers .* not finite"),
    (None, {COVARIANCE: np.full((SIZE, SIZE), np.inf, np.float32)}, "not finite"),
    (None, {COVARIANCE: EYE[:-1]}, "novelty.covariance is float32"),
    (None, {COVARIANCE: SKEW}, "not symmetric"),
    (None, {COVARIANCE: 0 * EYE}, "not positive: a variance is 0"),
    (None, {COVARIANCE: -EYE}, "not positive: a variance is -1"),
    (None, {COVARIANCE: FLAT}, "not positive definite"),
    (None, {COVARIANCE: 2 * EYE + 1e3 * np.float32(1 - EYE)}, "not positive definite"),
    (None, {MEAN: None}, "novelty.mean is missing"),
    (None, {"novelty.more": np.zeros(1, np.float32)}, "novelty.more is not part"),
    (lambda card: card.pop("novelty"), {}, "novelty of the card is None"),
    (lambda card: card.update(novelty=[]), {}, r"novelty of the card is \[\]"),
    (lambda card: card["novelty"].pop("memory"), {}, "expected parts, usual, level, memory"),
    (entry("parts", ["a"] * SIZE), {}, "others than the features"),
    (entry("parts", 3), {}, "others than the features"),
    (entry("usual", "x"), {}, "usual is 'x'"),
    (entry("usual", float("nan")), {}, "usual is nan"),
    (entry("level", -1.0), {}, "level is -1.0"),
    (entry("memory", 0.0), {}, "memory is 0.0"),
    (entry("memory", True), {}, "memory is True"),
])  # fmt: skip
def test_wrong_statistics_are_refused(tmp_path, card, arrays, words):
    path = tmp_path / "bad"
    stored(path, card, arrays)
    with pytest.raises(LnnError, match=words) as caught:
        load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_the_file_that_the_wrong_ones_are_made_of_is_right(tmp_path):
    stored(tmp_path / "good")
    assert isinstance(load(tmp_path / "good"), Checkpoint)


def test_a_picture_without_second_differences_is_refused():
    with pytest.raises(LnnError, match="a frame of 2 x 12 found, expected at least 3"):
        parts(replace(ENCODER, width=2))
