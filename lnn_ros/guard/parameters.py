"""What can be set on the guard: one frozen dataclass per part, flat, with units.

The fields carry what ``lnn_ros.nodes.settings`` wants of a parameter, so that a group here is a
group of ROS parameters there: ``GuardParameters.limits`` becomes ``limits.forward`` and so on. All
count at once, and are validated as a whole.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from lnn_ros.errors import LnnError
from lnn_ros.guard.fields import check, parameter
from lnn_ros.guard.limits import Limits, Slew

FAST = 100.0
"""Ceiling of a ceiling, m/s: no narrower than what the policy may say."""


@dataclass(frozen=True)
class LimitParameters:
    """Ceilings of the command; they narrow what the policy's own ceilings allow."""

    forward: float = parameter(FAST, "Greatest speed forward, m/s.", 0.0, FAST)
    backward: float = parameter(FAST, "Greatest speed backward, m/s.", 0.0, FAST)
    lateral: float = parameter(FAST, "Greatest speed to the left and to the right, m/s.", 0.0, FAST)
    up: float = parameter(FAST, "Greatest climb, m/s.", 0.0, FAST)
    down: float = parameter(FAST, "Greatest sink, m/s.", 0.0, FAST)
    turn: float = parameter(FAST, "Greatest yaw rate, rad/s.", 0.0, FAST)
    max_age: float = parameter(
        0.5,
        "A stream whose newest sample is older than this is stale, s: "
        "by its stamp, and by when it came.",
        0.01,
        60.0,
    )

    def __post_init__(self) -> None:
        check(self, "limits")

    def limits(self) -> Limits:
        """Return them by axis."""
        return Limits(
            (-self.backward, -self.lateral, -self.down, -self.turn),
            (self.forward, self.lateral, self.up, self.turn),
            self.max_age,
        )


@dataclass(frozen=True)
class SlewParameters:
    """How fast the command may change; 0 is no limit."""

    forward: float = parameter(
        0.0, "Greatest acceleration towards forward, m/s^2; 0: any.", 0.0, FAST
    )
    backward: float = parameter(
        0.0, "Towards backward, m/s^2: it also brakes what flies forward; 0: any.", 0.0, FAST
    )
    lateral: float = parameter(0.0, "To the left and to the right, m/s^2; 0: any.", 0.0, FAST)
    up: float = parameter(0.0, "Upwards, m/s^2; 0: any.", 0.0, FAST)
    down: float = parameter(0.0, "Downwards, m/s^2; 0: any.", 0.0, FAST)
    turn: float = parameter(0.0, "Of the yaw rate, rad/s^2; 0: any.", 0.0, FAST)
    jerk_forward: float = parameter(
        0.0, "Greatest change of acceleration forward and backward, m/s^3; 0: any.", 0.0, 1000.0
    )
    jerk_lateral: float = parameter(0.0, "To the left and right, m/s^3; 0: any.", 0.0, 1000.0)
    jerk_vertical: float = parameter(0.0, "Up and down, m/s^3; 0: any.", 0.0, 1000.0)
    jerk_turn: float = parameter(0.0, "Of the yaw rate, rad/s^3; 0: any.", 0.0, 1000.0)

    def __post_init__(self) -> None:
        check(self, "slew")
        for jerk, axes in (
            ("jerk_forward", ("forward", "backward")),
            ("jerk_lateral", ("lateral",)),
            ("jerk_vertical", ("up", "down")),
            ("jerk_turn", ("turn",)),
        ):
            missing = [axis for axis in axes if getattr(self, axis) == 0.0]
            if getattr(self, jerk) and missing:
                raise LnnError(
                    f"slew.{jerk} is {getattr(self, jerk):g} and slew.{missing[0]} is "
                    f"0, any: expected an acceleration wherever there is a jerk"
                )

    def slew(self) -> Slew:
        """Return them by axis, infinite where there is no limit."""
        rise = self.forward, self.lateral, self.up, self.turn
        fall = self.backward, self.lateral, self.down, self.turn
        jerk = self.jerk_forward, self.jerk_lateral, self.jerk_vertical, self.jerk_turn
        by_axis = [tuple(v or math.inf for v in row) for row in (rise, fall, jerk)]
        return Slew(*by_axis)  # type: ignore[arg-type]


@dataclass(frozen=True)
class StoppingParameters:
    """How the vehicle comes to a halt, for obstacles and fence."""

    deceleration: float = parameter(
        1.0, "What the vehicle itself is sure to brake with in any direction, m/s^2.", 0.01, FAST
    )
    reaction: float = parameter(
        0.3,
        "From a measurement to the vehicle's answer to the command, "
        "s: also the least time to contact.",
        0.0,
        5.0,
    )

    def __post_init__(self) -> None:
        check(self, "stopping")


