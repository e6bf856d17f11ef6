"""What makes a stage run again, and what does not: outcomes, images, settings, code, and what a stage has left."""

from __future__ import annotations

import ast
import hashlib
import multiprocessing
import os
import random
import shutil
import time
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

import hccbook
from hccbook import phantom, provenance
from hccbook.features.radiomics import extract_features
from hccbook.images.patients import preprocess_patient
from hccbook.pipeline import runner
from hccbook.pipeline.cohort import make_cohort
from hccbook.pipeline.features import extract_radiomics
from hccbook.pipeline.preprocessing import preprocess_cohort
from hccbook.pipeline.segmentation import segment_cohort
from hccbook.pipeline.staleness import Overview, StageRecord, changes, forget_damaged, inputs_of, recorded
from hccbook.provenance import file_digest
from hccbook.run import CHAPTERS, STAGES, RunPaths
from hccbook.settings import CohortSettings, Profile, load_profile
from hccbook.store import Store, clear_leftovers

COHORT = CohortSettings(
    acquisition_spacing_mm=10.0,
    dicom_patients=1,
    alarm_discovery=6,
    alarm_discovery_hcc=2,
    alarm_internal=1,
    alarm_internal_hcc=0,
    alarm_external=1,
    alarm_external_hcc=0,
)
PROFILE = """\
run: {synthetic: false, phases: venous, papers: alarm}
cohort: {segmentation_patients: 0}
preprocessing: {spacing_mm: 10}
segmentation: {mask_source: manifest, contact_sheets: false}
features: {alarm_filters: square}
"""
VENOUS = ("venous",)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's manifest of eight patients, the first a DICOM series, and what a run has made of it up to the masks."""
    folder = tmp_path_factory.mktemp("written")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hccbook.phantom.ideal_observer.MONTE_CARLO_PATIENTS", 2000)
        manifest = phantom.write_cohort(folder / "ct", "alarm", COHORT)
    rows = pd.read_csv(manifest)
    # Not compressed, so that another image has the same size.
    rows.loc[3, "venous"] = rows.loc[3, "venous"].removesuffix(".gz")
    compressed = manifest.parent / f"{rows.loc[3, 'venous']}.gz"
    sitk.WriteImage(sitk.ReadImage(str(compressed)), str(compressed.with_suffix("")))
    content = bytearray(compressed.with_suffix("").read_bytes())
    content[40:42] = (4).to_bytes(2, "little")  # a fourth dimension, of one volume: remarked on when it is read
    compressed.with_suffix("").write_bytes(content)
    rows.drop(columns=[name for name in rows if "arterial" in name or "delayed" in name]).to_csv(manifest, index=False)
    (folder / "mine.yaml").write_text(PROFILE, encoding="utf-8")
    made_of(RunPaths(folder / "results" / "mine", manifest))
    return folder


@pytest.fixture
def own(written: Path, tmp_path: Path) -> RunPaths:
    """A copy of that run, to be changed."""
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return RunPaths(tmp_path / "results" / "mine", tmp_path / "ct" / "manifest.csv")


def profile_of(run: RunPaths) -> Path:
    return run.manifest.parents[1] / "mine.yaml"


def made_of(run: RunPaths) -> dict[str, str]:
    """Execute the stages of images that are stale, without a notebook, in the order of a run; why, by stage.

    What decides and what is recorded is what the runner calls.
    """
    settings, why = load_profile(profile_of(run)), {}
    stages: dict[str, Callable[[], object]] = {
        "cohort": lambda: make_cohort(run, "alarm", settings.cohort, VENOUS, 1),
        "preprocessing": lambda: preprocess_cohort(run, "alarm", settings.preprocessing, VENOUS, 1),
        "segmentation": lambda: segment_cohort(run, "alarm", settings.segmentation, None, VENOUS, 1),
    }
    overview = Overview.of([run], list(stages))
    for stage, execute in stages.items():
        inputs, record = inputs_of(stage, settings, run), StageRecord.of(stage, run)
        if why or overview.damaged[run, stage] or record.inputs != inputs:
            with recorded([stage], run, inputs):
                execute()
                notebook = run.executed_notebook(stage)
                notebook.parent.mkdir(parents=True, exist_ok=True)
                notebook.write_text("{}")
            why[stage] = ""
    for line in overview.lines():
        step, _, reason = line.removeprefix("Made again: ").partition(": ")
        if line.startswith("Made again"):
            why[step.partition(", ")[2].partition(" (")[0].partition("_")[2]] = reason
    return why


