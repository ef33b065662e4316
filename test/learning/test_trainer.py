"""Learning learns, repeats itself exactly, and goes on exactly where it was."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lnn_ros.errors import LnnError
from lnn_ros.learning.trainer import Trainer, cosine
from lnn_ros.liquid.checkpoint import Checkpoint

sys.path.insert(0, str(Path(__file__).parents[1] / "liquid"))
from lessons import lesson
from policies_for_tests import small_spec, small_wiring

STEADY = ((1e-2, 1e-2), 4, 10)  # rates, lanes, window


def trainer(kind="flow", seed=1):
    torch.set_num_threads(1)
    return Trainer(small_spec(kind), small_wiring(kind), seed)


@pytest.mark.parametrize("kind", ["flow", "feedforward"])
def test_training_improves_the_loss_on_other_data(kind):
    data = [lesson(i) for i in range(8)]
    unseen = [lesson(100 + i) for i in range(4)]
    teacher = trainer(kind)
    before = teacher.loss(unseen)
    for epoch in range(8):
        teacher.epoch(data, (0, epoch), *STEADY)
    assert teacher.loss(unseen) < 0.4 * before


def test_looking_teaches_the_encoder_alone():
    teacher = trainer()
    before = teacher.policy.arrays()
    data = [lesson(i) for i in range(4)]
    first = teacher.look(data, (0, 0), 160, 16, 3e-3)
    assert teacher.look(data, (0, 1), 3200, 16, 3e-3) < 0.7 * first
    for name, array in teacher.policy.arrays().items():
        assert np.array_equal(array, before[name]) != name.startswith("encoder"), name


def test_training_is_deterministic_and_resumable(tmp_path):
    data = [lesson(i) for i in range(4)]
    whole, first, other = trainer(), trainer(), trainer(seed=2)
    for epoch in range(3):
        whole.epoch(data, (0, epoch), *STEADY)
    first.epoch(data, (0, 0), *STEADY)
    first.save(tmp_path / "state", {"epoch": 1})
    rest = trainer()
    assert rest.load(tmp_path / "state") == {"epoch": 1}
    for epoch in (1, 2):
        rest.epoch(data, (0, epoch), *STEADY)
    for name, array in whole.policy.arrays().items():
        np.testing.assert_array_equal(array, rest.policy.arrays()[name])
    assert not np.array_equal(
        whole.policy.arrays()["head.weight"], other.policy.arrays()["head.weight"]
    )


def test_a_flight_of_which_nobody_knows_the_hints_teaches_what_it_knows():
    """A robot's recording: labels, but no hints; of a moment without help, neither."""
    known = [lesson(i) for i in range(4)]
    unknown = [replace(r, hints=np.full_like(r.hints, np.nan)) for r in known]
    nothing = [replace(r, weights=np.zeros_like(r.weights)) for r in unknown]
    for data, learns in ((unknown, True), (known[:2] + nothing[2:], True), (nothing, False)):
        teacher = trainer()
        before, loss = teacher.policy.arrays(), teacher.loss(known)
        assert np.isfinite(teacher.look(data, (0, 0), 320, 16, 3e-3))
        for epoch in range(4):
            assert np.isfinite(teacher.epoch(data, (0, epoch), *STEADY))
        moved = [name for name, array in teacher.policy.arrays().items()
                 if not np.array_equal(array, before[name])]  # fmt: skip
        assert bool(moved) is learns
        assert all(np.isfinite(array).all() for array in teacher.policy.arrays().values())
        assert (teacher.loss(known) < 0.9 * loss) is learns


def test_the_core_learns_on_features_as_on_frames():
    """Features stand for the frames, mirrored ones too: with the same order, the same loss."""
    data = [lesson(i) for i in range(4)]
    on_features = trainer()
    features = [on_features.features(r) for r in data]
    before = on_features.policy.arrays()
    frozen = [on_features.epoch(data, (0, i), *STEADY, features) for i in range(3)]
    assert frozen[2] < frozen[0]
    for name, array in on_features.policy.arrays().items():
        same = name.startswith(("encoder", "wiring"))
        assert np.array_equal(array, before[name]) == same, name
    still = (0.0, 0.0), 4, 10
    other = trainer()
    wanted = [
        t.epoch(data, (0, 0), *still, f)
        for t, f in ((trainer(), None), (other, [other.features(r) for r in data]))
    ]
    assert wanted[0] == pytest.approx(wanted[1], rel=0.2), "light differs, nothing else"


def test_forbidden_connections_stay_closed():
    teacher = trainer()
    for epoch in range(2):
        teacher.epoch([lesson(0)], (0, epoch), *STEADY)
    arrays = teacher.policy.arrays()
    allowed = teacher.policy.spec.core.allowed(arrays)
    assert "command.frequency.weight" in allowed
    for name, mask in allowed.items():
        assert (arrays[f"core.{name}"][mask == 0] == 0).all()


def test_a_foreign_state_is_refused(tmp_path):
    trainer("feedforward").save(tmp_path / "state", {})
    with pytest.raises(LnnError, match="no training state"):
        trainer().load(tmp_path / "state")
    (tmp_path / "state").write_bytes(b"x" * 100)
    with pytest.raises(LnnError, match="no training state"):
        trainer().load(tmp_path / "state")


def test_the_rate_anneals():
    shares = [cosine(x) for x in np.linspace(0, 1, 11)]
    assert shares[0] == 1.0 and shares[-1] == pytest.approx(0.02)
    assert shares == sorted(shares, reverse=True)


def test_a_training_may_start_from_another_policys_encoder():
    spec, source = small_spec(), trainer(seed=3)
    given = Checkpoint(spec, source.policy.arrays(), {})
    teacher = trainer(seed=4)
    teacher.take_encoder(given, "given.safetensors")
    arrays = teacher.policy.arrays()
    for name, array in given.arrays.items():
        if name.startswith("encoder."):
            np.testing.assert_array_equal(arrays[name], array)
    other = replace(spec, encoder=replace(spec.encoder, features=5))
    with pytest.raises(LnnError, match=r"given.safetensors: another encoder"):
        teacher.take_encoder(Checkpoint(other, given.arrays, {}), "given.safetensors")
