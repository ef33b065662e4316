"""What has to be started for a flight in Gazebo, as plain data: no launch, no simulator.

A launch file makes processes and nodes of it, the tests compare it with the files that
ship, and a person types the same lines.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lnn_ros.errors import LnnError
from lnn_ros.resources import share_path
from lnn_ros.simulation.gazebo.releases import of_ros, release

WORLDS = {"drone": "forest", "rover": "lane"}
"""The world that ships for each kind of vehicle."""
ADAPTED = {"drone": "gazebo_multicopter", "rover": "gazebo_rover"}
"""Robot profile of each in Gazebo."""


@dataclass(frozen=True)
class Server:
    """The simulator as a process.

    Attributes
    ----------
    command : tuple of str
        Its command line.
    environment : mapping of str to str
        What it needs besides the environment that there is.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Bridge:
    """The bridge as a ROS node of ``ros_gz_bridge``.

    Attributes
    ----------
    config_file : Path
        What is bridged.
    namespace : str
        Of the node; the relative names in the file are in it. Empty for the root.
    package, executable, name : str
        For launch's ``Node``.
    """

    config_file: Path
    namespace: str = ""
    package: str = "ros_gz_bridge"
    executable: str = "parameter_bridge"
    name: str = "gazebo_bridge"

    @property
    def parameters(self) -> dict[str, str]:
        """Its parameters."""
        return {"config_file": str(self.config_file)}

    @property
    def command(self) -> tuple[str, ...]:
        """Its command line."""
        words = ["ros2", "run", self.package, self.executable, "--ros-args", "-r",
                 f"__node:={self.name}"]
        if self.namespace:
            words += ["-r", f"__ns:=/{self.namespace.strip('/')}"]
        for name, value in self.parameters.items():
            words += ["-p", f"{name}:={value}"]
        return tuple(words)


@dataclass(frozen=True)
class Run:
    """Both together, and what the vehicle adapter has to be told.

    Attributes
    ----------
    server : Server
        Gazebo.
    bridge : Bridge
        Between its topics and ours.
    vehicle : str
        Value of the vehicle adapter's parameter ``vehicle``.
    """

    server: Server
    bridge: Bridge
    vehicle: str = field(default="gazebo_multicopter")


def run(world: str = "", gazebo: str = "", headless: bool = True,
        namespace: str = "", vehicle: str = "drone") -> Run:
    """Return what to start.

    Parameters
    ----------
    world : str
        Name of a world that ships, or path of an SDF file beside which lie its folder ``models``
        and its ``bridge.yaml``, as ``lnn_ros worlds`` writes them. Empty for the one that ships.
    gazebo : str
        Release of Gazebo. Empty for the one that goes with the ROS 2 that is sourced.
    headless : bool
        Without a window; cameras are rendered all the same (by EGL, without a display).
    namespace : str
        Namespace of our nodes.
    vehicle : str
        What flies or drives: a key of ``WORLDS``.

    Raises
    ------
    LnnError
        When a file is missing or the release is unknown.
    """
    found = release(gazebo) if gazebo else of_ros(os.environ.get("ROS_DISTRO", ""))
    if world.endswith(".sdf") or "/" in world:
        path = Path(world).expanduser().resolve()
        if not path.is_file():
            raise LnnError(f"world:={world} is no file: expected the path of an SDF file, or the "
                           f"name of a world that ships, such as {WORLDS[vehicle]}")
        config_file = path.parent / "bridge.yaml"
        if not config_file.is_file():
            raise LnnError(f"{config_file} is no file: expected the bridge's file beside the "
                           f"world's, as `lnn_ros worlds` writes both")
    else:
        path = share_path(str(Path("worlds", found.folder, f"{world or WORLDS[vehicle]}.sdf")))
        config_file = share_path(found.bridge_of(vehicle))
    before = os.environ.get(found.resources, "")
    folders = os.pathsep.join(filter(None, (str(path.parent / "models"), before)))
    options = ("-r", *(("-s", "--headless-rendering") if headless else ()))
    return Run(Server((*found.command, *options, str(path)), {found.resources: folders}),
               Bridge(config_file, namespace.strip("/")), ADAPTED[vehicle])
