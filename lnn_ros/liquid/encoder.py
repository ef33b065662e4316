"""The image encoder without torch: im2col into preallocated buffers, one matrix product a layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from lnn_ros.liquid.spec import EncoderSpec

Float = NDArray[np.float32]


class _Convolution:
    """One convolution with its rectifier; writes into the padded input of the next layer."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        padding: tuple[int, int],
        stride: tuple[int, int],
        weight: Float,
        bias: Float,
    ) -> None:
        height, width, channels = shape
        units, _, rows, columns = weight.shape
        padded = np.zeros((height + 2 * padding[0], width + 2 * padding[1], channels), np.float32)
        self.inside = padded[padding[0] : padding[0] + height, padding[1] : padding[1] + width]
        out_rows = (padded.shape[0] - rows) // stride[0] + 1
        out_columns = (padded.shape[1] - columns) // stride[1] + 1
        s_row, s_column, s_channel = padded.strides
        # A view with one patch per output pixel; a kernel's row is contiguous in memory.
        self._patches = as_strided(
            padded,
            (out_rows, out_columns, rows, columns * channels),
            (s_row * stride[0], s_column * stride[1], s_row, s_channel),
            writeable=False,
        )
        self._columns = np.empty(self._patches.shape, np.float32)
        self._matrix = self._columns.reshape(out_rows * out_columns, -1)
        self._weight = np.ascontiguousarray(weight.transpose(2, 3, 1, 0).reshape(-1, units))
        self._bias = bias
        self.out = np.empty((out_rows, out_columns, units), np.float32)
        self._flat = self.out.reshape(-1, units)

    def run(self) -> Float:
        np.copyto(self._columns, self._patches)
        np.dot(self._matrix, self._weight, out=self._flat)
        self._flat += self._bias
        np.maximum(self._flat, 0.0, out=self._flat)
        return self.out


class Encoder:
    """Frame to features.

    Parameters
    ----------
    spec : EncoderSpec
        Architecture.
    weights : mapping of str to ndarray of float32
        Tensors named as in ``spec.parameters()``, convolutions as (out, in, rows, columns).
    """

    def __init__(self, spec: EncoderSpec, weights: Mapping[str, Float]) -> None:
        self.spec = spec
        shapes = spec.shapes()
        self._layers = [
            _Convolution(
                shapes[i],
                layer.padding,
                layer.stride,
                weights[f"encoder.conv{i}.weight"],
                weights[f"encoder.conv{i}.bias"],
            )
            for i, layer in enumerate(spec.layers)
        ]
        # torch flattens (channel, row, column), this encoder (row, column, channel).
        rows, columns, channels = shapes[-1]
        linear = weights["encoder.linear.weight"].reshape(-1, channels, rows, columns)
        self._linear = np.ascontiguousarray(linear.transpose(2, 3, 1, 0).reshape(-1, spec.features))
        self._bias = weights["encoder.linear.bias"]
        self._features = np.empty(spec.features, np.float32)

    def __call__(self, frame: NDArray[np.uint8]) -> Float:
        """Encode one frame.

        Parameters
        ----------
        frame : ndarray of uint8, shape (height, width, channels)

        Returns
        -------
        ndarray of float32, shape (features,)
            The encoder's own buffer: valid until the next call.
        """
        first = self._layers[0].inside
        np.multiply(frame, np.float32(self.spec.pixel_scale), out=first, casting="unsafe")
        first += np.float32(self.spec.pixel_offset)
        out = self._layers[0].run()
        for layer in self._layers[1:]:
            np.copyto(layer.inside, out)
            out = layer.run()
        np.dot(out.reshape(-1), self._linear, out=self._features)
        self._features += self._bias
        return np.maximum(self._features, 0.0, out=self._features)
