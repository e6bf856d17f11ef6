"""The synthetic cohort: printed distributions, planted truth, anatomy, reproducibility."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy import stats

from hccbook import phantom
from hccbook.errors import DataError, SettingsError
from hccbook.phantom.distributions import (
    QUANTITIES,
    QuantileFunction,
    bclc_counts,
    cause_counts,
    latent_correlation,
    male_share,
    mean_lead_time,
    quartiles,
)
from hccbook.phantom.outcome import bclc_stage
from hccbook.phantom.texture import smooth_field
from hccbook.provenance import code_of
from hccbook.scores import amap
from hccbook.settings import PHASES, CohortSettings
from hccbook.store import Store

SIZES = {
    "alarm_discovery": 3,
    "alarm_discovery_hcc": 1,
    "alarm_internal": 1,
    "alarm_internal_hcc": 0,
    "alarm_external": 2,
    "alarm_external_hcc": 1,
}
SMALL = CohortSettings(**SIZES, acquisition_spacing_mm=8.0, dicom_patients=1)
PRINTED_ALARM = {
    "alarm_discovery": 924,
    "alarm_discovery_hcc": 45,
    "alarm_internal": 231,
    "alarm_internal_hcc": 13,
    "alarm_external": 703,
    "alarm_external_hcc": 31,
}
PRINTED_AMAP_CT = {
    "amap_ct_training": 809,
    "amap_ct_training_hcc": 24,
    "amap_ct_validation": 348,
    "amap_ct_validation_hcc": 11,
    "amap_ct_test": 1254,
    "amap_ct_test_hcc": 83,
}


def patient(**changes) -> dict:
    """A row as the renderer takes it."""
    row = {"image_seed": 41, "centre": "C01", "liver_latent": 0.0, "spleen_latent": 0.0, "spleen_size": 0.0}
    return row | changes


def arrays(images: dict) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Voxels and labels by phase, (z, y, x)."""
    return {phase: tuple(sitk.GetArrayFromImage(image) for image in pair) for phase, pair in images.items()}


def same_voxels(a: dict, b: dict) -> bool:
    """Whether two renderings agree in every voxel and label."""
    a, b = arrays(a), arrays(b)
    return all(np.array_equal(x, y) for phase in PHASES for x, y in zip(a[phase], b[phase], strict=True))


@pytest.fixture(scope="module")
def large() -> pd.DataFrame:
    """ALARM's cohorts, ten times the printed non-HCC and a thousand HCC each."""
    sizes = {name: 2000 for name in PRINTED_ALARM if not name.endswith("hcc")}
    sizes |= {name: 1000 for name in PRINTED_ALARM if name.endswith("hcc")}
    return phantom.simulate_clinical("alarm", CohortSettings(**sizes))


@pytest.fixture(scope="module")
def rendered() -> dict:
    """One patient at 5 mm."""
    return phantom.render_patient(patient(), CohortSettings())


# --- clinical values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paper", "cohort", "hcc", "name", "printed"),
    [
        ("alarm", "discovery", True, "bilirubin", (14.1, 20.7, 34.9)),
        ("alarm", "external_validation", False, "platelets", (75.0, 104.0, 142.0)),
        ("alarm", "external_validation", True, "stiffness_kpa", (11.2, 13.2, 20.0)),
        ("amap_ct", "validation", False, "months", (15.8, 33.8, 37.3)),
        ("amap_ct", "test", True, "bilirubin", (11.1, 15.5, 22.4)),
        ("amap_ct", "training", False, "afp", (2.1, 3.22, 5.81)),
    ],
)
def test_quartiles_are_read_from_table_1(paper, cohort, hcc, name, printed):
    """Cells copied by hand from the papers' Tables 1; aMAP-CT prints one column for both outcomes."""
    assert quartiles(paper, cohort, hcc, name) == printed


def test_quartiles_that_are_not_as_printed():
    """ALARM prints urea nitrogen's cell for glucose once, and aMAP-CT prints no stiffness: ALARM's of all stands in."""
    assert quartiles("alarm", "internal_validation", False, "bun") == (3.8, 4.5, 5.4)
    assert quartiles("alarm", "internal_validation", False, "glucose") == (4.9, 5.3, 5.8)
    assert quartiles("amap_ct", "test", True, "stiffness_kpa") == (9.4, 13.7, 21.1)