@dataclass(frozen=True)
class ObstacleParameters:
    """How near is too near; it counts where there is a sensor."""

    planar: bool = parameter(False, "For what drives: height does not count.")
    radius: float = parameter(
        0.3, "Of the sphere (planar: circle) about base_link that holds the vehicle, m.", 0.0, 10.0
    )
    margin: float = parameter(0.3, "Free space to keep around it, m.", 0.0, 10.0)
    memory: float = parameter(0.5, "How long a point counts that is not seen again, s.", 0.0, 2.0)
    uncovered: float = parameter(
        0.3, "Greatest speed in a direction that no sensor covers, m/s; 0: none.", 0.0, FAST
    )
    lowest: float = parameter(
        -FAST,
        "What lies lower than this below base_link is no obstacle, m: the ground of what drives.",
        -FAST,
        FAST,
    )
    highest: float = parameter(FAST, "What lies higher than this is no obstacle, m.", -FAST, FAST)

    def __post_init__(self) -> None:
        check(self, "obstacles")
        if self.lowest >= self.highest:
            raise LnnError(
                f"obstacles.lowest is {self.lowest:g} and obstacles.highest "
                f"{self.highest:g}: expected the first to be lower"
            )


@dataclass(frozen=True)
class SensorParameters:
    """Where a sensor of distances sits, and which directions it covers."""

    x: float = parameter(0.0, "Place in base_link, m: forward.", -FAST, FAST)
    y: float = parameter(0.0, "To the left, m.", -FAST, FAST)
    z: float = parameter(0.0, "Up, m.", -FAST, FAST)
    roll: float = parameter(
        0.0,
        "Of the sensor's frame (x where it looks, y left, z up) in base_link, rad.",
        -6.283185,
        6.283185,
    )
    pitch: float = parameter(0.0, "As roll; positive looks down.", -6.283185, 6.283185)
    yaw: float = parameter(0.0, "As roll; positive looks left.", -6.283185, 6.283185)
    width: float = parameter(
        math.pi / 2,
        "Angle that it covers from left to right, rad; 2 pi: all round.",
        0.0,
        2 * math.pi + 1e-6,
    )
    height: float = parameter(
        math.pi / 3, "Angle that it covers from bottom to top, rad.", 0.0, math.pi + 1e-6
    )
    near: float = parameter(
        0.1, "Nearer readings are no obstacle, m: the vehicle's own parts.", 0.0, FAST
    )
    far: float = parameter(20.0, "Farther readings are no obstacle, m.", 0.01, 10_000.0)
    max_age: float = parameter(
        0.5, "When its newest measurement is older, it covers nothing, s.", 0.01, 60.0
    )
    least_valid: float = parameter(
        0.1,
        "Share of readings that must be usable for a measurement "
        "to cover anything: a blinded sensor sees no obstacle.",
        0.0,
        1.0,
    )

    def __post_init__(self) -> None:
        check(self, "sensor")
        if self.near >= self.far:
            raise LnnError(
                f"sensor.near is {self.near:g} and sensor.far {self.far:g}: expected "
                f"the first to be smaller"
            )


@dataclass(frozen=True)
class FenceParameters:
    """A box in the frame of the odometry."""

    enabled: bool = parameter(False, "Whether there is a fence.")
    required: bool = parameter(
        True,
        "Without odometry: true refuses to engage and holds in "
        "flight; false flies on without a fence and says so.",
    )
    x_low: float = parameter(-10.0, "Border, m.", -1e6, 1e6)
    x_high: float = parameter(10.0, "Border, m.", -1e6, 1e6)
    y_low: float = parameter(-10.0, "Border, m.", -1e6, 1e6)
    y_high: float = parameter(10.0, "Border, m.", -1e6, 1e6)
    z_low: float = parameter(0.0, "Least altitude, m.", -1e6, 1e6)
    z_high: float = parameter(5.0, "Greatest altitude, m.", -1e6, 1e6)
    max_age: float = parameter(0.5, "Older odometry is none, s.", 0.01, 60.0)

    def __post_init__(self) -> None:
        check(self, "fence")
        for axis in "xyz":
            low, high = getattr(self, f"{axis}_low"), getattr(self, f"{axis}_high")
            if low >= high:
                raise LnnError(
                    f"fence.{axis}_low is {low:g} and fence.{axis}_high {high:g}: "
                    f"expected the first to be smaller"
                )


@dataclass(frozen=True)
class ModeParameters:
    """What engaging needs, and what ends it."""

    require_airborne: bool = parameter(
        True, "Engage only while the vehicle says that it is airborne (driving)."
    )
    require_velocity_mode: bool = parameter(
        True, "Engage only while the vehicle says that it is in its velocity mode."
    )
    vehicle_max_age: float = parameter(
        2.0, "What the vehicle says is unknown after this long, s.", 0.05, 60.0
    )
    deadman: bool = parameter(False, "The policy flies only while the deadman is held.")
    deadman_max_age: float = parameter(
        0.5, "A deadman that says nothing for this long is not held, s.", 0.05, 10.0
    )
    resume_within: float = parameter(
        2.0,
        "When what was stale comes back within this long, the "
        "policy flies on by itself; later a person engages, s.",
        0.0,
        1e9,
    )

    def __post_init__(self) -> None:
        check(self, "modes")


