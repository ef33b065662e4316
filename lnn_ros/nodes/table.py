"""The one table of nodes: which processes make up a drone, with which names and parameters.

Plain data without launch or rclpy, so that ``launch/drone.launch.py``, ``lnn_ros demo`` and the
tests start the same processes: the launch file turns the table into launch actions, the demo into
command lines.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.resources import share_path

PARAMS_FILE = "config/nodes/drone.yaml"
"""The parameter file of the drone, below the package's share folder."""

MODULES = {
    "controller": "lnn_ros.nodes.controller",
    "companion": "lnn_ros.nodes.companion",
    "simulator": "lnn_ros.nodes.simulator",
    "vehicle_adapter": "lnn_ros.nodes.vehicle_adapter",
}
"""Executables of ``ros2 run lnn_ros``, and the module whose ``main`` each one calls."""

SIMULATORS = ("embedded", "none")
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")

ParameterValue = bool | int | float | str

_NAMESPACE = re.compile(r"/?[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*")


@dataclass(frozen=True)
class Argument:
    """A launch argument, as ``ros2 launch --show-args`` explains it.

    Attributes
    ----------
    name, default : str
        As typed on a command line: ``name:=default``.
    description : str
        What it does, for a person.
    """

    name: str
    default: str
    description: str


ARGUMENTS = (
    Argument("sim", "embedded",
             "Which simulator flies: 'embedded' starts the package's own, 'none' starts none and "
             "leaves the vehicle, its sensors and its clock to a real robot."),
    Argument("namespace", "",
             "Namespace of every node and topic, for example 'drone1'; empty for none."),
    Argument("params_file", "",
             "Parameter file (YAML, '/**:' applies to any namespace) for every node; empty for the "
             "one that the package installs as " + PARAMS_FILE + "."),
    Argument("use_sim_time", "auto",
             "Whether time is read from /clock: 'true', 'false', or 'auto', which is true exactly "
             "when a simulator is started."),
    Argument("record", "false",
             "'true' records every topic of the run from the start; with 'false' the companion "
             "waits for its ~/record service."),
    Argument("policy", "",
             "The policy that flies: the name of one that ships with the package, or the path of "
             "a .safetensors checkpoint; empty for what the parameter file says."),
    Argument("log_level", "info",
             "Least severe message that the nodes log: " + ", ".join(LOG_LEVELS) + "."),
)
"""The arguments of ``drone.launch.py``."""


@dataclass(frozen=True)
class NodeOptions:
    """What the table depends on.

    ``None`` (or an empty string) leaves a value to the parameter file. The first block is what
    launch offers; the second is for programs that start the table themselves, such as the demo.

    Attributes
    ----------
    sim : {"embedded", "none"}
        Simulator to start.
    namespace : str
        Namespace of every node; empty for the root.
    params_file : str
        Path of the parameter file; empty for the installed ``config/nodes/drone.yaml``.
    use_sim_time : bool or None
        Whether time comes from ``/clock``; None: exactly when a simulator is started.
    record : bool
        Whether the companion records from the start.
    policy : str
        Name of a shipped policy, or path of a checkpoint; empty for the parameter file's.
    log_level : str
        One of ``LOG_LEVELS``.
    task : str
        Name of the simulator's task.
    seed : int or None
        Seed of the simulator's world.
    lockstep : bool or None
        Whether simulator and controller wait for each other.
    real_time_factor : float or None
        Simulated seconds per second; 0: as fast as possible.
    bag_folder : str
        Folder that the companion records into.

    Raises
    ------
    LnnError
        When a value is not one of those possible; the sentence names it as launch spells it.
    """

    sim: str = "embedded"
    namespace: str = ""
    params_file: str = ""
    use_sim_time: bool | None = None
    record: bool = False
    policy: str = ""
    log_level: str = "info"

    task: str = ""
    seed: int | None = None
    lockstep: bool | None = None
    real_time_factor: float | None = None
    bag_folder: str = ""

    def __post_init__(self) -> None:
        """Check every value, and those that must fit each other."""
        _one_of("sim", self.sim, SIMULATORS)
        _one_of("log_level", self.log_level, LOG_LEVELS)
        if self.namespace not in ("", "/") and not _NAMESPACE.fullmatch(self.namespace):
            raise LnnError(f"namespace:={self.namespace} is not a ROS namespace: expected names of "
                           f"letters, digits and underscores, separated by '/', such as drone1")
        if self.params_file and not Path(self.params_file).is_file():
            raise LnnError(f"params_file:={self.params_file} is no file: expected the path of a "
                           f"parameter file, or nothing for the one of the package")
        if self.use_sim_time is False and self.sim == "embedded":
            raise LnnError("use_sim_time:=false does not go with sim:=embedded, whose sensor "
                           "stamps start at 1 s on its own /clock: use true or auto")
        if _is_path(self.policy):
            if not Path(self.policy).expanduser().is_file():
                raise LnnError(f"policy:={self.policy} is no file: expected the path of a "
                               f".safetensors checkpoint, or the name of a policy that ships")
        elif self.policy:
            policies.path(self.policy)
        simulated = {"task": self.task or None, "seed": self.seed, "lockstep": self.lockstep,
                     "real_time_factor": self.real_time_factor}
        for name, value in simulated.items():
            if value is not None and self.sim == "none":
                raise LnnError(f"{name} is {value} with sim:=none: it belongs to a simulator")

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> NodeOptions:
        """Return the options that launch arguments stand for.

        Parameters
        ----------
        texts : mapping of str to str
            Launch arguments by name; those that are not there have their default.

        Raises
        ------
        LnnError
            When a name is unknown or a value is not one of those possible.
        """
        known = {argument.name: argument.default for argument in ARGUMENTS}
        for name in texts:
            if name not in known:
                raise LnnError(f"{name} is no launch argument: expected one of {', '.join(known)}")
        text = {**known, **{name: value.strip() for name, value in texts.items()}}
        use_sim_time = text["use_sim_time"]
        return cls(
            sim=text["sim"], namespace=text["namespace"], params_file=text["params_file"],
            use_sim_time=(None if use_sim_time == "auto"
                          else _boolean("use_sim_time", use_sim_time, "true, false or auto")),
            record=_boolean("record", text["record"], "true or false"),
            policy=text["policy"], log_level=text["log_level"])


