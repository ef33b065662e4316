"""A policy, or a cell alone, as an ONNX model that steps from observation to observation.

The models are single steps, not sequences: an exported loop would be unrolled to one length. They
hold no memory; the caller hands the state in and takes the new one out. All arrays have a leading
batch axis of any length.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.liquid.checkpoint import CellCheckpoint, Checkpoint, streams
from lnn_ros.liquid.engine import effective
from lnn_ros.liquid.exporting.tracing import cell_weights, inside, traced
from lnn_ros.liquid.ops import Array, Ops
from lnn_ros.liquid.programs.trace import Operation, Program
from lnn_ros.liquid.spec import COMMAND, SUMMARY, HeadSpec

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 17, 8
"""What ONNX Runtime 1.12 (2022) and everything since reads."""
FRAME = "frame"
"""Name of the input that is an image of bytes."""
BATCH = 2
"""Batch size while tracing; the model's own is free."""

UNARY = {
    "negative": "Neg",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "exp": "Exp",
    "softplus": "Softplus",
    "relu": "Relu",
    "abs": "Abs",
    "sin": "Sin",
    "cos": "Cos",
    "round": "Round",
}
BINARY = {"add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div"}


def policy_model(checkpoint: Checkpoint) -> onnx.ModelProto:
    """Export a whole step: the flow of time, then an observation, then the command.

    Parameters
    ----------
    checkpoint : Checkpoint

    Returns
    -------
    ModelProto
        Inputs: ``state`` (batch, state_size), ``dt`` (batch, 1) in seconds since the state's
        instant, ``frame`` (batch, H, W, C) uint8, ``summary`` (batch, len(SUMMARY)), whose
        ``camera_present`` is 1, or 0 where there is no frame: then any will do. Outputs:
        ``next_state``, ``command`` (batch, 4). Its metadata hold the policy's name, the SHA-256 of
        its weights, its streams, the initial state and ``first_interval``, the seconds before the
        first frame.

    Raises
    ------
    LnnError
        When the core does what no program can.
    ModuleNotFoundError
        When onnx is not installed.
    """
    spec, w = checkpoint.spec, effective(checkpoint.spec, checkpoint.arrays)

    def step(ops: Ops, state: Array, dt: Array, frame: Array, summary: Array) -> dict[str, Array]:
        after = spec.update(ops, w, spec.predict(ops, w, state, dt), frame, summary)
        return {"next_state": after, "command": spec.command(ops, w, after)}

    inputs = {
        "state": (spec.core.state_size,),
        "dt": (1,),
        "frame": spec.encoder.frame_shape,
        "summary": (len(SUMMARY),),
    }
    return program_model(
        "policy_step", traced(spec.core.kind, step, _batch(inputs)), _papers(checkpoint), spec.head
    )


def read_model(checkpoint: Checkpoint) -> onnx.ModelProto:
    """Export the read-out by the flow of time alone: nothing was measured since.

    Parameters
    ----------
    checkpoint : Checkpoint

    Returns
    -------
    ModelProto
        Inputs: ``state`` (batch, state_size), ``dt`` (batch, 1). Output: ``command`` (batch, 4),
        ``dt`` seconds after the state's instant.

    Raises
    ------
    LnnError, ModuleNotFoundError
        As ``policy_model``.
    """
    spec, w = checkpoint.spec, effective(checkpoint.spec, checkpoint.arrays)

    def read(ops: Ops, state: Array, dt: Array) -> dict[str, Array]:
        return {"command": spec.command(ops, w, spec.predict(ops, w, state, dt))}

    program = traced(spec.core.kind, read, _batch({"state": (spec.core.state_size,), "dt": (1,)}))
    return program_model("policy_read", program, _papers(checkpoint), spec.head)


