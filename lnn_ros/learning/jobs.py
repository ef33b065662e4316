"""What the commands that fly many times share: ranges of seeds, progress, provenance."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def seed_range(text: str) -> range:
    """Parse ``A:B``, the worlds from A up to but not including B (for argparse)."""
    try:
        first, last = (int(part) for part in text.split(":"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} found, expected FIRST:END") from None
    if not 0 <= first < last:
        raise argparse.ArgumentTypeError(f"{text!r} found, expected 0 <= FIRST < END")
    return range(first, last)


class Progress:
    """One line on stderr that says how far, how fast and how long still."""

    def __init__(self, name: str, total: int, quiet: bool = False) -> None:
        self._name, self._total, self._quiet = name, total, quiet
        self._start = self._shown = time.monotonic()

    def show(self, done: int, note: str = "") -> None:
        """Tell the state; at most every 2 s, but always at the end."""
        now = time.monotonic()
        if self._quiet or (done < self._total and now - self._shown < 2.0):
            return
        self._shown = now
        rate = done / max(now - self._start, 1e-9)
        left = (self._total - done) / rate if rate > 0 else float("inf")
        line = f"{self._name}: {done}/{self._total}, {rate:.1f}/s, {left:.0f} s left {note}"
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def provenance(command: str) -> dict[str, Any]:
    """Who made a result: command, commit, machine; for the header of a result file."""
    root = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str:
        try:
            done = subprocess.run(  # nosec B603 B607  # the user's own git, with our words
                ["git", *words], cwd=root, capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return "unknown"
        return done.stdout.strip()

    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    return {
        "command": command,
        "commit": git("rev-parse", "HEAD"),
        "machine": f"{os.cpu_count()} x {model}",
        "python": platform.python_version(),
    }
