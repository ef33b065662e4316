"""A proven bound on a policy's command, and on how fast it changes.

Computed from the weights alone by interval arithmetic, whatever is observed and whenever. In exact
arithmetic; float32 adds rounding, about 1e-6 of the head's range.

**What can be observed.** Pixels are 0 to 255, so a convolutional encoder's features lie in the
intervals that its weights make of that, layer by layer; features of other encoders are taken as
unbounded. They enter where there is a frame, and zeros where there is none: in the hull of both.
The summary is clipped. So the core's inputs lie in a box, and a linear map of a box is exactly
``W+ low + W- high`` to ``W+ high + W- low``.

**Activities of a flow cell.** An update moves a neuron alone by ``x <- x + k (g - x)`` with k in
[0, 1), and so does the flow after it with the same ``g``: x stays in the hull of 0, where it
starts, and of all targets. For a pair, x and g complex, ``d|x|/dt <= r (|g| - |x|)`` since turning
changes no length, and the update is convex too, towards ``c = r g / (r - i w)``, w = 2 pi f, which
is no longer than g: |x| never exceeds the largest |g|. Targets are the tanh of a linear map of the
layer's sources. Sources that the layer itself provides are first taken in [-1, 1], or the disc of
radius sqrt 2 (tanh knows no more), which gives targets, which give smaller activities, and so on;
each round uses only what is proven already, so every one may be the last.

**Command.** The head's read-out lies in the interval of its linear map, and ``HeadSpec.read`` is
increasing: its ends give the command's.

**Rate of the flow**, as long as nothing is observed at all. For a neuron alone it is
``x(t) = g + exp(-r t) (x - g)``, so ``|x'(t)| <= |x'(0)| = r |g - x|``. With D the time between the
last two observations, the update has just made ``g - x`` out of ``exp(-r D) (g - x_before)``. So

    -s (x_high - g_low) <= x' <= s (g_high - x_low),    s = max of r exp(-r D) over r and D

which is s = r_high if observations may follow each other at once (D = 0), and at most 1 / (e D) if
D seconds lie between any two, those without a frame included (the first one comes
``first_interval`` after nothing). In the ``event`` mode the update leaves ``1 - r / r_max`` in
place of ``exp(-r D)``. For a pair,
``x' = r (g - x) + i w x`` solves ``x'' = (-r + i w) x'``, so again |x'(t)| <= |x'(0)|. With all
lengths below G, |x'(0)| is at most both of

    r G + sqrt(r^2 + w^2) G        s 2 G + w G

(the latter for a pair that was pulled to c, too: ``x' = (r - i w) (c - x)``, of which the update
has left the share exp(-r D), and |r - i w| |c| <= r G.)

A read-out ``a x_1 + b x_2`` of a pair changes by at most ``sqrt(a^2 + b^2) |x'|``. The head
multiplies by ``half_range * headroom * (1 - tanh^2 y)``, at most its value at the smallest |y|, and
by 0 where it is clipped. Before the first observation nothing moves.

Cells without a flow (``split = False``) hold their activity between observations: the rate is 0
there. Other cells with a flow, and policies that are not told the time, have no rate proven here.

**Rate of reading.** What the pilot reads at an instant is one step further: D seconds after the
last update the state meets what the inertial sensor has measured since, as in an update. From x,
where the last update left the neuron alone, the flow takes it to ``p = x + k' (g' - x)``, with g'
and ``k' = 1 - exp(-r' D)`` as that update set them, and the step to

    p + k (g - p) = x + (1 - k) k' (g' - x) + k (g - x),      k = 1 - exp(-r D) <= r_high D,

with whatever g and r it makes of whatever was measured. By the above ``k' (g' - x)`` is at most D
times ``s (g_high - x_low)``. So, divided by D, the neuron has risen by at most

    (s + r_high) (g_high - x_low),

and fallen by as much with high and low exchanged; a pair has moved by at most ``|x'|`` as above,
plus ``2 r_high G``. This bounds the mean rate since the last update, whatever was measured: D
seconds after it the command differs by at most D times ``reading`` from what it was then. An update
is such a step too, with a frame or without, so the same holds from one update to the next, and from
each to all later ones. What it does not bound is the slope from one reading to another: a mean over
a short time may follow its sensor as fast as that changes.

It takes a gain that is a rate, hence a flow cell that is told the time and hears no events. A cell
without memory takes no step without a frame: its answer stands still. Other cells without a flow
jump as soon as they take one, and have no such rate; at a sample they, and cells of events, may
jump by the range of their command.
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
from lnn_ros.liquid.boxes import (
    UNBOUNDED,
    Flowing,
    Values,
    feedforward_activities,
    flow_layers,
    input_box,
    joined,
    linear,
)
from lnn_ros.liquid.cells.feedforward import Feedforward
from lnn_ros.liquid.cells.flow import Flow
from lnn_ros.liquid.engine import effective
from lnn_ros.liquid.spec import COMMAND, PolicySpec

WIDER = 1e-9
"""Share of the head's range added on both sides, for the rounding of this computation itself."""


