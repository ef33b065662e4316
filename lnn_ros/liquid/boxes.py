"""Interval arithmetic over a policy: what its inputs, activities, targets and rates lie between.

Derived in ``liquid.bound``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.liquid.cells.feedforward import Feedforward
from lnn_ros.liquid.cells.flow import Flow
from lnn_ros.liquid.encoders import Encoder
from lnn_ros.liquid.encoders.conv import Conv
from lnn_ros.liquid.spec import PolicySpec

Values = NDArray[np.float64]
Interval = tuple[Values, Values]
"""Ends of intervals, two arrays of the same shape."""
Weights = Mapping[str, NDArray[Any]]

UNBOUNDED = 1e30
"""Stands for infinity: its product with 0 is 0, and sums of it do not overflow."""
ROUNDS = 100


@dataclass(frozen=True)
class Flowing:
    """What bounds the neurons of a layer of a flow cell: activities, targets, rates, turns."""

    x: Interval
    g: Interval
    r: Interval
    turn: Values
    """Of each pair, rad/s."""
    pairs: int


def linear(x: Interval, weight: Values, bias: Values) -> Interval:
    """Interval of ``x @ weight + bias``."""
    above, below = np.maximum(weight, 0.0), np.minimum(weight, 0.0)
    low, high = x
    return low @ above + high @ below + bias, high @ above + low @ below + bias


def joined(parts: list[Interval]) -> Interval:
    """Intervals one after the other."""
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def input_box(spec: PolicySpec, w: Weights) -> Interval:
    """Ends of the box (inputs,) in which the core's inputs lie, whatever is observed.

    ``w`` are a checkpoint's arrays, as float64.
    """
    low, high = _features(spec.encoder, w)
    features = np.minimum(low, 0.0), np.maximum(high, 0.0)  # zeros where there is no frame
    summary = np.full(len(spec.summary_scale), spec.summary_limit)
    return joined([features, (-summary, summary)])


def _features(encoder: Encoder, w: Weights) -> Interval:
    if not isinstance(encoder, Conv):
        return np.full(encoder.features, -UNBOUNDED), np.full(encoder.features, UNBOUNDED)
    ends = np.array([0.0, 255.0]) * encoder.pixel_scale + encoder.pixel_offset
    low, high = (np.full(encoder.channels, end) for end in (ends.min(), ends.max()))
    for i, layer in enumerate(encoder.layers):
        if any(layer.padding):
            low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
        weight = w[f"encoder.conv{i}.weight"]
        taps = math.prod(weight.shape[2:])
        flat = weight.reshape(len(weight), -1).T
        inside = np.repeat(low, taps), np.repeat(high, taps)
        low, high = (
            np.maximum(end, 0.0) for end in linear(inside, flat, w[f"encoder.conv{i}.bias"])
        )
    rows, columns, _ = encoder.shapes()[-1]
    flattened = np.repeat(low, rows * columns), np.repeat(high, rows * columns)
    low, high = linear(flattened, w["encoder.linear.weight"].T, w["encoder.linear.bias"])
    return np.maximum(low, 0.0), np.maximum(high, 0.0)


def feedforward_activities(cell: Feedforward, w: Weights, inputs: Interval) -> Interval:
    """What all activities lie between, zero before the first frame among them."""
    x, activities = inputs, []
    for layer in cell.layers:
        key = f"core.{layer.name}"
        low, high = linear(x, w[f"{key}.weight"], w[f"{key}.bias"])
        x = np.tanh(low), np.tanh(high)
        activities.append((np.minimum(x[0], 0.0), np.maximum(x[1], 0.0)))
    return joined(activities)


def flow_layers(cell: Flow, w: Weights, inputs: Interval) -> list[Flowing]:
    """What bounds each layer."""
    source, found = inputs, []
    for layer, pairs in zip(cell.layers, cell.pairs, strict=True):
        key = f"core.{layer.name}"
        reach = np.ones(layer.units)
        reach[: 2 * pairs] = math.sqrt(2.0)
        x: Interval = (-reach, reach)
        for _ in range(ROUNDS if layer.recurrent else 1):
            before = x
            z = joined([source, x]) if layer.recurrent else source
            bounds = layer_bounds(cell, key, w, z, pairs)
            x = bounds.x
            if max(np.abs(x[i] - before[i]).max() for i in (0, 1)) < 1e-6:
                break
        found.append(bounds)
        source = x
    return found


def layer_bounds(cell: Flow, key: str, w: Weights, z: Interval, pairs: int) -> Flowing:
    """One round: what bounds a layer whose sources lie in ``z``."""

    def gate(name: str) -> Interval:
        return linear(z, w[f"{key}.{name}.weight"], w[f"{key}.{name}.bias"])

    low, high = (np.tanh(end) for end in gate("target"))
    x_low, x_high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    largest = np.maximum(-x_low, x_high)
    radius = np.hypot(largest[:pairs], largest[pairs : 2 * pairs])
    x_high[: 2 * pairs], x_low[: 2 * pairs] = np.tile(radius, 2), -np.tile(radius, 2)
    span = math.log(cell.rate_max / cell.rate_min)
    shares = [0.5 * np.tanh(0.5 * end) + 0.5 for end in gate("rate")]
    rates = [cell.rate_min * np.exp(span * share) for share in shares]
    turn = np.zeros(0)
    if pairs:
        fastest = np.abs(np.tanh(gate("frequency"))).max(0)
        turn = 2.0 * math.pi * cell.frequency_max * fastest
    return Flowing((x_low, x_high), (low, high), (rates[0], rates[1]), turn, pairs)
