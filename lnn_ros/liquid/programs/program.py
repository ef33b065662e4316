"""Runs a traced program in numpy: every array is allocated, every call prepared, once.

A run is a list of calls that only write into buffers made before. Slices are views; what is joined
is computed in its place of the joined buffer where that is possible; a bias is one more row of its
matrix. ``simplify`` has made the list short.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.programs.convolution import LONG_RUN, PlanePatches, RowPatches, Step, copy
from lnn_ros.liquid.programs.graph import BINARY, Node, constant
from lnn_ros.liquid.programs.simplify import ordered, simplify, users
from lnn_ros.liquid.programs.trace import Program

Array = NDArray[Any]

_UNARY: dict[str, Callable[..., Any]] = {
    "tanh": np.tanh,
    "exp": np.exp,
    "log1p": np.log1p,
    "abs": np.absolute,
    "sin": np.sin,
    "cos": np.cos,
    "round": np.rint,
}


class Runner:
    """A program, ready to run; by one thread at a time, since its buffers are its own.

    Parameters
    ----------
    program : Program
        As ``trace.trace`` returns it.
    dtype : dtype
        float32 or float64: what it computes in.
    uint8 : collection of str
        Inputs that are given as uint8, such as a frame.

    Attributes
    ----------
    inputs : dict of str to ndarray
        Buffers to be filled before ``run``.
    outputs : dict of str to ndarray
        Buffers that hold the results until the next run.

    Raises
    ------
    LnnError
        When the type is none of the two, or the program convolves several frames at once.
    """

    def __init__(
        self, program: Program, dtype: DTypeLike = np.float32, uint8: Collection[str] = ()
    ) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise LnnError(f"program: dtype {self.dtype} found, expected float32 or float64")
        inputs, outputs = simplify(program)
        build = _Build(inputs, outputs, self.dtype, uint8)
        self._steps = tuple(build.steps)
        self.inputs = build.inputs
        self.outputs = {name: build.array(node) for name, node in outputs.items()}

    def run(self) -> None:
        """Compute the outputs of what is in the input buffers; allocates nothing."""
        for step in self._steps:
            step()

    def __call__(self, **values: Array) -> dict[str, Array]:
        """Compute.

        Parameters
        ----------
        **values : ndarray
            Every input, in its shape.

        Returns
        -------
        dict of str to ndarray
            ``outputs``: the runner's own buffers, valid until the next call.

        Raises
        ------
        LnnError
            When an input is missing, unknown or of another shape.
        """
        if values.keys() != self.inputs.keys():
            raise LnnError(
                f"program: inputs {', '.join(values) or 'none'} found, expected "
                f"{', '.join(self.inputs)}"
            )
        for name, value in values.items():
            buffer = self.inputs[name]
            if value.shape != buffer.shape:
                raise LnnError(f"program: {name} has shape {value.shape}, expected {buffer.shape}")
            np.copyto(buffer, value, casting="same_kind")
        self.run()
        return self.outputs

    def __len__(self) -> int:
        """Number of calls of a run."""
        return len(self._steps)

    def __reduce__(self) -> str:
        # A copy's calls would go on writing into buffers that its attributes no longer name.
        raise LnnError("program: a runner cannot be copied or pickled; build one of the program")


class _Build:
    """Buffers and calls of a program."""

    def __init__(
        self,
        inputs: Mapping[str, Node],
        outputs: Mapping[str, Node],
        dtype: np.dtype[Any],
        uint8: Collection[str],
    ) -> None:
        self.dtype = dtype
        self.steps: list[Step] = []
        self._arrays: dict[Node, Array] = {}
        self._homes: dict[Node, Array] = {}
        """Where a value is to be computed."""
        self._patches: dict[Node, RowPatches | PlanePatches] = {}
        self._users = users(outputs)
        order = ordered(outputs)
        self._biased = {node: x for node in order if (x := self._affine(node)) is not None}
        # With a one behind its last number, a vector needs no addition of the bias.
        self._with_one = {node.args[0].args[0]: np.ones(0, dtype) for node in self._biased}
        for node in reversed(order):
            self._place(node)
        self.inputs = {
            name: self._input(node, np.dtype(np.uint8) if name in uint8 else dtype)
            for name, node in inputs.items()
        }
        for node in order:
            if node not in self._arrays and not constant(node):
                self._arrays[node] = self._lower(node)

    # -- where values live ----------------------------------------------------------------------

    def array(self, node: Node) -> Array:
        """The array that holds a value."""
        if constant(node) and node not in self._arrays:
            self._arrays[node] = np.array(node.value, self.dtype, order="C")
        return self._arrays[node]

    def _affine(self, node: Node) -> Array | None:
        """Weights and bias as one matrix, where a node is ``x @ w + b`` of a vector."""
        if node.name != "add" or not constant(node.args[1]):
            return None
        product, bias = node.args
        if product.name != "matmul" or len(self._users[product]) > 1 or len(product.shape) != 1:
            return None
        x, w = product.args
        if not constant(w) or x.name == "slice" or product.shape != node.shape:
            return None
        assert w.value is not None and bias.value is not None
        row = np.broadcast_to(bias.value, product.shape)[None]
        return np.ascontiguousarray(np.concatenate([w.value, row]), self.dtype)

    def _new(self, node: Node) -> Array:
        """A buffer for a value, with a one behind it if that is wanted."""
        if node not in self._with_one:
            return np.zeros(node.shape, self.dtype)
        self._with_one[node] = np.ones(node.shape[0] + 1, self.dtype)
        return self._with_one[node][:-1]

    def _out(self, node: Node) -> Array:
        if node not in self._homes:
            self._homes[node] = self._new(node)
        return self._homes[node]

    def _place(self, node: Node) -> None:
        """Find homes for a node's operands; called for users first."""
        if node.name == "concat":
            whole, start = self._out(node), 0
            for part in node.args:
                stop = start + part.shape[-1]
                if part.name not in ("input", "constant", "slice", "convolve"):
                    self._homes.setdefault(part, whole[..., start:stop])
                start = stop

    def _input(self, node: Node, dtype: np.dtype[Any]) -> Array:
        if dtype == self.dtype:
            self._arrays[node] = self._new(node)
            return self._arrays[node]
        given = np.zeros(node.shape, dtype)
        if all(user.name == "convolve" for user in self._users[node]):
            self._arrays[node] = given  # copied, and thereby converted, into a padded buffer
        else:
            self._arrays[node] = self._new(node)
            self.steps.append(copy(self._arrays[node], given))
        return given

    # -- calls ----------------------------------------------------------------------------------

    def _lower(self, node: Node) -> Array:
        """Note the calls that compute a node; return where the result will be."""
        if node.name == "slice":
            return self.array(node.args[0])[..., node.attributes["start"] : node.attributes["stop"]]
        if node.name == "convolve":
            return self._convolve(node)
        if node.name == "matmul" and self._users[node][0] in self._biased:
            whole = self._with_one[node.args[0]]
            if whole.size:
                return whole  # its user, the addition of the bias, does it
        before = node.args[0]
        if node.name == "relu" and before in self._patches and len(self._users[before]) == 1:
            patches = self._patches[before]
            self._rectify(patches.whole, patches.whole)
            return patches.out
        out = self._out(node)
        if node.name == "concat":
            self._concat(node, out)
        elif node.name == "flatten":
            image = np.moveaxis(self.array(node.args[0]), -1, -3)
            self.steps.append(copy(out.reshape(image.shape), image))
        elif node in self._biased and self._with_one[node.args[0].args[0]].size:
            x = self._with_one[node.args[0].args[0]]
            self.steps.append(partial(x.dot, self._biased[node], out))
        elif node.name == "matmul":
            x, w = (self.array(a) for a in node.args)
            self.steps.append(
                partial(x.dot, w, out) if x.ndim == 1 else partial(np.matmul, x, w, out=out)
            )
        else:
            self._elementwise(node, [self._operand(a, node) for a in node.args], out)
        return out

    def _operand(self, node: Node, result: Node) -> Array:
        """An operand's array; a single number without axes, which numpy broadcasts faster."""
        array = self.array(node)
        other = all(a.shape == result.shape for a in result.args if a is not node)
        return array.reshape(()) if array.size == 1 and other else array

    def _elementwise(self, node: Node, operands: list[Array], out: Array) -> None:
        if node.name in BINARY:
            step = partial(BINARY[node.name], *operands, out)
        elif node.name in _UNARY:
            step = partial(_UNARY[node.name], *operands, out)
        elif node.name == "softplus":
            step = partial(np.logaddexp, *operands, np.zeros((), self.dtype), out)
        elif node.name == "relu":
            self._rectify(operands[0], out)
            return
        elif node.name == "clip":
            low, high = (np.array(node.attributes[key], self.dtype) for key in ("low", "high"))
            self.steps.append(partial(np.maximum, *operands, low, out=out))
            step = partial(np.minimum, out, high, out=out)
        else:
            raise LnnError(f"program: operation {node.name} found, expected one of trace.py")
        self.steps.append(step)

    def _rectify(self, x: Array, out: Array) -> None:
        # Against an array of zeros: numpy has no fast loop against a single number here.
        self.steps.append(partial(np.maximum, x, np.zeros(x.shape, self.dtype), out=out))

    def _concat(self, node: Node, out: Array) -> None:
        start = 0
        for part in node.args:
            stop = start + part.shape[-1]
            target, source = out[..., start:stop], self.array(part)
            if constant(part):
                target[...] = source  # once: nobody else writes there
            elif not _same(target, source):
                self.steps.append(copy(target, source))
            start = stop

    def _convolve(self, node: Node) -> Array:
        x, weight, bias = node.args
        if len(x.shape) != 3:
            raise LnnError(
                f"program: a convolution of {x.shape} found, expected one frame (H, W, C)"
            )
        if weight.value is None or bias.value is None:
            raise LnnError("program: a convolution by computed weights found, expected known ones")
        stride, padding = node.attributes["stride"], node.attributes["padding"]
        how = (weight.value, bias.value, stride, padding, node.attributes.get("fill", 0.0))
        patches: RowPatches | PlanePatches
        if weight.shape[1] * weight.shape[3] >= LONG_RUN:
            patches = RowPatches(x.shape, *how, self.dtype)
            self.steps.append(copy(patches.inside, self.array(x)))
        else:
            patches = PlanePatches(self.array(x), *how, self.dtype)
        self.steps.extend(patches.steps)
        self._patches[node] = patches
        return patches.out


def _same(a: Array, b: Array) -> bool:
    """Whether two arrays are the same numbers in memory."""
    return (a.ctypes.data, a.shape, a.strides) == (b.ctypes.data, b.shape, b.strides)
