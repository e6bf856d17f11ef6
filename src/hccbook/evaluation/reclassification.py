"""What a new model changes against an old one: net reclassification and integrated discrimination."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hccbook.errors import DataError
from hccbook.evaluation.discrimination import wald_test
from hccbook.evaluation.outcomes import check_binary, check_probability, check_two_each


class NetReclassification(NamedTuple):
    """Net reclassification improvement (NRI) with its parts.

    Attributes
    ----------
    nri : float
        ``events_nri + nonevents_nri``, -2 to 2; positive where the new model is better.
    lower, upper : float
        Wald confidence limits, 95 %.
    z, p : float
        Test of no net change, with the variance that holds then; 0 and 1 where nobody moved.
    events_nri, nonevents_nri : float
        (up - down) / events, and (down - up) / non-events.
    events, nonevents : int
        Patients with and without HCC.
    up_events, down_events, up_nonevents, down_nonevents : int
        Patients whom the new model moved.
    """

    nri: float
    lower: float
    upper: float
    z: float
    p: float
    events_nri: float
    nonevents_nri: float
    events: int
    nonevents: int
    up_events: int
    down_events: int
    up_nonevents: int
    down_nonevents: int


class IntegratedDiscrimination(NamedTuple):
    """Integrated discrimination improvement (IDI) with its parts.

    Attributes
    ----------
    idi : float
        ``events + nonevents``; positive where the new model is better.
    lower, upper, se : float
        Wald confidence limits, 95 %, and standard error.
    z, p : float
        ``idi / se`` and its two-sided p; 0 and 1 where no prediction changed, NaN where all changed alike.
    events, nonevents : float
        Mean rise of the prediction in patients with HCC, and mean fall in those without.
    """

    idi: float
    lower: float
    upper: float
    se: float
    z: float
    p: float
    events: float
    nonevents: float


def net_reclassification(
    y: ArrayLike, p_old: ArrayLike, p_new: ArrayLike, cutoffs: Sequence[float] | None = None
) -> NetReclassification:
    """Net reclassification improvement of a new model over an old one.

    Parameters
    ----------
    y, p_old, p_new : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise; predicted probabilities, 0 to 1.
    cutoffs : sequence of float, optional
        Bounds between risk groups, rising, within 0 to 1; a probability at a bound belongs to the higher group.
        Without them every change of the probability counts (continuous NRI).

    Returns
    -------
    NetReclassification

    Raises
    ------
    DataError
        If a value is missing or no probability, a class is absent, the patients do not match, or the cut-offs do
        not rise.

    References
    ----------
    Pencina et al. 2008, Stat Med 27:157 (z); 2011, Stat Med 30:11 (interval). ALARM, Statistics; aMAP-CT, Results.
    """
    outcome = check_binary(y)
    old = check_probability(p_old, outcome, y, "p_old")
    new = check_probability(p_new, outcome, y, "p_new")
    if cutoffs is not None:
        bounds = np.asarray(cutoffs, dtype=float)
        if bounds.ndim != 1 or not bounds.size or (np.diff(bounds) <= 0).any() or bounds[0] < 0 or bounds[-1] > 1:
            raise DataError("cutoffs", "must rise within 0 to 1", list(cutoffs), "Give, for example, (0.2, 0.4).")
        old, new = (np.searchsorted(bounds, values, side="right") for values in (old, new))
    events = int(outcome.sum())
    nonevents = outcome.size - events
    up_events, up_nonevents = (int((new > old)[outcome == group].sum()) for group in (1, 0))
    down_events, down_nonevents = (int((new < old)[outcome == group].sum()) for group in (1, 0))
    part_events = (up_events - down_events) / events
    part_nonevents = (down_nonevents - up_nonevents) / nonevents
    nri = part_events + part_nonevents
    unchanged = (up_events + down_events) / events**2 + (up_nonevents + down_nonevents) / nonevents**2
    variance = unchanged - part_events**2 / events - part_nonevents**2 / nonevents
    limits, test = wald_test(nri, np.sqrt(max(variance, 0.0)))[:2], wald_test(nri, np.sqrt(unchanged))[2:]
    moved = (up_events, down_events, up_nonevents, down_nonevents)
    return NetReclassification(nri, *limits, *test, part_events, part_nonevents, events, nonevents, *moved)


def integrated_discrimination(y: ArrayLike, p_old: ArrayLike, p_new: ArrayLike) -> IntegratedDiscrimination:
    """Integrated discrimination improvement of a new model over an old one.

    Parameters
    ----------
    y, p_old, p_new
        As in `net_reclassification`; two or more patients of each class.

    Returns
    -------
    IntegratedDiscrimination

    Raises
    ------
    DataError
        If a value is missing or no probability, a class has fewer than two patients, or the patients do not match.

    References
    ----------
    Pencina et al. 2008, Stat Med 27:157. ALARM, Statistics.
    """
    outcome = check_binary(y)
    change = check_probability(p_new, outcome, y, "p_new") - check_probability(p_old, outcome, y, "p_old")
    rise, fall = change[outcome == 1], -change[outcome == 0]
    check_two_each(outcome)
    events, nonevents = float(rise.mean()), float(fall.mean())
    idi = events + nonevents
    se = float(np.sqrt(rise.var(ddof=1) / rise.size + fall.var(ddof=1) / fall.size))
    if se < 1e-12:  # changes that are all equal leave rounding
        se = 0.0
    lower, upper, z, p = wald_test(idi, se)
    return IntegratedDiscrimination(idi, lower, upper, se, z, p, events, nonevents)
