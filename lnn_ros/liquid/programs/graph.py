"""Values of a program as nodes of a graph, each made only once and in its simplest form.

The rules here look at an operation and its operands only; ``simplify`` has those that look further.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.liquid.ops import NUMPY

Value = NDArray[Any]

UNARY = {
    name: getattr(NUMPY, name)
    for name in (
        "tanh", "sigmoid", "exp", "log1p", "softplus", "relu", "abs", "sin", "cos", "round",
    )
} | {"negative": np.negative}  # fmt: skip
BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
}
LARGEST_SHIFT = 1e4
"""An offset of the pixels, in pixel values, beyond which moving it into weights costs digits."""


@dataclass(eq=False)
class Node:
    """One value: how it is made from others.

    Attributes
    ----------
    name : str
        "input", "constant", or an operation of ``trace.Operation``. A "convolve" may carry, beside
        its stride and padding, the number ``fill`` that its input is padded with.
    args : tuple of Node
    shape : tuple of int
    attributes : dict
    value : ndarray, optional
        Of a constant, float64.
    """

    name: str
    args: tuple[Node, ...]
    shape: tuple[int, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    value: Value | None = None


def constant(node: Node) -> bool:
    """Whether a value is known."""
    return node.name == "constant"


def number(node: Node) -> float | None:
    """Value of a constant of one number, whatever its shape; else None."""
    if node.value is None or node.value.size != 1:
        return None
    return float(node.value.reshape(()))


class Graph:
    """Makes nodes, each only once, in their simplest form."""

    def __init__(self) -> None:
        self._known: dict[Any, Node] = {}

    def constant(self, value: Value) -> Node:
        value = np.asarray(value, np.float64)
        key = ("constant", value.shape, value.tobytes())
        if key not in self._known:
            self._known[key] = Node("constant", (), value.shape, {}, value)
        return self._known[key]

    def make(self, name: str, *args: Node, **attributes: Any) -> Node:
        """Return the value of an operation."""
        if all(constant(a) for a in args):
            return self.constant(_evaluate(name, [a.value for a in args], attributes))
        if name in BINARY:
            simple = self._binary(name, *args)
        elif name in ("slice", "concat", "matmul", "convolve"):
            simple = getattr(self, f"_{name}")(*args, **attributes)
        else:
            simple = self._unary(name, *args)
        return simple or self._node(name, args, attributes)

    def _node(self, name: str, args: Iterable[Node], attributes: Mapping[str, Any]) -> Node:
        args = tuple(args)
        key = (name, tuple(id(a) for a in args), tuple(sorted(attributes.items())))
        if key not in self._known:
            self._known[key] = Node(name, args, _shape(name, args, attributes), dict(attributes))
        return self._known[key]

    def _unary(self, name: str, x: Node) -> Node | None:
        if name == "sigmoid":
            half = self.constant(np.array(0.5))
            share = self.make("tanh", self.make("multiply", x, half))
            return self.make("add", self.make("multiply", share, half), half)
        if name == "negative":
            return self.make("multiply", x, self.constant(np.array(-1.0)))
        return None

    def _binary(self, name: str, a: Node, b: Node) -> Node | None:
        if name == "subtract" and constant(b):
            return self.make("add", a, self.constant(-known(b)))
        if name == "divide" and constant(b) and np.all(known(b) != 0.0):
            return self.make("multiply", a, self.constant(1.0 / known(b)))
        if name not in ("add", "multiply"):
            return None
        if constant(a):
            return self.make(name, b, a)
        if not constant(b):
            return self._reassociate(name, a, b)
        c = known(b)
        shape = np.broadcast_shapes(a.shape, c.shape)
        if name == "multiply" and not c.any():
            return self.constant(np.zeros(shape))  # finite numbers are all that enters
        if shape == a.shape and np.all(c == (name == "multiply")):
            return a
        if a.name == name and constant(a.args[1]):
            joined = BINARY[name](known(a.args[1]), c)
            return self.make(name, a.args[0], self.constant(joined))
        if name == "multiply" and a.name == "add" and constant(a.args[1]):
            inner, shift = a.args
            if inner.name == "multiply" and constant(inner.args[1]):
                return self.make(
                    "add", self.make("multiply", inner, b), self.constant(known(shift) * c)
                )
        if name == "multiply" and a.name == "multiply" and c.size == 1:
            wide, narrow = a.args
            if narrow.shape[-1:] == (1,) and wide.shape == a.shape:
                return self.make("multiply", wide, self.make("multiply", narrow, b))
        return None

    def _reassociate(self, name: str, a: Node, b: Node) -> Node | None:
        """Put what is broadcast second, so that equal products are seen to be equal."""
        if math.prod(a.shape) < math.prod(b.shape):
            return self.make(name, b, a)
        return None

    def _slice(self, x: Node, start: int, stop: int) -> Node | None:
        if (start, stop) == (0, x.shape[-1]):
            return x
        if x.name == "slice":
            first = x.attributes["start"]
            return self.make("slice", x.args[0], start=first + start, stop=first + stop)
        if x.name == "concat":
            at = 0
            for part in x.args:
                end = at + part.shape[-1]
                if at <= start and stop <= end:
                    return self.make("slice", part, start=start - at, stop=stop - at)
                at = end
        return None

    def _concat(self, *parts: Node) -> Node | None:
        joined: list[Node] = []
        for part in parts:
            before = joined[-1] if joined else None
            if not part.shape[-1]:
                continue
            if before is not None and constant(before) and constant(part):
                joined[-1] = self.make("concat", before, part)
            elif before is not None and (whole := _adjacent(before, part)) is not None:
                joined[-1] = self.make("slice", whole[0], start=whole[1], stop=whole[2])
            else:
                joined.append(part)
        if len(joined) == 1:
            return joined[0]
        return None if len(joined) == len(parts) else self._node("concat", joined, {})

    def _matmul(self, x: Node, w: Node) -> Node | None:
        if constant(w) and x.name == "multiply" and constant(x.args[1]):
            factor = row(x.args[1], x.shape[-1])
            if factor is not None and x.args[0].shape == x.shape:
                return self.make("matmul", x.args[0], self.constant(known(w) * factor[:, None]))
        if constant(w) and x.name == "add" and constant(x.args[1]):
            shift = row(x.args[1], x.shape[-1])
            if shift is not None and x.args[0].shape == x.shape:
                product = self.make("matmul", x.args[0], w)
                return self.make("add", product, self.constant(shift @ known(w)))
        return None

    def _convolve(self, x: Node, w: Node, bias: Node, **attributes: Any) -> Node | None:
        """Let weights do what is done to each pixel alike; zeros around it become ``fill``."""
        if not (constant(w) and constant(bias)) or attributes.get("fill"):
            return None
        pixels, shift = (x.args[0], number(x.args[1])) if x.name == "add" else (x, 0.0)
        if shift is None or pixels.name != "multiply":
            return None
        scale = number(pixels.args[1])
        if not scale or abs(shift / scale) > LARGEST_SHIFT:
            return None
        kernel = known(w)
        return self.make(
            "convolve",
            pixels.args[0],
            self.constant(kernel * scale),
            self.constant(known(bias) + shift * kernel.sum((1, 2, 3))),
            **{**attributes, "fill": -shift / scale},
        )


def known(node: Node) -> Value:
    """Value of a constant."""
    assert node.value is not None
    return node.value


def row(node: Node, size: int) -> Value | None:
    """Return a constant that acts along the last axis only, written out to that axis' size."""
    value = known(node)
    if value.size not in (1, size) or (value.ndim and value.size != value.shape[-1]):
        return None
    return np.broadcast_to(value.reshape(-1), (size,))


