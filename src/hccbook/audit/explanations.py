"""What each finding means: the prose of a paper's ``findings.yaml``, its placeholders filled with numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from string import Formatter

from pydantic import Field, model_validator

from hccbook.audit.expressions import evaluate
from hccbook.audit.findings import CERTAINTIES, Discrepancy
from hccbook.audit.transcription import Transcription
from hccbook.errors import DataError
from hccbook.papers.published import Listed, PrintedAt, read_entries

FILE = "findings.yaml"

TEXTS = ("place", "printed", "recomputed", "arithmetic", "also", "consequence", "certainty")
"""Fields that may hold placeholders."""


def _placeholders(template: str) -> list[str]:
    """Names of what a template asks for, ``row`` for ``{row.events}``."""
    return [re.split(r"[.\[]", name)[0] for _, name, _, _ in Formatter().parse(template) if name is not None]


class Explanation(Listed):
    """What one finding means. A number in its texts is a placeholder, ``{p:.3f}`` or ``{row.events}``, never typed."""

    certainty: str = Field("", description="One of `CERTAINTIES`; that of the discrepancies when left out.")
    explains: tuple[str, ...] = Field(min_length=1, description="Discrepancies of checks, patterns of 'check: cell'.")
    place: str = Field("", description="Where it stands; that of the discrepancies when left out.")
    printed: str = Field("", description="What is printed; that of the discrepancies when left out.")
    recomputed: str = Field("", description="What follows from the rest; that of the discrepancies when left out.")
    arithmetic: str = Field("", description="How it follows; that of the discrepancies when left out.")
    also: str = Field("", description="Further arithmetic, behind that of the discrepancies.")
    numbers: dict[str, PrintedAt] = Field({}, description="Printed numbers by placeholder: their columns.")
    values: dict[str, str] = Field({}, description="Expressions by placeholder.")
    consequence: str = Field(min_length=1, description="What it means for the paper's conclusions.")
    claims: tuple[str, ...] = Field((), description="Claims that it bears on, in claims.yaml.")

    @model_validator(mode="after")
    def _fits_together(self) -> Explanation:
        if self.certainty not in ("", *CERTAINTIES):
            raise ValueError(f"certainty must be one of {', '.join(CERTAINTIES)}, but found {self.certainty!r}")
        if any(where.quantity is None for where in self.numbers.values()):
            raise ValueError("a printed number must name its quantity, but found none")
        for field in TEXTS:
            _placeholders(getattr(self, field))
        return self

    def picks(self, one: Discrepancy) -> bool:
        """Whether a discrepancy belongs to this finding."""
        return any(fnmatchcase(f"{one.check}: {one.cell}", pattern) for pattern in self.explains)

    def values_of(self, paper: Transcription, picked: Sequence[Discrepancy]) -> dict[str, object]:
        """What fills the placeholders: what the discrepancies computed, the entry's numbers, and its expressions.

        Raises
        ------
        DataError
            If a number is not printed, or an expression is none.
        """
        values = {name: value for one in picked for name, value in one.values.items()}
        values |= {name: paper.quoted(where) for name, where in self.numbers.items()}
        for name, text in self.values.items():
            values[name] = evaluate(text, values, f"{FILE}: {self.id} {name}")
        return values

    def text(self, field: str, values: Mapping[str, object]) -> str:
        """A text with its placeholders filled; empty where it is left out.

        Parameters
        ----------
        field : str
            One of `TEXTS`.
        values : mapping of str to object
            By placeholder.

        Raises
        ------
        DataError
            If a placeholder is not among the values, or does not fit its value; names the entry and the field.
        """
        template = getattr(self, field)
        for name in _placeholders(template):
            if name not in values:
                raise DataError(
                    f"{FILE}: {self.id} {field}",
                    "a placeholder must name a value that is quoted or computed",
                    f"{{{name}}}",
                    f"There are {', '.join(values) or 'none'}.",
                )
        try:
            return template.format_map(values)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{FILE}: {self.id} {field}", "a placeholder must fit its value", error, "Correct the placeholder."
            ) from error


def explanations(folder: Path) -> tuple[Explanation, ...]:
    """What the findings of the paper in a folder mean, in the order of the file; none without the file.

    Raises
    ------
    DataError
        If an entry is wrong or there twice; names the entry and the field.
    """
    file = folder / FILE
    return read_entries(file, Explanation) if file.is_file() else ()
