"""Association with HCC: odds ratios, Firth, combinations, models in pairs, densities, the nomogram."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from statsmodels.discrete.discrete_model import Logit

from hccbook.errors import DataError, ModelError
from hccbook.evaluation import (
    clinical_combinations,
    delong_table,
    delong_test,
    feature_associations,
    feature_counts,
    idi_table,
    integrated_discrimination,
    multivariable_odds_ratios,
    net_reclassification,
    nomogram_scales,
    nri_table,
    outcome_densities,
    outcome_differences,
    screened_features,
    single_score_probabilities,
    spearman_correlations,
    univariable_odds_ratios,
)
from hccbook.evaluation.discrimination import noted_auc
from hccbook.evaluation.model_comparison import CLINICAL_COMBINATIONS
from hccbook.evaluation.odds_ratios import _firth_logistic, _is_separated
from hccbook.features.radiomics.vocabulary import FEATURES
from hccbook.models import LinearScore

# Heinze and Schemper 2002: 79 women with endometrial cancer; neovascularisation, pulsality index, endometrium height,
# and high histologic grade, which all 13 with neovascularisation have. From Agresti's web page of data sets.
NV = "0" * 21 + "1" * 5 + "0" * 21 + "1" * 4 + "0" * 19 + "1" + "0" * 3 + "1" * 2 + "0" + "1" + "0"
PI = (
    "13 16 8 34 20 5 17 10 26 17 8 7 20 10 18 16 18 8 29 12 20 38 22 7 25 15 7 28 11 19 10 10 18 14 21 11 17 25 16 19 "
    "15 33 24 48 12 19 2 22 40 5 0 21 15 29 15 12 3 20 23 12 22 42 15 13 14 19 12 13 10 12 49 6 5 17 11 21 5 19 33"
)
EH = (
    "1.64 2.26 3.14 2.68 1.28 2.31 1.80 1.68 1.56 2.31 2.01 1.89 3.15 1.23 1.27 1.76 2.00 2.64 0.88 1.27 1.37 0.97 "
    "1.14 0.88 0.91 0.58 0.97 1.50 1.33 2.37 1.82 3.13 1.31 1.92 1.64 2.01 1.88 1.93 2.11 1.29 1.72 0.75 1.92 1.84 "
    "1.11 1.61 1.18 1.44 1.18 0.93 1.17 1.19 1.06 2.02 2.29 2.33 2.90 1.70 1.41 2.25 1.54 1.97 1.75 2.16 2.57 1.37 "
    "3.61 2.04 2.17 1.69 0.27 1.84 1.30 0.96 1.01 0.98 0.35 1.02 0.85"
)
HG = "0" * 17 + "1" * 10 + "0" * 16 + "1" * 4 + "1" * 6 + "0" * 16 + "1" * 10


@pytest.fixture(scope="module")
def endometrial():
    """The three risk factors, and the grade."""
    table = pd.DataFrame({"NV": [*map(float, NV)], "PI": [*map(float, PI.split())], "EH": [*map(float, EH.split())]})
    return table, np.array([*map(int, HG)])


def cohort(seed=0, n=300):
    """Variables of one logistic model with known weights, and its outcome."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"age": 50 + 10 * rng.normal(size=n), "male": rng.integers(0, 2, n).astype(float), "score": rng.normal(size=n)}
    )
    eta = -1.2 + 0.06 * (table["age"] - 50) + 0.8 * table["male"] + 0.7 * table["score"]
    return table, (rng.random(n) < expit(eta)).astype(int)


# --- Firth and separation --------------------------------------------------------------------------------------------


def test_transcription_of_the_endometrial_data(endometrial):
    """79 women, 30 of high grade, 13 with neovascularisation, all of them of high grade; means as R prints them."""
    table, y = endometrial
    assert (len(table), y.sum(), table["NV"].sum()) == (79, 30, 13)
    assert y[table["NV"] == 1].all()
    assert table["PI"].mean() == pytest.approx(17.38, abs=0.005)
    assert table["EH"].mean() == pytest.approx(1.662, abs=0.0005)


def test_firth_agrees_with_logistf(endometrial):
    """R's logistf on the endometrial data: weights and limits of the profile."""
    table, y = endometrial
    found = _firth_logistic(np.column_stack([np.ones(79), table]), y)
    np.testing.assert_allclose(found.weights, [3.77455951, 2.92927330, -0.03475175, -2.60416387], rtol=1e-5)
    np.testing.assert_allclose(found.lower, [1.0825371, 0.6097244, -0.1244587, -4.3651832], rtol=2e-5)
    np.testing.assert_allclose(found.upper, [7.2092805, 7.8546317, 0.0404555, -1.2327211], rtol=2e-5)


@pytest.mark.parametrize("counts", [(7, 0, 3, 11), (5, 4, 2, 9), (0, 6, 8, 1)])
def test_firth_of_a_two_by_two_table_adds_a_half(counts):
    """For one yes-or-no variable the penalty adds 1/2 to each of the four cells: log odds ratio by hand."""
    a, b, c, d = counts
    x, y = np.repeat([1.0, 1.0, 0.0, 0.0], counts), np.repeat([1, 0, 1, 0], counts)
    found = _firth_logistic(np.column_stack([np.ones(x.size), x]), y)
    expected = np.log((a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5)))
    assert found.weights[1] == pytest.approx(expected, abs=1e-7)
    assert found.weights[0] == pytest.approx(np.log((c + 0.5) / (d + 0.5)), abs=1e-7)


