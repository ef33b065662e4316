"""Small random policies for tests of the network, the checkpoint and the pilot."""

from __future__ import annotations

import numpy as np

from lnn_ros.liquid.checkpoint import Checkpoint, streams
from lnn_ros.liquid.spec import Convolution, CoreSpec, EncoderSpec, HeadSpec, PolicySpec
from lnn_ros.liquid.wiring import ncp

HEIGHT, WIDTH = 12, 16


def small_spec(kind: str = "flow") -> PolicySpec:
    return PolicySpec(
        encoder=EncoderSpec(
            kind="conv",
            height=HEIGHT,
            width=WIDTH,
            channels=3,
            layers=(Convolution(4, (5, 5), (2, 2), (2, 2)), Convolution(6, (6, 1), (1, 1), (0, 0))),
            features=7,
            pixel_scale=1 / 64,
            pixel_offset=-2.0,
        ),
        core=CoreSpec(kind, (9, 6, 5) if kind == "flow" else (9, 6), 0.1, 60.0, 0.1),
        head=HeadSpec((-0.5, -1.0, -0.8, -1.5), (1.6, 1.0, 0.8, 1.5), 1.1),
        summary_scale=(1.0,) * 9,
        summary_offset=(0.0,) * 5 + (-9.81,) + (0.0,) * 3,
        summary_limit=5.0,
    )


def small_checkpoint(kind: str = "flow", seed: int = 0) -> Checkpoint:
    spec = small_spec(kind)
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in spec.parameters().items():
        fan = np.prod(shape[1:]) if name.startswith("encoder") else shape[0]
        arrays[name] = rng.normal(0, 1.5 / np.sqrt(fan), shape).astype(np.float32)
    if kind == "flow":
        wiring = ncp(
            spec.sensory,
            *spec.core.layers,
            inter_fan_in=8,
            command_fan_in=4,
            recurrent_fan_in=3,
            motor_fan_in=3,
            seed=seed,
        )
        arrays.update({f"wiring.{name}": mask for name, mask in wiring.masks().items()})
        for name, mask in wiring.masks().items():
            for gate in ("target", "rate"):
                arrays[f"core.{name}.{gate}.weight"] *= mask
    card = {
        "name": "small",
        "task": "none",
        "streams": streams(spec),
        "camera": {"width": WIDTH},
        "training": {"note": "random"},
        "evaluation": {},
        "spec": spec.to_json(),
    }
    return Checkpoint(spec, arrays, card)


def frame(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
