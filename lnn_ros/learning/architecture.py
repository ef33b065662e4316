"""The architectures that ``lnn_ros train`` makes: the same encoder and head, and any cell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.liquid.cells import cell_type, kinds
from lnn_ros.liquid.encoders.conv import Conv, Convolution
from lnn_ros.liquid.spec import SUMMARY, HeadSpec, PolicySpec
from lnn_ros.liquid.wiring import WiredLayer, Wiring, ncp
from lnn_ros.simulation.task import LapGoal, RoverVehicle, Task

MAX_PARAMETERS = 30_000
"""What ships has at most 20,000; cells with more gates, trained to compare with, need more."""
GRAVITY = 9.81
FIRST_INTERVAL = 0.1
"""Seconds given to the interval before the first frame."""


SUMMARY_SCALE: dict[str, tuple[float, float]] = {
    **{f"rotation_{axis}": (5.0, 0.0) for axis in "xyz"},
    "up_x": (3.0, 0.0),
    "up_y": (3.0, 0.0),
    "up_z": (1.0, -1.0),
    **{f"angular_rate_{axis}": (1.0, 0.0) for axis in "xyz"},
    **{f"specific_force_{axis}": (1 / 3, 0.0) for axis in "xy"},
    "specific_force_z": (1 / 3, -GRAVITY / 3),
    "imu_coverage": (1.0, 0.0),
    "imu_age": (10.0, 0.0),
    "camera_present": (1.0, 0.0),
    "camera_age": (5.0, 0.0),
    "dt": (10.0, 0.0),
}
"""Scale and offset with which a number of the summary enters: about 1 where it matters."""
CORES = tuple(kind for kind in kinds() if kind != "transformer")
"""What ``lnn_ros train --core`` offers: a transformer wants no wiring."""
TIMES = ("imu_age", "camera_age", "dt")
"""What a policy that knows no time is not told."""
STEP = 0.05
"""Seconds that such a policy takes every interval for."""
FEATURES = 24
HIDDEN = (56, 40)
"""Layers of the control."""


@dataclass(frozen=True)
class CoreShape:
    """How large a core with an NCP wiring is, and how its cell integrates.

    Attributes
    ----------
    inter, command, motor : int
        Neurons by layer.
    inter_fan_in, command_fan_in, recurrent_fan_in, motor_fan_in : int
        How many others each one hears, of as many as there are: see ``wiring.ncp``.
    hidden : tuple of int
        Sizes of layers that hear everything before them, and themselves if the cell has a memory,
        in place of an NCP. Empty: an NCP, and for a feed-forward core ``HIDDEN``.
    options : mapping of str to object
        Of the cell, in place of what is usual for it.
    """

    inter: int = 32
    command: int = 24
    motor: int = 8
    inter_fan_in: int = 20
    command_fan_in: int = 16
    recurrent_fan_in: int = 12
    motor_fan_in: int = 12
    hidden: tuple[int, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


NINETEEN = CoreShape(12, 5, 2, 16, 6, 4, 4)
"""What a lane wants: as many as in the NCP paper (Lechner et al., Nature Machine Intelligence 2,
2020), though between other eyes and wheels."""


def make_policy(
    core: str, task: Task, seed: int, timeless: bool = False, shape: CoreShape | None = None
) -> tuple[PolicySpec, Wiring]:
    """Architecture and wiring of a policy for a task.

    Parameters
    ----------
    core : str
        One of ``CORES``: same encoder and head; with ``shape.hidden`` a transformer, too.
    task : Task
        Gives the camera's size and the ceilings.
    seed : int
        Of the wiring's draw.
    timeless : bool
        Make one that knows no time: every interval counts as ``STEP``.
    shape : CoreShape, optional
        Of the core, by default as is usual for the task; a feed-forward one has layers of its own.

    Raises
    ------
    LnnError
        When there is no such core, or it would have more than ``MAX_PARAMETERS``.
    """
    encoder = Conv(
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
        features=FEATURES,
        pixel_scale=1 / 64,
        pixel_offset=-2.0,
    )
    if shape is None:
        shape = NINETEEN if isinstance(task.success, LapGoal) else CoreShape()
    wiring, options = _wire(core, FEATURES + len(SUMMARY), seed, shape)
    # The head reads what is behind the first layer; of an LTC, its motor neurons.
    alone = core == "ltc" or len(wiring.sizes) == 1
    read = wiring.sizes[-1] if alone else sum(wiring.sizes[1:])
    vehicle = task.vehicle
    driven = isinstance(vehicle, RoverVehicle)
    forward, sideways = 0.8 * vehicle.max_speed, 0.0 if driven else 0.5 * vehicle.max_speed
    if driven:  # as fast as it is taught to drive, and a little more
        forward = 0.9 * vehicle.max_speed
    spec = PolicySpec(
        encoder=encoder,
        core=cell_type(core).wired(wiring.inputs, wiring, read, **options),
        head=HeadSpec(
            low=(-0.5, -sideways, -vehicle.max_climb, -vehicle.max_yaw_rate),
            high=(forward, sideways, vehicle.max_climb, vehicle.max_yaw_rate),
            headroom=1.1,
        ),
        summary_scale=tuple(
            0.0 if timeless and name in TIMES else SUMMARY_SCALE[name][0] for name in SUMMARY
        ),
        summary_offset=tuple(SUMMARY_SCALE[name][1] for name in SUMMARY),
        summary_limit=5.0,
        first_interval=FIRST_INTERVAL,
        step=STEP if timeless else None,
    )
    if spec.count() > MAX_PARAMETERS:
        raise LnnError(f"{core} policy: {spec.count()} parameters, expected {MAX_PARAMETERS}")
    return spec, wiring


def _wire(
    core: str, inputs: int, seed: int, shape: CoreShape
) -> tuple[Wiring, dict[str, Any]]:
    """Draw the wiring, and name the cell's options."""
    known = kinds() if shape.hidden else CORES
    if core not in known:
        raise LnnError(f"core {core!r} found, expected one of {', '.join(known)}")
    if shape.hidden or core == "feedforward":
        wiring = _layers(inputs, shape.hidden or HIDDEN, cell_type(core).memory)
    else:
        wiring = _ncp(inputs, seed, shape)
    options: dict[str, Any] = {}
    if core == "gru_d":  # what a neuron hears, it hears with its presence and its age
        first, *others = wiring.layers
        wiring = Wiring((replace(first, feed=np.concatenate([first.feed] * 3)), *others))
    if core == "flow":
        # Below half the camera's 20 Hz no turn can be mistaken for a slower one.
        options = {"rate_min": 0.03, "rate_max": 60.0, "frequency_max": 10.0}
    return wiring, {**options, **shape.options}


