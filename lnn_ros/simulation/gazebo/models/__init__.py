"""The models that fly or drive in Gazebo, one file each: a file put here is in the registry."""

from __future__ import annotations

from functools import cache

from lnn_ros.errors import LnnError
from lnn_ros.registry import find
from lnn_ros.simulation.gazebo.models.base import Model

__all__ = ["Model", "kinds", "make"]


@cache
def _registry() -> dict[str, type[Model]]:
    return find(__name__, __path__, Model)  # type: ignore[type-abstract]


def kinds() -> tuple[str, ...]:
    """Names of all models."""
    return tuple(_registry())


def make(kind: str, name: str = "") -> Model:
    """Return the model of a kind, under another name than its own if one is given.

    Raises
    ------
    LnnError
        When there is no such model.
    """
    if kind not in _registry():
        raise LnnError(f"model {kind!r} found, expected one of {', '.join(kinds())}")
    return _registry()[kind](name)
