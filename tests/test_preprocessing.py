"""Resampling, alignment of phases, window and discretisation."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import SimpleITK as sitk

from hccbook.errors import DataError, ImageError, MaskError
from hccbook.images import from_array, patients, read_image, to_array, volume_ml, write_image
from hccbook.images.geometry import physical_extent
from hccbook.images.patients import FACTS_COLUMNS, preprocess_patient
from hccbook.images.preprocessing import (
    AIR_HU,
    AlignmentTarget,
    align_phase,
    discretise,
    labels_on_grid,
    resample,
    window,
    working_grid,
)
from hccbook.run import Case, RunPaths
from hccbook.settings import PHASES, PreprocessingSettings
from hccbook.store import NotStoredError, reading_only

SPACING_MM = 5.0


def field_image(
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0), contrast: float = 60.0, seed: int = 0
) -> tuple[sitk.Image, np.ndarray, np.ndarray]:
    """A trunk of 5 mm voxels with liver, spleen and lungs that move by `shift` (x, y, z; mm) in a still body."""
    z, y, x = (
        edge * np.arange(n) + start for edge, n, start in ((5.0, 44, -110.0), (5.0, 52, -130.0), (5.0, 68, -170.0))
    )
    z, y, x = z[:, None, None], y[None, :, None], x[None, None, :]

    def ball(centre: tuple[float, float, float], axes: tuple[float, float, float]) -> np.ndarray:
        c = np.array(centre) + shift
        distance = ((x - c[0]) / axes[0]) ** 2 + ((y - c[1]) / axes[1]) ** 2 + ((z - c[2]) / axes[2]) ** 2
        return np.clip((1 - np.sqrt(distance)) * min(axes) / 5 + 0.5, 0, 1)

    def laid(hu: np.ndarray, value: float, share: np.ndarray) -> np.ndarray:
        return hu + (value - hu) * share

    body = ((x / 160) ** 2 + (y / 115) ** 2 < 1) & (z > -1e3)
    inside = ((x / 140) ** 2 + (y / 95) ** 2 < 1) & (z > -1e3)
    hu = np.where(inside, -90.0, np.where(body, 40.0, -1000.0))
    hu = laid(hu, 300, ((x / 22) ** 2 + ((y - 60) / 22) ** 2 < 1) & (z > -1e3))
    liver = ball((-55, -10, 10), (78, 72, 70))
    spleen = ball((85, 25, 20), (32, 40, 50))
    for centre in ((-55, -10, 95), (60, 0, 85)):
        hu = laid(hu, -850, ball(centre, (75, 75, 55)))
    hu = laid(laid(hu, 45 + contrast, liver), 45 + contrast * 0.8, spleen)
    for index in range(6):
        hu = laid(hu, 60 + 2 * contrast, ball((-100 + 18 * index, -30 + 11 * index, -15 + 9 * index), (9, 9, 9)))
    hu += np.random.default_rng(seed).normal(0, 8, hu.shape)
    image = sitk.GetImageFromArray(np.rint(hu).astype(np.int16))
    image.SetSpacing((5.0, 5.0, 5.0))
    image.SetOrigin((-170.0, -130.0, -110.0))
    return image, liver > 0.5, spleen > 0.5


def oblique(image: sitk.Image, degrees: float = 25.0) -> sitk.Image:
    """The same voxels in space turned about z."""
    turned = sitk.Image(image)
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turned.SetDirection((c, -s, 0, s, c, 0, 0, 0, 1))
    return turned


def linear_image(size=(30, 24, 18), spacing=(2.0, 3.0, 4.0)) -> sitk.Image:
    """Values 2 x - y + 3 z of the position in mm: exact under linear interpolation."""
    image = sitk.Image(size, sitk.sitkFloat32)
    image.SetSpacing(spacing)
    image.SetOrigin((-20.0, 10.0, 5.0))
    x, y, z = (o + s * np.arange(n) for o, s, n in zip(image.GetOrigin(), spacing, size, strict=True))
    return from_array((2 * x[None, None] - y[None, :, None] + 3 * z[:, None, None]).astype(np.float32), image)


# --- grid and resampling ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [1.0, 3.0, 5.0])
def test_extent_is_kept(spacing):
    """60 x 72 x 72 mm from the outer face of the first voxel: kept to half a working voxel at each end."""
    lower, upper = physical_extent(linear_image())
    np.testing.assert_allclose(lower, (-21, 8.5, 3))
    np.testing.assert_allclose(upper - lower, (60, 72, 72))
    result = resample(linear_image(), spacing)
    new_lower, new_upper = physical_extent(result)
    assert np.abs(new_lower - lower).max() <= spacing / 2 and np.abs(new_upper - upper).max() <= spacing / 2
    np.testing.assert_allclose(new_lower + new_upper, lower + upper, atol=1e-5)
    assert result.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert result.GetSpacing() == (spacing,) * 3


def test_grid_of_flipped_image_is_in_lps():
    """A volume stored right to left and back to front gets the grid of its unflipped twin, and its values."""
    image = linear_image()
    flipped = sitk.Flip(image, (True, True, False))
    assert working_grid(flipped, 3.0) == working_grid(image, 3.0)
    np.testing.assert_allclose(to_array(resample(flipped, 3.0)), to_array(resample(image, 3.0)), atol=1e-3)


def test_grid_of_oblique_image_holds_all_of_it():
    """The box around a square of side a turned by 45 degrees has the side a times the square root of 2."""
    image = sitk.Image((10, 10, 4), sitk.sitkInt16)
    lower, upper = physical_extent(oblique(image, 45.0))
    np.testing.assert_allclose((upper - lower)[:2], 10 * np.sqrt(2))


def test_linear_values_are_exact():
    """Where no axis becomes coarser, 2 x - y + 3 z comes back at every inner point of the new grid."""
    result = resample(linear_image(), 2.0)
    x, y, z = (o + 2 * np.arange(n) for o, n in zip(result.GetOrigin(), result.GetSize(), strict=True))
    expected = 2 * x[None, None] - y[None, :, None] + 3 * z[:, None, None]
    np.testing.assert_allclose(to_array(result)[2:-2, 2:-2, 2:-2], expected[2:-2, 2:-2, 2:-2], atol=1e-3)


def test_outside_is_air():
    """A grid pushed half outside the source holds air there."""
    image = linear_image()
    result = resample(image, 2.0, transform=sitk.TranslationTransform(3, (0.0, 0.0, 36.0)))
    array = to_array(result)
    assert (array[-17:] == AIR_HU).all() and (array[:17] > -500).all()


def test_downsampling_averages_noise():
    """White noise of SD 100 at 1 mm falls at 5 mm well below the SD that picking voxels would keep."""
    noise = np.random.default_rng(0).normal(0, 100, (60, 60, 60)).astype(np.float32)
    result = resample(sitk.GetImageFromArray(noise), 5.0)
    # A Gaussian of SD s averages (2 sqrt(pi) s)^3 voxels: s = sqrt(24) / 2.3548 = 2.08, so 401 of them.
    assert to_array(result)[2:-2, 2:-2, 2:-2].std() == pytest.approx(100 / np.sqrt(401), rel=0.25)


def test_labels_stay_labels():
    """Labels 0, 1 and 2 stay themselves, and keep their volume."""
    labels = np.zeros((18, 24, 30), np.uint8)
    labels[4:14, 4:20, 3:15], labels[4:14, 4:20, 15:27] = 1, 2
    image = from_array(labels, linear_image())
    result = resample(image, 1.0, labels=True)
    assert set(np.unique(to_array(result))) == {0, 1, 2} and result.GetPixelID() == sitk.sitkUInt8
    for label in (1, 2):
        assert volume_ml(result, label) == pytest.approx(volume_ml(image, label), rel=0.02)


def test_a_label_map_takes_the_way_of_given_masks(patient, tmp_path):
    """Moved onto the working grid with its phase's shift, it is voxel by voxel what preprocessing made of the masks."""
    case = case_of(patient, tmp_path)
    facts = preprocess(case)
    for number, phase in enumerate(facts["phase"]):
        if phase == "delayed":  # has no masks
            continue
        liver, spleen = (sitk.ReadImage(patient[f"{organ}_mask_{phase}"]) for organ in ("liver", "spleen"))
        drawn = liver + 2 * spleen * (1 - liver)
        working = sitk.ReadImage(str(case.image(phase)))
        shift = tuple(facts[f"shift_{axis}_mm"][number] for axis in "xyz")
        expected = sitk.ReadImage(str(case.reference_labels(phase)))
        np.testing.assert_array_equal(to_array(labels_on_grid(drawn, working, shift)), to_array(expected))


