"""The made-up paper of the tutorial: its planted errors, and what the command prints about it."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from hccbook.audit import audit_folder
from hccbook.audit.findings import STATED
from hccbook.cli import main
from hccbook.run import book_source_dir

ASSETS = book_source_dir() / "assets"
PAPER = ASSETS / "made_up_paper"
PAGE = book_source_dir() / "audit_tutorial.md"
WIDTH = "80"


def planted() -> list[dict[str, str]]:
    with (ASSETS / "made_up_errors.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def restored(numbers: pd.DataFrame, error: dict[str, str]) -> pd.DataFrame:
    """The paper's numbers without one of the errors."""
    quantity, _, field = error["number"].partition(", ")
    cohort, _, subgroup = error["people"].partition(", ")
    right = numbers.copy()
    if quantity == "label":
        rows, field = right["row"] == error["printed"], "row"
    else:
        where = {"place": error["place"], "row": error["row"], "quantity": quantity}
        where |= {"cohort": cohort, "subgroup": subgroup}
        rows, field = (right[list(where)] == pd.Series(where)).all(axis=1), field or "value"
        assert rows.sum() == 1, error
    assert (right.loc[rows, field] == error["printed"]).all() and rows.any(), error
    right.loc[rows, field] = error["should be"]
    return right


@pytest.fixture
def found(tmp_path: Path):
    """What the audit finds in the paper with some of its errors, apart from what it says of its design."""
    printed = pd.read_csv(PAPER / "numbers.csv", dtype=str, keep_default_na=False)
    shutil.copy(PAPER / "paper.yaml", tmp_path)

    def of(kept: list[dict[str, str]]) -> list[str]:
        numbers = printed
        for error in planted():
            numbers = numbers if error in kept else restored(numbers, error)
        numbers.to_csv(tmp_path / "numbers.csv", index=False)
        return [one.check for one in audit_folder(tmp_path).findings if one.certainty != STATED]

    return of


def test_without_its_errors_the_paper_agrees(found):
    """Nothing is found once every planted number is put right: what looks wrong on the page is not."""
    assert found([]) == []


CHECKS = {
    "label": "categories", "percentage": "counts", "p-value": "p_values", "sensitivity": "intervals",
    "specificity": "two_by_two", "auc": "intervals", "odds ratio": "ratios", "at risk": "survival",
    "net reclassification improvement": "reclassification", "count": "counts",
}  # fmt: skip


def test_every_planted_error_is_found_alone(found):
    """Each error by itself is found by the family that the number belongs to; limits count as one error."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for error in planted():
        key = (error["place"], error["row"], error["people"], error["number"].partition(",")[0])
        groups.setdefault(key, []).append(error)
    assert len(groups) == 11
    for (place, *_, quantity), errors in groups.items():
        family = "repeated_numbers" if place.startswith("Abstract") else CHECKS[quantity]
        assert family in found(errors), errors


def printed_by(capsys, monkeypatch, *words: object) -> str:
    monkeypatch.setattr("sys.argv", ["hccbook", "audit", *map(str, words)])
    monkeypatch.setenv("COLUMNS", WIDTH)
    with pytest.raises(SystemExit):
        main()
    written = capsys.readouterr()
    return "\n".join(line.rstrip() for line in (written.out + written.err).splitlines())


def test_the_page_shows_what_the_command_printed(capsys, monkeypatch, tmp_path):
    """Report and refusal are those of the command, and the page's parts of the report are there."""
    report = printed_by(capsys, monkeypatch, PAPER)
    assert report.strip() == (ASSETS / "made_up_report.txt").read_text(encoding="utf-8").strip()
    wrong = shutil.copytree(PAPER, tmp_path / "made_up_paper")
    numbers = wrong / "numbers.csv"
    typed = numbers.read_text(encoding="utf-8").replace("33.0,%,validation", "33.0,%,validaton")
    numbers.write_text(typed, encoding="utf-8")
    refusal = printed_by(capsys, monkeypatch, wrong)
    assert refusal.strip() == (ASSETS / "made_up_refused.txt").read_text(encoding="utf-8").strip()
    made = printed_by(capsys, monkeypatch, "init", tmp_path / "new").splitlines()
    assert [Path(line).name for line in made] == ["paper.yaml", "numbers.csv"]
    page = PAGE.read_text(encoding="utf-8")
    assert "MADE UP" in page and "MADE UP" in report
    shown = re.findall(r"```\{literalinclude\} (\S+)\n(.*?)```", page, flags=re.DOTALL)
    assert len(shown) >= 8
    for name, options in shown:
        text = (book_source_dir() / name).read_text(encoding="utf-8")
        for option in re.findall(r':(?:start-at|end-before): "?(.*?)"?\n', options):
            assert option in text, (name, option)
