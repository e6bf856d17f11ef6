"""Whether the contrast of a patient's phases is that of the columns they stand in, as far as the images can tell."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk

from hccbook.images.preprocessing import AIR_HU, resample

_SPACING_MM = 5.0
_SOFT_HU = (0.0, 500.0)  # in both phases: neither lung nor fat, nor what moved from one to the other
_ORGANS_HU = (75.0, 180.0)  # mean of both phases: enhanced organs, without muscle
_LEAST_VOXELS = 2000  # a quarter of a litre; less is no abdomen
_VESSELS = 0.998  # quantile of the difference that vessels and the renal cortex alone reach
_CLIPPED_HU = 80.0
_SAME_VESSELS_HU, _SAME_ORGANS_HU = 8.0, 2.0
_EXPECTED = {
    ("arterial", "venous"): ((-60.0, np.inf), (-3.0, np.inf)),
    ("arterial", "delayed"): ((-20.0, np.inf), (-np.inf, np.inf)),
    ("venous", "delayed"): ((-np.inf, np.inf), (-30.0, 3.0)),
}
"""Bounds of what `phase_contrast` measures, vessels and organs, by pair of phases. Simulated patients with voxels of
8 mm have -6 to 65 and 9 to 20, 45 to 120 and -4 to 5, -25 to 29 and -17 to -8 HU."""


def phase_contrast(first: sitk.Image, second: sitk.Image) -> tuple[float, float] | None:
    """What tells two contrast phases of one abdomen apart, without a mask.

    Parameters
    ----------
    first, second : SimpleITK.Image
        HU, in the same physical space.

    Returns
    -------
    vessels : float
        By how much soft tissue is brighter in `first` where it is most so, less the same of `second`, HU: above 0 where
        `first` is the one that shows the aorta.
    organs : float
        Mean of `second` less `first` over voxels as bright as enhanced organs, HU: above 0 where `second` is the one
        that shows the liver. None in place of both where the two share less than a quarter of a litre of these.
    """
    coarse = resample(first, _SPACING_MM)
    other = sitk.Resample(resample(second, _SPACING_MM), coarse, sitk.Transform(), sitk.sitkLinear, AIR_HU)
    a, b = (sitk.GetArrayViewFromImage(image) for image in (coarse, other))
    soft = (np.minimum(a, b) > _SOFT_HU[0]) & (np.maximum(a, b) < _SOFT_HU[1])
    bright = soft & (a + b > 2 * _ORGANS_HU[0]) & (a + b < 2 * _ORGANS_HU[1])
    if np.count_nonzero(bright) < _LEAST_VOXELS:
        return None
    vessels = np.quantile((a - b)[soft], _VESSELS) - np.quantile((b - a)[soft], _VESSELS)
    return float(vessels), float(np.clip((b - a)[bright], -_CLIPPED_HU, _CLIPPED_HU).mean())


def contrast_findings(images: Mapping[str, sitk.Image]) -> list[tuple[str, str, str]]:
    """Phases whose images do not differ as their columns say.

    Two phases are compared with each other, so that a single one is never found.
    Nothing here is certain: circulation differs, and so do the delays that scanners are set to.

    Parameters
    ----------
    images : mapping of str to SimpleITK.Image
        HU by phase.

    Returns
    -------
    list of (str, str, str)
        Phase, rule and value found.
    """
    findings = []
    for (first, second), expected in _EXPECTED.items():
        measured = phase_contrast(images[first], images[second]) if {first, second} <= set(images) else None
        if measured is None:
            continue
        vessels, organs = measured
        found = f"vessels {vessels:+.0f} HU and organs {-organs:+.0f} HU against the {second} phase"
        if abs(vessels) < _SAME_VESSELS_HU and abs(organs) < _SAME_ORGANS_HU:
            findings.append((first, f"must show another contrast phase than {second} does", found))
        elif any(not low <= value <= high for value, (low, high) in zip(measured, expected, strict=True)):
            rule = (
                f"must have the contrast of the {first} phase, and {second} its own: they may be swapped, or one native"
            )
            findings.append((first, rule, found))
    return findings
