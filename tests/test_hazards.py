"""Hazard ratios, proportional hazards, and rates a person-year."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.datasets import load_lung, load_rossi
from lifelines.statistics import proportional_hazard_test
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import chi2, poisson

from hccbook.errors import DataError
from hccbook.evaluation import group_hazard_ratios, person_year_rates, rate_from_risk, score_hazard_ratios
from hccbook.evaluation.hazards import _firth_cox, cox_regression


def _one(table: pd.DataFrame) -> pd.Series:
    (row,) = (row for _, row in table.iterrows())
    return row


def _ratios(months, event, group, reference="low", cohort="", order=None) -> pd.DataFrame:
    """Hazard ratios of one model's groups."""
    return group_hazard_ratios(
        months,
        event,
        pd.DataFrame({"m": pd.Series(group, dtype=pd.CategoricalDtype(order) if order else None)}),
        reference,
        cohort,
    )


def _penalised(beta: float, x: np.ndarray, months: np.ndarray, event: np.ndarray) -> float:
    """Firth's penalised partial log-likelihood of one covariate without ties, term by term."""
    value, information = 0.0, 0.0
    for i in np.flatnonzero(event):
        at_risk = x[months >= months[i]]
        weight = np.exp(beta * at_risk)
        mean = (weight * at_risk).sum() / weight.sum()
        value += beta * x[i] - np.log(weight.sum())
        information += (weight * at_risk**2).sum() / weight.sum() - mean**2
    return value + 0.5 * np.log(information)


# --- Cox --------------------------------------------------------------------------------------------------------------


def test_hazard_ratio_by_hand():
    """HCC at 1 (high), 2 (low), censored 3 (high), 4 (low): L = r/(2r+2) x 1/(r+2), at its maximum r = root of 2."""
    found = _one(_ratios([1, 2, 3, 4], [1, 1, 0, 0], ["high", "low", "high", "low"]))
    assert found["hazard_ratio"] == pytest.approx(np.sqrt(2), rel=1e-5)
    assert (found["n"], found["events"], found["n_reference"], found["events_reference"]) == (2, 1, 2, 1)
    assert found["method"] == "partial likelihood"


def test_ties_by_hand():
    """Two tied HCC among three high and two low: Efron's denominators are 3r + 2 and 2r + 2, Breslow's both 3r + 2."""
    months, event = [1, 1, 2, 2, 3], [1, 1, 0, 1, 0]
    group = ["high", "high", "high", "low", "low"]
    # 2 - 3r/(3r+2) - r/(r+1) - r/(r+2) = 0 is where the slope of the log-likelihood is 0.
    expected = brentq(lambda r: 2 - 3 * r / (3 * r + 2) - r / (r + 1) - r / (r + 2), 0.1, 100)
    assert _one(_ratios(months, event, group))["hazard_ratio"] == pytest.approx(expected, rel=1e-4)


def test_rossi_as_printed():
    """432 prisoners: fin -0.38, prio 0.09 (lifelines' and R's documentation)."""
    table = load_rossi()
    names = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]
    found = cox_regression(table["week"], table["arrest"], table[names])
    assert round(found.weights[0], 2) == -0.38
    assert round(found.weights[-1], 2) == 0.09


def test_lung_by_sex_agrees_with_lifelines():
    """Hazard ratio, interval and p of women against men are those of lifelines fitted directly."""
    lung = load_lung().dropna(subset=["time", "status", "sex"])
    women = (lung["sex"] == 2).astype(float)
    direct = CoxPHFitter().fit(pd.DataFrame({"t": lung["time"], "e": lung["status"], "w": women}), "t", "e").summary
    group = np.where(women == 1, "women", "men")
    found = _one(_ratios(lung["time"], lung["status"], group, "men"))
    expected = direct.loc["w", ["exp(coef)", "exp(coef) lower 95%", "exp(coef) upper 95%", "p"]].to_numpy(float)
    np.testing.assert_allclose(found[["hazard_ratio", "lower", "upper", "p"]].to_numpy(float), expected, rtol=1e-4)


