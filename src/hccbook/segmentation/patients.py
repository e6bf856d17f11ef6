"""Segmentation of one patient as a task: paths in, paths out, results kept under their hash."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from hccbook.images import read_image, write_image
from hccbook.parallel import digest, link
from hccbook.segmentation.network import Segmenter

TASK_VERSION = 2
"""Part of every stored result's hash; grows when the same network on the same image would give other labels."""


@dataclass(frozen=True)
class SegmentationTask:
    """One patient to outline.

    Attributes
    ----------
    key : str
        Patient key, such as ``P0003``.
    images : tuple of (phase, path)
        NIfTI files on the working grid.
    store : pathlib.Path
        Folder of results kept under their hash, shared between runs.
    weights : pathlib.Path
        File that `Segmenter.save` wrote.
    out : pathlib.Path
        Folder of this run, for ``<key>_<phase>.nii.gz``.
    device : {"auto", "cpu", "cuda"}
        Where the network runs.
    """

    key: str
    images: tuple[tuple[str, Path], ...]
    store: Path
    weights: Path
    out: Path
    device: str = "auto"


def segment_patient(task: SegmentationTask) -> dict[str, str]:
    """Outline liver and spleen in every phase of one patient.

    On a CPU it takes one thread: processes side by side use cores better than threads do, and the labels do not
    depend on how many there are.

    Returns
    -------
    dict of str to str
        File name of the label map, within ``task.out``, by phase.

    Raises
    ------
    ImageError
        If an image cannot be read.
    ModelError
        If the weights cannot.
    """
    modified = task.weights.stat().st_mtime_ns if task.weights.is_file() else 0
    segmenter = _loaded(str(task.weights), modified, task.device)
    phases = dict(task.images)
    images = {phase: read_image(path, place=f"{task.key}, {phase}") for phase, path in phases.items()}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        labels = segmenter.predict_all(list(images.values()))
    finally:
        torch.set_num_threads(threads)
    kept = _kept(task)
    for phase, found in zip(phases, labels, strict=True):
        write_image(found, kept[phase])
    return _put(task, kept)


def stored_segmentation(task: SegmentationTask) -> dict[str, str] | None:
    """Result of `segment_patient` if the store has every phase, put into ``task.out``; None otherwise."""
    if not task.weights.is_file() or not all(path.is_file() for _, path in task.images):
        return None
    kept = _kept(task)
    return _put(task, kept) if all(path.is_file() for path in kept.values()) else None


def _put(task: SegmentationTask, kept: dict[str, Path]) -> dict[str, str]:
    names = {}
    for phase, source in kept.items():
        target = task.out / f"{task.key}_{phase}.nii.gz"
        names[phase] = target.name
        if target.is_file() and target.samefile(source):
            continue
        link(source, target)
    return names


def _kept(task: SegmentationTask) -> dict[str, Path]:
    weights = _file_digest(str(task.weights), task.weights.stat().st_mtime_ns)
    folder = task.store / "segmentation"
    return {phase: folder / f"{digest(path, weights, TASK_VERSION)}.nii.gz" for phase, path in task.images}


@lru_cache(maxsize=4)
def _file_digest(file: str, modified_ns: int) -> str:
    return digest(Path(file))


@lru_cache(maxsize=1)
def _loaded(file: str, modified_ns: int, device: str) -> Segmenter:
    """Network of a weights file, read once a process and again when the file changes."""
    return Segmenter.load(file, device)
