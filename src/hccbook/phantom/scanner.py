"""The eleven centres' scanners: grid, point spread, noise.

The numbers are choices, not print: the papers' Supplementary Table 2 (image characteristics of each centre)
is not public. They span what abdominal protocols span, relative to one nominal voxel edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from hccbook.errors import DataError


@dataclass(frozen=True)
class Scanner:
    """Scanner of one centre.

    Attributes
    ----------
    centre : str
        Centre, C01 to C11.
    in_plane : float
        Voxel edge within the slice, relative to the nominal edge.
    slice_step : float
        Distance between slices, relative to the nominal edge.
    blur : float
        SD of the reconstruction kernel's point spread, voxel edges; a sharp kernel has a small one.
    noise_hu : float
        SD of the noise at a nominal edge of 5 mm, HU.
    grain : float
        SD of the noise's own smoothing, voxel edges; fine grain for a sharp kernel.
    offset_hu : float
        Calibration offset of water, HU.
    manufacturer, model, kernel : str
        Names for the DICOM header; no real product.
    """

    centre: str
    in_plane: float
    slice_step: float
    blur: float
    noise_hu: float
    grain: float
    offset_hu: float
    manufacturer: str
    model: str
    kernel: str


SCANNERS: dict[str, Scanner] = {
    scanner.centre: scanner
    for scanner in (
        Scanner("C01", 0.96, 1.10, 0.36, 3.2, 0.50, 0.0, "SYNTHETIC A", "PHANTOM 64", "STANDARD"),
        Scanner("C02", 0.94, 1.00, 0.32, 3.7, 0.42, 0.9, "SYNTHETIC B", "PHANTOM 128", "B30"),
        Scanner("C03", 1.05, 0.92, 0.40, 3.0, 0.55, -1.1, "SYNTHETIC C", "PHANTOM 16", "FC08"),
        Scanner("C04", 0.90, 1.10, 0.34, 3.9, 0.45, 1.4, "SYNTHETIC A", "PHANTOM 256", "STANDARD"),
        Scanner("C05", 1.00, 1.15, 0.42, 2.8, 0.60, -0.6, "SYNTHETIC D", "PHANTOM 40", "B"),
        Scanner("C06", 1.08, 1.00, 0.36, 3.3, 0.50, 0.5, "SYNTHETIC B", "PHANTOM 64", "B31"),
        Scanner("C07", 0.96, 0.90, 0.30, 4.1, 0.40, -1.5, "SYNTHETIC C", "PHANTOM 80", "FC13"),
        Scanner("C08", 1.02, 1.05, 0.38, 3.1, 0.55, 1.8, "SYNTHETIC D", "PHANTOM 128", "YA"),
        Scanner("C09", 0.92, 1.00, 0.34, 3.5, 0.45, -0.3, "SYNTHETIC A", "PHANTOM 16", "SOFT"),
        Scanner("C10", 1.06, 1.08, 0.44, 2.6, 0.65, 0.2, "SYNTHETIC B", "PHANTOM 256", "I30"),
        Scanner("C11", 0.98, 0.95, 0.33, 3.8, 0.42, -1.9, "SYNTHETIC C", "PHANTOM 320", "FC18"),
    )
}
"""Scanner by centre; C01 is the largest centre of both papers."""


def scanner_of(centre: str) -> Scanner:
    """Scanner of a centre.

    Raises
    ------
    DataError
        If the centre is not one of the eleven.
    """
    if centre not in SCANNERS:
        raise DataError("centre", f"must be one of {', '.join(SCANNERS)}", repr(centre), "Use a simulated centre.")
    return SCANNERS[centre]


def voxel_edges(scanner: Scanner, nominal_mm: float) -> tuple[float, float, float]:
    """Voxel edges (x, y, z) of a scanner, mm, rounded to a micrometre as headers print them."""
    edge = round(scanner.in_plane * nominal_mm, 3)
    return edge, edge, round(scanner.slice_step * nominal_mm, 3)


def texture_spread(edges_mm: tuple[float, float, float]) -> tuple[float, float, float]:
    """SD along (x, y, z) with which tissue is averaged into a voxel, mm: the voxel's box.

    The kernel's own point spread comes later, with `acquire`, for tissue and edges alike.
    """
    box = 1.0 / np.sqrt(12.0)
    return tuple(float(box * edge) for edge in edges_mm)


def acquire(hu: np.ndarray, scanner: Scanner, nominal_mm: float, rng: np.random.Generator) -> np.ndarray:
    """What the scanner makes of the tissue: blurred, noisy, offset, whole HU.

    Parameters
    ----------
    hu : ndarray of shape (n_z, n_y, n_x), float32
        Attenuation averaged over each voxel, HU; overwritten.
    scanner : Scanner
    nominal_mm : float
        Nominal voxel edge, mm; the noise grows with the inverse square root of it.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    ndarray of shape (n_z, n_y, n_x), int16
        HU between -1024 and 3071.
    """
    ndimage.gaussian_filter(hu, scanner.blur, output=hu, mode="nearest", truncate=3.0)
    noise = rng.standard_normal(hu.shape, dtype=np.float32)
    ndimage.gaussian_filter(noise, scanner.grain, output=noise, mode="wrap", truncate=3.0)
    kernel = ndimage.gaussian_filter1d(np.eye(9)[4], scanner.grain, truncate=3.0)
    # The SD of white noise after a separable kernel is the kernel's norm, once an axis.
    sd = scanner.noise_hu * np.sqrt(5.0 / nominal_mm)
    noise *= np.float32(sd / np.sum(kernel**2) ** 1.5)
    hu += noise
    hu += np.float32(scanner.offset_hu)
    np.rint(hu, out=hu)
    np.clip(hu, -1024, 3071, out=hu)
    return hu.astype(np.int16)