def cell_model(checkpoint: CellCheckpoint) -> onnx.ModelProto:
    """Export the step of a cell without a robot.

    Parameters
    ----------
    checkpoint : CellCheckpoint

    Returns
    -------
    ModelProto
        Inputs: ``state`` (batch, state_size), ``dt`` (batch, 1) in seconds since the state's
        instant, ``inputs`` (batch, inputs). Outputs: ``next_state``, ``activity`` and, where the
        file has a read-out, ``outputs``. Its metadata hold the initial state, in which
        ``first_interval`` has elapsed already: the first ``dt`` comes on top of it.

    Raises
    ------
    LnnError, ModuleNotFoundError
        As ``policy_model``.
    """
    cell = checkpoint.cell
    w = cell_weights(checkpoint)

    def step(ops: Ops, state: Array, dt: Array, inputs: Array) -> dict[str, Array]:
        after = cell.update(ops, w, cell.predict(ops, w, state, dt), inputs)
        activity = cell.activity(ops, after)
        made = {"next_state": after, "activity": activity}
        if checkpoint.outputs:
            read = activity[..., len(cell.names()) - cell.read :]
            arrays = checkpoint.arrays
            made["outputs"] = read @ arrays["readout.weight"] + arrays["readout.bias"]
        return made

    inputs = {"state": (cell.state_size,), "dt": (1,), "inputs": (cell.inputs,)}
    papers = {
        "name": checkpoint.name,
        "weights_sha256": checkpoint.weights_digest(),
        "initial_state": json.dumps(checkpoint.initial_state().tolist()),
        "first_interval": json.dumps(checkpoint.first_interval),
    }
    return program_model("cell_step", traced(cell.kind, step, _batch(inputs)), papers)


def _batch(shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    return {name: (BATCH, *shape) for name, shape in shapes.items()}


def _papers(checkpoint: Checkpoint) -> dict[str, str]:
    return {
        "name": str(checkpoint.card["name"]),
        "weights_sha256": checkpoint.weights_digest(),
        "streams": json.dumps(streams(checkpoint.spec)),
        "command": json.dumps(COMMAND),
        "initial_state": json.dumps(checkpoint.spec.core.initial_state().tolist()),
        "first_interval": json.dumps(checkpoint.spec.first_interval),
    }


def program_model(
    graph_name: str, program: Program, papers: Mapping[str, str], head: HeadSpec | None = None
) -> onnx.ModelProto:
    """Write a program down as a model.

    Parameters
    ----------
    graph_name : str
    program : Program
        Traced with a leading batch axis in all inputs; the one named ``frame`` becomes uint8.
    papers : mapping of str to str
        The model's metadata.
    head : HeadSpec, optional
        Gives the limits of the output ``command``.
    """
    from onnx import TensorProto, checker, helper

    writer = _Writer(program)

    def announced(name: str, number: int) -> onnx.ValueInfoProto:
        shape: list[str | int | None] = ["batch", *program.shapes[number][1:]]
        kind = TensorProto.UINT8 if name == FRAME else TensorProto.FLOAT
        return helper.make_tensor_value_info(name, kind, shape)

    inputs = [announced(name, number) for name, number in program.inputs.items()]
    for operation in program.operations:
        writer.write(operation)
    outputs = []
    for output, number in program.outputs.items():
        made = writer.find(number)
        if output == "command" and head is not None:
            # Rounding to float32 must not lead beyond the limits.
            made = writer.node("Max", made, writer.constant(inside(head.low)))
            made = writer.node("Min", made, writer.constant(inside(head.high)))
        writer.node("Identity", made, result=output)
        outputs.append(announced(output, number))
    graph = helper.make_graph(writer.nodes, graph_name, inputs, outputs, writer.constants)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="lnn_ros",
    )
    helper.set_model_props(model, dict(papers))
    checker.check_model(model, full_check=True)
    return model


