"""Fields of dataclasses that are parameters: what each says of itself, and how it is held to it.

They carry what ``lnn_ros.nodes.settings`` wants of a ROS parameter.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from lnn_ros.errors import LnnError


def parameter(
    default: bool | float, description: str, low: float | None = None, high: float | None = None
) -> Any:
    """Return a dataclass field with what makes it a ROS parameter."""
    metadata = {
        "description": description,
        "low": low,
        "high": high,
        "when": "at once",
        "fixed": False,
    }
    return dataclasses.field(default=default, metadata=metadata)


def check(group: Any, name: str) -> None:
    """Raise a sentence where a field of a group is of another type or out of its range.

    Raises
    ------
    LnnError
        It names group and field.
    """
    for item in dataclasses.fields(group):
        value = getattr(group, item.name)
        low, high = item.metadata["low"], item.metadata["high"]
        if isinstance(item.default, bool):
            if not isinstance(value, bool):
                raise LnnError(f"{name}.{item.name} is {value!r}: expected true or false")
        elif (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not (low <= value <= high)
        ):
            raise LnnError(
                f"{name}.{item.name} is {value!r}: expected a number in [{low:g}, {high:g}]"
            )
