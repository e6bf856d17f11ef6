"""ALARM and aMAP-CT models."""

import json

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import BorderlineSMOTE
from scipy import stats
from sklearn.base import clone
from sklearn.linear_model import Lasso, LassoCV, LogisticRegression
from sklearn.model_selection import StratifiedKFold

from hccbook.errors import DataError, ModelError
from hccbook.models import AlarmModel, AmapCtModel, LinearScore


def synthetic_cohort(n=70, events=20, features=12, seed=0, effect=1.2):
    """Patients whose first three features of each phase, organ and kind are shifted by HCC."""
    rng = np.random.default_rng(seed)
    y = np.repeat([1, 0], [events, n - events])
    columns = {}
    for phase in ("arterial", "venous"):
        for organ in ("liver", "spleen"):
            for kind in ("original_f", "deep_"):
                for number in range(features):
                    shift = effect * y * (number < 3)
                    columns[f"{phase}.{organ}.{kind}{number:03d}"] = 5 + 2 * (rng.normal(size=n) + shift)
    columns["amap"] = 58 + 6 * (rng.normal(size=n) + 0.6 * y)
    index = [f"P{number:04d}" for number in range(1, n + 1)]
    return pd.DataFrame(columns, index=index), pd.Series(y, index=index)


def tight_lasso(z, y, folds, shortest):
    """Scikit-learn's LASSO with the penalty that LassoCV chooses, taken to convergence."""
    splits = StratifiedKFold(folds, shuffle=True, random_state=4)
    search = LassoCV(eps=shortest, alphas=100, cv=splits, max_iter=5000).fit(z, y)
    return Lasso(search.alpha_, tol=1e-10, max_iter=100_000).fit(z, y)


@pytest.fixture(scope="module")
def cohort():
    """Development cohort."""
    return synthetic_cohort()


@pytest.fixture(scope="module")
def other():
    """Patients whom the models never saw."""
    return synthetic_cohort(n=40, events=12, seed=1)


@pytest.fixture(scope="module")
def alarm(cohort):
    """ALARM fitted on the development cohort."""
    return AlarmModel(lasso_folds=5).fit(*cohort)


@pytest.fixture(scope="module")
def amap_ct(cohort):
    """aMAP-CT fitted on the development cohort."""
    return AmapCtModel().fit(*cohort)


def test_alarm_by_hand(cohort, other):
    """Without SMOTE the scores are those of the steps written out with scipy and scikit-learn."""
    X, y = cohort
    model = AlarmModel(smote="off", lasso_folds=5, random_state=4).fit(X, y)
    new, _ = other
    z, z_new = (X - X.mean()) / X.std(ddof=0), (new - X.mean()) / X.std(ddof=0)
    scores, scores_new = {"amap": X["amap"]}, {"amap": new["amap"]}
    for block, names in (
        ("radiomics", [name for name in X if "original" in name]),
        ("deep", [name for name in X if ".deep_" in name]),
    ):
        p = stats.mannwhitneyu(z.loc[y == 1, names], z.loc[y == 0, names], axis=0, method="asymptotic").pvalue
        names = [name for name, value in zip(names, p, strict=True) if value < 0.05]
        # Independent noise: no two features agree beyond 0.9, so that Spearman leaves all.
        assert np.abs(np.triu(stats.spearmanr(z[names]).statistic, 1)).max() < 0.9
        lasso = tight_lasso(z[names], y, folds=5, shortest=1e-3)
        scores[block], scores_new[block] = lasso.predict(z[names]), lasso.predict(z_new[names])
    scores, scores_new = pd.DataFrame(scores), pd.DataFrame(scores_new)
    mean, sd = scores.mean(), scores.std(ddof=0)
    final = LogisticRegression(tol=1e-8, max_iter=1000).fit((scores - mean) / sd, y)
    found = model.scores(new)
    np.testing.assert_allclose(found[["amap", "radiomics", "deep"]], scores_new, atol=1e-5)
    np.testing.assert_allclose(found["alarm"], final.predict_proba((scores_new - mean) / sd)[:, 1], atol=1e-4)


