"""Counts of flights, and what separates them, with their uncertainty."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from fractions import Fraction

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


def paired_difference(a: Sequence[bool], b: Sequence[bool]) -> tuple[float, float, float]:
    """Difference of two success rates on the same worlds, and its 95 % interval.

    The variance is that of the per-world differences (normal approximation).

    Raises
    ------
    ValueError
        When the two have not the same length, or fewer than two worlds.
    """
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(
            f"{len(a)} and {len(b)} outcomes found, expected equally many, two or more"
        )
    differences = [int(x) - int(y) for x, y in zip(a, b, strict=True)]
    n = len(differences)
    mean = sum(differences) / n
    variance = sum((d - mean) ** 2 for d in differences) / (n - 1)
    half = Z95 * math.sqrt(variance / n)
    return mean, mean - half, mean + half


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
