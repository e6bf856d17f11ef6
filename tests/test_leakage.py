"""Leaks, one switch each: what they let in, and what they buy where there is nothing to find."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("agg")

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy import stats

from hccbook.errors import DataError
from hccbook.evaluation import auc_delong, diagnostic_performance, leakage
from hccbook.models import NestedAlarmModel
from hccbook.report import figures
from hccbook.run import benchmark_file

MODEL = NestedAlarmModel(folds=3, lasso_folds=3)
SMALL = {"n_patients": 120, "n_hcc": 30, "n_features": 150}


@pytest.fixture(scope="module")
def noise():
    """Features, outcome and development part of one cohort of noise."""
    X, y = leakage.null_cohort(7, **SMALL)
    return X, y, leakage.split_cohort(y, 0.5, 7)


@pytest.fixture(scope="module")
def planted(noise):
    """The same with three features that carry the outcome, so that something is selected."""
    X, y, development = noise
    shifted = X.copy()
    shifted.iloc[:, [0, 30, 60]] += 1.2 * y.to_numpy()[:, None]
    return shifted, y, development


@pytest.fixture(scope="module")
def table():
    """No leak, selection and thresholds on twelve cohorts of noise, whose seeds are in no other test."""
    wanted = {name: leakage.EXPERIMENTS[name] for name in ("none", "selection", "thresholds", "scaling")}
    return leakage.leak_table(range(101, 113), SMALL, experiments=wanted, model=MODEL)


def written(experiment: leakage.LeakExperiment, folder) -> bytes:
    """The fitted model as its file, which holds everything that was learnt."""
    return experiment.model.to_json(folder / "model.json").read_bytes()


def poisoned(X: pd.DataFrame, development: pd.Series) -> pd.DataFrame:
    """Absurd values in every validation patient."""
    absurd = X.copy()
    absurd.loc[~development] = -1e5 * (1 + np.arange((~development).sum()) % 5)[:, None]
    return absurd


# --- cohorts of noise -------------------------------------------------------------------------------------------------


def test_features_correlate_within_blocks_alone():
    """Correlation is the one asked for inside a block and none across, within its sampling error at 4,000 patients."""
    X, y = leakage.null_cohort(1, n_patients=4000, n_hcc=400, n_features=14, correlation=0.6)
    found = np.corrcoef(X.to_numpy().T)
    block = np.array([0] * 6 + [1] * 6 + [2] * 2 + [3])
    same = (block[:, None] == block) & ~np.eye(15, dtype=bool)
    # Standard errors: (1 - 0.6^2) / sqrt(4000) = 0.010 and 1 / sqrt(4000) = 0.016; four of them.
    assert np.abs(found[same] - 0.6).max() < 0.045
    assert np.abs(found[~same & ~np.eye(15, dtype=bool)]).max() < 0.065
    assert X.columns[-1] == "amap" and (len(y), y.sum()) == (4000, 400)


def test_features_know_nothing_of_the_outcome():
    """Of 2,000 independent features 5 % have p below 0.05, within three binomial standard errors."""
    X, y = leakage.null_cohort(2, n_patients=200, n_hcc=40, n_features=2000, correlation=0.0)
    images = X.drop(columns="amap")
    p = stats.mannwhitneyu(images[y == 1], images[y == 0], axis=0).pvalue
    assert abs((p < 0.05).mean() - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 2000)


def test_cohort_is_a_function_of_its_seed():
    """The same seed gives the same patients, another one others."""
    X, y = leakage.null_cohort(3, **SMALL)
    again, y_again = leakage.null_cohort(3, **SMALL)
    other, _ = leakage.null_cohort(4, **SMALL)
    assert X.equals(again) and y.equals(y_again)
    assert not np.isclose(X, other).any()


@pytest.mark.parametrize(("setting", "value"), [("n_hcc", 0), ("n_hcc", 120), ("n_features", 0), ("correlation", 1.0)])
def test_impossible_cohorts_are_refused(setting, value):
    """The setting is named."""
    with pytest.raises(DataError, match=setting):
        leakage.null_cohort(1, **{**SMALL, setting: value})


def test_split_keeps_the_share_of_hcc():
    """Half of the patients and half of those with HCC develop the model."""
    _, y = leakage.null_cohort(5, **SMALL)
    development = leakage.split_cohort(y, 0.5, 1)
    assert (development.sum(), y[development].sum()) == (60, 15)
    assert not development.equals(leakage.split_cohort(y, 0.5, 2))


# --- what a switch lets in --------------------------------------------------------------------------------------------


def test_without_leak_validation_patients_change_nothing_fitted(planted, tmp_path):
    """Absurd values and turned outcomes in the validation part leave model and cut-off as they were, to the bit."""
    X, y, development = planted
    before = leakage.leak_experiment(X, y, development, model=MODEL)
    after = leakage.leak_experiment(poisoned(X, development), y.where(development, 1 - y), development, model=MODEL)
    assert written(after, tmp_path) == written(before, tmp_path)
    assert after.model.out_of_fold_.equals(before.model.out_of_fold_)
    assert after.cutoff == before.cutoff
    assert before.model.radiomics_score_.names and not after.risk.equals(before.risk)


def test_missing_validation_values_change_nothing_fitted(planted):
    """A feature that the model does not use may be missing there; one that it uses is named."""
    X, y, development = planted
    before = leakage.leak_experiment(X, y, development, model=MODEL)
    used = list(before.model.radiomics_score_.names)
    unused = [name for name in X.columns[:-1] if name not in used]
    holes = X.copy()
    holes.loc[~development, unused] = np.nan
    assert leakage.leak_experiment(holes, y, development, model=MODEL).risk.equals(before.risk)
    holes.loc[~development, used[0]] = np.nan
    with pytest.raises(DataError, match=used[0]):
        leakage.leak_experiment(holes, y, development, model=MODEL)


@pytest.mark.parametrize("leak", ["selection", "smote", "scaling"])
def test_leak_lets_validation_patients_into_the_fit(leak, planted, tmp_path):
    """With any of these switched on, other validation patients make another model."""
    X, y, development = planted
    shifted = X.copy()
    shifted.loc[~development] += 3.0 * y[~development].to_numpy()[:, None]
    one, two = (leakage.leak_experiment(table, y, development, [leak], MODEL) for table in (X, shifted))
    assert written(one, tmp_path) != written(two, tmp_path)


def test_threshold_leak_changes_the_cutoff_alone(planted, tmp_path):
    """The model and its AUC are those without leak; the cut-off is the best of the validation patients."""
    X, y, development = planted
    honest = leakage.leak_experiment(X, y, development, model=MODEL)
    leaky = leakage.leak_experiment(X, y, development, ["thresholds"], MODEL)
    assert written(leaky, tmp_path) == written(honest, tmp_path)
    assert leaky.auc == honest.auc and leaky.risk.equals(honest.risk)
    best = max(
        (leaky.risk[leaky.outcome == 1] >= cut).mean() + (leaky.risk[leaky.outcome == 0] < cut).mean()
        for cut in leaky.risk
    )
    assert leaky.sensitivity + leaky.specificity == pytest.approx(best)
    assert honest.sensitivity + honest.specificity < best


def test_selection_leak_changes_the_features_alone(noise):
    """The model is handed the features chosen on everybody, unfiltered, in their own units."""
    X, y, development = noise
    leaky = leakage.leak_experiment(X, y, development, ["selection"], MODEL)
    entered = [name for name in leaky.model.feature_names_in_ if name != "amap"]
    p = stats.mannwhitneyu(X.loc[y == 1, entered], X.loc[y == 0, entered], axis=0, method="asymptotic").pvalue
    assert 0 < len(entered) < 150 and (p < 0.05).all()
    counts = leaky.model.selection_counts_.query("block == 'radiomics'").set_index("step")["features"]
    assert counts["extracted"] == counts["mann_whitney"] == counts["spearman"] == len(entered)
    assert leaky.model.get_params() == {**MODEL.get_params(), "p_threshold": 1.0, "spearman_threshold": 1.0}
    of_development = X.loc[development, list(leaky.model.radiomics_score_.names)]
    np.testing.assert_allclose(leaky.model.radiomics_score_.means, of_development.mean())
    assert leaky.risk.index.equals(X.index[~development])


def test_scaling_leak_changes_the_scale_alone(planted):
    """Features enter as z-scores of everybody and are not standardised again; all of them enter."""
    X, y, development = planted
    leaky = leakage.leak_experiment(X, y, development, ["scaling"], MODEL)
    assert leaky.model.get_params() == {**MODEL.get_params(), "standardise": False}
    assert leaky.model.n_features_in_ == 151
    score = leaky.model.radiomics_score_
    names = list(score.names)
    z = (X[names] - X[names].mean()) / X[names].std(ddof=0)
    expected = z[development.to_numpy() == 0].to_numpy() @ np.array(score.coefficients)
    logit = leaky.model.combination_
    weight = logit.coefficients[1] / logit.scales[1]
    clinical = logit.coefficients[0] / logit.scales[0]
    found = np.log(leaky.risk / (1 - leaky.risk)) - clinical * X.loc[~development, "amap"] - weight * expected
    assert np.ptp(found) < 1e-9


def test_smote_leak_puts_synthetic_patients_into_both_parts(noise):
    """Both parts are balanced, real patients stay where they were, and synthetic ones are new."""
    X, y, development = noise
    leaky = leakage.leak_experiment(X, y, development, ["smote"], MODEL)
    inside = leaky.model.out_of_fold_
    real = X.index[development]
    assert inside.index[: len(real)].equals(real) and inside["y"].mean() == 0.5
    assert leaky.outcome.mean() == 0.5 and len(leaky.outcome) == 90
    synthetic = set(leaky.risk.index) - set(X.index) | set(inside.index) - set(X.index)
    assert len(synthetic) == 60 and all(name.startswith("S") for name in synthetic)
    np.testing.assert_allclose(inside.loc[real, "amap"], X.loc[real, "amap"])
    assert leaky.model.get_params() == MODEL.get_params()


def test_smote_leak_that_adds_nobody_is_noted(noise):
    """Where the classes lie far apart nobody is in danger, and the experiment says so."""
    X, y, development = noise
    apart = X + 1000.0 * y.to_numpy()[:, None]
    leaky = leakage.leak_experiment(apart, y, development, ["smote"], MODEL)
    assert leaky.notes[0] == "SMOTE before the split added nobody."
    assert leaky.auc.auc == 1.0 and len(leaky.outcome) == 60


def test_constant_features_and_empty_selection_are_survived(noise):
    """A constant feature stays constant in synthetic patients; a selection that keeps nothing leaves aMAP."""
    X, y, development = noise
    X = X.assign(**{"venous.liver.noise_0003": 2.0})
    leaky = leakage.leak_experiment(X, y, development, leakage.LEAKS, MODEL)
    assert np.isfinite(leaky.risk).all()
    strict = NestedAlarmModel(folds=3, lasso_folds=3, p_threshold=1e-9)
    empty = leakage.leak_experiment(X, y, development, ["selection"], strict)
    assert empty.notes[0] == "Selection before the split kept no feature."
    assert empty.model.feature_names_in_.tolist() == ["amap"]


def test_validation_numbers_are_those_of_the_evaluation(planted):
    """AUC, sensitivity and specificity are what the evaluation's own functions give."""
    X, y, development = planted
    found = leakage.leak_experiment(X, y, development, model=MODEL)
    assert found.auc == auc_delong(y[~development], found.model.predict_proba(X[~development])[:, 1])
    at = diagnostic_performance(found.outcome, found.risk, found.cutoff).set_index("measure")["value"]
    assert (found.sensitivity, found.specificity) == (at["sensitivity"], at["specificity"])


