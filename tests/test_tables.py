"""Typeset tables: strings by hand, layout, refusals."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from hccbook.cohort import CHARACTERISTICS_COLUMNS
from hccbook.errors import DataError
from hccbook.models import LinearScore
from hccbook.report import tables


@pytest.fixture
def performance() -> pd.DataFrame:
    """ALARM Table 2, discovery cohort, as printed; 42/45 and 27/45 are the only fractions that give 0.933 and 0.600."""
    rows = [
        ("discovery", 0.21, 924, 45, "sensitivity", 0.9333333, 0.917, 0.949, 42, 45),
        ("discovery", 0.21, 924, 45, "specificity", 0.671, 0.641, 0.702, 590, 879),
        ("discovery", 0.21, 924, 45, "ppv", 0.127, 0.105, 0.148, 42, 331),
        ("discovery", 0.21, 924, 45, "npv", 0.995, 0.990, 0.999, 590, 593),
        ("discovery", 0.65, 924, 45, "sensitivity", 0.6, 0.568, 0.632, 27, 45),
        ("discovery", 0.65, 924, 45, "ppv", math.nan, math.nan, math.nan, 0, 0),
    ]
    return pd.DataFrame(rows, columns=list(tables.schemas.PERFORMANCE_COLUMNS))


@pytest.fixture
def auc() -> pd.DataFrame:
    """aMAP-CT's printed AUCs; aMAP in the test cohort left out."""
    rows = [
        ("training", "amap_ct", 809, 24, 0.869, 0.789, 0.931),
        ("training", "amap", 809, 24, 0.643, 0.517, 0.757),
        ("test", "amap_ct", 1254, 83, 0.815, 0.762, 0.868),
    ]
    return pd.DataFrame(rows, columns=list(tables.schemas.AUC_COLUMNS))


def _characteristic(
    name, level, cohort, subgroup, n, median=math.nan, q1=math.nan, q3=math.nan, count=math.nan, percent=math.nan, p=0.5
):
    return dict(
        zip(
            CHARACTERISTICS_COLUMNS,
            (name, level, cohort, subgroup, n, median, q1, q3, count, percent, p),
            strict=True,
        )
    )


def test_number_half_is_rounded_away_from_zero_on_the_decimal_form():
    """By hand: 0.0125 is 0.013 and 1.005 is 1.01, though its binary form lies below."""
    assert tables.decimal_text(0.0125, 3) == "0.013"
    assert tables.decimal_text(1.005, 2) == "1.01"
    assert tables.decimal_text(2.5, 0) == "3"
    assert tables.decimal_text(-2.5, 0) == "−3"


def test_number_negative_number_has_the_minus_sign():
    """A minus is U+2212, and a number that rounds to nought has none."""
    assert tables.decimal_text(-2.9, 1) == "\u22122.9"
    assert tables.decimal_text(-0.0004, 3) == "0.000"
    assert tables.decimal_text(-0.0, 1) == "0.0"


def test_number_thousands_have_a_comma():
    """As aMAP-CT prints 1,254 patients."""
    assert tables.decimal_text(1254, 0) == "1,254"
    assert tables.decimal_text(np.int64(2411), 0) == "2,411"


@pytest.mark.parametrize("value", [None, math.nan, np.nan, pd.NA])
def test_number_undefined_is_said(value):
    """No empty cell and no "nan"."""
    assert tables.decimal_text(value, 3) == "n.a."


def test_number_infinite_number_is_refused():
    """An infinity is an error of the stage that made it."""
    with pytest.raises(DataError, match="finite"):
        tables.decimal_text(math.inf, 3)


def test_number_estimate_with_interval():
    """As ALARM Table 2 prints it, with an en dash."""
    assert tables.estimate_text(0.933, 0.917, 0.949) == "0.933 (0.917–0.949)"


def test_number_interval_below_zero_is_spelled():
    """No dash beside a minus."""
    assert tables.estimate_text(0.06, -0.04, 0.16, 2) == "0.06 (−0.04 to 0.16)"


def test_number_undefined_interval_is_said():
    """The estimate stays."""
    assert tables.estimate_text(1.0, math.nan, math.nan) == "1.000 (n.a.)"
    assert tables.estimate_text(math.nan, 0.1, 0.2) == "n.a."


