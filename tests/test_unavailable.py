"""Cells that a cohort cannot fill: what is shown in their place, and what goes on."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

from hccbook.errors import DataError, ModelError, SettingsError
from hccbook.evaluation import auc_delong, by_cohort
from hccbook.pipeline.files import save_json
from hccbook.pipeline.unavailable import RECORD, CellGuard, glue_references, guarded_source
from hccbook.run import RunPaths

REASON = "outcome: must hold patients with and without HCC, but found only 0. Choose another cohort."


class Page:
    """Cells executed as a kernel would; what they show is kept."""

    def __init__(self, root: Path, stage: str = "figures_and_tables", references: tuple[str, ...] = ()) -> None:
        self.shown: list[Any] = []
        self.glued: dict[str, str] = {}
        self.guard = CellGuard(stage, references)
        self.guard.show = self.shown.append
        self.names = self.guard.namespace
        self.names |= {"_hccbook_guard": self.guard, "results": str(root), "refuse": refuse, "glue": self._glue}

    def _glue(self, name: str, value: str, display: bool = True) -> None:
        self.guard.glued.add(name)
        self.glued[name] = value

    def run(self, source: str) -> Any:
        """What the cell shows last."""
        exec(compile(self.guard.visit(ast.parse(source)), "cell", "exec"), self.names)
        return self.shown[-1] if self.shown else None


def refuse(kind: type = DataError) -> None:
    """As an estimate that does not exist."""
    raise kind("outcome", "must hold patients with and without HCC", "only 0", "Choose another cohort.")


def test_a_refused_cell_shows_its_reason(tmp_path):
    """One row says why; statements before the refused one are done."""
    page = Page(tmp_path)
    shown = page.run("before = 1\nauc = refuse()\nafter = 2")
    assert shown.reason == REASON
    assert page.guard.reasons == [REASON]


def test_whatever_asks_for_it_is_not_available_either(tmp_path):
    """Each later cell that reads the name gives the first reason; a cell that does not is executed."""
    page = Page(tmp_path)
    page.run("auc = refuse()")
    assert page.run("table = [row for row in auc]").reason == REASON
    assert page.run("len(table)").reason == REASON
    assert page.run("1 + 1") == 2


def test_an_older_value_never_stands_in(tmp_path):
    """A name that the refused cell would have assigned anew no longer has what an earlier cell gave it."""
    page = Page(tmp_path)
    page.run("figure = 'of another item'")
    page.run("data = refuse()\nfigure = 'of this item'")
    assert page.run("figure").reason == REASON


def test_a_name_assigned_anew_is_available(tmp_path):
    """A later cell may make the value in another way, also within one cell, and its own loops may use the name."""
    page = Page(tmp_path)
    page.run("x = refuse()")
    assert page.run("[x for x in (1, 2)]") == [1, 2]
    assert page.run("x = 3\nx") == 3
    assert page.run("x + 1") == 4


def test_an_item_keeps_its_files(tmp_path):
    """The data file says n.a. and why, a figure item has a picture of the sentence, and the picture is shown."""
    page = Page(tmp_path)
    page.run("data = refuse()\nsave('alarm-fig-3', data)")
    run = RunPaths(tmp_path)
    table = pd.read_csv(run.root / "figures_and_tables" / "alarm-fig-3.csv")
    assert table.to_dict("records") == [{"item": "alarm-fig-3", "note": f"n.a.: {REASON}"}]
    assert (run.root / "figures_and_tables" / "alarm-fig-3.png").read_bytes().startswith(b"\x89PNG")
    assert [type(shown).__name__ for shown in page.shown] == ["Figure"]


def test_texts_that_a_page_asks_for_say_so(tmp_path):
    """Keys of glue in the refused cell, given by formatting too, are n.a.; what was glued before stays."""
    page = Page(tmp_path, references=("dice_liver", "dice_spleen", "other"))
    page.run("glue('dice_liver', '0.9')")
    page.run("for organ in ('liver', 'spleen'):\n    glue(f'dice_{organ}', refuse())")
    assert page.glued == {"dice_liver": "0.9", "dice_spleen": "n.a."}


def test_a_cohort_that_is_left_out_is_named_beneath(tmp_path):
    """The table of the other cohort is shown, then why one is not in it; later cells may use the table."""
    page = Page(tmp_path)
    page.names |= {"by_cohort": by_cohort, "auc": auc_delong, "score": pd.Series([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])}
    page.run("table = by_cohort(auc, [0, 1, 0, 1, 0, 0], score, list('aaaabb'))\ntable")
    table, notice = page.shown
    assert table["cohort"].tolist() == ["a"]
    assert notice.reason.startswith("outcome, b cohort: must hold patients with and without HCC")
    assert page.run("len(table)") == 1


def test_a_file_that_an_earlier_stage_gave_up_has_its_reason(tmp_path):
    """The reason is that of the stage whose file is missing, not of another that gave up something too."""
    run = RunPaths(tmp_path)
    save_json({"reasons": ["something else"]}, run.stage("alarm") / RECORD)
    save_json({"reasons": ["too few patients"]}, run.stage("amap_ct") / RECORD)
    page = Page(tmp_path)
    source = f"table = open({str(run.stage('amap_ct') / 'scores.csv')!r})"
    assert page.run(source).reason == "too few patients"
    page.names |= {"run": run, "Family": _Family}
    assert page.run("Family.from_json(run.stage('amap_ct') / 'family.json')").reason == "too few patients"


class _Family:
    @staticmethod
    def from_json(file: Path) -> None:
        raise ModelError(file.name, "model file must exist", "no such file", "Fit the model first.")


@pytest.mark.parametrize("source", ["1 / 0", "assert False", "raise ValueError('x')", "open('/nowhere/at/all.csv')"])
def test_a_fault_is_not_hidden(tmp_path, source):
    """What is no refusal of ours stops the notebook, as does a missing file that no stage gave up."""
    with pytest.raises((ZeroDivisionError, AssertionError, ValueError, FileNotFoundError)):
        Page(tmp_path).run(source)


def test_a_wrong_setting_is_not_hidden(tmp_path):
    """A setting is not what the patients cannot give."""
    page = Page(tmp_path)
    page.names["SettingsError"] = SettingsError
    with pytest.raises(SettingsError):
        page.run("refuse(SettingsError)")


def test_references_of_pages():
    """Keys of both forms of the role, and of other pages."""
    text = "{glue:text}`a_b` and {glue}`c`, {glue:text}`notebooks/x.ipynb::d:s`, {glue:text}`e:.2f`; {term}`aMAP`"
    assert glue_references([text]) == {"a_b", "c", "d", "e"}


def test_the_guard_is_a_cell(tmp_path):
    """Its source is Python that names no folder."""
    source = guarded_source("alarm", {"b", "a"})
    ast.parse(source)
    assert source.endswith("CellGuard('alarm', ['a', 'b']).install(get_ipython(), display, myst_nb)")


def test_an_own_run_goes_on_and_a_simulated_one_stops(tmp_path, monkeypatch):
    """In a kernel: with synthetic false the refused cell is n.a. and the next one executed; otherwise it stops."""
    from hccbook.pipeline import runner
    from hccbook.settings import Profile

    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["language_info"] = {"name": "python"}
    parameters = nbformat.v4.new_code_cell(
        "dpi = 110\nsynthetic = True\nresults = ''", metadata={"tags": ["parameters"]}
    )
    refused = "from hccbook.evaluation import auc_delong\nauc = auc_delong([0, 0], [0.1, 0.2])\nauc"
    cells = [nbformat.v4.new_markdown_cell("# Title"), parameters, *map(nbformat.v4.new_code_cell, (refused, "1 + 1"))]
    notebook.cells = cells
    file = tmp_path / "stage.ipynb"
    nbformat.write(notebook, file)
    monkeypatch.setattr(runner, "notebook_file", lambda stage: file)
    executed = runner.execute_stage("figures_and_tables", Profile(run={"synthetic": False}), str(tmp_path / "own"), 1)
    *_, na, two = nbformat.read(executed, 4).cells
    assert "must hold patients with and without HCC" in na.outputs[0].data["text/html"]
    assert two.outputs[0].data["text/plain"] == "2"
    with pytest.raises(runner.StageError, match="must hold patients with and without HCC"):
        runner.execute_stage("figures_and_tables", Profile(), str(tmp_path / "simulated"), 1)
