"""What can be set on each node: one frozen dataclass per node, of ``parameter_rows``."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from lnn_ros import vehicles
from lnn_ros.errors import LnnError
from lnn_ros.guard.parameters import (
    FenceParameters,
    GuardParameters,
    LimitParameters,
    ModeParameters,
    NoveltyParameters,
    ObstacleParameters,
    SensorParameters,
    SlewParameters,
    StoppingParameters,
    TakeoverParameters,
)
from lnn_ros.nodes.parameter_rows import AT_START, setting
from lnn_ros.timeline.timeline import HORIZON_S, MAX_HORIZON_S

TRANSPORTS = ("raw", "compressed")
"""Ways in which images come."""
STOPS = ("zero", "silence")
"""What the vehicle adapter does when no command comes."""

LOCKSTEP_PERIOD_S = 1.0 / 30.0
"""Between two commands in lock-step: the simulator's."""


def _autostart() -> Any:
    return setting(True, "Configure and activate on start; false leaves it to a lifecycle manager.",
                   when=AT_START, fixed=False)


@dataclass(frozen=True)
class CameraSettings:
    """The controller's camera: what it looks at, and by which clock.

    ``fov_deg`` of 0 is none, because a parameter has no better way to say that.
    """

    info: bool = setting(True, "Take the camera's calibration from the topic camera_info; until "
                         "it comes, fov_deg counts if it is given, or no image is used and "
                         "engaging is refused.")
    fov_deg: float = setting(0.0, "Angle of view across the image's width, degrees, of a camera "
                             "without distortion; 0: not given.", 0.0, 179.0)
    offset_s: float = setting(0.0, "Added to every stamp before anything else, s: the clock of "
                              "this node less the clock of the sensor.", -1e10, 1e10)
    roll: float = setting(0.0, "Of the camera in base_link (x where it looks, y left, z up), rad.",
                          -6.283185, 6.283185)
    pitch: float = setting(0.0, "As roll; positive looks down.", -6.283185, 6.283185)
    yaw: float = setting(0.0, "As roll; positive looks left.", -6.283185, 6.283185)


@dataclass(frozen=True)
class ImuSettings:
    """The controller's IMU: how it is mounted, and its clock."""

    offset_s: float = setting(0.0, "Added to every stamp before anything else, s: the clock of "
                              "this node less the clock of the sensor.", -1e10, 1e10)
    roll: float = setting(0.0, "Of the IMU in base_link, rad: first about x, then y, then z, all "
                          "axes of base_link.", -6.283185, 6.283185)
    pitch: float = setting(0.0, "As roll, about y.", -6.283185, 6.283185)
    yaw: float = setting(0.0, "As roll, about z.", -6.283185, 6.283185)


@dataclass(frozen=True)
class SwapSettings:
    """How another policy takes over in flight, asked for by the service ``~/swap``."""

    tolerance: float = setting(0.25, "How far its wish may be from that of the policy that "
                               "flies when it takes over, as a share of each output's range.",
                               0.0, 1.0, "at the next ~/swap", False)
    trial_s: float = setting(30.0, "For so long, s, it is on trial: should the guard go to hold "
                             "or fault, the policy before it flies on. Only time counts in which "
                             "it decides.", 0.0, 3600.0, "at the next ~/swap", False)


@dataclass(frozen=True)
class TakeoverSettings(TakeoverParameters):
    """A person commands, and how their commands come."""

    stamped: bool = setting(True, "Commands come as TwistStamped on the topic takeover; false: as "
                            "Twist, which count as of when they arrive.")


@dataclass(frozen=True)
class SensorSettings(SensorParameters):
    """A sensor of distances for the obstacle stop, and whether there is one."""

    enabled: bool = setting(False, "Whether there is such a sensor, on the topic of this name.")


RANGES = ("range", "range_left", "range_right", "range_back", "range_up", "range_down")
"""Single beams, named by where they look unless their parameters say otherwise."""
SENSORS: Mapping[str, str] = MappingProxyType({
    "scan": "sensor_msgs/msg/LaserScan", **dict.fromkeys(RANGES, "sensor_msgs/msg/Range"),
    "depth": "sensor_msgs/msg/Image", "points": "sensor_msgs/msg/PointCloud2"})
"""Sensors of distances, each a group of parameters and a topic of that name; and its type."""

