import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from lnn_ros.learning.statistics import (
    auroc,
    auroc_interval,
    bootstrap_difference,
    holm,
    mcnemar,
    trained_difference,
    wilson,
)


@pytest.mark.parametrize(
    "successes, total, low, high",
    [  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_against_published_values(successes, total, low, high):
    assert wilson(successes, total) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_estimate_and_mirrors(total, data):
    hits = data.draw(st.integers(0, total))
    low, high = wilson(hits, total)
    assert 0.0 <= low <= hits / total <= high <= 1.0
    assert wilson(total - hits, total) == pytest.approx((1 - high, 1 - low))


def grids(shape):
    return arrays(np.bool_, shape)


PAIRS = st.integers(2, 30).flatmap(lambda worlds: st.tuples(grids((worlds,)), grids((worlds,))))


@given(PAIRS)
def test_a_difference_holds_its_mean_stays_in_range_and_mirrors(pair):
    a, b = pair
    mean, low, high = bootstrap_difference(a, b, draws=400)
    apart = a.astype(float) - b
    assert mean == pytest.approx(apart.mean(), abs=1e-12)
    assert apart.min() - 1e-9 <= low <= high <= apart.max() + 1e-9
    assert bootstrap_difference(b, a, draws=400) == pytest.approx((-mean, -high, -low), abs=1e-12)
    assert bootstrap_difference(a, b, draws=400) == (mean, low, high), "the same again"
    assert bootstrap_difference(a, a, draws=400) == (0.0, 0.0, 0.0)


def test_a_difference_of_known_width():
    a, b = [True] * 80 + [False] * 20, [True] * 50 + [False] * 50
    mean, low, high = bootstrap_difference(a, b)
    # Thirty of a hundred worlds: the quantiles of that binomial distribution.
    assert (mean, low, high) == pytest.approx((0.3, *binom.ppf((0.025, 0.975), 100, 0.3) / 100))
    # Pairing matters: the same rates, in other worlds, are told apart less well.
    _, low, high = bootstrap_difference(a, b[::-1])
    assert high - low > 0.24
    # Four worlds: an end is all four alike, which is drawn more often than once in forty.
    assert bootstrap_difference([1, 0, 0, 1], [1, 1, 1, 1]) == (-0.5, -1.0, 0.0)
    # Numbers that are no outcomes, of a thousand kinds; drawn one by one.
    x = np.random.default_rng(0).normal(0.5, 2.0, (3, 1000)).mean(axis=0)
    mean, low, high = bootstrap_difference(x, np.zeros(1000))
    assert high - low == pytest.approx(2 * 1.96 * x.std() / 1000**0.5, rel=0.05)


def test_the_interval_of_a_difference_covers_the_truth():
    rng, hits, truth, times = np.random.default_rng(2), 0, 0.1, 400
    for _ in range(times):
        a = truth + rng.normal(0.0, 0.5, 40)
        _, low, high = bootstrap_difference(a, np.zeros_like(a), draws=300)
        hits += low <= truth <= high
    assert 0.92 < hits / times < 0.99


@pytest.mark.parametrize(
    "a, b, said",
    [
        ([True], [True], "1 worlds found, expected two or more"),
        ([1, 0], [1, 0, 0], r"shape \(2,\) and \(3,\) found, expected the same"),
        ([1.0, float("nan")], [1, 1], "not a number found"),
        (1, 0, r"expected the same: \(worlds,\)"),
        (np.zeros((2, 5)), np.zeros((2, 5)), r"expected the same: \(worlds,\)"),
    ],
)
def test_senseless_differences(a, b, said):
    with pytest.raises(ValueError, match=said):
        bootstrap_difference(a, b)


@pytest.mark.parametrize("successes, total", [(0, 0), (3, 2), (-1, 2)])
def test_senseless_counts(successes, total):
    with pytest.raises(ValueError, match="expected"):
        wilson(successes, total)


def test_auroc_counts_pairs_in_the_right_order():
    assert auroc([2.0, 3.0], [0.0, 1.0]) == 1.0
    assert auroc([0.0], [1.0, 2.0]) == 0.0
    assert auroc([1.0], [1.0]) == 0.5
    # 0.9 beats both, 0.4 beats one of two, 0.2 ties with one.
    assert auroc([0.9, 0.4, 0.2], [0.2, 0.6]) == pytest.approx((2 + 1 + 0.5) / 6)


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=20),
       st.lists(st.floats(-9, 9), min_size=1, max_size=20))
def test_auroc_is_the_share_of_pairs_and_turns_with_its_arguments(a, b):
    pairs = [(x > y) + 0.5 * (x == y) for x in a for y in b]
    assert auroc(a, b) == pytest.approx(sum(pairs) / len(pairs))
    assert auroc(a, b) + auroc(b, a) == pytest.approx(1.0)
    low, high = auroc_interval(auroc(a, b), len(a), len(b))
    assert 0.0 <= low <= auroc(a, b) <= high <= 1.0


