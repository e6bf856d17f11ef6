"""The leakage-free ALARM: what its folds see, what it learns, and what it says when it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.model_selection import StratifiedKFold

from hccbook.errors import DataError, ModelError
from hccbook.models import AlarmModel, NestedAlarmModel, nested_alarm

FOLDS = {"folds": 3, "lasso_folds": 3}


def cohort(n=60, events=18, features=10, seed=0, effect=1.2):
    """Patients whose first two features of each block are shifted by HCC."""
    rng = np.random.default_rng(seed)
    y = np.repeat([1, 0], [events, n - events])
    columns = {}
    for kind in ("original_f", "deep_"):
        for number in range(features):
            columns[f"venous.liver.{kind}{number:03d}"] = 5 + 2 * (rng.normal(size=n) + effect * y * (number < 2))
    columns["amap"] = 58 + 6 * (rng.normal(size=n) + 0.6 * y)
    index = [f"P{number:04d}" for number in range(1, n + 1)]
    return pd.DataFrame(columns, index=index), pd.Series(y, index=index)


@pytest.fixture(scope="module")
def development():
    """Development cohort."""
    return cohort()


@pytest.fixture(scope="module")
def fitted(development):
    """The model fitted on it."""
    return NestedAlarmModel(**FOLDS).fit(*development)


@pytest.fixture
def rows_seen(monkeypatch):
    """Patients that each call of a step of `_learn` was handed, by step, in the order of the calls."""
    seen: dict[str, list[frozenset]] = {"mann_whitney": [], "spearman": [], "learn": [], "choose": []}

    def spy(owner: type, method: str, step: str, table: int) -> None:
        original: Callable = getattr(owner, method)

        def watched(self, *given):
            seen[step].append(frozenset(given[table].index))
            return original(self, *given)

        monkeypatch.setattr(owner, method, watched)

    spy(nested_alarm.MannWhitneySelector, "fit", "mann_whitney", 0)
    spy(nested_alarm.SpearmanSelector, "fit", "spearman", 0)
    spy(NestedAlarmModel, "_learn", "learn", 0)
    spy(NestedAlarmModel, "_choose", "choose", 1)
    return seen


# --- what the folds see -----------------------------------------------------------------------------------------------


def test_steps_inside_folds_see_training_patients_alone(development, rows_seen):
    """Outer parts are the training parts of three folds; filters see the whole or an inner training part of them."""
    X, y = development
    model = NestedAlarmModel(smote=False, **FOLDS).fit(X, y)
    everybody = frozenset(X.index)
    of_fold = [frozenset(X.index[model.out_of_fold_["fold"] == fold]) for fold in range(3)]
    assert frozenset().union(*of_fold) == everybody and sum(map(len, of_fold)) == 60
    assert rows_seen["learn"] == [everybody, *(everybody - held for held in of_fold)]
    # Each learning: two blocks, each the whole part and three inner training parts.
    assert len(rows_seen["choose"]) == 4 * 2 * 4
    for number, part in enumerate(rows_seen["learn"]):
        own = rows_seen["choose"][8 * number : 8 * number + 8]
        for block in (own[:4], own[4:]):
            assert block[0] == part
            held = [part - inner for inner in block[1:]]
            assert frozenset().union(*held) == part and sum(map(len, held)) == len(part)
    for step in ("mann_whitney", "spearman"):
        assert set(rows_seen[step]) <= set(rows_seen["choose"])


def test_synthetic_patients_come_from_training_patients_alone(development, monkeypatch):
    """SMOTE is handed the rows of one training part, and every held-out error is of real patients."""
    X, y = development
    sizes, held = [], []
    augment, errors = NestedAlarmModel._augment, nested_alarm._relative_errors

    def watched_augment(self, block, design, outcome, note):
        sizes.append((len(design), int(outcome.sum())))
        return augment(self, block, design, outcome, note)

    def watched_errors(outcome, predicted, share):
        held.append(len(outcome))
        return errors(outcome, predicted, share)

    monkeypatch.setattr(NestedAlarmModel, "_augment", watched_augment)
    monkeypatch.setattr(nested_alarm, "_relative_errors", watched_errors)
    NestedAlarmModel(p_threshold=1.0, **FOLDS).fit(X, y)
    # 60 patients with 18 HCC; two thirds of them; two thirds of those: 40 with 12, and 26 or 27 with 8.
    assert set(sizes) == {(60, 18), (40, 12), (26, 8), (27, 8)}
    # Held out: a third of 60 and of 40 real patients, no synthetic one.
    assert set(held) == {20, 13, 14}


def test_held_out_patients_do_not_touch_their_fold(development):
    """Absurd values of one patient leave the scores of all others in its outer fold as they were, to the last bit."""
    X, y = development
    before = NestedAlarmModel(**FOLDS).fit(X, y).out_of_fold_
    poisoned = X.copy()
    poisoned.loc["P0030", :] = 1e6
    after = NestedAlarmModel(**FOLDS).fit(poisoned, y).out_of_fold_
    assert after["fold"].tolist() == before["fold"].tolist()
    same = (before["fold"] == before.loc["P0030", "fold"]) & (before.index != "P0030")
    image = ["radiomics", "deep"]
    assert same.sum() == 19
    assert after.loc[same, image].equals(before.loc[same, image])
    # In the other folds the patient is learnt from, so that the test would notice if it were in its own.
    assert not after.loc[~same, image].equals(before.loc[~same, image])


# --- against an independent implementation ----------------------------------------------------------------------------


def learnt_by_hand(X, y, names, folds, seed):
    """Penalty, out-of-fold score and weights of one block, written out with scipy and scikit-learn, without SMOTE."""

    def chain(part, outcome):
        p = stats.mannwhitneyu(part.loc[outcome == 1], part.loc[outcome == 0], axis=0, method="asymptotic").pvalue
        kept = [name for name, value in zip(names, p, strict=True) if value < 0.05]
        return kept, part[kept].mean(), part[kept].std(ddof=0)

    kept, mean, sd = chain(X[names], y)
    z = (X[kept] - mean) / sd
    greatest = np.abs((z * (y - y.mean()).to_numpy()[:, None]).sum()).max() / len(X)
    penalties = greatest * 10 ** np.linspace(0, -3, 100)
    scores, errors = pd.DataFrame(0.0, index=X.index, columns=range(100)), []
    for train, held in StratifiedKFold(folds, shuffle=True, random_state=seed).split(X, y):
        own, own_mean, own_sd = chain(X[names].iloc[train], y.iloc[train])
        z_train, z_held = ((X[own].iloc[rows] - own_mean) / own_sd for rows in (train, held))
        share, fold = y.iloc[train].mean(), []
        for number, penalty in enumerate(penalties):
            lasso = Lasso(penalty, tol=1e-9, max_iter=100_000).fit(z_train, y.iloc[train])
            scores.iloc[held, number] = z_held.to_numpy() @ lasso.coef_
            squared = (y.iloc[held] - lasso.predict(z_held)) ** 2
            own_y = y.iloc[held]
            weighted = share * squared[own_y == 1].mean() + (1 - share) * squared[own_y == 0].mean()
            fold.append(weighted / (share * (1 - share)))
        errors.append(fold)
    error = np.mean(errors, axis=0)
    at = int(np.argmin(error))
    weights = pd.Series(Lasso(penalties[at], tol=1e-10, max_iter=100_000).fit(z, y).coef_, index=kept)
    return penalties[at], error[at], scores[at].to_numpy(), weights[weights != 0]


def test_model_by_hand(development):
    """Without SMOTE, penalty, error, scores and combination are those of the steps written out."""
    X, y = development
    model = NestedAlarmModel(smote=False, recalibration="off", random_state=4, **FOLDS).fit(X, y)
    # Independent noise: no two features agree beyond 0.9, so that Spearman leaves all.
    assert np.abs(np.triu(stats.spearmanr(X.drop(columns="amap")).statistic, 1)).max() < 0.9
    scores = {"amap": X["amap"].to_numpy()}
    for block, names in (
        ("radiomics", [name for name in X if "original" in name]),
        ("deep", [name for name in X if ".deep_" in name]),
    ):
        penalty, error, scores[block], weights = learnt_by_hand(X, y, names, 3, 4)
        found = getattr(model, f"{block}_score_")
        assert model.lasso_alphas_[block] == pytest.approx(penalty, rel=1e-9)
        assert model.lasso_paths_[block]["error"].min() == pytest.approx(error, abs=1e-4)
        assert list(found.names) == list(weights.index)
        np.testing.assert_allclose(found.coefficients, weights, atol=1e-6)
        assert found.intercept == 0
    table = pd.DataFrame(scores)
    mean, sd = table.mean(), table.std(ddof=0)
    final = LogisticRegression(tol=1e-8, max_iter=1000).fit((table - mean) / sd, y)
    np.testing.assert_allclose(model.coef_, final.coef_, atol=2e-3)
    np.testing.assert_allclose(model.intercept_, final.intercept_, atol=2e-3)


def test_out_of_fold_predictions_are_those_of_models_of_the_other_folds(development):
    """A model fitted on the other folds' patients alone gives the same scores for the fold held out."""
    X, y = development
    model = NestedAlarmModel(recalibration="off", **FOLDS).fit(X, y)
    for fold in range(3):
        held = (model.out_of_fold_["fold"] == fold).to_numpy()
        alone = NestedAlarmModel(recalibration="off", **FOLDS).fit(X[~held], y[~held])
        expected = alone.scores(X[held])
        columns = ["amap", "radiomics", "deep", "alarm"]
        np.testing.assert_allclose(model.out_of_fold_.loc[held, columns], expected[columns], rtol=1e-12)


