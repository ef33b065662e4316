"""Parameter files as ROS reads them, without ROS: what a file says to which node.

A file holds blocks of ``ros__parameters`` below the names of the nodes that they are for, in which
``*`` stands for one part of a name and ``**`` for any number of them. Parameters may be nested in
groups, whose names and theirs are joined by dots.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lnn_ros.errors import LnnError
from lnn_ros.resources import share_path

SHIPPED = "config/nodes/drone.yaml"
"""The drone's, below the package's share folder."""


def shipped(vehicle: str) -> str:
    """Return the parameter file that ships for a kind of vehicle, below the share folder."""
    return f"config/nodes/{vehicle}.yaml"


_BLOCK = "ros__parameters"
# As rcl_yaml_param_parser tells the types of what is not in quotes (parse.c: get_value), which is
# not as YAML does: 1e3 is a number, 1_000 a text, y a boolean, and 010 is eight.
_BOOLEANS = {**dict.fromkeys(("y", "yes", "true", "on"), True),
             **dict.fromkeys(("n", "no", "false", "off"), False)}
_WHOLE = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_REAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_ODD = re.compile(r"[-+]?\.?(?:inf|Inf|INF|nan|NaN|NAN)")


class _Loader(yaml.SafeLoader):
    """YAML with the types of ROS; keys are texts, whatever they look like."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # as in the base

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is no text",
                                                        key.start_mark)
            found[key.value] = self.construct_object(value, deep=True)
        return found


def _scalar(loader: _Loader, node: yaml.ScalarNode) -> bool | int | float | str:
    text = str(node.value)
    if node.style is not None:  # in quotes
        return text
    if text in _BOOLEANS or (text.lower() in _BOOLEANS and text in (text.upper(), text.title())):
        return _BOOLEANS[text.lower()]
    if _WHOLE.fullmatch(text):
        digits = text.lstrip("+-")
        octal = len(digits) > 1 and digits[0] == "0" and digits[1] not in "xX"
        value = int(digits, 8 if octal else 0)
        return -value if text[0] == "-" else value
    if _REAL.fullmatch(text):
        return float(text)
    if _ODD.fullmatch(text):
        number = math.nan if text[-1] in "nN" else math.inf
        return -number if text[0] == "-" else number
    return text


_Loader.add_constructor("tag:yaml.org,2002:str", _scalar)
_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_mapping)


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
        blocks = [(_pattern(name), block) for name, block in _blocks(tree, "")]
        fitting = [flat(block, _BLOCK) for pattern, block in blocks if pattern.fullmatch(node)]
    except LnnError as error:
        raise LnnError(f"parameter file {path}: {error}") from error
    if not blocks:
        raise LnnError(f"parameter file {path} holds no {_BLOCK}: expected blocks of them, as in "
                       f"{share_path(SHIPPED)}")
    return {name: value for block in fitting for name, value in block.items()}


def load(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises
    ------
    LnnError
        When it cannot be read, or is no YAML.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return yaml.load(file, _Loader)  # nosec B506  # a SafeLoader
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
