"""Splitting a total by weights: whole numbers that sum to the total, by largest remainder."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapprobe import _core

totals = st.integers(0, 2**62 - 1)
small_weights = st.lists(st.integers(0, 20), min_size=1, max_size=20)
large_weights = st.lists(st.integers(0, 2**26), min_size=1, max_size=20)
weights = st.one_of(small_weights, large_weights).filter(any)

many_examples = settings(max_examples=300, deadline=None)


def split(total: int, weights: list[int]) -> list[int]:
    shares = np.zeros(len(weights), np.int64)
    _core.apportion(total, np.array(weights, np.int64), shares)
    return shares.tolist()


def largest_remainder(total: int, weights: list[int]) -> list[int]:
    """Return the same by the definition, in fractions."""
    quotas = [Fraction(total * weight, sum(weights)) for weight in weights]
    shares = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(weights)), key=lambda k: (shares[k] - quotas[k], k))
    for k in by_remainder[: total - sum(shares)]:
        shares[k] += 1
    return shares


@many_examples
@given(totals, weights)
def test_shares_sum_to_the_total(total: int, weights: list[int]) -> None:
    assert sum(split(total, weights)) == total


@many_examples
@given(totals, weights)
def test_shares_are_by_largest_remainder(total: int, weights: list[int]) -> None:
    assert split(total, weights) == largest_remainder(total, weights)


@many_examples
@given(totals, weights)
def test_no_share_is_a_whole_unit_off_its_quota(total: int, weights: list[int]) -> None:
    quotas = [Fraction(total * weight, sum(weights)) for weight in weights]
    off = [abs(share - quota) for share, quota in zip(split(total, weights), quotas, strict=True)]
    assert max(off) < 1


@many_examples
@given(totals, weights)
def test_who_has_no_weight_gets_nothing(total: int, weights: list[int]) -> None:
    weightless = [share for share, weight in zip(split(total, weights), weights, strict=True) if not weight]
    assert not any(weightless)


@many_examples
@given(totals, small_weights.filter(any), st.integers(1, 1000))
def test_only_the_proportion_of_weights_matters(total: int, weights: list[int], times: int) -> None:
    assert split(total, [times * weight for weight in weights]) == split(total, weights)


@pytest.mark.parametrize(
    ("total", "weights", "shares"),
    [
        (1, [1, 1, 1], [1, 0, 0]),
        (11, [1, 1, 1], [4, 4, 3]),
        (2, [1, 1, 1, 1], [1, 1, 0, 0]),
        (3, [0, 2, 0, 2], [0, 2, 0, 1]),
    ],
)
def test_ties_go_to_the_first(total: int, weights: list[int], shares: list[int]) -> None:
    assert split(total, weights) == shares


def test_nobody_gets_anything_where_nobody_has_weight() -> None:
    assert split(10, [0, 0]) == [0, 0]
