"""Cells, wirings and random numbers for the tests of all cells; and what a wiring lets through."""

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells import cell_type, kinds
from lnn_ros.liquid.wiring import WiredLayer, Wiring, auto_ncp, dense

INPUTS = 6
"""Divisible by 3: values, presence and ages of two features, where a cell wants them."""
RAN = np.random.default_rng(8)


def _perceptron():
    feed = (RAN.random((INPUTS, 4)) < 0.6).astype(np.int8)
    return Wiring((WiredLayer("first", feed), WiredLayer("last", np.ones((4, 3), np.int8))))


def _stack():
    """Two recurrent layers, sparse, an odd number of neurons in one of them."""

    def sparse(*shape):
        return (RAN.random(shape) < 0.6).astype(np.int8)

    return Wiring(
        (
            WiredLayer("lower", sparse(INPUTS, 5), sparse(5, 5)),
            WiredLayer("upper", sparse(5, 4), sparse(4, 4)),
        )
    )


WIRINGS = {
    "dense": dense(INPUTS, 8),
    "perceptron": _perceptron(),
    "ncp": auto_ncp(INPUTS, 13, 3, sparsity=0.6, seed=1),
    "paired": auto_ncp(INPUTS, 13, 3, sparsity=0.6, seed=1, paired=True),
    "stack": _stack(),
}
OPTIONS = {
    "flow": [{}, {"event": True}],
    "gru": [{}, {"dt_input": True}],
    "lstm": [{}, {"dt_input": True}],
    "transformer": [{"window": 5, "heads": 1}, {"window": 3, "blocks": 1, "heads": 4}],
    "cfc": [{}, {"mode": "no_gate"}, {"mode": "pure"}],
}


@dataclass(frozen=True)
class Case:
    """A cell, by its name, on a wiring."""

    kind: str
    wiring: str
    options: tuple = field(default=())

    def __str__(self):
        return "-".join([self.kind, self.wiring, *(f"{n}={v}" for n, v in self.options)])


def _cases():
    """Every cell on sparse wirings, or what else it takes; flow cells on all; options on one."""
    for kind in kinds():
        first, *others = [tuple(options.items()) for options in OPTIONS.get(kind, [{}])]
        takes = [name for name in WIRINGS if _takes(Case(kind, name, first))]
        if not kind.startswith("flow"):
            takes = [name for name in takes if name in ("ncp", "stack")] or takes
        yield from (Case(kind, name, first) for name in takes)
        yield from (Case(kind, takes[-1], options) for options in others)


def _takes(case):
    try:
        build(case)
    except LnnError:
        return False
    return True


@cache
def build(case):
    """Return cell and wiring."""
    wiring = WIRINGS[case.wiring]
    cell = cell_type(case.kind).wired(INPUTS, wiring, wiring.layers[-1].units, **dict(case.options))
    return cell, wiring


CASES = list(_cases())


@cache
def random_weights(case, seed):
    """Return parameters away from where they start, as training leaves them; float64."""
    cell, wiring = build(case)
    rng = np.random.default_rng((seed, 1))
    values = cell.initialise(rng, wiring.masks())
    allowed = cell.allowed(wiring.masks())
    return {
        name: (value + rng.normal(0, 0.3, value.shape)) * allowed.get(name, 1)
        for name, value in values.items()
    }


def random_run(case, rng, shape):
    """Return observations (*shape, INPUTS)."""
    values = rng.normal(0, 1, (*shape, INPUTS))
    if case.kind == "gru_d":  # values, presence, log(1 + age) of each feature
        features = INPUTS // 3
        there = rng.random((*shape, features)) < 0.6
        values[..., :features] *= there
        values[..., features : 2 * features] = there
        values[..., 2 * features :] = np.log1p(rng.exponential(0.5, there.shape))
    return values


def reach(cell, wiring):
    """What one update may carry, by the synapses: (state, state) and (state, inputs), bool.

    A layer hears the updated layer before it (or the inputs), and, along its loop, its own
    neurons before the update; a neuron hears itself.
    """
    # Cells that let a signal take several synapses of a loop in one update.
    hops = {"ltc": wiring.units, "cfc_mixed": 2, "gru_d": 2}.get(cell.kind, 1)
    units = wiring.units
    heard = np.zeros((units, wiring.inputs), bool)  # neuron after, input
    carried = np.zeros((units, units), bool)  # neuron after, neuron before
    start, before = 0, slice(0, 0)
    for i, layer in enumerate(wiring.layers):
        here = slice(start, start + layer.units)
        feed = layer.feed.T != 0
        fed_inputs = feed if i == 0 else feed @ heard[before]
        fed_neurons = feed @ carried[before] if i else np.zeros((layer.units, units), bool)
        own = np.zeros((layer.units, units), bool)
        own[:, here] = np.eye(layer.units, dtype=bool)
        loop = np.eye(layer.units, dtype=bool)
        if layer.loop is not None:
            loop |= layer.loop.T != 0
        own = loop @ own
        for _ in range(hops - 1):
            fed_inputs, fed_neurons, own = loop @ fed_inputs, loop @ fed_neurons, loop @ own
        heard[here], carried[here] = fed_inputs, fed_neurons | own
        start, before = here.stop, here
    owners = _owners(cell, wiring)
    of_inputs = owners @ heard
    of_state = owners @ carried @ (owners | _turned(cell, wiring)).T
    if cell.kind == "gru_d":
        _missing_values(cell, of_state, of_inputs, heard, owners)
    of_state[:, -1] = True  # all may know the time
    of_state[-1], of_inputs[-1] = False, False  # and the clock starts anew
    return of_state, of_inputs


def _turned(cell, wiring):
    """A flow cell's pairs: both come to rest where the targets of both say, at their one rate."""
    mine = np.zeros((cell.state_size, wiring.units), bool)
    if cell.kind == "flow":
        start = 0
        for layer, pairs in zip(cell.layers, cell.pairs, strict=True):
            one = start + np.arange(pairs)
            for part in ("target", "rate"):
                first = cell.where(part).start
                mine[first + one, one + pairs] = mine[first + one + pairs, one] = True
            start += layer.units
    return mine


def _owners(cell, wiring):
    """To which neurons each number of the state belongs: (state_size, units)."""
    owners = np.zeros((cell.state_size, wiring.units), bool)
    for part, size in cell.parts().items():
        where = cell.where(part)
        if part == "frequency":
            rows, neuron = [], 0
            for layer, pairs in zip(cell.layers, cell.pairs, strict=True):
                for p in range(pairs):
                    row = np.zeros(wiring.units, bool)
                    row[[neuron + p, neuron + pairs + p]] = True
                    rows.append(row)
                neuron += layer.units
            owners[where] = np.array(rows).reshape(-1, wiring.units)
        elif size == wiring.units:
            owners[where] = np.eye(size, dtype=bool)
        elif part.startswith("memory"):  # of the recurrent layers
            held = np.concatenate([np.full(n.units, n.recurrent) for n in cell.layers])
            owners[where] = np.eye(wiring.units, dtype=bool)[held]
        elif cell.kind == "transformer":  # a token belongs to all
            owners[where] = True
    return owners


def _missing_values(cell, of_state, of_inputs, heard, owners):
    """Last values belong to features: their own observation changes them, and they are heard."""
    features = cell.inputs // 3
    for k in range(features):
        last = cell.where("last").start + k
        of_inputs[last, [k, features + k]] = True
        of_state[last, last] = True
        of_state[:, last] |= owners @ heard[:, k]
