"""A vehicle that does what it is told, late, among points and inside a fence."""

import math

import numpy as np

from lnn_ros.guard.chain import Guard
from lnn_ros.guard.limiter import EXACT
from lnn_ros.guard.limits import Limits
from lnn_ros.guard.modes import Event
from lnn_ros.guard.parameters import (
    FenceParameters,
    GuardParameters,
    ModeParameters,
    ObstacleParameters,
    SensorParameters,
    SlewParameters,
    StoppingParameters,
)

MS = 1_000_000
TOLERANCE = 5 * EXACT
START = 1_000 * MS
FRESH = {"camera": 0.05, "imu": 0.005}
POLICY = Limits((-0.5, -1.0, -0.8, -1.5), (1.6, 1.0, 0.8, 1.5))
NORMAL = SlewParameters(forward=1.0, backward=1.5, lateral=1.0, up=0.8, down=0.8, turn=3.0,
                        jerk_forward=6.0, jerk_lateral=6.0, jerk_vertical=5.0, jerk_turn=30.0)
BRAKING = SlewParameters(forward=2.0, backward=2.5, lateral=2.0, up=1.5, down=1.5, turn=6.0,
                         jerk_forward=20.0, jerk_lateral=20.0, jerk_vertical=15.0, jerk_turn=90.0)
ALONE = ModeParameters(require_airborne=False, require_velocity_mode=False)
EVERYWHERE = SensorParameters(width=2 * math.pi, height=math.pi, near=0.0, far=50.0)
STOPPING = StoppingParameters(deceleration=1.2, reaction=0.3)


def parameters(**changes):
    """Return those of a quadrotor that nobody has to arm."""
    return GuardParameters(**{"normal": NORMAL, "braking": BRAKING, "modes": ALONE,
                              "stopping": STOPPING, **changes})


def engaged(given, at_ns=START):
    """Return a guard that has answered once, with zeros, and is engaged."""
    guard = Guard(POLICY, given, period=0.05)
    guard(at_ns, np.zeros(4), FRESH)
    if given.sensors:
        for name in given.sensors:
            guard.see(name, at_ns, np.empty((0, 3)))
    guard.handle(Event.ENGAGE, "for the test")
    return guard


class Robot:
    """A point that moves by the command of ``lag_s`` ago, and measures what is around it.

    Attributes
    ----------
    place, yaw : ndarray (3,), float
        In the world.
    """

    def __init__(self, guard, world, lag_s=0.1, dt_ns=50 * MS):
        self.guard, self.world, self.dt_ns = guard, np.array(world, float).reshape(-1, 3), dt_ns
        self.place, self.yaw, self.at_ns = np.zeros(3), 0.0, START
        self._late = [np.zeros(4)] * round(lag_s / (dt_ns * 1e-9))
        self.command = np.zeros(4)

    def body(self):
        """The world's points, in the body frame."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return (self.world - self.place) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])

    def clearance(self):
        return float(np.linalg.norm(self.world - self.place, axis=1).min())

    def fly(self, wish, measure=True, locate=False):
        """Go on for one period."""
        if measure:
            for name in self.guard.parameters.sensors:
                self.guard.see(name, self.at_ns, self.body())
        if locate:
            self.guard.locate(self.at_ns, tuple(self.place.tolist()), self.yaw)
        self.at_ns += self.dt_ns
        self.command = self.guard(self.at_ns, np.array(wish, float), FRESH)
        self._late.append(self.command)
        vx, vy, vz, rate = self._late.pop(0)
        dt = self.dt_ns * 1e-9
        c, s = math.cos(self.yaw + rate * dt / 2), math.sin(self.yaw + rate * dt / 2)
        self.place = self.place + np.array([c * vx - s * vy, s * vx + c * vy, vz]) * dt
        self.yaw += rate * dt
        return self.command


def seeing(**changes):
    """Return the parameters of a quadrotor that sees all round."""
    return parameters(sensors={"all": EVERYWHERE}, obstacles=ObstacleParameters(**changes))


def fenced(**changes):
    """Return the parameters of a quadrotor in a box of 4 x 4 x 2 m about the origin."""
    box = {"x_low": -2.0, "x_high": 2.0, "y_low": -2.0, "y_high": 2.0, "z_low": -1.0,
           "z_high": 1.0}
    return parameters(fence=FenceParameters(enabled=True, **{**box, **changes}))


def check_step(before, limiter, dt):
    """Hold a step to the bounds that are in force: the law of the module, from outside."""
    velocity, acceleration = before
    for v, a, new, a_new, bounds in zip(velocity, acceleration, limiter.velocity,
                                        limiter.acceleration, limiter.in_force, strict=True):
        assert math.isfinite(new)
        assert min(bounds.low, v) <= new <= max(bounds.high, v)
        if bounds.free:
            continue
        assert -bounds.fall * dt - TOLERANCE <= new - v <= bounds.rise * dt + TOLERANCE
        # The change of velocity, against what the acceleration before would have made of it.
        if dt > 0.0:
            assert abs((new - v) - a * dt) <= bounds.jerk * dt * dt + TOLERANCE
            assert abs(a_new - a) <= bounds.jerk * dt + math.sqrt(2 * EXACT * bounds.jerk) + 1e-12
        else:
            assert new == v and a_new == a
