"""The audit's ledger, the prose of its findings, and its report."""

from __future__ import annotations

import re
from string import Formatter

import pytest
import yaml
from pydantic import ValidationError

from hccbook.audit import counts, explanations, findings, lookup, papers, report
from hccbook.audit.explanations import Explanation
from hccbook.audit.ledger import Ledger
from hccbook.errors import DataError
from hccbook.papers import published

ALARM = lookup.Transcription.named("alarm")


@pytest.fixture(scope="module")
def everything():
    return papers.audit()


def test_families_are_those_of_the_claims():
    """Findings and claims call the families of checks by the same names."""
    from typing import get_args

    assert set(findings.CHECKS) == set(get_args(published.Check)) - {"synthetic", "private"}


def entry(**changes: object) -> Explanation:
    texts = {"place": "p", "printed": "{one}", "recomputed": "2", "arithmetic": "{one} is not 2"}
    texts |= {"certainty": findings.CERTAIN, "consequence": "none", "claims": ("alarm-split",)}
    if "explains" not in changes:
        texts["expects"] = {"check": "counts", "place": "Table 9", "what": "sums"}
    return Explanation.model_validate({"id": "alarm-one", "paper": "alarm"} | texts | changes)


def test_unexplained_discrepancy_is_reported():
    """A check that fails is reported even where no entry says what it means."""
    ledger = Ledger(ALARM, [entry(explains=("counts: z",))])
    ledger.record("Table 9", counts.sums({"a": (3, [1, 2]), "b": (3, [1, 1])}))
    ledger.explain("one", one=1)
    unexplained, agreements = ledger.close()
    assert [one.id for one in unexplained] == ["alarm-unexplained-1"]
    assert [one.cells for one in agreements] == [1]


def test_entry_explains_what_it_picks():
    """An entry's own texts replace those of the discrepancies; what it leaves out is theirs, `also` comes behind."""
    ledger = Ledger(ALARM, [entry(explains=("counts: b*",), printed="", arithmetic="", also="{one} more")])
    ledger.record("Table 9", counts.sums({"a": (4, [1, 2]), "b1": (3, [1, 1]), "b2": (5, [2, 2])}))
    ledger.explain("one", one=1)
    explained, unexplained = ledger.close()[0]
    assert (explained.place, explained.printed, explained.recomputed) == ("p", "3; 5", "2")
    assert explained.arithmetic == "1 + 1 = 2, not 3; 2 + 2 = 4, not 5; 1 more"
    assert unexplained.place == "Table 9, a"


def test_expectation_is_a_finding_or_an_agreement():
    """What holds is recorded; what does not is the finding of its entry, a line for each of several."""
    ledger = Ledger(ALARM, [entry(each={"one": "{row} {it}"})])
    ledger.expect("one", True, 1, one=[], row="")
    assert ledger.close() == ([], [findings.Agreement("alarm", "counts", "Table 9", "sums", 1)])
    ledger = Ledger(ALARM, [entry(each={"one": "{row} {it}"})])
    ledger.expect("one", False, 1, one=[1, 3], row="n")
    assert [(one.id, one.printed) for one in ledger.close()[0]] == [("alarm-one", "n 1; n 3")]


def test_quoted_number_is_the_first_printing():
    """A number that the paper prints in two ways is quoted as it stands first; the difference is another check's."""
    rows = ALARM.numbers["row"].eq("medium-risk") & ALARM.numbers["quantity"].eq("incidence")
    assert rows.sum() == 2
    numbers = ALARM.numbers.copy()
    numbers.loc[rows, "value"] = ["6.4", "7.4"]
    quoted = entry(
        printed="{rate.value}", arithmetic="x", numbers={"rate": {"quantity": "incidence", "row": "medium-risk"}}
    )
    ledger = Ledger(lookup.Transcription("alarm", numbers), [quoted])
    ledger.expect("one", False)
    assert ledger.close()[0][0].printed == "6.4"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"certainty": "sure"}, "certainty must be one of"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
        ({"id": "amap-ct-one"}, "id must start with the paper's name"),
        ({"each": {"two": "x"}}, "each must be of placeholders"),
        ({"printed": "{one"}, "expected '}'"),
        ({"claims": ()}, "at least 1 item"),
        ({"expects": None}, "found both or none"),
        ({"numbers": {"one": {"line": "patients"}}}, "Extra inputs are not permitted"),
        ({"numbers": {"one": {"row": "patients"}}}, "must name its quantity"),
        ({"expects": {"check": "magic", "place": "p", "what": "x"}}, "check must be one of"),
        ({"explains": ("counts: *",), "expects": {"check": "counts", "place": "p", "what": "x"}}, "found both or none"),
    ],
)
def test_entries_are_checked(changes, rule):
    """An entry with an unknown key, certainty or list, an open brace, a foreign id or no claim is refused."""
    with pytest.raises(ValidationError, match=rule):
        entry(**changes)


