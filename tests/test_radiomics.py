"""Radiomics: values worked out by hand, agreement with PyRadiomics itself, refusals, and the per-patient map."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import pickle
import shutil
import sys

import numpy as np
import pytest
import SimpleITK as sitk

import hccbook.features.radiomics.patients as patients
from hccbook.errors import DataError, ImageError, MaskError, SettingsError
from hccbook.features.radiomics import (
    FEATURES,
    ExtractionSettings,
    engine_names,
    extract_features,
    extract_patient,
    radiomics_table,
)
from hccbook.images import write_image
from hccbook.parallel import map_patients
from hccbook.run import Case, RunPaths
from hccbook.settings import FeatureSettings, PreprocessingSettings
from hccbook.store import NotStoredError, reading_only

ALARM = ExtractionSettings.of_paper("alarm", FeatureSettings(), PreprocessingSettings())
AMAP_CT = ExtractionSettings.of_paper("amap_ct", FeatureSettings(), PreprocessingSettings())


@pytest.fixture(autouse=True, params=engine_names())
def engine(request, monkeypatch) -> str:
    """Every test here holds for every engine: `extract_features` runs with this one."""
    own = functools.partial(extract_features, engine=request.param)
    monkeypatch.setattr(sys.modules[__name__], "extract_features", own)
    return request.param


def as_image(array, spacing=(1.0, 1.0, 1.0)) -> sitk.Image:
    """Image of an array (z, y, x), with voxel edges (x, y, z) in mm."""
    image = sitk.GetImageFromArray(np.asarray(array))
    image.SetSpacing(spacing)
    return image


def noise(shape=(26, 29, 27), seed=7, dtype=np.float32) -> np.ndarray:
    """Intensities like those of a windowed liver, HU."""
    values = np.random.default_rng(seed).normal(60, 45, shape)
    return np.clip(values, -60, 140).round(2).astype(dtype)


def ball(shape=(26, 29, 27), centre=(13, 14, 13), radius=5.5) -> np.ndarray:
    """Voxels within `radius` of `centre` (z, y, x)."""
    distance = sum((axis - middle) ** 2 for axis, middle in zip(np.indices(shape), centre, strict=True))
    return (distance <= radius**2).astype(np.uint8)


# --- worked out by hand ----------------------------------------------------------------------------------------------


def test_first_order_of_sixteen_consecutive_values():
    """0 to 15 in bins of 4: moments of the discrete uniform distribution, two bits of entropy."""
    values = np.arange(16, dtype=float).reshape(2, 2, 4)
    image, mask = as_image(values, (2.0, 3.0, 4.0)), as_image(np.ones((2, 2, 4), np.uint8), (2.0, 3.0, 4.0))
    settings = ExtractionSettings(bin_width=4, feature_classes=("firstorder",))
    found = extract_features(image, mask, settings)
    expected = {
        "Mean": 7.5,
        "Median": 7.5,
        "Minimum": 0,
        "Maximum": 15,
        "Range": 15,
        "Variance": (16**2 - 1) / 12,
        "Skewness": 0,
        "Kurtosis": 3 / 5 * (3 * 16**2 - 7) / (16**2 - 1),
        "Energy": 15 * 16 * 31 / 6,
        "TotalEnergy": 15 * 16 * 31 / 6 * 24,
        "RootMeanSquared": np.sqrt(77.5),
        "Entropy": 2,
        "Uniformity": 1 / 4,
        "MeanAbsoluteDeviation": 4,
        "10Percentile": 1.5,
        "90Percentile": 13.5,
        "InterquartileRange": 7.5,
        "RobustMeanAbsoluteDeviation": 3,  # of 2 to 13
    }
    assert {name.removeprefix("original_firstorder_") for name in found.index} == set(expected)
    for name, value in expected.items():
        assert found[f"original_firstorder_{name}"] == pytest.approx(value, rel=1e-12, abs=1e-12)


def test_glcm_of_haralicks_example():
    """The 4 x 4 image of Haralick (1973), whose four matrices are printed there (his Fig. 3)."""
    image = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 2, 2], [2, 2, 3, 3]])
    printed = [
        [[4, 2, 1, 0], [2, 4, 0, 0], [1, 0, 6, 1], [0, 0, 1, 2]],
        [[4, 1, 0, 0], [1, 2, 2, 0], [0, 2, 4, 1], [0, 0, 1, 0]],
        [[6, 0, 2, 0], [0, 4, 2, 0], [2, 2, 2, 2], [0, 0, 2, 0]],
        [[2, 1, 3, 0], [1, 2, 1, 0], [3, 1, 0, 2], [0, 0, 2, 0]],
    ]
    p = [np.array(matrix) / np.sum(matrix) for matrix in printed]
    i, j = np.indices((4, 4)) + 1
    entropies = [-sum(value * np.log2(value) for value in matrix.ravel() if value) for matrix in p]
    settings = ExtractionSettings(bin_width=25, feature_classes=("glcm",))
    found = extract_features(as_image(25.0 * image[None]), as_image(np.ones((1, 4, 4), np.uint8)), settings)
    # Squared differences by hand: 14 of 24, 8 of 18, 24 of 24 and 32 of 18 pairs.
    assert found["original_glcm_Contrast"] == pytest.approx((14 / 24 + 8 / 18 + 24 / 24 + 32 / 18) / 4)
    assert found["original_glcm_JointEnergy"] == pytest.approx(np.mean([(m**2).sum() for m in p]))
    assert found["original_glcm_JointEntropy"] == pytest.approx(np.mean(entropies))
    assert found["original_glcm_MaximumProbability"] == pytest.approx((6 / 24 + 4 / 18 + 6 / 24 + 3 / 18) / 4)
    assert found["original_glcm_Autocorrelation"] == pytest.approx(np.mean([(m * i * j).sum() for m in p]))
    assert found["original_glcm_Idm"] == pytest.approx(np.mean([(m / (1 + (i - j) ** 2)).sum() for m in p]))


def test_shape_of_a_cube():
    """4 x 4 x 4 voxels of 1 x 2 x 3 mm: its volume, and its longest diameter between faces' midpoints."""
    mask = np.zeros((8, 8, 8), np.uint8)
    mask[2:6, 2:6, 2:6] = 1
    spacing = (1.0, 2.0, 3.0)
    settings = ExtractionSettings(feature_classes=("shape",))
    found = extract_features(as_image(np.zeros((8, 8, 8)), spacing), as_image(mask, spacing), settings)
    assert found["original_shape_VoxelVolume"] == pytest.approx(64 * 6)
    # The mesh leaves every edge of the cube out by half a voxel: 4 voxels along one axis, 3 along the two others.
    assert found["original_shape_Maximum3DDiameter"] == pytest.approx(np.sqrt(3**2 + (3 * 2) ** 2 + (4 * 3) ** 2))
    # Four equally spaced points have the variance 1.25 of their squared distance.
    assert found["original_shape_MajorAxisLength"] == pytest.approx(4 * np.sqrt(1.25 * 3**2))
    assert found["original_shape_LeastAxisLength"] == pytest.approx(4 * np.sqrt(1.25 * 1**2))


