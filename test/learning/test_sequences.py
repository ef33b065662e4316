"""What a policy learns from is what it will meet: sequences cut from flights."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.learning.sequences import read_sequence
from lnn_ros.liquid.spec import SUMMARY
from lnn_ros.liquid.torch_policy import TorchPolicy
from lnn_ros.pilot import Pilot

sys.path.insert(0, str(Path(__file__).parents[1] / "liquid"))
from flights_for_tests import CAMERA, arrays, write
from policies_for_tests import small_checkpoint

PRESENT = SUMMARY.index("camera_present")


@pytest.mark.parametrize("kind", ["flow", "cfc", "feedforward"])
def test_training_answers_what_the_pilot_answers(tmp_path, kind):
    """The same flight, once as a sequence in torch and once sample by sample in the pilot."""
    data = arrays(seconds=2.0, frame_ms=(30, 250))
    recording = read_sequence(write(tmp_path / "0", data), CAMERA, vary=False)
    checkpoint = small_checkpoint(kind)
    policy = TorchPolicy.from_arrays(checkpoint.spec, checkpoint.arrays)
    summaries = torch.from_numpy(recording.summaries)[:, None]
    frames = torch.from_numpy(recording.frames[np.maximum(recording.where, 0)])[None]
    with torch.no_grad():
        inputs = policy.inputs(frames, summaries)
        states = policy.states(inputs, summaries, policy.core.initial(1))
        activity = policy.onward(
            states, torch.from_numpy(recording.reads), torch.from_numpy(recording.taken)
        )
        told = policy.read(activity).numpy()
    samples = [
        (int(t), "imu", v.astype(float))
        for t, v in zip(data["imu_stamps"], data["imu"], strict=True)
    ]
    samples += [
        (int(t), "camera", v) for t, v in zip(data["frame_stamps"], data["frames"], strict=True)
    ]
    samples.sort(key=lambda sample: sample[0])
    frame_stamps = data["frame_stamps"].tolist()
    ends = np.cumsum(recording.summaries[:, -1].astype(float)[1:], dtype=float)
    ends = frame_stamps[0] + np.round(np.concatenate([[0.0], ends]) * 1e3).astype(int) * 1_000_000
    asked, pilot = 0, Pilot(checkpoint, horizon_s=2.0)
    for k, end in enumerate(ends.tolist()):
        for p in range(recording.labels.shape[1]):
            if not recording.weights[k, p]:
                continue
            elapsed = float(recording.reads[k, p, :, -1][recording.taken[k, p]].sum())
            at = min(data["label_stamps"].tolist(), key=lambda t: abs(t - end - elapsed * 1e9))
            pilot.reset()
            for stamp, stream, value in samples:  # no frame has come since
                if stamp <= (end if stream == "camera" else at):
                    pilot.observe(stream, stamp, value)
            np.testing.assert_allclose(told[k, p], pilot.read(at), atol=2e-5)
            asked += 1
    assert asked > 40 and (~recording.taken[..., 1]).any() and recording.taken[..., 1].any()
    assert (recording.where < 0).any(), "updates without a frame"


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_what_is_taken_away_is_seen_as_age(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("flight")
    data = arrays(seconds=6.0, seed=seed)
    whole = read_sequence(write(folder / "a", data, seed), CAMERA, vary=False)
    varied = read_sequence(folder / "a", CAMERA)
    again = read_sequence(folder / "a", CAMERA)
    for name in ("where", "summaries", "reads", "labels"):
        np.testing.assert_array_equal(getattr(varied, name), getattr(again, name))
    assert varied.where[0] == 0 == whole.where[0]
    for recording in (whole, varied):
        there = recording.where >= 0
        np.testing.assert_array_equal(recording.summaries[:, PRESENT], there)
        assert not recording.reads[..., PRESENT].any()
        ages = recording.summaries[:, SUMMARY.index("camera_age")]
        assert (ages[1:] > 0).all() and (ages <= 1).all()
        assert (recording.reads[recording.taken][:, -1] > 0).all()
        # The steps of each instant lead less than 0.2 s ahead.
        ahead = np.where(recording.taken, recording.reads[..., -1], 0).sum(-1)
        assert (ahead[recording.weights > 0] > 0).all() and (ahead < 0.2).all()
    assert whole.where.max() == len(data["frames"]) - 1
    np.testing.assert_array_equal(
        np.sort(whole.where[whole.where >= 0]), range(len(data["frames"]))
    )


def test_silence_and_thinning_happen(tmp_path):
    """Over many flights each way of losing samples is drawn."""
    silent = thinned = 0
    for seed in range(60):
        bag = write(tmp_path / f"{seed}", arrays(seed=seed, seconds=4.0), seed)
        recording = read_sequence(bag, CAMERA)
        covered = recording.summaries[:, SUMMARY.index("imu_coverage")]
        silent += bool((covered[1:] < 0.5).any())
        thinned += int((recording.where >= 0).sum()) < len(recording.frames)
    assert 2 <= silent <= 25 and 20 <= thinned <= 40


def test_a_search_to_one_side_is_told_from_flights_that_can_be_mirrored(tmp_path):
    for sided in (False, True):
        bag = write(tmp_path / f"{sided}", arrays(seconds=0.5), sided=sided)
        assert read_sequence(bag, CAMERA).sided is sided
