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

from lnn_ros.errors import LnnError
from lnn_ros.guard.chain import Guard
from lnn_ros.guard.limits import Limits
from lnn_ros.liquid.checkpoint import Checkpoint, load
from lnn_ros.liquid.engine import Engine
from lnn_ros.timeline.intervals import NS
from lnn_ros.timeline.samples import Verdict
from lnn_ros.timeline.timeline import HORIZON_S, OutOfHistory, Timeline

_OLDEST_S = 60.0  # as limits.max_age may be


def ceilings(checkpoint: Checkpoint) -> Limits:
    """Return what a policy was trained to stay inside, for a guard whose parameters narrow it.

    How old a stream may be is then up to them alone.
    """
    head = checkpoint.spec.head
    return Limits(head.low, head.high, _OLDEST_S)


class Pilot:
    """Fly by a policy.

    Parameters
    ----------
    checkpoint : Checkpoint
        The policy.
    limits : Limits, optional
        Ceilings and freshness; by default the policy's own ceilings and 0.5 s.
    horizon_s : float
        How late a sample may be, by the newest stamp, and still count.
    guard : Guard, optional
        Instead of one that knows only ``limits`` and is engaged from the start. Who hands one over
        keeps it: modes, sensors and vehicle are told to it, not to the pilot.

    Attributes
    ----------
    wish : ndarray or None
        What the network wanted when a command was last asked for; None if it had no answer.
    unlike : float or None
        ``novelty`` at that instant.
    says_novelty : bool
        Whether the policy's file has the statistics that ``novelty`` needs.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        limits: Limits | None = None,
        horizon_s: float = HORIZON_S,
        guard: Guard | None = None,
    ) -> None:
        spec = checkpoint.spec
        self._engine = Engine(spec, checkpoint.arrays)
        self._guard = guard or Guard(limits or Limits(spec.head.low, spec.head.high))
        self._shape = spec.encoder.frame_shape
        self._judge = checkpoint.novelty
        self._timeline = Timeline(
            self._engine, self._shape, spec.first_interval, horizon_s, self._judge
        )
        self.says_novelty = self._judge is not None
        self._core = spec.core, {k: a for k, a in checkpoint.arrays.items() if k[:7] == "wiring."}
        self._unanswered = 0
        self.wish: NDArray[np.float64] | None = None
        self.unlike: float | None = None
        self._card = MappingProxyType(
            {**checkpoint.card, "weights_sha256": checkpoint.weights_digest()}
        )

    @staticmethod
    def load(path: str | os.PathLike[str], limits: Limits | None = None) -> Pilot:
        """Read a policy file.

        Raises
        ------
        LnnError
            When the file is missing, damaged or no policy.
        """
        return Pilot(load(path), limits)

    def inherit(self, flying: Pilot) -> None:
        """Become one that would fly on by this policy, from the samples that another one has.

        Of a core of the same architecture and wiring, as of a policy that was fine-tuned, the state
        at the beginning of the history is carried over; any other begins there as one that has seen
        nothing. From there on it integrates the samples itself, once somebody asks: at the cost of
        one replay of the history. The guard is shared; until this one takes over, both have to be
        given what comes. Nothing is changed of the other.

        Parameters
        ----------
        flying : Pilot

        Raises
        ------
        LnnError
            When this policy looks with another camera: then a reset has to come first.
        """
        for name, ours, theirs in (("frames of", flying.frame_shape, self.frame_shape),
                                   ("a camera of", flying.card["camera"], self.card["camera"])):
            if ours != theirs:
                raise LnnError(f"policy {self.card['name']}: {name} {theirs} found, expected "
                               f"{ours}, as of the policy that flies: load it by a reset")
        core, masks = flying._core
        carry = core == self._core[0] and all(
            np.array_equal(mask, self._core[1][name]) for name, mask in masks.items())
        self._timeline = flying._timeline.heir(self._engine, self._judge, carry)
        self._guard, self._unanswered = flying._guard, flying._unanswered

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
        self._timeline.reset()
        self._guard.reset()

    def observe(
        self, stream: str, stamp_ns: int, value: object, now_ns: int | None = None
    ) -> Verdict:
        """Take a sample, or drop it; what it returns is false then, and says why.

        Samples may come in any order: see ``timeline.timeline``.

        Parameters
        ----------
        stream : str
            "camera" or "imu".
        stamp_ns : int
            When it was measured, nanoseconds.
        value : ndarray
            camera: uint8, of ``frame_shape``, RGB; imu: float (6,), angular rate (rad/s), then
            specific force (m/s^2), body frame. It is copied.
        now_ns : int, optional
            The receiver's clock: a stamp more than 0.5 s ahead of it is refused.
        """
        return self._timeline.observe(stream, stamp_ns, value, now_ns)

    def read(self, at_ns: int) -> NDArray[np.float64]:
        """What the network wants at an instant; changes nothing.

        Parameters
        ----------
        at_ns : int
            Nanoseconds, inside ``span()``.

        Returns
        -------
        ndarray of float64, shape (4,)
            vx, vy, vz (m/s), yaw rate (rad/s), levelled body frame; zeros before the first frame.

        Raises
        ------
        OutOfHistory
            When the instant is outside of ``span()``.
        """
        state = self._timeline.read(at_ns)
        return np.zeros(4) if state is None else self._engine.command(state)

    def command(
        self,
        at_ns: int,
        silences: Mapping[str, float | None] | None = None,
        now: float | None = None,
    ) -> NDArray[np.float64]:
        """``read`` through the guard: what may be sent to the vehicle.

        Outside of the history the guard gets no answer, which is counted.

        Parameters
        ----------
        at_ns : int
            Nanoseconds.
        silences, now : optional
            What a steady clock says, for the guard: ``guard.chain.Guard``.

        Raises
        ------
        LnnError
            When ``at_ns`` is earlier than in the call before.
        """
        try:
            self.wish, self.unlike = self.read(at_ns), self.novelty(at_ns)
        except OutOfHistory:
            self.wish = self.unlike = None
            self._unanswered += 1
        self._guard.novelty(self.unlike)
        return self._guard(at_ns, self.wish, self.age(at_ns), silences, now)

    def novelty(self, at_ns: int) -> float | None:
        """How unlike training the frames up to an instant are; changes nothing.

        About 0 is as usual; 1 is what flights like those of the training reach at most once in
        many minutes (``liquid.novelty``), filtered over the time between the frames.

        Parameters
        ----------
        at_ns : int
            Nanoseconds, inside ``span()``.

        Returns
        -------
        float or None
            None before the first frame, and where the policy's file has no statistics.

        Raises
        ------
        OutOfHistory
            When the instant is outside of ``span()``.
        """
        return self._timeline.novelty(at_ns)

    def span(self) -> tuple[int, int] | None:
        """First and last instant that ``read`` answers for, ns; None before the first frame."""
        return self._timeline.span()

    def age(self, at_ns: int) -> dict[str, float | None]:
        """Seconds from each stream's newest sample to ``at_ns``; None before the first."""
        newest = self._timeline.newest()
        return {name: None if s is None else (at_ns - s) * NS for name, s in newest.items()}

    def state(self) -> tuple[int, NDArray[np.float32]]:
        """Stamp of the last update (0 before the first) and a copy of the state then."""
        return self._timeline.last()

    def counts(self) -> dict[str, int]:
        """Samples accepted and dropped by reason, and the guard's interventions, so far."""
        out = {"read.out_of_history": self._unanswered} if self._unanswered else {}
        return {**self._timeline.counts, **out, **self._guard.counts}

    def neurons(self) -> dict[str, float]:
        """Every neuron's activity at the last update, by name."""
        activity = self._engine.activity(self.state()[1]).tolist()
        return dict(zip(self._engine.spec.core.names(), activity, strict=True))