def _adjacent(a: Node, b: Node) -> tuple[Node, int, int] | None:
    """Source, start and stop of two slices that lie side by side."""
    if a.name != "slice" or b.name != "slice" or a.args != b.args:
        return None
    if a.attributes["stop"] != b.attributes["start"]:
        return None
    return a.args[0], a.attributes["start"], b.attributes["stop"]


def _evaluate(name: str, values: list[Any], attributes: Mapping[str, Any]) -> Value:
    if name in BINARY:
        return np.asarray(BINARY[name](*values))
    if name in UNARY:
        return np.asarray(UNARY[name](*values))
    if name == "matmul":
        return np.asarray(values[0] @ values[1])
    if name == "concat":
        return NUMPY.concat(values)
    if name == "slice":
        return np.asarray(values[0][..., attributes["start"] : attributes["stop"]])
    if name == "clip":
        return np.asarray(np.clip(values[0], attributes["low"], attributes["high"]))
    return np.asarray(getattr(NUMPY, name)(*values, **attributes))  # convolve, flatten


def _shape(name: str, args: tuple[Node, ...], attributes: Mapping[str, Any]) -> tuple[int, ...]:
    first = args[0].shape
    if name in BINARY:
        return np.broadcast_shapes(first, args[1].shape)
    if name == "matmul":
        return (*first[:-1], args[1].shape[-1])
    if name == "concat":
        return (*first[:-1], sum(a.shape[-1] for a in args))
    if name == "slice":
        return (*first[:-1], attributes["stop"] - attributes["start"])
    if name == "flatten":
        return (*first[:-3], first[-3] * first[-2] * first[-1])
    if name == "convolve":
        units, _, *kernel = args[1].shape
        (down, right), (above, left) = attributes["stride"], attributes["padding"]
        rows = (first[-3] + 2 * above - kernel[0]) // down + 1
        return (*first[:-3], rows, (first[-2] + 2 * left - kernel[1]) // right + 1, units)
    return first
