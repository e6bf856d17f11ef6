"""Families of checks that neither of the two papers gives anything to, and what papers say: by hand and brute force."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import f_oneway, ttest_ind

from hccbook.audit import audit_folder, audit_folders, categories, means, ratios, reclassification, statements, survival
from hccbook.audit.findings import STATED
from hccbook.audit.means import Moments
from hccbook.audit.printed import printed_range
from hccbook.audit.transcription import QUANTITIES
from hccbook.audit.two_by_two import TwoByTwo, compatible_tables
from hccbook.errors import DataError


def moments(n: int, mean: str, sd: str = "") -> Moments:
    return Moments(n, printed_range(mean), printed_range(sd) if sd else None)


# 2x2 tables behind other measures


def test_derived_measures_by_hand():
    """TP 20, FP 10, FN 5, TN 65: LR+ 0.8 / (10/75) = 6, LR- 0.2 / (65/75), kappa 0.25 / 0.40, MCC 1250 / 1984."""
    table = TwoByTwo(20, 10, 5, 65)
    expected = {"positive likelihood ratio": 6, "negative likelihood ratio": 0.2 * 75 / 65, "kappa": 0.625}
    expected |= {"mcc": 1250 / math.sqrt(30 * 25 * 75 * 70), "prevalence": 0.25, "youden index": 0.8 + 65 / 75 - 1}
    assert {name: table.value(name) for name in expected} == pytest.approx(expected)
    printed = {"kappa": printed_range("0.625"), "mcc": printed_range("0.630")}
    assert table in compatible_tables(printed, 25, 75)
    apart = {"positive likelihood ratio": printed_range("6.00"), "kappa": printed_range("0.90")}
    assert compatible_tables(apart, 25, 75) == []


# Means


def test_grim():
    """28 whole numbers cannot have the mean 5.19: 145/28 is 5.18, 146/28 is 5.21 (Brown and Heathers 2017)."""
    assert not means.is_possible(moments(28, "5.19"))
    assert means.is_possible(moments(28, "5.18"))
    assert means.is_possible(moments(28, "5.21"))


def test_grimmer_of_two_people():
    """Two whole numbers with the sum 3 are 1 and 2 or 0 and 3: SD 0.71 or 2.12, never 1.41."""
    assert means.is_possible(moments(2, "1.50", "0.71"))
    assert means.is_possible(moments(2, "1.50", "2.12"))
    assert not means.is_possible(moments(2, "1.50", "1.41"))


def test_every_sample_of_whole_numbers_is_possible():
    """No sample of five whole numbers from 0 to 4 is called impossible."""
    for sample in itertools.combinations_with_replacement(range(5), 5):
        assert means.is_possible(moments(5, f"{np.mean(sample):.2f}", f"{np.std(sample, ddof=1):.2f}")), sample


def test_pooled_moments():
    """Mean and SD of two samples together lie within what follows from their printed ones."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        parts = [rng.normal(rng.normal(50, 3), 8, int(rng.integers(5, 60))) for _ in range(2)]
        whole = np.concatenate(parts)
        found = means.pooled([moments(len(one), f"{one.mean():.1f}", f"{one.std(ddof=1):.1f}") for one in parts])
        assert found.mean.holds(whole.mean())
        assert found.sd.holds(whole.std(ddof=1))


def test_p_of_means():
    """p of scipy's tests lies within what the printed means and SDs allow."""
    rng = np.random.default_rng(6)
    for shift in (0.0, 2.0, 5.0):
        samples = [rng.normal(50 + k * shift, 9, 40) for k in range(3)]
        printed = [moments(40, f"{one.mean():.2f}", f"{one.std(ddof=1):.2f}") for one in samples]
        two = means.p_of_means(printed[:2])
        assert two["Student's t-test"].holds(ttest_ind(*samples[:2]).pvalue)
        assert two["Welch's t-test"].holds(ttest_ind(*samples[:2], equal_var=False).pvalue)
        p = f_oneway(*samples).pvalue
        allowed = means.p_of_means(printed)["analysis of variance"]
        assert allowed.low <= p * 1.02 and allowed.high >= p * 0.98


