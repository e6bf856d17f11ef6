"""What leaks buy on cohorts of noise: AUC by experiment, and the optimism of each leak."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hccbook.errors import DataError
from hccbook.report.figures.marks import CUTOFF, beside, interval, name_rows
from hccbook.report.figures.style import BLUE, GREY, VERMILION, in_style
from hccbook.report.tables import estimate_text, require_columns

_LEAK_TITLES: Mapping[str, str] = {
    "none": "No leak",
    "selection": "Selection before the split",
    "smote": "SMOTE before the split",
    "thresholds": "Thresholds on test data",
    "scaling": "Scaling on all data",
    "all": "All four",
}
_MEASURE_TITLES: Mapping[str, str] = {"auc": "AUC", "youden": "Sensitivity + specificity − 1"}


@in_style()
def plot_leak_aucs(ax: Axes, runs: pd.DataFrame, optimism: pd.DataFrame) -> Axes:
    """Validation AUC of every simulated cohort by experiment, with the mean; a dashed line marks 0.5, the truth.

    Parameters
    ----------
    runs : pandas.DataFrame
        Columns seed, leak, auc; a point a row, experiments from top to bottom in the order of the rows.
    optimism : pandas.DataFrame
        Columns leak, measure, mean, optimism, lower, upper; the mean of measure ``auc`` is the stroke.

    Raises
    ------
    DataError
        If a column is missing, or an experiment has no mean.
    """
    require_columns(runs, ("seed", "leak", "auc"), "AUC by leak")
    means = _of_measure(optimism, "auc").set_index("leak")["mean"]
    leaks = list(dict.fromkeys(runs["leak"]))
    absent = [leak for leak in leaks if leak not in means.index]
    if absent:
        raise DataError("optimism", "must have the mean of every experiment", f"none of {absent[0]!r}", "Give the row.")
    for height, leak in enumerate(leaks):
        own = runs[runs["leak"] == leak].sort_values("seed")["auc"].to_numpy()
        # Spread over the band in the order of the seeds, so that equal values do not hide one another.
        offset = np.linspace(-0.24, 0.24, len(own)) if len(own) > 1 else np.zeros(1)
        ax.plot(own, height + offset, "o", color=GREY, markersize=3.2, alpha=0.75, markeredgewidth=0, zorder=2)
        colour = BLUE if leak == "none" else VERMILION
        ax.plot([means[leak]] * 2, [height - 0.36, height + 0.36], color=colour, linewidth=2.6, zorder=3)
    ax.axvline(0.5, **CUTOFF, zorder=1)
    _rows(ax, leaks)
    ax.set_xlabel("AUC in validation; the truth is 0.5")
    return ax


@in_style()
def plot_leak_optimism(ax: Axes, optimism: pd.DataFrame, measure: str = "auc") -> Axes:
    """Optimism of each leak with its confidence interval.

    Leaks from top to bottom in the order of the rows, and the numbers beside them.

    Parameters
    ----------
    optimism : pandas.DataFrame
        Columns leak, measure, mean, optimism, lower, upper; the experiment ``none`` is left out.
    measure : {"auc", "youden"}
        Whose optimism.

    Raises
    ------
    DataError
        If a column or the measure is missing.
    """
    own = _of_measure(optimism, measure)
    own = own[own["leak"] != "none"]
    for height, row in enumerate(own.itertuples()):
        interval(ax, height, row.optimism, (row.lower, row.upper), color=VERMILION)
        beside(ax, height, estimate_text(row.optimism, row.lower, row.upper, 2))
    ax.axvline(0, **CUTOFF, zorder=1)
    _rows(ax, list(own["leak"]))
    ax.set_xlabel(f"Optimism: {_MEASURE_TITLES.get(measure, measure)}")
    return ax


def _of_measure(optimism: pd.DataFrame, measure: str) -> pd.DataFrame:
    require_columns(optimism, ("leak", "measure", "mean", "optimism", "lower", "upper"), "optimism")
    own = optimism[optimism["measure"] == measure]
    if own.empty:
        known = ", ".join(optimism["measure"].unique())
        raise DataError("optimism", f"must have the measure {measure!r}", known, "Choose one of those.")
    return own


def _rows(ax: Axes, leaks: list[str]) -> None:
    name_rows(ax, [_LEAK_TITLES.get(leak, leak) for leak in leaks])
    ax.set_ylim(len(leaks) - 0.5, -0.5)
