"""The audit's checks on cases worked out by hand, or by an independent implementation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest, kruskal, mannwhitneyu

from hccbook import scores
from hccbook.audit import (
    auc,
    counts,
    derived_scores,
    expressions,
    hazard_ratios,
    horizons,
    intervals,
    methods,
    p_values,
    printed,
    quantiles,
    repeated_numbers,
    significance,
    two_by_two,
)
from hccbook.audit.printed import Range, printed_range
from hccbook.audit.two_by_two import PerformanceRow, TwoByTwo
from hccbook.errors import DataError
from hccbook.evaluation import auc_delong


def as_printed(*texts: str) -> tuple[Range, ...]:
    return tuple(printed_range(text) for text in texts)


# What was printed


@pytest.mark.parametrize(
    ("text", "unit", "low", "high"),
    [
        ("0.65", "", 0.645, 0.655),
        ("-2.6", "", -2.65, -2.55),
        ("1,254", "", 1253.5, 1254.5),
        ("7", "%", 0.065, 0.075),
        ("<0.001", "", -math.inf, 0.001),
        ("< 0.05", "", -math.inf, 0.05),
        (">0.1", "", 0.1, math.inf),
        ("≥18", "", 18, math.inf),
    ],
)
def test_printed_range(text, unit, low, high):
    """Half a unit of the last digit to each side; open behind an inequality sign."""
    found = printed_range(text, unit)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert str(found) == text


@pytest.mark.parametrize("text", ["n.a.", "/", "", "1-2", "two thirds"])
def test_no_number_is_refused(text):
    """What prints no number has no range."""
    assert not printed.is_number(text)
    with pytest.raises(DataError, match="must be a number"):
        printed_range(text)


def test_arithmetic_on_ranges():
    """Sums, products and quotients reach from the least to the greatest that they can be."""
    a, b = Range(1, 2), Range(-3, 4)
    assert a + b == Range(-2, 6)
    assert a - b == Range(-3, 5)
    assert a * b == Range(-6, 8)
    assert b / a == Range(-3, 4)
    assert a / 2 == Range(0.5, 1)
    assert printed.total([a, b, 1]) == Range(-1, 7)
    assert (a.meets(b), a.gap(Range(5, 6)), a.gap(b)) == (True, 3, 0)
    with pytest.raises(DataError, match="must not reach 0"):
        a / b
    with pytest.raises(DataError, match="must not end before"):
        Range(2, 1)


def test_whole_numbers_and_words():
    """Counts are exact; papers spell small ones."""
    assert [printed.whole_number(text) for text in ("1,254", "0", "three", "triple")] == [1254, 0, 3, 3]
    with pytest.raises(DataError, match="whole number"):
        printed.whole_number("3.5")


@pytest.mark.parametrize(
    ("text", "total", "expected"), [("0.944", 31, []), ("0.968", 31, [30]), ("0.5", 4, [2]), ("0", 9, range(5))]
)
def test_counts_that_print_as(text, total, expected):
    """29/31 is 0.935 and 30/31 is 0.968; up to 4/9 rounds to 0."""
    assert list(printed.counts_that_print_as(printed_range(text), total)) == list(expected)


def test_cut_digits():
    """0.8899 prints as 0.889 when the digit is cut, as 0.890 when it is rounded."""
    cut = printed.cut_or_rounded(printed_range("0.889"))
    assert cut.holds(0.8899)
    assert not printed_range("0.889").holds(0.8899)
    assert not cut.holds(0.8884)


# Counts


def test_percentages():
    """1 of 3 is 33.3 %; a half may go either way; 541 of 672 is 80.5 %."""
    cells = [("a", 1, 3, "33.3"), ("b", 1, 8, "12.5"), ("c", 1, 8, "13"), ("d", 1, 8, "12"), ("e", 541, 672, "80.8")]
    checked = counts.percentages(
        counts.PrintedShare(cell, k, n, printed_range(text, "%")) for cell, k, n, text in cells
    )
    assert (checked.cells, [one.cell for one in checked.discrepancies]) == (5, ["e"])
    assert "80.506" in checked.discrepancies[0].arithmetic


def test_sums():
    """4 + 5 is not 10."""
    checked = counts.sums({"good": (9, [4, 5]), "bad": (10, [4, 5])})
    assert [one.arithmetic for one in checked.discrepancies] == ["4 + 5 = 9, not 10"]


def test_shares_sum_to_one():
    """33.3 + 32.1 + 34.5 = 99.9 is rounding; 33.3 + 32.1 + 34.1 is not."""
    good, bad = (
        tuple(printed_range(one, "%") for one in texts)
        for texts in (("33.3", "32.1", "34.5"), ("33.3", "32.1", "34.1"))
    )
    assert printed.total(good).holds(1)
    assert not printed.total(bad).holds(1)


@pytest.mark.parametrize(
    ("count", "total", "text", "expected"), [(6, 293, "2.1", True), (6, 293, "2.0", False), (541, 672, "80.8", False)]
)
def test_rounded_twice(count, total, text, expected):
    """2.0478 is 2.0; by way of 2.05 it becomes 2.1."""
    assert counts.rounded_twice(counts.PrintedShare("", count, total, printed_range(text, "%"))) is expected


# 2x2 tables


def test_compatible_tables_of_a_small_case():
    """Of 3 with and 4 without, only TP 2 and TN 3 print 0.67 and 0.75; without the sizes more tables do."""
    measures = {"sensitivity": printed_range("0.67"), "specificity": printed_range("0.75")}
    sizes = itertools.product(range(1, 7), [4, 8])
    found = {(events, others): two_by_two.compatible_tables(measures, events, others) for events, others in sizes}
    assert {size: tables for size, tables in found.items() if tables} == {
        (3, 4): [TwoByTwo(2, 1, 1, 3)],
        (3, 8): [TwoByTwo(2, 2, 1, 6)],
        (6, 4): [TwoByTwo(4, 1, 2, 3)],
        (6, 8): [TwoByTwo(4, 2, 2, 6)],
    }


def test_search_against_a_loop():
    """The same tables as a loop over all of them, for measures of a random table."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        events, others = rng.integers(1, 9), rng.integers(1, 30)
        true = TwoByTwo(
            tp := int(rng.integers(0, events + 1)),
            fp := int(rng.integers(0, others + 1)),
            int(events) - tp,
            int(others) - fp,
        )
        texts = {name: f"{true.value(name):.2f}" for name in two_by_two.MEASURES[:5] if true.counts(name)[1]}
        found = two_by_two.compatible_tables(
            {name: printed_range(text) for name, text in texts.items()}, int(events), int(others)
        )
        expected = []
        for a, b in itertools.product(range(events + 1), range(others + 1)):
            table = TwoByTwo(a, int(others) - b, int(events) - a, b)
            values = {name: table.value(name) for name in texts}
            if all(abs(values[name] - float(text)) <= 0.005 + 1e-9 for name, text in texts.items()):
                expected.append(table)
        assert found == expected
        assert true in found


