"""Masks of a collection, and the volume that each was drawn on: by reference, by frame of reference, by grid.

A mask that fits several volumes is tied to none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from hccbook.collection.exclusions import MASK_MODALITIES
from hccbook.collection.headers import Header
from hccbook.collection.nifti_volumes import NiftiFile, file_grid
from hccbook.collection.recipes import Recipe, organ_named, phase_word
from hccbook.collection.tree import Source, Tree
from hccbook.collection.volumes import Volume, patient_names
from hccbook.images.dicom_seg import ORGAN_CODES
from hccbook.images.geometry import Grid, find_placement
from hccbook.images.remarks import attempted, quiet

_ALL = 0.99  # share of a mask's slices that must lie on those of its volume
_NEAR_MM = 0.05


@dataclass(frozen=True)
class MaskFile:
    """A file that holds masks.

    Attributes
    ----------
    source : Source
    path : pathlib.Path
        Where it lies on the disk.
    kind : {"SEG", "RTSTRUCT", "NIfTI"}
    patient : str
    parts : mapping of str to tuple of str
        By organ, what stands behind ``#`` for each of its parts; an empty text for the file as a whole.
    series, instances : frozenset of str
        Unique identifiers of the series and slices that it names.
    frame : str
        Frame of reference that it names.
    planes : tuple of ndarray
        Positions of its frames, mm; none where it has none.
    words : str
        What its name and folders say besides.
    """

    source: Source
    path: Path
    kind: str
    patient: str
    parts: Mapping[str, tuple[str, ...]]
    series: frozenset[str] = frozenset()
    instances: frozenset[str] = field(default=frozenset(), repr=False)
    frame: str = ""
    planes: tuple[np.ndarray, ...] = field(default=(), repr=False)
    words: str = ""


@dataclass(frozen=True)
class Tie:
    """A mask file and the volume that it belongs to.

    Attributes
    ----------
    mask : MaskFile
    volume : int or None
        Number of the volume; None where none or several fit.
    reason : str
        By what it is tied, or why not.
    candidates : tuple of int
        Volumes that fit, where there are several.
    """

    mask: MaskFile
    volume: int | None
    reason: str
    candidates: tuple[int, ...] = ()


# --- what the files say -----------------------------------------------------------------------------------------------


def dicom_masks(tree: Tree, paths: Mapping[Source, Path]) -> list[MaskFile]:
    """SEG and RTSTRUCT objects of a tree; `paths` says where each lies on the disk."""
    names = patient_names(tree)
    masks = []
    for header in tree.headers:
        if header.modality in MASK_MODALITIES and header.references is not None:
            source = tree.source(header)
            masks.append(_dicom_mask(header, header.references, source, paths[source], names[header.position]))
    return masks


def _dicom_mask(header: Header, dataset: Dataset, source: Source, path: Path, patient: str) -> MaskFile:
    with quiet():
        names = _segments(dataset) if header.modality == "SEG" else _regions(dataset)
        series, instances, frames = _references(dataset)
    counts = Counter(name.strip().casefold() for name, _ in names)
    parts: dict[str, tuple[str, ...]] = {}
    for name, organ in names:
        # Two parts of one name cannot be told apart in a manifest.
        if organ and counts[name.strip().casefold()] == 1:
            parts[organ] = (*parts.get(organ, ()), name)
    planes = tuple(np.array(plane.position) for plane in header.planes)
    frame = header.frame or (frames.pop() if len(frames) == 1 else "")
    return MaskFile(source, path, header.modality, patient, parts, series, instances, frame, planes)


def _segments(dataset: Dataset) -> list[tuple[str, str]]:
    """Label and organ of every segment."""
    found = []
    for segment in dataset.get("SegmentSequence") or ():
        label = str(segment.get("SegmentLabel") or "")
        codes = [
            ORGAN_CODES.get((str(code.get("CodingSchemeDesignator") or ""), str(code.get("CodeValue") or "")), "")
            for code in segment.get("SegmentedPropertyTypeCodeSequence") or ()
        ]
        found.append((label, organ_named(label) or next(filter(None, codes), "")))
    return found


def _regions(dataset: Dataset) -> list[tuple[str, str]]:
    names = [str(region.get("ROIName") or "") for region in dataset.get("StructureSetROISequence") or ()]
    return [(name, organ_named(name)) for name in names]


def _references(dataset: Dataset) -> tuple[frozenset[str], frozenset[str], set[str]]:
    """Series, slices and frames of reference that an object names, at whatever depth.

    Writers put them into the series, into the sources of each frame, or both:
    https://github.com/OHIF/Viewers/issues/2361, https://github.com/OHIF/Viewers/issues/4030.
    """
    series: set[str] = set()
    instances: set[str] = set()
    frames: set[str] = set()
    own = str(dataset.get("SeriesInstanceUID") or "")

    def look(item: Dataset) -> None:
        for element in item:
            if element.VR == "SQ":
                for inner in element.value:
                    look(inner)
            elif element.keyword == "SeriesInstanceUID" and str(element.value) != own:
                series.add(str(element.value))
            elif element.keyword == "ReferencedSOPInstanceUID":
                instances.add(str(element.value))
            elif element.keyword == "FrameOfReferenceUID" and element.value:
                frames.add(str(element.value))

    with attempted():  # what was read until there counts
        look(dataset)
    return frozenset(series), frozenset(instances), frames


def nifti_masks(files: Iterable[NiftiFile], recipe: Recipe, root: Path) -> list[MaskFile]:
    """What the NIfTI masks hold: by name, by the recipe's labels, or by the labels that nnU-Net wrote beside them."""
    masks = []
    for file in files:
        parts: dict[str, tuple[str, ...]] = {}
        if file.parts.organ:
            parts[file.parts.organ] = ("",)
        else:
            labels = recipe.labels or _declared_labels(file, root)
            parts = {organ: (str(label),) for organ, label in labels.items()}
        masks.append(MaskFile(file.source, file.path, "NIfTI", file.parts.patient, parts, words=file.parts.words))
    return masks


