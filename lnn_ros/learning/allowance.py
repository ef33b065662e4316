"""What a process may take of the computer that it shares with a controller."""

from __future__ import annotations

import os
import resource
import time

from lnn_ros.errors import LnnError


class Allowance:
    """A share of one core, kept by resting.

    Parameters
    ----------
    share : float
        Of one core's time, above 0 and at most 1.

    Raises
    ------
    LnnError
        When it is not.
    """

    def __init__(self, share: float = 1.0) -> None:
        if not 0.0 < share <= 1.0:
            raise LnnError(f"share of a core {share:g} found, expected above 0 and at most 1")
        self._share = share
        self._used, self._since = time.process_time(), time.monotonic()

    def rest(self) -> None:
        """Sleep until what was computed since the last call is no more than the share."""
        used, passed = time.process_time() - self._used, time.monotonic() - self._since
        if used > self._share * passed:
            time.sleep(used / self._share - passed)
        self._used, self._since = time.process_time(), time.monotonic()


def step_back() -> None:
    """Let every other process run first."""
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def bound_memory(megabytes: float) -> None:
    """Let this process hold no more than this, MB; what is beyond raises MemoryError."""
    most = round(megabytes * 1e6)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
