#!/usr/bin/env python3
"""Write worlds/ and config/gazebo/bridge*.yaml from the code.

`worlds.py --check` only tells whether they are up to date, with exit status 1 if not.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lnn_ros.simulation.gazebo.files import committed, write  # noqa: E402  (found only now)


def main() -> int:
    """Write or check the files; return the exit status."""
    files = committed()
    old = [name for name, text in files.items()
           if not (ROOT / name).is_file() or (ROOT / name).read_text() != text]
    extra = sorted(str(path.relative_to(ROOT)) for folder in ("worlds", "config/gazebo")
                   for path in (ROOT / folder).rglob("*")
                   if path.is_file() and path.relative_to(ROOT).as_posix() not in files)
    if "--check" in sys.argv[1:]:
        if old or extra:
            sys.stderr.write(f"{', '.join(old + extra)}: not as in the code: run "
                             f"scripts/worlds.py (and remove what it does not write)\n")
        return 1 if old or extra else 0
    write({name: files[name] for name in old}, ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
