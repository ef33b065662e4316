"""The one table of nodes: which processes make up a vehicle, with which names and parameters.

Plain data without launch or rclpy, so that the launch files, ``lnn_ros demo`` and the
tests start the same processes: a launch file turns the table into launch actions, the demo into
command lines.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lnn_ros import parameter_files
from lnn_ros.nodes import robots
from lnn_ros.nodes.options import NodeOptions, is_path
from lnn_ros.resources import share_path

MODULES = {
    "controller": "lnn_ros.nodes.controller",
    "companion": "lnn_ros.nodes.companion",
    "simulator": "lnn_ros.nodes.simulator",
    "vehicle_adapter": "lnn_ros.nodes.vehicle_adapter",
}
"""Executables of ``ros2 run lnn_ros``, and the module whose ``main`` each one calls."""

ParameterValue = bool | int | float | str

OURS = "lnn_ros"
FOXGLOVE: Mapping[str, ParameterValue] = {"address": "127.0.0.1", "port": 8765}
"""Nobody but programs on this computer."""
RVIZ_FILE = "config/viewers/drone.rviz"


@dataclass(frozen=True)
class NodeSpec:
    """One node of the table, a process.

    Attributes
    ----------
    executable : str
        Name for ``ros2 run``.
    name, namespace : str
        Of the node; an empty namespace is the root.
    layers : tuple of Path or mapping
        Parameter files and parameters, the later winning.
    parameters : mapping of str to bool, int, float or str
        What the options decided; it wins over all ``layers``.
    log_level : str
        One of ``LOG_LEVELS``.
    essential : bool
        Whether the run is over when this process ends.
    respawn : bool
        Whether launch starts it again when it ends.
    remaps : mapping of str to str
        Names of topics that it has under another one.
    package : str
        Where the executable is.
    arguments : tuple of str
        More words on its command line, for the program itself.
    """

    executable: str
    name: str
    namespace: str
    layers: tuple[Path | Mapping[str, ParameterValue], ...] = ()
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    log_level: str = "info"
    essential: bool = False
    respawn: bool = False
    remaps: Mapping[str, str] = field(default_factory=dict)
    package: str = OURS
    arguments: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """Name of the node with its namespace."""
        return f"/{self.namespace}/{self.name}" if self.namespace else f"/{self.name}"

    @property
    def enclave(self) -> str:
        """Where SROS2 looks for the process's keys and permissions, once it is enabled."""
        return f"/{OURS}{self.full_name}"

    def resolved(self, name: str) -> str:
        """Return a topic or service of the node as it is on the wire.

        Parameters
        ----------
        name : str
            Relative, private (~/) or absolute. What its images are called, they are called
            compressed, too: `image/compressed` goes with `image`.
        """
        if name.startswith("~/"):
            return f"{self.full_name}/{name[2:]}"
        base, slash, rest = name.partition("/")
        name = self.remaps.get(name) or self.remaps.get(base, base) + slash + rest
        return name if name.startswith("/") else f"{self.full_name.rpartition('/')[0]}/{name}"

    def layered(self) -> dict[str, Any]:
        """Return what the layers say to this node, by full name, those of other nodes among it.

        Raises
        ------
        LnnError
            When a parameter file is not usable.
        """
        found: dict[str, Any] = {}
        for layer in self.layers:
            found.update(parameter_files.values(layer, self.full_name)
                         if isinstance(layer, Path) else layer)
        return found

    def resolved_parameters(self) -> dict[str, Any]:
        """Return every parameter that the node is to be given, by full name.

        One set of them, not the files themselves. Of several files ROS merges the blocks of the
        same name, and lets them win in the order in which their names came first: what the last
        file says for everybody would lose against what an earlier one says for a node.

        Raises
        ------
        LnnError
            When a parameter file is not usable.
        """
        return {**self.layered(), **self.parameters}

    @property
    def module(self) -> str:
        """Module that ``python -m`` runs for this executable, of ours."""
        return MODULES[self.executable]

    def command(self, python: str = sys.executable) -> list[str]:
        """Return the command line that starts this process, one of ours, without launch.

        Parameters
        ----------
        python : str
            The Python interpreter to start.
        """
        words = [python, "-m", self.module, *self.arguments, "--ros-args", "-r",
                 f"__node:={self.name}"]
        if self.namespace:
            words += ["-r", f"__ns:=/{self.namespace}"]
        for name, other in self.remaps.items():
            words += ["-r", f"{name}:={other}"]
        for name, value in self.resolved_parameters().items():
            # JSON is YAML with every string quoted: "1" stays a string and true a boolean.
            words += ["-p", f"{name}:={json.dumps(value)}"]
        return [*words, "--log-level", self.log_level, "--enclave", self.enclave]