@pytest.mark.parametrize(("axis", "band"), [(0, "LLH"), (1, "LHL"), (2, "HLL")])
def test_wavelet_letters_stand_for_x_y_and_z(axis, band):
    """Intensities that alternate along one axis (z, y, x) leave energy in one high-pass band alone."""
    image = 60.0 + 20.0 * (-1.0) ** np.indices((24, 24, 24))[axis]
    settings = ExtractionSettings(image_types=("wavelet",), feature_classes=("firstorder",))
    found = extract_features(as_image(image), as_image(ball((24, 24, 24), (12, 12, 12))), settings)
    energy = {name: found[f"wavelet-{name}_firstorder_Energy"] for name in ("LLH", "LHL", "HLL", "HHL", "LHH", "HHH")}
    assert max(energy, key=energy.get) == band
    assert sum(energy.values()) - energy[band] == pytest.approx(0, abs=1e-9 * energy[band])


# --- names and counts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("settings", "count"), [(ExtractionSettings(), 107), (AMAP_CT, 851), (ALARM, 1223)])
def test_number_of_features(settings, count):
    """107 of an unfiltered image, 851 with the wavelets (aMAP-CT), 1,223 with four more images (ALARM)."""
    found = extract_features(as_image(noise()), as_image(ball()), settings)
    assert len(found) == len(set(found.index)) == count
    assert tuple(found.index) == settings.feature_names
    assert np.isfinite(found).all()


