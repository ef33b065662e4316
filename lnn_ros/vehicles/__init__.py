"""The vehicles, one file each: a file put here is in the registry.

Pure conversions: frames, units and signs, without ROS, a clock or a memory. The vehicle adapter
(``nodes/vehicle_adapter.py``) gives them messages to fill and to read.
"""

from __future__ import annotations

from functools import cache

from lnn_ros.errors import LnnError
from lnn_ros.registry import find
from lnn_ros.vehicles.base import UNHEARD, Command, Said, Vehicle

__all__ = ["UNHEARD", "Command", "Said", "Vehicle", "kinds", "make"]


@cache
def _registry() -> dict[str, type[Vehicle]]:
    return find(__name__, __path__, Vehicle)  # type: ignore[type-abstract]


def kinds() -> tuple[str, ...]:
    """Names of all vehicles."""
    return tuple(_registry())


def make(kind: str) -> Vehicle:
    """Return the vehicle of a name.

    Raises
    ------
    LnnError
        When there is no such vehicle.
    """
    if kind not in _registry():
        raise LnnError(f"vehicle {kind!r} found, expected one of {', '.join(kinds())}")
    return _registry()[kind]()