def test_error_relative_to_the_mean():
    """Predicting the share for everybody has error 1 whatever the held-out share; the truth has error 0."""
    outcome = np.array([1, 0, 0, 0])
    predicted = np.column_stack([np.full(4, 0.5), outcome, [0.5, 0.5, 0.5, 0.2]])
    # Third column by hand: HCC 0.25, others (0.25 + 0.25 + 0.04) / 3 = 0.18; (0.5 x 0.25 + 0.5 x 0.18) / 0.25.
    np.testing.assert_allclose(nested_alarm._relative_errors(outcome, predicted, 0.5), [1.0, 0.0, 0.86])
    np.testing.assert_allclose(nested_alarm._relative_errors(outcome, np.full((4, 1), 0.1), 0.1), [1.0])


# --- recalibration ----------------------------------------------------------------------------------------------------


def test_platt_slope_is_the_maximum_of_platts_likelihood(development):
    """Slope by a general optimiser on Platt's targets, 19/20 and 1/44; the intercept makes the mean risk 18 of 60."""
    X, y = development
    plain = NestedAlarmModel(recalibration="off", **FOLDS).fit(X, y)
    model = NestedAlarmModel(**FOLDS).fit(X, y)
    given = logit(plain.out_of_fold_["alarm"].to_numpy())
    target = np.where(y == 1, 19 / 20, 1 / 44)

    def loss(weights):
        eta = weights[0] + weights[1] * given
        return (np.logaddexp(0, eta) - target * eta).sum()

    best = optimize.minimize(loss, [0.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).x
    intercept, slope = model.recalibration_
    assert slope == pytest.approx(best[1], abs=1e-5)
    assert model.out_of_fold_["alarm"].mean() == pytest.approx(18 / 60, abs=1e-9)
    np.testing.assert_allclose(logit(model.out_of_fold_["alarm"]), intercept + slope * given, atol=1e-9)
    new = logit(plain.predict_proba(X)[:, 1])
    np.testing.assert_allclose(logit(model.predict_proba(X)[:, 1]), intercept + slope * new, atol=1e-9)


def test_intercept_alone_keeps_the_slope(development):
    """Out-of-fold probabilities then have the cohort's share of HCC, and logits are shifted by one number."""
    X, y = development
    plain = NestedAlarmModel(recalibration="off", **FOLDS).fit(X, y)
    model = NestedAlarmModel(recalibration="intercept", **FOLDS).fit(X, y)
    shift, slope = model.recalibration_
    assert slope == 1 and plain.recalibration_ == (0, 1)
    assert model.out_of_fold_["alarm"].mean() == pytest.approx(0.3, abs=1e-9)
    np.testing.assert_allclose(
        logit(model.out_of_fold_["alarm"]), logit(plain.out_of_fold_["alarm"]) + shift, atol=1e-9
    )
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], expit(logit(plain.predict_proba(X)[:, 1]) + shift))


