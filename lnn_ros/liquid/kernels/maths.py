"""Functions of one number that LLVM can vectorise; exact ones for float64.

numba calls the C library for ``exp`` and ``tanh``, one number at a time. The float32 versions here
are a few multiplications each, with an error of about one unit in the last place: the argument is
reduced to where a short Taylor series is exact to rounding, as in any textbook on elementary
functions. They let NaN through. ``fastmath`` only contracts to fused multiply-adds: the rounding
trick below must not be simplified away.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import overload

_OPTIONS: Any = {"error_model": "numpy", "nogil": True, "fastmath": {"contract"}}
jit: Any = numba.njit(cache=True, **_OPTIONS)
inline: Any = numba.njit(inline="always", **_OPTIONS)
"""For the larger pieces of a scan. Of a piece that LLVM does not inline there are two copies, its
own and that in the scan's object file. They are optimised apart, round otherwise, and which of them
runs depends on whether the scan was compiled just now or comes from the cache."""

F = np.float32
SHIFT = F(1.5 * 2**23)
"""Added and taken away again, it rounds a small float32 to the nearest integer; in between, the
last bits of the sum are that integer."""
SHIFT64 = 1.5 * 2**52
LOG2_E = F(1.0 / math.log(2.0))
LN2_HIGH = F(0.69314575)
"""ln 2 with its last bits zero: a product with a small integer is exact."""
LN2_LOW = F(math.log(2.0) - float(LN2_HIGH))
E2, E3, E4, E5, E6, E7 = (F(1.0 / math.factorial(k)) for k in range(2, 8))
LEAST, MOST = F(-87.0), F(88.0)
ONE, TWO, HALF = F(1.0), F(2.0), F(0.5)
PI = F(math.pi)
S3, S5, S7, S9, S11 = (F((-1) ** (k // 2) / math.factorial(k)) for k in range(3, 13, 2))
L3, L5, L7, L9, L11, L13 = (F(1.0 / k) for k in range(3, 15, 2))
C2, C4, C6, C8, C10, C12 = (F((-1) ** (k // 2) / math.factorial(k)) for k in range(2, 14, 2))


@jit
def _split(x: Any) -> Any:
    """Return 2^k and exp(r) - 1, where exp(x) = 2^k exp(r) and |r| <= ln(2) / 2."""
    x = LEAST if x < LEAST else x
    x = MOST if x > MOST else x
    shifted = x * LOG2_E + SHIFT
    k = shifted - SHIFT
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    p = E7 * r + E6
    p = p * r + E5
    p = p * r + E4
    p = p * r + E3
    p = p * r + E2
    # The exponent field of a float32 is k + 127.
    bits = np.float32(shifted).view(np.int32)
    power = np.int32((bits << 23) + (127 << 23)).view(np.float32)
    return power, (p * r) * r + r


@jit
def _exp(x: Any) -> Any:
    power, rest = _split(x)
    return power * rest + power


@jit
def _expm1(x: Any) -> Any:
    power, rest = _split(x)
    return power * rest + (power - ONE)


@jit
def _tanh(x: Any) -> Any:
    e = _expm1(-TWO * abs(x))
    size = -e / (TWO + e)
    return -size if x < F(0.0) else size


@jit
def _sigmoid(x: Any) -> Any:
    return ONE / (ONE + _exp(-x))


@jit
def _softplus(x: Any) -> Any:
    e = _exp(-abs(x))
    # log(1 + e) = 2 artanh(s), s at most 1/3.
    s = e / (TWO + e)
    y = s * s
    p = L13 * y + L11
    p = p * y + L9
    p = p * y + L7
    p = p * y + L5
    p = p * y + L3
    rest = TWO * ((p * y) * s + s)
    return rest + x if x > F(0.0) else rest


@jit
def _turn(c: Any) -> Any:
    half = (TWO * c + SHIFT) - SHIFT
    # Cycles modulo one half, -1/4 to 1/4: exact.
    x = TWO * PI * (c - HALF * half)
    odd = half - TWO * ((HALF * half + SHIFT) - SHIFT)
    sign = ONE - TWO * abs(odd)
    y = x * x
    s = S11 * y + S9
    s = s * y + S7
    s = s * y + S5
    s = s * y + S3
    k = C12 * y + C10
    k = k * y + C8
    k = k * y + C6
    k = k * y + C4
    k = k * y + C2
    return sign * ((s * y) * x + x), sign * (k * y + ONE)


@jit
def _turn64(c: Any) -> Any:
    angle = 2.0 * math.pi * (c - ((c + SHIFT64) - SHIFT64))
    return math.sin(angle), math.cos(angle)


@jit
def _sigmoid64(x: Any) -> Any:
    return 0.5 * math.tanh(0.5 * x) + 0.5


@jit
def _softplus64(x: Any) -> Any:
    rest = math.log1p(math.exp(-abs(x)))
    return rest + x if x > 0.0 else rest


def exp(x: Any) -> Any:
    """``e ** x``; float32: for -87 <= x <= 88, the nearest of them beyond."""
    raise NotImplementedError


def expm1(x: Any) -> Any:
    """``e ** x - 1``, exact for small ``x``; range as of ``exp``."""
    raise NotImplementedError


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    raise NotImplementedError


def sigmoid(x: Any) -> Any:
    """Logistic function."""
    raise NotImplementedError


def softplus(x: Any) -> Any:
    """``log(1 + e ** x)``; range as of ``exp``, any ``x`` above."""
    raise NotImplementedError


def turn(c: Any) -> Any:
    """Sine and cosine of ``c`` full turns, the size of ``c`` below 4 million."""
    raise NotImplementedError


def _choose(stub: Any, single: Any, double: Any) -> None:
    @overload(stub)
    def choose(x):  # type: ignore[no-untyped-def]  # numba compares it with the lambdas
        if x == types.float32:
            return lambda x: single(x)
        if x == types.float64:
            return lambda x: double(x)
        return None


@jit
def _exp64(x: Any) -> Any:
    return math.exp(x)


@jit
def _expm164(x: Any) -> Any:
    return math.expm1(x)


@jit
def _tanh64(x: Any) -> Any:
    return math.tanh(x)


_choose(exp, _exp, _exp64)
_choose(expm1, _expm1, _expm164)
_choose(tanh, _tanh, _tanh64)
_choose(sigmoid, _sigmoid, _sigmoid64)
_choose(softplus, _softplus, _softplus64)
_choose(turn, _turn, _turn64)


@jit
def faded(x: Any) -> Any:
    """``exp(-max(0, x))``; NaN stays NaN."""
    zero = type(x)(0)
    return exp(-(zero if x < zero else x))
