"""ALARM: what the paper is, as data, and the arithmetic on it that no general check does.

Numbers come from the transcription alone; what a finding means stands in ``data/published/findings.yaml``.
"""

from __future__ import annotations

import itertools
from math import log10

from hccbook import scores
from hccbook.audit import auc, counts, derived_scores, intervals, methods, p_values, quantiles, significance
from hccbook.audit.audited_paper import AmapRows, AuditedPaper, check_amap, mean_amap
from hccbook.audit.characteristics import Characteristics, Design, check_all, contingency, group_name
from hccbook.audit.findings import CERTAIN, ROUNDING, CheckResult
from hccbook.audit.formulas import same_values
from hccbook.audit.ledger import Ledger
from hccbook.audit.lookup import Transcription
from hccbook.audit.means_against_parts import mean_of_rest
from hccbook.audit.performance import printed_intervals, printed_limits
from hccbook.audit.printed import Range, counts_that_print_as, printed_range, total, whole_number
from hccbook.audit.ranges import possible_albi, within_possible
from hccbook.audit.repeated_numbers import printed_alike, repeated_in_text
from hccbook.audit.two_by_two import PerformanceRow, TwoByTwo

PAPER = "alarm"
COHORTS = ("discovery", "internal_validation", "external_validation")
OUTCOMES = ("non-HCC", "HCC")
LOWER, UPPER = "cut-off 0.21", "cut-off 0.65"
"""The two cut-offs as the transcription of Table 2 names them."""

RISK_GROUPS = ("high-risk", "medium-risk", "low-risk")
FLAGGED = "high-risk and medium-risk"
STAGES = ("0", "A", "B", "C", "D")
ENDS = ("lowest", "highest")
LEAD_TIMES = ("less than 6 months", "between 6 and 9 months", "between 9 and 12 months")

SEX, ALBI = "Sex (Male), n (%)", "ALBI score"
AMAP = AmapRows("aMAP HCC score", "Age, years", SEX, "Total bilirubin, μmol/L", "Albumin, g/L", "Platelet, ×10³/mm³")
"""Rows of Table 1."""

MISPRINTED_MEN = ("internal_validation", "HCC")
"""Column of Table 1 whose number of men is a misprint: all are men, as its p-value and the sum over cohorts say."""

ALBI_TERMS = ("logarithm of total bilirubin, within ALBI", "albumin, within ALBI")
AMAP_TERMS = ("age", "sex", "ALBI", "platelets", "constant", "divisor", "factor")
TYPICAL_PATIENTS = ((50, 1, 17.1, 40, 150), (30, 0, 10, 45, 250), (65, 1, 34.2, 32, 80))
"""Age, male, bilirubin, albumin and platelets of people to try the printed formula of aMAP on."""

SUB_BANDS = {
    "HLL": "High Level Features",
    "HHH": "High-Order Histogram of Homogeneous",
    "HLH": "Histogram of Local Homogeneity",
}
"""Expansions that the caption of Fig. 2 prints, sentence 7; words, so they are not among the transcribed numbers."""

PATIENTS = "Results, Patient characteristics"
STRATIFICATION = "Summary, sentence 7; Results, Risk stratification, sentence 2"
VALIDATION = "Summary, sentence 6; Results, Construction and validation, sentence 6"
LEAD_TIME = "Results, Risk stratification, sentence 3; Results, Patient characteristics, sentence 4"
SIGNATURES = "Results, Image signature analysis"


def read() -> AuditedPaper:
    """The paper with Tables 1 and 2 taken apart; the people of Table 2 are those of Table 1."""
    paper = Transcription.named(PAPER)
    table = paper.table("Table 1")
    header = table[table["row"] == "header"]
    design = Design(
        sizes={(one.cohort, one.subgroup): whole_number(one.value) for one in header.itertuples() if one.subgroup},
        pooled={("all", outcome): tuple((cohort, outcome) for cohort in COHORTS) for outcome in OUTCOMES},
        contrasts={cohort: tuple((cohort, outcome) for outcome in OUTCOMES) for cohort in ("all", *COHORTS)},
    )
    performance = {}
    for (cohort, cutoff), cells in paper.table("Table 2").groupby(["cohort", "subgroup"], sort=False):
        others, events = (design.sizes[cohort, outcome] for outcome in OUTCOMES)
        measures = {one.quantity: printed_range(one.value) for one in cells.itertuples()}
        name = f"{cohort.replace('_', ' ')}, {cutoff}"
        performance[cohort, cutoff] = PerformanceRow(name, others + events, events, measures)
    return AuditedPaper.of(paper, Characteristics.of(table[table["row"] != "header"], design), performance)


