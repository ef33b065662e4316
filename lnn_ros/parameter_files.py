"""Parameter files as ROS reads them, without ROS: what a file says to which node.

A file holds blocks of ``ros__parameters`` below the names of the nodes that they are for, in which
``*`` stands for one part of a name and ``**`` for any number of them. Parameters may be nested in
groups, whose names and theirs are joined by dots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lnn_ros.errors import LnnError
from lnn_ros.resources import share_path

SHIPPED = "config/nodes/drone.yaml"
"""The drone's, below the package's share folder."""

_BLOCK = "ros__parameters"


def values(path: Path, node: str) -> dict[str, Any]:
    """Return what a parameter file says to a node.

    Parameters
    ----------
    path : Path
        The file.
    node : str
        Full name of the node, such as ``/drone1/controller``.

    Returns
    -------
    dict
        Values by the parameters' full names; of blocks that both fit the node the later one wins.

    Raises
    ------
    LnnError
        When the file cannot be read, or is no parameter file.
    """
    try:
        tree = load(path)
        blocks = [(_pattern(name), flat(block, _BLOCK)) for name, block in _blocks(tree, "")]
    except LnnError as error:
        raise LnnError(f"parameter file {path}: {error}") from error
    if not blocks:
        raise LnnError(f"parameter file {path} holds no {_BLOCK}: expected blocks of them, as in "
                       f"{share_path(SHIPPED)}")
    return {name: value for pattern, block in blocks if pattern.fullmatch(node)
            for name, value in block.items()}


def load(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises
    ------
    LnnError
        When it cannot be read, or is no YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LnnError(f"no YAML ({' '.join(str(error).split())})") from error


def flat(tree: Any, what: str) -> dict[str, Any]:
    """Return the values of nested groups by their full names, ``group.name``.

    Parameters
    ----------
    tree : object
        Expected to be a mapping, whose keys are texts.
    what : str
        How a sentence calls it.

    Raises
    ------
    LnnError
        When it, or one of its groups, is something else.
    """
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise LnnError(f"{what} is {tree!r:.80}: expected a mapping")
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found.update({f"{key}.{name}": inner
                          for name, inner in flat(value, f"{what}.{key}").items()})
        else:
            found[key] = value
    return found


def _blocks(tree: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the blocks below a name, which may be a namespace, with the names they are for."""
    if not isinstance(tree, dict):
        return
    for key, value in tree.items():
        if key == _BLOCK:
            yield name, value
        else:
            yield from _blocks(value, f"{name}/{str(key).strip('/')}")


def _pattern(name: str) -> re.Pattern[str]:
    """Return what the full names of the nodes match that a block is for."""
    parts = {"*": "/[^/]+", "**": "(/[^/]+)*"}
    return re.compile("".join(parts.get(part, "/" + re.escape(part))
                              for part in name.strip("/").split("/")))
