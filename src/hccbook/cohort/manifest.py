"""The manifest: a CSV that names a patient a row, with clinical values, outcome and images."""

from __future__ import annotations

import csv
import difflib
import io
import itertools
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa
import yaml
from pydantic import BaseModel, ConfigDict

from hccbook.errors import ManifestError, SettingsError
from hccbook.images import is_nifti, organ_in, split_mask_path
from hccbook.papers import PAPERS, role_of_cohort
from hccbook.provenance import is_there
from hccbook.scores import QUANTITIES
from hccbook.settings import ORGANS, PHASES


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
    rule, found, hint : str
        As of `hccbook.errors.HccbookError`.
    remark : bool
        Whether it only asks to look: the run does without an answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    line: int | None = None
    patient_id: str | None = None
    column: str | None = None
    rule: str
    found: str
    hint: str
    remark: bool = False

    @property
    def consequence(self) -> str:
        """What a run does about it."""
        if self.remark:
            return "look at it"
        return "the run does not start" if self.line is None else "the patient is left out"

    def place(self, file: str) -> str:
        """File, line and column, as errors name them; the patient's own identifier is left out."""
        line = "" if self.line is None else f", line {self.line}"
        column = "" if self.column is None else f", column {self.column!r}"
        return f"{file}{line}{column}"

    def anonymous(self) -> str:
        """The problem in a sentence that names no person, nor what the user calls a file."""
        found = f", but found {self.found}" if _NAMES_NOBODY.fullmatch(self.found) else ""
        return f"{self.place('manifest')}: {self.rule}{found}. {self.hint}"


class ManifestColumn(BaseModel):
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
    choices : tuple of int or str
        The only values, where there are such.
    required : bool
        Whether the column must be there.
    filled : bool
        Whether no value of it may be empty.
    unique : bool
        Whether no value of it may come twice.
    if_less, if_greater : str
        Likely reason and hint of a number below or above its range.
    zero, min_median
        As of `hccbook.scores.Quantity`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    meaning: str
    kind: Literal["text", "number", "path"] = "number"
    unit: str = ""
    least: float = -np.inf
    greatest: float = np.inf
    choices: tuple[int | str, ...] = ()
    required: bool = False
    filled: bool = False
    unique: bool = False
    if_less: str = "Correct the value."
    if_greater: str = "Correct the value."
    zero: bool = False
    min_median: float | None = None

    @property
    def rule(self) -> str:
        """The rule in words."""
        if self.choices:
            return "must be " + " or ".join([", ".join(map(str, self.choices[:-1])), str(self.choices[-1])])
        if self.kind == "number":
            unit = f" {self.unit}" if self.unit else ""
            zero = "0 (undetectable) or " if self.zero else ""
            return f"must be {zero}{self.least:g} to {self.greatest:g}{unit}"
        return "must not be empty"

    def falls_short(self, values: pd.Series) -> pd.Series:
        """Which numbers lie below the range."""
        return (values < self.least) & ~(self.zero & (values == 0))

    @property
    def yes_or_no(self) -> bool:
        """Whether it holds 1 for yes and 0 for no."""
        return self.choices == (0, 1)


def _columns() -> dict[str, ManifestColumn]:
    declared = yaml.safe_load(Path(__file__).with_name("columns.yaml").read_text(encoding="utf-8"))
    declared["cohort"]["choices"] = list(role_of_cohort())
    columns = {}
    for pattern, entry in declared.items():
        organs = ORGANS if "<organ>" in pattern else ("",)
        phases = PHASES if "<phase>" in pattern else ("",)
        for organ, phase in itertools.product(organs, phases):
            texts = (pattern, entry["meaning"])
            name, meaning = (text.replace("<organ>", organ).replace("<phase>", phase) for text in texts)
            shared = QUANTITIES[name]._asdict() if name in QUANTITIES else {}
            columns[name] = ManifestColumn(**shared | entry | {"meaning": meaning})
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
_NAMES_NOBODY = re.compile(r"nothing|[\d.e+-]+|\d+ values|that of line \d+(, column '\w+')?")
_YES_OR_NO_HINT = "Write 1 for yes and 0 for no."
_COHORT_MINIMUM = 3  # patients from which a median says something about the unit


def _schema_column(column: ManifestColumn) -> pa.Column:
    check = None
    if column.choices:
        check = pa.Check.isin(column.choices, error=column.rule)
    elif column.kind == "number":
        check = pa.Check(lambda values: ~(column.falls_short(values) | (values > column.greatest)), error=column.rule)
    return pa.Column(
        float if column.kind == "number" else str,
        check,
        nullable=not column.filled,
        unique=column.unique,
        report_duplicates="exclude_first",
        required=column.required,
        title=column.unit or None,
        description=column.meaning,
    )


