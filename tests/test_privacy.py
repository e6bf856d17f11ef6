"""Who a patient is stands in no file of a run: planted identifiers, what a scan sees, and what errors leave out."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.numpy import save_file

from hccbook import phantom
from hccbook.cli import main
from hccbook.cohort import coded_centres
from hccbook.errors import DataError, ImageError, ManifestError, SettingsError, anonymous_reason, reason
from hccbook.images.remarks import Remark
from hccbook.parallel import map_patients
from hccbook.pipeline import runner
from hccbook.pipeline.cohort import make_cohort
from hccbook.pipeline.files import read_csv, save_table
from hccbook.pipeline.preprocessing import preprocess_cohort
from hccbook.pipeline.privacy import PrivacyError, identifiers_of, refuse_identifiers, scan_run, texts_of
from hccbook.pipeline.segmentation import segment_cohort
from hccbook.pipeline.staleness import inputs_of, recorded
from hccbook.run import NAMED_MANIFEST, RunPaths
from hccbook.settings import CohortSettings, load_profile

# --- cells that a spreadsheet would run -------------------------------------------------------------------------------

FORMULA = '=HYPERLINK("http://x.invalid","Ward 3")'


def test_a_formula_is_text_on_disk_and_itself_when_read(tmp_path: Path) -> None:
    """As a cell, as a name of a column, and behind a semicolon, which spreadsheets of some countries split at."""
    table = pd.DataFrame({"centre": [FORMULA, "St Mary", "a;=1+cmd()"], "@SUM(A1)": [1.5, -2.0, 0.1 + 0.2]})
    save_table(table, tmp_path / "table.csv")
    lines = (tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "centre,'@SUM(A1)"
    assert lines[1].startswith("\"'=HYPERLINK")
    assert lines[2:] == ["St Mary,-2.0", "a;'=1+cmd(),0.30000000000000004"]
    pd.testing.assert_frame_equal(read_csv(tmp_path / "table.csv"), table)


@pytest.mark.parametrize("cell", ["-0.12", "+3", "-0.5 (-0.7, 0.2)", "aMAP-CT", "x = 3", "0-1"])
def test_what_can_call_nothing_is_left_alone(tmp_path: Path, cell: str) -> None:
    """Numbers with a sign, intervals, and signs within a text."""
    save_table(pd.DataFrame({"cell": [cell, "text"]}), tmp_path / "table.csv")
    assert cell in (tmp_path / "table.csv").read_text(encoding="utf-8")


@given(st.lists(st.text(alphabet="'=+-@;\tab1 ,\"\n", min_size=1), min_size=1, max_size=5))
def test_every_text_is_read_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    """Whatever quotes and signs it begins with, and no cell on the disk begins like a formula that calls something."""
    file = tmp_path_factory.mktemp("cells") / "table.csv"
    texts = [f"x{cell}" if cell.strip() in ("", "1") else cell for cell in cells]
    table = pd.DataFrame({"cell": [*texts, "a text"]})
    save_table(table, file)
    on_disk = pd.read_csv(file, dtype=str, keep_default_na=False)["cell"]
    assert not any(cell[0] in "=@\t" for cell in on_disk)
    if not pd.to_numeric(table["cell"], errors="coerce").notna().any():
        assert read_csv(file)["cell"].tolist() == table["cell"].tolist()


def test_centres_by_number_are_ordered_by_size() -> None:
    """The largest is C01; of two of one size the first to appear."""
    coded = coded_centres(pd.Series(["Ulm", "Bern", "Lyon", "Bern", "Bern", "Ulm", "Lyon"]))
    assert coded.tolist() == ["C02", "C01", "C03", "C01", "C01", "C02", "C03"]


# --- errors -----------------------------------------------------------------------------------------------------------


def fail_as_a_library(kind: str) -> None:
    if kind == "missing":
        Path("/data/Doe Jane/ct.nii.gz").read_bytes()
    if kind == "value":
        float("DOE^JANE 19500312")
    raise ImageError("P0002, venous", "must be CT", "'IMG Doe Jane.dcm': 2 of MR in /data/Doe Jane/x", "Convert it.")


@pytest.mark.parametrize("workers", [1, 2])
def test_reasons_of_failures_quote_no_file(workers: int) -> None:
    """A path in a system's message, a header's text in a library's, a file's name in one of ours."""
    items = {key: key for key in ("missing", "value", "ours")}
    reasons = map_patients(fail_as_a_library, items, stage="test", workers=workers).failures.set_index("patient")
    assert "No such file or directory, in " in reasons.loc["missing", "reason"]
    assert reasons.loc["ours", "reason"].startswith("P0002, venous: must be CT, but found (not shown): 2 of MR in (not")
    told = reasons.to_csv()
    assert not any(word in told for word in ("Doe", "Jane", "DOE", "1950"))


def test_errors_leave_out_what_may_name_a_person() -> None:
    """Of patients' data what is quoted, of a manifest its name too; of settings nothing."""
    assert ManifestError("Doe.csv, line 3, column 'age'", "must be a number", "'Doe'", "Hint.").anonymous() == (
        "manifest, line 3, column 'age': must be a number, but found (not shown). Hint."
    )
    assert "organ's 3 and another's" in DataError("x", "y", "the organ's 3 and another's", "z").anonymous()
    error = SettingsError("own.yaml", "must be known", "'dpi'", "Hint.")
    assert error.anonymous() == str(error)
    assert anonymous_reason(ValueError("/data/doe/x")) == "not foreseen"


