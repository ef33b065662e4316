"""What is meant to run: a parameter file and a robot's profile, and the topics that follow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from lnn_ros import policies, vehicles
from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.liquid.checkpoint import load
from lnn_ros.nodes.doctor.snapshot import Input, Policy, Quality
from lnn_ros.nodes.options import PARAMS_FILE, NodeOptions
from lnn_ros.nodes.settings import (
    RANGES,
    SENSORS,
    ControllerSettings,
    Value,
    VehicleAdapterSettings,
    build,
    rows,
)
from lnn_ros.nodes.table import NodeSpec, nodes

S = TypeVar("S")

_KINDS = {"scan": "sensor_msgs/msg/LaserScan", "depth": "sensor_msgs/msg/Image",
          "points": "sensor_msgs/msg/PointCloud2",
          **dict.fromkeys(RANGES, "sensor_msgs/msg/Range")}


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
        return cls(controller.namespace, controller.remaps, _values(controller), _values(adapter),
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
    for name in SENSORS:
        if getattr(wanted, name).enabled:
            add(name, _KINDS[name], sensor, f"{name}.enabled is true",
                limit=(getattr(wanted, name).max_age, f"{name}.max_age"))
    if wanted.depth.enabled:
        add("depth_info", "sensor_msgs/msg/CameraInfo", sensor, "depth.enabled is true")
    return tuple(found)


def offered(period: float | None) -> Quality:
    """Return the quality that the controller's commands are offered with, as ``qos.command``."""
    if period is None:
        return Quality()
    return Quality(deadline_s=3.0 * period, lease_s=10.0 * period, manual=True)


def _values(spec: NodeSpec) -> dict[str, Any]:
    """Return the parameters of a node of the table: of each layer, the later winning."""
    name = f"/{spec.namespace}/{spec.name}" if spec.namespace else f"/{spec.name}"
    found: dict[str, Any] = {}
    for layer in spec.layers:
        if not isinstance(layer, Path):
            found.update(layer)
            continue
        for pattern, block in _blocks(layer):
            if pattern.fullmatch(name):
                found.update(block)
    return found


def _blocks(path: Path) -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Read a parameter file: the nodes that each block is for, and its values by full name."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LnnError(f"parameter file {path} cannot be read: {error}") from error
    found = list(_nodes(tree, ""))
    if not found:
        raise LnnError(f"{path} holds no ros__parameters: expected a parameter file such as "
                       f"{PARAMS_FILE}")
    return found


def _nodes(tree: Any, prefix: str) -> Iterator[tuple[re.Pattern[str], dict[str, Any]]]:
    """Yield the blocks below a name: a namespace may hold others."""
    if not isinstance(tree, dict):
        return
    for key, value in tree.items():
        if key == "ros__parameters":
            if isinstance(value, dict):
                yield _pattern(prefix), dict(_flat(value))
        else:
            yield from _nodes(value, f"{prefix}/{str(key).strip('/')}")


def _pattern(name: str) -> re.Pattern[str]:
    """Return what matches the full names of nodes that a block is for: * one part, ** any."""
    parts = {"*": "/[^/]+", "**": "(/[^/]+)*"}
    return re.compile("".join(parts.get(part, "/" + re.escape(part))
                              for part in name.strip("/").split("/")))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield values of nested groups by their full names."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value
