"""Crates: what they say of a run, what they keep to themselves, and which items an altered byte touches."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from made_up_run import finished_run

from hccbook.cli import main
from hccbook.papers import published
from hccbook.pipeline import files
from hccbook.pipeline.crate import CRATE, INPUTS, SETTINGS, keyed_inputs, stages_read, write_crate
from hccbook.pipeline.lineage import CellLineage, lineage_file
from hccbook.pipeline.staleness import record_outputs
from hccbook.pipeline.verification import CrateError, verify_crate
from hccbook.run import RunPaths
from hccbook.settings import Profile

PROFILE = Profile(cohort={"seed": 5, "alarm_discovery": 26, "alarm_internal": 14}, alarm={"smote": "off"})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with three items: a figure and a table made from known files, and one of a stage not traced."""
    run = finished_run(tmp_path_factory.mktemp("crate") / "results" / "made", PROFILE)
    for name in ("alarm/roc.csv", "alarm/auc.csv", "alarm/diagnostic.csv"):
        files.save_table(pd.DataFrame({"value": [0.5]}), run.root / name)
    items = ("figures_and_tables/alarm-fig-3", "figures_and_tables/alarm-table-2", "features/amap-ct-fig-s4")
    for name in items:
        files.save_table(pd.DataFrame({"value": [0.7]}), run.root / f"{name}.csv")
        if "fig" in name:
            (run.root / f"{name}.png").write_bytes(b"picture of " + name.encode())
    for stage in ("alarm", "features", "figures_and_tables"):
        record_outputs(stage, run)
    sources = {
        "figures_and_tables/alarm-fig-3.csv": ["alarm/auc.csv"],
        "figures_and_tables/alarm-fig-3.png": ["alarm/auc.csv", "alarm/roc.csv"],
        "figures_and_tables/alarm-table-2.csv": ["alarm/diagnostic.csv"],
    }
    files.save_json(sources, lineage_file(run, "figures_and_tables"))
    write_crate(run)
    return run.root


@pytest.fixture
def run(made: Path, tmp_path: Path) -> RunPaths:
    """That run, in a folder of its own."""
    return RunPaths(Path(shutil.copytree(made, tmp_path / "results" / "made")))


def entities(run: RunPaths) -> dict[str, dict]:
    content = json.loads((run.root / CRATE).read_text(encoding="utf-8"))
    assert len({entity["@id"] for entity in content["@graph"]}) == len(content["@graph"])
    return {entity["@id"]: entity for entity in content["@graph"]}


def flip(file: Path) -> None:
    """Alter one bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


# --- what a crate says ------------------------------------------------------------------------------------------------


def test_every_stage_item_setting_and_version_is_in_the_crate(run: RunPaths) -> None:
    """Stages as actions with their times, items with their files' sums, settings with values, versions, processors."""
    found = entities(run)
    assert found["#run-05_alarm"]["instrument"] == {"@id": "#notebook-05_alarm"}
    assert {"@id": "alarm/model.json"} in found["#run-05_alarm"]["result"]
    assert found["#control-alarm"]["object"] == {"@id": "#run-05_alarm"}
    figure = found["figures_and_tables/alarm-fig-3.png"]
    content = (run.root / "figures_and_tables" / "alarm-fig-3.png").read_bytes()
    assert figure["sha256"] == hashlib.sha256(content).hexdigest()
    assert figure["contentSize"] == str(len(content))
    assert figure["isBasedOn"] == [{"@id": "alarm/auc.csv"}, {"@id": "alarm/roc.csv"}]
    assert {"@id": "figures_and_tables/alarm-fig-3.png"} in found["#alarm-fig-3"]["workExample"]
    assert found["#value-alarm.smote"]["value"] == "off"
    assert found["#numpy-1.2"]["value"] == "1.2"
    assert found["#processor-Abacus,_bfloat16"]["value"] == "Abacus, bfloat16"
    assert yaml.safe_load((run.root / SETTINGS).read_text(encoding="utf-8"))["cohort"]["seed"] == 5
    assert {"#alarm-fig-3", "#alarm-table-2", "#amap-ct-fig-s4"} == {
        link["@id"] for link in found["workflow/Snakefile"]["output"]
    }


