"""What the audit found, and what it checked and found consistent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field

import pandas as pd

from hccbook.errors import DataError
from hccbook.papers import PAPERS

CERTAIN = "certain from print"
"""Two printed things cannot both be so, whatever was rounded and however the paper is read."""

IMPLIED = "strongly implied"
"""Every reasonable reading fails, but a reading has to be assumed; the arithmetic names it."""

ROUNDING = "rounding"
"""Within reach of the last printed digit: a digit cut instead of rounded, or every rounding at its limit."""

CERTAINTIES = (CERTAIN, IMPLIED, ROUNDING)
"""Degrees of certainty, surest first."""


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
}
"""Families of checks, a module each, and what they are about; ``claims.yaml`` uses the same names."""


@dataclass(frozen=True)
class Discrepancy:
    """One place in which a check fails.

    Attributes
    ----------
    check : str
        Family of the check.
    cell : str
        Row, column or quantity that is at fault or takes part.
    printed, recomputed : str
        What stands there, and what follows from the rest.
    arithmetic : str
        How it follows, in one line.
    """

    check: str
    cell: str
    printed: str
    recomputed: str
    arithmetic: str


@dataclass(frozen=True)
class Checked:
    """One check, run over a number of printed values.

    Attributes
    ----------
    check : str
        Family of the check.
    what : str
        What was held against what.
    cells : int
        Comparisons made.
    discrepancies : tuple of Discrepancy
        Those that failed.
    """

    check: str
    what: str
    cells: int
    discrepancies: tuple[Discrepancy, ...] = ()


@dataclass(frozen=True)
class Finding:
    """An inconsistency in print: arithmetic, not motive.

    Attributes
    ----------
    id : str
        Name, unique in the audit.
    paper : str
        ``alarm`` or ``amap_ct``.
    place : str
        Table, row and column, or section and sentence.
    check : str
        Family of the check that found it.
    printed, recomputed : str
        What the paper prints, and what follows from what else it prints.
    arithmetic : str
        How, in one line.
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
        if self.paper not in PAPERS:
            raise DataError(f"finding {self.id}", f"paper must be one of {', '.join(PAPERS)}", self.paper, "Correct.")
        if self.check not in CHECKS:
            raise DataError(f"finding {self.id}", f"check must be one of {', '.join(CHECKS)}", self.check, "Correct.")
        if self.certainty not in CERTAINTIES:
            raise DataError(
                f"finding {self.id}", f"certainty must be one of {', '.join(CERTAINTIES)}", self.certainty, "Correct."
            )


@dataclass(frozen=True)
class Consistent:
    """Something that was checked and agrees: the denominator of the findings.

    Attributes
    ----------
    paper, check, place : str
        Paper, family of the check, and where.
    what : str
        What was held against what.
    cells : int
        Comparisons that agree.
    """

    paper: str
    check: str
    place: str
    what: str
    cells: int


@dataclass(frozen=True)
class AuditReport:
    """Everything that an audit found, and everything that it found consistent.

    Attributes
    ----------
    findings : tuple of Finding
        By paper, then by certainty, surest first.
    consistent : tuple of Consistent
        What was checked and agrees. A filter by certainty leaves it whole.
    """

    findings: tuple[Finding, ...]
    consistent: tuple[Consistent, ...]

    def filtered(self, paper: str | None = None, certainty: str | None = None) -> AuditReport:
        """The part that belongs to a paper and a certainty; None keeps all.

        Raises
        ------
        DataError
            If the paper or the certainty is unknown.
        """
        degree = None if certainty is None else known_certainty(certainty)
        if paper is not None and paper not in PAPERS:
            raise DataError("paper", f"must be one of {', '.join(PAPERS)}", paper, "Correct the name.")
        return AuditReport(
            findings=tuple(
                one for one in self.findings if paper in (None, one.paper) and degree in (None, one.certainty)
            ),
            consistent=tuple(one for one in self.consistent if paper in (None, one.paper)),
        )

    def finding(self, name: str) -> Finding:
        """The finding of that id.

        Raises
        ------
        DataError
            If there is none; names those there are.
        """
        for one in self.findings:
            if one.id == name:
                return one
        known = ", ".join(one.id for one in self.findings)
        raise DataError("audit", "the finding must exist", name, f"There are {known}.")

    def findings_frame(self) -> pd.DataFrame:
        """Findings as a table, a row each; `claims` joined by commas."""
        columns = [one for one in Finding.__dataclass_fields__]
        rows = [asdict(one) | {"claims": ", ".join(one.claims)} for one in self.findings]
        return pd.DataFrame(rows, columns=columns)

    def consistent_frame(self) -> pd.DataFrame:
        """What agrees, a row a check."""
        return pd.DataFrame([asdict(one) for one in self.consistent], columns=list(Consistent.__dataclass_fields__))

    def counts(self) -> pd.DataFrame:
        """Findings by paper (rows) and certainty (columns), and the comparisons that agree."""
        rows = []
        for paper in PAPERS:
            row: dict[str, object] = {"paper": paper}
            for degree in CERTAINTIES:
                row[degree] = sum(one.paper == paper and one.certainty == degree for one in self.findings)
            row["comparisons that agree"] = sum(one.cells for one in self.consistent if one.paper == paper)
            rows.append(row)
        return pd.DataFrame(rows)

    def to_json(self) -> str:
        """The whole report as JSON: ``findings`` and ``consistent``, a list of objects each."""
        content = {
            "findings": [asdict(one) for one in self.findings],
            "consistent": [asdict(one) for one in self.consistent],
        }
        return json.dumps(content, indent=2, ensure_ascii=False)


