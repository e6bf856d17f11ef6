"""The manifest, its checks, cohorts, the study flow, subgroups and the numbers of Table 1."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from test_images import ct, stored_values, write_series

from hccbook.cohort import (
    assign_cohorts,
    characteristics,
    check_manifest,
    choose_split,
    clinical_subgroups,
    clinical_table,
    cohort_remarks,
    enrolment,
    read_manifest,
    study_flow,
)
from hccbook.cohort.manifest import COLUMNS, MANIFEST_SCHEMA, sources
from hccbook.cohort.study_flow import eligibility
from hccbook.errors import DataError, ManifestError
from hccbook.images import from_array, write_image
from hccbook.papers import PAPERS, role_of_cohort
from hccbook.scores import QUANTITIES
from hccbook.settings import PHASES, CohortSettings

CLINICAL = {
    "centre": "C01",
    "age": 50,
    "sex": "male",
    "bilirubin": 17.1,
    "albumin": 40,
    "platelets": 150,
    "afp": 3.1,
    "alt": 30,
    "etiology": "HBV",
    "hcc": 0,
    "months": 12,
}


def patients(count: int, **changes: object) -> pd.DataFrame:
    """Rows of a manifest whose image files are named, not made."""
    rows = []
    for number in range(1, count + 1):
        images = {phase: f"ct/{number}_{phase}.nii.gz" for phase in PHASES}
        rows.append({"patient_id": f"name{number}", **CLINICAL, **images})
    return pd.DataFrame(rows).assign(**changes)


def write_manifest(folder: Path, table: pd.DataFrame, images: bool = True) -> Path:
    """Write the rows as manifest.csv, and an empty file wherever one is named."""
    if images:
        for name in [name for name in table if name in COLUMNS and COLUMNS[name].kind == "path"]:
            for path in table[name].dropna():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                if not (folder / path).exists():
                    (folder / path).write_bytes(b"")
    table.to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def refused(*words: str):
    """Context that expects a ManifestError whose text holds all words."""
    return pytest.raises(ManifestError, match="(?s)" + "".join(f"(?=.*{word})" for word in words))


# --- reading ---------------------------------------------------------------------------------------------------------


def test_manifest_of_two(tmp_path):
    """Rows become P0001 and P0002; paths are absolute, types right, what is not given is empty."""
    table = read_manifest(write_manifest(tmp_path, patients(2)))
    assert list(table.index) == ["P0001", "P0002"] and table.index.name == "patient"
    assert list(table["line"]) == [2, 3]
    assert table.loc["P0002", "venous"] == str(tmp_path / "ct" / "2_venous.nii.gz")
    assert table["age"].dtype == float and table["hcc"].dtype == np.int64
    assert (table["cohort"] == "").all() and (table["liver_mask_venous"] == "").all()
    assert not {"ast", "stiffness_kpa"} & set(table)


def test_both_spellings_of_centre(tmp_path):
    """A column named center is read as centre; beside one named centre it is an unknown one."""
    given = patients(2, centre=["C01", "C02"])
    expected = read_manifest(write_manifest(tmp_path, given))
    read = read_manifest(write_manifest(tmp_path, given.rename(columns={"centre": "center"})))
    pd.testing.assert_frame_equal(read, expected)
    with refused("'center'", "must be a known column", "Did you mean 'centre'"):
        read_manifest(write_manifest(tmp_path, given.assign(center="C03")))


def test_manifest_keeps_optional_columns(tmp_path):
    """Comparators' inputs are kept as numbers; gaps in them, AFP, ALT and etiology are allowed."""
    given = patients(2, stiffness_kpa=[12.5, None], afp=[None, 4.0], alt=None, etiology=[None, "hbv"])
    table = read_manifest(write_manifest(tmp_path, given))
    assert table["stiffness_kpa"].iloc[0] == 12.5 and np.isnan(table["stiffness_kpa"].iloc[1])
    assert np.isnan(table["afp"].iloc[0]) and table["alt"].isna().all()
    assert list(table["etiology"]) == ["", "HBV"]


def test_manifest_of_fewer_phases(tmp_path):
    """With phases set to venous, the other columns may be absent, and are dropped where they are there."""
    given = patients(1).drop(columns="arterial")
    table = read_manifest(write_manifest(tmp_path, given), phases=("venous",))
    assert "venous" in table and "delayed" not in table and "spleen_mask_arterial" not in table


