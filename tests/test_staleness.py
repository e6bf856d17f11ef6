"""What makes a stage run again, and what does not: outcomes, images, settings, code, and what a stage has left."""

from __future__ import annotations

import ast
import os
import shutil
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
from hccbook.pipeline.costs import costs_file, read_costs
from hccbook.pipeline.features import extract_radiomics
from hccbook.pipeline.segmentation import segment_cohort
from hccbook.pipeline.staleness import forget_damaged, record_outputs, stage_digest
from hccbook.run import CHAPTERS, STAGES, RunPaths
from hccbook.settings import CohortSettings, Profile, load_profile
from hccbook.store import Store

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


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    """A user's manifest of eight patients, one of them a DICOM series, beside the folder of its run."""
    monkeypatch.setattr("hccbook.phantom.ideal_observer.MONTE_CARLO_PATIENTS", 2000)
    manifest = phantom.write_cohort(tmp_path / "ct", "alarm", COHORT)
    rows = pd.read_csv(manifest)
    # Not compressed, so that another image has the same size.
    rows.loc[3, "venous"] = rows.loc[3, "venous"].removesuffix(".gz")
    compressed = manifest.parent / f"{rows.loc[3, 'venous']}.gz"
    sitk.WriteImage(sitk.ReadImage(str(compressed)), str(compressed.with_suffix("")))
    rows.drop(columns=[name for name in rows if "arterial" in name or "delayed" in name]).to_csv(manifest, index=False)
    (tmp_path / "mine.yaml").write_text(PROFILE, encoding="utf-8")
    return RunPaths(tmp_path / "results" / "mine", manifest)


def profile_of(run: RunPaths) -> Path:
    return run.root.parents[1] / "mine.yaml"


def flip_outcomes(manifest: Path) -> pd.Series:
    """HCC for none and none for HCC in four patients; the new outcomes by row."""
    rows = pd.read_csv(manifest)
    rows.loc[:3, "hcc"] = 1 - rows.loc[:3, "hcc"]
    rows.loc[rows["hcc"] == 0, "bclc"] = np.nan
    rows.to_csv(manifest, index=False)
    return rows["hcc"]


def replace_image(manifest: Path) -> None:
    """Other voxels in P0004's file, under its old name, size and date."""
    file = manifest.parent / pd.read_csv(manifest)["venous"][3]
    state, image = file.stat(), sitk.ReadImage(str(file))
    array = sitk.GetArrayFromImage(image)
    other = sitk.GetImageFromArray((array + np.random.default_rng(5).integers(0, 9, array.shape)).astype(array.dtype))
    other.CopyInformation(image)
    sitk.WriteImage(other, str(file))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)


def entries(store: Store, kind: str) -> set[str]:
    return {folder.name for folder in (store.root / kind).iterdir()}


# --- a run ------------------------------------------------------------------------------------------------------------


def executed(run: RunPaths) -> set[str]:
    """Stages that a call of the runner executes."""
    table = costs_file(run)
    before = len(pd.read_csv(table)) if table.is_file() else 0
    runner.run(str(profile_of(run)), manifest=str(run.manifest), results=str(run.root), until="preprocessing")
    return set(pd.read_csv(table)["stage"][before:])


def features(run: RunPaths) -> pd.DataFrame:
    """Radiomics out of what the run has left."""
    settings = load_profile(profile_of(run))
    segment_cohort(run, "alarm", settings.segmentation, None, VENOUS, 1)
    return extract_radiomics(run, "alarm", settings.features, VENOUS, 1)


def test_a_run_makes_again_what_has_changed_and_nothing_else(own: RunPaths) -> None:
    """Outcomes flipped and one image replaced in place; a result altered and one deleted; in between nothing at all."""
    both = {"01_cohort", "02_preprocessing"}
    assert executed(own) == both
    first = features(own)
    images, values = entries(own.store, "preprocessing"), entries(own.store, "radiomics")
    assert (len(images), len(values)) == (8, 8)

    os.utime(own.manifest)
    assert executed(own) == set(), "another date is no other content"

    outcomes = flip_outcomes(own.manifest)
    replace_image(own.manifest)
    assert executed(own) == both
    assert read_costs(own).set_index("stage").loc["02_preprocessing", ["patients", "computed"]].tolist() == [8, 1]
    assert pd.read_csv(own.clinical("alarm"))["hcc"].tolist() == outcomes.tolist()
    again = features(own)
    assert len(entries(own.store, "preprocessing") - images) == 1
    assert len(entries(own.store, "radiomics") - values) == 1
    changed = (first != again).any(axis=1)
    assert list(changed.index[changed]) == ["P0004"]

    table, image = own.stage("preprocessing") / "alarm.csv", own.stage("preprocessing") / "images" / "alarm"
    content = table.read_text(encoding="utf-8")
    table.write_text(content.replace("P0001", "P0009"), encoding="utf-8")
    (image / "P0002_venous.nii.gz").unlink()
    assert executed(own) == {"02_preprocessing"}
    assert table.read_text(encoding="utf-8") == content
    assert (image / "P0002_venous.nii.gz").is_file()


