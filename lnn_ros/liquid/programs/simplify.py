"""Fewer operations for the same function: what a program is put through before it is run.

In numpy a call on a few dozen numbers costs more than the numbers themselves, so what counts is
the number of calls. The rewrites are those of algebra; they change results by rounding only:

- what depends on constants alone is computed once, what is computed twice is computed once;
- a logistic function becomes a tanh, ``sigmoid(x) = tanh(x / 2) / 2 + 1 / 2``, and constant
  factors move up into the weights where they arise;
- products of one vector with several matrices become one product, and equal operations on
  neighbouring pieces of an array become one operation on the joined piece.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from lnn_ros.liquid.programs.graph import (
    BINARY,
    UNARY,
    Graph,
    Node,
    Value,
    constant,
    known,
    number,
    row,
)
from lnn_ros.liquid.programs.trace import Program

Outputs = dict[str, Node]
Replacements = dict[Node, Node]


def _same(node: Node) -> Node:
    return node


def ordered(outputs: Mapping[str, Node], resolved: Callable[[Node], Node] = _same) -> list[Node]:
    """All nodes that the outputs need, each after its operands; ``resolved`` may stand in."""
    found: dict[Node, None] = {}
    stack = [(resolved(node), False) for node in reversed(list(outputs.values()))]
    while stack:
        node, done = stack.pop()
        if done:
            found[node] = None
        elif node not in found:
            stack.append((node, True))
            stack.extend((resolved(a), False) for a in reversed(node.args))
    return list(found)


def users(outputs: Mapping[str, Node]) -> dict[Node, list[Node]]:
    """Who uses each node; an output counts as used by itself."""
    found: dict[Node, list[Node]] = defaultdict(list)
    for node in ordered(outputs):
        for a in node.args:
            found[a].append(node)
    for node in outputs.values():
        found[node].append(node)
    return found


def _rebuilt(graph: Graph, outputs: Outputs, replacements: Replacements) -> Outputs:
    """The outputs with nodes replaced, everything that depends on them made anew."""

    def resolved(node: Node) -> Node:
        while node in replacements:
            node = replacements[node]
        return node

    new: dict[Node, Node] = {}
    for node in ordered(outputs, resolved):
        args = tuple(new[resolved(a)] for a in node.args)
        new[node] = node if args == node.args else graph.make(node.name, *args, **node.attributes)
    return {name: new[resolved(node)] for name, node in outputs.items()}


def _absorbed(graph: Graph, outputs: Outputs) -> Replacements:
    """Constant factors that can move up into weights."""
    uses = Counter({node: len(who) for node, who in users(outputs).items()})

    def scaled(x: Node, c: Value) -> Node | None:
        """Return x * c, one number or one for each of the last axis, at no operation more."""
        if constant(x):
            return graph.constant(known(x) * c)
        if uses[x] > 1:
            return None
        a, b = x.args if len(x.args) == 2 else (x, x)
        if x.name == "matmul" and constant(b):
            return graph.make("matmul", a, graph.constant(known(b) * c))
        if x.name not in BINARY:
            return None
        if x.name in ("add", "subtract"):
            parts = scaled(a, c), scaled(b, c)
            if parts[0] is None or parts[1] is None:
                return None
            return graph.make(x.name, parts[0], parts[1])
        if (first := scaled(a, c)) is not None:
            return graph.make(x.name, first, b)
        if x.name == "multiply" and (second := scaled(b, c)) is not None:
            return graph.make(x.name, a, second)
        return None

    found: Replacements = {}
    for node in ordered(outputs):
        if node.name == "multiply" and constant(node.args[1]) and node.args[0].shape == node.shape:
            factor = row(node.args[1], node.shape[-1] if node.shape else 1)
            if factor is not None:
                alone = number(node.args[1]) is not None
                better = scaled(node.args[0], factor[:1] if alone else factor)
                if better is not None and better is not node:
                    found[node] = better
    return found


def _sliced(graph: Graph, node: Node, start: int, stop: int) -> Node:
    """A piece of an operation's result, computed from pieces of its operands."""
    n = node.shape[-1]
    if node.name == "matmul":
        x, w = node.args
        return graph.make("matmul", x, graph.make("slice", w, start=start, stop=stop))
    args = [
        graph.make("slice", a, start=start, stop=stop) if a.shape[-1:] == (n,) and n > 1 else a
        for a in node.args
    ]
    return graph.make(node.name, *args, **node.attributes)


def _split(graph: Graph, outputs: Outputs) -> Replacements:
    """Operations of which only separate pieces are used, as one operation for each piece."""
    found: Replacements = {}
    for node, who in users(outputs).items():
        divisible = node.name in UNARY or node.name in BINARY or node.name == "clip"
        divisible |= node.name == "matmul" and constant(node.args[1])
        if not divisible or any(user.name != "slice" for user in who):
            continue
        pieces = sorted((u.attributes["start"], u.attributes["stop"]) for u in who)
        if all(a[1] <= b[0] for a, b in pairwise(pieces)):
            for user in who:
                found[user] = _sliced(graph, node, **user.attributes)
    return found


