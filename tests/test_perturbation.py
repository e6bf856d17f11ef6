"""Changed masks: volumes against geometry, exact moves against moved arrays, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from hccbook.errors import MaskError, SettingsError
from hccbook.segmentation.perturbation import Perturbation, perturb, signed_distance


def label_map(array: np.ndarray, spacing=(1.0, 1.0, 1.0), direction=None, origin=(0.0, 0.0, 0.0)) -> sitk.Image:
    """Label map from an array (z, y, x); spacing in (x, y, z), mm."""
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(np.asarray(direction, dtype=float).ravel().tolist())
    return image


def changed(labels: sitk.Image, text: str, seed: int = 0) -> np.ndarray:
    (found,) = perturb(labels, [Perturbation.parse(text)], seed)
    return sitk.GetArrayFromImage(found)


def from_centre(image: sitk.Image, centre_mm: np.ndarray) -> np.ndarray:
    """Patient coordinates (x, y, z) of every voxel less a point, shape (z, y, x, 3)."""
    axes = np.reshape(image.GetDirection(), (3, 3)) @ np.diag(image.GetSpacing())
    index = np.stack(np.indices(image.GetSize()[::-1])[::-1], axis=-1)
    return index @ axes.T + np.array(image.GetOrigin()) - centre_mm


def ellipsoid(shape, spacing, semi_axes_mm, direction=None, shift=(0.0, 0.0, 0.0)) -> tuple[sitk.Image, np.ndarray]:
    """Ellipsoid with axes along the patient's, in the middle of a grid; the label map and coordinates about it."""
    image = label_map(np.zeros(shape), spacing, direction)
    middle = np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in shape[::-1]]))
    points = from_centre(image, middle + np.array(shift))
    inside = ((points / np.array(semi_axes_mm)) ** 2).sum(axis=-1) <= 1
    return label_map(inside, spacing, direction), points


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


# --- moving the surface ---------------------------------------------------------------------------------------------

