"""Volumes of a collection: slices by patient, study and series, and by acquisition where a series holds several.

A series is split only where its slices say which of them belong together, and only where one volume cannot hold them:
two slices at one place, or two sets of slices that interleave or overlap.
Scanners that step along the table number every step as an acquisition of its own; such steps lie one behind the other
and stay one volume (https://github.com/rordenlab/dcm2niix/pull/48).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hccbook.collection.exclusions import MASK_MODALITIES, image_reason, kernel_reason, size_reason
from hccbook.collection.headers import Header
from hccbook.collection.tree import Source, Tree

_SAME_PLACE_MM = 1e-2  # positions are text, which exports round
_GAP = 1.5  # slice distances beyond which two sets of slices do not continue each other
_MAX_TIME_GROUPS = 4
_UNEVEN = 0.1  # share of the slice distance, and of the gaps, that may be off
_NO_NAME = re.compile(
    r"(anon\w*|no[ _-]?(name|id)|unknown|none|null|removed|de-?identified|patient|subject|x+|0+|-+)?", re.IGNORECASE
)


@dataclass(frozen=True)
class Volume:
    """One volume of a patient: one acquisition, reconstructed once; or an object that is none, with the reason.

    Attributes
    ----------
    patient : str
        Identifier in the user's own records: the DICOM patient's, or the name of a folder or file.
    study, series : str
        Unique identifiers; for NIfTI the folder and the file.
    header : Header or None
        Of its first slice; None for NIfTI.
    files : tuple of Source
        In the order of their places along the normal.
    part, parts : int
        Which of the volumes of its series it is, from 1, and how many there are.
    along : tuple of float
        Places of its slices along their normal, mm, in order; empty where they are not known.
    second : float or None
        When its acquisition began, seconds since 1970.
    acquisition : int or None
        Number of the acquisition, where all slices have the same.
    description : str
        What the series, or the file's name, says.
    left_out : str
        Why it is no volume of a phase; empty for a volume.
    remarks : tuple of str
        What was done or is to be known.
    instances : frozenset of str
        Unique identifiers of its slices.
    """

    patient: str
    study: str
    series: str
    header: Header | None
    files: tuple[Source, ...]
    part: int = 1
    parts: int = 1
    along: tuple[float, ...] = ()
    second: float | None = None
    acquisition: int | None = None
    description: str = ""
    left_out: str = ""
    remarks: tuple[str, ...] = ()
    instances: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def day(self) -> str:
        """Date of the study, YYYYMMDD; empty where not known."""
        return "" if self.header is None else self.header.study_day

    @property
    def step_mm(self) -> float:
        """Median distance between slices, mm; NaN where not known."""
        return float(np.median(np.diff(self.along))) if len(self.along) > 1 else float("nan")

    @property
    def extent_mm(self) -> float:
        """Distance from the first to the last slice, mm; NaN where not known."""
        return self.along[-1] - self.along[0] if len(self.along) > 1 else float("nan")


def dicom_volumes(tree: Tree) -> list[Volume]:
    """Volumes of all DICOM images of a tree, those left out included.

    Returns
    -------
    list of Volume
        By patient, day and number of the series; objects that hold masks are not among them.
    """
    images, copies = _without_copies([header for header in tree.headers if header.modality not in MASK_MODALITIES])
    names = patient_names(tree)
    series: dict[tuple[str, ...], list[Header]] = defaultdict(list)
    for header in images:
        series[names[header.position], header.study, header.series].append(header)
    volumes = []
    for (patient, _, uid), headers in series.items():
        copied = sum(copies[header.instance] for header in headers)
        remark = (f"{copied} copies of its slices elsewhere in the tree were not used",) if copied else ()
        found = _of_series(tree, patient, headers)
        volumes += [replace(volume, remarks=volume.remarks + remark, series=uid) for volume in found]
    return sorted(volumes, key=_order)


def _order(volume: Volume) -> tuple[object, ...]:
    header = volume.header
    number = header.number if header is not None and header.number is not None else 10**9
    return volume.patient, volume.day, volume.study, number, volume.series, volume.part


def _without_copies(headers: Iterable[Header]) -> tuple[list[Header], Counter[str]]:
    """Objects without those that came before under the same identifier, and how often each came again."""
    seen: set[str] = set()
    kept: list[Header] = []
    copies: Counter[str] = Counter()
    for header in headers:
        if header.instance and header.instance in seen:
            copies[header.instance] += 1
        else:
            seen.add(header.instance)
            kept.append(header)
    return kept, copies


def patient_names(tree: Tree) -> list[str]:
    """Patient of every DICOM object of a tree, as the user's records name them.

    An identifier that is empty, or that an anonymiser gave to everybody, names nobody; nor does one under which
    patients of two sexes or dates of birth lie. The name of the topmost folder stands for it, and that of the study
    where there is no folder.
    """
    persons: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for header in tree.headers:
        if all(header.person):
            persons[header.patient].add(header.person)
    names = []
    for header, source in zip(tree.headers, tree.sources, strict=True):
        name = header.patient
        if _NO_NAME.fullmatch(name) or len(persons[name]) > 1:
            folders = source.parts(tree.root)
            name = folders[0] if folders else f"study {header.study[-8:]}"
        names.append(name)
    # A study is of one patient, whatever an archive wrote into some of its objects.
    of_study: dict[str, Counter[str]] = defaultdict(Counter)
    for header, name in zip(tree.headers, names, strict=True):
        of_study[header.study][name] += 1
    studies = [header.study for header in tree.headers]
    return [of_study[study].most_common(1)[0][0] if study else name for study, name in zip(studies, names, strict=True)]


def _of_series(tree: Tree, patient: str, headers: list[Header]) -> list[Volume]:
    by_reason: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        by_reason[image_reason(header)].append(header)
    slices = by_reason.pop("", [])
    placed = [header for header in slices if header.planes and header.spacing]
    lost = [header for header in slices if not (header.planes and header.spacing)]
    groups = _split(placed) if placed else []
    volumes = [_volume(tree, patient, group, part, len(groups)) for part, group in enumerate(groups, start=1)]
    if lost:
        by_reason["slices without position, orientation or pixel spacing"] = lost
    for reason, left in by_reason.items():
        base = _volume(tree, patient, left, 1, 1)
        volumes.append(replace(base, left_out=reason, along=(), remarks=()))
    return volumes


def _volume(tree: Tree, patient: str, headers: Sequence[Header], part: int, parts: int) -> Volume:
    ordered, along = _in_order(headers)
    first = ordered[0]
    seconds = [header.second for header in ordered if header.second is not None]
    acquisitions = {header.acquisition for header in ordered}
    left_out = size_reason(along.tolist()) or kernel_reason(first.kernel, first.description)
    if _repeats(along) and not left_out:
        told = (
            "several volumes in one file: export it as one slice a file"
            if first.frames > 1
            else "no tag tells them apart"
        )
        left_out = f"{_repeats(along)} slices at a place already taken; {told}"
    remarks = (f"volume {part} of {parts} in one series",) if parts > 1 else ()
    return Volume(
        patient=patient,
        study=first.study,
        series=first.series,
        header=first,
        files=tuple(dict.fromkeys(tree.source(header) for header in ordered)),
        part=part,
        parts=parts,
        along=tuple(along.tolist()),
        second=min(seconds, default=None),
        acquisition=acquisitions.pop() if len(acquisitions) == 1 else None,
        description=first.description,
        left_out=left_out,
        remarks=remarks,
        instances=frozenset(header.instance for header in ordered),
    )


def _in_order(headers: Sequence[Header]) -> tuple[list[Header], np.ndarray]:
    """Headers in the order of their first places along the normal, and all places in order."""
    placed = [header for header in headers if header.planes]
    if not placed:
        return list(headers), np.empty(0)
    normal = placed[0].planes[0].normal
    ordered = sorted(placed, key=lambda header: float(normal @ header.planes[0].position))
    places = [float(normal @ plane.position) for header in ordered for plane in header.planes]
    return ordered, np.sort(places)


# --- splitting --------------------------------------------------------------------------------------------------------


def _split(headers: list[Header]) -> list[list[Header]]:
    """Volumes of one series: first what cannot share a grid, then what lies in one place twice."""
    groups: dict[Hashable, list[Header]] = defaultdict(list)
    for header in headers:
        plane = header.planes[0]
        orientation = tuple(round(cosine, 2) + 0.0 for cosine in plane.orientation)
        spacing = tuple(round(edge, 3) for edge in header.spacing)
        # A file of several frames is a volume by itself.
        alone = header.position if header.frames > 1 else None
        groups[orientation, spacing, header.size, header.frame, alone].append(header)
    parts = [part for group in groups.values() for part in _split_stacked(group)]
    return sorted(parts, key=_first_of)


def _first_of(headers: Sequence[Header]) -> tuple[float, float]:
    seconds = [header.second for header in headers if header.second is not None]
    numbers = [header.instance_number for header in headers if header.instance_number is not None]
    return min(seconds, default=0.0), min(numbers, default=0)


def _split_stacked(headers: list[Header]) -> list[list[Header]]:
    ordered, along = _in_order(headers)
    if len(ordered) != len(along) or len(ordered) < 4:  # several frames a file, or nothing to split
        return [headers]
    for labels in _labels_of(ordered, along):
        if _separates(along, labels):
            parts: dict[Hashable, list[Header]] = defaultdict(list)
            for header, label in zip(ordered, labels, strict=True):
                parts[label].append(header)
            return [part for group in parts.values() for part in _split_stacked(group)]
    return [ordered]


def _labels_of(ordered: Sequence[Header], along: np.ndarray) -> Iterable[list[Hashable]]:
    """Ways in which slices, in order of place, may be told apart, the most telling first."""
    told_by: tuple[Callable[[Header], Hashable], ...] = (
        lambda header: header.acquisition,
        lambda header: header.kernel,
        lambda header: header.kilovolt,
        lambda header: header.kinds,
        lambda header: header.thickness,
    )
    for tell in told_by:
        labels = [tell(header) for header in ordered]
        if 1 < len(set(labels)) < len(labels):
            yield labels
    for groups in range(2, _MAX_TIME_GROUPS + 1):
        labels = _time_labels([header.second for header in ordered], groups)
        if labels:
            yield labels
    runs = _run_labels([header.instance_number for header in ordered], along)
    if runs:
        yield runs


def _time_labels(seconds: Sequence[float | None], groups: int) -> list[Hashable]:
    """Slices by the widest pauses between their acquisition times; nothing where times are absent or too few."""
    known = [second for second in seconds if second is not None]
    times = np.unique(known)
    if len(known) < len(seconds) or len(times) < groups:
        return []
    widest = np.sort(np.argsort(np.diff(times), kind="stable")[::-1][: groups - 1])
    return np.searchsorted(times[widest], known, side="left").tolist()


def _run_labels(numbers: Sequence[int | None], along: np.ndarray) -> list[Hashable]:
    """Slices by the runs in which their numbers go along the normal; a jump back to the start begins another run."""
    if None in numbers or len(set(numbers)) < len(numbers):
        return []
    order = np.argsort(np.array(numbers, int), kind="stable")
    steps = np.diff(along[order])
    usual = np.median(np.abs(steps))
    if usual <= _SAME_PLACE_MM:
        return []
    jumps = np.flatnonzero(np.abs(steps) > 3 * usual)
    if not 1 <= jumps.size < _MAX_TIME_GROUPS:
        return []
    runs = np.zeros(len(numbers), int)
    runs[order] = np.searchsorted(jumps, np.arange(len(numbers)), side="left")
    return runs.tolist()


def _separates(along: np.ndarray, labels: Sequence[Hashable]) -> bool:
    """Whether a way to tell slices apart makes volumes of what cannot be one volume."""
    parts: dict[Hashable, list[float]] = defaultdict(list)
    for place, label in zip(along, labels, strict=True):
        parts[label].append(float(place))
    sets = [np.array(places) for places in parts.values()]
    if len(sets) < 2:
        return False
    before, after = _repeats(along), sum(_repeats(places) for places in sets)
    if before:
        return after < before
    # One volume may change a tag on its way; only sets that are even by themselves are volumes of their own.
    if any(len(places) < 3 or not _is_even(places) for places in sets):
        return False
    step = float(np.median([np.median(np.diff(places)) for places in sets]))
    for first, second in itertools.combinations(sorted(sets, key=lambda places: places[0]), 2):
        shared = min(first[-1], second[-1]) - second[0]
        apart = second[0] - first[-1]
        others = any(other[0] < second[0] and other[-1] > first[-1] for other in sets)
        if shared > 0.25 * step or (apart > _GAP * step and not others):
            return True
    return False


def _is_even(along: np.ndarray) -> bool:
    gaps = np.diff(along)
    return bool(np.mean(np.abs(gaps - np.median(gaps)) <= _UNEVEN * np.median(gaps)) >= 1 - _UNEVEN)


def _repeats(along: np.ndarray) -> int:
    """Slices at a place that another slice has taken."""
    return int((np.diff(np.sort(along)) < _SAME_PLACE_MM).sum())
