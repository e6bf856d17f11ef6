"""Several labels of one image in one pass, and masks that a setting finds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from hccbook import images
from hccbook.cohort import check_manifest, with_masks
from hccbook.errors import MaskError, SettingsError
from hccbook.features.radiomics import ExtractionSettings, extract_features, extract_labels
from hccbook.images import organ_in, read_image, read_mask, read_masks, write_image
from hccbook.images.remarks import collected
from hccbook.settings import ORGANS

SETTINGS = ExtractionSettings(bin_width=20)
BOXES = {1: np.s_[2:8, 3:10, 4:9], 5: np.s_[3:11, 4:12, 12:20], 9: np.s_[9:12, 14:18, 2:9]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT of noise and a map of three labels on its grid."""
    folder = tmp_path_factory.mktemp("labels")
    ct = sitk.GetImageFromArray(np.random.default_rng(1).normal(60, 25, (14, 20, 24)).astype(np.int16))
    ct.SetSpacing((2.0, 2.0, 3.0))
    labels = np.zeros((14, 20, 24), np.uint8)
    for label, box in BOXES.items():
        labels[box] = label
    marked = sitk.GetImageFromArray(labels)
    marked.CopyInformation(ct)
    write_image(ct, folder / "ct.nii.gz")
    write_image(marked, folder / "all.nii.gz")
    return folder


def quiet_labels(*arguments: object) -> pd.DataFrame:
    """Without remarks that no liver is so small."""
    with collected():
        return extract_labels(*arguments)


@pytest.mark.parametrize("labels", [("5", "1"), ("all",)])
def test_a_row_a_label_with_the_values_of_that_label_alone(folder, labels):
    """In the order asked for; all is every label of the map."""
    table = quiet_labels(folder / "ct.nii.gz", folder / "all.nii.gz", labels, SETTINGS)
    assert table["Label"].tolist() == (["1", "5", "9"] if labels == ("all",) else ["5", "1"])
    volume = read_image(folder / "ct.nii.gz")
    for _, row in table.iterrows():
        alone = extract_features(volume, read_mask(f"{folder}/all.nii.gz#{row['Label']}", volume), SETTINGS)
        assert row[alone.index].astype(float).tolist() == alone.tolist()
        assert row["original_shape_VoxelVolume"] == pytest.approx(
            12 * np.zeros((14, 20, 24))[BOXES[int(row["Label"])]].size
        )


def test_provenance_beside_the_values(folder):
    """Versions; hashes of image, mask and settings, each as it can be calculated without the package."""
    table = quiet_labels(folder / "ct.nii.gz", folder / "all.nii.gz", ["1", "5"], SETTINGS)
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "ct.nii.gz"))).astype("<i2")
    assert set(table["diagnostics_Image-original_Hash"]) == {
        hashlib.sha256(b"(14, 20, 24)" + array.tobytes()).hexdigest()
    }
    mask = np.zeros(array.shape, "<i2")
    mask[BOXES[5]] = 1
    expected = hashlib.sha256(b"(14, 20, 24)" + mask.tobytes()).hexdigest()
    assert table.set_index("Label").at["5", "diagnostics_Mask-original_Hash"] == expected
    assert table["diagnostics_Versions_numpy"].tolist() == [np.__version__] * 2
    other = quiet_labels(folder / "ct.nii.gz", folder / "all.nii.gz", ["1"], ExtractionSettings(bin_width=21))
    assert other["diagnostics_Configuration_Hash"][0] not in set(table["diagnostics_Configuration_Hash"])
    assert table["diagnostics_Configuration_Hash"].nunique() == 1


def test_image_and_map_are_read_once(folder, monkeypatch):
    """Three labels open two files."""
    opened: list[str] = []
    for module, name in (("ct", "read_nifti"), ("masks", "read_voxels")):
        plain = getattr(images.nifti, name)

        def read(path, *others, plain=plain):
            opened.append(Path(path).name)
            return plain(path, *others)

        monkeypatch.setattr(f"hccbook.images.{module}.{name}", read)
    quiet_labels(folder / "ct.nii.gz", folder / "all.nii.gz", ["all"], SETTINGS)
    assert sorted(opened) == ["all.nii.gz", "ct.nii.gz"]


