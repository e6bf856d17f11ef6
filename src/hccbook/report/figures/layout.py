"""Panels of a figure: making them, drawing one figure in each, the legend of a row."""

from __future__ import annotations

import string
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.transforms import ScaledTranslation, Transform

from hccbook.errors import DataError
from hccbook.report.figures.marks import note
from hccbook.report.figures.style import BOOK_WIDTH_IN, FONT_PT, GREY, STYLE, in_style, stamp_synthetic
from hccbook.report.tables import require_columns


@in_style()
def panels(
    rows: int = 1,
    columns: int = 1,
    *,
    height_in: float = 3.0,
    width_in: float = BOOK_WIDTH_IN,
    letters: bool = False,
    width_ratios: Sequence[float] | None = None,
) -> tuple[Figure, np.ndarray]:
    """New figure in the book's style.

    Parameters
    ----------
    rows, columns : int
        Panels down and across.
    height_in, width_in : float
        Size of the figure, inches.
    letters : bool
        Whether panels carry A, B, C, ... above their left corner.
    width_ratios : sequence of float, optional
        Widths of the columns beside one another.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : ndarray of Axes, shape (rows, columns)
        Always two-dimensional.
    """
    figure, axes = plt.subplots(
        rows, columns, figsize=(width_in, height_in), layout="constrained", squeeze=False, width_ratios=width_ratios
    )
    figure.get_layout_engine().set(w_pad=5 / 72, h_pad=4 / 72)
    if letters:
        for letter, ax in zip(string.ascii_uppercase, axes.flat, strict=False):
            look = {"ha": "right", "va": "baseline", "fontsize": FONT_PT + 2, "fontweight": "bold"}
            note(ax, letter, (0, 1), (-6, 6), coords="axes fraction", **look)
    return figure, axes


def panel_list(axes: Axes | np.ndarray | Iterable[Axes], n: int, place: str) -> list[Axes]:
    """Axes in reading order, as many as there are panels to draw; those to spare are left blank.

    Raises
    ------
    DataError
        If there are fewer Axes than panels.
    """
    flat = [axes] if isinstance(axes, Axes) else list(np.asarray(axes, dtype=object).flat)
    if len(flat) < n:
        raise DataError(place, f"needs {n} panels", f"{len(flat)} Axes", f"Make them with panels(1, {n}).")
    for spare in flat[n:]:
        spare.set_axis_off()
    return flat[:n]


def plot_panels(
    draw: Callable[..., Axes],
    axes: np.ndarray | Sequence[Axes],
    *tables: pd.DataFrame,
    by: str = "cohort",
    legend_columns: int | None = None,
    **options: object,
) -> np.ndarray:
    """Draw one figure in a row of panels, a panel a cohort.

    Parameters
    ----------
    draw : callable
        Figure function that draws one panel, such as `plot_roc`; called as ``draw(ax, *tables, cohort=...)``.
    axes : array of Axes
        At least as many panels as cohorts; those to spare are left blank.
    *tables : pandas.DataFrame
        As `draw` takes them. The cohorts of the first give the panels, in order of appearance.
    by : str
        Column of the first table and keyword of `draw` that tells the panels apart.
    legend_columns : int, optional
        Names side by side in one legend beneath the row; without it there is no such legend.
    **options
        Other keywords of `draw`.

    Returns
    -------
    ndarray of Axes
        One a cohort; a vertical label that repeats the first panel's is left out.

    Raises
    ------
    DataError
        As `draw`, or if there are fewer panels than cohorts.
    """
    place = draw.__name__.removeprefix("plot_").replace("_", " ")
    require_columns(tables[0], (by,), place)
    values = tables[0][by].unique()
    drawn = panel_list(axes, len(values), place)
    for position, (ax, value) in enumerate(zip(drawn, values, strict=True)):
        draw(ax, *tables, **{by: value}, **options)
        if position and ax.get_ylabel() == drawn[0].get_ylabel():
            ax.set_ylabel("")
    if legend_columns is not None:
        legend_below(drawn, columns=legend_columns)
    return np.array(drawn, dtype=object)


def beneath(ax: Axes, points: float) -> Transform:
    """Coordinates of a panel, moved down: (0, 0) lies so many points under its lower left corner.

    Unlike a negative fraction of the panel, this stays put while the layout is being found.
    """
    return ax.transAxes + ScaledTranslation(0, -points / 72, ax.figure.dpi_scale_trans)


@in_style()
def legend_below(axes: Sequence[Axes], *, columns: int) -> Legend:
    """One legend for a row of panels, centred beneath their horizontal labels.

    Parameters
    ----------
    axes : sequence of Axes
        Panels of one row from left to right; the first one's lines are named. Each must have its
        horizontal label, to which blank lines are added that keep the legend's place free.
    columns : int
        Names side by side.

    Returns
    -------
    matplotlib.legend.Legend
    """
    handles, labels = axes[0].get_legend_handles_labels()
    rows = -(-len(labels) // columns)
    for ax in axes:
        ax.set_xlabel(ax.get_xlabel() + "\n" + " \n" * rows)
    middle = axes[(len(axes) - 1) // 2]
    # Between two panels in the middle the centre is the gap's, a little right of the left one.
    x = 0.5 if len(axes) % 2 else 1.1
    look = {"ncols": columns, "columnspacing": 1.4, "borderpad": 0}
    legend = legend_under(middle, 36, x, handles=handles, labels=labels, **look)
    # Its width is that of the row, and must not narrow the panel that it hangs from.
    legend.set_in_layout(False)
    return legend


def legend_under(ax: Axes, points: float = 34, x: float = 0.5, **look: object) -> Legend:
    """Legend of one panel, its upper edge so many points under the panel, centred at a fraction of the width."""
    place = {"loc": "upper center", "bbox_to_anchor": (x, 0), "bbox_transform": beneath(ax, points)}
    return ax.legend(**place | look)


def show(figure: Figure, *, synthetic: bool) -> None:
    """Show a figure in a notebook, stamped where its patients are simulated."""
    if synthetic:
        stamp_synthetic(figure)
    plt.show()


def show_saved(figure: Figure, png: Path, caption: str) -> None:
    """Show in a notebook the PNG that a figure was saved as, in the figure's own size, with its caption beneath.

    The figure is closed, since nothing is drawn of it any more.
    """
    pixels = {"width": round(figure.get_figwidth() * STYLE["figure.dpi"])}
    plt.close(figure)
    data = {"image/png": png.read_bytes(), "text/plain": f"<{png.name}>"}
    display(data, raw=True, metadata={"image/png": pixels})
    display({"text/markdown": caption, "text/plain": caption}, raw=True)


def sentence(text: str) -> Figure:
    """Figure that says in words why there is nothing to draw."""
    figure, axes = panels(1, 1, height_in=1.4)
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0.5, 0.5, textwrap.fill(text, 90), ha="center", va="center", fontsize=FONT_PT, color=GREY)
    return figure
