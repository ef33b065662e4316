"""The array operations that cells and encoders are written with, in numpy and in torch.

A cell is written once, against this small set, and runs wherever the set is implemented: in numpy
and torch here, as a preallocated numpy program, as ONNX and as C by way of
``liquid.programs.trace``. Python's own ``+ - * / @``, negation and slices ``x[..., a:b]`` belong to
the set; what they mean is numpy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Array = Any
"""An ndarray, a torch Tensor or a symbolic array of ``liquid.programs.trace``."""


class Ops(Protocol):
    """Element-wise functions unless said otherwise."""

    def tanh(self, x: Array) -> Array: ...

    def sigmoid(self, x: Array) -> Array:
        """Logistic function, without overflow for any finite argument."""

    def exp(self, x: Array) -> Array: ...

    def softplus(self, x: Array) -> Array:
        """``log(1 + exp(x))``, without overflow."""

    def log1p(self, x: Array) -> Array:
        """``log(1 + x)`` for x > -1."""

    def relu(self, x: Array) -> Array: ...

    def abs(self, x: Array) -> Array: ...

    def sin(self, x: Array) -> Array: ...

    def cos(self, x: Array) -> Array: ...

    def round(self, x: Array) -> Array:
        """Nearest integer, halves to even; its gradient is zero."""

    def clip(self, x: Array, low: float, high: float) -> Array: ...

    def constant(self, value: NDArray[np.float64], like: Array) -> Array:
        """Return numbers as an array of the type that ``like`` has."""

    def concat(self, arrays: Sequence[Array]) -> Array:
        """Join along the last axis; leading axes must agree."""

    def convolve(
        self,
        x: Array,
        weight: Array,
        bias: Array,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Array:
        """Cross-correlate (..., H, W, C) with (out, C, rows, columns), padding with zeros."""

    def flatten(self, x: Array) -> Array:
        """(..., H, W, C) to (..., C * H * W): the channel varies slowest."""


class NumpyOps:
    """The operations for ndarrays of float32 or float64."""

    tanh = staticmethod(np.tanh)
    exp = staticmethod(np.exp)
    log1p = staticmethod(np.log1p)
    abs = staticmethod(np.abs)
    sin = staticmethod(np.sin)
    cos = staticmethod(np.cos)
    round = staticmethod(np.rint)
    clip = staticmethod(np.clip)

    @staticmethod
    def sigmoid(x: Array) -> Array:
        return 0.5 * np.tanh(0.5 * x) + 0.5  # tanh cannot overflow

    @staticmethod
    def softplus(x: Array) -> Array:
        return np.logaddexp(x, np.zeros((), x.dtype))

    @staticmethod
    def relu(x: Array) -> Array:
        return np.maximum(x, 0.0)

    @staticmethod
    def constant(value: NDArray[np.float64], like: Array) -> Array:
        return value.astype(like.dtype)

    @staticmethod
    def concat(arrays: Sequence[Array]) -> Array:
        return np.concatenate(arrays, -1)

    @staticmethod
    def convolve(
        x: Array,
        weight: Array,
        bias: Array,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Array:
        (down, right), (above, left) = stride, padding
        width = [(0, 0)] * (x.ndim - 3) + [(above, above), (left, left), (0, 0)]
        padded = np.ascontiguousarray(np.pad(x, width))
        units, channels, rows, columns = weight.shape
        out_rows = (padded.shape[-3] - rows) // down + 1
        out_columns = (padded.shape[-2] - columns) // right + 1
        lead = padded.shape[:-3]
        *s_lead, s_row, s_column, s_channel = padded.strides
        patches = as_strided(
            padded,
            (*lead, out_rows, out_columns, rows, columns, channels),
            (*s_lead, s_row * down, s_column * right, s_row, s_column, s_channel),
            writeable=False,
        ).reshape(*lead, out_rows, out_columns, -1)
        return patches @ weight.transpose(2, 3, 1, 0).reshape(-1, units) + bias

    @staticmethod
    def flatten(x: Array) -> Array:
        return np.moveaxis(x, -1, -3).reshape(*x.shape[:-3], -1)


class TorchOps:
    """The operations for torch tensors; importing this module imports no torch."""

    def __init__(self) -> None:
        import torch

        self._torch = torch
        self.tanh = torch.tanh
        self.sigmoid = torch.sigmoid
        self.exp = torch.exp
        self.log1p = torch.log1p
        self.softplus = torch.nn.functional.softplus
        self.relu = torch.relu
        self.abs = torch.abs
        self.sin = torch.sin
        self.cos = torch.cos
        self.round = torch.round
        self.clip = torch.clamp

    def constant(self, value: NDArray[np.float64], like: torch.Tensor) -> torch.Tensor:
        """Return numbers as a tensor of the type that ``like`` has."""
        return self._torch.as_tensor(value, dtype=like.dtype, device=like.device)

    def concat(self, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
        """Join along the last axis."""
        return self._torch.cat(list(arrays), -1)

    def convolve(
        self,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> torch.Tensor:
        """Cross-correlate; a permuted view of row-major pixels is channels-last already."""
        lead = x.shape[:-3]
        images = x.reshape(-1, *x.shape[-3:]).permute(0, 3, 1, 2)
        out = self._torch.nn.functional.conv2d(images, weight, bias, stride, padding)
        return out.permute(0, 2, 3, 1).reshape(*lead, *out.shape[2:], out.shape[1])

    @staticmethod
    def flatten(x: torch.Tensor) -> torch.Tensor:
        """(..., H, W, C) to (..., C * H * W)."""
        return x.movedim(-1, -3).flatten(-3)


NUMPY = NumpyOps()
