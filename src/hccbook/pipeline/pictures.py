"""Pictures of patients, and what only a simulation can show."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import SimpleITK as sitk

from hccbook import cohort, images, segmentation
from hccbook.paths import RunPaths
from hccbook.pipeline.files import ORGANS_OF_PAPER, label_map, source_manifest, working_image
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
    volumes = {phase: images.read_image(row[phase], f"{patient}, {phase}") for phase in phases}
    labels = {}
    for phase in phases:
        masks = [row.get(f"{organ}_mask_{phase}") for organ in ORGANS]
        if all(isinstance(mask, str | Path) and str(mask) for mask in masks):
            labels[phase] = segmentation.external_labels(
                *(images.read_mask(mask, volumes[phase], f"{patient}, {phase}") for mask in masks), volumes[phase]
            )
    return volumes, labels


def working_volumes(
    run: RunPaths, paper: str, patient: str, phases: tuple[str, ...]
) -> tuple[dict[str, sitk.Image], dict[str, sitk.Image]]:
    """Images and label maps of one patient on the working grid, by phase."""
    volumes = {phase: images.read_image(working_image(run, paper, patient, phase)) for phase in phases}
    labels = {phase: images.read_label_map(label_map(run, paper, patient, phase)) for phase in phases}
    return volumes, labels


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
