"""Invariances of the statistics, on data that hypothesis chooses."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from hccbook.errors import DataError
from hccbook.evaluation import (
    auc_bootstrap,
    auc_delong,
    delong_test,
    diagnostic_performance,
    integrated_discrimination,
    net_benefit,
    net_reclassification,
    roc_points,
    spearman_correlations,
    univariable_odds_ratios,
)
from hccbook.features.selection import mann_whitney_p
from hccbook.stratification import risk_groups, xtile

# R's dcurves on its example data df_binary, age as the model (n 750, 105 with cancer): at thresholds .1, .25 and .5
# the true positives are 84, 43 and 14, the false ones 289, 74 and 7, the net benefits those below.
DCURVES = {0.1: 0.0691851851851852, 0.25: 0.024444444444444456, 0.5: 0.009333333333333336}


@st.composite
def cohorts(draw, scores=1, least=2, most=25, grid=None):
    """Outcome with `least` patients or more of each class, and so many scores with ties."""
    events, others = draw(st.integers(least, most)), draw(st.integers(least, most))
    y = np.repeat([1, 0], [events, others])
    values = st.integers(0, 12) if grid is None else st.integers(0, grid)
    columns = [np.array(draw(st.lists(values, min_size=y.size, max_size=y.size)), dtype=float) for _ in range(scores)]
    return (y, *columns)


@given(cohorts())
def test_auc_is_the_share_of_pairs_in_order(cohort):
    """Counted pair by pair, ties half; scikit-learn agrees."""
    y, score = cohort
    pairs = score[y == 1][:, None] - score[y == 0][None, :]
    expected = (pairs > 0).mean() + 0.5 * (pairs == 0).mean()
    assert auc_delong(y, score).auc == pytest.approx(expected, abs=1e-12)
    assert roc_auc_score(y, score) == pytest.approx(expected, abs=1e-12)


@given(cohorts(), st.sampled_from([np.exp, np.cbrt, np.arctan, lambda x: 3 * x - 7, lambda x: x**3]))
def test_rising_maps_leave_the_auc(cohort, rising):
    """AUC, its interval, and the ROC curve are those of the ranks."""
    y, score = cohort
    assert auc_delong(y, rising(score)) == pytest.approx(auc_delong(y, score), abs=1e-12)
    np.testing.assert_array_equal(roc_points(y, rising(score))[["fpr", "tpr"]], roc_points(y, score)[["fpr", "tpr"]])
    assert auc_bootstrap(y, rising(score), 20) == auc_bootstrap(y, score, 20)


@given(cohorts())
def test_reversed_score_has_the_complement(cohort):
    """AUC of the reversed score is one minus the AUC, with the same variance."""
    y, score = cohort
    one, other = auc_delong(y, score), auc_delong(y, -score)
    assert other.auc == pytest.approx(1 - one.auc, abs=1e-12)
    assert other.variance == pytest.approx(one.variance, abs=1e-12)


@given(cohorts(scores=2), st.randoms(use_true_random=False))
def test_order_of_patients_does_not_matter(cohort, random):
    """AUC, DeLong's test, NRI and IDI are the same however patients are ordered."""
    y, a, b = cohort
    order = list(range(y.size))
    random.shuffle(order)
    p, q = a / 12, b / 12
    assert delong_test(y[order], a[order], b[order]) == pytest.approx(delong_test(y, a, b), abs=1e-9, nan_ok=True)
    nri, moved = (
        net_reclassification(y, p, q, (0.3, 0.6)),
        net_reclassification(y[order], p[order], q[order], (0.3, 0.6)),
    )
    assert moved == nri
    one, other = integrated_discrimination(y, p, q), integrated_discrimination(y[order], p[order], q[order])
    assert other == pytest.approx(one, abs=1e-9, nan_ok=True)


@given(cohorts(least=4))
def test_delong_variance_is_the_jackknifes(cohort):
    """DeLong's variance is the jackknife's within each class, exactly, with a factor (m - 1) / m less."""
    y, score = cohort
    pseudo = {}
    for group in (1, 0):
        rows = np.flatnonzero(y == group)
        pseudo[group] = np.array([roc_auc_score(np.delete(y, row), np.delete(score, row)) for row in rows])
    # Leaving out an event moves the AUC by its deviation in V10 over m - 1.
    jackknife = sum((left.size - 1) ** 2 * left.var(ddof=1) / left.size for left in pseudo.values())
    assert auc_delong(y, score).variance == pytest.approx(jackknife, abs=1e-10)


@given(cohorts(scores=2))
def test_delong_of_two_scores_is_antisymmetric(cohort):
    """Swapping the scores turns the sign of difference and z, and leaves p."""
    y, a, b = cohort
    one, other = delong_test(y, a, b), delong_test(y, b, a)
    assert other.difference == pytest.approx(-one.difference, abs=1e-12)
    assert other.z == pytest.approx(-one.z, abs=1e-9, nan_ok=True)
    assert other.p == pytest.approx(one.p, abs=1e-9, nan_ok=True)


@given(cohorts(scores=2), st.one_of(st.none(), st.just((0.3, 0.6))))
def test_reclassification_is_antisymmetric(cohort, cutoffs):
    """NRI and IDI of the old model over the new one are the negatives, with mirrored limits."""
    y, a, b = cohort
    p, q = a / 12, b / 12
    one, other = net_reclassification(y, p, q, cutoffs), net_reclassification(y, q, p, cutoffs)
    assert (other.nri, other.z) == pytest.approx((-one.nri, -one.z), abs=1e-12)
    assert (other.lower, other.upper) == pytest.approx((-one.upper, -one.lower), abs=1e-12)
    idi, back = integrated_discrimination(y, p, q), integrated_discrimination(y, q, p)
    assert (back.idi, back.lower, back.upper) == pytest.approx((-idi.idi, -idi.upper, -idi.lower), abs=1e-12)


