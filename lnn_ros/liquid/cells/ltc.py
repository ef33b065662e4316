"""Liquid time-constant networks (LTC): the ODE of their neurons and synapses, solved.

The potentials ``v`` of all neurons, and with them the activities, follow

    cm v' = gleak (vleak - v) + sum_j w_j sigmoid(sigma_j (v_j - mu_j)) (erev_j - v)

in which the sum runs over a neuron's synapses, from observations (scaled and shifted) and from
neurons. Source: Hasani et al., "Liquid time-constant networks", AAAI 2021 (arXiv 2006.04439), with
the synapses of Lechner et al., "Neural circuit policies enabling auditable autonomy", Nature
Machine Intelligence 2 (2020). As published, an observation made ``D`` seconds after the last one is
held over those D seconds (``split`` is False).

With ``a`` and ``b`` for the sums over conductances the ODE is ``v' = b(v) - a(v) v``. Between the
instants of a fixed grid, whose intervals grow from ``first_step`` by ``growth`` (a held input
lets the network settle), one step of an exponential method of order three advances it. With ``a``
and ``b`` frozen its solution is ``v + (1 - exp(-a h)) (b / a - v)``: stages at 0, h/3 and 2h/3 are
reached that way, and the last step takes the first Magnus terms of the straight line through the
stages at 0 and 2h/3:

    a = (a1 + 3 a3) / 4     b = (b1 + 3 b3) / 4 + (1 - exp(-a h)) / (8 a) (a1 b3 - a3 b1)

(the commutator of affine maps touches ``b`` only; its factor ``h / 8`` is bounded here, which keeps
the order). ``a`` is positive, and ``b / a`` stays within a sixth of their distance from the stages'
own targets: no step is too large to be finite. See Iserles et al., "Lie-group methods", Acta
Numerica 9 (2000), for Magnus expansions. A sample whose ``D`` ends inside an interval takes a
shorter step, then steps of length zero, which change nothing: so ``D = 0`` is the identity, and the
others in its batch do not matter.

``w`` (as a square), ``gleak`` and ``cm`` (behind softplus, from ``CM_MIN`` and ``GLEAK_MIN`` on)
are positive whatever the stored numbers are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.base import Cell, Mask, Values, Weights, choice, integer, number
from lnn_ros.liquid.ops import NUMPY, Array, Ops

Sums = Callable[[Array], tuple[Array, Array]]

CM_MIN, GLEAK_MIN = 0.05, 1e-3
MAX_STEPS = 256

# Where parameters start, as in the code of both papers (and as ncps has it).
RANGES = {
    "gleak": (0.001, 1.0),
    "vleak": (-0.2, 0.2),
    "cm": (0.4, 0.6),
    "w": (0.001, 1.0),
    "sigma": (3.0, 8.0),
    "mu": (0.3, 0.8),
}
SYNAPSE = ("w", "sigma", "mu", "erev")
NEURON = ("gleak", "vleak", "cm")


@dataclass(frozen=True)
class LTC(Cell):
    """A liquid time-constant network.

    Attributes
    ----------
    first_step : float
        Length of the grid's first interval, seconds. Best no period of a sensor: where a time ends
        exactly on the grid, torch counts the derivative by it twice.
    growth : float
        Each interval is so many times as long as the one before.
    longest : float
        The grid's end, seconds; what is left of a longer time is one more step. A program that is
        exported takes all steps every time, so a network that runs at a known rate is quicker with
        a shorter grid.
    compat : str
        "ncps": what ncps 1.0.1 computes, NaN for D = 0 included; the grid is not used then.
    unfolds : int
        With compat: its ``ode_unfolds``, semi-implicit steps whatever D is.
    epsilon : float
        With compat: its ``epsilon``, added to denominators.
    constrained : bool
        With compat: its ``implicit_param_constraints``. False: ``w``, ``gleak`` and ``cm`` are the
        stored numbers, of any sign.
    """

    first_step: float = 0.021
    growth: float = 1.1
    longest: float = 60.0
    compat: str = ""
    unfolds: int = 6
    epsilon: float = 1e-8
    constrained: bool = True

    kind: ClassVar[str] = "ltc"
    split: ClassVar[bool] = False

    def check(self) -> None:
        super().check()
        number("ltc: first_step", self.first_step, 1e-4, 10.0)
        number("ltc: growth", self.growth, 1.0, 2.0)
        number("ltc: longest", self.longest, self.first_step, 1e4)
        choice("ltc: compat", self.compat, ("", "ncps"))
        integer("ltc: unfolds", self.unfolds, 1, MAX_STEPS)
        number("ltc: epsilon", self.epsilon, 0.0, 1.0)
        if type(self.constrained) is not bool or not (self.constrained or self.compat):
            raise LnnError(
                f"ltc: constrained is {self.constrained!r}, expected true, or false with compat"
            )
        if any(layer.name in ("sensory", "output", *NEURON) for layer in self.layers):
            raise LnnError("ltc: a layer named like a parameter found, expected another name")
        if self.read > self.layers[-1].units:
            raise LnnError(
                f"ltc: read is {self.read}, expected at most the {self.layers[-1].units} neurons "
                "of the last layer"
            )
        if len(self.grid()) > MAX_STEPS:
            raise LnnError(f"ltc: {len(self.grid())} steps found, expected at most {MAX_STEPS}")

    def grid(self) -> list[float]:
        """Instants between which one step is taken, seconds: 0 first, ``longest`` the last."""
        # As float32 holds them, so that a step of length zero is zero in either type.
        instants, step, end = [0.0], self.first_step, float(np.float32(self.longest))
        while (instant := float(np.float32(instants[-1] + step))) < end:
            if len(instants) > MAX_STEPS:
                break
            instants.append(instant)
            step *= self.growth
        return [*instants, end]

    def stages(self) -> tuple[Cell, tuple[float, ...]] | None:
        return None if self.compat else (_OneStep(**vars(self)), tuple(self.grid()))

    # -- architecture ---------------------------------------------------------------------------

    def parts(self) -> dict[str, int]:
        return {"x": self.units, "potential": self.units, "elapsed": 1}

    def _synapses(self) -> dict[str, tuple[int, int]]:
        """Blocks of synapses by name: "sensory" (from inputs), or the layer that they end in."""
        blocks = {"sensory": (self.inputs, self.layers[0].units)}
        for i, (layer, sources) in enumerate(self.sources()):
            rows = sources * (i > 0) + layer.units * layer.recurrent
            if rows:
                blocks[layer.name] = (rows, layer.units)
        return blocks

    def parameters(self) -> dict[str, tuple[int, ...]]:
        named: dict[str, tuple[int, ...]] = {}
        for block, shape in self._synapses().items():
            named.update({f"{block}.{name}": shape for name in SYNAPSE})
        named.update(dict.fromkeys(NEURON, (self.units,)))
        named["sensory.scale"] = named["sensory.shift"] = (self.inputs,)
        named["output.scale"] = named["output.shift"] = (self.read,)
        return named

    def allowed(self, masks: Mapping[str, Mask]) -> dict[str, Mask]:
        named: dict[str, Mask] = {}
        for block, mask in self._split(masks).items():
            named.update({f"{block}.{name}": mask for name in SYNAPSE})
        return named

    def _split(self, matrices: Mapping[str, NDArray[np.integer]]) -> dict[str, Mask]:
        """Matrices of the wiring's layers as ``_synapses`` names and cuts them."""
        blocks: dict[str, NDArray[np.integer]] = {}
        for i, layer in enumerate(self.layers):
            matrix = matrices[f"wiring.{layer.name}"]
            if i == 0:
                blocks["sensory"], matrix = matrix[: self.inputs], matrix[self.inputs :]
            if matrix.shape[0]:
                blocks[layer.name] = matrix
        return blocks  # type: ignore[return-value]

    def initialise(self, rng: np.random.Generator, masks: Mapping[str, Mask]) -> Values:
        values: Values = {}
        allowed = self._split(masks)
        for block, mask in allowed.items():
            for name in ("w", "sigma", "mu"):
                drawn = rng.uniform(*RANGES[name], mask.shape)
                if name == "w" and self.constrained:
                    drawn = np.sqrt(drawn)
                values[f"{block}.{name}"] = drawn * mask
            # Two of three synapses excite, unless ``polarised`` knows better.
            values[f"{block}.erev"] = rng.choice([-1.0, 1.0, 1.0], mask.shape) * mask
        for name in NEURON:
            values[name] = rng.uniform(*RANGES[name], self.units)
        if self.constrained and not self.compat:
            values["cm"] = _inverse_softplus(values["cm"] - CM_MIN)
            values["gleak"] = _inverse_softplus(np.maximum(values["gleak"] - GLEAK_MIN, 1e-6))
        for name, size in (("sensory", self.inputs), ("output", self.read)):
            values[f"{name}.scale"], values[f"{name}.shift"] = np.ones(size), np.zeros(size)
        return values

    def polarised(self, values: Values, signs: Mapping[str, NDArray[np.int8]]) -> Values:
        found = {f"{block}.erev": s.astype(np.float64) for block, s in self._split(signs).items()}
        return {**values, **found}

    # -- maths ----------------------------------------------------------------------------------

    def initial_state(self, first_interval: float = 0.0) -> NDArray[np.float64]:
        # ncps knows no time before the first observation but the one it is given with it.
        return super().initial_state(0.0 if self.compat else first_interval)

    def predict(self, ops: Ops, w: Weights, state: Array, dt: Array) -> Array:
        return ops.concat([state[..., :-1], state[..., -1:] + dt])

    def derived(self, ops: Ops, w: Weights) -> Weights:
        # Numbers that are known already are not worth an operation of a program.
        maths: Ops = NUMPY if isinstance(w["cm"], np.ndarray) else ops
        cm, gleak, inverse = w["cm"], w["gleak"], None
        if self.constrained:
            cm, gleak = maths.softplus(cm), maths.softplus(gleak)
        if not self.compat:
            inverse = 1.0 / (cm + CM_MIN)
            gleak = (gleak + GLEAK_MIN) * inverse
        found = {**w, "capacity": cm, "leak": gleak, "reversal": gleak * w["vleak"]}
        where = dict(zip((layer.name for layer in self.layers), self._where(), strict=True))
        for name in self._synapses():
            here = where.get(name, slice(0, self.layers[0].units))
            scale = None if inverse is None else inverse[..., here]
            for part, matrix in self._block(maths, w, name, scale).items():
                found[f"{name}.{part}"] = matrix
        return found

    def _where(self) -> list[slice]:
        """Return where each layer's neurons lie."""
        bounds = [0, *(int(n) for n in np.cumsum([layer.units for layer in self.layers]))]
        return [slice(start, stop) for start, stop in pairwise(bounds)]

    def update(self, ops: Ops, w: Weights, state: Array, inputs: Array) -> Array:
        if "leak" not in w:
            w = self.derived(ops, w)
        v, elapsed = state[..., self.where("potential")], state[..., -1:]
        sums = self._sums(ops, w, inputs * w["sensory.scale"] + w["sensory.shift"])
        if self.compat:
            v = self._unfold(ops, sums, v, w["capacity"] / (elapsed / self.unfolds))
        else:
            v = self._solve(ops, sums, v, elapsed)
        silent = self.units - self.read
        outputs = v[..., silent:] * w["output.scale"] + w["output.shift"]
        return ops.concat([v[..., :silent], outputs, v, 0.0 * elapsed])

    def _sums(self, ops: Ops, w: Weights, inputs: Array) -> Sums:
        """Return the function from potentials to a(v) and b(v); with compat, times cm."""
        where, first = self._where(), self.layers[0].units
        # An observation is held, so what comes from it and from the leak stays the same.
        held = _conduct(ops, w, "sensory", inputs)
        fixed_a = [w["leak"][..., here] for here in where]
        fixed_b = [w["reversal"][..., here] for here in where]
        fixed_a[0] = held[..., :first] + fixed_a[0]
        fixed_b[0] = held[..., first:] + fixed_b[0]

        def sums(v: Array) -> tuple[Array, Array]:
            a, b = list(fixed_a), list(fixed_b)
            for i, layer in enumerate(self.layers):
                heard = [v[..., where[i - 1]]] if i else []
                heard += [v[..., where[i]]] if layer.recurrent else []
                if heard:
                    pre = ops.concat(heard) if len(heard) > 1 else heard[0]
                    both = _conduct(ops, w, layer.name, pre)
                    a[i] = both[..., : layer.units] + a[i]
                    b[i] = both[..., layer.units :] + b[i]
            return (ops.concat(a), ops.concat(b)) if len(a) > 1 else (a[0], b[0])

        return sums

    def _block(self, ops: Ops, w: Weights, name: str, inverse: Array | None) -> dict[str, Array]:
        """Matrices that take potentials to synapses and synapses to sums, and what lies between.

        Synapses are numbered source by source; the operations that there are have no third axis.
        """
        sources, targets = self._synapses()[name]
        conductance, sigma, mu, erev = (w[f"{name}.{part}"] for part in SYNAPSE)
        if self.constrained:
            conductance = conductance * conductance
        if inverse is not None:
            conductance = conductance * inverse
        rows, columns, each, ones = (
            ops.constant(pattern, sigma) for pattern in _patterns(sources, targets)
        )
        spread = ops.concat([sigma] * sources) * rows
        shift = ones @ (ops.concat([sigma * mu] * sources) * rows)
        gather = ops.concat(
            [(each @ conductance) * columns, (each @ (conductance * erev)) * columns]
        )
        return {"spread": spread, "threshold": shift, "gather": gather}

    def _solve(self, ops: Ops, sums: Sums, v: Array, elapsed: Array) -> Array:
        """Potentials ``elapsed`` seconds later."""
        instants, last = self.grid(), _largest(elapsed)
        for start, stop in pairwise(instants):
            if start >= last and start > 0.0:
                return v  # the steps that are left have no length
            v = _step(ops, sums, v, ops.clip(elapsed, start, stop) - start)
        return _step(ops, sums, v, ops.relu(elapsed - instants[-1]))

    def _unfold(self, ops: Ops, sums: Sums, v: Array, inertia: Array) -> Array:
        """What ncps does: a fixed number of semi-implicit Euler steps, cm / h the inertia."""
        for _ in range(self.unfolds):
            a, b = sums(v)
            v = (inertia * v + b) / (inertia + a + self.epsilon)
        return v


