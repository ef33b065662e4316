"""The controller's parameters: from its trace, or from the file that it is started with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lnn_ros import parameter_files
from lnn_ros.errors import LnnError
from lnn_ros.nodes.parameter_rows import build, rows
from lnn_ros.nodes.settings import ControllerSettings
from lnn_ros.trace import read_settings as read_settings_text


def read_settings(path: Path, node: str) -> ControllerSettings:
    """Return what a ROS parameter file says to a controller; others' parameters are passed over.

    Parameters
    ----------
    path : Path
        The file.
    node : str
        Full name of the controller.

    Raises
    ------
    LnnError
        When the file cannot be read, is no parameter file, or holds an impossible value.
    """
    known = {row.name: row for row in rows(ControllerSettings)}
    said = parameter_files.values(path, node)
    if not said:
        raise LnnError(f"parameter file {path} says nothing to {node}: expected a block for it, "
                       f"such as '/**:'")
    return build(ControllerSettings, {name: known[name].check(value)
                                      for name, value in said.items() if name in known})


def from_trace(text: str) -> ControllerSettings:
    """Read the settings that a trace tells; another version's parameters are passed over.

    Raises
    ------
    LnnError
        When they are no settings, or impossible ones.
    """
    known = {row.name: row for row in rows(ControllerSettings)}
    told = read_settings_text(text)
    return build(ControllerSettings, {name: known[name].check(value)
                                      for name, value in told.items() if name in known})


def from_notes(notes: Mapping[str, str]) -> ControllerSettings | None:
    """Read the settings that a bag's ``custom_data`` tells as ``parameters``; None without them.

    Raises
    ------
    LnnError
        When they are no settings, or impossible ones.
    """
    text = notes.get("parameters")
    return None if text is None else from_trace(text)
