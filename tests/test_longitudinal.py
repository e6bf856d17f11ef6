"""Longitudinal discriminant analysis: statsmodels' mixed model, densities by hand, Bayes' rule, time."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal, norm
from sklearn.base import clone
from statsmodels.regression.mixed_linear_model import MixedLM

from hccbook.errors import DataError, ModelError
from hccbook.evaluation import comparator_table
from hccbook.models import Amap2Refit, refit_scores
from hccbook.models.longitudinal import MARKERS, GroupModel, _sums, check_refit_name
from hccbook.models.mixed_model import MixedModel, Sums, log_density
from hccbook.report import tables

TRUE_SD = {"amap": (5.0, 1.2, 2.0), "afp": (0.3, 0.15, 0.12)}


def cohort(n: int = 90, seed: int = 4, shift: float = 1.0) -> tuple[pd.DataFrame, pd.Series]:
    """Visits of n patients, a third with HCC; levels, slopes and their correlation are planted by group."""
    rng = np.random.default_rng(seed)
    hcc = pd.Series((np.arange(n) % 3 == 0).astype(int), index=[f"P{i:03d}" for i in range(n)], name="hcc")
    parts = []
    for key, happened in hcc.items():
        months = np.sort(rng.uniform(-24, 0, rng.integers(3, 6)))
        years = months / 12
        shared = rng.standard_normal()
        line = rng.standard_normal(4)
        amap = 58 + 3 * shift * happened + TRUE_SD["amap"][0] * (0.6 * shared + 0.8 * line[0])
        afp = 0.5 + 0.15 * shift * happened + TRUE_SD["afp"][0] * (0.6 * shared + 0.8 * line[1])
        amap = amap + (0.4 + shift * happened + TRUE_SD["amap"][1] * line[2]) * years
        afp = afp + (0.1 * shift * happened + TRUE_SD["afp"][1] * line[3]) * years
        amap = amap + TRUE_SD["amap"][2] * rng.standard_normal(len(years))
        afp = 10 ** (afp + TRUE_SD["afp"][2] * rng.standard_normal(len(years)))
        parts.append(pd.DataFrame({"patient": key, "months": months, "amap": amap, "afp": np.maximum(afp, 0.5)}))
    visits = pd.concat(parts, ignore_index=True)
    # Some values are missing, of either marker.
    visits.loc[rng.random(len(visits)) < 0.1, "amap"] = np.nan
    visits.loc[rng.random(len(visits)) < 0.1, "afp"] = np.nan
    return visits, hcc


@pytest.fixture(scope="module")
def data() -> tuple[pd.DataFrame, pd.Series]:
    return cohort()


@pytest.fixture(scope="module")
def fitted(data) -> Amap2Refit:
    return Amap2Refit().fit(*data)


def with_logarithms(visits: pd.DataFrame, hcc: pd.Series, group: int) -> pd.DataFrame:
    """Visits of one group with years and log10 AFP."""
    own = visits[visits["patient"].isin(hcc.index[hcc == group])]
    return own.assign(years=own["months"] / 12, afp=np.log10(own["afp"]))


def statsmodels_fit(y: pd.Series, design: pd.DataFrame, patient: pd.Series):
    """MixedLM by maximum likelihood; its warning about the boundary is about its own Hessian."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MixedLM(y, design, groups=patient, exog_re=design).fit(reml=False, method=["lbfgs", "bfgs"])


def log_likelihood(model: Amap2Refit, visits: pd.DataFrame, hcc: pd.Series, group: int) -> float:
    """Of one group's measurements in the group's own model."""
    return float(model._log_densities(model._used(visits), hcc.index[hcc == group])[group].sum())


# --- the mixed model against statsmodels ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def larger() -> tuple[pd.DataFrame, pd.Series]:
    """Enough patients for a maximum inside the space, where both programs look for the same one."""
    return cohort(360, seed=9)


