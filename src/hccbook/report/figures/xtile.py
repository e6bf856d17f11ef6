"""X-tile: the triangle of all pairs of cut-offs, and the scores that they divide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from hccbook.errors import DataError
from hccbook.report.figures.layout import legend_under
from hccbook.report.figures.marks import CUTOFF, TO_TOP, note
from hccbook.report.figures.stratification import ascending_cutoffs, score_range
from hccbook.report.figures.style import BLACK, GREY, group_colour, in_style
from hccbook.report.tables import cutoff_text, decimal_text, group_title, require_columns

# X-tile's own: black for no association, red where a high score means a bad course, green where a good one.
# An odd number of steps puts black at zero.
_TILES = ["#3DFFB0", "#009E73", "#000000", "#D5300A", "#FFB48A"]
_TILE_COLOURS = LinearSegmentedColormap.from_list("x-tile", _TILES, N=257)
_BINS = 40
_HATCHED = {"edgecolor": "white", "hatch": "////", "linewidth": 0}


@in_style()
def plot_xtile(ax: Axes, tiles: pd.DataFrame, cuts: Sequence[float]) -> Axes:
    """X-tile's triangle: the chi-square of every pair of cut-offs, with the chosen pair marked.

    To the right the low-risk group grows, downwards the high-risk group; the middle group is what is left, nobody along
    the slanted edge. Bright red is a strong association in which a higher score means more HCC, bright green one in
    which it means less, black none. Its scale stands beside it. Best in a square panel.

    Parameters
    ----------
    tiles : pandas.DataFrame
        Columns lower, upper (cut-offs), low_share, high_share (0 to 1), chi2, rising, as
        `hccbook.evaluation.xtile_map` gives them.
    cuts : sequence of float
        The chosen pair, lower and upper; must be among the tiles.

    Raises
    ------
    DataError
        If a column is missing or the pair is not among the tiles.

    References
    ----------
    Camp et al. 2004, Clin Cancer Res 10:7252, Fig. 1. ALARM, Figure S16.
    """
    require_columns(tiles, ("lower", "upper", "low_share", "high_share", "chi2", "rising"), "X-tile map")
    lower, upper = (float(cut) for cut in cuts)
    chosen = tiles[np.isclose(tiles["lower"], lower, rtol=1e-9) & np.isclose(tiles["upper"], upper, rtol=1e-9)]
    if len(chosen) != 1:
        rule = f"must have the pair {lower:g}, {upper:g} once"
        raise DataError("X-tile map", rule, f"{len(chosen)} rows", "Give its own cuts.")
    signed = tiles.assign(signed=np.where(tiles["rising"], tiles["chi2"], -tiles["chi2"]))
    square = signed.pivot(index="high_share", columns="low_share", values="signed").sort_index().sort_index(axis=1)
    greatest = float(tiles["chi2"].max())
    look = {"cmap": _TILE_COLOURS, "vmin": -greatest, "vmax": greatest, "shading": "nearest", "rasterized": True}
    drawn = ax.pcolormesh(
        square.columns.to_numpy(),
        square.index.to_numpy(),
        np.ma.masked_invalid(square.to_numpy()),
        **look,
    )
    ax.plot([0, 1, 0, 0], [0, 0, 1, 0], color=GREY, linewidth=0.8)
    best = chosen.iloc[0]
    ax.plot(best["low_share"], best["high_share"], "o", markersize=11, markerfacecolor="none", markeredgecolor=BLACK)
    ax.plot(best["low_share"], best["high_share"], "o", markersize=8.5, markerfacecolor="none", markeredgecolor="white")
    cut_offs = f"cut-offs {cutoff_text(lower)} and {cutoff_text(upper)}"
    greatest_text = f"Greatest: χ² {decimal_text(best['chi2'], 1)}\n{cut_offs}"
    note(ax, greatest_text, (1, 0), (-2, 6), "axes fraction", ha="right", va="bottom")
    ax.set(xlim=(0, 1), ylim=(1, 0), aspect="equal")
    ax.set(xlabel="Low-risk group, share of the patients →", ylabel="← High-risk group, share of the patients")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.75, pad=0.03)
    bar.ax.set_ylim(0 if tiles["rising"].all() else -greatest, greatest)
    bar.ax.yaxis.set_major_locator(MaxNLocator(5))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):g}"))
    bar.set_label("χ², more HCC in the high group" + ("" if tiles["rising"].all() else "\n(green: less)"))
    bar.outline.set_visible(False)
    return ax


@in_style()
def plot_xtile_histogram(ax: Axes, patients: pd.DataFrame, cuts: Sequence[float]) -> Axes:
    """ALARM Figure S16: histogram of the scores that X-tile divides, in the groups' colours, with its cut-offs.

    Where a cut-off lies within a bar, groups stand on one another; the hatched part of each is its patients with HCC.

    Parameters
    ----------
    patients : pandas.DataFrame
        Columns score and hcc (0, 1), one row per patient.
    cuts : sequence of float
        One or two cut-offs, rising.

    Raises
    ------
    DataError
        If a column is missing or the cut-offs do not rise.
    """
    require_columns(patients, ("score", "hcc"), "scores")
    cuts, groups = ascending_cutoffs(cuts)
    score, hcc = patients["score"].to_numpy(float), patients["hcc"].to_numpy() == 1
    low, high = score_range(patients["score"], cuts)
    edges = np.linspace(low, high, _BINS + 1)
    part = np.searchsorted(cuts, score, side="right")
    beneath = np.zeros(_BINS)
    for position, group in enumerate(groups):
        title = group_title(group)
        look = {"width": np.diff(edges), "bottom": beneath, "align": "edge", "facecolor": group_colour(title, position)}
        everybody, _ = np.histogram(score[part == position], edges)
        with_hcc, _ = np.histogram(score[(part == position) & hcc], edges)
        ax.bar(edges[:-1], everybody, alpha=0.55, linewidth=0, label=title, **look)
        ax.bar(edges[:-1], with_hcc, **look, **_HATCHED)
        beneath = beneath + everybody
    for position, cut in enumerate(cuts):
        # Outside of the two lines, which may stand close.
        side = -1 if position == 0 and len(cuts) == 2 and cut > low + 0.12 * (high - low) else 1
        ax.axvline(cut, **CUTOFF)
        note(ax, cutoff_text(cut), (cut, 1), (3 * side, -2), TO_TOP, ha="left" if side > 0 else "right", va="top")
    ax.bar([0], [0], facecolor=GREY, label="with HCC", **_HATCHED)
    ax.set(xlim=(low, high), xlabel="Score", ylabel="Patients")
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    legend_under(ax, ncols=2)
    return ax
