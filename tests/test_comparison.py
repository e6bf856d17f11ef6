"""What differs between two runs, on two made-up ones that differ in known places."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from hccbook.cli import main
from hccbook.errors import DataError
from hccbook.pipeline import files
from hccbook.pipeline.comparison import compare_runs, comparison_text
from hccbook.run import RunPaths
from hccbook.settings import Profile

AUC = """\
cohort,model,n,events,auc,lower,upper
discovery,alarm,10,4,0.95,0.9,0.99
discovery,amap,10,4,0.7,0.6,0.8
external,alarm,20,5,0.9,0.8,0.97
external,amap,20,5,0.89,0.8,0.95
"""
TABLES = {
    "cohort/alarm.csv": "patient,cohort,hcc,age\nP0001,discovery,1,60.5\nP0002,discovery,0,51.0\n",
    "segmentation/alarm_dice.csv": "paper,patient,phase,organ,dice\nalarm,P0001,venous,liver,0.97\n",
    "alarm/auc.csv": AUC,
    "alarm/patients.csv": "patient,cohort,hcc,score,group\nP0001,discovery,1,0.8,high\nP0002,discovery,0,0.3,medium\n",
    "alarm_supplement/alarm-table-s4.csv": "cohort,model,compared_with,p,note\nexternal,alarm,amap,0.049,\n",
    "alarm_supplement/alarm-fig-s5.csv": "feature,auc,p\nvenous.liver.a,0.6,0.04\n",
    "figures_and_tables/alarm-fig-3.csv": AUC,
    "figures_and_tables/truth.csv": "run,paper,model,auc,lower,upper,truth\nplanted,alarm,alarm,0.9,0.85,0.95,0.94\n",
}
MODEL = {"radiomics_score": {"names": ["a", "b"], "coefficients": [1.5, -0.5], "intercept": 0.25}, "notes": []}


def made_up(root: Path) -> RunPaths:
    run = RunPaths(root)
    for name, text in TABLES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    files.save_json(MODEL, root / "alarm" / "model.json")
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["papermill"] = {"parameters": Profile(run={"papers": "alarm"}).parameters("cohort")}
    run.executed_notebook("cohort").parent.mkdir()
    nbformat.write(notebook, run.executed_notebook("cohort"))
    return run


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A run."""
    return made_up(tmp_path / "first").root


@pytest.fixture
def second(first: Path) -> Path:
    """The same run again."""
    shutil.copytree(first, first.with_name("second"))
    return first.with_name("second")


def edit(run: Path, name: str, old: str, new: str) -> None:
    text = (run / name).read_text(encoding="utf-8")
    assert old in text
    (run / name).write_text(text.replace(old, new), encoding="utf-8")


def test_a_run_is_equal_to_its_copy(first: Path, second: Path) -> None:
    """Nothing differs, and every AUC stands beside itself; single features' and an item's copy do not count."""
    found = compare_runs(first, second)
    assert found.is_equal
    assert (found.aucs["difference"] == 0).all()
    assert list(found.aucs.groupby("table").size().items()) == [
        ("alarm/auc.csv", 4),
        ("figures_and_tables/truth.csv", 1),
    ]
    assert not len(found.settings)


def test_the_auc_that_differs_most_stands_first(first: Path, second: Path) -> None:
    """0.02 of aMAP in the external cohort, before 0.01 of ALARM; the models change places there."""
    edit(second, "alarm/auc.csv", "external,amap,20,5,0.89", "external,amap,20,5,0.91")
    edit(second, "alarm/auc.csv", "discovery,alarm,10,4,0.95", "discovery,alarm,10,4,0.94")
    found = compare_runs(first, second)
    assert found.aucs["where"].tolist()[:2] == ["external, amap", "discovery, alarm"]
    assert found.aucs["difference"].tolist()[:3] == pytest.approx([0.02, 0.01, 0.0])
    (row,) = found.tables.to_dict("records")
    assert (row["table"], row["rows"], row["differing"]) == ("alarm/auc.csv", 4, 2)
    # 0.02 of 0.91 is 2.2 %, 0.01 of 0.95 only 1.1 %.
    assert (row["absolute"], row["relative"]) == pytest.approx((0.02, 0.02 / 0.91))
    assert row["where"] == "external, amap: auc 0.89 and 0.91"
    assert found.conclusions.values.tolist() == [
        ["order of models", "alarm/auc.csv", "external", "alarm > amap", "amap > alarm"]
    ]
    text = comparison_text(found, "first", "second")
    assert text.splitlines()[1] == (
        "Largest difference of any AUC: 0.020000 (0.8900 and 0.9100; alarm/auc.csv, external, amap)"
    )


@pytest.mark.parametrize(
    ("table", "old", "new", "conclusion"),
    [
        (
            "alarm_supplement/alarm-table-s4.csv",
            "0.049",
            "0.051",
            ["significance", "external, alarm, amap", "significant", "not significant"],
        ),
        (
            "figures_and_tables/truth.csv",
            "0.85,0.95",
            "0.85,0.93",
            ["truth covered", "planted, alarm, alarm", "covered", "not covered"],
        ),
        (
            "alarm/patients.csv",
            "medium",
            "low",
            ["risk group", "1 of 2 patients, group; P0002", "medium", "low"],
        ),
    ],
)
def test_conclusions_that_differ_are_named(first: Path, second: Path, table, old, new, conclusion) -> None:
    """A p that crosses 0.05, an interval that loses the truth, a patient in another group."""
    edit(second, table, old, new)
    found = compare_runs(first, second)
    assert not found.is_equal
    kind, *rest = conclusion
    assert found.conclusions.values.tolist() == [[kind, table, *rest]]


