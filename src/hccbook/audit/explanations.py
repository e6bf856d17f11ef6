"""What each finding means: the prose of ``data/published/findings.yaml``, its placeholders filled with numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from string import Formatter

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hccbook.audit.findings import CERTAINTIES, CHECKS, Discrepancy
from hccbook.audit.lookup import Transcription
from hccbook.errors import DataError
from hccbook.papers.published import OfPaper, PrintedAt, read_entries
from hccbook.run import published_dir

FILE = "findings.yaml"

TEXTS = ("place", "printed", "recomputed", "arithmetic", "also", "consequence", "certainty")
"""Fields that may hold placeholders."""


def _placeholders(template: str) -> list[str]:
    """Names of what a template asks for, ``row`` for ``{row.events}``."""
    return [re.split(r"[.\[]", name)[0] for _, name, _, _ in Formatter().parse(template) if name is not None]


class Expectation(BaseModel):
    """What is recorded where a check of the finding's own holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    check: str = Field(description="Family of the check, of the finding too.")
    place: str = Field(min_length=1, description="Where the comparison stands.")
    what: str = Field(min_length=1, description="What agrees then; may hold placeholders.")


class Explanation(OfPaper):
    """What one finding means. A number in its texts is a placeholder, ``{p:.3f}`` or ``{row.events}``, never typed."""

    certainty: str = Field(description="One of `CERTAINTIES`, or '{certainty}' where the arithmetic decides.")
    expects: Expectation | None = Field(None, description="What agrees unless the finding's own check fails.")
    explains: tuple[str, ...] = Field((), description="Discrepancies of checks, as patterns of 'check: cell'.")
    place: str = Field("", description="Where it stands; that of the discrepancies when left out.")
    printed: str = Field("", description="What is printed; that of the discrepancies when left out.")
    recomputed: str = Field("", description="What follows from the rest; that of the discrepancies when left out.")
    arithmetic: str = Field("", description="How it follows; that of the discrepancies when left out.")
    also: str = Field("", description="Further arithmetic, behind that of the discrepancies.")
    numbers: dict[str, PrintedAt] = Field({}, description="Printed numbers by placeholder: their columns.")
    each: dict[str, str] = Field({}, description="For a placeholder that stands for a list: what is said of each.")
    consequence: str = Field(min_length=1, description="What it means for the paper's conclusions.")
    claims: tuple[str, ...] = Field(min_length=1, description="Claims that it bears on, in claims.yaml.")

    @model_validator(mode="after")
    def _fits_together(self) -> Explanation:
        if self.certainty not in (*CERTAINTIES, "{certainty}"):
            raise ValueError(f"certainty must be one of {', '.join(CERTAINTIES)}, but found {self.certainty!r}")
        if any(where.quantity is None for where in self.numbers.values()):
            raise ValueError("a printed number must name its quantity, but found none")
        if self.expects and self.expects.check not in CHECKS:
            raise ValueError(f"check must be one of {', '.join(CHECKS)}, but found {self.expects.check!r}")
        if (self.expects is None) is not bool(self.explains):
            raise ValueError("an entry explains discrepancies or expects something of its own, but found both or none")
        named = {name for field in TEXTS for name in _placeholders(getattr(self, field))}
        if not named >= set(self.each):
            raise ValueError(
                f"each must be of placeholders of the texts, but found {', '.join(set(self.each) - named)}"
            )
        return self

    def picks(self, one: Discrepancy) -> bool:
        """Whether a discrepancy belongs to this finding."""
        return any(fnmatchcase(f"{one.check}: {one.cell}", pattern) for pattern in self.explains)

    def printed_numbers(self, paper: Transcription) -> dict[str, object]:
        """The rows of the entry's `numbers`: ``value``, ``lower`` and ``upper`` as printed.

        Raises
        ------
        DataError
            If one is not printed.
        """
        return {name: paper.first(**where.asked) for name, where in self.numbers.items()}

    def refuse_unknown(self, values: Mapping[str, object]) -> None:
        """Raise a DataError if a text has a placeholder that `values` does not hold."""
        for field in TEXTS:
            self._refuse_unknown(field, getattr(self, field), values)
        if self.expects:
            self._refuse_unknown("expects what", self.expects.what, values)

    def text(self, field: str, values: Mapping[str, object]) -> str:
        """A text with its placeholders filled; empty where it is left out.

        Parameters
        ----------
        field : str
            One of `TEXTS`.
        values : mapping of str to object
            By placeholder. For a placeholder of `each` a list, whose texts are joined by semicolons: of mappings, or
            of what is called ``it`` there.

        Raises
        ------
        DataError
            If a placeholder is not among the values; names the entry and the field.
        """
        lines = {
            name: "; ".join(
                self._filled(f"each {name}", template, {**values, **(one if isinstance(one, dict) else {"it": one})})
                for one in values[name]
            )
            for name, template in self.each.items()
            if name in values
        }
        # A list that holds nothing leaves its semicolon.
        return self._filled(field, getattr(self, field), {**values, **lines}).strip("; ")

    def expected(self, values: Mapping[str, object]) -> str:
        """What agrees unless the finding's own check fails."""
        return self._filled("expects what", self.expects.what, values)

    def _filled(self, field: str, template: str, values: Mapping[str, object]) -> str:
        self._refuse_unknown(field, template, values)
        try:
            return template.format_map(values)
        except (AttributeError, KeyError, ValueError) as error:
            raise DataError(
                f"{FILE}: {self.id} {field}", "a placeholder must fit its value", error, "Correct the placeholder."
            ) from error

    def _refuse_unknown(self, field: str, template: str, values: Mapping[str, object]) -> None:
        for name in _placeholders(template):
            if name not in values:
                raise DataError(
                    f"{FILE}: {self.id} {field}",
                    "a placeholder must name a value that the check computes",
                    f"{{{name}}}",
                    f"It computes {', '.join(values) or 'none'}.",
                )


@cache
def _entries(folder: Path) -> tuple[Explanation, ...]:
    return read_entries(folder / FILE, Explanation)


def explanations(paper: str) -> list[Explanation]:
    """What the findings of one paper mean, in the order of the file.

    Raises
    ------
    DataError
        If ``findings.yaml`` is missing, or an entry is wrong or there twice; names the entry and the field.
    """
    return [one for one in _entries(published_dir()) if one.paper == paper]