def test_best_cutoff_by_hand():
    """Of risks 1 to 5 with HCC at 3 and 5, cut-offs 3 and 5 have J = 1 - 1/3 and 1/2; of equal ones the lower wins."""
    assert leakage._best_cutoff(pd.Series([0, 0, 1, 0, 1]), pd.Series([1.0, 2, 3, 4, 5])) == 3
    assert leakage._best_cutoff(pd.Series([0, 1, 0, 1]), pd.Series([1.0, 2, 3, 4])) == 2
    assert leakage._best_cutoff(pd.Series([0, 1]), pd.Series([0.5, 0.5])) == 0.5


def test_what_does_not_fit_is_refused(noise):
    """An unknown leak, other patients, and a part with one class are named."""
    X, y, development = noise
    with pytest.raises(DataError, match="'threshold'"):
        leakage.leak_experiment(X, y, development, ["threshold"], MODEL)
    with pytest.raises(DataError, match=r"development.*another index"):
        leakage.leak_experiment(X, y, development[::-1], model=MODEL)
    with pytest.raises(DataError, match=r"validation outcome.*all 0"):
        leakage.leak_experiment(X, y, development | (y == 1), model=MODEL)
    with pytest.raises(DataError, match="with and without HCC"):
        leakage.leak_experiment(X, y, development & (y == 0), model=MODEL)


