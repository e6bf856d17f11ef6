"""aMAP-CT: every check on what the paper prints, and what each failure means.

Numbers come from the transcription alone; the words say what follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from math import exp

import pandas as pd

from hccbook.audit import (
    auc,
    calibration_counts,
    counts,
    derived_scores,
    formulas,
    hazard_ratios,
    horizons,
    intervals,
    methods,
    p_values,
    quantiles,
    repeated_numbers,
    significance,
    two_by_two,
)
from hccbook.audit.characteristics import Characteristics, Design, check_all, contingency
from hccbook.audit.findings import CERTAIN, IMPLIED, ROUNDING, Checked, Consistent, Discrepancy, Finding, Ledger
from hccbook.audit.lookup import Paper
from hccbook.audit.performance import performance_rows, printed_intervals
from hccbook.audit.printed import Range, is_number, printed_range, total, whole_number
from hccbook.audit.two_by_two import PerformanceRow, TwoByTwo

PAPER = "amap_ct"
COHORTS = ("training", "validation", "test")
GROUPS = tuple((cohort, "") for cohort in COHORTS)
FAMILIES = {"sex": ("Males", "Females"), "age": "Age, years: ", "aMAP": "aMAP score: "}
"""Families of subgroups of Table 3: rows, or how their names begin."""

AMAP_ROW = "aMAP score ^b"


@cache
def _paper() -> Paper:
    return Paper.named(PAPER)


def characteristics() -> Characteristics:
    """Table 1, taken apart."""
    table = _paper().table("Table 1").copy()
    # The row of HCC cases counts people of the column as any other row does.
    table.loc[table["row"].str.startswith("HCC cases"), "subgroup"] = ""
    people = table[(table["row"] == "Total patients, n") & (table["quantity"] == "count")]
    return Characteristics.of(
        table[table["row"] != "Total patients, n"],
        Design(
            sizes={(one.cohort, ""): whole_number(one.value) for one in people.itertuples()},
            pooled={("all", ""): GROUPS},
            contrasts={"": GROUPS},
        ),
    )


def subgroups() -> dict[tuple[str, str], PerformanceRow]:
    """Table 3, every row by cohort and name; the name of a whole cohort is empty."""
    table = _paper().table("Table 3")
    rows = performance_rows(table, ["cohort", "row"], "count", "HCC count")
    keys = table[["cohort", "row"]].drop_duplicates().itertuples(index=False)
    return {
        (cohort, "" if name.endswith(" cohort") else name): row for (cohort, name), row in zip(keys, rows, strict=True)
    }


def recovered_tables() -> dict[tuple[str, str], list[TwoByTwo]]:
    """All 2x2 tables of each row of Table 3, with the printed group sizes."""
    rows = subgroups()
    _, tables = two_by_two.recover(list(rows.values()))
    return {key: tables[row.name] for key, row in rows.items()}


def _family(cohort: str, family: str, rows: Mapping[tuple[str, str], PerformanceRow]) -> list[tuple[str, str]]:
    names = FAMILIES[family]
    return [
        key
        for key in rows
        if key[0] == cohort and key[1] and (key[1] in names if family == "sex" else key[1].startswith(names))
    ]


def two_by_two_frame() -> pd.DataFrame:
    """2x2 table of every row of Table 3.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, row, n, HCC, tables (how many fit the printed measures), TP, FP, FN, TN (where one alone
        fits), flagged.
    """
    rows, tables = subgroups(), recovered_tables()
    found = []
    for (cohort, name), row in rows.items():
        fitting = tables[cohort, name]
        cells = (*fitting[0], fitting[0].flagged) if len(fitting) == 1 else (pd.NA,) * 5
        found.append((cohort, name or "all", row.n, row.events, len(fitting), *cells))
    columns = ["cohort", "row", "n", "HCC", "tables", "TP", "FP", "FN", "TN", "flagged"]
    return pd.DataFrame(found, columns=columns).astype({name: "Int64" for name in columns[2:]})


def audit_amap_ct() -> tuple[list[Finding], list[Consistent]]:
    """Run every check on aMAP-CT.

    Returns
    -------
    findings : list of Finding
    consistent : list of Consistent
    """
    ledger = Ledger(PAPER)
    table = characteristics()
    rows = subgroups()
    tables = recovered_tables()
    _percentages(ledger, table, rows)
    _p_values(ledger, table)
    _similar(ledger, table)
    _amap(ledger, table)
    _subgroups(ledger, table, rows, tables)
    _intervals(ledger, tables)
    _auc(ledger, table, rows, tables)
    _significance(ledger)
    _risk_groups(ledger, table, rows, tables)
    _horizons(ledger, table)
    _hazard_ratios(ledger, table)
    _formula(ledger, table)
    _features(ledger)
    _cohorts(ledger, table)
    _repeated(ledger, rows)
    _between_papers(ledger)
    return ledger.close()


def _percentages(ledger: Ledger, table: Characteristics, rows: Mapping[tuple[str, str], PerformanceRow]) -> None:
    checks = check_all(table)
    for name, checked in checks.items():
        if not name.startswith("p-values"):
            ledger.enter("Table 1", checked)
    printed = _paper().table("Table 1")
    denominators = printed[printed["quantity"] == "denominator"]
    ledger.enter(
        "Table 1",
        counts.sums(
            {
                f"{one.row}, {one.cohort}": (whole_number(one.value), [table.design.sizes[one.cohort, ""]])
                for one in denominators.itertuples()
            },
            "printed denominators against the columns",
        ),
    )
    shares = []
    for label, count, events in (("Table 2", "count", None), ("Table 3", "count", "HCC count")):
        cells = _paper().table(label)
        for (cohort, row), found in cells.groupby(["cohort", "row"], sort=False):
            share = printed_range(found[found["quantity"] == "percentage"]["value"].iloc[0], "%")
            numbers = [whole_number(text) for text in found[found["quantity"] == count]["value"]]
            cases = numbers[1] if events is None else whole_number(found[found["quantity"] == events]["value"].iloc[0])
            shares.append(counts.PrintedShare(f"{label}, {cohort}, {row}", cases, numbers[0], share))
    ledger.enter("Tables 2 and 3", counts.percentages(shares, "share of HCC against its counts"))
    twice = {one.cell for one in [*shares, *_shares_of_groups(table)] if counts.rounded_twice(one)}
    ledger.explain(
        "rounded-twice",
        lambda one: one.check == counts.CHECK and one.cell in twice,
        certainty=ROUNDING,
        also="each is as printed when it is rounded to two decimals first and then to one",
        consequence="None: one unit of the last digit of a percentage.",
        claims=("amap-ct-amap-groups-medium", "amap-ct-subgroups-shares-training"),
    )


def _shares_of_groups(table: Characteristics) -> list[counts.PrintedShare]:
    return [
        counts.PrintedShare(f"{row}, {group[0]}", table.counts[row][group], table.design.sizes[group], share)
        for row, shares in table.percentages.items()
        for group, share in shares.items()
    ]


def _p_values(ledger: Ledger, table: Characteristics) -> None:
    checks = check_all(table)
    by_counts, by_quartiles = checks["p-values of counts"], checks["p-values of quartiles"]
    ledger.enter("Table 1", by_counts)
    ledger.enter("Table 1", by_quartiles)
    two_cohorts = {}
    for row in table.p_values:
        people = contingency(table, row, GROUPS[:2])
        if people:
            two_cohorts[row] = p_values.count_p_values(people)
    reproduced = [
        row for row, found in two_cohorts.items() if any(table.p_values[row][""].holds(p) for p in found.values())
    ]
    wrong = {one.cell for one in by_counts.discrepancies}
    same = [row for row in reproduced if row in wrong]
    if same:
        shown = ", ".join(f"{row.split(',')[0]} {two_cohorts[row][p_values.YATES]:.4f}" for row in same)
        ledger.explain(
            "p-values-two-cohorts",
            lambda one: one.check == p_values.CHECK and one.cell in same,
            certainty=CERTAIN,
            also=f"training against validation alone, with Yates' correction, gives {shown}, as printed",
            consequence="The footnote says that the p-values compare all three cohorts. These compare the two that "
            "come from the same centres and leave out the test cohort, which is half of all patients and differs "
            "most: a reader is told that the test cohort is alike when it is not.",
            claims=("amap-ct-sex-p-value", "amap-ct-etiology-p-value", "amap-ct-compared-cohorts"),
        )
    risk = [row for row in two_cohorts if row.startswith("aMAP HCC risk")]
    also = "".join(
        f"training against validation alone gives {two_cohorts[row][p_values.PEARSON]:.2f}, not that either"
        for row in risk
    )
    ledger.explain(
        "p-value-amap-groups",
        lambda one: one.check == p_values.CHECK and one.cell in risk,
        certainty=CERTAIN,
        also=also,
        consequence="The share at high risk by the very score that the model builds on is far higher in training than "
        "in test, and the printed p-value puts that above the paper's own threshold.",
        claims=("amap-ct-amap-groups-p-value",),
    )
    follow_up = next(row for row in table.quartiles if row.startswith("Follow-up"))
    people = [(table.design.sizes[group], table.quartiles[follow_up][group]) for group in GROUPS]
    most = p_values.greatest_kruskal_wallis_p(people)
    stated = table.p_values[follow_up][""]
    ledger.explain(
        "p-value-follow-up",
        lambda one: one.check == p_values.CHECK and one.cell.startswith(follow_up),
        certainty=CERTAIN if most < stated.low else IMPLIED,
        also=f"whatever lies between the quartiles, p is at most {most:.2g}, since three quarters of the test cohort "
        f"were followed longer ({people[2][1][0]}) than three quarters of the training cohort ({people[0][1][2]})",
        consequence="The test cohort was followed more than a year and a half longer than the others, which alone "
        "makes its share of HCC higher; its predictive values are no three-year risks, nor comparable with theirs.",
        claims=("amap-ct-follow-up-p-value",),
    )
    others = [one.cell for one in by_quartiles.discrepancies if not one.cell.startswith(follow_up)]
    by_two = []
    for row in others:
        deviates = p_values.mann_whitney_readings(
            *((table.design.sizes[group], table.quartiles[row][group]) for group in GROUPS[:2])
        )
        if not p_values.quartile_discrepancy(row, table.p_values[row][""], deviates, ""):
            by_two.append(row)
    ledger.explain(
        "p-values-continuous",
        lambda one: one.check == p_values.CHECK and one.cell in others,
        certainty=IMPLIED,
        place=f"Table 1, p-values of {', '.join(row.split(',')[0].removesuffix(' ^b') for row in others)}",
        printed=", ".join(f"{row.split(',')[0].removesuffix(' ^b')} {table.p_values[row]['']}" for row in others),
        recomputed="; ".join(
            f"{row.split(',')[0].removesuffix(' ^b')} {one.recomputed}"
            for row, one in zip(others, [d for d in by_quartiles.discrepancies if d.cell in others], strict=True)
        ),
        arithmetic="every reading of the three printed sets of quartiles (straight, exponential, normal, two half-"
        "normals) gives a Kruskal-Wallis p far below what is printed; training against validation alone is compatible "
        f"with {len(by_two)} of the {len(others)}",
        consequence="As for sex and etiology: differences between the test cohort and the others are printed as if "
        "they were chance.",
        claims=(
            "amap-ct-age-by-cohort",
            "amap-ct-bilirubin-by-cohort",
            "amap-ct-albumin-by-cohort",
            "amap-ct-platelets-by-cohort",
            "amap-ct-afp-by-cohort",
            "amap-ct-amap-by-cohort",
        ),
    )


def _similar(ledger: Ledger, table: Characteristics) -> None:
    threshold = _paper().range("p-value", row="significance threshold").high
    recomputed = {}
    for row in table.p_values:
        people = contingency(table, row, GROUPS)
        if people:
            recomputed[row] = p_values.count_p_values(people)[p_values.PEARSON]
    different = {row: p for row, p in recomputed.items() if p < threshold}
    place = "Results, Patient characteristics, sentence 6"
    if not different:
        ledger.agrees(significance.CHECK, place, "cohorts alike in what is counted", len(recomputed))
        return
    shown = ", ".join(f"{row.split(',')[0]} p {p_values.p_text(p)}" for row, p in different.items())
    men = next(row for row in table.counts if row.startswith("Male"))
    shares = " and ".join(f"{table.percentages[men][group].text} %" for group in (GROUPS[0], GROUPS[2]))
    ledger.finding(
        "similar-cohorts",
        place=place,
        check=significance.CHECK,
        printed="the three cohorts had similar distributions of clinical features",
        recomputed=f"{len(different)} of {len(recomputed)} counted features differ at the paper's threshold",
        arithmetic=f"chi-square of the printed counts of all three cohorts: {shown}; threshold {threshold:g}; "
        f"{shares} of the training and test cohorts are men",
        certainty=CERTAIN,
        consequence="The test cohort, one centre, is another population: more men, younger, more hepatitis B, lower "
        "aMAP, more HCC and longer follow-up. That can be a strength of an external test, but performance differences "
        "between the cohorts cannot be read as if only the model differed.",
        claims=("amap-ct-similar-cohorts",),
    )


def _amap(ledger: Ledger, table: Characteristics) -> None:
    men = next(row for row in table.counts if row.startswith("Male"))
    results = []
    for group, size in table.design.sizes.items():
        share = table.counts[men][group] / size
        inputs = derived_scores.mean_amap(
            *(
                table.quartiles[name][group] if name else Range(share, share)
                for name in ("Age, years", "", "TBIL, μmol/L", "Albumin, g/L", "PLT, ×10³/mm³")
            )
        )
        results.append(
            derived_scores.amap_from_inputs(f"{AMAP_ROW}, {group[0]}", size, table.quartiles[AMAP_ROW][group], inputs)
        )
    ledger.enter("Table 1", repeated_numbers.together(results, "mean aMAP against its inputs"))
    ledger.explain(
        "amap-inputs",
        lambda one: one.check == derived_scores.CHECK,
        certainty=IMPLIED,
        also="the mean of aMAP is the same sum of the means of its inputs, however these go together",
        consequence="aMAP of these patients is higher than their age, sex, bilirubin, albumin and platelets make it. "
        "Methods have aMAP calculated during follow-up visits, the table at enrolment: a score of a later visit would "
        "know more about the outcome than a model at enrolment may.",
        claims=("amap-ct-amap-by-cohort",),
    )
    cells = []
    for group, size in table.design.sizes.items():
        low = table.counts["aMAP HCC risk: Low-risk (<50)"][group]
        high = table.counts["aMAP HCC risk: High-risk (>60)"][group]
        own = table.quartiles[AMAP_ROW][group]
        cells.append(quantiles.share_against_quartiles(f"low-risk, {group[0]}", size, own, 50.0, low))
        cells.append(quantiles.share_against_quartiles(f"not high-risk, {group[0]}", size, own, 60.0, size - high))
    ledger.enter("Table 1", repeated_numbers.together(cells, "aMAP risk groups against the quartiles of aMAP"))


def _subgroups(
    ledger: Ledger,
    table: Characteristics,
    rows: Mapping[tuple[str, str], PerformanceRow],
    tables: Mapping[tuple[str, str], Sequence[TwoByTwo]],
) -> None:
    checked, _ = two_by_two.recover(list(rows.values()))
    ledger.enter("Table 3", checked)
    by_name = {rows[key].name: found for key, found in tables.items()}
    for cohort in COHORTS:
        families = {family: [rows[key] for key in _family(cohort, family, rows)] for family in FAMILIES}
        ledger.enter("Table 3", two_by_two.partitions(rows[cohort, ""], families, by_name))
    men, women = ("validation", "Males"), ("validation", "Females")
    whole = rows["validation", ""]
    near = two_by_two.nearby_sizes(rows[men])
    also, recomputed = "", "no 2x2 table"
    if len(near) == 1:
        (((n, events), found),) = near.items()
        extra = events + rows[women].events
        also = (
            f"they are those of {n} men with {events} HCC ({found[0]}) and of no other size within one; with the "
            f"{rows[women].events} woman of the next row that makes {extra} HCC of {whole.events}"
        )
        recomputed = f"n {n}, HCC {events}: {found[0]}"
    ledger.explain(
        "men-validation-table",
        lambda one: one.check == two_by_two.CHECK and one.cell == rows[men].name,
        certainty=CERTAIN,
        place="Table 3, validation cohort, Males (and Females)",
        printed=f"n {rows[men].n}, HCC {rows[men].events}, SEN {rows[men].measures['sensitivity'].text}, "
        f"PPV {rows[men].measures['ppv'].text}",
        recomputed=recomputed,
        also=also,
        consequence="One patient with HCC is counted as a man in the measures and as a woman in the row below, whose "
        "sensitivity and AUC rest on that one patient. Performance by sex in the validation cohort is not known.",
        claims=("amap-ct-men-validation", "amap-ct-women-validation"),
    )
    sizes = []
    for cohort in COHORTS:
        group = (cohort, "")
        pairs = {
            "Males": table.counts[next(row for row in table.counts if row.startswith("Male"))][group],
            "aMAP score: low-risk": table.counts["aMAP HCC risk: Low-risk (<50)"][group],
            "aMAP score: medium-risk": table.counts["aMAP HCC risk: Medium-risk (50-60)"][group],
            "aMAP score: high-risk": table.counts["aMAP HCC risk: High-risk (>60)"][group],
            "": table.design.sizes[group],
        }
        for name, count in pairs.items():
            printings = [("Table 1", (str(count),)), ("Table 3", (str(rows[cohort, name].n),))]
            sizes.append(repeated_numbers.printed_alike(f"n, {cohort}, {name or 'all'}", printings))
        cases = next(found for row, found in table.counts.items() if row.startswith("HCC cases"))[group]
        printings = [("Table 1", (str(cases),)), ("Table 3", (str(rows[cohort, ""].events),))]
        sizes.append(repeated_numbers.printed_alike(f"HCC, {cohort}", printings))
    ledger.enter("Tables 1 and 3", repeated_numbers.together(sizes, "group sizes of Table 1 in Table 3"))
    ledger.explain(
        "men-validation-size",
        lambda one: one.check == repeated_numbers.CHECK and "Males" in one.cell,
        certainty=CERTAIN,
        place="Table 1, Male, against Table 3, Males: validation cohort",
        also=f"Table 3 has {rows[men].n} men and {rows[women].n} women of {whole.n}",
        consequence="One patient of the validation cohort is a man in one table and a woman in the other, which shows "
        "in the 2x2 tables of the two rows as well.",
        claims=("amap-ct-men-validation", "amap-ct-sex"),
    )


def _intervals(ledger: Ledger, tables: Mapping[tuple[str, str], Sequence[TwoByTwo]]) -> None:
    printed = _paper().table("Table 2")
    known = {(cohort, ""): tables[cohort, ""][0] for cohort in COHORTS if len(tables[cohort, ""]) == 1}
    cells = printed[printed["lower"] != ""]
    ledger.enter(
        "Table 2",
        intervals.estimates_inside(
            {
                f"{one.quantity}, {one.cohort}": (
                    printed_range(one.value),
                    printed_range(one.lower),
                    printed_range(one.upper),
                )
                for one in cells.itertuples()
            },
            "estimate inside its own interval",
        ),
    )
    every = printed_intervals(printed, known)
    ratios = {one.cell: (one, intervals.width_ratio(one)) for one in every}
    narrow = {cell: pair for cell, pair in ratios.items() if pair[1].greatest < 1 / WIDTH_FACTOR}
    wide = {cell: pair for cell, pair in ratios.items() if pair[1].least > WIDTH_FACTOR}
    fine = len(ratios) - len(narrow) - len(wide)
    if fine:
        what = f"width of the interval within a factor of {WIDTH_FACTOR:g} of every method on its own people"
        ledger.agrees(intervals.CHECK, "Table 2", what, fine)
    texts = {
        "narrow": (
            "intervals-too-narrow",
            "Cases and flagged people are too few for intervals so narrow: the uncertainty of sensitivity and of PPV, "
            "which say who is found and who is alarmed for nothing, is understated.",
        ),
        "wide": (
            "intervals-too-wide",
            "Not to the model's advantage, but the intervals of Table 2 were then not computed from the people they "
            "describe, so that none of them can be relied on.",
        ),
    }
    for kind, chosen in (("narrow", narrow), ("wide", wide)):
        if not chosen:
            continue
        lines = []
        for cell, (one, ratio) in chosen.items():
            number = one.table.counts(one.measure)[1]
            share = one.table.value(one.measure)
            implied = intervals.implied_denominator(one.estimate, one.lower, one.upper)
            low, high = intervals.METHODS["Wilson"](share, number)
            factor = f"at most {ratio.greatest:.2f}" if kind == "narrow" else f"at least {ratio.least:.2f}"
            lines.append(
                f"{cell}: {one.lower} to {one.upper}, Wilson on {number} {low:.3f} to {high:.3f}, {factor} times any "
                f"method's width, as of {implied.low:.0f} to {implied.high:.0f} people"
            )
        name, consequence = texts[kind]
        ledger.finding(
            name,
            place=f"Table 2, intervals of {', '.join(chosen)}",
            check=intervals.CHECK,
            printed="; ".join(
                f"{cell} {one.estimate} ({one.lower} to {one.upper})" for cell, (one, _) in chosen.items()
            ),
            recomputed="; ".join(
                "{:.3f} to {:.3f}".format(
                    *intervals.METHODS["Wilson"](one.table.value(one.measure), one.table.counts(one.measure)[1])
                )
                for one, _ in chosen.values()
            ),
            arithmetic="; ".join(lines),
            certainty=CERTAIN,
            consequence=consequence,
            claims=tuple(f"amap-ct-performance-intervals-{cohort}" for cohort in COHORTS),
        )


WIDTH_FACTOR = 1.25
"""How much wider or narrower than every method's a printed interval must be before it is a finding.

