"""Boxes and arrows: the workflow, the study flow, enrolment."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from hccbook.errors import DataError
from hccbook.report.figures.style import BLACK, BLUE, FONT_PT, GREY, SMALL_PT, in_style
from hccbook.report.tables import cohort_title, decimal_text, require_columns

FLOW_COLUMNS = ("box", "parent", "kind", "label", "n", "events")
WORKFLOW_COLUMNS = ("stage", "step", "detail", "follows")

_BOX_HEIGHT = 0.62
_BOX_WIDTH = 0.88
_KEPT, _LEFT_OUT = "#E4EFF7", "#F3F3F3"
_STAGE_WIDTH = 0.16
_STEP_HEIGHT = 0.74
_CHARACTERS_AN_INCH = 15.5
_CORNER_IN = 0.06


def _width_in(ax: Axes) -> float:
    """Width that the layout will give the panel, nearly, inches."""
    share = ax.get_subplotspec()
    columns = 1.0 if share is None else len(share.colspan) / share.get_gridspec().ncols
    return 0.96 * columns * ax.figure.get_size_inches()[0]


def _box(ax: Axes, x: float, y: float, width: float, height: float, colour: str, edge: str) -> None:
    across = abs(ax.get_xlim()[1] - ax.get_xlim()[0]) / _width_in(ax)
    share = ax.get_subplotspec()
    rows = 1.0 if share is None else len(share.rowspan) / share.get_gridspec().nrows
    down = abs(ax.get_ylim()[1] - ax.get_ylim()[0]) / (rows * ax.figure.get_size_inches()[1])
    corner = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle=f"round,pad=0,rounding_size={_CORNER_IN * across:.4f}",
        mutation_aspect=down / across,
        facecolor=colour,
        edgecolor=edge,
        linewidth=0.9,
        zorder=2,
    )
    ax.add_patch(corner)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={"arrowstyle": "-|>", "color": BLACK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0},
        zorder=1,
    )


def _wrapped(text: str, inches: float) -> str:
    return "\n".join(textwrap.wrap(text, max(8, int(inches * _CHARACTERS_AN_INCH)))) or text


@in_style()
def plot_flow(ax: Axes, boxes: pd.DataFrame) -> Axes:
    """Patients from box to box, and those left out on the way.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel; about 0.75 inches a row of boxes read well.
    boxes : pandas.DataFrame
        Columns box, parent (empty for the first), kind ("kept"; boxes of "left out" and "would leave out" stand
        aside), label, n, events; a parent comes before its boxes. Labels that name a cohort are printed as its title.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel: kept boxes beneath their parent, the others to the right of the arrow.

    Raises
    ------
    DataError
        If a column is missing, a parent is unknown, a box is there twice, or there is not one first box.

    References
    ----------
    ALARM, Figures S2 and S3.
    """
    require_columns(boxes, FLOW_COLUMNS, "flow")
    rows = list(boxes.itertuples())
    if boxes["box"].duplicated().any() or sum(row.parent == "" for row in rows) != 1:
        raise DataError("flow", "must have each box once and one without a parent", "another", "Correct the boxes.")
    known: set[str] = set()
    for row in rows:
        if row.parent and row.parent not in known:
            raise DataError(
                f"flow, box {row.box}", "must come after its parent", repr(row.parent), "Reorder the boxes."
            )
        known.add(row.box)
    children = {row.box: [other for other in rows if other.parent == row.box] for row in rows}
    x: dict[str, float] = {}
    y: dict[str, float] = {}

    def place(row, left: float, top: float) -> float:
        """Set the box and all beneath it; the right end of what they take."""
        kept = [child for child in children[row.box] if child.kind == "kept"]
        out = [child for child in children[row.box] if child.kind != "kept"]
        right = left
        for child in kept:
            right = place(child, right, top + 1 + len(out))
        right = max(right, left + 1)
        x[row.box] = (x[kept[0].box] + x[kept[-1].box]) / 2 if kept else (left + right) / 2
        y[row.box] = top
        for position, child in enumerate(out, start=1):
            x[child.box], y[child.box] = x[row.box] + 0.5 + _BOX_WIDTH / 2 - 0.36, top + position
            right = max(right, x[child.box] + _BOX_WIDTH / 2 + 0.06)
        return right

    width = place(rows[0], 0.0, 0.0)
    ax.set(xlim=(0, width), ylim=(max(y.values()) + 0.5, -0.5))
    inches = _width_in(ax) * _BOX_WIDTH / width
    for row in rows:
        out = row.kind != "kept"
        _box(ax, x[row.box], y[row.box], _BOX_WIDTH, _BOX_HEIGHT, _LEFT_OUT if out else _KEPT, GREY if out else BLUE)
        text = _wrapped(cohort_title(row.label), inches)
        counts = f"n = {decimal_text(row.n, 0)}, {decimal_text(row.events, 0)} HCC"
        ax.text(x[row.box], y[row.box], f"{text}\n{counts}", ha="center", va="center", fontsize=SMALL_PT, zorder=3)
        if not row.parent:
            continue
        start = (x[row.parent], y[row.parent] + _BOX_HEIGHT / 2)
        if out:
            _arrow(ax, (x[row.parent], y[row.box]), (x[row.box] - _BOX_WIDTH / 2, y[row.box]))
            ax.plot([x[row.parent]] * 2, [start[1], y[row.box]], color=BLACK, linewidth=0.9, zorder=1)
            continue
        turn = y[row.box] - 0.5
        ax.plot([start[0], start[0], x[row.box]], [start[1], turn, turn], color=BLACK, linewidth=0.9, zorder=1)
        _arrow(ax, (x[row.box], turn), (x[row.box], y[row.box] - _BOX_HEIGHT / 2))
    ax.set_axis_off()
    return ax


@in_style()
def plot_workflow(ax: Axes, steps: pd.DataFrame) -> Axes:
    """The study's workflow: a row a stage, a box a step.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel, the book's width; about 0.85 inches a stage read well.
    steps : pandas.DataFrame
        Columns stage, step, detail (may be empty), follows (whether the step comes after the one left of it, which
        an arrow says), in order.

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
    ALARM, Fig. 1.
    """
    require_columns(steps, WORKFLOW_COLUMNS, "workflow")
    stages = list(dict.fromkeys(steps["stage"]))
    ax.set(xlim=(0, 1), ylim=(len(stages) - 0.5, -0.5))
    whole = _width_in(ax)
    for row, stage in enumerate(stages):
        of_stage = steps[steps["stage"] == stage]
        _box(ax, _STAGE_WIDTH / 2, row, _STAGE_WIDTH - 0.01, _STEP_HEIGHT, BLUE, BLUE)
        ax.text(
            _STAGE_WIDTH / 2,
            row,
            _wrapped(str(stage), _STAGE_WIDTH * whole * 0.85),
            ha="center",
            va="center",
            color="white",
            fontsize=FONT_PT,
            fontweight="bold",
            zorder=3,
        )
        room = (1 - _STAGE_WIDTH - 0.02) / len(of_stage)
        for position, step in enumerate(of_stage.itertuples()):
            middle = _STAGE_WIDTH + 0.02 + room * (position + 0.5)
            _box(ax, middle, row, room - 0.02, _STEP_HEIGHT, _KEPT, BLUE)
            title = _wrapped(str(step.step), (room - 0.03) * whole * 0.9)
            detail = _wrapped(str(step.detail), (room - 0.03) * whole) if step.detail else ""
            above, below = (len(part.splitlines()) for part in (title, detail))
            # The two texts together stand in the middle of the box.
            seam = (above - below) * 0.6 * SMALL_PT
            for text, down, weight in ((title, 0, "bold"), (detail, -1, "normal")):
                ax.annotate(
                    text,
                    xy=(middle, row),
                    xytext=(0, -seam + (2 * down + 1) * 1.0),
                    textcoords="offset points",
                    ha="center",
                    va="top" if down else "bottom",
                    fontsize=SMALL_PT,
                    fontweight=weight,
                    zorder=3,
                )
            if step.follows:
                edge = middle - room / 2
                _arrow(ax, (edge - 0.011, row), (edge + 0.011, row))
        if row:
            _arrow(ax, (_STAGE_WIDTH / 2, row - 1 + _STEP_HEIGHT / 2), (_STAGE_WIDTH / 2, row - _STEP_HEIGHT / 2))
    ax.set_axis_off()
    return ax
