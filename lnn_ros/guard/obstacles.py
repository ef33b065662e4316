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
_NONE = np.empty((4, 0))
_SLACK = 1e-9
_ROOM = 0.5  # m, that the vehicle may move before it is asked again which points are about it


class _Pose(NamedTuple):
    stamp_ns: int
    x: float
    y: float
    z: float
    yaw: float


class _Near(NamedTuple):
    """Points that are nearer than a horizon.

    Attributes
    ----------
    horizon : float
        m.
    away : ndarray (3, n)
        Where they are, seen from the vehicle, m.
    across : ndarray (n,)
        A motion leads less far towards them than this, per metre: it is no approach.
    rest : ndarray (n,)
        Square of the balls' radius less that of their distance, m^2.
    """

    horizon: float
    away: NDArray[np.float64]
    across: NDArray[np.float64]
    rest: NDArray[np.float64]

    @staticmethod
    def of(away: NDArray[np.float64], horizon: float, reach: float) -> _Near:
        """Return them, in the middle of balls as large as ``reach``."""
        x, y, z = away
        squares = x * x
        squares += y * y
        squares += z * z
        return _Near(horizon, away, _ACROSS * np.sqrt(squares), reach * reach - squares)

    def ways(self, directions: Sequence[Three]) -> list[float]:
        """Return how far one can go in each direction, m; 0 inside a ball that it leads into."""
        ahead = np.array(directions) @ self.away
        root = ahead * ahead
        root += self.rest
        met = ahead > self.across
        met &= root > 0.0
        (found,) = met.ravel().nonzero()
        if not found.size:
            return [math.inf] * len(directions)
        # Few of them: what follows is not worth doing for all.
        way = np.full(ahead.shape, np.inf)
        way.put(found, ahead.take(found) - np.sqrt(root.take(found)))
        return [v if v > 0.0 else 0.0 for v in way.min(axis=1).tolist()]


