"""Masks that cannot be true are found, those of healthy synthetic patients are not, and severity sorts them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from hccbook import phantom
from hccbook.errors import MaskError
from hccbook.images import from_array, to_array
from hccbook.images.preprocessing import resample as on_grid
from hccbook.images.preprocessing import working_grid
from hccbook.segmentation import (
    FINDING_COLUMNS,
    MAX_SEVERITY,
    finding_rows,
    findings_in_words,
    mask_quality,
    nearest_bound,
    patient_findings,
    patient_quality,
    quality_findings,
    severity,
)
from hccbook.segmentation.plausibility import VOLUME_BOUNDS_ML
from hccbook.settings import PHASES, CohortSettings

SPACING = 8.0
COHORT = CohortSettings(acquisition_spacing_mm=SPACING, segmentation_patients=12)

Phases = dict[str, sitk.Image]


def label_map(shape: tuple[int, int, int], boxes: dict[int, list[tuple[slice, slice, slice]]], edge: float = 10.0):
    """Label map with boxes (z, y, x) of each label."""
    array = np.zeros(shape, np.uint8)
    for label, places in boxes.items():
        for place in places:
            array[place] = label
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([edge] * 3)
    return image


def made_up(liver: tuple[slice, slice, slice] = np.s_[2:12, 2:12, 1:11], shape=(14, 14, 24)) -> sitk.Image:
    """Voxels of 1 mL: liver 10 x 10 x 10 = 1000 mL, spleen 5 x 5 x 4 = 100 mL, x growing to the left."""
    return label_map(shape, {1: [liver], 2: [np.s_[2:7, 2:7, 18:22]]})


def rules(findings) -> list[tuple[str, str, str]]:
    return [(finding.phase, finding.organ, finding.rule) for finding in findings]


# --- one label map, by hand -------------------------------------------------------------------------------------------


def test_quality_of_a_made_up_patient():
    """1000 and 100 mL in boxes of 100 and 50 mm; centres at x = 5.5 and 19.5 voxels of 10 mm."""
    nan = pytest.approx(math.nan, nan_ok=True)
    assert mask_quality(made_up()) == {
        "on_image_grid": True,
        "liver_volume_ml": pytest.approx(1000.0),
        "liver_components": 1,
        "liver_stray_share": 0.0,
        "liver_hole_share": 0.0,
        "liver_extent_mm": 100.0,
        "liver_border_share": 0.0,
        "liver_touches_border": False,
        "liver_mean_hu": nan,
        "liver_other_tissue_share": nan,
        "liver_alike_outside_share": nan,
        "spleen_volume_ml": pytest.approx(100.0),
        "spleen_components": 1,
        "spleen_stray_share": 0.0,
        "spleen_hole_share": 0.0,
        "spleen_extent_mm": 50.0,
        "spleen_border_share": 0.0,
        "spleen_touches_border": False,
        "spleen_mean_hu": nan,
        "spleen_other_tissue_share": nan,
        "spleen_alike_outside_share": nan,
        "liver_left_of_spleen_mm": pytest.approx(-140.0),
        "liver_right_of_spleen": True,
    }
    assert quality_findings({"": mask_quality(made_up())}) == []


def test_hu_and_border_counted_by_hand():
    """A liver of 1000 voxels of 60 HU, 100 of them -900 and 20 of them 400: mean -28 HU, 12 % other tissue.

    It lies on the first slices of z and of y: 2 x 100 voxels less the 10 counted twice are 190 of 1000.
    """
    labels = made_up(np.s_[0:10, 0:10, 1:11])
    hu = np.full((14, 14, 24), 60, np.int16)
    hu[0, 0:10, 1:11] = -900
    hu[1, 0:2, 1:11] = 400
    quality = mask_quality(labels, from_array(hu, labels))
    assert quality["liver_mean_hu"] == pytest.approx((880 * 60 - 100 * 900 + 20 * 400) / 1000)
    assert quality["liver_other_tissue_share"] == pytest.approx(0.12)
    assert quality["liver_border_share"] == pytest.approx(0.19)
    assert (quality["spleen_mean_hu"], quality["spleen_border_share"]) == (60, 0)


def test_holes_counted_by_hand():
    """Of 1000 voxels of a liver two apart, and two face to face, are left out: 4 of 1000; a dent is no hole."""
    labels = made_up()
    array = to_array(labels).copy()
    z, y, x = (int(axis.min()) for axis in np.nonzero(array == 1))
    for hole in ((2, 2, 2), (5, 5, 5), (7, 7, 7), (7, 7, 8)):
        array[z + hole[0], y + hole[1], x + hole[2]] = 0
    array[z, y, x] = 0  # open to the outside at a corner: of 1000 voxels one is not there
    quality = mask_quality(from_array(array, labels))
    assert quality["liver_hole_share"] == pytest.approx(4 / 999)
    assert quality["spleen_hole_share"] == 0


def test_a_riddled_liver_is_suspicious(patients):
    """One voxel in seven at random left out leaves volume, extent, HU and Dice (0.92) believable."""
    images, labels = patients[1]
    riddled = {}
    for phase, mask in labels.items():
        array = to_array(mask).copy()
        array[(array == 1) & (np.random.default_rng(7).random(array.shape) < 1 / 7)] = 0
        riddled[phase] = from_array(array, mask)
    found = patient_findings(images, riddled)
    holes = [finding for finding in found if finding.rule == "is solid, with holes of at most 2%"]
    assert rules(holes) == [(phase, "liver", holes[0].rule) for phase in labels]
    assert min(finding.severity for finding in holes) > 0.4


def test_the_nearest_bound_worked_out_by_hand():
    """1000 mL of liver are a doubling from 500, 100 mL of spleen 1.7 from 30, 100 mm 2.2 hundreds from 320."""
    assert nearest_bound({"": mask_quality(made_up())}) == pytest.approx(-1.0)
    only = {"liver_volume_ml": 1000.0, "liver_extent_mm": 100.0, "spleen_volume_ml": 100.0}
    assert nearest_bound({"": only}) == pytest.approx(-1.0)
    assert nearest_bound({"": only | {"liver_extent_mm": 310.0}}) == pytest.approx(-0.1)
    assert nearest_bound({"": only | {"liver_extent_mm": 330.0}}) == pytest.approx(-1.0)
    assert nearest_bound({"": {"liver_volume_ml": math.nan}}) == -math.inf


def test_what_looks_alike_outside_counted_by_hand():
    """Around 10 x 10 x 10 voxels of 5 mm lie 6 x 100 at 5 mm and 12 x 10 at 7.1 mm; 100 of them go on at 60 HU."""
    labels = label_map((18, 18, 24), {1: [np.s_[4:14, 4:14, 4:14]]}, edge=5.0)
    hu = np.full((18, 18, 24), -100, np.int16)
    hu[4:14, 4:14, 4:20] = 60
    assert mask_quality(labels, from_array(hu, labels))["liver_alike_outside_share"] == pytest.approx(100 / 720)


def test_an_mask_that_ends_early_is_found(patients):
    """A liver that lost 16 mm all around leaves liver outside; the whole one does not."""
    images, labels = patients[0]
    shrunk = {}
    for phase, mask in labels.items():
        array = to_array(mask)
        core = ndimage.binary_erosion(array == 1, iterations=2)
        shrunk[phase] = from_array(np.where(core, 1, np.where(array == 2, 2, 0)).astype(np.uint8), mask)
    rule = "at most 25% of what lies just outside looks like it"
    found = {
        finding.phase
        for finding in patient_findings(images, shrunk)
        if (finding.organ, finding.rule) == ("liver", rule)
    }
    assert found == set(PHASES)
    assert rule not in {finding.rule for finding in patient_findings(images, labels)}


def test_sides_follow_the_direction_not_the_array():
    """The same array with x growing to the right has its liver on the wrong side, by 140 mm."""
    labels = made_up()
    labels.SetDirection([-1, 0, 0, 0, -1, 0, 0, 0, 1])
    (finding,) = quality_findings({"": mask_quality(labels)})
    assert str(finding) == ("both: liver lies to the patient's right of the spleen, but found 140 mm to the left of it")
    assert finding.severity == pytest.approx(140 / 50)


def test_findings_of_a_bad_label_map():
    """A liver of 8 mL in two pieces, all of it but the voxel at (1, 1, 3) on the border, and no spleen."""
    labels = label_map((6, 6, 6), {1: [np.s_[0:2, 0:2, 0:1], np.s_[0:2, 0:2, 3:4]]})
    findings = [str(finding) for finding in quality_findings({"": mask_quality(labels)})]
    assert findings == [
        "liver: volume is 500 to 4000 mL, but found 8 mL",
        "liver: is one piece, but found 2 pieces, 50.0% of it outside the largest",
        "liver: lies inside the image, but found 87.5% of it on the edge of the image",
        "spleen: must be segmented, but found no voxel",
    ]
    assert mask_quality(labels)["liver_right_of_spleen"] is False


def test_severity_worked_out_by_hand():
    """250 mL is one doubling below 500 mL; 16 L two above 4 L; 370 mm is half of 100 mm beyond 320 mm."""
    whole = {**mask_quality(made_up()), "spleen_volume_ml": 100.0}
    for change, expected in (
        ({"liver_volume_ml": 250.0}, 1.0),
        ({"liver_volume_ml": 16000.0}, 2.0),
        ({"liver_volume_ml": 1.0}, MAX_SEVERITY),
        ({"liver_volume_ml": 0.0}, MAX_SEVERITY),
        ({"liver_extent_mm": 370.0}, 0.5),
        ({"liver_stray_share": 0.06}, 0.5),
        ({"liver_border_share": 0.01}, 0.2),
        ({"liver_mean_hu": -50.0}, 0.5),
        ({"liver_mean_hu": 350.0}, 1.0),
        ({"liver_other_tissue_share": 0.2}, 0.5),
        ({"liver_phase_dice": 0.5, "liver_closest_phase": "venous"}, 1.0),
        ({"liver_phase_volume_ratio": 2.5, "liver_closest_phase": "venous"}, 1.0),
        ({"liver_phase_distance_mm": 35.0, "liver_closest_phase": "venous"}, 0.5),
        ({"on_image_grid": False}, MAX_SEVERITY),
        ({"liver_left_of_spleen_mm": 25.0}, 0.5),
    ):
        (finding,) = quality_findings({"arterial": whole | change})
        assert finding.severity == pytest.approx(expected), change


@pytest.mark.parametrize(
    "inside",
    [
        {"liver_volume_ml": 500.0},
        {"liver_volume_ml": 4000.0},
        {"liver_extent_mm": 320.0},
        {"liver_components": 4, "liver_stray_share": 0.01},
        {"liver_mean_hu": 0.0},
        {"liver_mean_hu": 250.0},
        {"liver_other_tissue_share": 0.1},
        {"liver_phase_dice": 0.75, "liver_phase_volume_ratio": 1.25, "liver_phase_distance_mm": 20.0},
    ],
)
def test_a_value_at_its_bound_is_no_finding(inside):
    """Every bound belongs to what is plausible."""
    assert quality_findings({"arterial": mask_quality(made_up()) | inside}) == []


def test_quality_refuses_other_labels():
    """Label 3 is no organ here; over a patient it is a finding, and the rest is measured all the same."""
    labels = made_up()
    labels[0, 0, 0] = 3
    with pytest.raises(MaskError, match=r"must hold 0 .* only, but found 3"):
        mask_quality(labels)
    image = from_array(np.where(to_array(labels) > 0, 60, -100).astype(np.int16), labels)
    (finding,) = patient_findings({"venous": image}, {"venous": labels}, patient="P0001")
    assert (finding.patient, finding.phase, finding.found) == ("P0001", "venous", "3")
    assert finding.severity == MAX_SEVERITY


def test_another_grid_is_found_and_hu_passed_over():
    """An image moved by one voxel; the mask lies in its air, which nobody can know."""
    labels = made_up()
    image = from_array(np.full((14, 14, 24), -900, np.int16), labels)
    image.SetOrigin([10.0, 0.0, 0.0])
    findings = patient_findings({"venous": image}, {"venous": labels})
    assert rules(findings) == [("venous", "both", "label map lies on the grid of its image")]


# --- phases, by hand --------------------------------------------------------------------------------------------------


def test_the_odd_phase_is_named_alone():
    """Of three livers of 1000 mL one lies 3 voxels lower: Dice 0.7 with both others, 30 mm from each."""
    labels = {"arterial": made_up(), "venous": made_up(np.s_[5:15, 2:12, 1:11], (16, 14, 24)), "delayed": made_up()}
    # On its own grid with two more slices, the venous phase is put on the others' to compare.
    quality = patient_quality(labels)
    assert (quality["arterial"]["liver_closest_phase"], quality["arterial"]["liver_phase_dice"]) == ("delayed", 1.0)
    assert quality["arterial"]["liver_phase_distance_mm"] == 0
    # The arterial grid ends at slice 14, so that 9 of the venous liver's 10 slices are left: 2 x 7 / (10 + 9).
    assert quality["venous"]["liver_phase_dice"] == pytest.approx(14 / 19)
    assert quality["venous"]["liver_phase_distance_mm"] == pytest.approx(30.0)
    assert quality["venous"]["liver_phase_volume_ratio"] == pytest.approx(1.0)
    assert rules(quality_findings(quality, patient="P0001")) == [
        ("venous", "liver", "overlaps another phase with a Dice of 0.75 or more"),
        ("venous", "liver", "lies within 20 mm of itself in another phase"),
    ]


def test_a_half_mask_differs_in_volume():
    """500 mL against 1000 mL in the same place: Dice 2/3, ratio 2, and log2(2 / 1.25) beyond its bound."""
    labels = {"arterial": made_up(np.s_[2:12, 2:7, 1:11]), "venous": made_up(), "delayed": made_up()}
    findings = patient_findings({}, labels)
    found = {finding.rule.split()[0]: finding for finding in findings}
    assert {finding.phase for finding in findings} == {"arterial"}
    assert found["overlaps"].severity == pytest.approx((0.75 - 2 / 3) / 0.25, abs=1e-4)
    assert found["volumes"].severity == pytest.approx(math.log2(2 / 1.25), abs=1e-4)


def test_one_phase_has_none_to_compare():
    """Nothing is claimed about agreement where there is one phase."""
    quality = patient_quality({"venous": made_up()})["venous"]
    assert quality["liver_closest_phase"] == ""
    assert math.isnan(quality["liver_phase_dice"])
    assert quality_findings({"venous": quality}) == []


# --- a patient's severity --------------------------------------------------------------------------------------------


def test_a_fault_in_all_phases_counts_once():
    """Livers of 250, 125 and 250 mL: one fault of two doublings; a liver left of the spleen adds its own."""
    whole = mask_quality(made_up())
    small = {
        phase: whole | {"liver_volume_ml": volume} for phase, volume in zip(PHASES, (250.0, 125.0, 250.0), strict=True)
    }
    findings = quality_findings(small)
    assert len(findings) == 3
    assert severity(findings) == pytest.approx(2.0)
    small["delayed"] = small["delayed"] | {"liver_left_of_spleen_mm": 50.0}
    assert severity(quality_findings(small)) == pytest.approx(3.0)
    assert severity([]) == 0


def test_findings_become_rows():
    """A row has all columns, and the patient's key."""
    (row,) = finding_rows(
        quality_findings({"venous": mask_quality(made_up()) | {"liver_volume_ml": 250.0}}, patient="P1")
    )
    assert tuple(row) == FINDING_COLUMNS
    assert (row["patient"], row["phase"], row["organ"], row["found"]) == ("P1", "venous", "liver", "250 mL")