@pytest.mark.parametrize(
    ("logits", "outcome", "words"),
    [
        ([0.2, 0.2, 0.2, 0.2], [0, 1, 0, 1], "all equal"),
        ([2.0, 1.0, 0.0, 1.5], [0, 1, 1, 0], "turn them round"),
    ],
)
def test_slope_that_cannot_be_estimated_falls_back_to_the_intercept(logits, outcome, words):
    """Equal and inverted predictions keep slope 1, get the real share of HCC, and are noted."""
    model = NestedAlarmModel()
    model.notes_ = []
    shift, slope = model._recalibrate(np.array(logits), np.array(outcome))
    assert slope == 1
    assert expit(np.array(logits) + shift).mean() == pytest.approx(0.5, abs=1e-9)
    assert len(model.notes_) == 1 and words in model.notes_[0]


@pytest.mark.parametrize("logits", [[-1.0, 0.0, 1.0, 2.0], [-1.0, 1.0, 1.0, 2.0]])
def test_separated_predictions_have_a_finite_slope(logits):
    """Platt's targets hold the slope of predictions that divide the classes, and the notes say so."""
    model = NestedAlarmModel()
    model.notes_ = []
    shift, slope = model._recalibrate(np.array(logits), np.array([0, 0, 1, 1]))
    assert 0 < slope < 20
    assert expit(slope * np.array(logits) + shift).mean() == pytest.approx(0.5, abs=1e-9)
    assert len(model.notes_) == 1 and "separate" in model.notes_[0]