def test_manifest_quotes_blank_lines_and_byte_order_mark(tmp_path):
    """Excel's mark, quoted commas, blank lines and a line break inside quotes do not shift the line numbers."""
    table = patients(2, centre=["Hospital, North", "C\n2"])
    file = write_manifest(tmp_path, table)
    lines = file.read_text(encoding="utf-8").split("\n", 2)
    file.write_text("\ufeff" + lines[0] + "\n\n" + lines[1] + "\n" + lines[2], encoding="utf-8")
    read = read_manifest(file)
    assert read["centre"].iloc[0] == "Hospital, North"
    assert list(read["line"]) == [3, 4]


# --- one problem, one message ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(QUANTITIES.keys() & COLUMNS.keys() - {"age"}))
def test_the_manifest_has_the_bounds_of_the_scores(tmp_path, name):
    """Both ends of a score's quantity are accepted in a manifest, and what is beyond them is refused in its words."""
    quantity = QUANTITIES[name]
    assert (
        read_manifest(write_manifest(tmp_path, patients(2, **{name: [quantity.least, quantity.greatest]}))) is not None
    )
    for value, hint in ((quantity.least * 0.99, quantity.if_less), (quantity.greatest * 1.01, quantity.if_greater)):
        with refused("line 3", re.escape(f"to {quantity.greatest:g} {quantity.unit}"), re.escape(hint)):
            read_manifest(write_manifest(tmp_path, patients(2, **{name: [quantity.greatest / 2, value]})))


@pytest.mark.parametrize(
    ("column", "scale", "words"),
    [
        ("bilirubin", 1 / 17.1, ("median", r"17\.1")),
        ("albumin", 0.1, ("4 of 4 values below 10", "by 10")),
        ("platelets", 1000, ("4 of 4 values above 1500", "Divide platelets by 1000")),
        ("platelets", 0.1, ("a median of 16", "10\\^4/uL")),
        ("months", 304, ("4 of 4 values above 600", r"30\.4")),
    ],
)
def test_whole_cohort_in_another_unit(tmp_path, column, scale, words):
    """A column in another unit is one problem with its conversion, not one a patient."""
    table = patients(4, bilirubin=[14, 22, 30, 90], platelets=[80, 150, 170, 200])
    file = write_manifest(tmp_path, table.assign(**{column: table[column] * scale}))
    with refused(f"column '{column}'", *words) as caught:
        read_manifest(file)
    assert "line" not in str(caught.value) and "more; run" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Etiolgy", ("'Etiolgy'", "must be a known column", "Did you mean 'etiology'")),
        ("TBIL", ("'TBIL'", "Did you mean 'bilirubin'")),
        ("liver_mask_portal", ("Did you mean 'liver_mask_",)),
        ("xyzzy", ("'xyzzy'", "Optional columns: cohort, ")),
    ],
)
def test_unknown_column(tmp_path, name, words):
    """An unknown column is refused with the nearest known one."""
    with refused(*words):
        read_manifest(write_manifest(tmp_path, patients(1).assign(**{name: 1})))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("albumin", ("column 'albumin'", "column must be there", "Serum albumin")),
        ("afp", ("column 'afp'", "may be empty")),
        ("delayed", ("column 'delayed'", "set phases to arterial,venous")),
    ],
)
def test_missing_column(tmp_path, name, words):
    """A missing column is named; for a phase the hint is also to do without it."""
    with refused(*words):
        read_manifest(write_manifest(tmp_path, patients(1).drop(columns=name)))


def test_missing_image(tmp_path):
    """The path is shown as the manifest has it."""
    with refused(
        "line 2, column 'arterial'", "image of the arterial phase must exist", "'ct/1_arterial.nii.gz'", "2 more"
    ):
        read_manifest(write_manifest(tmp_path, patients(1), images=False))


def test_count_of_further_problems(tmp_path):
    """The first of three problems says that there are two more and how to see them."""
    file = write_manifest(tmp_path, patients(3, age=[10, 50, 11], sex=["male", "x", "male"]))
    with refused("line 2", r"\(2 more; run hccbook check\.\)"):
        read_manifest(file)
    assert [problem.line for problem in check_manifest(file) if problem.column in ("age", "sex")] == [2, 3, 4]


