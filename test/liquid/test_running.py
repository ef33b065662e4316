"""The running network: equal to the one that is trained, closed to what is not finite, lean."""

import tracemalloc

import cell_cases
import numpy as np
import pytest
import torch
from policies_for_tests import FEATURES, frame, observe, small_checkpoint, summaries

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells import cell_type, kinds
from lnn_ros.liquid.engine import CellEngine, Engine
from lnn_ros.liquid.ops import NUMPY, TorchOps
from lnn_ros.liquid.spec import SUMMARY
from lnn_ros.liquid.wiring import dense

DT = (0.0, 0.005, 0.05, 0.7, 30.0)


@pytest.mark.parametrize("case", cell_cases.CASES, ids=str)
def test_every_cell_runs_as_it_trains(case):
    """A stream at irregular times, in float64 to 1e-9 and in float32 to 1e-5, against torch."""
    cell, wiring = cell_cases.build(case)
    w = cell_cases.random_weights(case, 0)
    ops = TorchOps()
    rng = np.random.default_rng(5)
    times, inputs = rng.permutation(DT * 2), cell_cases.random_run(case, rng, (10,))
    for dtype, kind, bound in (
        (np.float64, torch.float64, 1e-9),
        (np.float32, torch.float32, 1e-5),
    ):
        engine = CellEngine(cell, {**w, **wiring.masks()}, dtype)
        tensors = {name: torch.tensor(value, dtype=kind) for name, value in w.items()}
        state = engine.initial(0.1)
        wanted = torch.tensor(state)
        for dt, seen in zip(times, inputs, strict=True):
            engine.predict(state, dt, state)
            engine.update(state, seen)
            wanted = cell.predict(ops, tensors, wanted, torch.tensor([dt], dtype=kind))
            wanted = cell.update(ops, tensors, wanted, torch.tensor(seen, dtype=kind))
            scale = np.maximum(1.0, np.abs(wanted.numpy()))
            np.testing.assert_allclose(state / scale, wanted.numpy() / scale, rtol=0, atol=bound)
            activity = cell.activity(ops, wanted).numpy()
            np.testing.assert_allclose(engine.activity(state), activity, rtol=0, atol=bound)
        assert state.dtype == dtype


def test_a_cell_that_runs_step_by_step_is_the_cell_that_solves_in_one_go():
    """How often its one step runs depends on the elapsed time; what comes out does not."""
    case = next(c for c in cell_cases.CASES if c.kind == "ltc" and c.wiring == "stack")
    cell, wiring = cell_cases.build(case)
    w = cell_cases.random_weights(case, 0)
    engine = CellEngine(cell, {**w, **wiring.masks()}, np.float64)
    rng = np.random.default_rng(1)
    for elapsed in (0.0, 0.02, 0.021, 0.0441, 0.05, 0.121, 2.0, 60.0, 99.0, 1e4):
        state = engine.initial(elapsed)
        state[: 2 * cell.units] = rng.normal(0, 0.5, 2 * cell.units)
        seen = cell_cases.random_run(case, rng, ())
        wanted = cell.update(NUMPY, w, state.copy(), seen)
        engine.update(state, seen)
        np.testing.assert_allclose(state, wanted, rtol=1e-10, atol=1e-10)


def observed(engine, rng):
    state = engine.initial()
    engine.predict(state, 0.1, state)
    observe(engine, state, frame(rng), summaries(rng, 0.1))
    return state


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
@pytest.mark.parametrize("kind", ["flow", "feedforward"])
def test_what_is_not_finite_is_refused_at_the_door(kind, bad):
    checkpoint = small_checkpoint(kind)
    engine = Engine(checkpoint.spec, checkpoint.arrays)
    rng = np.random.default_rng(0)
    state = observed(engine, rng)
    before, seen = state.copy(), engine.encode(frame(rng))
    for place in range(len(SUMMARY)):
        told = np.zeros(len(SUMMARY))
        told[place] = bad  # 1e39 is finite, but not as the float32 that the network computes in
        with np.errstate(over="ignore"), pytest.raises(LnnError, match=r"summary.*not finite"):
            engine.update(state, seen, told)
    for place in range(FEATURES):
        features = seen.astype(float)
        features[place] = bad
        with np.errstate(over="ignore"), pytest.raises(LnnError, match=r"features.*not finite"):
            engine.update(state, features, np.zeros(len(SUMMARY)))
    for seconds in (bad, -1e-9):
        with pytest.raises(LnnError, match="elapsed time"):
            engine.predict(state, seconds, state)
    np.testing.assert_array_equal(state, before)
    # The next good observation finds an engine that remembers nothing of the bad ones.
    other = Engine(checkpoint.spec, checkpoint.arrays)
    fresh = before.copy()
    for running, held in ((engine, state), (other, fresh)):
        running.update(held, seen, np.ones(len(SUMMARY), np.float32))
    np.testing.assert_array_equal(state, fresh)


