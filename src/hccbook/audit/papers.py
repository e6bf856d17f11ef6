"""The audit of a paper in a folder, of several, and of the two papers of this book."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from hccbook.audit import (
    auc,
    categories,
    characteristics,
    counts,
    derived_scores,
    hazard_ratios,
    horizons,
    intervals,
    means,
    methods,
    ratios,
    reclassification,
    relations,
    repeated_numbers,
    significance,
    statements,
    survival,
    two_by_two,
)
from hccbook.audit.between import check_papers
from hccbook.audit.explanations import explanations
from hccbook.audit.findings import CERTAINTIES, AuditReport, CheckResult, NotApplied
from hccbook.audit.ledger import Ledger
from hccbook.audit.transcription import Transcription
from hccbook.errors import DataError
from hccbook.papers import PAPERS
from hccbook.run import published_dir


class Check(NamedTuple):
    """One check that every paper gets.

    Attributes
    ----------
    family, what : str
        One of `findings.CHECKS`, and what is compared.
    apply : callable
        Its results on a paper; none where the paper gives it nothing.
    needs : str
        What it needs.
    """

    family: str
    what: str
    apply: Callable[[Transcription], Iterator[CheckResult]]
    needs: str


_GROUPS = "groups whose sizes are printed (sizes, pooled, groupings)"
_TABLE = "a table of characteristics (compares) whose columns have printed sizes"
_ROWS = "rows of sensitivity, specificity, PPV, NPV, accuracy or F1 with printed people and events"
_AREAS = "an AUC with limits, of people and events that are printed"

CHECKS = (
    Check("counts", "percentages against their counts", counts.check_percentages, "a percentage beside its count"),
    Check("counts", "percentages without counts", counts.check_lone_percentages, f"{_TABLE}, with lone percentages"),
    Check("counts", "denominators", counts.check_denominators, "a denominator printed in a table of characteristics"),
    Check("counts", "groups against their share of the cohort", counts.check_shares, "percentages named in shares"),
    Check("counts", "groups against their cohort", counts.check_sizes, _GROUPS),
    *(
        Check(family, what, characteristics.in_every_table(check), f"{_TABLE}, {rows}")
        for family, what, check, rows in (
            ("counts", "pooled columns", characteristics.check_pooled_counts, "one of them pooled"),
            ("counts", "categories", characteristics.check_partitions, "with rows under a heading"),
            ("p_values", "p-values of counts", characteristics.check_count_p_values, "with p-values of counts"),
            ("p_values", "p-values of quartiles", characteristics.check_quartile_p_values, "p-values and quartiles"),
            ("quantiles", "pooled quartiles", characteristics.check_pooled_quartiles, "one of them pooled, quartiles"),
            ("quantiles", "order of quartiles", characteristics.check_rising, "with quartiles"),
            ("repeated_numbers", "copied cells", characteristics.check_copied, "with two rows of quartiles"),
        )
    ),
    Check("quantiles", "categories of a quantity", characteristics.check_bounds, "categories named in bounds"),
    Check("derived_scores", "scores against their inputs", derived_scores.check_scores, "scores with their inputs"),
    Check("two_by_two", "2x2 tables", two_by_two.check_rows, _ROWS),
    Check("two_by_two", "subgroups against their cohort", two_by_two.check_groupings, f"{_ROWS}, of a grouping"),
    Check("two_by_two", "groups at a cut-off", two_by_two.check_flagged, "a grouping that says whom a cut-off flags"),
    Check("intervals", "estimates inside their intervals", intervals.check_estimates, "numbers with limits"),
    Check("intervals", "methods of intervals", intervals.check_methods, f"{_ROWS}, with limits, one table behind each"),
    Check("intervals", "intervals of AUCs", auc.check_intervals, _AREAS),
    Check("intervals", "AUCs against chance", auc.check_chance, _AREAS),
    Check("intervals", "AUCs against operating points", auc.check_operating_points, "an AUC of known people"),
    Check("intervals", "AUCs against their parts", auc.check_parts, "AUCs of a grouping, or a score that orders one"),
    Check(
        "intervals",
        "ratios of groups against events",
        hazard_ratios.check_hazard_ratios,
        "hazard or odds ratios with limits, of a counted row or of hazard_groups",
    ),
    Check("means", "means of whole numbers", means.check_whole_numbers, "means of rows named in whole_numbers"),
    Check("means", "pooled means", means.check_pooled, "means (and sd) of a pooled cohort and of its parts"),
    Check("p_values", "p-values of means", means.check_p_values, "p-values beside means and sd of compared groups"),
    Check("ratios", "ratios and regressions", ratios.check_rows, "ratios with limits, or coefficients beside them"),
    Check("survival", "numbers at risk", survival.check_at_risk, "numbers at risk, in rows that begin with the time"),
    Check("reclassification", "NRI and IDI", reclassification.check_parts, "an NRI or IDI beside its parts"),
    Check("calibration_counts", "expected events", reclassification.check_expected, "expected beside observed events"),
    Check("statements", "AUCs of few events", statements.check_few_events, "an AUC of known people"),
    Check("categories", "labels", categories.check_labels, "groupings or rows under a heading that span numbers"),
    Check("horizons", "incidences", horizons.check_incidences, "incidences named in horizons"),
    Check("significance", "claims of significance", significance.check_claimed, "a claim named in marks"),
    Check("significance", "p-values of differences", significance.check_differences, "a difference with limits and p"),
    Check("significance", "claims of likeness", characteristics.check_claimed_alike, "a claim named in alike"),
    Check("methods", "methods as named", methods.check_named, "numbers or names listed in methods"),
    Check("repeated_numbers", "the text against itself", repeated_numbers.check_text, "a number that the text repeats"),
    Check(
        "repeated_numbers",
        "the text against the tables",
        repeated_numbers.check_text_against_tables,
        "a cell of a table that the text repeats under the same row",
    ),
    Check("repeated_numbers", "sizes wherever printed", repeated_numbers.check_groups, _GROUPS),
    Check("repeated_numbers", "measures wherever printed", repeated_numbers.check_measures, "one printed twice"),
    Check("repeated_numbers", "one thing under two names", repeated_numbers.check_named_twice, "pairs named in same"),
    Check("repeated_numbers", "range of AUCs", repeated_numbers.check_ranges_over_cohorts, "a least and greatest AUC"),
    Check("counts", "what the description says must hold", relations.check_relations, "relations"),
)
"""Every check that a paper gets without being asked for it."""


def audit_folder(folder: Path) -> AuditReport:
    """Audit the paper that a folder describes and transcribes.

    Parameters
    ----------
    folder : Path
        With ``paper.yaml``, tidy CSVs, and ``findings.yaml`` where somebody has weighed the findings.

    Returns
    -------
    AuditReport
        Findings, surest first; what was checked and agrees; and what could not be checked, and why.

    Raises
    ------
    DataError
        If the description or a table is wrong.
    """
    return audit_paper(Transcription.read(folder), folder)


def audit_paper(paper: Transcription, folder: Path, also: Iterable[CheckResult] = ()) -> AuditReport:
    """Audit a paper that has been read; parameters as for `audit_folder`, and further results of its checks."""
    given = statements.answers(folder)
    ledger, not_applied = Ledger(paper), statements.not_said(paper.name, given)
    for result in (*statements.check_answers(given), *also):
        ledger.record(result)
    for check in CHECKS:
        results = list(check.apply(paper))
        for result in results:
            ledger.record(result)
        if not results:
            not_applied.append(NotApplied(paper.name, check.family, check.what, f"It needs {check.needs}."))
    ledger.explain(explanations(folder))
    ledger.close()
    found = sorted(ledger.findings, key=lambda one: CERTAINTIES.index(one.certainty))
    titles = {paper.name: paper.description.title}
    return AuditReport(titles, tuple(found), tuple(ledger.agreements), tuple(not_applied))


def audit_folders(folders: Sequence[Path]) -> AuditReport:
    """Audit several papers, and what they print of the same patients.

    Raises
    ------
    DataError
        As `audit_folder`, or if two papers have one name.
    """
    papers = [Transcription.read(folder) for folder in folders]
    names = [one.name for one in papers]
    if len(set(names)) < len(names):
        raise DataError("papers", "names must differ", ", ".join(names), "Rename one in its paper.yaml.")
    shared: dict[str, list[CheckResult]] = {}
    for paper, result in check_papers(papers):
        shared.setdefault(paper.name, []).append(result)
    pairs = zip(papers, folders, strict=True)
    return AuditReport.joined(audit_paper(paper, folder, shared.get(paper.name, ())) for paper, folder in pairs)


def published_paper(name: str) -> Transcription:
    """One of the two papers of this book, as transcribed."""
    return Transcription.read(published_dir() / name)


@cache
def everything() -> AuditReport:
    """Run every check on both papers of this book, once."""
    return audit_folders([published_dir() / name for name in PAPERS])


def audit(paper: str | None = None, certainty: str | None = None) -> AuditReport:
    """Compare what both papers print with what else they print.

    No patient data enter: only the transcription in ``data/published``, rounding respected throughout.

    Parameters
    ----------
    paper : {'alarm', 'amap_ct'}, optional
        One paper; both when left out.
    certainty : str, optional
        One of `findings.CERTAINTIES`, or ``certain`` or ``implied`` for short; all when left out.

    Returns
    -------
    AuditReport
        Findings by paper and certainty, and what was checked and agrees.

    Raises
    ------
    DataError
        If the paper or the certainty is unknown, or a number that a check needs is not transcribed.
    """
    return everything().filtered(paper, certainty)