def test_schema_describes_every_column():
    """The pandera schema has the design's columns, each with a meaning, and a unit where there is one."""
    required = ["patient_id", "centre", "age", "sex", "bilirubin", "albumin", "platelets", "afp", "alt", "etiology"]
    required += ["hcc", "months"]
    assert {name for name, column in MANIFEST_SCHEMA.columns.items() if column.required} == {*required, *PHASES}
    assert all(column.description for column in MANIFEST_SCHEMA.columns.values())
    assert MANIFEST_SCHEMA.columns["bilirubin"].title == "umol/L"


# --- images and masks ------------------------------------------------------------------------------------------------


@pytest.fixture
def imaged(tmp_path):
    """Three patients with small images and masks; the first one's venous phase is a DICOM folder."""
    table = patients(3)
    image = ct((20, 20, 20))
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[5:10, 5:10, 5:10] = 1
    for place, path in enumerate(path for phase in PHASES for path in table[phase]):
        image[0, 0, 0] = -900 + place  # each a volume of its own
        write_image(image, tmp_path / path)
    for number in (1, 2, 3):
        write_image(from_array(mask, image), tmp_path / f"ct/liver{number}.nii.gz")
    # The same box in space: 2 x 3 x 5 mm voxels from (-10, 20, 30).
    series = dict(spacing=(2.0, 3.0, 5.0), origin=(-10.0, 20.0, 30.0))
    write_series(tmp_path / "ct" / "series", stored_values((20, 20, 20)), **series)
    table.loc[0, "venous"] = "ct/series"
    return table.assign(liver_mask_venous=[f"ct/liver{number}.nii.gz" for number in (1, 2, 3)])


def test_check_finds_nothing(imaged, tmp_path):
    """Sound images and masks give no problem."""
    assert check_manifest(write_manifest(tmp_path, imaged)) == []


def test_check_finds_every_broken_image(imaged, tmp_path):
    """One pass reports a mixed folder, another modality, a shifted and an empty mask, a far-off phase and an age."""
    write_series(tmp_path / "ct" / "series", stored_values((3, 20, 20)), series=9, description="scout")
    write_series(tmp_path / "ct" / "mr", stored_values((20, 20, 20)), modality="MR")
    shifted = sitk.ReadImage(str(tmp_path / "ct/liver2.nii.gz"))
    shifted.SetOrigin((0.0, 20.0, 30.0))
    write_image(shifted, tmp_path / "ct/liver2.nii.gz")
    far = ct((20, 20, 20))
    far.SetOrigin((500.0, 20.0, 30.0))
    write_image(far, tmp_path / "ct/3_delayed.nii.gz")
    empty = sitk.ReadImage(str(tmp_path / "ct/liver3.nii.gz")) * 0
    write_image(sitk.Cast(empty, sitk.sitkUInt8), tmp_path / "ct/liver3.nii.gz")
    table = imaged.assign(age=[50, 50, 12])
    table.loc[1, "arterial"] = "ct/mr"
    problems = check_manifest(write_manifest(tmp_path, table))
    found = {(problem.line, problem.column): problem for problem in problems}
    assert set(found) == {
        (2, "venous"),
        (3, "arterial"),
        (3, "liver_mask_venous"),
        (4, "age"),
        (4, "liver_mask_venous"),
        (4, "delayed"),
    }
    assert "2 series" in found[2, "venous"].found and "scout" in found[2, "venous"].found
    assert "20 of modality MR" in found[3, "arterial"].found
    assert "grid of its image" in found[3, "liver_mask_venous"].rule
    assert found[4, "liver_mask_venous"].found == "an empty mask"
    assert found[4, "delayed"].found == "0%"
    assert found[4, "age"].patient_id == "name3"
    assert all(problem.hint for problem in problems)
    json.dumps([problem.model_dump() for problem in problems])


def test_check_does_not_depend_on_workers(imaged, tmp_path):
    """Two workers find what one finds, in the same order."""
    (tmp_path / "ct/3_venous.nii.gz").write_bytes(b"broken")
    (tmp_path / "ct/2_delayed.nii.gz").write_bytes(b"broken")
    file = write_manifest(tmp_path, imaged)
    assert check_manifest(file, workers=1) == check_manifest(file, workers=2)
    assert [problem.line for problem in check_manifest(file)] == [3, 4]


