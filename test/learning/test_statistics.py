import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnn_ros.learning.statistics import paired_difference, wilson


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
