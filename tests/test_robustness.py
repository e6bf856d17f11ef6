"""Features and models under other masks: the values of a full extraction, and development patients alone."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from hccbook.errors import DataError, ModelError, SettingsError
from hccbook.evaluation.agreement import icc_table
from hccbook.features.radiomics import ExtractionSettings, extract_features
from hccbook.features.selection import unreliable_features
from hccbook.images import from_array, read_image, read_label_map, to_array, write_image
from hccbook.models import AlarmModel, AmapCtFamily, AmapCtModel
from hccbook.models.linear_score import LinearScore
from hccbook.pipeline import files, robustness
from hccbook.pipeline.cohort import make_cohort
from hccbook.pipeline.features import extract_deep, extract_radiomics
from hccbook.pipeline.preprocessing import preprocess_cohort
from hccbook.run import Case, RunPaths
from hccbook.segmentation.perturbation import Perturbation, perturb
from hccbook.settings import (
    PHASES,
    CohortSettings,
    FeatureSettings,
    PreprocessingSettings,
)

PAPERS = ("alarm", "amap_ct")
SIZES = {
    **{"alarm_discovery": 5, "alarm_discovery_hcc": 2, "alarm_internal": 1, "alarm_internal_hcc": 0},
    **{"alarm_external": 2, "alarm_external_hcc": 1, "amap_ct_training": 5, "amap_ct_training_hcc": 2},
    **{"amap_ct_validation": 1, "amap_ct_validation_hcc": 0, "amap_ct_test": 2, "amap_ct_test_hcc": 1},
}
COHORT = CohortSettings(acquisition_spacing_mm=10.0, dicom_patients=0, segmentation_patients=0, **SIZES)
FEATURES = FeatureSettings(
    crop_voxels=16,
    fine_tune_epochs=1,
    fine_tune_shuffles=0,
    alarm_filters="wavelet,square",
    amap_ct_filters="square",
    perturbation_patients=4,
    perturbations="given,erosion:5,dilation:5",
)
OTHERS = ["given", "erosion:5", "dilation:5"]
SAME = "P0001"
"""Patient whose masks are those given; everybody else's differ from them."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """Both papers up to stage 04, with masks that differ from those given."""
    made = RunPaths(tmp_path_factory.mktemp("masks") / "run")
    for paper in PAPERS:
        make_cohort(made, paper, COHORT, PHASES, 1)
        preprocess_cohort(made, paper, PreprocessingSettings(spacing_mm=10.0), PHASES, 1)
        patients = files.preprocessed_patients(made, paper)
        for patient, case in files.cases(made, paper, PHASES, patients).items():
            for phase in PHASES:
                used = read_label_map(case.reference_labels(phase))
                if patient != SAME:
                    (used,) = perturb(used, [Perturbation("contour", 6)], seed=5)
                write_image(used, case.labels(phase))
        files.save_table(pd.DataFrame({"patient": patients}), made.stage("segmentation") / f"{paper}.csv")
        extract_radiomics(made, paper, FEATURES, PHASES, 1)
        extract_deep(made, paper, FEATURES, PHASES)
    return made


def same(columns: list[str], table: pd.DataFrame) -> LinearScore:
    """Mean of the columns' z-scores."""
    values = table[columns]
    weights = np.full(len(columns), 1 / len(columns))
    return LinearScore.of(columns, values.mean(), values.std(ddof=0), weights, 0.0)


def alarm_model(run: RunPaths) -> AlarmModel:
    """Model of three radiomics features and one deep feature, without a fit."""
    _, table = files.model_table(run, "alarm")
    model = AlarmModel()
    chosen = ["original_shape_VoxelVolume", "wavelet-LLH_glcm_Imc1", "square_firstorder_Mean"]
    names = [f"{phase}.liver.{name}" for phase, name in zip(PHASES, chosen, strict=True)]
    model.radiomics_score_ = same(names, table)
    model.deep_score_ = same(["venous.liver.deep_003"], table)
    model.combination_ = LinearScore.of(("amap", "radiomics", "deep"), (59, 0, 0), (7, 1, 1), (0.5, 1.5, 1), -1)
    model.feature_names_in_ = table.columns.to_numpy(dtype=object)
    model.selection_counts_ = pd.DataFrame({"block": [], "step": [], "features": []})
    model.lasso_paths_, model.lasso_alphas_, model.notes_ = {}, {}, []
    return model