A bootstrap follows the methods' widths within sampling noise; no resampling of these people gives a quarter more.
"""


def _auc(
    ledger: Ledger,
    table: Characteristics,
    rows: Mapping[tuple[str, str], PerformanceRow],
    tables: Mapping[tuple[str, str], Sequence[TwoByTwo]],
) -> None:
    scores = _paper().table("Table 4")
    scores = scores[scores["quantity"] == "auc"]
    second = _paper().table("Table 2")
    second = second[second["quantity"] == "auc"].set_index("cohort")
    own = scores[scores["subgroup"] == "aMAP-CT"].set_index("cohort")
    checks = [
        repeated_numbers.printed_alike(
            f"AUC of aMAP-CT, {cohort}",
            [
                (label, tuple(frame.loc[cohort, ["value", "lower", "upper"]]))
                for label, frame in (("Table 2", second), ("Table 4", own))
            ],
        )
        for cohort in COHORTS
    ]
    ledger.enter("Tables 2 and 4", repeated_numbers.together(checks, "AUC of aMAP-CT in both tables"))
    swapped = repeated_numbers.swapped(second["value"].to_dict(), own["value"].to_dict())
    also = "; ".join(
        f"the estimates of {one} and {other} are exchanged, their intervals are not" for one, other in swapped
    )
    ledger.explain(
        "auc-swapped",
        lambda one: one.check == repeated_numbers.CHECK and one.cell.startswith("AUC of aMAP-CT"),
        certainty=CERTAIN,
        place="Table 4, aMAP-CT, validation and test cohorts, against Table 2, Table 3 and Results",
        also=also,
        consequence="A misprint; the difference is 0.006. It matters for the ranking of the cohorts, which the "
        "Discussion builds on.",
        claims=("amap-ct-table-4-auc",),
    )
    inside = {
        f"AUC of {one.subgroup}, {one.cohort}": tuple(printed_range(text) for text in (one.value, one.lower, one.upper))
        for one in scores.itertuples()
    }
    ledger.enter("Table 4", intervals.estimates_inside(inside, "AUC inside its interval"))
    chance = {cell: limits for cell, limits in inside.items() if limits[2].high < 0.5}
    for cell, (estimate, lower, upper) in chance.items():
        ledger.finding(
            f"{cell.removeprefix('AUC of ').replace(', ', '-').lower()}-below-chance",
            place=f"Table 4, {cell}",
            check=auc.CHECK,
            printed=f"{estimate} ({lower} to {upper})",
            recomputed=f"{1 - estimate.middle:.3f} ({1 - upper.middle:.3f} to {1 - lower.middle:.3f}) in reverse",
            arithmetic=f"the whole interval lies below 0.5: read as printed, the score is significantly lower in those "
            f"who get HCC; 1 - {estimate} = {1 - estimate.middle:.3f}",
            certainty=IMPLIED,
            consequence="A published risk score that ranks patients in reverse has most likely been coded in reverse "
            "or computed from incomplete items. A comparison with it says nothing about the model.",
            claims=("amap-ct-auc-of-lsm-hcc", "amap-ct-better-than-scores"),
        )
    if not chance:
        ledger.agrees(auc.CHECK, "Table 4", "no score significantly below chance", len(inside))
    possible = 0
    for one in scores[~scores["subgroup"].str.contains("18 months")].itertuples():
        limits = inside[f"AUC of {one.subgroup}, {one.cohort}"]
        events = rows[one.cohort, ""].events
        least = auc.least_auc_se(limits[0].middle, events, rows[one.cohort, ""].n - events)
        if auc.implied_se(limits[1], limits[2]).high >= least:
            possible += 1
        else:
            arithmetic = f"no untied score has a standard error below {least:.4f}"
            bad = Discrepancy(auc.CHECK, f"AUC of {one.subgroup}, {one.cohort}", str(limits[0]), "wider", arithmetic)
            ledger.enter("Table 4", Checked(auc.CHECK, "width of the AUC's interval", 1, (bad,)))
    ledger.agrees(auc.CHECK, "Table 4", "width of the AUC's interval is possible", possible)
    _auc_of_rows(ledger, rows)
    for cohort in COHORTS:
        keys = _family(cohort, "aMAP", rows)
        events, nonevents = [rows[key].events for key in keys], [rows[key].n - rows[key].events for key in keys]
        bounds = auc.auc_from_groups(events, nonevents)
        estimate = inside[f"AUC of aMAP, {cohort}"][0]
        if bounds.meets(estimate):
            ledger.agrees(auc.CHECK, "Tables 3 and 4", f"AUC of aMAP possible with HCC by aMAP group: {cohort}")
    values = {cohort: printed_range(second.loc[cohort, "value"]) for cohort in COHORTS}
    best = max(values, key=lambda cohort: values[cohort].middle)
    if best != "test" and values["test"].high < values[best].low:
        ledger.finding(
            "test-outperforms",
            place="Discussion, sentence 9, against Table 2",
            check=repeated_numbers.CHECK,
            printed="the test set outperformed both the training and validation sets",
            recomputed=", ".join(f"{cohort} {one}" for cohort, one in values.items()) + " (AUC)",
            arithmetic=f"AUC {values['test']} of the test cohort is below {values[best]} of the {best} cohort, and the "
            "sensitivities fall from "
            + " over ".join(rows[cohort, ""].measures["sensitivity"].text for cohort in COHORTS),
            certainty=IMPLIED,
            consequence="What the sentence explains, by a more homogeneous test cohort rather than leakage, is not in "
            "the tables where discrimination or cases found are concerned. Specificity, PPV, accuracy and F1 are "
            "higher in the test cohort, at a lower sensitivity and with twice the share of HCC.",
            claims=("amap-ct-test-outperforms",),
        )
    else:
        ledger.agrees(repeated_numbers.CHECK, "Discussion, sentence 9", "the test cohort has the highest AUC")


def _auc_of_rows(ledger: Ledger, rows: Mapping[tuple[str, str], PerformanceRow]) -> None:
    third = _paper().table("Table 3")
    third = third[third["quantity"] == "auc"]
    values = {
        (one.cohort, "" if one.row.endswith(" cohort") else one.row): printed_range(one.value)
        for one in third.itertuples()
    }
    fits, wrong = 0, []
    for key, value in values.items():
        row = rows[key]
        allowed = auc.auc_from_points([(row.measures["sensitivity"], row.measures["specificity"])])
        if allowed.meets(value) and auc.auc_on_grid(value, row.events, row.n - row.events):
            fits += 1
        else:
            arithmetic = f"{row.events} x {row.n - row.events} pairs and the operating point allow {allowed}"
            wrong.append(Discrepancy(auc.CHECK, f"AUC, {row.name}", str(value), str(allowed), arithmetic))
    what = "AUC possible with its operating point and its number of pairs"
    ledger.enter("Table 3", Checked(auc.CHECK, what, fits + len(wrong), tuple(wrong)))
    for cohort in COHORTS:
        for family in FAMILIES:
            keys = _family(cohort, family, rows)
            if sum(rows[key].events for key in keys) != rows[cohort, ""].events:
                continue
            strata = [(rows[key].events, rows[key].n - rows[key].events, values[key]) for key in keys]
            if auc.auc_from_strata(strata).meets(values[cohort, ""]):
                ledger.agrees(auc.CHECK, "Table 3", f"AUC of the cohort possible with those by {family}: {cohort}")


def _significance(ledger: Ledger) -> None:
    scores = _paper().table("Table 4")
    aucs = scores[(scores["quantity"] == "auc") & ~scores["subgroup"].str.startswith("aMAP-CT")]
    aucs = aucs[~aucs["subgroup"].str.contains("plus")]
    marks = {
        (one.cohort, one.subgroup): one.value for one in scores[scores["quantity"] == "footnote mark"].itertuples()
    }
    printed = {(one.cohort, one.subgroup): marks.get((one.cohort, one.subgroup), "") for one in aucs.itertuples()}
    missing = significance.unmarked({f"{score}, {cohort}": mark for (cohort, score), mark in printed.items()}, "*")
    on_amap = [one for one in missing if one.startswith("aMAP,")]
    others = [one for one in missing if one not in on_amap]
    shown = {f"{one.subgroup}, {one.cohort}": f"{one.value} ({one.lower} to {one.upper})" for one in aucs.itertuples()}
    agreeing = len(printed) - len(missing)
    ledger.agrees(significance.CHECK, "Table 4", "claimed superiority marked as significant", agreeing)
    own = {
        one.cohort: one.value
        for one in scores[(scores["quantity"] == "auc") & (scores["subgroup"] == "aMAP-CT")].itertuples()
    }
    if on_amap:
        ledger.finding(
            "not-significant-amap",
            place="Results, Discrimination and calibration, sentence 2, against Table 4",
            check=significance.CHECK,
            printed="AUC in all three cohorts significantly higher than that of aMAP",
            recomputed="; ".join(f"{one}: {shown[one]}, not marked" for one in on_amap),
            arithmetic=f"Table 4 marks p < 0.05 with *; {', '.join(on_amap)} bears none ({shown[on_amap[0]]} against "
            f"{own[on_amap[0].split(', ')[1]]})",
            certainty=CERTAIN,
            consequence="The gain over aMAP alone is not shown in the validation cohort, the only unseen patients from "
            "the centres the model was built in; it is shown in the test cohort.",
            claims=("amap-ct-auc-significantly-higher", "amap-ct-auc-of-amap"),
        )
    if others:
        everywhere = sorted(
            {one.split(", ")[0] for one in others if sum(o.startswith(one.split(", ")[0] + ",") for o in others) == 3}
        )
        ledger.finding(
            "not-significant-scores",
            place="Abstract, sentence 8; Results, Comparison with other scores, sentence 3; against Table 4",
            check=significance.CHECK,
            printed="superior to the other scores, with significantly higher AUC",
            recomputed=f"{len(others)} of {len(printed) - 3} comparisons are not marked as significant",
            arithmetic=f"without * in Table 4: {', '.join(f'{one} {shown[one]}' for one in others)}"
            + (f"; {', '.join(everywhere)} in none of the three cohorts" if everywhere else ""),
            certainty=CERTAIN,
            consequence="aMAP-2, which needs no CT, is not shown to be worse anywhere, and no score but LSM-HCC is in "
            "the validation cohort. What CT adds over repeated aMAP and AFP is not shown.",
            claims=("amap-ct-better-than-scores", "amap-ct-auc-of-amap-2"),
        )
    threshold = _paper().range("p-value", row="significance threshold").high
    stated = _paper().range("p-value", row="aMAP-CT against aMAP")
    if stated.high > threshold:
        what = (
            f"marks and p-values at {stated.high:g} beside the threshold of {threshold:g}: Methods allow it, "
            "'unless otherwise specified'"
        )
        ledger.agrees(significance.CHECK, "Methods, Statistical analysis, sentence 4; Table 4; Results", what)
    for cohort in COHORTS:
        estimate, lower, upper = _paper().interval("net reclassification improvement", cohort=cohort)
        p = significance.p_of_interval(estimate, lower, upper)
        place = f"Results, Discrimination and calibration, sentence 3: {cohort}"
        if p.low < stated.high and not significance.reaches_no_effect(lower):
            ledger.agrees(significance.CHECK, place, "net reclassification: p-value and interval")
            continue
        error = (upper - lower).middle / 3.92
        ledger.finding(
            f"nri-{cohort}",
            place=place,
            check=significance.CHECK,
            printed=f"{estimate} ({lower} to {upper}), p {stated}",
            recomputed=f"p {p.low:.2f} to {p.high:.2f} from the width of the interval",
            arithmetic=f"a symmetric interval of this width has a standard error of {error:.3f}, "
            f"{estimate} / {error:.3f} = {estimate.middle / error:.2f}; "
            f"a limit printed {lower} may be just above 0, so that p may be just below 0.05 with a skewed interval, "
            f"but hardly below the paper's own {threshold:g}",
            certainty=ROUNDING,
            consequence="The reclassification in this cohort is borderline at best and not significant by the "
            "threshold that the paper sets itself.",
            claims=("amap-ct-nri-validation", "amap-ct-nri-significant"),
        )


def _risk_groups(
    ledger: Ledger,
    table: Characteristics,
    rows: Mapping[tuple[str, str], PerformanceRow],
    tables: Mapping[tuple[str, str], Sequence[TwoByTwo]],
) -> None:
    place = "Results, HCC risk stratification, sentence 2"
    size = table.design.sizes["training", ""]
    high, low = (_paper().count(row="group size", cohort="training", subgroup=f"{one}-risk") for one in ("high", "low"))
    shares = [
        counts.PrintedShare(
            f"training, {one}-risk",
            number,
            size,
            _paper().range("percentage", "%", row="share of the cohort", cohort="training", subgroup=f"{one}-risk"),
        )
        for one, number in (("high", high), ("low", low))
    ]
    whole = table.design.sizes["all", ""]
    stepwise = _paper().count(row="group size", cohort="all", subgroup="high-risk")
    for one, number in (("high", stepwise), ("low", whole - stepwise)):
        printed = _paper().rows("percentage", row="share of the cohort", cohort="all", subgroup=f"{one}-risk")
        shares += [
            counts.PrintedShare(f"stepwise, {one}-risk, {row.place}", number, whole, printed_range(row.value, "%"))
            for row in printed.itertuples()
        ]
    ledger.enter("Results and Discussion", counts.percentages(shares, "risk groups: percentage against its count"))
    ledger.enter(place, counts.sums({"training, risk groups": (size, [high, low])}, "risk groups against their cohort"))
    training = tables["training", ""]
    cutoff = _paper().text("cut-off", row="optimal cut-off")
    if len(training) == 1:
        known = training[0]
        if known.flagged != high:
            ledger.finding(
                "one-cutoff",
                place=f"{place}, against Tables 2 and 3: training cohort",
                check=two_by_two.CHECK,
                printed=f"{high} of {size} high-risk at the optimal cut-off, {cutoff}",
                recomputed=f"{known.flagged} of {size} flagged ({known})",
                arithmetic=f"sensitivity {rows['training', ''].measures['sensitivity'].text} and specificity "
                f"{rows['training', ''].measures['specificity'].text} of {known.events} and "
                f"{size - known.events} are {known.tp} + {known.fp} = {known.flagged} people flagged, "
                f"{known.flagged / size:.1%} of the cohort, not {high}; were {high} flagged with {known.tp} cases, PPV "
                f"would be {known.tp / high:.2f}, not {rows['training', ''].measures['ppv'].text}",
                certainty=CERTAIN,
                consequence="Tables 2 and 3 are at another cut-off than the risk groups and incidence curves, and the "
                "paper names one only. Sensitivity and incidence of the high-risk group cannot be quoted together: the "
                "group with a three-year incidence of a fifth or more misses more cases than Table 2 says.",
                claims=("amap-ct-one-cutoff", "amap-ct-cutoff", "amap-ct-training-groups"),
            )
        else:
            ledger.agrees(two_by_two.CHECK, place, "high-risk group is that of Table 2")
    keys = [key for cohort in COHORTS for key in _family(cohort, "aMAP", rows) if not key[1].endswith("low-risk")]
    if all(len(tables[key]) == 1 for key in keys):
        flagged = [tables[key][0].flagged for key in keys]
        found = sum(tables[key][0].tp for key in keys)
        where = "Abstract, sentence 10; Results, Stepwise application, sentence 6; against Table 3"
        if sum(flagged) != stepwise:
            ledger.finding(
                "stepwise-size",
                place=where,
                check=two_by_two.CHECK,
                printed=f"{stepwise} of {whole} at high risk by both steps",
                recomputed=f"{sum(flagged)} of {whole}",
                arithmetic=f"medium and high aMAP flagged by aMAP-CT in Table 3: {' + '.join(map(str, flagged))} = "
                f"{sum(flagged)} people ({sum(flagged) / whole:.1%}) with {found} cases, not {stepwise}",
                certainty=CERTAIN,
                consequence="The stepwise group is well under half of the one whose sensitivity Table 3 prints. How "
                "many of the cases the small group holds is nowhere printed, and a screening strategy stands on that.",
                claims=("amap-ct-stepwise-size", "amap-ct-stepwise-cutoff"),
            )
        else:
            ledger.agrees(two_by_two.CHECK, where, "stepwise group is that of Table 3")
    _calibration(ledger, rows, high, float(cutoff))


def _calibration(ledger: Ledger, rows: Mapping[tuple[str, str], PerformanceRow], high: int, cutoff: float) -> None:
    observed = _paper().range(
        "cumulative incidence", "%", row="three-year incidence", cohort="training", subgroup="high-risk"
    )
    ppv = {cohort: rows[cohort, ""].measures["ppv"] for cohort in COHORTS}
    logistic = 1 / (1 + exp(-cutoff))
    place = "Results, Discrimination and calibration, sentence 5, against HCC risk stratification"
    if observed.high >= cutoff:
        ledger.agrees(calibration_counts.CHECK, place, "incidence of the high-risk group not below the cut-off")
        return
    promised = calibration_counts.least_expected_events([(high, cutoff)])
    ledger.finding(
        "calibration",
        place=place,
        check=calibration_counts.CHECK,
        printed="excellent agreement between predicted and observed probabilities",
        recomputed=f"predicted at least {100 * cutoff:.0f} %, observed {observed.text} %",
        arithmetic=f"{high} people at or above {cutoff:g} are at least {promised:.1f} expected cases, "
        f"{observed.text} % in three years are {observed.middle * high:.1f}; were {cutoff:g} log odds, the probability "
        f"would be at least {logistic:.2f}; PPV at the cut-off of Table 2 is "
        + ", ".join(one.text for one in ppv.values()),
        certainty=IMPLIED,
        consequence="In those called high-risk the model promises far more than happens, on either scale that the "
        "cut-off can have. The calibration curve may still look good near 0, where nearly all patients are.",
        claims=("amap-ct-cutoff", "amap-ct-training-incidence"),
    )


def _horizons(ledger: Ledger, table: Characteristics) -> None:
    rate = "three-year incidence"
    whole = _paper().range("cumulative incidence", "%", row=rate, cohort="all", subgroup="")
    incidences = {
        one: _paper().range("cumulative incidence", "%", row=rate, cohort="all", subgroup=f"{one}-risk")
        for one in ("high", "low")
    }
    size = table.design.sizes["all", ""]
    share = _paper().count(row="group size", cohort="all", subgroup="high-risk") / size
    implied = horizons.share_of_high(whole, incidences["high"], incidences["low"])
    place = "Abstract, sentences 6 and 10; Results, Stepwise application, sentence 6"
    if implied.holds(share):
        what = (
            f"three-year incidences of the stepwise groups average to that of all: share {implied.low:.1%} to "
            f"{implied.high:.1%}"
        )
        ledger.agrees(horizons.CHECK, place, what)
    else:
        arithmetic = f"({whole} - {incidences['low']}) / ({incidences['high']} - {incidences['low']}) is {implied}"
        bad = Discrepancy(horizons.CHECK, "stepwise incidences", f"{share:.1%}", str(implied), arithmetic)
        ledger.enter(place, Checked(horizons.CHECK, "incidences of groups", 1, (bad,)))
    years = 3.0
    for one in ("high", "low"):
        yearly = _paper().range("incidence", "%", row="annual incidence", subgroup=f"{one}-risk")
        constant = horizons.yearly_risk(incidences[one], years)
        cell = f"Discussion, sentences 32 and 33: {one}-risk"
        if any(yearly.meets(reading) for reading in constant.values()):
            ledger.agrees(horizons.CHECK, cell, "annual incidence at a constant rate")
        elif horizons.first_year_possible(yearly, incidences[one]):
            low = 100 * min(reading.low for reading in constant.values())
            top = 100 * max(reading.high for reading in constant.values())
            what = (
                f"annual incidence {yearly.text} % possible as that of the first year; at a constant rate "
                f"{incidences[one].text} % in three years are {low:.2f} to {top:.2f} % a year"
            )
            ledger.agrees(horizons.CHECK, cell, what)
        else:
            arithmetic = f"{yearly.text} % in a year is more than {incidences[one].text} % in three"
            bad = Discrepancy(horizons.CHECK, f"{one}-risk", yearly.text, incidences[one].text, arithmetic)
            ledger.enter(cell, Checked(horizons.CHECK, "annual incidence", 1, (bad,)))
    cases = next(found for row, found in table.counts.items() if row.startswith("HCC cases"))["all", ""]
    if whole.low <= cases / size:
        ledger.agrees(
            horizons.CHECK, "Abstract, sentence 6", "three-year incidence below the share of HCC in all follow-up"
        )


def _hazard_ratios(ledger: Ledger, table: Characteristics) -> None:
    place = "Results, HCC risk stratification, sentence 5"
    hcc = next(found for row, found in table.counts.items() if row.startswith("HCC cases"))
    cases = {cohort: hcc[cohort, ""] for cohort in ("all", *COHORTS)}
    high, low = (_paper().count(row="group size", cohort="training", subgroup=f"{one}-risk") for one in ("high", "low"))
    needed = {}
    for one in _paper().rows("hazard ratio", row="high-risk against low-risk").itertuples():
        error = hazard_ratios.log_hazard_se(printed_range(one.lower), printed_range(one.upper))
        needed[one.subgroup] = hazard_ratios.least_events(error)
        if one.subgroup != "aMAP-CT":
            if needed[one.subgroup] <= cases["all"]:
                what = f"events enough for the interval of the hazard ratio of {one.subgroup}"
                ledger.agrees(hazard_ratios.CHECK, place, what)
            continue
        # Of the people at risk the high-risk group is the printed share; its hazard is the ratio times the other's.
        share = hazard_ratios.share_of_events(float(one.value), high, low)
        expected = {cohort: hazard_ratios.expected_se(share, events) for cohort, events in cases.items()}
        mine = error, expected, share, one
    error, expected, share, one = mine
    fits = [
        cohort
        for cohort, se in expected.items()
        if cases[cohort] >= needed["aMAP-CT"] and error.low <= SE_FACTOR * se and se <= SE_FACTOR * error.high
    ]
    if fits:
        ledger.agrees(hazard_ratios.CHECK, place, f"events behind the hazard ratio of aMAP-CT: {', '.join(fits)}")
        return
    few = {cohort: events for cohort, events in cases.items() if events < needed["aMAP-CT"]}
    ledger.finding(
        "hazard-ratio-events",
        place=place,
        check=hazard_ratios.CHECK,
        printed=f"{one.value} ({one.lower} to {one.upper})",
        recomputed="SE of ln HR "
        + ", ".join(f"{se:.3f} ({cohort}, {cases[cohort]} cases)" for cohort, se in expected.items()),
        arithmetic=f"the limits imply an SE of ln HR from {error.low:.3f} to {error.high:.3f}; since SE² is at least "
        f"1/e1 + 1/e0, that needs {needed['aMAP-CT']:.1f} cases or more, which "
        f"{' and '.join(f'{cohort} ({events})' for cohort, events in few.items())} have not; with {high} against {low} "
        f"people at risk a hazard ratio of {one.value} puts {share:.0%} of the cases in the high-risk group, so that "
        + " and ".join(f"{cohort} gives {se:.3f}" for cohort, se in expected.items() if cohort not in few)
        + f"; the interval printed for aMAP needs {needed['aMAP']:.0f} cases or more, those of all cohorts together",
        certainty=IMPLIED,
        consequence="The hazard ratios that the sentence compares do not come from the same patients, and the one of "
        "aMAP-CT fits the cases of no cohort, that of training most nearly. Which cohort each belongs to is not "
        "said, so that the comparison cannot be made.",
        claims=("amap-ct-hazard-ratios",),
    )


SE_FACTOR = 1.25
"""How far the standard error of a log hazard ratio may be from the expected one, the split of cases being estimated."""


def _formula(ledger: Ledger, table: Characteristics) -> None:
    place = "Results, Model construction, sentence 8"
    image, amap, constant = (
        float(_paper().text("coefficient", row=f"aMAP-CT formula, {name}"))
        for name in ("CT image score", "aMAP score", "constant")
    )
    cutoff = float(_paper().text("cut-off", row="optimal cut-off"))
    lower, middle, upper = table.quartiles[AMAP_ROW]["all", ""]
    needed = [formulas.other_input(one.middle, (amap, image), constant, cutoff) for one in (lower, middle, upper)]
    at_zero = amap * middle.middle + constant
    if max(needed) < -10:
        ledger.finding(
            "formula-scale",
            place=f"{place}, against Table 1 and the cut-off",
            check=formulas.CHECK,
            printed=f"{image:g} x CT image score + {amap:g} x aMAP score - {abs(constant):g}, cut-off {cutoff:g}",
            recomputed=f"{at_zero:.1f} plus {image:g} x CT image score for the median aMAP of {middle}",
            arithmetic=f"to reach {cutoff:g} with an aMAP of {lower}, {middle} or {upper} the CT image score would "
            f"have to be {needed[0]:.0f}, {needed[1]:.0f} or {needed[2]:.0f}; {amap:g} x {middle} - {abs(constant):g} "
            f"= {at_zero:.1f}",
            certainty=IMPLIED,
            consequence="The aMAP in the formula is not the score of Table 1 but some standardised form of it, which "
            "the main text does not give. Nobody can apply the printed formula and cut-off to a patient.",
            claims=("amap-ct-formula", "amap-ct-cutoff"),
        )
    else:
        ledger.agrees(formulas.CHECK, place, "formula, aMAP of Table 1 and cut-off on one scale")


def _features(ledger: Ledger) -> None:
    place = "Results, Model construction, sentence 4"
    organs = ("liver", "spleen")
    radiomics = {organ: _paper().count(row=f"radiomics features, {organ}") for organ in organs}
    deep = {organ: _paper().count(row=f"deep features, {organ}") for organ in organs}
    whole = _paper().count(row="features")
    ledger.enter(
        place,
        counts.sums({"features": (whole, [*radiomics.values(), *deep.values()])}, "features of both organs and kinds"),
    )
    phases = _paper().count(row="phases", place="Abstract, sentence 3")
    width = methods.POOLED_WIDTH["ResNet-18"]
    agreeing = [organ for organ in organs if deep[organ] == width * phases]
    if agreeing:
        what = f"deep features are {phases} phases of the {width} channels of a ResNet-18"
        ledger.agrees(methods.CHECK, place, what, len(agreeing))
    for organ in organs:
        if deep[organ] != width * phases:
            arithmetic = f"{phases} x {width} = {phases * width}, printed {deep[organ]}"
            bad = Discrepancy(methods.CHECK, organ, str(deep[organ]), str(phases * width), arithmetic)
            ledger.enter(place, Checked(methods.CHECK, "width of the pooling layer", 1, (bad,)))
    per_phase = {organ: count / phases for organ, count in radiomics.items()}
    odd = [organ for organ, count in per_phase.items() if count != int(count) or not methods.configurations(int(count))]
    if not odd:
        ledger.agrees(methods.CHECK, place, "radiomics features are a number that PyRadiomics gives", len(organs))
        return
    count = per_phase[odd[0]]
    images = round((count - methods.UNFILTERED) / methods.FILTERED)
    nearest = methods.UNFILTERED + methods.FILTERED * images
    ledger.finding(
        "feature-count",
        place=place,
        check=methods.CHECK,
        printed=f"{radiomics[odd[0]]} radiomics features of the {' and of the '.join(odd)}",
        recomputed=f"{phases} x {nearest} = {phases * nearest}",
        arithmetic=f"{radiomics[odd[0]]} / {phases} phases = {count:g}; no choice of whole feature classes of "
        f"PyRadiomics on whole images gives {count:g}; {methods.UNFILTERED} + {images} x {methods.FILTERED} = "
        f"{nearest}, the original image and the wavelet, is nearest",
        certainty=IMPLIED,
        consequence="One column a phase and organ is not a radiomics feature of the named package, or the count is off "
        "by one each time. If it was an identifier or a label, selection could have seen it; the list of features is "
        "in the supplement.",
        claims=("amap-ct-radiomics-feature-count", "amap-ct-feature-count"),
    )


def _cohorts(ledger: Ledger, table: Characteristics) -> None:
    sizes = {cohort: table.design.sizes[cohort, ""] for cohort in ("all", *COHORTS)}
    parts = {
        name: float(_paper().text("ratio", row="split of all centers but one", cohort=name)) for name in COHORTS[:2]
    }
    development = sizes["training"] + sizes["validation"]
    share = parts["training"] / sum(parts.values())
    place = "Methods, Data and modeling, sentence 1"
    if abs(sizes["training"] - share * development) < 0.01 * development:
        ledger.agrees(counts.CHECK, place, "training and validation in the printed ratio, within one per cent")
    else:
        arithmetic = f"{sizes['training']} of {development} are not {share:.0%}"
        bad = Discrepancy(counts.CHECK, "split", str(sizes["training"]), f"{share:.0%}", arithmetic)
        ledger.enter(place, Checked(counts.CHECK, "ratio of the split", 1, (bad,)))
    year = _paper().text("date", row="enrolment, last year")
    month = _paper().text("date", row="enrolment, last month")
    if year not in month:
        ledger.finding(
            "enrolment",
            place="Abstract, sentence 3, against Methods, Study population, sentence 2",
            check=repeated_numbers.CHECK,
            printed=f"enrolled between {_paper().text('date', row='enrolment, first year')} and {year}",
            recomputed=f"enrolled from {_paper().text('date', row='enrolment, first month')} to {month}",
            arithmetic=f"the last patient was enrolled in {year} by the abstract, in {month} by Methods",
            certainty=IMPLIED,
            consequence="The period in the abstract is most likely that of enrolment and follow-up together; it is not "
            "that of enrolment.",
            claims=("amap-ct-enrolment-years", "amap-ct-enrolment-period"),
        )
    else:
        ledger.agrees(repeated_numbers.CHECK, "Abstract and Methods", "period of enrolment")


def _repeated(ledger: Ledger, rows: Mapping[tuple[str, str], PerformanceRow]) -> None:
    numbers = _paper().numbers
    ledger.enter(
        "text", repeated_numbers.together(repeated_numbers.repeated_in_text(numbers), "numbers repeated in the text")
    )
    second = _paper().table("Table 2")
    checks = []
    for cohort in COHORTS:
        cells = second[second["cohort"] == cohort].drop_duplicates("quantity").set_index("quantity")["value"]
        row = rows[cohort, ""]
        for measure, printed in row.measures.items():
            if printed is not None and is_number(cells[measure]):
                printings = [("Table 2", (cells[measure],)), ("Table 3", (printed.text,))]
                checks.append(repeated_numbers.printed_alike(f"{measure}, {cohort}", printings))
    text = numbers[(numbers["column"] == "") & (numbers["quantity"] == "auc") & (numbers["row"] == "aMAP-CT")]
    aucs = second[second["quantity"] == "auc"].set_index("cohort")
    for one in text.itertuples():
        printings = [
            ("Table 2", tuple(aucs.loc[one.cohort, ["value", "lower", "upper"]])),
            (one.place, (one.value, one.lower, one.upper)),
        ]
        checks.append(repeated_numbers.printed_alike(f"AUC, {one.cohort}", printings))
    third = _paper().table("Table 3")
    for one in third[(third["quantity"] == "auc") & third["row"].str.endswith(" cohort")].itertuples():
        printings = [("Table 2", (aucs.loc[one.cohort, "value"],)), ("Table 3", (one.value,))]
        checks.append(repeated_numbers.printed_alike(f"AUC, {one.cohort}", printings))
    table = characteristics()
    people = {"patients": table.design.sizes["all", ""], "HCC": total([rows[c, ""].events for c in COHORTS]).low}
    for row, number in people.items():
        for one in _paper().rows("count", row=row, cohort="all").itertuples():
            if one.column == "":
                printings = [("Table 1", (str(int(number)),)), (one.place, (one.value.replace(",", ""),))]
                checks.append(repeated_numbers.printed_alike(row, printings))
    ledger.enter("tables and text", repeated_numbers.together(checks, "numbers of the tables elsewhere"))


def _between_papers(ledger: Ledger) -> None:
    """What both papers print of the cohort that both draw on."""
    other = Paper.named("alarm").numbers
    mine = _paper().numbers
    shared = ("PreCar cohort, enrolled", "PreCar cohort, centers", "PreCar cohort, provinces")
    shared += ("enrolment, first month", "enrolment, last month")
    checks = []
    for row in shared:
        here, there = (frame[frame["row"] == row] for frame in (mine, other))
        if len(here) and len(there):
            printings = [("ALARM", (there.iloc[0]["value"],)), ("aMAP-CT", (here.iloc[0]["value"],))]
            checks.append(repeated_numbers.printed_alike(row, printings))
    ledger.enter("both papers", repeated_numbers.together(checks, "the PreCar cohort in both papers"))
