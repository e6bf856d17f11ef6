"""The audit for the terminal, and as tables."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pandas as pd
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from hccbook.audit.findings import CERTAIN, CERTAINTIES, CHECKS, IMPLIED, AuditReport, Finding
from hccbook.audit.lookup import PAPERS, TITLES

_STYLES = {CERTAIN: "bold red", IMPLIED: "yellow"}

NOTE = "Arithmetic on what is printed, rounding respected. It says what cannot be so as printed, not why."
"""What the report is, in its own words."""


def report_for_terminal(report: AuditReport) -> RenderableType:
    """The report by paper and certainty, then what was checked and agrees.

    Parameters
    ----------
    report : AuditReport

    Returns
    -------
    rich renderable
        For ``rich.console.Console.print``.
    """
    parts: list[RenderableType] = [Text(NOTE, style="italic")]
    for paper in PAPERS:
        for degree in CERTAINTIES:
            chosen = [one for one in report.findings if one.paper == paper and one.certainty == degree]
            if chosen:
                parts += [Text(), Rule(Text(f"{TITLES[paper]}: {degree} ({len(chosen)})"), align="left")]
                parts += [_finding(position, one) for position, one in enumerate(chosen, start=1)]
    parts += [Text(), Rule(Text("Checked and found consistent"), align="left"), _denominators(report), _summary(report)]
    return Group(*parts)


def _finding(position: int, one: Finding) -> RenderableType:
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column(overflow="fold")
    # Text, not str: brackets of an interval must not be taken for markup.
    for name, text in (
        ("printed", one.printed),
        ("recomputed", one.recomputed),
        ("arithmetic", one.arithmetic),
        ("so what", one.consequence),
    ):
        lines.add_row(Text(name), Text(text))
    head = Text.assemble(
        (f"{position}. ", "bold"), (one.place, _STYLES.get(one.certainty, "bold")), (f"  [{one.id}]", "dim")
    )
    return Group(Text(), head, Padding(lines, (0, 0, 0, 3)))


def _denominators(report: AuditReport) -> Table:
    shown = Table("paper", "check", "what agrees", "where", "comparisons", show_lines=False)
    shown.columns[-1].justify = "right"
    for one in report.agreements:
        shown.add_row(
            Text(TITLES[one.paper]), Text(CHECKS[one.check]), Text(one.what), Text(one.place), Text(str(one.cells))
        )
    return shown


def _summary(report: AuditReport) -> Text:
    lines = []
    for paper in PAPERS:
        found = [one for one in report.findings if one.paper == paper]
        agreeing = sum(one.cells for one in report.agreements if one.paper == paper)
        if found or agreeing:
            degrees = ", ".join(f"{sum(one.certainty == degree for one in found)} {degree}" for degree in CERTAINTIES)
            lines.append(f"{TITLES[paper]}: {len(found)} findings ({degrees}); {agreeing} comparisons agree.")
    return Text("\n".join(lines))


def findings_table(report: AuditReport, check: str | tuple[str, ...] | None = None) -> pd.DataFrame:
    """Findings as a table to read: a row a finding, without ids and claims.

    Parameters
    ----------
    report : AuditReport
    check : str or tuple of str, optional
        Families of checks to keep; all when left out.

    Returns
    -------
    pandas.DataFrame
        Columns paper, place, printed, recomputed, arithmetic, certainty, consequence.
    """
    wanted = _wanted(check)
    rows = [
        (TITLES[one.paper], one.place, one.printed, one.recomputed, one.arithmetic, one.certainty, one.consequence)
        for one in report.findings
        if one.check in wanted
    ]
    columns = ["paper", "place", "printed", "recomputed", "arithmetic", "certainty", "consequence"]
    return pd.DataFrame(rows, columns=columns)


@dataclass(frozen=True)
class PageTable:
    """A table of sentences as a page shows it: wrapped HTML, and in plain text what it is about.

    Attributes
    ----------
    summary : str
        Plain text; the same at every run, so that a notebook's stored output can be compared.
    table : pandas.DataFrame
        The cells.
    """

    summary: str
    table: pd.DataFrame = field(repr=False)

    def __repr__(self) -> str:
        return self.summary

    def _repr_html_(self) -> str:
        # The name of the table is made from its content, so that the same table is the same page.
        identity = hashlib.sha256(self.table.to_csv(index=False).encode()).hexdigest()[:10]
        style = [{"selector": "td, th", "props": "text-align: left; vertical-align: top; white-space: normal;"}]
        shown = self.table.style.set_uuid(identity).hide(axis="index").format(escape="html")
        return shown.set_table_styles(style).to_html()


def findings_for_page(report: AuditReport, check: str | tuple[str, ...] | None = None) -> PageTable:
    """Findings as a page shows them: whole sentences, wrapped.

    Parameters
    ----------
    report, check
        As in `findings_table`.

    Returns
    -------
    PageTable
        A row a finding: where and how sure, printed, recomputed, arithmetic, consequence.
    """
    found = findings_table(report, check)
    where = found["paper"] + ", " + found["place"] + " (" + found["certainty"] + ")"
    shown = found[["printed", "recomputed", "arithmetic", "consequence"]].set_axis(
        ["printed", "follows from the rest", "arithmetic", "what it means"], axis=1
    )
    shown.insert(0, "place", where)
    names = [one.id for one in report.findings if one.check in _wanted(check)]
    return PageTable(f"{len(names)} finding{'' if len(names) == 1 else 's'}: {', '.join(names)}", shown)


def agreement_for_page(report: AuditReport, check: str | tuple[str, ...] | None = None) -> PageTable:
    """What was checked and agrees, as a page shows it.

    Parameters
    ----------
    report, check
        As in `findings_table`.

    Returns
    -------
    PageTable
        A row a check: paper, what agrees, where, comparisons.
    """
    wanted = _wanted(check)
    rows = [(TITLES[one.paper], one.what, one.place, one.cells) for one in report.agreements if one.check in wanted]
    table = pd.DataFrame(rows, columns=["paper", "what agrees", "where", "comparisons"])
    return PageTable(f"{table['comparisons'].sum()} comparisons agree, in {len(table)} checks", table)


def _wanted(check: str | tuple[str, ...] | None) -> set[str]:
    return set(CHECKS) if check is None else {check} if isinstance(check, str) else set(check)


def denominator_table(report: AuditReport) -> pd.DataFrame:
    """How many comparisons agree, and how many findings there are, by family of checks and paper.

    Parameters
    ----------
    report : AuditReport

    Returns
    -------
    pandas.DataFrame
        A row a family of checks; for each paper a column of comparisons that agree and one of findings.
    """
    rows = []
    for check, title in CHECKS.items():
        row: dict[str, object] = {"check": title}
        for paper in PAPERS:
            row[f"{TITLES[paper]}: agree"] = sum(
                one.cells for one in report.agreements if one.paper == paper and one.check == check
            )
            row[f"{TITLES[paper]}: findings"] = sum(
                one.paper == paper and one.check == check for one in report.findings
            )
        rows.append(row)
    return pd.DataFrame(rows)