def test_proportional_hazards_by_schoenfeld_residuals():
    """p is that of the slope of the scaled Schoenfeld residuals on 1 - Kaplan-Meier, worked out term by term."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=80)
    months = rng.exponential(np.exp(-0.7 * x)) + 0.01
    event = (rng.random(80) < 0.7).astype(int)
    found = cox_regression(months, event, x[:, None])
    beta, times = found.weights[0], np.sort(months[event == 1])
    residuals, information = [], 0.0
    for at in times:
        at_risk = x[months >= at]
        weight = np.exp(beta * at_risk)
        mean = (weight * at_risk).sum() / weight.sum()
        residuals.append(float(x[(months == at) & (event == 1)][0]) - mean)
        information += (weight * at_risk**2).sum() / weight.sum() - mean**2
    survival = KaplanMeierFitter().fit(months, event).survival_function_at_times(times).to_numpy()
    centred = survival - survival.mean()
    statistic = (centred @ np.array(residuals)) ** 2 * times.size / information / (centred @ centred)
    assert found.p_proportional[0] == pytest.approx(chi2.sf(statistic, 1), rel=1e-4)


def test_rossi_agrees_with_lifelines():
    """Seven covariates, many ties: weights, limits, p and p of proportional hazards are those of lifelines."""
    table = load_rossi()
    names = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]
    fitted = CoxPHFitter().fit(table, "week", "arrest")
    proportional = proportional_hazard_test(fitted, table, time_transform="km").summary.loc[names, "p"]
    found = cox_regression(table["week"], table["arrest"], table[names])
    summary = fitted.summary.loc[names]
    np.testing.assert_allclose(found.weights, summary["coef"], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.upper, summary["coef upper 95%"], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.p, summary["p"], rtol=1e-3)
    np.testing.assert_allclose(found.p_proportional, proportional, rtol=0.02)


def test_strong_effects_in_large_cohorts_converge():
    """2,400 patients of whom a small group has most of the HCC: full Newton steps overshoot there."""
    rng = np.random.default_rng(0)
    high = (rng.random(2400) < 0.05).astype(int)
    hcc_at, ends = rng.exponential(np.where(high, 20, 3000)), rng.uniform(30, 60, 2400)
    months, event = np.minimum(hcc_at, ends), (hcc_at <= ends).astype(int)
    found = cox_regression(months, event, high[:, None])
    assert found.lower[0] < np.log(150) < found.upper[0]


def test_proportional_hazards_are_refused_where_curves_cross():
    """A group whose hazard turns from a fifth of the other's to five times it is told from proportional ones."""
    rng = np.random.default_rng(1)
    high = np.repeat([0, 1], 300)
    early, late = rng.exponential(50, 600) / np.where(high, 0.2, 1), rng.exponential(50, 600) / np.where(high, 5.0, 1)
    months = np.where(early < 12, early, 12 + late)
    crossing = cox_regression(months, np.ones(600), high[:, None])
    proportional = cox_regression(rng.exponential(50, 600) / np.where(high, 3, 1), np.ones(600), high[:, None])
    assert crossing.p_proportional[0] < 1e-6
    assert proportional.p_proportional[0] > 0.01


# --- groups without events --------------------------------------------------------------------------------------------

MONTHS = np.array([3.0, 5, 8, 13, 21, 34, 4, 9, 17, 30])
EVENT = np.array([1, 1, 0, 1, 0, 0, 0, 0, 0, 0])
HIGH = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 0])


def test_firth_is_the_penalised_maximum():
    """Estimate and limits are those of the penalised likelihood written out by its terms."""
    found = _firth_cox(MONTHS, EVENT, HIGH[:, None])
    best = minimize_scalar(lambda beta: -_penalised(beta, HIGH, MONTHS, EVENT), bounds=(-5, 10), method="bounded")
    assert found.weights[0] == pytest.approx(best.x, abs=1e-4)
    drop = chi2.isf(0.05, 1) / 2
    for limit in (found.lower[0], found.upper[0]):
        assert -best.fun - _penalised(limit, HIGH, MONTHS, EVENT) == pytest.approx(drop, abs=1e-4)
    ratio = 2 * (-best.fun - _penalised(0.0, HIGH, MONTHS, EVENT))
    assert found.p[0] == pytest.approx(chi2.sf(ratio, 1), rel=1e-3)