# Ratios


@pytest.mark.parametrize(
    ("texts", "p", "wrong"),
    [
        (("2.00", "1.25", "3.20"), "0.004", []),  # ln 2 / (ln 2.56 / 3.92) = 2.89, p 0.0039
        (("2.00", "1.25", "3.20"), "0.040", ["x, p-value"]),
        (("2.50", "1.25", "3.20"), None, ["x, centre"]),
        (("0.50", "0.20", "1.25"), "0.138", []),
        (("0.50", "0.20", "1.25"), "<0.001", ["x, p-value"]),
    ],
)
def test_ratio(texts, p, wrong):
    """A ratio is the geometric mean of its limits, and its p that of their width."""
    ratio, lower, upper = map(printed_range, texts)
    results = ratios.check_ratio("x", ratio, (lower, upper), p and printed_range(p))
    assert [one.cell for result in results for one in result.discrepancies] == wrong


def test_coefficient():
    """0.693 is ln 2; 0.693 / 0.240 is z 2.89."""
    good = {"coefficient": "0.693", "standard error": "0.240", "ratio": "2.00", "p-value": "0.004"}
    assert not _wrong(good)
    assert _wrong(good | {"ratio": "2.10"}) == ["x, ratio"]
    assert _wrong(good | {"p-value": "0.100"}) == ["x, p-value"]


def _wrong(texts: dict[str, str]) -> list[str]:
    results = ratios.check_coefficient("x", {name: printed_range(text) for name, text in texts.items()})
    return [one.cell for result in results for one in result.discrepancies]


# Survival, reclassification, categories


def kaplan_meier(size: int, events: tuple[bool, ...]) -> float:
    left, alive = size, 1.0
    for event in events:
        alive *= 1 - event / left
        left -= 1
    return 1 - alive


def test_incidence_bounds_hold_every_order():
    """Over every order of 3 events and 3 losses among 9 the incidence lies in the bounds, and reaches both."""
    values = [kaplan_meier(9, one) for one in set(itertools.permutations([True] * 3 + [False] * 3))]
    bounds = survival.incidence_bounds(9, 3, 3)
    assert (min(values), max(values)) == pytest.approx((bounds.low, bounds.high))
    assert (bounds.low, bounds.high) == pytest.approx((3 / 9, 3 / 6))


def test_net_reclassification():
    """8 up and 3 down of 20 events, 10 up and 25 down of 100 others: 0.25 + 0.15."""
    moves = dict(zip(reclassification.MOVES, (8, 3, 10, 25), strict=True))
    expected = {"event NRI": 0.25, "nonevent NRI": 0.15, "net reclassification improvement": 0.40}
    assert reclassification.net_reclassification(moves, 20, 100) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "faults"),
    [
        (["≤45", "45-55", "≥55"], 2),
        (["<50", "50-60", ">60"], 0),
        (["18-44", "45-64", "≥65"], 0),
        (["<50", ">50"], 1),
        (["<5.0", "6.5-8.0", ">8.0"], 1),
        (["<2 cm", "≥2 cm"], 0),
        (["men", "women"], None),
    ],
)
def test_labels(labels, faults):
    """A bound that two labels hold, or none, and a stretch between two."""
    found = categories.faults_between(labels)
    assert (found if found is None else len(found)) == faults


# A whole paper


DESCRIPTION = """
name: small
title: A small paper
outcome: {name: ill, events: cases}
cohorts: [north, south]
pooled: {all: [north, south]}
groupings:
  - {name: outcome, groups: [free, ill]}
  - {name: risk, groups: [low, high], flagged: {"": [high]}}
models: [new, old]
sizes: [{place: Table 1, row: header}, {row: group size, quantity: count}]
events: [{place: Table 1, row: header, subgroup: ill}]
compares: {Table 1: [north, south]}
whole_numbers: [Lesions]
study:
  source: Registry
  registration: R1
  approval: A1
  consent: written
  facts: [{row: registered}]
  centres: {north: [Town], south: [Village]}
  trained_on: [north]
  tested_on: [south]
"""

