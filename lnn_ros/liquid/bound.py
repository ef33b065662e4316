"""A proven bound on a policy's command, and on how fast it changes between observations.

Computed from the weights alone by interval arithmetic, whatever is observed and whenever. In exact
arithmetic; float32 adds rounding, about 1e-6 of the head's range.

**What can be observed.** Pixels are 0 to 255, so a convolutional encoder's features lie in the
intervals that its weights make of that, layer by layer; features of other encoders are taken as
unbounded. The summary is clipped. So the core's inputs lie in a box, and a linear map of a box is
exactly ``W+ low + W- high`` to ``W+ high + W- low``.

**Activities of a flow cell.** An update moves a neuron alone by ``x <- x + k (g - x)`` with k in
[0, 1), and so does the flow after it with the same ``g``: x stays in the hull of 0, where it
starts, and of all targets. For a pair, x and g complex, ``d|x|/dt <= r (|g| - |x|)`` since turning
changes no length, and the update is convex too: |x| never exceeds the largest |g|. Targets are the
tanh of a linear map of the layer's sources. Sources that the layer itself provides are first taken
in [-1, 1], or the disc of radius sqrt 2 (tanh knows no more), which gives targets, which give
smaller activities, and so on; each round uses only what is proven already, so every one may be the
last.

**Command.** The head's read-out lies in the interval of its linear map, and ``HeadSpec.read`` is
increasing: its ends give the command's.

**Rate between observations.** For a neuron alone the flow is ``x(t) = g + exp(-r t) (x - g)``, so
``|x'(t)| <= |x'(0)| = r |g - x|``. With D the time between the last two observations, the update
has just made ``g - x`` out of ``exp(-r D) (g - x_before)``. So

    -s (x_high - g_low) <= x' <= s (g_high - x_low),    s = max of r exp(-r D) over r and D

which is s = r_high if observations may follow each other at once (D = 0), and at most 1 / (e D) if
D seconds lie between any two (the first one comes ``first_interval`` after nothing). In the
``event`` mode the update leaves ``1 - r / r_max`` in place of ``exp(-r D)``. For a pair,
``x' = r (g - x) + i w x`` with w = 2 pi f solves ``x'' = (-r + i w) x'``, so again
|x'(t)| <= |x'(0)|. With all lengths below G, |x'(0)| is at most both of

    r G + sqrt(r^2 + w^2) G        s 2 G + w G

A read-out ``a x_1 + b x_2`` of a pair changes by at most ``sqrt(a^2 + b^2) |x'|``. The head
multiplies by ``half_range * headroom * (1 - tanh^2 y)``, at most its value at the smallest |y|, and
by 0 where it is clipped. Before the first observation nothing moves.

Cells without a flow (``split = False``) hold their activity between observations: the rate is 0
there. Other cells with a flow have no rate proven here. At an observation every policy may jump, by
at most the range of its command.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.feedforward import Feedforward
from lnn_ros.liquid.cells.flow import Flow
from lnn_ros.liquid.encoders import Encoder
from lnn_ros.liquid.encoders.conv import Conv
from lnn_ros.liquid.engine import effective
from lnn_ros.liquid.spec import COMMAND, PolicySpec

Values = NDArray[np.float64]
Interval = tuple[Values, Values]
"""Ends of intervals, two arrays of the same shape."""
Weights = Mapping[str, NDArray[Any]]

UNBOUNDED = 1e30
"""Stands for infinity: its product with 0 is 0, and sums of it do not overflow."""
WIDER = 1e-9
"""Share of the head's range added on both sides, for the rounding of this computation itself."""
ROUNDS = 100