MANIFEST_SCHEMA = pa.DataFrameSchema(
    {name: _schema_column(column) for name, column in COLUMNS.items()},
    strict=True,
    name="manifest",
    description="One row per patient; numbers as float, everything else as text.",
)
"""Columns, types, ranges and allowed values of a manifest, as it stands after parsing."""


def read_manifest(path: str | Path, phases: Sequence[str] = PHASES) -> pd.DataFrame:
    """Read and check a manifest; the images themselves are not opened.

    Parameters
    ----------
    path : path-like
        CSV in UTF-8, comma-separated, one row per patient, with the columns `COLUMNS`.
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
    table, problems = manifest_problems(Path(path), tuple(phases))
    if problems:
        raise _first_of(problems, path)
    return table


def _first_of(problems: Sequence[Problem], path: str | Path) -> ManifestError:
    first, more = problems[0], len(problems) - 1
    tail = f" ({more} more; run hccbook check.)" if more else ""
    return ManifestError(first.place(Path(path).name), first.rule, first.found, first.hint + tail)


def usable_patients(path: str | Path, phases: Sequence[str] = PHASES) -> tuple[pd.DataFrame, dict[str, str]]:
    """Patients of a manifest whom a run can take, and why it leaves out the others.

    Parameters
    ----------
    path, phases
        As of `read_manifest`.

    Returns
    -------
    table : pandas.DataFrame
        As `read_manifest` returns it, without the rows that have a problem. A key is that of the row, so that nobody's
        changes when another row is corrected.
    reasons : dict of str to str
        By key of a patient left out: line, column and rule of the first problem. The value is in it only where it is a
        number or a line: others, such as a path, may name the person.

    Raises
    ------
    ManifestError
        If a problem is the whole file's, or no patient is left; as `read_manifest`.
    """
    table, problems = manifest_problems(Path(path), tuple(phases))
    of_file = [problem for problem in problems if problem.line is None]
    if of_file:
        raise _first_of(of_file, path)
    faulty = table["line"].isin([problem.line for problem in problems])
    if faulty.all():
        raise _first_of(problems, path)
    reasons = {}
    for key, line in table.loc[faulty, "line"].items():
        first, *others = [problem for problem in problems if problem.line == line]
        reasons[key] = first.anonymous() + (f" ({len(others)} more.)" if others else "")
    return _whole_numbers(table[~faulty]), reasons


def _whole_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Answers of yes or no as integers, where every patient has one."""
    complete = [name for name in table if name in COLUMNS and COLUMNS[name].yes_or_no and table[name].notna().all()]
    return table.astype(dict.fromkeys(complete, np.int64))


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
    typed, unreadable = _typed(raw)
    problems += unreadable
    problems += _schema_problems(typed, raw, phases, unreadable)
    problems += _unlikely_medians(typed, problems)
    problems += _cross_checks(typed, raw)
    table = _with_paths(typed, raw, path.parent.resolve(), phases)
    problems += _missing_files(table, raw, phases)
    places = {column: number for number, column in enumerate(COLUMNS)}
    problems.sort(key=lambda problem: (problem.line or 0, places.get(problem.column, -1)))
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


def with_masks(manifest: pd.DataFrame, pattern: str, folder: Path, phases: Sequence[str]) -> pd.DataFrame:
    """Manifest whose empty mask columns name what a pattern says.

    Parameters
    ----------
    manifest : pandas.DataFrame
        As `read_manifest` returns it.
    pattern : str
        Path of a patient's masks of a phase, relative to `folder`, with ``{patient_id}`` and ``{phase}`` for what they
        say; empty to leave the manifest as it is. Which part of a file is which organ, `hccbook.images.organ_in` says.
    folder : pathlib.Path
        The manifest's own.
    phases : sequence of str

    Returns
    -------
    pandas.DataFrame
        The files need not be there: whoever reads a patient's masks says so.

    Raises
    ------
    SettingsError
        If something else stands in braces.
    MaskError
        As `hccbook.images.organ_in`.
    """
    if not pattern:
        return manifest
    table = manifest.copy()
    for key, patient in manifest["patient_id"].items():
        for phase, organ in itertools.product(phases, ORGANS):
            column = f"{organ}_mask_{phase}"
            if not table.at[key, column]:
                try:
                    file = folder / pattern.format(patient_id=patient, phase=phase)
                except (KeyError, IndexError, ValueError) as error:
                    rule = "may hold {patient_id} and {phase} in braces, and nothing else"
                    raise SettingsError("segmentation.masks", rule, repr(pattern), "Correct the pattern.") from error
                table.at[key, column] = organ_in(file, organ)
    return table


