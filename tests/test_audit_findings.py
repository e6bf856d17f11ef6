"""Every finding of the audit, derived again from the transcription by another line of arithmetic.

Nothing here calls a check of the audit: what a finding says is worked out anew with fractions, loops over all
whole numbers, textbook formulas, or the printed numbers alone. A finding without such a derivation fails the test.
"""

from __future__ import annotations

import itertools
import math
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from statistics import NormalDist

import pandas as pd
import pytest
import pywt
import yaml

from hccbook import audit, scores
from hccbook.audit import statements
from hccbook.papers import published
from hccbook.run import published_dir

NORMAL = NormalDist()


@pytest.fixture(scope="module")
def report():
    return audit.audit()


def cells(paper: str, **where: str) -> pd.DataFrame:
    """Printed numbers; each word in `where` must begin the column's text, or be all of it after '='."""
    found = published.numbers()
    found = found[found["paper"] == paper]
    for column, text in where.items():
        found = found[found[column] == text[1:]] if text.startswith("=") else found[found[column].str.startswith(text)]
    assert len(found), (paper, where)
    return found


def text(paper: str, **where: str) -> str:
    return cells(paper, **where)["value"].iloc[0]


def number(paper: str, **where: str) -> float:
    return float(text(paper, **where).lstrip("<> ").replace(",", ""))


def limits(paper: str, **where: str) -> tuple[float, float]:
    found = cells(paper, **where)
    first = found[found["lower"] != ""].iloc[0]
    return float(first["lower"]), float(first["upper"])


def rounded(share: Fraction, places: int, how: str = ROUND_HALF_UP) -> Decimal:
    return (Decimal(share.numerator) / Decimal(share.denominator)).quantize(Decimal(1).scaleb(-places), how)


def prints_as(count: int, total: int, printed: str, scale: int = 1) -> bool:
    """Whether the share is printed so; a half may go either way."""
    places = len(printed.partition(".")[2])
    return abs(Fraction(scale * count, total) - Fraction(printed)) <= Fraction(1, 2 * 10**places)


def alarm_size(cohort: str, group: str) -> int:
    return int(number("alarm", place="=Table 1", row="=header", cohort="=" + cohort, subgroup="=" + group))


def yates(a: int, b: int, c: int, d: int) -> float:
    """p of the chi-square with Yates' correction, from the four cells."""
    n = a + b + c + d
    statistic = n * max(0, abs(a * d - b * c) - n / 2) ** 2 / ((a + b) * (c + d) * (a + c) * (b + d))
    return math.erfc(math.sqrt(statistic / 2))


def chi_square(table: list[list[int]]) -> float:
    """Pearson's statistic, from observed and expected counts."""
    rows, columns = [sum(row) for row in table], [sum(column) for column in zip(*table, strict=True)]
    n = sum(rows)
    return sum(
        (table[i][j] - rows[i] * columns[j] / n) ** 2 / (rows[i] * columns[j] / n)
        for i in range(len(rows))
        for j in range(len(columns))
    )


def all_tables(events: int, nonevents: int, printed: dict[str, str]) -> list[tuple[int, int, int, int]]:
    """Every (TP, FP, FN, TN) whose measures print so; F1 of no true positive prints as n.a."""
    fitting = []
    for tp in range(events + 1):
        if "sensitivity" in printed and not prints_as(tp, events, printed["sensitivity"]):
            continue
        for tn in range(nonevents + 1):
            fp, fn = nonevents - tn, events - tp
            if "specificity" in printed and not prints_as(tn, nonevents, printed["specificity"]):
                continue
            shares = {"ppv": (tp, tp + fp), "npv": (tn, tn + fn), "accuracy": (tp + tn, events + nonevents)}
            shares["f1"] = (2 * tp, 2 * tp + fp + fn if tp else 0)
            if all(
                (total == 0) if printed[name] == "n.a." else total > 0 and prints_as(count, total, printed[name])
                for name, (count, total) in shares.items()
                if name in printed
            ):
                fitting.append((tp, fp, fn, tn))
    return fitting


MEASURES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1")


def table_3_row(cohort: str, row: str) -> tuple[int, int, dict[str, str]]:
    found = cells("amap_ct", place="=Table 3", cohort="=" + cohort, row="=" + row).set_index("quantity")["value"]
    return int(found["count"].replace(",", "")), int(found["HCC count"]), {name: found[name] for name in MEASURES}


def alarm_table_2(cohort: str, cutoff: str) -> dict[str, pd.Series]:
    found = cells("alarm", place="=Table 2", cohort="=" + cohort, subgroup="=cut-off " + cutoff)
    return {row.quantity: row for _, row in found.iterrows()}


