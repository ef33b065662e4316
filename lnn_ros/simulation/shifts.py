"""Shifts: what is seen, or disturbs, changed by a named effect of a strength.

A shift changes the frame after it is taken (noise, blur, darkness, flicker, glare, dirt), or the
world that is to be seen (fog, autumn, winter), or how the camera is mounted (tilt, field of view),
or what disturbs the flight (wind, gusts, the IMU's bias, the drift of the velocity estimate), or
the world itself (distractors, clutter, stones, the target's range, and whether it is behind), or
who takes the pictures (MuJoCo's renderer). What is random in it is drawn from the flight's seed and
the frame's stamp alone: whoever flies meets the same.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.simulation.camera import CameraGeometry
from lnn_ros.simulation.effects import pictures, surroundings
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.world import World

Frame = NDArray[np.uint8]
Random = np.random.Generator

_FORCE_PER_RATE = 10.0
"""Bias of the accelerometer, m/s^2, beside one of the gyroscope of 1 rad/s: about what low-cost
sensors have of both."""


def _disturbed(**names: float) -> Callable[[Task, float], Task]:
    """Return what sets disturbances of a task to a strength, times a number each."""
    def change(task: Task, strength: float) -> Task:
        values = {name: strength * times for name, times in names.items()}
        return replace(task, disturbances=replace(task.disturbances, **values))
    return change


def _tilt(usual: CameraGeometry, strength: float) -> CameraGeometry:
    return replace(usual, tilt=usual.tilt + math.radians(strength))


def _field_of_view(usual: CameraGeometry, strength: float) -> CameraGeometry:
    return replace(usual, horizontal_fov=math.radians(strength))


Effect = Callable[[Frame, float, Random, Random], Frame]


@dataclass(frozen=True)
class Kind:
    """A family of shifts.

    Attributes
    ----------
    about : str
        What it is, and what its strength means.
    group : str
        Families of one group are alike: who was taught with one knows something of the others.
    low, high : float
        Least and greatest strength.
    usual : float
        Strength at which nothing is shifted.
    frame : callable, optional
        Changes a frame: (frame, strength, what is drawn once a flight, what is drawn a frame).
    world : callable, optional
        Changes the world that is seen: (world, strength).
    geometry : callable, optional
        Changes the camera: (geometry, strength).
    task : callable, optional
        Changes what disturbs the flight, and what it is given: (task, strength).
    scene : callable, optional
        Changes what the world is made from: (task, strength).
    build : callable, optional
        Changes the world itself, for eye and body: (world, task, strength).
    """

    about: str
    group: str
    low: float
    high: float
    usual: float
    frame: Effect | None = None
    world: Callable[[World, float], World] | None = None
    geometry: Callable[[CameraGeometry, float], CameraGeometry] | None = None
    task: Callable[[Task, float], Task] | None = None
    scene: Callable[[Task, float], Task] | None = None
    build: Callable[[World, Task, float], World] | None = None


KINDS: dict[str, Kind] = {
    "noise": Kind("noise of every pixel: standard deviation, white = 1", "picture", 0.0, 2.0, 0.0,
                  frame=pictures.noise),
    "blur": Kind("Gaussian blur: standard deviation, pixels", "picture", 0.05, 20.0, 0.05,
                 frame=pictures.blur),
    "dusk": Kind("darkness: share of the light that is gone", "light", 0.0, 1.0, 0.0,
                 frame=pictures.dusk),
    "flicker": Kind("exposure that errs: standard deviation of its logarithm", "light", 0.0, 3.0,
                    0.0, frame=pictures.flicker),
    "glare": Kind("sun in the lens: greatest share of white laid over", "light", 0.0, 1.0, 0.0,
                  frame=pictures.glare),
    "autumn": Kind("leaves and ground of autumn: share of that colour", "season", 0.0, 1.0, 0.0,
                   world=surroundings.autumn),
    "winter": Kind("snow: share of white on the ground, twice that of the rest", "season", 0.0, 1.0,
                   0.0, world=surroundings.winter),
    "fog": Kind("fog: extinction, 1/m (nominal 0.007 to 0.025)", "air", 1e-3, 10.0, 1e-3,
                world=surroundings.fog),
    "dirt": Kind("blots on the lens: share of the picture covered", "lens", 0.0, 0.95, 0.0,
                 frame=pictures.dirt),
    "tilt": Kind("camera looks down: degrees", "mount", -60.0, 60.0, 0.0, geometry=_tilt),
    "field_of_view": Kind("another lens: horizontal angle, degrees (nominal 90)", "mount", 20.0,
                          160.0, 90.0, geometry=_field_of_view),
    "wind": Kind("wind that stays, as the vehicle's velocity: m/s (nominal 0.5)", "wind", 0.0, 10.0,
                 0.5, task=_disturbed(wind=1.0)),
    "gusts": Kind("gusts: standard deviation, m/s (nominal 0.3)", "wind", 0.0, 10.0, 0.3,
                  task=_disturbed(gust=1.0)),
    "imu_bias": Kind(
        f"bias of the gyroscope: standard deviation, rad/s (nominal 0.003); {_FORCE_PER_RATE:g} "
        "times as many m/s^2 of the accelerometer", "estimate", 0.0, 5.0, 0.003,
        task=_disturbed(gyro_bias=1.0, accelerometer_bias=_FORCE_PER_RATE)),
    "drift": Kind("drift of the velocity that the vehicle believes: m/s (nominal 0.06)", "estimate",
                  0.0, 5.0, 0.06, task=_disturbed(velocity_drift=1.0)),
    "distractors": Kind("more small solids of other colours: how many", "crowd", 0.0, 200.0, 0.0,
                        build=surroundings.distractors),
    "clutter": Kind("more trees, pillars and walls: times the usual number", "crowd", 1.0, 5.0, 1.0,
                    build=surroundings.clutter),
    "stones": Kind("standing stones and stacks of crates in place of trees, pillars and walls: "
                   "share", "obstacles", 0.0, 1.0, 0.0, build=surroundings.stones),
    "range": Kind("the target is farther away, but at least 3 pixels large, and there is as much "
                  "more time: times the usual distance", "place", 1.0, 4.0, 1.0,
                  scene=surroundings.farther, task=surroundings.longer),
    "behind": Kind("the target is behind at the start: degrees off to either side, 30 more or less",
                   "place", 0.0, 180.0, 0.0, build=surroundings.behind),
    "renderer": Kind("MuJoCo's renderer takes the pictures: 1, or ours: 0", "renderer", 0.0, 1.0,
                     0.0),
}


@dataclass(frozen=True)
class Shift:
    """A family at a strength."""

    kind: str
    strength: float

    @staticmethod
    def parse(text: str, task: Task | None = None) -> Shift:
        """Read ``NAME:STRENGTH``, or ``NAME`` alone for the task's standard strength.

        Raises
        ------
        LnnError
            When there is no such family, or the strength is outside of what it can be.
        """
        name, colon, number = text.partition(":")
        if name not in KINDS:
            raise LnnError(f"shift {name!r} found, expected one of {', '.join(KINDS)}")
        kind = KINDS[name]
        if not colon and task is not None:
            number = str(task.shifts.stated.get(name, ""))
        try:
            strength = float(number)
        except ValueError:
            strength = math.nan
        if not kind.low <= strength <= kind.high:
            raise LnnError(
                f"strength of shift {name} is {number!r}, expected a number from {kind.low:g} to "
                f"{kind.high:g} ({kind.about})"
            )
        return Shift(name, strength)

    @property
    def disturbs(self) -> bool:
        """Whether it changes what disturbs the flight, not what is seen."""
        kind = KINDS[self.kind]
        return kind.task is not None and kind.scene is None

    def __str__(self) -> str:
        return f"{self.kind}:{self.strength:g}"

    def frame(self, frame: Frame, seed: int, stamp_ns: int) -> Frame:
        """Return what the camera delivers for a frame; a new array where it changes anything.

        Parameters
        ----------
        frame : ndarray of uint8 (H, W, 3)
        seed : int
            Of the flight: what stays the same in it, as where the lens is dirty.
        stamp_ns : int
            Of the frame: what does not, as noise.
        """
        effect = KINDS[self.kind].frame
        if effect is None:
            return frame
        own = zlib.crc32(self.kind.encode())  # two shifts of one flight know nothing of each other
        lens = np.random.default_rng((seed, own))
        return effect(frame, self.strength, lens, np.random.default_rng((seed, own, stamp_ns)))

    def world(self, world: World) -> World:
        """Return the world as it is to be seen."""
        change = KINDS[self.kind].world
        return world if change is None else change(world, self.strength)

    def geometry(self, usual: CameraGeometry) -> CameraGeometry:
        """Return the camera, the same if it is no matter of the camera."""
        change = KINDS[self.kind].geometry
        return usual if change is None else change(usual, self.strength)

    def task(self, task: Task) -> Task:
        """Return the task with what disturbs the flight; worlds made of it stay the same."""
        change = KINDS[self.kind].task
        return task if change is None else change(task, self.strength)

    def scene(self, task: Task) -> Task:
        """Return the task of which the world is to be made."""
        change = KINDS[self.kind].scene
        return task if change is None else change(task, self.strength)

    def build(self, world: World, task: Task) -> World:
        """Return the world as it is to be flown in."""
        change = KINDS[self.kind].build
        return world if change is None else change(world, task, self.strength)

    @property
    def renderer(self) -> bool:
        """Whether another renderer takes the pictures."""
        return self.kind == "renderer" and self.strength > 0.0