def test_weights_that_a_setting_names_are_told_by_their_hash(tmp_path: Path) -> None:
    """The demo's network is named by a path in the project: what lies there counts, and another file has another."""
    weights = "data/networks/synthetic.safetensors"
    told = []
    for name in (weights, "LICENSE"):
        run = finished_run(tmp_path / name.replace("/", "-") / "made", Profile(segmentation={"weights": name}))
        write_crate(run)
        told.append(entities(run)["#content-segmentation.weights"]["value"])
        assert {"@id": "#content-segmentation.weights"} in entities(run)["#run"]["object"]
    assert told[0] != told[1] and len(told[0]) == 32


def test_each_link_leads_somewhere_and_each_named_file_is_there(run: RunPaths) -> None:
    """No entity is spoken of that the crate does not have; images of patients are in folders, not one by one."""
    found = entities(run)
    for entity in found.values():
        for value in entity.values():
            for link in value if isinstance(value, list) else [value]:
                if isinstance(link, dict):
                    assert link["@id"] in found or link["@id"] == "https://w3id.org/ro/crate/1.1", link
    assert all((run.root / name).is_file() for name, entity in found.items() if "sha256" in entity)
    assert not [name for name in found if name.endswith(".nii.gz")]


def test_no_place_of_the_machine_and_no_manifest_is_in_a_crate(run: RunPaths) -> None:
    """The made-up notebooks were run with a manifest under /elsewhere/of/somebody.csv in a temporary folder."""
    content = (run.root / CRATE).read_text(encoding="utf-8") + (run.root / SETTINGS).read_text(encoding="utf-8")
    assert "somebody" not in content
    assert str(run.root.parent) not in content


def test_a_crate_of_the_same_run_is_the_same(run: RunPaths) -> None:
    """Nothing but the run decides what the crate says."""
    before = (run.root / CRATE).read_bytes()
    write_crate(run)
    assert (run.root / CRATE).read_bytes() == before


def test_a_folder_without_a_run_makes_no_crate(tmp_path: Path) -> None:
    """A folder in which nothing was executed has nothing to say."""
    with pytest.raises(Exception, match="must be the folder of a run, but found no executed notebook"):
        write_crate(RunPaths(tmp_path))


def test_a_chapter_reads_what_its_last_stage_has_read() -> None:
    """The stages are listed by hand from the table of stages: aMAP-CT's supplement reads no ALARM."""
    before = ("cohort", "preprocessing", "segmentation", "features")
    assert stages_read("alarm") == stages_read("amap_ct") == before
    assert stages_read("alarm_supplement") == (*before, "alarm")
    assert stages_read("audit") == ()


# --- a user's own inputs ----------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> RunPaths:
    """Run paths of a manifest of two people whose images are two small files."""
    folder = tmp_path / "somebody"
    folder.mkdir()
    for name in ("doe_jane", "roe_richard"):
        (folder / f"{name}.nii.gz").write_bytes(name.encode())
    rows = {
        "patient_id": ["Doe", "Roe"],
        "centre": ["A", "A"],
        "cohort": ["", ""],
        "age": [60, 61],
        "sex": ["female", "male"],
    }
    rows |= {"bilirubin": [10, 11], "albumin": [40, 41], "platelets": [150, 151], "afp": [3, 4], "alt": [30, 31]}
    rows |= {"etiology": ["HBV", "HBV"], "hcc": [0, 1], "months": [12, 8]}
    rows["venous"] = ["doe_jane.nii.gz", "roe_richard.nii.gz"]
    pd.DataFrame(rows).to_csv(folder / "people.csv", index=False)
    return RunPaths(tmp_path / "results" / "own", folder / "people.csv")


