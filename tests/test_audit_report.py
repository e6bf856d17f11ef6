"""The audit's ledger, the prose of its findings, and its report."""

from __future__ import annotations

import re
from string import Formatter

import pytest
import yaml
from pydantic import ValidationError

from hccbook.audit import counts, explanations, findings, papers, report, statements, transcription
from hccbook.audit.explanations import Explanation
from hccbook.audit.ledger import Ledger
from hccbook.errors import DataError
from hccbook.papers import published
from hccbook.run import published_dir

ALARM = papers.published_paper("alarm")


@pytest.fixture(scope="module")
def everything():
    return papers.audit()


def test_families_are_those_of_the_claims():
    """Claims call the families of checks by the names that findings have."""
    from typing import get_args

    assert set(get_args(published.Check)) - {"synthetic", "private"} <= set(findings.CHECKS)


def entry(**changes: object) -> Explanation:
    texts = {"explains": ("counts: *",), "place": "p", "printed": "{one}", "recomputed": "2", "arithmetic": "{one} is"}
    texts |= {"certainty": findings.CERTAIN, "consequence": "none", "numbers": {"one": ONE}}
    return Explanation.model_validate({"id": "alarm-one"} | texts | changes)


ONE = {"quantity": "count", "row": "high-risk", "cohort": "all"}
"""Printed as 221."""


def audited(entries: list[Explanation], *results: findings.CheckResult) -> Ledger:
    ledger = Ledger(ALARM)
    for result in results:
        ledger.record(result.at("Table 9"))
    ledger.explain(entries)
    ledger.close()
    return ledger


def test_unexplained_discrepancy_is_reported():
    """A check that fails is reported even where no entry says what it means, as surely as the check is."""
    wrong = counts.sums({"a": (3, [1, 2]), "b": (3, [1, 1])})
    ledger = audited([entry(explains=("counts: z",))], wrong)
    assert [(one.id, one.place, one.certainty) for one in ledger.findings] == [
        ("alarm-unexplained-1", "Table 9, b", findings.CERTAIN)
    ]
    assert [one.cells for one in ledger.agreements] == [1]


def test_entry_explains_what_it_picks():
    """An entry's own texts replace those of the discrepancies; what it leaves out is theirs, `also` comes behind."""
    sums = counts.sums({"a": (4, [1, 2]), "b1": (3, [1, 1]), "b2": (5, [2, 2])})
    one = entry(explains=("counts: b*",), printed="", arithmetic="", also="{one} more", certainty="")
    explained, unexplained = audited([one], sums).findings
    assert (explained.place, explained.printed, explained.recomputed) == ("p", "3; 5", "2")
    assert explained.arithmetic == "1 + 1 = 2, not 3; 2 + 2 = 4, not 5; 221 more"
    assert explained.certainty == findings.CERTAIN
    assert unexplained.place == "Table 9, a"


def test_expressions_of_an_entry():
    """A placeholder may stand for arithmetic on the entry's numbers and on those of the check."""
    one = entry(values={"twice": "2 * one"}, printed="{twice:.0f}")
    assert audited([one], counts.sums({"a": (4, [1, 2])})).findings[0].printed == "442"


def test_quoted_number_is_the_first_printing():
    """A number that the paper prints in two ways is quoted as it stands first; the difference is another check's."""
    rows = ALARM.numbers["row"].eq("medium-risk") & ALARM.numbers["quantity"].eq("incidence")
    assert rows.sum() == 2
    numbers = ALARM.numbers.copy()
    numbers.loc[rows, "value"] = ["6.4", "7.4"]
    paper = transcription.Transcription(ALARM.description, numbers)
    assert str(paper.quoted(published.PrintedAt(quantity="incidence", row="medium-risk"))) == "6.4"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"certainty": "sure"}, "certainty must be one of"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
        ({"printed": "{one"}, "expected '}'"),
        ({"explains": ()}, "at least 1 item"),
        ({"numbers": {"one": {"line": "patients"}}}, "Extra inputs are not permitted"),
        ({"numbers": {"one": {"row": "patients"}}}, "must name its quantity"),
    ],
)
def test_entries_are_checked(changes, rule):
    """An entry with an unknown key, certainty or column, an open brace or nothing to explain is refused."""
    with pytest.raises(ValidationError, match=rule):
        entry(**changes)


def every_entry() -> list[Explanation]:
    return [one for paper in ("alarm", "amap_ct") for one in explanations.explanations(published_dir() / paper)]


def test_no_number_is_typed():
    """What stands in findings.yaml beside the placeholders are names and the bounds 0 and 1, not numbers."""
    names = r"2x2|Tables? \d( and \d)?|Fig\. \d[A-D]?|3D|ResNet-?\d+|aMAP-2|F1|1/e[01]|10\^$|\b[01](?=,| - $)"
    for one in every_entry():
        for text in (one.printed, one.recomputed, one.arithmetic, one.also, one.consequence):
            typed = [re.sub(names, "", part) for part, *_ in Formatter().parse(text)]
            assert not re.search(r"\d", " ".join(typed)), (one.id, typed)