def test_four_gaussian_widths_give_the_same_count():
    """Four Laplacians of Gaussian in place of the four pointwise images also give ALARM's 1,223."""
    features = FeatureSettings(alarm_filters="wavelet,log:2,log:3,log:4,log:5")
    settings = ExtractionSettings.of_paper("alarm", features, PreprocessingSettings())
    assert settings.log_sigma == (2, 3, 4, 5)
    assert len(settings.feature_names) == 1223
    assert "log-sigma-3-0-mm-3D_glcm_Idm" in settings.feature_names


def test_vocabulary_is_that_of_pyradiomics():
    """Every class holds the features that PyRadiomics itself lists, deprecated ones apart."""
    radiomics = pytest.importorskip("radiomics")
    for name, features in FEATURES.items():
        own = radiomics.getFeatureClasses()[name].getFeatureNames()
        assert list(features) == [feature for feature, deprecated in own.items() if not deprecated]


def test_papers_settings_follow_the_profile():
    """Window 200/40 clips to [-60, 140] HU; the bin width is taken over."""
    settings = ExtractionSettings.of_paper("amap_ct", FeatureSettings(bin_width=10), PreprocessingSettings())
    assert (settings.window_lower, settings.window_upper) == (-60, 140)
    assert (settings.bin_width, settings.image_types) == (10, ("original", "wavelet"))


# --- agreement with PyRadiomics itself -------------------------------------------------------------------------------

GENTLE = {"Original": {}, "Wavelet": {}, "Square": {}, "SquareRoot": {}, "Logarithm": {}, "Exponential": {}}
AGREEMENT = {
    "all images": (GENTLE | {"Gradient": {}, "LoG": {"sigma": [1.5, 3.0]}}, {}, {}),
    "organ at the border": (GENTLE | {"Gradient": {}}, {}, {"centre": (4, 25, 13)}),
    "organ near one face, odd size": ({"Wavelet": {}}, {}, {"centre": (13, 14, 20)}),
    "whole numbers": (GENTLE, {}, {"dtype": np.int16}),
    "large image": (GENTLE, {}, {"shape": (45, 46, 47), "centre": (22, 23, 22)}),
    "deeper wavelet": ({"Wavelet": {"wavelet": "db2", "start_level": 1, "level": 2}}, {}, {"shape": (44, 45, 46)}),
    "resampled": (GENTLE, {"resampledPixelSpacing": [2, 2, 2], "interpolator": "sitkLinear", "padDistance": 4}, {}),
    "cropped first": (GENTLE, {"preCrop": True, "padDistance": 2}, {}),
    "normalised": ({"Original": {}}, {"normalize": True, "normalizeScale": 100, "removeOutliers": 2.0}, {}),
    "narrowed": (GENTLE, {"resegmentRange": [-1, 1.5], "resegmentMode": "sigma"}, {}),
    "narrowed with shape": ({"Original": {}}, {"resegmentRange": [20], "resegmentShape": True}, {}),
    "slices": (GENTLE, {"force2D": True}, {}),
    "textures": (
        {"Original": {"binWidth": 7}, "Square": {}},
        {"distances": [1, 2], "weightingNorm": "euclidean", "symmetricalGLCM": False, "gldm_a": 1, "binWidth": 12},
        {},
    ),
    "fixed bins": ({"Original": {}}, {"binCount": 16, "voxelArrayShift": 300}, {}),
}


