"""Clinical values of a collection's patients, joined by the column that the user names."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from hccbook.cohort.manifest import COLUMNS, csv_rows
from hccbook.errors import ManifestError


@dataclass(frozen=True)
class ClinicalTable:
    """A clinical table by patient.

    Attributes
    ----------
    name, key : str
        File, and its column that holds the patients' identifiers.
    rows : dict of str to dict of str to str
        Values by patient and column of the manifest; other columns are not taken.
    ignored : tuple of str
        Columns that the manifest does not know.
    """

    name: str
    key: str
    rows: dict[str, dict[str, str]]
    ignored: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, key: str) -> ClinicalTable:
        """Read a CSV in UTF-8 whose column `key` names the patients.

        Raises
        ------
        ManifestError
            If it cannot be read, has no such column, or names a patient twice or not at all.
        """
        (_, header), *body = csv_rows(path)
        header = ["centre" if name == "center" else name for name in header]
        if key not in header:
            near = difflib.get_close_matches(key, header, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Name one of: {', '.join(header)}."
            raise ManifestError(path.name, "must hold the column that the patients are joined by", f"no {key!r}", hint)
        known = [name for name in header if name in COLUMNS and COLUMNS[name].kind != "path" and name != "patient_id"]
        lines: dict[str, int] = {}
        rows = {}
        for line, cells in body:
            row = dict(zip(header, cells + [""] * len(header), strict=False))
            patient = row[key]
            rule = "must name every patient once"
            if not patient or patient in lines:
                found = f"that of line {lines[patient]}" if patient else "nothing"
                hint = "Leave one row a patient; where a patient has several CTs, choose one."
                raise ManifestError(f"{path.name}, line {line}, column {key!r}", rule, found, hint)
            lines[patient] = line
            rows[patient] = {name: row[name] for name in known}
        ignored = tuple(name for name in header if name not in known and name != key)
        return cls(path.name, key, rows, ignored)

    def looks_like(self, patient: str) -> str:
        """The table's patient that differs from this one by zeros, spaces or letter case alone; empty if none."""
        return next((name for name in self.rows if _plain(name) == _plain(patient) and name != patient), "")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum()).lstrip("0")