def test_firth_agrees_with_another_optimiser():
    """Maximum, profile limits and p of the penalised likelihood by a general-purpose minimiser."""
    rng = np.random.default_rng(4)
    design = np.column_stack([np.ones(40), rng.normal(size=(40, 2))])
    y = (rng.random(40) < expit(design @ [-1, 1.5, 0])).astype(int)

    def loss(weights):
        eta = design @ weights
        p = expit(eta)
        information = (design * (p * (1 - p))[:, None]).T @ design
        return np.logaddexp(0, eta).sum() - y @ eta - 0.5 * np.linalg.slogdet(information)[1]

    best = minimize(loss, np.zeros(3), tol=1e-12, method="BFGS")
    found = _firth_logistic(design, y)
    np.testing.assert_allclose(found.weights, best.x, atol=1e-4)
    for limit in (found.lower[1], found.upper[1]):
        held = minimize(lambda free, at=limit: loss(np.array([free[0], at, free[1]])), best.x[[0, 2]], tol=1e-12)
        assert 2 * (held.fun - best.fun) == pytest.approx(stats.chi2.isf(0.05, 1), abs=1e-3)
    assert found.lower[1] < found.weights[1] < found.upper[1]
    none = minimize(lambda free: loss(np.array([free[0], 0.0, free[1]])), best.x[[0, 2]], tol=1e-12)
    assert found.p[1] == pytest.approx(stats.chi2.sf(2 * (none.fun - best.fun), 1), rel=1e-3)


@pytest.mark.parametrize("seed", [45, 58, 66])
def test_firth_limits_lie_on_lopsided_profiles(seed):
    """At each limit the best of the other weights, by simplex searches, is the quantile of chi-square worse.

    The penalised likelihood of these designs has two peaks beside the maximum, so that one search is not enough.
    """
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, size=(20, 2)).astype(float)
    y = (rng.random(20) < expit(3 * x[:, 0] - 3)).astype(int)
    design = np.column_stack([np.ones(20), x - x.mean(axis=0)])

    def loss(weights):
        eta = design @ weights
        p = expit(eta)
        information = (design * (p * (1 - p))[:, None]).T @ design
        return np.logaddexp(0, eta).sum() - y @ eta - 0.5 * np.linalg.slogdet(information)[1]

    found = _firth_logistic(design, y)
    for one in range(3):
        for limit in (found.lower[one], found.upper[one]):
            searches = [
                minimize(
                    lambda free, one=one, at=limit: loss(np.insert(free, one, at)),
                    start,
                    method="Nelder-Mead",
                    options={"xatol": 1e-7, "fatol": 1e-9},
                )
                for start in (np.delete(found.weights, one), *itertools.product((-4.0, 0.0, 4.0, 8.0), repeat=2))
            ]
            least = min(search.fun for search in searches)
            assert 2 * (least - loss(found.weights)) == pytest.approx(stats.chi2.isf(0.05, 1), abs=1e-4)


@pytest.mark.parametrize(
    ("x", "y", "separated"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], True),
        ([1, 2, 2, 3], [0, 0, 1, 1], True),
        ([1, 2, 3, 4], [0, 1, 0, 1], False),
        ([1, 1, 2, 2], [0, 1, 0, 1], False),
    ],
)
def test_separation_by_hand(x, y, separated):
    """Complete, quasi-complete (one value shared), overlapping and balanced."""
    z = (np.array(x) - np.mean(x)) / np.std(x)
    assert _is_separated(np.column_stack([np.ones(4), z]), np.array(y)) is separated


def test_separation_by_two_variables_together():
    """Neither variable separates the classes, their sum does."""
    x = np.array([[0, 3], [3, 0], [1, 1], [2, 2.5], [3, 1.5], [1, 3.5]], dtype=float)
    y = np.array([0, 0, 0, 1, 1, 1])
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    one = np.ones((6, 1))
    assert not _is_separated(np.hstack([one, z[:, :1]]), y)
    assert not _is_separated(np.hstack([one, z[:, 1:]]), y)
    assert _is_separated(np.hstack([one, z]), y)


# --- odds ratios ------------------------------------------------------------------------------------------------------


def test_multivariable_agrees_with_statsmodels():
    """Odds ratio, limits and p a step are statsmodels' on the raw variables, to the power of the step."""
    table, y = cohort()
    found = multivariable_odds_ratios(y, table).set_index("variable")
    step = found["step"].to_numpy()
    expected = Logit(y, np.column_stack([np.ones(300), table])).fit(disp=0, tol=1e-12)
    np.testing.assert_allclose(found["odds_ratio"], np.exp(step * expected.params[1:]), rtol=1e-6)
    np.testing.assert_allclose(found[["lower", "upper"]], np.exp(step[:, None] * expected.conf_int()[1:]), rtol=1e-6)
    np.testing.assert_allclose(found["p"], expected.pvalues[1:], rtol=1e-5)
    assert set(found["method"]) == {"maximum likelihood"}
    assert found[["n", "events", "missing"]].drop_duplicates().to_numpy().tolist() == [[300, y.sum(), 0]]


