"""The two tables of a collection: the manifest's cells, and every decision with its reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from hccbook.cohort.manifest import COLUMNS, csv_rows
from hccbook.collection.clinical import ClinicalTable
from hccbook.collection.masks import nearest_volumes
from hccbook.collection.placing import relative_to
from hccbook.collection.tree import PICTURE, Source
from hccbook.collection.volumes import Volume
from hccbook.settings import ORGANS, PHASES

if TYPE_CHECKING:
    from hccbook.collection.manifest import Collection

DECISION_COLUMNS = (
    *("line", "patient_id", "what", "study", "series", "place", "slices", "step_mm", "phase", "confidence"),
    *("decision", "reason"),
)
"""Columns of the table of decisions: line of the manifest and patient; what is meant (volume, mask, cell, file, row or
column of the clinical table); study and series by number; place; slices and their distance (mm); the likeliest phase
and its probability; what was decided, and why."""


_KEPT = "as the manifest had it before"


class EmptyCell(NamedTuple):
    """A cell of the manifest that is left empty, or keeps what the user wrote into it after an earlier call."""

    patient: str
    column: str
    reason: str
    kept: bool = False


def manifest_cells(
    collection: Collection, phases: Sequence[str], clinical: ClinicalTable | None, folder: Path
) -> tuple[pd.DataFrame, list[EmptyCell]]:
    """Cells of the manifest, one row per patient, all of them text, and those that are left empty.

    Parameters
    ----------
    collection : Collection
    phases : sequence of str
    clinical : ClinicalTable or None
    folder : pathlib.Path
        Folder of the manifest, to which its paths are relative.
    """
    rows, empty = [], []
    for patient, selection in collection.selections.items():
        row = {"patient_id": patient}
        row |= {phase: relative_to(collection.paths[number], folder) for phase, number in selection.volumes.items()}
        for column, tie in selection.masks.items():
            part = selection.parts[column]
            row[column] = relative_to(tie.mask.path, folder) + (f"#{part}" if part else "")
        empty += [EmptyCell(patient, column, reason) for column, reason in selection.empty.items()]
        values, unfilled = _clinical_values(collection, patient, clinical)
        empty += [EmptyCell(patient, column, reason) for column, reason in unfilled.items()]
        rows.append(row | values)
    masks = {f"{organ}_mask_{phase}" for organ in ORGANS for phase in phases}
    given = {column for row in rows for column in row}
    wanted = [
        name
        for name, column in COLUMNS.items()
        if (name in phases or name not in PHASES) and (column.required or name in given & masks or name in given)
    ]
    return pd.DataFrame(rows, columns=wanted).fillna("").astype(str), empty


def _clinical_values(
    collection: Collection, patient: str, clinical: ClinicalTable | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Values of a patient besides the images, and the reasons for those that are left empty."""
    selection = collection.selections[patient]
    used = list(selection.volumes.values()) or collection.usable(patient)
    headers = [header for number in used if (header := collection.volumes[number].header) is not None]
    told = {
        "sex": sorted({header.sex for header in headers if header.sex}),
        "age": sorted({str(header.age) for header in headers if header.age}),
    }
    values = {name: found[0] for name, found in told.items() if len(found) == 1}
    empty = {name: f"the headers say {' and '.join(found)}" for name, found in told.items() if len(found) > 1}
    if clinical is None:
        return values, empty
    if patient not in clinical.rows:
        near = clinical.looks_like(patient)
        hint = f"; {near!r} there looks alike" if near else ""
        return values, {clinical.key: f"no row of {clinical.name} has this patient{hint}"}
    row = clinical.rows[patient]
    in_table, in_header = row.get("sex", ""), values.get("sex", "")
    spelt = {"m": "male", "f": "female"}.get(in_table.lower(), in_table.lower())
    values |= {name: value for name, value in row.items() if value}
    if in_header and spelt in ("male", "female") and spelt != in_header:
        values["sex"] = ""
        empty["sex"] = f"{clinical.name} says {spelt}, the headers say {in_header}: one patient, or two?"
    return values, empty


def keep_filled(cells: pd.DataFrame, empty: Sequence[EmptyCell], file: Path) -> list[EmptyCell]:
    """Fill cells that would be left empty with what a manifest of an earlier call has there, as users do by hand.

    Parameters
    ----------
    cells : pandas.DataFrame
        Changed in place.
    empty : sequence of EmptyCell
    file : pathlib.Path
        The earlier manifest; there need not be one.

    Returns
    -------
    list of EmptyCell
        With those that are kept.

    Raises
    ------
    ManifestError
        If the file is no CSV, and so none that may be written over.
    """
    if not file.is_file():
        return list(empty)
    (_, header), *body = csv_rows(file)
    rows = [dict(zip(header, values, strict=False)) for _, values in body]
    earlier = {row.get("patient_id", ""): row for row in rows}
    reasons = {(cell.patient, cell.column): cell.reason for cell in empty}
    for number, row in enumerate(cells.to_dict("records")):
        before = earlier.get(row["patient_id"], {})
        for name in [name for name, value in row.items() if not value and before.get(str(name))]:
            cells.loc[number, name] = before[str(name)]
            reason = reasons.pop((row["patient_id"], str(name)), "nothing here says it")
            reasons[row["patient_id"], str(name)] = f"{_KEPT}; otherwise {reason}"
    return [EmptyCell(*place, reason, reason.startswith(_KEPT)) for place, reason in reasons.items()]


