"""All 2x2 tables behind printed measures of diagnostic performance, by exact search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hccbook.audit.findings import CERTAIN, ROUNDING, CheckResult, Discrepancy
from hccbook.audit.printed import SLACK, Range, counts_that_print_as, cut_or_rounded
from hccbook.errors import DataError

if TYPE_CHECKING:
    from hccbook.audit.transcription import Transcription

CHECK = "two_by_two"

PROPORTIONS = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1")
CELLS = ("true positives", "false positives", "false negatives", "true negatives")
DERIVED = (
    "prevalence", "youden index", "balanced accuracy", "positive likelihood ratio", "negative likelihood ratio",
    "kappa", "mcc", *CELLS,
)  # fmt: skip
MEASURES = (*PROPORTIONS, *DERIVED)
"""Measures that the search knows: shares of people, what is worked out from them, and the cells themselves."""


class TwoByTwo(NamedTuple):
    """People by test and outcome."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def n(self) -> int:
        """People in all."""
        return sum(self)

    @property
    def events(self) -> int:
        """People with the outcome."""
        return self.tp + self.fn

    @property
    def flagged(self) -> int:
        """People called positive."""
        return self.tp + self.fp

    def counts(self, measure: str) -> tuple[int, int]:
        """Numerator and denominator of a measure; of F1 those of ``2 TP / (2 TP + FP + FN)``."""
        tp, fp, fn, tn = self
        return {
            "sensitivity": (tp, tp + fn),
            "specificity": (tn, tn + fp),
            "ppv": (tp, tp + fp),
            "npv": (tn, tn + fn),
            "accuracy": (tp + tn, self.n),
            "f1": (2 * tp, 2 * tp + fp + fn),
        }[measure]

    def value(self, measure: str) -> float:
        """Value of a measure; NaN where its denominator is 0."""
        if measure in DERIVED:
            with np.errstate(divide="ignore", invalid="ignore"):
                return float(derived(self, measure))
        numerator, denominator = self.counts(measure)
        return numerator / denominator if denominator else float("nan")

    def __str__(self) -> str:
        return f"TP {self.tp}, FP {self.fp}, FN {self.fn}, TN {self.tn}"


def derived(table: TwoByTwo, measure: str) -> np.ndarray:
    """Value of one of `DERIVED`, of one table or of many; not finite where it is undefined.

    References
    ----------
    Cohen 1960, Educ Psychol Meas 20:37, for kappa; Matthews 1975, Biochim Biophys Acta 405:442, for MCC.
    """
    tp, fp, fn, tn = (np.asarray(cell, dtype=float) for cell in table)
    n, sensitivity, specificity = tp + fp + fn + tn, tp / (tp + fn), tn / (tn + fp)
    chance = ((tp + fp) * (tp + fn) + (tn + fp) * (tn + fn)) / n**2
    if measure in CELLS:
        return (tp, fp, fn, tn)[CELLS.index(measure)]
    return {
        "prevalence": lambda: (tp + fn) / n + 0 * tn,
        "youden index": lambda: sensitivity + specificity - 1,
        "balanced accuracy": lambda: (sensitivity + specificity) / 2,
        "positive likelihood ratio": lambda: sensitivity / (1 - specificity),
        "negative likelihood ratio": lambda: (1 - sensitivity) / specificity,
        "kappa": lambda: ((tp + tn) / n - chance) / (1 - chance),
        "mcc": lambda: (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)),
    }[measure]()


def compatible_tables(measures: Mapping[str, Range | None], events: int, nonevents: int) -> list[TwoByTwo]:
    """Every integer 2x2 table whose measures round to what is printed.

    With D people who have the outcome and H who have not, each table is one pair (TP, TN); all of them are tried.

    Parameters
    ----------
    measures : mapping of str to Range or None
        Printed measures, some of `MEASURES`. None stands for a printed ``n.a.``: the measure is 0 divided by 0.
        F1 is undefined too where nobody with the outcome is flagged: as the harmonic mean of two zeros.
    events, nonevents : int
        People with and without the outcome.

    Returns
    -------
    list of TwoByTwo
        In the order of true positives, true negatives; empty where none exists.

    Raises
    ------
    DataError
        If a measure is unknown or a number of people is negative.

    Examples
    --------
    >>> from hccbook.audit.printed import printed_range
    >>> printed = {"sensitivity": "0.792", "specificity": "0.789", "ppv": "0.103"}
    >>> compatible_tables({name: printed_range(text) for name, text in printed.items()}, 24, 785)
    [TwoByTwo(tp=19, fp=166, fn=5, tn=619)]
    """
    unknown = sorted(set(measures) - set(MEASURES))
    if unknown:
        raise DataError("measures", f"must be among {', '.join(MEASURES)}", ", ".join(unknown), "Correct the names.")
    if min(events, nonevents) < 0:
        raise DataError("events and non-events", "must be 0 or more", "a negative number", "Check the group sizes.")
    tp, tn = np.arange(events + 1)[:, None], np.arange(nonevents + 1)[None, :]
    every = TwoByTwo(tp, nonevents - tn, events - tp, tn)
    fits = np.ones((events + 1, nonevents + 1), dtype=bool)
    for measure, printed in measures.items():
        if measure in DERIVED:
            with np.errstate(divide="ignore", invalid="ignore"):
                value = derived(every, measure)
            undefined = ~np.isfinite(value)
            fits &= undefined if printed is None else (value >= printed.low - SLACK) & (value <= printed.high + SLACK)
            continue
        numerator, denominator = every.counts(measure)
        if printed is None:
            fits &= (denominator == 0) | ((measure == "f1") & (tp == 0))
        else:
            least, greatest = (printed.low - SLACK) * denominator, (printed.high + SLACK) * denominator
            fits &= (numerator >= least) & (numerator <= greatest) & (denominator > 0)
    return [TwoByTwo(a, nonevents - b, events - a, b) for a, b in np.argwhere(fits).tolist()]