def test_undefined_measures():
    """F1 of no true positive is 0/0 as a harmonic mean; a printed n.a. of PPV needs nobody flagged."""
    measures = {"sensitivity": printed_range("0.000"), "f1": None, "specificity": printed_range("0.989")}
    assert two_by_two.compatible_tables(measures, 5, 175) == [TwoByTwo(0, 2, 5, 173)]
    assert two_by_two.compatible_tables({"ppv": None}, 1, 2) == [TwoByTwo(0, 0, 1, 2)]
    with pytest.raises(DataError, match="measures"):
        two_by_two.compatible_tables({"youden": printed_range("0.5")}, 1, 2)
    with pytest.raises(DataError, match="0 or more"):
        two_by_two.compatible_tables({}, -1, 2)


def row(name: str, n: int, events: int, **texts: str) -> PerformanceRow:
    return PerformanceRow(name, n, events, {key: printed_range(text) for key, text in texts.items()})


def test_recover_partition_and_nearby():
    """Subgroups must add up; a row that fits nobody may fit a group of one more."""
    whole = row("whole", 10, 4, sensitivity="0.75", specificity="0.83")
    men = row("men", 6, 2, sensitivity="1.00", specificity="0.75")
    women = row("women", 4, 2, sensitivity="0.50", specificity="1.00")
    tables = {one.name: two_by_two.fitting_tables(one) for one in (whole, men, women)}
    assert not two_by_two.recover({one.name: (one, tables[one.name]) for one in (whole, men, women)}).discrepancies
    assert tables["whole"] == [TwoByTwo(3, 1, 1, 5)]
    good = two_by_two.partitions(whole, {"sex": [men, women]}, tables)
    assert (good.cells, good.discrepancies) == (6, ())
    fewer = women._replace(n=5)
    bad = two_by_two.partitions(whole, {"sex": [men, fewer]}, tables)
    assert [one.cell for one in bad.discrepancies] == ["whole, sex, n"]
    odd = row("odd", 9, 2, sensitivity="0.67", specificity="0.83")
    wrong = two_by_two.recover({"odd": (odd, two_by_two.fitting_tables(odd))}).discrepancies[0]
    assert wrong.recomputed == "n 9, events 3: TP 2, FP 1, FN 1, TN 5"
    assert "0.67 is a share of no whole number of 2" in wrong.arithmetic
    assert two_by_two.nearby_sizes(odd) == {(9, 3): [TwoByTwo(2, 1, 1, 5)]}


