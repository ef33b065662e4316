"""What can be read from numbers by a linear map, tested on flights that it was not fitted to.

Source of the idea: Alain and Bengio, "Understanding intermediate layers using linear classifier
probes", 2016 (arXiv 1610.01644). Frames of one flight resemble each other, so a probe that has seen
some of them is no test of the others: whole flights are held out, never frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.interpretation.history import Floats

PENALTIES = tuple(10.0**p for p in range(-4, 4))
"""Ridge penalties that are tried, as shares of the number of frames."""


@dataclass(frozen=True)
class Probe:
    """How well something could be read.

    Attributes
    ----------
    r2 : float
        Over all frames of all held-out flights: 1 minus the squared error over the squared
        distance from the mean of the flights that the probe was fitted to. 0 is as good as
        knowing that mean; it can be negative.
    interval : tuple of 2 float
        95 % interval of it over flights (percentile bootstrap: flights drawn anew, frames never).
    predictions : ndarray, shape (M,)
        For each frame, by the probe that had not seen its flight.
    flights : dict of int to float
        R2 of each flight alone.
    """

    r2: float
    interval: tuple[float, float]
    predictions: Floats
    flights: dict[int, float]


def probe(
    x: Floats,
    y: Floats,
    flights: NDArray[np.integer],
    folds: int = 5,
    seed: int = 0,
    draws: int = 2000,
) -> Probe:
    """Fit a ridge regression and test it, each flight by a fit without it.

    The penalty of each fit is chosen among ``PENALTIES`` on flights within its own training set.

    Parameters
    ----------
    x : ndarray, shape (M, N)
        Numbers to read from: activities, features.
    y : ndarray, shape (M,)
        What is to be read.
    flights : ndarray of int, shape (M,)
        Which flight each frame belongs to.
    folds : int
        Parts into which the flights are cut.
    seed : int
        Of the cut and of the bootstrap.
    draws : int
        Of the bootstrap.

    Raises
    ------
    LnnError
        When there are fewer flights than folds, fewer than 3 folds, or shapes do not fit.
    """
    if x.ndim != 2 or y.shape != (len(x),) or flights.shape != (len(x),):
        raise LnnError(
            f"probe: shapes {x.shape}, {y.shape} and {flights.shape} found, expected (M, N), (M,) "
            "and (M,)"
        )
    known = np.unique(flights)
    if not 3 <= folds <= len(known):
        raise LnnError(
            f"probe: {folds} folds of {len(known)} flights, expected 3 or more flights "
            "and 3 folds or more, at most one a flight"
        )
    rng = np.random.default_rng(seed)
    parts = np.array_split(rng.permutation(known), folds)
    predictions, reference = np.empty(len(x)), np.empty(len(x))
    for held in range(folds):
        inner = [p for i, p in enumerate(parts) if i != held]
        errors = np.zeros(len(PENALTIES))
        for test in inner:
            fit = ~np.isin(flights, np.concatenate([test, parts[held]]))
            check = np.isin(flights, test)
            fits = _ridge(x[fit], y[fit], x[check])
            errors += np.square(fits - y[check]).sum(1)
        train = ~np.isin(flights, parts[held])
        best = int(errors.argmin())
        predictions[~train] = _ridge(x[train], y[train], x[~train])[best]
        reference[~train] = y[train].mean()
    error, spread = np.square(predictions - y), np.square(reference - y)
    # Sums of each flight, of which the bootstrap draws.
    sums = np.array([[error[flights == f].sum(), spread[flights == f].sum()] for f in known])
    drawn = sums[rng.integers(0, len(known), (draws, len(known)))].sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = 1.0 - sums[:, 0] / sums[:, 1]
        low, high = np.nanpercentile(1.0 - drawn[:, 0] / drawn[:, 1], (2.5, 97.5))
        total = 1.0 - sums[:, 0].sum() / sums[:, 1].sum()
    return Probe(
        float(total),
        (float(low), float(high)),
        predictions,
        {int(f): float(r) for f, r in zip(known, each, strict=True)},
    )


def _ridge(x: Floats, y: Floats, at: Floats) -> Floats:
    """Predictions (penalties, frames) at ``at`` of ridge regressions of y on standardised x."""
    mean, scale = x.mean(0), x.std(0)
    # What never changes in training says nothing; dividing by its rounding would say a lot.
    scale = np.where(scale > 1e-9 * (1.0 + np.abs(mean)), scale, np.inf)
    z, level = (x - mean) / scale, y.mean()
    values, vectors = np.linalg.eigh(z.T @ z / len(z))
    right = vectors.T @ (z.T @ (y - level) / len(z))
    shown = (at - mean) / scale @ vectors
    return np.stack([shown @ (right / (np.maximum(values, 0.0) + p)) + level for p in PENALTIES])
