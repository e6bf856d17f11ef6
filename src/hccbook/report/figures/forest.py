"""Forest plots: odds ratios, and AUCs in subgroups."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hccbook.errors import DataError
from hccbook.report.figures.style import BLUE, GREY, SMALL_PT, in_style, panel_title
from hccbook.report.tables import (
    ODDS_RATIO_COLUMNS,
    SUBGROUP_COLUMNS,
    decimal_text,
    estimate_text,
    odds_ratio_text,
    p_text,
    require_columns,
    step_text,
    variable_title,
)

_FURTHEST = 1e3  # a limit beyond an odds ratio of a thousand is an arrow
_MIN_RATIO = 1e-3
_ROUND_RATIOS = (0.001, 0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 100, 1000)


def _beside(ax: Axes, y: float, text: str, points: float, **look) -> None:
    """Text right of the panel, so many points away, at a height in data."""
    ax.annotate(
        text,
        xy=(1, y),
        xycoords=("axes fraction", "data"),
        xytext=(points, 0),
        textcoords="offset points",
        va="center",
        fontsize=SMALL_PT,
        annotation_clip=False,
        **look,
    )


@in_style()
def plot_forest(ax: Axes, odds_ratios: pd.DataFrame) -> Axes:
    """Odds ratios with confidence intervals on a logarithmic scale.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel; about 0.3 inches a row read well.
    odds_ratios : pandas.DataFrame
        Columns analysis, variable, per, step, n, events, missing, odds_ratio, lower, upper, p, method, note; rows
        from top to bottom, with a heading where there are several analyses.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel; right of it odds ratio, interval and p, or the note of a variable that has none. An interval
        that leaves the scale ends in an arrow; an open marker is a penalised fit.

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    ALARM, Figure S13.
    """
    require_columns(odds_ratios, ODDS_RATIO_COLUMNS, "odds ratios")
    known = odds_ratios.dropna(subset=["odds_ratio"])
    low = max(float(min(known["lower"].min(), 0.8)), _MIN_RATIO) if len(known) else 0.5
    high = min(float(max(known["upper"].max(), 1.25)), _FURTHEST) if len(known) else 2.0
    low, high = low / 1.25, high * 1.25
    several = odds_ratios["analysis"].nunique() > 1
    y, heights, names = 0.0, [], []
    penalised = False
    for analysis, rows in odds_ratios.groupby("analysis", sort=False):
        if several:
            _heading(ax, y, str(analysis).capitalize())
            y += 1
        for row in rows.itertuples():
            heights.append(y)
            names.append(f"{variable_title(row.variable)}{step_text(row.per, row.step)}")
            if np.isnan(row.odds_ratio):
                _beside(ax, y, row.note or "n.a.", 6, color=GREY, fontstyle="italic")
            else:
                firth = row.method == "Firth"
                penalised |= firth
                left, right = max(row.lower, low), min(row.upper, high)
                ax.plot([left, right], [y, y], color=BLUE, linewidth=1.8, zorder=2)
                for end, inside, mark in ((low, row.lower >= low, "<"), (high, row.upper <= high, ">")):
                    if not inside:
                        ax.plot(end, y, mark, color=BLUE, markersize=6, clip_on=False, zorder=3)
                point = min(max(row.odds_ratio, low), high)
                face = "white" if firth else BLUE
                ax.plot(point, y, "s", markerfacecolor=face, markeredgecolor=BLUE, markersize=6, zorder=4)
                _beside(ax, y, odds_ratio_text(row.odds_ratio, row.lower, row.upper), 8)
                _beside(ax, y, p_text(row.p), 126)
            y += 1
        y += 0.3
    _beside(ax, -1, "OR (95% CI)", 8, fontweight="bold")
    _beside(ax, -1, "p", 126, fontweight="bold")
    ax.axvline(1, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    ax.set_xscale("log")
    ax.set(xlim=(low, high), ylim=(y - 0.5, -1.4))
    ax.xaxis.set_major_locator(FixedLocator([ratio for ratio in _ROUND_RATIOS if low <= ratio <= high]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel("Odds ratio of HCC" + (" (open: Firth's penalised fit)" if penalised else ""))
    ax.set_yticks(heights, names)
    _no_left_edge(ax)
    return ax


@in_style()
def plot_subgroup_forest(ax: Axes, subgroups: pd.DataFrame, *, cohort: str | None = None) -> Axes:
    """AUC with its confidence interval in each subgroup of one cohort.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel; about 0.28 inches a row read well.
    subgroups : pandas.DataFrame
        Columns cohort, characteristic, level, n, events, missing, auc, lower, upper, p_difference, note; the row of
        the characteristic "all" gives the dashed line.
    cohort : str, optional
        Cohort drawn; not needed where the frame holds one.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel; right of it patients with HCC, all patients, AUC with interval or the note, and the p of
        equal AUCs beside each characteristic.

    Raises
    ------
    DataError
        If a column is missing, or there are several cohorts and none is named.

    References
    ----------
    ALARM, Figure S15.
    """
    require_columns(subgroups, SUBGROUP_COLUMNS, "subgroups")
    cohorts = list(dict.fromkeys(subgroups["cohort"]))
    if cohort is None and len(cohorts) > 1:
        raise DataError("subgroups", "must hold one cohort for one panel", ", ".join(cohorts), "Name the cohort.")
    cohort = cohorts[0] if cohort is None else cohort
    rows = subgroups[subgroups["cohort"] == cohort]
    if rows.empty:
        raise DataError("subgroups", f"must hold the cohort {cohort}", ", ".join(cohorts), "Check the spelling.")
    y, heights, names = 0.0, [], []
    for characteristic, levels in rows.groupby("characteristic", sort=False):
        whole = characteristic == "all"
        if not whole:
            _heading(ax, y, variable_title(characteristic))
            p = levels["p_difference"].iloc[0]
            _beside(ax, y, "" if np.isnan(p) else f"p = {p_text(p)}".replace("= <", "< ").replace("= >", "> "), 76)
            y += 1
        for row in levels.itertuples():
            heights.append(y)
            names.append("All patients" if whole else str(row.level))
            _beside(ax, y, f"{row.events}/{row.n}", 8)
            if np.isnan(row.auc):
                _beside(ax, y, row.note.split(";")[0], 76, color=GREY, fontstyle="italic")
            else:
                if not np.isnan(row.lower):
                    ax.plot([row.lower, row.upper], [y, y], color=BLUE, linewidth=1.8, zorder=2)
                ax.plot(row.auc, y, "D" if whole else "s", color=BLUE, markersize=7 if whole else 6, zorder=3)
                if whole:
                    ax.axvline(row.auc, color=BLUE, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
                no_limits = np.isnan(row.lower)
                text = f"{decimal_text(row.auc, 3)} (no interval)"
                _beside(ax, y, text if no_limits else estimate_text(row.auc, row.lower, row.upper), 76)
            y += 1
        y += 0.3
    _beside(ax, -1, "HCC/n", 8, fontweight="bold")
    _beside(ax, -1, "AUC (95% CI)", 76, fontweight="bold")
    ax.axvline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    least = float(np.nanmin([rows["lower"].min(), rows["auc"].min(), 0.5]))
    ax.set(xlim=(max(0.0, least - 0.04), 1.01), ylim=(y - 0.5, -1.4), xlabel="AUC", title=panel_title(cohort))
    ax.set_yticks(heights, names)
    _no_left_edge(ax)
    return ax


def _heading(ax: Axes, y: float, text: str) -> None:
    ax.annotate(
        text,
        xy=(0, y),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=SMALL_PT,
        fontweight="bold",
        annotation_clip=False,
    )


def _no_left_edge(ax: Axes) -> None:
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