COHORTS = ("discovery", "internal_validation", "external_validation")
SETS = ("training", "validation", "test")


def quartiles(paper: str, row: str, cohort: str, group: str = "") -> tuple[float, float, float]:
    found = cells(paper, place="=Table 1", row=row, cohort="=" + cohort, subgroup="=" + group, quantity="=median")
    one = found.iloc[0]
    return float(one["lower"]), float(one["value"]), float(one["upper"])


def three_sets(row: str) -> list[int]:
    return [int(number("amap_ct", place="=Table 1", row=row, cohort="=" + one, quantity="=count")) for one in SETS]


# ALARM


def male_internal(finding):
    men = {
        c: int(number("alarm", place="=Table 1", row="Sex", cohort="=" + c, subgroup="=HCC", quantity="=count"))
        for c in ("all", *COHORTS)
    }
    missing = men["all"] - men["discovery"] - men["external_validation"]
    assert missing == 13 == alarm_size("internal_validation", "HCC") != men["internal_validation"]
    others = int(
        number(
            "alarm", place="=Table 1", row="Sex", cohort="=internal_validation", subgroup="=non-HCC", quantity="=count"
        )
    )
    women = alarm_size("internal_validation", "non-HCC") - others
    stated = number("alarm", place="=Table 1", row="Sex", cohort="=internal_validation", quantity="=p-value")
    assert yates(others, women, 13, 0) == pytest.approx(stated, abs=5e-4)
    assert yates(others, women, 0, 13) < 1e-10
    assert "13" in finding.recomputed


def hbv_percentage(finding):
    where = {
        "place": "=Table 1",
        "row": "Cirrhosis etiology: HBV",
        "cohort": "=external_validation",
        "subgroup": "=non-HCC",
    }
    count = int(number("alarm", **where, quantity="=count"))
    printed = text("alarm", **where, quantity="=percentage")
    exact = rounded(Fraction(100 * count, alarm_size("external_validation", "non-HCC")), 1)
    assert str(exact) == "80.5" != printed
    assert str(exact) in finding.recomputed


def glucose_copied(finding):
    there = ("internal_validation", "non-HCC")
    assert quartiles("alarm", "Glucose", *there) == quartiles("alarm", "Bun", *there)
    (low, middle, high), (low2, middle2, high2) = (
        quartiles("alarm", "Glucose", "internal_validation", group) for group in ("non-HCC", "HCC")
    )
    m, n = (alarm_size("internal_validation", group) for group in ("non-HCC", "HCC"))
    spread = math.hypot((high - low) / 1.349, (high2 - low2) / 1.349)
    z = (NORMAL.cdf((middle2 - middle) / spread) - 0.5) / math.sqrt((m + n + 1) / (12 * m * n))
    stated = number("alarm", place="=Table 1", row="Glucose", cohort="=internal_validation", quantity="=p-value")
    assert 2 * (1 - NORMAL.cdf(z)) < 0.1 < stated
    assert all(
        quartiles("alarm", "Glucose", c, "non-HCC")[1] > high - 0.2 for c in ("discovery", "external_validation")
    )


def albi_impossible(finding):
    highest = scores.albi(1000.0, 10.0)
    assert quartiles("alarm", "ALBI", "discovery", "HCC")[2] > highest + 10


def albi_all(finding):
    others = [quartiles("alarm", "ALBI", c, "non-HCC")[1] for c in COHORTS]
    # A pooled median never exceeds the greatest median of its parts.
    assert quartiles("alarm", "ALBI", "all", "non-HCC")[1] - 0.05 > max(others) + 0.05
    sizes = [alarm_size(c, "HCC") for c in COHORTS]
    discovery, internal, external = (quartiles("alarm", "ALBI", c, "HCC") for c in COHORTS)
    point = -2.45
    assert discovery[1] + 0.05 <= point + 1e-9
    assert external[2] + 0.05 <= point + 1e-9
    assert internal[0] + 0.05 <= point
    below = math.ceil(sizes[0] / 2) + math.floor(0.75 * sizes[2]) + math.floor(0.25 * sizes[1])
    assert below == 49 > sum(sizes) / 2
    assert quartiles("alarm", "ALBI", "all", "HCC")[1] - 0.05 > point


def albi_external(finding):
    there = ("external_validation", "HCC")
    quarter_low_albumin = quartiles("alarm", "Albumin", *there)[0] + 0.05
    # A quarter of them have no more albumin than that; with the lower quartile of bilirubin ALBI is then far above.
    least = 0.66 * math.log10(quartiles("alarm", "Total bilirubin", *there)[0]) - 0.085 * quarter_low_albumin
    assert least > quartiles("alarm", "ALBI", *there)[2] + 0.3
    p = {
        row: number("alarm", place="=Table 1", row=row, cohort="=external_validation", quantity="=p-value")
        for row in ("ALBI", "Albumin", "Total bilirubin")
    }
    assert p["ALBI"] < 0.05 < min(p["Albumin"], p["Total bilirubin"])


