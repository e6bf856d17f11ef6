"""The manifest: a CSV that names a patient a row, with clinical values, outcome and images."""

from __future__ import annotations

import csv
import difflib
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pydantic import BaseModel, ConfigDict, Field

from hccbook.errors import ManifestError
from hccbook.images import is_nifti, split_mask_path
from hccbook.papers import PAPERS, role_of_cohort
from hccbook.settings import ORGANS, PHASES

ETIOLOGIES = ("HBV", "HCV", "NASH", "alcohol", "autoimmune", "other")
"""Causes of cirrhosis."""


class Problem(BaseModel):
    """One thing that is wrong in a manifest or in the images it names.

    Attributes
    ----------
    line : int or None
        Line of the CSV, counted from 1 (the header); None where the whole file or column is meant.
    patient_id : str or None
        The patient, as the user named them; None where no single patient is meant.
    column : str or None
        The column; None where the whole line or file is meant.
    rule : str
        What must hold there.
    found : str
        What was found instead.
    hint : str
        What the user can do about it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    line: int | None = Field(None, description="Line of the CSV, counted from 1 (the header).")
    patient_id: str | None = Field(None, description="The patient, as the user named them.")
    column: str | None = Field(None, description="Column of the CSV.")
    rule: str = Field(description="What must hold there.")
    found: str = Field(description="What was found instead.")
    hint: str = Field(description="What the user can do about it.")

    def place(self, file: str) -> str:
        """File, line and column, as errors name them; the patient's own identifier is left out."""
        line = "" if self.line is None else f", line {self.line}"
        column = "" if self.column is None else f", column {self.column!r}"
        return f"{file}{line}{column}"


@dataclass(frozen=True)
class ManifestColumn:
    """What a column of the manifest means and may hold.

    Attributes
    ----------
    meaning : str
        What stands there.
    kind : {"text", "number", "path"}
        How it is read.
    unit : str
        Unit of a number.
    least, greatest : float
        Range of a number, both ends included.
    choices : tuple
        The only values, where there are such.
    required : bool
        Whether the column must be there.
    filled : bool
        Whether no value of it may be empty.
    unique : bool
        Whether no value of it may come twice.
    if_less, if_greater : str
        Likely reason and hint of a number below or above its range.
    median_below : tuple of float and str
        Least plausible median over patients with cirrhosis, and what a lesser one means.
    """

    meaning: str
    kind: Literal["text", "number", "path"] = "number"
    unit: str = ""
    least: float = -np.inf
    greatest: float = np.inf
    choices: tuple = ()
    required: bool = False
    filled: bool = False
    unique: bool = False
    if_less: str = "Correct the value."
    if_greater: str = "Correct the value."
    median_below: tuple[float, str] | None = None

    @property
    def rule(self) -> str:
        """The rule in words."""
        if self.choices:
            return "must be " + " or ".join([", ".join(map(str, self.choices[:-1])), str(self.choices[-1])])
        if self.kind == "number":
            unit = f" {self.unit}" if self.unit else ""
            return f"must be {self.least:g} to {self.greatest:g}{unit}"
        return "must not be empty"


_MG_DL = "Values in mg/dL? Multiply bilirubin by 17.1 to get umol/L."
_BLOOD = {"required": True, "filled": True}


