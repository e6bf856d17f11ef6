"""Phases in the wrong column, and volumes that occur twice, by what is in the images."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from hccbook.cohort import check_manifest
from hccbook.images import write_image
from hccbook.images.contrast import contrast_findings, phase_contrast
from hccbook.images.repeats import content_of, repeated_volumes

# Textbook means at 35, 70 and 180 s, and before contrast medium, HU.
HU = {
    "arterial": {"aorta": 300, "portal_vein": 125, "liver": 70, "spleen": 122, "muscle": 58},
    "venous": {"aorta": 160, "portal_vein": 176, "liver": 110, "spleen": 124, "muscle": 64},
    "delayed": {"aorta": 115, "portal_vein": 122, "liver": 92, "spleen": 101, "muscle": 63},
    "native": {"aorta": 42, "portal_vein": 42, "liver": 56, "spleen": 46, "muscle": 56},
}
PAIRS = list(itertools.combinations(("arterial", "venous", "delayed"), 2))


def abdomen(contrast: str, seed: int = 0) -> sitk.Image:
    """Boxes of organs in muscle in air, with bone that no phase changes; 5 mm voxels and noise of 10 HU."""
    tissue, hu = HU[contrast], np.full((40, 50, 70), -1000.0)
    hu[:, 5:-5, 5:-5] = tissue["muscle"]
    hu[:, 34:40, 30:40] = 250
    hu[8:32, 10:32, 8:30] = tissue["liver"]
    hu[12:24, 14:28, 50:60] = tissue["spleen"]
    hu[:, 29:33, 34:38] = tissue["aorta"]
    hu[16:22, 20:22, 12:28] = tissue["portal_vein"]
    noise = np.random.default_rng([seed, *contrast.encode()]).normal(0, 10, hu.shape)
    image = sitk.GetImageFromArray(np.rint(hu + noise).astype(np.int16))
    image.SetSpacing((5.0, 5.0, 5.0))
    return image


def found(**columns: str) -> list[str]:
    """Phases in which something is found, where the columns hold these contrasts."""
    return [phase for phase, _, _ in contrast_findings({column: abdomen(held) for column, held in columns.items()})]


def test_phases_in_their_columns():
    """Nothing is found of the right order, nor of any two of the three phases."""
    right = {phase: phase for phase in ("arterial", "venous", "delayed")}
    assert found(**right) == []
    for pair in itertools.combinations(right, 2):
        assert found(**{phase: phase for phase in pair}) == []


@pytest.mark.parametrize("pair", PAIRS)
def test_two_columns_swapped(pair):
    """Two phases in each other's column are found, whether or not the third is there."""
    first, second = pair
    swapped = {first: second, second: first}
    assert found(**swapped) == [first]
    (third,) = {"arterial", "venous", "delayed"} - set(pair)
    assert found(**{third: third, **swapped})


@pytest.mark.parametrize("column", ["arterial", "venous", "delayed"])
def test_native_scan_in_a_column(column):
    """A scan before contrast medium is found in any of the three columns."""
    assert found(**{"arterial": "arterial", "venous": "venous", "delayed": "delayed", column: "native"})


@pytest.mark.parametrize("pair", PAIRS)
def test_one_phase_reconstructed_twice(pair):
    """The same contrast in two columns, with other noise, is found."""
    first, second = pair
    (finding,) = contrast_findings({first: abdomen(first, seed=1), second: abdomen(first, seed=2)})
    assert finding[:2] == (first, f"must show another contrast phase than {second} does")


def test_check_remarks_on_swapped_columns(tmp_path):
    """It is a remark with line and patient, which no run refuses."""
    for column, contrast in (("arterial", "venous"), ("venous", "arterial")):
        write_image(abdomen(contrast), tmp_path / f"{column}.nii.gz")
    row = {"patient_id": "A", "centre": "B", "age": 50, "sex": "male", "bilirubin": 17, "albumin": 40, "platelets": 150}
    row |= {"afp": 5, "alt": 30, "etiology": "HBV", "hcc": 0, "months": 24}
    row |= {phase: f"{phase}.nii.gz" for phase in ("arterial", "venous")}
    pd.DataFrame([row]).to_csv(tmp_path / "manifest.csv", index=False)
    (remark,) = check_manifest(tmp_path / "manifest.csv", ("arterial", "venous"))
    assert (remark.line, remark.patient_id, remark.column) == (2, "A", "arterial")
    assert "swapped" in remark.rule
    assert remark.consequence == "look at it"


def test_a_single_phase_is_never_found():
    """There is nothing to compare it with."""
    assert found(venous="native") == []


def test_what_is_no_abdomen_is_not_judged():
    """Two phases that share no quarter of a litre of bright tissue say nothing."""
    far = abdomen("arterial")
    far.SetOrigin((0.0, 0.0, 900.0))
    assert phase_contrast(far, abdomen("venous")) is None
    assert contrast_findings({"arterial": far, "venous": abdomen("venous")}) == []


@pytest.mark.parametrize("direction", ["RAS", "PIR", "LPI"])
def test_content_does_not_depend_on_how_axes_are_stored(direction):
    """The same voxels in another order and direction have the same digest; one voxel changed has another."""
    image = abdomen("venous")
    turned = sitk.DICOMOrient(image, direction)
    assert turned.GetDirection() != image.GetDirection()
    assert content_of(turned) == content_of(image)
    assert content_of(sitk.Cast(image, sitk.sitkFloat32)) == content_of(image)
    turned[3, 4, 5] += 1
    assert content_of(turned) != content_of(image)


def test_each_repeated_volume_names_another():
    """Of three that are the same the first names the second, the others the first; what is there once is left out."""
    contents = {"P0001": {"arterial": "a", "venous": "b"}, "P0002": {"venous": "a"}, "P0003": {"venous": "a"}}
    first, second, third = ("P0001", "arterial"), ("P0002", "venous"), ("P0003", "venous")
    assert repeated_volumes(contents) == [(first, second), (second, first), (third, first)]