def test_shares_are_those_of_the_printed_counts():
    """Men, causes, stages and lead times copied by hand from ALARM's Table 1 and text, aMAP-CT's Tables 1 and 3."""
    assert male_share("alarm", "discovery", False) == 742 / 879
    assert male_share("alarm", "external_validation", True) == 24 / 31
    assert male_share("alarm", "internal_validation", True) == 1.0  # printed as 0
    assert male_share("amap_ct", "validation", True) == 10 / 11
    assert male_share("amap_ct", "validation", False) == (260 - 10) / (348 - 11)
    causes = {"HBV": 541, "HCV": 26, "NASH": 8, "alcohol": 26, "other": 71}
    assert list(cause_counts("alarm", "external_validation", False).items()) == list(causes.items())
    assert cause_counts("amap_ct", "test", True) == {"HBV": 1206, "other": 48}
    assert list(bclc_counts("discovery").items()) == [("0", 13), ("A", 14), ("B", 3), ("C", 11), ("D", 4)]
    assert [mean_lead_time(stage) for stage in "0ABCD"] == [6.0, 6.8, 7.2, 11.0, 9.7]


def test_renderer_knows_nothing_of_print():
    """What keys the store for a rendered patient is not the papers' numbers, so that a corrected cell leaves it."""
    assert not [name for name in code_of("hccbook.phantom.rendering").modules if name.endswith("published")]


def test_counts_are_those_asked_for():
    """Patients and HCC per cohort are exactly the settings'."""
    table = phantom.simulate_clinical("alarm", CohortSettings(**PRINTED_ALARM))
    counts = table.groupby("cohort", sort=False)["hcc"].agg(["size", "sum"])
    assert counts.to_dict("index") == {
        "discovery": {"size": 924, "sum": 45},
        "internal_validation": {"size": 231, "sum": 13},
        "external_validation": {"size": 703, "sum": 31},
    }
    assert table["patient_id"].iloc[0] == "SYN-ALARM-0001"
    assert table.index[-1] == "P1858"


def test_bclc_counts_are_the_printed_ones():
    """At the printed cohort sizes the stages of ALARM's Table 1 come out exactly."""
    table = phantom.simulate_clinical("alarm", CohortSettings(**PRINTED_ALARM))
    stages = pd.crosstab(table["cohort"], table["bclc"])
    assert stages.loc["discovery", ["0", "A", "B", "C", "D"]].tolist() == [13, 14, 3, 11, 4]
    assert stages.loc["internal_validation", ["0", "A", "B", "C", "D"]].tolist() == [8, 2, 0, 1, 2]
    assert stages.loc["external_validation", ["0", "A", "B", "C", "D"]].tolist() == [11, 4, 11, 4, 1]
    assert (table.loc[table["hcc"] == 0, "bclc"] == "").all()


@pytest.mark.parametrize(
    ("cohort", "hcc", "name", "printed"),
    [
        ("discovery", 0, "age", (42.0, 48.3, 55.2)),
        ("discovery", 1, "age", (52.3, 57.8, 62.9)),
        ("discovery", 0, "platelets", (81.0, 122.0, 163.5)),
        ("discovery", 1, "bilirubin", (14.1, 20.7, 34.9)),
        ("external_validation", 0, "albumin", (37.0, 42.2, 45.4)),
        ("external_validation", 1, "afp", (4.2, 8.0, 15.9)),
        ("discovery", 1, "stiffness_kpa", (14.7, 21.8, 38.5)),
        ("external_validation", 0, "creatinine", (54.0, 65.0, 76.0)),
    ],
)
def test_quartiles_follow_table_1(large, cohort, hcc, name, printed):
    """Quartiles of 1,000 patients lie within 8 %, about three standard errors, of those printed (ALARM, Table 1)."""
    values = large.loc[(large["cohort"] == cohort) & (large["hcc"] == hcc), name]
    np.testing.assert_allclose(values.quantile([0.25, 0.5, 0.75]), printed, rtol=0.08)


@pytest.mark.parametrize(
    ("cohort", "hcc", "printed"),
    [
        ("discovery", 0, (52.8, 57.4, 62.0)),
        ("discovery", 1, (59.5, 64.2, 68.3)),
        ("external_validation", 0, (55.0, 59.4, 64.4)),
        ("external_validation", 1, (57.8, 64.7, 69.1)),
    ],
)
def test_amap_comes_out_as_printed(large, cohort, hcc, printed):
    """aMAP, which is not simulated but computed, has quartiles within 1.6 points of those printed."""
    group = large[(large["cohort"] == cohort) & (large["hcc"] == hcc)]
    score = amap(group["age"], group["sex"] == "male", group["bilirubin"], group["albumin"], group["platelets"])
    np.testing.assert_allclose(score.quantile([0.25, 0.5, 0.75]), printed, atol=1.6)


def test_men_with_hcc_in_internal_validation(large):
    """The printed '0 (0.0)' men is a slip: 78 in all less 41 and 24 leave all 13 (ALARM, Table 1)."""
    group = large[(large["cohort"] == "internal_validation") & (large["hcc"] == 1)]
    assert (group["sex"] == "male").all()


