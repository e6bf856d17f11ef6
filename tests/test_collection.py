"""`hccbook manifest`: words, names, phases, clinical values, pages, and what is refused."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_collection import (
    ARTERIAL,
    DELAY_S,
    DELAYED,
    NINE,
    PHASE_HU,
    SLICES,
    UNENHANCED,
    VENOUS,
    body,
    mask_of,
    write_ct,
    write_frames,
    write_masks,
    write_study,
)
from typer.testing import CliRunner

from hccbook.cli import app
from hccbook.cohort import check_manifest
from hccbook.collection import Choices, Observation, propose_phases, write_manifest
from hccbook.collection.phases import ALL_PHASES, UNSURE
from hccbook.collection.recipes import Recipe, name_parts, phase_word
from hccbook.collection.tree import walk
from hccbook.collection.volumes import dicom_volumes
from hccbook.errors import DataError, ImageError, ManifestError, SettingsError
from hccbook.images import from_array, read_image, to_array
from hccbook.phantom import render_patient
from hccbook.phantom.dicom import LAYOUTS, oblique
from hccbook.phantom.export import MANNERS, write_export
from hccbook.settings import CohortSettings

CLINICAL = {
    **{"centre": "C1", "bilirubin": "17", "albumin": "40", "platelets": "150", "afp": "5", "alt": "30"},
    **{"etiology": "HBV", "hcc": "0", "months": "60"},
}


def cells_of(report) -> pd.DataFrame:
    return pd.read_csv(report.manifest, dtype=str, keep_default_na=False).set_index("patient_id")


# --- words and names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        ("Recon 2: LIVER 3 PHASE (AP)", ""),
        ("LIVER 3 PHASE CAP", ""),
        ("ABD ART 2.0 B30f", "arterial"),
        ("late arterial", "arterial"),
        ("Leber_arteriell", "arterial"),
        ("liver 35s", "arterial"),
        ("portal venous 1.25mm", "venous"),
        ("PORTAL_VENOUS", "venous"),
        ("PV", "venous"),
        ("abdomen 70 sec", "venous"),
        ("VEN 5.0", "venous"),
        ("delayed", "delayed"),
        ("liver 3 min", "delayed"),
        ("180s", "delayed"),
        ("Spaetphase", "delayed"),
        ("non-contrast", "precontrast"),
        ("w/o contrast", "precontrast"),
        ("Abdomen nativ", "precontrast"),
        ("arterial and venous", ""),
        ("late venous", ""),
        ("50s", ""),
        ("START", ""),
        ("carotid CTA", ""),
        ("event", ""),
        ("CT ABD W/WO CONTRAST", ""),
        ("hospital del mar", ""),
        ("", ""),
    ],
)
def test_words_of_phases(text, phase):
    """A description names a phase by whole words, by seconds or by minutes; AP, two phases and doubt name none."""
    assert phase_word(text) == phase


@pytest.mark.parametrize(
    ("place", "patient", "organ", "is_mask", "phase"),
    [
        ("P001_arterial.nii.gz", "P001", "", None, "arterial"),
        ("P001/arterial.nii.gz", "P001", "", None, "arterial"),
        ("P001/venous/ct.nii.gz", "P001", "", None, "venous"),
        ("P001/venous/segmentations/liver.nii.gz", "P001", "liver", True, "venous"),
        ("P001_venous_liver_mask.nii.gz", "P001", "liver", True, "venous"),
        ("imagesTr/case_12_0000.nii.gz", "case_12", "", False, ""),
        ("labelsTr/case_12.nii.gz", "case_12", "", True, ""),
        ("sub-03/anat/sub-03_ce-delayed_ct.nii", "sub_03_ce", "", None, "delayed"),
    ],
)
def test_names_of_nifti_files(place, patient, organ, is_mask, phase):
    """Patient, organ and phase come from the file's name and its folders; nnU-Net's channel is none of them."""
    parts = name_parts(place, Recipe())
    assert (parts.patient, parts.organ, parts.is_mask, phase_word(parts.words)) == (patient, organ, is_mask, phase)


# --- phases -----------------------------------------------------------------------------------------------------------


STUDY = [Observation(NINE + DELAY_S[phase], PHASE_HU[phase]) for phase in ALL_PHASES]


def test_usual_study():
    """Printed HU at usual delays are the four phases, surely."""
    assert [proposal.phase for proposal in propose_phases(STUDY)] == list(ALL_PHASES)


def test_times_alone():
    """Delays of 35, 70 and 190 s with an unenhanced scan before are told from their gaps."""
    bare = [Observation(item.second) for item in STUDY]
    assert [proposal.phase for proposal in propose_phases(bare)] == list(ALL_PHASES)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_order_does_not_matter(order):
    """Volumes in another order get the same phases with the same probability."""
    usual, turned = propose_phases(STUDY), propose_phases([STUDY[index] for index in order])
    assert [turned[order.index(index)].phase for index in range(4)] == [proposal.phase for proposal in usual]
    both = [(turned[order.index(index)].confidence, usual[index].confidence) for index in range(4)]
    np.testing.assert_allclose(*zip(*both, strict=True), rtol=1e-9)


@settings(max_examples=15)
@given(st.integers(-40_000, 40_000))
def test_clock_does_not_matter(shift):
    """Only differences of times count."""
    moved = [dataclasses.replace(item, second=item.second + shift) for item in STUDY]
    assert [item.phase for item in propose_phases(moved)] == list(ALL_PHASES)


def test_another_reconstruction_changes_nothing():
    """A second reconstruction of the venous acquisition is venous, and the other phases stay."""
    thin = dataclasses.replace(STUDY[2], hu={organ: value + 1.0 for organ, value in STUDY[2].hu.items()})
    assert [item.phase for item in propose_phases([*STUDY, thin])] == [*ALL_PHASES, "venous"]


def test_nothing_known():
    """Without time, HU and words there is no phase."""
    (proposal,) = propose_phases([Observation()])
    assert (proposal.phase, proposal.evidence) == (UNSURE, "nothing")


def test_one_contrast_volume_of_two_organs():
    """Liver and spleen of one volume say that there is contrast, and not which phase; unenhanced they do."""
    late = {organ: VENOUS[organ] for organ in ("liver", "spleen")}
    bare = {organ: UNENHANCED[organ] for organ in ("liver", "spleen", "aorta")}
    assert propose_phases([Observation(hu=late)])[0].phase == UNSURE
    assert propose_phases([Observation(hu=bare)])[0].phase == "precontrast"


def test_word_against_the_image():
    """A description that names another phase than everything else makes the phase unsure, and says so."""
    told = [dataclasses.replace(STUDY[3], word="arterial"), *STUDY[:3]]
    first = propose_phases(told)[0]
    assert (first.phase, first.likeliest) == (UNSURE, "delayed") and "the rest speaks for delayed" in first.evidence


def test_times_that_contradict_the_images():
    """Three volumes of one moment with the HU of three phases: the times are not used."""
    same = [dataclasses.replace(item, second=NINE) for item in STUDY]
    proposals = propose_phases(same)
    assert all("times contradict" in item.evidence for item in proposals)
    assert {item.phase for item in proposals} <= {UNSURE, *ALL_PHASES}
    assert [item.likeliest for item in proposals] == list(ALL_PHASES)


def test_two_injections_of_one_study():
    """A scan of the next hour has its own injection, and its phase is not told by the first one's."""
    later = Observation(NINE + 7200.0)
    assert [item.phase for item in propose_phases([*STUDY, later])] == [*ALL_PHASES, UNSURE]


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        (Observation(hu={"lung": -800}), "lung"),
        (Observation(word="portal"), "'portal'"),
        (Observation(hu={"liver": float("nan")}), "NaN"),
    ],
)
def test_observations_refused(observation, words):
    """An unknown organ, a word that is no phase, and HU that are not finite are refused."""
    with pytest.raises(DataError, match=words):
        propose_phases([observation])