# --- what a scan sees -------------------------------------------------------------------------------------------------

SECRET = "MRN7712093"


def in_gzip(file: Path) -> Path:
    file = file.with_suffix(".csv.gz")
    file.write_bytes(gzip.compress(f"a,b\n1,{SECRET}\n".encode()))
    return file


def in_name_of_gzip(file: Path) -> Path:
    file = file.with_suffix(".gz")
    with file.open("wb") as raw, gzip.GzipFile(SECRET, "wb", fileobj=raw) as packed:
        packed.write(b"nothing")
    return file


def in_zip(file: Path) -> Path:
    file = file.with_suffix(".zip")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner/table.csv", f"{SECRET} " * 9)
    return file


def in_parquet(file: Path) -> Path:
    file = file.with_suffix(".parquet")
    pd.DataFrame({"key": [f"x-{SECRET}"] * 50}).to_parquet(file)
    return file


def in_png(file: Path, *, packed: bool = False) -> Path:
    file = file.with_suffix(".png")
    info = PngInfo()
    info.add_text("Title", f"Liver of {SECRET}", zip=packed)
    Image.new("L", (3, 3)).save(file, pnginfo=info)
    return file


def in_webp(file: Path) -> Path:
    file = file.with_suffix(".webp")
    Image.new("RGB", (3, 3)).save(file, xmp=f"Liver of {SECRET}".encode())
    return file


def in_packed_png(file: Path) -> Path:
    return in_png(file, packed=True)


def in_notebook(file: Path) -> Path:
    picture = base64.b64encode(in_packed_png(file).read_bytes()).decode()
    file.with_suffix(".png").unlink()
    file = file.with_suffix(".ipynb")
    file.write_text(json.dumps({"cells": [{"outputs": [{"data": {"image/png": picture + "\n"}}]}]}))
    return file


def in_nifti(file: Path) -> Path:
    file = file.with_suffix(".nii.gz")
    content = bytearray(352)
    content[148 : 148 + len(SECRET)] = SECRET.encode()
    file.write_bytes(gzip.compress(bytes(content)))
    return file


def in_weights(file: Path) -> Path:
    file = file.with_suffix(".safetensors")
    save_file({"layer": np.zeros(3)}, file, metadata={"trained on": SECRET})
    return file


def in_page(file: Path) -> Path:
    file = file.with_suffix(".html")
    file.write_text(f"<td>{SECRET.lower()}</td>")
    return file


def in_false_archive(file: Path) -> Path:
    file = file.with_suffix(".zip")
    file.write_text(f"no archive, {SECRET}")
    return file