def make_all(run: RunPaths) -> None:
    """As `made_of`, and radiomics, in a process of its own."""
    made_of(run)
    extract_radiomics(run, "alarm", load_profile(profile_of(run)).features, VENOUS, 1)


def left_in(run: RunPaths) -> dict[str, bytes]:
    """Every file that stages left, by name."""
    return {
        file.relative_to(run.root).as_posix(): file.read_bytes()
        for stage in ("cohort", "preprocessing", "segmentation", "features")
        for file in sorted((run.root / stage).rglob("*"))
        if file.is_file()
    }


def entries(store: Store, kind: str) -> set[str]:
    return {folder.name for folder in (store.root / kind).iterdir()}


# --- corrections ------------------------------------------------------------------------------------------------------


def same_size_and_date(file: Path, change: Callable[[np.ndarray], None]) -> None:
    """Other voxels in an uncompressed image, in place."""
    state, content = file.stat(), bytearray(file.read_bytes())
    change(np.frombuffer(content, np.int16, offset=352))
    file.write_bytes(content)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)


def edit(manifest: Path, change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> None:
    rows = pd.read_csv(manifest)
    changed = change(rows)
    (rows if changed is None else changed).to_csv(manifest, index=False)


def another_outcome(rows: pd.DataFrame) -> None:
    rows.loc[1, "hcc"] = 1 - rows.loc[1, "hcc"]
    rows.loc[rows["hcc"] == 0, "bclc"] = np.nan


def another_name(rows: pd.DataFrame) -> None:
    rows.loc[1, "patient_id"] = "a corrected name"


def replace_image(manifest: Path) -> None:
    """Other voxels in P0004's file, under its old name, size and date."""

    def brighter(voxels: np.ndarray) -> None:
        voxels += np.random.default_rng(5).integers(0, 9, voxels.shape, dtype=np.int16)

    same_size_and_date(manifest.parent / pd.read_csv(manifest)["venous"][3], brighter)


def replace_mask(manifest: Path) -> None:
    """P0003's liver loses its lowest slices; the file has the date of the earlier one."""
    file = manifest.parent / pd.read_csv(manifest)["liver_mask_venous"][2]
    state, mask = file.stat(), sitk.ReadImage(str(file))
    voxels = sitk.GetArrayFromImage(mask)
    voxels[: int(np.flatnonzero(voxels.any(axis=(1, 2)))[2])] = 0
    less = sitk.GetImageFromArray(voxels)
    less.CopyInformation(mask)
    sitk.WriteImage(less, str(file))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def replace_slice(manifest: Path) -> None:
    """One voxel of one slice of P0001's series."""
    file = sorted((manifest.parent / pd.read_csv(manifest)["venous"][0]).iterdir())[2]
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)


def add_row(manifest: Path) -> None:
    """A ninth patient, whose image is nobody else's."""
    rows = pd.read_csv(manifest)
    added = rows.loc[[3]].assign(patient_id="another one", venous="ninth.nii")
    shutil.copyfile(manifest.parent / rows.loc[3, "venous"], manifest.parent / "ninth.nii")
    for column in (name for name in rows if "_mask_" in name):
        added[column] = f"ninth_{column}.nii.gz"
        shutil.copyfile(manifest.parent / rows.loc[3, column], manifest.parent / f"ninth_{column}.nii.gz")
    same_size_and_date(manifest.parent / "ninth.nii", lambda voxels: np.add(voxels, 1, out=voxels))
    pd.concat([rows, added]).to_csv(manifest, index=False)


def move_file(manifest: Path) -> None:
    """P0004's image lies elsewhere."""
    rows = pd.read_csv(manifest)
    (manifest.parent / rows.loc[3, "venous"]).rename(manifest.parent / "elsewhere.nii")
    rows.loc[3, "venous"] = "elsewhere.nii"
    rows.to_csv(manifest, index=False)


