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
from lnn_ros.simulation.scenes import forest
from lnn_ros.simulation.task import ForestScene, Task
from lnn_ros.simulation.world import Material, Role, Shape, Vector, World

Frame = NDArray[np.uint8]
Floats = NDArray[np.float32]
Random = np.random.Generator

_DUSK = (1.15, 1.0, 0.85)
"""Exponents of the light that is left, red to blue: what is left of the day is blue."""
_DIRT = (14.0, 12.0, 9.0)
"""Colour of what sticks to a lens: nearly black, as it stands in its own shadow."""
_GLARE_RADIUS = 0.35
"""Of the bright disc, in picture widths: at this distance its light has fallen to 1 / e."""
_AUTUMN: Vector = (0.78, 0.40, 0.08)
_SNOW: Vector = (0.95, 0.96, 0.98)
_LEAST_PIXELS = 3.0
"""Of the target, at the greatest distance that a shift puts it."""
_BEHIND = 30.0
"""Degrees on either side of straight behind within which a target behind the vehicle is."""
_FORCE_PER_RATE = 10.0
"""Bias of the accelerometer, m/s^2, beside one of the gyroscope of 1 rad/s: about what low-cost
sensors have of both."""


def _levels(values: Floats) -> Frame:
    """Return pixels of numbers in 0 to 255, rounded."""
    return (np.clip(values, 0.0, 255.0) + 0.5).astype(np.uint8)


def noise(frame: Frame, strength: float, lens: Random, at: Random) -> Frame:
    """Add normal noise to every pixel and channel; its standard deviation, white being 1."""
    grain = at.standard_normal(frame.shape, np.float32)
    return _levels(frame + np.float32(255.0 * strength) * grain)


def blur(frame: Frame, strength: float, lens: Random, at: Random) -> Frame:
    """Blur by a Gaussian; its standard deviation in pixels."""
    reach = max(1, math.ceil(3.0 * strength))
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / strength) ** 2)
    kernel /= kernel.sum()
    values = frame.astype(np.float32)
    for axis in (0, 1):
        widths = [(reach, reach) if i == axis else (0, 0) for i in range(3)]
        padded = np.pad(values, widths, mode="edge")
        size = values.shape[axis]
        values = sum(  # type: ignore[assignment]
            np.float32(k) * np.take(padded, range(i, i + size), axis) for i, k in enumerate(kernel)
        )
    return _levels(values)


def dusk(frame: Frame, strength: float, lens: Random, at: Random) -> Frame:
    """Take light away; the share that is gone, of green."""
    left = np.float32(1.0 - strength) ** np.array(_DUSK, np.float32)
    return _levels(frame * left)


def flicker(frame: Frame, strength: float, lens: Random, at: Random) -> Frame:
    """Let the exposure err from frame to frame: standard deviation of its natural logarithm."""
    return _levels(frame * np.float32(np.exp(strength * at.standard_normal())))


def glare(frame: Frame, strength: float, lens: Random, at: Random) -> Frame:
    """Let the sun shine into the lens: a veil, and a disc that outshines; its share of white."""
    height, width = frame.shape[:2]
    x, y = lens.uniform(0.2, 0.8) * width, lens.uniform(0.1, 0.5) * height
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(columns - x, rows - y) / (_GLARE_RADIUS * width)
    veil = np.float32(strength) * (0.5 + 0.5 * np.exp(-away)).astype(np.float32)[..., None]
    return _levels(frame + (255.0 - frame) * veil)


def dirt(frame: Frame, strength: float, lens: Random, at: Random) -> Frame:
    """Cover part of the lens by round blots; the share of the picture that they cover."""
    height, width = frame.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    covered = np.zeros((height, width), bool)
    while covered.mean() < strength:
        x, y, radius = lens.uniform(0, width), lens.uniform(0, height), lens.uniform(0.06, 0.16)
        covered |= np.hypot(columns - x, rows - y) < radius * width
    out = frame.copy()
    out[covered] = _DIRT
    return out


