"""A policy, or a cell alone, as one self-contained C99 file.

The file needs nothing but the standard headers; it allocates nothing, and its only globals are
constants. What it computes is what ``liquid.programs.program`` computes, operation by operation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from lnn_ros.liquid.checkpoint import CellCheckpoint, Checkpoint
from lnn_ros.liquid.engine import effective
from lnn_ros.liquid.exporting.c_code import Body
from lnn_ros.liquid.exporting.c_text import HELPERS, Constants, Place, called
from lnn_ros.liquid.exporting.tracing import cell_weights, inside, traced
from lnn_ros.liquid.ops import Array, Ops
from lnn_ros.liquid.programs.trace import Program
from lnn_ros.liquid.spec import COMMAND, SUMMARY

STATE = "const float *const state = self->state;"


def policy_source(checkpoint: Checkpoint) -> str:
    """Write a policy as C.

    Parameters
    ----------
    checkpoint : Checkpoint

    Returns
    -------
    str
        The file's text; its header comment says how to use it.

    Raises
    ------
    LnnError
        When the core does what no program can, or a number does not fit float32.
    """
    spec = checkpoint.spec
    w = effective(spec, checkpoint.arrays)
    encoder, state = spec.encoder, {"state": (spec.core.state_size,)}

    def predict(ops: Ops, state: Array, dt: Array) -> dict[str, Array]:
        return {"state": spec.predict(ops, w, state, dt)}

    def update(ops: Ops, state: Array, frame: Array, summary: Array) -> dict[str, Array]:
        return {"state": spec.update(ops, w, state, frame, summary)}

    def command(ops: Ops, state: Array) -> dict[str, Array]:
        return {"command": spec.command(ops, w, state)}

    kind = spec.core.kind
    observed = {"frame": encoder.frame_shape, "summary": (len(SUMMARY),)}
    functions = [
        _Function("predict", traced(kind, predict, {**state, "dt": (1,)}), "float dt"),
        _Function(
            "update",
            traced(kind, update, {**state, **observed}),
            "const uint8_t *frame, const float *summary",
            checked={"summary": len(SUMMARY)},
        ),
        _Function(
            "command",
            traced(kind, command, state),
            f"float command[{len(COMMAND)}]",
            limits=(spec.head.low, spec.head.high),
        ),
    ]
    about = [
        f"Policy {checkpoint.card['name']}, weights SHA-256",
        checkpoint.weights_digest(),
        "",
        "frame: the camera's newest image, 8-bit, row by row, channels side by side:",
        f"    {encoder.height} rows, {encoder.width} columns, {encoder.channels} channels"
        f" ({'red, green, blue' if encoder.channels == 3 else 'grey'})",
        "    Where no frame closes the interval (camera_present is 0) its bytes change nothing.",
        f"summary: {len(SUMMARY)} numbers on the interval, in the body frame (x forward, y left, z",
        "    up) at its end: the body's rotation since the last frame, the direction against",
        "    gravity, mean angular rate and specific force, the share of the interval that the IMU",
        "    covered, how long ago it and the camera measured before its end (at most 1 s),",
        "    whether a frame closes the interval, and its length:",
        *(f"    [{i}] {name}, {_unit(name)}" for i, name in enumerate(SUMMARY)),
        "command: velocity in the body frame, levelled:",
        *(
            f"    [{i}] {name}, {low:g} to {high:g} {'rad/s' if name == 'yaw_rate' else 'm/s'}"
            for i, (name, low, high) in enumerate(
                zip(COMMAND, spec.head.low, spec.head.high, strict=True)
            )
        ),
    ]
    usage = [
        "lnn_policy_state state;",
        "lnn_policy_reset(&state);",
        "for every frame, and every 0.1 s while none comes (then with camera_present 0):",
        "    lnn_policy_predict(&state, seconds since the last update,"
        f" {spec.first_interval:g} for the first);",
        "    lnn_policy_update(&state, frame, summary);",
        "whenever a command is wanted: the same step without a frame, on a copy:",
        "    lnn_policy_state copy = state;",
        "    lnn_policy_predict(&copy, seconds since the last update);",
        "    lnn_policy_update(&copy, frame, summary since then, camera_present 0);",
        "    lnn_policy_command(&copy, command);",
    ]
    return _file("lnn_policy", about, usage, spec.core.initial_state(), w, functions)


def cell_source(checkpoint: CellCheckpoint) -> str:
    """Write a cell without a robot as C.

    Parameters
    ----------
    checkpoint : CellCheckpoint

    Returns
    -------
    str

    Raises
    ------
    LnnError
        As ``policy_source``.
    """
    cell, arrays, w = checkpoint.cell, checkpoint.arrays, cell_weights(checkpoint)
    neurons = cell.names()
    state = {"state": (cell.state_size,)}

    def outputs(ops: Ops, state: Array) -> dict[str, Array]:
        read = cell.activity(ops, state)[..., len(neurons) - cell.read :]
        return {"outputs": read @ arrays["readout.weight"] + arrays["readout.bias"]}

    def predict(ops: Ops, state: Array, dt: Array) -> dict[str, Array]:
        return {"state": cell.predict(ops, w, state, dt)}

    def update(ops: Ops, state: Array, inputs: Array) -> dict[str, Array]:
        return {"state": cell.update(ops, w, state, inputs)}

    def activity(ops: Ops, state: Array) -> dict[str, Array]:
        return {"activity": cell.activity(ops, state)}

    functions = [
        _Function("predict", traced(cell.kind, predict, {**state, "dt": (1,)}), "float dt"),
        _Function(
            "update",
            traced(cell.kind, update, {**state, "inputs": (cell.inputs,)}),
            "const float *inputs",
            checked={"inputs": cell.inputs},
        ),
        _Function(
            "activity", traced(cell.kind, activity, state), f"float activity[{len(neurons)}]"
        ),
    ]
    about = [
        f"Cell {cell.kind} of {checkpoint.name}, weights SHA-256",
        checkpoint.weights_digest(),
        "",
        f"inputs: {cell.inputs} numbers",
        f"activity: {len(neurons)} neurons, {neurons[0]} to {neurons[-1]}",
        # Of a cell of ncps none has, whatever the file says.
        f"reset: as if {checkpoint.initial_state()[-1]:g} s had passed before the first time",
    ]
    usage = [
        "lnn_cell_state state;",
        "lnn_cell_reset(&state);",
        "for every observation:",
        "    lnn_cell_predict(&state, seconds since the observation before, or since the reset);",
        "    lnn_cell_update(&state, inputs);",
        "    lnn_cell_activity(&state, activity);",
    ]
    if checkpoint.outputs:
        about.append(f"outputs: {checkpoint.outputs} numbers")
        usage.append("    lnn_cell_outputs(&state, outputs);")
        functions.append(
            _Function(
                "outputs", traced(cell.kind, outputs, state), f"float outputs[{checkpoint.outputs}]"
            )
        )
    return _file("lnn_cell", about, usage, checkpoint.initial_state(), {**w, **arrays}, functions)


@dataclass(frozen=True)
class _Function:
    """One function of the file.

    Attributes
    ----------
    name : str
        Without prefix; one that makes a state returns a code, another writes its result.
    program : Program
    parameters : str
        C parameters besides ``self``.
    checked : mapping of str to int
        Arrays of floats that must be finite, and their sizes.
    limits : tuple of 2 sequence of float, optional
        Bounds of the result.
    """

    name: str
    program: Program
    parameters: str
    checked: Mapping[str, int] | None = None
    limits: tuple[Sequence[float], Sequence[float]] | None = None

    @property
    def changes(self) -> bool:
        """Whether it changes the state."""
        return "state" in self.program.outputs

    def prototype(self, prefix: str) -> str:
        """Its first line."""
        kind, constant = ("int", "") if self.changes else ("void", "const ")
        return f"{kind} {prefix}_{self.name}({constant}{prefix}_state *self, {self.parameters})"

    def text(self, prefix: str, constants: Constants) -> tuple[str, int]:
        """Return its C text and the size of its scratch array."""
        places = {name: Place(name, scalar=name == "dt") for name in self.program.inputs}
        body = Body(self.program, places, constants, "frame")
        lines = [self.prototype(prefix), "{"]
        made = body.outputs[self.output]
        if made.array == "state" or any("state" in line for line in body.lines):
            lines.append(f"    {STATE}")
        if body.scratch:
            lines.append(f"    float v[{body.scratch}];")
        lines.append("")
        for condition in self._refusals():
            lines += [f"    if ({condition}) {{", "        return 1;", "    }"]
        lines += body.lines
        lines += self._finish(made, constants)
        return "\n".join([*lines, "}"]), body.scratch

    @property
    def output(self) -> str:
        """Name of what the program makes."""
        (name,) = self.program.outputs
        return name

    def _refusals(self) -> Iterable[str]:
        if "dt" in self.program.inputs:
            yield "!isfinite(dt) || dt < 0.0f"
        for name, size in (self.checked or {}).items():
            yield f"!lnn_finite({name}, {size})"

    def _finish(self, made: Place, constants: Constants) -> list[str]:
        number = self.program.outputs[self.output]
        (size,) = self.program.shapes[number]
        if self.changes:
            return [
                f"    if (!lnn_finite({made.pointer}, {size})) {{",
                "        return 2;",
                "    }",
                f"    memcpy(self->state, {made.pointer}, sizeof self->state);",
                "    return 0;",
            ]
        if self.limits is None:
            return [f"    memcpy({self.output}, {made.pointer}, {size} * sizeof(float));"]
        low, high = (inside(limit) for limit in self.limits)
        names = (constants.name(low, low), constants.name(high, high))
        return [
            f"    for (int i = 0; i < {size}; i++) {{",
            f"        {self.output}[i] = lnn_clip({made.element('i')}, "
            f"{names[0]}[i], {names[1]}[i]);",
            "    }",
        ]


def _unit(name: str) -> str:
    """Unit of a number of the summary."""
    units = {
        "rotation": "rad",
        "up": "unit vector",
        "angular_rate": "rad/s",
        "specific_force": "m/s^2",
        "coverage": "0 to 1",
        "present": "0 or 1",
    }
    return next((unit for stem, unit in units.items() if stem in name), "s")


def _file(
    prefix: str,
    about: Sequence[str],
    usage: Sequence[str],
    initial: NDArray[Any],
    w: Mapping[str, NDArray[Any]],
    functions: Sequence[_Function],
) -> str:
    constants = Constants(w)
    texts, scratch = zip(*(function.text(prefix, constants) for function in functions), strict=True)
    reset = [
        f"void {prefix}_reset({prefix}_state *self)",
        "{",
        f"    memcpy(self->state, {constants.name(initial, initial)}, sizeof self->state);",
        "}",
    ]
    code = "\n\n".join(texts)
    helpers = called(code)
    comment = [
        *about,
        "",
        *usage,
        "",
        "predict and update return 0; 1 when dt is negative or an input is not finite; 2 when the",
        "result would not be finite. After 1 and 2 the state is as it was.",
        "",
        "Keep this file as it is, and either include it in the one C file that uses it, or compile",
        "it alone and declare there what stands first below. Link with -lm. No function allocates,",
        f"locks or keeps anything; the stack must hold {4 * max(scratch)} bytes of scratch.",
        "Written by lnn_ros export.",
    ]
    return "\n".join(
        [
            "/*",
            *(f" * {_harmless(line)}".rstrip() for line in comment),
            " */",
            "#include <math.h>",
            "#include <stdint.h>",
            "#include <string.h>",
            "",
            "#ifdef __FAST_MATH__",
            '#error "compile without -ffast-math: it makes the checks for finite numbers void"',
            "#endif",
            "",
            f"typedef struct {{ float state[{initial.size}]; }} {prefix}_state;",
            "",
            f"{reset[0]};",
            *(f"{function.prototype(prefix)};" for function in functions),
            "",
            *constants.lines,
            *(f"{HELPERS[name]}\n" for name in helpers),
            *reset,
            "",
            code,
            "",
        ]
    )


def _harmless(line: str) -> str:
    """A comment's line as ASCII: a name from a file must not end the comment."""
    line = line.encode("ascii", "replace").decode()
    return re.sub(r"[^ -~]|\\$", "?", line.replace("*/", "* /").replace("/*", "/ *"))