@pytest.fixture(scope="module")
def modelled(run: RunPaths) -> RunPaths:
    """The run with a model of either paper."""
    alarm_model(run).to_json(run.stage("alarm") / "model.json")
    clinical, table = files.model_table(run, "amap_ct")
    learnt = clinical["role"] == "development"
    columns = [name for name in table if "glszm" in name or ".deep_00" in name or name == "amap"]
    fitted = AmapCtModel(lasso_folds=2).fit(table.loc[learnt, columns], clinical.loc[learnt, "hcc"])
    names = ["venous.spleen.original_glszm_ZoneEntropy", "arterial.liver.deep_004", "delayed.spleen.deep_001"]
    fitted.image_score_ = fitted.image_logistic_ = same(names, table)
    fitted.combination_ = LinearScore.of(("ct_image", "amap"), (0.0, 59.0), (1.0, 7.0), (1.5, 0.5), -1.0)
    fitted.to_json(run.stage("amap_ct") / "model.json")
    return run


def by_perturbation(
    run: RunPaths, paper: str, patients: list[str], columns: list[str], settings: FeatureSettings = FEATURES, workers=1
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    return robustness.features_by_perturbation(run, paper, patients, columns, settings, workers)


# --- what is extracted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [
        ["wavelet-LLH_glcm_Idm", "wavelet-HHH_firstorder_Mean", "original_ngtdm_Busyness"],
        ["original_shape_Sphericity"],
        ["original_shape_MeshVolume", "square_glrlm_RunEntropy"],
        ["log-sigma-4-0-mm-3D_gldm_DependenceEntropy", "wavelet2-LLL_glszm_ZoneEntropy"],
    ],
)
def test_restricted_extraction_gives_the_same_values(wanted):
    """To the last bit what the full extraction gives, with far fewer features taken."""
    random = np.random.default_rng(6)
    image = sitk.GetImageFromArray(random.normal(60, 40, (18, 20, 22)).astype(np.float32))
    image.SetSpacing((2.0, 2.0, 3.0))
    organ = np.zeros((18, 20, 22), np.uint8)
    organ[4:14, 4:15, 5:17] = 1
    mask = from_array(organ, image)
    settings = ExtractionSettings(
        image_types=("original", "wavelet", "square", "log"), log_sigma=(2.0, 4.0), wavelet_levels=2
    )
    few = robustness.restricted(settings, wanted)
    assert set(wanted) <= set(few.feature_names)
    assert len(few.feature_names) < len(settings.feature_names) / 20
    whole = extract_features(image, mask, settings)
    assert extract_features(image, mask, few)[wanted].tolist() == whole[wanted].tolist()


def test_feature_of_no_such_extraction_is_refused():
    """A model of another run's features."""
    with pytest.raises(DataError, match="must be some of those that the settings give, but found exponential_glcm_Id"):
        robustness.restricted(ExtractionSettings(), ["exponential_glcm_Id"])
    with pytest.raises(DataError, match="but found none"):
        robustness.restricted(ExtractionSettings(), [])


@pytest.mark.parametrize("paper", PAPERS)
def test_same_mask_gives_the_features_of_stage_04(run, paper):
    """Where the masks given are those used, all radiomics and deep features are the stored ones, bit by bit."""
    _, table = files.model_table(run, paper)
    columns = [name for name in table if name != "amap"]
    tables, failures = by_perturbation(run, paper, [SAME, "P0002"], columns)
    assert failures.empty
    assert list(tables) == ["used", *OTHERS]
    assert all(list(own.columns) == columns and list(own.index) == [SAME, "P0002"] for own in tables.values())
    pd.testing.assert_series_equal(tables["given"].loc[SAME], table.loc[SAME, columns], check_exact=True)
    pd.testing.assert_frame_equal(tables["used"], table.loc[[SAME, "P0002"], columns], check_exact=True)
    assert (tables["given"].loc["P0002"] != tables["used"].loc["P0002"]).mean() > 0.5
    assert (tables["erosion:5"].loc[SAME] != tables["used"].loc[SAME]).mean() > 0.5


def test_few_features_are_those_of_all(run):
    """Asked alone, a radiomics and a deep feature under a dilated mask have the values that they have among all."""
    for paper in PAPERS:
        _, table = files.model_table(run, paper)
        columns = [name for name in table if name != "amap"]
        few = ["delayed.liver.square_glcm_Idm", "venous.liver.deep_007", "arterial.liver.original_shape_Flatness"]
        all_of_them, _ = by_perturbation(run, paper, ["P0002"], columns)
        some, _ = by_perturbation(run, paper, ["P0002"], few)
        for mask in ("used", *OTHERS):
            pd.testing.assert_frame_equal(some[mask], all_of_them[mask][few], check_exact=True)


