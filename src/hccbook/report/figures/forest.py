"""Forest plots: odds ratios, and AUCs in subgroups."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator, StrMethodFormatter

from hccbook.evaluation.subgroups import SUBGROUP_COLUMNS
from hccbook.report.figures.marks import CUTOFF, REFERENCE, TO_SIDE, beside, name_rows, note
from hccbook.report.figures.style import BLUE, GREY, in_style, panel_title
from hccbook.report.tables.schemas import ODDS_RATIO_COLUMNS, require_columns, rows_of
from hccbook.report.tables.titles import variable_title
from hccbook.report.tables.typesetting import area_text, odds_ratio_text, p_phrase, p_text, step_text

_FURTHEST = 1e3  # a limit beyond an odds ratio of a thousand is an arrow
_MIN_RATIO = 1e-3
_ROUND_RATIOS = (0.001, 0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 100, 1000)


@in_style()
def plot_forest(ax: Axes, odds_ratios: pd.DataFrame) -> Axes:
    """ALARM Figure S13: odds ratios with confidence intervals on a logarithmic scale.

    Right of the panel stand odds ratio, interval and p, or the note of a variable that has none. An interval that
    leaves the scale ends in an arrow; an open marker is a penalised fit. About 0.3 inches a row read well.

    Parameters
    ----------
    odds_ratios : pandas.DataFrame
        Columns analysis, variable, per, step, n, events, missing, odds_ratio, lower, upper, p, method, note; rows
        from top to bottom, with a heading where there are several analyses.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(odds_ratios, ODDS_RATIO_COLUMNS, "odds ratios")
    known = odds_ratios.dropna(subset=["odds_ratio"])
    low = max(float(min(known["lower"].min(), 0.8)), _MIN_RATIO) if len(known) else 0.5
    high = min(float(max(known["upper"].max(), 1.25)), _FURTHEST) if len(known) else 2.0
    low, high = low / 1.25, high * 1.25
    several = odds_ratios["analysis"].nunique() > 1
    names: dict[float, str] = {}
    y = 0.0
    for analysis, rows in odds_ratios.groupby("analysis", sort=False):
        if several:
            _heading(ax, y, str(analysis).capitalize())
            y += 1
        for row in rows.itertuples():
            names[y] = f"{variable_title(row.variable)}{step_text(row.per, row.step)}"
            if np.isnan(row.odds_ratio):
                beside(ax, y, row.note or "n.a.", color=GREY, fontstyle="italic")
            else:
                _odds_ratio(ax, y, row, (low, high))
            y += 1
        y += 0.3
    beside(ax, -1, "OR (95% CI)", 8, fontweight="bold")
    beside(ax, -1, "p", 126, fontweight="bold")
    ax.axvline(1, **REFERENCE)
    ax.set_xscale("log")
    ax.set(xlim=(low, high), ylim=(y - 0.5, -1.4))
    ax.set_xticks([ratio for ratio in _ROUND_RATIOS if low <= ratio <= high])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    penalised = (known["method"] == "Firth").any()
    ax.set_xlabel("Odds ratio of HCC" + (" (open: Firth's penalised fit)" if penalised else ""))
    name_rows(ax, list(names.values()), list(names))
    return ax


def _odds_ratio(ax: Axes, y: float, row: object, ends: tuple[float, float]) -> None:
    """One row: interval as far as the scale goes, an arrow where it goes on, ratio and p beside it."""
    low, high = ends
    ax.plot(np.clip([row.lower, row.upper], low, high), [y, y], color=BLUE, linewidth=1.8, zorder=2)
    for inside, end, mark in ((row.lower >= low, low, "<"), (row.upper <= high, high, ">")):
        if not inside:
            ax.plot(end, y, mark, color=BLUE, markersize=6, clip_on=False, zorder=3)
    face = "white" if row.method == "Firth" else BLUE
    look = {"markerfacecolor": face, "markeredgecolor": BLUE, "markersize": 6, "zorder": 4}
    ax.plot(np.clip(row.odds_ratio, low, high), y, "s", **look)
    beside(ax, y, odds_ratio_text(row.odds_ratio, row.lower, row.upper), 8)
    beside(ax, y, p_text(row.p), 126)


@in_style()
def plot_subgroup_forest(ax: Axes, subgroups: pd.DataFrame, *, cohort: str | None = None) -> Axes:
    """ALARM Figure S15: AUC with its confidence interval in each subgroup of one cohort.

    Right of the panel stand patients with HCC, all patients, AUC with interval or the note, and the p of equal AUCs
    beside each characteristic. About 0.28 inches a row read well.

    Parameters
    ----------
    subgroups : pandas.DataFrame
        Columns cohort, characteristic, level, n, events, missing, auc, lower, upper, p_difference, note; the row of
        the characteristic "all" gives the dashed line.
    cohort : str, optional
        Cohort drawn; not needed where the frame holds one.

    Raises
    ------
    DataError
        If a column is missing, or there are several cohorts and none is named.
    """
    subgroups, cohort = rows_of(subgroups, SUBGROUP_COLUMNS, "subgroups", cohort)
    names: dict[float, str] = {}
    y = 0.0
    for characteristic, levels in subgroups.groupby("characteristic", sort=False):
        whole = characteristic == "all"
        if not whole:
            _heading(ax, y, variable_title(characteristic))
            p = levels["p_difference"].iloc[0]
            beside(ax, y, "" if np.isnan(p) else p_phrase(p), 76)
            y += 1
        for row in levels.itertuples():
            names[y] = "All patients" if whole else str(row.level)
            beside(ax, y, f"{row.events}/{row.n}", 8)
            _subgroup_auc(ax, y, row, whole=whole)
            y += 1
        y += 0.3
    beside(ax, -1, "HCC/n", 8, fontweight="bold")
    beside(ax, -1, "AUC (95% CI)", 76, fontweight="bold")
    ax.axvline(0.5, **REFERENCE)
    least = float(np.nanmin([subgroups["lower"].min(), subgroups["auc"].min(), 0.5]))
    ax.set(xlim=(max(0.0, least - 0.04), 1.01), ylim=(y - 0.5, -1.4), xlabel="AUC", title=panel_title(cohort))
    name_rows(ax, list(names.values()), list(names))
    return ax


def _subgroup_auc(ax: Axes, y: float, row: object, *, whole: bool) -> None:
    """One row: AUC, its interval where it has one, and both in words, or the note of a level that has none."""
    if np.isnan(row.auc):
        beside(ax, y, row.note.split(";")[0], 76, color=GREY, fontstyle="italic")
        return
    ax.plot(row.auc, y, "D" if whole else "s", color=BLUE, markersize=7 if whole else 6, zorder=3)
    if whole:
        ax.axvline(row.auc, **CUTOFF | {"color": BLUE, "linewidth": 0.8, "zorder": 1})
    if not np.isnan(row.lower):
        ax.plot([row.lower, row.upper], [y, y], color=BLUE, linewidth=1.8, zorder=2)
    beside(ax, y, area_text(row.auc, row.lower, row.upper), 76)


def _heading(ax: Axes, y: float, text: str) -> None:
    note(ax, text, (0, y), (-4, 0), TO_SIDE, ha="right", va="center", fontweight="bold")
