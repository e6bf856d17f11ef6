"""A paper taken apart, and the checks that every such paper gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hccbook.audit import derived_scores
from hccbook.audit.characteristics import Characteristics, Group, group_name
from hccbook.audit.counts import PrintedShare
from hccbook.audit.findings import CheckResult
from hccbook.audit.lookup import Transcription
from hccbook.audit.printed import Range
from hccbook.audit.repeated_numbers import printed_alike
from hccbook.audit.two_by_two import PerformanceRow, TwoByTwo, recover


@dataclass(frozen=True)
class AuditedPaper(Transcription):
    """A paper whose tables of characteristics and of performance are taken apart.

    Attributes
    ----------
    characteristics : Characteristics
        Its table of patients.
    performance : dict of (str, str) to PerformanceRow
        Rows of its table of performance, by cohort and cut-off or subgroup.
    recovery : CheckResult
        Whether there is a 2x2 table behind each of these rows.
    tables : dict of str to list of TwoByTwo
        All of them, by the name of the row.
    """

    characteristics: Characteristics
    performance: dict[tuple[str, str], PerformanceRow]
    recovery: CheckResult
    tables: dict[str, list[TwoByTwo]]

    @classmethod
    def of(
        cls, paper: Transcription, characteristics: Characteristics, performance: dict[tuple[str, str], PerformanceRow]
    ) -> AuditedPaper:
        """A transcribed paper with its tables taken apart and its 2x2 tables recovered."""
        recovery, tables = recover(list(performance.values()))
        return cls(paper.name, paper.numbers, characteristics, performance, recovery, tables)

    @property
    def recovered(self) -> dict[tuple[str, str], TwoByTwo]:
        """The 2x2 table of each row behind which there is one and no other."""
        fitting = {key: self.tables[row.name] for key, row in self.performance.items()}
        return {key: tables[0] for key, tables in fitting.items() if len(tables) == 1}

    def recovered_of(self, keys: Sequence[tuple[str, str]]) -> list[TwoByTwo]:
        """The 2x2 tables of some rows; none where one of them is not recovered."""
        recovered = self.recovered
        return [recovered[key] for key in keys] if all(key in recovered for key in keys) else []

    def share(self, count: int, total: int, quantity: str = "percentage", **where: str) -> PrintedShare:
        """A count, what it is out of, and the percentage that is printed of it."""
        return PrintedShare(", ".join(where.values()), count, total, self.range(quantity, "%", **where))

    def alike(self, cell: str, *printings: dict[str, str]) -> list[CheckResult]:
        """Whether a number called `cell` is printed alike in the rows whose columns hold what `printings` say.

        There is no result where it is printed once or not at all.
        """
        rows = [one for where in printings for one in self.select(**where).itertuples()]
        texts = [(one.place, (one.value, one.lower, one.upper)) for one in rows]
        return [printed_alike(cell, texts)] if len(texts) > 1 else []


class AmapRows(NamedTuple):
    """Rows of a table of characteristics that hold aMAP and what it is made from."""

    score: str
    age: str
    male: str
    bilirubin: str
    albumin: str
    platelets: str


def mean_amap(table: Characteristics, rows: AmapRows, group: Group, men: float) -> Range:
    """Mean aMAP of a column from its printed inputs, with so many men."""
    share = men / table.design.sizes[group]
    age, bilirubin, albumin, platelets = (
        table.quartiles[row][group] for row in (rows.age, rows.bilirubin, rows.albumin, rows.platelets)
    )
    return derived_scores.mean_amap(age, Range(share, share), bilirubin, albumin, platelets)


def check_amap(table: Characteristics, rows: AmapRows, men: Mapping[Group, int]) -> CheckResult:
    """Printed aMAP of every column against its printed inputs, given the men of each; one comparison a column."""
    results = []
    for group, size in table.design.sizes.items():
        cell, from_inputs = f"{rows.score}, {group_name(group)}", mean_amap(table, rows, group, men[group])
        results.append(derived_scores.amap_from_inputs(cell, size, table.quartiles[rows.score][group], from_inputs))
    return CheckResult.joined(derived_scores.CHECK, "mean aMAP against its inputs", results)