def test_number_fraction_as_percent():
    """By hand: 0.0145 is 1.45 and rounds to 1.5 per cent, where formatting the binary 1.45 gives 1.4."""
    assert tables.typesetting.percent_text(0.0145, 0.01, 0.0245) == "1.5 (1.0–2.5)"
    assert tables.typesetting.percent_text(0.243, 0.188, 0.305) == "24.3 (18.8–30.5)"


def test_number_count_with_percentage():
    """As ALARM Table 1 prints men, with the comma."""
    assert tables.typesetting.count_text(1411, 79.8) == "1,411 (79.8)"


@pytest.mark.parametrize(
    ("p", "cell", "phrase"),
    [
        (0.012, "0.012", "p = 0.012"),
        (0.001, "0.001", "p = 0.001"),
        (0.00099, "<0.001", "p < 0.001"),
        (0.0, "<0.001", "p < 0.001"),
        (0.9994, "0.999", "p = 0.999"),
        (1.0, ">0.999", "p > 0.999"),
        (math.nan, "n.a.", "p = n.a."),
    ],
)
def test_p_value_three_places_or_a_bound(p, cell, phrase):
    """Never 0.000 and never 1.000."""
    assert tables.p_text(p) == cell
    assert tables.p_phrase(p) == phrase


def test_p_value_outside_is_refused():
    """A p-value of 1.2 is an error upstream."""
    with pytest.raises(DataError, match=r"between 0 and 1, but found 1\.2"):
        tables.p_text(1.2)


def test_name_names_are_those_of_the_papers():
    """Whatever the spelling in the data."""
    assert tables.cohort_title("internal_validation") == "Internal validation cohort"
    assert tables.model_title("deep_learning_score") == "Deep learning"
    assert tables.model_title("aMAP + liver") == tables.model_title("amap_liver") == "aMAP + liver"
    assert tables.group_title("low") == tables.group_title("low-risk") == "Low risk"


def test_name_unknown_name_stays():
    """A user's own cohort or model is printed as it is called."""
    assert tables.cohort_title("Ward 7") == "Ward 7"
    assert tables.model_title("my model") == "my model"


def _alarm_characteristics():
    rows = []
    for cohort, sizes, p in (("all", (1769, 89), 0.00001), ("discovery", (879, 45), 0.0031)):
        for subgroup, n, age in zip(("non_hcc", "hcc"), sizes, (49.9, 58.2), strict=True):
            rows.append(_characteristic("age", "", cohort, subgroup, n, age, age - 6.7, age + 6.5, p=p))
    for cohort, counts, known in (("all", (1563, 82), (1769, 89)), ("discovery", (814, 42), (870, 45))):
        for subgroup, count, n in zip(("non_hcc", "hcc"), counts, known, strict=True):
            rows.append(_characteristic("etiology", "HBV", cohort, subgroup, n, count=count, percent=88.35, p=math.nan))
    rows.append(_characteristic("bclc", "0", "all", "hcc", 89, count=32, percent=36.0, p=math.nan))
    return pd.DataFrame(rows)


def test_alarm_table_1_layout_is_the_papers():
    """Two columns and a p-value a cohort, sizes in the headings."""
    laid = tables.alarm_table_1(_alarm_characteristics())
    assert list(laid.columns) == [
        ("All", "Non-HCC (n = 1,769)"),
        ("All", "HCC (n = 89)"),
        ("All", "p"),
        ("Discovery cohort", "Non-HCC (n = 879)"),
        ("Discovery cohort", "HCC (n = 45)"),
        ("Discovery cohort", "p"),
    ]
    assert list(laid.index) == [
        ("Age, years", ""),
        ("Etiology, n (%)", ""),
        ("Etiology, n (%)", "HBV"),
        ("BCLC stage, n (%)", ""),
        ("BCLC stage, n (%)", "0"),
    ]


