"""The sequence benchmarks: their data, their training loop, their campaigns that go on."""

from __future__ import annotations

import importlib
import json
import sys
from collections import Counter
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.errors import LnnError

ROOT = Path(__file__).resolve().parents[1]
SMALL = {
    "xor": ["--train", "300", "--test", "60"],
    "forecast": ["--episodes", "3"],
    "memory": ["--rates", "20", "--delays", "0.1", "0.2", "0.3", "--validation", "10",
               "--test", "20"],
}  # fmt: skip
COLUMN = {"xor": "accuracy_percent", "forecast": "squared_error",
          "memory": "accuracy_percent_0.3"}  # fmt: skip


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmark")
    walker = importlib.import_module("sequences.walker")
    monkeypatch.setattr(walker, "CACHE", tmp_path_factory.getbasetemp() / "walker")


def module(name: str) -> ModuleType:
    sys.path.insert(0, str(ROOT / "benchmark"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "benchmark"))


def run(name: str, file: Path, seeds: str, cells: str = "flow", minutes: str = "0.005") -> int:
    return module(name).main(
        ["--cells", cells, "--seeds", seeds, "--minutes", minutes, "--units", "6",
         "--json", str(file), *SMALL[name]]
    )  # fmt: skip


# -- campaigns ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_a_campaign_names_its_origin_and_goes_on_where_it_stopped(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "result.json"
    assert run(name, file, "0:1") == 0
    first = json.loads(file.read_text())
    assert {"command", "commit", "machine", "python", "settings"} <= first.keys()
    (key,) = first["runs"]
    assert first["runs"][key]["curve"], "a learning curve is part of the result"
    assert first["runs"][key]["commit"] == first["commit"]

    assert run(name, file, "0:2") == 0
    second = json.loads(file.read_text())
    assert len(second["runs"]) == 2
    assert second["runs"][key] == first["runs"][key], "what was stored is not run again"
    (row,) = second["rows"].values()
    values = row[COLUMN[name]]
    assert row["seeds"] == 2 and values["least"] <= values["median"] <= values["most"]
    table = capsys.readouterr().out
    assert f"{values['median']:.5g}" in table


