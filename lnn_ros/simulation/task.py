"""Tasks: what makes a world hard and what counts as success, read from ``config/tasks/*.yaml``."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml

from lnn_ros.errors import LnnError
from lnn_ros.resources import share_path

Range = tuple[float, float]
Place = tuple[float, float, float]


@dataclass(frozen=True)
class CameraTask:
    """Camera that the vehicle carries: size in pixels, horizontal field of view in degrees.

    Where it is in the body frame (m) and how far it looks down (degrees) may be left out.
    """

    width: int
    height: int
    field_of_view: float
    position: Place = (0.12, 0.0, 0.03)
    tilt: float = 0.0


@dataclass(frozen=True)
class DroneVehicle:
    """Quadrotor: body radius (m), command ceilings (m/s, rad/s), height of the first hover (m)."""

    kind = "drone"
    radius: float
    max_speed: float
    max_climb: float
    max_yaw_rate: float
    start_height: Range


@dataclass(frozen=True)
class RoverVehicle:
    """Rover with two driven wheels: radius about it (m), command ceilings (m/s, rad/s), wheels.

    The wheels' radius and distance (m), their friction coefficient on anything, the acceleration
    (m/s^2) with which it follows its command, and each motor's greatest torque (N m).
    """

    kind = "rover"
    radius: float
    max_speed: float
    max_yaw_rate: float
    wheel_radius: float
    track: float
    grip: float
    acceleration: float
    motor_torque: float

    @property
    def max_climb(self) -> float:
        """It stays on the ground, m/s."""
        return 0.0

    @property
    def start_height(self) -> Range:
        """Of its axle, m."""
        return self.wheel_radius, self.wheel_radius


Vehicle = DroneVehicle | RoverVehicle
"""What flies or drives: ``simulation/physics.py``, ``simulation/rover.py``; its ``kind`` names it
in the file."""


@dataclass(frozen=True)
class TargetTask:
    """Target column: diameter, height, distance from the start (m), bearing there (degrees)."""

    width: float
    height: float
    distance: Range
    bearing: Range


@dataclass(frozen=True)
class ObstaclesTask:
    """Obstacles: how many, of which kinds and sizes (m), and how often one blocks the way."""

    count: Range
    tree_share: float
    wall_share: float
    trunk_radius: Range
    tree_height: Range
    crown_radius: Range
    pillar_radius: Range
    pillar_height: Range
    wall_length: Range
    wall_thickness: float
    wall_height: Range
    gap: float
    blocked: float


@dataclass(frozen=True)
class DistractorsTask:
    """Distractors: how many, their half extent (m), and how near to the target they may stand."""

    count: Range
    size: Range
    free_radius: float


@dataclass(frozen=True)
class AreaTask:
    """Populated area around the straight line from start to target, and its clearings (m)."""

    behind: float
    beyond: float
    sideways: float
    free_at_start: float
    free_at_target: float


@dataclass(frozen=True)
class ForestScene:
    """A forest with a column in it: ``simulation/scenes/forest.py``."""

    kind = "forest"
    target: TargetTask
    obstacles: ObstaclesTask
    distractors: DistractorsTask
    area: AreaTask


@dataclass(frozen=True)
class TreesTask:
    """Trees beside the road: how many, their sizes, and the least ground between (m)."""

    count: Range
    trunk_radius: Range
    tree_height: Range
    crown_radius: Range
    gap: float
    beside: Range


@dataclass(frozen=True)
class RoadScene:
    """A closed, winding road: ``simulation/scenes/road.py``.

    Length, width and width of its edge lines (m), how far it swings about a circle (share of the
    radius), its tightest curve (m), and the free ground between two parts of it (m).
    """

    kind = "road"
    length: Range
    width: float
    line_width: float
    winding: Range
    least_radius: float
    apart: float
    trees: TreesTask


@dataclass(frozen=True)
class WalkTask:
    """How a target walks: speed (m/s), times of going and standing (s), length of a leg (m).

    `room` is what its surface keeps free (m), `time` how long it goes until it turns back (s).
    """

    speed: Range
    going: Range
    standing: Range
    leg: Range
    room: float
    time: float


@dataclass(frozen=True)
class ForestWalkScene(ForestScene):
    """A forest whose target walks: ``simulation/scenes/forest_walk.py``."""

    kind = "forest_walk"
    walk: WalkTask


@dataclass(frozen=True)
class ColumnTask:
    """Column at the end of a way: diameter and height (m)."""

    width: float
    height: float


@dataclass(frozen=True)
class CorridorScene:
    """A slalom between two walls, a column at its end (m): ``simulation/scenes/corridor.py``.

    From the start: its length to the column, its free width, and how far walls go on at both ends.
    A row of pillars stands every `spacing` metres, by turns from the left and the right wall, and
    leaves a `gap`; `slit` is between two of a row.
    """

    kind = "corridor"
    target: ColumnTask
    length: Range
    width: Range
    overhang: float
    wall_thickness: float
    wall_height: Range
    spacing: Range
    gap: Range
    slit: float
    pillar_radius: Range
    pillar_height: Range
    free_at_ends: float
    offset: Range
    bearing: Range


Scene = ForestScene | ForestWalkScene | CorridorScene | RoadScene
"""What can be around the vehicle; its ``kind`` names it in the file."""


@dataclass(frozen=True)
class DisturbancesTask:
    """Wind (m/s, s), errors of the vehicle's velocity estimate, and of its IMU (rad/s, m/s^2)."""

    wind: float
    gust: float
    gust_time: float
    velocity_lag: float
    velocity_noise: float
    velocity_drift: float
    velocity_drift_time: float
    gyro_noise: float
    gyro_bias: float
    accelerometer_noise: float
    accelerometer_bias: float