def test_each_marker_as_statsmodels_fits_it(larger):
    """Of one marker and one group the fit is statsmodels' mixed model: means, covariances, residuals, likelihood."""
    visits, hcc = larger
    for group in (0, 1):
        for marker, name in enumerate(("amap", "afp")):
            patients = hcc.index[hcc == group]
            sums = _sums(Amap2Refit()._used(visits), patients)
            sums = Sums(*(part[:, [marker]] for part in sums))
            own = with_logarithms(visits, hcc, group).dropna(subset=[name])
            mixed = MixedModel([sums], [name])
            (mean,), covariance, sd, notes = mixed.fit(own[[name]].std(ddof=1).to_numpy())
            found = statsmodels_fit(own[name], pd.DataFrame({"one": 1.0, "years": own["years"]}), own["patient"])
            between = np.sqrt(np.diag(covariance))
            np.testing.assert_allclose(mean, found.fe_params, rtol=1e-3)
            np.testing.assert_allclose(
                covariance / np.outer(between, between), found.cov_re.to_numpy() / np.outer(between, between), atol=3e-3
            )
            assert sd[0] ** 2 == pytest.approx(found.scale, rel=1e-3)
            assert log_density(sums, mean, covariance, sd).log.sum() == pytest.approx(found.llf, abs=1e-3)
            assert not notes


def test_both_markers_as_statsmodels_fits_them(larger):
    """With each marker divided by its residual SD, one mixed model of both with one scale has the same maximum."""
    visits, hcc = larger
    fitted = Amap2Refit().fit(visits, hcc)
    for group in (0, 1):
        learnt, own = fitted.groups_[group], with_logarithms(visits, hcc, group)
        rows = []
        for marker, name in enumerate(("amap", "afp")):
            on = [float(marker == 0), float(marker == 1)]
            rows.append(
                pd.DataFrame(
                    {
                        "patient": own["patient"],
                        "y": own[name] / learnt.residual_sd[marker],
                        "level_a": on[0],
                        "slope_a": on[0] * own["years"],
                        "level_b": on[1],
                        "slope_b": on[1] * own["years"],
                    }
                )
            )
        stacked = pd.concat(rows).dropna().sort_values("patient", kind="stable", ignore_index=True)
        found = statsmodels_fit(stacked["y"], stacked.iloc[:, 2:], stacked["patient"])
        scale = np.repeat(learnt.residual_sd, 2)
        sd = np.sqrt(np.diag(learnt.covariance))
        assert found.scale == pytest.approx(1.0, abs=2e-3)
        np.testing.assert_allclose(found.fe_params * scale, learnt.mean, rtol=2e-3)
        theirs = found.cov_re.to_numpy() * np.outer(scale, scale)
        np.testing.assert_allclose(learnt.covariance / np.outer(sd, sd), theirs / np.outer(sd, sd), atol=5e-3)
        counts = own[["amap", "afp"]].notna().sum().to_numpy()
        likelihood = found.llf - (counts * np.log(learnt.residual_sd)).sum()
        assert log_likelihood(fitted, visits, hcc, group) == pytest.approx(likelihood, abs=2e-3)


def test_gradient_is_the_slope_of_the_likelihood(data):
    """The analytic gradient is that of finite differences, away from the maximum, groups pooled or not."""
    visits, hcc = data
    model = Amap2Refit()
    sums = [_sums(model._used(visits), hcc.index[hcc == group]) for group in (0, 1)]
    for groups in (sums[:1], sums):
        mixed = MixedModel(groups, MARKERS)
        at = np.concatenate([[0.5, -2.0], np.where(mixed._diagonal, 1.2, 0.3)])
        slopes = approx_fprime(at, lambda values, mixed=mixed: mixed._cost(values)[0], 1e-6)
        np.testing.assert_allclose(mixed._cost(at)[1], slopes, atol=1e-5)


def test_planted_parameters_are_found():
    """In 1,500 patients the planted lines, spreads and correlation come out."""
    visits, hcc = cohort(1500, seed=11)
    model = Amap2Refit().fit(visits, hcc)
    with_hcc, without = model.groups_[1], model.groups_[0]
    assert with_hcc.mean[0] == pytest.approx(61, abs=0.7)
    assert with_hcc.mean[1] == pytest.approx(1.4, abs=0.3)
    assert np.sqrt(without.covariance[1, 1]) == pytest.approx(1.2, abs=0.25)
    assert np.sqrt(without.covariance[3, 3]) == pytest.approx(0.15, abs=0.03)
    assert without.residual_sd[0] == pytest.approx(2.0, abs=0.1)
    covariance = model.groups_[0].covariance
    assert covariance[0, 2] / np.sqrt(covariance[0, 0] * covariance[2, 2]) == pytest.approx(0.36, abs=0.07)