def test_alarm_table_1_cells_by_hand():
    """Medians with quartiles, counts with percentages, p-values on the characteristic's own line."""
    laid = tables.alarm_table_1(_alarm_characteristics())
    age = laid.loc[("Age, years", "")]
    assert age[("All", "Non-HCC (n = 1,769)")] == "49.9 (43.2–56.4)"
    assert age[("All", "p")] == "<0.001"
    assert age[("Discovery cohort", "p")] == "0.003"
    hbv = laid.loc[("Etiology, n (%)", "HBV")]
    assert hbv[("All", "HCC (n = 89)")] == "82 (88.4)"
    assert hbv[("All", "p")] == ""


def test_alarm_table_1_cell_on_fewer_patients_says_so():
    """Nine etiologies are missing among 879."""
    laid = tables.alarm_table_1(_alarm_characteristics())
    cell = laid.loc[("Etiology, n (%)", "HBV"), ("Discovery cohort", "Non-HCC (n = 879)")]
    assert cell == "814 (88.4) [n = 870]"


def test_alarm_table_1_group_without_the_characteristic_is_undefined():
    """Patients without HCC have no BCLC stage."""
    laid = tables.alarm_table_1(_alarm_characteristics())
    assert laid.loc[("BCLC stage, n (%)", "0"), ("All", "Non-HCC (n = 1,769)")] == "n.a."
    assert laid.loc[("BCLC stage, n (%)", ""), ("All", "p")] == "n.a."


def test_alarm_table_1_row_twice_is_refused():
    """The message names the characteristic and the group."""
    frame = _alarm_characteristics()
    with pytest.raises(DataError, match=r"age.*2 rows for all non_hcc"):
        tables.alarm_table_1(pd.concat([frame, frame.iloc[:1]]))


def test_alarm_table_1_two_p_values_are_refused():
    """One comparison, one p-value."""
    frame = _alarm_characteristics()
    frame.loc[0, "p_value"] = 0.9
    with pytest.raises(DataError, match="must have one p-value"):
        tables.alarm_table_1(frame)


def _amap_ct_characteristics():
    rows = [
        _characteristic("age", "", "overall", "all", 2411, 49.67, 42.8, 56.3, p=0.057),
        _characteristic("age", "", "training", "all", 809, 52.48, 45.2, 59.5, p=0.057),
        _characteristic("male", "", "overall", "all", 2411, count=1879, percent=77.9, p=0.014),
        _characteristic("male", "", "training", "all", 809, count=544, percent=67.2, p=0.014),
    ]
    return pd.DataFrame(rows)


def test_amap_ct_table_1_cells_by_hand():
    """One p-value across the cohorts, in the last column."""
    laid = tables.amap_ct_table_1(_amap_ct_characteristics())
    assert list(laid.columns) == ["Overall (n = 2,411)", "Training cohort (n = 809)", "p"]
    assert list(laid.loc[("Age, years", "")]) == ["49.7 (42.8–56.3)", "52.5 (45.2–59.5)", "0.057"]
    assert list(laid.loc[("Male, n (%)", "")]) == ["1,879 (77.9)", "544 (67.2)", "0.014"]


def test_amap_ct_table_1_places_of_one_characteristic():
    """The paper prints the median age with two places."""
    laid = tables.amap_ct_table_1(_amap_ct_characteristics(), places={"age": 2})
    assert laid.iloc[0, 0] == "49.67 (42.80–56.30)"


def test_amap_ct_table_1_outcome_groups_are_refused():
    """They belong to ALARM's table."""
    frame = _amap_ct_characteristics()
    frame.loc[0, "subgroup"] = "hcc"
    with pytest.raises(DataError, match="one subgroup"):
        tables.amap_ct_table_1(frame)


def test_alarm_table_2_by_hand(performance):
    """The printed line of the discovery cohort, with numerators and denominators beside."""
    laid = tables.alarm_table_2(performance)
    assert list(laid.index.get_level_values("Measure")) == ["Sensitivity", "Specificity", "PPV", "NPV"]
    assert list(laid.loc[("Discovery cohort", "Sensitivity")]) == [
        "0.933 (0.917–0.949)",
        "42/45",
        "0.600 (0.568–0.632)",
        "27/45",
    ]


def test_undefined_measure_is_said(performance):
    """A predictive value without positives, and measures that were not computed."""
    laid = tables.alarm_table_2(performance)
    assert laid.loc[("Discovery cohort", "PPV"), ("Cut-off 0.65", "Value (95% CI)")] == "n.a."
    assert laid.loc[("Discovery cohort", "PPV"), ("Cut-off 0.65", "n/N")] == "0/0"
    assert laid.loc[("Discovery cohort", "NPV"), ("Cut-off 0.65", "Value (95% CI)")] == "n.a."


