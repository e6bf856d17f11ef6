"""Marks that many figures share: lines to compare with, text beside a place, estimates in rows."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.text import Annotation

from hccbook.report.figures.style import BLACK, GREY, SMALL_PT

REFERENCE: Mapping[str, object] = {"color": GREY, "linewidth": 0.8, "linestyle": (0, (2, 2)), "zorder": 1}
"""Line of what would be without an effect, such as an AUC of one half."""

CUTOFF: Mapping[str, object] = {"color": BLACK, "linewidth": 0.9, "linestyle": (0, (4, 2))}
"""Line at a cut-off or another chosen value."""

_BESIDE = 48  # letters a line: more would leave the panel no width

TO_SIDE, TO_TOP = ("axes fraction", "data"), ("data", "axes fraction")
"""Coordinates of `note` whose horizontal, or vertical, part is a fraction of the panel and the other one data."""


def note(
    ax: Axes,
    text: str,
    xy: tuple[float, float],
    offset: tuple[float, float],
    coords: str | tuple[str, str] = "data",
    **look: object,
) -> Annotation:
    """Small text, so many points (right, up) away from a place."""
    small = {"fontsize": SMALL_PT} | look
    return ax.annotate(text, xy, xytext=offset, xycoords=coords, textcoords="offset points", **small)


def beside(ax: Axes, y: float, text: str, points: float = 6, **look: object) -> Annotation:
    """Small text right of the panel, so many points away, at a height in data; a long one in several lines."""
    return note(ax, textwrap.fill(text, _BESIDE), (1, y), (points, 0), TO_SIDE, va="center", **look)


def name_rows(ax: Axes, names: Sequence[str], heights: Sequence[float] | None = None) -> None:
    """Name rows at the left, at heights 0, 1, 2, ... or those given, without ticks or an edge."""
    ax.set_yticks(range(len(names)) if heights is None else heights, names)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def interval(ax: Axes, y: float, value: float, limits: tuple[float, float], **look: object) -> None:
    """An estimate with its confidence interval in a row; `look` are keywords of the estimate's marker."""
    look = {"marker": "o", "markersize": 6, "zorder": 3} | look
    ax.plot(limits, [y, y], color=look["color"], linewidth=2, zorder=2)
    ax.plot(value, y, linestyle="none", **look)


def quarter_ticks(ax: Axes) -> None:
    """Both axes from 0 to 1, with a tick at each quarter."""
    ticks = (0, 0.25, 0.5, 0.75, 1)
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
