"""Published clinical scores."""

import numpy as np
import pandas as pd
import pytest

from hccbook.errors import DataError
from hccbook.scores import albi, albi_grade, amap, amap_group


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
    ("name", "value", "cure"),
    [
        ("bilirubin", 0.9, "17.1"),
        ("albumin", 4.1, "Multiply them by 10"),
        ("albumin", 4100, "Divide them by 100"),
        ("platelets", 150_000, "Divide them by 1000"),
        ("age", 600, "Months"),
        ("age", -1, "years"),
    ],
)
def test_wrong_unit_is_named(name, value, cure):
    """A value out of its range is refused with the quantity, the value and the conversion."""
    given = {"age": 50, "male": True, "bilirubin": 17.1, "albumin": 40, "platelets": 150} | {name: value}
    with pytest.raises(DataError, match=cure) as caught:
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
    """Ten patients from 1.1 to 2 mg/dL are within 1 to 1000, but no cohort has such a median in umol/L."""
    with pytest.raises(DataError, match=r"median.*17\.1"):
        albi(np.linspace(1.1, 2.0, 10), np.full(10, 40.0))


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