def test_a_patient_in_words():
    """One line a fault, the most suspicious first, with what each phase has."""
    whole = mask_quality(made_up())
    quality = {
        "arterial": whole | {"liver_volume_ml": 400.0},
        "venous": whole | {"liver_volume_ml": 250.0, "spleen_volume_ml": 7.5},
    }
    assert findings_in_words(quality_findings(quality)) == [
        "spleen: volume is 30 to 3000 mL, but found 8 mL (venous)",
        "liver: volume is 500 to 4000 mL, but found 400 mL (arterial), 250 mL (venous)",
    ]


def test_only_the_organs_asked_for_are_judged():
    """ALARM takes no feature from the spleen, so that a missing one does not matter to it."""
    labels = label_map((14, 14, 24), {1: [np.s_[2:12, 2:12, 1:11]]})
    assert patient_findings({}, {"venous": labels}, organs=("liver",)) == []
    assert rules(patient_findings({}, {"venous": labels})) == [("venous", "spleen", "must be segmented")]


# --- synthetic patients -----------------------------------------------------------------------------------------------


def rendered(number: int) -> tuple[Phases, Phases]:
    """CT and true masks of one synthetic patient on the grid of the venous phase, as preprocessing leaves them."""
    row = phantom.simulate_segmentation_patients(COHORT).iloc[number]
    phases = phantom.render_patient(row, COHORT)
    grid = working_grid(phases["venous"][0], SPACING)
    images = {phase: on_grid(image, SPACING, grid=grid) for phase, (image, _) in phases.items()}
    labels = {phase: on_grid(mask, SPACING, labels=True, grid=grid) for phase, (_, mask) in phases.items()}
    return images, labels


