"""What is measured of a volume: the HU of organs whose masks are given, and a picture of one slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image

from hccbook.errors import HccbookError
from hccbook.images import read_image, read_mask, to_array
from hccbook.store import atomic_path

_WINDOW_HU = (-120.0, 240.0)  # ends that show fat, organs and contrast apart
_WIDTH = 220  # pixels of a picture
_LEAST_VOXELS = 20  # fewer have no median worth the name


@dataclass(frozen=True)
class VolumeTask:
    """A volume to look at.

    Attributes
    ----------
    path : pathlib.Path
        Folder or file of the volume.
    masks : mapping of str to tuple of str
        Paths of masks by organ, ``#`` and a part behind them where needed; several are parts of one organ.
    picture : pathlib.Path
        PNG file to write.
    place : str
        How errors name the volume.
    """

    path: Path
    masks: Mapping[str, tuple[str, ...]]
    picture: Path
    place: str


@dataclass(frozen=True)
class Measured:
    """What was measured of a volume.

    Attributes
    ----------
    hu : dict of str to float
        Median HU by organ.
    problems : tuple of str
        Masks that could not be used, and why.
    error : str
        Why the volume cannot be read; empty where it can.
    """

    hu: dict[str, float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    error: str = ""


def measure_volume(task: VolumeTask) -> Measured:
    """Read a volume and its masks, take the median HU of each organ, and draw one slice.

    The slice is the one with most of the liver, or else the middle one.
    """
    try:
        image = read_image(task.path, task.place)
    except HccbookError as error:
        return Measured(error=f"{error.rule}, but found {error.found}")
    array = to_array(image)
    hu, problems, level = {}, [], None
    for organ, paths in task.masks.items():
        marked = np.zeros(array.shape, bool)
        for path in paths:
            try:
                marked |= to_array(read_mask(path, image, f"{task.place}, {organ}")) > 0
            except HccbookError as error:
                problems.append(f"{organ}: {error.rule}, but found {error.found}")
        if marked.sum() >= _LEAST_VOXELS:
            hu[organ] = float(np.median(array[marked]))
        if organ == "liver" and marked.any():
            level = marked
    _draw(image, level, task.picture)
    return Measured(hu, tuple(problems))


def _draw(image: sitk.Image, liver: np.ndarray | None, file: Path) -> None:
    lying = sitk.DICOMOrient(image, "LPS")
    array = to_array(lying)
    index = len(array) // 2
    if liver is not None:
        mask = sitk.GetImageFromArray(liver.astype(np.uint8))
        mask.CopyInformation(image)
        index = int((to_array(sitk.DICOMOrient(mask, "LPS")) > 0).sum(axis=(1, 2)).argmax())
    low, high = _WINDOW_HU
    grey = np.clip((array[index].astype(float) - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    x, y, _ = lying.GetSpacing()
    height = max(1, round(_WIDTH * grey.shape[0] * y / (grey.shape[1] * x)))
    with atomic_path(file) as part:
        Image.fromarray(grey).resize((_WIDTH, height), Image.Resampling.BILINEAR).save(
            part, format="PNG", optimize=True
        )
