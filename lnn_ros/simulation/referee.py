"""Who says how a run stands: by the task's goal, from where the vehicle really is."""

from __future__ import annotations

import math
from enum import Enum
from typing import Protocol

from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.task import ArriveGoal, Task
from lnn_ros.simulation.world import Vector, World


class Outcome(str, Enum):
    """How a run stands; everything but FLYING is final."""

    FLYING = "flying"
    ARRIVED = "arrived"
    CONTACT = "contact"
    TIMEOUT = "timeout"


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

    def distance(self, place: Vector) -> float:
        """Metres from a place to where the task ends."""


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

    def distance(self, place: Vector) -> float:
        """Horizontal distance to the column's surface."""
        return math.hypot(self._x - place[0], self._y - place[1]) - self._radius

    def look(self, now_ns: int, vehicle: Judged) -> Outcome:
        """Say how the flight stands."""
        goal = self._goal
        if vehicle.in_contact:
            return Outcome.CONTACT
        # The speed is had for less than the distance, and mostly decides.
        if vehicle.speed < goal.speed and self.distance(vehicle.place) <= goal.distance:
            if self._slow_since_ns is None:
                self._slow_since_ns = now_ns
            if now_ns - self._slow_since_ns >= goal.hold * 1e9:
                return Outcome.ARRIVED
        else:
            self._slow_since_ns = None
        if now_ns - START_NS >= goal.time_limit * 1e9:
            return Outcome.TIMEOUT
        return Outcome.FLYING


def make_referee(world: World, task: Task) -> Referee:
    """Return the referee of a task's goal."""
    return Arrival(world, task.success)
