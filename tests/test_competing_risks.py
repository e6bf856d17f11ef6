"""Incidence of HCC where death may come first."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_lung

from hccbook.errors import DataError
from hccbook.evaluation import competing_incidence, held_at, recorded_deaths


def _last(curves: pd.DataFrame) -> dict[str, float]:
    return curves.groupby("estimate")["incidence"].last().to_dict()


def test_incidence_by_hand():
    """Four people: HCC, death, HCC, nothing.

    Aalen-Johansen: 1/4, then half are left and one of two has HCC: 1/4 + 1/2 x 1/2. Kaplan-Meier: 1 - 3/4 x 1/2.
    Death: 3/4 x 1/3.
    """
    found = competing_incidence([1, 2, 3, 4], [1, 0, 1, 0], [0, 1, 0, 0])
    expected = {"1 − Kaplan-Meier": 5 / 8, "Aalen-Johansen": 1 / 2, "death before HCC": 1 / 4}
    assert _last(found) == pytest.approx(expected)
    assert found["at_risk"].max() == 4


def test_hcc_and_death_of_one_month_by_hand():
    """HCC comes first: of four, one has HCC in month 2, then one of three dies, and one of the two left has HCC."""
    found = competing_incidence([2, 2, 5, 6], [1, 0, 1, 0], [0, 1, 0, 0])
    assert _last(found)["Aalen-Johansen"] == pytest.approx(1 / 4 + 1 / 2 * 1 / 2)
    assert set(found["months"]) <= {0, 2, 5, 6}


def test_without_deaths_both_estimates_agree():
    """Nobody dies before: Aalen-Johansen is 1 - Kaplan-Meier at every month of both."""
    lung = load_lung()
    found = competing_incidence(lung["time"], lung["status"], np.zeros(len(lung), int))
    curves = {name: curve.set_index("months")["incidence"] for name, curve in found.groupby("estimate")}
    pd.testing.assert_series_equal(curves["Aalen-Johansen"], curves["1 − Kaplan-Meier"], check_names=False)


def test_limits_hold_the_estimate_and_the_sum_is_at_most_one():
    """HCC and death by random: limits in order, and nobody has both ends."""
    rng = np.random.default_rng(1)
    months, end = rng.integers(1, 40, 300), rng.integers(0, 3, 300)
    group = rng.choice(["low", "high"], 300)
    found = competing_incidence(months, (end == 1).astype(int), (end == 2).astype(int), group)
    inside = (found["lower"] <= found["incidence"] + 1e-12) & (found["incidence"] <= found["upper"] + 1e-12)
    assert inside.all()
    at = held_at(found, 30).pivot(index="group", columns="estimate", values="incidence")
    assert ((at["Aalen-Johansen"] + at["death before HCC"]) <= 1).all()
    assert (at["1 − Kaplan-Meier"] > at["Aalen-Johansen"]).all()


def test_what_cannot_be_is_refused():
    """HCC and death at the same end, and a manifest that does not say who died."""
    with pytest.raises(DataError, match="1 patients with both"):
        competing_incidence([1, 2], [1, 0], [1, 0])
    with pytest.raises(DataError, match="no such column"):
        recorded_deaths(pd.DataFrame({"months": [1.0], "hcc": [0]}))
    with pytest.raises(DataError, match="1 without"):
        recorded_deaths(pd.DataFrame({"months": [1.0, 2.0], "hcc": [0, 0], "died": [1.0, np.nan]}))