def test_values_stay_in_their_bounds(large):
    """No tail leaves the bounds, and values are rounded as laboratories report them."""
    for name in ("age", "bilirubin", "albumin", "platelets", "afp", "alt", "stiffness_kpa"):
        quantity = QUANTITIES[name]
        assert large[name].between(quantity.least, quantity.greatest).all()
        assert np.allclose(large[name], large[name].round(quantity.decimals))


def test_quantile_function_meets_the_quartiles():
    """At the normal quartiles the curve gives the three printed values, even where two of them touch."""
    curve = QuantileFunction((34.2, 34.5, 41.9), QUANTITIES["albumin"])
    z = stats.norm.ppf([0.25, 0.5, 0.75])
    np.testing.assert_allclose(curve(z), [34.2, 34.5, 41.9])
    values = curve(np.linspace(-6, 6, 400))
    assert (np.diff(values) > 0).all()
    assert values.min() > QUANTITIES["albumin"].least
    assert values.max() < QUANTITIES["albumin"].greatest


def test_latent_correlation_is_a_correlation_matrix():
    """Symmetric, ones on the diagonal, positive definite."""
    matrix = latent_correlation()
    assert np.array_equal(matrix, matrix.T)
    assert (np.diag(matrix) == 1).all()
    assert np.linalg.eigvalsh(matrix).min() > 0.1


def test_lead_times_lie_in_the_window(large):
    """ALARM: every follow-up is 3 to 12 months, and HCC stages have the printed mean lead times."""
    assert large["months"].between(3, 12).all()
    means = large[large["hcc"] == 1].groupby("bclc")["months"].mean()
    printed = {"0": 6.0, "A": 6.8, "B": 7.2, "C": 11.0, "D": 9.7}
    for stage, months in printed.items():
        assert means[stage] == pytest.approx(months, abs=0.35)


def test_bclc_stage_by_hand():
    """Of 13, 14, 3, 11, 4 patients the fourteenth is the first at stage A, the last at stage D."""
    assert [bclc_stage("discovery", rank, 45) for rank in (0, 12, 13, 44)] == ["0", "0", "A", "D"]


def test_amap_ct_incidence_and_follow_up():
    """aMAP-CT: the three-year incidence is near the printed 3.59 %, follow-up near 42.7 [32.9, 54.1] months."""
    table = phantom.simulate_clinical("amap_ct", CohortSettings(**PRINTED_AMAP_CT, seed=5))
    assert table.groupby("cohort")["hcc"].sum().to_dict() == {"training": 24, "validation": 11, "test": 83}
    assert table["months"].min() > 3
    survival = 1.0
    for month in np.sort(table.loc[(table["hcc"] == 1) & (table["months"] <= 36), "months"]):
        survival *= 1 - 1 / (table["months"] >= month).sum()
    assert 1 - survival == pytest.approx(0.0359, abs=0.007)
    # The overall quartiles are not those of any one cohort: they check that the cohorts' own fit together.
    np.testing.assert_allclose(table["months"].quantile([0.25, 0.5, 0.75]), [32.9, 42.7, 54.1], atol=3.0)
    assert set(table.loc[table["cohort"] == "test", "centre"]) == {"C01"}
    assert set(table.loc[table["cohort"] != "test", "centre"]) == {f"C{number:02d}" for number in range(2, 12)}


def test_small_cohort_sees_every_centre():
    """Forty external patients come from all ten external centres."""
    table = phantom.simulate_clinical("alarm", CohortSettings())
    external = table[table["cohort"] == "external_validation"]
    assert external["centre"].nunique() == 10
    assert (table.loc[table["cohort"] != "external_validation", "centre"] == "C01").all()


def test_patient_follows_from_its_number_alone():
    """More patients of a later cohort leave the earlier ones as they were."""
    few = phantom.simulate_clinical("alarm", CohortSettings(alarm_external=40))
    many = phantom.simulate_clinical("alarm", CohortSettings(alarm_external=90))
    first = len(few) - 40
    pd.testing.assert_frame_equal(few.iloc[:first], many.iloc[:first])


def test_other_seed_other_patients():
    """Another seed gives other values, another paper other images."""
    a, b = (phantom.simulate_clinical("alarm", CohortSettings(seed=seed)) for seed in (1, 2))
    c = phantom.simulate_clinical("amap_ct", CohortSettings(seed=1))
    assert not set(a["image_seed"]) & (set(b["image_seed"]) | set(c["image_seed"]))


def test_segmentation_patients_are_apart():
    """They share no image with either cohort and come from all eleven centres."""
    settings = CohortSettings()
    seeds = set(phantom.simulate_segmentation_patients(settings)["image_seed"])
    for paper in ("alarm", "amap_ct"):
        assert not seeds & set(phantom.simulate_clinical(paper, settings)["image_seed"])
    assert phantom.simulate_segmentation_patients(settings)["centre"].nunique() == 11


