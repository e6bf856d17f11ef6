"""The standard: its digital phantom, its reference values, its names, and where PyRadiomics departs from it."""

from __future__ import annotations

import functools
import math
import re

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from hccbook.errors import DataError
from hccbook.features.radiomics import (
    FEATURES,
    ExtractionSettings,
    engine_names,
    extract_features,
    ibsi,
    texture_matrices,
)

REFERENCE = ibsi.reference_values()
SAME = REFERENCE[REFERENCE["relation"] == "same"]
DIFFERS = REFERENCE[REFERENCE["relation"] == "differs"]

NOT_IN_THE_STANDARD = {
    "shape_Maximum2DDiameterColumn",
    "shape_Maximum2DDiameterRow",
    "shape_Maximum2DDiameterSlice",
    "firstorder_TotalEnergy",
    "glcm_MCC",
}


@functools.cache
def on_the_phantom(engine: str) -> pd.Series:
    """All features of the digital phantom, in bins of width 1."""
    levels, mask = ibsi.digital_phantom()
    image, region = sitk.GetImageFromArray(levels.astype(np.float32)), sitk.GetImageFromArray(mask.astype(np.uint8))
    for volume in (image, region):
        volume.SetSpacing(ibsi.SPACING_MM)
    found = extract_features(image, region, ExtractionSettings(bin_width=1, minimum_roi_voxels=74), engine=engine)
    return found.rename(lambda name: name.removeprefix("original_"))


def within_tolerance(value: float, reference: float, tolerance: float) -> bool:
    """Whether a value, rounded to three significant digits as the standard prints, is as near as it asks."""
    rounded = float(f"{value:.3g}")
    return abs(rounded - reference) <= tolerance + 1e-9 * abs(reference)


@pytest.mark.parametrize("engine", engine_names())
@pytest.mark.parametrize(
    ("name", "reference", "tolerance"),
    [
        pytest.param(row.pyradiomics_name, row.reference_value, row.tolerance, id=row.pyradiomics_name)
        for row in SAME.itertuples()
    ],
)
def test_feature_has_the_standards_value(engine, name, reference, tolerance):
    """Printed value and printed tolerance together, a feature a case."""
    assert within_tolerance(on_the_phantom(engine)[name], reference, tolerance)


def test_rule_of_tolerance():
    """Three digits must agree where no tolerance is printed; the tolerance counts after rounding."""
    assert within_tolerance(3.46497, 3.46, 0)
    assert not within_tolerance(3.466, 3.46, 0)
    assert within_tolerance(1494.6, 1.49e3, 0)
    assert not within_tolerance(1496, 1.49e3, 0)
    assert within_tolerance(560.4, 556, 4)
    assert not within_tolerance(560.6, 556, 4)


# --- what differs, and why -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", engine_names())
def test_kurtosis_is_three_above_the_standards(engine):
    """Fourth over squared second central moment: the standard subtracts 3, PyRadiomics does not."""
    levels, mask = ibsi.digital_phantom()
    away = levels[mask] - levels[mask].mean()
    kurtosis = np.mean(away**4) / np.mean(away**2) ** 2
    (row,) = DIFFERS[DIFFERS["pyradiomics_name"] == "firstorder_Kurtosis"].itertuples()
    assert within_tolerance(kurtosis - 3, row.reference_value, row.tolerance)
    assert on_the_phantom(engine)["firstorder_Kurtosis"] == pytest.approx(kurtosis, rel=1e-9)


@pytest.mark.parametrize("engine", engine_names())
@pytest.mark.parametrize(("axis", "rank"), [("Least", 0), ("Minor", 1), ("Major", 2)])
def test_axis_lengths_are_those_of_the_population(engine, axis, rank):
    """Covariance of voxel centres over N, where the standard's value is that over N - 1: sqrt(73 / 74) of it."""
    centres = np.argwhere(ibsi.digital_phantom()[1]) * 2.0
    over_n, over_n_less_one = (
        4 * np.sqrt(np.linalg.eigvalsh(np.cov(centres.T, bias=biased)))[rank] for biased in (True, False)
    )
    (row,) = DIFFERS[DIFFERS["pyradiomics_name"] == f"shape_{axis}AxisLength"].itertuples()
    assert within_tolerance(over_n_less_one, row.reference_value, 0)
    assert float(f"{over_n:.3g}") != row.reference_value
    assert on_the_phantom(engine)[row.pyradiomics_name] == pytest.approx(over_n, rel=1e-9)
    assert over_n == pytest.approx(over_n_less_one * math.sqrt(73 / 74))


