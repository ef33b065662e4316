"""A stated spread: what trains it, what it may not touch, and whether a wrong one is noticed."""

import json
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from policies_for_tests import frame, small_checkpoint, small_spec, small_wiring

from lnn_ros.errors import LnnError
from lnn_ros.liquid.calibration import LEVELS, NOMINAL, by_output, calibration
from lnn_ros.liquid.checkpoint import Checkpoint, load, save
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.spec import COMMAND, SUMMARY, PolicySpec
from lnn_ros.liquid.torch_policy import TorchPolicy

SPREAD = (0.02, 2.0)


def sure_policy(seed=0):
    spec = small_spec()
    spec = replace(spec, head=replace(spec.head, spread=SPREAD))
    return TorchPolicy(spec, small_wiring(), seed)


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), factor=st.floats(0.3, 3.0))
def test_coverage_of_a_known_spread(seed, factor):
    """Errors are normal with spreads that all differ; ``factor`` too large is what is stated."""
    rng = np.random.default_rng(seed)
    true = np.exp(rng.uniform(-3, 1, (5000, 4)))
    found = calibration(rng.normal(0, true), factor * true)
    for level in LEVELS:
        wide = factor * NormalDist().inv_cdf(0.5 + level / 2)
        expected = 2 * NormalDist().cdf(wide) - 1
        assert found.coverage[level] == pytest.approx(expected, abs=0.02)
    assert found.count == 20_000 and len(found.observed) == len(NOMINAL)
    wrong = np.mean(np.abs(np.array(found.observed) - NOMINAL))
    assert found.error == pytest.approx(wrong)
    assert found.spread / found.deviation == pytest.approx(factor, rel=0.1)


def test_the_expected_error_tells_wrong_from_right():
    rng = np.random.default_rng(0)
    errors = rng.normal(0, 1, 100_000)
    right, vain, shy = (calibration(errors, np.full(errors.size, s)).error for s in (1, 0.5, 2))
    assert right < 0.005 and vain > 0.15 and shy > 0.15


def test_each_output_is_measured_apart():
    rng = np.random.default_rng(0)
    errors = rng.normal(0, 1, (20_000, 4)) * [1, 2, 1, 1]
    found = by_output(errors, np.ones((20_000, 4)))
    assert list(found) == [*COMMAND, "all"]
    assert found["vx"].error < 0.01 < 0.15 < found["vy"].error
    assert found["all"].count == 80_000
    assert found["vx"].to_json()["coverage"]["0.95"] == found["vx"].coverage[0.95]


def test_what_cannot_be_compared_is_refused():
    for errors, spreads in (
        ([], []),
        ([1.0], [1.0, 2.0]),
        ([1.0], [0.0]),
        ([np.nan], [1.0]),
        ([1.0], [np.inf]),
    ):
        with pytest.raises(LnnError, match="calibration: "):
            calibration(np.array(errors), np.array(spreads))


def fitted(policy, activity, labels, steps=200):
    optimiser = torch.optim.Adam(policy.parameters(), lr=0.05)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.05 * (1 - step / steps)
        optimiser.zero_grad()
        policy.spread_loss(activity, labels, torch.ones(labels.shape[:-1])).backward()
        optimiser.step()
    return policy


def noisy(policy, seed=0, count=3000):
    """Activities, and commands with noise whose spread depends on the activity."""
    torch.manual_seed(seed)
    activity = torch.rand(count, policy.spec.core.units) * 2 - 1
    with torch.no_grad():
        command = policy.read(activity)
        true = 0.2 * torch.exp(activity[:, -4:])
    return activity, command + true * torch.randn(count, 4), true


def test_the_loss_finds_spreads_that_vary():
    policy = sure_policy()
    before = policy.arrays()
    activity, labels, _ = noisy(policy)
    fitted(policy, activity, labels)
    unseen, other, wanted = noisy(policy, seed=1)
    with torch.no_grad():
        stated = policy.spread(unseen)
        errors = other - policy.read(unseen)
    assert np.median(np.abs(np.log((stated / wanted).numpy()))) < 0.1
    found = calibration(errors.numpy(), stated.numpy())
    assert found.error < 0.02 and found.coverage[0.95] == pytest.approx(0.95, abs=0.02)
    # Nothing but the spread has learnt: the command is what it was.
    for name, array in policy.arrays().items():
        assert np.array_equal(array, before[name]) != name.startswith("head.spread"), name