@pytest.mark.parametrize("case", AGREEMENT)
def test_values_are_those_of_pyradiomics_itself(case, engine):
    """Both engines give the values of PyRadiomics' own extractor: one the same bits, the other within 1e-6."""
    featureextractor = pytest.importorskip("radiomics.featureextractor")
    images, setting, own = AGREEMENT[case]
    shape = own.get("shape", (26, 29, 27))
    spacing = (0.8, 1.1, 2.5)
    image = as_image(noise(shape, dtype=own.get("dtype", np.float32)), spacing)
    mask = as_image(ball(shape, own.get("centre", (13, 14, 13))), spacing)
    plain = featureextractor.RadiomicsFeatureExtractor(additionalInfo=False, **setting)
    plain.enabledImagetypes = images
    log = logging.getLogger("radiomics")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with np.errstate(all="ignore"):
            expected = {name: float(value) for name, value in plain.execute(image, mask).items()}
    finally:
        log.setLevel(level)
    settings = ExtractionSettings.from_pyradiomics({"imageType": images, "setting": setting})
    found = extract_features(image, mask, settings)
    assert set(found.index) == set(expected)
    expected = [expected[name] for name in found.index]
    if engine == "pyradiomics":
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_extraction_says_nothing(capfd):
    """Neither log lines nor warnings: what matters is raised."""
    extract_features(as_image(noise()), as_image(ball()), ALARM)
    assert capfd.readouterr() == ("", "")


# --- invariants ------------------------------------------------------------------------------------------------------


def test_place_and_direction_do_not_matter():
    """The same voxels elsewhere in space, with other axes, have the same features."""
    image, mask = as_image(noise(), (0.8, 1.1, 2.5)), as_image(ball(), (0.8, 1.1, 2.5))
    before = extract_features(image, mask, ALARM)
    for volume in (image, mask):
        volume.SetOrigin((-120.0, 33.0, 1000.0))
        volume.SetDirection((0, -1, 0, 1, 0, 0, 0, 0, -1))
    np.testing.assert_array_equal(extract_features(image, mask, ALARM), before)


def test_spacing_scales_lengths():
    """Voxels twice as long along every axis: diameters double, volumes grow eightfold, textures stay."""
    once = extract_features(as_image(noise()), as_image(ball()))
    twice = extract_features(as_image(noise(), (2.0, 2.0, 2.0)), as_image(ball(), (2.0, 2.0, 2.0)))
    assert twice["original_shape_MeshVolume"] == pytest.approx(8 * once["original_shape_MeshVolume"])
    assert twice["original_shape_Maximum3DDiameter"] == pytest.approx(2 * once["original_shape_Maximum3DDiameter"])
    assert twice["original_shape_Sphericity"] == pytest.approx(once["original_shape_Sphericity"])
    assert twice["original_glcm_Contrast"] == once["original_glcm_Contrast"]


def test_other_labels_do_not_matter():
    """An organ of label 2 beside another of label 1 has the features that it has alone."""
    liver, spleen = ball(centre=(13, 8, 8), radius=5), ball(centre=(13, 20, 19), radius=5)
    both = as_image(liver + 2 * spleen)
    image = as_image(noise())
    alone = extract_features(image, as_image(spleen))
    np.testing.assert_array_equal(extract_features(image, both, ExtractionSettings(label=2)), alone)


def test_window_clips_before_anything_else():
    """Intensities outside the window count as its bounds, in whole numbers and in fractions."""
    wild = noise()
    wild[13, 14, 13:15] = (-1000, 2000)
    tame = np.clip(wild, -60, 140)
    windowed = ExtractionSettings(window_lower=-60, window_upper=140)
    for dtype in (np.float32, np.int16):
        found = extract_features(as_image(wild.astype(dtype)), as_image(ball()), windowed)
        expected = extract_features(as_image(tame.astype(dtype)), as_image(ball()))
        np.testing.assert_array_equal(found, expected)


def test_organ_of_one_intensity():
    """PyRadiomics' conventions: no entropy, correlation 1, coarseness a million; nothing undefined."""
    found = extract_features(as_image(np.full((26, 29, 27), 55.0)), as_image(ball()))
    assert np.isfinite(found).all()
    assert found["original_firstorder_Mean"] == 55
    assert found["original_firstorder_Variance"] == 0
    assert found["original_firstorder_Entropy"] == pytest.approx(0, abs=1e-12)
    assert found["original_firstorder_Uniformity"] == 1
    assert found["original_glcm_Correlation"] == 1
    assert found["original_glcm_Contrast"] == 0
    assert found["original_ngtdm_Coarseness"] == 1e6
    assert found["original_glszm_ZonePercentage"] == pytest.approx(1 / ball().sum())


