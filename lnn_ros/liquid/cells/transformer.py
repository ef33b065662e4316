"""A small causal transformer over the last observations: a baseline whose memory is a list.

Every observation becomes a token. Blocks of attention over the last K tokens, then a perceptron,
each with a residual and a norm before it, make of the newest token an activity:

    y <- y + W_o attention(norm(y))      y <- y + W_2 relu(W_1 norm(y) + b_1) + b_2

Attention knows the time by the tokens' ages alone, in true seconds: key and query turn against
each other by 2 pi f_i times the age, at frequencies f_i from 1/64 to 8 Hz. Scores are bounded to
+-20 softly, so that no exponential overflows. Nothing fades in between and nothing is predicted:
the state is the keys, values and ages of the last K tokens, what is older is gone.

Sources: Vaswani et al., "Attention is all you need", NeurIPS 2017 (arXiv 1706.03762); norm first,
Xiong et al., ICML 2020 (arXiv 2002.04745), and by the root mean square, Zhang and Sennrich, NeurIPS
2019 (arXiv 1910.07467); turning keys and queries, Su et al., "RoFormer", 2021 (arXiv 2104.09864),
here by seconds in place of positions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.base import Cell, Mask, Values, Weights, integer
from lnn_ros.liquid.ops import Array, Ops

if TYPE_CHECKING:
    from torch import Tensor

SLOWEST, FASTEST = 1.0 / 64.0, 8.0
"""Frequencies of the time encoding, Hz."""
STEEPEST = 20.0
"""Bound of a score."""
EPSILON = 1e-6
"""Added to a mean square before its root is taken."""


@dataclass(frozen=True)
class Transformer(Cell):
    """A causal transformer over a sliding window. It takes one dense layer: it mixes everything.

    Attributes
    ----------
    window : int
        Number of tokens that are kept, K.
    blocks : int
        Number of blocks.
    heads : int
        Heads of the attention; the layer's units must be a multiple of twice as many.
    """

    window: int = 64
    blocks: int = 2
    heads: int = 2

    kind: ClassVar[str] = "transformer"
    split: ClassVar[bool] = False

    def check(self) -> None:
        super().check()
        integer("transformer: window", self.window, 1, 4096)
        integer("transformer: blocks", self.blocks, 1, 16)
        integer("transformer: heads", self.heads, 1, 64)
        if len(self.layers) != 1:
            raise LnnError(f"transformer: {len(self.layers)} layers found, expected one, dense")
        if self.units % (2 * self.heads):
            raise LnnError(
                f"transformer: {self.units} units with {self.heads} heads found, expected a "
                f"multiple of {2 * self.heads} units"
            )

    def parts(self) -> dict[str, int]:
        k, n = self.window, self.units
        named = {"x": n}
        for b in range(self.blocks):
            # Of a key, the first halves of all tokens, then the second ones: they turn in pairs.
            named |= {f"key_a_{b}": k * n // 2, f"key_b_{b}": k * n // 2, f"value_{b}": k * n}
        return {**named, "token_age": k, "filled": k, "elapsed": 1}

    def parameters(self) -> dict[str, tuple[int, ...]]:
        n = self.units
        named: dict[str, tuple[int, ...]] = {
            "token.weight": (self.inputs, n),
            "token.bias": (n,),
        }
        for b in range(self.blocks):
            named |= {
                f"blocks.{b}.attend.gain": (n,),
                f"blocks.{b}.query.weight": (n, n),
                f"blocks.{b}.key.weight": (n, n),
                f"blocks.{b}.value.weight": (n, n),
                f"blocks.{b}.out.weight": (n, n),
                f"blocks.{b}.think.gain": (n,),
                f"blocks.{b}.first.weight": (n, 2 * n),
                f"blocks.{b}.first.bias": (2 * n,),
                f"blocks.{b}.second.weight": (2 * n, n),
                f"blocks.{b}.second.bias": (n,),
            }
        return {**named, "last.gain": (n,)}

    def allowed(self, masks: Mapping[str, Mask]) -> dict[str, Mask]:
        if not all(mask.all() for mask in masks.values()):
            raise LnnError("transformer: a sparse wiring found, expected a dense one")
        return {}

    @classmethod
    def wired(cls, inputs: int, wiring: Any, read: int, **options: Any) -> Cell:
        cell = super().wired(inputs, wiring, read, **options)
        cell.allowed(wiring.masks())
        return cell

    def initialise(self, rng: np.random.Generator, masks: Mapping[str, Mask]) -> Values:
        self.allowed(masks)
        values: Values = {}
        for name, shape in self.parameters().items():
            if name.endswith("gain"):
                values[name] = np.ones(shape)
            elif name.endswith("bias"):
                values[name] = np.zeros(shape)
            else:
                bound = math.sqrt(3.0 / shape[0])
                values[name] = rng.uniform(-bound, bound, shape)
        return values

    @cached_property
    def frequencies(self) -> NDArray[np.float64]:
        """Of each pair of units, Hz: every head has all of them."""
        each = self.units // 2 // self.heads
        return np.tile(np.geomspace(FASTEST, SLOWEST, each), self.heads)

    @cached_property
    def _sums(self) -> dict[str, NDArray[np.float64]]:
        """Matrices of 0 and 1 that repeat and sum, for the flat arrays of a step."""
        k, n, h = self.window, self.units, self.heads
        tokens, pair_head = np.eye(k), np.repeat(np.eye(h), n // 2 // h, axis=0)
        unit_head = np.concatenate([pair_head, pair_head])  # a value's halves belong alike
        return {
            "cycles": np.kron(tokens, self.frequencies[None]),  # ages to angles of all pairs
            "score": np.kron(tokens, pair_head),  # products of all pairs to heads
            "tokens": np.kron(tokens, np.ones((1, h))),  # a number a token, for each head
            "share": np.kron(tokens, unit_head.T),  # weights of heads to those of all values
            "mean": np.full((n, 1), 1.0 / n),
        }

    def predict(self, ops: Ops, w: Weights, state: Array, dt: Array) -> Array:
        return ops.concat([state[..., :-1], state[..., -1:] + dt])

    def update(self, ops: Ops, w: Weights, state: Array, inputs: Array) -> Array:
        elapsed, half, sums = state[..., -1:], self.units // 2, self._sums

        def old(part: str, size: int = 1) -> Array:
            """What stays of the window: all but the oldest token."""
            where = self.where(part)
            return state[..., where.start + size : where.stop]

        def matrix(name: str) -> Array:
            return ops.constant(sums[name], inputs)

        age = ops.concat([old("token_age") + elapsed, 0.0 * elapsed])
        filled = ops.concat([old("filled"), 0.0 * elapsed + 1.0])
        cycles = age @ matrix("cycles")
        angle = 2.0 * math.pi * (cycles - ops.round(cycles))
        cos, sin, there = ops.cos(angle), ops.sin(angle), filled @ matrix("tokens")
        y, kept = inputs @ w["token.weight"] + w["token.bias"], []
        for b in range(self.blocks):
            name = f"blocks.{b}"
            z = self._norm(ops, y, w[f"{name}.attend.gain"])
            query, key = z @ w[f"{name}.query.weight"], z @ w[f"{name}.key.weight"]
            key_a = ops.concat([old(f"key_a_{b}", half), key[..., :half]])
            key_b = ops.concat([old(f"key_b_{b}", half), key[..., half:]])
            value = ops.concat([old(f"value_{b}", self.units), z @ w[f"{name}.value.weight"]])
            a = ops.concat([query[..., :half]] * self.window)
            c = ops.concat([query[..., half:]] * self.window)
            products = (a * key_a + c * key_b) * cos + (a * key_b - c * key_a) * sin
            score = (products @ matrix("score")) / math.sqrt(self.units // self.heads)
            weight = ops.exp(STEEPEST * ops.tanh(score / STEEPEST)) * there
            share = weight @ matrix("share")
            mixed = self._total(ops, share * value) / self._total(ops, share)
            y = y + mixed @ w[f"{name}.out.weight"]
            y = self._think(ops, w, name, y)
            kept += [key_a, key_b, value]
        x = self._norm(ops, y, w["last.gain"])
        return ops.concat([x, *kept, age, filled, 0.0 * elapsed])

    def _total(self, ops: Ops, x: Array) -> Array:
        """Sum over tokens, (..., K * units) to (..., units), by folding halves onto each other."""
        count, n = self.window, self.units
        while count > 1:
            half = count // 2
            folded = x[..., : half * n] + x[..., half * n : 2 * half * n]
            x = ops.concat([folded, x[..., 2 * half * n :]]) if count % 2 else folded
            count = half + count % 2
        return x

    def _norm(self, ops: Ops, y: Array, gain: Array) -> Array:
        square = (y * y) @ ops.constant(self._sums["mean"], y) + EPSILON
        # 1 / sqrt, of the operations that there are.
        return y * ops.exp(-0.5 * ops.log1p(square - 1.0)) * gain

    def _think(self, ops: Ops, w: Weights, name: str, y: Array) -> Array:
        z = self._norm(ops, y, w[f"{name}.think.gain"])
        z = ops.relu(z @ w[f"{name}.first.weight"] + w[f"{name}.first.bias"])
        return y + (z @ w[f"{name}.second.weight"] + w[f"{name}.second.bias"])

    def sequence(
        self,
        w: Weights,
        inputs: Tensor,
        dt: Tensor,
        state: Tensor,
        present: Tensor | None = None,
        keep: Tensor | None = None,
        whole: bool = True,
    ) -> list[Tensor]:
        """All states of sequences at once; the same numbers as step by step.

        Arguments as of ``CellModule.states``. Returns the state's parts, each (size, T, B); not
        ``whole``: of all but ``x`` the last step alone, (size, 1, B).
        """
        from lnn_ros.liquid.kernels.transformer import sequence

        return sequence(self, w, inputs, dt, state, present, keep, whole)