def test_sources_in_order(imaged, tmp_path):
    """Every image comes with its masks after it."""
    listed = sources(read_manifest(write_manifest(tmp_path, imaged)))
    first = listed[listed["patient"] == "P0001"]
    assert list(first["column"]) == ["arterial", "venous", "liver_mask_venous", "delayed"]
    assert list(first["organ"]) == ["", "", "liver", ""]


# --- cohorts ---------------------------------------------------------------------------------------------------------


def centres(sizes: dict[str, tuple[int, int]]) -> pd.DataFrame:
    """Manifest columns that splits need: centre by (patients, of them HCC)."""
    rows = [(centre, int(number < events)) for centre, (count, events) in sizes.items() for number in range(count)]
    table = pd.DataFrame(rows, columns=["centre", "hcc"]).assign(cohort="")
    table.index = [f"P{number:04d}" for number in range(1, len(table) + 1)]
    return table


def test_alarm_split():
    """Of 100 patients and 10 HCC in the largest centre, 20 and 2 validate; the other centres are external."""
    table = centres({"B": (30, 3), "A": (100, 10), "C": (40, 4)})
    cohorts = assign_cohorts(table, "alarm", seed=1)
    counts = pd.crosstab(cohorts, table["hcc"])
    assert counts.loc["discovery"].tolist() == [72, 8]
    assert counts.loc["internal_validation"].tolist() == [18, 2]
    assert counts.loc["external_validation"].tolist() == [63, 7]
    assert set(table["centre"][cohorts == "external_validation"]) == {"B", "C"}


def test_amap_ct_split():
    """The largest centre is the test; 70 others with 10 HCC are divided 7:3, 42 + 7 to 18 + 3."""
    table = centres({"B": (30, 6), "A": (100, 10), "C": (40, 4)})
    cohorts = assign_cohorts(table, "amap_ct", seed=1)
    counts = pd.crosstab(cohorts, table["hcc"])
    assert counts.loc["training"].tolist() == [42, 7]
    assert counts.loc["validation"].tolist() == [18, 3]
    assert counts.loc["test"].tolist() == [90, 10]


def test_split_follows_its_seed():
    """The same seed repeats the division, another one changes it."""
    table = centres({"A": (60, 12), "B": (20, 4)})
    first = assign_cohorts(table, "alarm", seed=1)
    pd.testing.assert_series_equal(first, assign_cohorts(table, "alarm", seed=1))
    assert not first.equals(assign_cohorts(table, "alarm", seed=2))


def test_split_of_one_centre():
    """aMAP-CT divides a single centre, and its test cohort is empty; one patient is in development."""
    cohorts = assign_cohorts(centres({"A": (10, 0)}), "amap_ct", seed=1)
    assert cohorts.value_counts().to_dict() == {"training": 7, "validation": 3}
    for paper, name in (("alarm", "discovery"), ("amap_ct", "training")):
        assert list(assign_cohorts(centres({"A": (1, 0)}), paper, seed=1)) == [name]


def test_split_by_outcome():
    """Of 60 patients with 16 HCC, 10 and 3 + 3 with HCC, 26 and 9 + 9 without: 60, 20 and 20 %, whatever the centre."""
    table = centres({"A": (10, 1), "B": (25, 8), "C": (25, 7)})
    for paper in ("alarm", "amap_ct"):
        counts = pd.crosstab(assign_cohorts(table, paper, 1, "outcome"), table["hcc"])
        assert counts.loc[list(PAPERS[paper].cohorts)].to_numpy().tolist() == [[26, 10], [9, 3], [9, 3]]


@pytest.mark.parametrize(("events", "expected"), [(0, (0, 0, 0)), (2, (2, 0, 0)), (3, (1, 1, 1)), (5, (3, 1, 1))])
def test_split_by_outcome_of_few(events, expected):
    """What there are three of is in all three cohorts; of fewer, all develop."""
    table = centres({"A": (20, events)})
    cohorts = assign_cohorts(table, "alarm", 1, "outcome")
    assert tuple(int(table.loc[cohorts == name, "hcc"].sum()) for name in PAPERS["alarm"].cohorts) == expected


