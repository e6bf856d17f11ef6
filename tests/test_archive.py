"""Archives: what is kept of a run, what is refused, and that it is shown as it was."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_run import DEEP, LIVER, finished_run

from hccbook.cli import main
from hccbook.errors import SettingsError
from hccbook.models import AlarmModel, AmapCtFamily
from hccbook.pipeline import archive, files, runner
from hccbook.pipeline.archive import ArchiveError, archive_run, read_archive, unpack_archive
from hccbook.pipeline.comparison import compare_runs
from hccbook.pipeline.staleness import inputs_of
from hccbook.run import CHAPTERS, RESULT_CHAPTERS, STAGES, RunPaths, archives_dir
from hccbook.settings import Profile, load_profile

SIZES = {"alarm_discovery": 26, "alarm_internal": 14}
PROFILE = Profile(
    cohort={"seed": 5, **SIZES}, alarm={"smote": "off"}, features={"resnet18_weights": "/elsewhere/of/somebody/net.pth"}
)


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    """A finished run."""
    return finished_run(tmp_path / "results" / "paper", PROFILE)


@pytest.fixture
def kept(run: RunPaths, tmp_path: Path) -> Path:
    """Its archive."""
    return archive_run(run, tmp_path / "archived" / "paper")


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_the_manifest_says_what_is_there_and_where_it_came_from(kept: Path) -> None:
    """Sums and sizes of every file, settings without places, sizes of the cohorts, versions, processor, times."""
    manifest = json.loads((kept / "manifest.json").read_text(encoding="utf-8"))
    present = contents(kept)
    del present["manifest.json"]
    sums = {name: [hashlib.sha256(content).hexdigest(), len(content)] for name, content in present.items()}
    assert {name: [file["sha256"], file["bytes"]] for name, file in manifest["files"].items()} == sums
    assert manifest["run"] == "paper"
    assert manifest["settings"]["alarm"]["smote"] == "off"
    assert manifest["settings"]["cohort"]["seed"] == 5
    assert manifest["settings"]["features"]["resnet18_weights"] == "net.pth"
    assert "manifest" not in manifest["settings"]["run"]
    assert "somebody" not in json.dumps(manifest)
    # Every fourth of 26 and of 14 patients, the first one included: 1, 5, ..., 25 and 29, 33, 37.
    assert manifest["patients"]["alarm"] == [
        {"cohort": "discovery", "n": 26, "events": 7},
        {"cohort": "internal_validation", "n": 14, "events": 3},
    ]
    assert manifest["versions"] == {"hccbook": "7.8", "numpy": "1.2"}
    assert manifest["processors"] == ["Abacus, bfloat16"]
    assert manifest["seconds"]["01_cohort"] == 1.0
    assert len(manifest["archived"].split("-")) == 3


def test_no_image_and_no_feature_that_no_model_uses_is_kept(kept: Path) -> None:
    """Feature tables hold the columns in use, tables of masks the volumes; pictures and images stay behind."""
    assert not [name for name in contents(kept) if name.endswith((".png", ".nii.gz"))]
    assert list(pd.read_parquet(kept / "features" / "alarm_radiomics.parquet")) == LIVER[:2]
    assert list(pd.read_parquet(kept / "features" / "alarm_deep.parquet")) == DEEP[2:]
    volumes = pd.read_csv(kept / "segmentation" / "alarm.csv")
    assert list(volumes) == ["patient", "phase", "liver_volume_ml", "spleen_volume_ml"]
    assert (kept / "figures_and_tables" / "table.csv").is_file()


def test_scores_are_those_of_the_run(run: RunPaths, kept: Path, tmp_path: Path) -> None:
    """The models and tables of an unpacked archive give every patient the same probability to the last bit."""
    shown = RunPaths(tmp_path / "results" / "demo-paper")
    unpack_archive(kept, shown)
    for place in (run, shown):
        clinical, features = files.model_table(place, "amap_ct")
        volume = files.read_table(place, "segmentation", "amap_ct.csv").set_index("patient")["spleen_volume_ml"]
        family = AmapCtFamily.from_json(place.stage("amap_ct") / "family.json").probabilities(features.join(volume))
        alarm = AlarmModel.from_json(place.stage("alarm") / "model.json").scores(files.model_table(place, "alarm")[1])
        found = (clinical, family, alarm)
        if place == run:
            expected = found
    for one, other in zip(expected, found, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert found[1].nunique().min() > 1
    assert not (shown.root / "figures_and_tables").exists()
    named = load_profile(shown.archived_profile)
    assert (named.cohort, named.alarm) == (PROFILE.cohort, PROFILE.alarm)


def test_large_texts_are_compressed_and_come_back(run: RunPaths, tmp_path: Path) -> None:
    """A table of 200 kB is stored smaller and unpacked as it was; archiving again gives the same files."""
    rows = pd.DataFrame({"feature": np.repeat(LIVER, 2000), "penalty": 0.25})
    files.save_table(rows, run.stage("alarm") / "lasso_path.csv")
    text = (run.stage("alarm") / "lasso_path.csv").read_bytes()
    first = archive_run(run, tmp_path / "first")
    assert gzip.decompress((first / "alarm" / "lasso_path.csv.gz").read_bytes()) == text
    unpack_archive(first, RunPaths(tmp_path / "shown"))
    assert (tmp_path / "shown" / "alarm" / "lasso_path.csv").read_bytes() == text
    assert contents(archive_run(run, tmp_path / "second")) == contents(first)


def test_a_run_and_its_archive_are_equal(run: RunPaths, kept: Path) -> None:
    """All tables, weights and AUCs, those of the result chapters too; only the day of archiving is new."""
    found = compare_runs(run.root, kept)
    assert found.is_equal
    assert found.settings["setting"].tolist() == ["archived"]
    assert set(RESULT_CHAPTERS) <= {name.partition("/")[0] for name in found.aucs["table"]}


# --- what is refused --------------------------------------------------------------------------------------------------


def test_an_unfinished_or_altered_run_is_refused(run: RunPaths, tmp_path: Path) -> None:
    """A stage that has not run, and a file that is not what its stage left, are named."""
    (run.stage("alarm") / "truth.csv").write_text("model,auc\nalarm,1.0\n", encoding="utf-8")
    with pytest.raises(ArchiveError, match=r"alarm/truth\.csv altered"):
        archive_run(run, tmp_path / "archived")
    run.executed_notebook("amap_ct_supplement").unlink()
    with pytest.raises(ArchiveError, match="not executed: amap_ct_supplement"):
        archive_run(run, tmp_path / "archived")
    assert not (tmp_path / "archived").exists()


def test_too_large_an_archive_is_refused(run: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message gives the bound, the size and the largest files; nothing is left behind."""
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    with pytest.raises(ArchiveError, match=r"at most 1,000 bytes, but found .*amap_ct/family\.json"):
        archive_run(run, tmp_path / "archived")
    assert not (tmp_path / "archived").exists()