@pytest.fixture(scope="module")
def benchmark(project_root):
    """The benchmark's simulation, which the package does not know."""
    spec = importlib.util.spec_from_file_location("contrast_phases", project_root / "benchmarks/contrast_phases.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # in which its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def test_circulation(benchmark):
    """A lower output raises the aorta's peak and delays it; late on, blood is everywhere alike.

    Kidoh et al., J Comput Assist Tomogr 2017;41:349: peaks of 420, 365 and 291 HU at 2.8, 4.2 and 5.6 L/min. Goshima
    et al., AJR 2006: 300 to 336 HU in the aorta 10 to 15 s after the trigger, 59 to 63 in the liver at 45 to 55 s.
    """
    output = np.array([2.8, 4.2, 5.6])
    curves = benchmark.enhancement(output, np.full(3, 65.0), np.full(3, 65.0 * 500), np.full(3, 20.0), np.ones(3))
    peaks, moments = curves["aorta"].max(axis=0), curves["aorta"].argmax(axis=0)
    assert (np.diff(peaks) < 0).all() and (np.diff(moments) < 0).all()
    assert ((peaks > 240) & (peaks < 480)).all()
    assert ((curves["liver"].max(axis=0) > 35) & (curves["liver"].max(axis=0) < 75)).all()
    late = int(300 / benchmark.STEP_S)
    np.testing.assert_allclose(curves["aorta"][late], curves["portal_vein"][late], rtol=0.15)


def test_simulated_studies(benchmark):
    """Where a phase is sure it is right 99 times in 100, and at most one in ten is unsure; simulated is not clinical.

    120 studies of other draws than those of the benchmark; takes seconds, because each is weighed over all
    circulations.
    """
    draws = dataclasses.replace(benchmark.JUDGEMENT, seed=5)
    (row,) = [row for row in benchmark.judge(benchmark.simulate(draws, 120))["rows"] if row["group"] == "all"]
    assert row["volumes"] > 400 and row["right_where_sure"] >= 0.99 and row["unsure"] <= 0.10


def test_kept_benchmark(project_root):
    """What the book shows was 2,000 studies: 99 % right where sure, at most 10 % unsure, delayed included."""
    kept = json.loads((project_root / "benchmarks/contrast_phases.json").read_text(encoding="utf-8"))
    rows = {(row["group"], row["value"]): row for row in kept["rows"]}
    assert kept["studies"] == 2000
    assert rows["all", "all volumes"]["right_where_sure"] >= 0.99 and rows["all", "all volumes"]["unsure"] <= 0.10
    assert rows["phase", "delayed"]["right_where_sure"] >= 0.99


# --- trees ------------------------------------------------------------------------------------------------------------


def test_stacked_volumes_come_back_whole(tmp_path):
    """Voxels of both volumes of a stacked series are those that were written, bit by bit, and so is the third's."""
    common = {"patient": "A1", "series": "1"}
    write_ct(tmp_path / "in" / "a", ARTERIAL, second=NINE + 35, AcquisitionNumber=1, **common)
    write_ct(tmp_path / "in" / "a", VENOUS, second=NINE + 70, AcquisitionNumber=2, first=SLICES + 1, **common)
    write_ct(tmp_path / "in" / "b", DELAYED, second=NINE + 190, series="2")
    cells = cells_of(write_manifest(tmp_path / "in", tmp_path / "patients.csv"))
    for phase in ("arterial", "venous", "delayed"):
        np.testing.assert_array_equal(to_array(read_image(tmp_path / cells.loc["A1", phase])), body(PHASE_HU[phase]))
    assert cells.loc["A1", "delayed"] == "in/b"
    assert cells.loc["A1", "venous"].startswith("patients_volumes/P0001/")


@pytest.mark.parametrize("manner", MANNERS)
def test_simulated_patient_through_an_export(tmp_path, manner):
    """A simulated patient, exported as archives do, comes back with the same voxels, sizes and directions.

    The chapter on the export takes radiomics of three patients; here the images themselves are compared.
    """
    person = {"patient_id": "SYN-1", "age": 57.9, "sex": "male", "centre": "C02", "image_seed": 7}
    person |= {"liver_latent": 0.0, "spleen_latent": 0.0, "spleen_size": 0.0}
    rendered = render_patient(person, CohortSettings(acquisition_spacing_mm=10.0))
    images = {phase: image for phase, (image, _) in rendered.items()}
    write_export(tmp_path / "in", person, images, manner)
    report = write_manifest(tmp_path / "in", tmp_path / "patients.csv")
    assert (report.table["decision"] == "left out").sum() == 2  # localizer and dose page
    turned = LAYOUTS[MANNERS.index(manner)]
    for phase, image in images.items():
        read = read_image(tmp_path / cells_of(report).loc["SYN-1", phase])
        np.testing.assert_array_equal(to_array(read), to_array(image))
        np.testing.assert_allclose(read.GetSpacing(), image.GetSpacing(), rtol=1e-6)
        np.testing.assert_allclose(read.GetDirection(), oblique(image, turned).GetDirection(), atol=1e-6)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2), min_size=6, max_size=12), st.integers(0, 3))
