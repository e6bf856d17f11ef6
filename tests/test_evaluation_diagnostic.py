"""Performance of a cut-off."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from hccbook.errors import DataError
from hccbook.evaluation import diagnostic_performance, predictive_values
from hccbook.evaluation.diagnostic import wilson_interval


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_wilson_of_newcombe(count, total, expected):
    """Newcombe 1998, Table I, method 3."""
    assert tuple(float(limit) for limit in wilson_interval(count, total)) == pytest.approx(expected, abs=5e-5)


def test_wilson_agrees_with_scipy():
    """Any count of any total has scipy's limits, vectorised."""
    count, total = np.array([0, 1, 5, 12, 12]), np.array([3, 7, 11, 13, 12])
    lower, upper = wilson_interval(count, total, level=0.9)
    for position, (one, n) in enumerate(zip(count, total, strict=True)):
        expected = binomtest(int(one), int(n)).proportion_ci(0.9, method="wilson")
        assert (lower[position], upper[position]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nobody():
    """No patients, no knowledge: 0 to 1."""
    assert wilson_interval(0, 0) == (0, 1)


@pytest.fixture
def table():
    """TP 19, FN 5, FP 166, TN 619: aMAP-CT, Table 2, training cohort, recovered from its percentages."""
    y = np.repeat([1, 1, 0, 0], [19, 5, 166, 619])
    score = np.repeat([0.37, 0.2, 0.5, 0.36], [19, 5, 166, 619])
    return diagnostic_performance(y, score, 0.37).set_index("measure")


def test_two_by_two_of_the_paper(table):
    """The printed values: 0.792, 0.789, 0.103, 0.992, 0.789, 0.182."""
    assert table.index.tolist() == ["sensitivity", "specificity", "ppv", "npv", "accuracy", "f1"]
    assert table["value"].tolist() == pytest.approx([0.792, 0.789, 0.103, 0.992, 0.789, 0.182], abs=5.5e-4)
    assert table["numerator"].tolist() == [19, 619, 19, 619, 638, 38]
    assert table["denominator"].tolist() == [24, 785, 185, 624, 809, 209]
    assert set(table["n"]) == {809}
    assert set(table["events"]) == {24}
    assert set(table["cutoff"]) == {0.37}


def test_proportions_have_wilson_limits(table):
    """19 of 24 by scipy's Wilson interval."""
    expected = binomtest(19, 24).proportion_ci(method="wilson")
    assert table.loc["sensitivity", ["lower", "upper"]].tolist() == pytest.approx([expected.low, expected.high])


def test_f1_limits_are_of_the_transformed_proportion(table):
    """F1 = 2 q / (1 + q) with q = TP / (TP + FP + FN) = 19/190."""
    expected = binomtest(19, 190).proportion_ci(method="wilson")
    limits = [2 * q / (1 + q) for q in (expected.low, expected.high)]
    assert table.loc["f1", ["lower", "upper"]].tolist() == pytest.approx(limits)
    y = np.repeat([1, 1, 0, 0], [19, 5, 166, 619])
    assert table.loc["f1", "value"] == pytest.approx(f1_score(y, np.repeat([1, 0, 1, 0], [19, 5, 166, 619])))


def test_columns_are_the_tidy_ones():
    """The columns that tables take, in order."""
    found = diagnostic_performance([1, 0], [0.9, 0.1], 0.5)
    assert found.columns.tolist() == [
        "cutoff", "n", "events", "measure", "value", "lower", "upper", "numerator", "denominator",
    ]  # fmt: skip


def test_each_cutoff_has_its_measures():
    """Two cut-offs have the rows of each alone."""
    both = diagnostic_performance([1, 0, 0], [0.9, 0.6, 0.1], [0.5, 0.7])
    assert both["cutoff"].tolist() == [0.5] * 6 + [0.7] * 6
    alone = diagnostic_performance([1, 0, 0], [0.9, 0.6, 0.1], 0.7)
    pd.testing.assert_frame_equal(both.iloc[6:].reset_index(drop=True), alone)


def test_a_score_at_the_cutoff_is_positive():
    """0.65 at cut-off 0.65 counts as positive."""
    found = diagnostic_performance([1, 0], [0.65, 0.64], 0.65).set_index("measure")
    assert found.loc["sensitivity", "value"] == found.loc["specificity", "value"] == 1.0


def test_nobody_positive():
    """With no positive result PPV has no value, the interval 0 to 1, and the denominator 0 that says why."""
    found = diagnostic_performance([1, 0, 0], [0.1, 0.2, 0.3], 0.9).set_index("measure")
    assert np.isnan(found.loc["ppv", "value"])
    assert found.loc["ppv", ["lower", "upper", "denominator"]].tolist() == [0, 1, 0]
    assert found.loc["f1", "value"] == 0


def test_cohort_without_hcc():
    """Without HCC sensitivity has no value, specificity has."""
    found = diagnostic_performance([0, 0, 0], [0.1, 0.2, 0.9], 0.5).set_index("measure")
    assert np.isnan(found.loc["sensitivity", "value"])
    assert found.loc["specificity", "numerator"] == 2


def test_predictive_values_by_hand():
    """Sensitivity .9, specificity .8, prevalence .1: 9 of 27 positives and 72 of 73 negatives are right."""
    ppv, npv = predictive_values(0.9, 0.8, 0.1)
    assert (float(ppv), float(npv)) == pytest.approx((9 / 27, 72 / 73))


def test_predictive_values_at_the_cohorts_prevalence(table):
    """Bayes' rule at the cohort's own prevalence gives the cohort's own predictive values."""
    ppv, npv = predictive_values(19 / 24, 619 / 785, 24 / 809)
    assert (float(ppv), float(npv)) == pytest.approx((table.loc["ppv", "value"], table.loc["npv", "value"]))


def test_predictive_value_of_a_result_that_nobody_has():
    """Sensitivity 0 and specificity 1: nobody is positive, PPV is NaN."""
    ppv, npv = predictive_values([0.0, 0.5], [1.0, 1.0], 0.2)
    assert np.isnan(ppv[0])
    assert (ppv[1], npv[0]) == (1.0, 0.8)


def test_predictive_values_where_a_class_is_empty():
    """A cohort without HCC has no sensitivity: its predictive values are NaN, those of the next cohort are not."""
    ppv, npv = predictive_values([np.nan, 0.9], [0.8, 0.8], 0.1)
    assert np.isnan([ppv[0], npv[0]]).all()
    assert (ppv[1], npv[1]) == pytest.approx((9 / 27, 72 / 73))


def test_refusals():
    """Per cent for a share, and a count above its total."""
    with pytest.raises(DataError, match="prevalence"):
        predictive_values(0.9, 0.8, 5)
    with pytest.raises(DataError, match="count"):
        wilson_interval(5, 4)