# --- densities and Bayes' rule --------------------------------------------------------------------------------------


def by_hand(groups: dict[int, GroupModel], prior: float = 0.5, dna: bool = False) -> Amap2Refit:
    """Estimator with given group models, as if fitted."""
    model = Amap2Refit(cell_free_dna=dna)
    model.groups_, model.prior_, model.notes_ = groups, prior, []
    return model


def one_level(mean: float, dna: tuple[float, float] | None = None) -> GroupModel:
    """aMAP about `mean`, variance 9 between and 4 within; AFP about 1 ug/L."""
    return GroupModel(np.array([mean, 0, 0, 0]), np.diag([9.0, 1.0, 0.04, 0.01]), np.array([2.0, 0.1]), dna)


ENROLMENT = pd.DataFrame({"patient": ["a"], "months": [0.0], "amap": [63.0], "afp": [np.nan]})


@pytest.mark.parametrize("value", [63.0, 61.0, 70.0])
def test_density_of_one_measurement_by_hand(value):
    """One aMAP at enrolment, variance 9 + 4 about 60 or 66: the odds follow from two normal densities and the prior."""
    model = by_hand({0: one_level(60), 1: one_level(66)}, prior=0.2)
    odds = 0.25 * np.exp(norm.logpdf(value, 66, np.sqrt(13)) - norm.logpdf(value, 60, np.sqrt(13)))
    risk = model.scores(ENROLMENT.assign(amap=value))["amap_2_refit"]
    assert risk["a"] == pytest.approx(odds / (1 + odds), rel=1e-10)


def test_equally_far_leaves_the_prior():
    """Half way between two equal groups the measurement says nothing."""
    model = by_hand({0: one_level(60), 1: one_level(66)}, prior=0.2)
    assert model.scores(ENROLMENT)["amap_2_refit"]["a"] == pytest.approx(0.2, rel=1e-10)


def test_densities_are_those_of_the_whole_covariance(data, fitted):
    """SciPy's multivariate normal with V = Z D Z' + R written out."""
    visits, _ = data
    found = fitted._log_densities(fitted._used(visits), pd.Index(visits["patient"].unique()))
    for key in ("P000", "P001", "P017"):
        own = visits[visits["patient"] == key]
        years = own["months"].to_numpy() / 12
        y = np.r_[own["amap"], np.log10(own["afp"])]
        z = np.zeros((len(y), 4))
        z[: len(own), 0], z[: len(own), 1], z[len(own) :, 2], z[len(own) :, 3] = 1, years, 1, years
        known = np.isfinite(y)
        for group, model in fitted.groups_.items():
            noise = np.diag(np.repeat(model.residual_sd**2, len(own)))[np.ix_(known, known)]
            whole = z[known] @ model.covariance @ z[known].T + noise
            away = y[known] - z[known] @ model.mean
            expected = multivariate_normal(np.zeros(known.sum()), whole).logpdf(away)
            assert found.loc[key, group] == pytest.approx(expected, rel=1e-9)


def test_far_measurements_do_not_overflow():
    """A probability near 0 or 1 is one, not NaN."""
    model = by_hand({0: one_level(60), 1: one_level(66)})
    found = model.scores(pd.concat([ENROLMENT.assign(amap=9e4), ENROLMENT.assign(patient="b", amap=-9e4)]))
    assert found["amap_2_refit"].tolist() == [1.0, 0.0]


# --- cell-free DNA ----------------------------------------------------------------------------------------------------


def test_cell_free_dna_multiplies_the_odds_by_hand():
    """N(2, 1) against N(0, 1) at 1.5: the odds times exp(2 x 1.5 - 2) = e; missing, they stay."""
    groups = {0: one_level(60, (0.0, 1.0)), 1: one_level(66, (2.0, 1.0))}
    model = by_hand(groups, dna=True)
    visits = pd.concat([ENROLMENT.assign(cfdna=1.5), ENROLMENT.assign(patient="b", cfdna=np.nan)])
    risk = model.scores(visits)["amap_2_refit"]
    assert risk["a"] / (1 - risk["a"]) == pytest.approx(np.e, rel=1e-10)
    assert risk["b"] == pytest.approx(0.5, rel=1e-10)


