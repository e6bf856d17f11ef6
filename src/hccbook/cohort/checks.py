"""Everything that is wrong with a manifest and the images it names."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from hccbook.cohort.manifest import Problem, manifest_problems, problem_at, sources
from hccbook.errors import HccbookError
from hccbook.images import read_image, read_mask
from hccbook.images.geometry import physical_extent
from hccbook.parallel import map_patients
from hccbook.settings import PHASES

_MIN_OVERLAP = 0.5  # share of the smaller of two phases' volumes that must lie in the other
_PARALLEL_FROM = 8  # patients; starting worker processes takes longer than reading fewer


def check_manifest(path: str | Path, phases: Sequence[str] = PHASES, *, workers: int | None = None) -> list[Problem]:
    """Every problem in a manifest, its images and its masks.

    Parameters
    ----------
    path, phases
        As of `read_manifest`.
    workers : int, optional
        Processes side by side; one a core where there are many patients, if absent.

    Returns
    -------
    list of Problem
        By line, those of the whole file first; empty if there is none.
        Images are opened even where clinical values are wrong, and a patient's masks even where others are broken.
    """
    table, problems = manifest_problems(Path(path), tuple(phases))
    if table.empty:
        return problems
    broken = {(problem.line, problem.column) for problem in problems}
    tasks = {}
    for key, files in sources(table).groupby("patient"):
        line = table.loc[key, "line"]
        tasks[key] = files[[(line, column) not in broken for column in files["column"]]]
    if workers is None:
        workers = (os.cpu_count() or 1) if len(tasks) > _PARALLEL_FROM else 1
    outcome = map_patients(_check_images, tasks, stage="check", workers=workers)
    findings = [(key, *finding) for key, found in outcome.results.items() for finding in found]
    for failure in outcome.failures.itertuples():
        hint = "Convert or export the images again."
        findings.append((failure.patient, None, "images must be readable", f"{failure.kind}: {failure.reason}", hint))
    problems += [problem_at(table, table.index.get_loc(key), *finding) for key, *finding in findings]
    return sorted(problems, key=lambda problem: problem.line or 0)


def _check_images(files: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Column, rule, found and hint of everything wrong with one patient's images and masks (rows of `sources`)."""
    findings: list[tuple[str, str, str, str]] = []
    images: dict[str, sitk.Image] = {}
    for key, phase, organ, column, path in files.itertuples(index=False):
        try:
            if not organ:
                images[phase] = read_image(path, f"{key}, {phase}")
            elif phase in images:
                read_mask(path, images[phase], f"{key}, {phase}, {organ}", organ)
        except HccbookError as error:
            findings.append((column, error.rule, str(error.found), error.hint))
    for first, second in itertools.combinations(images, 2):
        shared = _overlap(images[first], images[second])
        if shared < _MIN_OVERLAP:
            rule = f"must show the part of the body that {first} shows, {_MIN_OVERLAP:.0%} of it or more"
            hint = "Check that both paths belong to this patient and study, and keep the scanner's coordinates."
            findings.append((second, rule, f"{shared:.0%}", hint))
    return findings


def _overlap(a: sitk.Image, b: sitk.Image) -> float:
    boxes = [physical_extent(image) for image in (a, b)]
    sides = np.minimum(boxes[0][1], boxes[1][1]) - np.maximum(boxes[0][0], boxes[1][0])
    volumes = [np.prod(upper - lower) for lower, upper in boxes]
    return float(np.prod(np.clip(sides, 0, None)) / min(volumes))
