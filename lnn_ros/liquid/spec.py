"""A policy's architecture as data: what is stored in a checkpoint's header and checked at load."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from lnn_ros.errors import LnnError
from lnn_ros.liquid.wiring import LAYERS

SUMMARY = (
    "angular_rate_x",
    "angular_rate_y",
    "angular_rate_z",
    "specific_force_x",
    "specific_force_y",
    "specific_force_z",
    "imu_coverage",
    "imu_age",
    "dt",
)
"""What an interval tells the network besides the frame (see ``timeline.intervals``)."""
COMMAND = ("vx", "vy", "vz", "yaw_rate")
"""Outputs, m/s and rad/s, levelled body frame."""
MAX_SIZE = 4096
"""Largest layer, image side or channel count that a file may ask for."""
MAX_BUFFER = 10_000_000
"""Most numbers in one of the encoder's buffers: a small file must not ask for all memory."""


@dataclass(frozen=True)
class Convolution:
    """One 2-D convolution followed by a rectifier; pairs are (vertical, horizontal)."""

    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True)
class EncoderSpec:
    """Convolutions, then one linear layer with a rectifier; pixels enter as scale * p + offset."""

    kind: str
    height: int
    width: int
    channels: int
    layers: tuple[Convolution, ...]
    features: int
    pixel_scale: float
    pixel_offset: float

    def shapes(self) -> list[tuple[int, int, int]]:
        """(height, width, channels) of the input and after every convolution."""
        shapes = [(self.height, self.width, self.channels)]
        for layer in self.layers:
            height, width = (
                (size + 2 * pad - kernel) // stride + 1
                for size, pad, kernel, stride in zip(
                    shapes[-1], layer.padding, layer.kernel, layer.stride, strict=False
                )
            )
            if height < 1 or width < 1:
                raise LnnError(f"encoder: {layer} leaves nothing of {shapes[-1]}")
            shapes.append((height, width, layer.channels))
        return shapes

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the weights."""
        shapes = self.shapes()
        named: dict[str, tuple[int, ...]] = {}
        for i, layer in enumerate(self.layers):
            named[f"encoder.conv{i}.weight"] = (layer.channels, shapes[i][2], *layer.kernel)
            named[f"encoder.conv{i}.bias"] = (layer.channels,)
        flat = shapes[-1][0] * shapes[-1][1] * shapes[-1][2]
        named["encoder.linear.weight"] = (self.features, flat)
        named["encoder.linear.bias"] = (self.features,)
        return named


@dataclass(frozen=True)
class CoreSpec:
    """The network between features and head.

    ``kind`` "flow": ``layers`` are the numbers of inter, command and motor neurons. "feedforward"
    (a control without memory): hidden layers of a perceptron. Rates are per second.
    """

    kind: str
    layers: tuple[int, ...]
    rate_min: float
    rate_max: float
    first_interval: float

    def parameters(self, sensory: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the weights for ``sensory`` inputs."""
        named: dict[str, tuple[int, ...]] = {}
        if self.kind == "flow":
            for name, shape in zip(LAYERS, self.wiring_shapes(sensory), strict=True):
                for gate in ("target", "rate"):
                    named[f"core.{name}.{gate}.weight"] = shape
                    named[f"core.{name}.{gate}.bias"] = shape[1:]
            return named
        size = sensory
        for i, units in enumerate(self.layers):
            named[f"core.hidden{i}.weight"] = (size, units)
            named[f"core.hidden{i}.bias"] = (units,)
            size = units
        return named

    def wiring_shapes(self, sensory: int) -> list[tuple[int, int]]:
        """Shapes of the masks, (sources, neurons) per layer."""
        if self.kind != "flow":
            return []
        inter, command, motor = self.layers
        return [(sensory, inter), (inter + command, command), (command, motor)]

    @property
    def read_size(self) -> int:
        """Number of activities that the head reads."""
        return self.layers[1] + self.layers[2] if self.kind == "flow" else self.layers[-1]


@dataclass(frozen=True)
class HeadSpec:
    """Linear read-out, squashed: ``middle + headroom * half_range * tanh(y)``, then clipped.

    The headroom above 1 lets the network reach its ceilings with finite weights.
    """

    low: tuple[float, float, float, float]
    high: tuple[float, float, float, float]
    headroom: float


