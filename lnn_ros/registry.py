"""Kinds found by listing a folder: a new one is one file."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar

from lnn_ros.errors import LnnError

T = TypeVar("T")


def find(package: str, path: Any, base: type[T]) -> dict[str, type[T]]:
    """Return the classes below ``base`` that a package's files define, by their ``kind``.

    Raises
    ------
    LnnError
        When two of them have the same kind.
    """
    found: dict[str, type[T]] = {}
    for entry in iter_modules(path):
        module = import_module(f"{package}.{entry.name}")
        for value in vars(module).values():
            if (
                isinstance(value, type)
                # First of all: to Python 3.10 dict[str, int] is a type, but issubclass refuses it.
                and value.__module__ == module.__name__
                and issubclass(value, base)
                and "kind" in vars(value)
            ):
                kind = value.kind  # type: ignore[attr-defined]
                if kind in found:
                    raise LnnError(f"{package}: two of kind {kind!r} found, expected one")
                found[kind] = value
    return dict(sorted(found.items()))
