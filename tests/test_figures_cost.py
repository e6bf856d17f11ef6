"""Cost against size is drawn as given, a line a series."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("agg")

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from hccbook.errors import DataError
from hccbook.report import figures

COST = pd.DataFrame(
    {"series": ["slow", "fast", "slow"], "voxels": [1_000_000, 10_000, 10_000], "seconds": [50.0, 0.04, 0.4]}
)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_every_series_is_a_line_in_the_order_of_voxels():
    """Points are sorted by size; the series keep the order of their first rows."""
    ax = figures.panels()[1][0, 0]
    assert figures.plot_cost(ax, COST) is ax
    lines = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert lines == {"slow": [[10_000, 0.4], [1_000_000, 50.0]], "fast": [[10_000, 0.04]]}
    assert list(lines) == ["slow", "fast"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_missing_column_is_named():
    """A table without seconds is refused."""
    with pytest.raises(DataError, match="seconds"):
        figures.plot_cost(figures.panels()[1][0, 0], COST.drop(columns="seconds"))


def test_programs_are_marks_in_their_order_from_the_top():
    """A program that was given up has no mark, and keeps its line."""
    cost = pd.DataFrame(
        {
            "program": ["one", "two", "one", "two"],
            "series": ["small", "small", "large", "large"],
            "seconds": [0.1, 2.0, 30.0, float("nan")],
        }
    )
    ax = figures.plot_program_costs(figures.panels()[1][0, 0], cost)
    marks = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert marks["small"] == [[0.1, 0], [2.0, 1]]
    assert marks["large"][0] == [30.0, 0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two"]
    assert ax.yaxis_inverted()
