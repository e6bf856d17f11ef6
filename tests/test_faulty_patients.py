"""A faulty patient in any row of a manifest: check names them, the others go on, the failures table has them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from hccbook.errors import DataError, ManifestError
from hccbook.images import write_image
from hccbook.pipeline import files, pictures, runner
from hccbook.pipeline.checks import check_for_run, papers_served
from hccbook.pipeline.cohort import make_cohort
from hccbook.pipeline.preprocessing import preprocess_cohort
from hccbook.pipeline.segmentation import segment_cohort
from hccbook.run import RunPaths
from hccbook.settings import Profile, load_profile

PHASES = ("arterial", "venous")
PROFILE = Profile(
    run={"synthetic": False, "phases": ",".join(PHASES)},
    cohort={"segmentation_patients": 0},
    preprocessing={"spacing_mm": 6.0},
    segmentation={"mask_source": "manifest"},
)
ROWS = {"first": 0, "middle": 2, "last": 4}
PATIENTS = 5
NAMES = ["Ottilie", "Balthasar", "Walburga", "Kunibert", "Hildegund"]
SECRET = "Wilhelmine"


def volume(array: np.ndarray, origin: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((6.0, 6.0, 6.0))
    image.SetOrigin(origin)
    return image


def abdomen(number: int, phase: str) -> np.ndarray:
    """A box of soft tissue in air with two organs, which a phase makes brighter; noise of its own."""
    noise = np.random.default_rng([number, PHASES.index(phase)]).normal(0, 8, (20, 24, 28))
    hu = np.full(noise.shape, -1000.0)
    hu[:, 3:-3, 3:-3] = 50
    hu[4:14, 6:16, 5:13] = 70 if phase == "arterial" else 110
    hu[6:12, 8:14, 19:24] = 115
    return np.rint(hu + noise).astype(np.int16)


def organ(name: str) -> np.ndarray:
    mask = np.zeros((20, 24, 28), np.uint8)
    if name == "liver":
        mask[4:14, 6:16, 5:13] = 1
    else:
        mask[6:12, 8:14, 19:24] = 1
    return mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and masks of five patients in whom nothing is wrong, and files in which something is."""
    folder = tmp_path_factory.mktemp("faulty")
    for number, phase in ((number, phase) for number in range(PATIENTS) for phase in PHASES):
        write_image(volume(abdomen(number, phase)), folder / f"{NAMES[number]}_{phase}.nii.gz")
        for name in ("liver", "spleen"):
            write_image(volume(organ(name)), folder / f"{NAMES[number]}_{name}_{phase}.nii.gz")
    odd = abdomen(99, "venous")
    (folder / f"{SECRET}.nii.gz").write_bytes(b"no image")
    whole = gzip.compress(gzip.decompress((folder / f"{NAMES[0]}_venous.nii.gz").read_bytes()))
    (folder / f"{SECRET}_cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / f"{SECRET}_empty").mkdir()
    write_image(volume(np.abs(odd)), folder / f"{SECRET}_window.nii.gz")
    write_image(volume(odd, (900.0, 0.0, 0.0)), folder / f"{SECRET}_elsewhere.nii.gz")
    sitk.WriteImage(sitk.JoinSeries([volume(odd), volume(odd)]), str(folder / f"{SECRET}_4d.nii.gz"))
    broken = odd.astype(np.float32)
    broken[3, 3, 3] = np.nan
    sitk.WriteImage(volume(broken), str(folder / f"{SECRET}_nan.nii.gz"))
    write_image(volume(organ("liver"), (3.0, 0.0, 0.0)), folder / f"{SECRET}_shifted.nii.gz")
    write_image(volume(organ("liver") * 0), folder / f"{SECRET}_blank.nii.gz")
    write_image(volume(organ("liver") * 3), folder / f"{SECRET}_threes.nii.gz")
    write_image(volume(organ("liver")), folder / f"{SECRET}_liver.nii.gz")
    speck = np.zeros_like(organ("liver"))
    speck[8, 8, 8] = 1
    write_image(volume(speck), folder / f"{SECRET}_speck.nii.gz")
    return folder


class Fault(NamedTuple):
    """What is wrong with a patient, the column that check names, and the stage that the patient falls out in."""

    changes: dict[str, object]
    column: str | None
    stage: str


FAULTS = {
    "file missing": Fault({"venous": f"{SECRET}_gone.nii.gz"}, "venous", "cohort"),
    "phase missing": Fault({"arterial": ""}, "arterial", "cohort"),
    "mask file missing": Fault({"liver_mask_venous": f"{SECRET}_gone.nii.gz"}, "liver_mask_venous", "cohort"),
    "other unit": Fault({"bilirubin": 0.9}, "bilirubin", "cohort"),
    "decimal comma": Fault({"albumin": "38,5"}, "albumin", "cohort"),
    "name in a number": Fault({"age": SECRET}, "age", "cohort"),
    "child": Fault({"age": 9}, "age", "cohort"),
    "no outcome": Fault({"hcc": ""}, "hcc", "cohort"),
    "no follow-up": Fault({"months": 0}, "months", "cohort"),
    "sex in a code": Fault({"sex": "1"}, "sex", "cohort"),
    "unknown cohort": Fault({"cohort": "trial"}, "cohort", "cohort"),
    "stage without HCC": Fault({"hcc": 0, "bclc": "B"}, "bclc", "cohort"),
    "no identifier": Fault({"patient_id": ""}, "patient_id", "cohort"),
    "one file, two phases": Fault({"arterial": f"{SECRET}.nii.gz", "venous": f"{SECRET}.nii.gz"}, "venous", "cohort"),
    "unreadable": Fault({"venous": f"{SECRET}.nii.gz"}, "venous", "preprocessing"),
    "cut off": Fault({"arterial": f"{SECRET}_cut.nii.gz"}, "arterial", "preprocessing"),
    "empty folder": Fault({"venous": f"{SECRET}_empty"}, "venous", "preprocessing"),
    "no HU": Fault({"venous": f"{SECRET}_window.nii.gz"}, "venous", "preprocessing"),
    "two volumes": Fault({"venous": f"{SECRET}_4d.nii.gz"}, "venous", "preprocessing"),
    "not finite": Fault({"venous": f"{SECRET}_nan.nii.gz"}, "venous", "preprocessing"),
    "another body part": Fault({"arterial": f"{SECRET}_elsewhere.nii.gz"}, "arterial", "preprocessing"),
    "mask on another grid": Fault(
        {"liver_mask_venous": f"{SECRET}_shifted.nii.gz"}, "liver_mask_venous", "preprocessing"
    ),
    "blank mask": Fault({"spleen_mask_venous": f"{SECRET}_blank.nii.gz"}, "spleen_mask_venous", "preprocessing"),
    "mask of threes": Fault({"liver_mask_arterial": f"{SECRET}_threes.nii.gz"}, "liver_mask_arterial", "preprocessing"),
    "one mask for both": Fault({"spleen_mask_venous": f"{SECRET}_liver.nii.gz"}, "liver_mask_venous", "preprocessing"),
    "mask not given": Fault(
        dict.fromkeys((f"{name}_mask_venous" for name in ("liver", "spleen")), ""), "liver_mask_venous", "segmentation"
    ),
    "spleen not given": Fault({"spleen_mask_arterial": ""}, "spleen_mask_arterial", "segmentation"),
    "speck of a spleen": Fault({"spleen_mask_venous": f"{SECRET}_speck.nii.gz"}, "spleen_mask_venous", "features"),
}


def rows() -> list[dict[str, object]]:
    clinical = {"age": 50, "sex": "male", "bilirubin": 17, "albumin": 40, "platelets": 150, "afp": 5, "alt": 30}
    made = []
    for number, name in enumerate(NAMES):
        row = {"patient_id": name, "centre": "A", "cohort": "", **clinical, "etiology": "HBV", "bclc": ""}
        row |= {"hcc": number % 2, "months": 24}
        for phase in PHASES:
            row[phase] = f"{name}_{phase}.nii.gz"
            row |= {f"{mask}_mask_{phase}": f"{name}_{mask}_{phase}.nii.gz" for mask in ("liver", "spleen")}
        made.append(row)
    return made


def write(folder: Path, name: str, table: list[dict[str, object]]) -> RunPaths:
    file = folder / f"{name}.csv"
    pd.DataFrame(table).to_csv(file, index=False)
    return RunPaths(folder / "runs" / name, file)


def fell_out(run: RunPaths, until: str = "segmentation") -> pd.DataFrame:
    """Failures of aMAP-CT, which reads both organs; whoever did not fail is in the table of the last stage."""
    make_cohort(run, "amap_ct", PROFILE.cohort, PHASES, 1)
    preprocess_cohort(run, "amap_ct", PROFILE.preprocessing, PHASES, 1)
    if until == "segmentation":
        segment_cohort(run, "amap_ct", PROFILE.segmentation, None, PHASES, 1)
    failures = files.read_failures(run, ["amap_ct"])
    got_through = set(files.read_table(run, until, "amap_ct.csv")["patient"])
    assert got_through == {f"P{n:04d}" for n in range(1, PATIENTS + 1)} - set(failures["patient"])
    return failures


def refused_lines(run: RunPaths) -> dict[int, set[str | None]]:
    """Lines that check refuses, with the columns that it names."""
    lines: dict[int, set[str | None]] = {}
    for problem in check_for_run(run.manifest, PROFILE, workers=1):
        if not problem.remark:
            assert problem.consequence == "the patient is left out"
            assert problem.hint
            lines.setdefault(problem.line, set()).add(problem.column)
    return lines


@pytest.mark.parametrize("place", ROWS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_patient_costs_that_patient(folder: Path, name: str, place: str) -> None:
    """Check names line and column; the run leaves out that patient alone, and says why without a name or a file."""
    fault, table = FAULTS[name], rows()
    table[ROWS[place]] |= fault.changes
    run = write(folder, f"{name} {place}".replace(" ", "_"), table)
    named = refused_lines(run)
    assert set(named) == {ROWS[place] + 2}
    assert fault.column in named[ROWS[place] + 2]
    failures = fell_out(run, "segmentation")
    if fault.stage == "features":
        # What is left of it is one voxel or none, as the working grid falls.
        failures = failures if len(failures) else pd.DataFrame([{"patient": f"P{ROWS[place] + 1:04d}", "reason": ""}])
    else:
        assert failures["stage"].tolist() == [fault.stage]
    assert failures["patient"].tolist() == [f"P{ROWS[place] + 1:04d}"]
    assert not any(word in failures["reason"].iloc[0] for word in (*NAMES, SECRET, str(folder)))
    volumes, _ = pictures.readable_images(run, "amap_ct", PHASES)
    assert set(volumes) == set(PHASES)


@pytest.mark.parametrize("place", ROWS)
def test_an_identifier_twice_costs_the_later_row(folder: Path, place: str) -> None:
    """The patient is taken once, by the first row; check and the failures table name the other."""
    table = rows()
    other = 3 if place != "last" else 1
    table[ROWS[place]]["patient_id"] = table[other]["patient_id"]
    later = max(ROWS[place], other)
    run = write(folder, f"id_{place}", table)
    assert refused_lines(run) == {later + 2: {"patient_id"}}
    assert fell_out(run)[["patient", "stage"]].to_numpy().tolist() == [[f"P{later + 1:04d}", "cohort"]]


@pytest.mark.parametrize("place", ROWS)
@pytest.mark.parametrize("kind", ["path", "copy", "flipped copy"])
def test_a_volume_of_two_patients_costs_both(folder: Path, kind: str, place: str) -> None:
    """By its path, or by its voxels however they lie in the file: nobody knows whose it is."""
    table = rows()
    other = 3 if place != "last" else 1
    source = table[other]["venous"]
    if kind != "path":
        image = sitk.ReadImage(str(folder / source))
        image = sitk.DICOMOrient(image, "RAS") if kind == "flipped copy" else image
        source = f"{SECRET}_{place}_{kind.replace(' ', '_')}.nii.gz"
        write_image(image, folder / source)
    table[ROWS[place]]["venous"] = source
    run = write(folder, f"twice_{kind.replace(' ', '_')}_{place}", table)
    both = sorted((ROWS[place], other))
    assert refused_lines(run) == {row + 2: {"venous"} for row in both}
    failures = fell_out(run)
    stage = "cohort" if kind == "path" else "preprocessing"
    assert failures[["patient", "stage"]].to_numpy().tolist() == [[f"P{row + 1:04d}", stage] for row in both]


@pytest.mark.parametrize("place", ROWS)
def test_a_row_of_another_length_costs_that_patient(folder: Path, place: str) -> None:
    """A comma too many in one row leaves the other rows what they are."""
    run = write(folder, f"comma_{place}", rows())
    lines = run.manifest.read_text(encoding="utf-8").splitlines()
    lines[ROWS[place] + 1] += ",extra"
    run.manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert refused_lines(run) == {ROWS[place] + 2: {None}}
    assert fell_out(run)["patient"].tolist() == [f"P{ROWS[place] + 1:04d}"]


def test_nothing_is_wrong_with_the_others(folder: Path) -> None:
    """The five patients as they are have no problem, only remarks on so small a cohort, and nobody falls out."""
    run = write(folder, "sound", rows())
    assert all(problem.remark and problem.line is None for problem in check_for_run(run.manifest, PROFILE, workers=1))
    assert fell_out(run).empty


def test_keys_stay_when_another_row_is_corrected(folder: Path) -> None:
    """A key is that of the row: with the first row wrong, the second patient is P0002 all the same."""
    table = rows()
    table[0]["albumin"] = 4.0
    clinical = make_cohort(write(folder, "keys", table), "amap_ct", PROFILE.cohort, PHASES, 1)
    assert list(clinical.index) == ["P0002", "P0003", "P0004", "P0005"]
    assert clinical["hcc"].dtype == np.int64


def test_a_paper_that_nobody_has_masks_for_is_left_out(folder: Path, tmp_path: Path) -> None:
    """With liver masks alone ALARM runs; aMAP-CT is a remark of check and in no stage, and no patient is refused."""
    livers = [{name: value for name, value in row.items() if not name.startswith("spleen")} for row in rows()]
    manifest = write(folder, "livers", livers).manifest
    assert papers_served(manifest, PROFILE) == ["alarm"]
    problems = check_for_run(manifest, PROFILE, workers=1)
    assert all(problem.remark for problem in problems)
    assert "aMAP-CT needs masks of liver and spleen in every phase" in [problem.rule for problem in problems]
    profile, file = runner.fit_to_manifest(PROFILE, tmp_path / "own.yaml", str(manifest), str(tmp_path / "run"))
    assert profile.run.papers == "alarm"
    assert load_profile(file).run == profile.run.model_copy(update={"manifest": ""})
    assert runner.fit_to_manifest(PROFILE, file, str(write(folder, "both", rows()).manifest), "x") == (PROFILE, file)


def test_masks_of_no_paper_leave_the_papers_as_they_are(folder: Path) -> None:
    """Where nobody has any mask, each patient says what is missing."""
    bare = [{name: value for name, value in row.items() if "_mask_" not in name} for row in rows()]
    run = write(folder, "bare", bare)
    assert papers_served(run.manifest, PROFILE) == ["alarm", "amap_ct"]
    assert set(refused_lines(run)) == {2, 3, 4, 5, 6}


def test_nobody_left_is_one_message(folder: Path) -> None:
    """A manifest without a usable row is refused before anything runs; one without a readable image says so too."""
    run = write(folder, "nobody", [row | {"albumin": "?"} for row in rows()])
    with pytest.raises(ManifestError, match=r"line 2, column 'albumin'.*4 more; run hccbook check"):
        make_cohort(run, "amap_ct", PROFILE.cohort, PHASES, 1)
    unreadable = [row | {"venous": f"{SECRET}.nii.gz"} for row in rows()[:1]]
    with pytest.raises(DataError, match="at least one patient must be readable, but found 0 of 1"):
        pictures.readable_images(write(folder, "unread", unreadable), "amap_ct", PHASES)
