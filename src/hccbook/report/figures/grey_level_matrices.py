"""Tiny images with their grey levels, and the matrices counted from them, number by number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from hccbook.errors import DataError
from hccbook.report.figures.style import BLACK, FONT_PT, GREY, PALE, in_style

MAX_CELLS = 32
"""Rows or columns above which numbers in cells can no longer be read."""

_GRID = "#C8C8C8"
# Neither the darkest level nor the largest count fills its cell with the end of the scale: that would hide the grid.
_DARKEST_LEVEL, _LARGEST_COUNT = 0.05, 0.75
# Luminance at which black and white stand out equally well.
_READABLE_FROM = 0.179


@in_style()
def show_grey_levels(ax: Axes, levels: np.ndarray, *, title: str = "") -> Axes:
    """One slice of grey levels, each written in its pixel.

    A higher level is lighter, as in CT.

    Parameters
    ----------
    levels : ndarray of int, shape (y, x)
        Grey levels from 1; 0 lies outside the region and is hatched. Intensities may be drawn too, if all of them are
        above 0.
    title : str
        Title of the panel.

    Raises
    ------
    DataError
        If the array is not one slice of whole numbers from 0, or has more than `MAX_CELLS` rows or columns.
    """
    levels = _checked(levels, "grey levels")
    if levels.dtype.kind not in "iu" or levels.min() < 0:
        raise DataError("grey levels", "must be whole numbers from 0", f"{levels.dtype} from {levels.min()}", "Bin it.")
    inside = levels > 0
    low, high = (levels[inside].min(), levels[inside].max()) if inside.any() else (1, 1)
    shade = _DARKEST_LEVEL + (1 - _DARKEST_LEVEL) * (levels - low) / max(high - low, 1)
    for (row, column), level in np.ndenumerate(levels):
        if level:
            _filled(ax, row, column, "gray", shade[row, column], str(level))
        else:
            ax.add_patch(_cell(row, column, facecolor="white", edgecolor=GREY, hatch="////"))
    _frame(ax, levels.shape, title)
    return ax


@in_style()
def plot_grey_level_matrix(
    ax: Axes,
    matrix: np.ndarray,
    *,
    columns: str,
    column_names: Sequence[str] | None = None,
    row_names: Sequence[str] | None = None,
    title: str = "",
) -> Axes:
    """A matrix counted from grey levels, each count written in its cell.

    The larger a number, the darker its cell, and a zero is pale.

    Parameters
    ----------
    matrix : ndarray, shape (n_rows, n_columns)
        Counts, or other numbers from 0; whole numbers are written as such, others with two decimals.
    columns : str
        What columns stand for, such as ``"Length of run"``; rows without names are grey levels.
    column_names, row_names : sequence of str, optional
        Name of each; 1, 2, 3, ... if absent.
    title : str
        Title of the panel.

    Raises
    ------
    DataError
        If the array is not a matrix of finite numbers from 0, has more than `MAX_CELLS` rows or columns, or the names
        are not as many as they should be.
    """
    matrix = _checked(matrix, "matrix")
    if not np.isfinite(matrix).all() or matrix.min() < 0:
        raise DataError("matrix", "must hold finite numbers from 0", f"{matrix.min()}", "Draw counts or shares.")
    names = [
        [str(place + 1) for place in range(size)] if given is None else [str(name) for name in given]
        for size, given in zip(matrix.shape, (row_names, column_names), strict=True)
    ]
    for what, found, size in zip(("row_names", "column_names"), names, matrix.shape, strict=True):
        if len(found) != size:
            raise DataError(what, f"must be {size} names", len(found), "Give one a row, one a column.")
    shade = _LARGEST_COUNT * matrix / (matrix.max() or 1)
    for (row, column), number in np.ndenumerate(matrix):
        whole = float(number).is_integer()
        text = f"{number:.0f}" if whole else f"{number:.2f}"
        written = _filled(ax, row, column, "Blues", shade[row, column], text)
        if not number:
            written.set_color(PALE)
    ax.tick_params(length=0)
    ax.set(xlabel=columns, ylabel="Grey level" if row_names is None else "")
    _frame(ax, matrix.shape, title)
    ax.set_yticks(range(matrix.shape[0]), names[0])
    ax.set_xticks(range(matrix.shape[1]), names[1])
    return ax


def _checked(array: np.ndarray, place: str) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim != 2 or not array.size:
        raise DataError(place, "must have two dimensions", array.shape, "Pass one slice, or one direction.")
    if max(array.shape) > MAX_CELLS:
        rule = f"must have at most {MAX_CELLS} rows and columns"
        raise DataError(place, rule, array.shape, "Draw a smaller example.")
    return array


def _cell(row: int, column: int, **look) -> Rectangle:
    return Rectangle((column - 0.5, row - 0.5), 1, 1, linewidth=0.8, clip_on=False, **look)


def _filled(ax: Axes, row: int, column: int, scale: str, shade: float, text: str) -> Text:
    colour = colormaps[scale](float(shade))
    ax.add_patch(_cell(row, column, facecolor=colour, edgecolor=_GRID))
    ink = "white" if _luminance(colour) < _READABLE_FROM else BLACK
    return ax.text(column, row, text, ha="center", va="center", fontsize=FONT_PT + 1, color=ink, clip_on=True)


def _luminance(colour: tuple[float, ...]) -> float:
    # Of linear light, as the contrast of text is defined for the web (WCAG 2).
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def _frame(ax: Axes, shape: tuple[int, int], title: str) -> None:
    ax.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5), aspect="equal", xticks=[], yticks=[], title=title)
    ax.spines[:].set_visible(False)
