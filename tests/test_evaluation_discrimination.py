"""ROC curve and AUC."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from hccbook.errors import DataError
from hccbook.evaluation import auc_bootstrap, auc_delong, auc_table, by_cohort, delong_test, roc_points


def ranked_cohort(seed=0, n=80, decimals=1):
    """Outcome and two scores with ties."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([1, 0], [n // 4, n - n // 4]))
    return y, np.round(rng.normal(size=n) + y, decimals), np.round(rng.normal(size=n) + 0.5 * y, decimals)


def pairwise_delong(y, *scores):
    """AUCs and their covariance from all pairs, as DeLong's paper writes it."""
    psi = []
    for score in scores:
        events, others = score[y == 1][:, None], score[y == 0][None, :]
        psi.append((events > others) + 0.5 * (events == others))
    psi = np.array(psi)
    v10, v01 = psi.mean(axis=2), psi.mean(axis=1)
    return psi.mean(axis=(1, 2)), np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_delong_agrees_with_all_pairs(seed):
    """The O(n log n) form gives the AUC and variance of the O(mn) one, ties included."""
    y, a, _ = ranked_cohort(seed)
    auc, variance = pairwise_delong(y, a)
    found = auc_delong(y, a)
    assert found.auc == pytest.approx(auc[0], abs=1e-12)
    assert found.auc == pytest.approx(roc_auc_score(y, a), abs=1e-12)
    assert found.variance == pytest.approx(float(variance), rel=1e-10)
    half = 1.959964 * np.sqrt(float(variance))
    assert (found.lower, found.upper) == pytest.approx((auc[0] - half, auc[0] + half), abs=1e-6)


def test_delong_by_hand():
    """Events 3, 1 against 2, 0: AUC 3/4; V10 = (1, 1/2), V01 = (1/2, 1): variance 1/16 + 1/16."""
    found = auc_delong([1, 1, 0, 0], [3, 1, 2, 0])
    assert found.auc == 0.75
    assert found.variance == pytest.approx(0.125, abs=1e-12)
    assert (found.lower, found.upper) == (pytest.approx(0.75 - 1.959964 * 0.125**0.5, abs=1e-6), 1.0)


def test_delong_variance_is_near_the_jackknife():
    """Leaving out one patient at a time gives nearly the same variance."""
    y, a, _ = ranked_cohort(5, n=200, decimals=8)
    left_out = np.array([roc_auc_score(np.delete(y, i), np.delete(a, i)) for i in range(200)])
    parts = [left_out[y == group] for group in (0, 1)]
    jackknife = sum((len(part) - 1) / len(part) * ((part - part.mean()) ** 2).sum() for part in parts)
    assert auc_delong(y, a).variance == pytest.approx(jackknife, rel=0.05)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_paired_test_agrees_with_all_pairs(seed):
    """z and p are those of the difference with the covariance from all pairs."""
    y, a, b = ranked_cohort(seed)
    auc, covariance = pairwise_delong(y, a, b)
    se = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    found = delong_test(y, a, b)
    assert found.difference == pytest.approx(auc[0] - auc[1], abs=1e-12)
    assert found.z == pytest.approx((auc[0] - auc[1]) / se, rel=1e-9)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(auc[0] - auc[1]) / se), rel=1e-9)
    assert found.lower == pytest.approx(auc[0] - auc[1] - 1.959964 * se, abs=1e-6)


def test_paired_test_is_antisymmetric():
    """Swapping the scores turns the sign of the difference and leaves p."""
    y, a, b = ranked_cohort()
    one, other = delong_test(y, a, b), delong_test(y, b, a)
    assert (one.difference, one.z, one.p) == pytest.approx((-other.difference, -other.z, other.p))


def test_paired_test_of_the_same_ranks():
    """A score against a rising function of itself: no difference, p 1."""
    y, a, _ = ranked_cohort()
    found = delong_test(y, a, np.exp(a))
    assert (found.difference, found.z, found.p) == (0.0, 0.0, 1.0)


def test_paired_test_without_variance_is_undefined():
    """Complete separation against a constant: the difference is 1/2, z and p are NaN, as documented."""
    found = delong_test([1, 1, 0, 0, 0], [5, 4, 3, 2, 1], [0, 0, 0, 0, 0])
    assert found.difference == 0.5
    assert np.isnan([found.z, found.p]).all()


@pytest.mark.parametrize("estimate", [auc_delong, auc_bootstrap])
def test_reversed_score_has_the_complement(estimate):
    """AUC of the reversed score is one minus the AUC."""
    y, a, _ = ranked_cohort()
    assert estimate(y, -a).auc == pytest.approx(1 - estimate(y, a).auc, abs=1e-12)


@pytest.mark.parametrize("estimate", [auc_delong, auc_bootstrap])
@pytest.mark.parametrize(("score", "auc"), [([4, 3, 2, 1], 1.0), ([1, 2, 3, 4], 0.0), ([7, 7, 7, 7], 0.5)])
def test_degenerate_interval_is_a_point(estimate, score, auc):
    """Complete separation and a constant score have variance 0 and an interval of one point, as documented."""
    assert estimate([1, 1, 0, 0], score) == (auc, auc, auc, 0.0)