def test_cell_free_dna_is_learnt_by_group(data):
    """Mean and SD (ddof 1) of those who have it; the last value up to the landmark counts."""
    visits, hcc = data
    last = ~visits.duplicated("patient", keep="last")
    values = np.where(visits["patient"].map(hcc) == 1, 2.0, 0.0) + np.arange(len(visits)) % 7 / 7
    dna = visits.assign(cfdna=np.where(last & (np.arange(len(visits)) % 5 > 0), values, np.nan))
    model = Amap2Refit(cell_free_dna=True, name="aMAP-2 Plus refit").fit(dna, hcc)
    for group in (0, 1):
        own = dna.loc[(dna["patient"].map(hcc) == group), "cfdna"].dropna()
        assert model.groups_[group].cell_free_dna == pytest.approx((own.mean(), own.std(ddof=1)))
    assert list(model.scores(dna).columns) == ["amap_2_plus_refit", "measurements"]
    # An earlier value of the same patient does not matter, as there is a later one.
    earlier = dna.copy()
    first = ~dna.duplicated("patient")
    has_last = dna["patient"].isin(dna.loc[dna["cfdna"].notna(), "patient"])
    earlier.loc[first & has_last & ~last, "cfdna"] = 1e3
    pd.testing.assert_frame_equal(
        model.scores(earlier)[["amap_2_plus_refit"]], model.scores(dna)[["amap_2_plus_refit"]]
    )
    with pytest.raises(ModelError, match="must be known of 3 patients or more, and vary between them"):
        Amap2Refit(cell_free_dna=True).fit(dna.assign(cfdna=1.0), hcc)


def test_pooled_covariances_are_shared(data):
    """Pooled: one covariance, one residual SD and one SD of the cell-free DNA for both groups, means apart."""
    visits, hcc = data
    dna = visits.assign(cfdna=np.arange(len(visits)) % 4 + 3.0 * visits["patient"].map(hcc))
    model = Amap2Refit(covariance="pooled", cell_free_dna=True).fit(dna, hcc)
    one, other = model.groups_[0], model.groups_[1]
    np.testing.assert_array_equal(one.covariance, other.covariance)
    np.testing.assert_array_equal(one.residual_sd, other.residual_sd)
    assert one.cell_free_dna[1] == other.cell_free_dna[1] and one.mean[0] != other.mean[0]
    # A covariance for both can't be likelier than one each.
    repeated = visits, hcc
    pooled, free = (Amap2Refit(covariance=how).fit(*repeated) for how in ("pooled", "group"))
    assert sum(log_likelihood(pooled, *repeated, g) for g in (0, 1)) < sum(
        log_likelihood(free, *repeated, g) for g in (0, 1)
    )


# --- what cannot be learnt -------------------------------------------------------------------------------------------


def dna_of(visits: pd.DataFrame, hcc: pd.Series, cases: int) -> pd.DataFrame:
    """Cell-free DNA, different in everybody, at the last visit: of so many patients with HCC, and all without."""
    chosen = [*hcc.index[hcc == 1][:cases], *hcc.index[hcc == 0]]
    last = ~visits.duplicated("patient", keep="last") & visits["patient"].isin(chosen)
    return visits.assign(cfdna=np.where(last, np.arange(len(visits)) / 100, np.nan))


PLUS = Amap2Refit(covariance="pooled", cell_free_dna=True, name="aMAP-2 Plus refit")


@pytest.mark.parametrize("cases", [0, 1, 2])
def test_too_few_with_cell_free_dna_have_no_score(cases, data):
    """Of 30 patients with HCC so many have the signature: no score, and a sentence; the other refit is not touched."""
    visits, hcc = data
    plain = Amap2Refit(covariance="pooled")
    scores, missing = refit_scores([(plain, hcc), (PLUS, hcc)], dna_of(visits, hcc, cases), hcc.index)
    assert scores["aMAP-2 Plus refit"].isna().all()
    expected = clone(plain).fit(visits, hcc).scores(visits, hcc.index)["amap_2_refit"]
    np.testing.assert_array_equal(scores["aMAP-2 refit"], expected)
    assert missing.to_dict("records") == [
        {
            "model": "aMAP-2 Plus refit",
            "reason": "not learnt: cfdna, with HCC must be known of 3 patients or more, and vary between them, "
            f"but found {cases} values, {cases} of them different",
            "patients": len(hcc),
        }
    ]