# Intervals


@pytest.mark.parametrize(("count", "total"), [(0, 12), (1, 29), (19, 24), (24, 24), (81, 263)])
def test_methods_of_scipy(count, total):
    """Wilson, with continuity correction too, and Clopper-Pearson as scipy has them; Wald by its formula."""
    share = count / total
    corrected = ("Wilson with continuity correction", "wilsoncc")
    for name, method in (("Wilson", "wilson"), ("Clopper-Pearson", "exact"), corrected):
        expected = binomtest(count, total).proportion_ci(method=method)
        assert intervals.METHODS[name](share, total) == pytest.approx((expected.low, expected.high), abs=1e-9)
    half = 1.959964 * math.sqrt(share * (1 - share) / total)
    assert intervals.wald_interval(share, total) == pytest.approx((share - half, share + half), abs=1e-6)


def interval(measure: str, table: TwoByTwo, lower: str, upper: str) -> intervals.PrintedInterval:
    texts = (f"{table.value(measure):.3f}", lower, upper)
    return intervals.PrintedInterval(measure, measure, *as_printed(*texts), table)


def test_which_denominator():
    """42 of 45 with the 924 of the whole cohort: 0.933 ± 1.96 √(0.0622 / 924) is 0.917 to 0.949."""
    table = TwoByTwo(42, 289, 3, 590)
    whole = interval("sensitivity", table, "0.917", "0.949")
    assert intervals.ways_to_reproduce(whole) == [("Wald", "whole cohort")]
    own = interval("sensitivity", table, "0.821", "0.977")
    assert intervals.ways_to_reproduce(own) == [("Wilson", "own denominator"), ("Wilson", "events")]
    assert intervals.common_way([whole]) == (("Wald", "whole cohort"), 1)
    assert intervals.common_way([interval("sensitivity", table, "0.1", "0.2")]) == (None, 0)
    flagged = interval("ppv", table, "0.105", "0.148")
    assert intervals.ways_to_reproduce(flagged) == [("Wald", "whole cohort")]


def test_oversampled_cohort_as_denominator():
    """Balanced to 879 and 879: 0.6 ± 1.96 √(0.24 / 1758) is 0.577 to 0.623."""
    found = intervals.ways_to_reproduce(interval("sensitivity", TwoByTwo(27, 89, 18, 790), "0.577", "0.623"))
    assert ("Wald", intervals.AUGMENTED) in found


def test_limits_beyond_one():
    """A limit above 1 prints as 1.000, or as 0.999."""
    lower = printed_range("0.983")
    assert intervals.reproduces((0.983, 1.004), lower, printed_range("0.999"))
    assert intervals.reproduces((0.983, 1.004), lower, printed_range("1.000"))
    assert not intervals.reproduces((0.983, 1.004), lower, printed_range("0.990"))


def test_identify_names_the_odd_one():
    """Two Wilson intervals and one on the whole cohort: the third is reported, with what it is."""
    table = TwoByTwo(19, 166, 5, 619)
    limits = {
        name: tuple(f"{end:.3f}" for end in binomtest(*table.counts(name)).proportion_ci(method="wilson"))
        for name in ("specificity", "npv")
    }
    checked = intervals.identify(
        [interval(name, table, *ends) for name, ends in limits.items()]
        + [interval("sensitivity", table, "0.764", "0.820")]
    )
    assert [one.cell for one in checked.discrepancies] == ["sensitivity"]
    assert "Wald on whole cohort (809)" in checked.discrepancies[0].arithmetic


def test_estimate_outside():
    """0.944 is below 0.955 to 0.981; 0.955 is not, by rounding."""
    checked = intervals.estimates_inside(
        {"bad": as_printed("0.944", "0.955", "0.981"), "edge": as_printed("0.955", "0.955", "0.981")}, ""
    )
    assert [one.cell for one in checked.discrepancies] == ["bad"]


