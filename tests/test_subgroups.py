"""Subgroups, cross-validation within cohorts."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hccbook.errors import DataError
from hccbook.evaluation import (
    auc_delong,
    cross_validation,
    diagnostic_performance,
    roc_points,
    subgroup_auc,
    subgroup_performance,
    whole_cohort_intervals,
)


@pytest.fixture
def patients():
    """200 patients of two cohorts, their outcome, a score, and a subgroup of three levels with holes."""
    rng = np.random.default_rng(9)
    index = pd.Index([f"P{number:04d}" for number in range(200)], name="patient")
    y = pd.Series(rng.permutation(np.repeat([1, 0], [60, 140])), index)
    score = pd.Series(rng.normal(size=200) + y.to_numpy(), index)
    level = pd.Series(rng.choice(["a", "b", "c"], 200), index).mask(rng.random(200) < 0.05)
    groups = pd.DataFrame({"stage": pd.Categorical(level, ["c", "b", "a"])}, index=index)
    return y, score, groups, pd.Series(np.repeat(["discovery", "external_validation"], 100), index)


# --- AUC in subgroups -------------------------------------------------------------------------------------------------


def test_subgroup_auc_is_delongs_of_the_subgroup(patients):
    """Each level's AUC and limits are those of its patients alone; levels come in the order of the categories."""
    y, score, groups, cohort = patients
    found = subgroup_auc(y, score, groups, cohort)
    assert found["level"].tolist() == ["all", "c", "b", "a"] * 2
    chosen = (cohort == "external_validation") & (groups["stage"] == "b")
    expected = auc_delong(y[chosen], score[chosen])
    row = found[(found["cohort"] == "external_validation") & (found["level"] == "b")].iloc[0]
    assert row[["auc", "lower", "upper"]].tolist() == list(expected[:3])
    assert (row["n"], row["events"]) == (chosen.sum(), y[chosen].sum())
    missing = groups.loc[cohort == "external_validation", "stage"].isna().sum()
    assert missing > 0
    assert row["missing"] == missing


def test_difference_of_two_levels_is_their_z_test(patients):
    """For two levels Cochran's Q is the squared z of two independent AUCs."""
    y, score, groups, _ = patients
    two = groups["stage"].map({"a": "a", "b": "b", "c": "b"}).astype(object).where(groups["stage"].notna())
    found = subgroup_auc(y, score, pd.DataFrame({"stage": two}))
    first, second = (auc_delong(y[two == level], score[two == level]) for level in ("a", "b"))
    z = (first.auc - second.auc) / np.sqrt(first.variance + second.variance)
    assert found["p_difference"].iloc[1:].tolist() == pytest.approx([2 * stats.norm.sf(abs(z))] * 2)
    assert np.isnan(found["p_difference"].iloc[0])


def test_subgroups_that_cannot_be_estimated_are_rows_with_notes():
    """A level without HCC, one with a single patient of HCC, and one that nobody is in: no error, no silent NaN."""
    y = np.array([0, 0, 0, 1, 0, 0, 1, 1, 0, 0])
    score = np.array([1.0, 2, 3, 4, 1, 2, 3, 4, 1, 2])
    levels = pd.Categorical(["x"] * 3 + ["y"] * 3 + ["z"] * 4, ["x", "y", "z", "w"])
    found = subgroup_auc(y, score, pd.DataFrame({"part": levels})).set_index("level")
    assert found.loc["x", "note"].startswith("no patient with HCC")
    assert found.loc["y", "note"].startswith("no interval: one patient with HCC")
    assert found.loc["y", "auc"] == 1.0
    assert found.loc["w", "note"].startswith("no patients")
    assert found.loc["z", "note"].startswith("the interval is a point: the classes are separated")
    undefined = found[found[["auc", "lower", "upper"]].isna().any(axis=1)]
    assert (undefined["note"] != "").all()
    assert found.loc[["x", "y", "z", "w"], "note"].str.endswith("no comparison: a level has no interval").all()


def test_subgroup_performance_is_that_of_the_subgroup(patients):
    """Each row is the performance of the subgroup's patients at the cut-off."""
    y, score, groups, cohort = patients
    found = subgroup_performance(y, score, groups, [0.5, 1.0], cohort)
    chosen = ((cohort == "discovery") & (groups["stage"] == "a")).to_numpy()
    expected = diagnostic_performance(y[chosen], score[chosen], 1.0)
    part = found[(found["cohort"] == "discovery") & (found["level"] == "a") & (found["cutoff"] == 1.0)]
    pd.testing.assert_frame_equal(part[expected.columns].reset_index(drop=True), expected)


def test_subgroup_performance_of_one_class():
    """Without HCC the sensitivity is undefined, with the interval of no knowledge."""
    found = subgroup_performance([0, 0, 1], [1.0, 2.0, 3.0], pd.DataFrame({"g": ["a", "a", "b"]}), [1.5])
    row = found[(found["level"] == "a") & (found["measure"] == "sensitivity")].iloc[0]
    assert np.isnan(row["value"])
    assert (row["lower"], row["upper"], row["denominator"]) == (0, 1, 0)


def test_subgroups_refuse_other_patients(patients):
    """A score in another order is not matched by position."""
    y, score, groups, _ = patients
    with pytest.raises(DataError, match="another index"):
        subgroup_auc(y, score[::-1], groups)


# --- cross-validation -------------------------------------------------------------------------------------------------


