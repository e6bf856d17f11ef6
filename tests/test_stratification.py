"""Cut-offs and risk groups."""

import itertools

import numpy as np
import pandas as pd
import pytest
from lifelines.statistics import multivariate_logrank_test
from scipy.stats import chi2_contingency
from sklearn.metrics import roc_curve

from hccbook.errors import DataError
from hccbook.stratification import risk_groups, stepwise_flows, stepwise_groups, xtile, youden_cutoff


def graded_cohort(seed=0, n=60, decimals=2):
    """Outcome whose chance rises with the score, and follow-up that shortens with it."""
    rng = np.random.default_rng(seed)
    score = np.round(rng.random(n), decimals)
    y = (rng.random(n) < score).astype(int)
    return score, y, np.ceil(40 * rng.random(n) * (1.2 - score))


def cut(score, cuts):
    """Group number of each patient."""
    return np.digitize(score, cuts)


@pytest.mark.parametrize("decimals", [1, 2])
@pytest.mark.parametrize("n_cuts", [1, 2])
def test_xtile_agrees_with_brute_force(n_cuts, decimals):
    """The maximum over all cut-offs is that of scipy's chi-square on each table."""
    score, y, _ = graded_cohort(n=40, decimals=decimals)
    found = xtile(score, y, min_fraction=0.1, n_cuts=n_cuts)
    best = {}
    for cuts in itertools.combinations(np.unique(score)[1:], n_cuts):
        group = cut(score, cuts)
        table = np.array([np.bincount(group, y == outcome, n_cuts + 1) for outcome in (0, 1)])
        if table.sum(axis=0).min() >= 4:
            best[cuts] = chi2_contingency(table, correction=False).statistic
    assert found.statistic == pytest.approx(max(best.values()), rel=1e-9)
    chosen = min(cuts for cuts, value in best.items() if value >= max(best.values()) * (1 - 1e-9))
    assert cut(score, found.cuts).tolist() == cut(score, chosen).tolist()
    assert np.isfinite(found.grid).sum() == len(best)
    assert found.kind == "pearson"


@pytest.mark.parametrize("n_cuts", [1, 2])
def test_xtile_on_follow_up_agrees_with_lifelines(n_cuts):
    """With follow-up each statistic of the grid is lifelines' log-rank."""
    score, y, months = graded_cohort(seed=3, n=40, decimals=1)
    found = xtile(score, y, months, min_fraction=0.15, n_cuts=n_cuts)
    assert found.kind == "logrank"
    checked = 0
    for index in np.argwhere(np.isfinite(found.grid)):
        group = cut(score, found.candidates[index])
        expected = multivariate_logrank_test(months, group, y).test_statistic
        assert found.grid[tuple(index)] == pytest.approx(expected, rel=1e-7)
        checked += 1
    assert checked > 3
    assert found.statistic == np.nanmax(found.grid)


def test_xtile_by_hand():
    """HCC in 0, 2 and 4 of four patients each, 2 expected: (4 + 0 + 4) / 2, and as much for those without."""
    score = np.arange(12.0)
    y = np.array([0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 1, 1])
    found = xtile(score, y, min_fraction=0.3)
    assert found.cuts == (3.5, 7.5)
    assert found.statistic == pytest.approx(8.0)
    assert found.groups.to_numpy().tolist() == [["low", 4, 0], ["medium", 4, 2], ["high", 4, 4]]


def test_xtile_groups_are_large_enough():
    """No group is smaller than the least share."""
    score, y, _ = graded_cohort(seed=4)
    for fraction in (0.05, 0.1, 0.25):
        assert xtile(score, y, min_fraction=fraction).groups["n"].min() >= fraction * 60


def test_xtile_survives_rounding_of_scores():
    """Cut-offs lie between scores: groups are the same after a score was written with six digits."""
    score, y, _ = graded_cohort(decimals=12)
    cuts = xtile(score, y).cuts
    assert risk_groups(score, cuts).tolist() == risk_groups(np.round(score, 6), cuts).tolist()


@pytest.mark.parametrize(
    ("score", "options", "word"),
    [
        ([1, 1, 1, 2, 2, 2], {}, "groups of"),
        ([1, 2, 3, 4, 5, 6], {"min_fraction": 0.5}, "min_fraction"),
        ([1, 2, 3, 4, 5, 6], {"n_cuts": 3}, "n_cuts"),
        ([1, 2, 3, 4, 5, np.nan], {}, "finite"),
        ([1, 2, 3, 4, 5, 6], {"time": [1, 2, 3, 4, 5, -6]}, "months"),
    ],
)
def test_xtile_refusals(score, options, word):
    """Too few different scores, settings out of range, missing scores and negative follow-up are refused."""
    with pytest.raises(DataError, match=word):
        xtile(score, [0, 0, 1, 0, 1, 1], **options)