def test_unknown_paper_is_refused():
    """A misspelt paper names the two that exist."""
    with pytest.raises(DataError, match="alarm, amap_ct"):
        phantom.simulate_clinical("alram", CohortSettings())


def test_more_hcc_than_patients_is_refused():
    """A cohort can't have more HCC than patients; the message names the setting."""
    with pytest.raises(SettingsError, match="alarm_internal_hcc"):
        phantom.simulate_clinical("alarm", CohortSettings(alarm_internal=3, alarm_internal_hcc=4))


# --- the planted effect ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("paper", "liver", "spleen"), [("alarm", 1.8, 0.0), ("amap_ct", 0.7, 1.3)])
def test_effect_moves_the_latents_of_hcc_only(paper, liver, spleen):
    """Planted less none is the paper's effect in HCC and nothing elsewhere; all else is the same."""
    effects = CohortSettings(alarm_liver_effect=1.8, amap_ct_liver_effect=0.7, amap_ct_spleen_effect=1.3)
    planted = phantom.simulate_clinical(paper, effects)
    none = phantom.simulate_clinical(paper, CohortSettings(effect="none"))
    np.testing.assert_allclose(planted["liver_latent"] - none["liver_latent"], liver * planted["hcc"], atol=1e-12)
    np.testing.assert_allclose(planted["spleen_latent"] - none["spleen_latent"], spleen * planted["hcc"], atol=1e-12)
    rest = [name for name in planted if name not in ("liver_latent", "spleen_latent")]
    pd.testing.assert_frame_equal(planted[rest], none[rest])


def test_without_effect_nothing_of_the_image_knows_the_outcome():
    """Each latent that the renderer takes has an AUC for HCC within its chance interval."""
    sizes = dict.fromkeys(("alarm_discovery", "alarm_internal", "alarm_external"), 1500)
    halves = dict.fromkeys(("alarm_discovery_hcc", "alarm_internal_hcc", "alarm_external_hcc"), 750)
    table = phantom.simulate_clinical("alarm", CohortSettings(**sizes, **halves, effect="none"))
    hcc = table["hcc"] == 1
    # SE of the AUC under the null with 2,250 patients a group: sqrt(4501 / (12 x 2250 x 2250)) = 0.0086.
    for name in ("liver_latent", "spleen_latent", "spleen_size", "image_seed"):
        above = stats.mannwhitneyu(table.loc[hcc, name], table.loc[~hcc, name])
        assert above.statistic / 2250**2 == pytest.approx(0.5, abs=4 * 0.0086)


def test_spleen_is_larger_where_platelets_are_fewer(large):
    """Within a cohort and outcome group the spleen's size falls with the platelets."""
    group = large[(large["cohort"] == "discovery") & (large["hcc"] == 0)]
    assert stats.spearmanr(group["platelets"], group["spleen_size"])[0] == pytest.approx(-0.68, abs=0.06)


@pytest.fixture(scope="module")
def planted_truth() -> dict:
    """Truth of aMAP-CT with the default effects."""
    return phantom.truth("amap_ct", CohortSettings())


def test_truth_of_the_latents_is_binormal(planted_truth):
    """Phi(1.6 / sqrt 2) = 0.8711, Phi(3.0 / sqrt 2) = 0.9831, both together Phi(3.4 / sqrt 2) = 0.9919."""
    found = planted_truth["auc"]["development"]
    assert found["liver"] == pytest.approx(0.8711, abs=1e-4)
    assert found["spleen"] == pytest.approx(0.9831, abs=1e-4)
    assert found["liver_spleen"] == pytest.approx(0.9919, abs=1e-4)
    assert found["liver_amap"] > found["liver"]
    assert found["liver_spleen_amap"] > found["liver_spleen"]


def test_truth_agrees_with_simulated_patients(large):
    """The AUCs of 3,000 HCC and 3,000 others simulated one by one are those of the truth."""
    sizes = {name: 2000 for name in PRINTED_ALARM if not name.endswith("hcc")}
    sizes |= {name: 1000 for name in PRINTED_ALARM if name.endswith("hcc")}
    expected = phantom.truth("alarm", CohortSettings(**sizes))["auc"]["development"]
    group = large[large["cohort"] == "discovery"]
    score = amap(group["age"], group["sex"] == "male", group["bilirubin"], group["albumin"], group["platelets"])
    for name, values in (("amap", score), ("liver", group["liver_latent"]), ("spleen", group["spleen_latent"])):
        ranks = stats.mannwhitneyu(values[group["hcc"] == 1], values[group["hcc"] == 0])
        assert ranks.statistic / 1000 / 1000 == pytest.approx(expected[name], abs=0.04)