def test_file_of_entries_names_what_is_wrong(tmp_path):
    """An unknown key in findings.yaml is one message: the entry, the rule, the value and what to do."""
    content = entry().model_dump(exclude_none=True) | {"colour": "red"}
    (tmp_path / "findings.yaml").write_text(yaml.safe_dump([content | {"explains": ["x"], "claims": []}]))
    with pytest.raises(DataError, match=r"findings.yaml: alarm-one: colour: Extra inputs .* 'red'. Correct it."):
        explanations.explanations(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"printed": "{two}"}, "alarm-one printed: a placeholder must name a value that is quoted or computed"),
        ({"printed": "{one:.1f}"}, "alarm-one printed: a placeholder must fit its value"),
        ({"printed": "{one.size}"}, "alarm-one printed: a placeholder must fit its value"),
        ({"values": {"x": "two + 1"}}, "alarm-one x: an expression must be arithmetic on known names"),
    ],
)
def test_unknown_placeholder_is_refused(changes, message):
    """A placeholder that nothing fills, or that its value cannot, names the entry and the field."""
    with pytest.raises(DataError, match=re.escape(message)):
        audited([entry(**changes)], counts.sums({"a": (4, [1, 2])}))


@pytest.mark.parametrize("changes", [{"certainty": "sure"}, {"check": "magic"}])
def test_findings_are_checked(changes):
    """A certainty or family that is not in the list is refused."""
    texts = {"id": "x", "paper": "alarm", "place": "p", "check": "counts", "printed": "1", "recomputed": "2"}
    texts |= {"arithmetic": "1 is not 2", "certainty": findings.CERTAIN, "consequence": "none"}
    with pytest.raises(DataError, match="must be one of"):
        findings.Finding(**(texts | changes))


def test_report_is_refused_unknown_names(everything):
    """Paper, certainty and finding are named in the message."""
    for wrong in (lambda: papers.audit("lancet"), lambda: papers.audit(None, "sure"), lambda: everything.finding("x")):
        with pytest.raises(DataError, match="must"):
            wrong()


def test_missing_number_is_named():
    """A number that is not transcribed is named."""
    assert ALARM.quoted(published.PrintedAt(**ONE)).number() == 221
    with pytest.raises(DataError, match="none with row 'patients', quantity 'weight'"):
        ALARM.quoted(published.PrintedAt(quantity="weight", row="patients"))


def test_tables_of_the_report(everything):
    """Findings by family, and the denominators of every family, add up to the report."""
    table = report.denominator_table(everything)
    assert table[["ALARM: findings", "aMAP-CT: findings"]].to_numpy().sum() == len(everything.findings)
    assert table[["ALARM: agree", "aMAP-CT: agree"]].to_numpy().sum() == sum(one.cells for one in everything.agreements)
    some = report.findings_for_page(everything, ("counts", "ranges")).table
    assert 0 < len(some) < len(everything.findings) == len(report.findings_for_page(everything).table)


@pytest.mark.parametrize("paper", ["alarm", "amap_ct"])
def test_at_least_fifteen_each(everything, paper):
    """The bound of the plan, findings that rounding may explain not counted."""
    sure = [one for one in everything.findings if one.paper == paper and one.certainty != findings.ROUNDING]
    assert len(sure) >= 15


def test_every_entry_is_a_finding(everything):
    """On the papers as transcribed no entry of findings.yaml is left without its finding, and none stands for two."""
    answered = {f"{paper}-{item.id}" for paper in ("alarm", "amap-ct") for item in statements.checklist()}
    found = {one.id for one in everything.findings} - answered
    assert sorted(one.id for one in every_entry()) == sorted(found)


def test_claims_exist(everything):
    """Every claim that a finding bears on is in the list of claims, and belongs to the same paper."""
    known = {claim.id: claim.paper for claim in published.claims()}
    for finding in everything.findings:
        # A claim needs a number; approvals and designs are words.
        assert finding.claims or finding.check in ("between_papers", "statements"), finding.id
        for claim in finding.claims:
            assert known[claim] == finding.paper, (finding.id, claim)


def test_denominator_is_recorded(everything):
    """A reviewer sees what was checked and agrees: far more than what does not, for both papers."""
    frame = everything.agreements_frame()
    assert (frame["cells"] > 0).all()
    for paper in ("alarm", "amap_ct"):
        assert frame.loc[frame["paper"] == paper, "cells"].sum() > 400


def test_filters(everything):
    """By paper and certainty, short names too."""
    one = papers.audit("alarm", "implied")
    expected = [f.id for f in everything.findings if f.paper == "alarm" and f.certainty == findings.IMPLIED]
    assert [f.id for f in one.findings] == expected
    assert {c.paper for c in one.agreements} == {"alarm"}


def test_contradicted_claims_are_those_with_findings(everything):
    """A claim is contradicted by print only where a finding that rounding does not explain says so, and the reverse."""
    sure = (findings.CERTAIN, findings.IMPLIED)
    strong = [finding for finding in everything.findings if finding.certainty in sure and finding.claims]
    named = {claim for finding in strong for claim in finding.claims}
    status = {claim.id: claim.status for claim in published.claims()}
    assert {claim for claim, own in status.items() if own == published.CONTRADICTED} <= named
    open_ = {published.CONTRADICTED, published.UNDER_SPECIFIED}
    unanswered = [finding.id for finding in strong if open_.isdisjoint(status[claim] for claim in finding.claims)]
    # Words and labels, not numbers, are wrong there, and a claim needs a number.
    assert unanswered == ["alarm-sub-bands", "amap-ct-age-groups"]


def test_each_finding_of_a_page_can_be_linked_to(everything):
    """Every finding has its place in one table, and no place is there twice."""
    checks = {finding.check for finding in everything.findings}
    pages = [report.findings_for_page(everything, check)._repr_html_() for check in sorted(checks)]
    places = re.findall(r'id="finding-([\w-]+)"', "".join(pages))
    assert sorted(places) == sorted(finding.id for finding in everything.findings)
