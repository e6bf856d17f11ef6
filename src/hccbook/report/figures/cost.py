"""What a computation costs: seconds against size, and program by program."""

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


@in_style()
def plot_program_costs(ax: Axes, cost: pd.DataFrame) -> Axes:
    """Seconds of programs on a logarithmic scale, a line of marks a program, the first row at the top.

    Parameters
    ----------
    cost : pandas.DataFrame
        Columns program, series (printed name of the mark) and seconds; a mark a row, none where seconds is NaN.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(cost, ("program", "series", "seconds"), "cost")
    programs = list(dict.fromkeys(cost["program"]))
    for position, series in enumerate(dict.fromkeys(cost["series"])):
        own = cost[cost["series"] == series]
        places = [programs.index(program) for program in own["program"]]
        marker = "osD^"[position % 4]
        ax.plot(
            own["seconds"], places, marker=marker, label=series, **series_look(series, position) | {"linestyle": ""}
        )
    ax.set(xscale="log", xlabel="Seconds", yticks=range(len(programs)), yticklabels=programs)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.invert_yaxis()
    ax.grid(axis="both", alpha=0.3)
    return ax
