"""Cells of a table: each is a function that gives the text that stands in a line of it.

A line is a row of a tidy frame, its values by column.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from operator import itemgetter
from typing import Any

from hccbook.report.tables.titles import cohort_title, model_title
from hccbook.report.tables.typesetting import area_text, decimal_text, estimate_text, p_text, percent_text

Line = Mapping[Hashable, Any]
Cell = Callable[[Line], str]


def typeset(text: Callable[..., str], *columns: str, **options: Any) -> Cell:
    """Cell that `text` makes of the line's values in `columns`, in their order, with its own options."""
    return lambda line: text(*(line[name] for name in columns), **options)


def constant(text: str) -> Cell:
    """Cell that says the same in every line."""
    return lambda line: text


def number(column: str, places: int) -> Cell:
    """Cell of a number with a fixed count of decimal places."""
    return typeset(decimal_text, column, places=places)


count = partial(number, places=0)
p_value = partial(typeset, p_text)
plain: Callable[[str], Cell] = itemgetter
"""Cell of a text as it stands in a column."""


def estimate(value: str, lower: str = "lower", upper: str = "upper", places: int = 3) -> Cell:
    """Cell of an estimate with its 95% confidence interval."""
    return typeset(estimate_text, value, lower, upper, places=places)


def percent(value: str, lower: str = "lower", upper: str = "upper") -> Cell:
    """Cell of a fraction with its 95% confidence interval, in percent."""
    return typeset(percent_text, value, lower, upper)


AREA = typeset(area_text, "auc", "lower", "upper")
COHORT = typeset(cohort_title, "cohort")
MODEL = typeset(model_title, "model")
NOTE = plain("note")
P_VALUE = p_value("p")
SIZE: Mapping[str, Cell] = {"n": count("n"), "HCC": count("events")}
