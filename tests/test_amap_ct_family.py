"""aMAP-CT's nested models, and the spleen's volume."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, lasso_path

from hccbook.errors import DataError, ModelError
from hccbook.evaluation import delong_table
from hccbook.models import AmapCtFamily, AmapCtModel
from hccbook.models.amap_ct import FAMILY, SPLEEN_VOLUME


def _patients(n: int, seed: int, *, liver: float = 1.2, spleen: float = 1.2) -> tuple[pd.DataFrame, pd.Series]:
    """Twelve features an organ, the first of which carry the outcome as strongly as said; aMAP a little; volume not."""
    rng = np.random.default_rng(seed)
    y = pd.Series((rng.random(n) < 0.35).astype(int), index=[f"P{row:04d}" for row in range(n)], name="hcc")
    columns = {"amap": rng.normal(58, 7, n) + 4 * y.to_numpy()}
    for organ, effect in (("liver", liver), ("spleen", spleen)):
        for feature in range(12):
            shift = effect * y.to_numpy() if feature == 0 else 0.0
            columns[f"venous.{organ}.feature_{feature}"] = rng.normal(size=n) + shift
    columns[SPLEEN_VOLUME] = rng.normal(400, 120, n)
    return pd.DataFrame(columns, index=y.index), y


@pytest.fixture(scope="module")
def cohort():
    return _patients(160, 1)


@pytest.fixture(scope="module")
def family(cohort):
    return AmapCtFamily(random_state=3).fit(*cohort)


def test_members_are_those_of_the_paper(family, cohort):
    """A probability a member and patient."""
    found = family.probabilities(cohort[0])
    assert list(found) == list(FAMILY)
    assert found.index.equals(cohort[0].index)
    assert ((found > 0) & (found < 1)).all().all()


@pytest.mark.parametrize("name", ["amap_liver", "amap_ct", "amap_spleen"])
def test_member_is_the_model_fitted_alone(family, cohort, name):
    """Sharing the cohort changes nothing: the member equals an AmapCtModel of its organs, to the last bit."""
    features = cohort[0].drop(columns=SPLEEN_VOLUME)
    alone = AmapCtModel(FAMILY[name].organs, random_state=3).fit(features, cohort[1])
    np.testing.assert_array_equal(family.probabilities(cohort[0])[name], alone.predict_proba(features)[:, 1])


def test_amap_alone_is_a_logistic_regression_on_amap(family, cohort):
    """Its probability is scikit-learn's of the standardised score, and ranks patients as aMAP does."""
    x, y = cohort
    z = (x["amap"] - x["amap"].mean()) / x["amap"].std(ddof=0)
    # A constant image score adds a column of nothing to the same penalty.
    expected = LogisticRegression(tol=1e-8).fit(z.to_frame(), y).predict_proba(z.to_frame())[:, 1]
    found = family.probabilities(x)["amap"]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.rank().equals(x["amap"].rank().rename("amap"))


def test_volume_enters_the_last_regression_only(family, cohort):
    """The image score is that of aMAP-CT; the weights are scikit-learn's on score, aMAP and volume."""
    x, y = cohort
    with_volume, without = family.models_["amap_ct_volume"], family.models_["amap_ct"]
    assert with_volume.image_score_ == without.image_score_
    entering = pd.DataFrame(
        {"ct_image": without.image_score_.evaluate(x), "amap": x["amap"], "volume": x[SPLEEN_VOLUME]}
    )
    z = (entering - entering.mean()) / entering.std(ddof=0)
    expected = LogisticRegression(tol=1e-8).fit(z, y)
    np.testing.assert_allclose(with_volume.coef_, expected.coef_, atol=1e-5)
    assert SPLEEN_VOLUME in with_volume.formula()


def test_weights_name_what_enters(family):
    """Terms by member; a member without organs has no image score."""
    terms = family.weights().groupby("model", sort=False)["term"].agg(list).to_dict()
    assert terms["amap"] == ["amap", "intercept"]
    assert terms["amap_volume"] == ["amap", SPLEEN_VOLUME, "intercept"]
    assert terms["amap_ct_volume"] == ["ct_image", "amap", SPLEEN_VOLUME, "intercept"]


