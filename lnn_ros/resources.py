"""Where the package's files lie: in a checkout, an environment or a colcon workspace."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lnn_ros.errors import LnnError

_CHECKOUT = Path(__file__).resolve().parent.parent


def share_path(relative: str) -> Path:
    """Return the path of a file under the package's share folder.

    Parameters
    ----------
    relative : str
        Path below the share folder, for example ``config/tasks/fly_to_target.yaml``.

    Returns
    -------
    Path
        The file in the checkout that this code runs from, else below an ``AMENT_PREFIX_PATH``
        entry, else below the Python environment's prefix.

    Raises
    ------
    LnnError
        When the file is in none of these places.
    """
    candidates = []
    if (_CHECKOUT / "package.xml").is_file():
        candidates.append(_CHECKOUT)
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    candidates += [Path(p) / "share" / "lnn_ros" for p in [*prefixes, sys.prefix]]
    for folder in candidates:
        if (folder / relative).is_file():
            return folder / relative
    looked = ", ".join(str(c) for c in candidates)
    raise LnnError(f"{relative} was not found in the lnn_ros share folder (looked in {looked}): "
                   f"is the package installed?")