def test_three_with_cell_free_dna_are_enough(data):
    """The first number that is: the score is that of the refit fitted by hand, and nothing is missing."""
    visits, hcc = data
    dna = dna_of(visits, hcc, 3)
    scores, missing = refit_scores([(PLUS, hcc)], dna, hcc.index)
    assert missing.empty and list(missing) == ["model", "reason", "patients"]
    expected = clone(PLUS).fit(dna, hcc).scores(dna, hcc.index)["amap_2_plus_refit"]
    np.testing.assert_array_equal(scores["aMAP-2 Plus refit"], expected)
    assert scores.notna().all(axis=None)


@pytest.mark.parametrize(
    ("cases", "controls", "found"), [(0, 9, "0 with and 9 without"), (9, 0, "9 with and 0 without")]
)
def test_one_class_has_no_score(cases, controls, found, data):
    """Nobody with HCC within the horizon, or everybody: an outcome, where a fit by hand would be refused."""
    visits, hcc = data
    chosen = [*hcc.index[hcc == 1][:cases], *hcc.index[hcc == 0][:controls]]
    scores, missing = refit_scores([(PLUS, hcc[chosen])], dna_of(visits, hcc, 30), hcc.index)
    assert scores.isna().all(axis=None) and len(scores) == len(hcc)
    assert found in missing.loc[0, "reason"]


@pytest.mark.parametrize("cases", [1, 2])
def test_too_few_with_the_outcome_have_no_score(cases, data):
    """Fewer than three patients with HCC, others unknown: the refit of repeated markers is not learnt either."""
    visits, hcc = data
    outcome = hcc.astype(float)
    outcome[hcc.index[hcc == 1][cases:]] = np.nan
    scores, missing = refit_scores([(Amap2Refit(), outcome)], visits, hcc.index)
    assert scores.isna().all(axis=None)
    assert missing.loc[0, "reason"] == (
        f"not learnt: visits, with HCC must have 3 patients or more with measurements, but found {cases}"
    )


def test_unknown_outcomes_are_left_out(data):
    """A patient whose outcome is not known is not learnt from, but has a score."""
    visits, hcc = data
    outcome = hcc.astype(float)
    outcome.iloc[::5] = np.nan
    scores, _ = refit_scores([(Amap2Refit(), outcome)], visits, hcc.index)
    expected = Amap2Refit().fit(visits, outcome.dropna().astype(int)).scores(visits, hcc.index)["amap_2_refit"]
    np.testing.assert_array_equal(scores["aMAP-2 refit"], expected)
    assert scores.notna().all(axis=None)


def test_what_was_not_learnt_is_na_in_table_4(data):
    """The comparison keeps the score's place: no AUC, no test, and the family is one test smaller."""
    visits, hcc = data
    scores, _ = refit_scores([(Amap2Refit(), hcc), (PLUS, hcc)], dna_of(visits, hcc, 2), hcc.index)
    months = pd.Series(np.where(hcc == 1, 10.0, 40.0), index=hcc.index)
    clinical = pd.DataFrame({"cohort": "training", "hcc": hcc, "months": months})
    compared = {**scores, "aMAP-CT": pd.Series(np.arange(len(hcc)) % 7 + hcc.to_numpy(), hcc.index)}
    table = comparator_table(clinical, compared, horizons={PLUS.name: 18.0}).set_index(["model", "horizon"])
    row = table.loc[(PLUS.name, 18.0)]
    assert row[["auc", "lower", "p"]].isna().all() and row["n"] == 0
    assert row["tests"] == 1
    cell = tables.amap_ct_table_4(table.reset_index()).iloc[0]
    assert cell["aMAP-2 Plus refit (18 months)"] == "no patients [n = 0]"
    assert cell["aMAP-CT (18 months)"].startswith(f"{table.loc[('aMAP-CT', 18.0), 'auc']:.3f} (")


