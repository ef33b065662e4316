"""ROS parameters from a frozen dataclass of settings: declared, validated whole, set atomically."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from lnn_ros.errors import LnnError
from lnn_ros.nodes.parameter_rows import AT_START, Row, Value, build, rows

S = TypeVar("S")


def descriptor(row: Row) -> ParameterDescriptor:
    """Return what ``ros2 param describe`` shows of a parameter."""
    found = ParameterDescriptor(
        name=row.name, description=row.description,
        additional_constraints=f"{row.constraint}; a new value counts {row.when}"
        + (" and can be set only before" if row.fixed else ""))
    if row.low is None or row.high is None:
        return found
    if isinstance(row.default, int):
        found.integer_range = [IntegerRange(from_value=math.ceil(row.low),
                                            to_value=math.floor(row.high), step=1)]
    else:
        found.floating_point_range = [FloatingPointRange(from_value=float(row.low),
                                                         to_value=float(row.high), step=0.0)]
    return found


class Parameters(Generic[S]):
    """The parameters of one node.

    A value from a parameter file or the command line that is not possible does not stop the node:
    :meth:`settings` raises its sentence until a possible value has been set. A later set that is
    not possible is refused with the sentence, and nothing changes. What counts at the start only
    stays, unless the node was started with something that is not possible.

    Parameters
    ----------
    node : Node
        To declare the parameters on.
    settings : type
        Dataclass of ``settings.py``.
    is_configured : callable
        Tells whether parameters that are ``fixed`` must stay as they are.

    Attributes
    ----------
    changes : int
        How often parameters were set since the start.
    """

    def __init__(self, node: Node, settings: type[S], is_configured: Callable[[], bool]) -> None:
        self._settings, self._is_configured = settings, is_configured
        self._rows = {row.name: row for row in rows(settings)}
        self._values: dict[str, Value] = {}
        self.changes = 0
        self._problems: dict[str, str] = {}
        for row in self._rows.values():
            self._declare(node, row)
        node.add_on_set_parameters_callback(self._on_set)

    def _declare(self, node: Node, row: Row) -> None:
        """Declare a parameter; a bad override becomes a problem, not an exception."""
        anything = ParameterDescriptor(dynamic_typing=True)
        given: Any = node.declare_parameter(row.name, row.default, anything).value
        node.undeclare_parameter(row.name)
        try:
            value = row.check(given)
        except LnnError as error:
            self._problems[row.name] = str(error)
            value = row.default
        self._values[row.name] = value
        node.declare_parameter(row.name, value, descriptor(row), ignore_override=True)

    def settings(self) -> S:
        """Return all values as they stand.

        Raises
        ------
        LnnError
            When a value that the node was started with is not possible, or values do not fit.
        """
        if self._problems:
            raise LnnError("; ".join(self._problems.values()))
        return build(self._settings, self._values)

    def values(self) -> dict[str, Value]:
        """Return all values as they stand, by full name."""
        return dict(self._values)

    def _is_possible(self) -> bool:
        """Tell whether the values as they stand are possible, and fit each other."""
        try:
            self.settings()
        except LnnError:
            return False
        return True

    def _on_set(self, changes: list[Parameter]) -> SetParametersResult:
        mine = {p.name: p.value for p in changes if p.name in self._rows}
        try:
            checked = {name: self._rows[name].check(value) for name, value in mine.items()}
            for name, value in checked.items():
                if self._rows[name].fixed and value != self._values[name] and self._is_configured():
                    raise LnnError(f"parameter {name} stays {self._values[name]!r}: it counts "
                                   f"{self._rows[name].when} and can be set only before")
                if (self._rows[name].when == AT_START and value != self._values[name]
                        and self._is_possible()):
                    raise LnnError(f"parameter {name} stays {self._values[name]!r}: it counts when "
                                   f"the node is started, and then no more")
            build(self._settings, {**self._values, **checked})
        except LnnError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values.update(checked)
        self.changes += bool(checked)
        for name in checked:
            self._problems.pop(name, None)
        return SetParametersResult(successful=True)
