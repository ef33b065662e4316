"""The policies that ship with the package."""

from __future__ import annotations

from pathlib import Path

from lnn_ros.errors import LnnError


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