def test_counts_can_be_left_out(performance):
    """As the paper prints it."""
    assert [part for _, part in tables.alarm_table_2(performance, counts=False).columns] == ["Value (95% CI)"] * 2


def test_amap_ct_table_2_of_a_cohort_of_one_outcome():
    """A cohort without HCC has a specificity and no AUC: n.a. in its place, and the other cohort's row is whole."""
    row = {
        "cutoff": 0.5,
        "n": 8,
        "events": 0,
        "value": 0.5,
        "lower": 0.1,
        "upper": 0.9,
        "numerator": 2,
        "denominator": 4,
    }
    cohorts = [
        {"cohort": cohort, "measure": measure}
        for cohort in ("training", "test")
        for measure in tables.titles.MEASURE_TITLES
    ]
    performance = pd.DataFrame(cohorts).assign(**row)
    area = {"cohort": "training", "model": "amap_ct", "n": 8, "events": 3, "auc": 0.75, "lower": 0.5, "upper": 0.9}
    laid = tables.amap_ct_table_2(performance, pd.DataFrame([area]))
    assert laid.loc["Training cohort", "AUC (95% CI)"] == "0.750 (0.500–0.900)"
    assert laid.loc["Test cohort", ["n", "HCC", "AUC (95% CI)"]].tolist() == ["n.a."] * 3


def test_amap_ct_table_2_by_hand(auc):
    """The printed line of the training cohort."""
    values = {"sensitivity": 0.792, "specificity": 0.789, "ppv": 0.103, "npv": 0.992, "accuracy": 0.789}
    rows = [("training", 0.37, 809, 24, name, value, 0.1, 0.995, 1, 2) for name, value in values.items()]
    laid = tables.amap_ct_table_2(pd.DataFrame(rows, columns=list(tables.schemas.PERFORMANCE_COLUMNS)), auc)
    assert list(laid.loc["Training cohort"]) == [
        "809",
        "24",
        "0.869 (0.789–0.931)",
        "0.792 (0.100–0.995)",
        "0.789 (0.100–0.995)",
        "0.103 (0.100–0.995)",
        "0.992 (0.100–0.995)",
        "0.789 (0.100–0.995)",
        "n.a.",
    ]


def test_two_cutoffs_are_refused(performance, auc):
    """A line of aMAP-CT's table has one cut-off."""
    with pytest.raises(DataError, match=r"one cut-off.*0\.21, 0\.65"):
        tables.amap_ct_table_2(performance, auc)


def test_model_without_auc_is_refused(performance, auc):
    """The message names the models that are there."""
    one = performance[performance["cutoff"] == 0.21].assign(cohort="training")
    with pytest.raises(DataError, match=r"must have the model aMAP-2.*amap_ct, amap"):
        tables.amap_ct_table_2(one, auc, model="aMAP-2")


def test_discrimination_by_hand(auc):
    """A cell that was not computed is undefined."""
    laid = tables.discrimination_table(auc)
    assert list(laid.columns) == ["n", "HCC", "aMAP-CT", "aMAP"]
    assert list(laid.loc["Training cohort"]) == ["809", "24", "0.869 (0.789–0.931)", "0.643 (0.517–0.757)"]
    assert laid.loc["Test cohort", "aMAP"] == "n.a."


def test_incidence_by_hand():
    """ALARM's medium-risk group: 28 of 433, 6.47 per cent."""
    groups = pd.DataFrame(
        [("medium", 433, 28, 28 / 433, 0.045, 0.092)],
        columns=["group", "n", "events", "incidence", "lower", "upper"],
    )
    assert list(tables.incidence_table(groups).loc["Medium risk"]) == ["433", "28", "6.5 (4.5–9.2)"]


def test_calibration_by_hand():
    """Intercept and slope with two places, errors with three."""
    row = ("test", "alarm", -0.125, 0.94, 0.0213, 0.01, 0.04, math.nan)
    summary = pd.DataFrame([row], columns=list(tables.schemas.CALIBRATION_COLUMNS))
    laid = tables.calibration_table(summary)
    assert list(laid.loc[("Test cohort", "ALARM")]) == ["−0.13", "0.94", "0.021", "0.010", "0.040", "n.a."]