def test_split_by_outcome_keeps_given_cohorts():
    """Only patients without a cohort are divided."""
    table = centres({"A": (20, 8)})
    table.loc[table.index[:3], "cohort"] = "external_validation"
    cohorts = assign_cohorts(table, "alarm", 1, "outcome")
    assert (cohorts[:3] == "external_validation").all()


def test_which_split_serves():
    """The paper's, where each of its cohorts has both outcomes; else by outcome, with the numbers that speak for it."""
    assert choose_split(centres({"A": (100, 20), "B": (50, 10)}), "alarm", 1)[0] == "paper"
    # The largest centre, of 10 patients, has 2 of 16 HCC: an internal validation of 2 patients, none with HCC.
    split, reason = choose_split(centres({"A": (10, 2), "B": (9, 3), "C": (9, 2)}), "alarm", 1)
    assert split == "outcome"
    assert "2 patients with HCC and 6 without in the discovery cohort" in reason
    # A single centre leaves ALARM no external validation, which no other way would give either.
    assert choose_split(centres({"A": (60, 20)}), "alarm", 1)[0] == "paper"
    given = centres({"A": (10, 0)}).assign(cohort="discovery")
    assert choose_split(given, "alarm", 1)[0] == "paper"


def test_remarks_on_what_a_cohort_cannot_give():
    """By column: an outcome that is missing, few events, one centre, and no AFP; a large cohort has no remark."""
    table = centres({"A": (60, 4)}).assign(afp=np.nan, alt=30.0, etiology="HBV")
    remarks = cohort_remarks(table, "amap_ct", CohortSettings())
    assert all(remark.remark and remark.line is None and remark.hint for remark in remarks)
    assert [remark.column for remark in remarks] == ["cohort", "hcc", "centre", "afp"]
    assert "2 with HCC and 34 without" in remarks[1].found
    nobody = cohort_remarks(table.assign(hcc=0), "amap_ct", CohortSettings())
    assert [remark.column for remark in nobody] == ["cohort", "hcc", "hcc", "hcc", "centre", "afp"]
    assert "no model can be fitted" in nobody[1].hint
    large = centres({"A": (200, 60), "B": (200, 60)}).assign(afp=5.0, alt=30.0, etiology="HBV")
    assert cohort_remarks(large, "amap_ct", CohortSettings()) == []


def test_given_cohorts_stay():
    """Cohorts in the manifest are kept, and translated by role for the other paper."""
    table = centres({"A": (4, 1)}).assign(cohort=["discovery", "internal_validation", "external_validation", ""])
    assert list(assign_cohorts(table, "alarm", seed=1))[:3] == list(PAPERS["alarm"].cohorts)
    assert list(assign_cohorts(table, "amap_ct", seed=1))[:3] == list(PAPERS["amap_ct"].cohorts)


def test_split_refuses():
    """Another paper and another cohort are named."""
    table = centres({"A": (4, 1)})
    with pytest.raises(DataError, match="'alrm'"):
        assign_cohorts(table, "alrm", seed=1)
    with pytest.raises(DataError, match="'holdout'"):
        assign_cohorts(table.assign(cohort="holdout"), "alarm", seed=1)


def test_roles():
    """Each paper has a development, a validation and a test cohort."""
    assert role_of_cohort()["discovery"] == role_of_cohort()["training"] == "development"
    assert role_of_cohort()["internal_validation"] == role_of_cohort()["validation"] == "validation"
    assert role_of_cohort()["external_validation"] == role_of_cohort()["test"] == "test"


# --- clinical table and eligibility ----------------------------------------------------------------------------------


@pytest.fixture
def clinical(tmp_path):
    """Clinical table of eight patients of ALARM's discovery cohort, four with HCC."""
    given = patients(
        8,
        cohort="discovery",
        hcc=[0, 0, 0, 0, 1, 1, 1, 1],
        age=[40, 42, 44, 46, 60, 62, 64, 66],
        sex=["male"] * 3 + ["female"] + ["male"] * 4,
        months=[2, 6, 12, 13, 1, 6, 12, 15],
        afp=[1, 2, 3, None, 5, 6, 7, 8],
        etiology=["HBV", "HBV", "HCV", "HBV", "HBV", "HCV", "other", None],
    )
    return clinical_table(read_manifest(write_manifest(tmp_path, given)))