def test_a_frame_of_another_kind_is_refused():
    checkpoint = small_checkpoint()
    engine = Engine(checkpoint.spec, checkpoint.arrays)
    state, told = engine.initial(), np.zeros(len(SUMMARY), np.float32)
    good = frame(np.random.default_rng(0))
    for image in (good.astype(np.float32), good[:-1], good[..., :1]):
        with pytest.raises(LnnError, match="frame of"):
            engine.encode(image)
    with pytest.raises(LnnError, match="features of shape"):
        engine.update(state, engine.encode(good)[1:], told)
    with pytest.raises(LnnError, match="summary of shape"):
        engine.update(state, engine.encode(good), told[:1])


@pytest.mark.parametrize("kind", kinds())
def test_a_cell_alone_refuses_what_is_not_finite(kind):
    case = next(c for c in cell_cases.CASES if c.kind == kind)
    cell, wiring = cell_cases.build(case)
    engine = CellEngine(cell, {**cell_cases.random_weights(case, 0), **wiring.masks()})
    state = engine.initial(0.1)
    before = state.copy()
    for bad in (np.nan, np.inf):
        seen = np.zeros(cell.inputs)
        seen[-1] = bad
        with pytest.raises(LnnError, match=r"observation.*not finite"):
            engine.update(state, seen)
    with pytest.raises(LnnError, match="observation of shape"):
        engine.update(state, np.zeros(cell.inputs + 1))
    np.testing.assert_array_equal(state, before)


@pytest.mark.parametrize("kind", ["flow", "gru", "cfc"])
def test_a_state_that_is_not_finite_goes_no_further(kind):
    case = next(c for c in cell_cases.CASES if c.kind == kind)
    cell, wiring = cell_cases.build(case)
    engine = CellEngine(cell, {**cell_cases.random_weights(case, 0), **wiring.masks()})
    state, out = engine.initial(0.1), engine.initial(0.2)
    state[:] = np.nan
    state_before, out_before = state.copy(), out.copy()
    with pytest.raises(LnnError, match="state would hold"):
        engine.predict(state, 0.1, out)
    with pytest.raises(LnnError, match="state would hold"):
        engine.update(state, np.ones(cell.inputs))
    np.testing.assert_array_equal(out, out_before)
    np.testing.assert_array_equal(state, state_before)


def allocated(step):
    """Most bytes that Python and numpy held during some steps, beyond what they held before."""
    for _ in range(3):
        step()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(20):
            step()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_running_a_policy_allocates_no_image():
    checkpoint = small_checkpoint()
    engine = Engine(checkpoint.spec, checkpoint.arrays)
    rng = np.random.default_rng(0)
    state, image = observed(engine, rng), frame(rng)
    told = summaries(rng, 0.05)
    # Calls make some Python numbers on their way; the frame alone has more bytes.
    assert allocated(lambda: observe(engine, state, image, told)) < image.nbytes


@pytest.mark.parametrize("kind", [k for k in kinds() if k != "feedforward"])
def test_running_a_cell_allocates_no_vector(kind):
    wiring = dense(6, 128)
    cell = cell_type(kind).wired(6, wiring, 128)
    arrays = {**cell.initialise(np.random.default_rng(0), wiring.masks()), **wiring.masks()}
    engine = CellEngine(cell, arrays)
    state, seen = engine.initial(0.1), np.zeros(6, np.float32)

    def step():
        engine.predict(state, 0.3, state)
        engine.update(state, seen)

    assert allocated(lambda: engine.predict(state, 0.05, state)) < 128 * 4
    assert allocated(step) < 128 * 4