@dataclass(frozen=True)
class Bound:
    """What a policy can command.

    Attributes
    ----------
    low, high : tuple of float
        Of vx, vy, vz (m/s) and yaw rate (rad/s).
    rate : tuple of float, or None
        Largest change between observations, in m/s^2 and rad/s^2; None: no bound is known.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    rate: tuple[float, ...] | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "low": list(self.low),
            "high": list(self.high),
            "rate": None if self.rate is None else list(self.rate),
        }

    def check(self, claim: object) -> None:
        """Refuse the claim, as ``to_json`` writes it, of a smaller bound than this.

        Raises
        ------
        LnnError
            Naming the first output whose bound is claimed too small.
        """
        if not isinstance(claim, dict) or set(claim) != {"low", "high", "rate"}:
            raise LnnError(f"bound is {claim!r}, expected low, high and rate")
        for name, unit in (("low", ""), ("high", ""), ("rate", "/s")):
            said, found = claim[name], getattr(self, name)
            if name == "rate" and said is None:
                continue  # claims nothing
            if not isinstance(said, list) or len(said) != len(COMMAND):
                raise LnnError(f"bound.{name} is {said!r}, expected {len(COMMAND)} numbers")
            for i, output in enumerate(COMMAND):
                if type(said[i]) not in (int, float) or not math.isfinite(said[i]):
                    raise LnnError(f"bound.{name} of {output} is {said[i]!r}, expected a number")
                sign = -1.0 if name == "low" else 1.0
                limit = sys.float_info.max if found is None else sign * found[i]
                # Another machine may round the last digits differently.
                if sign * said[i] < limit - 1e-6 * (1.0 + abs(limit)):
                    what = "an unknown bound" if found is None else f"{found[i]:.6g}{unit}"
                    raise LnnError(
                        f"bound.{name} of {output} is claimed to be {said[i]:.6g}{unit}, but the "
                        f"weights give {what}"
                    )


@dataclass(frozen=True)
class _Flowing:
    """What bounds the neurons of a layer of a flow cell: activities, targets, rates, turns."""

    x: Interval
    g: Interval
    r: Interval
    turn: Values
    """Of each pair, rad/s."""
    pairs: int


def bound(
    spec: PolicySpec, arrays: Mapping[str, NDArray[Any]], least_interval: float = 0.0
) -> Bound:
    """Compute the bound of a policy.

    Parameters
    ----------
    spec : PolicySpec
    arrays : mapping of str to ndarray
        As in a checkpoint.
    least_interval : float
        Least time between two observations, s; the rate is smaller if there is one.
    """
    w = {name: np.asarray(a, np.float64) for name, a in effective(spec, arrays).items()}
    cell, head = spec.core, spec.head
    inputs = input_box(spec, w)
    weight = np.zeros((len(cell.names()), len(COMMAND)))
    weight[len(weight) - cell.read :] = w["head.weight"]
    slope: Values | None = np.zeros(len(COMMAND)) if not cell.split else None
    activity = np.full(len(weight), -UNBOUNDED), np.full(len(weight), UNBOUNDED)
    if type(cell) is Flow:  # and nothing else that is built on it
        layers = _flow(cell, w, inputs)
        activity = _joined([layer.x for layer in layers])
        slope = _slope(cell, layers, weight, min(least_interval, spec.first_interval))
    elif isinstance(cell, Feedforward):
        activity = _feedforward(cell, w, inputs)
    low, high = _linear(activity, weight, w["head.bias"])
    ends = [_read(spec, y) for y in (low, high)]
    limits, half = np.array([head.low, head.high]), (np.array(head.high) - head.low) / 2
    wider = WIDER * 2 * half
    rate = None
    if slope is not None:
        nearest = np.maximum(0.0, np.maximum(low, -high))
        steep = head.headroom * (1.0 - np.tanh(nearest) ** 2)
        moving = head.headroom * np.tanh(nearest) < 1.0
        rate = tuple((half * steep * moving * slope * (1.0 + WIDER)).tolist())
    return Bound(
        tuple(np.maximum(ends[0] - wider, limits[0]).tolist()),
        tuple(np.minimum(ends[1] + wider, limits[1]).tolist()),
        rate,
    )


def _read(spec: PolicySpec, y: Values) -> Values:
    low, high = np.array(spec.head.low), np.array(spec.head.high)
    share = np.clip(spec.head.headroom * np.tanh(y), -1.0, 1.0)
    return (high + low) / 2 + (high - low) / 2 * share


def _linear(x: Interval, weight: Values, bias: Values) -> Interval:
    """Interval of ``x @ weight + bias``."""
    above, below = np.maximum(weight, 0.0), np.minimum(weight, 0.0)
    low, high = x
    return low @ above + high @ below + bias, high @ above + low @ below + bias


def _joined(parts: list[Interval]) -> Interval:
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def input_box(spec: PolicySpec, w: Weights) -> Interval:
    """Ends of the box (inputs,) in which the core's inputs lie, whatever is observed.

    ``w`` are a checkpoint's arrays, as float64.
    """
    features = _features(spec.encoder, w)
    summary = np.full(len(spec.summary_scale), spec.summary_limit)
    return _joined([features, (-summary, summary)])


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
            np.maximum(end, 0.0) for end in _linear(inside, flat, w[f"encoder.conv{i}.bias"])
        )
    rows, columns, _ = encoder.shapes()[-1]
    flattened = np.repeat(low, rows * columns), np.repeat(high, rows * columns)
    low, high = _linear(flattened, w["encoder.linear.weight"].T, w["encoder.linear.bias"])
    return np.maximum(low, 0.0), np.maximum(high, 0.0)


def _feedforward(cell: Feedforward, w: Weights, inputs: Interval) -> Interval:
    x, activities = inputs, []
    for layer in cell.layers:
        key = f"core.{layer.name}"
        low, high = _linear(x, w[f"{key}.weight"], w[f"{key}.bias"])
        x = np.tanh(low), np.tanh(high)
        activities.append((np.minimum(x[0], 0.0), np.maximum(x[1], 0.0)))
    return _joined(activities)


def _flow(cell: Flow, w: Weights, inputs: Interval) -> list[_Flowing]:
    """What bounds each layer."""
    source, found = inputs, []
    for layer, pairs in zip(cell.layers, cell.pairs, strict=True):
        key = f"core.{layer.name}"
        reach = np.ones(layer.units)
        reach[: 2 * pairs] = math.sqrt(2.0)
        x: Interval = (-reach, reach)
        for _ in range(ROUNDS if layer.recurrent else 1):
            before = x
            z = _joined([source, x]) if layer.recurrent else source
            bounds = _layer(cell, key, w, z, pairs)
            x = bounds.x
            if max(np.abs(x[i] - before[i]).max() for i in (0, 1)) < 1e-6:
                break
        found.append(bounds)
        source = x
    return found


def _layer(cell: Flow, key: str, w: Weights, z: Interval, pairs: int) -> _Flowing:
    """One round: what bounds a layer whose sources lie in ``z``."""

    def gate(name: str) -> Interval:
        return _linear(z, w[f"{key}.{name}.weight"], w[f"{key}.{name}.bias"])

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
    return _Flowing((x_low, x_high), (low, high), (rates[0], rates[1]), turn, pairs)


def _slope(cell: Flow, layers: list[_Flowing], weight: Values, least_interval: float) -> Values:
    """Largest |y'| of the read-outs ``x @ weight`` between observations."""
    up, down = np.zeros(weight.shape[1]), np.zeros(weight.shape[1])
    start = 0
    for layer in layers:
        slow, fast = layer.r
        if cell.event:  # r (1 - r / r_max) is largest at half of r_max
            best = np.clip(0.5 * cell.rate_max, slow, fast)
            pull = best * (1.0 - best / cell.rate_max)
        else:  # r exp(-r D) is largest at 1 / D
            best = np.clip(1.0 / least_interval, slow, fast) if least_interval else fast
            pull = best * np.exp(-best * least_interval)
        pairs = layer.pairs
        (x_low, x_high), (g_low, g_high) = layer.x, layer.g
        radius, r = x_high[:pairs], fast[:pairs]
        speed = radius * np.minimum(r + np.hypot(r, layer.turn), 2.0 * pull[:pairs] + layer.turn)
        a = weight[start : start + pairs]
        b = weight[start + pairs : start + 2 * pairs]
        turning = speed @ np.hypot(a, b)
        alone = slice(2 * pairs, len(x_high))
        rising = pull[pairs:] * (g_high - x_low)[alone]
        falling = pull[pairs:] * (x_high - g_low)[alone]
        v = weight[start + 2 * pairs : start + len(x_high)]
        above, below = np.maximum(v, 0.0), np.minimum(v, 0.0)
        up += turning + rising @ above - falling @ below
        down += turning + falling @ above - rising @ below
        start += len(x_high)
    return np.maximum(up, down)
