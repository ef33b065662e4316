"""From the maths of a cell or encoder to a flat list of operations: what is run, and exported.

A function written against ``liquid.ops`` is called once with symbolic arrays; every operation that
it does is noted down in a ``Program``. ``liquid.programs.program`` runs it in numpy with
preallocated buffers, ``liquid.exporting`` writes it down as ONNX and as C.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError


@dataclass(frozen=True)
class Operation:
    """One step of a program; values are numbered in the order in which they arise.

    Attributes
    ----------
    name : str
        "add", "subtract", "multiply", "divide" (two operands, numpy's broadcasting), "negative",
        "tanh", "sigmoid", "exp", "log1p", "softplus", "relu", "abs", "sin", "cos", "round",
        "clip" (low, high), "matmul" (vector or matrix with a matrix), "concat" (last axis),
        "slice" (last axis; start, stop), "convolve" (stride, padding; operands x, weight, bias) or
        "flatten".
    operands : tuple of int
        Numbers of values.
    result : int
        Number of the value that it makes.
    attributes : mapping
        As listed above.
    """

    name: str
    operands: tuple[int, ...]
    result: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A function of some arrays, without branches.

    Attributes
    ----------
    shapes : list of tuple of int
        Shape of every value.
    inputs : dict of str to int
        Numbers of the values that are given.
    constants : dict of int to ndarray
        Values that are known: weights and numbers, float64 or as they were stored.
    operations : list of Operation
    outputs : dict of str to int
        Numbers of the values that are wanted.
    """

    shapes: list[tuple[int, ...]]
    inputs: dict[str, int]
    constants: dict[int, NDArray[Any]]
    operations: list[Operation]
    outputs: dict[str, int]


class Symbol:
    """An array of which only the shape is known."""

    __array_ufunc__ = None  # ndarray + Symbol: leave it to us

    def __init__(self, trace: _Trace, number: int) -> None:
        self.trace, self.number = trace, number

    @property
    def shape(self) -> tuple[int, ...]:
        """As numpy would have it."""
        return self.trace.program.shapes[self.number]

    def __add__(self, other: object) -> Symbol:
        return self.trace.binary("add", self, other)

    def __radd__(self, other: object) -> Symbol:
        return self.trace.binary("add", other, self)

    def __sub__(self, other: object) -> Symbol:
        return self.trace.binary("subtract", self, other)

    def __rsub__(self, other: object) -> Symbol:
        return self.trace.binary("subtract", other, self)

    def __mul__(self, other: object) -> Symbol:
        return self.trace.binary("multiply", self, other)

    def __rmul__(self, other: object) -> Symbol:
        return self.trace.binary("multiply", other, self)

    def __truediv__(self, other: object) -> Symbol:
        return self.trace.binary("divide", self, other)

    def __rtruediv__(self, other: object) -> Symbol:
        return self.trace.binary("divide", other, self)

    def __bool__(self) -> bool:
        raise LnnError("trace: a decision on a number found, expected operations on arrays only")

    def __neg__(self) -> Symbol:
        return self.trace.note("negative", [self], self.shape)

    def __matmul__(self, other: object) -> Symbol:
        other = self.trace.value(other)
        if len(other.shape) != 2 or not self.shape or self.shape[-1] != other.shape[0]:
            raise LnnError(f"trace: {self.shape} @ {other.shape} found, expected (..., n) @ (n, m)")
        return self.trace.note("matmul", [self, other], (*self.shape[:-1], other.shape[1]))

    def __getitem__(self, key: object) -> Symbol:
        if not (
            isinstance(key, tuple)
            and len(key) == 2
            and key[0] is Ellipsis
            and isinstance(key[1], slice)
        ):
            raise LnnError(f"trace: index {key!r} found, expected [..., start:stop]")
        start, stop, step = key[1].indices(self.shape[-1])
        if step != 1:
            raise LnnError(f"trace: a slice with step {step} found, expected step 1")
        shape = (*self.shape[:-1], max(0, stop - start))
        return self.trace.note("slice", [self], shape, start=start, stop=stop)


class _Trace:
    """The program that grows while a function runs."""

    def __init__(self) -> None:
        self.program = Program([], {}, {}, [], {})
        self._constants: dict[int, Symbol] = {}
        self._kept: list[object] = []  # so that no id is used twice

    def new(self, shape: Sequence[int]) -> Symbol:
        self.program.shapes.append(tuple(int(n) for n in shape))
        return Symbol(self, len(self.program.shapes) - 1)

    def value(self, x: object) -> Symbol:
        """Return x itself, or a constant."""
        if isinstance(x, Symbol):
            return x
        if id(x) in self._constants and not isinstance(x, (int, float)):
            return self._constants[id(x)]
        array = np.asarray(x)
        symbol = self.new(array.shape)
        self.program.constants[symbol.number] = array
        if not isinstance(x, (int, float)):
            self._constants[id(x)] = symbol
            self._kept.append(x)
        return symbol

    def note(
        self, name: str, operands: Sequence[object], shape: Sequence[int], **attributes: Any
    ) -> Symbol:
        numbers = tuple(self.value(x).number for x in operands)
        result = self.new(shape)
        self.program.operations.append(Operation(name, numbers, result.number, attributes))
        return result

    def binary(self, name: str, a: object, b: object) -> Symbol:
        a, b = self.value(a), self.value(b)
        return self.note(name, [a, b], np.broadcast_shapes(a.shape, b.shape))


class TraceOps:
    """``liquid.ops`` on symbols."""

    def __init__(self, trace: _Trace) -> None:
        self._trace = trace

    def __getattr__(self, name: str) -> Callable[[Any], Symbol]:
        if name not in (
            "tanh", "sigmoid", "exp", "log1p", "softplus", "relu", "abs", "sin", "cos", "round",
        ):  # fmt: skip
            raise AttributeError(f"no operation {name}: it is not part of liquid.ops")
        return lambda x: self._trace.note(name, [x], self._trace.value(x).shape)

    def clip(self, x: Any, low: float, high: float) -> Symbol:
        """Bound."""
        return self._trace.note("clip", [x], self._trace.value(x).shape, low=low, high=high)

    def constant(self, value: NDArray[Any], like: Any) -> Symbol:
        """Return numbers as a known value."""
        return self._trace.value(value)

    def concat(self, arrays: Sequence[Any]) -> Symbol:
        """Join along the last axis."""
        symbols = [self._trace.value(a) for a in arrays]
        shape = (*symbols[0].shape[:-1], sum(s.shape[-1] for s in symbols))
        return self._trace.note("concat", [s for s in symbols if s.shape[-1]], shape)

    def convolve(
        self, x: Any, weight: Any, bias: Any, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Symbol:
        """Cross-correlate."""
        weight = self._trace.value(weight)
        *lead, height, width, _ = self._trace.value(x).shape
        size = [
            (n + 2 * pad - kernel) // step + 1
            for n, pad, kernel, step in zip(
                (height, width), padding, weight.shape[2:], stride, strict=True
            )
        ]
        shape = (*lead, *size, weight.shape[0])
        return self._trace.note(
            "convolve", [x, weight, bias], shape, stride=tuple(stride), padding=tuple(padding)
        )

    def flatten(self, x: Any) -> Symbol:
        """(..., H, W, C) to (..., C * H * W)."""
        *lead, height, width, channels = self._trace.value(x).shape
        return self._trace.note("flatten", [x], (*lead, channels * height * width))


def trace(
    function: Callable[..., Mapping[str, Any]], inputs: Mapping[str, Sequence[int]]
) -> Program:
    """Note down what a function does.

    Parameters
    ----------
    function : callable
        Called as ``function(ops, **symbols)``; returns its outputs by name.
    inputs : mapping of str to sequence of int
        Names and shapes of its arguments.

    Returns
    -------
    Program
        Operations whose results nobody uses are left out.

    Raises
    ------
    LnnError
        When the function does what no program can: an unknown operation, an odd slice, a decision
        on a number, shapes that do not fit.
    """
    recorder = _Trace()
    symbols = {name: recorder.new(shape) for name, shape in inputs.items()}
    program = recorder.program
    program.inputs.update({name: symbol.number for name, symbol in symbols.items()})
    try:
        outputs = function(TraceOps(recorder), **symbols)
    except (AttributeError, TypeError, ValueError) as error:
        raise LnnError(f"trace: {error}; expected operations of liquid.ops on arrays") from error
    program.outputs.update({name: recorder.value(x).number for name, x in outputs.items()})
    needed = set(program.outputs.values())
    kept = []
    for operation in reversed(program.operations):
        if operation.result in needed:
            needed.update(operation.operands)
            kept.append(operation)
    program.operations[:] = reversed(kept)
    for number in [n for n in program.constants if n not in needed]:
        del program.constants[number]
    return program
