"""CODECHECK: the list of files is that of the items, and what is made anew is held to what is committed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hccbook.pipeline import codecheck, files
from hccbook.pipeline.archive import unpack_archive
from hccbook.pipeline.costs import processor_kind
from hccbook.run import RESULT_CHAPTERS, RunPaths, archives_dir, published_dir

OTHER = "another kind"
FIGURE = "results/codecheck/paper/figures_and_tables/alarm-fig-3"
TABLE = "results/codecheck/paper/figures_and_tables/alarm-table-2.csv"


def items() -> list[dict]:
    return yaml.safe_load((published_dir() / "items.yaml").read_text(encoding="utf-8"))


# --- the list ---------------------------------------------------------------------------------------------------------


def test_codecheck_yml_lists_every_file_of_every_item(project_root: Path) -> None:
    """An explicit YAML document at the root, of version 1.0; each item's numbers and picture are in its manifest."""
    text = (project_root / "codecheck.yml").read_text(encoding="utf-8")
    assert "\n---\n" in text
    content = yaml.safe_load(text)
    assert content["version"] == "https://codecheck.org.uk/spec/config/1.0/"
    listed = [entry["file"] for entry in content["manifest"]]
    expected = [item[kind] for item in items() for kind in ("data", "figure") if item.get(kind)]
    assert [name.split("/", 3)[3] for name in listed] == expected
    assert {name.rsplit("/", 2)[0] for name in listed} == {"results/codecheck/paper", "results/codecheck/smoke"}
    comments = {entry["file"]: entry["comment"] for entry in content["manifest"]}
    assert comments[f"{FIGURE}.png"].startswith("ALARM, Fig. 3: ROC curves")
    assert content["paper"]["authors"][0]["name"]


def test_codecheck_yml_is_what_the_command_would_write(project_root: Path) -> None:
    """Whoever adds an item is told here: hccbook codecheck --write-references."""
    assert (project_root / "codecheck.yml").read_text(encoding="utf-8") == codecheck.manifest_text()


def test_every_file_of_the_list_has_a_reference() -> None:
    """The committed sums are those of the list, no more and no fewer, each the sum of something."""
    references = files.read_json(codecheck.references_dir() / "references.json")
    assert set(references["files"]) == set(codecheck.item_files())
    assert all(len(entry["sha256"]) == 64 for entry in references["files"].values())
    assert references["processor"] and references["versions"]["matplotlib"]


def test_every_table_has_one_to_be_compared_with_to_digits(tmp_path: Path) -> None:
    """Where bytes may differ, the numbers are at hand: in the archived run, and beside the sums."""
    kept = RunPaths(tmp_path / "kept")
    unpack_archive(archives_dir() / "paper", kept, results=True)
    for item in items():
        reference = codecheck.references_dir() / Path(item["data"]).name
        assert (kept.root / item["data"]).is_file() != reference.is_file(), item["id"]


# --- made anew --------------------------------------------------------------------------------------------------------


