#!/usr/bin/env python3
"""Make the policies that ship anew, by their recipes (`lnn_ros/policies/recipes.py`).

    policies.py [--out FOLDER] [--workers N] [--show] [NAME ...]

Without a name, all of them. Each is made in FOLDER/NAME (runs/policies), and goes on there where it
was stopped. What ships is not touched: first fly what was made beside it.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess  # nosec B404
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lnn_ros.learning import executors  # noqa: E402  (found only now)
from lnn_ros.policies.recipes import RECIPES, commands  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """Run the commands, or show them; return the exit status of the first that fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--out", type=Path, default=Path("runs/policies"))
    parser.add_argument("--show", action="store_true", help="print the commands, run none")
    executors.add_arguments(parser.add_argument)
    args = parser.parse_args(argv)
    names = args.names or list(RECIPES)
    unknown = [name for name in names if name not in RECIPES]
    if unknown:
        sys.stderr.write(f"lnn_ros: no policy {', '.join(unknown)} ships, expected some of "
                         f"{', '.join(RECIPES)}\n")
        return 2
    who = ["--workers", str(args.workers), *(["--ray", args.ray] if args.ray else [])]
    for name in names:
        folder = args.out / name
        for step in commands(name, folder, who):
            print(shlex.join(["lnn_ros", *step]), flush=True)
            if args.show:
                continue
            done = subprocess.run(  # nosec B603  # a list of words, no shell
                [sys.executable, "-m", "lnn_ros.cli", *step], check=False)
            if done.returncode:
                return done.returncode
        if not args.show:
            print(f"{folder / 'policy.safetensors'}: fly it with lnn_ros evaluate --task {name} "
                  f"--policy {folder / 'policy.safetensors'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