# --- what a stage follows from ----------------------------------------------------------------------------------------


def digests(profile: Profile, run: RunPaths) -> dict[str, str]:
    return {stage: stage_digest(stage, profile, run) for stage in (*STAGES, *CHAPTERS)}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {stage for stage in before if before[stage] != after[stage]}


def test_content_of_the_manifest_and_its_images_counts_for_the_cohort(own: RunPaths) -> None:
    """Outcomes, an image, a slice of a series and a mask; later stages follow the cohort's files."""
    profile = load_profile(profile_of(own))
    before = digests(profile, own)
    os.utime(own.manifest)
    assert changed(before, digests(profile, own)) == set()
    slices = sorted((own.manifest.parent / pd.read_csv(own.manifest)["venous"][0]).iterdir())
    mask = own.manifest.parent / pd.read_csv(own.manifest)["liver_mask_venous"][2]
    for change in (
        lambda: flip_outcomes(own.manifest),
        lambda: replace_image(own.manifest),
        lambda: slices[2].write_bytes(slices[2].read_bytes()[:-1] + b"\1"),
        lambda: mask.write_bytes(mask.read_bytes() + b"\0"),
    ):
        change()
        after = digests(profile, own)
        assert changed(before, after) == {"cohort"}
        before = after


def test_a_setting_counts_where_it_is_used(tmp_path: Path) -> None:
    """For its stage and the chapters that borrow it, and for nothing else."""
    run, plain = RunPaths(tmp_path / "run"), Profile()
    before = digests(plain, run)
    assert changed(before, digests(Profile(segmentation={"iterations": 7}), run)) == {"segmentation"}
    assert changed(before, digests(Profile(features={"bin_width": 10}), run)) == {"features", "amap_ct_supplement"}
    assert changed(before, digests(plain, RunPaths(tmp_path / "other"))) == set()


def test_a_file_that_a_setting_names_counts_with_its_content(tmp_path: Path) -> None:
    """Weights under the same name."""
    weights, run = tmp_path / "weights.safetensors", RunPaths(tmp_path / "run")
    weights.write_bytes(b"one")
    profile = Profile(segmentation={"weights": str(weights)}, features={"resnet18_weights": str(weights)})
    before = digests(profile, run)
    weights.write_bytes(b"two")
    assert changed(before, digests(profile, run)) == {"segmentation", "features"}


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


# --- what a stage has left --------------------------------------------------------------------------------------------


@pytest.fixture
def finished(tmp_path: Path) -> RunPaths:
    """A stage that has left a table, an image in a folder, and its notebook."""
    run = RunPaths(tmp_path / "run")
    (run.stage("cohort") / "alarm.csv").write_text("patient,hcc\nP0001,0\n")
    (run.stage("cohort") / "images").mkdir()
    (run.stage("cohort") / "images" / "P0001.nii.gz").write_bytes(b"voxels")
    notebook = run.executed_notebook("cohort")
    notebook.parent.mkdir(parents=True)
    notebook.write_text("{}")
    record_outputs("cohort", run)
    return run


def alter(file: Path) -> None:
    state = file.stat()
    file.write_text(file.read_text().replace("0", "1"))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize("damage", [alter, Path.unlink])
def test_a_stage_whose_file_is_altered_or_gone_runs_again(finished: RunPaths, damage) -> None:
    """Its notebook is taken away, the file is named, even where size and date are the old ones."""
    assert forget_damaged("cohort", finished) == []
    assert finished.executed_notebook("cohort").is_file()
    damage(finished.stage("cohort") / "alarm.csv")
    assert forget_damaged("cohort", finished) == ["cohort/alarm.csv"]
    assert not finished.executed_notebook("cohort").exists()


def test_a_file_that_came_later_damages_nothing(finished: RunPaths) -> None:
    """What a user puts beside the results is none of them."""
    (finished.stage("cohort") / "notes.txt").write_text("mine")
    assert forget_damaged("cohort", finished) == []


def test_a_stage_that_has_not_run_is_not_damaged(tmp_path: Path) -> None:
    """There is no record, and nothing to take away."""
    assert forget_damaged("features", RunPaths(tmp_path / "run")) == []
