"""Who says how a run stands: by the task's goal, from where the vehicle really is."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from lnn_ros.errors import LnnError
from lnn_ros.simulation.centreline import Centreline
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.task import ArriveGoal, FollowGoal, LapGoal, Task
from lnn_ros.simulation.world import Road, Vector, World

_LOOK_NS = 100_000_000  # between two looks of who judges whether a target is followed


class Outcome(str, Enum):
    """How a run stands; everything but FLYING is final. What was to be done is ARRIVED."""

    FLYING = "flying"
    ARRIVED = "arrived"
    CONTACT = "contact"
    TIMEOUT = "timeout"
    OFF_ROAD = "off_road"


SUCCESS = Outcome.ARRIVED
"""What the task asks for has been done: the column reached, the lap driven."""
FAILED = (Outcome.CONTACT, Outcome.TIMEOUT, Outcome.OFF_ROAD)


_PLACE_NS = 25_000_000  # between two looks where on the road it is: 2.5 cm at 1 m/s


class Judged(Protocol):
    """What of a vehicle a referee looks at."""

    @property
    def place(self) -> Vector:
        """Its position, metres, world frame."""

    @property
    def speed(self) -> float:
        """Length of its velocity, m/s."""

    @property
    def in_contact(self) -> bool:
        """Whether it touches what it must not."""


class Referee(Protocol):
    """Judges one run, physics step by physics step."""

    def reset(self) -> None:
        """Begin anew."""

    def look(self, now_ns: int, vehicle: Judged) -> Outcome:
        """Say how the run stands at an instant; asked until it is over."""

    def distance(self, place: Vector, now_ns: int) -> float:
        """Metres from a place to where the task ends, as it stands at an instant."""


class Arrival:
    """Judges whether the vehicle reaches the column and stays: contact, arrival, timeout.

    Parameters
    ----------
    world : World
        With the column.
    goal : ArriveGoal
        What counts as there.
    """

    def __init__(self, world: World, goal: ArriveGoal) -> None:
        self._goal = goal
        self._x, self._y, _ = world.target.position
        self._radius = world.target.size[0]
        self._slow_since_ns: int | None = None

    def reset(self) -> None:
        """Begin anew."""
        self._slow_since_ns = None

    def distance(self, place: Vector, now_ns: int) -> float:
        """Horizontal distance to the column's surface."""
        return math.hypot(self._x - place[0], self._y - place[1]) - self._radius

    def look(self, now_ns: int, vehicle: Judged) -> Outcome:
        """Say how the flight stands."""
        goal = self._goal
        if vehicle.in_contact:
            return Outcome.CONTACT
        # The speed is had for less than the distance, and mostly decides.
        if vehicle.speed < goal.speed and self.distance(vehicle.place, now_ns) <= goal.distance:
            if self._slow_since_ns is None:
                self._slow_since_ns = now_ns
            if now_ns - self._slow_since_ns >= goal.hold * 1e9:
                return Outcome.ARRIVED
        else:
            self._slow_since_ns = None
        if now_ns - START_NS >= goal.time_limit * 1e9:
            return Outcome.TIMEOUT
        return Outcome.FLYING


class Lap:
    """Judges whether the vehicle drives once around: contact, leaving the road, lap, timeout.

    The way counts along the centreline and backwards, too; what is cut is not skipped, as the
    vehicle's place on the line is looked for near where it was.

    Parameters
    ----------
    road : Road
        Around which.
    goal : LapGoal
        In which time.
    """

    def __init__(self, road: Road, goal: LapGoal) -> None:
        self._line, self._goal = Centreline(road.points), goal
        self._half = road.width / 2.0
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._along = self._driven = 0.0
        self._next_ns = START_NS

    def distance(self, place: Vector, now_ns: int) -> float:
        """Metres of the lap that are left."""
        return self._line.length - self._driven - self._since(self._line.find(
            *place[:2], near=self._along)[0])

    def look(self, now_ns: int, vehicle: Judged) -> Outcome:
        """Say how the drive stands."""
        if vehicle.in_contact:
            return Outcome.CONTACT
        if now_ns < self._next_ns:
            return Outcome.FLYING
        self._next_ns = now_ns + _PLACE_NS
        along, offset = self._line.find(*vehicle.place[:2], near=self._along)
        self._driven += self._since(along)
        self._along = along
        if abs(offset) > self._half:
            return Outcome.OFF_ROAD
        if self._driven >= self._line.length:
            return Outcome.ARRIVED
        if now_ns - START_NS >= self._goal.time_limit * 1e9:
            return Outcome.TIMEOUT
        return Outcome.FLYING

    def _since(self, along: float) -> float:
        """Metres driven since the last look, backwards negative."""
        return math.remainder(along - self._along, self._line.length)


class Following:
    """Judges whether the vehicle stays near a target with it in view: contact, or at the end.

    Parameters
    ----------
    world : World
        Whose target walks, or stands.
    goal : FollowGoal
        What counts as followed.
    sees : callable
        Says whether the target is in view of the camera now.
    """

    def __init__(self, world: World, goal: FollowGoal, sees: Callable[[], bool]) -> None:
        self._world, self._goal, self._sees = world, goal, sees
        self._looks = self._followed = 0

    def reset(self) -> None:
        """Begin anew."""
        self._looks = self._followed = 0

    @property
    def share(self) -> float:
        """Share of the time after the grace in which the target was followed so far."""
        return self._followed / self._looks if self._looks else 0.0

    def distance(self, place: Vector, now_ns: int) -> float:
        """Horizontal distance to the target's surface."""
        x, y, _ = self._world.target_at((now_ns - START_NS) * 1e-9)
        return math.hypot(x - place[0], y - place[1]) - self._world.target.size[0]

    def look(self, now_ns: int, vehicle: Judged) -> Outcome:
        """Say how the flight stands."""
        goal = self._goal
        if vehicle.in_contact:
            return Outcome.CONTACT
        if now_ns - START_NS >= goal.grace * 1e9 + _LOOK_NS * (self._looks + 1):
            near = self.distance(vehicle.place, now_ns) <= goal.distance
            self._looks += 1
            self._followed += near and self._sees()
        if now_ns - START_NS >= goal.time_limit * 1e9:
            return Outcome.ARRIVED if self.share >= goal.share else Outcome.TIMEOUT
        return Outcome.FLYING


def make_referee(world: World, task: Task, sees: Callable[[], bool]) -> Referee:
    """Return the referee of a task's goal; `sees` says whether the target is in view now.

    Raises
    ------
    LnnError
        When the goal is of another scene.
    """
    if isinstance(task.success, LapGoal):
        if world.road is None:
            raise LnnError(f"task {task.name}: success.kind lap found in a scene without a road, "
                           f"expected scene.kind road")
        return Lap(world.road, task.success)
    if isinstance(task.success, FollowGoal):
        return Following(world, task.success, sees)
    return Arrival(world, task.success)
