"""The architectures that ``lnn_ros train`` makes: at most 20,000 parameters each, all counted."""

from __future__ import annotations

import math
from typing import Any

from lnn_ros.errors import LnnError
from lnn_ros.liquid.spec import Convolution, CoreSpec, EncoderSpec, HeadSpec, PolicySpec
from lnn_ros.liquid.wiring import Wiring, ncp
from lnn_ros.simulation.task import Task

MAX_PARAMETERS = 20_000
GRAVITY = 9.81
FIRST_INTERVAL = 0.1
"""Seconds given to the interval before the first frame."""


def make_spec(core: str, task: Task) -> PolicySpec:
    """Architecture of a policy for a task.

    Parameters
    ----------
    core : str
        "flow" (liquid) or "feedforward" (the control: same encoder and head, no memory).
    task : Task
        Gives the camera's size and the ceilings.
    """
    kinds = {"flow": (32, 24, 8), "feedforward": (56, 40)}
    if core not in kinds:
        raise LnnError(f"core {core!r} found, expected one of {', '.join(kinds)}")
    encoder = EncoderSpec(
        kind="conv",
        height=task.camera.height,
        width=task.camera.width,
        channels=3,
        layers=(
            Convolution(12, (5, 5), (2, 2), (2, 2)),
            Convolution(20, (3, 3), (2, 2), (1, 1)),
            Convolution(24, (3, 3), (2, 2), (1, 1)),
            # Collapse the columns but keep them apart: where something stands matters.
            Convolution(16, (math.ceil(task.camera.height / 8), 1), (1, 1), (0, 0)),
        ),
        features=24,
        pixel_scale=1 / 64,
        pixel_offset=-2.0,
    )
    vehicle = task.vehicle
    forward, sideways = 0.8 * vehicle.max_speed, 0.5 * vehicle.max_speed
    spec = PolicySpec(
        encoder=encoder,
        core=CoreSpec(
            kind=core,
            layers=kinds[core],
            rate_min=0.1,
            rate_max=60.0,
            first_interval=FIRST_INTERVAL,
        ),
        head=HeadSpec(
            low=(-0.5, -sideways, -vehicle.max_climb, -vehicle.max_yaw_rate),
            high=(forward, sideways, vehicle.max_climb, vehicle.max_yaw_rate),
            headroom=1.1,
        ),
        # angular rate, specific force, coverage, age, dt
        summary_scale=(1.0,) * 3 + (1 / 3,) * 3 + (1.0, 10.0, 10.0),
        summary_offset=(0.0,) * 5 + (-GRAVITY / 3, 0.0, 0.0, 0.0),
        summary_limit=5.0,
    )
    if spec.count() > MAX_PARAMETERS:
        raise LnnError(f"{core} policy: {spec.count()} parameters, expected {MAX_PARAMETERS}")
    return spec


def make_wiring(spec: PolicySpec, seed: int) -> Wiring | None:
    """Draw the wiring of a spec's core; None for a core without one."""
    if spec.core.kind != "flow":
        return None
    inter, command, motor = spec.core.layers
    return ncp(
        spec.sensory,
        inter,
        command,
        motor,
        inter_fan_in=20,
        command_fan_in=16,
        recurrent_fan_in=12,
        motor_fan_in=12,
        seed=seed,
    )


def camera_card(task: Task) -> dict[str, Any]:
    """Describe the camera that the policy expects, for the checkpoint."""
    camera = task.camera
    return {
        "width": camera.width,
        "height": camera.height,
        "horizontal_fov": math.radians(camera.field_of_view),
        "position": [0.12, 0.0, 0.03],
        "tilt": 0.0,
        "model": "pinhole",
    }