def test_truth_without_effect(planted_truth):
    """With nothing planted the ideal observer of the images guesses, and aMAP keeps what it has."""
    none = phantom.truth("amap_ct", CohortSettings(effect="none"))
    for population in ("development", "validation_and_test"):
        assert none["auc"][population]["liver"] == none["auc"][population]["liver_spleen"] == 0.5
        assert none["auc"][population]["amap"] == pytest.approx(planted_truth["auc"][population]["amap"], abs=1e-9)


def test_amap_of_amap_ct_separates_as_printed(planted_truth):
    """aMAP-CT, Table 4: AUC of aMAP 0.643, 0.686 and 0.692."""
    found = planted_truth["auc"]
    assert found["development"]["amap"] == pytest.approx(0.643, abs=0.02)
    assert found["validation"]["amap"] == pytest.approx(0.686, abs=0.02)
    assert found["test"]["amap"] == pytest.approx(0.692, abs=0.02)


def test_truth_leaves_out_a_cohort_without_hcc(monkeypatch):
    """No AUC is given for patients of one outcome."""
    monkeypatch.setattr("hccbook.phantom.ideal_observer.MONTE_CARLO_PATIENTS", 2000)
    assert set(phantom.truth("alarm", SMALL)["auc"]) == {"development", "test", "validation_and_test"}


# --- images ------------------------------------------------------------------------------------------------------


def test_image_and_labels_share_a_grid(rendered):
    """int16 image and uint8 labels 0, 1, 2 on one grid; centre C01 has 0.96 by 0.96 by 1.10 of the nominal 5 mm."""
    for image, labels in rendered.values():
        assert image.GetPixelID() == sitk.sitkInt16
        assert labels.GetPixelID() == sitk.sitkUInt8
        assert image.GetSize() == labels.GetSize()
        assert image.GetSpacing() == labels.GetSpacing() == (4.8, 4.8, 5.5)
        assert image.GetOrigin() == labels.GetOrigin()
        assert set(np.unique(sitk.GetArrayViewFromImage(labels))) == {0, 1, 2}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("spleen_size", [-2.2, 2.2])
def test_organs_have_plausible_volumes(seed, spleen_size):
    """Liver 800 to 2,500 mL, spleen 80 to 1,200 mL, the same in every phase within 10 %."""
    images = phantom.render_patient(patient(image_seed=seed, spleen_size=spleen_size), CohortSettings())
    volumes = np.array(
        [
            [np.sum(labels == organ) * np.prod(images[phase][0].GetSpacing()) / 1000 for organ in (1, 2)]
            for phase, (_, labels) in arrays(images).items()
        ]
    )
    assert ((volumes[:, 0] > 800) & (volumes[:, 0] < 2500)).all()
    assert ((volumes[:, 1] > 80) & (volumes[:, 1] < 1200)).all()
    assert (np.ptp(volumes, axis=0) < 0.10 * volumes.mean(axis=0)).all()


def test_enhancement_lies_in_the_literature_ranges(rendered):
    """Median HU of liver, spleen and aorta by phase; a centre of aorta and vertebra stands where a reader looks."""
    found = arrays(rendered)
    ranges = {
        "arterial": {"liver": (55, 85), "spleen": (90, 155), "aorta": (210, 400)},
        "venous": {"liver": (90, 130), "spleen": (100, 145), "aorta": (125, 200)},
        "delayed": {"liver": (75, 105), "spleen": (80, 120), "aorta": (90, 140)},
    }
    for phase, limits in ranges.items():
        image, labels = found[phase]
        index = rendered[phase][0].TransformPhysicalPointToIndex((8.0, 22.0, 10.0))
        values = {
            "liver": np.median(image[labels == 1]),
            "spleen": np.median(image[labels == 2]),
            "aorta": image[index[::-1]],
        }
        for tissue, (low, high) in limits.items():
            assert low < values[tissue] < high, (phase, tissue, values[tissue])
        vertebra = image[:, rendered[phase][0].TransformPhysicalPointToIndex((0.0, 50.0, 0.0))[1], :]
        assert vertebra.max() > 150
        assert image[0, 0, 0] < -900