def test_own_patients_go_where_the_user_says(tmp_path: Path) -> None:
    """Their clinical values are not put into the repository without being asked to."""
    run = finished_run(tmp_path / "results" / "own", Profile(run={"synthetic": False}))
    with pytest.raises(ArchiveError, match="in a folder that you name"):
        archive_run(run)
    assert archive_run(run, tmp_path / "mine") == tmp_path / "mine"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda file: file.write_bytes(file.read_bytes().replace(b"0.85", b"0.86")), r"alarm/truth\.csv was altered"),
        (Path.unlink, r"alarm/truth\.csv is absent"),
        (lambda file: file.with_name("more.csv").write_text("a\n"), r"alarm/more\.csv was added"),
    ],
)
def test_an_altered_archive_is_refused(kept: Path, tmp_path: Path, change, found: str) -> None:
    """A file that is altered, gone or new is named, and nothing is unpacked."""
    change(kept / "alarm" / "truth.csv")
    with pytest.raises(ArchiveError, match=found):
        unpack_archive(kept, RunPaths(tmp_path / "shown"))
    assert not (tmp_path / "shown").exists()


def test_a_folder_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    """Absent, or without a manifest; a manifest of another version names what it does not know."""
    with pytest.raises(ArchiveError, match="no such folder"):
        read_archive(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArchiveError, match="no manifest"):
        read_archive(tmp_path / "empty")
    (tmp_path / "empty" / "manifest.json").write_text('{"run": "x", "colour": "red"}', encoding="utf-8")
    with pytest.raises(SettingsError, match="manifest"):
        read_archive(tmp_path / "empty")