@pytest.fixture(scope="module")
def patients() -> list[tuple[Phases, Phases]]:
    return [rendered(number) for number in range(12)]


def test_true_masks_raise_no_alarm(patients):
    """Twelve patients of several centres, phases not even aligned."""
    assert [finding for images, labels in patients for finding in patient_findings(images, labels)] == []


def moved(array: np.ndarray, voxels: tuple[int, int, int]) -> np.ndarray:
    """Array shifted along (z, y, x), what comes in being background."""
    result = np.zeros_like(array)
    into = tuple(slice(max(by, 0), n + min(by, 0)) for by, n in zip(voxels, array.shape, strict=True))
    outof = tuple(slice(max(-by, 0), n + min(-by, 0)) for by, n in zip(voxels, array.shape, strict=True))
    result[into] = array[outof]
    return result


def swapped(array: np.ndarray) -> np.ndarray:
    return np.array([0, 2, 1], np.uint8)[array]


def mirrored(array: np.ndarray) -> np.ndarray:
    return array[:, :, ::-1].copy()


def shifted_60_mm(array: np.ndarray) -> np.ndarray:
    return moved(array, (0, 0, round(60 / SPACING)))


def empty(array: np.ndarray) -> np.ndarray:
    return np.zeros_like(array)


def half_a_liver(array: np.ndarray) -> np.ndarray:
    result = array.copy()
    half = slice(0, int(np.median(np.nonzero(array == 1)[0])))
    result[half][array[half] == 1] = 0
    return result


