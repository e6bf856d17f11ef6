"""Pictures of patients, and what only a simulation can show."""

from __future__ import annotations

import numpy as np
import pandas as pd
import SimpleITK as sitk

from hccbook import cohort, images
from hccbook.pipeline import stages
from hccbook.pipeline.files import (
    ORGANS_OF_PAPER,
    label_map,
    native_labels,
    reference_labels,
    source_manifest,
    working_image,
)
from hccbook.run import RunPaths
from hccbook.settings import ORGANS


def source_images(
    run: RunPaths, paper: str, manifest: str, patient: str, phases: tuple[str, ...]
) -> tuple[dict[str, sitk.Image], dict[str, sitk.Image]]:
    """Images of one patient as the manifest has them, with its masks where it gives them.

    Returns
    -------
    images : dict of str to SimpleITK.Image
        By phase, HU.
    labels : dict of str to SimpleITK.Image
        Label maps by phase; empty where the manifest has no masks.
    """
    row = cohort.read_manifest(source_manifest(run, paper, manifest), phases).loc[patient]
    return stages.source_volumes(row, patient, phases)


def working_volumes(
    run: RunPaths, paper: str, patient: str, phases: tuple[str, ...]
) -> tuple[dict[str, sitk.Image], dict[str, sitk.Image]]:
    """Images and label maps of one patient on the working grid, by phase."""
    volumes = {phase: images.read_image(working_image(run, paper, patient, phase)) for phase in phases}
    labels = {phase: images.read_label_map(label_map(run, paper, patient, phase)) for phase in phases}
    return volumes, labels


def compared_segmentations(
    run: RunPaths, paper: str, manifest: str, patient: str, phase: str
) -> tuple[sitk.Image, sitk.Image, sitk.Image]:
    """One phase of a patient with the mask used and the one that the manifest gives, as the Dice is taken of them.

    Returns
    -------
    image, used, given : SimpleITK.Image
        HU and two label maps, on the image's own grid where the network segmented it, else on the working grid.
    """
    own = native_labels(run, paper, patient, phase)
    if own.is_file():
        volumes, given = source_images(run, paper, manifest, patient, (phase,))
        return volumes[phase], images.read_label_map(own, volumes[phase]), given[phase]
    image = images.read_image(working_image(run, paper, patient, phase))
    used = images.read_label_map(label_map(run, paper, patient, phase), image)
    return image, used, images.read_label_map(reference_labels(run, paper, patient, phase), image)


def most_different_slice(used: sitk.Image, given: sitk.Image, organ: str) -> int:
    """Axial slice, counted from the foot, in which two masks of an organ differ in most voxels.

    Parameters
    ----------
    used, given : SimpleITK.Image
        Label maps on one grid.
    organ : {"liver", "spleen"}

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
    latent = pd.read_csv(source_manifest(run, paper, "").parent / "latent.csv").set_index("patient")
    features = features.loc[:, features.nunique() > 1]  # a constant has no correlation
    organ = features.columns.str.split(".").str[1]
    parts = [
        features.loc[:, organ == name].corrwith(latent.loc[features.index, f"{name}_latent"], method="spearman")
        for name in ORGANS_OF_PAPER[paper]
    ]
    table = pd.concat(parts).rename("correlation").rename_axis("feature").reset_index()
    return table.sort_values("correlation", key=abs, ascending=False, ignore_index=True)
