"""Attribution: what is shared out is the whole command, and nobody gets what is not theirs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies_for_tests import FEATURES, HEIGHT, WIDTH, frame, small_checkpoint, summaries

from lnn_ros.errors import LnnError
from lnn_ros.liquid.interpretation.attribution import SOURCES, Baselines, shapley
from lnn_ros.liquid.interpretation.history import Network, run
from lnn_ros.liquid.spec import SUMMARY

K = 8
CAMERA, IMU, ELAPSED, MEMORY = range(4)
SEEN = np.arange(K) % 3 != 2
"""Where a frame closes the interval."""
TIMES = [SUMMARY.index(name) for name in ("camera_age", "dt")]
PRESENT = SUMMARY.index("camera_present")
FELT = [i for i in range(len(SUMMARY)) if i not in (*TIMES, PRESENT)]


def flown(network, seed=0, camera=SEEN):
    """History over random intervals, and their baselines."""
    rng = np.random.default_rng(seed)
    told = summaries(rng, rng.uniform(0.02, 0.3, K), camera)
    frames = np.stack([frame(rng) for _ in range(int(camera.sum()))])
    history = run(network, np.arange(K) + 1, told, frames)
    return history, Baselines.ordinary(frames, history.summaries)


def rows(*numbers):
    """Inputs of the core that are these numbers of the summary."""
    return [FEATURES + i for i in numbers]


def policy(kind="flow", seed=0, **changes):
    """A random policy; ``changes`` are (tensor, rows) to set to zero."""
    checkpoint = small_checkpoint(kind, seed)
    arrays = {name: np.array(value) for name, value in checkpoint.arrays.items()}
    first = [name for name in arrays if name.startswith(("core.inter", "core.hidden0"))]
    for name in first:
        if name.endswith("weight"):
            for rows in changes.values():
                arrays[name][rows] = 0.0
    return Network.of(checkpoint.spec, arrays)


def difference(network, history, baselines):
    """Command minus the command of all baselines, computed the plain way."""
    command = network.read(history.after, history.summaries, 0.05)
    blank = network.encode(baselines.frame[None])[0]
    start = network.spec.core.initial_state()
    out = np.empty_like(command)
    for k in range(K):
        told = baselines.summary.copy()
        told[PRESENT] = history.summaries[k, PRESENT]
        rested = network.step(start, told[TIMES[1:]], blank, told)
        out[k] = command[k] - network.read(rested, told, 0.05)
    return out


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["flow", "feedforward"]))
def test_the_parts_are_the_whole(seed, kind):
    network = policy(kind, seed)
    history, baselines = flown(network, seed)
    parts = shapley(network, history, baselines)
    assert parts.shape == (K, len(SOURCES), 4)
    np.testing.assert_allclose(
        parts.sum(1), difference(network, history, baselines), atol=1e-9
    )  # completeness


def test_a_source_that_the_network_does_not_hear_gets_nothing():
    blind = policy(rows=[*range(FEATURES), *rows(TIMES[0])])
    parts = shapley(blind, *flown(blind))
    assert (parts[:, CAMERA] == 0.0).all() and np.abs(parts[:, IMU]).max() > 1e-3
    numb = policy(rows=rows(*FELT))
    parts = shapley(numb, *flown(numb))
    assert (parts[:, IMU] == 0.0).all() and np.abs(parts[:, CAMERA]).max() > 1e-3
    # Without memory, where a frame is: elsewhere it stands by its last answer.
    forgetful = policy("feedforward")
    parts = shapley(forgetful, *flown(forgetful, camera=np.ones(K, bool)))
    assert (parts[:, MEMORY] == 0.0).all()
    timeless = policy("feedforward", rows=rows(TIMES[1]))
    parts = shapley(timeless, *flown(timeless, camera=np.ones(K, bool)))
    assert (parts[:, [ELAPSED, MEMORY]] == 0.0).all()


def test_the_only_source_that_the_network_hears_gets_everything():
    network = policy("feedforward", rows=slice(FEATURES, None))
    history, baselines = flown(network, camera=np.ones(K, bool))
    parts = shapley(network, history, baselines)
    assert np.abs(parts[:, CAMERA]).max() > 1e-3
    np.testing.assert_allclose(
        parts[:, CAMERA], difference(network, history, baselines), atol=1e-12
    )


def test_without_a_frame_the_camera_gets_only_what_its_age_does():
    network = policy()
    parts = shapley(network, *flown(network))
    assert np.abs(parts[SEEN, CAMERA]).max() > 1e-3 and np.abs(parts[~SEEN, CAMERA]).max() > 1e-4
    ageless = policy(rows=rows(TIMES[0]))
    parts = shapley(ageless, *flown(ageless))
    assert np.abs(parts[SEEN, CAMERA]).max() > 1e-3 and (parts[~SEEN, CAMERA] == 0.0).all()


def test_what_is_the_baseline_gets_nothing():
    network = policy()
    history, baselines = flown(network)
    same = Baselines(baselines.frame, history.summaries[3])
    parts = shapley(network, history, same)
    assert np.abs(parts[3, [IMU, ELAPSED]]).max() == 0.0
    assert np.abs(parts[4, [IMU, ELAPSED]]).max() > 1e-4


def test_memory_is_what_was_there_before():
    """Before the first observation there is nothing to remember; after it there is."""
    network = policy()
    history, baselines = flown(network)
    parts = shapley(network, history, baselines)
    first = parts[0, MEMORY]
    np.testing.assert_allclose(first, 0.0, atol=1e-12)
    assert np.abs(parts[1:, MEMORY]).max() > 1e-3


def test_baselines_must_fit():
    network = policy()
    history, baselines = flown(network)
    assert baselines.frame.shape == (HEIGHT, WIDTH, 3)
    rest = dict(zip(SUMMARY, baselines.summary.tolist(), strict=True))
    assert rest["specific_force_z"] == 9.81 and rest["up_z"] == rest["imu_coverage"] == 1.0
    assert rest["camera_age"] == np.median(history.summaries[:, TIMES[0]])
    with pytest.raises(LnnError, match=rf"expected \(12, 16, 3\) and \({len(SUMMARY)},\)"):
        shapley(network, history, Baselines(baselines.frame[1:], baselines.summary))
