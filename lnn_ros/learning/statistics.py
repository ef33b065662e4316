"""Counts of flights, and what separates them, with their uncertainty."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    a: ArrayLike, b: ArrayLike, *, draws: int = 5000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean difference of what two agents did in the same worlds, and its 95 % interval.

    The interval is that of percentiles of the paired bootstrap: worlds, and with them the outcomes
    of both, are drawn anew with replacement; of several training seeds, these too, by themselves
    ("pigeonhole": Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1 (2007)). The
    percentile method is in Efron, "Bootstrap methods: another look at the jackknife", Annals of
    Statistics 7 (1979). It never leaves the range of the differences themselves. Where they are all
    the same it has no width, and of few worlds or seeds it is too narrow: of three seeds it reaches
    at most from the worst to the best, and between these the middle lies three times in four.

    Parameters
    ----------
    a, b : array_like
        Outcomes, shape (worlds,) or (seeds, worlds): arrived or not, or any number. Seed ``i`` of
        one is paired with seed ``i`` of the other.
    draws : int
        How many times everything is drawn anew.
    seed : int
        Of the draws: the same data have the same interval.

    Returns
    -------
    tuple of float
        Mean of ``a - b``, lower end, upper end. Of ``b - a`` it is the mirror image.

    Raises
    ------
    ValueError
        When the two have not the same shape, or fewer than two worlds, or hold what is no number.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or first.ndim not in (1, 2) or 0 in first.shape:
        raise ValueError(
            f"outcomes of shape {first.shape} and {second.shape} found, expected the same: "
            f"(worlds,) or (seeds, worlds)"
        )
    if first.shape[-1] < 2:
        raise ValueError(f"{first.shape[-1]} worlds found, expected two or more")
    difference = np.atleast_2d(first - second)
    if not np.isfinite(difference).all():
        raise ValueError("an outcome that is not a number found, expected numbers")
    seeds = len(difference)
    # Worlds with the same differences are the same to every draw: of a thousand worlds whose
    # outcomes are yes or no, it is enough to draw how many there are of each of a few kinds. The
    # kinds stand in the order in which they come, so that those of b - a stand in the same.
    _, places, counts = np.unique(difference, axis=1, return_index=True, return_counts=True)
    order = np.argsort(places)
    kinds, counts = difference[:, places[order]], counts[order]
    rng = np.random.default_rng(seed)
    of_worlds = _drawn_anew(rng, counts, draws)
    of_seeds = _drawn_anew(rng, np.ones(seeds, np.int64), draws)
    means = (of_worlds @ kinds.T * of_seeds).sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    # Adding zero makes -0.0 a plain zero.
    return float(difference.mean()) + 0.0, float(low) + 0.0, float(high) + 0.0


def _drawn_anew(
    rng: np.random.Generator, counts: NDArray[np.int64], draws: int
) -> NDArray[np.float64]:
    """Return the share of every kind when all are drawn with replacement, shape (draws, kinds)."""
    total = int(counts.sum())
    if 8 * counts.size <= total:
        return rng.multinomial(total, counts / total, draws) / total
    # Of many kinds it is faster to draw one by one, and to count.
    kind = np.repeat(np.arange(counts.size), counts)
    found = kind[rng.integers(total, size=(draws, total))]
    found += counts.size * np.arange(draws)[:, None]
    return np.bincount(found.ravel(), minlength=draws * counts.size).reshape(draws, -1) / total


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