def test_a_wild_label_weighs_less_than_its_square():
    policy = sure_policy()
    activity, labels, true = noisy(policy)
    wild = torch.rand(len(labels)) < 0.02
    labels[wild] += 12.0 * true[wild]
    fitted(policy, activity, labels)
    with torch.no_grad():
        ratio = policy.spread(activity) / true
        root_mean_square = ((labels - policy.read(activity)) / true).square().mean().sqrt()
    # A plain Gaussian likelihood would state the root mean square.
    assert 1.0 < ratio.median() < 0.8 * root_mean_square


def test_labels_without_weight_do_not_count():
    policy = sure_policy()
    activity, labels, _ = noisy(policy, count=50)
    weights = (torch.arange(50) < 30).float()
    some = policy.spread_loss(activity, labels, weights)
    labels[30:] = 1e6
    torch.testing.assert_close(policy.spread_loss(activity, labels, weights), some)
    assert policy.spread_loss(activity, labels, torch.zeros(50)) == 0


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), strength=st.sampled_from([1.0, 100.0]))
def test_the_spread_stays_in_its_range_and_numpy_agrees(seed, strength):
    policy, rng = sure_policy(), np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in policy.head.spread.parameters():
            parameter.copy_(strength * torch.from_numpy(rng.normal(0, 1, parameter.shape)))
    arrays, spec = policy.arrays(), policy.spec
    state = spec.core.initial_state().astype(np.float32)
    told = rng.normal(0, 1, len(SUMMARY)).astype(np.float32)
    state = spec.update(NUMPY, arrays, state, frame(rng).astype(np.float32), told)
    state = spec.predict(NUMPY, arrays, state, np.array([0.1], np.float32))
    stated = spec.spread(NUMPY, arrays, state)
    assert stated.shape == (4,)
    assert (stated >= SPREAD[0] * 0.9999).all() and (stated <= SPREAD[1] * 1.0001).all()
    activity = torch.from_numpy(spec.core.activity(NUMPY, state))
    with torch.no_grad():
        np.testing.assert_allclose(stated, policy.spread(activity).numpy(), rtol=1e-4)


def test_a_policy_without_it_has_no_weights_for_it_and_says_so():
    plain, policy = small_checkpoint(), TorchPolicy(small_spec(), small_wiring())
    assert not [name for name in policy.state_dict() if "spread" in name]
    assert policy.spec.count() == sum(p.numel() for p in policy.parameters())
    sure = sure_policy()
    assert sure.spec.count() == sum(p.numel() for p in sure.parameters())
    assert sure.spec.count() - policy.spec.count() == 4 * (plain.spec.core.read + 1)
    state = plain.spec.core.initial_state()
    with pytest.raises(LnnError, match="does not state how sure"):
        plain.spec.spread(NUMPY, plain.arrays, state)
    with pytest.raises(LnnError, match="does not state how sure"):
        policy.spread(torch.zeros(plain.spec.core.units))


def test_it_is_saved_with_the_policy(tmp_path):
    policy, card = sure_policy(), small_checkpoint().card
    save(tmp_path / "sure", Checkpoint(policy.spec, policy.arrays(), card))
    loaded = load(tmp_path / "sure")
    assert loaded.spec == policy.spec and loaded.spec.head.spread == SPREAD
    back = TorchPolicy.from_arrays(loaded.spec, loaded.arrays)
    torch.testing.assert_close(back.state_dict(), policy.state_dict())


@pytest.mark.parametrize("spread", [[0.1], [0.5, 0.1], [0.0, 1.0], ["a", 1.0], [0.1, 1e9], 3])
def test_a_senseless_range_is_refused(spread):
    data = json.loads(json.dumps(small_spec().to_json()))
    data["head"]["spread"] = spread
    with pytest.raises(LnnError, match=r"spread|malformed"):
        PolicySpec.from_json(data)