def test_liver_is_right_and_spleen_left_behind(rendered):
    """In LPS the liver's centre has a negative x (patient's right), the spleen's a positive x and a greater y."""
    image, labels = rendered["venous"]
    found = sitk.LabelShapeStatisticsImageFilter()
    found.Execute(labels)
    liver, spleen = found.GetCentroid(1), found.GetCentroid(2)
    assert liver[0] < -20 < 20 < spleen[0]
    assert spleen[1] > liver[1]
    assert image.GetDirection() == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def test_organs_breathe_and_the_spine_does_not():
    """Between phases the liver's centre moves along z by millimetres, while the spine's voxels stay where they are."""
    moved = []
    for seed in range(3):
        images = phantom.render_patient(patient(image_seed=seed), CohortSettings())
        first, last = (
            images["venous"][0].TransformPhysicalPointToIndex(point) for point in ((-24, 40, 0), (24, 90, 0))
        )
        centres, spine = {}, {}
        for phase, (image, labels) in arrays(images).items():
            centres[phase] = np.argwhere(labels == 1).mean(axis=0)[0] * 5.5
            spine[phase] = image[:, first[1] : last[1], first[0] : last[0]]
        moved += [abs(centres[phase] - centres["venous"]) for phase in ("arterial", "delayed")]
        for phase in ("arterial", "delayed"):
            still = np.corrcoef(spine[phase].ravel(), spine["venous"].ravel())[0, 1]
            one_slice_off = np.corrcoef(spine[phase][1:].ravel(), spine["venous"][:-1].ravel())[0, 1]
            assert still > 0.97 > one_slice_off
    assert 3.0 < max(moved) < 14.0


def test_same_row_same_voxels():
    """Rendering twice gives the same voxels; another patient gives others."""
    a, b = (phantom.render_patient(patient(), SMALL) for _ in range(2))
    assert same_voxels(a, b)
    assert not same_voxels(a, phantom.render_patient(patient(image_seed=42), SMALL))


def test_risk_changes_texture_and_nothing_else():
    """Labels, and every voxel away from liver and spleen, are those of the same patient without the risk."""
    low, high = (arrays(phantom.render_patient(patient(liver_latent=z, spleen_latent=z), SMALL)) for z in (-1.0, 2.5))
    for phase in PHASES:
        assert np.array_equal(low[phase][1], high[phase][1])
        differs = low[phase][0] != high[phase][0]
        near = sitk.GetArrayFromImage(
            sitk.BinaryDilate(sitk.GetImageFromArray((low[phase][1] > 0).astype("u1")), [3] * 3)
        )
        assert differs.any()
        assert not differs[near == 0].any()


