"""The guard's last stage run again: from what the network wanted to the command, to the last bit.

What the limiter was to come to is computed again where the policy decided and nothing lowered it.
What a person wanted, and what fence and obstacles made of it, is taken from the trace: their
topics are not read here.
"""

from __future__ import annotations

from lnn_ros.guard.limiter import Limiter
from lnn_ros.guard.limits import Four, Limits
from lnn_ros.guard.modes import Mode
from lnn_ros.nodes.settings import ControllerSettings
from lnn_ros.timeline.intervals import NS
from lnn_ros.trace import Trace

_REST: Four = (0.0, 0.0, 0.0, 0.0)


class Twin:
    """A limiter that goes through what the live one went through.

    Parameters
    ----------
    ceilings : Limits
        The policy's own.
    settings : ControllerSettings
        Until a trace tells others.
    """

    def __init__(self, ceilings: Limits, settings: ControllerSettings) -> None:
        self._ceilings = ceilings
        self._limiter = Limiter(ceilings)
        self._before: Trace | None = None
        self.set(settings)

    def set(self, settings: ControllerSettings) -> None:
        """Take other parameters."""
        guard = settings.guard
        self._limits = self._ceilings.within(guard.limits.limits())
        self._limiter.set(self._limits, guard.normal.slew(), guard.braking.slew(), settings.period)

    def command(self, trace: Trace, wish: Four | None) -> Four | None:
        """Return the command again; None where what it began from is not in the bag.

        Parameters
        ----------
        trace : Trace
        wish : tuple of 4 float, or None
            What the network wanted, computed again; None if it had no answer, or if that is not
            known.
        """
        before, self._before = self._before, trace
        if trace.stopped:
            self._limiter.stop()
            return _REST
        if not _follows(trace, before):
            # The bag begins in flight, or a trace is lost. Commands after this one can be made.
            self._limiter.carry(trace.command, trace.acceleration)
            return None
        if before is not None and trace.stops != before.stops:
            self._limiter.stop()
        decision, target = trace.decision, trace.decision.target
        if trace.mode is Mode.ENGAGED and wish is not None and not decision.lowered:
            a, b, c, d = self._limits.clamp(wish)
            target = a, b, c, d
        a, b, c, d = self._limiter.step(target, decision.dt, decision.braking)
        return a, b, c, d


def _follows(trace: Trace, before: Trace | None) -> bool:
    """Tell whether a trace is that of the command after another's, or of a guard's very first."""
    first = trace.decision.dt == 0.0  # of all, or since time jumped
    if before is None:
        return first and trace.reset == 0
    if trace.reset != before.reset:
        return first and trace.reset == before.reset + 1
    return trace.decision.dt == (trace.at_ns - before.at_ns) * NS
