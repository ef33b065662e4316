"""``lnn_ros interpret``: one flight in pictures, many in numbers; and what the numbers say."""

import json
import struct

import numpy as np
import pytest
from policies_for_tests import small_checkpoint

from lnn_ros import policies
from lnn_ros.cli import main
from lnn_ros.learning import interpret_study
from lnn_ros.learning.architecture import make_policy
from lnn_ros.learning.hints import COLUMNS
from lnn_ros.learning.interpret import format_study, interpret, show
from lnn_ros.learning.interpret_flight import record_flight
from lnn_ros.learning.interpret_study import (
    interval,
    measure_attribution,
    measure_saliency,
    networks,
    summarise_attribution,
    summarise_probes,
    summarise_saliency,
)
from lnn_ros.learning.trials import Trial, try_once
from lnn_ros.liquid.checkpoint import Checkpoint, load
from lnn_ros.liquid.interpretation import history
from lnn_ros.liquid.interpretation.history import Network
from lnn_ros.liquid.spec import CAMERA_PRESENT
from lnn_ros.liquid.torch_policy import TorchPolicy
from lnn_ros.simulation.camera import CameraGeometry
from lnn_ros.simulation.sensors import StreamTiming
from lnn_ros.simulation.simulator import SimulatorOptions
from lnn_ros.simulation.task import Task

SHIPPED = str(policies.path("fly_to_target"))
SEEDS = (300_052, 300_053)
"""Worlds that nobody trains, chooses or reports on."""


@pytest.fixture(scope="module")
def flights():
    checkpoint = load(SHIPPED)
    return [record_flight(checkpoint, seed, "fly_to_target") for seed in SEEDS]


def cut(flight, count=60, **changes):
    """The beginning of a flight: so many intervals, and the frames that close some of them."""
    frames = int(flight.camera[:count].sum())
    kept = {
        k: v[: frames if k in ("frames", "masks") else count] if isinstance(v, np.ndarray) else v
        for k, v in vars(flight).items()
    }
    return type(flight)(**{**kept, **changes})


@pytest.fixture(scope="module")
def gappy():
    """A flight of a random policy whose camera loses 7 of 10 frames."""
    task = Task.load("fly_to_target")
    spec, wiring = make_policy("flow", task, 0)
    arrays = TorchPolicy(spec, wiring).arrays()
    options = SimulatorOptions(camera=StreamTiming(rate_hz=20.0, latency_s=0.01, drop=0.7))
    return record_flight(Checkpoint(spec, arrays, {}), SEEDS[0], "fly_to_target", options)


def test_intervals_without_a_frame_are_explained_too(gappy):
    """What is commanded is what the states of the recorded intervals ask for."""
    flight, count = gappy, len(gappy.stamps_ns)
    assert 10 < flight.camera.sum() == len(flight.frames) == len(flight.masks) < 0.9 * count
    np.testing.assert_array_equal(flight.summaries[:, CAMERA_PRESENT], flight.camera)
    task = Task.load("fly_to_target")
    spec, wiring = make_policy("flow", task, 0)
    arrays = TorchPolicy(spec, wiring).arrays()
    found = interpret(Checkpoint(spec, arrays, {}), flight)
    assert len(found.saliency) == len(found.ratio) == len(flight.frames)
    assert len(found.parts) == len(found.history.after) == count
    assert (np.abs(found.parts[flight.camera][:, 0]).max(0) > 1e-4).all()
    network = Network.of(spec, arrays)
    asked = [
        network.read(found.history.after, found.history.summaries, after)
        for after in np.arange(0.005, 0.1, 0.005)
    ]
    nearest = np.min([np.abs(a - flight.commands) for a in asked], axis=0)
    assert np.median(nearest, 0).max() < 0.01
    numbers = found.to_json()
    assert numbers["camera"] == flight.camera.tolist()
    saliency = numbers["saliency"]
    assert len(saliency["stamps_ns"]) == len(saliency["mass_on_target_over_chance"]) < count