def test_mistakes_are_no_outcome(data):
    """A column that is absent, a published name, other codes or one name twice still stop."""
    visits, hcc = data
    with pytest.raises(ModelError, match="must have a column 'cfdna'"):
        refit_scores([(PLUS, hcc)], visits, hcc.index)
    with pytest.raises(ModelError, match="must say that the score is refitted"):
        refit_scores([(Amap2Refit(name="aMAP-2"), hcc)], visits, hcc.index)
    with pytest.raises(DataError, match="must be 0 or 1"):
        refit_scores([(Amap2Refit(), hcc + 1)], visits, hcc.index)
    with pytest.raises(ModelError, match="refits: must have different names"):
        refit_scores([(Amap2Refit(), hcc), (Amap2Refit(), hcc)], visits, hcc.index)


# --- time ------------------------------------------------------------------------------------------------------------


def test_nothing_after_the_landmark_is_looked_at(data, fitted):
    """Poison: later measurements, impossible ones included, change neither the fit nor any score."""
    visits, hcc = data
    later = visits[~visits.duplicated("patient")].assign(months=0.1, amap=1e6, afp=-5.0)
    poisoned = pd.concat([visits, later, later.assign(months=12.0, amap=np.inf)], ignore_index=True)
    again = Amap2Refit().fit(poisoned, hcc)
    for group in (0, 1):
        np.testing.assert_array_equal(again.groups_[group].covariance, fitted.groups_[group].covariance)
    pd.testing.assert_frame_equal(again.scores(poisoned), fitted.scores(visits))
    dna = visits.assign(cfdna=np.arange(len(visits)) % 3 + 0.0)
    plus = Amap2Refit(cell_free_dna=True).fit(dna, hcc)
    pd.testing.assert_frame_equal(plus.scores(pd.concat([dna, later.assign(cfdna=99.0)])), plus.scores(dna))


def test_nothing_before_the_window_is_looked_at(data, fitted):
    """A measurement 25 months before enrolment is too old for a window of 24."""
    visits, _ = data
    old = visits[~visits.duplicated("patient")].assign(months=-25.0, amap=1e6)
    pd.testing.assert_frame_equal(fitted.scores(pd.concat([old, visits])), fitted.scores(visits))


def test_order_of_visits_and_other_patients_do_not_matter(data, fitted):
    """A patient's score follows from their own visits, in any order; patients outside the outcome are ignored."""
    visits, hcc = data
    shuffled = visits.sample(frac=1, random_state=3)
    found = fitted.scores(shuffled, hcc.index)
    np.testing.assert_allclose(found["amap_2_refit"], fitted.scores(visits, hcc.index)["amap_2_refit"], rtol=1e-9)
    alone = fitted.scores(visits[visits["patient"] == "P007"])
    assert alone["amap_2_refit"].iloc[0] == pytest.approx(found.loc["P007", "amap_2_refit"], rel=1e-12)
    more = pd.concat([visits, visits.assign(patient="Q" + visits["patient"], amap=90.0)])
    np.testing.assert_array_equal(Amap2Refit().fit(more, hcc).groups_[1].mean, fitted.groups_[1].mean)


# --- missing values, refusals, files -----------------------------------------------------------------------------


def test_missing_measurements(fitted):
    """One marker alone is enough; none up to the landmark gives NaN."""
    visits = pd.DataFrame(
        {
            "patient": ["a", "b", "c", "d"],
            "months": [0.0, 0.0, 0.0, 3.0],
            "amap": [60.0, np.nan, np.nan, 60.0],
            "afp": [np.nan, 4.0, np.nan, 4.0],
        }
    )
    found = fitted.scores(visits, ["a", "b", "c", "d", "e"])
    assert found["amap_2_refit"].notna().tolist() == [True, True, False, False, False]
    assert found["measurements"].tolist() == [1, 1, 0, 0, 0]


def test_afp_below_detection_is_taken_at_its_bound(fitted):
    """0 ug/L is undetectable, and does what 0.5 does."""
    zero, bound = (fitted.scores(ENROLMENT.assign(afp=value))["amap_2_refit"].iloc[0] for value in (0.0, 0.5))
    assert zero == bound