def test_volume_under_each_mask_is_that_of_its_voxels(run):
    """VoxelVolume is the count of the changed label map's voxels, made here, times 1 mL."""
    name = "venous.liver.original_shape_VoxelVolume"
    tables, _ = by_perturbation(run, "alarm", ["P0003"], [name])
    labels = read_label_map(Case(run, "alarm", "P0003", PHASES).labels("venous"))
    for mask in ("erosion:5", "dilation:5"):
        (changed,) = perturb(labels, [Perturbation.parse(mask)])
        assert tables[mask].loc["P0003", name] == 1000 * (to_array(changed) == 1).sum()
    given = read_label_map(Case(run, "alarm", "P0003", PHASES).reference_labels("venous"))
    assert tables["given"].loc["P0003", name] == 1000 * (to_array(given) == 1).sum()


def test_number_of_workers_and_the_store_change_nothing(run, tmp_path, monkeypatch):
    """Two processes give what one gives; a second call changes no mask again."""
    patients, names = ["P0001", "P0002", "P0004"], ["venous.liver.original_glcm_Idm"]
    contour = FEATURES.model_copy(update={"perturbations": "contour:4"})
    alone, _ = by_perturbation(run, "alarm", patients, names, contour, 1)
    for folder in ("perturbed_masks", "radiomics"):
        shutil.move(run.store.root / folder, tmp_path / folder)
    together, _ = by_perturbation(run, "alarm", patients, names, contour, 2)
    pd.testing.assert_frame_equal(alone["contour:4"], together["contour:4"], check_exact=True)

    @functools.wraps(perturb)  # the step of the store's key stays the same
    def refuse(*_):
        raise AssertionError("a mask was changed again")

    monkeypatch.setattr(robustness, "perturb", refuse)
    again, failures = by_perturbation(run, "alarm", patients, names, contour, 1)
    assert failures.empty
    pd.testing.assert_frame_equal(alone["contour:4"], again["contour:4"], check_exact=True)


def test_patient_whose_organ_vanishes_is_left_out_with_the_reason(run):
    """The others go on."""
    file = Case(run, "alarm", "P0002", PHASES).labels("venous")
    kept = file.read_bytes()
    labels = read_label_map(file)
    tiny = np.zeros_like(to_array(labels))
    tiny[10:13, 10:13, 10:13] = 1
    try:
        write_image(from_array(tiny, labels), file)
        tables, failures = by_perturbation(
            run,
            "alarm",
            ["P0002", "P0003"],
            ["venous.liver.original_firstorder_Mean"],
            FEATURES.model_copy(update={"perturbations": "erosion:18"}),
        )
    finally:
        file.write_bytes(kept)
    assert list(tables["used"].index) == ["P0003"]
    assert failures["patient"].tolist() == ["P0002"]
    assert "P0002, venous, liver: must keep at least one voxel under erosion:18" in failures["reason"].iloc[0]


def test_masks_given_for_some_only_are_left_out(run):
    """Without the manifest's mask of one patient there is nothing to compare in the whole table."""
    file = Case(run, "alarm", "P0003", PHASES).reference_labels("venous")
    hidden = file.with_suffix(".hidden")
    file.rename(hidden)
    try:
        tables, _ = by_perturbation(run, "alarm", ["P0002", "P0003"], ["venous.liver.original_firstorder_Mean"])
    finally:
        hidden.rename(file)
    assert list(tables) == ["used", "erosion:5", "dilation:5"]


def test_masks_given_and_used_throughout_are_left_out(run):
    """One mask compared with itself says nothing."""
    tables, _ = by_perturbation(run, "alarm", [SAME], ["venous.liver.original_firstorder_Mean"])
    assert list(tables) == ["used", "erosion:5", "dilation:5"]


def test_setting_lists_masks():
    """Changes and the manifest's masks, each once; anything else is refused."""
    assert robustness.listed_perturbations("given, erosion:2,given") == ("given", Perturbation("erosion", 2))
    with pytest.raises(SettingsError, match="mask perturbation"):
        robustness.listed_perturbations("given,eroded:2")


