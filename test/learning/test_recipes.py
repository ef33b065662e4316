"""How the policies that ship are made: as train's own parser takes it, and as their cards say."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lnn_ros import policies
from lnn_ros.cli import COMMANDS
from lnn_ros.learning.train import add_arguments, schedule
from lnn_ros.liquid.checkpoint import load
from lnn_ros.policies.recipes import RECIPES, commands
from lnn_ros.simulation.seeds import VALIDATION

ROOT = Path(__file__).resolve().parents[2]
NOT_OF_THE_WEIGHTS = {"out", "workers", "threads", "ray", "json"}


def parsed(words: list[str]) -> dict[str, Any]:
    """Arguments of a training, less those on which its weights do not depend."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    found = vars(parser.parse_args(words))
    return {key: value for key, value in found.items() if key not in NOT_OF_THE_WEIGHTS}


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_policies", ROOT / "scripts/policies.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_policy_that_ships_has_a_recipe_and_no_other() -> None:
    assert set(RECIPES) == set(policies.names())


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_what_the_card_says(name: str) -> None:
    card = load(policies.path(name)).card
    lnn_ros, train, *words = card["training"]["command"].split()
    assert (lnn_ros, train) == ("lnn_ros", "train")
    told = parsed(words)
    *before, (_, *made) = (s for s in commands(name, Path("x")) if s[0] == "train")
    recipe = parsed(made)
    for one in (recipe, told):  # where the file is with the encoder
        assert bool(one.pop("encoder")) == bool(RECIPES[name].encoder)
    assert recipe == told
    if RECIPES[name].encoder:
        (_, *first), eyes = before[0], card["training"]["encoder"]["training"]
        assert parsed(first) == parsed(eyes["command"].split()[2:])
    assert recipe["task"] == card["task"] == name
    assert recipe["seed"] == card["training"]["seed"]
    # Flights as the card counts them, in worlds for training.
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    flown = [s for s in schedule(parser.parse_args(made)) if s.kind == "fly"]
    assert [flown[0].seeds.start, flown[-1].seeds.stop] == card["training"]["worlds"]
    assert [len(s.seeds) for s in flown] == [r["flights"] for r in card["training"]["rounds"]]
    assert RECIPES[name].novelty == ("novelty" in card)


@pytest.mark.parametrize("name", RECIPES)
def test_every_step_is_a_command_that_its_own_parser_takes(name: str) -> None:
    for step in commands(name, Path("runs/x"), ["--workers", "2"]):
        module = importlib.import_module(COMMANDS[step[0]][0])
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        args = parser.parse_args(step[1:])
        assert str(args.out).startswith("runs/x")
        if step[0] == "train":
            assert args.workers == 2
        if step[0] == "demonstrate":
            assert args.task == name
            assert args.seeds[0] in VALIDATION and args.seeds[-1] in VALIDATION


def test_commands_run_one_after_the_other_until_one_fails(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran: list[list[str]] = []

    def run(words: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        assert words[:3] == [sys.executable, "-m", "lnn_ros.cli"] and not check
        ran.append(words[3:])
        return subprocess.CompletedProcess(words, 3 if words[3] == fails else 0)

    monkeypatch.setattr(script.subprocess, "run", run)
    fails = ""
    given = ["--out", str(tmp_path), "--workers", "2"]
    assert script.main(["lane", *given]) == 0
    assert ran == commands("lane", tmp_path / "lane", ["--workers", "2"])
    told = capsys.readouterr()
    assert f"lnn_ros evaluate --task lane --policy {tmp_path}/lane/policy" in told.out
    ran.clear()
    fails = "demonstrate"
    assert script.main(given) == 3, "all, but the first cannot go on"
    assert [step[0] for step in ran] == ["train", "train", "demonstrate"]
    ran.clear()
    assert script.main(["no_such", *given]) == 2 and not ran
    told = capsys.readouterr()
    assert "no policy no_such ships, expected some of fly_to_target, lane" in told.err


def test_make_policies_takes_the_name_of_one() -> None:
    def made(*words: str) -> str:
        done = subprocess.run(["make", "--dry-run", "policies", f"VENV={sys.prefix}", *words],
                              cwd=ROOT, text=True, capture_output=True, check=True)
        return done.stdout.strip().splitlines()[-1]

    assert made() == f"{sys.prefix}/bin/python scripts/policies.py"
    called = made("POLICY=lane", "ARGS=--show --workers 2")
    shown = subprocess.run(shlex.split(called), cwd=ROOT, text=True, capture_output=True,
                           check=True).stdout
    assert shown.splitlines() == [
        shlex.join(["lnn_ros", *step])
        for step in commands("lane", Path("runs/policies/lane"), ["--workers", "2"])]
