"""The controller, with a way to stall its control loop from outside: SIGUSR1.

Python runs a signal's handler in the main thread, between two of its own instructions. A handler
that sleeps is a main thread that does nothing else, the executor and its callbacks with it, while
every other thread goes on: what a callback that never returns would be.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

STALL_S = 2.0
"""For how long it stalls."""


def main() -> int:
    """Run the controller."""
    from lnn_ros.nodes import controller  # as late as its own process would

    signal.signal(signal.SIGUSR1, _stall)
    return controller.main()


def _stall(_number: int, _frame: FrameType | None) -> None:
    time.sleep(STALL_S)


if __name__ == "__main__":
    raise SystemExit(main())
