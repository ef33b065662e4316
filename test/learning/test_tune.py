"""Tuning: trials on flights, a study that goes on, choices that training takes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import optuna
import pytest
from flights_for_tests import arrays, write
from flyers import small_task

from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.learning.architecture import camera_card, make_policy
from lnn_ros.learning.hyperparameters import COMMAND, INTER, OPTIONS, RATE, Hyperparameters
from lnn_ros.liquid.checkpoint import Checkpoint, save, streams
from lnn_ros.liquid.torch_policy import TorchPolicy
from lnn_ros.simulation.task import Task


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """Flights to learn from and flights that judge, and an encoder that fits the small task."""
    task = small_task(tmp_path, 1.5)
    spec, wiring = make_policy("flow", Task.load(task), 3)
    arrays_ = TorchPolicy(spec, wiring, 3).arrays()
    card = {"name": "small", "streams": streams(spec), "camera": camera_card(Task.load(task)),
            "task": "small", "training": {}, "evaluation": {}}  # fmt: skip
    save(tmp_path / "encoder.safetensors", Checkpoint(spec, arrays_, card))
    for folder, seeds in (("data", range(3)), ("judge", range(10, 12))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            write(tmp_path / folder / f"{seed}.npz", arrays(seed=seed, seconds=2.0), seed)
    return ["tune", "--task", task, "--data", str(tmp_path / "data"), "--validation",
            str(tmp_path / "judge"), "--encoder", str(tmp_path / "encoder.safetensors"),
            "--out", str(tmp_path / "study"), "--epochs", "1", "--trials", "3"]  # fmt: skip


def test_a_study_goes_on_and_training_takes_its_best(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "study" / "best.json"
    assert main(given) == 0
    first = json.loads(file.read_text())
    assert first["trials"] == 3 and first["went_on_from"] == 0 and first["core"] == "flow"
    assert first["loss"] == first["losses"][0] <= first["losses"][-1]
    assert "trial 2: loss" in capsys.readouterr().err
    assert main([*given, "--trials", "4"]) == 0
    err = capsys.readouterr().err
    second = json.loads(file.read_text())
    assert second["trials"] == 4 and second["went_on_from"] == 3 and "trial 2" not in err
    assert second["loss"] <= first["loss"] and set(first["losses"]) <= set(second["losses"])
    assert main(given) == 0
    assert json.loads(file.read_text())["losses"] == second["losses"], "nothing is trained again"
    chosen = Hyperparameters.load(file, "flow")
    assert chosen.as_dict() == second["best"] and set(chosen.options) == set(OPTIONS["flow"])
    spec, wiring = make_policy("flow", Task.load(given[2]), 0, shape=chosen.shape)
    assert wiring.sizes[:2] == (chosen.inter, chosen.command)
    assert spec.core.rate_max == chosen.options["rate_max"]


def test_the_same_command_from_nothing_chooses_the_same(given: list[str], tmp_path: Path) -> None:
    found = []
    for name in ("one", "other"):
        words = [*given, "--out", str(tmp_path / name), "--trials", "2"]
        assert main(words) == 0
        found.append(json.loads((tmp_path / name / "best.json").read_text())["losses"])
    assert found[0] == found[1]


def test_trials_in_processes_are_trials(given: list[str], tmp_path: Path) -> None:
    assert main([*given, "--trials", "2", "--workers", "2"]) == 0
    assert json.loads((tmp_path / "study" / "best.json").read_text())["trials"] == 2


@pytest.mark.parametrize("core", ["flow", "ltc", "gru"])
def test_choices_stay_in_their_ranges(core: str) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        chosen = Hyperparameters.suggested(study.ask(), core)
        assert RATE[0] <= chosen.rate <= RATE[1]
        assert INTER[0] <= chosen.inter <= INTER[1] and COMMAND[0] <= chosen.command <= COMMAND[1]
        for name, (low, high) in OPTIONS.get(core, {}).items():
            assert low <= chosen.options[name] <= high


def test_what_is_no_choice_is_refused(given: list[str], tmp_path: Path,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "best.json"
    good = {"core": "flow", "best": Hyperparameters().as_dict()}
    for data, words in (
        ({}, "KeyError.*expected choices of lnn_ros tune"),
        ({**good, "core": "ltc"}, "choices for core ltc found, expected flow"),
        ({**good, "best": {"speed": 3}}, "expected choices"),
        ({**good, "best": {"rate": math.inf}}, "expected numbers above 0"),
        ({**good, "best": {"inter": 2}}, "8 neurons or more"),
    ):  # fmt: skip
        file.write_text(json.dumps(data))
        with pytest.raises(LnnError, match=words):
            Hyperparameters.load(file, "flow")
    file.write_text(json.dumps(good))
    assert Hyperparameters.load(file, "flow") == Hyperparameters()
    assert main([*given, "--trials", "0"]) == 2
    assert "--trials 0 --epochs 1 found, expected 1 or more" in capsys.readouterr().err
    assert main([*given, "--data", str(tmp_path / "none")]) == 2
    assert "no *.npz found" in capsys.readouterr().err
