"""A program's operations as C99 statements.

All intermediate values lie in one scratch array ``v``, whose pieces are used again as soon as
nobody needs what was in them. Chains of element-wise operations become one loop.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from textwrap import wrap

from lnn_ros.errors import LnnError
from lnn_ros.liquid.exporting.c_text import ELEMENTWISE, Constants, Memory, Place, literal
from lnn_ros.liquid.programs.trace import Operation, Program


class Body:
    """The statements of one function.

    Parameters
    ----------
    program : Program
        What it does.
    inputs : mapping of str to Place
        Where its inputs lie.
    constants : Constants
        Of the file.
    bytes_in : str, optional
        Name of the input that is uint8.

    Attributes
    ----------
    lines : list of str
        C statements.
    scratch : int
        Numbers that the array ``v`` must hold.
    outputs : dict of str to Place
    """

    def __init__(
        self,
        program: Program,
        inputs: Mapping[str, Place],
        constants: Constants,
        bytes_in: str | None = None,
    ) -> None:
        self._constants = constants
        self._program = program = _prepared(program, bytes_in)
        self._shapes = program.shapes
        self._place = {number: inputs[name] for name, number in program.inputs.items()}
        self._root: dict[int, int] = {}  # of a value that lies inside another one
        self._made_by = {op.result: op for op in program.operations}
        self._inlined = self._choose_inlined()
        self.lines: list[str] = []
        self._memory = Memory()
        statements = [op for op in program.operations if op.result not in self._inlined]
        dying: dict[int, set[int]] = defaultdict(set)
        for number, index in self._last_uses(statements).items():
            dying[index].add(number)
        for index, operation in enumerate(statements):
            self._write(operation, dying[index])
        self.scratch = self._memory.size
        self.outputs = {name: self._find(number) for name, number in program.outputs.items()}

    # -- planning -------------------------------------------------------------------------------

    def _choose_inlined(self) -> set[int]:
        """Results that are written into the one expression that uses them."""
        uses = Counter(n for op in self._program.operations for n in op.operands)
        uses.update(self._program.outputs.values())
        outputs = set(self._program.outputs.values())
        return {
            number
            for op in self._program.operations
            if op.name in ELEMENTWISE
            for number in op.operands
            if number in self._made_by
            and self._made_by[number].name in ELEMENTWISE
            and uses[number] == 1
            and number not in outputs
            and self._shapes[number] == self._shapes[op.result]
        }

    def _leaves(self, operation: Operation) -> list[int]:
        """Values that a statement reads, through everything that is inlined."""
        found: list[int] = []
        for number in operation.operands:
            inlined = number in self._inlined
            found.extend(self._leaves(self._made_by[number]) if inlined else [number])
        return found

    def _is_view(self, operation: Operation) -> bool:
        """Whether the result is a contiguous piece of the operand."""
        shape = self._shapes[operation.operands[0]]
        if operation.name == "slice":
            return math.prod(shape[:-1]) == 1
        return operation.name == "flatten" and 1 in (shape[-1], math.prod(shape[:-1]))

    def _last_uses(self, statements: Sequence[Operation]) -> dict[int, int]:
        """Index of the last statement that needs each value in the scratch array."""
        for operation in statements:
            if self._is_view(operation):
                source = operation.operands[0]
                self._root[operation.result] = self._root.get(source, source)
        last: dict[int, int] = {}
        for index, operation in enumerate(statements):
            for number in (*self._leaves(operation), operation.result):
                last[self._root.get(number, number)] = index
        for number in self._program.outputs.values():
            last[self._root.get(number, number)] = len(statements)
        return {n: i for n, i in last.items() if n in self._made_by}

    def _find(self, number: int) -> Place:
        if number not in self._place:
            original = self._program.constants[number]
            self._place[number] = Place(self._constants.name(original, original))
        return self._place[number]

    # -- writing --------------------------------------------------------------------------------

    def _write(self, operation: Operation, dying: set[int]) -> None:
        """Write one statement; ``dying`` are the values that it is the last to need."""
        number = operation.result
        shape = self._shapes[number]
        if self._is_view(operation):
            start = operation.attributes.get("start", 0)
            source = self._find(operation.operands[0])
            self._place[number] = replace(source, offset=source.offset + start)
        else:
            leaves = self._leaves(operation)
            offset = self._in_place(operation, leaves, dying)
            if offset is None:
                offset = self._memory.take(math.prod(shape))
            self._place[number] = Place("v", offset)
            if operation.name in ELEMENTWISE:
                self._elementwise(operation, leaves)
            elif operation.name in ("concat", "slice"):
                self._copy(operation)
            else:
                getattr(self, f"_{operation.name}")(operation)
        for dead in dying:
            place = self._place[dead]
            if dead != number and place != self._place[number]:
                self._memory.give(place.offset, math.prod(self._shapes[dead]))

    def _in_place(self, operation: Operation, leaves: Sequence[int], dying: set[int]) -> int | None:
        """Return the offset of an operand that the result may overwrite, number by number."""
        if operation.name not in ELEMENTWISE:
            return None
        shape = self._shapes[operation.result]
        for leaf in leaves:
            whole = leaf in dying and self._shapes[leaf] == shape
            if whole and not any(n != leaf and self._root.get(n) == leaf for n in leaves):
                return self._place[leaf].offset
        return None

    def _elementwise(self, operation: Operation, leaves: Sequence[int]) -> None:
        shape = self._shapes[operation.result]
        extents, strides = _loops(shape, [self._shapes[n] for n in [operation.result, *leaves]])
        names = "ijklmn"[: len(extents)]
        indices = {
            number: " + ".join(
                name if step == 1 else f"{step} * {name}"
                for name, step in zip(names, steps, strict=True)
                if step
            )
            for number, steps in zip([operation.result, *leaves], strides, strict=True)
        }

        def read(number: int) -> str:
            if number in self._inlined:
                return expression(self._made_by[number])
            constant = self._program.constants.get(number)
            if constant is not None and constant.size == 1:
                return literal(constant.item())
            return self._find(number).element(indices[number])

        def expression(op: Operation) -> str:
            bounds = {key: literal(value) for key, value in op.attributes.items()}
            form, operands = ELEMENTWISE[op.name], [read(n) for n in op.operands]
            if "({0}" in form and not form.startswith("("):  # a call has brackets of its own
                operands = [_bare(operand) for operand in operands]
            return form.format(*operands, **bounds)

        value = _bare(expression(operation))
        target = self._place[operation.result].element(indices[operation.result])
        self._nest(zip(names, extents, strict=True), f"{target} = {value};")

    def _nest(self, loops: Iterable[tuple[str, int]], statement: str) -> None:
        depth = 1
        for name, extent in loops:
            self._line(f"for (int {name} = 0; {name} < {extent}; {name}++) {{", depth)
            depth += 1
        self._line(statement, depth)
        for level in range(depth - 1, 0, -1):
            self._line("}", level)

    def _line(self, text: str, depth: int = 1) -> None:
        indent = "    " * depth
        self.lines.extend(
            wrap(text, 100, initial_indent=indent, subsequent_indent=indent + "    ",
                 break_long_words=False, break_on_hyphens=False)
        )  # fmt: skip

    def _copy(self, operation: Operation) -> None:
        """Write concat and slice: rows of each operand into rows of the result."""
        shape = self._shapes[operation.result]
        rows, target = math.prod(shape[:-1]), self._place[operation.result]
        column = 0
        for number in operation.operands:
            length = self._shapes[number][-1]
            count = min(length, shape[-1])
            to = replace(target, offset=target.offset + column)
            source = self._find(number)
            start = operation.attributes.get("start", 0)
            if rows == 1:
                self._line(f"memcpy({to.pointer}, {source.pointer}, {count} * sizeof(float));")
            else:
                source = replace(source, offset=source.offset + start)
                self._nest(
                    [("i", rows)],
                    f"memcpy({to.pointer} + {shape[-1]} * i, {source.pointer} + {length} * i, "
                    f"{count} * sizeof(float));",
                )
            column += count

    def _flatten(self, operation: Operation) -> None:
        *_, height, width, channels = self._shapes[operation.operands[0]]
        source, target = self._find(operation.operands[0]), self._place[operation.result]
        self._nest(
            [("i", channels), ("j", height * width)],
            f"{target.element(f'{height * width} * i + j')} = "
            f"{source.element(f'{channels} * j + i')};",
        )

    def _matmul(self, operation: Operation) -> None:
        left, right = operation.operands
        *lead, n = self._shapes[left]
        m = self._shapes[right][-1]
        self._line(
            f"lnn_matmul({self._find(left).pointer}, {self._find(right).pointer}, "
            f"{self._place[operation.result].pointer}, {math.prod(lead)}, {n}, {m});"
        )

    def _convolve(self, operation: Operation) -> None:
        x, weight, bias = operation.operands
        original = self._program.constants[weight]
        units, channels, rows, columns = original.shape
        # The innermost loop runs over the units: they must lie side by side.
        kernel = self._constants.name(original.transpose(2, 3, 1, 0), original)
        height, width = self._shapes[x][-3:-1]
        out_height, out_width = self._shapes[operation.result][-3:-1]
        numbers = (
            *(height, width, channels, rows, columns, units, out_height, out_width),
            *operation.attributes["stride"],
            *operation.attributes["padding"],
        )
        self._line(
            f"lnn_convolve({self._find(x).pointer}, {kernel}, {self._find(bias).pointer}, "
            f"{self._place[operation.result].pointer}, {', '.join(map(str, numbers))});"
        )


def _prepared(program: Program, bytes_in: str | None) -> Program:
    """Leave out empty values; convert bytes to floats first."""
    shapes, operations = list(program.shapes), []
    renamed: dict[int, int] = {}
    if bytes_in is not None and bytes_in in program.inputs:
        number = program.inputs[bytes_in]
        renamed[number] = len(shapes)
        shapes.append(shapes[number])
        operations.append(Operation("float", (number,), renamed[number]))
    for op in program.operations:
        if math.prod(shapes[op.result]):
            operands = tuple(renamed.get(n, n) for n in op.operands if math.prod(shapes[n]))
            operations.append(replace(op, operands=operands))
        known = (*ELEMENTWISE, "concat", "slice", "flatten", "matmul", "convolve")
        if op.name not in known:
            raise LnnError(f"export: operation {op.name} found, expected one of {', '.join(known)}")
    return replace(program, shapes=shapes, operations=operations)


def _loops(
    shape: Sequence[int], operands: Sequence[Sequence[int]]
) -> tuple[list[int], list[list[int]]]:
    """Return the fewest nested loops over a shape, and every operand's steps in them.

    Operands are broadcast as numpy does it; axes along which all of them are contiguous become
    one loop.
    """
    columns: list[tuple[int, list[int]]] = []  # extent, steps of the operands
    for axis in range(len(shape)):
        if shape[axis] == 1:
            continue
        steps = []
        for operand in operands:
            own = axis - (len(shape) - len(operand))
            repeated = own < 0 or operand[own] == 1
            steps.append(0 if repeated else math.prod(operand[own + 1 :]))
        before = columns[-1] if columns else None
        if before and all(b == s * shape[axis] for b, s in zip(before[1], steps, strict=True)):
            columns[-1] = (before[0] * shape[axis], steps)
        else:
            columns.append((shape[axis], steps))
    return (
        [extent for extent, _ in columns],
        [[steps[i] for _, steps in columns] for i in range(len(operands))],
    )


def _bare(text: str) -> str:
    """Leave out brackets around the whole expression."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            whole = text[0] == "(" and position == len(text) - 1
            return text[1:-1] if whole else text
    return text