ROWS = """place,row,column,quantity,value,cohort,subgroup,lower,upper
Table 1,header,n,count,100,north,,,
Table 1,header,n,count,50,south,,,
Table 1,header,n,count,150,all,,,
Table 1,header,n,count,20,north,ill,,
Table 1,header,n,count,10,south,ill,,
Table 1,Lesions,n,mean,1.52,north,,,
Table 1,Lesions,n,sd,1.10,north,,,
Table 1,Lesions,n,mean,1.78,south,,,
Table 1,Lesions,n,sd,1.20,south,,,
Table 1,Lesions,n,mean,1.61,all,,,
Table 1,Lesions,n,p-value,0.190,,,,
Table 2,old,all,auc,0.70,north,old,0.57,0.83
Table 3,Age,OR,odds ratio,2.00,north,,1.25,3.20
Table 3,Age,OR,coefficient,0.693,north,,,
Table 3,Age,OR,p-value,0.004,north,,,
Table 4,0 months,n,at risk,100,north,,,
Table 4,12 months,n,at risk,80,north,,,
Table 4,12 months,n,cumulative events,6,north,,,
Table 4,24 months,n,at risk,60,north,,,
Table 5,new,NRI,net reclassification improvement,0.15,north,,,
Table 5,new,NRI,event NRI,0.10,north,,,
Table 5,new,NRI,nonevent NRI,0.05,north,,,
Table 6,third,n,count,40,north,third,,
Table 6,third,n,mean predicted risk,0.30,north,third,,
Table 6,third,n,expected events,12.0,north,third,,
Table 6,third,n,observed events,15,north,third,,
Table 6,third,n,observed to expected ratio,1.25,north,third,,
Table 8,new,all,sensitivity,0.800,north,,,
Table 8,new,all,specificity,0.900,north,,,
Figure 1,new,all,true positives,16,north,,,
Table 1,Male,n,count,60,north,,,
Table 1,Smokers,n,percentage,34.0,south,,,
Table 3,Age,SE,standard error,0.240,north,,,
Table 4,24 months,n,cumulative events,9,north,,,
Table 9,Male,HR,hazard ratio,2.00,north,,0.80,5.00
Table 9,"Age, per year",HR,hazard ratio,1.03,north,,1.01,1.05
Table 10,gain,all,difference,0.10,north,,-0.10,0.30
Table 10,gain,all,p-value,0.33,north,,,
"Results, sentence 3",group size,,count,24,north,high,,
"Results, sentence 1",registered,,count,900,,,,
"Results, sentence 2",Lesions,,mean,1.61,all,,,
"""


def write(folder: Path, rows: str = ROWS, description: str = DESCRIPTION) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "paper.yaml").write_text(description, encoding="utf-8")
    (folder / "numbers.csv").write_text(rows, encoding="utf-8")
    return folder


def test_small_paper_agrees(tmp_path):
    """Nothing is wrong, and every new family has compared something."""
    report = audit_folder(write(tmp_path / "a"))
    assert report.findings == ()
    families = {one.check for one in report.agreements}
    assert families >= {"means", "ratios", "survival", "reclassification", "calibration_counts", "p_values", "counts"}
    assert all(one.why for one in report.not_applied)