@pytest.mark.parametrize("spacing", [0.0, -1.0, float("nan")])
def test_spacing_refused(spacing):
    """No grid has voxels without an edge."""
    with pytest.raises(DataError, match="working spacing: must be above 0 mm"):
        working_grid(linear_image(), spacing)


# --- values ----------------------------------------------------------------------------------------------------------


def test_window_of_alarm():
    """Width 200 at level 40 is -60 to 140 HU."""
    np.testing.assert_array_equal(window([-1000, -60, 0, 140, 900], 200, 40), [-60, -60, 0, 140, 140])
    with pytest.raises(DataError, match="width must be above 0"):
        window([0.0], 0, 40)


def test_bins_by_hand():
    """With width 25 bins begin at -75, -50, ...: -60 and -51 fall into 1, -50 into 2, 0 into 4, 24.9 into 4."""
    np.testing.assert_array_equal(discretise([-60, -51, -50, 0, 24.9, 25], 25), [1, 1, 2, 4, 4, 5])


def test_bins_are_those_of_pyradiomics():
    """The independent implementation: PyRadiomics' own binning of the same voxels."""
    imageoperations = pytest.importorskip("radiomics.imageoperations")
    values = np.random.default_rng(3).normal(60, 40, 500)
    values[:3] = (-75.0, 100.0, 50.0)
    expected, _ = imageoperations.binImage(values.copy(), np.arange(500), binWidth=25)
    np.testing.assert_array_equal(discretise(values, 25), expected)