def test_inputs_are_keyed_so_that_an_image_in_hand_proves_nothing(own: RunPaths) -> None:
    """Neither name nor plain sum of an image is told; the same image under another store's key has another hash."""
    profile = Profile(run={"phases": "venous", "synthetic": False})
    table = keyed_inputs(own, profile)
    assert list(table["patient"]) == ["", "P0001", "P0002"]
    assert list(table["input"]) == ["manifest", "venous", "venous"]
    plain = hashlib.sha256(b"doe_jane").hexdigest()
    assert not table.to_csv().count("doe") and plain[:32] not in table.to_csv()
    assert keyed_inputs(own, profile).equals(table)
    (own.store.root / "inputs.key").unlink()
    assert not set(keyed_inputs(own, profile)["hmac_sha256"]) & set(table["hmac_sha256"])


def test_the_key_is_nobody_elses_and_not_in_the_run(own: RunPaths) -> None:
    """It lies in the store, readable for its owner alone."""
    keyed_inputs(own, Profile(run={"phases": "venous", "synthetic": False}))
    key = own.store.root / "inputs.key"
    assert key.stat().st_mode & 0o077 == 0
    assert not key.is_relative_to(own.root)


def test_an_altered_input_is_named_by_patient_and_column(own: RunPaths) -> None:
    """With the manifest at hand, the key compares: one image altered, and then the manifest too."""
    profile = Profile(run={"phases": "venous", "synthetic": False})
    run = RunPaths(finished_run(own.root, profile).root, own.manifest)
    write_crate(run)
    assert not len(verify_crate(run.root, run.manifest).altered)
    flip(run.manifest.with_name("roe_richard.nii.gz"))
    altered = verify_crate(run.root, run.manifest).altered
    assert altered[["file", "what"]].to_numpy().tolist() == [["P0002, venous", "altered"]]
    run.manifest.write_text(run.manifest.read_text(encoding="utf-8").replace("0,12", "0,13"), encoding="utf-8")
    altered = verify_crate(run.root, run.manifest).altered
    assert set(altered["file"]) == {"P0002, venous", "manifest"}


# --- what an altered byte touches -------------------------------------------------------------------------------------


TOUCHED = {
    "figures_and_tables/alarm-fig-3.png": ["alarm-fig-3"],
    "figures_and_tables/alarm-fig-3.csv": ["alarm-fig-3"],
    "figures_and_tables/alarm-table-2.csv": ["alarm-table-2"],
    "figures_and_tables/table.csv": [],
    "alarm/roc.csv": ["alarm-fig-3"],
    "alarm/auc.csv": ["alarm-fig-3"],
    "alarm/diagnostic.csv": ["alarm-table-2"],
    "alarm/model.json": [],
    "amap_ct/model.json": [],
    "cohort/alarm.csv": ["alarm-fig-3", "alarm-table-2"],
    "features/alarm_radiomics.parquet": ["alarm-fig-3", "alarm-table-2"],
    "features/amap-ct-fig-s4.png": ["amap-ct-fig-s4"],
    "cohort/amap_ct.csv": ["amap-ct-fig-s4"],
    "preprocessing/images/amap_ct/P0001_venous.nii.gz": ["amap-ct-fig-s4"],
    "preprocessing/images/alarm/P0001_venous.nii.gz": ["alarm-fig-3", "alarm-table-2"],
    "preprocessing/settings.json": ["alarm-fig-3", "alarm-table-2", "amap-ct-fig-s4"],
    "notebooks/08_figures_and_tables.ipynb": ["alarm-fig-3", "alarm-table-2"],
    "notebooks/04_features.ipynb": ["amap-ct-fig-s4"],
    "notebooks/05_alarm.ipynb": [],
    "notebooks/alarm.files.json": ["alarm-fig-3", "alarm-table-2"],
    "workflow/Snakefile": ["alarm-fig-3", "alarm-table-2", "amap-ct-fig-s4"],
    "workflow/CITATION.cff": [],
}
"""Items by the file that is altered, worked out by hand from who reads what."""