@dataclass(frozen=True)
class TakeoverParameters:
    """A person commands."""

    timeout: float = parameter(0.5, "No command for this long ends a takeover, s.", 0.05, 10.0)
    auto_resume: bool = parameter(False, "The policy flies on by itself after a takeover.")
    obstacle_stop: bool = parameter(
        True, "Obstacle stop and fence hold for a person, too; the limits always do."
    )

    def __post_init__(self) -> None:
        check(self, "takeover")


@dataclass(frozen=True)
class NoveltyParameters:
    """What it means for a flight that the input is unlike training; 0 is off."""

    slow_above: float = parameter(
        0.0,
        "From this novelty on the policy's ceilings are lowered; 0: never. 1 is what flights like "
        "those of the training do not reach in many minutes.",
        0.0,
        100.0,
    )
    slow_to: float = parameter(
        0.3,
        "Share of the ceilings that is left at hold_above, or at twice slow_above if that is 0.",
        0.01,
        1.0,
    )
    hold_above: float = parameter(
        0.0, "Above this novelty the policy does not fly: hold; 0: never.", 0.0, 100.0
    )

    def __post_init__(self) -> None:
        check(self, "novelty")
        if self.hold_above and self.slow_above >= self.hold_above:
            raise LnnError(
                f"novelty.slow_above is {self.slow_above:g} and novelty.hold_above "
                f"{self.hold_above:g}: expected the first to be smaller"
            )


@dataclass(frozen=True)
class GuardParameters:
    """All of it, validated as a whole.

    Raises
    ------
    LnnError
        When values do not fit each other.
    """

    limits: LimitParameters = field(default_factory=LimitParameters)
    normal: SlewParameters = field(default_factory=SlewParameters)
    braking: SlewParameters = field(default_factory=SlewParameters)
    stopping: StoppingParameters = field(default_factory=StoppingParameters)
    obstacles: ObstacleParameters = field(default_factory=ObstacleParameters)
    sensors: Mapping[str, SensorParameters] = field(default_factory=lambda: MappingProxyType({}))
    fence: FenceParameters = field(default_factory=FenceParameters)
    modes: ModeParameters = field(default_factory=ModeParameters)
    takeover: TakeoverParameters = field(default_factory=TakeoverParameters)
    novelty: NoveltyParameters = field(default_factory=NoveltyParameters)

    def __post_init__(self) -> None:
        for item in dataclasses.fields(SlewParameters):
            normal, braking = getattr(self.normal, item.name), getattr(self.braking, item.name)
            if (braking or math.inf) < (normal or math.inf):
                raise LnnError(
                    f"braking.{item.name} is {braking:g} and normal.{item.name} "
                    f"{normal:g}: expected braking to be at least as strong"
                )
        for name, sensor in self.sensors.items():
            if sensor.max_age > self.obstacles.memory:
                raise LnnError(
                    f"sensors.{name}.max_age is {sensor.max_age:g} and obstacles.memory "
                    f"{self.obstacles.memory:g}: expected the second to be as large, "
                    f"or points are forgotten that still count as seen"
                )
        if not self.sensors and not self.fence.enabled:
            return
        weakest = min(min(self.braking.slew().rise[:3]), min(self.braking.slew().fall[:3]))
        if self.stopping.deceleration > weakest:
            raise LnnError(
                f"stopping.deceleration is {self.stopping.deceleration:g} and the least "
                f"acceleration of braking {weakest:g}: expected the second to be as "
                f"large, or nothing stops in time"
            )


def of_groups(groups: Mapping[str, Any]) -> GuardParameters:
    """Return the parameters that groups of values say, as in a parameter file; no sensors.

    Parameters
    ----------
    groups : mapping of str to anything
        Groups by name; what is no group of the guard, or no field of one, is passed over.

    Raises
    ------
    LnnError
        When a value is impossible, or values do not fit each other.
    """
    found: dict[str, Any] = {}
    for item in dataclasses.fields(GuardParameters):
        said = groups.get(item.name)
        if item.name != "sensors" and isinstance(said, Mapping) and callable(item.default_factory):
            kind = item.default_factory().__class__
            known = {f.name for f in dataclasses.fields(kind)}
            found[item.name] = kind(**{k: v for k, v in said.items() if k in known})
    return GuardParameters(**found)


OFFLINE = GuardParameters(
    modes=ModeParameters(require_airborne=False, require_velocity_mode=False, resume_within=1e9)
)
"""Where nobody is there to engage: evaluation, training flights, replay of a bag."""
