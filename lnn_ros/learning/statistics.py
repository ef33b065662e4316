"""Counts of flights, and what separates them, with their uncertainty."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 10_000
Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def wilson(successes: int, total: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of a proportion.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22 (1927).

    Raises
    ------
    ValueError
        Unless ``0 <= successes <= total`` and ``total >= 1``.
    """
    if not 0 <= successes <= total or total < 1:
        raise ValueError(f"{successes} of {total} found, expected 0 <= successes <= total >= 1")
    p = successes / total
    middle = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    # Rounding must not push the estimate out of its own interval.
    return max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half))


def bootstrap_difference(
    a: ArrayLike, b: ArrayLike, draws: int = RESAMPLES
) -> tuple[float, float, float]:
    """Mean difference of what two agents did in the same worlds, and its 95 % interval.

    The interval is that of percentiles of the paired bootstrap: worlds, and with them the outcomes
    of both, are drawn anew with replacement (Efron, "Bootstrap methods: another look at the
    jackknife", Annals of Statistics 7 (1979)). It never leaves the range of the differences
    themselves. Where they are all the same it has no width, and of few worlds it is too narrow.
    What is drawn is always the same.

    Parameters
    ----------
    a, b : array_like (worlds,)
        Outcomes: arrived or not, or any number.
    draws : int
        How many times everything is drawn anew.

    Returns
    -------
    tuple of float
        Mean of ``a - b``, lower end, upper end. Of ``b - a`` it is the mirror image.

    Raises
    ------
    ValueError
        When the two have not the same length, or fewer than two worlds, or hold what is no number.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"outcomes of shape {first.shape} and {second.shape} found, expected the "
                         f"same: (worlds,)")
    if len(first) < 2:
        raise ValueError(f"{len(first)} worlds found, expected two or more")
    difference = first - second
    if not np.isfinite(difference).all():
        raise ValueError("an outcome that is not a number found, expected numbers")
    # Worlds with the same difference are the same to every draw: of a thousand worlds whose
    # outcomes are yes or no, it is enough to draw how many there are of each of three kinds. The
    # kinds stand in the order in which they come, so that those of b - a stand in the same.
    _, places, counts = np.unique(difference, return_index=True, return_counts=True)
    order = np.argsort(places)
    kinds, counts = difference[places[order]], counts[order]
    rng = np.random.default_rng(0)
    total = len(difference)
    if 8 * len(kinds) <= total:
        means = rng.multinomial(total, counts / total, draws) @ kinds / total
    else:  # of many kinds it is faster to draw one by one
        means = np.array([difference[rng.integers(total, size=total)].mean()
                          for _ in range(draws)])
    low, high = np.quantile(means, (0.025, 0.975))
    # Adding zero makes -0.0 a plain zero.
    return float(difference.mean()) + 0.0, float(low) + 0.0, float(high) + 0.0


def trained_difference(
    a: ArrayLike, b: ArrayLike, resamples: int = RESAMPLES
) -> tuple[float, float, float, float]:
    """Mean of a minus mean of b over seeds and worlds, its 95 % interval, and a p-value.

    A resample draws worlds, the same for both: what a world asks of one it asks of the other. It
    draws seeds of training for each of the two: seed 1 of one knows nothing of seed 1 of the other.
    So the interval holds for other worlds and for other trainings. It is the percentile one
    (Efron and Tibshirani, "An introduction to the bootstrap", 1993); the p-value, two-sided, is
    twice the share of resamples on the other side of zero. Of very few seeds both are too sure of
    themselves: the spread of three is seen a fifth too small. What is drawn is always the same.

    Parameters
    ----------
    a, b : array (seeds, worlds)
        What each of them came to: 0 and 1, or numbers. Equally many worlds, in the same order.
    resamples : int
        How many.

    Raises
    ------
    ValueError
        When they are not such arrays.
    """
    one, other = np.asarray(a, float), np.asarray(b, float)
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise ValueError(f"arrays of shapes {one.shape} and {other.shape} found, expected "
                         "(seeds, worlds), and as many worlds in both")
    if not one.size or not other.size or not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError("no numbers found, or such that are not finite, expected finite ones")
    rng = np.random.default_rng(0)

    def shares(count: int) -> np.ndarray:
        """How often each of so many is in a resample, (resamples, count), as a share."""
        return rng.multinomial(count, np.full(count, 1 / count), resamples) / count

    worlds = shares(one.shape[1])
    means = [(shares(len(rows)) * (worlds @ rows.T)).sum(1) for rows in (one, other)]
    found = np.round(means[0] - means[1], 12)  # what is zero but for rounding is zero
    low, high = np.quantile(found, (0.025, 0.975))
    beyond = 1 + min((found <= 0).sum(), (found >= 0).sum())
    mean = float(one.mean() - other.mean())
    return mean, float(low), float(high), min(1.0, 2.0 * float(beyond) / (1 + resamples))


def mcnemar(a: Sequence[bool], b: Sequence[bool]) -> float:
    """Two-sided p-value that two success rates on the same worlds are alike: the exact test.

    Of the worlds in which one succeeds and the other does not, each should be either's with the
    same chance. Source: McNemar, "Note on the sampling error of the difference between correlated
    proportions or percentages", Psychometrika 12 (1947).

    Raises
    ------
    ValueError
        When the two have not the same length.
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} outcomes found, expected equally many")
    first = sum(x and not y for x, y in zip(a, b, strict=True))
    second = sum(y and not x for x, y in zip(a, b, strict=True))
    n, least = first + second, min(first, second)
    tail = sum(math.comb(n, k) for k in range(least + 1))
    return min(1.0, float(Fraction(2 * tail, 2**n)))


def holm(ps: Sequence[float]) -> list[float]:
    """P-values of several questions, such that each can be held against the level of all.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979).
    """
    adjusted, worst = [0.0] * len(ps), 0.0
    for rank, at in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        worst = max(worst, min(1.0, (len(ps) - rank) * ps[at]))
        adjusted[at] = worst
    return adjusted


def auroc(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties by half.

    It is the statistic of Mann and Whitney, "On a test of whether one of two random variables is
    stochastically larger than the other", Annals of Mathematical Statistics 18 (1947), as a share.

    Raises
    ------
    ValueError
        When there are none of one kind, or a score is not a number.
    """
    if not positives or not negatives:
        raise ValueError(
            f"{len(positives)} positives and {len(negatives)} negatives found, expected one or "
            "more of each"
        )
    if any(math.isnan(score) for score in (*positives, *negatives)):
        raise ValueError("a score that is not a number found, expected numbers")
    ordered = sorted(negatives)
    below = sum(bisect_left(ordered, s) + bisect_right(ordered, s) for s in positives) / 2
    return below / (len(positives) * len(negatives))


def auroc_interval(area: float, positives: int, negatives: int) -> tuple[float, float]:
    """95 % interval of an area under the ROC curve.

    By the standard error of Hanley and McNeil, "The meaning and use of the area under a receiver
    operating characteristic (ROC) curve", Radiology 143 (1982); cut to [0, 1]. Next to 0 or 1, or
    of few scores, it is too narrow.
    """
    q1, q2 = area / (2 - area), 2 * area * area / (1 + area)
    variance = (
        area * (1 - area)
        + (positives - 1) * (q1 - area * area)
        + (negatives - 1) * (q2 - area * area)
    ) / (positives * negatives)
    half = Z95 * math.sqrt(max(0.0, variance))
    return max(0.0, area - half), min(1.0, area + half)
