"""Totals from samples, against sums that can be done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hccbook.errors import DataError
from hccbook.evaluation.sampling import ratio_total, stratified_total


def test_a_total_of_two_strata() -> None:
    """Means 2 and 10 of 100 and 50 members: 700.

    Variances 1 and 4 of three and two values: 100^2 x 1/3 x 0.97 = 3,233.3 and 50^2 x 8/2 x 0.96 = 9,600.
    """
    total = stratified_total({"a": [1, 2, 3], "b": [8, 12]}, {"a": 100, "b": 50})
    variance = 3_233.3333 + 9_600
    freedom = variance**2 / (3_233.3333**2 / 2 + 9_600**2 / 1)
    assert total.value == pytest.approx(700)
    assert total.upper - total.value == pytest.approx(stats.t.ppf(0.975, freedom) * variance**0.5, rel=1e-6)
    assert total.value - total.lower == pytest.approx(total.upper - total.value)


def test_a_stratum_that_is_known_whole_has_no_interval() -> None:
    """All three members drawn: their sum, and nothing is left to chance."""
    assert stratified_total({"a": [1, 2, 3]}, {"a": 3}) == (6, 6, 6)


def test_a_constant_ratio_leaves_only_what_is_not_known_of_the_cheap_value() -> None:
    """Always twenty times as long: twenty times the total of the cheap value, and of its interval."""
    cheap = {"a": [1.0, 2.0, 4.0, 5.0]}
    once = stratified_total(cheap, {"a": 40})
    many = ratio_total({"a": [(1.0, 20.0), (3.0, 60.0)]}, cheap, {"a": 40})
    assert many == pytest.approx(tuple(20 * bound for bound in once))


def test_the_interval_of_a_ratio_covers_its_truth() -> None:
    """Of 400 populations whose ratio is about 25, nine tenths or more lie in their intervals of 95 %."""
    covered = 0
    for seed in range(400):
        random = np.random.default_rng(seed)
        cheap = random.gamma(20, 0.1, 500)
        costly = cheap * random.normal(25, 2, 500)
        drawn = random.permutation(500)
        total = ratio_total(
            {"a": list(zip(cheap[drawn[:5]], costly[drawn[:5]], strict=True))}, {"a": cheap[drawn[:30]]}, {"a": 500}
        )
        covered += total.lower <= costly.sum() <= total.upper
    assert covered >= 360


def test_one_value_is_refused() -> None:
    """Nothing is known of the spread."""
    with pytest.raises(DataError, match=r"stratum a: needs 2 to 9 values, but found 1"):
        stratified_total({"a": [1.0]}, {"a": 9})