def test_univariable_agrees_with_scikit_learn():
    """Each variable alone: the unpenalised weight of another implementation, per SD of the patients."""
    table, y = cohort(1)
    found = univariable_odds_ratios(y, table)
    for row in found.itertuples():
        x = table[[row.variable]].to_numpy()
        weight = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(x, y).coef_[0, 0]
        step = 1.0 if row.variable == "male" else table[row.variable].std()
        assert row.step == pytest.approx(step)
        assert np.log(row.odds_ratio) == pytest.approx(weight * step, abs=1e-4)
    assert found["per"].tolist() == ["SD", "unit", "SD"]


def test_two_by_two_odds_ratio_by_hand():
    """30 of 50 men and 10 of 40 women: odds ratio (30 x 30) / (20 x 10) = 4.5, Woolf's limits."""
    male = np.repeat([1.0, 0.0], [50, 40])
    y = np.r_[np.repeat([1, 0], [30, 20]), np.repeat([1, 0], [10, 30])]
    found = univariable_odds_ratios(y, pd.DataFrame({"male": male})).iloc[0]
    half = 1.959964 * np.sqrt(1 / 30 + 1 / 20 + 1 / 10 + 1 / 30)
    assert found["odds_ratio"] == pytest.approx(4.5, rel=1e-8)
    assert (found["lower"], found["upper"]) == pytest.approx((4.5 / np.exp(half), 4.5 * np.exp(half)), rel=1e-6)


def test_separated_variable_is_penalised_and_says_so(endometrial):
    """Neovascularisation separates; R's logistf gives exp(2.92927) and its limits, yes against no."""
    table, y = endometrial
    found = multivariable_odds_ratios(y, table).set_index("variable")
    assert set(found["method"]) == {"Firth"}
    assert set(found["note"]) == {"Firth: the classes are separated"}
    expected = np.exp([2.92927330, 0.6097244, 7.8546317])
    np.testing.assert_allclose(found.loc["NV", ["odds_ratio", "lower", "upper"]].to_numpy(float), expected, rtol=1e-4)


def test_too_few_events_are_penalised_and_say_so():
    """8 patients with HCC for 3 variables are fewer than 5 a variable; alone each variable has enough."""
    table, _ = cohort(2, n=60)
    y = np.zeros(60, dtype=int)
    y[[1, 5, 9, 20, 30, 40, 50, 59]] = 1
    found = multivariable_odds_ratios(y, table)
    assert set(found["note"]) == {"Firth: 8 patients of the rarer class for 3 variables"}
    assert found[["odds_ratio", "lower", "upper", "p"]].notna().all(axis=None)
    assert set(univariable_odds_ratios(y, table)["method"]) == {"maximum likelihood"}


def test_constant_and_repeated_variables_are_marked():
    """A constant and a sum of earlier variables have no odds ratio, a note, and do not disturb the others."""
    table, y = cohort()
    more = table.assign(same=3.0, total=2 * table["age"] - table["score"] + 1)
    found = multivariable_odds_ratios(y, more).set_index("variable")
    alone = multivariable_odds_ratios(y, table).set_index("variable")
    assert found.loc["same", "note"] == "not estimable: the same value in every patient"
    assert found.loc["total", "note"] == "not estimable: the variables before it give it exactly"
    assert found.loc[["same", "total"], "odds_ratio"].isna().all()
    pd.testing.assert_frame_equal(found.loc[table.columns], alone, check_names=False)


def test_missing_values_are_counted():
    """The model of all takes complete cases, the model of one the patients who have that value."""
    table, y = cohort()
    holes = table.copy()
    holes.loc[:9, "age"] = np.nan
    holes.loc[5:24, "score"] = np.nan
    alone = univariable_odds_ratios(y, holes).set_index("variable")
    together = multivariable_odds_ratios(y, holes)
    assert alone["missing"].tolist() == [10, 0, 20]
    assert alone["n"].tolist() == [290, 300, 280]
    assert set(together["missing"]) == {25}
    expected = multivariable_odds_ratios(y[25:], table.iloc[25:])
    np.testing.assert_allclose(together["odds_ratio"], expected["odds_ratio"], rtol=1e-9)


def test_one_outcome_is_not_estimable():
    """Where nobody has HCC each variable says so."""
    table, _ = cohort(n=20)
    found = univariable_odds_ratios(np.zeros(20, dtype=int), table)
    assert set(found["note"]) == {"not estimable: 0 patients with HCC of 20"}
    assert found["odds_ratio"].isna().all()


@pytest.mark.parametrize(
    ("change", "word"),
    [({"sex": "male"}, "variable sex.*numeric"), ({"afp": np.inf}, "variable afp.*finite")],
)
def test_odds_ratio_refusals(change, word):
    """Text and infinite values are refused by name."""
    table, y = cohort(n=30)
    with pytest.raises(DataError, match=word):
        multivariable_odds_ratios(y, table.assign(**change))