def _columns() -> dict[str, ManifestColumn]:
    column = ManifestColumn
    columns = {
        "patient_id": column("The patient's name in the user's own records.", "text", unique=True, **_BLOOD),
        "centre": column("Hospital.", "text", **_BLOOD),
        "cohort": column(
            "Cohort of the paper; empty for the paper's own split.",
            "text",
            choices=tuple(role_of_cohort()),
        ),
        "age": column(
            "Age at the CT.",
            unit="years",
            least=18,
            greatest=120,
            if_less="Both papers are about adults (ALARM, exclusion criterion i): leave the patient out.",
            if_greater="Months, days or a year of birth? Give the age at the CT in years.",
            **_BLOOD,
        ),
        "sex": column("Sex.", "text", choices=("male", "female"), **_BLOOD),
        "bilirubin": column(
            "Total bilirubin.",
            unit="umol/L",
            least=2,
            greatest=1000,
            if_less=_MG_DL,
            if_greater="Give total bilirubin in umol/L.",
            median_below=(3.0, _MG_DL),
            **_BLOOD,
        ),
        "albumin": column(
            "Serum albumin.",
            unit="g/L",
            least=10,
            greatest=70,
            if_less="Values in g/dL? Multiply albumin by 10 to get g/L.",
            if_greater="Values in mg/dL or umol/L? Divide albumin by 100 (mg/dL) or by 15.0 (umol/L) to get g/L.",
            **_BLOOD,
        ),
        "platelets": column(
            "Platelet count.",
            unit="10^9/L",
            least=2,
            greatest=1500,
            if_less="Give platelets in 10^9/L (= 10^3/mm^3).",
            if_greater="Values per uL (mm^3)? Divide platelets by 1000 to get 10^9/L.",
            median_below=(30.0, "Values in 10^4/uL? Multiply platelets by 10 to get 10^9/L."),
            **_BLOOD,
        ),
        "afp": column(
            "Alpha-fetoprotein.",
            unit="ug/L (= ng/mL)",
            least=0,
            greatest=1e6,
            required=True,
            if_greater="Give AFP in ug/L.",
        ),
        "alt": column("Alanine aminotransferase.", unit="U/L", least=1, greatest=10000, required=True),
        "etiology": column("Cause of cirrhosis.", "text", choices=ETIOLOGIES, required=True),
        "hcc": column("Whether HCC was diagnosed during follow-up: 1 yes, 0 no.", choices=(0, 1), **_BLOOD),
        "months": column(
            "Time from the CT to the diagnosis of HCC, or else to the last visit.",
            unit="months",
            least=0.01,
            greatest=600,
            if_less="Give the time after the CT; leave out patients with no follow-up or HCC at the CT.",
            if_greater="Days? Divide by 30.4 to get months.",
            **_BLOOD,
        ),
    }
    for phase in PHASES:
        columns[phase] = column(f"CT of the {phase} phase: DICOM folder or NIfTI file.", "path", **_BLOOD)
    for organ in ORGANS:
        for phase in PHASES:
            columns[f"{organ}_mask_{phase}"] = column(
                f"Mask of the {organ} on the {phase} phase: NIfTI file, DICOM SEG or RTSTRUCT, or a folder of these; "
                "'#' and a label or name behind the path choose one of several.",
                "path",
            )
    columns |= {
        "ast": column("Aspartate aminotransferase.", unit="U/L", least=1, greatest=10000),
        "creatinine": column(
            "Creatinine.",
            unit="umol/L",
            least=10,
            greatest=2500,
            if_less="Values in mg/dL? Multiply creatinine by 88.4 to get umol/L.",
        ),
        "bun": column("Blood urea nitrogen.", unit="mmol/L", least=0.3, greatest=100),
        "glucose": column(
            "Fasting glucose.",
            unit="mmol/L",
            least=1,
            greatest=60,
            if_greater="Values in mg/dL? Divide glucose by 18.0 to get mmol/L.",
        ),
        "stiffness_kpa": column("Liver stiffness by transient elastography.", unit="kPa", least=1, greatest=80),
        "hbv_dna_iu_ml": column("HBV DNA, not its logarithm.", unit="IU/mL", least=0, greatest=1e12),
        "hbv_dna_copies_ml": column("HBV DNA, not its logarithm.", unit="copies/mL", least=0, greatest=1e13),
        "hcv_svr": column("Whether hepatitis C was cured before the CT: 1 yes, 0 no.", choices=(0, 1)),
        "bclc": column("BCLC stage at diagnosis of HCC.", "text", choices=("0", "A", "B", "C", "D")),
    }
    return columns


COLUMNS: Mapping[str, ManifestColumn] = MappingProxyType(_columns())
"""Every known column of a manifest, required ones first."""

_OTHER_NAMES = {
    "id": "patient_id",
    "patient": "patient_id",
    "hospital": "centre",
    "site": "centre",
    "gender": "sex",
    "male": "sex",
    "tbil": "bilirubin",
    "alb": "albumin",
    "plt": "platelets",
    "aetiology": "etiology",
    "follow_up": "months",
    "portal": "venous",
    "late": "delayed",
    "lsm": "stiffness_kpa",
    "stage": "bclc",
    "liver_mask": "liver_mask_venous",
    "spleen_mask": "spleen_mask_venous",
}
_COHORT_MINIMUM = 3  # patients from which a median says something about the unit


def _schema_column(name: str, column: ManifestColumn) -> pa.Column:
    checks = []
    if column.choices:
        checks.append(pa.Check.isin(column.choices, error=column.rule))
    elif column.kind == "number":
        checks.append(pa.Check.in_range(column.least, column.greatest, error=column.rule))
    return pa.Column(
        float if column.kind == "number" else str,
        checks,
        nullable=not column.filled,
        unique=column.unique,
        report_duplicates="exclude_first",
        required=column.required,
        name=name,
        title=column.unit or None,
        description=column.meaning,
    )