@pytest.mark.parametrize("engine", engine_names())
def test_bins_start_at_multiples_of_their_width(engine):
    """54 to 78 HU in bins of 25: two bins, cut at 75; the standard's one bin would start at 54."""
    values = np.array([54.0, 74, 76, 78] * 4).reshape(2, 2, 4)
    image, mask = sitk.GetImageFromArray(values), sitk.GetImageFromArray(np.ones(values.shape, np.uint8))
    found = extract_features(image, mask, ExtractionSettings(feature_classes=("firstorder",)), engine=engine)
    assert found["original_firstorder_Uniformity"] == pytest.approx(1 / 2)
    assert found["original_firstorder_Entropy"] == pytest.approx(1)


@pytest.mark.parametrize("engine", engine_names())
def test_deprecated_features_are_functions_of_others(engine):
    """What the notes say of the standard's features that PyRadiomics leaves out."""
    found = on_the_phantom(engine)
    sphericity = found["shape_Sphericity"]
    expected = {
        "SKGS": sphericity**1.5 / (6 * np.pi),
        "BQWJ": sphericity**3,
        "KRCK": 1 / sphericity,
        "25C7": 1 / sphericity - 1,
        "99N0": found["shape_MeshVolume"] * found["firstorder_Mean"],
        "OEEB": found["glcm_ClusterTendency"],
        "8S9J": found["glcm_DifferenceAverage"],
        "5SPA": found["firstorder_Uniformity"],
    }
    for identifier, value in expected.items():
        (row,) = REFERENCE[REFERENCE["ibsi_identifier"] == identifier].itertuples()
        assert row.relation == "not in PyRadiomics"
        assert within_tolerance(value, row.reference_value, row.tolerance), row.ibsi_name


# --- the phantom, against the matrices that the manual prints --------------------------------------------------------

PRINTED_CO_OCCURRENCE = {
    **{(1, 1): 536, (1, 3): 14, (1, 4): 105, (1, 6): 61},
    **{(3, 4): 5, (3, 6): 6, (4, 4): 64, (4, 6): 28, (6, 6): 16},
}
PRINTED_CO_OCCURRENCE_OF_SLICES = [
    {(1, 1): 22, (1, 4): 17, (1, 6): 6, (4, 4): 16, (4, 6): 11, (6, 6): 4},
    {(1, 1): 42, (1, 3): 5, (1, 4): 8, (1, 6): 8, (3, 4): 1, (3, 6): 2, (4, 4): 4, (4, 6): 3},
    {(1, 1): 56, (1, 4): 7, (1, 6): 4, (4, 4): 2},
    {(1, 1): 70, (1, 4): 7, (1, 6): 5, (4, 4): 2},
]
PRINTED_RUNS = {1: [190, 140, 31, 18, 3], 3: [13, 0, 0, 0, 0], 4: [149, 24, 1, 2, 0], 6: [78, 3, 1, 1, 0]}
PRINTED_ZONES = {1: {50: 1}, 3: {1: 1}, 4: {2: 1, 14: 1}, 6: {7: 1}}
PRINTED_DEPENDENCE = {
    1: dict(zip([*range(5, 19), 21], [2, 2, 1, 6, 4, 6, 5, 5, 3, 2, 5, 3, 3, 2, 1], strict=True)),
    3: {1: 1},
    4: {2: 2, 4: 2, 5: 6, 6: 4, 7: 2},
    6: {2: 1, 3: 4, 4: 1, 5: 1},
}
PRINTED_DIFFERENCES = {1: (50, 39.946954), 3: (1, 0.2), 4: (16, 20.825401), 6: (7, 24.127005)}


@pytest.fixture(scope="module")
def phantom() -> tuple[np.ndarray, np.ndarray]:
    """Grey levels, and the 13 directions."""
    levels, _ = ibsi.digital_phantom()
    return levels, texture_matrices.neighbour_offsets(levels.shape)