_BEAM = math.radians(27.0)  # of a VL53L1X, as on a multi-ranger deck; what ultrasound has, about
_beam = partial(SensorSettings, width=_BEAM, height=_BEAM)


@dataclass(frozen=True)
class ControllerSettings:
    """Parameters of the controller."""

    policy: str = setting("fly_to_target", "The policy that flies: name of one that ships with the "
                          "package, or path of a .safetensors checkpoint. Where another one is "
                          "refused, or fails its trial, this is put back to the one that flies.",
                          when="at configure, ~/reset and ~/swap", fixed=False)
    swap: SwapSettings = dataclasses.field(default_factory=SwapSettings)
    engage: bool = setting(False, "Engage by itself after activation, and when a simulator begins "
                           "another episode, as soon as nothing stands against it. True is for "
                           "simulation: on a robot a person engages, by the service ~/engage.",
                           when="at activate", fixed=False)
    rate_hz: float = setting(30.0, "Least rate of commands, Hz. In lock-step the simulator's clock "
                             "gives the rate instead.", 1.0, 200.0)
    command_on_frame: bool = setting(True, "Command as soon as an image has come, too; the next "
                                     "command by the timer is then due a whole period later.")
    lockstep: bool = setting(False, "Answer every /clock message with one command stamped with its "
                             "time, instead of commanding by a timer.")
    horizon_s: float = setting(HORIZON_S, "How late a sample may come and still count, s, by the "
                               "newest stamp: the network's state is taken back to it and "
                               "integrated again.", 0.0, MAX_HORIZON_S)
    base_frame: str = setting("base_link", "Frame of the commands: the vehicle's body.")
    image_transport: str = setting("raw", "How images come: raw (sensor_msgs/Image on image) or "
                                   "compressed (sensor_msgs/CompressedImage on image/compressed).")
    camera: CameraSettings = dataclasses.field(default_factory=CameraSettings)
    imu: ImuSettings = dataclasses.field(default_factory=ImuSettings)
    limits: LimitParameters = dataclasses.field(default_factory=LimitParameters)
    normal: SlewParameters = dataclasses.field(default_factory=SlewParameters)
    braking: SlewParameters = dataclasses.field(default_factory=SlewParameters)
    stopping: StoppingParameters = dataclasses.field(default_factory=StoppingParameters)
    obstacles: ObstacleParameters = dataclasses.field(default_factory=ObstacleParameters)
    scan: SensorSettings = dataclasses.field(default_factory=SensorSettings)
    range: SensorSettings = dataclasses.field(default_factory=_beam)
    range_left: SensorSettings = dataclasses.field(
        default_factory=partial(_beam, yaw=math.pi / 2))
    range_right: SensorSettings = dataclasses.field(
        default_factory=partial(_beam, yaw=-math.pi / 2))
    range_back: SensorSettings = dataclasses.field(
        default_factory=partial(_beam, yaw=math.pi))
    range_up: SensorSettings = dataclasses.field(
        default_factory=partial(_beam, pitch=-math.pi / 2))
    range_down: SensorSettings = dataclasses.field(
        default_factory=partial(_beam, pitch=math.pi / 2))
    depth: SensorSettings = dataclasses.field(default_factory=SensorSettings)
    points: SensorSettings = dataclasses.field(default_factory=SensorSettings)
    fence: FenceParameters = dataclasses.field(default_factory=FenceParameters)
    novelty: NoveltyParameters = dataclasses.field(default_factory=NoveltyParameters)
    modes: ModeParameters = dataclasses.field(default_factory=ModeParameters)
    takeover: TakeoverSettings = dataclasses.field(default_factory=TakeoverSettings)
    autostart: bool = _autostart()

    @property
    def period(self) -> float:
        """Usual time between two commands, s."""
        return LOCKSTEP_PERIOD_S if self.lockstep else 1.0 / self.rate_hz

    @property
    def guard(self) -> GuardParameters:
        """What is set on the guard.

        Raises
        ------
        LnnError
            When its values do not fit each other.
        """
        sensors = {name: getattr(self, name) for name in SENSORS if getattr(self, name).enabled}
        return GuardParameters(
            limits=self.limits, normal=self.normal, braking=self.braking, stopping=self.stopping,
            obstacles=self.obstacles, sensors=MappingProxyType(sensors), fence=self.fence,
            novelty=self.novelty, modes=self.modes, takeover=self.takeover)

    def __post_init__(self) -> None:
        """Check what the single values do not show."""
        self.guard  # noqa: B018  (raises where its parts do not fit)
        if not self.policy.strip():
            raise LnnError("parameter policy is empty: expected the name of a policy that ships "
                           "with the package, or the path of a .safetensors checkpoint")
        if not self.base_frame.strip():
            raise LnnError("parameter base_frame is empty: expected a frame such as base_link")
        camera = self.camera
        if self.image_transport not in TRANSPORTS:
            raise LnnError(f"parameter image_transport is {self.image_transport!r}: expected one "
                           f"of {', '.join(TRANSPORTS)}")
        if not camera.info and camera.fov_deg == 0.0:
            raise LnnError("parameters camera.info is false and camera.fov_deg is 0: expected one "
                           "of the two to say what the camera sees")
        if 0.0 < camera.fov_deg < 1.0:
            raise LnnError(f"parameter camera.fov_deg is {camera.fov_deg!r}: expected an angle of "
                           f"view from 1 to 179 degrees, or 0 for none")