def test_clinical_table_has_scores_and_no_identifier(tmp_path):
    """aMAP of a man of 50 with 17.1 umol/L, 40 g/L and 150 is 57.8782 (reference, section 1)."""
    table = clinical_table(read_manifest(write_manifest(tmp_path, patients(1, cohort="validation"))))
    assert table.loc["P0001", "amap"] == pytest.approx(57.8782, abs=1e-4)
    assert table.loc["P0001", "role"] == "validation"
    assert not {"patient_id", "line", *PHASES} & set(table)
    assert not table.map(lambda cell: "name1" in str(cell) or str(tmp_path) in str(cell)).to_numpy().any()


def test_clinical_table_needs_cohorts(tmp_path):
    """Patients without a cohort are counted."""
    with pytest.raises(DataError, match=r"2 patients without.*assign_cohorts"):
        clinical_table(read_manifest(write_manifest(tmp_path, patients(2))))


def test_eligibility_alarm(clinical):
    """Months 2 and 1 are too short, 13 and 15 too long; P0004 lacks AFP, P0008 its etiology."""
    notes = eligibility(clinical, "alarm")
    assert set(zip(notes["patient"], notes["criterion"], strict=True)) == {
        ("P0001", "last visit within 3 months of the CT"),
        ("P0005", "HCC within 3 months of the CT"),
        ("P0004", "CT more than 12 months before the last visit"),
        ("P0008", "CT more than 12 months before HCC"),
        ("P0004", "incomplete clinical data: afp"),
        ("P0008", "incomplete clinical data: etiology"),
    }


def test_eligibility_amap_ct(clinical):
    """aMAP-CT has no upper bound of follow-up."""
    notes = eligibility(clinical, "amap_ct")
    assert not notes["criterion"].str.contains("12 months").any()
    assert (notes["criterion"].str.contains("3 months")).sum() == 2


# --- study flow ------------------------------------------------------------------------------------------------------


def test_study_flow_by_hand():
    """Five patients, one lost twice (counted at the first stage), four left in two cohorts."""
    clinical = pd.DataFrame(
        {"cohort": ["discovery"] * 3 + ["external_validation"] * 2, "hcc": [1, 0, 0, 1, 0], "age": 50, "months": 6.0},
        index=[f"P000{number}" for number in range(1, 6)],
    )
    failures = pd.DataFrame({"patient": ["P0002", "P0002"], "stage": ["preprocessing", "features"]})
    found = study_flow(clinical, failures, "alarm")
    assert found[["label", "n", "events"]].to_numpy().tolist() == [
        ["Patients in the manifest", 5, 2],
        ["Left out in preprocessing", 1, 0],
        ["Patients analysed", 4, 2],
        ["discovery", 2, 1],
        ["external_validation", 2, 1],
    ]
    assert found["kind"].tolist() == ["kept", "left out", "kept", "kept", "kept"]
    assert found["parent"].tolist() == ["", "manifest", "manifest", "analysed", "analysed"]


def test_study_flow_without_losses():
    """Nobody falls out: no box of those left out."""
    clinical = pd.DataFrame({"cohort": ["discovery"], "hcc": [1], "age": [50], "months": [6.0]}, index=["P0001"])
    found = study_flow(clinical, pd.DataFrame(columns=["patient", "stage"]), "alarm")
    assert "left out" not in set(found["kind"])


def test_study_flow_says_whom_the_paper_would_leave_out(clinical):
    """Of eight patients two lack a value and four are outside ALARM's window, two of them both: none is removed."""
    failures = pd.DataFrame({"patient": ["P0001"], "stage": ["features"]})
    found = study_flow(clinical, failures, "alarm")
    outside = found[found["kind"] == "would leave out"]
    assert outside[["parent", "label", "n", "events"]].to_numpy().tolist() == [
        ["analysed", "Would be left out by the paper: HCC within 3 months of the CT", 1, 1],
        ["analysed", "Would be left out by the paper: CT more than 12 months before HCC", 1, 1],
        ["analysed", "Would be left out by the paper: CT more than 12 months before the last visit", 1, 0],
    ]
    assert found.set_index("box").loc[["analysed", "discovery"], "n"].tolist() == [7, 7]
    assert "12 months" not in " ".join(study_flow(clinical, failures, "amap_ct")["label"])


