"""What differs between the distributions of ROS 2 that the package runs on: all of it is here.

Two differences are not, because they are tables of their own: which Gazebo goes with which
distribution (``simulation/gazebo/releases.py``), and which packages an environment gets
(``scripts/bootstrap.py``, ``constraints/``). Python 3.10 (Humble) to 3.14 need no branches.

Nothing of rclpy is imported until it is asked for: this module is read before DDS is loaded.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import MutableMapping
from typing import Any

SUPPORTED = ("humble", "jazzy", "kilted", "lyrical")
"""Distributions that the package is written for, oldest first."""
TESTED = ("jazzy", "kilted")
"""Those of them that ``make campaign`` runs the tests on, from the wheels of PyPI."""

DDS_PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""Variables that name Fast DDS's profiles, of version 2 and of version 3."""

_OF_RCLPY = {"3": "humble", "7": "jazzy", "9": "kilted"}


def name() -> str:
    """Return the distribution's name; empty where it cannot be told.

    The wheels of PyPI set no ``ROS_DISTRO``: there, rclpy's version tells.
    """
    if os.environ.get("ROS_DISTRO"):
        return os.environ["ROS_DISTRO"]
    try:
        return _OF_RCLPY.get(importlib.metadata.version("ros-rclpy").partition(".")[0], "")
    except importlib.metadata.PackageNotFoundError:
        return ""


def dds_profile(file: str) -> tuple[str, str]:
    """Return the variable that names Fast DDS's profiles, and the file, below the share folder.

    Fast DDS 2 (Humble, Jazzy) and 3 (Kilted and later) spell elements differently, and refuse each
    other's whole file. 3 still reads the variable of 2, and prefers it: only one must be set.

    Parameters
    ----------
    file : str
        File below ``config/dds``, as for version 2.
    """
    if name() in ("humble", "jazzy"):
        return DDS_PROFILES[0], f"config/dds/{file}"
    return DDS_PROFILES[1], f"config/dds/fast_dds_3/{file}"


def stay_local(environ: MutableMapping[str, str]) -> None:
    """Have nodes see only those of this machine, unless the user has said otherwise.

    Parameters
    ----------
    environ : mutable mapping of str to str
        Of the process, or of those to be started.
    """
    environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if name() == "humble":  # which knows only this; later ones warn of it
        environ.setdefault("ROS_LOCALHOST_ONLY", "1")


def executor() -> Any:
    """Return what serves a node's callbacks.

    The middleware tells the executor for events what has come; the other asks all of a node's
    entities before every wait, dozens of them. Humble has only the other. Waits must be of finite
    length: no signal ends ``spin()`` of the first.
    """
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        from rclpy.executors import SingleThreadedExecutor

        return SingleThreadedExecutor()
    return EventsExecutor()
