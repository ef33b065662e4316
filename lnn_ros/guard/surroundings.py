"""What is around the vehicle, fence and obstacles: lowers the target before the limiter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from lnn_ros.guard.decision import NO_BRAKING, Axes
from lnn_ros.guard.fence import Fence
from lnn_ros.guard.limits import Four, Limits
from lnn_ros.guard.obstacles import ObstacleStop
from lnn_ros.guard.parameters import GuardParameters
from lnn_ros.guard.sensor import Three
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
            self.obstacles = ObstacleStop(parameters.obstacles, parameters.sensors,
                                          self.obstacles.reckoning)
            self.obstacles.counts = counts
        self.fence.set(parameters.fence)
        self._parameters, self._limits, self._stopping = parameters, limits, stopping

    @property
    def counts(self) -> Counter[str]:
        """Interventions so far."""
        return self._counts + self.obstacles.counts + self.fence.counts

    def reset(self) -> None:
        """Forget points and place."""
        self.fence.reset()
        self.obstacles.reset()

    def trouble(self, at_ns: int) -> str:
        """Say why what is around it is a reason not to fly, if it is."""
        fence = self._parameters.fence
        return self.fence.trouble(at_ns * _NS) if fence.enabled and fence.required else ""

    def remarks(self, at_ns: int) -> list[str]:
        """Say what is less than it should be, but no reason not to fly."""
        found = [f"sensor {name} covers nothing" for name in self.obstacles.uncovering(at_ns)]
        trouble = self.fence.trouble(at_ns * _NS)
        return [*found, trouble] if trouble and not self._parameters.fence.required else found

    def move(self, at_ns: int, command: Four) -> None:
        """Reckon the way on which a command was in force."""
        if self._parameters.sensors:
            self.obstacles.move(at_ns, command)

    def lower(
        self, at_ns: int, target: Sequence[float], current: Four
    ) -> tuple[Sequence[float], Axes]:
        """Lower a target towards border and obstacles.

        Parameters
        ----------
        at_ns : int
            The instant.
        target : sequence of 4 float
            What is wished, inside the ceilings.
        current : tuple of 4 float
            What was commanded last.

        Returns
        -------
        sequence of 4 float
            The target, lowered.
        tuple of 4 bool
            Axes that have to slow for it, by the braking set.
        """
        parameters = self._parameters
        if not parameters.sensors and not parameters.fence.enabled:
            return target, NO_BRAKING
        self._at_ns = at_ns
        vx, vy, vz, rate = current
        now: Three = (vx, vy, vz)
        halted = self._safe(now, (rate,))
        urgent = halted is not now and _differ(halted, now)
        self.obstacles.uncovered = False
        x, y, z, turn = target
        wished: Three = (x, y, z)
        safe = self._safe(wished, (turn, rate), count=True)
        if parameters.fence.enabled and self.fence.trouble(at_ns * _NS):
            self._counts["guard.fence_blind"] += 1
        if urgent:
            # No faster than would be safe now, until it goes where it is to go: axes do not arrive
            # together, and between two velocities that are safe there may be one that is not.
            safe = _scaled(safe, min(1.0, math.hypot(*halted) / max(math.hypot(*safe), _SAME)))
        elif safe is wished or not _differ(safe, wished):
            return target, NO_BRAKING
        x, y, z = safe
        slowing = _slows(x, vx), _slows(y, vy), _slows(z, vz), False
        return [x, y, z, turn], slowing

    def _safe(self, velocity: Three, rates: Sequence[float], count: bool = False) -> Three:
        """Return it as fence and obstacles let it be, wherever the body turns.

        Where nothing can be in the way of so small a velocity it is returned as it came.
        """
        vx, vy, vz = velocity
        speed = math.sqrt(vx * vx + vy * vy + vz * vz)
        stopping, fence = self._stopping, self.fence
        inside = not fence.parameters.enabled or fence.clear(speed, self._at_ns * _NS, stopping)
        if inside and self.obstacles.clear(speed, self._at_ns, stopping):
            return velocity
        angles = self._angles(speed, rates)
        fenced = velocity if inside else self._fenced(velocity, angles)
        safe = self.obstacles.limit(fenced, self._at_ns, stopping, angles)
        if count:
            if fenced is not velocity and _differ(fenced, velocity):
                self._counts["guard.fence"] += 1
            if self.obstacles.uncovered:
                self._counts["guard.uncovered"] += 1
            elif _differ(safe, fenced):
                self._counts["guard.obstacle"] += 1
        return safe

    def _angles(self, speed: float, rates: Sequence[float]) -> list[float]:
        """Return how far the body may turn until it has stopped: half way, all the way, not at all.

        A command stays in the body's frame: where the body turns, so does the way it goes.
        """
        time = self._stopping.delay + speed / self._stopping.deceleration
        turns: list[float] = []
        for rate in rates:
            turn = rate * time
            turn = -math.pi if turn < -math.pi else math.pi if turn > math.pi else turn
            if turn and turn not in turns:
                turns.append(turn)
        return [*[turn / 2 for turn in turns], *turns, 0.0]

    def _fenced(self, velocity: Three, angles: Sequence[float]) -> Three:
        """Return it as the fence lets it be, wherever the body turns, and inside the ceilings."""
        velocity = self.fence.limit(velocity, self._at_ns * _NS, self._stopping, angles)
        # What has been cut in the fence's axes may be longer in the body's: shorten it as a whole,
        # or the limiter would turn it.
        low, high, share = self._limits.low, self._limits.high, 1.0
        for i, v in enumerate(velocity):
            if v > high[i]:
                share = min(share, high[i] / v)
            elif v < low[i]:
                share = min(share, low[i] / v)
        return velocity if share == 1.0 else _scaled(velocity, share)


def _scaled(velocity: Three, share: float) -> Three:
    return velocity[0] * share, velocity[1] * share, velocity[2] * share


def _differ(a: Sequence[float], b: Sequence[float]) -> bool:
    (x, y, z), (u, v, w) = a[:3], b[:3]
    return abs(x - u) > _SAME or abs(y - v) > _SAME or abs(z - w) > _SAME


def _slows(goal: float, v: float) -> bool:
    return abs(goal) < abs(v) or goal * v < 0.0