MANIFEST_SCHEMA = pa.DataFrameSchema(
    {name: _schema_column(name, column) for name, column in COLUMNS.items()},
    strict=True,
    name="manifest",
    description="A row a patient; numbers as float, everything else as text.",
)
"""Columns, types, ranges and allowed values of a manifest, as it stands after parsing."""


def read_manifest(path: str | Path, phases: Sequence[str] = PHASES) -> pd.DataFrame:
    """Read and check a manifest; the images themselves are not opened.

    Parameters
    ----------
    path : path-like
        CSV in UTF-8, comma-separated, a row a patient, with the columns `COLUMNS`.
        Paths in it are relative to its own folder.
    phases : sequence of str
        Contrast phases that every patient must have; columns of other phases are dropped.

    Returns
    -------
    pandas.DataFrame
        Index ``patient``: keys P0001, P0002, ... by row.
        Columns of `COLUMNS` (optional numbers only where the file has them), paths made absolute, text that is not
        given as ``""``, numbers that are not given as NaN, and ``line``, the line in the CSV.

    Raises
    ------
    ManifestError
        For the first problem; it names line, column, value, rule and hint, and how many more there are.
    """
    path = Path(path)
    table, problems = manifest_problems(path, tuple(phases))
    if problems:
        first, more = problems[0], len(problems) - 1
        tail = f" ({more} more; run hccbook check.)" if more else ""
        raise ManifestError(first.place(path.name), first.rule, first.found, first.hint + tail)
    return table


def manifest_problems(path: Path, phases: tuple[str, ...]) -> tuple[pd.DataFrame, list[Problem]]:
    """Table of a manifest and everything that is wrong with it, without opening its images.

    Returns
    -------
    pandas.DataFrame
        As `read_manifest` returns it, less what could not be read.
    list of Problem
        By line; those of the whole file first.
    """
    try:
        raw, problems = _parse(path)
    except ManifestError as error:
        problem = Problem(rule=error.rule, found=str(error.found), hint=error.hint)
        return pd.DataFrame(), [problem]
    typed, wrong = _typed(raw)
    problems += wrong
    problems += _schema_problems(typed, raw, phases, {(problem.line, problem.column) for problem in wrong})
    problems += _unlikely_medians(typed, problems)
    problems += _cross_checks(typed, raw)
    table = _with_paths(typed, raw, path.parent.resolve(), phases)
    problems += _missing_files(table, raw, phases)
    places = list(COLUMNS)
    problems.sort(
        key=lambda problem: (problem.line or 0, places.index(problem.column) if problem.column in places else -1)
    )
    return table, problems


def sources(manifest: pd.DataFrame) -> pd.DataFrame:
    """Every image and mask that a manifest names.

    Parameters
    ----------
    manifest : pandas.DataFrame
        As `read_manifest` returns it.

    Returns
    -------
    pandas.DataFrame
        ``patient`` (key), ``phase``, ``organ`` (empty for the image itself), ``column`` and ``path``;
        by patient and phase, the image before its masks.
    """
    rows = []
    for key, patient in manifest.iterrows():
        for phase in PHASES:
            for organ in ("", *ORGANS):
                column = f"{organ}_mask_{phase}" if organ else phase
                if patient.get(column, ""):
                    rows.append((key, phase, organ, column, patient[column]))
    return pd.DataFrame(rows, columns=["patient", "phase", "organ", "column", "path"])


