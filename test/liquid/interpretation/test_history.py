"""Recorded intervals run again: the states are those of the running network."""

import numpy as np
import pytest
from policies_for_tests import FEATURES, frame, small_checkpoint, summaries

from lnn_ros.errors import LnnError
from lnn_ros.liquid.engine import Engine
from lnn_ros.liquid.interpretation.history import Network, going_on, run
from lnn_ros.liquid.spec import SUMMARY
from lnn_ros.timeline.intervals import cut, onward
from lnn_ros.timeline.samples import Track

K = 12
CAMERA = np.arange(K) % 4 != 3
"""Where a frame closes the interval."""


def stream(seed=0):
    rng = np.random.default_rng(seed)
    frames = np.stack([frame(rng) for _ in range(int(CAMERA.sum()))])
    dt = rng.uniform(0.02, 0.2, K)
    told = summaries(rng, dt, CAMERA)
    return np.cumsum(np.round(dt * 1e9).astype(np.int64)) + 10**9, told, frames


@pytest.mark.parametrize("kind", ["flow", "feedforward"])
def test_states_and_commands_are_those_of_the_engine(kind):
    checkpoint = small_checkpoint(kind)
    network = Network.of(checkpoint.spec, checkpoint.arrays)
    stamps, told, frames = stream()
    history = run(network, stamps, told, frames)
    engine = Engine(checkpoint.spec, checkpoint.arrays)
    state = engine.initial()
    seen = iter(frames)
    for k in range(K):
        np.testing.assert_allclose(history.before[k], state, rtol=1e-5, atol=1e-5)
        engine.predict(state, history.dt[k], state)
        engine.update(state, engine.encode(next(seen)) if CAMERA[k] else None, told[k])
        np.testing.assert_allclose(history.after[k], state, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(history.activity[k], engine.activity(state), atol=1e-5)
        np.testing.assert_allclose(
            network.command(history.after[k]), engine.command(state), atol=1e-5
        )
        later = engine.initial()
        engine.predict(state, 0.3, later)
        engine.update(later, None, going_on(told[k], 0.3))
        asked = network.read(history.after[k], history.summaries[k], 0.3)
        np.testing.assert_allclose(asked, engine.command(later), atol=1e-5)
    np.testing.assert_array_equal(history.camera, CAMERA)
    assert history.names == checkpoint.spec.core.names()
    np.testing.assert_allclose(history.seconds, (stamps - stamps[0]) * 1e-9)


def test_features_may_be_given_instead_of_frames():
    checkpoint = small_checkpoint()
    network = Network.of(checkpoint.spec, checkpoint.arrays)
    stamps, told, frames = stream()
    a = run(network, stamps, told, frames)
    b = run(network, stamps, told, features=network.encode(frames))
    np.testing.assert_array_equal(a.after, b.after)
    some = a.take(np.array([2, 5]))
    np.testing.assert_array_equal(some.after, a.after[[2, 5]])
    np.testing.assert_array_equal(some.stamps_ns, stamps[[2, 5]])


def test_what_goes_on_is_what_the_timeline_makes_of_it():
    """A vehicle that turns evenly and steadily: the next interval, frame or none, is foreseen."""
    imu, frames, motion = Track(), Track(), ((0.05, -0.04, 0.3), (0.1, 0.2, 9.7))
    for stamp in range(0, 400, 5):
        imu.put(10**9 + stamp * 10**6, motion)
    frames.put(10**9 + 120 * 10**6, None)
    found = list(cut(frames, imu, 10**8))
    assert [interval.camera for interval, _ in found] == [True, False, False]
    for interval, carry in found:
        (truth,) = onward(carry, imu, interval.stamp_ns + 4 * 10**7)
        foreseen = going_on(interval.summary.astype(float), 0.04)
        wanted = dict(zip(SUMMARY, truth.summary.tolist(), strict=True))
        for name, number in zip(SUMMARY, foreseen.tolist(), strict=True):
            # The force turns with the body, which is small; gravity pulls up to itself slowly.
            assert number == pytest.approx(wanted[name], abs=0.06), name


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
    stamps, told, frames = stream()
    with pytest.raises(LnnError, match=r"either frames or features"):
        run(network, stamps, told)
    with pytest.raises(LnnError, match=r"frames have shape \(9, 12, 15, 3\)"):
        run(network, stamps, told, frames[:, :, :-1])
    with pytest.raises(LnnError, match=rf"\(8, {FEATURES}\), expected \(9, {FEATURES}\): one row"):
        run(network, stamps, told, frames[:-1])
    with pytest.raises(LnnError, match=r"summaries have shape \(12, "):
        run(network, stamps, told[:, :-1], frames)
    told[2, SUMMARY.index("camera_present")] = 0.5
    with pytest.raises(LnnError, match="neither 0 nor 1"):
        run(network, stamps, told, frames)
