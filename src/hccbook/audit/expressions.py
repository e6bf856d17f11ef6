"""Arithmetic on printed numbers that a paper's description writes down: ``high_rate * high >= detected``.

Every printed number stands for the interval of what it may have been before it was rounded, so that a comparison holds
unless no values behind the print can make it hold.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from hccbook import scores
from hccbook.audit.auc import hanley_mcneil_se
from hccbook.audit.printed import SLACK, Range, as_range, counts_that_print_as, in_digits, is_number, printed_range
from hccbook.errors import DataError

EXACT = ("count", "denominator", "cut-off", "coefficient", "duration", "ratio", "size")
"""Quantities, or last words of such, whose printed number is exact and not rounded."""


@dataclass(frozen=True)
class Quoted:
    """One printed number as it stands: in texts the words of the paper, in arithmetic what they may stand for.

    Attributes
    ----------
    place, quantity, unit, value, lower, upper : str
        Columns of its row.
    """

    place: str
    quantity: str
    unit: str
    value: str
    lower: str = ""
    upper: str = ""

    def __str__(self) -> str:
        return self.value

    def number(self, which: str = "value") -> Range | float:
        """``value``, ``lower`` or ``upper`` as a number; a percentage as a share of 1, a count exactly."""
        text = in_digits(getattr(self, which))
        if not is_number(text):
            raise DataError(f"{self.place}, {self.quantity}", "must print a number", repr(text), "Quote it as text.")
        found = printed_range(text, "%" if self.quantity.startswith("percentage") else self.unit)
        return found.middle if self.quantity.split()[-1] in EXACT and math.isfinite(found.width) else found

    @property
    def people(self) -> int | None:
        """The whole number that is printed; None where none is."""
        text = in_digits(self.value).replace(",", "")
        return int(text) if text.isdecimal() else None


def _rising(function: Callable[[float], float]) -> Callable[[Range | float], Range | float]:
    """A rising function of a number, taken to intervals."""

    def of(value: Range | float) -> Range | float:
        return Range(function(value.low), function(value.high)) if isinstance(value, Range) else function(value)

    return of


def _extreme(choose: Callable[..., float]) -> Callable[..., Range]:
    def of(*values: Range | float) -> Range:
        ranges = [as_range(one) for one in values]
        return Range(choose(one.low for one in ranges), choose(one.high for one in ranges))

    return of


def _prints(share: Range | float, people: float) -> bool:
    return bool(counts_that_print_as(as_range(share), round(people)))


FUNCTIONS: dict[str, Callable[..., object]] = {
    "log10": _rising(math.log10),
    "ln": _rising(math.log),
    "exp": _rising(math.exp),
    "sqrt": _rising(math.sqrt),
    "least": _extreme(min),
    "greatest": _extreme(max),
    "low": lambda value: as_range(value).low,
    "high": lambda value: as_range(value).high,
    "middle": lambda value: as_range(value).middle,
    "prints": _prints,
    "hanley_mcneil": lambda area, events, others: hanley_mcneil_se(as_range(area).middle, events, others),
    "amap": lambda *inputs: float(scores.amap(*inputs)),
    "albi": lambda *inputs: float(scores.albi(*inputs)),
}
"""Functions that an expression may call; ``prints(share, people)`` asks whether a whole number of people prints so."""

_ARITHMETIC: dict[type, Callable] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}


def _equal(one: object, other: object) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return str(one) == str(other)
    return as_range(one).meets(as_range(other))


_COMPARISONS: dict[type, Callable[..., bool]] = {
    ast.Eq: _equal,
    ast.NotEq: lambda a, b: not _equal(a, b),
    ast.LtE: lambda a, b: as_range(a).low <= as_range(b).high + SLACK,
    ast.GtE: lambda a, b: as_range(b).low <= as_range(a).high + SLACK,
    ast.Lt: lambda a, b: as_range(a).low < as_range(b).high - SLACK,
    ast.Gt: lambda a, b: as_range(b).low < as_range(a).high - SLACK,
}


class _Evaluator(ast.NodeVisitor):
    def __init__(self, names: Mapping[str, object], at_face: bool) -> None:
        self.names, self.at_face = names, at_face

    def _number(self, value: object) -> object:
        value = value.number() if isinstance(value, Quoted) else value
        return value.middle if self.at_face and isinstance(value, Range) and math.isfinite(value.width) else value

    def visit_Expression(self, node: ast.Expression) -> object:
        return self.visit(node.body)

    def visit_Constant(self, node: ast.Constant) -> object:
        return node.value

    def visit_Name(self, node: ast.Name) -> object:
        if node.id not in self.names:
            raise KeyError(node.id)
        return self._number(self.names[node.id])

    def visit_Attribute(self, node: ast.Attribute) -> object:
        if not isinstance(node.value, ast.Name):
            raise TypeError("a part of a part is not arithmetic")
        of = self.names[node.value.id]
        if isinstance(of, Quoted):
            return self._number(of.number(node.attr))
        measures = getattr(of, "measures", {})
        value = measures[node.attr] if node.attr in measures else getattr(of, node.attr)
        if not isinstance(value, int | float | Range):
            raise TypeError(f"{node.attr} is no number")
        return self._number(value)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> object:
        value = self.visit(node.operand)
        return not value if isinstance(node.op, ast.Not) else -value

    def visit_BinOp(self, node: ast.BinOp) -> object:
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(right, Range) and not isinstance(left, Range):
            left = as_range(left)
        return _ARITHMETIC[type(node.op)](left, right)

    def visit_Compare(self, node: ast.Compare) -> bool:
        values = [self.visit(one) for one in (node.left, *node.comparators)]
        pairs = zip(node.ops, values[:-1], values[1:], strict=True)
        return all(_COMPARISONS[type(op)](one, other) for op, one, other in pairs)

    def visit_BoolOp(self, node: ast.BoolOp) -> bool:
        values = [bool(self.visit(one)) for one in node.values]
        return all(values) if isinstance(node.op, ast.And) else any(values)

    def visit_Call(self, node: ast.Call) -> object:
        return FUNCTIONS[node.func.id](*(self.visit(one) for one in node.args))

    def generic_visit(self, node: ast.AST) -> NoReturn:
        raise TypeError(f"{type(node).__name__} is not arithmetic")


def evaluate(text: str, names: Mapping[str, object], place: str, at_face: bool = False) -> object:
    """Value of an expression: a number, a `Range`, or whether a comparison can hold.

    Parameters
    ----------
    text : str
        Numbers, names, ``+ - * /``, comparisons, ``and``, ``or``, ``not`` and `FUNCTIONS`. ``==`` asks whether one
        value may stand behind both sides, ``<=`` whether the left may be the smaller.
    names : mapping of str to object
        `Quoted` numbers, recovered 2x2 tables (``a.tp``, ``a.flagged``), rows of performance (``row.ppv``), values.
    place : str
        Where the expression stands, for the message.
    at_face : bool
        Take every printed number as it stands instead of all that it may have been.

    Returns
    -------
    float, Range or bool

    Raises
    ------
    DataError
        If the expression is not arithmetic or a name is unknown.
    """
    try:
        return _Evaluator(names, at_face).visit(ast.parse(text.strip(), mode="eval"))
    except (SyntaxError, TypeError, KeyError, AttributeError, ValueError, ZeroDivisionError, DataError) as error:
        known = ", ".join((*names, *FUNCTIONS))
        raise DataError(
            place, "an expression must be arithmetic on known names", f"{text!r} ({error})", f"Known are {known}."
        ) from error