# --- refusals --------------------------------------------------------------------------------------------------------


def test_other_grid_is_refused():
    """A mask of another size or at another place is no mask of this image."""
    shifted = as_image(ball())
    shifted.SetOrigin((0, 0, 5))
    for mask in (shifted, as_image(ball((26, 29, 28)))):
        with pytest.raises(MaskError, match=r"P0007, venous, liver: mask must lie on the grid of its image"):
            extract_features(as_image(noise()), mask, place="P0007, venous, liver")


def test_absent_label_is_refused():
    """The message says which labels there are."""
    with pytest.raises(MaskError, match=r"must hold the label 2, but found the values 0, 1"):
        extract_features(as_image(noise()), as_image(ball()), ExtractionSettings(label=2))


@pytest.mark.parametrize(
    ("voxels", "rule"),
    [
        (np.s_[3, 3, 3], "must have at least 16 voxels, but found 1"),
        (np.s_[3, 3, 3:6], "must have at least 16 voxels, but found 3"),
        (np.s_[3, 3, :], r"must exceed one voxel along at least 2 axes, but found 1 x 1 x 27 voxels \(z, y, x\)"),
    ],
)
def test_too_small_organ_is_refused(voxels, rule):
    """One voxel, three voxels, a line."""
    mask = np.zeros((26, 29, 27), np.uint8)
    mask[voxels] = 1
    with pytest.raises(MaskError, match=rule):
        extract_features(as_image(noise()), as_image(mask))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_intensities_that_are_not_finite_are_refused(value):
    """One such voxel, even outside the organ, would spread through the filters."""
    array = noise()
    array[0, 0, 0] = value
    with pytest.raises(ImageError, match="image must be finite, but found 1 voxels"):
        extract_features(as_image(array), as_image(ball()))


def test_too_many_grey_levels_are_refused():
    """The matrices of more than 10,000 levels would not fit into memory."""
    with pytest.raises(DataError, match=r"original image: must have at most 10,000 grey levels.*bin width 0.001"):
        extract_features(as_image(noise()), as_image(ball()), ExtractionSettings(bin_width=0.001))


def test_filter_of_an_image_of_zeros_is_refused():
    """The exponential of zeros is scaled by a logarithm of zero."""
    settings = ExtractionSettings(image_types=("exponential",))
    with pytest.raises(DataError, match="exponential image: must be finite in the organ"):
        extract_features(as_image(np.zeros((26, 29, 27))), as_image(ball()), settings)


def test_image_too_small_for_the_filter_is_refused():
    """PyRadiomics leaves such an image out without an error; here a feature asked for must be there."""
    settings = ExtractionSettings(image_types=("log",), log_sigma=(40,))
    with pytest.raises(DataError, match=r"every feature.*must be computed, but found 93 missing.*log-sigma-40-0"):
        extract_features(as_image(noise()), as_image(ball()), settings)


def test_feature_that_is_not_finite_is_named():
    """GLCM of an organ whose voxels have no neighbours is undefined."""
    mask = np.zeros((26, 29, 27), np.uint8)
    mask[::4, ::4, ::4] = 1
    with pytest.raises(DataError, match=r"every feature must be finite, but found original_glcm_\w+ = nan and"):
        extract_features(as_image(noise()), as_image(mask), ExtractionSettings(feature_classes=("glcm",)))


def test_unknown_engine_is_refused():
    """The message lists the engines at hand."""
    assert engine_names() == ("fast", "pyradiomics")
    with pytest.raises(SettingsError, match=r"'pyradiomic'.*Did you mean 'pyradiomics'"):
        extract_features(as_image(noise()), as_image(ball()), engine="pyradiomic")


def test_image_with_several_values_a_voxel_is_refused():
    """Colour images and slices are no CT volumes."""
    with pytest.raises(ImageError, match="3-D with one value a voxel"):
        extract_features(as_image(noise())[:, :, 3], as_image(ball()))