def test_bootstrap_agrees_with_plain_resampling():
    """Limits are near those of drawing patients one by one within each class."""
    y, a, _ = ranked_cohort(3, n=120)
    rng = np.random.default_rng(11)
    drawn = []
    for _ in range(2000):
        events, others = (rng.choice(a[y == group], (y == group).sum()) for group in (1, 0))
        drawn.append(stats.mannwhitneyu(events, others, method="asymptotic").statistic / events.size / others.size)
    found = auc_bootstrap(y, a, replicates=4000, seed=1)
    assert found.auc == pytest.approx(roc_auc_score(y, a), abs=1e-12)
    np.testing.assert_allclose([found.lower, found.upper], np.quantile(drawn, [0.025, 0.975]), atol=0.012)
    assert found.variance == pytest.approx(np.var(drawn), rel=0.15)


def test_bootstrap_is_seeded():
    """The same seed gives the same interval, another seed another one."""
    y, a, _ = ranked_cohort()
    assert auc_bootstrap(y, a, 300, seed=1) == auc_bootstrap(y, a, 300, seed=1)
    assert auc_bootstrap(y, a, 300, seed=1).lower != auc_bootstrap(y, a, 300, seed=2).lower


def test_roc_points_by_hand():
    """Events 4, 2, 2 and others 3, 2: one row a distinct score, no point dropped, the first cut-off infinite."""
    points = roc_points([1, 0, 1, 1, 0], [4, 3, 2, 2, 2])
    assert points["fpr"].tolist() == [0, 0, 0.5, 1]
    assert points["tpr"].tolist() == [0, 1 / 3, 1 / 3, 1]
    assert points["cutoff"].tolist() == [np.inf, 4, 3, 2]


def test_area_under_the_roc_points_is_the_auc():
    """By the trapezium rule."""
    y, a, _ = ranked_cohort()
    points = roc_points(y, a)
    area = np.trapezoid(points["tpr"], points["fpr"])
    assert area == pytest.approx(auc_delong(y, a).auc, abs=1e-12)


def test_tables_by_cohort():
    """Each cohort and model has its own curve and AUC, cohorts in order of appearance."""
    y, a, b = ranked_cohort(n=120)
    cohort = np.repeat(["training", "test"], 60)
    scores = pd.DataFrame({"aMAP-CT": a, "aMAP": b})
    table = auc_table(y, scores, cohort)
    assert table.columns.tolist() == ["cohort", "model", "n", "events", "auc", "lower", "upper"]
    assert table[["cohort", "model"]].to_numpy().tolist() == [
        ["training", "aMAP-CT"], ["training", "aMAP"], ["test", "aMAP-CT"], ["test", "aMAP"],
    ]  # fmt: skip
    assert table["auc"].iloc[2] == pytest.approx(roc_auc_score(y[60:], a[60:]))
    assert table[["n", "events"]].iloc[0].tolist() == [60, y[:60].sum()]
    curves = by_cohort(roc_points, y, scores, cohort)
    assert curves.columns.tolist() == ["cohort", "model", "fpr", "tpr", "cutoff"]
    part = curves[(curves["cohort"] == "test") & (curves["model"] == "aMAP")]
    assert part[["fpr", "tpr"]].to_numpy().tolist() == roc_points(y[60:], b[60:])[["fpr", "tpr"]].to_numpy().tolist()
    boot = auc_table(y, scores, cohort, replicates=200, seed=3)
    assert boot["lower"].iloc[0] == auc_bootstrap(y[:60], a[:60], 200, 3).lower


def test_cohort_without_hcc_is_named():
    """A cohort in which nobody has HCC is refused by its name."""
    scores = pd.DataFrame({"aMAP": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]})
    with pytest.raises(DataError, match=r"validation cohort.*with and without HCC"):
        auc_table([0, 0, 1, 1, 0, 0], scores, ["training"] * 4 + ["validation"] * 2)


@pytest.mark.parametrize(
    ("y", "score", "word"),
    [
        ([1, 1, 1], [1, 2, 3], "with and without HCC"),
        ([1, 0, 2], [1, 2, 3], "0 or 1"),
        ([1, 0, np.nan], [1, 2, 3], "0 or 1"),
        ([1, 0, 0], [1, 2, np.nan], "finite"),
        ([1, 0, 0], [1, 2], "one a patient"),
        ([1, 0, 0], [1, 2, 3], "2 patients or more"),
        ([], [], "one value a patient"),
    ],
)
def test_refusals(y, score, word):
    """What an AUC cannot be computed from is refused with the rule."""
    with pytest.raises(DataError, match=word):
        auc_delong(np.array(y), score)


def test_other_patients_are_refused():
    """Series of different index are not matched by position."""
    y = pd.Series([1, 1, 0, 0], ["P0001", "P0002", "P0003", "P0004"])
    with pytest.raises(DataError, match="another index"):
        auc_delong(y, pd.Series([1.0, 2, 3, 4], y.index[::-1]))
