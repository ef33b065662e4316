"""The encoders, one file each: a file put here is in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from lnn_ros.errors import LnnError
from lnn_ros.liquid.encoders.base import Encoder
from lnn_ros.registry import find

__all__ = ["Encoder", "encoder_from_json", "kinds"]


@cache
def _registry() -> dict[str, type[Encoder]]:
    return find(__name__, __path__, Encoder)  # type: ignore[type-abstract]


def kinds() -> tuple[str, ...]:
    """Names of all encoders."""
    return tuple(_registry())


def encoder_from_json(data: Mapping[str, Any]) -> Encoder:
    """Build an encoder from plain data, with all checks.

    Raises
    ------
    LnnError
        When the kind is unknown or an entry is wrong.
    """
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str) or kind not in _registry():
        raise LnnError(f"encoder: kind is {kind!r}, expected one of {', '.join(kinds())}")
    return _registry()[kind].from_json(data)
