#!/usr/bin/env python3
"""Run the tests on each distribution of ROS 2 that PyPI has, and keep what came of them.

    distributions.py [--json FILE] [--only UNIT,...] [--distributions NAME,...] [--again]

A unit is a folder below test/, or `top` for the files beside them. Each distribution has an
environment of its own, which scripts/bootstrap.py makes. What is stored for this commit is not run
again, so the same command goes on where it was stopped. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess  # nosec B404
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree  # nosec B405  # reads what pytest has just written

ROOT = Path(__file__).resolve().parent.parent
# By distribution: the environment's folder, and its extra of setup.py with the ROS packages.
ENVIRONMENTS = {"jazzy": (".venv", "ros"), "kilted": (".venv-kilted", "kilted")}
EXTRAS = "sim,train,dev"
LIMIT_S = 3600
_NOT_OURS = ("LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE", "AMENT_PREFIX_PATH", "ROS_DISTRO",
             "PYTHONPATH")


def main(argv: list[str] | None = None) -> int:
    """Run what is left; return 0 when everything that is asked for has passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, default=ROOT / "docs/results/distributions.json",
                        metavar="FILE", help="keep the results here (default: %(default)s)")
    parser.add_argument("--only", default=",".join(units()), metavar="UNIT,...",
                        help="these units (default: %(default)s)")
    parser.add_argument("--distributions", default=",".join(ENVIRONMENTS), metavar="NAME,...",
                        help="on these (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="run what is stored once more")
    args = parser.parse_args(argv)
    wanted, names = args.only.split(","), args.distributions.split(",")
    for kind, given, known in (("--only", wanted, units()),
                               ("--distributions", names, tuple(ENVIRONMENTS))):
        unknown = [word for word in given if word not in known]
        if unknown:
            sys.stderr.write(f"lnn_ros: {kind} names {', '.join(unknown)}: expected some of "
                             f"{', '.join(known)}\n")
            return 2
    results = json.loads(args.json.read_text()) if args.json.is_file() else {}
    failed = False
    for name in names:
        venv, extra = ENVIRONMENTS[name]
        # Not this interpreter, if it is one of ROS's environments: they do not start each other.
        python = os.path.join(sys.base_prefix, "bin", "python3")
        made = run([python, "scripts/bootstrap.py", f"{extra},{EXTRAS}", venv])
        if made.returncode != 0:
            return made.returncode
        found = results.setdefault(name, {"units": {}})
        found.update(versions(venv))
        for unit in wanted:
            stored = found["units"].get(unit, {})
            if stored.get("commit") != commit() or args.again:
                stored = found["units"][unit] = tests(venv, unit)
                args.json.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
            failed = failed or bool(stored["failures"]) or stored["status"] not in (0, 5)
            print(f"{name:8s} {unit:12s} {stored['passed']} passed, {stored['skipped']} skipped, "
                  f"{len(stored['failures'])} failed, {stored['seconds']:.0f} s", flush=True)
    return 1 if failed else 0


def units() -> tuple[str, ...]:
    """Return what the tests are run in, one process each."""
    folders = sorted(path.name for path in (ROOT / "test").iterdir()
                     if path.is_dir() and list(path.rglob("test_*.py")))
    return ("top", *folders)


def tests(venv: str, unit: str) -> dict[str, Any]:
    """Run a unit's tests; return what came of them."""
    paths = ([f"test/{unit}"] if unit != "top"
             else sorted(str(p.relative_to(ROOT)) for p in (ROOT / "test").glob("test_*.py")))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        try:
            status = run([f"{venv}/bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider",
                          f"--junitxml={report}", *paths], timeout=LIMIT_S, quiet=True).returncode
        except subprocess.TimeoutExpired:
            status = -1
        told = report.read_text() if report.is_file() else "<none/>"
        cases = list(ElementTree.fromstring(told).iter("testcase"))  # nosec B314
    failures = [f"{case.get('classname')}::{case.get('name')}" for case in cases
                if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return {"commit": commit(), "status": status, "seconds": round(time.monotonic() - began, 1),
            "passed": len(cases) - skipped - len(failures), "skipped": skipped,
            "failures": failures, "when": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%MZ}"}


def versions(venv: str) -> dict[str, str]:
    """Return what an environment runs the tests with."""
    code = ("import importlib.metadata as m, platform; print(m.version('ros-rclpy'), "
            "m.version('numpy'), platform.python_version())")
    done = run([f"{venv}/bin/python", "-c", code], quiet=True)
    rclpy, numpy, python = done.stdout.split()
    return {"rclpy": rclpy, "numpy": numpy, "python": python, "machine": platform.machine()}


def commit() -> str:
    """Return the commit that is checked out, marked where what is tested differs from it."""
    head = run(["git", "rev-parse", "--short", "HEAD"], quiet=True).stdout.strip()
    changed = run(["git", "status", "--porcelain", "--", ".", ":!docs"], quiet=True).stdout.strip()
    return f"{head or 'unknown'}{' and changes' if changed else ''}"


def run(command: list[str], timeout: float | None = None,
        quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository, away from any ROS that this process is in."""
    environ = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    return subprocess.run(  # nosec B603  # a list of words, no shell
        command, cwd=ROOT, env=environ, text=True, timeout=timeout, check=False,
        stdout=subprocess.PIPE if quiet else None)


if __name__ == "__main__":
    sys.exit(main())
