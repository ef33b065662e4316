"""What an encoder is: an architecture as data, its maths written once against ``liquid.ops``."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.base import Values, Weights, integer
from lnn_ros.liquid.ops import Array, Ops

MAX_SIDE = 4096
"""Longest image side, or most channels or features, that a file may ask for."""
MAX_BUFFER = 10_000_000
"""Most numbers in one of the encoder's buffers: a small file must not ask for all memory."""


@dataclass(frozen=True)
class Encoder(abc.ABC):
    """Frame to features.

    Attributes
    ----------
    height, width, channels : int
        Of a frame.
    features : int
        Numbers that it is turned into.
    """

    height: int
    width: int
    channels: int
    features: int

    kind: ClassVar[str]
    """Name in the registry and in files."""

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.height, self.width, self.channels

    @abc.abstractmethod
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the trained arrays."""

    @abc.abstractmethod
    def initialise(self, rng: np.random.Generator) -> Values:
        """Draw the parameters."""

    @abc.abstractmethod
    def encode(self, ops: Ops, w: Weights, pixels: Array) -> Array:
        """Return the features (..., features) of frames (..., H, W, C), floats from 0 to 255."""

    def check(self) -> None:
        """Refuse an architecture that cannot run.

        Raises
        ------
        LnnError
            Naming the entry, what was found and what was expected.
        """
        for name in ("height", "width", "channels", "features"):
            integer(f"encoder: {name}", getattr(self, name), 1, MAX_SIDE)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Encoder:
        """Build and check; LnnError when an entry is missing, unknown or wrong."""
        known = {field.name for field in fields(cls)}
        for name in sorted(known - data.keys()):
            raise LnnError(f"encoder: the entry {name} is missing")
        for name in sorted(data.keys() - known - {"kind"}):
            raise LnnError(f"encoder: entry {name} found, expected {', '.join(sorted(known))}")
        encoder = cls(**{name: data[name] for name in known})
        encoder.check()
        return encoder
