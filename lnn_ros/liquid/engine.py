"""The running network in numpy: encoder, core and head with preallocated buffers.

The ``flow`` cell. Every neuron holds its activity ``x`` and latches, at each update, the asymptote
``g`` and the rate ``r`` that the observation asks for:

    predict(dt):  x <- g + (x - g) exp(-r dt)
    update(u, D): g = tanh(W_g z + b_g),  r = r_min (r_max / r_min)^sigmoid(W_r z + b_r)
                  x <- x + (1 - exp(-r D)) (g - x)

``z`` are the sources that the wiring allows: sensory inputs for inter neurons, the updated inter
and the predicted command activities for command neurons, the updated command activities for motor
neurons. ``D`` is the time since the last observation. Predict solves ``x' = r (g - x)`` exactly,
so it is a semigroup: predict(a) then predict(b) is predict(a + b), and predict(0) does nothing.
The gain ``1 - exp(-r D)`` makes forgetting a matter of seconds, not of the number of observations.
The form follows the closed-form liquid cell of Hasani et al., "Closed-form continuous-time neural
networks", Nature Machine Intelligence 4 (2022), with the exponential kept in place of their
sigmoidal approximation, because that one is no function of time (it moves at dt = 0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.encoder import Encoder
from lnn_ros.liquid.spec import CoreSpec, PolicySpec
from lnn_ros.liquid.wiring import LAYERS

Float = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]


def _elapsed(dt: float) -> float:
    if not dt >= 0.0:
        raise LnnError(f"elapsed time is {dt!r} s, expected zero or more")
    return dt


class Core(Protocol):
    """What an engine needs of a core; states are float32 arrays of ``state_shape``."""

    state_shape: tuple[int, ...]

    def names(self) -> list[str]:
        """Names of the activities, in the order of ``activity``."""

    def predict(self, state: Float, dt: float, out: Float) -> None:
        """Write into ``out`` (may be ``state``) the state ``dt`` seconds later."""

    def update(self, state: Float, inputs: Float, elapsed: float) -> None:
        """Let the state meet an observation, ``elapsed`` seconds after the last one."""

    def activity(self, state: Float) -> Float:
        """All neurons' activities; the head reads the last ``read_size`` of them."""


class Flow:
    """The flow cell; the state's rows are activity x, asymptote g and rate r (1/s)."""

    def __init__(self, spec: CoreSpec, arrays: Arrays) -> None:
        self._spec = spec
        self.sizes = spec.layers
        units = sum(self.sizes)
        self.state_shape: tuple[int, ...] = (3, units)
        self._log_min = np.float32(np.log(spec.rate_min))
        self._log_span = np.float32(np.log(spec.rate_max / spec.rate_min))
        edges = np.cumsum([0, *self.sizes])
        self._slices = [slice(a, b) for a, b in pairwise(edges.tolist())]
        self._weights, self._biases = [], []
        for name in LAYERS:
            mask = arrays[f"wiring.{name}"].astype(np.float32)
            gates = [arrays[f"core.{name}.{gate}.weight"] * mask for gate in ("target", "rate")]
            self._weights.append(np.ascontiguousarray(np.concatenate(gates, axis=1), np.float32))
            biases = [arrays[f"core.{name}.{gate}.bias"] for gate in ("target", "rate")]
            self._biases.append(np.concatenate(biases).astype(np.float32))
        self._pre = [np.empty(2 * size, np.float32) for size in self.sizes]
        self._decay = np.empty(units, np.float32)

    def names(self) -> list[str]:
        return [
            f"{n}_{i:02d}" for n, size in zip(LAYERS, self.sizes, strict=True) for i in range(size)
        ]

    def predict(self, state: Float, dt: float, out: Float) -> None:
        decay = self._decay
        np.multiply(state[2], np.float32(-_elapsed(dt)), out=decay)
        np.exp(decay, out=decay)
        np.subtract(state[0], state[1], out=out[0])
        out[0] *= decay
        out[0] += state[1]
        if dt == 0.0:  # g + (x - g) may differ from x in the last bit
            out[0] = state[0]
        if out is not state:
            out[1:] = state[1:]

    def update(self, state: Float, inputs: Float, elapsed: float) -> None:
        duration = np.float32(-_elapsed(elapsed))
        inter, command, _ = self._slices
        joined = slice(inter.start, command.stop)  # inter and command lie side by side
        for i, source in enumerate((inputs, None, command)):
            z = source if isinstance(source, np.ndarray) else state[0, source or joined]
            size, where, pre = self.sizes[i], self._slices[i], self._pre[i]
            np.dot(z, self._weights[i], out=pre)
            pre += self._biases[i]
            x, g, r = state[0, where], state[1, where], state[2, where]
            np.tanh(pre[:size], out=g)
            rate = pre[size:]
            # sigmoid(a) = (1 + tanh(a / 2)) / 2, which cannot overflow
            rate *= np.float32(0.5)
            np.tanh(rate, out=rate)
            rate += np.float32(1.0)
            rate *= np.float32(0.5) * self._log_span
            rate += self._log_min
            np.exp(rate, out=r)
            np.multiply(r, duration, out=rate)
            np.exp(rate, out=rate)
            x -= g
            x *= rate
            x += g

    def activity(self, state: Float) -> Float:
        return state[0]


