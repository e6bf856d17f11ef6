"""What a computation costs: seconds against size."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from hccbook.report.figures.style import in_style, series_look
from hccbook.report.tables import require_columns


@in_style()
def plot_cost(ax: Axes, cost: pd.DataFrame) -> Axes:
    """Seconds against voxels, both on logarithmic scales.

    Parameters
    ----------
    cost : pandas.DataFrame
        Columns series (printed name), voxels, seconds; one point a row, one line a series in the order of the rows.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(cost, ("series", "voxels", "seconds"), "cost")
    for position, series in enumerate(dict.fromkeys(cost["series"])):
        own = cost[cost["series"] == series].sort_values("voxels")
        ax.plot(own["voxels"], own["seconds"], marker="o", label=series, **series_look(series, position))
    ax.set(xscale="log", yscale="log", xlabel="Voxels of the organ", ylabel="Seconds")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.grid(axis="y", alpha=0.3)
    return ax