CORRECTIONS = {
    "a date": (os.utime, None, 0),
    "a value": (lambda file: edit(file, another_outcome), "row of P0002", 0),
    "a name": (lambda file: edit(file, another_name), "manifest", 0),
    "the order of columns": (lambda file: edit(file, lambda rows: rows[[*rows][::-1]]), "manifest", 0),
    "a row added": (add_row, "row of P0009; images of P0009", 1),
    "a row removed": (
        lambda file: edit(file, lambda rows: rows.drop(index=7)),
        "row of P0008 gone; images of P0008 gone",
        0,
    ),
    "a row moved": (
        lambda file: edit(file, lambda rows: rows.loc[[0, 1, 3, 2, 4, 5, 6, 7]]),
        "row of P0003, P0004; images of P0003, P0004",
        0,
    ),
    "all rows moved": (
        lambda file: edit(file, lambda rows: rows[::-1]),
        "row of P0001, P0002, P0003, P0004 and 4 more; images of P0001, P0002, P0003, P0004 and 4 more",
        0,
    ),
    "an image in place": (replace_image, "images of P0004", 1),
    "a mask in place": (replace_mask, "images of P0003", 1),
    "a slice": (replace_slice, "images of P0001", 1),
    "a file moved": (move_file, "manifest", 0),
}
"""What is corrected: by what, what the run says of it, and how many patients it costs."""


@pytest.mark.parametrize("kind", CORRECTIONS)
def test_a_correction_counts_for_whom_it_concerns(own: RunPaths, tmp_path: Path, kind: str) -> None:
    """The run says what it was, computes these patients and nobody else, and leaves what a new run leaves."""
    correct, said, computed = CORRECTIONS[kind]
    before = entries(own.store, "preprocessing")
    assert len(before) == 8
    correct(own.manifest)
    why = made_of(own)
    follows = "what it reads was made again"
    assert why == ({"cohort": said, "preprocessing": follows, "segmentation": follows} if said else {})
    assert len(entries(own.store, "preprocessing") - before) == computed
    anew = RunPaths(tmp_path / "other" / "mine", own.manifest)
    made_of(anew)
    assert left_in(own) == left_in(anew)


# --- results ----------------------------------------------------------------------------------------------------------

IMAGE = "preprocessing/images/alarm/P0002_venous.nii.gz"


def alter(file: Path) -> None:
    """A bit of a file, which keeps its size and date."""
    state, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def damage_of_store(run: RunPaths, damage: Callable[[Path], None]) -> None:
    """All that is stored of the images, and one of the run's own files, so that they are asked for."""
    for file in (run.store.root / "preprocessing").rglob("*.nii.gz"):
        damage(file)
    (run.root / IMAGE).unlink(missing_ok=True)


DAMAGES = {
    "a table altered": (lambda run: alter(run.root / "cohort" / "alarm.csv"), {"cohort": "cohort/alarm.csv altered"}),
    "a table deleted": (lambda run: run.clinical("alarm").unlink(), {"cohort": "cohort/alarm.csv deleted"}),
    "an image altered": (lambda run: alter(run.root / IMAGE), {"preprocessing": f"{IMAGE} altered"}),
    "an image deleted": (lambda run: (run.root / IMAGE).unlink(), {"preprocessing": f"{IMAGE} deleted"}),
    "a notebook altered": (
        lambda run: run.executed_notebook("segmentation").write_text("[]"),
        {"segmentation": "notebooks/03_segmentation.ipynb altered"},
    ),
    "the store altered": (lambda run: damage_of_store(run, alter), {"preprocessing": f"{IMAGE} deleted"}),
    "the store deleted": (lambda run: damage_of_store(run, Path.unlink), {"preprocessing": f"{IMAGE} deleted"}),
    "another's notes": (lambda run: (run.root / "cohort" / "notes.txt").write_text("mine"), {}),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_result_that_is_no_more_is_made_again(own: RunPaths, kind: str) -> None:
    """What it was is said, and what stands there in the end is what stood there; what others put there stays."""
    damage, said = DAMAGES[kind]
    before = left_in(own)
    damage(own)
    why = made_of(own)
    assert {stage: reason for stage, reason in why.items() if reason != "what it reads was made again"} == said
    after = left_in(own)
    assert {name: after[name] for name in after if name != "cohort/notes.txt"} == before
    assert ("cohort/notes.txt" in after) == (kind == "another's notes")


def test_a_row_that_moved_takes_its_remarks_along(own: RunPaths) -> None:
    """They lie in the store with the image, and are told of whom it is now."""
    remarks = own.root / "preprocessing" / "alarm_remarks.csv"
    assert "P0004, venous: 4 dimensions" in remarks.read_text(encoding="utf-8")
    edit(own.manifest, lambda rows: rows.loc[[3, *range(3), *range(4, 8)]])
    made_of(own)
    told = remarks.read_text(encoding="utf-8")
    assert "P0001, venous: 4 dimensions" in told
    assert "P0004" not in told


# --- processes that are killed ---------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_whatever_is_killed_at_any_moment_is_made_to_its_end(written: Path, tmp_path: Path) -> None:
    """Images, masks and radiomics, killed at 25 random moments; `benchmarks/kill_points.py` does so with whole runs."""
    manifest = written / "ct" / "manifest.csv"
    context, moments = multiprocessing.get_context("forkserver"), random.Random(15)
    context.set_forkserver_preload(["test_staleness"])

    def killed(run: RunPaths, after_s: float | None) -> bool:
        process = context.Process(target=make_all, args=(run,))
        process.start()
        process.join(after_s)
        is_at_work = process.is_alive()
        process.kill()
        process.join()
        assert is_at_work or process.exitcode == 0
        return is_at_work

    def left(run: RunPaths) -> tuple[dict[str, bytes], set[str]]:
        assert clear_leftovers(run.root.parent) >= 0
        assert list(run.root.parent.rglob(".part-*")) == []
        return left_in(run), {name for kind in ("preprocessing", "radiomics") for name in entries(run.store, kind)}

    undisturbed = RunPaths(tmp_path / "whole" / "mine", manifest)
    killed(undisturbed, None)  # the first loads compiled code
    shutil.rmtree(tmp_path / "whole")
    begun = time.monotonic()
    killed(undisturbed, None)
    latest, kills, runs = time.monotonic() - begun, 0, 0
    while kills < 25:
        run, runs = RunPaths(tmp_path / f"{runs}" / "mine", manifest), runs + 1
        while killed(run, moments.uniform(0, latest)):
            kills += 1
        assert left(run) == left(undisturbed)


# --- a run ------------------------------------------------------------------------------------------------------------


def executed(run: RunPaths, capsys: pytest.CaptureFixture) -> list[str]:
    """What a call of the runner says of the stages that it executes."""
    runner.run(str(profile_of(run)), manifest=str(run.manifest), results=str(run.root), until="preprocessing")
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith(("Made", "Kept"))]