@given(cohorts(scores=2))
def test_continuous_nri_is_that_of_every_cut(cohort):
    """With a cut-off between any two probabilities the categorical NRI is the continuous one."""
    y, a, b = cohort
    cuts = np.arange(0.5, 12) / 12
    assert net_reclassification(y, a / 12, b / 12, cuts) == net_reclassification(y, a / 12, b / 12)


@given(cohorts(), st.floats(0.01, 0.95))
def test_net_benefit_at_the_ends(cohort, threshold):
    """At threshold 0 the prevalence; treating all has its formula, nobody 0, and no model beats perfect knowledge."""
    y, score = cohort
    p, share = score / 12, y.mean()
    assert net_benefit(y, p, [0.0])[0] == pytest.approx(share, abs=1e-12)
    odds = threshold / (1 - threshold)
    assert net_benefit(y, np.ones(y.size), [threshold])[0] == pytest.approx(share - (1 - share) * odds, abs=1e-9)
    assert net_benefit(y, np.zeros(y.size), [threshold])[0] == 0
    assert net_benefit(y, p, [threshold])[0] <= share + 1e-12
    assert net_benefit(y, y.astype(float), [threshold])[0] == pytest.approx(share, abs=1e-12)


def test_net_benefit_agrees_with_dcurves():
    """R's dcurves on its example data, by its counts at three thresholds."""
    cells = [(0.6, 14, 7), (0.3, 43 - 14, 74 - 7), (0.2, 84 - 43, 289 - 74), (0.05, 105 - 84, 645 - 289)]
    p = np.concatenate([np.full(events + others, level) for level, events, others in cells])
    y = np.concatenate([np.repeat([1, 0], [events, others]) for _, events, others in cells])
    assert (y.size, y.sum()) == (750, 105)
    np.testing.assert_allclose(net_benefit(y, p, list(DCURVES)), list(DCURVES.values()), rtol=1e-12)


@given(cohorts(), st.integers(0, 13))
def test_performance_is_a_point_of_the_curve(cohort, cutoff):
    """Sensitivity and one less the specificity at a cut-off lie on the ROC curve."""
    y, score = cohort
    found = diagnostic_performance(y, score, cutoff).set_index("measure")["value"]
    curve = roc_points(y, score)
    here = curve[curve["cutoff"] >= cutoff].iloc[-1]
    assert (found["sensitivity"], 1 - found["specificity"]) == pytest.approx((here["tpr"], here["fpr"]), abs=1e-12)


@given(cohorts(), st.sampled_from([np.exp, np.cbrt, lambda x: -x]))
def test_mann_whitney_depends_on_ranks_alone(cohort, monotone):
    """p is that of any monotone function of the feature, reversed ones too."""
    y, score = cohort
    both = mann_whitney_p(np.column_stack([score, monotone(score)]), y)
    assert both[1] == pytest.approx(both[0], rel=1e-9)


@given(cohorts(scores=3, least=3))
def test_spearman_is_symmetric_and_bounded(cohort):
    """Correlations lie within -1 and 1, are 1 with themselves, and the same both ways round."""
    _, *columns = cohort
    assume(all(np.ptp(column) > 0 for column in columns))
    table = pd.DataFrame(np.column_stack(columns), columns=list("abc"))
    square = spearman_correlations(table).pivot(index="feature", columns="other", values="rho").to_numpy()
    np.testing.assert_allclose(square, square.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(square), 1, atol=1e-12)
    assert (np.abs(square) <= 1).all()


@given(cohorts(least=5), st.sampled_from([np.exp, np.cbrt]))
def test_xtile_depends_on_ranks_alone(cohort, rising):
    """The groups, and the chi-square, of a rising function of the score are the same."""
    y, score = cohort
    assume(np.unique(score).size > 8)
    try:
        one = xtile(score, y)
    except DataError:
        assume(False)
    other = xtile(rising(score), y)
    assert other.statistic == pytest.approx(one.statistic, rel=1e-9)
    assert risk_groups(rising(score), other.cuts).tolist() == risk_groups(score, one.cuts).tolist()


@given(cohorts(least=5), st.floats(-5, 5), st.floats(0.1, 20))
def test_odds_ratio_per_sd_has_no_unit(cohort, shift, factor):
    """Odds ratio per SD, its limits and p are the same in another unit, penalised or not."""
    y, score = cohort
    assume(np.unique(score).size > 2)
    one = univariable_odds_ratios(y, pd.DataFrame({"x": score})).iloc[0]
    other = univariable_odds_ratios(y, pd.DataFrame({"x": shift + factor * score})).iloc[0]
    columns = ["odds_ratio", "lower", "upper", "p"]
    np.testing.assert_allclose(other[columns].to_numpy(float), one[columns].to_numpy(float), rtol=1e-5, atol=1e-12)
    assert other["method"] == one["method"]
    assert np.isfinite(one[columns].to_numpy(float)).all()


@given(cohorts(least=5))
def test_odds_ratio_of_the_reversed_variable_is_the_inverse(cohort):
    """Turning a variable round inverts its odds ratio and swaps the limits."""
    y, score = cohort
    assume(np.unique(score).size > 2)
    one = univariable_odds_ratios(y, pd.DataFrame({"x": score})).iloc[0]
    other = univariable_odds_ratios(y, pd.DataFrame({"x": -score})).iloc[0]
    found = np.log([other["odds_ratio"], other["upper"], other["lower"]])
    expected = -np.log([one["odds_ratio"], one["lower"], one["upper"]])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
