"""How far features and models depend on the mask: intraclass correlations by family, AUC by mask."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hccbook.errors import DataError
from hccbook.report.figures.marks import CUTOFF, REFERENCE, beside, interval, name_rows
from hccbook.report.figures.style import BLACK, BLUE, GREY, VERMILION, in_style
from hccbook.report.tables import decimal_text, estimate_text, p_phrase, require_columns
from hccbook.report.tables.titles import FEATURE_CLASS_TITLES

# In the order in which they are drawn.
_FAMILIES = ("shape", "firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm")
_FAMILY_TITLES: Mapping[str, str] = {name: FEATURE_CLASS_TITLES[name] for name in _FAMILIES} | {"deep": "Deep"}
_KINDS: Mapping[str, str] = {
    "erosion": "Eroded by {} mm",
    "dilation": "Dilated by {} mm",
    "translation": "Moved up by {} mm",
    "contour": "Wavering by {} mm",
    "rotation": "Turned by {}°",
}
_NAMED: Mapping[str, str] = {"used": "As used", "given": "As given", "icc": "All masks together"}
_BOUNDS = (0.5, 0.75, 0.9)
_MIN_SHOWN = -0.25


def family_title(family: str) -> str:
    """Printed name of a feature family; one that is not known as it is."""
    return _FAMILY_TITLES.get(family, family)


def segmentation_title(mask: str) -> str:
    """Printed name of a way to segment, ``erosion:2`` to "Eroded by 2 mm"; others as they are."""
    kind, _, amount = mask.partition(":")
    return _KINDS[kind].format(amount) if kind in _KINDS else _NAMED.get(mask, mask)


@in_style()
def plot_agreement(ax: Axes, icc: pd.DataFrame, mask: str = "icc") -> Axes:
    """Distribution of intraclass correlations by feature family.

    A box from the first to the third quartile with the median, whiskers from the 5th to the 95th percentile, families
    from top to bottom, and the number of features beside them. Values below -0.25 end at the edge. Dashed lines part
    poor, moderate, good and excellent. About 0.3 inches a family read well.

    Parameters
    ----------
    icc : pandas.DataFrame
        Columns family and `mask`; one row per feature. Features without a value (constant ones) are not drawn.
    mask : str
        Column drawn: ``icc`` for all masks together, or a mask that is compared with the one used.

    Raises
    ------
    DataError
        If a column is missing, or no feature has a value.

    References
    ----------
    Koo and Li 2016, Journal of Chiropractic Medicine 15:155.
    """
    require_columns(icc, ("family", mask), "intraclass correlations")
    known = icc.dropna(subset=[mask])
    if known.empty:
        raise DataError("intraclass correlations", "must have a value", "none", "Leave the figure out.")
    families = known["family"].unique()
    families = [name for name in dict.fromkeys([*_FAMILY_TITLES, *families]) if name in families]
    values = [np.maximum(known.loc[known["family"] == name, mask].to_numpy(), _MIN_SHOWN) for name in families]
    look = {"widths": 0.6, "whis": (5, 95), "showfliers": False, "patch_artist": True}
    look |= {"boxprops": {"facecolor": "#CFE3F1", "edgecolor": BLUE}, "medianprops": {"color": BLUE, "linewidth": 2.2}}
    look |= {"whiskerprops": {"color": BLUE}, "capprops": {"color": BLUE}}
    ax.boxplot(values, orientation="horizontal", positions=range(len(families)), **look)
    for bound in _BOUNDS:
        ax.axvline(bound, **CUTOFF | {"color": GREY, "linewidth": 0.8, "zorder": 0})
    for height, own in enumerate(values):
        beside(ax, height, decimal_text(len(own), 0), 4, color=GREY)
    name_rows(ax, [family_title(name) for name in families])
    ax.set(xlim=(_MIN_SHOWN, 1.02), ylim=(len(families) - 0.4, -0.6), xlabel="Intraclass correlation")
    ax.set_title(segmentation_title(mask))
    return ax


@in_style()
def plot_segmentation_auc(ax: Axes, table: pd.DataFrame, *, title: str = "") -> Axes:
    """AUC of one fitted model under several masks, with confidence intervals.

    Masks from top to bottom, and beside them AUC, interval, and the p of the paired difference. About 0.35 inches a
    mask read well.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns mask, auc, lower, upper, difference, p; the first row is what the others are compared with.
    title : str
        Title of the panel.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(table, ("mask", "auc", "lower", "upper", "difference", "p"), "AUC by mask")
    for height, row in enumerate(table.itertuples()):
        interval(ax, height, row.auc, (row.lower, row.upper), color=VERMILION if height else BLACK)
        compared = f", {p_phrase(row.p)}" if height and not np.isnan(row.p) else ""
        beside(ax, height, estimate_text(row.auc, row.lower, row.upper, 2) + compared)
    ax.axvline(table["auc"].iloc[0], **REFERENCE)
    low = float(min(table["lower"].min(), 0.5))
    ax.set(xlim=(max(0.0, low - 0.03), 1.01), ylim=(len(table) - 0.5, -0.5), xlabel="AUC")
    name_rows(ax, [segmentation_title(name) for name in table["mask"]])
    ax.set_title(title)
    return ax


@in_style()
def plot_score_shift(ax: Axes, scores: pd.DataFrame, mask: str, *, title: str = "") -> Axes:
    """Score of every patient under one mask against that under the one used; on the diagonal nothing has moved.

    Parameters
    ----------
    scores : pandas.DataFrame
        Columns hcc (0 or 1), used and `mask`: probabilities, one row per patient.
    mask : str
        Column on the vertical axis.
    title : str
        Title of the panel.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(scores, ("hcc", "used", mask), "scores by mask")
    for value, label, colour, marker in ((0, "No HCC", GREY, "o"), (1, "HCC", VERMILION, "D")):
        own = scores[scores["hcc"] == value]
        ax.plot(own["used"], own[mask], marker, color=colour, markersize=4, alpha=0.8, markeredgewidth=0, label=label)
    ax.plot([0, 1], [0, 1], **CUTOFF | {"linewidth": 0.8, "zorder": 0})
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set(xlabel=segmentation_title("used"), ylabel=segmentation_title(mask))
    ax.legend(loc="lower right", handletextpad=0.1)
    ax.set_title(title)
    return ax