def _parse(path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Cells as text, with ``line``, and the problems of header and rows; a file that is no CSV is an error."""
    text = _csv_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, lines, last = [], [], 0
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row])
                lines.append(last + 1)
            last = reader.line_num
    except csv.Error as error:
        raise ManifestError(
            f"{path.name}, line {reader.line_num}", "must be valid CSV", str(error), "Check the quotes on that line."
        ) from error
    if not rows:
        raise ManifestError(path.name, "must hold a header and a row a patient", "an empty file", "Fill it in.")
    # Both spellings are common in the field; the package has one.
    header = ["centre" if name == "center" and "centre" not in rows[0] else name for name in rows[0]]
    body = rows[1:]
    for delimiter, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and delimiter in header[0]:
            raise ManifestError(
                path.name,
                "columns must be separated by commas",
                name,
                "Save as 'CSV UTF-8 (comma delimited)', with points as decimal marks.",
            )
    if not body:
        raise ManifestError(path.name, "must hold at least one patient", "a header and no rows", "Add a row a patient.")
    problems = []
    for name in sorted({name for name in header if header.count(name) > 1}):
        problems.append(
            Problem(
                column=name or None,
                rule="every column must have a name of its own",
                found=f"{header.count(name)} columns " + (f"named {name!r}" if name else "without a name"),
                hint="Rename or remove all but one.",
            )
        )
    cells = []
    for line, row in zip(lines[1:], body, strict=True):
        if len(row) != len(header):
            problems.append(
                Problem(
                    line=line,
                    rule=f"must have {len(header)} values, one a column",
                    found=f"{len(row)} values",
                    hint="Put text that holds a comma in double quotes; add or remove commas.",
                )
            )
        cells.append((row + [""] * len(header))[: len(header)])
    raw = pd.DataFrame(cells, columns=header, dtype=object)
    raw = raw.loc[:, ~raw.columns.duplicated()]
    return raw.drop(columns=[name for name in raw if not name]).assign(line=lines[1:]), problems


def _csv_text(path: Path) -> str:
    if not path.is_file():
        raise ManifestError(path.name, "manifest must exist", "no such file", "Correct its path.")
    content = path.read_bytes()
    if content[:2] == b"PK":
        raise ManifestError(
            path.name, "manifest must be a CSV file", "a spreadsheet", "Save it as 'CSV UTF-8 (comma delimited)'."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ManifestError(
            path.name,
            "manifest must be encoded in UTF-8",
            f"byte 0x{content[error.start]:02x} on line {line}",
            "Save it as 'CSV UTF-8 (comma delimited)'.",
        ) from error


def _typed(raw: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Numbers as float, empty text as None, upper and lower case of choices as the schema has them."""
    typed, problems = {}, []
    for name in raw.columns.drop("line"):
        column = COLUMNS.get(name)
        cells = raw[name]
        if column is None or column.kind != "number":
            spelling = {str(choice).lower(): choice for choice in column.choices} if column else {}
            typed[name] = cells.map(lambda cell, known=spelling: known.get(cell.lower(), cell) or None).astype(object)
            continue
        numbers = pd.to_numeric(cells.where(cells != "", None), errors="coerce").astype(float)
        numbers = numbers.where(np.isfinite(numbers))
        for row in np.flatnonzero(numbers.isna() & (cells != "")):
            problems.append(_at(raw, row, name, column.rule, repr(cells[row]), _number_hint(cells[row], column)))
        typed[name] = numbers
    return pd.DataFrame(typed, index=raw.index), problems


def _number_hint(cell: str, column: ManifestColumn) -> str:
    if column.choices == (0, 1):
        return "Write 1 for yes and 0 for no."
    if cell[:1] in "<>":
        return "Write the limit of detection itself, without the sign."
    if cell.lower() in {"na", "n/a", "nan", "none", "null", "-", "."}:
        return "Leave an unknown value empty." if not column.filled else "Find the value, or leave the patient out."
    if "," in cell:
        return "Write a point as decimal mark, and no thousands separator."
    return "Write a number without its unit."


def _at(raw: pd.DataFrame, row: int, column: str, rule: str, found: str, hint: str) -> Problem:
    patient = raw["patient_id"].iloc[row] if "patient_id" in raw else None
    return Problem(
        line=int(raw["line"].iloc[row]), patient_id=patient or None, column=column, rule=rule, found=found, hint=hint
    )


def _schema_for(phases: tuple[str, ...]) -> pa.DataFrameSchema:
    unused = {phase: {"required": False, "nullable": True} for phase in PHASES if phase not in phases}
    return MANIFEST_SCHEMA.update_columns(unused) if unused else MANIFEST_SCHEMA


def _schema_problems(
    typed: pd.DataFrame, raw: pd.DataFrame, phases: tuple[str, ...], known: set[tuple[int | None, str | None]]
) -> list[Problem]:
    schema = _schema_for(phases)
    try:
        schema.validate(typed, lazy=True)
        return []
    except pa.errors.SchemaErrors as error:
        with warnings.catch_warnings():
            # pandera joins the cases of different columns in a way that pandas means to change.
            warnings.simplefilter("ignore", FutureWarning)
            cases = error.failure_cases
    problems = []
    for case in cases[cases["check"] == "column_in_schema"]["failure_case"]:
        problems.append(_unknown_column(str(case)))
    for case in cases[cases["check"] == "column_in_dataframe"]["failure_case"]:
        problems.append(_missing_column(str(case), phases))
    in_rows = cases[cases["index"].notna()]
    for name, of_column in in_rows.groupby("column", sort=False):
        column = COLUMNS[name]
        rows = of_column["index"].astype(int)
        kept = [(row, check) for row, check in zip(rows, of_column["check"], strict=True)]
        kept = [(row, check) for row, check in kept if (int(raw["line"].iloc[row]), name) not in known]
        problems += _column_problems(str(name), column, kept, typed, raw)
    return problems


def _unknown_column(name: str) -> Problem:
    plain = name.strip().lower().replace(" ", "_").replace("-", "_")
    near = [_OTHER_NAMES[plain]] if plain in _OTHER_NAMES else difflib.get_close_matches(plain, list(COLUMNS), n=1)
    optional = ", ".join(column for column in COLUMNS if not COLUMNS[column].required)
    hint = f"Did you mean {near[0]!r}?" if near else f"Remove it. Optional columns: {optional}."
    return Problem(column=name, rule="must be a known column", found=repr(name), hint=hint)


def _missing_column(name: str, phases: tuple[str, ...]) -> Problem:
    hint = f"Add the column: {COLUMNS[name].meaning}"
    if name in phases:
        others = ",".join(phase for phase in phases if phase != name)
        hint += f" Without that phase, set phases to {others}." if others else ""
    elif not COLUMNS[name].filled:
        hint += " Its values may be empty."
    return Problem(column=name, rule="column must be there", found="no such column", hint=hint)


def _column_problems(
    name: str, column: ManifestColumn, cases: list[tuple[int, str]], typed: pd.DataFrame, raw: pd.DataFrame
) -> list[Problem]:
    problems = []
    values = typed[name]
    low = [row for row, check in cases if check == column.rule and column.kind == "number" and not column.choices]
    for side, hint, rows in (
        ("below", column.if_less, [row for row in low if values[row] < column.least]),
        ("above", column.if_greater, [row for row in low if values[row] > column.greatest]),
    ):
        # One wrong unit is one problem, not one a patient.
        if len(rows) >= _COHORT_MINIMUM and len(rows) > len(values) / 2:
            bound = column.least if side == "below" else column.greatest
            found = f"{len(rows)} of {len(values)} values {side} {bound:g}, median {values.median():g}"
            problems.append(Problem(column=name, rule=column.rule, found=found, hint=hint))
        else:
            problems += [_at(raw, row, name, column.rule, f"{values[row]:g}", hint) for row in rows]
    for row, check in cases:
        cell = raw[name].iloc[row]
        if check == "not_nullable":
            problems.append(_at(raw, row, name, "must not be empty", "nothing", _empty_cure(name, column)))
        elif check == "field_uniqueness":
            first = int(raw["line"].iloc[int(np.flatnonzero(raw[name] == cell)[0])])
            hint = "Give every patient one row; where a patient has several CTs, choose one."
            problems.append(_at(raw, row, name, "must be different in every row", f"that of line {first}", hint))
        elif column.choices:
            problems.append(_at(raw, row, name, column.rule, repr(cell), _choice_cure(cell, column)))
    return problems


def _empty_cure(name: str, column: ManifestColumn) -> str:
    if name in PHASES:
        return "Name the CT of that phase, leave the patient out, or set phases to those that every patient has."
    return f"{column.meaning} Find the value, or leave the patient out as both papers do."


def _choice_cure(cell: str, column: ManifestColumn) -> str:
    if column.choices == ("male", "female"):
        likely = {"m": "male", "f": "female", "man": "male", "woman": "female"}.get(cell.lower())
        return f"Did you mean {likely!r}?" if likely else "Write male or female; codes such as 1 and 2 are ambiguous."
    if column.choices == (0, 1):
        return "Write 1 for yes and 0 for no."
    near = difflib.get_close_matches(cell.lower(), [str(choice).lower() for choice in column.choices], n=1)
    if near:
        return f"Did you mean {next(c for c in column.choices if str(c).lower() == near[0])!r}?"
    return "Write one of these" + (", or leave it empty." if not column.filled else ".")


def _unlikely_medians(typed: pd.DataFrame, problems: list[Problem]) -> list[Problem]:
    """A whole cohort in another unit can pass its range value by value, but not with such a median."""
    found = []
    for name, column in COLUMNS.items():
        if column.median_below is None or name not in typed or typed[name].notna().sum() < _COHORT_MINIMUM:
            continue
        bound, hint = column.median_below
        median = float(typed[name].median())
        if median < bound and not any(problem.column == name and problem.line is None for problem in problems):
            rule = f"must be in {column.unit}, median {bound:g} or more"
            found.append(Problem(column=name, rule=rule, found=f"a median of {median:g}", hint=hint))
    return found


def _cross_checks(typed: pd.DataFrame, raw: pd.DataFrame) -> list[Problem]:
    problems = []
    if {"bclc", "hcc"} <= set(typed):
        for row in np.flatnonzero(typed["bclc"].notna() & (typed["hcc"] == 0)):
            hint = "Leave the stage empty, or correct hcc."
            problems.append(_at(raw, row, "bclc", "must be empty where hcc is 0", repr(typed["bclc"][row]), hint))
    if "cohort" in typed:
        given = set(typed["cohort"].dropna())
        mixed = [paper.name for paper in PAPERS.values() if given & set(paper.cohorts)]
        if len(mixed) > 1:
            problems.append(
                Problem(
                    column="cohort",
                    rule="must hold the cohorts of one paper",
                    found=", ".join(sorted(given)),
                    hint="Write one manifest a paper.",
                )
            )
    return problems


def _with_paths(typed: pd.DataFrame, raw: pd.DataFrame, folder: Path, phases: tuple[str, ...]) -> pd.DataFrame:
    table = typed.copy()
    paths = [*phases, *(f"{organ}_mask_{phase}" for organ in ORGANS for phase in phases)]
    dropped = [name for name in table if name not in COLUMNS or (COLUMNS[name].kind == "path" and name not in paths)]
    table = table.drop(columns=dropped)
    for name, column in COLUMNS.items():
        if column.kind == "path" and name in paths:
            given = table[name] if name in table else pd.Series(None, index=table.index, dtype=object)
            table[name] = [str(folder / cell) if cell else "" for cell in given.fillna("")]
        elif name == "cohort" or (column.kind == "text" and name in table):
            table[name] = table[name].fillna("") if name in table else ""
    for name in ("hcc", "hcv_svr"):
        if name in table and table[name].notna().all():
            table[name] = table[name].astype(np.int64)
    table = table[[name for name in COLUMNS if name in table]]
    table["line"] = raw["line"].astype(np.int64)
    table.index = pd.Index([f"P{number:04d}" for number in range(1, len(table) + 1)], name="patient")
    return table


@dataclass(frozen=True)
class _Named:
    """Where a file is named, and what of it: organ or what stands behind ``#``; None for all of it."""

    line: int
    column: str
    part: str | None

    def may_share(self, other: _Named) -> bool:
        """Whether both may name one file: masks of one patient that are different parts of it."""
        return self.line == other.line and None not in (self.part, other.part) and self.part != other.part


def _missing_files(table: pd.DataFrame, raw: pd.DataFrame, phases: tuple[str, ...]) -> list[Problem]:
    problems = []
    rows = {key: row for row, key in enumerate(table.index)}
    seen: dict[Path, list[_Named]] = {}
    for patient, phase, organ, column, path in sources(table).itertuples(index=False):
        row = rows[patient]
        file, part = split_mask_path(path) if organ else (Path(path), "")
        if not file.exists():
            rule = "mask must exist" if organ else f"image of the {phase} phase must exist"
            hint = "Correct the path; it is relative to the manifest."
            problems.append(_at(raw, row, column, rule, f"no file {raw[column].iloc[row]!r}", hint))
            continue
        named = _Named(int(raw["line"].iloc[row]), column, _part(file, part, organ))
        others = seen.setdefault(file.resolve(), [])
        twice = next((other for other in others if not named.may_share(other)), None)
        if twice is None:
            others.append(named)
            continue
        found = f"that of line {twice.line}, column {twice.column!r}"
        hint = "Correct it."
        if organ and twice.line == named.line and twice.column not in phases:
            hint = (
                "Correct it; where a file holds several organs, write which is meant behind '#', as in FILE.nii.gz#5."
            )
        problems.append(_at(raw, row, column, "every image and mask must be a file of its own", found, hint))
    return problems


def _part(file: Path, part: str, organ: str) -> str | None:
    if not organ or (is_nifti(file) and not part):
        return None
    if is_nifti(file):
        return part.lstrip("0")
    return (part or organ).casefold()