@dataclass(frozen=True)
class ArriveGoal:
    """Be within `distance` (m) of the column, slower than `speed`, for `hold` s, in time."""

    kind = "arrive"
    distance: float
    speed: float
    hold: float
    time_limit: float


@dataclass(frozen=True)
class LapGoal:
    """Drive once around the road, in time (s), the vehicle's middle never beyond its edges."""

    kind = "lap"
    time_limit: float


@dataclass(frozen=True)
class FollowGoal:
    """From `grace` s on, be within `distance` (m) of the target with it in view, a `share` of time.

    It is judged when the `time_limit` (s) is reached.
    """

    kind = "follow"
    distance: float
    share: float
    grace: float
    time_limit: float


Goal = ArriveGoal | FollowGoal | LapGoal
"""What counts as success, judged in ``simulation/referee.py``; ``kind`` names it in the file."""


@dataclass(frozen=True)
class ShiftsTask:
    """Standard strength of each family of shifts: ``simulation/shifts.py`` says what it means.

    None is a family without: it means nothing to the task, as trees in the way on a road do.
    """

    noise: float | None = None
    blur: float | None = None
    dusk: float | None = None
    flicker: float | None = None
    glare: float | None = None
    autumn: float | None = None
    winter: float | None = None
    fog: float | None = None
    dirt: float | None = None
    tilt: float | None = None
    field_of_view: float | None = None
    wind: float | None = None
    gusts: float | None = None
    imu_bias: float | None = None
    drift: float | None = None
    distractors: float | None = None
    clutter: float | None = None
    stones: float | None = None
    range: float | None = None
    behind: float | None = None
    renderer: float | None = None

    @property
    def stated(self) -> dict[str, float]:
        """Strengths by family, of those that have one."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Task:
    """A task as its YAML file states it; standard strengths of shifts may be left out."""

    name: str
    camera: CameraTask
    vehicle: Vehicle
    scene: Scene
    disturbances: DisturbancesTask
    success: Goal
    shifts: ShiftsTask = ShiftsTask()

    @staticmethod
    def load(name: str) -> Task:
        """Read a task.

        Parameters
        ----------
        name : str
            Name of a file in ``config/tasks`` without its ending, or the path of a YAML file.

        Raises
        ------
        LnnError
            When there is no such file, or a key is missing, unknown or out of its domain.
        """
        path = Path(name) if name.endswith((".yaml", ".yml")) else None
        if path is None:
            path = share_path(f"config/tasks/{name}.yaml")
        try:
            with open(path, encoding="utf-8") as file:
                data = yaml.safe_load(file)
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise LnnError(f"task file {path} cannot be read: {reason}") from error
        hints = get_type_hints(Task)
        sections = {f.name for f in dataclasses.fields(Task)} - {"name", "shifts"}
        found = set(data) if isinstance(data, dict) else set()
        if found - {"shifts"} != sections:
            raise LnnError(f"task file {path} must hold exactly the sections "
                           f"{', '.join(sorted(sections))}, and may hold shifts; found "
                           f"{', '.join(sorted(found))}")
        return Task(name=path.stem,
                    **{s: _section(path, s, hints[s], data[s]) for s in found})


def _section(path: Path, section: str, hint: Any, data: Any) -> Any:
    """Build one section's dataclass, every value checked against its type.

    Of several dataclasses the section's ``kind`` says which; of one that has a kind, it is stated,
    too.
    """
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    found = dict(data) if isinstance(data, dict) else {}
    kind = kinds[0]
    if hasattr(kind, "kind"):
        named = {k.kind: k for k in kinds}
        name = found.pop("kind", None)
        if name not in named:
            raise LnnError(f"task file {path}: {section}.kind must be one of "
                           f"{', '.join(sorted(named))}, found {name!r}")
        kind = named[name]
    hints = get_type_hints(kind)
    needed = {f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING}
    if not needed <= set(found) <= set(hints):
        missing, unknown = sorted(needed - set(found)), sorted(set(found) - set(hints))
        raise LnnError(f"task file {path}, section {section}: missing keys {missing}, "
                       f"unknown keys {unknown}")
    values = {}
    for key, value in found.items():
        build = _section if dataclasses.is_dataclass(hints[key]) else _value
        values[key] = build(path, f"{section}.{key}", hints[key], value)
    return kind(**values)


def _value(path: Path, key: str, kind: Any, value: Any) -> float | int | Range | Place:
    """Return one number, range or place, checked."""
    def number(x: Any) -> bool:
        return isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x)

    if kind == Place:
        if isinstance(value, list) and len(value) == 3 and all(map(number, value)):
            return float(value[0]), float(value[1]), float(value[2])
        raise LnnError(f"task file {path}: {key} must be a place [x, y, z], found {value!r}")
    if get_origin(kind) is tuple:
        size = len(get_args(kind))
        if (isinstance(value, list) and len(value) == size and all(map(number, value))
                and value[0] <= value[1]):
            return float(value[0]), float(value[1])
        raise LnnError(f"task file {path}: {key} must be a range [low, high], found {value!r}")
    if kind is int:
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        raise LnnError(f"task file {path}: {key} must be a positive integer, found {value!r}")
    if number(value) and value >= 0:
        return float(value)
    raise LnnError(f"task file {path}: {key} must be a number >= 0, found {value!r}")
