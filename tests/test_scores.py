"""Published clinical scores."""

import numpy as np
import pandas as pd
import pytest

from hccbook import scores
from hccbook.errors import DataError
from hccbook.scores import albi, albi_grade, amap, amap_group, hbv_dna_copies, missing_inputs, point_score_group


@pytest.mark.parametrize(
    ("age", "male", "bilirubin", "albumin", "platelets", "expected"),
    [
        (50, True, 17.1, 40, 150, 57.8782),
        (30, False, 10, 45, 250, 35.0765),
        (65, True, 34.2, 32, 80, 71.5666),
        (35, 1, 12, 42, 200, 47.5172),  # 47.517 in the reference; (2.1 + 0.89 - 1.3717 - 2 + 7.4) / 14.77 x 100
    ],
)
def test_amap_pins(age, male, bilirubin, albumin, platelets, expected):
    """aMAP gives the values worked out by hand from the printed formula."""
    assert amap(age, male, bilirubin, albumin, platelets) == pytest.approx(expected, abs=5e-5)


def test_albi_by_hand():
    """0.66 log10(10) - 0.085 x 40 = 0.66 - 3.4."""
    assert albi(10, 40) == pytest.approx(-2.74, abs=1e-12)


@pytest.mark.parametrize(("score", "grade"), [(-3.0, 1), (-2.60, 1), (-2.59, 2), (-1.39, 2), (-1.38, 3), (0.2, 3)])
def test_albi_grade_bounds(score, grade):
    """-2.60 and -1.39 belong to the better grade."""
    assert albi_grade(score) == grade


@pytest.mark.parametrize(("score", "group"), [(49.99, "low"), (50.0, "medium"), (60.0, "medium"), (60.01, "high")])
def test_amap_group_bounds(score, group):
    """50 and 60 belong to the medium group."""
    assert amap_group(score) == group


def test_amap_of_series_keeps_patients():
    """A cohort's Series come back with their index, value by value the same as one patient at a time."""
    table = pd.DataFrame(
        {"age": [50, 30], "male": [True, False], "bilirubin": [17.1, 10], "albumin": [40, 45], "platelets": [150, 250]},
        index=["P0001", "P0002"],
    )
    score = amap(**table)
    assert list(score.index) == ["P0001", "P0002"]
    assert score.tolist() == [amap(**row) for row in table.to_dict("records")]
    assert amap_group(score).tolist() == ["medium", "low"]


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("bilirubin", 1.2, "17.1"),
        ("albumin", 4.1, "Multiply albumin by 10"),
        ("albumin", 4100, "Divide albumin by 100"),
        ("platelets", 150_000, "Divide platelets by 1000"),
        ("age", 600, "Months"),
        ("age", -1, "years"),
    ],
)
def test_wrong_unit_is_named(name, value, hint):
    """A value out of its range is refused with the quantity, the value and the conversion."""
    given = {"age": 50, "male": True, "bilirubin": 17.1, "albumin": 40, "platelets": 150} | {name: value}
    with pytest.raises(DataError, match=hint) as caught:
        amap(**given)
    assert str(caught.value).startswith(name)
    assert f"{value:g}" in str(caught.value)


def test_wrong_unit_names_the_patient():
    """In a cohort the first patient at fault is named, and how many more there are."""
    with pytest.raises(DataError, match=r"albumin, row P0002: .*4\.2 \(and 1 more\)"):
        albi(
            pd.Series([10, 10, 10], ["P0001", "P0002", "P0003"]), pd.Series([40, 4.2, 3.9], ["P0001", "P0002", "P0003"])
        )


def test_cohort_in_mg_per_dl_within_range_is_refused():
    """Ten patients from 2 to 2.9 mg/dL are within 2 to 1000, but no cohort has such a median in umol/L."""
    with pytest.raises(DataError, match=r"median.*17\.1"):
        albi(np.linspace(2.0, 2.9, 10), np.full(10, 40.0))


@pytest.mark.parametrize("male", ["male", ["M", "F"], 2, np.nan])
def test_sex_must_be_zero_or_one(male):
    """Text or another number is refused."""
    with pytest.raises(DataError, match="male"):
        amap(50, male, 17.1, 40, 150)


def test_missing_value_is_refused():
    """NaN never passes through a score."""
    with pytest.raises(DataError, match="row 1"):
        albi([10.0, np.nan], [40.0, 40.0])


def test_series_of_other_patients_are_refused():
    """Two Series with different index are not added up by position."""
    with pytest.raises(DataError, match="same patients"):
        albi(pd.Series([10.0], ["P0001"]), pd.Series([40.0], ["P0002"]))