def test_study_flow_names_a_stranger():
    """A failure of a patient that the table does not know belongs to another run."""
    clinical = pd.DataFrame({"cohort": ["discovery"], "hcc": [1], "age": [50], "months": [6.0]}, index=["P0001"])
    with pytest.raises(DataError, match="P0009"):
        study_flow(clinical, pd.DataFrame({"patient": ["P0009"], "stage": ["features"]}), "alarm")


def test_enrolment_by_hand():
    """The centre that is divided has its own box, the other two share theirs; counts add up."""
    clinical = pd.DataFrame(
        {
            "centre": ["C01", "C01", "C03", "C02", "C01"],
            "cohort": ["discovery", "internal_validation", "external_validation", "external_validation", "discovery"],
            "hcc": [1, 0, 1, 0, 0],
        }
    )
    found = enrolment(clinical)
    assert found[["label", "n", "events"]].to_numpy().tolist() == [
        ["Patients enrolled", 5, 2],
        ["Centre C01", 3, 1],
        ["discovery", 2, 1],
        ["internal_validation", 1, 0],
        ["2 centres, C02 to C03", 2, 1],
        ["external_validation", 2, 1],
    ]


# --- which subgroup ---------------------------------------------------------------------------------------------------


def test_clinical_subgroups_by_hand():
    """Median age 50, AFP at 20 in the upper group, a missing AFP in none."""
    table = pd.DataFrame({"age": [40, 50, 60.0], "sex": ["male", "female", "male"], "afp": [19.9, 20, np.nan]})
    found = clinical_subgroups(table)
    assert found["age"].tolist() == ["< 50 years", "≥ 50 years", "≥ 50 years"]
    assert found["sex"].tolist() == ["Men", "Women", "Men"]
    assert found["afp"].tolist()[:2] == ["< 20 μg/L", "≥ 20 μg/L"]
    assert found["afp"].isna().tolist() == [False, False, True]


def test_clinical_subgroups_with_a_given_bound():
    """The bounds, of ages the median, stand in the levels."""
    table = pd.DataFrame({"age": [44.0, 46.0], "sex": ["male", "male"], "afp": [5.0, 8.0]})
    found = clinical_subgroups(table, afp=7)
    assert found["age"].cat.categories.tolist() == ["< 45 years", "≥ 45 years"]
    assert found["afp"].tolist() == ["< 7 μg/L", "≥ 7 μg/L"]


@pytest.mark.parametrize(
    ("table", "word"),
    [
        (pd.DataFrame({"age": [50.0], "sex": ["male"]}), "afp"),
        (pd.DataFrame({"age": [50.0], "sex": ["m"], "afp": [1.0]}), "male or female"),
    ],
)
def test_clinical_subgroups_refuse_other_tables(table, word):
    """A column that is missing and a sex coded otherwise are named."""
    with pytest.raises(DataError, match=word):
        clinical_subgroups(table)


# --- Table 1 ---------------------------------------------------------------------------------------------------------


def cell(rows: pd.DataFrame, **chosen: str) -> pd.Series:
    """The one row with these values."""
    for name, value in chosen.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_alarm_characteristics_by_hand(clinical):
    """Ages 40, 42, 44, 46 have median 43 and quartiles 41.5, 44.5; all below 60 to 66: exact two-sided p = 2/70."""
    rows = characteristics(clinical, "alarm")
    age = cell(rows, characteristic="age", cohort="discovery", subgroup="non_hcc")
    assert (age["median"], age["q1"], age["q3"], age["n"]) == (43, 41.5, 44.5, 4)
    assert age["p_value"] == pytest.approx(2 / 70)  # one of the 70 ways to choose 4 of 8, and its mirror image
    assert cell(rows, characteristic="age", cohort="all", subgroup="hcc")["median"] == 63