def _declared_labels(file: NiftiFile, root: Path) -> dict[str, int]:
    """Organs by label, from the nearest ``dataset.json`` of nnU-Net in the file's folder or above it.

    Version 2 writes labels by name, version 1 names by label.
    """
    folder = file.source.path.parent
    while True:
        declared = folder / "dataset.json"
        if declared.is_file() and not file.source.member:
            with attempted():
                labels = json.loads(declared.read_text(encoding="utf-8")).get("labels") or {}
                pairs = [(key, value) if not str(key).isdigit() else (value, key) for key, value in labels.items()]
                return {organ_named(str(name)): int(label) for name, label in pairs if organ_named(str(name))}
            return {}
        if folder == root or folder == folder.parent:
            return {}
        folder = folder.parent


# --- ties -------------------------------------------------------------------------------------------------------------


def tie_masks(masks: Sequence[MaskFile], volumes: Sequence[Volume], paths: Mapping[Source, Path]) -> list[Tie]:
    """Tie each mask file to the volume that it was drawn on.

    Parameters
    ----------
    masks : sequence of MaskFile
    volumes : sequence of Volume
        All of the collection, those left out included, so that a mask of one of them is not given to another.
    paths : mapping
        Where each file lies on the disk.

    Returns
    -------
    list of Tie
        In the order of `masks`.
    """
    grids: dict[int, Grid | None] = {}
    for number, volume in enumerate(volumes):
        grids[number] = volume_grid(volume, paths)
    return [
        _tie_nifti(mask, volumes, grids) if mask.kind == "NIfTI" else _tie_dicom(mask, volumes, grids) for mask in masks
    ]


def volume_grid(volume: Volume, paths: Mapping[Source, Path]) -> Grid | None:
    """Grid of a volume from headers alone; None where they do not say."""
    header = volume.header
    if header is None:
        return file_grid(paths[volume.files[0]]) if volume.files[0] in paths else None
    if len(volume.along) < 2 or not header.planes or not header.spacing:
        return None
    first = header.planes[0]
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    between_rows, between_columns = header.spacing
    steps = np.stack([row * between_columns, column * between_rows, first.normal * volume.step_mm], axis=1)
    lowest = min(header.planes, key=lambda plane: float(first.normal @ plane.position))
    return Grid((header.size[1], header.size[0], len(volume.along)), np.array(lowest.position), steps)


def _tie_dicom(mask: MaskFile, volumes: Sequence[Volume], grids: Mapping[int, Grid | None]) -> Tie:
    own = [number for number, volume in enumerate(volumes) if volume.patient == mask.patient and volume.header]
    by_slice = [number for number in own if volumes[number].instances & mask.instances]
    by_series = [number for number in own if volumes[number].series in mask.series]
    by_frame = [number for number in own if mask.frame and _frame(volumes[number]) == mask.frame]
    for candidates, how in (
        (by_slice, "reference to its slices"),
        (by_series, "reference to its series"),
        (by_frame, "frame of reference and grid"),
    ):
        if not candidates:
            continue
        fitting = [number for number in candidates if _planes_fit(mask, volumes[number], grids[number])]
        if len(candidates) > 1 or candidates is by_frame:
            usable = [number for number in fitting if not volumes[number].left_out]
            candidates = usable or fitting
        return _tie(mask, candidates, volumes, how)
    missing = "the series that it names is not in the tree" if mask.series or mask.instances else "it names no series"
    return Tie(mask, None, missing)


