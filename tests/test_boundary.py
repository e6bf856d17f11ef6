"""Boundary measures: distances worked out by hand, by brute force, and by MONAI."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from hccbook.errors import DataError
from hccbook.images import write_image
from hccbook.pipeline.dice import DICE_COLUMNS, compare_segmentations, dice_by, worst_segmentations
from hccbook.report import tables
from hccbook.run import Case, RunPaths
from hccbook.segmentation import BoundaryMeasures, boundary_measures, organ_boundary

EDGES = (3.0, 2.0, 1.0)


def brute_force(a: np.ndarray, b: np.ndarray, tolerance: float, edges: tuple[float, ...]) -> BoundaryMeasures:
    """Same definition, voxel by voxel: every surface voxel against every other one."""

    def surface(mask: np.ndarray) -> list[tuple[int, ...]]:
        found = []
        for z, y, x in np.argwhere(mask):
            for dz, dy, dx in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)):
                beside = (z + dz, y + dy, x + dx)
                outside = any(not 0 <= k < n for k, n in zip(beside, mask.shape, strict=True))
                if outside or not mask[beside]:
                    found.append((z, y, x))
                    break
        return found

    def directed(these: list, those: list) -> list[float]:
        return [
            min(
                sum(((p - q) * edge) ** 2 for p, q, edge in zip(this, that, edges, strict=True)) ** 0.5
                for that in those
            )
            for this in these
        ]

    def percentile(values: list[float]) -> float:
        ordered, rank = sorted(values), 0.95 * (len(values) - 1)
        below = int(rank)
        above = min(below + 1, len(values) - 1)
        return ordered[below] + (rank - below) * (ordered[above] - ordered[below])

    there, back = directed(surface(a), surface(b)), directed(surface(b), surface(a))
    pooled = there + back
    return BoundaryMeasures(
        max(percentile(there), percentile(back)),
        sum(pooled) / len(pooled),
        sum(value <= tolerance for value in pooled) / len(pooled),
    )


def box(shape: tuple[int, int, int], *slices: slice) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[slices] = 1
    return mask


def image_of(array: np.ndarray, edges_xyz: tuple[float, float, float]) -> sitk.Image:
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing(edges_xyz)
    return image


def measures(
    a: np.ndarray, b: np.ndarray, tolerance_mm: float, edges: tuple[float, float, float] = EDGES
) -> BoundaryMeasures:
    """Measures of two arrays with voxel edges (z, y, x)."""
    return boundary_measures(image_of(a, edges[::-1]), image_of(b, edges[::-1]), tolerance_mm)


# --- by hand ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tolerance", "share"), [(0.0, 0.0), (5.9, 0.0), (6.0, 1.0)])
def test_two_parallel_plates(tolerance, share):
    """Plates one voxel thick, two slices of 3 mm apart: every distance is 6 mm."""
    a, b = box((8, 5, 5), slice(2, 3)), box((8, 5, 5), slice(4, 5))
    assert measures(a, b, tolerance, EDGES) == BoundaryMeasures(6.0, 6.0, share)


def test_shifted_cube_with_unequal_edges():
    """A cube of 5 voxels shifted by 2 along y (2 mm edges), whose 98 surface voxels are sorted by hand.

    Of a column of 5 along y there are 25, by their place in (z, x): the 9 inner ones have only their two ends on the
    surface, the 16 outer ones all five. An outer column's first two voxels lie outside the shifted cube, 4 mm and 2 mm
    from its first; the other three coincide with shifted surface voxels. An inner column's lower end lies 4 mm from
    the shifted lower end; its upper end is inside the shifted cube. There the nearest of the shifted surface is 3 mm
    along z or 1 mm along x where a side wall is 1 voxel away, 2 along x in the middle column of the three.
    x edges of 1 mm: the nearest side wall is 1 mm away for x at 1 or 3 and 2 mm for x = 2.
    So there: 16 x (4, 2, 0, 0, 0), 9 x 4, then 6 x 1 and 3 x 2 (no other way is shorter).
    """
    a = box((9, 12, 9), slice(2, 7), slice(2, 7), slice(2, 7))
    b = box((9, 12, 9), slice(2, 7), slice(4, 9), slice(2, 7))
    there = np.array([4.0, 2.0, 0.0, 0.0, 0.0] * 16 + [4.0] * 9 + [1.0] * 6 + [2.0] * 3)
    assert len(there) == 98
    found = measures(a, b, 1.0, EDGES)
    # Of 98 values 25 are 4 mm, so that the 95th percentile is 4 mm; the way back is its mirror image.
    assert found == BoundaryMeasures(4.0, pytest.approx((16 * 6 + 36 + 6 + 6) / 98), pytest.approx((16 * 3 + 6) / 98))
    assert found.mean_mm == pytest.approx(there.mean())


@pytest.mark.parametrize("edge", [1.0, 2.5])
def test_concentric_spheres(edge):
    """Radii of 10 and 14 mm x edge: each surface lies 4 x edge from the other, but for the voxels' steps.

    The centre of a surface voxel lies at most sqrt(3) voxels within its sphere's radius, so each distance differs from
    4 voxels by at most that; the mean over the sphere by well under half a voxel.
    """
    z, y, x = np.indices((33, 33, 33)) - 16
    radius = np.sqrt(z**2 + y**2 + x**2)
    found = measures(radius <= 10, radius <= 14, 5.8 * edge, (edge,) * 3)
    assert found.mean_mm == pytest.approx(4 * edge, abs=0.4 * edge)
    assert 4 * edge <= found.hd95_mm <= (4 + np.sqrt(3)) * edge
    assert found.surface_dice == 1.0


def test_one_voxel_far_away_moves_the_maximum_but_not_the_95th_percentile():
    """A cube of 98 surface voxels, one more 7 mm away along x: 1 of 99 is apart, and the 95th percentile is 0.

    Pooled, the sum of distances is 7 mm over 98 + 99 voxels.
    """
    a = box((9, 9, 20), slice(2, 7), slice(2, 7), slice(2, 7))
    b = a.copy()
    b[4, 4, 13] = 1  # the cube ends at x = 6; its surface at (4, 4, 6) is 7 voxels of 1 mm away
    assert measures(a, b, 1.0, EDGES) == BoundaryMeasures(0.0, pytest.approx(7 / 197), pytest.approx(196 / 197))


def test_the_edge_of_the_image_is_surface():
    """A mask that fills its image has its outer layer as surface, 26 of 27 voxels; the middle one lies 1 mm from it."""
    filled = np.ones((3, 3, 3))
    middle = box((3, 3, 3), slice(1, 2), slice(1, 2), slice(1, 2))
    found = measures(middle, filled, 1.0, (1.0, 1.0, 1.0))
    # From the 26: 6 faces at 1, 12 edges at sqrt 2, 8 corners at sqrt 3; from the middle: 1.
    assert found.mean_mm == pytest.approx((6 + 12 * 2**0.5 + 8 * 3**0.5 + 1) / 27)
    assert found.surface_dice == pytest.approx(7 / 27)
    assert found.hd95_mm == pytest.approx(3**0.5)


@pytest.mark.parametrize("swap", [False, True])
def test_empty_masks(swap):
    """Two empty masks agree; an empty and a filled one are infinitely far apart, and nothing is NaN."""
    empty, filled = np.zeros((4, 4, 4)), box((4, 4, 4), slice(1, 3))
    assert measures(empty, empty, 2.0, EDGES) == BoundaryMeasures(0.0, 0.0, 1.0)
    pair = (filled, empty) if swap else (empty, filled)
    assert measures(*pair, 2.0, EDGES) == BoundaryMeasures(np.inf, np.inf, 0.0)


def test_tolerance_of_a_multiple_of_the_edge_counts():
    """Three steps of 1.1 mm are within 3.3 mm, although 3 x 1.1 is 3.3000000000000003."""
    a, b = box((9, 4, 4), slice(1, 2)), box((9, 4, 4), slice(4, 5))
    assert measures(a, b, 3.3, (1.1, 1.0, 1.0)).surface_dice == 1.0


def test_measures_go_by_organ_and_by_the_images_edges():
    """Liver moved one voxel along x (4 mm), spleen where it was; the image's edges are (x, y, z)."""
    a = np.zeros((5, 6, 9), np.uint8)
    b = a.copy()
    a[1:4, 1:5, 2], b[1:4, 1:5, 3] = 1, 1
    a[1:4, 1:5, 7], b[1:4, 1:5, 7] = 2, 2
    found = organ_boundary(image_of(a, (4.0, 2.0, 3.0)), image_of(b, (4.0, 2.0, 3.0)), 2.0)
    assert found == {"liver": BoundaryMeasures(4.0, 4.0, 0.0), "spleen": BoundaryMeasures(0.0, 0.0, 1.0)}