def test_alarm_counts_by_hand(clinical):
    """3 of 4 men against 4 of 4: expected counts below 5, so Fisher's p, which is 1 here."""
    rows = characteristics(clinical, "alarm")
    men = cell(rows, characteristic="male", cohort="discovery", subgroup="non_hcc")
    assert (men["count"], men["percent"], men["p_value"]) == (3, 75.0, pytest.approx(1.0))


def test_missing_values_lower_n(clinical):
    """AFP of three of four patients; etiology percentages are of the three that are known."""
    rows = characteristics(clinical, "alarm")
    assert cell(rows, characteristic="afp", cohort="all", subgroup="non_hcc")["n"] == 3
    hbv = cell(rows, characteristic="etiology", level="HBV", cohort="all", subgroup="hcc")
    assert (hbv["n"], hbv["count"], hbv["percent"]) == (3, 1, pytest.approx(100 / 3))


def test_empty_group_is_documented(clinical):
    """A cohort without patients has n 0, no median and no p."""
    row = cell(characteristics(clinical, "alarm"), characteristic="age", cohort="external_validation", subgroup="hcc")
    assert row["n"] == 0 and np.isnan([row["median"], row["p_value"]]).all()


@pytest.mark.parametrize(
    ("cohort", "without", "with_hcc", "percent", "p_value"),
    [
        ("all", (1411, 1769), (78, 89), 79.8, 0.093),
        ("discovery", (742, 879), (41, 45), 84.4, 0.314),
        ("external_validation", (478, 672), (24, 31), 71.1, 0.579),
    ],
)
def test_printed_counts_give_the_printed_p(cohort, without, with_hcc, percent, p_value):
    """Men among patients without and with HCC in ALARM's Table 1 give its percentages and p-values."""
    rows = []
    for hcc, (men, count) in enumerate((without, with_hcc)):
        rows += [("male", hcc)] * men + [("female", hcc)] * (count - men)
    table = pd.DataFrame(rows, columns=["sex", "hcc"])
    table = table.assign(cohort="discovery" if cohort == "all" else cohort, etiology="HBV", amap=60.0)
    row = cell(characteristics(table, "alarm"), characteristic="male", cohort=cohort, subgroup="non_hcc")
    assert round(row["percent"], 1) == percent
    assert round(row["p_value"], 3) == p_value


def test_amap_ct_characteristics(clinical):
    """Three cohorts beside the whole; Kruskal-Wallis of 2, 2 and 4 patients in perfect order; etiologies joined."""
    cohorts = ["training"] * 2 + ["validation"] * 2 + ["test"] * 4
    rows = characteristics(clinical.assign(cohort=cohorts), "amap_ct")
    assert list(dict.fromkeys(rows["cohort"])) == ["overall", "training", "validation", "test"]
    assert set(rows["subgroup"]) == {"all"}
    # Rank sums 3, 7 and 26 of 8: H = 12 / (8 x 9) (9/2 + 49/2 + 676/4) - 3 x 9 = 6, p = exp(-3) on 2 df.
    assert cell(rows, characteristic="age", cohort="test")["p_value"] == pytest.approx(np.exp(-3))
    assert cell(rows, characteristic="etiology", level="other", cohort="overall")["count"] == 3
    assert cell(rows, characteristic="hcc", cohort="test")["percent"] == 100
    groups = rows[(rows["characteristic"] == "amap_group") & (rows["cohort"] == "overall")]
    assert list(groups["level"]) == ["low", "medium", "high"] and groups["count"].sum() == 8


def test_characteristics_after_a_file(clinical, tmp_path):
    """The table read back from its CSV gives the same numbers, BCLC stage 0 among them."""
    clinical = clinical.assign(bclc=[""] * 4 + ["0"] * 3 + [""])
    clinical.reset_index().to_csv(tmp_path / "table.csv", index=False)
    back = pd.read_csv(tmp_path / "table.csv").set_index("patient")
    rows = characteristics(back, "alarm")
    pd.testing.assert_frame_equal(rows, characteristics(clinical, "alarm"))
    stage = cell(rows, characteristic="bclc", level="0", cohort="all")
    assert (stage["subgroup"], stage["n"], stage["count"]) == ("hcc", 3, 3)


def test_characteristics_refuse_the_other_paper(clinical):
    """Cohorts of the other paper are named."""
    with pytest.raises(DataError, match="'discovery'"):
        characteristics(clinical, "amap_ct")