def test_other_patients_are_refused():
    """An outcome in another order of patients is not matched by position."""
    table, y = cohort(n=30)
    with pytest.raises(DataError, match="another index"):
        univariable_odds_ratios(pd.Series(y, table.index[::-1]), table)


# --- features ---------------------------------------------------------------------------------------------------------


def test_feature_associations_agree_with_scipy():
    """AUC is U over the pairs, p scipy's asymptotic one; a constant has AUC 1/2 and p 1."""
    rng = np.random.default_rng(1)
    y = rng.permutation(np.repeat([1, 0], [15, 40]))
    table = pd.DataFrame(np.round(rng.normal(size=(55, 6)) + 0.5 * y[:, None], 1), columns=list("abcdef")).assign(g=2.0)
    found = feature_associations(table, y).set_index("feature")
    for name in "abcdef":
        test = stats.mannwhitneyu(table[name][y == 1], table[name][y == 0], method="asymptotic")
        assert found.loc[name, "auc"] == pytest.approx(test.statistic / 600)
        assert found.loc[name, "p"] == pytest.approx(test.pvalue, rel=1e-9)
    assert found.loc["g", ["auc", "p"]].tolist() == [0.5, 1.0]


def test_spearman_agrees_with_scipy():
    """Every pair, whatever the order in which features are shown."""
    rng = np.random.default_rng(2)
    table = pd.DataFrame(np.round(rng.normal(size=(30, 5)), 1), columns=list("abcde"))
    found = spearman_correlations(table).pivot(index="feature", columns="other", values="rho")
    np.testing.assert_allclose(found.loc[table.columns, table.columns], stats.spearmanr(table).statistic, atol=1e-12)


