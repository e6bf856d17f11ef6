"""Cut-offs and risk groups."""

import itertools

import numpy as np
import pandas as pd
import pytest
from lifelines.statistics import multivariate_logrank_test
from scipy.stats import chi2_contingency
from sklearn.metrics import roc_curve

from hccbook.errors import DataError
from hccbook.stratification import (
    lead_times,
    risk_groups,
    stepwise_flows,
    stepwise_groups,
    xtile,
    xtile_map,
    xtile_permutation,
    youden_cutoff,
)


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


@pytest.mark.parametrize("n_cuts", [1, 2])
def test_xtile_on_follow_up_agrees_with_lifelines(n_cuts):
    """With follow-up each statistic of the grid is lifelines' log-rank."""
    score, y, months = graded_cohort(seed=3, n=40, decimals=1)
    found = xtile(score, y, months, min_fraction=0.15, n_cuts=n_cuts)
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
    assert y[risk_groups(score, found.cuts) == "medium"].tolist() == [1, 0, 0, 1]


def test_xtile_groups_are_large_enough():
    """No group is smaller than the least share."""
    score, y, _ = graded_cohort(seed=4)
    for fraction in (0.05, 0.1, 0.25):
        groups = risk_groups(score, xtile(score, y, min_fraction=fraction).cuts)
        assert np.unique(groups, return_counts=True)[1].min() >= fraction * 60


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


def test_xtile_counts_above_each_candidate():
    """Patients, events and expected events at or above each cut-off; the first row is everybody."""
    score, y, months = graded_cohort(seed=5, decimals=1)
    found = xtile(score, y, months, min_fraction=0.2)
    assert found.above.iloc[0][["n", "events", "expected"]].tolist() == [60, y.sum(), y.sum()]
    for row, cutoff in zip(found.above.iloc[1:].itertuples(), found.candidates, strict=True):
        above = score >= cutoff
        assert (row.n, row.events) == (above.sum(), y[above].sum())
        test = multivariate_logrank_test(months, above, y)
        # One cut-off's chi-square is the surplus squared over its variance: the surplus itself by the event times.
        expected = sum(
            (months[y == 1] == t).sum() * (above & (months >= t)).sum() / (months >= t).sum()
            for t in np.unique(months[y == 1])
        )
        assert row.expected == pytest.approx(expected)
        assert (row.events > expected) == (test.test_statistic > 0 and y[above].sum() > expected)


def test_map_holds_the_grid():
    """With points enough every allowed pair is there once, with its chi-square, shares and direction by hand."""
    score, y, _ = graded_cohort(n=40, decimals=1)
    found = xtile(score, y, min_fraction=0.1)
    tiles = xtile_map(found)
    assert len(tiles) == np.isfinite(found.grid).sum()
    for row in tiles.itertuples():
        low, high = score < row.lower, score >= row.upper
        table = np.array([[(part & (y == one)).sum() for part in (low, ~low & ~high, high)] for one in (0, 1)])
        assert row.chi2 == pytest.approx(chi2_contingency(table, correction=False).statistic)
        assert (row.low_share, row.high_share) == pytest.approx((low.mean(), high.mean()))
        assert row.rising == (y[high].mean() > y[low].mean())


def test_map_thinned_keeps_the_chosen_pair():
    """Of 400 cut-offs a quarter is shown; the maximum is among them and is the greatest."""
    score, y, _ = graded_cohort(n=400, decimals=9)
    found = xtile(score, y)
    tiles = xtile_map(found)
    best = tiles.loc[tiles["chi2"].idxmax()]
    assert tiles["lower"].nunique() <= 102
    assert (best["lower"], best["upper"]) == found.cuts
    assert best["chi2"] == found.statistic


def test_map_of_a_falling_score():
    """A score that runs the wrong way has no rising tile."""
    score, y = np.arange(12.0), np.array([1, 1, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0])
    assert not xtile_map(xtile(score, y, min_fraction=0.3))["rising"].any()


def test_map_needs_two_cut_offs():
    """One cut-off has no triangle."""
    score, y, _ = graded_cohort()
    with pytest.raises(DataError, match="n_cuts=2"):
        xtile_map(xtile(score, y, n_cuts=1))


def test_permutation_maxima_agree_with_xtile():
    """Each permutation's maximum is X-tile's own on outcomes dealt out in that order (same generator, by hand)."""
    score, y, _ = graded_cohort(seed=2, n=50, decimals=1)
    found = xtile_permutation(score, y, 0.15, permutations=70, seed=8)
    rng = np.random.default_rng(8)
    orders = [rng.permuted(np.tile(np.arange(50), (size, 1)), axis=1) for size in (64, 6)]
    expected = []
    for order in np.concatenate(orders):
        # The patient order[k] gets the k-th outcome.
        moved = np.empty(50, dtype=int)
        moved[order] = y
        expected.append(xtile(score, moved, min_fraction=0.15).statistic)
    np.testing.assert_allclose(found.maxima, expected, rtol=1e-9)
    assert found.statistic == xtile(score, y, min_fraction=0.15).statistic
    assert found.p == (1 + (np.array(expected) >= found.statistic * (1 - 1e-9)).sum()) / 71


def test_permutation_p_of_noise_is_uniform():
    """Outcomes that do not follow the score: of 200 p-values a tenth lies below 0.1, within chance."""
    rng = np.random.default_rng(4)
    found = []
    for seed in range(200):
        y = rng.permutation(np.repeat([1, 0], [12, 28]))
        found.append(xtile_permutation(rng.random(40), y, permutations=99, seed=seed).p)
    assert np.mean(np.array(found) <= 0.1) == pytest.approx(0.1, abs=3 * np.sqrt(0.09 / 200))
    assert np.mean(found) == pytest.approx(0.5, abs=0.08)


def test_permutation_p_of_a_signal_is_the_least():
    """A score that follows the outcome is beyond all permutations."""
    score, y, _ = graded_cohort(n=200)
    assert xtile_permutation(score, y, permutations=99).p == 0.01


def test_permutations_are_seeded():
    """The same seed gives the same maxima; none are refused."""
    score, y, _ = graded_cohort()
    one, other = (xtile_permutation(score, y, permutations=9, seed=1) for _ in range(2))
    assert one.maxima.tolist() == other.maxima.tolist()
    with pytest.raises(DataError, match="permutations"):
        xtile_permutation(score, y, permutations=0)


def test_lead_times_of_the_paper():
    """ALARM: 28, 27 and 29 of 84 warned are the printed 33.3, 32.1 and 34.5 %."""
    months = np.r_[np.full(28, 4.5), np.full(27, 6.0), np.full(29, 9.0), np.full(5, 8.0), np.full(10, 7.0)]
    hcc = np.r_[np.ones(89), np.zeros(10)].astype(int)
    score = np.r_[np.full(84, 0.21), np.full(5, 0.2), np.full(10, 0.9)]
    found = lead_times(months, hcc, score, 0.21)
    assert found["n"].tolist() == [84, 28, 27, 29]
    assert (100 * found["share"]).round(1).tolist() == [100.0, 33.3, 32.1, 34.5]
    assert found["lead_time"].tolist()[1:] == ["below 6 months", "6 to below 9 months", "9 months or more"]
    assert found["mean_months"].iloc[0] == pytest.approx((28 * 4.5 + 27 * 6 + 29 * 9) / 84)


def test_lead_times_of_nobody():
    """Nobody warned: shares are undefined, and the notes say so."""
    found = lead_times([5, 7], [1, 0], [0.1, 0.1], 0.5)
    assert found["share"].isna().all()
    assert set(found["note"]) == {"nobody"}


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
