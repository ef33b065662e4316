"""Convolutions, then one linear layer, all with rectifiers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.base import Values, Weights, integer, number
from lnn_ros.liquid.encoders.base import MAX_BUFFER, MAX_SIDE, Encoder
from lnn_ros.liquid.ops import Array, Ops


@dataclass(frozen=True)
class Convolution:
    """One 2-D convolution followed by a rectifier; pairs are (vertical, horizontal)."""

    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True)
class Conv(Encoder):
    """A small convolutional encoder; pixels enter as ``pixel_scale * p + pixel_offset``."""

    layers: tuple[Convolution, ...]
    pixel_scale: float
    pixel_offset: float

    kind: ClassVar[str] = "conv"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Encoder:
        layers = data.get("layers")
        if not isinstance(layers, list):
            raise LnnError(f"encoder: layers is {layers!r}, expected a list")
        built = []
        for layer in layers:
            if not isinstance(layer, dict) or set(layer) != {
                "channels",
                "kernel",
                "stride",
                "padding",
            }:
                raise LnnError(
                    f"encoder: layer {layer!r}, expected channels, kernel, stride and padding"
                )
            pairs = {key: layer[key] for key in ("kernel", "stride", "padding")}
            for key, pair in pairs.items():
                if not isinstance(pair, list) or len(pair) != 2:
                    raise LnnError(f"encoder: {key} of a layer is {pair!r}, expected a pair")
            built.append(Convolution(layer["channels"], *(tuple(pair) for pair in pairs.values())))
        return super().from_json({**data, "layers": tuple(built)})

    def check(self) -> None:
        super().check()
        if not 1 <= len(self.layers) <= 16:
            raise LnnError(f"encoder: {len(self.layers)} layers found, expected 1 to 16")
        for layer in self.layers:
            integer("encoder: channels of a layer", layer.channels, 1, MAX_SIDE)
            for pair, least in ((layer.kernel, 1), (layer.stride, 1), (layer.padding, 0)):
                for value in pair:
                    integer("encoder: kernel, stride or padding", value, least, 64)
        number("encoder: pixel_scale", self.pixel_scale, -10.0, 10.0)
        number("encoder: pixel_offset", self.pixel_offset, -1e3, 1e3)
        shapes = self.shapes()
        for i, (layer, (before, after)) in enumerate(
            zip(self.layers, pairwise(shapes), strict=True)
        ):
            padded = [size + 2 * pad for size, pad in zip(before, layer.padding, strict=False)]
            largest = max(
                math.prod(padded) * before[2],
                math.prod(after[:2]) * math.prod(layer.kernel) * before[2],
                math.prod(after),
            )
            if largest > MAX_BUFFER:
                raise LnnError(
                    f"encoder: layer {i} needs a buffer of {largest} numbers, expected at most "
                    f"{MAX_BUFFER}"
                )

    def shapes(self) -> list[tuple[int, int, int]]:
        """(height, width, channels) of the input and after every convolution."""
        shapes = [self.frame_shape]
        for layer in self.layers:
            height, width = (
                (size + 2 * pad - kernel) // stride + 1
                for size, pad, kernel, stride in zip(
                    shapes[-1], layer.padding, layer.kernel, layer.stride, strict=False
                )
            )
            if height < 1 or width < 1:
                raise LnnError(f"encoder: {layer} leaves nothing of {shapes[-1]}")
            shapes.append((height, width, layer.channels))
        return shapes

    def parameters(self) -> dict[str, tuple[int, ...]]:
        shapes = self.shapes()
        named: dict[str, tuple[int, ...]] = {}
        for i, layer in enumerate(self.layers):
            named[f"conv{i}.weight"] = (layer.channels, shapes[i][2], *layer.kernel)
            named[f"conv{i}.bias"] = (layer.channels,)
        named["linear.weight"] = (self.features, math.prod(shapes[-1]))
        named["linear.bias"] = (self.features,)
        return named

    def initialise(self, rng: np.random.Generator) -> Values:
        values: Values = {}
        for name, shape in self.parameters().items():
            # He et al. 2015 for rectifiers: the spread of activities stays the same in depth.
            bound = math.sqrt(6.0 / math.prod(shape[1:]))
            values[name] = (
                rng.uniform(-bound, bound, shape) if name.endswith("weight") else np.zeros(shape)
            )
        return values

    def encode(self, ops: Ops, w: Weights, pixels: Array) -> Array:
        x = pixels * self.pixel_scale + self.pixel_offset
        for i, layer in enumerate(self.layers):
            weight, bias = w[f"conv{i}.weight"], w[f"conv{i}.bias"]
            x = ops.relu(ops.convolve(x, weight, bias, layer.stride, layer.padding))
        return ops.relu(ops.flatten(x) @ w["linear.weight"].T + w["linear.bias"])