def test_agreeing_features_stand_side_by_side():
    """Two pairs that agree are neighbours in the order shown."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 50))
    table = pd.DataFrame({"a": a, "b": b, "a2": a + 0.01 * rng.normal(size=50), "b2": -b})
    order = spearman_correlations(table)["feature"].drop_duplicates().tolist()
    assert abs(order.index("a") - order.index("a2")) == 1
    assert abs(order.index("b") - order.index("b2")) == 1


def test_spearman_refuses_constants():
    """A constant has no correlation."""
    with pytest.raises(DataError, match="column same"):
        spearman_correlations(pd.DataFrame({"a": [1.0, 2.0], "same": [1.0, 1.0]}))


def test_no_feature_gives_empty_tables():
    """Without a selected feature there is no density and no correlation, but the columns are there."""
    nothing = pd.DataFrame(index=range(4))
    assert outcome_densities(nothing, [1, 0, 1, 0]).columns.tolist() == ["variable", "hcc", "x", "density"]
    assert spearman_correlations(nothing).columns.tolist() == ["feature", "other", "rho"]
    assert spearman_correlations(pd.DataFrame({"a": [1.0, 2, 3]})).to_numpy().tolist() == [["a", "a", 1.0]]


def test_screened_features_block_by_block():
    """All features of a block with AUC and p; correlations of the kept ones, the smallest p first to be taken."""
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1], 20)
    features = pd.DataFrame(rng.normal(size=(40, 45)) + y[:, None], columns=[f"f{number:02d}" for number in range(45)])
    p = np.linspace(0.001, 0.09, 45)[::-1]
    screening = pd.DataFrame({"feature": features.columns, "p": p, "kept": p < 0.05})
    screening["block"] = np.where(np.arange(45) < 43, "radiomics", "deep")
    screened = screened_features(features, y, screening)
    associations = screened["associations"]
    assert associations.groupby("block").size().to_dict() == {"radiomics": 43, "deep": 2}
    auc = stats.mannwhitneyu(features["f07"][y == 1], features["f07"][y == 0]).statistic / 400
    assert associations.set_index("feature").loc["f07", "auc"] == pytest.approx(auc)
    shown = screened["correlations"].groupby("block")["feature"].nunique()
    # p falls by 0.0020 from one feature to the next, so that 0.05 parts f20 from f21.
    assert set(screening.loc[screening["kept"], "feature"]) == {f"f{number}" for number in range(20, 45)}
    assert shown.to_dict() == {"radiomics": 23, "deep": 2}


def test_the_map_of_correlations_takes_forty_features():
    """Of 50 kept features the 10 with the largest p are not shown."""
    rng = np.random.default_rng(4)
    features = pd.DataFrame(rng.normal(size=(30, 50)), columns=[f"f{number:02d}" for number in range(50)])
    screening = pd.DataFrame({"feature": features.columns, "p": np.arange(50) / 1000, "kept": True, "block": "deep"})
    correlations = screened_features(features, np.repeat([0, 1], 15), screening)["correlations"]
    assert set(correlations["feature"]) == {f"f{number:02d}" for number in range(40)}


def test_nothing_screened_gives_empty_tables():
    """A selection that stopped before its first step has no row, and its columns."""
    screening = pd.DataFrame(columns=["block", "feature", "p", "kept"])
    screened = screened_features(pd.DataFrame(index=range(4)), [0, 0, 1, 1], screening)
    assert screened["associations"].columns.tolist() == ["block", "feature", "auc", "p"]
    assert screened["correlations"].columns.tolist() == ["block", "feature", "other", "rho"]
    assert all(table.empty for table in screened.values())


def test_feature_counts_of_alarm():
    """107 features of the unfiltered image, 93 of a filtered one (PyRadiomics), 100 deep: 300 in three images."""
    names = []
    for image in ("original", "wavelet-HHH"):
        for family, features in FEATURES.items():
            if image == "original" or family != "shape":
                names += [f"venous.liver.{image}_{family}_{feature}" for feature in features]
    names += [f"venous.liver.deep_{number:03d}" for number in range(100)]
    found = feature_counts(names)
    assert found.groupby("image", sort=False)["n"].sum().to_dict() == {"original": 107, "wavelet-HHH": 93, "deep": 100}
    assert found[["phase", "organ"]].drop_duplicates().to_numpy().tolist() == [["venous", "liver"]]


@pytest.mark.parametrize(("name", "error"), [("venous.liver.volume", DataError), ("amap", ModelError)])
def test_feature_counts_refuse_other_names(name, error):
    """A column that is no feature is named."""
    with pytest.raises(error, match=name.rsplit(".", 1)[-1]):
        feature_counts([name])


# --- distributions by outcome -----------------------------------------------------------------------------------------


def test_densities_agree_with_scipy():
    """The curve is scipy's Gaussian kernel with Scott's bandwidth, in standard deviations of all patients."""
    rng = np.random.default_rng(5)
    y = np.repeat([1, 0], [40, 60])
    table = pd.DataFrame({"radiomics": rng.normal(size=100) + y})
    z = ((table["radiomics"] - table["radiomics"].mean()) / table["radiomics"].std(ddof=0)).to_numpy()
    found = outcome_densities(table, y)
    for group in (0, 1):
        curve = found[found["hcc"] == group]
        np.testing.assert_allclose(curve["density"], stats.gaussian_kde(z[y == group])(curve["x"]), rtol=1e-9)


def test_density_of_a_class_of_one_value():
    """Two patients with the same value: a narrow peak of area 1 there, no NaN."""
    found = outcome_densities(pd.DataFrame({"a": [5.0, 5.0, 1, 2, 3, 4, 6, 7]}), [1, 1, 0, 0, 0, 0, 0, 0])
    curve = found[found["hcc"] == 1]
    assert np.isfinite(found["density"]).all()
    assert np.trapezoid(curve["density"], curve["x"]) == pytest.approx(1, abs=1e-3)


def test_density_of_a_constant_is_refused():
    """The column is named."""
    with pytest.raises(DataError, match="column same"):
        outcome_densities(pd.DataFrame({"same": [1.0, 1.0, 1.0]}), [1, 0, 0])


def test_differences_by_hand():
    """Quartiles of 1..5 are 2, 3, 4; 20 lies beyond 4 + 1.5 x 2 and ends no whisker; p is scipy's."""
    table = pd.DataFrame({"amap": [1.0, 2, 3, 4, 20, 6, 7, 8]})
    y = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    found = outcome_differences(table, y, "discovery").set_index("hcc")
    assert found.loc[0, ["n", "q1", "median", "q3", "low", "high"]].tolist() == [5, 2, 3, 4, 1, 4]
    expected = stats.mannwhitneyu(table["amap"][y == 1], table["amap"][y == 0], method="asymptotic").pvalue
    assert found["p"].tolist() == pytest.approx([expected] * 2)


def test_differences_without_one_class():
    """A cohort without HCC has its quartiles, an empty row, and a note instead of p."""
    table = pd.DataFrame({"amap": [1.0, 2, 3, 4]})
    found = outcome_differences(table, [1, 0, 0, 0], ["a", "a", "b", "b"])
    alone = found[found["cohort"] == "b"].set_index("hcc")
    assert alone["n"].tolist() == [2, 0]
    assert set(alone["note"]) == {"no test: one outcome only"}
    assert alone["p"].isna().all()


# --- models in pairs --------------------------------------------------------------------------------------------------


@pytest.fixture
def models():
    """Two cohorts, three probabilities, and a third cohort in which one patient has HCC."""
    rng = np.random.default_rng(7)
    y = np.r_[rng.permutation(np.repeat([1, 0], [20, 60])), np.repeat([1, 0], [1, 9])]
    eta = rng.normal(size=(90, 3)) + y[:, None] * np.array([1.5, 1.0, 0.5])
    p = pd.DataFrame(expit(eta - 1), columns=["alarm", "radiomics", "amap"])
    return y, p, np.repeat(["discovery", "external_validation", "small"], [40, 40, 10])