def _table_1(ledger: Ledger, paper: AuditedPaper) -> None:
    table = paper.characteristics
    ledger.record("Table 1", *check_all(table))
    size, women = table.design.sizes[MISPRINTED_MEN], mean_amap(table, AMAP, MISPRINTED_MEN, 0)
    without_hcc = contingency(table, SEX, [("internal_validation", "non-HCC")])[0]
    p = p_values.count_p_values([without_hcc, [size, 0]])[p_values.YATES]
    ledger.explain("male-internal", size=size, everybody=100.0, p=p, women=women)
    ledger.explain("hbv-percentage")
    ledger.explain("glucose-copied")


def _albi(ledger: Ledger, paper: AuditedPaper) -> None:
    table, sizes = paper.characteristics, paper.characteristics.design.sizes
    printed, bilirubin, albumin = (table.quartiles[row] for row in (ALBI, AMAP.bilirubin, AMAP.albumin))
    possible = possible_albi()
    cells = {
        f"{ALBI}, {group_name(group)}, {name}": one
        for group, quartiles in printed.items()
        for name, one in zip(quantiles.LEVELS, quartiles, strict=True)
    }
    readings = {group: derived_scores.albi_readings(n, bilirubin[group], albumin[group]) for group, n in sizes.items()}
    results = [
        derived_scores.albi_from_inputs(f"{ALBI}, {group_name(group)}", printed[group], one)
        for group, one in readings.items()
    ]
    ledger.record("Table 1", within_possible(cells, possible, "ALBI"))
    ledger.record("Table 1", *results, what="ALBI against bilirubin and albumin")
    upper = printed["discovery", "HCC"][2]
    of_bilirubin, _ = paper.coefficients("aMAP formula", ALBI_TERMS)
    # Even without any albumin.
    ledger.explain("albi-impossible", upper=upper, possible=possible, exponent=upper.middle / of_bilirubin)
    groups = []
    for outcome in OUTCOMES:
        parts = table.people(ALBI, [(cohort, outcome) for cohort in COHORTS])
        groups.append(
            {
                "outcome": outcome,
                "medians": ", ".join(f"{n} at {quartiles[1]}" for n, quartiles in parts),
                "size": sizes["all", outcome],
                "bound": quantiles.pooled_at_most(parts, "median"),
                "median": printed["all", outcome][1],
                "readings": readings["all", outcome][1],
            }
        )
    ledger.explain("albi-all", without_hcc=groups[0], with_hcc=groups[1], groups=groups)
    ledger.explain("albi-external")


def _amap(ledger: Ledger, paper: AuditedPaper) -> None:
    table = paper.characteristics
    men = table.counts[SEX] | {MISPRINTED_MEN: table.design.sizes[MISPRINTED_MEN]}
    ledger.record("Table 1", check_amap(table, AMAP, men))
    of_bilirubin, of_albumin = paper.coefficients("aMAP formula", ALBI_TERMS)
    age, male, albi, platelets, constant, divisor, factor = paper.coefficients("aMAP formula", AMAP_TERMS)

    def as_printed(years: float, is_male: int, tbil: float, alb: float, plt: float) -> float:
        liver = of_bilirubin * log10(tbil) + of_albumin * alb
        return (age * years + male * is_male + albi * liver + platelets * plt + constant) / divisor * factor

    result = same_values("aMAP formula", as_printed, scores.amap, TYPICAL_PATIENTS, within=1e-9)
    ledger.record("Table 1, footnote, sentence 3", result)


