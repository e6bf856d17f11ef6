"""Contact sheets of a cohort's masks, and the page that shows the most suspicious patients first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd

from hccbook import images, segmentation
from hccbook.papers import find_paper
from hccbook.parallel import map_patients
from hccbook.pipeline.files import preprocessed_patients, read_cohort, read_csv, read_table, segmented_patients
from hccbook.report.figures.contact_sheet import contact_sheet, webp_bytes
from hccbook.report.tables import SYNTHETIC_NOTICE, model_title
from hccbook.run import Case, RunPaths
from hccbook.store import atomic_path

PAGE = "index.html"
"""Page of a cohort, beside its sheets."""

_PAGE = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
).get_template("contact_sheets.html.j2")

_COLUMNS = ("patient", "centre", "severity", "nearest_bound", "findings", "dice", "sheet")


@dataclass(frozen=True)
class _Sheet:
    """One patient's contact sheet: the files, what it says of the patient, and where it goes."""

    case: Case
    title: str
    remarks: tuple[str, ...]
    synthetic: bool
    file: Path


def _write_sheet(sheet: _Sheet) -> tuple[int, int]:
    """Draw one patient's contact sheet; its width and height in pixels."""
    case = sheet.case
    volumes = {phase: images.read_image(case.image(phase), case.place(phase)) for phase in case.phases}
    # A phase without masks is drawn all the same: that they are missing is what there is to see.
    labels = {phase: images.read_label_map(case.labels(phase)) for phase in case.phases if case.labels(phase).is_file()}
    drawn = contact_sheet(volumes, labels, title=sheet.title, remarks=sheet.remarks, synthetic=sheet.synthetic)
    with atomic_path(sheet.file) as part:
        part.write_bytes(webp_bytes(drawn))
    return drawn.size


def write(
    run: RunPaths,
    paper: str,
    phases: tuple[str, ...],
    synthetic: bool,
    workers: int = 1,
    dice: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Draw a contact sheet of every patient of one paper, and the page of the cohort.

    They lie in ``segmentation/contact_sheets/<paper>/``: ``<key>.webp`` and ``index.html``.
    Sheets of patients that are no longer there are removed.

    Parameters
    ----------
    run : RunPaths
        Run whose `hccbook.pipeline.segmentation.segment_cohort` is done.
    paper : {"alarm", "amap_ct"}
    phases : tuple of str
    synthetic : bool
        Whether the patients are simulated; says so on every sheet and on the page.
    workers : int
        Processes side by side; the files do not depend on it.
    dice : pandas.DataFrame, optional
        Columns patient and dice, where the truth is known, and paper if it holds several; the least Dice of a patient
        is shown.

    Returns
    -------
    pandas.DataFrame
        One row per patient, the most suspicious first, of equal ones that which comes nearest to a bound. Columns
        patient, centre, severity and nearest_bound (see `hccbook.segmentation`), findings (number), dice (least; NaN
        where not known) and sheet (file relative to the run's folder; empty where it could not be drawn).
        A patient that the segmentation stage let go is here too, with the reason as its one finding.
    """
    folder = run.contact_sheets(paper)
    table, remarks = _patients(run, paper, dice)
    sheets = {
        row.patient: _Sheet(
            Case(run, paper, row.patient, phases),
            f"{row.patient}, {model_title(paper)}, centre {row.centre}",
            tuple(remarks[row.patient]) or ("Nothing suspicious found.",),
            synthetic,
            folder / f"{row.patient}.webp",
        )
        for row in table.itertuples()
    }
    drawn = map_patients(_write_sheet, sheets, stage="contact sheets", workers=workers)
    for file in folder.glob("*.webp"):
        if file.stem not in drawn.results:
            file.unlink()
    table["sheet"] = [
        (folder / f"{key}.webp").relative_to(run.root).as_posix() if key in drawn.results else ""
        for key in table["patient"]
    ]
    page = _PAGE.render(
        title=model_title(paper),
        rows=list(table.itertuples()),
        remarks=remarks,
        sizes=drawn.results,  # so that nothing moves while they load
        notice=SYNTHETIC_NOTICE if synthetic else "",
        most=segmentation.MAX_SEVERITY,
    )
    with atomic_path(folder / PAGE) as part:
        part.write_text(page, encoding="utf-8")
    return table


def _patients(run: RunPaths, paper: str, dice: pd.DataFrame | None) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Table of `write` without its sheets, and each patient's findings in words, the most suspicious first."""
    centre = read_cohort(run, paper)["centre"]
    findings = _read_findings(run, paper)
    let_go = read_csv(run.stage("segmentation") / f"{paper}_failures.csv").set_index("patient")["reason"]
    if dice is None:
        least = pd.Series(dtype=float)
    else:
        least = (dice[dice["paper"] == paper] if "paper" in dice else dice).groupby("patient")["dice"].min()
    segmented = set(segmented_patients(run, paper))
    nearest = {
        key: segmentation.nearest_bound(
            {row["phase"]: row for row in rows.to_dict("records")}, find_paper(paper).organs
        )
        for key, rows in read_table(run, "segmentation", f"{paper}.csv").groupby("patient")
    }
    remarks: dict[str, list[str]] = {}
    rows = []
    for key in preprocessed_patients(run, paper):
        found = findings.get(key, [])
        severity, count = segmentation.severity(found), len(found)
        remarks[key] = segmentation.findings_in_words(found)
        if key not in segmented:
            severity, count = segmentation.MAX_SEVERITY, 1
            remarks[key] = [f"left out of the features: {let_go.get(key, 'reason not recorded')}"]
        rows.append((key, centre[key], severity, nearest.get(key, 0.0), count, float(least.get(key, math.nan)), ""))
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    return table.sort_values(["severity", "nearest_bound"], ascending=False, ignore_index=True), remarks


def _read_findings(run: RunPaths, paper: str) -> dict[str, list[segmentation.MaskFinding]]:
    """What `hccbook.pipeline.segmentation.segment_cohort` found suspicious, by patient."""
    table = read_csv(run.stage("segmentation") / f"{paper}_findings.csv", keep_default_na=False)
    found: dict[str, list[segmentation.MaskFinding]] = {}
    for row in table.to_dict("records"):
        found.setdefault(row["patient"], []).append(segmentation.MaskFinding(**row))
    return found
