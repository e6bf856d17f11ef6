"""Pictures of patients, and what only a simulation can show."""

from __future__ import annotations

import contextlib

import numpy as np
import pandas as pd
import SimpleITK as sitk

from hccbook import images, segmentation
from hccbook.errors import DataError, HccbookError
from hccbook.images.remarks import collected
from hccbook.papers import find_paper
from hccbook.pipeline.files import source_cases
from hccbook.run import Case, RunPaths
from hccbook.settings import ORGANS


def readable_images(
    run: RunPaths, paper: str, phases: tuple[str, ...]
) -> tuple[dict[str, sitk.Image], dict[str, sitk.Image]]:
    """As `source_volumes`, of the last patient of a run whose images and masks can be read.

    The others are named by the stage that reads everybody.

    Raises
    ------
    DataError
        If there is none.
    """
    patients = list(source_cases(run, paper, phases).values())
    for case in reversed(patients):
        with contextlib.suppress(HccbookError):
            return source_volumes(case)
    hint = "Run hccbook check, which names what is wrong with each."
    raise DataError(f"images of {paper}", "at least one patient must be readable", f"0 of {len(patients)}", hint)


@collected()
def source_volumes(case: Case) -> tuple[dict[str, sitk.Image], dict[str, sitk.Image]]:
    """Images of one patient as the manifest has them, with its masks where it gives them.

    Returns
    -------
    images : dict of str to SimpleITK.Image
        By phase, HU.
    labels : dict of str to SimpleITK.Image
        Label maps by phase; empty where the manifest has no masks of both organs.
    """
    volumes = {phase: images.read_image(case.source(phase), case.place(phase)) for phase in case.phases}
    given = [phase for phase in case.phases if set(case.source_masks(phase)) == set(ORGANS)]
    return volumes, {phase: source_labels(case, phase, volumes[phase]) for phase in given}


@collected()
def source_labels(case: Case, phase: str, image: sitk.Image) -> sitk.Image:
    """Label map of the masks that the manifest gives for a phase, on the grid of `image`."""
    masks = case.source_masks(phase)
    organs = (images.read_mask(masks[organ], image, case.place(phase, organ), organ) for organ in ORGANS)
    return segmentation.external_labels(*organs, image, place=case.place(phase))


def working_volumes(case: Case) -> tuple[dict[str, sitk.Image], dict[str, sitk.Image]]:
    """Images and label maps of one patient on the working grid, by phase."""
    volumes = {phase: images.read_image(case.image(phase)) for phase in case.phases}
    labels = {phase: images.read_label_map(case.labels(phase)) for phase in case.phases}
    return volumes, labels


@collected()
def compared_segmentations(
    run: RunPaths, paper: str, patient: str, phase: str
) -> tuple[sitk.Image, sitk.Image, sitk.Image]:
    """One phase of a patient with the mask used and the one that the manifest gives, as the Dice is taken of them.

    Returns
    -------
    image, used, given : SimpleITK.Image
        HU and two label maps, on the image's own grid where the network segmented it, else on the working grid.
    """
    case = source_cases(run, paper, (phase,))[patient]
    if case.native_labels(phase).is_file():
        image = images.read_image(case.source(phase), case.place(phase))
        return image, images.read_label_map(case.native_labels(phase), image), source_labels(case, phase, image)
    image = images.read_image(case.image(phase))
    used, given = (images.read_label_map(file, image) for file in (case.labels(phase), case.reference_labels(phase)))
    return image, used, given


def most_different_slice(used: sitk.Image, given: sitk.Image, organ: str) -> int:
    """Axial slice, counted from the foot, in which two label maps on one grid differ in most voxels of an organ.

    Returns
    -------
    int
        The first of several.
    """
    label = ORGANS.index(organ) + 1
    first, second = (images.to_array(sitk.DICOMOrient(labels, "LPS")) == label for labels in (used, given))
    return int(np.argmax((first != second).sum(axis=(1, 2))))


def latent_association(run: RunPaths, paper: str, features: pd.DataFrame) -> pd.DataFrame:
    """Spearman correlation of every feature with the planted risk of the organ that it comes from.

    Returns
    -------
    pandas.DataFrame
        Columns feature, correlation; the strongest first.
    """
    latent = pd.read_csv(run.synthetic_cohort(paper) / "latent.csv").set_index("patient")
    features = features.loc[:, features.nunique() > 1]  # a constant has no correlation
    organ = features.columns.str.split(".").str[1]
    parts = [
        features.loc[:, organ == name].corrwith(latent.loc[features.index, f"{name}_latent"], method="spearman")
        for name in find_paper(paper).organs
    ]
    table = pd.concat(parts).rename("correlation").rename_axis("feature").reset_index()
    return table.sort_values("correlation", key=abs, ascending=False, ignore_index=True)