def test_alarm_smote_is_imbalanced_learns(cohort):
    """The synthetic patients are those of BorderlineSMOTE on the z-scores of all features and aMAP."""
    X, y = cohort
    model = AlarmModel(lasso_folds=5, random_state=2).fit(X, y)
    z = (X - X.mean()) / X.std(ddof=0)
    values, outcome = BorderlineSMOTE(kind="borderline-1", random_state=2).fit_resample(z.to_numpy(), y.to_numpy())
    expected = values[:, -1] * X["amap"].std(ddof=0) + X["amap"].mean()
    np.testing.assert_allclose(model.augmented_["amap"], expected, rtol=1e-10)
    assert model.augmented_["y"].tolist() == outcome.tolist()
    assert model.augmented_["synthetic"].sum() == len(outcome) - len(X) == 30
    assert "SMOTE added 30 synthetic patients to 70." in model.notes_


def test_alarm_augmented_real_patients_have_their_own_scores(alarm, cohort):
    """The real part of the augmented cohort is the development cohort as `scores` gives it, to the last bit."""
    X, y = cohort
    real = alarm.augmented_[~alarm.augmented_["synthetic"]]
    assert real.index.equals(X.index)
    assert real[["amap", "radiomics", "deep", "alarm"]].equals(alarm.scores(X))
    assert real["y"].tolist() == y.tolist()
    assert alarm.augmented_.index[70] == "S0001"


@pytest.mark.parametrize("smote", ["before_selection", "before_model"])
def test_alarm_smote_balances(smote):
    """After SMOTE half of the cohort that the last regression sees has HCC."""
    model = AlarmModel(smote=smote, lasso_folds=5, p_threshold=0.01).fit(*synthetic_cohort(n=90, effect=0.8))
    assert model.augmented_["y"].mean() == 0.5
    assert np.isfinite(model.augmented_[["amap", "radiomics", "deep", "alarm"]].to_numpy()).all()


def test_alarm_reports_a_smote_that_did_nothing():
    """Where the classes lie far apart no patient is in danger: nobody is added, and the notes say so."""
    X, y = synthetic_cohort(n=60, events=20, features=4, effect=0)
    X = X + 1000.0 * y.to_numpy()[:, None]
    model = AlarmModel(lasso_folds=5).fit(X, y)
    assert len(model.augmented_) == 60
    assert "SMOTE added nobody: no patient of the rarer class is in danger." in model.notes_


def test_alarm_smote_with_few_patients():
    """Fewer patients with HCC than neighbours: the neighbours shrink, and the notes say so."""
    X, y = synthetic_cohort(n=30, events=4, features=4)
    model = AlarmModel(lasso_folds=10, p_threshold=0.5).fit(X, y)
    assert any(note.startswith("SMOTE used 3 and 10 neighbours instead of 5 and 10") for note in model.notes_)


def test_alarm_counts_features_after_each_step(alarm):
    """24 liver and 24 spleen features a block enter, and each step leaves no more than the one before."""
    counts = alarm.selection_counts_
    for block in ("radiomics", "deep"):
        rows = counts[counts["block"] == block]
        assert rows["step"].tolist() == ["extracted", "varying", "mann_whitney", "spearman", "lasso"]
        assert rows["features"].iloc[0] == 48
        assert rows["features"].is_monotonic_decreasing
    last = counts[counts["step"] == "lasso"].set_index("block")["features"]
    assert last["radiomics"] == len(alarm.radiomics_score_.names)
    assert last["deep"] == len(alarm.deep_score_.names)


def test_alarm_blocks_do_not_mix(alarm):
    """Deep features make the deep score alone."""
    assert all(".deep_" in name for name in alarm.deep_score_.names)
    assert not any(".deep_" in name for name in alarm.radiomics_score_.names)


def test_alarm_finds_the_planted_features(alarm, other):
    """The heaviest feature of each block carries the outcome, and new patients with HCC score higher."""
    for score in (alarm.radiomics_score_, alarm.deep_score_):
        assert score.importance()["feature"].iloc[0][-3:] in {"000", "001", "002"}
    X, y = other
    risk = alarm.scores(X)["alarm"]
    assert stats.mannwhitneyu(risk[y == 1], risk[y == 0], alternative="greater").pvalue < 1e-4


