"""What a paper's description says must hold between its printed numbers, where no general check knows of it."""

from __future__ import annotations

from collections.abc import Iterator

from hccbook.audit.description import FILE, Relation
from hccbook.audit.expressions import evaluate
from hccbook.audit.findings import ROUNDING, CheckResult, Discrepancy
from hccbook.audit.transcription import Transcription
from hccbook.errors import DataError


def check_relations(paper: Transcription) -> Iterator[CheckResult]:
    """Every relation whose 2x2 tables are known."""
    for one in paper.description.relations:
        names = names_of(paper, one)
        if names is not None:
            yield _check(one, names).at(one.place)


def names_of(paper: Transcription, one: Relation) -> dict[str, object] | None:
    """Printed numbers, 2x2 tables and rows that a relation names; None where a table that it needs is not known.

    Raises
    ------
    DataError
        If a number or a row is not transcribed.
    """
    tables = {name: paper.table(at) for name, at in one.tables.items()}
    if None in tables.values():
        return None
    names: dict[str, object] = {name: paper.quoted(where) for name, where in one.numbers.items()} | tables
    for name, at in one.rows.items():
        row = paper.performance.get((at.cohort, at.subgroup))
        if row is None:
            place = f"{FILE}: relations, {one.id}"
            raise DataError(place, "a row of performance must be transcribed", f"{at.cohort}, {at.subgroup}", "Check.")
        names[name] = row
    return names


def _holds(one: Relation, names: dict[str, object], at_face: bool) -> tuple[bool, dict[str, object]]:
    """Whether a relation holds, and its values."""
    place, every = f"{FILE}: relations, {one.id}", dict(names)
    for name, text in one.values.items():
        every[name] = evaluate(text, every, f"{place}, {name}", at_face)
    return bool(evaluate(one.holds, every, place, at_face)), every


def _check(one: Relation, names: dict[str, object]) -> CheckResult:
    possible, every = _holds(one, names, at_face=False)
    at_face, _ = _holds(one, names, at_face=True) if one.at_face else (True, every)
    shown = ", ".join(f"{name} {names[name]}" for name in one.numbers)
    computed = ", ".join(f"{name} {every[name]}" for name in one.values)
    otherwise = Discrepancy(
        one.check,
        one.id,
        shown or one.what,
        computed or one.holds,
        "; ".join(filter(None, (f"it must hold that {one.holds}", shown, computed))),
        ROUNDING if possible else one.certainty,
        every,
    )
    failed = () if possible and at_face else (otherwise,)
    return CheckResult(one.check, one.what if failed else _filled(one, every), one.cells, failed)


def _filled(one: Relation, names: dict[str, object]) -> str:
    try:
        return one.what.format_map(names)
    except (KeyError, AttributeError, ValueError) as error:
        place = f"{FILE}: relations, {one.id}, what"
        raise DataError(place, "a placeholder must name what the relation knows", error, "Correct it.") from error
