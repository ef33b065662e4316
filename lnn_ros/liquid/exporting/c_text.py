"""What C files are made of: expressions, helper functions, constants, places in memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError

ELEMENTWISE = {
    "add": "({0} + {1})",
    "subtract": "({0} - {1})",
    "multiply": "({0} * {1})",
    "divide": "({0} / {1})",
    "negative": "(-{0})",
    "tanh": "tanhf({0})",
    "sigmoid": "lnn_sigmoid({0})",
    "exp": "expf({0})",
    "log1p": "log1pf({0})",
    "softplus": "lnn_softplus({0})",
    "relu": "lnn_relu({0})",
    "abs": "fabsf({0})",
    "sin": "sinf({0})",
    "cos": "cosf({0})",
    "round": "rintf({0})",  # halves to even: the rounding mode that every program starts with
    "clip": "lnn_clip({0}, {low}, {high})",
    "float": "(float){0}",
}

HELPERS = {
    "lnn_sigmoid": """\
static float lnn_sigmoid(float x)
{
    return 0.5f * tanhf(0.5f * x) + 0.5f;
}""",
    "lnn_softplus": """\
static float lnn_softplus(float x)
{
    return (x > 0.0f ? x : 0.0f) + log1pf(expf(-fabsf(x)));
}""",
    "lnn_relu": """\
static float lnn_relu(float x)
{
    return x > 0.0f ? x : 0.0f;
}""",
    "lnn_clip": """\
static float lnn_clip(float x, float low, float high)
{
    return x > low ? (x < high ? x : high) : low;
}""",
    "lnn_finite": """\
static int lnn_finite(const float *x, int n)
{
    for (int i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            return 0;
        }
    }
    return 1;
}""",
    "lnn_accumulate": """\
/* y (m) += x (n) times w (n, m) */
static void lnn_accumulate(const float *restrict x, const float *restrict w, float *restrict y,
                           int n, int m)
{
    for (; n >= 4; n -= 4, x += 4, w += 4 * m) { /* four at a time load and store y less often */
        for (int j = 0; j < m; j++) {
            y[j] += x[0] * w[j] + x[1] * w[m + j] + x[2] * w[2 * m + j] + x[3] * w[3 * m + j];
        }
    }
    for (; n > 0; n--, x++, w += m) {
        for (int j = 0; j < m; j++) {
            y[j] += x[0] * w[j];
        }
    }
}""",
    "lnn_matmul": """\
/* y (rows, m) = x (rows, n) times w (n, m) */
static void lnn_matmul(const float *restrict x, const float *restrict w, float *restrict y,
                       int rows, int n, int m)
{
    for (int r = 0; r < rows; r++, x += n, y += m) {
        memset(y, 0, (size_t)m * sizeof(float));
        lnn_accumulate(x, w, y, n, m);
    }
}""",
    "lnn_convolve": """\
/* y (out_height, out_width, units): x (height, width, channels) cross-correlated with
   w (rows, columns, channels, units), plus b; outside of x there are zeros */
static void lnn_convolve(const float *restrict x, const float *restrict w,
                         const float *restrict b, float *restrict y, int height, int width,
                         int channels, int rows, int columns, int units, int out_height,
                         int out_width, int down, int right, int above, int left)
{
    for (int i = 0; i < out_height; i++) {
        for (int j = 0; j < out_width; j++, y += units) {
            const int column = j * right - left;
            const int first = column < 0 ? -column : 0;
            const int last = column + columns > width ? width - column : columns;
            memcpy(y, b, (size_t)units * sizeof(float));
            for (int r = 0; r < rows; r++) {
                const int row = i * down - above + r;
                if (row >= 0 && row < height) {
                    lnn_accumulate(x + (row * width + column + first) * channels,
                                   w + (r * columns + first) * channels * units, y,
                                   (last - first) * channels, units);
                }
            }
        }
    }
}""",
}


def literal(value: float) -> str:
    """Return a number as C writes a float: the shortest text that reads back as the same float32.

    Raises
    ------
    LnnError
        When float32 cannot hold it.
    """
    with np.errstate(over="ignore"):
        number = np.float32(value)
    if not np.isfinite(number):
        raise LnnError(f"export: constant {value!r} found, expected what float32 can hold")
    return f"{number!s}f"


def called(text: str) -> list[str]:
    """Return the helpers that C text calls, themselves or by another, in the order to define."""
    found: set[str] = set()
    for name in reversed(HELPERS):
        callers = [text, *(HELPERS[caller] for caller in found)]
        if any(re.search(rf"\b{name}\(", caller) for caller in callers):
            found.add(name)
    return [name for name in HELPERS if name in found]


class Constants:
    """The arrays of one file, each written once.

    Parameters
    ----------
    weights : mapping of str to ndarray
        They lend their names to the constants that are views of them.
    """

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._weights = weights  # kept alive: an address names an array only while it lives
        self._names = {_address(array): name for name, array in weights.items()}
        self._written: dict[bytes, str] = {}
        self._taken: set[str] = set()
        self.lines: list[str] = []

    def name(self, array: NDArray[Any], original: NDArray[Any]) -> str:
        """Return the C name of an array, writing it down where it is new."""
        values = np.ascontiguousarray(array, dtype=np.float32)
        key = values.tobytes()
        if key not in self._written:
            given = self._names.get(_address(original), "constant")
            name = base = "lnn_" + re.sub(r"\W", "_", given, flags=re.ASCII)
            count = 1
            while name in self._taken:
                count += 1
                name = f"{base}_{count}"
            self._taken.add(name)
            self._written[key] = name
            numbers = ", ".join(literal(value) for value in array.ravel())
            self.lines.append(f"static const float {name}[{values.size}] = {{")
            self.lines.extend(wrap(numbers, 100, initial_indent="    ", subsequent_indent="    "))
            self.lines.extend(["};", ""])
        return self._written[key]


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


@dataclass(frozen=True)
class Place:
    """Where a value lies: ``array[offset]`` and on, or a plain variable."""

    array: str
    offset: int = 0
    scalar: bool = False

    @property
    def pointer(self) -> str:
        """C expression of its address."""
        if self.scalar:
            return f"&{self.array}"
        return f"{self.array} + {self.offset}" if self.offset else self.array

    def element(self, index: str) -> str:
        """C expression of one of its numbers; ``index`` is "" for the first."""
        if self.scalar:
            return self.array
        terms = [str(self.offset)] if self.offset or not index else []
        return f"{self.array}[{' + '.join([*terms, *filter(None, [index])])}]"


class Memory:
    """Which parts of the scratch array are free."""

    def __init__(self) -> None:
        self.size = 0
        self._free: list[tuple[int, int]] = []  # (offset, size), sorted, never adjacent

    def take(self, size: int) -> int:
        """Return the offset of the smallest free part that is large enough."""
        fitting = [part for part in self._free if part[1] >= size]
        if fitting:
            offset, found = min(fitting, key=lambda part: part[1])
            self._free.remove((offset, found))
            if found > size:
                self.give(offset + size, found - size)
            return offset
        # Nothing fits: grow, from the free part at the end if there is one.
        offset = self.size
        if self._free and sum(self._free[-1]) == self.size:
            offset, _ = self._free.pop()
        self.size = offset + size
        return offset

    def give(self, offset: int, size: int) -> None:
        """Free a part."""
        merged: list[tuple[int, int]] = []
        for start, length in sorted([*self._free, (offset, size)]):
            if merged and sum(merged[-1]) == start:
                merged[-1] = (merged[-1][0], merged[-1][1] + length)
            else:
                merged.append((start, length))
        self._free = merged