def test_delong_table_is_the_test_of_each_pair(models):
    """Each row is DeLong's test of that pair in that cohort; the small cohort has a note."""
    y, p, names = models
    found = delong_table(y, p, names)
    assert found["compared_with"].tolist() == ["radiomics", "amap"] * 3
    row, test = found.iloc[3], delong_test(y[40:80], p["alarm"][40:80], p["amap"][40:80])
    assert row[["auc", "auc_compared", "difference", "lower", "upper", "z", "p"]].tolist() == list(test)
    small = found[found["cohort"] == "small"]
    assert set(small["note"]) == {"no test: 1 patients with and 9 without HCC"}
    assert small["p"].isna().all()
    assert (found.loc[found["cohort"] != "small", "note"] == "").all()


def test_delong_table_without_variance():
    """Two scores that both separate the classes: difference 0 and p 1, with a note that says why."""
    scores = pd.DataFrame({"alarm": [4.0, 3, 2, 1], "amap": [9.0, 8, 2, 1]})
    found = delong_table([1, 1, 0, 0], scores, "discovery").iloc[0]
    assert (found["difference"], found["p"]) == (0, 1)
    assert "no variance" in found["note"]


def test_nri_table_is_the_nri_of_each_pair(models):
    """Categorical and continuous, of the new model over the old one, with the counts moved."""
    y, p, names = models
    found = nri_table(y, p, names, (0.21, 0.65))
    first = net_reclassification(y[:40], p["radiomics"][:40], p["alarm"][:40], (0.21, 0.65))
    assert found["kind"].tolist()[:2] == ["categorical", "continuous"]
    assert found.iloc[0][["nri", "lower", "upper", "z", "p"]].tolist() == list(first[:5])
    assert found.iloc[0][["up_events", "down_events"]].tolist() == [first.up_events, first.down_events]
    second = net_reclassification(y[:40], p["radiomics"][:40], p["alarm"][:40])
    assert found.iloc[1]["nri"] == second.nri


def test_nri_table_with_one_class(models):
    """Without HCC there is a row and a note, no error."""
    y, p, names = models
    y = np.where(names == "small", 0, y)
    found = nri_table(y, p, names, (0.21, 0.65)).query("cohort == 'small'")
    assert len(found) == 4
    assert set(found["note"]) == {"not estimable: no patient with HCC"}


def test_nobody_changes_group():
    """All stay in their groups: NRI 0, and the note says why."""
    p = pd.DataFrame({"alarm": [0.9, 0.8, 0.1, 0.05], "amap": [0.7, 0.7, 0.2, 0.2]})
    found = nri_table([1, 1, 0, 0], p, "discovery", (0.21, 0.65))
    assert found["note"].tolist() == ["nobody changes group", ""]
    assert found["nri"].tolist() == [0, 2]


def test_idi_table_is_the_idi_of_each_pair(models):
    """Each row is the IDI of that pair in that cohort; the small cohort has a note."""
    y, p, names = models
    found = idi_table(y, p, names)
    one = integrated_discrimination(y[:40], p["amap"][:40], p["alarm"][:40])
    assert found.iloc[1][["idi", "lower", "upper", "z", "p"]].tolist() == [one.idi, one.lower, one.upper, one.z, one.p]
    assert found.iloc[-1]["note"].startswith("no test: 1 patients with")


def test_pairs_refuse_an_unknown_model(models):
    """The columns there are are named."""
    y, p, names = models
    with pytest.raises(DataError, match="alarm, radiomics, amap"):
        delong_table(y, p, names, model="deep")


def test_scores_are_no_probabilities(models):
    """A raw score has no reclassification."""
    y, p, names = models
    with pytest.raises(DataError, match="amap, discovery cohort: must be a probability"):
        idi_table(y, p.assign(amap=60.0), names)


def test_single_score_probabilities_keep_the_ranks():
    """Each probability is a rising function of its score alone; at the mean its logit is the intercept of the fit."""
    rng = np.random.default_rng(3)
    y = rng.permutation(np.repeat([1, 0], [40, 80]))
    scores = pd.DataFrame({"amap": 60 + 5 * rng.normal(size=120) + 4 * y, "deep": rng.normal(size=120) + y})
    found = single_score_probabilities(scores, scores.assign(alarm=0.5), y)
    for name in scores:
        z = (scores[[name]] - scores[name].mean()) / scores[name].std(ddof=0)
        expected = LogisticRegression(C=1.0, tol=1e-8).fit(z.to_numpy(), y).predict_proba(z.to_numpy())[:, 1]
        np.testing.assert_allclose(found[name], expected, atol=1e-6)
        assert (np.diff(found[name].to_numpy()[np.argsort(scores[name])]) >= 0).all()


def test_single_score_probabilities_follow_the_prevalence_they_saw():
    """The same scores learned on a balanced cohort give higher probabilities than on one with a tenth of HCC."""
    rng = np.random.default_rng(3)
    score = pd.DataFrame({"amap": rng.normal(size=400)})
    rare = np.zeros(400, dtype=int)
    rare[np.argsort(score["amap"] + 2 * rng.normal(size=400))[-40:]] = 1
    balanced = pd.concat([score, *[score[rare == 1]] * 8])
    raised = single_score_probabilities(score, balanced, np.r_[rare, np.ones(320, dtype=int)])["amap"]
    plain = single_score_probabilities(score, score, rare)["amap"]
    assert (raised > plain).all()
    assert plain.mean() == pytest.approx(0.1, abs=0.01)
    assert raised.mean() > 0.4


