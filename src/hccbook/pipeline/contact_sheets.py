"""Contact sheets of a cohort's masks, and the page that shows the most suspicious patients first."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hccbook import images, segmentation
from hccbook.parallel import map_patients
from hccbook.pipeline.files import preprocessed_patients, read_cohort, segmented_patients
from hccbook.report.figures.contact_sheet import contact_sheet, png_bytes
from hccbook.report.tables import SYNTHETIC_NOTICE, model_title
from hccbook.run import Case, RunPaths
from hccbook.store import atomic_path

PAGE = "index.html"
"""Page of a cohort, beside its sheets."""

TABLE_COLUMNS = ("patient", "centre", "severity", "findings", "dice", "sheet")
"""Columns of the table that `write` gives."""


@dataclass(frozen=True)
class Sheet:
    """One patient's contact sheet: the files, what it says of the patient, and where it goes."""

    case: Case
    title: str
    remarks: tuple[str, ...]
    synthetic: bool
    file: Path


def write_sheet(sheet: Sheet) -> tuple[int, int]:
    """Draw one patient's contact sheet; see `hccbook.report.figures.contact_sheet`.

    Returns
    -------
    tuple of int
        Width and height of the sheet, pixels.
    """
    case = sheet.case
    volumes = {phase: images.read_image(case.image(phase), case.place(phase)) for phase in case.phases}
    # A phase without masks is drawn all the same: that they are missing is what there is to see.
    labels = {phase: images.read_label_map(case.labels(phase)) for phase in case.phases if case.labels(phase).is_file()}
    drawn = contact_sheet(volumes, labels, title=sheet.title, remarks=sheet.remarks, synthetic=sheet.synthetic)
    with atomic_path(sheet.file) as part:
        part.write_bytes(png_bytes(drawn))
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

    They lie in ``segmentation/contact_sheets/<paper>/``: ``<key>.png`` and ``index.html``.
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
        `TABLE_COLUMNS`, a row a patient, the most suspicious first, of equal ones that with the least Dice: key,
        centre, severity (see `hccbook.segmentation.severity`), number of findings, least Dice (NaN where not known),
        and the sheet's file relative to the run's folder (empty where it could not be drawn).
        A patient that the segmentation stage let go is here too, with the reason as its one finding.
    """
    folder = run.contact_sheets(paper)
    folder.mkdir(parents=True, exist_ok=True)
    table, remarks = _patients(run, paper, dice)
    sheets = {
        row.patient: Sheet(
            Case(run, paper, row.patient, phases),
            f"{row.patient}, {model_title(paper)}, centre {row.centre}",
            tuple(remarks[row.patient]) or ("Nothing suspicious found.",),
            synthetic,
            folder / f"{row.patient}.png",
        )
        for row in table.itertuples()
    }
    drawn = map_patients(write_sheet, sheets, stage="contact sheets", workers=workers)
    for file in folder.glob("*.png"):
        if file.stem not in drawn.results:
            file.unlink()
    table["sheet"] = [
        (folder / f"{key}.png").relative_to(run.root).as_posix() if key in drawn.results else ""
        for key in table["patient"]
    ]
    page = cohort_page(model_title(paper), table, remarks, drawn.results, synthetic=synthetic)
    with atomic_path(folder / PAGE) as part:
        part.write_text(page, encoding="utf-8")
    return table


def _patients(run: RunPaths, paper: str, dice: pd.DataFrame | None) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Table of `write` without its sheets, and each patient's findings in words, the most suspicious first."""
    centre = read_cohort(run, paper)["centre"]
    findings = read_findings(run, paper)
    let_go = pd.read_csv(run.stage("segmentation") / f"{paper}_failures.csv").set_index("patient")["reason"]
    if dice is None:
        least = pd.Series(dtype=float)
    else:
        least = (dice[dice["paper"] == paper] if "paper" in dice else dice).groupby("patient")["dice"].min()
    segmented = set(segmented_patients(run, paper))
    remarks: dict[str, list[str]] = {}
    rows = []
    for key in preprocessed_patients(run, paper):
        found = findings.get(key, [])
        severity, count = segmentation.severity(found), len(found)
        remarks[key] = segmentation.findings_in_words(found)
        if key not in segmented:
            severity, count = segmentation.MAX_SEVERITY, 1
            remarks[key] = [f"left out of the features: {let_go.get(key, 'reason not recorded')}"]
        rows.append((key, centre[key], severity, count, float(least.get(key, float("nan"))), ""))
    table = pd.DataFrame(rows, columns=list(TABLE_COLUMNS))
    return table.sort_values(["severity", "dice"], ascending=[False, True], ignore_index=True), remarks