def test_lasso_weights_end_at_the_chosen_penalty(family):
    """Features with weight at the chosen penalty are those of the image score; other organs' never enter."""
    model = family.models_["amap_liver"]
    chosen = model.lasso_weights_[model.lasso_weights_["penalty"] == model.lasso_alpha_]
    kept = chosen.loc[chosen["coefficient"] != 0, "feature"]
    assert set(kept) == set(model.image_score_.names)
    assert model.lasso_weights_["feature"].str.contains(".liver.", regex=False).all()


def test_json_gives_the_same_probabilities(family, cohort, tmp_path):
    """To the last bit, with the members and settings; the file holds no patient."""
    file = family.to_json(tmp_path / "family.json")
    read = AmapCtFamily.from_json(file)
    assert read.get_params() == {**family.get_params(), "members": tuple(FAMILY)}
    pd.testing.assert_frame_equal(read.probabilities(cohort[0]), family.probabilities(cohort[0]), check_exact=True)
    assert "P0001" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FAMILY)
def test_json_keeps_how_each_member_was_chosen(name, family, tmp_path):
    """Path, weights along it, penalty, counts and notes of every member, to the last bit; no member is refitted."""
    before = family.models_[name]
    after = AmapCtFamily.from_json(family.to_json(tmp_path / "family.json")).models_[name]
    for table in ("lasso_path_", "lasso_weights_", "selection_counts_"):
        pd.testing.assert_frame_equal(
            getattr(after, table), getattr(before, table), check_exact=True, check_dtype=len(getattr(before, table)) > 0
        )
    assert (after.lasso_alpha_, after.notes_, after.get_params()) == (
        before.lasso_alpha_, before.notes_, before.get_params(),
    )  # fmt: skip
    assert after.feature_names_in_.tolist() == before.feature_names_in_.tolist()
    assert (len(after.lasso_weights_) > 0) == bool(FAMILY[name].organs)


def test_weights_along_the_path_are_the_lasso_s(family, cohort, tmp_path):
    """What the file keeps is scikit-learn's path on the standardised features, at every penalty of it."""
    x, y = cohort
    model = AmapCtFamily.from_json(family.to_json(tmp_path / "family.json")).models_["amap_liver"]
    features = x.filter(like=".liver.")
    z = (features - features.mean()) / features.std(ddof=0)
    penalties = model.lasso_path_["alpha"].to_numpy()
    _, expected, _ = lasso_path(z.to_numpy(), y.to_numpy() - y.mean(), alphas=penalties, tol=1e-10, max_iter=100_000)
    kept = model.lasso_weights_.pivot(index="feature", columns="penalty", values="coefficient")[penalties]
    found = kept.reindex(features.columns, fill_value=0.0).to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_missing_family_file_says_what_to_do(tmp_path):
    """The file is named, and the hint is to fit the model."""
    with pytest.raises(ModelError, match=r"family\.json: model file must exist, .* Fit the model first\."):
        AmapCtFamily.from_json(tmp_path / "family.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("members"),
        lambda content: content.pop("version"),
        lambda content: content["members"].pop("amap_liver"),
        lambda content: content["members"]["amap_ct"].pop("combination"),
        lambda content: content["members"]["amap_ct"].update(image_score=[1, 2]),
        lambda content: content["parameters"].update(trees=500),
    ],
    ids=["no members", "no version", "a member less", "half a member", "another score", "unknown setting"],
)
def test_damaged_family_file_is_refused(change, family, tmp_path):
    """What lacks a part, or has one of another kind, is refused by the file's name, with the hint."""
    file = family.to_json(tmp_path / "family.json")
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")
    refused = r"family\.json: .*(whole model|required|should be).*(Fit the model again|Write it with to_json)\."
    with pytest.raises(ModelError, match=refused):
        AmapCtFamily.from_json(file)