def test_prevalence_is_the_cohorts():
    """With 10 % HCC the probabilities of new patients lie around 10 %; the paper's order gives far more."""
    X, y = cohort(n=120, events=12, effect=0.8)
    new, _ = cohort(n=400, events=40, effect=0.8, seed=1)
    nested = NestedAlarmModel(**FOLDS).fit(X, y).predict_proba(new)[:, 1].mean()
    paper = AlarmModel(lasso_folds=3).fit(X, y).predict_proba(new)[:, 1].mean()
    # 40 of 400 has a standard error of 1.5 %; the model's own error is of that size too.
    assert abs(nested - 0.1) < 0.06
    assert paper > 0.16


# --- what it says when it cannot --------------------------------------------------------------------------------------


def test_noise_selects_nothing_and_says_so():
    """Where no penalty is worth its error both image scores are 0, in and out of fold, and the notes say so."""
    X, y = cohort(effect=0, seed=3)
    model = NestedAlarmModel(p_threshold=1e-9, **FOLDS).fit(X, y)
    for block in ("radiomics", "deep"):
        assert getattr(model, f"{block}_score_").names == ()
        assert f"{block}: no feature was selected; the score is 0 for every patient." in model.notes_
    assert (model.out_of_fold_[["radiomics", "deep"]] == 0).all(axis=None)
    assert model.coef_[0, 1:].tolist() == [0.0, 0.0]
    assert model.lasso_alphas_ == {} and model.lasso_paths_ == {}
    assert np.isfinite(model.scores(X).to_numpy()).all()


