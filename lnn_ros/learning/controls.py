"""What a policy must be better than: agents that lack something, and simple rules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lnn_ros.guard.chain import Guard
from lnn_ros.guard.limits import Limits
from lnn_ros.learning.rollout import Blind
from lnn_ros.pilot import Pilot
from lnn_ros.timeline.intervals import NS


class Without:
    """A pilot for whom one stream is all zero: black frames, or no motion.

    Parameters
    ----------
    pilot : Pilot
    stream : str
        "camera" or "imu".
    """

    def __init__(self, pilot: Pilot, stream: str) -> None:
        self._pilot, self._stream = pilot, stream

    def observe(
        self,
        stream: str,
        stamp_ns: int,
        value: NDArray[np.generic],
        now_ns: int | None = None,
    ) -> object:
        """Hand the sample on; of the stream that is lacking, only that it came."""
        seen = np.zeros_like(value) if stream == self._stream else value
        return self._pilot.observe(stream, stamp_ns, seen, now_ns)

    def command(self, at_ns: int) -> NDArray[np.float64]:
        """The pilot's command."""
        return self._pilot.command(at_ns)


class Held:
    """A pilot that is read only where its state was updated, not at the instant of the command.

    Its command is held from one update to the next, as of a policy that answers when a sample
    comes. The guard is the same.

    Parameters
    ----------
    pilot : Pilot
        Of whom only the state is used, not the command.
    limits : Limits
        The pilot's own.
    """

    def __init__(self, pilot: Pilot, limits: Limits) -> None:
        self._pilot = pilot
        self._guard = Guard(limits)

    def observe(
        self,
        stream: str,
        stamp_ns: int,
        value: NDArray[np.generic],
        now_ns: int | None = None,
    ) -> object:
        """Hand the sample on."""
        return self._pilot.observe(stream, stamp_ns, value, now_ns)

    def command(self, at_ns: int) -> NDArray[np.float64]:
        """The command of the newest update; zeros before the first frame."""
        updated_ns, _ = self._pilot.state()
        wish = self._pilot.read(updated_ns) if updated_ns else np.zeros(4)
        return self._guard(at_ns, wish, self._pilot.age(at_ns))


class StraightAhead(Blind):
    """Constant speed forward."""

    def __init__(self, speed: float = 1.0) -> None:
        self._command = np.array([speed, 0.0, 0.0, 0.0])

    def command(self, at_ns: int) -> NDArray[np.float64]:
        """Forward."""
        return self._command.copy()


class ColorServo:
    """Turn to the reddest blob, fly to it, stop when it is wide: no memory, sees no obstacle.

    The gains were chosen on validation worlds by hand: what it calls red it sees from the start,
    and at its stopping width it is well inside the distance that counts as arrival.
    """

    SPEED, TURN, REDNESS, STOP = 1.0, 1.2, 1.6, 0.5

    def __init__(self) -> None:
        self._command = np.zeros(4)
        self._stamp_ns = 0

    def observe(
        self,
        stream: str,
        stamp_ns: int,
        value: NDArray[np.generic],
        now_ns: int | None = None,
    ) -> None:
        """Look for the target in a frame."""
        if stream != "camera":
            return
        self._stamp_ns = stamp_ns
        red, green, blue = (value[..., i].astype(np.float64) + 8.0 for i in range(3))
        mask = (red > self.REDNESS * green) & (red > self.REDNESS * blue) & (red > 40)
        columns = mask.sum(axis=0)
        width = value.shape[1]
        if columns.sum() < 2:
            self._command = np.array([0.0, 0.0, 0.0, 0.5])  # search
            return
        middle = float((columns * np.arange(width)).sum() / columns.sum())
        bearing = 1.0 - 2.0 * (middle + 0.5) / width  # 1 at the left edge
        share = float((columns > 1).mean())
        speed = self.SPEED * min(1.0, max(-0.3, 4.0 * (self.STOP - share) / self.STOP))
        self._command = np.array([speed * (1.0 - abs(bearing)), 0.0, 0.0, self.TURN * bearing])

    def command(self, at_ns: int) -> NDArray[np.float64]:
        """The command of the newest frame, if it is fresh."""
        fresh = self._stamp_ns and (at_ns - self._stamp_ns) * NS < 0.5
        return self._command.copy() if fresh else np.zeros(4)
