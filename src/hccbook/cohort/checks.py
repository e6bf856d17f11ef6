"""Everything that is wrong with a manifest and the images it names."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from hccbook.cohort.manifest import Problem, manifest_problems, problem_at, sources, with_masks
from hccbook.errors import HccbookError
from hccbook.images import read_image, read_mask
from hccbook.images.contrast import contrast_findings
from hccbook.images.geometry import physical_extent
from hccbook.images.preprocessing import check_overlap
from hccbook.images.remarks import collected
from hccbook.images.repeats import content_of, repeated_volumes
from hccbook.parallel import map_patients
from hccbook.settings import PHASES

_MIN_OVERLAP = 0.5  # share of the smaller of two phases' volumes that must lie in the other
_PARALLEL_FROM = 8  # patients; starting worker processes takes longer than reading fewer
_ONE_VOLUME = "every image must be a volume of its own, in whatever direction it is stored"


@dataclass
class PatientCheck:
    """What a look at one patient's images and masks gave.

    Attributes
    ----------
    findings : list of tuple
        Column, rule, found and hint of what costs the patient.
    remarks : list of tuple
        The same of what asks to look.
    images : dict of str to SimpleITK.Image
        By phase, as read.
    masks : dict of (str, str) to SimpleITK.Image
        By phase and organ, as read.
    contents : dict of str to str
        Digest of the voxels by phase: the same however the axes are stored.
    """

    findings: list[tuple[str, str, str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str, str, str]] = field(default_factory=list)
    images: dict[str, sitk.Image] = field(default_factory=dict)
    masks: dict[tuple[str, str], sitk.Image] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)

    def refuse(self, column: str, error: HccbookError) -> None:
        """Add what an error says of a column."""
        self.findings.append((column, error.rule, str(error.found), error.hint))


Demand = Callable[[str, PatientCheck], None]
"""What a run asks of a patient beyond what can be read: called with the key, it adds its findings."""


def check_manifest(
    path: str | Path,
    phases: Sequence[str] = PHASES,
    *,
    masks: str = "",
    demand: Demand | None = None,
    workers: int | None = None,
) -> list[Problem]:
    """Every problem in a manifest, its images and its masks.

    Parameters
    ----------
    path, phases
        As of `read_manifest`.
    masks : str
        Where masks lie that the manifest does not name, as `hccbook.cohort.with_masks` takes it.
    demand : callable, optional
        What a run with certain settings asks besides, such as `hccbook.pipeline.checks.demand_of`.
    workers : int, optional
        Processes side by side; one a core where there are many patients, if absent.

    Returns
    -------
    list of Problem
        By line, those of the whole file first; empty if there is none.
        Images are opened even where clinical values are wrong, and a patient's masks even where others are broken.
        Contrast that does not fit a column is a remark; the same volume in two places costs both patients.
    """
    table, problems = manifest_problems(Path(path), tuple(phases))
    if table.empty:
        return problems
    broken = {(problem.line, problem.column) for problem in problems}
    table = with_masks(table, masks, Path(path).resolve().parent, phases)
    tasks = {}
    for key, files in sources(table).groupby("patient"):
        line = table.loc[key, "line"]
        tasks[key] = files[[(line, column) not in broken for column in files["column"]]]
    if workers is None:
        workers = (os.cpu_count() or 1) if len(tasks) > _PARALLEL_FROM else 1
    task = functools.partial(_check_patient, demand=demand)
    outcome = map_patients(task, tasks, stage="check", workers=workers)

    def at(key: str, finding: tuple[str, str, str, str], remark: bool = False) -> Problem:
        problem = problem_at(table, table.index.get_loc(key), *finding)
        return problem.model_copy(update={"remark": remark})

    for key, checked in outcome.results.items():
        problems += [at(key, finding) for finding in checked.findings]
        problems += [at(key, finding, remark=True) for finding in checked.remarks]
    for failure in outcome.failures.itertuples():
        hint = "Convert or export the images again."
        finding = (None, "images must be readable", f"{failure.kind}: {failure.reason}", hint)
        problems.append(at(failure.patient, finding))
    contents = {key: checked.contents for key, checked in outcome.results.items()}
    for (key, phase), (other, column) in repeated_volumes(contents):
        hint = "One of the two is not what its column says: look where each came from."
        problems.append(
            at(key, (phase, _ONE_VOLUME, f"that of line {table.loc[other, 'line']}, column {column!r}", hint))
        )
    return sorted(problems, key=lambda problem: problem.line or 0)


def _check_patient(files: pd.DataFrame, demand: Demand | None) -> PatientCheck:
    """Look at one patient's images and masks (rows of `sources`)."""
    checked = PatientCheck()
    for key, phase, organ, column, path in files.itertuples(index=False):
        with collected() as repairs:
            try:
                if not organ:
                    checked.images[phase] = read_image(path, f"{key}, {phase}")
                elif phase in checked.images:
                    image = checked.images[phase]
                    checked.masks[phase, organ] = read_mask(path, image, f"{key}, {phase}, {organ}", organ)
            except HccbookError as error:
                checked.refuse(column, error)
        hint = "The run does the same, and says so in its table of remarks."
        checked.remarks += [(column, "should need no repair", str(repair), hint) for repair in repairs]
    for phase in checked.images:
        given = {organ: mask for (of_phase, organ), mask in checked.masks.items() if of_phase == phase}
        try:
            check_overlap(given, phase)
        except HccbookError as error:
            checked.refuse(f"{next(iter(given))}_mask_{phase}", error)
    for first, second in itertools.combinations(checked.images, 2):
        shared = _overlap(checked.images[first], checked.images[second])
        if shared < _MIN_OVERLAP:
            rule = f"must show the part of the body that {first} shows, {_MIN_OVERLAP:.0%} of it or more"
            hint = "Check that both paths belong to this patient and study, and keep the scanner's coordinates."
            checked.findings.append((second, rule, f"{shared:.0%}", hint))
    if demand is not None:
        demand(str(files["patient"].iloc[0]) if len(files) else "", checked)
    hint = "Look at both volumes: the aorta is brightest in the arterial phase, the liver in the venous one."
    checked.remarks += [(*finding, hint) for finding in contrast_findings(checked.images)]
    checked.contents = {phase: content_of(image) for phase, image in checked.images.items()}
    # Volumes stay with the worker that read them.
    checked.images, checked.masks = {}, {}
    return checked


def _overlap(a: sitk.Image, b: sitk.Image) -> float:
    boxes = [physical_extent(image) for image in (a, b)]
    sides = np.minimum(boxes[0][1], boxes[1][1]) - np.maximum(boxes[0][0], boxes[1][0])
    volumes = [np.prod(upper - lower) for lower, upper in boxes]
    return float(np.prod(np.clip(sides, 0, None)) / min(volumes))