def test_missing_column_is_named(auc):
    """The message says which column, of which frame."""
    with pytest.raises(DataError, match=r"AUC table: must have the columns.*no upper among"):
        tables.discrimination_table(auc.drop(columns="upper"))


def test_empty_frame_is_refused(auc):
    """An empty table would look like a result."""
    with pytest.raises(DataError, match="at least one row"):
        tables.discrimination_table(auc.iloc[:0])


def test_beside_printed_measured_and_printed_stand_side_by_side():
    """Printed text keeps its own digits; rows that only one side has are undefined on the other."""
    measured = pd.DataFrame(
        {"cohort": ["training", "test"], "value": [0.91, 0.8], "lower": [0.8, 0.7], "upper": [0.99, 0.9]}
    )
    printed = pd.DataFrame(
        {
            "cohort": ["validation", "training"],
            "value": ["0.809", "0.60"],
            "lower": ["0.686", ""],
            "upper": ["0.927", ""],
        }
    )
    laid = tables.beside_printed(measured, printed, "cohort")
    assert laid.to_dict("list") == {
        "cohort": ["training", "test", "validation"],
        "This run": ["0.910 (0.800–0.990)", "0.800 (0.700–0.900)", "n.a."],
        "Paper": ["0.60", "n.a.", "0.809 (0.686–0.927)"],
    }


def test_beside_printed_text_stays():
    """Printed text beside a measured number, with empty cells where nothing is printed."""
    measured = pd.DataFrame({"name": ["a"], "value": [-0.2], "lower": [-0.5], "upper": [0.1]})
    printed = pd.DataFrame({"name": ["a"], "value": ["n.a."], "lower": [""], "upper": [""]})
    laid = tables.beside_printed(measured, printed, "name", places=1)
    assert list(laid.iloc[0]) == ["a", "−0.2 (−0.5 to 0.1)", "n.a."]


def test_beside_printed_key_twice_is_refused():
    """Which of two printed values would stand there?"""
    twice = pd.DataFrame({"name": ["a", "a"], "value": [1.0, 2.0]})
    with pytest.raises(DataError, match=r"printed values.*a twice"):
        tables.beside_printed(twice.iloc[:1], twice, "name")


def test_caption_simulated_patients_are_said_first(auc):
    """The caption begins with SYNTHETIC."""
    page = tables.caption_synthetic(tables.discrimination_table(auc), "AUC by cohort").to_html()
    caption = page.split("<caption>")[1].split("</caption>")[0]
    assert caption.startswith("<strong>SYNTHETIC")
    assert caption.endswith("AUC by cohort")


def test_caption_real_patients_are_not_called_synthetic(auc):
    """The same call on a user's own data."""
    page = tables.caption_synthetic(tables.discrimination_table(auc), "AUC", synthetic=False).to_html()
    assert "SYNTHETIC" not in page


def test_caption_markup_in_cells_is_escaped():
    """``<0.001`` must not begin a tag."""
    page = tables.caption_synthetic(pd.DataFrame({"p<": ["<0.001"]}), "a < b").to_html()
    assert "&lt;0.001" in page
    assert "p&lt;" in page
    assert "a &lt; b" in page


def test_caption_same_table_gives_the_same_page(auc):
    """No random identifier, so that a rebuilt book does not differ."""
    pages = {tables.caption_synthetic(tables.discrimination_table(auc), "AUC").to_html() for _ in range(2)}
    assert len(pages) == 1


def test_printed_table_keeps_the_papers_text() -> None:
    """A count with its percentage, a median with its quartiles, and an inequality stand as printed."""
    numbers = pd.DataFrame(
        [
            ("Male, n (%)", "HCC", "78", "", ""),
            ("Male, n (%)", "HCC", "87.6", "", ""),
            ("Age, years", "HCC", "58.2", "50.9", "64.0"),
            ("Age, years", "p", "<0.001", "", ""),
        ],
        columns=["row", "column", "value", "lower", "upper"],
    )
    laid = tables.as_printed(numbers)
    assert laid.loc["Male, n (%)"].tolist() == ["78 (87.6)", ""]
    assert laid.loc["Age, years"].tolist() == ["58.2 [50.9, 64.0]", "<0.001"]