def external_no_table(finding):
    printed = {name: row["value"] for name, row in alarm_table_2("external_validation", "0.21").items()}
    events, others = (alarm_size("external_validation", group) for group in ("HCC", "non-HCC"))
    assert not all_tables(events, others, printed)
    assert not any(prints_as(k, events, printed["sensitivity"]) for k in range(events + 1))
    assert not any(prints_as(k, others, printed["specificity"]) for k in range(others + 1))


def external_sensitivity_outside(finding):
    one = alarm_table_2("external_validation", "0.21")["sensitivity"]
    assert float(one["value"]) + 0.0005 < float(one["lower"]) - 0.0005
    elsewhere = cells("alarm", place="Results, Risk stratification", row="=Sensitivity", cohort="=external_validation")
    assert elsewhere[["value", "lower", "upper"]].iloc[0].tolist() == [one["value"], one["lower"], one["upper"]]
    n, p = 703, Fraction(30, 31)
    half = 1.96 * math.sqrt(p * (1 - p) / n)
    assert (f"{p - half:.3f}", f"{p + half:.3f}") == (one["lower"], one["upper"])
    assert "TP 30, FP 204, FN 1, TN 468" in finding.arithmetic


def intervals_whole_cohort(finding):
    reproduced = 0
    for cohort, cutoff in itertools.product(COHORTS, ("0.21", "0.65")):
        if (cohort, cutoff) == ("external_validation", "0.21"):
            continue
        one = alarm_table_2(cohort, cutoff)["sensitivity"]
        events = alarm_size(cohort, "HCC")
        whole = events + alarm_size(cohort, "non-HCC")
        (found,) = (k for k in range(events + 1) if prints_as(k, events, one["value"]))
        p = found / events
        for n, agrees in ((whole, True), (events, False)):
            half = 1.96 * math.sqrt(p * (1 - p) / n)
            near = abs(p - half - float(one["lower"])) < 6e-4 and abs(p + half - float(one["upper"])) < 6e-4
            assert near is agrees
        reproduced += 1
    assert reproduced == 5
    assert finding.recomputed.count("Wilson on 45") == 2


def incidence_no_count(finding):
    total = 0.0
    for group in ("high-risk", "medium-risk"):
        size = int(number("alarm", place="Summary", row="=" + group, quantity="=count"))
        rate = text("alarm", place="Summary", row="=" + group, quantity="=incidence")
        assert not any(prints_as(k, size, rate, scale=100) for k in range(size + 1))
        total += size * (float(rate) + 0.05) / 100
    assert total < number("alarm", place="Summary", row="=high-risk and medium-risk", quantity="=HCC count") == 84


def flagged_at_upper() -> list[tuple[int, int]]:
    """People flagged and cases among them at 0.65, from sensitivity and PPV alone."""
    found = []
    for cohort in COHORTS:
        row = alarm_table_2(cohort, "0.65")
        events = alarm_size(cohort, "HCC")
        (tp,) = (k for k in range(events + 1) if prints_as(k, events, row["sensitivity"]["value"]))
        (flagged,) = (f for f in range(tp, 900) if prints_as(tp, f, row["ppv"]["value"]))
        found.append((flagged, tp))
    return found


def high_risk_size(finding):
    flagged = flagged_at_upper()
    assert [sum(one) for one in zip(*flagged, strict=True)] == [219, 56]
    assert number("alarm", place="Summary", row="=high-risk", quantity="=count") == 221
    assert "219" in finding.recomputed


def flagged_size(finding):
    options = []
    for cohort in COHORTS[:2]:
        row = {name: one["value"] for name, one in alarm_table_2(cohort, "0.21").items()}
        (table,) = all_tables(alarm_size(cohort, "HCC"), alarm_size(cohort, "non-HCC"), row)
        options.append(table)
    tp = 84 - options[0][0] - options[1][0]
    flagged = 654 - sum(one[0] + one[1] for one in options)
    assert (tp, flagged) == (30, 244)
    external = alarm_table_2("external_validation", "0.21")
    assert not prints_as(tp, flagged, external["ppv"]["value"])
    assert not prints_as(672 - (flagged - tp), 672, external["specificity"]["value"])
    assert number("alarm", place="Discussion", row="=high-risk and medium-risk", quantity="=count") == 654