@pytest.fixture(scope="module")
def readings() -> pd.DataFrame:
    """Latents and robust spread of HU in liver and spleen of 20 patients at 5 mm, from all centres."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(20):
        z_liver, z_spleen, size = rng.standard_normal(3) * (1.3, 1.3, 1.0)
        row = patient(
            image_seed=900 + number,
            centre=f"C{number % 11 + 1:02d}",
            liver_latent=z_liver,
            spleen_latent=z_spleen,
            spleen_size=size,
        )
        image, labels = arrays(phantom.render_patient(row, CohortSettings()))["delayed"]
        spread = [np.subtract(*np.percentile(np.clip(image[labels == organ], -60, 140), [75, 25])) for organ in (1, 2)]
        rows.append((z_liver, z_spleen, *spread))
    return pd.DataFrame(rows, columns=["z_liver", "z_spleen", "liver", "spleen"])


def test_liver_risk_can_be_read_from_the_image(readings):
    """Across all centres' noise and kernels, the interquartile range of the liver's HU ranks the risk."""
    assert stats.spearmanr(readings["z_liver"], readings["liver"])[0] > 0.9


def test_spleen_risk_can_be_read_from_the_image(readings):
    """The same for the spleen."""
    assert stats.spearmanr(readings["z_spleen"], readings["spleen"])[0] > 0.85


def test_texture_is_physical():
    """A field sampled on fine voxels and averaged is the field sampled on coarse ones."""
    field = smooth_field(np.random.default_rng(0), (0, 0, 0), (60, 60, 60), 6.0)
    fine = np.arange(10.5, 50, 1.0)
    coarse = fine.reshape(-1, 4).mean(axis=1)
    small = field.sample(fine, fine, fine, (0.3, 0.3, 0.3)).reshape(10, 4, 10, 4, 10, 4).mean(axis=(1, 3, 5))
    large = field.sample(coarse, coarse, coarse, (1.15, 1.15, 1.15))
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.995
    assert field.values.std() == pytest.approx(1.0, abs=1e-4)


def test_anatomy_does_not_depend_on_the_voxel_size():
    """At 4 mm and 8 mm the liver has the same volume within 6 % and the same centre within 2 mm."""
    found = {}
    for spacing in (4.0, 8.0):
        images = phantom.render_patient(patient(), CohortSettings(acquisition_spacing_mm=spacing))
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(images["venous"][1])
        found[spacing] = shape.GetPhysicalSize(1), np.array(shape.GetCentroid(1))
    assert found[8.0][0] == pytest.approx(found[4.0][0], rel=0.06)
    assert np.abs(found[8.0][1] - found[4.0][1]).max() < 2.0


def test_a_slab_is_a_part_of_the_volume():
    """Between -8 and 60 mm the organs are voxel for voxel those of the whole volume, and the HU but for the noise."""
    settings = CohortSettings(acquisition_spacing_mm=4.0)
    (whole, labels), (slab, slab_labels) = (
        phantom.render_patient(patient(), settings, heights)["venous"] for heights in (None, (-8.0, 60.0))
    )
    start = round((slab.GetOrigin()[2] - whole.GetOrigin()[2]) / whole.GetSpacing()[2])
    part = slice(start, start + slab.GetSize()[2])
    assert slab.GetSize()[:2] == whole.GetSize()[:2] and 10 < slab.GetSize()[2] < 20
    assert slab.GetOrigin()[2] >= -8 > slab.GetOrigin()[2] - slab.GetSpacing()[2]
    both = [sitk.GetArrayFromImage(image) for image in (labels, slab_labels)]
    np.testing.assert_array_equal(both[0][part], both[1])
    hu = [sitk.GetArrayFromImage(image).astype(float) for image in (whole, slab)]
    inside = both[1][3:-3] == 1
    assert abs((hu[0][part][3:-3] - hu[1][3:-3])[inside].mean()) < 1


def test_unknown_centre_is_refused():
    """A centre without a scanner is named, with those that have one."""
    with pytest.raises(DataError, match="C01"):
        phantom.render_patient(patient(centre="C99"), SMALL)


# --- files -------------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Iterator[Path]:
    """A small ALARM cohort written by one worker, with its store beside it; a coarse truth is enough here."""
    folder = tmp_path_factory.mktemp("phantom")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hccbook.phantom.ideal_observer.MONTE_CARLO_PATIENTS", 2000)
        phantom.write_cohort(folder / "one", "alarm", SMALL, store=Store(folder / "store"))
        yield folder


def test_two_workers_write_the_same_bytes(written):
    """Manifest, latents, truth and images do not depend on the number of workers or on the store."""
    phantom.write_cohort(written / "two", "alarm", SMALL, workers=2)
    assert contents(written / "two") == contents(written / "one")


def test_manifest_holds_paths_and_no_latent(written):
    """Every path of the manifest exists; the planted risk stands in a file of its own."""
    manifest = pd.read_csv(written / "one" / "manifest.csv")
    assert len(manifest) == 6
    assert not set(manifest) & set(phantom.LATENT_COLUMNS)
    for column in [*PHASES, *(f"{organ}_mask_{phase}" for organ in ("liver", "spleen") for phase in PHASES)]:
        assert all((written / "one" / path).exists() for path in manifest[column])
    assert (written / "one" / manifest["arterial"].iloc[0]).is_dir()
    assert manifest["arterial"].iloc[1] == "images/P0002/arterial.nii.gz"
    latent = pd.read_csv(written / "one" / "latent.csv", index_col="patient", float_precision="round_trip")
    simulated = phantom.simulate_clinical("alarm", SMALL)
    np.testing.assert_array_equal(latent["liver_latent"], simulated["liver_latent"])
    truth = json.loads((written / "one" / "truth.json").read_text())
    assert truth["auc"]["development"]["liver"] == pytest.approx(0.9552, abs=1e-4)


def test_masks_are_the_labels(written):
    """A written mask is binary, on the grid of its image, and one organ of the rendered labels."""
    row = phantom.simulate_clinical("alarm", SMALL).loc["P0003"]
    image, labels = phantom.render_patient(row, SMALL)["delayed"]
    mask = sitk.ReadImage(str(written / "one" / "images" / "P0003" / "delayed_spleen.nii.gz"))
    assert np.array_equal(sitk.GetArrayViewFromImage(mask), sitk.GetArrayViewFromImage(labels) == 2)
    np.testing.assert_allclose(mask.GetOrigin(), image.GetOrigin(), atol=1e-4)


def test_cohort_without_effect_shares_what_is_the_same(written):
    """Patients without HCC are linked from the store, byte for byte; those with HCC are rendered anew."""
    none = SMALL.model_copy(update={"effect": "none"})
    before = {folder.name for folder in (written / "store" / "phantom").iterdir()}
    phantom.write_cohort(written / "none", "alarm", none, store=Store(written / "store"))
    after = {folder.name for folder in (written / "store" / "phantom").iterdir()}
    assert len(before) == 6
    assert len(after - before) == 2  # one HCC in discovery, one in external validation
    for key, row in phantom.simulate_clinical("alarm", SMALL).iterrows():
        name = "images/" + key
        same = contents(written / "one" / name) == contents(written / "none" / name)
        assert same == (row["hcc"] == 0)


def test_without_effect_hcc_images_are_those_of_the_unshifted_risk(written):
    """An HCC patient's image under none is what the same patient would have without HCC."""
    none = SMALL.model_copy(update={"effect": "none"})
    planted = phantom.simulate_clinical("alarm", SMALL)
    row = planted[planted["hcc"] == 1].iloc[0].copy()
    row["liver_latent"] -= SMALL.alarm_liver_effect
    control = phantom.simulate_clinical("alarm", none).loc[row.name]
    # Subtracting what was added leaves a rounding error in the last place of the latent.
    row["liver_latent"] = round(row["liver_latent"], 12)
    a, b = arrays(phantom.render_patient(row, SMALL)), arrays(phantom.render_patient(control, SMALL))
    assert all(np.abs(a[phase][0].astype(int) - b[phase][0]).max() <= 1 for phase in PHASES)