class Sensor:
    """Where a sensor sits, and what it covers."""

    def __init__(self, parameters: SensorParameters) -> None:
        self.parameters = p = parameters
        self.rotation = Mounting(p.roll, p.pitch, p.yaw).rotation
        self.place = np.array([p.x, p.y, p.z])
        self._columns: list[Three] = [tuple(c) for c in self.rotation.T.tolist()]
        self._aside, self._above = p.width / 2 + _SLACK, p.height / 2 + _SLACK
        self.covered_ns: int | None = None

    def covers(self, direction: Three, planar: bool) -> bool:
        """Return whether a direction, a unit vector in the body frame, is looked at."""
        ux, uy, uz = direction
        (a, b, c), (d, e, f), (g, h, i) = self._columns
        x, y, z = a * ux + b * uy + c * uz, d * ux + e * uy + f * uz, g * ux + h * uy + i * uz
        flat = math.sqrt(x * x + y * y)
        if abs(math.atan2(y, x)) > self._aside and flat > _SLACK:
            return False
        return planar or abs(math.atan2(z, flat)) <= self._above

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
        self.uncovered = False
        self._poses: deque[_Pose] = deque(maxlen=_POSES)
        self._seen: deque[tuple[int, NDArray[np.float64]]] = deque()
        # Of these only what is within a radius about a place, the rest being too far to count: seen
        # from there, in rows x, y, z and squared distance.
        self._about: deque[NDArray[np.float64]] = deque()
        self._place: Three = (0.0, 0.0, 0.0)
        self._radius = 0.0
        self._points = _NONE
        self._squares: tuple[NDArray[np.float64], float] | None = None
        self._close: _Near | None = None
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
        self._squares = None
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
        while self._seen and (at_ns - self._seen[0][0]) * _NS > self.parameters.memory:
            self._seen.popleft()
            # The oldest come first.
            self._points = self._points[:, self._about.popleft().shape[1] :]

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
        self._seen.append((stamp_ns, np.ascontiguousarray((turned + np.array(pose[1:4])).T)))
        self._about.append(self._within(self._seen[-1][1]))
        # Samples may come out of order; the oldest is forgotten first.
        if len(self._seen) > 1 and self._seen[-2][0] > stamp_ns:
            self._seen = deque(sorted(self._seen, key=lambda seen: seen[0]))
            self._about = deque(self._within(points) for _, points in self._seen)
        self._gather()
        sensor.covered_ns = max(stamp_ns, sensor.covered_ns or stamp_ns)
        return True

    def limit(
        self,
        velocity: Three,
        at_ns: int,
        stopping: Stopping,
        angles: Sequence[float] = (0.0,),
    ) -> Three:
        """Return a velocity that is lowered as far as points and uncovered directions want it.

        Climb and sink are lowered by themselves first, so that a drone at its least height which is
        told to sink a little still flies on. Then the whole velocity is made smaller, in its
        direction, until every point and the direction's coverage allow it, wherever the body turns.

        Parameters
        ----------
        velocity : tuple of 3 float
            Levelled body frame, m/s.
        at_ns : int
            The instant that ``move`` was called for.
        stopping : Stopping
            Of the vehicle.
        angles : sequence of float
            How far the body, and the velocity with it, may have turned when it counts, rad.
        """
        if not self.sensors:
            return velocity
        vx, vy, vz = velocity
        if self.parameters.planar:
            vz = 0.0
        speed = math.sqrt(vx * vx + vy * vy + vz * vz)
        ways: list[float] = []
        if self._poses and speed >= _SLACK:
            near = self._near(abs(vz), stopping) if vz else None
            if near is not None:
                way = near.ways([(0.0, 0.0, math.copysign(1.0, vz))])[0]
                vz = math.copysign(min(abs(vz), stopping.ceiling(way)), vz)
                speed = math.sqrt(vx * vx + vy * vy + vz * vz)
            near = self._near(speed, stopping) if speed >= _SLACK else None
            if near is not None:
                direction = vx / speed, vy / speed, vz / speed
                ways = near.ways(_directions(direction, self._poses[-1].yaw, angles))
        slower = self._slowed(speed, ways, (vx, vy, vz), at_ns, stopping, angles)
        if slower < speed:
            scale = slower / speed
            vx, vy, vz = vx * scale, vy * scale, vz * scale
        return vx, vy, velocity[2] if self.parameters.planar else vz

    def _slowed(
        self,
        speed: float,
        ways: Sequence[float],
        velocity: Three,
        at_ns: int,
        stopping: Stopping,
        angles: Sequence[float],
    ) -> float:
        """Return the speed that ways (of each angle, or none) and coverage allow."""
        p, slower = self.parameters, speed
        fresh = [sensor for sensor in self.sensors.values() if sensor.fresh(at_ns)]
        for i, angle in enumerate(angles):
            if ways and ways[i] < math.inf:
                slower = min(slower, stopping.ceiling(ways[i]))
            if slower <= p.uncovered:
                continue
            x, y, z = velocity[0] / speed, velocity[1] / speed, velocity[2] / speed
            if angle:
                c, s = math.cos(angle), math.sin(angle)
                x, y = c * x - s * y, s * x + c * y
            for sensor in fresh:
                if sensor.covers((x, y, z), p.planar):
                    break
            else:
                self.uncovered = True
                slower = p.uncovered
        return slower

    def _near(self, speed: float, stopping: Stopping) -> _Near | None:
        """Return the points that can bound a speed, at least; None where there is none."""
        p = self.parameters
        reach = p.radius + p.margin
        # What is further than where one could stop bounds nothing.
        horizon = reach + stopping.distance(speed)
        if math.dist(self._poses[-1][1:4], self._place) + horizon > self._radius:
            self._place, self._radius = self._poses[-1][1:4], horizon + _ROOM
            self._about = deque(self._within(points) for _, points in self._seen)
            self._gather()
        if not self._points.size:
            return None
        pose, place = self._poses[-1], self._place
        x, y, z = pose.x - place[0], pose.y - place[1], 0.0 if p.planar else pose.z - place[2]
        limit = horizon * horizon - (x * x + y * y + z * z)
        if self._squares is None:
            # Squared distances, but for that of the vehicle from the place.
            squares = np.array((-2.0 * x, -2.0 * y, -2.0 * z, 1.0)) @ self._points
            self._squares, self._close = (squares, float(squares.min())), None
        squares, least = self._squares
        if least >= limit:
            return None
        if self._close is None or self._close.horizon < horizon:
            kept = self._points[:3].take((squares < limit).nonzero()[0], axis=1)
            self._close = _Near.of(kept - np.array(((x,), (y,), (z,))), horizon, reach)
        return self._close

    def _within(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return those of some points that are within the radius, seen from the place."""
        found = np.empty((4, points.shape[1]))
        x, y, z, squares = found
        np.subtract(points, np.array(self._place)[:, None], out=found[:3])
        if self.parameters.planar:
            z[:] = 0.0
        np.multiply(x, x, out=squares)
        squares += y * y
        squares += z * z
        return found.take((squares <= self._radius * self._radius).nonzero()[0], axis=1)

    @property
    def nearest(self) -> float:
        """Free distance to the nearest of all points, m; infinite where there is none."""
        if not self._seen or not self._poses:
            return math.inf
        away = np.concatenate([points for _, points in self._seen], axis=1)
        away -= np.array(self._poses[-1][1:4])[:, None]
        if self.parameters.planar:
            away[2] = 0.0
        squares = (away * away).sum(axis=0)
        return math.sqrt(squares.min()) - self.parameters.radius if squares.size else math.inf

    def uncovering(self, at_ns: int) -> list[str]:
        """Return the names of sensors that cover nothing at an instant, being stale or blind."""
        return [name for name, sensor in self.sensors.items() if not sensor.fresh(at_ns)]

    def _gather(self) -> None:
        self._squares = None
        self._points = np.concatenate(self._about, axis=1) if self._about else _NONE

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


def _directions(direction: Three, yaw: float, angles: Sequence[float]) -> list[Three]:
    """Return a direction of the body in the points' frame, for each angle that it turns by."""
    x, y, z = direction
    found = []
    for angle in angles:
        c, s = math.cos(yaw + angle), math.sin(yaw + angle)
        found.append((c * x - s * y, s * x + c * y, z))
    return found


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
