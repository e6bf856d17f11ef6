"""Volumes and masks among the NIfTI files of a collection, told apart by name and, where that is silent, by values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from hccbook.collection.recipes import NameParts, Recipe, name_parts
from hccbook.collection.tree import Source, Tree
from hccbook.collection.volumes import Volume
from hccbook.errors import ImageError
from hccbook.images.geometry import Grid
from hccbook.images.nifti import read_nifti
from hccbook.images.remarks import attempted, collected

_MOST_LABELS = 130  # TotalSegmentator has 117
_AIR_HU = -200.0  # every CT of a body has air or fat below it, a map of labels has nothing


@dataclass(frozen=True)
class NiftiFile:
    """A NIfTI file of the collection on the disk, and what its place says."""

    source: Source
    path: Path
    parts: NameParts


def sort_nifti(tree: Tree, paths: dict[Source, Path], recipe: Recipe) -> tuple[list[Volume], list[NiftiFile]]:
    """Volumes and masks among a tree's NIfTI files.

    Parameters
    ----------
    tree : Tree
    paths : dict
        Where each NIfTI file lies on the disk, those of zip files unpacked.
    recipe : Recipe

    Returns
    -------
    volumes : list of Volume
        Those that cannot be read are left out with the reason.
    masks : list of NiftiFile
    """
    volumes, masks = [], []
    for source in tree.nifti:
        place = "/".join([*source.parts(tree.root), source.name])
        parts = name_parts(place, recipe)
        try:
            is_mask = _holds_labels(paths[source]) if parts.is_mask is None else parts.is_mask
        except ImageError as error:
            reason = f"{error.rule}, but found {error.found}"
            volumes.append(dataclasses.replace(_volume(source, parts, place), left_out=reason))
            continue
        if is_mask:
            masks.append(NiftiFile(source, paths[source], parts))
            continue
        volumes.append(_with_grid(_volume(source, parts, place), paths[source]))
    return sorted(volumes, key=lambda volume: (volume.patient, volume.series)), masks


def _volume(source: Source, parts: NameParts, place: str) -> Volume:
    return Volume(
        patient=parts.patient,
        study=source.folder,
        series=place,
        header=None,
        files=(source,),
        description=parts.phase or parts.words,
    )


def _with_grid(volume: Volume, path: Path) -> Volume:
    grid = file_grid(path)
    if grid is None:
        return volume
    bare = np.array_equal(np.abs(grid.steps), np.eye(3)) and not grid.origin.any()
    remarks = ("voxels of 1 x 1 x 1 mm at the origin: its header may say nothing of the grid",) if bare else ()
    return dataclasses.replace(volume, along=tuple(_along(grid)), remarks=remarks)


def _along(grid: Grid) -> Sequence[float]:
    """Places of slices along the axis that runs most from foot to head, mm."""
    axis = int(np.argmax(np.abs(grid.steps[2]) / np.linalg.norm(grid.steps, axis=0)))
    return (np.arange(grid.size[axis]) * np.linalg.norm(grid.steps[:, axis])).tolist()


def file_grid(path: Path) -> Grid | None:
    """Grid of a NIfTI file from its header alone; None where it is not 3-D or cannot be read."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("NiftiImageIO")
    size: tuple[int, ...] = ()
    with attempted():
        reader.ReadImageInformation()
        size = reader.GetSize()
    if len(size) < 3 or any(length != 1 for length in size[3:]):
        return None
    rank = len(size)
    direction = np.array(reader.GetDirection()).reshape(rank, rank)[:3, :3]
    return Grid(
        (size[0], size[1], size[2]), np.array(reader.GetOrigin()[:3]), direction * np.array(reader.GetSpacing()[:3])
    )


def _holds_labels(path: Path) -> bool:
    """Whether a file holds few whole numbers from 0 on, as masks do, and nothing of a body's fat and air."""
    with collected():  # what is repaired is said when the volume is measured
        image = read_nifti(path, path.name, ImageError)
    values = sitk.GetArrayViewFromImage(image)
    if values.min() < _AIR_HU or values.max() > _MOST_LABELS:
        return False
    levels = np.unique(values)
    return levels[0] == 0 and len(levels) <= _MOST_LABELS and bool(np.array_equal(levels, np.rint(levels)))
