"""What a function does is noted down whole, in order, and nothing else."""

import numpy as np
import pytest

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells import cell_type, kinds
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.programs.trace import trace
from lnn_ros.liquid.wiring import WiredLayer, Wiring, dense


def names(program):
    return [operation.name for operation in program.operations]


def test_operations_are_noted_in_order_with_their_operands():
    weight = np.ones((3, 2))
    program = trace(lambda ops, x: {"y": ops.clip(ops.tanh(x @ weight), -0.5, 0.5)}, {"x": (3,)})
    assert names(program) == ["matmul", "tanh", "clip"]
    product, squashed, clipped = program.operations
    assert product.operands[0] == program.inputs["x"]
    np.testing.assert_array_equal(program.constants[product.operands[1]], weight)
    assert squashed.operands == (product.result,) and clipped.operands == (squashed.result,)
    assert clipped.attributes == {"low": -0.5, "high": 0.5}
    assert program.outputs == {"y": clipped.result}


def test_python_numbers_stand_on_either_side():
    def function(ops, x):
        return {"y": 1.0 - 2.0 / (3.0 + 4.0 * -x)}

    program = trace(function, {"x": (2,)})
    assert names(program) == ["negative", "multiply", "add", "divide", "subtract"]
    last = program.operations[-1]
    assert program.constants[last.operands[0]] == 1.0


def test_an_array_may_stand_on_the_left():
    left = np.arange(3.0)
    program = trace(lambda ops, x: {"y": left - x}, {"x": (3,)})
    np.testing.assert_array_equal(program.constants[program.operations[0].operands[0]], left)


def test_what_nobody_uses_is_left_out():
    unused, used = np.ones(4), np.full(4, 2.0)

    def function(ops, x, ignored):
        ops.exp(x * unused)
        ops.sin(ignored)
        return {"y": x * used}

    program = trace(function, {"x": (4,), "ignored": (7,)})
    assert names(program) == ["multiply"]
    (value,) = program.constants.values()
    np.testing.assert_array_equal(value, used)
    assert set(program.inputs) == {"x", "ignored"}  # an input stays part of the function's face


def test_an_array_that_is_used_twice_is_one_constant():
    weight = np.ones((3, 3))
    program = trace(lambda ops, x: {"y": ops.tanh(x @ weight) @ weight}, {"x": (3,)})
    assert len(program.constants) == 1


def test_an_input_or_a_known_number_may_be_an_output():
    program = trace(lambda ops, x: {"x": x, "two": ops.constant(np.full(2, 2.0), x)}, {"x": (3,)})
    assert program.operations == [] and program.outputs["x"] == program.inputs["x"]
    np.testing.assert_array_equal(program.constants[program.outputs["two"]], [2.0, 2.0])


def test_shapes_are_numpys():
    kernel, bias = np.ones((5, 3, 4, 2)), np.zeros(5)

    def function(ops, image, x, column):
        seen = ops.convolve(image, kernel, bias, (2, 3), (1, 0))
        return {
            "seen": seen,
            "flat": ops.flatten(seen),
            "wide": x * column + ops.constant(np.ones((2, 1, 1)), x),
            "part": ops.concat([x[..., 1:], x[..., :-2], x[..., 4:]])[..., -3:],
        }

    shapes = {"image": (9, 12, 3), "x": (4, 4), "column": (4, 1)}
    program = trace(function, shapes)
    arrays = {name: np.ones(shape) for name, shape in shapes.items()}
    for name, wanted in function(NUMPY, **arrays).items():
        assert program.shapes[program.outputs[name]] == wanted.shape, name


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda ops, x: {"y": ops.sort(x)}, "no operation sort"),
        (lambda ops, x: {"y": x[0]}, r"index 0 found, expected \[\.\.\., start:stop\]"),
        (lambda ops, x: {"y": x[..., ::2]}, "step 2 found, expected step 1"),
        (lambda ops, x: {"y": x if x else -x}, "a decision on a number"),
        (lambda ops, x: {"y": x if x > 0 else -x}, "not supported between"),
        (lambda ops, x: {"y": x * float(x)}, "not 'Symbol'"),
        (lambda ops, x: {"y": np.tanh(x)}, "does not support ufuncs"),
        (lambda ops, x: {"y": x.sum()}, "no attribute 'sum'"),
        (lambda ops, x: {"y": x**2}, r"unsupported operand type\(s\) for \*\*"),
        (lambda ops, x: {"y": x @ np.ones((4, 2))}, r"\(3,\) @ \(4, 2\) found, expected"),
        (lambda ops, x: {"y": x + np.ones(4)}, "broadcast"),
    ],
)
def test_what_no_program_can_do_is_named(function, message):
    with pytest.raises(LnnError, match=rf"trace: .*{message}|{message}"):
        trace(function, {"x": (3,)})


@pytest.mark.parametrize("kind", kinds())
def test_every_cell_can_be_traced(kind):
    """What the exports and the running network need of a cell."""
    wiring, read = dense(6, 8), 8
    if kind == "feedforward":  # it has no loop
        wiring = Wiring((WiredLayer("hidden", np.ones((6, 8), np.int8)),))
    cell = cell_type(kind).wired(6, wiring, read)
    w = cell.initialise(np.random.default_rng(0), wiring.masks())
    size = (cell.state_size,)
    predict = trace(
        lambda ops, state, dt: {"state": cell.predict(ops, w, state, dt)},
        {"state": size, "dt": (1,)},
    )
    update = trace(
        lambda ops, state, seen: {"state": cell.update(ops, w, state, seen)},
        {"state": size, "seen": (6,)},
    )
    for program in (predict, update):
        assert program.shapes[program.outputs["state"]] == size
