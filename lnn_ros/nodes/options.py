"""What a run can be asked to be: the arguments of launch, and the options that they stand for.

Plain data without launch or rclpy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lnn_ros import parameter_files, policies
from lnn_ros.errors import LnnError
from lnn_ros.nodes import distributions, robots
from lnn_ros.nodes.parameter_rows import rows
from lnn_ros.nodes.settings import SimulatorSettings
from lnn_ros.simulation.gazebo import running
from lnn_ros.simulation.gazebo.releases import RELEASES, of_ros

SIMULATORS = ("embedded", "gazebo", "none")
GAZEBO = ("auto", *RELEASES)
VEHICLES = robots.KINDS
"""What is launched: a launch file and a parameter file each."""
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")

_NAMESPACE = re.compile(r"/?[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*")
_MOST = {row.name: int(row.high or 0) for row in rows(SimulatorSettings)}
_MOST_SEED, _MOST_DRONES = _MOST["seed"], _MOST["vehicles"]


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
             "Which simulator flies: 'embedded' starts the package's own, 'gazebo' starts Gazebo "
             "and its bridge, 'none' starts none and leaves the vehicle, its sensors and its clock "
             "to a real robot."),
    Argument("robot", "",
             "With sim:=none, which robot it is: the name of a profile that ships (config/robots), "
             "or the path of one; it says under which names, in which frames and with which "
             "messages the robot speaks. Empty: as the parameter file says."),
    Argument("world", "",
             "Where to fly: with sim:=embedded the seed of a world, a whole number; with "
             "sim:=gazebo the name of a world that ships, or the path of an SDF file. Empty: the "
             "parameter file's seed, or the forest."),
    Argument("drones", "1",
             "With sim:=embedded, how many drones fly in the same world, 1 to "
             f"{_MOST_DRONES}. More than one have a controller each, in the namespaces drone1, "
             "drone2 and so on."),
    Argument("headless", "false",
             "With sim:=gazebo, 'true' starts it without a window. The embedded simulator has "
             "none."),
    Argument("gazebo", "auto",
             "With sim:=gazebo, which release is installed: " + ", ".join(GAZEBO[1:]) + "; 'auto' "
             "is the one that goes with this ROS."),
    Argument("policy", "",
             "The policy that flies: the name of one that ships with the package, or the path of "
             "a .safetensors checkpoint; empty for what the parameter file says."),
    Argument("namespace", "",
             "Namespace of every node and topic, for example 'drone1'; empty for none."),
    Argument("params_file", "",
             "Parameter file (YAML, '/**:' applies to any namespace) for every node; empty for the "
             "one that the package installs as " + parameter_files.SHIPPED + "."),
    Argument("use_sim_time", "auto",
             "Whether time is read from /clock: 'true', 'false', or 'auto', which is true exactly "
             "when a simulator is started."),
    Argument("record", "false",
             "'true' records every topic of the run from the start; with 'false' the companion "
             "waits for its ~/record service."),
    Argument("use_respawn", "true",
             "Whether controller, companion and vehicle adapter are started again when they end. A "
             "controller that comes back is disengaged, but in a simulator."),
    Argument("log_level", "info",
             "Least severe message that the nodes log: " + ", ".join(LOG_LEVELS) + "."),
    Argument("rviz", "false", "'true' opens RViz with the drone's view, once for each drone."),
    Argument("foxglove", "false",
             "'true' starts Foxglove's bridge, which only programs on this computer can reach "
             "(ws://127.0.0.1:8765)."),
)
"""The arguments of ``drone.launch.py``; ``rover.launch.py`` has all but ``drones``."""


def arguments(vehicle: str = "drone") -> tuple[Argument, ...]:
    """Return the arguments of a vehicle's launch file."""
    if vehicle == "drone":
        return ARGUMENTS
    file = parameter_files.shipped(vehicle)
    return tuple(replace(a, description=a.description.replace(parameter_files.SHIPPED, file))
                 for a in ARGUMENTS if a.name != "drones")


