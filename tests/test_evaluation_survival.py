"""Incidence over time and in groups."""

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_lung, load_rossi
from scipy.stats import binomtest, norm
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from hccbook.errors import DataError
from hccbook.evaluation import (
    cumulative_incidence,
    group_incidence,
    incidence_at,
    logrank_table,
    numbers_at_risk,
)
from hccbook.evaluation.survival import logrank

# Six patients: HCC at 6, 6, 15; censored at 6, 12, 20.
MONTHS, HCC = [6, 6, 6, 12, 15, 20], [1, 1, 0, 0, 1, 0]


@pytest.fixture(scope="module")
def lung():
    """Survival of lung cancer, days, death and sex (1 men, 2 women)."""
    return load_lung()


def test_incidence_by_hand():
    """1 - 4/6 at 6, then 1 - 4/6 x 1/2 at 15; last follow-up 20."""
    found = cumulative_incidence(MONTHS, HCC, cohort="training")
    assert found.columns.tolist() == ["cohort", "group", "months", "incidence", "lower", "upper", "at_risk"]
    assert found["months"].tolist() == [0, 6, 15, 20]
    assert found["incidence"].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3])
    assert set(found["group"]) == {"all"}


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_incidence_agrees_with_statsmodels(lung, level):
    """Curve at every event time is that of statsmodels; the log-log limits follow from its standard error."""
    curve = SurvfuncRight(lung["time"], lung["status"])
    found = cumulative_incidence(lung["time"], lung["status"], level=level)
    found = found[found["months"].isin(curve.surv_times)]
    np.testing.assert_array_equal(found["at_risk"], curve.n_risk)
    np.testing.assert_array_equal(found["months"], curve.surv_times)
    np.testing.assert_allclose(found["incidence"], 1 - curve.surv_prob, atol=1e-12)
    half = norm.isf((1 - level) / 2) * curve.surv_prob_se / curve.surv_prob / np.abs(np.log(curve.surv_prob))
    for limit, sign in (("lower", -1), ("upper", 1)):
        np.testing.assert_allclose(found[limit], 1 - curve.surv_prob ** np.exp(sign * half), atol=1e-10)


def test_curve_has_a_row_at_the_last_month_with_ten_at_risk():
    """Twelve followed to months 1 to 12, the second with HCC: ten are left at month 3, nine at month 4."""
    found = cumulative_incidence(range(1, 13), [0, 1] + [0] * 10)
    assert found["months"].tolist() == [0, 2, 3, 12]
    assert found["at_risk"].tolist() == [12, 11, 10, 1]


def test_median_of_lung(lung):
    """Half of the men have died by day 270, half of the women by day 426 (R's survival package)."""
    found = cumulative_incidence(lung["time"], lung["status"], lung["sex"])
    first = found[found["incidence"] >= 0.5].groupby("group")["months"].first()
    assert first.to_dict() == {"1": 270, "2": 426}


def test_curves_never_fall(lung):
    """Incidence and its limits rise with time and are in order."""
    for _, curve in cumulative_incidence(lung["time"], lung["status"], lung["sex"]).groupby("group"):
        assert curve["incidence"].is_monotonic_increasing
        assert ((curve["lower"] <= curve["incidence"]) & (curve["incidence"] <= curve["upper"])).all()


def test_no_events():
    """A group without events stays at 0 until its last follow-up, with the interval 0 to 0."""
    found = cumulative_incidence([5, 9], [0, 0])
    assert found[["months", "incidence", "lower", "upper"]].to_numpy().tolist() == [[0, 0, 0, 0], [9, 0, 0, 0]]


def test_last_patient_has_the_event():
    """Incidence reaches 1; the upper limit is 1, the lower one that of the step before."""
    found = cumulative_incidence([3, 7], [1, 1])
    assert found["incidence"].tolist() == [0, 0.5, 1]
    assert found["upper"].iloc[-1] == 1
    assert found["lower"].iloc[-1] == found["lower"].iloc[-2] > 0
    alone = cumulative_incidence([3], [1]).iloc[-1]
    assert (alone["incidence"], alone["lower"], alone["upper"]) == (1, 0, 1)


def test_groups_come_in_rising_order():
    """low, medium, high, whatever the order of patients; a group without patients has no curve."""
    found = cumulative_incidence([1, 2, 3], [1, 0, 1], ["high", "low", "medium"])
    assert found["group"].drop_duplicates().tolist() == ["low", "medium", "high"]
    empty = pd.Categorical(["low", "low"], ["low", "high"])
    assert "high" not in set(cumulative_incidence([1, 2], [1, 0], empty)["group"])


def test_incidence_at_a_horizon():
    """At 12 months 1/3 with three followed so long; at 36 the last value, with nobody at risk."""
    found = incidence_at(MONTHS, HCC, [12, 36])
    assert found["incidence"].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert found["at_risk"].tolist() == [3, 0]
    assert found["events"].tolist() == [2, 3]
    curve = cumulative_incidence(MONTHS, HCC)
    assert found["lower"].tolist() == curve["lower"].iloc[[1, 2]].tolist()


def test_incidence_at_before_any_event_and_of_nobody():
    """Before the first event 0; a group without patients has no value and the interval 0 to 1."""
    found = incidence_at([6.0, 8.0], [1, 0], 3, pd.Categorical(["low", "low"], ["low", "high"]))
    assert found["incidence"].iloc[0] == 0
    assert np.isnan(found["incidence"].iloc[1])
    assert found[["lower", "upper", "at_risk", "events"]].iloc[1].tolist() == [0, 1, 0, 0]