def _sparse(matrix: np.ndarray) -> dict[int, dict[int, int]]:
    return {
        level: {column: int(n) for column, n in enumerate(row, start=1) if n}
        for level, row in enumerate(matrix, start=1)
        if row.any()
    }


def test_phantom_is_as_described():
    """5 x 4 x 4 voxels, 74 of them in the region; grey levels 1 to 6 without 2 and 5; one hole inside."""
    levels, mask = ibsi.digital_phantom()
    assert levels.shape == (4, 4, 5)
    assert mask.sum() == 74
    assert set(np.unique(levels[mask])) == {1, 3, 4, 6}
    assert not mask[2, 2, 2]
    assert mask[1:, 1:, 1:4].sum() == 26


def _upper_half(matrix: np.ndarray) -> dict[tuple[int, int], int]:
    np.testing.assert_array_equal(matrix, matrix.T)
    return {(int(i) + 1, int(j) + 1): int(matrix[i, j]) for i, j in np.argwhere(np.triu(matrix))}


def test_co_occurrence_is_the_printed_one(phantom):
    """The manual's merged matrix of all 13 directions."""
    assert _upper_half(texture_matrices.co_occurrence_matrices(*phantom).sum(axis=0)) == PRINTED_CO_OCCURRENCE


@pytest.mark.parametrize("z", range(4))
def test_co_occurrence_of_a_slice_is_the_printed_one(z):
    """The manual's merged matrices of four directions, a slice each: every row of the typed phantom counts."""
    levels = ibsi.digital_phantom()[0][z : z + 1]
    offsets = texture_matrices.neighbour_offsets(levels.shape)
    merged = texture_matrices.co_occurrence_matrices(levels, offsets).sum(axis=0)
    assert _upper_half(merged) == PRINTED_CO_OCCURRENCE_OF_SLICES[z]


def test_runs_are_the_printed_ones(phantom):
    """The manual's merged run-length matrix."""
    levels, offsets = phantom
    merged = sum(texture_matrices.run_length_matrix(levels, offset) for offset in offsets)
    assert {level: list(merged[level - 1]) for level in (1, 3, 4, 6)} == PRINTED_RUNS
    assert not merged[[1, 4]].any()


def test_zones_are_the_printed_ones(phantom):
    """The manual's size-zone matrix."""
    assert _sparse(texture_matrices.size_zone_matrix(*phantom)) == PRINTED_ZONES


def test_dependences_are_the_printed_ones(phantom):
    """The manual's dependence matrix; a voxel counts itself."""
    assert _sparse(texture_matrices.dependence_matrix(*phantom)) == PRINTED_DEPENDENCE


def test_neighbourhood_differences_are_the_printed_ones(phantom):
    """The manual's sums, to its six decimals."""
    found = texture_matrices.neighbourhood_difference(*phantom)
    for level, (count, total) in PRINTED_DIFFERENCES.items():
        assert found[level - 1, 0] == count
        assert found[level - 1, 1] == pytest.approx(total, abs=5e-7)


# --- the tables ------------------------------------------------------------------------------------------------------


def test_identifiers_cover_every_feature():
    """PyRadiomics' 107 features in their order; five of them are not in the standard."""
    table = ibsi.identifiers()
    assert list(zip(table["class"], table["feature"], strict=True)) == [
        (name, feature) for name, features in FEATURES.items() for feature in features
    ]
    names = table["class"] + "_" + table["feature"]
    without = (table["ibsi_identifier"] == "") & (table["ibsi_name"] == "")
    assert set(names[without]) == NOT_IN_THE_STANDARD
    assert table.loc[~without, "ibsi_identifier"].str.fullmatch("[0-9A-Z]{4}").all()
    assert table.loc[~without, "ibsi_identifier"].is_unique


def test_both_tables_say_the_same():
    """Every feature with an identifier has its row of reference values, and the other way round."""
    names = ibsi.identifiers()
    named = names[names["ibsi_identifier"] != ""]
    left = dict(zip(named["class"] + "_" + named["feature"], named["ibsi_identifier"], strict=True))
    rows = REFERENCE[REFERENCE["pyradiomics_name"] != ""]
    assert dict(zip(rows["pyradiomics_name"], rows["ibsi_identifier"], strict=True)) == left
    assert REFERENCE["ibsi_identifier"].is_unique