@pytest.mark.parametrize(
    ("values", "width", "words"),
    [
        ([1.0, 2.0], 0, "bin width"),
        ([], 25, "finite, but found none"),
        ([1.0, np.nan], 25, "finite, but found NaN"),
    ],
)
def test_bins_refused(values, width, words):
    """A width of 0, no value and NaN are refused."""
    with pytest.raises(DataError, match=words):
        discretise(values, width)


# --- alignment -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.0, 0.0, 7.5), (0.0, 0.0, -12.0)], ids=str)
def test_known_breathing_is_found(shift):
    """Organs that moved up or down in a still body, in another contrast, are found within a third of a voxel."""
    fixed, *_ = field_image(contrast=60, seed=1)
    moving, *_ = field_image(shift, contrast=20, seed=2)
    offset = np.array(align_phase(moving, AlignmentTarget.of(fixed)).GetOffset())
    assert abs(offset[2] - shift[2]) < SPACING_MM / 3
    assert np.abs(offset[:2]).max() < SPACING_MM / 3


@pytest.mark.parametrize("degrees", [-12.0, 6.0])
def test_breathing_of_a_patient_who_lies_turned(degrees):
    """Organs move along the patient's own axis: turned about x by a, 10 mm are (0, -10 sin a, 10 cos a)."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    images = [field_image(contrast=60, seed=1)[0], field_image((0.0, 0.0, 10.0), contrast=20, seed=2)[0]]
    for image in images:
        image.SetOrigin((turn @ image.GetOrigin()).tolist())
        image.SetDirection(turn.ravel().tolist())
    found = align_phase(images[1], AlignmentTarget.of(images[0])).GetOffset()
    np.testing.assert_allclose(found, (0, -10 * s, 10 * c), atol=SPACING_MM / 3)


def test_alignment_of_whole_image_on_other_grid():
    """The same image in a header moved by (4, -3, 9) mm gives that translation, within 0.5 mm."""
    fixed, *_ = field_image()
    moving = sitk.Image(fixed)
    moving.SetOrigin((-166.0, -133.0, -101.0))
    np.testing.assert_allclose(align_phase(moving, AlignmentTarget.of(fixed)).GetOffset(), (4, -3, 9), atol=0.5)


def test_alignment_repeats_itself():
    """Two calls, and another number of threads, give the same bits."""
    fixed, *_ = field_image(seed=1)
    moving, *_ = field_image((0, 0, 6.0), seed=2)
    first = align_phase(moving, AlignmentTarget.of(fixed)).GetOffset()
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    try:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(3)
        assert align_phase(moving, AlignmentTarget.of(fixed)).GetOffset() == first
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def test_alignment_without_overlap():
    """Images of different places are refused."""
    fixed, *_ = field_image()
    moving = sitk.Image(fixed)
    moving.SetOrigin((1000.0, 0.0, 0.0))
    with pytest.raises(ImageError, match="same part of the body"):
        align_phase(moving, AlignmentTarget.of(fixed))


# --- one patient -----------------------------------------------------------------------------------------------------

SHIFT = (0.0, 0.0, 7.5)


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """Files of a patient whose organs lie 7.5 mm higher in the arterial phase; masks on both; a row of a manifest."""
    folder = tmp_path_factory.mktemp("patient")
    row = {}
    for phase, shift, contrast in (
        ("arterial", SHIFT, 25.0),
        ("venous", (0, 0, 0), 60.0),
        ("delayed", (0, 0, 0), 40.0),
    ):
        image, liver, spleen = field_image(shift, contrast, seed=PHASES.index(phase))
        row[phase] = folder / f"{phase}.nii.gz"
        write_image(image, row[phase])
        if phase == "delayed":
            continue
        for organ, mask in (("liver", liver), ("spleen", spleen)):
            row[f"{organ}_mask_{phase}"] = folder / f"{organ}_{phase}.nii.gz"
            write_image(from_array(mask, image), row[f"{organ}_mask_{phase}"])
    return {name: str(path) for name, path in row.items()}


def case_of(patient, tmp_path, phases=PHASES, key="P0007") -> Case:
    """The patient in a run under `tmp_path`."""
    return Case(RunPaths(tmp_path / "run"), "alarm", key, tuple(phases), patient)


def preprocess(case: Case, **settings) -> dict[str, list]:
    return preprocess_patient(case, PreprocessingSettings(**{"spacing_mm": SPACING_MM, **settings}))


def stored(case: Case, **settings) -> dict[str, list] | None:
    """What the store has of a patient."""
    try:
        with reading_only():
            return preprocess(case, **settings)
    except NotStoredError:
        return None


def test_patient_facts(patient, tmp_path):
    """One value a phase: sizes and spacings of the files, the shift that was simulated, volumes by voxel count."""
    facts = preprocess(case_of(patient, tmp_path))
    assert tuple(facts) == FACTS_COLUMNS
    assert facts["phase"] == list(PHASES)
    assert facts["source_size_z"] == [44] * 3 and facts["source_spacing_z_mm"] == [5.0] * 3
    assert facts["shift_z_mm"][0] == pytest.approx(7.5, abs=SPACING_MM / 3)
    assert facts["shift_z_mm"][1] == 0
    _, liver, spleen = field_image()
    assert facts["liver_ml"][1] == pytest.approx(liver.sum() * 0.125)
    assert facts["spleen_ml"][1] == pytest.approx(spleen.sum() * 0.125)
    assert np.isnan(facts["liver_ml"][2])


def test_patient_phases_share_a_grid_and_organs(patient, tmp_path):
    """The arterial liver, 7.5 mm higher on its own grid, covers the venous one after alignment."""
    case = case_of(patient, tmp_path)
    preprocess(case)
    images = [read_image(case.image(phase)) for phase in PHASES]
    assert len({(image.GetSize(), image.GetSpacing(), image.GetOrigin()) for image in images}) == 1
    labels = {}
    for phase in ("arterial", "venous"):
        labels[phase] = sitk.GetArrayFromImage(sitk.ReadImage(str(case.reference_labels(phase))))
        assert set(np.unique(labels[phase])) == {0, 1, 2}
    assert not case.reference_labels("delayed").exists()

    def dice(a, b):
        return 2 * (a & b).sum() / (a.sum() + b.sum())

    _, moved, _ = field_image(SHIFT)
    _, still, _ = field_image()
    assert dice(labels["arterial"] == 1, labels["venous"] == 1) > 0.97 > dice(moved, still)


def test_patient_images_are_not_clipped(patient, tmp_path):
    """Air and bone keep their HU, as whole numbers."""
    case = case_of(patient, tmp_path)
    preprocess(case)
    image = read_image(case.image("venous"))
    assert image.GetPixelID() == sitk.sitkInt16
    assert to_array(image).min() < -900 and to_array(image).max() > 280


def test_patient_without_alignment(patient, tmp_path):
    """With alignment off nothing moves."""
    facts = preprocess(case_of(patient, tmp_path), align_phases=False)
    assert facts["shift_z_mm"] == [0.0] * 3


def test_patient_of_one_phase(patient, tmp_path):
    """A patient with one phase only is put on that phase's own grid."""
    facts = preprocess(case_of(patient, tmp_path, phases=("delayed",)))
    assert facts["phase"] == ["delayed"] and facts["shift_z_mm"] == [0.0]