def test_numbers_at_risk_by_hand():
    """Six at 0, six at 6 (followed for 6 or longer), three at 12, one at 20, none at 24."""
    found = numbers_at_risk(MONTHS, HCC, [0, 6, 12, 20, 24])
    assert found.columns.tolist() == ["cohort", "group", "months", "at_risk", "events"]
    assert found["at_risk"].tolist() == [6, 6, 3, 1, 0]
    assert found["events"].tolist() == [0, 2, 2, 3, 3]


def test_logrank_of_lung(lung):
    """By sex: chi2 10.3267, p 0.001311 (R's survival package)."""
    found = logrank(lung["time"], lung["status"], lung["sex"])
    assert found.chi2 == pytest.approx(10.3267, abs=5e-5)
    assert found.p == pytest.approx(0.001311, abs=5e-7)


def test_logrank_of_many_groups_agrees_with_statsmodels():
    """Rearrest by number of prior arrests in four groups, with many ties."""
    rossi = load_rossi()
    group = np.digitize(rossi["prio"], [1, 3, 6])
    expected = survdiff(rossi["week"], rossi["arrest"], group)
    assert logrank(rossi["week"], rossi["arrest"], group) == pytest.approx(expected, rel=1e-8)


def test_logrank_with_nothing_to_compare():
    """No event, one group, or nobody who outlives the first event: chi2 0, p 1, as documented."""
    assert logrank([1, 2, 3], [0, 0, 0], ["low", "high", "high"]) == (0, 1)
    assert logrank([1, 2, 3], [1, 0, 1], ["low", "low", "low"]) == (0, 1)
    assert logrank([1, 2, 2], [0, 1, 1], ["low", "low", "high"]) == (0, 1)


def test_logrank_ignores_a_group_never_at_risk():
    """A group that left before the first event carries no information and no degree of freedom."""
    months, event = [1, 1, 5, 6, 7, 8], [0, 0, 1, 1, 0, 1]
    three = logrank(months, event, ["a", "a", "b", "c", "b", "c"])
    two = logrank(months[2:], event[2:], ["b", "c", "b", "c"])
    assert three == pytest.approx(two)


def test_tables_by_cohort(lung):
    """Each cohort is analysed apart."""
    cohort = np.where(lung["age"] > 63, "older", "younger")
    table = logrank_table(lung["time"], lung["status"], lung["sex"], cohort)
    assert table.columns.tolist() == ["cohort", "chi2", "p"]
    older = cohort == "older"
    expected = logrank(lung["time"][older], lung["status"][older], lung["sex"][older])
    assert table.set_index("cohort").loc["older", "chi2"] == pytest.approx(expected.chi2)
    curves = cumulative_incidence(lung["time"], lung["status"], lung["sex"], cohort)
    alone = cumulative_incidence(lung["time"][older], lung["status"][older], lung["sex"][older], "older")
    both = curves[curves["cohort"] == "older"].sort_values(["group", "months"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(both, alone.sort_values(["group", "months"]).reset_index(drop=True))


def test_group_incidence_of_the_paper():
    """ALARM, Fig. 5: low 5 of 1,204, medium 28 of 433, high 56 of 221; the groups sum to 1,858 and 89."""
    group = np.repeat(["high", "low", "medium"], [221, 1204, 433])
    y = np.r_[np.repeat([1, 0], [56, 165]), np.repeat([1, 0], [5, 1199]), np.repeat([1, 0], [28, 405])]
    found = group_incidence(group, y)
    assert found.columns.tolist() == ["group", "n", "events", "incidence", "lower", "upper"]
    assert found["group"].tolist() == ["low", "medium", "high"]
    assert (found["n"].sum(), found["events"].sum()) == (1858, 89)
    assert found["incidence"].iloc[0] == pytest.approx(0.0042, abs=5e-5)
    expected = binomtest(28, 433).proportion_ci(method="wilson")
    assert found[["lower", "upper"]].iloc[1].tolist() == pytest.approx([expected.low, expected.high])


def test_group_incidence_of_an_empty_group():
    """Nobody in the group: no incidence, the interval 0 to 1."""
    found = group_incidence(["low", "low"], [0, 1], order=["low", "medium", "high"])
    assert found["n"].tolist() == [2, 0, 0]
    assert np.isnan(found["incidence"].iloc[1])
    assert found[["lower", "upper"]].iloc[1].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("months", "event", "group", "word"),
    [
        ([1, -2], [1, 0], None, "months"),
        ([1, np.nan], [1, 0], None, "months"),
        ([1, 2], [1, 3], None, "0 or 1"),
        ([1, 2, 3], [1, 0], None, "months"),
        ([1, 2], [1, 0], ["low"], "group"),
        ([1, 2], [1, 0], ["low", None], "group.*missing"),
    ],
)
def test_refusals(months, event, group, word):
    """Negative or missing follow-up, other events, and patients without a group are refused."""
    with pytest.raises(DataError, match=word):
        cumulative_incidence(months, event, group)


def test_unknown_group_is_named():
    """A label that the wanted order leaves out is named."""
    with pytest.raises(DataError, match="'high' left out"):
        group_incidence(["low", "high"], [0, 1], order=["low", "medium"])
