"""Whether a policy is as sure as it says: stated spreads against errors on held-out data."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.spec import COMMAND

Values = NDArray[np.floating[Any]]

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Central intervals whose coverage is reported."""
NOMINAL = tuple(round(0.05 * k, 2) for k in range(1, 20))
"""Points of the reliability figure."""


@dataclass(frozen=True)
class Calibration:
    """Stated against observed, of one output or of all together.

    Attributes
    ----------
    count : int
        Errors.
    coverage : dict of float to float
        Share of errors inside the central interval of each of ``LEVELS``; ideal: the level.
    observed : tuple of float
        The reliability figure: share inside the central interval of each of ``NOMINAL``.
    error : float
        Expected calibration error: mean distance of observed from nominal.
    spread : float
        Root mean square of the stated standard deviations,
    deviation : float
        and of the errors: spreads that are right on average are as large.
    """

    count: int
    coverage: dict[float, float]
    observed: tuple[float, ...]
    error: float
    spread: float
    deviation: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "count": self.count,
            "coverage": {f"{level:g}": share for level, share in self.coverage.items()},
            "nominal": list(NOMINAL),
            "observed": list(self.observed),
            "expected_calibration_error": self.error,
            "spread": self.spread,
            "deviation": self.deviation,
        }


def calibration(errors: Values, spreads: Values) -> Calibration:
    """Compare errors with the normal distribution that was stated for each.

    As in Kuleshov et al., "Accurate uncertainties for deep learning using calibrated regression",
    ICML 2018, for central intervals and with equal weights.

    Parameters
    ----------
    errors : ndarray, shape (...)
        Label minus command.
    spreads : ndarray, same shape
        Standard deviations, positive.

    Raises
    ------
    LnnError
        When there is nothing to compare, or shapes or numbers are wrong.
    """
    errors, spreads = np.asarray(errors, float), np.asarray(spreads, float)
    if errors.shape != spreads.shape or not errors.size:
        raise LnnError(
            f"calibration: errors {errors.shape} and spreads {spreads.shape} found, expected the "
            "same shape and at least one"
        )
    if not np.isfinite(errors).all() or not (np.isfinite(spreads) & (spreads > 0)).all():
        raise LnnError("calibration: expected finite errors, and spreads that are positive")
    ratio = np.abs(errors / spreads).ravel()

    def inside(level: float) -> float:
        return float(np.mean(ratio <= NormalDist().inv_cdf(0.5 + level / 2)))

    observed = tuple(inside(level) for level in NOMINAL)
    return Calibration(
        count=ratio.size,
        coverage={level: inside(level) for level in LEVELS},
        observed=observed,
        error=float(np.mean(np.abs(np.array(observed) - NOMINAL))),
        spread=float(np.sqrt(np.mean(spreads**2))),
        deviation=float(np.sqrt(np.mean(errors**2))),
    )


def by_output(errors: Values, spreads: Values) -> dict[str, Calibration]:
    """``calibration`` of each output of (N, 4), and of "all" of them together."""
    each = {name: calibration(errors[:, i], spreads[:, i]) for i, name in enumerate(COMMAND)}
    return {**each, "all": calibration(errors, spreads)}
