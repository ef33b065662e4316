"""A convolution in numpy: patches into one matrix (im2col), then one product of matrices.

Everything is allocated once. A column of ones among the patches lets the product add the bias.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Array = NDArray[Any]
Step = Callable[[], object]

LONG_RUN = 32
"""Numbers that lie side by side in a patch's row from which copying patches row by row pays."""


def copy(target: Array, source: Array) -> Step:
    """Return the call that copies; a method, since numpy's functions cost more to be called."""
    return partial(target.__setitem__, ..., source)


def _outcome(shape: tuple[int, ...], weight: Array, stride: Any, padding: Any) -> tuple[int, int]:
    rows, columns = (
        (size + 2 * pad - kernel) // step + 1
        for size, pad, kernel, step in zip(
            shape[:2], padding, weight.shape[2:], stride, strict=True
        )
    )
    return rows, columns


class RowPatches:
    """For many channels: a kernel's row is one run of numbers in the (H, W, C) input.

    Parameters
    ----------
    shape : tuple of 3 int
        Height, width and channels of the input.
    weight, bias : ndarray, shapes (out, C, rows, columns) and (out,)
    stride, padding : tuple of 2 int
        Vertical, horizontal.
    fill : float
        What the input is padded with.
    dtype : numpy.dtype

    Attributes
    ----------
    inside : ndarray, shape (H, W, C)
        The padded input's inside: write the input there.
    out : ndarray, shape (rows, columns, out)
        The result, a view of
    whole : ndarray, shape (n,)
        all of its buffer.
    steps : list of callable
        What makes ``out`` of ``inside``.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        weight: Array,
        bias: Array,
        stride: tuple[int, int],
        padding: tuple[int, int],
        fill: float,
        dtype: Any,
    ) -> None:
        height, width, channels = shape
        units, _, rows, columns = weight.shape
        (down, right), (above, left) = stride, padding
        out_rows, out_columns = _outcome(shape, weight, stride, padding)
        padded = np.full((height + 2 * above, width + 2 * left, channels), fill, dtype)
        self.inside = padded[above : above + height, left : left + width]
        s_row, s_column, s_channel = padded.strides
        patches = as_strided(
            padded,
            (out_rows, out_columns, rows, columns * channels),
            (s_row * down, s_column * right, s_row, s_channel),
            writeable=False,
        )
        size = rows * columns * channels
        matrix = np.ones((out_rows * out_columns, size + 1), dtype)
        copies = as_strided(
            matrix,
            patches.shape,
            (
                matrix.strides[0] * out_columns,
                matrix.strides[0],
                columns * channels * matrix.itemsize,
                matrix.itemsize,
            ),
        )
        kernel = np.concatenate([weight.transpose(2, 3, 1, 0).reshape(size, units), bias[None]])
        self.out = np.zeros((out_rows, out_columns, units), dtype)
        self.whole = self.out.reshape(-1)
        self.steps: list[Step] = [
            copy(copies, patches),
            partial(matrix.dot, np.ascontiguousarray(kernel, dtype), self.out.reshape(-1, units)),
        ]


class PlanePatches:
    """For few channels: long runs of one channel's pixels, each ``stride`` apart in the image.

    The padded input is split into planes, one for each channel and phase (vertical, horizontal) of
    the stride. What one tap of the kernel meets, for all output pixels, is then one run of a
    plane; the runs wrap around its right border, where they make columns that nobody reads.

    Parameters, ``out``, ``whole`` and ``steps`` are those of ``RowPatches``; ``steps`` read
    ``source``.
    """

    def __init__(
        self,
        source: Array,
        weight: Array,
        bias: Array,
        stride: tuple[int, int],
        padding: tuple[int, int],
        fill: float,
        dtype: Any,
    ) -> None:
        height, width, channels = source.shape
        units, _, rows, columns = weight.shape
        (down, right), (above, left) = stride, padding
        out_rows, out_columns = _outcome(source.shape, weight, stride, padding)
        plane = (-(-(height + 2 * above) // down), -(-(width + 2 * left) // right))
        planes = np.full((channels, down, right, *plane), fill, dtype)
        self.steps: list[Step] = self._fill(source, planes, stride, padding)
        run = (out_rows - 1) * plane[1] + out_columns
        matrix = np.ones((channels * rows * columns + 1, run), dtype)
        kernel = np.empty((units, len(matrix)), dtype)
        kernel[:, -1] = bias
        start = 0
        for i in range(min(down, rows)):
            for j in range(min(right, columns)):
                taps = weight[:, :, i::down, j::right]
                stop = start + taps[0].size
                s_channel, _, _, s_row, s_column = planes.strides
                runs = as_strided(
                    planes[:, i, j],
                    (*taps.shape[1:], run),
                    (s_channel, s_row, s_column, s_column),
                    writeable=False,
                )
                self.steps.append(copy(matrix[start:stop].reshape(runs.shape), runs))
                kernel[:, start:stop] = taps.reshape(units, -1)
                start = stop
        flat = np.zeros((out_rows * plane[1], units), dtype)
        self.steps.append(partial(matrix.T.dot, kernel.T, flat[:run]))
        self.whole = flat.reshape(-1)
        self.out = flat.reshape(out_rows, plane[1], units)[:, :out_columns]

    @staticmethod
    def _fill(
        source: Array, planes: Array, stride: tuple[int, int], padding: tuple[int, int]
    ) -> list[Step]:
        """Copies of the source's pixels into the planes."""
        (height, width, _), (down, right), (above, left) = source.shape, stride, padding
        image = source.transpose(2, 0, 1)
        if not (height % down or width % right or above % down or left % right):
            # Every phase begins at the same place of its plane: one copy does it.
            s_channel, s_row, s_column = image.strides
            cells = (height // down, width // right)
            phases = as_strided(
                source,
                (len(image), down, right, *cells),
                (s_channel, s_row, s_column, s_row * down, s_column * right),
                writeable=False,
            )
            y, x = above // down, left // right
            return [copy(planes[..., y : y + cells[0], x : x + cells[1]], phases)]
        steps: list[Step] = []
        for i in range(down):
            for j in range(right):
                y, x = (i - above) % down, (j - left) % right
                pixels = image[:, y::down, x::right]
                y, x = (y + above) // down, (x + left) // right
                target = planes[:, i, j, y : y + pixels.shape[1], x : x + pixels.shape[2]]
                steps.append(copy(target, pixels))
        return steps