PLACES = (
    in_gzip, in_name_of_gzip, in_zip, in_parquet, in_png, in_packed_png, in_webp, in_notebook, in_nifti, in_weights,
)  # fmt: skip


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two patients without images, the first with a telling number, the other with one that is any number."""
    file = tmp_path / "list" / "manifest.csv"
    file.parent.mkdir()
    pd.DataFrame({"patient_id": [SECRET, "17"], "centre": ["Klinikum Xanten", "Ödland"]}).to_csv(file, index=False)
    return file


@pytest.mark.parametrize("put", [*PLACES, in_page, in_false_archive])
def test_a_scan_sees_it_wherever_it_is_packed(tmp_path: Path, manifest: Path, put: Callable[[Path], Path]) -> None:
    """One number of a patient, in files of every kind that a run leaves; the report says where, not what."""
    run = RunPaths(tmp_path / "results" / "own")
    run.root.mkdir(parents=True)
    file = put(run.root / "left")
    report = scan_run(run, manifest)
    assert report.found.to_dict("records") == [{"file": f"own/{file.name}", "what": "patient_id", "line": 2}]
    assert report.unsearchable == 1
    assert SECRET not in str(report)
    with pytest.raises(PrivacyError, match=f"own/{file.name}: patient_id of line 2"):
        refuse_identifiers(run, manifest)


def test_a_name_of_a_file_is_seen_and_part_of_a_word_is_not(tmp_path: Path, manifest: Path) -> None:
    """Also in the store; a longer word that holds the number is another one."""
    run = RunPaths(tmp_path / "results" / "own")
    (run.store.root / "x").mkdir(parents=True)
    (run.store.root / "x" / f"{SECRET}.txt").touch()
    run.root.mkdir()
    (run.root / "digest.txt").write_text(f"a{SECRET}b")
    assert scan_run(run, manifest).found["file"].tolist() == [f"store/x/{SECRET}.txt"]


def test_our_own_words_and_keys_are_nobody_s(tmp_path: Path) -> None:
    """Files named as ours are, phases, and keys tell nothing; numbers of patients behind a word of ours do."""
    folder = tmp_path / "list"
    rows = {"patient_id": ["P0001", "HCC_009", "liver", "C17"], "centre": "x"}
    images = ["P0001_venous.nii.gz", "venous/arterial.nii.gz", "images/HCC_010.nii.gz", "张伟/ct.nii.gz"]
    for image in images:
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).touch()
    pd.DataFrame({**rows, "venous": images}).to_csv(folder / "manifest.csv", index=False)
    run = RunPaths(tmp_path / "results" / "own")
    run.root.mkdir(parents=True)
    (run.root / "ours.txt").write_text(
        "P0001_venous.nii.gz, store/arterial.nii.gz, images of the liver, C17, ct, 0.009"
    )
    assert scan_run(run, folder / "manifest.csv").found.empty
    (run.root / "theirs.txt").write_text("cases HCC_009 and HCC_010, 张伟", encoding="utf-8")
    assert scan_run(run, folder / "manifest.csv").found["line"].tolist() == [3, 4, 5]


@pytest.mark.parametrize("written", ["Ödland", json.dumps("Ödland"), "%C3%96dland"])
def test_names_of_centres_count_where_they_are_coded(tmp_path: Path, manifest: Path, written: str) -> None:
    """However their letters are written; where results show them, they are nobody's secret."""
    run = RunPaths(tmp_path / "results" / "own")
    run.root.mkdir(parents=True)
    (run.root / "table.txt").write_text(written, encoding="utf-8")
    assert scan_run(run, manifest, centres=True).found["what"].tolist() == ["centre"]
    assert scan_run(run, manifest).found.empty


def test_texts_of_an_unknown_file_are_all_of_it(tmp_path: Path) -> None:
    """Byte by byte, also beyond one block."""
    (tmp_path / "x.bin").write_bytes(bytes(1000) + b"end")
    assert b"".join(texts_of(tmp_path / "x.bin")) == bytes(1000) + b"end"


# --- a run ------------------------------------------------------------------------------------------------------------

PLANTED = (
    *("Mustermann", "Erika", "MRN7712093", "19491231", "ACC4455667", "Klinikum Xanten", "Mustermensch", "OpferNr5"),
    *("Zufallsname", "Leberbefund", "list of Dr Quark", "Quark", "Wolkenheim"),
)
PROFILE = """\
run: {synthetic: false, phases: venous, papers: alarm}
cohort: {segmentation_patients: 0, centre_names: coded}
preprocessing: {spacing_mm: 10}
segmentation: {mask_source: manifest, contact_sheets: false}
"""


