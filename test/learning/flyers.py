"""A task and policies so small that closed-loop flights take a moment; untrained."""

from __future__ import annotations

from pathlib import Path

from policies_for_tests import HEIGHT, WIDTH, small_checkpoint

from lnn_ros.liquid.checkpoint import save
from lnn_ros.resources import share_path


def small_task(folder: Path, seconds: float) -> str:
    """Write fly_to_target with the small policies' camera and a short time limit."""
    text = share_path("config/tasks/fly_to_target.yaml").read_text(encoding="utf-8")
    changes = {
        "width: 64": f"width: {WIDTH}",
        "height: 48": f"height: {HEIGHT}",
        "time_limit: 30.0": f"time_limit: {seconds}",
    }
    for before, after in changes.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    file = folder / "small.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def small_policy(folder: Path, kind: str = "flow", seed: int = 0) -> Path:
    """Write an untrained policy for it."""
    file = folder / f"{kind}_{seed}.safetensors"
    save(file, small_checkpoint(kind, seed))
    return file
