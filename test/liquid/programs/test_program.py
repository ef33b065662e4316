"""A program run in buffers computes what the operations mean, whatever it was turned into."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.liquid.encoders.conv import Conv, Convolution
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.programs.program import Runner
from lnn_ros.liquid.programs.trace import trace

UNARY = ("tanh", "sigmoid", "softplus", "relu", "abs", "sin", "cos", "round", "exp", "log1p")
BINARY = ("add", "subtract", "multiply", "divide")
SHAPES = {"a": (5,), "b": (5,), "one": (1,), "rows": (3, 4), "column": (3, 1)}


def shaped(values, shape):
    """Values that broadcast with a shape and do not enlarge it."""
    return [
        v
        for v in values
        if len(v.shape) <= len(shape)
        and all(n in (1, m) for n, m in zip(v.shape[::-1], shape[::-1], strict=False))
    ]


def build(ops, values, program, seed):
    """Do what a list of numbers says: any number is a valid program."""
    rng = np.random.default_rng(seed)
    for name, i, j, k in program:
        x = values[i % len(values) if i % 2 else -1]  # chains are what there is to simplify
        n = x.shape[-1]
        if name in UNARY:
            values.append(getattr(ops, name)(ops.abs(x) if name == "log1p" else x))
        elif name in BINARY:
            constants = [rng.normal(), rng.normal(size=n), 1.0, 0.0]
            others = [*shaped(values, x.shape), *constants]
            y = others[j % len(others)]
            if name == "divide":  # by what is never zero
                y = 1.5 + (ops.abs(y) if hasattr(y, "shape") else abs(y))
            swap = k % 2 and not np.isscalar(y)
            x, y = (y, x) if swap and name != "divide" else (x, y)
            values.append(
                {"add": lambda p, q: p + q, "subtract": lambda p, q: p - q}.get(
                    name, {"multiply": lambda p, q: p * q}.get(name, lambda p, q: p / q)
                )(x, y)
            )
        elif name == "negative":
            values.append(-x)
        elif name == "clip":
            values.append(ops.clip(x, -0.5 - j % 3, 0.25 + k % 3))
        elif name == "matmul":
            weight = rng.normal(size=(n, 1 + j % 6)) / np.sqrt(n)
            values.append(x @ ops.constant(weight, x))
        elif name == "slice":
            start = j % n
            values.append(x[..., start : start + 1 + k % (n - start)])
        elif name == "pieces":
            first, second = x[..., j % n :], x[..., k % n : k % n + 2]
            values.append(ops.concat([first, second] if j % 2 else [second, first]))
        elif name == "concat":
            lead = x.shape[:-1]
            mates = [v for v in values if v.shape[:-1] == lead and v.shape[-1] < 20]
            parts = [x, *(mates[m % len(mates)] for m in (j, k) if mates)]
            if k % 3 == 0:
                parts.insert(1, ops.constant(rng.normal(size=(*lead, 2)), x))
            values.append(ops.concat(parts))
    return values


OPERATIONS = (*UNARY, *BINARY, *BINARY, "negative", "clip", "matmul", "matmul", "slice", "slice",
              "concat", "pieces")  # fmt: skip
INSTRUCTIONS = st.lists(
    st.tuples(
        st.sampled_from(OPERATIONS), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40)
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(program=INSTRUCTIONS, seed=st.integers(0, 1000), wanted=st.sets(st.integers(0, 40)))
@example(program=[("multiply", 0, 6, 0), ("clip", 29, 0, 0)], seed=0, wanted=set())
def test_a_random_program_computes_what_its_operations_mean(program, seed, wanted):
    rng = np.random.default_rng((seed, 2))
    inputs = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    values = build(NUMPY, list(inputs.values()), program, seed)
    largest = max(np.abs(v).max() for v in values)
    assume(np.isfinite(largest) and largest < 1e4)
    chosen = sorted({len(values) - 1, *(w % len(values) for w in wanted)})

    def function(ops, **symbols):
        made = build(ops, list(symbols.values()), program, seed)
        return {str(i): made[i] for i in chosen}

    runner = Runner(trace(function, SHAPES), np.float64)
    for _ in range(2):  # the second run meets the buffers that the first one has left
        out = runner(**inputs)
        for i in chosen:
            assert out[str(i)].shape == values[i].shape
            np.testing.assert_allclose(out[str(i)], values[i], rtol=1e-7, atol=1e-7)


PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def encoders(draw):
    layers = []
    height, width = draw(st.integers(5, 13)), draw(st.integers(5, 13))
    rows, columns = height, width
    for _ in range(draw(st.integers(1, 3))):
        kernel = draw(st.tuples(st.integers(1, min(5, rows)), st.integers(1, min(5, columns))))
        stride, padding = draw(PAIRS), draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
        layers.append(Convolution(draw(st.sampled_from([1, 3, 12, 17])), kernel, stride, padding))
        rows, columns = (
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip((rows, columns), padding, kernel, stride, strict=True)
        )
    return Conv(
        height=height,
        width=width,
        channels=draw(st.sampled_from([1, 3])),
        features=4,
        layers=tuple(layers),
        pixel_scale=draw(st.sampled_from([1 / 64, 1.0, 1e-9, -0.5])),
        pixel_offset=draw(st.sampled_from([-2.0, 0.0, 7.0])),
    )


@settings(max_examples=60, deadline=None)
@given(encoder=encoders(), seed=st.integers(0, 99), bytes_=st.booleans())
def test_any_encoder_is_what_the_operations_mean(encoder, seed, bytes_):
    rng = np.random.default_rng(seed)
    w = {n: v + rng.normal(0, 0.1, v.shape) for n, v in encoder.initialise(rng).items()}
    pixels = rng.integers(0, 256, encoder.frame_shape, dtype=np.uint8)
    program = trace(
        lambda ops, pixels: {"features": encoder.encode(ops, w, pixels)},
        {"pixels": encoder.frame_shape},
    )
    runner = Runner(program, np.float64, ["pixels"] if bytes_ else [])
    assert runner.inputs["pixels"].dtype == (np.uint8 if bytes_ else np.float64)
    wanted = encoder.encode(NUMPY, w, pixels.astype(np.float64))
    for _ in range(2):
        features = runner(pixels=pixels)["features"]
        np.testing.assert_allclose(features, wanted, rtol=1e-8, atol=1e-8 * np.abs(wanted).max())


def test_a_frame_may_meet_more_than_a_convolution():
    """Bytes stay numbers: no arithmetic modulo 256."""
    program = trace(
        lambda ops, pixels: {"sum": ops.flatten(pixels + pixels), "same": ops.flatten(pixels)},
        {"pixels": (2, 2, 1)},
    )
    out = Runner(program, np.float32, ["pixels"])(pixels=np.full((2, 2, 1), 200, np.uint8))
    np.testing.assert_array_equal(out["sum"], [400.0] * 4)
    np.testing.assert_array_equal(out["same"], [200.0] * 4)


# -- what a program is turned into --------------------------------------------------------------


def calls(function, shapes, **values):
    """Number of calls of a run; the run is right, too."""
    runner = Runner(trace(function, shapes), np.float64)
    out = runner(**values)
    for name, wanted in function(NUMPY, **values).items():
        np.testing.assert_allclose(out[name], wanted, rtol=1e-12, atol=1e-12)
    return len(runner)


X = np.random.default_rng(1).normal(size=6)
W = np.random.default_rng(2).normal(size=(4, 6, 5))
B = np.random.default_rng(3).normal(size=(4, 5))


def test_gates_of_one_vector_are_one_product_and_one_tanh():
    def gates(ops, x):
        value = ops.tanh(x @ W[0] + B[0])
        opened, kept = (ops.sigmoid(x @ W[i] + B[i]) for i in (1, 2))
        return {"value": value, "open": opened, "kept": kept}

    # Product with biases, tanh; then half of it and a half, of both logistic gates at once.
    assert calls(gates, {"x": (6,)}, x=X) == 4


def test_gates_cut_out_of_one_product_are_no_slower():
    weight, bias = np.concatenate(list(W), 1), np.concatenate(list(B))

    def gates(ops, x, dt):
        y = x @ weight + bias
        first, second = ops.tanh(y[..., :5]), ops.tanh(y[..., 5:10])
        share = ops.sigmoid(y[..., 10:15] * dt + y[..., 15:])
        return {"x": first + share * (second - first)}

    values = {"x": X, "dt": np.array([0.3])}
    assert calls(gates, {"x": (6,), "dt": (1,)}, **values) == 10


def test_what_is_known_or_equal_is_computed_once():
    def function(ops, x):
        scale = ops.exp(ops.constant(B[0], x)) * 2.0
        y = x[..., :5] * scale
        return {"a": ops.tanh(y), "b": ops.tanh(x[..., :5] * scale), "c": y * 1.0 + 0.0}

    assert calls(function, {"x": (6,)}, x=X) == 2


def test_a_factor_goes_to_the_smaller_operand():
    def function(ops, x, dt):
        return {"a": 0.5 * (x * dt), "b": 0.5 * (dt * ops.sin(x))}

    values = {"x": X, "dt": np.array([0.3])}
    assert calls(function, {"x": (6,), "dt": (1,)}, **values) == 4


def test_what_is_joined_is_computed_in_place():
    def function(ops, x):
        return {"all": ops.concat([ops.tanh(x), ops.sin(x), 0.0 * x, ops.constant(B[0], x)])}

    assert calls(function, {"x": (6,)}, x=X) == 2


def test_pieces_side_by_side_are_one_operation():
    def function(ops, x, y):
        out = [x[..., a:b] + y[..., a:b] * (x[..., a:b] - 1.0) for a, b in ((0, 2), (2, 3), (3, 6))]
        return {"all": ops.concat(out)}

    assert calls(function, {"x": (6,), "y": (6,)}, x=X, y=X[::-1].copy()) == 3


def test_outputs_may_be_inputs_and_known_numbers():
    def function(ops, x):
        return {"same": x, "known": ops.constant(B[0], x), "part": x[..., 1:3]}

    assert calls(function, {"x": (6,)}, x=X) == 0


# -- its face -------------------------------------------------------------------------------------


def doubled():
    return trace(lambda ops, x: {"y": x + x}, {"x": (3,)})


def test_inputs_are_checked():
    runner = Runner(doubled())
    with pytest.raises(LnnError, match=r"inputs none found, expected x"):
        runner()
    with pytest.raises(LnnError, match=r"inputs x, z found, expected x"):
        runner(x=np.zeros(3), z=np.zeros(3))
    with pytest.raises(LnnError, match=r"x has shape \(1,\), expected \(3,\)"):
        runner(x=np.zeros(1))


def test_a_runner_is_not_copied():
    """A copy would compute in the first one's buffers."""
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(LnnError, match="cannot be copied"):
            duplicate(Runner(doubled()))


def test_only_floats_are_computed_in():
    with pytest.raises(LnnError, match="int64 found, expected float32 or float64"):
        Runner(doubled(), np.int64)


def test_several_frames_at_once_are_refused():
    kernel, bias = np.ones((1, 1, 2, 2)), np.zeros(1)
    program = trace(
        lambda ops, x: {"y": ops.convolve(x, kernel, bias, (1, 1), (0, 0))}, {"x": (2, 4, 4, 1)}
    )
    with pytest.raises(LnnError, match="expected one frame"):
        Runner(program)