def variance_of_auc(a: float, m: int, n: int, width: float) -> float:
    """Variance of an AUC whose events lie evenly over a stretch of that width of the non-events (0: all at one)."""
    steps = 20000
    ranks = [(1 - a) + width * ((i + 0.5) / steps - 0.5) for i in range(steps)]
    of_events = sum((rank - (1 - a)) ** 2 for rank in ranks) / steps
    # A non-event at rank u from the top is beaten by the events above it.
    start, end = 1 - a - width / 2, 1 - a + width / 2
    square = (width / 3 if width else 0.0) + (1 - end)
    assert start >= 0
    return of_events / m + (square - a**2) / n


def auc_discovery_interval(finding):
    low, high = limits("alarm", place="Summary", row="=ALARM", cohort="=discovery", quantity="=auc")
    a = number("alarm", place="Summary", row="=ALARM", cohort="=discovery", quantity="=auc")
    m, n = alarm_size("discovery", "HCC"), alarm_size("discovery", "non-HCC")
    widest_error = (high - low + 0.001) / (2 * 1.96)
    least = min(variance_of_auc(a, m, n, width) for width in (0, 0.02, 0.04, 0.0512, 0.06, 0.08, 0.1, 0.14))
    assert widest_error < 0.8 * math.sqrt(least)
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    balanced = math.sqrt((a * (1 - a) + (n - 1) * (q1 - a * a) + (n - 1) * (q2 - a * a)) / n**2)
    assert balanced == pytest.approx(widest_error, rel=0.1)


def auc_external_interval(finding):
    low, high = limits("alarm", place="Summary", row="=ALARM", cohort="=external_validation", quantity="=auc")
    a = number("alarm", place="Summary", row="=ALARM", cohort="=external_validation", quantity="=auc")
    assert high - a > 2 * (a - low)
    logit = [math.log(x / (1 - x)) for x in (low, a, high)]
    assert logit[2] - logit[1] > 2 * (logit[1] - logit[0])


def alarm_calibration(finding):
    expected = 0.0
    for group, row in (("high-risk", "upper threshold"), ("medium-risk", "lower threshold")):
        cutoff = number("alarm", place="Summary", row="=" + row, quantity="=cut-off")
        rate = number("alarm", place="Summary", row="=" + group, quantity="=incidence") / 100
        assert rate < cutoff / 2 < 1 / (1 + math.exp(-cutoff)) / 2
        expected += cutoff * number("alarm", place="Summary", row="=" + group, quantity="=count")
    assert expected > 2 * 89


def lead_time(finding):
    means = [number("alarm", row=f"=time from CT to HCC, BCLC stage {stage}") for stage in "0ABCD"]
    people = [
        int(
            number(
                "alarm",
                place="=Table 1",
                row=f"=HCC BCLC stage: {stage}",
                cohort="=all",
                subgroup="=HCC",
                quantity="=count",
            )
        )
        for stage in "0ABCD"
    ]
    assert sum(people) == 89
    mean = number("alarm", row="=lead time at the lower threshold")
    months = sum(n * one for n, one in zip(people, means, strict=True))
    assert (months - 84 * mean) / 5 == pytest.approx(13.58)
    # With every rounding at its limit the five fit into the window by a hair: no certainty.
    assert (months - 0.05 * 89 - 84 * (mean + 0.05)) / 5 == pytest.approx(11.85)
    assert number("alarm", row="=window between CT and HCC diagnosis", subgroup="=highest") == 12
    assert finding.certainty == audit.ROUNDING


def digits_cut(finding):
    row = alarm_table_2("internal_validation", "0.65")
    for name, share in (("specificity", Fraction(194, 218)), ("npv", Fraction(194, 198))):
        assert str(rounded(share, 3, ROUND_DOWN)) == row[name]["value"] != str(rounded(share, 3))
    assert prints_as(9, 13, row["sensitivity"]["value"])
    assert prints_as(9, 9 + 24, row["ppv"]["value"])


def pooling_width(finding):
    assert number("alarm", row="=deep features of one phase") == 100 != 4 * 512
    assert "2048" in finding.recomputed


def sub_bands(finding):
    named = {
        "".join("L" if letter == "a" else "H" for letter in key) for key in pywt.dwtn([[[1.0] * 2] * 2] * 2, "haar")
    }
    assert {"HLL", "HHH", "HLH"} <= named
    paper = Path(__file__).resolve().parents[2] / "shared" / "papers" / "alarm.txt"
    if paper.is_file():
        whole = paper.read_text(encoding="utf-8")
        for band, expansion in (one.split(": ") for one in finding.printed.split("; ")):
            assert f"{band}, {expansion}" in whole
            assert "wavelet" not in expansion.lower()


# aMAP-CT