@dataclass(frozen=True)
class NodeSpec:
    """One process of the table.

    Attributes
    ----------
    executable : str
        Name for ``ros2 run lnn_ros``.
    name, namespace : str
        Of the node; an empty namespace is the root.
    params_file : Path
        Parameter file, read before ``parameters``.
    parameters : mapping of str to bool, int, float or str
        What the options decided; it wins over the parameter file.
    log_level : str
        One of ``LOG_LEVELS``.
    essential : bool
        Whether the run is over when this process ends.
    respawn : bool
        Whether launch starts it again when it ends.
    remaps : mapping of str to str
        Names of topics that it has under another one.
    """

    executable: str
    name: str
    namespace: str
    params_file: Path
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    log_level: str = "info"
    essential: bool = False
    respawn: bool = False
    remaps: Mapping[str, str] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """Module that ``python -m`` runs for this executable."""
        return MODULES[self.executable]

    def command(self, python: str = sys.executable) -> list[str]:
        """Return the command line that starts this process without launch.

        Parameters
        ----------
        python : str
            The Python interpreter to start.
        """
        words = [python, "-m", self.module, "--ros-args", "-r", f"__node:={self.name}"]
        if self.namespace:
            words += ["-r", f"__ns:=/{self.namespace}"]
        for name, other in self.remaps.items():
            words += ["-r", f"{name}:={other}"]
        words += ["--params-file", str(self.params_file)]
        for name, value in self.parameters.items():
            # JSON is YAML with every string quoted, so that "1" stays a string and true a boolean.
            words += ["-p", f"{name}:={json.dumps(value)}"]
        return [*words, "--log-level", self.log_level]


def nodes(options: NodeOptions) -> tuple[NodeSpec, ...]:
    """Return the processes of a drone, in the order in which they are to be started.

    Parameters
    ----------
    options : NodeOptions
        What to start, and how.

    Raises
    ------
    LnnError
        When the package's own parameter file is needed and not installed.
    """
    simulated = options.sim == "embedded"
    params_file = (Path(options.params_file).resolve() if options.params_file
                   else share_path(PARAMS_FILE))
    use_sim_time = simulated if options.use_sim_time is None else options.use_sim_time
    policy = (str(Path(options.policy).expanduser().resolve()) if _is_path(options.policy)
              else options.policy)

    # In lock-step nothing must come between question and answer, and nobody could be too late.
    adapted = not _lockstep(options, params_file)

    def spec(executable: str, parameters: Mapping[str, ParameterValue | None],
             **more: Any) -> NodeSpec:
        decided = {name: value for name, value in parameters.items() if value not in (None, "")}
        return NodeSpec(executable, executable, options.namespace.strip("/"), params_file,
                        decided, options.log_level, **more)

    table = []
    if simulated:
        # The simulator is the source of /clock: its own time cannot come from there.
        table.append(spec("simulator", {
            "use_sim_time": False, "task": options.task, "seed": options.seed,
            "lockstep": options.lockstep,
            "real_time_factor": (None if options.real_time_factor is None
                                 else float(options.real_time_factor)),
        }, essential=True, remaps={"cmd_vel": "vehicle/cmd_vel"} if adapted else {}))
    if adapted:
        # Its own clock is a steady one. Before the controller, so that the first command arrives.
        # Whatever the robot of the parameter file takes, the embedded vehicle takes our command.
        table.append(spec("vehicle_adapter", {
            "use_sim_time": False, "vehicle": "stamped" if simulated else None,
        }, respawn=True))
    # A robot comes up disengaged: only in the embedded simulator may nobody have to say "fly".
    table.append(spec("controller", {
        "use_sim_time": use_sim_time, "autostart": True, "engage": simulated,
        "policy": policy, "lockstep": options.lockstep,
    }))
    table.append(spec("companion", {
        "use_sim_time": use_sim_time, "autostart": True, "record": options.record,
        "folder": str(Path(options.bag_folder).resolve()) if options.bag_folder else "",
    }))
    return tuple(table)


def _lockstep(options: NodeOptions, params_file: Path) -> bool:
    """Tell whether simulator and controller wait for each other, by option or parameter file."""
    if options.sim == "none":
        return False
    if options.lockstep is not None:
        return options.lockstep
    try:
        blocks = yaml.safe_load(params_file.read_text(encoding="utf-8")) or {}
        return blocks.get("/**", {}).get("ros__parameters", {}).get("lockstep") is True
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
        raise LnnError(f"params_file:={params_file} is no parameter file ({error}): expected YAML, "
                       f"such as that of {PARAMS_FILE}") from error


def _one_of(name: str, value: str, possible: tuple[str, ...]) -> None:
    if value not in possible:
        raise LnnError(f"{name}:={value} is unknown: expected one of {', '.join(possible)}")


def _boolean(name: str, text: str, possible: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise LnnError(f"{name}:={text} is unknown: expected {possible}")
    return values[text.lower()]


def _is_path(policy: str) -> bool:
    """Tell a checkpoint's path from the name of a shipped policy."""
    return "/" in policy or policy.endswith(".safetensors")