def decision_table(
    collection: Collection, cells: pd.DataFrame, empty: Sequence[EmptyCell], clinical: ClinicalTable | None
) -> pd.DataFrame:
    """Every decision, a row each: cells left empty, volumes, masks, files and clinical rows.

    Returns
    -------
    pandas.DataFrame
        With `DECISION_COLUMNS`; cells left empty first, then by patient.
    """
    lines = {patient: number for number, patient in enumerate(cells["patient_id"], start=2)}
    rows: list[dict[str, Any]] = []
    for cell in empty:
        decision = "kept" if cell.kept else "left empty"
        rows.append(_row(lines, cell.patient, "cell", cell.column, decision, cell.reason))
    rows += _empty_columns(cells)
    rows += [_volume_row(collection, lines, number) for number in collection.volumes]
    used = {id(tie): column for selection in collection.selections.values() for column, tie in selection.masks.items()}
    for tie in collection.ties:
        place = tie.mask.source.shown(collection.tree.root)
        decision = f"used as {used[id(tie)]}" if id(tie) in used else "not used"
        decision = "left open" if tie.volume is None else decision
        organs = ", ".join(tie.mask.parts) or "no organ that is known"
        rows.append(_row(lines, tie.mask.patient, "mask", place, decision, f"{organs}; {tie.reason}"))
    rows += _leftovers(collection, lines)
    rows += _clinical_rows(lines, clinical)
    return pd.DataFrame(rows, columns=list(DECISION_COLUMNS)).fillna("")


def _row(lines: dict[str, int], patient: str, what: str, place: str, decision: str, reason: str) -> dict[str, Any]:
    return {
        "line": str(lines.get(patient, "")),
        "patient_id": patient,
        "what": what,
        "place": place,
        "decision": decision,
        "reason": reason,
    }


def _volume_row(collection: Collection, lines: dict[str, int], number: int) -> dict[str, Any]:
    volume, root = collection.volumes[number], collection.tree.root
    selection = collection.selections.get(volume.patient)
    path = collection.paths.get(number)
    # A linked folder is what a user writes into the manifest to choose this volume by hand.
    place = _shown_folder(volume, root) if path is None else relative_to(path, collection.folder.parent)
    if volume.left_out:
        row = _row(lines, volume.patient, "volume", place, "left out", volume.left_out)
    else:
        use = selection.uses.get(number, "not used") if selection else "not used"
        remarks = "; ".join(
            [collection.proposals[number].evidence, *volume.remarks, *collection.measured[number].problems]
        )
        row = _row(lines, volume.patient, "volume", place, use, remarks)
        proposal = collection.proposals[number]
        row |= {"phase": proposal.likeliest, "confidence": f"{proposal.confidence:.3f}"}
    header = volume.header
    described = "" if header is None or header.number is None else str(header.number)
    named = " ".join(filter(None, [described, volume.description]))
    slices = len(volume.along) or len(volume.files)
    step = f"{volume.step_mm:.3g}" if len(volume.along) > 1 else ""
    return row | {"study": str(_study_number(collection, volume)), "series": named, "slices": slices, "step_mm": step}


def _shown_folder(volume: Volume, root: Path) -> str:
    folders = sorted({source.shown(root).rpartition("/")[0] or "." for source in volume.files})
    return folders[0] + (f" and {len(folders) - 1} more" if len(folders) > 1 else "")


def _study_number(collection: Collection, volume: Volume) -> int:
    """Number of a volume's study among its patient's, by date."""
    studies = {(other.day, other.study) for other in collection.volumes.values() if other.patient == volume.patient}
    return sorted(studies).index((volume.day, volume.study)) + 1


def _empty_columns(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Columns that the manifest must have filled and of which nothing is known of any patient."""
    names = [name for name, column in COLUMNS.items() if column.filled and column.kind != "path" and name in cells]
    bare = [name for name in names if len(cells) and (cells[name] == "").all()]
    reason = "nothing in the files says it: fill it in, or join a table with --clinical and --on"
    return [_row({}, "", "column", name, "left empty", reason) for name in bare]


def _leftovers(collection: Collection, lines: dict[str, int]) -> list[dict[str, Any]]:
    """Files that are neither DICOM nor NIfTI, one row per folder and reason."""
    tree = collection.tree
    groups: dict[tuple[str, str], list[Source]] = defaultdict(list)
    for left in tree.leftovers:
        groups[left.source.shown(tree.root).rpartition("/")[0] or ".", left.reason].append(left.source)
    rows = []
    for (folder, reason), sources in sorted(groups.items(), key=lambda group: group[0]):
        patient, decision = "", "left out"
        said = f"{len(sources)} files: {reason}" if len(sources) > 1 else reason
        beside = nearest_volumes(sources[0], collection.volumes) if reason == PICTURE else []
        if any(len(collection.volumes[number].along) == len(sources) for number in beside):
            # Most likely masks; which picture is of which slice, nothing says.
            patient, decision = collection.volumes[beside[0]].patient, "left open"
            said += "; as many as slices of the volume beside them"
        rows.append(_row(lines, patient, "file", folder, decision, said))
    if tree.absent:
        reason = f"{tree.absent} files that DICOMDIR names are not there: copy the medium again"
        rows.append(_row({}, "", "file", "DICOMDIR", "left open", reason))
    return rows


def _clinical_rows(lines: dict[str, int], clinical: ClinicalTable | None) -> list[dict[str, Any]]:
    if clinical is None:
        return []
    rows = [
        _row({}, patient, "clinical row", clinical.name, "not used", "no images of this patient in the tree")
        for patient in clinical.rows
        if patient not in lines
    ]
    if clinical.ignored:
        reason = f"the manifest has no such columns: {', '.join(clinical.ignored)}"
        rows.append(_row({}, "", "clinical column", clinical.name, "not used", reason))
    return rows