def test_patient_volume_survives_a_finer_grid(patient, tmp_path):
    """Resampled from 5 to 3 mm, both organs keep their volume within 2 %."""
    case = case_of(patient, tmp_path, phases=("venous",))
    facts = preprocess(case, spacing_mm=3.0)
    labels = sitk.ReadImage(str(case.reference_labels("venous")))
    for label, organ in enumerate(("liver", "spleen"), start=1):
        assert volume_ml(labels, label) == pytest.approx(facts[f"{organ}_ml"][0], rel=0.02)


def test_patient_is_found_again(patient, tmp_path):
    """A second run, under another key, takes the stored files; other settings or images do not find them."""
    first = case_of(patient, tmp_path)
    assert stored(first) is None
    facts = preprocess(first)
    again = dataclasses.replace(first, run=RunPaths(tmp_path / "elsewhere"), key="P0008")
    np.testing.assert_equal(stored(again), facts)
    for phase in PHASES:
        assert again.image(phase).read_bytes() == first.image(phase).read_bytes()
    assert stored(first, spacing_mm=4.0) is None
    assert stored(case_of({**patient, "arterial": patient["delayed"]}, tmp_path)) is None
    assert stored(first, window_width=300.0) is not None


def test_patient_half_done_is_not_found(patient, tmp_path, monkeypatch):
    """A run killed after its first image leaves nothing that counts as done."""

    class KilledError(Exception):
        pass

    def killed(*args):
        raise KilledError

    monkeypatch.setattr(patients, "label_map", killed)
    case = case_of(patient, tmp_path)
    with pytest.raises(KilledError):
        preprocess(case)
    assert stored(case) is None
    assert not any(case.image(phase).exists() for phase in PHASES)
    assert list(case.run.store.root.rglob("*.nii.gz")) == []