@pytest.mark.parametrize(
    ("old", "new", "check"),
    [
        ("mean,1.61,all", "mean,1.71,all", "means"),
        ("mean,1.78,south", "mean,1.79,south", "means"),
        ("p-value,0.190", "p-value,0.019", "p_values"),
        ("coefficient,0.693", "coefficient,0.793", "ratios"),
        ("at risk,60", "at risk,90", "survival"),
        ("cumulative events,6,", "cumulative events,26,", "survival"),
        ("at risk,100", "at risk,110", "survival"),
        ("event NRI,0.10", "event NRI,0.20", "reclassification"),
        ("ratio,1.25,north,third", "ratio,1.52,north,third", "calibration_counts"),
        ("expected events,12.0", "expected events,21.0", "calibration_counts"),
        ("count,150,all", "count,151,all", "counts"),
        ("true positives,16", "true positives,17", "two_by_two"),
        ("percentage,34.0", "percentage,33.0", "counts"),  # 16.5 of 50
        ("error,0.240", "error,0.340", "ratios"),  # ln(3.2 / 1.25) / 3.92 is 0.240
        ("cumulative events,9", "cumulative events,5", "survival"),
        # ln(2.5 / 1.6) / 3.92 is 0.114, which takes 4 / 0.114² = 308 events; there are 20.
        ("0.80,5.00", "1.60,2.50", "intervals"),
        ("p-value,0.33", "p-value,<0.001", "significance"),  # z is 0.98
        # 16 of 20 and 8 of 80 are flagged.
        ("count,24,north,high", "count,25,north,high", "two_by_two"),
    ],
)
def test_planted_error_of_every_new_family(tmp_path, old, new, check):
    """One changed number is found by its family."""
    found = audit_folder(write(tmp_path / "a", ROWS.replace(old, new, 1))).findings
    assert check in {one.check for one in found}


def test_percentages_and_no_columns(tmp_path):
    """Measures in per cent, in tables without column names: 24 of 30 is 80.0 (62.7 to 90.5) by Wilson."""
    rows = """place,row,quantity,value,unit,cohort,lower,upper
Table 1,header,count,100,,north,,
Table 1,cases,count,30,,north,,
Table 2,new,sensitivity,80.0,%,north,62.7,90.5
Table 2,new,specificity,90.0,%,north,80.8,95.1
Abstract,new,sensitivity,80.0,%,north,62.7,90.5
"""
    description = "name: small\ntitle: x\ncohorts: [north]\nsizes: [{row: header}]\nevents: [{row: cases}]\n"
    report = audit_folder(write(tmp_path / "a", rows, description))
    assert report.findings == ()
    assert {"two_by_two", "intervals", "repeated_numbers"} <= {one.check for one in report.agreements}
    wrong = audit_folder(write(tmp_path / "a", rows.replace("80.8", "70.8"), description)).findings
    assert [one.check for one in wrong] == ["intervals"]


def test_interval_of_everybody(tmp_path):
    """Limits of 10 of 10 by bootstrap have no width, which is no fault of theirs, nor a fault of the audit."""
    rows = "place,row,quantity,value,cohort,lower,upper\nTable 1,header,count,110,north,,\n"
    rows += "Table 1,cases,count,10,north,,\n"
    rows += "Table 2,new,sensitivity,1.000,north,1.000,1.000\nTable 2,new,specificity,0.810,north,0.727,0.885\n"
    description = "name: small\ntitle: x\ncohorts: [north]\nsizes: [{row: header}]\nevents: [{row: cases}]\n"
    assert audit_folder(write(tmp_path / "a", rows, description)).findings == ()


def test_text_against_table(tmp_path):
    """A cell that the text repeats otherwise is found."""
    rows = ROWS.replace('2",Lesions,,mean,1.61', '2",Lesions,,mean,1.67')
    assert [one.check for one in audit_folder(write(tmp_path / "a", rows)).findings] == ["repeated_numbers"]


# What is refused

METHOD = "methods: [{kind: network, place: x, "