@dataclass(frozen=True)
class PolicySpec:
    """Everything about a policy but its numbers."""

    encoder: EncoderSpec
    core: CoreSpec
    head: HeadSpec
    summary_scale: tuple[float, ...]
    summary_offset: tuple[float, ...]
    summary_limit: float

    @property
    def sensory(self) -> int:
        """Inputs of the core: features, then the summary."""
        return self.encoder.features + len(SUMMARY)

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all float32 tensors."""
        return {
            **self.encoder.parameters(),
            **self.core.parameters(self.sensory),
            "head.weight": (self.core.read_size, len(COMMAND)),
            "head.bias": (len(COMMAND),),
        }

    def masks(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all uint8 tensors."""
        shapes = self.core.wiring_shapes(self.sensory)
        return {f"wiring.{name}": shape for name, shape in zip(LAYERS, shapes, strict=False)}

    def count(self) -> int:
        """Number of parameters, forbidden connections included."""
        return sum(math.prod(shape) for shape in self.parameters().values())

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any], source: str = "policy") -> PolicySpec:
        """Check and build.

        Raises
        ------
        LnnError
            Naming ``source``, the first entry that is missing or wrong, and what was expected.
        """
        try:
            encoder, core, head = data["encoder"], data["core"], data["head"]
            spec = PolicySpec(
                encoder=EncoderSpec(
                    **{
                        **_exactly(EncoderSpec, encoder),
                        "layers": tuple(
                            Convolution(
                                channels=layer["channels"],
                                kernel=tuple(layer["kernel"]),
                                stride=tuple(layer["stride"]),
                                padding=tuple(layer["padding"]),
                            )
                            for layer in encoder["layers"]
                        ),
                    }
                ),
                core=CoreSpec(**{**_exactly(CoreSpec, core), "layers": tuple(core["layers"])}),
                head=HeadSpec(
                    low=tuple(head["low"]), high=tuple(head["high"]), headroom=head["headroom"]
                ),
                summary_scale=tuple(data["summary_scale"]),
                summary_offset=tuple(data["summary_offset"]),
                summary_limit=data["summary_limit"],
            )
            _check(spec)
        except LnnError as error:
            raise LnnError(f"{source}: {error}") from None
        except KeyError as error:
            raise LnnError(f"{source}: the architecture lacks the entry {error}") from None
        except (TypeError, ValueError, OverflowError) as error:
            raise LnnError(f"{source}: the architecture is malformed ({error})") from None
        return spec


def _exactly(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: data[field.name] for field in fields(kind)}


def _integer(name: str, value: object, least: int, most: int = MAX_SIZE) -> None:
    if type(value) is not int or not least <= value <= most:
        raise LnnError(f"{name} is {value!r}, expected an integer from {least} to {most}")


def _number(name: str, value: object, least: float, most: float) -> None:
    if type(value) not in (int, float) or not least <= value <= most:  # type: ignore[operator]
        raise LnnError(f"{name} is {value!r}, expected a number from {least:g} to {most:g}")


def _check(spec: PolicySpec) -> None:
    """Refuse anything that the engine could not run."""
    encoder, core, head = spec.encoder, spec.core, spec.head
    if encoder.kind != "conv":
        raise LnnError(f"encoder.kind is {encoder.kind!r}, expected 'conv'")
    for name in ("height", "width", "channels", "features"):
        _integer(f"encoder.{name}", getattr(encoder, name), 1)
    if not 1 <= len(encoder.layers) <= 16:
        raise LnnError(f"encoder has {len(encoder.layers)} layers, expected 1 to 16")
    for layer in encoder.layers:
        _integer("encoder channels", layer.channels, 1)
        for pair, least in ((layer.kernel, 1), (layer.stride, 1), (layer.padding, 0)):
            if len(pair) != 2:
                raise LnnError(f"encoder layer has {pair}, expected a pair")
            for value in pair:
                _integer("encoder kernel, stride or padding", value, least, 64)
    shapes = encoder.shapes()
    for i, (layer, before, after) in enumerate(
        zip(encoder.layers, shapes, shapes[1:], strict=False)
    ):
        padded = [size + 2 * pad for size, pad in zip(before, layer.padding, strict=False)]
        largest = max(
            math.prod(padded) * before[2],
            math.prod(after[:2]) * math.prod(layer.kernel) * before[2],
            math.prod(after),
        )
        if largest > MAX_BUFFER:
            raise LnnError(
                f"encoder layer {i} needs a buffer of {largest} numbers, expected at most "
                f"{MAX_BUFFER}"
            )
    _number("encoder.pixel_scale", encoder.pixel_scale, -10.0, 10.0)
    _number("encoder.pixel_offset", encoder.pixel_offset, -1e3, 1e3)
    if core.kind not in ("flow", "feedforward"):
        raise LnnError(f"core.kind is {core.kind!r}, expected 'flow' or 'feedforward'")
    if core.kind == "flow" and len(core.layers) != len(LAYERS):
        raise LnnError(f"core.layers is {core.layers}, expected inter, command, motor")
    if not 1 <= len(core.layers) <= 8:
        raise LnnError(f"core has {len(core.layers)} layers, expected 1 to 8")
    for size in core.layers:
        _integer("core.layers", size, 1)
    _number("core.rate_min", core.rate_min, 1e-6, 1e4)
    _number("core.rate_max", core.rate_max, core.rate_min, 1e4)
    _number("core.first_interval", core.first_interval, 1e-3, 10.0)
    if len(head.low) != len(COMMAND) or len(head.high) != len(COMMAND):
        raise LnnError(f"head limits are {head.low}, {head.high}, expected {len(COMMAND)} each")
    for low, high in zip(head.low, head.high, strict=True):
        _number("head.low", low, -100.0, 0.0)
        _number("head.high", high, 0.0, 100.0)
    _number("head.headroom", head.headroom, 1.0, 2.0)
    for values in (spec.summary_scale, spec.summary_offset):
        if len(values) != len(SUMMARY):
            raise LnnError(f"summary has {len(values)} numbers, expected {len(SUMMARY)}")
        for number in values:
            _number("summary scale or offset", number, -1e4, 1e4)
    _number("summary_limit", spec.summary_limit, 0.1, 1e3)