# --- agreement --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def agreement(run: RunPaths) -> pd.DataFrame:
    """Intraclass correlations of ALARM's features."""
    return robustness.segmentation_agreement(run, "alarm", FEATURES, 1)


def test_agreement_of_a_mean_is_that_of_means_taken_here(run, agreement):
    """The liver's mean HU within the window, under masks made here, of the drawn development patients."""
    clinical, _ = files.model_table(run, "alarm")
    development = clinical.index[clinical["role"] == "development"]
    drawn = np.random.default_rng(FEATURES.seed).choice(len(development), 4, replace=False)
    ratings = []
    for patient in sorted(development[drawn]):
        case = Case(run, "alarm", patient, PHASES)
        image = to_array(read_image(case.image("venous")))
        used = read_label_map(case.labels("venous"))
        given = read_label_map(case.reference_labels("venous"))
        changed = perturb(used, [Perturbation("erosion", 5), Perturbation("dilation", 5)])
        hu = np.clip(image, -60, 140)
        ratings.append([hu[to_array(labels) == 1].mean() for labels in (used, given, *changed)])
    expected = icc_table(np.array(ratings)[:, :, None]).iloc[0]
    row = agreement.set_index("feature").loc["venous.liver.original_firstorder_Mean"]
    assert [row["icc"], row["lower"], row["upper"]] == pytest.approx(
        [expected["icc"], expected["lower"], expected["upper"]], abs=1e-5
    )
    pair = icc_table(np.array(ratings)[:, [0, 2], None]).iloc[0]
    assert row["erosion:5"] == pytest.approx(pair["icc"], abs=1e-5)
    assert (row["patients"], row["masks"], row["family"]) == (4, 4, "firstorder")


def test_agreement_has_every_feature_and_is_kept(run, agreement):
    """Deep ones too, in the order of the features; the file holds the table."""
    _, table = files.model_table(run, "alarm")
    assert agreement["feature"].tolist() == [name for name in table if name != "amap"]
    assert list(agreement.columns) == [*robustness.ICC_COLUMNS, *OTHERS]
    assert (agreement["family"] == "deep").sum() == 300
    kept = files.read_table(run, "features", "alarm_icc.csv")
    pd.testing.assert_frame_equal(kept.fillna({"note": ""}), agreement, check_dtype=False)


def test_unseen_patients_do_not_enter(run, agreement, tmp_path):
    """With every label map of validation patients broken, the table is the same."""
    clinical, _ = files.model_table(run, "alarm")
    unseen = files.cases(run, "alarm", PHASES, clinical.index[clinical["role"] != "development"])
    broken = [
        file(phase)
        for case in unseen.values()
        for phase in PHASES
        for file in (case.labels, case.reference_labels, case.image)
    ]
    kept = {file: file.read_bytes() for file in broken}
    shutil.move(run.store.root / "perturbed_masks", tmp_path / "perturbed_masks")
    try:
        for file in broken:
            file.unlink()
            file.write_bytes(b"nothing")
        again = robustness.segmentation_agreement(run, "alarm", FEATURES, 1)
    finally:
        for file, content in kept.items():
            file.write_bytes(content)
    pd.testing.assert_frame_equal(again, agreement)


def test_no_perturbation_patients_leave_an_empty_table(run, tmp_path):
    """Stage 04 always writes the file; without patients it has no row."""
    other = RunPaths(tmp_path / "run")
    table = robustness.segmentation_agreement(
        other, "alarm", FEATURES.model_copy(update={"perturbation_patients": 0}), 1
    )
    assert table.empty
    assert files.read_table(other, "features", "alarm_icc.csv").columns.tolist() == list(robustness.ICC_COLUMNS)


def test_too_few_patients_left_are_refused_with_the_first_reason(run):
    """An erosion that no spleen survives."""
    with pytest.raises(DataError, match=r"at least 3 development patients under every mask, but found 0; P0"):
        robustness.segmentation_agreement(run, "alarm", FEATURES.model_copy(update={"perturbations": "erosion:90"}), 1)


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_perturbation_patients_are_refused(count):
    """There is no intraclass correlation of so few."""
    with pytest.raises(ValueError, match="must be 0, or 3 or more"):
        FeatureSettings(perturbation_patients=count)


# --- the filter -------------------------------------------------------------------------------------------------------