def test_firth_approaches_the_likelihood_in_a_large_cohort():
    """With hundreds of events the penalty hardly matters."""
    table = load_rossi()
    penalised = _firth_cox(table["week"], table["arrest"], table[["prio"]])
    plain = cox_regression(table["week"], table["arrest"], table[["prio"]])
    assert penalised.weights[0] == pytest.approx(plain.weights[0], rel=0.03)
    assert penalised.upper[0] == pytest.approx(plain.upper[0], rel=0.05)


def test_group_without_events_is_estimated_and_said():
    """No HCC in the low group: a finite ratio by Firth, with the reason; plain Cox would run to infinity."""
    groups = pd.DataFrame({"amap_ct": np.where(HIGH, "high", "low")})
    found = _one(group_hazard_ratios(MONTHS, EVENT, groups, "low", "training"))
    assert found["method"] == "Firth"
    assert found["note"].startswith("Firth: no HCC in the low group")
    assert "proportional hazards not tested" in found["note"]
    assert 1 < found["hazard_ratio"] < found["upper"] < np.inf
    assert (found["cohort"], found["model"]) == ("training", "amap_ct")


@pytest.mark.parametrize(
    ("event", "group", "order", "note"),
    [
        ([0, 0, 0, 0], ["low", "low", "high", "high"], None, "no patient with HCC"),
        ([1, 0, 1, 0], ["low"] * 4, ["low", "high"], "nobody in the high group"),
        ([1, 0, 1, 0], ["high"] * 4, ["low", "high"], "nobody in the low group"),
    ],
)
def test_nothing_to_estimate_has_a_note(event, group, order, note):
    """No HCC, or an empty group: the row is there, the ratio is not, and the note says why."""
    found = _one(_ratios([5, 6, 7, 8], event, group, order=order))
    assert np.isnan(found["hazard_ratio"])
    assert note in found["note"]


def test_groups_never_followed_together_have_a_note():
    """All high-risk patients left before the first HCC: nobody to compare with."""
    found = _one(_ratios([1, 2, 7, 8], [0, 0, 1, 0], ["high", "high", "low", "low"]))
    assert np.isnan(found["hazard_ratio"])
    assert "one group alone is followed" in found["note"]


def test_each_cohort_is_estimated_alone():
    """Two cohorts, one without HCC: one ratio and one note."""
    months, event = np.tile([1.0, 2, 3, 4], 2), [1, 1, 0, 0, 0, 0, 0, 0]
    found = _ratios(months, event, ["high", "low"] * 4, cohort=np.repeat(["training", "test"], 4))
    assert found["cohort"].tolist() == ["training", "test"]
    assert found["hazard_ratio"].iloc[0] == pytest.approx(np.sqrt(2), rel=1e-5)
    assert found["note"].iloc[1] == "not estimable: no patient with HCC"


def test_unknown_reference_is_refused():
    """The message names the groups."""
    with pytest.raises(DataError, match="low, high"):
        _ratios([1, 2], [1, 0], ["low", "high"], "medium")


@pytest.mark.parametrize("bad", [[np.nan, 2, 3, 4], [-1, 2, 3, 4]])
def test_missing_follow_up_is_refused(bad):
    """No follow-up is guessed."""
    with pytest.raises(DataError, match="months"):
        _ratios(bad, [1, 1, 0, 0], ["high", "low"] * 2)
    with pytest.raises(DataError, match="months"):
        person_year_rates(bad, [1, 1, 0, 0])


# --- scores -----------------------------------------------------------------------------------------------------------