def test_families_are_complete():
    """As many features as the manual counts in each family; of the histogram only the two that correspond."""
    counts = REFERENCE.groupby("feature_class", sort=False).size().to_dict()
    assert counts == {
        "morphology": 29,
        "intensity-based statistics": 18,
        "intensity histogram": 2,
        "grey level co-occurrence matrix": 25,
        "grey level run length matrix": 16,
        "grey level size zone matrix": 16,
        "neighbourhood grey tone difference matrix": 5,
        "neighbouring grey level dependence matrix": 17,
    }


def test_every_difference_is_explained():
    """What differs has a note and a test above; what is not in PyRadiomics has no name there."""
    assert set(DIFFERS["pyradiomics_name"]) == {
        "firstorder_Kurtosis",
        "shape_LeastAxisLength",
        "shape_MinorAxisLength",
        "shape_MajorAxisLength",
    }
    assert (DIFFERS["note"] != "").all()
    absent = REFERENCE["relation"] == "not in PyRadiomics"
    assert (absent == (REFERENCE["pyradiomics_name"] == "")).all()
    assert SAME[["reference_value", "tolerance"]].notna().all(axis=None)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("identifiers.csv", None, r"identifiers\.csv: must exist"),
        ("identifiers.csv", ("class,feature", "family,feature"), r"identifiers\.csv: columns must be class, feature"),
        ("digital_phantom.csv", ("3,3,1,1,6,1,1\n", ""), r"must hold 4 x 4 rows in order of z, y, but found 15 rows"),
        ("digital_phantom_reference.csv", (",differs,", ",varies,"), r"relation must be one of same, .*'varies'"),
    ],
)
def test_broken_file_is_refused(tmp_path, monkeypatch, project_root, name, change, message):
    """The message names the file and the rule."""
    folder = tmp_path / "data" / "ibsi"
    folder.mkdir(parents=True)
    for file in (project_root / "data" / "ibsi").glob("*.csv"):
        text = file.read_text(encoding="utf-8")
        if file.name == name:
            if change is None:
                continue
            assert change[0] in text
            text = text.replace(*change)
        (folder / file.name).write_text(text, encoding="utf-8")
    monkeypatch.setenv("HCCBOOK_ROOT", str(tmp_path))
    with pytest.raises(DataError, match=message):
        for read in (ibsi.identifiers, ibsi.digital_phantom, ibsi.reference_values):
            read()


# --- the page of the book --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(project_root) -> str:
    """Source of the page."""
    return (project_root / "book" / "radiomics_and_ibsi.md").read_text(encoding="utf-8")


def _rows(page: str) -> list[list[str]]:
    return [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("|") and not re.fullmatch(r"[|\- ]+", line)
    ]


def test_page_lists_every_feature(page):
    """One row per feature, with the name and the identifier of the data; no row more."""
    features = {(name, feature) for name, listed in FEATURES.items() for feature in listed}
    shown = [tuple(cells) for cells in _rows(page) if len(cells) == 4 and (cells[0], cells[1]) in features]
    expected = [
        tuple(text or "none" for text in (row[1], row.feature, row.ibsi_name, row.ibsi_identifier))
        for row in ibsi.identifiers().itertuples()
    ]
    assert shown == expected


def test_page_shows_every_difference(page):
    """What differs on the phantom stands in the table of differences, with the standard's value."""
    rows = {cells[0]: cells for cells in _rows(page) if len(cells) == 5}
    for row in DIFFERS.itertuples():
        cells = rows[row.pyradiomics_name]
        assert cells[1] == row.ibsi_identifier
        assert float(cells[2].replace("−", "-")) == row.reference_value
        assert float(f"{on_the_phantom('pyradiomics')[row.pyradiomics_name]:.3g}") == float(cells[3])


def test_page_counts_what_was_checked(page):
    """The numbers in the prose are those of the data."""
    for count, words in ((len(SAME), "defined alike"), (len(DIFFERS), "differ"), (5, "not in the standard")):
        assert re.search(rf"\b{count}\b[^.\n]*{words}", page), (count, words)
