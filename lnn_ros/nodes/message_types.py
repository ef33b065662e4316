"""Message types by their names, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from lnn_ros.errors import LnnError


def message_type(kind: str) -> type[Any]:
    """Return the Python class of a message type ``package/msg/Name``.

    Raises
    ------
    LnnError
        When it is not installed.
    """
    package, _, name = kind.split("/")
    try:
        found: type[Any] = getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise LnnError(f"message type {kind} is not installed for Python ({error})") from error
    return found
