"""Screening of features: Mann-Whitney p against effect, and Spearman correlations."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from hccbook.errors import DataError
from hccbook.report.figures.marks import CUTOFF, TO_SIDE, note
from hccbook.report.figures.style import BLUE, GREY, VERMILION, in_style
from hccbook.report.tables import decimal_text, feature_title, require_columns

_MAX_P = 0.05
_MAX_NAMES = 40
_NUMBERED = 5  # columns from number to number
_CORRELATION_COLOURS = LinearSegmentedColormap.from_list("correlation", [BLUE, "#FFFFFF", VERMILION])


def no_feature(ax: Axes, table: pd.DataFrame, columns: tuple[str, ...], place: str) -> bool:
    """Whether a frame with these columns has no row; the panel then says that no feature was selected.

    Raises
    ------
    DataError
        If a column is missing.
    """
    if len(table) or not set(columns) <= set(table.columns):
        require_columns(table, columns, place)
        return False
    with in_style():
        ax.text(0.5, 0.5, "No feature was selected", ha="center", va="center", transform=ax.transAxes)
        ax.set_axis_off()
    return True


@in_style()
def plot_volcano(ax: Axes, associations: pd.DataFrame) -> Axes:
    """ALARM Figures S5 to S11: Mann-Whitney p of every feature against its AUC.

    Features with a p below 0.05, which is drawn as a line, are coloured by their direction and counted. An empty frame
    is said to be one.

    Parameters
    ----------
    associations : pandas.DataFrame
        Columns feature, auc, p.

    Raises
    ------
    DataError
        If a column is missing.
    """
    if no_feature(ax, associations, ("feature", "auc", "p"), "feature associations"):
        return ax
    auc, p = associations["auc"].to_numpy(float), associations["p"].to_numpy(float)
    # A p of 0 is one below the least number: it is drawn at that.
    height = -np.log10(np.maximum(p, np.finfo(float).tiny))
    stays = p < _MAX_P
    lower, higher = stays & (auc < 0.5), stays & (auc >= 0.5)
    for chosen, colour in ((~stays, "#B5B5B5"), (lower, BLUE), (higher, VERMILION)):
        ax.scatter(auc[chosen], height[chosen], s=8, color=colour, alpha=0.6, linewidth=0, rasterized=len(p) > 2000)
    line = float(-np.log10(_MAX_P))
    ax.axhline(line, **CUTOFF)
    ax.axvline(0.5, color=GREY, linewidth=0.6)
    corner = {"coords": "axes fraction", "va": "top"}
    counts = [decimal_text(int(chosen.sum()), 0) for chosen in (lower, higher)]
    note(ax, f"{counts[0]} lower with HCC", (0, 1), (3, -2), ha="left", color=BLUE, **corner)
    note(ax, f"{counts[1]} higher with HCC", (1, 1), (-3, -2), ha="right", color=VERMILION, **corner)
    note(ax, f"p = {_MAX_P:g}", (1, line), (-3, 2), TO_SIDE, ha="right")
    reach = max(0.05, float(np.abs(auc - 0.5).max()) * 1.08)
    top = max(float(height.max()), line)
    ax.set(xlim=(0.5 - reach, 0.5 + reach), ylim=(0, 1.22 * top), xlabel="AUC of the feature", ylabel="−log₁₀ p")
    return ax


@in_style()
def plot_correlations(ax: Axes, correlations: pd.DataFrame) -> Axes:
    """ALARM Figures S5 to S11: Spearman correlations of features as a square of colours.

    Its scale stands beside it. Rows are named and numbered, every fifth column has its number; of more than 40 features
    the first 40 are drawn, and the label says of how many. With an empty frame it says that no feature was selected.
    The book's width and about 0.14 inches a feature read well.

    Parameters
    ----------
    correlations : pandas.DataFrame
        Columns feature, other, rho (-1 to 1); every pair both ways round, features in the order of the frame.

    Raises
    ------
    DataError
        If a column is missing or a pair is.
    """
    if no_feature(ax, correlations, ("feature", "other", "rho"), "correlations"):
        return ax
    names = list(dict.fromkeys(correlations["feature"]))
    square = correlations.pivot(index="feature", columns="other", values="rho").reindex(index=names, columns=names)
    if square.isna().any(axis=None):
        raise DataError("correlations", "must have every pair", "a pair without", "Give all pairs, both ways round.")
    shown = names[:_MAX_NAMES]
    # Names need the room that a square would not leave them.
    look = {"cmap": _CORRELATION_COLOURS, "interpolation": "nearest", "aspect": "auto"}
    drawn = ax.imshow(square.loc[shown, shown].to_numpy(), vmin=-1, vmax=1, **look)
    numbers = range(1, len(shown) + 1)
    ax.set_yticks(range(len(shown)), [f"{feature_title(name)}  {n}" for n, name in zip(numbers, shown, strict=True)])
    marked = [number for number in numbers if number == 1 or number % _NUMBERED == 0]
    ax.set_xticks([number - 1 for number in marked], [str(number) for number in marked])
    if len(shown) < len(names):
        ax.set_xlabel(f"the first {len(shown)} of {decimal_text(len(names), 0)} features")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.8, pad=0.02, label="Spearman's ρ")
    bar.set_ticks([-1, -0.5, 0, 0.5, 1], labels=["−1", "−0.5", "0", "0.5", "1"])
    bar.outline.set_visible(False)
    return ax
