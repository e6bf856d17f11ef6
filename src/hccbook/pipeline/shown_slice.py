"""One axial slice of a patient with the organs on it, in full resolution, for the book's pages."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from hccbook import images
from hccbook.cohort import read_manifest
from hccbook.errors import MaskError
from hccbook.phantom import render_patient
from hccbook.run import Case, RunPaths
from hccbook.settings import ORGANS, CohortSettings

SPACING_MM = 1.0
"""Voxel edge of a simulated slice, as in both papers."""

_SLAB_MM = 5.0  # to either side: more than the scanner blurs across


def shown_slice(run: RunPaths, paper: str, patient: str, phases: Sequence[str], *, synthetic: bool) -> dict[str, Any]:
    """Axial slice in which a patient's liver is largest.

    A simulated patient is rendered again around it, in voxels of `SPACING_MM`; of a user's own patient it is the slice
    of the working grid.

    Parameters
    ----------
    run : RunPaths
    paper, patient : str
        Patient whose label maps on the working grid are there.
    phases : sequence of str
        The venous one is shown if it is among them, else the first.
    synthetic : bool
        Whether the patient is simulated.

    Returns
    -------
    dict
        ``what`` (phase and voxel edges in words), ``synthetic``, ``rows``, ``columns``, ``spacing_mm`` (row, column),
        ``hu`` (int16, little-endian, row by row, as base64) and ``labels`` (runs: organ's label, or 0, and length).

    Raises
    ------
    MaskError
        If the patient has no liver on the working grid.
    """
    phase = "venous" if "venous" in phases else phases[0]
    case = Case(run, paper, patient, (phase,))
    image, labels = images.read_image(case.image(phase)), images.read_label_map(case.labels(phase))
    liver = images.to_array(labels) == ORGANS.index("liver") + 1
    if not liver.any():
        raise MaskError(case.place(phase, "liver"), "must have voxels", "none", "Choose another patient.")
    position = int(liver.sum(axis=(1, 2)).argmax())
    if synthetic:
        height = image.TransformIndexToPhysicalPoint((0, 0, position))[2]
        image, labels = _rendered(run, paper, patient, phase, height)
        position = image.GetSize()[2] // 2
    return slice_content(image[:, :, position], labels[:, :, position], phase, synthetic=synthetic)


def _rendered(run: RunPaths, paper: str, patient: str, phase: str, height: float) -> tuple[sitk.Image, sitk.Image]:
    """Slab of a simulated patient about a height, mm, with the true organs."""
    latent = pd.read_csv(run.synthetic_cohort(paper) / "latent.csv", float_precision="round_trip")
    row = latent.set_index("patient").loc[patient]
    centre = read_manifest(run.source_manifest(paper), (phase,)).loc[patient, "centre"]
    settings = CohortSettings(acquisition_spacing_mm=SPACING_MM)
    return render_patient(row.to_dict() | {"centre": centre}, settings, (height - _SLAB_MM, height + _SLAB_MM))[phase]


def slice_content(image: sitk.Image, labels: sitk.Image, phase: str, *, synthetic: bool) -> dict[str, Any]:
    """A slice and its label map, both two-dimensional, as `shown_slice` returns them."""
    hu, organs = (sitk.GetArrayFromImage(one) for one in (image, labels))
    spacing = [round(float(edge), 3) for edge in image.GetSpacing()[::-1]]
    flat = organs.ravel()
    starts = np.r_[0, np.flatnonzero(np.diff(flat)) + 1]
    lengths = np.diff(np.r_[starts, flat.size])
    return {
        "what": f"{phase} phase, voxels of {spacing[0]:g} by {spacing[1]:g} mm",
        "synthetic": synthetic,
        "rows": hu.shape[0],
        "columns": hu.shape[1],
        "spacing_mm": spacing,
        "hu": base64.b64encode(np.rint(hu).astype("<i2").tobytes()).decode("ascii"),
        "labels": np.column_stack([flat[starts], lengths]).astype(int).tolist(),
    }