@pytest.mark.parametrize(
    ("mask", "labels", "words"),
    [
        ("all.nii.gz", ["1", "4"], "all.nii.gz#4: must hold the label 4"),
        ("all.nii.gz", ["liver"], "a whole number above 0"),
        ("all.nii.gz#5", ["1"], "labels must be named once"),
        ("all.nii.gz", [], "must hold 0 \\(background\\) and 1"),
        ("", ["all"], "'all' must be asked of a NIfTI file"),
        ("gone.nii.gz", ["1"], "mask must be a file or folder"),
    ],
)
def test_labels_refused(folder, mask, labels, words):
    """The message names the label that is wrong."""
    with pytest.raises(MaskError, match=words):
        read_masks(folder / mask, read_image(folder / "ct.nii.gz"), labels)


# --- masks that a setting finds --------------------------------------------------------------------------------------


def test_organ_in_a_label_map(tmp_path):
    """TotalSegmentator's numbers, unless nnU-Net's description of its labels lies beside the file."""
    assert organ_in(tmp_path / "all.nii.gz", "liver").endswith("all.nii.gz#5")
    assert organ_in(tmp_path / "all.nii.gz", "spleen").endswith("all.nii.gz#1")
    assert organ_in(tmp_path / "segmentations", "liver") == str(tmp_path / "segmentations")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "spleen": 3, "liver": 7}}))
    assert organ_in(tmp_path / "case.nii.gz", "liver").endswith("case.nii.gz#7")


@pytest.mark.parametrize("content", ["{", "[]", '{"labels": {"tumour": 1}}', '{"labels": {"liver": [1, 2]}}', "{}"])
def test_descriptions_refused(tmp_path, content):
    """A broken description, one without the organ, and one of regions."""
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(MaskError, match=r"dataset\.json: "):
        organ_in(tmp_path / "case.nii.gz", "liver")


def manifest_of(folder: Path, **columns: object) -> pd.DataFrame:
    row = {"patient_id": "A-1", "centre": "B", "age": 50, "sex": "male", "bilirubin": 17, "albumin": 40}
    row |= {"platelets": 150, "afp": 5, "alt": 30, "etiology": "HBV", "hcc": 0, "months": 24, "venous": "ct.nii.gz"}
    pd.DataFrame([row | columns]).to_csv(folder / "manifest.csv", index=False)
    return pd.DataFrame(
        [row | dict.fromkeys((f"{organ}_mask_venous" for organ in ORGANS), "") | columns], index=["P0001"]
    )


def test_a_pattern_fills_what_the_manifest_leaves_empty(tmp_path):
    """Names of patient and phase take the place of the braces; a mask that the manifest names stays."""
    table = manifest_of(tmp_path, liver_mask_venous="own.nii.gz")
    filled = with_masks(table, "ts/{patient_id}/{phase}.nii.gz", tmp_path, ("venous",))
    assert filled.loc["P0001", "liver_mask_venous"] == "own.nii.gz"
    assert filled.loc["P0001", "spleen_mask_venous"] == f"{tmp_path}/ts/A-1/venous.nii.gz#1"
    assert table.loc["P0001", "spleen_mask_venous"] == ""
    with pytest.raises(SettingsError, match=r"segmentation\.masks.*'ts/\{patient\}'"):
        with_masks(table, "ts/{patient}", tmp_path, ("venous",))


def test_check_reads_the_masks_of_a_pattern(folder):
    """A map that holds both organs is no problem; one that is not there is named with its column."""
    manifest_of(folder)
    assert check_manifest(folder / "manifest.csv", ("venous",), masks="all.nii.gz") == []
    problems = check_manifest(folder / "manifest.csv", ("venous",), masks="{patient_id}.nii.gz")
    assert {problem.column for problem in problems} == {"liver_mask_venous", "spleen_mask_venous"}
    assert all("must be a file or folder" in problem.rule for problem in problems)
