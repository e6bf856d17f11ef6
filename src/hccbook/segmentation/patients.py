"""Segmentation of one patient: paths in, label maps in the store and in their place."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import torch

from hccbook.images import read_image, write_image
from hccbook.images.preprocessing import labels_on_grid
from hccbook.images.remarks import collected
from hccbook.run import Case
from hccbook.segmentation.network import Segmenter
from hccbook.store import link

Shift = tuple[float, float, float]
"""Translation of a phase that preprocessing found: x, y and z, mm."""


def segment_patient(case: Case, weights: Path, shifts_mm: Mapping[str, Shift], device: str = "auto") -> list[str]:
    """Segment liver and spleen in every phase of one patient.

    The network sees the images as they came, so that no edge is interpolated before it is segmented; its label maps
    are moved onto the working grid as given masks are.
    On a CPU it takes one thread: processes side by side use cores better than threads do, and the labels do not
    depend on how many there are.

    Parameters
    ----------
    case : hccbook.run.Case
        With the sources of its images, preprocessed.
    weights : pathlib.Path
        File that `Segmenter.save` wrote.
    shifts_mm : mapping of str to (x, y, z)
        Translation of each phase that preprocessing found, mm.
    device : {"auto", "cpu", "cuda"}
        Where the network runs.

    Returns
    -------
    list of str
        Phases segmented.

    Raises
    ------
    ImageError
        If an image cannot be read.
    ModelError
        If the weights cannot.
    """
    inputs: list[object] = [weights]
    for phase in case.phases:
        inputs += [phase, case.source(phase), case.image(phase), shifts_mm[phase]]
    key = case.run.store.key("segmentation", segment_patient, *inputs)
    make = functools.partial(_write_labels, case, weights, shifts_mm, device)
    folder = case.run.store.get_or_make(key, make)
    for phase in case.phases:
        link(folder / f"{phase}_native.nii.gz", case.native_labels(phase))
        link(folder / f"{phase}.nii.gz", case.labels(phase))
    return list(case.phases)


@collected()  # preprocessing, which read the same images, has told what was repaired
def _write_labels(case: Case, weights: Path, shifts_mm: Mapping[str, Shift], device: str, folder: Path) -> None:
    modified = weights.stat().st_mtime_ns if weights.is_file() else 0
    segmenter = _loaded(str(weights), modified, device)
    images = {phase: read_image(case.source(phase), case.place(phase)) for phase in case.phases}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        native = segmenter.predict_all(list(images.values()))
    finally:
        torch.set_num_threads(threads)
    for phase, labels in zip(images, native, strict=True):
        working = read_image(case.image(phase), case.place(phase))
        write_image(labels, folder / f"{phase}_native.nii.gz")
        write_image(labels_on_grid(labels, working, shifts_mm[phase]), folder / f"{phase}.nii.gz")


@functools.lru_cache(maxsize=1)
def _loaded(file: str, modified_ns: int, device: str) -> Segmenter:
    """Network of a weights file, read once a process and again when the file changes."""
    return Segmenter.load(file, device)
