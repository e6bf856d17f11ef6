"""aMAP-CT: what the paper is, as data, and the arithmetic on it that no general check does.

Numbers come from the transcription alone; what a finding means stands in ``data/published/findings.yaml``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import exp

import pandas as pd

from hccbook.audit import auc, characteristics, counts, horizons, intervals, methods, p_values, significance
from hccbook.audit.audited_paper import AmapRows, AuditedPaper, check_amap
from hccbook.audit.characteristics import Characteristics, Design, Group, contingency
from hccbook.audit.counts import PrintedShare
from hccbook.audit.findings import CERTAIN, IMPLIED, CheckResult
from hccbook.audit.formulas import other_input
from hccbook.audit.hazard_ratios import expected_se, least_events, log_hazard_se, share_of_events
from hccbook.audit.ledger import Ledger
from hccbook.audit.lookup import Transcription
from hccbook.audit.performance import performance_rows, printed_intervals, printed_limits
from hccbook.audit.printed import printed_range, whole_number
from hccbook.audit.quantiles import share_against_quartiles
from hccbook.audit.repeated_numbers import printed_alike, repeated_in_text, swapped
from hccbook.audit.two_by_two import MEASURES, nearby_sizes, partitions

PAPER = "amap_ct"
COHORTS = ("training", "validation", "test")
GROUPS = tuple((cohort, "") for cohort in COHORTS)
EVERYBODY = ("all", "")
FAMILIES = {"sex": ("Males", "Females"), "age": ("Age, years: ",), "aMAP": ("aMAP score: ",)}
"""Families of subgroups of Table 3, as the names of their rows begin."""

MEN, CASES, FOLLOW_UP = "Male, n (%)", "HCC cases during follow-up, n (%)", "Follow-up time, months"
PEOPLE, AMAP_GROUPS = "Total patients, n", "aMAP HCC risk, n (%)"
LOW_RISK, MEDIUM_RISK, HIGH_RISK = (
    f"aMAP HCC risk: {group}" for group in ("Low-risk (<50)", "Medium-risk (50-60)", "High-risk (>60)")
)
AMAP = AmapRows("aMAP score ^b", "Age, years", MEN, "TBIL, μmol/L", "Albumin, g/L", "PLT, ×10³/mm³")
"""Rows of Table 1."""

ROWS_OF_BOTH_TABLES = {
    "Males": MEN,
    "aMAP score: low-risk": LOW_RISK,
    "aMAP score: medium-risk": MEDIUM_RISK,
    "aMAP score: high-risk": HIGH_RISK,
}
"""Rows of Table 3, and those of Table 1 that count the same people."""

THRESHOLD = "significance threshold"
RISK_GROUPS = ("high-risk", "low-risk")
ORGANS = ("liver", "spleen")
SHARED_WITH_ALARM = (
    *("PreCar cohort, enrolled", "PreCar cohort, centers", "PreCar cohort, provinces"),
    *("enrolment, first month", "enrolment, last month"),
)
"""What both papers print of the cohort that both draw on."""

STRATIFICATION = "Results, HCC risk stratification, sentence 2"
HAZARD_RATIOS = "Results, HCC risk stratification, sentence 5"
DISCRIMINATION = "Results, Discrimination and calibration"
MODEL = "Results, Model construction"

WIDTH_FACTOR = 1.25
"""How much wider or narrower than every method's a printed interval must be before it is a finding.