def test_other_settings_do_not_mix_with_what_a_file_holds(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    assert run("xor", file, "0:1") == 0
    with pytest.raises(LnnError, match=r"made with minutes 0\.005, expected 0\.03"):
        run("xor", file, "0:1", minutes="0.03")
    file.write_text("[]")
    with pytest.raises(LnnError, match="expected results of this benchmark"):
        run("xor", file, "0:1")


def test_two_campaigns_on_one_file_keep_each_others_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "result.json"
    xor = module("xor")
    work = xor.work

    def beside(job: Any) -> Any:
        monkeypatch.setattr(xor, "work", work)
        assert run("xor", file, "1:2") == 0  # all of it, while the first one trains
        return work(job)

    monkeypatch.setattr(xor, "work", beside)
    assert run("xor", file, "0:1") == 0
    assert set(json.loads(file.read_text())["runs"]) == {"flow/0", "flow/1"}


def test_a_missing_cell_is_an_error_of_one_sentence() -> None:
    with pytest.raises(LnnError, match="'no_such' found, expected one of"):
        module("xor").main(["--cells", "flow,no_such"])


def test_a_run_that_fails_is_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    xor = module("xor")
    whole = xor.build

    def build(row: str, *args: Any) -> Any:
        if row == "gru":
            raise RuntimeError("no room")
        return whole(row, *args)

    monkeypatch.setattr(xor, "build", build)
    file = tmp_path / "result.json"
    assert run("xor", file, "0:1", cells="gru,flow") == 1
    assert list(json.loads(file.read_text())["runs"]) == ["flow/0"]
    assert "gru/0 failed: RuntimeError: no room" in capsys.readouterr().err


def test_every_row_of_the_tables_can_be_trained() -> None:
    """A new cell, or one that wants an option, is found here and not in the night of a campaign."""
    rows, memory = module("sequences.rows"), module("memory")
    batch = memory.generate(2, 0.1, 20.0, np.random.default_rng(0)).batch((0.1,))
    task = memory.Recall(20.0, (0.1,), 2, 0)
    for row in rows.chosen_rows(None):
        model = rows.build(row, 4, 4, 64, 0, {})
        task.loss(model, batch).backward()
        norms = [p.grad.norm() for p in model.parameters() if p.grad is not None]
        assert all(torch.isfinite(norm) for norm in norms) and max(norms) > 0, row


# -- training -------------------------------------------------------------------------------------


def test_training_keeps_the_weights_that_did_best() -> None:
    training = module("sequences.training")

    class Task:
        """Scores fall, while the weight moves on."""

        def __init__(self) -> None:
            self.seen: list[float] = []

        def batches(self, rng: np.random.Generator) -> Any:
            while True:
                yield training.Batch(torch.ones(1, 1, 1), torch.ones(1, 1), torch.ones(1))

        def loss(self, model: torch.nn.Module, batch: Any) -> torch.Tensor:
            return model(batch.x).sum()

        def validate(self, model: torch.nn.Module, spent: float) -> float:
            self.seen.append(model.weight.item())
            return -float(len(self.seen))

        def enough(self, scores: list[float]) -> bool:
            return len(scores) >= 3

    model, task = torch.nn.Linear(1, 1), Task()
    result = training.train(model, task, training.Training(0.01, 1e-2, validations=1000), 0)
    assert len(set(task.seen)) == 3 and len(result["curve"]) == 3
    assert model.weight.item() == task.seen[0] and result["validation"] == -1.0


def test_a_slow_validation_does_not_take_the_time_of_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a clock on which an update takes a second and a validation ten, of a hundred."""
    training = module("sequences.training")
    clock = [0.0]
    monkeypatch.setattr(training.time, "process_time", lambda: clock[0])

    class Task:
        def batches(self, rng: np.random.Generator) -> Any:
            while True:
                clock[0] += 1.0
                yield training.Batch(torch.ones(1, 1, 1), torch.ones(1, 1), torch.ones(1))

        def loss(self, model: torch.nn.Module, batch: Any) -> torch.Tensor:
            return model(batch.x).square().sum()

        def validate(self, model: torch.nn.Module, spent: float) -> float:
            clock[0] += 10.0
            return 0.0

        def enough(self, scores: list[float]) -> bool:
            return False

    settings = training.Training(100 / 60, 1e-2, validations=50)
    result = training.train(torch.nn.Linear(1, 1), Task(), settings, 0)
    # The first after two updates, the next when its ten seconds are a fifth, and the last.
    assert [row[1] for row in result["curve"]] == [2, 40, 80]


# -- learning rates -------------------------------------------------------------------------------


def test_the_best_rate_has_the_highest_score_and_of_equals_the_lower_wins() -> None:
    scores = {"a@0.002/7": -3.0, "a@0.008/7": -2.0, "b_c@0.008/7": 0.5, "b_c@0.002/7": 0.5}
    runs = {key: {"validation": score} for key, score in scores.items()}
    assert module("rates").best(runs) == {"a": 8e-3, "b_c": 2e-3}


@pytest.mark.parametrize("name", ["xor", "forecast"])
def test_each_cell_trains_with_the_rate_that_did_best_in_the_trials(name: str) -> None:
    rates, benchmark = module("rates"), module(name)
    file = ROOT / "docs" / "results" / f"rates_{name}.json"
    runs = json.loads(file.read_text())["runs"]
    trials = [key.rsplit("/", 1) for key in runs]
    assert {int(seed) for _, seed in trials} == {rates.SEED}, "chosen on a reported seed"
    tried = Counter(trial.split("@")[0] for trial, _ in trials)
    # A cell of a campaign that still runs, or was stopped, may have a single rate: no winner yet.
    expected = {row: rate for row, rate in rates.best(runs).items() if tried[row] > 1}
    assert expected, f"{file}: no cell was tried with several rates"
    used = {row: benchmark.LEARNING_RATES.get(row, benchmark.LEARNING_RATE) for row in expected}
    assert used == expected


# -- xor ------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_events_tell_the_bits_and_the_label_is_their_parity(seed: int) -> None:
    events = module("xor").generate(20, (seed,))
    for bit, elapsed, count, label in zip(
        events.bit, events.elapsed, events.count, events.label, strict=True
    ):
        assert not bit[count:].any() and not elapsed[count:].any()
        steps = np.rint(32 * elapsed[:count]).astype(int)
        np.testing.assert_allclose(elapsed[:count] * 32, steps, atol=1e-6)
        assert steps[0] == 1 and (steps >= 1).all() and 2 <= steps.sum() <= 31
        # Each event's bit holds until just before the next one, the last one's to the end.
        bits = [v for v, n in zip(bit[: count - 1], steps[1:], strict=True) for _ in range(n)]
        bits.append(bit[count - 1])
        assert label == sum(bits) % 2
        # One event per run of equal bits, and one more for what follows the last change.
        runs = [len(list(group)) for _, group in groupby(bits)]
        assert count == len(runs) + (runs[-1] > 1)


def test_xor_has_the_published_distribution_and_splits_that_share_no_seed() -> None:
    xor = module("xor")
    events = xor.generate(20_000, (1, 2))
    lengths = np.rint(32 * events.elapsed.sum(1)).astype(int)
    assert (lengths.min(), lengths.max()) == (2, 31)
    counts = np.bincount(lengths, minlength=32)[2:]
    expected = len(lengths) / 30
    assert ((counts - expected) ** 2 / expected).sum() < 60  # chi-squared of 29, p < 0.001
    assert abs(events.label.mean() - 0.5) < 0.02
    again = xor.generate(20_000, (1, 2))
    assert all(np.array_equal(getattr(events, n), getattr(again, n)) for n in vars(events))
    firsts = {xor.TRAIN_SEED, xor.VALIDATION_SEED, xor.TEST_SEED}
    assert len(firsts) == 3
    splits = [xor.generate(200, (first, 7)).bit.tobytes() for first in firsts]
    assert len(set(splits)) == 3


# -- forecast -------------------------------------------------------------------------------------


def test_recordings_are_the_same_bytes_with_and_without_the_cache(tmp_path: Path) -> None:
    walker = module("sequences.walker")
    first = walker.recordings(3, 2)
    (file,) = walker.CACHE.glob("*-3-2.npy")
    assert np.array_equal(first, walker.recordings(3, 2))
    file.unlink()
    assert first.tobytes() == walker.recordings(3, 2).tobytes()
    assert np.array_equal(first[1], walker.episode(walker.model(), 4))
    assert np.isfinite(first).all() and first.shape == (2, walker.FRAMES, 17)
    assert (first[:, 100:, 3:6].std(1) > 0.02).all(), "it moves its legs"
    assert (first[:, :, 0] > -0.4).all(), "the harness holds it"


def test_a_window_holds_frames_their_distance_and_what_follows_them() -> None:
    forecast = module("forecast")
    frames = np.tile(np.arange(400.0)[:, None], (3, 1, 17))  # a frame's values are its number
    windows = forecast.windows(frames, 50)
    assert windows.x.shape[1:] == (64, 17)
    assert np.array_equal(windows.y, windows.x + 1)
    assert np.array_equal(np.diff(windows.x[..., 0], axis=1), windows.dt[:, 1:])
    assert (windows.dt >= 1).all()
    removed = 1 - 1 / windows.dt.mean()
    assert abs(removed - forecast.REMOVED) < 0.03
    assert not np.array_equal(windows.x, forecast.windows(frames, 51).x)


def test_the_splits_of_the_forecast_have_no_episode_in_common() -> None:
    forecast = module("forecast")
    data = forecast.splits(3)
    seen = [{frame.tobytes() for frame in part.x.reshape(-1, 17)} for part in data.values()]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    references = forecast.references(data)
    assert 0 < references["least_squares"] < references["hold_last_frame"] < 1


# -- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [20.0, 200.0])
def test_a_cue_is_shown_for_a_tenth_of_a_second_and_asked_for_after_the_delay(rate: float) -> None:
    memory = module("memory")
    cues = memory.generate(200, 0.5, rate, np.random.default_rng(3))
    np.testing.assert_allclose(np.cumsum(cues.dt, 1), cues.time, atol=1e-4)
    assert ((cues.end >= 0.1) & (cues.end <= 0.5)).all()
    shown = (cues.time >= cues.end[:, None] - 0.1) & (cues.time < cues.end[:, None])
    assert (shown.any(1)).all(), "no cue falls between two observations"
    channel = np.take_along_axis(cues.x, cues.label[:, None, None], 2)[..., 0]
    assert abs(channel[shown].mean() - 1.0) < 0.05 and abs(channel[~shown].mean()) < 0.05
    others = cues.x[:, :, :].sum(-1) - channel
    assert abs(others.mean()) < 0.05
    assert abs(channel[~shown].std() - memory.NOISE) < 0.02, "the same noise at every rate"
    batch = cues.batch((0.1, 0.5))
    at = batch.at.numpy()
    rows = np.arange(200)[:, None]
    late = cues.time[rows, at] - cues.end[:, None] - np.array([0.1, 0.5])
    assert (late > -1e-6).all() and (late < 2.0 / rate).all()
    assert np.bincount(cues.label, minlength=4).min() > 20


def test_the_gradient_that_arrives_is_the_one_that_autograd_has() -> None:
    """A cell that halves the gradient over a second, without any network."""
    memory = module("memory")

    class Leaky(torch.nn.Module):
        def forward(self, x: Any, dt: Any, state: Any = None) -> Any:
            state = x.new_zeros(len(x), 4) if state is None else state
            states = []
            for t in range(x.shape[1]):
                state = state * 0.5 ** dt[:, t, None] + x[:, t]
                states.append(state)
            return torch.stack(states, 1), state

    cues = memory.generate(4, 3.0, 200.0, np.random.default_rng(0))
    found = memory.gradients(Leaky(), cues, 3.0)
    assert list(found) == ["0.1", "0.3", "1", "3"]
    for distance, value in found.items():
        assert value == pytest.approx(0.5 ** (float(distance) - 0.1), rel=1e-3)


def test_a_stage_of_the_curriculum_ends_when_it_is_learned_or_late() -> None:
    memory = module("memory")

    class Blind(torch.nn.Module):
        def forward(self, x: Any, dt: Any) -> Any:
            return torch.zeros(*x.shape[:2], 4), None

    task = memory.Recall(20.0, (0.1, 0.2, 0.3), 20, 0)
    spent = [0.0, memory.LATEST[0], memory.LATEST[0], memory.LATEST[1], 1.0]
    assert [int(task.validate(Blind(), part)) for part in spent] == [0, 0, 1, 1, 2]
    longest = [next(task.batches(np.random.default_rng(0))).x.shape[1] for _ in range(1)]
    assert longest[0] >= 12
