"""The pilot that teaches: it knows of the world what its own camera has shown it.

What it wishes can therefore be inferred from the same pictures, by who remembers them for a while:
it goes round what it has seen, not round what stands behind it, and looks for a target that it
has not seen for a while by a fixed rule. What dirt, noise, blur, darkness or fog leave of a frame
is what it sees (``sight``). A target that walks goes on, while it is hidden, as it was last seen to
go. It knows where it really is, and where a corridor leads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.camera import CameraGeometry
from lnn_ros.simulation.expert import Expert, Manner
from lnn_ros.simulation.follower import Follower
from lnn_ros.simulation.interruption import IN_VIEW_PIXELS, Lost
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.shifts import Shift
from lnn_ros.simulation.sight import Sight
from lnn_ros.simulation.simulator import Truth
from lnn_ros.simulation.task import CorridorScene, FollowGoal, Task
from lnn_ros.simulation.walks import Guess
from lnn_ros.simulation.world import Solid, World

KNOWN_PIXELS = 2
"""A solid is on the map once so many pixels have shown it, in one frame."""
MEMORY_S = 5.0
"""For so long after it was last seen the target is where it was."""
PLAN_NS = 300_000_000
"""Least time between two plans, ns."""
SEARCH_YAW_RATE, SEARCH_HEIGHT = 1.4, 1.9
"""Who searches turns to the left at this rate, rad/s, while climbing to this height, m."""
SEARCH_TURN = 2.0 * math.pi
"""It turns all around, rad, and goes on in the direction of the last way: what one tree hides,
another place shows. After three quarters a camera of 90 degrees has looked all around, too, but the
ways then lead round a square, back to where nothing was seen."""
SEARCH_GOES_M, SEARCH_AHEAD_M = 4.0, 9.0
"""Then it goes on for so long a way, as if the target were so far ahead. With this it begins where
the target has been seen before: it went there. Who has seen nothing yet begins with the turn, which
a pupil can tell that has only just begun; to end a way that shows nothing is harder to infer."""
_ASTRAY = 0.8
"""Who looks so far (rad) away from where it meant to go goes where it looks: one way is as good as
another."""
_PATH_M = 6.0
"""Of its last plan the teacher keeps to this much of the way, if a new one is hardly better."""


class Teacher:
    """The teacher in one flight.

    Parameters
    ----------
    world : World
        Where it flies; it knows of it what it has seen.
    geometry : CameraGeometry
        Its camera.
    manner : Manner, optional
        How it flies.
    task : Task, optional
        The task that the world was made for; read by its name by default.
    shifts : sequence of Shift
        Of the flight: what they do to frames.
    """

    def __init__(self, world: World, geometry: CameraGeometry, manner: Manner | None = None,
                 task: Task | None = None, shifts: Sequence[Shift] = ()) -> None:
        self._world, self._manner = world, manner
        self._task = task or Task.load(world.task)
        self._led = isinstance(self._task.scene, CorridorScene)
        self._follows = isinstance(self._task.success, FollowGoal)
        self._sight = Sight(world, geometry, shifts)
        self._target = next(k for k, s in enumerate(world.solids) if s is world.target)
        self._known: set[int] = set()
        self._plan: Expert | Follower | None = None
        self._planned: set[int] = set()
        self._goal: Solid | None = None
        self._believed: Guess | None = None  # where a target that walks is
        self._ahead: Solid | None = None
        self._now_ns = self._planned_ns = 0
        self._seen_ns: int | None = None  # when the target was last seen; None: nobody knows where
        self._blind = True  # no frame has come yet
        self._searches = self._turns = False
        self._done = 0.0  # of the search's way (m) or turn (rad), what the vehicle has done
        self._pose = 0.0, 0.0, 0.0  # of the last look: x, y, yaw

    @property
    def searches(self) -> bool:
        """Whether it does not know where the target is."""
        return self._searches

    @property
    def turns(self) -> bool:
        """Whether it turns to the left to search; nothing else that it does is of one side."""
        return self._searches and self._turns

    def look(self, truth: Truth, lost: Lost | None = None) -> None:
        """Put on the map what the camera shows now; to be called before every command.

        Parameters
        ----------
        truth : Truth
            Where the vehicle is.
        lost : Lost, optional
            What the camera does not show although it is there.
        """
        now = self._now_ns = truth.stamp_ns
        if lost is not Lost.FRAMES:
            self._blind = False
            told = self._sight.told(truth)
            if lost is not Lost.TARGET and told[self._target] >= IN_VIEW_PIXELS:
                self._seen_ns, self._searches = now, False
                self._believe((now - START_NS) * 1e-9)
            told[self._target] = 0.0
            self._known |= set(np.flatnonzero(told >= KNOWN_PIXELS).tolist())
        if self._led:
            self._seen_ns = now
        x, y, yaw = float(truth.position[0]), float(truth.position[1]), truth.yaw
        if self._searches:
            self._search_on(x, y, yaw)
        elif self._seen_ns is None or now - self._seen_ns > MEMORY_S * 1e9:
            self._searches, self._done, self._ahead = True, 0.0, None
            self._turns = self._seen_ns is None
        self._pose = x, y, yaw

    def command(self, truth: Truth) -> NDArray[np.float64]:
        """Say what to do now; see :meth:`Expert.command`. Before the first frame: stand still."""
        if self._blind:
            return np.zeros(4)
        if not self.searches:
            return self._towards(self._world.target, truth)
        if self.turns:
            most = min(0.5, self._task.vehicle.max_climb)
            climb = min(max(0.9 * (SEARCH_HEIGHT - float(truth.position[2])), -most), most)
            turn = min(SEARCH_YAW_RATE, self._task.vehicle.max_yaw_rate)
            return np.array([0.0, 0.0, climb, turn])
        if self._ahead is None or _aside(self._ahead, truth) > _ASTRAY:
            x, y, z = truth.position.tolist()
            place = (x + SEARCH_AHEAD_M * math.cos(truth.yaw),
                     y + SEARCH_AHEAD_M * math.sin(truth.yaw), z)
            self._ahead = replace(self._world.target, position=place)
        return self._towards(self._ahead, truth)

    def _search_on(self, x: float, y: float, yaw: float) -> None:
        """Add what the vehicle has done of the way or of the turn; then the other one begins.

        What it has done counts, not the time: whoever flies, the word is the same until it is
        followed, so that a pupil can infer it from its own motion.
        """
        if self._turns:
            self._done += math.remainder(yaw - self._pose[2], 2.0 * math.pi)
        else:
            self._done += math.hypot(x - self._pose[0], y - self._pose[1])
        if self._done >= (SEARCH_TURN if self._turns else SEARCH_GOES_M):
            self._turns, self._done, self._ahead = not self._turns, 0.0, None

    def _believe(self, at_s: float) -> None:
        """Note where the target is, and how it goes, at an instant at which it is seen."""
        walk = self._world.walk
        if walk is not None:
            self._believed = Guess(at_s, walk.at(at_s), walk.velocity(at_s))
            if isinstance(self._plan, Follower):
                self._plan.expect(self._believed)

    def _towards(self, target: Solid, truth: Truth) -> NDArray[np.float64]:
        """Fly there round what is known, by a new plan if there is more of it."""
        now = truth.stamp_ns
        if (self._plan is None or target is not self._goal
                or (self._known != self._planned and now - self._planned_ns >= PLAN_NS)):
            solids = tuple(self._world.solids[k] for k in sorted(self._known))
            bounds = _with(self._world.bounds, target.position, truth.position.tolist())
            world = replace(self._world, solids=solids, target=target, bounds=bounds)
            if self._follows and target is self._world.target:
                self._plan = Follower(world, self._manner, self._task)
                if self._believed is not None:
                    self._plan.expect(self._believed)
            else:
                old = self._plan if target is self._goal else None
                keep = old.way(truth, _PATH_M) if isinstance(old, Expert) else []
                self._plan = Expert(world, self._manner, self._task, keep)
            self._goal, self._planned, self._planned_ns = target, set(self._known), now
        return self._plan.command(truth)


def _aside(solid: Solid, truth: Truth) -> float:
    """Return the angle (rad) between where the vehicle looks and where a solid is."""
    x, y = (solid.position[axis] - float(truth.position[axis]) for axis in (0, 1))
    return abs(math.remainder(math.atan2(y, x) - truth.yaw, 2.0 * math.pi))


def _with(bounds: Sequence[float], *places: Sequence[float]) -> tuple[float, float, float, float]:
    """Return bounds that hold these places, too."""
    x, y = ([float(place[axis]) for place in places] for axis in (0, 1))
    return (min(bounds[0], *x), max(bounds[1], *x), min(bounds[2], *y), max(bounds[3], *y))