def _fog(world: World, strength: float) -> World:
    return replace(world, light=replace(world.light, fog=min(world.light.fog, 1.0 / strength)))


def _painted(material: Material, paint: Vector, share: float) -> Material:
    def mixed(color: Vector) -> Vector:
        r, g, b = (c + share * (p - c) for c, p in zip(color, paint, strict=True))
        return r, g, b

    return replace(material, color=mixed(material.color), accent=mixed(material.accent))


def _autumn(world: World, strength: float) -> World:
    """Leaves and ground are brown and orange; a road keeps its colours."""
    solids = tuple(replace(s, material=_painted(s.material, _AUTUMN, strength))
                   if s.role is Role.TREE and s.shape is Shape.ELLIPSOID else s
                   for s in world.solids)
    return replace(world, solids=solids, ground=_painted(world.ground, _AUTUMN, strength))


def _winter(world: World, strength: float) -> World:
    """Snow lies on the ground, and half as much on trees, pillars and walls and on a road."""
    lain = {Role.TREE, Role.PILLAR, Role.WALL}
    solids = tuple(replace(s, material=_painted(s.material, _SNOW, strength / 2))
                   if s.role in lain else s for s in world.solids)
    road = world.road and replace(
        world.road, surface=_painted(world.road.surface, _SNOW, strength / 2),
        lines=_painted(world.road.lines, _SNOW, strength / 2))
    return replace(world, solids=solids, ground=_painted(world.ground, _SNOW, strength), road=road)


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


def _forest(task: Task, shift: str) -> ForestScene:
    if not isinstance(task.scene, ForestScene):
        raise LnnError(f"shift {shift} found for task {task.name}, expected a task whose scene is "
                       f"a forest")
    return task.scene


def _farther(task: Task, strength: float) -> Task:
    """Put the target farther away, in a forest that is as much longer."""
    scene, camera = _forest(task, "range"), task.camera
    focal = camera.width / 2 / math.tan(math.radians(camera.field_of_view) / 2)
    target = scene.target
    seen = focal * math.sqrt(target.width * target.height / _LEAST_PIXELS)
    near, far = (min(strength * d, max(d, seen)) for d in target.distance)
    count = strength * scene.obstacles.count[0], strength * scene.obstacles.count[1]
    return replace(task, scene=replace(
        scene, target=replace(target, distance=(near, far)),
        obstacles=replace(scene.obstacles, count=count)))


def _longer(task: Task, strength: float) -> Task:
    """Give as much more time."""
    return replace(task, success=replace(
        task.success, time_limit=max(1.0, strength) * task.success.time_limit))


def _clutter(world: World, task: Task, strength: float) -> World:
    scene = _forest(task, "clutter")
    most = sum(scene.obstacles.count) / 2
    return forest.crowded(world, scene, round((strength - 1.0) * most), 0)


def _distractors(world: World, task: Task, strength: float) -> World:
    return forest.crowded(world, _forest(task, "distractors"), 0, round(strength))


def _stones(world: World, task: Task, strength: float) -> World:
    _forest(task, "stones")
    return forest.stones(world, strength)


def _behind(world: World, task: Task, strength: float) -> World:
    """Turn the vehicle at the start, so that the target is where no frame shows it."""
    _forest(task, "behind")
    rng = np.random.default_rng((world.seed, 0xBE4))
    x, y = (a - b for a, b in zip(world.target.position[:2], world.start[:2], strict=True))
    off = math.radians(strength + rng.uniform(-_BEHIND, _BEHIND))
    yaw = math.atan2(y, x) + (off if rng.random() < 0.5 else -off)
    return replace(world, start_yaw=math.remainder(yaw, 2.0 * math.pi))


Effect = Callable[[Frame, float, Random, Random], Frame]


