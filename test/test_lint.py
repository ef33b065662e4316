"""The linters: ruff, mypy, bandit and those of ament that exist outside a ROS installation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [str(p) for name in ("lnn_ros", "launch", "test", "benchmark", "scripts", "setup.py")
           if (p := ROOT / name).exists()]

AMENT = "import sys; from {0}.main import main; sys.exit(main(sys.argv[1:]))"
LINTERS = {
    "ruff": ["-m", "ruff", "check", "--no-cache", "."],
    "mypy": ["-m", "mypy"],
    "ament_flake8": ["-c", AMENT.format("ament_flake8"), "--config", "setup.cfg", *SOURCES],
    # Tests may do what a program must not.
    "bandit": ["-m", "bandit", "--quiet", "--configfile", "pyproject.toml", "--recursive",
               *(source for source in SOURCES if source != str(ROOT / "test"))],
    # As in pyproject.toml: numpy sections, less what the author of a summary line knows best.
    "ament_pep257": ["-c", AMENT.format("ament_pep257"), "--convention", "numpy", "--add-ignore",
                     "D102", "D105", "D107", "D401", "--", *SOURCES[:2]],
}


@pytest.mark.parametrize("linter", LINTERS)
def test_linter_finds_nothing(linter: str) -> None:
    done = subprocess.run([sys.executable, *LINTERS[linter]], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, f"{linter} found:\n{done.stdout}"