# --- independent implementations --------------------------------------------------------------------------------------

small_masks = arrays.arrays(bool, (4, 5, 6)).filter(np.any)
edges_mm = st.tuples(*[st.sampled_from([0.7, 1.0, 2.5])] * 3)


@given(a=small_masks, b=small_masks, edges=edges_mm)
def test_every_pair_agrees_with_brute_force_and_with_its_swap(a, b, edges):
    """Voxel by voxel the same, and (a, b) as (b, a)."""
    found, expected = measures(a, b, 1.2, edges), brute_force(a, b, 1.2, edges)
    assert (found.hd95_mm, found.mean_mm) == pytest.approx((expected.hd95_mm, expected.mean_mm))
    assert found.surface_dice == pytest.approx(expected.surface_dice)
    swapped = measures(b, a, 1.2, edges)
    assert (swapped.hd95_mm, swapped.surface_dice) == (found.hd95_mm, found.surface_dice)
    assert swapped.mean_mm == pytest.approx(found.mean_mm)
    assert measures(a, a, 0.0, edges) == BoundaryMeasures(0.0, 0.0, 1.0)


def test_agrees_with_monai():
    """MONAI's 95th percentile Hausdorff distance, average surface distance and surface Dice on two rough blobs."""
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

    rng = np.random.default_rng(5)
    a, b = (ndimage.gaussian_filter(rng.normal(size=(24, 26, 28)), 4) > 0.01 for _ in range(2))
    edges = (3.0, 1.5, 2.0)
    first, second = (torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (a, b))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI 1.6 warns of an argument that it passes itself
        shared = {"include_background": True, "spacing": edges}
        hausdorff = compute_hausdorff_distance(first, second, percentile=95, **shared)
        there = compute_average_surface_distance(first, second, **shared)
        back = compute_average_surface_distance(second, first, **shared)
        surface = compute_surface_dice(first, second, class_thresholds=[3.0], **shared)
    found = measures(a, b, 3.0, edges)
    assert found.hd95_mm == pytest.approx(float(hausdorff))
    assert found.surface_dice == pytest.approx(float(surface))
    # MONAI averages in one direction; both together lie between the two.
    low, high = sorted([float(there), float(back)])
    assert low - 1e-6 <= found.mean_mm <= high + 1e-6


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_what_is_refused():
    """Grids and tolerances that make no sense."""
    image = image_of(np.ones((2, 2, 2)), (1.0, 1.0, 1.0))
    moved = sitk.Image(image)
    moved.SetOrigin((3.0, 0.0, 0.0))
    for other, tolerance, message in (
        (moved, 1.0, "one grid"),
        (image, -1.0, "0 mm or more, but found -1"),
        (image, float("nan"), "0 mm or more, but found nan"),
    ):
        for measure in (boundary_measures, organ_boundary):
            with pytest.raises(DataError, match=message):
                measure(image, other, tolerance)