def test_an_altered_byte_names_the_items_that_follow_from_it_and_no_other(run: RunPaths) -> None:
    """One file at a time, one bit in each."""
    assert not len(verify_crate(run.root).altered)
    for name, items in TOUCHED.items():
        before = (run.root / name).read_bytes()
        flip(run.root / name)
        found = verify_crate(run.root / CRATE)
        assert list(found.altered["file"]) == [name]
        assert found.items == items, name
        (run.root / name).write_bytes(before)
    assert not len(verify_crate(run.root).altered)


def test_a_file_that_is_gone_is_named(run: RunPaths) -> None:
    """A deleted table is absent, and its item touched."""
    (run.root / "figures_and_tables" / "alarm-table-2.csv").unlink()
    found = verify_crate(run.root)
    assert found.altered.to_dict("records") == [
        {"file": "figures_and_tables/alarm-table-2.csv", "what": "absent", "items": "alarm-table-2"}
    ]


def test_the_command_says_it_and_exits_with_1(run: RunPaths, capsys, monkeypatch) -> None:
    """A line a file, a line in the end; as JSON for programs."""
    monkeypatch.setattr(sys, "argv", ["hccbook", "verify", str(run.root)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0 and "0 items are touched" in capsys.readouterr().out
    flip(run.root / "alarm" / "roc.csv")
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1 and "alarm/roc.csv: altered; touches alarm-fig-3\n" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["hccbook", "verify", str(run.root), "--json"])
    with pytest.raises(SystemExit):
        main()
    assert json.loads(capsys.readouterr().out)["items"] == ["alarm-fig-3"]


@pytest.mark.parametrize("content", ["", "[]", '{"@graph": 3}', '{"@graph": [{"name": "no id"}]}'])
def test_what_is_no_crate_is_refused(run: RunPaths, content: str) -> None:
    """A description that is none is one message."""
    (run.root / CRATE).write_text(content, encoding="utf-8")
    with pytest.raises(CrateError, match="must describe a run"):
        verify_crate(run.root)


def test_a_crate_that_names_files_elsewhere_is_refused(run: RunPaths) -> None:
    """A crate from somebody else cannot have other files of this machine read."""
    content = json.loads((run.root / CRATE).read_text(encoding="utf-8"))
    content["@graph"].append({"@id": "../../etc/hosts", "@type": "File", "sha256": "0" * 64})
    (run.root / CRATE).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CrateError, match="files within it only"):
        verify_crate(run.root)


# --- lineage of the cells ---------------------------------------------------------------------------------------------


def follow(tmp_path: Path, cells: list[tuple[str, list[tuple[str, int, str]]]]) -> dict[str, list[str]]:
    """Lineage of a notebook whose cells read and write as said: kind, line, file."""
    run = RunPaths(tmp_path / "results" / "followed")
    lineage = CellLineage("alarm_supplement")
    events: dict[str, object] = {}
    shell = SimpleNamespace(
        user_ns={"results": str(run.root), "plt": os}, events=SimpleNamespace(register=events.__setitem__)
    )
    lineage.install(shell)
    for source, seen in cells:
        events["pre_run_cell"](None)
        for event in seen:
            lineage.note(*event)
        events["post_run_cell"](SimpleNamespace(info=SimpleNamespace(raw_cell=source)))
    return lineage.made


def test_a_table_follows_from_what_its_names_follow_from(tmp_path: Path) -> None:
    """Two tables read in one cell, and one saved of each in another: each follows from its own."""
    read = ("a = read('a')\nb = read('b')\nc = a + 1", [("read", 1, "alarm/a.csv"), ("read", 2, "alarm/b.csv")])
    saved = "save(c)\nsave(b)", [("written", 1, "x/c.csv"), ("written", 2, "x/b.csv")]
    assert follow(tmp_path, [read, saved]) == {"x/c.csv": ["alarm/a.csv"], "x/b.csv": ["alarm/b.csv"]}


def test_a_picture_follows_from_all_that_its_cell_draws(tmp_path: Path) -> None:
    """A figure is changed by what is drawn on it, which no assignment shows."""
    read = ("a = read('a')", [("read", 1, "alarm/a.csv")])
    drawn = "figure, axes = panels()\nplot(axes[0], a)\nsave(figure)\nplt.show()", [("written", 3, "x/a.png")]
    assert follow(tmp_path, [read, drawn]) == {"x/a.png": ["alarm/a.csv"]}