def test_amap_rises_with_risk_factors():
    """Age, male sex, bilirubin raise the score; albumin and platelets lower it."""
    base = amap(50, False, 17.1, 40, 150)
    assert min(amap(60, False, 17.1, 40, 150), amap(50, True, 17.1, 40, 150), amap(50, False, 30, 40, 150)) > base
    assert max(amap(50, False, 17.1, 45, 150), amap(50, False, 17.1, 40, 200)) < base


# --- scores by points -------------------------------------------------------------------------------------------------

NOTHING = {
    "page_b": {"age": 20, "male": False, "platelets": 300},
    "mpage_b": {"age": 20, "male": False, "platelets": 300, "albumin": 45},
    "cu_hcc": {"age": 40, "albumin": 45, "bilirubin": 10, "hbv_dna_copies_ml": 0, "cirrhosis": False},
    "lsm_hcc": {"age": 40, "albumin": 45, "hbv_dna_iu_ml": 0, "stiffness_kpa": 5},
    "thri": {"age": 40, "etiology": "autoimmune", "male": False, "platelets": 300},
}
"""Per score a patient with no point, so that a change of one value shows the points of its row alone."""

# Value and points as the papers print them, typed off their tables: every step on both sides of its edge.
STEPS = [
    ("page_b", "age", [(16, 0), (29, 0), (29.9, 0), (30, 2), (39, 2), (39.9, 2), (40, 4), (49, 4), (49.9, 4)]),
    ("page_b", "age", [(50, 6), (59, 6), (59.9, 6), (60, 8), (69, 8), (69.9, 8), (70, 10), (71, 10), (120, 10)]),
    ("page_b", "male", [(0, 0), (1, 6), (False, 0), (True, 6)]),
    ("page_b", "platelets", [(1, 9), (99, 9), (99.9, 9), (100, 6), (199, 6), (199.9, 6), (200, 0), (1500, 0)]),
    ("mpage_b", "age", [(0, 0), (29, 0), (29.9, 0), (30, 3), (39, 3), (39.9, 3), (40, 5), (49, 5), (49.9, 5)]),
    ("mpage_b", "age", [(50, 7), (59, 7), (59.9, 7), (60, 9), (69, 9), (69.9, 9), (70, 11), (120, 11)]),
    ("mpage_b", "male", [(0, 0), (1, 2)]),
    ("mpage_b", "platelets", [(1, 5), (99, 5), (99.9, 5), (100, 4), (149, 4), (149.9, 4), (150, 3), (199, 3)]),
    ("mpage_b", "platelets", [(199.9, 3), (200, 2), (249, 2), (249.9, 2), (250, 0), (1500, 0)]),
    ("mpage_b", "albumin", [(10, 3), (29, 3), (29.9, 3), (30, 2), (34, 2), (34.9, 2), (35, 1), (39, 1), (39.9, 1)]),
    ("mpage_b", "albumin", [(40, 0), (70, 0)]),
    ("cu_hcc", "age", [(0, 0), (50, 0), (50.1, 3), (51, 3), (120, 3)]),
    ("cu_hcc", "albumin", [(10, 20), (35, 20), (35.1, 0), (36, 0), (70, 0)]),
    ("cu_hcc", "bilirubin", [(2, 0), (18, 0), (18.1, 1.5), (19, 1.5), (1000, 1.5)]),
    ("cu_hcc", "hbv_dna_copies_ml", [(0, 0), (50, 0), (9_999, 0), (10_000, 1), (10_001, 1), (999_999, 1)]),
    ("cu_hcc", "hbv_dna_copies_ml", [(1_000_000, 1), (1_000_001, 4), (1e13, 4)]),
    ("cu_hcc", "cirrhosis", [(0, 0), (1, 15)]),
    ("lsm_hcc", "age", [(0, 0), (50, 0), (50.1, 10), (51, 10), (120, 10)]),
    ("lsm_hcc", "albumin", [(10, 1), (35, 1), (35.1, 0), (36, 0), (70, 0)]),
    ("lsm_hcc", "hbv_dna_iu_ml", [(0, 0), (10, 0), (200_000, 0), (200_001, 5), (1e12, 5)]),
    ("lsm_hcc", "stiffness_kpa", [(1, 0), (8, 0), (8.1, 8), (12, 8), (12.1, 14), (80, 14)]),
    ("thri", "age", [(0, 0), (44, 0), (44.9, 0), (45, 50), (60, 50), (60.1, 100), (61, 100), (120, 100)]),
    ("thri", "etiology", [("autoimmune", 0), ("HCV after SVR", 0), ("other", 36), ("steatohepatitis", 54)]),
    ("thri", "etiology", [("NASH", 54), ("alcohol", 54), ("HCV", 97), ("HBV", 97)]),
    ("thri", "male", [(0, 0), (1, 80)]),
    ("thri", "platelets", [(1, 89), (79, 89), (79.9, 89), (80, 70), (139, 70), (139.9, 70), (140, 20)]),
    ("thri", "platelets", [(200, 20), (200.1, 0), (201, 0), (1500, 0)]),
]