def read_findings(run: RunPaths, paper: str) -> dict[str, list[segmentation.MaskFinding]]:
    """What `hccbook.pipeline.segmentation.segment_cohort` found suspicious, by patient."""
    table = pd.read_csv(run.stage("segmentation") / f"{paper}_findings.csv", keep_default_na=False)
    found: dict[str, list[segmentation.MaskFinding]] = {}
    for row in table.to_dict("records"):
        found.setdefault(row["patient"], []).append(segmentation.MaskFinding(**row))
    return found


# --- page -------------------------------------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --rim: #767676; --soft: #f1f3f5; --stamp: #a84300;
  --link: #005a94; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --paper: #16181b; --rim: #8d9399; --soft: #22262a; --stamp: #ff9d5c; --link: #7cc4f5; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 66rem; padding: 0 1rem 3rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
a { color: var(--link); }
a:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -100rem; }
.skip:focus { position: static; }
.stamp { margin: 0 -1rem; padding: .4rem 1rem; position: sticky; top: 0; border-bottom: 2px solid var(--stamp);
  background: var(--paper); color: var(--stamp); font-weight: 700; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.1rem; margin: 0; }
ol.patients { list-style: none; margin: 0; padding: 0; }
ol.patients > li { margin: 1.2rem 0; padding: .8rem; border: 1px solid var(--rim); border-radius: .4rem;
  scroll-margin-top: 3rem; }
dl { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; margin: .2rem 0; }
dl div { display: flex; gap: .4rem; }
dt { color: inherit; opacity: .8; }
dd { margin: 0; font-variant-numeric: tabular-nums; font-weight: 600; }
ul { margin: .3rem 0 .6rem; padding-left: 1.2rem; }
img { display: block; max-width: 100%; height: auto; background: #000; }
"""


def cohort_page(
    title: str,
    table: pd.DataFrame,
    remarks: dict[str, list[str]],
    sizes: dict[str, tuple[int, int]],
    *,
    synthetic: bool,
) -> str:
    """The page of a cohort: one file of HTML without script or network, the sheets beside it.

    Parameters
    ----------
    title : str
        Name of the cohort's paper.
    table : pandas.DataFrame
        As `write` gives it, in the order in which patients are shown.
    remarks : dict of str to list of str
        Findings in words by patient.
    sizes : dict of str to tuple of int
        Width and height of the sheets that were drawn, pixels, so that nothing moves while they load.
    synthetic : bool
        Whether a banner says SYNTHETIC.

    Returns
    -------
    str
    """
    suspicious = int((table["findings"] > 0).sum())
    stamp = f'<p class="stamp">{html.escape(SYNTHETIC_NOTICE)}</p>' if synthetic else ""
    heading = f"Masks of the {html.escape(title)} cohort, the most suspicious first"
    items = "\n".join(
        _item(row, remarks[row.patient], sizes.get(row.patient), synthetic=synthetic) for row in table.itertuples()
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{heading}</title>
<style>{_STYLE}</style>
</head>
<body>
<a class="skip" href="#patients">Skip to the patients</a>
{stamp}
<main>
<h1>{heading}</h1>
<p>{suspicious} of {len(table)} patients have something that a person should look at.
A finding is a reason to look, not an error.
Suspicion is nought where nothing was found, and adds up how far each rule is broken: 1 is where only a wrong mask
lies, {segmentation.MAX_SEVERITY:g} the most that one rule gives.</p>
<p>In the pictures the patient's right (R) is on the left of axial and coronal cuts; sagittal cuts have the front (A) on
the left.
The liver's mask is orange, the spleen's is light blue.
Choose a picture to see it in full size.</p>
<ol class="patients" id="patients" tabindex="-1">
{items}
</ol>
</main>
</body>
</html>
"""


def _item(row: object, remarks: list[str], size: tuple[int, int] | None, *, synthetic: bool) -> str:
    key = html.escape(row.patient)
    facts = [("Centre", html.escape(str(row.centre))), ("Suspicion", f"{row.severity:.2f}")]
    if row.dice == row.dice:  # NaN where the truth is not known
        facts.append(("Least Dice", f"{row.dice:.3f}"))
    pairs = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    found = "".join(f"<li>{html.escape(remark)}</li>" for remark in remarks)
    words = f"<ul>{found}</ul>" if remarks else "<p>Nothing suspicious found.</p>"
    if size is None:
        picture = "<p>No contact sheet could be drawn.</p>"
    else:
        kind = "Synthetic CT" if synthetic else "CT"
        alt = (
            f"{kind} of {key}, a row a phase: three axial, a coronal and a sagittal cut, liver segmented in orange and "
            f"spleen in light blue; {'what was found is listed above' if remarks else 'nothing suspicious found'}."
        )
        picture = (
            f'<a href="{key}.png"><img src="{key}.png" alt="{alt}" width="{size[0]}" height="{size[1]}" '
            f'loading="lazy" decoding="async"></a>'
        )
    return f'<li id="{key}"><h2>{key}</h2><dl>{pairs}</dl>{words}{picture}</li>'
