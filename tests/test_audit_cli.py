"""``hccbook audit`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hccbook import audit
from hccbook.cli import main


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Run ``hccbook`` with arguments; give exit code, standard output and standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["hccbook", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as stop:
            main()
        written = capsys.readouterr()
        return int(stop.value.code or 0), written.out, written.err

    return run


def test_report_for_reading(command) -> None:
    """Findings by paper and certainty, then what agrees; findings are no failure of the command."""
    code, out, err = command("audit")
    assert (code, err) == (0, "")
    order = [
        out.index(text) for text in ("ALARM: certain from print", "aMAP-CT: certain from print", "Checked and found")
    ]
    assert order == sorted(order)
    for finding in audit.audit().findings:
        assert finding.id in out
    assert "13, everybody" in out


def test_json_holds_everything(command) -> None:
    """Machine-readable: every finding with its fields, every check that agrees with its count."""
    code, out, _ = command("audit", "--json")
    content = json.loads(out)
    everything = audit.audit()
    assert code == 0
    assert [one["id"] for one in content["findings"]] == [one.id for one in everything.findings]
    assert all(one["arithmetic"] and one["consequence"] and one["place"] for one in content["findings"])
    assert sum(one["cells"] for one in content["consistent"]) == sum(one.cells for one in everything.agreements)


@pytest.mark.parametrize(
    ("paper", "certainty", "degree"), [("alarm", "certain", audit.CERTAIN), ("amap_ct", "rounding", audit.ROUNDING)]
)
def test_filters(command, paper: str, certainty: str, degree: str) -> None:
    """One paper, one degree of certainty."""
    code, out, _ = command("audit", "--paper", paper, "--certainty", certainty, "--json")
    content = json.loads(out)
    assert code == 0
    assert {(one["paper"], one["certainty"]) for one in content["findings"]} == {(paper, degree)}
    assert {one["paper"] for one in content["consistent"]} == {paper}


@pytest.mark.parametrize(
    ("option", "wrong", "hint"), [("--paper", "lancet", "amap_ct"), ("--certainty", "sure", "implied")]
)
def test_unknown_name_is_one_message(command, option: str, wrong: str, hint: str) -> None:
    """The name is repeated, the known ones are given, and the exit code is 1."""
    code, out, err = command("audit", option, wrong)
    assert (code, out) == (1, "")
    assert wrong in err
    assert hint in err
    assert "Traceback" not in err


def test_another_paper(command, tmp_path: Path) -> None:
    """A folder is made, audited without a finding, and told what could not be checked; nothing is overwritten."""
    folder = tmp_path / "My paper"
    code, out, _ = command("audit", "init", folder)
    assert (code, out.split()[-1].endswith("numbers.csv")) == (0, True)
    code, out, _ = command("audit", folder)
    assert code == 0
    assert "my_paper: 0 findings" in out
    assert "Not applicable" in out
    numbers = folder / "numbers.csv"
    numbers.write_text(numbers.read_text().replace("percentage,66.7", "percentage,67.6"))
    code, out, _ = command("audit", folder, "--json")
    content = json.loads(out)
    assert [one["check"] for one in content["findings"]] == ["counts"]
    assert content["not_applied"]
    code, _, err = command("audit", "init", folder)
    assert (code, "must not be there yet" in err) == (1, True)


def test_schema_is_published(command) -> None:
    """The schema that the book offers is that of the description."""
    code, out, _ = command("audit", "schema")
    published = Path(__file__).resolve().parents[1] / "book" / "assets" / "paper.schema.json"
    assert code == 0
    assert json.loads(out) == json.loads(published.read_text(encoding="utf-8"))
    assert all("description" in one for one in json.loads(out)["$defs"]["Relation"]["properties"].values())
