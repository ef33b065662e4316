"""A task and policies so small that closed-loop flights take a moment; untrained."""

from __future__ import annotations

import re
from pathlib import Path

from policies_for_tests import HEIGHT, WIDTH, small_checkpoint

from lnn_ros.liquid.checkpoint import save
from lnn_ros.resources import share_path


def small_task(folder: Path, seconds: float, name: str = "fly_to_target") -> str:
    """Write a task with the small policies' camera and a short time limit."""
    text = share_path(f"config/tasks/{name}.yaml").read_text(encoding="utf-8")
    changes = {
        r"\bwidth: 64\b": f"width: {WIDTH}",
        r"\bheight: 48\b": f"height: {HEIGHT}",
        r"\btime_limit: [0-9.]+": f"time_limit: {seconds}",
    }
    for before, after in changes.items():
        text, count = re.subn(before, after, text)
        assert count == 1
    file = folder / "small.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def small_policy(folder: Path, kind: str = "flow", seed: int = 0) -> Path:
    """Write an untrained policy for it."""
    file = folder / f"{kind}_{seed}.safetensors"
    save(file, small_checkpoint(kind, seed))
    return file