@pytest.mark.parametrize("text", ["patient,risk\nP0001,0.3\n", '{"amap_ct": {"effect": "none"}}', "[]", ""])
def test_foreign_file_is_no_family(text, tmp_path):
    """A table, another JSON, an empty file: refused by name."""
    file = tmp_path / "family.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"family\.json: .*(must|required|should)"):
        AmapCtFamily.from_json(file)


def test_family_of_other_features_is_refused(family, cohort, tmp_path):
    """A family learnt on features that the table does not have names the first of them."""
    read = AmapCtFamily.from_json(family.to_json(tmp_path / "family.json"))
    with pytest.raises(ModelError, match="feature_0"):
        read.probabilities(cohort[0].rename(columns=lambda name: name.replace("venous.", "arterial.")))


def test_file_of_one_model_is_no_family(family, tmp_path):
    """A model file is refused by name."""
    file = family.models_["amap_ct"].to_json(tmp_path / "model.json")
    with pytest.raises(ModelError, match="amap_ct_family"):
        AmapCtFamily.from_json(file)


def test_old_model_files_are_read(family, cohort, tmp_path):
    """A file written before covariates existed is a model without any."""
    file = family.models_["amap_ct"].to_json(tmp_path / "model.json")
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"covariates": [],\n', ""), encoding="utf-8")
    assert '"covariates"' not in file.read_text(encoding="utf-8")
    read = AmapCtModel.from_json(file)
    np.testing.assert_array_equal(
        read.predict_proba(cohort[0])[:, 1], family.models_["amap_ct"].predict_proba(cohort[0])[:, 1]
    )


def test_unseen_patients_change_nothing(family, cohort):
    """A patient's probability is the same alone as among others: nothing is learnt at prediction."""
    one = family.probabilities(cohort[0].iloc[[7]])
    pd.testing.assert_frame_equal(one, family.probabilities(cohort[0]).iloc[[7]], check_exact=True)


def test_members_without_the_volume_need_none(cohort):
    """The column may be absent where no member takes it; where one does, its name is in the message."""
    features = cohort[0].drop(columns=SPLEEN_VOLUME)
    assert list(AmapCtFamily(("amap", "amap_liver")).fit(features, cohort[1]).models_) == ["amap", "amap_liver"]
    with pytest.raises(ModelError, match=SPLEEN_VOLUME):
        AmapCtFamily(("amap", "amap_volume")).fit(features, cohort[1])


@pytest.mark.parametrize("members", [("amap", "alarm"), ("amap", "amap"), (), "amap"])
def test_unknown_members_are_refused(members, cohort):
    """The message lists the known ones."""
    with pytest.raises(ModelError, match="amap_ct_volume"):
        AmapCtFamily(members).fit(*cohort)


def test_missing_volume_is_refused(cohort):
    """The column is named; nothing is filled in."""
    x = cohort[0].copy()
    x.loc["P0003", SPLEEN_VOLUME] = np.nan
    with pytest.raises(DataError, match=SPLEEN_VOLUME):
        AmapCtFamily().fit(x, cohort[1])


def test_family_can_be_cloned(family):
    """Settings survive, what was learnt does not."""
    copy = clone(family)
    assert copy.get_params() == family.get_params()
    assert not hasattr(copy, "models_")


def test_spleen_helps_where_it_carries_a_risk_and_only_there():
    """With a planted spleen the model with it beats the one without in new patients; without, they are alike."""
    tests = {}
    for spleen in (1.2, 0.0):
        family = AmapCtFamily(("amap_liver", "amap_ct")).fit(*_patients(200, 11, liver=0.8, spleen=spleen))
        x, y = _patients(600, 12, liver=0.8, spleen=spleen)
        (tests[spleen],) = delong_table(y, family.probabilities(x), "test", "amap_ct").to_dict("records")
    assert tests[1.2]["difference"] > 0.03
    assert tests[1.2]["p"] < 0.001
    assert abs(tests[0.0]["difference"]) < 0.03