class PerformanceRow(NamedTuple):
    """One row of a table of diagnostic performance.

    Attributes
    ----------
    name : str
        Cohort or subgroup.
    n, events : int
        People, and those with the outcome, as printed.
    measures : dict of str to Range or None
        Printed measures, as `compatible_tables` takes them.
    """

    name: str
    n: int
    events: int
    measures: dict[str, Range | None]

    @property
    def nonevents(self) -> int:
        """Printed number of people without the outcome."""
        return self.n - self.events


def fitting_tables(row: PerformanceRow) -> list[TwoByTwo]:
    """All 2x2 tables of a row with its printed group sizes; where none prints so, those that do with digits cut."""
    tables = compatible_tables(row.measures, row.events, row.nonevents)
    if tables:
        return tables
    cut = {name: one and cut_or_rounded(one) for name, one in row.measures.items()}
    return compatible_tables(cut, row.events, row.nonevents)


def recover(rows: Mapping[str, tuple[PerformanceRow, Sequence[TwoByTwo]]]) -> CheckResult:
    """Whether there is a 2x2 table behind each row.

    Parameters
    ----------
    rows : mapping of str to (PerformanceRow, sequence of TwoByTwo)
        By name, with their `fitting_tables`.

    Returns
    -------
    CheckResult
        One comparison a row; a row fails where no table prints so.
    """
    wrong = [_misprinted(row, tables) for row, tables in rows.values() if not tables or _is_cut(row, tables[0])]
    return CheckResult(CHECK, "2x2 table of each row", len(rows), tuple(wrong))


def _is_cut(row: PerformanceRow, table: TwoByTwo) -> bool:
    return any(one is not None and not one.holds(table.value(name)) for name, one in row.measures.items())


def _misprinted(row: PerformanceRow, cut: Sequence[TwoByTwo]) -> Discrepancy:
    """A row behind which there is no table, or (`cut`) one alone that last digits were cut of."""
    none = (
        f"none of the {(row.events + 1) * (row.nonevents + 1)} tables of {row.events} with and "
        f"{row.nonevents} without the outcome prints as these measures"
    )
    if len(cut) == 1:
        return _cut(row, cut[0], none)
    shown = ", ".join(f"{name} {'n.a.' if one is None else one.text}" for name, one in row.measures.items())
    own = {"sensitivity": row.events, "specificity": row.nonevents, "accuracy": row.n}
    shares = [
        f"{one.text} is a share of no whole number of {own[name]}"
        for name, one in row.measures.items()
        if name in own and one is not None and not counts_that_print_as(one, own[name])
    ]
    nearby = [f"n {n}, events {events}: {tables[0]}" for (n, events), tables in nearby_sizes(row).items()]
    only = nearby if len(nearby) == 1 else []
    alone = [f"of all sizes within one they are those of {one} alone" for one in only]
    arithmetic = "; ".join([none, *shares, *alone])
    printed = f"n {row.n}, events {row.events}: {shown}"
    recomputed = only[0] if only else "no 2x2 table"
    return Discrepancy(CHECK, row.name, printed, recomputed, arithmetic, ROUNDING if cut else CERTAIN)


def _cut(row: PerformanceRow, table: TwoByTwo, none: str) -> Discrepancy:
    values = {name: table.value(name) for name, one in row.measures.items() if one and not one.holds(table.value(name))}
    shares = ", ".join(f"{name} = {value:.5f}" for name, value in values.items())
    return Discrepancy(
        CHECK,
        f"{row.name}: {', '.join(values)}",
        ", ".join(f"{name} {row.measures[name].text}" for name in values),
        ", ".join(f"{name} {value:.4f}" for name, value in values.items()),
        f"{none}; {table} gives {shares}, whose last digit was cut instead of rounded",
        ROUNDING,
    )


