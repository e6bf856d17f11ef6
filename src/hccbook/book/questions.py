"""Questions at the end of a chapter: every answer shows a number, and says at once which way of reckoning gives it.

The words are in ``data/questions/``, a file a chapter; the numbers are computed by `hccbook.book.question_numbers`, so
that no wrong answer is made up.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from pydantic import Field, field_validator

from hccbook.book.generated_pages import render
from hccbook.book.question_numbers import CALCULATIONS
from hccbook.errors import DataError
from hccbook.papers import published
from hccbook.papers.published import Listed, read_entries
from hccbook.run import data_dir

RIGHT = "right"

_ENDS_OF_A_CHAPTER = ("## Exercise\n", "## See also\n")


class Question(Listed):
    """A question, what it gives, and the answers with their reasons."""

    asks: str = Field(min_length=1, description="Question; '{name}' stands for what is given.")
    calculation: str = Field(description="One of `question_numbers.CALCULATIONS`.")
    given: dict[str, Any] = Field(
        description="Arguments of the calculation; columns of a printed number, or of several, stand for it."
    )
    shown: str = Field(pattern=r"^[^{]*\{:[^{]*\}[^{]*$", description="How a number is shown, as '{:.1f} %'.")
    answers: dict[str, str] = Field(
        min_length=2, description="Why, by the name that the calculation gives to a number; 'right' is one of them."
    )

    @field_validator("calculation")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in CALCULATIONS:
            raise ValueError("calculation must be a function of hccbook.book.question_numbers")
        return name


class Option(NamedTuple):
    """An answer that can be chosen.

    Attributes
    ----------
    name : str
        ``right``, or what is wrong with it.
    text : str
        Its number, as shown.
    why : str
        How one comes by it.
    """

    name: str
    text: str
    why: str


@cache
def _questions(file: Path) -> tuple[Question, ...]:
    return read_entries(file, Question)


def questions(chapter: str) -> list[Question]:
    """Questions of a chapter, named as its stage; none where it has no file.

    Raises
    ------
    DataError
        If an entry is wrong; names the file, the entry and the field.
    """
    file = data_dir() / "questions" / f"{chapter}.yaml"
    return list(_questions(file)) if file.is_file() else []


def given(question: Question) -> dict[str, Any]:
    """Values that a question gives, with printed numbers read from their places."""

    def read(value: Any) -> Any:
        if isinstance(value, list):
            return [read(one) for one in value]
        return published.value(**value).number if isinstance(value, dict) else value

    return {name: read(value) for name, value in question.given.items()}


def options(question: Question) -> list[Option]:
    """Answers of a question by their number, the smallest first.

    Raises
    ------
    DataError
        If the calculation gives other names than the question has reasons for, or two answers show the same.
    """
    numbers = CALCULATIONS[question.calculation](**given(question))
    if set(numbers) != set(question.answers):
        rule, hint = f"answers must be {', '.join(numbers)}", "Name a reason for each."
        raise DataError(f"question {question.id}", rule, ", ".join(question.answers), hint)
    rising = sorted(numbers, key=lambda name: numbers[name])
    shown = {name: _spaced(question.shown.format(numbers[name])) for name in rising}
    if len(set(shown.values())) < len(shown):
        rule, hint = "answers must differ as shown", "Show more digits, or give other values."
        raise DataError(f"question {question.id}", rule, ", ".join(shown.values()), hint)
    return [Option(name, text, question.answers[name]) for name, text in shown.items()]


def _spaced(text: str) -> str:
    """Text with a space before each per cent sign, as everywhere in the book."""
    return re.sub(r"(?<=\d)%", " %", text)


@cache
def questions_text(chapter: str) -> str:
    """The questions of a chapter as MyST, with their heading; empty where it has none."""
    asked = [
        {"id": one.id, "asks": _spaced(one.asks.format(**given(one))), "options": options(one)}
        for one in questions(chapter)
    ]
    return render("questions.md.j2", questions=asked, right=RIGHT) if asked else ""


def add_questions(notebook: nbformat.NotebookNode, chapter: str) -> None:
    """Put a chapter's questions above its exercise, or what else it ends with."""
    text = questions_text(chapter)
    cells = [cell for cell in notebook.cells if text and cell.cell_type == "markdown"]
    ends = [(cell, heading) for heading in _ENDS_OF_A_CHAPTER for cell in cells if heading in cell.source]
    if ends:
        cell, heading = ends[0]
        cell.source = cell.source.replace(heading, text + heading, 1)
