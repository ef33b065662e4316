"""Every operation of a program in ONNX and in C, also in shapes that no cell has."""

from __future__ import annotations

import ctypes
import re

import numpy as np
import pytest
from exports import assert_close, compile_c, found, session
from hypothesis import given
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.liquid.exporting.c_code import Body
from lnn_ros.liquid.exporting.c_text import HELPERS, Constants, Memory, Place, called, literal
from lnn_ros.liquid.exporting.onnx_export import program_model
from lnn_ros.liquid.exporting.tracing import inside
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.programs.trace import trace

RNG = np.random.default_rng(11)
TABLE = RNG.normal(0, 1, (3, 5))
KERNEL, BIAS = RNG.normal(0, 1, (4, 3, 3, 2)), RNG.normal(0, 1, 4)
PIXELS = RNG.normal(0, 1, (5, 6, 3))
INPUT_SHAPES = {"x": (5,), "image": PIXELS.shape}
X = np.array([0.5, 1.5, 2.5, -1.5, -0.7])
IMAGE = np.arange(90.0).reshape(PIXELS.shape) / 30.0 - 1.0


def unary(name):
    return lambda ops, x, image: getattr(ops, name)(x)


def convolved(ops, x, image):
    return ops.convolve(image, KERNEL, BIAS, (1, 2), (2, 1))


def overlapping(ops, x, image):
    """One operand is a piece of another, which is needed for the last time."""
    a = ops.tanh(x)
    return a[..., 1:2] * a - a[..., 4:] / a


def rows(ops, x, image):
    """Values with two axes; only where there is no batch."""
    m = TABLE * x
    return x[..., :3] @ ops.concat([m[..., 1:3], ops.tanh(m) - x[..., :1], m @ TABLE.T])


OPERATIONS = {
    **{
        name: unary(name)
        for name in ("tanh", "sigmoid", "exp", "softplus", "relu", "abs", "sin", "cos", "round")
    },
    "log1p": lambda ops, x, image: ops.log1p(x * x),
    "clip": lambda ops, x, image: ops.clip(x, -0.7, 1.0),
    "negative": lambda ops, x, image: -(-x - 1.0),
    "arithmetic": lambda ops, x, image: (2.0 - x) / (x * x + TABLE[0]) - x / 3.0,
    "pieces": lambda ops, x, image: ops.concat([x[..., 3:], x[..., 2:2], x[..., :2], x * 2.0]),
    "overlapping": overlapping,
    "convolve": lambda ops, x, image: ops.flatten(convolved(ops, x, image)),
    "channels": lambda ops, x, image: ops.flatten(ops.relu(convolved(ops, x, image) * BIAS) + 0.5),
    "pixels": lambda ops, x, image: ops.flatten(ops.tanh(image - PIXELS) * PIXELS[0]),
    "image parts": lambda ops, x, image: ops.flatten(ops.concat([image[..., 1:], image * image])),
    "image matmul": lambda ops, x, image: ops.flatten(ops.tanh(image @ KERNEL[0, :, :, 0])),
    "rows": rows,
}


def operation_program(name, shapes):
    return trace(lambda ops, **x: {"y": OPERATIONS[name](ops, **x)}, shapes)


def operation_result(name):
    return OPERATIONS[name](NUMPY, X, IMAGE)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "rows"])
def test_onnx_operation(name):
    shapes = {key: (2, *shape) for key, shape in INPUT_SHAPES.items()}
    run = session(program_model("operation", operation_program(name, shapes), {})).run
    feed = {"x": np.stack([X, X[::-1]]), "image": np.stack([IMAGE, IMAGE[::-1]])}
    (made,) = run(None, {key: value.astype(np.float32) for key, value in feed.items()})
    assert_close(made[0], operation_result(name), 1e-6)
    assert_close(made[1], OPERATIONS[name](NUMPY, X[::-1], IMAGE[::-1]), 1e-6)


@pytest.mark.parametrize("compiler", found().values(), ids=found())
def test_c_operations(compiler, tmp_path):
    constants, functions = Constants({}), []
    for i, name in enumerate(OPERATIONS):
        program = operation_program(name, INPUT_SHAPES)
        body = Body(program, {key: Place(key) for key in INPUT_SHAPES}, constants)
        size = operation_result(name).size
        functions.append(
            f"void f{i}(const float *x, const float *image, float *y)\n{{\n"
            f"    float v[{body.scratch}];\n    (void)x;\n    (void)image;\n"
            + "\n".join(body.lines)
            + f"\n    memcpy(y, {body.outputs['y'].pointer}, {size} * sizeof(float));\n}}\n"
        )
    code = "\n".join(functions)
    helpers = [HELPERS[name] for name in called(code)]
    source, library = tmp_path / "operations.c", tmp_path / "operations.so"
    headers = ["#include <math.h>", "#include <string.h>"]
    source.write_text("\n".join([*headers, *constants.lines, *helpers, code]))
    done = compile_c(compiler, library, [source], "-O1", "-shared", "-fPIC")
    assert done.returncode == 0, done.stderr
    x, image = X.astype(np.float32), IMAGE.astype(np.float32)
    for i, name in enumerate(OPERATIONS):
        wanted = operation_result(name)
        made = np.zeros(wanted.size, np.float32)
        arguments = (array.ctypes.data_as(ctypes.c_void_p) for array in (x, image, made))
        getattr(ctypes.CDLL(str(library)), f"f{i}")(*arguments)
        assert_close(made, wanted, 1e-6)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_literal_reads_back_as_the_same_number(value):
    assert re.fullmatch(r"-?\d+(\.\d+)?(e[+-]\d+)?f", literal(value))
    assert np.float32(literal(value)[:-1]).tobytes() == np.float32(value).tobytes()


def test_a_number_beyond_float32_is_refused():
    with pytest.raises(LnnError, match="float32"):
        literal(1e39)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5)), max_size=30))
def test_memory_in_use_is_never_given_again(requests):
    memory, used = Memory(), []
    for size, release in requests:
        for _ in range(min(release, len(used))):
            memory.give(*used.pop(0))
        used.append((memory.take(size), size))
        cells = [i for start, length in used for i in range(start, start + length)]
        assert len(cells) == len(set(cells))
        assert max(cells) < memory.size


@given(st.floats(-100.0, 100.0))
def test_limits_are_rounded_inwards(limit):
    (rounded,) = inside([limit])
    assert abs(float(rounded)) <= abs(limit)
    assert abs(float(rounded) - limit) <= 1e-6 * abs(limit) + 1e-40
