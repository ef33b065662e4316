"""The training command: what is done in which order, and from which policy it begins."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
from flyers import small_task

from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.learning.train import add_arguments, lanes, schedule
from lnn_ros.liquid.checkpoint import load


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["--out", "x", *words])


def test_the_student_flies_more_and_more_and_one_that_can_fly_flies_at_once():
    words = ["--rounds", "4", "--flights", "3", "--round-flights", "2"]
    usual = [step for step in schedule(parsed(*words)) if step.kind == "fly"]
    assert [step.share for step in usual] == [0.0, 0.5, 0.75, 1.0, 1.0]
    assert [step.seeds for step in usual] == [
        range(3), range(3, 5), range(5, 7), range(7, 9), range(9, 11)]
    begun = [step for step in schedule(parsed(*words, "--start", "policy.safetensors"))
             if step.kind == "fly"]
    assert [step.share for step in begun] == [0.0, 1.0, 1.0, 1.0, 1.0]
    alone = schedule(parsed("--rounds", "1", "--flights", "0", "--round-flights", "2", "--look",
                            "0", "--last-epochs", "1", "--whole-epochs", "0"))
    assert [(step.kind, step.round) for step in alone] == [("fly", 1), ("core", 1)]
    with pytest.raises(LnnError, match="--flights 0 with no rounds found"):
        schedule(parsed("--rounds", "0", "--flights", "0"))
    with pytest.raises(LnnError, match="found that train nothing, expected one or more"):
        schedule(parsed("--rounds", "0", "--last-epochs", "0", "--whole-epochs", "0"))


def test_who_trains_says_how_large_the_core_is(tmp_path, capsys):
    task, out = small_task(tmp_path, 1.5), tmp_path / "run"
    words = ["train", "--task", task, "--look", "0", "--flights", "2", "--rounds", "0",
             "--last-epochs", "1", "--whole-epochs", "0", "--core", "gru", "--out", str(out)]
    assert main([*words, "--neurons", "12,10"]) == 0
    made = load(out / "policy.safetensors")
    assert [layer.units for layer in made.spec.core.layers][:2] == [12, 10]
    for bad in ("12", "12,x", "12,10,8", "7,12"):
        with pytest.raises(SystemExit):
            main([*words, "--neurons", bad])
        assert f"{bad!r} found, expected two numbers of 8 or more" in capsys.readouterr().err
    fixed = [*words[:-1], str(tmp_path / "fixed"), "--core", "feedforward", "--neurons", "12,10"]
    assert main(fixed) == 2
    assert "--neurons with --core feedforward found, expected" in capsys.readouterr().err


def test_who_trains_says_over_how_many_frames_the_core_learns(tmp_path, capsys):
    task, out = small_task(tmp_path, 1.5), tmp_path / "run"
    words = ["train", "--task", task, "--look", "0", "--flights", "2", "--rounds", "0",
             "--last-epochs", "1", "--whole-epochs", "0", "--out"]
    assert main([*words, str(out)]) == 0
    for bad in ("1", "x", "2049", "-64"):
        with pytest.raises(SystemExit):
            main([*words, str(out), f"--window={bad}"])
        assert f"{bad!r} found, expected 2 to 2048 frames" in capsys.readouterr().err
    assert [lanes(frames) for frames in (2, 64, 192, 2048)] == [1024, 32, 10, 1]
    usual = load(out / "policy.safetensors").weights_digest()
    for frames, same in (("64", True), ("8", False)):
        again = tmp_path / frames
        assert main([*words, str(again), "--data", str(out), "--window", frames]) == 0
        assert (load(again / "policy.safetensors").weights_digest() == usual) is same


def test_a_training_goes_on_from_a_policy(tmp_path, capsys):
    task = small_task(tmp_path, 1.5)
    words = ["train", "--task", task, "--look", "64", "--flights", "2", "--epochs", "1",
             "--last-epochs", "1", "--whole-epochs", "0"]
    first, second = tmp_path / "first", tmp_path / "second"
    assert main([*words, "--out", str(first), "--rounds", "0"]) == 0
    start = first / "policy.safetensors"
    again = ["train", "--task", task, "--look", "0", "--flights", "0", "--rounds", "1",
             "--round-flights", "2", "--last-epochs", "1", "--whole-epochs", "0", "--first-seed",
             "2", "--start", str(start), "--out"]
    assert main([*again, str(second)]) == 0
    # It is the student of the first round, and what its eyes have learned stays.
    student, made = load(second / "student_1.safetensors"), load(second / "policy.safetensors")
    before = load(start)
    assert student.weights_digest() == before.weights_digest() != made.weights_digest()
    for name, array in made.arrays.items():
        if name.startswith("encoder."):
            np.testing.assert_array_equal(array, before.arrays[name])
    assert made.card["training"]["worlds"] == [2, 4]
    assert main([*again, str(tmp_path / "third"), "--seed", "1"]) == 2
    assert "another architecture or wiring found, expected that of" in capsys.readouterr().err
    # Another core may see with its eyes, and says whose they are.
    seeing = [*words[:3], "--look", "0", "--data", str(first), "--encoder", str(start), *words[5:],
              "--core", "gru", "--rounds", "0", "--out", str(tmp_path / "fourth")]
    assert main(seeing) == 0
    eyes = load(tmp_path / "fourth/policy.safetensors").card["training"]["encoder"]
    assert eyes == {"weights_sha256": before.weights_digest(),
                    "training": before.card["training"]}