def _layers(inputs: int, sizes: tuple[int, ...], recurrent: bool) -> Wiring:
    """Layers in which every neuron hears all that there is to hear."""
    return Wiring(
        tuple(
            WiredLayer(
                f"hidden{i}",
                np.ones((before, units), np.int8),
                np.ones((units, units), np.int8) if recurrent else None,
            )
            for i, (before, units) in enumerate(pairwise((inputs, *sizes)))
        )
    )


def _ncp(inputs: int, seed: int, shape: CoreShape) -> Wiring:
    """Draw an NCP."""
    return ncp(
        inputs,
        shape.inter,
        shape.command,
        shape.motor,
        inter_fan_in=shape.inter_fan_in,
        command_fan_in=min(shape.command_fan_in, shape.inter),
        recurrent_fan_in=min(shape.recurrent_fan_in, shape.command),
        motor_fan_in=min(shape.motor_fan_in, shape.command),
        seed=seed,
        paired=True,
    )


def camera_card(task: Task) -> dict[str, Any]:
    """Describe the camera that the policy expects, for the checkpoint."""
    camera = task.camera
    return {
        "width": camera.width,
        "height": camera.height,
        "horizontal_fov": math.radians(camera.field_of_view),
        "position": list(camera.position),
        "tilt": math.radians(camera.tilt),
        "model": "pinhole",
    }


def virtual_camera(task: Task) -> VirtualCamera:
    """Return the camera that a policy for a task expects: the one of ``camera_card``."""
    camera = task.camera
    return VirtualCamera(camera.width, camera.height, math.radians(camera.field_of_view),
                         math.radians(camera.tilt))  # fmt: skip