@dataclass(frozen=True)
class Kind:
    """A family of shifts.

    Attributes
    ----------
    about : str
        What it is, and what its strength means.
    low, high : float
        Least and greatest strength.
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
    renderer : bool
        Whether another renderer takes the pictures.
    """

    about: str
    low: float
    high: float
    frame: Effect | None = None
    world: Callable[[World, float], World] | None = None
    geometry: Callable[[CameraGeometry, float], CameraGeometry] | None = None
    task: Callable[[Task, float], Task] | None = None
    scene: Callable[[Task, float], Task] | None = None
    build: Callable[[World, Task, float], World] | None = None
    renderer: bool = False


KINDS: dict[str, Kind] = {
    "noise": Kind("noise of every pixel: standard deviation, white = 1", 0.0, 2.0, frame=noise),
    "blur": Kind("Gaussian blur: standard deviation, pixels", 0.05, 20.0, frame=blur),
    "dusk": Kind("darkness: share of the light that is gone", 0.0, 1.0, frame=dusk),
    "flicker": Kind("exposure that errs: standard deviation of its logarithm", 0.0, 3.0,
                    frame=flicker),
    "glare": Kind("sun in the lens: greatest share of white laid over", 0.0, 1.0, frame=glare),
    "autumn": Kind("leaves and ground of autumn: share of that colour", 0.0, 1.0, world=_autumn),
    "winter": Kind("snow: share of white on the ground, twice that of the rest", 0.0, 1.0,
                   world=_winter),
    "fog": Kind("fog: extinction, 1/m (nominal 0.007 to 0.025)", 1e-3, 10.0, world=_fog),
    "dirt": Kind("blots on the lens: share of the picture covered", 0.0, 0.95, frame=dirt),
    "tilt": Kind("camera looks down: degrees", -60.0, 60.0, geometry=_tilt),
    "field_of_view": Kind(
        "another lens: horizontal angle, degrees (nominal 90)", 20.0, 160.0, geometry=_field_of_view
    ),
    "wind": Kind("wind that stays, as the vehicle's velocity: m/s (nominal 0.5)", 0.0, 10.0,
                 task=_disturbed(wind=1.0)),
    "gusts": Kind("gusts: standard deviation, m/s (nominal 0.3)", 0.0, 10.0,
                  task=_disturbed(gust=1.0)),
    "imu_bias": Kind(
        f"bias of the gyroscope: standard deviation, rad/s (nominal 0.003); {_FORCE_PER_RATE:g} "
        "times as many m/s^2 of the accelerometer", 0.0, 5.0,
        task=_disturbed(gyro_bias=1.0, accelerometer_bias=_FORCE_PER_RATE)),
    "drift": Kind("drift of the velocity that the vehicle believes: m/s (nominal 0.06)", 0.0, 5.0,
                  task=_disturbed(velocity_drift=1.0)),
    "distractors": Kind("more small solids of other colours: how many", 0.0, 200.0,
                        build=_distractors),
    "clutter": Kind("more trees, pillars and walls: times the usual number", 1.0, 5.0,
                    build=_clutter),
    "stones": Kind("standing stones and stacks of crates, never seen in training, in place of "
                   "trees, pillars and walls: share", 0.0, 1.0, build=_stones),
    "range": Kind("the target is farther away, but at least 3 pixels large, and there is as much "
                  "more time: times the usual distance", 1.0, 4.0, scene=_farther, task=_longer),
    "behind": Kind(f"the target is behind at the start: degrees off, to either side, "
                   f"{_BEHIND:g} more or less", 0.0, 180.0, build=_behind),
    "renderer": Kind("MuJoCo's renderer takes the pictures, in place of ours: 1", 1.0, 1.0,
                     renderer=True),
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
        if not colon and task is not None and task.shifts is not None:
            number = str(getattr(task.shifts, name))
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
        return KINDS[self.kind].renderer