# --- settings --------------------------------------------------------------------------------------------------------

PARAMETER_FILE = """
setting:
  binWidth: 25
  interpolator: 'sitkBSpline'
  resampledPixelSpacing:   # empty: no resampling
  weightingNorm:
  voxelArrayShift: 1000
  minimumROISize: 50
  correctMask: false
  geometryTolerance: 0.0001
imageType:
  Original: {}
  LoG:
    sigma: [1.0, 3.0]
  Wavelet:
    binWidth: 10
featureClass:
  shape:
  firstorder: []
  glcm: [Contrast, Autocorrelation]
"""


def test_parameter_file_of_pyradiomics_is_read(tmp_path):
    """Images, classes, single features, sigmas, and an image type's own bin width."""
    file = tmp_path / "Params.yaml"
    file.write_text(PARAMETER_FILE)
    settings = ExtractionSettings.from_yaml(file)
    assert settings.image_types == ("original", "wavelet", "log")
    assert settings.image_names[-2:] == ("log-sigma-1-0-mm-3D", "log-sigma-3-0-mm-3D")
    assert settings.image_bin_widths == {"wavelet": 10}
    assert settings.features == {"glcm": ("Autocorrelation", "Contrast")}
    assert (settings.intensity_shift, settings.minimum_roi_voxels) == (1000, 51)
    assert settings.resampled_spacing_mm is None
    assert len(settings.feature_names) == 14 + 11 * (18 + 2)
    assert tuple(extract_features(as_image(noise()), as_image(ball()), settings).index) == settings.feature_names


def test_missing_parameter_file_is_refused(tmp_path):
    """The message names the file."""
    with pytest.raises(SettingsError, match=r"Absent\.yaml: parameter file must exist"):
        ExtractionSettings.from_yaml(tmp_path / "Absent.yaml")


@pytest.mark.parametrize("filters", ["wavelet,wavelets", "log", "log:wide", "wavelet,wavelet", "square:2"])
def test_unknown_filter_in_a_profile_is_refused(filters):
    """The message names the setting."""
    with pytest.raises(SettingsError, match=r"features\.alarm_filters"):
        ExtractionSettings.of_paper("alarm", FeatureSettings(alarm_filters=filters), PreprocessingSettings())


def test_unknown_key_is_refused():
    """As everywhere in the settings."""
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        ExtractionSettings(binwidth=25)


# --- the per-patient map ---------------------------------------------------------------------------------------------


SMALL = ExtractionSettings(feature_classes=("firstorder", "glcm"))
EXTRACT = functools.partial(extract_patient, organs=("liver", "spleen"), settings=SMALL)


@pytest.fixture
def cohort(tmp_path) -> dict[str, Case]:
    """Three patients with two phases, liver and spleen."""
    run = RunPaths(tmp_path / "run")
    cases = {f"P{number:04d}": Case(run, "amap_ct", f"P{number:04d}", ("arterial", "venous")) for number in (1, 2, 3)}
    for number, case in enumerate(cases.values(), start=1):
        for seed, phase in enumerate(case.phases):
            organs = ball(centre=(13, 8, 8), radius=5) + 2 * ball(centre=(13, 20, 19), radius=4)
            write_image(as_image(noise(seed=10 * number + seed)), case.image(phase))
            write_image(as_image(organs), case.labels(phase))
    return cases


def stored(case: Case, extract=EXTRACT) -> dict[str, float] | None:
    """What the store has of a patient; None unless it has everything."""
    try:
        with reading_only():
            return extract(case)
    except NotStoredError:
        return None


def test_columns_name_phase_organ_and_feature(cohort):
    """The organ's own label is used, whatever the settings say."""
    case = cohort["P0001"]
    values = EXTRACT(case)
    assert len(values) == 2 * 2 * 42
    image, labels = (sitk.ReadImage(str(file("venous"))) for file in (case.image, case.labels))
    spleen = extract_features(image, labels, SMALL.model_copy(update={"label": 2}))
    assert values["venous.spleen.original_glcm_Idm"] == spleen["original_glcm_Idm"]
    assert next(iter(values)) == "arterial.liver.original_firstorder_10Percentile"


