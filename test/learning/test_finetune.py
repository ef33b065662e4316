"""Fine-tuning learns what is new, and keeps what was there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from flights_for_tests import CAMERA, arrays, write
from lessons import lesson
from policies_for_tests import small_checkpoint, small_spec, small_wiring, with_novelty

from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.learning.corrections import uncorrected
from lnn_ros.learning.finetune import Recipe, finetune, stratified
from lnn_ros.learning.trainer import Trainer
from lnn_ros.liquid.checkpoint import Checkpoint, load, save
from lnn_ros.liquid.spec import SUMMARY

RECIPE = Recipe(epochs=30, rate=5e-3, penalty=0.0, memory=0)


def changed(seed, unlabelled=0.0):
    """The same pictures, in which a person flies twice as fast and does not turn."""
    one = lesson(seed)
    labels = one.labels.copy()
    labels[..., 0], labels[..., 3] = 1.0, 0.0
    weights = one.weights.copy()
    weights[: round(unlabelled * len(one))] = 0.0
    summaries, reads = one.summaries.copy(), one.reads.copy()
    for felt in (summaries, reads):  # a place that feels otherwise: how else would it know
        felt[..., SUMMARY.index("specific_force_x")] = 4.0
    return replace(one, summaries=summaries, reads=reads, labels=labels, weights=weights,
                   hints=np.full_like(one.hints, np.nan))


@pytest.fixture(scope="module")
def taught():
    """A policy that has learned the lesson."""
    torch.set_num_threads(1)
    trainer = Trainer(small_spec("flow"), small_wiring("flow"), 1)
    data = [lesson(i) for i in range(8)]
    for epoch in range(10):
        trainer.epoch(data, (0, epoch), (1e-2, 1e-3), 4, 10)
    card = small_checkpoint().card
    return Checkpoint(trainer.policy.spec, trainer.policy.arrays(), card)


def losses(checkpoint):
    """On what is new, and on what is old: others than were learned from."""
    trainer = Trainer.of(checkpoint, 0)
    return tuple(trainer.loss([kind(200 + i) for i in range(4)]) for kind in (changed, lesson))


def test_it_learns_what_is_new_and_rehearsal_and_penalty_keep_what_was_there(taught):
    new, old = [changed(100 + i, 0.3) for i in range(5)], [lesson(i) for i in range(8)]
    begun = losses(taught)
    found = {}
    for name, rehearsed, penalty in (("naive", [], 0.0), ("penalty", [], 3.0),
                                     ("rehearsal", old, 0.0), ("both", old, 3.0)):
        candidate, course = finetune(taught, new, rehearsed, replace(RECIPE, penalty=penalty))
        found[name] = losses(candidate)
        assert len(course) == RECIPE.epochs and course[-1]["new"] >= 0.0
        assert ("old" in course[-1]) == bool(rehearsed)
    for name, (on_new, on_old) in found.items():
        assert on_new < 0.6 * begun[0], name
        assert (on_old < 0.15) == (name in ("rehearsal", "both")), name
    assert begun[1] < 0.05 and found["penalty"][1] < found["naive"][1]


def test_the_encoder_stays_and_the_result_is_the_same_every_time(taught):
    new, old = [changed(100)], [lesson(0)]
    recipe = replace(RECIPE, epochs=2, penalty=1.0, encoder_epochs=0)
    one, other = (finetune(taught, new, old, recipe)[0] for _ in range(2))
    assert one.weights_digest() == other.weights_digest() != taught.weights_digest()
    assert finetune(taught, new, old, replace(recipe, seed=1))[0].weights_digest() != (
        one.weights_digest())
    for name, values in one.arrays.items():
        same = np.array_equal(values, taught.arrays[name])
        assert same == name.startswith(("encoder.", "wiring.")), name
    assert one.spec == taught.spec


def test_of_the_encoder_a_scale_and_a_shift_of_every_channel_learn(taught):
    new, old = [changed(100)], [lesson(0)]

    def learned(penalty):
        recipe = replace(RECIPE, epochs=4, encoder_epochs=2, penalty=penalty)
        return finetune(taught, new, old, recipe)[0].arrays

    def moved(arrays):
        return sum(float(np.abs(arrays[name] - values).sum())
                   for name, values in taught.arrays.items() if name.startswith("encoder."))

    arrays = learned(0.0)
    for name, was in taught.arrays.items():
        if name.startswith("encoder.") and name.endswith(".weight"):
            was, now = (one.reshape(len(one), -1) for one in (was, arrays[name]))
            scale = (was * now).sum(1) / np.square(was).sum(1)
            np.testing.assert_allclose(now, scale[:, None] * was, atol=1e-5)
            assert (np.abs(scale - 1.0) > 1e-4).any(), name
            bias = name.replace("weight", "bias")
            shift = arrays[bias] - scale * taught.arrays[bias]
            assert (np.abs(shift) > 1e-4).any(), name
    assert 0.0 < moved(learned(1000.0)) < 0.5 * moved(arrays)


def test_what_was_usual_is_so_by_the_changed_encoder(taught):
    new, old = [changed(100)], [lesson(0), lesson(1)]
    arrays, features = taught.arrays, taught.spec.encoder.features
    before = np.concatenate([Trainer.of(taught, 0).features(one)[0] for one in old])
    known = with_novelty(taught).novelty
    mean = known.mean.copy()
    mean[:features] = before.mean(0)
    novelty = replace(known, mean=mean)
    recipe = replace(RECIPE, epochs=4, encoder_epochs=4)
    candidate = finetune(Checkpoint(taught.spec, arrays, taught.card, novelty), new, old,
                         recipe)[0]
    after = np.concatenate([Trainer.of(candidate, 0).features(one)[0] for one in old])
    assert np.abs(after.mean(0) - before.mean(0)).max() > 1e-3
    np.testing.assert_allclose(candidate.novelty.mean[:features], after.mean(0), atol=1e-4)
    np.testing.assert_array_equal(candidate.novelty.mean[features:], known.mean[features:])
    assert finetune(Checkpoint(taught.spec, arrays, taught.card, novelty), new, old,
                    replace(recipe, encoder_epochs=0))[0].novelty is novelty


def test_who_rehearses_more_keeps_more(taught):
    new, old = [changed(100 + i) for i in range(4)], [lesson(i) for i in range(16)]
    little, much = (losses(finetune(taught, new, old, replace(
        RECIPE, epochs=6, encoder_epochs=0, rehearsal_ratio=ratio))[0])[1] for ratio in (0.2, 4.0))
    assert much < 0.7 * little


def test_what_nobody_corrected_is_flown_as_before(taught):
    """Of half of a flight nobody says anything; help alone changes what is done there, too."""
    new = [changed(100 + i, 0.6) for i in range(5)]
    parent = Trainer.of(taught, 0)
    own = [uncorrected(one, parent.commands(one)) for one in (changed(300 + i, 0.6)
                                                              for i in range(4))]

    def change(share):
        candidate, course = finetune(taught, new, [], replace(RECIPE, uncorrected=share))
        assert ("uncorrected" in course[-1]) == bool(share)
        return Trainer.of(candidate, 0).loss(own), losses(candidate)[0]

    (without, _), (with_, on_new) = change(0.0), change(1.0)
    assert with_ < 0.5 * without
    assert on_new < 0.8 * losses(taught)[0], "and yet it learns"


def test_a_strong_penalty_moves_nothing_far(taught):
    def moved(penalty):
        candidate, _ = finetune(taught, [changed(100)], [], replace(RECIPE, penalty=penalty))
        return sum(float(np.square(candidate.arrays[n] - v).sum())
                   for n, v in taught.arrays.items() if n.startswith(("core", "head")))
    far, less, least = (moved(penalty) for penalty in (0.0, 1.0, 100.0))
    assert least < 0.5 * less < 0.5 * far


def test_nobody_helped_is_a_named_error(taught):
    silent = replace(changed(0), weights=np.zeros_like(changed(0).weights))
    with pytest.raises(LnnError, match="nothing to learn from in 1 recordings"):
        finetune(taught, [silent], [], RECIPE)


def test_the_memory_is_drawn_evenly_from_all_strata(tmp_path):
    for k in range(20):
        shifts = ["fog:0.1"] if k < 2 else ["noise:0.1", "fog:0.2"] if k < 4 else []
        write(tmp_path / f"{k:02}", arrays(k, 0.5), shifts=json.dumps(shifts))
    bags = sorted(tmp_path.iterdir())
    chosen = stratified(bags, 6, 0)
    assert len(chosen) == 6 and sum(bag.name < "04" for bag in chosen) == 4
    assert stratified(bags, 6, 0) == chosen != stratified(bags, 6, 1)
    assert stratified(bags, 99, 0) == bags and stratified(bags, 0, 0) == []


@pytest.mark.parametrize("encoder_epochs", [0, 1, 3])
def test_who_was_killed_goes_on_and_ends_with_the_same_weights(taught, tmp_path, encoder_epochs):
    new, old = [changed(100), changed(101)], [lesson(0), lesson(1)]
    recipe = replace(RECIPE, epochs=4, penalty=1.0, encoder_epochs=encoder_epochs)
    whole, course = finetune(taught, new, old, recipe)
    state, told = tmp_path / "state", []

    class Killed(BaseException):
        pass

    def say(progress):
        told.append(progress)
        if progress["stage"] == "learning" and progress["done"] == 2:
            raise Killed

    with pytest.raises(Killed):
        finetune(taught, new, old, recipe, state, say)
    again, found = finetune(taught, new, old, recipe, state, told.append)
    assert again.weights_digest() == whole.weights_digest() and found == course
    learned = [one["done"] for one in told if one["stage"] == "learning"]
    assert learned == [1, 2, 3, 4], "what was done was not done again"
    # The state is of these recordings and this recipe, and of no others.
    for others in ((new[:1], old, recipe), (new, old, replace(recipe, penalty=2.0))):
        assert finetune(taught, *others, state)[0].weights_digest() == (
            finetune(taught, *others)[0].weights_digest())
        finetune(taught, new, old, recipe, state)
    state.write_bytes(state.read_bytes()[:1000])
    assert finetune(taught, new, old, recipe, state)[0].weights_digest() == whole.weights_digest()


def test_command_makes_a_candidate_of_recordings(taught, tmp_path, capsys):
    policy = tmp_path / "policy.safetensors"
    taught.card["camera"] = {**taught.card["camera"], "width": CAMERA.width,
                             "height": CAMERA.height, "fov": CAMERA.horizontal_fov}
    save(policy, taught)
    for robot in ("one", "other"):
        helped = arrays(seconds=2.0)
        helped["imu"][:, :3] = 0.0  # pictures at random do not turn
        write(tmp_path / "help" / robot / "bag", helped)
    write(tmp_path / "old" / "flight", arrays(5, 2.0))
    out, course = tmp_path / "candidate.safetensors", tmp_path / "course.json"
    words = ["finetune", str(tmp_path / "help"), "--policy", str(policy), "--rehearsal",
             str(tmp_path / "old"), "--out", str(out), "--epochs", "2", "--json", str(course)]
    assert main(words) == 1, "too little is held out to say that it is better"
    said = load(out).card["training"]["verdict"]["said"]
    assert said.startswith("refused: 0 episodes of help are held out, expected 4 or more; 0 fl")
    assert main([*words, "--unjudged"]) == 0
    assert "labels of 2 recordings, 1 flights rehearsed" in capsys.readouterr().out
    said = load(out).card["training"]
    assert "verdict" not in said and not list(tmp_path.glob(".*")), "no state is left behind"
    assert said["parent"] == taught.weights_digest() and said["recordings"] == ["bag", "bag"]
    assert [one["epoch"] for one in json.loads(course.read_text())["course"]] == [0, 1]
    assert main([*words[:2], "--policy", str(policy), "--out", str(out), "--epochs", "0"]) == 2
    assert "expected an epoch or more" in capsys.readouterr().err
    assert main(["finetune", str(Path("/nowhere")), "--policy", str(policy), "--out",
                 str(out)]) == 2
