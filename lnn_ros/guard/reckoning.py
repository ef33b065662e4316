"""Where the vehicle would be if it did exactly what was commanded.

Points of sensors are kept in that frame. What the vehicle does not do exactly is a matter of the
points' short memory and of the reaction time. Odometry is not needed.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

_NS = 1e-9
_POSES = 1000
_LONG = 2.0  # s, of motion that is remembered for stamps


Pose = tuple[int, float, float, float, float]
"""When and where: stamp, ns; x, y, z, m; yaw, rad. Plain, for one is made at every command."""


class Reckoning:
    """The way so far, and where the vehicle was on it.

    Parameters
    ----------
    planar : bool
        Whether height does not count.

    Attributes
    ----------
    here : Pose
        The newest one.
    planar : bool
        As given.
    """

    def __init__(self, planar: bool) -> None:
        self.planar = planar
        self._poses: deque[Pose] = deque(maxlen=_POSES)
        self.here: Pose = (0, 0.0, 0.0, 0.0, 0.0)

    def move(self, at_ns: int, command: Sequence[float]) -> None:
        """Go on to an instant, a command having been in force.

        Parameters
        ----------
        at_ns : int
            Not before the last one.
        command : sequence of 4 float
            vx, vy, vz, yaw rate.
        """
        poses = self._poses
        if not poses:
            self.here = at_ns, 0.0, 0.0, 0.0, 0.0
            poses.append(self.here)
            return
        then, x, y, z, yaw = self.here
        dt = (at_ns - then) * _NS
        if dt <= 0.0:
            return
        vx, vy, vz, rate = command
        if not self.planar:
            z += vz * dt
        # Along the arc, by its chord: exact but for the third order of the angle.
        middle = yaw + rate * dt / 2
        c, s = math.cos(middle), math.sin(middle)
        x, y, yaw = x + (c * vx - s * vy) * dt, y + (s * vx + c * vy) * dt, yaw + rate * dt
        self.here = at_ns, x, y, z, yaw
        poses.append(self.here)
        while (at_ns - poses[0][0]) * _NS > _LONG and len(poses) > 2:
            poses.popleft()

    def ahead(self, steps: float) -> tuple[float, float, float]:
        """Return where so many more steps like the last one would lead."""
        if len(self._poses) < 2:
            return self.here[1:4]
        _, x, y, z, _ = self.here
        _, a, b, c, _ = self._poses[-2]
        return x + steps * (x - a), y + steps * (y - b), z + steps * (z - c)

    def at(self, stamp_ns: int, least: float, most: float) -> Pose | None:
        """Return where the vehicle was at a stamp, if that is known.

        Parameters
        ----------
        stamp_ns : int
            The stamp.
        least, most : float
            How old it may be against the newest pose, s.
        """
        poses = self._poses
        if not poses:
            return None
        age = (self.here[0] - stamp_ns) * _NS
        if not least <= age <= most:
            return None
        if age <= 0.0:
            return self.here
        i = bisect_left(poses, stamp_ns, key=lambda pose: pose[0])
        if i == 0:
            return poses[0] if poses[0][0] == stamp_ns else None
        before, after = poses[i - 1], poses[i]
        w = (stamp_ns - before[0]) / (after[0] - before[0])
        x, y, z, yaw = (a + w * (b - a) for a, b in zip(before[1:], after[1:], strict=True))
        return stamp_ns, x, y, z, yaw