def _table_2(ledger: Ledger, paper: AuditedPaper) -> None:
    ledger.record("Table 2", paper.recovery)
    ledger.explain("digits-cut")
    external = paper.performance["external_validation", LOWER]
    sensitivity, specificity = external.measures["sensitivity"], external.measures["specificity"]
    people = ((sensitivity, external.events, "with HCC"), (specificity, external.nonevents, "without"))
    impossible = [f"{size} {who}" for share, size, who in people if not counts_that_print_as(share, size)]
    shares = [{"sensitivity": sensitivity, "specificity": specificity, "people": " nor of ".join(impossible)}]
    ledger.explain("external-no-table", shares=shares if impossible else [])


def _intervals(ledger: Ledger, paper: AuditedPaper) -> None:
    table, row = paper.table("Table 2"), paper.performance["external_validation", LOWER]
    ledger.record("Table 2", intervals.estimates_inside(printed_limits(table), "estimate inside its own interval"))
    cells = table[(table["cohort"] == "external_validation") & (table["subgroup"] == LOWER)]
    limits = {measure: one[1:] for measure, one in printed_limits(cells, lambda one: one.quantity).items()}
    behind = intervals.tables_behind(limits, row.events, row.nonevents)
    detected, cases = paper.count("HCC count", row=FLAGGED), paper.count(row="HCC", cohort="all")
    share = detected / cases
    tables = [
        {"n": row.n, "table": one, "measures": ", ".join(f"{name} {one.value(name):.3f}" for name in limits)}
        for one in behind
    ]
    ledger.explain(
        "external-sensitivity-outside",
        tables=tables if len(tables) == 1 else [],
        all_cohorts=[share] if row.measures["sensitivity"].holds(share) else [],
    )
    with_table = printed_intervals(table, paper.recovered)
    ledger.record("Table 2", intervals.identify(with_table))
    way, reproduced = intervals.common_way(with_table)
    sensitivities = [one for one in with_table if one.measure == "sensitivity"]
    first, exact = sensitivities[0], sensitivities[0].table.value("sensitivity")
    wider = {
        measure: min(1 / intervals.width_ratio(one).high for one in with_table if one.measure == measure)
        for measure in ("sensitivity", "ppv")
    }
    events = [one.table.events for one in sensitivities]
    wilson = [intervals.METHODS["Wilson"](one.table.value(one.measure), one.table.events) for one in sensitivities]
    ledger.explain(
        "intervals-whole-cohort",
        [one.cell for one in with_table],
        number=len(with_table),
        reproduced=reproduced,
        way="no method" if way is None else f"{way[0]} on the {way[1]}",
        sensitivities=sensitivities,
        wilson=[(*limits, n) for limits, n in zip(wilson, events, strict=True)],
        first=first,
        share=exact,
        rest=1 - exact,
        deviate=1.96,
        on_whole=intervals.wald_interval(exact, first.table.n),
        on_cases=intervals.wald_interval(exact, first.table.events),
        wider=wider,
    )


def _risk_groups(ledger: Ledger, paper: AuditedPaper) -> None:
    sizes = {group: paper.count(row=group, cohort="all") for group in RISK_GROUPS}
    people, cases = (paper.count(row=row, cohort="all") for row in ("patients", "HCC"))
    detected, flagged = paper.count("HCC count", row=FLAGGED), paper.count(row=FLAGGED, cohort="all")
    high, medium, low = sizes.values()
    shares = [paper.share(size, people, row=group, cohort="all") for group, size in sizes.items()]
    shares += [
        paper.share(flagged, people, row=FLAGGED),
        paper.share(detected, cases, "percentage of HCC", row=FLAGGED),
    ]
    totals = {"all risk groups": (people, [high, medium, low]), "high- and medium-risk": (flagged, [high, medium])}
    ledger.record(
        STRATIFICATION,
        counts.percentages(shares, "risk groups: percentage against its count"),
        counts.sums(totals, "risk groups against their total"),
    )
    rates = {group: paper.range("incidence", "%", row=group) for group in RISK_GROUPS}
    groups = [{"rate": rates[group], "size": sizes[group], "hcc": rates[group] * sizes[group]} for group in RISK_GROUPS]
    fitting = [group for group in RISK_GROUPS if counts_that_print_as(rates[group], sizes[group])]
    at_most = total(one["hcc"] for one in groups[:2]).high
    ledger.expect(
        "incidence-no-count",
        set(RISK_GROUPS[:2]) <= set(fitting) and at_most >= detected,
        groups=[one for one in groups[:2] if not counts_that_print_as(one["rate"], one["size"])],
        at_most=at_most,
    )
    nearest = [round(rates[group].middle * size) for group, size in sizes.items()]
    outcomes = [[number, size - number] for number, size in zip(nearest, sizes.values(), strict=True)]
    p, stated = p_values.count_p_values(outcomes)[p_values.PEARSON], paper.range("p-value", row="three groups")
    what = "p-value of the three incidences, nearest whole numbers"
    ledger.record(
        STRATIFICATION,
        CheckResult(counts.CHECK, f"incidence is that of a whole number: {', '.join(fitting)}", len(fitting)),
        CheckResult.plain(p_values.CHECK, what, stated.holds(p), stated, p_values.p_text(p)),
    )