def test_implied_denominator_and_width():
    """0.5 ± 0.098 is Wald on 100; a width half of every method's has a ratio of about a half."""
    n = intervals.implied_denominator(*as_printed("0.500", "0.402", "0.598"))
    assert n.holds(100)
    assert n.width < 3
    table = TwoByTwo(50, 0, 50, 0)
    ratio = intervals.width_ratio(interval("sensitivity", table, "0.451", "0.549"))
    assert 0.45 < ratio.low < ratio.high < 0.53
    with pytest.raises(DataError, match="width"):
        intervals.implied_denominator(*as_printed("0.5", "0.5", "0.5"))


def test_tables_behind_intervals():
    """The four limits of ALARM's external row are Wald's on 703 for one table alone."""
    texts = {"sensitivity": ("0.955", "0.981"), "specificity": ("0.662", "0.730"), "ppv": ("0.103", "0.153")}
    limits = {name: as_printed(*ends) for name, ends in texts.items()}
    assert intervals.tables_behind(limits, 31, 672) == [TwoByTwo(30, 204, 1, 468)]


# AUC


def test_hanley_mcneil_by_hand():
    """A = 0.893 of 51 and 58: Q1 0.80669, Q2 0.84252, √[(0.09555 + 0.46205 + 2.56929) / 2958] = 0.03251."""
    assert auc.hanley_mcneil_se(0.893, 51, 58) == pytest.approx(0.03251, abs=1e-5)
    assert auc.hanley_mcneil_se(0.107, 51, 58) == auc.hanley_mcneil_se(0.893, 51, 58)


def test_least_se_is_a_bound():
    """No simulated score has a smaller DeLong error; the one that spreads events evenly over m/n comes near."""
    rng = np.random.default_rng(5)
    m, n = 20, 400
    y = np.repeat([1, 0], [m, n])
    for shift, spread in itertools.product((0.3, 1.0, 2.5), (0.05, 0.3, 1.0, 3.0)):
        score = np.concatenate([rng.normal(shift, spread, m), rng.normal(0, 1, n)])
        found = auc_delong(y, score)
        if 0.02 < found.auc < 0.98:
            assert math.sqrt(found.variance) > 0.97 * auc.least_auc_se(found.auc, m, n)
    others = (np.arange(n) + 0.5) / n
    packed = 0.9 + (m / n) * ((np.arange(m) + 0.5) / m - 0.5)
    best = auc_delong(y, np.concatenate([packed + 1e-7, others]))
    assert math.sqrt(best.variance) == pytest.approx(auc.least_auc_se(best.auc, m, n), rel=0.05)


def test_auc_from_points():
    """Through (0.1, 0.8) the least area is 0.72 and the greatest 0.98; two points narrow it."""
    one = auc.auc_from_points([(Range(0.8, 0.8), Range(0.9, 0.9))])
    assert (one.low, one.high) == pytest.approx((0.72, 0.98))
    two = auc.auc_from_points([(Range(0.8, 0.8), Range(0.9, 0.9)), (Range(0.9, 0.9), Range(0.5, 0.5))])
    assert (two.low, two.high) == pytest.approx((0.4 * 0.8 + 0.5 * 0.9, 0.1 * 0.8 + 0.4 * 0.9 + 0.5))


def test_auc_from_groups_and_strata():
    """Groups of 1 and 2 cases among 3 and 1 others decide 6 of 12 pairs; strata leave pairs across them open."""
    bounds = auc.auc_from_groups([1, 2], [3, 1])
    assert (bounds.low, bounds.high) == pytest.approx((6 / 12, (6 + 3 + 2) / 12))
    strata = auc.auc_from_strata([(1, 1, Range(1, 1)), (1, 1, Range(0, 0))])
    assert (strata.low, strata.high) == pytest.approx((0.25, 0.75))
    with pytest.raises(DataError, match="groups"):
        auc.auc_from_groups([1], [2, 3])


@pytest.mark.parametrize(
    ("text", "events", "others", "expected"), [("0.352", 1, 88, True), ("0.933", 1, 15, True), ("0.940", 1, 15, False)]
)
def test_auc_grid(text, events, others, expected):
    """One case among 15 others wins 14, 14.5 or 15 pairs: 0.933, 0.967 or 1."""
    assert auc.auc_on_grid(printed_range(text), events, others) is expected


# p-values