# --- a cohort's tables ------------------------------------------------------------------------------------------------


def test_rows_of_one_patient(tmp_path: Path):
    """Liver of 24 voxels of which 12 move by one voxel of 5 mm: Dice by hand, one row a phase with masks and organ."""
    used, reference_labels = np.zeros((6, 6, 8), np.uint8), np.zeros((6, 6, 8), np.uint8)
    used[1:4, 1:5, 2:4], reference_labels[1:4, 1:5, 3:5] = 1, 1
    used[2, 2, 6], reference_labels[2, 2, 6] = 2, 2
    case = Case(RunPaths(tmp_path / "run"), "alarm", "P0001", ("venous", "delayed"))
    for file, array in ((case.labels("venous"), used), (case.reference_labels("venous"), reference_labels)):
        write_image(image_of(array, (5.0, 5.0, 5.0)), file)
    liver, spleen = compare_segmentations(case, 4.0)
    # 12 of 24 voxels shared: Dice 1/2. All 24 are surface: 12 at 0 and 12 at 5 mm in each direction.
    assert liver == {
        "phase": "venous",
        "organ": "liver",
        "dice": 0.5,
        "hd95_mm": 5.0,
        "mean_distance_mm": 2.5,
        "surface_dice": 0.5,
        "tolerance_mm": 4.0,
    }
    assert (spleen["organ"], spleen["dice"], spleen["hd95_mm"], spleen["surface_dice"]) == ("spleen", 1.0, 0.0, 1.0)


