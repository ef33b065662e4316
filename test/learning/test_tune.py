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
from lnn_ros.learning.architecture import CORES, camera_card, make_policy
from lnn_ros.learning.hyperparameters import (
    COMMAND,
    DECAY,
    INTER,
    OPTIONS,
    RATE,
    Hyperparameters,
)
from lnn_ros.learning.tune import Attempt, attempt
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
            write(tmp_path / folder / f"{seed}", arrays(seed=seed, seconds=2.0), seed)
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
    assert len(set(second["losses"])) == 4, "it does not draw again what it drew at first"
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


@pytest.mark.parametrize("core", [core for core in CORES if core != "feedforward"])
@pytest.mark.parametrize("end", [0, 1])
def test_every_core_can_be_made_at_the_ends_of_the_ranges(core: str, end: int) -> None:
    options = {name: ends[end] for name, ends in OPTIONS.get(core, {}).items()}
    at = {"rate": RATE[end], "decay": DECAY[end], "inter": INTER[end], "command": COMMAND[end]}
    chosen = Hyperparameters.suggested(optuna.trial.FixedTrial({**at, **options}), core)
    assert chosen.as_dict() == {**at, "options": options}
    try:
        spec, _ = make_policy(core, Task.load("fly_to_target"), 0, shape=chosen.shape)
    except LnnError as error:
        assert end == 1 and "parameters, expected 30000" in str(error)  # noqa: PT017
    else:
        assert 0 < spec.count() <= 30_000


def test_a_core_that_cannot_be_made_fails_its_trial_alone(given: list[str]) -> None:
    words = dict(zip(given[1::2], given[2::2], strict=True))
    job = Attempt(words["--task"], "cfc_mixed", words["--data"], words["--validation"],
                  words["--encoder"], 1, 0, Hyperparameters(inter=48, command=32))
    assert math.isnan(attempt(job))


def test_flights_that_are_added_are_seen(given: list[str], tmp_path: Path) -> None:
    assert main([*given, "--trials", "1"]) == 0
    write(tmp_path / "data" / "9", arrays(seed=9, seconds=2.0), 9)
    assert main([*given, "--trials", "2"]) == 0


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
    assert "no rosbag2 found" in capsys.readouterr().err
