"""Segmentation of one patient as a task: paths in, paths out, results kept under their hash."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from hccbook.images import read_image, write_image
from hccbook.images.preprocessing import labels_on_grid
from hccbook.parallel import digest, link
from hccbook.segmentation.network import Segmenter

TASK_VERSION = 3
"""Part of every stored result's hash; grows when the same network on the same image would give other labels."""

_OWN, _WORKING = "own.nii.gz", "working.nii.gz"


@dataclass(frozen=True)
class SegmentationTask:
    """One patient to segment.

    Attributes
    ----------
    key : str
        Patient key, such as ``P0003``.
    sources : tuple of (phase, path)
        Images as they came: the network sees these, so that no edge is interpolated before it is segmented.
    working : tuple of (phase, path)
        The same phases on the working grid.
    shifts_mm : tuple of (phase, (x, y, z))
        Translation of each phase that preprocessing found, mm.
    store : pathlib.Path
        Folder of results kept under their hash, shared between runs.
    weights : pathlib.Path
        File that `Segmenter.save` wrote.
    out : pathlib.Path
        Folder of this run for the label maps on the working grid, ``<key>_<phase>.nii.gz``.
    own : pathlib.Path
        Folder of this run for those on the images' own grids, by the same names.
    device : {"auto", "cpu", "cuda"}
        Where the network runs.
    """

    key: str
    sources: tuple[tuple[str, Path], ...]
    working: tuple[tuple[str, Path], ...]
    shifts_mm: tuple[tuple[str, tuple[float, float, float]], ...]
    store: Path
    weights: Path
    out: Path
    own: Path
    device: str = "auto"


def segment_patient(task: SegmentationTask) -> dict[str, str]:
    """Mask liver and spleen in every phase of one patient.

    On a CPU it takes one thread: processes side by side use cores better than threads do, and the labels do not
    depend on how many there are.

    Returns
    -------
    dict of str to str
        File name of the label map, within ``task.out`` and ``task.own``, by phase.

    Raises
    ------
    ImageError
        If an image cannot be read.
    ModelError
        If the weights cannot.
    """
    modified = task.weights.stat().st_mtime_ns if task.weights.is_file() else 0
    segmenter = _loaded(str(task.weights), modified, task.device)
    images = {phase: read_image(path, place=f"{task.key}, {phase}") for phase, path in task.sources}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        labels = segmenter.predict_all(list(images.values()))
    finally:
        torch.set_num_threads(threads)
    kept, working, shifts = _kept(task), dict(task.working), dict(task.shifts_mm)
    for phase, found in zip(images, labels, strict=True):
        moved = labels_on_grid(found, read_image(working[phase], place=f"{task.key}, {phase}"), shifts[phase])
        write_image(found, kept[phase] / _OWN)
        # Last, so that where it is, both are.
        write_image(moved, kept[phase] / _WORKING)
    return _put(task, kept)


def stored_segmentation(task: SegmentationTask) -> dict[str, str] | None:
    """Result of `segment_patient` if the store has every phase, put in its place; None otherwise."""
    if not task.weights.is_file() or not all(path.exists() for _, path in (*task.sources, *task.working)):
        return None
    kept = _kept(task)
    return _put(task, kept) if all((folder / _WORKING).is_file() for folder in kept.values()) else None


def _put(task: SegmentationTask, kept: dict[str, Path]) -> dict[str, str]:
    names = {}
    for phase, folder in kept.items():
        names[phase] = f"{task.key}_{phase}.nii.gz"
        for source, target in ((folder / _OWN, task.own), (folder / _WORKING, task.out)):
            target = target / names[phase]
            if not (target.is_file() and target.samefile(source)):
                link(source, target)
    return names


def _kept(task: SegmentationTask) -> dict[str, Path]:
    weights = _file_digest(str(task.weights), task.weights.stat().st_mtime_ns)
    working, shifts = dict(task.working), dict(task.shifts_mm)
    return {
        phase: task.store / "segmentation" / digest(path, working[phase], list(shifts[phase]), weights, TASK_VERSION)
        for phase, path in task.sources
    }


@lru_cache(maxsize=4)
def _file_digest(file: str, modified_ns: int) -> str:
    return digest(Path(file))


@lru_cache(maxsize=1)
def _loaded(file: str, modified_ns: int, device: str) -> Segmenter:
    """Network of a weights file, read once a process and again when the file changes."""
    return Segmenter.load(file, device)
