"""How unlike training an input is: a score of every frame, from statistics in the policy's file.

A frame is described by the encoder's features and by a few numbers of the picture that the encoder
may throw away: brightness, contrast, sharpness, grain. Of the frames of training flights, mean and
covariance of these are stored. The distance of a frame is Mahalanobis' (Lee et al., "A simple
unified framework for detecting out-of-distribution samples and adversarial attacks", NeurIPS 2018),
by the number of its parts and in logarithms:

    d = sqrt((x - mean)^T covariance^-1 (x - mean) / D),  score = (log d - usual) / (level - usual)

0 is as usual, 1 is what filtered scores of flights like those of the training reach at most once
in ``learning.novelty.ALARM_S``. Filtered over time, not over samples, by ``timeline.timeline``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.base import number
from lnn_ros.liquid.encoders import Encoder

Floats = NDArray[np.float32]
Frame = NDArray[np.uint8]

PREFIX = "novelty."
MEAN, COVARIANCE = f"{PREFIX}mean", f"{PREFIX}covariance"
KEYS = ("parts", "usual", "level", "memory")
MOST = 10.0
"""Of a score: what is a hundred times as unlike must not take a hundred times as long to forget."""
LEAST_SIDE = 3
"""Pixels; a smaller picture has no second differences."""
_MOST_SPREAD = 10.0
"""By so much at most the spread of a feature changes from one encoder to another."""
_DARK, _WHITE = 8, 247
"""Pixel values below the first and above the second are counted as black, and as white."""
_FAINT = 1e-3
"""Added before logarithms, white being 1: finer differences than a grey level count alike."""
_FULL = 255.0
_ILL = 1e-7
"""Least eigenvalue of the correlations that can be inverted in what files hold, float32."""

_STATISTICS = (
    *("edges_across", "edges_down", "grain_across", "grain_down"),
    *("slope_across", "slope_down", "bend_across", "bend_down"),
    *("black", "white"),
)


def parts(encoder: Encoder) -> tuple[str, ...]:
    """Names of the numbers by which a frame is described.

    Raises
    ------
    LnnError
        When the picture is too small.
    """
    if min(encoder.height, encoder.width) < LEAST_SIDE:
        raise LnnError(
            f"novelty: a frame of {encoder.width} x {encoder.height} found, expected at least "
            f"{LEAST_SIDE} pixels a side"
        )
    light = [f"{what}_{i}" for what in ("brightness", "contrast") for i in range(encoder.channels)]
    colour = ["colour_edges"] if encoder.channels > 1 else []
    features = [f"feature_{i}" for i in range(encoder.features)]
    return (*features, *light, *_STATISTICS, *colour)


def statistics(frame: Frame) -> list[float]:
    """Return what ``parts`` names after the features, of a frame (height, width, channels).

    Per channel the mean and the logarithm of the standard deviation; of the middle channel (green)
    logarithms of the mean squares, then of the means, of first differences (edges, slope) and of
    second ones (grain, bend): noise, blur and fog change them, each in its own way; shares of black
    and of white; edges of the difference between the first two channels.
    """
    height, width, channels = frame.shape
    count = height * width
    # One plane a channel, end to end: everything below runs through memory once, in order.
    planes = np.empty((channels, count), np.float32)
    planes[...] = frame.reshape(count, channels).T
    ones = _ones(count)
    means = [float(plane.dot(ones)) / (_FULL * count) for plane in planes]
    squares = [float(plane.dot(plane)) / (_FULL * _FULL * count) for plane in planes]
    grey = planes[channels // 2]
    across, down = _across(grey, width), grey[width:] - grey[:-width]
    differences = (across, down, _across(across, width), down[width:] - down[:-width])
    out = means + [
        0.5 * math.log(max(square - mean * mean, 0.0) + _FAINT**2)
        for square, mean in zip(squares, means, strict=True)
    ]
    out += [math.log(float(d.dot(d)) / (_FULL * _FULL * d.size) + _FAINT**2) for d in differences]
    out += [_mean_size(d) for d in differences]
    out += [np.count_nonzero(frame < _DARK) / frame.size]
    out += [np.count_nonzero(frame > _WHITE) / frame.size]
    if channels > 1:
        out.append(_mean_size(_across(planes[0] - planes[1], width)))
    return out


def _across(plane: Floats, width: int) -> Floats:
    """Differences of neighbours in a row, of a plane of rows end to end; 0 from row to row."""
    out = plane[1:] - plane[:-1]
    out[width - 1 :: width] = 0.0
    return out


def _mean_size(differences: Floats) -> float:
    np.abs(differences, out=differences)
    total = float(differences.dot(_ones(differences.size)))
    return math.log(total / (_FULL * differences.size) + _FAINT)


@lru_cache(maxsize=16)
def _ones(count: int) -> Floats:
    return np.ones(count, np.float32)


@dataclass(frozen=True)
class Novelty:
    """Statistics of training frames, and what their distances mean.

    Attributes
    ----------
    parts : tuple of str
        What the numbers are: ``parts`` of the encoder that they were fitted for.
    mean, covariance : ndarray of float32, shapes (D,), (D, D)
        Of the frames' descriptions; the covariance symmetric and positive definite.
    usual, level : float
        Logarithms of distances: what scores 0 and 1.
    memory : float
        Seconds in which the filter forgets a score to 1 / e.
    """

    parts: tuple[str, ...]
    mean: Floats
    covariance: Floats
    usual: float
    level: float
    memory: float
    _whiten: Floats = field(init=False, repr=False, compare=False)
    _shift: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check, and factorise.

        Raises
        ------
        LnnError
            When tensors or numbers are not as described.
        """
        size = len(self.parts)
        for name, array, shape in (
            (MEAN, self.mean, (size,)),
            (COVARIANCE, self.covariance, (size, size)),
        ):
            if array.shape != shape or array.dtype != np.float32:
                raise LnnError(
                    f"tensor {name} is {array.dtype} {array.shape}, expected float32 {shape}"
                )
            if not np.isfinite(array).all():
                raise LnnError(f"tensor {name} holds numbers that are not finite")
        number("novelty: usual", self.usual, -100.0, 100.0)
        number("novelty: level", self.level, self.usual + 1e-3, self.usual + 100.0)
        number("novelty: memory", self.memory, 1e-3, 60.0)
        whiten = _inverse_root(self.covariance)
        object.__setattr__(self, "_whiten", whiten.astype(np.float32))
        object.__setattr__(self, "_shift", (whiten @ self.mean).astype(np.float32))

    def score(self, frame: Frame, features: Floats) -> float:
        """Score of one frame with its features: about 0 is as usual, 1 an alarm if it lasts."""
        return self.of(describe(frame, features))

    def of(self, description: Floats) -> float:
        """Score of a frame's description, shape (D,)."""
        away = self._whiten @ description - self._shift
        squares = float(away.dot(away)) / away.size
        if squares <= 0.0:  # the mean itself
            return -MOST
        score = (0.5 * math.log(squares) - self.usual) / (self.level - self.usual)
        return min(max(score, -MOST), MOST)

    def carried(self, before: Floats, after: Floats) -> Novelty:
        """Return what it is for another encoder, by what both make of the same frames.

        Mean and spread of every feature move as they do in these frames; how features go together,
        and what the statistics of the picture are, stays.

        Parameters
        ----------
        before, after : ndarray, shape (N, features)
            Of the encoder that it was fitted for, and of the other one.
        """
        count = before.shape[1]
        was, now = before.std(0, np.float64), after.std(0, np.float64)
        known = np.sqrt(np.diag(self.covariance)[:count].astype(np.float64))
        by = np.ones(len(self.parts))
        # What never moved, and moves now, is as usual as it moves.
        by[:count] = np.where(was > 0.0, np.clip(
            np.divide(now, was, out=np.ones(count), where=(was > 0.0) & (now > 0.0)),
            1.0 / _MOST_SPREAD, _MOST_SPREAD), np.maximum(now / known, 1.0))
        mean = self.mean.astype(np.float64)
        mean[:count] = after.mean(0, np.float64) + by[:count] * (
            mean[:count] - before.mean(0, np.float64))
        covariance = self.covariance * np.outer(by, by)
        return replace(self, mean=mean.astype(np.float32),
                       covariance=covariance.astype(np.float32))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Tensors, as stored."""
        return {MEAN: self.mean, COVARIANCE: self.covariance}

    def to_json(self) -> dict[str, Any]:
        """Plain data, as on the card."""
        return {
            "parts": list(self.parts),
            "usual": self.usual,
            "level": self.level,
            "memory": self.memory,
        }

    @staticmethod
    def from_file(
        data: object, arrays: Mapping[str, NDArray[Any]], encoder: Encoder
    ) -> Novelty | None:
        """Check and build what a file says; None: it says nothing.

        Parameters
        ----------
        data : object
            The card's entry ``novelty``, or None.
        arrays : mapping of str to ndarray
            The file's tensors whose names begin with ``PREFIX``.
        encoder : Encoder
            Of the same file.

        Raises
        ------
        LnnError
            Naming what is wrong.
        """
        if data is None and not arrays:
            return None
        if not isinstance(data, dict) or any(key not in data for key in KEYS):
            raise LnnError(f"novelty of the card is {data!r:.100}, expected {', '.join(KEYS)}")
        expected = parts(encoder)
        if data["parts"] != list(expected):
            raise LnnError(
                "novelty: parts on the card are others than the features and statistics of this "
                "architecture: calibrate it again with this lnn_ros"
            )
        for name in (MEAN, COVARIANCE):
            if name not in arrays:
                raise LnnError(f"tensor {name} is missing")
        for name in sorted(arrays.keys() - {MEAN, COVARIANCE}):
            raise LnnError(f"tensor {name} is not part of this architecture")
        usual, level, memory = (data[key] for key in KEYS[1:])
        return Novelty(expected, arrays[MEAN], arrays[COVARIANCE], usual, level, memory)


def describe(frame: Frame, features: Floats) -> Floats:
    """Return a frame's description, shape (D,): features, then ``statistics``."""
    return np.concatenate([features, np.array(statistics(frame), np.float32)])


def _inverse_root(covariance: Floats) -> NDArray[np.float64]:
    """Return R with R C R^T = 1.

    Raises
    ------
    LnnError
        When C is not symmetric and positive definite, or nearly singular.
    """
    c = covariance.astype(np.float64)
    spread = np.diag(c)
    if not (c == c.T).all():
        raise LnnError(f"tensor {COVARIANCE} is not symmetric")
    if not (spread > 0.0).all():
        raise LnnError(f"tensor {COVARIANCE} is not positive: a variance is {spread.min():g}")
    scale = 1.0 / np.sqrt(spread)
    correlation = c * scale[:, None] * scale
    least = float(np.linalg.eigvalsh(correlation)[0])
    if not least > _ILL:
        raise LnnError(
            f"tensor {COVARIANCE} is not positive definite: the least eigenvalue of its "
            f"correlations is {least:g}, expected more than {_ILL:g}"
        )
    root: NDArray[np.float64] = np.linalg.inv(np.linalg.cholesky(correlation)) * scale
    return root
