"""Running stages: parameters, stale stages, papers left out, errors."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import papermill
import pytest

from hccbook.errors import ManifestError, SettingsError
from hccbook.pipeline import runner
from hccbook.pipeline.runner import StageError, execute_stage, notebook_parameters, run, stages_of
from hccbook.run import CHAPTERS, STAGES, RunPaths, notebook_file
from hccbook.settings import Profile, load_profile

SMOKE = Profile()


@pytest.fixture
def one_cell_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a notebook with given cells in the place of a stage's own."""

    def put(parameters: str, *cells: tuple[str, str]) -> Path:
        notebook = nbformat.v4.new_notebook()
        notebook.metadata = {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        }
        first = nbformat.v4.new_code_cell(parameters)
        first.metadata["tags"] = ["parameters"]
        notebook.cells.append(first)
        for tag, source in cells:
            cell = nbformat.v4.new_code_cell(source)
            cell.metadata["tags"] = [tag]
            notebook.cells.append(cell)
        file = tmp_path / "stage.ipynb"
        nbformat.write(notebook, file)
        monkeypatch.setattr(runner, "notebook_file", lambda stage: file)
        return file

    return put


@pytest.mark.parametrize("stage", (*STAGES, *CHAPTERS))
def test_parameters_cell_names_every_setting(stage: str) -> None:
    """The notebook of every stage declares all settings of its section and nothing unknown."""
    parameters = notebook_parameters(stage, SMOKE, "results/x", 2)
    assert parameters.get("results", "results/x") == "results/x"
    assert set(SMOKE.parameters(stage)) - set(SMOKE.run.model_dump()) <= set(parameters)


@pytest.mark.parametrize("stage", (*STAGES, *CHAPTERS))
def test_parameters_cell_holds_the_smoke_profile(stage: str) -> None:
    """What nbval runs is the smoke profile: each default in the cell is that profile's value."""
    smoke = load_profile(notebook_file(stage).parents[1] / "profiles" / "smoke.yaml")
    declared = papermill.inspect_notebook(str(notebook_file(stage)))
    expected = smoke.parameters(stage) | {"results": "results/smoke", "workers": 1}
    for name, entry in declared.items():
        assert eval(entry["default"], {}) == expected[name], name


def test_setting_that_the_cell_lacks_is_an_error(one_cell_notebook) -> None:
    """papermill would only warn: the runner refuses a parameters cell without dpi."""
    one_cell_notebook("synthetic = True\n")
    with pytest.raises(SettingsError, match="every setting of its stage, but found dpi"):
        notebook_parameters("figures_and_tables", SMOKE, "results/x", 1)


def test_parameter_that_no_setting_fills_is_an_error(one_cell_notebook) -> None:
    """A parameter nobody knows would silently keep its default."""
    one_cell_notebook("dpi = 110\ncolour = 'red'\n")
    with pytest.raises(SettingsError, match="known settings only, but found colour"):
        notebook_parameters("figures_and_tables", SMOKE, "results/x", 1)


def test_failed_cell_is_one_message_and_its_notebook_is_kept(one_cell_notebook, tmp_path: Path) -> None:
    """The message is the cell's own, the executed part is kept for a look, and no finished notebook is left."""
    one_cell_notebook("dpi = 110\n", ("show", "raise ValueError('bin width must be positive')"))
    with pytest.raises(StageError, match="ValueError: bin width must be positive"):
        execute_stage("figures_and_tables", SMOKE, str(tmp_path / "run"), 1)
    assert [file.name for file in (tmp_path / "run" / "notebooks").iterdir()] == ["08_figures_and_tables.failed.ipynb"]


def test_cells_of_a_paper_left_out_do_not_run(one_cell_notebook, tmp_path: Path) -> None:
    """With ALARM alone, the cell of aMAP-CT, which would fail, is left out."""
    one_cell_notebook("dpi = 110\n", ("paper-alarm", "print('alarm', dpi)"), ("paper-amap-ct", "1 / 0"))
    only_alarm = Profile(run={"papers": "alarm"}, figures_and_tables={"dpi": 200})
    executed = execute_stage("figures_and_tables", only_alarm, str(tmp_path / "run"), 1)
    texts = [output.text for cell in nbformat.read(executed, 4).cells for output in cell.get("outputs", [])]
    assert texts == ["alarm 200\n"]


def test_stages_of_a_paper_left_out_are_left_out() -> None:
    """Without aMAP-CT neither its stage nor the stepwise one runs."""
    alone = stages_of(Profile(run={"papers": "alarm"}))
    assert "amap_ct" not in alone
    assert "stepwise_stratification" not in alone
    assert "alarm" in alone
    assert stages_of(Profile()) == STAGES


def test_own_data_without_a_manifest_is_refused(tmp_path: Path) -> None:
    """Before anything runs."""
    profile = tmp_path / "mine.yaml"
    profile.write_text("run: {synthetic: false}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"mine\.yaml: a run on own data needs a manifest, but found none"):
        run(str(profile), results=str(tmp_path / "run"))


def test_a_wrong_manifest_is_refused_in_its_own_words(tmp_path: Path) -> None:
    """Before anything runs, and not as a stage that stopped."""
    profile, manifest = tmp_path / "mine.yaml", tmp_path / "manifest.csv"
    profile.write_text("run: {synthetic: false}\n", encoding="utf-8")
    manifest.write_text("patient_id,centre\na,C01\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"manifest\.csv, column 'age': column must be there"):
        run(str(profile), manifest=str(manifest), results=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_unknown_last_stage_is_refused(tmp_path: Path) -> None:
    """--until with a misspelt stage lists the stages."""
    with pytest.raises(SettingsError, match=re.escape("must be one of cohort, preprocessing")):
        run("smoke", results=str(tmp_path / "run"), until="feature")


def test_control_lies_beside_its_run(tmp_path: Path) -> None:
    """A run and its null run share one store."""
    paths = RunPaths(tmp_path / "demo")
    assert paths.control.root == tmp_path / "demo-none"
    assert paths.control.main == paths.root == paths.main
    assert paths.control.store == paths.store