def _parse(path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Cells as text, with ``line``, and the problems of header and rows; a file that is no CSV is an error."""
    (_, header), *body = csv_rows(path)
    # Both spellings are common in the field; the package has one.
    header = ["centre" if name == "center" and "centre" not in header else name for name in header]
    if not body:
        raise ManifestError(path.name, "must hold at least one patient", "a header and no rows", "One row per patient.")
    problems = []
    for name, count in sorted(Counter(header).items()):
        if count > 1:
            rule = "every column must have a name of its own"
            found = f"{count} columns " + (f"named {name!r}" if name else "without a name")
            problems.append(Problem(column=name or None, rule=rule, found=found, hint="Rename or remove all but one."))
    width = len(header)
    rule = f"must have {width} values, one a column"
    hint = "Put text that holds a comma in double quotes; add or remove commas."
    problems += [
        Problem(line=line, rule=rule, found=f"{len(row)} values", hint=hint) for line, row in body if len(row) != width
    ]
    raw = pd.DataFrame([(row + [""] * width)[:width] for _, row in body], columns=header, dtype=object)
    raw = raw.loc[:, ~raw.columns.duplicated()].drop(columns="", errors="ignore")
    return raw.assign(line=[line for line, _ in body]), problems


def csv_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Line and cells of every row that is not blank, the header first."""
    reader = csv.reader(io.StringIO(_csv_text(path), newline=""), strict=True)
    rows, last = [], 0
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                rows.append((last + 1, cells))
            last = reader.line_num
    except csv.Error as error:
        place = f"{path.name}, line {reader.line_num}"
        raise ManifestError(place, "must be valid CSV", str(error), "Check the quotes on that line.") from error
    if not rows:
        raise ManifestError(path.name, "must hold a header and one row per patient", "an empty file", "Fill it in.")
    header = rows[0][1]
    for delimiter, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and delimiter in header[0]:
            hint = "Save as 'CSV UTF-8 (comma delimited)', with points as decimal marks."
            raise ManifestError(path.name, "columns must be separated by commas", name, hint)
    return rows


def _csv_text(path: Path) -> str:
    if not is_there(path) or path.is_dir():
        raise ManifestError(path.name, "manifest must exist", "no such file", "Correct its path.")
    content = path.read_bytes()
    hint = "Save it as 'CSV UTF-8 (comma delimited)'."
    if content[:2] == b"PK":
        raise ManifestError(path.name, "manifest must be a CSV file", "a spreadsheet", hint)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        found = f"byte 0x{content[error.start]:02x} on line {line}"
        raise ManifestError(path.name, "manifest must be encoded in UTF-8", found, hint) from error


def _typed(raw: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Numbers as float, empty text as None, upper and lower case of choices as the schema has them."""
    typed, problems = {}, []
    for name in raw.columns.drop("line"):
        column = COLUMNS.get(name)
        cells = raw[name]
        if column is None or column.kind != "number":
            spelling = {} if column is None else _spelling(column)
            text = [spelling.get(cell.lower(), cell) or None for cell in cells]
            typed[name] = pd.Series(text, index=raw.index, dtype=object)
            continue
        numbers = pd.to_numeric(cells.where(cells != "", None), errors="coerce").astype(float)
        numbers = numbers.where(np.isfinite(numbers))
        for row in np.flatnonzero(numbers.isna() & (cells != "")):
            problems.append(problem_at(raw, row, name, column.rule, repr(cells[row]), _number_hint(cells[row], column)))
        typed[name] = numbers
    return pd.DataFrame(typed, index=raw.index), problems


def _spelling(column: ManifestColumn) -> dict[str, int | str]:
    """Choices of a column by how they read in lower case."""
    return {str(choice).lower(): choice for choice in column.choices}


def _number_hint(cell: str, column: ManifestColumn) -> str:
    if column.yes_or_no:
        return _YES_OR_NO_HINT
    if cell[:1] in "<>":
        return "Write the limit of detection itself, without the sign."
    if cell.lower() in {"na", "n/a", "nan", "none", "null", "-", "."}:
        return "Leave an unknown value empty." if not column.filled else "Find the value, or leave the patient out."
    if "," in cell:
        return "Write a point as decimal mark, and no thousands separator."
    return "Write a number without its unit."


def problem_at(table: pd.DataFrame, row: int, column: str | None, rule: str, found: str, hint: str) -> Problem:
    """Problem of a row of a manifest, by its number from 0."""
    patient = table["patient_id"].iloc[row] if "patient_id" in table else None
    line = int(table["line"].iloc[row])
    return Problem(line=line, patient_id=patient or None, column=column, rule=rule, found=found, hint=hint)


def _schema_problems(
    typed: pd.DataFrame, raw: pd.DataFrame, phases: tuple[str, ...], unreadable: Sequence[Problem]
) -> list[Problem]:
    """What pandera finds, less the cells that are known to be `unreadable`."""
    unused = {phase: {"required": False, "nullable": True} for phase in PHASES if phase not in phases}
    with warnings.catch_warnings():
        # pandera joins the cases of different columns in a way that pandas means to change.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            MANIFEST_SCHEMA.update_columns(unused).validate(typed, lazy=True)
            return []
        except pa.errors.SchemaErrors as error:
            cases = error.failure_cases
    problems = [_unknown_column(str(name)) for name in cases["failure_case"][cases["check"] == "column_in_schema"]]
    missing = cases["failure_case"][cases["check"] == "column_in_dataframe"]
    problems += [_missing_column(str(name), phases) for name in missing]
    reported = {(problem.line, problem.column) for problem in unreadable}
    for name, of_column in cases[cases["index"].notna()].groupby("column", sort=False):
        rows = zip(of_column["index"].astype(int), of_column["check"], strict=True)
        new = [(row, check) for row, check in rows if (raw["line"].iloc[row], name) not in reported]
        problems += _column_problems(str(name), new, typed[name], raw)
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
    name: str, cases: Sequence[tuple[int, str]], values: pd.Series, raw: pd.DataFrame
) -> list[Problem]:
    """Problems of a column from the rows that fail a check; most values outside the range are one problem."""
    column = COLUMNS[name]
    problems = []
    for row, check in cases:
        cell = raw[name].iloc[row]
        if check == "not_nullable":
            finding = ("must not be empty", "nothing", _empty_hint(name, column))
        elif check == "field_uniqueness":
            first = raw["line"][raw[name] == cell].iloc[0]
            hint = "Give every patient one row; where a patient has several CTs, choose one."
            finding = ("must be different in every row", f"that of line {first}", hint)
        elif column.choices:
            finding = (column.rule, repr(cell), _choice_hint(cell, column))
        else:
            hint = column.if_less if values[row] < column.least else column.if_greater
            finding = (column.rule, f"{values[row]:g}", hint)
        problems.append(problem_at(raw, row, name, *finding))
    if column.kind != "number":
        return problems
    for side, bound, outside, hint in (
        ("below", column.least, column.falls_short(values), column.if_less),
        ("above", column.greatest, values > column.greatest, column.if_greater),
    ):
        # One wrong unit is one problem, not one a patient.
        if outside.sum() >= _COHORT_MINIMUM and outside.mean() > 0.5:
            found = f"{outside.sum()} of {len(values)} values {side} {bound:g}, median {values.median():g}"
            problems = [problem for problem in problems if problem.line not in set(raw["line"][outside])]
            problems.append(Problem(column=name, rule=column.rule, found=found, hint=hint))
    return problems


def _empty_hint(name: str, column: ManifestColumn) -> str:
    if name in PHASES:
        return "Name the CT of that phase, leave the patient out, or set phases to those that every patient has."
    return f"{column.meaning} Find the value, or leave the patient out as both papers do."


def _choice_hint(cell: str, column: ManifestColumn) -> str:
    if column.yes_or_no:
        return _YES_OR_NO_HINT
    if column.choices == ("male", "female"):
        likely = {"m": "male", "f": "female", "man": "male", "woman": "female"}.get(cell.lower())
        return f"Did you mean {likely!r}?" if likely else "Write male or female; codes such as 1 and 2 are ambiguous."
    spelling = _spelling(column)
    near = difflib.get_close_matches(cell.lower(), list(spelling), n=1)
    if near:
        return f"Did you mean {spelling[near[0]]!r}?"
    return "Write one of these" + (", or leave it empty." if not column.filled else ".")


def _unlikely_medians(typed: pd.DataFrame, problems: list[Problem]) -> list[Problem]:
    """A whole cohort in another unit can pass its range value by value, but not with such a median."""
    found = []
    for name, column in COLUMNS.items():
        bound, hint = column.min_median, column.if_less
        if bound is None or name not in typed or typed[name].notna().sum() < _COHORT_MINIMUM:
            continue
        median = float(typed[name].median())
        if median < bound and not any(problem.column == name and problem.line is None for problem in problems):
            rule = f"must be in {column.unit}, median {bound:g} or more"
            found.append(Problem(column=name, rule=rule, found=f"a median of {median:g}", hint=hint))
    return found


def _cross_checks(typed: pd.DataFrame, raw: pd.DataFrame) -> list[Problem]:
    problems = []
    if {"bclc", "hcc"} <= set(typed):
        rule, hint = "must be empty where hcc is 0", "Leave the stage empty, or correct hcc."
        for row in np.flatnonzero(typed["bclc"].notna() & (typed["hcc"] == 0)):
            problems.append(problem_at(raw, row, "bclc", rule, repr(typed["bclc"][row]), hint))
    if "cohort" in typed:
        given = set(typed["cohort"].dropna())
        mixed = [paper.name for paper in PAPERS.values() if given & set(paper.cohorts)]
        if len(mixed) > 1:
            rule, hint = "must hold the cohorts of one paper", "Write one manifest a paper."
            problems.append(Problem(column="cohort", rule=rule, found=", ".join(sorted(given)), hint=hint))
    return problems


def _with_paths(typed: pd.DataFrame, raw: pd.DataFrame, folder: Path, phases: tuple[str, ...]) -> pd.DataFrame:
    """Table of the known columns: paths made absolute, those of unused phases left out."""
    paths = {*phases, *(f"{organ}_mask_{phase}" for organ in ORGANS for phase in phases)}
    empty = pd.Series("", index=typed.index, dtype=object)
    table = {}
    for name, column in COLUMNS.items():
        cells = typed.get(name)
        if column.kind == "path":
            if name in paths:
                given = empty if cells is None else cells.fillna("")
                table[name] = [str(folder / cell) if cell else "" for cell in given]
        elif name == "cohort" and cells is None:
            table[name] = empty
        elif cells is not None:
            table[name] = cells.fillna("") if column.kind == "text" else cells
    frame = _whole_numbers(pd.DataFrame(table, index=typed.index).assign(line=raw["line"].astype(np.int64)))
    return frame.set_index(pd.Index([f"P{number:04d}" for number in range(1, len(frame) + 1)], name="patient"))


def _missing_files(table: pd.DataFrame, raw: pd.DataFrame, phases: tuple[str, ...]) -> list[Problem]:
    problems = []
    seen: dict[Path, list[tuple[int, str, str | None]]] = {}
    for key, phase, organ, column, path in sources(table).itertuples(index=False):
        row, line = table.index.get_loc(key), table.loc[key, "line"]
        file, part = split_mask_path(path) if organ else (Path(path), "")
        if not is_there(file):
            rule = "mask must exist" if organ else f"image of the {phase} phase must exist"
            hint = "Correct the path; it is relative to the manifest."
            problems.append(problem_at(raw, row, column, rule, f"no file {raw[column].iloc[row]!r}", hint))
            continue
        part = _part(file, part, organ)
        others = seen.setdefault(file.resolve(), [])
        # Masks of one patient may be different parts of one file.
        twice = [other for other in others if other[0] != line or None in (part, other[2]) or part == other[2]]
        if not twice:
            others.append((line, column, part))
            continue
        other_line, other_column, _ = twice[0]
        hint = "Correct it."
        if organ and other_line == line and other_column not in phases:
            hint = (
                "Correct it; where a file holds several organs, write which is meant behind '#', as in FILE.nii.gz#5."
            )
        rule = "every image and mask must be a file of its own"
        found = f"that of line {other_line}, column {other_column!r}"
        problems.append(problem_at(raw, row, column, rule, found, hint))
        if other_line != line:
            # Nobody knows whose it is, so that neither patient can be taken.
            other_row = int(np.flatnonzero(raw["line"] == other_line)[0])
            problems.append(
                problem_at(raw, other_row, other_column, rule, f"that of line {line}, column {column!r}", hint)
            )
    return problems


def _part(file: Path, part: str, organ: str) -> str | None:
    """What is named of a file: label, name or organ; None for all of it."""
    if not organ or (is_nifti(file) and not part):
        return None
    if is_nifti(file):
        return part.lstrip("0")
    return (part or organ).casefold()