class _OneStep(LTC):
    """Takes one step, however long."""

    def grid(self) -> list[float]:
        return [0.0]


@cache
def _patterns(sources: int, targets: int) -> tuple[NDArray[np.float64], ...]:
    """Zeros and ones that put every synapse of a block in its place."""
    one, other = np.eye(sources), np.eye(targets)
    return (
        np.repeat(one, targets, 1),
        np.tile(other, (sources, 1)),
        np.repeat(one, targets, 0),
        np.ones(sources),
    )


def _conduct(ops: Ops, w: Weights, block: str, pre: Array) -> Array:
    """Sums of conductances, then of conductances times reversal potentials, of the targets."""
    open_ = ops.sigmoid(pre @ w[f"{block}.spread"] - w[f"{block}.threshold"])
    return open_ @ w[f"{block}.gather"]


def _step(ops: Ops, sums: Sums, v: Array, h: Array) -> Array:
    """Potentials ``h`` seconds later, by one step of the method above."""
    a1, b1 = sums(v)
    a2, b2 = sums(v + _gain(ops, a1 * (h / 3.0)) * (b1 / a1 - v))
    a3, b3 = sums(v + _gain(ops, a2 * (h / 1.5)) * (b2 / a2 - v))
    a = 0.25 * a1 + 0.75 * a3
    gain = _gain(ops, a * h)
    b = 0.25 * b1 + 0.75 * b3 + 0.125 * (gain / a) * (a1 * b3 - a3 * b1)
    return v + gain * (b / a - v)


def _gain(ops: Ops, y: Array) -> Array:
    """Return 1 - exp(-y) for y >= 0: exact near zero, and without an operation that ONNX lacks."""
    t = ops.tanh(0.5 * y)
    return 2.0 * t / (1.0 + t)


def _largest(elapsed: Array) -> float:
    """Return the largest time in a batch: infinite where the numbers are not known yet."""
    if not hasattr(elapsed, "max") or math.prod(elapsed.shape) == 0:
        return math.inf
    known = elapsed.detach() if hasattr(elapsed, "detach") else elapsed
    return float(known.max())


def _inverse_softplus(y: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(np.expm1(y))
