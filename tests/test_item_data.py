"""What the CSV of a published item holds: all that its figure shows, and that its patients are simulated."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl

mpl.use("agg")

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection, QuadMesh
from matplotlib.figure import Figure

from hccbook.errors import DataError
from hccbook.papers import published
from hccbook.pipeline import items
from hccbook.pipeline.archive import unpack_archive
from hccbook.pipeline.runner import notebook_parameters
from hccbook.report import figures
from hccbook.run import RESULT_CHAPTERS, RunPaths, archives_dir, notebook_file
from hccbook.settings import load_profile

# --- one item ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    """A run without anything in it."""
    return RunPaths(tmp_path / "run")


def _figure() -> Figure:
    figure, axes = figures.panels()
    axes[0, 0].plot([0, 1], [2, 3])
    return figure


def test_item_is_kept_with_its_parts_and_says_synthetic(run: RunPaths) -> None:
    """One line of pandas loads it; each row says what its patients are and which part of the item it is of."""
    parts = {"ROC": pd.DataFrame({"fpr": [0.0, 0.1], "cohort": "a"}), "AUC": pd.DataFrame({"auc": [0.9]})}
    items.show_item(run, "alarm-fig-3", parts, _figure(), synthetic=True, dpi=60)
    folder = run.root / "figures_and_tables"
    table = pd.read_csv(folder / "alarm-fig-3.csv")
    assert table["data"].tolist() == ["SYNTHETIC"] * 3
    assert table["part"].tolist() == ["ROC", "ROC", "AUC"]
    assert table["fpr"].tolist()[:2] == [0.0, 0.1]
    assert table.loc[2, "auc"] == 0.9
    assert (folder / "alarm-fig-3.png").read_bytes().startswith(b"\x89PNG")
    assert "SYNTHETIC DATA" in (folder / "alarm-fig-3.svg").read_text(encoding="utf-8")
    assert not plt.get_fignums()


def test_item_of_own_patients_says_so(run: RunPaths) -> None:
    """Neither table nor figure of a user's patients is called synthetic; one table has no parts."""
    items.show_item(run, "alarm-fig-3", pd.DataFrame({"auc": [0.9]}), _figure(), synthetic=False, dpi=60)
    table = pd.read_csv(run.root / "figures_and_tables" / "alarm-fig-3.csv")
    assert table.columns.tolist() == ["data", "auc"]
    assert table["data"].tolist() == ["patients"]
    assert "SYNTHETIC" not in (run.root / "figures_and_tables" / "alarm-fig-3.svg").read_text(encoding="utf-8")


def test_item_that_is_not_listed_is_refused(run: RunPaths) -> None:
    """A misspelt name would keep a file that no page looks for."""
    with pytest.raises(DataError, match="alarm-fig-33"):
        items.show_item(run, "alarm-fig-33", pd.DataFrame({"auc": [0.9]}))


def test_every_item_has_a_caption_of_its_own() -> None:
    """What marks and columns are is said of every figure and table."""
    listed = [item for item in published.items() if item.kind != "other" and not item.is_planned]
    assert [item.id for item in listed if not item.caption] == []


# --- all items of the archived run ------------------------------------------------------------------------------------


class Drawn(NamedTuple):
    """Coordinates of one artist: what it is, and its finite values across and up."""

    kind: str
    x: np.ndarray
    y: np.ndarray


class Shown(NamedTuple):
    """A saved figure: its artists, the words on it, and its CSV."""

    artists: list[Drawn]
    texts: list[str]
    table: pd.DataFrame


def _of_collection(part: Collection) -> Drawn:
    if isinstance(part, QuadMesh):
        values = np.ma.compressed(part.get_array())
        return Drawn("map", values, np.abs(values))
    if isinstance(part, PathCollection):
        x, y = np.ma.filled(part.get_offsets(), np.nan).T
        return Drawn("points", x, y)
    paths = [path.vertices for path in part.get_paths() if len(path.vertices)]
    x, y = np.concatenate(paths).T if paths else np.empty((2, 0))
    return Drawn("strokes" if isinstance(part, LineCollection) else "band", x, y)


def _drawn_on(ax: Axes) -> Iterator[Drawn]:
    for line in ax.lines:
        x, y = (np.asarray(values, dtype=float) for values in line.get_data())
        # Lines across the whole panel are in its own fractions.
        if line.get_transform() == ax.transData:
            yield Drawn("curve" if x.size > 2 and line.get_linestyle() != "None" else "marks", x, y)
    yield from map(_of_collection, ax.collections)
    for image in ax.images:
        values = np.asarray(image.get_array(), dtype=float).ravel()
        yield Drawn("map", values, values)
    for bar in (patch for container in ax.containers for patch in getattr(container, "patches", ())):
        yield Drawn("bar", np.array([bar.get_width()]), np.array([bar.get_height()]))


