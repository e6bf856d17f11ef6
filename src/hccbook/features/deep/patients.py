"""The cohort: crops of every patient, phase and organ through a network, and the table of what comes out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hccbook.errors import DataError, ImageError, MaskError, SettingsError
from hccbook.features.deep.crops import WINDOW_HU, Box, crop_to_box, largest_box, organ_extent, shrink_crop
from hccbook.features.deep.network import BATCH, Backbone, batch_of, pooled_features, stage_values
from hccbook.features.radiomics.regions import organ_label
from hccbook.images import read_image, read_label_map, to_array
from hccbook.parallel import FAILURE_COLUMNS, Outcome, atomic_path, digest, progress_line

DEEP_VERSION = 2
"""Version of cropping and pooling; raised whenever a stored value would change."""

_DIGITS = 6


@dataclass(frozen=True)
class DeepTask:
    """One patient's volumes.

    Parameters
    ----------
    key : str
        The patient's key, such as ``P0001``.
    images : tuple of (str, path) pairs
        Phase and its image on the working grid.
    labels : tuple of (str, path) pairs
        Phase and its label map on the same grid.
    organs : tuple of str
        Organs to take, out of `hccbook.settings.ORGANS`.
    store : pathlib.Path
        Folder of the results kept; they go to its folder ``deep``.
    """

    key: str
    images: tuple[tuple[str, Path], ...]
    labels: tuple[tuple[str, Path], ...]
    organs: tuple[str, ...]
    store: Path

    def __post_init__(self) -> None:
        phases = [phase for phase, _ in self.images]
        if not phases or phases != [phase for phase, _ in self.labels] or len(set(phases)) != len(phases):
            raise SettingsError(
                f"{self.key}, deep features",
                "images and labels must name the same phases, each once and in one order",
                f"{phases} and {[phase for phase, _ in self.labels]}",
                "Build both from the phases of the run.",
            )


def organ_extents_task(task: DeepTask) -> dict[str, list[Box]]:
    """Extents of one patient's organs, for `hccbook.parallel.map_patients`.

    Parameters
    ----------
    task : DeepTask

    Returns
    -------
    dict of str to list of (z, y, x)
        By organ, one extent a phase, voxels.

    Raises
    ------
    MaskError
        If an organ is not segmented; the message names patient, phase and organ.
    """
    extents: dict[str, list[Box]] = {organ: [] for organ in task.organs}
    for phase, path in task.labels:
        array = to_array(read_label_map(path, place=f"{task.key}, {phase}"))
        for organ in task.organs:
            extents[organ].append(organ_extent(_organ(array, organ, f"{task.key}, {phase}")))
    return extents


def largest_boxes(extents: Iterable[Mapping[str, Sequence[Box]]]) -> dict[str, Box]:
    """Box of every organ over patients.

    Parameters
    ----------
    extents : iterable of mappings
        What `organ_extents_task` gave, one a patient. Take the development patients: a box is part of the model, and
        an organ of a later patient that is larger is cut.

    Returns
    -------
    dict of str to (z, y, x)
        By organ, voxels.
    """
    every: dict[str, list[Box]] = {}
    for patient in extents:
        for organ, boxes in patient.items():
            every.setdefault(organ, []).extend(boxes)
    if not every:
        largest_box(())
    return {organ: largest_box(boxes) for organ, boxes in every.items()}


def _organ(labels: np.ndarray, organ: str, place: str) -> np.ndarray:
    mask = labels == organ_label(organ)
    if not mask.any():
        raise MaskError(
            f"{place}, {organ}",
            f"label map must hold the label {organ_label(organ)}",
            "no such voxel",
            "Look at the segmentation of this patient.",
        )
    return mask


class _Pending(NamedTuple):
    file: Path
    crop: np.ndarray


class _Observed(NamedTuple):
    """What is kept of a crop that went through a network."""

    what: str  # part of the stored name
    values: Callable[[np.ndarray], np.ndarray]  # of crops (n, 1, z, y, x), a row a crop
    shape: Callable[[str], tuple[int, ...]]  # of a row, by organ


def extract_deep_features(
    tasks: Mapping[str, DeepTask],
    backbone: Backbone,
    boxes: Mapping[str, Sequence[int]],
    *,
    crop_voxels: int,
    window: tuple[float, float] = WINDOW_HU,
    stage: str = "features",
    progress: bool = True,
) -> Outcome:
    """Pooled values of every patient, phase and organ; what is in the store is not computed again.

    Parameters
    ----------
    tasks : mapping of str to DeepTask
        By patient key.
    backbone : Backbone
    boxes : mapping of str to (z, y, x)
        Box of every organ, voxels, as from `largest_boxes`.
    crop_voxels : int
        Longest edge of what the network sees, voxels.
    window : pair of float
        HU beyond these bounds are clipped.
    stage : str
        Name for the progress bar and the failures table.
    progress : bool
        Whether to show a progress bar where there is a terminal.

    Returns
    -------
    hccbook.parallel.Outcome
        ``results`` holds by patient a dict of ``<phase>.<organ>`` to an array of `backbone.width` values. A patient
        whose image or label map is refused becomes a row of ``failures``; the others go on.

    Notes
    -----
    This runs in one process, whose forward passes use all cores. Values are kept with six significant digits: that is
    far more than the networks carry, and hides what little another processor or library version would change in the
    last bits. The number of threads and the other patients change nothing (see `BATCH`).

    References
    ----------
    ALARM, Results: average pooling layer of the 3D ResNet-50. aMAP-CT, Results: 512 values of ResNet-18 a phase.
    """
    pooled = _Observed(
        "deep", lambda crops: significant(pooled_features(backbone, crops)), lambda organ: (backbone.width,)
    )
    return _observe(tasks, backbone, boxes, pooled, crop_voxels, window, stage, progress)


def extract_stage_inputs(
    tasks: Mapping[str, DeepTask],
    backbone: Backbone,
    boxes: Mapping[str, Sequence[int]],
    *,
    depth: str,
    crop_voxels: int,
    window: tuple[float, float] = WINDOW_HU,
    stage: str = "features",
    progress: bool = True,
) -> Outcome:
    """What the tuned part of the network sees of every patient, computed once and kept.

    Parameters
    ----------
    tasks, backbone, boxes, crop_voxels, window, stage, progress
        As in `extract_deep_features`.
    depth : {"network", "last_stage", "projection"}
        See `hccbook.features.deep.DEPTHS`.

    Returns
    -------
    hccbook.parallel.Outcome
        ``results`` holds by patient a dict of ``<phase>.<organ>`` to an array: the pooled values with ``projection``,
        as from `extract_deep_features`; the output of the third stage with ``last_stage`` (32 KiB for a crop of 32
        voxels an edge, eight times as much for twice the edge); the crop itself with ``network``. The last two lie in
        files of the store and are read when they are looked at.
    """
    if depth == "projection":
        return extract_deep_features(
            tasks, backbone, boxes, crop_voxels=crop_voxels, window=window, stage=stage, progress=progress
        )

    def shape(organ: str) -> tuple[int, ...]:
        crop = np.zeros((1, 1, *(min(int(edge), crop_voxels) for edge in boxes[organ])), dtype=np.float32)
        return stage_values(backbone, depth, crop, batch=1).shape[1:]

    inputs = _Observed(
        f"deep, input of the {depth}", lambda crops: stage_values(backbone, depth, crops), functools.cache(shape)
    )
    return _observe(tasks, backbone, boxes, inputs, crop_voxels, window, stage, progress)


def _observe(
    tasks: Mapping[str, DeepTask],
    backbone: Backbone,
    boxes: Mapping[str, Sequence[int]],
    observed: _Observed,
    crop_voxels: int,
    window: tuple[float, float],
    stage: str,
    progress: bool,
) -> Outcome:
    for task in tasks.values():
        for organ in task.organs:
            if organ not in boxes:
                raise SettingsError("organ boxes", "must hold every organ", f"none of {organ}", "See largest_boxes.")
    files: dict[str, dict[str, Path]] = {}
    failed: dict[str, tuple[str, str]] = {}
    waiting: dict[str, list[_Pending]] = {}
    computed = 0

    def flush(organ: str) -> None:
        batch = waiting.pop(organ, [])
        if not batch:
            return
        values = observed.values(np.stack([item.crop for item in batch])[:, None])
        for item, row in zip(batch, values, strict=True):
            with atomic_path(item.file) as temporary:
                np.save(temporary, row, allow_pickle=False)

    def stored(name: str, file: Path) -> np.ndarray | None:
        return _read_values(file, observed.shape(name.rpartition(".")[2]))

    with progress_line(f"{stage}, {backbone.name}", len(tasks), show=progress) as advance:
        for key, task in tasks.items():
            try:
                files[key] = _result_files(task, backbone, boxes, observed, crop_voxels, window)
                missing = {name for name, file in files[key].items() if stored(name, file) is None}
                crops = list(_crops(task, files[key], missing, boxes, crop_voxels, window))
                computed += bool(missing)
            except Exception as error:  # a patient must not stop the others, whatever goes wrong in it
                failed[key] = (type(error).__name__, str(error) or "no message")
                crops = []
            for organ, item in crops:
                waiting.setdefault(organ, []).append(item)
                if len(waiting[organ]) == batch_of(item.crop.shape):
                    flush(organ)
            advance()
        for organ in list(waiting):
            flush(organ)
    results = {
        key: {name: stored(name, file) for name, file in own.items()} for key, own in files.items() if key not in failed
    }
    rows = [(key, stage, *reason) for key, reason in failed.items()]
    return Outcome(results, pd.DataFrame(rows, columns=list(FAILURE_COLUMNS)), computed)


def _result_files(
    task: DeepTask,
    backbone: Backbone,
    boxes: Mapping[str, Sequence[int]],
    observed: _Observed,
    crop_voxels: int,
    window: tuple[float, float],
) -> dict[str, Path]:
    """Where the values of every phase and organ are kept, whether they exist or not."""
    labels = dict(task.labels)
    network = (backbone.name, backbone.origin, backbone.device.type, BATCH, DEEP_VERSION)
    files = {}
    for phase, image in task.images:
        for what, path, error in (("image", image, ImageError), ("label map", labels[phase], MaskError)):
            if not path.exists():
                raise error(
                    f"{task.key}, {phase}", f"{what} must exist", f"no file {path.name!r}", "Run the earlier stages."
                )
        content = digest(image, labels[phase])
        for organ in task.organs:
            box = tuple(int(edge) for edge in boxes[organ])
            name = digest(observed.what, content, organ, box, crop_voxels, tuple(map(float, window)), network)
            files[f"{phase}.{organ}"] = task.store / "deep" / f"{name}.npy"
    return files


def _crops(
    task: DeepTask,
    files: Mapping[str, Path],
    missing: set[str],
    boxes: Mapping[str, Sequence[int]],
    crop_voxels: int,
    window: tuple[float, float],
) -> Iterator[tuple[str, _Pending]]:
    labels = dict(task.labels)
    for phase, path in task.images:
        wanted = [organ for organ in task.organs if f"{phase}.{organ}" in missing]
        if not wanted:
            continue
        place = f"{task.key}, {phase}"
        image = read_image(path, place)
        label_map = to_array(read_label_map(labels[phase], image, place))
        array = to_array(image)
        for organ in wanted:
            crop = crop_to_box(array, _organ(label_map, organ, place), boxes[organ], window)
            yield organ, _Pending(files[f"{phase}.{organ}"], shrink_crop(crop, crop_voxels))


def _read_values(file: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Values kept in a file; None if it is absent or not whole, so that they are computed again."""
    try:
        # A volume stays in its file, a row of values is small.
        values = np.load(file, mmap_mode="r" if len(shape) > 1 else None, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return values if values.shape == shape else None


def significant(values: np.ndarray) -> np.ndarray:
    """Values with `_DIGITS` significant digits, as float64."""
    # By way of text: scaling and rounding would leave the last bit to chance.
    return np.char.mod(f"%.{_DIGITS - 1}e", values).astype(float)


def deep_table(results: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """Table of all patients' deep features.

    Parameters
    ----------
    results : mapping of str to mapping
        By patient key, ``<phase>.<organ>`` to values: ``results`` of `extract_deep_features`.

    Returns
    -------
    pandas.DataFrame
        Index "patient", a row a patient; columns ``<phase>.<organ>.deep_000`` and on.

    Raises
    ------
    DataError
        If there is no patient, or patients have different phases, organs or numbers of values.
    """
    if not results:
        raise DataError("deep features", "must hold at least one patient", "none", "Look at the failures table.")
    first = next(iter(results))
    layout = {name: len(values) for name, values in results[first].items()}
    for key, own in results.items():
        found = {name: len(values) for name, values in own.items()}
        if list(found.items()) != list(layout.items()):
            raise DataError(f"deep features of {key}", f"must be those of {first}: {layout}", found, "Extract again.")
    columns = [name for part, count in layout.items() for name in feature_names(part, count)]
    rows = np.array([np.concatenate(list(own.values())) for own in results.values()], dtype=float)
    return pd.DataFrame(rows, index=pd.Index(results, name="patient"), columns=columns)


def feature_names(part: str, count: int) -> list[str]:
    """Columns of one phase and organ: ``<part>.deep_000`` and on."""
    return [f"{part}.deep_{number:03d}" for number in range(count)]
