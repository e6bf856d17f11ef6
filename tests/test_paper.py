"""What tells papers apart is said in one place: a third paper runs by its entry alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pandas as pd
import pytest

import hccbook
from hccbook import phantom
from hccbook.errors import DataError
from hccbook.papers import PAPERS, ROLES, Paper, find_paper, role_of_cohort
from hccbook.pipeline.cohort import make_cohort
from hccbook.pipeline.features import extract_deep, extract_radiomics
from hccbook.pipeline.files import model_table
from hccbook.pipeline.preprocessing import preprocess_cohort
from hccbook.pipeline.segmentation import segment_cohort
from hccbook.run import RunPaths
from hccbook.settings import (
    CohortSettings,
    FeatureSettings,
    PreprocessingSettings,
    Profile,
    RunSettings,
    SegmentationSettings,
)

PACKAGE = Path(hccbook.__file__).parent

THIRD = Paper(
    name="spleen_ct",
    title="Spleen-CT",
    number=3,
    organs=("spleen",),
    cohorts=("learning", "checking", "elsewhere"),
    validation_share=0.25,
    largest_centre="divided",
    network="resnet18",
    model="hccbook.models.amap_ct:AmapCtModel",
    filters="square",
)
COHORT = CohortSettings(
    acquisition_spacing_mm=10.0,
    dicom_patients=0,
    alarm_discovery=3,
    alarm_discovery_hcc=1,
    alarm_internal=1,
    alarm_internal_hcc=0,
    alarm_external=1,
    alarm_external_hcc=0,
)


def test_the_two_papers_are_as_printed() -> None:
    """Organs, cohorts and networks of ALARM and aMAP-CT, Methods."""
    alarm, amap_ct = PAPERS.values()
    assert (alarm.title, alarm.organs, alarm.network, alarm.is_tuned) == ("ALARM", ("liver",), "resnet50", True)
    assert (amap_ct.title, amap_ct.network, amap_ct.is_tuned) == ("aMAP-CT", "resnet18", False)
    assert amap_ct.organs == ("liver", "spleen")
    assert alarm.cohort_of_role["test"] == "external_validation"
    assert amap_ct.cohort_of_role == {"development": "training", "validation": "validation", "test": "test"}
    assert (alarm.slug, amap_ct.slug, amap_ct.notebook_tag) == ("alarm", "amap-ct", "paper-amap-ct")


def test_papers_are_told_apart_by_name_and_number() -> None:
    """Simulated patients of two papers never share a seed, nor do those that train the segmentation, which are 2."""
    assert all(name == paper.name for name, paper in PAPERS.items())
    numbers = [paper.number for paper in PAPERS.values()]
    assert len({*numbers, 2}) == len(numbers) + 1


def test_a_cohort_has_one_role() -> None:
    """Names of all papers' cohorts, each with what it is for."""
    roles = role_of_cohort()
    assert set(roles.values()) == set(ROLES)
    assert roles["discovery"] == roles["training"] == "development"
    assert len(roles) == 3 * len(PAPERS)


def test_an_unknown_paper_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(DataError, match="paper: must be one of alarm, amap_ct, but found 'amap'"):
        find_paper("amap")


def test_models_of_the_papers_are_there() -> None:
    """Named as text, so that nobody pays for a model that is not fitted."""
    assert [paper.model_class().__name__ for paper in PAPERS.values()] == ["AlarmModel", "AmapCtModel"]


def test_a_third_paper_runs_by_its_entry_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's manifest through cohort, preprocessing, given masks, radiomics and deep features of the spleen."""
    monkeypatch.setattr("hccbook.phantom.ideal_observer.MONTE_CARLO_PATIENTS", 2000)
    manifest = phantom.write_cohort(tmp_path / "ct", "alarm", COHORT)
    monkeypatch.setitem(PAPERS, THIRD.name, THIRD)
    settings = RunSettings(papers="spleen_ct", phases="venous", synthetic=False)
    run, phases = RunPaths(tmp_path / "run", manifest), ("venous",)
    features = FeatureSettings(crop_voxels=16)
    table = make_cohort(run, settings.papers, COHORT, phases, 1)
    # The manifest's cohorts are ALARM's; a third paper calls them by its own names.
    assert table["cohort"].value_counts().to_dict() == {"learning": 3, "checking": 1, "elsewhere": 1}
    preprocess_cohort(run, "spleen_ct", PreprocessingSettings(spacing_mm=10.0), phases, 1)
    segment_cohort(run, "spleen_ct", SegmentationSettings(mask_source="manifest"), None, phases, 1)
    radiomics = extract_radiomics(run, "spleen_ct", features, phases, 1)
    deep = extract_deep(run, "spleen_ct", features, phases)
    # The unfiltered image's 107 features, 93 of the squared one; ResNet-18 pools 512 values.
    assert radiomics.shape == (5, 107 + 93)
    assert deep.shape == (5, 512)
    assert all(name.startswith("venous.spleen.") for name in (*radiomics, *deep))
    clinical, joined = model_table(run, "spleen_ct")
    assert joined.shape == (5, 1 + 200 + 512)
    assert not joined.isna().any().any()
    assert clinical["role"].value_counts().to_dict() == {"development": 3, "validation": 1, "test": 1}
    assert pd.read_csv(run.stage("features") / "spleen_ct_failures.csv").empty


def test_a_third_paper_joins_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be chosen, and leaves nothing of the others' behind."""
    with pytest.raises(ValueError, match="must list different papers"):
        Profile(run={"papers": "spleen_ct"})
    monkeypatch.setitem(PAPERS, THIRD.name, THIRD)
    assert Profile(run={"papers": "spleen_ct"}).run.papers == "spleen_ct"


def compared_with_a_paper(file: Path) -> list[str]:
    """Comparisons of a variable named paper with the name of one."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare):
            parts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            if "paper" in ast.unparse(node.left) and set(parts) & set(PAPERS):
                found.append(f"{file.relative_to(PACKAGE)}, line {node.lineno}: {ast.unparse(node)}")
    return found


def test_no_module_asks_which_paper_it_is() -> None:
    """What differs stands in the papers' entries; an ``if paper ==`` elsewhere would leave a third one out."""
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 100
    assert [line for file in files for line in compared_with_a_paper(file)] == []


def test_a_question_which_paper_it_is_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above sees both ways of asking."""
    monkeypatch.setattr("test_paper.PACKAGE", tmp_path)
    file = tmp_path / "stage.py"
    file.write_text('if case.paper == "alarm":\n    pass\nx = 1 if paper in ("amap_ct",) else 2\ny = name == "alarm"\n')
    assert [line.partition(": ")[0] for line in compared_with_a_paper(file)] == ["stage.py, line 1", "stage.py, line 3"]
