"""Robot profiles: what to set so that the nodes fit a robot, one YAML each in ``config/robots``.

A profile holds

    about: one sentence for a person
    tested: real types | stand-in types | untested, and how
    kind: drone | rover
    remaps: {image: /camera/image_raw, ...}     # our relative topic: the robot's
    parameters: {vehicle: mavros, limits: {...}, ...}   # over config/nodes/drone.yaml, every node

Everything in it is checked when it is read: a remap of a topic that no node has, or a parameter
that no node has, would otherwise do nothing, and silently so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lnn_ros import parameter_files, vehicles
from lnn_ros.errors import LnnError
from lnn_ros.nodes.parameter_rows import Value, build, rows
from lnn_ros.nodes.settings import SENSORS, SETTINGS
from lnn_ros.resources import share_path

FOLDER = "config/robots"
"""Where the profiles are, below the package's share folder."""
KINDS = ("drone", "rover")
"""Kinds of robots."""
TESTED = ("real types", "stand-in types", "untested")
"""How a profile begins to say what it was tested with: messages of the types themselves, messages
with the same fields, or nothing."""
TOPICS = ("image", "image/compressed", "camera_info", "imu", "odom", "takeover", "deadman",
          "vehicle_state", *SENSORS, "depth_info", "cmd_vel")
"""Topics of the nodes that can be remapped, but those of the vehicle."""

_KEYS = ("about", "tested", "kind", "remaps", "parameters")
_TOPIC = re.compile(r"/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")
_VERSIONED = re.compile(r"_v[0-9]+$")
_NODES = ("controller", "vehicle_adapter")  # those whose parameters depend on the robot


@dataclass(frozen=True)
class Robot:
    """A profile.

    Attributes
    ----------
    name : str
        Of the profile: its file without ``.yaml``.
    about : str
        One sentence for a person.
    tested : str
        What it was tested with; begins with one of ``TESTED``.
    kind : str
        One of ``KINDS``.
    remaps : mapping of str to str
        Our relative topic to the robot's.
    parameters : mapping of str to bool, int, float or str
        By full name (``limits.forward``), to be set on every node over those of the parameter file.
    """

    name: str
    about: str
    tested: str
    kind: str
    remaps: Mapping[str, str]
    parameters: Mapping[str, Value]

    @property
    def vehicle(self) -> str:
        """The conversion in ``lnn_ros/vehicles`` that it is told by."""
        return str(self.parameters["vehicle"])


def names() -> tuple[str, ...]:
    """Return the names of the profiles that the package installs."""
    folder = share_path(f"{FOLDER}/mavros.yaml").parent
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def load(robot: str) -> Robot:
    """Return a profile.

    Parameters
    ----------
    robot : str
        Name of one that the package installs, or path of a file.

    Raises
    ------
    LnnError
        When there is none, or it holds anything that the nodes do not have or do not take.
    """
    if "/" in robot or robot.endswith((".yaml", ".yml")):
        path = Path(robot).expanduser()
        if not path.is_file():
            raise LnnError(f"robot {robot} is no file: expected the path of a profile, or one of "
                           f"{', '.join(names())}")
    elif robot in names():
        path = share_path(f"{FOLDER}/{robot}.yaml")
    else:
        raise LnnError(f"robot {robot!r} found, expected one of {', '.join(names())}, or the path "
                       f"of a profile")
    try:
        return _robot(path.stem, _mapping(parameter_files.load(path), "it", _KEYS))
    except LnnError as error:
        raise LnnError(f"robot profile {path}: {error}") from error


def _mapping(value: Any, what: str, keys: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """Return a mapping with texts for keys; those that are named have all to be there."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise LnnError(f"{what} is {value!r:.80}: expected a mapping")
    for key in keys:
        if key not in value:
            raise LnnError(f"{key} is missing: expected {', '.join(keys)}")
    for key in value:
        if keys and key not in keys:
            raise LnnError(f"{key} is unknown: expected {', '.join(keys)}")
    return value


def _robot(name: str, profile: Mapping[str, Any]) -> Robot:
    for key in ("about", "tested", "kind"):
        if not isinstance(profile[key], str) or not profile[key].strip():
            raise LnnError(f"{key} is {profile[key]!r}: expected a text")
    if not profile["tested"].startswith(TESTED):
        raise LnnError(f"tested is {profile['tested']!r}: expected it to begin with one of "
                       f"{', '.join(TESTED)}")
    if profile["kind"] not in KINDS:
        raise LnnError(f"kind is {profile['kind']!r}: expected one of {', '.join(KINDS)}")
    parameters = _parameters(parameter_files.flat(profile["parameters"], "parameters"))
    vehicle = vehicles.make(str(parameters["vehicle"]))
    topics = (*TOPICS, *vehicle.takes, *vehicle.says)
    remaps = _remaps(_mapping(profile["remaps"], "remaps"), topics)
    commands = remaps.get("cmd_vel", "cmd_vel").lstrip("/")
    for topic in vehicle.takes:
        if remaps.get(topic, topic).lstrip("/") == commands:
            raise LnnError(f"remaps.{topic} is {remaps[topic]!r}, on which commands come to the "
                           f"adapter: expected remaps.cmd_vel, too, such as controller/cmd_vel")
    return Robot(name, " ".join(profile["about"].split()), " ".join(profile["tested"].split()),
                 profile["kind"], MappingProxyType(remaps), MappingProxyType(parameters))


def _remaps(remaps: Mapping[str, Any], topics: tuple[str, ...]) -> dict[str, str]:
    """Return remaps of topics that are there to names that can be."""
    for topic, other in remaps.items():
        if _VERSIONED.sub("", topic) not in topics:
            raise LnnError(f"remaps.{topic} is no topic of the nodes: expected one of "
                           f"{', '.join(topics)}")
        if not isinstance(other, str) or not _TOPIC.fullmatch(other):
            raise LnnError(f"remaps.{topic} is {other!r}: expected the name of a topic, such as "
                           f"/camera/image_raw")
    return dict(remaps)


def _parameters(given: Mapping[str, Any]) -> dict[str, Value]:
    """Return parameters that each node that has them takes, beside those of the parameter file."""
    known = {node: {row.name: row for row in rows(SETTINGS[node])} for node in _NODES}
    if "vehicle" not in given:
        raise LnnError(f"parameters.vehicle is missing: expected one of "
                       f"{', '.join(vehicles.kinds())}")
    for name in given:
        if not any(name in table for table in known.values()):
            raise LnnError(f"parameters.{name} is no parameter of {' or '.join(_NODES)}: see "
                           f"docs/reference/parameters.md")
    shipped = share_path(parameter_files.SHIPPED)
    found: dict[str, Value] = {}
    for node, table in known.items():
        beside = parameter_files.values(shipped, f"/{node}")
        taken = {name: row.check(given[name]) for name, row in table.items() if name in given}
        shared = {name: value for name, value in beside.items() if name in table}
        build(SETTINGS[node], {**shared, **taken})
        found.update(taken)
    return {name: found[name] for name in given}
