"""Small random policies for tests of the network, the checkpoint and the pilot."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from lnn_ros.liquid.cells import cell_type
from lnn_ros.liquid.checkpoint import Checkpoint, streams
from lnn_ros.liquid.encoders.conv import Conv, Convolution
from lnn_ros.liquid.novelty import Novelty, parts
from lnn_ros.liquid.spec import CAMERA_PRESENT, SUMMARY, HeadSpec, PolicySpec
from lnn_ros.liquid.wiring import WiredLayer, Wiring, ncp

HEIGHT, WIDTH, FEATURES = 12, 16, 7
OPTIONS: dict[str, dict[str, Any]] = {
    "flow": {"rate_min": 0.1, "rate_max": 60.0, "frequency_max": 2.0}
}


def small_wiring(kind: str = "flow", seed: int = 0) -> Wiring:
    """An NCP whose command neurons come in pairs, so that a flow cell's turn; or plain layers."""
    inputs = FEATURES + len(SUMMARY)
    if kind == "feedforward":
        return Wiring(
            tuple(
                WiredLayer(f"hidden{i}", np.ones((before, units), np.int8))
                for i, (before, units) in enumerate(pairwise((inputs, 9, 6)))
            )
        )
    return ncp(
        inputs,
        9,
        6,
        5,
        inter_fan_in=8,
        command_fan_in=4,
        recurrent_fan_in=3,
        motor_fan_in=3,
        seed=seed,
        paired=True,
    )


def small_spec(kind: str = "flow", **options: Any) -> PolicySpec:
    """Its head reads all layers but the first, or what it can; ``options`` are the cell's."""
    wiring = small_wiring(kind)
    return PolicySpec(
        encoder=Conv(
            height=HEIGHT,
            width=WIDTH,
            channels=3,
            layers=(Convolution(4, (5, 5), (2, 2), (2, 2)), Convolution(6, (6, 1), (1, 1), (0, 0))),
            features=FEATURES,
            pixel_scale=1 / 64,
            pixel_offset=-2.0,
        ),
        core=cell_type(kind).wired(
            wiring.inputs,
            wiring,
            wiring.sizes[-1] if kind == "ltc" else sum(wiring.sizes[1:]),
            **{**OPTIONS.get(kind, {}), **options},
        ),
        head=HeadSpec((-0.5, -1.0, -0.8, -1.5), (1.6, 1.0, 0.8, 1.5), 1.1),
        summary_scale=(1.0,) * len(SUMMARY),
        summary_offset=tuple(-9.81 * (name == "specific_force_z") for name in SUMMARY),
        summary_limit=5.0,
        first_interval=0.1,
    )


def small_checkpoint(kind: str = "flow", seed: int = 0, **options: Any) -> Checkpoint:
    spec = small_spec(kind, **options)
    rng = np.random.default_rng(seed)
    masks = small_wiring(kind, seed).masks()
    values = {f"encoder.{name}": value for name, value in spec.encoder.initialise(rng).items()}
    values.update((f"core.{name}", v) for name, v in spec.core.initialise(rng, masks).items())
    for name, shape in spec.parameters().items():
        if name.startswith("head"):
            values[name] = rng.normal(0, 0.7 / np.sqrt(shape[0]), shape)
        elif name.endswith("bias"):  # none of them idle at zero
            values[name] += rng.normal(0, 0.5, shape)
    arrays: dict[str, Any] = {name: value.astype(np.float32) for name, value in values.items()}
    card = {
        "name": "small",
        "task": "none",
        "streams": streams(spec),
        "camera": {
            "width": WIDTH,
            "height": HEIGHT,
            "horizontal_fov": 1.5,
            "position": [0.1, 0.0, 0.0],
            "tilt": 0.0,
            "model": "pinhole",
        },
        "training": {"note": "random"},
        "evaluation": {},
        "spec": spec.to_json(),
    }
    return Checkpoint(spec, {**arrays, **masks}, card)


def with_novelty(checkpoint: Checkpoint, memory: float = 0.3) -> Checkpoint:
    """The same policy, with statistics that it was never fitted to: unit distances are far."""
    names = parts(checkpoint.spec.encoder)
    mix = np.random.default_rng(5).normal(0, 1, (len(names), 3 * len(names)))
    covariance = (mix @ mix.T / mix.shape[1]).astype(np.float32)
    covariance = (covariance + covariance.T) / 2
    judge = Novelty(names, np.zeros(len(names), np.float32), covariance, -1.0, 0.0, memory)
    return replace(checkpoint, novelty=judge)


def frame(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def summaries(
    rng: np.random.Generator, dt: Any, camera: Any = True, spread: float = 1.0
) -> np.ndarray:
    """Summaries of intervals of ``dt`` (...) seconds: random numbers, but gravity, ages and flags.

    ``camera`` (...) says where a frame closes the interval.
    """
    dt = np.asarray(dt, float)
    out = rng.normal(0, spread, (*dt.shape, len(SUMMARY)))
    out[..., SUMMARY.index("specific_force_z")] += 9.81
    out[..., SUMMARY.index("imu_coverage")] = 1.0
    out[..., SUMMARY.index("imu_age")] = rng.uniform(0, 0.01, dt.shape)
    out[..., SUMMARY.index("camera_age")] = np.minimum(dt, 1.0)
    out[..., CAMERA_PRESENT] = camera
    out[..., SUMMARY.index("dt")] = dt
    return out.astype(np.float32)


def observe(engine: Any, state: np.ndarray, image: np.ndarray, told: np.ndarray) -> None:
    """Let a state (changed in place) meet a frame, which is encoded, and a summary."""
    engine.update(state, engine.encode(image), told)
