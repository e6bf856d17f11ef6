"""Inputs that users have sent: each ends in the value worked out by hand, or in a message that says what to do.

A body of 60 HU, 20 x 20 voxels in the middle of 8 slices, lies in air of -1,000 HU. Its voxels are 0.8 x 0.7 x 2.5 mm,
so 1.4 mm^3, and 3,200 of them are 4,480 mm^3; on a grid of 1 mm they are 3,200 mm^3.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from test_images import write_series
from test_nifti_reading import PLAIN, nifti
from typer.testing import CliRunner

from hccbook import cli
from hccbook.errors import HccbookError
from hccbook.images.patients import preprocess_patient
from hccbook.pipeline.preprocessing import preprocess_cohort
from hccbook.run import Case, RunPaths
from hccbook.settings import PreprocessingSettings

AFFINE_1MM = np.diag([-1.0, -1.0, 1.0, 1.0])[:3]
FIRST_ORDER = (
    "featureClass:\n  shape: [VoxelVolume, Maximum3DDiameter]\n  firstorder: [Mean, Minimum, Maximum]\n"
    "imageType:\n  Original: {}\n"
)


def body() -> np.ndarray:
    """HU (z, y, x)."""
    hu = np.full((12, 40, 40), -1000)
    hu[2:-2, 10:-10, 10:-10] = 60
    return hu


@pytest.fixture
def extract(tmp_path):
    """Function that extracts from files of the folder: values by feature, what was said beside them, and the error."""
    (tmp_path / "first.yaml").write_text(FIRST_ORDER, encoding="utf-8")

    def run(image: str, mask: str, settings: str = "first.yaml") -> tuple[dict[str, float], str]:
        call = ["extract", str(tmp_path / image), str(tmp_path / mask), "--settings", str(tmp_path / settings)]
        output = tmp_path / "features.csv"
        result = CliRunner().invoke(cli.app, [*call, "-o", str(output)])
        if result.exception is not None:
            raise result.exception
        row = pd.read_csv(output).iloc[0]
        return {name: float(row[name]) for name in row.index if name.startswith("original_")}, result.stderr

    return run


@pytest.fixture
def series(tmp_path):
    """The body as a series of DICOM slices, and its mask as NIfTI."""
    liver = (body() > 0).astype(int)
    affine = np.array([[-0.8, 0, 0, 50], [0, -0.7, 0, 40], [0, 0, 2.5, 100]])
    nifti(tmp_path / "liver.nii", liver, sform=affine, edges=(0.8, 0.7, 2.5), kind="<u1")
    return lambda **options: write_series(tmp_path / "ct", body() + 1024, **options)


def message(extract, *words: object) -> str:
    """The one error of ours that a call ends in."""
    with pytest.raises(HccbookError) as caught:
        extract(*words)
    return str(caught.value)


def test_decimal_comma(extract, series):
    """Pixel spacing with commas: the volume by hand."""
    for file in series():
        file.write_bytes(file.read_bytes().replace(rb"0.7\0.8", rb"0,7\0,8"))
    values, said = extract("ct", "liver.nii")
    assert values["original_shape_VoxelVolume"] == pytest.approx(4480)
    assert "ct: decimal commas in PixelSpacing in 12 of 12 slices" in said


@pytest.mark.parametrize("name", ["twice", "never"])
def test_intensities_scaled_twice_or_never(extract, tmp_path, name):
    """Liver means of -964 and 1,084 HU would follow."""
    hu = body()
    hu[:, :2, :2] = 1500
    wrong = hu - 1024 if name == "twice" else np.where(np.arange(40) == 39, -2000, hu + 1024)
    nifti(tmp_path / "ct.nii", wrong, sform=AFFINE_1MM, edges=(1, 1, 1))
    nifti(tmp_path / "liver.nii", (hu == 60).astype(int), sform=AFFINE_1MM, edges=(1, 1, 1), kind="<u1")
    assert {"twice": "subtracted twice", "never": "never added"}[name] in message(extract, "ct.nii", "liver.nii")


def test_mask_almost_one(extract, tmp_path):
    """A mask of 0.99999994 is one of 1."""
    nifti(tmp_path / "ct.nii", body(), sform=AFFINE_1MM, edges=(1, 1, 1))
    almost = (body() > 0) * np.float32(0.99999994)
    nifti(tmp_path / "liver.nii", almost, sform=AFFINE_1MM, edges=(1, 1, 1), kind="<f4")
    values, said = extract("ct.nii", "liver.nii")
    assert values["original_shape_VoxelVolume"] == pytest.approx(3200)
    assert "liver.nii: labels up to 6e-08 beside whole numbers; rounded." in said


def test_monochrome1(extract, series, tmp_path):
    """The mean is 60 HU, not its complement -61."""
    write_series(
        tmp_path / "ct",
        body().astype(np.int16).view(np.uint16),
        intercept=0,
        PixelRepresentation=1,
        PhotometricInterpretation="MONOCHROME1",
    )
    values, said = extract("ct", "liver.nii")
    assert values["original_firstorder_Mean"] == 60
    assert "MONOCHROME1" in said


def test_sform_without_pixdim(extract, tmp_path):
    """The sform's 0.8 x 0.7 x 2.5 mm make 1.4 times the volume of pixdim's 1 x 1 x 1 mm."""
    nifti(tmp_path / "ct.nii", body(), edges=(1, 1, 1))
    nifti(tmp_path / "liver.nii", (body() > 0).astype(int), edges=(1, 1, 1), kind="<u1")
    values, said = extract("ct.nii", "liver.nii")
    assert values["original_shape_VoxelVolume"] == pytest.approx(4480)
    assert said.count("0.8 x 0.7 x 2.5 mm taken, from the sform") == 2


def test_short_pixel_data(extract, series):
    """A slice that lost its lower half, saved again by pydicom, is refused by its name."""
    file = series()[5]
    file.write_bytes(file.read_bytes()[:-1600])
    pydicom.dcmread(file).save_as(file, enforce_file_format=True)
    said = message(extract, "ct", "liver.nii")
    assert f"ct, slice {file.name!r}: every slice must hold all of its pixels, 3,200 bytes, but found 1,600" in said


def test_which_slice(extract, series):
    """A slice that breaks off is named, and nothing of the library that tried to read it."""
    file = series()[5]
    file.write_bytes(file.read_bytes()[:-900])
    said = message(extract, "ct", "liver.nii")
    assert f"slice {file.name!r}" in said and "0x" not in said and "itk" not in said.lower()


@pytest.mark.parametrize(("scale", "unit"), [(1000.0, "micrometres"), (0.001, "metres")])
def test_voxels_of_another_unit(extract, tmp_path, scale, unit):
    """800 mm and 0.0008 mm are no voxels of a body; the message says what they are likely to be."""
    affine, edges = PLAIN * scale, (0.8 * scale, 0.7 * scale, 2.5 * scale)
    nifti(tmp_path / "ct.nii", body(), sform=affine, edges=edges, units=0)
    nifti(tmp_path / "liver.nii", (body() > 0).astype(int), sform=affine, edges=edges, units=0, kind="<u1")
    assert f"They would do in {unit}" in message(extract, "ct.nii", "liver.nii")


def test_implausible_organ(extract, tmp_path):
    """4.48 mL and 60 HU: the volume is no liver's, and the mean is one's."""
    nifti(tmp_path / "ct.nii", body())
    nifti(tmp_path / "liver.nii", (body() > 0).astype(int), kind="<u1")
    _, said = extract("ct.nii", "liver.nii")
    assert "liver.nii: a volume of 4.48 mL, where a CT of the liver has 500 to 4000 mL; look at the mask" in said
    assert "HU" not in said
    nifti(tmp_path / "spleen.nii", (body() < 0).astype(int), kind="<u1")
    assert "a mean of -1000 HU, where a CT of the spleen has 0 to 250 HU" in extract("ct.nii", "spleen.nii")[1]


# --- a run -----------------------------------------------------------------------------------------------------------


def case(folder: Path, **sources: object) -> Case:
    """A patient with these images and masks."""
    paths = {name: str(folder / str(path)) for name, path in sources.items()}
    return Case(RunPaths(folder / "run"), "alarm", "P0001", ("venous",), paths)


def test_remarks_stand_beside_the_failures(tmp_path, series, monkeypatch):
    """What was repaired of a patient is a row of a table, by phase, and what was repaired in a mask as well."""
    for file in series(PhotometricInterpretation="MONOCHROME1"):
        file.write_bytes(file.read_bytes().replace(rb"0.7\0.8", rb"0,7\0,8"))
    affine = np.array([[-0.8, 0, 0, 50], [0, -0.7, 0, 40], [0, 0, 2.5, 100]])
    nifti(tmp_path / "almost.nii", (body() > 0) * 0.9999, sform=affine, edges=(0.8, 0.7, 2.5), kind="<f4")
    patient = case(tmp_path, venous="ct", liver_mask_venous="almost.nii")
    monkeypatch.setattr("hccbook.pipeline.preprocessing.source_cases", lambda *_: {"P0001": patient})
    for _ in range(2):  # made, and found in the store
        facts = preprocess_cohort(patient.run, "alarm", PreprocessingSettings(spacing_mm=2.5), ("venous",), 1)
        table = pd.read_csv(patient.run.stage("preprocessing") / "alarm_remarks.csv")
        assert table["patient"].tolist() == ["P0001"] * 3 and table["phase"].tolist() == ["venous"] * 3
        assert [line.partition("; ")[0] for line in table["remark"]] == [
            "P0001, venous: decimal commas in PixelSpacing in 12 of 12 slices",
            "P0001, venous: MONOCHROME1, which is shown with air white in 12 of 12 slices",
            "P0001, venous, liver: labels up to 0.0001 beside whole numbers",
        ]
        assert "remarks" not in facts and facts["liver_ml"].tolist() == [pytest.approx(4.48)]


def test_one_mask_for_both_organs(tmp_path, series):
    """The liver given for both organs, under two names, fails this patient, with the patient's key."""
    series()
    (tmp_path / "spleen.nii").write_bytes((tmp_path / "liver.nii").read_bytes())
    patient = case(tmp_path, venous="ct", liver_mask_venous="liver.nii", spleen_mask_venous="spleen.nii")
    said = message(preprocess_patient, patient, PreprocessingSettings(spacing_mm=2.5))
    assert said.startswith(
        "P0001, venous: liver and spleen may share at most 1% of the smaller organ, but found 100.0%"
    )