def cohort_rows() -> pd.DataFrame:
    """Three patients of two centres, one phase, liver and spleen."""
    rows = [
        ("alarm", "P0001", "C02", "venous", "liver", 0.90, 5.0, 1.0, 0.80, 5.0),
        ("alarm", "P0002", "C02", "venous", "liver", 0.98, 1.0, 0.5, 1.00, 5.0),
        ("alarm", "P0003", "C01", "venous", "liver", 0.96, 2.0, 0.5, 0.90, 5.0),
        ("alarm", "P0001", "C02", "venous", "spleen", 0.70, np.inf, np.inf, 0.00, 5.0),
        ("alarm", "P0002", "C02", "venous", "spleen", 0.99, 0.0, 0.1, 1.00, 5.0),
        ("alarm", "P0003", "C01", "venous", "spleen", 0.95, 2.0, 0.4, 0.95, 5.0),
        ("amap_ct", "P0001", "C01", "arterial", "spleen", 0.94, 2.5, 0.4, 0.95, 5.0),
    ]
    return pd.DataFrame(rows, columns=list(DICE_COLUMNS))


def test_groups_of_masks():
    """Liver in C02: mean of 0.90 and 0.98, 5th percentile 0.90 + 0.05 x 0.08, median of 5 and 1 mm."""
    groups = dice_by(cohort_rows(), ("organ", "centre")).set_index(["organ", "centre"])
    assert list(groups.index) == [("liver", "C01"), ("liver", "C02"), ("spleen", "C01"), ("spleen", "C02")]
    values = groups.loc[("liver", "C02"), ["n", "mean", "least", "p5", "hd95_mm", "surface_dice", "tolerance_mm"]]
    assert values.tolist() == pytest.approx([2, 0.94, 0.90, 0.904, 3.0, 0.9, 5.0])
    phases = dice_by(cohort_rows(), ("organ", "phase"))
    assert phases[["organ", "phase", "n"]].to_numpy().tolist() == [
        ["liver", "venous", 3],
        ["spleen", "arterial", 1],
        ["spleen", "venous", 3],
    ]


def test_groups_of_several_tolerances_are_refused():
    """Surface Dice at 2 mm and 5 mm have no mean."""
    rows = cohort_rows()
    rows.loc[0, "tolerance_mm"] = 2.0
    with pytest.raises(DataError, match="one tolerance to be averaged, but found 2, 5 mm"):
        dice_by(rows)


def test_worst_segmentations_have_one_row_a_patient():
    """P0001 of ALARM is worst in the spleen and is there once; P0001 of aMAP-CT is somebody else."""
    worst = worst_segmentations(cohort_rows(), 3)
    assert worst[["paper", "patient", "organ", "dice"]].to_numpy().tolist() == [
        ["alarm", "P0001", "spleen", 0.70],
        ["amap_ct", "P0001", "spleen", 0.94],
        ["alarm", "P0003", "spleen", 0.95],
    ]
    assert len(worst_segmentations(cohort_rows(), 9)) == 4


def test_segmentation_table_layout():
    """Strings as a reader sees them; a median that is infinite is said so."""
    laid = tables.segmentation_table(dice_by(cohort_rows(), ("paper", "organ")))
    assert laid.index.names == ["Paper", "Organ"]
    assert laid.index.tolist() == [("ALARM", "liver"), ("ALARM", "spleen"), ("aMAP-CT", "spleen")]
    assert list(laid.columns)[-1] == "Surface Dice, mean (within 5 mm)"
    assert laid.iloc[0].tolist() == ["3", "0.947", "0.900", "0.906", "2.0", "0.900"]
    lost = dice_by(cohort_rows().iloc[[3]], ("organ",))
    assert tables.segmentation_table(lost).iloc[0].tolist() == ["1", "0.700", "0.700", "0.700", "∞", "0.000"]


def test_segmentation_table_refuses_what_it_cannot_name():
    """No column that makes the rows; two tolerances in one table; no mask at all."""
    groups = dice_by(cohort_rows(), ("organ",))
    with pytest.raises(DataError, match="name their rows"):
        tables.segmentation_table(groups.drop(columns="organ"))
    with pytest.raises(DataError, match="one tolerance a table"):
        tables.segmentation_table(groups.assign(tolerance_mm=[2.0, 5.0]))
    with pytest.raises(DataError, match="hd95_mm"):
        tables.segmentation_table(groups.drop(columns="hd95_mm"))
    with pytest.raises(DataError, match="at least one row"):
        tables.segmentation_table(dice_by(cohort_rows().iloc[:0]))