def _shown(figure: Figure, csv: Path) -> Shown:
    # A colour bar draws its own scale, which is no datum.
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    texts = [text.get_text() for ax in panels for text in ax.texts]
    return Shown([drawn for ax in panels for drawn in _drawn_on(ax)], texts, pd.read_csv(csv))


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shown]:
    """Every figure of the result chapters, executed on the archived run: what it draws, and its CSV, by item."""
    run = RunPaths(tmp_path_factory.mktemp("archived") / "run")
    unpack_archive(archives_dir() / "paper", run)
    profile, shown = load_profile(run.archived_profile), {}

    def look(figure: Figure, png: Path, caption: str) -> None:
        shown[png.stem] = _shown(figure, png.with_suffix(".csv"))
        plt.close(figure)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(figures, "show_saved", look)
        patched.setattr(plt, "show", lambda: plt.close("all"))
        for chapter in RESULT_CHAPTERS:
            names = {"__name__": "notebook"}
            given = notebook_parameters(chapter, profile, str(run.root), 1) | {"dpi": 50}
            for cell in json.loads(notebook_file(chapter).read_text(encoding="utf-8"))["cells"]:
                if cell["cell_type"] == "code":
                    exec(compile("".join(cell["source"]), f"{chapter}, {cell['id']}", "exec"), names)
                    if "parameters" in cell["metadata"].get("tags", []):
                        names |= given
    return shown


# Where a figure draws a value on another scale: from what is drawn back to the table.
_SCALES = {"alarm-fig-s5": lambda y: 10.0**-y, "alarm-fig-s9": lambda y: 10.0**-y}
# Boxes and words, whose numbers are compared as texts; the nomogram's places are points on a common length.
_WORDS = {"alarm-fig-1", "alarm-fig-s2", "alarm-fig-s3", "amap-ct-fig-s1", "amap-ct-fig-s2", "alarm-fig-s17"}
_HEIGHTS = {"alarm-fig-2"}  # ridges are scaled to their own highest point
_COUNTED = {"alarm-fig-s16"}  # the bars count the scores of the table


def _is_among(values: np.ndarray, numbers: np.ndarray) -> bool:
    """Whether every finite value is one of the sorted numbers, to eight digits."""
    values = values[np.isfinite(values)]
    place = np.clip(np.searchsorted(numbers, values), 1, len(numbers) - 1)
    nearest = np.minimum(np.abs(values - numbers[place]), np.abs(values - numbers[place - 1]))
    return bool((nearest <= 1e-8 * np.maximum(1.0, np.abs(values))).all())


def _undocumented(item: str, shown: Shown) -> list[str]:
    """Artists whose values the CSV lacks; a curve needs both its coordinates, other marks the one that is a value."""
    found = shown.table.select_dtypes("number").to_numpy(dtype=float).ravel()
    numbers = np.unique(np.concatenate([[0.0, 1.0], found[np.isfinite(found)]]))
    absent = []
    for drawn in shown.artists:
        if drawn.kind == "bar" and item in _COUNTED:
            continue
        y = _SCALES.get(item, lambda height: height)(drawn.y)
        across, up = _is_among(drawn.x, numbers), _is_among(y, numbers)
        needs_both = drawn.kind in ("curve", "band") and item not in _HEIGHTS
        if not (across and up if needs_both else across or up):
            absent.append(f"{item}: {drawn.kind} of {drawn.x.size}, across {across}, up {up}")
    return absent


@pytest.mark.thorough
def test_csv_of_every_item_holds_what_its_figure_shows(archived: dict[str, Shown]) -> None:
    """Curves, bands, points, bars and maps of every figure of the result chapters are in its CSV."""
    listed = {item.id for item in published.items() if item.figure and item.data.split("/")[0] in RESULT_CHAPTERS}
    assert set(archived) == listed
    absent = [line for item in sorted(listed - _WORDS) for line in _undocumented(item, archived[item])]
    assert absent == []
    assert all(archived[item].artists for item in listed - _WORDS)


@pytest.mark.thorough
@pytest.mark.parametrize("item", sorted(_WORDS))
def test_csv_of_a_drawing_in_words_holds_its_numbers(archived: dict[str, Shown], item: str) -> None:
    """Each number in a box, or at a mark of the nomogram, is in the table."""
    table = archived[item].table
    cells = table.astype(str).to_numpy().ravel()
    known = {match.replace(",", "") for cell in cells for match in re.findall(r"\d[\d,]*\.?\d*", cell)}
    values = table.select_dtypes("number").to_numpy(dtype=float).ravel()
    for number in (found for text in archived[item].texts for found in re.findall(r"\d[\d,]*\.?\d*", text)):
        plain = number.replace(",", "")
        near = np.isclose(values, float(plain), rtol=0, atol=0.006).any() if values.size else False
        assert plain in known or near, (item, number)


@pytest.mark.thorough
def test_csv_of_every_archived_item_says_synthetic(archived: dict[str, Shown]) -> None:
    """In a column of its own, on every row."""
    assert all((shown.table["data"] == "SYNTHETIC").all() for shown in archived.values())


def test_a_curve_that_the_csv_lacks_is_found() -> None:
    """The comparison is not satisfied by whatever it is given."""
    table = pd.DataFrame({"fpr": [0.0, 0.25, 1.0], "tpr": [0.0, 0.75, 1.0]})
    curve = Drawn("curve", table["fpr"].to_numpy(), table["tpr"].to_numpy())
    assert _undocumented("alarm-fig-3", Shown([curve], [], table)) == []
    assert _undocumented("alarm-fig-3", Shown([curve._replace(y=curve.y + 0.1)], [], table))
