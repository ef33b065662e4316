"""The cells, one file each: a file put here is in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.base import Cell, Layer
from lnn_ros.registry import find

__all__ = ["Cell", "Layer", "cell_from_json", "cell_type", "kinds"]


@cache
def _registry() -> dict[str, type[Cell]]:
    return find(__name__, __path__, Cell)  # type: ignore[type-abstract]


def kinds() -> tuple[str, ...]:
    """Names of all cells."""
    return tuple(_registry())


def cell_type(kind: str) -> type[Cell]:
    """Return a cell's class.

    Raises
    ------
    LnnError
        When there is no such cell.
    """
    if kind not in _registry():
        raise LnnError(f"cell {kind!r} found, expected one of {', '.join(kinds())}")
    return _registry()[kind]


def cell_from_json(data: Mapping[str, Any]) -> Cell:
    """Build a cell from plain data, with all checks.

    Raises
    ------
    LnnError
        When the kind is unknown or an entry is wrong.
    """
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str):
        raise LnnError(f"cell: kind is {kind!r}, expected one of {', '.join(kinds())}")
    return cell_type(kind).from_json(data)
