"""A printed formula against its printed inputs, its cut-offs and the published score."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hccbook.audit.findings import CheckResult, Discrepancy

CHECK = "formulas"


def same_values(
    cell: str, printed: Callable[..., float], published: Callable[..., float], inputs: Sequence[tuple], within: float
) -> CheckResult:
    """Whether a printed formula gives the published score.

    Parameters
    ----------
    cell : str
        Where the formula stands.
    printed, published : callable
        The formula with its printed coefficients, and the score as its own paper gives it.
    inputs : sequence of tuple
        Patients to try both on.
    within : float
        Difference that is allowed.

    Returns
    -------
    CheckResult
        One comparison a patient.
    """
    wrong = [
        Discrepancy(
            CHECK,
            cell,
            f"{printed(*one):.4f}",
            f"{published(*one):.4f}",
            f"for {one} the printed formula gives {printed(*one):.4f}, the published score {published(*one):.4f}",
        )
        for one in inputs
        if abs(printed(*one) - published(*one)) > within
    ]
    return CheckResult(CHECK, "printed formula against the published score", len(inputs), tuple(wrong))


def other_input(value: float, coefficients: tuple[float, float], constant: float, cutoff: float) -> float:
    """What the other input of a printed two-term formula must be for its value to reach a cut-off.

    Parameters
    ----------
    value : float
        The input that is printed, for example a median aMAP.
    coefficients : (float, float)
        Of that input, and of the other.
    constant, cutoff : float
        Of the formula, and the printed cut-off.

    Returns
    -------
    float
        ``(cutoff - constant - c1 x value) / c2``.
    """
    first, second = coefficients
    return (cutoff - constant - first * value) / second