def test_no_number_is_typed():
    """What stands in findings.yaml beside the placeholders are names and the bounds 0 and 1, not numbers."""
    names = r"2x2|Tables? \d( and \d)?|Fig\. \d[A-D]?|3D|ResNet-?\d+|aMAP-2|F1|1/e[01]|10\^$|\b[01](?=,| - $)"
    for one in (*explanations.explanations("alarm"), *explanations.explanations("amap_ct")):
        texts = [one.printed, one.recomputed, one.arithmetic, one.also, one.consequence, *one.each.values()]
        for text in (*texts, one.expects.what if one.expects else ""):
            typed = [re.sub(names, "", part) for part, *_ in Formatter().parse(text)]
            assert not re.search(r"\d", " ".join(typed)), (one.id, typed)


def test_file_of_entries_names_what_is_wrong(tmp_path, monkeypatch):
    """An unknown key in findings.yaml is one message: the entry, the rule, the value and what to do."""
    content = entry().model_dump() | {"colour": "red"}
    (tmp_path / "findings.yaml").write_text(yaml.safe_dump([content | {"claims": ["alarm-split"]}]))
    monkeypatch.setattr(explanations, "published_dir", lambda: tmp_path)
    with pytest.raises(DataError, match=r"findings.yaml: alarm-one colour: Extra inputs .* 'red'. Correct it."):
        explanations.explanations("alarm")


@pytest.mark.parametrize(
    ("changes", "values", "message"),
    [
        (
            {},
            {"other": 1},
            "alarm-one printed: a placeholder must name a value that the check computes, but found {one}",
        ),
        ({"printed": "{one:.1f}"}, {"one": "x"}, "alarm-one printed: a placeholder must fit its value"),
        ({"printed": "{one.size}"}, {"one": 1}, "alarm-one printed: a placeholder must fit its value"),
    ],
)
def test_unknown_placeholder_is_refused(changes, values, message):
    """A placeholder that nothing fills, or that its value cannot, names the entry and the field."""
    ledger = Ledger(ALARM, [entry(**changes)])
    with pytest.raises(DataError, match=re.escape(message)):
        ledger.expect("one", False, **values)


def test_entry_without_a_check_is_refused():
    """An entry that no check asks for is prose of nothing, unless its check cannot be made; nor is there a finding
    without an entry."""
    with pytest.raises(DataError, match=r"alarm-one: an entry must be of a finding .* Remove it"):
        Ledger(ALARM, [entry()]).close()
    ledger = Ledger(ALARM, [entry()])
    ledger.leave_out("one")
    assert ledger.close() == ([], [])
    with pytest.raises(DataError, match="no entry alarm-two"):
        ledger.explain("two")


@pytest.mark.parametrize("changes", [{"certainty": "sure"}, {"check": "magic"}, {"paper": "lancet"}])
def test_findings_are_checked(changes):
    """A paper, certainty or family that is not in the list is refused."""
    texts = {"id": "x", "paper": "alarm", "place": "p", "check": "counts", "printed": "1", "recomputed": "2"}
    texts |= {"arithmetic": "1 is not 2", "certainty": findings.CERTAIN, "consequence": "none"}
    with pytest.raises(DataError, match="must be one of"):
        findings.Finding(**(texts | changes))


def test_report_is_refused_unknown_names(everything):
    """Paper, certainty and finding are named in the message."""
    for wrong in (lambda: papers.audit("lancet"), lambda: papers.audit(None, "sure"), lambda: everything.finding("x")):
        with pytest.raises(DataError, match="must"):
            wrong()


def test_lookup_names_what_is_missing():
    """A number that is not transcribed is named."""
    paper = lookup.Transcription.named("alarm")
    assert paper.count(row="high-risk", cohort="all") == 221
    with pytest.raises(DataError, match="no weight"):
        paper.text("weight", row="patients")
    with pytest.raises(DataError, match="limits"):
        paper.interval("count", row="high-risk")


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
    entries = [one.id for paper in ("alarm", "amap_ct") for one in explanations.explanations(paper)]
    assert sorted(entries) == sorted(one.id for one in everything.findings)


def test_claims_exist(everything):
    """Every claim that a finding bears on is in the list of claims, and belongs to the same paper."""
    known = {claim.id: claim.paper for claim in published.claims()}
    for finding in everything.findings:
        assert finding.claims, finding.id
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
    strong = [finding for finding in everything.findings if finding.certainty != findings.ROUNDING]
    named = {claim for finding in strong for claim in finding.claims}
    status = {claim.id: claim.status for claim in published.claims()}
    assert {claim for claim, own in status.items() if own == published.CONTRADICTED} <= named
    open_ = {published.CONTRADICTED, published.UNDER_SPECIFIED}
    unanswered = [finding.id for finding in strong if open_.isdisjoint(status[claim] for claim in finding.claims)]
    # Words, not numbers, are wrong there, and a claim needs a number.
    assert unanswered == ["alarm-sub-bands"]