def p_values_two_cohorts(finding):
    sizes = [int(number("amap_ct", place="=Table 1", row="Total patients", cohort="=" + one)) for one in SETS]
    for row, p_row in (("Male", "Male"), ("Etiology: HBV", "Etiology, n")):
        people = three_sets(row)
        table = [[k, n - k] for k, n in zip(people, sizes, strict=True)]
        stated = number("amap_ct", place="=Table 1", row=p_row, quantity="=p-value")
        assert math.exp(-chi_square(table) / 2) < 1e-15 < stated
        assert yates(*table[0], *table[1]) == pytest.approx(stated, abs=5e-4)


def p_value_amap_groups(finding):
    table = [
        list(one)
        for one in zip(*(three_sets(f"aMAP HCC risk: {name}") for name in ("Low", "Medium", "High")), strict=True)
    ]
    half = chi_square(table) / 2
    assert math.exp(-half) * (1 + half) < 1e-20
    two = chi_square(table[:2])
    assert math.exp(-two / 2) == pytest.approx(0.2205, abs=5e-4)
    assert number("amap_ct", place="=Table 1", row="aMAP HCC risk, n", quantity="=p-value") == 0.036


def p_value_follow_up(finding):
    first, second, third = (quartiles("amap_ct", "Follow-up", one) for one in SETS)
    assert third[0] > max(first[2], second[2]) + 10
    # Three quarters of the test cohort beat three quarters of the rest: at least 9 of 16 pairs.
    m, n = 809 + 348, 1254
    z = (9 / 16 - 0.5) / math.sqrt((m + n + 1) / (12 * m * n))
    assert 2 * (1 - NORMAL.cdf(z)) < 1e-6 < number("amap_ct", place="=Table 1", row="Follow-up", quantity="=p-value")


def p_values_continuous(finding):
    for row, skewed in (("Age", 0), ("TBIL", 1), ("Albumin", 0), ("PLT", 0), ("AFP", 1), ("aMAP score", 0)):
        one, other = (quartiles("amap_ct", row, cohort) for cohort in ("training", "test"))
        if skewed:
            one, other = (tuple(map(math.log, each)) for each in (one, other))
        spread = math.hypot((one[2] - one[0]) / 1.349, (other[2] - other[0]) / 1.349)
        z = (NORMAL.cdf(abs(one[1] - other[1]) / spread) - 0.5) / math.sqrt((809 + 1254 + 1) / (12 * 809 * 1254))
        p = number("amap_ct", place="=Table 1", row=row, quantity="=p-value")
        assert z - NORMAL.inv_cdf(1 - p / 2) > 1.5, row


def similar_cohorts(finding):
    cases = three_sets("HCC cases")
    table = [[k, n - k] for k, n in zip(cases, (809, 348, 1254), strict=True)]
    assert math.exp(-chi_square(table) / 2) < 0.001
    p_values_two_cohorts(finding)


def men_validation_table(finding):
    n, cases, printed = table_3_row("validation", "Males")
    assert (n, cases) == (259, 10)
    assert not all_tables(10, 249, printed)
    assert all_tables(11, 249, printed) == [(8, 58, 3, 191)]
    assert table_3_row("validation", "Females")[1] + 11 > 11
    assert "n 260, events 11" in finding.recomputed


def men_validation_size(finding):
    assert three_sets("Male")[1] == 260 != table_3_row("validation", "Males")[0]
    assert number("amap_ct", place="=Table 1", row="Male", cohort="=all", quantity="=count") == sum(three_sets("Male"))


def width_against_wald() -> dict[str, float]:
    """Printed width over that of Wald's interval on the measure's own people."""
    own = {"training": (19, 166, 5, 619), "validation": (8, 74, 3, 263), "test": (50, 143, 33, 1028)}
    ratios = {}
    for cohort, (tp, fp, fn, tn) in own.items():
        n, cases, printed = table_3_row(cohort, f"{cohort.capitalize()} cohort")
        assert all_tables(cases, n - cases, printed) == [(tp, fp, fn, tn)]
        people = {
            "sensitivity": (tp, tp + fn),
            "specificity": (tn, tn + fp),
            "ppv": (tp, tp + fp),
            "npv": (tn, tn + fn),
            "accuracy": (tp + tn, n),
        }
        for name, (k, total) in people.items():
            low, high = limits("amap_ct", place="=Table 2", cohort="=" + cohort, quantity="=" + name)
            share = k / total
            ratios[f"{name}, {cohort}"] = (high - low) / (2 * 1.96 * math.sqrt(share * (1 - share) / total))
    return ratios


def intervals_too_narrow(finding):
    narrow = {cell for cell, ratio in width_against_wald().items() if ratio < 0.7}
    assert narrow == {"sensitivity, training", "sensitivity, validation", "ppv, validation", "ppv, test"}
    assert all(cell in finding.place for cell in narrow)


