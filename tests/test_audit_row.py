"""The page of one row of a table, in a browser from disk, against the Python audit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page
from test_web_pages import fill, stand_alone

from hccbook.audit import intervals
from hccbook.audit.printed import cut_or_rounded, is_number, printed_range
from hccbook.audit.two_by_two import CELLS, MEASURES, PerformanceRow, TwoByTwo, compatible_tables, nearby_sizes
from hccbook.run import book_source_dir

TYPED = tuple(name for name in MEASURES if name not in CELLS)
PROPORTIONS = ("sensitivity", "specificity", "ppv", "npv", "accuracy")


@pytest.fixture
def opened(visit: Callable[..., Page], tmp_path: Path) -> Callable[..., Page]:
    """Open the page without the book around it, and wait until it has set itself up."""

    def page_of(**screen: int) -> Page:
        shipped = {file.name: file.read_bytes() for file in (book_source_dir() / "_static").glob("*.*s")}
        page = visit(stand_alone(tmp_path, shipped, "audit_row"), **screen)
        page.wait_for_selector("#audit_row[data-ready=true]", state="attached")
        return page

    return page_of


def printed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "n.a."


def rows(number: int) -> list[tuple[TwoByTwo, dict[str, str]]]:
    """Tables of up to 60 people and some of their measures as printed, one of them wrong in every third row."""
    rng = np.random.default_rng(17)
    drawn = []
    for position in range(number):
        table = TwoByTwo(*map(int, rng.integers(1, 16, 4)))
        names = rng.choice(TYPED, int(rng.integers(1, 5)), replace=False).tolist()
        texts = {name: printed(table.value(name), int(rng.integers(1, 4))) for name in names}
        if position % 3 == 0 and is_number(texts[names[0]]):
            texts[names[0]] = f"{abs(float(texts[names[0]]) - 0.21):.2f}"
        drawn.append((table, texts))
    return drawn


def as_ranges(texts: dict[str, str]) -> dict:
    return {name: printed_range(text) if is_number(text) else None for name, text in texts.items()}


TABLES = """rows => rows.map(([events, others, texts]) => { const a = hccbookAudit;
const measures = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, a.printedRange(text)]));
const list = (tables) => tables.map(({ tp, fp, fn, tn }) => [tp, fp, fn, tn]);
return { fit: list(a.compatibleTables(measures, events, others)),
  cut: list(a.compatibleTables(a.cut(measures), events, others)),
  near: a.nearbySizes(measures, events + others, events)
    .map(({ n, events, tables }) => [n, events, list(tables)]) }; })"""


def test_tables_are_pythons(opened):
    """All tables behind any measures, with digits rounded or cut, and of sizes within one."""
    drawn = rows(60)
    page = opened()
    found = page.evaluate(TABLES, [[one.events, one.n - one.events, texts] for one, texts in drawn])
    for (table, texts), shown in zip(drawn, found, strict=True):
        ranges, others = as_ranges(texts), table.n - table.events
        assert shown["fit"] == [list(one) for one in compatible_tables(ranges, table.events, others)], texts
        cut = {name: one and cut_or_rounded(one) for name, one in ranges.items()}
        assert shown["cut"] == [list(one) for one in compatible_tables(cut, table.events, others)], texts
        near = nearby_sizes(PerformanceRow("", table.n, table.events, ranges))
        assert shown["near"] == [[*size, [list(one) for one in tables]] for size, tables in near.items()], texts
    assert any(not shown["fit"] for shown in found)


def test_intervals_are_pythons(opened):
    """Every method on shares of few and of many people, whole numbers of them or not, 0 and 1 too."""
    page = opened()
    cases = [(count / n, n) for n in (1, 7, 45, 924, 20000) for count in (0, 0.3, n / 3, n - 0.4, n)]
    shown = page.evaluate(
        "cases => Object.fromEntries(Object.entries(hccbookAudit.METHODS)"
        ".map(([name, of]) => [name, cases.map(([share, n]) => of(share, n))]))",
        cases,
    )
    assert list(shown) == list(intervals.METHODS)
    for name, method in intervals.METHODS.items():
        np.testing.assert_allclose(shown[name], [method(*case) for case in cases], atol=1e-9, err_msg=name)


def test_ways_are_pythons(opened):
    """Which method and denominator give printed limits, of every measure and way."""
    page, table = opened(), TwoByTwo(42, 289, 3, 590)
    cases = []
    for measure in PROPORTIONS:
        for base, number in intervals.denominators(table, measure).items():
            for name in intervals.METHODS:
                limits = intervals.METHODS[name](table.value(measure), number)
                cases.append((measure, base, name, *(f"{min(max(one, 0), 1):.3f}" for one in limits)))
    shown = page.evaluate(
        "([table, cases]) => cases.map(([measure, , , lower, upper]) => hccbookAudit.waysToReproduce(table, measure,"
        " ...[lower, upper].map((one) => hccbookAudit.printedRange(one))).map(({ method, name }) => [method, name]))",
        [table._asdict(), cases],
    )
    for (measure, base, name, lower, upper), ways in zip(cases, shown, strict=True):
        limits = (printed_range(one) for one in (lower, upper))
        one = intervals.PrintedInterval("", measure, printed_range("0.5"), *limits, table)
        assert [tuple(way) for way in ways] == intervals.ways_to_reproduce(one)
        assert [name, base] in ways


@pytest.mark.parametrize("text", ["0.65", "79.2 ", "1,411", "<0.001", "≥ 3.0", "-0.21", "n.a.", "12,34", ""])
def test_printed_numbers_are_pythons(opened, text):
    """What a text may stand for, in per cent too, or that it is no number."""
    shown = opened().evaluate(
        "text => [false, true].map((p) => { const r = hccbookAudit.printedRange(text, p);"
        "return r && [`${r.low}`, `${r.high}`]; })",
        text,
    )
    for one, unit in zip(shown, ("", "%"), strict=True):
        if is_number(text):
            expected = printed_range(text, unit)
            assert [float(end) for end in one] == pytest.approx([expected.low, expected.high])
        else:
            assert one is None


def said(page: Page, name: str) -> str:
    return page.text_content(f"#audit_row-{name}").replace("\u00a0", " ")


def test_a_reader_types_a_row(opened):
    """63 of 90 and 408 of 510: one table; another PPV leaves none, and the page says what it would have to be."""
    page = opened()
    one = "TP 63, FP 102, FN 27, TN 408"
    assert said(page, "reading") == f"One of 46,501 tables of 90 with and 510 without the outcome prints so: {one}."
    assert "as by Wilson on own denominator (90)" in said(page, "of-sensitivity")
    assert said(page, "by-2") == "2. Wilson0.599 to 0.785as printed"
    page.click("text=A row behind which there is no table")
    assert said(page, "reading").startswith("None of the 46,501 tables")
    assert f"Without the PPV of 0.402 there is one table, {one}: it would be 0.382." in said(page, "reasons")
    assert page.is_hidden("#audit_row-fits")
    page.click("text=Intervals on the wrong people")
    assert "as by Wald on whole cohort (600)" in said(page, "of-sensitivity")
    others = "Limits that no method gives with the people that they are of, but with others"
    assert said(page, "reasons") == f"{others}: sensitivity, specificity, PPV, NPV."
    page.click("text=Clear")
    assert said(page, "reading").startswith("Type how many people")
    page.focus("#audit_row-n")
    page.keyboard.type("62")
    page.keyboard.press("Tab")
    page.keyboard.type("31")
    fill(page, {"audit_row-unit": "%", "audit_row-sensitivity": "94.4"}, [])
    assert "Sensitivity 94.4 is a share of no whole number of 31: 29 of 31 is 93.5, 30 of 31 is 96.8." in said(
        page, "reasons"
    )
    page.wait_for_timeout(800)
    assert "None of the" in page.text_content("#audit_row [role=status]")
    assert page.page_errors() == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": "six"}, "People: must be a whole number, but found six."),
        ({"events": "601"}, "With the outcome: must be at most 600, but found 601. Are the two exchanged?"),
        ({"sensitivity": "79.2"}, "Are the measures printed in per cent? Choose it above."),
        ({"ppv-lower": "low"}, "PPV, lower limit: must be a number as printed or n.a., but found low."),
        ({"n": "30,000"}, "People: must be at most 20000 here, but found 30000."),
    ],
)
def test_what_is_refused(opened, given, message):
    """The rule, the value and the hint, at the field that is marked."""
    page = opened()
    fill(page, {f"audit_row-{name}": text for name, text in given.items()}, [])
    assert message in said(page, "wrong")
    assert said(page, "reading") == "Correct what is marked."
    assert page.locator("#audit_row [aria-invalid=true]").count() == 1


def test_the_row_is_for_everyone(opened):
    """Labelled, spoken, without an error or a request, and no wider than a phone."""
    page = opened(width=390, height=800)
    unnamed = page.evaluate(
        """[...document.querySelectorAll('#audit_row :is(input, select, svg)')]
        .filter((n) => !n.labels?.length && !n.getAttribute("aria-label")).map((n) => n.id || n.tagName)"""
    )
    assert unnamed == []
    assert page.locator("#audit_row [role=status]").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert all(request.url.startswith("file:") for request in page.requests())
    assert page.page_errors() == []