def test_count_p_values():
    """Fisher's tea: 3 of 4 against 1 of 4 is 0.486; Pearson's chi-square of it is 2, with Yates' correction 0.5."""
    found = p_values.count_p_values([[3, 1], [1, 3]])
    assert found[p_values.FISHER] == pytest.approx(0.4857, abs=1e-4)
    assert found[p_values.PEARSON] == pytest.approx(math.erfc(1), abs=1e-9)
    assert found[p_values.YATES] == pytest.approx(math.erfc(0.5), abs=1e-9)
    assert set(p_values.count_p_values([[3, 1, 2], [1, 3, 2]])) == {p_values.PEARSON}
    with pytest.raises(DataError, match="two groups"):
        p_values.count_p_values([[3, 0], [4, 0]])


def test_p_from_counts():
    """ALARM's sexes in the discovery cohort: 0.314 is Yates' correction and nothing else."""
    people = [[742, 137], [41, 4]]
    reproducing = {name for name, p in p_values.count_p_values(people).items() if printed_range("0.314").holds(p)}
    assert reproducing == {p_values.YATES}
    assert not p_values.from_counts("sex", printed_range("0.314"), people).discrepancies
    assert p_values.from_counts("sex", printed_range("0.014"), people).discrepancies
    assert p_values.from_counts("sex", printed_range("0.314"), people, [p_values.PEARSON]).discrepancies
    assert p_values.commonest_test([(printed_range("0.314"), people)]) == p_values.YATES
    assert p_values.commonest_test([(printed_range("0.9"), people)]) is None


def test_superiority_bounds():
    """Groups whose quartiles do not meet: at least 9 of 16 pairs of quarters are decided."""
    low, high = as_printed("1", "2", "3"), as_printed("11", "12", "13")
    bounds = p_values.superiority_bounds(low, high)
    assert (bounds.low, bounds.high) == (9 / 16, 1.0)
    same = p_values.superiority_bounds(low, low)
    assert same.low < 0.5 < same.high


def simulated(rng: np.random.Generator, n: int, shift: float) -> tuple[np.ndarray, tuple[Range, Range, Range]]:
    values = rng.gamma(3.0, 1.0, n) + shift
    return values, as_printed(*(f"{one:.2f}" for one in np.quantile(values, (0.25, 0.5, 0.75))))


def test_readings_hold_the_truth():
    """z of the ranks of skewed samples lies within half a standard error of the readings of their quartiles."""
    rng = np.random.default_rng(8)
    for shift in (0.0, 0.3, 0.8):
        (one, first), (two, second) = simulated(rng, 300, 0.0), simulated(rng, 60, shift)
        statistic = mannwhitneyu(two, one).statistic / (300 * 60)
        z = (statistic - 0.5) / math.sqrt(361 / (12 * 300 * 60))
        readings = p_values.mann_whitney_readings((300, first), (60, second))
        assert readings.gap(Range(z, z)) < 0.5


def test_kruskal_wallis_readings_and_bound():
    """The true p of three samples is near the readings, and never above the bound."""
    rng = np.random.default_rng(9)
    for shift in (0.0, 0.4, 6.0):
        samples = [simulated(rng, 200, 0.0), simulated(rng, 100, 0.0), simulated(rng, 300, shift)]
        p = max(kruskal(*(values for values, _ in samples)).pvalue, 1e-290)
        groups = [(len(values), quartiles) for values, quartiles in samples]
        assert p <= p_values.greatest_kruskal_wallis_p(groups) + 1e-12
        z = p_values.deviate_of(p)
        assert p_values.kruskal_wallis_readings(groups).gap(Range(z, z)) < max(0.8, 0.15 * z)
    assert p_values.greatest_kruskal_wallis_p([(10 * n, quartiles) for n, quartiles in groups]) < 0.01


def test_quartile_discrepancy():
    """A gap below one standard error is no finding; one beyond is, and an open <0.001 is read as such."""
    readings = Range(2.0, 3.0)
    assert p_values.quartile_discrepancy("x", printed_range("0.130"), readings, "") is None
    assert p_values.quartile_discrepancy("x", printed_range("0.998"), readings, "a against b").printed == "p 0.998"
    assert p_values.quartile_discrepancy("x", printed_range("<0.001"), readings, "") is None
    assert p_values.quartile_discrepancy("x", printed_range("<0.001"), Range(-0.5, 1.0), "") is not None


# Quantiles


