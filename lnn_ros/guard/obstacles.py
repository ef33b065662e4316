"""Obstacle stop: nothing is flown at faster than the vehicle can stop.

Along the direction of motion, each point stands in the middle of a ball of radius + margin; the way
to the nearest ball bounds the speed (``stopping.Stopping``). A ball that is passed by, or flown
away from, bounds nothing, so a vehicle flies along a wall, and from any place it can back away.
Motion that is nearly across the direction to a point (``_ACROSS``) is no approach: it leads at most
5 % into that ball, and without it nobody could fly along a wall of points at the margin.

Points are kept in a frame of dead reckoning: the one that the vehicle would be in if it did
exactly what was commanded. What it does not do exactly is a matter of the points' short memory and
of the reaction time. Odometry is not needed.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.geometry import Mounting
from lnn_ros.guard.parameters import ObstacleParameters, SensorParameters
from lnn_ros.guard.stopping import Stopping

Three = tuple[float, float, float]
_NS = 1e-9
_POSES = 1000
_LONG = 2.0  # s, of motion that is remembered for stamps
_BIN = math.radians(3.0)  # of direction: of each only the nearest point is kept
_ACROSS = 0.3  # cosine
_NONE = np.empty((0, 3))
_SLACK = 1e-9


class _Pose(NamedTuple):
    stamp_ns: int
    x: float
    y: float
    z: float
    yaw: float


class Sensor:
    """Where a sensor sits, and what it covers."""

    def __init__(self, parameters: SensorParameters) -> None:
        self.parameters = p = parameters
        self.rotation = Mounting(p.roll, p.pitch, p.yaw).rotation
        self.place = np.array([p.x, p.y, p.z])
        self._columns: list[Three] = [tuple(c) for c in self.rotation.T.tolist()]
        self.covered_ns: int | None = None

    def covers(self, direction: Three, planar: bool) -> bool:
        """Return whether a direction, a unit vector in the body frame, is looked at."""
        ux, uy, uz = direction
        x, y, z = (a * ux + b * uy + c * uz for a, b, c in self._columns)
        if abs(math.atan2(y, x)) > self.parameters.width / 2 + _SLACK and math.hypot(x, y) > _SLACK:
            return False
        return planar or abs(math.atan2(z, math.hypot(x, y))) <= self.parameters.height / 2 + _SLACK

    def fresh(self, at_ns: int) -> bool:
        """Return whether the newest measurement still covers anything."""
        if self.covered_ns is None:
            return False
        return abs(at_ns - self.covered_ns) * _NS <= self.parameters.max_age


class ObstacleStop:
    """Lower velocities towards what sensors see, and where they see nothing.

    Parameters
    ----------
    parameters : ObstacleParameters
    sensors : mapping of str to SensorParameters
        None: there is no obstacle stop.

    Attributes
    ----------
    counts : Counter of str
        "guard.<name>_dropped" (a stamp that is too old or ahead) and "guard.<name>_blind" (too few
        usable readings), by sensor.
    uncovered : bool
        Whether ``limit`` has met a direction that nothing covers, since this was last set.
    nearest : float
        Free distance to the nearest point at the last look, m; infinite where there is none.
    """

    def __init__(
        self, parameters: ObstacleParameters, sensors: Mapping[str, SensorParameters]
    ) -> None:
        self.parameters = parameters
        self.sensors = {name: Sensor(p) for name, p in sensors.items()}
        self.counts: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forget all points, and that anything is covered (a jump of the clock)."""
        self.nearest, self.uncovered = math.inf, False
        self._poses: deque[_Pose] = deque(maxlen=_POSES)
        self._seen: deque[tuple[int, NDArray[np.float64]]] = deque()
        self._points = _NONE
        self._around: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        for sensor in self.sensors.values():
            sensor.covered_ns = None

    def move(self, at_ns: int, command: Sequence[float]) -> None:
        """Reckon the way since the last call, on which a command was in force.

        Parameters
        ----------
        at_ns : int
            Not before the last one.
        command : sequence of 4 float
            vx, vy, vz, yaw rate.
        """
        if not self._poses:
            self._poses.append(_Pose(at_ns, 0.0, 0.0, 0.0, 0.0))
            return
        last = self._poses[-1]
        dt = (at_ns - last.stamp_ns) * _NS
        if dt <= 0.0:
            return
        vx, vy, vz, rate = command
        # Along the arc, by its chord: exact but for the third order of the angle.
        middle = last.yaw + rate * dt / 2
        self._around = None
        c, s = math.cos(middle), math.sin(middle)
        self._poses.append(
            _Pose(
                at_ns,
                last.x + (c * vx - s * vy) * dt,
                last.y + (s * vx + c * vy) * dt,
                last.z + vz * dt,
                last.yaw + rate * dt,
            )
        )
        while (at_ns - self._poses[0].stamp_ns) * _NS > _LONG and len(self._poses) > 2:
            self._poses.popleft()
        if self._seen and (at_ns - self._seen[0][0]) * _NS > self.parameters.memory:
            while self._seen and (at_ns - self._seen[0][0]) * _NS > self.parameters.memory:
                self._seen.popleft()
            self._gather()

    def see(
        self,
        name: str,
        stamp_ns: int,
        points: NDArray[np.float64],
        share: float = 1.0,
        tilt: tuple[float, float] = (0.0, 0.0),
    ) -> bool:
        """Take a measurement; return false, and count why, if it does not count.

        Parameters
        ----------
        name : str
            Of the sensor.
        stamp_ns : int
            When it was measured.
        points : ndarray (n, 3)
            Finite, m, in the sensor's frame: see ``points``.
        share : float
            Of readings that were usable.
        tilt : tuple of 2 float
            Roll and pitch of the body against its levelled frame then, rad, where they are known.

        Raises
        ------
        LnnError
            When there is no such sensor.
        """
        if name not in self.sensors:
            raise LnnError(
                f"a measurement of sensor {name!r} has come: expected one of "
                f"{', '.join(self.sensors) or 'none'}"
            )
        sensor = self.sensors[name]
        p, limits = sensor.parameters, self.parameters
        pose = self._pose(stamp_ns, p.max_age)
        if pose is None:
            self.counts[f"guard.{name}_dropped"] += 1
            return False
        if share < p.least_valid or not np.isfinite(points).all():
            self.counts[f"guard.{name}_blind"] += 1
            return False
        points = points[np.abs(points).max(axis=1) <= p.far]  # before anything is squared
        distance = np.sqrt((points * points).sum(axis=1))
        points = points[(distance >= p.near) & (distance <= p.far)]
        body = points @ sensor.rotation.T + sensor.place
        if any(tilt):
            body = body @ Mounting(tilt[0], tilt[1]).rotation.T
        body = body[(body[:, 2] >= limits.lowest) & (body[:, 2] <= limits.highest)]
        if limits.planar:
            body[:, 2] = 0.0
        body = thinned(body)
        c, s = math.cos(pose.yaw), math.sin(pose.yaw)
        turned = body @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
        self._seen.append((stamp_ns, turned + np.array(pose[1:4])))
        # Samples may come out of order; the oldest is forgotten first.
        if len(self._seen) > 1 and self._seen[-2][0] > stamp_ns:
            self._seen = deque(sorted(self._seen, key=lambda seen: seen[0]))
        self._gather()
        sensor.covered_ns = max(stamp_ns, sensor.covered_ns or stamp_ns)
        return True

    def limit(self, velocity: Three, at_ns: int, stopping: Stopping) -> Three:
        """Return a velocity that is lowered as far as points and uncovered directions want it.

        Climb and sink are lowered by themselves first, so that a drone at its least height which is
        told to sink a little still flies on. Then the whole velocity is made smaller, in its
        direction, until every point and the direction's coverage allow it.

        Parameters
        ----------
        velocity : tuple of 3 float
            Levelled body frame, m/s.
        at_ns : int
            The instant that ``move`` was called for.
        stopping : Stopping
            Of the vehicle.
        """
        if not self.sensors:
            return velocity
        vx, vy, vz = velocity
        if self.parameters.planar:
            vz = 0.0
        self.nearest = math.inf
        if len(self._points) and self._poses:
            vx, vy, vz = self._slowed((vx, vy, vz), stopping)
        speed = math.sqrt(vx * vx + vy * vy + vz * vz)
        if speed > self.parameters.uncovered and not self._covered(
            (vx / speed, vy / speed, vz / speed), at_ns
        ):
            self.uncovered = True
            scale = self.parameters.uncovered / speed
            vx, vy, vz = vx * scale, vy * scale, vz * scale
        return vx, vy, velocity[2] if self.parameters.planar else vz

    def _slowed(self, velocity: Three, stopping: Stopping) -> Three:
        pose, p = self._poses[-1], self.parameters
        if self._around is None:
            away = self._points - np.array(pose[1:4])
            if p.planar:
                away[:, 2] = 0.0
            self._around = away, (away * away).sum(axis=1)
        away, squares = self._around
        self.nearest = math.sqrt(float(squares.min())) - p.radius
        vx, vy, vz = velocity
        # What is further than where one could stop bounds nothing.
        horizon = p.radius + p.margin + stopping.distance(math.sqrt(vx * vx + vy * vy + vz * vz))
        near = squares < horizon * horizon
        if not near.any():
            return velocity
        away, squares = away[near], squares[near]
        if vz != 0.0:
            vz = math.copysign(
                min(
                    abs(vz),
                    stopping.ceiling(self._way(away, squares, (0.0, 0.0, math.copysign(1.0, vz)))),
                ),
                vz,
            )
        speed = math.sqrt(vx * vx + vy * vy + vz * vz)
        if speed < _SLACK:
            return vx, vy, vz
        c, s = math.cos(pose.yaw), math.sin(pose.yaw)
        direction = ((c * vx - s * vy) / speed, (s * vx + c * vy) / speed, vz / speed)
        scale = min(1.0, stopping.ceiling(self._way(away, squares, direction)) / speed)
        return vx * scale, vy * scale, vz * scale

    def _way(
        self, away: NDArray[np.float64], squares: NDArray[np.float64], direction: Three
    ) -> float:
        """Return how far one can go in a direction, m; 0 inside a ball that it leads into."""
        ahead = away @ np.array(direction)
        reach = (self.parameters.radius + self.parameters.margin) ** 2
        aside = squares - ahead * ahead
        met = (aside < reach) & (ahead > 0.0) & (ahead * ahead > _ACROSS * _ACROSS * squares)
        if not met.any():
            return math.inf
        return max(0.0, float((ahead[met] - np.sqrt(reach - aside[met])).min()))

    def _covered(self, direction: Three, at_ns: int) -> bool:
        return any(
            sensor.fresh(at_ns) and sensor.covers(direction, self.parameters.planar)
            for sensor in self.sensors.values()
        )

    def uncovering(self, at_ns: int) -> list[str]:
        """Return the names of sensors that cover nothing at an instant, being stale or blind."""
        return [name for name, sensor in self.sensors.items() if not sensor.fresh(at_ns)]

    def _gather(self) -> None:
        self._around = None
        self._points = np.concatenate([p for _, p in self._seen]) if self._seen else _NONE

    def _pose(self, stamp_ns: int, max_age: float) -> _Pose | None:
        """Return where the vehicle was at a stamp, if that is known."""
        poses = self._poses
        if not poses:
            return _Pose(stamp_ns, 0.0, 0.0, 0.0, 0.0)
        newest = poses[-1]
        age = (newest.stamp_ns - stamp_ns) * _NS
        if not -max_age <= age <= max(max_age, self.parameters.memory):
            return None
        if age <= 0.0:
            return newest
        i = bisect_left(poses, stamp_ns, key=lambda pose: pose.stamp_ns)
        if i == 0:
            return poses[0] if poses[0].stamp_ns == stamp_ns else None
        before, after = poses[i - 1], poses[i]
        w = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
        x, y, z, yaw = (a + w * (b - a) for a, b in zip(before[1:], after[1:], strict=True))
        return _Pose(stamp_ns, x, y, z, yaw)


def thinned(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest point of each direction, 3 degrees wide and high.

    What is left out is further away, and in a direction that differs little.
    """
    if len(points) < 2:
        return points
    flat = np.hypot(points[:, 0], points[:, 1])
    azimuth = np.floor(np.arctan2(points[:, 1], points[:, 0]) / _BIN).astype(np.int64)
    elevation = np.floor(np.arctan2(points[:, 2], flat) / _BIN).astype(np.int64)
    order = np.argsort(flat * flat + points[:, 2] ** 2, kind="stable")
    _, first = np.unique((azimuth * 1000 + elevation)[order], return_index=True)
    return points[order[first]]
