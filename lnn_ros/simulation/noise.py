"""Random numbers for every step of a simulation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_ROWS = 256


def normal_rows(rng: np.random.Generator,
                deviations: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Yield vectors of normal numbers without end.

    Parameters
    ----------
    rng : numpy.random.Generator
        Nobody else's, as the vectors are drawn many at once: the same as one by one, and cheaper.
    deviations : ndarray (n,)
        Standard deviation of every number.
    """
    while True:
        yield from rng.standard_normal((_ROWS, len(deviations))) * deviations