def test_pooled_median_between_its_parts():
    """Medians of 10 and 20 cannot pool to 25, nor to 5."""
    parts = [(101, as_printed("9", "10", "11")), (101, as_printed("19", "20", "21"))]
    assert not quantiles.pooled_quantiles("x", parts, as_printed("10", "15", "20")).discrepancies
    high = quantiles.pooled_quantiles("x", parts, as_printed("10", "25", "26"))
    assert [one.cell for one in high.discrepancies] == ["x, median"]
    low = quantiles.pooled_quantiles("x", parts, as_printed("4", "5", "20"))
    assert [one.cell for one in low.discrepancies] == ["x, median"]


def test_pooled_quantiles_of_real_samples():
    """Quartiles of random samples and of their pool, by three definitions, never disagree."""
    rng = np.random.default_rng(2)
    for method in ("linear", "weibull", "hazen"):
        for _ in range(60):
            samples = [np.round(rng.normal(rng.normal(0, 1), 2, rng.integers(5, 40)), 1) for _ in range(3)]
            texts = [
                as_printed(*(f"{q:.1f}" for q in np.quantile(one, (0.25, 0.5, 0.75), method=method)))
                for one in [*samples, np.concatenate(samples)]
            ]
            parts = [(len(one), text) for one, text in zip(samples, texts[:3], strict=True)]
            assert not quantiles.pooled_quantiles("x", parts, texts[3]).discrepancies


@pytest.mark.parametrize(("n", "level", "expected"), [(879, 0.5, 440), (218, 0.5, 109), (45, 0.25, 11), (31, 0.75, 23)])
def test_fewest_at_or_below(n, level, expected):
    """Half of them, rounded up, for the median; a quarter, rounded down."""
    assert quantiles.fewest_at_or_below(n, level) == expected


def test_order_and_shares():
    """Quartiles rise; with 100 people and a median of 50, at least 50 are below 55 and at most 50 below 45."""
    assert quantiles.quartiles_rise("x", as_printed("3", "2", "4")).discrepancies
    assert not quantiles.quartiles_rise("x", as_printed("2", "2", "4")).discrepancies
    own = as_printed("40", "50", "60")
    assert not quantiles.share_against_quartiles("x", 100, own, 55, 62).discrepancies
    assert quantiles.share_against_quartiles("x", 100, own, 55, 40).discrepancies
    assert quantiles.share_against_quartiles("x", 100, own, 45, 60).discrepancies


# Derived scores, ranges

ALBI, AMAP = derived_scores.PUBLISHED["albi"], derived_scores.PUBLISHED["amap"]


