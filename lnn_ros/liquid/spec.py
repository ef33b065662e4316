"""A policy's architecture as data, and its maths: encoder, core and head put together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells import Cell, cell_from_json
from lnn_ros.liquid.cells.base import number
from lnn_ros.liquid.encoders import Encoder, encoder_from_json
from lnn_ros.liquid.ops import Array, Ops

SUMMARY = (
    "rotation_x",
    "rotation_y",
    "rotation_z",
    "up_x",
    "up_y",
    "up_z",
    "angular_rate_x",
    "angular_rate_y",
    "angular_rate_z",
    "specific_force_x",
    "specific_force_y",
    "specific_force_z",
    "imu_coverage",
    "imu_age",
    "camera_present",
    "camera_age",
    "dt",
)
"""What an interval tells the network besides the frame, made by ``timeline.intervals``.

rotation: of the body since the last frame, axis times angle (rad). up: unit vector against gravity.
angular_rate (rad/s), specific_force (m/s^2): means over the interval. All in the body frame at the
interval's end. imu_coverage: share of the interval for which there are samples. imu_age,
camera_age: seconds since the newest sample before the end, at most 1. camera_present: 1 if a frame
closes the interval, else 0. dt: its length in seconds."""
CAMERA_PRESENT, CAMERA_AGE = SUMMARY.index("camera_present"), SUMMARY.index("camera_age")
COMMAND = ("vx", "vy", "vz", "yaw_rate")
"""Outputs, m/s and rad/s, levelled body frame."""


@dataclass(frozen=True)
class HeadSpec:
    """Linear read-out, squashed: ``middle + half_range * clip(headroom * tanh(y))``.

    The headroom above 1 lets the network reach its ceilings with finite weights.

    Attributes
    ----------
    low, high : tuple of 4 float
        Ceilings of the command, m/s and rad/s.
    headroom : float
        1 to 2.
    spread : tuple of 2 float, optional
        Least and largest standard deviation, m/s or rad/s, that the policy can state for its own
        command; None: it states none, and has no weights for it.
    """

    low: tuple[float, float, float, float]
    high: tuple[float, float, float, float]
    headroom: float
    spread: tuple[float, float] | None = None

    def check(self) -> None:
        """Refuse limits that do not hold zero, or are out of all proportion."""
        if len(self.low) != len(COMMAND) or len(self.high) != len(COMMAND):
            raise LnnError(f"head limits are {self.low}, {self.high}, expected {len(COMMAND)} each")
        for low, high in zip(self.low, self.high, strict=True):
            number("head.low", low, -100.0, 0.0)
            number("head.high", high, 0.0, 100.0)
        number("head.headroom", self.headroom, 1.0, 2.0)
        if self.spread is not None:
            if len(self.spread) != 2:
                raise LnnError(f"head.spread is {self.spread}, expected two numbers, or null")
            number("head.spread", self.spread[0], 1e-4, 100.0)
            number("head.spread", self.spread[1], self.spread[0], 100.0)

    def read(self, ops: Ops, y: Array, clip: bool = True) -> Array:
        """Commands (..., 4) of linear read-outs (..., 4); unclipped for training."""
        low, high = np.array(self.low), np.array(self.high)
        share = self.headroom * ops.tanh(y)
        if clip:
            share = ops.clip(share, -1.0, 1.0)
        return share * ops.constant((high - low) / 2, y) + ops.constant((high + low) / 2, y)

    def deviation(self, ops: Ops, y: Array) -> Array:
        """Standard deviations (..., 4) of linear read-outs (..., 4): linear in their logarithm."""
        assert self.spread is not None, "this policy states no spread"
        least, largest = self.spread
        return least * ops.exp(math.log(largest / least) * ops.sigmoid(y))


@dataclass(frozen=True)
class PolicySpec:
    """Everything about a policy but its numbers.

    Attributes
    ----------
    encoder : Encoder
    core : Cell
        Its inputs are the encoder's features, then ``SUMMARY``.
    head : HeadSpec
    summary_scale, summary_offset : tuple of float
        The summary enters as ``scale * value + offset``,
    summary_limit : float
        bounded by this on both sides.
    first_interval : float
        Seconds given to the interval before the first frame.
    step : float, optional
        Every interval counts as so many seconds, whatever its length: a policy that knows no time,
        to compare with. None: the true time.
    """

    encoder: Encoder
    core: Cell
    head: HeadSpec
    summary_scale: tuple[float, ...]
    summary_offset: tuple[float, ...]
    summary_limit: float
    first_interval: float
    step: float | None = None

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all float32 tensors."""

        def read_out(name: str) -> dict[str, tuple[int, ...]]:
            return {
                f"{name}.weight": (self.core.read, len(COMMAND)),
                f"{name}.bias": (len(COMMAND),),
            }

        return {
            **{f"encoder.{name}": shape for name, shape in self.encoder.parameters().items()},
            **{f"core.{name}": shape for name, shape in self.core.parameters().items()},
            **read_out("head"),
            **(read_out("head.spread") if self.head.spread is not None else {}),
        }

    def masks(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all uint8 tensors."""
        return self.core.masks()

    def count(self) -> int:
        """Number of parameters, forbidden connections included."""
        return sum(math.prod(shape) for shape in self.parameters().values())

    # -- maths; ``w`` names arrays as ``parameters`` does, masks already applied -----------------

    def inputs(self, ops: Ops, features: Array, summary: Array) -> Array:
        """Core inputs (..., inputs) of features (..., F) and summaries (..., len(SUMMARY)).

        Features count only where a frame closes the interval (``camera_present``); elsewhere the
        core sees zeros there, and that and the frame's age in the summary.
        """
        scale, offset = np.array(self.summary_scale), np.array(self.summary_offset)
        scaled = summary * ops.constant(scale, summary) + ops.constant(offset, summary)
        present = summary[..., CAMERA_PRESENT : CAMERA_PRESENT + 1]
        seen = features * present
        told = ops.clip(scaled, -self.summary_limit, self.summary_limit)
        if not self.core.presence:
            return ops.concat([seen, told])
        # Ages of at most a second enter as they are, where GRU-D has log(1 + age).
        age, dt = summary[..., CAMERA_AGE : CAMERA_AGE + 1], summary[..., -1:]
        there = [0.0 * seen + present, 0.0 * told + 1.0]
        return ops.concat([seen, told, *there, 0.0 * seen + age, 0.0 * told + dt])

    def update(
        self, ops: Ops, w: Mapping[str, Array], state: Array, pixels: Array, summary: Array
    ) -> Array:
        """Return the (already predicted) state after a frame (..., H, W, C) and a summary."""
        features = self.encoder.encode(ops, part(w, "encoder"), pixels)
        return self.observe(ops, w, state, features, summary)

    def observe(
        self, ops: Ops, w: Mapping[str, Array], state: Array, features: Array, summary: Array
    ) -> Array:
        """Return the (already predicted) state after a frame's features and a summary."""
        inputs = self.inputs(ops, features, summary)
        after = self.core.update(ops, part(w, "core"), state, inputs)
        if self.core.memory:
            return after
        present = summary[..., CAMERA_PRESENT : CAMERA_PRESENT + 1]
        return present * after + (1.0 - present) * state

    def predict(self, ops: Ops, w: Mapping[str, Array], state: Array, dt: Array) -> Array:
        """Return the state ``dt`` (..., 1) seconds later."""
        return self.core.predict(ops, part(w, "core"), state, self.elapsed(dt))

    def elapsed(self, dt: Array) -> Array:
        """Return the time that the core is told to have passed in ``dt`` seconds."""
        return dt if self.step is None else 0.0 * dt + self.step

    def command(self, ops: Ops, w: Mapping[str, Array], state: Array, clip: bool = True) -> Array:
        """Return the command (..., 4) that a state asks for."""
        read = self._read(ops, state)
        return self.head.read(ops, read @ w["head.weight"] + w["head.bias"], clip)

    def spread(self, ops: Ops, w: Mapping[str, Array], state: Array) -> Array:
        """Return the standard deviations (..., 4) that the policy states for its command.

        In the command's units, inside ``head.spread``: the teacher's command is expected to be
        normally distributed about ``command`` with these.

        Raises
        ------
        LnnError
            When the policy states none.
        """
        if self.head.spread is None:
            raise LnnError("head.spread is null: this policy does not state how sure it is")
        read = self._read(ops, state)
        return self.head.deviation(ops, read @ w["head.spread.weight"] + w["head.spread.bias"])

    def _read(self, ops: Ops, state: Array) -> Array:
        activity = self.core.activity(ops, state)
        return activity[..., activity.shape[-1] - self.core.read :]

    # -- data -----------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "encoder": self.encoder.to_json(),
            "core": self.core.to_json(),
            "head": asdict(self.head),
            "summary_scale": self.summary_scale,
            "summary_offset": self.summary_offset,
            "summary_limit": self.summary_limit,
            "first_interval": self.first_interval,
            "step": self.step,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any], source: str = "policy") -> PolicySpec:
        """Check and build.

        Raises
        ------
        LnnError
            Naming ``source``, the first entry that is missing or wrong, and what was expected.
        """
        try:
            head = data["head"]
            for entries, kind in ((data, PolicySpec), (head, HeadSpec)):
                for name in sorted(set(entries) - {field.name for field in fields(kind)}):
                    raise LnnError(f"the architecture has the unknown entry {name}")
            spec = PolicySpec(
                encoder=encoder_from_json(data["encoder"]),
                core=cell_from_json(data["core"]),
                head=HeadSpec(
                    tuple(head["low"]),
                    tuple(head["high"]),
                    head["headroom"],
                    None if head.get("spread") is None else tuple(head["spread"]),
                ),
                summary_scale=tuple(data["summary_scale"]),
                summary_offset=tuple(data["summary_offset"]),
                summary_limit=data["summary_limit"],
                first_interval=data["first_interval"],
                step=data.get("step"),
            )
            spec.check()
        except LnnError as error:
            raise LnnError(f"{source}: {error}") from None
        except KeyError as error:
            raise LnnError(f"{source}: the architecture lacks the entry {error}") from None
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise LnnError(f"{source}: the architecture is malformed ({error})") from None
        return spec

    def check(self) -> None:
        """Refuse parts that do not fit each other, or numbers out of range."""
        expected = (self.encoder.features + len(SUMMARY)) * (3 if self.core.presence else 1)
        if self.core.inputs != expected:
            raise LnnError(
                f"core.inputs is {self.core.inputs}, expected {expected}: the encoder's features "
                "and the summary"
            )
        self.head.check()
        for values in (self.summary_scale, self.summary_offset):
            if len(values) != len(SUMMARY):
                raise LnnError(f"summary has {len(values)} numbers, expected {len(SUMMARY)}")
            for value in values:
                number("summary scale or offset", value, -1e4, 1e4)
        number("summary_limit", self.summary_limit, 0.1, 1e3)
        number("first_interval", self.first_interval, 1e-3, 10.0)
        if self.step is not None:
            number("step", self.step, 1e-3, 10.0)


def part(w: Mapping[str, Array], name: str) -> dict[str, Array]:
    """Arrays below ``name.``, without that prefix."""
    prefix = f"{name}."
    return {key[len(prefix) :]: value for key, value in w.items() if key.startswith(prefix)}