def identify(folder: Path) -> None:
    """Write a person into the headers of a series."""
    for file in folder.iterdir():
        header = pydicom.dcmread(file)
        header.PatientName, header.PatientID, header.PatientBirthDate = "Mustermann^Erika", "MRN7712093", "19491231"
        header.AccessionNumber, header.InstitutionName = "ACC4455667", "Klinikum Xanten"
        header.save_as(file)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    """Eight patients: a series with a person in its headers, a folder of two series, a file cut in half, five more."""
    monkeypatch.setattr("hccbook.phantom.ideal_observer.MONTE_CARLO_PATIENTS", 2000)
    settings = CohortSettings(
        acquisition_spacing_mm=10.0, dicom_patients=2, alarm_discovery=6, alarm_discovery_hcc=2,
        alarm_internal=1, alarm_internal_hcc=0, alarm_external=1, alarm_external_hcc=0,
    )  # fmt: skip
    written = phantom.write_cohort(tmp_path / "list of Dr Quark", "alarm", settings)
    folder = written.parent
    rows = pd.read_csv(written)
    rows = rows.drop(columns=[name for name in rows if "arterial" in name or "delayed" in name])
    rows["patient_id"] = ["MRN7712093", "OpferNr5", *(f"Wolkenheim-{number}" for number in range(3, 9))]
    rows["centre"] = "=Klinikum Xanten"
    series, mixed = (folder / rows.loc[row, "venous"] for row in (0, 1))
    identify(series)
    for file in sorted(mixed.iterdir())[:3]:
        header = pydicom.dcmread(file)
        header.SeriesInstanceUID, header.SeriesDescription = "1.2.3.4", "Leberbefund Zufallsname"
        header.save_as(file)
    series.rename(series.with_name("Mustermann Erika"))
    rows.loc[0, "venous"] = f"{rows.loc[0, 'venous'].rpartition('/')[0]}/Mustermann Erika"
    cut = folder / rows.loc[2, "venous"]
    content = cut.read_bytes()
    cut.unlink()
    (cut.parent / "Mustermensch von Wolkenheim.nii.gz").write_bytes(content[: len(content) // 2])
    rows.loc[2, "venous"] = f"{rows.loc[2, 'venous'].rpartition('/')[0]}/Mustermensch von Wolkenheim.nii.gz"
    manifest = folder / "Quark.csv"
    rows.to_csv(manifest, index=False)
    written.unlink()
    (tmp_path / "mine.yaml").write_text(PROFILE, encoding="utf-8")
    return RunPaths(tmp_path / "results" / "mine", manifest)


def everything_in(folder: Path) -> str:
    """All bytes of a folder, unpacked where they are packed, and all names."""
    texts = []
    for file in sorted(folder.rglob("*")):
        texts.append(file.relative_to(folder).as_posix())
        if file.is_file():
            content = file.read_bytes()
            texts.append(content.decode("latin-1"))
            if content[:2] == b"\x1f\x8b":
                texts.append(gzip.GzipFile(fileobj=io.BytesIO(content)).read().decode("latin-1"))
    return "\n".join(texts)


def test_stages_tell_nobody_who_their_patients_are(own: RunPaths, capfd: pytest.CaptureFixture) -> None:
    """Names, numbers, dates, hospital, file names: in no byte that they leave or say, of patients who fail as well."""
    settings = load_profile(own.root.parents[1] / "mine.yaml")
    make_cohort(own, "alarm", settings.cohort, ("venous",), 1)
    preprocess_cohort(own, "alarm", settings.preprocessing, ("venous",), 1)
    segment_cohort(own, "alarm", settings.segmentation, None, ("venous",), 1)
    with recorded(["cohort"], own, inputs_of("cohort", settings, own)):
        pass
    failures = read_csv(own.stage("preprocessing") / "alarm_failures.csv")
    assert failures["patient"].tolist() == ["P0002", "P0003"]
    assert read_csv(own.clinical("alarm"))["centre"].unique().tolist() == ["C01"]
    left = everything_in(own.root.parent) + "".join(capfd.readouterr())
    assert [name for name in PLANTED if name.lower() in left.lower()] == []


@pytest.mark.thorough
def test_a_run_tells_nobody_who_its_patients_are(own: RunPaths, capfd: pytest.CaptureFixture, monkeypatch) -> None:
    """As its stages, and in notebooks, records of Snakemake and the terminal; nor is the manifest's own name there."""
    profile = own.root.parents[1] / "mine.yaml"
    words = ["run", "--profile", profile, "--manifest", own.manifest, "--out", own.root, "--until", "preprocessing"]
    monkeypatch.setattr("sys.argv", ["hccbook", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    terminal = "".join(capfd.readouterr())
    assert stop.value.code in (0, None), terminal
    assert "Privacy: 0 of" in terminal
    failures = read_csv(own.stage("preprocessing") / "alarm_failures.csv")
    assert failures["patient"].tolist() == ["P0002", "P0003"]
    assert read_csv(own.clinical("alarm"))["centre"].unique().tolist() == ["C01"]
    left = everything_in(own.root.parent) + terminal
    assert [name for name in PLANTED if name.lower() in left.lower()] == []
    parameters = json.loads(own.executed_notebook("cohort").read_text())["metadata"]["papermill"]["parameters"]
    assert parameters["manifest"] == NAMED_MANIFEST
    assert scan_run(own, own.manifest, centres=True).found.empty


@pytest.mark.parametrize("named", [True, False])
def test_rendered_pages_are_looked_at_as_well(tmp_path: Path, manifest, monkeypatch, capsys, named: bool) -> None:
    """What a page shows of own patients fails the build; where nobody names the manifest, this is said."""
    run = RunPaths(tmp_path / "results" / "mine")
    (tmp_path / "mine.yaml").write_text("run: {synthetic: false}\n", encoding="utf-8")

    def render(run: RunPaths, shown: RunPaths) -> Path:
        page = run.root / "book" / "_build" / "html" / "intro.html"
        page.parent.mkdir(parents=True)
        page.write_text(f"<p>{SECRET}</p>", encoding="utf-8")
        return page

    monkeypatch.setattr("hccbook.book.build_book", render)
    words = ["build", "--profile", tmp_path / "mine.yaml", "--out", run.root, *(["--manifest", manifest] * named)]
    monkeypatch.setattr("sys.argv", ["hccbook", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr().err
    assert stop.value.code == (1 if named else 0)
    told = "intro.html: patient_id of line 2" if named else "Nobody has looked for who the patients are"
    assert told in said
    assert SECRET not in said


def test_identifiers_are_those_of_manifest_paths_and_headers(own: RunPaths) -> None:
    """Names whole and in parts, dates as they are written, paths whole and in parts; our own words are not told."""
    found = identifiers_of(own.manifest, centres=True)
    expected = {"MRN7712093", "Mustermann", "Erika", "1949-12-31", "31.12.1949", "ACC4455667", "Klinikum Xanten"}
    assert expected | {"Mustermann Erika", "Mustermensch von Wolkenheim", "=Klinikum Xanten", "Quark"} <= set(found)
    assert found["OpferNr5"] == ("patient_id", 3)
    assert found["Quark"] == ("path of the manifest", 0)


def test_a_failed_stage_keeps_no_words_of_a_library(own: RunPaths, monkeypatch, tmp_path: Path) -> None:
    """The kept notebook shows where the code stopped, not what the message said."""
    import nbformat

    source = tmp_path / "stage.ipynb"
    cells = [
        nbformat.v4.new_code_cell("manifest = results = ''\n"),
        nbformat.v4.new_code_cell("open('/x/Zufallsname/ct.nii')"),
    ]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}}),
        source,
    )
    monkeypatch.setattr(runner, "notebook_file", lambda stage: source)
    monkeypatch.setattr(
        runner, "notebook_parameters", lambda *_: {"manifest": NAMED_MANIFEST, "results": str(own.root)}
    )
    monkeypatch.setattr(runner, "execution_record", lambda stage: {})
    profile = runner.Profile(run={"synthetic": False, "manifest": str(own.manifest)})
    with pytest.raises(runner.StageError, match=r"found FileNotFoundError\. See") as stopped:
        runner.execute_stage("cohort", profile, str(own.root), 1)
    kept = own.executed_notebook("cohort").with_suffix(".failed.ipynb").read_text()
    # The third cell is the guard of notebooks on own patients.
    assert "Cell In[4], line 1" in kept
    told = kept.replace("open('/x/Zufallsname/ct.nii')", "") + str(stopped.value)
    assert "Zufallsname" not in told


def test_a_repair_in_a_run_names_no_file() -> None:
    """Where a file stands for the place the patient does, and what is quoted of a header is left out."""
    said = Remark("IMG Doe.dcm", "no preamble in 'Doe.dcm'", "read all the same").anonymous("P0002, venous")
    assert said == "P0002, venous: no preamble in (not shown); read all the same."
    assert Remark("P0002, venous, liver", "x", "y").anonymous("P0002, venous") == "P0002, venous, liver: x; y."


def test_a_reason_loses_a_path_that_holds_blanks() -> None:
    """All of it, and nothing else."""
    assert reason(OSError(2, "No such file or directory", "/data/Jane van Doe/ct.nii")).startswith(
        "[Errno 2] No such file"
    )
    assert "Doe" not in reason(OSError(2, "No such file or directory", "/data/Jane van Doe/ct.nii"))
    assert "van" not in reason(OSError(2, "No such file or directory", "/data/Jane van Doe/ct.nii"))
