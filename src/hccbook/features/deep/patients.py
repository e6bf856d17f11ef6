"""The cohort: crops of every patient, phase and organ through a network, and the table of what comes out."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from hccbook.errors import DataError, MaskError
from hccbook.features.deep.crops import WINDOW_HU, Box, crop_to_box, largest_box, organ_extent, shrink_crop
from hccbook.features.deep.network import Backbone, batch_of, pooled_features, stage_values
from hccbook.features.radiomics.regions import organ_label
from hccbook.images import read_image, read_label_map, to_array
from hccbook.parallel import FAILURE_COLUMNS, MapResult, failure_of, log_work, progress_line
from hccbook.run import Case
from hccbook.store import Store

_DIGITS = 6
_STAGE = "deep features"


@dataclass(frozen=True)
class Crops:
    """How organs are shown to a network.

    Attributes
    ----------
    boxes : mapping of str to (z, y, x)
        Box of every organ that is taken, voxels.
    voxels : int
        Longest edge of what the network sees; a longer one is shrunk to it, voxels.
    window : pair of float
        HU beyond these bounds are clipped.
    """

    boxes: Mapping[str, Box]
    voxels: int
    window: tuple[float, float] = WINDOW_HU

    @classmethod
    def fitted(
        cls, cases: Iterable[Case], organs: Sequence[str], voxels: int, window: tuple[float, float] = WINDOW_HU
    ) -> Crops:
        """Crops whose boxes hold the organs of all of `cases`.

        Take the development patients: a box is part of the model, and an organ of a later patient that is larger is
        cut.

        Raises
        ------
        DataError
            If there is no case.
        MaskError
            If an organ is not segmented; the message names patient, phase and organ.
        """
        extents: dict[str, list[Box]] = {organ: [] for organ in organs}
        for case in cases:
            for phase in case.phases:
                labels = to_array(read_label_map(case.labels(phase), place=case.place(phase)))
                for organ in organs:
                    extents[organ].append(organ_extent(_organ(labels, organ, case.place(phase, organ))))
        return cls({organ: largest_box(boxes) for organ, boxes in extents.items()}, voxels, window)

    def of(self, organ: str) -> Crops:
        """The same of one organ."""
        return replace(self, boxes={organ: self.boxes[organ]})

    def crop(self, image: np.ndarray, labels: np.ndarray, organ: str, place: str) -> np.ndarray:
        """What the network sees of one organ, shape (z, y, x), 0 to 1.

        Raises
        ------
        MaskError
            If the organ is not segmented.
        """
        box = crop_to_box(image, _organ(labels, organ, place), self.boxes[organ], self.window)
        return shrink_crop(box, self.voxels)


def _organ(labels: np.ndarray, organ: str, place: str) -> np.ndarray:
    mask = labels == organ_label(organ)
    if not mask.any():
        rule = f"label map must hold the label {organ_label(organ)}"
        raise MaskError(place, rule, "no such voxel", "Look at the segmentation of this patient.")
    return mask


class _Pending(NamedTuple):
    key: str
    crop: np.ndarray


def extract_deep(
    cases: Mapping[str, Case],
    backbone: Backbone,
    crops: Crops,
    *,
    depth: str = "projection",
    progress: bool = True,
) -> MapResult:
    """What a network makes of every patient, phase and organ; what is in the store is not computed again.

    Parameters
    ----------
    cases : mapping of str to hccbook.run.Case
        By key of the row; preprocessed and segmented.
    backbone : Backbone
    crops : Crops
        What it sees; its boxes name the organs.
    depth : {"projection", "last_stage", "network"}
        How far the network goes, see `hccbook.features.deep.DEPTHS`: the pooled values (`backbone.width` a crop), what
        the tuned last stage sees (32 KiB for a crop of 32 voxels an edge, eight times as much for twice the edge), or
        the crop itself. Crops stay in files of the store, one open file each, and are read when they are looked at.
    progress : bool
        Whether to show a progress bar where there is a terminal.

    Returns
    -------
    hccbook.parallel.MapResult
        ``results`` holds by patient a dict of ``<phase>.<organ>`` to an array. A patient whose image or label map is
        refused becomes a row of ``failures``; the others go on.

    Notes
    -----
    This runs in one process, whose forward passes use all cores. Pooled values are kept with six significant digits:
    that is far more than the networks carry, and hides what little another processor or library version would change
    in the last bits. The number of threads and the other patients change nothing (see `BATCH`).

    References
    ----------
    ALARM, Results: average pooling layer of the 3D ResNet-50. aMAP-CT, Results: 512 values of ResNet-18 a phase.
    """
    keys: dict[str, dict[str, str]] = {}
    failed: dict[str, tuple[str, str]] = {}
    waiting: dict[str, list[_Pending]] = {}
    computed = 0
    store = next(iter(cases.values())).run.store if cases else None

    def flush(organ: str) -> None:
        batch = waiting.pop(organ, [])
        if batch:
            for pending, row in zip(batch, _values(backbone, depth, batch), strict=True):
                store.get_or_make(pending.key, _writer(row))

    with progress_line(f"{_STAGE}, {backbone.name}", len(cases), show=progress) as advance:
        for key, case in cases.items():
            try:
                own = _result_keys(case, backbone, crops, depth)
                missing = [name for name, known in own.items() if store.find(known) is None]
                found = _crops(case, crops, missing)
            except Exception as error:  # a patient must not stop the others, whatever goes wrong in it
                failed[key] = failure_of(error)
                advance()
                continue
            keys[key] = own
            computed += bool(missing)
            for name, crop in found.items():
                organ = name.rpartition(".")[2]
                waiting.setdefault(organ, []).append(_Pending(own[name], crop))
                if len(waiting[organ]) == batch_of(crop.shape):
                    flush(organ)
            advance()
        for organ in list(waiting):
            flush(organ)
    # A whole crop stays in its file. What the last stage sees is small, and thousands of files may not be open at once.
    results = _read_back(store, keys, "r" if depth == "network" else None, failed)
    log_work(_STAGE, len(cases), computed)
    rows = [(key, _STAGE, *failed[key]) for key in cases if key in failed]
    return MapResult(results, pd.DataFrame(rows, columns=list(FAILURE_COLUMNS)), computed)


def _read_back(
    store: Store | None,
    keys: Mapping[str, Mapping[str, str]],
    mode: Literal["r"] | None,
    failed: dict[str, tuple[str, str]],
) -> dict[str, dict[str, np.ndarray]]:
    """Values of every patient by name; whoever's cannot be read joins those who failed."""
    results = {}
    for key, own in keys.items():
        try:
            results[key] = {name: np.load(_stored(store, known), mmap_mode=mode) for name, known in own.items()}
        except Exception as error:
            failed[key] = failure_of(error)
    return results