# --- what a leak buys -------------------------------------------------------------------------------------------------


def test_leakage_free_finds_nothing_in_noise(table):
    """The mean AUC of twelve cohorts lies within three standard errors of 0.5, from DeLong and from the seeds."""
    free = table[table["leak"] == "none"]
    delong = np.sqrt((((free["upper"] - free["lower"]) / (2 * 1.96)) ** 2).sum()) / len(free)
    assert abs(free["auc"].mean() - 0.5) < 3 * delong
    assert abs(free["auc"].mean() - 0.5) < 3 * free["auc"].std(ddof=1) / np.sqrt(len(free))


def test_selection_before_the_split_finds_what_is_not_there(table):
    """Its mean AUC lies more than three standard errors above 0.5, and above that without leak."""
    wide = table.pivot(index="seed", columns="leak", values="auc")
    leaky = table[table["leak"] == "selection"]
    delong = np.sqrt((((leaky["upper"] - leaky["lower"]) / (2 * 1.96)) ** 2).sum()) / len(leaky)
    assert leaky["auc"].mean() - 0.5 > 3 * delong
    gain = wide["selection"] - wide["none"]
    assert gain.mean() > 3 * gain.std(ddof=1) / np.sqrt(len(gain))


def test_thresholds_on_test_data_never_look_worse(table):
    """In every cohort sensitivity + specificity is at least the honest one and at least 1; the AUC is the same."""
    wide = table.pivot(index="seed", columns="leak")
    assert (wide["youden"]["thresholds"] >= wide["youden"]["none"]).all()
    assert (wide["youden"]["thresholds"] >= 0).all() and wide["youden"]["thresholds"].mean() > 0.1
    assert wide["auc"]["thresholds"].equals(wide["auc"]["none"])


