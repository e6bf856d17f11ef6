"""What one simulated patient is made of: build of the body, and texture of liver and spleen.

Each patient has a habitus of their own; nothing in it knows of the outcome. The latent risks enter in `draw_tissue`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from hccbook.phantom.texture import Field, skewed, smooth_field


@dataclass(frozen=True)
class Habitus:
    """Build of one patient.

    Attributes
    ----------
    scale : tuple of float
        Size along x, y and z, relative to the reference adult.
    fat_side, fat_front, fat_back : float
        Thickness of the subcutaneous fat, mm.
    liver_size, left_lobe, nodular_mm : float
        Size of the liver and of its left lobe and caudate, relative; depth of the nodules of its surface, mm.
    spleen_size : float
        Linear size of the spleen, relative to about 150 mL; splenomegaly above about 1.25.
    jitter : ndarray of shape (12, 3)
        Displacements of organs, SD units.
    gas_level : float
        y to the back of which the stomach holds fluid, mm.
    bowel : tuple of (points, radius)
        Courses of the small bowel, reference mm.
    """

    scale: tuple[float, float, float]
    fat_side: float
    fat_front: float
    fat_back: float
    liver_size: float
    left_lobe: float
    nodular_mm: float
    spleen_size: float
    jitter: np.ndarray
    gas_level: float
    bowel: tuple[tuple[list[tuple[float, float, float]], float], ...]


def _bowel_courses(rng: np.random.Generator) -> tuple[tuple[list[tuple[float, float, float]], float], ...]:
    """Small bowel: a loop that goes to and fro between front and back at each of four heights."""
    courses = []
    knots, between = np.arange(10), np.linspace(0.0, 9.0, 28)
    for height in (-40.0, -64.0, -88.0, -112.0):
        x = np.linspace(-66.0, 80.0, 10) + 9.0 * rng.standard_normal(10)
        front, back = rng.uniform(-66.0, -48.0, 10), rng.uniform(-34.0, 2.0, 10)
        y = np.where(knots % 2 == 0, back, front)
        z = height + 9.0 * rng.standard_normal(10)
        course = CubicSpline(knots, np.column_stack([x, y, z]))(between)
        points = [(float(a), float(b), float(c)) for a, b, c in course]
        courses.append((points, float(11.0 + 1.5 * np.clip(rng.standard_normal(), -2, 2))))
    return tuple(courses)


def draw_habitus(rng: np.random.Generator, spleen_size: float) -> Habitus:
    """Build of one patient.

    Parameters
    ----------
    rng : numpy.random.Generator
    spleen_size : float
        Standard normal; a higher value is a larger spleen (it goes with low platelets).
    """
    draw = np.clip(rng.standard_normal(12), -2.2, 2.2)
    stoutness = draw[0]
    scale = (1.0 + 0.035 * stoutness + 0.012 * draw[1], 1.0 + 0.05 * stoutness + 0.015 * draw[2], 1.0 + 0.03 * draw[3])
    fat = np.exp(0.35 * (0.8 * stoutness + 0.6 * draw[4]))
    return Habitus(
        scale=tuple(float(value) for value in scale),
        fat_side=float(11.0 * fat),
        fat_front=float(13.0 * fat),
        fat_back=float(9.0 * fat),
        liver_size=float(1.0 + 0.035 * draw[5]),
        left_lobe=float(1.0 + 0.09 * draw[6]),
        nodular_mm=float(1.6 + 0.35 * draw[7]),
        # Splenomegaly reaches further up than a small spleen reaches down.
        spleen_size=float(1.32 * np.exp((0.14 if spleen_size > 0.0 else 0.07) * np.clip(spleen_size, -2.2, 2.2))),
        jitter=np.clip(rng.standard_normal((12, 3)), -2.0, 2.0),
        gas_level=float(-46.0 + 6.0 * draw[8]),
        bowel=_bowel_courses(rng),
    )


@dataclass(frozen=True)
class Tissue:
    """Random fields of one patient's tissues; the same in every phase, moving with the organ.

    Attributes
    ----------
    nodules, patches, surface : Field
        Of the liver: regenerative nodules, patchy perfusion, unevenness of the surface.
    pulp, bands : Field
        Of the spleen: texture of the pulp, and the arterial bands.
    nodule_hu, patch_hu, pulp_hu, band_hu, venous_drop_hu : float
        SD of the textures and drop of the liver's venous enhancement, HU.
    """

    nodules: Field
    patches: Field
    surface: Field
    pulp: Field
    bands: Field
    nodule_hu: float
    patch_hu: float
    pulp_hu: float
    band_hu: float
    venous_drop_hu: float


_LIVER_BOX = ((-140.0, -98.0, -80.0), (105.0, 82.0, 110.0))
_SPLEEN_BOX = ((15.0, -55.0, -75.0), (140.0, 85.0, 105.0))


def draw_tissue(rng: np.random.Generator, liver_latent: float, spleen_latent: float) -> Tissue:
    """Tissues of one patient.

    Parameters
    ----------
    rng : numpy.random.Generator
    liver_latent, spleen_latent : float
        Latent imaging risks, SD units; a higher value is a higher risk and a coarser, stronger texture.

    Notes
    -----
    The latent risks enter here and nowhere else, after every random number is drawn, so that a patient's
    anatomy, noise and texture pattern are the same whatever the risk.
    """
    own = rng.standard_normal(6)
    streams = rng.spawn(5)
    liver_risk, spleen_risk = (float(np.clip(latent, -3.0, 4.5)) for latent in (liver_latent, spleen_latent))
    size = 1.0 + 0.03 * np.clip(own[0], -2, 2)
    nodules = smooth_field(streams[0], *_LIVER_BOX, 3.7 * size * np.exp(0.05 * liver_risk), band=0.8)
    pulp = smooth_field(streams[3], *_SPLEEN_BOX, 4.0 * (1.0 + 0.03 * np.clip(own[1], -2, 2)), band=0.5)
    return Tissue(
        nodules=skewed(nodules, 0.12),
        patches=smooth_field(streams[1], *_LIVER_BOX, 11.0),
        surface=smooth_field(streams[2], *_LIVER_BOX, 6.0),
        pulp=skewed(pulp, 0.02 + 0.06 * np.clip(spleen_risk + 2.0, 0.0, 5.0)),
        bands=smooth_field(streams[4], *_SPLEEN_BOX, 5.0, band=0.9),
        nodule_hu=float(9.5 * np.exp(0.30 * liver_risk)),
        patch_hu=float(3.0 * np.exp(0.30 * liver_risk)),
        pulp_hu=float(9.5 * np.exp(0.34 * spleen_risk)),
        band_hu=float(12.0 + 2.0 * np.clip(own[2], -2, 2)),
        venous_drop_hu=float(2.5 * liver_risk),
    )