def test_the_flight_is_the_one_that_evaluate_flies(flights):
    flight = flights[0]
    judged = try_once(Trial(flight.seed, SHIPPED, SHIPPED, "fly_to_target"))
    assert flight.outcome == judged["outcome"]
    assert 0.0 <= judged["seconds"] - flight.seconds[-1] < 0.15
    assert (np.diff(flight.stamps_ns) > 0).all()
    assert len(flight.stamps_ns) == len(flight.commands) == len(flight.hints)
    assert len(flight.frames) == len(flight.masks) == flight.camera.sum() > 0.9 * len(flight.hints)
    # The states that are explained are those that flew: they ask for what was commanded.
    _, network, _ = networks(SHIPPED)
    past = history.run(network, flight.stamps_ns, flight.summaries, flight.frames)
    asked = [network.read(past.after, past.summaries, after) for after in (0.02, 0.03, 0.04, 0.05)]
    nearest = np.min([np.abs(a - flight.commands) for a in asked], axis=0)
    assert np.median(nearest, 0).max() < 0.01


def test_the_truth_is_that_of_each_frame(flights):
    """The masks hold the red column, which the frames show; distance and bearing agree."""
    flight = flights[0]
    task = Task.load("fly_to_target")
    geometry = CameraGeometry(
        task.camera.width, task.camera.height, np.radians(task.camera.field_of_view)
    )
    for k in np.flatnonzero(flight.masks.sum((1, 2)) > 60)[::20]:
        inside = flight.frames[k][flight.masks[k]].astype(float)
        outside = flight.frames[k][~flight.masks[k]].astype(float)
        redness = [(p[:, 0] / (p.sum(1) + 1.0)).mean() for p in (inside, outside)]
        assert redness[0] > 1.2 * redness[1]
        columns = np.nonzero(flight.masks[k])[1]
        bearing = flight.bearing[flight.camera][k]
        if columns.min() > 2 and columns.max() < geometry.width - 3:
            right = (columns.mean() + 0.5 - geometry.width / 2) / geometry.focal_length
            assert np.arctan(right) == pytest.approx(-bearing, abs=0.12)


def test_what_was_never_in_view_is_not_remembered(flights):
    flight = cut(flights[0], 12)
    hints = flight.hints.copy()
    hints[:, COLUMNS] = [0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1]
    hidden = cut(flight, 12, hints=hints).hidden_s
    since = flight.seconds - flight.seconds[[0, 0, 0, 3, 4, 4, 4, 4, 8, 8, 8, 11]]
    assert np.isinf(hidden[:3]).all()
    np.testing.assert_allclose(hidden[3:], since[3:], atol=1e-9)


def test_the_shipped_policy_looks_at_the_target_and_turns_to_it(flights):
    """The margins are wide of what docs/results/interpretation.json reports."""
    _, network, drawn = networks(SHIPPED)
    looks, parts = [], []
    for flight in flights:
        past = history.run(network, flight.stamps_ns, flight.summaries, flight.frames)
        looks.append(measure_saliency(network, drawn, flight, past))
        parts.append(measure_attribution(network, flight, past))
    names = ("mass_ratio", "mass_ratio_random_weights", "salient", "random_pixels", "target")
    ratio, untrained, salient, anywhere, target = (
        np.mean([look[name] for look in looks]) for name in names
    )
    assert ratio > 2.0 and ratio > 1.5 * untrained
    assert salient > 1.5 * anywhere and target > 1.5 * anywhere
    summed = summarise_attribution(parts)["target_visible"]
    assert summed["camera"]["value"] > summed["elapsed_time"]["value"]


