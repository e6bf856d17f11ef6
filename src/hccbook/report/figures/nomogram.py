"""Nomogram of a logistic model."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from hccbook.report.figures.style import BLACK, BLUE, FONT_PT, GREY, SMALL_PT, VERMILION, in_style
from hccbook.report.tables import require_columns, variable_title

NOMOGRAM_COLUMNS = ("axis", "kind", "value", "points")

_TITLES = {"points": "Points", "total": "Total points", "probability": "Probability of HCC"}
_LEFT = 0.22
_NEAREST_LABELS = 0.045


@in_style()
def plot_nomogram(ax: Axes, scales: pd.DataFrame, *, cutoffs: tuple[float, ...] = ()) -> Axes:
    """Nomogram: read points from each value, add them up, and read the probability from the total.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel, the book's width; about 0.55 inches an axis read well.
    scales : pandas.DataFrame
        Columns axis, kind ("points", "variable", "total", "probability"), value, points, as
        `hccbook.evaluation.nomogram_scales` gives them; axes from top to bottom in the order of the frame.
    cutoffs : tuple of float
        Probabilities among the marks that part the risk groups, coloured.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel.

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    ALARM, Figure S17.
    """
    require_columns(scales, NOMOGRAM_COLUMNS, "nomogram scales")
    greatest = float(scales.loc[scales["kind"].isin(["total", "probability"]), "points"].max())
    for row, (axis, marks) in enumerate(scales.groupby("axis", sort=False)):
        kind = marks["kind"].iloc[0]
        full = greatest if kind in ("total", "probability") else 100.0
        at = _LEFT + (1 - _LEFT) * marks["points"].to_numpy(float) / full
        colour = BLUE if kind == "variable" else BLACK
        # Marks hang below their axis, but those of the points point up.
        down = -1 if kind == "points" else 1
        title = _TITLES.get(kind) or variable_title(str(axis))
        ax.text(0, row, title, va="center", fontsize=FONT_PT, fontweight="bold")
        if kind == "points" and row == 0:
            ax.vlines(at, row, scales["axis"].nunique() - 2.6, color="#E4E4E4", linewidth=0.6, zorder=0)
        ax.plot([at.min(), at.max()], [row, row], color=colour, linewidth=1.2, solid_capstyle="projecting")
        if kind == "variable" and at.min() == at.max():
            ax.annotate("no weight", (at[0], row), (6, 0), textcoords="offset points", va="center", fontsize=SMALL_PT)
        values = marks["value"].to_numpy(float)
        marked = [kind == "probability" and any(abs(value - cutoff) < 5e-7 for cutoff in cutoffs) for value in values]
        named: list[float] = []
        # Cut-offs are named first; a mark too near to a named one stays without a name.
        for place in sorted(range(len(values)), key=lambda one: (not marked[one], at[one])):
            x, cut = at[place], marked[place]
            ax.vlines(x, row, row + 0.16 * down, color=VERMILION if cut else colour, linewidth=1)
            if not cut and any(abs(x - other) < _NEAREST_LABELS for other in named):
                continue
            named.append(x)
            ax.text(
                x,
                row + 0.22 * down,
                f"{values[place]:g}".replace("-", "−"),
                ha="center",
                va="top" if down > 0 else "bottom",
                fontsize=SMALL_PT,
                color=VERMILION if cut else GREY if kind == "points" else BLACK,
                fontweight="bold" if cut else "normal",
            )
    ax.set(xlim=(0, 1.01), ylim=(scales["axis"].nunique() - 0.35, -0.7))
    ax.set_axis_off()
    return ax
