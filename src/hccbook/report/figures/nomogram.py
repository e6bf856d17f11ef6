"""Nomogram of a logistic model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hccbook.report.figures.marks import note
from hccbook.report.figures.style import BLACK, BLUE, GREY, SMALL_PT, VERMILION, in_style
from hccbook.report.tables import cutoff_text, require_columns, variable_title

_TITLES = {"points": "Points", "total": "Total points", "probability": "Probability of HCC"}
_LEFT = 0.22
_NEAREST_LABELS = 0.045


@in_style()
def plot_nomogram(ax: Axes, scales: pd.DataFrame, *, cutoffs: tuple[float, ...] = ()) -> Axes:
    """ALARM Figure S17: nomogram; read points from each value, add them up, and read the probability from the total.

    The panel takes the book's width; about 0.55 inches an axis read well.

    Parameters
    ----------
    scales : pandas.DataFrame
        Columns axis, kind ("points", "variable", "total", "probability"), value, points, as
        `hccbook.evaluation.nomogram_scales` gives them; axes from top to bottom in the order of the frame.
    cutoffs : tuple of float
        Probabilities among the marks that part the risk groups, coloured.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(scales, ("axis", "kind", "value", "points"), "nomogram scales")
    greatest = float(scales.loc[scales["kind"].isin(["total", "probability"]), "points"].max())
    count = scales["axis"].nunique()
    for row, (axis, marks) in enumerate(scales.groupby("axis", sort=False)):
        kind = marks["kind"].iloc[0]
        full = greatest if kind in ("total", "probability") else 100.0
        at = _LEFT + (1 - _LEFT) * marks["points"].to_numpy(float) / full
        colour = BLUE if kind == "variable" else BLACK
        ax.text(0, row, _TITLES.get(kind) or variable_title(str(axis)), va="center", fontweight="bold")
        if kind == "points" and row == 0:
            ax.vlines(at, row, count - 2.6, color="#E4E4E4", linewidth=0.6, zorder=0)
        ax.plot([at.min(), at.max()], [row, row], color=colour, linewidth=1.2, solid_capstyle="projecting")
        if kind == "variable" and at.min() == at.max():
            note(ax, "no weight", (at[0], row), (6, 0), va="center")
        values = marks["value"].to_numpy(float)
        marked = np.isclose(values[:, None], cutoffs, rtol=0, atol=5e-7).any(axis=1) & (kind == "probability")
        # Marks hang below their axis, but those of the points and the cut-offs stand on it.
        up = marked | (kind == "points")
        for chosen, look in ((marked, VERMILION), (~marked, colour)):
            ax.vlines(at[chosen], row, row + 0.16 * np.where(up[chosen], -1, 1), color=look, linewidth=1)
        for place in _named(at, marked):
            look = {"color": GREY if kind == "points" else BLACK}
            text = f"{values[place]:g}".replace("-", "−")
            if marked[place]:
                look, text = {"color": VERMILION, "fontweight": "bold"}, cutoff_text(values[place])
            look |= {"ha": "center", "va": "bottom" if up[place] else "top", "fontsize": SMALL_PT}
            ax.text(at[place], row + (-0.22 if up[place] else 0.22), text, **look)
    ax.set(xlim=(0, 1.01), ylim=(count - 0.35, -0.7))
    ax.set_axis_off()
    return ax


def _named(at: np.ndarray, marked: np.ndarray) -> list[int]:
    """Marks that are named: all cut-offs, which stand above; of the others one too near to a named one is not."""
    named: list[int] = []
    for place in np.lexsort((at, ~marked)):
        beside = [other for other in named if not marked[other]]
        if marked[place] or all(abs(at[place] - at[other]) >= _NEAREST_LABELS for other in beside):
            named.append(place)
    return named