def test_a_run_of_another_kind_is_not_overwritten(kept: Path, run: RunPaths) -> None:
    """An archive is not unpacked over a run."""
    with pytest.raises(ArchiveError, match="must be free for an archived run"):
        unpack_archive(kept, run)


def test_an_unpacked_archive_is_not_archived_again(kept: Path, tmp_path: Path) -> None:
    """What an archive is made of is the run, not what was shown of it."""
    shown = RunPaths(tmp_path / "shown")
    unpack_archive(kept, shown)
    with pytest.raises(ArchiveError, match="must be a finished run, but found an archive"):
        archive_run(shown, tmp_path / "again")


def test_the_command_says_what_it_wrote(run: RunPaths, tmp_path: Path, monkeypatch, capsys) -> None:
    """Folder, files and megabytes; what is refused is one message and exit code 1."""
    for root, code in ((run.root, 0), (tmp_path / "nowhere", 1)):
        monkeypatch.setattr("sys.argv", ["hccbook", "archive", str(root), "--out", str(tmp_path / "kept")])
        with pytest.raises(SystemExit) as stop:
            main()
        assert int(stop.value.code or 0) == code
    files_written = len(contents(tmp_path / "kept"))
    written = capsys.readouterr()
    assert written.out.startswith(f"{tmp_path / 'kept'}: {files_written} files, 0.")
    assert "nowhere: must be the folder of a run" in written.err


# --- how it is shown --------------------------------------------------------------------------------------------------


def test_unpacking_again_touches_nothing_and_mends_what_was_altered(kept: Path, tmp_path: Path) -> None:
    """Times stay, an altered copy is restored, a file of an earlier archive goes, and the archive is only read."""
    shown, before = RunPaths(tmp_path / "shown"), contents(kept)
    unpack_archive(kept, shown)
    unpacked = contents(shown.root)
    times = {file: file.stat().st_mtime_ns for file in shown.root.rglob("*") if file.is_file()}
    unpack_archive(kept, shown)
    assert {file: file.stat().st_mtime_ns for file in times} == times
    (shown.root / "alarm" / "truth.csv").write_text("other\n", encoding="utf-8")
    (shown.root / "alarm" / "old.csv").write_text("old\n", encoding="utf-8")
    unpack_archive(kept, shown)
    assert contents(shown.root) == unpacked
    assert contents(kept) == before


def test_a_profile_that_names_an_archive_leaves_the_results_to_it() -> None:
    """The run has the process stages and chapters, the archived run the result chapters; of one paper, its own."""
    plain, archived = Profile(), Profile(run={"archive": "data/archived/paper"})
    assert runner.shown_chapters(plain) == ()
    assert runner.stages_of(archived) == STAGES[:6]
    assert runner.shown_chapters(archived) == RESULT_CHAPTERS
    together = {*runner.stages_of(archived), *runner.chapters_of(archived), *RESULT_CHAPTERS}
    assert together == {*STAGES, *CHAPTERS}
    assert set(runner.chapters_of(plain)) == set(CHAPTERS)
    alone = Profile(run={"archive": "data/archived/paper", "papers": "alarm"})
    assert runner.shown_chapters(alone) == ("figures_and_tables", "alarm_supplement")
    assert "segmentation_robustness" in runner.chapters_of(alone)