def test_features_below_the_bound_and_constant_ones_are_left_out():
    """0.75 itself stays, a missing value does not; 0 lets all pass."""
    icc = pd.Series({"a": 0.75, "b": 0.7499, "c": np.nan, "d": 0.99, "e": -0.3})
    assert unreliable_features(["e", "d", "c", "b", "a"], icc, 0.75) == ("e", "c", "b")
    assert unreliable_features(["a", "x"], icc, 0.0) == ()


def test_filter_without_correlations_is_refused(run, tmp_path):
    """No table, a table without rows, or a feature that it lacks: each with the hint."""
    with pytest.raises(DataError, match=r"features\.perturbation_patients"):
        robustness.features_left_out(RunPaths(tmp_path / "none"), "alarm", ["a"], 0.5)
    assert robustness.features_left_out(RunPaths(tmp_path / "none"), "alarm", ["a"], 0) == ()
    with pytest.raises(DataError, match=r"feature x and 1 more: must have an intraclass correlation"):
        unreliable_features(["x", "y"], pd.Series({"a": 0.5}), 0.5)
    with pytest.raises(ModelError, match="min_icc: must be 0 to 1"):
        unreliable_features(["a"], pd.Series({"a": 0.5}), 1.5)


def test_filter_reads_the_table_of_stage_04(run, agreement):
    """The features named are those whose kept correlation lies below."""
    _, table = files.model_table(run, "alarm")
    left = robustness.features_left_out(run, "alarm", table.columns, 0.9)
    assert set(left) == set(agreement.loc[~(agreement["icc"] >= 0.9), "feature"])
    assert 0 < len(left) < len(agreement)


def cohort(n: int = 80) -> tuple[pd.DataFrame, pd.Series]:
    """Patients in whom two features of each block and organ tell the outcome."""
    random = np.random.default_rng(12)
    y = (np.arange(n) % 2).astype(int)
    names = [f"venous.{organ}.original_glcm_f{i}" for organ in ("liver", "spleen") for i in range(6)]
    names += [f"venous.liver.deep_{i:03d}" for i in range(6)]
    X = pd.DataFrame(random.normal(size=(n, len(names))), columns=names)
    for name in ("venous.liver.original_glcm_f0", "venous.liver.original_glcm_f1", "venous.liver.deep_000"):
        X[name] += 1.5 * y
    return X.assign(amap=random.normal(58, 7, n)), pd.Series(y)


LEFT_OUT = ("venous.liver.original_glcm_f0", "venous.liver.deep_000", "venous.liver.original_glcm_f5", "not a column")


@pytest.mark.parametrize("smote", ["before_selection", "before_model", "off"])
def test_alarm_never_selects_what_is_left_out(smote, tmp_path):
    """The strongest features are gone, the model is that of a table without them, and the file keeps the setting."""
    X, y = cohort()
    plain = AlarmModel(smote=smote, lasso_folds=5).fit(X, y)
    assert set(LEFT_OUT[:2]) <= {*plain.radiomics_score_.names, *plain.deep_score_.names}
    model = AlarmModel(smote=smote, lasso_folds=5, left_out=LEFT_OUT).fit(X, y)
    assert not set(LEFT_OUT) & {*model.radiomics_score_.names, *model.deep_score_.names}
    assert "venous.liver.original_glcm_f1" in model.radiomics_score_.names
    without = AlarmModel(smote=smote, lasso_folds=5).fit(X.drop(columns=list(LEFT_OUT[:3])), y)
    assert model.predict_proba(X)[:, 1] == pytest.approx(without.predict_proba(X)[:, 1], abs=1e-12)
    counts = model.selection_counts_.set_index(["block", "step"])["features"]
    assert counts["radiomics"][["extracted", "allowed"]].tolist() == [12, 10]
    assert counts["deep"][["extracted", "allowed"]].tolist() == [6, 5]
    assert "3 features left out before any step." in model.notes_
    read = AlarmModel.from_json(model.to_json(tmp_path / "model.json"))
    assert read.get_params() == model.get_params()
    assert (read.predict_proba(X) == model.predict_proba(X)).all()


