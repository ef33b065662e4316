"""A DiagnosticStatus in Python's words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lnn_ros.timeline.samples import STREAMS

_LEVELS = {0: "ok", 1: "warn", 2: "error", 3: "stale"}


def sentence(status: Any) -> tuple[str, str]:
    """Return how grave a status is (ok, warn, error, stale; empty if there is none), and its text.

    rclpy has the level as bytes, other libraries as a number.
    """
    if status is None:
        return "", ""
    level = status.level
    number = level[0] if isinstance(level, bytes) else int(level)
    return _LEVELS.get(number, "error"), str(status.message).strip() or "it says nothing"


def said(status: Any) -> dict[str, str]:
    """Return the key-values of a status; none if there is none."""
    return {} if status is None else {str(p.key): str(p.value) for p in status.values}


_NO_DROPS = ("accepted", "rate_hz", "age_s", "silent_s", "estimated_offset_s")


def grown(messages: Iterable[Any], name: str) -> dict[str, int]:
    """Return which counts of dropped samples grew from the first to the last status of a name.

    Parameters
    ----------
    messages : iterable of DiagnosticArray
    name : str
        Of the status in them.
    """
    every = [said(status) for message in messages for status in message.status
             if status.name == name]
    if not every:
        return {}
    first, last = every[0], every[-1]
    found = {}
    for key, value in last.items():
        stream, _, reason = key.partition(".")
        if stream in STREAMS and reason not in _NO_DROPS and value.isdecimal():
            more = int(value) - int(first.get(key, "0") or 0)
            if more > 0:
                found[key] = more
    return found