def intervals_too_wide(finding):
    wide = {cell for cell, ratio in width_against_wald().items() if ratio > 1.4}
    expected = {"specificity, validation", "accuracy, validation", "specificity, test", "npv, test", "accuracy, test"}
    assert wide == expected
    assert all(cell in finding.place for cell in wide)


def auc_swapped(finding):
    second = [text("amap_ct", place="=Table 2", cohort="=" + one, quantity="=auc") for one in SETS]
    fourth = [text("amap_ct", place="=Table 4", cohort="=" + one, quantity="=auc", subgroup="=aMAP-CT") for one in SETS]
    assert second[0] == fourth[0]
    assert second[1:] == fourth[:0:-1]
    assert second[1] != second[2]


def unmarked() -> set[tuple[str, str]]:
    found = cells("amap_ct", place="=Table 4")
    scored = {(row.subgroup, row.cohort) for row in found[found["quantity"] == "auc"].itertuples()}
    starred = {(row.subgroup, row.cohort) for row in found[found["value"] == "*"].itertuples()}
    return {one for one in scored - starred if not one[0].startswith("aMAP-CT") and "plus" not in one[0]}


def not_significant_amap(finding):
    assert {cohort for score, cohort in unmarked() if score == "aMAP"} == {"validation"}


def not_significant_scores(finding):
    expected = {(score, "validation") for score in ("CU-HCC", "PAGE-B", "mPAGE-B", "THRI")}
    expected |= {("aMAP-2", cohort) for cohort in SETS}
    assert {one for one in unmarked() if one[0] != "aMAP"} == expected
    assert finding.arithmetic.count("without *") == 7


def one_cutoff(finding):
    n, cases, printed = table_3_row("training", "Training cohort")
    (tp,) = (k for k in range(cases + 1) if prints_as(k, cases, printed["sensitivity"]))
    (tn,) = (k for k in range(n - cases + 1) if prints_as(k, n - cases, printed["specificity"]))
    assert tp + n - cases - tn == 185
    assert number("amap_ct", row="=group size", cohort="=training", subgroup="=high-risk") == 61
    # Even were all 24 cases among the 61, so many flagged without HCC cannot be.
    assert n - cases - tn > 61


def stepwise_size(finding):
    flagged = 0
    for cohort, group in itertools.product(SETS, ("medium", "high")):
        n, cases, printed = table_3_row(cohort, f"aMAP score: {group}-risk")
        ((tp, fp, _, _),) = all_tables(cases, n - cases, printed)
        flagged += tp + fp
    assert flagged == 452 != number("amap_ct", row="=group size", cohort="=all", subgroup="=high-risk") == 169


def enrolment(finding):
    assert text("amap_ct", row="=enrolment, last year") == "2023"
    assert text("amap_ct", row="=enrolment, last month").endswith("2020")


def tukey(low: float, middle: float, high: float) -> float:
    """Tukey's trimean, an estimate of a mean from quartiles."""
    return (low + 2 * middle + high) / 4


def amap_inputs(finding):
    gaps = {}
    for cohort in ("all", *SETS):
        men = number("amap_ct", place="=Table 1", row="Male", cohort="=" + cohort, quantity="=percentage") / 100
        liver = 0.66 * tukey(*map(math.log10, quartiles("amap_ct", "TBIL", cohort)))
        liver -= 0.085 * tukey(*quartiles("amap_ct", "Albumin", cohort))
        value = 0.06 * tukey(*quartiles("amap_ct", "Age", cohort)) + 0.89 * men + 0.48 * liver + 7.4
        value = (value - 0.01 * tukey(*quartiles("amap_ct", "PLT", cohort))) / 14.77 * 100
        gaps[cohort] = tukey(*quartiles("amap_ct", "aMAP score", cohort)) - value
    assert gaps["training"] > 1.3
    assert gaps["all"] > 0.8
    assert abs(gaps["test"]) < 0.4  # the same arithmetic agrees where nothing is reported
    assert "training" in finding.place
    assert "test" not in finding.place


def lsm_below_chance(finding):
    low, high = limits("amap_ct", place="=Table 4", cohort="=test", subgroup="=LSM-HCC")
    assert low < high < 0.5


def outperforms(finding):
    auc = [number("amap_ct", place="=Table 2", cohort="=" + one, quantity="=auc") for one in SETS]
    found = [number("amap_ct", place="=Table 2", cohort="=" + one, quantity="=sensitivity") for one in SETS]
    assert auc[2] < auc[0]
    assert found[2] < min(found[:2])