TURNED = [[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    ("spacing", "tolerance"), [((1.0, 1.0, 1.0), 0.02), ((2.0, 2.0, 5.0), 0.07), ((5.0, 5.0, 5.0), 0.07)]
)
@pytest.mark.parametrize("text", ["erosion:2", "erosion:4", "dilation:2", "dilation:4"])
def test_sphere_has_the_volume_of_the_smaller_or_larger_sphere(spacing, tolerance, text):
    """4/3 pi (R + d)^3, for distances below and above a voxel's edge, on voxels of equal and unequal edges.

    The tolerance is a radius off by a seventh of the thickest edge at most.
    """
    shape = tuple(int(100 / edge) for edge in spacing[::-1])
    labels, points = ellipsoid(shape, spacing, (30.0, 30.0, 30.0), shift=(0.4, -0.7, 0.3))
    kind, amount = text.split(":")
    radius = 30 + float(amount) * (1 if kind == "dilation" else -1)
    expected = 4 / 3 * np.pi * radius**3
    found = changed(labels, text).sum() * np.prod(spacing)
    assert found == pytest.approx(expected, rel=tolerance)
    # The voxels that the formula takes, but for some at the surface.
    assert overlap(changed(labels, text) == 1, (points**2).sum(axis=-1) <= radius**2) > 1 - tolerance


def test_layer_of_a_plate_goes_once_its_centres_are_passed():
    """A plate of ten voxels of 4 mm: 1 mm takes nothing, 3 mm one layer on either side, and adds one on either side."""
    array = np.zeros((20, 8, 8))
    array[5:15] = 1
    labels = label_map(array, (4.0, 4.0, 4.0))
    assert np.array_equal(changed(labels, "erosion:1"), array)
    assert np.array_equal(changed(labels, "dilation:1"), array)
    inner, outer = np.zeros_like(array), np.zeros_like(array)
    inner[6:14], outer[4:16] = 1, 1
    assert np.array_equal(changed(labels, "erosion:3"), inner)
    assert np.array_equal(changed(labels, "dilation:3"), outer)


def test_plate_is_moved_by_millimetres_not_voxels():
    """Thick slices of 6 mm across x, thin voxels elsewhere: 4 mm is one slice in x and four voxels in z."""
    flat = np.zeros((8, 8, 20))
    flat[:, :, 5:15] = 1
    assert changed(label_map(flat, (6.0, 1.0, 1.0)), "erosion:4")[4, 4].sum() == 8
    tall = np.zeros((40, 8, 8))
    tall[10:30] = 1
    assert changed(label_map(tall, (6.0, 1.0, 1.0)), "erosion:4")[:, 4, 4].sum() == 20 - 2 * 4


@pytest.mark.parametrize("text", ["erosion:0.00001", "dilation:0.00001", "rotation:0.00001", "translation:0.00001"])
def test_change_of_next_to_nothing_changes_nothing(text):
    """However the surface is found between the voxels, no voxel changes sides by that."""
    random = np.random.default_rng(4)
    array = (random.random((12, 13, 14)) > 0.6).astype(np.uint8)
    array[random.random(array.shape) > 0.8] = 2
    assert np.array_equal(changed(label_map(array, (1.5, 0.7, 3.0)), text), array)


@given(st.floats(0.2, 6.0), st.floats(0.1, 3.0), st.integers(0, 50))
def test_more_of_a_change_changes_more(amount, more, seed):
    """Eroded lies within less eroded, that within the organ, that within dilated, that within more dilated."""
    random = np.random.default_rng(seed)
    labels, _ = ellipsoid((14, 20, 20), (2.0, 2.0, 3.0), 10 + 6 * random.random(3))
    texts = [f"erosion:{amount}", f"dilation:{amount}", f"dilation:{amount + more}"]
    sets = [sitk.GetArrayFromImage(labels) == 1, *(changed(labels, text) == 1 for text in texts)]
    organ, eroded, dilated, wider = sets
    assert not (eroded & ~organ).any()
    assert not (organ & ~dilated).any()
    assert not (dilated & ~wider).any()


def test_cut_of_the_image_is_no_surface():
    """An organ that reaches the edge of the image is not eroded there."""
    array = np.zeros((12, 12, 12))
    array[:8] = 1
    expected = np.zeros_like(array)
    expected[:6] = 1
    assert np.array_equal(changed(label_map(array), "erosion:2"), expected)


def test_organ_cut_by_the_image_goes_on_beyond_it():
    """Moved towards the head, a column that the lower edge cuts stays a column down to that edge."""
    array = np.zeros((12, 10, 10))
    array[:8, 3:7, 3:7] = 1
    expected = np.zeros_like(array)
    expected[:10, 3:7, 3:7] = 1
    assert np.array_equal(changed(label_map(array), "translation:2"), expected)


def test_distance_of_a_sphere_is_that_to_its_surface():
    """R - r within a quarter of a voxel (root mean square), and nowhere a voxel off, but for the middle."""
    labels, points = ellipsoid((50, 50, 50), (1.0, 1.0, 1.0), (17.0, 17.0, 17.0), shift=(0.2, 0.3, -0.1))
    radius = np.sqrt((points**2).sum(axis=-1))
    found = signed_distance(sitk.GetArrayFromImage(labels) == 1, (1.0, 1.0, 1.0))
    away = (radius > 5) & (radius < 23)
    assert np.abs(found - (17 - radius))[away].max() < 1
    assert np.sqrt(np.mean((found - (17 - radius))[away] ** 2)) < 0.25


# --- moving the organ -----------------------------------------------------------------------------------------------


def test_move_by_whole_voxels_is_a_move_of_the_array():
    """6 mm towards the head are two slices of 3 mm; foot to head is the direction of growing z."""
    random = np.random.default_rng(1)
    array = np.zeros((16, 10, 11))
    array[4:10, 2:8, 3:9] = random.random((6, 6, 6)) > 0.4
    assert np.array_equal(changed(label_map(array, (1.0, 2.0, 3.0)), "translation:6"), np.roll(array, 2, axis=0))


def test_head_is_where_the_image_says():
    """In an image whose slices run from head to foot, the same move goes the other way through the array."""
    array = np.zeros((16, 10, 10))
    array[6:10, 3:7, 3:6] = 1
    flipped = np.diag([1.0, 1.0, -1.0])
    labels = label_map(array, (1.0, 2.0, 3.0), flipped)
    assert np.array_equal(changed(labels, "translation:6"), np.roll(array, -2, axis=0))


def test_quarter_turn_moves_every_voxel_where_geometry_says():
    """About its centre, x to y: a voxel at (dx, dy) comes to (-dy, dx)."""
    array = np.zeros((5, 21, 21))
    array[1:4, 8:13, 4:17] = 1
    array[1:4, 5:16, 9:12] = 1  # a cross, longer along x, with its centre on a voxel
    array[2, 11, 14:17] = 0
    array[2, 9, 4:7] = 0  # cut so that it is the same after half a turn only: the centre stays
    centre = np.array([index.mean() for index in np.nonzero(array)])
    assert np.array_equal(centre, [2, 10, 10])
    expected = np.zeros_like(array)
    for z, y, x in np.argwhere(array):
        dx, dy = x - 10, y - 10
        expected[z, 10 + dx, 10 - dy] = 1
    assert not np.array_equal(expected, array)
    found = changed(label_map(array), "rotation:90")
    # Linear interpolation at the voxels themselves, but for rounding of sine and cosine.
    assert overlap(found == 1, expected == 1) == 1


@pytest.mark.parametrize("direction", [None, TURNED])
def test_turn_is_in_millimetres_and_in_the_patient(direction):
    """An ellipsoid of 30 by 14 by 18 mm turned by 90 degrees is one of 14 by 30 by 18, also on an oblique grid."""
    shape, spacing = (26, 50, 100), (1.0, 2.0, 2.5)
    labels, points = ellipsoid(shape, spacing, (30.0, 14.0, 18.0), direction)
    expected = ((points / np.array([14.0, 30.0, 18.0])) ** 2).sum(axis=-1) <= 1
    assert overlap(changed(labels, "rotation:90") == 1, expected) > 0.98
    assert overlap(sitk.GetArrayFromImage(labels) == 1, expected) < 0.7


def test_turns_there_and_back_are_opposite():
    """30 degrees and then -30 degrees leave the mask where it was, but for some voxels of its surface."""
    labels, points = ellipsoid((20, 60, 60), (1.0, 1.0, 1.0), (25.0, 12.0, 8.0))
    there = label_map(changed(labels, "rotation:30"))
    cosine, sine = np.cos(np.radians(30)), np.sin(np.radians(30))
    x, y = points[..., 0] * cosine + points[..., 1] * sine, -points[..., 0] * sine + points[..., 1] * cosine
    expected = (x / 25) ** 2 + (y / 12) ** 2 + (points[..., 2] / 8) ** 2 <= 1
    assert overlap(sitk.GetArrayFromImage(there) == 1, expected) > 0.98
    assert overlap(changed(there, "rotation:-30") == 1, sitk.GetArrayFromImage(labels) == 1) > 0.98


# --- two organs -----------------------------------------------------------------------------------------------------


def test_organs_that_touch_stop_at_one_another():
    """Dilated, both grow on their free sides and keep their common face."""
    array = np.zeros((12, 12, 24))
    array[3:9, 3:9, 4:12] = 1
    array[3:9, 3:9, 12:20] = 2
    found = changed(label_map(array), "dilation:2")
    assert (found[array > 0] == array[array > 0]).all()
    assert set(np.unique(found[5, 5, :12])) == {0, 1}
    assert set(np.unique(found[5, 5, 12:])) == {0, 2}
    assert (found[5, 5] == 1).sum() == 10
    assert (found[5, 5] == 2).sum() == 10


def test_overlap_goes_to_the_organ_in_which_a_voxel_lies_deeper():
    """Two plates, 4 mm apart, dilated by 4 mm, meet half way."""
    array = np.zeros((24, 8, 8))
    array[4:10], array[14:20] = 1, 2
    found = changed(label_map(array), "dilation:4")
    assert (found[10:12] == 1).all()
    assert (found[12:14] == 2).all()


# --- a wavering contour ---------------------------------------------------------------------------------------------


def test_wavering_contour_is_seeded():
    """One seed gives one mask, another another; the surface goes in as well as out, by about the amount."""
    labels, points = ellipsoid((50, 50, 50), (2.0, 2.0, 2.0), (35.0, 35.0, 35.0))
    organ = sitk.GetArrayFromImage(labels) == 1
    first, again, other = (changed(labels, "contour:3", seed) == 1 for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    radius = np.sqrt((points**2).sum(axis=-1))
    moved = first != organ
    assert (first & ~organ).any()
    assert (organ & ~first).any()
    # Five standard deviations; and a layer of about the mean absolute one, sqrt(2 / pi) x 3 mm.
    assert np.abs(radius - 35)[moved].max() < 15
    assert moved.sum() * 8 / (4 * np.pi * 35**2) == pytest.approx(np.sqrt(2 / np.pi) * 3, rel=0.35)


# --- what is kept and refused ---------------------------------------------------------------------------------------


def test_grid_is_kept():
    """Spacing, origin and direction of an oblique image come back, and the type is that of every label map."""
    labels = label_map(np.pad(np.ones((3, 3, 3)), 3), (1.0, 2.0, 3.0), TURNED, (10.0, -20.0, 30.0))
    (found,) = perturb(labels, [Perturbation("rotation", 5)])
    assert found.GetSpacing() == labels.GetSpacing()
    assert found.GetOrigin() == labels.GetOrigin()
    assert found.GetDirection() == labels.GetDirection()
    assert found.GetPixelID() == sitk.sitkUInt8


def test_organ_that_vanishes_is_refused_with_its_name():
    """A spleen of 3 mm across cannot lose 2 mm on every side."""
    array = np.zeros((20, 20, 20))
    array[2:12, 2:12, 2:12], array[15:18, 15:18, 15:18] = 1, 2
    with pytest.raises(MaskError, match=r"P0003, venous, spleen: must keep at least one voxel under erosion:2"):
        perturb(label_map(array), [Perturbation("erosion", 2)], place="P0003, venous")


def test_organ_moved_out_of_the_image_is_refused():
    """As one that vanishes."""
    array = np.zeros((10, 10, 10))
    array[3:6, 3:6, 3:6] = 1
    with pytest.raises(MaskError, match=r"liver: must keep at least one voxel under translation:50"):
        perturb(label_map(array), [Perturbation("translation", 50)])


def test_organ_that_fills_the_image_has_no_surface():
    """Nothing to erode, and nothing that fails."""
    assert changed(label_map(np.ones((4, 4, 4))), "erosion:1").all()


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.full((3, 3, 3), 3), "must hold 0 .background., 1 .liver. and 2 .spleen. only, but found 3"),
     (np.zeros((3, 3, 3)), "must hold an organ, but found no voxel")],
)  # fmt: skip
def test_other_label_maps_are_refused(array, message):
    """A value that is no organ's, and a map without any."""
    with pytest.raises(MaskError, match=message):
        perturb(label_map(array), [Perturbation("erosion", 1)])


@pytest.mark.parametrize("text", ["erosion", "erosion:", "erosion:two", "shrinking:2", "erosion:-1", "dilation:0",
                                  "rotation:0", "erosion:nan", "dilation:inf"])  # fmt: skip
def test_change_that_is_none_is_refused(text):
    """Unknown kinds, and amounts that are missing, zero, negative or not finite; a rotation may be negative."""
    with pytest.raises(SettingsError, match="mask perturbation"):
        Perturbation.parse(text)
    assert Perturbation.parse(" rotation:-5 ") == Perturbation("rotation", -5)
    assert str(Perturbation("erosion", 2.5)) == "erosion:2.5"