def test_alarm_block_without_a_feature():
    """A block that selects nothing scores 0 for all, the notes say so, and the model still works."""
    X, y = synthetic_cohort(effect=0)
    model = AlarmModel(smote="off", p_threshold=1e-9, lasso_folds=5).fit(X, y)
    scores = model.scores(X)
    assert (scores[["radiomics", "deep"]] == 0).all(axis=None)
    assert model.coef_[0, 1:].tolist() == [0.0, 0.0]
    assert "radiomics: no feature was selected; the score is 0 for every patient." in model.notes_
    assert "deep: no feature was selected; the score is 0 for every patient." in model.notes_
    assert model.lasso_paths_ == {}


def test_alarm_without_deep_features(cohort, tmp_path):
    """A table with radiomics alone is fitted, saved and loaded."""
    X, y = cohort
    X = X[[name for name in X if ".deep_" not in name]]
    model = AlarmModel(lasso_folds=5).fit(X, y)
    assert model.deep_score_.names == ()
    assert AlarmModel.from_json(model.to_json(tmp_path / "alarm.json")).scores(X).equals(model.scores(X))


def test_alarm_keeps_the_clinical_score_constant(cohort):
    """A cohort whose aMAP does not vary is fitted; synthetic patients have the same aMAP."""
    X, y = cohort
    for smote in ("before_selection", "before_model"):
        model = AlarmModel(smote=smote, lasso_folds=5).fit(X.assign(amap=55.0), y)
        assert set(model.augmented_["amap"]) == {55.0}


def test_amap_ct_by_hand(cohort, other):
    """The scores are those of LASSO, logistic regression and logistic regression written out."""
    X, y = cohort
    model = AmapCtModel(random_state=4).fit(X, y)
    new, _ = other
    z, z_new = (X - X.mean()) / X.std(ddof=0), (new - X.mean()) / X.std(ddof=0)
    images = [name for name in X if name != "amap"]
    lasso = tight_lasso(z[images], y, folds=3, shortest=1e-2)
    kept = [name for name, weight in zip(images, lasso.coef_, strict=True) if weight]
    first = LogisticRegression(tol=1e-8, max_iter=1000).fit(z[kept], y)
    logit, logit_new = first.decision_function(z[kept]), first.decision_function(z_new[kept])
    image, image_new = ((value - logit.mean()) / logit.std() for value in (logit, logit_new))
    second = LogisticRegression(tol=1e-8, max_iter=1000).fit(np.column_stack([image, z["amap"]]), y)
    assert list(model.image_score_.names) == kept
    found = model.scores(new)
    np.testing.assert_allclose(found["ct_image"], image_new, rtol=1e-5, atol=1e-6)
    expected = second.predict_proba(np.column_stack([image_new, z_new["amap"]]))[:, 1]
    np.testing.assert_allclose(found["amap_ct"], expected, rtol=1e-4, atol=1e-7)


def test_amap_ct_image_score_is_standardised(amap_ct, cohort):
    """In the development cohort the CT image score has mean 0 and SD 1."""
    image = amap_ct.scores(cohort[0])["ct_image"]
    assert image.mean() == pytest.approx(0, abs=1e-10)
    assert image.std(ddof=0) == pytest.approx(1, abs=1e-10)


def test_amap_ct_formula_gives_the_score(amap_ct, cohort):
    """The printed formula, worked out by hand on standardised aMAP, is the aMAP-CT score."""
    X, _ = cohort
    words = amap_ct.formula(digits=12).removeprefix("aMAP-CT score = ").replace("- ", "-").replace("+ ", "").split()
    image, clinical, constant = float(words[0]), float(words[5]), float(words[-1])
    scores = amap_ct.scores(X)
    z = (X["amap"] - X["amap"].mean()) / X["amap"].std(ddof=0)
    logit = image * scores["ct_image"] + clinical * z + constant
    np.testing.assert_allclose(amap_ct.decision_function(X), logit, atol=1e-9)
    np.testing.assert_allclose(scores["amap_ct"], 1 / (1 + np.exp(-logit)), atol=1e-9)


@pytest.mark.parametrize("organs", [("liver",), ("spleen",)])
def test_amap_ct_of_one_organ(organs, cohort):
    """Only that organ's features enter."""
    model = AmapCtModel(organs=organs).fit(*cohort)
    assert model.image_score_.names
    assert all(name.split(".")[1] == organs[0] for name in model.image_score_.names)
    assert model.selection_counts_["block"].unique().tolist() == list(organs)