@dataclass(frozen=True)
class Bound:
    """What a policy can command.

    Attributes
    ----------
    low, high : tuple of float
        Of vx, vy, vz (m/s) and yaw rate (rad/s).
    rate : tuple of float, or None
        Largest rate of change by the flow alone, m/s^2 and rad/s^2; None: no bound is known.
    reading : tuple of float, or None
        Largest mean rate of change since the last update of what is read in a further step, the
        same.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    rate: tuple[float, ...] | None
    reading: tuple[float, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "low": list(self.low),
            "high": list(self.high),
            "rate": None if self.rate is None else list(self.rate),
            "reading": None if self.reading is None else list(self.reading),
        }

    def check(self, claim: object) -> None:
        """Refuse the claim, as ``to_json`` writes it, of a smaller bound than this.

        It may say nothing of reading.

        Raises
        ------
        LnnError
            Naming the first output whose bound is claimed too small.
        """
        if not isinstance(claim, dict) or set(claim) - {"reading"} != {"low", "high", "rate"}:
            raise LnnError(f"bound is {claim!r}, expected low, high, rate and reading")
        for name, unit in (("low", ""), ("high", ""), ("rate", "/s"), ("reading", "/s")):
            said, found = claim.get(name), getattr(self, name)
            if unit and said is None:
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
        Least time between two updates, with or without a frame, s; rates are smaller if there is
        one.
    """
    w = {name: np.asarray(a, np.float64) for name, a in effective(spec, arrays).items()}
    cell, head = spec.core, spec.head
    weight = np.zeros((len(cell.names()), len(COMMAND)))
    weight[len(weight) - cell.read :] = w["head.weight"]
    still = np.zeros(len(COMMAND))
    slope: Values | None = still if not cell.split else None
    reading: Values | None = still if not cell.memory else None
    activity = np.full(len(weight), -UNBOUNDED), np.full(len(weight), UNBOUNDED)
    if type(cell) is Flow:  # and nothing else that is built on it
        layers = flow_layers(cell, w, input_box(spec, w))
        activity = joined([layer.x for layer in layers])
        least = min(least_interval, spec.first_interval)
        if spec.step is None:
            slope = _slope(cell, layers, weight, least)
            reading = None if cell.event else _slope(cell, layers, weight, least, step=True)
    elif isinstance(cell, Feedforward):
        activity = feedforward_activities(cell, w, input_box(spec, w))
    low, high = linear(activity, weight, w["head.bias"])
    ends = [_read(spec, y) for y in (low, high)]
    limits, half = np.array([head.low, head.high]), (np.array(head.high) - head.low) / 2
    wider = WIDER * 2 * half
    nearest = np.maximum(0.0, np.maximum(low, -high))
    steep = half * head.headroom * (1.0 - np.tanh(nearest) ** 2)
    steep = steep * (head.headroom * np.tanh(nearest) < 1.0) * (1.0 + WIDER)
    return Bound(
        tuple(np.maximum(ends[0] - wider, limits[0]).tolist()),
        tuple(np.minimum(ends[1] + wider, limits[1]).tolist()),
        None if slope is None else tuple((steep * slope).tolist()),
        None if reading is None else tuple((steep * reading).tolist()),
    )


def _read(spec: PolicySpec, y: Values) -> Values:
    low, high = np.array(spec.head.low), np.array(spec.head.high)
    share = np.clip(spec.head.headroom * np.tanh(y), -1.0, 1.0)
    return (high + low) / 2 + (high - low) / 2 * share


def _slope(
    cell: Flow, layers: list[Flowing], weight: Values, least_interval: float, step: bool = False
) -> Values:
    """Largest |y'| of the read-outs ``x @ weight``: by the flow alone, or with a step after it."""
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
        if step:
            speed, pull = speed + 2.0 * r * radius, pull + fast
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
