"""What a parameter is: a field of a frozen dataclass that says what it may be, without ROS.

A field made by :func:`setting` is a ROS parameter of the same name; a field that is itself such a
dataclass is a group, whose parameters are named ``group.field``. From these come the parameters'
declaration and validation (``parameters.py``) and the table in the reference documentation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from lnn_ros.errors import LnnError

Value = bool | int | float | str
S = TypeVar("S")

_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


@dataclass(frozen=True)
class Row:
    """One parameter, as declared to ROS and as printed in the reference.

    Attributes
    ----------
    name : str
        Full name, ``group.field`` inside a group.
    default : bool, int, float or str
        Also states the type.
    description : str
        What it does; units included.
    low, high : float or None
        Least and greatest value of a number.
    when : str
        When a new value counts.
    fixed : bool
        Whether it can be set only while the node is unconfigured.
    """

    name: str
    default: Value
    description: str
    low: float | None
    high: float | None
    when: str
    fixed: bool

    @property
    def constraint(self) -> str:
        """What a value must be, in words."""
        if self.low is not None and self.high is not None:
            return f"{_TYPE_NAMES[type(self.default)]} in [{self.low:g}, {self.high:g}]"
        return _TYPE_NAMES[type(self.default)]

    def check(self, value: object) -> Value:
        """Return a value of the parameter's type.

        Raises
        ------
        LnnError
            When the value is of another type, not finite or out of range. A whole number is
            accepted where a number is expected.
        """
        wanted = type(self.default)
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted or (isinstance(value, float) and not math.isfinite(value)):
            raise LnnError(f"parameter {self.name} is {value!r}: expected {self.constraint}")
        assert isinstance(value, (bool, int, float, str))
        low, high = self.low, self.high
        if low is not None and high is not None and not low <= float(value) <= high:
            raise LnnError(f"parameter {self.name} is {value!r}: expected {self.constraint}")
        return value


AT_START = "at start"
"""Of a parameter that is given when the node is started, and stays."""


def setting(default: Value, description: str, low: float | None = None, high: float | None = None,
            when: str = "at configure", fixed: bool = True) -> Any:
    """Return a dataclass field that is a ROS parameter; see :class:`Row`."""
    metadata = {"description": description, "low": low, "high": high, "when": when, "fixed": fixed}
    return dataclasses.field(default=default, metadata=metadata)


def rows(settings: type[Any]) -> tuple[Row, ...]:
    """Return the parameters of a settings class, groups flattened."""
    found: list[Row] = []
    for field in dataclasses.fields(settings):
        if "description" in field.metadata:
            default: Any = field.default
            found.append(Row(field.name, default, **field.metadata))
        else:
            group = field.default_factory() if callable(field.default_factory) else field.default
            found += [dataclasses.replace(row, name=f"{field.name}.{row.name}",
                                          default=getattr(group, row.name))
                      for row in rows(type(group))]
    return tuple(found)


def build(settings: type[S], values: Mapping[str, Value]) -> S:
    """Return settings from parameter values by full name; defaults where a name is missing.

    Raises
    ------
    LnnError
        When the values do not fit each other.
    """
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        if "description" in field.metadata:
            if field.name in values:
                arguments[field.name] = values[field.name]
        elif callable(field.default_factory):
            group = field.default_factory()
            prefix = f"{field.name}."
            inside = {name[len(prefix):]: value for name, value in values.items()
                      if name.startswith(prefix)}
            arguments[field.name] = dataclasses.replace(group, **inside)
    return settings(**arguments)