def test_the_interval_of_an_area_is_that_of_the_paper():
    # The example of Hanley and McNeil 1982: 51 positives, 58 negatives, area 0.893, error 0.032.
    low, high = auroc_interval(0.893, 51, 58)
    assert high - low == pytest.approx(2 * 1.96 * 0.032, rel=0.03)


@pytest.mark.parametrize("a, b", [([], [1.0]), ([1.0], []), ([math.nan], [1.0])])
def test_an_area_of_nothing_is_refused(a, b):
    with pytest.raises(ValueError, match="expected"):
        auroc(a, b)


def outcomes(both, first, second, neither):
    """Paired outcomes of two, by how often which of them succeeded."""
    a = [True] * (both + first) + [False] * (second + neither)
    b = [True] * both + [False] * first + [True] * second + [False] * neither
    return a, b


def test_mcnemar_asks_only_the_worlds_in_which_they_differ():
    # Two-sided binomial tails: 2 (1 + 12 + 66) / 4096, and 2 / 64.
    assert mcnemar(*outcomes(50, 10, 2, 7)) == pytest.approx(0.03857421875)
    assert mcnemar(*outcomes(0, 2, 10, 900)) == pytest.approx(0.03857421875)
    assert mcnemar(*outcomes(3, 6, 0, 1)) == pytest.approx(0.03125)
    assert mcnemar(*outcomes(5, 4, 4, 5)) == 1.0
    assert mcnemar([], []) == mcnemar([True], [True]) == 1.0
    assert 0.0 <= mcnemar(*outcomes(0, 3000, 100, 0)) < 1e-300, "large counts do not overflow"
    with pytest.raises(ValueError, match="1 and 2 outcomes found"):
        mcnemar([True], [True, False])


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_lies_between_one_question_and_bonferroni(ps):
    adjusted = holm(ps)
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)
    assert adjusted[order[0]] == min(1.0, len(ps) * ps[order[0]])
    assert all(p <= q <= 1.0 for p, q in zip(ps, adjusted, strict=True))
    assert all(q <= min(1.0, len(ps) * max(ps)) for q in adjusted)


def test_holm_as_worked_by_hand():
    # 4 x 0.005; 3 x 0.01; 2 x 0.03; 0.04, raised to what the smaller one before it needs.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_bootstrap_over_worlds_alone_is_as_wide_as_theory_says():
    rng = np.random.default_rng(1)
    a, b = rng.random((1, 400)) < 0.8, rng.random((1, 400)) < 0.7
    mean, low, high, p = trained_difference(a, b)
    same = bootstrap_difference(a[0], b[0])
    assert (mean, low, high) == pytest.approx(same, abs=0.004)
    assert p == pytest.approx(math.erfc(mean / (same[2] - mean) * 1.96 / math.sqrt(2)), abs=0.01)


def test_a_bootstrap_over_seeds_sees_that_trainings_differ():
    """Worlds that say little, seeds of standard deviation 0.1 each."""
    rng = np.random.default_rng(2)
    lucky = 0.5 + 0.1 * rng.standard_normal((40, 1)) + np.zeros((1, 50))
    other = 0.5 + 0.1 * rng.standard_normal((40, 1)) + np.zeros((1, 50))
    mean, low, high, _ = trained_difference(lucky, other)
    assert mean == pytest.approx(lucky.mean() - other.mean())
    expected = 1.96 * math.hypot(lucky[:, 0].std(), other[:, 0].std()) / math.sqrt(40)
    assert (high - low) / 2 == pytest.approx(expected, rel=0.05)


def test_worlds_are_paired_and_seeds_are_not():
    hard = np.array([[0, 1] * 50] * 3)
    assert trained_difference(hard, hard) == (0.0, 0.0, 0.0, 1.0), "each is as good in each world"
    seeds = hard * 0 + np.array([[0], [0], [1]])
    mean, low, high, p = trained_difference(seeds, seeds[::-1])
    assert mean == 0 and low < -0.3 and high > 0.3 and p > 0.5
    better = trained_difference(np.ones((3, 100)), np.zeros((2, 100)))
    assert better[:3] == (1.0, 1.0, 1.0) and better[3] < 0.001


@pytest.mark.parametrize("a, b", [([0, 1], [0, 1]), ([[0, 1]], [[0, 1, 1]]), ([[]], [[]]),
                                  ([[math.nan]], [[0.0]])])  # fmt: skip
def test_what_is_no_table_of_seeds_and_worlds_is_refused(a, b):
    with pytest.raises(ValueError, match=r"expected (\(seeds|finite)"):
        trained_difference(a, b)
