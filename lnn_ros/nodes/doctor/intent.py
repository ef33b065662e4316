"""What is meant to run: a parameter file and a robot's profile, and the topics that follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lnn_ros import policies, vehicles
from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.liquid.checkpoint import load
from lnn_ros.nodes.doctor.snapshot import Input, Policy, Quality
from lnn_ros.nodes.options import NodeOptions
from lnn_ros.nodes.parameter_rows import Value, build, rows
from lnn_ros.nodes.settings import SENSORS, ControllerSettings, VehicleAdapterSettings
from lnn_ros.nodes.table import nodes

S = TypeVar("S")


@dataclass(frozen=True)
class Intent:
    """What is meant to run.

    Attributes
    ----------
    namespace : str
        Of the nodes, without slashes at its ends; empty for the root.
    remaps : mapping of str to str
        Our relative topic to the robot's.
    controller, adapter : mapping of str to value
        Parameters by full name, those of other nodes among them.
    named : bool
        Whether a person named the files that they come from.
    """

    namespace: str = ""
    remaps: Mapping[str, str] = field(default_factory=dict)
    controller: Mapping[str, Any] = field(default_factory=dict)
    adapter: Mapping[str, Any] = field(default_factory=dict)
    named: bool = False

    @classmethod
    def read(cls, namespace: str = "", params_file: str = "", robot: str = "") -> Intent:
        """Read a parameter file, by default that of the package, and a robot's profile over it.

        Raises
        ------
        LnnError
            When one of them is not usable.
        """
        # What launch would start: the same files win over the same others.
        table = nodes(NodeOptions(sim="none", namespace=namespace, params_file=params_file,
                                  robot=robot))
        by_name = {spec.name: spec for spec in table}
        controller, adapter = by_name["controller"], by_name["vehicle_adapter"]
        return cls(controller.namespace, controller.remaps, controller.layered(),
                   adapter.layered(),
                   bool(params_file or robot))

    @property
    def use_sim_time(self) -> bool | None:
        """Whether the controller is told to read its time from ``/clock``; None: not said."""
        found = self.controller.get("use_sim_time")
        return found if isinstance(found, bool) else None


def settings(kind: type[S], values: Mapping[str, Any]) -> S:
    """Return the settings of a node; parameters of others are left out.

    Raises
    ------
    LnnError
        When a value is not possible.
    """
    checked: dict[str, Value] = {row.name: row.check(values[row.name]) for row in rows(kind)
                                 if row.name in values}
    return build(kind, checked)


def policy(name: str) -> Policy:
    """Return what the doctor has to know of a policy; why it cannot be loaded, if it cannot."""
    try:
        checkpoint = load(policies.find(name))
        camera = VirtualCamera.from_card(checkpoint.card)
    except (LnnError, OSError) as error:
        return Policy(name, problem=str(error))
    return Policy(name, checkpoint.weights_digest()[:16], camera)


def inputs(wanted: ControllerSettings, adapter: VehicleAdapterSettings, simulated: bool,
           resolve: Callable[[str], str]) -> tuple[Input, ...]:
    """Return the topics that a controller with these settings reads.

    Parameters
    ----------
    wanted, adapter
        Parameters of controller and vehicle adapter.
    simulated : bool
        Whether its time comes from ``/clock``.
    resolve : callable
        Gives the full name of a relative one.
    """
    sensor, word = Quality(reliable=wanted.lockstep), Quality(reliable=False)
    state = Quality(reliable=wanted.lockstep)
    found = []

    def add(name: str, kind: str, asks: Quality, needed: str = "", source: str = "its driver",
            single: bool = True, limit: tuple[float, str] = (0.0, "")) -> None:
        found.append(Input(name, resolve(name), kind, asks, needed, source, single, "", *limit))

    if wanted.image_transport == "compressed":
        found.append(Input("image/compressed", resolve(resolve("image") + "/compressed"),
                           "sensor_msgs/msg/CompressedImage", sensor, "the policy sees by it",
                           "the camera's driver", remapped="image"))
    else:
        add("image", "sensor_msgs/msg/Image", sensor, "the policy sees by it",
            "the camera's driver")
    if wanted.camera.info:
        needed = "" if wanted.camera.fov_deg else "it says what the camera sees"
        add("camera_info", "sensor_msgs/msg/CameraInfo", sensor, needed, "the camera's driver")
    add("imu", "sensor_msgs/msg/Imu", sensor, "the policy sees by it", "the IMU's driver")
    if simulated:
        add("/clock", "rosgraph_msgs/msg/Clock", Quality(reliable=wanted.lockstep),
            "use_sim_time is true", "the simulator")
    modes = wanted.modes
    asked = [name for name in ("require_airborne", "require_velocity_mode")
             if getattr(modes, name)]
    speaks = vehicles.make(adapter.vehicle).says
    add("vehicle_state", "diagnostic_msgs/msg/DiagnosticStatus", state,
        f"modes.{asked[0]} is true" if asked else "",
        "the vehicle adapter" if speaks else f"your autopilot's bridge (the vehicle "
        f"{adapter.vehicle} says nothing itself)",
        limit=(modes.vehicle_max_age, "modes.vehicle_max_age"))
    if modes.deadman:
        add("deadman", "std_msgs/msg/Bool", word, "modes.deadman is true", "the remote control",
            limit=(modes.deadman_max_age, "modes.deadman_max_age"))
    add("takeover", "geometry_msgs/msg/TwistStamped" if wanted.takeover.stamped
        else "geometry_msgs/msg/Twist", word, source="the remote control", single=False)
    if wanted.fence.enabled:
        add("odom", "nav_msgs/msg/Odometry", sensor, "fence.enabled is true",
            limit=(wanted.fence.max_age, "fence.max_age"))
    for name, kind in SENSORS.items():
        if getattr(wanted, name).enabled:
            add(name, kind, sensor, f"{name}.enabled is true",
                limit=(getattr(wanted, name).max_age, f"{name}.max_age"))
    if wanted.depth.enabled:
        add("depth_info", "sensor_msgs/msg/CameraInfo", sensor, "depth.enabled is true")
    return tuple(found)


def offered(period: float | None) -> Quality:
    """Return the quality that the controller's commands are offered with, as ``qos.command``."""
    if period is None:
        return Quality()
    return Quality(deadline_s=3.0 * period, lease_s=10.0 * period, manual=True)
