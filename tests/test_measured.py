"""Numbers of the assumptions register are looked up, not typed."""

from __future__ import annotations

import json

import pytest
from jinja2 import UndefinedError

from hccbook.book import assumptions_page, measured
from hccbook.papers import published
from hccbook.run import benchmark_file


@pytest.mark.parametrize("entry", published.assumptions(), ids=lambda entry: entry.id)
def test_what_was_measured_is_not_typed(entry: published.Assumption) -> None:
    """What an assumption matters holds no decimal number but those that it asks for, and all of these are found."""
    assert measured.typed_numbers(entry.impact) == []
    assert "{{" not in measured.measured_text(entry.impact + entry.choice)


def test_register_shows_the_benchmark_s_number() -> None:
    """The AUC of the page is that of the row in the benchmark's file."""
    rows = json.loads(benchmark_file("sensitivity").read_text(encoding="utf-8"))["rows"]
    (row,) = [row for row in rows if row["paper"] == "ALARM" and row["change"] == "Spearman 0.7"]
    register = [entry for entry in published.assumptions() if entry.id == "alarm-spearman-threshold"]
    assert f"{row['auc']:.3f} (p = {row['p']:.3f}) with the first alternative" in assumptions_page(register, {})


def test_ideal_observers_of_the_archived_run() -> None:
    """As the archive's truth has them, and as the papers print theirs."""
    text = 'ideal {{ ideal("alarm", "liver_amap") }}, printed {{ printed_aucs("alarm-fig-3") }}'
    assert measured.measured_text(text) == "ideal 0.933, 0.933, 0.899, printed 0.929, 0.902, 0.918"


def test_what_nobody_measured_is_refused() -> None:
    """A misspelt name is an error, not an empty place; a typed number is found."""
    with pytest.raises(UndefinedError):
        measured.measured_text('{{ acu("ALARM") }}')
    assert measured.typed_numbers('from 0.9 to {{ auc("ALARM", "Spearman 0.95") }}') == ["0.9"]
