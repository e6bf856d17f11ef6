"""Cumulative incidence of HCC by group, with the numbers at risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from hccbook.report.figures.marks import REFERENCE, note
from hccbook.report.figures.style import SMALL_PT, group_colour, in_style, panel_title
from hccbook.report.tables import decimal_text, group_title, p_phrase
from hccbook.report.tables.schemas import only_row, require_columns, rows_of

_MAX_DIGITS_ACROSS = 72
"""Most digits of the numbers at risk, panels beside one another taken together, that a small print keeps apart."""


@in_style()
def plot_cumulative_incidence(
    ax: Axes,
    incidence: pd.DataFrame,
    at_risk: pd.DataFrame,
    logrank: pd.DataFrame | None = None,
    *,
    cohort: str | None = None,
    horizon_months: float | None = None,
) -> Axes:
    """Cumulative incidence of HCC by group as steps with confidence bands, numbers at risk beneath.

    Parameters
    ----------
    incidence : pandas.DataFrame
        Columns cohort, group, months, incidence, lower, upper; incidence and bounds are fractions (0 to 1).
    at_risk : pandas.DataFrame
        Columns cohort, group, months, at_risk, events; its months become the ticks.
    logrank : pandas.DataFrame, optional
        Columns cohort, chi2, p; the p-value is printed.
    cohort : str, optional
        Cohort drawn; not needed where the frame holds one. Cohorts of one frame share a vertical scale.
    horizon_months : float, optional
        Month marked by a vertical line.

    Raises
    ------
    DataError
        If a column is missing, the cohort is not there, or it has no log-rank row or two.

    References
    ----------
    aMAP-CT, Fig. 2 and 4B.
    """
    columns = ("cohort", "group", "months", "incidence", "lower", "upper")
    curves, of_cohort = rows_of(incidence, columns, "cumulative incidence", cohort)
    require_columns(at_risk, ("cohort", "group", "months", "at_risk", "events"), "numbers at risk")
    top = max(0.02, 1.1 * float(incidence["upper"].max()))
    if cohort is not None:
        top = min(top, 1.0)
    counts = at_risk[at_risk["cohort"] == of_cohort]
    ticks = sorted(counts["months"].unique())
    if horizon_months is not None:
        ax.axvline(horizon_months, **REFERENCE)
    colours = {}
    for position, (group, line) in enumerate(curves.groupby("group", sort=False)):
        title = group_title(group)
        colours[group] = group_colour(title, position)
        band = {"step": "post", "color": colours[group], "alpha": 0.18, "linewidth": 0}
        ax.fill_between(line["months"], line["lower"], line["upper"], **band)
        ax.step(line["months"], line["incidence"], where="post", color=colours[group], label=title)
    end = float(max([*ticks, curves["months"].max()]))
    ax.set(xlim=(0, end), ylim=(0, top), title=panel_title(of_cohort))
    ax.set(xlabel="Months", ylabel="Cumulative incidence of HCC")
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0 if top > 0.05 else 1))
    # White behind it, for the horizon's line passes there.
    legend = ax.legend(loc="upper left", frameon=True, facecolor="white", edgecolor="none", framealpha=0.85)
    if logrank is not None:
        require_columns(logrank, ("cohort", "chi2", "p"), "log-rank test")
        test = only_row(logrank, "log-rank test", "Add the test.", cohort=of_cohort)
        legend.set_title(f"Log-rank {p_phrase(test['p'])}")
        legend.set_alignment("left")
    _write_at_risk(ax, counts, colours, ticks)
    return ax


def _write_at_risk(ax: Axes, counts: pd.DataFrame, colours: Mapping[str, str], ticks: Sequence[float]) -> None:
    """Numbers at risk beneath the ticks, a line a group in its colour."""
    first, step = -44.0, 12.0
    place = ax.get_subplotspec()
    across = place.get_gridspec().ncols if place else 1
    longest = max((len(decimal_text(number, 0)) for number in counts["at_risk"]), default=0)
    size = SMALL_PT if across * len(ticks) * longest <= _MAX_DIGITS_ACROSS else SMALL_PT - 1.5
    note(ax, "Number at risk", (0, 0), (-6, first), "axes fraction", va="center", fontweight="bold")
    for position, (group, colour) in enumerate(colours.items(), start=1):
        y = first - position * step
        name = group_title(group).removesuffix(" risk")
        look = {"ha": "right", "va": "center", "color": colour, "fontweight": "bold"}
        note(ax, name, (0, 0), (-20, y), "axes fraction", **look)
        numbers = counts[counts["group"] == group].set_index("months")["at_risk"]
        for tick in ticks:
            text = decimal_text(numbers.get(tick), 0)
            note(ax, text, (tick, 0), (0, y), ax.get_xaxis_transform(), ha="center", va="center", fontsize=size)
