"""The stepwise strategy: CTs spared against cancers missed."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from hccbook.report.figures.layout import legend_below
from hccbook.report.figures.marks import TO_TOP, note
from hccbook.report.figures.style import GREY, in_style, panel_title, series_look
from hccbook.report.tables import cutoff_text
from hccbook.report.tables.schemas import TRADEOFF_COLUMNS, require_columns

_ROOM = 0.075


@in_style()
def plot_spared_missed(ax: Axes, tradeoff: pd.DataFrame, *, amap_marked: float) -> Axes:
    """Share of cancers missed against the share of CTs spared, a line an aMAP-CT cut-off.

    Bars are the 95% confidence intervals of the missed share at each aMAP cut-off, whose values stand along the top.

    Parameters
    ----------
    tradeoff : pandas.DataFrame
        Columns cohort, amap_cutoff, ct_cutoff, n, events, spared, spared_share, spared_lower, spared_upper, missed,
        missed_share, missed_lower, missed_upper, lost, high; shares are 0 to 1; one cohort.
    amap_marked : float
        aMAP cut-off that is marked by a ring on every line.

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    aMAP-CT, Fig. 4, without its trade-off.
    """
    require_columns(tradeoff, ("cohort", *TRADEOFF_COLUMNS), "stepwise trade-off")
    cutoffs = list(dict.fromkeys(tradeoff["ct_cutoff"]))
    for position, cutoff in enumerate(cutoffs):
        line = tradeoff[tradeoff["ct_cutoff"] == cutoff].sort_values("amap_cutoff")
        look = series_look("", position)
        # Bars of several lines at one place stand side by side.
        x = line["spared_share"] + 0.005 * (position - (len(cutoffs) - 1) / 2)
        ax.vlines(x, line["missed_lower"], line["missed_upper"], color=look["color"], linewidth=1.0, alpha=0.55)
        label = f"aMAP-CT cut-off {cutoff_text(cutoff)}"
        ax.plot(x, line["missed_share"], **look, marker="o", markersize=4, label=label)
        chosen = line["amap_cutoff"] == amap_marked
        if chosen.any():
            ring = {"markersize": 10, "markerfacecolor": "none", "markeredgewidth": 1.4}
            ax.plot(x[chosen], line.loc[chosen, "missed_share"], "o", markeredgecolor=look["color"], **ring)
    first = tradeoff[tradeoff["ct_cutoff"] == cutoffs[0]].sort_values("amap_cutoff")
    named: list[float] = []
    # The marked cut-off is named whatever happens, the others where there is room.
    for row in sorted(first.itertuples(), key=lambda one: one.amap_cutoff != amap_marked):
        if all(abs(row.spared_share - other) >= _ROOM for other in named):
            named.append(row.spared_share)
            note(ax, f"{row.amap_cutoff:g}", (row.spared_share, 1), (0, 3), TO_TOP, ha="center", color=GREY)
    note(ax, "aMAP cut-off", (0, 1), (0, 14), "axes fraction", color=GREY)
    cohort = str(tradeoff["cohort"].iloc[0])
    ax.set_title(panel_title(cohort) if cohort else "", pad=26)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.02, 1.02), xlabel="CTs spared", ylabel="Cancers missed (95% CI)")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    legend_below([ax], columns=1)
    return ax