def test_table_does_not_depend_on_the_number_of_workers(cohort):
    """One and two processes give the same bytes, and a second run finds everything done."""
    options = {"stage": "features", "stored": True, "progress": False}
    outcomes = []
    for workers in (1, 2):
        shutil.rmtree(cohort["P0001"].run.store.root, ignore_errors=True)
        outcomes.append(map_patients(EXTRACT, cohort, workers=workers, **options))
    one, two = (radiomics_table(outcome.results) for outcome in outcomes)
    assert [outcome.computed for outcome in outcomes] == [3, 3]
    assert one.to_csv() == two.to_csv()
    assert one.index.name == "patient"
    assert list(one.index) == ["P0001", "P0002", "P0003"]
    again = map_patients(EXTRACT, cohort, **options)
    assert again.computed == 0
    assert radiomics_table(again.results).to_csv() == one.to_csv()


def test_finished_organs_are_not_extracted_again(cohort, monkeypatch):
    """After an interruption only what is missing is computed."""
    case = cohort["P0002"]
    whole = EXTRACT(case)
    files = sorted((case.run.store.root / "radiomics").rglob("*.npy"))
    assert len(files) == 4
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:100])  # half written, by a machine that lost its power
    calls = []
    real = patients.extract_features
    monkeypatch.setattr(patients, "extract_features", functools.wraps(real)(lambda *a: calls.append(a) or real(*a)))
    assert stored(case) is None
    assert EXTRACT(case) == whole
    assert len(calls) == 2
    assert stored(case) == whole


def test_changed_image_or_settings_are_extracted_anew(cohort):
    """Results are kept under the content of the files and under the settings, not under names."""
    case = cohort["P0003"]
    EXTRACT(case)
    other = SMALL.model_copy(update={"bin_width": 10})
    assert stored(case, functools.partial(EXTRACT, settings=other)) is None
    renamed = dataclasses.replace(case, key="P0099")
    for file in ("image", "labels"):
        for phase in case.phases:
            shutil.copy(getattr(case, file)(phase), getattr(renamed, file)(phase))
    assert stored(renamed) == stored(case) is not None
    write_image(as_image(noise(seed=99)), case.image("venous"))
    assert stored(case) is None


def test_failing_patient_names_phase_and_organ(cohort):
    """The other patients go on."""
    write_image(as_image(ball()), cohort["P0002"].labels("venous"))
    cohort["P0003"].image("arterial").unlink()
    outcome = map_patients(EXTRACT, cohort, stage="features", stored=True, progress=False)
    assert list(outcome.results) == ["P0001"]
    reasons = dict(zip(outcome.failures["patient"], outcome.failures["reason"], strict=True))
    assert reasons["P0002"].startswith("P0002, venous, spleen: mask must hold the label 2")
    assert reasons["P0003"].startswith("P0003, arterial: image must exist")


def test_case_and_task_travel_to_worker_processes(cohort):
    """Both are data alone."""
    case = cohort["P0001"]
    assert pickle.loads(pickle.dumps(case)) == case
    assert pickle.loads(pickle.dumps(EXTRACT))(case) == EXTRACT(case)


def test_unknown_organ_is_refused(cohort):
    """Organs are those of the label maps."""
    with pytest.raises(SettingsError, match="must be one of liver, spleen, but found 'kidney'"):
        extract_patient(cohort["P0001"], ("kidney",), SMALL)


def test_table_of_unequal_patients_is_refused():
    """A missing feature never becomes an empty cell."""
    with pytest.raises(DataError, match=r"radiomics of P0002: must have the features of P0001, but found b"):
        radiomics_table({"P0001": {"a": 1.0, "b": 2.0}, "P0002": {"a": 1.0}})
    with pytest.raises(DataError, match="at least one patient"):
        radiomics_table({})


def test_agreement_cases_cover_every_image_type():
    """So that no filter escapes the comparison with PyRadiomics."""
    compared = set(itertools.chain.from_iterable(images for images, _, _ in AGREEMENT.values()))
    assert compared == {"Original", "Wavelet", "Square", "SquareRoot", "Logarithm", "Exponential", "Gradient", "LoG"}