def _high_risk_size(ledger: Ledger, paper: AuditedPaper) -> None:
    """People at high risk by the text against those whom Table 2 flags."""
    size, upper = paper.count(row="high-risk", cohort="all"), paper.recovered_of([(one, UPPER) for one in COHORTS])
    if not upper:
        ledger.leave_out("high-risk-size")
        return
    flagged, true = sum(one.flagged for one in upper), sum(one.tp for one in upper)
    ledger.expect(
        "high-risk-size",
        flagged == size,
        upper=upper,
        flagged=flagged,
        true=true,
        share=100 * true / flagged,
        share_of_size=100 * true / size,
    )


def _flagged_size(ledger: Ledger, paper: AuditedPaper) -> None:
    """People flagged by the text, less those whom Table 2 flags elsewhere, against the external row."""
    lower = paper.recovered_of([(one, LOWER) for one in COHORTS[:2]])
    if not lower:
        ledger.leave_out("flagged-size")
        return
    row = paper.performance["external_validation", LOWER]
    detected, people = paper.count("HCC count", row=FLAGGED), paper.count(row=FLAGGED, cohort="all")
    tp = detected - sum(one.tp for one in lower)
    fp = people - sum(one.flagged for one in lower) - tp
    left = TwoByTwo(tp, fp, row.events - tp, row.nonevents - fp)
    wrong = [name for name, one in row.measures.items() if not one.holds(left.value(name))]
    ledger.expect(
        "flagged-size",
        not wrong,
        len(row.measures),
        stated=", ".join(f"{name} {row.measures[name]}" for name in wrong),
        recomputed=", ".join(f"{name} {left.value(name):.3f}" for name in wrong),
        lower=lower,
        left=left,
    )


def _auc(ledger: Ledger, paper: AuditedPaper) -> None:
    printed = {cohort: paper.interval("auc", row="ALARM", cohort=cohort) for cohort in COHORTS}
    inside = {f"AUC, {cohort}": limits for cohort, limits in printed.items()}
    ledger.record(VALIDATION, intervals.estimates_inside(inside, "AUC inside its interval"))
    sizes, recovered = paper.characteristics.design.sizes, paper.recovered
    for cohort, limits in printed.items():
        rows = [paper.performance[cohort, cutoff] for cutoff in (LOWER, UPPER) if (cohort, cutoff) in recovered]
        points = auc.auc_from_points([(row.measures["sensitivity"], row.measures["specificity"]) for row in rows])
        name, others, events = cohort.replace("_", " "), *(sizes[cohort, outcome] for outcome in OUTCOMES)
        what = f"width of the AUC's interval is possible: {name}"
        width = auc.check_width(f"width of the AUC's interval, {name}", limits, events, others, what)
        what = f"AUC is not below the middle of its interval: {name}"
        centre = auc.check_centre(f"centre of the AUC's interval, {name}", limits, events, others, what)
        ledger.record(VALIDATION, width, centre)
        what = f"AUC possible with the operating points of Table 2: {name}"
        ledger.record("Table 2", auc.check_possible(name, limits[0], points, what))
    others = sizes["discovery", "non-HCC"]
    balanced = auc.hanley_mcneil_se(printed["discovery"][0].middle, others, others)
    ledger.explain("auc-discovery-interval", others=others, balanced=balanced)
    estimate, lower, upper = printed["external_validation"]
    ledger.explain("auc-external-interval", above=upper - estimate, below=estimate - lower, centre=(lower + upper) / 2)