@pytest.mark.thorough
def test_a_run_makes_again_what_has_changed_and_says_why(own: RunPaths, capsys: pytest.CaptureFixture) -> None:
    """An outcome and an image corrected, a result altered and one deleted, through Snakemake and papermill."""
    shutil.rmtree(own.root)
    assert executed(own, capsys) == ["Made for the first time: 01_cohort, 02_preprocessing"]
    edit(own.manifest, another_outcome)
    replace_image(own.manifest)
    assert executed(own, capsys) == [
        "Made again: mine, 01_cohort: row of P0002; images of P0004",
        "Made again: mine, 02_preprocessing (1 of 8 patients anew): what it reads was made again",
    ]
    alter(own.clinical("alarm").with_name("alarm_split.json"))
    (own.root / IMAGE).unlink()
    assert executed(own, capsys) == [
        "Made again: mine, 01_cohort: cohort/alarm_split.json altered",
        f"Made again: mine, 02_preprocessing (0 of 8 patients anew): {IMAGE} deleted",
    ]
    assert executed(own, capsys) == ["Kept, since nothing that they follow from has changed: 2"]


# --- what a stage follows from ----------------------------------------------------------------------------------------


def digests(profile: Profile, run: RunPaths) -> dict[str, dict[str, str]]:
    return {stage: inputs_of(stage, profile, run) for stage in (*STAGES, *CHAPTERS)}


