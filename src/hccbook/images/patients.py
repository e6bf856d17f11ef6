"""Preprocessing of one patient: all phases, and the masks given, on one working grid."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from hccbook.errors import ImageError
from hccbook.images import from_array, mask_file, read_image, read_mask, to_array, volume_ml, write_image
from hccbook.images.preprocessing import (
    AlignmentTarget,
    align_phase,
    check_overlap,
    label_map,
    reference_phase,
    resample,
    working_grid,
)
from hccbook.images.remarks import collected
from hccbook.images.repeats import content_of
from hccbook.run import Case
from hccbook.settings import ORGANS, PreprocessingSettings
from hccbook.store import link

FACTS_COLUMNS = (
    *("phase", "size_x", "size_y", "size_z", "source_size_x", "source_size_y", "source_size_z"),
    *("source_spacing_x_mm", "source_spacing_y_mm", "source_spacing_z_mm", "shift_x_mm", "shift_y_mm", "shift_z_mm"),
    *("liver_ml", "spleen_ml", "remarks", "content"),
)
"""What `preprocess_patient` reports, a value a phase: voxels of the working grid and of the source, its voxel edges,
translation of the organs against the reference phase (towards left, back and head), volumes of given masks, a list of
what was repaired in reading image and masks, and a digest of the source's voxels."""


def preprocess_patient(case: Case, settings: PreprocessingSettings) -> dict[str, list[Any]]:
    """Bring all phases of a patient, and the masks given, onto one working grid.

    The grid is that of the venous phase, or of the first one where there is no venous phase.
    Images are written as int16 HU, not clipped; masks of a phase as one label map, as `label_map` makes it.

    Parameters
    ----------
    case : hccbook.run.Case
        With the sources of its images and masks.
    settings : PreprocessingSettings

    Returns
    -------
    dict of str to list
        `FACTS_COLUMNS`, a value a phase in the order of the case; volumes are mL of the source mask, NaN where none.

    Raises
    ------
    ImageError, MaskError
        If an image or mask cannot be used; the message names patient, phase and organ.
    """
    store = case.run.store
    # Window and bin width act later and leave the images on disk as they are.
    inputs: list[object] = [{name: getattr(settings, name) for name in ("spacing_mm", "align_phases")}]
    for phase in case.phases:
        inputs += [phase, case.source(phase)]
        for organ, mask in case.source_masks(phase).items():
            # Of a folder, the one file that is read counts: others may come and go.
            inputs += [organ, *mask_file(mask, organ, case.place(phase, organ))]
    key = store.key("preprocessing", preprocess_patient, *inputs)
    folder = store.get_or_make(key, functools.partial(_write_working_files, case, settings))
    for phase in case.phases:
        link(folder / f"{phase}.nii.gz", case.image(phase))
        if case.source_masks(phase):
            link(folder / f"{phase}_labels.nii.gz", case.reference_labels(phase))
        else:
            case.reference_labels(phase).unlink(missing_ok=True)
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return facts | {"remarks": [[f"{case.key}, {said}" for said in of_phase] for of_phase in facts["remarks"]]}


def _write_working_files(case: Case, settings: PreprocessingSettings, folder: Path) -> None:
    images, remarks = {}, {}
    for phase in case.phases:
        with collected() as remarks[phase]:
            images[phase] = read_image(case.source(phase), case.place(phase))
    reference = images[reference_phase(images)]
    grid = working_grid(reference, settings.spacing_mm)
    target = AlignmentTarget.of(reference) if settings.align_phases and len(images) > 1 else None
    facts: dict[str, list[Any]] = {name: [] for name in FACTS_COLUMNS}
    for phase, image in images.items():
        transform = sitk.TranslationTransform(3)
        if target is not None and image is not reference:
            try:
                transform = align_phase(image, target)
            except ImageError as error:
                raise ImageError(case.place(phase), error.rule, error.found, error.hint) from error
        moved = resample(image, grid.spacing_mm, grid=grid, transform=transform)
        write_image(from_array(np.rint(to_array(moved)), moved, dtype=np.int16), folder / f"{phase}.nii.gz")
        with collected() as of_masks:
            masks = {
                organ: read_mask(path, image, case.place(phase, organ), organ)
                for organ, path in case.source_masks(phase).items()
            }
        check_overlap(masks, case.place(phase))
        if masks:
            write_image(label_map(masks, grid, transform), folder / f"{phase}_labels.nii.gz")
        values = (phase, *grid.size, *image.GetSize(), *image.GetSpacing(), *transform.GetOffset())
        volumes = [volume_ml(masks[organ]) if organ in masks else float("nan") for organ in ORGANS]
        said = [remark.anonymous(case.place(phase)) for remark in (*remarks[phase], *of_masks)]
        # Whose they are is said when they are read: another row of the manifest may have the same files later.
        said = [text.removeprefix(f"{case.key}, ") for text in said]
        for name, value in zip(FACTS_COLUMNS, (*values, *volumes, said, content_of(image)), strict=True):
            facts[name].append(round(value, 6) if isinstance(value, float) else value)
    (folder / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