def test_a_value_that_is_assigned_anew_forgets_what_it_followed_from(tmp_path: Path) -> None:
    """The second ``survival`` of a notebook does not follow from the first, nor a comprehension's name from another."""
    first = ("s = {n: read(n) for n in 'ab'}", [("read", 1, "alarm/a.csv")])
    second = ("s = {n: read(n) for n in 'cd'}\nsave(s)", [("read", 1, "alarm/c.csv"), ("written", 2, "x/s.csv")])
    assert follow(tmp_path, [first, second]) == {"x/s.csv": ["alarm/c.csv"]}


def test_a_value_that_is_changed_in_place_keeps_what_it_followed_from(tmp_path: Path) -> None:
    """An assigned column, an appended row and an augmented assignment add to a table what they follow from."""
    read = ("a = read('a')\nb = read('b')", [("read", 1, "alarm/a.csv"), ("read", 2, "alarm/b.csv")])
    for change in ("a['x'] = b", "a.append(b)", "a += b"):
        saved = (f"{change}\nsave(a)", [("written", 2, "x/a.csv")])
        assert follow(tmp_path, [read, saved]) == {"x/a.csv": ["alarm/a.csv", "alarm/b.csv"]}


def test_files_are_seen_as_python_opens_and_replaces_them(tmp_path: Path) -> None:
    """Reading a CSV and saving one with the package's own functions leaves the one behind the other."""
    run = RunPaths(tmp_path / "results" / "seen")
    files.save_table(pd.DataFrame({"value": [1]}), run.root / "alarm" / "a.csv")
    (tmp_path / "outside.txt").write_text("not of the run", encoding="utf-8")
    namespace = {"results": str(run.root), "files": files, "run": run, "outside": tmp_path / "outside.txt"}
    events: dict[str, object] = {}
    lineage = CellLineage("alarm_supplement")
    lineage.install(SimpleNamespace(user_ns=namespace, events=SimpleNamespace(register=events.__setitem__)))
    for source in (
        "a = files.read_table(run, 'alarm', 'a.csv')\noutside.read_text()",
        "files.save_table(a, run.stage('alarm_supplement') / 'b.csv')",
    ):
        events["pre_run_cell"](None)
        exec(compile(source, "cell", "exec"), namespace)
        events["post_run_cell"](SimpleNamespace(info=SimpleNamespace(raw_cell=source)))
    assert files.read_json(lineage_file(run, "alarm_supplement")) == {"alarm_supplement/b.csv": ["alarm/a.csv"]}


# --- the validator ----------------------------------------------------------------------------------------------------

VALIDATOR = "HCCBOOK_ROC_VALIDATOR"
"""Variable of the environment with the Python of an environment that has roc-validator and rocrate 0.10."""


@pytest.mark.thorough
def test_roc_validator_passes_the_crate(run: RunPaths, project_root: Path) -> None:
    """REQUIRED and RECOMMENDED checks of the Provenance Run Crate and of the profiles that it builds on.

    A folder's workflow has no URL, which a RECOMMENDED check asks for (crs4/rocrate-validator, issue 51); under an
    address, as the description alone is read, it passes.
    """
    python = os.environ.get(VALIDATOR)
    if not python:
        pytest.skip(f"no roc-validator; {VALIDATOR} must name the Python of an environment that has it")
    command = [python, str(project_root / "tests" / "roc_validator_offline.py"), str(run.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["description"]["issues"] == []
    assert found["description"]["checked"] > 150
    assert {check for check, *_ in found["folder"]["issues"]} == {"process-run-crate-0.5_5.1"}
    assert found["folder"]["checked"] > 150


def test_the_items_of_this_test_are_listed() -> None:
    """The names above are those of the list of items."""
    listed = {item.id for item in published.items()}
    assert {name for names in TOUCHED.values() for name in names} <= listed
    assert INPUTS.endswith(".csv")