def _calibration(ledger: Ledger, paper: AuditedPaper) -> None:
    """Cases against those that calibrated probabilities promise: each person has at least that of the cut-off."""
    groups = []
    for group, threshold in (("high-risk", "upper threshold"), ("medium-risk", "lower threshold")):
        size, cutoff = paper.count(row=group, cohort="all"), float(paper.text("cut-off", row=threshold))
        rate = paper.range("incidence", "%", row=group)
        groups.append({"size": size, "cutoff": cutoff, "rate": rate, "expected": size * cutoff})
    holds, expected = all(one["rate"].high >= one["cutoff"] for one in groups), sum(one["expected"] for one in groups)
    ledger.expect("calibration", holds, len(groups), expected=expected, groups=groups)


def _lead_times(ledger: Ledger, paper: AuditedPaper) -> None:
    detected = paper.count("HCC count", row=FLAGGED)
    shares = [paper.range("percentage", "%", row=f"lead time {span}") for span in LEAD_TIMES]
    behind = [list(counts_that_print_as(share, detected)) for share in shares]
    fits = all(len(one) == 1 for one in behind) and sum(one[0] for one in behind) == detected
    printed, numbers = " + ".join(share.text for share in shares), ", ".join(str(*one) for one in behind)
    what = f"shares of lead times are {numbers if fits else 'whole numbers'} of {detected}"
    result, add_up = CheckResult.plain(counts.CHECK, what, fits, printed, behind), total(shares).holds(1)
    one = CheckResult.plain(counts.CHECK, "shares of lead times add up to one", add_up, printed, "100 %")
    ledger.record(LEAD_TIME, one)
    ledger.record(LEAD_TIME, *[result] * (len(shares) if fits else 1), what=what)


def _mean_lead_time(ledger: Ledger, paper: AuditedPaper) -> None:
    detected, mean = paper.count("HCC count", row=FLAGGED), paper.range("mean", row="lead time at the lower threshold")
    cases = [paper.characteristics.counts[f"HCC BCLC stage: {stage}"]["all", "HCC"] for stage in STAGES]
    means = [paper.range("mean", row=f"time from CT to HCC, BCLC stage {stage}") for stage in STAGES]
    by_stage = list(zip(cases, means, strict=True))
    ends = (paper.text("duration", row="window between CT and HCC diagnosis", subgroup=end) for end in ENDS)
    window, others = Range(*map(float, ends)), sum(cases) - detected
    rest = mean_of_rest(by_stage, detected, mean)
    at_face = (sum(n * one.middle for n, one in by_stage) - detected * mean.middle) / others
    ledger.expect(
        "lead-time",
        window.holds(at_face),
        others=others,
        rest=rest,
        at_face=at_face,
        stages=" + ".join(f"{n} x {one}" for n, one in by_stage),
        window=window,
        certainty=ROUNDING if rest.meets(window) else CERTAIN,
    )


def _cohorts(ledger: Ledger, paper: AuditedPaper) -> None:
    sizes, count = paper.characteristics.design.sizes, paper.count
    people = {cohort: count(row="patients", cohort=cohort) for cohort in ("all", *COHORTS)}
    precar, added = count(row="PreCar cohort"), count(row="outpatients and Search-B cohort")
    centers = count(row="centers", cohort="all", place=f"{PATIENTS}, sentence 1")
    totals = {
        f"{cohort}, with and without HCC": (n, [sizes[cohort, outcome] for outcome in OUTCOMES])
        for cohort, n in people.items()
    }
    totals |= {
        "cohorts": (people["all"], [people[cohort] for cohort in COHORTS]),
        "sources": (people["all"], [precar, added]),
        "cases of the sources": (sizes["all", "HCC"], [count("HCC count", row="PreCar cohort"), added]),
        "centers": (centers, [1, count(row="centers", cohort="external_validation")]),
        "LIRADS-3": (count(row="LIRADS-3 on the CT"), [count(row="LIRADS-3 on the CT, high-risk"), 1]),
    }
    primary = people["discovery"] + people["internal_validation"]
    shares = [paper.share(sizes[cohort, "HCC"], people[cohort], row="HCC", cohort=cohort) for cohort in COHORTS]
    for row, number in (("PreCar cohort", precar), ("outpatients and Search-B cohort", added)):
        shares.append(paper.share(number, people["all"], row=row))
    for cohort in COHORTS[:2]:
        shares.append(paper.share(people[cohort], primary, row="share of the primary cohort", cohort=cohort))
    ledger.record(
        f"{PATIENTS}, sentences 1 to 3",
        counts.sums(totals, "cohorts, sources and centres against their totals"),
        counts.percentages(shares, "cohorts and sources: percentage against its count"),
    )