def test_what_is_laid_there_first_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong files where items go, and where their inputs go, are removed before anything is made."""
    executed: list[str] = []

    def smoke(profile: str, *, results: str, jobs: int, until: str) -> None:
        assert (profile, until) == ("smoke", "features")
        assert not (tmp_path / "results" / "codecheck").exists()
        executed.append(results)

    monkeypatch.setattr(codecheck, "project_root", lambda: tmp_path)
    monkeypatch.setattr(codecheck, "run", smoke)
    monkeypatch.setattr(codecheck, "execute_stage", lambda stage, *_: executed.append(stage))
    wrong = [f"{FIGURE}.png", TABLE, "results/codecheck/paper/alarm/roc.csv", "results/codecheck/paper/profile.yaml"]
    wrong += ["results/codecheck/store/unknown/sums.json", "results/codecheck/smoke/notebooks/04_features.ipynb"]
    for name in wrong:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("wrong", encoding="utf-8")
    codecheck.make_items()
    assert executed == ["results/codecheck/smoke", *RESULT_CHAPTERS]
    left = [name for name in wrong if (tmp_path / name).is_file()]
    assert left == wrong[2:4]  # those that the archive holds
    assert all((tmp_path / name).read_text(encoding="utf-8") != "wrong" for name in left)


# --- compared ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, tuple[str, str]]]:
    """Every item as the archive has its table, with a picture of four pixels, kept as reference; compares anew."""
    monkeypatch.setattr(codecheck, "project_root", lambda: tmp_path)
    monkeypatch.setattr(codecheck, "references_dir", lambda: tmp_path / "references")
    monkeypatch.setattr(codecheck, "manifest_file", lambda: tmp_path / "codecheck.yml")
    unpack_archive(archives_dir() / "paper", RunPaths(tmp_path / "results" / "codecheck" / "paper"), results=True)
    for name in codecheck.item_files():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".png"):
            Image.new("RGB", (2, 2), (10, 20, 30)).save(tmp_path / name)
        elif not (tmp_path / name).is_file():
            files.save_table(pd.DataFrame({"patient": ["P0001"], "voxels": [24]}), tmp_path / name)
    codecheck.write_references()

    def compared(kind: str) -> dict[str, tuple[str, str]]:
        table = codecheck.compare_items(tmp_path, kind)
        return {row.file: (row.status, row.detail) for row in table.itertuples(index=False)}

    return compared


def test_the_same_files_are_the_same_on_any_processor(made: Callable, tmp_path: Path) -> None:
    """Nothing altered: every file is the same; a picture's file may say something else around its pixels."""
    for kind in (processor_kind(), OTHER):
        assert set(made(kind).values()) == {("same", "")}
    with Image.open(tmp_path / f"{FIGURE}.png") as picture:
        said = PngInfo()
        said.add_text("Software", "another one")
        picture.save(tmp_path / f"{FIGURE}.png", pnginfo=said, compress_level=0)
    assert made(processor_kind())[f"{FIGURE}.png"] == ("same", "")


def test_other_bytes_of_the_same_numbers_agree_on_another_kind_alone(made: Callable, tmp_path: Path) -> None:
    """A difference in the ninth digit is one on the same kind of processor, and none on another."""
    table = files.read_csv(tmp_path / TABLE)
    table["value"] += 1e-9
    files.save_table(table, tmp_path / TABLE)
    assert made(processor_kind())[TABLE] == ("differs", "other bytes")
    assert made(OTHER)[TABLE] == ("agrees", "to 6 digits")


def test_another_number_differs_on_every_kind(made: Callable, tmp_path: Path) -> None:
    """A difference in the second digit is named with its place."""
    table = files.read_csv(tmp_path / TABLE)
    table.loc[0, "value"] += 0.01
    files.save_table(table, tmp_path / TABLE)
    for kind in (processor_kind(), OTHER):
        status, detail = made(kind)[TABLE]
        assert status == "differs" and ": value 0." in detail


def test_a_pixel_counts_on_the_same_kind_and_elsewhere_as_its_table_says(made: Callable, tmp_path: Path) -> None:
    """Another pixel on another kind agrees where the table does, and differs where it does not."""
    with Image.open(tmp_path / f"{FIGURE}.png") as picture:
        picture.putpixel((1, 1), (11, 20, 30))
        picture.save(tmp_path / f"{FIGURE}.png")
    assert made(processor_kind())[f"{FIGURE}.png"] == ("differs", "other pixels")
    assert made(OTHER)[f"{FIGURE}.png"] == ("agrees", "as its table")
    table = files.read_csv(tmp_path / f"{FIGURE}.csv")
    files.save_table(table.assign(auc=table["auc"] - 0.1), tmp_path / f"{FIGURE}.csv")
    assert made(OTHER)[f"{FIGURE}.png"] == ("differs", "other pixels")


def test_what_was_not_made_is_absent(made: Callable, tmp_path: Path) -> None:
    """The report names it, and the check fails."""
    (tmp_path / TABLE).unlink()
    assert made(processor_kind())[TABLE][0] == "absent"
    table = codecheck.compare_items(tmp_path, processor_kind())
    lines = list(codecheck.report_lines(table))
    assert lines[0] == f"{TABLE} (alarm-table-2): absent, no such file"
    assert lines[-1] == f"{len(table)} files of {len(items())} items: {len(table) - 1} same, 1 absent"
    assert not codecheck.all_passed(table)
    assert codecheck.all_passed(table[table["status"] == "same"])