# --- ALARM's supplement -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        ((2.0, 1.1, 3.456), "2.00 (1.10–3.46)"),
        ((150.0, 8.0, 4e6), "150.00 (8.00 to >1,000)"),
        ((0.004, 0.0001, 0.5), "<0.01 (<0.01–0.50)"),
        ((math.nan, math.nan, math.nan), "n.a."),
    ],
)
def test_odds_ratio_text(ratio, text):
    """Two places; what cannot be read is said to be beyond."""
    assert tables.odds_ratio_text(*ratio) == text


@pytest.mark.parametrize(
    ("per", "step", "text"),
    [("SD", 7.0, ", per SD"), ("unit", 1.0, ""), ("unit", 10.0, ", per 10"), ("", math.nan, "")],
)
def test_step_text(per, step, text):
    """What an odds ratio is per, after the variable's name."""
    assert tables.typesetting.step_text(per, step) == text


def test_alarm_table_s2_adds_up():
    """By hand: two classes in the unfiltered image, one in a filtered one, and two phases."""
    rows = [
        (phase, "liver", image, family, n)
        for phase in ("arterial", "venous")
        for image, family, n in (
            ("original", "firstorder", 18),
            ("original", "shape", 14),
            ("square", "firstorder", 18),
        )
    ]
    found = tables.alarm_table_s2(pd.DataFrame(rows, columns=list(tables.schemas.FEATURE_COUNT_COLUMNS)))
    assert found.columns.tolist() == ["Shape", "First order", "All"]
    assert found.loc["original"].tolist() == ["14", "18", "32"]
    assert found.loc["square"].tolist() == ["", "18", "18"]
    assert found.loc["All, one phase"].tolist() == ["14", "36", "50"]
    assert found.loc["All, 2 phases"].tolist() == ["28", "72", "100"]


def test_alarm_table_s2_of_unequal_phases_is_refused():
    """A phase without shape features would be counted as if it had them."""
    rows = [("arterial", "liver", "original", "shape", 14), ("venous", "liver", "original", "shape", 13)]
    with pytest.raises(DataError, match="venous liver"):
        tables.alarm_table_s2(pd.DataFrame(rows, columns=list(tables.schemas.FEATURE_COUNT_COLUMNS)))


def test_alarm_table_s3_layout():
    """ALARM is the reference; patients left out are counted; a combination that was not fitted says why."""
    nan = math.nan
    rows = [
        ("discovery", "ALARM", "", 60, 12, 0, 0.9, 0.85, 0.95, nan, nan, nan, nan, "compared with the others"),
        ("discovery", "AFP", "afp", 58, 12, 2, 0.88, 0.8, 0.96, -0.02, -0.05, 0.01, 0.2, ""),
        (
            "test",
            "ALARM",
            "",
            9,
            0,
            0,
            nan,
            nan,
            nan,
            nan,
            nan,
            nan,
            nan,
            "compared with the others; no patient with HCC",
        ),
        (
            "test",
            "AFP",
            "afp",
            9,
            0,
            0,
            nan,
            nan,
            nan,
            nan,
            nan,
            nan,
            nan,
            "no test: 0 patients with and 9 without HCC",
        ),
    ]
    found = tables.alarm_table_s3(pd.DataFrame(rows, columns=list(tables.schemas.COMBINATION_COLUMNS)))
    first = found["Discovery cohort"]
    assert first.loc["ALARM"].tolist() == ["0.900 (0.850–0.950)", "reference", ""]
    assert first.loc["AFP"].tolist() == ["0.880 (0.800–0.960) [2 left out]", "−0.020 (−0.050 to 0.010)", "0.200"]
    assert found["Test cohort"].loc["AFP"].tolist() == ["no test: 0 patients with and 9 without HCC", "n.a.", "n.a."]