def test_patient_mask_on_another_grid(patient, tmp_path):
    """The error names patient, phase and organ."""
    small, liver, _ = field_image()
    write_image(sitk.Shrink(from_array(liver, small), (1, 1, 2)), tmp_path / "liver.nii.gz")
    wrong = {**patient, "liver_mask_venous": str(tmp_path / "liver.nii.gz")}
    with pytest.raises(MaskError, match="P0007, venous, liver: mask must lie on the grid of its image"):
        preprocess(case_of(wrong, tmp_path))


def test_patient_missing_image(patient, tmp_path):
    """A missing image is an error of its patient and phase, and not found as done."""
    wrong = case_of({**patient, "delayed": str(tmp_path / "gone.nii.gz")}, tmp_path)
    assert stored(wrong) is None
    with pytest.raises(ImageError, match="P0007, delayed: image must exist"):
        preprocess(wrong)


def test_case_can_be_pickled(patient, tmp_path):
    """Worker processes get the case by pickling."""
    made = case_of(patient, tmp_path)
    assert pickle.loads(pickle.dumps(made)) == made


def test_ct_at_its_own_spacing(abdominal_ct, tmp_path):
    """An abdominal CT of 3 mm at 3 mm: its own grid in LPS, and volumes as its masks have them."""
    row = {"venous": str(abdominal_ct.folder / "ct.nii.gz")}
    row |= {f"{organ}_mask_venous": str(abdominal_ct.folder / f"{organ}.nii.gz") for organ in ("liver", "spleen")}
    case = case_of(row, tmp_path, phases=("venous",))
    facts = preprocess(case, spacing_mm=3.0)
    assert tuple(facts[f"size_{axis}"][0] for axis in "xyz") == abdominal_ct.size
    labels = sitk.ReadImage(str(case.reference_labels("venous")))
    assert labels.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert volume_ml(labels, 1) == pytest.approx(abdominal_ct.liver * 0.027) == facts["liver_ml"][0]
    assert volume_ml(labels, 2) == pytest.approx(abdominal_ct.spleen * 0.027) == facts["spleen_ml"][0]