def _features(ledger: Ledger, paper: AuditedPaper) -> None:
    one_phase, three = (paper.count(row=f"radiomics features of {some}") for some in ("one phase", "three phases"))
    phases = paper.count(row="phases", place=f"{SIGNATURES}, sentence 2")
    images, possible = methods.filtered_images(one_phase), methods.is_feature_count(one_phase)
    what = f"{one_phase} features are those of PyRadiomics for the image and {images} filtered ones, not listed"
    ledger.record(
        f"{SIGNATURES}, sentence 1",
        counts.sums({"radiomics features": (three, [one_phase] * phases)}, "features of all phases"),
        CheckResult.plain(methods.CHECK, what, possible, one_phase, "107 + 93 k"),
    )
    deep, width = paper.count(row="deep features of one phase"), methods.POOLED_WIDTH["ResNet-50"]
    channels = methods.POOLED_WIDTH["ResNet-18"]
    ledger.expect("pooling-width", deep == width, width=width, channels=channels, times=width // channels)
    wrong = {band: text for band, text in SUB_BANDS.items() if not methods.names_a_filter(band, text)}
    expansions = "; ".join(f"{band}: {text}" for band, text in wrong.items())
    meanings = "; ".join(f"{band}: {methods.wavelet_meaning(band)}" for band in wrong)
    ledger.expect("sub-bands", not wrong, len(SUB_BANDS), expansions=expansions, meanings=meanings)


def _repeated(ledger: Ledger, paper: AuditedPaper) -> None:
    ledger.record("text", repeated_in_text(paper.numbers))
    results = []
    for one in paper.table("Table 2").itertuples():
        where = {"row": one.row, "cohort": one.cohort, "subgroup": one.subgroup}
        results += paper.alike(", ".join(where.values()), where | {"place": "Table 2"}, where | {"column": ""})
    for cohort, (row, subgroup) in itertools.product(("all", *COHORTS), (("patients", ""), ("HCC", "HCC"))):
        where = {"cohort": cohort, "quantity": "count"}
        first = {"place": "Table 1", "row": "header", "subgroup": subgroup}
        results += paper.alike(f"{row}, {cohort}", where | first, where | {"row": row, "column": ""})
    ledger.record("tables and text", *results, what="numbers of the tables in the text")
    aucs = sorted((paper.range("auc", row="ALARM", cohort=cohort) for cohort in COHORTS), key=lambda one: one.middle)
    results = []
    for end, one in zip(ENDS, (aucs[0], aucs[-1]), strict=True):
        stated = paper.text("auc", row="ALARM, range over cohorts", subgroup=end)
        results.append(printed_alike(f"{end} AUC", [("Results", (one.text,)), ("Discussion", (stated,))]))
    ledger.record("Discussion, sentence 2", *results, what="range of the AUCs")
    threshold, stated = (paper.range("p-value", row=row) for row in ("significance threshold", "three groups"))
    holds, what = significance.significant_at(stated, threshold.middle), "claimed significance below the threshold"
    result = CheckResult.plain(significance.CHECK, what, bool(holds), stated, threshold)
    ledger.record("Results, Risk stratification", result)


_TABLES = (_table_1, _albi, _amap, _table_2, _intervals)
_GROUPS = (_risk_groups, _high_risk_size, _flagged_size, _auc, _calibration, _lead_times, _mean_lead_time)
CHECKS = (*_TABLES, *_GROUPS, _cohorts, _features, _repeated)
"""Every check on ALARM."""