def test_few_cases_shrink_the_folds_and_say_so():
    """Four patients with HCC: four outer folds, three or four inner ones, SMOTE with fewer neighbours."""
    model = NestedAlarmModel().fit(*cohort(n=40, events=4))
    assert sorted(model.out_of_fold_["fold"].unique()) == [0, 1, 2, 3]
    assert "4 folds instead of 5: the rarer class has 4 patients." in model.notes_
    assert "4 folds instead of 10: the rarer class has 4 patients." in model.notes_
    assert "3 folds instead of 10: the rarer class has 3 patients. (times inside the folds: 4)" in model.notes_
    assert any(note.startswith("radiomics: SMOTE with fewer neighbours than 5 and 10.") for note in model.notes_)
    assert np.isfinite(model.out_of_fold_.to_numpy(dtype=float)).all()


def test_three_cases_are_the_fewest():
    """Three patients with HCC are fitted, without SMOTE where one is left; two are refused with the hint."""
    model = NestedAlarmModel(p_threshold=0.5).fit(*cohort(n=30, events=3))
    assert any("no SMOTE, the rarer class has 1 patient" in note for note in model.notes_)
    assert np.isfinite(model.out_of_fold_.to_numpy(dtype=float)).all()
    # No fold lacks a class.
    assert (model.out_of_fold_.groupby("fold")["y"].sum() == 1).all()
    with pytest.raises(ModelError, match=r"3 patients or more in each class.*found 2"):
        NestedAlarmModel().fit(*cohort(n=30, events=2))


def test_separation_is_noted_and_finite():
    """A feature that divides the classes gives finite weights, and both the model and its slope say so."""
    X, y = cohort(effect=0)
    X["venous.liver.original_f000"] = 100.0 * y + np.arange(len(y)) % 7
    model = NestedAlarmModel(**FOLDS).fit(X, y)
    assert np.isfinite(model.coef_).all() and np.isfinite(model.recalibration_).all()
    assert "The scores separate the classes: only the L2 penalty holds the weights finite." in model.notes_
    assert any("only Platt's targets hold the slope finite" in note for note in model.notes_)
    p = model.out_of_fold_["alarm"]
    assert p.between(0, 1).all() and p[y == 1].min() > p[y == 0].max()


def test_constant_columns_are_dropped_and_named(development):
    """A constant feature, one that is constant in some folds only, and a constant aMAP are survived."""
    X, y = development
    X = X.assign(**{"venous.liver.original_f005": 3.0, "venous.liver.original_f006": 0.0, "amap": 55.0})
    X.loc["P0001", "venous.liver.original_f006"] = 1.0
    model = NestedAlarmModel(**FOLDS).fit(X, y)
    assert "radiomics: constant columns dropped, the first venous.liver.original_f005." in model.notes_
    assert model.coef_[0, 0] == 0
    assert np.isfinite(model.out_of_fold_.to_numpy(dtype=float)).all()


def test_smote_that_does_nothing_is_noted():
    """Where the classes lie far apart no patient is in danger, and the notes say so."""
    X, y = cohort(features=4, effect=0)
    model = NestedAlarmModel(**FOLDS).fit(X + 1000.0 * y.to_numpy()[:, None], y)
    assert "radiomics: SMOTE added nobody, no patient of the rarer class is in danger." in model.notes_


def test_descent_that_stops_early_is_noted():
    """Features that are copies but for a trace let the LASSO wander; the warning becomes a note."""
    X, y = cohort(features=4, effect=0)
    model = NestedAlarmModel(spearman_threshold=1.0, **FOLDS).fit(X + 1000.0 * y.to_numpy()[:, None], y)
    assert "radiomics: a LASSO fit stopped before it converged." in model.notes_


def test_missing_value_names_its_column(development):
    """A missing value is refused in the fit and in the score, by column."""
    X, y = development
    with pytest.raises(DataError, match=r"venous\.liver\.deep_003"):
        NestedAlarmModel().fit(X.assign(**{"venous.liver.deep_003": np.nan}), y)
    model = NestedAlarmModel(**FOLDS).fit(X, y)
    name = model.radiomics_score_.names[0]
    with pytest.raises(DataError, match=name):
        model.scores(X.assign(**{name: np.nan}))