@dataclass(frozen=True)
class ProgramSpec:
    """One process of the table that is no ROS node.

    Attributes
    ----------
    name : str
        For a person.
    command : tuple of str
        Its command line.
    environment : mapping of str to str
        What it needs besides the environment that there is.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


def programs(options: NodeOptions) -> tuple[ProgramSpec, ...]:
    """Return the processes that are no nodes, to be started first; the run is over when one ends.

    Raises
    ------
    LnnError
        When Gazebo's world is not there.
    """
    if options.sim != "gazebo":
        return ()
    server = options.gazebo_run().server
    return (ProgramSpec("gazebo", server.command, server.environment),)


def nodes(options: NodeOptions) -> tuple[NodeSpec, ...]:
    """Return the nodes of a run, in the order in which they are to be started.

    Parameters
    ----------
    options : NodeOptions
        What to start, and how.

    Raises
    ------
    LnnError
        When a file that is needed is not there or not usable.
    """
    return tuple(_Table(options).rows())


class _Table:
    """What rows have in common."""

    def __init__(self, options: NodeOptions) -> None:
        self.options = options
        self.namespace = options.namespace.strip("/")
        named = options.gazebo_run().vehicle if options.sim == "gazebo" else options.robot
        robot = robots.load(named) if named else None
        self.remaps = dict(robot.remaps) if robot else {}
        params_file = Path(options.params_file).resolve() if options.params_file else None
        # What a person wrote wins over what is known of the robot, that over what ships.
        shipped = share_path(parameter_files.shipped(options.vehicle))
        self.layers: tuple[Path | Mapping[str, ParameterValue], ...]
        if robot:
            self.layers = (shipped, robot.parameters,
                           *((params_file,) if params_file else ()))
        else:
            self.layers = (params_file or shipped,)
        simulated = options.sim != "none"
        self.time = {"use_sim_time": (simulated if options.use_sim_time is None
                                      else options.use_sim_time)}
        # In lock-step nothing must come between question and answer, and nobody could be too late.
        self.adapted = not self._lockstep()

    def rows(self) -> Iterator[NodeSpec]:
        """Yield all nodes."""
        options = self.options
        if options.sim == "embedded":
            yield self._simulator()
        elif options.sim == "gazebo":
            bridge = options.gazebo_run().bridge
            yield NodeSpec(bridge.executable, bridge.name, self.namespace,
                           parameters=bridge.parameters, log_level=options.log_level,
                           essential=True, package=bridge.package)
        drones = ["/".join(filter(None, (self.namespace, name))) for name in self._vehicles()]
        for drone in drones:
            yield from self._drone(drone)
        # One for all: it records every topic there is.
        yield self._ours("companion", self.namespace, {
            **self.time, "autostart": True, "record": options.record,
            **({"robot": options.robot} if options.robot else {}),
            "folder": str(Path(options.bag_folder).resolve()) if options.bag_folder else "",
        }, respawn=options.use_respawn, remaps=self.remaps)
        # What it shows are topics without a namespace: one for each drone, in the drone's.
        for drone in drones if options.rviz else ():
            yield NodeSpec("rviz2", "rviz", drone, parameters=self.time, package="rviz2",
                           remaps=self.remaps, arguments=("-d", str(share_path(RVIZ_FILE))))
        if options.foxglove:
            yield NodeSpec("foxglove_bridge", "foxglove_bridge", self.namespace,
                           parameters={**self.time, **FOXGLOVE}, package="foxglove_bridge")

    def _lockstep(self) -> bool:
        """Tell whether simulator and controller wait for each other, by option or by a layer."""
        if self.options.sim != "embedded":
            return False
        if self.options.lockstep is not None:
            return self.options.lockstep
        simulator = self._ours("simulator", self.namespace, {})
        return simulator.layered().get("lockstep") is True

    def _vehicles(self) -> tuple[str, ...]:
        """Return the namespaces of the drones, below that of the run."""
        count = self.options.drones
        return ("",) if count == 1 else tuple(f"drone{k + 1}" for k in range(count))

    def _simulator(self) -> NodeSpec:
        options = self.options
        at = [f"{name}/" if name else "" for name in self._vehicles()]
        # The simulator is the source of /clock: its own time cannot come from there.
        return self._ours("simulator", self.namespace, {
            "use_sim_time": False, "task": options.task, "seed": options.seed,
            "lockstep": options.lockstep,
            "vehicles": None if options.drones == 1 else options.drones,
            "real_time_factor": (None if options.real_time_factor is None
                                 else float(options.real_time_factor)),
        }, essential=True, remaps={f"{name}cmd_vel": f"{name}vehicle/cmd_vel" for name in at}
            if self.adapted else {})

    def _drone(self, namespace: str) -> Iterator[NodeSpec]:
        """Yield what flies one drone."""
        options, respawn = self.options, self.options.use_respawn
        embedded = options.sim == "embedded"
        if self.adapted:
            # Its own clock is a steady one. Before the controller, so that the first command
            # arrives. Whatever the robot of the parameter file takes, the embedded vehicle takes
            # our command.
            yield self._ours("vehicle_adapter", namespace, {
                "use_sim_time": False, "vehicle": "stamped" if embedded else None,
            }, respawn=respawn, remaps=self.remaps)
        # A robot comes up disengaged: only in the embedded simulator may nobody have to say "fly".
        yield self._ours("controller", namespace, {
            **self.time, "autostart": True, "engage": embedded, "policy": _policy(options.policy),
            "lockstep": options.lockstep,
        }, respawn=respawn, remaps=self.remaps)

    def _ours(self, executable: str, namespace: str,
              parameters: Mapping[str, ParameterValue | None], **more: Any) -> NodeSpec:
        decided = {name: value for name, value in parameters.items() if value not in (None, "")}
        return NodeSpec(executable, executable, namespace, self.layers, decided,
                        self.options.log_level, **more)


def _policy(text: str) -> str:
    return str(Path(text).expanduser().resolve()) if is_path(text) else text
