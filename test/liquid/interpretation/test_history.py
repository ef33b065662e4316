"""A recorded stream run again: the states are those of the running network."""

import numpy as np
import pytest
from policies_for_tests import frame, small_checkpoint

from lnn_ros.errors import LnnError
from lnn_ros.liquid.engine import Engine
from lnn_ros.liquid.interpretation.history import Network, run

K = 12


def stream(seed=0):
    rng = np.random.default_rng(seed)
    frames = np.stack([frame(rng) for _ in range(K)])
    dt = rng.uniform(0.02, 0.2, K)
    summaries = rng.normal(0, 1, (K, 9)).astype(np.float32)
    summaries[:, -1] = dt
    return np.cumsum(np.round(dt * 1e9).astype(np.int64)) + 10**9, summaries, frames


@pytest.mark.parametrize("kind", ["flow", "feedforward"])
def test_states_and_commands_are_those_of_the_engine(kind):
    checkpoint = small_checkpoint(kind)
    network = Network.of(checkpoint.spec, checkpoint.arrays)
    stamps, summaries, frames = stream()
    history = run(network, stamps, summaries, frames)
    engine = Engine(checkpoint.spec, checkpoint.arrays)
    state = engine.initial()
    for k in range(K):
        np.testing.assert_allclose(history.before[k], state, rtol=1e-5, atol=1e-5)
        engine.predict(state, float(summaries[k, -1]), state)
        engine.update(state, frames[k], summaries[k])
        np.testing.assert_allclose(history.after[k], state, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(history.activity[k], engine.activity(state), atol=1e-5)
        np.testing.assert_allclose(
            network.command(history.after[k]), engine.command(state), atol=1e-5
        )
        later = engine.initial()
        engine.predict(state, 0.3, later)
        np.testing.assert_allclose(
            network.command(history.after[k], 0.3), engine.command(later), atol=1e-5
        )
    assert history.names == checkpoint.spec.core.names()
    np.testing.assert_allclose(history.seconds, (stamps - stamps[0]) * 1e-9)


def test_features_may_be_given_instead_of_frames():
    checkpoint = small_checkpoint()
    network = Network.of(checkpoint.spec, checkpoint.arrays)
    stamps, summaries, frames = stream()
    a = run(network, stamps, summaries, frames)
    b = run(network, stamps, summaries, features=network.encode(frames))
    np.testing.assert_array_equal(a.after, b.after)
    some = a.take(np.array([2, 5]))
    np.testing.assert_array_equal(some.after, a.after[[2, 5]])
    np.testing.assert_array_equal(some.stamps_ns, stamps[[2, 5]])


def test_phases_go_round_with_the_turning_pairs():
    checkpoint = small_checkpoint("flow")
    network = Network.of(checkpoint.spec, checkpoint.arrays)
    history = run(network, *stream())
    names, phases = history.phases()
    assert len(names) == sum(history.cell.pairs) > 0
    for name, phase in zip(names, phases.T, strict=True):
        first, second = (history.activity[:, history.names.index(n)] for n in name.split("+"))
        length = np.hypot(first, second)
        np.testing.assert_allclose(length * np.cos(phase), first, atol=1e-12)
        np.testing.assert_allclose(length * np.sin(phase), second, atol=1e-12)
    still = small_checkpoint("feedforward")
    names, phases = run(Network.of(still.spec, still.arrays), *stream()).phases()
    assert names == [] and phases.shape == (K, 0)


def test_what_does_not_fit_is_refused():
    checkpoint = small_checkpoint()
    network = Network.of(checkpoint.spec, checkpoint.arrays)
    stamps, summaries, frames = stream()
    with pytest.raises(LnnError, match=r"either frames or features"):
        run(network, stamps, summaries)
    with pytest.raises(LnnError, match=r"frames have shape \(12, 12, 15, 3\)"):
        run(network, stamps, summaries, frames[:, :, :-1])
    with pytest.raises(LnnError, match=r"features have shape \(11, 7\), expected \(12, 7\)"):
        run(network, stamps, summaries, frames[:-1])
    with pytest.raises(LnnError, match=r"summaries have shape \(12, 8\)"):
        run(network, stamps, summaries[:, :-1], frames)
