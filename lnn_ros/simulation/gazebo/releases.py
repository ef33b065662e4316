"""The releases of Gazebo that are written for, and all in which they differ."""

from __future__ import annotations

from dataclasses import dataclass

from lnn_ros.errors import LnnError


@dataclass(frozen=True)
class Release:
    """A release of Gazebo.

    Attributes
    ----------
    name : str
        As Gazebo spells it, in lower case.
    ros : str
        The ROS 2 distribution whose ``ros_gz`` goes with it.
    plugins : str
        What the file names of its systems begin with.
    systems : str
        Namespace of the systems' classes.
    messages : str
        What the names of its message types begin with.
    motor_index : str
        Element in which MulticopterMotorModel is told the number of its motor.
    command : tuple of str
        Command line of the simulator.
    resources : str
        Environment variable with the folders of the models.
    folder : str
        Where its files lie below ``worlds/``; empty: ``worlds/`` itself.
    """

    name: str
    ros: str
    plugins: str = "gz-sim"
    systems: str = "gz::sim::systems"
    messages: str = "gz.msgs"
    motor_index: str = "actuator_number"
    command: tuple[str, ...] = ("gz", "sim")
    resources: str = "GZ_SIM_RESOURCE_PATH"
    folder: str = ""

    @property
    def bridge(self) -> str:
        """Path of the bridge's file that ships for a drone."""
        return self.bridge_of("drone")

    def bridge_of(self, vehicle: str) -> str:
        """Return the path of the bridge's file that ships for a kind of vehicle."""
        name = "bridge" if vehicle == "drone" else f"bridge_{vehicle}"
        return f"config/gazebo/{name}{'_' if self.folder else ''}{self.folder}.yaml"

    def system(self, library: str, system: str) -> tuple[str, str]:
        """Return file name and class of a system, for example ("physics", "Physics")."""
        return f"{self.plugins}-{library}-system", f"{self.systems}::{system}"


RELEASES = {release.name: release for release in (
    Release("fortress", "humble", "ignition-gazebo", "ignition::gazebo::systems", "ignition.msgs",
            "motorNumber", ("ign", "gazebo"), "IGN_GAZEBO_RESOURCE_PATH", "fortress"),
    Release("harmonic", "jazzy"),
    Release("ionic", "kilted"),
    Release("jetty", "lyrical"),
)}
"""By name. The last three read the same files."""
DEFAULT = "harmonic"


def release(name: str) -> Release:
    """Return a release by its name.

    Raises
    ------
    LnnError
        When there is none of this name.
    """
    if name not in RELEASES:
        raise LnnError(f"Gazebo release {name!r} found, expected one of {', '.join(RELEASES)}")
    return RELEASES[name]


def of_ros(distribution: str) -> Release:
    """Return the release that goes with a ROS 2 distribution; ``DEFAULT`` for one not listed."""
    return next((r for r in RELEASES.values() if r.ros == distribution), RELEASES[DEFAULT])