def blown_up(array: np.ndarray) -> np.ndarray:
    grown = sitk.DilateObjectMorphology(sitk.GetImageFromArray(array), [4, 4, 4], sitk.sitkBall)
    return sitk.GetArrayFromImage(grown)


def in_two_pieces(array: np.ndarray) -> np.ndarray:
    result = array.copy()
    middle = int(np.mean(np.nonzero(array == 1)[2]))
    result[:, :, middle][array[:, :, middle] == 1] = 0
    return result


BROKEN = {
    swapped: "liver lies to the patient's right of the spleen",
    mirrored: "liver lies to the patient's right of the spleen",
    shifted_60_mm: "of it is outside -50 to 300 HU",
    empty: "must be segmented",
    half_a_liver: "volumes of two phases differ",
    blown_up: "of it is outside -50 to 300 HU",
    in_two_pieces: "is one piece",
}
"""How masks are broken, and the rule that must speak up."""


@pytest.mark.parametrize("number", range(0, 12, 3))
@pytest.mark.parametrize(("broken", "rule"), BROKEN.items(), ids=[function.__name__ for function in BROKEN])
def test_one_broken_phase_is_found(patients, number, broken, rule):
    """The phase that is broken is named by the rule that fits, and no other phase is."""
    images, labels = patients[number]
    bad = labels | {"delayed": from_array(broken(to_array(labels["delayed"])), labels["delayed"])}
    findings = patient_findings(images, bad, patient="P0001")
    assert {finding.phase for finding in findings} == {"delayed"}
    assert any(rule in finding.rule for finding in findings), [str(finding) for finding in findings]
    assert severity(findings) > 0.1


