"""What a check says, and what the audit makes of it: findings, and what was checked and agrees."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar

import pandas as pd

from hccbook.errors import DataError

CERTAIN = "certain from print"
"""Two printed things cannot both be so, whatever was rounded and however the paper is read."""

IMPLIED = "strongly implied"
"""Every reasonable reading fails, but a reading has to be assumed; the arithmetic names it."""

ROUNDING = "rounding"
"""Within reach of the last printed digit: a digit cut instead of rounded, or every rounding at its limit."""

STATED = "stated design"
"""What follows from a sentence on design or analysis, not from arithmetic."""

CERTAINTIES = (CERTAIN, IMPLIED, ROUNDING, STATED)
"""Degrees of certainty, surest first; the last is of another kind."""


CHECKS = {
    "counts": "counts, percentages and sums",
    "two_by_two": "2x2 tables behind sensitivity, specificity and predictive values",
    "intervals": "confidence intervals",
    "p_values": "p-values",
    "quantiles": "quantiles of pooled groups",
    "derived_scores": "derived scores against their inputs",
    "ranges": "possible ranges",
    "repeated_numbers": "the same number in two places",
    "formulas": "printed formulas",
    "horizons": "rates at different horizons",
    "means_against_parts": "means against their parts",
    "calibration_counts": "calibration against expected events",
    "significance": "claims of significance",
    "methods": "methods as named",
    "means": "means and standard deviations",
    "ratios": "odds and hazard ratios, coefficients and their intervals",
    "survival": "numbers at risk and incidences",
    "reclassification": "reclassification against its parts",
    "categories": "categories that overlap or leave a gap",
    "between_papers": "papers of the same patients",
    "statements": "statements on design and analysis",
}
"""Families of checks (`CHECK` of a module) and what they are about; ``claims.yaml`` uses the same names."""


@dataclass(frozen=True)
class Discrepancy:
    """One place in which a check fails.

    Attributes
    ----------
    check, cell : str
        Family of the check; row, column or quantity that is at fault or takes part.
    printed, recomputed, arithmetic : str
        What stands there, what follows from the rest, and how, in one line.
    certainty : str
        One of `CERTAINTIES`: how sure the failure is unless somebody weighs it.
    values : mapping of str to object
        What the words of a finding may quote.
    consequence : str
        What it means, where the check knows; otherwise somebody has to weigh it.
    """

    check: str
    cell: str
    printed: str
    recomputed: str
    arithmetic: str
    certainty: str = CERTAIN
    values: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)
    consequence: str = ""


@dataclass(frozen=True)
class CheckResult:
    """What one check says of a number of printed values.

    Attributes
    ----------
    check, what : str
        Family of the check; what was compared with what.
    cells : int
        Comparisons made.
    discrepancies : tuple of Discrepancy
        Those that failed.
    place : str
        Table, or section of the text.
    """

    check: str
    what: str
    cells: int = 1
    discrepancies: tuple[Discrepancy, ...] = ()
    place: str = ""

    def at(self, place: str) -> CheckResult:
        """The same, where it stands."""
        return replace(self, place=place)

    @classmethod
    def of_one(cls, holds: bool, what: str, otherwise: Discrepancy) -> CheckResult:
        """One comparison: it holds, or is a discrepancy."""
        return cls(otherwise.check, what, 1, () if holds else (otherwise,))

    @classmethod
    def plain(
        cls, check: str, what: str, holds: bool, printed: object, expected: object, certainty: str = IMPLIED
    ) -> CheckResult:
        """One comparison of what is printed with what is expected."""
        arithmetic = f"{what}: {printed} is printed, {expected} expected"
        return cls.of_one(holds, what, Discrepancy(check, what, str(printed), str(expected), arithmetic, certainty))

    @classmethod
    def joined(cls, check: str, what: str, results: Iterable[CheckResult]) -> CheckResult:
        """Several results as one."""
        every = list(results)
        discrepancies = tuple(failure for one in every for failure in one.discrepancies)
        return cls(check, what, sum(one.cells for one in every), discrepancies)


@dataclass(frozen=True)
class Finding:
    """An inconsistency in print: arithmetic, not motive.

    Attributes
    ----------
    id, paper : str
        Name, unique in the audit, and short name of the paper.
    place, check : str
        Table, row and column, or section and sentence; family of the check that found it.
    printed, recomputed, arithmetic : str
        What the paper prints, what follows from what else it prints, and how, in one line.
    certainty : str
        One of `CERTAINTIES`.
    consequence : str
        What it means for the paper's conclusions.
    claims : tuple of str
        Ids of the claims that it bears on, in ``data/published/claims.yaml``.
    """

    id: str
    paper: str
    place: str
    check: str
    printed: str
    recomputed: str
    arithmetic: str
    certainty: str
    consequence: str
    claims: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in (("check", CHECKS), ("certainty", CERTAINTIES)):
            if getattr(self, name) not in allowed:
                raise DataError(
                    f"finding {self.id}", f"{name} must be one of {', '.join(allowed)}", getattr(self, name), "Correct."
                )


@dataclass(frozen=True)
class Agreement:
    """Something that was checked and agrees: the denominator of the findings.

    Attributes
    ----------
    paper, check, place, what : str
        Transcription, family of the check, where, and what was compared with what.
    cells : int
        Comparisons that agree.
    """

    paper: str
    check: str
    place: str
    what: str
    cells: int


@dataclass(frozen=True)
class NotApplied:
    """A check that a paper gives nothing to.

    Attributes
    ----------
    paper, check, what, why : str
        Short name of the paper, family of the check, what it would compare, and what is not printed or described.
    """

    paper: str
    check: str
    what: str
    why: str


@dataclass(frozen=True)
class AuditReport:
    """Everything that an audit found, and everything that it found consistent.

    Attributes
    ----------
    titles : dict of str to str
        The papers' short names, and what they are called.
    findings : tuple of Finding
        By paper, then by certainty, surest first.
    agreements : tuple of Agreement
        What was checked and agrees. A filter by certainty leaves it whole.
    not_applied : tuple of NotApplied
        What could not be checked, and why.
    """

    _LISTS: ClassVar = ("findings", "agreements", "not_applied")

    titles: Mapping[str, str]
    findings: tuple[Finding, ...]
    agreements: tuple[Agreement, ...]
    not_applied: tuple[NotApplied, ...] = ()

    @classmethod
    def joined(cls, reports: Iterable[AuditReport]) -> AuditReport:
        """Reports of several papers as one."""
        every = list(reports)
        titles = {name: title for one in every for name, title in one.titles.items()}
        lists = ([part for one in every for part in getattr(one, name)] for name in cls._LISTS)
        return cls(titles, *map(tuple, lists))

    def filtered(
        self, paper: str | None = None, certainty: str | None = None, check: str | Collection[str] | None = None
    ) -> AuditReport:
        """The part that belongs to a paper, a certainty, and one family of checks or several; None keeps all.

        Raises
        ------
        DataError
            If the paper or the certainty is unknown.
        """
        degree = None if certainty is None else _known_certainty(certainty)
        if paper is not None and paper not in self.titles:
            raise DataError("paper", f"must be one of {', '.join(self.titles)}", paper, "Correct the name.")
        checks = CHECKS if check is None else (check,) if isinstance(check, str) else check

        def belongs(one: Finding | Agreement | NotApplied) -> bool:
            return paper in (None, one.paper) and one.check in checks

        titles = {name: title for name, title in self.titles.items() if paper in (None, name)}
        findings, agreements, not_applied = (tuple(filter(belongs, getattr(self, name))) for name in self._LISTS)
        sure = tuple(one for one in findings if degree in (None, one.certainty))
        return AuditReport(titles, sure, agreements, not_applied)

    def finding(self, name: str) -> Finding:
        """The finding of that id.

        Raises
        ------
        DataError
            If there is none; names those there are.
        """
        by_id = {one.id: one for one in self.findings}
        if name not in by_id:
            raise DataError("audit", "the finding must exist", name, f"There are {', '.join(by_id)}.")
        return by_id[name]

    def findings_frame(self) -> pd.DataFrame:
        """Findings as a table, a row each; `claims` joined by commas."""
        rows = [asdict(one) | {"claims": ", ".join(one.claims)} for one in self.findings]
        return pd.DataFrame(rows, columns=list(Finding.__dataclass_fields__))

    def agreements_frame(self) -> pd.DataFrame:
        """What agrees, one row per check."""
        return pd.DataFrame([asdict(one) for one in self.agreements], columns=list(Agreement.__dataclass_fields__))

    @property
    def agreeing(self) -> int:
        """Comparisons that agree."""
        return sum(one.cells for one in self.agreements)

    def counts(self) -> pd.DataFrame:
        """Findings by paper (rows) and certainty (columns), and the comparisons that agree."""
        rows = []
        for paper in self.titles:
            part = self.filtered(paper)
            degrees = [one.certainty for one in part.findings]
            row = {"paper": paper} | {degree: degrees.count(degree) for degree in CERTAINTIES}
            rows.append(row | {"comparisons that agree": part.agreeing})
        return pd.DataFrame(rows)

    def to_json(self) -> str:
        """The whole report as JSON: ``findings``, ``consistent`` and ``not_applied``, a list of objects each."""
        content = {"findings": self.findings, "consistent": self.agreements, "not_applied": self.not_applied}
        return json.dumps(content, indent=2, ensure_ascii=False, default=asdict)


def _known_certainty(name: str) -> str:
    """The degree of certainty that `name` means: itself, or its short form ``certain`` or ``implied``."""
    short = {"certain": CERTAIN, "implied": IMPLIED, "rounding": ROUNDING, "stated": STATED}
    degree = short.get(name, name)
    if degree not in CERTAINTIES:
        names = ", ".join((*short, CERTAIN, IMPLIED))
        raise DataError("certainty", f"must be one of {names}", name, "Correct the name.")
    return degree