@dataclass(frozen=True)
class FinetuneSettings:
    """The companion's fine-tuning on board."""

    rehearsal: str = setting("", "Folder of flights of what the policy can already, as lnn_ros "
                             "demonstrate makes them: without it nothing is learned on board.",
                             when=AT_START, fixed=False)
    store: str = setting("~/lnn_ros_policies", "Policy store: keeps every candidate and why it "
                         "may fly or may not.", when=AT_START, fixed=False)
    policy: str = setting("fly_to_target", "To begin with, while the store has none that flies.",
                          when=AT_START, fixed=False)
    after_takeovers: int = setting(0, "It begins by itself after so many takeovers; 0: when asked "
                                   "to.", 0, 10_000, "at once", False)
    cpu: float = setting(0.5, "The most of one core that it takes.", 0.05, 1.0)
    memory_mb: float = setting(2000.0, "The most memory that it takes, MB.", 100.0, 1e6)
    idle: bool = setting(True, "It runs only while no other process wants to (SCHED_IDLE): on a "
                         "computer that is always busy it never ends.")
    worlds: int = setting(60, "The embedded simulator flies policy and candidate through so many "
                          "worlds before the candidate is accepted; 0: none.", 0, 1000)
    controller: str = setting("controller", "Name of the controller that is asked to let an "
                              "accepted candidate fly, on trial; empty: nobody is, and it is "
                              "only kept.")

    def __post_init__(self) -> None:
        """Check what the single values do not show."""
        if not self.store.strip() or not self.policy.strip():
            raise LnnError(f"parameters finetune.store and finetune.policy are {self.store!r} and "
                           f"{self.policy!r}: expected a folder and a policy")


@dataclass(frozen=True)
class CompanionSettings:
    """Parameters of the companion."""

    folder: str = setting("~/lnn_ros_recordings", "Folder for recordings; each is a folder of its "
                          "own in it, named by date and time. Nobody on the network can set it.",
                          when=AT_START, fixed=False)
    record: bool = setting(False, "Record from activation on.", when="at activate", fixed=False)
    robot: str = setting("", "Which robot it is, for the notes in recordings.")
    topics: str = setting("*", "Names of topics to record, with * for anything, and spaces "
                          "between; what a controller hears and says is recorded in any case.")
    preroll_s: float = setting(10.0, "While nothing is recorded, so many seconds are kept in "
                               "memory; a takeover, a fault or ~/mark begins a recording with "
                               "them. 0: none.", 0.0, 120.0)
    preroll_mb: float = setting(100.0, "The most that they may be, MB.", 1.0, 10_000.0)
    after_s: float = setting(10.0, "A recording that an event began ends so long after the last "
                             "one, s.", 0.0, 3600.0)
    split_mb: float = setting(1000.0, "A recording goes on in another file above this, MB; 0: "
                              "never.", 0.0, 1e6)
    split_s: float = setting(600.0, "And after so long, s; 0: never.", 0.0, 1e6)
    quota_mb: float = setting(0.0, "Above this, MB, the oldest recordings in the folder are "
                              "removed that are not marked (by ~/mark, a takeover or a fault); 0: "
                              "none is.", 0.0, 1e8)
    reserve_mb: float = setting(500.0, "So much of the disk stays free, MB: recording ends before "
                                "that is touched.", 0.0, 1e7)
    finetune: FinetuneSettings = dataclasses.field(default_factory=FinetuneSettings)
    autostart: bool = _autostart()

    def __post_init__(self) -> None:
        """Check what the single values do not show."""
        if not self.folder.strip() or os.pathsep in self.folder:
            raise LnnError(f"parameter folder is {self.folder!r}: expected the path of a folder")