@dataclass(frozen=True)
class NodeOptions:
    """What the table depends on.

    ``None`` (or an empty string) leaves a value to the parameter file. The first block is what
    launch offers; the second is for programs that start the table themselves, such as the demo.

    Attributes
    ----------
    vehicle : {"drone", "rover"}
        What flies or drives.
    sim : {"embedded", "gazebo", "none"}
        Simulator to start.
    robot : str
        Name or path of a robot's profile; empty for the parameter file's robot.
    world : str
        Name or path of a Gazebo world; empty for the one that ships.
    drones : int
        How many fly.
    headless : bool
        Whether Gazebo has no window.
    gazebo : str
        Release of Gazebo, or "auto".
    namespace : str
        Namespace of every node; empty for the root.
    params_file : str
        Path of the parameter file; empty for the installed one of ``vehicle``.
    use_sim_time : bool or None
        Whether time comes from ``/clock``; None: exactly when a simulator is started.
    record : bool
        Whether the companion records from the start.
    policy : str
        Name of a shipped policy, or path of a checkpoint; empty for the parameter file's.
    use_respawn : bool
        Whether nodes that end are started again.
    log_level : str
        One of ``LOG_LEVELS``.
    rviz, foxglove : bool
        Whether these viewers are started.
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

    vehicle: str = "drone"
    sim: str = "embedded"
    robot: str = ""
    world: str = ""
    drones: int = 1
    headless: bool = False
    gazebo: str = "auto"
    namespace: str = ""
    params_file: str = ""
    use_sim_time: bool | None = None
    record: bool = False
    policy: str = ""
    use_respawn: bool = True
    log_level: str = "info"
    rviz: bool = False
    foxglove: bool = False

    task: str = ""
    seed: int | None = None
    lockstep: bool | None = None
    real_time_factor: float | None = None
    bag_folder: str = ""

    def __post_init__(self) -> None:
        """Check every value, and those that must fit each other."""
        _one_of("vehicle", self.vehicle, VEHICLES)
        _one_of("sim", self.sim, SIMULATORS)
        _one_of("gazebo", self.gazebo, GAZEBO)
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
        if is_path(self.policy):
            if not Path(self.policy).expanduser().is_file():
                raise LnnError(f"policy:={self.policy} is no file: expected the path of a "
                               f".safetensors checkpoint, or the name of a policy that ships")
        elif self.policy:
            policies.path(self.policy)
        if self.robot:
            if self.sim != "none":
                raise LnnError(f"robot:={self.robot} does not go with sim:={self.sim}, which has "
                               f"a {self.vehicle} of its own: use sim:=none")
            kind = robots.load(self.robot).kind
            if self.vehicle == "rover" and kind != "rover":
                raise LnnError(f"robot:={self.robot} is a {kind}: expected a rover, or "
                               f"{kind}.launch.py")
        if not 1 <= self.drones <= _MOST_DRONES:
            raise LnnError(f"drones:={self.drones}: expected a whole number from 1 to "
                           f"{_MOST_DRONES}")
        self._check_what_belongs_to_one_simulator()
        if self.sim == "gazebo":
            self.gazebo_run()

    def _check_what_belongs_to_one_simulator(self) -> None:
        for name, value, sim in (
                ("world", self.world, "gazebo"), ("headless", self.headless, "gazebo"),
                ("gazebo", self.gazebo != "auto", "gazebo"),
                ("drones", self.drones > 1, "embedded"),
                ("seed", self.seed is not None, "embedded"), ("task", self.task, "embedded"),
                ("lockstep", self.lockstep is not None, "embedded"),
                ("real_time_factor", self.real_time_factor is not None, "embedded")):
            if value and self.sim != sim:
                raise LnnError(f"{name}:={getattr(self, name)} belongs to sim:={sim}: found "
                               f"sim:={self.sim}")

    @classmethod
    def parse(cls, texts: Mapping[str, str], vehicle: str = "drone") -> NodeOptions:
        """Return the options that launch arguments stand for.

        Parameters
        ----------
        texts : mapping of str to str
            Launch arguments by name; those that are not there have their default.
        vehicle : str
            Whose launch file it is.

        Raises
        ------
        LnnError
            When a name is unknown or a value is not one of those possible.
        """
        known = {argument.name: argument.default for argument in arguments(vehicle)}
        for name in texts:
            if name not in known:
                raise LnnError(f"{name} is no launch argument: expected one of {', '.join(known)}")
        text = {"drones": "1", **known, **{name: value.strip() for name, value in texts.items()}}
        use_sim_time, world = text["use_sim_time"], text["world"]
        # The embedded simulator makes its worlds of seeds.
        seeded = text["sim"] == "embedded" and world
        return cls(
            vehicle=vehicle, sim=text["sim"], robot=text["robot"], world="" if seeded else world,
            seed=_whole("world", world, "the seed of a world", _MOST_SEED) if seeded else None,
            drones=_whole("drones", text["drones"], "how many fly", _MOST_DRONES),
            gazebo=text["gazebo"], namespace=text["namespace"], params_file=text["params_file"],
            use_sim_time=(None if use_sim_time == "auto"
                          else _boolean("use_sim_time", use_sim_time, "true, false or auto")),
            policy=text["policy"], log_level=text["log_level"],
            headless=_switch(text, "headless"), record=_switch(text, "record"),
            use_respawn=_switch(text, "use_respawn"), rviz=_switch(text, "rviz"),
            foxglove=_switch(text, "foxglove"))

    def gazebo_run(self) -> running.Run:
        """Return what has to be started for Gazebo.

        Raises
        ------
        LnnError
            When its world is not there.
        """
        release = (of_ros(distributions.name()).name if self.gazebo == "auto"
                   else self.gazebo)
        return running.run(self.world, release, self.headless, self.namespace, self.vehicle)


def is_path(policy: str) -> bool:
    """Tell whether a policy is given by the path of its file."""
    return "/" in policy or policy.endswith(".safetensors")


def _one_of(name: str, value: str, possible: tuple[str, ...]) -> None:
    if value not in possible:
        raise LnnError(f"{name}:={value} is unknown: expected one of {', '.join(possible)}")


def _boolean(name: str, text: str, possible: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise LnnError(f"{name}:={text} is unknown: expected {possible}")
    return values[text.lower()]


def _switch(texts: Mapping[str, str], name: str) -> bool:
    return _boolean(name, texts[name], "true or false")


def _whole(name: str, text: str, what: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > most:
        raise LnnError(f"{name}:={text} is unknown: expected {what}, a whole number up to {most}")
    return int(text)