def test_single_score_probabilities_refuse_another_table():
    """A score that the development cohort lacks is named."""
    scores = pd.DataFrame({"amap": [1.0, 2.0]})
    with pytest.raises(DataError, match="must have the score amap"):
        single_score_probabilities(scores, pd.DataFrame({"deep": [1.0, 2.0]}), [0, 1])


# --- clinical combinations --------------------------------------------------------------------------------------------


@pytest.fixture
def combined():
    """160 patients of two cohorts; age adds to the image score, albumin does not, AFP misses five values."""
    rng = np.random.default_rng(11)
    y = np.tile(np.repeat([1, 0], [20, 60]), 2)
    clinical = pd.DataFrame(
        {
            "amap": rng.normal(size=160) + 0.5 * y,
            "age": 50 + 8 * rng.normal(size=160) + 8 * y,
            "male": rng.integers(0, 2, 160).astype(float),
            "bilirubin": rng.gamma(3, 6, 160),
            "albumin": 40 + 4 * rng.normal(size=160),
            "platelets": 110 + 40 * rng.normal(size=160),
            "afp": rng.normal(size=160),
        }
    )
    clinical.loc[[3, 50, 90, 91, 150], "afp"] = np.nan
    scores = pd.DataFrame({"radiomics": rng.normal(size=160) + 0.8 * y, "deep": rng.normal(size=160)})
    names = np.repeat(["discovery", "external_validation"], 80)
    return y, scores, clinical, names, names == "discovery", expit(scores["radiomics"])


def test_combinations_are_fitted_on_the_development_cohort(combined):
    """The AUC of a combination is that of scikit-learn's model fitted on the first cohort alone."""
    y, scores, clinical, names, learn, alarm = combined
    found = clinical_combinations(*combined).set_index(["cohort", "combination"])
    both = pd.concat([scores, clinical[["age", "male"]]], axis=1).to_numpy()
    z = (both - both[learn].mean(axis=0)) / both[learn].std(axis=0)
    fitted = LogisticRegression(C=1.0, tol=1e-8).fit(z[learn], y[learn]).decision_function(z[~learn])
    test = delong_test(y[~learn], fitted, alarm[~learn])
    row = found.loc[("external_validation", "Age + sex")]
    assert (row["auc"], row["difference"], row["p"]) == pytest.approx((test.auc_a, test.difference, test.p), abs=1e-12)
    changed = clinical.copy()
    changed.loc[~learn, "age"] = 0.0
    again = clinical_combinations(y, scores, changed, names, learn, alarm).set_index(["cohort", "combination"])
    assert again.loc[("discovery", "Age + sex"), "auc"] == found.loc[("discovery", "Age + sex"), "auc"]


def test_combinations_count_missing_values(combined):
    """AFP's five missing values leave two and three patients out, where AFP enters and nowhere else."""
    found = clinical_combinations(*combined)
    with_afp = found["variables"].str.contains("afp")
    assert found.loc[
        with_afp & (found["cohort"] == "discovery"), ["n", "missing"]
    ].drop_duplicates().to_numpy().tolist() == [[78, 2]]
    assert set(found.loc[with_afp & (found["cohort"] == "external_validation"), "missing"]) == {3}
    assert (found.loc[~with_afp, "missing"] == 0).all()
    assert found["combination"].nunique() == 1 + len(CLINICAL_COMBINATIONS)


def test_combinations_in_a_cohort_of_one_class(combined):
    """A cohort without HCC has rows and notes."""
    y, scores, clinical, names, learn, alarm = combined
    found = clinical_combinations(np.where(learn, y, 0), scores, clinical, names, learn, alarm)
    other = found[found["cohort"] == "external_validation"]
    assert other["auc"].isna().all()
    assert other["note"].iloc[0] == "compared with the others; no patient with HCC"
    assert set(other["note"].iloc[1:]) <= {f"no test: 0 patients with and {n} without HCC" for n in (77, 80)}


def test_combinations_refuse_unknown_variables(combined):
    """The column that is missing is named."""
    y, scores, clinical, *rest = combined
    with pytest.raises(DataError, match="found afp"):
        clinical_combinations(y, scores, clinical.drop(columns="afp"), *rest)


def test_combinations_without_an_outcome_to_learn_from(combined):
    """Where nobody of the development cohort has HCC no combination is fitted, and each says so."""
    y, scores, clinical, names, learn, alarm = combined
    found = clinical_combinations(np.where(learn, 0, y), scores, clinical, names, learn, alarm)
    others = found[found["combination"] != "ALARM"]
    assert set(others["note"]) == {"not fitted: one outcome only in the development cohort"}
    assert others["auc"].isna().all()


