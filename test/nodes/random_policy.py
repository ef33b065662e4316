"""Policies of random weights: for tests of what the nodes do with one, however well it flies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from lnn_ros.learning.architecture import camera_card, make_policy
from lnn_ros.liquid.checkpoint import Checkpoint, save, streams
from lnn_ros.simulation.task import Task


def random_policy(path: Path, seed: int = 0, height: int = 48, width: int = 64,
                  channels: int = 3) -> Path:
    """Write a policy whose commands are hardly ever zero; return its path."""
    task = Task.load("fly_to_target")
    spec, wiring = make_policy("flow", task, seed)
    spec = replace(spec, encoder=replace(spec.encoder, height=height, width=width,
                                         channels=channels))
    rng, masks = np.random.default_rng(seed), wiring.masks()
    arrays = {f"encoder.{name}": value for name, value in spec.encoder.initialise(rng).items()}
    arrays.update((f"core.{name}", v) for name, v in spec.core.initialise(rng, masks).items())
    for name, shape in spec.parameters().items():
        if name.startswith("head"):
            arrays[name] = rng.normal(0.0, 0.7 / np.sqrt(shape[0]), shape)
    camera = {**camera_card(task), "height": height, "width": width}
    card = {"name": "random", "task": "none", "streams": streams(spec), "camera": camera,
            "training": {"note": "random"}, "evaluation": {}, "spec": spec.to_json()}
    values = {name: value.astype(np.float32) for name, value in arrays.items()}
    save(path, Checkpoint(spec, {**values, **masks}, card))
    return path
