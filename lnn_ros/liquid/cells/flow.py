"""The flow cell: a network whose state is a true function of time.

Between observations every neuron follows a linear flow that its last update has set: its activity
``x`` moves towards a target ``g`` at a rate ``r``, and the first neurons of a layer do so in pairs
that also turn around the origin at a frequency ``f``:

    x' = r (g - x)                                           a neuron alone
    x' = r (g - x) + 2 pi i f x,  x and g complex            a pair, which comes to rest at
    c = r g / (r - 2 pi i f),  x(dt) = c + exp((-r + 2 pi i f) dt) (x - c)

Both are solved exactly, so that ``predict`` is a semigroup in closed form: predict(a) then
predict(b) is predict(a + b), predict(0) does nothing. An observation ``u``, made ``D`` seconds
after the last one, then sets target, rate and frequency anew and pulls the activity to where it
would come to rest (a neuron alone: c = g):

    g = tanh(W_g z + b_g)     r = r_min (r_max / r_min)^sigmoid(W_r z + b_r)
    f = f_max tanh(W_f z + b_f)
    x <- x + (1 - exp(-r D)) (c - x)

``z`` are the sources that the wiring allows: for the first layer the observation, for a later one
the updated activities of the layer before it, and for a recurrent layer its own activities too, as
they would be had the observation before held until now: each neuron's predicted activity, pulled by
its own target and rate of then,

    x + (1 - exp(-r' D)) (c' - x)        r', c': latched by the last update

So half of the way over an interval, the flow, hears the activities at its beginning, and the other
half, the pull, those at its end: the trapezoidal rule, which errs by the square of ``D`` where each
of the two alone errs by ``D``. The gain ``1 - exp(-r D)`` makes an update a rate: a signal that is
observed ten times as often pulls a tenth each time, so forgetting is a matter of seconds, not of
the number of observations. With ``event`` the gain is ``r / r_max`` whatever ``D`` is, and a layer
hears its predicted activities: for streams of events that each mean the same however long ago the
last one was.

Real rates alone cannot count: a product of positive numbers never changes its sign, whereas half a
turn does (parity needs it). The turn is about the origin, not about the target, so that activities
stay bounded whatever is observed: |x| never grows beyond the larger of |x| and |g|, where turning
about a target that jumps at each half turn would pump it up without end. Turning neurons are linear
oscillators as in Orvieto et al., "Resurrecting recurrent neural networks for long sequences", ICML
2023 (arXiv 2303.06349), with rate and frequency made functions of the input as liquid time
constants are in Hasani et al., "Liquid time-constant networks", AAAI 2021 (arXiv 2006.04439); the
gated closed form follows Hasani et al., "Closed-form continuous-time neural networks", Nature
Machine Intelligence 4 (2022), with the exponential kept in place of their sigmoid, which moves
where no time passes. ``f_max`` belongs below half the rate of the fastest stream (Nyquist): a
faster turn could not be told from a slower one. docs/explanation/flow.md derives all this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.base import Cell, Mask, Values, Weights, fan_in, number
from lnn_ros.liquid.ops import Array, Ops
from lnn_ros.liquid.wiring import Wiring


@dataclass(frozen=True)
class Flow(Cell):
    """The flow cell.

    Attributes
    ----------
    rotating : tuple of int
        How many neurons of each layer turn in pairs, even, the first ones: of 2m, neuron i turns
        with neuron m + i. A pair has one rate, and hears the sources that both may hear. Empty:
        none. ``wired`` lets half of a recurrent layer turn, if its wiring has ``pairs``.
    rate_min, rate_max : float
        Range of the rates, 1/s.
    frequency_max : float
        Largest frequency, Hz; below half the rate of the fastest stream.
    event : bool
        Gain free of the elapsed time: for streams of events only.
    trapezoid : bool
        False: as the policies were trained that ship. A layer hears its predicted activities, and
        pairs are pulled to their target, not to where they come to rest.
    """

    rotating: tuple[int, ...] = ()
    rate_min: float = 1e-3
    rate_max: float = 30.0
    frequency_max: float = 0.5
    event: bool = False
    trapezoid: bool = True

    kind: ClassVar[str] = "flow"

    @classmethod
    def wired(cls, inputs: int, wiring: Wiring, read: int, **options: Any) -> Cell:
        turning = tuple(2 * n.pairs * (n.loop is not None) for n in wiring.layers)
        return super().wired(inputs, wiring, read, **{"rotating": turning, **options})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cell:
        # Files from before say nothing of it.
        return super().from_json({"trapezoid": False, **data})

    def check(self) -> None:
        super().check()
        number("flow: rate_min", self.rate_min, 1e-6, 1e4)
        number("flow: rate_max", self.rate_max, self.rate_min, 1e4)
        number("flow: frequency_max", self.frequency_max, 0.0, 1e4)
        for name in ("event", "trapezoid"):
            value = getattr(self, name)
            if type(value) is not bool:
                raise LnnError(f"flow: {name} is {value!r}, expected true or false")
        if type(self.rotating) is not tuple or len(self.rotating) not in (0, len(self.layers)):
            raise LnnError(
                f"flow: rotating is {self.rotating!r}, expected {len(self.layers)} numbers"
            )
        for count, layer in zip(self.rotating, self.layers, strict=False):
            if type(count) is not int or count % 2 or not 0 <= count <= layer.units:
                raise LnnError(
                    f"flow: rotating is {count!r} for layer {layer.name}, expected an even number "
                    f"from 0 to {layer.units}"
                )

    @property
    def pairs(self) -> tuple[int, ...]:
        """Number of turning pairs of each layer."""
        return tuple(count // 2 for count in self.rotating) or (0,) * len(self.layers)

    def parts(self) -> dict[str, int]:
        n = self.units
        return {"x": n, "target": n, "rate": n, "frequency": sum(self.pairs), "elapsed": 1}

    def gates(self, index: int) -> dict[str, int]:
        """Names and sizes of a layer's gates: a pair shares its rate and frequency."""
        units, pairs = self.layers[index].units, self.pairs[index]
        sizes = {"target": units, "rate": units - pairs, "frequency": pairs}
        return {gate: size for gate, size in sizes.items() if size}

    def parameters(self) -> dict[str, tuple[int, ...]]:
        named: dict[str, tuple[int, ...]] = {}
        for i, (layer, sources) in enumerate(self.sources()):
            rows = sources + layer.units * layer.recurrent
            for gate, size in self.gates(i).items():
                named[f"{layer.name}.{gate}.weight"] = (rows, size)
                named[f"{layer.name}.{gate}.bias"] = (size,)
        return named

    def allowed(self, masks: Mapping[str, Mask]) -> dict[str, Mask]:
        named: dict[str, Mask] = {}
        for layer, pairs in zip(self.layers, self.pairs, strict=True):
            mask = masks[f"wiring.{layer.name}"]
            # What one of a pair hears reaches the other by turning: only common sources are safe.
            common = mask[:, :pairs] & mask[:, pairs : 2 * pairs]
            alone = mask[:, 2 * pairs :]
            named[f"{layer.name}.target.weight"] = np.concatenate([common, common, alone], 1)
            named[f"{layer.name}.rate.weight"] = np.concatenate([common, alone], 1)
            if pairs:
                named[f"{layer.name}.frequency.weight"] = common
        return {name: mask for name, mask in named.items() if mask.shape[1]}

    def initialise(self, rng: np.random.Generator, masks: Mapping[str, Mask]) -> Values:
        values: Values = {}
        allowed = self.allowed(masks)
        for i, layer in enumerate(self.layers):
            for gate, size in self.gates(i).items():
                mask = allowed[f"{layer.name}.{gate}.weight"]
                bound = math.sqrt(3.0 / fan_in(mask)) * (1.0 if gate == "target" else 0.3)
                values[f"{layer.name}.{gate}.weight"] = (
                    rng.uniform(-bound, bound, mask.shape) * mask
                )
                values[f"{layer.name}.{gate}.bias"] = np.zeros(size)
            # Time constants: sensing and acting fast, recurrent neurons spread over the range.
            rate = values[f"{layer.name}.rate.bias"]
            rate += np.linspace(-1.0, 2.0, rate.size) if layer.recurrent else 2.0
            if self.pairs[i]:
                spread = np.linspace(0.0, 1.0, self.pairs[i])
                values[f"{layer.name}.frequency.bias"] += rng.permutation(spread)
        return values

    def initial_state(self, first_interval: float = 0.0) -> NDArray[np.float64]:
        state = super().initial_state(first_interval)
        state[self.where("rate")] = self.rate_min  # a rate of zero has no resting point
        return state

    def predict(self, ops: Ops, w: Weights, state: Array, dt: Array) -> Array:
        x, g, r, f, elapsed = (state[..., self.where(part)] for part in self.parts())
        gain = _gain(ops, r * dt)
        out, start, turned = [], 0, 0
        for layer, pairs in zip(self.layers, self.pairs, strict=True):
            if pairs:
                a, b = slice(start, start + pairs), slice(start + pairs, start + 2 * pairs)
                cycles = f[..., turned : turned + pairs] * dt
                # Whole turns are dropped first: sin and cos of small angles stay exact.
                angle = 2.0 * math.pi * (cycles - ops.round(cycles))
                decay = 1.0 - gain[..., a]
                real, imaginary = decay * ops.cos(angle), decay * ops.sin(angle)
                x_a, x_b = x[..., a], x[..., b]
                c_a, c_b = _rest(r[..., a], f[..., turned : turned + pairs], g[..., a], g[..., b])
                d_a, d_b = x_a - c_a, x_b - c_b
                # Written as x plus a change that is exactly zero for dt = 0.
                out.append(x_a + ((real - 1.0) * d_a - imaginary * d_b))
                out.append(x_b + ((real - 1.0) * d_b + imaginary * d_a))
            alone = slice(start + 2 * pairs, start + layer.units)
            if alone.stop > alone.start:
                out.append(x[..., alone] + gain[..., alone] * (g[..., alone] - x[..., alone]))
            start += layer.units
            turned += pairs
        return ops.concat([*out, state[..., self.units : -1], elapsed + dt])

    def update(self, ops: Ops, w: Weights, state: Array, inputs: Array) -> Array:
        x, elapsed = state[..., : self.units], state[..., -1:]
        source, start, turned = inputs, 0, 0
        xs, gs, rs, fs = [], [], [], []
        for i, (layer, pairs) in enumerate(zip(self.layers, self.pairs, strict=True)):
            before = heard = x[..., start : start + layer.units]
            if layer.recurrent and self.trapezoid and not self.event:
                old_g, old_r, old_f = self._latched(ops, state, start, turned, i)
                heard = self._pulled(ops, before, old_g, old_r, old_f, pairs, elapsed)
            z = ops.concat([source, heard]) if layer.recurrent else source
            gates = self._gates(ops, w, i, z)
            g, r = gates["target"], gates["rate"]
            source = self._pulled(ops, before, g, r, gates.get("frequency", r), pairs, elapsed)
            xs.append(source)
            gs.append(g)
            if pairs:
                rs.append(r[..., :pairs])  # the pair's one rate, for both of its neurons
                fs.append(gates["frequency"])
            rs.append(r)
            start += layer.units
            turned += pairs
        return ops.concat([*xs, *gs, *rs, *fs, 0.0 * elapsed])

    def _latched(
        self, ops: Ops, state: Array, start: int, turned: int, index: int
    ) -> tuple[Array, Array, Array]:
        """Target, rate and frequency that the last update has given a layer; see ``gates``."""
        stop, pairs = start + self.layers[index].units, self.pairs[index]
        g, r, f = (state[..., self.where(part)] for part in ("target", "rate", "frequency"))
        once = r[..., start:stop]
        if pairs:
            once = ops.concat([once[..., :pairs], once[..., 2 * pairs :]])
        return g[..., start:stop], once, f[..., turned : turned + pairs]

    def _pulled(
        self, ops: Ops, x: Array, g: Array, r: Array, f: Array, pairs: int, elapsed: Array
    ) -> Array:
        """Return where an observation pulls activities to; a pair has one rate and frequency."""
        gain = r / self.rate_max if self.event else _gain(ops, r * elapsed)
        rest = g
        if pairs:
            gain = ops.concat([gain[..., :pairs], gain])
            if self.trapezoid:
                a, b = slice(0, pairs), slice(pairs, 2 * pairs)
                c = _rest(r[..., a], f, g[..., a], g[..., b])
                rest = ops.concat([*c, g[..., 2 * pairs :]])
        return x + gain * (rest - x)

    def _gates(self, ops: Ops, w: Weights, index: int, z: Array) -> dict[str, Array]:
        """Gates of a layer that hears ``z``, by name: see ``gates``."""
        key, span = self.layers[index].name, math.log(self.rate_max / self.rate_min)
        found: dict[str, Array] = {}
        for name in self.gates(index):
            heard = z @ w[f"{key}.{name}.weight"] + w[f"{key}.{name}.bias"]
            if name == "rate":
                found[name] = self.rate_min * ops.exp(span * ops.sigmoid(heard))
            elif name == "frequency":
                found[name] = self.frequency_max * ops.tanh(heard)
            else:
                found[name] = ops.tanh(heard)
        return found


def _rest(r: Array, f: Array, g_a: Array, g_b: Array) -> tuple[Array, Array]:
    """Return where pairs come to rest, by one complex division; r >= rate_min > 0."""
    speed = 2.0 * math.pi * f
    share = r / (r * r + speed * speed)
    return share * (r * g_a - speed * g_b), share * (r * g_b + speed * g_a)


def _gain(ops: Ops, y: Array) -> Array:
    """Return 1 - exp(-y) for y >= 0: exact near zero, and without an operation that ONNX lacks."""
    t = ops.tanh(0.5 * y)
    return 2.0 * t / (1.0 + t)