def partitions(
    whole: PerformanceRow, families: Mapping[str, Sequence[PerformanceRow]], tables: Mapping[str, Sequence[TwoByTwo]]
) -> CheckResult:
    """Whether each family of subgroups adds up to the cohort: people, events, and recovered tables.

    Parameters
    ----------
    whole : PerformanceRow
        The cohort.
    families : mapping of str to sequence of PerformanceRow
        Families of subgroups (sex, age, ...); each covers everybody once.
    tables : mapping of str to sequence of TwoByTwo
        Tables of `recover`; cells are compared where every row of a family has exactly one.

    Returns
    -------
    CheckResult
        Two comparisons a family, and four more where tables are compared.
    """
    cells, wrong = 0, []
    for family, rows in families.items():
        pairs = {"n": (whole.n, [row.n for row in rows]), "events": (whole.events, [row.events for row in rows])}
        fitting = [tables[row.name] for row in (whole, *rows)]
        if all(len(one) == 1 for one in fitting):
            for position, cell in enumerate(TwoByTwo._fields):
                pairs[cell.upper()] = (fitting[0][0][position], [one[0][position] for one in fitting[1:]])
        cells += len(pairs)
        for cell, (expected, parts) in pairs.items():
            if sum(parts) != expected:
                arithmetic = f"{cell}: {' + '.join(map(str, parts))} = {sum(parts)}, not {expected}"
                where = f"{whole.name}, {family}, {cell}"
                wrong.append(Discrepancy(CHECK, where, str(expected), str(sum(parts)), arithmetic))
    return CheckResult(CHECK, "subgroups add up to their cohort", cells, tuple(wrong))


def nearby_sizes(row: PerformanceRow) -> dict[tuple[int, int], list[TwoByTwo]]:
    """Tables that fit the printed measures of a row when its printed n or events are off by one.

    Returns
    -------
    dict of (n, events) to list of TwoByTwo
        Those sizes for which a table exists.
    """
    tables_by_size = {
        (n, events): compatible_tables(row.measures, events, n - events)
        for n in range(row.n - 1, row.n + 2)
        for events in range(max(0, row.events - 1), min(n, row.events + 1) + 1)
    }
    return {size: tables for size, tables in tables_by_size.items() if tables}


def check_rows(paper: Transcription) -> Iterator[CheckResult]:
    """Whether there is a 2x2 table behind every row of performance, and whether those of subgroups add up."""
    rows = {row.name: (row, paper.tables[group]) for group, row in paper.performance.items()}
    if rows:
        yield recover(rows).at(paper.places_of(*MEASURES))


def check_groupings(paper: Transcription) -> Iterator[CheckResult]:
    """Whether rows of subgroups add up to the row of their cohort."""
    rows = paper.performance
    for cohort in paper.description.every_cohort:
        families = {
            one.name: [rows[cohort, group] for group in one.groups]
            for one in paper.description.groupings
            if all((cohort, group) in rows for group in (*one.groups, ""))
        }
        if families:
            tables = {row.name: paper.tables[group] for group, row in rows.items()}
            yield partitions(rows[cohort, ""], families, tables).at(paper.places_of(*MEASURES))


def check_flagged(paper: Transcription) -> Iterator[CheckResult]:
    """People whom the rows of performance flag against the groups at or above the same cut-off."""
    results = []
    for grouping in paper.description.groupings:
        for cutoff, groups in grouping.flagged.items():
            for cohort in paper.description.every_cohort:
                parts = paper.description.pooled.get(cohort, (cohort,))
                tables = [paper.recovered.get((part, cutoff)) for part in parts]
                sizes = [paper.sizes.get((cohort, group)) for group in groups]
                if None not in tables and None not in sizes:
                    results.append(_flagged(f"{', '.join(groups)}, {cohort}", tables, sizes))
    if results:
        yield CheckResult.joined(CHECK, "groups at or above a cut-off are those that it flags", results).at("text")


def _flagged(name: str, tables: Sequence[TwoByTwo], sizes: Sequence[int]) -> CheckResult:
    flagged = sum(table.flagged for table in tables)
    parts = " + ".join(str(table.flagged) for table in tables)
    arithmetic = f"the 2x2 tables flag {parts} = {flagged} people, the groups hold {sum(sizes)}"
    wrong = Discrepancy(CHECK, f"flagged: {name}", str(sum(sizes)), str(flagged), arithmetic)
    return CheckResult.of_one(flagged == sum(sizes), "", wrong)