class Feedforward:
    """A perceptron without memory, the control; its state holds the last hidden activities."""

    def __init__(self, spec: CoreSpec, arrays: Arrays) -> None:
        self.sizes = spec.layers
        self.state_shape: tuple[int, ...] = (1, sum(self.sizes))
        self._weights = [
            np.asarray(arrays[f"core.hidden{i}.weight"], np.float32) for i in range(len(self.sizes))
        ]
        self._biases = [
            np.asarray(arrays[f"core.hidden{i}.bias"], np.float32) for i in range(len(self.sizes))
        ]

    def names(self) -> list[str]:
        return [f"hidden{i}_{j:02d}" for i, size in enumerate(self.sizes) for j in range(size)]

    def predict(self, state: Float, dt: float, out: Float) -> None:
        _elapsed(dt)
        if out is not state:
            out[:] = state

    def update(self, state: Float, inputs: Float, elapsed: float) -> None:
        _elapsed(elapsed)
        z, start = inputs, 0
        for weight, bias, size in zip(self._weights, self._biases, self.sizes, strict=True):
            out = state[0, start : start + size]
            np.dot(z, weight, out=out)
            out += bias
            np.tanh(out, out=out)
            z, start = out, start + size

    def activity(self, state: Float) -> Float:
        return state[0]


CORES: dict[str, Callable[[CoreSpec, Arrays], Core]] = {"flow": Flow, "feedforward": Feedforward}


class Engine:
    """A policy that runs: encode, update, predict, read.

    Parameters
    ----------
    spec : PolicySpec
        Architecture.
    arrays : mapping of str to ndarray
        ``spec.parameters()`` as float32 and ``spec.masks()`` as uint8.
    """

    def __init__(self, spec: PolicySpec, arrays: Arrays) -> None:
        self.spec = spec
        self.encoder = Encoder(spec.encoder, arrays)
        self.core: Core = CORES[spec.core.kind](spec.core, arrays)
        self._scale = np.array(spec.summary_scale, np.float32)
        self._offset = np.array(spec.summary_offset, np.float32)
        self._inputs = np.empty(spec.sensory, np.float32)
        self._read = spec.core.read_size
        self._weight = np.asarray(arrays["head.weight"], np.float32)
        self._bias = np.asarray(arrays["head.bias"], np.float32)
        self._low = np.array(spec.head.low)
        self._high = np.array(spec.head.high)
        self._middle = (self._low + self._high) / 2
        self._span = spec.head.headroom * (self._high - self._low) / 2

    def initial(self) -> Float:
        """A new state: nothing seen, nothing moves."""
        return np.zeros(self.core.state_shape, np.float32)

    def update(self, state: Float, frame: NDArray[np.uint8], summary: Float, dt: float) -> None:
        """Let ``state`` (changed in place, already predicted) meet an interval's observation.

        Parameters
        ----------
        state : ndarray of float32
            As ``initial`` makes it.
        frame : ndarray of uint8, shape (height, width, channels)
            The frame that closes the interval.
        summary : ndarray of float32, shape (len(SUMMARY),)
            The interval in physical units.
        dt : float
            Its length in seconds.
        """
        features = self.encoder(frame)
        self._inputs[: features.size] = features
        rest = self._inputs[features.size :]
        np.multiply(summary, self._scale, out=rest)
        rest += self._offset
        np.clip(rest, -self.spec.summary_limit, self.spec.summary_limit, out=rest)
        self.core.update(state, self._inputs, dt)

    def predict(self, state: Float, dt: float, out: Float) -> None:
        """Write into ``out`` the state ``dt`` seconds later."""
        self.core.predict(state, dt, out)

    def command(self, state: Float) -> NDArray[np.float64]:
        """Read the command, shape (4,), float64, inside the head's limits."""
        read = self.core.activity(state)[-self._read :]
        squashed = np.tanh(np.dot(read, self._weight) + self._bias).astype(np.float64)
        return np.clip(self._middle + self._span * squashed, self._low, self._high)