def test_alarm_table_s4_layout():
    """Both AUCs, their difference with its limits, z, p and the note."""
    rows = [("discovery", "alarm", "amap", 0.9, 0.7, 0.2, 0.1, 0.3, 3.9, 0.0001, "")]
    found = tables.alarm_table_s4(pd.DataFrame(rows, columns=list(tables.schemas.DELONG_COLUMNS)))
    assert found.index.tolist() == [("Discovery cohort", "ALARM against aMAP")]
    assert found.iloc[0].tolist() == ["0.900", "0.700", "0.200 (0.100–0.300)", "3.90", "<0.001", ""]


def test_alarm_table_s5_layout():
    """Categorical and continuous side by side, with their parts."""
    rows = [
        ("discovery", "alarm", "deep", "categorical", 0.75, 0.34, 1.17, 0.001, 0.5, 0.25, ""),
        ("discovery", "alarm", "deep", "continuous", *[math.nan] * 6, "not estimable: no patient with HCC"),
    ]
    found = tables.alarm_table_s5(pd.DataFrame(rows, columns=list(tables.schemas.NRI_COLUMNS)))
    assert found.index.tolist() == [("Discovery cohort", "ALARM against Deep learning")]
    assert found["Categorical"].iloc[0].tolist() == ["0.750 (0.340–1.170)", "0.500", "0.250", "0.001"]
    assert found["Continuous"].iloc[0].tolist() == ["not estimable: no patient with HCC", "n.a.", "n.a.", "n.a."]


def test_alarm_table_s5_twice_is_refused():
    """A comparison that is there twice is named."""
    row = ("discovery", "alarm", "deep", "categorical", 0.75, 0.34, 1.17, 0.001, 0.5, 0.25, "")
    with pytest.raises(DataError, match="discovery, deep"):
        tables.alarm_table_s5(pd.DataFrame([row, row], columns=list(tables.schemas.NRI_COLUMNS)))


def test_alarm_table_s6_layout():
    """The improvement with its limits and its two parts."""
    rows = [("test", "alarm", "radiomics", 0.532, 0.356, 0.709, 0.0, 0.3, 0.232, "")]
    found = tables.alarm_table_s6(pd.DataFrame(rows, columns=list(tables.schemas.IDI_COLUMNS)))
    assert found.iloc[0].tolist() == ["0.532 (0.356–0.709)", "0.300", "0.232", "<0.001", ""]


def test_formulas_list_every_term():
    """Intercept first, then weight, mean and SD of each value; a score of no feature has only its intercept."""
    score = LinearScore(
        ("arterial.liver.original_glcm_Idm", "amap"), (0.000123456, 58.0), (2.0, 7.0), (-0.5, 0.25), 1.0
    )
    found = tables.alarm_formulas({"Radiomics score": score, "Empty": LinearScore((), (), (), (), 0.3)})
    assert found.index.tolist() == [
        ("Radiomics score", "Intercept"),
        ("Radiomics score", "arterial · liver · original glcm Idm"),
        ("Radiomics score", "aMAP score"),
        ("Empty", "Intercept"),
    ]
    assert found["Weight"].tolist() == ["1.000", "−0.500", "0.250", "0.300"]
    assert found["Mean"].tolist() == ["", "0.00012346", "58", ""]


def test_formulas_refuse_nothing():
    """There is no table without a score."""
    with pytest.raises(DataError, match="at least one score"):
        tables.alarm_formulas({})


def test_workflow_prints_the_counts_given():
    """Patients of each cohort and features after each step; a block that lacks a step is refused."""
    cohorts = pd.DataFrame({"cohort": ["discovery"], "n": [924], "events": [45]})
    rows = [
        (block, step, n)
        for block, counts in (("radiomics", (3669, 1000, 200, 6)), ("deep", (300, 90, 80, 17)))
        for step, n in zip(("extracted", "mann_whitney", "spearman", "lasso"), counts, strict=True)
    ]
    counts = pd.DataFrame(rows, columns=["block", "step", "features"])
    found = tables.alarm_workflow(cohorts, counts).set_index("step")["detail"]
    assert found["Discovery"] == "924 patients, 45 HCC"
    assert found["Radiomics"] == "3,669 features"
    assert found["LASSO"] == "6 radiomics, 17 deep"
    with pytest.raises(DataError, match="lasso"):
        tables.alarm_workflow(cohorts, counts[:-1])