@pytest.fixture
def scores(patients):
    """Three covariates of the 200 patients, one of which carries the outcome."""
    y, score, _, _ = patients
    rng = np.random.default_rng(10)
    return pd.DataFrame(
        {"amap": 60 + 5 * rng.normal(size=200), "radiomics": score, "deep": rng.normal(size=200)}, y.index
    )


def test_cross_validation_agrees_with_scikit_learn(patients, scores):
    """Out-of-fold probabilities are those of a scikit-learn pipeline on the same folds within the cohort."""
    y, _, _, cohort = patients
    found = cross_validation(y, scores, cohort, folds=5, seed=3)
    rows = (cohort == "external_validation").to_numpy()
    x, own = scores[rows].to_numpy(), y[rows].to_numpy()
    expected = np.empty(100)
    for learn, test in StratifiedKFold(5, shuffle=True, random_state=3).split(x, own):
        model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8)).fit(x[learn], own[learn])
        expected[test] = model.predict_proba(x[test])[:, 1]
    part = found.predictions[found.predictions["cohort"] == "external_validation"]
    np.testing.assert_allclose(part["probability"], expected, atol=1e-6)
    assert part.index.equals(y.index[rows])
    auc = found.auc[found.auc["cohort"] == "external_validation"].set_index("model")["auc"]
    assert auc["pooled"] == pytest.approx(roc_auc_score(own, expected), abs=1e-9)
    by_fold = [roc_auc_score(own[test], expected[test]) for test in (part["fold"] == fold for fold in range(1, 6))]
    assert auc[[f"fold {fold}" for fold in range(1, 6)]].tolist() == pytest.approx(by_fold, abs=1e-9)
    assert auc["mean of folds"] == pytest.approx(np.mean(by_fold), abs=1e-9)


def test_cross_validated_curves_are_those_of_the_predictions(patients, scores):
    """The pooled curve is the ROC curve of all out-of-fold probabilities."""
    y, _, _, cohort = patients
    found = cross_validation(y, scores, cohort)
    part = found.predictions[found.predictions["cohort"] == "discovery"]
    curve = found.roc[(found.roc["cohort"] == "discovery") & (found.roc["model"] == "pooled")]
    expected = roc_points(part["hcc"], part["probability"])
    np.testing.assert_array_equal(curve[["fpr", "tpr"]], expected[["fpr", "tpr"]])


def test_cross_validation_of_noise_finds_nothing():
    """Scores without a signal: out-of-fold AUCs scatter around one half, over twenty cohorts."""
    rng = np.random.default_rng(0)
    found = []
    for seed in range(20):
        y = rng.permutation(np.repeat([1, 0], [30, 70]))
        table = pd.DataFrame(rng.normal(size=(100, 3)), columns=["amap", "radiomics", "deep"])
        areas = cross_validation(y, table, "noise", seed=seed).auc.set_index("model")["auc"]
        found.append(areas["mean of folds"])
    assert np.mean(found) == pytest.approx(0.5, abs=3 * np.std(found) / np.sqrt(20))


def test_cross_validation_of_few_events():
    """Three patients with HCC allow three folds, one allows none; both say so and neither is an error."""
    rng = np.random.default_rng(1)
    y = np.r_[np.repeat([1, 0], [3, 17]), np.repeat([1, 0], [1, 19])]
    table = pd.DataFrame(rng.normal(size=(40, 2)), columns=["amap", "deep"])
    found = cross_validation(y, table, np.repeat(["few", "one"], 20))
    few = found.auc[found.auc["cohort"] == "few"].set_index("model")
    assert few.loc["pooled", "note"] == "3 folds instead of 5: the rarer class has 3 patients"
    assert (few.loc[["fold 1", "fold 2", "fold 3"], "note"] == "no interval: one patient with HCC").all()
    one = found.auc[found.auc["cohort"] == "one"]
    assert one["note"].tolist() == ["not cross-validated: 1 patients with and 19 without HCC"]
    assert set(found.predictions["cohort"]) == {"few"}


def test_cross_validation_of_nobody():
    """Where no cohort can be cross-validated there are notes and empty tables with their columns."""
    found = cross_validation([1, 0, 0], pd.DataFrame({"amap": [1.0, 2.0, 3.0]}), "small")
    assert len(found.auc) == 1
    assert found.predictions.columns.tolist() == ["cohort", "fold", "hcc", "probability"]
    assert found.roc.columns.tolist() == ["cohort", "model", "fpr", "tpr"]
    assert len(found.roc) == 0


def test_cross_validation_refusals(scores, patients):
    """One fold and a missing score are refused."""
    y, _, _, cohort = patients
    with pytest.raises(DataError, match="folds"):
        cross_validation(y, scores, cohort, folds=1)
    with pytest.raises(DataError, match="column deep"):
        cross_validation(y, scores.assign(deep=np.nan), cohort)


# --- printed intervals ------------------------------------------------------------------------------------------------


def test_whole_cohort_intervals_are_the_printed_ones():
    """ALARM, Table 2, discovery cohort: the limits printed for 42/45, 27/45 and 590/879 all take n = 924."""
    rows = [("sensitivity", 42 / 45), ("sensitivity", 27 / 45), ("specificity", 590 / 879)]
    table = pd.DataFrame(rows, columns=["measure", "value"]).assign(n=924)
    found = whole_cohort_intervals(table)
    assert found["printed_lower"].round(3).tolist() == [0.917, 0.568, 0.641]
    assert found["printed_upper"].round(3).tolist() == [0.949, 0.632, 0.702]
    assert whole_cohort_intervals(pd.DataFrame({"value": [np.nan], "n": [9]}))["printed_lower"].isna().all()
