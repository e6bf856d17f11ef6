"""What is measured of a volume: the HU of organs whose masks are given, and a picture of one slice."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from PIL import Image

from hccbook.errors import HccbookError
from hccbook.images import read_image, read_mask, to_array
from hccbook.images.remarks import collected
from hccbook.settings import ORGANS
from hccbook.store import atomic_path

if TYPE_CHECKING:
    from hccbook.segmentation.network import Segmenter

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
    weights : str
        File of a trained network that segments liver and spleen where no mask of them is given; empty for none.
    """

    path: Path
    masks: Mapping[str, tuple[str, ...]]
    picture: Path
    place: str
    weights: str = ""


@dataclass(frozen=True)
class Measured:
    """What was measured of a volume.

    Attributes
    ----------
    hu : dict of str to float
        Median HU by organ.
    problems : tuple of str
        What reading repaired, and masks that could not be used, with the reason.
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
    with collected() as remarks:
        try:
            image = read_image(task.path, task.place)
        except HccbookError as error:
            return Measured(error=f"{error.rule}, but found {error.found}")
        masks, problems = _masks(task, image)
    array = to_array(image)
    hu = {organ: float(np.median(array[mask])) for organ, mask in masks.items() if mask.sum() >= _LEAST_VOXELS}
    _draw(image, masks.get("liver"), task.picture)
    # What reading repaired comes first.
    return Measured(hu, (*map(str, remarks), *problems))


def _masks(task: VolumeTask, image: sitk.Image) -> tuple[dict[str, np.ndarray], list[str]]:
    """Masks (z, y, x) by organ, given or else segmented, and those that could not be used."""
    masks, problems = {}, []
    for organ, paths in task.masks.items():
        marked = np.zeros(image.GetSize()[::-1], bool)
        for path in paths:
            try:
                marked |= to_array(read_mask(path, image, f"{task.place}, {organ}")) > 0
            except HccbookError as error:
                problems.append(f"{organ}: {error.rule}, but found {error.found}")
        if marked.any():
            masks[organ] = marked
    if task.weights and not set(ORGANS) & set(masks):
        labels = to_array(_segmenter(task.weights).predict_all([image])[0])
        segmented = {organ: labels == label for label, organ in enumerate(ORGANS, start=1)}
        masks |= {organ: mask for organ, mask in segmented.items() if mask.any()}
    return masks, problems


@functools.lru_cache(maxsize=1)
def _segmenter(weights: str) -> Segmenter:
    # The network takes seconds to load, and most collections come with masks or without a network.
    from hccbook.segmentation.network import Segmenter

    return Segmenter.load(weights, "cpu")


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
