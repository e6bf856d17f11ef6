"""What a run with certain settings asks of a patient, asked before it runs."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path

import SimpleITK as sitk

from hccbook.cohort import Problem, check_manifest, cohort_remarks, usable_patients
from hccbook.cohort.checks import Demand, PatientCheck
from hccbook.errors import HccbookError, ManifestError, MaskError
from hccbook.features.radiomics import ExtractionSettings
from hccbook.features.radiomics.guards import check_region
from hccbook.images import to_array, volume_ml
from hccbook.images.preprocessing import (
    AlignmentTarget,
    WorkingGrid,
    align_phase,
    label_map,
    reference_phase,
    working_grid,
)
from hccbook.papers import PAPERS
from hccbook.settings import Profile

_LEAST_VOXELS = 1000  # of the working grid; a mask of more is not lost on it


def check_for_run(manifest: str | Path, profile: Profile, *, workers: int | None = None) -> list[Problem]:
    """Every problem that keeps a run with this profile from a patient of a manifest, as far as it is known before.

    Returns
    -------
    list of hccbook.cohort.Problem
        As `hccbook.cohort.check_manifest`, and remarks on what the cohort cannot give.
    """
    phases = profile.run.phases.split(",")
    served, remarks = papers_served(manifest, profile), []
    demand = demand_of(with_papers(profile, served))
    masks = profile.segmentation.masks
    problems = check_manifest(manifest, phases, masks=masks, demand=demand, workers=workers)
    with contextlib.suppress(ManifestError):
        rows, _ = usable_patients(manifest, phases)
        for paper in set(profile.run.papers.split(",")) - set(served):
            remarks.append(_unserved(paper))
        for paper in served:
            remarks += cohort_remarks(rows, paper, profile.cohort)
    # Those of the whole file first, as the others are.
    of_file = [problem for problem in problems if problem.line is None]
    return [*of_file, *remarks, *problems[len(of_file) :]]


def papers_served(manifest: str | Path, profile: Profile) -> list[str]:
    """Papers of a profile that somebody in a manifest has the masks for; all where masks come from elsewhere.

    A paper that nobody has the masks for is left out of a run, with its stages and pages. If that is every paper, none
    is left out, so that the run says what is missing.
    """
    papers, phases = profile.run.papers.split(","), profile.run.phases.split(",")
    if profile.segmentation.mask_source != "manifest" or profile.segmentation.masks:
        return papers
    try:
        rows, _ = usable_patients(manifest, phases)
    except ManifestError:
        return papers
    served = [
        paper
        for paper in papers
        if (rows[[f"{organ}_mask_{phase}" for organ in PAPERS[paper].organs for phase in phases]] != "")
        .all(axis=1)
        .any()
    ]
    return served or papers


def with_papers(profile: Profile, papers: Sequence[str]) -> Profile:
    """The same profile with some of its papers."""
    return profile.model_copy(update={"run": profile.run.model_copy(update={"papers": ",".join(papers)})})


def _unserved(paper: str) -> Problem:
    of_paper = PAPERS[paper]
    rule = f"{of_paper.title} needs masks of {' and '.join(of_paper.organs)} in every phase"
    hint = f"Its pages are left out; give the masks, or set papers to those without {paper}."
    return Problem(rule=rule, found="nobody who has them", hint=hint, remark=True)


def demand_of(profile: Profile) -> Demand:
    """What a run with this profile asks of each patient beyond readable files."""
    return functools.partial(_demand, profile=profile)


def _demand(key: str, checked: PatientCheck, profile: Profile) -> None:
    shifts = _shifts(checked) if profile.preprocessing.align_phases else {}
    if profile.segmentation.mask_source == "manifest":
        _demand_masks(key, checked, profile, shifts)


def _shifts(checked: PatientCheck) -> dict[str, sitk.Transform]:
    """Where alignment moves each phase; one that it cannot move is a finding."""
    images = checked.images
    if len(images) < 2:
        return {}
    reference = reference_phase(images)
    target = AlignmentTarget.of(images[reference])
    shifts = {}
    for phase, image in images.items():
        try:
            shifts[phase] = sitk.TranslationTransform(3) if phase == reference else align_phase(image, target)
        except HccbookError as error:
            checked.refuse(phase, error)
    return shifts


def _demand_masks(key: str, checked: PatientCheck, profile: Profile, shifts: dict[str, sitk.Transform]) -> None:
    refused = {column for column, *_ in checked.findings}
    papers = [PAPERS[name] for name in profile.run.papers.split(",")]
    needed = {organ: paper for paper in reversed(papers) for organ in paper.organs}
    for phase, (organ, paper) in itertools.product(checked.images, needed.items()):
        column, mask = f"{organ}_mask_{phase}", checked.masks.get((phase, organ))
        if mask is not None:
            grid = working_grid(checked.images[reference_phase(checked.images)], profile.preprocessing.spacing_mm)
            settings = ExtractionSettings.of_paper(paper.name, profile.features, profile.preprocessing)
            transform = shifts.get(phase, sitk.TranslationTransform(3))
            try:
                _check_size({organ: mask}, grid, transform, settings, f"{key}, {phase}, {organ}")
            except MaskError as error:
                checked.refuse(column, error)
        elif column not in refused:
            rule = f"mask_source 'manifest' needs a mask of the {organ} in every phase, for {paper.title}"
            hint = "Name it, or set mask_source to network (with weights) or nnunet."
            checked.findings.append((column, rule, "none", hint))


def _check_size(
    mask: dict[str, sitk.Image],
    grid: WorkingGrid,
    transform: sitk.Transform,
    settings: ExtractionSettings,
    place: str,
) -> None:
    """Refuse an organ of which too little is left on the working grid."""
    (source,) = mask.values()
    if volume_ml(source) * 1000 > _LEAST_VOXELS * grid.spacing_mm**3:
        return
    check_region(to_array(label_map(mask, grid, transform)) != 0, settings, place)