def test_amap_ct_and_its_family_never_select_what_is_left_out(tmp_path):
    """As for ALARM; members of the family share it."""
    X, y = cohort()
    model = AmapCtModel(left_out=LEFT_OUT).fit(X, y)
    assert set(LEFT_OUT[:2]) <= set(AmapCtModel().fit(X, y).image_score_.names)
    assert not set(LEFT_OUT) & set(model.image_score_.names)
    without = AmapCtModel().fit(X.drop(columns=list(LEFT_OUT[:3])), y)
    assert model.image_score_ == without.image_score_
    counts = model.selection_counts_.set_index(["block", "step"])["features"]
    assert counts["liver"][["extracted", "allowed"]].tolist() == [12, 9]
    assert counts["spleen"][["extracted", "allowed"]].tolist() == [6, 6]
    family = AmapCtFamily(("amap", "amap_ct"), left_out=LEFT_OUT).fit(X, y)
    assert family.models_["amap_ct"].image_score_ == model.image_score_
    read = AmapCtFamily.from_json(family.to_json(tmp_path / "family.json"))
    assert read.get_params() == family.get_params()
    assert AmapCtModel.from_json(model.to_json(tmp_path / "one.json")).get_params() == model.get_params()


def test_without_anything_left_out_there_is_no_such_step():
    """The default model has the steps of the paper."""
    X, y = cohort()
    assert "allowed" not in set(AlarmModel(lasso_folds=5).fit(X, y).selection_counts_["step"])
    assert "allowed" not in set(AmapCtModel().fit(X, y).selection_counts_["step"])


def test_text_in_place_of_names_is_refused():
    """One name as text would be taken letter by letter."""
    X, y = cohort()
    with pytest.raises(ModelError, match="left_out: must be names of features"):
        AmapCtModel(left_out="venous.liver.deep_000").fit(X, y)


# --- models -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paper", PAPERS)
def test_scores_are_the_models_own_on_features_under_each_mask(modelled, paper):
    """Unseen patients alone; under each mask the fitted model's probability of the features taken there."""
    scores = robustness.scores_by_segmentation(modelled, paper, 0, 1, 1)
    clinical, table = files.model_table(modelled, paper)
    unseen = clinical.index[clinical["role"] != "development"]
    assert list(scores.index) == list(unseen)
    assert list(scores.columns) == ["hcc", "used", *OTHERS]
    assert (scores["hcc"] == clinical.loc[unseen, "hcc"]).all()
    model = {"alarm": AlarmModel, "amap_ct": AmapCtModel}[paper].from_json(modelled.stage(paper) / "model.json")
    assert (scores["used"] == model.scores(table.loc[unseen])[paper]).all()
    columns = [name for name in table if name != "amap"]
    every, _ = by_perturbation(modelled, paper, list(unseen), columns)
    for mask in OTHERS:
        expected = model.scores(every[mask].assign(amap=table.loc[unseen, "amap"]))[paper]
        assert (scores[mask] == expected).all(), mask
        assert (scores[mask] != scores["used"]).all(), mask
    left_out = modelled.stage("segmentation_robustness") / f"{paper}_left_out.csv"
    assert pd.read_csv(left_out).empty


def test_model_without_image_features_scores_as_before(modelled, tmp_path):
    """aMAP alone: nothing is extracted, and no mask moves it."""
    kept = Path(modelled.stage("amap_ct") / "model.json").read_bytes()
    clinical, table = files.model_table(modelled, "amap_ct")
    learnt = clinical["role"] == "development"
    try:
        AmapCtModel(()).fit(table.loc[learnt, ["amap"]], clinical.loc[learnt, "hcc"]).to_json(
            modelled.stage("amap_ct") / "model.json"
        )
        scores = robustness.scores_by_segmentation(modelled, "amap_ct", 0, 1, 1)
    finally:
        (modelled.stage("amap_ct") / "model.json").write_bytes(kept)
    assert all((scores[mask] == scores["used"]).all() for mask in OTHERS)


def test_drawn_patients_keep_the_share_of_hcc():
    """20 of 100 with HCC; of 30 drawn 6 have it, in the order of the table; few keep two of each; 0 takes all."""
    outcome = pd.Series((np.arange(100) % 5 == 0).astype(int), index=[f"P{number:04d}" for number in range(100)])
    drawn = robustness._drawn(outcome, 30, 7)
    assert len(drawn) == len(set(drawn)) == 30
    assert drawn == sorted(drawn)
    assert outcome[drawn].sum() == 6
    assert drawn == robustness._drawn(outcome, 30, 7) != robustness._drawn(outcome, 30, 8)
    assert outcome[robustness._drawn(outcome, 4, 7)].tolist().count(1) == 2
    assert robustness._drawn(outcome, 0, 7) == robustness._drawn(outcome, 500, 7) == list(outcome.index)