def amap_ct_calibration(finding):
    cutoff = number("amap_ct", row="=optimal cut-off")
    rate = number("amap_ct", row="=three-year incidence", cohort="=training", subgroup="=high-risk") / 100
    assert rate + 0.0005 < cutoff < 1 / (1 + math.exp(-cutoff))
    assert all(number("amap_ct", place="=Table 2", cohort="=" + one, quantity="=ppv") < cutoff for one in SETS)


def hazard_ratio_events(finding):
    where = {"quantity": "=hazard ratio"}
    low, high = limits("amap_ct", subgroup="=aMAP-CT", **where)
    greatest = math.log((high + 0.05) / (low - 0.05)) / (2 * 1.96)
    assert 24 < 4 / greatest**2 < 83
    smallest = math.log((high - 0.05) / (low + 0.05)) / (2 * 1.96)
    # 61 against 748 at 12.3 times the hazard: half of the cases each, so that 83 or 118 give about half that error.
    assert abs(61 * 12.3 / 748 - 1) < 0.01
    assert 2 / math.sqrt(83) < 0.6 * smallest
    low, high = limits("amap_ct", subgroup="=aMAP", **where)
    assert 4 / (math.log((high + 0.05) / (low - 0.05)) / (2 * 1.96)) ** 2 > 83 + 24


def formula_scale(finding):
    weight = number("amap_ct", row="=aMAP-CT formula, aMAP score")
    constant = number("amap_ct", row="=aMAP-CT formula, constant")
    lowest = quartiles("amap_ct", "aMAP score", "test")[0]
    assert weight * lowest + constant > 50 > 100 * number("amap_ct", row="=optimal cut-off")


def feature_count(finding):
    per_phase, rest = divmod(int(number("amap_ct", row="=radiomics features, liver")), 3)
    assert (per_phase, rest) == (852, 0)
    classes = (18, 24, 16, 16, 14, 5)
    sums = {sum(pick) for size in range(1, 7) for pick in itertools.combinations(classes, size)}
    assert not any((per_phase - shape) % total == 0 for total in sums for shape in (0, 14))
    assert (107 + 8 * 93, per_phase - 1) == (851, 851)


def rounded_twice(finding):
    for count, total, printed in ((324, 809, "40.1"), (6, 293, "2.1"), (15, 316, "4.8")):
        once = rounded(Fraction(100 * count, total), 1)
        twice = rounded(Fraction(100 * count, total), 2).quantize(Decimal("0.1"), ROUND_HALF_UP)
        assert str(once) != printed == str(twice)
        assert f"{count} ({printed} %)" in finding.printed
    group = cells("amap_ct", place="=Table 1", row="aMAP HCC risk: Medium", cohort="=training", quantity="=percentage")
    assert group["value"].iloc[0] == "40.1"
    ages = [
        cells("amap_ct", place="=Table 3", row=f"=Age, years: {one}", cohort="=training", quantity="=percentage")
        for one in ("45-55", "≥55")
    ]
    assert [one["value"].iloc[0] for one in ages] == ["2.1", "4.8"]


def nri_validation(finding):
    low, high = limits("amap_ct", quantity="=net reclassification improvement", cohort="=validation")
    value = number("amap_ct", quantity="=net reclassification improvement", cohort="=validation")
    assert low <= 0
    assert 2 * (1 - NORMAL.cdf((value + 0.005) / ((high - low - 0.01) / 3.92))) > 0.05
    assert finding.certainty == audit.ROUNDING


def age_groups(finding):
    rows = cells("amap_ct", place="=Table 3", row="Age, years")["row"].unique()
    ends = [one.removeprefix("Age, years: ") for one in rows]
    assert ends == ["≤45", "45-55", "≥55"]
    # Each row counts an exact 45 or 55, and so does its neighbour.
    assert "45 belongs to both" in finding.arithmetic and "55 belongs to both" in finding.arithmetic


def few_events(finding):
    few = []
    for one in cells("amap_ct", place="=Table 3", quantity="=auc").itertuples():
        events = number("amap_ct", place="=Table 3", row="=" + one.row, cohort="=" + one.cohort, quantity="=HCC count")
        few += [f"{one.cohort}, {one.subgroup}"] * (events <= 2)
    assert len(few) == finding.printed.count("AUC") and all(one in finding.printed for one in few)


def study(paper: str) -> dict:
    return yaml.safe_load((published_dir() / paper / "paper.yaml").read_text(encoding="utf-8"))["study"]


def in_texts(name: str, *texts: str) -> None:
    """Where the papers' texts are at hand, they say so."""
    file = Path(__file__).resolve().parents[2] / "shared" / "papers" / f"{name}.txt"
    assert not file.is_file() or all(text in file.read_text(encoding="utf-8") for text in texts)


def approval(finding):
    assert study("alarm")["approval"] != study("amap_ct")["approval"]
    in_texts("alarm", "NFEC-201808-101")
    in_texts("amap_ct", "NFEC-2018-101")


