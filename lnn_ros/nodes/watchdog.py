"""A thread that speaks up when the control loop does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Watchdog:
    """Call for help when nobody has fed it for a while; judged by steady time.

    The loop that feeds it may hang in anything that lets other threads run: a service that blocks,
    a message that takes seconds to decode, a disk that does not answer. What stops all threads (a
    stopped process, an extension that keeps the interpreter's lock) is for the vehicle adapter.

    Parameters
    ----------
    patience : float
        Seconds between two feedings after which it barks, and again every so often.
    bark : callable
        Called in the watchdog's own thread.
    """

    def __init__(self, patience: float, bark: Callable[[], None]) -> None:
        self._patience, self._bark = patience, bark
        self._fed_at = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def feed(self) -> float:
        """Say that the loop lives; return for how long it had not, if that was too long, s.

        Also where it has not barked: a process that was stopped as a whole has had no thread that
        could, and the vehicle adapter has stopped the vehicle meanwhile.
        """
        now = time.monotonic()
        hungry = now - self._fed_at
        self._fed_at = now
        return hungry if hungry > self._patience else 0.0

    def end(self) -> None:
        """Watch no more; it does not bark after this has returned."""
        self._ended.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        # A quarter of the patience is soon enough, and cheap: feeding wakes nobody up.
        while not self._ended.wait(self._patience / 4):
            if time.monotonic() - self._fed_at > self._patience:
                self._bark()
