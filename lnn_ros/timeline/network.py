"""What a timeline integrates and who judges its frames, as far as it must know them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Network(Protocol):
    """What is integrated: ``liquid.engine.Engine``."""

    def initial(self) -> Floats:
        """A new state."""

    def encode(self, frame: NDArray[np.uint8]) -> Floats:
        """Features of a frame."""

    def predict(self, state: Floats, dt: float, out: Floats) -> None:
        """Write into ``out`` the state ``dt`` seconds later."""

    def update(self, state: Floats, features: Floats | None, summary: Floats) -> None:
        """Let the state meet an observation; without features, one without the camera."""


class Judge(Protocol):
    """How unlike training a frame is: ``liquid.novelty.Novelty``."""

    @property
    def memory(self) -> float:
        """Seconds in which a score is forgotten to 1 / e."""

    def score(self, frame: NDArray[np.uint8], features: Floats) -> float:
        """Score of one frame with its features; 0: as usual."""
