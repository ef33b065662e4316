"""A DiagnosticStatus in Python's words."""

from __future__ import annotations

from typing import Any

_LEVELS = {0: "ok", 1: "warn", 2: "error", 3: "stale"}


def sentence(status: Any) -> tuple[str, str]:
    """Return how grave a status is (ok, warn, error, stale; empty if there is none), and its text.

    rclpy has the level as bytes, other libraries as a number.
    """
    if status is None:
        return "", ""
    level = status.level
    number = level[0] if isinstance(level, bytes) else int(level)
    return _LEVELS.get(number, "error"), str(status.message)


def said(status: Any) -> dict[str, str]:
    """Return the key-values of a status; none if there is none."""
    return {} if status is None else {str(p.key): str(p.value) for p in status.values}