def test_without_a_difference_between_groups_scores_know_nothing():
    """Equal groups: in unseen patients the AUC of the refit is about one half, within four standard errors."""
    visits, hcc = cohort(240, seed=21, shift=0.0)
    model = Amap2Refit().fit(visits, hcc)
    unseen, happened = cohort(900, seed=22, shift=0.0)
    risk = model.scores(unseen, happened.index)["amap_2_refit"].to_numpy()
    cases, others = risk[happened == 1], risk[happened == 0]
    auc = (cases[:, None] > others[None, :]).mean()
    assert abs(auc - 0.5) < 4 * np.sqrt((len(risk) + 1) / (12 * len(cases) * len(others)))


@pytest.mark.parametrize("name", ["aMAP-2", "aMAP-2 Plus", "AMAP 2 plus (18 months)", "amap_2", ""])
def test_published_names_are_refused(data, name):
    """A refit never carries the published score's name."""
    with pytest.raises(ModelError, match="must say that the score is refitted"):
        Amap2Refit(name=name).fit(*data)
    assert check_refit_name("aMAP-2 Plus (refit)") == "aMAP-2 Plus (refit)"
    assert check_refit_name("aMAP-CT") == "aMAP-CT"


@pytest.mark.parametrize(
    ("settings", "change", "error", "message"),
    [
        ({"covariance": "best"}, lambda v: v, ModelError, "covariance: must be one of 'group', 'pooled'"),
        ({"cell_free_dna": True}, lambda v: v, ModelError, "must have a column 'cfdna'"),
        ({}, lambda v: v.drop(columns="afp"), ModelError, "must have a column 'afp'"),
        ({}, lambda v: v.assign(months=np.nan), DataError, "must have a patient and a month each"),
        ({}, lambda v: v.assign(afp=-1.0), DataError, "AFP 0 or more"),
        ({}, lambda v: v.assign(amap="high"), DataError, "column amap: must be numeric"),
        (
            {},
            lambda v: v[v["patient"].isin(["P000", "P003", "P001", "P002", "P004"])],
            ModelError,
            "with HCC: must have 3",
        ),
        ({}, lambda v: v[~v.duplicated("patient")], ModelError, "must be measured repeatedly"),
        ({}, lambda v: v.assign(months=-6.0), ModelError, "must be measured repeatedly, at different times"),
        ({}, lambda v: v.assign(amap=60.0), ModelError, "visits, amap: must vary"),
    ],
)
def test_what_fit_refuses(data, settings, change, error, message):
    """Unknown settings, lost columns and groups that no line can be learnt from stop the fit."""
    visits, hcc = data
    with pytest.raises(error, match=message):
        Amap2Refit(**settings).fit(change(visits), hcc)


def test_outcome_is_checked(data):
    """One class, repeated patients, or no index."""
    visits, hcc = data
    with pytest.raises(DataError, match="must hold patients with and without HCC"):
        Amap2Refit().fit(visits, hcc * 0)
    with pytest.raises(DataError, match="must have each patient once"):
        Amap2Refit().fit(visits, pd.concat([hcc, hcc.iloc[:1]]))
    with pytest.raises(DataError, match="must be a Series by patient"):
        Amap2Refit().fit(visits, hcc.to_numpy())


def test_small_group_is_fitted_with_its_limits_noted():
    """Four patients with HCC can't fill ten covariances: the fit says which SD it holds, and all scores are finite."""
    visits, hcc = cohort(30, seed=6)
    few = hcc[(hcc == 0) | hcc.index.isin(hcc.index[hcc == 1][:4])]
    model = Amap2Refit().fit(visits, few)
    assert any(note.startswith("with HCC:") for note in model.notes_)
    assert model.scores(visits, few.index)["amap_2_refit"].between(0, 1).all()


def test_fit_twice_is_the_same(data, fitted):
    """No random number is drawn."""
    again = clone(fitted).fit(*data)
    np.testing.assert_array_equal(again.groups_[1].covariance, fitted.groups_[1].covariance)
    assert again.scores(data[0]).equals(fitted.scores(data[0]))
