"""What is around the vehicle, fence and obstacles: lowers the target before the limiter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from lnn_ros.guard.fence import Fence
from lnn_ros.guard.limits import Four, Limits
from lnn_ros.guard.obstacles import ObstacleStop, Three
from lnn_ros.guard.parameters import GuardParameters
from lnn_ros.guard.stopping import Stopping

_NS = 1e-9
_SAME = 1e-9


class Surroundings:
    """Fence and obstacle stop as one.

    Parameters
    ----------
    parameters : GuardParameters

    Attributes
    ----------
    fence : Fence
    obstacles : ObstacleStop
    """

    def __init__(self, parameters: GuardParameters) -> None:
        self._counts: Counter[str] = Counter()
        self._parameters = parameters
        self.fence = Fence(parameters.fence)
        self.obstacles = ObstacleStop(parameters.obstacles, parameters.sensors)
        self._at_ns = 0

    def set(self, parameters: GuardParameters, limits: Limits, stopping: Stopping) -> None:
        """Change all at once; sensors that are changed cover nothing until they measure again."""
        old = self._parameters
        if (parameters.obstacles, parameters.sensors) != (old.obstacles, old.sensors):
            counts = self.obstacles.counts
            self.obstacles = ObstacleStop(parameters.obstacles, parameters.sensors)
            self.obstacles.counts = counts
        self.fence.parameters = parameters.fence
        self._parameters, self._limits, self._stopping = parameters, limits, stopping

    @property
    def counts(self) -> Counter[str]:
        """Interventions so far."""
        return self._counts + self.obstacles.counts + self.fence.counts

    def reset(self) -> None:
        """Forget points and place."""
        self.fence.reset()
        self.obstacles.reset()

    def move(self, at_ns: int, command: Four) -> None:
        """Reckon the way on which a command was in force."""
        if self._parameters.sensors:
            self.obstacles.move(at_ns, command)

    def lower(
        self, at_ns: int, target: list[float], current: Four
    ) -> tuple[list[float], list[bool]]:
        """Lower a target towards border and obstacles.

        Parameters
        ----------
        at_ns : int
            The instant.
        target : list of 4 float
            What is wished, inside the ceilings.
        current : tuple of 4 float
            What was commanded last.

        Returns
        -------
        list of 4 float
            The target, lowered.
        list of 4 bool
            Axes that have to slow for it, by the braking set.
        """
        if not self._parameters.sensors and not self._parameters.fence.enabled:
            return target, [False] * 4
        self._at_ns = at_ns
        halted = self._safe(current[:3], self._angles(current, current[3]))
        urgent = _differ(halted, current)
        self.obstacles.uncovered = False
        wished: Three = (target[0], target[1], target[2])
        angles = self._angles(target, target[3], current[3])
        fenced = self._fenced(wished, angles)
        safe = self._unobstructed(fenced, angles)
        self._counts["guard.fence"] += _differ(fenced, wished)
        self._counts["guard.fence_blind"] += bool(self.fence.trouble(self._at_ns * _NS))
        self._counts["guard.uncovered"] += self.obstacles.uncovered
        self._counts["guard.obstacle"] += not self.obstacles.uncovered and _differ(safe, fenced)
        if urgent:
            # No faster than would be safe now, until it goes where it is to go: axes do not arrive
            # together, and between two velocities that are safe there may be one that is not.
            safe = _scaled(safe, min(1.0, math.hypot(*halted) / max(math.hypot(*safe), _SAME)))
        if not urgent and not _differ(safe, wished):
            return target, [False] * 4
        slowing = [
            abs(goal) < abs(v) or goal * v < 0.0 for goal, v in zip(safe, current[:3], strict=True)
        ]
        return [*safe, target[3]], [*slowing, False]

    def _angles(self, velocity: Sequence[float], *rates: float) -> list[float]:
        """Return how far the body may turn until it has stopped: half way, all the way, not at all.

        A command stays in the body's frame: where the body turns, so does the way it goes.
        """
        stopping = self._stopping
        time = stopping.delay + math.hypot(*velocity[:3]) / stopping.deceleration
        turns = [min(max(rate * time, -math.pi), math.pi) for rate in dict.fromkeys(rates) if rate]
        return [*[turn / 2 for turn in turns], *turns, 0.0]

    def _fenced(self, velocity: Three, angles: Sequence[float]) -> Three:
        """Return it as the fence lets it be, wherever the body turns, and inside the ceilings."""
        if not self._parameters.fence.enabled:
            return velocity
        now, stopping = self._at_ns * _NS, self._stopping
        if self.fence.clear(math.hypot(*velocity), now, stopping):
            return velocity
        velocity = self.fence.limit(velocity, now, stopping, angles)
        # What has been cut in the fence's axes may be longer in the body's: shorten it as a whole,
        # or the limiter would turn it.
        limits, share = self._limits, 1.0
        for v, low, high in zip(velocity, limits.low[:3], limits.high[:3], strict=True):
            if not low <= v <= high:
                share = min(share, (high if v > 0.0 else low) / v)
        return velocity if share == 1.0 else _scaled(velocity, share)

    def _unobstructed(self, velocity: Three, angles: Sequence[float]) -> Three:
        """Return it as obstacles let it be, wherever the body turns."""
        return self.obstacles.limit(velocity, self._at_ns, self._stopping, angles)

    def _safe(self, velocity: Three, angles: Sequence[float]) -> Three:
        return self._unobstructed(self._fenced(velocity, angles), angles)


def _scaled(velocity: Three, share: float) -> Three:
    return velocity[0] * share, velocity[1] * share, velocity[2] * share


def _differ(a: Sequence[float], b: Sequence[float]) -> bool:
    (x, y, z), (u, v, w) = a[:3], b[:3]
    return abs(x - u) > _SAME or abs(y - v) > _SAME or abs(z - w) > _SAME