def _stored(store: Store, key: str) -> Path:
    """File of an entry that was there, or made, a moment ago."""
    folder = store.find(key)
    if folder is None:
        raise FileNotFoundError(errno.ENOENT, "lost from the store, or damaged there, while the others were made")
    return folder / "values.npy"


def _values(backbone: Backbone, depth: str, batch: Sequence[_Pending]) -> np.ndarray:
    crops = np.stack([pending.crop for pending in batch])[:, None]
    if depth == "projection":
        return significant(pooled_features(backbone, crops))
    return stage_values(backbone, depth, crops)


def _writer(row: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / "values.npy", row, allow_pickle=False)


def _result_keys(case: Case, backbone: Backbone, crops: Crops, depth: str) -> dict[str, str]:
    """Key of the values of every phase and organ, whether they are in the store or not."""
    network = (depth, backbone.name, backbone.origin, backbone.device.type)
    shown = (crops.voxels, tuple(map(float, crops.window)))
    keys = {}
    for phase in case.phases:
        for organ, box in crops.boxes.items():
            inputs = (case.image(phase), case.labels(phase), organ, tuple(map(int, box)), shown, network)
            keys[f"{phase}.{organ}"] = case.run.store.key("deep", extract_deep, *inputs)
    return keys


def _crops(case: Case, crops: Crops, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Crop by ``<phase>.<organ>``."""
    found = {}
    for phase in case.phases:
        organs = [organ for organ in crops.boxes if f"{phase}.{organ}" in names]
        if organs:
            image = read_image(case.image(phase), case.place(phase))
            labels = to_array(read_label_map(case.labels(phase), image, case.place(phase)))
            array = to_array(image)
            found |= {
                f"{phase}.{organ}": crops.crop(array, labels, organ, case.place(phase, organ)) for organ in organs
            }
    return found


def significant(values: np.ndarray) -> np.ndarray:
    """Values with `_DIGITS` significant digits, as float64."""
    # By way of text: scaling and rounding would leave the last bit to chance.
    return np.char.mod(f"%.{_DIGITS - 1}e", values).astype(float)


def deep_table(results: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """Table of all patients' deep features.

    Parameters
    ----------
    results : mapping of str to mapping
        By patient key, ``<phase>.<organ>`` to values: ``results`` of `extract_deep`.

    Returns
    -------
    pandas.DataFrame
        Index "patient", one row per patient; columns ``<phase>.<organ>.deep_000`` and on.

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
    columns = [f"{part}.deep_{number:03d}" for part, count in layout.items() for number in range(count)]
    rows = np.array([np.concatenate(list(own.values())) for own in results.values()], dtype=float)
    return pd.DataFrame(rows, index=pd.Index(results, name="patient"), columns=columns)