def people(n: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    illness = rng.normal(size=n)
    return {
        "age": rng.normal(52, 10, n).clip(20, 90),
        "male": (rng.random(n) < 0.7).astype(int),
        "bilirubin": np.exp(rng.normal(2.9, 0.5, n) + 0.2 * illness).clip(3, 300),
        "albumin": (rng.normal(42, 4, n) - 2 * illness).clip(20, 55),
        "platelets": np.exp(rng.normal(4.7, 0.45, n)).clip(15, 500),
    }


def quartiles_of(values: np.ndarray, places: int = 1) -> tuple[Range, Range, Range]:
    return as_printed(*(f"{one:.{places}f}" for one in np.quantile(values, (0.25, 0.5, 0.75))))


@pytest.mark.parametrize("n", [31, 90, 600])
def test_scores_of_simulated_people_agree(n):
    """ALBI and aMAP worked out person by person agree with the readings of their inputs' quartiles."""
    for seed in range(6):
        found = people(n, seed)
        quarters = {name: quartiles_of(found[name]) for name in ("age", "bilirubin", "albumin", "platelets")}
        albi = quartiles_of(scores.albi(found["bilirubin"], found["albumin"]))
        readings = derived_scores.pair_readings(n, ALBI, quarters)
        assert not derived_scores.check_pair("x", albi, readings).discrepancies
        male = float(found["male"].mean())
        amap = quartiles_of(scores.amap(**found))
        mean = derived_scores.mean_of(AMAP, quarters | {"male": Range(male, male)})
        assert not derived_scores.check_mean("x", n, amap, mean).discrepancies


def test_wrong_scores_are_found():
    """ALBI of other units and aMAP with everybody a man are reported."""
    found = people(600, 1)
    quarters = {name: quartiles_of(found[name]) for name in ("age", "bilirubin", "albumin", "platelets")}
    readings = derived_scores.pair_readings(600, ALBI, quarters)
    shifted = quartiles_of(scores.albi(found["bilirubin"], found["albumin"]) + 0.4)
    assert derived_scores.check_pair("x", shifted, readings).discrepancies
    mean = derived_scores.mean_of(AMAP, quarters | {"male": Range(0.7, 0.7)})
    men = quartiles_of(scores.amap(**(found | {"male": np.ones(600, int)})))
    assert derived_scores.check_mean("x", 600, men, mean).discrepancies


def test_formulas_are_the_published_scores():
    """The audit's sums of terms give what the package's own ALBI and aMAP give, person by person."""
    found = people(40, 3)
    for name, score in (("albi", ALBI), ("amap", AMAP)):
        value = score.constant + sum(term.of(found[one].astype(float)) for one, term in score.terms.items())
        inputs = found if name == "amap" else {one: found[one] for one in ("bilirubin", "albumin")}
        assert value == pytest.approx(getattr(scores, name)(**inputs))


def test_possible_albi():
    """From 0 - 5.95 to 1.98 - 0.85; 11.9 is outside, -2.6 inside."""
    possible = ALBI.possible()
    assert (possible.low, possible.high) == pytest.approx((-5.95, 1.13))
    checked = derived_scores.within_possible(
        {"good": printed_range("-2.6"), "bad": printed_range("11.9")}, possible, "ALBI"
    )
    assert [one.cell for one in checked.discrepancies] == ["bad"]


# Numbers in two places, formulas, horizons, means, calibration, hazard ratios


def test_printed_alike():
    """7 and 7.0 agree, 7.1 and 7.0 do not; a word and its digit agree; limits are compared where both have them."""

    def wrong(*texts: tuple[str, ...]) -> int:
        return len(
            repeated_numbers.printed_alike("x", [(f"place {i}", one) for i, one in enumerate(texts)]).discrepancies
        )

    assert wrong(("7",), ("7.0",), ("7.00",)) == 0
    assert wrong(("7.0",), ("7.1",)) == 1
    assert wrong(("three",), ("3",)) == 0
    assert wrong(("0.8", "0.7", "0.9"), ("0.8", "", ""), ("0.8", "0.6", "0.9")) == 1
    assert wrong(("< 0.001",), ("<0.01",)) == 0
    assert wrong(("June 2018",), ("July 2018",)) == 1
    assert wrong(("June 2018",), ("2018",)) == 0
    assert wrong(("2019",), ("June 2018",)) == 1


def test_swapped_and_copied():
    """Exchanged values are told from others; two cells with the same three numbers are reported."""
    assert repeated_numbers.swapped({"a": "1", "b": "2", "c": "3"}, {"a": "2", "b": "1", "c": "4"}) == [("a", "b")]
    texts = {"urea": ("3.8", "4.5", "5.4"), "glucose": ("3.8", "4.5", "5.4"), "afp": ("1", "2", "3")}
    cells = [(name, as_printed(*three)) for name, three in texts.items()]
    checked = repeated_numbers.copied_cells(list(itertools.pairwise(cells)))
    assert [one.cell for one in checked.discrepancies] == ["glucose"]


def quoted(value: str, quantity: str = "mean", unit: str = "", **limits: str) -> expressions.Quoted:
    return expressions.Quoted("Table 9", quantity, unit, value, **limits)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b == 5.4", True),  # 2 is 1.5 to 2.5, 3.0 is 2.95 to 3.05
        ("a + b == 5.6", False),
        ("n * share == 3", True),  # 30 of exactly 10 people are 2.95 to 3.05
        ("n * share == 4", False),
        ("n == 10 and not n == 10.4", True),  # a count is exact
        ("a <= 1.5 and a >= 2.5", True),
        ("a < 1.5", False),
        ("q.upper > 8", True),
        ("prints(share, n)", True),
        ("prints(share, 7)", False),
        ("least(a, b) <= 1.5 or n == 11", True),
        ("-log10(n) == 0 - 1", True),
    ],
)
def test_expressions(text, expected):
    """A comparison holds unless no value behind the print can make it hold."""
    names = {"a": quoted("2"), "b": quoted("3.0"), "n": quoted("10", "count"), "share": quoted("30", "percentage")}
    names["q"] = quoted("5", "median", lower="4", upper="8")
    assert expressions.evaluate(text, names, "here") is expected


def test_expression_at_face_value():
    """2 + 3.0 may be 5.4 but is 5 as it stands."""
    names = {"a": quoted("2"), "b": quoted("3.0")}
    assert expressions.evaluate("a + b == 5.4", names, "here") is True
    assert expressions.evaluate("a + b == 5.4", names, "here", at_face=True) is False