def test_amap_ct_of_no_organ_is_amap(cohort, tmp_path):
    """Without an organ the model is the logistic regression on aMAP, and ranks as aMAP does."""
    X, y = cohort
    model = AmapCtModel(organs=()).fit(X, y)
    z = (X[["amap"]] - X["amap"].mean()) / X["amap"].std(ddof=0)
    expected = LogisticRegression(tol=1e-8).fit(z, y)
    scores = model.scores(X[["amap"]])
    np.testing.assert_allclose(scores["amap_ct"], expected.predict_proba(z)[:, 1], atol=1e-6)
    assert (scores["ct_image"] == 0).all()
    assert model.lasso_alpha_ is None
    assert AmapCtModel.from_json(model.to_json(tmp_path / "amap.json")).scores(X).equals(scores)


def test_amap_ct_without_signal():
    """Where the LASSO keeps nothing the CT image score is 0 and the notes say so."""
    X, y = synthetic_cohort(effect=0, seed=9)
    model = AmapCtModel(lambda_rule="1se").fit(X, y)
    assert (model.scores(X)["ct_image"] == 0).all()
    assert "CT image score: no feature was selected; the score is 0 for every patient." in model.notes_


@pytest.mark.parametrize("name", ["alarm", "amap_ct"])
class TestBothModels:
    """What holds for either model."""

    def test_json_round_trip_is_exact(self, name, request, other, tmp_path):
        """A saved and loaded model gives the same scores to the last bit, and writes the same file."""
        model, X = request.getfixturevalue(name), other[0]
        file = model.to_json(tmp_path / "model.json")
        loaded = type(model).from_json(file)
        assert loaded.scores(X).equals(model.scores(X))
        assert loaded.selection_counts_.equals(model.selection_counts_)
        assert loaded.notes_ == model.notes_
        assert loaded.get_params() == model.get_params()
        assert loaded.to_json(tmp_path / "again.json").read_bytes() == file.read_bytes()

    def test_json_holds_no_patient(self, name, request, cohort, tmp_path):
        """No patient's key is in the file."""
        text = request.getfixturevalue(name).to_json(tmp_path / "model.json").read_text()
        assert not any(f'"{patient}"' in text for patient in cohort[0].index)

    def test_other_models_file_is_refused(self, name, request, tmp_path):
        """A file of the other model, and one that is no model, are refused by name."""
        other_name = {"alarm": "amap_ct", "amap_ct": "alarm"}[name]
        kind = type(request.getfixturevalue(name))
        file = request.getfixturevalue(other_name).to_json(tmp_path / "other.json")
        with pytest.raises(ModelError, match=rf"other\.json.*{other_name}"):
            kind.from_json(file)
        (tmp_path / "list.json").write_text(json.dumps([1]))
        with pytest.raises(ModelError, match=r"list\.json"):
            kind.from_json(tmp_path / "list.json")
        (tmp_path / "text.json").write_text("not json")
        with pytest.raises(ModelError, match=r"text\.json.*JSON"):
            kind.from_json(tmp_path / "text.json")
        with pytest.raises(ModelError, match="no such file"):
            kind.from_json(tmp_path / "absent.json")

    def test_clone_and_refit_give_the_same_model(self, name, request, cohort):
        """A clone keeps the settings, and fits to the same scores to the last bit."""
        model, (X, y) = request.getfixturevalue(name), cohort
        again = clone(model)
        assert again.get_params() == model.get_params()
        assert not hasattr(again, "combination_")
        assert again.fit(X, y).scores(X).equals(model.scores(X))

    def test_probabilities(self, name, request, other):
        """predict_proba holds both classes, in agreement with scores and predict."""
        model, X = request.getfixturevalue(name), other[0]
        p = model.predict_proba(X)
        np.testing.assert_allclose(p.sum(axis=1), 1)
        assert p[:, 1].tolist() == model.scores(X)[name].tolist()
        assert model.predict(X).tolist() == (p[:, 1] >= 0.5).astype(int).tolist()

    def test_a_patients_score_is_its_own(self, name, request, other):
        """A patient's score does not depend on who else is in the table, nor on the order of columns."""
        model, X = request.getfixturevalue(name), other[0]
        alone = model.scores(X[X.columns[::-1]].iloc[[7]])
        assert alone.equals(model.scores(X).iloc[[7]])

    def test_absent_column_is_named(self, name, request, other):
        """A column that the model needs and the table lacks is named."""
        model, X = request.getfixturevalue(name), other[0]
        score = model.radiomics_score_ if name == "alarm" else model.image_score_
        with pytest.raises(ModelError, match=score.names[0]):
            model.scores(X.drop(columns=score.names[0]))
        with pytest.raises(ModelError, match="amap"):
            model.scores(X.drop(columns="amap"))

    def test_missing_value_is_named(self, name, request, cohort, other):
        """NaN is refused with its column, in fit and in scores."""
        model = request.getfixturevalue(name)
        (X, y), new = cohort, other[0].copy()
        X = X.copy()
        X.iloc[3, 5] = np.nan
        with pytest.raises(DataError, match=X.columns[5]):
            clone(model).fit(X, y)
        new.loc["P0002", "amap"] = np.nan
        with pytest.raises(DataError, match="amap"):
            model.scores(new)

    def test_outcome_of_other_patients_is_refused(self, name, request, cohort):
        """An outcome in another order, with one class, or text is refused."""
        model, (X, y) = request.getfixturevalue(name), cohort
        for wrong in (y[::-1], y * 0, y.astype(str)):
            with pytest.raises(DataError, match="outcome"):
                clone(model).fit(X, wrong)

    def test_constant_columns_are_noted(self, name, request, cohort):
        """A feature that does not vary is dropped, noted, and not needed later."""
        model, (X, y) = request.getfixturevalue(name), cohort
        fitted = clone(model).fit(X.assign(**{"venous.liver.original_same": 3.0}), y)
        assert "1 constant columns dropped, the first venous.liver.original_same." in fitted.notes_
        assert np.isfinite(fitted.scores(X).to_numpy()).all()

    def test_validation_patients_leave_no_trace(self, name, request, cohort, other):
        """Scores of the development cohort are the same whether or not other patients are scored besides."""
        model = request.getfixturevalue(name)
        both = pd.concat([cohort[0], other[0].rename(index=lambda key: "V" + key[1:])])
        assert model.scores(both).iloc[:70].equals(model.scores(cohort[0]))


