"""Cumulative incidence of HCC by group, with the numbers at risk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from hccbook.errors import DataError
from hccbook.report.figures.style import GREY, SMALL_PT, group_colour, in_style, panel_list, panel_title
from hccbook.report.tables import decimal_text, group_title, p_phrase, require_columns

CUMULATIVE_COLUMNS = ("cohort", "group", "months", "incidence", "lower", "upper")
AT_RISK_COLUMNS = ("cohort", "group", "months", "at_risk", "events")
LOGRANK_COLUMNS = ("cohort", "chi2", "p")


@in_style()
def plot_cumulative_incidence(
    ax: Axes,
    incidence: pd.DataFrame,
    at_risk: pd.DataFrame,
    logrank: pd.DataFrame | None = None,
    *,
    cohort: str | None = None,
    horizon_months: float | None = None,
    top: float | None = None,
) -> Axes:
    """Cumulative incidence of HCC by group as steps with confidence bands, numbers at risk beneath.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel.
    incidence : pandas.DataFrame
        Columns cohort, group, months, incidence, lower, upper; incidence and bounds are fractions (0 to 1).
    at_risk : pandas.DataFrame
        Columns cohort, group, months, at_risk, events; its months become the ticks.
    logrank : pandas.DataFrame, optional
        Columns cohort, chi2, p; the p-value is printed.
    cohort : str, optional
        Cohort drawn; not needed where the frame holds one.
    horizon_months : float, optional
        Month marked by a vertical line.
    top : float, optional
        Upper end of the vertical axis, a fraction; for panels that share one.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel.

    Raises
    ------
    DataError
        If a column is missing, the cohort is not there, or it has no log-rank row or two.

    References
    ----------
    aMAP-CT, Fig. 2 and 4B.
    """
    require_columns(incidence, CUMULATIVE_COLUMNS, "cumulative incidence")
    require_columns(at_risk, AT_RISK_COLUMNS, "numbers at risk")
    cohorts = list(dict.fromkeys(incidence["cohort"]))
    if cohort is None and len(cohorts) > 1:
        raise DataError(
            "cumulative incidence", "must hold one cohort for one panel", ", ".join(cohorts), "Name the cohort."
        )
    cohort = cohorts[0] if cohort is None else cohort
    if cohort not in cohorts:
        raise DataError(
            "cumulative incidence", f"must hold the cohort {cohort}", ", ".join(cohorts), "Check the spelling."
        )
    curves = incidence[incidence["cohort"] == cohort]
    counts = at_risk[at_risk["cohort"] == cohort]
    groups = list(dict.fromkeys(curves["group"]))
    ticks = sorted(counts["months"].unique())
    if horizon_months is not None:
        ax.axvline(horizon_months, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    for position, group in enumerate(groups):
        line = curves[curves["group"] == group]
        title = group_title(group)
        colour = group_colour(title, position)
        ax.fill_between(
            line["months"], line["lower"], line["upper"], step="post", color=colour, alpha=0.18, linewidth=0
        )
        ax.step(line["months"], line["incidence"], where="post", color=colour, label=title)
    if top is None:
        top = max(0.02, 1.1 * float(curves["upper"].max()))
    end = float(max([*ticks, curves["months"].max()]))
    ax.set(xlim=(0, end), ylim=(0, top), title=panel_title(cohort))
    ax.set(xlabel="Months", ylabel="Cumulative incidence of HCC")
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0 if top > 0.05 else 1))
    # White behind it, for the horizon's line passes there.
    legend = ax.legend(loc="upper left", frameon=True, facecolor="white", edgecolor="none", framealpha=0.85)
    if logrank is not None:
        require_columns(logrank, LOGRANK_COLUMNS, "log-rank test")
        row = logrank[logrank["cohort"] == cohort]
        if len(row) != 1:
            raise DataError(f"log-rank test, {cohort}", "must have one row", f"{len(row)} rows", "Add the test.")
        legend.set_title(f"Log-rank {p_phrase(row.iloc[0]['p'])}")
        legend.set_alignment("left")
    _write_at_risk(ax, counts, groups, ticks)
    return ax


def _write_at_risk(ax: Axes, counts: pd.DataFrame, groups: Sequence[str], ticks: Sequence[float]) -> None:
    first, step = -44.0, 12.0
    across = ax.get_xaxis_transform()
    ax.annotate(
        "Number at risk",
        xy=(0, 0),
        xycoords="axes fraction",
        xytext=(-6, first),
        textcoords="offset points",
        va="center",
        fontsize=SMALL_PT,
        fontweight="bold",
    )
    for position, group in enumerate(groups):
        title = group_title(group)
        colour = group_colour(title, position)
        y = first - (position + 1) * step
        ax.annotate(
            title.removesuffix(" risk"),
            xy=(0, 0),
            xycoords="axes fraction",
            xytext=(-20, y),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=SMALL_PT,
            color=colour,
            fontweight="bold",
        )
        for tick in ticks:
            cell = counts.loc[(counts["group"] == group) & (counts["months"] == tick), "at_risk"]
            ax.annotate(
                decimal_text(cell.iloc[0] if len(cell) else None, 0),
                xy=(tick, 0),
                xycoords=across,
                xytext=(0, y),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=SMALL_PT,
            )


def plot_cumulative_incidence_panels(
    axes: np.ndarray | Sequence[Axes],
    incidence: pd.DataFrame,
    at_risk: pd.DataFrame,
    logrank: pd.DataFrame | None = None,
    *,
    horizon_months: float | None = None,
) -> np.ndarray:
    """Cumulative incidence by group, a panel a cohort, on one vertical scale.

    Parameters
    ----------
    axes : array of Axes
        At least as many panels as cohorts.
    incidence, at_risk, logrank : pandas.DataFrame
        As `plot_cumulative_incidence` takes them.
    horizon_months : float, optional
        Month marked by a vertical line.

    Returns
    -------
    ndarray of Axes
        One a cohort.

    Raises
    ------
    DataError
        As `plot_cumulative_incidence`, or if there are fewer panels than cohorts.
    """
    require_columns(incidence, CUMULATIVE_COLUMNS, "cumulative incidence")
    cohorts = list(dict.fromkeys(incidence["cohort"]))
    drawn = panel_list(axes, len(cohorts), "cumulative incidence")
    top = max(0.02, 1.1 * float(incidence["upper"].max()))
    for position, (ax, cohort) in enumerate(zip(drawn, cohorts, strict=True)):
        plot_cumulative_incidence(
            ax, incidence, at_risk, logrank, cohort=cohort, horizon_months=horizon_months, top=min(top, 1.0)
        )
        if position:
            ax.set_ylabel("")
    return np.array(drawn, dtype=object)