def test_one_class_is_refused(development):
    """A cohort without HCC is refused."""
    X, y = development
    with pytest.raises(DataError, match="with and without HCC"):
        NestedAlarmModel().fit(X, 0 * y)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("lambda_rule", "max"), ("recalibration", "isotonic"), ("folds", 1), ("lasso_folds", 1), ("p_threshold", 0)],
)
def test_settings_out_of_range_are_named(setting, value, development):
    """The setting and its value are in the message."""
    with pytest.raises(ModelError, match=rf"{setting}.*{value}"):
        NestedAlarmModel(**{setting: value}).fit(*development)


# --- an estimator like the others -------------------------------------------------------------------------------------


def test_same_seed_same_model(development, fitted):
    """A clone fits to the same scores to the last bit; another seed draws other folds."""
    X, y = development
    again = clone(fitted)
    assert again.get_params() == fitted.get_params() and not hasattr(again, "combination_")
    again.fit(X, y)
    assert again.scores(X).equals(fitted.scores(X)) and again.out_of_fold_.equals(fitted.out_of_fold_)
    assert again.notes_ == fitted.notes_
    other = NestedAlarmModel(random_state=1, **FOLDS).fit(X, y)
    assert other.out_of_fold_["fold"].tolist() != fitted.out_of_fold_["fold"].tolist()


def test_json_round_trip_is_exact(development, fitted, tmp_path):
    """A saved and loaded model gives the same scores to the last bit, and writes the same file."""
    X, _ = development
    file = fitted.to_json(tmp_path / "model.json")
    loaded = NestedAlarmModel.from_json(file)
    assert loaded.scores(X).equals(fitted.scores(X))
    assert loaded.recalibration_ == fitted.recalibration_
    assert loaded.notes_ == fitted.notes_ and loaded.get_params() == fitted.get_params()
    assert loaded.to_json(tmp_path / "again.json").read_bytes() == file.read_bytes()
    assert json.loads(file.read_text())["model"] == "nested_alarm"
    assert not any(f'"{patient}"' in file.read_text() for patient in X.index)


def test_models_are_not_mixed_up(development, fitted, tmp_path):
    """The paper's ALARM does not load as the leakage-free one."""
    file = AlarmModel(lasso_folds=3).fit(*development).to_json(tmp_path / "alarm.json")
    with pytest.raises(ModelError, match="nested_alarm"):
        NestedAlarmModel.from_json(file)


def test_probabilities_agree(development, fitted):
    """predict_proba, scores and predict say the same."""
    X, _ = cohort(n=30, events=10, seed=5)
    p = fitted.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert p[:, 1].tolist() == fitted.scores(X)["alarm"].tolist()
    assert fitted.predict(X).tolist() == (p[:, 1] >= 0.5).astype(int).tolist()


def test_finds_the_planted_features(fitted):
    """The heaviest feature of each block carries the outcome, and new patients with HCC score higher."""
    for score in (fitted.radiomics_score_, fitted.deep_score_):
        assert score.importance()["feature"].iloc[0][-3:] in {"000", "001"}
    X, y = cohort(n=60, events=20, seed=1)
    risk = fitted.scores(X)["alarm"]
    assert stats.mannwhitneyu(risk[y == 1], risk[y == 0], alternative="greater").pvalue < 1e-4


def test_features_that_come_standardised_are_left_as_they_are(development):
    """Without standardising, the score takes the features themselves."""
    X, y = development
    z = (X - X.mean()) / X.std(ddof=0)
    model = NestedAlarmModel(standardise=False, **FOLDS).fit(z.assign(amap=X["amap"]), y)
    for score in (model.radiomics_score_, model.deep_score_):
        assert set(score.means) == {0.0} and set(score.scales) == {1.0}
