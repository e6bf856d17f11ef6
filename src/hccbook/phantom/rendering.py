"""Three-phase CT of one simulated patient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import SimpleITK as sitk

from hccbook.phantom.anatomy import Abdomen, grid
from hccbook.phantom.enhancement import draw_enhancement
from hccbook.phantom.habitus import draw_habitus, draw_tissue
from hccbook.phantom.scanner import acquire, scanner_of, texture_spread, voxel_edges
from hccbook.settings import PHASES, CohortSettings

RENDERER_COLUMNS = ("image_seed", "centre", "liver_latent", "spleen_latent", "spleen_size")
"""All that the renderer takes from a patient's row."""

_STREAMS = ("habitus", "tissue", "enhancement", "breathing", *(f"noise {phase}" for phase in PHASES))


def _stream(image_seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([int(image_seed), _STREAMS.index(name)]))


def _breathing(image_seed: int) -> dict[str, tuple[float, float, float]]:
    """Displacement (x, y, z) of the organs in each phase against the venous one, mm."""
    draw = np.clip(_stream(image_seed, "breathing").standard_normal((len(PHASES), 2)), -2.0, 2.0)
    shifts = {}
    for (up, forward), phase in zip(draw, PHASES, strict=True):
        dz = 5.5 * up
        shifts[phase] = (0.0, 0.22 * dz + 0.8 * forward, dz)
    return shifts | {"venous": (0.0, 0.0, 0.0)}


def render_patient(
    row: Mapping[str, Any], settings: CohortSettings, heights_mm: tuple[float, float] | None = None
) -> dict[str, tuple[sitk.Image, sitk.Image]]:
    """Three-phase CT of one patient, with the true masks.

    Parameters
    ----------
    row : mapping
        A row of `simulate_clinical`; only `RENDERER_COLUMNS` are read.
    settings : CohortSettings
        Only ``acquisition_spacing_mm`` is read.
    heights_mm : tuple of float, optional
        Lowest and highest slice (z, mm) where only a slab is wanted: the same anatomy under another draw of noise.
        The scanner blurs its outermost slices with nothing beyond them.

    Returns
    -------
    dict of str to (SimpleITK.Image, SimpleITK.Image)
        By phase: the image (int16, HU) and the label map (uint8; 0 background, 1 liver, 2 spleen; the vessels
        inside the liver belong to it). Both lie on the same axial grid in LPS; SimpleITK's own order is x, y, z.

    Raises
    ------
    DataError
        If the centre is unknown.
    """
    seed = int(row["image_seed"])
    scanner = scanner_of(row["centre"])
    nominal = settings.acquisition_spacing_mm
    edges = voxel_edges(scanner, nominal)
    habitus = draw_habitus(_stream(seed, "habitus"), float(row["spleen_size"]))
    tissue = draw_tissue(_stream(seed, "tissue"), float(row["liver_latent"]), float(row["spleen_latent"]))
    enhancement = draw_enhancement(_stream(seed, "enhancement"))
    axes = grid(habitus, edges)
    if heights_mm is not None:
        z = axes[2]
        axes = (*axes[:2], z[(z >= heights_mm[0]) & (z <= heights_mm[1])])
    abdomen = Abdomen(habitus, tissue, axes, texture_spread(edges))
    result = {}
    for phase, shift in _breathing(seed).items():
        canvas = abdomen.phase(enhancement[phase], phase, shift)
        voxels = acquire(canvas.hu, scanner, nominal, _stream(seed, f"noise {phase}"))
        images = []
        for array in (voxels, canvas.labels):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing(edges)
            image.SetOrigin(tuple(round(float(axis[0]), 3) for axis in axes))
            images.append(image)
        result[phase] = (images[0], images[1])
    return result