@dataclass(frozen=True)
class TimingSettings:
    """When one simulated sensor measures and when its samples arrive."""

    rate_hz: float = setting(20.0, "Samples per second.", 0.1, 400.0, "at ~/reset", False)
    jitter_s: float = setting(0.0, "Each measurement is moved by up to this, to either side, s.",
                              0.0, 10.0, "at ~/reset", False)
    latency_s: float = setting(0.0, "Time from a sample's stamp to its arrival, s.", 0.0, 10.0,
                               "at ~/reset", False)
    latency_jitter_s: float = setting(0.0, "Greatest extra latency, drawn per sample, s.",
                                      0.0, 10.0, "at ~/reset", False)
    drop: float = setting(0.0, "Share of samples that never arrive.", 0.0, 1.0, "at ~/reset", False)
    reorder: bool = setting(False, "Whether samples may overtake each other.", when="at ~/reset",
                            fixed=False)


@dataclass(frozen=True)
class SimulatorSettings:
    """Parameters of the simulator node."""

    task: str = setting("fly_to_target", "Task whose file (config/tasks) says how hard the worlds "
                        "are.", when="at ~/reset", fixed=False)
    seed: int = setting(300_007, "World to fly in; 300000 and above are in no training or "
                        "evaluation set.", 0, 2**31 - 1, "at ~/reset", False)
    real_time_factor: float = setting(1.0, "Simulated seconds per second; 0: as fast as "
                                      "possible.", 0.0, 1000.0, "at once", False)
    lockstep: bool = setting(False, "Wait for the controller's answer to every /clock message, so "
                             "that a flight does not depend on the computer's speed.",
                             when="at start")
    vehicles: int = setting(1, "Drones in the same world; of more than one, each has its topics in "
                            "a namespace of its own: drone1, drone2 and so on.", 1, 4,
                            "at start")
    camera: TimingSettings = dataclasses.field(
        default_factory=lambda: TimingSettings(rate_hz=20.0, latency_s=0.01))
    imu: TimingSettings = dataclasses.field(default_factory=lambda: TimingSettings(rate_hz=200.0))


@dataclass(frozen=True)
class VehicleAdapterSettings:
    """Parameters of the vehicle adapter."""

    vehicle: str = setting("stamped", "What the vehicle takes: name of a conversion in "
                           "lnn_ros/vehicles, such as stamped (TwistStamped) or twist (Twist).",
                           when="at start")
    base_frame: str = setting("base_link", "Frame that commands must be in: the vehicle's body.",
                              when="at start")
    timeout_s: float = setting(0.5, "When no usable command has come for this long, the vehicle "
                               "is stopped, s, by a steady clock.", 0.05, 10.0, "at once", False)
    on_timeout: str = setting("zero", "How it is stopped: zero (zeros at once and then "
                              "regularly) or silence (zero once and then nothing, so that the "
                              "vehicle's own failsafe takes over).", when="at once", fixed=False)
    zero_rate_hz: float = setting(20.0, "How often zero is said while no command comes, Hz.",
                                  1.0, 200.0, "at once", False)
    exclusive: bool = setting(True, "While more than one publisher offers commands, obey none of "
                              "them and stop; false obeys whoever spoke last.", when="at once",
                              fixed=False)

    def __post_init__(self) -> None:
        """Check what the single values do not show."""
        if self.vehicle not in vehicles.kinds():
            raise LnnError(f"parameter vehicle is {self.vehicle!r}: expected one of "
                           f"{', '.join(vehicles.kinds())}")
        if self.on_timeout not in STOPS:
            raise LnnError(f"parameter on_timeout is {self.on_timeout!r}: expected one of "
                           f"{', '.join(STOPS)}")
        if not self.base_frame.strip():
            raise LnnError("parameter base_frame is empty: expected a frame such as base_link")


SETTINGS: Mapping[str, type[Any]] = {
    "controller": ControllerSettings,
    "companion": CompanionSettings,
    "simulator": SimulatorSettings,
    "vehicle_adapter": VehicleAdapterSettings,
}
"""The settings class of each executable."""