def known_certainty(name: str) -> str:
    """The degree of certainty that `name` means: itself, or its short form ``certain`` or ``implied``.

    Raises
    ------
    DataError
        If there is none of that name.
    """
    short = {"certain": CERTAIN, "implied": IMPLIED, "rounding": ROUNDING}
    degree = short.get(name, name)
    if degree not in CERTAINTIES:
        known = ", ".join((*short, CERTAIN, IMPLIED))
        raise DataError("certainty", f"must be one of {known}", name, "Correct the name.")
    return degree


@dataclass
class Ledger:
    """Collects the outcome of every check of one paper, and what each failure means.

    A discrepancy becomes a finding only through `explain`, which says what it means; one that nobody explained is
    still reported, with its arithmetic, when the ledger is closed. A check whose values all agree is recorded as
    consistent, so that nothing that was looked at gets lost.

    Attributes
    ----------
    paper : str
        ``alarm`` or ``amap_ct``.
    """

    paper: str
    _findings: list[Finding] = field(default_factory=list)
    _consistent: list[Consistent] = field(default_factory=list)
    _open: list[tuple[str, Discrepancy]] = field(default_factory=list)

    def enter(self, place: str, checked: Checked) -> Checked:
        """Record a check: what agrees at once, what fails for `explain`."""
        agreeing = checked.cells - len(checked.discrepancies)
        if agreeing > 0:
            self._consistent.append(Consistent(self.paper, checked.check, place, checked.what, agreeing))
        self._open += [(place, one) for one in checked.discrepancies]
        return checked

    def agrees(self, check: str, place: str, what: str, cells: int = 1) -> None:
        """Record comparisons that agree."""
        self._consistent.append(Consistent(self.paper, check, place, what, cells))

    def explain(
        self,
        name: str,
        chosen: Callable[[Discrepancy], bool],
        *,
        certainty: str,
        consequence: str,
        place: str | None = None,
        printed: str | None = None,
        recomputed: str | None = None,
        arithmetic: str | None = None,
        also: str = "",
        claims: Sequence[str] = (),
    ) -> Finding | None:
        """Turn the open discrepancies that `chosen` picks into one finding.

        Parameters
        ----------
        name : str
            Id of the finding, without the paper's name.
        chosen : callable
            Whether a discrepancy belongs to it.
        certainty, consequence : str
            As in `Finding`.
        place, printed, recomputed, arithmetic : str, optional
            Instead of those of the discrepancies.
        also : str
            Further arithmetic, behind that of the discrepancies.
        claims : sequence of str
            Ids of the claims that it bears on.

        Returns
        -------
        Finding or None
            None where no open discrepancy is picked: then there is nothing to explain.
        """
        mine = [(where, one) for where, one in self._open if chosen(one)]
        if not mine:
            return None
        self._open = [pair for pair in self._open if pair not in mine]
        ones = [one for _, one in mine]
        places = dict.fromkeys(f"{where}, {one.cell}" for where, one in mine)
        lines = [arithmetic] if arithmetic else [one.arithmetic for one in ones]
        return self.finding(
            name,
            place=place or "; ".join(places),
            check=ones[0].check,
            printed=printed or "; ".join(dict.fromkeys(one.printed for one in ones)),
            recomputed=recomputed or "; ".join(dict.fromkeys(one.recomputed for one in ones)),
            arithmetic="; ".join(dict.fromkeys([*lines, *([also] if also else [])])),
            certainty=certainty,
            consequence=consequence,
            claims=claims,
        )

    def finding(
        self,
        name: str,
        *,
        place: str,
        check: str,
        printed: str,
        recomputed: str,
        arithmetic: str,
        certainty: str,
        consequence: str,
        claims: Sequence[str] = (),
    ) -> Finding:
        """Record a finding."""
        made = Finding(
            id=f"{self.paper.replace('_', '-')}-{name}",
            paper=self.paper,
            place=place,
            check=check,
            printed=printed,
            recomputed=recomputed,
            arithmetic=arithmetic,
            certainty=certainty,
            consequence=consequence,
            claims=tuple(claims),
        )
        self._findings.append(made)
        return made

    def close(self) -> tuple[list[Finding], list[Consistent]]:
        """Findings and agreements; a discrepancy that nobody explained is a finding without a reading."""
        for position, (place, one) in enumerate(self._open, start=1):
            self.finding(
                f"unexplained-{position}",
                place=f"{place}, {one.cell}",
                check=one.check,
                printed=one.printed,
                recomputed=one.recomputed,
                arithmetic=one.arithmetic,
                certainty=CERTAIN,
                consequence="Not weighed: the general check found it, and nobody has yet said what it means.",
            )
        self._open = []
        return self._findings, self._consistent


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings by paper and certainty, otherwise as they came."""
    return tuple(sorted(findings, key=lambda one: (list(PAPERS).index(one.paper), CERTAINTIES.index(one.certainty))))