# --- parameter files -------------------------------------------------------------------------------------------------


@pytest.fixture
def labels(tmp_path):
    """A label map in which the body is 2."""
    nifti(tmp_path / "ct.nii", body(), sform=AFFINE_1MM, edges=(1, 1, 1))
    nifti(tmp_path / "all.nii", 2 * (body() > 0), sform=AFFINE_1MM, edges=(1, 1, 1), kind="<u1")

    def write(label: int | None) -> None:
        setting = "" if label is None else f"setting:\n  label: {label}\n"
        (tmp_path / "label.yaml").write_text(f"{setting}featureClass:\n  firstorder: [Mean]\n", encoding="utf-8")

    return write


@pytest.mark.parametrize(
    ("label", "mask"), [(2, "all.nii"), (2, "all.nii#2"), (2, "all.nii#02"), (None, "all.nii#2"), (1, "all.nii#2")]
)
def test_label_of_file_and_path(extract, labels, label, mask):
    """PyRadiomics' `label`, a label behind '#', and both alike choose the same; its default of 1 yields."""
    labels(label)
    assert extract("ct.nii", mask, "label.yaml")[0] == {"original_firstorder_Mean": 60}


@pytest.mark.parametrize(
    ("label", "mask", "words"),
    [
        (2, "all.nii#3", "setting.label: must be the label behind '#' of the mask, but found 2, and '3'"),
        (3, "all.nii", "must hold the label 3, but found the values 0, 2"),
        (None, "all.nii", "name the organ's label"),
    ],
)
def test_label_that_is_not_there(extract, labels, label, mask, words):
    """Two labels that contradict each other, and one that the map lacks."""
    labels(label)
    assert words in message(extract, "ct.nii", mask, "label.yaml")
