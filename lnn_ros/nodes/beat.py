"""What a node does every so often, by steady time, between the waits of its executor.

An executor calls timers, too; but that takes it longer than to end a wait, and a thread of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Beat:
    """Something that is due once a period; what was missed is not made up for.

    A steady clock does not stand still when the system's clock is set back.

    Parameters
    ----------
    period_s : float
        Seconds from one time to the next.
    action : callable
        What is due, for the first time after a period.
    clock : callable
        Steady time, s.
    """

    def __init__(self, period_s: float, action: Callable[[], object],
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._period, self._action, self._clock = period_s, action, clock
        self.postpone()

    def postpone(self) -> None:
        """Be due in a period from now."""
        self._due = self._clock() + self._period

    def work(self) -> float:
        """Do what is due, if it is; return for how many seconds it is not due after that."""
        now = self._clock()
        if now >= self._due:
            self._due += self._period
            if self._due <= now:
                self.postpone()
            self._action()
        return max(0.0, self._due - self._clock())