class _Writer:
    """Nodes and constants of a graph.

    Images are channels last in a program and channels first in ONNX: they are turned around once,
    as they come in, and element-wise operations on them stay that way; ``flatten`` then has
    nothing left to turn.
    """

    def __init__(self, program: Program) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._program = program
        self._names: dict[tuple[int, bool], str] = {}  # value, channels first
        self._known: dict[tuple[tuple[int, ...], str, bytes], str] = {}
        for name, number in program.inputs.items():
            made = name
            if name == FRAME:
                made = self.node("Transpose", made, perm=[0, 3, 1, 2])
                made = self.node("Cast", made, to=1)  # TensorProto.FLOAT
            self._names[number, name == FRAME] = made

    def node(self, kind: str, *inputs: str, result: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its result."""
        from onnx import helper

        result = result or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [result], **attributes))
        return result

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        """Add a constant, or find it, and return its name."""
        from onnx import numpy_helper

        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(value, dtype).reshape(np.shape(value))
        if not np.isfinite(array).all():
            raise LnnError("export: a constant found that float32 cannot hold")
        key = (array.shape, array.dtype.str, array.tobytes())
        if key not in self._known:
            self._known[key] = f"constant_{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def find(self, number: int, first: bool = False) -> str:
        """Return the name of a value, with its channels last, or first."""
        value = self._program.constants.get(number)
        if (number, first) not in self._names:
            if value is not None:
                if first and value.ndim:
                    value = value.reshape((1,) * (3 - value.ndim) + value.shape)
                    value = value.transpose(2, 0, 1)
                self._names[number, first] = self.constant(value)
            else:
                perm = [0, 3, 1, 2] if first else [0, 2, 3, 1]
                self._names[number, first] = self.node(
                    "Transpose", self._names[number, not first], perm=perm
                )
        return self._names[number, first]

    def write(self, operation: Operation) -> None:
        """Add an operation."""
        name, attributes = operation.name, operation.attributes
        shapes = [self._program.shapes[n] for n in operation.operands]
        # Channels first where that is what ONNX wants, or all that there is.
        images = all(
            len(shape) == 4 or (n in self._program.constants and len(shape) < 4)
            for n, shape in zip(operation.operands, shapes, strict=True)
        )
        first = name in ("convolve", "flatten") or (
            name in (*UNARY, *BINARY, "clip", "log1p") and images and max(map(len, shapes)) == 4
        )
        if name == "convolve":
            (above, left), stride = attributes["padding"], attributes["stride"]
            pixels, weight, bias = operation.operands
            made = self.node(
                "Conv", self.find(pixels, True), self.find(weight), self.find(bias),
                strides=list(stride), pads=[above, left, above, left],
            )  # fmt: skip
        else:
            x, *others = (self.find(n, first) for n in operation.operands if self._size(n))
            if name in UNARY:
                made = self.node(UNARY[name], x)
            elif name in BINARY:
                made = self.node(BINARY[name], x, *others)
            elif name == "log1p":
                made = self.node("Log", self.node("Add", x, self.constant(1.0)))
            elif name == "clip":
                low, high = self.constant(attributes["low"]), self.constant(attributes["high"])
                made = self.node("Clip", x, low, high)
            elif name == "matmul":
                made = self.node("MatMul", x, *others)
            elif name == "concat":
                if any(shape[:-1] != shapes[0][:-1] for shape in shapes):
                    raise LnnError(f"export: concat of {shapes} found, expected equal leading axes")
                made = self.node("Concat", x, *others, axis=-1)
            elif name == "slice":
                bounds = ([attributes["start"]], [attributes["stop"]], [-1])
                made = self.node("Slice", x, *(self.constant(b, np.int64) for b in bounds))
            elif name == "flatten":
                made = self.node("Flatten", x, axis=1)
            else:
                raise LnnError(f"export: operation {name} found, which ONNX export does not know")
        self._names[operation.result, first and name != "flatten"] = made

    def _size(self, number: int) -> int:
        return math.prod(self._program.shapes[number])
