"""Masks of organs: from NIfTI files, DICOM SEG and RTSTRUCT objects, and folders of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from hccbook.documents import read_json
from hccbook.errors import MaskError
from hccbook.images.dicom_masks import SEGMENTATION, STRUCTURES, check_is_not_another, modality
from hccbook.images.dicom_seg import read_segment
from hccbook.images.geometry import Grid, find_placement, from_array, grids_apart, same_grid, to_array
from hccbook.images.nifti import NIFTI_ENDINGS, ending, is_nifti, read_nifti, read_voxels
from hccbook.images.remarks import apart, listed, remark
from hccbook.images.rtstruct import read_region
from hccbook.images.series import possible_dicom
from hccbook.images.stacks import on_regular_grid, source_grid
from hccbook.provenance import is_there

_READERS = {SEGMENTATION: read_segment, STRUCTURES: read_region}
_ROUNDING = 1e-3  # how far from a whole number scaling and resampling leave a label
_TOTAL_SEGMENTATOR = {"spleen": 1, "liver": 5}
_LONGEST_LIST = 8  # names in an error; TotalSegmentator writes more than a hundred files


def read_mask(path: str | Path, image: sitk.Image, place: str | None = None, organ: str | None = None) -> sitk.Image:
    """Read the mask of one organ.

    Parameters
    ----------
    path : path-like
        One of

        - a NIfTI file that holds 0 (background) and 1 (organ);
        - a NIfTI file of several labels, with the label of the organ behind ``#``: ``all.nii.gz#5``;
        - a DICOM SEG object, of which the segment is taken whose label or coded type is the organ, or whose label
          stands behind ``#``: ``seg.dcm#Liver``;
        - a DICOM RTSTRUCT object, of which the region is taken whose name is the organ, or stands behind ``#``;
        - a folder that holds one file an organ, named after it (``liver.nii.gz``), as TotalSegmentator writes it;
        - a folder that holds one SEG or RTSTRUCT object.

    image : SimpleITK.Image
        The image that the mask belongs to, as `read_image` returns it: with the frame of reference of a DICOM series.
    place : str, optional
        How errors name the mask; the name of the file if absent.
    organ : str, optional
        Organ that the mask is of, such as ``"liver"``; if absent, ``#`` must say which one of several is meant.

    Returns
    -------
    SimpleITK.Image
        uint8, 0 and 1, with exactly the geometry of `image`. A mask whose voxels are those of `image` in another
        order of axes, in another direction, or a part of them, is put there voxel by voxel; nothing is interpolated.
        Which series a SEG or RTSTRUCT was drawn on is not compared: masks of one phase may be meant for another.

    Raises
    ------
    MaskError
        If the path is missing or unreadable, or holds no mask or several ones of that name; if a voxel is none of
        `image` (a corner more than `GRID_TOLERANCE_MM` away) or lies outside it; if SEG or RTSTRUCT name another
        frame of reference than the series of `image`, or another organ; if a NIfTI file holds other values than 0 and
        1 without a label behind ``#``; or if no voxel is marked.

    References
    ----------
    TotalSegmentator 2, ``map_to_binary.py``, task ``total``: in its file of labels, 1 is the spleen and 5 the liver.
    """
    place = Path(path).name if place is None else place
    file, part = mask_file(path, organ, place)
    if is_nifti(file):
        marked = _read_labelled(file, part, image, place)
    else:
        kind = modality(file)
        if kind not in _READERS:
            rule = "mask must be a NIfTI file (.nii, .nii.gz), a DICOM SEG or a DICOM RTSTRUCT"
            found = f"a DICOM object of modality {kind}" if kind else f"a file ending in {ending(file)!r}"
            hint = "Name the file that holds the mask; convert other formats to NIfTI."
            raise MaskError(place, rule, found, hint)
        marked = on_regular_grid(_READERS[kind](file, part, organ, image, place), image)
    if not marked.any():
        raise MaskError(place, "mask must hold at least one voxel of the organ", "an empty mask", "Segment the organ.")
    return from_array(marked, image)


def split_mask_path(path: str | Path) -> tuple[Path, str]:
    """File or folder of a mask, and what of it is meant.

    Parameters
    ----------
    path : path-like
        With or without ``#`` and a label or name behind it; a ``#`` within the name of what is there belongs to it.

    Returns
    -------
    path : pathlib.Path
    part : str
        What stands behind ``#``; empty if nothing does.
    """
    text = str(path)
    if "#" not in text or Path(text).exists():
        return Path(text), ""
    places = [position for position, letter in enumerate(text) if letter == "#"]
    for position in reversed(places):
        if Path(text[:position]).exists():
            return Path(text[:position]), text[position + 1 :].strip()
    return Path(text[: places[-1]]), text[places[-1] + 1 :].strip()


def mask_file(path: str | Path, organ: str | None = None, place: str | None = None) -> tuple[Path, str]:
    """The one file that `read_mask` would read, and what of it; the file is not opened unless a folder leaves a choice.

    Parameters
    ----------
    path, organ, place
        As of `read_mask`.

    Returns
    -------
    file : pathlib.Path
    part : str
        Label of a NIfTI file, or name of a segment or region; empty where none is chosen.

    Raises
    ------
    MaskError
        If the path is missing, nothing stands behind ``#``, or a folder holds no or several masks of the organ.
    """
    place = Path(path).name if place is None else place
    file, part = split_mask_path(path)
    if not is_there(file):
        raise MaskError(place, "mask must be a file or folder", f"no file {file.name!r}", "Correct the path.")
    if not part and str(path).endswith("#") and not Path(path).exists():
        raise MaskError(place, "a label or name must stand behind '#'", "nothing", "Write it, or leave '#' out.")
    if part:
        check_is_not_another(organ, (part,), place)
    return _file_of_folder(file, part, organ, place) if file.is_dir() else (file, part)


def _file_of_folder(folder: Path, part: str, organ: str | None, place: str) -> tuple[Path, str]:
    name = part or organ or ""
    named = [file for file in (folder / f"{name}{suffix}" for suffix in NIFTI_ENDINGS) if name and file.is_file()]
    others = [file for file in possible_dicom(folder) if not is_nifti(file)]
    # Reading hundreds of headers takes a while; a file beside the named one is looked at only if it says it is DICOM.
    doubtful = [file for file in others if file.suffix.lower() == ".dcm"] if named else others
    objects = [file for file in doubtful if modality(file) in _READERS]
    if len(named) + len(objects) == 1:
        return (named[0], "") if named else (objects[0], part)
    files = sorted(file.name for file in folder.iterdir() if is_nifti(file))
    found = f"{len(objects)} SEG or RTSTRUCT objects" if objects else "no SEG or RTSTRUCT object"
    found += f" and the NIfTI files {listed(files, _LONGEST_LIST)}" if files else " and no NIfTI file"
    rule = "folder must hold one mask of the organ: " + (f"{name}.nii.gz, or " if name else "") + "one SEG or RTSTRUCT"
    hint = "Name the file itself, with '#' and its label or name where it holds several organs."
    raise MaskError(place, rule, found, hint)


def read_masks(path: str | Path, image: sitk.Image, labels: Sequence[str] = ()) -> dict[str, sitk.Image]:
    """Read the masks of several labels of one file, which is opened once where it is a NIfTI file.

    Parameters
    ----------
    path, image
        As of `read_mask`.
    labels : sequence of str
        Labels of a NIfTI file, or names of segments, regions or organs, as they would stand behind ``#``; ``all`` is
        every label of a NIfTI file. Without one, what `read_mask` reads.

    Returns
    -------
    dict of str to SimpleITK.Image
        Masks as of `read_mask`, by the name of the file with ``#`` and the label, where there is one.

    Raises
    ------
    MaskError
        As `read_mask`; or if ``all`` is asked of something else than a NIfTI file, or labels are named twice over.
    """
    name = Path(path).name
    file, part = split_mask_path(path)
    if part and labels:
        hint = "Name labels behind '#' or beside the file, not both."
        raise MaskError(name, "labels must be named once", ", ".join(labels), hint)
    if not labels:
        return {name: read_mask(path, image)}
    if not is_nifti(file) or not file.is_file():
        if "all" in labels:
            found = f"a file ending in {ending(file)!r}" if file.is_file() else "a folder" if file.is_dir() else "none"
            raise MaskError(name, "'all' must be asked of a NIfTI file", found, "Name the labels one by one.")
        return {f"{name}#{label}": read_mask(f"{file}#{label}", image, f"{name}#{label}") for label in labels}
    labelled = _Labelled.read(file, name)
    named = [f"{value:g}" for value in np.unique(labelled.array) if value > 0] if "all" in labels else labels
    if not named:
        raise MaskError(name, "mask must hold a label", "0 alone", "Segment something.")
    places = {label: f"{name}#{label}" for label in dict.fromkeys(named)}
    return {place: from_array(labelled.marked(label, image, place), image) for label, place in places.items()}


@dataclass(frozen=True)
class _Labelled:
    """Labels of a NIfTI file, and the grid that they lie on."""

    array: np.ndarray
    grid: Grid

    @classmethod
    def read(cls, file: Path, place: str) -> _Labelled:
        array, grid = read_voxels(file, place, MaskError)
        return cls(_whole_numbers(array, place), grid)

    def marked(self, part: str, image: sitk.Image, place: str) -> np.ndarray:
        """Voxels of an image that are marked with 1, or with the label asked for."""
        _check_label(part, place)
        _check_values(self.array, part, place)
        for of_image in (Grid.of(image), source_grid(image)):
            placement = find_placement(self.grid, of_image)
            if placement is not None:
                marked = np.zeros(of_image.size[::-1], bool)
                placement.add(self.array == int(part or 1), marked)
                return marked if marked.shape == image.GetSize()[::-1] else on_regular_grid(marked, image)
        rule = "mask must lie on the grid of its image, or on a part of it"
        hint = "Resample the mask onto the image (nearest neighbour), or name the mask that was drawn on this image."
        words = grids_apart(self.grid, source_grid(image))
        raise MaskError(place, rule, f"mask {words[0]} and image {words[1]}", hint)


def _read_labelled(file: Path, part: str, image: sitk.Image, place: str) -> np.ndarray:
    """Voxels of an image that a NIfTI file marks with 1, or with the label asked for."""
    _check_label(part, place)
    return _Labelled.read(file, place).marked(part, image, place)


def _check_label(part: str, place: str) -> None:
    if part and not (part.isascii() and part.isdigit() and int(part) > 0):
        hint = "Write the label of the organ, as in FILE.nii.gz#5; names are known to SEG and RTSTRUCT only."
        raise MaskError(place, "a whole number above 0 must stand behind '#' of a NIfTI file", repr(part), hint)


def _whole_numbers(array: np.ndarray, place: str) -> np.ndarray:
    """Labels that rounding on the way left beside whole numbers, put right; shares are left as they are."""
    nearest = np.rint(array)
    off = np.abs(array - nearest)
    if array.dtype.kind != "f" or not off.any() or off.max() > _ROUNDING:
        return array
    remark(place, f"labels up to {off.max():.1g} beside whole numbers", "rounded")
    return nearest


def _check_values(array: np.ndarray, part: str, place: str) -> None:
    values = np.unique(array)
    found = "the values " + listed(apart(*values[:7].tolist(), digits=6), 6, rest=", ...")
    if not part and not np.isin(values, (0, 1)).all():
        hint = (
            "Write one file an organ, with 1 inside it and 0 outside; or name the organ's label, as in FILE.nii.gz#5."
        )
        raise MaskError(place, "mask must hold 0 (background) and 1 (organ) only", found, hint)
    if part and not np.array_equal(values, np.rint(values)):
        raise MaskError(place, "labels must be whole numbers", found, "Write a label map, not shares.")
    if part and int(part) not in values:
        raise MaskError(place, f"must hold the label {int(part)}", found, "Correct the label behind '#'.")


def organ_in(path: str | Path, organ: str) -> str:
    """Path of a mask with the part of it that is an organ, by the program that wrote it.

    Parameters
    ----------
    path : path-like
        Label map of nnU-Net, beside the ``dataset.json`` that its prediction leaves; label map of TotalSegmentator,
        task ``total``; or anything that `read_mask` reads by the organ's name: a folder, a SEG, an RTSTRUCT.
    organ : str
        Such as ``"liver"``.

    Returns
    -------
    str
        As `read_mask` takes it.

    Raises
    ------
    MaskError
        If the labels that ``dataset.json`` names do not have the organ, or neither program knows it.

    References
    ----------
    nnU-Net v2, documentation, "nnU-Net dataset format"; TotalSegmentator 2, ``map_to_binary.py``, task ``total``.
    """
    if not is_nifti(path):
        return str(path)
    described = Path(path).with_name("dataset.json")
    labels: Mapping[str, object] = _TOTAL_SEGMENTATOR
    if described.is_file():
        content = read_json(described, MaskError, "Copy the one that the prediction wrote.")
        labels = content.get("labels") if isinstance(content, dict) else None
    label = labels.get(organ) if isinstance(labels, Mapping) else None
    if not isinstance(label, int) or isinstance(label, bool):
        found = f"{label!r}" if label is not None else "no such label"
        hint = "Predict with a network that has it, or name each mask in the manifest."
        raise MaskError(described.name, f"labels must give the {organ} a number", found, hint)
    return f"{path}#{label}"


def read_label_map(path: str | Path, image: sitk.Image | None = None, place: str | None = None) -> sitk.Image:
    """Read a label map: 0 background, 1 liver, 2 spleen.

    Parameters
    ----------
    path : path-like
        NIfTI file.
    image : SimpleITK.Image, optional
        The image that it belongs to; its geometry is taken over.
    place : str, optional
        As of `read_mask`.

    Returns
    -------
    SimpleITK.Image
        uint8.

    Raises
    ------
    MaskError
        If the file is missing or unreadable, lies on another grid, or holds other than whole numbers from 0 to 255.
    """
    path = Path(path)
    place = path.name if place is None else place
    if not path.is_file():
        raise MaskError(place, "label map must be a file", f"no file {path.name!r}", "Run the segmentation stage.")
    labels = read_nifti(path, place, MaskError)
    if image is not None and not same_grid(labels, image):
        found = " and ".join(grids_apart(Grid.of(labels), Grid.of(image)))
        hint = "Run the segmentation stage again on this image."
        raise MaskError(place, "label map must lie on the grid of its image", found, hint)
    array = to_array(labels)
    if array.min() < 0 or array.max() > 255 or not np.array_equal(array, np.floor(array)):
        found = f"{array.min():g} to {array.max():g}"
        hint = "Write it as uint8: 0 background, 1 liver, 2 spleen."
        raise MaskError(place, "label map must hold whole numbers from 0 to 255", found, hint)
    return from_array(array, labels if image is None else image, dtype=np.uint8)