@pytest.mark.parametrize(
    ("score", "name", "value", "points"),
    [(score, name, value, points) for score, name, steps in STEPS for value, points in steps],
)
def test_points_on_both_sides_of_every_edge(score, name, value, points):
    """One value alone changed from a patient without points gives the points that the table prints for it."""
    assert getattr(scores, score)(**NOTHING[score] | {name: value}) == points


def test_every_row_of_every_table_is_tried():
    """No row that the package adds up is left out above."""
    rows = {(score, name) for score, name, _ in STEPS}
    assert rows == {(score, name) for score in NOTHING for name in NOTHING[score]}


@pytest.mark.parametrize(
    ("score", "patient", "greatest"),
    [
        ("page_b", (70, True, 99), 25),
        ("mpage_b", (70, True, 99, 29), 21),
        ("cu_hcc", (51, 35, 19, 2e6, True), 43.5),  # 3 + 20 + 1.5 + 4 + 15; the original paper reports 44.5
        ("lsm_hcc", (51, 35, 3e5, 13), 30),
        ("thri", (61, "HBV", True, 79), 366),
    ],
)
def test_the_highest_score_is_the_printed_one(score, patient, greatest):
    """The highest points of all rows add up to the end of the printed range, and nobody scores above it."""
    assert getattr(scores, score)(*patient) == greatest
    with pytest.raises(DataError, match=f"0 to {greatest}"):
        point_score_group(score, greatest + 0.5)


@pytest.mark.parametrize(
    ("score", "patient", "expected"),
    [
        ("page_b", (45, True, 150), 16),  # 4 + 6 + 6
        ("mpage_b", (55, False, 120, 36), 12),  # 7 + 0 + 4 + 1
        ("cu_hcc", (55, 40, 20, 50_000, True), 20.5),  # 3 + 0 + 1.5 + 1 + 15
        ("lsm_hcc", (55, 34, 1_000, 10), 19),  # 10 + 1 + 0 + 8
        ("thri", (50, "HCV", True, 100), 297),  # 50 + 97 + 80 + 70
    ],
)
def test_whole_patients_by_hand(score, patient, expected):
    """Rows add up."""
    assert getattr(scores, score)(*patient) == expected


@pytest.mark.parametrize(
    ("name", "score", "group"),
    [
        *(("page_b", score, group) for score, group in ((0, "low"), (9, "low"), (10, "medium"), (17, "medium"))),
        *(("page_b", score, "high") for score in (18, 25)),
        *(("mpage_b", score, group) for score, group in ((0, "low"), (8, "low"), (9, "medium"), (12, "medium"))),
        *(("mpage_b", score, "high") for score in (13, 21)),
        *(("cu_hcc", score, group) for score, group in ((4.5, "low"), (5, "medium"), (19, "medium"))),
        # Between the printed 19 and 20 lies one sum that occurs: 3 + 1.5 + 15.
        *(("cu_hcc", score, group) for score, group in ((19.5, "medium"), (20, "high"), (43.5, "high"))),
        *(("lsm_hcc", score, group) for score, group in ((0, "low"), (10, "low"), (11, "high"), (30, "high"))),
        *(("thri", score, group) for score, group in ((0, "low"), (119, "low"), (120, "medium"), (240, "medium"))),
        *(("thri", score, "high") for score in (241, 366)),
    ],
)
def test_risk_groups_on_both_sides_of_every_cut_off(name, score, group):
    """Groups by the printed cut-offs."""
    assert point_score_group(name, score) == group


def test_points_of_series_keep_patients():
    """A cohort's Series come back with their index, value by value the same as one patient at a time."""
    table = pd.DataFrame(
        {"age": [61, 44], "etiology": ["HBV", "HCV after SVR"], "male": [True, False], "platelets": [79, 201]},
        index=["P0001", "P0002"],
    )
    score = scores.thri(**table)
    assert list(score.index) == ["P0001", "P0002"]
    assert score.tolist() == [366, 0]
    assert point_score_group("thri", score).tolist() == ["high", "low"]
    assert scores.cu_hcc([51.0, 40.0], [40, 35], [10, 10], [0, 0], True).tolist() == [18, 35]