def _frame(volume: Volume) -> str:
    return volume.header.frame if volume.header is not None else ""


def _planes_fit(mask: MaskFile, volume: Volume, grid: Grid | None) -> bool:
    """Whether the frames of a mask lie on slices of a volume; true where the mask says nothing of frames."""
    if not mask.planes or volume.header is None or not volume.along:
        return True
    normal = volume.header.planes[0].normal
    places = np.array(mask.planes) @ normal
    nearest = np.abs(places[:, None] - np.array(volume.along)[None, :]).min(axis=1)
    return bool(np.mean(nearest < _NEAR_MM) >= _ALL)


def _tie_nifti(mask: MaskFile, volumes: Sequence[Volume], grids: Mapping[int, Grid | None]) -> Tie:
    grid = file_grid(mask.path)
    if grid is None:
        return Tie(mask, None, "it is not 3-D or cannot be read")
    candidates = _neighbours(mask, volumes)
    if not candidates:
        return Tie(mask, None, "no image of its patient: neither its name nor its folders lead to one")
    fitting = [number for number in candidates if (other := grids[number]) and find_placement(grid, other)]
    fitting = [number for number in fitting if not volumes[number].left_out] or fitting
    if not fitting:
        return Tie(mask, None, f"its grid is that of none of {len(candidates)} images of its patient")
    word = phase_word(mask.words)
    if len(fitting) > 1 and word:
        fitting = [number for number in fitting if phase_word(volumes[number].description) == word] or fitting
    if len(fitting) > 1:
        beside = {number: _shared_folders(mask.source, volumes[number]) for number in fitting}
        fitting = [number for number in fitting if beside[number] == max(beside.values())]
    return _tie(mask, fitting, volumes, "grid")


def _neighbours(mask: MaskFile, volumes: Sequence[Volume]) -> list[int]:
    """Volumes of the mask's patient by name; failing that, those in the folder nearest to it."""
    named = [number for number, volume in enumerate(volumes) if volume.patient.casefold() == mask.patient.casefold()]
    if named:
        return named
    return nearest_volumes(mask.source, dict(enumerate(volumes)))


def nearest_volumes(source: Source, volumes: Mapping[int, Volume]) -> list[int]:
    """Numbers of the volumes in the folder nearest to a file; none where they are of several patients."""
    beside = {number: _shared_folders(source, volume) for number, volume in volumes.items()}
    nearest = max(beside.values(), default=0)
    found = [number for number, shared in beside.items() if shared == nearest]
    # The root, which all share, is near to nobody.
    return found if len({volumes[number].patient for number in found}) == 1 else []


def _shared_folders(source: Source, volume: Volume) -> int:
    first, second = Path(source.folder.replace("!", "/")).parts, Path(volume.files[0].folder.replace("!", "/")).parts
    return next(
        (depth for depth, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _tie(mask: MaskFile, candidates: Sequence[int], volumes: Sequence[Volume], how: str) -> Tie:
    if not candidates:
        return Tie(mask, None, f"its slices lie on none of the images found by {how}")
    if len(candidates) > 1:
        reason = f"by {how} it fits {len(candidates)} volumes: which one it was drawn on is not told"
        return Tie(mask, None, reason, tuple(candidates))
    left_out = volumes[candidates[0]].left_out
    return Tie(mask, candidates[0], f"by {how}" + (f", which is left out ({left_out})" if left_out else ""))


def tie_by_phase(ties: Sequence[Tie], phases: Mapping[int, str]) -> list[Tie]:
    """Settle masks that fit several volumes, where their name says a phase that one of these volumes surely has.

    Parameters
    ----------
    ties : sequence of Tie
    phases : mapping of int to str
        Sure phase by number of the volume.
    """
    settled = []
    for tie in ties:
        word = phase_word(tie.mask.words)
        fitting = [number for number in tie.candidates if word and phases.get(number) == word]
        settled.append(Tie(tie.mask, fitting[0], "by grid and phase") if len(fitting) == 1 else tie)
    return settled