def test_one_flight_is_explained_in_a_folder(flights, tmp_path, capsys):
    flight = cut(flights[0])
    show(interpret(load(SHIPPED), flight), {"commit": "none"}, tmp_path / "new" / "folder")
    out = tmp_path / "new" / "folder"
    assert str(out) in capsys.readouterr().out
    found = json.loads((out / "interpretation.json").read_text())
    count = len(flight.stamps_ns)
    assert found["commit"] == "none" and found["seed"] == flight.seed
    assert np.array(found["attribution"]["values"]).shape == (count, 4, 4)
    assert len(found["time_constants"]["seconds"]) == len(found["activity"]["values"]) == count
    assert len(found["saliency"]["mass_on_target_over_chance"]) == len(flight.frames)
    for name in ("saliency", "time_constants", "activity", "attribution"):
        blob = (out / f"{name}.png").read_bytes()
        assert blob[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", blob[16:24])
        assert width > 800 and height > 400


@pytest.mark.parametrize("kind", ["flow", "feedforward"])
def test_any_core_can_be_drawn(kind, flights, tmp_path):
    """One with turning pairs; one that remembers nothing, whose target is never in view."""
    flight = cut(flights[0], 8)
    small = cut(flight, frames=flight.frames[:, ::4, ::4], masks=flight.masks[:, ::4, ::4])
    if kind == "feedforward":
        hints = np.zeros_like(flight.hints)
        small = cut(small, masks=np.zeros_like(small.masks), hints=hints)
    show(interpret(small_checkpoint(kind), small), {}, tmp_path)
    found = json.loads((tmp_path / "interpretation.json").read_text())
    assert len(list(tmp_path.glob("*.png"))) == 4
    if kind == "flow":
        assert np.array(found["phases"]["rad"]).shape == (8, len(found["phases"]["names"]))
        assert found["phases"]["names"] == found["time_constants"]["turning"] != []
    else:
        assert np.array(found["time_constants"]["seconds"]).max() == 0.0
        assert found["saliency"]["mass_on_target_over_chance"] == [None] * len(small.frames)


def test_the_numbers_of_many_flights_come_from_the_command(flights, tmp_path, capsys, monkeypatch):
    """Two flights stand for many: what is tested is that numbers arrive where they belong."""
    by_seed = {flight.seed: flight for flight in flights}
    seeds = range(SEEDS[0], SEEDS[0] + 10)

    def recorded(checkpoint, seed, task):
        return cut(by_seed[SEEDS[seed % 2]], seed=seed)

    monkeypatch.setattr(interpret_study, "record_flight", recorded)
    file = tmp_path / "numbers" / "interpretation.json"
    words = ["interpret", SHIPPED, "--seeds", f"{seeds.start}:{seeds.stop}", "--json", str(file)]
    assert main(words) == 0
    found = json.loads(file.read_text())
    assert found["seeds"] == [seeds.start, seeds.stop]
    assert len(found["weights_sha256"]) == 64 and found["commit"] and found["machine"]
    assert [flight["seed"] for flight in found["flights"]] == list(seeds)
    rows = [flight["saliency"] for flight in found["flights"]]
    middle = np.median([row["mass_ratio"] for row in rows])
    assert found["saliency"]["mass_ratio"]["value"] == pytest.approx(middle)
    more = np.mean([row["salient"] - row["random_pixels"] for row in rows])
    assert found["deletion"]["salient_minus_random_pixels"]["value"] == pytest.approx(more)
    # Every flight was there five times: a probe knows the held-out ones by heart.
    assert found["probes"]["target_distance"]["neurons"]["r2"] > 0.9
    assert found["probes"]["target_distance"]["intervals"] > 200
    constants = found["time_constants"]["seconds"].values()
    assert constants and all(row["q25"] <= row["median"] <= row["q75"] for row in constants)
    assert format_study(found) == capsys.readouterr().out.rstrip("\n")


def test_what_was_never_seen_is_said_to_be_missing():
    """A policy that never has the target in view still gets a report."""
    assert summarise_saliency([]) == {"saliency": None, "deletion": None}
    row = {"visible": None, "hidden": [0.1, 0.0, 0.0, 0.2], "turns_to_target": None}
    parts = summarise_attribution([row] * 10)
    assert parts["target_visible"]["camera"] is None
    assert parts["target_hidden"]["memory"]["value"] == pytest.approx(0.2)
    rng = np.random.default_rng(0)
    flights = [
        {
            "seed": seed,
            "intervals": 20,
            "read": {"neurons": rng.normal(0, 1, (20, 3))},
            "distance": np.ones(20),
            "bearing": np.ones(20),
            "nearness": rng.normal(0, 1, 20),
            "visible": np.zeros(20, bool),
            "remembered": np.zeros(20, bool),
        }
        for seed in range(10)
    ]
    probed = summarise_probes(flights)
    assert probed["target_distance"] is None and probed["obstacle_nearness"]["neurons"]["r2"] < 0.2
    text = format_study(
        {"flights": flights, **summarise_saliency([]), "attribution": parts, "probes": probed}
    )
    assert "| camera | - | 0.100 [0.100, 0.100] |" in text


def test_an_interval_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(300):
        low, high = interval(rng.normal(0, 1, 40), np.mean, 500)["interval"]
        held.append(low <= 0.0 <= high)
    assert 0.90 <= np.mean(held) <= 0.98


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "give --out FOLDER for the pictures"),
        (["--out", "x", "--seeds", "1:3"], "one of the two"),
        (["--seeds", "300000:300005"], "5 worlds found, expected at least 10"),
        (["missing.safetensors", "--out", "x"], "missing.safetensors: cannot be read"),
    ],
)
def test_wrong_words_are_answered_in_one_sentence(words, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["interpret", *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