NO_EXPRESSIONS = ("a +", "c + 1", "__import__('os')", "[a for a in b]", "a.value.__class__", "a.__class__", "a / 0")


@pytest.mark.parametrize("text", NO_EXPRESSIONS)
def test_no_expression(text):
    """What is not arithmetic on known names is refused, and nothing of Python is within reach."""
    with pytest.raises(DataError, match="must be arithmetic on known names"):
        expressions.evaluate(text, {"a": quoted("2")}, "here")


def test_yearly_risk():
    """19 % in two years is 10 % a year by risk, 10.5 per hundred person-years, 9.5 % by division."""
    yearly = horizons.yearly_risk(Range(0.19, 0.19), 2)
    assert {name: one.middle for name, one in yearly.items()} == pytest.approx(
        {"risk": 0.1, "rate": 0.105361, "share": 0.095}, abs=1e-5
    )
    high = printed_range("27.2", "%")
    assert not horizons.check_yearly(printed_range("13.2", "%"), high, 3, "three years").discrepancies
    assert horizons.check_yearly(printed_range("28.0", "%"), high, 3, "three years").discrepancies


def test_share_of_high():
    """3 % of all, 21 % and 1 % of the groups: a tenth is at high risk."""
    exact = (Range(value, value) for value in (0.03, 0.21, 0.01))
    assert horizons.share_of_high(*exact).middle == pytest.approx(0.1)


def test_hazard_ratio_events():
    """1.0 (0.5 to 2.0) has SE 0.354 and needs 32 events; 50 of 100 events each give SE 0.2."""
    error = hazard_ratios.log_hazard_se(Range(0.5, 0.5), Range(2, 2))
    assert error.middle == pytest.approx(math.log(4) / 3.919928)
    assert hazard_ratios.least_events(error) == pytest.approx(4 / (math.log(4) / 3.919928) ** 2)
    assert hazard_ratios.expected_se(0.5, 100) == pytest.approx(0.2)
    assert hazard_ratios.share_of_events(9, 10, 90) == pytest.approx(0.5)


# Methods, significance


def test_feature_counts():
    """1,223 = 107 + 12 x 93 and 851 = 107 + 8 x 93; no choice of whole classes gives 852."""
    assert methods.filtered_images(1223) == 12
    assert methods.filtered_images(851) == 8
    assert methods.filtered_images(852) is None
    assert not methods.is_feature_count(852)
    # Nine images of 93 features and the shape; the first-order features of one image.
    assert methods.is_feature_count(9 * 93 + 14) and methods.is_feature_count(18)


def test_pooled_widths_of_the_networks():
    """The book's own networks pool to these widths."""
    from hccbook.features.deep import WIDTHS

    assert sorted(methods.POOLED_WIDTH.values()) == [WIDTHS["resnet18"], WIDTHS["resnet50"]]


def test_sub_bands():
    """HLL filters high along the first axis; an expansion that names no filter is found."""
    assert methods.wavelet_meaning("HLL") == "high-pass along x, low-pass along y, low-pass along z"
    assert not methods.names_a_filter("HLL", "High Level Features")
    assert methods.names_a_filter("HLL", "high-, low-, low-pass wavelet")
    assert methods.names_a_filter("gldm", "Gray Level Dependence Matrix")


def test_significance():
    """Marks, and the p of an interval: 1.96 SE from 0 is 0.05."""
    shown = dict.fromkeys("abc", "0.7 (0.6 to 0.8)")
    result = significance.check_marks(shown, {"a": "*", "c": "#"}, "*")
    assert [one.cell for one in result.discrepancies] == ["b", "c"]
    p = significance.p_of_interval(Range(1, 1), Range(0, 0), Range(2, 2))
    assert (p.low, p.high) == pytest.approx((0.05, 0.05))
    reaching, clear = as_printed("0.50", "0.00", "1.00"), as_printed("0.50", "0.21", "0.79")
    for limits, stated, wrong in (
        (reaching, "0.05", False),
        (reaching, "0.01", True),
        (clear, "<0.05", False),
        (clear, "0.06", True),
        (as_printed("0.10", "-0.10", "0.30"), "0.33", False),  # z 0.98
        (as_printed("0.10", "-0.10", "0.30"), "<0.05", True),
    ):
        assert bool(significance.check_interval("x", limits, printed_range(stated)).discrepancies) is wrong
