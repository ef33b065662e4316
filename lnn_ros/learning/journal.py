"""Logs of JSON lines that are only appended to: what ends without a line feed was never written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lnn_ros.errors import LnnError

_T = TypeVar("_T")


def read(file: Path, made: Callable[[dict[str, Any]], _T], expected: str) -> list[_T]:
    """Return the lines of a log, in order; none if there is no file.

    Parameters
    ----------
    file : Path
    made : callable
        What a line, plain data, becomes; ValueError and TypeError say that it cannot be that.
    expected : str
        What that is, for the sentence.

    Raises
    ------
    LnnError
        When a line other than half a last one is damaged.
    """
    try:
        lines = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(lines[:-1], 1):  # what ends without a line feed is half one
        try:
            found.append(made(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise LnnError(f"{file}: line {number}: {error}: expected {expected}") from error
    return found


def append(file: Path, what: Mapping[str, Any]) -> None:
    """Add a line that is on the disk when this returns."""
    with file.open("a+b") as log:
        _drop_half_a_line(log)
        log.write((json.dumps(what) + "\n").encode())
        log.flush()
        os.fsync(log.fileno())


def _drop_half_a_line(log: Any) -> None:
    """Cut off what a kill has left of a line."""
    log.seek(0)
    whole = log.read()
    end = whole.rfind(b"\n") + 1
    if end < len(whole):
        log.truncate(end)
    log.seek(0, os.SEEK_END)
