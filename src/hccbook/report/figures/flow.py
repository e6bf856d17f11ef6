"""Boxes and arrows: the workflow, the study flow, enrolment."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.gridspec import GridSpec
from matplotlib.patches import FancyBboxPatch

from hccbook.cohort.study_flow import FLOW_COLUMNS
from hccbook.errors import DataError
from hccbook.report.figures.marks import note
from hccbook.report.figures.style import BLACK, BLUE, GREY, SMALL_PT, in_style
from hccbook.report.tables import cohort_title, decimal_text, require_columns

_BOX_HEIGHT = 0.62
_BOX_WIDTH = 0.88
_KEPT, _LEFT_OUT = "#E4EFF7", "#F3F3F3"
_STAGE_WIDTH = 0.16
_STEP_HEIGHT = 0.74
_CHARACTERS_AN_INCH = 15.5
_CORNER_IN = 0.06


def _size_in(ax: Axes) -> np.ndarray:
    """Width that the layout will give the panel, nearly, and its height, inches."""
    place = ax.get_subplotspec() or GridSpec(1, 1)[0]
    grid = place.get_gridspec()
    shares = 0.96 * (len(place.colspan) / grid.ncols), len(place.rowspan) / grid.nrows
    return shares * ax.figure.get_size_inches()


def _box(
    ax: Axes, middle: tuple[float, float], size: tuple[float, float], colour: str = _KEPT, edge: str = BLUE
) -> None:
    across, down = np.abs(np.diff([ax.get_xlim(), ax.get_ylim()])[:, 0]) / _size_in(ax)  # data an inch
    corner = middle[0] - size[0] / 2, middle[1] - size[1] / 2
    shape = {"boxstyle": f"round,pad=0,rounding_size={_CORNER_IN * across:.4f}", "mutation_aspect": down / across}
    ax.add_patch(FancyBboxPatch(corner, *size, **shape, facecolor=colour, edgecolor=edge, linewidth=0.9, zorder=2))


def _arrow(ax: Axes, *corners: tuple[float, float]) -> None:
    """Line from corner to corner that ends in an arrowhead."""
    if len(corners) > 2:
        ax.plot(*zip(*corners[:-1], strict=True), color=BLACK, linewidth=0.9, zorder=1)
    look = {"arrowstyle": "-|>", "color": BLACK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=corners[-1], xytext=corners[-2], arrowprops=look, zorder=1)


def _wrapped(text: str, inches: float) -> str:
    return "\n".join(textwrap.wrap(text, max(8, int(inches * _CHARACTERS_AN_INCH)))) or text


@in_style()
def plot_flow(ax: Axes, boxes: pd.DataFrame) -> Axes:
    """ALARM Figures S2 and S3: patients from box to box, and those left out on the way.

    Kept boxes beneath their parent, the others to the right of the arrow. About 0.75 inches a row of boxes read well.

    Parameters
    ----------
    boxes : pandas.DataFrame
        Columns box, parent (empty for the first), kind ("kept"; boxes of "left out" and "would leave out" stand
        aside), label, n, events; a parent comes before its boxes. Labels that name a cohort are printed as its title.

    Raises
    ------
    DataError
        If a column is missing, a parent is unknown, a box is there twice, or there is not one first box.
    """
    require_columns(boxes, FLOW_COLUMNS, "flow")
    rows = list(boxes.itertuples())
    _check_tree(rows)
    at, width = _placed(rows)
    ax.set(xlim=(0, width), ylim=(max(y for _, y in at.values()) + 0.5, -0.5))
    inches = _size_in(ax)[0] * _BOX_WIDTH / width
    for row in rows:
        x, y = at[row.box]
        out = row.kind != "kept"
        _box(ax, (x, y), (_BOX_WIDTH, _BOX_HEIGHT), *((_LEFT_OUT, GREY) if out else (_KEPT, BLUE)))
        counts = f"n = {decimal_text(row.n, 0)}, {decimal_text(row.events, 0)} HCC"
        text = f"{_wrapped(cohort_title(row.label), inches)}\n{counts}"
        ax.text(x, y, text, ha="center", va="center", fontsize=SMALL_PT, zorder=3)
        if row.parent:
            above, top = at[row.parent]
            start, turn = (above, top + _BOX_HEIGHT / 2), y if out else y - 0.5
            end = [(x - _BOX_WIDTH / 2, y)] if out else [(x, turn), (x, y - _BOX_HEIGHT / 2)]
            _arrow(ax, start, (above, turn), *end)
    ax.set_axis_off()
    return ax


def _check_tree(rows: list) -> None:
    known = {row.box for row in rows}
    if len(known) < len(rows) or sum(row.parent == "" for row in rows) != 1:
        raise DataError("flow", "must have each box once and one without a parent", "another", "Correct the boxes.")
    known = {""}
    for row in rows:
        if row.parent not in known:
            place = f"flow, box {row.box}"
            raise DataError(place, "must come after its parent", repr(row.parent), "Reorder the boxes.")
        known.add(row.box)


def _placed(rows: list) -> tuple[dict[str, tuple[float, float]], float]:
    """Middle of each box, and the width that all of them take."""
    at: dict[str, tuple[float, float]] = {}

    def place(row: object, left: float, top: float) -> float:
        """Set the box and all beneath it; the right end of what they take."""
        children = [child for child in rows if child.parent == row.box]
        kept = [child.box for child in children if child.kind == "kept"]
        out = [child.box for child in children if child.kind != "kept"]
        right = left
        for child in children:
            if child.box in kept:
                right = place(child, right, top + 1 + len(out))
        right = max(right, left + 1)
        x = (at[kept[0]][0] + at[kept[-1]][0]) / 2 if kept else (left + right) / 2
        at[row.box] = x, top
        for position, box in enumerate(out, start=1):
            at[box] = x + 0.5 + _BOX_WIDTH / 2 - 0.36, top + position
            right = max(right, at[box][0] + _BOX_WIDTH / 2 + 0.06)
        return right

    width = place(rows[0], 0.0, 0.0)
    return at, width


@in_style()
def plot_workflow(ax: Axes, steps: pd.DataFrame) -> Axes:
    """ALARM Fig. 1: the study's workflow, one row per stage and a box a step.

    The panel takes the book's width; about 0.85 inches a stage read well.

    Parameters
    ----------
    steps : pandas.DataFrame
        Columns stage, step, detail (may be empty), follows (whether the step comes after the one left of it, which
        an arrow says), in order.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(steps, ("stage", "step", "detail", "follows"), "workflow")
    ax.set(xlim=(0, 1), ylim=(steps["stage"].nunique() - 0.5, -0.5))
    whole = _size_in(ax)[0]
    for row, (stage, of_stage) in enumerate(steps.groupby("stage", sort=False)):
        x = _STAGE_WIDTH / 2
        _box(ax, (x, row), (_STAGE_WIDTH - 0.01, _STEP_HEIGHT), BLUE)
        title = _wrapped(str(stage), _STAGE_WIDTH * whole * 0.85)
        ax.text(x, row, title, ha="center", va="center", color="white", fontweight="bold", zorder=3)
        room = (1 - _STAGE_WIDTH - 0.02) / len(of_stage)
        for position, step in enumerate(of_stage.itertuples()):
            middle = _STAGE_WIDTH + 0.02 + room * (position + 0.5)
            _box(ax, (middle, row), (room - 0.02, _STEP_HEIGHT))
            title = _wrapped(str(step.step), (room - 0.03) * whole * 0.9)
            detail = _wrapped(str(step.detail), (room - 0.03) * whole) if step.detail else ""
            above, below = (len(part.splitlines()) for part in (title, detail))
            # The two texts together stand in the middle of the box.
            seam = (below - above) * 0.6 * SMALL_PT
            note(ax, title, (middle, row), (0, seam + 1), ha="center", va="bottom", fontweight="bold", zorder=3)
            note(ax, detail, (middle, row), (0, seam - 1), ha="center", va="top", zorder=3)
            if step.follows:
                edge = middle - room / 2
                _arrow(ax, (edge - 0.011, row), (edge + 0.011, row))
        if row:
            _arrow(ax, (x, row - 1 + _STEP_HEIGHT / 2), (x, row - _STEP_HEIGHT / 2))
    ax.set_axis_off()
    return ax