@pytest.mark.parametrize(
    ("rows", "description", "message"),
    [
        (ROWS, DESCRIPTION + "colour: red\n", "paper.yaml: colour: Extra inputs are not permitted"),
        (ROWS, DESCRIPTION.replace("[north, south]\npooled", "[north]\npooled"), "must be of others of the list"),
        (ROWS.replace("50,south", "50,east"), DESCRIPTION, "cohort: must be one of all, north, south, but found east"),
        (ROWS.replace(",subgroup", ",subgrupe"), DESCRIPTION, "numbers.csv: columns must be place, row, quantity"),
        (ROWS.replace(",0.57,0.83", ",0.57,"), DESCRIPTION, "numbers.csv, line 13: must have both limits or none"),
        (
            ROWS.replace("header,n,count,50", "header,n,count,5.5"),
            DESCRIPTION,
            "must be a whole number, but found '5.5'",
        ),
        (
            ROWS.replace("sensitivity,0.800", "sensitivty,0.800"),
            DESCRIPTION,
            "quantity: must be spelled as the checks read it, but found sensitivty. Write sensitivity, or",
        ),
        (ROWS, DESCRIPTION + "alike: [{table: Table 9, said: x}]\n", "must be among compares, but found ['Table 9']"),
        (ROWS, DESCRIPTION + METHOD + "name: ResNet-18}]\n", "a number of features must say where it stands"),
        (ROWS, DESCRIPTION + METHOD + "name: VGG, at: {row: registered}}]\n", "a network must be one of ResNet-18"),
        (
            ROWS,
            DESCRIPTION + "relations: [{id: a, check: colour, place: x, what: x, holds: '1'}]\n",
            "check must be one",
        ),
        (ROWS, DESCRIPTION + "relations: [{id: a, check: counts, place: x, what: x, holds: b}]\n", "known names"),
        (ROWS, "name: [", "paper.yaml, line 1: must be valid YAML"),
    ],
)
def test_wrong_folder_is_one_message(tmp_path, rows, description, message):
    """Place, rule, value and hint."""
    with pytest.raises(DataError) as error:
        audit_folder(write(tmp_path / "a", rows, description))
    assert message in str(error.value)


def test_the_format_lists_every_quantity(project_root):
    """What the checks read is in the page, spelled so."""
    page = (project_root / "book" / "audit_format.md").read_text(encoding="utf-8")
    assert [name for name in QUANTITIES if f"`{name}`" not in page] == []


def test_empty_folder(tmp_path):
    """The message says how to begin."""
    with pytest.raises(DataError, match="hccbook audit init"):
        audit_folder(tmp_path)


# Several papers, and statements


def test_two_papers_of_one_registry(tmp_path):
    """Numbers of the source, approval, consent, and people trained on in one and tested on in the other."""
    first = write(tmp_path / "a")
    other = DESCRIPTION.replace("name: small", "name: other").replace("A small", "Another").replace("A1", "A2")
    other = other.replace("written", "waived").replace("[Town], south: [Village]", "[Village], south: [Town]")
    second = write(tmp_path / "b", ROWS.replace("count,900", "count,901"), other)
    found = [one for one in audit_folders([first, second]).findings if one.check == "between_papers"]
    places = " ".join(one.place for one in found)
    assert len(found) == 5
    assert all(word in places for word in ("registered", "approval", "consent", "small and other", "other and small"))
    alike = write(tmp_path / "c", ROWS, DESCRIPTION.replace("name: small", "name: third"))
    assert not audit_folders([first, alike]).findings
    with pytest.raises(DataError, match="names must differ"):
        audit_folders([first, first])


def test_statements(tmp_path):
    """An answer that something follows from is a finding of its own certainty; what is not said is listed."""
    folder = write(tmp_path / "a")
    answer = "- {id: selection-before-split, answer: 'yes', said: 'Methods, sentence 3', because: It says so.}\n"
    (folder / "statements.yaml").write_text(answer + "- {id: other-people-tested, answer: not said}\n")
    report = audit_folder(folder)
    assert [(one.id, one.certainty, one.place) for one in report.findings] == [
        ("small-selection-before-split", STATED, "Methods, sentence 3")
    ]
    asked = {one.what: one.why for one in report.not_applied if one.check == "statements"}
    assert len(asked) == len(statements.checklist()) - 1
    assert "The paper does not say." in asked.values()
    (folder / "statements.yaml").write_text("- {id: other-people-tested, answer: 'yes'}\n")
    with pytest.raises(DataError, match="must say where the paper says so"):
        audit_folder(folder)
    (folder / "statements.yaml").write_text("- {id: colour, answer: not said}\n")
    with pytest.raises(DataError, match="must be an item"):
        audit_folder(folder)