@pytest.mark.parametrize(
    ("model", "word"),
    [
        (AlarmModel(smote="always"), "smote"),
        (AlarmModel(p_threshold=2), "p_threshold"),
        (AlarmModel(lasso_folds=1), "folds"),
        (AmapCtModel(organs=("kidney",)), "organs"),
        (AmapCtModel(organs="liver"), "organs"),
        (AmapCtModel(lambda_rule="max"), "lambda_rule"),
    ],
)
def test_settings_are_checked_in_fit(model, word, cohort):
    """A setting out of range is refused by name."""
    with pytest.raises(ModelError, match=word):
        model.fit(*cohort)


def test_amap_ct_organ_without_features(cohort):
    """An organ whose features were not extracted is named."""
    X, y = cohort
    with pytest.raises(ModelError, match="spleen"):
        AmapCtModel().fit(X[[name for name in X if ".spleen." not in name]], y)


def test_linear_score_by_hand():
    """10 + 2 (7 - 5) / 4 - 3 (1 - 2) / 0.5 = 17, and the text says the same."""
    score = LinearScore(("a", "b"), (5.0, 2.0), (4.0, 0.5), (2.0, -3.0), 10.0)
    assert score.evaluate(pd.DataFrame({"b": [1.0], "a": [7.0]})).tolist() == [17.0]
    assert score.formula("risk", digits=1) == "risk = 10.0 + 2.0 x z(a) - 3.0 x z(b)"
    assert score.importance()["feature"].tolist() == ["b", "a"]
    assert LinearScore(**{name: tuple(v) if isinstance(v, list) else v for name, v in score.to_dict().items()}) == score


def test_linear_score_refuses_a_zero_scale():
    """A constant value cannot be standardised."""
    with pytest.raises(ModelError, match="positive scales"):
        LinearScore(("a",), (5.0,), (0.0,), (2.0,), 10.0)
