"""Volumes that occur twice, by their voxels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk

from hccbook.images.geometry import to_array


def content_of(image: sitk.Image) -> str:
    """Digest of the voxels of a volume in HU: the same in whatever order and direction its axes are stored."""
    voxels = np.rint(to_array(sitk.DICOMOrient(image, "LPS"))).astype(np.int16)
    return hashlib.sha256(repr(voxels.shape).encode() + voxels.tobytes()).hexdigest()


def repeated_volumes(contents: Mapping[str, Mapping[str, str]]) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Volumes that are another one's too.

    Parameters
    ----------
    contents : mapping of str to mapping of str to str
        `content_of` every volume, by patient and phase.

    Returns
    -------
    list of pairs of (str, str)
        Patient and phase of each such volume, and of the first other one that is the same.
    """
    places: dict[str, list[tuple[str, str]]] = {}
    for key, of_patient in contents.items():
        for phase, content in of_patient.items():
            places.setdefault(content, []).append((key, phase))
    several = [same for same in places.values() if len(same) > 1]
    return [(place, next(other for other in same if other != place)) for same in several for place in same]
