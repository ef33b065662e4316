"""The pilot: timeline, network and guard as one object, from stamped samples to a command.

The controller node, the replay of a bag and the closed-loop evaluation all drive this.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.guard.limits import Guard, Limits
from lnn_ros.liquid.checkpoint import Checkpoint, load
from lnn_ros.liquid.engine import Engine
from lnn_ros.timeline.intervals import NS, Intervals


class Pilot:
    """Fly by a policy.

    Parameters
    ----------
    checkpoint : Checkpoint
        The policy.
    limits : Limits, optional
        Ceilings and freshness; by default the policy's own ceilings and 0.5 s.
    """

    def __init__(self, checkpoint: Checkpoint, limits: Limits | None = None) -> None:
        spec = checkpoint.spec
        self._engine = Engine(spec, checkpoint.arrays)
        self._guard = Guard(limits or Limits(spec.head.low, spec.head.high))
        self._shape = spec.encoder.frame_shape
        self._intervals = Intervals(self._shape, spec.first_interval)
        self._card = MappingProxyType(
            {**checkpoint.card, "weights_sha256": checkpoint.weights_digest()}
        )
        self._scratch = self._engine.initial()
        self._state = self._engine.initial()
        self._stamp_ns = 0

    @staticmethod
    def load(path: str | os.PathLike[str], limits: Limits | None = None) -> Pilot:
        """Read a policy file.

        Raises
        ------
        LnnError
            When the file is missing, damaged or no policy.
        """
        return Pilot(load(path), limits)

    @property
    def card(self) -> Mapping[str, Any]:
        """The policy's papers: architecture, streams, camera, training, evaluation, digest."""
        return self._card

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the frames that the network takes."""
        return self._shape

    def reset(self) -> None:
        """Forget everything seen (a new episode, a jump of the clock); the counts stay."""
        self._intervals.reset()
        self._guard.reset()
        self._state[:] = self._engine.initial()
        self._stamp_ns = 0

    def observe(self, stream: str, stamp_ns: int, value: object) -> bool:
        """Take a sample; return False if it was dropped (``counts`` says why).

        Parameters
        ----------
        stream : str
            "camera" or "imu".
        stamp_ns : int
            When it was measured, nanoseconds; in order within a stream, and inertial samples not
            before the newest frame.
        value : ndarray
            camera: uint8, of ``frame_shape``, RGB; imu: float (6,), angular rate (rad/s), then
            specific force (m/s^2), body frame.
        """
        taken, interval = self._intervals.observe(stream, stamp_ns, value)
        if interval is not None:
            self._engine.predict(self._state, interval.dt, self._state)
            self._engine.update(self._state, interval.frame, interval.summary)
            self._stamp_ns = interval.stamp_ns
        return taken

    def _at(self, at_ns: int) -> NDArray[np.float32]:
        """State at an instant, in the scratch copy; before the last update, that of the update."""
        dt = max(0, at_ns - self._stamp_ns) * NS
        self._engine.predict(self._state, dt, self._scratch)
        return self._scratch

    def read(self, at_ns: int) -> NDArray[np.float64]:
        """What the network wants at an instant; changes nothing.

        Parameters
        ----------
        at_ns : int
            Nanoseconds; an instant before the newest frame is answered as of that frame.

        Returns
        -------
        ndarray of float64, shape (4,)
            vx, vy, vz (m/s), yaw rate (rad/s), levelled body frame; zeros before the first frame.
        """
        if not self._stamp_ns:
            return np.zeros(4)
        return self._engine.command(self._at(at_ns))

    def command(self, at_ns: int) -> NDArray[np.float64]:
        """``read`` through the guard: what may be sent to the vehicle.

        Raises
        ------
        LnnError
            When ``at_ns`` is earlier than in the call before.
        """
        return self._guard(at_ns, self.read(at_ns), self.age(at_ns))

    def age(self, at_ns: int) -> dict[str, float | None]:
        """Seconds from each stream's newest sample to ``at_ns``; None before the first."""
        newest = self._intervals.newest()
        return {name: None if s is None else (at_ns - s) * NS for name, s in newest.items()}

    def state(self) -> tuple[int, NDArray[np.float32]]:
        """Stamp of the last update (0 before the first) and a copy of the state then."""
        return self._stamp_ns, self._state.copy()

    def counts(self) -> dict[str, int]:
        """Samples accepted and dropped by reason, and the guard's interventions, so far."""
        return {**self._intervals.counts, **self._guard.counts}

    def neurons(self) -> dict[str, float]:
        """Every neuron's activity at the last update, by name."""
        activity = self._engine.activity(self._state).tolist()
        return dict(zip(self._engine.spec.core.names(), activity, strict=True))