def test_scaling_on_all_data_buys_next_to_nothing(table):
    """Its mean gain is within three standard errors of 0: no outcome goes through means and standard deviations."""
    wide = table.pivot(index="seed", columns="leak", values="auc")
    gain = wide["scaling"] - wide["none"]
    assert abs(gain.mean()) <= 3 * gain.std(ddof=1) / np.sqrt(len(gain))


def test_optimism_by_hand():
    """Two seeds: differences 0.2 and 0.4 have mean 0.3 and standard error 0.1; t with one degree of freedom."""
    rows = [
        (1, "none", 0.4, 0.3, 0.49, 0.0),
        (1, "x", 0.6, 0.51, 0.7, 0.1),
        (2, "none", 0.5, 0.4, 0.6, 0.2),
        (2, "x", 0.9, 0.8, 1.0, 0.2),
    ]
    given = pd.DataFrame(rows, columns=["seed", "leak", "auc", "lower", "upper", "youden"])
    found = leakage.optimism_table(given).set_index(["measure", "leak"])
    x = found.loc[("auc", "x")]
    assert (x["seeds"], x["covered"]) == (2, 0.0)
    assert x["mean"] == pytest.approx(0.75) and x["se"] == pytest.approx(0.15)
    assert x["optimism"] == pytest.approx(0.3) and x["optimism_se"] == pytest.approx(0.1)
    # Student's t, one degree of freedom, 97.5 %: 12.7062 in every table.
    assert x["upper"] == pytest.approx(0.3 + 1.27062, abs=1e-5)
    assert found.loc[("auc", "none"), "covered"] == 0.5 and found.loc[("auc", "none"), "optimism"] == 0
    assert found.loc[("youden", "x"), "optimism"] == pytest.approx(0.05)
    assert np.isnan(found.loc[("youden", "x"), "covered"])


def test_optimism_needs_the_experiment_without_leak(table):
    """A table without it, with one seed, or with gaps is refused."""
    with pytest.raises(DataError, match="'none'"):
        leakage.optimism_table(table[table["leak"] != "none"])
    with pytest.raises(DataError, match="1 seeds"):
        leakage.optimism_table(table[table["seed"] == 101])
    with pytest.raises(DataError, match="gaps"):
        leakage.optimism_table(table.drop(index=1))