@pytest.mark.parametrize("seed", range(4))
def test_youden_agrees_with_scikit_learn(seed):
    """The sensitivity and specificity at the cut-off have the greatest sum on scikit-learn's curve."""
    score, y, _ = graded_cohort(seed)
    cutoff = youden_cutoff(y, score)
    fpr, tpr, _ = roc_curve(y, score, drop_intermediate=False)
    positive = score >= cutoff
    assert positive[y == 1].mean() - positive[y == 0].mean() == pytest.approx((tpr - fpr).max())


def test_youden_by_hand():
    """Events at 2, 4, others at 1, 3: cut-offs 1.5 and 3.5 have the same sum; the lower one is taken."""
    assert youden_cutoff([0, 1, 0, 1], [1, 2, 3, 4]) == 1.5


def test_youden_of_a_constant_score():
    """Equal scores have no cut-off."""
    with pytest.raises(DataError, match="differ"):
        youden_cutoff([0, 1, 0, 1], [2, 2, 2, 2])


def test_risk_groups_by_hand():
    """ALARM's cut-offs 0.21 and 0.65; a score at a cut-off belongs to the higher group."""
    score = pd.Series([0.1, 0.21, 0.64, 0.65, 0.9], [f"P000{number}" for number in range(1, 6)])
    found = risk_groups(score, (0.21, 0.65))
    assert found.tolist() == ["low", "medium", "medium", "high", "high"]
    assert found.index.equals(score.index)
    assert risk_groups([0.36, 0.37], 0.37).tolist() == ["low", "high"]


@pytest.mark.parametrize("cuts", [(0.65, 0.21), (0.1, 0.2, 0.3), (), (np.nan,)])
def test_risk_groups_refuse_other_cutoffs(cuts):
    """Cut-offs must be one or two and rise."""
    with pytest.raises(DataError, match="cuts"):
        risk_groups([0.5], cuts)


@pytest.fixture
def stepwise():
    """Six patients: aMAP low, and medium and high on either side of the cut-off 0.37."""
    index = pd.Index([f"P000{number}" for number in range(1, 7)], name="patient")
    amap = pd.Series([49.9, 50.0, 55.0, 60.0, 60.1, 70.0], index)
    score = pd.Series([np.nan, 0.1, 0.37, 0.2, 0.36, 0.9], index)
    return stepwise_groups(amap, score, 0.37)


def test_stepwise_by_hand(stepwise):
    """aMAP low needs no CT score and is low; of the others those at or above the cut-off are high."""
    assert stepwise["amap_group"].tolist() == ["low", "medium", "medium", "medium", "high", "high"]
    assert stepwise["ct_group"].tolist() == ["not needed", "low", "high", "low", "low", "high"]
    assert stepwise["final"].tolist() == ["low", "low", "high", "low", "low", "high"]
    assert stepwise.index.name == "patient"


def test_stepwise_flows_by_hand(stepwise):
    """Each patient flows once from aMAP to CT and once from CT to final."""
    found = stepwise_flows(stepwise, [0, 0, 1, 0, 1, 1])
    assert found.to_numpy().tolist() == [
        ["aMAP low", "aMAP-CT not needed", 1, 0],
        ["aMAP medium", "aMAP-CT low", 2, 0],
        ["aMAP medium", "aMAP-CT high", 1, 1],
        ["aMAP high", "aMAP-CT low", 1, 1],
        ["aMAP high", "aMAP-CT high", 1, 1],
        ["aMAP-CT not needed", "Final low", 1, 0],
        ["aMAP-CT low", "Final low", 3, 1],
        ["aMAP-CT high", "Final high", 2, 2],
    ]
    assert found.columns.tolist() == ["source", "target", "n", "events"]


def test_stepwise_names_a_missing_score():
    """A CT score that is missing where aMAP asks for it is refused with the patient."""
    amap = pd.Series([45.0, 58.0], ["P0001", "P0002"])
    with pytest.raises(DataError, match="P0002"):
        stepwise_groups(amap, pd.Series([0.5, np.nan], amap.index), 0.37)


def test_stepwise_refuses_other_patients():
    """Series of different index are not matched by position."""
    amap = pd.Series([45.0, 58.0], ["P0001", "P0002"])
    with pytest.raises(DataError, match="another index"):
        stepwise_groups(amap, amap[::-1], 0.37)