def test_an_absent_archive_stops_the_run_before_it_starts(tmp_path: Path) -> None:
    """The message says what to do, and no folder is made."""
    profile = tmp_path / "mine.yaml"
    profile.write_text(f"run: {{archive: {tmp_path}/nowhere}}\n", encoding="utf-8")
    with pytest.raises(ArchiveError, match=r"no such folder.*or leave run\.archive empty"):
        runner.run(str(profile), results=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_an_archive_of_other_papers_is_refused(kept: Path, tmp_path: Path) -> None:
    """A run of ALARM alone cannot show results of both papers."""
    profile = Profile(run={"archive": str(kept), "papers": "alarm"})
    with pytest.raises(SettingsError, match=r"run\.archive: must be of alarm, but found alarm, amap_ct"):
        runner.show_archive(profile, RunPaths(tmp_path / "demo"))


def digests(run: RunPaths, profile: Profile) -> dict[str, dict[str, str]]:
    return {stage: inputs_of(stage, profile, run) for stage in (*STAGES, *CHAPTERS)}


def test_another_archive_makes_its_chapters_stale_and_nothing_else(tmp_path: Path) -> None:
    """What the archive holds counts for the result chapters; which archive a profile names counts for no stage."""
    run = RunPaths(tmp_path / "demo")
    before = digests(run, Profile())
    assert digests(run, Profile(run={"archive": "data/archived/paper"})) == before
    run.root.mkdir()
    run.archive_manifest.write_text("{}", encoding="utf-8")
    after = digests(run, Profile())
    assert {stage for stage in before if before[stage] != after[stage]} == set(RESULT_CHAPTERS)


def test_snakemake_executes_the_results_on_the_archive(kept: Path, tmp_path: Path) -> None:
    """Each result chapter once, in the folder of the archive; the process chapters in that of the run."""
    profile = tmp_path / "mine.yaml"
    profile.write_text(f"run: {{archive: {kept}}}\n", encoding="utf-8")
    run = RunPaths(tmp_path / "results" / "mine")
    shown = runner.show_archive(load_profile(profile), run)
    assert shown.root == tmp_path / "results" / "mine-paper"
    root = Path(__file__).resolve().parents[1]
    config = {"profile": profile, "results": run.root, "archived": shown.root, "manifest": "", "until": ""}
    command = [
        sys.executable, "-m", "snakemake", "--dry-run", "--snakefile", str(root / "Snakefile"), "--cores", "1",
        "--directory", str(tmp_path), "--config", *(f"{name}={value}" for name, value in config.items()),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "HCCBOOK_ROOT": str(root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    rules = {line.removeprefix("rule ").rstrip(":") for line in done.stdout.splitlines() if line.startswith("rule ")}
    process = {*STAGES, *CHAPTERS} - set(RESULT_CHAPTERS)
    assert rules == {"all", *(f"main_{stage}" for stage in process), *(f"archived_{name}" for name in RESULT_CHAPTERS)}


# --- the archive that the book shows ----------------------------------------------------------------------------------


def test_the_archive_of_the_book_has_the_printed_sizes_and_came_from_its_profile() -> None:
    """Unaltered, small; 924, 231, 703 and 809, 348, 1,254 patients with the printed counts of HCC; no weights named."""
    record = read_archive(archives_dir() / "paper")
    assert {paper: [(size.n, size.events) for size in sizes] for paper, sizes in record.patients.items()} == {
        "alarm": [(924, 45), (231, 13), (703, 31)],
        "amap_ct": [(809, 24), (348, 11), (1254, 83)],
    }
    assert sum(file.bytes for file in record.files.values()) < 20_000_000
    profile = load_profile(Path(__file__).resolve().parents[1] / "profiles" / "paper.yaml")
    assert record.profile.cohort == profile.cohort
    assert record.profile.alarm == profile.alarm
    assert all("AVX2" in processor for processor in record.processors)


def test_the_archive_of_the_book_agrees_with_its_own_scores() -> None:
    """AUCs kept are those that its scores give by counting pairs: (pairs in order + half of the ties) / pairs."""
    folder = archives_dir() / "paper"
    for paper, model in (("alarm", "alarm"), ("amap_ct", "amap_ct")):
        scores = pd.read_csv(next((folder / paper).glob("scores.csv*")))
        kept = pd.read_csv(folder / paper / "auc.csv").query("model == @model").set_index("cohort")["auc"]
        for cohort, rows in scores.groupby("cohort"):
            cases, others = (rows.loc[rows["hcc"] == hcc, model].to_numpy() for hcc in (1, 0))
            apart = cases[:, None] - others
            assert ((apart > 0) + 0.5 * (apart == 0)).mean() == pytest.approx(kept[cohort], abs=1e-12)
