"""Grey levels and matrices are drawn as given, number by number."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("agg")

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from hccbook.errors import DataError
from hccbook.report import figures

LEVELS = np.array([[1, 2, 0], [4, 4, 3]])
COUNTS = np.array([[4, 0, 2, 12], [1, 0, 6, 0]])


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture
def ax() -> Axes:
    """One panel in the book's style."""
    return figures.panels()[1][0, 0]


def _written(ax: Axes) -> dict[tuple[int, int], str]:
    """Text of a cell by (row, column)."""
    return {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in ax.texts}


def _cells(ax: Axes) -> dict[tuple[int, int], Rectangle]:
    return {(round(cell.get_y() + 0.5), round(cell.get_x() + 0.5)): cell for cell in ax.patches}


def _luminance(colour) -> float:
    return float(np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722)))


def test_every_level_is_written_in_its_pixel(ax):
    """The first row is at the top; what lies outside the region has no number and is hatched."""
    assert figures.show_grey_levels(ax, LEVELS, title="Levels") is ax
    assert _written(ax) == {(0, 0): "1", (0, 1): "2", (1, 0): "4", (1, 1): "4", (1, 2): "3"}
    assert [place for place, cell in _cells(ax).items() if cell.get_hatch()] == [(0, 2)]
    assert ax.get_ylim() == (1.5, -0.5)
    assert ax.get_title(loc="left") == "Levels"


def test_higher_levels_are_lighter(ax):
    """As in CT, where denser tissue is brighter."""
    figures.show_grey_levels(ax, LEVELS)
    cells = _cells(ax)
    shades = [_luminance(cells[place].get_facecolor()) for place in ((0, 0), (0, 1), (1, 2), (1, 0))]
    assert shades == sorted(set(shades))


def test_flat_region_is_drawn(ax):
    """One level only is no division by zero."""
    figures.show_grey_levels(ax, np.full((2, 2), 3))
    assert set(_written(ax).values()) == {"3"}


def test_every_count_is_written_in_its_cell(ax):
    """Rows and columns count from 1 and say what they are."""
    assert figures.plot_grey_level_matrix(ax, COUNTS, columns="Length of run", title="Runs") is ax
    assert _written(ax) == {place: str(count) for place, count in np.ndenumerate(COUNTS)}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "3", "4"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "2"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Length of run", "Grey level")


def test_larger_counts_are_darker_and_zeros_pale(ax):
    """The eye finds the large counts; a zero does not draw it."""
    figures.plot_grey_level_matrix(ax, COUNTS, columns="Size")
    cells = _cells(ax)
    order = sorted(np.ndenumerate(COUNTS), key=lambda item: item[1])
    shades = [_luminance(cells[place].get_facecolor()) for place, _ in order]
    assert shades == sorted(shades, reverse=True)
    colours = {text.get_text(): text.get_color() for text in ax.texts}
    assert colours["0"] not in {colours["1"], colours["12"]}


def test_numbers_are_readable_on_their_cells(ax):
    """Contrast of at least 4.5 by the rule of the web's guidelines, for every number above 0."""
    figures.plot_grey_level_matrix(ax, np.arange(1, 33).reshape(4, 8), columns="Size")
    cells = _cells(ax)
    for text in ax.texts:
        place = (round(text.get_position()[1]), round(text.get_position()[0]))
        assert _contrast(text.get_color(), cells[place].get_facecolor()) >= 4.5, text.get_text()


def test_levels_are_readable_on_their_pixels(ax):
    """The same for sixteen grey levels."""
    figures.show_grey_levels(ax, np.arange(1, 17).reshape(4, 4))
    cells = _cells(ax)
    for text in ax.texts:
        place = (round(text.get_position()[1]), round(text.get_position()[0]))
        assert _contrast(text.get_color(), cells[place].get_facecolor()) >= 4.5, text.get_text()


def _contrast(one, other) -> float:
    linear = [[c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(x)] for x in (one, other)]
    low, high = sorted(float(np.dot(channels, (0.2126, 0.7152, 0.0722))) for channels in linear)
    return (high + 0.05) / (low + 0.05)


def test_other_numbers_have_two_decimals(ax):
    """A sum of differences is no count."""
    names = ("Voxels", "Sum of differences")
    figures.plot_grey_level_matrix(ax, np.array([[6, 3.456], [2, 0.5]]), columns="", column_names=names)
    assert _written(ax) == {(0, 0): "6", (0, 1): "3.46", (1, 0): "2", (1, 1): "0.50"}
    assert [label.get_text() for label in ax.get_xticklabels()] == list(names)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda ax: figures.show_grey_levels(ax, np.ones((1, 2, 2), int)), r"two dimensions, but found \(1, 2, 2\)"),
        (lambda ax: figures.show_grey_levels(ax, np.full((2, 2), 1.5)), "whole numbers from 0, but found float64"),
        (lambda ax: figures.show_grey_levels(ax, np.array([[1, -1]])), "whole numbers from 0, but found int64 from -1"),
        (lambda ax: figures.show_grey_levels(ax, np.ones((2, 40), int)), r"at most 32 rows and columns.*\(2, 40\)"),
        (lambda ax: figures.plot_grey_level_matrix(ax, [[1, np.nan]], columns=""), "finite numbers from 0"),
        (lambda ax: figures.plot_grey_level_matrix(ax, [[1, -2]], columns=""), "finite numbers from 0, but found -2"),
        (
            lambda ax: figures.plot_grey_level_matrix(ax, [[1, 2]], columns="", column_names=["a"]),
            "column_names: must be 2 names, but found 1",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(ax, draw, message):
    """The message says what was found."""
    with pytest.raises(DataError, match=message):
        draw(ax)