def changed(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> set[str]:
    return {stage for stage in before if before[stage] != after[stage]}


def test_the_manifest_and_its_images_count_for_the_cohort_alone(own: RunPaths) -> None:
    """Later stages follow the cohort's files."""
    profile = load_profile(profile_of(own))
    before = digests(profile, own)
    edit(own.manifest, another_outcome)
    replace_image(own.manifest)
    assert changed(before, digests(profile, own)) == {"cohort"}


def test_a_setting_counts_where_it_is_used(tmp_path: Path) -> None:
    """For its stage and the chapters that borrow it, and for nothing else."""
    run, plain = RunPaths(tmp_path / "run"), Profile()
    before = digests(plain, run)
    after = digests(Profile(segmentation={"iterations": 7}), run)
    assert changed(before, after) == {"segmentation"}
    assert changes(before["segmentation"], after["segmentation"]) == ["setting iterations"]
    assert changed(before, digests(Profile(features={"bin_width": 10}), run)) == {"features", "amap_ct_supplement"}
    assert changed(before, digests(plain, RunPaths(tmp_path / "other"))) == set()


def test_a_file_that_a_setting_names_counts_with_its_content(tmp_path: Path) -> None:
    """Weights under the same name."""
    weights, run = tmp_path / "weights.safetensors", RunPaths(tmp_path / "run")
    weights.write_bytes(b"one")
    profile = Profile(segmentation={"weights": str(weights)}, features={"resnet18_weights": str(weights)})
    before = digests(profile, run)
    weights.write_bytes(b"two")
    after = digests(profile, run)
    assert changed(before, after) == {"segmentation", "features"}
    assert changes(before["segmentation"], after["segmentation"]) == ["file of the setting weights"]


@pytest.mark.parametrize(("system", "seen"), [("ext4", False), ("exfat", True), ("fuse.sshfs", True)])
def test_where_no_change_has_a_time_each_file_is_read(tmp_path: Path, monkeypatch, system: str, seen: bool) -> None:
    """A file of another content and the same size and date, on a system that has nothing else to tell them apart."""
    partition = types.SimpleNamespace(mountpoint=str(tmp_path), fstype=system)
    monkeypatch.setattr(provenance.psutil, "disk_partitions", lambda all: [partition])
    alike = lambda file: (file.stat().st_size, 0, file.stat().st_mtime_ns, 0)  # noqa: E731
    monkeypatch.setattr(provenance, "file_state", alike)
    monkeypatch.setattr("hccbook.store.file_state", alike)
    monkeypatch.setattr(provenance, "_SETTLED_NS", 0)
    file, store = tmp_path / "ct.nii", Store(tmp_path / "store")
    file.write_bytes(b"00000000")
    before = (store.content(file), file_digest(file))
    alter(file)
    after = (store.content(file), file_digest(file))
    assert (before != after) == seen
    assert (file_digest(file) == hashlib.sha256(file.read_bytes()).hexdigest()) == seen


# --- code -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A copy of the package, in whose place changes are looked at."""
    root = tmp_path / "hccbook"
    shutil.copytree(Path(hccbook.__file__).parent, root, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "_ROOT", root)
    provenance._code_digest.cache_clear()
    yield root
    provenance._code_digest.cache_clear()


def documented(text: str) -> str:
    """The same code with another docstring of the module and its first function, and comments."""
    tree = ast.parse(text)
    for node in (tree, *[part for part in tree.body if isinstance(part, ast.FunctionDef)][:1]):
        node.body.insert(0, ast.Expr(ast.Constant("Another docstring.")))
    future = [part for part in tree.body if isinstance(part, ast.ImportFrom) and part.module == "__future__"]
    tree.body = [tree.body[0], *future, *[part for part in tree.body[1:] if part not in future]]
    return f"# why\n{ast.unparse(tree)}\n# and how\n"


def keys(run: RunPaths) -> tuple[str, str]:
    provenance._code_digest.cache_clear()  # a running process keeps the code that it has imported
    return run.store.key("preprocessing", preprocess_patient, 1), run.store.key("radiomics", extract_features, 1)


def test_comments_and_docstrings_of_any_module_make_nothing_stale(copied: Path, tmp_path: Path) -> None:
    """Every module is laid out anew, with other comments and docstrings: stages and stored results stay."""
    run, profile = RunPaths(tmp_path / "run"), Profile()
    stages, stored = digests(profile, run), keys(run)
    for file in copied.rglob("*.py"):
        file.write_text(documented(file.read_text(encoding="utf-8")), encoding="utf-8")
    assert changed(stages, digests(profile, run)) == set()
    assert keys(run) == stored


def test_a_changed_line_makes_stale_what_runs_it(copied: Path, tmp_path: Path) -> None:
    """A line of the texture features: the features stage and their stored values; neither the cohort nor an image."""
    run, profile = RunPaths(tmp_path / "run"), Profile()
    stages, (images, values) = digests(profile, run), keys(run)
    (file,) = copied.rglob("features/radiomics/extraction.py")
    with file.open("a", encoding="utf-8") as handle:
        handle.write("\nADDED = 1\n")
    stale = changed(stages, digests(profile, run))
    assert "features" in stale
    assert not {"cohort", "audit", "preprocessing"} & stale
    assert keys(run)[0] == images
    assert keys(run)[1] != values


def test_a_stage_that_has_not_run_is_not_damaged(tmp_path: Path) -> None:
    """There is no record, and nothing to take away."""
    assert forget_damaged("features", RunPaths(tmp_path / "run")) == []
