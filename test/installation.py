"""Install the package as pip does, into a folder of its own, for tests of what users get."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("LICENSE", "config", "launch", "lnn_ros", "package.xml", "pyproject.toml", "resource",
          "scripts", "setup.cfg", "setup.py", "worlds")


def install(folder: Path) -> tuple[Path, dict[str, str]]:
    """Build and install a copy of the checkout.

    Parameters
    ----------
    folder : Path
        Empty folder for the copy and the installation.

    Returns
    -------
    prefix : Path
        Where it is installed.
    env : dict of str to str
        Environment in which Python and ``ros2`` find it there before anywhere else.
    """
    source, prefix = folder / "source", folder / "prefix"
    source.mkdir()
    for path in filter(Path.exists, (ROOT / name for name in NEEDED)):
        if path.is_dir():
            shutil.copytree(path, source / path.name,
                            ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", "--disable-pip-version-check", "--ignore-installed",
         f"--prefix={prefix}", str(source)], check=True, cwd=folder)
    (site,) = prefix.glob("lib/python3*/site-packages")
    prefixes = [str(prefix), os.environ.get("AMENT_PREFIX_PATH") or sys.prefix]
    python_path = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "AMENT_PREFIX_PATH": os.pathsep.join(prefixes),
           "PYTHONPATH": os.pathsep.join(python_path),
           "PATH": os.pathsep.join([str(prefix / "bin"), str(Path(sys.prefix) / "bin"),
                                    os.environ["PATH"]])}
    return prefix, env
