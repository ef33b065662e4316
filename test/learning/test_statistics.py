import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnn_ros.learning.statistics import (
    auroc,
    auroc_interval,
    holm,
    mcnemar,
    paired_difference,
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


def test_paired_difference():
    a, b = [True] * 8 + [False] * 2, [True] * 5 + [False] * 5
    mean, low, high = paired_difference(a, b)
    assert mean == pytest.approx(0.3)
    assert high - mean == pytest.approx(1.959964 * (0.233333 / 10) ** 0.5, rel=1e-4)
    assert mean - low == pytest.approx(high - mean)
    assert paired_difference(a, a) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("successes, total", [(0, 0), (3, 2), (-1, 2)])
def test_senseless_counts(successes, total):
    with pytest.raises(ValueError, match="expected"):
        wilson(successes, total)
    with pytest.raises(ValueError, match="two or more"):
        paired_difference([True], [True])


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
