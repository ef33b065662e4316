"""A JSON file of runs that goes on after a kill: what it holds, written whole, by one at a time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lnn_ros.errors import LnnError


def stored(path: Path | None, settings: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the runs that a file holds.

    Parameters
    ----------
    path : Path, optional
        Without one, or where there is none yet, there are no runs.
    settings : mapping
        What all runs of a file share, as JSON gives it back.
    kind : str
        What the file holds, for the error.

    Raises
    ------
    LnnError
        When the file is none of ours, or was made with other settings.
    """
    if path is None or not path.exists():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        runs, before = dict(data["runs"]), dict(data["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise LnnError(f"{path}: {error!r} found, expected {kind}") from error
    for name in sorted({*before, *settings}):
        if before.get(name) != settings.get(name):
            raise LnnError(f"{path}: made with {name} {before.get(name)!r}, expected "
                           f"{settings.get(name)!r}: give the same options, or name another file")
    return runs


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON such that a kill leaves the old or the new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    half.replace(path)


@contextmanager
def locked(path: Path | None, wait: bool = False) -> Iterator[None]:
    """Keep others from a file while it is read and written; without a file, do nothing.

    The lock is on a file beside, because each writing makes the file itself a new one. It goes with
    the process that holds it, however that ends; a file that a kill left behind locks nothing.

    Parameters
    ----------
    path : Path, optional
    wait : bool
        For whoever holds it now, in place of an error.

    Raises
    ------
    LnnError
        When another holds it.
    """
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    handle = _take(path, lock, wait)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def _take(path: Path, lock: Path, wait: bool) -> int:
    """Return the open lock file, locked."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # Whoever held it before has removed its file: then what we hold is nobody's lock.
            if lock.exists() and os.path.samestat(os.fstat(handle), lock.stat()):
                return handle
        except BlockingIOError as error:
            holder = os.pread(handle, 20, 0).decode() or "another"
            os.close(handle)
            raise LnnError(f"{path}: process {holder} writes its runs there, expected nobody: "
                           f"wait for its end, or name another file") from error
        except FileNotFoundError:
            pass  # removed between our two looks
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