def _joined_products(graph: Graph, outputs: Outputs) -> Replacements:
    """Products of one left operand with several weights as one product."""
    used = users(outputs)

    def fate(node: Node) -> tuple[str, ...]:
        """What happens to a product: those with an equal fate are put side by side."""
        chain: list[str] = []
        while len(used[node]) == 1 and used[node][0] is not node and len(chain) < 4:
            node = used[node][0]
            chain.append(node.name)
        return tuple(chain)

    groups: dict[Node, list[Node]] = defaultdict(list)
    for node in ordered(outputs):
        if node.name == "matmul" and constant(node.args[1]):
            groups[node.args[0]].append(node)
    found: Replacements = {}
    for left, products in groups.items():
        if len(products) > 1:
            products.sort(key=fate)
            weights = np.concatenate([known(p.args[1]) for p in products], 1)
            whole, start = graph.make("matmul", left, graph.constant(weights)), 0
            for product in products:
                stop = start + product.shape[-1]
                found[product] = graph.make("slice", whole, start=start, stop=stop)
                start = stop
    return found


def _joined_siblings(graph: Graph, outputs: Outputs) -> Replacements:
    """Equal operations on pieces that lie side by side as one operation."""
    groups: dict[Any, list[tuple[tuple[tuple[int, int], ...], Node]]] = defaultdict(list)
    for node in ordered(outputs):
        if not (node.name in UNARY or node.name in BINARY or node.name == "clip"):
            continue
        kinds: list[Any] = []
        places: list[tuple[int, int]] = []
        for a in node.args:
            if constant(a) and row(a, node.shape[-1] if node.shape else 1) is not None:
                kinds.append("constant")
            elif a.name == "slice" and a.shape == node.shape:
                kinds.append(a.args[0])
                places.append((a.attributes["start"], a.attributes["stop"]))
            else:
                kinds.append((a, a.shape[-1:] == (1,)))
                if a.shape[-1:] != (1,):
                    places = []
                    break
        if places:
            key = (node.name, tuple(node.attributes.items()), tuple(kinds), node.shape[:-1])
            groups[key].append((tuple(places), node))
    found: Replacements = {}
    for group in groups.values():
        group.sort(key=lambda entry: entry[0])
        run: list[tuple[tuple[tuple[int, int], ...], Node]] = []
        for entry in [*group, None]:
            if (
                entry is not None
                and run
                and all(a[1] == b[0] for a, b in zip(run[-1][0], entry[0], strict=True))
            ):
                run.append(entry)
                continue
            if len(run) > 1:
                found.update(_joined(graph, [node for _, node in run]))
            run = [entry] if entry is not None else []
    return found


def _joined(graph: Graph, siblings: list[Node]) -> Replacements:
    args = []
    for own in zip(*(node.args for node in siblings), strict=True):
        if all(constant(a) for a in own):
            numbers = {number(a) for a in own}
            if len(numbers) == 1 and None not in numbers:
                args.append(own[0])
            else:
                rows = [row(a, n.shape[-1]) for a, n in zip(own, siblings, strict=True)]
                args.append(graph.constant(np.concatenate([r for r in rows if r is not None])))
        elif own[0].name == "slice" and own[0].shape == siblings[0].shape:
            args.append(
                graph.make(
                    "slice",
                    own[0].args[0],
                    start=own[0].attributes["start"],
                    stop=own[-1].attributes["stop"],
                )
            )
        else:
            args.append(own[0])
    whole, start = graph.make(siblings[0].name, *args, **siblings[0].attributes), 0
    found = {}
    for node in siblings:
        stop = start + node.shape[-1]
        found[node] = graph.make("slice", whole, start=start, stop=stop)
        start = stop
    return found


FREE = ("input", "constant", "slice")
"""What costs nothing to compute."""


STAGES = (_absorbed, _joined_products, _joined_siblings)


def simplify(program: Program) -> tuple[dict[str, Node], dict[str, Node]]:
    """Return inputs and outputs of a program in its simplest form, by name."""
    graph = Graph()
    inputs = {name: Node("input", (), program.shapes[i]) for name, i in program.inputs.items()}
    values = {program.inputs[name]: node for name, node in inputs.items()}
    values.update({i: graph.constant(value) for i, value in program.constants.items()})
    for operation in program.operations:
        values[operation.result] = graph.make(
            operation.name, *(values[i] for i in operation.operands), **operation.attributes
        )
    whole = {name: values[i] for name, i in program.outputs.items()}
    forms = [whole]
    if _split(graph, whole):
        # Pieces that were cut apart in vain do not always find together again: shorter wins.
        forms.append(_until_done(graph, whole, _split))
    for i, outputs in enumerate(forms):
        for stage in STAGES:
            outputs = _until_done(graph, outputs, stage)
        forms[i] = outputs
    return inputs, min(forms, key=lambda out: sum(node.name not in FREE for node in ordered(out)))


def _until_done(
    graph: Graph, outputs: Outputs, stage: Callable[[Graph, Outputs], Replacements]
) -> Outputs:
    while replacements := stage(graph, outputs):
        outputs = _rebuilt(graph, outputs, replacements)
    return outputs