def test_second_call_renders_nothing(written, monkeypatch):
    """With a store, a cohort that was written before is linked without rendering."""

    @functools.wraps(phantom.render_patient)  # the step of the store's key stays the same
    def refuse(*_):
        raise AssertionError("rendered again")

    monkeypatch.setattr("hccbook.phantom.writing.render_patient", refuse)
    phantom.write_cohort(written / "again", "alarm", SMALL, store=Store(written / "store"))
    assert contents(written / "again") == contents(written / "one")


def test_failed_patient_is_named(tmp_path, monkeypatch):
    """A patient that can't be written stops the cohort with its key and the reason; no manifest is left."""

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("hccbook.phantom.writing.render_patient", fail)
    with pytest.raises(DataError, match=r"P0001.*Input/output error.*6 of 6"):
        phantom.write_cohort(tmp_path, "alarm", SMALL)
    assert not (tmp_path / "manifest.csv").exists()
    assert not list((tmp_path / "images").iterdir())


def test_segmentation_set_has_no_cohort(tmp_path):
    """The training patients' manifest leaves the cohort empty and names no HCC."""
    settings = SMALL.model_copy(update={"segmentation_patients": 2})
    manifest = pd.read_csv(phantom.write_segmentation_set(tmp_path, settings))
    assert manifest["cohort"].isna().all()
    assert (manifest["hcc"] == 0).all()
    assert (tmp_path / manifest["liver_mask_venous"].iloc[1]).is_file()


# --- features that carry nothing -------------------------------------------------------------------------------------

MEASURED = pd.DataFrame(
    {"a": [1.0, 2.0, 6.0], "b": [10.0, 0.0, -10.0], "same": 0.1}, index=pd.Index(["P1", "P2", "P3"], name="patient")
)


def test_drawn_features_have_the_measured_mean_and_covariance():
    """Mean 3 and 0, variances 7 and 100, covariance -25 by hand; within four standard errors of 40,000 patients."""
    drawn = phantom.draw_null_features(MEASURED, pd.RangeIndex(40_000), seed=3)
    assert drawn[["a", "b"]].mean().tolist() == pytest.approx([3.0, 0.0], abs=4 * 10 / 200)
    # The variance of a sample covariance is (v11 v22 + v12^2) / n.
    assert np.cov(drawn["a"], drawn["b"]).ravel().tolist() == pytest.approx(
        [7.0, -25.0, -25.0, 100.0], abs=4 * 142 / 200
    )
    assert np.corrcoef(drawn["a"], drawn["b"])[0, 1] == pytest.approx(-25 / 700**0.5, abs=4 * 0.11 / 200)


def test_drawn_features_vary_in_as_many_directions_as_were_measured():
    """Three patients span two directions, whatever the number of features; one that never varied stays."""
    wide = pd.concat([MEASURED, (MEASURED[["a", "b"]] ** 2).add_suffix("2")], axis=1)
    drawn = phantom.draw_null_features(wide, pd.RangeIndex(50), seed=3)
    assert np.linalg.matrix_rank(drawn - wide.mean(), tol=1e-3) == 2
    assert drawn["same"].tolist() == [np.float32(0.1)] * 50
    assert (drawn.dtypes == np.float32).all()


def test_drawn_features_follow_from_the_seed_and_the_place():
    """The same patients whatever comes after them; others with another seed."""
    few, more = (phantom.draw_null_features(MEASURED, pd.RangeIndex(count), seed=3) for count in (4, 9))
    pd.testing.assert_frame_equal(few, more.iloc[:4])
    assert (few["a"] != phantom.draw_null_features(MEASURED, few.index, seed=4)["a"]).all()


@pytest.mark.parametrize(
    ("measured", "message"),
    [
        (MEASURED.iloc[:1], r"measured features: must be of 2 patients or more, but found 1"),
        (MEASURED.assign(b=[1.0, np.nan, 2.0]), r"measured features, column b: must hold finite numbers"),
    ],
)
def test_features_that_cannot_be_imitated_are_refused(measured, message):
    """One patient has no covariance, and a gap would spread over everybody."""
    with pytest.raises(DataError, match=message):
        phantom.draw_null_features(measured, pd.RangeIndex(2), seed=1)
