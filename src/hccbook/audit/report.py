"""The audit for the terminal, and as tables."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from hccbook.audit.findings import CERTAIN, CERTAINTIES, CHECKS, IMPLIED, AuditReport, Finding
from hccbook.audit.transcription import Transcription

_STYLES = {CERTAIN: "bold red", IMPLIED: "yellow"}

_NOTE = "Arithmetic on what is printed, rounding respected. It says what cannot be so as printed, not why."


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
    parts: list[RenderableType] = [Text(_NOTE, style="italic")]
    for paper in report.titles:
        for degree in CERTAINTIES:
            chosen = report.filtered(paper, degree).findings
            if chosen:
                parts += [Text(), Rule(Text(f"{report.titles[paper]}: {degree} ({len(chosen)})"), align="left")]
                parts += [_finding(position, one) for position, one in enumerate(chosen, start=1)]
    parts += [Text(), Rule(Text("Checked and found consistent"), align="left"), _denominators(report)]
    if report.not_applied:
        parts += [Text(), Rule(Text("Not applicable"), align="left"), _not_applied(report)]
    parts.append(_summary(report))
    return Group(*parts)


def _finding(position: int, one: Finding) -> RenderableType:
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column(overflow="fold")
    # Text, not str: brackets of an interval must not be taken for markup.
    for name in ("printed", "recomputed", "arithmetic"):
        lines.add_row(Text(name), Text(getattr(one, name)))
    lines.add_row(Text("so what"), Text(one.consequence))
    head = Text.assemble(
        (f"{position}. ", "bold"), (one.place, _STYLES.get(one.certainty, "bold")), (f"  [{one.id}]", "dim")
    )
    return Group(Text(), head, Padding(lines, (0, 0, 0, 3)))


def _denominators(report: AuditReport) -> Table:
    rows = [(one.paper, CHECKS[one.check], one.what, one.place, str(one.cells)) for one in report.agreements]
    shown = _by_paper(report, ("check", "what agrees", "where", "comparisons"), rows)
    shown.columns[-1].justify = "right"
    return shown


def _not_applied(report: AuditReport) -> Table:
    rows = [(one.paper, CHECKS[one.check], one.what, one.why) for one in report.not_applied]
    return _by_paper(report, ("check", "what", "why"), rows)


def _by_paper(report: AuditReport, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    """Rows that begin with a paper, which is named where there are several."""
    several = len(report.titles) > 1
    shown = Table(*["paper"] * several, *columns, show_lines=False)
    for paper, *cells in rows:
        shown.add_row(*map(Text, [report.titles[paper]] * several + cells))
    return shown


def _summary(report: AuditReport) -> Text:
    lines = []
    for paper in report.titles:
        part = report.filtered(paper)
        if part.findings or part.agreements:
            certainties = [one.certainty for one in part.findings]
            degrees = ", ".join(f"{certainties.count(degree)} {degree}" for degree in CERTAINTIES)
            lines.append(
                f"{report.titles[paper]}: {len(certainties)} findings ({degrees}); {part.agreeing} comparisons agree."
            )
    return Text("\n".join(lines))


@dataclass(frozen=True)
class PageTable:
    """A table of sentences as a page shows it: wrapped HTML, and in plain text what it is about.

    Attributes
    ----------
    summary : str
        Plain text; the same at every run, so that a notebook's stored output can be compared.
    table : pandas.DataFrame
        The cells.
    names : tuple of str
        What the rows can be linked to by, where they have names.
    """

    summary: str
    table: pd.DataFrame = field(repr=False)
    names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return self.summary

    def _repr_html_(self) -> str:
        # The name of the table is made from its content, so that the same table is the same page.
        identity = hashlib.sha256(self.table.to_csv(index=False).encode()).hexdigest()[:10]
        style = [{"selector": "td, th", "props": "text-align: left; vertical-align: top; white-space: normal;"}]
        shown = self.table.style.set_uuid(identity).hide(axis="index").format(escape="html")
        html = shown.set_table_styles(style).to_html()
        for row, name in enumerate(self.names):
            html = html.replace(f'id="T_{identity}_row{row}_col0"', f'id="{name}"')
        return html


def findings_for_page(report: AuditReport, check: str | tuple[str, ...] | None = None) -> PageTable:
    """Findings as a page shows them: whole sentences, wrapped.

    Parameters
    ----------
    report : AuditReport
    check : str or tuple of str, optional
        Families of checks to keep; all when left out.

    Returns
    -------
    PageTable
        One row per finding, which ``#finding-<id>`` leads to: where and how sure, printed, recomputed, arithmetic,
        consequence.
    """
    findings = report.filtered(check=check).findings
    rows = []
    for one in findings:
        where = f"{report.titles[one.paper]}, {one.place} ({one.certainty})"
        rows.append((where, one.printed, one.recomputed, one.arithmetic, one.consequence))
    columns = ["place", "printed", "follows from the rest", "arithmetic", "what it means"]
    summary = f"{len(rows)} finding{'' if len(rows) == 1 else 's'}: {', '.join(one.id for one in findings)}"
    names = tuple(f"finding-{one.id}" for one in findings)
    return PageTable(summary, pd.DataFrame(rows, columns=columns), names)


def agreement_for_page(report: AuditReport, check: str | tuple[str, ...] | None = None) -> PageTable:
    """What was checked and agrees, as a page shows it.

    Parameters
    ----------
    report, check
        As in `findings_for_page`.

    Returns
    -------
    PageTable
        One row per check: paper, what agrees, where, comparisons.
    """
    part = report.filtered(check=check)
    rows = [(report.titles[one.paper], one.what, one.place, one.cells) for one in part.agreements]
    table = pd.DataFrame(rows, columns=["paper", "what agrees", "where", "comparisons"])
    return PageTable(f"{part.agreeing} comparisons agree, in {len(rows)} checks", table)


def not_applied_for_page(report: AuditReport) -> PageTable:
    """What could not be checked, as a page shows it.

    Parameters
    ----------
    report : AuditReport

    Returns
    -------
    PageTable
        One row per check: paper, check, why not.
    """
    rows = [(report.titles[one.paper], one.what, one.why) for one in report.not_applied]
    summary = f"{len(rows)} checks or questions without an answer in print"
    return PageTable(summary, pd.DataFrame(rows, columns=["paper", "check", "why not"]))


def denominator_table(report: AuditReport) -> pd.DataFrame:
    """How many comparisons agree, and how many findings there are, by family of checks and paper.

    Parameters
    ----------
    report : AuditReport

    Returns
    -------
    pandas.DataFrame
        One row per family of checks; for each paper a column of comparisons that agree and one of findings.
    """
    rows = []
    for check, title in CHECKS.items():
        row: dict[str, object] = {"check": title}
        for paper, name in report.titles.items():
            part = report.filtered(paper, check=check)
            row |= {f"{name}: agree": part.agreeing, f"{name}: findings": len(part.findings)}
        if any(number for number in row.values() if number != title):
            rows.append(row)
    return pd.DataFrame(rows)


def two_by_two_frame(paper: Transcription, place: str) -> pd.DataFrame:
    """2x2 table of every row of a table of performance.

    Parameters
    ----------
    paper : Transcription
    place : str
        What the paper calls the table.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, row, n, events, tables (how many fit the printed measures), TP, FP, FN, TN (where one alone
        fits), flagged.
    """
    lines = []
    for cohort, subgroup in dict.fromkeys(map(paper.group_of, paper.at_place(place).itertuples())):
        row = paper.performance.get((cohort, subgroup))
        if row is not None:
            tables = paper.tables[cohort, subgroup]
            cells = (*tables[0], tables[0].flagged) if len(tables) == 1 else (pd.NA,) * 5
            lines.append((cohort, subgroup or "all", row.n, row.events, len(tables), *cells))
    columns = ["cohort", "row", "n", "events", "tables", "TP", "FP", "FN", "TN", "flagged"]
    return pd.DataFrame(lines, columns=columns).astype({name: "Int64" for name in columns[2:]})


def _with_interval(values: Sequence[float], unit: str = "") -> str:
    estimate, low, high = values
    return f"{estimate:.2f}{unit} ({low:.2f} to {high:.2f})"


def recall_table(measured: Mapping[str, Any]) -> pd.DataFrame:
    """How many planted errors of each kind are found, as the benchmark kept it.

    Parameters
    ----------
    measured : mapping
        Content of ``benchmarks/audit.json``.

    Returns
    -------
    pandas.DataFrame
        One row per kind of error: whether print determines the number, planted, found, share found with its interval.
    """
    rows = [
        (one["kind"], "yes" if one["determined"] else "no", one["planted"], one["found"], _with_interval(one["recall"]))
        for one in measured["recall"]
    ]
    return pd.DataFrame(rows, columns=["error in", "print determines it", "planted", "found", "share found (95% CI)"])


def alarm_table(measured: Mapping[str, Any]) -> pd.DataFrame:
    """How often the audit objects to papers without an error, by family of checks; parameter as for `recall_table`.

    Returns
    -------
    pandas.DataFrame
        One row per family: comparisons, false alarms, and these per 1,000 comparisons with their interval.
    """
    rows = [
        (one["check"], one["comparisons"], one["alarms"], _with_interval(one["per 1,000 comparisons"]))
        for one in measured["false alarms"]["families"]
    ]
    return pd.DataFrame(rows, columns=["check", "comparisons", "false alarms", "per 1,000 comparisons (95% CI)"])
