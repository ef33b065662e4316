"""The controller's parameters: from its trace, or from the file that it is started with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from lnn_ros.errors import LnnError
from lnn_ros.nodes.settings import ControllerSettings, Value, build, rows
from lnn_ros.trace import read_settings as read_settings_text

_NODE = "controller"


def read_settings(path: Path) -> ControllerSettings:
    """Read a ROS parameter file: what it says for all nodes, then what for the controller.

    Parameters of other nodes are passed over.

    Raises
    ------
    LnnError
        When the file cannot be read, is no parameter file, or holds an impossible value.
    """
    try:
        blocks = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise LnnError(f"parameter file {path} cannot be read ({reason}): expected YAML") from error
    known = {row.name: row for row in rows(ControllerSettings)}
    values: dict[str, Value] = {}
    if not isinstance(blocks, dict):
        raise LnnError(f"parameter file {path} holds {type(blocks).__name__}: expected blocks such "
                       f"as '/**:' with ros__parameters")
    # What is said for a node by name wins, as in ROS.
    for node in sorted(blocks, key=lambda name: str(name).endswith(_NODE)):
        block = blocks[node]
        if not str(node).endswith(("**", _NODE)):
            continue
        if not isinstance(block, dict) or not isinstance(block.get("ros__parameters"), dict):
            raise LnnError(f"parameter file {path}: block {node!r} has no ros__parameters")
        for name, value in _flat(block["ros__parameters"], ""):
            if name in known:
                values[name] = known[name].check(value)
    return build(ControllerSettings, values)


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


def _flat(block: Mapping[object, object], prefix: str) -> Iterator[tuple[str, object]]:
    """Yield full names and values of nested parameters."""
    for name, value in block.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