@pytest.mark.parametrize(
    ("score", "name", "value", "hint"),
    [
        ("page_b", "age", 15, "16 to 120"),
        ("page_b", "platelets", 150_000, "Divide platelets by 1000"),
        ("mpage_b", "albumin", 4.1, "Multiply albumin by 10"),
        ("cu_hcc", "bilirubin", 0.9, "17.1"),
        ("cu_hcc", "hbv_dna_copies_ml", 5.2, "Logarithms"),
        ("cu_hcc", "hbv_dna_copies_ml", 2e13, "copies/mL"),
        ("cu_hcc", "cirrhosis", "yes", "1 or True with cirrhosis"),
        ("lsm_hcc", "hbv_dna_iu_ml", 4.3, "Logarithms"),
        ("lsm_hcc", "hbv_dna_iu_ml", -1, "Logarithms"),
        ("lsm_hcc", "stiffness_kpa", 0.5, "elastography"),
        ("lsm_hcc", "stiffness_kpa", 12_000, "Divide them by 1000"),
        ("thri", "etiology", "hepatitis", "must be one of autoimmune"),
        ("thri", "etiology", None, "leave out"),
        ("thri", "male", "M", "sex == 'male'"),
    ],
)
def test_points_of_a_wrong_unit_are_refused(score, name, value, hint):
    """A value out of range is refused with its name and the hint; a logarithm of HBV DNA is noticed."""
    with pytest.raises(DataError, match=hint) as caught:
        getattr(scores, score)(**NOTHING[score] | {name: value})
    assert str(caught.value).startswith(name)


@pytest.mark.parametrize(("score", "name"), [(score, name) for score in NOTHING for name in NOTHING[score]])
def test_points_of_a_missing_value_are_refused(score, name):
    """No row counts a missing value as nought points."""
    with pytest.raises(DataError, match=name):
        getattr(scores, score)(**NOTHING[score] | {name: np.nan})


def test_who_lacks_which_input():
    """The reason names every input that is missing, an absent column and an empty text included."""
    table = pd.DataFrame(
        {
            "age": [50, 60, np.nan],
            "albumin": [40.0] * 3,
            "hbv_dna_iu_ml": [0, np.nan, 100],
            "etiology": ["HBV", "", ""],
        },
        index=["P0001", "P0002", "P0003"],
    )
    assert missing_inputs("lsm_hcc", table.assign(stiffness_kpa=9.0)).tolist() == ["", "no hbv_dna_iu_ml", "no age"]
    lacking = missing_inputs("lsm_hcc", table)
    assert lacking["P0003"] == "no age, no stiffness_kpa"
    assert list(lacking.index) == list(table.index)
    causes = missing_inputs("thri", table.assign(male=1, platelets=100))
    assert causes.tolist() == ["", "no etiology", "no age, no etiology"]
    with pytest.raises(DataError, match="must be one of albi, amap"):
        missing_inputs("pageb", table)


def test_missing_inputs_tells_who_can_be_scored():
    """Those for whom nothing is missing get a score; one of the others stops it."""
    table = pd.DataFrame({"age": [50.0, 60.0], "male": [0, 1], "platelets": [150.0, np.nan]})
    complete = missing_inputs("page_b", table) == ""
    assert scores.page_b(**table[complete]).tolist() == [12]  # 6 + 0 + 6
    with pytest.raises(DataError, match="platelets, row 1"):
        scores.page_b(**table)


def test_hbv_dna_in_copies():
    """1 IU is 5.82 copies unless the assay says otherwise; a factor that no assay has is refused."""
    assert hbv_dna_copies(2000) == pytest.approx(11_640)  # the guideline's 4.07 log10 copies/mL
    assert np.log10(hbv_dna_copies(2000, copies_per_iu=3.41)) == pytest.approx(3.83, abs=0.005)
    assert hbv_dna_copies([0, 10]).tolist() == pytest.approx([0, 58.2])
    with pytest.raises(DataError, match="copies_per_iu"):
        hbv_dna_copies(2000, copies_per_iu=0.17)


def test_unknown_score_is_refused():
    """A misspelt name is an error."""
    with pytest.raises(DataError, match="must be one of page_b"):
        point_score_group("pageb", 10)