def test_no_slice_is_lost(tmp_path_factory, numbers, seed):
    """Whatever the acquisition numbers and the order, every slice is in one volume, and none in two."""
    folder = tmp_path_factory.mktemp("tree")
    places = np.random.default_rng(seed).choice([0.0, 5.0, 7.5, 10.0, 15.0, 20.0], len(numbers))
    write_ct(
        folder,
        places=places,
        each=lambda index, header: setattr(header, "AcquisitionNumber", numbers[index]),
    )
    volumes = dicom_volumes(walk(folder))
    slices = [instance for volume in volumes for instance in volume.instances]
    assert len(slices) == len(set(slices)) == len(numbers)


def test_file_of_several_frames(tmp_path):
    """An enhanced CT is one volume, with the places of its frames, their time and kernel one level down.

    https://github.com/rordenlab/dcm2niix/issues/555
    """
    write_frames(tmp_path, (10, 0, 5, *range(15, 100, 5)))
    (volume,) = dicom_volumes(walk(tmp_path))
    assert volume.along == tuple(range(0, 100, 5)) and volume.left_out == ""
    assert volume.second % 86400 == NINE + 35 and volume.header.kernel == "B30f"


def test_what_cannot_be_read(tmp_path):
    """Broken, encrypted and foreign files are listed by folder and reason; the study beside them is found."""
    write_study(tmp_path / "in" / "A1")
    (tmp_path / "in" / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\x08\x00\x05\x00CS\xff")
    (tmp_path / "in" / "more.7z").write_bytes(b"7z")
    with zipfile.ZipFile(tmp_path / "in" / "secret.zip", "w") as archive:
        archive.writestr("IM1", b"0" * 200)
    content = bytearray((tmp_path / "in" / "secret.zip").read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1  # the bit that says encrypted
    (tmp_path / "in" / "secret.zip").write_bytes(bytes(content))
    report = write_manifest(tmp_path / "in", tmp_path / "patients.csv")
    said = "\n".join(report.table["reason"])
    assert "unpack the zip file with its password" in said and "unpack it first" in said
    assert report.whole == 1


def _without_rescale(folder: Path, patient: str) -> None:
    for file in write_study(folder, patient=patient)["arterial"]:
        header = pydicom.dcmread(file)
        del header.RescaleSlope, header.RescaleIntercept
        header.save_as(file)


def _without_delayed(folder: Path, patient: str) -> None:
    write_study(folder, ("precontrast", "arterial", "venous"), patient=patient)


def _without_positions(folder: Path, patient: str) -> None:
    write_study(folder, ("arterial", "venous"), patient=patient)
    lost = {"each": lambda index, header: delattr(header, "ImagePositionPatient")}
    write_ct(folder / "d", DELAYED, patient=patient, series="d", second=NINE + 190, **lost)


def _with_two_studies(folder: Path, patient: str) -> None:
    for study in ("1", "2"):
        write_study(folder / study, patient=patient, study=study)


def _with_two_at_one_place(folder: Path, patient: str) -> None:
    write_study(folder, ("arterial", "venous"), patient=patient)
    for first in (1, SLICES + 1):
        untold = {"each": lambda index, header: delattr(header, "InstanceNumber")}
        write_ct(folder / "d", DELAYED, patient=patient, series="d", second=NINE + 190, first=first, **untold)


def _with_a_bone_kernel_alone(folder: Path, patient: str) -> None:
    write_study(folder, ("arterial", "venous"), patient=patient)
    write_ct(folder / "d", DELAYED, patient=patient, series="d", second=NINE + 190, ConvolutionKernel="B70f")


FAULTS = {
    2: _without_rescale,
    9: _without_delayed,
    17: _without_positions,
    23: _with_two_studies,
    31: _with_two_at_one_place,
    40: _with_a_bone_kernel_alone,
}


def test_export_of_forty_patients(tmp_path):
    """Of 40 patients with six faulty ones, 34 are whole and six have an empty cell; no reason names a person.

    Takes seconds: it writes and reads two thousand files.
    """
    for number in range(1, 41):
        patient = f"MRN{number:05d}"
        FAULTS.get(number, lambda folder, patient: write_study(folder, patient=patient))(
            tmp_path / "in" / patient, patient
        )
    report = write_manifest(tmp_path / "in", tmp_path / "patients.csv")
    cells = cells_of(report)
    empty = cells.index[(cells[["arterial", "venous", "delayed"]] == "").any(axis=1)]
    assert list(empty) == [f"MRN{number:05d}" for number in FAULTS]
    assert (report.patients, report.whole) == (40, 34)
    said = report.table[report.table["what"] == "cell"]
    assert set(said["patient_id"]) == set(empty)
    assert not report.table["reason"].str.contains("MRN|MADE").any()


def test_second_call_gives_the_same(tmp_path):
    """The folders that a first call wrote into the tree are not taken for patients by the second."""
    write_study(tmp_path / "A1", ("arterial", "venous"))
    write_ct(tmp_path / "A1" / "art", DELAYED, series="3", second=NINE + 190, first=50)
    first = cells_of(write_manifest(tmp_path, tmp_path / "patients.csv"))
    assert first.loc["A1", "arterial"].startswith("patients_volumes/")
    pd.testing.assert_frame_equal(cells_of(write_manifest(tmp_path, tmp_path / "patients.csv")), first)


def test_what_was_filled_in_by_hand_stays(tmp_path):
    """A second call keeps what the user wrote into cells that it leaves empty, says so, and decides the others anew."""
    for study in ("1", "2"):
        write_study(tmp_path / "in" / study, study=study)
    report = write_manifest(tmp_path / "in", tmp_path / "patients.csv")
    table = cells_of(report)
    table.loc["A1", ["venous", "albumin", "sex"]] = ["in/1/ven", "40", "female"]
    table.reset_index().to_csv(report.manifest, index=False)
    again = write_manifest(tmp_path / "in", tmp_path / "patients.csv")
    assert list(cells_of(again).loc["A1", ["venous", "arterial", "albumin", "sex"]]) == ["in/1/ven", "", "40", "male"]
    said = again.table[again.table["decision"] == "kept"].set_index("place")["reason"]
    assert set(said.index) == {"venous", "albumin"} and "otherwise 2 studies have all phases" in said["venous"]
    assert again.open == report.open - 1 - 1  # the cell, and the column of albumin


def test_a_file_that_is_no_manifest_is_not_written_over(tmp_path):
    """A broken table, which may be anything, is refused and stays as it is."""
    write_study(tmp_path / "in")
    (tmp_path / "patients.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError, match=r"patients\.csv"):
        write_manifest(tmp_path / "in", tmp_path / "patients.csv")
    assert (tmp_path / "patients.csv").read_bytes() == b"\xff\xfe\x00"


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_tree_refused(tmp_path, name):
    """A folder that is not there, or holds no image, is refused with what to do."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    with pytest.raises(ImageError, match="Name the folder that holds the patients' CT"):
        write_manifest(tmp_path / name, tmp_path / "patients.csv")


@pytest.mark.parametrize(
    ("output", "choices", "words"),
    [
        ("patients.xlsx", Choices(), "must be a CSV file"),
        ("patients.csv", Choices(study="middle"), "first or last"),
        ("patients.csv", Choices(recipe="kits"), "must be one of waw_tace"),
        ("patients.csv", Choices(key="id"), "a column without a table"),
        ("patients.csv", Choices(clinical=Path("clinical.csv")), "a table without its column"),
    ],
)
def test_choices_refused(tmp_path, output, choices, words):
    """What the user settles beforehand is checked before a file is read."""
    with pytest.raises(SettingsError, match=words):
        write_manifest(tmp_path, tmp_path / output, choices)


# --- clinical values --------------------------------------------------------------------------------------------------


def clinical(folder: Path, rows: list[dict[str, str]]) -> Path:
    file = folder / "clinical.csv"
    pd.DataFrame(rows).to_csv(file, index=False)
    return file


def test_joined_manifest_passes_the_check(tmp_path):
    """With clinical values, what was written is a manifest in which `check` finds nothing wrong."""
    write_study(tmp_path / "in" / "7", patient="7")
    rows = [{"case": patient, "age": "55", "sex": "male"} | CLINICAL for patient in ("7", "10")]
    choices = Choices(clinical=clinical(tmp_path, rows), key="case")
    report = write_manifest(tmp_path / "in", tmp_path / "patients.csv", choices)
    cells = cells_of(report)
    assert list(cells.index) == ["7"] and (cells["age"] == "55").all()
    assert (report.patients, report.whole, report.open) == (1, 1, 0)
    assert [problem for problem in check_manifest(report.manifest) if not problem.remark] == []


def test_values_of_the_headers(tmp_path):
    """Age and sex come from the headers where no table says them."""
    write_study(tmp_path / "in")
    cells = cells_of(write_manifest(tmp_path / "in", tmp_path / "patients.csv"))
    assert (cells.loc["A1", "age"], cells.loc["A1", "sex"], cells.loc["A1", "centre"]) == ("61", "male", "")


def test_patients_that_do_not_join(tmp_path):
    """A patient without a row, a row without images, unknown columns and another sex are each told."""
    for patient in ("007", "8"):
        write_study(tmp_path / "in" / patient, patient=patient)
    rows = [{"case": name, "sex": sex, "ward": "3"} | CLINICAL for name, sex in (("7", "male"), ("8", "female"))]
    choices = Choices(clinical=clinical(tmp_path, rows), key="case")
    report = write_manifest(tmp_path / "in", tmp_path / "patients.csv", choices)
    said = "\n".join(f"{row.patient_id}: {row.reason}" for row in report.table.itertuples())
    assert "007: no row of clinical.csv has this patient; '7' there looks alike" in said
    assert "7: no images of this patient in the tree" in said
    assert "the manifest has no such columns: ward" in said
    assert "8: clinical.csv says female, the headers say male" in said
    assert cells_of(report).loc["8", "sex"] == "" and cells_of(report).loc["8", "albumin"] == "40"


@pytest.mark.parametrize(
    ("rows", "key", "words"),
    [
        ([{"case": "7"}, {"case": "7"}], "case", "line 3, column 'case'.*that of line 2"),
        ([{"case": "7"}, {"case": ""}], "case", "line 3, column 'case'.*nothing|double quotes"),
        ([{"case": "7"}], "cases", "Did you mean 'case'"),
    ],
)
def test_clinical_table_refused(tmp_path, rows, key, words):
    """A patient twice, a row without a patient, and a column that is not there are refused with line and column."""
    write_study(tmp_path / "in")
    rows = [row | CLINICAL for row in rows]
    with pytest.raises(ManifestError, match=words):
        choices = Choices(clinical=clinical(tmp_path, rows), key=key)
        write_manifest(tmp_path / "in", tmp_path / "patients.csv", choices)


def test_network_where_no_mask_is_given(tmp_path, monkeypatch):
    """With weights, liver and spleen of a volume without masks are segmented, and their HU speak."""

    class Network:
        def predict_all(self, images):
            labels = mask_of("liver") + 2 * mask_of("spleen")
            return [from_array(labels, image) for image in images]

    monkeypatch.setattr("hccbook.segmentation.network.Segmenter.load", lambda file, device: Network())
    write_ct(tmp_path / "in", UNENHANCED, second=None)
    choices = Choices(weights=tmp_path / "network.safetensors")
    table = write_manifest(tmp_path / "in", tmp_path / "patients.csv", choices).table
    assert "liver 56 HU, spleen 46 HU" in "\n".join(table["reason"])


# --- page and command -------------------------------------------------------------------------------------------------


def test_page(tmp_path):
    """The page shows a picture of every volume, needs no network, and names patients by key alone."""
    write_study(tmp_path / "in", patient="Doe^Jane")
    write_masks(tmp_path / "in" / "ven" / "segmentations")
    report = write_manifest(tmp_path / "in", tmp_path / "patients.csv")
    page = report.page.read_text(encoding="utf-8")
    pictures = re.findall(r'<img src="([^"]+)" alt="([^"]+)"', page)
    assert [name for name, _ in pictures] == ["P0001_1.png", "P0001_2.png", "P0001_3.png"]
    assert all((report.page.parent / name).is_file() and alt for name, alt in pictures)
    assert "http" not in page and "Doe" not in page and str(tmp_path) not in page


def test_command(tmp_path):
    """The command writes three things and says how many patients are whole and how much is open."""
    write_study(tmp_path / "in", ("arterial", "venous"))
    out = tmp_path / "patients.csv"
    result = CliRunner().invoke(app, ["manifest", str(tmp_path / "in"), "-o", str(out), "--jobs", "1"])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0] == "patients.csv: 1 patients, 0 with all phases"
    table = pd.read_csv(tmp_path / "patients_decisions.csv", dtype=str, keep_default_na=False)
    empty = table.loc[table["what"] == "cell", ["line", "patient_id", "place", "decision"]]
    assert empty.values.tolist() == [["2", "A1", phase, "left empty"] for phase in ("arterial", "venous", "delayed")]
    assert (tmp_path / "patients_page" / "index.html").is_file()