def test_ratio_per_sd_is_that_of_the_standardised_score():
    """A step of one SD gives what lifelines gives for the z-scores."""
    table = load_rossi()
    sd = float(table["age"].std())
    z = pd.DataFrame({"t": table["week"], "e": table["arrest"], "z": (table["age"] - table["age"].mean()) / sd})
    direct = CoxPHFitter().fit(z, "t", "e").summary.loc["z"]
    found = _one(score_hazard_ratios(table["week"], table["arrest"], table[["age"]], {"age": sd}))
    assert found["hazard_ratio"] == pytest.approx(direct["exp(coef)"], rel=1e-5)
    assert found["upper"] == pytest.approx(direct["exp(coef) upper 95%"], rel=1e-5)
    assert found["step"] == f"per {sd:.3g}"


def test_score_rows_say_what_is_missing():
    """Missing values are left out and counted; a constant score has a note; one that separates gets Firth."""
    scores = pd.DataFrame(
        {"some": [1.0, np.nan, 2, 3, 2], "constant": [1.0] * 5, "separating": [5.0, 4, 3, 2, 1]}, index=list("abcde")
    )
    found = score_hazard_ratios([1, 2, 3, 4, 5], [1, 1, 0, 1, 0], scores, dict.fromkeys(scores, 1.0)).set_index("model")
    assert found.loc["some", "n"] == 4
    assert "1 without a value left out" in found.loc["some", "note"]
    assert np.isnan(found.loc["constant", "hazard_ratio"])
    assert "same value" in found.loc["constant", "note"]
    assert found.loc["separating", "method"] == "Firth"
    assert np.isfinite(found.loc["separating", "hazard_ratio"])


def test_step_must_be_positive():
    """A spread of 0 or less is no step."""
    with pytest.raises(DataError, match="step of a"):
        score_hazard_ratios([1, 2], [1, 0], pd.DataFrame({"a": [1.0, 2.0]}), {"a": 0.0})


# --- rates ------------------------------------------------------------------------------------------------------------


def test_annual_incidence_by_hand():
    """10 HCC in 100 person-years: 10 % a year, 4.795 to 18.390 % (Garwood's table)."""
    months = np.full(50, 24.0)
    found = _one(person_year_rates(months, np.r_[np.ones(10, dtype=int), np.zeros(40, dtype=int)]))
    assert found["person_years"] == pytest.approx(100)
    assert [round(100 * found[name], 3) for name in ("rate", "lower", "upper")] == [10, 4.795, 18.39]


def test_limits_are_those_of_the_poisson_distribution():
    """At the limits, a count so far out has a chance of 2.5 % on that side."""
    found = _one(person_year_rates(np.full(4, 36.0), [1, 1, 1, 0]))
    assert poisson.cdf(3, 12 * found["upper"]) == pytest.approx(0.025)
    assert poisson.sf(2, 12 * found["lower"]) == pytest.approx(0.025)


def test_centre_without_events_has_an_upper_limit():
    """No HCC in 10 person-years: 0, at most 36.9 % a year (3.689 expected), with a note; nobody: NaN with a note."""
    found = person_year_rates(np.full(5, 24.0), np.zeros(5, dtype=int), ["C01"] * 5, order=["C01", "C02"])
    first, second = (row for _, row in found.iterrows())
    assert (first["rate"], first["lower"], round(first["upper"], 4)) == (0, 0, 0.3689)
    assert first["note"] == "no HCC"
    assert np.isnan(second["rate"])
    assert second["note"] == "nobody"


def test_rate_gives_back_the_risk():
    """27.2 % in three years is 10.58 % a year; the paper prints 13.2 %, which is what 32.7 % would give."""
    assert rate_from_risk(0.272, 3) == pytest.approx(0.10582, abs=1e-5)
    assert rate_from_risk(0.32699, 3) == pytest.approx(0.132, abs=1e-5)
    risks = np.linspace(0, 0.99, 7)
    np.testing.assert_allclose(1 - np.exp(-2.5 * rate_from_risk(risks, 2.5)), risks, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: rate_from_risk(27.2, 3), "risk"),
        (lambda: rate_from_risk(1.0, 3), "risk"),
        (lambda: rate_from_risk(0.1, 0), "years"),
    ],
)
def test_conversion_refusals(call, word):
    """Per cent, certainty and no horizon are refused."""
    with pytest.raises(DataError, match=word):
        call()
