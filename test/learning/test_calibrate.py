"""`lnn_ros calibrate`: fits the spread, leaves the command alone, writes both down."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from flights_for_tests import arrays, write
from lessons import lesson
from policies_for_tests import small_checkpoint

from lnn_ros.cli import main
from lnn_ros.learning.calibrate import fit, look_through, measure, with_spread
from lnn_ros.liquid.checkpoint import load, save

NOISE = np.array([0.05, 0.1, 0.2, 0.4], np.float32)


def lessons(policy, seeds):
    """Recordings whose labels are the policy's own commands plus noise of a known size."""
    twin, out = with_spread(policy), []
    for seed in seeds:
        flight = lesson(seed)
        activity, _ = look_through(twin, [flight])
        command = twin.read(activity).detach().numpy().reshape(flight.labels.shape)
        noise = np.random.default_rng(seed).normal(0, 1, command.shape) * NOISE
        out.append(replace(flight, labels=(command + noise).astype(np.float32)))
    return out


def test_a_policy_learns_how_sure_it_may_be():
    torch.set_num_threads(1)
    policy = with_spread(small_checkpoint())
    fit(policy, *look_through(policy, lessons(small_checkpoint(), range(9))))
    outputs = measure(policy, *look_through(policy, lessons(small_checkpoint(), range(100, 110))))
    for i, row in enumerate(list(outputs.values())[:4]):
        assert row["spread"] == pytest.approx(NOISE[i], rel=0.1)
        assert row["expected_calibration_error"] < 0.03
        assert row["coverage"]["0.9"] == pytest.approx(0.9, abs=0.04)


def test_the_command_stays_and_the_calibration_is_noted(tmp_path, capsys):
    policy = small_checkpoint()
    save(tmp_path / "policy", policy)
    for folder, seed in (("data", 1), ("other", 2)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "0", arrays(seed))
    assert main(["calibrate", "--policy", str(tmp_path / "policy"), "--data",
                 str(tmp_path / "data"), "--held-out", str(tmp_path / "other"), "--out",
                 str(tmp_path / "sure"), "--json", str(tmp_path / "result.json")]) == 0  # fmt: skip
    assert "expected calibration error" in capsys.readouterr().out
    result = json.loads((tmp_path / "result.json").read_text())
    sure = load(tmp_path / "sure")
    assert sure.card["calibration"]["outputs"] == result["outputs"]
    assert sure.spec.head.spread is not None
    assert sure.arrays.keys() - policy.arrays.keys() == {"head.spread.weight", "head.spread.bias"}
    for name, array in policy.arrays.items():
        np.testing.assert_array_equal(sure.arrays[name], array)