def test_table_has_a_row_an_experiment_and_seed(table):
    """Rows come by seed and experiment, with what was validated on."""
    assert table["seed"].tolist() == [seed for seed in range(101, 113) for _ in range(4)]
    assert table["leak"].tolist()[:4] == ["none", "selection", "thresholds", "scaling"]
    assert (table["n"] == 60).all() and (table["events"] == 15).all()
    np.testing.assert_allclose(table["youden"], table["sensitivity"] + table["specificity"] - 1)


def test_benchmark_says_what_its_rows_say():
    """What the committed benchmark sums up is what its own 50 seeds give."""
    stored = json.loads(benchmark_file("null_cohort").read_text(encoding="utf-8"))
    rows = pd.DataFrame(stored["rows"])
    free = rows[rows["leak"] == "none"]
    assert sorted(free["seed"]) == list(range(1, 51))
    assert stored["leakage_free"]["mean_auc"] == pytest.approx(free["auc"].mean(), abs=1e-6)
    assert stored["leakage_free"]["se"] == pytest.approx(free["auc"].std(ddof=1) / np.sqrt(50), abs=1e-6)
    covered = ((free["lower"] <= 0.5) & (free["upper"] >= 0.5)).mean()
    assert stored["leakage_free"]["covered"] == pytest.approx(covered)
    again = leakage.optimism_table(rows).set_index(["leak", "measure"])["optimism"]
    kept = pd.DataFrame(stored["optimism"]).set_index(["leak", "measure"])["optimism"]
    np.testing.assert_allclose(again, kept.loc[again.index], atol=2e-6)


# --- figures ----------------------------------------------------------------------------------------------------------


def _drawn() -> tuple[pd.DataFrame, pd.DataFrame]:
    runs = pd.DataFrame(
        [(seed, leak, auc) for leak, auc in (("none", 0.5), ("smote", 0.8)) for seed in (1, 2)],
        columns=["seed", "leak", "auc"],
    )
    # Means that the points do not have: a figure that computed them would show others.
    optimism = pd.DataFrame(
        [("none", "auc", 0.123, 0.0, 0.0, 0.0), ("smote", "auc", 0.987, 0.31, 0.25, 0.37)],
        columns=["leak", "measure", "mean", "optimism", "lower", "upper"],
    )
    return runs, optimism


@pytest.fixture
def ax():
    """One panel, closed afterwards."""
    figure, axes = figures.panels()
    yield axes[0, 0]
    plt.close(figure)


def test_aucs_are_drawn_with_the_means_given(ax):
    """A point a cohort, a stroke at the mean that was handed over, and the truth at 0.5."""
    figures.plot_leak_aucs(ax, *_drawn())
    strokes = [line.get_xdata()[0] for line in ax.lines if line.get_linewidth() == 2.6]
    assert strokes == [0.123, 0.987]
    points = [list(line.get_xdata()) for line in ax.lines if line.get_marker() == "o"]
    assert points == [[0.5, 0.5], [0.8, 0.8]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["No leak", "SMOTE before the split"]


def test_optimism_is_drawn_with_its_interval(ax):
    """Every leak but none, with the numbers beside it."""
    figures.plot_leak_optimism(ax, _drawn()[1])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["SMOTE before the split"]
    assert [text.get_text() for text in ax.texts] == ["0.31 (0.25–0.37)"]
    figures.stamp_synthetic(ax.figure)
    ax.figure.canvas.draw()
    inner = ax.figure.get_tightbbox(ax.figure.canvas.get_renderer())
    assert inner.x1 <= ax.figure.get_size_inches()[0] + 0.01


def test_figures_name_what_is_missing(ax):
    """A missing column, measure or mean is named."""
    runs, optimism = _drawn()
    with pytest.raises(DataError, match="auc"):
        figures.plot_leak_aucs(ax, runs.drop(columns="auc"), optimism)
    with pytest.raises(DataError, match="'smote'"):
        figures.plot_leak_aucs(ax, runs, optimism.head(1))
    with pytest.raises(DataError, match="'youden'"):
        figures.plot_leak_optimism(ax, optimism, "youden")