A bootstrap follows the methods' widths within sampling noise; no resampling of these people gives a quarter more.
"""

SE_FACTOR = 1.25
"""How far the standard error of a log hazard ratio may be from the expected one, the split of cases being estimated."""

YEARS = 3.0
"""Horizon of the cumulative incidences."""

FAR_OUTSIDE = -10
"""A CT image score that no standardised score comes near."""


def read() -> AuditedPaper:
    """The paper with Tables 1 and 3 taken apart; a whole cohort of Table 3 has an empty name."""
    paper = Transcription.named(PAPER)
    table = paper.table("Table 1").copy()
    # The row of HCC cases counts people of the column as any other row does.
    table.loc[table["row"] == CASES, "subgroup"] = ""
    is_size = table["row"] == PEOPLE
    people = table[is_size & (table["quantity"] == "count")]
    design = Design(
        sizes={(one.cohort, ""): whole_number(one.value) for one in people.itertuples()},
        pooled={EVERYBODY: GROUPS},
        contrasts={"": GROUPS},
    )
    third = paper.table("Table 3")
    rows = performance_rows(third, ["cohort", "row"], "count", "HCC count")
    keys = third[["cohort", "row"]].drop_duplicates().itertuples(index=False)
    performance = {(cohort, _subgroup(name)): row for (cohort, name), row in zip(keys, rows, strict=True)}
    return AuditedPaper.of(paper, Characteristics.of(table[~is_size], design), performance)


def _subgroup(row: str) -> str:
    return "" if row.endswith(" cohort") else row


def _family(paper: AuditedPaper, cohort: str, family: str) -> list[tuple[str, str]]:
    return [key for key in paper.performance if key[0] == cohort and key[1].startswith(FAMILIES[family])]


def two_by_two_frame() -> pd.DataFrame:
    """2x2 table of every row of Table 3.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, row, n, HCC, tables (how many fit the printed measures), TP, FP, FN, TN (where one alone
        fits), flagged.
    """
    paper = read()
    lines = []
    for (cohort, name), row in paper.performance.items():
        tables = paper.tables[row.name]
        cells = (*tables[0], tables[0].flagged) if len(tables) == 1 else (pd.NA,) * 5
        lines.append((cohort, name or "all", row.n, row.events, len(tables), *cells))
    columns = ["cohort", "row", "n", "HCC", "tables", "TP", "FP", "FN", "TN", "flagged"]
    return pd.DataFrame(lines, columns=columns).astype({name: "Int64" for name in columns[2:]})


def _table_1(ledger: Ledger, paper: AuditedPaper) -> None:
    table = paper.characteristics
    ledger.record("Table 1", *characteristics.check_all(table, but=characteristics.CHECKS_OF_P))
    denominators = {
        f"{one.row}, {one.cohort}": (whole_number(one.value), [table.design.sizes[one.cohort, ""]])
        for one in paper.select(place="Table 1", quantity="denominator").itertuples()
    }
    ledger.record("Table 1", counts.sums(denominators, "printed denominators against the columns"))
    shares = []
    for label in ("Table 2", "Table 3"):
        for (cohort, row), cells in paper.table(label).groupby(["cohort", "row"], sort=False):
            texts = cells.groupby("quantity")["value"].agg(list)
            people, *cases = map(whole_number, [*texts["count"], *texts.get("HCC count", [])])
            share = printed_range(texts["percentage"][0], "%")
            shares.append(PrintedShare(f"{label}, {cohort}, {row}", cases[0], people, share))
    ledger.record("Tables 2 and 3", counts.percentages(shares, "share of HCC against its counts"))
    twice = [one.cell for one in [*shares, *characteristics.shares_of_columns(table)] if counts.rounded_twice(one)]
    ledger.explain("rounded-twice", twice)


def _p_of_counts(table: Characteristics, groups: Sequence[Group]) -> dict[str, dict[str, float]]:
    """p-values of some columns, by row of counts and test."""
    people = {row: contingency(table, row, groups) for row in table.p_values}
    return {row: p_values.count_p_values(one) for row, one in people.items() if one}


def _p_values(ledger: Ledger, paper: AuditedPaper) -> None:
    table = paper.characteristics
    ledger.record("Table 1", *(check(table) for check in characteristics.CHECKS_OF_P))
    by_test = _p_of_counts(table, GROUPS[:2])
    with_yates = {row: p[p_values.YATES] for row, p in by_test.items() if p_values.YATES in p}
    reproduced = {row: p for row, p in with_yates.items() if table.p_values[row][""].holds(p)}
    shown = ", ".join(f"{_bare(row)} {p:.4f}" for row, p in reproduced.items())
    ledger.explain("p-values-two-cohorts", list(reproduced), reproduced=shown)
    ledger.explain("p-value-amap-groups", two_cohorts=by_test[AMAP_GROUPS][p_values.PEARSON])


def _bare(row: str) -> str:
    """Name of a row without its unit and its footnote."""
    return row.split(",")[0].removesuffix(" ^b")


def _p_values_of_quartiles(ledger: Ledger, paper: AuditedPaper) -> None:
    table = paper.characteristics
    people = table.people(FOLLOW_UP, GROUPS)
    most = p_values.greatest_kruskal_wallis_p(people)
    certainty = CERTAIN if most < table.p_values[FOLLOW_UP][""].low else IMPLIED
    ledger.explain("p-value-follow-up", most=most, test=people[2][1], training=people[0][1], certainty=certainty)
    others = {
        one.cell: one for one in characteristics.check_quartile_p_values(table).discrepancies if one.cell != FOLLOW_UP
    }
    compatible = 0
    for row in others:
        deviates = p_values.mann_whitney_readings(*table.people(row, GROUPS[:2]))
        compatible += p_values.quartile_discrepancy(row, table.p_values[row][""], deviates, "") is None
    ledger.explain(
        "p-values-continuous",
        list(others),
        rows=", ".join(map(_bare, others)),
        printed=", ".join(f"{_bare(row)} {table.p_values[row]['']}" for row in others),
        recomputed="; ".join(f"{_bare(row)} {one.recomputed}" for row, one in others.items()),
        compatible=compatible,
        number=len(others),
    )


def _similar(ledger: Ledger, paper: AuditedPaper) -> None:
    table, threshold = paper.characteristics, paper.range("p-value", row=THRESHOLD).high
    recomputed = {row: p[p_values.PEARSON] for row, p in _p_of_counts(table, GROUPS).items()}
    different = {row: p for row, p in recomputed.items() if p < threshold}
    rows = ", ".join(f"{_bare(row)} p {p_values.p_text(p)}" for row, p in different.items())
    number = len(recomputed)
    values = {"different": len(different), "number": number, "rows": rows, "threshold": threshold}
    ledger.expect("similar-cohorts", not different, number, **values)


def _amap(ledger: Ledger, paper: AuditedPaper) -> None:
    table = paper.characteristics
    ledger.record("Table 1", check_amap(table, AMAP, table.counts[MEN]))
    ledger.explain("amap-inputs")
    results = []
    for group, size in table.design.sizes.items():
        low, not_high = table.counts[LOW_RISK][group], size - table.counts[HIGH_RISK][group]
        for name, bound, people in (("low-risk", 50.0, low), ("not high-risk", 60.0, not_high)):
            quartiles, cell = table.quartiles[AMAP.score][group], f"{name}, {group[0]}"
            results.append(share_against_quartiles(cell, size, quartiles, bound, people))
    ledger.record("Table 1", *results, what="aMAP risk groups against the quartiles of aMAP")


def _table_3(ledger: Ledger, paper: AuditedPaper) -> None:
    ledger.record("Table 3", paper.recovery)
    rows = paper.performance
    for cohort in COHORTS:
        families = {family: [rows[key] for key in _family(paper, cohort, family)] for family in FAMILIES}
        ledger.record("Table 3", partitions(rows[cohort, ""], families, paper.tables))
    men, women, whole = (rows["validation", name] for name in ("Males", "Females", ""))
    nearby = [
        {"n": n, "events": events, "table": tables[0], "sum": events + women.events}
        for (n, events), tables in nearby_sizes(men).items()
    ]
    nearby = nearby if len(nearby) == 1 else []
    ledger.explain("men-validation-table", men=men, women=women, whole=whole, size=nearby, nearby=nearby)


def _sizes(ledger: Ledger, paper: AuditedPaper) -> None:
    results = []
    for cohort in COHORTS:
        whole = f"{cohort.capitalize()} cohort"
        pairs = [(f"n, {cohort}, {third}", first, third, "count") for third, first in ROWS_OF_BOTH_TABLES.items()]
        pairs += [(f"n, {cohort}, all", PEOPLE, whole, "count"), (f"HCC, {cohort}", CASES, whole, "HCC count")]
        for name, first, third, quantity in pairs:
            of_first = {"place": "Table 1", "cohort": cohort, "row": first, "quantity": "count"}
            of_third = {"place": "Table 3", "cohort": cohort, "row": third, "quantity": quantity}
            results += paper.alike(name, of_first, of_third)
    ledger.record("Tables 1 and 3", *results, what="group sizes of Table 1 in Table 3")
    men, women, whole = (paper.performance["validation", name] for name in ("Males", "Females", ""))
    ledger.explain("men-validation-size", men=men, women=women, whole=whole)


def _intervals(ledger: Ledger, paper: AuditedPaper) -> None:
    second = paper.table("Table 2")
    ledger.record("Table 2", intervals.estimates_inside(printed_limits(second), "estimate inside its own interval"))
    result = intervals.check_widths(printed_intervals(second, paper.recovered), WIDTH_FACTOR)
    ledger.record("Table 2", result)
    for side in ("narrow", "wide"):
        cells = [one.cell.removeprefix(f"{side}, ") for one in result.discrepancies if one.cell.startswith(side)]
        ledger.explain(f"intervals-too-{side}", cells=", ".join(cells))


def _score(one: object) -> str:
    """Score and cohort of a row of Table 4."""
    return f"{one.subgroup}, {one.cohort}"


def _areas(paper: AuditedPaper, label: str) -> pd.DataFrame:
    return paper.select(place=label, quantity="auc")


def _auc_of_model(ledger: Ledger, paper: AuditedPaper) -> None:
    places, results = ({"place": "Table 2"}, {"place": "Table 4", "subgroup": "aMAP-CT"}), []
    for cohort in COHORTS:
        printings = [{"quantity": "auc", "cohort": cohort, **place} for place in places]
        results += paper.alike(f"AUC of aMAP-CT, {cohort}", *printings)
    ledger.record("Tables 2 and 4", *results, what="AUC of aMAP-CT in both tables")
    second, fourth = (paper.select(quantity="auc", **place).set_index("cohort")["value"].to_dict() for place in places)
    pairs = swapped(second, fourth)
    differences = [abs(float(second[one]) - float(second[other])) for one, other in pairs]
    ledger.explain("auc-swapped", swapped=pairs, difference=max(differences, default=0.0))


def _auc_of_scores(ledger: Ledger, paper: AuditedPaper) -> None:
    fourth, rows = _areas(paper, "Table 4"), paper.performance
    limits = printed_limits(fourth, lambda one: f"AUC of {_score(one)}")
    ledger.record("Table 4", intervals.estimates_inside(limits, "AUC inside its interval"))
    below = {cell: one for cell, one in limits.items() if one[2].high < 0.5}
    ledger.expect(
        "lsm-hcc-test-below-chance",
        not below,
        len(limits),
        cells="; ".join(below),
        chance=0.5,
        stated=below.values(),
        in_reverse=[tuple(1 - one.middle for one in some) for some in below.values()],
        reversals=[{"estimate": some[0], "reverse": 1 - some[0].middle} for some in below.values()],
    )
    results = []
    for one in fourth[~fourth["subgroup"].str.contains("18 months")].itertuples():
        cell, whole = f"AUC of {_score(one)}", rows[one.cohort, ""]
        results.append(auc.check_width(cell, limits[cell], whole.events, whole.nonevents, ""))
    ledger.record("Table 4", *results, what="width of the AUC's interval is possible")


def _auc_of_rows(ledger: Ledger, paper: AuditedPaper) -> None:
    rows = paper.performance
    values = {
        (one.cohort, _subgroup(one.row)): printed_range(one.value) for one in _areas(paper, "Table 3").itertuples()
    }
    results = []
    for key, value in values.items():
        row = rows[key]
        allowed = auc.auc_from_points([(row.measures["sensitivity"], row.measures["specificity"])])
        on_grid = auc.auc_on_grid(value, row.events, row.nonevents)
        results.append(auc.check_possible(f"AUC, {row.name}", value, allowed, "", on_grid))
    ledger.record("Table 3", *results, what="AUC possible with its operating point and its number of pairs")
    for cohort in COHORTS:
        for family in FAMILIES:
            keys = _family(paper, cohort, family)
            if sum(rows[key].events for key in keys) == rows[cohort, ""].events:
                allowed = auc.auc_from_strata([(rows[key].events, rows[key].nonevents, values[key]) for key in keys])
                what = f"AUC of the cohort possible with those by {family}: {cohort}"
                ledger.record("Table 3", auc.check_possible(what, values[cohort, ""], allowed, what))
    for one in paper.select(place="Table 4", quantity="auc", subgroup="aMAP").itertuples():
        keys = _family(paper, one.cohort, "aMAP")
        allowed = auc.auc_from_groups([rows[key].events for key in keys], [rows[key].nonevents for key in keys])
        what = f"AUC of aMAP possible with HCC by aMAP group: {one.cohort}"
        ledger.record("Tables 3 and 4", auc.check_possible(what, printed_range(one.value), allowed, what))


def _auc_of_test(ledger: Ledger, paper: AuditedPaper) -> None:
    values = {one.cohort: printed_range(one.value) for one in _areas(paper, "Table 2").itertuples()}
    best = max(COHORTS, key=lambda cohort: values[cohort].middle)
    sensitivity = {cohort: paper.performance[cohort, ""].measures["sensitivity"] for cohort in COHORTS}
    holds = best == "test" or values["test"].high >= values[best].low
    ledger.expect("test-outperforms", holds, auc=values, best=best, highest=values[best], sensitivity=sensitivity)


def _marks(ledger: Ledger, paper: AuditedPaper) -> None:
    marks = {_score(one): one.value for one in paper.select(place="Table 4", quantity="footnote mark").itertuples()}
    fourth = _areas(paper, "Table 4")
    model = fourth[fourth["subgroup"] == "aMAP-CT"].set_index("cohort")["value"]
    limits = printed_limits(fourth[~fourth["subgroup"].str.contains("^aMAP-CT|plus")], _score)
    shown = {cell: f"{estimate} ({lower} to {upper})" for cell, (estimate, lower, upper) in limits.items()}
    result = significance.check_marks(shown, marks, "*")
    ledger.record("Table 4", result)
    on_amap = [one for one in result.discrepancies if one.cell.startswith("aMAP,")]
    comparisons = [{"one": one, "model": model[one.cell.split(", ")[1]]} for one in on_amap]
    ledger.explain("not-significant-amap", comparisons=comparisons)
    others = [one for one in result.discrepancies if one not in on_amap]
    scores = [one.cell.split(", ")[0] for one in others]
    everywhere = sorted({score for score in scores if scores.count(score) == len(COHORTS)})
    ledger.explain(
        "not-significant-scores",
        unmarked=len(others),
        number=len(shown) - len(COHORTS),
        cells=", ".join(f"{one.cell} {one.printed}" for one in others),
        everywhere=[", ".join(everywhere)] if everywhere else [],
    )
    stated, threshold = (paper.range("p-value", row=row).high for row in ("aMAP-CT against aMAP", THRESHOLD))
    what = (
        f"marks and p-values at {stated:g} beside the threshold of {threshold:g}: Methods allow it, "
        "'unless otherwise specified'"
    )
    if stated > threshold:
        place = "Methods, Statistical analysis, sentence 4; Table 4; Results"
        ledger.record(place, CheckResult(significance.CHECK, what))


def _reclassification(ledger: Ledger, paper: AuditedPaper) -> None:
    stated, threshold = (paper.range("p-value", row=row) for row in ("aMAP-CT against aMAP", THRESHOLD))
    for cohort in COHORTS:
        limits = paper.interval("net reclassification improvement", cohort=cohort)
        result = significance.check_interval(f"net reclassification, {cohort}", limits, stated)
        ledger.record(
            f"{DISCRIMINATION}, sentence 3: {cohort}", result, what="net reclassification: p-value and interval"
        )
    ledger.explain("nri-validation", stated=stated, threshold=threshold)


def _risk_groups(ledger: Ledger, paper: AuditedPaper) -> None:
    sizes, share = paper.characteristics.design.sizes, "share of the cohort"
    people = sizes[EVERYBODY]
    training = [paper.count(row="group size", cohort="training", subgroup=group) for group in RISK_GROUPS]
    stepwise = paper.count(row="group size", cohort="all", subgroup="high-risk")
    shares = [
        paper.share(number, sizes["training", ""], row=share, cohort="training", subgroup=group)
        for group, number in zip(RISK_GROUPS, training, strict=True)
    ]
    for group, number in zip(RISK_GROUPS, (stepwise, people - stepwise), strict=True):
        where = {"row": share, "cohort": "all", "subgroup": group}
        places = paper.rows("percentage", **where)["place"]
        shares += [paper.share(number, people, place=place, **where) for place in places]
    ledger.record("Results and Discussion", counts.percentages(shares, "risk groups: percentage against its count"))
    totals = {"training, risk groups": (sizes["training", ""], training)}
    ledger.record(STRATIFICATION, counts.sums(totals, "risk groups against their cohort"))


def _cutoff(ledger: Ledger, paper: AuditedPaper) -> None:
    """People at high risk in training against those whom Tables 2 and 3 flag."""
    row, table = paper.performance["training", ""], paper.recovered.get(("training", ""))
    if table is None:
        ledger.leave_out("one-cutoff")
        return
    high = paper.count(row="group size", cohort="training", subgroup="high-risk")
    shares = {"share": table.flagged / row.n, "ppv": table.tp / high}
    ledger.expect("one-cutoff", table.flagged == high, high=high, row=row, table=table, **shares)


def _stepwise(ledger: Ledger, paper: AuditedPaper) -> None:
    """People at high risk by both steps against those of medium and high aMAP whom Table 3 flags."""
    keys = [key for cohort in COHORTS for key in _family(paper, cohort, "aMAP") if not key[1].endswith("low-risk")]
    tables, people = paper.recovered_of(keys), paper.characteristics.design.sizes[EVERYBODY]
    if not tables:
        ledger.leave_out("stepwise-size")
        return
    flagged, true = sum(one.flagged for one in tables), sum(one.tp for one in tables)
    ledger.expect(
        "stepwise-size",
        flagged == paper.count(row="group size", cohort="all", subgroup="high-risk"),
        people=people,
        flagged=flagged,
        flagged_by_group=" + ".join(str(one.flagged) for one in tables),
        share=flagged / people,
        true=true,
    )


def _calibration(ledger: Ledger, paper: AuditedPaper) -> None:
    """Cases against those that calibrated probabilities promise: each person has at least that of the cut-off."""
    row = "three-year incidence"
    observed = paper.range("cumulative incidence", "%", row=row, cohort="training", subgroup="high-risk")
    high = paper.count(row="group size", cohort="training", subgroup="high-risk")
    cutoff = float(paper.text("cut-off", row="optimal cut-off"))
    ledger.expect(
        "calibration",
        observed.high >= cutoff,
        cutoff=cutoff,
        percent=100 * cutoff,
        cases=observed.middle * high,
        high=high,
        expected=high * cutoff,
        logistic=1 / (1 + exp(-cutoff)),
        rows=[paper.performance[cohort, ""] for cohort in COHORTS],
    )


def _horizons(ledger: Ledger, paper: AuditedPaper) -> None:
    where = {"row": "three-year incidence", "cohort": "all"}
    whole, high, low = (
        paper.range("cumulative incidence", "%", subgroup=group, **where) for group in ("", "high-risk", "low-risk")
    )
    size, cases = paper.characteristics.design.sizes[EVERYBODY], paper.characteristics.counts[CASES][EVERYBODY]
    share = paper.count(row="group size", cohort="all", subgroup="high-risk") / size
    implied = horizons.share_of_high(whole, high, low)
    what = (
        f"three-year incidences of the stepwise groups average to that of all: share {implied.low:.1%} to "
        f"{implied.high:.1%}"
    )
    place = "Abstract, sentences 6 and 10; Results, Stepwise application, sentence 6"
    ledger.record(place, CheckResult.plain(horizons.CHECK, what, implied.holds(share), f"{share:.1%}", implied))
    for group, cumulative in zip(RISK_GROUPS, (high, low), strict=True):
        yearly = paper.range("incidence", "%", row="annual incidence", subgroup=group)
        result = horizons.check_yearly(yearly, cumulative, YEARS, "three years")
        ledger.record(f"Discussion, sentences 32 and 33: {group}", result)
    what = "three-year incidence below the share of HCC in all follow-up"
    result = CheckResult.plain(horizons.CHECK, what, whole.low <= cases / size, whole, f"{cases / size:.1%}")
    ledger.record("Abstract, sentence 6", result)


def _hazard_ratios(ledger: Ledger, paper: AuditedPaper) -> None:
    table = paper.characteristics
    cases = {cohort: table.counts[CASES][cohort, ""] for cohort in ("all", *COHORTS)}
    high, low = (paper.count(row="group size", cohort="training", subgroup=group) for group in RISK_GROUPS)
    ratios = {one.subgroup: one for one in paper.rows("hazard ratio", row="high-risk against low-risk").itertuples()}
    errors = {name: log_hazard_se(printed_range(one.lower), printed_range(one.upper)) for name, one in ratios.items()}
    needed = {name: least_events(error) for name, error in errors.items()}
    for name, events in needed.items():
        if name != "aMAP-CT":
            what = f"events enough for the interval of the hazard ratio of {name}"
            result = CheckResult.plain(intervals.CHECK, what, events <= cases["all"], cases["all"], f"{events:.0f}")
            ledger.record(HAZARD_RATIOS, result)
    ratio, error = ratios["aMAP-CT"], errors["aMAP-CT"]
    # Of the people at risk the high-risk group is the printed share; its hazard is the ratio times the other's.
    share = share_of_events(float(ratio.value), high, low)
    expected = {cohort: expected_se(share, events) for cohort, events in cases.items()}
    enough = {cohort: se for cohort, se in expected.items() if cases[cohort] >= needed["aMAP-CT"]}
    fits = [cohort for cohort, se in enough.items() if error.low <= SE_FACTOR * se and se <= SE_FACTOR * error.high]
    ledger.expect(
        "hazard-ratio-events",
        bool(fits),
        fits=", ".join(fits),
        ratio=ratio,
        expected=", ".join(f"{se:.3f} ({cohort}, {cases[cohort]} cases)" for cohort, se in expected.items()),
        error=error,
        needed=needed,
        too_few=" and ".join(f"{cohort} ({cases[cohort]})" for cohort in cases if cohort not in enough),
        enough=" and ".join(f"{cohort} gives {se:.3f}" for cohort, se in enough.items()),
        high=high,
        low=low,
        share=share,
    )


def _formula(ledger: Ledger, paper: AuditedPaper) -> None:
    image, amap, constant = paper.coefficients("aMAP-CT formula", ("CT image score", "aMAP score", "constant"))
    cutoff = float(paper.text("cut-off", row="optimal cut-off"))
    quartiles = paper.characteristics.quartiles[AMAP.score][EVERYBODY]
    needed = [other_input(one.middle, (amap, image), constant, cutoff) for one in quartiles]
    ledger.expect(
        "formula-scale",
        max(needed) >= FAR_OUTSIDE,
        image=image,
        amap=amap,
        subtracted=abs(constant),
        cutoff=cutoff,
        at_zero=amap * quartiles[1].middle + constant,
        quartiles=quartiles,
        needed=needed,
    )


def _features(ledger: Ledger, paper: AuditedPaper) -> None:
    place, phases = f"{MODEL}, sentence 4", paper.count(row="phases", place="Abstract, sentence 3")
    radiomics, deep = (
        {organ: paper.count(row=f"{kind} features, {organ}") for organ in ORGANS} for kind in ("radiomics", "deep")
    )
    totals = {"features": (paper.count(row="features"), [*radiomics.values(), *deep.values()])}
    width = methods.POOLED_WIDTH["ResNet-18"]
    what = f"deep features are {phases} phases of the {width} channels of a ResNet-18"
    widths = [
        CheckResult.plain(methods.CHECK, what, number == phases * width, number, phases * width)
        for number in deep.values()
    ]
    ledger.record(place, counts.sums(totals, "features of both organs and kinds"))
    ledger.record(place, *widths, what=what)
    odd = [organ for organ, n in radiomics.items() if n % phases or not methods.is_feature_count(n // phases)]
    number = radiomics[odd[0]] if odd else 0
    filtered = round((number / phases - methods.UNFILTERED) / methods.FILTERED)
    nearest = methods.UNFILTERED + methods.FILTERED * filtered
    ledger.expect(
        "feature-count",
        not odd,
        len(ORGANS),
        number=number,
        organs=" and of the ".join(odd),
        phases=phases,
        per_phase=number / phases,
        features=methods,
        filtered=filtered,
        nearest=nearest,
        of_all_phases=phases * nearest,
    )


def _cohorts(ledger: Ledger, paper: AuditedPaper) -> None:
    sizes = paper.characteristics.design.sizes
    training, validation = (sizes[cohort, ""] for cohort in COHORTS[:2])
    parts = [float(paper.text("ratio", row="split of all centers but one", cohort=cohort)) for cohort in COHORTS[:2]]
    people, expected = training + validation, parts[0] / sum(parts) * (training + validation)
    what = "training and validation in the printed ratio, within one per cent"
    near = abs(training - expected) < 0.01 * people
    ledger.record(
        "Methods, Data and modeling, sentence 1",
        CheckResult.plain(counts.CHECK, what, near, training, f"{expected:.0f} of {people}"),
    )
    last_year, last_month = (paper.text("date", row=f"enrolment, last {unit}") for unit in ("year", "month"))
    ledger.expect("enrolment", last_year in last_month)


def _repeated(ledger: Ledger, paper: AuditedPaper) -> None:
    ledger.record("text", repeated_in_text(paper.numbers))
    results = []
    for cohort, measure in itertools.product(COHORTS, (*MEASURES, "auc")):
        where = {"cohort": cohort, "quantity": measure}
        third = {"place": "Table 3", "row": f"{cohort.capitalize()} cohort"}
        text = [where | {"row": "aMAP-CT", "column": ""}] if measure == "auc" else []
        name = "AUC" if measure == "auc" else measure
        results += paper.alike(f"{name}, {cohort}", where | {"place": "Table 2"}, where | third, *text)
    for row, first in (("patients", PEOPLE), ("HCC", CASES)):
        where = {"cohort": "all", "quantity": "count"}
        results += paper.alike(row, where | {"place": "Table 1", "row": first}, where | {"row": row, "column": ""})
    ledger.record("tables and text", *results, what="numbers of the tables elsewhere")


def _between_papers(ledger: Ledger, paper: AuditedPaper) -> None:
    other, results = Transcription.named("alarm"), []
    for row in SHARED_WITH_ALARM:
        here, there = (some.select(row=row)["value"].tolist() for some in (paper, other))
        if here and there:
            results.append(printed_alike(row, [("ALARM", (there[0],)), ("aMAP-CT", (here[0],))]))
    ledger.record("both papers", *results, what="the PreCar cohort in both papers")


_TABLES = (_table_1, _p_values, _p_values_of_quartiles, _similar, _amap, _table_3, _sizes, _intervals)
_AREAS = (_auc_of_model, _auc_of_scores, _auc_of_rows, _auc_of_test, _marks, _reclassification)
_GROUPS = (_risk_groups, _cutoff, _stepwise, _calibration, _horizons, _hazard_ratios)
CHECKS = (*_TABLES, *_AREAS, *_GROUPS, _formula, _features, _cohorts, _repeated, _between_papers)
"""Every check on aMAP-CT."""
