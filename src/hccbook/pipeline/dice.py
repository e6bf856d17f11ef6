"""How far the masks used agree with those given: Dice, distances, by phase, organ and centre."""

from __future__ import annotations

import functools

import pandas as pd

from hccbook import images, segmentation
from hccbook.errors import DataError, MaskError
from hccbook.images.remarks import collected
from hccbook.parallel import map_patients
from hccbook.pipeline.files import (
    read_cohort,
    read_preprocessing_settings,
    save_table,
    segmented_patients,
    source_cases,
)
from hccbook.pipeline.pictures import source_labels
from hccbook.run import Case, RunPaths
from hccbook.settings import ORGANS, PHASES

_MEASURES = ("dice", "hd95_mm", "mean_distance_mm", "surface_dice", "tolerance_mm")
DICE_COLUMNS = ("paper", "patient", "centre", "phase", "organ", *_MEASURES)
"""Columns of `segmentation_dice`."""

MIN_TOLERANCE_MM = 2.0
"""Tolerance of the surface Dice on grids finer than this, mm."""


def segmentation_dice(
    run: RunPaths, paper: str, phases: tuple[str, ...], workers: int = 1, tolerance_mm: float | None = None
) -> pd.DataFrame:
    """Overlap of the masks used with those that the manifest gave, where it gave any, and how far they lie apart.

    The network's masks are compared where the given ones were drawn, on the image's own grid: on the working grid
    both would have been interpolated. Masks from elsewhere are compared on the working grid.

    Parameters
    ----------
    run : RunPaths
    paper : {"alarm", "amap_ct"}
    phases : tuple of str
    workers : int
    tolerance_mm : float, optional
        Distance up to which two surfaces count as the same; the working voxel edge if absent, and at least
        `MIN_TOLERANCE_MM`: no surface is known better than its grid.

    Returns
    -------
    pandas.DataFrame
        `DICE_COLUMNS`, one row per patient, phase and organ; also kept as ``<paper>_dice.csv``.
        Distances and surface Dice are those of `hccbook.segmentation.boundary_measures`.

    Raises
    ------
    MaskError
        If a label map cannot be compared; the first one is named.
    """
    if tolerance_mm is None:
        tolerance_mm = max(MIN_TOLERANCE_MM, read_preprocessing_settings(run).spacing_mm)
    centre = read_cohort(run, paper)["centre"]
    patients = set(segmented_patients(run, paper))
    items = {key: case for key, case in source_cases(run, paper, phases).items() if key in patients}
    compared = map_patients(
        functools.partial(compare_segmentations, tolerance_mm=tolerance_mm), items, stage="Dice", workers=workers
    )
    if len(compared.failures):
        first = compared.failures.iloc[0]
        raise MaskError(
            f"{paper}, {first['patient']}",
            "masks must be comparable with those of the manifest",
            f"{first['kind']}: {first['reason'].rstrip('.')}",
            "Run the segmentation stage again.",
        )
    rows = [
        {"paper": paper, "patient": patient, "centre": centre[patient], **row}
        for patient, own in compared.results.items()
        for row in own
    ]
    table = pd.DataFrame(rows, columns=list(DICE_COLUMNS))
    save_table(table, run.stage("segmentation") / f"{paper}_dice.csv")
    return table


@collected()
def compare_segmentations(case: Case, tolerance_mm: float) -> list[dict[str, object]]:
    """Overlap and distance of one patient's masks, one row per phase and organ; none where the manifest gives no masks.

    Raises
    ------
    DataError
        If the two lie on different grids.
    """
    rows = []
    for phase in case.phases:
        if case.native_labels(phase).is_file() and set(case.source_masks(phase)) == set(ORGANS):
            # The image knows how its slices lay, on which the given masks were drawn.
            image = images.read_image(case.source(phase), case.place(phase))
            used = images.read_label_map(case.native_labels(phase), image)
            given = source_labels(case, phase, image)
        elif case.reference_labels(phase).is_file():
            used = images.read_label_map(case.labels(phase))
            given = images.read_label_map(case.reference_labels(phase))
        else:
            continue
        distances = segmentation.organ_boundary(used, given, tolerance_mm)
        # One grid, or the line above had raised; comparing arrays spares SimpleITK a copy an organ.
        overlaps = segmentation.organ_dice(*(images.to_array(labels) for labels in (used, given)))
        for organ, apart in distances.items():
            measured = (overlaps[organ], apart.hd95_mm, apart.mean_mm, apart.surface_dice, tolerance_mm)
            rows.append({"phase": phase, "organ": organ, **dict(zip(_MEASURES, measured, strict=True))})
    return rows


def dice_by(dice: pd.DataFrame, by: tuple[str, ...] = ("organ", "phase", "centre")) -> pd.DataFrame:
    """How good the masks are, one row per group of them.

    Parameters
    ----------
    dice : pandas.DataFrame
        With the columns of `segmentation_dice`.
    by : tuple of str
        What makes a group: any of organ, phase, centre, paper.

    Returns
    -------
    pandas.DataFrame
        The columns of `by`, organs and phases in their usual order and the others sorted; then ``n`` (masks),
        ``mean``, ``least`` and ``p5`` (5th percentile, linear between ranks) of the Dice,
        ``hd95_mm`` (median, mm), ``surface_dice`` (mean) and ``tolerance_mm``.

    Raises
    ------
    DataError
        If the surface Dice were taken at several tolerances.
    """
    if dice["tolerance_mm"].nunique() > 1:
        found = ", ".join(f"{value:g}" for value in sorted(dice["tolerance_mm"].unique()))
        raise DataError("surface Dice", "must have one tolerance to be averaged", f"{found} mm", "Pass tolerance_mm.")
    ordered = dice.copy()
    for column, order in (("organ", ORGANS), ("phase", PHASES)):
        ordered[column] = pd.Categorical(ordered[column], order)
    groups = ordered.groupby(list(by), observed=True, sort=True)
    table = groups.agg(
        n=("dice", "size"),
        mean=("dice", "mean"),
        least=("dice", "min"),
        p5=("dice", lambda values: values.quantile(0.05)),
        hd95_mm=("hd95_mm", "median"),
        surface_dice=("surface_dice", "mean"),
        tolerance_mm=("tolerance_mm", "first"),
    ).reset_index()
    return table.astype({name: str for name in by if name in ("organ", "phase")})


def worst_segmentations(dice: pd.DataFrame, count: int = 5) -> pd.DataFrame:
    """Patients with the least Dice, each with their own worst phase and organ.

    Parameters
    ----------
    dice : pandas.DataFrame
        With the columns of `segmentation_dice`, of one paper or more.
    count : int
        Patients; fewer where there are fewer.

    Returns
    -------
    pandas.DataFrame
        Rows of `dice`, the least first; of equal ones the first in the order of `dice`.
    """
    ordered = dice.sort_values("dice", kind="stable")
    return ordered.drop_duplicates(["paper", "patient"]).head(count).reset_index(drop=True)
