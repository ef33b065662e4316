"""`lnn_ros calibrate`: fits the spread, leaves the command alone, writes both down."""

import json
from dataclasses import replace

import numpy as np
import pytest
from lessons import lesson
from policies_for_tests import small_checkpoint

from lnn_ros.cli import main
from lnn_ros.learning.calibrate import look_through, with_spread
from lnn_ros.learning.dataset import KEYS
from lnn_ros.learning.hints import COLUMNS
from lnn_ros.liquid.checkpoint import load, save

NOISE = np.array([0.05, 0.1, 0.2, 0.4], np.float32)


def flights(folder, policy, seeds):
    """Recordings whose labels are the policy's own commands plus noise of a known size."""
    folder.mkdir()
    twin = with_spread(policy)
    for seed in seeds:
        flight = lesson(seed)
        activity, _ = look_through(twin, [flight])
        command = twin.read(activity).detach().numpy().reshape(flight.labels.shape)
        noise = np.random.default_rng(seed).normal(0, 1, command.shape) * NOISE
        hints = flight.hints.copy()
        hints[:, COLUMNS] = 1.0  # the target in sight: reading replaces the labels of a search
        flight = replace(flight, labels=(command + noise).astype(np.float32), hints=hints)
        np.savez(folder / f"{seed}.npz", **{key: getattr(flight, key) for key in KEYS})


def test_a_policy_learns_how_sure_it_may_be(tmp_path, capsys):
    policy = small_checkpoint()
    save(tmp_path / "policy", policy)
    flights(tmp_path / "data", policy, range(6))
    flights(tmp_path / "other", policy, range(100, 104))
    assert main(["calibrate", "--policy", str(tmp_path / "policy"), "--data",
                 str(tmp_path / "data"), "--held-out", str(tmp_path / "other"), "--out",
                 str(tmp_path / "sure"), "--json", str(tmp_path / "result.json")]) == 0  # fmt: skip
    assert "expected calibration error" in capsys.readouterr().out
    result = json.loads((tmp_path / "result.json").read_text())
    for i, row in enumerate(list(result["outputs"].values())[:4]):
        assert row["spread"] == pytest.approx(NOISE[i], rel=0.1)
        assert row["expected_calibration_error"] < 0.03
        assert row["coverage"]["0.9"] == pytest.approx(0.9, abs=0.04)
    sure = load(tmp_path / "sure")
    assert sure.card["calibration"]["outputs"] == result["outputs"]
    assert sure.spec.head.spread is not None
    assert sure.arrays.keys() - policy.arrays.keys() == {"head.spread.weight", "head.spread.bias"}
    for name, array in policy.arrays.items():
        np.testing.assert_array_equal(sure.arrays[name], array)