def test_noted_auc_of_few_patients():
    """No patient, one class, one patient with HCC, separation: as much as there is, and why there is no more."""
    assert noted_auc([], []).note == "no patients"
    assert noted_auc([0, 0], [1, 2]).note == "no patient with HCC"
    assert noted_auc([1, 1], [1, 2]).note == "no patient without HCC"
    one = noted_auc([1, 0, 0, 0], [2.0, 1.0, 3.0, 2.0])
    assert (one.auc, one.note) == (0.5, "no interval: one patient with HCC")
    assert np.isnan([one.lower, one.upper]).all()
    assert noted_auc([1, 1, 0, 0], [4, 3, 2, 1]).note == "the interval is a point: the classes are separated"
    assert noted_auc([1, 1, 0, 0], [1, 1, 1, 1]).note == "the interval is a point: all scores equal"
    assert noted_auc([1, 1, 0, 0], [4, 1, 2, 1]).note == ""


# --- nomogram ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def nomogram():
    """A score whose second variable lowers the risk, and its ranges."""
    score = LinearScore(("amap", "albumin", "deep"), (58.0, 40.0, 0.2), (6.0, 4.0, 0.3), (0.6, -0.4, 1.8), -1.0)
    ranges = {"amap": (40.0, 80.0), "albumin": (25.0, 50.0), "deep": (-0.5, 1.5)}
    return score, ranges, nomogram_scales(score, ranges)


def test_nomogram_by_hand(nomogram):
    """Deep learning moves the logit most, 2 x 6 = 12: 100 points; aMAP by 40 x 0.1 = 4: 33.3; albumin by 2.5: 20.8."""
    _, _, scales = nomogram
    greatest = scales[scales["kind"] == "variable"].groupby("axis")["points"].max()
    assert greatest["deep"] == pytest.approx(100)
    assert greatest["amap"] == pytest.approx(100 * 4 / 12)
    assert greatest["albumin"] == pytest.approx(100 * 2.5 / 12)
    albumin = scales[scales["axis"] == "albumin"].set_index("value")["points"]
    assert albumin[50.0] == pytest.approx(0)
    assert albumin[25.0] > albumin[50.0]


@pytest.mark.parametrize("values", [(40, 50, -0.5), (58, 40, 0.2), (73.5, 31, 0.9), (80, 25, 1.5)])
def test_nomogram_reads_the_model(nomogram, values):
    """Points read off the axes, added up and read as a probability are the model's own probability."""
    score, ranges, _ = nomogram
    scales = nomogram_scales(score, ranges, probabilities=np.linspace(0.0001, 0.9999, 9999))
    total = 0.0
    for name, value in zip(score.names, values, strict=True):
        axis = scales[scales["axis"] == name].sort_values("value")
        # Points are a straight line in the value; its two ends are enough to read any value.
        total += np.polyval(np.polyfit(axis["value"], axis["points"], 1), value)
    axis = scales[scales["kind"] == "probability"]
    read = np.interp(total, axis["points"], axis["value"])
    linear = score.evaluate(pd.DataFrame([dict(zip(score.names, map(float, values), strict=True))]))[0]
    assert read == pytest.approx(expit(linear), abs=2e-4)


def test_nomogram_leaves_out_what_no_total_reaches(nomogram):
    """Every probability marked lies within the total axis."""
    _, _, scales = nomogram
    total = scales.loc[scales["kind"] == "total", "points"]
    marked = scales.loc[scales["kind"] == "probability", "points"]
    assert marked.between(0, total.max() + 20).all()
    assert marked.is_monotonic_increasing


def test_nomogram_of_a_score_without_weight():
    """A variable of weight 0 has 0 points throughout; with nothing else there is nothing to draw."""
    score = LinearScore(("amap", "deep"), (58.0, 0.0), (6.0, 1.0), (0.5, 0.0), -1.0)
    scales = nomogram_scales(score, {"amap": (40, 80), "deep": (0, 1)})
    assert (scales.loc[scales["axis"] == "deep", "points"] == 0).all()
    empty = LinearScore(("deep",), (0.0,), (1.0,), (0.0,), -1.0)
    with pytest.raises(DataError, match="weight"):
        nomogram_scales(empty, {"deep": (0, 1)})


def test_nomogram_of_a_constant_score():
    """A score that is the same for everybody has one mark without points; alone it leaves nothing to draw."""
    score = LinearScore(("amap", "deep"), (58.0, 0.0), (6.0, 1.0), (0.5, 0.3), -1.0)
    scales = nomogram_scales(score, {"amap": (40, 80), "deep": (0, 0)})
    assert scales.loc[scales["axis"] == "deep", ["value", "points"]].to_numpy().tolist() == [[0, 0]]
    with pytest.raises(DataError, match="weight"):
        nomogram_scales(score, {"amap": (58, 58), "deep": (0, 0)})


@pytest.mark.parametrize(
    ("ranges", "word"), [({"amap": (40, 80)}, "no deep"), ({"amap": (40, 80), "deep": (1, 0)}, "deep")]
)
def test_nomogram_refuses_ranges(ranges, word):
    """A variable without a range, or with a falling one, is named."""
    score = LinearScore(("amap", "deep"), (58.0, 0.0), (6.0, 1.0), (0.5, 0.3), -1.0)
    with pytest.raises(DataError, match=word):
        nomogram_scales(score, ranges)
