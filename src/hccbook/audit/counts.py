"""Counts, percentages and sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from hccbook.audit.findings import CERTAIN, IMPLIED, ROUNDING, CheckResult, Discrepancy
from hccbook.audit.printed import Range, counts_that_print_as, is_number

if TYPE_CHECKING:
    from hccbook.audit.expressions import Quoted
    from hccbook.audit.transcription import Transcription

CHECK = "counts"


class PrintedShare(NamedTuple):
    """A count, what it is counted out of, and the percentage printed beside it.

    Attributes
    ----------
    cell : str
        Where it stands.
    count, total : int
    share : Range
        Printed percentage as a share of 1.
    """

    cell: str
    count: int
    total: int
    share: Range

    @property
    def exact(self) -> float:
        """Share that the counts give."""
        return self.count / self.total


def percentages(shares: Iterable[PrintedShare], what: str = "percentage against its count") -> CheckResult:
    """Whether each printed percentage is that of its count: ``100 x count / total``; a half may be rounded either way.

    Parameters
    ----------
    shares : iterable of PrintedShare
    what : str
        Name of the comparison.

    Returns
    -------
    CheckResult
        One comparison a percentage.
    """
    every = list(shares)
    wrong = tuple(_misprinted(one, rounded_twice(one)) for one in every if not one.share.holds(one.exact))
    return CheckResult(CHECK, what, len(every), wrong)


def _misprinted(one: PrintedShare, twice: bool) -> Discrepancy:
    arithmetic = f"{one.count} / {one.total} = {100 * one.exact:.3f} %, not {one.share.text} %"
    return Discrepancy(
        CHECK,
        f"{one.cell}, rounded twice" if twice else one.cell,
        f"{one.count} ({one.share.text} %)",
        f"{100 * one.exact:.{_decimals(one.share)}f} %",
        arithmetic + ("; as printed when it is rounded to one decimal more first" if twice else ""),
        ROUNDING if twice else CERTAIN,
    )


def rounded_twice(one: PrintedShare) -> bool:
    """Whether a printed percentage is wrong, and right when rounded to one decimal more first: 2.048, 2.05, 2.1."""
    exact, decimals = Decimal(100 * one.count) / Decimal(one.total), _decimals(one.share)
    first = exact.quantize(Decimal(1).scaleb(-decimals - 1), ROUND_HALF_UP)
    second = first.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return not one.share.holds(one.exact) and second == Decimal(one.share.text)


def _decimals(share: Range) -> int:
    return len(share.text.partition(".")[2])


def sums(totals: Mapping[str, tuple[int, Sequence[int]]], what: str = "parts against their total") -> CheckResult:
    """Whether parts add up to the printed total.

    Parameters
    ----------
    totals : mapping of str to (int, sequence of int)
        For each cell the printed total and its parts, which must not overlap.
    what
        As in `percentages`.

    Returns
    -------
    CheckResult
        One comparison a total.
    """
    wrong = [
        Discrepancy(
            CHECK, cell, str(whole), str(sum(parts)), f"{' + '.join(map(str, parts))} = {sum(parts)}, not {whole}"
        )
        for cell, (whole, parts) in totals.items()
        if sum(parts) != whole
    ]
    return CheckResult(CHECK, what, len(totals), tuple(wrong))


def section(place: str) -> str:
    """Table, or section of the text, without the number of the sentence."""
    return place.partition(", sentence")[0]


def _count(quoted: Quoted | None) -> int | None:
    """A printed whole number; None where none is printed."""
    return quoted.people if quoted else None


def _share(paper: Transcription, key: tuple[str, str, str, str]) -> PrintedShare | None:
    """A count with its percentage and what it is out of; in the text, of all that it may be out of what fits."""
    (place, row, cohort, subgroup), by = key, paper.cells[key]
    events, own = by.get(paper.description.outcome.events), paper.sizes.get((cohort, subgroup))
    count, everybody = _count(events or by.get("count")), paper.sizes.get((cohort, ""))
    if events or "denominator" in by:
        totals = [_count(by.get("count" if events else "denominator"))]
    elif place in paper.description.compares:
        totals = [everybody if own is None else own]
    else:
        totals = [own, everybody]
    possible = [total for total in totals if count is not None and total and total >= count]
    if not possible or not is_number(by["percentage"].value):
        return None
    name = ", ".join(filter(None, (row, cohort.replace("_", " "), subgroup)))
    every = [PrintedShare(name, count, total, by["percentage"].number()) for total in possible]
    return next((one for one in every if one.share.holds(one.exact)), every[0])


def check_percentages(paper: Transcription) -> Iterator[CheckResult]:
    """Every percentage against the count printed with it and the people that it is of."""
    pairs = [(section(key[0]), _share(paper, key)) for key, by in paper.cells.items() if "percentage" in by]
    for place, some in groupby(pairs, key=lambda pair: pair[0]):
        shares = [share for _, share in some if share is not None]
        if shares:
            yield percentages(shares).at(place)


def check_lone_percentages(paper: Transcription) -> Iterator[CheckResult]:
    """Percentages that a table of characteristics prints without a count: whether any count gives them."""
    for place in paper.description.compares:
        results = []
        for (where, row, cohort, subgroup), by in paper.cells.items():
            size = paper.sizes.get((cohort, subgroup))
            others = {"count", "denominator", paper.description.outcome.events} & set(by)
            if where != place or others or not size or "percentage" not in by or not is_number(by["percentage"].value):
                continue
            cell, share = ", ".join(filter(None, (row, cohort, subgroup))), by["percentage"].number()
            arithmetic = f"{share.text} % is a share of no whole number of {size} people"
            wrong = Discrepancy(CHECK, cell, f"{share.text} %", "another percentage", arithmetic, IMPLIED)
            results.append(CheckResult.of_one(bool(counts_that_print_as(share, size)), "", wrong))
        if results:
            yield CheckResult.joined(CHECK, "percentages of whole numbers of people", results).at(place)


def check_denominators(paper: Transcription) -> Iterator[CheckResult]:
    """Every denominator that a table prints against the size of its column."""
    for place in paper.description.compares:
        totals = {}
        for (where, row, cohort, subgroup), by in paper.cells.items():
            people, size = _count(by.get("denominator")), paper.sizes.get((cohort, subgroup))
            if where == place and people is not None and size is not None:
                totals[", ".join(filter(None, (row, cohort, subgroup)))] = (people, [size])
        if totals:
            yield sums(totals, "printed denominators against the columns").at(place)


def check_shares(paper: Transcription) -> Iterator[CheckResult]:
    """Every percentage that a group is said to be of its cohort against the sizes of both."""
    shares = []
    for where in paper.description.shares:
        for one in paper.at(where).itertuples():
            size, everybody = (paper.sizes.get((one.cohort, group)) for group in (one.subgroup, ""))
            if size is not None and everybody and one.quantity == "percentage":
                printed = paper.cells[one.place, one.row, one.cohort, one.subgroup]["percentage"].number()
                shares.append(PrintedShare(f"{one.row}, {one.cohort}, {one.subgroup}", size, everybody, printed))
    if shares:
        yield percentages(shares, "groups: percentage against their size").at("text")


def check_sizes(paper: Transcription) -> Iterator[CheckResult]:
    """Sizes of groups against each other: pooled cohorts, and groupings that hold everybody once."""
    totals: dict[str, tuple[int, list[int]]] = {}
    sizes, about, printed = paper.sizes, paper.description, {group for group, *_ in paper.size_printings}
    for whole, parts in about.pooled.items():
        for (cohort, subgroup), size in sizes.items():
            if cohort == whole and all((part, subgroup) in sizes for part in parts):
                totals[", ".join(filter(None, ("size", whole, subgroup)))] = (
                    size,
                    [sizes[part, subgroup] for part in parts],
                )
    for cohort in about.every_cohort:
        for one in about.groupings:
            every = [(cohort, group) for group in ("", *one.groups)]
            # Where rows of performance are printed, their tables are added up, people too.
            if all(group in printed for group in every) and not all(group in paper.performance for group in every):
                totals[f"{one.name}, {cohort}"] = (sizes[every[0]], [sizes[group] for group in every[1:]])
    if totals:
        yield sums(totals, "groups against their cohort").at("sizes of groups")
