"""Obstacle stop: nothing is flown at faster than the vehicle can stop.

Along the direction of motion, each point stands in the middle of a ball of radius + margin; the way
to the nearest ball bounds the speed (``stopping.Stopping``). A ball that is passed by, or flown
away from, bounds nothing, so a vehicle flies along a wall, and from any place it can back away.
Motion that is nearly across the direction to a point (``nearby.ACROSS``) is no approach: it leads
at most 5 % into that ball, and without it nobody could fly along a wall of points at the margin.

Points are kept in a frame of dead reckoning (``reckoning``), each for a short time (``cloud``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.geometry import Mounting
from lnn_ros.guard.cloud import Cloud
from lnn_ros.guard.parameters import ObstacleParameters, SensorParameters
from lnn_ros.guard.reckoning import Reckoning
from lnn_ros.guard.sensor import Sensor, Three, only
from lnn_ros.guard.stopping import Stopping

_PER_BIN = 1.0 / math.radians(3.0)  # of direction: of each only the nearest point is kept
_HIGH, _WIDE = 64, 124  # bins from nadir to zenith and all round, and one or two to spare
_SLACK = 1e-9


class ObstacleStop:
    """Lower velocities towards what sensors see, and where they see nothing.

    Parameters
    ----------
    parameters : ObstacleParameters
    sensors : mapping of str to SensorParameters
        None: there is no obstacle stop.
    reckoning : Reckoning, optional
        The way so far, of an obstacle stop whose place this one takes.

    Attributes
    ----------
    counts : Counter of str
        "guard.<name>_dropped" (a stamp that is too old or ahead) and "guard.<name>_blind" (too few
        usable readings), by sensor.
    uncovered : bool
        Whether ``limit`` has lowered a velocity because nothing covers where it leads, since this
        was last set.
    reckoning : Reckoning
        The way so far.
    """

    def __init__(
        self,
        parameters: ObstacleParameters,
        sensors: Mapping[str, SensorParameters],
        reckoning: Reckoning | None = None,
    ) -> None:
        self.parameters = parameters
        self.sensors = {name: Sensor(p) for name, p in sensors.items()}
        self._all_round = [s for s in self.sensors.values() if s.all_round(parameters.planar)]
        self.counts: Counter[str] = Counter()
        known = reckoning is not None and reckoning.planar == parameters.planar
        self._begin(reckoning if reckoning and known else Reckoning(parameters.planar))

    def reset(self) -> None:
        """Forget all points, and that anything is covered (a jump of the clock)."""
        self._begin(Reckoning(self.parameters.planar))

    def _begin(self, reckoning: Reckoning) -> None:
        p = self.parameters
        self.uncovered = False
        self.reckoning = reckoning
        self._cloud = Cloud(p.radius + p.margin, p.memory, reckoning)
        for sensor in self.sensors.values():
            sensor.close()

    def move(self, at_ns: int, command: Sequence[float]) -> None:
        """Reckon the way since the last call, on which a command was in force.

        Parameters
        ----------
        at_ns : int
            Not before the last one.
        command : sequence of 4 float
            vx, vy, vz, yaw rate.
        """
        self.reckoning.move(at_ns, command)
        self._cloud.move(at_ns)

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
            Roll and pitch of the body against its levelled frame then, rad, where they are known:
            what the sensor covers is tilted, too.

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
        pose = self.reckoning.at(stamp_ns, -p.max_age, max(p.max_age, limits.memory))
        if pose is None:
            self.counts[f"guard.{name}_dropped"] += 1
            return False
        if share < p.least_valid or not np.isfinite(points).all():
            self.counts[f"guard.{name}_blind"] += 1
            return False
        body = sensor.in_body(points)
        level = Mounting(tilt[0], tilt[1]).rotation if any(tilt) else None
        if level is not None:
            body = level @ body
        body = only(body, (body[2] >= limits.lowest) & (body[2] <= limits.highest))
        if limits.planar:
            body[2] = 0.0
        _, x, y, z, yaw = pose
        c, s = math.cos(yaw), math.sin(yaw)
        turned = np.array(((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0))) @ thinned(body)
        turned += np.array(((x,), (y,), (z,)))
        self._cloud.add(stamp_ns, turned)
        # A stamp that is ahead makes nothing fresh for longer than one that is right.
        sensor.look(min(stamp_ns, self.reckoning.here[0]), level)
        return True

    def clear(self, speed: float, at_ns: int, stopping: Stopping) -> bool:
        """Return whether nothing slower than a speed need be lowered, wherever it leads.

        False says no more than that ``limit`` must look.
        """
        if not self.sensors:
            return True
        if stopping.distance(speed) > self._cloud.free:
            return False
        for sensor in self._all_round:
            if sensor.fresh(at_ns):
                return True
        return speed <= self.parameters.uncovered

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
        p, cloud = self.parameters, self._cloud
        vx, vy, wanted = velocity
        vz = 0.0 if p.planar else wanted
        far = stopping.distance(abs(vz))
        if far > cloud.free:
            way = cloud.way(0.0, math.copysign(1.0, vz), (0.0,), far)
            if way < far:
                vz = math.copysign(min(abs(vz), stopping.ceiling(way)), vz)
        speed = math.sqrt(vx * vx + vy * vy + vz * vz)
        if speed >= _SLACK:
            azimuth, level, rise = math.atan2(vy, vx), math.hypot(vx, vy) / speed, vz / speed
            least, unseen = speed, False
            if speed > p.uncovered and not self._covered(azimuth, level, rise, angles, at_ns):
                least, unseen = p.uncovered, True
            far = stopping.distance(least)
            if far > cloud.free:
                azimuth += self.reckoning.here[4]
                way = cloud.way(level, rise, [azimuth + angle for angle in angles], far)
                if way < far:
                    least, unseen = min(least, stopping.ceiling(way)), False
            self.uncovered |= unseen
            if least < speed:
                share = least / speed
                vx, vy, vz = vx * share, vy * share, vz * share
        return vx, vy, wanted if p.planar else vz

    def uncovering(self, at_ns: int) -> list[str]:
        """Return the names of sensors that cover nothing at an instant, being stale or blind."""
        return [name for name, sensor in self.sensors.items() if not sensor.fresh(at_ns)]

    @property
    def nearest(self) -> float:
        """Free distance to the nearest of all points, m; infinite where there is none."""
        return self._cloud.nearest - self.parameters.radius

    def _covered(
        self, azimuth: float, level: float, rise: float, angles: Sequence[float], at_ns: int
    ) -> bool:
        """Return whether a direction of the body is looked at, however far it has turned."""
        for sensor in self._all_round:
            if sensor.fresh(at_ns):
                return True
        planar = self.parameters.planar
        fresh = [sensor for sensor in self.sensors.values() if sensor.fresh(at_ns)]
        for angle in angles:
            for sensor in fresh:
                if sensor.covers_azimuth(azimuth + angle, level, rise, planar):
                    break
            else:
                return False
        return True


def thinned(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return of points (3, n) the nearest of each direction, 3 degrees wide and high.

    What is left out is further away, and in a direction that differs little.
    """
    x, y, z = points
    level = x * x
    level += y * y
    azimuth = np.floor(np.arctan2(y, x) * _PER_BIN)
    elevation = np.floor(np.arctan2(z, np.sqrt(level)) * _PER_BIN)
    # Of a number that is written several times the last stays: each bin keeps its nearest point.
    bins = ((azimuth + _WIDE / 2) * _HIGH + (elevation + _HIGH / 2)).astype(np.intp)
    level += z * z
    outwards = level.argsort(kind="stable")[::-1]
    nearest = np.empty(_WIDE * _HIGH, np.intp)
    nearest[bins.take(outwards)] = outwards
    return only(points, nearest.take(bins) == np.arange(level.size))
