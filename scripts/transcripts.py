"""Write what `ros2 launch` prints in every mode, as the tests run it, into a page of the docs.

    python scripts/transcripts.py [--out docs/results/launch.md]

with the Python of an environment that has `ros2 launch`: the tests of ``test/launch`` are run, and
the page is made of what their ``ros2`` commands printed, if all of them pass. Stamps, process ids
and the tests' own folders are left out, and the middle of what is long.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import subprocess  # nosec B404
import sys
import tempfile
from pathlib import Path
from typing import Any

from lnn_ros.learning.jobs import provenance

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/results/launch.md"
HEAD = """# What `ros2 launch` prints

Made by `python scripts/transcripts.py` of the commands that `test/launch` runs on an installed
copy of the package, with the launch of ROS 2 itself. All of these tests passed. Where Gazebo is
flown, a program stands in for `gz` and another one for its bridge.

Commit {commit}; {versions}.
"""
FIRST, LAST = 26, 12  # lines that are kept of what is longer than both together

_LEFT_OUT = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""), (re.compile(r"\[\d{9,}\.\d+\] "), ""),
    (re.compile(r"(?<=pid \[)\d+|(?<=pid )\d+"), ".."),
    (re.compile(r"/\S*?/pytest-of-[^/]+/pytest-\d+/[^/\s]+"), "/..."),
)
_USELESS = ("All log files can be found below", "Default logging verbosity")


def cleaned(log: str) -> list[str]:
    """Return the lines of a log without what another run would print otherwise."""
    for pattern, instead in _LEFT_OUT:
        log = pattern.sub(instead, log)
    lines = [line.rstrip() for line in log.splitlines()
             if line.strip() and not any(words in line for words in _USELESS)]
    if len(lines) <= FIRST + LAST + 1:
        return lines
    return [*lines[:FIRST], f"... ({len(lines) - FIRST - LAST} lines)", *lines[-LAST:]]


def page(found: list[dict[str, Any]], commit: str, versions: str) -> str:
    """Return the page: one section for each test, one block for each command in it."""
    text, section = [HEAD.format(commit=commit, versions=versions)], ""
    for entry in found:
        title = entry["test"].removeprefix("test_").partition("[")[0].replace("_", " ")
        if title != section:
            section = title
            text.append(f"## {title[0].upper()}{title[1:]}\n")
        lines = [f"$ ros2 {' '.join(cleaned(' '.join(entry['words'])))}", *cleaned(entry["log"])]
        if entry["status"]:
            lines.append(f"(exit status {entry['status']})")
        text.append("".join(f"    {line}\n" for line in lines))
    return "\n".join(text)


def main() -> int:
    """Run the tests and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=PAGE)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(  # nosec B603  # a list of words, no shell
            [sys.executable, "-m", "pytest", "-q", "test/launch"], cwd=ROOT, check=False,
            env={**os.environ, "LNN_ROS_TRANSCRIPTS": folder})
        kept = sorted(Path(folder).iterdir())
        if done.returncode or not kept:
            print(f"the launch tests ended with {done.returncode} and {len(kept)} transcripts: "
                  f"expected that they pass, in an environment with ros2 launch", file=sys.stderr)
            return 1
        found = [json.loads(file.read_text(encoding="utf-8")) for file in kept]
    commit = provenance("")["commit"]
    versions = ", ".join(f"{found.metadata['Name']} {found.version}"
                         for found in importlib.metadata.distributions()
                         if found.metadata["Name"] in ("launch", "rclpy", "ros-rclpy"))
    args.out.write_text(page(found, commit, versions), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