def consent(finding):
    assert (study("alarm")["consent"], study("amap_ct")["consent"]) == ("written", "waived")
    in_texts("alarm", "provided written informed consent")
    in_texts("amap_ct", "informed consent was waived")


def overlap(finding):
    assert study("alarm")["centres"]["discovery"] == study("amap_ct")["centres"]["test"] == ["Nanfang Hospital"]
    in_texts("alarm", "80% of the primary cohort (Nanfang Hospital)")
    in_texts("amap_ct", "(Nanfang Hospital) were assigned to the test cohort")


DERIVATIONS = {
    "alarm-male-internal": male_internal,
    "alarm-hbv-percentage": hbv_percentage,
    "alarm-glucose-copied": glucose_copied,
    "alarm-albi-impossible": albi_impossible,
    "alarm-albi-all": albi_all,
    "alarm-albi-external": albi_external,
    "alarm-external-no-table": external_no_table,
    "alarm-external-sensitivity-outside": external_sensitivity_outside,
    "alarm-intervals-whole-cohort": intervals_whole_cohort,
    "alarm-incidence-no-count": incidence_no_count,
    "alarm-high-risk-size": high_risk_size,
    "alarm-flagged-size": flagged_size,
    "alarm-auc-discovery-interval": auc_discovery_interval,
    "alarm-auc-external-interval": auc_external_interval,
    "alarm-calibration": alarm_calibration,
    "alarm-lead-time": lead_time,
    "alarm-digits-cut": digits_cut,
    "alarm-pooling-width": pooling_width,
    "alarm-sub-bands": sub_bands,
    "amap-ct-p-values-two-cohorts": p_values_two_cohorts,
    "amap-ct-p-value-amap-groups": p_value_amap_groups,
    "amap-ct-p-value-follow-up": p_value_follow_up,
    "amap-ct-p-values-continuous": p_values_continuous,
    "amap-ct-similar-cohorts": similar_cohorts,
    "amap-ct-men-validation-table": men_validation_table,
    "amap-ct-men-validation-size": men_validation_size,
    "amap-ct-intervals-too-narrow": intervals_too_narrow,
    "amap-ct-intervals-too-wide": intervals_too_wide,
    "amap-ct-auc-swapped": auc_swapped,
    "amap-ct-not-significant-amap": not_significant_amap,
    "amap-ct-not-significant-scores": not_significant_scores,
    "amap-ct-one-cutoff": one_cutoff,
    "amap-ct-stepwise-size": stepwise_size,
    "amap-ct-enrolment": enrolment,
    "amap-ct-amap-inputs": amap_inputs,
    "amap-ct-lsm-hcc-test-below-chance": lsm_below_chance,
    "amap-ct-test-outperforms": outperforms,
    "amap-ct-calibration": amap_ct_calibration,
    "amap-ct-hazard-ratio-events": hazard_ratio_events,
    "amap-ct-formula-scale": formula_scale,
    "amap-ct-feature-count": feature_count,
    "amap-ct-rounded-twice": rounded_twice,
    "amap-ct-nri-validation": nri_validation,
    "amap-ct-age-groups": age_groups,
    "amap-ct-few-events": few_events,
    "amap-ct-approval": approval,
    "amap-ct-consent": consent,
    "amap-ct-overlap": overlap,
}
"""For every finding the function that derives it again."""


@pytest.mark.parametrize("name", DERIVATIONS)
def test_finding_follows_from_the_transcription(report, name):
    """What the audit reports holds by another line of arithmetic."""
    DERIVATIONS[name](report.finding(name))


def test_every_finding_is_derived_again(report):
    """No finding stands on the audit's own code alone, and none that was derived has gone missing."""
    answered = {item.id for item in statements.checklist()}
    found = [one for one in report.findings if one.id.removeprefix("alarm-").removeprefix("amap-ct-") not in answered]
    assert sorted(one.id for one in found) == sorted(DERIVATIONS)


def test_tables_of_every_row_of_table_3():
    """One table each by the loop above, except the row that has none."""
    frame = audit.two_by_two_frame(audit.published_paper("amap_ct"), "Table 3")
    found = published.table("amap_ct", "Table 3")[["cohort", "row"]].drop_duplicates()
    assert len(frame) == len(found) == 27
    for one, (cohort, row) in zip(frame.itertuples(), found.itertuples(index=False), strict=True):
        n, cases, printed = table_3_row(cohort, row)
        tables = all_tables(cases, n - cases, printed)
        assert one.tables == len(tables) == (0 if (cohort, row) == ("validation", "Males") else 1)
        if tables:
            assert tables == [(one.TP, one.FP, one.FN, one.TN)]
