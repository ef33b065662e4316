"""What shifts do to a picture after it is taken.

Each takes the frame (H, W, 3) uint8, the strength, and two sources of random numbers: ``lens``, the
same in all frames of a flight, and ``at``, new in every frame. It returns a new frame.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Floats = NDArray[np.float32]
Random = np.random.Generator

_DUSK = (1.15, 1.0, 0.85)
"""Exponents of the light that is left, red to blue: what is left of the day is blue."""
_DIRT = (14.0, 12.0, 9.0)
"""Colour of what sticks to a lens: nearly black, as it stands in its own shadow."""
_GLARE_RADIUS = 0.35
"""Of the bright disc, in picture widths: at this distance its light has fallen to 1 / e."""


def _levels(values: Floats) -> Frame:
    """Return pixels of numbers in 0 to 255, rounded."""
    return (np.clip(values, 0.0, 255.0) + 0.5).astype(np.uint8)


def noise(frame: Frame, strength: float, lens: Random, at: Random) -> Frame:
    """Add normal noise to every pixel and channel; its standard deviation, white being 1."""
    grain = at.standard_normal(frame.shape, np.float32)
    return _levels(frame + np.float32(255.0 * strength) * grain)


def blur(frame: Frame, strength: float, lens: Random, at: Random) -> Frame:
    """Blur by a Gaussian; its standard deviation in pixels."""
    reach = max(1, math.ceil(3.0 * strength))
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / strength) ** 2)
    kernel /= kernel.sum()
    values = frame.astype(np.float32)
    for axis in (0, 1):
        widths = [(reach, reach) if i == axis else (0, 0) for i in range(3)]
        padded = np.pad(values, widths, mode="edge")
        size = values.shape[axis]
        values = sum(  # type: ignore[assignment]
            np.float32(k) * np.take(padded, range(i, i + size), axis) for i, k in enumerate(kernel)
        )
    return _levels(values)


def dusk(frame: Frame, strength: float, lens: Random, at: Random) -> Frame:
    """Take light away; the share that is gone, of green."""
    left = np.float32(1.0 - strength) ** np.array(_DUSK, np.float32)
    return _levels(frame * left)


def flicker(frame: Frame, strength: float, lens: Random, at: Random) -> Frame:
    """Let the exposure err from frame to frame: standard deviation of its natural logarithm."""
    return _levels(frame * np.float32(np.exp(strength * at.standard_normal())))


def glare(frame: Frame, strength: float, lens: Random, at: Random) -> Frame:
    """Let the sun shine into the lens: a veil, and a disc that outshines; its share of white."""
    height, width = frame.shape[:2]
    x, y = lens.uniform(0.2, 0.8) * width, lens.uniform(0.1, 0.5) * height
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(columns - x, rows - y) / (_GLARE_RADIUS * width)
    veil = np.float32(strength) * (0.5 + 0.5 * np.exp(-away)).astype(np.float32)[..., None]
    return _levels(frame + (255.0 - frame) * veil)


def dirt(frame: Frame, strength: float, lens: Random, at: Random) -> Frame:
    """Cover part of the lens by round blots; the share of the picture that they cover."""
    height, width = frame.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    covered = np.zeros((height, width), bool)
    while covered.mean() < strength:
        x, y, radius = lens.uniform(0, width), lens.uniform(0, height), lens.uniform(0.06, 0.16)
        covered |= np.hypot(columns - x, rows - y) < radius * width
    out = frame.copy()
    out[covered] = _DIRT
    return out
