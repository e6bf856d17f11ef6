"""ALARM: every check on what the paper prints, and what each failure means.

Numbers come from the transcription alone; the words say what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from hccbook import scores
from hccbook.audit import (
    auc,
    calibration_counts,
    counts,
    derived_scores,
    formulas,
    intervals,
    means_against_parts,
    methods,
    p_values,
    quantiles,
    ranges,
    repeated_numbers,
    significance,
    two_by_two,
)
from hccbook.audit.characteristics import Characteristics, Design, check_all, contingency, group_name
from hccbook.audit.findings import CERTAIN, IMPLIED, ROUNDING, Checked, Consistent, Discrepancy, Finding, Ledger
from hccbook.audit.lookup import Paper
from hccbook.audit.performance import printed_intervals
from hccbook.audit.printed import (
    Range,
    counts_that_print_as,
    cut_or_rounded,
    printed_range,
    total,
    whole_number,
)
from hccbook.audit.two_by_two import PerformanceRow, TwoByTwo, compatible_tables

PAPER = "alarm"
COHORTS = ("discovery", "internal_validation", "external_validation")
LOWER, UPPER = "cut-off 0.21", "cut-off 0.65"
"""The two cut-offs as the transcription of Table 2 names them."""

STAGES = ("0", "A", "B", "C", "D")

SUB_BANDS = {
    "HLL": "High Level Features",
    "HHH": "High-Order Histogram of Homogeneous",
    "HLH": "Histogram of Local Homogeneity",
}
"""Expansions that the caption of Fig. 2 prints, sentence 7; words, so they are not among the transcribed numbers."""


@cache
def _paper() -> Paper:
    return Paper.named(PAPER)


def characteristics() -> Characteristics:
    """Table 1, taken apart."""
    table = _paper().table("Table 1")
    header = table[table["row"] == "header"]
    sizes = {(one.cohort, one.subgroup): whole_number(one.value) for one in header.itertuples() if one.subgroup}
    groups = ("non-HCC", "HCC")
    return Characteristics.of(
        table[table["row"] != "header"],
        Design(
            sizes=sizes,
            pooled={("all", group): tuple((cohort, group) for cohort in COHORTS) for group in groups},
            contrasts={cohort: tuple((cohort, group) for group in groups) for cohort in ("all", *COHORTS)},
        ),
    )


def performance() -> dict[tuple[str, str], PerformanceRow]:
    """Table 2, a row for each cohort and cut-off, with the people of Table 1."""
    sizes = characteristics().design.sizes
    rows = {}
    for (cohort, cutoff), cells in _paper().table("Table 2").groupby(["cohort", "subgroup"], sort=False):
        events = sizes[cohort, "HCC"]
        rows[cohort, cutoff] = PerformanceRow(
            name=f"{cohort.replace('_', ' ')}, {cutoff}",
            n=events + sizes[cohort, "non-HCC"],
            events=events,
            measures={one.quantity: printed_range(one.value) for one in cells.itertuples()},
        )
    return rows


def recovered_tables() -> dict[tuple[str, str], TwoByTwo]:
    """2x2 table of each cohort and cut-off of Table 2 that has one, digits that were cut allowed."""
    found = {}
    for key, row in performance().items():
        strict = compatible_tables(row.measures, row.events, row.n - row.events)
        lenient = {name: cut_or_rounded(one.text) for name, one in row.measures.items()}
        tables = strict or compatible_tables(lenient, row.events, row.n - row.events)
        if len(tables) == 1:
            found[key] = tables[0]
    return found


def audit_alarm() -> tuple[list[Finding], list[Consistent]]:
    """Run every check on ALARM.

    Returns
    -------
    findings : list of Finding
    consistent : list of Consistent
    """
    ledger = Ledger(PAPER)
    table = characteristics()
    _characteristics(ledger, table)
    _albi(ledger, table)
    _amap(ledger, table)
    recovered = _performance(ledger)
    _intervals(ledger, recovered)
    _risk_groups(ledger, recovered)
    _external_counts(ledger, recovered)
    _auc(ledger, table, recovered)
    _calibration(ledger)
    _lead_time(ledger, table)
    _cohorts(ledger, table)
    _features(ledger)
    _repeated(ledger, table)
    return ledger.close()


def _characteristics(ledger: Ledger, table: Characteristics) -> None:
    for checked in check_all(table).values():
        ledger.enter("Table 1", checked)
    internal = ("internal_validation", "HCC")
    size = table.design.sizes[internal]
    sex = next(row for row in table.counts if row.startswith("Sex"))
    people = [list(one) for one in contingency(table, sex, table.design.contrasts["internal_validation"])]
    everybody = p_values.count_p_values([people[0], [size, 0]])
    amap = _mean_amap(table, internal, Range(0.0, 0.0))
    own = table.quartiles["aMAP HCC score"][internal]
    also = (
        f"with {size} of {size} men the sum is {table.counts[sex]['all', 'HCC']} and the p of Yates' correction "
        f"{everybody[p_values.YATES]:.3f}, both as printed; women alone would have a mean aMAP of {amap.low:.1f} to "
        f"{amap.high:.1f}, printed median {own[1]}"
    )
    ledger.explain(
        "male-internal",
        lambda one: one.cell.startswith(sex) and ("all, HCC" in one.cell or "internal validation" in one.cell),
        certainty=CERTAIN,
        place="Table 1, Sex (Male), internal validation cohort, HCC",
        printed=f"{table.counts[sex][internal]} ({table.percentages[sex][internal].text} %)",
        recomputed=f"{size} (100.0 %)",
        also=also,
        consequence="A misprint of one cell: all internal patients with HCC were men. No conclusion rests on it, but "
        "the subgroup by sex has no women with HCC in the internal cohort, so that it cannot be checked there.",
        claims=("alarm-sex-counts", "alarm-sex-p-values"),
    )
    ledger.explain(
        "hbv-percentage",
        lambda one: "HBV, external validation, non-HCC" in one.cell,
        certainty=CERTAIN,
        also="the count stands, since the five causes add up to the column",
        consequence="A misprint of one percentage; nothing rests on it.",
        claims=("alarm-etiology-hbv",),
    )
    ledger.explain(
        "glucose-copied",
        lambda one: one.cell.startswith("Glucose") and "internal validation" in one.cell,
        certainty=IMPLIED,
        place="Table 1, Glucose, internal validation cohort, non-HCC",
        printed="{1} ({0}, {2})".format(*table.texts["Glucose, mmol/L"]["internal_validation", "non-HCC"]),
        recomputed="about {}, as in the other columns".format(
            " and ".join(table.texts["Glucose, mmol/L"][cohort, "non-HCC"][1] for cohort in (COHORTS[0], COHORTS[2]))
        ),
        consequence="The cell repeats the row above it (blood urea nitrogen), and the printed p-value is not that of "
        "the printed quartiles. Glucose is in no model, so that no conclusion rests on it.",
        claims=("alarm-glucose-by-outcome",),
    )


def _albi(ledger: Ledger, table: Characteristics) -> None:
    row = "ALBI score"
    possible = ranges.possible_albi()
    cells = {
        f"{row}, {group_name(group)}, {name}": one
        for group, quartiles in table.quartiles[row].items()
        for name, one in zip(("lower quartile", "median", "upper quartile"), quartiles, strict=True)
    }
    ledger.enter("Table 1", ranges.within_possible(cells, possible, "ALBI"))
    bilirubin, albumin = (table.quartiles[name] for name in _albi_inputs())
    inputs = [
        derived_scores.albi_from_inputs(
            f"{row}, {group_name(group)}",
            table.quartiles[row][group],
            derived_scores.albi_readings(size, bilirubin[group], albumin[group]),
        )
        for group, size in table.design.sizes.items()
    ]
    ledger.enter("Table 1", repeated_numbers.together(inputs, "ALBI against bilirubin and albumin"))
    ledger.explain(
        "albi-impossible",
        lambda one: one.cell.startswith(f"{row}, discovery, HCC"),
        certainty=CERTAIN,
        place="Table 1, ALBI score, discovery cohort, HCC, upper quartile",
        printed=table.texts[row]["discovery", "HCC"][2],
        recomputed=f"below {possible.high:.2f} for anybody",
        consequence="No patient can have it: ALBI would need a bilirubin of about 10^18 umol/L. A misprint; "
        "ALBI is in no model but through aMAP.",
        claims=("alarm-albi-discovery",),
    )
    ledger.explain(
        "albi-all",
        lambda one: one.cell.startswith(f"{row}, all"),
        certainty=CERTAIN,
        place="Table 1, ALBI score, all patients, non-HCC and HCC",
        printed="{} and {}".format(*(str(table.quartiles[row]["all", group][1]) for group in ("non-HCC", "HCC"))),
        recomputed="medians of at most {:.2f} and {:.2f} by the three cohorts' own columns".format(
            *(_greatest_median(table, row, group) for group in ("non-HCC", "HCC"))
        ),
        arithmetic="; ".join(_pooled_albi(table, row, group) for group in ("non-HCC", "HCC")),
        consequence="The column of all patients is not the pool of the three cohorts' columns, in this row alone. ALBI "
        "is a part of aMAP and so of the model; the printed aMAP of all patients does agree with its inputs, so that "
        "the fault seems to end with this row.",
        claims=("alarm-albi-all",),
    )
    external = table.quartiles[row]["external_validation", "HCC"]
    stated = {name: table.p_values[name]["external_validation"] for name in (row, *_albi_inputs())}
    p_bilirubin, p_albumin = (stated[name] for name in _albi_inputs())
    ledger.explain(
        "albi-external",
        lambda one: one.cell.startswith(f"{row}, external validation, HCC"),
        certainty=IMPLIED,
        also=f"and p {stated[row]} is printed for ALBI where its two parts have p {p_bilirubin} (bilirubin) and "
        f"{p_albumin} (albumin), with patients with HCC at {external[1]} better off than others, at "
        f"{table.quartiles[row]['external_validation', 'non-HCC'][1]}",
        consequence="The table says that external patients with HCC had the better liver function, significantly so; "
        "bilirubin and albumin of the same patients say otherwise. The row cannot be used to describe the cohort.",
        claims=("alarm-albi-external",),
    )


def _albi_inputs() -> tuple[str, str]:
    return "Total bilirubin, μmol/L", "Albumin, g/L"


def _pooled_albi(table: Characteristics, row: str, group: str) -> str:
    """Why the printed median of all patients of a group cannot be, in words."""
    shown = ", ".join(
        f"{table.design.sizes[cohort, group]} at {table.quartiles[row][cohort, group][1]}" for cohort in COHORTS
    )
    found = derived_scores.albi_readings(
        table.design.sizes["all", group], *(table.quartiles[name]["all", group] for name in _albi_inputs())
    )[1]
    return (
        f"{group}: medians of {shown} with their quartiles put half of all {table.design.sizes['all', group]} at "
        f"{_greatest_median(table, row, group):.2f} or below, printed {table.quartiles[row]['all', group][1]}; "
        f"bilirubin and albumin of all give {found.low:.2f} to {found.high:.2f}"
    )


def _greatest_median(table: Characteristics, row: str, group: str) -> float:
    """Value that the median of all patients of a group surely does not exceed."""
    parts = [(table.design.sizes[cohort, group], table.quartiles[row][cohort, group]) for cohort in COHORTS]
    return quantiles.pooled_at_most(parts, "median")


def _mean_amap(table: Characteristics, group: tuple[str, str], male: Range) -> Range:
    found = table.quartiles
    return derived_scores.mean_amap(
        found["Age, years"][group],
        male,
        found["Total bilirubin, μmol/L"][group],
        found["Albumin, g/L"][group],
        found["Platelet, ×10³/mm³"][group],
    )


def _amap(ledger: Ledger, table: Characteristics) -> None:
    row, sex = "aMAP HCC score", next(name for name in table.counts if name.startswith("Sex"))
    results = []
    for group, size in table.design.sizes.items():
        # The share of men follows from the count; the one misprinted cell is a finding of its own.
        men = table.counts[sex][group] / size if group != ("internal_validation", "HCC") else 1.0
        inputs = _mean_amap(table, group, Range(men, men))
        own = table.quartiles[row][group]
        results.append(derived_scores.amap_from_inputs(f"{row}, {group_name(group)}", size, own, inputs))
    ledger.enter("Table 1", repeated_numbers.together(results, "mean aMAP against its inputs"))
    names = ("age", "sex", "ALBI", "logarithm of total bilirubin, within ALBI", "albumin, within ALBI", "platelets")
    age, male, liver, bilirubin, albumin, platelets = (
        float(_paper().text("coefficient", row=f"aMAP formula, {name}")) for name in names
    )
    constant = float(_paper().text("coefficient", row="aMAP formula, constant"))
    divisor = float(_paper().text("coefficient", row="aMAP formula, divisor"))
    factor = float(_paper().text("coefficient", row="aMAP formula, factor"))

    def as_printed(years: float, is_male: int, tbil: float, alb: float, plt: float) -> float:
        from math import log10

        albi = bilirubin * log10(tbil) + albumin * alb
        return (age * years + male * is_male + liver * albi + platelets * plt + constant) / divisor * factor

    patients = [(50, 1, 17.1, 40, 150), (30, 0, 10, 45, 250), (65, 1, 34.2, 32, 80)]
    ledger.enter(
        "Table 1, footnote, sentence 3",
        formulas.same_values("aMAP formula", as_printed, scores.amap, patients, within=1e-9),
    )


def _performance(ledger: Ledger) -> dict[tuple[str, str], TwoByTwo]:
    rows = performance()
    checked, tables = two_by_two.recover(list(rows.values()))
    recovered = recovered_tables()
    external = rows["external_validation", LOWER]
    cut = {row.name: recovered[key] for key, row in rows.items() if key in recovered and not tables[row.name]}
    ledger.enter("Table 2", checked)
    for name, table in cut.items():
        row = next(one for one in rows.values() if one.name == name)
        wrong = {measure: one for measure, one in row.measures.items() if not one.holds(table.value(measure))}
        ledger.explain(
            "digits-cut",
            lambda one, name=name: one.check == two_by_two.CHECK and one.cell == name,
            certainty=ROUNDING,
            place=f"Table 2, {name}: {', '.join(wrong)}",
            printed=", ".join(f"{measure} {one.text}" for measure, one in wrong.items()),
            recomputed=", ".join(f"{measure} {table.value(measure):.4f}" for measure in wrong),
            also=f"{table} gives "
            + ", ".join(f"{m} {table.counts(m)[0]}/{table.counts(m)[1]} = {table.value(m):.5f}" for m in wrong)
            + ", whose last digit was cut instead of rounded",
            consequence="None: the 2x2 table is recovered all the same, and the difference is one unit of the last "
            "digit.",
            claims=("alarm-specificity-upper-internal", "alarm-npv-upper-internal"),
        )
    sensitivity = external.measures["sensitivity"]
    ends = [
        counts_that_print_as(one, size)
        for one, size in (
            (sensitivity, external.events),
            (external.measures["specificity"], external.n - external.events),
        )
    ]
    found = f"{external.events} with HCC" if not ends[0] else ""
    found += (" nor of " if found else "") + (f"{external.n - external.events} without" if not ends[1] else "")
    ledger.explain(
        "external-no-table",
        lambda one: one.check == two_by_two.CHECK and one.cell == external.name,
        certainty=CERTAIN,
        place="Table 2, external validation cohort, cut-off 0.21: all four measures",
        also=f"{sensitivity.text} and {external.measures['specificity'].text} are shares of no whole number of {found}"
        if found
        else "",
        consequence="The external estimates at the lower cut-off, the paper's evidence that few cases are "
        "missed elsewhere, are not those of its patients; they cannot be used as printed.",
        claims=(
            "alarm-sensitivity-lower-external",
            "alarm-specificity-lower-external",
            "alarm-ppv-lower-external",
            "alarm-npv-lower-external",
        ),
    )
    return recovered


def _intervals(ledger: Ledger, recovered: Mapping[tuple[str, str], TwoByTwo]) -> None:
    table, rows = _paper().table("Table 2"), performance()
    outside = intervals.estimates_inside(
        {
            f"{one.quantity}, {one.cohort.replace('_', ' ')}, {one.subgroup}": (
                printed_range(one.value),
                printed_range(one.lower),
                printed_range(one.upper),
            )
            for one in table.itertuples()
        },
        "estimate inside its own interval",
    )
    ledger.enter("Table 2", outside)
    key = ("external_validation", LOWER)
    cells = table[(table["cohort"] == key[0]) & (table["subgroup"] == key[1])]
    limits = {one.quantity: (printed_range(one.lower), printed_range(one.upper)) for one in cells.itertuples()}
    behind = intervals.tables_behind(limits, rows[key].events, rows[key].n - rows[key].events)
    also = ""
    if len(behind) == 1:
        shown = ", ".join(f"{name} {behind[0].value(name):.3f}" for name in limits)
        also = f"Wald's intervals on {rows[key].n} people are as printed for {behind[0]} alone: {shown}"
    detected, cases = (
        _paper().count("HCC count", row="high-risk and medium-risk"),
        _paper().count(row="HCC", cohort="all"),
    )
    if rows[key].measures["sensitivity"].holds(detected / cases):
        also += f"{'; ' if also else ''}{detected}/{cases} of all three cohorts is {detected / cases:.3f}"
    ledger.explain(
        "external-sensitivity-outside",
        lambda one: one.cell.startswith("sensitivity, external validation") and one.check == intervals.CHECK,
        certainty=CERTAIN,
        place="Table 2 and Results, Risk stratification, sentence 5: external validation cohort, cut-off 0.21",
        also=also,
        consequence="Estimates and intervals of this row belong to different 2x2 tables. Those behind the intervals "
        "fit the 84 of 89 cases of the text; the printed sensitivity is the share of all three cohorts together.",
        claims=("alarm-sensitivity-lower-external", "alarm-sensitivity-intervals"),
    )
    printed = printed_intervals(table, recovered)
    way, number = intervals.common_way(printed)
    checked = intervals.identify(printed)
    ledger.enter("Table 2", checked)
    name = "no method" if way is None else f"{way[0]} on the {way[1]}"
    sensitivities = [one for one in printed if one.measure == "sensitivity"]
    wider = {
        measure: min(1 / intervals.width_ratio(one).greatest for one in printed if one.measure == measure)
        for measure in ("sensitivity", "ppv")
    }
    first = sensitivities[0]
    exact = first.table.value("sensitivity")
    whole, own = (intervals.wald_interval(exact, n) for n in (first.table.n, first.table.events))
    ledger.explain(
        "intervals-whole-cohort",
        lambda one: one.check == intervals.CHECK and any(one.cell == other.cell for other in printed),
        certainty=CERTAIN,
        place=f"Table 2, the {len(printed)} intervals whose 2x2 table is known",
        printed="; ".join(f"{one.cell}: {one.lower} to {one.upper}" for one in sensitivities),
        recomputed="; ".join(
            "{:.3f} to {:.3f} (Wilson on {})".format(
                *intervals.METHODS["Wilson"](one.table.value("sensitivity"), one.table.events), one.table.events
            )
            for one in sensitivities
        ),
        arithmetic=f"{name} gives {number} of {len(printed)} to the last digit; {first.cell}: "
        f"{first.table.tp}/{first.table.events} ± 1.96 √({exact:.3f} x {1 - exact:.3f} / {first.table.n}) is "
        f"{whole[0]:.3f} to {whole[1]:.3f}, on {first.table.events} cases {own[0]:.3f} to {own[1]:.3f}; any method on "
        f"the measure's own people gives at least {wider['sensitivity']:.1f} times the printed width for "
        f"sensitivities, {wider['ppv']:.1f} for PPV",
        consequence="Every interval is computed as if the whole cohort had been counted, whatever the share is of. A "
        "sensitivity rests on the cases and a predictive value on the people flagged; their intervals are much "
        "wider than printed, so that the precision of the paper's main claim is overstated.",
        claims=(
            "alarm-sensitivity-intervals",
            "alarm-specificity-intervals",
            "alarm-ppv-intervals",
            "alarm-npv-intervals",
            "alarm-interval-kind",
        ),
    )


def _risk_groups(ledger: Ledger, recovered: Mapping[tuple[str, str], TwoByTwo]) -> None:
    place = "Summary, sentence 7; Results, Risk stratification, sentence 2"
    groups = ("high-risk", "medium-risk", "low-risk")
    sizes = {group: _paper().count(row=group, cohort="all") for group in groups}
    whole, cases = _paper().count(row="patients", cohort="all"), _paper().count(row="HCC", cohort="all")
    detected = _paper().count("HCC count", row="high-risk and medium-risk")
    flagged = _paper().count(row="high-risk and medium-risk", cohort="all")
    shares = [
        counts.PrintedShare(group, sizes[group], whole, _paper().range("percentage", "%", row=group, cohort="all"))
        for group in groups
    ]
    shares += [
        counts.PrintedShare(
            "high-risk and medium-risk",
            flagged,
            whole,
            _paper().range("percentage", "%", row="high-risk and medium-risk"),
        ),
        counts.PrintedShare(
            "HCC of the high- and medium-risk groups",
            detected,
            cases,
            _paper().range("percentage of HCC", "%", row="high-risk and medium-risk"),
        ),
    ]
    ledger.enter(place, counts.percentages(shares, "risk groups: percentage against its count"))
    ledger.enter(
        place,
        counts.sums(
            {
                "all risk groups": (whole, list(sizes.values())),
                "high- and medium-risk": (flagged, [sizes["high-risk"], sizes["medium-risk"]]),
            },
            "risk groups against their total",
        ),
    )
    rates = {group: _paper().range("incidence", "%", row=group) for group in groups}
    behind = {group: counts_that_print_as(rates[group], sizes[group]) for group in groups}
    promised = total(rates[group] * sizes[group] for group in groups[:2])
    if not behind["high-risk"] or not behind["medium-risk"] or promised.high < detected:
        nearest = "; ".join(
            f"{rates[group].text} % of {sizes[group]} is {100 * rates[group].low * sizes[group] / 100:.2f} to "
            f"{rates[group].high * sizes[group]:.2f} people"
            for group in groups[:2]
            if not behind[group]
        )
        ledger.finding(
            "incidence-no-count",
            place=place,
            check=counts.CHECK,
            printed=f"{rates['high-risk'].text} % of {sizes['high-risk']} and {rates['medium-risk'].text} % of "
            f"{sizes['medium-risk']}, {detected} cases together",
            recomputed=f"at most {promised.high:.1f} cases together",
            arithmetic=f"{nearest}: no whole number; together at most {promised.high:.1f}, but {detected} of {cases} "
            "cases are said to lie in these two groups",
            certainty=CERTAIN,
            consequence="Incidences and sizes of the risk groups of Fig. 5 do not belong together. The order of the "
            "groups, and its significance, is not in doubt: any reading leaves a gap of many times.",
            claims=("alarm-incidence-high", "alarm-incidence-medium", "alarm-detected"),
        )
    fits = [group for group in groups if behind[group]]
    if fits:
        ledger.agrees(counts.CHECK, place, f"incidence is that of a whole number: {', '.join(fits)}", len(fits))
    least = [[behind_or(rates[g], sizes[g]), sizes[g] - behind_or(rates[g], sizes[g])] for g in groups]
    p = p_values.count_p_values(least)[p_values.PEARSON]
    stated = _paper().range("p-value", row="three groups")
    if stated.holds(p):
        ledger.agrees(p_values.CHECK, place, "p-value of the three incidences, nearest whole numbers")
    upper = [recovered[cohort, UPPER] for cohort in COHORTS if (cohort, UPPER) in recovered]
    if len(upper) == len(COHORTS):
        high, true = sum(one.flagged for one in upper), sum(one.tp for one in upper)
        if high != sizes["high-risk"]:
            ledger.finding(
                "high-risk-size",
                place=f"{place}, against Table 2 at cut-off 0.65",
                check=two_by_two.CHECK,
                printed=f"{sizes['high-risk']} people, {rates['high-risk'].text} % with HCC",
                recomputed=f"{high} people, {100 * true / high:.1f} % with HCC ({true})",
                arithmetic=f"Table 2 flags {' + '.join(str(one.flagged) for one in upper)} = {high} people at 0.65, "
                f"{' + '.join(str(one.tp) for one in upper)} = {true} of them with HCC; {true} of "
                f"{sizes['high-risk']} would be {100 * true / sizes['high-risk']:.1f} %, printed "
                f"{rates['high-risk'].text} %",
                certainty=CERTAIN,
                consequence="The high-risk group of the text and Fig. 5 is not the one whose performance Table 2 "
                "prints, though the cut-off is the same. The difference is small and changes no conclusion.",
                claims=("alarm-high-risk-size", "alarm-incidence-high"),
            )
        else:
            ledger.agrees(two_by_two.CHECK, place, "high-risk group is that of Table 2")


def behind_or(rate: Range, size: int) -> int:
    """Whole number of people nearest to a printed incidence."""
    return round(rate.middle * size)


def _external_counts(ledger: Ledger, recovered: Mapping[tuple[str, str], TwoByTwo]) -> None:
    others = [recovered.get((cohort, LOWER)) for cohort in COHORTS[:2]]
    if not all(others):
        return
    row = performance()["external_validation", LOWER]
    detected = _paper().count("HCC count", row="high-risk and medium-risk")
    flagged = _paper().count(row="high-risk and medium-risk", cohort="all")
    tp = detected - sum(one.tp for one in others)
    fp = flagged - sum(one.flagged for one in others) - tp
    implied = TwoByTwo(tp, fp, row.events - tp, row.n - row.events - fp)
    missed = [name for name, one in row.measures.items() if not one.holds(implied.value(name))]
    if missed:
        ledger.finding(
            "flagged-size",
            place="Results, Risk stratification, sentence 2; Discussion, sentence 16; against Table 2 at cut-off 0.21",
            check=two_by_two.CHECK,
            printed=", ".join(f"{name} {row.measures[name].text}" for name in missed) + " (external)",
            recomputed=", ".join(f"{name} {implied.value(name):.3f}" for name in missed),
            arithmetic=f"of {flagged} flagged people and {detected} cases found, Table 2 has "
            f"{others[0].flagged} + {others[1].flagged} and {others[0].tp} + {others[1].tp} in the first two cohorts; "
            f"{implied.flagged} and {tp} are left for the external one: {implied}",
            certainty=CERTAIN,
            consequence="Group sizes of the text and Table 2 disagree on how many external patients are flagged at the "
            "lower cut-off, so that neither the workload nor the yield of the proposed strategy is settled by print. "
            "By the text the external sensitivity is higher than printed.",
            claims=("alarm-flagged-size", "alarm-sensitivity-lower-external", "alarm-ppv-lower-external"),
        )
    else:
        ledger.agrees(two_by_two.CHECK, "Table 2, cut-off 0.21", "external counts left over by the text", 4)


def _auc(ledger: Ledger, table: Characteristics, recovered: Mapping[tuple[str, str], TwoByTwo]) -> None:
    place = "Summary, sentence 6; Results, Construction and validation, sentence 6"
    rows = performance()
    printed = {}
    for cohort in COHORTS:
        printed[cohort] = _paper().interval("auc", row="ALARM", cohort=cohort)
    ledger.enter(
        place, intervals.estimates_inside({f"AUC, {c}": v for c, v in printed.items()}, "AUC inside its interval")
    )
    for cohort, (estimate, lower, upper) in printed.items():
        events, nonevents = table.design.sizes[cohort, "HCC"], table.design.sizes[cohort, "non-HCC"]
        error, least = auc.implied_se(lower, upper), auc.least_auc_se(estimate.middle, events, nonevents)
        usual = auc.hanley_mcneil_se(estimate.middle, events, nonevents)
        balanced = auc.hanley_mcneil_se(estimate.middle, nonevents, nonevents)
        if error.high < least:
            ledger.finding(
                "auc-discovery-interval" if cohort == COHORTS[0] else f"auc-{cohort.replace('_', '-')}-too-narrow",
                place=f"{place}: {cohort.replace('_', ' ')} cohort",
                check=auc.CHECK,
                printed=f"{estimate} ({lower} to {upper})",
                recomputed="about {:.3f} to {:.3f}, and no narrower than {:.3f} to {:.3f}".format(
                    *(estimate.middle + sign * 1.96 * se for se in (usual, least) for sign in (-1, 1))
                ),
                arithmetic=f"the width implies a standard error of at most {error.high:.4f}; {events} with and "
                f"{nonevents} without HCC give {usual:.4f} (Hanley-McNeil) and no untied score less than {least:.4f}; "
                f"{nonevents} with and {nonevents} without, as after oversampling, give {balanced:.4f}",
                certainty=IMPLIED,
                consequence="The interval is about as narrow as that of the cohort after SMOTE, whose added cases are "
                "mixtures of real ones. The discovery AUC, the highest of the three, would then be that of the data "
                "the model was fitted to, with several times the certainty that its cases allow.",
                claims=("alarm-auc-discovery",),
            )
        else:
            ledger.agrees(auc.CHECK, place, f"width of the AUC's interval is possible: {cohort.replace('_', ' ')}")
        below, above = estimate - lower, upper - estimate
        if above.low > below.high:
            ledger.finding(
                "auc-external-interval" if cohort == COHORTS[2] else f"auc-{cohort.replace('_', '-')}-lopsided",
                place=f"{place}: {cohort.replace('_', ' ')} cohort",
                check=auc.CHECK,
                printed=f"{estimate} ({lower} to {upper})",
                recomputed="{:.3f} to {:.3f} (Hanley-McNeil)".format(
                    *(estimate.middle + sign * 1.96 * usual for sign in (-1, 1))
                ),
                arithmetic=f"the interval reaches {above.middle:.3f} above and {below.middle:.3f} below: its centre is "
                f"{(lower.middle + upper.middle) / 2:.4f}, not {estimate} (discovery AUC: {printed[COHORTS[0]][0]});"
                f" DeLong's and Wald's intervals are symmetric, and those on the logit scale, or by bootstrap so near "
                f"to 1, reach further down than up",
                certainty=IMPLIED,
                consequence="Estimate and interval of the external validation, the main evidence, do not belong "
                "to each other, and the interval is much narrower than so few cases let expect.",
                claims=("alarm-auc-external",),
            )
        else:
            ledger.agrees(auc.CHECK, place, f"AUC is not below the middle of its interval: {cohort.replace('_', ' ')}")
        points = [
            (rows[cohort, cutoff].measures["sensitivity"], rows[cohort, cutoff].measures["specificity"])
            for cutoff in (LOWER, UPPER)
            if (cohort, cutoff) in recovered
        ]
        allowed = auc.auc_from_points(points)
        if allowed.meets(estimate):
            what = f"AUC possible with the operating points of Table 2: {cohort.replace('_', ' ')}"
            ledger.agrees(auc.CHECK, "Table 2", what)
        else:
            ledger.enter("Table 2", _impossible_auc(cohort, estimate, allowed))


def _impossible_auc(cohort: str, estimate: Range, allowed: Range) -> Checked:
    arithmetic = f"the operating points allow an AUC from {allowed.low:.3f} to {allowed.high:.3f}, printed {estimate}"
    found = Discrepancy(auc.CHECK, f"AUC, {cohort}", str(estimate), str(allowed), arithmetic)
    return Checked(auc.CHECK, "AUC possible with the operating points", 1, (found,))


def _calibration(ledger: Ledger) -> None:
    sizes = {group: _paper().count(row=group, cohort="all") for group in ("high-risk", "medium-risk")}
    cutoffs = {
        group: float(_paper().text("cut-off", row=row))
        for group, row in (("high-risk", "upper threshold"), ("medium-risk", "lower threshold"))
    }
    rates = {group: _paper().range("incidence", "%", row=group) for group in sizes}
    cases = _paper().count(row="HCC", cohort="all")
    promised = calibration_counts.least_expected_events([(sizes[group], cutoffs[group]) for group in sizes])
    low = [group for group in sizes if rates[group].high < cutoffs[group]]
    if low:
        ledger.finding(
            "calibration",
            place="Results, Construction and validation (calibration), against Risk stratification, sentence 2",
            check=calibration_counts.CHECK,
            printed="strong agreement between the predicted probabilities and the actual outcomes",
            recomputed=f"at least {promised:.0f} cases expected in the high- and medium-risk groups, {cases} in all",
            arithmetic="; ".join(
                f"{sizes[group]} people at {cutoffs[group]:g} or above are at least "
                f"{sizes[group] * cutoffs[group]:.1f} expected cases, {rates[group].text} % were observed"
                for group in sizes
            )
            + "; were the cut-offs log odds, the probabilities would be higher still",
            certainty=IMPLIED,
            consequence="A probability that comes true so much more rarely is not calibrated. The "
            "agreement of Fig. 4A is either that of the cohort balanced by SMOTE or of recalibrated values; in "
            "patients the cut-offs are no risks, and decision curves at these thresholds need the same caution.",
            claims=("alarm-cutoffs", "alarm-incidence-high", "alarm-incidence-medium"),
        )
    else:
        ledger.agrees(calibration_counts.CHECK, "Fig. 4A and 5", "incidence of each group not below its cut-off", 2)


def _lead_time(ledger: Ledger, table: Characteristics) -> None:
    place = "Results, Risk stratification, sentence 3; Results, Patient characteristics, sentence 4"
    detected = _paper().count("HCC count", row="high-risk and medium-risk")
    spans = ("less than 6 months", "between 6 and 9 months", "between 9 and 12 months")
    shares = [_paper().range("percentage", "%", row=f"lead time {span}") for span in spans]
    if counts.shares_sum_to_one(shares):
        ledger.agrees(counts.CHECK, place, "shares of lead times add up to one")
    else:
        found = total(shares)
        shown = " + ".join(share.text for share in shares)
        bad = Discrepancy(counts.CHECK, "lead times", shown, "100 %", f"{shown} is {found.low:.3f} to {found.high:.3f}")
        ledger.enter(place, Checked(counts.CHECK, "shares of lead times add up to one", 1, (bad,)))
    behind = [list(counts_that_print_as(share, detected)) for share in shares]
    if all(len(one) == 1 for one in behind) and sum(one[0] for one in behind) == detected:
        shown = ", ".join(str(one[0]) for one in behind)
        ledger.agrees(counts.CHECK, place, f"shares of lead times are {shown} of {detected}", len(spans))
    else:
        arithmetic = f"{', '.join(one.text for one in shares)} % of {detected} are {behind}"
        bad = Discrepancy(counts.CHECK, "lead times", arithmetic, f"whole numbers of {detected}", arithmetic)
        ledger.enter(place, Checked(counts.CHECK, "shares of lead times", len(spans), (bad,)))
    stages = [
        (
            table.counts[f"HCC BCLC stage: {stage}"]["all", "HCC"],
            _paper().range("mean", row=f"time from CT to HCC, BCLC stage {stage}"),
        )
        for stage in STAGES
    ]
    mean = _paper().range("mean", row="lead time at the lower threshold")
    longest = float(_paper().text("duration", row="window between CT and HCC diagnosis", subgroup="highest"))
    shortest = float(_paper().text("duration", row="window between CT and HCC diagnosis", subgroup="lowest"))
    everybody = sum(n for n, _ in stages)
    rest = means_against_parts.mean_of_rest(stages, detected, mean)
    allowed = Range(shortest, longest)
    at_face = (sum(n * one.middle for n, one in stages) - detected * mean.middle) / (everybody - detected)
    if allowed.holds(at_face):
        ledger.agrees(means_against_parts.CHECK, place, "mean lead time against the stages")
        return
    ledger.finding(
        "lead-time",
        place=place,
        check=means_against_parts.CHECK,
        printed=f"mean {mean} months of {detected} cases",
        recomputed=f"the other {everybody - detected} would have had {rest.low:.1f} to {rest.high:.1f} months",
        arithmetic=f"({' + '.join(f'{n} x {one}' for n, one in stages)} - {detected} x {mean}) / "
        f"{everybody - detected} = {at_face:.1f} months, the window being {shortest:g} to {longest:g}; with all six "
        f"means rounded the most favourable way {rest.low:.2f}",
        certainty=ROUNDING if rest.meets(allowed) else CERTAIN,
        consequence="Lead time and times by stage can both be right only if every one of the means was rounded nearly "
        "to its limit, all in the convenient direction, and every missed case was scanned at the very end of the "
        "window. At face value the mean lead time is a few tenths of a month too short.",
        claims=("alarm-lead-time", "alarm-time-by-stage"),
    )


def _cohorts(ledger: Ledger, table: Characteristics) -> None:
    sizes = table.design.sizes
    section = "Results, Patient characteristics"
    place = f"{section}, sentences 1 to 3"
    cohorts = {cohort: _paper().count(row="patients", cohort=cohort) for cohort in ("all", *COHORTS)}
    cases = {cohort: sizes[cohort, "HCC"] for cohort in ("all", *COHORTS)}
    precar, added = _paper().count(row="PreCar cohort"), _paper().count(row="outpatients and Search-B cohort")
    totals = {
        f"{cohort}, with and without HCC": (n, [sizes[cohort, "non-HCC"], cases[cohort]])
        for cohort, n in cohorts.items()
    }
    totals["cohorts"] = (cohorts["all"], [cohorts[cohort] for cohort in COHORTS])
    totals["sources"] = (cohorts["all"], [precar, added])
    totals["cases of the sources"] = (cases["all"], [_paper().count("HCC count", row="PreCar cohort"), added])
    centers = (
        _paper().count(row="centers", cohort="all", place=f"{section}, sentence 1"),
        _paper().count(row="centers", cohort="external_validation"),
    )
    totals["centers"] = (centers[0], [1, centers[1]])
    lirads = [_paper().count(row="LIRADS-3 on the CT, high-risk"), 1]
    totals["LIRADS-3"] = (_paper().count(row="LIRADS-3 on the CT"), lirads)
    ledger.enter(place, counts.sums(totals, "cohorts, sources and centres against their totals"))
    shares = [
        counts.PrintedShare(
            f"HCC, {cohort}",
            cases[cohort],
            cohorts[cohort],
            _paper().range("percentage", "%", row="HCC", cohort=cohort),
        )
        for cohort in COHORTS
    ]
    shares += [
        counts.PrintedShare(row, n, cohorts["all"], _paper().range("percentage", "%", row=row))
        for row, n in (("PreCar cohort", precar), ("outpatients and Search-B cohort", added))
    ]
    primary = cohorts["discovery"] + cohorts["internal_validation"]
    shares += [
        counts.PrintedShare(
            f"share of the primary cohort, {cohort}",
            cohorts[cohort],
            primary,
            _paper().range("percentage", "%", row="share of the primary cohort", cohort=cohort),
        )
        for cohort in COHORTS[:2]
    ]
    ledger.enter(place, counts.percentages(shares, "cohorts and sources: percentage against its count"))


def _features(ledger: Ledger) -> None:
    place = "Results, Image signature analysis"
    one_phase, three = (
        _paper().count(row=f"radiomics features of {phases}") for phases in ("one phase", "three phases")
    )
    phases = _paper().count(row="phases", place=f"{place}, sentence 2")
    ledger.enter(
        f"{place}, sentence 1",
        counts.sums({"radiomics features": (three, [one_phase] * phases)}, "features of all phases"),
    )
    images = methods.filtered_images(one_phase)
    if images is not None:
        what = f"{one_phase} features are those of PyRadiomics for the image and {images} filtered ones, not listed"
        ledger.agrees(methods.CHECK, f"{place}, sentence 1", what)
    elif not methods.configurations(one_phase):
        arithmetic = f"{one_phase} is no number of features of whole classes on whole images"
        bad = Discrepancy(methods.CHECK, "radiomics features", str(one_phase), "107 + 93 k", arithmetic)
        ledger.enter(place, Checked(methods.CHECK, "feature count of PyRadiomics", 1, (bad,)))
    deep, width = _paper().count(row="deep features of one phase"), methods.POOLED_WIDTH["ResNet-50"]
    if deep != width:
        ledger.finding(
            "pooling-width",
            place=f"{place}, sentence 2",
            check=methods.CHECK,
            printed=f"{deep} x {phases} values from the average pooling layer of a 3D ResNet50",
            recomputed=f"{width} values a phase",
            arithmetic=f"the average pooling of a ResNet-50 has 4 x 512 = {width} channels, not {deep}",
            certainty=IMPLIED,
            consequence="A step that turns the pooled values into a twentieth of their number is missing from the main "
            "text: a narrower network, a projection or a selection. The deep learning score cannot be rebuilt from the "
            "description, and if the step saw the outcome, selection began before the reported one.",
            claims=("alarm-deep-feature-count",),
        )
    else:
        ledger.agrees(methods.CHECK, f"{place}, sentence 2", "width of the pooling layer")
    wrong = {band: text for band, text in SUB_BANDS.items() if not methods.names_a_filter(band, text)}
    if wrong:
        ledger.finding(
            "sub-bands",
            place="Fig. 2, caption, sentence 7",
            check=methods.CHECK,
            printed="; ".join(f"{band}: {text}" for band, text in wrong.items()),
            recomputed="; ".join(f"{band}: {methods.wavelet_meaning(band)}" for band in wrong),
            arithmetic="PyRadiomics names the eight sub-bands of a wavelet by a letter an axis, H for high-pass and L "
            "for low-pass",
            certainty=CERTAIN,
            consequence="Filters are named as if they were features. The features are still identified by their codes, "
            "but what the model is said to look at in the image is not what it looks at.",
            claims=("alarm-selected-features",),
        )


def _repeated(ledger: Ledger, table: Characteristics) -> None:
    mine = _paper().numbers
    ledger.enter(
        "text", repeated_numbers.together(repeated_numbers.repeated_in_text(mine), "numbers repeated in the text")
    )
    checks = []
    for one in _paper().table("Table 2").itertuples():
        text = mine[
            (mine["row"] == one.row)
            & (mine["cohort"] == one.cohort)
            & (mine["subgroup"] == one.subgroup)
            & (mine["column"] == "")
        ]
        printings = [("Table 2", (one.value, one.lower, one.upper))]
        printings += [(row.place, (row.value, row.lower, row.upper)) for row in text.itertuples()]
        if len(printings) > 1:
            checks.append(repeated_numbers.printed_alike(f"{one.row}, {one.cohort}, {one.subgroup}", printings))
    header = mine[(mine["place"] == "Table 1") & (mine["row"] == "header")]
    for one in header.itertuples():
        row = "HCC" if one.subgroup == "HCC" else "patients"
        if one.subgroup == "non-HCC":
            continue
        text = mine[
            (mine["row"] == row)
            & (mine["cohort"] == one.cohort)
            & (mine["quantity"] == "count")
            & (mine["column"] == "")
        ]
        printings = [("Table 1", (one.value,))] + [(r.place, (r.value,)) for r in text.itertuples()]
        if len(printings) > 1:
            checks.append(repeated_numbers.printed_alike(f"{row}, {one.cohort}", printings))
    ledger.enter("tables and text", repeated_numbers.together(checks, "numbers of the tables in the text"))
    aucs = [_paper().range("auc", row="ALARM", cohort=cohort) for cohort in COHORTS]
    ends = {end: _paper().text("auc", row="ALARM, range over cohorts", subgroup=end) for end in ("lowest", "highest")}
    least, greatest = (pick(aucs, key=lambda one: one.middle).text for pick in (min, max))
    ledger.enter(
        "Discussion, sentence 2",
        repeated_numbers.together(
            [
                repeated_numbers.printed_alike(
                    "lowest AUC", [("Results", (least,)), ("Discussion", (ends["lowest"],))]
                ),
                repeated_numbers.printed_alike(
                    "highest AUC", [("Results", (greatest,)), ("Discussion", (ends["highest"],))]
                ),
            ],
            "range of the AUCs",
        ),
    )
    threshold = _paper().range("p-value", row="significance threshold").middle
    groups = _paper().range("p-value", row="three groups")
    if significance.significant_at(groups, threshold):
        ledger.agrees(significance.CHECK, "Results, Risk stratification", "claimed significance below the threshold")