def test_single_features_conclude_nothing(first: Path, second: Path) -> None:
    """Among thousands of features some p always crosses the line."""
    edit(second, "alarm_supplement/alarm-fig-s5.csv", "0.04", "0.06")
    found = compare_runs(first, second)
    assert len(found.conclusions) == 0
    assert found.tables["absolute"].tolist() == pytest.approx([0.02])


def test_selected_features_and_weights_are_compared(first: Path, second: Path) -> None:
    """Another weight, and a feature that gave way to another."""
    score = MODEL["radiomics_score"] | {"names": ["a", "c"], "coefficients": [1.25, -0.5]}
    files.save_json(MODEL | {"radiomics_score": score}, second / "alarm" / "model.json")
    found = compare_runs(first, second).weights.set_index("feature")
    assert found.loc["a", ["first", "second"]].tolist() == [1.5, 1.25]
    assert found.loc["b", "first"] == -0.5
    assert pd.isna(found.loc["b", "second"])
    assert pd.isna(found.loc["c", "first"])
    assert "intercept" not in found.index
    assert set(found["model"]) == {"alarm/model/radiomics_score"}


def test_digits_say_what_is_equal(first: Path, second: Path) -> None:
    """0.9 and 0.9003 are equal to three digits and not to four; above one, digits count from the first."""
    edit(second, "alarm/auc.csv", "external,alarm,20,5,0.9,", "external,alarm,20,5,0.9003,")
    edit(second, "cohort/alarm.csv", "60.5", "60.51")
    assert compare_runs(first, second, digits=3).is_equal
    # Half a unit of the fourth digit of 60.5 is 0.003; of the third 0.03.
    assert compare_runs(first, second, digits=4).tables["table"].tolist() == ["cohort/alarm.csv", "alarm/auc.csv"]


def test_rows_and_tables_of_one_run_are_counted(first: Path, second: Path) -> None:
    """A patient more, a mask that has another Dice, a table that is not there, a setting."""
    with (second / "cohort" / "alarm.csv").open("a", encoding="utf-8") as table:
        table.write("P0003,discovery,0,44.0\n")
    edit(second, "segmentation/alarm_dice.csv", "0.97", "0.96")
    (second / "alarm" / "patients.csv").unlink()
    file = RunPaths(second).executed_notebook("cohort")
    notebook = nbformat.read(file, as_version=4)
    notebook.metadata["papermill"]["parameters"]["seed"] = 7
    nbformat.write(notebook, file)
    found = compare_runs(first, second)
    rows = found.tables.set_index("table")
    assert rows.loc["cohort/alarm.csv", ["rows", "only_first", "only_second"]].tolist() == [2, 0, 1]
    assert rows.loc["segmentation/alarm_dice.csv", "where"] == "P0001, venous, liver: dice 0.97 and 0.96"
    assert found.absent.values.tolist() == [["alarm/patients.csv", "second"]]
    assert found.settings.values.tolist() == [
        ["settings.cohort.seed", str(Profile().cohort.seed), "7"],
        ["patients.alarm.0.n", "2", "3"],
    ]


def test_a_missing_number_differs_from_any(first: Path, second: Path) -> None:
    """And two missing ones agree; what is absent has no size."""
    edit(second, "alarm/auc.csv", "0.6,0.8\n", "0.6,\n")
    (row,) = compare_runs(first, second).tables.to_dict("records")
    assert (row["differing"], row["absolute"], row["where"]) == (1, 0.0, "discovery, amap: upper 0.8 and nan")
    edit(first, "alarm/auc.csv", "0.6,0.8\n", "0.6,\n")
    assert compare_runs(first, second).is_equal


def test_infinite_limits_agree_with_themselves_alone(first: Path, second: Path) -> None:
    """An upper limit without bound, in both runs and then in one."""
    for run in (first, second):
        edit(run, "alarm/auc.csv", "0.6,0.8\n", "0.6,inf\n")
    assert compare_runs(first, second).is_equal
    edit(second, "alarm/auc.csv", "0.6,inf\n", "0.6,0.8\n")
    (row,) = compare_runs(first, second).tables.to_dict("records")
    assert (row["differing"], row["where"]) == (1, "discovery, amap: upper inf and 0.8")


def test_the_command_prints_and_exits(first: Path, second: Path, monkeypatch, capsys) -> None:
    """Exit code 0 for equal runs; 1 with the differences, also as JSON."""

    def command(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["hccbook", "compare", str(first), str(second), *words])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0), capsys.readouterr().out

    code, text = command()
    assert (code, "Equal." in text) == (0, True)
    edit(second, "alarm/auc.csv", "0.89", "0.88")
    code, text = command("--json")
    content = json.loads(text)
    assert (code, content["equal"], content["digits"]) == (1, False, 6)
    assert content["aucs"][0]["difference"] == pytest.approx(0.01)
    assert command("--digits", "1")[0] == 0


def test_a_folder_that_is_no_run_is_refused(first: Path, tmp_path: Path) -> None:
    """Absent, or without an executed notebook."""
    with pytest.raises(DataError, match="no such folder"):
        compare_runs(first, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no executed notebook"):
        compare_runs(first, tmp_path / "empty")