@pytest.mark.parametrize("broken", [swapped, mirrored, shifted_60_mm, empty, blown_up, in_two_pieces])
def test_a_fault_of_all_phases_is_found(patients, broken):
    """Phases that agree on a wrong mask do not make it right."""
    for images, labels in patients[::3]:
        bad = {phase: from_array(broken(to_array(mask)), mask) for phase, mask in labels.items()}
        found = patient_findings(images, bad)
        assert {finding.phase for finding in found} == set(PHASES)
        assert not any("phase" in finding.rule for finding in found)


def test_an_mask_in_air_is_found_by_its_hu(patients):
    """In air all is below water; an image that was never put into HU, 1024 too high, is above bone."""
    images, labels = patients[0]
    air = {phase: from_array(np.full_like(to_array(image), -800), image) for phase, image in images.items()}
    found = patient_findings(air, labels)
    assert {finding.found for finding in found if "mean" in finding.rule} == {"-800 HU"}
    raw = {phase: image + 1024 for phase, image in images.items()}
    assert {finding.organ for finding in patient_findings(raw, labels) if "mean" in finding.rule} == {"liver", "spleen"}


def test_bounds_enclose_what_the_literature_calls_normal():
    """A healthy liver of 1000 to 2000 mL, half of it in end-stage cirrhosis, a spleen of 100 to 300 mL and tenfold."""
    (least, most), (min_spleen, max_spleen) = VOLUME_BOUNDS_ML["liver"], VOLUME_BOUNDS_ML["spleen"]
    assert least <= 500 < 2000 <= most
    assert min_spleen <= 100 < 3000 <= max_spleen
