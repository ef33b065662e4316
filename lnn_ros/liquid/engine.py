"""The running network: a policy in numpy, torch left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.spec import PolicySpec

Float = NDArray[np.float32]


class Engine:
    """A policy that runs: encode, update, predict, read.

    Parameters
    ----------
    spec : PolicySpec
        Architecture.
    arrays : mapping of str to ndarray
        ``spec.parameters()`` as float32 and ``spec.masks()`` as uint8.
    """

    def __init__(self, spec: PolicySpec, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.spec = spec
        self._w = effective(spec, arrays)
        self._low, self._high = np.array(spec.head.low), np.array(spec.head.high)

    def initial(self) -> Float:
        """A new state: nothing seen, nothing moves."""
        return self.spec.core.initial_state().astype(np.float32)

    def update(self, state: Float, frame: NDArray[np.uint8], summary: Float) -> None:
        """Let ``state`` (changed in place, already predicted) meet an interval's observation.

        Parameters
        ----------
        state : ndarray of float32, shape (state_size,)
        frame : ndarray of uint8, shape (height, width, channels)
            The frame that closes the interval.
        summary : ndarray of float32, shape (len(SUMMARY),)
            The interval in physical units.
        """
        state[:] = self.spec.update(NUMPY, self._w, state, frame.astype(np.float32), summary)

    def predict(self, state: Float, dt: float, out: Float) -> None:
        """Write into ``out`` (may be ``state``) the state ``dt`` seconds later.

        Raises
        ------
        LnnError
            When the time is negative or not a number.
        """
        if not dt >= 0.0:
            raise LnnError(f"elapsed time is {dt!r} s, expected zero or more")
        out[:] = self.spec.predict(NUMPY, self._w, state, np.array([dt], np.float32))

    def command(self, state: Float) -> NDArray[np.float64]:
        """Read the command, shape (4,), float64, inside the head's limits."""
        command = self.spec.command(NUMPY, self._w, state).astype(np.float64)
        return np.clip(command, self._low, self._high)

    def activity(self, state: Float) -> Float:
        """All neurons' activities, in the order of ``spec.core.names()``."""
        return self.spec.core.activity(NUMPY, state)


def effective(spec: PolicySpec, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Parameters by name, with the wiring's masks applied: what the maths of a spec takes."""
    masks = {name: arrays[name] for name in spec.masks()}
    allowed = {f"core.{name}": mask for name, mask in spec.core.allowed(masks).items()}
    return {
        name: arrays[name] * allowed[name] if name in allowed else arrays[name]
        for name in spec.parameters()
    }
