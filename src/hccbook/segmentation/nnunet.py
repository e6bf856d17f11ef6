"""nnU-Net beside this pipeline: a raw data set for its training and inference, and its predictions read back.

nnU-Net itself is not needed here; the user runs it, on a machine of their choice.
The rules are those of its version 2 (Isensee et al. 2021, Nature Methods 18:203; documentation of nnU-Net v2,
"nnU-Net dataset format" and "Data format for Inference").
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from hccbook.errors import DataError, ImageError, MaskError, SettingsError
from hccbook.images import from_array, read_image, write_image
from hccbook.images.geometry import Grid, find_placement
from hccbook.images.nifti import read_nifti
from hccbook.segmentation.masks import LABELS, check_labels
from hccbook.store import atomic_folder

_ENDING = ".nii.gz"
_CHANNEL = "_0000"  # a phase is a case of its own, so that each case has one channel


def case_name(cohort: str, patient: str, phase: str) -> str:
    """Name of one case, such as ``alarm_P0003_venous``.

    Keys of patients count anew in every cohort, so that the cohort is part of the name.
    """
    return f"{cohort}_{patient}_{phase}"


def write_dataset(
    folder: str | Path,
    training: Mapping[str, tuple[Path, Path]],
    testing: Mapping[str, Path],
    name: str,
    number: int,
    description: str = "",
) -> Path:
    """Write a raw data set of nnU-Net v2, whole or not at all.

    Parameters
    ----------
    folder : path-like
        nnU-Net's ``nnUNet_raw``; made if absent.
    training : mapping of str to (path, path)
        Image and label map (0 background, 1 liver, 2 spleen) by case; goes to ``imagesTr`` and ``labelsTr``.
        It may be empty: a network that was trained elsewhere needs only ``imagesTs``.
    testing : mapping of str to path
        Image by case; goes to ``imagesTs``. May be empty too, but not both.
    name : str
        Name of the data set: letters, digits, hyphen, underscore.
    number : int
        Its number, 1 to 999. nnU-Net's documentation gives 1 to 10 to the Medical Segmentation Decathlon.
    description : str
        Goes into ``dataset.json``.

    Returns
    -------
    pathlib.Path
        ``DatasetNNN_Name``.
        Images are copies, byte for byte: whatever their headers say goes along.
        Label maps are written anew on the grid of their image.

    Raises
    ------
    SettingsError
        If name or number is another, or `folder` holds a data set of that number already.
    DataError
        If there is no case, a case is in both sets, or its name holds anything but letters, digits, ``-`` and ``_``.
    ImageError
        If an image cannot be read, or its file is no ``.nii.gz``.
    MaskError
        If a label map cannot be read, lies on another grid than its image, or holds another label.

    References
    ----------
    nnU-Net v2, documentation, "nnU-Net dataset format".
    """
    target = _new_dataset(Path(folder), name, number)
    _check_cases(training, testing)
    with atomic_folder(target) as part:
        for kind in ("imagesTr", "labelsTr", "imagesTs"):
            (part / kind).mkdir()
        for case, (image_file, label_file) in training.items():
            image = _checked_image(image_file, case)
            shutil.copyfile(image_file, part / "imagesTr" / f"{case}{_CHANNEL}{_ENDING}")
            # Not a copy: nnU-Net goes by the voxels as they are stored, so their axes must be the image's.
            labels = _labels_on_grid(label_file, image, f"{case}, labels")
            write_image(labels, part / "labelsTr" / f"{case}{_ENDING}")
        for case, image_file in testing.items():
            _checked_image(image_file, case)
            shutil.copyfile(image_file, part / "imagesTs" / f"{case}{_CHANNEL}{_ENDING}")
        content = {
            "channel_names": {"0": "CT"},  # this name is what makes nnU-Net normalise by the organs' HU
            "labels": {"background": 0, **LABELS},
            "numTraining": len(training),
            "file_ending": _ENDING,
            "overwrite_image_reader_writer": "SimpleITKIO",
            "name": name,
            "description": description,
        }
        (part / "dataset.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return target


def read_prediction(folder: str | Path, case: str, image: sitk.Image) -> sitk.Image:
    """Read the label map that nnU-Net predicted on one image.

    Parameters
    ----------
    folder : path-like
        Folder that ``nnUNetv2_predict`` wrote.
    case : str
        Name of the case.
    image : SimpleITK.Image
        Image that it was predicted on.

    Returns
    -------
    SimpleITK.Image
        Label map (uint8) with exactly the geometry of `image`.
        Where the file holds the same voxels with axes in another order or direction, as after a conversion to RAS,
        they are put back in place; nothing is interpolated.

    Raises
    ------
    MaskError
        If the prediction is missing or unreadable, lies on another grid, or holds another label than 0, 1 and 2.
    """
    file = Path(folder) / f"{case}{_ENDING}"
    if not file.is_file():
        rule = f"nnU-Net must have predicted every case, one <case>{_ENDING} each"
        hint = "Run nnUNetv2_predict on imagesTs of the data set, or correct the folder of the predictions."
        raise MaskError(case, rule, "no prediction", hint)
    return _labels_on_grid(file, image, case)


def _labels_on_grid(file: Path, image: sitk.Image, place: str) -> sitk.Image:
    found = read_nifti(file, place, MaskError)
    here, there = Grid.of(found), Grid.of(image)
    placement = find_placement(here, there)
    # As many voxels, each of them one of the image's: all of them, in whatever order.
    if placement is None or math.prod(here.size) != math.prod(there.size):
        raise MaskError(
            place,
            "label map must lie on the grid of its image, up to the order and direction of the axes",
            f"label map {here} and image {there}",
            "Take the images of the data set as they are, and predict on them again.",
        )
    array = sitk.GetArrayViewFromImage(found)
    check_labels(array, place, "Renumber the labels, or predict with a network whose dataset.json has these.")
    labels = np.zeros(there.size[::-1], np.uint8)
    for label in LABELS.values():
        marked = np.zeros(labels.shape, bool)
        placement.add(array == label, marked)
        labels[marked] = label
    return from_array(labels, image)


def _new_dataset(folder: Path, name: str, number: int) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise SettingsError(
            "name of the data set", "must be letters, digits, - and _", repr(name), "Such as LiverSpleen."
        )
    if not 1 <= number <= 999:
        raise SettingsError("number of the data set", "must be 1 to 999", number, "Such as 501.")
    known = sorted(path.name for path in folder.glob(f"Dataset{number:03d}_*"))
    if known:
        # nnU-Net finds a data set by its number alone, and would train on files that an earlier one left.
        raise SettingsError(
            "number of the data set", "must be free in its folder", known[0], "Remove that one, or take another number."
        )
    return folder / f"Dataset{number:03d}_{name}"


def _check_cases(training: Mapping[str, object], testing: Mapping[str, object]) -> None:
    if not training and not testing:
        raise DataError("data set", "must have at least one case", "none", "Run the preprocessing stage first.")
    both = sorted(set(training) & set(testing))
    if both:
        raise DataError("data set", "must not test on what it trains on", both[0], "Name each case once.")
    odd = [case for case in (*training, *testing) if not re.fullmatch(r"[A-Za-z0-9_-]+", case)]
    if odd:
        raise DataError("data set", "cases must be named in letters, digits, - and _", repr(odd[0]), "Rename it.")


def _checked_image(file: Path, case: str) -> sitk.Image:
    if not file.name.endswith(_ENDING):
        raise ImageError(
            case, f"file must end in {_ENDING}", f"{file.name!r}", "Write it with hccbook.images.write_image."
        )
    return read_image(file, case)
