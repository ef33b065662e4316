"""The policies that ship with the package."""

from __future__ import annotations

import os
from pathlib import Path

from lnn_ros.errors import LnnError

LIVE, TRIAL = "live.safetensors", "trial.safetensors"
"""Links of a policy store: to what flies, and to what is to be tried by the next ``~/swap``."""


def names() -> tuple[str, ...]:
    """Names of all policies that ship."""
    return tuple(sorted(file.stem for file in Path(__file__).parent.glob("*.safetensors")))


def ships(name: str) -> bool:
    """Whether a policy of this name ships."""
    return name in names()


def path(name: str) -> Path:
    """Return the file of a policy that ships, by its name.

    Raises
    ------
    LnnError
        When there is none of this name.
    """
    if not ships(name):
        raise LnnError(f"policy {name!r} does not ship with this package, which has "
                       f"{', '.join(names()) or 'none'}")
    return Path(__file__).parent / f"{name}.safetensors"


def find(name: str) -> Path:
    """Return the file that a parameter or an option names: a path, or a policy that ships.

    Parameters
    ----------
    name : str
        With a slash or ending in .safetensors it is a path, whether there is a file or not.

    Raises
    ------
    LnnError
        When it is no path, and no policy of this name ships.
    """
    if "/" in name or name.endswith(".safetensors"):
        return Path(name).expanduser()
    return path(name)


def newcomer(name: str) -> Path:
    """Return the file that is to take over in flight: as ``find``, but for a store.

    Whose name is a store's link to what flies gets the candidate that is to be tried there, while
    there is one. A start never does.
    """
    file = find(name)
    if file.name != LIVE:
        return file
    trial = file.with_name(TRIAL)
    return trial if os.path.exists(trial) else file  # never raises: a lost disk is no link
